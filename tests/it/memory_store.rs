//! A store in memory, which keeps what a source hands in as the ledger does, so that a test can look at it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use reveille::source::{
    Absence, CalendarInfo, Change, ChangeBatch, Checkpoint, Evidence, Known, StoreError, SyncStore, Taken,
};
use reveille::time::UtcMillis;

/// What was handed in.
#[derive(Debug, Default)]
pub struct Kept(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    calendars: BTreeMap<String, Calendar>,
    /// Objects handed in whose text was not yet kept, and objects dropped.
    changes: usize,
    /// Objects handed in, the unchanged ones among them.
    puts: usize,
    /// Calendars said to be unchanged.
    unchanged: usize,
    /// Batches that are taken before one is refused.
    left: Option<usize>,
    /// Texts that say this cannot be used.
    unreadable: Option<String>,
}

/// A calendar with its objects: etag and text by href.
#[derive(Clone, Debug, Default)]
pub struct Calendar {
    pub seen: CalendarInfo,
    pub checkpoint: Option<Checkpoint>,
    pub objects: BTreeMap<String, (String, String)>,
    pub last_modified: Option<UtcMillis>,
    pub absent_since: Option<UtcMillis>,
    /// How far the last sync that did not find it was to be trusted.
    pub evidence: Option<Evidence>,
}

impl Kept {
    /// The calendar at `href`.
    pub fn calendar(&self, href: &str) -> Calendar {
        let state = self.0.lock().unwrap();
        let known: Vec<&String> = state.calendars.keys().collect();
        state.calendars.get(href).unwrap_or_else(|| panic!("no calendar {href} among {known:?}")).clone()
    }

    /// The hrefs of all calendars.
    pub fn hrefs(&self) -> Vec<String> {
        self.0.lock().unwrap().calendars.keys().cloned().collect()
    }

    /// What each object of the calendar at `href` says in its SUMMARY, in order.
    pub fn summaries(&self, href: &str) -> Vec<String> {
        let summary = |text: &String| text.lines().find_map(|line| line.strip_prefix("SUMMARY:").map(str::to_owned));
        let mut all: Vec<String> = self.calendar(href).objects.values().filter_map(|(_, text)| summary(text)).collect();
        all.sort();
        all
    }

    /// How many objects changed, how many were handed in, and how many calendars were said to be unchanged, since this
    /// was asked last.
    pub fn counts(&self) -> (usize, usize, usize) {
        let mut state = self.0.lock().unwrap();
        let counts = (state.changes, state.puts, state.unchanged);
        (state.changes, state.puts, state.unchanged) = (0, 0, 0);
        counts
    }

    /// Puts another checkpoint in the place of that of `href`.
    pub fn tamper(&self, href: &str, change: impl FnOnce(&mut Calendar)) {
        change(self.0.lock().unwrap().calendars.get_mut(href).expect("a calendar"));
    }

    /// Takes texts that hold `word` for broken ones.
    pub fn refuses(&self, word: &str) {
        self.0.lock().unwrap().unreadable = Some(word.to_owned());
    }

    /// Takes `batches` more batches, then refuses one as if the process had been killed.
    pub fn fail_after(&self, batches: usize) {
        self.0.lock().unwrap().left = Some(batches);
    }
}

impl Calendar {
    /// The sync token in the checkpoint of a CalDAV calendar.
    pub fn token(&self) -> Option<String> {
        let state: serde_json::Value = serde_json::from_str(&self.checkpoint.as_ref()?.sync_state).unwrap();
        state["token"].as_str().map(str::to_owned)
    }

    /// Puts another token in the place of that one.
    pub fn set_token(&mut self, token: &str) {
        let checkpoint = self.checkpoint.as_mut().expect("a checkpoint");
        let mut state: serde_json::Value = serde_json::from_str(&checkpoint.sync_state).unwrap();
        state["token"] = token.into();
        checkpoint.sync_state = state.to_string();
    }
}

impl SyncStore for Kept {
    async fn calendars(&self, _: &str) -> Result<Vec<Known>, StoreError> {
        let state = self.0.lock().unwrap();
        let known = |(href, calendar): (&String, &Calendar)| Known {
            href: href.clone(),
            checkpoint: calendar.checkpoint.clone(),
            absent_since: calendar.absent_since,
            seen: calendar.seen.clone(),
        };
        Ok(state.calendars.iter().map(known).collect())
    }

    async fn etags(&self, _: &str, calendar: &str) -> Result<HashMap<String, String>, StoreError> {
        let state = self.0.lock().unwrap();
        let Some(calendar) = state.calendars.get(calendar) else { return Ok(HashMap::new()) };
        Ok(calendar.objects.iter().map(|(href, (etag, _))| (href.clone(), etag.clone())).collect())
    }

    async fn apply(&self, _: &str, batch: ChangeBatch) -> Result<Taken, StoreError> {
        let mut state = self.0.lock().unwrap();
        let state = &mut *state;
        if state.left == Some(0) {
            state.left = None;
            return Err(StoreError("the disk is full".to_owned()));
        }
        state.left = state.left.map(|left| left - 1);
        let is_new = !state.calendars.contains_key(&batch.calendar.href);
        let calendar = state.calendars.entry(batch.calendar.href.clone()).or_default();
        calendar.seen = batch.calendar;
        (calendar.absent_since, calendar.evidence) = (None, None);
        let mut taken = Taken::default();
        for change in batch.changes {
            match change {
                Change::Put { href, etag, text, last_modified } => {
                    let text = String::from_utf8(text).expect("UTF-8");
                    if state.unreadable.as_ref().is_some_and(|word| text.contains(word)) {
                        taken.unreadable.push(href);
                        continue;
                    }
                    let old = calendar.objects.insert(href, (etag, text.clone()));
                    state.changes += usize::from(old.is_none_or(|(_, old)| old != text));
                    state.puts += 1;
                    calendar.last_modified = last_modified;
                }
                Change::Unreadable { href, .. } => taken.unreadable.push(href),
                Change::Gone { href } => state.changes += usize::from(calendar.objects.remove(&href).is_some()),
            }
        }
        let checkpoint = batch.checkpoint.or(batch.begun.filter(|_| is_new));
        calendar.checkpoint = checkpoint.or_else(|| calendar.checkpoint.take());
        Ok(taken)
    }

    async fn unchanged(&self, _: &str, calendar: &str, _: UtcMillis) -> Result<(), StoreError> {
        let mut state = self.0.lock().unwrap();
        let known = state.calendars.get_mut(calendar);
        let known = known.unwrap_or_else(|| panic!("{calendar} is not known"));
        (known.absent_since, known.evidence) = (None, None);
        state.unchanged += 1;
        Ok(())
    }

    async fn calendar_gone(&self, _: &str, calendar: &str) -> Result<(), StoreError> {
        let removed = self.0.lock().unwrap().calendars.remove(calendar);
        assert!(removed.is_some(), "{calendar} is not known");
        Ok(())
    }

    /// Kept for ever: when it is dropped is for the ingest stage to decide.
    async fn calendar_absent(
        &self,
        _: &str,
        calendar: &str,
        synced_at: UtcMillis,
        evidence: Evidence,
    ) -> Result<Absence, StoreError> {
        let mut state = self.0.lock().unwrap();
        let known = state.calendars.get_mut(calendar);
        let known = known.unwrap_or_else(|| panic!("{calendar} is not known"));
        known.evidence = Some(evidence);
        Ok(Absence::Kept { since: *known.absent_since.get_or_insert(synced_at) })
    }
}

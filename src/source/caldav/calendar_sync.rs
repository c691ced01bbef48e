//! Bringing one calendar up to date: its changes, or a comparison of the whole, go to the ledger in batches.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::time::Duration;

use jiff::SignedDuration;
use reqwest::Url;

use super::dav_client::DavClient;
use super::error::CaldavError;
use super::fetch::{CHUNK, Fetched, Fetcher, is_same_etag};
use super::href;
use super::kept::Kept;
use super::outstanding::{OutstandingObjects, OutstandingReason};
use super::recheck::Recheck;
use super::requests::calendar_multiget::FetchedObject;
use super::requests::find_calendars::ListedCalendar;
use super::requests::list_etags::Member;
use super::sync_state::{Compared, ServerTime, SyncMode, SyncState, has_moved, is_another};
use crate::clock::Clock;
use crate::source::contract::{CalendarInfo, Change, ChangeBatch, Checkpoint, SyncStore, Taken};
use crate::time::{UtcMillis, non_negative};

/// Changes in one batch.
const BATCH: usize = 500;
/// Octets of text after which a batch is handed in although it has fewer changes.
const BATCH_OCTETS: usize = 4 * 1024 * 1024;
/// The kind of these sources, as the configuration and the ledger write it.
pub(super) const KIND: &str = "caldav";
/// Objects after which the progress of a sync is reported that fetches more than twice as many.
const REPORT_EVERY: usize = 1_000;

/// How long until a version that its server marks with the present second is looked at again.
const WEAK_WAIT: SignedDuration = SignedDuration::from_millis(1_500);
/// Syncs after which that time doubles.
const WEAK_SYNCS: u32 = 5;

/// One calendar and all that is needed to sync it.
#[derive(Debug)]
pub struct CalendarSync<'a, I> {
    pub dav: &'a DavClient,
    pub store: &'a I,
    /// The source's name.
    pub source: &'a str,
    pub calendar: &'a CalendarInfo,
    pub url: &'a Url,
    pub listed: &'a ListedCalendar,
    pub synced_at: UtcMillis,
    pub clock: &'a Clock,
    /// The server's clock when it listed.
    pub server: ServerTime,
    /// How far this machine's clock is ahead of the server's.
    pub ahead: SignedDuration,
    /// Octets of one object; larger ones are left out.
    pub max_size: usize,
}

/// What this process remembers of a calendar from one sync to the next.
#[derive(Debug, Default)]
pub struct Unsettled {
    pub outstanding: OutstandingObjects,
    pub recheck: Recheck,
    /// Syncs, one after the other, that found a version marked with the present second.
    weak: u32,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct CalendarReport {
    pub changes: usize,
    /// What could not be read, one sentence each.
    pub faults: Vec<String>,
    /// The server did not answer a change report with one.
    pub report_refused: bool,
    /// Objects that the whole has, where that was listed.
    pub objects: usize,
    /// When to sync again, where that is to be soon.
    pub again_in: Option<Duration>,
    /// The calendar does not count as read.
    pub is_held: bool,
    /// Many of its objects are no longer listed, since then, and another sync has to find the same.
    pub vanished: Option<UtcMillis>,
}

impl CalendarReport {
    /// The calendar does not count as read, because of `fault`.
    pub fn hold(&mut self, fault: String) {
        self.is_held = true;
        self.faults.push(fault);
    }

    /// Wishes for another sync after `wait`.
    pub fn sync_in(&mut self, wait: SignedDuration) {
        let wait = non_negative(wait);
        self.again_in = Some(self.again_in.map_or(wait, |earlier| earlier.min(wait)));
    }
}

/// What is to be handed in.
#[derive(Debug, Default)]
pub struct News {
    /// To be fetched.
    pub put: Vec<Member>,
    /// Hrefs as the ledger spells them.
    pub gone: Vec<String>,
    /// Keys of what is gone and the ledger never had.
    pub unheard: Vec<String>,
    /// Keys of what is listed, or may be there, where a list was asked for.
    pub there: HashSet<String>,
    /// That list is whole.
    pub is_whole: bool,
    /// The token that a report ended with.
    pub token: Option<String>,
}

/// What is known of a calendar before it is compared.
#[derive(Debug, Default)]
pub struct Hints {
    /// What a report named: to be fetched whatever its entity tag says.
    pub suspects: Vec<Member>,
    /// Since when syncs have found many objects no longer listed.
    pub vanished: Option<UtcMillis>,
    /// Its version is another one than before, and no report has said why: something has changed, whatever the entity
    /// tags say.
    pub moved: bool,
}

/// How long until the next sync after so many that found a version of the present second. A server whose version is
/// always that is asked less and less often.
fn weak_wait(syncs: u32) -> SignedDuration {
    WEAK_WAIT.saturating_mul(1 << syncs.saturating_sub(WEAK_SYNCS).min(20))
}

/// What becomes of an object whose text cannot be had.
fn becomes(kept: &Kept, member: &Member) -> &'static str {
    if kept.spelled(member).is_some() { "kept as it is known" } else { "left out" }
}

/// What a sync hands in, and what it remembers while it does.
struct HandIn<'a> {
    kept: &'a Kept,
    outstanding: &'a mut OutstandingObjects,
    outcome: &'a mut CalendarReport,
    changes: Vec<Change>,
    /// What has come as it was named.
    came: Vec<String>,
}

impl HandIn<'_> {
    /// `member` did not come, and `said` is what to say of that. Where its calendar counts as read without it, the
    /// ledger remembers that it is outstanding, and asks for it again after a restart.
    fn note_outstanding(&mut self, member: &Member, why: OutstandingReason, said: String, now: UtcMillis) {
        self.outstanding.note(member, why, said.clone(), now);
        if self.outstanding.is_given_up(&member.href, now) {
            let href = self.kept.spelled(member).unwrap_or_else(|| member.href.clone());
            self.changes.push(Change::Unreadable { href, fault: said });
        }
    }
}

impl<I: SyncStore> CalendarSync<'_, I> {
    /// Does `mode` for a calendar that was read up to `state`, and asks for what is outstanding of it.
    ///
    /// # Errors
    /// Of a request, or of the store. What was handed in stays; the next sync begins where this one did.
    pub async fn run(
        &self,
        state: Option<&SyncState>,
        mode: SyncMode,
        unsettled: &mut Unsettled,
    ) -> Result<CalendarReport, CaldavError> {
        // What is to be read again counts as read once it is in the ledger.
        let before = unsettled.recheck.clone();
        let outcome = self.take_in(state, mode, unsettled).await;
        if outcome.is_err() {
            unsettled.recheck = before;
        }
        outcome
    }

    async fn take_in(
        &self,
        state: Option<&SyncState>,
        mode: SyncMode,
        unsettled: &mut Unsettled,
    ) -> Result<CalendarReport, CaldavError> {
        let mut etags = self.store.etags(self.source, &self.calendar.href).await?;
        if state.is_some_and(|state| is_another(state, self.listed)) {
            etags.values_mut().for_each(String::clear);
        }
        let kept = Kept::new(etags);
        let mut outcome = CalendarReport::default();
        unsettled.outstanding.begin();
        let mut news = self.news(state, &mode, &kept, unsettled, &mut outcome).await?;
        let outstanding = &mut unsettled.outstanding;
        for href in news.gone.iter().chain(&news.unheard) {
            outstanding.settle(href);
        }
        if news.is_whole {
            let put: HashSet<String> = news.put.iter().map(|member| kept.key(&member.href)).collect();
            outstanding.keep(|key| news.there.contains(key) || put.contains(key));
        }
        let named: HashSet<String> = news.put.iter().map(|member| kept.key(&member.href)).collect();
        news.put
            .extend(outstanding.due(self.synced_at).into_iter().filter(|due| !named.contains(&kept.key(&due.href))));
        let next = match (mode, state, outcome.vanished) {
            (_, before, Some(since)) => before.cloned().unwrap_or_default().vanished(since),
            (SyncMode::UpToDate, Some(state), None) => state.clone(),
            _ => self.next_state(state, &news, &outcome),
        };
        unsettled.weak = if next.weak { unsettled.weak.saturating_add(1) } else { 0 };
        if next.weak {
            outcome.sync_in(weak_wait(unsettled.weak));
        }
        if let Some(wait) = next.settles_in(self.synced_at) {
            outcome.sync_in(wait);
        }
        self.hand_in(news, &kept, outstanding, next.checkpoint(), &mut outcome).await?;
        Ok(outcome)
    }

    /// What is new by `mode`.
    async fn news(
        &self,
        state: Option<&SyncState>,
        mode: &SyncMode,
        kept: &Kept,
        unsettled: &mut Unsettled,
        outcome: &mut CalendarReport,
    ) -> Result<News, CaldavError> {
        let (mut hints, mut report) = (Hints::default(), News::default());
        match (mode, state) {
            (SyncMode::UpToDate, _) => return Ok(News::default()),
            (SyncMode::Delta { token: from, whole }, Some(state)) => match self.reported(from, state, kept).await {
                Ok(Some(reported)) if reported.is_all && !whole => return Ok(reported.news),
                Ok(Some(reported)) => {
                    report = reported.news;
                    hints.suspects.append(&mut report.put);
                }
                Ok(None) => {}
                Err(error) if error.concerns_the_account() => return Err(error),
                // A report that takes long may come the next time, when it gets more time, and so may one that its
                // server was too busy for.
                Err(error) => outcome.report_refused = !error.may_concern_the_server(),
            },
            _ => {}
        }
        hints.vanished = state.and_then(SyncState::vanished_since);
        let is_reported = !hints.suspects.is_empty() || !report.gone.is_empty() || !report.unheard.is_empty();
        hints.moved = !is_reported && state.is_some_and(|state| has_moved(state, self.listed));
        let mut news = self.compared(kept, &hints, unsettled, outcome).await?;
        let suspects = hints.suspects;
        let named: HashSet<String> = suspects.iter().map(|member| kept.key(&member.href)).collect();
        news.put.retain(|member| {
            named.contains(&kept.key(&member.href)) || !unsettled.outstanding.rests(member, self.synced_at)
        });
        // Where report and listing say the one and the other, asking for the object tells.
        let is_listed = |href: &str| news.there.contains(&kept.key(href));
        let unlisted: Vec<Member> = suspects.into_iter().filter(|member| !is_listed(&member.href)).collect();
        let (doubtful, gone): (Vec<String>, Vec<String>) = report.gone.into_iter().partition(|href| is_listed(href));
        let vanished: HashSet<String> = news.gone.iter().cloned().collect();
        news.gone.extend(gone.into_iter().filter(|href| !vanished.contains(href)));
        news.put.extend(unlisted);
        news.put.extend(doubtful.into_iter().map(|href| Member::new(&href, None)));
        news.unheard = report.unheard;
        news.token = report.token;
        Ok(news)
    }

    /// Where the next sync starts from.
    fn next_state(&self, before: Option<&SyncState>, news: &News, outcome: &CalendarReport) -> SyncState {
        let whole = news.is_whole;
        let compared = match before {
            Some(before) if !whole => before.compared(),
            _ => Compared { at: self.synced_at, objects: outcome.objects },
        };
        let next = SyncState::after(self.listed, news.token.clone(), compared, self.server);
        let next = if whole { next } else { next.reported(self.synced_at) };
        next.unconfirmed(before, !news.gone.is_empty(), self.synced_at)
    }

    async fn hand_in(
        &self,
        news: News,
        kept: &Kept,
        outstanding: &mut OutstandingObjects,
        checkpoint: Checkpoint,
        outcome: &mut CalendarReport,
    ) -> Result<(), CaldavError> {
        let changes = news.gone.into_iter().map(|href| Change::Gone { href }).collect();
        let mut hand_in = HandIn { kept, outstanding, outcome, changes, came: Vec::new() };
        let mut fetcher = Fetcher::new(self.dav, self.url);
        let (mut octets, mut fetched_before) = (0, 0);
        for chunk in news.put.chunks(CHUNK) {
            if hand_in.changes.len() + chunk.len() > BATCH || octets > BATCH_OCTETS {
                self.deliver(&mut hand_in, None).await?;
                octets = 0;
            }
            let fetched = fetcher.fetch(chunk).await?;
            octets += fetched.objects.iter().map(|(_, object)| object.text.len()).sum::<usize>();
            let came = fetched.objects.len();
            self.sort(fetched, &mut hand_in);
            self.report_progress(kept.len(), news.put.len(), &mut fetched_before, came).await;
        }
        // Without a checkpoint the next sync asks again, and finds those that are missing now.
        let now = self.clock.now();
        let is_held = hand_in.outcome.is_held || hand_in.outstanding.holds_back(now);
        self.deliver(&mut hand_in, (!is_held).then_some(checkpoint)).await?;
        outcome.faults.extend(outstanding.faults(now));
        if let Some(soon) = outstanding.soon(now) {
            outcome.sync_in(soon);
        }
        Ok(())
    }

    /// Reports now and then how many objects of a long sync were fetched: of `all`, besides the `known` ones.
    async fn report_progress(&self, known: usize, all: usize, fetched: &mut usize, more: usize) {
        let before = *fetched;
        *fetched += more;
        if all > 2 * REPORT_EVERY && before / REPORT_EVERY < *fetched / REPORT_EVERY {
            let (have, name) = (*fetched, &self.calendar.name);
            let said = match known {
                0 => format!("first sync of '{name}': {have} of {all} objects"),
                _ => format!("sync of '{name}': {have} of {all} objects that are new, besides {known}"),
            };
            self.store.progress(self.source, KIND, said).await;
        }
    }

    /// Hands in what has come together, and remembers whose text cannot be used.
    async fn deliver(&self, hand_in: &mut HandIn<'_>, checkpoint: Option<Checkpoint>) -> Result<(), CaldavError> {
        let changes = mem::take(&mut hand_in.changes);
        hand_in.outcome.changes += changes.len();
        let now = self.clock.now();
        let mut etags: HashMap<String, String> = HashMap::new();
        for change in &changes {
            if let Change::Put { href, etag, .. } = change {
                etags.insert(href.clone(), etag.clone());
            }
        }
        let taken = self.apply(changes, checkpoint).await?;
        let doubts: HashSet<String> =
            taken.unreadable.iter().chain(&taken.unsure).map(|href| href::key(href)).collect();
        mem::take(&mut hand_in.came)
            .iter()
            .filter(|href| !doubts.contains(&href::key(href)))
            .for_each(|href| hand_in.outstanding.settle(href));
        for (hrefs, why) in
            [(taken.unreadable, OutstandingReason::Unreadable), (taken.unsure, OutstandingReason::Doubted)]
        {
            for href in hrefs {
                // The version that was named: another one that comes is not the one that is waited for. What did not
                // come at all is outstanding already.
                let Some(etag) = etags.remove(&href) else { continue };
                let etag = Some(etag).filter(|etag| !etag.is_empty());
                hand_in.outstanding.note(&Member { href, etag, stamp: None }, why, String::new(), now);
            }
        }
        Ok(())
    }

    /// Makes changes of what was fetched, and remembers what did not come.
    fn sort(&self, fetched: Fetched, hand_in: &mut HandIn<'_>) {
        let now = self.clock.now();
        for (member, object) in fetched.objects {
            self.sort_object(&member, object, now, hand_in);
        }
        for member in fetched.missing {
            let said = format!(
                "{} is listed and does not exist (404): its known alarms stay scheduled; it is asked for again",
                member.href
            );
            hand_in.note_outstanding(&member, OutstandingReason::Lagging, said, now);
        }
        for (member, error) in fetched.refused {
            // What it is too large for is not asked for at each sync.
            let why = if matches!(error, CaldavError::TooLarge { .. }) {
                OutstandingReason::TooLarge
            } else {
                OutstandingReason::Refused
            };
            let so = becomes(hand_in.kept, &member);
            hand_in.note_outstanding(&member, why, format!("an object is {so}: {error}"), now);
        }
        for (member, why) in fetched.later {
            hand_in.note_outstanding(
                &member,
                OutstandingReason::Failing,
                format!("an object could not be read: {why}"),
                now,
            );
        }
    }

    fn sort_object(&self, member: &Member, object: FetchedObject, now: UtcMillis, hand_in: &mut HandIn<'_>) {
        let HandIn { kept, outstanding, changes, came, .. } = hand_in;
        if object.text.len() > self.max_size {
            let (href, limit) = (&member.href, self.max_size);
            let so = becomes(kept, member);
            let said = format!("{href} is larger than {limit} octets and {so}: see limits.max_object_size");
            return outstanding.note(member, OutstandingReason::TooLarge, said, now);
        }
        let mut etag = object.etag.or_else(|| member.etag.clone()).unwrap_or_default();
        let is_named = member.etag.as_ref().is_none_or(|named| is_same_etag(named, &etag));
        let href = kept.spelled(member).unwrap_or(object.href);
        let put = |etag| Change::Put {
            href,
            etag,
            text: object.text,
            last_modified: self.last_modified(object.modified, now),
        };
        match member.etag.as_ref().filter(|_| !is_named) {
            None => {
                outstanding.arrived(&member.href);
                came.push(member.href.clone());
            }
            Some(named) => {
                let why = if kept.is(member, &etag) { OutstandingReason::Lagging } else { OutstandingReason::Unsure };
                if outstanding.is_late(member, why, now) {
                    // Another spelling of it, or a server that never says the same twice.
                    etag.clone_from(named);
                    outstanding.settle(&member.href);
                } else {
                    let said = format!("{} is given as it was before it changed: it is asked for again", member.href);
                    outstanding.note(member, why, said, now);
                }
            }
        }
        changes.push(put(etag));
    }

    /// When an object was written, by this machine's clock. What would be still to come is not known.
    fn last_modified(&self, modified: Option<UtcMillis>, now: UtcMillis) -> Option<UtcMillis> {
        modified.map(|modified| modified.saturating_add(self.ahead)).filter(|modified| *modified <= now)
    }

    /// Hands in one batch.
    pub async fn apply(&self, changes: Vec<Change>, checkpoint: Option<Checkpoint>) -> Result<Taken, CaldavError> {
        let batch = ChangeBatch {
            calendar: self.calendar.clone(),
            made: None,
            synced_at: self.synced_at,
            changes,
            checkpoint,
            begun: Some(SyncState::begun(self.listed, self.server).checkpoint()),
            may_lag: true,
        };
        Ok(self.store.apply(self.source, batch).await?)
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::weak_wait;

    #[test]
    fn a_version_that_is_always_the_present_second_is_asked_for_less_and_less_often() {
        let waits: Vec<i128> = (1..=8).map(|syncs| weak_wait(syncs).as_millis()).collect();
        assert_eq!(waits, [1_500, 1_500, 1_500, 1_500, 1_500, 3_000, 6_000, 12_000]);
        assert!(weak_wait(u32::MAX) > SignedDuration::from_hours(24));
    }
}

//! A sync of a feed: fetching it, and handing in what differs from what is known.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::SignedDuration;
use sha2::{Digest as _, Sha256};

use super::doubt::{Belief, Counts, weigh};
use super::error::IcsError;
use super::feed_client::FetchedFeed;
use super::feed_state::{FeedProperties, FeedState, Validators};
use super::{IcsSource, pace};
use crate::calendar::ical::split::{SplitCalendar, SplitObject, split};
use crate::source::contract::{Change, ChangeBatch, Evidence, Known, SyncReport, SyncStore};
use crate::text::hex;
use crate::time::{UtcMillis, non_negative};

/// Objects that are handed in at a time.
const BATCH: usize = 1_000;
/// A UID of more octets is not part of an href.
const MAX_NAME: usize = 200;
/// All objects may have so many times the octets that a response may have: each repeats the time zones that it uses.
const MAX_GROWTH: usize = 4;
/// The status of a server that has taken a calendar away for good.
const GONE: u16 = 410;

/// How a fetch differs from what is known.
#[derive(Debug, Default)]
struct FeedChanges {
    /// Indices of objects that are new or have changed.
    put: Vec<usize>,
    /// Hrefs.
    gone: Vec<String>,
    /// A sentence, if it is doubted that events are gone.
    fault: Option<String>,
    /// Since when many are missing that are kept.
    missing_since: Option<UtcMillis>,
    /// How long until that is believed.
    again_in: Option<Duration>,
}

/// What a sync begins with.
#[derive(Debug)]
struct Before {
    /// The calendar, as it is known; none: it is new.
    known: Option<Known>,
    state: FeedState,
    synced_at: UtcMillis,
    /// The objects that are known are those of `state`: no sync of this process has broken off since.
    is_settled: bool,
}

impl IcsSource {
    /// Fetches the feed if it has changed, and hands in what differs from what `store` knows.
    ///
    /// # Errors
    /// [`IcsError`]; then nothing was handed in, or a part that the next sync begins with again.
    pub async fn sync_feed(&mut self, store: &impl SyncStore) -> Result<SyncReport, IcsError> {
        let (synced_at, sent) = (self.clock.now(), self.client.sent());
        let known = self.known(store).await?;
        let state = FeedState::read(known.as_ref().and_then(|known| known.checkpoint.as_ref()));
        let before = Before { known, state, synced_at, is_settled: self.is_settled };
        let condition = before.state.condition(synced_at).filter(|_| before.is_settled);
        let fetched = match self.client.fetch(condition).await {
            Ok(fetched) => fetched,
            Err(error) => {
                self.note_absence(store, &before, &error).await?;
                return Err(error);
            }
        };
        // If it breaks off in the middle, a file that is as before has changed all the same.
        self.is_settled = false;
        let mut report = if fetched.response.status == 200 {
            self.take(store, &before, fetched).await?
        } else {
            self.hand_in(store, &before, &before.state, Vec::new()).await?;
            self.report(&before.state)
        };
        self.is_settled = true;
        report.requests = self.client.sent().saturating_sub(sent);
        Ok(report)
    }

    /// What is known of the calendar. Others of this source, which was of another kind then, are dropped.
    async fn known(&self, store: &impl SyncStore) -> Result<Option<Known>, IcsError> {
        let mut own = None;
        for known in store.calendars(&self.source.name).await? {
            if known.href == self.source.name {
                own = Some(known);
            } else {
                store.calendar_gone(&self.source.name, &known.href).await?;
            }
        }
        Ok(own)
    }

    /// Notes that the calendar is absent, if `error` says that.
    async fn note_absence(&self, store: &impl SyncStore, before: &Before, error: &IcsError) -> Result<(), IcsError> {
        let (IcsError::NotFound { status, .. }, Some(known)) = (error, &before.known) else { return Ok(()) };
        // A server that says 410 means it; one that says 404 may not be itself.
        let evidence = if *status == GONE { Evidence::Healthy } else { Evidence::AllGone };
        store.calendar_absent(&self.source.name, &known.href, before.synced_at, evidence).await?;
        Ok(())
    }

    /// Takes in a file that was `fetched`.
    async fn take(
        &self,
        store: &impl SyncStore,
        before: &Before,
        fetched: FetchedFeed,
    ) -> Result<SyncReport, IcsError> {
        let FetchedFeed { response, address, shown } = fetched;
        let octets = hex(Sha256::digest(&response.body).iter().take(16));
        let mut state = FeedState {
            validators: Validators::new(address, response.etag.as_deref(), response.modified),
            octets,
            max_age: response.max_age.map(|age| age.as_secs()),
            read_at: before.synced_at.0,
            stated: before.state.stated.clone(),
            missing_since: None,
        };
        let is_same = before.is_settled && before.state.octets == state.octets;
        if is_same && before.state.missing_since.is_none() {
            self.hand_in(store, before, &state, Vec::new()).await?;
            return Ok(self.report(&state));
        }
        let kind = response.content_type.split(';').next().unwrap_or_default().trim().to_owned();
        let answer = match (response.body.is_empty(), kind.is_empty()) {
            (true, _) => "nothing".to_owned(),
            (_, true) => "a body without a Content-Type".to_owned(),
            _ => kind,
        };
        let body = response.body;
        let read = tokio::task::spawn_blocking(move || split(&body)).await;
        let read = read.map_err(|error| IcsError::Aborted(error.to_string()))?;
        let feed = read.map_err(|error| IcsError::NotACalendar { url: shown.clone(), answer, error })?;
        self.check(&feed, &shown)?;
        state.stated = FeedProperties::new(feed.stated.clone());
        let mut difference = self.compare(store, before, &feed).await?;
        state.missing_since = difference.missing_since.map(|since| since.0);
        let mut report = self.report(&state);
        report.changes = difference.put.len() + difference.gone.len();
        report.faults.extend(difference.fault.take());
        report.again_in = difference.again_in;
        self.apply(store, before, &state, &feed, difference).await?;
        Ok(report)
    }

    /// What is reported of a sync at which nothing has changed and after which the feed is as in `state`.
    fn report(&self, state: &FeedState) -> SyncReport {
        let interval = pace::interval(&self.settings, state.stated.refresh(), state.max_age());
        SyncReport { calendars: 1, interval: Some(interval), ..SyncReport::default() }
    }

    /// Refuses a feed that is not whole, or too large.
    fn check(&self, feed: &SplitCalendar, shown: &str) -> Result<(), IcsError> {
        let url = shown.to_owned();
        if !feed.is_whole {
            return Err(IcsError::CutOff { url });
        }
        let size = feed.objects.iter().map(|object| feed.size_of(object)).fold(0, usize::saturating_add);
        if size > self.max_size.saturating_mul(MAX_GROWTH) {
            return Err(IcsError::TooManyZones { url, size, times: MAX_GROWTH, limit: self.max_size });
        }
        Ok(())
    }

    /// Compares `feed` with the objects that are known.
    async fn compare(
        &self,
        store: &impl SyncStore,
        before: &Before,
        feed: &SplitCalendar,
    ) -> Result<FeedChanges, IcsError> {
        let etags = match &before.known {
            Some(known) => store.etags(&self.source.name, &known.href).await?,
            None => HashMap::new(),
        };
        let mut difference = FeedChanges::default();
        let mut listed = HashSet::with_capacity(feed.objects.len());
        for (index, object) in feed.objects.iter().enumerate() {
            let href = href(object);
            if etags.get(&href) != Some(&object.digest) {
                difference.put.push(index);
            }
            listed.insert(href);
        }
        let known = etags.len();
        difference.gone = etags.into_keys().filter(|href| !listed.contains(href)).collect();
        let counts = Counts { known, listed: listed.len(), gone: difference.gone.len() };
        let since = before.state.missing_since.map(UtcMillis);
        if let Belief::Doubted { since, left } = weigh(counts, since, before.synced_at) {
            difference.doubt(counts, since, left);
        }
        Ok(difference)
    }

    /// Hands `difference` in, in batches; only the last one has the checkpoint.
    async fn apply(
        &self,
        store: &impl SyncStore,
        before: &Before,
        state: &FeedState,
        feed: &SplitCalendar,
        difference: FeedChanges,
    ) -> Result<(), IcsError> {
        let gone = difference.gone.into_iter().map(|href| Change::Gone { href });
        let put = |index: &usize| {
            let object = feed.objects.get(*index)?;
            let (href, etag) = (href(object), object.digest.clone());
            Some(Change::Put { href, etag, text: feed.text_of(object), last_modified: None })
        };
        let (whole, rest) = difference.put.split_at(difference.put.len() / BATCH * BATCH);
        for chunk in whole.chunks(BATCH) {
            let changes = chunk.iter().filter_map(put).collect();
            store.apply(&self.source.name, self.batch(before, state, changes)).await?;
        }
        self.hand_in(store, before, state, rest.iter().filter_map(put).chain(gone).collect()).await
    }

    /// A batch without a checkpoint.
    fn batch(&self, before: &Before, state: &FeedState, changes: Vec<Change>) -> ChangeBatch {
        ChangeBatch {
            calendar: self.seen(&state.stated),
            made: None,
            synced_at: before.synced_at,
            changes,
            checkpoint: None,
            begun: None,
            may_lag: false,
        }
    }

    /// Hands in the last `changes` of a sync, with which the feed is as in `state`; if there are none, and nothing
    /// else has changed, only that it was synced.
    async fn hand_in(
        &self,
        store: &impl SyncStore,
        before: &Before,
        state: &FeedState,
        changes: Vec<Change>,
    ) -> Result<(), IcsError> {
        let batch = self.batch(before, state, changes);
        let is_same = |known: &Known| before.state == *state && known.seen == batch.calendar;
        if batch.changes.is_empty() && before.known.as_ref().is_some_and(is_same) {
            store.unchanged(&self.source.name, &batch.calendar.href, before.synced_at).await?;
        } else {
            store.apply(&self.source.name, ChangeBatch { checkpoint: Some(state.checkpoint()), ..batch }).await?;
        }
        Ok(())
    }
}

impl FeedChanges {
    /// Keeps what is gone: it is missing since then, and counts as gone after `left` if it still is.
    fn doubt(&mut self, counts: Counts, since: UtcMillis, left: SignedDuration) {
        let Counts { known, gone, listed } = counts;
        let until = if listed == 0 { "for a day" } else { "at another fetch" };
        self.fault = Some(format!(
            "the feed no longer has {gone} of {known} events: their alarms stay scheduled until it says so {until} as well"
        ));
        self.missing_since = Some(since);
        self.again_in = Some(non_negative(left));
        self.gone.clear();
    }
}

/// The name of an object in the calendar: its UID, encoded so that it is one in any path.
fn href(object: &SplitObject) -> String {
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.@".contains(&octet);
    match &object.uid {
        Some(uid) if uid.len() <= MAX_NAME => {
            let mut href = String::with_capacity(uid.len() + 4);
            for octet in uid.bytes() {
                match is_plain(octet) {
                    true => href.push(char::from(octet)),
                    false => href.push_str(&format!("%{octet:02X}")),
                }
            }
            href + ".ics"
        }
        // No encoded UID begins with a tilde.
        Some(uid) => format!("~{}.ics", hex(Sha256::digest(uid).iter().take(16))),
        None => format!("~{}.ics", object.name),
    }
}

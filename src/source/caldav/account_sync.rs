//! One sync of a whole account.

use std::collections::{BTreeMap, HashSet};

use jiff::SignedDuration;
use tracing::Instrument as _;

use super::absent::Missing;
use super::account::{Account, ListedAt};
use super::calendar_sync::{CalendarReport, CalendarSync};
use super::error::CaldavError;
use super::requests::find_calendars::ListedCalendar;
use super::sync_state::{ServerTime, SyncMode, SyncState, sync_mode};
use super::whose::ListedAccount;
use super::{CaldavSource, CalendarMemory, MAX_FAILING, href};
use crate::source::contract::{CalendarInfo, Evidence, Known, SyncReport, SyncStore};
use crate::time::UtcMillis;

/// Change reports that a server may refuse one after the other before it is asked for none until the next discovery.
const MAX_REFUSALS: u32 = 2;
/// Syncs that a new calendar waits for properties that its server cannot give.
const MAX_WAITS: u32 = 3;

/// How long the date of a response stands for: it is cut off to its second.
const DATE: SignedDuration = SignedDuration::from_secs(1);

/// Times that the DAV:creationdate of a calendar may change before it means nothing.
const MAX_CREATED: u32 = 3;

/// What came of syncing one calendar.
enum Reading {
    Done {
        is_known: bool,
    },
    /// Its server says that it is not there, or not for this account; `href` is in the ledger.
    Refused {
        href: String,
    },
    /// It was not read, and a fault says why.
    Not,
}

/// What came of syncing the calendars of an account.
#[derive(Default)]
struct Readings {
    /// One that is in the ledger was read.
    has_known: bool,
    /// The hrefs of those that are in the ledger, and refused.
    refused: Vec<String>,
}

impl Readings {
    fn add(&mut self, reading: Reading) {
        match reading {
            Reading::Done { is_known } => self.has_known |= is_known,
            Reading::Refused { href } => self.refused.push(href),
            Reading::Not => {}
        }
    }
}

/// A sync of an account.
struct AccountSync<'a> {
    account: &'a Account,
    at: SyncStart,
}

/// When a sync began, by this machine's clock and by the server's.
#[derive(Clone, Copy, Debug)]
struct SyncStart {
    here: UtcMillis,
    there: ServerTime,
    /// How far this machine's clock is ahead of the server's.
    ahead: SignedDuration,
}

impl SyncStart {
    /// Of a listing that was asked for at `sent` and had come at `came`, with the server's `date`.
    fn new(sent: UtcMillis, came: UtcMillis, date: Option<UtcMillis>) -> SyncStart {
        let Some(date) = date else {
            let there = ServerTime { from: sent, until: came.saturating_add(DATE) };
            return SyncStart { here: sent, there, ahead: SignedDuration::ZERO };
        };
        let until = date.saturating_add(DATE);
        let took = came.duration_since(sent).max(SignedDuration::ZERO);
        let there = ServerTime { from: date.saturating_sub(took), until };
        let (least, most) = (sent.duration_since(until), came.duration_since(date));
        // What was written rather counts as earlier than it was: then nothing is lost.
        let ahead = if !least.is_positive() && !most.is_negative() { SignedDuration::ZERO } else { least };
        SyncStart { here: sent, there, ahead }
    }
}

impl CaldavSource {
    /// Syncs the whole account once: hands in what differs from what was handed in before. A calendar that fails
    /// does not stop the others.
    ///
    /// # Errors
    /// When the account cannot be synced: no answer, no login, nothing there; or [`CaldavError::Store`].
    pub async fn sync_account(&mut self, store: &impl SyncStore) -> Result<SyncReport, CaldavError> {
        let report = self.sync_once(store).await;
        if report.as_ref().is_err_and(CaldavError::breaks_trust) {
            self.failures = self.failures.saturating_add(1);
        }
        report
    }

    async fn sync_once(&mut self, store: &impl SyncStore) -> Result<SyncReport, CaldavError> {
        let sent = self.dav.http().sent();
        let here = self.clock.now();
        let ListedAccount { account, listing } = match self.listing(here).await {
            Err(refusal) if refusal.is_refusal() => {
                self.all_absent(store, here).await?;
                return Err(refusal);
            }
            found => found?,
        };
        let at = SyncStart::new(here, self.clock.now(), listing.server_now);
        let mut report = SyncReport::default();
        let mut known: BTreeMap<String, Known> = BTreeMap::new();
        for calendar in store.calendars(&self.source.name).await? {
            known.insert(href::key(&calendar.href), calendar);
        }
        let listed: HashSet<String> =
            listing.calendars.iter().map(|calendar| href::key(&calendar.listed.href)).collect();
        self.memory.retain(|key, _| listed.contains(key) || known.contains_key(key));
        let mut watched: Vec<&ListedAt> =
            listing.calendars.iter().filter(|calendar| self.is_watched(calendar)).collect();
        // What failed comes last, and else what was not tried for longest comes first: one at which each sync ends does
        // not keep the others from being read.
        watched.sort_by_key(|calendar| self.turn(calendar));
        report.calendars = watched.len();
        let urls = watched.iter().map(|calendar| (href::key(&calendar.listed.href), calendar.url.clone()));
        self.watched = urls.collect();
        let finds_known = listed.iter().any(|key| known.contains_key(key));
        let sync = AccountSync { account: &account, at };
        self.sync_all(store, &sync, watched, &mut known, &mut report).await?;
        let missing = Missing { account: &account, listing: &listing, at: here, finds_known };
        self.settle_missing(store, missing, known.into_values().collect(), &mut report).await?;
        report.requests = self.dav.http().sent() - sent;
        Ok(report)
    }

    fn turn(&self, calendar: &ListedAt) -> (bool, u64) {
        let memory = self.memory.get(&href::key(&calendar.listed.href));
        memory.map_or((false, 0), |memory| (memory.failure.is_some(), memory.turn))
    }

    /// Syncs one calendar after the other. One that fails is a fault. Where several do so, one after the other and
    /// as on a server that is down, the sync ends; but not for those that failed at their last sync already.
    async fn sync_all(
        &mut self,
        store: &impl SyncStore,
        sync: &AccountSync<'_>,
        watched: Vec<&ListedAt>,
        known: &mut BTreeMap<String, Known>,
        report: &mut SyncReport,
    ) -> Result<(), CaldavError> {
        let (mut failing, mut newly) = (0, 0);
        let mut readings = Readings::default();
        for calendar in watched {
            let key = href::key(&calendar.listed.href);
            let known = known.remove(&key);
            let before = self.memory.entry(key.clone()).or_default().failure.clone();
            if let Some(before) = before.clone().filter(|_| failing >= MAX_FAILING) {
                report.faults.push(before);
                continue;
            }
            let sent = self.dav.http().sent();
            let failure = match self.sync_one(store, sync, calendar, known, report).await {
                Err(error) if !error.may_concern_the_server() => return Err(error),
                Err(error) => Some(error),
                Ok(reading) => {
                    readings.add(reading);
                    None
                }
            };
            self.memory.entry(key).or_default().failure = failure.as_ref().map(CaldavError::to_string);
            match failure {
                Some(error) => {
                    failing += 1;
                    newly += usize::from(before.is_none());
                    if newly >= MAX_FAILING {
                        return Err(error);
                    }
                    report.faults.push(error.to_string());
                }
                None if self.dav.http().sent() > sent => (failing, newly) = (0, 0),
                None => {}
            }
        }
        // Where all are refused, it is the account that is out of order.
        let evidence = if readings.has_known { Evidence::Healthy } else { Evidence::AllGone };
        for href in readings.refused {
            report.changes += self.absent(store, &href, sync.at.here, evidence).await?;
        }
        Ok(())
    }

    /// Syncs one calendar, and notes its faults.
    ///
    /// # Errors
    /// Those that concern the whole account, or may.
    async fn sync_one(
        &mut self,
        store: &impl SyncStore,
        sync: &AccountSync<'_>,
        calendar: &ListedAt,
        known: Option<Known>,
        report: &mut SyncReport,
    ) -> Result<Reading, CaldavError> {
        self.turns = self.turns.saturating_add(1);
        self.memory.entry(href::key(&calendar.listed.href)).or_default().turn = self.turns;
        if !self.is_clear(calendar, known.as_ref(), &mut report.faults) {
            return Ok(Reading::Not);
        }
        let calendar = &*self.with_zone(calendar, known.as_ref(), sync.at.here, &mut report.faults).await?;
        let seen = self.seen(sync.account, calendar, known.as_ref());
        let href = known.as_ref().map(|known| known.href.clone());
        let span = tracing::debug_span!("calendar", calendar.href = calendar.listed.href);
        match (self.sync_calendar(store, calendar, seen, known, sync.at).instrument(span).await, href) {
            (Ok(outcome), href) => {
                report.changes += outcome.changes;
                report.faults.extend(outcome.faults);
                report.again_in = report.again_in.into_iter().chain(outcome.again_in).min();
                Ok(Reading::Done { is_known: href.is_some() })
            }
            (Err(error), _) if error.concerns_the_account() || error.may_concern_the_server() => Err(error),
            // A right that was taken back, or a calendar that went since it was listed.
            (Err(error @ (CaldavError::Forbidden { .. } | CaldavError::NotFound { .. })), Some(href)) => {
                report.faults.push(error.to_string());
                Ok(Reading::Refused { href })
            }
            (Err(error), _) => {
                report.faults.push(error.to_string());
                Ok(Reading::Not)
            }
        }
    }

    /// Whether enough is known of a calendar to sync it; what is not is a fault. A new one waits a little for what
    /// its server cannot say now, one that is known keeps what it had.
    fn is_clear(&mut self, calendar: &ListedAt, known: Option<&Known>, faults: &mut Vec<String>) -> bool {
        let failing = calendar.listed.failing();
        let memory = self.memory.entry(href::key(&calendar.listed.href)).or_default();
        if failing.is_empty() {
            memory.waits = 0;
            return true;
        }
        memory.waits = memory.waits.saturating_add(1);
        let waits = known.is_none() && memory.waits <= MAX_WAITS;
        let so = if waits { "it is not taken in yet" } else { "what was known of that stays" };
        faults.push(format!("{}: its server does not say its {}; {so}", calendar.url, failing.join(", ")));
        !waits
    }

    async fn sync_calendar(
        &mut self,
        store: &impl SyncStore,
        calendar: &ListedAt,
        seen: CalendarInfo,
        known: Option<Known>,
        at: SyncStart,
    ) -> Result<CalendarReport, CaldavError> {
        let memory = self.memory.entry(href::key(&calendar.listed.href)).or_default();
        let listed = memory.steadied(&calendar.listed);
        let sync = CalendarSync {
            dav: &self.dav,
            store,
            source: &self.source.name,
            calendar: &seen,
            url: &calendar.url,
            listed: &listed,
            synced_at: at.here,
            clock: &self.clock,
            server: at.there,
            ahead: at.ahead,
            max_size: self.max_size,
        };
        let state = known.as_ref().and_then(|known| SyncState::read(known.checkpoint.as_ref()?));
        let mode = memory.sync_mode(state.as_ref(), &listed, at.here, self.failures);
        let has_outstanding = !memory.unsettled.outstanding.due(at.here).is_empty();
        let outcome = match (mode, known) {
            (SyncMode::UpToDate, Some(_)) if !has_outstanding && memory.seen.as_ref() == Some(&seen) => {
                store.unchanged(&self.source.name, &seen.href, at.here).await?;
                memory.resting(state.as_ref(), at.here)
            }
            // Its name or its user may be other than what the ledger has.
            (SyncMode::UpToDate, Some(known)) if !has_outstanding => {
                sync.apply(Vec::new(), known.checkpoint).await?;
                memory.resting(state.as_ref(), at.here)
            }
            (mode, _) => {
                let asks_for_report = matches!(mode, SyncMode::Delta { .. });
                let outcome = sync.run(state.as_ref(), mode, &mut memory.unsettled).await?;
                if asks_for_report {
                    memory.refusals = if outcome.report_refused { memory.refusals + 1 } else { 0 };
                }
                outcome
            }
        };
        memory.seen = Some(seen);
        memory.read = (!outcome.is_held).then_some((at.here, self.failures));
        Ok(outcome)
    }
}

impl CalendarMemory {
    /// What is to be done with a calendar that was read up to `state` and is now `listed`, when the source has failed
    /// so many times.
    fn sync_mode(
        &mut self,
        state: Option<&SyncState>,
        listed: &ListedCalendar,
        now: UtcMillis,
        failures: u64,
    ) -> SyncMode {
        // What this process has not compared since the source failed may have become another calendar unseen.
        let doubts = self.read.take().is_none_or(|(_, before)| before != failures);
        sync_mode(state, listed, now, self.refusals < MAX_REFUSALS, doubts)
    }

    /// What a sync that asks for nothing more reports of a calendar that was read up to `state`.
    fn resting(&self, state: Option<&SyncState>, at: UtcMillis) -> CalendarReport {
        let outstanding = &self.unsettled.outstanding;
        let mut outcome = CalendarReport { faults: outstanding.faults(at), ..CalendarReport::default() };
        let settles = state.and_then(|state| state.settles_in(at));
        outstanding.soon(at).into_iter().chain(settles).for_each(|wait| outcome.sync_in(wait));
        outcome
    }

    /// `listed`, without a creation date that is another one each time.
    fn steadied(&mut self, listed: &ListedCalendar) -> ListedCalendar {
        let (last, changes) = &mut self.created;
        if last.is_some() && *last != listed.created {
            *changes = changes.saturating_add(1);
        }
        last.clone_from(&listed.created);
        let created = listed.created.clone().filter(|_| *changes <= MAX_CREATED);
        ListedCalendar { created, ..listed.clone() }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::SyncStart;
    use crate::time::UtcMillis;

    #[test]
    fn clocks_that_may_be_right_are_not_corrected() {
        let sent = UtcMillis(1_795_382_222_500);
        let ahead = |date: i64, took: i64| {
            let came = sent.saturating_add(SignedDuration::from_millis(took));
            SyncStart::new(sent, came, Some(UtcMillis(date))).ahead.as_millis()
        };
        assert_eq!(ahead(1_795_382_222_000, 20), 0);
        assert_eq!(ahead(1_795_382_230_000, 9_000), 0, "it took long");
        assert_eq!(ahead(1_795_382_522_000, 20), -300_500, "the server is five minutes ahead");
        assert_eq!(ahead(1_795_381_922_000, 20), 299_500);
        assert!(SyncStart::new(sent, sent, None).ahead.is_zero());
    }
}

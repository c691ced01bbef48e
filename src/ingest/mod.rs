//! Applying what sources found: a change is planned, and goes into the ledger together with its calendar, its timer and
//! the checkpoint. It knows nothing of HTTP or files, and nothing of when alarms are fired.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use jiff::SignedDuration;

use crate::config::Config;
use crate::firing::same_context;
use crate::ledger::{
    CalendarKey, CalendarRow, Departed, DroppedSource, FireOutcome, LedgerError, Planned, PlannedObject, Retagged,
    SourceSync, UnchangedSync,
};
use crate::pipeline::PipelineContext;
use crate::source::{
    Absence, CalendarInfo, Change, ChangeBatch, Checkpoint, Evidence, Known, StoreError, SyncStore, Taken,
};
use crate::text::first_chars;
use crate::time::{UtcMillis, elapsed};
use echo::{Echo, Echoes, WeighedEchoes};
use sorting::{SortedBatch, Sorter};
use store_events::{BatchChange, ObjectsBefore};

mod absence;
mod attachments;
mod echo;
mod plan;
mod replan;
mod sorting;
mod store_events;

pub use plan::{Job, Past, PlanOutcome, Planner};

/// Syncs that found nothing are written into the ledger no more often than this.
const FLUSH: SignedDuration = SignedDuration::from_secs(60);
/// Applies the changes that sources report to the ledger.
#[derive(Debug)]
pub struct Ingest {
    planner: Planner,
    context: PipelineContext,
    /// Letters of a calendar's name and colour that are kept: both stand in each notification.
    max_name: usize,
    absent_grace: SignedDuration,
    max_lateness: SignedDuration,
    syncs: Mutex<Syncs>,
}

/// Syncs that found nothing and are not in the ledger yet.
#[derive(Debug, Default)]
struct Syncs {
    /// When the sync of a calendar began.
    latest: HashMap<CalendarKey, UtcMillis>,
    flushed: Option<UtcMillis>,
    /// When a sync found a calendar for the first time, of those that could not be taken in yet.
    found: HashMap<CalendarKey, UtcMillis>,
    /// Users for whom it was logged that no address is known.
    without_address: HashSet<String>,
    absent: absence::Absentees,
    /// What has its old text under a new entity tag.
    echoes: Echoes,
}

impl From<LedgerError> for StoreError {
    fn from(error: LedgerError) -> StoreError {
        StoreError(error.to_string())
    }
}

/// The calendar of a batch.
struct SyncedCalendar {
    /// As it is to be in the ledger.
    row: CalendarRow,
    /// As it is there.
    known: Option<CalendarRow>,
    /// When it was synced before: what was due until then has fired.
    previous: UtcMillis,
}

/// What a batch comes to.
#[derive(Debug, Default)]
struct PlannedBatch {
    put: Vec<PlannedObject>,
    /// Hrefs of texts that cannot be used.
    unreadable: Vec<String>,
}

impl Ingest {
    /// Into the ledger of `context`, with the limits of `config`.
    pub fn new(config: &Config, planner: Planner, context: PipelineContext) -> Ingest {
        let absent_grace = elapsed(config.defaults.absent_grace);
        let max_lateness = elapsed(config.defaults.max_lateness);
        let max_name = config.limits.max_name;
        Ingest { planner, context, max_name, absent_grace, max_lateness, syncs: Mutex::default() }
    }

    /// Writes down syncs that found nothing, so that the next start knows of them.
    pub async fn flush(&self) {
        let now = self.context.clock.now();
        let syncs: Vec<_> = {
            let mut syncs = self.syncs();
            syncs.flushed = Some(now);
            syncs.latest.drain().map(|(calendar, at)| UnchangedSync { calendar, at }).collect()
        };
        if syncs.is_empty() {
            return;
        }
        if let Err(error) = self.context.ledger.record_syncs(syncs, now).await {
            tracing::warn!(ledger.error = %error, "the times of the last syncs could not be recorded");
        }
    }

    /// Notes in the ledger how a sync of a source went.
    pub async fn record_source_sync(&self, name: &str, kind: &'static str, sync: SourceSync) {
        if let Err(error) = self.context.ledger.record_source_sync(name, kind, sync).await {
            tracing::warn!(source.name = name, ledger.error = %error, "how the sync went could not be recorded");
        }
    }

    /// Forgets the calendars of sources that are not among `names`: they are no longer configured.
    ///
    /// # Errors
    /// Those of the ledger.
    pub async fn keep_sources(&self, names: &[&str]) -> Result<(), LedgerError> {
        for DroppedSource { name, calendars } in self.context.ledger.keep_sources(names).await? {
            tracing::warn!(
                source.name = name,
                calendars,
                "this source is no longer configured: its calendars are forgotten; under another name they are seen for the first time"
            );
        }
        self.context.wakeup.wake();
        Ok(())
    }

    fn syncs(&self) -> std::sync::MutexGuard<'_, Syncs> {
        self.syncs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the calendar was synced last, before this sync: what was due before then has fired, or fires by what is
    /// in the ledger.
    fn previous_sync(&self, row: &CalendarRow) -> UtcMillis {
        let key = CalendarKey::new(&row.source, &row.info.href);
        let latest = self.syncs().latest.get(&key).map_or(row.last_synced_at, |at| row.last_synced_at.max(*at));
        // The clock may have been set back since.
        latest.min(self.context.clock.now())
    }

    /// What syncs that found nothing said of the calendar is superseded: this sync is in the ledger.
    fn forget_sync(&self, source: &str, calendar: &str) {
        self.syncs().latest.remove(&CalendarKey::new(source, calendar));
    }

    /// When a calendar that is not in the ledger was found: now, or by an earlier sync that could not be taken in.
    fn found(&self, source: &str, calendar: &str, synced_at: UtcMillis) -> UtcMillis {
        let key = CalendarKey::new(source, calendar);
        (*self.syncs().found.entry(key).or_insert(synced_at)).min(synced_at)
    }

    /// When a calendar was `made` that is not in the ledger, if that was after the last sync of its source that went
    /// well.
    async fn made_since(&self, source: &str, made: Option<UtcMillis>) -> Result<Option<UtcMillis>, LedgerError> {
        let Some(made) = made else { return Ok(None) };
        let last = self.context.ledger.source_last_synced_at(source).await?;
        Ok(last.filter(|last| *last < made).map(|_| made))
    }

    /// Warns, once, of a user to whom no mail can be sent although a sink should.
    fn warn_of_no_address(&self, row: &CalendarRow) {
        if row.info.emails.is_empty()
            && let Some(why) = self.planner.no_address(&row.info.user)
            && self.syncs().without_address.insert(row.info.user.clone())
        {
            tracing::warn!(source.name = row.source, user.id = row.info.user, "{why}");
        }
    }

    async fn take(&self, source: &str, batch: ChangeBatch) -> Result<Taken, LedgerError> {
        let now = self.context.clock.now();
        let SyncedCalendar { row, known, previous } = self.synced_calendar(source, &batch).await?;
        let advance = batch.checkpoint.is_some();
        let departed = self.departed(&row, &batch.changes, now);
        let (departed, sorted) = tokio::try_join!(departed, self.sort(row.id, batch.changes, batch.may_lag, now))?;
        let SortedBatch { jobs, mut retag, echoes, gone, went } = sorted;
        let before = ObjectsBefore::of(&self.planner, &jobs, went);
        let WeighedEchoes { believed, unsure } = self.weigh(row.id, &jobs, echoes, now);
        retag.extend(believed.into_iter().map(|echo| Retagged { object: echo.id, etag: echo.etag }));
        let doubted: Vec<i64> = unsure.iter().filter(|echo| !echo.is_noted).map(|echo| echo.id).collect();
        let unsure = unsure.into_iter().map(|echo| echo.href).collect();
        let replan = known.as_ref().is_some_and(|known| !same_context(&known.info, &row.info));
        let past = Past { gone: departed, ..self.past(&row, previous, replan) };
        let PlannedBatch { put, unreadable } = self.plan(&row, jobs, past, now).await;
        let nothing = put.is_empty() && retag.is_empty() && doubted.is_empty() && gone.is_empty() && !replan;
        if nothing && known.as_ref().is_some_and(|known| same(known, &row, advance)) {
            // A part of a sync is no sync: what comes in its other parts counts from the sync before.
            if advance {
                self.synced(source, &row.info.href, batch.synced_at).await;
            }
            return Ok(Taken { unreadable, unsure });
        }
        let replanned = if replan { self.replan(&row, &put, &gone, previous).await? } else { Vec::new() };
        let (known_row, unusable) = (known.as_ref(), &unreadable);
        let change = BatchChange { row: &row, known: known_row, before, put: &put, unusable, gone: &gone, now };
        let events = store_events::of_batch(&self.planner, &change);
        let href = row.info.href.clone();
        let (from, forget_before) = (previous, self.forget_before(now));
        let changes = put.len().saturating_add(gone.len());
        let planned =
            Planned { calendar: row, advance, put, retag, doubted, gone, replanned, events, from, now, forget_before };
        let outcome = self.context.ledger.take_in(planned).await?;
        self.announce_commit(outcome, now);
        self.context.metrics.changes(source, changes);
        if known.is_none() {
            self.syncs().found.remove(&CalendarKey::new(source, &href));
        }
        if advance {
            self.forget_sync(source, &href);
        }
        if known.is_some_and(|known| known.absent.is_some()) {
            self.is_back(source, &href).await?;
        }
        Ok(Taken { unreadable, unsure })
    }

    /// Lets the workers and the wheel know of a commit at `now`: it has recorded firings or deliveries, and may have
    /// changed timers.
    fn announce_commit(&self, outcome: FireOutcome, now: UtcMillis) {
        self.context.count_and_announce(outcome, now);
        self.context.wakeup.wake();
    }

    /// Lets the workers and the wheel read the ledger again: a sync that was broken off may have committed something
    /// and not announced it.
    pub fn announce_broken_off(&self) {
        self.context.new_deliveries.wake_workers();
        self.context.wakeup.wake();
    }

    /// The calendar of `batch`, as it is to be in the ledger.
    async fn synced_calendar(&self, source: &str, batch: &ChangeBatch) -> Result<SyncedCalendar, LedgerError> {
        let checkpoint = batch.checkpoint.clone().or_else(|| batch.begun.clone());
        let mut row = calendar_row(source, &batch.calendar, batch.synced_at, checkpoint);
        for text in [&mut row.info.name, &mut row.info.color] {
            *text = first_chars(text, self.max_name).to_owned();
        }
        self.warn_of_no_address(&row);
        if let Some(known) = self.context.ledger.calendar(source, &batch.calendar.href).await? {
            row = CalendarRow { id: known.id, first_seen: known.first_seen, was_read: known.was_read, ..row };
            // A sync that lies ahead was dated by a clock that has been set back since.
            let previous = self.previous_sync(&known).min(batch.synced_at);
            return Ok(SyncedCalendar { row, known: Some(known), previous });
        }
        // Seen for the first time: its past does not fire, but for what could not be seen since it was made.
        let made = self.made_since(source, batch.made).await?;
        let found = self.found(source, &row.info.href, batch.synced_at).min(made.unwrap_or(batch.synced_at));
        row.first_seen = found;
        Ok(SyncedCalendar { row, known: None, previous: found })
    }

    /// What is known of the time before a batch that comes into `row` now; `replan`: what its objects depend on besides
    /// their text has changed.
    fn past(&self, row: &CalendarRow, previous: UtcMillis, replan: bool) -> Past {
        let unsure = row.first_seen.max(self.forget_before(previous));
        Past { previous_sync: previous, unsure, gone: HashMap::new(), replan }
    }

    /// Plans `jobs`, and separates those that change something from those that cannot be used.
    async fn plan(&self, row: &CalendarRow, jobs: Vec<Job>, past: Past, now: UtcMillis) -> PlannedBatch {
        let mut planned = PlannedBatch::default();
        for outcome in self.planner.plan_all(row.clone(), jobs, past, now).await {
            planned.put.extend(outcome.object);
            planned.unreadable.extend(outcome.unreadable);
        }
        planned
    }

    /// What was gone not long ago of the calendars of the user of `row`, by UID, if `changes` may put some of it again.
    fn departed<'a>(
        &'a self,
        row: &'a CalendarRow,
        changes: &[Change],
        now: UtcMillis,
    ) -> impl Future<Output = Result<HashMap<String, Departed>, LedgerError>> + 'a {
        let may_put = changes.iter().any(|change| !matches!(change, Change::Gone { .. }));
        async move {
            if !may_put {
                return Ok(HashMap::new());
            }
            self.context.ledger.gone_uids(&row.info.user, self.forget_before(now)).await
        }
    }

    /// Sorts changes of the calendar with the id `calendar` (0: the ledger does not have it) against what is in the
    /// ledger.
    async fn sort(
        &self,
        calendar: i64,
        changes: Vec<Change>,
        may_lag: bool,
        now: UtcMillis,
    ) -> Result<SortedBatch, LedgerError> {
        let changes = sorting::last_changes(changes);
        let hrefs: Vec<&str> = changes.keys().map(String::as_str).collect();
        let (mut existing, mut unfired_since) = (HashMap::new(), HashMap::new());
        if calendar != 0 {
            existing = self.context.ledger.existing(calendar, &hrefs).await?;
            let new: Vec<&str> = hrefs.into_iter().filter(|href| !existing.contains_key(*href)).collect();
            if !new.is_empty() {
                unfired_since = self.context.ledger.gone(calendar, &new, self.forget_before(now)).await?;
            }
        }
        let mut sorter = Sorter { now, may_lag, existing, unfired_since, sorted: SortedBatch::default() };
        changes.into_values().for_each(|change| sorter.sort(change));
        Ok(sorter.sorted)
    }

    /// Which of `echoes` are believed; none any more of those that come with another text now.
    fn weigh(&self, calendar: i64, jobs: &[Job], echoes: Vec<Echo>, now: UtcMillis) -> WeighedEchoes {
        let mut syncs = self.syncs();
        jobs.iter().filter(|job| job.text.is_ok()).for_each(|job| syncs.echoes.forget(calendar, &job.href));
        syncs.echoes.weigh(calendar, echoes, now)
    }

    /// What was gone before then is not the same when it comes back.
    fn forget_before(&self, now: UtcMillis) -> UtcMillis {
        now.saturating_sub(self.absent_grace)
    }

    async fn synced(&self, source: &str, calendar: &str, at: UtcMillis) {
        let due = {
            let mut syncs = self.syncs();
            syncs.latest.insert(CalendarKey::new(source, calendar), at);
            let now = self.context.clock.now();
            let flushed = *syncs.flushed.get_or_insert(now);
            now < flushed || now.duration_since(flushed) >= FLUSH
        };
        if due {
            self.flush().await;
        }
    }
}

impl SyncStore for Ingest {
    async fn calendars(&self, source: &str) -> Result<Vec<Known>, StoreError> {
        let known = |row: CalendarRow| Known {
            href: row.info.href.clone(),
            seen: row.info,
            checkpoint: row.sync_state.map(|sync_state| Checkpoint { sync_state }),
            absent_since: row.absent.map(|absent| absent.since),
        };
        Ok(self.context.ledger.calendars(Some(source)).await?.into_iter().map(known).collect())
    }

    async fn progress(&self, source: &str, kind: &'static str, said: String) {
        tracing::info!(source.name = source, "{said}");
        if let Err(error) = self.context.ledger.source_progress(source, kind, said).await {
            tracing::warn!(source.name = source, ledger.error = %error, "how far the sync is could not be recorded");
        }
    }

    async fn etags(&self, source: &str, calendar: &str) -> Result<HashMap<String, String>, StoreError> {
        Ok(self.context.ledger.etags(source, calendar).await?)
    }

    async fn apply(&self, source: &str, batch: ChangeBatch) -> Result<Taken, StoreError> {
        Ok(self.take(source, batch).await?)
    }

    async fn unchanged(&self, source: &str, calendar: &str, synced_at: UtcMillis) -> Result<(), StoreError> {
        self.found_again(source, calendar).await?;
        self.synced(source, calendar, synced_at).await;
        Ok(())
    }

    async fn calendar_gone(&self, source: &str, calendar: &str) -> Result<(), StoreError> {
        // It is there, and is not wanted: nothing has happened to it.
        self.context.ledger.drop_calendar(source, calendar, Vec::new()).await?;
        self.context.metrics.changes(source, 1);
        self.context.wakeup.wake();
        Ok(())
    }

    async fn calendar_absent(
        &self,
        source: &str,
        calendar: &str,
        synced_at: UtcMillis,
        evidence: Evidence,
    ) -> Result<Absence, StoreError> {
        Ok(self.absent(source, calendar, synced_at, evidence).await?)
    }
}

/// The calendar `info` of `source`, as a sync that began at `synced_at` found it.
fn calendar_row(
    source: &str,
    info: &CalendarInfo,
    synced_at: UtcMillis,
    checkpoint: Option<Checkpoint>,
) -> CalendarRow {
    CalendarRow {
        id: 0,
        source: source.to_owned(),
        info: info.clone(),
        sync_state: checkpoint.map(|checkpoint| checkpoint.sync_state),
        last_synced_at: synced_at,
        first_seen: synced_at,
        absent: None,
        was_read: false,
    }
}

/// Whether nothing of the calendar itself has changed, the checkpoint included where it is to be taken over.
fn same(known: &CalendarRow, row: &CalendarRow, advance: bool) -> bool {
    let mut row = row.clone();
    row.last_synced_at = known.last_synced_at;
    if !advance {
        row.sync_state.clone_from(&known.sync_state);
    }
    *known == row
}

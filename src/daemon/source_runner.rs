//! Syncs one source again and again: when it reports a change, when its interval is over, when a sync is asked for.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::sync_schedule::{SyncReason, SyncSchedule, spread};
use crate::clock::Clock;
use crate::config::{Config, SourceConfig};
use crate::hints::{HintReceiver, SyncSummary};
use crate::http::Hosts;
use crate::ingest::Ingest;
use crate::ledger::SourceSync;
use crate::log_limit::{LogLimit, Logged};
use crate::metrics::{Metrics, SyncOutcome};
use crate::push::PushReceiver;
use crate::source::{
    ReportedChanges as _, ReportedScope, Source, SourceChanges, SyncError, SyncReport, SyncSource as _, WatchError,
};
use crate::time::UtcMillis;

/// That all is well is written into the ledger no more often than this.
const REPORT: SignedDuration = SignedDuration::from_mins(1);
/// Hints lead to no more than one sync in this time.
const HINT_GAP: Duration = Duration::from_secs(1);
/// After a sync that a hint has led to and that found nothing, another one comes after this: a proxy sends hints while
/// the server is still making the change.
const SYNC_AGAIN_AFTER: Duration = Duration::from_secs(2);
/// How long the last requests of a source that is over may take.
const LAST_REQUESTS: Duration = Duration::from_secs(5);
/// Lines an hour that the log has about faults of one source.
const FAULT_LINES: u32 = 20;
/// How often it is logged that a source cannot be read for the same cause.
const LOG_EVERY: SignedDuration = SignedDuration::from_hours(1);

/// A source and how its syncs went.
#[derive(Debug)]
pub struct SourceRunner {
    name: String,
    source: Source,
    clock: Clock,
    schedule: SyncSchedule,
    /// What the last sync said, when it failed.
    error: Option<String>,
    /// The failure that was last logged, without its numbers, and when.
    logged: Option<(String, UtcMillis)>,
    /// Why the source is not watched, though it can be read.
    refusal: Option<String>,
    /// What could not be read when it was last synced.
    faults: Vec<String>,
    /// For faults and links.
    log_limit: LogLimit,
    /// Calendars that were not found and are kept.
    absent: usize,
    /// What was said of links that are not followed: at the last sync of everything, and since.
    links: HashSet<String>,
    reported: Option<UtcMillis>,
    metrics: Metrics,
    hints: HintReceiver,
    /// When the next sync for a hint may begin.
    hint_gap_ends: Instant,
    /// When the source is synced once more for a hint that has led to nothing.
    sync_again_at: Option<Instant>,
}

/// What made a source be synced.
enum Cause {
    /// It has reported that.
    Changes(SourceChanges),
    Time,
    /// Somebody has asked for it, or a hint came.
    Wake,
}

impl SourceRunner {
    /// # Errors
    /// When the settings cannot work, such as a URL that is not valid.
    pub fn new(source: &SourceConfig, config: &Config, clock: &Clock, hosts: &Hosts) -> anyhow::Result<SourceRunner> {
        let mut source = source.clone();
        source.zone = source.zone.or_else(|| config.defaults.zone.clone());
        Ok(SourceRunner {
            source: Source::open(&source, &config.limits, clock, hosts)?,
            schedule: SyncSchedule::new(source.kind.interval()).with_hinted_interval(source.kind.hinted_interval()),
            name: source.name,
            clock: clock.clone(),
            error: None,
            logged: None,
            refusal: None,
            faults: Vec::new(),
            log_limit: LogLimit::new(FAULT_LINES),
            absent: 0,
            links: HashSet::new(),
            reported: None,
            metrics: Metrics::default(),
            hints: HintReceiver::default(),
            hint_gap_ends: Instant::now(),
            sync_again_at: None,
        })
    }

    /// Counts in `metrics` rather than in counters of its own.
    pub fn with_metrics(self, metrics: &Metrics) -> SourceRunner {
        SourceRunner { metrics: metrics.clone(), ..self }
    }

    /// Syncs sooner when `hints` get something.
    pub fn with_hints(self, hints: HintReceiver) -> SourceRunner {
        SourceRunner { hints, ..self }
    }

    /// Subscribes to pushes of the server, which arrive at `receiver`.
    pub fn receiving_pushes(mut self, receiver: Option<&PushReceiver>) -> SourceRunner {
        if let Some(receiver) = receiver {
            self.source.receive_pushes(receiver.clone(), self.hints.clone());
        }
        self
    }

    /// Tells the server of a source that is no longer synced that it has no more to send.
    pub async fn end(mut self) {
        if tokio::time::timeout(LAST_REQUESTS, self.source.end_subscriptions()).await.is_err() {
            tracing::debug!(
                source.name = self.name,
                "subscriptions of a source that is over could not be ended in time"
            );
        }
    }

    /// Syncs until `stop` resolves. `first` is called once the first sync is over, however it went.
    pub async fn run(&mut self, ingest: Arc<Ingest>, stop: impl Future<Output = ()>, first: impl FnOnce()) {
        let mut stop = std::pin::pin!(stop);
        // The sync that misses nothing comes in its time, however much is touched meanwhile.
        let mut next = tokio::select! {
            next = self.watch_and_sync(&ingest) => next,
            () = &mut stop => return first(),
        };
        first();
        if self.schedule.failures == 0 {
            next = next.min(Instant::now() + self.schedule.second(&self.name));
        }
        loop {
            let cause = tokio::select! {
                () = &mut stop => return,
                changes = self.source.changes() => Cause::Changes(changes),
                () = self.is_due(next) => Cause::Time,
                () = self.is_woken() => Cause::Wake,
            };
            let scope = match &cause {
                Cause::Changes(changes) => Some(changes.scope()),
                Cause::Time | Cause::Wake => None,
            };
            let is_rewatched = match scope {
                Some(ReportedScope::Everything) => true,
                // A watch that sees files change is none of a folder that is gone: it would have seen that too.
                Some(ReportedScope::Objects) if self.schedule.failures == 0 => false,
                _ => tokio::select! {
                    watch_is_stale = self.watch_is_stale() => watch_is_stale,
                    () = &mut stop => return,
                },
            };
            match cause {
                _ if is_rewatched => tokio::select! {
                    soonest = self.watch_and_sync(&ingest) => next = soonest,
                    () = &mut stop => return,
                },
                // A sync of files is short and is not broken off; one at a server may be waiting for it.
                Cause::Changes(changes) => {
                    if !self.sync_changes(&ingest, changes).await || self.absent > 0 {
                        next = next.min(Instant::now() + self.schedule.wait());
                    }
                }
                Cause::Time => tokio::select! {
                    _ = self.sync(&ingest) => next = Instant::now() + self.schedule.wait(),
                    () = &mut stop => return,
                },
                // Polls keep their time, whatever hints come: they show whether hints can be relied on.
                Cause::Wake => tokio::select! {
                    _ = self.sync(&ingest) => {
                        let soonest = Instant::now() + self.schedule.wait();
                        next = if self.schedule.failures > 0 { soonest } else { next.min(soonest) };
                    }
                    () = &mut stop => return,
                },
            }
        }
    }

    /// Whether the watch may see nothing of what is there: the source is gone or was replaced, or it is not watched.
    async fn watch_is_stale(&self) -> bool {
        let is_blind = self.schedule.failures > 0 || !self.source.is_watched();
        self.source.can_be_watched() && (is_blind || self.source.watch_is_stale().await)
    }

    /// Watches again, then syncs everything: a folder that came, or was replaced, may have got its files before it
    /// was watched. Returns when to sync next.
    async fn watch_and_sync(&mut self, ingest: &Ingest) -> Instant {
        match self.source.watch().await {
            // Where the folder is not there, the sync says so.
            Ok(()) | Err(WatchError::Absent) => {}
            Err(WatchError::Refused(reason)) => self.note_refusal(Some(reason)),
        }
        self.sync(ingest).await;
        let is_read = self.schedule.failures == 0 && self.refusal.is_none();
        if !self.source.is_watched() && is_read && self.source.can_be_watched() {
            // A folder that came between the two has to be synced once it is watched.
            return Instant::now();
        }
        Instant::now() + self.schedule.wait()
    }

    /// Notes whether the kernel refuses to watch the folder, or some of it.
    fn note_refusal(&mut self, refusal: Option<String>) {
        if let Some(refusal) = refusal.as_ref().filter(|_| self.refusal != refusal) {
            tracing::warn!(source.name = self.name, source.error = %refusal, "the folder is not watched");
        }
        self.schedule.refusals = if refusal.is_some() { self.schedule.refusals.saturating_add(1) } else { 0 };
        self.refusal = refusal;
    }

    /// Resolves at `next`, or sooner when what the last sync stumbled over may be out of the way.
    async fn is_due(&self, next: Instant) {
        let clear = async {
            match self.schedule.failures {
                0 => std::future::pending().await,
                _ => self.source.worth_a_try(self.schedule.obstacle, spread(&self.name)).await,
            }
        };
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            () = clear => {}
        }
    }

    /// Resolves when a hint, or somebody's wish, is reason to sync.
    async fn is_woken(&self) {
        // What has failed is tried again in its time: that covers hints as well.
        let heeds_hints = self.schedule.failures == 0;
        let sync_again_at = async {
            match self.sync_again_at.filter(|_| heeds_hints) {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.hints.due(self.hint_gap_ends, heeds_hints) => {}
            () = sync_again_at => {}
        }
    }

    /// Syncs everything; false when something of it could not be read.
    pub async fn sync(&mut self, ingest: &Ingest) -> bool {
        let at = self.clock.now();
        self.schedule.soon = None;
        let began = Instant::now();
        let (wake, sync_again_at) = (self.hints.take(), self.sync_again_at.take());
        self.hint_gap_ends = began + HINT_GAP;
        let span = tracing::debug_span!("sync", source.name = self.name);
        let outcome = self.source.sync(ingest).instrument(span).await;
        if self.count(began, &outcome, 0) == SyncOutcome::Complete {
            self.metrics.complete_sync(&self.name, at);
        }
        let (mut refusal, mut summary) = (None, SyncSummary::default());
        if let Ok(report) = &outcome {
            refusal = Some(report.unwatched.clone()).filter(|_| self.source.is_watched());
            self.absent = report.absent;
            self.schedule.soon = report.again_in;
            self.schedule.asked = report.interval;
            if wake.is_hinted && report.changes == 0 {
                self.sync_again_at = Some(began + SYNC_AGAIN_AFTER);
            }
            let reason = match (wake.is_hinted || sync_again_at.is_some(), wake.is_requested) {
                (true, _) => SyncReason::Hint,
                (false, true) => SyncReason::Other,
                (false, false) => SyncReason::Time,
            };
            self.schedule.weigh_hints(reason, report.changes);
            summary.changes = report.changes;
        }
        let is_well = self.note(ingest, at, outcome, None).await;
        summary.error.clone_from(&self.error);
        wake.finish(&summary);
        if let Some(refusal) = refusal {
            self.note_refusal(refusal);
        }
        is_well
    }

    /// Syncs what changed; false when something of that could not be read.
    async fn sync_changes(&mut self, ingest: &Ingest, changes: SourceChanges) -> bool {
        let at = self.clock.now();
        let others: Vec<String> = self.faults.iter().filter(|fault| !changes.concerns(fault)).cloned().collect();
        let began = Instant::now();
        let span = tracing::debug_span!("sync", source.name = self.name);
        let outcome = self.source.sync_changes(ingest, changes).instrument(span).await;
        self.count(began, &outcome, others.len());
        let mut refusal = None;
        if let Ok(report) = &outcome {
            refusal.clone_from(&report.unwatched);
            self.absent = self.absent.max(report.absent);
        }
        let is_well = self.note(ingest, at, outcome, Some(others)).await;
        if refusal.is_some() {
            self.note_refusal(refusal);
            return false;
        }
        is_well
    }

    /// Counts a sync; `others` are the faults of what it left as it was.
    fn count(&self, began: Instant, outcome: &Result<SyncReport, SyncError>, others: usize) -> SyncOutcome {
        let ended = match outcome {
            Ok(report) if report.faults.is_empty() && others == 0 => SyncOutcome::Complete,
            Ok(_) => SyncOutcome::Partial,
            Err(_) => SyncOutcome::Failed,
        };
        self.metrics.synced(&self.name, ended, began.elapsed());
        ended
    }

    /// Logs those links that are not followed and were not when that was last noted. `is_of_everything`: `notes` are of
    /// all that there are.
    fn note_links(&mut self, at: UtcMillis, notes: Vec<String>, is_of_everything: bool) {
        let known = std::mem::take(&mut self.links);
        for note in notes {
            let is_new = self.links.insert(note.clone()) && !known.contains(&note);
            if is_new {
                self.log_fault(at, &note);
            }
        }
        if !is_of_everything {
            self.links.extend(known);
        }
    }

    /// Logs how a sync went, and writes it into the ledger where that is news. `others` are the faults of what it did
    /// not sync; none after a sync of everything. False when something could not be read.
    async fn note(
        &mut self,
        ingest: &Ingest,
        at: UtcMillis,
        outcome: Result<SyncReport, SyncError>,
        others: Option<Vec<String>>,
    ) -> bool {
        let is_of_everything = others.is_none();
        let is_well = outcome.as_ref().is_ok_and(|report| report.faults.is_empty());
        let error = match outcome {
            Ok(report) => self.note_report(at, report, others),
            Err(error) => Some(self.note_failure(at, error)),
        };
        let due = self.reported.is_none_or(|last| !at.is_within(REPORT, last));
        let tried = error.is_some() && is_of_everything;
        if due || tried || error != self.error {
            let next_try = error.as_ref().and_then(|_| self.schedule.next_try(self.clock.now()));
            let sync = SourceSync { at, error: error.clone(), next_try };
            ingest.record_source_sync(&self.name, self.source.kind(), sync).await;
            self.reported = Some(at);
        }
        self.error = error;
        is_well
    }

    /// Notes a sync that succeeded. Returns what of the source cannot be read.
    fn note_report(&mut self, at: UtcMillis, report: SyncReport, others: Option<Vec<String>>) -> Option<String> {
        let SyncReport { calendars, changes, faults: found, notes, .. } = report;
        self.note_links(at, notes, others.is_none());
        if self.schedule.failures > 0 {
            tracing::info!(source.name = self.name, "the source can be read again");
        }
        self.schedule.succeeded(changes);
        self.log_faults(at, &found);
        // The source is synced again soon if a calendar is absent: it may be back without notice.
        let settled = found.is_empty() && self.absent == 0;
        self.schedule.partial = match &others {
            None if settled => 0,
            None => self.schedule.partial.saturating_add(1),
            Some(_) if settled => self.schedule.partial,
            Some(_) => 1,
        };
        let mut faults = others.unwrap_or_default();
        faults.retain(|fault| !found.contains(fault));
        faults.extend(found);
        self.faults = faults;
        if changes > 0 || self.reported.is_none() {
            tracing::info!(source.name = self.name, calendars, changes, "sync finished");
        }
        self.faults.first().cloned()
    }

    /// Logs those of `found` that are new: a fault that lasts is logged once.
    fn log_faults(&mut self, at: UtcMillis, found: &[String]) {
        let new: Vec<&String> = found.iter().filter(|fault| !self.faults.contains(fault)).collect();
        new.into_iter().for_each(|fault| self.log_fault(at, fault));
    }

    /// Logs `fault`, unless this hour has had its lines.
    fn log_fault(&mut self, at: UtcMillis, fault: &str) {
        let logged = self.log_limit.line(at);
        if logged != Logged::No {
            tracing::warn!(source.name = self.name, "{fault}");
        }
        if logged == Logged::Last {
            tracing::warn!(source.name = self.name, "further faults of this source are not logged for an hour");
        }
    }

    /// Notes a sync that failed. Returns why, and what is waited for.
    fn note_failure(&mut self, at: UtcMillis, error: SyncError) -> String {
        self.schedule.failed(error.obstacle, error.retry_after);
        let error = format!("{}{}", error.reason, self.schedule.waits_for(self.clock.now()));
        if self.is_to_be_logged(&error, at) {
            tracing::warn!(source.name = self.name, source.error = %error, "the source cannot be read; its known alarms stay scheduled");
        }
        error
    }

    /// Whether it is to be logged at `at` that the source cannot be read because of `error`: when that begins, when the
    /// cause is another one, whatever numbers it names, and once an hour.
    fn is_to_be_logged(&mut self, error: &str, at: UtcMillis) -> bool {
        let cause: String = error.chars().filter(|c| !c.is_ascii_digit()).collect();
        let is_known = self.schedule.failures > 1
            && self.logged.as_ref().is_some_and(|(logged, last)| *logged == cause && at.is_within(LOG_EVERY, *last));
        if !is_known {
            self.logged = Some((cause, at));
        }
        !is_known
    }
}

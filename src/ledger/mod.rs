//! The ledger: it holds the calendars, their objects, the timers, the history of firings and the outbox. What is
//! committed here happened; what is not, did not. It knows nothing of iCalendar, HTTP or configuration files.
//!
//! * This file lists the operations. [`Ledger`] has those of the daemon, which holds the ledger; [`Inspector`] reads
//!   it from outside, [`OutboxAdmin`] changes its outbox from there, [`backup`] and [`restore`] copy it.
//! * `model` is what they take and return, `error` how they fail: neither knows a database.
//! * `sqlite` does it: all SQL is there.
//! * `commit_hook` is what commits meet, `log_once` for those who try again and again.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use jiff::SignedDuration;

use crate::time::UtcMillis;
use sqlite::connection::Sqlite;

mod commit_hook;
mod error;
mod log_once;
mod model;
mod sqlite;

pub use commit_hook::{Commit, CommitFate, CommitHook, Durable};
pub use error::LedgerError;
pub use log_once::LogOnce;
pub use model::{
    Absent, AdminOutcome, ArmedFilter, CalendarKey, CalendarRow, CalendarStats, ClaimedDelivery, Claims,
    DeliveryFilter, DeliveryId, DeliveryKey, DeliveryRow, DeliveryState, Departed, DroppedSource, DueObject, Existing,
    FaultyObject, FireOutcome, FireStats, FiredAlarm, FiredUntil, FiringRow, FiringState, FiringsOf, Forgotten,
    GAVE_UP, HistoryCursor, LongText, NewFiring, NewIdentity, NextState, ObjectRow, ObjectText, ObjectVersion,
    OldFiring, OrphanedSink, Planned, PlannedObject, Replanned, Restored, Retagged, Route, Settlement, ShortTexts,
    Since, SourceFailure, SourceRow, SourceSync, Stats, Timer, TimerCursor, UnchangedSync, Undone, Unfinished,
};
pub use sqlite::backup::{backup, restore};
pub use sqlite::file::{denied, size, socket_path};
pub use sqlite::inspect::Inspector;
pub use sqlite::lock::{holder, is_held_by};
pub use sqlite::outbox_admin::OutboxAdmin;
pub use sqlite::raw;

/// An open ledger. Clones share it.
#[derive(Clone, Debug)]
pub struct Ledger {
    sqlite: Sqlite,
}

/// Opening and closing.
impl Ledger {
    /// Opens the ledger at `path`, creating it (mode 0600) where it does not exist, and brings its schema up to date.
    /// It is locked against other daemons until the last clone is dropped. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`LedgerError::InUse`] when another process holds it, [`LedgerError::Newer`] for one of a later version,
    /// [`LedgerError::Open`] when the file cannot be made, is no database or has several names.
    pub async fn open(path: &Path) -> Result<Ledger, LedgerError> {
        Ledger::open_on(path, Arc::new(Durable)).await
    }

    /// As [`Ledger::open`], on another disk than the machine's own.
    ///
    /// # Errors
    /// As for [`Ledger::open`].
    pub async fn open_on(path: &Path, hook: Arc<dyn CommitHook>) -> Result<Ledger, LedgerError> {
        Ok(Ledger { sqlite: Sqlite::open(path, hook).await? })
    }

    /// Waits until everything handed to the writer is committed, and closes the database.
    pub async fn close(&self) {
        self.sqlite.close().await;
    }
}

/// Sources.
impl Ledger {
    /// Notes how a sync of a source went.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn record_source_sync(
        &self,
        name: &str,
        kind: &'static str,
        sync: SourceSync,
    ) -> Result<(), LedgerError> {
        self.sqlite.record_source_sync(name, kind, sync).await
    }

    /// Notes how far a sync of a source, which takes long, has come.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn source_progress(&self, name: &str, kind: &'static str, progress: String) -> Result<(), LedgerError> {
        self.sqlite.source_progress(name, kind, progress).await
    }

    /// When the last sync of a source began that went well.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn source_last_synced_at(&self, name: &str) -> Result<Option<UtcMillis>, LedgerError> {
        self.sqlite.source_last_synced_at(name).await
    }

    /// Drops what the ledger knows of sources that are not among `names`, and calendars whose damaged names no source
    /// has: they are found again as new ones, and would fire twice. Returns those sources that had calendars.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn keep_sources(&self, names: &[&str]) -> Result<Vec<DroppedSource>, LedgerError> {
        self.sqlite.keep_sources(names).await
    }
}

/// Calendars.
impl Ledger {
    /// The calendars of `source`, or of all sources.
    ///
    /// # Errors
    /// [`LedgerError::Database`], as for all that reads.
    pub async fn calendars(&self, source: Option<&str>) -> Result<Vec<CalendarRow>, LedgerError> {
        self.sqlite.calendars(source).await
    }

    /// The calendars with these ids.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn calendars_by_id(&self, ids: &[i64]) -> Result<Vec<CalendarRow>, LedgerError> {
        self.sqlite.calendars_by_id(ids).await
    }

    /// The calendar `href` of `source`.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn calendar(&self, source: &str, href: &str) -> Result<Option<CalendarRow>, LedgerError> {
        self.sqlite.calendar(source, href).await
    }

    /// Notes that calendars were synced and found unchanged. What they say of syncs after `now` was written by a
    /// clock that has been set back since.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn record_syncs(&self, syncs: Vec<UnchangedSync>, now: UtcMillis) -> Result<(), LedgerError> {
        self.sqlite.record_syncs(syncs, now).await
    }

    /// Notes since when a calendar is absent.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn absent(&self, source: &str, href: &str, absent: Absent) -> Result<(), LedgerError> {
        self.sqlite.absent(source, href, absent).await
    }

    /// Notes that a calendar is there again.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn present(&self, source: &str, href: &str) -> Result<(), LedgerError> {
        self.sqlite.present(source, href).await
    }

    /// The calendars that are absent.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn absentees(&self) -> Result<Vec<CalendarKey>, LedgerError> {
        self.sqlite.absentees().await
    }

    /// Drops a calendar, its objects and their timers. What it has fired stays in the history.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn drop_calendar(
        &self,
        source: &str,
        href: &str,
        events: Vec<NewFiring>,
    ) -> Result<FireOutcome, LedgerError> {
        self.sqlite.drop_calendar(source, href, events).await
    }
}

/// Objects.
impl Ledger {
    /// href → etag of each object of a calendar.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn etags(&self, source: &str, calendar: &str) -> Result<HashMap<String, String>, LedgerError> {
        self.sqlite.etags(source, calendar).await
    }

    /// Those of `hrefs` that the calendar with the id `calendar` has objects for.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn existing(&self, calendar: i64, hrefs: &[&str]) -> Result<HashMap<String, Existing>, LedgerError> {
        self.sqlite.existing(calendar, hrefs).await
    }

    /// Those of `hrefs` in the calendar with the id `calendar` that are gone since `since` or later, and from when on
    /// what is due of them has not fired.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn gone(
        &self,
        calendar: i64,
        hrefs: &[&str],
        since: UtcMillis,
    ) -> Result<HashMap<String, UtcMillis>, LedgerError> {
        self.sqlite.gone(calendar, hrefs, since).await
    }

    /// By UID, what is gone from calendars of `user` since `since` or later and would have fired again. Of several with
    /// one UID, the earliest instants count.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn gone_uids(&self, user: &str, since: UtcMillis) -> Result<HashMap<String, Departed>, LedgerError> {
        self.sqlite.gone_uids(user, since).await
    }

    /// The texts of `objects`, without their timers.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn texts(&self, objects: &[i64]) -> Result<Vec<ObjectText>, LedgerError> {
        self.sqlite.texts(objects).await
    }

    /// The texts of those of `objects` that have at most `most` octets, without their timers, and how long the others
    /// are.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn short_texts(&self, objects: &[i64], most: usize) -> Result<ShortTexts, LedgerError> {
        self.sqlite.short_texts(objects, most).await
    }

    /// Up to `limit` objects with an id above `after`, in the order of their ids: those of one calendar or of all, that
    /// depend on one of `zones` or on any.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn texts_after(
        &self,
        calendar: Option<i64>,
        zones: Option<&[String]>,
        after: i64,
        limit: i64,
    ) -> Result<Vec<ObjectText>, LedgerError> {
        self.sqlite.texts_after(calendar, zones, after, limit).await
    }

    /// Takes in what a batch changes: the calendar, its objects and their timers, the checkpoint, in one transaction.
    /// Returns what became of the firings that were overdue.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`]; nothing was written then.
    pub async fn take_in(&self, planned: Planned) -> Result<FireOutcome, LedgerError> {
        self.sqlite.take_in(planned).await
    }

    /// Sets when objects are due next whose text has not changed, and returns at how many of them that is another
    /// instant now.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn replan(&self, replanned: Vec<Replanned>) -> Result<usize, LedgerError> {
        self.sqlite.replan(replanned).await
    }

    /// Notes that the alarms of `object` are being worked out.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn begin_computation(&self, object: i64) -> Result<(), LedgerError> {
        self.sqlite.begin_computation(object).await
    }

    /// Notes that the work on `object` has ended, however it did: the process lives.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn end_computation(&self, object: i64) -> Result<(), LedgerError> {
        self.sqlite.end_computation(object).await
    }

    /// Sets aside the objects at which three processes in a row have ended, and says which others one has ended at.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn set_failing_objects_aside(&self) -> Result<Unfinished, LedgerError> {
        self.sqlite.set_failing_objects_aside().await
    }
}

/// Timers and firings.
impl Ledger {
    /// The timers from `from` on that are due at `upto` or before, earliest first, `limit` at most.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn due(&self, from: TimerCursor, upto: UtcMillis, limit: i64) -> Result<Vec<Timer>, LedgerError> {
        self.sqlite.due(from, upto, limit).await
    }

    /// When the earliest timer from `from` on is due.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn next_due(&self, from: UtcMillis) -> Result<Option<UtcMillis>, LedgerError> {
        self.sqlite.next_due(from).await
    }

    /// How many timers are armed.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn armed(&self) -> Result<i64, LedgerError> {
        self.sqlite.armed().await
    }

    /// Fires: records the firings that are new, what they owe to the sinks, and each object's next timer. An object
    /// whose timer is no longer there as it was read (an edit came first) is left out; the others do not wait for it.
    ///
    /// # Errors
    /// [`LedgerError::Full`] and [`LedgerError::Database`]; nothing of the whole batch was written then.
    pub async fn fire(&self, due_objects: Vec<DueObject>, now: UtcMillis) -> Result<FireOutcome, LedgerError> {
        self.sqlite.fire(due_objects, now).await
    }

    /// Reads up to `limit` firings behind `from` that were due and recorded before `before`, and forgets those that
    /// are no longer needed.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn forget(&self, before: UtcMillis, from: HistoryCursor, limit: i64) -> Result<Forgotten, LedgerError> {
        self.sqlite.forget(before, from, limit).await
    }

    /// Until when everything counts as fired, in a ledger that was put back. One that was put back by hand, and so
    /// still has the mark of a copy, counts everything until `now` as fired; what that comes to is returned as well.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn fired_until(&self, now: UtcMillis) -> Result<FiredUntil, LedgerError> {
        self.sqlite.fired_until(now).await
    }

    /// Undoes what a clock that was ahead of `now` has recorded and what is wrong now: firings that count as missed
    /// and are still to come, or are not later than `max_lateness`, deliveries that were given up, syncs at
    /// calendars and retries that lie in the future. None when there was nothing to undo. The objects are to be planned
    /// again then, see [`Ledger::to_be_replanned`].
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn undo_future_records(
        &self,
        now: UtcMillis,
        max_lateness: SignedDuration,
    ) -> Result<Option<Undone>, LedgerError> {
        self.sqlite.undo_future_records(now, max_lateness).await
    }

    /// From when on the objects are to be planned again, because something was undone; none: they have been.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn to_be_replanned(&self) -> Result<Option<Since>, LedgerError> {
        self.sqlite.to_be_replanned().await
    }

    /// Notes that the objects have been planned again.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn is_replanned(&self) -> Result<(), LedgerError> {
        self.sqlite.is_replanned().await
    }

    /// Up to `limit` firings that have not got their identity yet, the latest first; none where there are none, or
    /// where no earlier version has written here.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn old_firings(&self, limit: i64) -> Result<Option<Vec<OldFiring>>, LedgerError> {
        self.sqlite.old_firings(limit).await
    }

    /// Gives firings their identities, and goes on below the firing `last`; without one all have theirs. One whose
    /// identity another firing has keeps the one it had.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn take_over(&self, identities: Vec<NewIdentity>, last: Option<i64>) -> Result<(), LedgerError> {
        self.sqlite.take_over(identities, last).await
    }
}

/// The outbox.
impl Ledger {
    /// The ids of the sinks with these names; new names get one.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn sinks(&self, names: &[&str]) -> Result<HashMap<String, i64>, LedgerError> {
        self.sqlite.sinks(names).await
    }

    /// The sinks that are not among `names` and are owed something.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn orphaned_sinks(&self, names: &[&str]) -> Result<Vec<OrphanedSink>, LedgerError> {
        self.sqlite.orphaned_sinks(names).await
    }

    /// Claims up to `limit` deliveries of `sink` that may be tried at `now`, until `lease`: no other
    /// claim gets them before. Those that have waited longest come first; where their notifications are large, fewer
    /// are claimed. What a turned bit has made unreadable is given up, so that it does not keep the others.
    ///
    /// # Errors
    /// [`LedgerError::Database`]; nothing is claimed then.
    pub async fn claim(&self, sink: i64, now: UtcMillis, lease: UtcMillis, limit: i64) -> Result<Claims, LedgerError> {
        self.sqlite.claim(sink, now, lease, limit).await
    }

    /// Settles attempts, which ends their leases. Deliveries that are no longer pending are left as they are.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`]; the leases go on then.
    pub async fn settle(&self, sink: i64, settlements: Vec<Settlement>, now: UtcMillis) -> Result<(), LedgerError> {
        self.sqlite.settle(sink, settlements, now).await
    }

    /// Ends the leases of what was claimed and not tried.
    pub async fn unclaim(&self, sink: i64, deliveries: &[DeliveryKey]) {
        self.sqlite.unclaim(sink, deliveries).await
    }

    /// When the next delivery of `sink` may be tried; none when nothing is pending. What is leased waits for the end of
    /// its lease.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn next_attempt(&self, sink: i64) -> Result<Option<UtcMillis>, LedgerError> {
        self.sqlite.next_attempt(sink).await
    }
}

/// What is remembered besides.
impl Ledger {
    /// What the ledger remembers under `key`.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn meta(&self, key: &str) -> Result<Option<String>, LedgerError> {
        self.sqlite.meta(key).await
    }

    /// Remembers `value` under `key`.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn set_meta(&self, key: &str, value: &str) -> Result<(), LedgerError> {
        self.sqlite.set_meta(key, value).await
    }
}

//! What every source can do.

use std::convert::Infallible;
use std::fmt::Debug;
use std::future::{Future, pending, ready};
use std::time::Duration;

use super::contract::{Obstacle, SyncError, SyncReport, SyncStore, WatchError};

/// How much of a source may have changed, as it has reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportedScope {
    /// Objects alone. A watch that sees them change sees the source.
    Objects,
    /// Calendars as well.
    Calendars,
    /// More than can be named: all of the source is to be synced, and to be watched again.
    Everything,
}

/// What a source has reported by itself: which of it may have changed. Only its source knows how that is named.
pub trait ReportedChanges: Debug + Send {
    /// How much it is.
    fn scope(&self) -> ReportedScope;

    /// Whether what `fault` says may be different now.
    fn concerns(&self, fault: &str) -> bool;
}

/// For a source that reports nothing by itself.
impl ReportedChanges for Infallible {
    fn scope(&self) -> ReportedScope {
        match *self {}
    }

    fn concerns(&self, _fault: &str) -> bool {
        match *self {}
    }
}

/// What every source can do: find out what changed, and hand that in. A source that does not report by itself when
/// something changes is synced now and then.
pub trait SyncSource: Debug + Send + Sync {
    /// What it reports while it is watched.
    type Changes: ReportedChanges;

    /// Its kind, as the configuration and the ledger write it.
    fn kind(&self) -> &'static str;

    /// Syncs everything: hands in what differs from what was handed in before. If it is watched, so is what it finds
    /// from then on.
    ///
    /// # Errors
    /// When the source cannot be read, or the store takes nothing.
    fn sync(&mut self, store: &impl SyncStore) -> impl Future<Output = Result<SyncReport, SyncError>> + Send;

    /// Syncs what it has reported as `changes`.
    ///
    /// # Errors
    /// As for [`SyncSource::sync`].
    fn sync_changes(
        &mut self,
        store: &impl SyncStore,
        _changes: Self::Changes,
    ) -> impl Future<Output = Result<SyncReport, SyncError>> + Send {
        self.sync(store)
    }

    /// Whether it can report by itself when something changes.
    fn can_be_watched(&self) -> bool {
        false
    }

    /// Ends the watch that there is, and starts to watch it, if it can be watched. What changes from then on is
    /// reported: so watch first, then sync.
    ///
    /// # Errors
    /// When it is not there, or the system refuses; it is not watched then.
    fn watch(&mut self) -> impl Future<Output = Result<(), WatchError>> + Send {
        ready(Ok(()))
    }

    /// Whether it is watched.
    fn is_watched(&self) -> bool {
        false
    }

    /// Whether it is watched and the watch may see nothing of what is there: the source is gone, or was replaced.
    fn watch_is_stale(&self) -> impl Future<Output = bool> + Send {
        ready(false)
    }

    /// Waits until it reports that something has changed, and takes what was reported; never resolves while it is not
    /// watched. Dropping the future loses nothing.
    fn changes(&self) -> impl Future<Output = Self::Changes> + Send {
        pending()
    }

    /// Resolves when another sync is worth a try, for `obstacle` may be out of the way; where only time helps, never.
    /// Of all sources that wait for the same thing this one comes back after `spread`.
    fn worth_a_try(&self, _obstacle: Obstacle, _spread: Duration) -> impl Future<Output = ()> + Send {
        pending()
    }
}

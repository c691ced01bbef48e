//! What every source can do.

use std::fmt::Debug;
use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use super::contract::{Obstacle, SyncError, SyncReport, SyncStore, WatchError};
use super::directory::watch::{FsChanges, Watch};

/// What every source can do: find out what changed, and hand that in. A source that does not notice by itself
/// when something changes is synced now and then.
pub trait SyncSource: Debug + Send + Sync {
    /// Its kind, as the configuration and the ledger write it.
    fn kind(&self) -> &'static str;

    /// Syncs everything: hands in what differs from what was handed in before. What it finds is watched by `watch` from
    /// then on.
    ///
    /// # Errors
    /// When the source cannot be read, or the store takes nothing.
    fn sync(
        &mut self,
        store: &impl SyncStore,
        watch: Option<&Arc<Watch>>,
    ) -> impl Future<Output = Result<SyncReport, SyncError>> + Send;

    /// Syncs what `watch` has seen change.
    ///
    /// # Errors
    /// As for [`SyncSource::sync`].
    fn sync_changes(
        &mut self,
        store: &impl SyncStore,
        _changes: FsChanges,
        watch: &Arc<Watch>,
    ) -> impl Future<Output = Result<SyncReport, SyncError>> + Send {
        self.sync(store, Some(watch))
    }

    /// Whether it can notice by itself when something changes.
    fn can_be_watched(&self) -> bool {
        false
    }

    /// Starts to watch it; none where it cannot be watched. What changes from then on is reported: so watch first, then
    /// sync.
    ///
    /// # Errors
    /// When it is not there, or the system refuses.
    fn watch(&self) -> impl Future<Output = Result<Option<Arc<Watch>>, WatchError>> + Send {
        async { Ok(None) }
    }

    /// Resolves when another sync is worth a try, for `obstacle` may be out of the way; where only time helps, never.
    /// Of all sources that wait for the same thing this one comes back after `spread`.
    fn worth_a_try(&self, _obstacle: Obstacle, _spread: Duration) -> impl Future<Output = ()> + Send {
        pending()
    }
}

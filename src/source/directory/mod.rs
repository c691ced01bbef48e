//! A folder of `.ics` files as a source: a plain folder, a vdir, or the storage of Radicale or Xandikos. It is watched,
//! so that a change is seen at once, and read as a whole at the start and now and then, in case a change was not told.
//! What is inside a file it does not know.
//!
//! * [`watch`] hears from the kernel what was touched, [`mounts`] what was mounted. [`sorting`] says which calendars
//!   that belongs to.
//! * [`tree`] finds the calendars, [`folder`] lists and reads one. [`links`] says which links are followed.
//! * [`properties`] is what a store says of a calendar as a whole.
//! * [`open_folder`] opens folders and files, [`name`] writes their names as text.

use std::path::Path;
use std::sync::Arc;

use super::{CalendarInfo, Obstacle, StoreError, SyncError, SyncReport, SyncSource, SyncStore, WatchError};
use crate::clock::Clock;
use crate::config::{Layout, SourceConfig};
use crate::time::UtcMillis;

mod folder;
mod links;
mod mounts;
mod name;
mod open_folder;
mod properties;
mod scan;
mod settings;
mod sorting;
mod tree;
mod watch;

use settings::Settings;
pub use watch::{FsChanges, Watch};

/// What can be wrong with a watched folder.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The folder itself.
    #[error(
        "the folder {path} cannot be read ({reason}): mend that, or take it out of the configuration; its alarms ring on as they are known"
    )]
    Root { path: String, reason: String },
    /// It is empty, and lies on another file system than before.
    #[error(
        "the folder {path} is empty and on another file system than before, as where one is not mounted: mount it; its alarms ring on as they are known (where it is meant to be empty, put a file into it, and they end after a day)"
    )]
    Unmounted { path: String },
    /// The kernel does not watch it.
    #[error(
        "the folder {path} cannot be watched ({reason}): changes are found only every rescan_interval; raising fs.inotify.max_user_watches (or max_user_instances) may help"
    )]
    Watch { path: String, reason: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A watched folder.
#[derive(Debug)]
pub struct DirectorySource {
    name: String,
    clock: Clock,
    settings: Arc<Settings>,
}

/// The calendar that the folder `path` is to a source that watches `root`: what a scan of it would hand in. None where
/// it is no calendar of that source. `max_size` bounds a file, in octets.
pub fn calendar_in(
    source: &SourceConfig,
    (root, layout): (&Path, Layout),
    path: &Path,
    max_size: usize,
) -> Option<CalendarInfo> {
    let root = tree::canonical(root).ok()?;
    let settings = Settings::new(source, (&root, layout), &source.login, max_size);
    let (folder, _) = settings.tree(root, None, UtcMillis(0)).at(path)?;
    settings.seen(&folder)
}

impl DirectorySource {
    /// A source for the folder `path`. `fallback_user` is whose alarms these are where neither the settings nor the
    /// layout say so; `max_size` bounds a file, in octets. The folder need not be there yet.
    pub fn new(
        source: &SourceConfig,
        (path, layout): (&Path, Layout),
        fallback_user: &str,
        max_size: usize,
        clock: Clock,
    ) -> DirectorySource {
        let settings = Settings::new(source, (path, layout), fallback_user, max_size);
        DirectorySource { name: source.name.clone(), clock, settings: Arc::new(settings) }
    }
}

impl SyncSource for DirectorySource {
    fn kind(&self) -> &'static str {
        "directory"
    }

    async fn sync(&mut self, store: &impl SyncStore, watch: Option<&Arc<Watch>>) -> Result<SyncReport, SyncError> {
        Ok(self.scan(store, watch).await?)
    }

    async fn sync_changes(
        &mut self,
        store: &impl SyncStore,
        changes: FsChanges,
        watch: &Arc<Watch>,
    ) -> Result<SyncReport, SyncError> {
        Ok(self.scan_changes(store, changes, watch).await?)
    }

    fn can_be_watched(&self) -> bool {
        true
    }

    async fn watch(&self) -> Result<Option<Arc<Watch>>, WatchError> {
        let settings = self.settings.clone();
        match blocking(move || Watch::start(&settings.path)).await {
            Ok(watch) => Ok(Some(Arc::new(watch))),
            Err(DirectoryError::Root { .. }) => Err(WatchError::Absent),
            Err(error) => Err(WatchError::Refused(error.to_string())),
        }
    }
}

impl From<DirectoryError> for SyncError {
    fn from(error: DirectoryError) -> SyncError {
        SyncError::new(error.to_string(), Obstacle::Folder)
    }
}

/// Runs file work where it may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        // The closure neither panics nor is it cancelled.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

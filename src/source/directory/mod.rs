//! A folder of `.ics` files as a source: a plain folder, a vdir, or the storage of Radicale or Xandikos. It is watched,
//! so that a change is seen at once, and read as a whole at the start and now and then, in case a change was missed.
//! What is inside a file it does not know.
//!
//! * [`watch`] learns from the kernel what was touched, [`mounts`] what was mounted. [`sorting`] says which calendars
//!   that belongs to.
//! * [`tree`] finds the calendars, [`folder`] lists and reads one. [`links`] says which links are followed.
//! * [`properties`] is what a store says of a calendar as a whole.
//! * `edit` changes a file. [`open_folder`] opens folders and files, [`name`] writes their names as text.

use std::future::pending;
use std::path::Path;
use std::sync::Arc;

use super::contract::{CalendarInfo, SyncError, SyncReport, SyncStore, WatchError};
use super::sync_source::SyncSource;
use crate::clock::Clock;
use crate::config::{DirectorySettings, SourceConfig};
use crate::time::UtcMillis;

mod blocking;
mod edit;
mod error;
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

use blocking::blocking;
pub use error::DirectoryError;
use settings::FolderSettings;
pub use watch::FsChanges;
use watch::Watch;

/// A watched folder.
#[derive(Debug)]
pub struct DirectorySource {
    name: String,
    clock: Clock,
    settings: Arc<FolderSettings>,
    /// None: it is not watched.
    watch: Option<Arc<Watch>>,
}

/// The calendar that the folder `path` is to `source`, a watched folder with these `settings`: what a scan of it would
/// hand in. None where it is no calendar of that source. `max_size` bounds a file, in octets.
pub fn calendar_in(
    source: &SourceConfig,
    settings: &DirectorySettings,
    path: &Path,
    max_size: usize,
) -> Option<CalendarInfo> {
    let root = open_folder::canonical(&settings.path).ok()?;
    let settings = FolderSettings::new(source, settings, max_size);
    let folder = settings.tree(root, None, UtcMillis(0)).at(path)?.found;
    settings.seen(&folder)
}

impl DirectorySource {
    /// A source for the folder in `settings`, which are those of `source`. `max_size` bounds a file, in octets. The
    /// folder need not be there yet.
    pub fn new(source: &SourceConfig, settings: &DirectorySettings, max_size: usize, clock: Clock) -> DirectorySource {
        let settings = FolderSettings::new(source, settings, max_size);
        DirectorySource { name: source.name.clone(), clock, settings: Arc::new(settings), watch: None }
    }
}

impl SyncSource for DirectorySource {
    type Changes = FsChanges;

    fn kind(&self) -> &'static str {
        "directory"
    }

    async fn sync(&mut self, store: &impl SyncStore) -> Result<SyncReport, SyncError> {
        Ok(self.scan(store).await?)
    }

    async fn sync_changes(&mut self, store: &impl SyncStore, changes: FsChanges) -> Result<SyncReport, SyncError> {
        Ok(self.scan_changes(store, changes).await?)
    }

    fn can_be_watched(&self) -> bool {
        true
    }

    async fn watch(&mut self) -> Result<(), WatchError> {
        // What both watch would count twice against the kernel's limit.
        self.watch = None;
        let settings = self.settings.clone();
        match blocking(move || Watch::start(&settings.path)).await {
            Ok(watch) => {
                self.watch = Some(Arc::new(watch));
                Ok(())
            }
            Err(DirectoryError::Root { .. }) => Err(WatchError::Absent),
            Err(error) => Err(WatchError::Refused(error.to_string())),
        }
    }

    fn is_watched(&self) -> bool {
        self.watch.is_some()
    }

    async fn watch_is_stale(&self) -> bool {
        match &self.watch {
            Some(watch) => watch.is_stale().await,
            None => false,
        }
    }

    async fn changes(&self) -> FsChanges {
        match &self.watch {
            Some(watch) => watch.changes().await,
            None => pending().await,
        }
    }
}

//! What can go wrong with a watched folder, said so that an admin can act on it.

use crate::source::contract::{Obstacle, StoreError, SyncError};

/// What can be wrong with a watched folder.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The folder itself.
    #[error(
        "the folder {path} cannot be read ({reason}): fix that, or remove the source from the configuration; its known alarms stay scheduled"
    )]
    Root {
        /// The file or folder.
        path: String,
        /// Why, in a few words.
        reason: String,
    },
    /// It is empty, and lies on another file system than before.
    #[error(
        "the folder {path} is empty and on another file system than before, as where one is not mounted: mount it; its known alarms stay scheduled (if it is meant to be empty, put a file into it, and they end after a day)"
    )]
    Unmounted {
        /// The file or folder.
        path: String,
    },
    /// The kernel does not watch it.
    #[error(
        "the folder {path} cannot be watched ({reason}): changes are found only every rescan_interval; raising fs.inotify.max_user_watches (or max_user_instances) may help"
    )]
    Watch {
        /// The file or folder.
        path: String,
        /// Why, in a few words.
        reason: String,
    },
    /// The ledger.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<DirectoryError> for SyncError {
    fn from(error: DirectoryError) -> SyncError {
        SyncError::new(error.to_string(), Obstacle::Folder)
    }
}

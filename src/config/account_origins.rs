//! The files that accounts come from.

use std::io;
use std::path::{Path, PathBuf};

use crate::tables::FileStamp;

/// How the names of account files end.
const ENDING: &str = "toml";

/// What the accounts of a configuration come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountOrigins {
    /// `accounts_dir`
    pub folder: Option<PathBuf>,
    /// `users_file` of each source that has one.
    pub lists: Vec<PathBuf>,
    /// Some source has a `users_command`.
    pub commands: bool,
    /// Some source has the users of its server.
    pub servers: bool,
}

/// The versions of the files that accounts come from: where they are equal, nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountStamps(Vec<(PathBuf, Option<FileStamp>)>);

impl AccountOrigins {
    /// Whether there can be none.
    pub fn is_empty(&self) -> bool {
        self.folder.is_none() && self.lists.is_empty() && !self.commands && !self.servers
    }

    /// The versions of all files as they are now.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn stamps(&self) -> io::Result<AccountStamps> {
        let mut files = self.lists.clone();
        if let Some(folder) = &self.folder {
            files.extend(account_files(folder)?);
        }
        let stamped = |file: PathBuf| {
            let stamp = FileStamp::of(&file);
            (file, stamp)
        };
        Ok(AccountStamps(files.into_iter().map(stamped).collect()))
    }
}

/// The account files in `folder`, in the order of their names; no hidden ones.
pub(super) fn account_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let is_hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
        if !is_hidden && path.extension().is_some_and(|ending| ending == ENDING) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

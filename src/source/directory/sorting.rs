//! Which calendars belong to what the watch saw. What is there now counts, and what was known before; an event says
//! only where to scan.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::DirectoryError;
use super::folder::{FileEntry, Folder, holds, is_object};
use super::open_folder::{canonical, is_gone};
use super::properties::{WithFault, is_properties};
use super::settings::FolderSettings;
use super::tree::{Folders, Tree};
use super::watch::{Doubt, FsChanges, TRIES, Watch};
use crate::time::UtcMillis;

/// What is to be scanned.
#[derive(Debug, Default)]
pub(super) struct SortedChanges {
    /// Files of calendars that are as they were.
    pub files: Vec<TouchedFiles>,
    /// Calendars in the folders that were touched.
    pub folders: Folders,
    /// Hrefs of calendars that were known in these folders.
    pub touched: Vec<String>,
    /// A calendar is there besides those.
    pub others: bool,
    /// The number of the file system that the watched folder lies on.
    pub device: String,
}

/// Files of a calendar that were touched.
#[derive(Debug)]
pub(super) struct TouchedFiles {
    pub folder: Folder,
    pub files: Vec<TouchedFile>,
}

/// A file that was touched.
#[derive(Debug)]
pub(super) struct TouchedFile {
    pub entry: FileEntry,
    pub doubt: Doubt,
}

/// A name in a folder that was touched.
struct TouchedName {
    name: OsString,
    doubt: Doubt,
}

/// What was touched in calendars.
#[derive(Default)]
struct TouchedNames {
    /// Names of objects, by the folder that they are in.
    objects: BTreeMap<PathBuf, Vec<TouchedName>>,
    /// Folders of files that describe a calendar.
    described: BTreeSet<PathBuf>,
}

/// Folders that were touched, and how often each has been scanned in vain.
type TouchedFolders = BTreeMap<PathBuf, u32>;

impl FolderSettings {
    /// Sorts what was touched by the instant `now`.
    ///
    /// # Errors
    /// [`DirectoryError::Root`] when the watched folder is not there.
    pub(super) fn sort(
        &self,
        changes: FsChanges,
        watch: Option<&Arc<Watch>>,
        now: UtcMillis,
    ) -> Result<SortedChanges, DirectoryError> {
        let root = canonical(&self.path)?;
        let tree = self.tree(root, watch.cloned(), now);
        let mut sorted = SortedChanges { device: tree.device()?, ..SortedChanges::default() };
        let mut folders: TouchedFolders = changes.folders.into_iter().map(|folder| (folder, 0)).collect();
        let touched = self.by_folder(&tree, changes.files, &mut folders);
        for path in touched.described {
            let before = tree.memory.get(&tree.href(&path)).map(|known| known.properties);
            let fault = tree.at(&path).and_then(|calendar| calendar.fault);
            if before.is_none() || before != tree.memory.get(&tree.href(&path)).map(|known| known.properties) {
                folders.entry(path).or_default();
            } else {
                sorted.folders.faults.extend(fault);
            }
        }
        for (path, names) in touched.objects {
            match files(&tree, &path, names) {
                Ok(WithFault { found, fault }) => {
                    sorted.folders.faults.extend(fault);
                    sorted.files.push(found);
                }
                Err(Some(fault)) => sorted.folders.faults.push(fault),
                Err(None) => {
                    folders.entry(path).or_default();
                }
            }
        }
        for (path, tries) in &folders {
            // What lies in another one is found there.
            if !path.ancestors().skip(1).any(|above| folders.contains_key(above)) {
                sorted.folders.extend(calendars_below(&tree, path, *tries, watch));
            }
        }
        self.others(&tree, &folders, &mut sorted);
        Ok(sorted)
    }

    /// Which of the `files` that were touched belong to calendars. Others that matter go to `folders`.
    fn by_folder(&self, tree: &Tree<'_>, files: HashMap<PathBuf, Doubt>, folders: &mut TouchedFolders) -> TouchedNames {
        let mut touched = TouchedNames::default();
        for (path, doubt) in files {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
            if is_properties(name) {
                touched.described.insert(parent.to_owned());
                continue;
            }
            let there = path.symlink_metadata().ok().map(|metadata| metadata.file_type());
            // A link that was a calendar may be gone, or be a file now.
            if there.is_some_and(|kind| kind.is_dir() || kind.is_symlink())
                || tree.memory.leads_to_a_calendar(&tree.href(&path))
            {
                folders.insert(path, doubt.tries);
                continue;
            }
            match tree.memory.get(&tree.href(parent)).filter(|known| !known.is_absent) {
                Some(known) if holds(name, known.properties.is_radicale) => {
                    let name = TouchedName { name: name.to_owned(), doubt };
                    touched.objects.entry(parent.to_owned()).or_default().push(name);
                }
                // The first object makes a folder a calendar.
                None if is_object(name) && there.is_some() && tree.is_place_of_calendars(parent) => {
                    folders.entry(parent.to_owned()).or_default();
                }
                _ => {}
            }
        }
        touched
    }

    /// Which known calendars lie in `folders`, and whether there are others.
    fn others(&self, tree: &Tree<'_>, folders: &TouchedFolders, sorted: &mut SortedChanges) {
        if folders.is_empty() {
            return;
        }
        let known: Vec<(String, bool)> =
            self.memory.lock().iter().map(|(href, known)| (href.clone(), known.is_absent)).collect();
        for (href, is_absent) in known {
            let path = tree.path(&href);
            if path.ancestors().any(|above| folders.contains_key(above)) {
                sorted.touched.push(href);
            } else if !sorted.others && !is_absent {
                sorted.others = path.is_dir();
            }
        }
    }
}

/// The calendars at `path` and below, which was touched and has been scanned in vain `tries` times.
fn calendars_below(tree: &Tree<'_>, path: &Path, tries: u32, watch: Option<&Arc<Watch>>) -> Folders {
    if let Some(watch) = watch {
        watch.forget(path);
    }
    let mut below = tree.below(path);
    // One that has just been made may be opened to others in a moment.
    if let Some(watch) = watch.filter(|_| !below.unread.is_empty() && tries < TRIES) {
        below.unread.iter_mut().for_each(|unread| unread.fault.clear());
        watch.again(path.to_owned(), Doubt { tries: tries + 1, etag: None });
    }
    below
}

/// The calendar at `path` and the files in it that are called `names`.
///
/// # Errors
/// A sentence, where it cannot be read; none where it is no longer what it was.
fn files(tree: &Tree<'_>, path: &Path, names: Vec<TouchedName>) -> Result<WithFault<TouchedFiles>, Option<String>> {
    let WithFault { found: folder, fault } = tree.at(path).ok_or(None)?;
    let mut files = Vec::with_capacity(names.len());
    let place = folder.open().map_err(|error| {
        (!is_gone(&error)).then(|| format!("the folder {} cannot be read: {error}", path.display()))
    })?;
    for TouchedName { name, doubt } in names {
        files.extend(folder.entry(&place, &name).map(|entry| TouchedFile { entry, doubt }));
    }
    Ok(WithFault { found: TouchedFiles { folder, files }, fault })
}

//! Changing a file of a calendar: a draft beside it takes its place at once, if nobody has changed it meanwhile.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use super::blocking::blocking;
use super::folder::Folder;
use super::open_folder::{OpenFolder, canonical};
use super::{DirectorySource, name};
use crate::source::edit::{EDIT_ATTEMPTS, EditError, TextEdit};

/// The file by which Radicale keeps others out of its storage, which is in the folder or the one around it.
const RADICALES_LOCK: &str = ".Radicale.lock";
/// How long Radicale may have its storage for itself.
const LOCK_WITHIN: Duration = Duration::from_secs(10);
/// What makes a calendar of Xandikos, whose files are only a copy of what it serves.
const GIT: &str = ".git";

impl DirectorySource {
    /// Changes the file `object` of the calendar `calendar`, a path below the watched folder, by `edit`.
    ///
    /// # Errors
    /// [`EditError`] when it is not changed.
    pub async fn edit(&self, calendar: &str, object: &str, edit: &TextEdit) -> Result<(), EditError> {
        let (settings, now) = (self.settings.clone(), self.clock.now());
        let (calendar, object, edit) = (calendar.to_owned(), object.to_owned(), edit.clone());
        blocking(move || {
            let root = canonical(&settings.path).map_err(|error| EditError::Failed(error.to_string()))?;
            let path = settings.path.join(name::octets(&calendar));
            let found = settings.tree(root.clone(), None, now).at(&path).map(|found| found.found);
            let folder = found.ok_or_else(|| EditError::Gone(path.display().to_string()))?;
            let _lock = lock(&root)?;
            edit_file(&folder, &object, settings.max_size, &edit)
        })
        .await
    }
}

fn edit_file(folder: &Folder, object: &str, max_size: usize, edit: &TextEdit) -> Result<(), EditError> {
    let file = folder.file(object);
    let failed =
        |why: &dyn std::fmt::Display| EditError::Failed(format!("{} cannot be written: {why}", file.display()));
    if folder.real.join(GIT).exists() {
        let why = "the folder is a Git repository, as Xandikos keeps it: write by way of its server, with a source of kind caldav";
        return Err(failed(&why));
    }
    let place = folder.open().map_err(|error| failed(&error))?;
    let name = name::octets(object);
    for _ in 0..EDIT_ATTEMPTS {
        let content = place.read(&folder.real, &name, max_size).map_err(|why| failed(&why))?;
        let content = content.ok_or_else(|| EditError::Gone(file.display().to_string()))?;
        let text = edit(&content.octets)?;
        if replace(&place, &name, &content.etag, &text).map_err(|error| failed(&error))? {
            return Ok(());
        }
    }
    Err(EditError::Busy(file.display().to_string()))
}

/// Puts `text` in the place of the file `name` in `place`, with its owner and rights, if it is still the version
/// `etag`. Returns whether it was.
fn replace(place: &OpenFolder, name: &OsStr, etag: &str, text: &[u8]) -> io::Result<bool> {
    let draft = place.draft_like(name)?;
    let written = (|| {
        let mut file = File::from(draft.file);
        file.write_all(text)?;
        file.sync_all()?;
        let is_same = place.etag(name)?.as_deref() == Some(etag);
        if is_same {
            place.rename(&draft.name, name)?;
        }
        Ok(is_same)
    })();
    if !matches!(written, Ok(true)) {
        place.remove(&draft.name);
    }
    written
}

/// Keeps Radicale from its storage, of which `root` is the folder, while what is returned is there; none where it is
/// not Radicale's.
fn lock(root: &Path) -> Result<Option<File>, EditError> {
    let candidates = [Some(root.to_owned()), root.parent().map(Path::to_owned)];
    let paths = candidates.into_iter().flatten().map(|folder| folder.join(RADICALES_LOCK));
    let Some(path) = paths.filter(|path| path.is_file()).collect::<Vec<PathBuf>>().into_iter().next() else {
        return Ok(None);
    };
    let failed = |error: io::Error| EditError::Failed(format!("{} cannot be locked: {error}", path.display()));
    let file = File::options().read(true).write(true).open(&path).map_err(failed)?;
    let began = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) if began.elapsed() < LOCK_WITHIN => sleep(Duration::from_millis(20)),
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(EditError::Busy(root.display().to_string())),
            Err(error) => return Err(failed(error.into())),
        }
    }
}

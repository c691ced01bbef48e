//! Opening folders and files by their real paths: a link that is put in the way meanwhile is not followed, and only
//! regular files are read, without waiting.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::error::DirectoryError;
use crate::access::{self, Need};
use crate::time::UtcMillis;

/// The watched folder's real path.
pub(super) fn canonical(path: &Path) -> Result<PathBuf, DirectoryError> {
    let fail = |reason: String| DirectoryError::Root { path: path.display().to_string(), reason };
    let real = fs::canonicalize(path).map_err(|error| fail(access::with_hint(&error, path, Need::List, false)))?;
    if !real.is_dir() {
        return Err(fail("it is not a folder".to_owned()));
    }
    Ok(real)
}

/// A folder that is open.
#[derive(Debug)]
pub(super) struct OpenFolder(OwnedFd);

/// What lies in a folder: a name and what it is.
#[derive(Debug)]
pub(super) struct FolderItem {
    pub name: OsString,
    pub kind: FileType,
}

/// The content of a file.
#[derive(Debug)]
pub(super) struct FileContent {
    pub octets: Vec<u8>,
    pub etag: String,
    /// When it was written.
    pub last_modified: UtcMillis,
}

/// A file that is to take the place of another one.
#[derive(Debug)]
pub(super) struct FileDraft {
    pub name: OsString,
    pub file: OwnedFd,
}

impl OpenFolder {
    /// Opens the folder at the absolute path `path`, which holds no links.
    ///
    /// # Errors
    /// Those of the system; also where a part of the path has become a link.
    pub(super) fn open(path: &Path) -> io::Result<OpenFolder> {
        let through = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut at = rustix::fs::open("/", through, Mode::empty())?;
        for component in path.components() {
            match component {
                Component::Normal(name) => at = rustix::fs::openat(&at, name, through, Mode::empty())?,
                Component::RootDir | Component::CurDir => {}
                Component::ParentDir | Component::Prefix(_) => return Err(ErrorKind::InvalidInput.into()),
            }
        }
        let listed = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(OpenFolder(rustix::fs::openat(&at, ".", listed, Mode::empty())?))
    }

    /// The number of the file system that it lies on.
    pub(super) fn device(&self) -> io::Result<u64> {
        Ok(rustix::fs::fstat(&self.0)?.st_dev)
    }

    /// When it was made, where the file system says so.
    pub(super) fn made(&self) -> Option<UtcMillis> {
        let made = File::from(self.0.try_clone().ok()?).metadata().ok()?.created().ok()?;
        let since = made.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(since.as_millis()).ok().map(UtcMillis)
    }

    /// All that lies in it, hidden or not.
    pub(super) fn items(&self) -> io::Result<Vec<FolderItem>> {
        let mut items = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.0)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                // Some file systems do not say.
                FileType::Unknown => match self.stat(&name)? {
                    Some(stat) => FileType::from_raw_mode(stat.st_mode),
                    None => continue,
                },
                kind => kind,
            };
            items.push(FolderItem { name, kind });
        }
        Ok(items)
    }

    /// The etag of the file `name`; none when it is gone or no regular file.
    pub(super) fn etag(&self, name: &OsStr) -> io::Result<Option<String>> {
        let file = self.stat(name)?.filter(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
        #[allow(clippy::unnecessary_cast, reason = "the widths of these differ between machines")]
        Ok(file.map(|stat| {
            let modified = FileTime { seconds: stat.st_mtime as i64, nanoseconds: stat.st_mtime_nsec as i64 };
            let changed = FileTime { seconds: stat.st_ctime as i64, nanoseconds: stat.st_ctime_nsec as i64 };
            etag(modified, changed, stat.st_size as u64, stat.st_ino as u64)
        }))
    }

    fn stat(&self, name: &OsStr) -> io::Result<Option<Stat>> {
        match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes an empty file, with the owner and the rights of the file `name`, under a hidden name of its own.
    ///
    /// # Errors
    /// Those of the system; also where its owner cannot be the same.
    pub(super) fn draft_like(&self, name: &OsStr) -> io::Result<FileDraft> {
        let like = self.stat(name)?.ok_or(ErrorKind::NotFound)?;
        let draft = self.draft()?;
        let made = rustix::fs::fstat(&draft.file)?;
        let alike = (|| {
            if (made.st_uid, made.st_gid) != (like.st_uid, like.st_gid) {
                let (owner, group) = (rustix::fs::Uid::from_raw(like.st_uid), rustix::fs::Gid::from_raw(like.st_gid));
                rustix::fs::fchown(&draft.file, Some(owner), Some(group))?;
            }
            rustix::fs::fchmod(&draft.file, Mode::from_raw_mode(like.st_mode))
        })();
        match alike {
            Ok(()) => Ok(draft),
            Err(error) => {
                self.remove(&draft.name);
                Err(error.into())
            }
        }
    }

    /// Makes an empty file that only its owner may use. Others of this process and what an earlier one has left behind
    /// have other names.
    fn draft(&self) -> io::Result<FileDraft> {
        static DRAFTS: AtomicU64 = AtomicU64::new(0);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            let number = DRAFTS.fetch_add(1, Ordering::Relaxed);
            let name = OsString::from(format!(".reveille-{}-{number}", std::process::id()));
            match rustix::fs::openat(&self.0, &name, flags, Mode::RUSR | Mode::WUSR) {
                Ok(file) => return Ok(FileDraft { name, file }),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Puts the file `draft` in the place of the file `name`, durably.
    ///
    /// # Errors
    /// Those of the system.
    pub(super) fn rename(&self, draft: &OsStr, name: &OsStr) -> io::Result<()> {
        rustix::fs::renameat(&self.0, draft, &self.0, name)?;
        Ok(rustix::fs::fsync(&self.0)?)
    }

    /// Removes the file `name`, if it is there and that is allowed.
    pub(super) fn remove(&self, name: &OsStr) {
        // It is hidden, so it is no object.
        let _ = rustix::fs::unlinkat(&self.0, name, AtFlags::empty());
    }

    /// Reads the file `name`; none when it is gone or no regular file. `folder` is where this is, for messages.
    ///
    /// # Errors
    /// A sentence without its subject, when it cannot be read or has more than `max_size` octets.
    pub(super) fn read(&self, folder: &Path, name: &OsStr, max_size: usize) -> Result<Option<FileContent>, String> {
        let fail = |error: io::Error| {
            format!("the file cannot be read ({})", access::with_hint(&error, &folder.join(name), Need::Read, false))
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut file = match rustix::fs::openat(&self.0, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            // Gone; a link; a socket.
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(None),
            Err(error) => return Err(fail(error.into())),
        };
        let metadata = file.metadata().map_err(fail)?;
        if !metadata.is_file() {
            return Ok(None);
        }
        let size = usize::try_from(metadata.size()).unwrap_or(usize::MAX);
        if size > max_size {
            return Err(format!("the file has {size} octets, more than limits.max_object_size ({max_size})"));
        }
        let mut octets = Vec::with_capacity(size);
        file.by_ref().take(max_size as u64).read_to_end(&mut octets).map_err(fail)?;
        let modified = FileTime { seconds: metadata.mtime(), nanoseconds: metadata.mtime_nsec() };
        let changed = FileTime { seconds: metadata.ctime(), nanoseconds: metadata.ctime_nsec() };
        let etag = etag(modified, changed, metadata.size(), metadata.ino());
        let written = metadata.mtime().saturating_mul(1_000).saturating_add(metadata.mtime_nsec() / 1_000_000);
        Ok(Some(FileContent { octets, etag, last_modified: UtcMillis(written) }))
    }
}

/// A time of a file, since 1970.
struct FileTime {
    seconds: i64,
    nanoseconds: i64,
}

impl fmt::Display for FileTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.seconds, self.nanoseconds)
    }
}

/// The version of a file: when it was modified, which programs set as they like, and when it was changed, which only
/// the system sets.
fn etag(modified: FileTime, changed: FileTime, size: u64, inode: u64) -> String {
    format!("{modified}-{size}-{inode}-{changed}")
}

/// Whether a folder or file is not there (any more), or has become something else.
pub(super) fn is_gone(error: &io::Error) -> bool {
    let gone = matches!(Errno::from_io_error(error), Some(Errno::LOOP | Errno::NOTDIR | Errno::STALE));
    gone || error.kind() == ErrorKind::NotFound
}

//! Reading folders: which of them are calendars, what they are called, what lies in them. Links are not followed, and
//! only regular files are opened.

use std::ffi::OsStr;
use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::DirectoryError;
use crate::config::Layout;
use crate::source::Change;
use crate::time::UtcMillis;

/// Folders below the watched one that may still be calendars: Radicale keeps `collection-root/USER/CALENDAR`.
const DEPTH: usize = 3;

const RADICALE: &str = ".Radicale.props";
const XANDIKOS: &str = ".xandikos";

/// A folder that is a calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    pub path: PathBuf,
    /// The path below the watched folder; `.` for that one itself.
    pub href: String,
    pub id: String,
    pub name: String,
    pub color: String,
    pub zone: Option<String>,
    /// Whose it is, where the layout tells.
    pub owner: Option<String>,
    /// Every file in it is an object, whatever it is called.
    any_name: bool,
}

/// A file in a calendar; without an etag it is no longer there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub etag: String,
}

/// The calendars below a folder.
#[derive(Debug, Default)]
pub struct Folders {
    pub found: Vec<Folder>,
    /// Folders that could not be read.
    pub faults: Vec<String>,
    /// Nothing at all lies in the folder that they are below.
    pub is_empty: bool,
    /// The number of the file system that it lies on.
    pub device: String,
}

/// The watched folder's real path.
pub fn canonical(path: &Path) -> Result<PathBuf, DirectoryError> {
    let fail = |reason: String| DirectoryError::Root { path: path.display().to_string(), reason };
    let real = fs::canonicalize(path).map_err(|e| fail(e.to_string()))?;
    if !real.is_dir() {
        return Err(fail("it is no folder".to_owned()));
    }
    Ok(real)
}

/// Whether `path` is a file that says something of its calendar as a whole.
pub fn is_properties(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name == RADICALE || name == XANDIKOS || name == "displayname" || name == "color")
}

/// The watched folder, and what of it are calendars.
#[derive(Debug)]
pub struct Tree<'a> {
    /// Its real path.
    pub root: &'a Path,
    pub layout: Layout,
    /// Octets of a file; what says something of its calendar and is larger is not read.
    pub max_size: usize,
}

impl Tree<'_> {
    /// The calendars below the root.
    ///
    /// # Errors
    /// [`DirectoryError::Root`] when the root cannot be read.
    pub fn all(&self) -> Result<Folders, DirectoryError> {
        let fail = |e: io::Error| DirectoryError::Root { path: self.root.display().to_string(), reason: e.to_string() };
        let device = fs::metadata(self.root).map_err(fail)?.dev().to_string();
        let is_empty = fs::read_dir(self.root).map_err(fail)?.next().is_none();
        let mut folders = Folders { is_empty, device, ..Folders::default() };
        self.walk(self.root, 0, &mut folders);
        Ok(folders)
    }

    fn walk(&self, path: &Path, depth: usize, folders: &mut Folders) {
        let (mut subfolders, has_objects) = match survey(path) {
            Ok(found) => found,
            Err(error) => {
                folders.faults.push(format!("the folder {} cannot be read: {error}", path.display()));
                return;
            }
        };
        let holds = has_objects || matches!(self.layout, Layout::Flat | Layout::Vdir);
        if holds && self.may_be_calendar(depth) {
            match self.folder(path) {
                Ok(found) => folders.found.extend(found),
                Err(fault) => folders.faults.push(fault),
            }
        }
        let deepest = match self.layout {
            Layout::Flat => 0,
            Layout::Vdir => 1,
            Layout::Radicale | Layout::Auto => DEPTH,
        };
        if depth < deepest {
            subfolders.sort();
            for subfolder in subfolders {
                self.walk(&subfolder, depth + 1, folders);
            }
        }
    }

    /// Whether a folder so deep below the root can be a calendar.
    fn may_be_calendar(&self, depth: usize) -> bool {
        match self.layout {
            Layout::Flat => depth == 0,
            Layout::Vdir => depth == 1,
            Layout::Radicale => (2..=DEPTH).contains(&depth),
            Layout::Auto => depth <= DEPTH,
        }
    }

    /// The calendar that the folder `path` with an object in it is; none where it can be none.
    ///
    /// # Errors
    /// A sentence, when what it is cannot be told now.
    pub fn at(&self, path: &Path) -> Result<Option<Folder>, String> {
        let Ok(below) = path.strip_prefix(self.root) else { return Ok(None) };
        let visible = below.iter().all(|name| !hidden(name));
        if visible && self.may_be_calendar(below.iter().count()) { self.folder(path) } else { Ok(None) }
    }

    /// The calendar at `path`, or none where its properties say that it is something else (an address book). Properties that
    /// cannot be read are not taken for absent: without them the calendar would be somebody else's.
    fn folder(&self, path: &Path) -> Result<Option<Folder>, String> {
        let id = path.file_name().map_or_else(|| "calendar".to_owned(), |name| name.to_string_lossy().into_owned());
        let Ok(below) = path.strip_prefix(self.root) else { return Ok(None) };
        let below = below.to_string_lossy().into_owned();
        let href = if below.is_empty() { ".".to_owned() } else { below };
        let radicale = self.properties(&path.join(RADICALE))?;
        let any_name = radicale.is_some();
        let owner = (any_name || self.layout == Layout::Radicale)
            .then(|| path.parent().filter(|parent| parent.starts_with(self.root) && *parent != self.root))
            .flatten()
            .and_then(Path::file_name)
            .map(|name| name.to_string_lossy().into_owned());
        let path = path.to_owned();
        let mut folder = Folder { path, href, name: id.clone(), id, color: String::new(), zone: None, owner, any_name };
        let is_calendar = match radicale {
            Some(text) => folder.take_radicale(&text),
            None => folder.take_files(self).map(|()| true)?,
        };
        Ok(is_calendar.then_some(folder))
    }

    /// A file that says something of its calendar, or none.
    fn properties(&self, path: &Path) -> Result<Option<String>, String> {
        let fault = |reason| format!("{}: {reason}; its calendar rings on as it is known", path.display());
        let file = read(path, self.max_size).map_err(fault)?;
        Ok(file.map(|(octets, ..)| String::from_utf8_lossy(&octets).into_owned()))
    }
}

impl Folder {
    /// What Radicale's `.Radicale.props` says; false when this is no calendar.
    fn take_radicale(&mut self, text: &str) -> bool {
        let Ok(serde_json::Value::Object(props)) = serde_json::from_str(text) else { return true };
        let get = |key: &str| props.get(key).and_then(|v| v.as_str()).map(str::trim).filter(|v| !v.is_empty());
        if get("tag").is_some_and(|tag| tag != "VCALENDAR") {
            return false;
        }
        if let Some(name) = get("D:displayname") {
            self.name = name.to_owned();
        }
        self.color = get("ICAL:calendar-color").unwrap_or_default().to_owned();
        self.zone = get("C:calendar-timezone-id").or(get("C:calendar-timezone")).map(str::to_owned);
        true
    }

    /// What a vdir's files `displayname` and `color`, or Xandikos' settings, say.
    fn take_files(&mut self, tree: &Tree<'_>) -> Result<(), String> {
        let settings = tree.properties(&self.path.join(XANDIKOS))?.unwrap_or_default();
        let setting = |key: &str| {
            settings.lines().find_map(|line| {
                let (name, value) = line.split_once('=')?;
                (name.trim() == key).then(|| value.trim().to_owned())
            })
        };
        let file = |name: &str| {
            let text = tree.properties(&self.path.join(name))?;
            Ok::<_, String>(text.map(|text| text.trim().to_owned()))
        };
        let filled = |text: &String| !text.is_empty();
        let name = file("displayname")?.or_else(|| setting("displayname")).filter(filled);
        self.color = file("color")?.or_else(|| setting("color")).unwrap_or_default();
        if let Some(name) = name {
            self.name = name;
        }
        Ok(())
    }

    /// The objects in it, and a sentence for each that cannot be one.
    ///
    /// # Errors
    /// A sentence, when it cannot be listed.
    pub fn entries(&self) -> Result<(Vec<Entry>, Vec<String>), String> {
        let fail = |error: io::Error| format!("the folder {} cannot be read: {error}", self.path.display());
        let (mut entries, mut faults) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.path).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let name = entry.file_name();
            if !self.holds(&name) {
                continue;
            }
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                // Gone since it was listed.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(fail(error)),
            };
            match name.to_str() {
                _ if !metadata.is_file() => {}
                Some(name) => entries.push(Entry { name: name.to_owned(), etag: etag(&metadata) }),
                None => faults.push(format!("{}: its name is not UTF-8: rename it", entry.path().display())),
            }
        }
        Ok((entries, faults))
    }

    /// The entry of the file at `path`, with an empty etag where it is gone; none for one that is no object.
    pub fn entry(&self, path: &Path) -> Option<Entry> {
        let name = path.file_name().filter(|name| self.holds(name))?.to_str()?.to_owned();
        let etag = match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_file() => etag(&metadata),
            _ => String::new(),
        };
        Some(Entry { name, etag })
    }

    fn holds(&self, name: &OsStr) -> bool {
        is_object(name) || (self.any_name && !hidden(name))
    }

    /// Reads the files of `entries`: the changes, and a sentence for each file that could not be read.
    pub fn read(&self, entries: Vec<Entry>, max_size: usize) -> (Vec<Change>, Vec<String>) {
        let (mut changes, mut faults) = (Vec::with_capacity(entries.len()), Vec::new());
        for entry in entries {
            let path = self.path.join(&entry.name);
            match read(&path, max_size) {
                Ok(Some((text, etag, written))) => {
                    changes.push(Change::Put { href: entry.name, etag, text, written: Some(written) });
                }
                Ok(None) => changes.push(Change::Gone { href: entry.name }),
                Err(reason) => faults.push(format!("{}: {reason}; what was known of it rings on", path.display())),
            }
        }
        (changes, faults)
    }
}

/// The folders in `path`, and whether there is anything in it that makes it a calendar.
fn survey(path: &Path) -> io::Result<(Vec<PathBuf>, bool)> {
    let (mut subfolders, mut has_objects) = (Vec::new(), false);
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        if kind.is_dir() && !hidden(&name) {
            subfolders.push(entry.path());
        }
        has_objects |= kind.is_file() && (is_object(&name) || name == RADICALE || name == XANDIKOS);
    }
    Ok((subfolders, has_objects))
}

pub(super) fn hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

fn is_object(name: &OsStr) -> bool {
    let extension = Path::new(name).extension().and_then(OsStr::to_str).unwrap_or_default();
    !hidden(name) && ["ics", "ical", "icalendar"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

fn etag(metadata: &Metadata) -> String {
    format!("{}.{:09}-{}-{}", metadata.mtime(), metadata.mtime_nsec(), metadata.size(), metadata.ino())
}

fn written(metadata: &Metadata) -> UtcMillis {
    UtcMillis(metadata.mtime().saturating_mul(1_000).saturating_add(metadata.mtime_nsec() / 1_000_000))
}

type File = (Vec<u8>, String, UtcMillis);

/// The content of a file with its etag and when it was written; none when it is gone or no regular file.
fn read(path: &Path, max_size: usize) -> Result<Option<File>, String> {
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits();
    let mut file = match OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        // A link; a socket.
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::LOOP | Errno::NXIO)) => return Ok(None),
        Err(error) => return Err(format!("the file cannot be read ({error})")),
    };
    let metadata = file.metadata().map_err(|e| format!("the file cannot be read ({e})"))?;
    if !metadata.is_file() {
        return Ok(None);
    }
    let size = usize::try_from(metadata.size()).unwrap_or(usize::MAX);
    if size > max_size {
        return Err(format!("the file has {size} octets, more than limits.max_object_size ({max_size})"));
    }
    let mut text = Vec::with_capacity(size);
    file.by_ref().take(max_size as u64).read_to_end(&mut text).map_err(|e| format!("the file cannot be read ({e})"))?;
    Ok(Some((text, etag(&metadata), written(&metadata))))
}

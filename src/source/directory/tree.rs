//! The watched folder, and which folders in it are calendars.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FileType;

use super::error::DirectoryError;
use super::folder::{Folder, hidden, is_object};
use super::links::Links;
use super::name;
use super::open_folder::{OpenFolder, is_gone};
use super::properties::{FolderMemory, StatedProperties, WithFault, makes_calendar, settle};
use super::watch::Watch;
use crate::access::{self, Need};
use crate::config::Layout;
use crate::time::UtcMillis;

/// Folders below the watched one that may still be calendars: Radicale keeps `collection-root/USER/CALENDAR`.
const DEPTH: usize = 3;

/// The calendars below a folder.
#[derive(Debug, Default)]
pub(super) struct Folders {
    pub found: Vec<Folder>,
    pub unread: Vec<UnreadFolder>,
    /// What could not be read, one sentence each.
    pub faults: Vec<String>,
    /// Links that are not followed, one sentence each.
    pub notes: Vec<String>,
    /// Why the kernel does not watch some of it.
    pub unwatched: Option<String>,
}

/// A folder that could not be read.
#[derive(Debug)]
pub(super) struct UnreadFolder {
    pub path: PathBuf,
    /// A sentence; empty if it is not to be reported yet.
    pub fault: String,
}

/// The watched folder, and what of it are calendars.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    /// Its real path.
    pub root: PathBuf,
    pub layout: Layout,
    /// Octets of a file; what says something of its calendar and is larger is not read.
    pub max_size: usize,
    pub links: Links,
    pub memory: &'a FolderMemory,
    /// What is to see changes of the folders that are visited.
    pub watch: Option<Arc<Watch>>,
    pub now: UtcMillis,
}

/// A folder on a walk: its path as the watched folder has it, and the real paths from there on to it.
struct WalkStep {
    path: PathBuf,
    reals: Vec<PathBuf>,
    depth: usize,
}

impl Folders {
    /// Adds what was found elsewhere.
    pub(super) fn extend(&mut self, others: Folders) {
        self.found.extend(others.found);
        self.unread.extend(others.unread);
        self.faults.extend(others.faults);
        self.notes.extend(others.notes);
        self.unwatched = self.unwatched.take().or(others.unwatched);
    }
}

impl WalkStep {
    fn real(&self) -> &Path {
        self.reals.last().map_or(&self.path, PathBuf::as_path)
    }

    fn below(&self, name: &OsStr, real: PathBuf) -> WalkStep {
        let reals = self.reals.iter().cloned().chain([real]).collect();
        WalkStep { path: self.path.join(name), reals, depth: self.depth + 1 }
    }
}

/// What lies in a folder.
struct Survey {
    place: OpenFolder,
    folders: Vec<std::ffi::OsString>,
    links: Vec<std::ffi::OsString>,
    has_objects: bool,
}

impl Tree<'_> {
    /// All calendars.
    pub(super) fn all(&self) -> Folders {
        let mut folders = Folders::default();
        self.walk(&self.top(), &mut folders);
        folders
    }

    /// The calendars at `path` and below; none where it is not there or cannot be one.
    pub(super) fn below(&self, path: &Path) -> Folders {
        let mut folders = Folders::default();
        if let Some(step) = self.descend(path) {
            self.walk(&step, &mut folders);
        }
        folders
    }

    /// The calendar that the folder `path` is; none where it is none.
    pub(super) fn at(&self, path: &Path) -> Option<WithFault<Folder>> {
        let step = self.descend(path)?;
        let place = OpenFolder::open(step.real()).ok()?;
        let WithFault { found, fault } = self.folder(&step, &place);
        Some(WithFault { found: found.filter(|_| self.may_be_calendar(step.depth))?, fault })
    }

    /// The number of the file system that the watched folder lies on.
    ///
    /// # Errors
    /// [`DirectoryError::Root`] when it is not there.
    pub(super) fn device(&self) -> Result<String, DirectoryError> {
        let metadata = fs::metadata(&self.root).map_err(|error| self.unreadable(&error))?;
        Ok(metadata.dev().to_string())
    }

    /// Whether nothing at all lies in the watched folder.
    ///
    /// # Errors
    /// [`DirectoryError::Root`] when it cannot be read.
    pub(super) fn is_empty(&self) -> Result<bool, DirectoryError> {
        Ok(fs::read_dir(&self.root).map_err(|error| self.unreadable(&error))?.next().is_none())
    }

    /// Whether the folder at `path`, or the nearest above it that is there, lies on another file system than `device`.
    pub(super) fn is_elsewhere(&self, path: &Path, device: &str) -> bool {
        let there = path.ancestors().take_while(|above| above.starts_with(&self.root));
        let now = there.filter_map(|above| fs::metadata(above).ok()).map(|metadata| metadata.dev().to_string()).next();
        now.is_some_and(|now| now != device)
    }

    fn unreadable(&self, error: &io::Error) -> DirectoryError {
        let reason = access::with_hint(error, &self.root, Need::List, false);
        DirectoryError::Root { path: self.root.display().to_string(), reason }
    }

    fn top(&self) -> WalkStep {
        WalkStep { path: self.root.clone(), reals: vec![self.root.clone()], depth: 0 }
    }

    /// The way down to `path`; none where there is no such folder, or what is there is not scanned.
    fn descend(&self, path: &Path) -> Option<WalkStep> {
        let mut step = self.top();
        for name in path.strip_prefix(&self.root).ok()? {
            if hidden(name) || step.depth >= self.deepest() {
                return None;
            }
            let next = step.real().join(name);
            let kind = fs::symlink_metadata(&next).ok()?.file_type();
            let real = match kind.is_symlink() {
                true => self.links.target(&next, &step.reals).ok()??,
                false => next,
            };
            step = step.below(name, real);
        }
        step.real().is_dir().then_some(step)
    }

    fn walk(&self, step: &WalkStep, folders: &mut Folders) {
        if let Some(Err(error)) = self.watch.as_ref().map(|watch| watch.add(step.real(), &step.path))
            && !is_gone(&error)
            && error.kind() != ErrorKind::PermissionDenied
        {
            folders.unwatched.get_or_insert(error.to_string());
        }
        let mut survey = match survey(step.real()) {
            Ok(survey) => survey,
            // Gone since it was listed.
            Err(error) if is_gone(&error) => return,
            Err(error) => {
                let reason = access::with_hint(&error, step.real(), Need::List, false);
                let fault = format!("the folder {} cannot be read: {reason}", step.path.display());
                folders.unread.push(UnreadFolder { path: step.path.clone(), fault });
                return;
            }
        };
        // One that is known is one also when its last object is gone.
        let holds = survey.has_objects
            || matches!(self.layout, Layout::Flat | Layout::Vdir)
            || self.memory.get(&self.href(&step.path)).is_some();
        if self.may_be_calendar(step.depth) && holds {
            let WithFault { found, fault } = self.folder(step, &survey.place);
            folders.found.extend(found);
            folders.faults.extend(fault);
        }
        drop(survey.place);
        if step.depth < self.deepest() {
            survey.folders.sort();
            for name in survey.folders {
                self.walk(&step.below(&name, step.real().join(&name)), folders);
            }
            survey.links.sort();
            for name in survey.links {
                match self.links.target(&step.real().join(&name), &step.reals) {
                    Ok(Some(real)) => self.walk(&step.below(&name, real), folders),
                    Ok(None) => {}
                    Err(note) => folders.notes.push(note),
                }
            }
        }
    }

    fn deepest(&self) -> usize {
        match self.layout {
            Layout::Flat => 0,
            Layout::Vdir => 1,
            Layout::Radicale | Layout::Auto => DEPTH,
        }
    }

    /// Whether the folder `path` lies where calendars do.
    pub(super) fn is_place_of_calendars(&self, path: &Path) -> bool {
        let below = path.strip_prefix(&self.root).map(|below| below.iter().count());
        below.is_ok_and(|depth| self.may_be_calendar(depth))
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

    /// The calendar that a folder is, which is open as `place`; none where its properties say that it is something
    /// else.
    fn folder(&self, step: &WalkStep, place: &OpenFolder) -> WithFault<Option<Folder>> {
        let (path, real) = (&step.path, step.real());
        let href = self.href(path);
        let known = self.memory.get(&href);
        let WithFault { found: settled, fault } =
            settle(StatedProperties::read(place, path, self.max_size), known.as_ref(), path, self.now);
        let Some(settled) = settled else {
            self.memory.lock().remove(&href);
            return WithFault { found: None, fault };
        };
        self.memory.lock().insert(href.clone(), settled.clone());
        let last = path.file_name().unwrap_or(OsStr::new("calendar"));
        let properties = settled.properties;
        let by_place = properties.is_radicale || self.layout == Layout::Radicale;
        let folder = Folder {
            user: self.parent(path).filter(|_| by_place),
            // A calendar that is shared by a link is still its owner's.
            owner: self.parent(real).or_else(|| self.parent(path)).filter(|_| by_place),
            id: name::text(last),
            name: properties.name.unwrap_or_else(|| name::shown(last)),
            color: properties.color,
            zone: properties.zone,
            any_name: properties.is_radicale,
            device: place.device().map(|device| device.to_string()).unwrap_or_default(),
            made: place.made(),
            path: path.clone(),
            real: real.to_owned(),
            href,
        };
        WithFault { found: Some(folder), fault }
    }

    /// The path below the root as text; `.` for the root itself.
    pub(super) fn href(&self, path: &Path) -> String {
        let below = path.strip_prefix(&self.root).unwrap_or(path).as_os_str();
        if below.is_empty() { ".".to_owned() } else { name::text(below) }
    }

    /// The path of the folder with this href.
    pub(super) fn path(&self, href: &str) -> PathBuf {
        if href == "." { self.root.clone() } else { self.root.join(name::octets(href)) }
    }

    /// The name of the folder above, where that is not the root.
    fn parent(&self, path: &Path) -> Option<String> {
        let parent = path.parent().filter(|parent| parent.starts_with(&self.root) && *parent != self.root)?;
        parent.file_name().map(name::text)
    }
}

fn survey(path: &Path) -> io::Result<Survey> {
    let place = OpenFolder::open(path)?;
    let (mut folders, mut links, mut has_objects, mut has_head) = (Vec::new(), Vec::new(), false, false);
    for item in place.items()? {
        has_head |= item.name == "HEAD";
        match item.kind {
            FileType::RegularFile => has_objects |= is_object(&item.name) || makes_calendar(&item.name),
            FileType::Directory if !hidden(&item.name) => folders.push(item.name),
            FileType::Symlink if !hidden(&item.name) => links.push(item.name),
            _ => {}
        }
    }
    // A bare git repository, in which Xandikos can keep a calendar: what is below are hundreds of folders of its own.
    if has_head && ["objects", "refs"].iter().all(|own| folders.iter().any(|name| name == own)) {
        folders.clear();
    }
    Ok(Survey { place, folders, links, has_objects })
}

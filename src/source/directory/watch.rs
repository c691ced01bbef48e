//! Learning from the kernel that files changed. It collects what was touched, and reads nothing. Folders are watched
//! one by one, as they are found: what lies in hidden folders, or too deep to be a calendar, costs nothing.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::error::DirectoryError;
use super::folder::hidden;
use super::mounts::Mounts;
use super::open_folder::canonical;
use super::properties::is_properties;
use crate::source::sync_source::{ReportedChanges, ReportedScope};

/// When more files than this are touched, everything is scanned.
const MOST: usize = 10_000;
/// A file that may still be written is read again after this; a second and a third time after three times as long
/// each.
const SOON: Duration = Duration::from_millis(300);
/// How often a file that looks unfinished is read before it is taken as it is.
pub(super) const TRIES: u32 = 3;

/// The events that are wanted of a folder that may be a calendar or contain some.
const WANTED: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF);
/// The events that are wanted of the folder that a link is in.
const OF_LINKS: WatchFlags = WatchFlags::CREATE.union(WatchFlags::MOVE).union(WatchFlags::DELETE);
/// A name is there that was not, or no longer.
const NAMES: ReadFlags =
    ReadFlags::CREATE.union(ReadFlags::MOVED_FROM).union(ReadFlags::MOVED_TO).union(ReadFlags::DELETE);
/// The watched folder itself is not where it was.
const ITSELF: ReadFlags = ReadFlags::DELETE_SELF.union(ReadFlags::MOVE_SELF).union(ReadFlags::UNMOUNT);

/// What changed since it was asked last. Paths are as the watched folder has them, links that lead elsewhere included.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct FsChanges {
    /// Names that were written, moved or removed, and what was seen of each of them before.
    pub(super) files: HashMap<PathBuf, Doubt>,
    /// Folders that came, went, were moved, or may be read by others than before.
    pub(super) folders: HashSet<PathBuf>,
    /// More than could be kept, or the watched folder itself.
    pub(super) everything: bool,
}

/// What was seen before of a file that looks unfinished.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Doubt {
    /// Times that it was read in vain.
    pub tries: u32,
    /// The etag under which it was handed in and could not be used.
    pub etag: Option<String>,
}

#[derive(Debug)]
struct Shared {
    inotify: AsyncFd<OwnedFd>,
    /// The watched folder.
    top: PathBuf,
    state: Mutex<State>,
    /// Held while the kernel is asked to watch a folder, which takes as long as a file system hangs: events of it wait
    /// until its name is known.
    naming: tokio::sync::Mutex<()>,
    news: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// What the kernel watches, by its number.
    watched: HashMap<i32, Vec<Role>>,
    changes: FsChanges,
    /// Files to be read again.
    later: HashMap<PathBuf, Later>,
    /// Which folders the watched ones were when they were added.
    places: HashMap<PathBuf, Number>,
}

/// When a file is read again, and what was seen of it before.
#[derive(Debug)]
struct Later {
    at: Instant,
    doubt: Doubt,
}

/// Why a folder is watched. Where a link is followed, there are several reasons.
#[derive(Debug, PartialEq, Eq)]
enum Role {
    /// It is this one.
    Folder(PathBuf),
    /// The link of this name in it leads to the watched folder.
    Link(OsString),
}

/// A running watch. It ends when it is dropped.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    /// The folder as the settings name it, and which one that was when the watch began.
    path: PathBuf,
    folder: Option<Number>,
    reading: JoinHandle<()>,
    mounts: Option<JoinHandle<()>>,
}

/// A folder, whatever it is called: its device and inode.
type Number = (u64, u64);

impl Watch {
    /// Begins to watch the folder `path`, and where it is a link, the link as well. What lies below is watched by
    /// [`Watch::add`]. To be called where it may block, within a runtime.
    pub(super) fn start(path: &Path) -> Result<Watch, DirectoryError> {
        let top = canonical(path)?;
        let fail = |reason: String| DirectoryError::Watch { path: top.display().to_string(), reason };
        let failed = |error: io::Error| fail(error.to_string());
        // While it is open, no other folder gets its number.
        let open = File::open(&top).map_err(failed)?;
        let descriptor =
            inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
        #[allow(
            deprecated,
            reason = "its replacement is unsafe for the sake of types that may close their descriptor; this one owns it"
        )]
        let inotify = AsyncFd::new(descriptor).map_err(failed)?;
        let shared = Shared {
            inotify,
            top: top.clone(),
            state: Mutex::default(),
            naming: Default::default(),
            news: Notify::new(),
        };
        shared.add(&top, WANTED, Role::Folder(top.clone())).map_err(failed)?;
        let folder = open.metadata().ok().as_ref().map(number_of);
        if number(path) != folder {
            // A folder that went away meanwhile may not be watched at all.
            return Err(fail("it has just been replaced".to_owned()));
        }
        if let (true, Some(parent), Some(name)) = (path.is_symlink(), path.parent(), path.file_name()) {
            // Only the folder of a link reports that it is replaced. Without that the next scan of everything finds it.
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            let _ = shared.add(parent, OF_LINKS, Role::Link(name.to_owned()));
        }
        let shared = Arc::new(shared);
        let reading = tokio::spawn(shared.clone().read());
        let mounts = Mounts::open().map(|mounts| tokio::spawn(shared.clone().compare(mounts)));
        Ok(Watch { shared, path: path.to_owned(), folder, reading, mounts })
    }

    /// Watches the folder `path` too, whose real path is `real`. To be called before it is listed.
    ///
    /// # Errors
    /// Those of the system; the kernel may watch no more folders.
    pub(super) fn add(&self, real: &Path, path: &Path) -> io::Result<()> {
        self.shared.add(real, WANTED | WatchFlags::DONT_FOLLOW, Role::Folder(path.to_owned()))
    }

    /// Watches nothing more at `path` and below.
    pub(super) fn forget(&self, path: &Path) {
        let mut state = self.shared.lock();
        state.places.retain(|folder, _| !folder.starts_with(path));
        state.watched.retain(|number, roles| {
            roles.retain(|role| !matches!(role, Role::Folder(folder) if folder.starts_with(path)));
            if roles.is_empty() {
                // The kernel may have done so itself, where the folder is gone.
                let _ = inotify::remove_watch(&self.shared.inotify, *number);
            }
            !roles.is_empty()
        });
    }

    /// Has `file` read again soon, unless an event names it before.
    pub(super) fn again(&self, file: PathBuf, doubt: Doubt) {
        let wait = SOON.saturating_mul(3_u32.saturating_pow(doubt.tries.saturating_sub(1)));
        let at = Instant::now() + wait;
        let mut state = self.shared.lock();
        if !state.changes.files.contains_key(&file) {
            state.later.insert(file, Later { at, doubt });
        }
        drop(state);
        self.shared.news.notify_one();
    }

    /// Whether another folder is there now than the one that is watched.
    pub async fn is_stale(&self) -> bool {
        let path = self.path.clone();
        self.reading.is_finished() || super::blocking::blocking(move || number(&path)).await != self.folder
    }

    /// Waits until something is touched, and takes what was. Dropping the future loses nothing.
    pub async fn changes(&self) -> FsChanges {
        loop {
            let soonest = {
                let mut state = self.shared.lock();
                state.ripen(Instant::now());
                if state.changes != FsChanges::default() {
                    return std::mem::take(&mut state.changes);
                }
                state.later.values().map(|later| later.at).min()
            };
            match soonest {
                Some(at) => tokio::select! {
                    () = self.shared.news.notified() => {}
                    () = tokio::time::sleep_until(at) => {}
                },
                None => self.shared.news.notified().await,
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.reading.abort();
        if let Some(mounts) = &self.mounts {
            mounts.abort();
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, real: &Path, wanted: WatchFlags, role: Role) -> io::Result<()> {
        let _naming = self.naming.blocking_lock();
        let flags = wanted | WatchFlags::ONLYDIR | WatchFlags::MASK_ADD;
        let number = inotify::add_watch(&self.inotify, real, flags)?;
        let place = self::number(real);
        let mut state = self.lock();
        if let (Role::Folder(folder), Some(place)) = (&role, place) {
            state.places.insert(folder.clone(), place);
        }
        let roles = state.watched.entry(number).or_default();
        if !roles.contains(&role) {
            roles.push(role);
        }
        Ok(())
    }

    /// Takes what the kernel says, so that its queue stays short however long a scan takes.
    async fn read(self: Arc<Shared>) {
        let mut room = [MaybeUninit::<u8>::uninit(); 16 * 1024];
        while let Ok(mut ready) = self.inotify.readable().await {
            let _naming = self.naming.lock().await;
            let mut reader = Reader::new(&self.inotify, &mut room);
            let mut state = self.lock();
            loop {
                match reader.next() {
                    Ok(event) => {
                        let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
                        state.take(&self.top, event.wd(), event.events(), name);
                    }
                    Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => {
                        ready.clear_ready();
                        break;
                    }
                    Err(_) => {
                        state.changes.everything = true;
                        self.news.notify_one();
                        return;
                    }
                }
            }
            state.bound();
            if state.changes != FsChanges::default() || !state.later.is_empty() {
                self.news.notify_one();
            }
        }
    }
}

impl Shared {
    /// Marks as touched each watched folder that is another one once something was mounted or unmounted there.
    async fn compare(self: Arc<Shared>, mounts: Mounts) {
        while mounts.changed().await {
            let places: Vec<(PathBuf, Number)> =
                self.lock().places.iter().map(|(path, place)| (path.clone(), *place)).collect();
            let moved = super::blocking::blocking(move || {
                let is_another = |(path, place): &(PathBuf, Number)| number(path).is_some_and(|now| now != *place);
                places.into_iter().filter(is_another).map(|(path, _)| path).collect::<Vec<_>>()
            });
            let moved = moved.await;
            if !moved.is_empty() {
                let mut state = self.lock();
                state.changes.everything |= moved.contains(&self.top);
                state.changes.folders.extend(moved);
                self.news.notify_one();
            }
        }
    }
}

impl State {
    /// Takes one event of what the kernel watches under `number`.
    fn take(&mut self, top: &Path, number: i32, events: ReadFlags, name: Option<&OsStr>) {
        if events.contains(ReadFlags::QUEUE_OVERFLOW) {
            self.changes.everything = true;
            return;
        }
        if events.contains(ReadFlags::IGNORED) {
            self.watched.remove(&number);
            return;
        }
        let Some(roles) = self.watched.get(&number) else { return };
        for role in roles {
            match (role, name) {
                (Role::Folder(folder), None) if events.intersects(ITSELF) => {
                    if folder == top {
                        self.changes.everything = true;
                    } else {
                        self.changes.folders.insert(folder.clone());
                    }
                }
                (Role::Folder(folder), Some(name)) if !hidden(name) || is_properties(name) => {
                    note(&mut self.changes, &mut self.later, folder.join(name), events);
                }
                (Role::Link(link), Some(name)) if link == name && events.intersects(NAMES) => {
                    self.changes.everything = true;
                }
                _ => {}
            }
        }
    }

    /// What is too much to be kept one by one is kept as a whole.
    fn bound(&mut self) {
        if self.changes.files.len().saturating_add(self.later.len()) > MOST || self.changes.folders.len() > MOST {
            self.changes = FsChanges { everything: true, ..FsChanges::default() };
            self.later.clear();
        }
    }

    /// What was to be read again by now is touched.
    fn ripen(&mut self, now: Instant) {
        let due: Vec<PathBuf> =
            self.later.iter().filter(|(_, later)| later.at <= now).map(|(path, _)| path.clone()).collect();
        for path in due {
            if let Some(later) = self.later.remove(&path) {
                self.changes.files.entry(path).or_insert(later.doubt);
            }
        }
    }
}

/// Notes that `events` name `path`.
fn note(changes: &mut FsChanges, later: &mut HashMap<PathBuf, Later>, path: PathBuf, events: ReadFlags) {
    let is_new = events.intersects(NAMES.union(ReadFlags::ATTRIB));
    if events.contains(ReadFlags::ISDIR) {
        if is_new {
            changes.folders.insert(path);
        }
    } else if is_new || events.contains(ReadFlags::CLOSE_WRITE) {
        // It is read as it is now: one that was linked or moved here is whole, one that is being written may not
        // be.
        let doubt = later.remove(&path).map(|later| later.doubt).unwrap_or_default();
        changes.files.insert(path, doubt);
    } else if let (Entry::Vacant(entry), false) = (later.entry(path.clone()), changes.files.contains_key(&path)) {
        // It is being written, and may be closed late or never.
        entry.insert(Later { at: Instant::now() + SOON, doubt: Doubt { tries: 1, etag: None } });
    }
}

fn number(path: &Path) -> Option<Number> {
    path.metadata().ok().as_ref().map(number_of)
}

fn number_of(metadata: &Metadata) -> Number {
    (metadata.dev(), metadata.ino())
}

impl ReportedChanges for FsChanges {
    fn scope(&self) -> ReportedScope {
        match self.everything {
            true => ReportedScope::Everything,
            false if self.folders.is_empty() => ReportedScope::Objects,
            false => ReportedScope::Calendars,
        }
    }

    fn concerns(&self, fault: &str) -> bool {
        // The path, and not one that only begins like it.
        let named = |path: &Path| {
            let path = path.to_string_lossy();
            fault.split(&*path).skip(1).any(|rest| rest.is_empty() || rest.starts_with([' ', ':', '/', ',']))
        };
        self.everything || self.files.keys().any(|file| named(file)) || self.folders.iter().any(|folder| named(folder))
    }
}

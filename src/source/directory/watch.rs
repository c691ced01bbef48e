//! The kernel's word that files changed. It gathers what was touched; it does not look.

use std::collections::HashSet;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use super::DirectoryError;
use super::folder::{canonical, hidden, is_properties};

/// More touched files than this are looked at by reading everything.
const MOST: usize = 10_000;

/// What changed since it was asked last.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Touched {
    /// Files that were written, moved or removed.
    pub paths: HashSet<PathBuf>,
    /// More than files, or more than could be told.
    pub everything: bool,
}

#[derive(Debug, Default)]
struct Shared {
    /// The watched folder.
    top: PathBuf,
    /// The link that leads there, if one does.
    link: Option<PathBuf>,
    touched: Mutex<Touched>,
    news: Notify,
}

/// A running watch. It ends when it is dropped.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    /// The folder as the settings name it, and which one that was when the watch began.
    path: PathBuf,
    folder: Option<Place>,
    _watcher: RecommendedWatcher,
}

/// A folder, whatever it is called: its device and inode.
type Place = (u64, u64);

impl Watch {
    /// Watches the folder `path` and all below it; where it is a link, the link as well.
    pub(super) fn start(path: &Path) -> Result<Watch, DirectoryError> {
        let root = &canonical(path)?;
        let link = path.is_symlink().then(|| path.to_owned());
        let shared = Arc::new(Shared { top: root.clone(), link: link.clone(), ..Shared::default() });
        let told = shared.clone();
        let fail = |reason: String| DirectoryError::Watch { path: root.display().to_string(), reason };
        // While it is open, no other folder gets its number.
        let open = File::open(root).map_err(|error| fail(error.to_string()))?;
        let mut watcher =
            notify::recommended_watcher(move |event| told.take(event)).map_err(|error| fail(error.to_string()))?;
        watcher.watch(root, RecursiveMode::Recursive).map_err(|error| fail(error.to_string()))?;
        let folder = open.metadata().ok().as_ref().map(place_of);
        if place(path) != folder {
            // A folder that went away meanwhile may not be watched at all.
            return Err(fail("it has just been replaced".to_owned()));
        }
        if let Some(beside) = link.as_deref().and_then(Path::parent) {
            // A link that is replaced is told by its folder only. Without that the next look at everything finds it.
            let _ = watcher.watch(beside, RecursiveMode::NonRecursive);
        }
        Ok(Watch { shared, path: path.to_owned(), folder, _watcher: watcher })
    }

    /// Whether another folder is there now than the one that is watched.
    pub fn is_stale(&self) -> bool {
        place(&self.path) != self.folder
    }

    /// Waits until something is touched, and takes what was. Dropping the future loses nothing.
    pub async fn touched(&self) -> Touched {
        loop {
            self.shared.news.notified().await;
            let touched = std::mem::take(&mut *self.shared.lock());
            if touched != Touched::default() {
                return touched;
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Touched> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, event: Result<Event, notify::Error>) {
        let mut touched = self.lock();
        match event {
            Ok(event) if event.need_rescan() => touched.everything = true,
            Ok(event) => {
                for path in event.paths {
                    self.sort(&mut touched, &event.kind, path);
                }
            }
            Err(_) => touched.everything = true,
        }
        if touched.paths.len() > MOST {
            *touched = Touched { paths: HashSet::new(), everything: true };
        }
        let news = *touched != Touched::default();
        drop(touched);
        if news {
            self.news.notify_one();
        }
    }

    fn sort(&self, touched: &mut Touched, kind: &EventKind, path: PathBuf) {
        if path == self.top || self.link.as_ref() == Some(&path) {
            // Itself moved away, removed or replaced; to what lies in it, nothing has happened.
            touched.everything |=
                matches!(kind, EventKind::Remove(_) | EventKind::Create(_) | EventKind::Modify(ModifyKind::Name(_)));
        } else if let Ok(below) = path.strip_prefix(&self.top) {
            // What a server keeps for itself in hidden folders holds no calendar.
            if !below.parent().is_some_and(|folder| folder.iter().any(hidden)) {
                touched.take(kind, path);
            }
        }
    }
}

fn place(path: &Path) -> Option<Place> {
    path.metadata().ok().as_ref().map(place_of)
}

fn place_of(metadata: &Metadata) -> Place {
    (metadata.dev(), metadata.ino())
}

impl Touched {
    fn take(&mut self, kind: &EventKind, path: PathBuf) {
        let complete = match kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) | EventKind::Modify(ModifyKind::Name(_)) => true,
            EventKind::Remove(_) => true,
            // A file that was just created is told of again when it is closed; one that was linked here is whole.
            EventKind::Create(_) => path.symlink_metadata().is_ok_and(|m| m.is_dir() || m.nlink() > 1),
            _ => false,
        };
        if !complete || (path.file_name().is_none_or(hidden) && !is_properties(&path)) {
            return;
        }
        if is_properties(&path) || path.is_dir() || path.extension().is_none() {
            self.everything = true;
        } else {
            self.paths.insert(path);
        }
    }
}

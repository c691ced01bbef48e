//! The kernel's word that files changed. It gathers what was touched; it does not look.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use super::DirectoryError;
use super::folder::is_properties;

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
    touched: Mutex<Touched>,
    news: Notify,
}

/// A running watch. It ends when it is dropped.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    _watcher: RecommendedWatcher,
}

impl Watch {
    pub(super) fn start(root: &Path) -> Result<Watch, DirectoryError> {
        let shared = Arc::new(Shared::default());
        let told = shared.clone();
        let fail = |error: notify::Error| DirectoryError::Watch {
            path: root.display().to_string(),
            reason: error.to_string(),
        };
        let mut watcher = notify::recommended_watcher(move |event| told.take(event)).map_err(fail)?;
        watcher.watch(root, RecursiveMode::Recursive).map_err(fail)?;
        Ok(Watch { shared, _watcher: watcher })
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
                    touched.take(&event.kind, path);
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
        let hidden = path.file_name().map(OsStr::as_encoded_bytes).is_none_or(|name| name.starts_with(b"."));
        if !complete || (hidden && !is_properties(&path)) {
            return;
        }
        if is_properties(&path) || path.is_dir() || path.extension().is_none() {
            self.everything = true;
        } else {
            self.paths.insert(path);
        }
    }
}

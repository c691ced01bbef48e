//! A folder of `.ics` files as a source: a plain folder, a vdir, or the storage of Radicale or Xandikos. It is watched,
//! so that a change is seen at once, and read as a whole at the start and now and then, in case a change was not told.
//! What is inside a file it does not know.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Batch, CalendarSeen, Change, Checkpoint, DefaultAlarms, Intake, IntakeError};
use crate::clock::Clock;
use crate::config::{Layout, ONE_USER, Source};
use crate::time::UtcMillis;

mod folder;
mod watch;

use folder::{Entry, Folder, Tree};
pub use watch::{Touched, Watch};

/// Objects in one batch: enough to make a commit worth its flush, few enough to hold in memory.
const BATCH: usize = 1_000;

/// What can be wrong with a watched folder.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The folder itself.
    #[error(
        "the folder {path} cannot be read ({reason}): make it readable to this user, or take it out of the configuration; its alarms ring on as they are known"
    )]
    Root { path: String, reason: String },
    /// It is empty, and lies on another file system than before.
    #[error(
        "the folder {path} is empty and on another file system than before, as where one is not mounted: mount it; its alarms ring on as they are known (where it is meant to be empty, put a file into it)"
    )]
    Unmounted { path: String },
    /// The kernel does not watch it.
    #[error(
        "the folder {path} cannot be watched ({reason}): changes are found only every rescan_interval; raising fs.inotify.max_user_watches may help"
    )]
    Watch { path: String, reason: String },
    #[error(transparent)]
    Intake(#[from] IntakeError),
}

/// What a look found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    pub calendars: usize,
    /// Objects that were new, changed or gone.
    pub changes: usize,
    /// What could not be read, one sentence each; what was known of it rings on.
    pub faults: Vec<String>,
}

/// A watched folder.
#[derive(Debug)]
pub struct DirectorySource {
    name: String,
    clock: Clock,
    settings: Arc<Settings>,
}

/// The calendar that the folder `path` is to a source that watches `root`: what a look at it would hand in. None where it is
/// no calendar of that source. `max_size` bounds a file, in octets.
pub fn calendar_in(
    source: &Source,
    (root, layout): (&Path, Layout),
    path: &Path,
    max_size: usize,
) -> Option<CalendarSeen> {
    let root = folder::canonical(root).ok()?;
    let settings = Settings::new(source, (&root, layout), &source.login, max_size);
    settings.seen(&settings.tree(&root).at(path).ok()??)
}

/// What the blocking parts need to know.
#[derive(Debug)]
struct Settings {
    path: PathBuf,
    layout: Layout,
    user: String,
    user_is_given: bool,
    /// With the addresses and zones of its users.
    source: Source,
    calendars: Vec<String>,
    max_size: usize,
}

impl DirectorySource {
    /// A source for the folder `path`. `fallback_user` is whose alarms these are where neither the settings nor the
    /// layout say so; `max_size` bounds a file, in octets. The folder need not be there yet.
    pub fn new(
        source: &Source,
        (path, layout): (&Path, Layout),
        fallback_user: &str,
        max_size: usize,
        clock: Clock,
    ) -> DirectorySource {
        let settings = Settings::new(source, (path, layout), fallback_user, max_size);
        DirectorySource { name: source.name.clone(), clock, settings: Arc::new(settings) }
    }

    /// Starts to watch the folder. What changes from now on is told by the watch; so watch first, then [`look`].
    ///
    /// [`look`]: DirectorySource::look
    ///
    /// # Errors
    /// [`DirectoryError::Root`] when the folder is not there, [`DirectoryError::Watch`] when the kernel refuses.
    pub fn watch(&self) -> Result<Watch, DirectoryError> {
        Watch::start(&self.settings.path)
    }

    /// Looks at everything: hands in what differs from what was handed in before.
    ///
    /// # Errors
    /// [`DirectoryError::Root`] when the folder cannot be read, [`DirectoryError::Intake`].
    pub async fn look(&self, intake: &impl Intake) -> Result<Looked, DirectoryError> {
        let looked_at = self.clock.now();
        let settings = self.settings.clone();
        let folders = blocking(move || settings.tree(&folder::canonical(&settings.path)?).all()).await?;
        let all_found = folders.faults.is_empty();
        let mut looked = Looked { faults: folders.faults, ..Looked::default() };
        let known = intake.calendars(&self.name).await?;
        let checkpoint = Checkpoint { ctag: Some(folders.device), sync_token: None };
        // Where a file system is mounted that is not, the folder below is seen, and that is empty.
        if folders.is_empty {
            for known in known.iter().filter(|known| is_elsewhere(&known.checkpoint, &checkpoint)) {
                if !intake.etags(&self.name, &known.href).await?.is_empty() {
                    return Err(DirectoryError::Unmounted { path: self.settings.path.display().to_string() });
                }
            }
        }
        let mut known: HashSet<String> = known.into_iter().map(|known| known.href).collect();
        let look = Look { at: looked_at, checkpoint };
        let mut of_many = false;
        for folder in folders.found {
            let Some(seen) = self.settings.seen(&folder) else { continue };
            of_many |= self.settings.is_of_many(&folder);
            known.remove(&seen.href);
            looked.calendars += 1;
            looked.changes += self.look_at_folder(intake, folder, seen, &look, &mut looked.faults).await?;
        }
        if of_many && !self.settings.source.email.is_empty() {
            looked.faults.push(format!("email {ONE_USER}"));
        }
        if all_found {
            for href in known {
                intake.calendar_gone(&self.name, &href).await?;
                looked.changes += 1;
            }
        }
        Ok(looked)
    }

    /// Looks at what an event of the watch touched. Falls back to [`DirectorySource::look`] when that is not just files.
    /// It is a part of a look: an event may be handled long after its change (a process that was stopped, a ledger that
    /// was locked), so what is due since the last look at everything is not past.
    ///
    /// # Errors
    /// As for [`DirectorySource::look`].
    pub async fn look_at(&self, intake: &impl Intake, touched: Touched) -> Result<Looked, DirectoryError> {
        let look = Look { at: self.clock.now(), checkpoint: Checkpoint::default() };
        let settings = self.settings.clone();
        let sorted = blocking(move || settings.sort(touched)).await;
        let Some(by_folder) = sorted else { return self.look(intake).await };
        let mut looked = Looked::default();
        for (folder, files) in by_folder {
            let Some(seen) = self.settings.seen(&folder) else { continue };
            looked.calendars += 1;
            for chunk in files.chunks(BATCH) {
                let Some((changes, unread)) = self.read(&folder, Some(chunk.to_vec())).await else { continue };
                looked.faults.extend(unread);
                looked.changes += changes.len();
                intake.apply(&self.name, look.batch(&seen, changes, false)).await?;
            }
        }
        Ok(looked)
    }

    /// Hands in what differs in one calendar; returns how much that was.
    async fn look_at_folder(
        &self,
        intake: &impl Intake,
        folder: Folder,
        seen: CalendarSeen,
        look: &Look,
        faults: &mut Vec<String>,
    ) -> Result<usize, DirectoryError> {
        let mut etags = intake.etags(&self.name, &seen.href).await?;
        let listed = folder.clone();
        let entries = match blocking(move || listed.entries()).await {
            Ok((entries, unusable)) => {
                faults.extend(unusable);
                entries
            }
            Err(fault) => {
                faults.push(fault);
                return Ok(0);
            }
        };
        let changed: Vec<Entry> = entries
            .into_iter()
            .filter(|entry| etags.remove(&entry.name).is_none_or(|etag| etag != entry.etag))
            .collect();
        let gone: Vec<Change> = etags.into_keys().map(|href| Change::Gone { href }).collect();
        let count = changed.len() + gone.len();
        if changed.is_empty() {
            intake.apply(&self.name, look.batch(&seen, gone, true)).await?;
            return Ok(count);
        }
        if !gone.is_empty() {
            intake.apply(&self.name, look.batch(&seen, gone, false)).await?;
        }
        let mut chunks = changed.chunks(BATCH).map(<[Entry]>::to_vec);
        let mut read = self.read(&folder, chunks.next()).await;
        while let Some((changes, unread)) = read {
            faults.extend(unread);
            let next = chunks.next();
            let batch = look.batch(&seen, changes, next.is_none());
            // While one batch is planned and written, the next one is read.
            let (applied, ahead) = tokio::join!(intake.apply(&self.name, batch), self.read(&folder, next));
            applied?;
            read = ahead;
        }
        Ok(count)
    }

    /// Reads the files of `chunk`, if there is one: the changes, and a sentence for each file that could not be read.
    async fn read(&self, folder: &Folder, chunk: Option<Vec<Entry>>) -> Option<(Vec<Change>, Vec<String>)> {
        let (entries, folder, max_size) = (chunk?, folder.clone(), self.settings.max_size);
        Some(blocking(move || folder.read(entries, max_size)).await)
    }
}

impl Settings {
    fn new(source: &Source, (path, layout): (&Path, Layout), fallback_user: &str, max_size: usize) -> Settings {
        Settings {
            path: path.to_owned(),
            layout,
            user: source.user.clone().unwrap_or_else(|| fallback_user.to_owned()),
            user_is_given: source.user.is_some(),
            source: source.clone(),
            calendars: source.calendars.clone(),
            max_size,
        }
    }

    /// The watched folder, whose real path is `root`.
    fn tree<'a>(&self, root: &'a Path) -> Tree<'a> {
        Tree { root, layout: self.layout, max_size: self.max_size }
    }

    /// The calendar that `folder` is; none for one that the settings leave out.
    fn seen(&self, folder: &Folder) -> Option<CalendarSeen> {
        let named = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => folder.name.starts_with(start) || folder.href.starts_with(start),
            None => *pattern == folder.name || *pattern == folder.href || *pattern == folder.id,
        };
        if !self.calendars.is_empty() && !self.calendars.iter().any(named) {
            return None;
        }
        let user = match &folder.owner {
            Some(owner) if !self.user_is_given => owner,
            _ => &self.user,
        };
        let emails = match self.emails(folder, user) {
            [] if user.contains('@') => vec![user.clone()],
            emails => emails.to_vec(),
        };
        Some(CalendarSeen {
            href: folder.href.clone(),
            id: folder.id.clone(),
            user: user.clone(),
            owner: folder.owner.clone().unwrap_or_else(|| user.clone()),
            emails,
            name: folder.name.clone(),
            color: folder.color.clone(),
            zone: folder.zone.clone(),
            user_zone: self.source.zone_of(user).map(str::to_owned),
            default_alarms: DefaultAlarms::default(),
        })
    }

    /// The addresses of `user` that are configured. Those of the source are not meant where it has several users.
    fn emails<'s>(&'s self, folder: &Folder, user: &str) -> &'s [String] {
        match self.source.users.get(user) {
            Some(known) if !known.email.is_empty() => &known.email,
            _ if self.is_of_many(folder) => &[],
            _ => &self.source.email,
        }
    }

    /// Whether the folder's owner is its user: then there may be several.
    fn is_of_many(&self, folder: &Folder) -> bool {
        folder.owner.is_some() && !self.user_is_given
    }

    /// Puts touched files to their folders; none when more than files was touched.
    fn sort(&self, touched: Touched) -> Option<Vec<(Folder, Vec<Entry>)>> {
        if touched.everything {
            return None;
        }
        let root = folder::canonical(&self.path).ok()?;
        let tree = self.tree(&root);
        let mut by_folder: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
        for path in touched.paths {
            by_folder.entry(path.parent()?.to_owned()).or_default().push(path);
        }
        let mut sorted = Vec::new();
        for (path, files) in by_folder {
            if !path.is_dir() {
                return None;
            }
            // What cannot be told here is told by a look at everything.
            if let Some(folder) = tree.at(&path).ok()? {
                let entries = files.iter().filter_map(|file| folder.entry(file)).collect();
                sorted.push((folder, entries));
            }
        }
        Some(sorted)
    }
}

/// Whether both say where the folder lies, and say otherwise.
fn is_elsewhere(before: &Checkpoint, now: &Checkpoint) -> bool {
    before.ctag.is_some() && before.ctag != now.ctag
}

/// A look at the folder.
struct Look {
    at: UtcMillis,
    /// What tells the file system that the folder lies on from others.
    checkpoint: Checkpoint,
}

impl Look {
    fn batch(&self, seen: &CalendarSeen, changes: Vec<Change>, last: bool) -> Batch {
        let checkpoint = last.then(|| self.checkpoint.clone());
        Batch { calendar: seen.clone(), looked_at: self.at, changes, checkpoint }
    }
}

/// Runs file work where it may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        // The closure neither panics nor is it cancelled.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

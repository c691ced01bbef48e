//! Scanning a folder: what differs from what was handed in before is handed in.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tracing::Instrument as _;

use super::DirectorySource;
use super::blocking::blocking;
use super::error::DirectoryError;
use super::folder::{FileEntry, Folder, ReadFiles, UnreadFile, is_whole};
use super::open_folder::canonical;
use super::sorting::{SortedChanges, TouchedFile, TouchedFiles};
use super::tree::{Folders, UnreadFolder};
use super::watch::{Doubt, FsChanges, TRIES, Watch};
use crate::source::contract::{
    Absence, CalendarInfo, Change, ChangeBatch, Checkpoint, Evidence, Known, SyncReport, SyncStore,
};
use crate::time::UtcMillis;

/// Objects in one batch: enough to make a commit worth its flush, few enough to hold in memory.
const BATCH: usize = 1_000;

/// So many files of a folder that has just come may look unfinished and be read again soon.
const PATIENCE: usize = 100;

/// A scan of the folder.
struct Scan<'a> {
    at: UtcMillis,
    /// The number of the file system that the watched folder lies on.
    device: String,
    watch: Option<&'a Arc<Watch>>,
    /// How many files that look unfinished may be left for a second scan, instead of being handed in as they are.
    patience: usize,
}

/// A calendar in the watched folder.
struct FolderCalendar {
    folder: Folder,
    /// As it is handed in.
    seen: CalendarInfo,
}

impl DirectorySource {
    /// Scans everything: hands in what differs from what was handed in before. If the source is watched, so are
    /// the folders that it visits from then on.
    ///
    /// # Errors
    /// [`DirectoryError::Root`] when the folder cannot be read, [`DirectoryError::Store`].
    pub async fn scan(&self, store: &impl SyncStore) -> Result<SyncReport, DirectoryError> {
        let at = self.clock.now();
        let known = store.calendars(&self.name).await?;
        self.settings.memory.remember(&known);
        let (settings, watching) = (self.settings.clone(), self.watch.clone());
        let (device, is_empty, folders) = blocking(move || {
            let tree = settings.tree(canonical(&settings.path)?, watching, at);
            Ok::<_, DirectoryError>((tree.device()?, tree.is_empty()?, tree.all()))
        })
        .await?;
        // Where a file system is mounted that is not, the folder below is seen, and that is empty.
        if is_empty {
            let was_elsewhere = |known: &&Known| ScanState::of(known).is_some_and(|state| state.root_device != device);
            for known in known.iter().filter(was_elsewhere) {
                if !store.etags(&self.name, &known.href).await?.is_empty() {
                    return Err(DirectoryError::Unmounted { path: self.settings.path.display().to_string() });
                }
            }
        }
        let scan = Scan { at, device, watch: self.watch.as_ref(), patience: 0 };
        let sorted = SortedChanges { folders, ..SortedChanges::default() };
        self.scan_folders(store, sorted, known, &scan).await
    }

    /// Scans what an event of the watch touched. Falls back to [`DirectorySource::scan`] when that is unknown.
    /// It is a part of a scan: an event may be handled long after its change (a process that was stopped, a ledger that
    /// was locked), so what is due since the last scan of everything is not past.
    ///
    /// # Errors
    /// As for [`DirectorySource::scan`].
    pub async fn scan_changes(&self, store: &impl SyncStore, changes: FsChanges) -> Result<SyncReport, DirectoryError> {
        if changes.everything {
            return self.scan(store).await;
        }
        let at = self.clock.now();
        let (settings, watching) = (self.settings.clone(), self.watch.clone());
        let mut sorted = blocking(move || settings.sort(changes, watching.as_ref(), at)).await?;
        let device = std::mem::take(&mut sorted.device);
        let scan = Scan { at, device, watch: self.watch.as_ref(), patience: PATIENCE };
        let mut report = SyncReport::default();
        for TouchedFiles { folder, files } in std::mem::take(&mut sorted.files) {
            let Some(seen) = self.settings.seen(&folder) else { continue };
            let calendar = FolderCalendar { folder, seen };
            report.calendars += 1;
            let span = tracing::debug_span!("calendar", calendar.href = calendar.folder.href);
            let scanning = async {
                for chunk in files.chunks(BATCH) {
                    self.scan_files(store, &calendar, chunk, &scan, &mut report).await?;
                }
                Ok::<_, DirectoryError>(())
            };
            scanning.instrument(span).await?;
        }
        let known = match sorted.touched.is_empty() && sorted.folders.found.is_empty() {
            true => Vec::new(),
            false => store.calendars(&self.name).await?,
        };
        let known = known.into_iter().filter(|known| sorted.touched.contains(&known.href)).collect();
        let SyncReport { calendars, changes, faults, notes, absent, unwatched, .. } =
            self.scan_folders(store, sorted, known, &scan).await?;
        report.calendars += calendars;
        report.changes += changes;
        report.faults.extend(faults);
        Ok(SyncReport { notes, absent, unwatched, ..report })
    }

    /// Hands in what differs in calendars that were found, and says which of the `known` ones were not.
    async fn scan_folders(
        &self,
        store: &impl SyncStore,
        sorted: SortedChanges,
        known: Vec<Known>,
        scan: &Scan<'_>,
    ) -> Result<SyncReport, DirectoryError> {
        let SortedChanges { mut folders, others, .. } = sorted;
        let mut report = self.report_of(&mut folders);
        let mut missing: HashMap<String, Known> = known.into_iter().map(|known| (known.href.clone(), known)).collect();
        for folder in folders.found {
            let known = missing.remove(&folder.href);
            self.scan_found(store, folder, known, scan, &mut report).await?;
        }
        let in_order = folders.unread.is_empty() && (others || report.calendars > 0);
        let evidence = if in_order { Evidence::Healthy } else { Evidence::AllGone };
        for known in missing.into_values() {
            if !self.is_wanted(&known) {
                self.drop(store, &known.href, &mut report).await?;
                continue;
            }
            match self.place_of(&known, &folders.unread, scan).await? {
                PlaceOf::Unread => {}
                PlaceOf::Gone => self.miss(store, &known.href, evidence, scan, &mut report).await?,
                PlaceOf::Elsewhere(path) => {
                    report.faults.push(unmounted(&path));
                    self.miss(store, &known.href, Evidence::AllGone, scan, &mut report).await?;
                }
            }
        }
        Ok(report)
    }

    /// What there is to report of `folders` themselves.
    fn report_of(&self, folders: &mut Folders) -> SyncReport {
        let mut faults = std::mem::take(&mut folders.faults);
        faults.extend(self.settings.fault(&folders.found));
        faults.extend(folders.unread.iter().map(|unread| &unread.fault).filter(|fault| !fault.is_empty()).cloned());
        let unwatched = folders.unwatched.take().map(|reason| {
            let path = self.settings.path.display().to_string();
            DirectoryError::Watch { path, reason }.to_string()
        });
        SyncReport { faults, notes: std::mem::take(&mut folders.notes), unwatched, ..SyncReport::default() }
    }

    /// Hands in what differs in the calendar that `folder` is, if the settings want it; `known` is what the ledger has
    /// of it.
    async fn scan_found(
        &self,
        store: &impl SyncStore,
        folder: Folder,
        known: Option<Known>,
        scan: &Scan<'_>,
        report: &mut SyncReport,
    ) -> Result<(), DirectoryError> {
        match (self.settings.seen(&folder), known) {
            (Some(seen), known) => {
                report.calendars += 1;
                let span = tracing::debug_span!("calendar", calendar.href = folder.href);
                self.scan_folder(store, FolderCalendar { folder, seen }, known, scan, report).instrument(span).await
            }
            // It is called otherwise than it was, and may be called so again; or what says so is not mounted.
            (None, Some(known)) if self.is_wanted(&known) => {
                let evidence = match device_of(&known).is_some_and(|device| device != folder.device) {
                    true => Evidence::AllGone,
                    false => Evidence::Healthy,
                };
                self.miss(store, &known.href, evidence, scan, report).await
            }
            (None, Some(known)) => self.drop(store, &known.href, report).await,
            (None, None) => Ok(()),
        }
    }

    fn is_wanted(&self, known: &Known) -> bool {
        self.settings.wants(&known.seen.name, &known.href, &known.seen.id)
    }

    /// Says that a calendar was not found.
    async fn miss(
        &self,
        store: &impl SyncStore,
        href: &str,
        evidence: Evidence,
        scan: &Scan<'_>,
        report: &mut SyncReport,
    ) -> Result<(), DirectoryError> {
        match store.calendar_absent(&self.name, href, scan.at, evidence).await? {
            Absence::Kept { .. } => {
                self.settings.memory.found(href, false);
                report.absent += 1;
            }
            Absence::Dropped => {
                self.settings.memory.lock().remove(href);
                report.changes += 1;
            }
        }
        Ok(())
    }

    /// Says that a calendar is not wanted any more.
    async fn drop(&self, store: &impl SyncStore, href: &str, report: &mut SyncReport) -> Result<(), DirectoryError> {
        store.calendar_gone(&self.name, href).await?;
        report.changes += 1;
        Ok(())
    }

    /// What became of the place of a calendar that was not found; `unread` are folders that could not be read.
    async fn place_of(
        &self,
        known: &Known,
        unread: &[UnreadFolder],
        scan: &Scan<'_>,
    ) -> Result<PlaceOf, DirectoryError> {
        let (settings, at) = (self.settings.clone(), scan.at);
        let (href, device) = (known.href.clone(), device_of(known));
        let unread: Vec<PathBuf> = unread.iter().map(|unread| unread.path.clone()).collect();
        blocking(move || {
            let tree = settings.tree(canonical(&settings.path)?, None, at);
            let path = tree.path(&href);
            Ok(match device {
                _ if unread.iter().any(|folder| path.starts_with(folder)) => PlaceOf::Unread,
                Some(device) if tree.is_elsewhere(&path, &device) => PlaceOf::Elsewhere(path),
                _ => PlaceOf::Gone,
            })
        })
        .await
    }

    /// Hands in what differs in one calendar.
    async fn scan_folder(
        &self,
        store: &impl SyncStore,
        calendar: FolderCalendar,
        known: Option<Known>,
        scan: &Scan<'_>,
        report: &mut SyncReport,
    ) -> Result<(), DirectoryError> {
        let FolderCalendar { folder, seen } = &calendar;
        let mut etags = store.etags(&self.name, &seen.href).await?;
        let listed = folder.clone();
        let entries = match blocking(move || listed.entries()).await {
            Ok(entries) => entries,
            Err(error) => {
                report.faults.push(format!("the folder {} cannot be read: {error}", folder.path.display()));
                return Ok(());
            }
        };
        report.notes.extend(entries.notes);
        let is_elsewhere = known.as_ref().and_then(device_of).is_some_and(|device| device != folder.device);
        if entries.files.is_empty() && is_elsewhere && !etags.is_empty() {
            report.faults.push(unmounted(&folder.path));
            return self.miss(store, &seen.href, Evidence::AllGone, scan, report).await;
        }
        let changed: Vec<FileEntry> = entries
            .files
            .into_iter()
            .filter(|entry| etags.remove(&entry.name).is_none_or(|etag| etag != entry.etag))
            .collect();
        let gone: Vec<Change> = etags.into_keys().map(|href| Change::Gone { href }).collect();
        report.changes += changed.len() + gone.len();
        if changed.is_empty() {
            let batch = scan.batch(&calendar, gone, Some(scan.checkpoint(folder)));
            store.apply(&self.name, batch).await?;
            return Ok(());
        }
        if !gone.is_empty() {
            store.apply(&self.name, scan.batch(&calendar, gone, None)).await?;
        }
        self.hand_in(store, &calendar, &changed, scan, report).await
    }

    /// Hands in the files of `changed`, some at a time, and that the calendar was scanned.
    async fn hand_in(
        &self,
        store: &impl SyncStore,
        calendar: &FolderCalendar,
        changed: &[FileEntry],
        scan: &Scan<'_>,
        report: &mut SyncReport,
    ) -> Result<(), DirectoryError> {
        let folder = &calendar.folder;
        let mut chunks = changed.chunks(BATCH).map(<[FileEntry]>::to_vec);
        let mut read = self.read(folder, chunks.next()).await;
        while let Some(content) = read {
            if let Some(fault) = content.failed {
                // What it holds is not seen: that is no scan.
                report.faults.extend(fault);
                return Ok(());
            }
            let mut changes = scan.finished(folder, content.changes);
            changes.extend(unreadable(folder, content.unread, report));
            let next = chunks.next();
            let checkpoint = next.is_none().then(|| scan.checkpoint(folder));
            let batch = scan.batch(calendar, changes, checkpoint);
            // While one batch is planned and written, the next one is read.
            let (applied, ahead) = tokio::join!(store.apply(&self.name, batch), self.read(folder, next));
            applied?;
            read = ahead;
        }
        Ok(())
    }

    /// Hands in some files of a calendar that were touched. One that may still be written, or cannot be used, is read
    /// again soon.
    async fn scan_files(
        &self,
        store: &impl SyncStore,
        calendar: &FolderCalendar,
        files: &[TouchedFile],
        scan: &Scan<'_>,
        report: &mut SyncReport,
    ) -> Result<(), DirectoryError> {
        let folder = &calendar.folder;
        let doubts: HashMap<&str, &Doubt> = files.iter().map(|file| (file.entry.name.as_str(), &file.doubt)).collect();
        let again = |href: &str, etag: Option<String>| {
            let tries = doubts.get(href).map_or(0, |doubt| doubt.tries);
            let watch = scan.watch.filter(|_| tries < TRIES);
            watch.map(|watch| watch.again(folder.file(href), Doubt { tries: tries + 1, etag })).is_some()
        };
        // What was handed in already and is as it was is left alone.
        let is_news = |file: &&TouchedFile| file.doubt.etag.as_ref() != Some(&file.entry.etag);
        let entries: Vec<FileEntry> = files.iter().filter(is_news).map(|file| file.entry.clone()).collect();
        if entries.is_empty() && !files.is_empty() {
            return Ok(());
        }
        let Some(mut content) = self.read(folder, Some(entries)).await else { return Ok(()) };
        content.changes.retain(|change| match change {
            Change::Put { href, text, .. } => is_whole(text) || !again(href, None),
            Change::Unreadable { .. } | Change::Gone { .. } => true,
        });
        content.unread.retain(|unread| !again(&unread.href, None));
        let ReadFiles { mut changes, unread, failed } = content;
        report.faults.extend(failed.flatten());
        report.changes += changes.len();
        changes.extend(unreadable(folder, unread, report));
        if changes.is_empty() {
            return Ok(());
        }
        let etags = etags_of(&changes);
        let taken = store.apply(&self.name, scan.batch(calendar, changes, None)).await?;
        for href in taken.unreadable {
            again(&href, etags.get(&href).cloned());
        }
        Ok(())
    }

    /// Reads the files of `chunk`, if there is one.
    async fn read(&self, folder: &Folder, chunk: Option<Vec<FileEntry>>) -> Option<ReadFiles> {
        let (entries, folder, max_size) = (chunk?, folder.clone(), self.settings.max_size);
        Some(blocking(move || folder.read(entries, max_size)).await)
    }
}

/// What became of the place of a calendar that was not found.
enum PlaceOf {
    /// A folder on the way to it cannot be read.
    Unread,
    Gone,
    /// What is there now, or above it, is another file system.
    Elsewhere(PathBuf),
}

impl Scan<'_> {
    /// Without those `changes` that may still be written: they are read again soon.
    fn finished(&self, folder: &Folder, mut changes: Vec<Change>) -> Vec<Change> {
        let Some(watch) = self.watch else { return changes };
        let mut left = self.patience;
        changes.retain(|change| match change {
            Change::Put { href, text, .. } if left > 0 && !is_whole(text) => {
                left -= 1;
                watch.again(folder.file(href), Doubt { tries: 1, etag: None });
                false
            }
            _ => true,
        });
        changes
    }

    /// What is kept of a calendar in `folder` that was scanned to its end.
    fn checkpoint(&self, folder: &Folder) -> Checkpoint {
        ScanState { root_device: self.device.clone(), device: Some(folder.device.clone()) }.checkpoint()
    }

    fn batch(&self, calendar: &FolderCalendar, changes: Vec<Change>, checkpoint: Option<Checkpoint>) -> ChangeBatch {
        ChangeBatch {
            calendar: calendar.seen.clone(),
            made: calendar.folder.made,
            synced_at: self.at,
            changes,
            checkpoint,
            begun: None,
            may_lag: false,
        }
    }
}

/// The etags of the files in `changes`, by href.
fn etags_of(changes: &[Change]) -> HashMap<String, String> {
    let etag = |change: &Change| match change {
        Change::Put { href, etag, .. } => Some((href.clone(), etag.clone())),
        Change::Unreadable { .. } | Change::Gone { .. } => None,
    };
    changes.iter().filter_map(etag).collect()
}

/// What is handed in of files of `folder` that cannot be read, each with why; `report` names them.
fn unreadable(folder: &Folder, unread: Vec<UnreadFile>, report: &mut SyncReport) -> Vec<Change> {
    report.faults.extend(unread.iter().map(|unread| folder.fault(&unread.href, &unread.reason)));
    unread.into_iter().map(|UnreadFile { href, reason }| Change::Unreadable { href, fault: reason }).collect()
}

/// What is kept of a calendar from one scan to the next, as JSON: the numbers of file systems.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScanState {
    /// Of that which the watched folder lies on.
    root_device: String,
    /// Of that which the calendar lies on.
    device: Option<String>,
}

impl ScanState {
    fn of(known: &Known) -> Option<ScanState> {
        serde_json::from_str(&known.checkpoint.as_ref()?.sync_state).ok()
    }

    fn checkpoint(&self) -> Checkpoint {
        // A struct of strings always has a JSON form.
        Checkpoint { sync_state: serde_json::to_string(self).unwrap_or_default() }
    }
}

/// The number of the file system that a calendar lay on, where that was another one than the watched folder's.
fn device_of(known: &Known) -> Option<String> {
    let state = ScanState::of(known)?;
    state.device.filter(|device| *device != state.root_device)
}

fn unmounted(path: &std::path::Path) -> String {
    format!(
        "the folder {} was on a file system of its own, and is empty or gone, as where one is not mounted: mount it; its known alarms stay scheduled",
        path.display()
    )
}

//! The sink `file`: JSON lines, appended to a file. Delivered means that they are on the disk. `rotation` gives the
//! file another name when it has grown.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;

use self::rotation::{Rotation, RotationSettings};
use super::ndjson::{NdjsonBatch, apart, unless_it_ends, write};
use super::{
    ClaimedDelivery, Outcome, Sending, SinkConfig, SinkContext, SinkDriver, SinkError, SinkKind, SinkSettings,
};
use crate::access::{self, Need, User, folder_of, give_to_owner_of};
use crate::delivery::deadline::SendDeadline;
use crate::delivery::render::{JsonFormat, Renderer};
use crate::tables::{Section, value};

mod rotation;

/// The sink `file`.
pub const KIND: SinkKind = SinkKind { name: "file", actions: &[], read: |section| Some(Arc::new(read(section)?)) };

/// `kind = "file"`
#[derive(Clone, Debug)]
pub struct FileSettings {
    /// The file that lines are appended to.
    pub path: PathBuf,
    /// How a line is written.
    pub format: JsonFormat,
    /// When it is rotated; none: others do that, or nobody.
    pub rotation: Option<RotationSettings>,
}

fn read(section: &Section<'_>) -> Option<FileSettings> {
    let format = JsonFormat::read(section);
    let rotation = RotationSettings::read(section);
    let path = section.path(&section.required("path", value::string)?);
    Some(FileSettings { path, format, rotation })
}

impl SinkSettings for FileSettings {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn open(&self, config: &SinkConfig, context: &SinkContext) -> Result<Box<dyn SinkDriver>, SinkError> {
        let renderer = Renderer::new(self.format, context.zones.clone());
        let file = LineFile::new(&self.path, renderer, config.timeout, context.deadline.clone());
        Ok(Box::new(file.rotated(self.rotation)))
    }

    fn appends_to(&self) -> Option<&Path> {
        Some(&self.path)
    }

    fn denied(&self, user: &User) -> Option<String> {
        let write = || access::lacking(user, &self.path, Need::Write, true).filter(|_| self.path.exists());
        let is_made = self.rotation.is_some() || !self.path.exists();
        write().or_else(|| access::lacking(user, folder_of(&self.path), Need::Create, true).filter(|_| is_made))
    }
}

/// What every line begins with.
const BEGINNING: &[u8] = b"{\"event\":\"CalendarAlarm\"";
/// Octets that are read at a time to find where the last line begins.
const BLOCK: u64 = 64 * 1024;

/// A file that grows by lines.
#[derive(Debug)]
pub struct LineFile {
    path: PathBuf,
    renderer: Renderer,
    timeout: Duration,
    deadline: SendDeadline,
    file: Arc<Mutex<Option<File>>>,
    /// To be reopened before the next write.
    stale: Arc<AtomicBool>,
    rotation: Option<Arc<Rotation>>,
}

impl LineFile {
    /// Lines go to the file at `path`, which is created (mode 0600) when the first is written.
    pub fn new(path: &Path, renderer: Renderer, timeout: Duration, deadline: SendDeadline) -> LineFile {
        let path = path.to_owned();
        LineFile { path, renderer, timeout, deadline, file: Arc::default(), stale: Arc::default(), rotation: None }
    }

    /// This file, which is rotated as `settings` say.
    #[must_use]
    pub fn rotated(self, settings: Option<RotationSettings>) -> LineFile {
        LineFile { rotation: settings.map(Rotation::new).map(Arc::new), ..self }
    }

    /// Appends the batch by one write, and waits until the disk has it.
    async fn append(&self, deliveries: &[ClaimedDelivery]) -> Vec<Outcome> {
        let (path, batch, renderer) = (self.path.clone(), deliveries.to_vec(), self.renderer.clone());
        let (stale, rotation) = (Arc::clone(&self.stale), self.rotation.clone());
        apart(&self.file, self.timeout, &self.path.display().to_string(), deliveries.len(), move |file| {
            if stale.swap(false, Ordering::Relaxed) {
                *file = None;
            }
            put(file, &path, rotation.as_deref(), NdjsonBatch::of(&batch, &renderer))
        })
        .await
    }

    /// Says whether lines could be appended now; creates nothing.
    fn try_open(&self) -> Result<String, SinkError> {
        let path = self.path.display();
        match options().create(false).open(&self.path).and_then(regular) {
            Ok(file) => Ok(format!("appends to {path}, now {} octets", file.metadata().map_or(0, |m| m.len()))),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                rustix::fs::access(folder_of(&self.path), rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)
                    .map_err(|errno| SinkError(unusable(&self.path, &errno.into())))?;
                Ok(format!("will create {path}"))
            }
            Err(error) => Err(SinkError(unusable(&self.path, &error))),
        }
    }
}

impl SinkDriver for LineFile {
    fn send<'a>(&'a self, deliveries: &'a [ClaimedDelivery]) -> Sending<'a, Vec<Outcome>> {
        Box::pin(unless_it_ends(&self.deadline, deliveries.len(), self.append(deliveries)))
    }

    fn check(&self) -> Sending<'_, Result<String, SinkError>> {
        Box::pin(async { self.try_open() })
    }

    /// Reopens the file before the next write.
    fn reopen(&self) {
        self.stale.store(true, Ordering::Relaxed);
    }
}

/// Appends `batch`, to a new file if `rotation` says so. After a failure whole lines stay and count, a line that was
/// begun is taken back, and the file is reopened for the next batch.
fn put(open: &mut Option<File>, path: &Path, rotation: Option<&Rotation>, batch: NdjsonBatch) -> Vec<Outcome> {
    let file = open.take().filter(|file| is_at(file, path)).map_or_else(|| append(path), Ok);
    let mut file = match file.and_then(|file| with_room(file, path, rotation, batch.bytes.len())) {
        Ok(file) => file,
        Err(error) => return batch.delivered_upto(0, &unusable(path, &error)),
    };
    let written = length(&file).and_then(|before| {
        write(&mut file, &batch.bytes).map_err(|(count, error)| {
            let whole = batch.whole(count);
            let kept = file.set_len(before + whole as u64).and_then(|()| file.sync_data());
            (if kept.is_ok() { whole } else { 0 }, error)
        })
    });
    match written.and_then(|()| file.sync_data().map_err(|error| (0, error))) {
        Ok(()) => {
            *open = Some(file);
            batch.delivered()
        }
        Err((count, error)) => batch.delivered_upto(count, &unusable(path, &error)),
    }
}

/// `file`, which is at `path`, or a new one in its place if `rotation` wants that before `more` octets are appended.
/// The new one has the mode of the old one.
fn with_room(file: File, path: &Path, rotation: Option<&Rotation>, more: usize) -> io::Result<File> {
    let before = file.metadata()?;
    match rotation {
        Some(rotation) if rotation.is_due(before.len(), more) && rotation.rotate(path) => {
            let new = append(path)?;
            new.set_permissions(before.permissions())?;
            Ok(new)
        }
        _ => Ok(file),
    }
}

fn length(file: &File) -> Result<u64, (usize, io::Error)> {
    file.metadata().map(|metadata| metadata.len()).map_err(|error| (0, error))
}

/// Whether `file` is still what lies at `path`: it may have been rotated or removed meanwhile.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(ours), Ok(theirs)) = (file.metadata(), std::fs::metadata(path)) else { return false };
    (ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino())
}

/// Opens the file at `path` for appending; creates it, and makes its name durable too.
fn append(path: &Path) -> io::Result<File> {
    let mut file = match options().create_new(true).open(path) {
        Ok(file) => {
            give_to_owner_of(folder_of(path), &file, path);
            File::open(folder_of(path))?.sync_all()?;
            return Ok(file);
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => regular(options().open(path)?)?,
        Err(error) => return Err(error),
    };
    end_last_line(&mut file)?;
    Ok(file)
}

/// Sees to it that what is appended begins a line. An alarm that a crash cut off is taken back: it was not settled, so
/// it comes again as a whole. Anything else without its end was written by another program, and is ended.
fn end_last_line(file: &mut File) -> io::Result<()> {
    let length = file.seek(SeekFrom::End(0))?;
    let begins = last_line(file, length)?;
    if begins == length {
        return Ok(());
    }
    let mut half = Vec::new();
    file.seek(SeekFrom::Start(begins))?;
    Read::by_ref(file).take(BEGINNING.len() as u64).read_to_end(&mut half)?;
    if half.starts_with(BEGINNING) || BEGINNING.starts_with(&half) {
        return file.set_len(begins);
    }
    file.write_all(b"\n")
}

/// Where the last line of a file of `length` octets begins, however long it is.
fn last_line(file: &mut File, length: u64) -> io::Result<u64> {
    let (mut end, mut block) = (length, Vec::new());
    while end > 0 {
        let begin = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(begin))?;
        block.clear();
        Read::by_ref(file).take(end - begin).read_to_end(&mut block)?;
        if let Some(at) = block.iter().rposition(|octet| *octet == b'\n') {
            return Ok(begin.saturating_add(at as u64 + 1));
        }
        end = begin;
    }
    Ok(0)
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    // Not blocking: opening a named pipe would wait for its reader.
    options.read(true).append(true).mode(0o600).custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    options
}

fn regular(file: File) -> io::Result<File> {
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(ErrorKind::InvalidInput, "it is no ordinary file")),
    }
}

/// A sentence about the file at `path`.
fn unusable(path: &Path, error: &io::Error) -> String {
    let hint = match error.kind() {
        ErrorKind::NotFound => "; create its folder first".to_owned(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "; make room".to_owned(),
        ErrorKind::FileTooLarge => "; rotate it, or raise the limit on the size of files ('ulimit -f')".to_owned(),
        _ if path.exists() => access::hint(error, path, Need::Write, true),
        _ => access::hint(error, folder_of(path), Need::Create, true),
    };
    format!("{} cannot be written: {error}{hint}", path.display())
}

#[cfg(test)]
mod tests;

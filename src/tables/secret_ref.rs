//! Where a secret is kept, and reading it there. A secret is read when it is needed and not when the configuration is:
//! it may come later, or change, and one account's must not stop the others.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::OFlags;

use crate::access::User;

/// Octets of a file that is read as a secret.
pub const MAX_SECRET: u64 = 64 * 1024;
/// The environment variable that names the folder in which systemd puts a service's credentials.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
/// Files that this process has begun to replace: each draft has a name of its own.
static DRAFTS: AtomicU64 = AtomicU64::new(0);

/// A secret, read from where the configuration says. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret `text`.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The secret itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The place of a secret, as a section names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SecretRef {
    /// The key that names it, for messages: `password_file`.
    key: &'static str,
    place: SecretPlace,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum SecretPlace {
    /// A file that its owner alone may read.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// A file in the folder that systemd made for the service's credentials.
    Credential(String),
    /// The secret itself.
    Inline(String),
}

/// Why a secret cannot be had now: a sentence that names its place and says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} {reason}")]
pub struct SecretError {
    key: &'static str,
    reason: String,
}

impl SecretError {
    /// Of the secret that the key `key` names; `reason` is the rest of the sentence.
    pub(super) fn new(key: &'static str, reason: String) -> SecretError {
        SecretError { key, reason }
    }
}

impl SecretRef {
    /// In the file `path`, which the key `key` names.
    pub fn file(key: &'static str, path: PathBuf) -> SecretRef {
        SecretRef { key, place: SecretPlace::File(path) }
    }

    /// In the environment variable `name`, which the key `key` names.
    pub fn variable(key: &'static str, name: String) -> SecretRef {
        SecretRef { key, place: SecretPlace::Variable(name) }
    }

    /// `name`: bare, without a folder.
    pub fn credential(key: &'static str, name: String) -> SecretRef {
        SecretRef { key, place: SecretPlace::Credential(name) }
    }

    /// `text`, which the configuration itself has at the key `key`.
    pub fn written(key: &'static str, text: impl Into<String>) -> SecretRef {
        SecretRef { key, place: SecretPlace::Inline(text.into()) }
    }

    /// A secret that lies nowhere: for programs that bring their own, such as tests.
    #[doc(hidden)]
    pub fn inline(text: impl Into<String>) -> SecretRef {
        SecretRef { key: "password_file", place: SecretPlace::Inline(text.into()) }
    }

    /// Reads the secret.
    ///
    /// # Errors
    /// [`SecretError`] when it is not there, is empty, or others may read it.
    pub fn read(&self) -> Result<Secret, SecretError> {
        let secret = match &self.place {
            SecretPlace::File(path) => contents(path, private),
            SecretPlace::Variable(name) => variable(name).map(Secret::new).ok_or_else(|| {
                format!("names the environment variable {name}, which is not set: set it and restart Reveille")
            }),
            SecretPlace::Credential(name) => credential(name)
                .ok_or_else(|| format!("names the systemd credential '{name}', but ${CREDENTIALS} is not set"))
                .and_then(|path| contents(&path, |_, _| Ok(()))),
            SecretPlace::Inline(text) => Ok(Secret::new(text.as_str())),
        };
        secret.map_err(|reason| SecretError { key: self.key, reason })
    }

    /// Puts `secret` into the file, in the place of the one that is there. The file keeps its owner and its mode, and
    /// is whole at any time.
    ///
    /// # Errors
    /// [`SecretError`] when the secret is not in a file, or that cannot be replaced.
    pub fn replace(&self, secret: &Secret) -> Result<(), SecretError> {
        let replaced = match &self.place {
            SecretPlace::File(path) => {
                let unwritable = |why| format!("names {}, which cannot be replaced: {why}", path.display());
                replace_file(path, secret).map_err(unwritable)
            }
            SecretPlace::Variable(_) | SecretPlace::Credential(_) | SecretPlace::Inline(_) => {
                Err("does not name a file".to_owned())
            }
        };
        replaced.map_err(|reason| SecretError { key: self.key, reason })
    }

    /// The key of the configuration that names it.
    pub fn key(&self) -> &'static str {
        self.key
    }

    /// The file that the configuration names, where it names one.
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            SecretPlace::File(path) => Some(path),
            SecretPlace::Variable(_) | SecretPlace::Credential(_) | SecretPlace::Inline(_) => None,
        }
    }

    /// Whether it is looked for in the environment, which stays as it is as long as the process lasts, and is not
    /// there.
    pub fn lacks_variable(&self) -> bool {
        matches!(self.place, SecretPlace::Variable(_)) && self.read().is_err()
    }

    /// What changes when the secret does; none where there is no file, or none that can be seen.
    pub fn stamp(&self) -> Option<FileStamp> {
        match &self.place {
            SecretPlace::File(path) => FileStamp::of(path),
            SecretPlace::Credential(name) => FileStamp::of(&credential(name)?),
            SecretPlace::Variable(_) | SecretPlace::Inline(_) => None,
        }
    }
}

impl std::fmt::Debug for SecretPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SecretPlace::File(path) => write!(f, "File({})", path.display()),
            SecretPlace::Variable(name) => write!(f, "Variable({name})"),
            SecretPlace::Credential(name) => write!(f, "Credential({name})"),
            SecretPlace::Inline(_) => f.write_str("Inline(…)"),
        }
    }
}

/// Puts `secret` and a line end into the file at `path`, by way of another file beside it.
fn replace_file(path: &Path, secret: &Secret) -> io::Result<()> {
    let path = path.canonicalize()?;
    let before = std::fs::metadata(&path)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let number = DRAFTS.fetch_add(1, Ordering::Relaxed);
    let draft = folder.join(format!(".{name}.{}.{number}", std::process::id()));
    let file = new_draft(&draft)?;
    let written = write_draft(file, secret, &before).and_then(|()| std::fs::rename(&draft, &path));
    if let Err(why) = written {
        // Whatever was there is as it was.
        let _ = std::fs::remove_file(&draft);
        return Err(why);
    }
    File::open(folder)?.sync_all()
}

/// Makes the file `draft`. One that is there was left by a process that had the same id and has ended: in a container,
/// the id is often 1.
fn new_draft(draft: &Path) -> io::Result<File> {
    let make = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft);
    match make() {
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => std::fs::remove_file(draft).and_then(|()| make()),
        made => made,
    }
}

/// Writes `secret` into the new `file`, with the owner and the mode of the file that was there `before`.
fn write_draft(mut file: File, secret: &Secret, before: &Metadata) -> io::Result<()> {
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (before.uid(), before.gid()) {
        fchown(&file, Some(before.uid()), Some(before.gid()))?;
    }
    file.set_permissions(before.permissions())?;
    file.write_all(format!("{}\n", secret.expose()).as_bytes())?;
    file.sync_all()
}

/// The version of a file: it is another one once the file was written, replaced, or given other rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    /// Likewise; of the rights as well.
    changed: (i64, i64),
}

impl FileStamp {
    /// That of the file at `path`; none where there is none, or none that can be seen.
    pub fn of(path: &Path) -> Option<FileStamp> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(FileStamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn credential(name: &str) -> Option<PathBuf> {
    Some(PathBuf::from(variable(CREDENTIALS)?).join(name))
}

/// Whether the file at `path`, which is as `metadata` says, is one that its owner alone may read.
fn private(path: &Path, metadata: &Metadata) -> Result<(), String> {
    if metadata.mode() & 0o077 != 0 {
        let (shown, mode) = (path.display(), metadata.mode() & 0o777);
        return Err(format!("names {shown}, which others may read (mode {mode:04o}): {}", remedy(path, metadata)));
    }
    Ok(())
}

/// What the file at `path` holds, without the line end that editors leave there, if `is_right` says so of the file that
/// was opened. A pipe is not waited for.
fn contents(path: &Path, is_right: impl Fn(&Path, &Metadata) -> Result<(), String>) -> Result<Secret, String> {
    let shown = path.display();
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|why| unreadable(path, &why))?;
    let metadata = file.metadata().map_err(|why| unreadable(path, &why))?;
    if !metadata.is_file() {
        return Err(format!("names {shown}, which is not a file"));
    }
    is_right(path, &metadata)?;
    let mut octets = Vec::new();
    file.take(MAX_SECRET.saturating_add(1)).read_to_end(&mut octets).map_err(|why| unreadable(path, &why))?;
    if u64::try_from(octets.len()).unwrap_or(u64::MAX) > MAX_SECRET {
        return Err(format!("names {shown}, which is too long for a secret"));
    }
    let text = String::from_utf8(octets).map_err(|_| format!("names {shown}, which is not UTF-8 text"))?;
    // What editors leave around it.
    let secret = text.strip_prefix('\u{feff}').unwrap_or(&text).trim_end_matches(['\n', '\r']);
    if secret.is_empty() { Err(format!("names {shown}, which is empty")) } else { Ok(Secret::new(secret)) }
}

fn unreadable(path: &Path, why: &io::Error) -> String {
    let hint = match std::fs::metadata(path) {
        Ok(metadata) if why.kind() == io::ErrorKind::PermissionDenied => format!(": {}", remedy(path, &metadata)),
        _ => String::new(),
    };
    format!("names {}, which cannot be read: {why}{hint}", path.display())
}

/// The command that makes a file readable for this process' user only. For root, a file of another user may be right:
/// it is the daemon's.
fn remedy(path: &Path, metadata: &Metadata) -> String {
    let (shown, user) = (path.display(), User::current());
    if user.is_root() || metadata.uid() == user.id {
        return format!("chmod 600 {shown}");
    }
    let (owner, user) = (User::with_id(metadata.uid()).name, user.name);
    format!("it belongs to the user '{owner}', and this is the user '{user}': chown {user} {shown}; chmod 600 {shown}")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_by_several_at_once_and_beside_the_drafts_of_a_process_that_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("refresh");
        std::fs::write(&path, "old\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        // More than this test can use up, whatever others do meanwhile.
        let next = DRAFTS.load(Ordering::Relaxed);
        for number in next..next + 200 {
            std::fs::write(folder.path().join(format!(".refresh.{}.{number}", std::process::id())), "left").unwrap();
        }
        let place = SecretRef::file("refresh_token_file", path.clone());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..20).for_each(|_| place.replace(&Secret::new("new")).unwrap()));
            }
        });
        assert_eq!(place.read().unwrap().expose(), "new");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 121, "80 of the drafts were replaced");
    }

    #[test]
    fn a_pipe_is_not_waited_for_and_a_long_file_is_not_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        assert!(std::process::Command::new("mkfifo").args(["-m", "600"]).arg(path("pipe")).status().unwrap().success());
        std::fs::write(path("long"), "x".repeat(65_537)).unwrap();
        std::fs::write(path("right"), "x".repeat(65_536)).unwrap();
        let told = |name: &str| contents(&path(name), |_, _| Ok(()));
        assert!(told("pipe").unwrap_err().ends_with("which is not a file"));
        assert!(told("long").unwrap_err().ends_with("which is too long for a secret"));
        assert_eq!(told("right").unwrap().expose().len(), 65_536);
    }
}

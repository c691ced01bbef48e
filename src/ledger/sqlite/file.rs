//! The files of a ledger in the file system: where they are, who may use them, how large they are. SQLite and the lock
//! go by the name of a file, so that whatever name leads to a ledger, it is one file, with one lock and one log.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::access::{self, Denied, Need, User};
use crate::ledger::error::LedgerError;

/// So many symbolic links are followed, as by the system itself.
const LINKS: usize = 40;
/// Octets of the header of a SQLite file; the octets 16 and 17 are the size of a page.
const HEADER: u64 = 100;

/// The path of the file beside `path` that has its name and `ending`.
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// The path of the lock file of the ledger at `path`. It holds the process id of the daemon that has it locked.
pub fn lock_path(path: &Path) -> PathBuf {
    beside(&resolve_symlinks(path), ".lock")
}

/// The path of the socket at which the daemon that holds the ledger at `path` takes requests.
pub fn socket_path(path: &Path) -> PathBuf {
    beside(&resolve_symlinks(path), ".sock")
}

/// The folder that the file at `path` is in.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The path of the file that `path` leads to, which need not exist: `path` itself, unless that is a symbolic link.
pub fn resolve_symlinks(path: &Path) -> PathBuf {
    let mut real = path.to_owned();
    for _ in 0..LINKS {
        let Ok(target) = fs::read_link(&real) else { break };
        real = real.parent().unwrap_or(Path::new("")).join(target);
    }
    real
}

/// Refuses a ledger that has several names: SQLite and the lock go by the name, so that two daemons could have it at
/// once.
pub fn reject_hard_links(path: &Path) -> Result<(), LedgerError> {
    match path.metadata().map(|metadata| if metadata.is_dir() { 0 } else { metadata.nlink() }) {
        Ok(0) => Err(LedgerError::Open {
            path: path.display().to_string(),
            reason: "it is a folder: name a file in it".to_owned(),
        }),
        Ok(names @ 2..) => Err(LedgerError::Open {
            path: path.display().to_string(),
            reason: format!(
                "it has {names} names (hard links), and under each it would have a lock and a log of its own: remove all \
                 but one, and keep the one that has a -wal file beside it"
            ),
        }),
        _ => Ok(()),
    }
}

/// Refuses a file that ends within a page, for which SQLite would take the rest as zeros, or the whole as a new one (of
/// one octet). While there is a log, the end may be in that.
pub fn check_not_truncated(path: &Path) -> Result<(), LedgerError> {
    let shown = || path.display().to_string();
    let length = path.metadata().map_err(|why| LedgerError::Open { path: shown(), reason: why.to_string() })?.len();
    let logged = beside(path, "-wal").metadata().is_ok_and(|log| log.len() > 0);
    let corrupt =
        |what: &str| LedgerError::CorruptFile { path: shown(), reason: format!("{what} (its end is cut off)") };
    if logged || length == 0 {
        return Ok(());
    }
    if length < HEADER {
        return Err(corrupt("it is no ledger, or damaged"));
    }
    let mut head = [0; 18];
    if File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_err() {
        return Ok(());
    }
    let [.., high, low] = head;
    let page = match u64::from(u16::from_be_bytes([high, low])) {
        1 => 65_536,
        page => page,
    };
    match length.checked_rem(page) {
        None | Some(0) => Ok(()),
        Some(_) => Err(corrupt("it is damaged")),
    }
}

/// What `user` may not do with the ledger at `path`, by owners and modes: its file, its log and its lock are read and
/// written, and made in its folder.
pub fn denied(user: &User, path: &Path) -> Option<Denied> {
    let path = resolve_symlinks(path);
    let (mut files, missing): (Vec<PathBuf>, Vec<PathBuf>) =
        ["", "-wal", "-shm", ".lock"].iter().map(|ending| beside(&path, ending)).partition(|file| file.exists());
    if !missing.is_empty() {
        files.push(folder_of(&path).to_owned());
    }
    let refused = |file: &PathBuf| match file.is_dir() {
        true => access::denied(user, file, Need::Create),
        false => access::denied(user, file, Need::Read).or_else(|| access::denied(user, file, Need::Write)),
    };
    files.iter().find_map(refused)
}

/// `reason`, with who lacks which right and the command that helps.
pub fn with_remedy(reason: &str, denied: Option<Denied>) -> String {
    match denied {
        Some(denied) => format!("{reason}: {denied}; {}", denied.remedy(true)),
        None => reason.to_owned(),
    }
}

/// Octets of the ledger's files at `path`: the database and what is not merged into it yet.
pub fn size(path: &Path) -> u64 {
    let path = resolve_symlinks(path);
    [beside(&path, "-wal"), path].iter().filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
}

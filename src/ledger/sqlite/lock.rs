//! The lock of a ledger: a file beside it that the daemon holds and that names its process. Whatever name leads to a
//! ledger, it is one file, with one lock and one log.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::file::{denied, folder_of, lock_path, with_remedy};
use crate::access::{User, give_to_owner_of};
use crate::ledger::error::LedgerError;

/// So long the lock may be held by somebody who only asks whether a daemon runs.
const ASKING: Duration = Duration::from_secs(1);
/// So long the lock may be held without a name in it: who has just taken it writes its name in a moment.
const NAMELESS: Duration = Duration::from_secs(2);
/// It is tried again so often meanwhile.
const AGAIN: Duration = Duration::from_millis(20);

/// Takes the lock of the ledger at `path` for as long as the file that is returned lives.
pub async fn lock(path: &Path) -> Result<File, LedgerError> {
    let lock_path = lock_path(path);
    let open = |reason: String| LedgerError::Open { path: path.display().to_string(), reason };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        // Root must not be led elsewhere by somebody to whom the folder belongs.
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(&lock_path)
        .map_err(|why| {
            if why.kind() == ErrorKind::NotFound {
                let folder = folder_of(path).display();
                return open(format!("its folder {folder} does not exist: make it, for the user that runs reveille"));
            }
            let reason = format!("its lock file {}: {why}", lock_path.display());
            open(with_remedy(&reason, denied(&User::current(), path)))
        })?;
    give_to_owner_of(if path.exists() { path } else { folder_of(path) }, &file, &lock_path);
    let taken = |file: &File| rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok();
    let began = Instant::now();
    while !taken(&file) {
        let pid = named(&mut file);
        if began.elapsed() >= if pid.is_some() { ASKING } else { NAMELESS } {
            let pid = pid.unwrap_or_else(|| "unknown".to_owned());
            return Err(LedgerError::InUse { path: path.display().to_string(), pid });
        }
        tokio::time::sleep(AGAIN).await;
    }
    let written = file.rewind().and_then(|()| file.set_len(0)).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(|e| open(e.to_string()))?;
    Ok(file)
}

/// The process that a lock file names, if it does.
fn named(file: &mut File) -> Option<String> {
    let mut pid = String::new();
    file.rewind().and_then(|()| file.read_to_string(&mut pid)).ok()?;
    Some(pid.trim().to_owned()).filter(|pid| !pid.is_empty())
}

/// Whether the process `pid` has the lock file of the ledger at `path` open: in a container, where processes are
/// counted again, the one that a lock file names may be another one, or none. Where that cannot be seen it is taken for
/// granted.
pub fn is_held_by(path: &Path, pid: &str) -> bool {
    let number = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let Ok(lock) = fs::metadata(lock_path(path)).map(number) else { return false };
    match fs::read_dir(Path::new("/proc").join(pid).join("fd")) {
        Ok(open) => open.flatten().any(|file| fs::metadata(file.path()).is_ok_and(|file| number(file) == lock)),
        Err(error) => error.kind() != ErrorKind::NotFound || !Path::new("/proc/self").exists(),
    }
}

/// The process that holds the ledger at `path`, as its lock file names it; none when no daemon runs.
pub fn holder(path: &Path) -> Option<String> {
    let mut file = File::open(lock_path(path)).ok()?;
    let began = Instant::now();
    loop {
        if rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared).is_ok() {
            return None;
        }
        match named(&mut file) {
            None if began.elapsed() < NAMELESS => std::thread::sleep(AGAIN),
            pid => return Some(pid.unwrap_or_default()),
        }
    }
}

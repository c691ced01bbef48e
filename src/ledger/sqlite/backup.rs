//! Backups: a whole copy of a ledger, made while a daemon runs or not, and putting one back. A ledger that was put back
//! does not know what has fired since it was copied, so it notes until when everything counts as fired.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection as _, SqliteConnection};

use super::connection::{Sqlite, connect};
use super::error::unopened;
use super::file::{beside, folder_of, lock_path, reject_hard_links, resolve_symlinks};
use super::lock::lock;
use super::migrate::{check_version, migrate_copy};
use super::state::state;
use crate::access::{self, Need, give_to_owner_of};
use crate::ledger::error::LedgerError;
use crate::ledger::model::{DeliveryState, FiredUntil, Restored};
use crate::time::UtcMillis;

/// Under this key a copy remembers when it was made. A ledger in use has no such mark.
const BACKED_UP_AT: &str = "backed_up_at";
/// Under this key a ledger that was put back remembers until when everything counts as fired.
pub const FIRED_UNTIL: &str = "fired_until";

const SET_META: &str =
    "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
// What was pending in the copy has been sent since, or has not: that is not known, so it is a person's choice.
const GIVE_UP: &str = concat!(
    "UPDATE deliveries SET state = ?3, settled_at = ?2,
    response = 'it was pending in the backup that was put back; whether it was sent since is not known'
    WHERE state = ",
    state!(Pending),
    " AND firing IN (SELECT id FROM firings WHERE due <= ?1)"
);

/// Copies the ledger at `ledger` into the new file `to` (mode 0600) and returns its size in octets. The copy is as the
/// ledger was at one moment, has been checked, and is on the disk.
///
/// # Errors
/// [`LedgerError::Exists`] when there is something at `to`, [`LedgerError::Copy`] when it cannot be written,
/// [`LedgerError::CorruptFile`] or [`LedgerError::Corrupt`] when the ledger is not whole, and those of
/// [`Inspector::open`](super::inspect::Inspector::open).
pub async fn backup(ledger: &Path, to: &Path, now: UtcMillis) -> Result<u64, LedgerError> {
    vacant(to)?;
    reject_hard_links(ledger)?;
    let draft = Draft::of(ledger, to, ledger).await?;
    let mut copy = draft.open().await?;
    sqlx::query(SET_META).bind(BACKED_UP_AT).bind(now.0.to_string()).execute(&mut copy).await?;
    copy.close().await?;
    draft.finish()
}

/// Puts the copy `from` back as the ledger at `ledger`, where there must be none. What was due until `fired_until`
/// counts as fired: it is recorded as missed when its turn comes, and what the copy still owed of it is given up.
///
/// # Errors
/// [`LedgerError::Exists`] when there is a ledger already, [`LedgerError::InUse`] when a daemon has it,
/// [`LedgerError::CorruptCopy`] when the copy cannot be used, and as for [`backup`].
pub async fn restore(
    from: &Path,
    ledger: &Path,
    fired_until: UtcMillis,
    now: UtcMillis,
) -> Result<Restored, LedgerError> {
    let ledger = &resolve_symlinks(ledger);
    let _lock = lock(ledger).await?;
    // The log of another ledger would be taken for its own.
    for file in [ledger.to_owned(), beside(ledger, "-wal"), beside(ledger, "-shm")] {
        vacant(&file)?;
    }
    let copy = from.display().to_string();
    put_back(from, ledger, fired_until, now).await.map_err(|error| match error {
        LedgerError::CorruptFile { reason, .. } => LedgerError::CorruptCopy { path: copy, reason },
        LedgerError::Open { path, reason } if path == copy => LedgerError::CorruptCopy { path, reason },
        // Nothing but the copy was read.
        LedgerError::Corrupt(why) => LedgerError::CorruptCopy { path: copy, reason: format!("it is damaged ({why})") },
        error => error,
    })
}

async fn put_back(from: &Path, ledger: &Path, fired_until: UtcMillis, now: UtcMillis) -> Result<Restored, LedgerError> {
    // The lock has been given to whom the ledger belongs.
    let draft = Draft::of(from, ledger, &lock_path(ledger)).await?;
    let mut copy = draft.open().await?;
    // It may be of an earlier version of the program.
    migrate_copy(from, &mut copy).await?;
    let restored = count_as_fired(&mut copy, fired_until, now).await?;
    copy.close().await?;
    draft.finish()?;
    Ok(restored)
}

impl Sqlite {
    pub async fn fired_until(&self, now: UtcMillis) -> Result<FiredUntil, LedgerError> {
        let mut restored = None;
        if self.meta(BACKED_UP_AT).await?.is_some() {
            restored = Some(self.write(move |c| Box::pin(count_as_fired(c, now, now))).await?);
        }
        Ok(FiredUntil { at: self.meta(FIRED_UNTIL).await?.and_then(instant), restored })
    }
}

/// Lets everything that was due until `fired_until` count as fired and delivered.
async fn count_as_fired(
    c: &mut SqliteConnection,
    fired_until: UtcMillis,
    now: UtcMillis,
) -> Result<Restored, LedgerError> {
    let mark = sqlx::query_scalar("SELECT value FROM meta WHERE key = ?").bind(BACKED_UP_AT);
    let mark: Option<String> = mark.fetch_optional(&mut *c).await?;
    sqlx::query(SET_META).bind(FIRED_UNTIL).bind(fired_until.0.to_string()).execute(&mut *c).await?;
    let give_up = sqlx::query(GIVE_UP).bind(fired_until.0).bind(now.0).bind(DeliveryState::Failed);
    let given_up = give_up.execute(&mut *c).await?.rows_affected();
    sqlx::query("DELETE FROM meta WHERE key = ?").bind(BACKED_UP_AT).execute(c).await?;
    Ok(Restored { backed_up_at: mark.and_then(instant), fired_until, given_up })
}

fn instant(text: String) -> Option<UtcMillis> {
    text.parse().ok().map(UtcMillis)
}

/// A copy that is not yet where it belongs; removed when dropped.
struct Draft {
    path: PathBuf,
    /// Where it belongs.
    to: PathBuf,
}

impl Draft {
    /// Copies the ledger `from` into a file beside `to`. Made by root, it is given to the owner of `like`.
    async fn of(from: &Path, to: &Path, like: &Path) -> Result<Draft, LedgerError> {
        let options = SqliteConnectOptions::new().filename(from).read_only(true).create_if_missing(false);
        let mut source = connect(from, options).await?;
        check_version(from, &mut source).await?;
        let draft = Draft::beside(to, like)?;
        let name = draft.path.to_str().ok_or_else(|| draft.failed("its name is not UTF-8"))?;
        let copied = sqlx::query("VACUUM INTO ?").bind(name).execute(&mut source).await;
        copied.map_err(|why| match unopened(from, &why) {
            corrupt @ LedgerError::CorruptFile { .. } => corrupt,
            _ => draft.failed(why),
        })?;
        let _ = source.close().await;
        Ok(draft)
    }

    /// An empty one beside `to`, of a name that nothing has: several may be made at once, and what somebody else has
    /// there stays.
    fn beside(to: &Path, like: &Path) -> Result<Draft, LedgerError> {
        let mut number = 0_u32;
        loop {
            let path = beside(to, &format!(".{}-{number}.partial", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => {
                    give_to_owner_of(like, &file, &path);
                    return Ok(Draft { path, to: to.to_owned() });
                }
                Err(why) if why.kind() == io::ErrorKind::AlreadyExists => number = number.saturating_add(1),
                Err(why) if why.kind() == io::ErrorKind::NotFound => {
                    let folder = folder_of(to).display();
                    return Err(unwritten(to, format!("the folder {folder} does not exist: make it first")));
                }
                Err(why) => {
                    let hint = access::hint(&why, folder_of(to), Need::Create, true);
                    return Err(unwritten(to, format!("{why}{hint}")));
                }
            }
        }
    }

    /// Opens it for writing, having checked that it is whole.
    async fn open(&self) -> Result<SqliteConnection, LedgerError> {
        let options = SqliteConnectOptions::new()
            .filename(&self.path)
            .create_if_missing(false)
            .journal_mode(SqliteJournalMode::Delete)
            .synchronous(SqliteSynchronous::Full);
        let mut connection = connect(&self.path, options).await?;
        let found: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut connection).await?;
        if found == "ok" { Ok(connection) } else { Err(LedgerError::Corrupt(found)) }
    }

    /// Puts it where it belongs, durably; returns its size. What was put there meanwhile stays.
    fn finish(self) -> Result<u64, LedgerError> {
        let moved = || {
            let file = File::open(&self.path)?;
            file.sync_all()?;
            rename_to_vacant(&self.path, &self.to)?;
            File::open(folder_of(&self.to))?.sync_all()?;
            file.metadata().map(|metadata| metadata.len())
        };
        moved().map_err(|why: io::Error| match why.kind() {
            io::ErrorKind::AlreadyExists => LedgerError::Exists { path: self.to.display().to_string() },
            _ => self.failed(why),
        })
    }

    fn failed(&self, why: impl ToString) -> LedgerError {
        unwritten(&self.to, why)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(beside(&self.path, "-journal"));
    }
}

/// Why the copy at `to` was not made.
fn unwritten(to: &Path, why: impl ToString) -> LedgerError {
    LedgerError::Copy { path: to.display().to_string(), reason: why.to_string() }
}

/// Gives the file at `from` the name `to`, which nothing must have.
fn rename_to_vacant(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some file systems of networks cannot do that; a second name does the same where there may be one.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => match fs::hard_link(from, to) {
            Ok(()) => fs::remove_file(from),
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => Err(why),
            Err(_) if fs::symlink_metadata(to).is_ok() => Err(Errno::EXIST.into()),
            Err(_) => fs::rename(from, to),
        },
        renamed => Ok(renamed?),
    }
}

/// Refuses a place that is taken.
fn vacant(path: &Path) -> Result<(), LedgerError> {
    match fs::symlink_metadata(path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => Err(LedgerError::Exists { path: path.display().to_string() }),
    }
}

#[cfg(test)]
mod tests;

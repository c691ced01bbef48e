//! The file of a ledger as commands find it: opened without its lock, its version, how large it is.

use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, SqliteConnection};

use super::lock::{folder_of, resolve_symlinks};
use super::{LedgerError, MIGRATIONS, beside, check_not_truncated, unopened};
use crate::access::{self, Denied, Need, User};

/// Opens the file; says what a person can do where that fails.
pub(super) async fn connect(path: &Path, options: SqliteConnectOptions) -> Result<SqliteConnection, LedgerError> {
    let shown = path.display().to_string();
    match std::fs::metadata(path) {
        Ok(_) => {}
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Err(LedgerError::Missing { path: shown }),
        Err(why) => {
            let reason = with_remedy(&why.to_string(), denied(&User::current(), path));
            return Err(LedgerError::Open { path: shown, reason });
        }
    }
    check_not_truncated(&resolve_symlinks(path))?;
    options.busy_timeout(std::time::Duration::from_secs(10)).connect().await.map_err(|why| unopened(path, &why))
}

/// Refuses a file that is no ledger, and one of a later version.
pub(super) async fn check_version(path: &Path, connection: &mut SqliteConnection) -> Result<(), LedgerError> {
    let shown = path.display().to_string();
    let sql = "SELECT max(version) FROM _sqlx_migrations WHERE success";
    let version: Result<Option<i64>, _> = sqlx::query_scalar(sql).fetch_one(&mut *connection).await;
    let newest = MIGRATIONS.last().map_or(0, |(version, ..)| *version);
    match version {
        Ok(Some(version)) if version > newest => {
            Err(LedgerError::Newer { path: shown, reason: format!("its schema has version {version}") })
        }
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(LedgerError::Open { path: shown, reason: "it is not a ledger".to_owned() }),
        Err(why) => match unopened(path, &why) {
            LedgerError::Open { path, reason }
                if why.as_database_error().is_some_and(|said| said.message() == reason) =>
            {
                Err(LedgerError::Open { path, reason: format!("it is not a ledger ({reason})") })
            }
            told => Err(told),
        },
    }
}

/// The same, and refuses one of an earlier version: whoever only asks does not bring it up to date.
pub(super) async fn check_is_current(path: &Path, connection: &mut SqliteConnection) -> Result<(), LedgerError> {
    check_version(path, connection).await?;
    let sql = "SELECT max(version) FROM _sqlx_migrations WHERE success";
    let version: i64 = sqlx::query_scalar(sql).fetch_one(connection).await.map_err(|why| unopened(path, &why))?;
    let newest = MIGRATIONS.last().map_or(0, |(version, ..)| *version);
    if version < newest { Err(LedgerError::Older { path: path.display().to_string() }) } else { Ok(()) }
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
pub(super) fn with_remedy(reason: &str, denied: Option<Denied>) -> String {
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

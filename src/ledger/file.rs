//! The file of a ledger as commands find it: opened without its lock, its version, how large it is.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, SqliteConnection};

use super::lock::real;
use super::{LedgerError, MIGRATIONS, beside, unopened, whole};

/// Opens the file; says what a person can do where that fails.
pub(super) async fn connect(path: &Path, options: SqliteConnectOptions) -> Result<SqliteConnection, LedgerError> {
    let shown = path.display().to_string();
    match std::fs::metadata(path) {
        Ok(_) => {}
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Err(LedgerError::Missing { path: shown }),
        Err(why) => return Err(LedgerError::Open { path: shown, reason: why.to_string() }),
    }
    whole(&real(path))?;
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
        Ok(None) => Err(LedgerError::Open { path: shown, reason: "it is no ledger".to_owned() }),
        Err(why) => match unopened(path, &why) {
            LedgerError::Open { path, reason } if reason == why.to_string() => {
                Err(LedgerError::Open { path, reason: format!("it is no ledger ({reason})") })
            }
            told => Err(told),
        },
    }
}

/// Octets of the ledger's files at `path`: the database and what is not merged into it yet.
pub fn size(path: &Path) -> u64 {
    let path = real(path);
    [beside(&path, "-wal"), path].iter().filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
}

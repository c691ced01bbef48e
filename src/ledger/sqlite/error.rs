//! What SQLite's errors mean for the ledger.

use std::path::Path;

use super::file::{denied, with_remedy};
use crate::access::User;
use crate::ledger::error::{LedgerError, REFUSED};

// SQLite's result codes; the lowest octet tells the kind. <https://www.sqlite.org/rescode.html>
const SQLITE_PERM: i32 = 3;
const SQLITE_BUSY: i32 = 5;
const SQLITE_READONLY: i32 = 8;
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_FULL: i32 = 13;
const SQLITE_CANTOPEN: i32 = 14;
const SQLITE_NOTADB: i32 = 26;
/// The disk has a fault, or a quota or the limit on the size of files is reached.
const SQLITE_IOERR_WRITE: i32 = 778;
/// The file that processes share beside the database cannot grow.
const SQLITE_IOERR_SHMSIZE: i32 = 4874;

impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> LedgerError {
        let said = match &error {
            sqlx::Error::Database(said) => said,
            // Columns are typed (STRICT): what has been written is not what is read.
            sqlx::Error::ColumnDecode { index, .. } => {
                return LedgerError::Corrupt(format!("the column {index} holds a value of another type"));
            }
            other => return LedgerError::Database(other.to_string()),
        };
        let code: i32 = said.code().and_then(|code| code.parse().ok()).unwrap_or(0);
        match (code, code & 0xff) {
            (SQLITE_IOERR_SHMSIZE, _) | (_, SQLITE_FULL) => LedgerError::Full,
            (SQLITE_IOERR_WRITE, _) => LedgerError::Refused(said.message().to_owned()),
            (_, SQLITE_CORRUPT | SQLITE_NOTADB) => LedgerError::Corrupt(said.message().to_owned()),
            (_, SQLITE_BUSY) => LedgerError::Locked,
            _ => LedgerError::Database(format!("{} (SQLite result code {code})", said.message())),
        }
    }
}

/// Whether a disk has no room.
pub fn is_full(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|said| said.code()?.parse::<i32>().ok()).unwrap_or(0);
    code & 0xff == SQLITE_FULL || code == SQLITE_IOERR_SHMSIZE
}

/// Why the ledger at `path` cannot be opened, in words that name it.
pub fn unopened(path: &Path, error: &sqlx::Error) -> LedgerError {
    let said = error.as_database_error();
    let code: i32 = said.and_then(|said| said.code()?.parse().ok()).unwrap_or(0);
    let path = path.display().to_string();
    let reason = match (said, code & 0xff) {
        (Some(said), SQLITE_CORRUPT) => {
            return LedgerError::CorruptFile { path, reason: format!("it is damaged ({})", said.message()) };
        }
        (Some(said), SQLITE_NOTADB) => {
            return LedgerError::CorruptFile {
                path,
                reason: format!("it is no ledger, or damaged ({})", said.message()),
            };
        }
        (_, SQLITE_BUSY) => "another process keeps it locked: end that one, or wait for it".to_owned(),
        (_, SQLITE_FULL) => "its disk is full: make room".to_owned(),
        _ if code == SQLITE_IOERR_SHMSIZE => "its disk is full: make room".to_owned(),
        (Some(said), _) if code == SQLITE_IOERR_WRITE => {
            format!("it cannot be written ({}): {REFUSED}", said.message())
        }
        (Some(said), SQLITE_CANTOPEN | SQLITE_READONLY | SQLITE_PERM) => {
            with_remedy(said.message(), denied(&User::current(), Path::new(&path)))
        }
        (Some(said), _) => said.message().to_owned(),
        _ => error.to_string(),
    };
    LedgerError::Open { path, reason }
}

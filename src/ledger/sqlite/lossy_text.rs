//! Texts in which a bit has turned need not be UTF-8 any more. One of them must not stop everything that is read with
//! it, so they are read as octets.

use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

/// Whether one was logged.
static LOGGED: AtomicBool = AtomicBool::new(false);

/// The text in `column`, as far as it can be read.
pub fn text(row: &SqliteRow, column: &str) -> Result<String, sqlx::Error> {
    Ok(optional_text(row, column)?.unwrap_or_default())
}

/// Likewise, where there need not be one.
pub fn optional_text(row: &SqliteRow, column: &str) -> Result<Option<String>, sqlx::Error> {
    // Unchecked: what kind of value it is may have turned as well.
    let octets: Option<Vec<u8>> = row.try_get_unchecked(column)?;
    Ok(octets.map(readable))
}

/// `octets` as far as they can be read. The first damaged text of the process is logged: the same one may be read again
/// and again.
pub fn readable(octets: Vec<u8>) -> String {
    String::from_utf8(octets).unwrap_or_else(|damaged| {
        if !LOGGED.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "a text in the ledger is damaged (it is not UTF-8), perhaps not the only one: put a backup back; until then \
                 all is used that can be read"
            );
        }
        String::from_utf8_lossy(damaged.as_bytes()).into_owned()
    })
}

//! The raw limit that benchmarks compare with: the same octets into a plain table, in the same batches, with the same
//! durability, and nothing else.

use std::path::Path;

use sqlx::ConnectOptions as _;
use sqlx::Connection as _;

use super::{LedgerError, bulk, options};

/// Writes `lines` into a new database at `path`, `batch` of them in each commit.
///
/// # Errors
/// What SQLite says.
pub async fn write(path: &Path, lines: &[String], batch: usize) -> Result<(), LedgerError> {
    let mut connection = options(path).create_if_missing(true).connect().await?;
    sqlx::raw_sql("CREATE TABLE lines (id INTEGER PRIMARY KEY, line TEXT NOT NULL)").execute(&mut connection).await?;
    for chunk in lines.chunks(batch.max(1)) {
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut connection).await?;
        bulk::rows(&mut connection, ("INSERT INTO lines (line) VALUES", 1, ""), chunk, |query, line| {
            query.bind(line.as_str())
        })
        .await?;
        sqlx::raw_sql("COMMIT").execute(&mut connection).await?;
    }
    connection.close().await?;
    Ok(())
}

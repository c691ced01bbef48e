//! The raw limit that benchmarks compare with: the same octets into a plain table, in the same batches, with the same
//! durability, and nothing else.

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::ConnectOptions as _;
use sqlx::Connection as _;

use super::bulk;
use super::connection::options;
use crate::ledger::error::LedgerError;

/// Writes `lines` into a new database at `path`, `batch` of them in each commit; says how long each took.
///
/// # Errors
/// What SQLite says.
pub async fn write(path: &Path, lines: &[String], batch: usize) -> Result<Vec<Duration>, LedgerError> {
    let mut connection = options(path).create_if_missing(true).connect().await?;
    sqlx::raw_sql("CREATE TABLE lines (id INTEGER PRIMARY KEY, line TEXT NOT NULL)").execute(&mut connection).await?;
    let insert = bulk::Insert { head: "INSERT INTO lines (line) VALUES", columns: 1, tail: "" };
    let mut times = Vec::new();
    for chunk in lines.chunks(batch.max(1)) {
        let began = Instant::now();
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut connection).await?;
        bulk::rows(&mut connection, insert, chunk, |query, line| query.bind(line.as_str())).await?;
        sqlx::raw_sql("COMMIT").execute(&mut connection).await?;
        times.push(began.elapsed());
    }
    connection.close().await?;
    Ok(times)
}

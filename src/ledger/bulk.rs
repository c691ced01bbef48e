//! Many rows in few statements.

use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection};

use super::LedgerError;

/// A statement whose values are being bound.
pub type Bound<'q> = Query<'q, Sqlite, SqliteArguments>;

/// Rows in one statement. Few sizes, so that few statements have to be prepared.
const SIZES: [usize; 4] = [500, 50, 8, 1];

/// Runs `head` (`INSERT INTO t (a, b) VALUES`), as many `(?, ?)` as fit, and `tail`, until all `rows` are through.
/// Returns how many rows were affected.
pub async fn rows<'r, T>(
    connection: &mut SqliteConnection,
    (head, columns, tail): (&'static str, usize, &'static str),
    rows: &'r [T],
    bind: impl Fn(Bound<'r>, &'r T) -> Bound<'r>,
) -> Result<u64, LedgerError> {
    let mut affected = 0;
    let mut rest = rows;
    for size in SIZES {
        if rest.len() < size {
            continue;
        }
        let sql = statement(head, columns, tail, size);
        while let Some((chunk, after)) = rest.split_at_checked(size) {
            let query = sqlx::query(AssertSqlSafe(sql.clone()));
            affected += chunk.iter().fold(query, &bind).execute(&mut *connection).await?.rows_affected();
            rest = after;
        }
    }
    Ok(affected)
}

fn statement(head: &str, columns: usize, tail: &str, rows: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(","));
    format!("{head} {} {tail}", vec![row; rows].join(","))
}

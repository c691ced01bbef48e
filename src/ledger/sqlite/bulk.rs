//! Many rows in few statements.

use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection};

use crate::ledger::error::LedgerError;

/// A statement whose values are being bound.
pub type Bound<'q> = Query<'q, Sqlite, SqliteArguments>;

/// Rows in one statement. Few sizes, so that few statements have to be prepared.
const SIZES: [usize; 4] = [500, 50, 8, 1];

/// A statement of many rows.
#[derive(Clone, Copy, Debug)]
pub struct Insert {
    /// What comes before the rows: `INSERT INTO t (a, b) VALUES`.
    pub head: &'static str,
    /// How many values a row has.
    pub columns: usize,
    /// What comes after the rows.
    pub tail: &'static str,
}

/// Runs `insert` with as many rows as fit (`(?, ?), (?, ?)`), until all `rows` are through.
/// Returns how many rows were affected.
pub async fn rows<'r, T>(
    connection: &mut SqliteConnection,
    insert: Insert,
    rows: &'r [T],
    bind: impl Fn(Bound<'r>, &'r T) -> Bound<'r>,
) -> Result<u64, LedgerError> {
    let mut affected = 0;
    let mut rest = rows;
    for size in SIZES {
        if rest.len() < size {
            continue;
        }
        let sql = statement(insert, size);
        while let Some((chunk, after)) = rest.split_at_checked(size) {
            let query = sqlx::query(AssertSqlSafe(sql.clone()));
            affected += chunk.iter().fold(query, &bind).execute(&mut *connection).await?.rows_affected();
            rest = after;
        }
    }
    Ok(affected)
}

fn statement(Insert { head, columns, tail }: Insert, rows: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(","));
    format!("{head} {} {tail}", vec![row; rows].join(","))
}

/// `[1,2,3]`, for `json_each`.
pub fn id_list(ids: impl Iterator<Item = i64>) -> String {
    let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
    format!("[{}]", ids.join(","))
}

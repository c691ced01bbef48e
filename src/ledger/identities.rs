//! Rings that an earlier version has recorded, until they have the identities of this one.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::lossy_text::text;
use super::{Ledger, LedgerError};
use crate::time::UtcMillis;

/// Under this key a ledger that an earlier version has written remembers the last ring that has not got its identity
/// yet.
const OLD_RINGS: &str = "old_rings";

/// A ring that an earlier version has recorded.
#[derive(Clone, Debug)]
pub struct OldRing {
    pub id: i64,
    /// Its object's id at that time.
    pub object: i64,
    /// The instant of the alarm.
    pub due: UtcMillis,
    /// The notification as JSON; empty for counts of suppressed rings.
    pub notification: String,
}

impl Ledger {
    /// Up to `limit` rings that have not got their identity yet, the latest first; none where there are none, or where
    /// no earlier version has written here.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn old_rings(&self, limit: i64) -> Result<Option<Vec<OldRing>>, LedgerError> {
        let Some(upto) = self.meta(OLD_RINGS).await? else { return Ok(None) };
        // A text that is damaged says nothing: then all are looked through.
        let upto: i64 = upto.parse().unwrap_or(i64::MAX);
        let sql = "SELECT id, object, due, notification FROM rings WHERE id <= ? ORDER BY id DESC LIMIT ?";
        let rows = sqlx::query(sql).bind(upto).bind(limit).fetch_all(self.readers()).await?;
        Ok(Some(rows.iter().map(old_ring).collect::<Result<_, LedgerError>>()?))
    }

    /// Gives rings their identities, and goes on below the ring `last`; without one all have theirs. One whose identity
    /// another ring has keeps the one it had.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn take_over(&self, identities: Vec<(i64, [u8; 16])>, last: Option<i64>) -> Result<(), LedgerError> {
        self.write(move |c| {
            Box::pin(async move {
                for (id, identity) in identities {
                    let sql = "UPDATE OR IGNORE rings SET identity = ? WHERE id = ?";
                    sqlx::query(sql).bind(identity.to_vec()).bind(id).execute(&mut *c).await?;
                }
                let done = match last {
                    Some(last) => {
                        let sql = "UPDATE meta SET value = ? WHERE key = ?";
                        sqlx::query(sql).bind(last.saturating_sub(1).to_string()).bind(OLD_RINGS)
                    }
                    None => sqlx::query("DELETE FROM meta WHERE key = ?").bind(OLD_RINGS),
                };
                done.execute(c).await?;
                Ok(())
            })
        })
        .await
    }
}

fn old_ring(row: &SqliteRow) -> Result<OldRing, LedgerError> {
    Ok(OldRing {
        id: row.try_get("id")?,
        object: row.try_get("object")?,
        due: UtcMillis(row.try_get("due")?),
        notification: text(row, "notification")?,
    })
}

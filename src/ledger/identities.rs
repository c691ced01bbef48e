//! Firings that an earlier version has recorded, until they have the identities of this one.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::lossy_text::text;
use super::{Ledger, LedgerError};
use crate::time::UtcMillis;

/// Under this key a ledger that an earlier version has written remembers the last firing that has not got its identity
/// yet.
const OLD_FIRINGS: &str = "old_firings";

/// A firing that an earlier version has recorded.
#[derive(Clone, Debug)]
pub struct OldFiring {
    pub id: i64,
    /// Its object's id at that time.
    pub object: i64,
    /// The instant of the alarm.
    pub due: UtcMillis,
    /// The notification as JSON; empty for counts of suppressed firings.
    pub notification: String,
}

impl Ledger {
    /// Up to `limit` firings that have not got their identity yet, the latest first; none where there are none, or
    /// where no earlier version has written here.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn old_firings(&self, limit: i64) -> Result<Option<Vec<OldFiring>>, LedgerError> {
        let Some(upto) = self.meta(OLD_FIRINGS).await? else { return Ok(None) };
        // A text that is damaged says nothing: then all are looked through.
        let upto: i64 = upto.parse().unwrap_or(i64::MAX);
        let sql = "SELECT id, object, due, notification FROM firings WHERE id <= ? ORDER BY id DESC LIMIT ?";
        let rows = sqlx::query(sql).bind(upto).bind(limit).fetch_all(self.readers()).await?;
        Ok(Some(rows.iter().map(old_firing).collect::<Result<_, LedgerError>>()?))
    }

    /// Gives firings their identities, and goes on below the firing `last`; without one all have theirs. One whose
    /// identity another firing has keeps the one it had.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn take_over(&self, identities: Vec<(i64, [u8; 16])>, last: Option<i64>) -> Result<(), LedgerError> {
        self.write(move |c| {
            Box::pin(async move {
                for (id, identity) in identities {
                    let sql = "UPDATE OR IGNORE firings SET identity = ? WHERE id = ?";
                    sqlx::query(sql).bind(identity.to_vec()).bind(id).execute(&mut *c).await?;
                }
                let done = match last {
                    Some(last) => {
                        let sql = "UPDATE meta SET value = ? WHERE key = ?";
                        sqlx::query(sql).bind(last.saturating_sub(1).to_string()).bind(OLD_FIRINGS)
                    }
                    None => sqlx::query("DELETE FROM meta WHERE key = ?").bind(OLD_FIRINGS),
                };
                done.execute(c).await?;
                Ok(())
            })
        })
        .await
    }
}

fn old_firing(row: &SqliteRow) -> Result<OldFiring, LedgerError> {
    Ok(OldFiring {
        id: row.try_get("id")?,
        object: row.try_get("object")?,
        due: UtcMillis(row.try_get("due")?),
        notification: text(row, "notification")?,
    })
}

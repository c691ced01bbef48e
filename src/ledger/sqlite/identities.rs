//! Firings that an earlier version has recorded, until they have the identities of this one.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::connection::Sqlite;
use super::lossy_text::text;
use crate::ledger::error::LedgerError;
use crate::ledger::model::{NewIdentity, OldFiring};
use crate::time::UtcMillis;

/// Under this key a ledger that an earlier version has written remembers the last firing that has not got its identity
/// yet.
const OLD_FIRINGS: &str = "old_firings";

impl Sqlite {
    pub async fn old_firings(&self, limit: i64) -> Result<Option<Vec<OldFiring>>, LedgerError> {
        let Some(upto) = self.meta(OLD_FIRINGS).await? else { return Ok(None) };
        // A text that is damaged says nothing: then all are read.
        let upto: i64 = upto.parse().unwrap_or(i64::MAX);
        let sql = "SELECT id, object, due, notification FROM firings WHERE id <= ? ORDER BY id DESC LIMIT ?";
        let rows = sqlx::query(sql).bind(upto).bind(limit).fetch_all(self.readers()).await?;
        Ok(Some(rows.iter().map(old_firing).collect::<Result<_, LedgerError>>()?))
    }

    pub async fn take_over(&self, identities: Vec<NewIdentity>, last: Option<i64>) -> Result<(), LedgerError> {
        self.write(move |c| {
            Box::pin(async move {
                for NewIdentity { firing, identity } in identities {
                    let sql = "UPDATE OR IGNORE firings SET identity = ? WHERE id = ?";
                    sqlx::query(sql).bind(identity.to_vec()).bind(firing).execute(&mut *c).await?;
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

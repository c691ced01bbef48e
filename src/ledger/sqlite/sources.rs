//! How syncs of the sources go, and that what has left the configuration goes from the ledger.

use sqlx::SqliteConnection;

use super::connection::Sqlite;
use super::lossy_text::readable;
use crate::ledger::error::LedgerError;
use crate::ledger::model::{DroppedSource, SourceSync};
use crate::time::UtcMillis;

impl Sqlite {
    pub async fn source_progress(&self, name: &str, kind: &'static str, progress: String) -> Result<(), LedgerError> {
        let sql = "INSERT INTO sources (name, kind, progress) VALUES (?1, ?3, ?2)
            ON CONFLICT (name) DO UPDATE SET progress = excluded.progress";
        let name = name.to_owned();
        self.write(move |c| {
            Box::pin(async move {
                sqlx::query(sql).bind(name).bind(progress).bind(kind).execute(c).await?;
                Ok(())
            })
        })
        .await
    }

    pub async fn record_source_sync(
        &self,
        name: &str,
        kind: &'static str,
        sync: SourceSync,
    ) -> Result<(), LedgerError> {
        let sql = "INSERT INTO sources (name, kind, last_synced_at, error, error_at, tried_at, next_try)
            VALUES (?1, ?2, iif(?4 IS NULL, ?3, NULL), ?4, iif(?4 IS NULL, NULL, ?3), ?3, ?5)
            ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, last_synced_at = coalesce(excluded.last_synced_at, last_synced_at),
            error = excluded.error, error_at = iif(excluded.error IS NULL, NULL, coalesce(error_at, excluded.error_at)),
            tried_at = excluded.tried_at, next_try = excluded.next_try,
            progress = iif(excluded.error IS NULL, NULL, progress)";
        let name = name.to_owned();
        let SourceSync { at, error, next_try } = sync;
        let next_try = next_try.map(|at| at.0);
        self.write(move |c| {
            Box::pin(async move {
                sqlx::query(sql).bind(name).bind(kind).bind(at.0).bind(error).bind(next_try).execute(c).await?;
                Ok(())
            })
        })
        .await
    }

    pub async fn source_last_synced_at(&self, name: &str) -> Result<Option<UtcMillis>, LedgerError> {
        let query = sqlx::query_scalar("SELECT last_synced_at FROM sources WHERE name = ?").bind(name.to_owned());
        let at: Option<Option<i64>> = query.fetch_optional(self.readers()).await?;
        Ok(at.flatten().map(UtcMillis))
    }

    pub async fn keep_sources(&self, names: &[&str]) -> Result<Vec<DroppedSource>, LedgerError> {
        let names = serde_json::json!(names).to_string();
        let had = "SELECT source, count(*) FROM calendars WHERE source NOT IN (SELECT value FROM json_each(?))
            GROUP BY source";
        self.write(move |c| {
            Box::pin(async move {
                let dropped: Vec<(Vec<u8>, i64)> = sqlx::query_as(had).bind(names.clone()).fetch_all(&mut *c).await?;
                for sql in [
                    "DELETE FROM calendars WHERE source NOT IN (SELECT value FROM json_each(?))",
                    "DELETE FROM sources WHERE name NOT IN (SELECT value FROM json_each(?))",
                ] {
                    sqlx::query(sql).bind(names.clone()).execute(&mut *c).await?;
                }
                drop_damaged_calendars(c).await?;
                let dropped = dropped.into_iter();
                Ok(dropped.map(|(name, calendars)| DroppedSource { name: readable(name), calendars }).collect())
            })
        })
        .await
    }
}

async fn drop_damaged_calendars(c: &mut SqliteConnection) -> Result<(), LedgerError> {
    let hrefs: Vec<(i64, Vec<u8>)> = sqlx::query_as("SELECT id, href FROM calendars").fetch_all(&mut *c).await?;
    for (id, href) in hrefs {
        if let Err(damaged) = String::from_utf8(href) {
            let name = String::from_utf8_lossy(damaged.as_bytes()).into_owned();
            tracing::error!(calendar.href = name, "a calendar's name in the ledger is damaged: it is taken in again");
            sqlx::query("DELETE FROM calendars WHERE id = ?").bind(id).execute(&mut *c).await?;
        }
    }
    Ok(())
}

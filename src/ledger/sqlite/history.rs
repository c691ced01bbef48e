//! Forgetting: firings that are so old that they are no longer of use go, a few at a time. What is still owed stays,
//! and so does what keeps a firing from being made a second time.

use super::bulk::id_list;
use super::connection::Sqlite;
use crate::ledger::error::LedgerError;
use crate::ledger::model::{DeliveryState, Forgotten, HistoryCursor};
use crate::time::UtcMillis;

const PAGE: &str = "SELECT fired_at, id FROM firings WHERE (fired_at, id) > (?, ?) AND fired_at < ?
    ORDER BY fired_at, id LIMIT ?";
// A firing can be made again while its object's timer is not past it, or while its calendar was not synced since it
// was due: then its identity is still needed. Its deliveries go with it.
const FORGET: &str = "DELETE FROM firings WHERE id IN (SELECT value FROM json_each(?1)) AND due < ?2
    AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.firing = firings.id AND d.state = ?3)
    AND NOT EXISTS (SELECT 1 FROM timers t WHERE t.object = firings.object AND t.due <= firings.due)
    AND NOT EXISTS (SELECT 1 FROM calendars c WHERE c.id = firings.calendar AND c.last_synced_at <= firings.due)";

const REMEMBER: &str = "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE
    SET value = max(CAST(value AS INTEGER), CAST(excluded.value AS INTEGER))";
/// Under this key the ledger remembers what it has forgotten: firings that were due and recorded before that instant.
pub const FORGOTTEN_BEFORE: &str = "forgotten_before";

impl Sqlite {
    pub async fn forget(&self, before: UtcMillis, from: HistoryCursor, limit: i64) -> Result<Forgotten, LedgerError> {
        let query = sqlx::query_as(PAGE).bind(from.fired_at.0).bind(from.firing).bind(before.0).bind(limit);
        let page: Vec<(i64, i64)> = query.fetch_all(self.readers()).await?;
        let Some((fired_at, firing)) = page.last().copied() else { return Ok(Forgotten { firings: 0, next: None }) };
        let ids = id_list(page.into_iter().map(|(_, id)| id));
        let firings = self.write(move |c| {
            Box::pin(async move {
                let rows = sqlx::query(FORGET)
                    .bind(ids)
                    .bind(before.0)
                    .bind(DeliveryState::Pending)
                    .execute(&mut *c)
                    .await?
                    .rows_affected();
                if rows > 0 {
                    sqlx::query(REMEMBER).bind(FORGOTTEN_BEFORE).bind(before.0.to_string()).execute(c).await?;
                }
                Ok(rows)
            })
        });
        let next = Some(HistoryCursor { fired_at: UtcMillis(fired_at), firing });
        Ok(Forgotten { firings: firings.await?, next })
    }
}

#[cfg(test)]
mod tests;

//! Objects that are gone, for as long as what is put again under their names counts as the same object.

use std::collections::HashMap;

use sqlx::SqliteConnection;

use super::connection::Sqlite;
use super::lossy_text::readable;
use crate::ledger::error::LedgerError;
use crate::ledger::model::Departed;
use crate::time::UtcMillis;

// What was due and had not fired (`owed`) fires as well, should it come back.
const REMEMBER: &str = "INSERT INTO gone (calendar, href, gone_at, owed, due, seen_at, uids)
    SELECT o.calendar, o.href, ?3, min(coalesce(t.due, ?3), ?3), t.due, coalesce(o.unread_since, ?4),
    (SELECT json_group_array(u.uid) FROM uids u WHERE u.object = o.id) FROM objects o LEFT JOIN timers t ON t.object = o.id
    WHERE o.calendar = ?1 AND o.href IN (SELECT value FROM json_each(?2))
    ON CONFLICT DO UPDATE SET gone_at = excluded.gone_at, owed = excluded.owed,
    due = excluded.due, seen_at = excluded.seen_at, uids = excluded.uids";
// What another one has taken the place of: under a name that no object has. The statements are one query, as each query
// is a round trip to the thread that writes.
const REPLACED: &str = "INSERT INTO gone (calendar, href, gone_at, owed, due, seen_at, uids)
    SELECT o.calendar, o.href || '#uid:' || u.uid, ?3, min(t.due, ?3), t.due, coalesce(o.unread_since, ?4),
    json_array(u.uid)
    FROM uids u JOIN objects o ON o.id = u.object JOIN timers t ON t.object = o.id
    WHERE u.object IN (SELECT value FROM json_each(?1))
    AND (u.object, u.uid) NOT IN (SELECT n.value ->> 0, n.value ->> 1 FROM json_each(?2) n)
    ON CONFLICT DO UPDATE SET gone_at = excluded.gone_at, owed = excluded.owed, due = excluded.due,
    seen_at = excluded.seen_at;
    DELETE FROM uids WHERE object IN (SELECT value FROM json_each(?1));
    DELETE FROM timers WHERE object IN (SELECT value FROM json_each(?1))";

impl Sqlite {
    pub async fn gone(
        &self,
        calendar: i64,
        hrefs: &[&str],
        since: UtcMillis,
    ) -> Result<HashMap<String, UtcMillis>, LedgerError> {
        let sql = "SELECT href, owed FROM gone
            WHERE calendar = ? AND gone_at >= ? AND href IN (SELECT value FROM json_each(?))";
        let hrefs = serde_json::json!(hrefs).to_string();
        let query = sqlx::query_as(sql).bind(calendar).bind(since.0).bind(hrefs);
        let rows: Vec<(Vec<u8>, i64)> = query.fetch_all(self.readers()).await?;
        Ok(rows.into_iter().map(|(href, since)| (readable(href), UtcMillis(since))).collect())
    }

    pub async fn gone_uids(&self, user: &str, since: UtcMillis) -> Result<HashMap<String, Departed>, LedgerError> {
        let sql = "SELECT u.value, min(g.due), min(min(g.seen_at, g.due))
            FROM gone g JOIN calendars c ON c.id = g.calendar, json_each(g.uids) u
            WHERE g.gone_at >= ? AND c.user = ? AND g.due IS NOT NULL GROUP BY u.value";
        let rows: Vec<(String, i64, i64)> =
            sqlx::query_as(sql).bind(since.0).bind(user).fetch_all(self.readers()).await?;
        let departed = |due, seen_at| Departed { due: UtcMillis(due), seen_at: UtcMillis(seen_at) };
        Ok(rows.into_iter().map(|(uid, due, seen_at)| (uid, departed(due, seen_at))).collect())
    }
}

/// Remembers objects of `calendar` that a sync at `gone_at` found gone, and the sync before it, at `seen_at`, did not;
/// they are still in the ledger. `hrefs` is a JSON list.
pub async fn remember(
    c: &mut SqliteConnection,
    calendar: i64,
    hrefs: String,
    gone_at: UtcMillis,
    seen_at: UtcMillis,
) -> Result<(), LedgerError> {
    sqlx::query(REMEMBER).bind(calendar).bind(hrefs).bind(gone_at.0).bind(seen_at.0).execute(c).await?;
    Ok(())
}

/// Takes the UIDs and the timers of `objects` away, a list of ids, and remembers the UIDs that will not be in their
/// place from `now` on: `stay` lists those that will, ids and UIDs. Both are JSON. The sync before, at `seen_at`, found
/// them in their place.
pub async fn clear_replaced(
    c: &mut SqliteConnection,
    objects: String,
    stay: String,
    now: UtcMillis,
    seen_at: UtcMillis,
) -> Result<(), LedgerError> {
    sqlx::query(REPLACED).bind(objects).bind(stay).bind(now.0).bind(seen_at.0).execute(c).await?;
    Ok(())
}

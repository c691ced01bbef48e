//! What was recorded while the clock was ahead, once it has been set back: a machine may start in the year 2099 until
//! it hears of the right time. What fired then has fired; what counts as missed although it is not too late by the
//! right clock has not.

use jiff::SignedDuration;
use sqlx::SqliteConnection;

use super::connection::Sqlite;
use super::state::state;
use crate::ledger::error::LedgerError;
use crate::ledger::model::{FiringState, GAVE_UP, Since, Undone};
use crate::time::UtcMillis;

/// Clocks that are corrected by less than this have done no harm.
const SLIGHT: SignedDuration = SignedDuration::from_mins(1);
/// Nothing that quiet hours do not hold is tried again later than this after now, unless the clock was ahead then. What
/// may have been delivered has five hours more.
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Under this key the ledger remembers that its objects are to be planned again, and from when on: until that is done,
/// what was undone is armed nowhere.
const REPLANNING: &str = "clock_replanning";

// `wrong`: firings that count as missed by a clock that was ahead, and that are still to come or not too late. What was
// due when its object said something else is not due by what the object says now: it stays as it is. An object that
// has moved to another calendar of its user meanwhile is found by its UID. ?1 is now, ?2 the instant before which it is
// too late, ?3 and ?4 are the states missed and suppressed.
macro_rules! with_wrong {
    ($($rest:expr),+) => {
        concat!(
            "WITH wrong AS (SELECT f.id, ifnull(o.id, f.object) AS object, f.object AS recorded, f.due, f.fired_at, f.count
                FROM firings f LEFT JOIN objects o ON o.id = ifnull((SELECT same.id FROM objects same WHERE same.id = f.object),
                    (SELECT u.object FROM uids u JOIN objects moved ON moved.id = u.object
                        JOIN calendars c ON c.id = moved.calendar WHERE json_valid(f.notification)
                        AND u.uid = f.notification ->> 'uid' AND c.user = f.notification ->> 'userId' LIMIT 1))
                WHERE f.fired_at > ?1 AND ((f.due > ?1 AND f.state IN (?3, ?4))
                    OR (f.due >= ?2 AND f.state = ?3 AND o.id IS NOT NULL
                        AND (o.last_modified IS NULL OR o.last_modified NOT BETWEEN f.due + 1 AND ?1)))) ",
            $($rest),+
        )
    };
}

// Not one that quiet hours hold, unless it was recorded later than `$latest`, by a clock that was ahead.
macro_rules! not_held {
    ($latest:literal) => {
        concat!(
            " AND (next_attempt IS NOT held_until OR (SELECT fired_at FROM firings WHERE id = firing) > ",
            $latest,
            ")"
        )
    };
}

const AHEAD: &str = with_wrong!(
    "SELECT EXISTS (SELECT 1 FROM calendars WHERE last_synced_at > ?5)
        OR EXISTS (SELECT 1 FROM wrong WHERE fired_at > ?5)
        OR EXISTS (SELECT 1 FROM deliveries WHERE state = ",
    state!(Failed),
    " AND settled_at > ?5 AND instr(response, ?6) = 1)
        OR EXISTS (SELECT 1 FROM deliveries WHERE state = ",
    state!(Pending),
    " AND next_attempt > ?7 + (unknown > 0) * 18000000",
    not_held!("?5"),
    ")"
);
// What a row stands for comes after the last firing of the same object and moment that has a row of its own.
const UNFIRED: &str = with_wrong!(
    "SELECT object, min(iif(count = 1, due, ifnull((SELECT max(o.due) + 1 FROM firings o WHERE o.object = wrong.recorded
        AND o.fired_at = wrong.fired_at AND o.state = ?3 AND o.count = 1 AND o.due < wrong.due), due)))
    FROM wrong GROUP BY object"
);
const FORGET: &str = with_wrong!("DELETE FROM firings WHERE id IN (SELECT id FROM wrong)");
const SYNCS: &str = "UPDATE calendars SET last_synced_at = ?1 WHERE last_synced_at > ?1";
const SEEN: &str = "UPDATE gone SET seen_at = ?1 WHERE seen_at > ?1";
const RETRIES: &str = concat!(
    "UPDATE deliveries SET next_attempt = ?1 WHERE state = ",
    state!(Pending),
    " AND next_attempt > ?2 + (unknown > 0) * 18000000",
    not_held!("?3")
);
// What was given up because it was too old has not got so old.
const GIVEN_UP: &str = concat!(
    "UPDATE deliveries SET state = ",
    state!(Pending),
    ", next_attempt = ?1, settled_at = NULL WHERE state = ",
    state!(Failed),
    " AND settled_at > ?1 AND instr(response, ?2) = 1"
);
const REMEMBER: &str =
    "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value";

impl Sqlite {
    pub async fn undo_future_records(
        &self,
        now: UtcMillis,
        max_lateness: SignedDuration,
    ) -> Result<Option<Undone>, LedgerError> {
        let too_late = now.saturating_sub(max_lateness);
        let (slight, latest) = (now.saturating_add(SLIGHT), now.saturating_add(HOUR.saturating_add(SLIGHT)));
        let ahead = sqlx::query_scalar(AHEAD).bind(now.0).bind(too_late.0);
        let ahead = ahead.bind(FiringState::Missed).bind(FiringState::Suppressed);
        let ahead = ahead.bind(slight.0).bind(GAVE_UP).bind(latest.0);
        if !ahead.fetch_one(self.readers()).await? {
            return Ok(None);
        }
        self.leases().end_after(now.saturating_add(HOUR)).await;
        self.write(move |c| Box::pin(undo_future_records(c, now, too_late))).await.map(Some)
    }

    pub async fn to_be_replanned(&self) -> Result<Option<Since>, LedgerError> {
        Ok(self.meta(REPLANNING).await?.as_deref().and_then(Since::from_json))
    }

    pub async fn is_replanned(&self) -> Result<(), LedgerError> {
        self.set_meta(REPLANNING, "").await
    }
}

async fn undo_future_records(
    c: &mut SqliteConnection,
    now: UtcMillis,
    too_late: UtcMillis,
) -> Result<Undone, LedgerError> {
    let unfired = sqlx::query_as(UNFIRED).bind(now.0).bind(too_late.0).bind(FiringState::Missed);
    let unfired: Vec<(i64, i64)> = unfired.bind(FiringState::Suppressed).fetch_all(&mut *c).await?;
    let objects = unfired.into_iter().map(|(object, due)| (object, UtcMillis(due))).collect();
    let before: Option<Vec<u8>> = sqlx::query_scalar("SELECT CAST(value AS BLOB) FROM meta WHERE key = ?")
        .bind(REPLANNING)
        .fetch_optional(&mut *c)
        .await?;
    let before = before.and_then(|before| Since::from_json(&String::from_utf8_lossy(&before)));
    let since = Since { all: now, objects };
    let since = match before {
        Some(before) => since.earlier(before),
        None => since,
    };
    sqlx::query(REMEMBER).bind(REPLANNING).bind(since.to_json()).execute(&mut *c).await?;
    sqlx::query(SYNCS).bind(now.0).execute(&mut *c).await?;
    sqlx::query(SEEN).bind(now.0).execute(&mut *c).await?;
    let deliveries = sqlx::query(GIVEN_UP).bind(now.0).bind(GAVE_UP).execute(&mut *c).await?.rows_affected();
    let retries = sqlx::query(RETRIES).bind(now.0).bind(now.saturating_add(HOUR).0);
    retries.bind(now.saturating_add(SLIGHT).0).execute(&mut *c).await?;
    let forget = sqlx::query(FORGET).bind(now.0).bind(too_late.0).bind(FiringState::Missed);
    let firings = forget.bind(FiringState::Suppressed).execute(c).await?.rows_affected();
    Ok(Undone { firings, deliveries })
}

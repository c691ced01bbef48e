//! The timers, one per object, and firing: the firings, what they owe to the sinks and the next timer, in one
//! transaction.

use std::collections::HashSet;

use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row as _, SqliteConnection};

use super::bulk::{self, Bound, Insert};
use super::connection::Sqlite;
use super::firings::record;
use crate::ledger::error::LedgerError;
use crate::ledger::model::{DueObject, FireOutcome, NewFiring, Timer, TimerCursor};
use crate::time::UtcMillis;

const STRETCH: &str =
    "SELECT due, object, revision FROM timers WHERE (due, object) >= (?, ?) AND (due, object) <= (?, ?)
    ORDER BY due, object";
const DISARM_STRETCH: &str = "DELETE FROM timers WHERE (due, object) >= (?, ?) AND (due, object) <= (?, ?)";
const DISARM: Insert =
    Insert { head: "DELETE FROM timers WHERE (due, object, revision) IN (VALUES", columns: 3, tail: ")" };
const ARM: Insert = Insert { head: "INSERT INTO timers (due, object, revision) VALUES", columns: 3, tail: "" };

impl Sqlite {
    pub async fn due(&self, from: TimerCursor, upto: UtcMillis, limit: i64) -> Result<Vec<Timer>, LedgerError> {
        let sql = "SELECT due, object, revision FROM timers WHERE (due, object) >= (?, ?) AND due <= ?
            ORDER BY due, object LIMIT ?";
        let query = sqlx::query_as(sql).bind(from.due.0).bind(from.object).bind(upto.0).bind(limit);
        Ok(query.fetch_all(self.readers()).await?)
    }

    pub async fn next_due(&self, from: UtcMillis) -> Result<Option<UtcMillis>, LedgerError> {
        let sql = "SELECT min(due) FROM timers WHERE due >= ?";
        let due: Option<i64> = sqlx::query_scalar(sql).bind(from.0).fetch_one(self.readers()).await?;
        Ok(due.map(UtcMillis))
    }

    pub async fn armed(&self) -> Result<i64, LedgerError> {
        Ok(sqlx::query_scalar("SELECT count(*) FROM timers").fetch_one(self.readers()).await?)
    }

    pub async fn fire(&self, due_objects: Vec<DueObject>, now: UtcMillis) -> Result<FireOutcome, LedgerError> {
        let first = self.firing_ids(due_objects.iter().map(|f| f.firings.len()).sum());
        self.write(move |c| Box::pin(fire(c, due_objects, now, first))).await
    }
}

async fn fire(
    c: &mut SqliteConnection,
    mut due_objects: Vec<DueObject>,
    now: UtcMillis,
    first_firing: i64,
) -> Result<FireOutcome, LedgerError> {
    let timers = due_objects.iter().map(|due_object| due_object.timer).collect();
    if let Some(there) = disarm(c, timers).await? {
        due_objects.retain(|due_object| there.contains(&due_object.timer));
    }
    let mut armed: Vec<Timer> =
        due_objects.iter().filter_map(|one| one.next.map(|due| Timer { due, ..one.timer })).collect();
    arm(c, &mut armed).await?;
    let firings: Vec<NewFiring> = due_objects.into_iter().flat_map(|f| f.firings).collect();
    record(c, &firings, now, first_firing).await
}

impl FromRow<'_, SqliteRow> for Timer {
    fn from_row(row: &SqliteRow) -> Result<Timer, sqlx::Error> {
        Ok(Timer { due: UtcMillis(row.try_get(0)?), object: row.try_get(1)?, revision: row.try_get(2)? })
    }
}

/// Takes timers away. Where not all of them are there as they were read, says which are.
async fn disarm(c: &mut SqliteConnection, mut timers: Vec<Timer>) -> Result<Option<HashSet<Timer>>, LedgerError> {
    timers.sort_unstable();
    let (Some(first), Some(last)) = (timers.first().copied(), timers.last().copied()) else { return Ok(None) };
    let stretch = sqlx::query_as(STRETCH).bind(first.due.0).bind(first.object).bind(last.due.0).bind(last.object);
    let there: Vec<Timer> = stretch.fetch_all(&mut *c).await?;
    if there == timers {
        // Nearly always they are all that is due in that stretch of time; one sweep takes a quarter of the time that
        // finding each takes.
        let sweep = sqlx::query(DISARM_STRETCH).bind(first.due.0).bind(first.object);
        let sweep = sweep.bind(last.due.0).bind(last.object);
        sweep.execute(c).await?;
        return Ok(None);
    }
    let there: HashSet<Timer> = there.into_iter().collect();
    let before = timers.len();
    timers.retain(|timer| there.contains(timer));
    bulk::rows(c, DISARM, &timers, bound).await?;
    Ok((timers.len() < before).then_some(there))
}

/// Arms timers. They are sorted, so that neighbours are written together.
pub async fn arm(c: &mut SqliteConnection, timers: &mut [Timer]) -> Result<(), LedgerError> {
    timers.sort_unstable();
    bulk::rows(c, ARM, timers, bound).await?;
    Ok(())
}

fn bound<'q>(query: Bound<'q>, timer: &'q Timer) -> Bound<'q> {
    query.bind(timer.due.0).bind(timer.object).bind(timer.revision)
}

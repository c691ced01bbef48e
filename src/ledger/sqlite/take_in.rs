//! Taking in: what one batch of a source changes goes into the ledger as one, the checkpoint with it.

use sqlx::SqliteConnection;

use super::bulk::{self, Insert, id_list};
use super::connection::Sqlite;
use super::firings;
use super::gone;
use super::timers;
use crate::calendar_info::CalendarInfo;
use crate::ledger::error::LedgerError;
use crate::ledger::model::{
    CalendarRow, FireOutcome, NewFiring, ObjectVersion, Planned, PlannedObject, Replanned, Retagged, Timer,
};
use crate::time::UtcMillis;

// The first statement forgets what was gone too long ago. Both are one query, as each query is a round trip to the
// thread that writes.
const CALENDAR: &str = "DELETE FROM gone WHERE gone_at < ?15;
    INSERT INTO calendars
    (source, href, key, user, owner, emails, name, color, zone, user_zone, default_timed, default_all_day,
    first_seen, last_synced_at, sync_state, alarms_ignored_by, shared_alarms,
    privileges, all_day_at, was_read)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?13, ?14, ?16, ?17, ?18, ?19, 0)
    ON CONFLICT (source, href) DO UPDATE SET key = excluded.key, user = excluded.user, owner = excluded.owner,
    emails = excluded.emails, name = excluded.name, color = excluded.color, zone = excluded.zone,
    user_zone = excluded.user_zone, default_timed = excluded.default_timed,
    default_all_day = excluded.default_all_day, alarms_ignored_by = excluded.alarms_ignored_by,
    shared_alarms = excluded.shared_alarms, privileges = excluded.privileges,
    all_day_at = excluded.all_day_at, absent_since = NULL, missing_since = NULL
    RETURNING id";
// A sync that lies ahead of now was dated by a clock that has been set back since.
const ADVANCE: &str = "UPDATE calendars SET sync_state = ?1, was_read = 1,
    last_synced_at = iif(last_synced_at > ?3, ?2, max(last_synced_at, ?2)) WHERE id = ?4";
const OBJECTS: Insert = Insert {
    head: "INSERT INTO objects
    (id, calendar, href, etag, revision, last_modified, faults, unread_since, count_cache, zones, text) VALUES",
    columns: 11,
    tail: "ON CONFLICT (id) DO UPDATE SET etag = excluded.etag, revision = excluded.revision,
    last_modified = excluded.last_modified, faults = excluded.faults, unread_since = excluded.unread_since,
    count_cache = excluded.count_cache, zones = excluded.zones, text = excluded.text",
};
const UIDS: Insert = Insert { head: "INSERT OR IGNORE INTO uids (uid, object) VALUES", columns: 2, tail: "" };
const GONE: &str = "DELETE FROM objects WHERE calendar = ? AND href IN (SELECT value FROM json_each(?))";
const RETAG: &str = "UPDATE objects SET etag = ?, unread_since = NULL WHERE id = ?";
const DOUBT: &str = "UPDATE objects SET unread_since = ifnull(unread_since, ?)
    WHERE id IN (SELECT value FROM json_each(?))";
const REPLAN: &str = "UPDATE objects SET revision = ?, zones = ?, count_cache = ? WHERE id = ? AND revision = ?";

impl Sqlite {
    pub async fn replan(&self, replanned: Vec<Replanned>) -> Result<usize, LedgerError> {
        self.write(move |c| Box::pin(replan(c, replanned))).await
    }

    pub async fn take_in(&self, planned: Planned) -> Result<FireOutcome, LedgerError> {
        let overdue: usize = planned.put.iter().map(|o| o.overdue.len()).sum();
        let firing_ids = self.firing_ids(overdue + planned.events.len());
        let object_ids = self.object_ids(planned.put.len());
        self.write(move |c| Box::pin(take_in(c, planned, object_ids, firing_ids))).await
    }
}

async fn take_in(
    c: &mut SqliteConnection,
    planned: Planned,
    first_object: i64,
    first_firing: i64,
) -> Result<FireOutcome, LedgerError> {
    let calendar = upsert_calendar(c, &planned.calendar, planned.from, planned.forget_before).await?;
    let overdue: usize = planned.put.iter().map(|object| object.overdue.len()).sum();
    if !planned.gone.is_empty() {
        let hrefs = serde_json::json!(planned.gone).to_string();
        gone::remember(c, calendar, hrefs.clone(), planned.calendar.last_synced_at, planned.from).await?;
        sqlx::query(GONE).bind(calendar).bind(hrefs).execute(&mut *c).await?;
    }
    for Retagged { object, etag } in planned.retag {
        sqlx::query(RETAG).bind(etag).bind(object).execute(&mut *c).await?;
    }
    if !planned.doubted.is_empty() {
        sqlx::query(DOUBT).bind(planned.from.0).bind(id_list(planned.doubted.into_iter())).execute(&mut *c).await?;
    }
    replan(c, planned.replanned).await?;
    let now = planned.now;
    let put_at = PutAt { now, seen_at: planned.from, first_object, first_firing };
    let fired = put(c, calendar, planned.put, put_at).await?;
    let first_event = first_firing.saturating_add(i64::try_from(overdue).unwrap_or(i64::MAX));
    let fired = fired.and(record_events(c, calendar, planned.events, now, first_event).await?);
    if planned.advance {
        let CalendarRow { sync_state, last_synced_at, .. } = planned.calendar;
        sqlx::query(ADVANCE).bind(sync_state).bind(last_synced_at.0).bind(now.0).bind(calendar).execute(c).await?;
    }
    Ok(fired)
}

/// Records store events of `calendar`, with ids from `first` on.
pub(super) async fn record_events(
    c: &mut SqliteConnection,
    calendar: i64,
    mut events: Vec<NewFiring>,
    now: UtcMillis,
    first: i64,
) -> Result<FireOutcome, LedgerError> {
    if events.is_empty() {
        return Ok(FireOutcome::default());
    }
    events.iter_mut().for_each(|event| event.calendar = calendar);
    firings::record(c, &events, now, first).await
}

/// Puts the calendar `row` as it was seen at `from`, and returns its id. Forgets what was gone before `forget_before`.
async fn upsert_calendar(
    c: &mut SqliteConnection,
    row: &CalendarRow,
    from: UtcMillis,
    forget_before: UtcMillis,
) -> Result<i64, LedgerError> {
    let CalendarInfo {
        href,
        id,
        user,
        owner,
        emails,
        name,
        color,
        zone,
        user_zone,
        default_alarms,
        alarms_ignored_by,
        shared_alarms,
        all_day_at,
        privileges,
    } = row.info.clone();
    let id = sqlx::query_scalar(CALENDAR)
        .bind(row.source.clone())
        .bind(href)
        .bind(id)
        .bind(user)
        .bind(owner)
        .bind(serde_json::json!(emails).to_string())
        .bind(name)
        .bind(color)
        .bind(zone)
        .bind(user_zone)
        .bind(default_alarms.timed)
        .bind(default_alarms.all_day)
        .bind(from.0)
        .bind(row.sync_state.clone())
        .bind(forget_before.0)
        .bind(alarms_ignored_by)
        .bind(shared_alarms.as_str())
        .bind(privileges)
        .bind(all_day_at)
        .fetch_one(c)
        .await?;
    Ok(id)
}

/// An object with the id that it has or gets.
struct Placed {
    id: i64,
    revision: i64,
    object: PlannedObject,
}

/// When objects are put into a calendar, when it was synced before, and the first ids that are free.
#[derive(Clone, Copy)]
struct PutAt {
    now: UtcMillis,
    seen_at: UtcMillis,
    first_object: i64,
    first_firing: i64,
}

async fn put(
    c: &mut SqliteConnection,
    calendar: i64,
    objects: Vec<PlannedObject>,
    at: PutAt,
) -> Result<FireOutcome, LedgerError> {
    let PutAt { now, seen_at, first_object, first_firing } = at;
    let placed: Vec<Placed> = (first_object..)
        .zip(objects)
        .map(|(new_id, object)| match object.existing {
            Some(ObjectVersion { id, revision }) => Placed { id, revision: revision + 1, object },
            None => Placed { id: new_id, revision: 1, object },
        })
        .collect();
    let overdue: Vec<NewFiring> = placed.iter().flat_map(|p| p.object.overdue.iter().cloned()).collect();
    let changed = id_list(placed.iter().filter(|p| p.object.existing.is_some()).map(|p| p.id));
    if changed != "[]" {
        let stay: Vec<(i64, &str)> =
            placed.iter().flat_map(|p| p.object.uids.iter().map(|uid| (p.id, uid.as_str()))).collect();
        gone::clear_replaced(c, changed, serde_json::json!(stay).to_string(), now, seen_at).await?;
    }
    write(c, calendar, &placed).await?;
    let uids: Vec<(&str, i64)> =
        placed.iter().flat_map(|p| p.object.uids.iter().map(|uid| (uid.as_str(), p.id))).collect();
    bulk::rows(c, UIDS, &uids, |query, (uid, object)| query.bind((*uid).to_owned()).bind(*object)).await?;
    firings::record(c, &overdue, now, first_firing).await
}

/// Writes objects and arms them; those that change have no timer at this moment.
async fn write(c: &mut SqliteConnection, calendar: i64, objects: &[Placed]) -> Result<(), LedgerError> {
    bulk::rows(c, OBJECTS, objects, |query, p| {
        query
            .bind(p.id)
            .bind(calendar)
            .bind(p.object.href.as_str())
            .bind(p.object.etag.as_str())
            .bind(p.revision)
            .bind(p.object.last_modified.map(|at| at.0))
            .bind(p.object.faults.as_deref())
            .bind(p.object.unread_since.map(|at| at.0))
            .bind(p.object.count_cache.as_deref())
            .bind(p.object.zones.as_str())
            .bind(p.object.text.as_slice())
    })
    .await?;
    let mut armed: Vec<Timer> = objects
        .iter()
        .filter_map(|p| p.object.due.map(|due| Timer { due, object: p.id, revision: p.revision }))
        .collect();
    timers::arm(c, &mut armed).await
}

/// Plans objects again, unless they have changed meanwhile; returns how many fire at another instant now.
async fn replan(c: &mut SqliteConnection, replanned: Vec<Replanned>) -> Result<usize, LedgerError> {
    let mut moved = 0;
    for Replanned { id, revision, due, zones, count_cache } in replanned {
        let update = sqlx::query(REPLAN).bind(revision + 1).bind(zones).bind(count_cache).bind(id).bind(revision);
        if update.execute(&mut *c).await?.rows_affected() == 0 {
            continue;
        }
        let query = sqlx::query_scalar("SELECT due FROM timers WHERE object = ?").bind(id);
        let before: Option<i64> = query.fetch_optional(&mut *c).await?;
        moved += usize::from(before != due.map(|due| due.0));
        retime(c, id, revision + 1, due).await?;
    }
    Ok(moved)
}

async fn retime(
    c: &mut SqliteConnection,
    object: i64,
    revision: i64,
    due: Option<UtcMillis>,
) -> Result<(), LedgerError> {
    sqlx::query("DELETE FROM timers WHERE object = ?").bind(object).execute(&mut *c).await?;
    if let Some(due) = due {
        timers::arm(c, &mut [Timer { due, object, revision }]).await?;
    }
    Ok(())
}

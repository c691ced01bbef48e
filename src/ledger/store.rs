//! Calendars and their objects: what sources found, made durable together with where they go on from.

use std::collections::HashMap;

use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row, SqliteConnection};

use super::timers::{self, NewRing};
use super::{Ledger, LedgerError, bulk};
use crate::time::UtcMillis;

/// A calendar in the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CalendarRow {
    /// Given by the ledger; 0 for one that is not in it yet.
    pub id: i64,
    pub source: String,
    pub href: String,
    /// Last path segment: calendarId.
    pub key: String,
    pub user: String,
    pub owner: String,
    /// The user's own addresses.
    pub emails: Vec<String>,
    pub name: String,
    pub color: String,
    /// The calendar's own zone: an IANA id or the text of a VTIMEZONE.
    pub zone: Option<String>,
    /// The source's zone, an IANA id.
    pub user_zone: Option<String>,
    /// VALARM texts for events without an alarm: those that begin at a time, and all-day ones.
    pub default_timed: Option<String>,
    pub default_all_day: Option<String>,
    pub ctag: Option<String>,
    pub sync_token: Option<String>,
    pub looked_at: UtcMillis,
}

impl FromRow<'_, SqliteRow> for CalendarRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(CalendarRow {
            id: row.try_get("id")?,
            source: row.try_get("source")?,
            href: row.try_get("href")?,
            key: row.try_get("key")?,
            user: row.try_get("user")?,
            owner: row.try_get("owner")?,
            emails: serde_json::from_str(row.try_get("emails")?).unwrap_or_default(),
            name: row.try_get("name")?,
            color: row.try_get("color")?,
            zone: row.try_get("zone")?,
            user_zone: row.try_get("user_zone")?,
            default_timed: row.try_get("default_timed")?,
            default_all_day: row.try_get("default_all_day")?,
            ctag: row.try_get("ctag")?,
            sync_token: row.try_get("sync_token")?,
            looked_at: UtcMillis(row.try_get("looked_at")?),
        })
    }
}

/// An object that is in the ledger already.
#[derive(Clone, Debug)]
pub struct Existing {
    pub id: i64,
    pub etag: String,
    pub revision: i64,
    /// Its timer: the earliest ring that was not fired.
    pub due: Option<UtcMillis>,
    pub memo: Option<String>,
    pub text: Vec<u8>,
}

/// An object's text, for planning it.
#[derive(Clone, Debug)]
pub struct ObjectText {
    pub id: i64,
    pub calendar: i64,
    pub href: String,
    pub revision: i64,
    pub memo: Option<String>,
    pub text: Vec<u8>,
}

/// An object as it shall be in the ledger.
#[derive(Clone, Debug)]
pub struct PlannedObject {
    /// Id and revision where it is in the ledger already.
    pub existing: Option<(i64, i64)>,
    pub href: String,
    pub etag: String,
    pub written: Option<UtcMillis>,
    /// What is wrong in it, a JSON list.
    pub faults: Option<String>,
    /// What planning remembers, JSON.
    pub memo: Option<String>,
    /// Zone ids that its times depend on, between spaces.
    pub zones: String,
    pub uids: Vec<String>,
    pub text: Vec<u8>,
    /// Its next ring.
    pub due: Option<UtcMillis>,
    /// Rings that its previous content still owed when this one was written.
    pub overdue: Vec<NewRing>,
}

/// An object that is planned anew although its text is the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replanned {
    pub id: i64,
    /// The revision that was read.
    pub revision: i64,
    pub due: Option<UtcMillis>,
    pub zones: String,
    pub memo: Option<String>,
}

/// What one batch of a source changes.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Its `id` is not used: the calendar is found by source and href. Its checkpoint and `looked_at` are taken over
    /// only when `advance` says that the look is complete, except for a calendar that is new.
    pub calendar: CalendarRow,
    pub advance: bool,
    pub put: Vec<PlannedObject>,
    /// Objects whose content is the same under another etag.
    pub retag: Vec<(i64, String)>,
    /// Hrefs that are no longer there.
    pub gone: Vec<String>,
    /// Objects whose plan changes although their content does not: the calendar's zone did.
    pub replanned: Vec<Replanned>,
    /// When all this was worked out.
    pub now: UtcMillis,
}

const CALENDAR: &str = "INSERT INTO calendars
    (source, href, key, user, owner, emails, name, color, zone, user_zone, default_timed, default_all_day,
    first_seen, looked_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?13)
    ON CONFLICT (source, href) DO UPDATE SET key = excluded.key, user = excluded.user, owner = excluded.owner,
    emails = excluded.emails, name = excluded.name, color = excluded.color, zone = excluded.zone,
    user_zone = excluded.user_zone, default_timed = excluded.default_timed,
    default_all_day = excluded.default_all_day
    RETURNING id";
const ADVANCE: &str = "UPDATE calendars SET ctag = ?, sync_token = ?, looked_at = max(looked_at, ?) WHERE id = ?";
const NEW_OBJECTS: &str =
    "INSERT INTO objects (id, calendar, href, etag, revision, written, faults, memo, zones, text) VALUES";
const CHANGE_OBJECT: &str = "UPDATE objects SET etag = ?, revision = ?, written = ?, faults = ?, memo = ?, zones = ?,
    text = ? WHERE id = ?";
const GONE: &str = "DELETE FROM objects WHERE calendar = ? AND href IN (SELECT value FROM json_each(?))";
const REPLAN: &str = "UPDATE objects SET revision = ?, zones = ?, memo = ? WHERE id = ? AND revision = ?";

impl Ledger {
    /// The calendars of `source`, or of all sources.
    ///
    /// # Errors
    /// [`LedgerError::Database`], as for all that reads.
    pub async fn calendars(&self, source: Option<&str>) -> Result<Vec<CalendarRow>, LedgerError> {
        let rows = sqlx::query_as("SELECT * FROM calendars WHERE ?1 IS NULL OR source = ?1 ORDER BY source, href")
            .bind(source.map(str::to_owned))
            .fetch_all(self.readers())
            .await?;
        Ok(rows)
    }

    /// The calendars with these ids.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn calendars_by_id(&self, ids: &[i64]) -> Result<Vec<CalendarRow>, LedgerError> {
        let sql = "SELECT * FROM calendars WHERE id IN (SELECT value FROM json_each(?))";
        Ok(sqlx::query_as(sql).bind(id_list(ids.iter().copied())).fetch_all(self.readers()).await?)
    }

    /// The calendar `href` of `source`.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn calendar(&self, source: &str, href: &str) -> Result<Option<CalendarRow>, LedgerError> {
        let row = sqlx::query_as("SELECT * FROM calendars WHERE source = ? AND href = ?")
            .bind(source.to_owned())
            .bind(href.to_owned())
            .fetch_optional(self.readers())
            .await?;
        Ok(row)
    }

    /// href → etag of each object of a calendar.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn etags(&self, source: &str, calendar: &str) -> Result<HashMap<String, String>, LedgerError> {
        let sql = "SELECT o.href, o.etag FROM objects o JOIN calendars c ON c.id = o.calendar
            WHERE c.source = ? AND c.href = ?";
        let rows: Vec<(String, String)> =
            sqlx::query_as(sql).bind(source.to_owned()).bind(calendar.to_owned()).fetch_all(self.readers()).await?;
        Ok(rows.into_iter().collect())
    }

    /// Those of `hrefs` that the calendar with the id `calendar` has objects for.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn existing(&self, calendar: i64, hrefs: &[&str]) -> Result<HashMap<String, Existing>, LedgerError> {
        let sql = "SELECT o.href, o.id, o.etag, o.revision, t.due, o.memo, o.text FROM objects o
            LEFT JOIN timers t ON t.object = o.id
            WHERE o.calendar = ? AND o.href IN (SELECT value FROM json_each(?))";
        let hrefs = serde_json::json!(hrefs).to_string();
        let rows = sqlx::query(sql).bind(calendar).bind(hrefs).fetch_all(self.readers()).await?;
        rows.iter().map(|row| Ok((row.try_get("href")?, existing(row)?))).collect()
    }

    /// The texts of `objects`.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn texts(&self, objects: &[i64]) -> Result<Vec<ObjectText>, LedgerError> {
        let sql = "SELECT id, calendar, href, revision, memo, text FROM objects
            WHERE id IN (SELECT value FROM json_each(?))";
        let rows = sqlx::query(sql).bind(id_list(objects.iter().copied())).fetch_all(self.readers()).await?;
        rows.iter().map(object_text).collect()
    }

    /// Up to `limit` objects with an id above `after`, in the order of their ids: those of one calendar or of all, that
    /// depend on one of `zones` or on any.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn texts_after(
        &self,
        calendar: Option<i64>,
        zones: Option<&[String]>,
        after: i64,
        limit: i64,
    ) -> Result<Vec<ObjectText>, LedgerError> {
        let sql = "SELECT id, calendar, href, revision, memo, text FROM objects
            WHERE id > ?1 AND (?2 IS NULL OR calendar = ?2)
            AND (?3 IS NULL OR EXISTS (SELECT 1 FROM json_each(?3) z WHERE instr(zones, ' ' || z.value || ' ') > 0))
            ORDER BY id LIMIT ?4";
        let zones = zones.map(|zones| serde_json::json!(zones).to_string());
        let query = sqlx::query(sql).bind(after).bind(calendar).bind(zones).bind(limit);
        query.fetch_all(self.readers()).await?.iter().map(object_text).collect()
    }

    /// Sets the plans of objects whose text has not changed, and returns how many of them ring at another instant now.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn replan(&self, replanned: Vec<Replanned>) -> Result<usize, LedgerError> {
        self.write(move |c| Box::pin(replan(c, replanned))).await
    }

    /// Takes in what a batch changes: the calendar, its objects and their timers, the checkpoint, in one transaction.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`]; nothing was written then.
    pub async fn take_in(&self, planned: Planned) -> Result<(), LedgerError> {
        let overdue = planned.put.iter().map(|o| o.overdue.len()).sum();
        let ring_ids = self.ring_ids(overdue);
        let object_ids = self.object_ids(planned.put.len());
        self.write(move |c| Box::pin(take_in(c, planned, object_ids, ring_ids))).await
    }

    /// Notes that a calendar was looked at and found unchanged.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn looked_at(&self, looks: Vec<(String, String, UtcMillis)>) -> Result<(), LedgerError> {
        let sql = "UPDATE calendars SET looked_at = max(looked_at, ?) WHERE source = ? AND href = ?";
        self.write(move |c| {
            Box::pin(async move {
                for (source, href, at) in looks {
                    sqlx::query(sql).bind(at.0).bind(source).bind(href).execute(&mut *c).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Drops a calendar, its objects and their timers. What it has rung stays in the history.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn drop_calendar(&self, source: &str, href: &str) -> Result<(), LedgerError> {
        let (source, href) = (source.to_owned(), href.to_owned());
        self.write(move |c| {
            Box::pin(async move {
                let sql = "DELETE FROM calendars WHERE source = ? AND href = ?";
                sqlx::query(sql).bind(source).bind(href).execute(c).await?;
                Ok(())
            })
        })
        .await
    }

    /// Notes how a look at a source went: none for well.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn source_looked(
        &self,
        name: &str,
        kind: &'static str,
        at: UtcMillis,
        error: Option<String>,
    ) -> Result<(), LedgerError> {
        let sql = "INSERT INTO sources (name, kind, looked_at, error, error_at)
            VALUES (?1, ?2, iif(?4 IS NULL, ?3, NULL), ?4, iif(?4 IS NULL, NULL, ?3))
            ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, looked_at = coalesce(excluded.looked_at, looked_at),
            error = excluded.error, error_at = iif(excluded.error IS NULL, NULL, coalesce(error_at, excluded.error_at))";
        let name = name.to_owned();
        self.write(move |c| {
            Box::pin(async move {
                sqlx::query(sql).bind(name).bind(kind).bind(at.0).bind(error).execute(c).await?;
                Ok(())
            })
        })
        .await
    }

    /// Drops what the ledger knows of sources that are not among `names`.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn keep_sources(&self, names: &[&str]) -> Result<(), LedgerError> {
        let names = serde_json::json!(names).to_string();
        self.write(move |c| {
            Box::pin(async move {
                for sql in [
                    "DELETE FROM calendars WHERE source NOT IN (SELECT value FROM json_each(?))",
                    "DELETE FROM sources WHERE name NOT IN (SELECT value FROM json_each(?))",
                ] {
                    sqlx::query(sql).bind(names.clone()).execute(&mut *c).await?;
                }
                Ok(())
            })
        })
        .await
    }
}

fn existing(row: &SqliteRow) -> Result<Existing, LedgerError> {
    Ok(Existing {
        id: row.try_get("id")?,
        etag: row.try_get("etag")?,
        revision: row.try_get("revision")?,
        due: row.try_get::<Option<i64>, _>("due")?.map(UtcMillis),
        memo: row.try_get("memo")?,
        text: row.try_get("text")?,
    })
}

fn object_text(row: &SqliteRow) -> Result<ObjectText, LedgerError> {
    Ok(ObjectText {
        id: row.try_get("id")?,
        calendar: row.try_get("calendar")?,
        href: row.try_get("href")?,
        revision: row.try_get("revision")?,
        memo: row.try_get("memo")?,
        text: row.try_get("text")?,
    })
}

/// `[1,2,3]`, for `json_each`.
pub fn id_list(ids: impl Iterator<Item = i64>) -> String {
    let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
    format!("[{}]", ids.join(","))
}

async fn take_in(
    c: &mut SqliteConnection,
    planned: Planned,
    first_object: i64,
    first_ring: i64,
) -> Result<(), LedgerError> {
    let calendar = upsert_calendar(c, &planned.calendar).await?;
    if !planned.gone.is_empty() {
        let hrefs = serde_json::json!(planned.gone).to_string();
        sqlx::query(GONE).bind(calendar).bind(hrefs).execute(&mut *c).await?;
    }
    for (object, etag) in planned.retag {
        sqlx::query("UPDATE objects SET etag = ? WHERE id = ?").bind(etag).bind(object).execute(&mut *c).await?;
    }
    replan(c, planned.replanned).await?;
    put(c, calendar, planned.put, planned.now, first_object, first_ring).await?;
    if planned.advance {
        let CalendarRow { ctag, sync_token, looked_at, .. } = planned.calendar;
        sqlx::query(ADVANCE).bind(ctag).bind(sync_token).bind(looked_at.0).bind(calendar).execute(c).await?;
    }
    Ok(())
}

async fn upsert_calendar(c: &mut SqliteConnection, row: &CalendarRow) -> Result<i64, LedgerError> {
    let id = sqlx::query_scalar(CALENDAR)
        .bind(row.source.clone())
        .bind(row.href.clone())
        .bind(row.key.clone())
        .bind(row.user.clone())
        .bind(row.owner.clone())
        .bind(serde_json::json!(row.emails).to_string())
        .bind(row.name.clone())
        .bind(row.color.clone())
        .bind(row.zone.clone())
        .bind(row.user_zone.clone())
        .bind(row.default_timed.clone())
        .bind(row.default_all_day.clone())
        .bind(row.looked_at.0)
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

async fn put(
    c: &mut SqliteConnection,
    calendar: i64,
    objects: Vec<PlannedObject>,
    now: UtcMillis,
    first_object: i64,
    first_ring: i64,
) -> Result<(), LedgerError> {
    let placed: Vec<Placed> = (first_object..)
        .zip(objects)
        .map(|(new_id, object)| match object.existing {
            Some((id, revision)) => Placed { id, revision: revision + 1, object },
            None => Placed { id: new_id, revision: 1, object },
        })
        .collect();
    let (changed, new): (Vec<Placed>, Vec<Placed>) = placed.into_iter().partition(|p| p.object.existing.is_some());
    let overdue: Vec<NewRing> = changed.iter().flat_map(|p| p.object.overdue.iter().cloned()).collect();
    for placed in &changed {
        change(c, placed).await?;
    }
    insert(c, calendar, &new).await?;
    let uids: Vec<(&str, i64)> =
        changed.iter().chain(&new).flat_map(|p| p.object.uids.iter().map(|uid| (uid.as_str(), p.id))).collect();
    bulk::rows(c, ("INSERT OR IGNORE INTO uids (uid, object) VALUES", 2, ""), &uids, |query, (uid, object)| {
        query.bind((*uid).to_owned()).bind(*object)
    })
    .await?;
    timers::record(c, &overdue, now, first_ring).await?;
    Ok(())
}

async fn insert(c: &mut SqliteConnection, calendar: i64, new: &[Placed]) -> Result<(), LedgerError> {
    bulk::rows(c, (NEW_OBJECTS, 10, ""), new, |query, p| {
        query
            .bind(p.id)
            .bind(calendar)
            .bind(p.object.href.as_str())
            .bind(p.object.etag.as_str())
            .bind(p.revision)
            .bind(p.object.written.map(|at| at.0))
            .bind(p.object.faults.as_deref())
            .bind(p.object.memo.as_deref())
            .bind(p.object.zones.as_str())
            .bind(p.object.text.as_slice())
    })
    .await?;
    let mut armed: Vec<(i64, i64, i64)> =
        new.iter().filter_map(|p| p.object.due.map(|due| (due.0, p.id, p.revision))).collect();
    timers::arm(c, &mut armed).await
}

async fn change(c: &mut SqliteConnection, placed: &Placed) -> Result<(), LedgerError> {
    let object = &placed.object;
    sqlx::query(CHANGE_OBJECT)
        .bind(object.etag.clone())
        .bind(placed.revision)
        .bind(object.written.map(|at| at.0))
        .bind(object.faults.clone())
        .bind(object.memo.clone())
        .bind(object.zones.clone())
        .bind(object.text.clone())
        .bind(placed.id)
        .execute(&mut *c)
        .await?;
    sqlx::query("DELETE FROM uids WHERE object = ?").bind(placed.id).execute(&mut *c).await?;
    retime(c, placed.id, placed.revision, object.due).await
}

/// Plans objects anew, unless they have changed meanwhile; returns how many ring at another instant now.
async fn replan(c: &mut SqliteConnection, replanned: Vec<Replanned>) -> Result<usize, LedgerError> {
    let mut moved = 0;
    for Replanned { id, revision, due, zones, memo } in replanned {
        let update = sqlx::query(REPLAN).bind(revision + 1).bind(zones).bind(memo).bind(id).bind(revision);
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
        timers::arm(c, &mut [(due.0, object, revision)]).await?;
    }
    Ok(())
}

//! Calendars and their objects, as the ledger remembers them.

use std::collections::HashMap;

use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row, SqliteConnection, ValueRef as _};

use super::absence::Absent;
use super::lossy_text::{optional_text, readable, text};
use super::{Ledger, LedgerError};
use crate::calendar_info::{CalendarInfo, DefaultAlarmTexts};
use crate::time::UtcMillis;

/// A calendar in the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CalendarRow {
    /// Given by the ledger; 0 for one that is not in it yet.
    pub id: i64,
    /// The name of its source in the configuration.
    pub source: String,
    /// As its source handed it in last; a long name or color is kept in part.
    pub info: CalendarInfo,
    /// What the source syncs from the next time, a text that only the source reads; none: it was never read to its end.
    pub sync_state: Option<String>,
    pub last_synced_at: UtcMillis,
    /// What was due before then does not ring: it was not known yet.
    pub first_seen: UtcMillis,
    /// Since when syncs do not find it; none: it is there.
    pub absent: Option<Absent>,
}

impl FromRow<'_, SqliteRow> for CalendarRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(CalendarRow {
            id: row.try_get("id")?,
            source: text(row, "source")?,
            info: info(row)?,
            sync_state: optional_text(row, "sync_state")?,
            last_synced_at: UtcMillis(row.try_get("last_synced_at")?),
            first_seen: UtcMillis(row.try_get("first_seen")?),
            absent: absent(row)?,
        })
    }
}

fn info(row: &SqliteRow) -> Result<CalendarInfo, sqlx::Error> {
    Ok(CalendarInfo {
        href: text(row, "href")?,
        id: text(row, "key")?,
        user: text(row, "user")?,
        owner: text(row, "owner")?,
        emails: serde_json::from_str(&text(row, "emails")?).unwrap_or_default(),
        name: text(row, "name")?,
        color: text(row, "color")?,
        zone: optional_text(row, "zone")?,
        user_zone: optional_text(row, "user_zone")?,
        default_alarms: DefaultAlarmTexts {
            timed: optional_text(row, "default_timed")?,
            all_day: optional_text(row, "default_all_day")?,
        },
    })
}

/// None as well in a ledger of a version that knew nothing of absence, which commands may look into.
fn absent(row: &SqliteRow) -> Result<Option<Absent>, sqlx::Error> {
    let instant = |column| match row.try_get::<Option<i64>, _>(column) {
        Ok(at) => Ok(at.map(UtcMillis)),
        Err(sqlx::Error::ColumnNotFound(_)) => Ok(None),
        Err(error) => Err(error),
    };
    let missing_since = instant("missing_since")?;
    Ok(instant("absent_since")?.map(|since| Absent { since, missing_since }))
}

/// How a sync of a source went.
#[derive(Clone, Debug)]
pub struct SourceSync {
    /// When it began.
    pub at: UtcMillis,
    /// What is wrong; none: it went well.
    pub error: Option<String>,
    /// Where something is wrong: the next sync comes no later than then. None where something else than time is waited
    /// for.
    pub next_try: Option<UtcMillis>,
}

/// An object that is in the ledger already.
#[derive(Clone, Debug)]
pub struct Existing {
    pub id: i64,
    pub etag: String,
    pub revision: i64,
    /// Its timer: the earliest alarm instance that was not fired.
    pub due: Option<UtcMillis>,
    pub count_cache: Option<String>,
    /// When it was written, where that is known.
    pub last_modified: Option<UtcMillis>,
    /// What is wrong in it, or in what its source has instead, a JSON list.
    pub faults: Option<String>,
    /// Where what its source has cannot be used, or may be another text: what is due of that from then on has not rung.
    pub unread_since: Option<UtcMillis>,
    pub text: Vec<u8>,
}

/// An object's text, for planning it.
#[derive(Clone, Debug)]
pub struct ObjectText {
    pub id: i64,
    pub calendar: i64,
    pub href: String,
    pub revision: i64,
    pub count_cache: Option<String>,
    pub text: Vec<u8>,
    /// Its timer; none as well where it was not asked for.
    pub due: Option<UtcMillis>,
}

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
        let rows: Vec<(Vec<u8>, Vec<u8>)> =
            sqlx::query_as(sql).bind(source.to_owned()).bind(calendar.to_owned()).fetch_all(self.readers()).await?;
        Ok(rows.into_iter().map(|(href, etag)| (readable(href), readable(etag))).collect())
    }

    /// Those of `hrefs` that the calendar with the id `calendar` has objects for.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn existing(&self, calendar: i64, hrefs: &[&str]) -> Result<HashMap<String, Existing>, LedgerError> {
        let sql =
            "SELECT o.href, o.id, o.etag, o.revision, t.due, o.count_cache, o.last_modified, o.faults, o.unread_since,
            o.text FROM objects o
            LEFT JOIN timers t ON t.object = o.id
            WHERE o.calendar = ? AND o.href IN (SELECT value FROM json_each(?))";
        let hrefs = serde_json::json!(hrefs).to_string();
        let rows = sqlx::query(sql).bind(calendar).bind(hrefs).fetch_all(self.readers()).await?;
        rows.iter().map(|row| Ok((text(row, "href")?, existing(row)?))).collect()
    }

    /// The texts of those of `objects` that have at most `most` octets, without their timers; and the ids and octets of
    /// the others, the shortest first.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn short_texts(
        &self,
        objects: &[i64],
        most: usize,
    ) -> Result<(Vec<ObjectText>, Vec<(i64, usize)>), LedgerError> {
        let sql =
            "SELECT id, calendar, href, revision, count_cache, iif(octet_length(text) <= ?2, text, NULL) AS text, NULL AS due,
            octet_length(text) AS octets
            FROM objects WHERE id IN (SELECT value FROM json_each(?1)) ORDER BY octet_length(text)";
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let query = sqlx::query(sql).bind(id_list(objects.iter().copied())).bind(most);
        let (mut short, mut long) = (Vec::new(), Vec::new());
        for row in query.fetch_all(self.readers()).await? {
            if row.try_get_raw("text")?.is_null() {
                let octets: i64 = row.try_get("octets")?;
                long.push((row.try_get("id")?, usize::try_from(octets).unwrap_or(usize::MAX)));
            } else {
                short.push(object_text(&row)?);
            }
        }
        Ok((short, long))
    }

    /// The texts of `objects`, without their timers.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn texts(&self, objects: &[i64]) -> Result<Vec<ObjectText>, LedgerError> {
        let sql = "SELECT id, calendar, href, revision, count_cache, text, NULL AS due FROM objects
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
        let sql = "SELECT id, calendar, href, o.revision, count_cache, text, t.due
            FROM objects o LEFT JOIN timers t ON t.object = o.id WHERE id > ?1 AND (?2 IS NULL OR calendar = ?2)
            AND (?3 IS NULL OR EXISTS (SELECT 1 FROM json_each(?3) z WHERE instr(zones, ' ' || z.value || ' ') > 0))
            ORDER BY id LIMIT ?4";
        let zones = zones.map(|zones| serde_json::json!(zones).to_string());
        let query = sqlx::query(sql).bind(after).bind(calendar).bind(zones).bind(limit);
        query.fetch_all(self.readers()).await?.iter().map(object_text).collect()
    }

    /// Notes that calendars were synced and found unchanged. What they say of syncs after `now` was written by a
    /// clock that has been set back since.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn record_syncs(
        &self,
        syncs: Vec<(String, String, UtcMillis)>,
        now: UtcMillis,
    ) -> Result<(), LedgerError> {
        let sql = "UPDATE calendars SET last_synced_at = iif(last_synced_at > ?4, ?1, max(last_synced_at, ?1))
            WHERE source = ?2 AND href = ?3";
        self.write(move |c| {
            Box::pin(async move {
                for (source, href, at) in syncs {
                    sqlx::query(sql).bind(at.0).bind(source).bind(href).bind(now.0).execute(&mut *c).await?;
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

    /// Notes how far a sync of a source, which takes long, has come.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn source_progress(&self, name: &str, progress: String) -> Result<(), LedgerError> {
        let sql = "INSERT INTO sources (name, kind, progress) VALUES (?1, 'caldav', ?2)
            ON CONFLICT (name) DO UPDATE SET progress = excluded.progress";
        let name = name.to_owned();
        self.write(move |c| {
            Box::pin(async move {
                sqlx::query(sql).bind(name).bind(progress).execute(c).await?;
                Ok(())
            })
        })
        .await
    }

    /// Notes how a sync of a source went.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
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

    /// When the last sync of a source began that went well.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn source_last_synced_at(&self, name: &str) -> Result<Option<UtcMillis>, LedgerError> {
        let query = sqlx::query_scalar("SELECT last_synced_at FROM sources WHERE name = ?").bind(name.to_owned());
        let at: Option<Option<i64>> = query.fetch_optional(self.readers()).await?;
        Ok(at.flatten().map(UtcMillis))
    }

    /// Drops what the ledger knows of sources that are not among `names`, and calendars whose damaged names no source
    /// has: they are found again as new ones, and would ring twice. Returns those sources that had calendars, and how
    /// many.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn keep_sources(&self, names: &[&str]) -> Result<Vec<(String, i64)>, LedgerError> {
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
                Ok(dropped.into_iter().map(|(name, calendars)| (readable(name), calendars)).collect())
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
            tracing::error!(calendar.href = name, "a calendar's name in the ledger is damaged: it is taken in anew");
            sqlx::query("DELETE FROM calendars WHERE id = ?").bind(id).execute(&mut *c).await?;
        }
    }
    Ok(())
}

fn existing(row: &SqliteRow) -> Result<Existing, LedgerError> {
    Ok(Existing {
        id: row.try_get("id")?,
        etag: text(row, "etag")?,
        revision: row.try_get("revision")?,
        due: row.try_get::<Option<i64>, _>("due")?.map(UtcMillis),
        count_cache: optional_text(row, "count_cache")?,
        last_modified: row.try_get::<Option<i64>, _>("last_modified")?.map(UtcMillis),
        faults: optional_text(row, "faults")?,
        unread_since: row.try_get::<Option<i64>, _>("unread_since")?.map(UtcMillis),
        text: row.try_get("text")?,
    })
}

fn object_text(row: &SqliteRow) -> Result<ObjectText, LedgerError> {
    Ok(ObjectText {
        id: row.try_get("id")?,
        calendar: row.try_get("calendar")?,
        href: text(row, "href")?,
        revision: row.try_get("revision")?,
        count_cache: optional_text(row, "count_cache")?,
        text: row.try_get("text")?,
        due: row.try_get::<Option<i64>, _>("due")?.map(UtcMillis),
    })
}

/// `[1,2,3]`, for `json_each`.
pub fn id_list(ids: impl Iterator<Item = i64>) -> String {
    let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
    format!("[{}]", ids.join(","))
}

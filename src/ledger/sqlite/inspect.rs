//! Reading a ledger without holding it: for the listings of the command line, while a daemon runs or while none
//! does. It opens the file read-only and takes no lock.

use std::path::Path;

use jiff::SignedDuration;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{Connection as _, Row, SqliteConnection};

use super::backup::FIRED_UNTIL;
use super::computations::SET_ASIDE;
use super::connection::connect;
use super::file::reject_hard_links;
use super::history::FORGOTTEN_BEFORE;
use super::lossy_text::{optional_text, text};
use super::migrate::check_is_current;
use super::state::state;
use crate::ledger::error::LedgerError;
use crate::ledger::model::{
    ArmedFilter, CalendarRow, CalendarStats, DeliveryFilter, DeliveryRow, DeliveryState, FaultyObject, FiringRow,
    FiringState, FiringsOf, ObjectRow, SourceFailure, SourceRow, Stats, TimerCursor,
};
use crate::time::UtcMillis;

/// A ledger that is only read.
#[derive(Debug)]
pub struct Inspector {
    connection: SqliteConnection,
}

pub(super) const STATS: &str = concat!(
    "SELECT (SELECT count(*) FROM calendars), (SELECT count(*) FROM objects),
    (SELECT count(*) FROM objects WHERE faults IS NOT NULL), (SELECT count(*) FROM timers),
    (SELECT min(due) FROM timers), (SELECT count(*) FROM deliveries WHERE state = ",
    state!(Pending),
    "),
    (SELECT count(*) FROM deliveries WHERE state = ",
    state!(Failed),
    ")"
);
// Subqueries that indexes answer: the rows of objects hold their texts.
const CALENDARS: &str = "SELECT c.*, (SELECT count(*) FROM objects o WHERE o.calendar = c.id) AS objects,
    (SELECT count(*) FROM objects o WHERE o.calendar = c.id AND o.faults IS NOT NULL) AS faulty,
    (SELECT count(*) FROM objects o JOIN timers t ON t.object = o.id WHERE o.calendar = c.id) AS armed,
    (SELECT min(t.due) FROM objects o JOIN timers t ON t.object = o.id WHERE o.calendar = c.id) AS next_due
    FROM calendars c ORDER BY c.source, c.href";
const ARMED: &str =
    "SELECT c.*, o.id AS object, o.href AS object_href, o.etag, o.revision, o.last_modified, o.faults, o.count_cache,
    o.text, t.due FROM timers t JOIN objects o ON o.id = t.object JOIN calendars c ON c.id = o.calendar
    WHERE (t.due, t.object) > (?1, ?2) AND t.due < ?3 AND (?4 IS NULL OR c.user = ?4)
    AND (?5 IS NULL OR ?5 IN (c.name, c.key, c.href)) ORDER BY t.due, t.object LIMIT ?6";
const FAULTY: &str =
    "SELECT c.source, c.name, c.user, o.href, o.faults, (SELECT a.count >= 3 FROM attempts a WHERE a.object = o.id) AS set_aside
    FROM objects o JOIN calendars c ON c.id = o.calendar
    WHERE o.faults IS NOT NULL OR o.id IN (SELECT object FROM attempts WHERE count >= 3)
    ORDER BY c.source, c.href, o.href";
const OF_UID: &str =
    "SELECT c.*, o.id AS object, o.href AS object_href, o.etag, o.revision, o.last_modified, o.faults, o.count_cache,
    o.text, t.due FROM uids u JOIN objects o ON o.id = u.object JOIN calendars c ON c.id = o.calendar
    LEFT JOIN timers t ON t.object = o.id WHERE u.uid = ? ORDER BY c.source, c.href, o.href";
const OBJECT: &str =
    "SELECT c.*, o.id AS object, o.href AS object_href, o.etag, o.revision, o.last_modified, o.faults, o.count_cache,
    o.text, t.due FROM objects o JOIN calendars c ON c.id = o.calendar
    LEFT JOIN timers t ON t.object = o.id WHERE o.id = ?";
const FIRINGS: &str =
    "SELECT f.id, f.object, f.due, f.fired_at, f.state, f.count, f.notification, c.name AS calendar, o.href
    FROM firings f LEFT JOIN calendars c ON c.id = f.calendar LEFT JOIN objects o ON o.id = f.object
    WHERE f.fired_at >= ?1 AND (?2 IS NULL OR (f.object = ?2 AND f.notification = '')
    OR (instr(f.notification, ?3) > 0 AND instr(f.notification, ?4) > 0)) AND (f.state = ?6) = ?7
    ORDER BY f.fired_at DESC, f.id DESC LIMIT ?5";
const FIRING_BY_IDENTITY: &str =
    "SELECT f.id, f.object, f.due, f.fired_at, f.state, f.count, f.notification, c.name AS calendar, o.href
    FROM firings f LEFT JOIN calendars c ON c.id = f.calendar LEFT JOIN objects o ON o.id = f.object
    WHERE f.identity = ?";
const FIRING_BY_NUMBER: &str =
    "SELECT f.id, f.object, f.due, f.fired_at, f.state, f.count, f.notification, c.name AS calendar, o.href
    FROM firings f LEFT JOIN calendars c ON c.id = f.calendar LEFT JOIN objects o ON o.id = f.object
    WHERE f.id = ?";
// Firings without a row of their own: the first firings of an hour that had too many stand before the row that counts
// the rest, and of very many missed ones the last stands for those before it.
const COUNTED: &str =
    "SELECT f.id, f.object, f.due, f.fired_at, f.state, f.count, f.notification, c.name AS calendar, o.href
    FROM firings f LEFT JOIN calendars c ON c.id = f.calendar LEFT JOIN objects o ON o.id = f.object
    WHERE f.object = ?1 AND f.fired_at >= ?2 AND ((f.state = ?3 AND f.due <= ?2)
    OR (f.state = ?4 AND f.count > 1 AND f.due >= ?2)) ORDER BY abs(f.due - ?2) LIMIT 1";
const LATENESS: &str = "SELECT fired_at - due FROM firings WHERE state = ?1 ORDER BY fired_at DESC LIMIT ?2";
const DELIVERIES: &str =
    "SELECT d.firing, s.name, d.recipient, d.state, d.attempts, d.unknown, d.next_attempt, d.held_until, d.response, d.settled_at,
    f.due, f.fired_at, f.notification
    FROM deliveries d JOIN sinks s ON s.id = d.sink JOIN firings f ON f.id = d.firing";

impl Inspector {
    /// Opens the ledger at `path` for reading only.
    ///
    /// # Errors
    /// [`LedgerError::Missing`] where there is none, [`LedgerError::Newer`] for one of a later version,
    /// [`LedgerError::Older`] of an earlier one, [`LedgerError::Open`] when the file cannot be read or is no ledger,
    /// [`LedgerError::CorruptFile`] when it is damaged.
    pub async fn open(path: &Path) -> Result<Inspector, LedgerError> {
        let options = SqliteConnectOptions::new().filename(path).read_only(true).create_if_missing(false);
        reject_hard_links(path)?;
        let mut connection = connect(path, options).await?;
        // All that follows sees the ledger as it is now.
        sqlx::query("BEGIN").execute(&mut connection).await?;
        check_is_current(path, &mut connection).await?;
        Ok(Inspector { connection })
    }

    /// Sees the ledger as it is now from here on.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn refresh(&mut self) -> Result<(), LedgerError> {
        sqlx::query("COMMIT").execute(&mut self.connection).await?;
        sqlx::query("BEGIN").execute(&mut self.connection).await?;
        Ok(())
    }

    /// Closes it.
    ///
    /// # Errors
    /// [`LedgerError::Database`], as for all that reads.
    pub async fn close(self) -> Result<(), LedgerError> {
        Ok(self.connection.close().await?)
    }

    /// Reads all of the file and says whether it is whole.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] when it is not.
    pub async fn check(&mut self) -> Result<(), LedgerError> {
        let found: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut self.connection).await?;
        if found == "ok" { Ok(()) } else { Err(LedgerError::Corrupt(found)) }
    }

    /// How much the ledger holds.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn stats(&mut self) -> Result<Stats, LedgerError> {
        let row = sqlx::query(STATS).fetch_one(&mut self.connection).await?;
        Ok(Stats {
            calendars: row.try_get(0)?,
            objects: row.try_get(1)?,
            faulty: row.try_get(2)?,
            armed: row.try_get(3)?,
            next_due: row.try_get::<Option<i64>, _>(4)?.map(UtcMillis),
            pending: row.try_get(5)?,
            failed: row.try_get(6)?,
        })
    }

    /// The sources that were synced, by name.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn sources(&mut self) -> Result<Vec<SourceRow>, LedgerError> {
        let sql = "SELECT name, kind, last_synced_at, error, error_at, tried_at, next_try, progress FROM sources ORDER BY name";
        let rows = sqlx::query(sql).fetch_all(&mut self.connection).await?;
        let source = |row: &SqliteRow| {
            let error = optional_text(row, "error")?;
            Ok(SourceRow {
                name: text(row, "name")?,
                kind: text(row, "kind")?,
                last_synced_at: instant(row, "last_synced_at")?,
                failure: error.zip(instant(row, "error_at")?).map(|(error, since)| SourceFailure { error, since }),
                tried_at: instant(row, "tried_at")?,
                next_try: instant(row, "next_try")?,
                progress: optional_text(row, "progress")?,
            })
        };
        rows.iter().map(source).collect()
    }

    /// The calendars that are watched, by source and href.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn calendars(&mut self) -> Result<Vec<CalendarStats>, LedgerError> {
        let rows = sqlx::query(CALENDARS).fetch_all(&mut self.connection).await?;
        let stats = |row: &SqliteRow| {
            Ok(CalendarStats {
                calendar: sqlx::FromRow::from_row(row)?,
                objects: row.try_get("objects")?,
                faulty: row.try_get("faulty")?,
                armed: row.try_get("armed")?,
                next_due: instant(row, "next_due")?,
            })
        };
        rows.iter().map(stats).collect()
    }

    /// The objects with faults, by source, calendar and href.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn faulty(&mut self) -> Result<Vec<FaultyObject>, LedgerError> {
        let rows = sqlx::query(FAULTY).fetch_all(&mut self.connection).await?;
        let object = |row: &SqliteRow| {
            let faults = optional_text(row, "faults")?;
            let mut faults: Vec<String> =
                faults.and_then(|faults| serde_json::from_str(&faults).ok()).unwrap_or_default();
            if row.try_get::<Option<bool>, _>("set_aside")?.unwrap_or(false) {
                faults.push(SET_ASIDE.to_owned());
            }
            Ok(FaultyObject {
                source: text(row, "source")?,
                calendar: text(row, "name")?,
                user: text(row, "user")?,
                href: text(row, "href")?,
                faults,
            })
        };
        rows.iter().map(object).collect()
    }

    /// The calendars that syncs do not find, by source and href.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn absent(&mut self) -> Result<Vec<CalendarRow>, LedgerError> {
        // Not asked for by a condition: a ledger of an earlier version has no such column.
        let sql = "SELECT * FROM calendars ORDER BY source, href";
        let rows: Vec<CalendarRow> = sqlx::query_as(sql).fetch_all(&mut self.connection).await?;
        Ok(rows.into_iter().filter(|row| row.absent.is_some()).collect())
    }

    /// The users of whom some calendar knows no address, by name.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn without_address(&mut self) -> Result<Vec<String>, LedgerError> {
        let sql = "SELECT DISTINCT user FROM calendars WHERE emails = '[]' ORDER BY user";
        let rows = sqlx::query(sql).fetch_all(&mut self.connection).await?;
        rows.iter().map(|row| Ok(text(row, "user")?)).collect()
    }

    /// Up to `limit` objects that `filter` means, behind `after`, the one that is due next first.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn armed(
        &mut self,
        after: TimerCursor,
        filter: ArmedFilter<'_>,
        limit: i64,
    ) -> Result<Vec<ObjectRow>, LedgerError> {
        let ArmedFilter { until, user, calendar } = filter;
        let query = sqlx::query(ARMED).bind(after.due.0).bind(after.object).bind(until.0);
        let query = query.bind(user.map(str::to_owned)).bind(calendar.map(str::to_owned)).bind(limit);
        query.fetch_all(&mut self.connection).await?.iter().map(object).collect()
    }

    /// The objects that speak of `uid`.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn objects_of(&mut self, uid: &str) -> Result<Vec<ObjectRow>, LedgerError> {
        let query = sqlx::query(OF_UID).bind(uid.to_owned());
        query.fetch_all(&mut self.connection).await?.iter().map(object).collect()
    }

    /// The object with this id in the ledger.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn object(&mut self, id: i64) -> Result<Option<ObjectRow>, LedgerError> {
        let query = sqlx::query(OBJECT).bind(id);
        query.fetch_optional(&mut self.connection).await?.as_ref().map(object).transpose()
    }

    /// The last `limit` firings that were recorded at or after `since`, of one event or of all; the latest first. Store
    /// events are not among them.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn firings(
        &mut self,
        since: UtcMillis,
        of: Option<FiringsOf<'_>>,
        limit: i64,
    ) -> Result<Vec<FiringRow>, LedgerError> {
        self.history(since, of, limit, false).await
    }

    /// The last `limit` store events that were recorded at or after `since`, the latest first.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn store_events(&mut self, since: UtcMillis, limit: i64) -> Result<Vec<FiringRow>, LedgerError> {
        self.history(since, None, limit, true).await
    }

    async fn history(
        &mut self,
        since: UtcMillis,
        of: Option<FiringsOf<'_>>,
        limit: i64,
        are_events: bool,
    ) -> Result<Vec<FiringRow>, LedgerError> {
        // As the notification has it.
        let pair = |key: &str, value: &str| format!("\"{key}\":{}", serde_json::json!(value));
        let query = sqlx::query(FIRINGS).bind(since.0).bind(of.map(|of| of.object));
        let query = query.bind(of.map(|of| pair("uid", of.uid))).bind(of.map(|of| pair("userId", of.user))).bind(limit);
        let query = query.bind(FiringState::Event).bind(are_events);
        query.fetch_all(&mut self.connection).await?.iter().map(firing).collect()
    }

    /// The firing with this identity, if it was ever recorded.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn firing_with(&mut self, identity: [u8; 16]) -> Result<Option<FiringRow>, LedgerError> {
        let query = sqlx::query(FIRING_BY_IDENTITY).bind(identity.to_vec());
        query.fetch_optional(&mut self.connection).await?.as_ref().map(firing).transpose()
    }

    /// The firing with this number in the ledger.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn firing(&mut self, number: i64) -> Result<Option<FiringRow>, LedgerError> {
        let query = sqlx::query(FIRING_BY_NUMBER).bind(number);
        query.fetch_optional(&mut self.connection).await?.as_ref().map(firing).transpose()
    }

    /// The row that counts firings of `object`, of which one due at `at` may be: it has no row of its own.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn firing_counting(&mut self, object: i64, at: UtcMillis) -> Result<Option<FiringRow>, LedgerError> {
        let query = sqlx::query(COUNTED).bind(object).bind(at.0);
        let query = query.bind(FiringState::Suppressed).bind(FiringState::Missed);
        query.fetch_optional(&mut self.connection).await?.as_ref().map(firing).transpose()
    }

    /// What the history lacks: firings that were due and recorded before this have been forgotten.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn forgotten_before(&mut self) -> Result<Option<UtcMillis>, LedgerError> {
        self.remembered(FORGOTTEN_BEFORE).await
    }

    /// Until when everything counts as fired, in a ledger that is a backup that was put back.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn fired_until(&mut self) -> Result<Option<UtcMillis>, LedgerError> {
        self.remembered(FIRED_UNTIL).await
    }

    async fn remembered(&mut self, key: &str) -> Result<Option<UtcMillis>, LedgerError> {
        let query = sqlx::query("SELECT value FROM meta WHERE key = ?").bind(key.to_owned());
        let row = query.fetch_optional(&mut self.connection).await?;
        let value = row.map(|row| text(&row, "value")).transpose()?;
        Ok(value.and_then(|value| value.parse().ok()).map(UtcMillis))
    }

    /// What the firing with the number `firing` owes or owed to the sinks.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn deliveries_of(&mut self, firing: i64) -> Result<Vec<DeliveryRow>, LedgerError> {
        let sql = format!("{DELIVERIES} WHERE d.firing = ? ORDER BY s.name, d.recipient");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(firing).fetch_all(&mut self.connection).await?;
        rows.iter().map(delivery).collect()
    }

    /// How late the last `limit` firings were, sorted.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn lateness(&mut self, limit: i64) -> Result<Vec<SignedDuration>, LedgerError> {
        let query = sqlx::query_scalar(LATENESS).bind(FiringState::Fired).bind(limit);
        let mut lateness = durations(query.fetch_all(&mut self.connection).await?);
        lateness.sort_unstable();
        Ok(lateness)
    }

    /// How long after it was due each delivered alarm was settled, ascending.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn delivered(&mut self) -> Result<Vec<SignedDuration>, LedgerError> {
        let sql = "SELECT d.settled_at - f.due FROM deliveries d JOIN firings f ON f.id = d.firing
            WHERE d.state = ? ORDER BY 1";
        let query = sqlx::query_scalar(sql).bind(DeliveryState::Delivered);
        Ok(durations(query.fetch_all(&mut self.connection).await?))
    }

    /// The deliveries of the last firings, up to `limit`, the latest first.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn deliveries(&mut self, filter: DeliveryFilter, limit: i64) -> Result<Vec<DeliveryRow>, LedgerError> {
        // Spelled out, so that each can use its index.
        let condition = match filter {
            DeliveryFilter::All => "",
            DeliveryFilter::Pending => concat!("WHERE d.state = ", state!(Pending)),
            DeliveryFilter::Failed => concat!("WHERE d.state = ", state!(Failed)),
            DeliveryFilter::Unknown => "WHERE d.unknown > 0",
        };
        let sql = format!("{DELIVERIES} {condition} ORDER BY d.firing DESC, s.name, d.recipient LIMIT ?");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(limit).fetch_all(&mut self.connection).await?;
        rows.iter().map(delivery).collect()
    }
}

fn durations(millis: Vec<i64>) -> Vec<SignedDuration> {
    millis.into_iter().map(SignedDuration::from_millis).collect()
}

fn instant(row: &SqliteRow, column: &str) -> Result<Option<UtcMillis>, LedgerError> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(UtcMillis))
}

fn object(row: &SqliteRow) -> Result<ObjectRow, LedgerError> {
    Ok(ObjectRow {
        id: row.try_get("object")?,
        calendar: sqlx::FromRow::from_row(row)?,
        href: text(row, "object_href")?,
        etag: text(row, "etag")?,
        revision: row.try_get("revision")?,
        last_modified: instant(row, "last_modified")?,
        faults: optional_text(row, "faults")?,
        count_cache: optional_text(row, "count_cache")?,
        text: row.try_get("text")?,
        due: instant(row, "due")?,
    })
}

fn firing(row: &SqliteRow) -> Result<FiringRow, LedgerError> {
    Ok(FiringRow {
        id: row.try_get("id")?,
        object: row.try_get("object")?,
        due: UtcMillis(row.try_get("due")?),
        fired_at: UtcMillis(row.try_get("fired_at")?),
        state: FiringState::named(&text(row, "state")?),
        count: row.try_get("count")?,
        calendar: optional_text(row, "calendar")?,
        href: optional_text(row, "href")?,
        notification: text(row, "notification")?,
    })
}

fn delivery(row: &SqliteRow) -> Result<DeliveryRow, LedgerError> {
    Ok(DeliveryRow {
        firing: row.try_get("firing")?,
        sink: text(row, "name")?,
        recipient: text(row, "recipient")?,
        state: DeliveryState::named(&text(row, "state")?),
        attempts: row.try_get("attempts")?,
        unknown: row.try_get("unknown")?,
        next_attempt: UtcMillis(row.try_get("next_attempt")?),
        held_until: instant(row, "held_until")?,
        response: optional_text(row, "response")?,
        settled_at: instant(row, "settled_at")?,
        due: UtcMillis(row.try_get("due")?),
        fired_at: UtcMillis(row.try_get("fired_at")?),
        notification: text(row, "notification")?,
    })
}

#[cfg(test)]
mod tests;

//! The calendars.

use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row as _};

use super::bulk::id_list;
use super::connection::Sqlite;
use super::lossy_text::{optional_text, text};
use super::take_in::record_events;
use crate::calendar_info::{CalendarInfo, DefaultAlarmTexts, SharedAlarms};
use crate::ledger::error::LedgerError;
use crate::ledger::model::{Absent, CalendarKey, CalendarRow, FireOutcome, NewFiring, UnchangedSync};
use crate::time::UtcMillis;

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
            was_read: row.try_get("was_read")?,
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
        alarms_ignored_by: optional_text(row, "alarms_ignored_by")?,
        shared_alarms: SharedAlarms::named(&text(row, "shared_alarms")?),
        all_day_at: optional_text(row, "all_day_at")?,
        privileges: optional_text(row, "privileges")?,
    })
}

/// None as well in a ledger of a version that knew nothing of absence, which commands may read.
fn absent(row: &SqliteRow) -> Result<Option<Absent>, sqlx::Error> {
    let instant = |column| match row.try_get::<Option<i64>, _>(column) {
        Ok(at) => Ok(at.map(UtcMillis)),
        Err(sqlx::Error::ColumnNotFound(_)) => Ok(None),
        Err(error) => Err(error),
    };
    let missing_since = instant("missing_since")?;
    Ok(instant("absent_since")?.map(|since| Absent { since, missing_since }))
}

impl Sqlite {
    pub async fn calendars(&self, source: Option<&str>) -> Result<Vec<CalendarRow>, LedgerError> {
        let rows = sqlx::query_as("SELECT * FROM calendars WHERE ?1 IS NULL OR source = ?1 ORDER BY source, href")
            .bind(source.map(str::to_owned))
            .fetch_all(self.readers())
            .await?;
        Ok(rows)
    }

    pub async fn calendars_by_id(&self, ids: &[i64]) -> Result<Vec<CalendarRow>, LedgerError> {
        let sql = "SELECT * FROM calendars WHERE id IN (SELECT value FROM json_each(?))";
        Ok(sqlx::query_as(sql).bind(id_list(ids.iter().copied())).fetch_all(self.readers()).await?)
    }

    pub async fn calendar(&self, source: &str, href: &str) -> Result<Option<CalendarRow>, LedgerError> {
        let row = sqlx::query_as("SELECT * FROM calendars WHERE source = ? AND href = ?")
            .bind(source.to_owned())
            .bind(href.to_owned())
            .fetch_optional(self.readers())
            .await?;
        Ok(row)
    }

    pub async fn record_syncs(&self, syncs: Vec<UnchangedSync>, now: UtcMillis) -> Result<(), LedgerError> {
        let sql = "UPDATE calendars SET last_synced_at = iif(last_synced_at > ?4, ?1, max(last_synced_at, ?1))
            WHERE source = ?2 AND href = ?3";
        self.write(move |c| {
            Box::pin(async move {
                for UnchangedSync { calendar: CalendarKey { source, href }, at } in syncs {
                    sqlx::query(sql).bind(at.0).bind(source).bind(href).bind(now.0).execute(&mut *c).await?;
                }
                Ok(())
            })
        })
        .await
    }

    pub async fn drop_calendar(
        &self,
        source: &str,
        href: &str,
        events: Vec<NewFiring>,
    ) -> Result<FireOutcome, LedgerError> {
        let (source, href) = (source.to_owned(), href.to_owned());
        let first = self.firing_ids(events.len());
        self.write(move |c| {
            Box::pin(async move {
                let sql = "DELETE FROM calendars WHERE source = ? AND href = ?";
                sqlx::query(sql).bind(source).bind(href).execute(&mut *c).await?;
                let Some((calendar, now)) = events.first().map(|event| (event.calendar, event.due)) else {
                    return Ok(FireOutcome::default());
                };
                record_events(c, calendar, events, now, first).await
            })
        })
        .await
    }
}

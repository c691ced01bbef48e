//! Calendar objects and their texts.

use std::collections::HashMap;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, ValueRef as _};

use super::bulk::id_list;
use super::connection::Sqlite;
use super::lossy_text::{optional_text, readable, text};
use crate::ledger::error::LedgerError;
use crate::ledger::model::{Existing, LongText, ObjectText, ShortTexts};
use crate::time::UtcMillis;

impl Sqlite {
    pub async fn etags(&self, source: &str, calendar: &str) -> Result<HashMap<String, String>, LedgerError> {
        let sql = "SELECT o.href, o.etag FROM objects o JOIN calendars c ON c.id = o.calendar
            WHERE c.source = ? AND c.href = ?";
        let rows: Vec<(Vec<u8>, Vec<u8>)> =
            sqlx::query_as(sql).bind(source.to_owned()).bind(calendar.to_owned()).fetch_all(self.readers()).await?;
        Ok(rows.into_iter().map(|(href, etag)| (readable(href), readable(etag))).collect())
    }

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

    pub async fn short_texts(&self, objects: &[i64], most: usize) -> Result<ShortTexts, LedgerError> {
        let sql =
            "SELECT id, calendar, href, revision, count_cache, iif(octet_length(text) <= ?2, text, NULL) AS text, NULL AS due,
            octet_length(text) AS octets
            FROM objects WHERE id IN (SELECT value FROM json_each(?1)) ORDER BY octet_length(text)";
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let query = sqlx::query(sql).bind(id_list(objects.iter().copied())).bind(most);
        let mut texts = ShortTexts::default();
        for row in query.fetch_all(self.readers()).await? {
            if row.try_get_raw("text")?.is_null() {
                let octets: i64 = row.try_get("octets")?;
                let octets = usize::try_from(octets).unwrap_or(usize::MAX);
                texts.long.push(LongText { object: row.try_get("id")?, octets });
            } else {
                texts.short.push(object_text(&row)?);
            }
        }
        Ok(texts)
    }

    pub async fn texts(&self, objects: &[i64]) -> Result<Vec<ObjectText>, LedgerError> {
        let sql = "SELECT id, calendar, href, revision, count_cache, text, NULL AS due FROM objects
            WHERE id IN (SELECT value FROM json_each(?))";
        let rows = sqlx::query(sql).bind(id_list(objects.iter().copied())).fetch_all(self.readers()).await?;
        rows.iter().map(object_text).collect()
    }

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

//! Calendars that syncs do not find: since when, and that they are found again.

use super::connection::Sqlite;
use crate::ledger::error::LedgerError;
use crate::ledger::model::{Absent, CalendarKey};

const ABSENT: &str = "UPDATE calendars SET absent_since = ?1, missing_since = ?2 WHERE source = ?3 AND href = ?4";
const PRESENT: &str = "UPDATE calendars SET absent_since = NULL, missing_since = NULL WHERE source = ? AND href = ?";

impl Sqlite {
    pub async fn absent(&self, source: &str, href: &str, absent: Absent) -> Result<(), LedgerError> {
        let (source, href) = (source.to_owned(), href.to_owned());
        self.write(move |c| {
            Box::pin(async move {
                let missing = absent.missing_since.map(|at| at.0);
                sqlx::query(ABSENT).bind(absent.since.0).bind(missing).bind(source).bind(href).execute(c).await?;
                Ok(())
            })
        })
        .await
    }

    pub async fn present(&self, source: &str, href: &str) -> Result<(), LedgerError> {
        let (source, href) = (source.to_owned(), href.to_owned());
        self.write(move |c| {
            Box::pin(async move {
                sqlx::query(PRESENT).bind(source).bind(href).execute(c).await?;
                Ok(())
            })
        })
        .await
    }

    pub async fn absentees(&self) -> Result<Vec<CalendarKey>, LedgerError> {
        let rows = self.calendars(None).await?;
        let absent = rows.into_iter().filter(|row| row.absent.is_some());
        Ok(absent.map(|row| CalendarKey { source: row.source, href: row.info.href }).collect())
    }
}

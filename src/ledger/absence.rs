//! Calendars that syncs do not find: since when, and that they are found again.

use super::{Ledger, LedgerError};
use crate::time::UtcMillis;

/// Since when syncs have not found a calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absent {
    /// When the first of those syncs began.
    pub since: UtcMillis,
    /// When the first of those began that found the rest of the store in order, and after which no other sync did not.
    pub missing_since: Option<UtcMillis>,
}

/// How long syncs must not have found a calendar where nothing of its source is found, milliseconds: a day.
const ALL_GONE: i64 = 86_400_000;

impl Absent {
    /// The first sync from then on that does not find the calendar drops it. `grace` is how long it must not have been
    /// found where the rest of its store is in order, milliseconds.
    pub fn ends_at(self, grace: i64) -> UtcMillis {
        let all_gone = self.since.plus(ALL_GONE.max(grace));
        self.missing_since.map_or(all_gone, |since| all_gone.min(since.plus(grace)))
    }
}

const ABSENT: &str = "UPDATE calendars SET absent_since = ?1, missing_since = ?2 WHERE source = ?3 AND href = ?4";
const PRESENT: &str = "UPDATE calendars SET absent_since = NULL, missing_since = NULL WHERE source = ? AND href = ?";

impl Ledger {
    /// Notes since when a calendar is absent.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
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

    /// Notes that a calendar is there again.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
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

    /// The calendars that are absent: source and href.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn absentees(&self) -> Result<Vec<(String, String)>, LedgerError> {
        let rows = self.calendars(None).await?;
        Ok(rows.into_iter().filter(|row| row.absent.is_some()).map(|row| (row.source, row.info.href)).collect())
    }
}

//! Whose alarms are being worked out in the background, so that a process which ends without a word leaves behind what
//! it was at. An object at which processes end again and again is set aside, and the others fire.

use super::connection::Sqlite;
use crate::ledger::error::LedgerError;
use crate::ledger::model::Unfinished;

/// What `calendars --faults` says of an object that is set aside; three is what migrations/0009_attempts.sql says.
pub(super) const SET_ASIDE: &str =
    "Reveille ended each of three times that it worked out its alarms: it does not fire until it is changed";

impl Sqlite {
    pub async fn begin_computation(&self, object: i64) -> Result<(), LedgerError> {
        self.write(move |c| {
            Box::pin(async move {
                // It may have been deleted meanwhile.
                let sql = "INSERT INTO attempts (object, count) SELECT id, 1 FROM objects WHERE id = ?
                    ON CONFLICT (object) DO UPDATE SET count = count + 1";
                sqlx::query(sql).bind(object).execute(c).await?;
                Ok(())
            })
        })
        .await
    }

    pub async fn end_computation(&self, object: i64) -> Result<(), LedgerError> {
        self.write(move |c| {
            Box::pin(async move {
                sqlx::query("DELETE FROM attempts WHERE object = ?").bind(object).execute(c).await?;
                Ok(())
            })
        })
        .await
    }

    pub async fn set_failing_objects_aside(&self) -> Result<Unfinished, LedgerError> {
        let sql = "SELECT object, count >= 3 FROM attempts ORDER BY object";
        let begun: Vec<(i64, bool)> = sqlx::query_as(sql).fetch_all(self.readers()).await?;
        if begun.is_empty() {
            return Ok(Unfinished::default());
        }
        let set_aside = self
            .write(|c| {
                Box::pin(async move {
                    let sql = "DELETE FROM timers WHERE object IN (SELECT object FROM attempts WHERE count >= 3) RETURNING object";
                    Ok(sqlx::query_scalar(sql).fetch_all(c).await?)
                })
            })
            .await?;
        let last = begun.into_iter().filter(|(_, is_aside)| !is_aside).map(|(object, _)| object).collect();
        Ok(Unfinished { last, set_aside })
    }
}

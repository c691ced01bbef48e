//! Which object's alarms are being worked out in the background, so that a process which ends without a word leaves behind what it was
//! at. An object at which it ends again and again is set aside, and the others ring.

use serde::{Deserialize, Serialize};

use super::{Due, Ledger, LedgerError};

/// In `meta`; the value is an [`Attempt`].
const KEY: &str = "attempt";
/// Attempts in a row that did not end, after which no other is made.
const MOST: u32 = 3;
const FAULT: &str = "Reveille ended each time that it worked out its alarms: it does not ring until it is changed";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Attempt {
    object: i64,
    revision: i64,
    count: u32,
}

impl Ledger {
    /// Notes that the alarms of the object of `timer` are being worked out.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn begin_attempt(&self, timer: Due) -> Result<(), LedgerError> {
        let before = self.attempt().await?;
        let is_again = |before: &Attempt| (before.object, before.revision) == (timer.object, timer.revision);
        let count = before.filter(is_again).map_or(1, |before| before.count.saturating_add(1));
        let attempt = Attempt { object: timer.object, revision: timer.revision, count };
        let value = serde_json::to_string(&attempt).unwrap_or_default();
        self.write(move |c| {
            Box::pin(async move {
                let sql = "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
                sqlx::query(sql).bind(KEY).bind(value).execute(c).await?;
                Ok(())
            })
        })
        .await
    }

    /// Notes that they are no longer.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn end_attempt(&self) -> Result<(), LedgerError> {
        self.write(|c| {
            Box::pin(async move {
                sqlx::query("DELETE FROM meta WHERE key = ?").bind(KEY).execute(c).await?;
                Ok(())
            })
        })
        .await
    }

    /// Sets the object aside at which the process has ended several times in a row, which becomes one of its faults; where it was
    /// fewer times, the object is to be tried last. Returns its id, and whether it was set aside.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn set_failing_object_aside(&self) -> Result<Option<(i64, bool)>, LedgerError> {
        let Some(Attempt { object, revision, count }) = self.attempt().await? else { return Ok(None) };
        if count < MOST {
            return Ok(Some((object, false)));
        }
        self.write(move |c| {
            Box::pin(async move {
                let fault = "UPDATE objects SET faults = json_insert(coalesce(faults, '[]'), '$[#]', ?) WHERE id = ? AND revision = ?";
                sqlx::query(fault).bind(FAULT).bind(object).bind(revision).execute(&mut *c).await?;
                let timer = "DELETE FROM timers WHERE object = ? AND revision = ?";
                sqlx::query(timer).bind(object).bind(revision).execute(&mut *c).await?;
                sqlx::query("DELETE FROM meta WHERE key = ?").bind(KEY).execute(c).await?;
                Ok(())
            })
        })
        .await?;
        Ok(Some((object, true)))
    }

    async fn attempt(&self) -> Result<Option<Attempt>, LedgerError> {
        Ok(self.meta(KEY).await?.and_then(|value| serde_json::from_str(&value).ok()))
    }
}

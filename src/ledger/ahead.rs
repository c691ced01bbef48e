//! What was recorded while the clock was ahead, once it has been set back: a machine may start in the year 2099 until it
//! hears of the right time. What rang then has rung; what counts as missed although it is still to come has not.

use sqlx::SqliteConnection;

use super::{Ledger, LedgerError};
use crate::time::UtcMillis;

/// Clocks that are mended by less than this have done no harm, milliseconds.
const SLIGHT: i64 = 60_000;
/// Nothing is tried again later than this after now, unless the clock was ahead then: milliseconds.
const HOUR: i64 = 3_600_000;

/// With this the answer of a delivery begins that was given up because it had waited for too long.
pub const GAVE_UP: &str = "gave up after ";

const AHEAD: &str = "SELECT EXISTS (SELECT 1 FROM calendars WHERE looked_at > ?1)
    OR EXISTS (SELECT 1 FROM rings WHERE fired_at > ?1 AND due > ?1 AND state IN ('missed', 'suppressed'))
    OR EXISTS (SELECT 1 FROM deliveries WHERE state = 'failed' AND settled_at > ?1 AND instr(answer, ?2) = 1)";
const FORGET: &str = "DELETE FROM rings WHERE fired_at > ?1 AND due > ?1 AND state IN ('missed', 'suppressed')";
const LOOKS: &str = "UPDATE calendars SET looked_at = ?1 WHERE looked_at > ?1";
const RETRIES: &str = "UPDATE deliveries SET next_attempt = ?1 WHERE state = 'pending' AND next_attempt > ?2";
// What was given up because it was too old has not got so old.
const GIVEN_UP: &str = "UPDATE deliveries SET state = 'pending', next_attempt = ?1, settled_at = NULL
    WHERE state = 'failed' AND settled_at > ?1 AND instr(answer, ?2) = 1";

impl Ledger {
    /// Takes back what a clock that was ahead of `now` has recorded and what is wrong now: rings that count as missed and
    /// are still to come, deliveries that were given up, looks at calendars and retries that lie in the future. Says how many rings these were; none when
    /// there was nothing to take back. The objects are to be planned again then.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn take_back(&self, now: UtcMillis) -> Result<Option<u64>, LedgerError> {
        let ahead: bool =
            sqlx::query_scalar(AHEAD).bind(now.plus(SLIGHT).0).bind(GAVE_UP).fetch_one(self.readers()).await?;
        if !ahead {
            return Ok(None);
        }
        self.leases().end_after(now.plus(HOUR)).await;
        self.write(move |c| Box::pin(take_back(c, now))).await.map(Some)
    }
}

async fn take_back(c: &mut SqliteConnection, now: UtcMillis) -> Result<u64, LedgerError> {
    sqlx::query(LOOKS).bind(now.0).execute(&mut *c).await?;
    sqlx::query(GIVEN_UP).bind(now.0).bind(GAVE_UP).execute(&mut *c).await?;
    sqlx::query(RETRIES).bind(now.0).bind(now.plus(HOUR).0).execute(&mut *c).await?;
    Ok(sqlx::query(FORGET).bind(now.0).execute(c).await?.rows_affected())
}

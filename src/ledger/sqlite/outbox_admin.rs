//! Changing the outbox from outside the daemon: trying a delivery again, or cancelling it. Each is one conditional
//! update; changing nothing is a normal answer. A daemon that runs sees it at its next pass.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection as _, SqliteConnection};

use super::connection::connect;
use super::file::reject_hard_links;
use super::lossy_text::readable;
use super::migrate::check_is_current;
use super::state::state;
use crate::ledger::error::LedgerError;
use crate::ledger::model::{AdminOutcome, DeliveryId, DeliveryState, FiringState};
use crate::time::UtcMillis;

/// Changes the outbox of a ledger that a daemon may have open.
#[derive(Debug)]
pub struct OutboxAdmin {
    connection: SqliteConnection,
}

/// What is done to one delivery.
struct StateChange {
    sql: &'static str,
    /// The state that it gets (?5).
    to: DeliveryState,
    /// The state that its present one is compared with (?6).
    compared: DeliveryState,
}

const RETRY: StateChange = StateChange {
    sql: "UPDATE deliveries SET state = ?5, next_attempt = ?4, settled_at = NULL
    WHERE firing = ?1 AND sink = (SELECT id FROM sinks WHERE name = ?2) AND recipient = ?3 AND state != ?6",
    to: DeliveryState::Pending,
    compared: DeliveryState::Delivered,
};
const CANCEL: StateChange = StateChange {
    sql: "UPDATE deliveries SET state = ?5, settled_at = ?4
    WHERE firing = ?1 AND sink = (SELECT id FROM sinks WHERE name = ?2) AND recipient = ?3 AND state = ?6",
    to: DeliveryState::Cancelled,
    compared: DeliveryState::Pending,
};
const RETRY_ALL: &str = concat!(
    "UPDATE deliveries SET state = ",
    state!(Pending),
    ", next_attempt = ?1, settled_at = NULL WHERE state = ",
    state!(Failed),
    " OR (state = ",
    state!(Pending),
    " AND next_attempt > ?1 AND next_attempt IS NOT held_until)"
);
// Owed to a user of whom no address was known when it was fired, by a sink (?3, a JSON list of names) that writes to
// people. ?1 and ?2: of this firing and sink alone. ?5 to ?9 are the states pending, delivered, failed and cancelled,
// and fired.
const READDRESS: &str = "UPDATE OR IGNORE deliveries SET state = ?5, next_attempt = ?4, settled_at = NULL, recipient = own.address
    FROM (SELECT f.id AS firing, (SELECT json_extract(c.emails, '$[0]') FROM calendars c
            WHERE c.user = json_extract(f.notification, '$.userId') AND c.emails != '[]'
            LIMIT 1) AS address
        FROM firings f WHERE f.state = ?9 AND (?1 IS NULL OR f.id = ?1) AND json_valid(f.notification)
            AND f.id IN (SELECT firing FROM deliveries WHERE recipient = '' AND state != ?6)) AS own
    WHERE deliveries.firing = own.firing AND own.address IS NOT NULL AND recipient = ''
        AND (state IN (?7, ?5) OR (state = ?8 AND ?1 IS NOT NULL))
        AND sink IN (SELECT id FROM sinks WHERE (?2 IS NULL OR name = ?2) AND name IN (SELECT value FROM json_each(?3)))";
const STATE: &str = "SELECT CAST(state AS BLOB) FROM deliveries
    WHERE firing = ?1 AND sink = (SELECT id FROM sinks WHERE name = ?2) AND recipient = ?3";

impl OutboxAdmin {
    /// Opens the ledger at `path`, which must exist.
    ///
    /// # Errors
    /// As for [`Inspector::open`](super::inspect::Inspector::open).
    pub async fn open(path: &Path) -> Result<OutboxAdmin, LedgerError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(false)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true);
        reject_hard_links(path)?;
        let mut connection = connect(path, options).await?;
        check_is_current(path, &mut connection).await?;
        Ok(OutboxAdmin { connection })
    }

    /// Ends the work.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn close(self) -> Result<(), LedgerError> {
        Ok(self.connection.close().await?)
    }

    /// Lets a delivery that has failed, waits or was cancelled be tried at once. Of one without a recipient to a sink
    /// among `mail`, which writes to people, the recipient is now the first address of its user, where one is known.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn retry(&mut self, id: &DeliveryId, mail: &[&str], now: UtcMillis) -> Result<AdminOutcome, LedgerError> {
        if id.recipient.is_empty() && self.readdress(Some(id), mail, now).await? > 0 {
            return Ok(AdminOutcome::Changed);
        }
        self.update(RETRY, id, now).await
    }

    /// Lets every delivery that has failed or waits be tried at once, except those that quiet hours hold, with
    /// recipients as [`OutboxAdmin::retry`] has them; says how many.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn retry_all(&mut self, mail: &[&str], now: UtcMillis) -> Result<u64, LedgerError> {
        let waiting = sqlx::query(RETRY_ALL).bind(now.0).execute(&mut self.connection).await?.rows_affected();
        self.readdress(None, mail, now).await?;
        Ok(waiting)
    }

    async fn readdress(&mut self, id: Option<&DeliveryId>, mail: &[&str], now: UtcMillis) -> Result<u64, LedgerError> {
        let (firing, sink) = (id.map(|id| id.firing), id.map(|id| id.sink.clone()));
        let query =
            sqlx::query(READDRESS).bind(firing).bind(sink).bind(serde_json::json!(mail).to_string()).bind(now.0);
        let query = query.bind(DeliveryState::Pending).bind(DeliveryState::Delivered).bind(DeliveryState::Failed);
        let query = query.bind(DeliveryState::Cancelled).bind(FiringState::Fired);
        Ok(query.execute(&mut self.connection).await?.rows_affected())
    }

    /// Cancels a delivery that is pending. One that is being sent at this moment may still arrive.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn cancel(&mut self, id: &DeliveryId, now: UtcMillis) -> Result<AdminOutcome, LedgerError> {
        self.update(CANCEL, id, now).await
    }

    #[cfg(test)]
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    async fn update(
        &mut self,
        change: StateChange,
        id: &DeliveryId,
        now: UtcMillis,
    ) -> Result<AdminOutcome, LedgerError> {
        let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
        let StateChange { sql, to, compared } = change;
        let query = sqlx::query(sql).bind(id.firing).bind(id.sink.clone()).bind(id.recipient.clone()).bind(now.0);
        let query = query.bind(to).bind(compared);
        let changed = query.execute(&mut *transaction).await?.rows_affected();
        let state = sqlx::query_scalar(STATE).bind(id.firing).bind(id.sink.clone()).bind(id.recipient.clone());
        let state: Option<Vec<u8>> = state.fetch_optional(&mut *transaction).await?;
        transaction.commit().await?;
        let Some(state) = state.map(readable) else { return Ok(AdminOutcome::Unknown) };
        if changed > 0 {
            return Ok(AdminOutcome::Changed);
        }
        let damaged = || LedgerError::Corrupt(format!("the state of {id} is '{state}'"));
        DeliveryState::named(&state).map(AdminOutcome::Is).ok_or_else(damaged)
    }
}

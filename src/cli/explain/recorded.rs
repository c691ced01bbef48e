//! What the ledger knows of an object: where it comes from, what was recorded of its firings, and what became of their
//! deliveries.

use jiff::SignedDuration;
use serde::Serialize;

use crate::cli::common::{NotificationSummary, as_millis};
use crate::ledger::{DeliveryRow, DeliveryState, FiringRow, FiringState, FiringsOf, Inspector, LedgerError, ObjectRow};
use crate::time::UtcMillis;

/// So many firings are shown, the latest ones.
const HISTORY: i64 = 10;

/// An object as the ledger has it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ObjectFacts {
    pub(super) source: String,
    pub(super) calendar_href: String,
    pub(super) calendar_name: String,
    pub(super) user_id: String,
    pub(super) href: String,
    pub(super) etag: String,
    /// How many contents it has had here.
    pub(super) revision: i64,
    pub(super) last_modified: Option<String>,
    pub(super) first_seen: String,
    pub(super) last_synced_at: String,
    pub(super) next_due: Option<String>,
}

/// A firing that was recorded.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Recorded {
    #[serde(skip)]
    pub(super) object: i64,
    pub(super) firing: i64,
    pub(super) due: String,
    pub(super) fired_at: String,
    /// In milliseconds.
    #[serde(serialize_with = "as_millis")]
    pub(super) lateness: SignedDuration,
    pub(super) state: Option<FiringState>,
    pub(super) count: i64,
    pub(super) action: String,
    pub(super) recurrence_id: String,
    pub(super) deliveries: Vec<DeliveryFacts>,
}

/// What a firing owes to a sink.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeliveryFacts {
    pub(super) sink: String,
    pub(super) recipient: String,
    pub(super) state: Option<DeliveryState>,
    pub(super) attempts: i64,
    pub(super) next_attempt: Option<String>,
    pub(super) held_until: Option<String>,
    #[serde(rename = "answer")]
    pub(super) response: Option<String>,
    pub(super) settled_at: Option<String>,
}

/// Where an object is in its source, and what the ledger has of it.
pub(super) fn facts(row: &ObjectRow) -> ObjectFacts {
    ObjectFacts {
        source: row.calendar.source.clone(),
        calendar_href: row.calendar.info.href.clone(),
        calendar_name: row.calendar.info.name.clone(),
        user_id: row.calendar.info.user.clone(),
        href: row.href.clone(),
        etag: row.etag.clone(),
        revision: row.revision,
        last_modified: row.last_modified.map(|at| at.to_string()),
        first_seen: row.calendar.first_seen.to_string(),
        last_synced_at: row.calendar.last_synced_at.to_string(),
        next_due: row.due.map(|at| at.to_string()),
    }
}

/// The last firings that were recorded of `uid`, wherever in its user's calendars it was, the latest last; and what was
/// only counted of the object `row`.
pub(super) async fn history(
    inspector: &mut Inspector,
    row: &ObjectRow,
    uid: &str,
) -> Result<Vec<Recorded>, LedgerError> {
    let of = FiringsOf { object: row.id, uid, user: &row.calendar.info.user };
    let mut rows = inspector.firings(UtcMillis::MIN, Some(of), HISTORY).await?;
    rows.reverse();
    let mut history = Vec::with_capacity(rows.len());
    for row in rows {
        history.push(recorded(inspector, row).await?);
    }
    Ok(history)
}

/// The firing with that identity, if it was recorded.
pub(super) async fn of_identity(
    inspector: &mut Inspector,
    identity: [u8; 16],
) -> Result<Option<Recorded>, LedgerError> {
    match inspector.firing_with(identity).await? {
        Some(row) => Ok(Some(recorded(inspector, row).await?)),
        None => Ok(None),
    }
}

async fn recorded(inspector: &mut Inspector, row: FiringRow) -> Result<Recorded, LedgerError> {
    let deliveries = inspector.deliveries_of(row.id).await?;
    let seen = NotificationSummary::of(&row.notification);
    Ok(Recorded {
        object: row.object,
        firing: row.id,
        due: row.due.to_string(),
        fired_at: row.fired_at.to_string(),
        lateness: row.fired_at.duration_since(row.due),
        state: row.state,
        count: row.count,
        action: seen.action,
        recurrence_id: seen.recurrence_id,
        deliveries: deliveries.into_iter().map(delivery).collect(),
    })
}

fn delivery(row: DeliveryRow) -> DeliveryFacts {
    let pending = row.state == Some(DeliveryState::Pending);
    DeliveryFacts {
        held_until: row.is_held_until().map(|until| until.to_string()),
        sink: row.sink,
        recipient: row.recipient,
        state: row.state,
        attempts: row.attempts,
        next_attempt: pending.then(|| row.next_attempt.to_string()),
        response: row.response,
        settled_at: row.settled_at.map(|at| at.to_string()),
    }
}

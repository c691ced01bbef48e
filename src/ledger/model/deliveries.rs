//! The outbox: what firings owe to the sinks.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;

use crate::time::UtcMillis;

/// Where a delivery stands. It begins as pending and ends in one of the others, from which only a person takes it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// It is to be sent, for the first time or again.
    Pending,
    /// The sink has taken it.
    Delivered,
    /// It was given up.
    Failed,
    /// A person has cancelled it.
    Cancelled,
}

impl DeliveryState {
    /// All states that a delivery can have.
    pub const ALL: [DeliveryState; 4] =
        [DeliveryState::Pending, DeliveryState::Delivered, DeliveryState::Failed, DeliveryState::Cancelled];

    /// The name of the state, in the ledger and in what commands print.
    pub fn as_str(self) -> &'static str {
        match self {
            DeliveryState::Pending => "pending",
            DeliveryState::Delivered => "delivered",
            DeliveryState::Failed => "failed",
            DeliveryState::Cancelled => "cancelled",
        }
    }

    /// The state with this name; none if no state has it.
    pub fn named(name: &str) -> Option<DeliveryState> {
        DeliveryState::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

impl fmt::Display for DeliveryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A sink that is no longer configured and is owed something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrphanedSink {
    /// The name.
    pub name: String,
    /// How many deliveries are pending.
    pub pending: i64,
}

/// What names a delivery among those of its sink.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeliveryKey {
    /// The firing's id in the ledger.
    pub firing: i64,
    /// Empty where the sink has no recipients.
    pub recipient: String,
}

/// A delivery that its claimer may send until the lease ends.
#[derive(Clone, Debug)]
pub struct ClaimedDelivery {
    /// The firing's id in the ledger.
    pub firing: i64,
    /// The bare address for sinks that send one message a recipient; else empty.
    pub recipient: String,
    /// The `CalendarAlarm` object as it is stored: one line, all keys.
    pub notification: Arc<str>,
    /// Since when it is owed: when its firing was recorded, or quiet hours that held it were over.
    pub fired_at: UtcMillis,
    /// Attempts that were settled before this one.
    pub attempts: u32,
    /// Of those, attempts that may have delivered it.
    pub unknown: u32,
}

impl ClaimedDelivery {
    /// What names it among the deliveries of its sink.
    pub fn key(&self) -> DeliveryKey {
        DeliveryKey { firing: self.firing, recipient: self.recipient.clone() }
    }
}

/// What a claim came to.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    /// What may be sent now.
    pub deliveries: Vec<ClaimedDelivery>,
    /// How many were given up, because what is to be sent, or to whom, is damaged.
    pub given_up: u64,
}

/// With this the response of a delivery begins that was given up because it had waited for too long.
pub const GAVE_UP: &str = "gave up after ";

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextState {
    /// It was delivered.
    Delivered,
    /// To be tried again, not before `at`.
    Retry {
        /// What the sink said.
        response: String,
        /// When it may be tried again.
        at: UtcMillis,
    },
    /// It waits for something else than its time, and that was no attempt of its own.
    Waits {
        /// What the sink said.
        response: String,
    },
    /// Not to be tried again.
    Failed {
        /// What the sink said.
        response: String,
    },
}

/// The end of one attempt at one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Id of its firing.
    pub firing: i64,
    /// The address that it goes to; empty for a sink without recipients.
    pub recipient: String,
    /// What becomes of it.
    pub next_state: NextState,
    /// It is unknown whether the attempt delivered it.
    pub unknown: bool,
    /// The sink may have been asked to deliver it. False when a limit, or a sink that is down, was in the way.
    pub tried: bool,
}

impl Settlement {
    /// What names its delivery among those of the sink.
    pub fn key(&self) -> DeliveryKey {
        DeliveryKey { firing: self.firing, recipient: self.recipient.clone() }
    }
}

/// What names a delivery: `FIRING/SINK`, or `FIRING/SINK/RECIPIENT` for a sink that sends one message a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryId {
    /// Id of its firing.
    pub firing: i64,
    /// Name of the sink.
    pub sink: String,
    /// Empty where the sink has no recipients.
    pub recipient: String,
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.firing, self.sink)?;
        if self.recipient.is_empty() { Ok(()) } else { write!(f, "/{}", self.recipient) }
    }
}

impl FromStr for DeliveryId {
    type Err = String;

    fn from_str(text: &str) -> Result<DeliveryId, String> {
        let wrong =
            || format!("'{text}' is no delivery: write FIRING/SINK or FIRING/SINK/RECIPIENT, as deliveries lists them");
        let (firing, rest) = text.split_once('/').ok_or_else(wrong)?;
        let (sink, recipient) = rest.split_once('/').unwrap_or((rest, ""));
        if sink.is_empty() {
            return Err(wrong());
        }
        let firing = firing.parse().map_err(|_| wrong())?;
        Ok(DeliveryId { firing, sink: sink.to_owned(), recipient: recipient.to_owned() })
    }
}

/// The outcome of a change to a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminOutcome {
    /// It was changed.
    Changed,
    /// It is in this state, from which it cannot be.
    Is(DeliveryState),
    /// There is no such delivery.
    Unknown,
}

//! What the ledger's operations take and return. Nothing here knows how a database keeps it.

use std::fmt;

use serde::Serialize;

/// What became of a firing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FiringState {
    /// It was announced.
    Fired,
    /// It was found too late to be announced.
    Missed,
    /// It was one too many in its hour.
    Suppressed,
}

impl FiringState {
    /// All states that a firing can have.
    pub const ALL: [FiringState; 3] = [FiringState::Fired, FiringState::Missed, FiringState::Suppressed];

    /// The name of the state, in the ledger and in what commands print.
    pub fn as_str(self) -> &'static str {
        match self {
            FiringState::Fired => "fired",
            FiringState::Missed => "missed",
            FiringState::Suppressed => "suppressed",
        }
    }

    /// The state with this name; none if no state has it.
    pub fn named(name: &str) -> Option<FiringState> {
        FiringState::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

impl fmt::Display for FiringState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

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

//! Timers, firings and the history.

use std::fmt;

use serde::Serialize;

use crate::time::UtcMillis;

/// A timer. Timers come in the order of when they are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timer {
    /// When it is due.
    pub due: UtcMillis,
    /// Id of its object.
    pub object: i64,
    /// Counts the contents that the object has had.
    pub revision: i64,
}

/// A place in the order of timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerCursor {
    /// When it is due.
    pub due: UtcMillis,
    /// Id of its object.
    pub object: i64,
}

impl TimerCursor {
    /// Before all timers.
    pub const START: TimerCursor = TimerCursor { due: UtcMillis::MIN, object: i64::MIN };

    /// Right after `timer`.
    pub fn after(timer: &Timer) -> TimerCursor {
        TimerCursor { due: timer.due, object: timer.object.saturating_add(1) }
    }
}

/// What became of a firing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FiringState {
    /// Its notification goes to the sinks.
    Fired,
    /// It was found too late for a notification.
    Missed,
    /// It was one too many in its hour.
    Suppressed,
    /// It is no alarm but a store event, which goes to the sinks.
    Event,
}

impl FiringState {
    /// All states that a firing can have.
    pub const ALL: [FiringState; 4] =
        [FiringState::Fired, FiringState::Missed, FiringState::Suppressed, FiringState::Event];

    /// The name of the state, in the ledger and in what commands print.
    pub fn as_str(self) -> &'static str {
        match self {
            FiringState::Fired => "fired",
            FiringState::Missed => "missed",
            FiringState::Suppressed => "suppressed",
            FiringState::Event => "event",
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

/// Where a firing goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// The sink's id in the ledger.
    pub sink: i64,
    /// The address, for sinks that send one message a recipient; else empty.
    pub recipient: String,
    /// When it may be delivered; none: at once.
    pub not_before: Option<UtcMillis>,
}

/// A firing to be recorded, unless one of the same identity is.
#[derive(Clone, Debug)]
pub struct NewFiring {
    /// The identity (rule 21).
    pub identity: [u8; 16],
    /// Id of its calendar.
    pub calendar: i64,
    /// Id of its object; 0 for a store event.
    pub object: i64,
    /// When it is due; when it was found, for a store event.
    pub due: UtcMillis,
    /// What became of the alarm.
    pub state: FiringState,
    /// How many alarm instances it stands for: more than one only if it is missed or suppressed.
    pub count: i64,
    /// The notification as JSON; empty where it was not fired.
    pub notification: String,
    /// Whom it goes to.
    pub routes: Vec<Route>,
}

/// What a due object does: its firings, and when it is due again.
#[derive(Clone, Debug)]
pub struct DueObject {
    /// The timer that it was due by.
    pub timer: Timer,
    /// What it fires.
    pub firings: Vec<NewFiring>,
    /// When its next timer is due.
    pub next: Option<UtcMillis>,
}

/// What a transaction recorded of firings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FireStats {
    /// Alarms that fired.
    pub fired: u64,
    /// Alarms that were found too late.
    pub missed: u64,
    /// Alarms above the limit of their hour.
    pub suppressed: u64,
    /// Firings that the ledger held already.
    pub already: u64,
    /// Deliveries that the new firings owe.
    pub deliveries: u64,
}

impl FireStats {
    /// Counts the alarms of a new firing.
    pub fn count(&mut self, firing: &NewFiring) {
        let alarms = match firing.state {
            FiringState::Fired => &mut self.fired,
            FiringState::Missed => &mut self.missed,
            FiringState::Suppressed => &mut self.suppressed,
            FiringState::Event => return,
        };
        *alarms = alarms.saturating_add(u64::try_from(firing.count).unwrap_or(0));
    }
}

/// An alarm that a transaction has recorded as fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FiredAlarm {
    /// When it was due.
    pub due: UtcMillis,
    /// Id of its object.
    pub object: i64,
}

/// What a transaction has recorded of alarms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FireOutcome {
    /// How many there are.
    pub stats: FireStats,
    /// Those that fired, and that the ledger did not hold already.
    pub fired: Vec<FiredAlarm>,
}

impl FireOutcome {
    /// This and what `other` recorded in the same transaction.
    #[must_use]
    pub fn and(mut self, other: FireOutcome) -> FireOutcome {
        let FireStats { fired, missed, suppressed, already, deliveries } = other.stats;
        self.stats = FireStats {
            fired: self.stats.fired.saturating_add(fired),
            missed: self.stats.missed.saturating_add(missed),
            suppressed: self.stats.suppressed.saturating_add(suppressed),
            already: self.stats.already.saturating_add(already),
            deliveries: self.stats.deliveries.saturating_add(deliveries),
        };
        self.fired.extend(other.fired);
        self
    }
}

/// Where a walk through the history has come to: the last firing that it has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryCursor {
    /// When that was recorded.
    pub fired_at: UtcMillis,
    /// Id of its firing.
    pub firing: i64,
}

impl HistoryCursor {
    /// Before all firings.
    pub const START: HistoryCursor = HistoryCursor { fired_at: UtcMillis::MIN, firing: 0 };
}

/// What a step of a walk through the history came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// How many firings were forgotten.
    pub firings: u64,
    /// Where to go on; none: the walk is over.
    pub next: Option<HistoryCursor>,
}

/// A firing that an earlier version has recorded.
#[derive(Clone, Debug)]
pub struct OldFiring {
    /// Id in the ledger.
    pub id: i64,
    /// Its object's id at that time.
    pub object: i64,
    /// The instant of the alarm.
    pub due: UtcMillis,
    /// The notification as JSON; empty for counts of suppressed firings.
    pub notification: String,
}

/// The identity that a firing of an earlier version gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewIdentity {
    /// Id of its firing.
    pub firing: i64,
    /// The identity that it has now (rule 21).
    pub identity: [u8; 16],
}

/// A ledger that was put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// When the copy was made, where it says so.
    pub backed_up_at: Option<UtcMillis>,
    /// Until when everything counts as fired.
    pub fired_until: UtcMillis,
    /// Deliveries that were pending in the copy; they are `failed` now.
    pub given_up: u64,
}

/// Until when everything counts as fired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FiredUntil {
    /// None: the ledger is not one that was put back.
    pub at: Option<UtcMillis>,
    /// What putting it back by hand came to, which was seen just now.
    pub restored: Option<Restored>,
}

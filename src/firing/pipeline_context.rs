//! What the stages of a daemon share.

use super::wakeup::Wakeup;
use crate::clock::Clock;
use crate::delivery::new_deliveries::NewDeliveries;
use crate::ledger::{FireStats, Ledger};
use crate::metrics::{AlarmOutcome, Metrics};

/// What the ingest and the wheel of one daemon share. Clones share it.
#[derive(Clone, Debug)]
pub struct PipelineContext {
    /// What survives.
    pub ledger: Ledger,
    /// What tells the time.
    pub clock: Clock,
    /// Wakes the wheel.
    pub wakeup: Wakeup,
    /// Wakes the workers.
    pub new_deliveries: NewDeliveries,
    /// Counts what is done.
    pub metrics: Metrics,
}

impl PipelineContext {
    /// For one daemon that works on `ledger` by `clock`.
    pub fn new(ledger: Ledger, clock: Clock) -> PipelineContext {
        PipelineContext {
            ledger,
            clock,
            wakeup: Wakeup::default(),
            new_deliveries: NewDeliveries::default(),
            metrics: Metrics::default(),
        }
    }

    /// Counts and announces what a commit has recorded.
    pub fn recorded(&self, recorded: FireStats) {
        self.metrics.alarms(AlarmOutcome::Fired, recorded.fired);
        self.metrics.alarms(AlarmOutcome::Missed, recorded.missed);
        self.metrics.alarms(AlarmOutcome::Suppressed, recorded.suppressed);
        self.new_deliveries.announce(recorded);
    }
}

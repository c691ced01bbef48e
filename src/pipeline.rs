//! What ingest and firing share: they are the two stages that record firings, so they have one ledger, one clock and
//! one way to let others know of a commit. Neither stage owns it, and it does not know either of them.

use std::sync::Arc;

use jiff::SignedDuration;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::delivery::new_deliveries::NewDeliveries;
use crate::ledger::{FireOutcome, FiredAlarm, Ledger};
use crate::metrics::{AlarmOutcome, Metrics};
use crate::time::{UtcMillis, whole_millis};

/// An alarm that fires more than this after it was due is called late in the log.
const LATE: SignedDuration = SignedDuration::from_secs(2);
/// Late alarms of one commit that are logged one by one.
const LOGGED: usize = 200;

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

    /// Counts what a commit at `now` has recorded, and announces it to the workers.
    pub fn count_and_announce(&self, outcome: FireOutcome, now: UtcMillis) {
        let FireOutcome { stats, fired } = outcome;
        self.metrics.alarms(AlarmOutcome::Fired, stats.fired);
        self.metrics.alarms(AlarmOutcome::Missed, stats.missed);
        self.metrics.alarms(AlarmOutcome::Suppressed, stats.suppressed);
        fired.iter().for_each(|alarm| self.metrics.fired(alarm.due, now));
        self.new_deliveries.announce(stats);
        log_late(fired, now);
    }
}

/// Wakes the wheel when a timer may have become earlier. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Wakeup {
    notify: Arc<Notify>,
}

impl Wakeup {
    /// Timers have changed: the wheel reads the next one again.
    pub fn wake(&self) {
        self.notify.notify_one();
    }

    /// Resolves after [`Wakeup::wake`], at once where that was called since the last time.
    pub async fn woken(&self) {
        self.notify.notified().await;
    }
}

/// Logs those of the alarms that `fired` at `now` that are late: a user will ask why.
fn log_late(mut fired: Vec<FiredAlarm>, now: UtcMillis) {
    fired.retain(|alarm| alarm.due.saturating_add(LATE) < now);
    for FiredAlarm { due, object } in fired.iter().take(LOGGED) {
        let late_ms = whole_millis(now.duration_since(*due));
        tracing::info!(firing.due = %due, firing.late_ms = late_ms, object.id = object, "an alarm fires late");
    }
    let more = fired.len().saturating_sub(LOGGED);
    if let Some(FiredAlarm { due: oldest, .. }) = fired.iter().min().filter(|_| more > 0) {
        tracing::info!(alarms = fired.len(), %oldest, "more alarms fire late than are logged one by one");
    }
}

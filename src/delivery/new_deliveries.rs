//! How the workers learn that the ledger has something to deliver.

use tokio::sync::watch;

use crate::ledger::FireStats;

/// Announces new deliveries to the workers. Clones share it.
#[derive(Clone, Debug)]
pub struct NewDeliveries {
    announced: watch::Sender<()>,
}

impl Default for NewDeliveries {
    fn default() -> NewDeliveries {
        NewDeliveries { announced: watch::Sender::new(()) }
    }
}

impl NewDeliveries {
    /// Announces what a commit to the ledger has recorded.
    pub fn announce(&self, recorded: FireStats) {
        if recorded.deliveries > 0 {
            self.wake_workers();
        }
        if recorded != FireStats::default() {
            let FireStats { fired, missed, suppressed, already, deliveries } = recorded;
            tracing::debug!(
                alarms.fired = fired,
                alarms.missed = missed,
                alarms.suppressed = suppressed,
                firings.already = already,
                deliveries.new = deliveries,
                "firings were recorded"
            );
        }
    }

    /// Makes each worker read the outbox.
    pub fn wake_workers(&self) {
        self.announced.send_replace(());
    }

    /// What a worker waits on: it changes with each announcement from now on.
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.announced.subscribe()
    }
}

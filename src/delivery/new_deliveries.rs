//! How those that record firings tell the workers that there is something to deliver.

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
        let FireStats { firings, already, deliveries } = recorded;
        if deliveries > 0 {
            self.wake_workers();
        }
        if firings > 0 || already > 0 || deliveries > 0 {
            tracing::debug!(firings.new = firings, firings.already = already, deliveries.new = deliveries, "fired");
        }
    }

    /// Makes each worker look into the outbox.
    pub fn wake_workers(&self) {
        self.announced.send_replace(());
    }

    /// What a worker waits on: it changes with each announcement from now on.
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.announced.subscribe()
    }
}

//! Leases: which deliveries are being sent, and until when at the longest. They are in memory, not in the file: whoever
//! holds the ledger is the only one who sends from it, and when its process ends nothing of it is being sent any more.
//! So a claim costs no commit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ledger::model::DeliveryKey;
use crate::time::UtcMillis;

/// The leases of one sink: until when each lasts.
pub type Held = HashMap<DeliveryKey, UtcMillis>;

/// The leases of all sinks. Who claims keeps those of its sink locked until it has read and leased: what is settled
/// meanwhile is given back only then, so that no one takes what was read before for something that is still to be sent.
#[derive(Debug, Default)]
pub struct Leases {
    sinks: Mutex<HashMap<i64, Arc<tokio::sync::Mutex<Held>>>>,
}

impl Leases {
    /// Those of `sink`.
    pub fn of(&self, sink: i64) -> Arc<tokio::sync::Mutex<Held>> {
        self.all().entry(sink).or_default().clone()
    }

    /// Ends those that last longer than `latest`, which only a clock that was ahead can have given out.
    pub async fn end_after(&self, latest: UtcMillis) {
        let sinks: Vec<_> = self.all().values().cloned().collect();
        for held in sinks {
            held.lock().await.retain(|_, until| *until <= latest);
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<i64, Arc<tokio::sync::Mutex<Held>>>> {
        self.sinks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

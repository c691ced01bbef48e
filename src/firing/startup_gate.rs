//! What holds the wheel back at the start.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::pipeline::Wakeup;

/// Holds back what was overdue when the daemon started, until every source has been synced once: a sync may say that an
/// alarm no longer stands. Closed at first. Clones share it.
#[derive(Clone, Debug)]
pub struct StartupGate {
    is_open: Arc<AtomicBool>,
    wakeup: Wakeup,
}

impl StartupGate {
    /// A closed gate; opening it wakes the wheel by `wakeup`.
    pub fn new(wakeup: Wakeup) -> StartupGate {
        StartupGate { is_open: Arc::default(), wakeup }
    }

    /// Lets what was due before the start fire. It stays open.
    pub fn open(&self) {
        self.is_open.store(true, Ordering::SeqCst);
        self.wakeup.wake();
    }

    /// Whether what was due before the start may fire.
    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::SeqCst)
    }
}

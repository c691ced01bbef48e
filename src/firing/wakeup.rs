//! What wakes the wheel, and what holds it back at the start.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

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
    pub(super) async fn woken(&self) {
        self.notify.notified().await;
    }
}

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

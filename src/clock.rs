//! The only place that asks what time it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

use crate::time::UtcMillis;

/// Where a part of the program takes the present moment from. Clones share one clock.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's wall clock.
    System,
    /// A clock that stands still until it is moved: `--at`, and tests.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that shows `at` until [`Clock::set`] moves it.
    pub fn manual(at: UtcMillis) -> Clock {
        Clock::Manual(Arc::new(AtomicI64::new(at.0)))
    }

    /// The present moment.
    #[allow(clippy::disallowed_methods, reason = "this is the place that may ask")]
    pub fn now(&self) -> UtcMillis {
        match self {
            Clock::System => {
                let millis = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
                    Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
                    Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |m| -m),
                };
                UtcMillis(millis)
            }
            Clock::Manual(at) => UtcMillis(at.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock; a system clock stays as it is.
    pub fn set(&self, to: UtcMillis) {
        if let Clock::Manual(at) = self {
            at.store(to.0, Ordering::SeqCst);
        }
    }
}

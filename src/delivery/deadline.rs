//! The end of all sending: from a stop on, sinks know until when they may send. What is under way by then is given up
//! and what was not begun is left, so that what was sent can still be settled.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// What takes time and cannot be undone half-way (a mail) is not begun any more this long before the end.
const LEAD: Duration = Duration::from_secs(3);

/// Until when sending is allowed; without a limit until it is set. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct SendDeadline(watch::Sender<Option<Instant>>);

impl SendDeadline {
    /// Sending ends at `instant`.
    pub fn set(&self, instant: Instant) {
        self.0.send_replace(Some(instant));
    }

    /// Whether it has come, or is so near that nothing should be begun.
    pub fn is_near(&self) -> bool {
        self.0.borrow().is_some_and(|instant| Instant::now() + LEAD >= instant)
    }

    /// Resolves when it has come.
    pub async fn reached(&self) {
        let mut set = self.0.subscribe();
        let instant = set.wait_for(Option::is_some).await.ok().and_then(|set| *set);
        match instant {
            Some(instant) => sleep_until(instant).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_comes_when_it_was_set_to_and_is_near_before() {
        let (deadline, began) = (SendDeadline::default(), Instant::now());
        let waits = tokio::spawn({
            let deadline = deadline.clone();
            async move {
                deadline.reached().await;
                Instant::now()
            }
        });
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(!deadline.is_near());
        deadline.set(began + Duration::from_secs(10));
        assert!(!deadline.is_near());
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(deadline.is_near() && !waits.is_finished());
        assert_eq!(waits.await.unwrap(), began + Duration::from_secs(10));
        assert!(deadline.is_near());
    }
}

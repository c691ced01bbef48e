//! The end of the hints of one source that its task has: it joins those that wait, and holds them back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use super::error::HintError;

/// Hints for one source that are accepted at once.
const BURST: u32 = 20;
/// And then one per so much time.
const EVERY: Duration = Duration::from_millis(100);

/// How a sync went that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncSummary {
    /// Objects that were new, changed or gone.
    pub changes: usize,
    /// What could not be read.
    pub error: Option<String>,
}

/// Gets the hints for one source. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct HintReceiver(Arc<PendingHints>);

#[derive(Debug, Default)]
struct PendingHints {
    pending: Mutex<Pending>,
    /// Something was added to `pending`.
    added: Notify,
}

/// What no sync has begun for.
#[derive(Debug, Default)]
struct Pending {
    wake: Wake,
    /// A hint waits until then; none: it does not wait.
    held_until: Option<Instant>,
    /// The hints of a burst count as spread until then.
    spread_until: Option<Instant>,
}

/// What a sync that begins is for, besides its time.
#[derive(Debug, Default)]
pub struct Wake {
    /// There was a hint.
    pub is_hinted: bool,
    /// An administrator has asked for it.
    pub is_requested: bool,
    /// Who wants to know how it goes.
    waiting: Vec<oneshot::Sender<SyncSummary>>,
}

impl Wake {
    /// Tells all who wait for it how the sync went.
    pub fn finish(self, summary: &SyncSummary) {
        for waiting in self.waiting {
            // An error means that the asker has gone.
            let _ = waiting.send(summary.clone());
        }
    }
}

impl HintReceiver {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.0.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a hint.
    pub fn hint(&self) {
        let mut pending = self.pending();
        (pending.wake.is_hinted, pending.held_until) = (true, None);
        drop(pending);
        self.0.added.notify_waiters();
    }

    /// Adds a hint for which no sync begins before `until`, unless another hint waits already.
    pub(super) fn hint_at(&self, until: Instant) {
        let mut pending = self.pending();
        if !pending.wake.is_hinted {
            (pending.wake.is_hinted, pending.held_until) = (true, Some(until));
        }
        drop(pending);
        self.0.added.notify_waiters();
    }

    /// Adds a hint that comes at `now`.
    ///
    /// # Errors
    /// [`HintError::TooMany`] when its sender is to send fewer; it is added all the same.
    pub fn counted_hint(&self, now: Instant) -> Result<(), HintError> {
        self.hint();
        let mut pending = self.pending();
        let spread_until = pending.spread_until.unwrap_or(now).max(now) + EVERY;
        let retry_after = spread_until.saturating_duration_since(now + EVERY * BURST);
        if !retry_after.is_zero() {
            return Err(HintError::TooMany { retry_after });
        }
        pending.spread_until = Some(spread_until);
        Ok(())
    }

    /// Adds a request of which nobody wants to know how it goes.
    pub fn request_unanswered(&self) {
        self.pending().wake.is_requested = true;
        self.0.added.notify_waiters();
    }

    /// Adds a request. What is returned tells how the sync went.
    pub(super) fn request(&self) -> oneshot::Receiver<SyncSummary> {
        let (sender, receiver) = oneshot::channel();
        let mut pending = self.pending();
        pending.wake.is_requested = true;
        pending.wake.waiting.push(sender);
        drop(pending);
        self.0.added.notify_waiters();
        receiver
    }

    /// Resolves at `not_before`, or later once there is something to sync for. Unless `heeds_hints`, that is a request
    /// only. Dropped, it loses nothing.
    pub async fn due(&self, not_before: Instant, heeds_hints: bool) {
        loop {
            let added = self.0.added.notified();
            let mut added = std::pin::pin!(added);
            added.as_mut().enable();
            let due = {
                let pending = self.pending();
                let hint = Some(pending.held_until.map_or(not_before, |until| until.max(not_before)));
                let hint = hint.filter(|_| heeds_hints && pending.wake.is_hinted);
                if pending.wake.is_requested { Some(not_before) } else { hint }
            };
            let Some(due) = due else {
                added.await;
                continue;
            };
            tokio::select! {
                biased;
                () = sleep_until(due) => return,
                // What was added may be due sooner.
                () = added => {}
            }
        }
    }

    /// Takes what there is to sync for: hints that come from now on are for another sync.
    pub fn take(&self) -> Wake {
        let mut pending = self.pending();
        pending.held_until = None;
        std::mem::take(&mut pending.wake)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn hints_are_joined_and_held_back_and_requests_are_answered() {
        let receiver = HintReceiver::default();
        let began = Instant::now();
        let second = began + Duration::from_secs(1);
        (0..9).for_each(|_| receiver.hint());
        receiver.due(second, true).await;
        assert_eq!(began.elapsed(), Duration::from_secs(1));
        assert!(receiver.take().is_hinted);
        assert!(!receiver.take().is_hinted, "nine hints are one");
        receiver.hint();
        let soon = tokio::time::timeout(Duration::from_secs(9), receiver.due(began, false)).await;
        assert!(soon.is_err(), "a hint waits where only requests count");
        let answer = receiver.request();
        receiver.due(began, false).await;
        let wake = receiver.take();
        assert!(wake.is_hinted && wake.is_requested);
        wake.finish(&SyncSummary { changes: 3, error: None });
        assert_eq!(answer.await.unwrap().changes, 3);
        let other = receiver.request();
        drop(receiver);
        assert!(other.await.is_err(), "a source that is gone answers none");
    }
}

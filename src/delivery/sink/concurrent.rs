//! What sinks share that send one message for each delivery: each message has a task of its own, up to a limit, and its
//! outcome is settled when that ends. One that takes long delays none of the others.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{Mutex, Semaphore};
use tracing::Instrument as _;

use super::{ClaimedDelivery, Finished, Outcome};
use crate::delivery::deadline::SendDeadline;

/// What is said of a message whose task panicked.
const BROKEN_OFF: &str = "sending it was broken off by an error in Reveille; please report it";

/// The way in which one message is sent.
pub trait SendOne: Debug + Send + Sync + 'static {
    /// Sends `delivery`, and says how that ended. It keeps its own time limit, and ends at the end of all sending.
    fn send_one(&self, delivery: &ClaimedDelivery) -> impl Future<Output = Outcome> + Send;
}

/// Sends messages concurrently, within a limit.
#[derive(Debug)]
pub struct Concurrent<S> {
    sender: Arc<S>,
    /// A permit for each message that may be sent at the same time.
    free: Arc<Semaphore>,
    deadline: SendDeadline,
    finished: (UnboundedSender<Finished>, Mutex<UnboundedReceiver<Finished>>),
}

impl<S: SendOne> Concurrent<S> {
    /// Sends with `sender` at most `most` messages at a time, and begins none when `deadline` is near.
    pub fn new(sender: S, most: usize, deadline: SendDeadline) -> Concurrent<S> {
        let (report, reports) = mpsc::unbounded_channel();
        Concurrent {
            sender: Arc::new(sender),
            free: Arc::new(Semaphore::new(most.max(1))),
            deadline,
            finished: (report, Mutex::new(reports)),
        }
    }

    /// The way in which one message is sent.
    pub fn sender(&self) -> &S {
        &self.sender
    }

    /// How many more messages may be sent now.
    pub fn free(&self) -> usize {
        self.free.available_permits()
    }

    /// Begins to send as many of `deliveries` as may be sent now. They are [`Outcome::InFlight`], and the others
    /// [`Outcome::NotAttempted`].
    pub fn begin(&self, deliveries: &[ClaimedDelivery]) -> Vec<Outcome> {
        deliveries.iter().map(|delivery| self.begin_one(delivery)).collect()
    }

    fn begin_one(&self, delivery: &ClaimedDelivery) -> Outcome {
        if self.deadline.is_near() {
            return Outcome::NotAttempted;
        }
        let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() else { return Outcome::NotAttempted };
        let span = tracing::debug_span!("delivery", firing.id = delivery.firing);
        let (firing, recipient) = (delivery.firing, delivery.recipient.clone());
        let (sender, delivery) = (Arc::clone(&self.sender), delivery.clone());
        let sending = tokio::spawn(async move { sender.send_one(&delivery).await }.instrument(span));
        let report = self.finished.0.clone();
        tokio::spawn(async move {
            let outcome = sending.await.unwrap_or_else(|_| Outcome::retry(BROKEN_OFF));
            // Whoever learns of the outcome may send the next one.
            drop(permit);
            let _ = report.send(Finished { firing, recipient, outcome });
        });
        Outcome::InFlight
    }

    /// Waits until messages have ended, and returns their outcomes.
    pub async fn next_finished(&self) -> Vec<Finished> {
        let mut reports = self.finished.1.lock().await;
        let mut finished = Vec::new();
        let mut report = reports.recv().await;
        while let Some(one) = report {
            finished.push(one);
            report = reports.try_recv().ok();
        }
        finished
    }
}

//! Sends through a sink of any kind: a driver with what every sink has.

use std::time::Duration;

use super::{ClaimedDelivery, Finished, Outcome, SinkConfig, SinkContext, SinkDriver, SinkError, Transport};
use crate::delivery::gate::FileStamps;

/// A configured sink of any kind. Shared by all who send through it.
#[derive(Debug)]
pub struct Sink {
    name: String,
    timeout: Duration,
    driver: Box<dyn SinkDriver>,
}

impl Sink {
    /// Makes the sink that `config` describes. Nothing is connected or opened yet: what is absent now may be there when
    /// it is needed.
    ///
    /// # Errors
    /// When the settings themselves cannot work: a From that is no address.
    pub fn open(config: &SinkConfig, context: &SinkContext) -> Result<Sink, SinkError> {
        let driver = config.settings.open(config, context)?;
        Ok(Sink { name: config.name.clone(), timeout: config.timeout, driver })
    }

    /// As [`SinkDriver::ready`].
    ///
    /// # Errors
    /// When files that it needs are not there, or cannot be used.
    pub fn ready(&self) -> Result<(), SinkError> {
        self.driver.ready()
    }

    /// As [`SinkDriver::check`].
    ///
    /// # Errors
    /// When it could not take an alarm now.
    pub async fn check(&self) -> Result<String, SinkError> {
        self.driver.check().await
    }

    /// Whether what it writes reaches no one, which counts as delivered.
    pub fn discards_output(&self) -> bool {
        self.driver.discards_output()
    }

    /// Sends one delivery and waits for its outcome, however long that takes. For a sink that nothing else sends
    /// through.
    pub async fn send_one(&self, delivery: ClaimedDelivery) -> Outcome {
        let mut outcome = self.send(&[delivery]).await.pop().unwrap_or(Outcome::NotAttempted);
        while outcome == Outcome::InFlight {
            outcome = self.finished().await.pop().map_or(outcome, |finished| finished.outcome);
        }
        outcome
    }

    /// Reopens its file (SIGHUP, after a log rotation); sinks without one do nothing.
    pub fn reopen(&self) {
        self.driver.reopen();
    }
}

impl Transport for Sink {
    fn name(&self) -> &str {
        &self.name
    }

    fn batch(&self) -> usize {
        self.driver.batch()
    }

    fn send_timeout(&self) -> Duration {
        self.driver.send_timeout().unwrap_or(self.timeout)
    }

    fn files(&self) -> FileStamps {
        self.driver.files()
    }

    async fn send(&self, deliveries: &[ClaimedDelivery]) -> Vec<Outcome> {
        self.driver.send(deliveries).await
    }

    async fn finished(&self) -> Vec<Finished> {
        self.driver.finished().await
    }
}

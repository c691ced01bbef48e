//! Answers that come by way of links in notifications, given with the configuration as it is at that moment.

use std::pin::Pin;

use crate::admin::AnswerTaker;
use crate::answer::{AnswerFailure, AnsweredAlarm, Answerer, FiredAlarmText, FiringName};
use crate::calendar::answer::AlarmAnswer;
use crate::calendar::zone::Zones;
use crate::clock::Clock;
use crate::config::Config;
use crate::hints::{HintRegistry, HintTarget};

use super::source_set::ReadConfig;

/// Gives answers.
#[derive(Clone)]
pub(super) struct Answering {
    pub read_config: ReadConfig,
    pub zones: Zones,
    pub clock: Clock,
    pub hints: HintRegistry,
}

impl Answering {
    async fn config(&self) -> Result<Config, AnswerFailure> {
        let read = self.read_config.clone();
        let config = tokio::task::spawn_blocking(move || read()).await;
        let config = config.map_err(|error| AnswerFailure::Source(error.to_string()))?;
        config.map_err(|error| AnswerFailure::Source(format!("the configuration cannot be read: {error}")))
    }

    async fn give(&self, identity: [u8; 16], answer: AlarmAnswer) -> Result<AnsweredAlarm, AnswerFailure> {
        let config = self.config().await?;
        let answerer = Answerer { config: &config, zones: &self.zones, clock: &self.clock };
        let answered = answerer.give(FiringName::Identity(identity), answer).await?;
        let until = match answer {
            AlarmAnswer::Dismiss => None,
            AlarmAnswer::Snooze { until } => Some(until),
        };
        tracing::info!(
            source.name = answered.source,
            object.href = answered.href,
            snoozed.until = until.map(|until| until.to_string()),
            deliveries.cancelled = answered.cancelled,
            "an alarm was answered"
        );
        // If the source has gone, there is nothing to sync.
        let _ = self.hints.hint(HintTarget { source: &answered.source, path: None });
        Ok(answered)
    }
}

impl AnswerTaker for Answering {
    fn shown(&self, identity: [u8; 16]) -> Pin<Box<dyn Future<Output = Result<FiredAlarmText, AnswerFailure>> + Send>> {
        let answering = self.clone();
        Box::pin(async move {
            let config = answering.config().await?;
            FiredAlarmText::read(&config.ledger, FiringName::Identity(identity)).await
        })
    }

    fn give(
        &self,
        identity: [u8; 16],
        answer: AlarmAnswer,
    ) -> Pin<Box<dyn Future<Output = Result<AnsweredAlarm, AnswerFailure>> + Send>> {
        let answering = self.clone();
        Box::pin(async move { answering.give(identity, answer).await })
    }
}

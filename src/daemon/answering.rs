//! Answers to alarms that come by way of links in notifications.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::admin::AnswerTaker;
use crate::answer::{AnswerFailure, AnsweredAlarm, Answerer, FiredAlarmText, FiringName};
use crate::answer_link::AnswerLinks;
use crate::calendar::answer::AlarmAnswer;
use crate::calendar::zone::Zones;
use crate::clock::Clock;
use crate::config::{LimitsConfig, SourceConfig};
use crate::hints::{HintRegistry, HintTarget};
use crate::http::Hosts;

/// The sources that run and may be written to. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct WritableSources {
    links: AnswerLinks,
    sources: Arc<Mutex<BTreeMap<String, SourceConfig>>>,
}

/// Gives answers.
#[derive(Clone)]
pub(super) struct Answering {
    pub ledger: PathBuf,
    pub limits: LimitsConfig,
    pub sources: WritableSources,
    pub zones: Zones,
    pub clock: Clock,
    pub hosts: Hosts,
    pub hints: HintRegistry,
}

impl WritableSources {
    /// None yet. Alarms of those that there are have links of `links`.
    pub fn new(links: AnswerLinks) -> WritableSources {
        WritableSources { links, ..WritableSources::default() }
    }

    fn sources(&self) -> MutexGuard<'_, BTreeMap<String, SourceConfig>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `source` runs from now on, with these settings.
    pub fn started(&self, source: &SourceConfig) {
        self.links.allow(&source.name, source.write);
        if source.write {
            self.sources().insert(source.name.clone(), source.clone());
        }
    }

    /// The source `name` does not run any more.
    pub fn stopped(&self, name: &str) {
        self.links.allow(name, false);
        self.sources().remove(name);
    }

    /// The links by which alarms are answered.
    pub fn links(&self) -> &AnswerLinks {
        &self.links
    }

    fn get(&self, name: &str) -> Option<SourceConfig> {
        self.sources().get(name).cloned()
    }
}

impl Answering {
    async fn give(self, identity: [u8; 16], answer: AlarmAnswer) -> Result<AnsweredAlarm, AnswerFailure> {
        let source = |name: &str| self.sources.get(name);
        let answerer = Answerer {
            ledger: &self.ledger,
            limits: &self.limits,
            zones: &self.zones,
            clock: &self.clock,
            hosts: &self.hosts,
            source: &source,
        };
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
        // No hint: that would count as a sign that hints announce what changes there. Nobody waits for the sync.
        drop(self.hints.request(HintTarget { source: &answered.source, path: None }));
        Ok(answered)
    }
}

impl AnswerTaker for Answering {
    fn shown(&self, identity: [u8; 16]) -> Pin<Box<dyn Future<Output = Result<FiredAlarmText, AnswerFailure>> + Send>> {
        let ledger = self.ledger.clone();
        Box::pin(async move { FiredAlarmText::read(&ledger, FiringName::Identity(identity)).await })
    }

    fn give(
        &self,
        identity: [u8; 16],
        answer: AlarmAnswer,
    ) -> Pin<Box<dyn Future<Output = Result<AnsweredAlarm, AnswerFailure>> + Send>> {
        // It goes on to its end if the user does not wait for it: what is written has to be cancelled too.
        let giving = tokio::spawn(self.clone().give(identity, answer));
        Box::pin(async move { giving.await.unwrap_or_else(|error| Err(AnswerFailure::Source(error.to_string()))) })
    }
}

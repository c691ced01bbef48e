//! What all sources share.

use std::sync::Arc;

use super::answering::WritableSources;
use super::source_runner::SourceRunner;
use crate::clock::Clock;
use crate::config::{Config, SourceConfig};
use crate::delivery::sink::Readers;
use crate::http::Hosts;
use crate::ingest::Ingest;
use crate::metrics::Metrics;
use crate::push::PushReceiver;

/// What all sources share.
#[derive(Clone, Debug)]
pub struct SourceParts {
    /// What tells the time.
    pub clock: Clock,
    /// The servers that several sources ask.
    pub hosts: Hosts,
    /// Takes in what they find.
    pub ingest: Arc<Ingest>,
    /// Counts it.
    pub metrics: Metrics,
    /// Receives pushes of servers, if the configuration says how.
    pub push: Option<PushReceiver>,
    /// Those that may be written to.
    pub writable: WritableSources,
    /// The zones that users read times in.
    pub readers: Readers,
}

impl SourceParts {
    /// What syncs `source` again and again.
    ///
    /// # Errors
    /// When its settings cannot work, such as a URL that is not valid.
    pub fn runner(&self, source: &SourceConfig, config: &Config) -> anyhow::Result<SourceRunner> {
        let runner = SourceRunner::new(source, config, &self.clock, &self.hosts)?;
        Ok(runner.with_metrics(&self.metrics))
    }
}

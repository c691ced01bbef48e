//! Building the stages of a daemon from its settings.

use std::collections::HashMap;
use std::sync::Arc;

use super::answering::WritableSources;
use super::source_parts::SourceParts;
use super::source_runner::SourceRunner;
use crate::answer_link::{AnswerLinks, new_key};
use crate::calendar::zone::Zones;
use crate::clock::Clock;
use crate::config::{Config, SourceKind, UserConfig};
use crate::delivery::deadline::SendDeadline;
use crate::delivery::new_deliveries::NewDeliveries;
use crate::delivery::routing::Routing;
use crate::delivery::sink::any_sink::Sink;
use crate::delivery::sink::{Reader, Readers, SinkConfig, SinkContext};
use crate::delivery::worker::DeliveryWorker;
use crate::firing::{FiringRenderer, StartupGate, Wheel};
use crate::http::Hosts;
use crate::ingest::{Ingest, Planner};
use crate::ledger::{FiredUntil, Ledger, LedgerError, OrphanedSink};
use crate::metrics::Metrics;
use crate::pipeline::PipelineContext;
use crate::push::PushReceiver;
use crate::time::{UtcMillis, elapsed};

/// What the daemon is between its sources and its sinks.
#[derive(Debug)]
pub struct Core {
    /// What survives.
    pub ledger: Ledger,
    /// Applies what sources report.
    pub ingest: Arc<Ingest>,
    /// Fires what is due.
    pub wheel: Wheel<FiringRenderer>,
    /// Opens when every source has been synced once.
    pub startup_gate: StartupGate,
    /// Wakes the workers.
    pub new_deliveries: NewDeliveries,
    /// Counts what the stages do.
    pub metrics: Metrics,
    /// What the ledger knows the sinks by: name → id.
    pub sinks: HashMap<String, i64>,
    /// Where alarms can be answered.
    pub answer_links: AnswerLinks,
}

impl Core {
    /// Takes over `ledger` as a daemon with these settings does that has just been started: what a former one left is
    /// put in order.
    ///
    /// # Errors
    /// Those of the ledger.
    pub async fn start(config: &Config, zones: &Zones, ledger: Ledger, clock: &Clock) -> Result<Core, LedgerError> {
        let sinks = known_sinks(config, &ledger).await?;
        let context = PipelineContext::new(ledger.clone(), clock.clone());
        let startup_gate = StartupGate::new(context.wakeup.clone());
        let renderer = FiringRenderer::new(
            config,
            zones.clone(),
            Routing::new(&config.sinks, config.user_routing(), &sinks),
            ledger.clone(),
        );
        let renderer = renderer.fired_until(fired_until(&ledger, clock).await?);
        let answer_links = answer_links(config, &ledger).await?;
        let renderer = renderer.with_answer_links(answer_links.clone());
        renderer.take_over().await?;
        let ingest = Arc::new(Ingest::new(config, Planner::new(renderer.clone()), context.clone()));
        // Accounts may be missing for a moment only: they are forgotten later.
        if config.account_origins.is_empty() {
            let names: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
            ingest.keep_sources(&names).await?;
        }
        ingest.replan_changed_zones(zones).await?;
        ingest.clock_was_set().await?;
        let (new_deliveries, metrics) = (context.new_deliveries.clone(), context.metrics.clone());
        let wheel = Wheel::new(renderer, context, startup_gate.clone());
        Ok(Core { ledger, ingest, wheel, startup_gate, new_deliveries, metrics, sinks, answer_links })
    }
}

/// The stages, built and not yet running.
pub struct Stages {
    /// What lies between the sources and the sinks.
    pub core: Core,
    pub parts: SourceParts,
    pub runners: Vec<SourceRunner>,
    pub workers: Vec<Arc<DeliveryWorker>>,
    /// Ends all sending.
    pub send_deadline: SendDeadline,
}

impl Stages {
    /// Opens the ledger, the sources and the sinks that `config` names.
    ///
    /// # Errors
    /// When the ledger, a sink's settings, the time zone database or a watched folder of the command line cannot be
    /// used.
    pub async fn build(config: &Config, clock: &Clock) -> anyhow::Result<Stages> {
        // The provider of TLS is chosen once a process; a second choice of the same is no news.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let ledger = Ledger::open(&config.ledger).await?;
        let zones = Zones::load(&config.zoneinfo)?;
        let core = Core::start(config, &zones, ledger, clock).await?;
        let context = sink_context(config, zones, clock);
        let parts = SourceParts {
            clock: clock.clone(),
            hosts: Hosts::new(config.limits.max_requests_per_host),
            ingest: core.ingest.clone(),
            metrics: core.metrics.clone(),
            writable: WritableSources::new(core.answer_links.clone()),
            push: config.admin.push_url.clone().map(PushReceiver::new),
            readers: context.readers.clone(),
        };
        let runners = config.sources.iter().map(|source| parts.runner(source, config)).collect::<Result<_, _>>()?;
        let mut workers = Vec::new();
        for sink in &config.sinks {
            let Some(id) = core.sinks.get(&sink.name) else { continue };
            let open = open_sink(sink, &context)?;
            let worker = DeliveryWorker::new(open, *id, core.ledger.clone(), clock.clone(), sink.give_up_after);
            workers.push(Arc::new(worker.with_metrics(core.metrics.clone())));
        }
        Ok(Stages { core, parts, runners, workers, send_deadline: context.deadline })
    }
}

/// The ids by which the ledger knows the sinks of `config`. Warns of those that are no longer configured and are
/// still owed something.
async fn known_sinks(config: &Config, ledger: &Ledger) -> Result<HashMap<String, i64>, LedgerError> {
    let names: Vec<&str> = config.sinks.iter().map(|sink| sink.name.as_str()).collect();
    let sinks = ledger.sinks(&names).await?;
    for OrphanedSink { name, pending } in ledger.orphaned_sinks(&names).await? {
        tracing::warn!(
            sink.name = name,
            deliveries.pending = pending,
            "this sink is no longer configured and is still owed something: configure it again, or end these deliveries with 'reveille deliveries cancel'"
        );
    }
    Ok(sinks)
}

/// Under this key the ledger remembers what signs links.
const ANSWER_KEY: &str = "answer_key";

/// Where alarms can be answered, if `config` says so. What signs the links is made once, and kept in `ledger`.
async fn answer_links(config: &Config, ledger: &Ledger) -> Result<AnswerLinks, LedgerError> {
    let Some(url) = config.admin.answer_url.clone() else { return Ok(AnswerLinks::default()) };
    let key = match ledger.meta(ANSWER_KEY).await? {
        Some(key) => key,
        None => {
            let Some(key) = new_key() else {
                tracing::warn!("notifications have no links for answers: the system has no random numbers");
                return Ok(AnswerLinks::default());
            };
            ledger.set_meta(ANSWER_KEY, &key).await?;
            key
        }
    };
    let links = AnswerLinks::new(url, &key, elapsed(config.admin.answer_valid));
    config.sources.iter().for_each(|source| links.allow(&source.name, source.write));
    Ok(links)
}

fn sink_context(config: &Config, zones: Zones, clock: &Clock) -> SinkContext {
    SinkContext {
        clock: clock.clone(),
        zones,
        readers: readers_of(config),
        max_reply_size: config.limits.max_reply_size,
        server_name: config.defaults.server_name.clone(),
        deadline: SendDeadline::default(),
    }
}

/// Opens a sink. Where it cannot be used now, the log says so, and its alarms wait.
fn open_sink(sink: &SinkConfig, context: &SinkContext) -> anyhow::Result<Sink> {
    let open = Sink::open(sink, context)?;
    if open.discards_output() {
        tracing::warn!(
            sink.name = sink.name,
            "standard output is closed, or /dev/null: alarms that are written there reach no one"
        );
    }
    if let Err(error) = open.ready() {
        tracing::warn!(
            sink.name = sink.name,
            sink.error = %error,
            "this sink cannot be used; its alarms wait, and are tried again"
        );
    }
    Ok(open)
}

/// Until when everything counts as fired, whatever the ledger knows: it may be a backup that was restored.
async fn fired_until(ledger: &Ledger, clock: &Clock) -> Result<UtcMillis, LedgerError> {
    let FiredUntil { at, restored } = ledger.fired_until(clock.now()).await?;
    if let Some(restored) = restored {
        tracing::warn!(
            fired.until = %restored.fired_until,
            deliveries.failed = restored.given_up,
            "this ledger is a restored backup: what was due until now counts as fired"
        );
    }
    Ok(at.map_or(UtcMillis::MIN, |at| at.min(clock.now())))
}

/// How users read, by the configuration.
pub fn readers_of(config: &Config) -> Readers {
    let otherwise = Reader { zone: config.defaults.zone.clone(), locale: config.defaults.locale.clone() };
    Readers::new(readers(config), otherwise)
}

/// How each user reads, by userId.
pub(super) fn readers(config: &Config) -> HashMap<String, Reader> {
    let of_user = |(name, user): (&String, &UserConfig)| {
        (name.clone(), Reader { zone: user.zone.clone(), locale: user.locale.clone() })
    };
    let mut readers: HashMap<String, Reader> = config.users.iter().map(of_user).collect();
    for source in &config.sources {
        let user = match (&source.user, &source.kind) {
            (Some(user), _) => Some(user.clone()),
            (None, SourceKind::Caldav(settings)) => settings.credentials.username(),
            // A feed has a user.
            (None, SourceKind::Directory(_) | SourceKind::Ics(_)) => None,
        };
        if let (Some(user), Some(zone)) = (user, &source.zone) {
            readers.entry(user).or_default().zone.get_or_insert_with(|| zone.clone());
        }
    }
    readers
}

//! The daemon: it builds the stages from the settings, keeps them running, and stops them in order. What a stage does
//! is the stage's business.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::calendar::zone::Zones;
use crate::clock::Clock;
use crate::config::{Config, SourceKind, UserConfig};
use crate::delivery::deadline::SendDeadline;
use crate::delivery::routing::Routing;
use crate::delivery::sink::SinkContext;
use crate::delivery::sink::registry::Sink;
use crate::delivery::worker::DeliveryWorker;
use crate::firing::{Bell, FiringRenderer, Tick, WallTimer, Wheel};
use crate::http::Hosts;
use crate::ingest::{Ingest, Planner};
use crate::ledger::{FireStats, Ledger, LedgerError, LogOnce};

use crate::time::UtcMillis;

mod history;
mod signals;
mod source_runner;
mod sync_schedule;
mod tasks;

pub use signals::ignore_sigxfsz;

pub use history::HistoryPruner;
use source_runner::SourceRunner;
use tasks::{Apart, Stage, TaskGroup};

/// How long what was overdue at the start waits for the first sync of the sources, which may say that it no longer
/// stands.
const FIRST_LOOK: Duration = Duration::from_secs(10);
/// How long deliveries may take after a stop was asked for.
const DRAIN: Duration = Duration::from_secs(20);
/// How long to wait when the ledger cannot be read or written.
const PAUSE: Duration = Duration::from_secs(1);
/// The last of it is for writing down what was sent.
const SETTLING: Duration = Duration::from_secs(2);
/// How long the ledger may take to close after that: somebody else may have it locked, or the disk be stuck.
const CLOSING: Duration = Duration::from_secs(22);

/// How a single pass went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// Every source was read and everything due was delivered.
    Complete,
    /// Something could not be read or delivered; the log says what.
    Partial,
}

/// What the daemon is between its sources and its sinks.
#[derive(Debug)]
pub struct Core {
    pub ledger: Ledger,
    pub ingest: Arc<Ingest>,
    pub wheel: Wheel<FiringRenderer>,
    pub bell: Bell,
    /// What the ledger knows the sinks by: name → id.
    pub sinks: HashMap<String, i64>,
}

impl Core {
    /// Takes over `ledger` as a daemon with these settings does that has just been started: what a former one left is
    /// put in order.
    ///
    /// # Errors
    /// Those of the ledger.
    pub async fn start(config: &Config, zones: &Zones, ledger: Ledger, clock: &Clock) -> Result<Core, LedgerError> {
        let names: Vec<&str> = config.sinks.iter().map(|sink| sink.name.as_str()).collect();
        let sinks = ledger.sinks(&names).await?;
        for (sink, owed) in ledger.orphaned_sinks(&names).await? {
            tracing::warn!(
                sink.name = sink,
                deliveries.pending = owed,
                "this sink is no longer configured and is still owed something: configure it again, or end these deliveries with 'reveille deliveries cancel'"
            );
        }
        let bell = Bell::default();
        let renderer = FiringRenderer::new(config, zones.clone(), Routing::new(&config.sinks, &sinks), ledger.clone());
        let renderer = renderer.fired_until(fired_until(&ledger, clock).await?);
        renderer.take_over().await?;
        let ingest =
            Arc::new(Ingest::new(config, ledger.clone(), Planner::new(renderer.clone()), clock.clone(), bell.clone()));
        let sources: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
        for (source, calendars) in ledger.keep_sources(&sources).await? {
            tracing::warn!(
                source.name = source,
                calendars,
                "this source is no longer configured: its calendars are forgotten; under another name they are seen for the first time"
            );
        }
        ingest.replan_changed_zones(zones).await?;
        ingest.clock_was_set().await?;
        let wheel = Wheel::new(ledger.clone(), renderer, clock.clone(), bell.clone());
        Ok(Core { ledger, ingest, wheel, bell, sinks })
    }
}

/// The stages, built and not yet running.
struct Stages {
    ledger: Ledger,
    ingest: Arc<Ingest>,
    runners: Vec<SourceRunner>,
    wheel: Wheel<FiringRenderer>,
    workers: Vec<Arc<DeliveryWorker>>,
    bell: Bell,
    send_deadline: SendDeadline,
}

/// Runs until SIGTERM or SIGINT, then delivers what has been fired and returns.
///
/// # Errors
/// When the ledger, a sink's settings, the time zone database or a watched folder of the command line cannot be used.
pub async fn run(config: Config, clock: Clock) -> anyhow::Result<()> {
    // From here on a signal to stop makes an orderly end, of a start that takes long as well.
    let mut signals = signals::Signals::new().context("signals cannot be received")?;
    ignore_sigxfsz().context("signals cannot be received")?;
    let stages = tokio::select! {
        stages = build(&config, clock.clone()) => stages?,
        () = signals.stop() => {
            tracing::info!("stopped before the start was over");
            return Ok(());
        }
    };
    let Stages { ledger, ingest, runners, wheel, workers, bell, send_deadline } = stages;
    let sync_now = Arc::new(Notify::new());
    let apart = Apart::new()?;
    let mut tasks = TaskGroup::new(apart.handle());
    let waiting = Arc::new(AtomicUsize::new(runners.len()));
    if runners.is_empty() {
        bell.release();
    }
    for runner in runners {
        let (bell, waiting) = (bell.clone(), waiting.clone());
        let first = move || {
            if waiting.fetch_sub(1, Ordering::SeqCst) == 1 {
                bell.release();
            }
        };
        let watching = runner.run(ingest.clone(), sync_now.clone(), tasks.stopping(Stage::Sync), first);
        tasks.start(Stage::Sync, async move {
            watching.await;
            Ok(())
        });
    }
    let overdue = bell.clone();
    let start_timeout = tokio::spawn(async move {
        tokio::time::sleep(FIRST_LOOK).await;
        overdue.release();
    });
    let wakeups: Vec<Arc<Notify>> = workers.iter().map(|_| Arc::new(Notify::new())).collect();
    for (worker, wakeup) in workers.iter().zip(&wakeups) {
        let (worker, wakeup, stopping) = (worker.clone(), wakeup.clone(), tasks.stopping(Stage::Deliver));
        tasks.start(Stage::Deliver, async move { Ok(worker.run(wakeup, stopping).await?) });
    }
    let pruning = HistoryPruner::new(&config, ledger.clone(), clock).run(tasks.stopping(Stage::Sync));
    tasks.start(Stage::Sync, async move {
        pruning.await;
        Ok(())
    });
    let watching_clock = watch_clock(ingest.clone(), tasks.stopping(Stage::Sync));
    tasks.start(Stage::Sync, watching_clock);
    let announced = wakeups.clone();
    let ticking = wheel.run(tasks.stopping(Stage::Fire), move |fired| announce(fired, &announced));
    tasks.start(Stage::Fire, async move { Ok(ticking.await?) });
    tracing::info!(process.id = std::process::id(), "reveille is running");
    let outcome = tokio::select! {
        () = signals.serve(&workers, &sync_now, &wakeups) => Ok(()),
        error = tasks.one_has_exited() => Err(error),
    };
    signals.end_at_once();
    tracing::info!("stopping: delivering what has been fired");
    let deadline = Instant::now() + DRAIN;
    let send_until = deadline.checked_sub(SETTLING).unwrap_or(deadline);
    send_deadline.set(send_until);
    start_timeout.abort();
    let outcome = outcome.and(tasks.stop(deadline).await);
    if Instant::now() >= send_until {
        tracing::warn!("not everything could be delivered in time; the rest waits in the ledger for the next start");
    }
    let closed = async {
        ingest.flush().await;
        ledger.close().await;
    };
    if tokio::time::timeout(CLOSING, closed).await.is_err() {
        tracing::error!("the ledger could not be closed in time; it is left as if reveille had been killed");
    }
    outcome
}

/// Tells the ingest stage whenever the clock was set, until `stop` resolves.
async fn watch_clock(ingest: Arc<Ingest>, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let timer = WallTimer::new()?;
    let work = async {
        loop {
            timer.until(None).await;
            let mut log_once = LogOnce::default();
            while let Err(error) = ingest.clock_was_set().await {
                if log_once.is_news(&error) {
                    tracing::warn!(ledger.error = %error, "the clock was set, and what it did while it was wrong cannot be taken back; trying again every second");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = stop => {}
    }
    Ok(())
}

/// One pass: syncs every source, fires what is due, tries each delivery that may be tried once.
///
/// # Errors
/// As for [`run`], and when the ledger cannot be written.
pub async fn once(config: Config, clock: Clock) -> anyhow::Result<Passed> {
    ignore_sigxfsz().context("signals cannot be received")?;
    let Stages { ledger, ingest, runners, mut wheel, workers, bell, .. } = build(&config, clock.clone()).await?;
    let mut passed = Passed::Complete;
    for mut runner in runners {
        if !runner.sync(&ingest).await {
            passed = Passed::Partial;
        }
    }
    bell.release();
    wheel.set_failing_objects_aside().await;
    loop {
        while wheel.tick(&|fired| announce(fired, &[])).await? == Tick::Again {}
        // What is ready is delivered before what takes long is worked out.
        for worker in &workers {
            let all = worker.send_all().await?;
            if all.retry > 0 || all.failed > 0 {
                passed = Passed::Partial;
            }
        }
        if !wheel.background().await {
            break;
        }
    }
    ingest.flush().await;
    if let Err(error) = HistoryPruner::new(&config, ledger.clone(), clock).pass().await {
        tracing::warn!(ledger.error = %error, "old history could not be forgotten; the next pass tries again");
        passed = Passed::Partial;
    }
    ledger.close().await;
    Ok(passed)
}

async fn build(config: &Config, clock: Clock) -> anyhow::Result<Stages> {
    // The provider of TLS is chosen once a process; a second choice of the same is no news.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ledger = Ledger::open(&config.ledger).await?;
    let zones = Zones::load(&config.zoneinfo)?;
    let Core { ledger, ingest, wheel, bell, sinks } = Core::start(config, &zones, ledger, &clock).await?;
    let hosts = Hosts::default();
    let runners = config
        .sources
        .iter()
        .map(|source| SourceRunner::new(source, config, &clock, &hosts))
        .collect::<Result<_, _>>()?;
    let context = SinkContext {
        clock: clock.clone(),
        zones,
        reader_zones: reader_zones(config),
        default_zone: config.defaults.zone.clone(),
        max_reply_size: config.limits.max_reply_size,
        server_name: config.defaults.server_name.clone(),
        deadline: SendDeadline::default(),
    };
    let mut workers = Vec::new();
    for sink in &config.sinks {
        let Some(id) = sinks.get(&sink.name) else { continue };
        let open = Sink::open(sink, &context)?;
        if open.discards_output() {
            tracing::warn!(
                sink.name = sink.name,
                "standard output is closed, or /dev/null: nobody gets the alarms that are written there"
            );
        }
        if let Err(error) = open.ready() {
            tracing::warn!(
                sink.name = sink.name,
                sink.error = %error,
                "this sink cannot be used; its alarms wait, and are tried again"
            );
        }
        let worker = DeliveryWorker::new(open, *id, ledger.clone(), clock.clone(), sink.give_up_after);
        workers.push(Arc::new(worker));
    }
    Ok(Stages { ledger, ingest, runners, wheel, workers, bell, send_deadline: context.deadline })
}

/// Until when everything counts as rung, whatever the ledger knows: it may be a copy that was put back.
async fn fired_until(ledger: &Ledger, clock: &Clock) -> Result<UtcMillis, LedgerError> {
    let (until, restored) = ledger.fired_until(clock.now()).await?;
    if let Some(restored) = restored {
        tracing::warn!(
            fired.until = %restored.fired_until,
            deliveries.failed = restored.given_up,
            "this ledger is a backup that was put back: what was due until now counts as rung"
        );
    }
    Ok(until.map_or(UtcMillis::MIN, |until| until.min(clock.now())))
}

/// userId → the zone that the user reads times in.
fn reader_zones(config: &Config) -> HashMap<String, String> {
    let of_user = |(name, user): (&String, &UserConfig)| Some((name.clone(), user.zone.clone()?));
    let mut zones: HashMap<String, String> = config.users.iter().filter_map(of_user).collect();
    for source in &config.sources {
        let user = match (&source.user, &source.kind) {
            (Some(user), _) => Some(user.clone()),
            (None, SourceKind::Caldav(settings)) => settings.credentials.username(),
            (None, SourceKind::Directory { .. }) => None,
        };
        if let (Some(user), Some(zone)) = (user, &source.zone) {
            zones.entry(user).or_insert_with(|| zone.clone());
        }
    }
    zones
}

fn announce(fired: FireStats, wakeups: &[Arc<Notify>]) {
    if fired.deliveries > 0 {
        for wakeup in wakeups {
            wakeup.notify_one();
        }
    }
    tracing::debug!(firings.new = fired.firings, firings.already = fired.already, fired.deliveries, "fired");
}

//! Running the stages: until a signal stops them, or for a single pass.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::Instant;

use super::answering::Answering;
use super::assemble::{Core, Stages};
use super::retention::HistoryPruner;
use super::signals::{Signals, ignore_sigxfsz};
use super::source_parts::SourceParts;
use super::source_set::{ReadConfig, SourceSet};
use super::tasks::{Stage, SyncThreads, TaskGroup};
use crate::admin::{self, AdminGuard, ControlSocket, Router, TlsFiles};
use crate::calendar::zone::Zones;
use crate::clock::Clock;
use crate::config::{AdminConfig, Config, CyrusSocket, ServerCertificate};
use crate::delivery::deadline::SendDeadline;
use crate::firing::{StartupGate, Tick, WallTimer};
use crate::hints::HintRegistry;
use crate::ingest::Ingest;
use crate::ledger::{self, Ledger, LogOnce};

/// How long what was overdue at the start waits for the first sync of the sources, which may say that it no longer
/// stands.
const FIRST_SYNC: Duration = Duration::from_secs(10);
/// How long deliveries may take after a stop was asked for.
const DRAIN: Duration = Duration::from_secs(20);
/// How long to wait when the ledger cannot be read or written.
const PAUSE: Duration = Duration::from_secs(1);
/// The last of it is for writing down what was sent.
const SETTLING: Duration = Duration::from_secs(2);
/// How long the ledger may take to close after that: another process may have it locked, or the disk be stuck.
const CLOSING: Duration = Duration::from_secs(22);

/// How a single pass went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassOutcome {
    /// Every source was read and everything due was delivered.
    Complete,
    /// Something could not be read or delivered; the log says what.
    Partial,
}

/// Runs until SIGTERM or SIGINT, then delivers what has been fired and returns. `read_config` reads `config` again,
/// which is done when the files of accounts have changed.
///
/// # Errors
/// When the ledger, a sink's settings, the time zone database or a watched folder of the command line cannot be used.
pub async fn run(config: Config, clock: Clock, read_config: ReadConfig) -> anyhow::Result<()> {
    // From here on a signal to stop makes an orderly end, of a start that takes long as well.
    let mut signals = Signals::new().context("signals cannot be received")?;
    ignore_sigxfsz().context("signals cannot be received")?;
    let stages = tokio::select! {
        stages = Stages::build(&config, &clock) => stages?,
        () = signals.stop() => {
            tracing::info!("stopped before the start was over");
            return Ok(());
        }
    };
    let Stages { core, parts, runners, workers, send_deadline } = stages;
    let Core { ledger, ingest, wheel, startup_gate, new_deliveries, .. } = core;
    let hints = HintRegistry::default();
    let sync_threads = SyncThreads::new()?;
    let mut tasks = TaskGroup::new(sync_threads.handle());
    let start_timeout = open_in_time(startup_gate.clone());
    let answering = Answering {
        ledger: config.ledger.clone(),
        limits: config.limits,
        sources: parts.writable.clone(),
        zones: Zones::load(&config.zoneinfo)?,
        clock: clock.clone(),
        hosts: parts.hosts.clone(),
        hints: hints.clone(),
    };
    start_admin(&config.admin, admin_routes(&config.admin, &parts, answering), &mut tasks);
    start_cyrus_socket(&config.admin, &hints, &mut tasks);
    let sources = SourceSet::new(parts, hints.clone());
    start_control(&config, &hints, &mut tasks);
    let pruner = HistoryPruner::new(&config, ledger.clone(), clock);
    let syncing = sources.run(config, runners, startup_gate, read_config, tasks.stopping(Stage::Sync));
    tasks.start(Stage::Sync, syncing);
    for worker in &workers {
        let (worker, announced) = (worker.clone(), new_deliveries.subscribe());
        let stopping = tasks.stopping(Stage::Deliver);
        tasks.start(Stage::Deliver, async move { Ok(worker.run(announced, stopping).await?) });
    }
    let pruning = pruner.run(tasks.stopping(Stage::Sync));
    tasks.start(Stage::Sync, async move {
        pruning.await;
        Ok(())
    });
    tasks.start(Stage::Sync, watch_clock(ingest.clone(), tasks.stopping(Stage::Sync)));
    let ticking = wheel.run(tasks.stopping(Stage::Fire));
    tasks.start(Stage::Fire, async move { Ok(ticking.await?) });
    tracing::info!(process.id = std::process::id(), "reveille is running");
    let outcome = tokio::select! {
        () = signals.serve(&workers, &hints, &new_deliveries) => Ok(()),
        error = tasks.one_has_exited() => Err(error),
    };
    signals.end_at_once();
    start_timeout.abort();
    let outcome = outcome.and(stop(tasks, &send_deadline).await);
    close(&ingest, ledger).await;
    outcome
}

/// Serves the control socket. Where that cannot be made, the log says so, and all else goes on.
fn start_control(config: &Config, hints: &HintRegistry, tasks: &mut TaskGroup) {
    match ControlSocket::bind(&ledger::socket_path(&config.ledger)) {
        Ok(control) => {
            let serving = control.serve(admin::control_routes(hints.clone()), tasks.stopping(Stage::Sync));
            tasks.start(Stage::Sync, serving);
        }
        Err(why) => tracing::warn!("'reveille sync SOURCE' cannot reach this daemon: {why}"),
    }
}

/// What the admin port serves.
fn admin_routes(config: &AdminConfig, parts: &SourceParts, answering: Answering) -> Router {
    let hints = answering.hints.clone();
    let routes = admin::guarded(admin::hint_routes(hints), AdminGuard::new(config.token.clone()));
    let routes = match &parts.push {
        Some(push) => routes.merge(admin::push_routes(push.clone(), parts.clock.clone())),
        None => routes,
    };
    match &config.answer_url {
        Some(_) => {
            let links = parts.writable.links().clone();
            routes.merge(admin::answer_routes(links, Arc::new(answering), parts.clock.clone()))
        }
        None => routes,
    }
}

/// Serves the admin port, if there is to be one.
fn start_admin(config: &AdminConfig, routes: Router, tasks: &mut TaskGroup) {
    let Some(listen) = config.listen else { return };
    let tls = config.certificate.clone().map(|ServerCertificate { certificate, key }| TlsFiles::new(certificate, key));
    let serving = admin::serve_port(listen, tls, routes, tasks.stopping(Stage::Sync));
    tasks.start(Stage::Sync, async move {
        serving.await;
        Ok(())
    });
}

/// Receives the event notifications of Cyrus, if it is to.
fn start_cyrus_socket(config: &AdminConfig, hints: &HintRegistry, tasks: &mut TaskGroup) {
    let Some(CyrusSocket { path, mode }) = config.cyrus_socket.clone() else { return };
    let serving = admin::serve_cyrus_socket(path, mode, hints.clone(), tasks.stopping(Stage::Sync));
    tasks.start(Stage::Sync, async move {
        serving.await;
        Ok(())
    });
}

/// Opens the gate when the first syncs have not ended in time.
fn open_in_time(startup_gate: StartupGate) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        tokio::time::sleep(FIRST_SYNC).await;
        startup_gate.open();
    })
}

/// Stops the tasks in order, and lets them deliver what has been fired for as long as [`DRAIN`].
///
/// # Errors
/// The first of the tasks' errors.
async fn stop(tasks: TaskGroup, send_deadline: &SendDeadline) -> anyhow::Result<()> {
    tracing::info!("stopping: delivering what has been fired");
    let deadline = Instant::now() + DRAIN;
    let send_until = deadline.checked_sub(SETTLING).unwrap_or(deadline);
    send_deadline.set(send_until);
    let outcome = tasks.stop(deadline).await;
    if Instant::now() >= send_until {
        tracing::warn!("not everything could be delivered in time; the rest waits in the ledger for the next start");
    }
    outcome
}

/// Closes the ledger, unless that takes too long.
async fn close(ingest: &Ingest, ledger: Ledger) {
    let closed = async {
        ingest.flush().await;
        ledger.close().await;
    };
    if tokio::time::timeout(CLOSING, closed).await.is_err() {
        tracing::error!("the ledger could not be closed in time; it is left as if reveille had been killed");
    }
}

/// Lets the ingest stage know whenever the clock was set, until `stop` resolves.
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
pub async fn once(config: Config, clock: Clock) -> anyhow::Result<PassOutcome> {
    ignore_sigxfsz().context("signals cannot be received")?;
    let Stages { core, runners, workers, .. } = Stages::build(&config, &clock).await?;
    let Core { ledger, ingest, mut wheel, startup_gate, .. } = core;
    let mut passed = PassOutcome::Complete;
    for mut runner in runners {
        if !runner.sync(&ingest).await {
            passed = PassOutcome::Partial;
        }
    }
    startup_gate.open();
    wheel.set_failing_objects_aside().await;
    loop {
        while wheel.tick().await? == Tick::Again {}
        // What is ready is delivered before what takes long is worked out.
        for worker in &workers {
            let all = worker.send_all().await?;
            if all.retry > 0 || all.failed > 0 {
                passed = PassOutcome::Partial;
            }
        }
        if !wheel.background().await {
            break;
        }
    }
    ingest.flush().await;
    if let Err(error) = HistoryPruner::new(&config, ledger.clone(), clock).pass().await {
        tracing::warn!(ledger.error = %error, "old history could not be forgotten; the next pass tries again");
        passed = PassOutcome::Partial;
    }
    ledger.close().await;
    Ok(passed)
}

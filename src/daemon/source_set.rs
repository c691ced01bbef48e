//! The sources that are synced, each in a task of its own: accounts come and go while the others go on.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::assemble::readers;
use super::source_parts::SourceParts;
use super::source_runner::SourceRunner;
use super::user_listing;
use crate::config::{AccountProblem, AccountStamps, Config, ConfigError, SourceConfig, SourceKind};
use crate::firing::StartupGate;
use crate::hints::HintRegistry;

/// How often the files that accounts come from are checked.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// How often commands are run again that list users.
const RUN_EVERY: Duration = Duration::from_secs(60);

/// A configuration that could not be read is read again after this.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Reads the configuration again.
pub type ReadConfig = Arc<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// A source that is synced.
#[derive(Debug)]
struct RunningSource {
    settings: SourceConfig,
    task: Id,
    /// Ends the task: dropped, because the daemon stops; used, because the source is over.
    stop: oneshot::Sender<()>,
    /// Resolves when the task has sent its last request.
    ended: oneshot::Receiver<()>,
}

/// The sources that are synced.
#[derive(Debug)]
pub struct SourceSet {
    parts: SourceParts,
    hints: HintRegistry,
    running: BTreeMap<String, RunningSource>,
    tasks: JoinSet<()>,
    /// Tasks that were stopped and have not ended, and the sources that they are of.
    stopped: HashMap<Id, String>,
    /// By source, its last task that was stopped: another one of the same source begins when it has ended.
    ending: HashMap<String, oneshot::Receiver<()>>,
    /// Held while users are listed for the first time since the start.
    first_syncs: Option<FirstSyncs>,
    /// When the calendars of sources that are not running are forgotten: a list may be empty for a moment.
    forget_at: Option<Instant>,
}

/// Opens the startup gate when the last clone is dropped: each first sync has one.
#[derive(Clone, Debug)]
struct FirstSyncs {
    _opening: Arc<OpenOnDrop>,
}

impl FirstSyncs {
    fn new(gate: StartupGate) -> FirstSyncs {
        FirstSyncs { _opening: Arc::new(OpenOnDrop(gate)) }
    }
}

#[derive(Debug)]
struct OpenOnDrop(StartupGate);

impl Drop for OpenOnDrop {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// What has become of the accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct AccountChanges {
    added: usize,
    changed: usize,
    removed: usize,
}

impl SourceSet {
    /// None yet. Those that run can be named by `hints`.
    pub fn new(parts: SourceParts, hints: HintRegistry) -> SourceSet {
        SourceSet {
            parts,
            hints,
            running: BTreeMap::new(),
            tasks: JoinSet::new(),
            stopped: HashMap::new(),
            ending: HashMap::new(),
            first_syncs: None,
            forget_at: None,
        }
    }

    /// Syncs the sources of `config` with `runners`, one for each, until `stop` resolves; `startup_gate` opens when
    /// each has been synced once, those of users that a server lists too. Accounts are followed: `read` reads the
    /// configuration again.
    ///
    /// # Errors
    /// When a task has ended by itself, as by a panic.
    pub async fn run(
        mut self,
        config: Config,
        runners: Vec<SourceRunner>,
        startup_gate: StartupGate,
        read: ReadConfig,
        stop: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        self.start_all(&config, runners, startup_gate);
        if !config.account_origins.is_empty() {
            self.forget_at = Some(Instant::now() + config.defaults.absent_grace);
        }
        let _listing = user_listing::follow(&config, &self.parts.hosts);
        let mut stop = std::pin::pin!(stop);
        let mut accounts = FollowedAccounts::new(config, read);
        let outcome = loop {
            tokio::select! {
                () = &mut stop => break Ok(()),
                Some(ended) = self.tasks.join_next_with_id() => {
                    let id = ended.as_ref().map_or_else(tokio::task::JoinError::id, |(id, ())| *id);
                    let is_stopped = self.note_end(id);
                    if let Err(error) = ended {
                        break Err(error).context("a source exited unexpectedly");
                    }
                    if !is_stopped {
                        break Err(anyhow::anyhow!("a source exited unexpectedly"));
                    }
                }
                config = accounts.changed() => self.follow(&config),
                () = sleep_until(self.forget_at.unwrap_or_else(Instant::now)), if self.forget_at.is_some() => {
                    self.forget(&accounts.config).await;
                }
            }
        };
        self.running.clear();
        while self.tasks.join_next().await.is_some() {}
        outcome
    }

    fn start_all(&mut self, config: &Config, runners: Vec<SourceRunner>, startup_gate: StartupGate) {
        let first_syncs = FirstSyncs::new(startup_gate);
        for (settings, runner) in config.sources.iter().zip(runners) {
            let first_sync = first_syncs.clone();
            self.start(settings, runner, move || drop(first_sync));
        }
        self.first_syncs = Some(first_syncs).filter(|_| awaits_users(config));
    }

    fn start(&mut self, settings: &SourceConfig, runner: SourceRunner, first: impl FnOnce() + Send + 'static) {
        let (stop, stopped) = oneshot::channel();
        self.parts.writable.started(settings);
        // What tells of a user's calendars is a calendar server: a feed or a folder of the user has not changed.
        let user = settings.user.as_deref().filter(|_| matches!(settings.kind, SourceKind::Caldav(_)));
        let runner = runner.with_hints(self.hints.register(&settings.name, user));
        let mut runner = runner.receiving_pushes(self.parts.push.as_ref());
        let ingest = self.parts.ingest.clone();
        let (ending, ended) = oneshot::channel::<()>();
        let before = self.ending.remove(&settings.name);
        let task = async move {
            // Dropped when this task ends.
            let _ending = ending;
            if let Some(before) = before {
                // What the task before asks of the server last could undo what this one asks for first. An error means
                // that the sender was dropped: that task has ended.
                let _: Result<(), _> = before.await;
            }
            let mut is_over = false;
            // An error means that the sender was dropped: the daemon stops.
            let stopping = async { is_over = stopped.await.is_ok() };
            runner.run(ingest.clone(), stopping, first).await;
            // The last sync may have been broken off.
            ingest.announce_broken_off();
            if is_over {
                runner.end().await;
            }
        };
        let task = self.tasks.spawn(task).id();
        self.running.insert(settings.name.clone(), RunningSource { settings: settings.clone(), task, stop, ended });
    }

    /// Stops the source `name`. Nothing waits for that but the next task of the same source.
    fn stop(&mut self, name: &str) {
        let Some(RunningSource { stop, task, ended, .. }) = self.running.remove(name) else { return };
        self.hints.unregister(name);
        self.parts.writable.stopped(name);
        self.stopped.insert(task, name.to_owned());
        self.ending.insert(name.to_owned(), ended);
        // An error means that the task has ended already.
        let _: Result<(), ()> = stop.send(());
    }

    /// Notes that a task has ended. Returns whether it was stopped.
    fn note_end(&mut self, task: Id) -> bool {
        let Some(name) = self.stopped.remove(&task) else { return false };
        // What it had begun to commit may have been committed since.
        self.parts.ingest.announce_broken_off();
        // Unless another task of the source was started and stopped meanwhile.
        let is_latest = self.ending.get_mut(&name).is_some_and(|ended| ended.try_recv() != Err(TryRecvError::Empty));
        if is_latest {
            self.ending.remove(&name);
        }
        true
    }

    /// Starts, restarts and stops accounts so that they are those of `config`. One whose file is faulty stays as it
    /// was.
    fn follow(&mut self, config: &Config) {
        let mut changes = AccountChanges::default();
        let configured: HashSet<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
        let wanted: BTreeMap<&str, &SourceConfig> = accounts(config).map(|one| (one.name.as_str(), one)).collect();
        let is_over = |running: &RunningSource| {
            let name = running.settings.name.as_str();
            // It may be in the configuration itself now.
            running.settings.origin.is_some()
                && !configured.contains(name)
                && !config.account_problems.iter().any(|one| one.concerns(name))
        };
        let over: Vec<String> =
            self.running.iter().filter(|(_, one)| is_over(one)).map(|(name, _)| name.clone()).collect();
        for name in &over {
            self.stop(name);
            changes.removed += 1;
        }
        for settings in wanted.into_values() {
            match self.running.get(&settings.name) {
                Some(running) if running.settings == *settings || running.settings.origin.is_none() => continue,
                Some(_) => changes.changed += 1,
                None => changes.added += 1,
            }
            match self.parts.runner(settings, config) {
                Ok(runner) => {
                    self.stop(&settings.name);
                    let first_sync = self.first_syncs.clone();
                    self.start(settings, runner, move || drop(first_sync));
                }
                Err(error) => tracing::warn!(source.name = settings.name, "this account cannot be used: {error:#}"),
            }
        }
        if !awaits_users(config) {
            self.first_syncs = None;
        }
        self.parts.readers.set(readers(config));
        if changes.removed > 0 {
            self.forget_at = Some(Instant::now() + config.defaults.absent_grace);
        }
        if changes != AccountChanges::default() {
            let AccountChanges { added, changed, removed } = changes;
            tracing::info!(
                accounts.added = added,
                accounts.changed = changed,
                accounts.removed = removed,
                "the accounts have changed"
            );
        }
    }
}

impl SourceSet {
    /// Forgets the calendars of sources that are neither running nor faulty. Not while it is unknown which accounts
    /// there are: then later.
    async fn forget(&mut self, config: &Config) {
        self.forget_at = None;
        if config.account_problems.iter().any(AccountProblem::concerns_many) {
            self.forget_at = Some(Instant::now() + config.defaults.absent_grace);
            return;
        }
        let faulty = config.account_problems.iter().map(|problem| problem.account.as_str());
        // Also those that are wanted and cannot be used, so that they do not run.
        let wanted = config.sources.iter().map(|source| source.name.as_str());
        let names: Vec<&str> = self.running.keys().map(String::as_str).chain(wanted).chain(faulty).collect();
        if let Err(error) = self.parts.ingest.keep_sources(&names).await {
            tracing::warn!(ledger.error = %error, "the calendars of accounts that are gone are forgotten at the next start");
        }
    }
}

/// Whether a server has not said yet which users it has.
fn awaits_users(config: &Config) -> bool {
    config.account_problems.iter().any(|problem| problem.is_pending)
}

fn accounts(config: &Config) -> impl Iterator<Item = &SourceConfig> {
    config.sources.iter().filter(|source| source.origin.is_some())
}

/// The files that accounts come from, and how they were last read.
struct FollowedAccounts {
    config: Config,
    read: ReadConfig,
    ticks: tokio::time::Interval,
    /// Of the files as they were last read.
    known: Option<AccountStamps>,
    /// Of the files when they were last checked: what is being written is left alone until it rests.
    seen: Option<AccountStamps>,
    read_at: Instant,
    /// Why they could not be read the last time.
    fault: Option<String>,
    /// What of servers' users was known when they were last read.
    listed: u64,
}

impl FollowedAccounts {
    fn new(config: Config, read: ReadConfig) -> FollowedAccounts {
        let mut ticks = interval(CHECK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let listed = config.server_users.changes();
        FollowedAccounts { config, read, ticks, known: None, seen: None, read_at: Instant::now(), fault: None, listed }
    }

    /// Waits until accounts may have changed, and reads the configuration again. Dropped, it loses nothing.
    async fn changed(&mut self) -> Config {
        if self.config.account_origins.is_empty() {
            return std::future::pending().await;
        }
        loop {
            self.ticks.tick().await;
            let origins = self.config.account_origins.clone();
            let stamps = match blocking(move || origins.stamps()).await {
                Ok(stamps) => Some(stamps),
                Err(why) => {
                    self.note(format!("the accounts cannot be read: {why}; they stay as they were"));
                    continue;
                }
            };
            let rests = stamps == self.seen;
            self.seen.clone_from(&stamps);
            let is_command_due = self.config.account_origins.commands && self.read_at.elapsed() >= RUN_EVERY;
            let has_just_failed = self.fault.is_some() && self.read_at.elapsed() < RETRY_AFTER;
            let listed = self.config.server_users.changes();
            let is_news = is_command_due || listed != self.listed || stamps != self.known;
            if !rests || has_just_failed || !is_news {
                continue;
            }
            self.read_at = Instant::now();
            let (read, origins) = (self.read.clone(), self.config.account_origins.clone());
            let (config, after) = blocking(move || (read(), origins.stamps().ok())).await;
            if after != stamps {
                // Something was written meanwhile, and may have been read by half.
                continue;
            }
            match config {
                Ok(config) => {
                    (self.known, self.listed) = (stamps, listed);
                    self.fault = None;
                    for problem in new_problems(&self.config, &config) {
                        tracing::warn!("{problem}; this account stays as it was");
                    }
                    self.config = config.clone();
                    return config;
                }
                Err(error) => {
                    self.note(format!("the accounts stay as they were, because of the configuration: {error}"))
                }
            }
        }
    }

    /// Logs why accounts cannot be read, once.
    fn note(&mut self, fault: String) {
        if self.fault.as_ref() != Some(&fault) {
            tracing::warn!("{fault}");
            self.fault = Some(fault);
        }
    }
}

/// What is wrong with accounts of `config` and was not before.
fn new_problems<'c>(before: &Config, config: &'c Config) -> Vec<&'c crate::config::Problem> {
    // Of one account there are few.
    let mut known: HashMap<&str, Vec<&AccountProblem>> = HashMap::new();
    for problem in &before.account_problems {
        known.entry(&problem.account).or_default().push(problem);
    }
    let is_new = |problem: &&AccountProblem| {
        known.get(problem.account.as_str()).is_none_or(|problems| !problems.contains(problem))
    };
    config.account_problems.iter().filter(is_new).map(|problem| &problem.problem).collect()
}

/// What `work` comes to, which may wait for a disk.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

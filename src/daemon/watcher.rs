//! One source, looked at again and again: when it says that it changed, when its time has come, when somebody asks.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::config::{Config, Credentials, Layout, SourceConfig, SourceKind};
use crate::http::Hosts;
use crate::ingest::Ingest;
use crate::ledger::SourceSync;
use crate::log_limit::{LogLimit, Logged};
use crate::source::caldav::{CaldavSource, Obstacle};
use crate::source::directory::{DirectoryError, DirectorySource, FsChanges, Watch};
use crate::time::UtcMillis;
use waits::spread;

mod waits;

/// That all is well is written into the ledger no more often than this, milliseconds.
const REPORT: i64 = 60_000;
/// Lines an hour that the log has about faults of one source.
const FAULT_LINES: u32 = 20;
/// How often it is told that a source cannot be read for the same cause, milliseconds.
const TELL_EVERY: i64 = 60 * 60_000;

/// A source and how its syncs went.
#[derive(Debug)]
pub struct Watcher {
    name: String,
    kind: Kind,
    interval: Duration,
    clock: Clock,
    /// Syncs that failed, in a row.
    failures: u32,
    /// Syncs of everything that could not read something, in a row.
    partial: u32,
    /// What the last sync said, when it failed.
    error: Option<String>,
    /// The failure that was told last, without its numbers, and when.
    told: Option<(String, UtcMillis)>,
    /// Why the folder is not watched, though it can be read.
    refusal: Option<String>,
    /// Syncs in a row at which the kernel refused to watch it.
    refusals: u32,
    /// What could not be read when it was last looked at.
    faults: Vec<String>,
    /// For faults.
    log_limit: LogLimit,
    /// Calendars that were not found and are kept.
    absent: usize,
    /// What was said of links that are not followed.
    links: HashSet<String>,
    reported: Option<UtcMillis>,
    /// How long the server asked to wait (Retry-After).
    retry_after: Option<Duration>,
    /// The last sync wants another one after this.
    soon: Option<Duration>,
    /// What the last sync stumbled over.
    obstacle: Obstacle,
    /// Logins that were refused, in a row.
    logins: u32,
}

#[derive(Debug)]
enum Kind {
    Directory(DirectorySource),
    Caldav(Box<CaldavSource>),
}

/// What made a watcher sync.
enum Cause {
    FsChanges(FsChanges),
    Time,
}

impl Watcher {
    /// # Errors
    /// When the settings cannot work: a URL that is none.
    pub fn new(source: &SourceConfig, config: &Config, clock: &Clock, hosts: &Hosts) -> anyhow::Result<Watcher> {
        let mut source = source.clone();
        source.zone = source.zone.or_else(|| config.defaults.zone.clone());
        let (kind, interval) = match &source.kind {
            SourceKind::Directory { path, layout, rescan_interval, .. } => {
                let directory = directory(&source, (path, *layout), config, clock);
                (Kind::Directory(directory), *rescan_interval)
            }
            SourceKind::Caldav(settings) => {
                let caldav = CaldavSource::new(&source, settings, &config.limits, clock.clone())?.sharing(hosts);
                (Kind::Caldav(Box::new(caldav)), settings.poll_interval)
            }
        };
        Ok(Watcher {
            name: source.name,
            kind,
            interval,
            clock: clock.clone(),
            failures: 0,
            partial: 0,
            error: None,
            told: None,
            refusal: None,
            refusals: 0,
            faults: Vec::new(),
            log_limit: LogLimit::new(FAULT_LINES),
            absent: 0,
            links: HashSet::new(),
            reported: None,
            retry_after: None,
            soon: None,
            obstacle: Obstacle::Other,
            logins: 0,
        })
    }

    /// Syncs until `stop` resolves. `first` is called once the first sync is over, however it went.
    pub async fn run(
        mut self,
        ingest: Arc<Ingest>,
        sync_now: Arc<Notify>,
        stop: impl Future<Output = ()>,
        first: impl FnOnce(),
    ) {
        let mut stop = std::pin::pin!(stop);
        let mut watch = None;
        let again = sync_now.notified();
        let mut again = std::pin::pin!(again);
        again.as_mut().enable();
        // The sync that misses nothing comes in its time, however much is touched meanwhile.
        let mut next = tokio::select! {
            next = self.watch_and_sync(&ingest, &mut watch) => next,
            () = &mut stop => return first(),
        };
        first();
        loop {
            let cause = tokio::select! {
                () = &mut stop => return,
                changes = changes(watch.as_ref()) => Cause::FsChanges(changes),
                () = self.is_due(next) => Cause::Time,
                () = again.as_mut() => Cause::Time,
            };
            again.set(sync_now.notified());
            again.as_mut().enable();
            let folders = matches!(&cause, Cause::FsChanges(changes) if changes.everything);
            let anew = folders
                || tokio::select! {
                    watch_is_stale = self.watch_is_stale(watch.as_ref()) => watch_is_stale,
                    () = &mut stop => return,
                };
            match cause {
                _ if anew => tokio::select! {
                    soonest = self.watch_and_sync(&ingest, &mut watch) => next = soonest,
                    () = &mut stop => return,
                },
                // A sync of files is short and is not broken off; one at a server may be waiting for it.
                Cause::FsChanges(changes) => {
                    if !self.sync_changes(&ingest, changes, watch.as_ref()).await || self.absent > 0 {
                        next = next.min(Instant::now() + self.wait());
                    }
                }
                Cause::Time => tokio::select! {
                    _ = self.sync_all(&ingest, watch.as_ref()) => next = Instant::now() + self.wait(),
                    () = &mut stop => return,
                },
            }
        }
    }

    /// Whether `watch` may see nothing of what is there: its folder is gone or was replaced, or there is none.
    async fn watch_is_stale(&self, watch: Option<&Arc<Watch>>) -> bool {
        let is_stale = async || match watch {
            Some(watch) => watch.is_stale().await,
            None => true,
        };
        matches!(self.kind, Kind::Directory(_)) && (self.failures > 0 || is_stale().await)
    }

    /// Watches anew, then syncs everything: a folder that came, or was replaced, may have got its files before it
    /// was watched. Returns when to sync next.
    async fn watch_and_sync(&mut self, ingest: &Ingest, watch: &mut Option<Arc<Watch>>) -> Instant {
        // What both watch would count twice against the kernel's limit.
        *watch = None;
        match self.watch().await {
            Ok(started) => *watch = started,
            // Where the folder is not there, the sync says so.
            Err(DirectoryError::Root { .. }) => {}
            Err(error) => self.note_refusal(Some(error.to_string())),
        }
        self.sync_all(ingest, watch.as_ref()).await;
        if watch.is_none() && self.failures == 0 && self.refusal.is_none() && matches!(self.kind, Kind::Directory(_)) {
            // A folder that came between the two has to be looked at once it is watched.
            return Instant::now();
        }
        Instant::now() + self.wait()
    }

    /// Notes whether the kernel refuses to watch the folder, or some of it.
    fn note_refusal(&mut self, refusal: Option<String>) {
        if let Some(refusal) = refusal.as_ref().filter(|_| self.refusal != refusal) {
            tracing::warn!(source.name = self.name, source.error = %refusal, "the folder is not watched");
        }
        self.refusals = if refusal.is_some() { self.refusals.saturating_add(1) } else { 0 };
        self.refusal = refusal;
    }

    /// Starts to watch a folder; none for a server.
    async fn watch(&self) -> Result<Option<Arc<Watch>>, DirectoryError> {
        match &self.kind {
            Kind::Directory(directory) => directory.watch().await.map(Some),
            Kind::Caldav(_) => Ok(None),
        }
    }

    /// Resolves at `next`, or sooner when what the last sync stumbled over may be out of the way.
    async fn is_due(&self, next: Instant) {
        let clear = async {
            match &self.kind {
                Kind::Caldav(caldav) if self.failures > 0 => {
                    caldav.worth_a_try(self.obstacle, spread(&self.name)).await;
                }
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            () = clear => {}
        }
    }

    /// Syncs everything; false when something of it could not be read.
    pub async fn sync(&mut self, ingest: &Ingest) -> bool {
        self.sync_all(ingest, None).await
    }

    /// Syncs everything, and has the folders that it finds watched.
    async fn sync_all(&mut self, ingest: &Ingest, watch: Option<&Arc<Watch>>) -> bool {
        let at = self.clock.now();
        let mut refusal = None;
        self.soon = None;
        let outcome = match &mut self.kind {
            Kind::Directory(directory) => match directory.scan(ingest, watch).await {
                Ok(report) => {
                    refusal = Some(report.unwatched).filter(|_| watch.is_some());
                    self.absent = report.absent;
                    self.note_links(report.notes);
                    Ok((report.calendars, report.changes, report.faults))
                }
                Err(error) => Err(error.to_string()),
            },
            Kind::Caldav(caldav) => {
                let answers = caldav.answers();
                match caldav.sync(ingest).await {
                    Ok(report) => {
                        self.soon = report.again_in;
                        Ok((report.calendars, report.changes, report.faults))
                    }
                    Err(error) => {
                        self.retry_after = error.retry_after();
                        self.obstacle = caldav.obstacle(&error, answers);
                        self.logins = if self.obstacle == Obstacle::Login { self.logins.saturating_add(1) } else { 0 };
                        Err(format!("{error}{}", self.waits_for()))
                    }
                }
            }
        };
        let well = self.note(ingest, at, outcome, None).await;
        if let Some(refusal) = refusal {
            self.note_refusal(refusal);
        }
        well
    }

    /// Syncs what was touched; false when something of that could not be read.
    async fn sync_changes(&mut self, ingest: &Ingest, changes: FsChanges, watch: Option<&Arc<Watch>>) -> bool {
        let (Kind::Directory(directory), Some(watch)) = (&self.kind, watch) else { return true };
        let at = self.clock.now();
        let others = self.faults.iter().filter(|fault| !changes.concerns(fault)).cloned().collect();
        let mut refusal = None;
        let outcome = match directory.scan_changes(ingest, changes, watch).await {
            Ok(report) => {
                refusal = report.unwatched;
                self.absent = self.absent.max(report.absent);
                self.note_links(report.notes);
                Ok((report.calendars, report.changes, report.faults))
            }
            Err(error) => Err(error.to_string()),
        };
        let well = self.note(ingest, at, outcome, Some(others)).await;
        if refusal.is_some() {
            self.note_refusal(refusal);
            return false;
        }
        well
    }

    /// Tells once of each link that is not followed.
    fn note_links(&mut self, notes: Vec<String>) {
        for note in notes {
            if !self.links.contains(&note) {
                tracing::warn!(source.name = self.name, "{note}");
                self.links.insert(note);
            }
        }
    }

    /// Logs how a sync went, and writes it into the ledger where that is news. `others` are the faults of what it did
    /// not sync; none after a sync of everything. False when something could not be read.
    async fn note(
        &mut self,
        ingest: &Ingest,
        at: UtcMillis,
        outcome: Result<(usize, usize, Vec<String>), String>,
        others: Option<Vec<String>>,
    ) -> bool {
        let (mut well, is_of_everything) = (false, others.is_none());
        let error = match outcome {
            Ok((calendars, changes, found)) => {
                if self.failures > 0 {
                    tracing::info!(source.name = self.name, "the source can be read again");
                }
                self.failures = 0;
                self.logins = 0;
                self.retry_after = None;
                // A fault that lasts is told once.
                for fault in found.iter().filter(|fault| !self.faults.contains(fault)) {
                    let logged = self.log_limit.line(at);
                    if logged != Logged::No {
                        tracing::warn!(source.name = self.name, "{fault}");
                    }
                    if logged == Logged::Last {
                        tracing::warn!(
                            source.name = self.name,
                            "further faults of this source are not logged for an hour"
                        );
                    }
                }
                well = found.is_empty();
                // What is absent is looked for again soon: it may be back without being told.
                let settled = well && self.absent == 0;
                self.partial = match &others {
                    None if settled => 0,
                    None => self.partial.saturating_add(1),
                    Some(_) if settled => self.partial,
                    Some(_) => 1,
                };
                let mut faults = others.unwrap_or_default();
                faults.retain(|fault| !found.contains(fault));
                faults.extend(found);
                self.faults = faults;
                if changes > 0 || self.reported.is_none() {
                    tracing::info!(source.name = self.name, calendars, changes, "sync finished");
                }
                self.faults.first().cloned()
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                if self.is_to_be_told(&error, at) {
                    tracing::warn!(source.name = self.name, source.error = %error, "the source cannot be read; what is known of it rings on");
                }
                Some(error)
            }
        };
        let due = self.reported.is_none_or(|last| at.0.saturating_sub(last.0) >= REPORT || at < last);
        let tried = error.is_some() && is_of_everything;
        if due || tried || error != self.error {
            let next_try = error.as_ref().and_then(|_| self.next_try());
            let sync = SourceSync { at, error: error.clone(), next_try };
            ingest.record_source_sync(&self.name, self.kind.name(), sync).await;
            self.reported = Some(at);
        }
        self.error = error;
        well
    }

    /// Whether it is to be told at `at` that the source cannot be read because of `error`: when that begins, when the
    /// cause is another one, whatever numbers it names, and once an hour.
    fn is_to_be_told(&mut self, error: &str, at: UtcMillis) -> bool {
        let cause: String = error.chars().filter(|c| !c.is_ascii_digit()).collect();
        let is_known = self.failures > 1
            && self
                .told
                .as_ref()
                .is_some_and(|(told, last)| *told == cause && (0..TELL_EVERY).contains(&at.0.saturating_sub(last.0)));
        if !is_known {
            self.told = Some((cause, at));
        }
        !is_known
    }
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Kind::Directory(_) => "directory",
            Kind::Caldav(_) => "caldav",
        }
    }
}

/// What the watch saw; never, where nothing is watched.
async fn changes(watch: Option<&Arc<Watch>>) -> FsChanges {
    match watch {
        Some(watch) => watch.changes().await,
        None => std::future::pending().await,
    }
}

fn directory(
    source: &SourceConfig,
    place: (&std::path::Path, Layout),
    config: &Config,
    clock: &Clock,
) -> DirectorySource {
    DirectorySource::new(source, place, &source.login, config.limits.objects.max_object_size, clock.clone())
}

/// The name that a source logs in with.
pub fn login(credentials: &Credentials) -> Option<String> {
    match credentials {
        Credentials::Basic { username, .. } => Some(username.clone()),
        Credentials::None | Credentials::Bearer { .. } => None,
    }
}

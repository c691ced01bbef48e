//! The program in a world of its own: its real stages, driven one step after the other, with a clock that is set by
//! hand, a store in memory, sinks that obey, and a ledger whose commits may be the last thing that a process does.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use reveille::calendar::zone::Zones;
use reveille::clock::Clock;
use reveille::config::{
    self, AccountOrigins, Config, Defaults, DirectorySettings, Layout, LimitsConfig, Log, SourceKind,
};
use reveille::daemon::{Core, HistoryPruner};
use reveille::delivery::sink::email::{EmailSettings, MailTemplates, SmtpSecurity};
use reveille::delivery::sink::{Recipients, SinkConfig, SinkSettings, registry};
use reveille::delivery::worker::DeliveryWorker;
use reveille::firing::Tick;
use reveille::ledger::Ledger;
use reveille::source::SyncStore as _;
use reveille::time::UtcMillis;
use reveille::zoneinfo::ZoneinfoChoice;

use super::allowance::Allowance;
use super::disk::Script;
use super::event::MOVING;
use super::model::Model;
use super::sink::{Mood, Postbox, Recorder, Told};
use super::store::{SOURCE, Store, USER};
use super::walls::Rules;
use crate::chance::Chance;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::watch;

/// Mails go to two people, so that one firing has deliveries that end otherwise.
const RECIPIENTS: [&str; 2] = ["mary@example.org", "peter@example.org"];
/// The sinks: the first takes everything, the second what is to be mailed.
pub const SINKS: [&str; 2] = ["lines", "mail"];
/// How far behind the latest instant that it showed the clock may be, milliseconds. The program takes back what a clock
/// has done that was ahead by more than a minute; of that the model knows nothing.
const BACK: i64 = 55_000;
/// Stops in an hour after which the program is taken to be spinning. While a sink is down, each of hundreds of alarms
/// that are owed is tried again every few minutes.
const STOPS: i64 = 5_000;
/// Milliseconds.
const HOUR: i64 = 3_600_000;

/// The two time zone databases: the program's own as folders, and in each a zone of its own, [`MOVING`].
static DATABASES: LazyLock<[(Zones, Rules); 2]> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    [("2026a", "Europe/Berlin", Rules::Berlin), ("2026b", "Europe/Lisbon", Rules::Lisbon)].map(
        |(version, like, rules)| {
            let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("zoneinfo");
            let database = folder.path().join(version);
            let copy = |zone: &str, id: &str| {
                let file = database.join(id);
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                std::fs::copy(own.join("tzif").join(zone), file).unwrap();
            };
            // Whole databases: what a folder lacks is taken from elsewhere, which takes long to compare.
            let links = std::fs::read_to_string(own.join("links.tsv")).unwrap();
            for (link, zone) in links.lines().filter_map(|line| line.split_once('\t')) {
                if own.join("tzif").join(zone).is_file() {
                    copy(zone, link);
                    copy(zone, zone);
                }
            }
            for zone in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"] {
                copy(zone, zone);
            }
            copy(like, MOVING);
            std::fs::write(database.join("version"), version).unwrap();
            (Zones::load(&ZoneinfoChoice::Folder(database)).unwrap(), rules)
        },
    )
});

/// The time zone database that a process finds.
pub fn database(number: usize) -> &'static Zones {
    &DATABASES[number].0
}

/// A process of the program.
struct Process {
    core: Core,
    /// What a worker waits on.
    announced: watch::Receiver<()>,
    workers: Vec<DeliveryWorker<Recorder>>,
    /// When the wheel wants its next tick, and when each delivery worker does.
    wheel: Option<i64>,
    posts: Vec<Option<i64>>,
    /// When it tries again to take back what a wrong clock has done.
    minds: Option<i64>,
    /// What each delivery worker has sent and could not settle: places in what was sent.
    unsettled: Vec<Vec<usize>>,
}

/// What has happened in a run, in figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub fired: usize,
    pub missed: usize,
    pub sent: usize,
    pub starts: usize,
    pub kills: usize,
    pub before_commit: usize,
    pub after_commit: usize,
    pub while_sending: usize,
    pub failed_commits: usize,
    pub looks: usize,
    pub edits: usize,
    pub clock_steps: usize,
    pub databases: usize,
    /// Mails that were kept waiting, because their user had had enough.
    pub held: usize,
    /// How often the clock jumped, and how often what it had done was taken back.
    pub jumps: usize,
    pub taken_back: usize,
    /// Of virtual time.
    pub hours: usize,
}

/// What a world is tried with besides, which a series of its own decides: other seeds are what they were before there
/// was this.
#[derive(Clone, Debug)]
pub struct Trials {
    pub chance: Chance,
    /// How many mails a user gets within an hour.
    pub limit: Option<usize>,
    /// Whether it holds no more.
    is_lifted: bool,
    /// Whether the clock is wrong for a while, now and then.
    pub jumps: bool,
}

impl Trials {
    pub fn of(seed: u64) -> Trials {
        let mut chance = Chance::new(seed ^ 0x7472_6961_6c73);
        let (limits, jumps) =
            chance.pick(&[(true, false), (false, true), (true, true), (false, false), (false, false)]);
        let limit = chance.pick(&[2, 5, 20]);
        Trials { limit: limits.then_some(limit), is_lifted: false, jumps, chance }
    }
}

/// The world.
pub struct World {
    pub chance: Chance,
    pub trials: Trials,
    pub clock: Clock,
    pub store: Store,
    pub model: Model,
    pub disk: Arc<Script>,
    pub postbox: Arc<Postbox>,
    pub moods: Vec<Arc<Mutex<Mood>>>,
    pub figures: Figures,
    /// Whether the store can be reached.
    pub reachable: bool,
    /// Which of the databases the next process finds.
    pub database: usize,
    /// When the store is looked at next, if a process runs then.
    pub next_sync: i64,
    /// How many were sent when what a clock that was ahead had done was taken back, and to when it was set.
    pub taken_back: Vec<(usize, i64)>,
    /// By how much the clock is wrong, milliseconds.
    wrong: i64,
    /// Whether the ledger may have something of a clock that was ahead.
    was_ahead: bool,
    /// What cannot be, of which nobody has been told.
    complaint: Option<String>,
    /// The latest that the clock ever showed.
    latest: i64,
    config: Config,
    process: Option<Process>,
    trail: Option<Vec<String>>,
}

impl World {
    /// A world at `now` (UTC milliseconds), whose ledger is at `ledger`; `trail`: whether to remember all that happens.
    pub fn new(mut chance: Chance, mut trials: Trials, now: i64, ledger: &Path, horizon: i64, trail: bool) -> World {
        let max_lateness = chance.pick(&[600, 7_200, 86_400]);
        let mut give_up_after = Duration::from_secs(chance.pick(&[3_600, 86_400]));
        if trials.limit.is_some() && trials.chance.one_in(2) {
            give_up_after = Duration::from_secs(100 * 86_400);
        }
        let user_zone = chance.pick(&[None, Some("Europe/Berlin"), Some(MOVING)]);
        let mut config = config(ledger.to_owned(), Duration::from_secs(max_lateness), give_up_after, user_zone);
        if trials.limit.is_some() {
            // Enough mails to matter.
            config.sinks[1].actions.clear();
        }
        World {
            clock: Clock::manual(UtcMillis(now)),
            store: Store::new(user_zone),
            model: Model::new(i64::try_from(max_lateness).unwrap() * 1_000, horizon, user_zone),
            disk: Arc::default(),
            postbox: Arc::default(),
            moods: SINKS.iter().map(|_| Arc::new(Mutex::new(Mood::Well))).collect(),
            figures: Figures::default(),
            reachable: true,
            database: 0,
            next_sync: now,
            taken_back: Vec::new(),
            wrong: 0,
            was_ahead: false,
            complaint: None,
            latest: now,
            config,
            process: None,
            trail: trail.then(Vec::new),
            trials,
            chance,
        }
    }

    /// By the clock, UTC milliseconds.
    pub fn now(&self) -> i64 {
        self.clock.now().0
    }

    pub fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// Remembers what happened, where somebody wants to know.
    pub fn note(&mut self, what: impl FnOnce() -> String) {
        let now = self.clock.now();
        if let Some(trail) = &mut self.trail {
            trail.push(format!("{now} {}", what()));
        }
    }

    pub fn trail(&mut self) -> Vec<String> {
        self.trail.take().unwrap_or_default()
    }

    /// Milliseconds after which a delivery is given up.
    pub fn give_up_after(&self) -> i64 {
        i64::try_from(self.config.sinks[0].give_up_after.as_millis()).unwrap()
    }

    pub fn ledger(&self) -> PathBuf {
        self.config.ledger.clone()
    }

    /// Starts a process, unless one runs. It may end while it starts.
    pub async fn start(&mut self) -> Result<(), String> {
        if self.is_up() {
            return Ok(());
        }
        self.figures.starts += 1;
        let database = self.database;
        self.note(|| format!("a process starts, with database {database}"));
        let ledger =
            Ledger::open_on(&self.config.ledger, self.disk.clone()).await.map_err(|error| error.to_string())?;
        let (zones, rules) = &DATABASES[self.database];
        self.postbox.process.fetch_add(1, Ordering::SeqCst);
        let before = self.has_ahead().await?;
        let started = Core::start(&self.config, zones, ledger.clone(), &self.clock).await;
        // What the rules of a zone move is moved before the clock is looked at.
        if started.is_ok() {
            self.model.started(self.now(), *rules);
        }
        self.see_taken_back(before, started.is_ok()).await?;
        match started {
            Ok(core) => {
                let workers = self.workers(&core);
                let now = Some(self.now());
                // A daemon looks at its sources at once, and waits for them ten seconds at most.
                self.next_sync = self.now() + self.chance.range(0, 10_000);
                self.process = Some(Process {
                    announced: core.new_deliveries.subscribe(),
                    core,
                    workers,
                    wheel: now,
                    posts: vec![now; SINKS.len()],
                    minds: None,
                    unsettled: vec![Vec::new(); SINKS.len()],
                });
            }
            Err(error) => {
                self.note(|| format!("it ends while it starts: {error}"));
                ledger.close().await;
                self.disk.heal();
            }
        }
        Ok(())
    }

    fn workers(&mut self, core: &Core) -> Vec<DeliveryWorker<Recorder>> {
        let mut workers = Vec::new();
        for ((name, mood), sink) in SINKS.into_iter().zip(&self.moods).zip(&self.config.sinks) {
            let limit = self.trials.limit.filter(|_| name == SINKS[1] && !self.trials.is_lifted);
            let recorder = Recorder {
                name,
                mood: mood.clone(),
                chance: Mutex::new(self.chance.branch()),
                postbox: self.postbox.clone(),
                clock: self.clock.clone(),
                disk: self.disk.clone(),
                allowance: limit.map(Allowance::new),
            };
            let id = core.sinks[name];
            workers.push(DeliveryWorker::new(
                recorder,
                id,
                core.ledger.clone(),
                self.clock.clone(),
                sink.give_up_after,
            ));
        }
        workers
    }

    /// The process ends, whatever it was doing. Only what is in the ledger stays.
    pub async fn end(&mut self) {
        let Some(process) = self.process.take() else { return };
        let ledger = process.core.ledger.clone();
        drop(process);
        ledger.close().await;
        self.disk.heal();
        self.model.ended();
    }

    /// Lets time pass until `until`; what runs does its work in it.
    pub async fn advance(&mut self, until: i64) -> Result<(), String> {
        let hours = 1 + (until - self.now()) / HOUR;
        for _ in 0..STOPS * hours {
            let now = self.now();
            let mut next = until;
            if let Some(process) = &self.process {
                let wakes = process.posts.iter().copied().chain([process.wheel, process.minds, Some(self.next_sync)]);
                next = wakes.flatten().fold(next, i64::min).max(now);
            }
            self.clock.set(UtcMillis(next));
            self.latest = self.latest.max(next);
            self.work().await;
            if let Some(complaint) = self.complaint.take() {
                return Err(complaint);
            }
            if next >= until {
                return Ok(());
            }
        }
        Err(format!("the program does not come to rest before {}", UtcMillis(until)))
    }

    /// Lets the process do what is to be done now.
    pub async fn work(&mut self) {
        if self.process.as_ref().is_some_and(|process| process.minds.is_some_and(|at| at <= self.now())) {
            self.mind().await;
        }
        let first = self.chance.one_in(2);
        if first {
            self.tick().await;
        }
        let looks = self.is_up() && self.now() >= self.next_sync;
        if looks {
            self.sync().await;
        }
        if looks || !first {
            self.tick().await;
        }
        for sink in 0..SINKS.len() {
            self.deliver(sink).await;
        }
    }

    /// Turns the wheel until it wants to sleep.
    async fn tick(&mut self) {
        let now = self.now();
        let Some(process) = &mut self.process else { return };
        let before = self.disk.commits();
        let outcome = loop {
            match process.core.wheel.tick().await {
                Ok(Tick::Again) => {}
                Ok(Tick::Sleep(until)) => break Ok(until),
                Err(error) => break Err(error),
            }
        };
        let announced = process.announced.has_changed().unwrap();
        process.announced.mark_unchanged();
        if announced {
            process.posts.fill(Some(now));
        }
        let commits = self.disk.commits() - before;
        match outcome {
            Ok(until) => {
                process.wheel = until.map(|until| until.0);
                self.model.turned(now, None);
                if announced {
                    self.note(|| "new deliveries are announced".to_owned());
                }
            }
            Err(error) => {
                process.wheel = Some(now + 1_000);
                self.model.turned(now, Some(commits));
                self.note(|| format!("the wheel does not turn after {commits} commits: {error}"));
                self.end_if_it_has().await;
            }
        }
    }

    async fn end_if_it_has(&mut self) {
        if self.disk.has_ended() {
            self.note(|| "the process ends at a commit".to_owned());
            self.end().await;
        }
    }

    /// Looks at the store.
    pub async fn sync(&mut self) {
        self.figures.looks += 1;
        self.next_sync = self.now() + 1_000 * self.chance.pick(&[1, 30, 600, 3_600, 20_000]);
        if self.reachable {
            let looked = self.sync_all().await;
            self.note(|| if looked { "looked".to_owned() } else { "the look broke off".to_owned() });
        }
        self.end_if_it_has().await;
        if let Some(process) = &self.process {
            process.core.startup_gate.open();
            self.model.released();
        }
    }

    /// False: it broke off.
    async fn sync_all(&mut self) -> bool {
        let Some(process) = &self.process else { return false };
        let (ingest, synced_at) = (process.core.ingest.clone(), self.now());
        let Ok(known) = ingest.calendars(SOURCE).await else { return false };
        for gone in known.iter().filter(|known| !self.store.calendars.contains_key(&known.href)) {
            let before = self.disk.commits();
            let outcome = ingest.calendar_gone(SOURCE, &gone.href).await;
            if self.disk.commits() > before {
                self.model.calendar_gone(&gone.href);
            }
            if outcome.is_err() {
                return false;
            }
        }
        let hrefs: Vec<String> = self.store.calendars.keys().cloned().collect();
        for href in hrefs {
            let before = self.disk.commits();
            let checkpoint = known.iter().find(|known| known.href == href).and_then(|known| known.checkpoint.clone());
            if checkpoint.is_some() && checkpoint == self.store.checkpoint(&href) {
                let outcome = ingest.unchanged(SOURCE, &href, UtcMillis(synced_at)).await;
                self.model.unchanged(&href, synced_at, self.disk.commits() > before);
                if outcome.is_err() || self.disk.has_ended() {
                    return false;
                }
                continue;
            }
            let etags = match ingest.etags(SOURCE, &href).await {
                Ok(etags) => etags,
                Err(_) => return false,
            };
            if !self.hand_in(&ingest, &href, &etags, synced_at).await {
                return false;
            }
        }
        true
    }

    async fn hand_in(
        &mut self,
        ingest: &reveille::ingest::Ingest,
        href: &str,
        etags: &HashMap<String, String>,
        synced_at: i64,
    ) -> bool {
        for (batch, news) in self.store.batches(href, etags, synced_at, &mut self.chance) {
            let before = self.disk.commits();
            let outcome = ingest.apply(SOURCE, batch).await;
            let committed = self.disk.commits() > before;
            if outcome.is_ok() || committed {
                self.model.taken(&news, self.now(), committed);
            } else {
                self.model.refused(&news);
            }
            self.note(|| {
                let names: Vec<&String> = news.changes.iter().map(|(name, _)| name).collect();
                format!(
                    "handed in {href} {names:?}, {} {outcome:?}",
                    if committed { "committed" } else { "not written" }
                )
            });
            if outcome.is_err() || self.disk.has_ended() {
                return false;
            }
        }
        true
    }

    /// Lets a delivery worker send what may be sent now.
    async fn deliver(&mut self, sink: usize) {
        let now = self.now();
        let Some(process) = &mut self.process else { return };
        if process.posts[sink].is_none_or(|at| at > now) {
            return;
        }
        for rope in [&self.disk.fault, &self.postbox.fatal] {
            tokio::select! { biased; () = rope.notified() => {} () = std::future::ready(()) => {} }
        }
        let before = self.postbox.sent.lock().unwrap().len();
        let commits_before = self.disk.commits();
        let outcome = tokio::select! {
            biased;
            () = self.disk.fault.notified() => None,
            () = self.postbox.fatal.notified() => None,
            outcome = process.workers[sink].send_ready() => outcome.ok(),
        };
        let commits = self.disk.commits();
        let (mut count, mut arrived) = (0, 0);
        let mut fatal = false;
        {
            let mut all_sent = self.postbox.sent.lock().unwrap();
            if commits > commits_before {
                // The first commit settles what was sent before.
                process.unsettled[sink].drain(..).for_each(|place| all_sent[place].settled = true);
            }
            for (place, sent) in all_sent.iter_mut().enumerate().skip(before) {
                // What is sent is settled by the next commit.
                sent.settled = commits > sent.commits && sent.told != Told::Nothing;
                if !sent.settled && sent.told != Told::Nothing {
                    process.unsettled[sink].push(place);
                }
                (count, arrived) = (count + 1, arrived + usize::from(sent.arrived));
            }
        }
        let mood = *self.moods[sink].lock().unwrap();
        if mood == Mood::Fatal && (count > 0 || outcome.is_none()) {
            fatal = !self.disk.has_ended() && outcome.is_none();
        }
        match outcome {
            Some(None) => process.posts[sink] = None,
            Some(Some(wait)) if wait < Duration::from_secs(60) => {
                process.posts[sink] = Some(now + i64::try_from(wait.as_millis()).unwrap());
            }
            // Looking earlier, as it wants to, would find nothing.
            Some(Some(_)) => {
                let next = process.core.ledger.next_attempt(process.core.sinks[SINKS[sink]]).await;
                process.posts[sink] = next.ok().flatten().map(|at| at.0);
            }
            None => process.posts[sink] = Some(now + 1_000),
        }
        // Where all is well, nothing waits that may be sent, and nothing waits for longer than an hour.
        if let (Some(next), Some(Some(_)), Mood::Well, true) = (process.posts[sink], outcome, mood, count > 0)
            && !(now + 1..=now + HOUR + 60_000).contains(&next)
            && self.wrong == 0
            && !self.was_ahead
        {
            self.complaint = Some(format!("{} has sent {count} and waits until {next} with the next", SINKS[sink]));
        }
        if count > 0 || outcome.is_none() {
            let how = if outcome.is_none() { ", and is broken off" } else { "" };
            self.note(|| format!("{} is sent {count}, {arrived} arrive{how}", SINKS[sink]));
        }
        if fatal {
            self.figures.while_sending += 1;
            *self.moods[sink].lock().unwrap() = Mood::Well;
            self.note(|| "the process ends while sending".to_owned());
            self.end().await;
        }
        self.end_if_it_has().await;
    }

    /// Whether anything waits to be sent, and when that may be.
    pub fn next_post(&self) -> Option<i64> {
        self.process.as_ref().and_then(|process| process.posts.iter().flatten().copied().min())
    }

    /// The clock jumps by so many milliseconds. All who sleep until an instant look again; who sleeps for a while does
    /// so.
    pub async fn jump(&mut self, by: i64) -> Result<(), String> {
        let (now, to) = (self.now(), self.now() + by);
        self.figures.jumps += 1;
        self.note(|| format!("the clock jumps to {}", UtcMillis(to)));
        self.wrong += by;
        self.was_ahead = true;
        self.model.interrupted();
        if by < 0 {
            self.postbox.epoch.fetch_add(1, Ordering::SeqCst);
            // What no process remembers is in the ledger, or is lost.
            if self.is_up() {
                self.model.set_back(to);
            }
        }
        self.clock.set(UtcMillis(to));
        self.latest = to;
        self.next_sync += by;
        if let Some(process) = &mut self.process {
            process.minds = Some(to);
            process.posts.iter_mut().flatten().for_each(|at| *at = to + (*at - now).clamp(0, 60_000));
        }
        let first = self.trials.chance.one_in(2);
        if first {
            self.tick().await;
        }
        self.mind().await;
        self.work().await;
        self.complaint.take().map_or(Ok(()), Err)
    }

    /// The program is started again without a limit of mails: what fires all the time may be more than one allows.
    pub async fn lift_limit(&mut self) -> Result<(), String> {
        self.note(|| "the limit of mails is lifted".to_owned());
        self.trials.is_lifted = true;
        self.end().await;
        self.start().await?;
        self.work().await;
        Ok(())
    }

    /// The clock is right again.
    pub async fn put_right(&mut self) -> Result<(), String> {
        self.jump(-self.wrong).await
    }

    /// The program learns that the clock was set.
    async fn mind(&mut self) {
        let outcome = self.mind_clock().await;
        if let Err(error) = outcome {
            self.complaint = Some(error);
        }
        self.end_if_it_has().await;
    }

    async fn mind_clock(&mut self) -> Result<(), String> {
        let now = self.now();
        let Some(process) = &mut self.process else { return Ok(()) };
        let ingest = process.core.ingest.clone();
        let before = self.has_ahead().await?;
        let outcome = ingest.clock_was_set().await;
        self.note(|| format!("the clock was set: {outcome:?}"));
        if let Some(process) = &mut self.process {
            process.minds = outcome.is_err().then_some(now + 1_000);
        }
        self.see_taken_back(before, outcome.is_ok()).await
    }

    /// Whether the ledger has something that a clock has recorded which was ahead, and which is wrong.
    async fn has_ahead(&self) -> Result<bool, String> {
        if !self.was_ahead {
            return Ok(false);
        }
        let lateness = i64::try_from(self.config.defaults.max_lateness.as_millis()).unwrap();
        let options = SqliteConnectOptions::new().filename(&self.config.ledger).read_only(true);
        let mut ledger = options.connect().await.map_err(|error| error.to_string())?;
        let sql = "SELECT EXISTS (SELECT 1 FROM calendars WHERE last_synced_at > ?1 + 60000)
            OR EXISTS (SELECT 1 FROM firings WHERE state = 'missed' AND fired_at > ?1 + 60000 AND due > ?1)
            OR EXISTS (SELECT 1 FROM firings JOIN objects ON objects.id = object WHERE state = 'missed' AND
                fired_at > ?1 + 60000 AND due >= ?1 - ?2 AND (last_modified IS NULL OR last_modified <= due OR last_modified > ?1))
            OR EXISTS (SELECT 1 FROM deliveries WHERE state = 'failed' AND settled_at > ?1 + 60000
                AND response LIKE 'gave up after%')
            OR EXISTS (SELECT 1 FROM deliveries WHERE state = 'pending' AND next_attempt > ?1 + 3660000)";
        let has = sqlx::query_scalar(sql).bind(self.now()).bind(lateness).fetch_one(&mut ledger).await;
        ledger.close().await.map_err(|error| error.to_string())?;
        has.map_err(|error| error.to_string())
    }

    /// Whether what the ledger had `before` of a clock that was ahead is gone, as it must be where `all` has been done.
    async fn see_taken_back(&mut self, before: bool, all: bool) -> Result<(), String> {
        let after = before && self.has_ahead().await?;
        if after && all {
            return Err("what a clock that was ahead has recorded stays".to_owned());
        }
        if before && !after {
            let (now, sent) = (self.now(), self.postbox.sent.lock().unwrap().len());
            self.note(|| "what the clock did that was ahead is taken back".to_owned());
            self.figures.taken_back += 1;
            self.model.taken_back(now);
            self.taken_back.push((sent, now));
        }
        self.was_ahead &= self.wrong != 0 || after || !all;
        Ok(())
    }

    /// Forgets old history, if the program takes the clock to be right.
    pub async fn sweep(&mut self) {
        let Some(process) = &self.process else { return };
        let pruner = HistoryPruner::new(&self.config, process.core.ledger.clone(), self.clock.clone());
        let outcome = pruner.pass().await;
        self.note(|| format!("old history is forgotten: {outcome:?}"));
        self.end_if_it_has().await;
    }

    /// The clock is set, or the machine wakes up: who sleeps until an instant looks again.
    pub async fn set_clock(&mut self, to: i64) {
        let to = to.max(self.latest - BACK);
        if to < self.now() {
            self.postbox.epoch.fetch_add(1, Ordering::SeqCst);
        }
        self.clock.set(UtcMillis(to));
        self.latest = self.latest.max(to);
        self.model.interrupted();
        // Who waits for a span of time goes on waiting: an hour at most.
        self.next_sync = self.next_sync.min(to + 3_600_000);
        if let Some(process) = &mut self.process {
            process.minds = process.minds.map(|at| at.min(to + 1_000));
        }
        self.work().await;
    }
}

/// Settings with the two sinks and the source of the simulation.
pub fn config(ledger: PathBuf, max_lateness: Duration, give_up_after: Duration, zone: Option<&str>) -> Config {
    let sink = |name: &str, settings: Arc<dyn SinkSettings>, actions: &[&str]| SinkConfig {
        name: name.to_owned(),
        actions: actions.iter().map(|action| (*action).to_owned()).collect(),
        users: Vec::new(),
        calendars: Vec::new(),
        filter: Default::default(),
        events: true,
        timeout: Duration::from_secs(30),
        give_up_after,
        settings,
    };
    let mail = EmailSettings {
        host: "mail.example.org".to_owned(),
        port: 465,
        allow_plaintext: false,
        security: SmtpSecurity::Implicit,
        login: None,
        helo: None,
        from: USER.to_owned(),
        recipients: Recipients::List(RECIPIENTS.map(str::to_owned).to_vec()),
        max_connections: 1,
        max_mails_per_hour: 1_000_000,
        command_timeout: Duration::from_secs(300),
        data_timeout: Duration::from_secs(600),
        ca_file: None,
        list_unsubscribe: None,
        templates: Arc::new(MailTemplates::built_in().unwrap()),
    };
    let folder = SourceKind::Directory(DirectorySettings {
        path: PathBuf::from("nowhere"),
        layout: Layout::Auto,
        rescan_interval: Duration::from_secs(600),
        follow_links: Vec::new(),
    });
    let source = config::SourceConfig {
        name: SOURCE.to_owned(),
        user: Some(USER.to_owned()),
        login: USER.to_owned(),
        email: vec![USER.to_owned()],
        zone: zone.map(str::to_owned),
        users: Arc::default(),
        calendars: Vec::new(),
        alarms: Default::default(),
        kind: folder,
        write: false,
        origin: None,
    };
    Config {
        file: None,
        warnings: Vec::new(),
        ledger,
        zoneinfo: ZoneinfoChoice::Bundled,
        keep_history: Duration::from_secs(365 * 86_400),
        log: Log::default(),
        defaults: Defaults {
            zone: None,
            locale: None,
            max_lateness,
            absent_grace: Duration::from_secs(900),
            server_name: "here.example.org".to_owned(),
            own_domains: None,
        },
        limits: LimitsConfig::default(),
        events: Default::default(),
        users: Arc::default(),
        sources: vec![source],
        account_origins: AccountOrigins::default(),
        listings: Vec::new(),
        server_users: Default::default(),
        account_problems: Vec::new(),
        sinks: vec![
            sink(SINKS[0], registry::standard_output().settings, &[]),
            sink(SINKS[1], Arc::new(mail), &["email"]),
        ],
        admin: Default::default(),
    }
}

impl super::Sum for Figures {
    fn add(&mut self, other: Figures) {
        self.fired += other.fired;
        self.missed += other.missed;
        self.sent += other.sent;
        self.starts += other.starts;
        self.kills += other.kills;
        self.before_commit += other.before_commit;
        self.after_commit += other.after_commit;
        self.while_sending += other.while_sending;
        self.failed_commits += other.failed_commits;
        self.looks += other.looks;
        self.edits += other.edits;
        self.clock_steps += other.clock_steps;
        self.databases += other.databases;
        self.held += other.held;
        self.jumps += other.jumps;
        self.taken_back += other.taken_back;
        self.hours += other.hours;
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let crashes = self.kills + self.before_commit + self.after_commit + self.while_sending;
        write!(
            f,
            "{} fired, {} missed, {} deliveries sent; {crashes} crashes ({} before a commit, {} after one, {} while sending, \
             {} at rest), {} starts, {} failed commits, {} looks, {} edits, {} times the clock was set, {} new time \
             zone databases, {} mails held, {} jumps of the clock, {} of them taken back; {} days of virtual time",
            self.fired,
            self.missed,
            self.sent,
            self.before_commit,
            self.after_commit,
            self.while_sending,
            self.kills,
            self.starts,
            self.failed_commits,
            self.looks,
            self.edits,
            self.clock_steps,
            self.databases,
            self.held,
            self.jumps,
            self.taken_back,
            self.hours / 24
        )
    }
}

//! The program before a server that lies: its real CalDAV sources, ingest, ledger and wheel, driven one step after the
//! other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use reveille::clock::Clock;
use reveille::config::{self, CaldavSettings, Config, Credentials, SourceKind};
use reveille::daemon::Core;
use reveille::delivery::worker::DeliveryWorker;
use reveille::firing::Tick;
use reveille::ledger::Ledger;
use reveille::source::caldav::CaldavSource;
use reveille::time::UtcMillis;
use tokio::sync::watch;

use super::super::disk::Script;
use super::super::sink::{Mood, Postbox, Recorder};
use super::super::world::{SINKS, config as settings, database};
use super::way::Way;
use crate::chance::Chance;
use crate::liar::model::{Bounds, Look, Model, Place};
use crate::liar::{MANNERS, Server, lies::Untruth};

/// Whose alarms fire, with which login, and where their calendars are looked for: by the home's address, by the
/// server's, and somebody else's home.
pub const SOURCES: [(&str, &str, &str); 3] =
    [("mary", "mary", "/cal/mary/"), ("bob", "bob", "/"), ("alice", "service", "/cal/alice/")];
/// Has calendars of its own, whose alarms fire for no user.
pub const SERVICE: &str = "service";
/// Milliseconds after which the program compares a calendar as a whole, whatever its server says.
const COMPARED: i64 = 15 * 60_000;
/// Stops in an hour after which the program is taken to be spinning.
const STOPS: i64 = 5_000;
const HOUR: i64 = 3_600_000;

/// What has happened, in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub fired: usize,
    pub missed: usize,
    pub looks: usize,
    pub lied_to: usize,
    pub compared: usize,
    pub edits: usize,
    pub kills: usize,
    pub at_commits: usize,
    pub requests: usize,
    /// Lies, by their kind.
    pub lies: BTreeMap<String, usize>,
    pub hours: usize,
}

struct Process {
    core: Core,
    /// What a worker waits on.
    announced: watch::Receiver<()>,
    sources: Vec<CaldavSource>,
    workers: Vec<DeliveryWorker<Recorder>>,
    wheel: Option<i64>,
    /// Everything was looked at once.
    is_released: bool,
}

pub struct World {
    pub chance: Chance,
    pub clock: Clock,
    pub server: Arc<Mutex<Server>>,
    pub model: Model,
    pub disk: Arc<Script>,
    pub figures: Figures,
    pub next_sync: i64,
    pub postbox: Arc<Postbox>,
    /// Calendars whose versions may coincide with those that the program knows although they are others, and since
    /// when.
    doubts: BTreeMap<Place, i64>,
    /// Calendars that a sync has found.
    pub known: BTreeSet<Place>,
    /// Calendars that were removed: one that is made in such a place may coincide with the one before.
    pub removed: BTreeSet<Place>,
    /// Calendars that are other ones under the same entity tags: only reading all their texts would tell.
    pub indistinct: BTreeSet<Place>,
    /// Calendars that were lied about and not looked at in truth since.
    lied: BTreeSet<Place>,
    config: Config,
    process: Option<Process>,
    /// Sources that the last sync could not read as a whole, or that this process has not looked at.
    doubtful: [bool; 3],
    trail: Option<Vec<String>>,
}

impl World {
    pub fn new(mut chance: Chance, now: i64, ledger: &Path, until: i64, trail: bool) -> World {
        let lateness = Duration::from_secs(chance.pick(&[7_200, 86_400, 10 * 86_400]));
        let day = Duration::from_secs(86_400);
        let mut config = settings(ledger.to_owned(), lateness, day, None);
        config.sources = SOURCES.map(source).to_vec();
        let mut server = Server::new(chance.pick(&MANNERS), chance.branch());
        server.skew = chance.pick(&[0, 0, 300, 240_000, -240_000, 1_800_000, -1_800_000]);
        World {
            clock: Clock::manual(UtcMillis(now)),
            server: Arc::new(Mutex::new(server)),
            model: Model::new(Bounds {
                max_lateness: i64::try_from(lateness.as_millis()).unwrap(),
                until,
                ..Bounds::default()
            }),
            disk: Arc::default(),
            figures: Figures::default(),
            next_sync: now,
            postbox: Arc::default(),
            doubts: BTreeMap::new(),
            known: BTreeSet::new(),
            removed: BTreeSet::new(),
            indistinct: BTreeSet::new(),
            lied: BTreeSet::new(),
            config,
            process: None,
            doubtful: [true; 3],
            trail: trail.then(Vec::new),
            chance,
        }
    }

    pub fn now(&self) -> i64 {
        self.clock.now().0
    }

    pub fn is_up(&self) -> bool {
        self.process.is_some()
    }

    pub fn ledger(&self) -> PathBuf {
        self.config.ledger.clone()
    }

    pub fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap()
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

    /// Starts a process, unless one runs. It may end while it starts.
    pub async fn start(&mut self) -> Result<(), String> {
        if self.is_up() {
            return Ok(());
        }
        self.note(|| "a process starts".to_owned());
        let ledger =
            Ledger::open_on(&self.config.ledger, self.disk.clone()).await.map_err(|error| error.to_string())?;
        match Core::start(&self.config, database(0), ledger.clone(), &self.clock).await {
            Ok(core) => {
                let sources: Result<Vec<_>, _> = self.config.sources.iter().map(|source| self.source(source)).collect();
                let workers = self.workers(&core);
                let now = self.now();
                self.next_sync = now + self.chance.range(0, 10_000);
                self.doubtful = [true; 3];
                let announced = core.new_deliveries.subscribe();
                let (sources, wheel) = (sources?, Some(now));
                self.process = Some(Process { core, announced, sources, workers, wheel, is_released: false });
            }
            Err(error) => {
                self.note(|| format!("it ends while it starts: {error}"));
                self.figures.at_commits += 1;
                ledger.close().await;
                self.disk.heal();
            }
        }
        Ok(())
    }

    fn source(&self, source: &config::SourceConfig) -> Result<CaldavSource, String> {
        let SourceKind::Caldav(settings) = &source.kind else { return Err("no CalDAV source".to_owned()) };
        let made = CaldavSource::new(source, settings, &self.config.limits, self.clock.clone());
        let (server, login, clock) = (self.server.clone(), source.login.clone(), self.clock.clone());
        Ok(made.map_err(|error| error.to_string())?.over(Arc::new(Way { server, login, clock })))
    }

    fn workers(&mut self, core: &Core) -> Vec<DeliveryWorker<Recorder>> {
        let mut workers = Vec::new();
        for (name, sink) in SINKS.into_iter().zip(&self.config.sinks) {
            let recorder = Recorder {
                name,
                mood: Arc::new(Mutex::new(Mood::Well)),
                chance: Mutex::new(self.chance.branch()),
                postbox: self.postbox.clone(),
                clock: self.clock.clone(),
                disk: self.disk.clone(),
                allowance: None,
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
        // What it was given last may not have come into the ledger.
        self.server().given.clear();
        let now = self.now();
        self.model.down(now);
    }

    /// Lets time pass until `until`; what runs does its work in it.
    pub async fn advance(&mut self, until: i64) -> Result<(), String> {
        let hours = 1 + (until - self.now()) / HOUR;
        for _ in 0..STOPS * hours {
            let now = self.now();
            let mut next = until;
            if let Some(process) = &self.process {
                next = [process.wheel, Some(self.next_sync)].into_iter().flatten().fold(next, i64::min).max(now);
            }
            self.clock.set(UtcMillis(next));
            self.work().await?;
            if next >= until {
                return Ok(());
            }
        }
        Err(format!("the program does not come to rest before {}", UtcMillis(until)))
    }

    /// Lets the process do what is to be done now.
    pub async fn work(&mut self) -> Result<(), String> {
        let now = self.now();
        if self.server().heal(now) {
            self.note(|| "a lie is over".to_owned());
        }
        let first = self.chance.one_in(2);
        if first {
            self.tick().await;
        }
        let looks = self.is_up() && now >= self.next_sync;
        if looks {
            self.sync().await?;
        } else if !first {
            self.tick().await;
        }
        Ok(())
    }

    /// Turns the wheel until it wants to sleep, and delivers.
    async fn tick(&mut self) {
        let now = self.now();
        let Some(process) = &mut self.process else { return };
        let outcome = loop {
            match process.core.wheel.tick().await {
                Ok(Tick::Again) => {}
                Ok(Tick::Sleep(until)) => break Ok(until),
                Err(error) => break Err(error),
            }
        };
        process.wheel = match &outcome {
            Ok(until) => until.map(|until| until.0),
            Err(_) => Some(now + 1_000),
        };
        let announced = process.announced.has_changed().unwrap();
        if outcome.is_ok() && announced {
            process.announced.mark_unchanged();
            for worker in &process.workers {
                tokio::select! { biased; () = self.disk.fault.notified() => break, _ = worker.send_ready() => {} }
            }
        }
        if announced || outcome.is_err() {
            self.note(|| format!("the wheel fires: {outcome:?}"));
        }
        self.end_if_it_has().await;
    }

    async fn end_if_it_has(&mut self) {
        if self.disk.has_ended() {
            self.note(|| "the process ends at a commit".to_owned());
            self.figures.at_commits += 1;
            self.end().await;
        }
    }

    /// Looks at all that there is, and compares what the ledger has then where nothing was untrue.
    pub async fn sync(&mut self) -> Result<(), String> {
        let now = self.now();
        self.next_sync = now + 1_000 * self.chance.pick(&[1, 30, 300, 1_200, 3_600]);
        let mut honest = Vec::new();
        for (nr, (user, ..)) in SOURCES.into_iter().enumerate() {
            let Some(process) = &mut self.process else { return Ok(()) };
            let ingest = process.core.ingest.clone();
            let outcome = process.sources[nr].sync_account(&*ingest).await;
            let ended = self.disk.has_ended();
            self.figures.looks += 1;
            self.note(|| format!("looked at {user}: {outcome:?}"));
            let failed = outcome.is_err();
            let is_honest = self.remember(user, nr, now, ended);
            if let (Err(error), true) = (&outcome, !ended && self.is_honest(user)) {
                return Err(format!("a look at {user} failed where all was well: {error}"));
            }
            honest.extend(is_honest);
            if let Some(soon) = outcome.as_ref().ok().and_then(|looked| looked.again_in) {
                self.next_sync = self.next_sync.min(now + i64::try_from(soon.as_millis()).unwrap());
            }
            self.figures.requests += outcome.map_or(0, |looked| usize::try_from(looked.requests).unwrap_or_default());
            self.doubtful[nr] = failed;
            if ended {
                self.end_if_it_has().await;
                return Ok(());
            }
        }
        self.release();
        self.tick().await;
        if self.is_up() { self.compare(honest).await } else { Ok(()) }
    }

    /// The versions of a calendar may coincide with those that the program knows, as late as `at`.
    pub fn doubt(&mut self, place: &Place, at: i64) {
        let since = self.doubts.entry(place.clone()).or_insert(at);
        *since = at.max(*since);
    }

    /// The server tells the truth from now on.
    pub fn heal(&mut self) {
        let now = self.now();
        self.server().lies.clear();
        self.doubts.values_mut().for_each(|since| *since = now.min(*since));
    }

    fn is_honest(&self, user: &str) -> bool {
        self.server().lies.iter().all(|lie| lie.user != user)
    }

    fn release(&mut self) {
        let now = self.now();
        let Some(process) = &mut self.process else { return };
        process.core.startup_gate.open();
        if !std::mem::replace(&mut process.is_released, true) {
            self.model.up(now);
        }
    }

    /// Tells the model of a sync of the calendars of `user`, and returns those of which all was true.
    fn remember(&mut self, user: &str, nr: usize, now: i64, ended: bool) -> Vec<Place> {
        let (mut honest, mut seen) = (Vec::new(), Vec::new());
        for calendar in super::CALENDARS {
            let place = (user.to_owned(), calendar.to_owned());
            let server = self.server();
            let is_listed = |other: &str| !server.lies.iter().any(|lie| lie.is_of(user, other));
            let is_there =
                |other: &str| server.homes.get(user).is_some_and(|home| home.contains_key(other)) && is_listed(other);
            // A calendar that is new to the program says nothing of those that it knows.
            let is_known = |other: &str| self.known.contains(&(user.to_owned(), other.to_owned()));
            let others = super::CALENDARS.iter().any(|other| *other != calendar && is_there(other) && is_known(other));
            let is_seen = !ended && is_there(calendar);
            let of_it: Vec<Untruth> =
                server.lies.iter().filter(|lie| lie.is_of(user, calendar)).map(|lie| lie.untruth()).collect();
            drop(server);
            let mut told = of_it.iter().copied().max();
            if let Some(since) = self.doubts.get(&place).copied() {
                if self.doubtful[nr] || now - since > COMPARED {
                    if told.is_none() && !ended {
                        self.doubts.remove(&place);
                    }
                } else {
                    told = Some(Untruth::Past);
                }
            }
            if self.indistinct.contains(&place) {
                told = Some(Untruth::Past);
            }
            if ended && told.is_none() {
                told = Some(Untruth::Failure);
            }
            if is_seen && told.is_none() {
                seen.push(place.clone());
            }
            self.figures.lied_to += usize::from(told.is_some());
            let absent = of_it.contains(&Untruth::Absence);
            self.model.looked(&place, Look { began: now, at: now, told, absent, others });
            match told {
                // What was not lied about before is compared now and then.
                None if self.lied.remove(&place) || self.chance.one_in(4) => honest.push(place),
                None => {}
                Some(_) => {
                    self.lied.insert(place);
                }
            }
        }
        self.known.extend(seen);
        honest
    }

    /// Compares what the ledger has of these calendars, and what is armed of it, with the store.
    async fn compare(&mut self, places: Vec<Place>) -> Result<(), String> {
        let Some(process) = &self.process else { return Ok(()) };
        let ledger = process.core.ledger.clone();
        let now = self.now();
        let rows = ledger.calendars(None).await.map_err(|error| error.to_string())?;
        for place in places {
            let href = format!("/cal/{}/{}/", place.0, place.1);
            let mut has = BTreeMap::new();
            let row = rows.iter().find(|row| row.source == place.0 && row.info.href == href);
            let Some(collection) = self.server().collection(&place.0, &place.1).cloned() else { continue };
            let Some(row) = row else { return Err(format!("{href} is there and not in the ledger")) };
            for object in ledger.texts_after(Some(row.id), None, 0, 1_000).await.map_err(|error| error.to_string())? {
                let text = String::from_utf8_lossy(&object.text).replace('\r', "");
                let due = object.due.map(|due| due.0).filter(|due| *due < self.model.until());
                has.insert(object.href, (text, due));
            }
            let mut wants = BTreeMap::new();
            for (name, resource) in &collection.objects {
                let due = self.model.next(&place, name, now);
                wants.insert(format!("{href}{name}"), (resource.text.replace('\r', ""), due));
            }
            self.figures.compared += 1;
            if has != wants {
                let differs = |href: &&String| has.get(*href) != wants.get(*href);
                let href = has.keys().chain(wants.keys()).find(differs).cloned().unwrap_or_default();
                return Err(match (has.get(&href), wants.get(&href)) {
                    (Some((text, has)), Some((same, wants))) if text == same => {
                        format!("{href} is armed for {has:?}, and fires at {wants:?}")
                    }
                    (has, wants) => format!("of {href} the ledger has\n{has:?}\nand the store\n{wants:?}"),
                });
            }
        }
        Ok(())
    }
}

fn source((user, login, path): (&str, &str, &str)) -> config::SourceConfig {
    config::SourceConfig {
        name: user.to_owned(),
        user: Some(user.to_owned()),
        login: login.to_owned(),
        users: Default::default(),
        email: vec![format!("{user}@example.org")],
        zone: None,
        calendars: Vec::new(),
        alarms: Default::default(),
        kind: SourceKind::Caldav(CaldavSettings {
            url: format!("http://dav.example.org{path}"),
            credentials: Credentials::None,
            poll_interval: Duration::from_secs(60),
            max_poll_interval: Duration::from_secs(60),
            hinted_poll_interval: Duration::from_secs(60),
            default_alarms: false,
            own_domains: config::OwnDomains::Usual(Vec::new()),
            timeout: Duration::from_secs(30),
            ca_file: None,
            client_certificate: None,
            authorize_as: None,
        }),
        write: false,
        origin: None,
    }
}

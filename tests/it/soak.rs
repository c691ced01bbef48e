//! A soak: a real daemon looks at calendars of many users on servers that lie and heal in real time, while somebody
//! edits them all the time and alarms are due every second. After each healing, within one sync, what is armed equals
//! what is in the store; at the end the [model](crate::liar::model) says what must have fired, for whom, and that
//! nothing fired twice.
//!
//! It takes seconds, or as long as it is told:
//!
//! ```text
//! REVEILLE_SOAK_SECONDS=1800 cargo test --release --test it soak -- --nocapture
//! ```

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use reveille::clock::Clock;
use reveille::ledger::{ArmedFilter, FiringState, Inspector, TimerCursor};
use reveille::time::UtcMillis;
use serde_json::Value;

use crate::chance::Chance;
use crate::daemon::{Daemon, undisturbed};
use crate::liar::lies::{Kind, Lie, Untruth};
use crate::liar::model::{Bounds, Instance, Look, Model, Name, Place, Recorded};
use crate::liar::{Collection, MANNERS, Server};
use crate::scripted::{Asked, Reply, Scripted};

const USERS: usize = 20;
/// Of each user.
const CALENDARS: usize = 25;
/// Objects that are in each calendar from the beginning, and about as many as it keeps.
const OBJECTS: usize = 4;
const POLL: Duration = Duration::from_secs(2);
/// Between two edits, and between two lies that begin.
const EDITS_APART: Duration = Duration::from_millis(200);
const EDITS_PER_LIE: u64 = 6;
/// Syncs that follow one another sooner are parts of one.
const PART: i64 = 1_000;
/// By how much it is not known what came first, milliseconds.
const BLUR: i64 = 3_000;
const SECOND: i64 = 1_000;
const DAY: i64 = 86_400 * SECOND;

/// A sync that is under way.
#[derive(Debug, Default)]
struct Visit {
    began: i64,
    /// By calendar, the worst that it was told so far, and whether the calendar was not there for it.
    told: BTreeMap<String, (Option<Untruth>, bool)>,
}

/// What was in a store at some moment, and where it can be compared.
struct Snapshot {
    at: i64,
    /// Calendars that were looked at in truth, and when that sync began.
    looked: HashMap<Place, i64>,
    /// Their objects: text, and when it fires next.
    objects: HashMap<(Place, String), (String, Option<i64>)>,
}

/// A calendar as it was once, with its events: name, UID, their alarm instances.
type Backup = (Place, Collection, Vec<(String, String, Vec<Instance>)>);

#[derive(Debug)]
struct World {
    servers: BTreeMap<String, Server>,
    model: Model,
    chance: Chance,
    visits: HashMap<String, Visit>,
    /// The last sync of each calendar of which all was true, from when until when.
    honest: HashMap<Place, (i64, i64)>,
    /// When each calendar was lied about last.
    lied: HashMap<Place, i64>,
    /// When each object was edited last.
    edited: HashMap<(Place, String), i64>,
    /// The events that are in the store, with their alarm instances.
    events: HashMap<(Place, String), (String, Vec<Instance>)>,
    backup: Option<Backup>,
    /// Users whose server is down since then, because something is put back.
    down: HashMap<String, i64>,
    /// When a user was turned away last.
    refused: HashMap<String, i64>,
    /// Calendars that have healed and were not compared since.
    healed: HashSet<Place>,
    written: u64,
    figures: Figures,
    /// What was done to whom.
    story: Vec<(String, String)>,
}

#[derive(Debug, Default)]
struct Figures {
    requests: u64,
    looks: u64,
    looks_lied_to: u64,
    edits: u64,
    lies: BTreeMap<String, u64>,
    healings: u64,
    comparisons: u64,
    objects: u64,
}

fn now() -> i64 {
    Clock::System.now().0
}

fn user(n: usize) -> String {
    format!("u{n:02}")
}

fn calendar(n: usize) -> String {
    format!("c{n:02}")
}

impl World {
    fn new(seed: u64) -> World {
        let mut chance = Chance::new(seed);
        let mut servers = BTreeMap::new();
        for n in 0..USERS {
            let mut server = Server::new(MANNERS[n % MANNERS.len()], chance.branch());
            server.is_in_real_time = true;
            server.skew = chance.pick(&[0, 0, 240 * SECOND, -240 * SECOND, 1_200 * SECOND]);
            servers.insert(user(n), server);
        }
        let bounds = Bounds { max_lateness: DAY, until: now() + 30 * DAY, blur: BLUR, latest: DAY };
        let mut world = World {
            servers,
            model: Model::new(bounds),
            chance,
            visits: HashMap::new(),
            honest: HashMap::new(),
            lied: HashMap::new(),
            edited: HashMap::new(),
            events: HashMap::new(),
            backup: None,
            down: HashMap::new(),
            refused: HashMap::new(),
            healed: HashSet::new(),
            written: 0,
            figures: Figures::default(),
            story: Vec::new(),
        };
        world.fill();
        world
    }

    fn fill(&mut self) {
        let at = now();
        for place in (0..USERS).flat_map(|u| (0..CALENDARS).map(move |c| (user(u), calendar(c)))) {
            self.server(&place.0).make(&place.0, &place.1, None, at);
            self.model.made(&place, at);
            for _ in 0..OBJECTS {
                self.create(&place);
            }
        }
    }

    fn server(&mut self, user: &str) -> &mut Server {
        self.servers.get_mut(user).unwrap()
    }

    /// Answers a request that somebody who looks at `user`'s calendars has sent.
    fn answer(&mut self, asked: &Asked, user: &str) -> Reply {
        let at = now();
        self.figures.requests += 1;
        if asked.path == format!("/cal/{user}/") && asked.header("depth") == Some("1") {
            self.begin(user, at);
        }
        let lies: Vec<Lie> = self.servers[user].lies.clone();
        if lies.iter().any(|lie| lie.calendar.is_none() && matches!(lie.kind, Kind::Status(500))) {
            self.refused.insert(user.to_owned(), at);
        }
        let visit = self.visits.entry(user.to_owned()).or_default();
        for name in (0..CALENDARS).map(calendar) {
            let of_it: Vec<Untruth> = lies.iter().filter(|lie| lie.is_of(user, &name)).map(Lie::untruth).collect();
            if !of_it.is_empty() {
                self.lied.insert((user.to_owned(), name.clone()), at);
            }
            let (told, absent) = visit.told.entry(name).or_default();
            *told = (*told).max(of_it.iter().copied().max());
            *absent |= of_it.contains(&Untruth::Absence);
        }
        self.server(user).answer(asked, user, at)
    }

    fn note(&mut self, user: &str, what: &str) {
        self.story.push((user.to_owned(), format!("{} {what}", UtcMillis(now()))));
    }

    /// What was done to this user.
    fn story(&self, user: &str) -> String {
        let lines: Vec<&str> =
            self.story.iter().filter(|(other, _)| other == user).map(|(_, line)| line.as_str()).collect();
        lines[lines.len().saturating_sub(80)..].join("\n")
    }

    /// A sync begins, and the one before it is over.
    fn begin(&mut self, user: &str, at: i64) {
        let Some(visit) = self.visits.insert(user.to_owned(), Visit { began: at, ..Visit::default() }) else { return };
        if visit.began == 0 {
            return;
        }
        let is_part = at - visit.began < PART;
        self.figures.looks += 1;
        self.note(user, &format!("the sync of {} is over", UtcMillis(visit.began)));
        let mut lied_to = false;
        for (name, (told, absent)) in visit.told {
            let place = (user.to_owned(), name);
            let told = if is_part { told.or(Some(Untruth::Failure)) } else { told };
            lied_to |= told.is_some();
            self.model.looked(&place, Look { began: visit.began, at, told, absent, others: true });
            if told.is_none() {
                self.honest.insert(place, (visit.began, at));
            }
        }
        self.figures.looks_lied_to += u64::from(lied_to);
    }

    fn some_place(&mut self) -> Place {
        (user(self.chance.below(USERS)), calendar(self.chance.below(CALENDARS)))
    }

    fn create(&mut self, place: &Place) {
        self.written += 1;
        let (name, uid) = (format!("e{}.ics", self.written), format!("e{}@example.org", self.written));
        self.write(place, &name, &uid);
    }

    /// Writes an object that fires soon, or in days.
    fn write(&mut self, place: &Place, name: &str, uid: &str) {
        let at = now();
        let soon = self.chance.below(5) > 0;
        let ahead = if soon { self.chance.range(5, 180) * SECOND } else { self.chance.range(DAY, 9 * DAY) };
        let start = (at + ahead).div_euclid(SECOND) * SECOND;
        let more = self.chance.one_in(3);
        let actions: &[&'static str] = if more { &["display", "audio"] } else { &["display"] };
        let text = text(uid, self.written, start, actions);
        self.server(&place.0).put(&place.0, &place.1, name, &text, at);
        self.arrived(place, name, uid, actions.iter().map(|action| (start, *action)).collect(), at);
    }

    fn arrived(&mut self, place: &Place, name: &str, uid: &str, instances: Vec<Instance>, written: i64) {
        let at = now();
        if self.written > (USERS * CALENDARS * OBJECTS) as u64 {
            self.note(&place.0, &format!("put {}/{name}, {instances:?}", place.1));
        }
        self.model.put(place, name, (uid, instances.clone()), (at, written));
        self.edited.insert((place.clone(), name.to_owned()), at);
        self.events.insert((place.clone(), name.to_owned()), (uid.to_owned(), instances));
    }

    fn delete(&mut self, place: &Place, name: &str) {
        let at = now();
        self.server(&place.0).delete(&place.0, &place.1, name, at);
        self.gone(place, name, at);
    }

    fn gone(&mut self, place: &Place, name: &str, at: i64) {
        self.note(&place.0, &format!("deleted {}/{name}", place.1));
        self.model.gone(place, name, at);
        self.edited.insert((place.clone(), name.to_owned()), at);
        self.events.remove(&(place.clone(), name.to_owned()));
    }

    fn edit(&mut self) {
        self.figures.edits += 1;
        self.written += 1;
        let place = self.some_place();
        let names: Vec<String> = self.server(&place.0).homes[&place.0][&place.1].objects.keys().cloned().collect();
        if names.len() > 3 * OBJECTS {
            let name = self.chance.pick(&names);
            return self.delete(&place, &name);
        }
        if names.is_empty() || self.chance.below(10) < 4 {
            return self.create(&place);
        }
        let name = self.chance.pick(&names);
        let Some((uid, instances)) = self.events.get(&(place.clone(), name.clone())).cloned() else { return };
        match self.chance.below(10) {
            0 | 1 => self.delete(&place, &name),
            2 | 3 => {
                let to = (place.0.clone(), calendar(self.chance.below(CALENDARS)));
                let text = self.server(&place.0).homes[&place.0][&place.1].objects[&name].text.clone();
                if to != place {
                    self.delete(&place, &name);
                    let at = now();
                    self.server(&to.0).put(&to.0, &to.1, &name, &text, at);
                    self.arrived(&to, &name, &uid, instances, at);
                }
            }
            4 => self.back_up_or_restore(),
            _ => self.write(&place, &name, &uid),
        }
    }

    /// Keeps a calendar as it is, or puts one back while its server is down.
    fn back_up_or_restore(&mut self) {
        let at = now();
        let Some((place, collection, events)) = self.backup.take() else {
            let place = self.some_place();
            let of_place = self.events.iter().filter(|((other, _), _)| *other == place);
            let events = of_place.map(|((_, name), (uid, instances))| (name.clone(), uid.clone(), instances.clone()));
            let events = events.collect();
            let collection = self.server(&place.0).homes[&place.0][&place.1].clone();
            self.backup = Some((place, collection, events));
            return;
        };
        let names: Vec<String> =
            self.events.keys().filter(|(other, _)| *other == place).map(|(_, name)| name.clone()).collect();
        names.iter().for_each(|name| self.gone(&place, name, at));
        let written: HashMap<String, i64> =
            collection.objects.iter().map(|(name, resource)| (name.clone(), resource.written)).collect();
        self.server(&place.0).restore(&place.0, &place.1, collection);
        for (name, uid, instances) in events {
            let written = written.get(&name).copied().unwrap_or(at);
            self.arrived(&place, &name, &uid, instances, written);
        }
        let user = place.0;
        let lie =
            Lie { user: user.clone(), calendar: None, from: at, until: i64::MAX, kind: Kind::Status(500), all: true };
        self.server(&user).lies.push(lie);
        self.down.insert(user, at);
    }

    fn lie(&mut self) {
        let (place, at) = (self.some_place(), now());
        let mut chance = self.chance.branch();
        // One at a time of an account, so that calendars have time to heal.
        if self.servers[&place.0].lies.len() > 2 {
            return;
        }
        let lasts = chance.range(500, 40 * SECOND);
        let server = self.server(&place.0);
        server.lie(&place.0, &place.1, at, &mut chance);
        let lie = server.lies.last_mut().unwrap();
        lie.until = at + lasts;
        let kind = format!("{:?}", lie.kind).split(['(', ' ']).next().unwrap_or_default().to_owned();
        let what = format!("lies for {lasts} ms of {:?}, all {}: {kind}", lie.calendar, lie.all);
        self.note(&place.0, &what);
        *self.figures.lies.entry(kind).or_default() += 1;
    }

    /// Lets lies end whose time is over.
    fn heal(&mut self) {
        let at = now();
        for (name, server) in &mut self.servers {
            let refused = self.refused.get(name).copied().unwrap_or_default();
            if self.down.get(name).is_some_and(|since| refused > since + PART) {
                self.down.remove(name);
                server.lies.iter_mut().filter(|lie| lie.until == i64::MAX).for_each(|lie| lie.until = at);
            }
            let over: Vec<Lie> = server.lies.iter().filter(|lie| lie.until <= at).cloned().collect();
            server.heal(at);
            for lie in &over {
                self.story.push((name.clone(), format!("{} healed: {:?}", UtcMillis(at), lie.calendar)));
            }
            for place in (0..CALENDARS).map(|n| (name.clone(), calendar(n))) {
                if over.iter().any(|lie| lie.is_of(name, &place.1)) {
                    self.lied.insert(place.clone(), at);
                    self.healed.insert(place);
                }
            }
        }
    }

    fn is_well(&self) -> bool {
        self.servers.values().all(|server| server.lies.is_empty())
    }

    /// What a sync in truth has shown by now.
    fn snapshot(&mut self) -> Snapshot {
        let at = now();
        let mut snapshot = Snapshot { at, looked: HashMap::new(), objects: HashMap::new() };
        for (place, (began, _)) in &self.honest {
            let lied = self.lied.get(place).copied().unwrap_or_default();
            let is_lied_about = self.servers[&place.0].lies.iter().any(|lie| lie.is_of(&place.0, &place.1));
            if *began <= lied || is_lied_about {
                continue;
            }
            snapshot.looked.insert(place.clone(), *began);
            for (name, resource) in &self.servers[&place.0].homes[&place.0][&place.1].objects {
                let next = self.model.next(place, name, at);
                snapshot.objects.insert((place.clone(), name.clone()), (resource.text.clone(), next));
            }
        }
        snapshot
    }

    /// Compares what is armed, read from the ledger between the snapshot and now, with the store.
    fn compare(&mut self, snapshot: &Snapshot, armed: &HashMap<(Place, String), (String, i64)>) -> Result<(), String> {
        let read = now();
        let is_settled = |world: &World, key: &(Place, String)| {
            let began = snapshot.looked.get(&key.0)?;
            let lied = world.lied.get(&key.0).copied().unwrap_or_default();
            let edited = world.edited.get(key).copied().unwrap_or_default();
            (lied < *began && edited < *began).then_some(())
        };
        let is_near = |due: i64| due > snapshot.at - BLUR && due < read + BLUR;
        for (key, (text, next)) in &snapshot.objects {
            let Some(next) = next.filter(|next| !is_near(*next)) else { continue };
            if is_settled(self, key).is_none() {
                continue;
            }
            self.figures.objects += 1;
            let has = armed.get(key);
            if has.is_none_or(|(own, due)| own.replace('\r', "") != text.replace('\r', "") || *due != next) {
                let story = self.story(&key.0.0);
                return Err(format!(
                    "{key:?} fires at {next}, and the ledger has {has:?}; in the store:\n{text}\n{story}"
                ));
            }
        }
        for (key, (_, due)) in armed.iter().filter(|(_, (_, due))| !is_near(*due)) {
            if is_settled(self, key).is_some() && !snapshot.objects.contains_key(key) {
                return Err(format!("{key:?} is armed for {due} and is not in the store\n{}", self.story(&key.0.0)));
            }
        }
        self.figures.comparisons += 1;
        let before = self.healed.len();
        self.healed.retain(|place| !snapshot.looked.contains_key(place));
        self.figures.healings += (before - self.healed.len()) as u64;
        Ok(())
    }
}

fn text(uid: &str, number: u64, start: i64, actions: &[&str]) -> String {
    let start = UtcMillis(start).basic();
    let mut text = format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//reveille//soak//EN\r\nBEGIN:VEVENT\r\nUID:{uid}\r\n\
         DTSTAMP:20260101T000000Z\r\nDTSTART:{start}\r\nSUMMARY:Number {number}\r\n"
    );
    for action in actions {
        let action = action.to_uppercase();
        let _ = write!(text, "BEGIN:VALARM\r\nACTION:{action}\r\nTRIGGER:PT0S\r\nDESCRIPTION:D\r\nEND:VALARM\r\n");
    }
    text + "END:VEVENT\r\nEND:VCALENDAR\r\n"
}

/// The daemon's settings: a source for each user, each on a server of its own.
fn settings(folder: &Path, servers: &BTreeMap<String, Scripted>) -> String {
    let mut toml = format!("[ledger]\nurl = \"sqlite://{}/ledger.db\"\n", folder.display());
    for (user, server) in servers {
        let _ = write!(
            toml,
            "[[source]]\nkind = \"caldav\"\nname = \"{user}\"\nuser = \"{user}\"\nurl = \"{}cal/{user}/\"\npoll_interval = \"{}s\"\n",
            server.url,
            POLL.as_secs()
        );
    }
    toml + &format!("[[sink]]\nkind = \"file\"\npath = \"{}/alarms.jsonl\"\n", folder.display())
}

fn lock(world: &Arc<Mutex<World>>) -> MutexGuard<'_, World> {
    world.lock().unwrap()
}

/// All that is armed: the object, its text and when.
fn armed(ledger: &Path) -> HashMap<(Place, String), (String, i64)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let rows = runtime.block_on(async {
        let mut inspector = Inspector::open(ledger).await.unwrap();
        let rows = inspector.armed(TimerCursor::START, ArmedFilter::ALL, 1_000_000).await.unwrap();
        inspector.close().await.unwrap();
        rows
    });
    let object = |row: reveille::ledger::ObjectRow| {
        let mut path = row.href.trim_matches('/').split('/').skip(1).map(str::to_owned);
        let (user, calendar, name) = (path.next()?, path.next()?, path.next()?);
        let due = row.due?.0;
        Some((((user, calendar), name), (String::from_utf8_lossy(&row.text).into_owned(), due)))
    };
    rows.into_iter().filter_map(object).collect()
}

fn compare(world: &Arc<Mutex<World>>, ledger: &Path) {
    let snapshot = lock(world).snapshot();
    let armed = armed(ledger);
    let outcome = lock(world).compare(&snapshot, &armed);
    if let Err(wrong) = outcome {
        panic!("{wrong}");
    }
}

/// Edits and lies until `end`, comparing in between.
fn live(world: &Arc<Mutex<World>>, ledger: &Path, end: i64) {
    let mut round = 0;
    while now() < end {
        round += 1;
        {
            let mut world = lock(world);
            world.edit();
            if round % EDITS_PER_LIE == 0 {
                world.lie();
            }
            world.heal();
        }
        if round % 15 == 0 {
            compare(world, ledger);
        }
        thread::park_timeout(EDITS_APART);
    }
}

/// Lets everything heal, and waits until each calendar was synced in truth after that.
fn settle(world: &Arc<Mutex<World>>, ledger: &Path) {
    let began = now();
    loop {
        {
            let mut world = lock(world);
            let at = now();
            world
                .servers
                .values_mut()
                .flat_map(|server| &mut server.lies)
                .filter(|lie| lie.until < i64::MAX)
                .for_each(|lie| lie.until = at);
            world.heal();
            if world.is_well() {
                let healed = world.lied.values().copied().max().unwrap_or(began).max(began);
                let all = USERS * CALENDARS;
                if world.honest.values().filter(|(from, _)| *from > healed).count() == all {
                    break;
                }
            }
        }
        assert!(now() - began < 1_200 * SECOND, "not all was looked at within 20 minutes after all was well");
        thread::park_timeout(EDITS_APART);
    }
    compare(world, ledger);
    assert!(lock(world).healed.is_empty(), "compared after the last healing");
}

/// What the ledger has fired or missed, and what the file has of it.
fn recorded(folder: &Path) -> Vec<(Name, Recorded)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let rows = runtime.block_on(async {
        let mut inspector = Inspector::open(&folder.join("ledger.db")).await.unwrap();
        inspector.firings(UtcMillis::MIN, None, i64::MAX).await.unwrap()
    });
    let name = |json: &Value, at: i64| {
        let word = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        Name { user: word("userId"), uid: word("uid"), action: word("action"), at }
    };
    let mut recorded = Vec::new();
    for row in &rows {
        let json: Value = serde_json::from_str(&row.notification).unwrap();
        let fired = row.state == Some(FiringState::Fired);
        recorded.push((name(&json, row.due.0), Recorded { fired_at: row.fired_at.0, fired }));
    }
    let file = fs::read_to_string(folder.join("alarms.jsonl")).unwrap_or_default();
    let mut announced: HashMap<(String, String, String, String), usize> = HashMap::new();
    let mut ids = HashSet::new();
    for line in file.lines() {
        let json: Value = serde_json::from_str(line).unwrap();
        let word = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        assert!(ids.insert(word("notificationId")), "announced twice: {line}");
        *announced.entry((word("userId"), word("uid"), word("action"), word("alarmTime"))).or_default() += 1;
    }
    let twice: Vec<_> = announced.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "announced twice under two ids: {twice:?}");
    let fired: HashSet<_> = recorded
        .iter()
        .filter(|(_, recorded)| recorded.fired)
        .map(|(name, _)| (name.user.clone(), name.uid.clone(), name.action.clone(), UtcMillis(name.at).basic()))
        .collect();
    assert_eq!(announced.into_keys().collect::<HashSet<_>>(), fired, "the file has what was fired");
    recorded
}

#[test]
fn soak_before_servers_that_lie_and_heal_loses_nothing() {
    let _quiet = undisturbed();
    let number = |name: &str, otherwise: u64| std::env::var(name).map_or(otherwise, |text| text.parse().unwrap());
    let seconds = number("REVEILLE_SOAK_SECONDS", 20);
    let folder = tempfile::tempdir().unwrap();
    let world = Arc::new(Mutex::new(World::new(number("REVEILLE_SEED", 1))));
    let mut servers = BTreeMap::new();
    for user in (0..USERS).map(user) {
        let (world, own) = (world.clone(), user.clone());
        servers.insert(user, Scripted::start(move |asked| lock(&world).answer(asked, &own)));
    }
    fs::write(folder.path().join("reveille.toml"), settings(folder.path(), &servers)).unwrap();
    let mut daemon = Daemon::start(folder.path(), &["run", "--config", "reveille.toml"]);
    let ledger = folder.path().join("ledger.db");
    lock(&world).model.up(now());
    // Everything is looked at once before the first lie.
    settle(&world, &ledger);
    let began = now();
    let end = began + i64::try_from(seconds).unwrap() * SECOND;
    while now() < end {
        live(&world, &ledger, end.min(now() + 10 * SECOND));
        // What was asked is kept, and not of use here.
        servers.values().for_each(|server| drop(server.asked()));
    }
    settle(&world, &ledger);
    let judged = now() - 2 * BLUR;
    assert!(daemon.stop(Duration::from_secs(60)).success(), "{}", daemon.log.text());
    let recorded = recorded(folder.path());
    let world = lock(&world);
    let due = recorded.len();
    if let Err(wrong) = world.model.judge(&recorded, judged) {
        panic!("{wrong}\n{}", world.story.iter().map(|(user, line)| format!("{user} {line}\n")).collect::<String>());
    }
    let mut lateness: Vec<i64> = recorded.iter().map(|(name, recorded)| recorded.fired_at - name.at).collect();
    lateness.sort_unstable();
    let median = lateness.get(lateness.len() / 2).copied().unwrap_or_default();
    println!(
        "{} s with {} calendars of {USERS} users: {due} alarms, 0 lost, 0 doubled, 0 for others, median {median} ms late; {:?}",
        (now() - began) / SECOND,
        USERS * CALENDARS,
        world.figures
    );
    assert!(due > 0 && world.figures.comparisons > 0 && world.figures.objects > 0, "{:?}", world.figures);
}

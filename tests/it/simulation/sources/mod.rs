//! The simulation of sources that lie and heal: a [server](crate::liar) in memory, before which the program's own
//! CalDAV sources stand, with its ingest, ledger and wheel behind them.
//!
//! A seed decides how the server marks versions, how wrong its clock is, what is edited, moved, deleted and restored
//! from backups, what it says that is not so and for how long, when it is looked at, and when processes end. After each
//! look at a calendar of which nothing was untrue, what the ledger has of it, and what is armed, equals the store. At
//! the end the [model](crate::liar::model) says what must have fired.

use std::path::Path;

use reveille::ledger::{FiringState, Inspector};
use reveille::time::UtcMillis;
use serde_json::Value;

use super::event::Event;
use super::run::{DATES, Violation};
use super::walls::{DAY, HOUR, MINUTE, Rules};
use crate::chance::Chance;

mod found;
mod way;
mod world;

use crate::liar::Manner;
use crate::liar::lies::{Kind, Lie};
use crate::liar::model::{Name, Place, Recorded};
pub use world::Figures;
use world::{SERVICE, SOURCES, World};

/// Of each user.
const CALENDARS: [&str; 3] = ["home", "team", "work"];
const HORIZON: i64 = 30;
/// Objects that a run makes.
const OBJECTS: usize = 9;
const MILLIS: i64 = 1_000;

/// What a run works on besides the world.
struct Story {
    change: i64,
    /// Events are counted out up to here, UTC seconds.
    horizon: i64,
    written: usize,
    /// The events that are in the store.
    events: Vec<(Place, String, Event)>,
    /// A calendar as it was once, with its events.
    backup: Option<Backup>,
}

type Backup = (Place, crate::liar::Collection, Vec<(String, Event)>);

/// Runs `seed` on a ledger at `ledger`, into which nothing was taken yet.
///
/// # Errors
/// When the program did something that it may not do.
pub async fn run(seed: u64, ledger: &Path, trail: bool) -> Result<Figures, Violation> {
    let mut chance = Chance::new(seed);
    let ((year, month, day), rules) = chance.pick(&DATES);
    let change = rules.instant(super::walls::days(year, month, day) * DAY + 2 * HOUR);
    let now = (change - chance.range(HOUR, 60 * HOUR)) * MILLIS + chance.range(0, 1_000);
    let horizon = now / MILLIS + HORIZON * DAY;
    let mut world = World::new(chance, now, ledger, (horizon - 3 * DAY) * MILLIS, trail);
    let mut story = Story { change, horizon, written: 0, events: Vec::new(), backup: None };
    let outcome = match live(&mut world, &mut story).await {
        Ok(()) => judge(&mut world).await,
        wrong => wrong,
    };
    world.end().await;
    world.figures.hours = usize::try_from((world.now() - now) / (HOUR * MILLIS)).unwrap();
    match outcome {
        Ok(()) => Ok(world.figures),
        Err(what) => Err(Violation { what, trail: world.trail() }),
    }
}

async fn live(world: &mut World, story: &mut Story) -> Result<(), String> {
    let (manner, skew) = {
        let server = world.server();
        (server.manner, server.skew)
    };
    world.note(|| format!("the server marks versions by {manner:?}; its clock is {skew} ms ahead"));
    for (user, ..) in SOURCES {
        for calendar in CALENDARS {
            if calendar == "work" || world.chance.one_in(2) {
                make(world, &(user.to_owned(), calendar.to_owned()));
            }
        }
    }
    strangers(world, story);
    for _ in 0..world.chance.range(2, 7) {
        edit(world, story);
    }
    world.start().await?;
    for _ in 0..world.chance.range(15, 40) {
        step(world, story).await?;
    }
    rest(world).await
}

/// The service's own calendar, whose alarms are nobody's.
fn strangers(world: &mut World, story: &Story) {
    let now = world.now();
    world.server().make(SERVICE, "work", None, now);
    for n in 0..3 {
        let event = Event::make(&mut world.chance, &format!("s{n}@example.org"), "secret", now / MILLIS, story.change);
        world.server().put(SERVICE, "work", &format!("s{n}.ics"), &event.text(), now);
    }
}

async fn step(world: &mut World, story: &mut Story) -> Result<(), String> {
    match world.chance.below(32) {
        0..=8 => pass(world).await?,
        9..=17 => edit(world, story),
        18..=24 => lie(world),
        25 | 26 => {
            world.next_sync = world.now();
            world.work().await?;
        }
        27 => {
            world.note(|| "all lies are over".to_owned());
            world.heal();
        }
        28 | 29 => back_up_or_restore(world, story).await?,
        30 => {
            if world.is_up() {
                world.note(|| "the process is killed".to_owned());
                world.figures.kills += 1;
                world.end().await;
            }
        }
        _ => {
            let moments = world.chance.below(12);
            world.note(|| format!("the process is to end {moments} moments later"));
            world.disk.end_in(moments);
        }
    }
    if !world.is_up() && world.chance.one_in(2) {
        world.start().await?;
    }
    Ok(())
}

async fn pass(world: &mut World) -> Result<(), String> {
    let seconds = match world.chance.below(6) {
        0 => world.chance.range(0, 3),
        1 => world.chance.range(0, 60),
        2 | 3 => world.chance.range(0, 20 * MINUTE),
        4 => world.chance.range(0, HOUR),
        _ => world.chance.range(0, 4 * HOUR),
    };
    let until = world.now() + seconds * MILLIS + world.chance.range(0, 1_000);
    world.note(|| format!("time passes until {}", UtcMillis(until)));
    world.advance(until).await
}

fn some_place(world: &mut World) -> Place {
    let (user, ..) = world.chance.pick(&SOURCES);
    (user.to_owned(), world.chance.pick(&CALENDARS).to_owned())
}

fn lie(world: &mut World) {
    let (place, now) = (some_place(world), world.now());
    let mut chance = world.chance.branch();
    let lie = world.server().lie(&place.0, &place.1, now, &mut chance).clone();
    let kind = format!("{:?}", lie.kind);
    let name = kind.split(['(', ' ']).next().unwrap_or_default().to_owned();
    // Two states of one second have one version.
    if name == "Lags" && world.server().manner == Manner::Seconds {
        world.doubt(&place, lie.until);
    }
    if name == "Half" {
        world.model.halved(&lie.user, now);
    }
    *world.figures.lies.entry(name).or_default() += 1;
    world.note(|| {
        let short: String = kind.chars().take(40).collect();
        format!(
            "lies to {} about {:?} until {}, all {}: {short}",
            lie.user,
            lie.calendar,
            UtcMillis(lie.until),
            lie.all
        )
    });
}

fn make(world: &mut World, place: &Place) {
    let now = world.now();
    let zone = world.chance.pick(&[None, None, Some("Europe/Berlin"), Some("America/New_York")]);
    world.note(|| format!("made {place:?}, in {zone:?}"));
    world.server().make(&place.0, &place.1, zone, now);
    world.model.made(place, now);
    if world.removed.remove(place) && !world.server().identifies {
        world.doubt(place, now);
    }
}

fn edit(world: &mut World, story: &mut Story) {
    world.figures.edits += 1;
    let place = some_place(world);
    if world.server().collection(&place.0, &place.1).is_none() {
        return make(world, &place);
    }
    let of_place: Vec<(Place, String, Event)> =
        story.events.iter().filter(|(other, ..)| *other == place).cloned().collect();
    if of_place.is_empty() || (story.events.len() < OBJECTS && world.chance.one_in(2)) {
        return create(world, story, &place);
    }
    let (_, name, event) = world.chance.pick(&of_place);
    match world.chance.below(12) {
        0 | 1 => delete(world, story, &place, &name),
        2 => remove(world, story, &place),
        3 | 4 => {
            let to = (place.0.clone(), world.chance.pick(&CALENDARS).to_owned());
            if to != place && world.server().collection(&to.0, &to.1).is_some() {
                world.note(|| format!("moved from {place:?} to {to:?}"));
                delete(world, story, &place, &name);
                put(world, story, &to, &name, event);
            }
        }
        5 => {
            // Deleted, and another put in its place.
            delete(world, story, &place, &name);
            change(world, story, &place, &name, &event);
        }
        _ => change(world, story, &place, &name, &event),
    }
}

fn create(world: &mut World, story: &mut Story, place: &Place) {
    // An invitation: the same event in somebody else's calendar, or in two of one user.
    if world.chance.one_in(4) && !story.events.is_empty() {
        let (_, name, event) = world.chance.pick(&story.events);
        if !story.events.iter().any(|(other, taken, _)| other == place && *taken == name) {
            return put(world, story, place, &name, event);
        }
    }
    story.written += 1;
    let name = format!("e{}", story.written);
    let now = world.now() / MILLIS;
    let event =
        Event::make(&mut world.chance, &format!("{name}@example.org"), &format!("{name} new"), now, story.change);
    put(world, story, place, &format!("{name}.ics"), event);
}

fn change(world: &mut World, story: &mut Story, place: &Place, name: &str, old: &Event) {
    story.written += 1;
    let now = world.now() / MILLIS;
    let summary = format!("{} {}", old.uid.split('@').next().unwrap_or_default(), story.written);
    let mut event = Event::make(&mut world.chance, &old.uid, &summary, now, story.change);
    if world.chance.one_in(3) {
        event = Event { summary, ..old.clone() };
    }
    put(world, story, place, name, event);
}

fn put(world: &mut World, story: &mut Story, place: &Place, name: &str, event: Event) {
    let now = world.now();
    world.note(|| format!("put {place:?} {name}:\n{}", event.text()));
    world.server().put(&place.0, &place.1, name, &event.text(), now);
    arrived(world, story, place, name, event, now);
}

/// An object is in the store that was written at `written`.
fn arrived(world: &mut World, story: &mut Story, place: &Place, name: &str, event: Event, written: i64) {
    let now = world.now();
    let zone = world.server().collection(&place.0, &place.1).and_then(|collection| collection.zone);
    let rules = match event.place {
        super::event::Place::Utc => Rules::Utc,
        super::event::Place::Floating => rules_of(zone),
        super::event::Place::Zone(zone) => rules_of(Some(zone)),
    };
    let horizon = story.horizon;
    let instances = super::occurrences::instances(&event, rules, horizon)
        .into_iter()
        .map(|instance| (instance.at, instance.action));
    world.model.put(place, name, (&event.uid, instances.collect()), (now, written));
    story.events.retain(|(other, known, _)| other != place || known != name);
    story.events.push((place.clone(), name.to_owned(), event));
}

fn delete(world: &mut World, story: &mut Story, place: &Place, name: &str) {
    let now = world.now();
    world.note(|| format!("deleted {place:?} {name}"));
    world.server().delete(&place.0, &place.1, name, now);
    world.model.gone(place, name, now);
    story.events.retain(|(other, known, _)| other != place || known != name);
}

/// Removes a calendar, and perhaps makes another of that name at once.
fn remove(world: &mut World, story: &mut Story, place: &Place) {
    let now = world.now();
    world.note(|| format!("removed {place:?}"));
    world.server().remove(&place.0, &place.1);
    story.events.retain(|(other, ..)| other != place);
    world.model.removed(place, now);
    world.removed.insert(place.clone());
    world.known.remove(place);
    if world.chance.one_in(2) {
        make(world, place);
    }
}

/// Keeps a calendar as it is; or puts one back, while the server is down.
async fn back_up_or_restore(world: &mut World, story: &mut Story) -> Result<(), String> {
    let Some((place, collection, events)) = story.backup.take() else {
        let place = some_place(world);
        let of_place = story.events.iter().filter(|(other, ..)| *other == place);
        let events = of_place.map(|(_, name, event)| (name.clone(), event.clone())).collect();
        let collection = world.server().collection(&place.0, &place.1).cloned();
        story.backup = collection.map(|collection| (place, collection, events));
        return Ok(());
    };
    if world.server().collection(&place.0, &place.1).is_none() {
        return Ok(());
    }
    let now = world.now();
    world.note(|| format!("restored {place:?} as it was"));
    let old: Vec<String> =
        story.events.iter().filter(|(other, ..)| *other == place).map(|(_, name, _)| name.clone()).collect();
    for name in old {
        world.model.gone(&place, &name, now);
        story.events.retain(|(other, known, _)| *other != place || *known != name);
    }
    let written = collection.objects.clone();
    world.server().restore(&place.0, &place.1, collection);
    // What it lags behind may have the version that the next change gives it.
    let lags = |lie: &Lie| lie.is_of(&place.0, &place.1) && matches!(lie.kind, Kind::Lags(_));
    let until = world.server().lies.iter().filter(|lie| lags(lie)).map(|lie| lie.until).max();
    world.doubt(&place, until.unwrap_or(now));
    if world.server().manner == Manner::Seconds {
        world.indistinct.insert(place.clone());
    }
    for (name, event) in events {
        let written = written.get(&name).map_or(now, |resource| resource.written);
        arrived(world, story, &place, &name, event, written);
    }
    Ok(())
}

/// Everything is as it is; what is owed is delivered.
async fn rest(world: &mut World) -> Result<(), String> {
    world.note(|| "all is well again".to_owned());
    world.disk.heal();
    world.heal();
    for _ in 0..2 {
        world.start().await?;
        world.next_sync = world.now();
        world.work().await?;
        // What could not be told apart is compared in its time.
        world.advance(world.now() + 16 * MINUTE * MILLIS).await?;
    }
    world.next_sync = world.now();
    world.work().await
}

async fn judge(world: &mut World) -> Result<(), String> {
    let now = world.now();
    world.end().await;
    let mut inspector = Inspector::open(&world.ledger()).await.map_err(|error| error.to_string())?;
    let rows = inspector.firings(UtcMillis::MIN, None, i64::MAX).await.map_err(|error| error.to_string())?;
    inspector.close().await.map_err(|error| error.to_string())?;
    let mut recorded = Vec::new();
    for row in &rows {
        let json: Value = serde_json::from_str(&row.notification).map_err(|error| format!("{error}: {row:?}"))?;
        let word = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        let name = Name { user: word("userId"), uid: word("uid"), action: word("action"), at: row.due.0 };
        recorded.push((name, Recorded { fired_at: row.fired_at.0, fired: row.state == Some(FiringState::Fired) }));
    }
    let fired = rows.iter().filter(|row| row.state == Some(FiringState::Fired)).count();
    (world.figures.fired, world.figures.missed) = (fired, rows.len() - fired);
    world.model.judge(&recorded, now)
}

fn rules_of(zone: Option<&str>) -> Rules {
    match zone {
        None => Rules::Utc,
        Some("America/New_York") => Rules::NewYork,
        Some("Australia/Lord_Howe") => Rules::LordHowe,
        // The zone whose rules may change has those of Berlin here.
        Some(_) => Rules::Berlin,
    }
}

impl super::Sum for Figures {
    fn add(&mut self, other: Figures) {
        self.fired += other.fired;
        self.missed += other.missed;
        self.looks += other.looks;
        self.lied_to += other.lied_to;
        self.compared += other.compared;
        self.edits += other.edits;
        self.kills += other.kills;
        self.at_commits += other.at_commits;
        self.requests += other.requests;
        self.hours += other.hours;
        for (kind, count) in other.lies {
            *self.lies.entry(kind).or_default() += count;
        }
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Figures { fired, missed, looks, lied_to, compared, edits, kills, at_commits, requests, lies, hours } = self;
        let lies: Vec<String> = lies.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        write!(
            f,
            "{fired} fired, {missed} missed; {looks} syncs of accounts with {requests} requests, {lied_to} at calendars that \
             were lied about, {compared} calendars compared with the store; {edits} edits, {} processes killed, {at_commits} of \
             them at a commit; {} days of virtual time; lies: {}",
            kills + at_commits,
            hours / 24,
            lies.join(", ")
        )
    }
}

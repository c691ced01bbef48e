//! One run: a seed becomes a world and what happens in it; at the end all is healed, what is owed is delivered, and the
//! ledger and the sinks are judged.

use std::path::Path;

use reveille::ledger::{DeliveryFilter, FiringRow, FiringState, Inspector};
use reveille::time::UtcMillis;
use serde_json::Value;

use super::deliveries;
use super::event::{Event, Trigger, ZONES};
use super::model::{Name, Recorded};
use super::sink::{Mood, Told};
use super::store::Stored;
use super::walls::{DAY, HOUR, MINUTE, Rules, days};
use super::world::{Figures, SINKS, Trials, World};
use crate::chance::Chance;

/// Days on which clocks are changed somewhere; and two on which nothing is.
pub const DATES: [((i64, i64, i64), Rules); 8] = [
    ((2026, 3, 29), Rules::Berlin),
    ((2026, 10, 25), Rules::Berlin),
    ((2026, 3, 8), Rules::NewYork),
    ((2026, 11, 1), Rules::NewYork),
    ((2026, 4, 5), Rules::LordHowe),
    ((2026, 10, 4), Rules::LordHowe),
    ((2026, 1, 15), Rules::Berlin),
    ((2026, 7, 15), Rules::NewYork),
];

/// Days after the beginning up to which events are counted out. Runs are shorter.
const HORIZON: i64 = 30;
/// The same where the clock is wrong at times, by days.
const FAR_HORIZON: i64 = 50;
/// The first second of the year 2099: there a machine may be until it hears of the right time.
const YEAR_2099: i64 = 4_070_908_800;
const CALENDARS: [&str; 2] = ["/mary/home/", "/mary/work/"];
/// Objects in a run.
const OBJECTS: usize = 7;
const MILLIS: i64 = 1_000;

/// What went wrong in a run.
#[derive(Debug)]
pub struct Violation {
    pub what: String,
    /// All that happened, where it was to be remembered.
    pub trail: Vec<String>,
}

/// What a run works on besides the world.
struct Story {
    /// When, roughly, clocks are changed; UTC seconds.
    change: i64,
    /// Counts what was written.
    written: usize,
    /// Names of all objects that there were.
    names: Vec<String>,
    /// The last that was deleted, and from where.
    deleted: Option<(String, Stored)>,
}

/// Runs `seed` on a ledger at `ledger`, which does not exist yet or is one that nothing was taken into.
///
/// # Errors
/// When the program did something that it may not do.
pub async fn run(seed: u64, ledger: &Path, trail: bool) -> Result<Figures, Violation> {
    let mut chance = Chance::new(seed);
    let ((year, month, day), rules) = chance.pick(&DATES);
    let change = rules.instant(days(year, month, day) * DAY + 2 * HOUR);
    let now = (change - chance.range(HOUR, 60 * HOUR)) * MILLIS + chance.range(0, 1_000);
    let trials = Trials::of(seed);
    let horizon = now / MILLIS + if trials.jumps { FAR_HORIZON } else { HORIZON } * DAY;
    let mut world = World::new(chance, trials, now, ledger, horizon, trail);
    let mut story = Story { change, written: 0, names: Vec::new(), deleted: None };
    let outcome = match live(&mut world, &mut story).await {
        Ok(()) => judge(&mut world).await,
        wrong => wrong,
    };
    world.end().await;
    world.figures.hours = usize::try_from((world.now() - now).max(0) / (HOUR * MILLIS)).unwrap();
    match outcome {
        Ok(()) => Ok(world.figures),
        Err(what) => Err(Violation { what, trail: world.trail() }),
    }
}

async fn live(world: &mut World, story: &mut Story) -> Result<(), String> {
    for href in CALENDARS {
        let zone = some_zone(world);
        world.store.calendars.insert(href.to_owned(), super::store::Calendar { zone, ..Default::default() });
    }
    for _ in 0..world.chance.range(1, 5) {
        edit(world, story);
    }
    world.start().await?;
    let steps = world.chance.range(8, 30);
    for _ in 0..steps {
        step(world, story).await?;
        if world.trials.jumps && world.trials.chance.one_in(5) {
            wrong_clock(world).await?;
        }
    }
    rest(world).await
}

/// A calendar's zone, or none.
fn some_zone(world: &mut World) -> Option<&'static str> {
    let zone = world.chance.pick(ZONES);
    world.chance.one_in(2).then_some(zone)
}

async fn step(world: &mut World, story: &mut Story) -> Result<(), String> {
    match world.chance.below(32) {
        0..=9 => pass(world).await?,
        10..=16 => edit(world, story),
        17..=18 => {
            world.next_sync = world.now();
            world.work().await;
        }
        19..=20 => end(world).await?,
        21..=22 => {
            let moments = world.chance.below(12);
            world.note(|| format!("the process is to end {moments} moments later"));
            world.disk.end_in(moments);
        }
        23 => {
            let commits = 1 + world.chance.below(3);
            world.note(|| format!("{commits} commits are to fail"));
            world.disk.fail(commits);
        }
        24..=26 => mood(world),
        27 => {
            world.reachable = !world.reachable;
            let how = if world.reachable { "can" } else { "cannot" };
            world.note(|| format!("the store {how} be reached"));
        }
        28 => {
            world.figures.databases += 1;
            world.database = 1 - world.database;
            end(world).await?;
        }
        _ => set_clock(world).await,
    }
    if !world.is_up() && world.chance.one_in(2) {
        world.start().await?;
        world.work().await;
    }
    Ok(())
}

/// Lets some time pass.
async fn pass(world: &mut World) -> Result<(), String> {
    let seconds = match world.chance.below(6) {
        0 => world.chance.range(0, 60),
        1 | 2 => world.chance.range(0, HOUR),
        3 | 4 => world.chance.range(0, 6 * HOUR),
        _ => world.chance.range(0, 20 * HOUR),
    };
    let until = world.now() + seconds * MILLIS + world.chance.range(0, 1_000);
    world.note(|| format!("time passes until {}", UtcMillis(until)));
    world.advance(until).await
}

/// The process is killed, and perhaps started again later.
async fn end(world: &mut World) -> Result<(), String> {
    if world.is_up() {
        world.figures.kills += 1;
        world.note(|| "the process is killed".to_owned());
        world.end().await;
    }
    if world.chance.one_in(3) {
        pass(world).await?;
    }
    Ok(())
}

fn mood(world: &mut World) {
    let sink = world.chance.below(SINKS.len());
    let mood = world.chance.pick(&[Mood::Well, Mood::Well, Mood::Down, Mood::Moody, Mood::Moody, Mood::Fatal]);
    world.note(|| format!("the sink {} is {mood:?}", SINKS[sink]));
    *world.moods[sink].lock().unwrap() = mood;
}

/// The clock is set by seconds or hours, or the machine sleeps.
async fn set_clock(world: &mut World) {
    let seconds = match world.chance.below(6) {
        0 => world.chance.range(-5, 6),
        1 | 2 => world.chance.range(-55, 0),
        _ => world.chance.range(0, 10 * HOUR),
    };
    world.figures.clock_steps += 1;
    let to = world.now() + seconds * MILLIS;
    world.note(|| format!("the clock is set to {}", UtcMillis(to)));
    world.set_clock(to).await;
}

/// The clock jumps, and is put right within the hour. What a machine does meanwhile it does by that clock.
async fn wrong_clock(world: &mut World) -> Result<(), String> {
    let now = world.now() / MILLIS;
    let by = match world.trials.chance.below(8) {
        0 => world.trials.chance.range(1, MINUTE),
        1 | 2 => world.trials.chance.range(MINUTE, 2 * HOUR),
        3 | 4 => world.trials.chance.range(2 * HOUR, 2 * DAY),
        5 => world.trials.chance.range(2 * DAY, 15 * DAY),
        6 => YEAR_2099 - now,
        _ => -world.trials.chance.range(MINUTE, 3 * HOUR),
    };
    // The machine may have started with it.
    if world.trials.chance.one_in(4) {
        world.end().await;
    }
    world.jump(by * MILLIS).await?;
    for _ in 0..world.trials.chance.below(4) {
        match world.trials.chance.below(8) {
            0..=3 => {
                let until = world.now() + world.trials.chance.range(0, 19 * MINUTE * MILLIS);
                world.note(|| format!("time passes until {}", UtcMillis(until)));
                world.advance(until).await?;
            }
            4 => world.sweep().await,
            5 => {
                world.note(|| "the process is killed".to_owned());
                world.end().await;
            }
            6 => {
                let moments = world.trials.chance.below(12);
                world.note(|| format!("the process is to end {moments} moments later"));
                world.disk.end_in(moments);
            }
            _ => {
                world.note(|| "a commit is to fail".to_owned());
                world.disk.fail(1);
            }
        }
        if !world.is_up() && world.trials.chance.one_in(2) {
            world.start().await?;
            world.work().await;
        }
    }
    world.put_right().await?;
    if world.trials.chance.one_in(2) {
        world.sweep().await;
    }
    Ok(())
}

/// Somebody edits something in the store.
fn edit(world: &mut World, story: &mut Story) {
    world.figures.edits += 1;
    let calendar = world.chance.pick(&CALENDARS);
    let hrefs: Vec<String> =
        world.store.calendars.get(calendar).into_iter().flat_map(|c| c.objects.keys().cloned()).collect();
    if hrefs.is_empty() || (story.names.len() < OBJECTS && world.chance.one_in(2)) {
        if world.chance.one_in(6) {
            restore(world, story, calendar);
        } else {
            create(world, story, calendar);
        }
        return;
    }
    let href = world.chance.pick(&hrefs);
    match world.chance.below(12) {
        0 | 1 => {
            world.note(|| format!("deleted {calendar}{href}"));
            story.deleted = world.store.delete(calendar, &href).map(|object| (href, object));
        }
        2 => {
            let zone = some_zone(world);
            world.note(|| format!("{calendar} is in {zone:?}"));
            world.store.set_zone(calendar, zone);
        }
        3 => remove_or_make(world, calendar),
        4 => {
            let other = CALENDARS[usize::from(calendar == CALENDARS[0])];
            world.note(|| format!("moved {calendar}{href} to {other}"));
            if world.store.calendars.contains_key(other)
                && let Some(object) = world.store.delete(calendar, &href)
            {
                write(world, other, &href, object.event);
            }
        }
        _ => change(world, story, calendar, &href),
    }
}

/// Writes an object now; the store may say when, or not, or roughly.
fn write(world: &mut World, calendar: &str, href: &str, event: Event) {
    let now = world.now();
    let written = match world.chance.below(6) {
        0 => None,
        1 => Some(now),
        _ => Some(now - now.rem_euclid(1_000)),
    };
    let broken = world.chance.one_in(12).then(|| break_text(world, &event.text()));
    world.note(|| format!("put {calendar}{href}, written {written:?}:\n{}", broken.clone().unwrap_or(event.text())));
    world.store.put(calendar, href, event, broken, written);
}

/// What a program leaves that has not written all of `text`, or something else.
fn break_text(world: &mut World, text: &str) -> String {
    let (begin, end) = (text.find("BEGIN:VEVENT").unwrap(), text.find("END:VEVENT").unwrap());
    match world.chance.below(4) {
        0 => String::new(),
        1 => "<html>Bad Gateway</html>".to_owned(),
        2 => text[..begin / 2].replace("BEGIN:VCALENDAR", "BEGIN:VCAL"),
        // Within the first component.
        _ => text[..begin + 14 + world.chance.below(end - begin - 14)].to_owned(),
    }
}

fn create(world: &mut World, story: &mut Story, calendar: &str) {
    story.written += 1;
    let name = format!("e{}", story.written);
    let now = world.now() / MILLIS;
    let event =
        Event::make(&mut world.chance, &format!("{name}@example.org"), &format!("{name} new"), now, story.change);
    story.names.push(name.clone());
    write(world, calendar, &format!("{calendar}{name}.ics"), event);
}

fn restore(world: &mut World, story: &mut Story, calendar: &str) {
    if let Some((href, object)) = story.deleted.take() {
        write(world, calendar, &href, object.event);
    }
}

fn remove_or_make(world: &mut World, calendar: &str) {
    if world.chance.one_in(2) {
        world.note(|| format!("removed {calendar}"));
        world.store.calendars.remove(calendar);
    }
    for href in CALENDARS {
        if world.chance.one_in(2) {
            world.store.calendars.entry(href.to_owned()).or_default();
        }
    }
}

/// Another content under the same name.
fn change(world: &mut World, story: &mut Story, calendar: &str, href: &str) {
    let Some(object) = world.store.calendars.get(calendar).and_then(|calendar| calendar.objects.get(href)) else {
        return;
    };
    let old = object.event.clone();
    story.written += 1;
    let now = world.now() / MILLIS;
    let summary = format!("{} {}", old.uid.split('@').next().unwrap_or_default(), story.written);
    let mut event = Event::make(&mut world.chance, &old.uid, &summary, now, story.change);
    match world.chance.below(5) {
        // Only the entity tag is another.
        0 => event = old,
        1 => event = Event { summary, ..old },
        2 => {
            // Absolute alarms belong to events that do not recur.
            let mut alarms = event.alarms;
            alarms.retain(|alarm| old.rule.is_none() || !matches!(alarm.trigger, Trigger::At(_)));
            event = Event { alarms, summary, ..old };
        }
        3 if old.rule.is_none() && !old.all_day => {
            event = Event { start: old.start + world.chance.range(-HOUR, 3 * HOUR), summary, ..old };
        }
        _ => {}
    }
    write(world, calendar, href, event);
}

/// All is well again; what is owed is delivered.
async fn rest(world: &mut World) -> Result<(), String> {
    world.note(|| "all is well again".to_owned());
    world.disk.heal();
    world.reachable = true;
    world.moods.iter().for_each(|mood| *mood.lock().unwrap() = Mood::Well);
    world.start().await?;
    world.next_sync = world.now();
    world.work().await;
    if world.trials.jumps {
        // What could not be taken back at once is taken back by the next try.
        world.advance(world.now() + 2 * MILLIS).await?;
    }
    // One at a time, and an hourly alarm may owe hundreds; but not longer than events are counted out.
    let (mut is_limited, week_later) = (world.trials.limit.is_some(), world.now() + 7 * DAY * MILLIS);
    for n in 0..2_000 {
        if is_limited && (n >= 1_000 || world.now() > week_later) {
            is_limited = false;
            world.lift_limit().await?;
        }
        let Some(next) = world.next_post() else { return Ok(()) };
        let until = next.max(world.now() + 1);
        world.advance(until).await?;
    }
    Err("something is owed and never delivered".to_owned())
}

async fn judge(world: &mut World) -> Result<(), String> {
    world.end().await;
    let ((before, after), failed) = world.disk.figures();
    let sent = std::mem::take(&mut *world.postbox.sent.lock().unwrap());
    let mut inspector = Inspector::open(&world.ledger()).await.map_err(|error| error.to_string())?;
    let rows = inspector.firings(UtcMillis::MIN, None, i64::MAX).await.map_err(|error| error.to_string())?;
    let owed = inspector.deliveries(DeliveryFilter::All, i64::MAX).await.map_err(|error| error.to_string())?;
    inspector.close().await.map_err(|error| error.to_string())?;
    let missed = rows.iter().filter(|row| row.state == Some(FiringState::Missed)).count();
    world.figures = Figures {
        fired: rows.len() - missed,
        missed,
        sent: sent.len(),
        held: sent.iter().filter(|sent| sent.told == Told::Held).count(),
        before_commit: before,
        after_commit: after,
        failed_commits: failed,
        ..world.figures
    };
    for row in rows.iter().filter(|row| row.state == Some(FiringState::Fired)) {
        let count = |sink: &str| owed.iter().filter(|owed| owed.firing == row.id && owed.sink == sink).count();
        let mails =
            if world.trials.limit.is_some() || row.notification.contains("\"action\":\"email\"") { 2 } else { 0 };
        if (count(SINKS[0]), count(SINKS[1])) != (1, mails) {
            return Err(format!("owed to the wrong sinks: {row:?}"));
        }
    }
    let (give_up_after, limit) = (world.give_up_after(), world.trials.limit);
    deliveries::judge(&sent, &owed, &deliveries::Rules { give_up_after, limit, taken_back: &world.taken_back })?;
    let recorded: Vec<(Name, Recorded)> = rows.iter().map(recorded).collect::<Result<_, _>>()?;
    world.model.judge(&recorded)
}

/// A row of the ledger in the model's terms.
fn recorded(row: &FiringRow) -> Result<(Name, Recorded), String> {
    let json: Value = serde_json::from_str(&row.notification).map_err(|error| format!("{error}: {row:?}"))?;
    let word = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
    if word("alarmTime") != row.due.basic() {
        return Err(format!("another instant than it was due: {row:?}"));
    }
    let name = Name { uid: word("uid"), action: word("action"), at: row.due.0 };
    let recorded = Recorded {
        fired_at: row.fired_at.0,
        fired: row.state == Some(FiringState::Fired),
        summary: word("summary"),
        start: word("start"),
        count: row.count,
    };
    let known = [FiringState::Fired, FiringState::Missed].map(Some);
    if (row.count != 1 && row.state != Some(FiringState::Missed)) || !known.contains(&row.state) {
        return Err(format!("neither fired nor missed, or fired and not one: {row:?}"));
    }
    Ok((name, recorded))
}

//! What must fire: said once more, by other means.
//!
//! The model learns what the program could have known and when, as facts: a batch of changes is in the ledger, a
//! calendar is gone, the wheel has turned at some instant of the program's clock, a process has started. It keeps for
//! each object the version that the ledger has, the alarm instances of that version, counted out by
//! [`occurrences`](super::occurrences), and from where on they are owed. It shares no code with the program. Its rules:
//!
//! 1. An instance is owed from when its version came into the ledger until that version is replaced or gone. A version
//!    counts from the instant at which it was written, or from the previous sync of its calendar, whichever is later;
//!    without a previous sync, from the first, also where that could not be written into the ledger. An instant that is
//!    still to come says nothing of when it was written. (What was due before then was past when it was learned.) What
//!    cannot be read is no version: the one before it goes on.
//! 2. At each tick of the wheel, what is owed and due is in the ledger: as fired, or as missed where it is older than
//!    the limit. Nothing else gets into the ledger. While the program runs, the wheel ticks at each instant at which
//!    something is due.
//! 3. An edit does not take back what the version before it owed until the instant from which the new one counts: that
//!    fires when the edit is learned. A deletion does: from when it was learned nothing fires. What comes back under
//!    the same name within a quarter of an hour counts from the sync that found it gone, or from the oldest instance
//!    that it owed then.
//! 4. A firing (UID, action, instant) is in the ledger once, whatever happens, and in whichever calendar. What it says
//!    is what its version says.
//! 5. What was due before a start waits until the sources have been synced once; and with it what the same object
//!    fires until then.
//! 6. Where the rules of a zone change, what lies in it is owed by the new rules from the previous sync on, or from the
//!    oldest instance that was still owed, whichever is earlier.
//! 7. Either is right in three cases, and these are all: an instance between a sync that found nothing and was not
//!    written down before the process ended, and the sync before it; an instance that was being fired when the process
//!    ended; one that was owed by the old rules of a zone when the new ones came.
//!
//! 8. What a clock that was ahead has fired has fired. Once it is set back by more than a minute, what it says was
//!    missed is owed again if it is not too late by the right clock, and with it all that is still to come.
//!
//! 9. Of what an object has missed a hundred instances are recorded one by one, and the rest in one row, which says how
//!    many it stands for. Where two occurrences of an event fire at the same instant, that is one firing, of either.
//!
//! What is in the ledger as fired is owed to the sinks; [`deliveries`](super::deliveries) has the rules of that.

use std::collections::{BTreeMap, BTreeSet};

use super::event::{Event, MOVING};
use super::occurrences::{Instance, instances};
use super::store::News;
use super::walls::Rules;

/// Instances that an object has missed and that get rows of their own.
const ONE_BY_ONE: usize = 100;
/// What is gone for no longer than this is the same when it comes back, milliseconds.
const GRACE: i64 = 900_000;

/// What names a firing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    pub uid: String,
    pub action: String,
    /// UTC milliseconds.
    pub at: i64,
}

/// A firing as the ledger has it, or as the model expects it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// When the program says that it fired it.
    pub fired_at: i64,
    /// Else it was missed.
    pub fired: bool,
    pub summary: String,
    pub start: String,
    /// How many instances it stands for.
    pub count: i64,
}

/// Something that is, or may be, recorded at some moment, unless it has been before.
#[derive(Clone, Debug)]
struct Expected {
    recorded: Recorded,
    must: bool,
}

/// Whether a clock that was ahead of `now` says that it was missed.
fn is_ahead(expected: &Expected, now: i64) -> bool {
    !expected.recorded.fired && expected.recorded.fired_at > now
}

/// Takes back what a clock that was ahead of `now` says of a firing that was missed. What it had to record stood in the
/// ledger until now, and nothing that was to be recorded since could be.
fn withdraw(expected: &mut Vec<Expected>, now: i64) {
    let first = expected.iter().position(|expected| expected.must);
    if let Some(first) = first.filter(|first| is_ahead(&expected[*first], now)) {
        expected.truncate(first);
    }
    expected.retain(|expected| !is_ahead(expected, now));
}

/// An object in the ledger.
#[derive(Clone, Debug)]
struct Known {
    event: Event,
    instances: Vec<Instance>,
    /// From here on instances must fire, from `maybe` on they may. UTC milliseconds.
    owed: i64,
    maybe: i64,
    /// From when on its version counts, at the earliest and at the latest.
    since: (i64, i64),
    /// What is due before this may have fired already: a process ended while it fired.
    perhaps: i64,
    /// When the program learned of all this.
    learned: i64,
    /// It has fired nothing since a start, because some of it was due before.
    waits: bool,
}

/// A calendar in the ledger.
#[derive(Clone, Debug, Default)]
struct Watched {
    zone: Option<&'static str>,
    /// The last sync, and the last sync that is certain to be in the ledger.
    looked: i64,
    noted: i64,
    /// All looks, and whether some were dated by a clock that was ahead.
    looks: Vec<i64>,
    ahead: bool,
    objects: BTreeMap<String, Known>,
}

/// An object that is gone.
#[derive(Clone, Debug)]
struct Departed {
    /// Of what was known of it.
    uid: Option<String>,
    /// The sync that found it so.
    at: i64,
    /// From when on what is due of it has not fired, at the earliest and at the latest.
    owed: (i64, i64),
}

impl Departed {
    /// `known`: what was known of it.
    fn new(at: i64, known: Option<&Known>) -> Departed {
        let oldest = |since: fn(&Known) -> i64| {
            let owed = known
                .and_then(|known| known.instances.iter().map(|instance| instance.at).find(|at| *at >= since(known)));
            owed.unwrap_or(at).min(at)
        };
        let uid = known.map(|known| known.event.uid.clone());
        Departed { uid, at, owed: (oldest(|known| known.maybe), oldest(|known| known.owed.max(known.perhaps))) }
    }
}

/// The model.
#[derive(Debug)]
pub struct Model {
    max_lateness: i64,
    /// Events are counted out up to here, UTC seconds.
    horizon: i64,
    /// The rules of [`MOVING`].
    moving: Rules,
    /// Those of an event that is in no zone, in a calendar that has none.
    user_zone: Option<&'static str>,
    calendars: BTreeMap<String, Watched>,
    expected: BTreeMap<Name, Vec<Expected>>,
    /// When the process was started; none: the sources have been looked at since.
    held: Option<i64>,
    /// The last tick of the wheel, if nothing has kept it from ticking since.
    turned: Option<i64>,
    /// When calendars were first looked at that could not be taken in since.
    tried: BTreeMap<String, i64>,
    /// Objects that are gone, by calendar and name.
    departed: BTreeMap<(String, String), Departed>,
    pub complaints: Vec<String>,
}

impl Model {
    pub fn new(max_lateness: i64, horizon: i64, user_zone: Option<&'static str>) -> Model {
        Model {
            max_lateness,
            horizon,
            moving: Rules::Berlin,
            user_zone,
            calendars: BTreeMap::new(),
            expected: BTreeMap::new(),
            held: None,
            turned: None,
            tried: BTreeMap::new(),
            departed: BTreeMap::new(),
            complaints: Vec::new(),
        }
    }

    fn rules(&self, zone: Option<&str>) -> Rules {
        match zone {
            None => Rules::Utc,
            Some(MOVING) => self.moving,
            Some("Europe/Berlin") => Rules::Berlin,
            Some("America/New_York") => Rules::NewYork,
            Some("Australia/Lord_Howe") => Rules::LordHowe,
            Some(other) => panic!("the model knows no {other}"),
        }
    }

    fn count_out(&self, event: &Event, floating: Option<&'static str>) -> Vec<Instance> {
        let zone = match event.place {
            super::event::Place::Utc => None,
            super::event::Place::Floating => floating.or(self.user_zone),
            super::event::Place::Zone(zone) => Some(zone),
        };
        instances(event, self.rules(zone), self.horizon)
    }

    /// A process is up; `moving` are the rules of [`MOVING`] in its database.
    pub fn started(&mut self, now: i64, moving: Rules) {
        (self.held, self.turned) = (Some(now), None);
        if moving == self.moving {
            return;
        }
        self.moving = moving;
        let mut calendars = std::mem::take(&mut self.calendars);
        for calendar in calendars.values_mut() {
            let floating = calendar.zone.or(self.user_zone);
            let (zone, from) = (calendar.zone, (calendar.noted, calendar.looked));
            for known in calendar.objects.values_mut().filter(|known| known.event.depends_on(MOVING, floating)) {
                self.count_again(known, zone, from, now);
            }
        }
        self.calendars = calendars;
    }

    /// The rules that `known` lies in have changed. `from`: the previous sync, at the earliest and at the latest.
    fn count_again(&mut self, known: &mut Known, zone: Option<&'static str>, from: (i64, i64), now: i64) {
        let oldest =
            |since: i64| known.instances.iter().map(|instance| instance.at).find(|at| *at >= since).unwrap_or(i64::MAX);
        let oldest = (oldest(known.maybe), oldest(known.owed.max(known.perhaps)));
        for instance in known.instances.iter().filter(|instance| instance.at >= known.maybe && instance.at <= now) {
            self.expect(&known.event, instance, now, false);
        }
        known.instances = self.count_out(&known.event, zone);
        known.learned = now;
        known.maybe = from.0.min(oldest.0);
        known.owed = from.1.min(oldest.1).max(known.maybe);
    }

    /// The process has ended, and with it what was only in its memory.
    pub fn ended(&mut self) {
        self.turned = None;
        self.tried.clear();
    }

    /// The clock was set, the machine slept, or the wheel could not tick.
    pub fn interrupted(&mut self) {
        self.turned = None;
    }

    /// The sources have been looked at once.
    pub fn released(&mut self) {
        self.held = None;
    }

    /// The clock was set back to `now`, and a process has seen it: looks that it dated later say nothing, unless they
    /// are in the ledger.
    pub fn set_back(&mut self, now: i64) {
        for calendar in self.calendars.values_mut() {
            // A minute is too little to be taken back.
            calendar.looks.retain(|look| *look <= now + 60_000);
            if calendar.looked > now {
                calendar.ahead = true;
                calendar.looked = calendar.looks.last().copied().unwrap_or(i64::MIN).max(calendar.noted);
            }
        }
    }

    /// What a clock that was ahead of `now` has recorded is taken back.
    pub fn taken_back(&mut self, now: i64) {
        let mut calendars = std::mem::take(&mut self.calendars);
        for calendar in calendars.values_mut() {
            // A sync that was dated ahead may have come into the ledger, and counts as one of now.
            let looked = if std::mem::take(&mut calendar.ahead) { now } else { calendar.looked.min(now) };
            (calendar.looked, calendar.noted) = (looked, calendar.noted.min(now));
            for known in calendar.objects.values_mut() {
                self.take_back(known, now);
            }
        }
        self.calendars = calendars;
        for (_, expected) in self.expected.iter_mut().filter(|(name, _)| name.at > now) {
            withdraw(expected, now);
        }
        self.take_back_by_former_rules(now);
    }

    /// What was due by the rules of a zone that are no longer its own is taken back, and not owed again. What is due by
    /// the rules of now is, from the earliest of it on, as it is where these rules change.
    fn take_back_by_former_rules(&mut self, now: i64) {
        let instances: BTreeSet<(&str, &str, i64)> = self
            .calendars
            .values()
            .flat_map(|calendar| calendar.objects.values())
            .flat_map(|known| {
                known.instances.iter().map(|instance| (known.event.uid.as_str(), instance.action, instance.at))
            })
            .collect();
        let is_recent = |name: &Name| (now - self.max_lateness..=now).contains(&name.at);
        let mut former: Vec<(Name, bool)> = Vec::new();
        for (name, expected) in self.expected.iter_mut().filter(|(name, _)| is_recent(name)) {
            if !instances.contains(&(name.uid.as_str(), name.action.as_str(), name.at)) {
                let ahead = || expected.iter().filter(|one| is_ahead(one, now));
                if ahead().count() > 0 {
                    former.push((name.clone(), ahead().any(|one| one.must)));
                }
                expected.iter_mut().filter(|one| is_ahead(one, now)).for_each(|one| one.must = false);
            }
        }
        let mut objects: Vec<&mut Known> =
            self.calendars.values_mut().flat_map(|calendar| calendar.objects.values_mut()).collect();
        for (name, must) in former {
            let mut same: Vec<_> = objects.iter_mut().filter(|known| known.event.uid == name.uid).collect();
            // Of several with one UID, one has missed it.
            let is_alone = same.len() == 1;
            for known in &mut same {
                known.maybe = known.maybe.min(name.at.max(known.since.0));
                if must && is_alone && name.at >= known.since.1 {
                    known.owed = known.owed.min(name.at);
                }
            }
        }
    }

    fn take_back(&mut self, known: &mut Known, now: i64) {
        let mut by_firing: BTreeMap<i64, Vec<Name>> = BTreeMap::new();
        for instance in &known.instances {
            let name = Name { uid: known.event.uid.clone(), action: instance.action.to_owned(), at: instance.at };
            let expected = self.expected.get(&name).into_iter().flatten().find(|expected| is_ahead(expected, now));
            if let Some(expected) = expected {
                by_firing.entry(expected.recorded.fired_at).or_default().push(name);
            }
        }
        for names in by_firing.into_values() {
            let is_wrong = |name: &Name| name.at >= now - self.max_lateness;
            // The row that stands for others goes as a whole.
            let shared = if names.last().is_some_and(is_wrong) { ONE_BY_ONE } else { usize::MAX };
            let wrong: Vec<Name> = names
                .iter()
                .enumerate()
                .filter(|(n, name)| *n >= shared || is_wrong(name))
                .map(|(_, name)| name.clone())
                .collect();
            for name in wrong {
                known.maybe = known.maybe.min(name.at);
                let is_certain = |expected: &Expected| expected.must && is_ahead(expected, now);
                if self.expected.get(&name).is_some_and(|expected| expected.iter().any(is_certain)) {
                    known.owed = known.owed.min(name.at.max(known.since.1));
                }
                let expected = self.expected.entry(name.clone()).or_default();
                if name.at >= known.since.1 {
                    withdraw(expected, now);
                } else {
                    // It may be of the version before.
                    expected
                        .iter_mut()
                        .filter(|expected| is_ahead(expected, now))
                        .for_each(|expected| expected.must = false);
                }
            }
        }
        (known.owed, known.maybe) = (known.owed.min(now), known.maybe.min(now));
        known.perhaps = known.perhaps.min(now + 1);
    }

    /// A calendar was found unchanged; `noted`: that is in the ledger.
    pub fn unchanged(&mut self, href: &str, synced_at: i64, noted: bool) {
        if let Some(calendar) = self.calendars.get_mut(href) {
            // What a clock that was ahead has dated is replaced once this is in the ledger.
            if noted || calendar.looked < synced_at {
                calendar.looked = synced_at;
            }
            calendar.looks.push(synced_at);
            if noted || calendar.noted > synced_at {
                calendar.noted = synced_at;
            }
        }
    }

    /// A calendar is gone.
    pub fn calendar_gone(&mut self, href: &str) {
        self.calendars.remove(href);
        self.departed.retain(|(calendar, _), _| calendar != href);
    }

    /// A batch could not be written into the ledger.
    pub fn refused(&mut self, news: &News) {
        if !self.calendars.contains_key(&news.calendar) {
            self.tried.entry(news.calendar.clone()).or_insert(news.synced_at);
        }
    }

    /// A batch is in the ledger.
    pub fn taken(&mut self, news: &News, now: i64, noted: bool) {
        let first = !self.calendars.contains_key(&news.calendar);
        let mut calendar = self.calendars.remove(&news.calendar).unwrap_or_default();
        if first {
            let tried = self.tried.remove(&news.calendar).unwrap_or(news.synced_at);
            (calendar.looked, calendar.noted) = (tried, tried);
        }
        // A sync that lies ahead of the clock was dated by a clock that has been set back since.
        let previous = (calendar.noted.min(news.synced_at), calendar.looked.min(news.synced_at));
        if noted {
            self.departed.retain(|_, departed| departed.at >= now - GRACE);
        }
        let moved = !first && calendar.zone != news.zone;
        calendar.zone = news.zone;
        for (href, object) in &news.changes {
            let name = (news.calendar.clone(), href.clone());
            let Some(object) = object else {
                let departed = Departed::new(news.synced_at, calendar.objects.remove(href).as_ref());
                self.departed.insert(name, departed);
                continue;
            };
            let known = calendar.objects.remove(href);
            let goes_on = |known: &&Known| object.broken.is_some() || known.event == object.event;
            if known.as_ref().filter(goes_on).is_some() && !moved {
                calendar.objects.extend(known.map(|known| (href.clone(), known)));
                continue;
            }
            if let Some(known) = known.as_ref().filter(goes_on) {
                let mut known = known.clone();
                self.count_again(&mut known, news.zone, previous, now);
                calendar.objects.insert(href.clone(), known);
                continue;
            }
            if object.broken.is_some() {
                continue;
            }
            let since = object.written.filter(|written| *written <= now).unwrap_or(i64::MIN);
            // One that went from here or elsewhere a short while ago, and is put here as it was, owes what it owed.
            let same = |departed: &&Departed| departed.uid.as_ref() == Some(&object.event.uid);
            let elsewhere = self.departed.values().filter(same).map(|departed| departed.owed.0).min();
            let owed = self.departed.remove(&name).map_or((i64::MAX, i64::MAX), |departed| departed.owed);
            let from = (previous.0.min(owed.0).max(since), previous.1.min(owed.1).max(since));
            if let Some(known) = known {
                // Where the zone changed as well, what the version before owed may be counted by either.
                let again = if moved { self.count_out(&known.event, news.zone) } else { Vec::new() };
                for instance in known.instances.iter().chain(&again).filter(|instance| moved && instance.at < from.1) {
                    self.expect(&known.event, instance, now, false);
                }
                for instance in known.instances.iter().filter(|_| !moved) {
                    let must = instance.at >= known.owed && instance.at < from.0;
                    if must || (instance.at >= known.maybe && instance.at < from.1) {
                        self.expect(&known.event, instance, now, must);
                    }
                }
            }
            let instances = self.count_out(&object.event, news.zone);
            let (event, owed) = (object.event.clone(), from.1);
            let maybe = elsewhere.map_or(from.0, |elsewhere| elsewhere.min(from.0));
            let known =
                Known { event, instances, owed, maybe, since: from, perhaps: i64::MIN, learned: now, waits: false };
            calendar.objects.insert(href.clone(), known);
        }
        if moved {
            let handed: Vec<&String> = news.changes.iter().map(|(href, _)| href).collect();
            for (_, known) in calendar.objects.iter_mut().filter(|(href, _)| !handed.contains(href)) {
                self.count_again(known, news.zone, previous, now);
            }
        }
        if news.complete {
            calendar.looked = news.synced_at;
            calendar.looks.push(news.synced_at);
            if noted {
                calendar.noted = calendar.looked;
            }
        }
        self.calendars.insert(news.calendar.clone(), calendar);
    }

    fn expect(&mut self, event: &Event, instance: &Instance, now: i64, must: bool) {
        let name = Name { uid: event.uid.clone(), action: instance.action.to_owned(), at: instance.at };
        let fired = now - instance.at <= self.max_lateness;
        let recorded = Recorded {
            fired_at: now,
            fired,
            summary: instance.summary.clone(),
            start: instance.start.clone(),
            count: 1,
        };
        self.expected.entry(name).or_default().push(Expected { recorded, must });
    }

    /// The wheel has turned at `now` until nothing was left to fire; or, where `commits` says so, the process ended
    /// after so many of its commits.
    pub fn turned(&mut self, now: i64, commits: Option<usize>) {
        let mut calendars = std::mem::take(&mut self.calendars);
        for calendar in calendars.values_mut() {
            for known in calendar.objects.values_mut() {
                self.tick(known, now, commits);
            }
        }
        self.calendars = calendars;
        self.turned = if commits.is_none() { Some(now) } else { None };
    }

    fn tick(&mut self, known: &mut Known, now: i64, commits: Option<usize>) {
        let due: Vec<Instance> = known
            .instances
            .iter()
            .filter(|instance| instance.at >= known.maybe && instance.at <= now)
            .cloned()
            .collect();
        let Some(earliest) = due.first().map(|instance| instance.at) else {
            if commits.is_none() {
                (known.owed, known.maybe) = (known.owed.max(now + 1), known.maybe.max(now + 1));
            }
            return;
        };
        if let Some(start) = self.held
            && earliest < start
        {
            // It waits; unless it is not known whether the earliest is owed, or has fired, and the next is due after
            // the start.
            let certain = earliest >= known.owed.max(known.perhaps);
            for instance in due.iter().filter(|_| !certain) {
                self.expect(&known.event, instance, now, false);
            }
            known.waits = true;
            return;
        }
        // What fires after a wait is no fault of the wheel's.
        let waited = std::mem::take(&mut known.waits);
        if let Some(turned) = self.turned.filter(|_| !waited) {
            let late = due.iter().find(|instance| {
                instance.at > turned.max(known.learned) && instance.at < now && instance.at >= known.owed
            });
            if let Some(late) = late {
                let uid = &known.event.uid;
                self.complaints.push(format!("{uid}: due at {}, and the wheel slept until {now}", late.at));
            }
        }
        match commits {
            Some(0) => {}
            None => {
                for instance in &due {
                    self.expect(&known.event, instance, now, instance.at >= known.owed);
                }
                (known.owed, known.maybe) = (known.owed.max(now + 1), known.maybe.max(now + 1));
            }
            Some(_) => {
                known.perhaps = now + 1;
                // By a clock that is years ahead, working out what an object has missed may take longer than a turn of
                // the wheel. Then others wait for a commit after the first.
                let certain = earliest >= known.owed && now < self.horizon * 1_000;
                for instance in &due {
                    self.expect(&known.event, instance, now, certain && instance.at == earliest);
                }
                if certain {
                    (known.owed, known.maybe) = (earliest + 1, earliest + 1);
                }
            }
        }
    }

    /// Compares what the ledger has with what it must have.
    pub fn judge(&self, ledger: &[(Name, Recorded)]) -> Result<(), String> {
        let mut found: BTreeMap<&Name, &Recorded> = BTreeMap::new();
        for (name, recorded) in ledger {
            if found.insert(name, recorded).is_some() {
                return Err(format!("in the ledger twice: {name:?}"));
            }
            // Beyond the horizon only a clock fires that is years ahead, and what it fires has fired.
            if name.at >= self.horizon * 1_000 && recorded.fired && recorded.fired_at >= name.at {
                continue;
            }
            let Some(expected) = self.expected.get(name) else {
                return Err(format!("fired and was never due: {name:?} {recorded:?}"));
            };
            // What had to be recorded before is what is there.
            let first = expected.iter().position(|expected| expected.must);
            let at_first = first.and_then(|n| expected.get(n)).map(|first| first.recorded.fired_at);
            let may = |(n, expected): &(usize, &Expected)| {
                first.is_none_or(|first| *n <= first) || at_first == Some(expected.recorded.fired_at)
            };
            let alone = Recorded { count: 1, ..recorded.clone() };
            if !expected.iter().enumerate().filter(may).any(|(_, expected)| expected.recorded == alone) {
                return Err(format!("{name:?} is in the ledger as {recorded:?} and was expected as {expected:?}"));
            }
        }
        // Rows that stand for others, and for how many.
        let mut shared: BTreeMap<(&str, i64), i64> = BTreeMap::new();
        for (name, row) in ledger.iter().filter(|(_, row)| row.count > 1) {
            let key = (name.uid.as_str(), row.fired_at);
            let alone = found
                .iter()
                .filter(|(other, other_row)| (other.uid.as_str(), other_row.fired_at) == key && !other_row.fired);
            if alone.count() != ONE_BY_ONE + 1 || row.fired || shared.insert(key, row.count - 1).is_some() {
                return Err(format!("stands for others that had to have rows of their own: {name:?} {row:?}"));
            }
        }
        for must in [true, false] {
            for (name, expected) in self.expected.iter().filter(|(name, _)| !found.contains_key(name)) {
                let Some(expected) = expected.iter().find(|expected| expected.must == must) else { continue };
                let key = (name.uid.as_str(), expected.recorded.fired_at);
                match shared.get_mut(&key).filter(|left| **left > 0 && !expected.recorded.fired) {
                    Some(left) => *left -= 1,
                    None if must => return Err(format!("lost: {name:?}, expected as {:?}", expected.recorded)),
                    None => {}
                }
            }
        }
        if let Some((of, left)) = shared.iter().find(|(_, left)| **left > 0) {
            return Err(format!("{of:?} stands for {left} more than were missed"));
        }
        self.complaints.first().cloned().map_or(Ok(()), Err)
    }
}

//! What must have fired, by what was really in the store: the model knows nothing of what the program was told, only
//! when it looked and whether it was lied to then. Its rules:
//!
//! 1. An instance belongs to a version of an object: from when that was written until it was replaced or deleted. What
//!    the version fires in that time must be in the ledger, on the second where the program had learned of it and was
//!    up, else late; so must what was due before the program looked, once the calendar is known.
//! 2. It may be missing where the rules allow it: before the calendar was synced for the first time (rule 22); where
//!    the version had gone before the program could learn of it; where a sync was shown an older state and could not
//!    tell (rule 23: what was due before it is past); where the calendar was refused or not listed for as long as
//!    `absent_grace`, or an object was said not to be there for as long.
//! 3. Nothing else may be there: no firing of before its version was written, of after the program learned that it is
//!    gone, of another user's, none twice. Only half a text may fire what the whole one takes back: an occurrence that
//!    it moves.

use std::collections::BTreeMap;

use super::lies::Untruth;

/// Milliseconds for which what is not found is kept.
pub const GRACE: i64 = 15 * 60_000;
/// Milliseconds by which the instant of a writing may be wrong: servers tell seconds.
const BLUR: i64 = 2_000;

/// A user and the name of one of its calendars.
pub type Place = (String, String);

/// When an instance is due, UTC milliseconds, and its action.
pub type Instance = (i64, &'static str);

/// A sync of a calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    pub began: i64,
    /// When it was over.
    pub at: i64,
    /// What was not so; none: everything was.
    pub told: Option<Untruth>,
    /// The calendar was refused or not listed.
    pub absent: bool,
    /// Another calendar of the user was there, and nothing untrue was said of it.
    pub others: bool,
}

/// An object as it was for a while.
#[derive(Clone, Debug)]
struct Version {
    place: Place,
    name: String,
    uid: String,
    instances: Vec<Instance>,
    /// When it came into the store, and when it was written.
    put: i64,
    written: i64,
    gone: Option<i64>,
    /// It went with its calendar.
    with_calendar: bool,
}

/// A firing as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    pub user: String,
    pub uid: String,
    pub action: String,
    /// UTC milliseconds.
    pub at: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    pub fired_at: i64,
    /// Else it was missed.
    pub fired: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Never,
    May,
    Late,
    Punctual,
}

/// How exact it is; milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// What fires later than this is missed.
    pub max_lateness: i64,
    /// Events are counted out up to here, UTC.
    pub until: i64,
    /// By how much it is uncertain what came first.
    pub blur: i64,
    /// How late what was known before may fire.
    pub latest: i64,
}

#[derive(Debug, Default)]
pub struct Model {
    bounds: Bounds,
    versions: Vec<Version>,
    /// When each calendar was made, the last time.
    made: BTreeMap<Place, Vec<i64>>,
    looks: BTreeMap<Place, Vec<Look>>,
    /// To whom half texts were given, and from when on.
    halves: Vec<(String, i64)>,
    /// When processes had looked at everything once, and when they ended.
    up: Vec<(i64, i64)>,
}

impl Model {
    pub fn new(bounds: Bounds) -> Model {
        Model { bounds, ..Model::default() }
    }

    /// Up to when, UTC milliseconds, it knows all that fires.
    pub fn until(&self) -> i64 {
        self.bounds.until
    }

    /// A calendar was made.
    pub fn made(&mut self, place: &Place, now: i64) {
        self.made.entry(place.clone()).or_default().push(now);
    }

    /// An object with the UID `uid` is in the store from `now` on; it was written at `written`.
    pub fn put(
        &mut self,
        place: &Place,
        name: &str,
        (uid, instances): (&str, Vec<Instance>),
        (now, written): (i64, i64),
    ) {
        self.gone(place, name, now);
        let (uid, name, place) = (uid.to_owned(), name.to_owned(), place.clone());
        self.versions.push(Version {
            place,
            name,
            uid,
            instances,
            put: now,
            written,
            gone: None,
            with_calendar: false,
        });
    }

    /// An object is not in the store any more.
    pub fn gone(&mut self, place: &Place, name: &str, now: i64) {
        for version in self.versions.iter_mut().filter(|version| version.place == *place && version.name == name) {
            version.gone.get_or_insert(now);
        }
    }

    /// A calendar is not there any more, and with it all that nobody has seen go before.
    pub fn removed(&mut self, place: &Place, now: i64) {
        let looks = self.looks.get(place).map(Vec::as_slice).unwrap_or_default();
        let seen = looks.iter().rfind(|look| look.told.is_none()).map_or(i64::MIN, |look| look.began);
        for version in self.versions.iter_mut().filter(|version| version.place == *place) {
            let gone = *version.gone.get_or_insert(now);
            version.with_calendar |= gone >= seen;
        }
    }

    /// A calendar was synced.
    pub fn looked(&mut self, place: &Place, look: Look) {
        self.looks.entry(place.clone()).or_default().push(look);
    }

    /// From `now` on a user may be given half texts.
    pub fn halved(&mut self, user: &str, now: i64) {
        self.halves.push((user.to_owned(), now));
    }

    /// A process has looked at all its sources.
    pub fn up(&mut self, now: i64) {
        self.up.push((now, i64::MAX));
    }

    /// A process has ended.
    pub fn down(&mut self, now: i64) {
        if let Some((_, until)) = self.up.last_mut() {
            *until = (*until).min(now);
        }
    }

    /// When the object in the store fires next after `now`.
    pub fn next(&self, place: &Place, name: &str, now: i64) -> Option<i64> {
        let mut live = self.versions.iter().filter(|version| version.gone.is_none());
        let version = live.find(|version| version.place == *place && version.name == name)?;
        version.instances.iter().map(|(at, _)| *at).filter(|at| *at > now && *at < self.until()).min()
    }

    fn is_up(&self, at: i64) -> bool {
        self.up.iter().any(|(from, until)| *from <= at && at < *until)
    }

    fn verdict(&self, version: &Version, at: i64) -> Verdict {
        let blur = self.bounds.blur;
        if at < version.written - BLUR {
            return Verdict::Never;
        }
        if at < version.put + BLUR.max(blur) {
            return Verdict::May;
        }
        let looks = self.looks.get(&version.place).map(Vec::as_slice).unwrap_or_default();
        let honest = |look: &&Look| look.told.is_none();
        let before = looks.iter().filter(honest).rfind(|look| look.at <= at);
        // A process that ends before it has fired has learned nothing.
        let after = looks.iter().filter(honest).find(|look| look.began > at && self.is_up(look.at));
        let (from, until) = (before.map_or(i64::MIN, |look| look.began), after.map_or(i64::MAX, |look| look.at));
        // Two looks may be at one instant: the one that was lied to came first.
        let is_between = |look: &&Look| look.told.is_some() && look.at > from && look.began <= until;
        let between: Vec<&Look> = looks.iter().filter(is_between).collect();
        match version.gone {
            Some(gone) if at >= gone => self.verdict_on_the_gone(version, (gone, at), looks, &between),
            Some(gone) if at >= gone - blur => Verdict::May,
            _ if !self.is_known(&version.place, from, at) || was_dropped(&between) => Verdict::May,
            gone => self.verdict_on_the_living(version, at, (from, until), (gone.unwrap_or(i64::MAX), &between)),
        }
    }

    /// Whether the calendar as it was at `at` had been looked at by then.
    fn is_known(&self, place: &Place, looked: i64, at: i64) -> bool {
        let made = self.made.get(place).into_iter().flatten().filter(|made| **made <= at).max();
        made.is_some_and(|made| looked > *made)
    }

    fn verdict_on_the_gone(
        &self,
        version: &Version,
        (gone, at): (i64, i64),
        looks: &[Look],
        between: &[&Look],
    ) -> Verdict {
        // What is refused between says that the server is not itself: the absence counts anew.
        let since = looks.iter().filter(|look| look.absent && look.at <= at).map(|look| look.at).max();
        let since = since.map_or(gone, |refused| refused.max(gone));
        let honest: Vec<&Look> =
            looks.iter().filter(|look| look.told.is_none() && look.began > since && look.at <= at).collect();
        let (Some(first), Some(last)) = (honest.first(), honest.last()) else { return Verdict::May };
        let is_believed =
            !version.with_calendar || (last.at - first.at >= GRACE && honest.iter().all(|look| look.others));
        let shown_again = between.iter().any(|look| look.told == Some(Untruth::Past));
        if is_believed && !shown_again { Verdict::Never } else { Verdict::May }
    }

    fn verdict_on_the_living(
        &self,
        version: &Version,
        at: i64,
        (from, until): (i64, i64),
        (gone, between): (i64, &[&Look]),
    ) -> Verdict {
        let is = |look: &&&Look, told| look.told == Some(told);
        // What was written shortly before the last sync may have been unknown to it.
        let past_after = between.iter().any(|look| look.at > at && is(&look, Untruth::Past))
            && until.saturating_sub(version.written) >= GRACE;
        let lost = between.iter().find(|look| look.began <= at && look.told >= Some(Untruth::Gone));
        let is_there_then = until < gone;
        if from <= version.put {
            return if is_there_then && !past_after { Verdict::Late } else { Verdict::May };
        }
        match lost {
            None if self.is_up(at) => Verdict::Punctual,
            None if is_there_then && !past_after => Verdict::Late,
            Some(look) if is_there_then && !past_after && until - look.at < GRACE => Verdict::Late,
            _ => Verdict::May,
        }
    }

    /// A version, and the looks around an instant.
    fn story(&self, version: &Version, at: i64) -> String {
        let Version { place, name, put, gone, .. } = version;
        let looks = self.looks.get(place).map(Vec::as_slice).unwrap_or_default();
        let near = looks.iter().position(|look| look.at > at).unwrap_or(looks.len());
        let near = &looks[near.saturating_sub(4)..(near + 2).min(looks.len())];
        format!("{name} in {place:?} from {put} until {gone:?}, looks {near:?}")
    }

    /// Compares what the ledger has, up to `now`, with what it must have.
    pub fn judge(&self, ledger: &[(Name, Recorded)], now: i64) -> Result<(), String> {
        let mut verdicts: BTreeMap<Name, (Verdict, &Version)> = BTreeMap::new();
        for version in &self.versions {
            for (at, action) in version.instances.iter().filter(|(at, _)| *at <= now) {
                let (user, uid) = (version.place.0.clone(), version.uid.clone());
                let name = Name { user, uid, action: (*action).to_owned(), at: *at };
                let verdict = self.verdict(version, *at);
                let entry = verdicts.entry(name).or_insert((verdict, version));
                if verdict > entry.0 {
                    *entry = (verdict, version);
                }
            }
        }
        let mut found: BTreeMap<&Name, Recorded> = BTreeMap::new();
        for (name, recorded) in ledger.iter().filter(|(name, _)| name.at <= now) {
            if found.insert(name, *recorded).is_some() {
                return Err(format!("fired twice: {name:?}"));
            }
            let verdict = verdicts.get(name).map_or(Verdict::Never, |(verdict, _)| *verdict);
            let is_of_half = self.halves.iter().any(|(user, from)| *user == name.user && *from <= recorded.fired_at)
                && self.versions.iter().any(|version| version.place.0 == name.user && version.uid == name.uid);
            if verdict == Verdict::Never && !is_of_half {
                let of_it =
                    self.versions.iter().filter(|version| version.uid == name.uid && version.place.0 == name.user);
                let versions: Vec<String> = of_it.map(|version| self.story(version, name.at)).collect();
                return Err(format!("fired and was not due: {name:?} {recorded:?}: {}", versions.join("; ")));
            }
            let lateness = recorded.fired_at - name.at;
            if recorded.fired != (lateness <= self.bounds.max_lateness) {
                return Err(format!("{lateness} ms late, and is so in the ledger: {name:?} {recorded:?}"));
            }
            if verdict == Verdict::Punctual && lateness > self.bounds.latest {
                return Err(format!("{lateness} ms late for no reason: {name:?}"));
            }
        }
        let lost = verdicts.iter().find(|(name, (verdict, _))| *verdict >= Verdict::Late && !found.contains_key(name));
        match lost {
            Some((name, (verdict, version))) => {
                Err(format!("lost: {name:?}, {verdict:?}: {}", self.story(version, name.at)))
            }
            None => Ok(()),
        }
    }
}

/// Whether a calendar may have been dropped by these syncs.
fn was_dropped(looks: &[&Look]) -> bool {
    let mut absent = looks.iter().filter(|look| look.absent).map(|look| look.at);
    let Some(first) = absent.next() else { return false };
    absent.next_back().is_some_and(|last| last - first >= GRACE)
}

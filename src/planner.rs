//! From an object's text to what the ledger keeps of it: when it is due next, and the rings of a due object with their
//! notifications and where these go. The intake asks it when an object changed, the wheel when one is due.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;

use sha2::{Digest as _, Sha256};

use crate::calendar::object::{Limits, Object};
use crate::calendar::plan::Plan;
use crate::calendar::ring::{Ring, firings};
use crate::calendar::surroundings::{DefaultAlarms, Surroundings};
use crate::calendar::zone::Zones;
use crate::config::Config;
use crate::delivery::routing::Routing;
use crate::ledger::{
    CalendarRow, Due, Existing, Firing, Ledger, LedgerError, NewRing, ObjectText, PlannedObject, Replanned, RingState,
};
use crate::notification::{About, Notification, Sender, identity};
use crate::time::UtcMillis;
use crate::wheel::Prepare;

mod attachments;
mod takeover;

/// Fewer objects than this are planned on one thread.
const FEW: usize = 32;
/// Missed rings of an object that are recorded one by one; the rest of them shares a row.
const MISSED: usize = 100;
/// Missed rings of an object that are counted at all.
const MISSED_COUNT: usize = 10_000;
/// Milliseconds.
const DAY: i64 = 86_400_000;

/// An object that a source put, to be planned.
#[derive(Debug)]
pub struct Job {
    pub href: String,
    pub etag: String,
    /// As it is kept, see [`Planner::stored`].
    pub text: Vec<u8>,
    pub written: Option<UtcMillis>,
    /// What the ledger holds under this href.
    pub existing: Option<Existing>,
    /// It was gone for a short while: what is due from then on has not rung.
    pub owed: Option<UtcMillis>,
}

/// What planning an object came to.
#[derive(Debug)]
pub struct Outcome {
    /// As it shall be in the ledger; none: as it is there.
    pub object: Option<PlannedObject>,
    /// Its href, where what the source has cannot be used.
    pub unreadable: Option<String>,
}

/// Plans objects. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Planner {
    inner: Arc<Inner>,
    ledger: Ledger,
    /// What was due until then has rung although the ledger does not know it: it is a copy that was put back.
    fired_until: UtcMillis,
}

#[derive(Debug)]
struct Inner {
    zones: Zones,
    limits: Limits,
    /// Milliseconds after which an alarm is missed.
    max_lateness: i64,
    sender: Sender,
    routing: Routing,
}

/// `from <= ring < until`
type Window = (UtcMillis, UtcMillis);

/// Whose rings they are.
#[derive(Clone, Copy)]
struct Place<'a> {
    row: &'a CalendarRow,
    about: &'a About,
    object: i64,
    /// Of the object.
    href: &'a str,
}

/// What an object's text comes to, at one moment.
struct Read {
    due: Option<UtcMillis>,
    faults: Vec<String>,
    memo: Option<String>,
    zones: String,
    uids: Vec<String>,
    modified: Option<UtcMillis>,
    is_cut_off: bool,
    is_unclosed: bool,
}

impl Read {
    /// Whether what was read can be all that there is.
    fn is_complete(&self) -> bool {
        !self.is_cut_off && !self.is_unclosed
    }
}

impl Planner {
    /// A planner for what `config` says, with the zones of `zones`.
    pub fn new(config: &Config, zones: Zones, routing: Routing, ledger: Ledger) -> Planner {
        let limits = config.limits.objects;
        let max_lateness = i64::try_from(config.defaults.max_lateness.as_millis()).unwrap_or(i64::MAX);
        let sender = sender(config);
        let inner = Arc::new(Inner { zones, limits, max_lateness, sender, routing });
        Planner { inner, ledger, fired_until: UtcMillis::MIN }
    }

    /// This planner, to which what was due until `at` is missed, however late it is.
    pub fn fired_until(self, at: UtcMillis) -> Planner {
        Planner { fired_until: at, ..self }
    }

    /// The text as it is kept: without inline attachments.
    pub fn stored(&self, text: Vec<u8>) -> Vec<u8> {
        attachments::strip(text)
    }

    fn around(&self, row: &CalendarRow) -> Surroundings {
        surroundings(row, self.inner.zones.clone(), self.inner.limits)
    }

    /// Plans what a source put into `row`, on all cores. `previous` is when the calendar was looked at before.
    pub async fn plan_all(
        &self,
        row: CalendarRow,
        jobs: Vec<Job>,
        previous: UtcMillis,
        now: UtcMillis,
    ) -> Vec<Outcome> {
        let planner = self.clone();
        spread(jobs, move |jobs| {
            let around = planner.around(&row);
            jobs.into_iter().map(|job| planner.plan(&row, &around, job, previous, now)).collect()
        })
        .await
    }

    fn plan(&self, row: &CalendarRow, around: &Surroundings, job: Job, previous: UtcMillis, now: UtcMillis) -> Outcome {
        let previous = job.owed.map_or(previous, |owed| owed.min(previous));
        let read = self.read(around, &job.text, None, |modified| from(previous, job.written.or(modified), now));
        let is_broken = read.as_ref().map_or(true, |read| read.is_cut_off);
        let is_complete = read.as_ref().is_ok_and(Read::is_complete);
        let unreadable = (!is_complete).then(|| job.href.clone());
        let existing = job.existing.as_ref();
        if existing.is_some_and(|existing| existing.text == job.text || (is_broken && self.is_whole(existing))) {
            let object = self.keep(row, around, job, read, previous);
            return Outcome { object, unreadable };
        }
        let read = read.unwrap_or_else(Read::unreadable);
        let faults = listed(&read.faults);
        if existing.is_none_or(|existing| existing.faults != faults) {
            tell(row, &job.href, &read.faults);
        }
        let from = from(previous, job.written.or(read.modified), now);
        let overdue = existing.and_then(|existing| {
            let place = Place { row, about: &about(row), object: existing.id, href: &job.href };
            self.overdue(place, around, existing, from, now)
        });
        let object = PlannedObject {
            existing: job.existing.map(|existing| (existing.id, existing.revision)),
            href: job.href,
            etag: etag(job.etag, !is_complete),
            written: job.written.or(read.modified),
            faults,
            memo: read.memo,
            zones: read.zones,
            uids: read.uids,
            text: job.text,
            due: read.due,
            overdue: overdue.unwrap_or_default(),
        };
        Outcome { object: Some(object), unreadable }
    }

    /// An object that goes on as the ledger has it: its source says the same again, or something that cannot be used. A
    /// file that is being written, or that a broken program has written, does not take back what was known. None where the
    /// ledger says all that already.
    fn keep(
        &self,
        row: &CalendarRow,
        around: &Surroundings,
        job: Job,
        read: Result<Read, String>,
        previous: UtcMillis,
    ) -> Option<PlannedObject> {
        let Job { href, existing: Some(existing), .. } = job else { return None };
        let is_same = existing.text == job.text;
        let mut faults = read.as_ref().map_or_else(|fault| vec![fault.clone()], |read| read.faults.clone());
        let is_complete = read.is_ok_and(|read| read.is_complete());
        if !is_same {
            faults.push("it is kept, and rings, as it was before".to_owned());
        }
        // The version of a text that is not taken over would keep it from being asked for again.
        let (etag, written) = if is_same {
            (etag(job.etag, !is_complete), job.written)
        } else {
            (existing.etag.clone(), existing.written)
        };
        let told = listed(&faults);
        if told != existing.faults {
            tell(row, &href, &faults);
        } else if etag == existing.etag {
            return None;
        }
        let from = existing.due.map_or(previous, |due| due.min(previous));
        let read = self.read(around, &existing.text, None, |_| from).unwrap_or_else(Read::unreadable);
        Some(PlannedObject {
            existing: Some((existing.id, existing.revision)),
            href,
            etag,
            written: written.or(read.modified),
            faults: told,
            memo: read.memo,
            zones: read.zones,
            uids: read.uids,
            text: existing.text,
            due: read.due,
            overdue: Vec::new(),
        })
    }

    /// Whether what the ledger has of an object is more than what cannot be used.
    fn is_whole(&self, existing: &Existing) -> bool {
        Object::parse(&existing.text, &self.inner.limits).is_ok_and(|object| !object.is_cut_off)
    }

    /// What the previous content of an object still owed when the new one, which counts from `from` on, was written.
    fn overdue(
        &self,
        place: Place<'_>,
        around: &Surroundings,
        existing: &Existing,
        from: UtcMillis,
        now: UtcMillis,
    ) -> Option<Vec<NewRing>> {
        let due = existing.due.filter(|due| *due < from)?;
        let object = Object::parse(&existing.text, &self.inner.limits).ok()?;
        let plan = Plan::new(&object, around, existing.memo.as_deref());
        Some(self.rings(&plan, place, (due, from), now).into_iter().map(|ring| self.stamped(ring, now)).collect())
    }

    /// Plans objects of `row` again whose text has not changed; what was due before `previous` is past, unless it has not
    /// been fired yet.
    pub async fn replan_all(&self, row: CalendarRow, objects: Vec<ObjectText>, previous: UtcMillis) -> Vec<Replanned> {
        let planner = self.clone();
        spread(objects, move |objects| {
            let around = planner.around(&row);
            let replan = |object: ObjectText| {
                // A COUNT's end is worked out anew: it is kept in the wall clock of a zone that may have changed.
                let from = object.due.map_or(previous, |due| due.min(previous));
                let read = planner.read(&around, &object.text, None, |_| from).unwrap_or_else(Read::unreadable);
                let Read { due, zones, memo, .. } = read;
                Replanned { id: object.id, revision: object.revision, due, zones, memo }
            };
            objects.into_iter().map(replan).collect()
        })
        .await
    }

    /// Reads `text`. `from` says from when on its rings count, given when it was last modified.
    fn read(
        &self,
        around: &Surroundings,
        text: &[u8],
        memo: Option<&str>,
        from: impl Fn(Option<UtcMillis>) -> UtcMillis,
    ) -> Result<Read, String> {
        let object = Object::parse(text, &self.inner.limits).map_err(|error| error.to_string())?;
        let plan = Plan::new(&object, around, memo);
        let modified = object.last_modified();
        Ok(Read {
            due: plan.next_ring(from(modified)),
            faults: plan.faults().iter().map(ToString::to_string).collect(),
            memo: plan.memo().map(str::to_owned),
            zones: known(&plan, &self.inner.zones),
            uids: object.uids().into_iter().map(str::to_owned).collect(),
            modified,
            is_cut_off: object.is_cut_off,
            is_unclosed: object.is_unclosed,
        })
    }

    /// The rings of `plan` in `from <= ring < until`: notifications for those that are not too late at `now`, rows for
    /// the rest. Not stamped yet.
    fn rings(&self, plan: &Plan<'_>, place: Place<'_>, (from, until): Window, now: UtcMillis) -> Vec<NewRing> {
        let too_late = now.plus(-self.inner.max_lateness).max(self.fired_until.plus(1));
        let mut rings = Vec::new();
        if from < too_late {
            self.missed(plan, place, (from, until.min(too_late)), &mut rings);
        }
        let from = from.max(too_late);
        if from < until {
            rings.extend(firings(plan.rings(from..until)).iter().map(|ring| self.fired(ring, place)));
            rings.extend(suppressed(plan, place, (from, until)));
        }
        rings.shrink_to_fit();
        rings
    }

    /// Rings that were found too late. Only the first [`MISSED`] get a row of their own; the last row stands for the
    /// rest, of which no more than [`MISSED_COUNT`] are counted.
    fn missed(&self, plan: &Plan<'_>, place: Place<'_>, (from, until): Window, rings: &mut Vec<NewRing>) {
        let (mut cursor, mut count, mut rest) = (from, 0_usize, None::<NewRing>);
        while let Some(next) = plan.next_ring(cursor).filter(|next| *next < until && count < MISSED_COUNT) {
            let end = next.plus(DAY).min(until);
            for ring in firings(plan.rings(next..end)) {
                count += 1;
                if count <= MISSED {
                    rings.push(NewRing { state: RingState::Missed, routes: Vec::new(), ..self.fired(&ring, place) });
                } else {
                    rest = Some(self.fired(&ring, place));
                }
            }
            cursor = end;
        }
        let standing_for = i64::try_from(count.saturating_sub(MISSED)).unwrap_or(i64::MAX);
        let rest =
            rest.map(|ring| NewRing { state: RingState::Missed, routes: Vec::new(), count: standing_for, ..ring });
        rings.extend(rest);
    }

    fn fired(&self, ring: &Ring<'_>, place: Place<'_>) -> NewRing {
        let Place { row, about, .. } = place;
        let identity = identity(about, place.href, ring);
        let notification = Notification::new(ring, about, identity, &self.inner.sender, UtcMillis(0));
        let mut json = notification.to_json();
        // A hundred thousand of them may wait for their second.
        json.shrink_to_fit();
        NewRing {
            identity,
            calendar: row.id,
            object: place.object,
            due: ring.at,
            state: RingState::Fired,
            count: 1,
            notification: json,
            routes: self.inner.routing.routes(&notification, &row.emails),
        }
    }
}

impl Planner {
    /// Why a user of whom no address is known misses alarms, and what to do; none where no sink writes to the user.
    pub fn no_address(&self, user: &str) -> Option<String> {
        self.inner.routing.no_address(user)
    }
}

impl Prepare for Planner {
    async fn prepare(&self, timers: Vec<Due>, until: UtcMillis, now: UtcMillis) -> Result<Vec<Firing>, LedgerError> {
        let ids: Vec<i64> = timers.iter().map(|timer| timer.object).collect();
        let texts = self.ledger.texts(&ids).await?;
        let mut calendars: Vec<i64> = texts.iter().map(|text| text.calendar).collect();
        calendars.sort_unstable();
        calendars.dedup();
        let rows: HashMap<i64, CalendarRow> =
            self.ledger.calendars_by_id(&calendars).await?.into_iter().map(|row| (row.id, row)).collect();
        let mut texts: HashMap<i64, ObjectText> = texts.into_iter().map(|text| (text.id, text)).collect();
        let matching = |timer: Due| {
            let text = texts.remove(&timer.object).filter(|text| text.revision == timer.revision)?;
            Some((timer, text))
        };
        let work: Vec<(Due, ObjectText)> = timers.into_iter().filter_map(matching).collect();
        let planner = self.clone();
        let firings = spread(work, move |work| {
            let mut around: HashMap<i64, (Surroundings, About)> = HashMap::new();
            let firing = |(timer, text): (Due, ObjectText)| {
                let row = rows.get(&text.calendar)?;
                let (around, about) = around.entry(row.id).or_insert_with(|| (planner.around(row), about(row)));
                let place = Place { row, about, object: text.id, href: &text.href };
                Some(planner.firing(place, around, timer, &text, (until, now)))
            };
            work.into_iter().filter_map(firing).collect()
        });
        Ok(firings.await)
    }

    fn stamp(&self, firing: Firing, now: UtcMillis) -> Firing {
        let rings = firing.rings.into_iter().map(|ring| self.stamped(ring, now)).collect();
        Firing { rings, ..firing }
    }
}

impl Planner {
    fn firing(
        &self,
        place: Place<'_>,
        around: &Surroundings,
        timer: Due,
        text: &ObjectText,
        (until, now): (UtcMillis, UtcMillis),
    ) -> Firing {
        let Ok(object) = Object::parse(&text.text, &self.inner.limits) else {
            // A bit of it has turned, or limits have become narrower since it was taken in.
            let row = place.row;
            tracing::error!(
                calendar.name = row.name,
                object.href = text.href,
                "what is kept of it cannot be read: a limit of [limits] is narrower now, or the ledger is damaged; it does not \
                 ring until it changes or is taken in anew"
            );
            return Firing { timer, rings: Vec::new(), next: None };
        };
        let plan = Plan::new(&object, around, text.memo.as_deref());
        let after = until.max(timer.due).plus(1);
        let rings = self.rings(&plan, place, (timer.due, after), now);
        Firing { timer, rings, next: plan.next_ring(after) }
    }

    /// `ring` as it fires at `now`: too late, or with the instant in its notification.
    fn stamped(&self, ring: NewRing, now: UtcMillis) -> NewRing {
        if ring.state != RingState::Fired {
            return ring;
        }
        let lateness = now.0.saturating_sub(ring.due.0);
        if lateness > self.inner.max_lateness {
            return NewRing { state: RingState::Missed, routes: Vec::new(), ..ring };
        }
        NewRing { notification: stamp(&ring.notification, now), ..ring }
    }
}

impl Read {
    fn unreadable(fault: String) -> Read {
        let faults = vec![fault];
        let zones = " ".to_owned();
        Read {
            due: None,
            faults,
            memo: None,
            zones,
            uids: Vec::new(),
            modified: None,
            is_cut_off: false,
            is_unclosed: false,
        }
    }
}

fn tell(row: &CalendarRow, href: &str, faults: &[String]) {
    for fault in faults {
        tracing::warn!(calendar.name = row.name, object.href = href, "{fault}");
    }
}

/// `faults` as the ledger keeps them.
fn listed(faults: &[String]) -> Option<String> {
    (!faults.is_empty()).then(|| serde_json::json!(faults).to_string())
}

/// The zones of the database that `plan` depends on, and those that a later one may have, between spaces. What an object
/// defines for itself never changes by itself.
fn known(plan: &Plan<'_>, zones: &Zones) -> String {
    let found = plan.zones().iter().filter(|id| zones.find(id).is_some());
    found.chain(plan.awaited_zones()).fold(" ".to_owned(), |all, id| all + id + " ")
}

/// The version that is kept of an object: none where its text `is_broken`, so that it is asked for again.
fn etag(etag: String, is_broken: bool) -> String {
    if is_broken { String::new() } else { etag }
}

/// From when on the rings of an object count: what was due when its calendar was looked at before, or when it was
/// written, is past (rule 23). What claims to be written in the future says nothing: some clock is wrong.
fn from(previous: UtcMillis, written: Option<UtcMillis>, now: UtcMillis) -> UtcMillis {
    written.filter(|written| *written <= now).map_or(previous, |written| previous.max(written))
}

/// A row that counts what one hour had too much of.
fn suppressed(plan: &Plan<'_>, place: Place<'_>, (from, until): Window) -> Option<NewRing> {
    let count = i64::try_from(plan.suppressed(from..until)).unwrap_or(i64::MAX);
    let name = format!("suppressed\n{}\n{}\n{}", place.row.id, place.object, from.0);
    let mut identity = [0; 16];
    identity.iter_mut().zip(Sha256::digest(name)).for_each(|(to, octet)| *to = octet);
    (count > 0).then(|| NewRing {
        identity,
        calendar: place.row.id,
        object: place.object,
        due: from,
        state: RingState::Suppressed,
        count,
        notification: String::new(),
        routes: Vec::new(),
    })
}

/// `json`, a notification that was written before it fired, with the instant at which it did: the value of its last key.
fn stamp(json: &str, now: UtcMillis) -> String {
    match json.strip_suffix("\"}").and_then(|json| json.rsplit_once('"')) {
        Some((head, _)) => format!("{head}\"{now}\"}}"),
        None => json.to_owned(),
    }
}

/// What the objects of `row` depend on besides their text.
pub fn surroundings(row: &CalendarRow, zones: Zones, limits: Limits) -> Surroundings {
    let mut around = Surroundings::new(zones)
        .with_calendar_zone(row.zone.as_deref())
        .with_user_zone(row.user_zone.as_deref(), None)
        .with_addresses(&row.emails);
    around.limits = limits;
    let (timed, all_day) = (row.default_timed.as_deref(), row.default_all_day.as_deref());
    if timed.or(all_day).is_some() {
        // Default alarms that cannot be read are none.
        around.default_alarms = DefaultAlarms::parse(timed, all_day).ok();
    }
    around
}

/// Who sends the notifications of this process.
pub fn sender(config: &Config) -> Sender {
    Sender {
        server_fqdn: config.defaults.server_name.clone(),
        pid: std::process::id(),
        max_text: config.limits.max_text,
    }
}

/// What notifications say of a calendar.
pub fn about(row: &CalendarRow) -> About {
    About {
        user: row.user.clone(),
        // A watched folder that is itself the calendar is told from others by its name.
        key: if row.href == "." { row.key.clone() } else { row.href.clone() },
        name: row.name.clone(),
        id: row.key.clone(),
        color: row.color.clone(),
        owner: row.owner.clone(),
    }
}

/// Works through `items` on as many threads as there are cores, away from those that wait for sockets, and keeps their
/// order.
async fn spread<T, R, F>(items: Vec<T>, work: F) -> Vec<R>
where
    T: Send + 'static,
    R: Send + 'static,
    F: Fn(Vec<T>) -> Vec<R> + Send + Sync + 'static,
{
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let share = items.len().div_ceil(cores).max(FEW);
    let work = Arc::new(work);
    let mut tasks = Vec::new();
    let mut items = items.into_iter().peekable();
    while items.peek().is_some() {
        let (part, work) = (items.by_ref().take(share).collect(), work.clone());
        tasks.push(tokio::task::spawn_blocking(move || work(part)));
    }
    let mut done = Vec::new();
    for task in tasks {
        match task.await {
            Ok(part) => done.extend(part),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    done
}

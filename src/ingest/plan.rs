//! What is planned when a source put an object, or when what its times depend on has changed.

use std::collections::HashMap;

use crate::calendar::context::CalendarContext;
use crate::calendar::ical::object::{Object, ObjectLimits};
use crate::calendar::schedule::Schedule;
use crate::calendar::zone::Zones;
use crate::firing::{FiringRenderer, ObjectInCalendar, RenderedFirings, about, spread};
use crate::ledger::{CalendarRow, Departed, Existing, NewFiring, ObjectText, PlannedObject, Replanned};
use crate::time::UtcMillis;

/// An object that a source put, to be planned.
#[derive(Debug)]
pub struct Job {
    /// The object's href within its calendar.
    pub href: String,
    /// Its entity tag; empty where there is none.
    pub etag: String,
    /// As it is kept, without inline attachments; or why its source cannot read it, which is then a fault.
    pub text: Result<Vec<u8>, String>,
    /// When it was written, as its source says.
    pub last_modified: Option<UtcMillis>,
    /// What the ledger holds under this href.
    pub existing: Option<Existing>,
    /// It was gone for a short while, or could not be used: what is due from then on has not fired.
    pub unfired_since: Option<UtcMillis>,
}

/// What is known of the time before objects are put into a calendar.
#[derive(Clone, Debug)]
pub struct Past {
    /// When the calendar was synced before: what was due until then has fired, or fires by what the ledger has.
    pub previous_sync: UtcMillis,
    /// That sync may not have seen what was written from then on: the source lagged behind, or could not read it.
    pub unsure: UtcMillis,
    /// By UID, what went from the user's calendars a short while ago.
    pub gone: HashMap<String, Departed>,
    /// What the calendar's objects depend on besides their text has changed: its zone, say.
    pub replan: bool,
}

/// What was due of an edited object is written down in so many parts more, if it is too much at once; what comes after
/// that is missed.
const MOST_CUTS: usize = 15;

/// What the objects of a batch are planned with.
#[derive(Clone, Copy)]
struct JobContext<'a> {
    row: &'a CalendarRow,
    context: &'a CalendarContext,
    past: &'a Past,
    now: UtcMillis,
}

/// What planning an object came to.
#[derive(Debug)]
pub struct PlanOutcome {
    /// As it shall be in the ledger; none: as it is there.
    pub object: Option<PlannedObject>,
    /// Its href, where what the source has cannot be used.
    pub unreadable: Option<String>,
}

/// What an object's text comes to, at one moment.
struct Read {
    due: Option<UtcMillis>,
    faults: Vec<String>,
    count_cache: Option<String>,
    zones: String,
    uids: Vec<String>,
    modified: Option<UtcMillis>,
    /// From when on its alarms count.
    from: UtcMillis,
    is_cut_off: bool,
    is_unclosed: bool,
}

impl Read {
    /// Whether what was read can be all that there is.
    fn is_complete(&self) -> bool {
        !self.is_cut_off && !self.is_unclosed
    }
}

impl Past {
    /// That of a calendar that was synced before at `previous_sync`, and all of it seen.
    pub fn at(previous_sync: UtcMillis) -> Past {
        Past { previous_sync, unsure: previous_sync, gone: HashMap::new(), replan: false }
    }

    /// From when on the alarms of an object count: what was due when its calendar was synced before, or when it was
    /// written, is past (rule 23). What claims to be written in the future says nothing: some clock is wrong.
    fn from(
        &self,
        job: &Job,
        object: &Object,
        schedule: &Schedule<'_>,
        limits: &ObjectLimits,
        now: UtcMillis,
    ) -> UtcMillis {
        let since = job.unfired_since.map_or(self.previous_sync, |since| since.min(self.previous_sync));
        let from = match job.last_modified.or_else(|| object.last_modified()).filter(|modified| *modified <= now) {
            Some(modified) if modified >= since.min(self.unsure) => modified,
            _ => since,
        };
        match self.moved(job, object, schedule, limits) {
            // What was due where it was and has not fired fires, whenever it was put here. An instant to come was seen
            // by a clock that has been set back.
            Some(Departed { due, seen_at }) => due.min(from.max(seen_at.min(now))),
            None => from,
        }
    }

    /// The object that went a short while ago, from here or from another place of its user, if it would have fired next
    /// when this one does: it is the same one.
    fn moved(&self, job: &Job, object: &Object, schedule: &Schedule<'_>, limits: &ObjectLimits) -> Option<Departed> {
        if self.gone.is_empty() {
            return None;
        }
        let uids = object.uids();
        let departed = uids.iter().filter_map(|uid| self.gone.get(*uid)).min_by_key(|departed| departed.due)?;
        // What it replaces here is another one, or it is an edit of that.
        let before = job.existing.as_ref().and_then(|existing| Object::parse(&existing.text, limits).ok());
        let is_edit = before.is_some_and(|before| before.uids().iter().any(|uid| uids.contains(uid)));
        let is_same = schedule.next_instance(departed.due) == Some(departed.due);
        (is_same && !is_edit).then_some(*departed)
    }
}

/// Plans objects: when each is due next, and what of its previous content has not fired. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Planner {
    renderer: FiringRenderer,
}

impl Planner {
    /// A planner that makes firings of what is overdue by `renderer`.
    pub fn new(renderer: FiringRenderer) -> Planner {
        Planner { renderer }
    }

    /// What it makes firings by.
    pub(super) fn renderer(&self) -> &FiringRenderer {
        &self.renderer
    }

    /// Why a user of whom no address is known misses alarms, and what to do; none where no sink writes to the user.
    pub fn no_address(&self, user: &str) -> Option<String> {
        self.renderer.no_address(user)
    }

    /// Plans what a source put into `row`, whose time before is `past`, on all cores.
    pub async fn plan_all(&self, row: CalendarRow, jobs: Vec<Job>, past: Past, now: UtcMillis) -> Vec<PlanOutcome> {
        let planner = self.clone();
        spread(jobs, move |jobs| {
            let context = planner.renderer.context(&row);
            let at = JobContext { row: &row, context: &context, past: &past, now };
            jobs.into_iter().map(|job| planner.plan(job, at)).collect()
        })
        .await
    }

    fn plan(&self, job: Job, at: JobContext<'_>) -> PlanOutcome {
        let JobContext { row, context, past, now } = at;
        let read = match &job.text {
            Ok(text) => self.read(context, text, None, |object, schedule| {
                past.from(&job, object, schedule, self.renderer.limits(), now)
            }),
            Err(fault) => Err(fault.clone()),
        };
        let is_broken = read.as_ref().map_or(true, |read| read.is_cut_off);
        let is_complete = read.as_ref().is_ok_and(Read::is_complete);
        let unreadable = (!is_complete).then(|| job.href.clone());
        let existing = job.existing.as_ref();
        let goes_on = |existing: &Existing| match &job.text {
            Ok(text) => existing.text == *text || (is_broken && self.is_whole(existing)),
            Err(_) => true,
        };
        let previous = job.unfired_since.map_or(past.previous_sync, |since| since.min(past.previous_sync));
        if existing.is_some_and(goes_on) {
            let object = self.keep(job, at, read, previous);
            return PlanOutcome { object, unreadable };
        }
        let read = read.unwrap_or_else(|fault| Read::unreadable(fault, past.previous_sync));
        let faults = listed(&read.faults);
        if job.text.is_ok() && existing.is_none_or(|existing| existing.faults != faults) {
            self.renderer.log_faults(row, &job.href, &read.faults, now);
        }
        let overdue = existing.and_then(|existing| {
            let object = ObjectInCalendar { row, about: &about(&row.info), id: existing.id, href: &job.href };
            self.overdue(object, context, existing, read.from, now)
        });
        let object = PlannedObject {
            existing: job.existing.map(|existing| existing.version()),
            href: job.href,
            etag: etag(job.etag, !is_complete),
            last_modified: job.last_modified.or(read.modified),
            faults,
            unread_since: (!is_complete).then_some(previous),
            count_cache: read.count_cache,
            zones: read.zones,
            uids: read.uids,
            text: job.text.unwrap_or_default(),
            due: read.due,
            overdue: overdue.unwrap_or_default(),
        };
        PlanOutcome { object: Some(object), unreadable }
    }

    /// An object that goes on as the ledger has it: its source says the same again, or something that cannot be used. A
    /// file that is being written, or that a broken program has written, does not take back what was known. None where
    /// the ledger says all that already.
    fn keep(
        &self,
        job: Job,
        at: JobContext<'_>,
        read: Result<Read, String>,
        previous: UtcMillis,
    ) -> Option<PlannedObject> {
        let (replan, context) = (at.past.replan, at.context);
        let Job { href, existing: Some(existing), .. } = job else { return None };
        let is_same = job.text.as_ref().map_or(existing.text.is_empty(), |text| existing.text == *text);
        let mut faults = read.as_ref().map_or_else(|fault| vec![fault.clone()], |read| read.faults.clone());
        let is_complete = read.is_ok_and(|read| read.is_complete());
        if !is_same {
            faults.push("it is kept, and fires, as it was before".to_owned());
        }
        // The version of a text that is not taken over would keep it from being asked for again, and so would that of
        // the text before: the one that cannot be read may have the same.
        let (etag, last_modified) = match &job.text {
            Ok(_) if is_same => (etag(job.etag, !is_complete), job.last_modified),
            _ => (String::new(), existing.last_modified),
        };
        let listed_faults = listed(&faults);
        if listed_faults != existing.faults && job.text.is_ok() {
            self.renderer.log_faults(at.row, &href, &faults, at.now);
        } else if listed_faults == existing.faults && etag == existing.etag {
            return None;
        }
        // It fires next when it would have: what was past when it came in stays so, whenever its calendar was synced.
        // By another zone of the calendar, what was due since the sync before fires.
        let from = existing.due.unwrap_or(previous);
        let from = if replan { from.min(previous) } else { from };
        let read =
            self.read(context, &existing.text, None, |_, _| from).unwrap_or_else(|fault| Read::unreadable(fault, from));
        Some(PlannedObject {
            existing: Some(existing.version()),
            href,
            etag,
            last_modified: last_modified.or(read.modified),
            faults: listed_faults,
            unread_since: (!(is_same && is_complete)).then_some(existing.unread_since.unwrap_or(previous)),
            count_cache: read.count_cache,
            zones: read.zones,
            uids: read.uids,
            text: existing.text,
            due: if replan { read.due } else { existing.due },
            overdue: Vec::new(),
        })
    }

    /// Whether what the ledger has of an object is more than what cannot be used.
    fn is_whole(&self, existing: &Existing) -> bool {
        Object::parse(&existing.text, self.renderer.limits()).is_ok_and(|object| !object.is_cut_off)
    }

    /// The firings of the previous content of an object that were due and not recorded yet when the new one, which
    /// counts from `from` on, was written.
    fn overdue(
        &self,
        object: ObjectInCalendar<'_>,
        context: &CalendarContext,
        existing: &Existing,
        from: UtcMillis,
        now: UtcMillis,
    ) -> Option<Vec<NewFiring>> {
        let due = existing.due.filter(|due| *due < from)?;
        let firings = Schedule::of_text(&existing.text, context, existing.count_cache.as_deref(), |_, schedule| {
            // It has been edited: there is no later firing of what it was.
            let RenderedFirings { mut firings, mut cut_at } = self.renderer.firings(schedule, object, due..from, now);
            for _ in 0..MOST_CUTS {
                let Some(at) = cut_at else { break };
                let more = self.renderer.firings(schedule, object, at..from, now);
                firings.extend(more.firings);
                cut_at = more.cut_at;
            }
            if let Some(at) = cut_at {
                self.renderer.missed(schedule, object, at..from, &mut firings);
            }
            firings
        });
        Some(firings.ok()?.into_iter().map(|firing| self.renderer.stamped(firing, now)).collect())
    }

    /// Plans objects of `row` again whose text has not changed; what was due before `previous` is past, unless it has
    /// not been fired yet.
    pub async fn replan_all(&self, row: CalendarRow, objects: Vec<ObjectText>, previous: UtcMillis) -> Vec<Replanned> {
        let planner = self.clone();
        spread(objects, move |objects| {
            let context = planner.renderer.context(&row);
            let replan = |object: ObjectText| {
                // A COUNT's end is worked out again: it is kept in the wall clock of a zone that may have changed.
                let from = object.due.map_or(previous, |due| due.min(previous));
                let read = planner
                    .read(&context, &object.text, None, |_, _| from)
                    .unwrap_or_else(|fault| Read::unreadable(fault, from));
                let Read { due, zones, count_cache, .. } = read;
                Replanned { id: object.id, revision: object.revision, due, zones, count_cache }
            };
            objects.into_iter().map(replan).collect()
        })
        .await
    }

    /// Reads `text`. `from` says from when on the alarms of what it says count.
    fn read(
        &self,
        context: &CalendarContext,
        text: &[u8],
        count_cache: Option<&str>,
        from: impl Fn(&Object, &Schedule<'_>) -> UtcMillis,
    ) -> Result<Read, String> {
        let read = Schedule::of_text(text, context, count_cache, |object, schedule| {
            let from = from(object, schedule);
            let due = schedule.next_instance(from);
            let overworked = schedule.overworked();
            Read {
                due,
                from,
                faults: schedule.faults().iter().chain(&overworked).map(ToString::to_string).collect(),
                count_cache: schedule.memo().map(str::to_owned),
                zones: known(schedule, self.renderer.zones()),
                uids: object.uids().into_iter().map(str::to_owned).collect(),
                modified: object.last_modified(),
                is_cut_off: object.is_cut_off,
                is_unclosed: object.is_unclosed,
            }
        });
        read.map_err(|error| error.to_string())
    }
}

impl Read {
    fn unreadable(fault: String, from: UtcMillis) -> Read {
        let faults = vec![fault];
        let zones = " ".to_owned();
        Read {
            due: None,
            faults,
            count_cache: None,
            zones,
            uids: Vec::new(),
            modified: None,
            from,
            is_cut_off: false,
            is_unclosed: false,
        }
    }
}

/// `faults` as the ledger keeps them.
fn listed(faults: &[String]) -> Option<String> {
    (!faults.is_empty()).then(|| serde_json::json!(faults).to_string())
}

/// The zones of the database that `plan` depends on, and those that a later one may have, between spaces. What an
/// object defines for itself never changes by itself.
fn known(schedule: &Schedule<'_>, zones: &Zones) -> String {
    let found = schedule.zones().iter().filter(|id| zones.find(id).is_some());
    found.chain(schedule.unresolved_zones()).fold(" ".to_owned(), |all, id| all + id + " ")
}

/// The version that is kept of an object: none where its text `is_broken`, so that it is asked for again.
fn etag(etag: String, is_broken: bool) -> String {
    if is_broken { String::new() } else { etag }
}

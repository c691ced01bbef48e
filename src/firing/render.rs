//! The firings of an object that is due: their notifications and where these go.

use std::collections::HashMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use sha2::{Digest as _, Sha256};

use super::context::about;
use super::parallel::spread;
use super::prepare::{Prepare, Prepared};
use super::renderer::FiringRenderer;
use crate::calendar::context::CalendarContext;
use crate::calendar::schedule::Schedule;
use crate::calendar::schedule::alarm_instance::{AlarmInstance, fire_as_one};
use crate::ledger::{
    CalendarRow, DueObject, FiringState, LedgerError, LongText, NewFiring, ObjectText, ShortTexts, Timer,
};
use crate::notification::{About, Notification, StoredNotification, identity};
use crate::time::UtcMillis;

/// Missed firings of an object that are recorded one by one; the rest of them shares a row.
const MISSED: usize = 100;
/// Missed alarm instances of an object that are counted at all.
const MISSED_COUNT: usize = 10_000;
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Alarm instances of so much time are worked out at once, if a window is long.
const SLICE: SignedDuration = SignedDuration::from_hours(1);
/// Objects whose texts are read at a time.
const FEW: usize = 500;
/// Octets of notifications of one object above which the firings of later instants wait for the next time that it is
/// due.
const MUCH: usize = 4 * 1024 * 1024;
/// Octets of a text above which it is read and worked out alone, and above which that is done in the background.
const LONG: usize = 32 * 1024;
const VERY_LONG: usize = 256 * 1024;
/// How long objects are worked out at a time; the rest waits until what is ready has fired.
const TURN: Duration = Duration::from_millis(200);

/// Firings of an object.
#[derive(Clone, Debug, Default)]
pub struct RenderedFirings {
    /// In the order of their due instants, by state.
    pub firings: Vec<NewFiring>,
    /// Where they were too much at once: the due instant from which on they are left out.
    pub cut_at: Option<UtcMillis>,
}

/// For when due objects are worked out.
#[derive(Clone, Copy, Debug)]
struct FireTime {
    /// What is due by then fires.
    until: UtcMillis,
    now: UtcMillis,
}

/// The object whose firings they are, in its calendar.
#[derive(Clone, Copy, Debug)]
pub struct ObjectInCalendar<'a> {
    /// Its calendar.
    pub row: &'a CalendarRow,
    /// What notifications say of the calendar.
    pub about: &'a About,
    /// Its id in the ledger.
    pub id: i64,
    /// Its href in the calendar.
    pub href: &'a str,
}

impl FiringRenderer {
    /// The firings of `schedule` that are due in `window`: notifications for those that are not too late at `now`, rows
    /// for the rest. Not stamped yet.
    pub fn firings(
        &self,
        schedule: &Schedule<'_>,
        object: ObjectInCalendar<'_>,
        window: Range<UtcMillis>,
        now: UtcMillis,
    ) -> RenderedFirings {
        let Range { start: from, end: until } = window;
        let too_late = now.saturating_sub(self.settings.max_lateness).max(self.fired_until.just_after());
        let mut firings = Vec::new();
        if from < too_late {
            self.missed(schedule, object, from..until.min(too_late), &mut firings);
        }
        let from = from.max(too_late);
        let mut end = until;
        if from < until {
            end = self.on_time(schedule, object, from..until, &mut firings);
            firings.extend(suppressed(schedule, object, from..end));
        }
        firings.shrink_to_fit();
        RenderedFirings { firings, cut_at: Some(end).filter(|end| *end < until) }
    }

    /// Adds the firings of `window`, none of which is too late, to `firings`, up to its end or to where they are too
    /// much; returns that.
    fn on_time(
        &self,
        schedule: &Schedule<'_>,
        object: ObjectInCalendar<'_>,
        window: Range<UtcMillis>,
        firings: &mut Vec<NewFiring>,
    ) -> UtcMillis {
        let Range { start: mut cursor, end: until } = window;
        let mut octets = 0;
        while cursor < until {
            let end = cursor.saturating_add(SLICE).min(until);
            let mut last = None;
            for instance in fire_as_one(schedule.instances(cursor..end)) {
                // What is due at one instant stays together: an object is due at one.
                if octets > MUCH && last.is_some_and(|last| last < instance.at) {
                    return instance.at;
                }
                last = Some(instance.at);
                let firing = self.fired(&instance, object);
                octets += firing.notification.len();
                firings.push(firing);
            }
            cursor = end;
            if cursor < until {
                let Some(next) = schedule.next_instance(cursor).filter(|next| *next < until) else { break };
                if octets > MUCH {
                    return next;
                }
                cursor = next;
            }
        }
        until
    }

    /// Firings that were found too late. Only the first [`MISSED`] get a row of their own; the last row stands for the
    /// rest, of which no more than [`MISSED_COUNT`] are counted.
    pub fn missed(
        &self,
        schedule: &Schedule<'_>,
        object: ObjectInCalendar<'_>,
        window: Range<UtcMillis>,
        firings: &mut Vec<NewFiring>,
    ) {
        let Range { start: mut cursor, end: until } = window;
        let (mut count, mut rest) = (0_usize, None::<NewFiring>);
        while let Some(next) = schedule.next_instance(cursor).filter(|next| *next < until && count < MISSED_COUNT) {
            let end = next.saturating_add(DAY).min(until);
            for instance in fire_as_one(schedule.instances(next..end)) {
                count += 1;
                if count <= MISSED {
                    firings.push(NewFiring {
                        state: FiringState::Missed,
                        routes: Vec::new(),
                        ..self.fired(&instance, object)
                    });
                } else {
                    rest = Some(self.fired(&instance, object));
                }
            }
            cursor = end;
        }
        let standing_for = i64::try_from(count.saturating_sub(MISSED)).unwrap_or(i64::MAX);
        let rest = rest.map(|firing| NewFiring {
            state: FiringState::Missed,
            routes: Vec::new(),
            count: standing_for,
            ..firing
        });
        firings.extend(rest);
    }

    fn fired(&self, instance: &AlarmInstance<'_>, object: ObjectInCalendar<'_>) -> NewFiring {
        let ObjectInCalendar { row, about, .. } = object;
        let identity = identity(about, object.href, instance);
        let notification = Notification::new(instance, about, identity, &self.settings.sender, UtcMillis(0));
        let routes = self.settings.routing.routes(&notification, &row.info.emails);
        let mut json = notification.to_json_within(self.settings.sender.max_size);
        // A hundred thousand of them may wait for their second.
        json.shrink_to_fit();
        NewFiring {
            identity,
            calendar: row.id,
            object: object.id,
            due: instance.at,
            state: FiringState::Fired,
            count: 1,
            notification: json,
            routes,
        }
    }
}

impl Prepare for FiringRenderer {
    async fn prepare(&self, timers: Vec<Timer>, until: UtcMillis, now: UtcMillis) -> Result<Prepared, LedgerError> {
        let ids: Vec<i64> = timers.iter().map(|timer| timer.object).collect();
        let timers: HashMap<i64, Timer> = timers.into_iter().map(|timer| (timer.object, timer)).collect();
        let mut begun = Instant::now();
        let (mut prepared, mut long) = (Prepared::default(), Vec::new());
        for ids in ids.chunks(FEW) {
            let reading = Instant::now();
            let ShortTexts { short, long: others } = self.ledger.short_texts(ids, LONG).await?;
            // Reading has to be done in any case.
            begun += reading.elapsed();
            if begun.elapsed() > TURN && !prepared.due_objects.is_empty() {
                break;
            }
            // They come the shortest first: what takes longest does not keep others waiting.
            for LongText { object, octets } in others {
                if octets > VERY_LONG {
                    prepared.long.extend(timers.get(&object));
                } else {
                    long.push(object);
                }
            }
            sort_out(self.due_objects(&timers, short, FireTime { until, now }, begun).await?, &mut prepared);
        }
        for id in long {
            if begun.elapsed() > TURN && !prepared.due_objects.is_empty() {
                break;
            }
            let text = self.ledger.texts(&[id]).await?;
            sort_out(self.due_objects(&timers, text, FireTime { until, now }, begun).await?, &mut prepared);
        }
        // What was due earlier is announced earlier.
        prepared.due_objects.sort_unstable_by_key(|due_object| (due_object.timer.due, due_object.timer.object));
        Ok(prepared)
    }

    async fn prepare_alone(
        &self,
        timer: Timer,
        until: UtcMillis,
        now: UtcMillis,
    ) -> Result<Option<DueObject>, LedgerError> {
        let texts = self.ledger.texts(&[timer.object]).await?;
        let timers = HashMap::from([(timer.object, timer)]);
        let due_objects = self.due_objects(&timers, texts, FireTime { until, now }, Instant::now()).await?;
        match due_objects.into_iter().next() {
            Some(Err(_)) => resume_unwind(Box::new("the alarms of an object cannot be worked out")),
            Some(Ok(due_object)) => Ok(Some(due_object)),
            None => Ok(None),
        }
    }

    fn stamp(&self, due_object: DueObject, now: UtcMillis) -> DueObject {
        let firings = due_object.firings.into_iter().map(|firing| self.stamped(firing, now)).collect();
        DueObject { firings, ..due_object }
    }
}

impl FiringRenderer {
    /// The due objects with these `texts`, of which the first of each thread and those within [`TURN`] of
    /// `begun` are worked out; the timer alone where the work panicked.
    async fn due_objects(
        &self,
        timers: &HashMap<i64, Timer>,
        texts: Vec<ObjectText>,
        at: FireTime,
        begun: Instant,
    ) -> Result<Vec<Result<DueObject, Timer>>, LedgerError> {
        let mut calendars: Vec<i64> = texts.iter().map(|text| text.calendar).collect();
        calendars.sort_unstable();
        calendars.dedup();
        let rows: HashMap<i64, CalendarRow> =
            self.ledger.calendars_by_id(&calendars).await?.into_iter().map(|row| (row.id, row)).collect();
        let matching = |text: ObjectText| {
            let timer = timers.get(&text.id).filter(|timer| timer.revision == text.revision)?;
            Some((*timer, text))
        };
        let work: Vec<(Timer, ObjectText)> = texts.into_iter().filter_map(matching).collect();
        let renderer = self.clone();
        let due_objects = spread(work, move |work| {
            let mut contexts: HashMap<i64, (CalendarContext, About)> = HashMap::new();
            let due_object = |(timer, text): (Timer, ObjectText)| {
                let row = rows.get(&text.calendar)?;
                let (context, about) =
                    contexts.entry(row.id).or_insert_with(|| (renderer.context(row), about(&row.info)));
                let object = ObjectInCalendar { row, about, id: text.id, href: &text.href };
                let work = AssertUnwindSafe(|| renderer.due_object(object, context, timer, &text, at));
                Some(catch_unwind(work).map_err(|_| timer))
            };
            let in_time = |(index, work)| (index == 0 || begun.elapsed() <= TURN).then_some(work);
            work.into_iter().enumerate().map_while(in_time).filter_map(due_object).collect()
        });
        Ok(due_objects.await)
    }

    fn due_object(
        &self,
        object: ObjectInCalendar<'_>,
        context: &CalendarContext,
        timer: Timer,
        text: &ObjectText,
        at: FireTime,
    ) -> DueObject {
        let FireTime { until, now } = at;
        let count_cache = text.count_cache.as_deref();
        let due_object = Schedule::of_text(&text.text, context, count_cache, |_, schedule| {
            let after = until.max(timer.due).just_after();
            let RenderedFirings { firings, cut_at } = self.firings(schedule, object, timer.due..after, now);
            let next = cut_at.or_else(|| schedule.next_instance(after));
            let overworked: Vec<String> = schedule.overworked().iter().map(ToString::to_string).collect();
            self.log_faults(object.row, &text.href, &overworked, now);
            DueObject { timer, firings, next }
        });
        due_object.unwrap_or_else(|_| {
            // A bit of it has turned, or limits have become narrower since it was taken in.
            let row = object.row;
            tracing::error!(
                calendar.name = row.info.name,
                object.href = text.href,
                "what is kept of it cannot be read: a limit of [limits] is narrower now, or the ledger is damaged; it does not \
                 fire until it changes or is read again"
            );
            DueObject { timer, firings: Vec::new(), next: None }
        })
    }

    /// `firing` as it is at `now`: too late, or with the instant in its notification.
    pub fn stamped(&self, firing: NewFiring, now: UtcMillis) -> NewFiring {
        if firing.state != FiringState::Fired {
            return firing;
        }
        if now.duration_since(firing.due) > self.settings.max_lateness {
            return NewFiring { state: FiringState::Missed, routes: Vec::new(), ..firing };
        }
        let notification = StoredNotification::new(&firing.notification).fired_at(now);
        NewFiring { notification, ..firing }
    }
}

/// Adds `firings` to `prepared`, and those at which the work panicked to those that are tried alone.
fn sort_out(due_objects: Vec<Result<DueObject, Timer>>, prepared: &mut Prepared) {
    for one in due_objects {
        match one {
            Ok(due_object) => prepared.due_objects.push(due_object),
            Err(timer) => prepared.long.push(timer),
        }
    }
}

/// A row that counts what one hour had too much of.
fn suppressed(schedule: &Schedule<'_>, object: ObjectInCalendar<'_>, window: Range<UtcMillis>) -> Option<NewFiring> {
    let from = window.start;
    let count = i64::try_from(schedule.suppressed(window)).unwrap_or(i64::MAX);
    let name = format!("suppressed\n{}\n{}\n{}", object.row.id, object.id, from.0);
    let mut identity = [0; 16];
    identity.iter_mut().zip(Sha256::digest(name)).for_each(|(to, octet)| *to = octet);
    (count > 0).then(|| NewFiring {
        identity,
        calendar: object.row.id,
        object: object.id,
        due: from,
        state: FiringState::Suppressed,
        count,
        notification: String::new(),
        routes: Vec::new(),
    })
}

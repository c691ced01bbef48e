//! Renders the firings of an object: makes notifications of its alarm instances, routes them, and counts those that are
//! too late or too many. When that is done, and for which objects, it does not know.

use std::ops::Range;

use jiff::SignedDuration;
use sha2::{Digest as _, Sha256};

use super::renderer::FiringRenderer;
use crate::calendar::schedule::Schedule;
use crate::calendar::schedule::alarm_instance::{AlarmInstance, fire_as_one};
use crate::delivery::routing::Envelope;
use crate::ledger::{CalendarRow, FiringState, NewFiring, Route};
use crate::notification::{About, Notification, StoredNotification, identity};
use crate::time::UtcMillis;

/// Missed firings of an object that are recorded one by one; the rest of them shares a row.
const MISSED: usize = 100;
/// Missed alarm instances of an object that are counted at all.
const MISSED_COUNT: usize = 10_000;
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Alarm instances of so much time are worked out at once, if a window is long.
const SLICE: SignedDuration = SignedDuration::from_hours(1);
/// Octets of notifications of one object above which the firings of later instants wait for the next time that it is
/// due.
const MUCH: usize = 4 * 1024 * 1024;

/// Firings of an object.
#[derive(Clone, Debug, Default)]
pub struct RenderedFirings {
    /// In the order of their due instants, by state.
    pub firings: Vec<NewFiring>,
    /// Where they were too much at once: the due instant from which on they are left out.
    pub cut_at: Option<UtcMillis>,
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
            end = self.on_time(schedule, object, from..until, now, &mut firings);
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
        now: UtcMillis,
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
                let firing = self.fired(&instance, object, now);
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
                        ..self.fired(&instance, object, until)
                    });
                } else {
                    rest = Some(self.fired(&instance, object, until));
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

    /// The firing of `instance`, not before `now`.
    fn fired(&self, instance: &AlarmInstance<'_>, object: ObjectInCalendar<'_>, now: UtcMillis) -> NewFiring {
        let ObjectInCalendar { row, about, .. } = object;
        let identity = identity(about, object.href, instance);
        let answer_url = self.answer_links.link(&row.source, &identity, instance.at);
        let notification = Notification::new(instance, about, identity, &self.settings.sender, UtcMillis(0));
        let notification = Notification { answer_url, ..notification };
        let (routing, envelope) = (&self.settings.routing, Envelope::of(&notification, instance.component));
        let not_before = routing.held_until(envelope, now.max(instance.at), || self.user_zone(row));
        let routes = routing.routes(envelope, &row.info.emails).into_iter();
        let routes = routes.map(|route| Route { not_before, ..route }).collect();
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

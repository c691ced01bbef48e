//! The rings of an object that is due: their notifications and where these go.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use super::{Planner, about, spread};
use crate::calendar::object::Object;
use crate::calendar::plan::Plan;
use crate::calendar::ring::{Ring, firings};
use crate::calendar::surroundings::Surroundings;
use crate::ledger::{CalendarRow, Due, Firing, LedgerError, NewRing, ObjectText, RingState};
use crate::notification::{About, Notification, identity};
use crate::time::UtcMillis;
use crate::wheel::Prepare;

/// Missed rings of an object that are recorded one by one; the rest of them shares a row.
const MISSED: usize = 100;
/// Missed rings of an object that are counted at all.
const MISSED_COUNT: usize = 10_000;
/// Milliseconds.
const DAY: i64 = 86_400_000;

/// `from <= ring < until`
pub(super) type Window = (UtcMillis, UtcMillis);

/// Whose rings they are.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub row: &'a CalendarRow,
    pub about: &'a About,
    pub object: i64,
    /// Of the object.
    pub href: &'a str,
}

impl Planner {
    /// The rings of `plan` in `from <= ring < until`: notifications for those that are not too late at `now`, rows for
    /// the rest. Not stamped yet.
    pub(super) fn rings(
        &self,
        plan: &Plan<'_>,
        place: Place<'_>,
        (from, until): Window,
        now: UtcMillis,
    ) -> Vec<NewRing> {
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
        let next = plan.next_ring(after);
        for fault in plan.overworked() {
            tracing::warn!(calendar.name = place.row.name, object.href = text.href, "{fault}");
        }
        Firing { timer, rings, next }
    }

    /// `ring` as it fires at `now`: too late, or with the instant in its notification.
    pub(super) fn stamped(&self, ring: NewRing, now: UtcMillis) -> NewRing {
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

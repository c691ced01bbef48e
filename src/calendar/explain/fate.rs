//! What becomes of an alarm, as seen from an instant: its next ring, or why there is none.

use std::fmt;

use crate::calendar::alarm::{Alarm, Trigger};
use crate::calendar::component::{Component, Kind};
use crate::calendar::group::Group;
use crate::calendar::plan::{Plan, rings_of};
use crate::calendar::silence::{self, Silence};
use crate::time::UtcMillis;

/// What becomes of an alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It rings next then.
    Rings(UtcMillis),
    /// Its next ring is withheld: the hour has enough of them (rule 24).
    Crowded(UtcMillis),
    /// It never rings.
    Silent(Silence),
    /// It rang for the last time then.
    Over(UtcMillis),
    /// What it has left to ring, or had last, is at or before the first instant, up to which it is acknowledged.
    Acknowledged { until: UtcMillis, ring: UtcMillis },
    /// All that would ring now or rang last is taken away (EXDATE, EXRULE) or replaced by overrides.
    TakenAway(UtcMillis),
    /// It has no occurrence in the years that are computed with.
    Nothing,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fate::Rings(at) => write!(f, "it rings next at {at}"),
            Fate::Crowded(at) => write!(f, "its next ring, at {at}, is suppressed: that hour has as many as it may"),
            Fate::Silent(silence) => write!(f, "it does not ring: {silence}"),
            Fate::Over(at) => write!(f, "it does not ring again: its last ring was at {at}"),
            Fate::Acknowledged { until, ring } => {
                write!(f, "it does not ring: its ring at {ring} is acknowledged, as all are up to {until}")
            }
            Fate::TakenAway(at) => {
                write!(f, "it does not ring: its occurrences are taken away or replaced, such as that of {at}")
            }
            Fate::Nothing => write!(f, "it does not ring: no occurrence of it lies in the years 1 to 9999"),
        }
    }
}

impl<'a> Plan<'a> {
    /// The fate of `alarm`, which `component` has or is given by default, as seen from `at`.
    pub(super) fn fate(
        &self,
        component: &'a Component,
        alarm: &'a Alarm,
        silence: Option<&Silence>,
        groups: &[&Group<'a>],
        at: UtcMillis,
    ) -> Fate {
        if let Some(silence) = silence::of_alarm(alarm).or_else(|| silence.cloned()) {
            return Fate::Silent(silence);
        }
        let absolute = matches!(alarm.trigger, Some(Trigger::At(_)));
        if !absolute && !has_date(component) {
            return Fate::Silent(Silence::NoDate);
        }
        let Some(group) = groups.iter().find(|group| group.kind() == component.kind) else { return Fate::Nothing };
        let next = |group: &Group<'a>, from| next_of(group, component, alarm, from);
        if let Some(next) = next(group, at) {
            let rings = rings_of(groups.iter().copied(), next..next.plus(1));
            let takes_place = rings.iter().any(|ring| ring.alarm.iter().chain(&ring.joined).any(|a| same(a, alarm)));
            return if takes_place { Fate::Rings(next) } else { Fate::Crowded(next) };
        }
        let until = self.acknowledged(component, alarm);
        let unacknowledged = group.unfiltered(false, true);
        let last = |group: &Group<'a>, at| last_before(|from| next(group, from), at);
        let past = last(group, at);
        if let Some(until) = until {
            if let Some(Trigger::At(moment)) = alarm.trigger {
                let ring = self.places.look_at_instant(moment).at;
                if ring <= until {
                    return Fate::Acknowledged { until, ring };
                }
            }
            let ring = next(&unacknowledged, at).or_else(|| last(&unacknowledged, at));
            if let Some(ring) = ring.filter(|ring| past.is_none_or(|past| past < *ring)) {
                return Fate::Acknowledged { until, ring };
            }
        }
        if let Some(past) = past {
            return Fate::Over(past);
        }
        let open = group.unfiltered(true, true);
        next(&open, at).or_else(|| last(&open, at)).map_or(Fate::Nothing, Fate::TakenAway)
    }

    /// Up to when `alarm` is acknowledged, by itself or with its component.
    fn acknowledged(&self, component: &Component, alarm: &Alarm) -> Option<UtcMillis> {
        let both = [component.acknowledged, alarm.acknowledged];
        both.into_iter().flatten().map(|moment| self.places.look_at_instant(moment).at).max()
    }
}

/// Whether there is anything that a relative trigger can count from.
fn has_date(component: &Component) -> bool {
    let due = component.kind == Kind::Todo && component.end.is_some();
    component.start.is_some() || due || component.recurrence_id.is_some()
}

fn same(a: &Alarm, b: &Alarm) -> bool {
    std::ptr::eq(a, b)
}

/// The first ring of `alarm` of `component` at or after `from`, suppressed or not.
fn next_of(group: &Group<'_>, component: &Component, alarm: &Alarm, from: UtcMillis) -> Option<UtcMillis> {
    let mut best = None;
    for source in group.sources.iter().filter(|source| std::ptr::eq(source.component, component)) {
        for relative in source.alarms.iter().filter(|relative| same(relative.alarm, alarm)) {
            for nth in 0..=relative.repeat {
                source.next_of(relative, nth, from, &mut best);
            }
        }
    }
    for fixed in group.fixed.iter().filter(|fixed| !fixed.snooze) {
        if fixed.alarm.iter().chain(&fixed.joined).any(|other| same(other, alarm)) {
            let at = (0..=fixed.repeat).filter_map(|nth| group.fixed_at(fixed, nth)).filter(|at| *at >= from).min();
            best = best.into_iter().chain(at).min();
        }
    }
    best
}

/// The last ring before `at`, given the first ring at or after any instant: found by halving what lies between.
fn last_before(next: impl Fn(UtcMillis) -> Option<UtcMillis>, at: UtcMillis) -> Option<UtcMillis> {
    let before = |from| next(from).filter(|ring| *ring < at);
    let mut last = before(UtcMillis::MIN)?;
    let mut high = at;
    while last.plus(1) < high {
        let middle = UtcMillis(last.0 + (high.0 - last.0 + 1) / 2);
        match before(middle) {
            Some(ring) => last = ring,
            None => high = middle,
        }
    }
    Some(last)
}

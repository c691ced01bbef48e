//! What becomes of an alarm, as seen from an instant: its next instance, or why there is none.

use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::calendar::ical::alarm::{Alarm, Trigger};
use crate::calendar::ical::component::{Component, ComponentKind};
use crate::calendar::schedule::Schedule;
use crate::calendar::schedule::group::Group;
use crate::calendar::schedule::inactive::{self, Inactive};
use crate::time::UtcMillis;

/// What becomes of an alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlarmStatus {
    /// It is due next then.
    Due(UtcMillis),
    /// Its next instance is withheld: the hour has enough of them (rule 24).
    RateLimited(UtcMillis),
    /// It never fires.
    Inactive(Inactive),
    /// It was due for the last time then.
    Over(UtcMillis),
    /// What it has left to fire, or had last, is at or before the first instant, up to which it is acknowledged.
    Acknowledged {
        /// The ACKNOWLEDGED of the alarm.
        until: UtcMillis,
        /// The instance that it acknowledges.
        instance: UtcMillis,
    },
    /// All that would fire now or fired last is taken away (EXDATE, EXRULE) or replaced by overrides.
    TakenAway(UtcMillis),
    /// It has no occurrence in the years that are computed with.
    Nothing,
}

impl AlarmStatus {
    /// The instant that it is about.
    pub fn instance(&self) -> Option<UtcMillis> {
        match self {
            AlarmStatus::Due(at)
            | AlarmStatus::RateLimited(at)
            | AlarmStatus::Over(at)
            | AlarmStatus::TakenAway(at) => Some(*at),
            AlarmStatus::Acknowledged { instance, .. } => Some(*instance),
            AlarmStatus::Inactive(_) | AlarmStatus::Nothing => None,
        }
    }
}

impl fmt::Display for AlarmStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AlarmStatus::Due(at) => write!(f, "it is due next at {at}"),
            AlarmStatus::RateLimited(at) => {
                write!(f, "when it is due next, at {at}, it is suppressed: that hour has as many as it may")
            }
            AlarmStatus::Inactive(inactive) => write!(f, "it does not fire: {inactive}"),
            AlarmStatus::Over(at) => write!(f, "it does not fire again: it was due for the last time at {at}"),
            AlarmStatus::Acknowledged { until, instance } => {
                write!(f, "it does not fire: what is due until {until} is acknowledged, such as {instance}")
            }
            AlarmStatus::TakenAway(at) => {
                write!(f, "it does not fire: its occurrences are taken away or replaced, such as that of {at}")
            }
            AlarmStatus::Nothing => write!(f, "it does not fire: no occurrence of it lies in the years 1 to 9999"),
        }
    }
}

/// Where an alarm is among the groups of its UID.
#[derive(Clone, Copy, Debug)]
enum Seat {
    /// Group, source and alarm of that.
    Relative(usize, usize, usize),
    /// Group and instance at an instant of its own.
    Fixed(usize, usize),
}

/// The address of a component or an alarm, which distinguishes it from others with the same content.
fn address<T>(of: &T) -> usize {
    std::ptr::from_ref(of).addr()
}

/// Works out the statuses of the alarms of one UID. What they share is worked out once.
pub(super) struct AlarmStatuses<'p, 'a> {
    schedule: &'p Schedule<'a>,
    groups: &'p [&'p Group<'a>],
    at: UtcMillis,
    /// By component and alarm; an absolute alarm by itself.
    seats: HashMap<(usize, usize), Vec<Seat>>,
    /// The groups with nothing acknowledged, and with nothing left out either.
    unacknowledged: OnceCell<Vec<Group<'a>>>,
    open: OnceCell<Vec<Group<'a>>>,
    /// The alarms that fire at an instant.
    firing_at: RefCell<HashMap<UtcMillis, HashSet<usize>>>,
}

impl<'p, 'a> AlarmStatuses<'p, 'a> {
    /// For `groups`, those of one UID of `schedule`, as seen from `at`.
    pub(super) fn new(schedule: &'p Schedule<'a>, groups: &'p [&'p Group<'a>], at: UtcMillis) -> AlarmStatuses<'p, 'a> {
        let mut seats: HashMap<(usize, usize), Vec<Seat>> = HashMap::new();
        for (number, group) in groups.iter().enumerate() {
            for (index, set) in group.sets.iter().enumerate() {
                for (position, relative) in set.alarms.iter().enumerate() {
                    let key = (address(set.component), address(relative.alarm));
                    seats.entry(key).or_default().push(Seat::Relative(number, index, position));
                }
            }
            for (index, fixed) in group.fixed.iter().enumerate().filter(|(_, fixed)| !fixed.snooze) {
                for alarm in fixed.alarm.iter().chain(&fixed.joined) {
                    seats.entry((0, address(*alarm))).or_default().push(Seat::Fixed(number, index));
                }
            }
        }
        let (unacknowledged, open) = (OnceCell::new(), OnceCell::new());
        AlarmStatuses { schedule, groups, at, seats, unacknowledged, open, firing_at: RefCell::default() }
    }

    /// The status of `alarm`, which `component` has or is given by default; `inactive` is that of the component.
    pub(super) fn of(&self, component: &'a Component, alarm: &'a Alarm, inactive: Option<&Inactive>) -> AlarmStatus {
        let own = inactive::of_alarm(component, alarm, self.schedule.context);
        if let Some(inactive) = own.or_else(|| inactive.cloned()) {
            return AlarmStatus::Inactive(inactive);
        }
        let absolute = matches!(alarm.trigger, Some(Trigger::At(_)));
        if !absolute && !has_date(component) {
            return AlarmStatus::Inactive(Inactive::NoDate);
        }
        let key = (if absolute { 0 } else { address(component) }, address(alarm));
        let seats = self.seats.get(&key).map_or(&[][..], Vec::as_slice);
        let at = self.at;
        let kept = |from| next_of(seats, &|index| self.groups.get(index).copied(), from);
        if let Some(next) = kept(at) {
            return if self.fires_at(next, alarm) { AlarmStatus::Due(next) } else { AlarmStatus::RateLimited(next) };
        }
        let past = last_before(kept, at);
        if let Some(until) = self.acknowledged(component, alarm) {
            let unacknowledged = self.unacknowledged.get_or_init(|| self.unfiltered(false));
            let instance = match alarm.trigger {
                // One that is done is not planned at all.
                Some(Trigger::At(moment)) => {
                    Some(self.schedule.resolver.peek_instant(moment, component.calendar).at).filter(|at| *at <= until)
                }
                _ => {
                    let next = |from| next_of(seats, &|index| unacknowledged.get(index), from);
                    next(at).or_else(|| last_before(next, at))
                }
            };
            if let Some(instance) = instance.filter(|instance| past.is_none_or(|past| past < *instance)) {
                return AlarmStatus::Acknowledged { until, instance };
            }
        }
        if let Some(past) = past {
            return AlarmStatus::Over(past);
        }
        let open = self.open.get_or_init(|| self.unfiltered(true));
        let next = |from| next_of(seats, &|index| open.get(index), from);
        next(at).or_else(|| last_before(next, at)).map_or(AlarmStatus::Nothing, AlarmStatus::TakenAway)
    }

    fn unfiltered(&self, left_out: bool) -> Vec<Group<'a>> {
        self.groups.iter().map(|group| group.unfiltered(left_out, true)).collect()
    }

    /// Whether `alarm` is one of those that fire at `at`, alone or joined with another.
    fn fires_at(&self, at: UtcMillis, alarm: &Alarm) -> bool {
        let mut firing_at = self.firing_at.borrow_mut();
        let alarms = firing_at.entry(at).or_insert_with(|| {
            let instances = self.schedule.firing_at(self.groups, at);
            instances
                .iter()
                .flat_map(|instance| instance.alarm.iter().chain(&instance.joined))
                .map(|alarm| address(*alarm))
                .collect()
        });
        alarms.contains(&address(alarm))
    }

    /// Up to when `alarm` is acknowledged, by itself or with its component.
    fn acknowledged(&self, component: &Component, alarm: &Alarm) -> Option<UtcMillis> {
        let both = [component.acknowledged, alarm.acknowledged];
        both.into_iter()
            .flatten()
            .map(|moment| self.schedule.resolver.peek_instant(moment, component.calendar).at)
            .max()
    }
}

/// Whether there is anything that a relative trigger can count from.
fn has_date(component: &Component) -> bool {
    let due = component.kind == ComponentKind::Todo && component.end.is_some();
    component.start.is_some() || due || component.recurrence_id.is_some()
}

/// The first instance at or after `from` of the alarm that has these seats, suppressed or not.
fn next_of<'g, 'a: 'g>(
    seats: &[Seat],
    group: &dyn Fn(usize) -> Option<&'g Group<'a>>,
    from: UtcMillis,
) -> Option<UtcMillis> {
    let mut best = None;
    for seat in seats {
        match *seat {
            Seat::Relative(number, set, alarm) => {
                let Some(set) = group(number).and_then(|group| group.sets.get(set)) else { continue };
                let Some(relative) = set.alarms.get(alarm) else { continue };
                for nth in 0..=relative.repeat {
                    set.next_of(relative, nth, from, &mut best);
                }
            }
            Seat::Fixed(number, fixed) => {
                let Some(group) = group(number) else { continue };
                let Some(fixed) = group.fixed.get(fixed) else { continue };
                let all = (0..=fixed.repeat).filter_map(|nth| group.fixed_at(fixed, nth));
                best = best.into_iter().chain(all.filter(|at| *at >= from)).min();
            }
        }
    }
    best
}

/// The last instance before `at`, given the first instance at or after any instant: found by halving what lies between.
fn last_before(next: impl Fn(UtcMillis) -> Option<UtcMillis>, at: UtcMillis) -> Option<UtcMillis> {
    let before = |from| next(from).filter(|instance| *instance < at);
    let mut last = before(UtcMillis::MIN)?;
    let mut high = at;
    while last.just_after() < high {
        let middle = last.saturating_add(high.just_after().duration_since(last) / 2);
        match before(middle) {
            Some(instance) => last = instance,
            None => high = middle,
        }
    }
    Some(last)
}

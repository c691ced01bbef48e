//! The steps from an occurrence to an alarm instance, and the instances that filters withhold.

use std::collections::HashSet;
use std::fmt;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use jiff::SignedDuration;
use jiff::civil::DateTime;

use super::zone_use::ZoneUse;
use crate::calendar::ical::component::{Component, RuleText};
use crate::calendar::ical::value::Duration;
use crate::calendar::schedule::Schedule;
use crate::calendar::schedule::alarm_instance::{AlarmInstance, OriginPart, in_order};
use crate::calendar::schedule::fixed_alarm::FixedAlarm;
use crate::calendar::schedule::group::{Group, HOUR};
use crate::calendar::schedule::occurrence::{
    Given, Identity, LeftOut, Move, Occurrence, OccurrenceSet, Relative, Verdict,
};
use crate::calendar::schedule::resolve::{Point, shift_by_steps};
use crate::calendar::zone::{Ambiguity, CivilInstant, Zone};
use crate::time::UtcMillis;

/// So many hours of a window are searched for what the other UIDs of an object leave no room for.
const MAX_HOURS: usize = 100;

/// An alarm instance, and how its instant comes about.
#[derive(Debug)]
pub struct Derivation<'a> {
    /// The alarm instance.
    pub instance: AlarmInstance<'a>,
    /// What gives the occurrence.
    pub given: GivenBy<'a>,
    /// The zone that its occurrences are placed in; none for an instant.
    pub zone: Option<ZoneUse>,
    /// In order. The last one leads to the instance.
    pub steps: Vec<DerivationStep>,
}

/// What gives an occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenBy<'a> {
    /// It occurs once.
    Single,
    /// DTSTART of a series.
    Start,
    /// A rule.
    Rule(&'a RuleText),
    /// An RDATE.
    RDate,
    /// A component with RECURRENCE-ID.
    Override,
    /// No occurrence: a trigger at an instant.
    Instant,
    /// No occurrence: X-MOZ-SNOOZE-TIME.
    Snooze,
}

impl fmt::Display for GivenBy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GivenBy::Single => write!(f, "it occurs once"),
            GivenBy::Start => write!(f, "DTSTART, the first occurrence"),
            GivenBy::Rule(rule) => write!(f, "RRULE:{} in line {}", rule.text, rule.line),
            GivenBy::RDate => write!(f, "RDATE"),
            GivenBy::Override => write!(f, "an override (RECURRENCE-ID)"),
            GivenBy::Instant => write!(f, "the trigger alone, whatever recurs"),
            GivenBy::Snooze => write!(f, "a snooze (X-MOZ-SNOOZE-TIME)"),
        }
    }
}

/// One step on the way to an alarm instance: where it leads.
#[derive(Clone, Debug)]
pub struct DerivationStep {
    /// What the step does.
    pub what: StepKind,
    /// What a local clock shows there; in a gap the time as written, which no clock shows.
    pub civil: DateTime,
    /// The instant.
    pub at: UtcMillis,
    /// The zone in which the wall clock is read.
    pub zone: Zone,
    /// The offset that was used, seconds east of UTC.
    pub offset: i32,
    /// Whether that wall-clock time exists, and once (rule 9).
    pub ambiguity: Ambiguity,
}

/// What a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// Where the series has the occurrence.
    Occurrence,
    /// Where RANGE=THISANDFUTURE moves it, by so much local time.
    Moved(SignedDuration),
    /// The end of the occurrence.
    End,
    /// The days of the trigger, in local time.
    TriggerDays(i64),
    /// Its hours, minutes and seconds, elapsed.
    TriggerTime(SignedDuration),
    /// The days of `nth` intervals of REPEAT, in local time.
    RepeatDays {
        /// Which of the repetitions it is, from 1 on.
        nth: u32,
        /// Days from one repetition to the next.
        days: i64,
    },
    /// Their hours, minutes and seconds, elapsed.
    RepeatTime {
        /// Which of the repetitions it is, from 1 on.
        nth: u32,
        /// Time from one repetition to the next.
        time: SignedDuration,
    },
    /// The instant that the trigger, or a snooze, names.
    Instant,
}

/// An alarm instance that a filter withholds.
#[derive(Debug)]
pub struct WithheldInstance<'a> {
    /// The alarm instance.
    pub instance: AlarmInstance<'a>,
    /// Why it does not fire.
    pub why: WithheldReason<'a>,
}

/// Why an alarm instance does not take place.
#[derive(Clone, Copy, Debug)]
pub enum WithheldReason<'a> {
    /// EXDATE names its occurrence.
    Excluded,
    /// EXDATE names the whole day.
    ExcludedDay,
    /// EXRULE gives its occurrence.
    ExcludedByRule,
    /// An override takes the place of its occurrence; which one, where it is known.
    Replaced(Option<&'a Component>),
    /// ACKNOWLEDGED or X-MOZ-LASTACK: it is done up to then (rule 17).
    Acknowledged(UtcMillis),
    /// Its UID has this many instances already in that hour (rule 24).
    RateLimited(u32),
    /// All UIDs of its object together have this many instances already in that hour (rule 24).
    ObjectRateLimited(usize),
}

impl fmt::Display for WithheldReason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WithheldReason::Excluded => write!(f, "EXDATE takes this occurrence away"),
            WithheldReason::ExcludedDay => write!(f, "EXDATE takes this day away"),
            WithheldReason::ExcludedByRule => write!(f, "EXRULE takes this occurrence away"),
            WithheldReason::Replaced(None) => write!(f, "an override takes the place of this occurrence"),
            WithheldReason::Replaced(Some(component)) => {
                write!(f, "the {} in line {} takes the place of this occurrence", component.kind.name(), component.line)
            }
            WithheldReason::Acknowledged(until) => {
                write!(f, "it is acknowledged: what fires at or before {until} is done")
            }
            WithheldReason::RateLimited(most) => {
                write!(f, "its hour has {most} alarms already (limits.max_alarms_per_hour)")
            }
            WithheldReason::ObjectRateLimited(most) => {
                write!(f, "all events of its object have {most} alarms already in its hour")?;
                write!(f, " (ten times limits.max_alarms_per_hour)")
            }
        }
    }
}

impl<'a> Schedule<'a> {
    /// How `instance`, one that this schedule gave, comes about.
    pub fn derive(&self, instance: &AlarmInstance<'a>) -> Derivation<'a> {
        let instance = instance.clone();
        let origin = instance.origin;
        let group = self.groups.get(origin.group as usize);
        let explained = match origin.of {
            OriginPart::Alarm { set, alarm, original } => group.and_then(|group| {
                let set = group.sets.get(set as usize)?;
                let relative = set.alarms.get(alarm as usize)?;
                Some((given(set, original), steps(group, set, relative, origin.nth, original)?))
            }),
            OriginPart::Fixed(index) => group.and_then(|group| {
                let fixed = group.fixed.get(index as usize)?;
                let given = if fixed.snooze { GivenBy::Snooze } else { GivenBy::Instant };
                Some((given, fixed_steps(group, fixed, origin.nth)?))
            }),
        };
        let (given, steps) = explained.unwrap_or((GivenBy::Single, Vec::new()));
        let placed = !matches!(given, GivenBy::Instant | GivenBy::Snooze);
        let component = instance.component;
        let moment = component.start.or(component.end).or(component.recurrence_id.map(|id| id.moment));
        let zone = moment.filter(|_| placed).map(|moment| self.zone_use(moment, component.calendar));
        Derivation { instance, given, zone, steps }
    }

    /// What `groups` would fire in the window and do not, at most `limit`, in order.
    pub(super) fn withheld(
        &self,
        groups: &[&Group<'a>],
        window: Range<UtcMillis>,
        limit: usize,
    ) -> Vec<WithheldInstance<'a>> {
        let mut withheld: Vec<WithheldInstance<'a>> = Vec::new();
        for group in groups {
            let (mut kept, mut open) = (Vec::new(), Vec::new());
            group.instances(window.start, window.end, &mut kept);
            let unfiltered = group.unfiltered(true, true);
            unfiltered.collect(window.start, window.end, limit.saturating_add(kept.len()), &mut open);
            // What is joined with another instance, or is an alarm instance of its override, takes place.
            let keys: HashSet<_> = kept.iter().map(AlarmInstance::key).collect();
            open.retain(|instance| !keys.contains(&instance.key()));
            open.sort_by(|a, b| a.key().cmp(&b.key()));
            open.dedup_by(|later, first| later.key() == first.key());
            open.truncate(limit);
            let explained = |instance| {
                let why = self.why(group, &instance).unwrap_or(WithheldReason::RateLimited(group.cap()));
                WithheldInstance { instance, why }
            };
            withheld.extend(open.into_iter().map(explained));
            withheld.extend(self.suppressed_by_others(kept, limit));
        }
        withheld.sort_by(|a, b| a.instance.key().cmp(&b.instance.key()));
        withheld.dedup_by(|later, first| later.instance.key() == first.instance.key());
        withheld.truncate(limit);
        withheld
    }

    /// Those of `kept`, which the group of a UID would fire, that are too many for their object: the first `limit`.
    fn suppressed_by_others(&self, mut kept: Vec<AlarmInstance<'a>>, limit: usize) -> Vec<WithheldInstance<'a>> {
        let mut suppressed = Vec::new();
        let Some(cap) = self.cap() else { return suppressed };
        in_order(&mut kept);
        let hours = kept.chunk_by(|one, other| one.at.start_of_hour() == other.at.start_of_hour());
        for (hour, instances) in hours.take(MAX_HOURS).filter_map(|hour| Some((hour.first()?.at.start_of_hour(), hour)))
        {
            let firing = self.first_of_all(hour..hour.saturating_add(HOUR), cap);
            let keys: HashSet<_> = firing.iter().map(AlarmInstance::key).collect();
            let others = instances.iter().filter(|instance| !keys.contains(&instance.key()));
            let why = WithheldReason::ObjectRateLimited(cap);
            suppressed.extend(others.map(|instance| WithheldInstance { instance: instance.clone(), why }));
            if suppressed.len() >= limit {
                break;
            }
        }
        suppressed.truncate(limit);
        suppressed
    }

    /// Which filter of `group` withholds `instance`; none: none of those that judge it alone.
    fn why(&self, group: &Group<'a>, instance: &AlarmInstance<'a>) -> Option<WithheldReason<'a>> {
        let OriginPart::Alarm { set, alarm, original } = instance.origin.of else { return None };
        let set = group.sets.get(set as usize)?;
        let occurrence = occurrence(set, original)?;
        let [excluded, replaced] = &set.left_out;
        let verdict =
            |set: &Option<Arc<LeftOut>>| set.as_ref().map_or(Verdict::Kept, |set| set.judge(occurrence.original));
        match verdict(excluded) {
            Verdict::LeftOut => return Some(WithheldReason::Excluded),
            Verdict::WholeDay => return Some(WithheldReason::ExcludedDay),
            Verdict::ByRule => return Some(WithheldReason::ExcludedByRule),
            Verdict::Kept => {}
        }
        if verdict(replaced) != Verdict::Kept {
            let of_this = |(at, by): &&(UtcMillis, &'a Component)| by.is_of(set.component) && *at == original;
            return Some(WithheldReason::Replaced(self.replacements.iter().find(of_this).map(|(_, by)| *by)));
        }
        let relative = set.alarms.get(alarm as usize)?;
        let base = set.instants(relative, occurrence.start, 0)?.base;
        (base <= relative.acknowledged).then_some(WithheldReason::Acknowledged(relative.acknowledged))
    }
}

/// The occurrence that `set` has at `original`, whatever filters say of it.
fn occurrence(set: &OccurrenceSet<'_>, original: UtcMillis) -> Option<Occurrence> {
    let mut found = None;
    let open = OccurrenceSet { left_out: [None, None], ..set.clone() };
    open.each(original, |occurrence| {
        found = Some(occurrence);
        ControlFlow::Break(())
    });
    found.filter(|occurrence| occurrence.original.at == original)
}

fn given<'a>(set: &OccurrenceSet<'a>, original: UtcMillis) -> GivenBy<'a> {
    match (&set.identity, set.given) {
        (Identity::Fixed(_), _) => GivenBy::Override,
        (Identity::Single, _) => GivenBy::Single,
        (_, Given::Rule(rule)) => GivenBy::Rule(rule),
        (_, Given::Dates) if original == set.first => GivenBy::Start,
        (_, Given::Dates | Given::Period) => GivenBy::RDate,
    }
}

/// The steps to repetition `nth` of the alarm `relative` of `set` for the occurrence at `original`.
fn steps(
    group: &Group<'_>,
    set: &OccurrenceSet<'_>,
    relative: &Relative<'_>,
    nth: u32,
    original: UtcMillis,
) -> Option<Vec<DerivationStep>> {
    let Occurrence { original, start } = occurrence(set, original)?;
    // What RANGE=THISANDFUTURE moves is named in the local time of the series.
    let series = group.sets.iter().find(|other| other.component.recurrence_id.is_none());
    let series = series.filter(|_| set.moved.is_some()).unwrap_or(set);
    let mut steps = vec![step(StepKind::Occurrence, Point::of(original), &series.zone.zone)];
    if let Some(moved) = set.moved {
        steps.push(step(StepKind::Moved(moved), Point::of(start), &set.zone.zone));
    }
    set.instants_by_steps(relative, start, nth, |what, to, zone| {
        let what = match what {
            Move::End => StepKind::End,
            Move::Trigger(Duration { days: 0, time }) => StepKind::TriggerTime(time),
            Move::Trigger(Duration { days, .. }) => StepKind::TriggerDays(days),
            Move::Repeat(nth, part) => repeat(nth, part),
        };
        steps.push(step(what, to, zone));
    })?;
    Some(steps)
}

fn fixed_steps(group: &Group<'_>, fixed: &FixedAlarm<'_>, nth: u32) -> Option<Vec<DerivationStep>> {
    let zone = &group.sets.get(fixed.set)?.zone.zone;
    let mut steps = vec![step(StepKind::Instant, fixed.base, zone)];
    shift_by_steps(fixed.base, fixed.interval.times(nth), zone, |part, to| {
        steps.push(step(repeat(nth, part), to, zone));
    })?;
    Some(steps)
}

fn repeat(nth: u32, part: Duration) -> StepKind {
    match part {
        Duration { days: 0, time } => StepKind::RepeatTime { nth, time },
        Duration { days, .. } => StepKind::RepeatDays { nth, days },
    }
}

/// A step to `to` in the local time of `zone`.
fn step(what: StepKind, to: Point, zone: &Zone) -> DerivationStep {
    let Some(civil) = to.civil else {
        let (civil, offset) = (zone.civil(to.at), zone.offset(to.at));
        return DerivationStep { what, civil, at: to.at, zone: zone.clone(), offset, ambiguity: Ambiguity::Exact };
    };
    let CivilInstant { at: placed, ambiguity } = zone.instant(civil);
    if placed == to.at {
        // The offset that placed it: in a gap that is the one before.
        let offset = i32::try_from(Zone::utc().instant(civil).at.duration_since(to.at).as_secs()).unwrap_or(0);
        return DerivationStep { what, civil, at: to.at, zone: zone.clone(), offset, ambiguity };
    }
    // The start of a day that has no midnight, or the second pass of an hour that the clocks repeat.
    let ambiguity = if ambiguity == Ambiguity::Gap { Ambiguity::Gap } else { Ambiguity::Exact };
    DerivationStep { what, civil, at: to.at, zone: zone.clone(), offset: zone.offset(to.at), ambiguity }
}

//! Why alarms fire when they do, and why others do not (rule 3): the derivation of each instance, step by step, and the
//! status of each alarm. Everything here comes from the schedule that computes the instances, nothing is computed a
//! second time: a step is what the schedule does on its way, and what is withheld is what the same schedule gives
//! without its filters.

mod alarm_status;
mod derivation;
mod written;
mod zone_use;

use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;

use jiff::SignedDuration;
use jiff::civil::Time;

use crate::calendar::context::WithheldAlarms;
use crate::calendar::ical::alarm::{Alarm, Trigger};
use crate::calendar::ical::component::{Component, ComponentKind};
use crate::calendar::ical::object::Fault;
use crate::calendar::schedule::alarm_instance::AlarmInstance;
use crate::calendar::schedule::group::{Group, HOUR};
use crate::calendar::schedule::inactive::Inactive;
pub use crate::calendar::schedule::resolve::ZoneOrigin;
use crate::calendar::schedule::{Schedule, instances_of, next_of};
use crate::time::UtcMillis;
pub use alarm_status::AlarmStatus;
use alarm_status::AlarmStatuses;
pub use derivation::{Derivation, DerivationStep, GivenBy, StepKind, WithheldInstance, WithheldReason};
use written::WrittenLines;
pub use zone_use::ZoneUse;

/// Without an alarm instance to end the window, withheld instances are looked for so far ahead.
const AHEAD: SignedDuration = SignedDuration::from_hours(366 * 24);
/// So many hours in which the other UIDs of an object leave no room are passed over to find the next instances.
const MAX_SUPPRESSED_HOURS: usize = 48;
/// So many withheld instances of one UID are listed.
const MAX_WITHHELD: usize = 10;

/// What a schedule knows of one UID.
#[derive(Debug)]
pub struct Explanation<'a> {
    /// The UID of the components.
    pub uid: &'a str,
    /// In the order of the text.
    pub components: Vec<ExplainedComponent<'a>>,
    /// Its next instances, in order.
    pub instances: Vec<Derivation<'a>>,
    /// What would fire until the last of them and does not, in order; without instances, within a year.
    pub withheld: Vec<WithheldInstance<'a>>,
}

/// An event or a to-do: what says when it is, and its alarms.
#[derive(Debug)]
pub struct ExplainedComponent<'a> {
    /// The component as it is written.
    pub component: &'a Component,
    /// DTSTART, DTEND or DUE, DURATION, RECURRENCE-ID, as far as they are there.
    pub dates: Vec<Stated>,
    /// Why none of its alarms fires.
    pub inactive: Option<Inactive>,
    /// Its alarms are default alarms (rule 19).
    pub by_default: bool,
    /// Where these come from: `server`, `calendar`, `source` or `user`.
    pub default_origin: Option<&'a str>,
    /// Which part of the configuration says that its own alarms do not fire, if it has some.
    pub alarms_ignored_by: Option<&'a str>,
    /// Why its own alarms do not fire and default alarms do, in a calendar that is another user's.
    pub withheld: Option<&'a WithheldAlarms>,
    /// Its alarms.
    pub alarms: Vec<ExplainedAlarm<'a>>,
    /// What is wrong in its lines, those of its alarms left out.
    pub faults: Vec<Fault>,
}

/// A property that says when a component is.
#[derive(Debug)]
pub struct Stated {
    /// The name of the property.
    pub name: &'static str,
    /// The line as written, unfolded; none where it cannot be found again.
    pub written: Option<String>,
    /// None: DURATION.
    pub zone: Option<ZoneUse>,
}

/// An alarm, what its trigger counts from, and what becomes of it.
#[derive(Debug)]
pub struct ExplainedAlarm<'a> {
    /// The alarm as it is written.
    pub alarm: &'a Alarm,
    /// Its TRIGGER as written; none where there is none, and for default alarms.
    pub written: Option<String>,
    /// What its trigger is relative to.
    pub anchor: Anchor,
    /// The time of the day at which it fires that its trigger gives, where that is not the trigger's (rule 26).
    pub all_day_at: Option<Time>,
    /// Whether it can fire.
    pub status: AlarmStatus,
    /// What is wrong in its lines.
    pub faults: Vec<Fault>,
}

/// What the explanations of all UIDs of an object are made from.
struct ExplainedParts<'p, 'a> {
    written: WrittenLines,
    /// By UID.
    groups: HashMap<&'a str, Vec<&'p Group<'a>>>,
    /// By UID, in the order of the text.
    components: HashMap<&'a str, Vec<&'a Component>>,
    inactive: HashMap<*const Component, &'p Inactive>,
}

impl<'p, 'a> ExplainedParts<'p, 'a> {
    /// Of `schedule`, whose object was read from `text`.
    fn of(schedule: &'p Schedule<'a>, text: &[u8]) -> ExplainedParts<'p, 'a> {
        let mut groups: HashMap<&str, Vec<&Group<'a>>> = HashMap::new();
        for group in &schedule.groups {
            groups.entry(group.uid()).or_default().push(group);
        }
        let mut components: HashMap<&str, Vec<&'a Component>> = HashMap::new();
        for component in &schedule.object.components {
            components.entry(&component.uid).or_default().push(component);
        }
        let mut inactive: HashMap<*const Component, &Inactive> = HashMap::new();
        for (component, why) in &schedule.inactive_components {
            inactive.entry(*component).or_insert(why);
        }
        ExplainedParts { written: WrittenLines::of(text), groups, components, inactive }
    }

    /// Why no alarm of `component` fires, if none does.
    fn inactive_of(&self, component: &Component) -> Option<&'p Inactive> {
        self.inactive.get(&std::ptr::from_ref(component)).copied()
    }
}

/// What a trigger counts from (rule 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// The start of the occurrence.
    Start,
    /// DTEND.
    End,
    /// DUE, which says when the to-do ends, or stands for its missing DTSTART.
    Due,
    /// DTSTART plus DURATION.
    Duration,
    /// The end of the one day that an event without an end takes.
    Day,
    /// The start, because there is no end.
    NoEnd,
    /// RECURRENCE-ID of an override without DTSTART.
    RecurrenceId,
    /// Nothing: the trigger is an instant.
    Instant,
    /// Nothing that is there.
    Nothing,
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Anchor::Start => "DTSTART",
            Anchor::End => "DTEND",
            Anchor::Due => "DUE",
            Anchor::Duration => "DTSTART plus DURATION",
            Anchor::Day => "the end of the day of DTSTART",
            Anchor::NoEnd => "DTSTART, because there is no end",
            Anchor::RecurrenceId => "RECURRENCE-ID, because there is no DTSTART",
            Anchor::Instant => "nothing: the trigger is an instant",
            Anchor::Nothing => "nothing that is there",
        })
    }
}

impl<'a> Schedule<'a> {
    /// Explains each UID of the object: its instances at the first `count` instants at or after `at`, what is withheld
    /// meanwhile, and the status of each alarm as seen from `at`. `text` is what the object was read from.
    pub fn explain(&self, text: &[u8], at: UtcMillis, count: usize) -> Vec<Explanation<'a>> {
        let parts = ExplainedParts::of(self, text);
        self.object.uids().into_iter().map(|uid| self.explanation(uid, &parts, at, count)).collect()
    }

    /// Explains the UID `uid` of the object, as [`Schedule::explain`] does; none: the object does not have it.
    pub fn explain_uid(&self, uid: &str, text: &[u8], at: UtcMillis, count: usize) -> Option<Explanation<'a>> {
        let uid = self.object.components.iter().map(|component| &*component.uid).find(|own| *own == uid)?;
        Some(self.explanation(uid, &ExplainedParts::of(self, text), at, count))
    }

    fn explanation(
        &self,
        uid: &'a str,
        parts: &ExplainedParts<'_, 'a>,
        at: UtcMillis,
        count: usize,
    ) -> Explanation<'a> {
        let groups = parts.groups.get(uid).map_or(&[][..], Vec::as_slice);
        let statuses = AlarmStatuses::new(self, groups, at);
        self.refill();
        let visit = |component: &&'a Component| self.explained(component, parts, &statuses);
        let instances = self.derivations(groups, at, count);
        // Up to the last instance that is explained.
        let until = instances.last().map_or(at.saturating_add(AHEAD), |last| last.instance.at.just_after());
        Explanation {
            uid,
            components: parts.components.get(uid).into_iter().flatten().map(visit).collect(),
            instances,
            withheld: self.withheld(groups, at..until, MAX_WITHHELD),
        }
    }

    /// The instances of the UID of `groups` at the first `count` instants from `at` on.
    fn derivations(&self, groups: &[&Group<'a>], at: UtcMillis, count: usize) -> Vec<Derivation<'a>> {
        let (mut derivations, mut from) = (Vec::new(), at);
        let (mut found, mut suppressed) = (0, 0);
        while found < count
            && suppressed < MAX_SUPPRESSED_HOURS
            && let Some(next) = next_of(groups.iter().copied(), from)
        {
            let firing = self.firing_at(groups, next);
            if firing.is_empty() && self.cap().is_some() {
                // The other UIDs of the object leave no room in this hour.
                (from, suppressed) = (next.start_of_hour().saturating_add(HOUR), suppressed + 1);
                continue;
            }
            (from, found) = (next.just_after(), found + 1);
            derivations.extend(firing.iter().map(|instance| self.derive(instance)));
        }
        derivations
    }

    /// The instances of the UID of `groups` that fire at `at`.
    fn firing_at(&self, groups: &[&Group<'a>], at: UtcMillis) -> Vec<AlarmInstance<'a>> {
        if self.cap().is_none() {
            return instances_of(groups.iter().copied(), at..at.just_after());
        }
        let mut all = self.instances(at..at.just_after());
        let components = || groups.iter().flat_map(|group| &group.sets).map(|set| set.component);
        all.retain(|instance| components().any(|component| std::ptr::eq(component, instance.component)));
        all
    }

    fn explained(
        &self,
        component: &'a Component,
        parts: &ExplainedParts<'_, 'a>,
        statuses: &AlarmStatuses<'_, 'a>,
    ) -> ExplainedComponent<'a> {
        let (written, inactive) = (&parts.written, parts.inactive_of(component));
        let start = component.start.or(component.end.filter(|_| component.kind == ComponentKind::Todo));
        let start = start.or(component.recurrence_id.map(|id| id.moment));
        let all_day = start.is_some_and(|moment| self.resolver.peek(moment, component.calendar).all_day);
        let alarms = self.context.alarms_of(component, all_day);
        let default_origin = self.context.default_origin(component, all_day);
        let by_default = default_origin.is_some();
        let ignored_by = self.context.alarms_ignored_by.as_deref();
        let alarms_ignored_by = ignored_by.filter(|_| !component.alarms.is_empty());
        let visit = |alarm: &'a Alarm| ExplainedAlarm {
            alarm,
            written: written.find(alarm.line, "TRIGGER").filter(|_| !by_default),
            anchor: anchor(component, alarm, all_day),
            all_day_at: self.context.moved_offset(component, alarm, all_day).map(|(_, time)| time),
            status: statuses.of(component, alarm, inactive),
            faults: if by_default { Vec::new() } else { self.faults_in(alarm.line..=alarm.last_line).collect() },
        };
        let is_of_an_alarm =
            |fault: &Fault| component.alarms.iter().any(|alarm| (alarm.line..=alarm.last_line).contains(&fault.line));
        let faults = self.faults_in(component.line..=component.last_line).filter(|fault| !is_of_an_alarm(fault));
        let faults = faults.collect();
        let alarms = alarms.iter().map(visit).collect();
        let dates = self.dates(component, written);
        let inactive = inactive.cloned();
        let withheld = self.context.withheld.as_ref();
        let withheld = withheld.filter(|withheld| !withheld.all && by_default && !component.alarms.is_empty());
        ExplainedComponent {
            component,
            dates,
            inactive,
            by_default,
            default_origin,
            alarms_ignored_by,
            withheld,
            alarms,
            faults,
        }
    }

    fn faults_in(&self, lines: RangeInclusive<u32>) -> impl Iterator<Item = Fault> {
        self.faults().iter().filter(move |fault| lines.contains(&fault.line)).cloned()
    }

    fn dates(&self, component: &Component, written: &WrittenLines) -> Vec<Stated> {
        let end = if component.kind == ComponentKind::Todo { "DUE" } else { "DTEND" };
        let moments = [
            ("DTSTART", component.start),
            (end, component.end),
            ("RECURRENCE-ID", component.recurrence_id.map(|id| id.moment)),
        ];
        let stated = |name, zone| Stated { name, written: written.find(component.line, name), zone };
        let moments = moments.into_iter().filter_map(|(name, moment)| Some((name, moment?)));
        let mut dates: Vec<Stated> =
            moments.map(|(name, moment)| stated(name, Some(self.zone_use(moment, component.calendar)))).collect();
        dates.extend(component.duration.map(|_| stated("DURATION", None)));
        dates
    }
}

/// What the trigger of `alarm` counts from.
fn anchor(component: &Component, alarm: &Alarm, all_day: bool) -> Anchor {
    let todo = component.kind == ComponentKind::Todo;
    match alarm.trigger {
        None => Anchor::Nothing,
        Some(Trigger::At(_)) => Anchor::Instant,
        Some(Trigger::End(_)) if component.end.is_some() => {
            if todo {
                Anchor::Due
            } else {
                Anchor::End
            }
        }
        Some(Trigger::End(_)) if component.start.is_some() => match component.duration {
            Some(_) => Anchor::Duration,
            None if all_day && !todo => Anchor::Day,
            None => Anchor::NoEnd,
        },
        Some(_) if component.start.is_some() => Anchor::Start,
        Some(_) if todo && component.end.is_some() => Anchor::Due,
        Some(_) if component.recurrence_id.is_some() => Anchor::RecurrenceId,
        Some(_) => Anchor::Nothing,
    }
}

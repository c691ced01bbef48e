//! An alarm instance: one alarm of one occurrence firing at one instant.

use jiff::civil::{Date, DateTime};

use crate::calendar::ical::alarm::{Action, Alarm};
use crate::calendar::ical::component::Component;
use crate::calendar::zone::Zone;
use crate::time::UtcMillis;

/// The start or end of an occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// All-day.
    Date(Date),
    /// Written as an instant.
    At(UtcMillis),
}

/// One alarm of one occurrence, firing at one instant.
#[derive(Clone, Debug)]
pub struct AlarmInstance<'a> {
    /// When it fires.
    pub at: UtcMillis,
    /// ACTION of the alarm.
    pub action: Action,
    /// The event or to-do, or the override that takes the place of this occurrence.
    pub component: &'a Component,
    /// None: the instance of a snooze that has no VALARM of its own (X-MOZ-SNOOZE-TIME).
    pub alarm: Option<&'a Alarm>,
    /// Alarms with the same action at the same instant, which fire as one with it.
    pub joined: Vec<&'a Alarm>,
    /// None: a to-do without a date.
    pub start: Option<When>,
    /// None: a to-do that is due at no time.
    pub end: Option<When>,
    /// The zone of the start; for floating times and dates the calendar's or the user's.
    pub zone: Zone,
    /// Whether that zone is stated somewhere; otherwise it is UTC, because no zone is known.
    pub zone_known: bool,
    /// The original start of the occurrence, in the local time of its series; none: it does not recur, or the instance
    /// belongs to the whole series.
    pub recurrence_id: Option<DateTime>,
    /// The first RRULE of its series; none: it does not recur, or by dates alone.
    pub rule: Option<&'a str>,
    pub(crate) origin: InstanceOrigin,
}

/// Where in its schedule an alarm instance comes from, so that its derivation can be explained.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InstanceOrigin {
    pub(crate) group: u32,
    pub(crate) of: OriginPart,
    /// Which repetition.
    pub(crate) nth: u32,
}

/// What of its group an alarm instance comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OriginPart {
    /// The alarm `alarm` of the source `set`, for the occurrence that the series has at `original`.
    Alarm { set: u32, alarm: u32, original: UtcMillis },
    /// That of the instances at an instant of their own.
    Fixed(u32),
}

impl<'a> AlarmInstance<'a> {
    /// The name of the start's zone: an IANA id, `UTC`, the TZID of the object's own VTIMEZONE, or `[floating]`.
    pub fn zone_name(&self) -> &str {
        if self.zone_known { self.zone.id() } else { "[floating]" }
    }

    /// RECURRENCE-ID as local ISO text, `2026-03-10T09:00:00`; empty where there is none.
    pub fn recurrence_id_text(&self) -> String {
        self.recurrence_id.map(|civil| civil.to_string()).unwrap_or_default()
    }

    /// The ATTENDEEs of its alarms, as written, each once.
    pub fn recipients(&self) -> Vec<&'a str> {
        let mut seen = std::collections::HashSet::new();
        let alarms = self.alarm.iter().chain(&self.joined);
        let all = alarms.flat_map(|alarm| alarm.attendees.iter().map(|attendee| &**attendee));
        all.filter(|attendee| seen.insert(*attendee)).collect()
    }

    /// What makes two instances the same (rule 20).
    pub(crate) fn key(&self) -> InstanceKey<'a> {
        InstanceKey {
            at: self.at,
            uid: &self.component.uid,
            own: &self.component.own,
            recurrence_id: self.recurrence_id,
            action: self.action,
        }
    }

    /// What makes two instances fire as one (rule 21, which adds the user): the same for all occurrences of a series.
    fn firing_key(&self) -> InstanceKey<'a> {
        InstanceKey { recurrence_id: None, ..self.key() }
    }
}

/// What tells alarm instances apart. They are ordered by instant first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct InstanceKey<'a> {
    at: UtcMillis,
    uid: &'a str,
    /// That of [`Component::own`].
    own: &'a str,
    recurrence_id: Option<DateTime>,
    action: Action,
}

/// Joins those of `instances` that fire as one (rule 21): two occurrences of a series may fire at the same instant. The
/// notification is of the earlier occurrence, and goes to the recipients of both.
pub fn fire_as_one(mut instances: Vec<AlarmInstance<'_>>) -> Vec<AlarmInstance<'_>> {
    // Sorting is stable, and they are in the order of their occurrences.
    instances.sort_by(|a, b| a.firing_key().cmp(&b.firing_key()));
    instances.dedup_by(|later, first| join(later, first, later.firing_key() == first.firing_key()));
    instances
}

/// Orders instances by instant, and joins those that are the same.
pub(crate) fn in_order(instances: &mut Vec<AlarmInstance<'_>>) {
    instances.sort_by(|a, b| a.key().cmp(&b.key()));
    instances.dedup_by(|later, first| join(later, first, later.key() == first.key()));
}

/// Where they are the `same`, `first` fires for `later` as well.
fn join<'a>(later: &mut AlarmInstance<'a>, first: &mut AlarmInstance<'a>, same: bool) -> bool {
    if same {
        first.joined.extend(later.alarm.into_iter().chain(later.joined.drain(..)));
    }
    same
}

//! A calendar object: from octets to components (RFC 5545, 3.4). What is well-formed survives what is not, which is
//! listed as faults. It knows no zone rules and no instants.

use std::fmt;

use super::component::Component;
use super::date_time::CalendarDateTime;
use crate::calendar::zone::{VTimezone, Zone, ZoneLimits};
use crate::time::UtcMillis;

/// Bounds on what comes from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectLimits {
    /// Octets of an object.
    pub max_object_size: usize,
    /// More repetitions (REPEAT) of an alarm than this are left out.
    pub max_repeat: u32,
    /// Instances of one UID in one UTC clock hour, and ten times as many of all UIDs of an object; the rest is
    /// suppressed.
    pub max_alarms_per_hour: u32,
    /// Alarms of a component.
    pub max_alarms: usize,
    /// Recurrence rules of a component, and as many exception rules.
    pub max_rules: usize,
    /// Steps of work that looking for what fires may cost at a time, some ten nanoseconds each; what costs more does
    /// not fire.
    pub max_work: u64,
    /// Attendees of a component, and of an alarm.
    pub max_attendees: usize,
    /// How deep components may be nested.
    pub max_depth: usize,
    /// Faults of an object that are listed; more are counted.
    pub max_faults: usize,
    /// Of each zone that it defines.
    pub zones: ZoneLimits,
}

impl Default for ObjectLimits {
    fn default() -> ObjectLimits {
        ObjectLimits {
            max_object_size: 10 * 1024 * 1024,
            max_repeat: 100,
            max_alarms_per_hour: 120,
            max_alarms: 10_000,
            max_rules: 64,
            max_work: 4_000_000,
            max_attendees: 2_000,
            max_depth: 32,
            max_faults: 100,
            zones: ZoneLimits::default(),
        }
    }
}

/// Why octets are not a calendar object at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// It has no VCALENDAR.
    #[error("it is not iCalendar text: no line says BEGIN:VCALENDAR")]
    NoCalendar,
    /// Its octets are in an encoding that is not read.
    #[error("it is written in {0}; iCalendar text is UTF-8, save it as that")]
    Encoding(&'static str),
    /// It is larger than is read.
    #[error("it has {size} octets, more than the {limit} that limits.max_object_size allows")]
    TooLarge {
        /// Its octets.
        size: usize,
        /// The limit.
        limit: usize,
    },
}

/// Something in an object that was left out or read with a doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line in the file, counted from 1.
    pub line: u32,
    /// What is wrong, and what becomes of it.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.text)
    }
}

/// A time zone name that the object uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tzid {
    /// Its TZID.
    pub name: Box<str>,
    /// In which of [`Object::calendars`]: only the VTIMEZONEs of that one define it.
    pub calendar: usize,
    /// Where it is used first.
    pub line: u32,
}

/// A VTIMEZONE of the object.
#[derive(Clone, Debug)]
pub struct ZoneDefinition {
    /// The line of its BEGIN.
    pub line: u32,
    /// In which of [`Object::calendars`] it stands.
    pub calendar: usize,
    /// What the object says of it.
    pub definition: VTimezone,
    /// X-LIC-LOCATION: the IANA id that it stands for.
    pub location: Option<Box<str>>,
}

/// What a VCALENDAR says of all that stands in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VCalendar {
    /// X-WR-TIMEZONE: the zone of floating times, where the calendar names none. UTC says nothing: holiday calendars
    /// have it.
    pub floating_zone: Option<Box<str>>,
    /// METHOD:CANCEL (RFC 5546, 3.2.5).
    pub is_cancelled: bool,
}

/// A calendar object resource or an `.ics` file: events and to-dos, of one UID or of many.
#[derive(Clone, Debug, Default)]
pub struct Object {
    /// In the order of the text.
    pub components: Vec<Component>,
    /// The VTIMEZONEs that it has.
    pub zones: Vec<ZoneDefinition>,
    /// What the TZIDs of [`CalendarDateTime::Zoned`] stand for.
    pub tzids: Vec<Tzid>,
    /// The VCALENDARs of the text, in its order.
    pub calendars: Vec<VCalendar>,
    /// What was left out.
    pub faults: Vec<Fault>,
    /// The text ends within a component: more has been left out than is known.
    pub is_cut_off: bool,
    /// The text ends before its VCALENDAR does: there may have been more components.
    pub is_unclosed: bool,
}

impl Object {
    /// The latest LAST-MODIFIED of its components; none where they have none in UTC.
    pub fn last_modified(&self) -> Option<UtcMillis> {
        let utc = |moment| match moment {
            CalendarDateTime::Utc(civil) => Some(Zone::utc().instant(civil).at),
            _ => None,
        };
        self.components.iter().filter_map(|component| component.last_modified.and_then(utc)).max()
    }

    /// The UIDs of its components, each once, in the order of the text.
    pub fn uids(&self) -> Vec<&str> {
        let mut seen = std::collections::HashSet::new();
        self.components.iter().map(|component| &*component.uid).filter(|uid| seen.insert(*uid)).collect()
    }
}

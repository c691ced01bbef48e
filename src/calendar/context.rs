//! What an object's alarms depend on besides its own text: the zones, whose calendar it is, limits.

use std::fmt;

use jiff::civil::Time;

use super::configured_alarms::{ConfiguredAlarms, at_time_of_day};
use super::ical::alarm::{Action, Alarm, Trigger};
use super::ical::component::{Component, ComponentKind, Snooze};
use super::ical::date_time::CalendarDateTime;
use super::ical::object::{Object, ObjectLimits, ParseError};
use super::ical::value::{Duration, quoted};
use super::zone::{Zone, Zones};
use crate::text::strip_mailto;

/// What the times of the objects of one calendar depend on besides their text. Made once for a calendar, used for each
/// of its objects.
#[derive(Clone, Debug)]
pub struct CalendarContext {
    /// The time zone database.
    pub zones: Zones,
    /// The calendar's own zone (CalDAV `calendar-timezone-id`, else `calendar-timezone`).
    pub calendar_zone: Option<Zone>,
    /// The user's zone: the source's, else `defaults.zone`.
    pub user_zone: Option<Zone>,
    /// The user's own addresses, bare, in lower case.
    addresses: Vec<String>,
    /// The calendar's default alarms, where they are to be used.
    pub default_alarms: Option<DefaultAlarms>,
    /// Which part of the configuration says that the alarms of objects do not fire; none: they do.
    pub alarms_ignored_by: Option<String>,
    /// What does not fire because the calendar is another user's; none: everything fires.
    pub withheld: Option<WithheldAlarms>,
    /// The time of day at which alarms of all-day events fire that would fire at midnight; none: at midnight.
    pub all_day_at: Option<Time>,
    /// Ids that the calendar's and the user's zone have and the database does not have, in lower case.
    pub(super) unresolved: Vec<String>,
    /// Bounds on the work that its objects may take.
    pub limits: ObjectLimits,
}

impl CalendarContext {
    /// Nothing but the database: floating times are UTC's.
    pub fn new(zones: Zones) -> CalendarContext {
        CalendarContext {
            zones,
            calendar_zone: None,
            user_zone: None,
            addresses: Vec::new(),
            default_alarms: None,
            alarms_ignored_by: None,
            withheld: None,
            all_day_at: None,
            unresolved: Vec::new(),
            limits: ObjectLimits::default(),
        }
    }

    /// Sets the calendar's own zone: an IANA id, or iCalendar text with a VTIMEZONE. None, or one that is
    /// unknown: none.
    pub fn with_calendar_zone(mut self, zone: Option<&str>) -> CalendarContext {
        self.calendar_zone = zone.and_then(|zone| named_or_defined(&self.zones, zone));
        if let Some(name) = zone.filter(|zone| self.calendar_zone.is_none() && !zone.contains('\n')) {
            self.unresolved.extend(self.zones.unresolved(name));
        }
        self
    }

    /// Sets the user's zone: the first of these ids that is known.
    pub fn with_user_zone(mut self, zone: Option<&str>, default: Option<&str>) -> CalendarContext {
        let ids = [zone, default].into_iter().flatten();
        self.user_zone = ids.clone().find_map(|id| self.zones.resolve(id, None, None));
        self.unresolved.extend(ids.flat_map(|id| self.zones.unresolved(id)));
        self
    }

    /// Sets the user's own addresses, with or without `mailto:`.
    pub fn with_addresses(mut self, addresses: &[String]) -> CalendarContext {
        self.addresses = addresses.iter().map(|address| bare(address).to_lowercase()).collect();
        self
    }

    /// The alarms of `component`; for an event without one the calendar's default alarms (rule 19).
    pub(crate) fn alarms_of<'a>(&'a self, component: &'a Component, all_day: bool) -> &'a [Alarm] {
        let own: &[Alarm] = if self.alarms_ignored_by.is_some() { &[] } else { &component.alarms };
        match self.defaults_of(component) {
            Some(defaults) if all_day => &defaults.all_day.alarms,
            Some(defaults) => &defaults.timed.alarms,
            None => own,
        }
    }

    /// How far `alarm` is from the start or the end of what is all-day if that is moved to a time of day (rule 26),
    /// with that time; none if it is not.
    pub(crate) fn moved_offset(&self, component: &Component, alarm: &Alarm, all_day: bool) -> Option<(Duration, Time)> {
        let time = self.all_day_at.filter(|_| all_day)?;
        match alarm.trigger? {
            Trigger::Start(offset) => Some((at_time_of_day(offset, time)?, time)),
            Trigger::End(offset) if ends_at_midnight(component) => Some((at_time_of_day(offset, time)?, time)),
            Trigger::End(_) | Trigger::At(_) => None,
        }
    }

    /// The default alarms, if `component` gets them.
    fn defaults_of(&self, component: &Component) -> Option<&DefaultAlarms> {
        let has_none = self.alarms_ignored_by.is_some() || component.alarms.iter().all(|alarm| self.is_anothers(alarm));
        self.default_alarms.as_ref().filter(|_| has_none && component.kind == ComponentKind::Event)
    }

    /// Whether `alarm`, which an object has, is not one of the user's own: those are EMAIL alarms to one of the user's
    /// addresses, and in a calendar of the user all of them.
    fn is_anothers(&self, alarm: &Alarm) -> bool {
        let is_to_user = || alarm.attendees.iter().any(|attendee| self.is_own(attendee));
        self.withheld.is_some() && !(alarm.action == Some(Action::Email) && is_to_user())
    }

    /// What withholds `alarm`, one of [`CalendarContext::alarms_of`] `component`.
    pub(crate) fn withholds(&self, component: &Component, alarm: &Alarm) -> Option<&WithheldAlarms> {
        self.withheld.as_ref().filter(|_| self.defaults_of(component).is_none() && self.is_anothers(alarm))
    }

    /// Where the alarms of `component` come from that are default alarms; none: they are its own.
    pub(crate) fn default_origin(&self, component: &Component, all_day: bool) -> Option<&str> {
        let defaults = self.defaults_of(component)?;
        let used = if all_day { &defaults.all_day } else { &defaults.timed };
        Some(used.from.as_str()).filter(|_| !used.alarms.is_empty())
    }

    /// The snoozes of `component` that count (X-MOZ-SNOOZE-TIME).
    pub(crate) fn snoozes_of<'a>(&self, component: &'a Component) -> &'a [Snooze] {
        // Nothing says whose snooze it is.
        if self.alarms_ignored_by.is_some() || self.withheld.is_some() { &[] } else { &component.snoozes }
    }

    /// Whether `address` (a `mailto:` URI or bare) is one of the user's own.
    pub fn is_own(&self, address: &str) -> bool {
        !self.addresses.is_empty() && self.addresses.contains(&bare(address).to_lowercase())
    }
}

/// Whether `component`, which begins on a date, ends on one.
fn ends_at_midnight(component: &Component) -> bool {
    let is_date = component.end.is_none_or(|end| matches!(end, CalendarDateTime::Date(_)));
    is_date && component.duration.is_none_or(|length| length.time.is_zero())
}

/// Alarms that do not fire for a user, because they are in a calendar that is another's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WithheldAlarms {
    /// Whose it is, if that is known.
    pub owner: Option<String>,
    /// All of them; else those that are not the user's own.
    pub all: bool,
}

impl fmt::Display for WithheldAlarms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.owner {
            Some(owner) => write!(f, "it is in a calendar of {} that is shared", quoted(owner))?,
            None => write!(f, "it is in a calendar that another user shares")?,
        }
        write!(f, ", and `shared` is {}", if self.all { "off" } else { "own-alarms" })
    }
}

/// An address without `mailto:`.
fn bare(address: &str) -> &str {
    let address = address.trim();
    strip_mailto(address).map_or(address, str::trim)
}

fn named_or_defined(zones: &Zones, zone: &str) -> Option<Zone> {
    if !zone.contains('\n') {
        return zones.resolve(zone.trim(), None, None);
    }
    let object = Object::parse(zone.as_bytes(), &ObjectLimits::default()).or_else(|_| {
        // CalDAV wants a whole VCALENDAR here; some servers keep the VTIMEZONE alone.
        let wrapped = format!("BEGIN:VCALENDAR\n{zone}\nEND:VCALENDAR\n");
        Object::parse(wrapped.as_bytes(), &ObjectLimits::default())
    });
    let definition = object.ok()?.zones.into_iter().next()?;
    zones.resolve(&definition.definition.tzid, definition.location.as_deref(), Some(&definition.definition))
}

/// The default alarms of a calendar (CalDAV `default-alarm-vevent-datetime` and `…-date`).
#[derive(Clone, Debug, Default)]
pub struct DefaultAlarms {
    /// For events that begin at a time.
    pub timed: DefaultAlarmList,
    /// For all-day events.
    pub all_day: DefaultAlarmList,
}

/// Default alarms of one kind of events.
#[derive(Clone, Debug, Default)]
pub struct DefaultAlarmList {
    /// The alarms.
    pub alarms: Vec<Alarm>,
    /// Where they come from: `server`, or which part of the configuration names them.
    pub from: String,
}

impl DefaultAlarms {
    /// Reads the VALARM texts of the two properties, or what stands in their place.
    ///
    /// # Errors
    /// If one of them is not iCalendar text.
    pub fn parse(timed: Option<&str>, all_day: Option<&str>) -> Result<DefaultAlarms, ParseError> {
        let read = |text: Option<&str>| text.map_or_else(|| Ok(DefaultAlarmList::default()), default_list);
        Ok(DefaultAlarms { timed: read(timed)?, all_day: read(all_day)? })
    }
}

fn default_list(text: &str) -> Result<DefaultAlarmList, ParseError> {
    if let Some(configured) = ConfiguredAlarms::parse(text) {
        return Ok(DefaultAlarmList { alarms: configured.alarms(), from: configured.from });
    }
    Ok(DefaultAlarmList { alarms: alarms(text)?, from: "server".to_owned() })
}

fn alarms(text: &str) -> Result<Vec<Alarm>, ParseError> {
    let wrapped = format!("BEGIN:VCALENDAR\nBEGIN:VEVENT\n{text}\nEND:VEVENT\nEND:VCALENDAR\n");
    let object = Object::parse(wrapped.as_bytes(), &ObjectLimits::default())?;
    Ok(object.components.into_iter().flat_map(|component| component.alarms).collect())
}

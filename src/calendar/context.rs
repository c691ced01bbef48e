//! What an object's alarms depend on besides its own text: the zones, whose calendar it is, limits.

use super::ical::alarm::Alarm;
use super::ical::component::{Component, ComponentKind};
use super::ical::object::{Object, ObjectLimits, ParseError};
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
        match &self.default_alarms {
            Some(defaults) if component.alarms.is_empty() && component.kind == ComponentKind::Event => {
                if all_day {
                    &defaults.all_day
                } else {
                    &defaults.timed
                }
            }
            _ => &component.alarms,
        }
    }

    /// Whether `address` (a `mailto:` URI or bare) is one of the user's own.
    pub fn is_own(&self, address: &str) -> bool {
        !self.addresses.is_empty() && self.addresses.contains(&bare(address).to_lowercase())
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
    pub timed: Vec<Alarm>,
    /// For all-day events.
    pub all_day: Vec<Alarm>,
}

impl DefaultAlarms {
    /// Reads the VALARM texts of the two properties.
    ///
    /// # Errors
    /// If one of them is not iCalendar text.
    pub fn parse(timed: Option<&str>, all_day: Option<&str>) -> Result<DefaultAlarms, ParseError> {
        let read = |text: Option<&str>| text.map_or_else(|| Ok(Vec::new()), alarms);
        Ok(DefaultAlarms { timed: read(timed)?, all_day: read(all_day)? })
    }
}

fn alarms(text: &str) -> Result<Vec<Alarm>, ParseError> {
    let wrapped = format!("BEGIN:VCALENDAR\nBEGIN:VEVENT\n{text}\nEND:VEVENT\nEND:VCALENDAR\n");
    let object = Object::parse(wrapped.as_bytes(), &ObjectLimits::default())?;
    Ok(object.components.into_iter().flat_map(|component| component.alarms).collect())
}

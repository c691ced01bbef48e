//! In which zone a time of an object is taken, and what says so.

use crate::calendar::ical::date_time::CalendarDateTime;
use crate::calendar::schedule::Schedule;
use crate::calendar::schedule::resolve::{NamedZone, ZoneOrigin};
use crate::calendar::zone::Zone;

/// The zone that a time is taken in.
#[derive(Clone, Debug)]
pub struct ZoneUse {
    /// The zone.
    pub zone: Zone,
    /// Where its rules come from.
    pub origin: ZoneOrigin,
    /// The TZID that names it, where one does.
    pub tzid: Option<String>,
}

impl Schedule<'_> {
    pub(super) fn zone_use(&self, moment: CalendarDateTime, calendar: usize) -> ZoneUse {
        let NamedZone { zone, origin, .. } = self.resolver.peek(moment, calendar).zone;
        let tzid = match moment {
            CalendarDateTime::Zoned(_, id) => self.object.tzids.get(id.index()).map(|tzid| tzid.name.to_string()),
            _ => None,
        };
        ZoneUse { zone, origin, tzid }
    }
}

//! Alarms at an instant of their own, whatever recurs.

use super::resolve::{NamedZone, Point, day_start};
use crate::calendar::ical::alarm::{Action, Alarm};
use crate::calendar::ical::component::Snooze;
use crate::calendar::ical::value::Duration;
use crate::calendar::rrule::OccurrenceStart;
use crate::calendar::zone::Zone;

/// An alarm instance at an instant of its own: an absolute trigger, or a snooze that Mozilla keeps outside VALARM.
#[derive(Clone, Debug)]
pub(crate) struct FixedAlarm<'a> {
    pub(crate) base: Point,
    pub(crate) action: Action,
    pub(crate) alarm: Option<&'a Alarm>,
    pub(crate) joined: Vec<&'a Alarm>,
    pub(crate) repeat: u32,
    pub(crate) interval: Duration,
    /// Of which component: an index into the sources.
    pub(crate) set: usize,
    /// Of which occurrence; none: of the component as a whole.
    pub(crate) original: Option<OccurrenceStart>,
    /// It is a snooze rather than an absolute trigger.
    pub(crate) snooze: bool,
}

/// The occurrence that a snooze is of, in a series in `zone`. Of an all-day or floating series Mozilla writes its local
/// time clock as if it were UTC.
pub(super) fn snoozed(snooze: &Snooze, zone: &NamedZone, all_day: bool) -> Option<OccurrenceStart> {
    let at = snooze.occurrence?;
    let civil = Zone::utc().civil(at);
    Some(match (all_day, zone.is_of_floating()) {
        (true, _) => OccurrenceStart { civil: civil.start_of_day(), at: day_start(&zone.zone, civil.date()) },
        (false, true) => OccurrenceStart { civil, at: zone.zone.instant(civil).at },
        (false, false) => OccurrenceStart { civil: zone.zone.civil(at), at },
    })
}

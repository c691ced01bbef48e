//! Alarms at an instant of their own, whatever recurs.

use super::resolve::Point;
use crate::calendar::ical::alarm::{Action, Alarm};
use crate::calendar::ical::value::Duration;
use crate::calendar::rrule::OccurrenceStart;

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

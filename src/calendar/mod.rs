//! The pure core: iCalendar text, zones and a window of time go in, instances come out (RFC 5545, RFC 9074). It asks
//! for no time, opens no file and no socket, and knows nothing of the rest of the program but [`crate::time`].
//!
//! * [`ical`]: from octets to components and alarms, as they are written.
//! * [`rrule`]: recurrence rules, expanded in civil time from anywhere in the series.
//! * [`zone`]: time zones: from civil time to instants, by TZif data or by a VTIMEZONE.
//! * [`schedule`]: from components to alarm instances: what fires in a window, and when the next instance is.
//!   [`context`] is what it needs besides the object.
//! * [`answer`]: an answer to an alarm, written into the text of its object.
//! * [`explain`]: how each instance comes about, and why alarms do not fire.

pub mod answer;
pub mod configured_alarms;
pub mod context;
pub mod explain;
pub mod ical;
mod readings;
pub mod rrule;
pub mod schedule;
pub mod zone;

pub use readings::{ValueReading, readings_of};

#[cfg(test)]
mod tests;

//! The pure core: iCalendar text, zones and a window of time go in, instances come out (RFC 5545, RFC 9074). It asks for no
//! time, opens no file and no socket, and knows nothing of the rest of the program but [`crate::time`].
//!
//! * [`object`]: from octets to [`component`]s and [`alarm`]s, as they are written; [`value`] reads their values.
//! * [`schedule`]: from components to [`alarm_instance`]s: what fires in a window, and when the next instance is.
//!   [`context`] is what it needs besides the object, [`inactive`] why an alarm never fires, [`explain`] how each
//!   instance comes about.
//! * [`zone`]: time zones: placing wall-clock time, from TZif data or from a VTIMEZONE.
//! * [`recur`]: recurrence rules, expanded in wall-clock time from anywhere in the series.

pub mod alarm;
pub mod alarm_instance;
mod build;
pub mod component;
pub mod context;
pub mod explain;
mod group;
pub mod inactive;
mod length;
mod lenient;
mod line;
mod memo;
pub mod object;
mod observance;
mod occurrence;
mod parser;
mod reader;
pub mod recur;
mod resolve;
pub mod schedule;
mod unnamed;
pub mod value;
pub mod zone;

pub use lenient::readings_of;

#[cfg(test)]
mod tests;

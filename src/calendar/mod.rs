//! The pure core: iCalendar text, zones and a window of time go in, rings come out (RFC 5545, RFC 9074). It asks for no
//! time, opens no file and no socket, and knows nothing of the rest of the program but [`crate::time`].
//!
//! * [`zone`]: time zones: placing wall-clock time, from TZif data or from a VTIMEZONE.
//! * [`recur`]: recurrence rules, expanded in wall-clock time from anywhere in the series.

pub mod recur;
pub mod zone;

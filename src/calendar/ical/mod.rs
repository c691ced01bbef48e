//! iCalendar text to plain data (RFC 5545, RFC 9074): what the lines say, not yet placed in time.
//!
//! * [`object`]: the components and alarms of a text, as they are written, are data: [`component`], [`alarm`];
//!   [`value`] reads their values.
//! * `parser` goes through the lines of a text, the `*_reader`s read their properties, `lenient` what breaks the
//!   grammar.
//! * [`split`] takes a text of many events apart, a text for each UID.

pub mod alarm;
mod alarm_reader;
pub mod component;
mod component_reader;
pub mod date_time;
pub(super) mod lenient;
pub(super) mod line;
pub mod object;
mod parser;
mod reader;
pub mod split;
mod unnamed;
pub mod value;
mod vtimezone;

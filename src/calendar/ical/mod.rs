//! iCalendar text to plain data (RFC 5545, RFC 9074): what the lines say, not yet placed in time.
//!
//! * [`object`]: from octets to [`component`]s and [`alarm`]s, as they are written; [`value`] reads their values.
//! * `parser` goes through the lines of a text, `reader` reads their properties, `lenient` what breaks the grammar.

pub mod alarm;
pub mod component;
pub(super) mod lenient;
pub(super) mod line;
pub mod object;
mod parser;
mod reader;
mod unnamed;
pub mod value;
mod vtimezone;

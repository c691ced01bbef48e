//! A zone that an object defines for itself: VTIMEZONE (RFC 5545, 3.6.5).

use jiff::civil::DateTime;

/// A VTIMEZONE as plain data: what its properties say, values not yet judged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct VTimezone {
    /// TZID, without quotes.
    pub tzid: String,
    /// STANDARD and DAYLIGHT, in the order of the text.
    pub observances: Vec<Observance>,
}

/// STANDARD or DAYLIGHT: an offset, and when it begins to hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Observance {
    /// DAYLIGHT rather than STANDARD.
    pub daylight: bool,
    /// DTSTART: the first onset, on the wall of the offset before it.
    pub start: DateTime,
    /// TZOFFSETFROM: seconds east of UTC before an onset.
    pub offset_from: i32,
    /// TZOFFSETTO: seconds east of UTC from an onset on.
    pub offset_to: i32,
    /// The values of its RRULEs, as written.
    pub rules: Vec<String>,
    /// Its RDATEs: further onsets, on the wall of the offset before them.
    pub dates: Vec<DateTime>,
}

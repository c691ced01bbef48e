//! How a text is read as a value, strictly and leniently.

use std::fmt;

use super::ical::lenient;
use super::ical::value::{DateOrDateTime, Duration, parse_utc_offset};
use super::rrule::Rule;

/// What a text is as a value of one kind; none: it cannot be read as such.
#[doc(hidden)]
#[derive(Debug)]
pub struct ValueReading {
    pub kind: &'static str,
    pub strict: Option<String>,
    pub lenient: Option<String>,
}

impl ValueReading {
    fn new<T: fmt::Debug>(kind: &'static str, strict: Option<T>, lenient: Option<T>) -> ValueReading {
        let text = |value: Option<T>| value.map(|value| format!("{value:?}"));
        ValueReading { kind, strict: text(strict), lenient: text(lenient) }
    }
}

/// What `text` is as a value of each kind, read strictly and leniently, as text: the way in for fuzzing.
#[doc(hidden)]
pub fn readings_of(text: &str) -> [ValueReading; 4] {
    [
        ValueReading::new("duration", Duration::parse(text).ok(), lenient::duration(text)),
        ValueReading::new("date or time", DateOrDateTime::parse(text).ok(), lenient::date_or_date_time(text)),
        ValueReading::new("offset", parse_utc_offset(text).ok(), lenient::utc_offset(text)),
        ValueReading::new("rule", Rule::parse(text).ok(), Rule::read(text).ok().map(|read| read.rule)),
    ]
}

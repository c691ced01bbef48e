//! How a text is read as a value, strictly and leniently.

use std::fmt;

use super::ical::lenient;
use super::ical::value::{DateOrDateTime, Duration, parse_utc_offset};
use super::rrule::Rule;

/// What `text` is as a value of each kind, read strictly and leniently, as text: the way in for fuzzing.
#[doc(hidden)]
pub fn readings_of(text: &str) -> [(&'static str, Option<String>, Option<String>); 4] {
    fn told<T: fmt::Debug>(value: Option<T>) -> Option<String> {
        value.map(|value| format!("{value:?}"))
    }
    [
        ("duration", told(Duration::parse(text).ok()), told(lenient::duration(text))),
        ("date or time", told(DateOrDateTime::parse(text).ok()), told(lenient::date_or_date_time(text))),
        ("offset", told(parse_utc_offset(text).ok()), told(lenient::utc_offset(text))),
        ("rule", told(Rule::parse(text).ok()), told(Rule::read(text).ok().map(|(rule, _)| rule))),
    ]
}

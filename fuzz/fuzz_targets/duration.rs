//! Any text as a value: durations, dates, offsets. What a duration says can be counted and negated.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reveille::calendar::ical::value::{DateOrDateTime, Duration, parse_utc_offset, unescape};

fuzz_target!(|text: &str| {
    if let Ok(duration) = Duration::parse(text) {
        let _ = (duration.is_negative(), duration.is_zero(), duration.times(u32::MAX));
    }
    let _ = (DateOrDateTime::parse(text), parse_utc_offset(text), unescape(text));
});

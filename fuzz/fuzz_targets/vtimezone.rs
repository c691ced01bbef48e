//! Any VTIMEZONE: its offsets stay within a day, and asking costs little anywhere in time.
#![no_main]

use jiff::civil::date;
use libfuzzer_sys::fuzz_target;
use reveille::calendar::ical::object::{ObjectLimits, Object};
use reveille::calendar::zone::Zones;

fuzz_target!(|text: &str| {
    let whole = format!("BEGIN:VCALENDAR\nBEGIN:VTIMEZONE\nTZID:own\n{text}\nEND:VTIMEZONE\nEND:VCALENDAR\n");
    let Ok(object) = Object::parse(whole.as_bytes(), &ObjectLimits::default()) else { return };
    for zone in &object.zones {
        let Some(zone) = Zones::bundled().resolve("own", None, Some(&zone.definition)) else { continue };
        for year in [1, 1970, 2026, 2100, 9_999] {
            let civil = date(year, 6, 15).at(2, 30, 0, 0);
            let at = zone.instant(civil).at;
            assert!(zone.offset(at).abs() <= 26 * 3_600, "{}", zone.offset(at));
            let _ = zone.civil(at);
        }
    }
});

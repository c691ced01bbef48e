//! Any object: its alarm instances lie in the window, ascend, and begin with the next one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reveille::calendar::ical::object::{ObjectLimits, Object};
use reveille::calendar::schedule::Schedule;
use reveille::calendar::context::CalendarContext;
use reveille::calendar::zone::Zones;
use reveille::time::UtcMillis;

fuzz_target!(|octets: &[u8]| {
    let Ok(object) = Object::parse(octets, &ObjectLimits::default()) else { return };
    let context = CalendarContext::new(Zones::bundled()).with_user_zone(Some("Europe/Berlin"), None);
    let schedule = Schedule::new(&object, &context, None);
    let (from, until) = (UtcMillis(1_772_323_200_000), UtcMillis(1_772_928_000_000));
    let instances = schedule.instances(from..until);
    assert!(instances.iter().all(|instance| from <= instance.at && instance.at < until));
    assert!(instances.is_sorted_by(|a, b| a.at <= b.at));
    let next = schedule.next_instance(from).filter(|next| *next < until);
    assert_eq!(next, instances.first().map(|instance| instance.at));
    let _ = (schedule.faults().len(), schedule.zones().len(), schedule.memo(), schedule.suppressed(from..until));
});

//! Any octets: reading an object neither panics nor takes longer than its length allows.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reveille::calendar::ical::object::{ObjectLimits, Object};

fuzz_target!(|octets: &[u8]| {
    if let Ok(object) = Object::parse(octets, &ObjectLimits::default()) {
        let _ = (object.uids(), object.last_modified());
    }
});

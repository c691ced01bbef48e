//! Any text as a value, read strictly and leniently: what the grammar reads, both read alike.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reveille::calendar::{ValueReading, readings_of};

fuzz_target!(|text: &str| {
    for ValueReading { kind, strict, lenient } in readings_of(text) {
        if let (Some(strict), Some(lenient)) = (strict, lenient) {
            assert_eq!(strict, lenient, "a {kind} is read in two ways");
        }
    }
});

//! Any header WWW-Authenticate: reading it ends, and the answer to it is bounded by it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reveille::http::read_any_challenge;

fuzz_target!(|header: &[u8]| {
    let written = read_any_challenge(header);
    // A quotation mark takes two octets, what is not UTF-8 three, and the names and digests the rest.
    assert!(written <= 6 * header.len() + 500, "{written} octets");
});

//! Any text as a server's answer, whole or inside a multistatus: reading it ends, and finds no more than the text can
//! hold.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reveille::source::caldav::read_as_any_response;

fuzz_target!(|text: &str| {
    let _ = read_as_any_response(text);
    let namespaces = "xmlns='DAV:' xmlns:C='urn:ietf:params:xml:ns:caldav' xmlns:S='http://calendarserver.org/ns/'";
    let found = read_as_any_response(&format!("<multistatus {namespaces}>{text}</multistatus>"));
    // Each kind of answer is read from the same text, and a resource takes more than six letters.
    assert!(found <= 4 * text.len(), "{found} resources in {text}");
});

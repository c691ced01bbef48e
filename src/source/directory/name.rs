//! Names of files and folders as text. On Unix a name is octets; what of it is no UTF-8 is written so that no other
//! name is written alike, and that the octets can be had back.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::ffi::OsStringExt as _;

use crate::text::octet_of_hex;

/// The text of a name or a path: itself where it is UTF-8. Any other octet is `//` and two hexadecimal digits, which
/// no path holds: between two of its separators there is a name.
pub(super) fn text(name: &OsStr) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.as_encoded_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        for octet in chunk.invalid() {
            let _ = write!(text, "//{octet:02x}");
        }
    }
    text
}

/// The name or path whose [`text`] this is.
pub(super) fn octets(text: &str) -> OsString {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, others)) = rest.split_first() {
        match escaped(rest) {
            Some(octet) => {
                octets.push(octet);
                rest = rest.get(4..).unwrap_or_default();
            }
            None => {
                octets.push(first);
                rest = others;
            }
        }
    }
    OsString::from_vec(octets)
}

/// The octet that is written at the start of `text`.
fn escaped(text: &[u8]) -> Option<u8> {
    match *text {
        [b'/', b'/', high, low, ..] => octet_of_hex(high, low),
        _ => None,
    }
}

/// The name for people: octets that are no UTF-8 are read as Latin-1, which they nearly always are.
pub(super) fn shown(name: &OsStr) -> String {
    let mut shown = String::with_capacity(name.len());
    for chunk in name.as_encoded_bytes().utf8_chunks() {
        shown.push_str(chunk.valid());
        shown.extend(chunk.invalid().iter().map(|octet| char::from(*octet)).map(|letter| match letter.is_control() {
            true => char::REPLACEMENT_CHARACTER,
            false => letter,
        }));
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_are_utf8_are_written_as_they_are() {
        for name in ["work", "M\u{fc}ller.ics", "100%", "alice/a b/100%fc.ics", "%FC", "\\xfc"] {
            assert_eq!(text(OsStr::new(name)), name);
            assert_eq!(octets(name), name);
        }
    }

    #[test]
    fn other_names_differ_and_can_be_read() {
        let (one, two) = (OsStr::from_bytes(b"M\xfcller"), OsStr::from_bytes(b"M\xf6ller"));
        assert_eq!((text(one), text(two)), ("M//fcller".to_owned(), "M//f6ller".to_owned()));
        assert_eq!((shown(one), shown(two)), ("M\u{fc}ller".to_owned(), "M\u{f6}ller".to_owned()));
        assert_eq!(shown(OsStr::from_bytes(b"a\x80")), "a\u{fffd}");
    }

    proptest! {
        #[test]
        fn every_path_is_had_back(names in proptest::collection::vec(
            proptest::collection::vec(prop_oneof![Just(b'f'), Just(b'0'), Just(0xfc_u8), Just(0xc3), 1..=46_u8, 48..=255_u8], 1..6), 1..4)
        ) {
            let path = names.join(&b'/');
            let back = octets(&text(OsStr::from_bytes(&path)));
            prop_assert_eq!(back.as_bytes(), path);
        }
    }
}

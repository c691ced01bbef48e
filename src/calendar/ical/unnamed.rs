//! Components without a UID, which RFC 5545 (3.8.4.7) requires: each is one of its own, identified by what it
//! says.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use super::component::{Component, is_top_level};
use super::line::{self, Lines, NumberedLine};
use crate::text::hex;

/// Gives each of `components` that has no UID a name of its own: a hash of its lines and, where an object has several
/// that are the same, which of them it is. `lines` are those of the object.
pub(crate) fn name(components: &mut [Component], lines: &Lines) {
    if components.iter().all(|component| !component.uid.is_empty()) {
        return;
    }
    let contents = contents(lines);
    let mut like: HashMap<&str, usize> = HashMap::new();
    for component in components.iter_mut().filter(|component| component.uid.is_empty()) {
        let content = contents.get(&component.line).map_or("", String::as_str);
        let nth = like.entry(content).or_default();
        component.own = format!("{content} {nth}").into();
        *nth += 1;
    }
}

/// By the line of its BEGIN, a hash of what each component of a calendar says. When it was written, and how often, is
/// not part of that: programs that leave out the UID write them again each time.
fn contents(lines: &Lines) -> HashMap<u32, String> {
    let mut contents = HashMap::new();
    // The component at hand: the line of its BEGIN, and its hash so far.
    let mut open: Option<(u32, Sha256)> = None;
    let mut close = |open: Option<(u32, Sha256)>| {
        contents.extend(open.map(|(number, hash)| (number, hexadecimal(&hash.finalize()))));
    };
    for NumberedLine { number, text } in lines.iter() {
        let Some(name) = line::name(text).map(str::to_ascii_uppercase) else { continue };
        let value = || text.split_once(':').map_or("", |(_, value)| value).trim().to_ascii_uppercase();
        let begins = name == "BEGIN" && is_top_level(&value());
        if begins || (name == "END" && (is_top_level(&value()) || value() == "VCALENDAR")) {
            close(open.take());
        }
        if begins {
            open = Some((number, Sha256::new()));
        } else if let Some((_, hash)) = &mut open
            && !matches!(name.as_str(), "DTSTAMP" | "CREATED" | "LAST-MODIFIED" | "SEQUENCE")
        {
            hash.update(text.trim_end());
            hash.update("\n");
        }
    }
    close(open);
    contents
}

/// The first 16 octets.
fn hexadecimal(digest: &[u8]) -> String {
    hex(digest.iter().take(16))
}

//! How properties were written: the object keeps only what they mean.

use std::collections::HashMap;

use crate::calendar::ical::line::{self, Lines, NumberedLine};
use crate::text::first_chars;

/// The properties that are shown as written.
const SHOWN: &[&str] = &["DTSTART", "DTEND", "DUE", "DURATION", "RECURRENCE-ID", "TRIGGER"];
/// A longer line is cut, letters.
const MAX_WRITTEN: usize = 200;

/// Lines by the component that they stand in: the line of its BEGIN.
#[derive(Debug)]
pub(super) struct WrittenLines(HashMap<(u32, &'static str), String>);

impl WrittenLines {
    /// Reads the lines of `text`. Takes time in proportion to its length.
    pub(super) fn of(text: &[u8]) -> WrittenLines {
        let lines = Lines::unfold(text);
        let mut found = HashMap::new();
        let mut open: Vec<(u32, &str)> = Vec::new();
        for NumberedLine { number, text } in lines.iter() {
            let Some(name) = line::name(text) else { continue };
            let value = || text.split_once(':').map_or("", |(_, value)| value.trim());
            if name.eq_ignore_ascii_case("BEGIN") {
                open.push((number, value()));
            } else if name.eq_ignore_ascii_case("END") {
                let ended = open.iter().rposition(|(_, name)| name.eq_ignore_ascii_case(value()));
                open.truncate(ended.unwrap_or(open.len()));
            } else if let Some(shown) = SHOWN.iter().find(|shown| name.eq_ignore_ascii_case(shown))
                && let Some((begin, _)) = open.last()
            {
                found.entry((*begin, *shown)).or_insert_with(|| first_chars(text.trim_end(), MAX_WRITTEN).to_owned());
            }
        }
        WrittenLines(found)
    }

    /// The first line of the property `name` in the component that begins in line `begin`.
    pub(super) fn find(&self, begin: u32, name: &'static str) -> Option<String> {
        self.0.get(&(begin, name)).cloned()
    }
}

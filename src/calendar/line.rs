//! Content lines (RFC 5545, 3.1): from octets to name, parameters and value. What a property means is not known here.
//!
//! `icalendar` reads the parameters of a line. It is given one line at a time, never a file: its reader of whole files takes
//! quadratic time where lines end in a bare LF, refuses an object for one bad line, and recurses without a limit.

use std::borrow::Cow;

use icalendar::parser::Property;

/// The unfolded lines of a file, with the number that each has there.
#[derive(Debug)]
pub(super) struct Lines {
    text: String,
    numbers: Vec<u32>,
}

impl Lines {
    /// Unfolds octets, which may split a character, then reads them as UTF-8; what is none becomes U+FFFD. Lines end in CRLF or
    /// LF, mixed as they come. Empty lines are left out.
    pub(super) fn unfold(octets: &[u8]) -> Lines {
        let octets = octets.strip_prefix(b"\xef\xbb\xbf").unwrap_or(octets);
        let mut text: Vec<u8> = Vec::with_capacity(octets.len() + 1);
        let mut numbers = Vec::with_capacity(octets.len() / 24 + 1);
        for (number, line) in (1_u32..).zip(octets.split(|octet| *octet == b'\n')) {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            match line {
                [] => {}
                [b' ' | b'\t', rest @ ..] if !numbers.is_empty() => text.extend_from_slice(rest),
                line => {
                    if !numbers.is_empty() {
                        text.push(b'\n');
                    }
                    numbers.push(number);
                    text.extend_from_slice(line);
                }
            }
        }
        let text = String::from_utf8(text).unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned());
        Lines { text, numbers }
    }

    /// Each line with its number, counted from 1.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        self.numbers.iter().copied().zip(self.text.split('\n'))
    }
}

/// One content line, taken apart.
#[derive(Debug)]
pub(super) struct ContentLine<'a> {
    property: Property<'a>,
    /// Parameters that `icalendar` would split in the wrong place; where there are any, the property has none.
    mixed: Vec<(&'a str, &'a str)>,
    /// As written, escapes and all.
    pub(super) value: &'a str,
}

/// The name of a line: what is before the first `:` or `;`, and no longer than a name can be.
pub(super) fn name(line: &str) -> Option<&str> {
    let end = line.bytes().take(MAX_NAME + 1).position(|octet| matches!(octet, b':' | b';'))?;
    line.get(..end).map(str::trim).filter(|name| !name.is_empty())
}

/// No property that is read has a longer name.
const MAX_NAME: usize = 64;

impl<'a> ContentLine<'a> {
    /// Takes a line apart. None: it has no value, or parameters that are none.
    pub(super) fn parse(line: &'a str) -> Option<ContentLine<'a>> {
        let colon = value_start(line)?;
        let (head, value) = (line.get(..=colon)?, line.get(colon + 1..)?);
        if !head.contains(';') {
            return Some(ContentLine { property: Property::new_ref("", ""), mixed: Vec::new(), value });
        }
        if has_inner_quote(head) {
            let mixed = split_parameters(head.get(..colon)?);
            return Some(ContentLine { property: Property::new_ref("", ""), mixed, value });
        }
        let property = Property::try_from(head).ok()?;
        Some(ContentLine { property, mixed: Vec::new(), value })
    }

    /// The value of the parameter `key` (upper case), without quotes, RFC 6868 decoded.
    pub(super) fn parameter(&self, key: &str) -> Option<Cow<'_, str>> {
        let read = self.property.params.iter().filter_map(|p| Some((p.key.as_ref(), p.val.as_ref()?.as_ref())));
        let mut all = read.chain(self.mixed.iter().copied());
        let (_, value) = all.find(|(name, _)| name.eq_ignore_ascii_case(key))?;
        let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
        Some(decode_carets(value))
    }

    /// Whether the parameter `key` is there and says `value`, in any letter case.
    pub(super) fn says(&self, key: &str, value: &str) -> bool {
        self.parameter(key).is_some_and(|said| said.trim().eq_ignore_ascii_case(value))
    }
}

/// Where the colon before the value is: the first one outside quotes, or, where a quote is never closed, the first one.
fn value_start(line: &str) -> Option<usize> {
    let mut inside = false;
    for (index, octet) in line.bytes().enumerate() {
        match octet {
            b'"' => inside = !inside,
            b':' if !inside => return Some(index),
            _ => {}
        }
    }
    line.find(':')
}

/// Whether a quote opens elsewhere than at the beginning of a parameter's value: `X=a,"b:c"`.
fn has_inner_quote(head: &str) -> bool {
    let (mut inside, mut before) = (false, b';');
    for octet in head.bytes() {
        if octet == b'"' {
            if !inside && before != b'=' {
                return true;
            }
            inside = !inside;
        }
        before = octet;
    }
    inside
}

/// The parameters of `NAME;KEY=VALUE;KEY=VALUE`, split outside quotes only; a quote that is never closed is none.
fn split_parameters(head: &str) -> Vec<(&str, &str)> {
    let balanced = head.matches('"').count().is_multiple_of(2);
    let mut inside = false;
    let parts = head.split(move |c| {
        inside ^= c == '"' && balanced;
        c == ';' && !inside
    });
    parts.skip(1).filter_map(|part| part.split_once('=')).map(|(key, value)| (key.trim(), value)).collect()
}

/// RFC 6868: `^n`, `^^` and `^'` in parameter values.
fn decode_carets(value: &str) -> Cow<'_, str> {
    if !value.contains('^') {
        return Cow::Borrowed(value);
    }
    let mut plain = String::with_capacity(value.len());
    let mut rest = value.chars();
    while let Some(c) = rest.next() {
        if c != '^' {
            plain.push(c);
            continue;
        }
        match rest.next() {
            Some('n') => plain.push('\n'),
            Some('^') => plain.push('^'),
            Some('\'') => plain.push('"'),
            Some(other) => plain.extend(['^', other]),
            None => plain.push('^'),
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::{ContentLine, Lines, name};

    fn unfolded(octets: &[u8]) -> Vec<(u32, String)> {
        Lines::unfold(octets).iter().map(|(number, line)| (number, line.to_owned())).collect()
    }

    #[test]
    fn folds_inside_a_character_and_mixed_line_ends_are_undone() {
        let octets = b"\xef\xbb\xbfA:x\xc3\r\n \xbcy\r\n\r\nB:1\n\tz\nC:2";
        let lines = unfolded(octets);
        assert_eq!(lines, [(1, "A:xüy".to_owned()), (4, "B:1z".to_owned()), (6, "C:2".to_owned())]);
    }

    #[test]
    fn octets_that_are_no_utf8_do_not_shift_the_lines() {
        assert_eq!(
            unfolded(b"A:\xff\xfe\nB:\xc0\n"),
            [(1, "A:\u{fffd}\u{fffd}".to_owned()), (2, "B:\u{fffd}".to_owned())]
        );
        assert!(unfolded(b"").is_empty());
    }

    #[test]
    fn parameters_with_quotes_lists_and_carets() {
        let line =
            ContentLine::parse(r#"ATTENDEE;CN="Doe; Jane: ^'J^'";PARTSTAT=accepted:mailto:j@example.org"#).unwrap();
        assert_eq!(line.parameter("CN").unwrap(), "Doe; Jane: \"J\"");
        assert!(line.says("PARTSTAT", "ACCEPTED"));
        assert_eq!(line.value, "mailto:j@example.org");
        let line = ContentLine::parse(r#"X;MEMBER=a,"b:c;d",e;partstat=DECLINED:v:w"#).unwrap();
        assert!(line.says("PARTSTAT", "DECLINED"));
        assert_eq!(line.value, "v:w");
        let line = ContentLine::parse("DTSTART;TZID=W. Europe Standard Time:20260310T093000").unwrap();
        assert_eq!(line.parameter("TZID").unwrap(), "W. Europe Standard Time");
        let line = ContentLine::parse(r#"A;CN=5" pipe;ROLE=X:value"#).unwrap();
        assert_eq!((line.value, line.parameter("CN").unwrap().as_ref()), ("value", "5\" pipe"));
        assert!(line.says("ROLE", "X"));
    }

    #[test]
    fn lines_that_are_none() {
        assert!(ContentLine::parse("no colon").is_none());
        assert_eq!(name("DTSTART;X=1:2"), Some("DTSTART"));
        assert_eq!(name(":value"), None);
        assert_eq!(name(&"A".repeat(1000)), None);
    }
}

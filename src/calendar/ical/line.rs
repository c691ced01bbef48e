//! Content lines (RFC 5545, 3.1): from octets to name, parameters and value. What a property means is not known here.
//!
//! `icalendar` reads the parameters of a line. It is given one line at a time, never a file: its reader of whole files
//! takes quadratic time where lines end in a bare LF, refuses an object for one bad line, and recurses without a limit.

use std::borrow::Cow;

use icalendar::parser::Property;

use super::value::unescape;
use crate::text::octet_of_hex;

/// An unfolded line of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NumberedLine<'l> {
    /// The number that it has in the file, counted from 1.
    pub(crate) number: u32,
    pub(crate) text: &'l str,
}

/// The unfolded lines of a file.
#[derive(Debug)]
pub(crate) struct Lines {
    text: String,
    numbers: Vec<u32>,
}

impl Lines {
    /// Unfolds octets, which may split a character, then reads them as UTF-8; what is none becomes U+FFFD. Lines end in
    /// CRLF or LF, mixed as they come, in CR CR LF, which a text written twice through Windows' text files has, or all
    /// of them in CR alone. Empty lines are left out, and so is a byte order mark at the beginning of a line: files
    /// with one were put together.
    pub(crate) fn unfold(octets: &[u8]) -> Lines {
        // Where there is no LF at all, CR ends a line.
        let with_lf: Vec<u8>;
        let octets = if octets.contains(&b'\n') {
            octets
        } else {
            with_lf = octets.iter().map(|octet| if *octet == b'\r' { b'\n' } else { *octet }).collect();
            &with_lf
        };
        let mut text: Vec<u8> = Vec::with_capacity(octets.len() + 1);
        let mut numbers = Vec::with_capacity(octets.len() / 24 + 1);
        let mut continues = false;
        for (number, line) in (1_u32..).zip(octets.split(|octet| *octet == b'\n')) {
            let line = without_marks(line);
            if continues && !numbers.is_empty() {
                // What the encoding broke goes on without a blank before it.
                text.pop();
                text.extend_from_slice(line);
                continues = line.ends_with(b"=");
                continue;
            }
            continues = line.ends_with(b"=") && is_quoted_printable(line);
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

    /// The lines, each ended by LF but the last one.
    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// Each line, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = NumberedLine<'_>> {
        self.numbers.iter().zip(self.text.split('\n')).map(|(number, text)| NumberedLine { number: *number, text })
    }
}

/// Whether the value of a line is encoded as vCalendar 1.0 did it, which breaks lines in its own way.
fn is_quoted_printable(line: &[u8]) -> bool {
    const NAME: &[u8] = b"QUOTED-PRINTABLE";
    let head = line.split(|octet| *octet == b':').next().unwrap_or_default();
    head.windows(NAME.len()).any(|part| part.eq_ignore_ascii_case(NAME))
}

/// A line without the carriage returns that end it and the byte order marks that begin it.
fn without_marks(line: &[u8]) -> &[u8] {
    let mut line = line;
    while let Some(rest) = line.strip_suffix(b"\r") {
        line = rest;
    }
    while let Some(rest) = line.strip_prefix(b"\xef\xbb\xbf") {
        line = rest;
    }
    line
}

/// One content line, taken apart.
#[derive(Debug)]
pub(crate) struct ContentLine<'a> {
    property: Property<'a>,
    /// Parameters that `icalendar` would split in the wrong place; if there are any, the property has none.
    mixed: Vec<Parameter<'a>>,
    /// As written, escapes and all.
    pub(crate) value: &'a str,
}

/// A parameter of a line: `KEY=VALUE`, the value as written.
#[derive(Clone, Copy, Debug)]
struct Parameter<'a> {
    key: &'a str,
    value: &'a str,
}

/// The name of a line: what is before the first `:` or `;`, and no longer than a name can be.
pub(crate) fn name(line: &str) -> Option<&str> {
    let end = line.bytes().take(MAX_NAME + 1).position(|octet| matches!(octet, b':' | b';'))?;
    line.get(..end).map(str::trim).filter(|name| !name.is_empty())
}

/// No property that is read has a longer name.
const MAX_NAME: usize = 64;

impl<'a> ContentLine<'a> {
    /// Takes a line apart. None: it has no value, or parameters that cannot be read.
    pub(crate) fn parse(line: &'a str) -> Option<ContentLine<'a>> {
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

    /// The same for a line whose parameters hold a colon that is not between quotes (`TZID=GMT+05:30:20260310T093000`):
    /// its value begins behind the last colon that leaves something `is_value` takes. None: there is no such value.
    pub(super) fn parse_from_the_end(line: &'a str, is_value: impl Fn(&str) -> bool) -> Option<ContentLine<'a>> {
        let (colon, value) = line
            .rmatch_indices(':')
            .map(|(at, _)| (at, line.get(at + 1..)))
            .find(|(_, value)| value.is_some_and(&is_value))?;
        let mixed = split_parameters(line.get(..colon)?);
        Some(ContentLine { property: Property::new_ref("", ""), mixed, value: value? })
    }

    /// The value of the parameter `key` (upper case), without quotes, RFC 6868 decoded.
    pub(crate) fn parameter(&self, key: &str) -> Option<Cow<'_, str>> {
        let read = self
            .property
            .params
            .iter()
            .filter_map(|p| Some(Parameter { key: p.key.as_ref(), value: p.val.as_ref()?.as_ref() }));
        let mut all = read.chain(self.mixed.iter().copied());
        let value = all.find(|parameter| parameter.key.eq_ignore_ascii_case(key))?.value;
        let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
        Some(decode_carets(value))
    }

    /// The value as text, its escapes undone; ENCODING=QUOTED-PRINTABLE, which is vCalendar 1.0's, is decoded, from the
    /// charset that CHARSET names if that is UTF-8 or Latin-1.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        if self.says("ENCODING", "QUOTED-PRINTABLE") {
            let octets = decode_quoted_printable(self.value);
            let text = String::from_utf8(octets)
                .unwrap_or_else(|octets| octets.as_bytes().iter().copied().map(char::from).collect());
            return Cow::Owned(unescape(&text).into_owned());
        }
        unescape(self.value)
    }

    /// Whether the parameter `key` is there and says `value`, in any letter case.
    pub(crate) fn says(&self, key: &str, value: &str) -> bool {
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
fn split_parameters(head: &str) -> Vec<Parameter<'_>> {
    let balanced = head.matches('"').count().is_multiple_of(2);
    let mut inside = false;
    let parts = head.split(move |c| {
        inside ^= c == '"' && balanced;
        c == ';' && !inside
    });
    let pairs = parts.skip(1).filter_map(|part| part.split_once('='));
    pairs.map(|(key, value)| Parameter { key: key.trim(), value }).collect()
}

/// `=C3=BC` and the like (RFC 2045, 6.7); an equals sign with anything else behind it stays.
fn decode_quoted_printable(value: &str) -> Vec<u8> {
    let mut octets = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match after {
            [high, low, after @ ..] if *first == b'=' => match octet_of_hex(*high, *low) {
                Some(octet) => {
                    octets.push(octet);
                    rest = after;
                }
                None => octets.push(*first),
            },
            _ => octets.push(*first),
        }
    }
    octets
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
        Lines::unfold(octets).iter().map(|line| (line.number, line.text.to_owned())).collect()
    }

    #[test]
    fn folds_inside_a_character_and_mixed_line_ends_are_undone() {
        let octets = b"\xef\xbb\xbfA:x\xc3\r\n \xbcy\r\n\r\nB:1\n\tz\nC:2";
        let lines = unfolded(octets);
        assert_eq!(lines, [(1, "A:xüy".to_owned()), (4, "B:1z".to_owned()), (6, "C:2".to_owned())]);
    }

    #[test]
    fn line_ends_written_twice_and_byte_order_marks_anywhere_are_passed_over() {
        let octets = b"\r\r\n\xef\xbb\xbfA:x\r\r\n y\r\r\n\xef\xbb\xbf\r\n\xef\xbb\xbf\xef\xbb\xbfB:1\n";
        assert_eq!(unfolded(octets), [(2, "A:xy".to_owned()), (5, "B:1".to_owned())]);
        assert_eq!(unfolded(b"A:x\r y\r\rB:1\r"), [(1, "A:xy".to_owned()), (4, "B:1".to_owned())]);
    }

    #[test]
    fn quoted_printable_text_with_its_own_line_breaks() {
        let octets =
            b"SUMMARY;ENCODING=QUOTED-PRINTABLE;CHARSET=UTF-8:Caf=C3=A9 =\r\nM=C3=BCller=3D1\r\nUID:a=\r\nX:1\r\n";
        let lines = unfolded(octets);
        assert_eq!(lines.len(), 3);
        let line = ContentLine::parse(&lines[0].1).unwrap();
        assert_eq!(line.text(), "Caf\u{e9} M\u{fc}ller=1");
        assert_eq!(
            ContentLine::parse("SUMMARY;ENCODING=quoted-printable:caf=E9 100=%").unwrap().text(),
            "caf\u{e9} 100=%"
        );
        assert_eq!(ContentLine::parse("SUMMARY:caf=C3=A9\\, x").unwrap().text(), "caf=C3=A9, x");
    }

    #[test]
    fn a_value_behind_the_last_colon_that_leaves_one() {
        let of = |line| {
            ContentLine::parse_from_the_end(line, |value| value.starts_with("2026")).map(|line| {
                let tzid = line.parameter("TZID").unwrap_or_default().into_owned();
                (line.value.to_owned(), tzid)
            })
        };
        let read = |value: &str, tzid: &str| Some((value.to_owned(), tzid.to_owned()));
        assert_eq!(of("DTSTART;TZID=GMT+05:30:20260310T093000"), read("20260310T093000", "GMT+05:30"));
        assert_eq!(
            of("DTSTART;VALUE=DATE-TIME;TZID=(UTC-05:00) Eastern Time (US & Canada):20260310T093000"),
            read("20260310T093000", "(UTC-05:00) Eastern Time (US & Canada)")
        );
        assert_eq!(
            of("DTSTART;TZID=tzone://Microsoft/Utc:20260310T093000"),
            read("20260310T093000", "tzone://Microsoft/Utc")
        );
        assert_eq!(of("DTSTART:2026-03-10T09:30:00"), read("2026-03-10T09:30:00", ""));
        assert_eq!(of("DTSTART;TZID=x:y"), None);
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

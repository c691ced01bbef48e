//! Text that comes from outside: its encodings (hexadecimal, percent-encoding, `mailto:`), names that match a pattern,
//! and what of it a message repeats. It does not know what the text is about.

use std::borrow::Cow;

const MAILTO: &str = "mailto:";

/// `octets` in lower-case hexadecimal.
pub fn hex<'o>(octets: impl IntoIterator<Item = &'o u8>) -> String {
    let digits = octets.into_iter().flat_map(|octet| [octet >> 4, octet & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

/// The octet that two hexadecimal digits stand for, in upper or lower case; `None` if one of them is not a digit.
pub fn octet_of_hex(high: u8, low: u8) -> Option<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// The octet that the `%XX` at the beginning of `text` stands for (RFC 3986, 2.1); `None` if it does not begin with
/// one.
pub fn percent_escape(text: &[u8]) -> Option<u8> {
    match *text {
        [b'%', high, low, ..] => octet_of_hex(high, low),
        _ => None,
    }
}

/// The octets of `text` with its percent-encoding undone (RFC 3986, 2.1). A percent sign without two hexadecimal digits
/// after it stays.
pub fn percent_decoded(text: &str) -> Vec<u8> {
    if !text.contains('%') {
        return text.as_bytes().to_vec();
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = percent_escape(rest);
        decoded.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    decoded
}

/// The octets that `text` stands for in base64, in the usual alphabet or in the one for URLs, with or without padding
/// (RFC 4648, 4 and 5); `None` if it is not that.
pub fn octets_of_base64(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for digit in text.trim_end_matches('=').bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xFFFF;
        count += 6;
        if count >= 8 {
            count -= 8;
            octets.push(u8::try_from(bits >> count & 0xFF).ok()?);
        }
    }
    // One digit alone is less than an octet.
    (count < 6).then_some(octets)
}

/// `octets` in base64 for URLs, without padding (RFC 4648, 5).
pub fn base64url(octets: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(octets.len().div_ceil(3) * 4);
    for group in octets.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, n| bits << 8 | u32::from(group.get(n).copied().unwrap_or(0)));
        let digits = [18, 12, 6, 0].into_iter().take(group.len() + 1);
        let digit = |shift: u32| DIGITS.get((bits >> shift & 63) as usize).copied().unwrap_or(b'A');
        text.extend(digits.map(|shift| char::from(digit(shift))));
    }
    text
}

/// `octets` in base64, with padding (RFC 4648, 4).
pub fn base64(octets: &[u8]) -> String {
    let mut text = base64url(octets).replace('-', "+").replace('_', "/");
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// What follows `mailto:`, in upper or lower case, at the beginning of `text` (RFC 6068); `None` if it does not begin
/// with that.
pub fn strip_mailto(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_at_checked(MAILTO.len())?;
    scheme.eq_ignore_ascii_case(MAILTO).then_some(rest)
}

/// Whether `name` matches `pattern`: it is the same, or begins with what stands before the `*` at the end of `pattern`.
pub fn matches_pattern(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => pattern == name,
    }
}

/// The first `most` characters of `text`.
pub fn first_chars(text: &str, most: usize) -> &str {
    text.char_indices().nth(most).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

/// The first `most` octets of `text`, or up to three fewer, so that no character is cut in two.
pub fn first_octets(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}

/// The first `most` characters of `text`, with an ellipsis after them if there are more.
pub fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    let start = first_chars(text, most);
    if start.len() == text.len() { Cow::Borrowed(text) } else { Cow::Owned(format!("{start}…")) }
}

/// `text` on one line: a blank for each control character.
pub fn on_one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// `text` with the characters escaped, as in a Rust string, that could steer a terminal or forge a line of a log.
pub fn visible(text: &str) -> String {
    text.chars().flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn base64_is_read_in_both_alphabets() {
        for (text, octets) in
            [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm8", "fo"), ("Zm9v", "foo"), ("Zm9vYg", "foob")]
        {
            assert_eq!(octets_of_base64(text).as_deref(), Some(octets.as_bytes()), "{text}");
        }
        for octets in [&b""[..], b"f", b"fo", b"foo", b"\xFB\xFF\xBF\x00"] {
            assert_eq!(octets_of_base64(&base64url(octets)).as_deref(), Some(octets));
        }
        assert_eq!(base64url(b"\xFB\xFF\xBE"), "-_--");
        assert_eq!(octets_of_base64("-_+/"), Some(vec![0xFB, 0xFF, 0xBF]));
        for text in ["Z", "Zm9vY", "Zm 9v", "Zg==Zg=="] {
            assert_eq!(octets_of_base64(text), None, "{text}");
        }
    }

    #[test]
    fn hexadecimal_is_lower_case_and_read_in_either() {
        assert_eq!(hex(&[0x00, 0x0f, 0xa5, 0xff]), "000fa5ff");
        assert_eq!(hex([1, 2, 3].iter().take(2)), "0102");
        assert_eq!((octet_of_hex(b'f', b'C'), octet_of_hex(b'0', b'9')), (Some(0xfc), Some(9)));
        assert_eq!((octet_of_hex(b'g', b'0'), octet_of_hex(b'0', b' '), octet_of_hex(0xff, b'0')), (None, None, None));
    }

    #[test]
    fn percent_signs_without_two_digits_stay() {
        let decoded = |text: &str| String::from_utf8(percent_decoded(text)).unwrap();
        assert_eq!(decoded("m%61ry%40b%C3%bccher"), "mary@b\u{fc}cher");
        for text in ["", "100%", "100%4", "%zz", "%ü", "%%", "% 4", "%4 "] {
            assert_eq!(decoded(text), text);
        }
        assert_eq!(decoded("%%41"), "%A");
        // A sign is no digit, although Rust reads it as part of a number.
        assert_eq!((decoded("%+1"), decoded("%-1")), ("%+1".to_owned(), "%-1".to_owned()));
    }

    #[test]
    fn mailto_is_taken_off_in_any_case() {
        for (text, rest) in [
            ("mailto:mary@example.org", Some("mary@example.org")),
            ("MAILTO: mary", Some(" mary")),
            ("mailto:", Some("")),
            ("mailto", None),
            (" mailto:x", None),
            ("mail\u{fc}:x", None),
            ("http://host/", None),
        ] {
            assert_eq!(strip_mailto(text), rest, "{text}");
        }
    }

    #[test]
    fn a_pattern_is_a_name_or_the_beginning_of_one() {
        assert!(matches_pattern("work", "work") && !matches_pattern("work", "workshop"));
        assert!(matches_pattern("work*", "work") && matches_pattern("work*", "workshop"));
        assert!(!matches_pattern("work*", "my work") && !matches_pattern("*work", "my work"));
        assert!(matches_pattern("*", "") && !matches_pattern("", "work"));
        assert!(matches_pattern("work*", "work*"), "a name may end in an asterisk");
    }

    #[test]
    fn text_is_cut_on_a_character_boundary() {
        assert_eq!((first_chars("a\u{fc}b", 2), first_chars("ab", 2), first_chars("ab", 0)), ("a\u{fc}", "ab", ""));
        assert_eq!(
            (first_octets("a\u{fc}b", 2), first_octets("a\u{fc}b", 3), first_octets("ab", 9)),
            ("a", "a\u{fc}", "ab")
        );
        assert_eq!((shortened("abc", 3), shortened("abcd", 3)), ("abc".into(), "abc…".into()));
    }

    #[test]
    fn control_characters_steer_nothing() {
        assert_eq!(on_one_line("a\r\nb\u{1b}[2J\u{85}"), "a  b [2J ");
        assert_eq!(visible("a\n\u{1b}[2J'\u{fc}"), "a\\n\\u{1b}[2J\\'\u{fc}");
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(octets in prop::collection::vec(any::<u8>(), 0..40)) {
            let encoded: String = octets.iter().map(|octet| format!("%{octet:02X}")).collect();
            prop_assert_eq!(percent_decoded(&encoded), octets);
        }
    }
}

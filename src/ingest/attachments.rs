//! What of an object is not kept: inline attachments, which no alarm needs and which can be most of it.

/// `text` without its inline attachments: ATTACH properties in BASE64 (RFC 5545, 3.8.1.1), with their folded lines.
/// Everything else stays octet for octet.
pub fn strip(text: Vec<u8>) -> Vec<u8> {
    let begins = |line: &[u8]| matches!(line, [b'\n', name @ ..] if name.eq_ignore_ascii_case(b"ATTACH"));
    if !text.windows(7).any(begins) {
        return text;
    }
    let mut kept = Vec::with_capacity(text.len());
    let mut rest = text.as_slice();
    while !rest.is_empty() {
        let (property, after) = rest.split_at(property_end(rest));
        if !is_inline(property) {
            kept.extend_from_slice(property);
        }
        rest = after;
    }
    kept
}

/// Where the property at the start of `text` ends: after the first line end that no folded line follows.
fn property_end(text: &[u8]) -> usize {
    let mut ends = text.iter().enumerate().filter(|(_, octet)| **octet == b'\n').map(|(at, _)| at + 1);
    ends.find(|end| !matches!(text.get(*end), Some(b' ' | b'\t'))).unwrap_or(text.len())
}

fn is_inline(property: &[u8]) -> bool {
    let name = property.get(..6).is_some_and(|name| name.eq_ignore_ascii_case(b"ATTACH"));
    // The parameters are in front of the value, which is the longest part; a folded parameter is found all the same.
    let head: Vec<u8> =
        property.iter().take(400).filter(|o| !o.is_ascii_whitespace()).map(u8::to_ascii_uppercase).collect();
    name && matches!(property.get(6), Some(b';')) && head.windows(15).any(|octets| octets == b"ENCODING=BASE64")
}

#[cfg(test)]
mod tests {
    use super::strip;

    #[test]
    fn inline_attachments_go_and_the_rest_stays_as_it_is() {
        let text = b"BEGIN:VEVENT\r\nATTACH;FMTTYPE=a/b;ENCODING=\r\n BASE64;VALUE=BINARY:AAAA\r\n BBBB\r\nATTACH:https://example.org/a\nATTACHMENT;ENCODING=BASE64:x\nEND:VEVENT";
        let kept = "BEGIN:VEVENT\r\nATTACH:https://example.org/a\nATTACHMENT;ENCODING=BASE64:x\nEND:VEVENT";
        assert_eq!(String::from_utf8(strip(text.to_vec())).unwrap(), kept);
    }

    #[test]
    fn what_has_none_is_not_touched() {
        let text = b"SUMMARY:ATTACH;ENCODING=BASE64:x\r\nATTACH".to_vec();
        assert_eq!(strip(text.clone()), text);
    }
}

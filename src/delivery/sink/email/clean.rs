//! Texts of events as a mail may have them: without control characters, bounded, and on one line where that is needed.

use crate::text::first_chars;
use crate::text::shortened;

/// `text` on one line: blanks and control characters become single spaces, at most `longest` characters.
pub fn line(text: &str, longest: usize) -> String {
    let mut out = String::with_capacity(text.len().min(longest.saturating_mul(4)));
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.extend(word.chars().filter(|c| !is_bidi_control(*c)));
        if out.len() > longest.saturating_mul(4) {
            break;
        }
    }
    shortened(&out, longest).into_owned()
}

/// As [`line()`], for a header: what would read there as an encoded word (RFC 2047, 2) is broken up.
pub fn header_line(text: &str, longest: usize) -> String {
    line(&text.replace("=?", "= ?"), longest)
}

/// `text` with its line breaks, without other control characters.
pub fn paragraphs(text: &str) -> String {
    let lines = text.replace("\r\n", "\n").replace(['\r', '\u{2028}', '\u{2029}', '\u{85}'], "\n");
    let allowed = |c: &char| matches!(c, '\n' | '\t') || !(c.is_control() || is_bidi_control(*c));
    let clean: String = lines.chars().filter(allowed).collect();
    clean.trim().to_owned()
}

/// The first `most_chars` characters and `most_lines` lines of `text`, up to the end of a word, and whether there are
/// more.
pub fn beginning(text: &str, most_chars: usize, most_lines: usize) -> (&str, bool) {
    let end = text.match_indices('\n').nth(most_lines.saturating_sub(1)).map_or(text.len(), |(at, _)| at);
    let lines = text.get(..end).unwrap_or(text);
    let chars = first_chars(lines, most_chars);
    if chars.len() == text.len() {
        return (text, false);
    }
    let is_cut_in_a_word = chars.len() < lines.len();
    let word = chars.rfind(char::is_whitespace).filter(|at| is_cut_in_a_word && *at > chars.len() / 2);
    (chars.get(..word.unwrap_or(chars.len())).unwrap_or(chars).trim_end(), true)
}

/// Embeddings, overrides and isolates (Unicode Standard Annex 9): left open, they would turn around what follows.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_within_their_lines_and_lengths() {
        assert_eq!(line(" a\r\nBcc: b\u{2028}c\u{202e}d ", 20), "a Bcc: b cd");
        assert_eq!(line("ääää", 3), "äää…");
        assert_eq!(header_line("=?utf-8?q?x?=", 50), "= ?utf-8?q?x?=");
        assert_eq!(paragraphs("\u{7}a\r\nb\rc\u{2029}d\u{2067}\n"), "a\nb\nc\nd");
    }

    #[test]
    fn a_beginning_ends_with_a_word_and_says_that_there_is_more() {
        assert_eq!(beginning("one two three", 20, 5), ("one two three", false));
        assert_eq!(beginning("one two three", 9, 5), ("one two", true));
        assert_eq!(beginning("a\nb\nc", 20, 2), ("a\nb", true));
        assert_eq!(beginning("a\nb", 20, 2), ("a\nb", false));
        assert_eq!(beginning("xxxxxxxxxx", 4, 2), ("xxxx", true));
        assert_eq!(beginning("", 4, 2), ("", false));
    }
}

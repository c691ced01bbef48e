//! Addresses in texts that a reader can follow.

/// A piece of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece<'t> {
    Text(&'t str),
    /// An address that begins with `http://` or `https://`.
    Link(&'t str),
}

/// Schemes that a link in a mail may have: the web, telephones and mail. Nothing that a program would execute.
const SCHEMES: &[&str] = &["https://", "http://", "tel:", "sip:", "sips:", "mailto:", "xmpp:"];
/// Octets above which an address is shown and is no link.
const LONGEST: usize = 2_000;

/// `uri` as a link may have it; none where its scheme is not one of the few that are known to be harmless, or where it
/// has blanks or control characters.
pub fn href(uri: &str) -> Option<&str> {
    let uri = uri.trim();
    let has_scheme = |scheme: &&str| {
        uri.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)) && uri.len() > scheme.len()
    };
    let is_clean = !uri.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '"'));
    (is_clean && uri.len() <= LONGEST && SCHEMES.iter().any(has_scheme)).then_some(uri)
}

/// `text` as HTML: escaped, with a `<br>` for each line break, and a link for each address in it.
pub fn linked(text: &str) -> String {
    let mut html = String::with_capacity(text.len().saturating_mul(2));
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) => escape(text, &mut html),
            Piece::Link(uri) => {
                html.push_str("<a href=\"");
                escape(uri, &mut html);
                html.push_str("\">");
                escape(uri, &mut html);
                html.push_str("</a>");
            }
        }
    }
    html
}

/// Takes `text` apart.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let (mut pieces, mut done, mut from) = (Vec::new(), 0, 0);
    while let Some(at) = text.get(from..).and_then(|rest| rest.find("://")).map(|at| from + at) {
        from = at + 3;
        let Some(start) = scheme_start(text.get(done..at).unwrap_or_default()).map(|start| done + start) else {
            continue;
        };
        let uri = address(text.get(start..).unwrap_or_default());
        if uri.len() > at + 3 - start && href(uri).is_some() {
            pieces.extend(text.get(done..start).filter(|before| !before.is_empty()).map(Piece::Text));
            pieces.push(Piece::Link(uri));
            done = start + uri.len();
            from = done;
        }
    }
    pieces.extend(text.get(done..).filter(|rest| !rest.is_empty()).map(Piece::Text));
    pieces
}

/// Where `http` or `https` begins that `before` ends with, as a word of its own.
fn scheme_start(before: &str) -> Option<usize> {
    let letters = before.trim_end_matches(|c: char| c.is_ascii_alphanumeric());
    let scheme = before.get(letters.len()..)?;
    (scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")).then_some(letters.len())
}

/// The address at the start of `text`: up to a blank or a character that none can have, without the punctuation of the
/// sentence that it stands in.
fn address(text: &str) -> &str {
    let is_end = |c: char| {
        c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '"' | '“' | '”' | '«' | '»' | '、' | '。')
    };
    let mut uri = text.split(is_end).next().unwrap_or_default();
    while let Some(last) = uri.chars().next_back() {
        let opening = match last {
            '.' | ',' | ';' | ':' | '!' | '?' | '\'' | '*' => None,
            ')' => Some('('),
            ']' => Some('['),
            '}' => Some('{'),
            _ => break,
        };
        let count = |bracket: char| uri.chars().filter(|c| *c == bracket).count();
        if opening.is_some_and(|opening| count(opening) >= count(last)) {
            break;
        }
        uri = uri.strip_suffix(last).unwrap_or(uri);
    }
    uri
}

/// Adds `text` to `html`.
fn escape(text: &str, html: &mut String) {
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            '\n' => html.push_str("<br>\n"),
            c => html.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_a_text_become_links_without_the_punctuation_around_them() {
        let link = |uri: &str| format!("<a href=\"{uri}\">{uri}</a>");
        for (text, html) in [
            ("see https://example.org/a.", format!("see {}.", link("https://example.org/a"))),
            ("(https://example.org/b)", format!("({})", link("https://example.org/b"))),
            ("https://example.org/c_(d)!", format!("{}!", link("https://example.org/c_(d)"))),
            ("HTTP://example.org?a=1&b=2", link("HTTP://example.org?a=1&amp;b=2")),
            ("<https://example.org>\nnext", format!("&lt;{}&gt;<br>\nnext", link("https://example.org"))),
            (
                "https://a.example https://b.example",
                format!("{} {}", link("https://a.example"), link("https://b.example")),
            ),
            ("xhttps://example.org javascript://x https://", "xhttps://example.org javascript://x https://".to_owned()),
            ("https://x\"onclick=1", format!("{}&quot;onclick=1", link("https://x"))),
        ] {
            assert_eq!(linked(text), html, "{text}");
        }
    }

    #[test]
    fn only_harmless_schemes_are_links() {
        for good in ["https://meet.example.org/x", "tel:+49-30-1234", "sip:room@example.org", "MAILTO:a@example.org"] {
            assert_eq!(href(good), Some(good));
        }
        for bad in
            ["javascript:alert(1)", "data:text/html,x", "https://", "https://a b", "//example.org", "", "tel:1\"x"]
        {
            assert_eq!(href(bad), None, "{bad}");
        }
    }
}

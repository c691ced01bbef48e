//! Where things are: hrefs as servers spell them, their comparison, and the URLs that they become.
//!
//! Servers spell one and the same path in many ways: `%c3%a4` or `%C3%A4`, `@` or `%40`, and some do not encode at all.
//! So the server's own spelling is kept for what is sent back to it, and hrefs are compared by their [`key`].

use reqwest::Url;

use crate::text::{percent_decoded, percent_escape};

/// What hrefs are compared by: the decoded path without scheme, host and closing slash. Octets that are no UTF-8 stay
/// apart from each other.
pub fn key(href: &str) -> String {
    decoded(path(href).trim_end_matches('/'))
}

/// The key of `href` if it was not encoded at all: each of its percent signs is one.
pub fn literal_key(href: &str) -> String {
    path(href).trim_end_matches('/').to_owned()
}

/// Whether `href` was probably not encoded, or only in part: decoded, it is no UTF-8, or it has percent signs that
/// encode nothing.
pub fn is_doubtful(href: &str) -> bool {
    let octets = href.as_bytes();
    let is_bare = |at: usize| octets.get(at) == Some(&b'%') && !is_escape(octets, at);
    (0..octets.len()).any(is_bare) || std::str::from_utf8(&percent_decoded(path(href))).is_err()
}

/// The last path segment, decoded: `/mary/my%20work/` is `my work`.
pub fn last_segment(href: &str) -> String {
    let path = path(href).trim_end_matches('/');
    decoded(path.rsplit('/').next().unwrap_or(path))
}

/// The URL of `href` as a response from `base` means it; none where it points to another server. A server that does not
/// know that TLS ends at a proxy before it calls itself `http`, with whatever port: that stands for `base`, and is
/// never asked.
pub fn resolve(base: &Url, href: &str) -> Option<Url> {
    url(base, href, is_raw(href))
}

/// The URL of `href` if it was not encoded at all, where that is another one.
pub fn resolve_literally(base: &Url, href: &str) -> Option<Url> {
    let literal = url(base, href, true).filter(|_| href.contains('%') && !has_scheme(href.trim()));
    literal.filter(|literal| resolve(base, href).as_ref() != Some(literal))
}

fn url(base: &Url, href: &str, is_raw: bool) -> Option<Url> {
    let href = href.trim();
    if has_scheme(href) {
        let named = Url::parse(href).ok()?;
        if named.origin() == base.origin() {
            return Some(named);
        }
        if (base.scheme(), named.scheme()) != ("https", "http") || named.host() != base.host() {
            return None;
        }
        let mut url = bare(base);
        url.set_path(named.path());
        return Some(url);
    }
    let mut url = bare(base);
    // A path that begins with two slashes is meant as a path, not as a host.
    if href.starts_with('/') {
        url.set_path(&sendable(href, is_raw));
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        url.set_path(&format!("{folder}/{}", sendable(href, is_raw)));
    }
    Some(url)
}

/// `base` without query and fragment.
fn bare(base: &Url) -> Url {
    let mut url = base.clone();
    url.set_query(None);
    url.set_fragment(None);
    url
}

/// What the path `given` lacks of the path `asked` at its beginning, where it is the same otherwise.
pub fn lacks_prefix(asked: &str, given: &str) -> Option<String> {
    let (asked, given) = (key(asked), key(given));
    let prefix = asked.strip_suffix(&given)?;
    let is_prefix = !prefix.is_empty() && (given.is_empty() || given.starts_with('/'));
    is_prefix.then(|| prefix.to_owned())
}

/// The folder that `href` is in.
pub fn folder(href: &str) -> &str {
    path(href).trim_end_matches('/').rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Whether `to` is the path of `url` itself, or the same one below another: what moved with all that is on the server,
/// and is not something else.
pub fn is_same_below(url: &Url, to: &Url) -> bool {
    let (path, to) = (key(url.path()), key(to.path()));
    !path.is_empty() && to.ends_with(&path)
}

/// Whether `outer` is the path `inner` or a folder above it.
pub fn holds(outer: &str, inner: &str) -> bool {
    key(inner).strip_prefix(&key(outer)).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The path of `href`, without scheme and host.
fn path(href: &str) -> &str {
    let href = href.trim();
    if !has_scheme(href) {
        return href;
    }
    let rest = href.split_once("://").map_or(href, |(_, rest)| rest);
    rest.find('/').map_or("/", |start| rest.get(start..).unwrap_or("/"))
}

fn has_scheme(href: &str) -> bool {
    href.split_once("://").is_some_and(|(scheme, _)| scheme.bytes().all(|octet| octet.is_ascii_alphanumeric()))
}

/// Whether `path` holds a space or the like: it was not encoded at all.
fn is_raw(path: &str) -> bool {
    path.trim().bytes().any(|octet| !octet.is_ascii_graphic() || b"\"#<>?".contains(&octet))
}

/// `path` with nothing in it that may not be in a URL. In one that was not encoded at all the percent signs are encoded
/// too; in any other only a percent sign without two digits is.
fn sendable(path: &str, raw: bool) -> String {
    let mut sendable = String::with_capacity(path.len());
    for (at, octet) in path.bytes().enumerate() {
        if is_unsendable(octet) || (octet == b'%' && (raw || !is_escape(path.as_bytes(), at))) {
            sendable.push_str(&format!("%{octet:02X}"));
        } else {
            sendable.push(char::from(octet));
        }
    }
    sendable
}

fn is_unsendable(octet: u8) -> bool {
    !octet.is_ascii_graphic() || b"\"#<>?[\\]^`{|}".contains(&octet)
}

/// Whether a `%XX` is at `at`.
fn is_escape(octets: &[u8], at: usize) -> bool {
    octets.get(at..).and_then(percent_escape).is_some()
}

fn decoded(path: &str) -> String {
    String::from_utf8(percent_decoded(path)).unwrap_or_else(|broken| {
        let mut text = String::new();
        for chunk in broken.as_bytes().utf8_chunks() {
            text.push_str(chunk.valid());
            for octet in chunk.invalid() {
                text.push_str(&format!("{}{octet:02X}", char::REPLACEMENT_CHARACTER));
            }
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::Url;

    use super::{holds, is_same_below, key, last_segment, resolve};

    fn url(base: &str, href: &str) -> String {
        resolve(&Url::parse(base).unwrap(), href).map_or("none".to_owned(), |url| url.to_string())
    }

    #[test]
    fn the_spellings_of_one_path_have_one_key() {
        let spellings = [
            "/cal/odd%20n%C3%A4me%26%23%40%2B(1)%25.ics",
            "/cal/odd%20n%c3%a4me%26%23@+%281%29%25.ics",
            "/cal/odd näme&#@+(1)%.ics",
            "/cal/odd%20n%C3%A4me&%23@+(1)%.ics",
            "http://127.0.0.1:1/cal/odd%20n%C3%A4me&%23@+(1)%25.ics",
        ];
        for spelling in spellings {
            assert_eq!(key(spelling), "/cal/odd näme&#@+(1)%.ics", "{spelling}");
        }
        assert_eq!(key("/mary/work/"), key("/mary/work"));
        assert_ne!(key("/cal/a%2520b.ics"), key("/cal/a%20b.ics"));
        assert_eq!(key("https://host"), "");
        assert_eq!(key("/x%ffy"), "/x\u{fffd}FFy");
        assert_ne!(key("/M%FCller.ics"), key("/M%F6ller.ics"), "Latin-1");
    }

    #[test]
    fn what_moved_as_a_whole_and_what_lies_in_what() {
        let moved = |from: &str, to: &str| {
            let url = |path: &str| Url::parse(&format!("https://host{path}")).unwrap();
            is_same_below(&url(from), &url(to))
        };
        assert!(moved("/cal/bob", "/cal/bob/") && moved("/cal/b%40x/", "/dav/cal/b@x/"));
        assert!(!moved("/cal/bob/", "/cal/alice/") && !moved("/bob/", "/") && !moved("/bob/", "/rob/bobby/"));
        assert!(!moved("/", "/alice/") && !moved("/b/", "/a/bb/"));
        assert!(holds("/cal/", "/cal/bob/") && holds("/cal/bob", "/cal/bob/") && holds("/", "/cal/"));
        assert!(!holds("/cal/bo", "/cal/bob/") && !holds("/cal/bob/", "/cal/"));
    }

    #[test]
    fn a_percent_sign_that_was_not_encoded_is_sent_encoded_when_the_other_way_fails() {
        let base = Url::parse("https://host/dav/").unwrap();
        let literal = |href: &str| super::resolve_literally(&base, href).map(|url| url.path().to_owned());
        assert_eq!(literal("/cal/per%cent.ics").as_deref(), Some("/cal/per%25cent.ics"));
        assert_eq!(literal("/cal/a%20b.ics").as_deref(), Some("/cal/a%2520b.ics"));
        assert_eq!(literal("/cal/100%.ics"), None, "it was sent so before");
        assert_eq!((literal("/cal/a.ics"), literal("https://host/cal/a%20b.ics")), (None, None));
        for (href, doubtful) in
            [("/per%cent.ics", true), ("/100%.ics", true), ("/a%20%C3%A4.ics", false), ("/x.ics", false)]
        {
            assert_eq!(super::is_doubtful(href), doubtful, "{href}");
        }
    }

    #[test]
    fn names_are_the_last_segment() {
        assert_eq!(last_segment("/mary/my%20work/"), "my work");
        assert_eq!(last_segment("https://host/dav/mary%40example.org"), "mary@example.org");
        assert_eq!(last_segment("/"), "");
    }

    #[test]
    fn what_is_sent_is_the_servers_spelling_where_that_can_be_sent() {
        let base = "https://host/dav/";
        assert_eq!(url(base, "/cal/n%c3%a4me%40@+(1).ics"), "https://host/cal/n%c3%a4me%40@+(1).ics");
        assert_eq!(url(base, "/cal/100%.ics"), "https://host/cal/100%25.ics");
        assert_eq!(url(base, "/cal/a%20b%.ics"), "https://host/cal/a%20b%25.ics");
        assert_eq!(url(base, "/cal/odd näme#1%20.ics"), "https://host/cal/odd%20n%C3%A4me%231%2520.ics");
        assert_eq!(url(base, "/cal/a%20[1].ics"), "https://host/cal/a%20%5B1%5D.ics");
        assert_eq!(url(base, "//mary/work/"), "https://host//mary/work/");
        assert_eq!(url(base, "mary/"), "https://host/dav/mary/");
        assert_eq!(url("https://host/dav?x#y", "/z"), "https://host/z");
    }

    #[test]
    fn other_servers_are_not_followed() {
        assert_eq!(url("https://host/dav/", "https://host:443/cal/"), "https://host/cal/");
        for foreign in ["https://other/cal/", "http://other/cal/", "https://host:8443/cal/", "ftp://host/"] {
            assert_eq!(url("https://host/dav/", foreign), "none", "{foreign}");
        }
        assert_eq!(url("http://host/dav/", "https://host/cal/"), "none");
        assert_eq!(url("http://host/dav/", "http://host:8080/cal/"), "none");
    }

    #[test]
    fn an_own_address_without_encryption_is_the_encrypted_one() {
        for own in ["http://host/cal/a%20b/", "http://host:8443/cal/a%20b/", "HTTP://HOST:8080/cal/a%20b/"] {
            assert_eq!(url("https://host:8443/dav/?x#y", own), "https://host:8443/cal/a%20b/", "{own}");
        }
        assert_eq!(url("https://host/dav/", "http://host"), "https://host/");
        assert_eq!(url("https://host/dav/", "http://host@evil.example/"), "none");
    }

    #[test]
    fn what_a_path_lacks_of_another() {
        let lacks = |asked: &str, given: &str| super::lacks_prefix(asked, given);
        assert_eq!(lacks("/dav/cal/a%20b/", "http://host/cal/a b").as_deref(), Some("/dav"));
        assert_eq!(lacks("/dav/", "/").as_deref(), Some("/dav"));
        for (asked, given) in
            [("/dav/", "/dav"), ("/", "/"), ("/dav/cal/", "/al/"), ("/dav/cal/", "cal/"), ("/", "/cal")]
        {
            assert_eq!(lacks(asked, given), None, "{asked} {given}");
        }
        assert_eq!(
            (super::folder("https://host/cal/work/"), super::folder("/cal"), super::folder("/")),
            ("/cal", "", "")
        );
    }

    proptest! {
        #[test]
        fn what_is_sent_means_what_was_listed(name in "[^/]{1,12}") {
            let base = Url::parse("https://host/").unwrap();
            prop_assume!(!matches!(name.trim(), "." | ".." | "" ) && name.trim() == name && !name.contains("%"));
            prop_assert_eq!(key(resolve(&base, &format!("/cal/{name}")).unwrap().path()), format!("/cal/{name}"));
        }
    }
}

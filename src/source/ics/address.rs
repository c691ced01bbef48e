//! The address of a feed: how it is shown, and how a hash of it is made that says whether it is still the same one.

use reqwest::Url;
use sha2::{Digest as _, Sha256};

use crate::text::hex;

/// What may be shown of `url`: scheme and host. What is in the path and behind it gives the calendar away.
pub(super) fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}/…", url.scheme())
}

/// The same of an address that may not be a URL at all.
pub(super) fn shown_text(url: &str) -> String {
    Url::parse(url).map_or_else(|_| "another address".to_owned(), |url| shown(&url))
}

/// What tells `url` from another address, without giving it away.
pub(super) fn fingerprint(url: &Url) -> String {
    hex(Sha256::digest(format!("reveille feed {url}")).iter().take(8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_host_is_shown() {
        let shown = |url: &str| shown_text(url);
        assert_eq!(
            shown("https://calendar.example.com/ical/private-0123/basic.ics?x=1#y"),
            "https://calendar.example.com/…"
        );
        assert_eq!(shown("http://user@127.0.0.1:8080/secret"), "http://127.0.0.1:8080/…");
        assert_eq!(shown("/secret"), "another address");
        let of = |url: &str| fingerprint(&Url::parse(url).unwrap());
        assert!(of("https://a/x") != of("https://a/y") && of("https://a/x") == of("https://A:443/x"));
    }
}

//! Addresses of servers, ledgers and people.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr as _;

use reqwest::Url;
use toml::de::DeValue;

use super::value;
use crate::text::strip_mailto;

/// Reads the URL of a CalDAV server: https, or http to this machine or where `allow_plaintext` says so.
pub fn caldav(value: &DeValue<'_>, allow_plaintext: bool) -> Result<String, String> {
    let written = value::string(value)?;
    let url = url(&written, "https://HOST/")?;
    if !is_web(&url, allow_plaintext)? {
        return Err(format!("begins with {}:// and must begin with https://", url.scheme()));
    }
    if url.username().is_empty() { Ok(url.to_string()) } else { Err("holds a user: write it as username".to_owned()) }
}

/// Reads the URL of a token endpoint (RFC 6749, 3.2): https, or http to this machine.
pub fn token_endpoint(value: &DeValue<'_>) -> Result<String, String> {
    let url = url(&value::string(value)?, "https://HOST/PATH")?;
    // Secrets go there.
    if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(&url)) {
        return Err("must begin with https://, as secrets are sent there".to_owned());
    }
    if url.fragment().is_some() {
        return Err("holds a fragment, which a token endpoint must not have".to_owned());
    }
    if url.username().is_empty() { Ok(url.to_string()) } else { Err("holds a user: write it as client_id".to_owned()) }
}

/// Whether `url` is https, or http where that is allowed; false with any other scheme.
///
/// # Errors
/// Where it is http and that is not allowed: the rest of a sentence.
fn is_web(url: &Url, allow_plaintext: bool) -> Result<bool, String> {
    match url.scheme() {
        "http" if !allow_plaintext && !is_loopback(url) => Err("is without encryption, which is allowed to this \
            machine only: use https://, or say allow_plaintext = true"
            .to_owned()),
        scheme => Ok(matches!(scheme, "https" | "http")),
    }
}

/// The address of a feed: https, or http to this machine or where `allow_plaintext` says so. `webcal` and `webcals`
/// stand for https.
///
/// # Errors
/// The rest of a sentence, which does not repeat the address.
pub fn feed(written: &str, allow_plaintext: bool) -> Result<Url, String> {
    let written = written.trim();
    let is_webcal = |scheme: &str| scheme.eq_ignore_ascii_case("webcal") || scheme.eq_ignore_ascii_case("webcals");
    let url = match written.split_once("://") {
        Some((scheme, rest)) if is_webcal(scheme) => url(&format!("https://{rest}"), "https://HOST/PATH"),
        _ => url(written, "https://HOST/PATH"),
    }?;
    if !is_web(&url, allow_plaintext)? {
        return Err("must begin with https:// or webcal://".to_owned());
    }
    if url.username().is_empty() { Ok(url) } else { Err("holds a user: write it as username".to_owned()) }
}

/// A URL with a host and without a password, like `usual`.
pub fn url(written: &str, usual: &str) -> Result<Url, String> {
    if !written.contains("://") {
        return Err(format!("does not say how to get there: write it as {usual}"));
    }
    // What is wrong in a URL is not repeated: a password may be in it.
    let url = Url::parse(written).map_err(|why| format!("is not a URL: {why}"))?;
    if url.password().is_some() {
        return Err(
            "holds a password: put it into a file of its own, mode 0600, and name that with password_file".to_owned()
        );
    }
    match url.host_str() {
        Some(host) if !host.is_empty() => Ok(url),
        _ => Err("names no host".to_owned()),
    }
}

/// Whether a URL names this machine itself.
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost") || IpAddr::from_str(host).is_ok_and(|address| address.is_loopback())
}

/// A list of mail domains, `["example.org"]`, in ASCII and lower case.
pub fn domains(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let domain = |written: &String| {
        let ascii = idna::domain_to_ascii(written.trim_start_matches('@').trim_end_matches('.'));
        let ascii = ascii.ok().filter(|ascii| lettre::Address::new("a", ascii).is_ok());
        ascii.ok_or_else(|| format!("holds '{written}', which is not a domain such as example.org"))
    };
    value::strings(value)?.iter().map(domain).collect()
}

/// `text` as a segment of a URL's path.
pub fn path_segment(text: &str) -> String {
    let mut url = Url::parse("http://localhost").ok();
    if let Some(mut path) = url.as_mut().and_then(|url| url.path_segments_mut().ok()) {
        path.push(text);
    }
    url.map(|url| url.path().trim_start_matches('/').to_owned()).unwrap_or_default()
}

/// The domains in which the server at `url` may name addresses: that of its own host and the one above it. On this
/// machine the host is called `server_name`.
pub fn usual_domains(url: &str, server_name: &str) -> Vec<String> {
    let Ok(url) = Url::parse(url) else { return Vec::new() };
    let host = match url.domain() {
        _ if is_loopback(&url) => server_name,
        Some(domain) => domain,
        None => return Vec::new(),
    };
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    // Mail addresses are not in top-level domains.
    let above = host.split_once('.').map(|(_, above)| above.to_owned()).filter(|above| above.contains('.'));
    std::iter::once(host).chain(above).collect()
}

/// The file of a ledger: `sqlite:///var/lib/reveille/ledger.db`, `sqlite:ledger.db` or a path.
pub fn ledger(written: &str) -> Result<PathBuf, String> {
    let (scheme, rest) = match written.split_once(':') {
        Some((scheme, rest)) if !scheme.contains(['/', '.']) => (scheme, rest),
        _ => ("sqlite", written),
    };
    if !scheme.eq_ignore_ascii_case("sqlite") {
        return Err(format!("begins with {scheme}: and must be sqlite:///PATH or a path"));
    }
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.contains('?') {
        return Err("has options after a '?', of which there are none".to_owned());
    }
    if path.is_empty() || path.ends_with('/') || path.contains(":memory:") {
        return Err(format!("is '{written}' and must name a file: sqlite:///PATH or a path"));
    }
    Ok(PathBuf::from(path))
}

/// A bare address, `mary@example.org`; a `mailto:` before it is taken away.
pub fn email(written: &str) -> Result<String, String> {
    match lettre::Address::from_str(strip_mailto(written).unwrap_or(written)) {
        Ok(address) => Ok(address.to_string()),
        Err(_) => Err(format!("holds '{written}', which is not an address such as mary@example.org")),
    }
}

/// A list of bare addresses.
pub fn emails(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    value::strings(value)?.iter().map(|written| email(written)).collect()
}

#[cfg(test)]
mod tests {
    use super::{caldav, ledger};
    use toml::de::DeValue;

    fn text(written: &str) -> DeValue<'_> {
        DeValue::String(written.into())
    }

    #[test]
    fn caldav_servers() {
        assert_eq!(caldav(&text("https://dav.example.org"), false).unwrap(), "https://dav.example.org/");
        assert!(caldav(&text("http://127.0.0.1:5232/"), false).is_ok());
        assert!(caldav(&text("http://dav.example.org/"), false).is_err());
        assert!(caldav(&text("http://dav.example.org/"), true).is_ok());
        assert!(caldav(&text("https://mary@dav.example.org/"), false).is_err());
        assert!(caldav(&text("ftp://dav.example.org/"), true).is_err());
    }

    #[test]
    fn feeds() {
        let of = |written: &str| super::feed(written, false).map(|url| url.to_string());
        assert_eq!(of("webcal://host/a.ics?k=1").as_deref(), Ok("https://host/a.ics?k=1"));
        assert_eq!(of("WEBCALS://host/a").as_deref(), Ok("https://host/a"));
        assert_eq!(of(" https://host/a\n").as_deref(), Ok("https://host/a"));
        assert!(of("http://[::1]:80/a").is_ok() && super::feed("http://host/a", true).is_ok());
        for wrong in
            ["http://host/token", "ftp://host/token", "host/token", "https://token@host/", "https://u:token@h/"]
        {
            let told = of(wrong).unwrap_err();
            assert!(!told.contains("token"), "{told}");
        }
    }

    #[test]
    fn domains_of_a_server() {
        let of = |url: &str| super::usual_domains(url, "Calendar.example.org").join(" ");
        assert_eq!(of("https://dav.example.com:8443/x"), "dav.example.com example.com");
        assert_eq!(of("https://example.com/"), "example.com");
        assert_eq!(of("http://127.0.0.1:5232/"), "calendar.example.org example.org");
        assert_eq!(of("http://localhost/"), "calendar.example.org example.org");
        assert_eq!(of("https://192.0.2.1/"), "");
        let listed = |written: &str| super::domains(&text(written)).map(|domains| domains.join(" "));
        assert_eq!(listed("@Bücher.example"), Ok("xn--bcher-kva.example".to_owned()));
        for wrong in ["mary@example.org", "exa mple.org", "*.example.org"] {
            assert!(listed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ledgers() {
        for (written, path) in [
            ("sqlite:///var/l.db", "/var/l.db"),
            ("sqlite://l.db", "l.db"),
            ("sqlite:l.db", "l.db"),
            ("sqlite:/l.db", "/l.db"),
            ("./a:b/l.db", "./a:b/l.db"),
            ("/l.db", "/l.db"),
        ] {
            assert_eq!(ledger(written).unwrap().to_str(), Some(path), "{written}");
        }
        for wrong in ["postgres://host/db", "sqlite::memory:", "sqlite://", "", "sqlite:l.db?mode=ro", "folder/"] {
            assert!(ledger(wrong).is_err(), "{wrong}");
        }
    }
}

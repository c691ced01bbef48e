//! Addresses of servers, ledgers and people.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr as _;

use reqwest::Url;
use toml::de::DeValue;

use super::settings::SmtpSecurity;
use super::value;

/// Where a mail server is, and who logs in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SmtpUrl {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) security: SmtpSecurity,
    pub(super) username: Option<String>,
}

/// Reads `smtps://user@host:465`, `smtp://host:587` or `smtp+plain://127.0.0.1:25`.
pub(super) fn smtp(value: &DeValue<'_>) -> Result<SmtpUrl, String> {
    let written = value::string(value)?;
    let url = url(&written, "smtps://HOST, or smtp://HOST for STARTTLS")?;
    let (security, port) = match url.scheme() {
        "smtps" => (SmtpSecurity::Implicit, 465),
        "smtp" => (SmtpSecurity::StartTls, 587),
        "smtp+plain" => (SmtpSecurity::Plain, 25),
        other => return Err(format!("begins with {other}:// and must begin with smtps://, smtp:// or smtp+plain://")),
    };
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err("must end after the host and the port".to_owned());
    }
    if security == SmtpSecurity::Plain && !is_loopback(&url) {
        return Err("is without encryption, which is allowed to this machine only: use smtps:// or smtp://".to_owned());
    }
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let username = Some(percent_decoded(url.username())?).filter(|name| !name.is_empty());
    Ok(SmtpUrl { host, port: url.port().unwrap_or(port), security, username })
}

/// Reads the URL of a CalDAV server: https, or http to this machine or where `allow_plaintext` says so.
pub(super) fn caldav(value: &DeValue<'_>, allow_plaintext: bool) -> Result<String, String> {
    let written = value::string(value)?;
    let url = url(&written, "https://HOST/")?;
    match url.scheme() {
        "https" => {}
        "http" if allow_plaintext || is_loopback(&url) => {}
        "http" => {
            return Err("is without encryption, which is allowed to this machine only: use https://, \
                        or say allow_plaintext = true"
                .to_owned());
        }
        other => return Err(format!("begins with {other}:// and must begin with https://")),
    }
    if url.username().is_empty() { Ok(url.to_string()) } else { Err("holds a user: write it as username".to_owned()) }
}

/// A URL with a host and without a password, like `usual`.
fn url(written: &str, usual: &str) -> Result<Url, String> {
    if !written.contains("://") {
        return Err(format!("does not say how to get there: write it as {usual}"));
    }
    // What is wrong in a URL is not repeated: a password may be in it.
    let url = Url::parse(written).map_err(|why| format!("is no URL: {why}"))?;
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
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost") || IpAddr::from_str(host).is_ok_and(|address| address.is_loopback())
}

/// `%40` → `@`.
fn percent_decoded(text: &str) -> Result<String, String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escape = tail.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(octet) = escape.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            octets.push(octet);
            rest = tail.get(2..).unwrap_or_default();
        } else {
            octets.push(*first);
            rest = tail;
        }
    }
    let decoded = String::from_utf8(octets).map_err(|_| "holds a user that is not UTF-8".to_owned())?;
    if decoded.contains(char::is_control) {
        Err("holds a user with a control character".to_owned())
    } else {
        Ok(decoded)
    }
}

/// A list of mail domains, `["example.org"]`, in ASCII and lower case.
pub(super) fn domains(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let domain = |written: &String| {
        let ascii = idna::domain_to_ascii(written.trim_start_matches('@').trim_end_matches('.'));
        let ascii = ascii.ok().filter(|ascii| lettre::Address::new("a", ascii).is_ok());
        ascii.ok_or_else(|| format!("holds '{written}', which is no domain such as example.org"))
    };
    value::strings(value)?.iter().map(domain).collect()
}

/// The domains in which the server at `url` may name addresses: that of its own host and the one above it. On this
/// machine the host is called `server_name`.
pub(super) fn usual_domains(url: &str, server_name: &str) -> Vec<String> {
    let Ok(url) = Url::parse(url) else { return Vec::new() };
    let host = match url.domain() {
        _ if is_loopback(&url) => server_name,
        Some(domain) => domain,
        None => return Vec::new(),
    };
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    // Nobody has an address in a top-level domain.
    let above = host.split_once('.').map(|(_, above)| above.to_owned()).filter(|above| above.contains('.'));
    std::iter::once(host).chain(above).collect()
}

/// The file of a ledger: `sqlite:///var/lib/reveille/ledger.db`, `sqlite:ledger.db` or a path.
pub(super) fn ledger(written: &str) -> Result<PathBuf, String> {
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
pub(super) fn email(written: &str) -> Result<String, String> {
    let bare = match written.get(..7) {
        Some(scheme) if scheme.eq_ignore_ascii_case("mailto:") => written.get(7..).unwrap_or_default(),
        _ => written,
    };
    match lettre::Address::from_str(bare) {
        Ok(address) => Ok(address.to_string()),
        Err(_) => Err(format!("holds '{written}', which is no address such as mary@example.org")),
    }
}

/// A list of bare addresses.
pub(super) fn emails(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    value::strings(value)?.iter().map(|written| email(written)).collect()
}

/// A mailbox, `Calendar <calendar@example.org>`.
pub(super) fn mailbox(value: &DeValue<'_>) -> Result<String, String> {
    let written = value::string(value)?;
    match lettre::message::Mailbox::from_str(&written) {
        Ok(mailbox) => Ok(mailbox.to_string()),
        Err(_) => Err(format!("is '{written}', which is no mailbox such as Calendar <calendar@example.org>")),
    }
}

#[cfg(test)]
mod tests {
    use super::{caldav, ledger, smtp};
    use crate::config::SmtpSecurity;
    use toml::de::DeValue;

    fn text(written: &str) -> DeValue<'_> {
        DeValue::String(written.into())
    }

    #[test]
    fn mail_servers() {
        let server = smtp(&text("smtps://mary%40example.org@mail.example.org")).unwrap();
        assert_eq!(
            (server.host.as_str(), server.port, server.security),
            ("mail.example.org", 465, SmtpSecurity::Implicit)
        );
        assert_eq!(server.username.as_deref(), Some("mary@example.org"));
        let server = smtp(&text("smtp://mail.example.org:2587")).unwrap();
        assert_eq!((server.port, server.security, server.username), (2587, SmtpSecurity::StartTls, None));
        for here in ["smtp+plain://localhost", "smtp+plain://127.0.0.7:2525", "smtp+plain://[::1]:25"] {
            assert_eq!(smtp(&text(here)).unwrap().security, SmtpSecurity::Plain);
        }
        assert_eq!(smtp(&text("smtp+plain://[::1]:25")).unwrap().host, "::1");
        for wrong in [
            "smtp+plain://mail.example.org",
            "smtp+plain://localhost.example.org",
            "imap://x",
            "mail.example.org",
            "smtps://",
            "smtps://a:b@c",
            "smtps://host/path",
            "smtps://host:99999",
        ] {
            assert!(smtp(&text(wrong)).is_err(), "{wrong}");
        }
        assert!(!smtp(&text("smtps://a:hunter2@c")).unwrap_err().contains("hunter2"));
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

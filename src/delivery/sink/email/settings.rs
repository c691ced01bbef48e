//! The keys of `kind = "email"`.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeValue;

use super::content::trial;
use super::login::{self, LoginSettings};
use super::templates::MailTemplates;
use crate::delivery::sink::Recipients;
use crate::tables::{Section, address, value};
use crate::text::percent_decoded;

const MAX_CONNECTIONS: usize = 4;
/// The times that RFC 5321 gives a server (4.5.3.2): five minutes for a command, ten for the end of a mail. One that
/// filters what it gets takes a while, and a mail that is given up too early is sent twice.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(5 * 60);
const DATA_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// Mails to one user within an hour: a meeting of many, where all of its attendees are written to, and more than
/// anybody reads.
const MAX_MAILS: usize = 500;

/// `kind = "email"`
#[derive(Clone, Debug)]
pub struct EmailSettings {
    /// Host name or address of the mail server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub security: SmtpSecurity,
    /// Whether a connection without encryption may lead to another machine.
    pub allow_plaintext: bool,
    /// Who logs in; none: nobody.
    pub login: Option<LoginSettings>,
    /// How we introduce ourselves to the server: a host's full name, or an address in brackets; none: the server's name
    /// where that is a full one, else our address.
    pub helo: Option<String>,
    /// The From mailbox, checked.
    pub from: String,
    /// Whom it writes to.
    pub recipients: Recipients,
    /// How many connections to the server may be open at once.
    pub max_connections: usize,
    /// How many mails a user may get within an hour; what comes above that waits.
    pub max_mails_per_hour: usize,
    /// How long the server may take to answer to a command (RFC 5321, 4.5.3.2).
    pub command_timeout: Duration,
    /// How long it may take to read a mail and to confirm it (RFC 5321, 4.5.3.2.6).
    pub data_timeout: Duration,
    /// PEM file of a further certificate authority to trust.
    pub ca_file: Option<PathBuf>,
    /// The value of List-Unsubscribe (RFC 2369, 3.2): addresses in angle brackets.
    pub list_unsubscribe: Option<String>,
    /// What mails are written with.
    pub templates: Arc<MailTemplates>,
}

/// How a connection to a mail server is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// `smtps://`: TLS from the first octet.
    Implicit,
    /// `smtp://`: STARTTLS, required.
    StartTls,
    /// `smtp+plain://`: none; to this machine, or to where `allow_plaintext` allows it.
    Plain,
}

/// Reads the keys; none where something is wrong, which is then reported.
pub fn read(section: &Section<'_>) -> Option<EmailSettings> {
    let allow_plaintext = section.read("allow_plaintext", value::boolean).unwrap_or(false);
    let server = section.required("url", |value| smtp(value, allow_plaintext));
    let from = section.required("from", mailbox);
    let helo = section.read("helo", helo);
    let recipients = section.read("recipients", recipients).unwrap_or(Recipients::Own);
    let connections = section.read("max_connections", value::number(1, 100));
    let mails = section.read("max_mails_per_hour", value::number(1, 1_000_000));
    let command_timeout = section.read("command_timeout", value::duration).unwrap_or(COMMAND_TIMEOUT);
    let data_timeout = section.read("data_timeout", value::duration).unwrap_or(DATA_TIMEOUT);
    let ca_file = section.read("ca_file", value::string).map(|written| section.path(&written));
    let list_unsubscribe = section.read("list_unsubscribe", unsubscribe);
    let templates =
        section.read("templates", |value| templates(section, value)).or_else(|| MailTemplates::built_in().ok());
    let server = server?;
    if server.security == SmtpSecurity::Plain && ca_file.is_some() {
        section.report("ca_file", "says whom to trust, but smtp+plain:// is without encryption");
    }
    if allow_plaintext && server.security != SmtpSecurity::Plain {
        section.report("allow_plaintext", "is for smtp+plain://, and this url is encrypted");
    }
    let login = login::read(section, server.username);
    Some(EmailSettings {
        host: server.host,
        port: server.port,
        security: server.security,
        allow_plaintext,
        login,
        helo,
        from: from?,
        recipients,
        max_connections: connections.and_then(|count| usize::try_from(count).ok()).unwrap_or(MAX_CONNECTIONS),
        max_mails_per_hour: mails.and_then(|count| usize::try_from(count).ok()).unwrap_or(MAX_MAILS),
        command_timeout,
        data_timeout,
        ca_file,
        list_unsubscribe,
        templates: Arc::new(templates?),
    })
}

/// Where one can ask for no more mails: `https:` or `mailto:` addresses, as List-Unsubscribe has them.
fn unsubscribe(value: &DeValue<'_>) -> Result<String, String> {
    let addresses = value::strings(value)?;
    let wrong = |address: &&String| {
        let has_scheme = address.starts_with("https://") || address.starts_with("mailto:");
        !has_scheme || !address.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '<' | '>' | ','))
    };
    match addresses.iter().find(wrong) {
        Some(address) => Err(format!("has '{address}', which is not an address that begins with https:// or mailto:")),
        None => Ok(addresses.iter().map(|address| format!("<{address}>")).collect::<Vec<_>>().join(", ")),
    }
}

/// The templates in a folder, compiled, and tried with a mail.
fn templates(section: &Section<'_>, value: &DeValue<'_>) -> Result<MailTemplates, String> {
    let folder = section.path(&value::string(value)?);
    let templates = MailTemplates::of_folder(&folder).map_err(|error| format!("cannot be used: {error}"))?;
    trial(&templates).map_err(|error| format!("cannot be used: {error}"))?;
    Ok(templates)
}

/// Where a mail server is, and who logs in.
#[derive(Debug, PartialEq, Eq)]
struct SmtpUrl {
    host: String,
    port: u16,
    security: SmtpSecurity,
    username: Option<String>,
}

/// Reads `smtps://user@host:465`, `smtp://host:587` or `smtp+plain://127.0.0.1:25`.
fn smtp(value: &DeValue<'_>, allow_plaintext: bool) -> Result<SmtpUrl, String> {
    let written = value::string(value)?;
    let url = address::url(&written, "smtps://HOST, or smtp://HOST for STARTTLS")?;
    let (security, port) = match url.scheme() {
        "smtps" => (SmtpSecurity::Implicit, 465),
        "smtp" => (SmtpSecurity::StartTls, 587),
        "smtp+plain" => (SmtpSecurity::Plain, 25),
        other => return Err(format!("begins with {other}:// and must begin with smtps://, smtp:// or smtp+plain://")),
    };
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err("must end after the host and the port".to_owned());
    }
    let is_here = address::is_loopback(&url);
    if security == SmtpSecurity::Plain && !is_here && !allow_plaintext {
        return Err(
            "is without encryption, which is allowed to this machine only, unless allow_plaintext = true: use \
                    smtps:// or smtp://"
                .to_owned(),
        );
    }
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let username = Some(username(url.username())?).filter(|name| !name.is_empty());
    if security == SmtpSecurity::Plain && !is_here && username.is_some() {
        return Err("names a user, whose password would be sent without encryption: use smtps:// or smtp://".to_owned());
    }
    Ok(SmtpUrl { host, port: url.port().unwrap_or(port), security, username })
}

/// The username as a URL writes it: `mary%40example.org` is `mary@example.org`.
fn username(written: &str) -> Result<String, String> {
    let decoded =
        String::from_utf8(percent_decoded(written)).map_err(|_| "holds a user that is not UTF-8".to_owned())?;
    if decoded.contains(char::is_control) {
        Err("holds a user with a control character".to_owned())
    } else {
        Ok(decoded)
    }
}

/// A mailbox, `Calendar <calendar@example.org>`.
fn mailbox(value: &DeValue<'_>) -> Result<String, String> {
    let written = value::string(value)?;
    match lettre::message::Mailbox::from_str(&written) {
        Ok(mailbox) => Ok(mailbox.to_string()),
        Err(_) => Err(format!("is '{written}', which is no mailbox such as Calendar <calendar@example.org>")),
    }
}

/// How a host introduces itself (RFC 5321, 4.1.1.1): its full name, or its address in brackets.
fn helo(value: &DeValue<'_>) -> Result<String, String> {
    let written = value::string(value)?;
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') && !label.starts_with('-')
    };
    let is_name = written.contains('.') && written.split('.').all(is_label);
    let address = written.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_address = address.is_some_and(|address| match address.strip_prefix("IPv6:") {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => address.parse::<Ipv4Addr>().is_ok(),
    });
    if is_name || is_address {
        return Ok(written);
    }
    Err(format!(
        "is '{written}' and must be a full host name (mail.example.org) or an address in brackets ([192.0.2.1])"
    ))
}

fn recipients(value: &DeValue<'_>) -> Result<Recipients, String> {
    if let DeValue::String(word) = value {
        let words = [("own", Recipients::Own), ("attendees", Recipients::Attendees)];
        if let Some((_, recipients)) = words.into_iter().find(|(known, _)| *known == word.as_ref()) {
            return Ok(recipients);
        }
        if !word.contains('@') {
            return Err(format!("is '{word}' and must be own, attendees or a list of addresses"));
        }
    }
    address::emails(value).map(Recipients::List)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(written: &str) -> DeValue<'_> {
        DeValue::String(written.into())
    }

    #[test]
    fn mail_servers() {
        let server = smtp(&text("smtps://mary%40example.org@mail.example.org"), false).unwrap();
        assert_eq!(
            (server.host.as_str(), server.port, server.security),
            ("mail.example.org", 465, SmtpSecurity::Implicit)
        );
        assert_eq!(server.username.as_deref(), Some("mary@example.org"));
        let server = smtp(&text("smtp://mail.example.org:2587"), false).unwrap();
        assert_eq!((server.port, server.security, server.username), (2587, SmtpSecurity::StartTls, None));
        for here in ["smtp+plain://localhost", "smtp+plain://127.0.0.7:2525", "smtp+plain://[::1]:25"] {
            assert_eq!(smtp(&text(here), false).unwrap().security, SmtpSecurity::Plain);
        }
        assert_eq!(smtp(&text("smtp+plain://[::1]:25"), false).unwrap().host, "::1");
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
            assert!(smtp(&text(wrong), false).is_err(), "{wrong}");
        }
        assert!(!smtp(&text("smtps://a:hunter2@c"), false).unwrap_err().contains("hunter2"));
    }
}

//! `[[sink]]`: where notifications go.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use toml::de::DeValue;

use super::load::ReadContext;
use super::secret_ref::SecretRef;
use super::section::Section;
use super::settings::{EmailSettings, JsonFormat, Recipients, SinkConfig, SinkKind, SmtpSecurity};
use super::{address, secret, sources, value};

const TIMEOUT: Duration = Duration::from_secs(30);
const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// What Cyrus' own configuration would name; its notifyd writes such notifications to the system log.
const NOTIFY_METHOD: &str = "log";
const MAX_CONNECTIONS: usize = 4;
/// The times that RFC 5321 gives a server (4.5.3.2): five minutes for a command, ten for the end of a mail. One that
/// filters what it gets takes a while, and a mail that is given up too early is sent twice.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(5 * 60);
const DATA_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// Mails to one user within an hour: a meeting of many, where all of its attendees are written to, and more than
/// anybody reads.
const MAX_MAILS: usize = 500;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Stdout,
    File,
    CyrusNotify,
    Email,
}

const KINDS: [(&str, Kind); 4] =
    [("stdout", Kind::Stdout), ("file", Kind::File), ("cyrus-notify", Kind::CyrusNotify), ("email", Kind::Email)];
/// Kinds that do not exist yet.
const PLANNED: [&str; 2] = ["webhook", "command"];

const ACTIONS: [(&str, &str); 3] = [("display", "display"), ("email", "email"), ("audio", "audio")];

/// Reads all sinks.
pub(super) fn read(sections: Vec<Section<'_>>, reader: &ReadContext<'_>) -> Vec<SinkConfig> {
    let mut sinks: Vec<SinkConfig> = Vec::new();
    for mut section in sections {
        let kind = section.required("kind", kind);
        let taken = |name: &str| sinks.iter().any(|sink| sink.name == name);
        let word = KINDS.iter().find(|(_, known)| Some(*known) == kind).map(|(word, _)| *word);
        let name = sources::name(&mut section, word, &taken);
        if let Some(kind) = kind {
            sinks.extend(read_one(section, name, kind, reader));
        }
    }
    sinks
}

fn kind(value: &DeValue<'_>) -> Result<Kind, String> {
    let written = value::string(value)?;
    match PLANNED.iter().find(|planned| planned.eq_ignore_ascii_case(&written)) {
        Some(planned) => {
            Err(format!("is '{planned}', which is not built yet: use stdout, file, cyrus-notify or email"))
        }
        None => value::choose(&written, &KINDS),
    }
}

fn read_one(section: Section<'_>, name: String, kind: Kind, reader: &ReadContext<'_>) -> Option<SinkConfig> {
    let actions = section.read("actions", actions).unwrap_or_else(|| standard_actions(kind));
    let users = section.read("users", value::strings).unwrap_or_default();
    let calendars = section.read("calendars", value::strings).unwrap_or_default();
    let timeout = section.read("timeout", value::duration).unwrap_or(TIMEOUT);
    let give_up_after = section.read("give_up_after", value::duration).unwrap_or(GIVE_UP_AFTER);
    let kind = match kind {
        Kind::Stdout => Some(SinkKind::Stdout { format: json_format(&section) }),
        Kind::File => file(&section, reader),
        Kind::CyrusNotify => cyrus_notify(&section, reader),
        Kind::Email => email(&section, reader).map(SinkKind::Email),
    };
    section.finish();
    Some(SinkConfig { name, actions, users, calendars, timeout, give_up_after, kind: kind? })
}

/// Standard output, where nothing else was asked for.
pub(super) fn stdout() -> SinkConfig {
    SinkConfig {
        name: "stdout".to_owned(),
        actions: Vec::new(),
        users: Vec::new(),
        calendars: Vec::new(),
        timeout: TIMEOUT,
        give_up_after: GIVE_UP_AFTER,
        kind: SinkKind::Stdout { format: JsonFormat::default() },
    }
}

fn standard_actions(kind: Kind) -> Vec<String> {
    match kind {
        Kind::Email => vec!["email".to_owned()],
        _ => Vec::new(),
    }
}

fn actions(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let one = |written: &String| value::choose(written, &ACTIONS).map(str::to_owned);
    value::strings(value)?.iter().map(one).collect()
}

fn json_format(section: &Section<'_>) -> JsonFormat {
    JsonFormat {
        documented: section.read("format", value::one_of(&[("full", false), ("documented", true)])).unwrap_or(false),
        local_times: section.read("times", value::one_of(&[("utc", false), ("local", true)])).unwrap_or(false),
    }
}

fn file(section: &Section<'_>, reader: &ReadContext<'_>) -> Option<SinkKind> {
    let format = json_format(section);
    let path = reader.path(&section.required("path", value::string)?);
    Some(SinkKind::File { path, format })
}

fn cyrus_notify(section: &Section<'_>, reader: &ReadContext<'_>) -> Option<SinkKind> {
    let format = json_format(section);
    let method = section.read("method", value::string).unwrap_or_else(|| NOTIFY_METHOD.to_owned());
    let path = reader.path(&section.required("path", value::string)?);
    Some(SinkKind::CyrusNotify { path, method, format })
}

fn email(section: &Section<'_>, reader: &ReadContext<'_>) -> Option<EmailSettings> {
    let server = section.required("url", address::smtp);
    let password = secret::read(section, &secret::PASSWORD, reader);
    let from = section.required("from", address::mailbox);
    let helo = section.read("helo", helo);
    let recipients = section.read("recipients", recipients).unwrap_or(Recipients::Own);
    let connections = section.read("max_connections", value::number(1, 100));
    let mails = section.read("max_mails_per_hour", value::number(1, 1_000_000));
    let command_timeout = section.read("command_timeout", value::duration).unwrap_or(COMMAND_TIMEOUT);
    let data_timeout = section.read("data_timeout", value::duration).unwrap_or(DATA_TIMEOUT);
    let ca_file = section.read("ca_file", value::string).map(|written| reader.path(&written));
    let server = server?;
    if server.security == SmtpSecurity::Plain && ca_file.is_some() {
        section.report("ca_file", "says whom to trust, but smtp+plain:// is without encryption");
    }
    let login = login(section, server.username, password);
    Some(EmailSettings {
        host: server.host,
        port: server.port,
        security: server.security,
        login,
        helo,
        from: from?,
        recipients,
        max_connections: connections.and_then(|count| usize::try_from(count).ok()).unwrap_or(MAX_CONNECTIONS),
        max_mails_per_hour: mails.and_then(|count| usize::try_from(count).ok()).unwrap_or(MAX_MAILS),
        command_timeout,
        data_timeout,
        ca_file,
    })
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

/// Username and password belong together.
fn login(section: &Section<'_>, username: Option<String>, password: Option<SecretRef>) -> Option<(String, SecretRef)> {
    match (&username, secret::PASSWORD.named(section)) {
        (Some(_), None) => section.report("url", "names a user, but there is no password: add password_file"),
        (None, Some(place)) => section.report(place, "is given, but the url names no user: smtps://USER@HOST"),
        _ => {}
    }
    username.zip(password)
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

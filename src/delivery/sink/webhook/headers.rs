//! Headers of requests that the configuration names: `headers = { NAME = "value" }`. A value that is a secret is in a
//! file, a variable or a credential: `{ NAME = { file = "/path" } }`.

use reqwest::header::{HeaderName, HeaderValue};
use toml::de::DeValue;

use crate::tables::{SecretRef, Section, value};

/// The key of the configuration.
const KEY: &str = "headers";
/// Headers that the sink sets itself, and those that say how a message is framed.
const TAKEN: [&str; 11] = [
    "host",
    "connection",
    "content-length",
    "content-type",
    "transfer-encoding",
    "te",
    "upgrade",
    "user-agent",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
];

/// A header of all requests of a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderSetting {
    /// In lower case.
    pub name: String,
    /// Where the value is.
    pub value: SecretRef,
}

/// Reads the key `headers`; what is wrong is reported. `has_login` says whether the sink sets Authorization.
pub fn read(section: &Section<'_>, has_login: bool) -> Vec<HeaderSetting> {
    let table = |value: &DeValue<'_>| match value {
        DeValue::Table(table) => {
            table.iter().map(|(name, value)| read_one(section, name.get_ref(), value.get_ref(), has_login)).collect()
        }
        _ => Err("must be a table: { NAME = \"value\" }".to_owned()),
    };
    section.read(KEY, table).unwrap_or_default()
}

fn read_one(
    section: &Section<'_>,
    name: &str,
    written: &DeValue<'_>,
    has_login: bool,
) -> Result<HeaderSetting, String> {
    let shown = name.escape_debug();
    let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("holds '{shown}', which is no header"))?;
    let name = header.as_str().to_owned();
    if TAKEN.contains(&name.as_str()) || name.starts_with("ce-") {
        return Err(format!("holds {name}, which Reveille sets itself"));
    }
    if has_login && name == "authorization" {
        return Err("holds authorization, which the login sets".to_owned());
    }
    let within = |why: String| format!("holds {name}, whose value {why}");
    let value = match written {
        DeValue::Table(table) => {
            let mut places = table.iter().map(|(place, written)| (place.get_ref().as_ref(), written.get_ref()));
            let (place, written) = places.next().ok_or_else(|| within("is an empty table".to_owned()))?;
            let text = value::string(written).map_err(within)?;
            match (place, places.next()) {
                ("file", None) => SecretRef::file(KEY, section.path(&text)),
                ("env", None) => SecretRef::variable(KEY, text),
                ("credential", None) if !text.contains('/') && text != ".." => SecretRef::credential(KEY, text),
                _ => {
                    return Err(within(
                        "must be a text, { file = PATH }, { env = NAME } or { credential = NAME }".to_owned(),
                    ));
                }
            }
        }
        written => {
            let text = value::string(written).map_err(within)?;
            sendable(&text).ok_or_else(|| within("is not ASCII".to_owned()))?;
            SecretRef::written(KEY, text)
        }
    };
    Ok(HeaderSetting { name, value })
}

/// `text`, if it can be the value of a header: visible ASCII, blanks and tabs.
fn sendable(text: &str) -> Option<&str> {
    HeaderValue::from_str(text).ok().filter(|_| text.is_ascii()).map(|_| text)
}

impl HeaderSetting {
    /// The value now.
    ///
    /// # Errors
    /// Where it cannot be read or sent: a sentence, without the value.
    pub fn read(&self) -> Result<String, String> {
        let secret = self.value.read().map_err(|error| error.to_string())?;
        let text = secret.expose().trim();
        let unsendable =
            || format!("{KEY} names a value of {} that cannot be sent: it must be ASCII, on one line", self.name);
        sendable(text).map(str::to_owned).ok_or_else(unsendable)
    }
}

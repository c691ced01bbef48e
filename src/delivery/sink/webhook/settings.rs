//! The keys of `kind = "webhook"`.

use std::net::IpAddr;
use std::path::PathBuf;

use reqwest::Url;

use super::headers::{self, HeaderSetting};
use crate::delivery::render::JsonFormat;
use crate::http::is_public;
use crate::tables::secret::{self, Keys};
use crate::tables::{Credentials, PasswordScheme, SecretRef, Section, address, value};

/// Requests that are sent at the same time, where no number is written.
const MAX_CONCURRENT: u64 = 8;

/// The keys of the secret that signs.
const SECRET: Keys = Keys {
    plain: "secret",
    file: "secret_file",
    variable: "secret_env",
    credential: "secret_credential",
    command: "secret_command",
};

/// `kind = "webhook"`
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// Where notifications are posted to.
    pub url: Url,
    /// Where the secrets are that sign; none: nothing is signed.
    pub secret: Option<SecretRef>,
    /// How requests log in.
    pub credentials: Credentials,
    /// Further headers of requests.
    pub headers: Vec<HeaderSetting>,
    /// PEM file of a further certificate authority to trust.
    pub ca_file: Option<PathBuf>,
    /// Requests that are sent at the same time.
    pub max_concurrent: usize,
    /// Whether private addresses are connected to.
    pub allow_private: bool,
    /// Whether requests have the headers of CloudEvents in binary mode.
    pub cloud_events: bool,
    /// How the JSON is written.
    pub format: JsonFormat,
}

/// Reads the keys; none where something is wrong, which is then reported.
pub fn read(section: &Section<'_>) -> Option<WebhookSettings> {
    let format = JsonFormat::read(section);
    let allow_plaintext = section.read("allow_plaintext", value::boolean).unwrap_or(false);
    let allow_private = section.read("allow_private", value::boolean).unwrap_or(false);
    let cloud_events = section.read("cloudevents", value::boolean).unwrap_or(false);
    let most = section.read("max_concurrent", value::number(1, 100)).unwrap_or(MAX_CONCURRENT);
    let secret = secret::read(section, &SECRET);
    let ca_file = section.read("ca_file", value::string).map(|written| section.path(&written));
    let credentials = login(section);
    let headers = headers::read(section, credentials != Credentials::None);
    let url = section.required("url", |written| address::caldav(written, allow_plaintext))?;
    let url = Url::parse(&url).ok()?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    if !allow_private && host.parse::<IpAddr>().is_ok_and(|address| !is_public(address)) {
        section.report("url", "names a private address: say allow_private = true if that is meant");
        return None;
    }
    let max_concurrent = usize::try_from(most).unwrap_or(1);
    Some(WebhookSettings {
        url,
        secret,
        credentials,
        headers,
        ca_file,
        max_concurrent,
        allow_private,
        cloud_events,
        format,
    })
}

/// The login: by name and password (Basic), or by token.
fn login(section: &Section<'_>) -> Credentials {
    let username = section.read("username", value::string);
    let password = secret::read_source(section, &secret::PASSWORD);
    let token = secret::read_source(section, &secret::TOKEN);
    match (username, password, token) {
        (None, None, None) => Credentials::None,
        (None, None, Some(token)) => Credentials::Bearer { token },
        (Some(username), Some(password), None) => {
            Credentials::Password { username, password, scheme: PasswordScheme::Basic }
        }
        _ => {
            section.report("username", "belongs to a password (password_file), and a token (token_file) to neither");
            Credentials::None
        }
    }
}

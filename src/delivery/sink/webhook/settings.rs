//! The keys of `kind = "webhook"` and of `kind = "web-push"`.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use toml::de::DeValue;

use super::endpoint::{AllowedAddresses, PRIVATE, ReceiverAddress};
use super::headers::{self, HeaderSetting};
use super::payload::{PayloadSettings, ServiceSettings};
use super::preset::{MessageOptions, PRESETS, Preset, Priority, RecipientKey, TokenUse};
use super::web_push::WebPushSettings;
use crate::delivery::render::JsonFormat;
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

/// The keys of the key of a user of Pushover.
const USER_KEY: Keys = Keys {
    plain: "user_key",
    file: "user_key_file",
    variable: "user_key_env",
    credential: "user_key_credential",
    command: "user_key_command",
};

/// The keys of a subscription, and of the key that signs.
const SUBSCRIPTION: Keys = Keys {
    plain: "subscription",
    file: "subscription_file",
    variable: "subscription_env",
    credential: "subscription_credential",
    command: "subscription_command",
};
const VAPID_KEY: Keys = Keys {
    plain: "vapid_key",
    file: "vapid_key_file",
    variable: "vapid_key_env",
    credential: "vapid_key_credential",
    command: "vapid_key_command",
};

/// How long a push service keeps a message, where that is not written.
const TTL: Duration = Duration::from_secs(24 * 60 * 60);
const URGENCIES: [(&str, &str); 4] = [("very-low", "very-low"), ("low", "low"), ("normal", "normal"), ("high", "high")];

const PRIORITIES: [(&str, Priority); 4] =
    [("low", Priority::Low), ("normal", Priority::Normal), ("high", Priority::High), ("urgent", Priority::Urgent)];

/// `kind = "webhook"` and `kind = "web-push"`
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// The kind of the sink.
    pub kind: &'static str,
    /// Where notifications are posted to.
    pub address: ReceiverAddress,
    /// What may be connected to.
    pub allowed: AllowedAddresses,
    /// What is posted.
    pub payload: PayloadSettings,
    /// How requests log in.
    pub credentials: Credentials,
    /// Further headers of requests.
    pub headers: Vec<HeaderSetting>,
    /// PEM file of a further certificate authority to trust.
    pub ca_file: Option<PathBuf>,
    /// Requests that are sent at the same time.
    pub max_concurrent: usize,
}

/// Reads the keys of a `webhook`, which is called `kind`; none where something is wrong, which is then reported.
pub fn read(section: &Section<'_>, kind: &'static str) -> Option<WebhookSettings> {
    let preset = section.read("preset", preset);
    let allowed = allowed(section);
    let payload = match preset {
        Some(preset) => PayloadSettings::Service(service(section, preset)),
        None => PayloadSettings::Json {
            secret: secret::read(section, &SECRET),
            cloud_events: section.read("cloudevents", value::boolean).unwrap_or(false),
            format: JsonFormat::read(section),
        },
    };
    let credentials = credentials(section, preset.map_or(TokenUse::Login, |preset| preset.token));
    let headers = headers::read(section, credentials != Credentials::None);
    let (ca_file, max_concurrent) = (ca_file(section), max_concurrent(section));
    let address = receiver(section, preset.and_then(|preset| preset.url), allowed)?;
    Some(WebhookSettings { kind, address, allowed, payload, credentials, headers, ca_file, max_concurrent })
}

/// Reads the keys of a `web-push`, which is called `kind`; none where something is wrong, which is then reported.
pub fn read_web_push(section: &Section<'_>, kind: &'static str) -> Option<WebhookSettings> {
    let (allowed, ca_file, max_concurrent) = (allowed(section), ca_file(section), max_concurrent(section));
    let ttl = section.read("ttl", value::duration).unwrap_or(TTL);
    let urgency = section.read("urgency", value::one_of(&URGENCIES)).unwrap_or("high");
    let format = JsonFormat::read(section);
    let contact = section.required("contact", contact);
    let vapid_key = required_secret(section, &VAPID_KEY);
    let subscription = required_secret(section, &SUBSCRIPTION)?;
    let address = ReceiverAddress::Subscribed(subscription.clone());
    let (vapid_key, contact) = (vapid_key?, contact?);
    let payload = PayloadSettings::WebPush(WebPushSettings { subscription, vapid_key, contact, ttl, urgency, format });
    let (credentials, headers) = (Credentials::None, Vec::new());
    Some(WebhookSettings { kind, address, allowed, payload, credentials, headers, ca_file, max_concurrent })
}

fn allowed(section: &Section<'_>) -> AllowedAddresses {
    AllowedAddresses {
        private: section.read("allow_private", value::boolean).unwrap_or(false),
        plaintext: section.read("allow_plaintext", value::boolean).unwrap_or(false),
    }
}

fn ca_file(section: &Section<'_>) -> Option<PathBuf> {
    section.read("ca_file", value::string).map(|written| section.path(&written))
}

fn max_concurrent(section: &Section<'_>) -> usize {
    let most = section.read("max_concurrent", value::number(1, 100)).unwrap_or(MAX_CONCURRENT);
    usize::try_from(most).unwrap_or(1)
}

/// Whom a push service can ask about the sender (RFC 8292, 2.1).
fn contact(value: &DeValue<'_>) -> Result<String, String> {
    let written = value::string(value)?;
    let is_contact = written.starts_with("mailto:") || written.starts_with("https://");
    if is_contact { Ok(written) } else { Err("must begin with mailto: or https://".to_owned()) }
}

fn preset(value: &DeValue<'_>) -> Result<Preset, String> {
    let presets: Vec<(&'static str, Preset)> = PRESETS.iter().map(|preset| (preset.name, *preset)).collect();
    value::choose(&value::string(value)?, &presets)
}

/// The keys of `preset`.
fn service(section: &Section<'_>, preset: Preset) -> ServiceSettings {
    let token = match preset.token {
        TokenUse::Inside => required_secret(section, &secret::TOKEN),
        TokenUse::Login | TokenUse::Bearer => None,
    };
    let recipient = match preset.recipient {
        RecipientKey::None => None,
        RecipientKey::Room => section.required("room", room).map(|room| SecretRef::written("room", room)),
        RecipientKey::ChatId => section.required("chat_id", chat).map(|chat| SecretRef::written("chat_id", chat)),
        RecipientKey::UserKey => required_secret(section, &USER_KEY),
    };
    let (mut priority, mut tags) = (None, None);
    if preset.has_priority {
        priority = section.read("priority", value::one_of(&PRIORITIES));
    }
    if preset.has_tags {
        tags = section.read("tags", value::strings);
    }
    let options = MessageOptions {
        priority: priority.unwrap_or_default(),
        tags: tags.unwrap_or_default(),
        click_url: section.read("click_url", link),
    };
    ServiceSettings { preset, token, recipient, options }
}

fn required_secret(section: &Section<'_>, keys: &Keys) -> Option<SecretRef> {
    let place = secret::read(section, keys);
    if place.is_none() && !section.has(keys.plain) && keys.named(section).is_none() {
        section.report(keys.file, "is missing");
    }
    place
}

fn room(value: &DeValue<'_>) -> Result<String, String> {
    let id = value::string(value)?;
    match id.strip_prefix('!') {
        Some(rest) if !rest.is_empty() => Ok(id),
        _ => Err("must be the id of a room, which begins with '!': the settings of the room show it".to_owned()),
    }
}

/// A number, which is negative for groups, or the `@name` of a channel.
fn chat(value: &DeValue<'_>) -> Result<String, String> {
    let id = match value {
        DeValue::Integer(digits) => digits.as_str().to_owned(),
        other => value::string(other)?,
    };
    let is_chat = id.strip_prefix('@').is_some_and(|name| !name.is_empty()) || id.parse::<i64>().is_ok();
    if is_chat { Ok(id) } else { Err("must be the number of a chat, or the @name of a channel".to_owned()) }
}

/// The address of a page, or of an app on a phone.
fn link(value: &DeValue<'_>) -> Result<String, String> {
    let written = value::string(value)?;
    Url::parse(&written).map(|url| url.to_string()).map_err(|why| format!("is not an address ({why})"))
}

/// The address of the receiver; `usual` is that of the service, if it has only one.
fn receiver(section: &Section<'_>, usual: Option<&str>, allowed: AllowedAddresses) -> Option<ReceiverAddress> {
    if secret::URL.named(section).is_some() {
        return secret::read(section, &secret::URL).map(ReceiverAddress::Kept);
    }
    let url = match usual.filter(|_| !section.has("url")) {
        Some(usual) => usual.to_owned(),
        None => section.required("url", |written| address::caldav(written, allowed.plaintext))?,
    };
    let url = Url::parse(&url).ok()?;
    if !allowed.include(&url) {
        section.report("url", PRIVATE);
        return None;
    }
    Some(ReceiverAddress::Written(url))
}

/// The login: by name and password (Basic), or by token.
fn credentials(section: &Section<'_>, token_use: TokenUse) -> Credentials {
    if token_use == TokenUse::Inside {
        return Credentials::None;
    }
    let token = secret::read_source(section, &secret::TOKEN);
    if token_use == TokenUse::Bearer {
        if token.is_none() && !section.has(secret::TOKEN.plain) && secret::TOKEN.named_source(section).is_none() {
            section.report("token_file", "is missing");
        }
        return token.map_or(Credentials::None, |token| Credentials::Bearer { token });
    }
    let username = section.read("username", value::string);
    let password = secret::read_source(section, &secret::PASSWORD);
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

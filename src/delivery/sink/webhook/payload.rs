//! What a notification is posted as: its JSON, signed, or a message of a service that a preset knows.

use reqwest::Url;
use serde_json::Value;

use super::answer::{AnswerVerdict, ReceiverAnswer};
use super::preset::{MessageOptions, MessageTarget, Preset, RecipientKey};
use super::signature::SigningKeys;
use super::summary::AlarmSummary;
use super::web_push::{self, WebPushSettings};
use crate::calendar::zone::Zones;
use crate::clock::Clock;
use crate::delivery::render::{self, JsonFormat, Renderer};
use crate::delivery::sink::email::{DEFAULT_LOCALE, Localizers};
use crate::delivery::sink::{ClaimedDelivery, Outcome, Readers, SinkContext};
use crate::http::{HttpRequest, Method};
use crate::tables::SecretRef;

/// The keys of the configuration that say what is posted.
#[derive(Clone, Debug)]
pub enum PayloadSettings {
    /// The JSON.
    Json {
        /// Where the secrets are that sign; none: nothing is signed.
        secret: Option<SecretRef>,
        /// Whether requests have the headers of CloudEvents in binary mode.
        cloud_events: bool,
        /// How the JSON is written.
        format: JsonFormat,
    },
    /// A message.
    Service(ServiceSettings),
    /// The JSON, encrypted for one browser or app.
    WebPush(WebPushSettings),
}

/// The keys of a preset.
#[derive(Clone, Debug)]
pub struct ServiceSettings {
    /// The service.
    pub preset: Preset,
    /// Where the token is, if it is sent inside of requests.
    pub token: Option<SecretRef>,
    /// Whom messages go to, if the service asks.
    pub recipient: Option<SecretRef>,
    /// What messages have in common.
    pub options: MessageOptions,
}

impl PayloadSettings {
    /// The secrets that it needs.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretRef> {
        let two = match self {
            PayloadSettings::Json { secret, .. } => [secret.as_ref(), None],
            PayloadSettings::Service(service) => [service.token.as_ref(), service.recipient.as_ref()],
            PayloadSettings::WebPush(push) => [Some(&push.subscription), Some(&push.vapid_key)],
        };
        two.into_iter().flatten()
    }
}

/// Makes requests of notifications, and reads the answers.
#[derive(Debug)]
pub struct Payload {
    settings: PayloadSettings,
    renderer: Renderer,
    clock: Clock,
    zones: Zones,
    server_name: String,
    readers: Readers,
    localizers: Localizers,
}

/// A request, and the secrets in it that are not those of the address.
#[derive(Debug)]
pub struct PreparedRequest {
    pub request: HttpRequest,
    pub secrets: Vec<String>,
}

impl Payload {
    /// What `settings` describe.
    pub fn new(settings: PayloadSettings, context: &SinkContext) -> Payload {
        let format = match &settings {
            PayloadSettings::Json { format, .. } | PayloadSettings::WebPush(WebPushSettings { format, .. }) => *format,
            PayloadSettings::Service(_) => JsonFormat::default(),
        };
        Payload {
            settings,
            renderer: Renderer::new(format, context.zones.clone()),
            clock: context.clock.clone(),
            zones: context.zones.clone(),
            server_name: context.server_name.clone(),
            readers: context.readers.clone(),
            localizers: Localizers::default(),
        }
    }

    /// Its settings.
    pub fn settings(&self) -> &PayloadSettings {
        &self.settings
    }

    /// Whether the secrets are there and can be used.
    ///
    /// # Errors
    /// When they are not: a sentence.
    pub fn ready(&self) -> Result<(), String> {
        match &self.settings {
            PayloadSettings::Json { secret, .. } => keys(secret.as_ref()).map(drop),
            PayloadSettings::Service(service) => service.secrets().map(drop),
            PayloadSettings::WebPush(push) => push.public_key().map(drop),
        }
    }

    /// The request for `delivery` to the receiver at `url`.
    ///
    /// # Errors
    /// The outcome, where there can be none.
    pub fn request(&self, url: &Url, delivery: &ClaimedDelivery) -> Result<PreparedRequest, Outcome> {
        match &self.settings {
            PayloadSettings::Json { secret, cloud_events, .. } => {
                let keys = keys(secret.as_ref()).map_err(Outcome::unusable)?;
                self.json(url, delivery, keys.as_ref(), *cloud_events)
            }
            PayloadSettings::Service(service) => self.message(url, delivery, service),
            PayloadSettings::WebPush(push) => {
                let request = push.request(url, delivery, &self.renderer, self.clock.now())?;
                Ok(PreparedRequest { request, secrets: Vec::new() })
            }
        }
    }

    fn json(
        &self,
        url: &Url,
        delivery: &ClaimedDelivery,
        keys: Option<&SigningKeys>,
        is_cloud_event: bool,
    ) -> Result<PreparedRequest, Outcome> {
        let body = self.renderer.render(&delivery.notification)?.into_owned();
        let stored: Value = serde_json::from_str(&delivery.notification).unwrap_or_default();
        let text = |key: &str| stored.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (id, seconds) = (text("notificationId"), self.clock.now().0.div_euclid(1000).to_string());
        let mut request = HttpRequest::new(Method::new("POST"), url)
            .with_header("webhook-id", id.clone())
            .with_header("webhook-timestamp", seconds.clone());
        if let Some(keys) = keys {
            request = request.with_header("webhook-signature", keys.sign(&id, &seconds, &body));
        }
        if is_cloud_event {
            request = request
                .with_header("ce-specversion", "1.0")
                .with_header("ce-id", id)
                .with_header("ce-type", format!("reveille.{}", text("event")))
                .with_header("ce-source", format!("//{}/reveille", self.server_name))
                .with_header("ce-time", text("timestamp"));
        }
        Ok(PreparedRequest { request: request.with_body("application/json", body), secrets: Vec::new() })
    }

    fn message(
        &self,
        url: &Url,
        delivery: &ClaimedDelivery,
        service: &ServiceSettings,
    ) -> Result<PreparedRequest, Outcome> {
        let [token, recipient] = service.secrets().map_err(Outcome::unusable)?;
        let notification = render::read(&delivery.notification)?;
        let reader = self.readers.get(&notification.user_id);
        let zone = reader.zone.and_then(|id| self.zones.find(&id));
        let localizer = self.localizers.get(reader.locale.as_deref().unwrap_or(DEFAULT_LOCALE));
        let localizer = localizer.ok_or_else(|| Outcome::permanent("no language of messages can be used"))?;
        let alarm = AlarmSummary::new(&notification, zone, &self.zones, &localizer, self.clock.now());
        let target = MessageTarget { url, token: &token, recipient: &recipient, options: &service.options };
        let made = (service.preset.request)(&target, &alarm);
        let request = HttpRequest::new(made.method, &made.url);
        let request = made.headers.into_iter().fold(request, |request, (name, value)| request.with_header(name, value));
        let mut secrets = vec![token];
        if service.preset.recipient == RecipientKey::UserKey {
            secrets.push(recipient);
        }
        Ok(PreparedRequest { request: request.with_body(made.content_type, made.body), secrets })
    }

    /// What `answer` means.
    pub fn verdict(&self, answer: &ReceiverAnswer<'_>) -> AnswerVerdict {
        match &self.settings {
            PayloadSettings::Json { .. } => answer.by_status(),
            PayloadSettings::Service(service) => (service.preset.verdict)(answer),
            PayloadSettings::WebPush(_) => web_push::verdict(answer),
        }
    }

    /// Who answers, for sentences.
    pub fn receiver(&self) -> &'static str {
        match &self.settings {
            PayloadSettings::Json { .. } => "a webhook",
            PayloadSettings::Service(service) => service.preset.name,
            PayloadSettings::WebPush(_) => "a push service",
        }
    }
}

impl ServiceSettings {
    /// The token and the recipient; empty where there is none.
    fn secrets(&self) -> Result<[String; 2], String> {
        let read = |place: &Option<SecretRef>| match place {
            Some(place) => place.read().map(|secret| secret.expose().trim().to_owned()),
            None => Ok(String::new()),
        };
        let read = |place| read(place).map_err(|error| error.to_string());
        Ok([read(&self.token)?, read(&self.recipient)?])
    }
}

/// What signs; none where no secret is configured.
fn keys(secret: Option<&SecretRef>) -> Result<Option<SigningKeys>, String> {
    let Some(secret) = secret else { return Ok(None) };
    let text = secret.read().map_err(|error| error.to_string())?;
    SigningKeys::read(&text).map(Some).map_err(|reason| format!("{} {reason}", secret.key()))
}

//! The sink `webhook`: an HTTP request for each notification. It is a POST of the JSON, signed as Standard Webhooks
//! describes (<https://www.standardwebhooks.com>), or what the service of a `preset` expects.
//!
//! * `settings`: its keys; `headers`: those that the configuration names.
//! * `endpoint`: the address and its client; `payload`: what is posted there.
//! * `signature`: the secrets, and the header that they make.
//! * `preset`: the requests and answers of services; `summary`: what messages say.
//! * `web_push`: the sink `web-push`, whose content is encrypted for one browser.
//! * `answer`: what becomes of a notification; `redaction`: keeps secrets out of what receivers answer.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;

use self::answer::{AnswerVerdict, ReceiverAnswer};
use self::endpoint::{Endpoint, LIMITS};
use self::headers::HeaderSetting;
use self::payload::{Payload, PayloadSettings};
use self::redaction::Redaction;
use self::settings::WebhookSettings;
use super::concurrent::{Concurrent, SendOne};
use super::{
    ClaimedDelivery, Finished, Outcome, Sending, SinkConfig, SinkContext, SinkDriver, SinkError, SinkKind, SinkSettings,
};
use crate::access::{self, User};
use crate::delivery::deadline::SendDeadline;
use crate::delivery::gate::{Closure, FileStamps, file_stamps};
use crate::http::{
    Body, BodyReader, ClientError, ClientSettings, HttpClient, HttpError, HttpFailure, HttpRequest, Method, Received,
};
use crate::tables::{SecretRef, SecretSource};
use crate::text::{base64, first_octets};

mod answer;
mod endpoint;
mod headers;
mod payload;
mod preset;
mod redaction;
mod settings;
mod signature;
mod summary;
mod web_push;

/// The sink `webhook`.
pub const KIND: SinkKind =
    SinkKind { name: "webhook", actions: &[], read: |section| Some(Arc::new(settings::read(section, KIND.name)?)) };
/// The sink `web-push`.
pub const WEB_PUSH: SinkKind = SinkKind {
    name: "web-push",
    actions: &[],
    read: |section| Some(Arc::new(settings::read_web_push(section, WEB_PUSH.name)?)),
};

/// Octets of the answer of a receiver that are read: services repeat messages in theirs.
const READ: usize = 48 * 1024;
/// Octets of it that are kept.
const KEPT: usize = 300;

impl SinkSettings for WebhookSettings {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn open(&self, config: &SinkConfig, context: &SinkContext) -> Result<Box<dyn SinkDriver>, SinkError> {
        let settings = ClientSettings {
            credentials: self.credentials.clone(),
            ca_file: self.ca_file.clone(),
            client_certificate: None,
            // An attempt is given up before that.
            timeout: config.timeout.saturating_mul(2),
        };
        let webhook = Webhook {
            endpoint: Endpoint::new(self.address.clone(), self.allowed, settings, self.max_concurrent),
            payload: Payload::new(self.payload.clone(), context),
            headers: self.headers.clone(),
            timeout: config.timeout,
            deadline: context.deadline.clone(),
        };
        Ok(Box::new(WebhookSink(Concurrent::new(webhook, self.max_concurrent, context.deadline.clone()))))
    }

    fn needs_network(&self) -> bool {
        true
    }

    /// A message of a service is about an alarm.
    fn takes_events(&self) -> bool {
        !matches!(self.payload, PayloadSettings::Service(_))
    }

    fn denied(&self, user: &User) -> Option<String> {
        let kept = self.payload.secrets().chain(self.address.secret()).chain(self.headers.iter().map(|one| &one.value));
        let files = kept.filter_map(SecretRef::path).chain(self.credentials.files());
        let lacking = files.into_iter().find_map(|file| access::lacking_secrets(user, Some(file), None));
        lacking.or_else(|| access::lacking_secrets(user, None, self.ca_file.as_deref()))
    }
}

/// The driver of the sink `webhook`.
#[derive(Debug)]
struct WebhookSink(Concurrent<Webhook>);

impl SinkDriver for WebhookSink {
    fn send<'a>(&'a self, deliveries: &'a [ClaimedDelivery]) -> Sending<'a, Vec<Outcome>> {
        Box::pin(async { self.0.begin(deliveries) })
    }

    fn check(&self) -> Sending<'_, Result<String, SinkError>> {
        Box::pin(async { self.0.sender().check().await.map_err(SinkError) })
    }

    fn ready(&self) -> Result<(), SinkError> {
        self.0.sender().ready().map(drop).map_err(SinkError)
    }

    fn batch(&self) -> usize {
        self.0.free()
    }

    fn files(&self) -> FileStamps {
        let webhook = self.0.sender();
        let login = webhook.endpoint.settings().credentials.secret().map(SecretSource::stamp);
        let kept = webhook.payload.settings().secrets().chain(webhook.endpoint.secret());
        let kept = kept.chain(webhook.headers.iter().map(|header| &header.value)).map(SecretRef::stamp);
        file_stamps(login.into_iter().chain(kept))
    }

    fn finished(&self) -> Sending<'_, Vec<Finished>> {
        Box::pin(self.0.next_finished())
    }
}

/// A receiver that takes our notifications.
#[derive(Debug)]
struct Webhook {
    endpoint: Endpoint,
    payload: Payload,
    headers: Vec<HeaderSetting>,
    timeout: Duration,
    deadline: SendDeadline,
}

/// What is needed to send.
struct ReadyWebhook {
    url: Url,
    client: Arc<HttpClient>,
    /// The headers of the configuration, with their values.
    headers: Vec<(String, String)>,
}

impl SendOne for Webhook {
    async fn send_one(&self, delivery: &ClaimedDelivery) -> Outcome {
        let ready = match self.ready() {
            Ok(ready) => ready,
            Err(response) => return Outcome::Down { response, closure: Closure::Settings },
        };
        let (request, redaction) = match self.request(&ready, delivery) {
            Ok(request) => request,
            Err(refused) => return refused,
        };
        let sending = tokio::time::timeout(self.timeout, ready.client.send_and_read(request, || AnswerReader));
        tokio::select! {
            biased;
            sent = sending => match sent {
                Ok(Ok(received)) => self.outcome(&received, &redaction),
                Ok(Err(error)) => not_answered(error),
                Err(_) => Outcome::retry(format!(
                    "{} did not answer within {} s",
                    server(&ready.url),
                    self.timeout.as_secs()
                )),
            },
            () = self.deadline.reached() => Outcome::NotAttempted,
        }
    }
}

impl Webhook {
    /// The address and the headers, if they and the secrets are there; the login is not looked at.
    fn ready(&self) -> Result<ReadyWebhook, String> {
        self.payload.ready()?;
        let (url, client) = self.endpoint.get()?;
        let headers = self.headers.iter().map(|header| Ok((header.name.clone(), header.read()?)));
        let headers = headers.collect::<Result<Vec<_>, String>>()?;
        Ok(ReadyWebhook { url, client, headers })
    }

    /// The request for `delivery`, and what has to be kept out of messages.
    fn request(&self, ready: &ReadyWebhook, delivery: &ClaimedDelivery) -> Result<(HttpRequest, Redaction), Outcome> {
        let prepared = self.payload.request(&ready.url, delivery)?;
        let login = self.login();
        let secrets = ready.headers.iter().map(|(_, value)| value).chain(&prepared.secrets).chain(&login);
        let redaction = Redaction::new([&ready.url, &prepared.request.url], secrets.map(String::as_str));
        let with =
            |request: HttpRequest, (name, value): &(String, String)| request.with_header(name.clone(), value.clone());
        Ok((ready.headers.iter().fold(prepared.request, with), redaction))
    }

    /// What the login sends: the password or the token as it is kept, and in base64 with the name.
    fn login(&self) -> Vec<String> {
        let credentials = &self.endpoint.settings().credentials;
        let Some(SecretSource::Kept(place)) = credentials.secret() else { return Vec::new() };
        let Ok(secret) = place.read() else { return Vec::new() };
        let coded = |name: String| base64(format!("{name}:{}", secret.expose()).as_bytes());
        credentials.username().map(coded).into_iter().chain([secret.expose().to_owned()]).collect()
    }

    /// Whether the receiver can be reached; nothing is posted.
    async fn check(&self) -> Result<String, String> {
        let ready = self.ready()?;
        let key = match self.payload.settings() {
            // Browsers subscribe with it.
            PayloadSettings::WebPush(push) => format!("; the public key is {}", push.public_key()?),
            PayloadSettings::Json { .. } | PayloadSettings::Service(_) => String::new(),
        };
        let request = HttpRequest::new(Method::new("OPTIONS"), &ready.url);
        let sent = tokio::time::timeout(self.timeout, ready.client.send_and_read(request, || AnswerReader)).await;
        match sent {
            Ok(Ok(_)) => Ok(format!("{} answers{key}", server(&ready.url))),
            Ok(Err(error)) => Err(error.without_paths().to_string()),
            Err(_) => Err(format!("{} did not answer in time", server(&ready.url))),
        }
    }

    /// What the answer of the receiver means.
    fn outcome(&self, received: &Received<Vec<u8>>, redaction: &Redaction) -> Outcome {
        let response = &received.response;
        let text = String::from_utf8_lossy(received.read.as_deref().unwrap_or_default());
        let answer = ReceiverAnswer::new(response.status, response.retry_after, &text);
        let verdict = self.payload.verdict(&answer);
        let mut told = format!("HTTP {}", answer.status);
        if verdict == AnswerVerdict::Settings && answer.is_success() {
            told.push_str(&format!(", which is not how {} answers", self.payload.receiver()));
        }
        if !text.trim().is_empty() {
            told.push_str(&format!(": {}", first_octets(&redaction.applied(&text), KEPT)));
        }
        match verdict {
            AnswerVerdict::Delivered => Outcome::Delivered,
            AnswerVerdict::Later(after) => {
                Outcome::Retry { response: told, after: after.map(|pause| pause.min(LIMITS.max_retry_after)) }
            }
            AnswerVerdict::Never => Outcome::permanent(told),
            AnswerVerdict::Settings => Outcome::Down { response: told, closure: Closure::Settings },
        }
    }
}

/// What it means that there is no answer. What is sent again has the same `webhook-id`, by which receivers know it.
fn not_answered(error: HttpError) -> Outcome {
    let closure = match &error {
        HttpError::Client(ClientError::Later { retry_after, .. }) => {
            return Outcome::Retry { after: *retry_after, response: error.without_paths().to_string() };
        }
        HttpError::Client(_)
        | HttpError::Redirected { .. }
        | HttpError::Unencrypted { .. }
        | HttpError::Moved { .. }
        | HttpError::RedirectLoop { .. } => Closure::Settings,
        HttpError::Unreachable { .. } | HttpError::Tls { .. } => Closure::Down,
        HttpError::Broken { .. } | HttpError::Timeout { .. } | HttpError::TooLarge { .. } => {
            return Outcome::retry(error.without_paths().to_string());
        }
    };
    Outcome::Down { response: error.without_paths().to_string(), closure }
}

/// The server of `url`, for messages: the rest of the address may be a secret.
fn server(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Reads the beginning of the answer.
struct AnswerReader;

impl BodyReader for AnswerReader {
    type Read = Vec<u8>;

    fn reads(&self, _: u16) -> bool {
        true
    }

    async fn read(self, body: &mut Body) -> Result<Vec<u8>, HttpFailure> {
        let mut answer = Vec::new();
        // The status says what matters, whatever becomes of the body.
        while let Ok(Some(piece)) = body.next().await {
            answer.extend_from_slice(&piece);
            if answer.len() >= READ {
                break;
            }
        }
        answer.truncate(READ);
        Ok(answer)
    }

    fn read_whole(self, body: &[u8]) -> Vec<u8> {
        body.get(..READ).unwrap_or(body).to_vec()
    }
}

#[cfg(test)]
mod tests;

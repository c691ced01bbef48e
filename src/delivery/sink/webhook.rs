//! The sink `webhook`: an HTTP POST of the JSON for each notification, signed as Standard Webhooks describes
//! (<https://www.standardwebhooks.com>).
//!
//! * `settings`: its keys; `headers`: those that the configuration names.
//! * `signature`: the secrets, and the header that they make.
//! * `redaction`: keeps secrets out of what receivers answer.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use serde_json::Value;

use self::headers::HeaderSetting;
use self::redaction::Redaction;
use self::settings::WebhookSettings;
use self::signature::SigningKeys;
use super::concurrent::{Concurrent, SendOne};
use super::{
    ClaimedDelivery, Finished, Outcome, Sending, SinkConfig, SinkContext, SinkDriver, SinkError, SinkKind, SinkSettings,
};
use crate::access::{self, User};
use crate::clock::Clock;
use crate::delivery::deadline::SendDeadline;
use crate::delivery::gate::{Closure, FileStamps, file_stamps};
use crate::delivery::render::Renderer;
use crate::http::{
    Body, BodyReader, ClientError, ClientSettings, Hosts, HttpClient, HttpError, HttpFailure, HttpLimits, HttpRequest,
    HttpResponse, Method, Received,
};
use crate::tables::{SecretRef, SecretSource};

mod headers;
mod redaction;
mod settings;
mod signature;

/// The sink `webhook`.
pub const KIND: SinkKind =
    SinkKind { name: "webhook", actions: &[], read: |section| Some(Arc::new(settings::read(section)?)) };

const POST: Method = Method::new("POST");
/// Octets of the answer of a receiver that are kept.
const ANSWER: usize = 300;
const LIMITS: HttpLimits =
    HttpLimits { max_response_size: 64 * 1024, max_redirects: 3, max_retry_after: Duration::from_secs(60 * 60) };

impl SinkSettings for WebhookSettings {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn open(&self, config: &SinkConfig, context: &SinkContext) -> Result<Box<dyn SinkDriver>, SinkError> {
        let settings = ClientSettings {
            credentials: self.credentials.clone(),
            ca_file: self.ca_file.clone(),
            client_certificate: None,
            // An attempt is given up before that.
            timeout: config.timeout.saturating_mul(2),
        };
        let host = Hosts::new(self.max_concurrent).host(&self.url);
        let client = HttpClient::new(&self.url, settings, LIMITS).on(host).without_waiting();
        let webhook = Webhook {
            url: self.url.clone(),
            client: if self.allow_private { client } else { client.public_only() },
            secret: self.secret.clone(),
            headers: self.headers.clone(),
            is_cloud_event: self.cloud_events,
            renderer: Renderer::new(self.format, context.zones.clone()),
            server_name: context.server_name.clone(),
            clock: context.clock.clone(),
            timeout: config.timeout,
            deadline: context.deadline.clone(),
        };
        Ok(Box::new(WebhookSink(Concurrent::new(webhook, self.max_concurrent, context.deadline.clone()))))
    }

    fn needs_network(&self) -> bool {
        true
    }

    fn denied(&self, user: &User) -> Option<String> {
        let kept = self.secret.iter().chain(self.headers.iter().map(|header| &header.value));
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
        Box::pin(self.0.sender().check())
    }

    fn ready(&self) -> Result<(), SinkError> {
        self.0.sender().ready().map_err(SinkError)
    }

    fn batch(&self) -> usize {
        self.0.free()
    }

    fn files(&self) -> FileStamps {
        let webhook = self.0.sender();
        let login = webhook.client.credentials().secret().map(SecretSource::stamp);
        let headers = webhook.headers.iter().map(|header| header.value.stamp());
        file_stamps(webhook.secret.iter().map(SecretRef::stamp).chain(login).chain(headers))
    }

    fn finished(&self) -> Sending<'_, Vec<Finished>> {
        Box::pin(self.0.next_finished())
    }
}

/// A receiver that takes our notifications.
#[derive(Debug)]
struct Webhook {
    url: Url,
    client: HttpClient,
    secret: Option<SecretRef>,
    headers: Vec<HeaderSetting>,
    is_cloud_event: bool,
    renderer: Renderer,
    server_name: String,
    clock: Clock,
    timeout: Duration,
    deadline: SendDeadline,
}

impl SendOne for Webhook {
    async fn send_one(&self, delivery: &ClaimedDelivery) -> Outcome {
        let (request, redaction) = match self.request(delivery) {
            Ok(request) => request,
            Err(refused) => return refused,
        };
        let sending = tokio::time::timeout(self.timeout, self.client.send_and_read(request, || AnswerReader));
        tokio::select! {
            biased;
            sent = sending => match sent {
                Ok(Ok(received)) => outcome(&received, &redaction),
                Ok(Err(error)) => not_answered(error),
                Err(_) => Outcome::retry(format!("{} did not answer within {} s", self.client_name(), self.timeout.as_secs())),
            },
            () = self.deadline.reached() => Outcome::NotAttempted,
        }
    }
}

impl Webhook {
    /// The request for `delivery`, and what has to be kept out of messages.
    fn request(&self, delivery: &ClaimedDelivery) -> Result<(HttpRequest, Redaction), Outcome> {
        let unusable = |response| Outcome::Down { response, closure: Closure::Settings };
        let (keys, headers) = (self.keys().map_err(unusable)?, self.headers().map_err(unusable)?);
        let redaction = Redaction::new(&self.url, headers.iter().map(|(_, value)| value.as_str()));
        let body = self.renderer.render(&delivery.notification)?.into_owned();
        let stored: Value = serde_json::from_str(&delivery.notification).unwrap_or_default();
        let text = |key: &str| stored.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (id, seconds) = (text("notificationId"), self.clock.now().0.div_euclid(1000).to_string());
        let mut request = HttpRequest::new(POST, &self.url)
            .with_header("webhook-id", id.clone())
            .with_header("webhook-timestamp", seconds.clone());
        if let Some(keys) = keys {
            request = request.with_header("webhook-signature", keys.sign(&id, &seconds, &body));
        }
        if self.is_cloud_event {
            request = request
                .with_header("ce-specversion", "1.0")
                .with_header("ce-id", id)
                .with_header("ce-type", format!("reveille.{}", text("event")))
                .with_header("ce-source", format!("//{}/reveille", self.server_name))
                .with_header("ce-time", text("timestamp"));
        }
        let request = headers.into_iter().fold(request, |request, (name, value)| request.with_header(name, value));
        Ok((request.with_body("application/json", body), redaction))
    }

    /// Whether the secrets are there; the login is not looked at.
    fn ready(&self) -> Result<(), String> {
        self.keys()?;
        self.headers().map(drop)
    }

    /// The headers of the configuration, with their values.
    fn headers(&self) -> Result<Vec<(String, String)>, String> {
        self.headers.iter().map(|header| Ok((header.name.clone(), header.read()?))).collect()
    }

    /// What signs; none where no secret is configured.
    fn keys(&self) -> Result<Option<SigningKeys>, String> {
        let Some(secret) = &self.secret else { return Ok(None) };
        let text = secret.read().map_err(|error| error.to_string())?;
        SigningKeys::read(&text).map(Some).map_err(|reason| format!("{} {reason}", secret.key()))
    }

    /// Whether the receiver can be reached; nothing is posted.
    async fn check(&self) -> Result<String, SinkError> {
        self.ready().map_err(SinkError)?;
        let request = HttpRequest::new(Method::new("OPTIONS"), &self.url);
        let sent = tokio::time::timeout(self.timeout, self.client.send_and_read(request, || AnswerReader)).await;
        match sent {
            Ok(Ok(_)) => Ok(format!("{} answers", self.client_name())),
            Ok(Err(error)) => Err(SinkError(error.without_paths().to_string())),
            Err(_) => Err(SinkError(format!("{} did not answer in time", self.client_name()))),
        }
    }

    /// The server, for messages: the rest of the address may be a secret.
    fn client_name(&self) -> String {
        self.url.origin().ascii_serialization()
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

/// What the answer of the receiver means.
fn outcome(received: &Received<Vec<u8>>, redaction: &Redaction) -> Outcome {
    let HttpResponse { status, retry_after, .. } = &received.response;
    let said = redaction.applied(&String::from_utf8_lossy(received.read.as_deref().unwrap_or_default()));
    let response = if said.trim().is_empty() { format!("HTTP {status}") } else { format!("HTTP {status}: {said}") };
    match status {
        200..=299 => Outcome::Delivered,
        401 => Outcome::Down { response, closure: Closure::Settings },
        408 | 425 | 429 => Outcome::Retry { response, after: *retry_after },
        400..=499 => Outcome::permanent(response),
        _ => Outcome::Retry { response, after: *retry_after },
    }
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
            if answer.len() >= ANSWER {
                break;
            }
        }
        answer.truncate(ANSWER);
        Ok(answer)
    }

    fn read_whole(self, body: &[u8]) -> Vec<u8> {
        body.get(..ANSWER).unwrap_or(body).to_vec()
    }
}

#[cfg(test)]
mod tests;

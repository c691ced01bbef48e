//! Web Push (RFC 8030): the JSON, encrypted for one browser or app (RFC 8291), signed by a key that this has been told
//! of (VAPID, RFC 8292).
//!
//! * `subscription`: what the browser has said of itself; `encryption`: of the content; `vapid`: who sends it.

use std::time::Duration;

use reqwest::Url;
use serde_json::Value;

use self::subscription::Subscription;
use self::vapid::VapidKey;
use super::answer::{AnswerVerdict, ReceiverAnswer};
use crate::delivery::render::{JsonFormat, Renderer};
use crate::delivery::sink::{ClaimedDelivery, Outcome};
use crate::http::{HttpRequest, Method};
use crate::tables::SecretRef;
use crate::time::UtcMillis;

mod encryption;
pub mod subscription;
mod vapid;

/// Octets of content that every push service takes, encrypted (RFC 8030, 7.2) and before that.
const LONGEST: usize = 4_096;
const LONGEST_JSON: usize = LONGEST - encryption::OVERHEAD;

/// The keys of the configuration.
#[derive(Clone, Debug)]
pub struct WebPushSettings {
    /// Where the subscription is.
    pub subscription: SecretRef,
    /// Where the private key is that signs.
    pub vapid_key: SecretRef,
    /// Whom the push service can ask about the sender: `mailto:` or `https:`.
    pub contact: String,
    /// How long the push service keeps a message for a device that is off.
    pub ttl: Duration,
    /// How urgent messages are (RFC 8030, 5.3).
    pub urgency: &'static str,
    /// How the JSON is written.
    pub format: JsonFormat,
}

impl WebPushSettings {
    /// What a browser needs to subscribe: the public key, in base64 for URLs.
    ///
    /// # Errors
    /// When the key or the subscription cannot be read: a sentence.
    pub fn public_key(&self) -> Result<String, String> {
        Subscription::read(&self.subscription)?;
        Ok(VapidKey::read(&self.vapid_key)?.public())
    }

    /// The request for `delivery` to the push service at `url` at `now`; `renderer` writes the JSON.
    ///
    /// # Errors
    /// The outcome, where there can be none.
    pub fn request(
        &self,
        url: &Url,
        delivery: &ClaimedDelivery,
        renderer: &Renderer,
        now: UtcMillis,
    ) -> Result<HttpRequest, Outcome> {
        let subscription = Subscription::read(&self.subscription).map_err(Outcome::unusable)?;
        if subscription.endpoint != *url {
            return Err(Outcome::retry("the subscription is another one by now"));
        }
        let json = renderer.render_within(&delivery.notification, LONGEST_JSON)?;
        let key = VapidKey::read(&self.vapid_key).map_err(Outcome::unusable)?;
        let authorization = key.authorization(url, &self.contact, now).map_err(Outcome::retry)?;
        let body = encryption::encrypted(json.as_bytes(), &subscription.keys).map_err(Outcome::unusable)?;
        let stored: Value = serde_json::from_str(&delivery.notification).unwrap_or_default();
        let id = stored.get("notificationId").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut request = HttpRequest::new(Method::new("POST"), url)
            .with_header("ttl", self.ttl.as_secs().to_string())
            .with_header("urgency", self.urgency)
            .with_header("content-encoding", "aes128gcm")
            .with_header("authorization", authorization);
        // One that is sent again takes the place of the first, if the device has not got it yet (RFC 8030, 5.4).
        if (1..=32).contains(&id.len()) && id.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-') {
            request = request.with_header("topic", id);
        }
        Ok(request.with_body("application/octet-stream", body))
    }
}

/// What the answer of a push service means (RFC 8030, 5).
pub fn verdict(answer: &ReceiverAnswer<'_>) -> AnswerVerdict {
    match answer.status {
        // Our signature, or the whole request, is not accepted.
        400 => AnswerVerdict::Settings,
        // 404 and 410 say that the subscription has ended.
        _ => answer.of_service(true),
    }
}

#[cfg(test)]
mod tests;

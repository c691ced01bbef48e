//! The subscription of a browser or an app: what `JSON.stringify(subscription)` writes there (Push API, 9).

use reqwest::Url;
use serde::Deserialize;

use super::encryption::ReceiverKeys;
use crate::tables::SecretRef;
use crate::text::octets_of_base64;

/// Octets of the public key, a point of P-256, and of the secret (RFC 8291, 3.2).
const PUBLIC_KEY: usize = 65;
const AUTH_SECRET: usize = 16;

/// Where a browser gets its messages, and how they are encrypted for it.
#[derive(Debug)]
pub struct Subscription {
    /// The address at the push service, which is a secret.
    pub endpoint: Url,
    /// For the encryption.
    pub keys: ReceiverKeys,
}

#[derive(Deserialize)]
struct WrittenSubscription {
    endpoint: String,
    keys: WrittenKeys,
}

#[derive(Deserialize)]
struct WrittenKeys {
    p256dh: String,
    auth: String,
}

impl Subscription {
    /// The one at `place`.
    ///
    /// # Errors
    /// When it cannot be read, or is none: a sentence, without any of it.
    pub fn read(place: &SecretRef) -> Result<Subscription, String> {
        let secret = place.read().map_err(|error| error.to_string())?;
        let wrong = |what: &str| format!("{} names a subscription {what}", place.key());
        let written: WrittenSubscription = serde_json::from_str(secret.expose()).map_err(|_| {
            wrong("that is not the JSON of a browser: an object with endpoint, keys.p256dh and keys.auth")
        })?;
        let octets = |text: &str, length| octets_of_base64(text).filter(|octets| octets.len() == length);
        let public =
            octets(&written.keys.p256dh, PUBLIC_KEY).ok_or_else(|| wrong("whose p256dh is not a key of P-256"))?;
        let auth = octets(&written.keys.auth, AUTH_SECRET).ok_or_else(|| wrong("whose auth is not 16 octets"))?;
        let endpoint = Url::parse(&written.endpoint).map_err(|_| wrong("whose endpoint is not an address"))?;
        Ok(Subscription { endpoint, keys: ReceiverKeys { public, auth } })
    }
}

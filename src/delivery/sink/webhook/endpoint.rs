//! Where requests go: an address, which may be a secret that is read when it is needed, and the client of its server.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Url;

use super::web_push::subscription::Subscription;
use crate::http::{ClientSettings, Hosts, HttpClient, HttpLimits, is_public};
use crate::tables::{SecretRef, address};

/// What is allowed to receivers.
pub const LIMITS: HttpLimits =
    HttpLimits { max_response_size: 64 * 1024, max_redirects: 3, max_retry_after: Duration::from_secs(60 * 60) };
/// What is said of a private address in the place of a name.
pub const PRIVATE: &str = "names a private address: say allow_private = true if that is meant";

/// The address of a receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiverAddress {
    /// In the configuration, where it was checked.
    Written(Url),
    /// A secret.
    Kept(SecretRef),
    /// In the subscription of a browser, a secret too.
    Subscribed(SecretRef),
}

/// What receivers may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowedAddresses {
    /// Private addresses as well.
    pub private: bool,
    /// Other machines without encryption as well.
    pub plaintext: bool,
}

/// A receiver, and the client that sends to it.
#[derive(Debug)]
pub struct Endpoint {
    address: ReceiverAddress,
    allowed: AllowedAddresses,
    settings: ClientSettings,
    max_concurrent: usize,
    /// The client, of the address that was read last.
    made: Mutex<Option<(Url, Arc<HttpClient>)>>,
}

impl ReceiverAddress {
    /// Where it is a secret: its place.
    pub fn secret(&self) -> Option<&SecretRef> {
        match self {
            ReceiverAddress::Written(_) => None,
            ReceiverAddress::Kept(place) | ReceiverAddress::Subscribed(place) => Some(place),
        }
    }
}

impl AllowedAddresses {
    /// Whether `url` may be connected to, as far as it says that itself.
    pub fn include(self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        self.private || !host.parse::<IpAddr>().is_ok_and(|address| !is_public(address))
    }
}

impl Endpoint {
    /// The receiver at `address`, if that is `allowed`, which is sent at most `max_concurrent` requests at a time.
    /// Nothing is read or connected yet.
    pub fn new(
        address: ReceiverAddress,
        allowed: AllowedAddresses,
        settings: ClientSettings,
        max_concurrent: usize,
    ) -> Endpoint {
        Endpoint { address, allowed, settings, max_concurrent, made: Mutex::default() }
    }

    /// Its address and the client.
    ///
    /// # Errors
    /// When the address cannot be read or used: a sentence, without it.
    pub fn get(&self) -> Result<(Url, Arc<HttpClient>), String> {
        let url = self.url()?;
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = made.as_ref().filter(|(known, _)| *known == url) {
            return Ok(known.clone());
        }
        let host = Hosts::new(self.max_concurrent).host(&url);
        let client = HttpClient::new(&url, self.settings.clone(), LIMITS)
            .on(host)
            .without_waiting()
            .keeping(self.max_concurrent);
        let client = if self.allowed.private { client } else { client.public_only() };
        Ok(made.insert((url, Arc::new(client))).clone())
    }

    fn url(&self) -> Result<Url, String> {
        let (place, written) = match &self.address {
            ReceiverAddress::Written(url) => return Ok(url.clone()),
            ReceiverAddress::Kept(place) => {
                let secret = place.read().map_err(|error| error.to_string())?;
                (place, secret.expose().to_owned())
            }
            ReceiverAddress::Subscribed(place) => (place, Subscription::read(place)?.endpoint.to_string()),
        };
        let url = address::feed(&written, self.allowed.plaintext);
        let url = url.map_err(|why| format!("the address that {} names {why}", place.key()))?;
        if self.allowed.include(&url) { Ok(url) } else { Err(format!("{} {PRIVATE}", place.key())) }
    }

    /// How requests log in, and the certificate authorities.
    pub fn settings(&self) -> &ClientSettings {
        &self.settings
    }

    /// Where the address is, if it is a secret.
    pub fn secret(&self) -> Option<&SecretRef> {
        self.address.secret()
    }
}

//! Receiving pushes (draft-bitfire-webdav-push, RFC 8030): addresses to which a calendar server sends a request when
//! something has changed. A push is a hint: its content is encrypted and is not read.
//!
//! * [`PushReceiver`] makes such addresses and knows to which source each of them belongs.
//! * `vapid` says whether a push comes from the server that it should come from (RFC 8292).

mod error;
mod vapid;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::Url;
use ring::agreement::{ECDH_P256, EphemeralPrivateKey};
use ring::rand::{SecureRandom as _, SystemRandom};

pub use error::PushError;

use crate::hints::HintReceiver;
use crate::text::base64url;
use crate::time::UtcMillis;

/// Octets of the secret in an address.
const SECRET: usize = 32;
/// Octets of the secret with which content is encrypted (RFC 8291, 3.2).
const AUTH_SECRET: usize = 16;

/// Makes addresses for pushes. Clones share it.
#[derive(Clone, Debug)]
pub struct PushReceiver(Arc<PushAddresses>);

struct PushAddresses {
    /// Where the port can be reached at which pushes arrive.
    url: Url,
    /// By the secret in them.
    open: Mutex<HashMap<String, OpenAddress>>,
}

#[derive(Debug)]
struct OpenAddress {
    hints: HintReceiver,
    /// The public key of the server, if it has said that its pushes are signed.
    vapid_key: Option<Vec<u8>>,
}

/// An address to which pushes can be sent as long as this lives, and what a server needs for that. Its `Debug` shows
/// nothing of it.
pub struct PushAddress {
    receiver: PushReceiver,
    secret: String,
    /// The address, which is a secret.
    pub url: Url,
    /// The public key with which content is encrypted, in base64 for URLs. No one has the private key.
    pub public_key: String,
    /// The secret with which content is encrypted, likewise.
    pub auth_secret: String,
}

impl fmt::Debug for PushAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PushAddresses({}…)", self.url)
    }
}

impl fmt::Debug for PushAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PushAddress(…)")
    }
}

impl PushReceiver {
    /// Its addresses begin with `url`, which ends with a slash.
    pub fn new(url: Url) -> PushReceiver {
        PushReceiver(Arc::new(PushAddresses { url, open: Mutex::default() }))
    }

    fn open_addresses(&self) -> MutexGuard<'_, HashMap<String, OpenAddress>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new address. Pushes to it are hints for `hints`; they must be signed with the key `vapid_key`, if there is
    /// one.
    ///
    /// # Errors
    /// [`PushError::NoRandom`]
    pub fn open(&self, hints: HintReceiver, vapid_key: Option<Vec<u8>>) -> Result<PushAddress, PushError> {
        let random = SystemRandom::new();
        let (mut secret, mut auth_secret) = ([0; SECRET], [0; AUTH_SECRET]);
        let filled = random.fill(&mut secret).and_then(|()| random.fill(&mut auth_secret));
        let key = filled.and_then(|()| EphemeralPrivateKey::generate(&ECDH_P256, &random)?.compute_public_key());
        let key = key.map_err(|_| PushError::NoRandom)?;
        let secret = base64url(&secret);
        let url = self.0.url.join(&format!("push/{secret}")).map_err(|_| PushError::NoRandom)?;
        self.open_addresses().insert(secret.clone(), OpenAddress { hints, vapid_key });
        let (public_key, auth_secret) = (base64url(key.as_ref()), base64url(&auth_secret));
        Ok(PushAddress { receiver: self.clone(), secret, url, public_key, auth_secret })
    }

    /// Takes a push that comes at `now` to the address with `secret`, with the header `authorization`.
    ///
    /// # Errors
    /// [`PushError`], when it is not a hint.
    pub fn receive(&self, secret: &str, authorization: Option<&str>, now: UtcMillis) -> Result<(), PushError> {
        let open = self.open_addresses();
        let address = open.get(secret).ok_or(PushError::Gone)?;
        if let Some(key) = &address.vapid_key {
            let origin = self.0.url.origin().ascii_serialization();
            vapid::verify(authorization.ok_or(PushError::Unsigned)?, key, &origin, now)?;
        }
        address.hints.counted_hint(tokio::time::Instant::now()).map_err(|_| PushError::TooMany)
    }
}

impl Drop for PushAddress {
    fn drop(&mut self) {
        self.receiver.open_addresses().remove(&self.secret);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hints::HintRegistry;

    #[tokio::test]
    async fn a_push_to_an_address_is_a_hint_as_long_as_the_address_is_open() {
        let receiver = PushReceiver::new(Url::parse("https://reveille.example.org:8443/x/").unwrap());
        let hints = HintRegistry::default().register("mary", None);
        let address = receiver.open(hints.clone(), None).unwrap();
        let other = receiver.open(hints.clone(), None).unwrap();
        let secret = address.url.path().strip_prefix("/x/push/").unwrap().to_owned();
        assert!(secret.len() >= 43 && other.url != address.url);
        let shown = format!("{address:?} {receiver:?}");
        assert!(!shown.contains(&secret) && !shown.contains(&address.auth_secret), "{shown}");
        assert_eq!(crate::text::octets_of_base64(&address.public_key).unwrap().len(), 65);
        receiver.receive(&secret, None, UtcMillis(0)).unwrap();
        assert!(hints.take().is_hinted);
        assert_eq!(receiver.receive("guessed", None, UtcMillis(0)), Err(PushError::Gone));
        drop(address);
        assert_eq!(receiver.receive(&secret, None, UtcMillis(0)), Err(PushError::Gone));
        assert!(!hints.take().is_hinted);
        let signed = receiver.open(hints.clone(), Some(vec![4; 65])).unwrap();
        let secret = signed.url.path().rsplit('/').next().unwrap().to_owned();
        assert_eq!(receiver.receive(&secret, None, UtcMillis(0)), Err(PushError::Unsigned));
        assert!(!hints.take().is_hinted);
    }
}

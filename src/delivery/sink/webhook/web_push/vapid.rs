//! Who sends a message (VAPID, RFC 8292): a JSON Web Token, signed with ECDSA on the curve P-256 (ES256, RFC 7518,
//! 3.4).

use reqwest::Url;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;

use crate::tables::SecretRef;
use crate::text::base64url;
use crate::time::UtcMillis;

/// Seconds for which a token is valid: at most a day (RFC 8292, 2), less what the clocks of both machines may differ.
const VALID: i64 = 12 * 3_600;

/// The key that signs.
#[derive(Debug)]
pub struct VapidKey(EcdsaKeyPair);

impl VapidKey {
    /// The one at `place`.
    ///
    /// # Errors
    /// When it cannot be read, or is none: a sentence.
    pub fn read(place: &SecretRef) -> Result<VapidKey, String> {
        let secret = place.read().map_err(|error| error.to_string())?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(secret.expose().as_bytes()).ok().and_then(|der| {
            let random = SystemRandom::new();
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der(), &random).ok()
        });
        let make = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256";
        key.map(VapidKey).ok_or_else(|| format!("{} names a file that is not a key as '{make}' makes one", place.key()))
    }

    /// The public key, in base64 for URLs.
    pub fn public(&self) -> String {
        base64url(self.0.public_key().as_ref())
    }

    /// The header Authorization of a message to `url` at `now`; `contact` can be asked about the sender.
    ///
    /// # Errors
    /// When there are no random numbers: a sentence.
    pub fn authorization(&self, url: &Url, contact: &str, now: UtcMillis) -> Result<String, String> {
        let expires = now.0.div_euclid(1_000).saturating_add(VALID);
        let claims = json!({ "aud": url.origin().ascii_serialization(), "exp": expires, "sub": contact });
        let header = json!({ "typ": "JWT", "alg": "ES256" });
        let [header, claims] = [header, claims].map(|part| base64url(part.to_string().as_bytes()));
        let text = format!("{header}.{claims}");
        let signature = self.0.sign(&SystemRandom::new(), text.as_bytes());
        let signature =
            signature.map_err(|_| "the message cannot be signed: there are no random numbers".to_owned())?;
        Ok(format!("vapid t={text}.{}, k={}", base64url(signature.as_ref()), self.public()))
    }
}

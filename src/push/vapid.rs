//! Whether a push comes from the server that announced a key: VAPID (RFC 8292), a JSON Web Token that is signed with
//! ECDSA on the curve P-256 (ES256, RFC 7518, 3.4).

use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde::Deserialize;

use super::error::PushError;
use crate::text::octets_of_base64;
use crate::time::UtcMillis;

/// Octets of the header.
const MAX_HEADER: usize = 4 * 1024;
/// A token expires within a day (RFC 8292, 2). The clocks of both machines may differ by as much as an hour.
const LONGEST: i64 = 24 * 3_600;
const SKEW: i64 = 3_600;

#[derive(Deserialize)]
struct TokenHeader {
    alg: String,
}

#[derive(Deserialize)]
struct TokenClaims {
    aud: Audience,
    exp: f64,
}

/// `aud` is a text or a list of texts (RFC 7519, 4.1.3).
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// Checks the header `authorization` of a push to `origin` that comes at `now`: it must be signed with `key`, a point
/// of P-256 (uncompressed).
///
/// # Errors
/// [`PushError::Unsigned`] if it is of another scheme, [`PushError::WrongSignature`].
pub(super) fn verify(authorization: &str, key: &[u8], origin: &str, now: UtcMillis) -> Result<(), PushError> {
    let (scheme, parameters) = authorization.split_once(' ').ok_or(PushError::Unsigned)?;
    if !scheme.eq_ignore_ascii_case("vapid") || authorization.len() > MAX_HEADER {
        return Err(PushError::Unsigned);
    }
    let parameter = |name: &str| {
        let pairs = parameters.split(',').filter_map(|pair| pair.trim().split_once('='));
        pairs.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim_matches('"'))
    };
    let is_valid = || {
        let token = parameter("t")?;
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header: TokenHeader = serde_json::from_slice(&octets_of_base64(header)?).ok()?;
        let claims: TokenClaims = serde_json::from_slice(&octets_of_base64(claims)?).ok()?;
        let is_signed = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key)
            .verify(signed.as_bytes(), &octets_of_base64(signature)?)
            .is_ok();
        let is_own_key = octets_of_base64(parameter("k")?)? == key;
        let left = claims.exp - now.0 as f64 / 1_000.0;
        let is_timely = left > -(SKEW as f64) && left <= (LONGEST + SKEW) as f64;
        let is_ours = match &claims.aud {
            Audience::One(audience) => audience == origin,
            Audience::Several(audiences) => audiences.iter().any(|audience| audience == origin),
        };
        (header.alg == "ES256" && is_signed && is_own_key && is_timely && is_ours).then_some(())
    };
    is_valid().ok_or(PushError::WrongSignature)
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};

    use super::*;
    use crate::text::base64url;

    const NOW: UtcMillis = UtcMillis(1_795_382_222_000);
    const ORIGIN: &str = "https://reveille.example.org";

    fn key() -> EcdsaKeyPair {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap()
    }

    fn signed(key: &EcdsaKeyPair, header: &str, claims: &str) -> String {
        let text = format!("{}.{}", base64url(header.as_bytes()), base64url(claims.as_bytes()));
        let signature = key.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        let public = base64url(key.public_key().as_ref());
        format!("vapid t={text}.{}, k={public}", base64url(signature.as_ref()))
    }

    #[test]
    fn only_what_the_announced_key_has_signed_for_this_receiver_and_this_day_is_valid() {
        let (own, other) = (key(), key());
        let now = NOW.0 / 1_000;
        let claims = |aud: &str, exp: i64| format!("{{\"aud\":{aud},\"exp\":{exp},\"sub\":\"mailto:a@b\"}}");
        let good = claims(&format!("\"{ORIGIN}\""), now + 3_600);
        let es256 = "{\"typ\":\"JWT\",\"alg\":\"ES256\"}";
        let public = own.public_key().as_ref();
        let verified = |header: &str| verify(header, public, ORIGIN, NOW);
        assert_eq!(verified(&signed(&own, es256, &good)), Ok(()));
        assert_eq!(verified(&signed(&own, es256, &claims(&format!("[\"{ORIGIN}\"]"), now + 9))), Ok(()));
        for wrong in [
            signed(&other, es256, &good),
            signed(&own, "{\"alg\":\"none\"}", &good),
            signed(&own, es256, &claims("\"https://other.example.org\"", now + 9)),
            signed(&own, es256, &claims(&format!("\"{ORIGIN}\""), now - 2 * SKEW)),
            signed(&own, es256, &claims(&format!("\"{ORIGIN}\""), now + 3 * LONGEST)),
            signed(&own, es256, &good).replace("k=", "k=B"),
            signed(&own, es256, &good).replace(", k=", ", x="),
            "vapid t=a.b.c, k=x".to_owned(),
            "vapid ".to_owned(),
        ] {
            assert_eq!(verified(&wrong), Err(PushError::WrongSignature), "{wrong}");
        }
        // The token of one key with the announced one beside it.
        let stolen = signed(&other, es256, &good);
        let stolen = format!("{}, k={}", stolen.split(", k=").next().unwrap(), base64url(public));
        assert_eq!(verified(&stolen), Err(PushError::WrongSignature));
        assert_eq!(verified("Bearer x"), Err(PushError::Unsigned));
        assert_eq!(verified(&format!("vapid t={}", "x".repeat(MAX_HEADER))), Err(PushError::Unsigned));
    }
}

//! The signature of a message, as Standard Webhooks describes it: HMAC-SHA256 of its id, its time and its body.

use ring::hmac;

use crate::tables::Secret;
use crate::text::{base64, octets_of_base64};

/// What a secret in base64 begins with.
const PREFIX: &str = "whsec_";

/// The keys that sign: more than one while a secret is exchanged for another one.
#[derive(Debug)]
pub struct SigningKeys(Vec<hmac::Key>);

impl SigningKeys {
    /// Those in `text`, one a line: base64 after `whsec_`, or anything else as it is.
    ///
    /// # Errors
    /// Where one is no base64, or there is none: the rest of a sentence.
    pub fn read(text: &Secret) -> Result<SigningKeys, String> {
        let lines = text.expose().lines().map(str::trim).filter(|line| !line.is_empty());
        let keys = lines.map(|line| match line.strip_prefix(PREFIX) {
            Some(coded) => octets_of_base64(coded).filter(|octets| !octets.is_empty()),
            None => Some(line.as_bytes().to_vec()),
        });
        let keys: Option<Vec<hmac::Key>> =
            keys.map(|key| key.map(|key| hmac::Key::new(hmac::HMAC_SHA256, &key))).collect();
        match keys {
            Some(keys) if !keys.is_empty() => Ok(SigningKeys(keys)),
            Some(_) => Err("names a file without a secret".to_owned()),
            None => Err(format!("names a file with a secret that is no base64 after {PREFIX}")),
        }
    }

    /// The header `webhook-signature` of the message `id` with `body`, sent at `seconds` after 1970: a signature for
    /// each key.
    pub fn sign(&self, id: &str, seconds: &str, body: &str) -> String {
        let message = format!("{id}.{seconds}.{body}");
        let sign = |key| format!("v1,{}", base64(hmac::sign(key, message.as_bytes()).as_ref()));
        self.0.iter().map(sign).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_reference_libraries_is_signed_as_there() {
        // The values of the test of the reference implementations.
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let sign = |secret: &str| {
            SigningKeys::read(&Secret::new(secret)).unwrap().sign(id, "1614265330", "{\"test\": 2432232314}")
        };
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), expected);
        let both = sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n\nold secret\n");
        assert_eq!(both.split(' ').collect::<Vec<_>>(), [expected, sign("old secret").as_str()]);
        assert!(SigningKeys::read(&Secret::new("whsec_!")).is_err() && SigningKeys::read(&Secret::new("\n")).is_err());
    }
}

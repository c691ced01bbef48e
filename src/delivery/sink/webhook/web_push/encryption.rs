//! The encryption of the content of a message for its receiver (RFC 8291), as one record of aes128gcm (RFC 8188).

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::error::Unspecified;
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use ring::rand::{SecureRandom as _, SystemRandom};

/// Octets of a record at most, which is one more than any of ours has (RFC 8188, 2).
const RECORD: u32 = 4_096;
/// Octets of a salt, of a point of P-256, of a tag.
const SALT: usize = 16;
const POINT: usize = 65;
const TAG: usize = 16;
/// Octets that come to those of the content: salt, size of a record, length of the key, key, delimiter, tag.
pub const OVERHEAD: usize = SALT + 4 + 1 + POINT + 1 + TAG;

/// How content is encrypted for a receiver.
#[derive(Clone, PartialEq, Eq)]
pub struct ReceiverKeys {
    /// Its public key, a point of P-256, uncompressed.
    pub public: Vec<u8>,
    /// The secret that it shares with senders.
    pub auth: Vec<u8>,
}

impl std::fmt::Debug for ReceiverKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReceiverKeys(…)")
    }
}

/// So many octets of key material.
#[derive(Clone, Copy)]
struct Octets(usize);

impl KeyType for Octets {
    fn len(&self) -> usize {
        self.0
    }
}

/// `content` encrypted for the receiver with `keys`, by a key that is used once.
///
/// # Errors
/// When the public key is none, or there are no random numbers: a sentence.
pub fn encrypted(content: &[u8], keys: &ReceiverKeys) -> Result<Vec<u8>, String> {
    let fail = |_: Unspecified| "the message cannot be encrypted: the key of the subscription is not valid".to_owned();
    let random = SystemRandom::new();
    let mut salt = [0; SALT];
    random.fill(&mut salt).map_err(fail)?;
    let own = EphemeralPrivateKey::generate(&ECDH_P256, &random).map_err(fail)?;
    let own_public = own.compute_public_key().map_err(fail)?;
    let receiver = UnparsedPublicKey::new(&ECDH_P256, &keys.public);
    let shared = agree_ephemeral(own, &receiver, |shared| Salt::new(HKDF_SHA256, &keys.auth).extract(shared));
    let shared = shared.map_err(fail)?;
    seal(content, &shared, &salt, [&keys.public, own_public.as_ref()]).map_err(fail)
}

/// The record: `shared` is extracted from the secret of both sides, whose `public` keys are the receiver's and ours.
fn seal(content: &[u8], shared: &Prk, salt: &[u8; SALT], public: [&[u8]; 2]) -> Result<Vec<u8>, Unspecified> {
    let [receiver, own] = public;
    let mut secret = [0; 32];
    shared.expand(&[b"WebPush: info\0", receiver, own], Octets(32))?.fill(&mut secret)?;
    let prk = Salt::new(HKDF_SHA256, salt).extract(&secret);
    let (mut key, mut nonce) = ([0; 16], [0; 12]);
    prk.expand(&[b"Content-Encoding: aes128gcm\0"], Octets(16))?.fill(&mut key)?;
    prk.expand(&[b"Content-Encoding: nonce\0"], Octets(12))?.fill(&mut nonce)?;
    // The delimiter of the last record.
    let mut sealed = [content, &[2]].concat();
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key)?);
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed)?;
    let length = u8::try_from(own.len()).map_err(|_| Unspecified)?;
    Ok([salt, &RECORD.to_be_bytes()[..], &[length], own, &sealed].concat())
}

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::hmac;
use ring::rand::SystemRandom;

use super::encryption::{OVERHEAD, ReceiverKeys, encrypted};
use super::*;

/// HMAC-SHA256 of the `parts`, one after the other.
fn mac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &parts.concat()).as_ref().to_vec()
}

/// As the receiver decrypts it, by the steps of RFC 8291, 3.4.
fn decrypted(body: &[u8], own: EphemeralPrivateKey, keys: &ReceiverKeys) -> Vec<u8> {
    let (salt, rest) = body.split_at(16);
    let (sender, record) = rest[5..].split_at(65);
    assert_eq!(rest[..5], [0, 0, 16, 0, 65]);
    let shared = agree_ephemeral(own, &UnparsedPublicKey::new(&ECDH_P256, sender), <[u8]>::to_vec).unwrap();
    let secret = mac(&mac(&keys.auth, &[&shared]), &[b"WebPush: info\0", &keys.public, sender, &[1]]);
    let prk = mac(salt, &[&secret]);
    let key = mac(&prk, &[b"Content-Encoding: aes128gcm\0\x01"]);
    let nonce = mac(&prk, &[b"Content-Encoding: nonce\0\x01"]);
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key[..16]).unwrap());
    let mut record = record.to_vec();
    let nonce = Nonce::try_assume_unique_for_key(&nonce[..12]).unwrap();
    key.open_in_place(nonce, Aad::empty(), &mut record).unwrap().to_vec()
}

#[test]
fn content_is_read_by_its_receiver_and_differs_each_time() {
    let content = "x".repeat(LONGEST_JSON);
    let mut bodies = Vec::new();
    for _ in 0..2 {
        let own = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new()).unwrap();
        let keys = ReceiverKeys { public: own.compute_public_key().unwrap().as_ref().to_vec(), auth: vec![7; 16] };
        let body = encrypted(content.as_bytes(), &keys).unwrap();
        assert_eq!(body.len(), content.len() + OVERHEAD);
        assert_eq!(body.len(), LONGEST);
        assert_eq!(decrypted(&body, own, &keys), format!("{content}\u{2}").into_bytes());
        bodies.push(body);
    }
    assert_ne!(bodies[0][..16], bodies[1][..16]);
    let keys = ReceiverKeys { public: vec![4; 65], auth: vec![7; 16] };
    assert!(encrypted(b"x", &keys).unwrap_err().contains("not valid"), "no point of the curve");
}

#[test]
fn the_answer_of_a_push_service_is_read() {
    let after = Some(Duration::from_secs(9));
    let of = |status| verdict(&ReceiverAnswer::new(status, after, ""));
    assert_eq!([of(201), of(202)], [AnswerVerdict::Delivered; 2]);
    assert_eq!([of(400), of(401), of(403), of(404), of(410)], [AnswerVerdict::Settings; 5]);
    assert_eq!(
        [of(413), of(429), of(503)],
        [AnswerVerdict::Never, AnswerVerdict::Later(after), AnswerVerdict::Later(after)]
    );
}

//! Links by which whoever has a notification may answer its alarm: signed, and of no use after some days. A link names
//! a firing and nothing else.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use jiff::SignedDuration;
use reqwest::Url;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::text::{base64url, hex, octets_of_base64};
use crate::time::UtcMillis;

/// Octets of the key.
const KEY: usize = 32;
/// Octets of a token: when it ends, in seconds since 1970, the identity of the firing, and half of the HMAC.
const TIME: usize = 8;
const IDENTITY: usize = 16;
const SIGNATURE: usize = 16;
/// What is signed begins so: the key may sign other things one day.
const CONTEXT: &[u8] = b"reveille answer 1\0";

/// Makes and reads links. Clones share it; the default makes none.
#[derive(Clone, Default)]
pub struct AnswerLinks(Option<Arc<LinkMaker>>);

struct LinkMaker {
    /// With a slash at its end.
    url: Url,
    key: hmac::Key,
    valid: SignedDuration,
    /// Sources that answers may be written into.
    sources: RwLock<HashSet<String>>,
}

/// Why a link is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It was not made here, or was changed.
    #[error("this link is not valid")]
    Forged,
    /// It is too old.
    #[error("this link is too old to be used")]
    Expired,
}

impl fmt::Debug for AnswerLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AnswerLinks").field(&self.0.as_ref().map(|maker| maker.url.as_str())).finish()
    }
}

/// A new key, in hexadecimal digits; none if the system has no random numbers.
pub fn new_key() -> Option<String> {
    let mut key = [0; KEY];
    SystemRandom::new().fill(&mut key).ok()?;
    Some(hex(&key))
}

impl AnswerLinks {
    /// Makes links below `url`, which ends in a slash, that are `valid` for so long after the alarm is due. `key` signs
    /// them.
    pub fn new(url: Url, key: &str, valid: SignedDuration) -> AnswerLinks {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
        AnswerLinks(Some(Arc::new(LinkMaker { url, key, valid, sources: RwLock::default() })))
    }

    /// From now on the alarms of `source` have links, or no more.
    pub fn allow(&self, source: &str, is_writable: bool) {
        let Some(maker) = &self.0 else { return };
        let mut sources = maker.sources.write().unwrap_or_else(PoisonError::into_inner);
        if is_writable {
            sources.insert(source.to_owned());
        } else {
            sources.remove(source);
        }
    }

    /// The link for the alarm of `source` with this `identity` that is `due` then; empty if there is none.
    pub fn link(&self, source: &str, identity: &[u8; IDENTITY], due: UtcMillis) -> String {
        let Some(maker) = &self.0 else { return String::new() };
        if !maker.sources.read().unwrap_or_else(PoisonError::into_inner).contains(source) {
            return String::new();
        }
        let until = due.saturating_add(maker.valid).seconds().to_be_bytes();
        let signature = maker.signature(&until, identity);
        let token = [&until[..], identity, signature.as_ref().get(..SIGNATURE).unwrap_or_default()].concat();
        format!("{}answer/{}", maker.url, base64url(&token))
    }

    /// The identity of the firing that `token`, the last part of a link, names, if it may be used at `now`.
    ///
    /// # Errors
    /// [`LinkError`] when it may not.
    pub fn read(&self, token: &str, now: UtcMillis) -> Result<[u8; IDENTITY], LinkError> {
        let maker = self.0.as_ref().ok_or(LinkError::Forged)?;
        let octets = octets_of_base64(token).filter(|octets| octets.len() == TIME + IDENTITY + SIGNATURE);
        let octets = octets.ok_or(LinkError::Forged)?;
        let (until, rest) = octets.split_first_chunk::<TIME>().ok_or(LinkError::Forged)?;
        let (identity, given) = rest.split_first_chunk::<IDENTITY>().ok_or(LinkError::Forged)?;
        let signature = maker.signature(until, identity);
        if !is_equal(signature.as_ref().get(..SIGNATURE).unwrap_or_default(), given) {
            return Err(LinkError::Forged);
        }
        if now.seconds() >= i64::from_be_bytes(*until) {
            return Err(LinkError::Expired);
        }
        Ok(*identity)
    }
}

impl LinkMaker {
    fn signature(&self, until: &[u8; TIME], identity: &[u8; IDENTITY]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        [CONTEXT, until, identity].into_iter().for_each(|part| context.update(part));
        context.sign()
    }
}

/// Whether both are the same, in a time that does not tell where they differ.
fn is_equal(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(key: &str) -> AnswerLinks {
        let links =
            AnswerLinks::new(Url::parse("https://r.example/x/").unwrap(), key, SignedDuration::from_hours(24 * 7));
        links.allow("home", true);
        links
    }

    fn token(link: &str) -> String {
        link.strip_prefix("https://r.example/x/answer/").unwrap().to_owned()
    }

    #[test]
    fn a_link_names_its_firing_for_a_week() {
        let (due, identity) = (UtcMillis::from_seconds(1_000_000), [7; 16]);
        let token = token(&links("k").link("home", &identity, due));
        let last = due.saturating_add(SignedDuration::from_secs(7 * 86_400 - 1));
        assert_eq!(links("k").read(&token, last), Ok(identity));
        let after = due.saturating_add(SignedDuration::from_secs(7 * 86_400));
        assert_eq!(links("k").read(&token, after), Err(LinkError::Expired));
        assert_eq!(links("other").read(&token, due), Err(LinkError::Forged));
        assert_eq!(AnswerLinks::default().read(&token, due), Err(LinkError::Forged));
    }

    #[test]
    fn a_changed_link_is_refused_wherever_it_is_changed() {
        let due = UtcMillis::from_seconds(1_000_000);
        let token = token(&links("k").link("home", &[7; 16], due));
        let octets = octets_of_base64(&token).unwrap();
        for bit in 0..octets.len() * 8 {
            let mut changed = octets.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(links("k").read(&base64url(&changed), due), Err(LinkError::Forged), "{bit}");
        }
        for wrong in ["", "a", &token[1..], &token.repeat(2), "\u{e4}"] {
            assert_eq!(links("k").read(wrong, due), Err(LinkError::Forged), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_writable_has_no_link() {
        let due = UtcMillis::from_seconds(1_000_000);
        let links = links("k");
        assert_eq!(links.link("other", &[7; 16], due), "");
        links.allow("home", false);
        assert_eq!(links.link("home", &[7; 16], due), "");
        assert_eq!(AnswerLinks::default().link("home", &[7; 16], due), "");
        assert_ne!(new_key(), new_key());
        assert_eq!(new_key().unwrap().len(), 2 * KEY);
    }
}

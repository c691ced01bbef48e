//! Logging in: what a request says of who asks, and what a response that asks for a login means. A password is sent by
//! the scheme that the server offers: by Basic (RFC 7617), or as a digest (RFC 7616). Without encryption it is sent by
//! Basic only to a server that has not offered Digest.

use std::sync::{Mutex, MutexGuard, PoisonError};

use reqwest::Url;
use reqwest::header::HeaderValue;

use super::challenge::Challenge;
use super::digest::{DigestChallenge, DigestRequest, DigestSession};
use super::host::{Host, PasswordOffer};
use super::message::{HttpRequest, HttpResponse};
use crate::tables::{PasswordScheme, Secret};

/// With what a client logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// Nothing.
    None,
    /// A name and a password.
    Password {
        /// The name.
        username: String,
        /// The password.
        password: Secret,
        /// How they are sent.
        scheme: PasswordScheme,
    },
    /// A token (RFC 6750).
    Bearer {
        /// The token.
        token: Secret,
    },
}

/// How a request logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentLogin {
    /// Not at all.
    Nothing,
    /// By Basic.
    Basic,
    /// By Digest.
    Digest,
    /// By a token.
    Bearer,
}

/// How a client logs in to its server, as far as it knows it.
#[derive(Debug)]
pub struct LoginState {
    is_encrypted: bool,
    digest: Mutex<Option<DigestSession>>,
    /// How the server wants passwords, if it has said that and there is encryption. Without, all clients of a server
    /// have to know that it has offered Digest.
    offer: Mutex<Option<PasswordOffer>>,
}

impl LoginState {
    /// For the server at `url`, of which nothing is known.
    pub fn new(url: &Url) -> LoginState {
        LoginState { is_encrypted: url.scheme() == "https", digest: Mutex::default(), offer: Mutex::default() }
    }

    /// How `host` wants passwords, as far as this client has to know.
    fn password_offer(&self, host: &Host) -> Option<PasswordOffer> {
        if self.is_encrypted { *lock(&self.offer) } else { host.password_offer() }
    }

    /// Notes that `host` wants passwords by `offer`.
    fn note_offer(&self, host: &Host, offer: PasswordOffer) {
        if self.is_encrypted { *lock(&self.offer) = Some(offer) } else { host.offers(offer) }
    }

    /// The header Authorization with which `login` sends `request` to `host`, and what that is.
    pub fn authorization(&self, login: &Login, host: &Host, request: &HttpRequest) -> (SentLogin, Option<HeaderValue>) {
        let (username, password, scheme) = match login {
            Login::None => return (SentLogin::Nothing, None),
            Login::Bearer { token } => return (SentLogin::Bearer, header(&format!("Bearer {}", token.expose()))),
            Login::Password { username, password, scheme } => (username, password.expose(), *scheme),
        };
        let uri = uri(&request.url);
        let request = DigestRequest { method: request.method.name(), uri: &uri };
        let digest = || {
            let mut session = lock(&self.digest);
            let answer = session.as_mut().map(|session| session.authorization(username, password, request));
            answer.map(|answer| (SentLogin::Digest, header(&answer)))
        };
        let basic = || {
            let encoded = base64(format!("{username}:{password}").as_bytes());
            (SentLogin::Basic, header(&format!("Basic {encoded}")))
        };
        // A server has to be asked for a nonce, and one without encryption for what it offers.
        match (scheme, self.password_offer(host)) {
            (PasswordScheme::Basic, _) | (PasswordScheme::Auto, Some(PasswordOffer::Basic)) => basic(),
            (PasswordScheme::Auto, None) if self.is_encrypted => basic(),
            (PasswordScheme::Digest | PasswordScheme::Auto, _) => digest().unwrap_or((SentLogin::Nothing, None)),
        }
    }

    /// Whether a request of `login` that was sent to `host` with `sent` is to be sent again because of `response`: the
    /// server has said how it wants to be logged in to.
    pub fn is_to_be_repeated(&self, login: &Login, host: &Host, sent: SentLogin, response: &HttpResponse) -> bool {
        let Login::Password { scheme, .. } = login else { return false };
        if *scheme == PasswordScheme::Basic {
            return false;
        }
        if response.status != 401 {
            return self.is_let_in(*scheme, host, sent, response);
        }
        let digest = DigestChallenge::strongest(&response.challenges);
        let offers_basic = response.challenges.iter().any(|challenge| challenge.is("Basic"));
        let prefers_basic = *scheme == PasswordScheme::Auto && offers_basic && self.is_encrypted;
        match digest.filter(|_| !prefers_basic) {
            Some(challenge) => self.answer(challenge, host, sent),
            None if *scheme == PasswordScheme::Auto && sent != SentLogin::Basic => self.fall_back(host),
            None => false,
        }
    }

    /// Whether a request is to be repeated that the server did not ask to log in: one that should tell what the server
    /// offers. What it says to strangers may be something else.
    fn is_let_in(&self, scheme: PasswordScheme, host: &Host, sent: SentLogin, response: &HttpResponse) -> bool {
        if sent == SentLogin::Digest {
            let next_nonce = response.next_nonce.as_deref();
            lock(&self.digest).iter_mut().for_each(|session| session.accepted(next_nonce));
        }
        let is_unknown = self.password_offer(host).is_none();
        let is_silent = scheme == PasswordScheme::Auto && sent == SentLogin::Nothing && is_unknown;
        let is_answer = !response.is_unavailable() && !(300..400).contains(&response.status) && response.status < 500;
        let is_stranger = is_silent && is_answer;
        if is_stranger {
            self.note_offer(host, PasswordOffer::Basic);
        }
        is_stranger
    }

    /// Goes over to the nonce of `challenge`. Whether the request that was sent with `sent` may succeed with it: not if
    /// the password has just been refused.
    fn answer(&self, challenge: DigestChallenge, host: &Host, sent: SentLogin) -> bool {
        self.note_offer(host, PasswordOffer::Digest);
        let mut session = lock(&self.digest);
        let is_used_up = session.as_ref().is_none_or(|session| session.may_be_used_up(&challenge));
        let may_succeed = sent != SentLogin::Digest || challenge.is_stale() || is_used_up;
        *session = DigestSession::new(challenge);
        may_succeed && session.is_some()
    }

    /// Goes over to Basic, unless the server has offered Digest and there is no encryption.
    fn fall_back(&self, host: &Host) -> bool {
        let may = self.is_encrypted || self.password_offer(host) != Some(PasswordOffer::Digest);
        if may {
            self.note_offer(host, PasswordOffer::Basic);
        }
        may
    }

    /// What stands in the way of a login by password that `host` refused with `challenges`, besides the password: the
    /// rest of a sentence about the server.
    pub fn obstacle(&self, scheme: PasswordScheme, host: &Host, challenges: &[Challenge]) -> Option<&'static str> {
        let has = |name: &str| challenges.iter().any(|challenge| challenge.is(name));
        match scheme {
            PasswordScheme::Basic if has("Digest") && !has("Basic") => {
                Some("it offers Digest, and the source says auth = \"basic\"")
            }
            PasswordScheme::Digest if has("Basic") && !has("Digest") => {
                Some("it offers Basic, and the source says auth = \"digest\"")
            }
            PasswordScheme::Auto | PasswordScheme::Digest
                if has("Digest") && DigestChallenge::strongest(challenges).is_none() && !has("Basic") =>
            {
                Some("it offers Digest with an algorithm or a qop that Reveille does not know")
            }
            PasswordScheme::Auto
                if !self.is_encrypted && !has("Digest") && self.password_offer(host) == Some(PasswordOffer::Digest) =>
            {
                Some("it offered Digest before and no longer does, and without encryption Basic is not used then")
            }
            _ => None,
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The path and the query of `url`, as they are sent.
fn uri(url: &Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

/// A header that no log shows; none if it cannot be one.
fn header(value: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_bytes(value.as_bytes()).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// RFC 4648, 4.
fn base64(octets: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(octets.len().div_ceil(3) * 4);
    for three in octets.chunks(3) {
        let at = |n: usize| three.get(n).copied().map_or(0, u32::from);
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for (n, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let digit = usize::try_from(bits >> shift & 63).ok().and_then(|digit| DIGITS.get(digit));
            text.push(if n <= three.len() { digit.map_or('=', |digit| char::from(*digit)) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::challenge::challenges;
    use crate::http::message::{Method, response_head};

    /// A client of a server, and what happens to its requests.
    struct Conversation {
        url: Url,
        state: LoginState,
        host: Host,
        login: Login,
    }

    impl Conversation {
        fn with(url: &str, scheme: PasswordScheme) -> Conversation {
            let url = Url::parse(url).unwrap();
            let (username, password) = ("Aladdin".to_owned(), Secret::new("open sesame"));
            let login = Login::Password { username, password, scheme };
            Conversation { state: LoginState::new(&url), url, host: Host::default(), login }
        }

        /// What is sent, in the form `Basic …`.
        fn sends(&self) -> (SentLogin, String) {
            let request = HttpRequest::new(Method::GET, &self.url);
            let (sent, header) = self.state.authorization(&self.login, &self.host, &request);
            (sent, header.map(|header| String::from_utf8_lossy(header.as_bytes()).into_owned()).unwrap_or_default())
        }

        /// Whether the request is repeated after a response with `status` and `offers`.
        fn repeats(&self, sent: SentLogin, status: u16, offers: &[&str]) -> bool {
            let mut response = response_head(self.url.clone(), status, &reqwest::header::HeaderMap::new());
            response.challenges = challenges(offers.iter().map(|offer| offer.as_bytes()));
            self.state.is_to_be_repeated(&self.login, &self.host, sent, &response)
        }
    }

    impl Conversation {
        /// The server lets a request in and names the `nonce` of the next one.
        fn names_next(&self, nonce: &str) {
            let mut headers = reqwest::header::HeaderMap::new();
            headers.insert("authentication-info", format!("qop=auth, nextnonce=\"{nonce}\"").parse().unwrap());
            let response = response_head(self.url.clone(), 207, &headers);
            assert!(!self.state.is_to_be_repeated(&self.login, &self.host, SentLogin::Digest, &response));
        }
    }

    const HTTPS: &str = "https://dav.example.org/cal/";
    const HTTP: &str = "http://dav.example.org/cal/";
    const DIGEST: &str = "Digest realm=\"x\", nonce=\"1\", qop=\"auth\"";
    const NEXT: &str = "Digest realm=\"x\", nonce=\"2\", qop=\"auth\"";
    const STALE: &str = "Digest realm=\"x\", nonce=\"3\", qop=\"auth\", stale=TRUE";
    const BASIC: &str = "Basic realm=\"x\"";
    use PasswordScheme::{Auto, Basic, Digest};

    #[test]
    fn with_encryption_basic_is_sent_at_once_and_digest_where_it_alone_is_offered() {
        let both = Conversation::with(HTTPS, Auto);
        assert_eq!(both.sends(), (SentLogin::Basic, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==".to_owned()));
        assert!(!both.repeats(SentLogin::Basic, 401, &[DIGEST, BASIC]), "the password is wrong");
        let digest = Conversation::with(HTTPS, Auto);
        assert!(digest.repeats(SentLogin::Basic, 401, &[DIGEST]));
        let (sent, header) = digest.sends();
        assert!(sent == SentLogin::Digest && header.contains("uri=\"/cal/\"") && header.contains("nc=00000001"));
        assert!(!digest.repeats(sent, 207, &[]));
        assert!(digest.sends().1.contains("nonce=\"1\"") && digest.sends().1.contains("nc=00000003"));
    }

    #[test]
    fn a_server_without_encryption_is_asked_first_and_gets_no_password_if_it_offers_digest() {
        for offers in [&[DIGEST, BASIC][..], &[DIGEST]] {
            let server = Conversation::with(HTTP, Auto);
            assert_eq!(server.sends(), (SentLogin::Nothing, String::new()));
            assert!(server.repeats(SentLogin::Nothing, 401, offers));
            assert_eq!(server.sends().0, SentLogin::Digest);
            // Whoever changes the answers of a server does not get the password either.
            assert!(!server.repeats(SentLogin::Digest, 401, &[BASIC]));
            assert_eq!(server.sends().0, SentLogin::Digest);
            // Another account on the same server asks it for a nonce.
            let other = Conversation { state: LoginState::new(&server.url), ..server };
            assert_eq!(other.sends().0, SentLogin::Nothing);
        }
        for (status, offers) in [(401, &[BASIC][..]), (401, &[]), (207, &[]), (404, &[])] {
            let server = Conversation::with(HTTP, Auto);
            assert!(server.repeats(SentLogin::Nothing, status, offers), "{status} {offers:?}");
            assert_eq!(server.sends().0, SentLogin::Basic);
            assert!(!server.repeats(SentLogin::Basic, status, offers));
        }
        for status in [301, 429, 500, 503] {
            let server = Conversation::with(HTTP, Auto);
            assert!(!server.repeats(SentLogin::Nothing, status, &[]));
            assert_eq!(server.sends().0, SentLogin::Nothing, "nothing is known yet");
        }
    }

    #[test]
    fn a_nonce_that_is_used_up_does_not_count_as_a_wrong_password() {
        let server = Conversation::with(HTTPS, Digest);
        assert_eq!(server.sends().0, SentLogin::Nothing);
        assert!(server.repeats(SentLogin::Nothing, 401, &[DIGEST]));
        assert!(!server.repeats(SentLogin::Digest, 401, &[NEXT]), "it was not let in with the nonce before");
        assert!(server.repeats(SentLogin::Digest, 401, &[STALE]));
        assert!(server.sends().1.contains("nonce=\"3\""));
        assert!(!server.repeats(SentLogin::Digest, 207, &[]));
        assert!(
            server.repeats(SentLogin::Digest, 401, &[DIGEST]),
            "there are servers that do not say that it is stale"
        );
        assert!(!server.repeats(SentLogin::Digest, 401, &[NEXT]));
    }

    #[test]
    fn backends_behind_one_encrypted_address_that_offer_different_schemes_do_not_disturb_each_other() {
        let digest = Conversation::with(HTTPS, Auto);
        assert!(digest.repeats(digest.sends().0, 401, &[DIGEST]));
        let basic = Conversation { state: LoginState::new(&digest.url), ..digest };
        // What the other one was offered is not tried here.
        assert_eq!(basic.sends().0, SentLogin::Basic);
        assert!(!basic.repeats(SentLogin::Basic, 207, &[]));
        let digest = Conversation { state: LoginState::new(&basic.url), ..basic };
        assert!(digest.repeats(digest.sends().0, 401, &[DIGEST]));
        for _ in 0..3 {
            let (sent, _) = digest.sends();
            assert_eq!(sent, SentLogin::Digest);
            assert!(!digest.repeats(sent, 207, &[]));
        }
        // One client whose requests go now to the one and now to the other is let in by both.
        assert!(digest.repeats(SentLogin::Digest, 401, &[BASIC]));
        assert_eq!(digest.sends().0, SentLogin::Basic);
        assert!(digest.repeats(SentLogin::Basic, 401, &[NEXT]));
        assert_eq!(digest.sends().0, SentLogin::Digest);
    }

    #[test]
    fn the_next_nonce_that_a_server_names_is_used() {
        for offer in [DIGEST, "Digest realm=\"x\", nonce=\"1\", qop=\"auth\", algorithm=MD5-sess"] {
            let server = Conversation::with(HTTPS, Digest);
            assert!(server.repeats(server.sends().0, 401, &[offer]));
            assert!(server.sends().1.contains("nonce=\"1\"") && server.sends().1.contains("nc=00000002"));
            server.names_next("7");
            assert!(server.sends().1.contains("nonce=\"7\"") && server.sends().1.contains("nc=00000002"));
            server.names_next("7");
            assert!(server.sends().1.contains("nc=00000003"), "the same nonce is counted on");
            // That it is used up is no refusal of the password, but a second time it is.
            assert!(server.repeats(SentLogin::Digest, 401, &[NEXT]));
            assert!(!server.repeats(SentLogin::Digest, 401, &[DIGEST]));
        }
    }

    #[test]
    fn what_the_source_says_is_the_only_scheme() {
        let basic = Conversation::with(HTTP, Basic);
        assert_eq!(basic.sends().0, SentLogin::Basic);
        assert!(!basic.repeats(SentLogin::Basic, 401, &[DIGEST]));
        let digest = Conversation::with(HTTP, Digest);
        assert!(!digest.repeats(SentLogin::Nothing, 401, &[BASIC]));
        assert_eq!(digest.sends().0, SentLogin::Nothing);
    }
}

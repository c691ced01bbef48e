//! Logging in by a digest of the password (RFC 7616, and RFC 2069 where a server asks for no quality of protection). Of
//! the algorithms it knows MD5 and SHA-256, each also for a session; of the qualities of protection `auth`.

use md5::Md5;
use rustls::crypto::ring;
use sha2::{Digest, Sha256};

use super::challenge::{Challenge, challenges};

/// The digest of which a response is made. The later is the stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Algorithm {
    Md5,
    Sha256,
}

/// A challenge that can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestChallenge {
    algorithm: Algorithm,
    /// The name of the algorithm, if the server says one.
    name: Option<&'static str>,
    /// The password is mixed with the nonce once for all requests.
    is_session: bool,
    realm: String,
    nonce: String,
    opaque: Option<String>,
    /// Requests are counted.
    has_qop: bool,
    is_stale: bool,
    is_utf8: bool,
}

/// The requests that are sent with one nonce of a server.
#[derive(Debug)]
pub struct DigestSession {
    challenge: DigestChallenge,
    /// The nonce of the challenge, also when that of the next request is another one.
    first_nonce: String,
    /// What the client adds to the nonce.
    cnonce: String,
    /// Requests so far.
    count: u32,
    /// The server has let one of them in.
    is_accepted: bool,
}

/// A request, as far as a digest is about it.
#[derive(Clone, Copy, Debug)]
pub struct DigestRequest<'r> {
    /// Its method.
    pub method: &'r str,
    /// Its path and its query, as they are sent.
    pub uri: &'r str,
}

/// The algorithms by name (RFC 7616, 3.3), and whether they are for a session.
const ALGORITHMS: [(&str, Algorithm, bool); 4] = [
    ("MD5", Algorithm::Md5, false),
    ("MD5-sess", Algorithm::Md5, true),
    ("SHA-256", Algorithm::Sha256, false),
    ("SHA-256-sess", Algorithm::Sha256, true),
];

impl DigestChallenge {
    /// The strongest of `challenges` that can be answered; of equals the first.
    pub fn strongest(challenges: &[Challenge]) -> Option<DigestChallenge> {
        let known = challenges.iter().filter_map(DigestChallenge::of);
        known.reduce(|best, next| if next.algorithm > best.algorithm { next } else { best })
    }

    fn of(challenge: &Challenge) -> Option<DigestChallenge> {
        let text = |name| challenge.parameter(name);
        let is = |name, value: &str| text(name).is_some_and(|said| said.eq_ignore_ascii_case(value));
        let (name, algorithm, is_session) = match text("algorithm") {
            None => (None, Algorithm::Md5, false),
            Some(said) => {
                let known = ALGORITHMS.into_iter().find(|(name, ..)| name.eq_ignore_ascii_case(said));
                known.map(|(name, algorithm, is_session)| (Some(name), algorithm, is_session))?
            }
        };
        let has_auth = |qop: &str| qop.split([',', ' ']).any(|one| one.eq_ignore_ascii_case("auth"));
        let has_qop = text("qop").is_some_and(has_auth);
        let asks_for_more = !has_qop && text("qop").is_some_and(|qop| !qop.trim().is_empty());
        (challenge.is("Digest") && !asks_for_more).then_some(DigestChallenge {
            algorithm,
            name,
            is_session,
            realm: text("realm").unwrap_or_default().to_owned(),
            nonce: text("nonce")?.to_owned(),
            opaque: text("opaque").map(str::to_owned),
            has_qop,
            is_stale: is("stale", "true"),
            is_utf8: is("charset", "UTF-8"),
        })
    }

    /// The server says that only the nonce was wrong, and not the password.
    pub fn is_stale(&self) -> bool {
        self.is_stale
    }
}

impl DigestSession {
    /// Requests that answer `challenge`; none if this machine has no random numbers.
    pub fn new(challenge: DigestChallenge) -> Option<DigestSession> {
        let mut octets = [0; 16];
        ring::default_provider().secure_random.fill(&mut octets).ok()?;
        Some(DigestSession::with_cnonce(challenge, hex(&octets)))
    }

    fn with_cnonce(challenge: DigestChallenge, cnonce: String) -> DigestSession {
        DigestSession { first_nonce: challenge.nonce.clone(), challenge, cnonce, count: 0, is_accepted: false }
    }

    /// Whether a challenge that came after a request of this session is about another nonce, and a request with this
    /// one was let in before: then it may be just that this one is used up.
    pub fn may_be_used_up(&self, next: &DigestChallenge) -> bool {
        self.is_accepted && next.nonce != self.challenge.nonce
    }

    /// The server has let a request in, and says that the next one is to have `next_nonce` (RFC 7616, 3.5).
    pub fn accepted(&mut self, next_nonce: Option<&str>) {
        self.is_accepted = true;
        if let Some(next) = next_nonce.filter(|next| *next != self.challenge.nonce) {
            next.clone_into(&mut self.challenge.nonce);
            self.count = 0;
        }
    }

    /// The header Authorization of the next request, from `username` with `password`.
    pub fn authorization(&mut self, username: &str, password: &str, request: DigestRequest<'_>) -> String {
        self.count = self.count.saturating_add(1);
        let count = format!("{:08x}", self.count);
        let DigestChallenge { algorithm, realm, nonce, opaque, has_qop, .. } = &self.challenge;
        let digest = |parts: &[&str]| algorithm.hex(&parts.join(":"));
        let mut secret = digest(&[username, realm, password]);
        if self.challenge.is_session {
            secret = digest(&[&secret, &self.first_nonce, &self.cnonce]);
        }
        let about = digest(&[request.method, request.uri]);
        let response = match has_qop {
            true => digest(&[&secret, nonce, &count, &self.cnonce, "auth", &about]),
            false => digest(&[&secret, nonce, &about]),
        };
        let mut header = format!("Digest {}", user(username, self.challenge.is_utf8));
        let mut add = |name: &str, value: &str| header.push_str(&format!(", {name}={value}"));
        add("realm", &quoted(realm));
        add("nonce", &quoted(nonce));
        add("uri", &quoted(request.uri));
        add("response", &quoted(&response));
        if let Some(name) = self.challenge.name {
            add("algorithm", name);
        }
        if *has_qop {
            add("qop", "auth");
            add("nc", &count);
        }
        if *has_qop || self.challenge.is_session {
            add("cnonce", &quoted(&self.cnonce));
        }
        if let Some(opaque) = opaque {
            add("opaque", &quoted(opaque));
        }
        header
    }
}

impl Algorithm {
    fn hex(self, text: &str) -> String {
        match self {
            Algorithm::Md5 => hex(&Md5::digest(text)),
            Algorithm::Sha256 => hex(&Sha256::digest(text)),
        }
    }
}

/// The parameter that names the user. A name that is not ASCII has a form of its own (RFC 7616, 3.4), which servers
/// know that say how they read names.
fn user(name: &str, is_utf8: bool) -> String {
    if name.is_ascii() || !is_utf8 {
        return format!("username={}", quoted(name));
    }
    let mut encoded = String::new();
    for octet in name.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(octet.into()),
            octet => encoded.push_str(&format!("%{octet:02X}")),
        }
    }
    format!("username*=UTF-8''{encoded}")
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Reads `header` as a server's challenges and answers the strongest: the way in for fuzzing.
#[doc(hidden)]
pub fn read_any(header: &[u8]) -> usize {
    let challenges = challenges([header].into_iter());
    let session = DigestChallenge::strongest(&challenges).and_then(DigestSession::new);
    let request = DigestRequest { method: "GET", uri: "/" };
    session.map_or(0, |mut session| session.authorization("mary", "sesame", request).len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(headers: &[&str]) -> Option<DigestChallenge> {
        DigestChallenge::strongest(&challenges(headers.iter().map(|header| header.as_bytes())))
    }

    /// The response to `headers` with a nonce of the client's that is fixed.
    fn response(headers: &[&str], cnonce: &str, login: (&str, &str)) -> String {
        let mut session = DigestSession::with_cnonce(of(headers).unwrap(), cnonce.to_owned());
        session.authorization(login.0, login.1, DigestRequest { method: "GET", uri: "/dir/index.html" })
    }

    /// RFC 7616, 3.9.1: a server that offers SHA-256 and MD5.
    #[test]
    fn the_examples_of_the_standard() {
        let [sha, md5] = ["SHA-256", "MD5"].map(|algorithm| {
            format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
                 nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
                 opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            )
        });
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        let login = ("Mufasa", "Circle of Life");
        let with_md5 = response(&[&md5], cnonce, login);
        assert_eq!(
            with_md5,
            "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", \
             nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", uri=\"/dir/index.html\", \
             response=\"8ca523f5e9506fed4657c9700eebdbec\", algorithm=MD5, qop=auth, nc=00000001, \
             cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", \
             opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        );
        let with_sha = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1";
        for headers in [vec![&*sha, &*md5], vec![&*md5, &*sha], vec![&*format!("{md5}, {sha}, Basic realm=\"x\"")]] {
            let strongest = response(&headers, cnonce, login);
            assert!(strongest.contains(with_sha) && strongest.contains("algorithm=SHA-256,"), "{strongest}");
        }
    }

    /// RFC 2617, 3.5 and RFC 2069, 2.4 with its erratum: without a quality of protection.
    #[test]
    fn a_server_that_asks_for_no_quality_of_protection_is_answered_in_the_old_way() {
        let old = "Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"5c\"";
        let answer = response(&[old], "0a4f113b", ("Mufasa", "CircleOfLife"));
        assert!(answer.contains("response=\"1949323746fe6a43ef61f9606e7febea\""), "{answer}");
        assert!(!["qop", "nc=", "cnonce", "algorithm"].iter().any(|name| answer.contains(name)), "{answer}");
        let counted = old.replace("opaque", "qop=\"auth,auth-int\", opaque");
        let answer = response(&[&counted], "0a4f113b", ("Mufasa", "Circle Of Life"));
        assert!(answer.contains("response=\"6629fae49393a05397450978507c4ef1\""), "{answer}");
    }

    #[test]
    fn challenges_that_cannot_be_answered_are_left_out() {
        for header in [
            "Basic realm=\"x\", nonce=\"y\"",
            "Digest realm=\"x\"",
            "Digest nonce=\"y\", algorithm=SHA-512-256",
            "Digest nonce=\"y\", qop=\"auth-int\"",
        ] {
            assert_eq!(of(&[header]), None, "{header}");
        }
        let plain = of(&["Digest nonce=\"y\", algorithm=SHA-512-256, digest nonce=\"z\", algorithm=\"md5-SESS\""]);
        assert_eq!(plain.unwrap().name, Some("MD5-sess"));
    }

    /// What a server does with `header`, written without a look at how it was made: the user, if the response is right.
    fn verified(header: &str, password: &str, method: &str, uri: &str) -> Option<String> {
        let parsed = challenges([header.as_bytes()].into_iter()).remove(0);
        let said = |name: &str| parsed.parameter(name).unwrap_or_default().to_owned();
        let hash = |text: String| match said("algorithm").starts_with("SHA-256") {
            true => Sha256::digest(text).iter().map(|b| format!("{b:02x}")).collect::<String>(),
            false => Md5::digest(text).iter().map(|b| format!("{b:02x}")).collect::<String>(),
        };
        let user = match parsed.parameter("username*") {
            None => said("username"),
            Some(encoded) => {
                let encoded = encoded.strip_prefix("UTF-8''").unwrap();
                String::from_utf8(crate::text::percent_decoded(encoded)).unwrap()
            }
        };
        let mut a1 = hash(format!("{user}:{}:{password}", said("realm")));
        if said("algorithm").ends_with("-sess") {
            a1 = hash(format!("{a1}:{}:{}", said("nonce"), said("cnonce")));
        }
        let a2 = hash(format!("{method}:{uri}"));
        let expected = match said("qop").as_str() {
            "" => hash(format!("{a1}:{}:{a2}", said("nonce"))),
            qop => hash(format!("{a1}:{}:{}:{}:{qop}:{a2}", said("nonce"), said("nc"), said("cnonce"))),
        };
        (said("uri") == uri && said("response") == expected).then_some(user)
    }

    proptest! {
        #[test]
        fn a_server_that_computes_it_by_itself_lets_the_user_in(
            login in ("[^\\p{C}]{1,20}", "[^\\p{C}]{0,20}"),
            realm in "[ -~äß]{0,20}",
            algorithm in prop::sample::select(&["", "MD5", "md5-sess", "SHA-256", "SHA-256-sess"][..]),
            (has_qop, is_utf8) in any::<(bool, bool)>(),
        ) {
            let mut header = format!("Digest realm={}, nonce=\"n\\\"1\"", quoted(&realm));
            header += &if algorithm.is_empty() { String::new() } else { format!(", algorithm={algorithm}") };
            header += if has_qop { ", qop=\"auth\"" } else { "" };
            header += if is_utf8 { ", charset=UTF-8" } else { "" };
            let mut session = DigestSession::new(of(&[&header]).unwrap()).unwrap();
            for (count, method) in [(1, "PROPFIND"), (2, "REPORT")] {
                let uri = format!("/cal/%20{count}?x=\"");
                let answer = session.authorization(&login.0, &login.1, DigestRequest { method, uri: &uri });
                prop_assert_eq!(verified(&answer, &login.1, method, &uri), Some(login.0.clone()), "{}", answer);
                prop_assert_eq!(answer.contains(&format!("nc=0000000{count}")), has_qop);
                prop_assert_eq!(verified(&answer, &format!("{}x", login.1), method, &uri), None);
            }
        }

        #[test]
        fn any_challenge_is_answered_or_left_out(header in ".{0,200}") {
            read_any(header.as_bytes());
            read_any(format!("Digest nonce={header}").as_bytes());
        }
    }
}

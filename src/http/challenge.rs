//! What a server wants to be logged in to with: the challenges of WWW-Authenticate (RFC 9110, 11.6.1). Whatever a
//! server sends there is read as far as it makes sense.

use std::iter::Peekable;
use std::str::Chars;

/// Octets of a header that are read.
const MAX_HEADER: usize = 16 * 1024;
/// Challenges of a response that are read.
const MAX_CHALLENGES: usize = 32;

/// Schemes that messages may name. Others may be anything that a server makes up.
const KNOWN: [&str; 12] = [
    "Basic",
    "Bearer",
    "Digest",
    "DPoP",
    "GNAP",
    "HOBA",
    "Mutual",
    "Negotiate",
    "NTLM",
    "OAuth",
    "SCRAM-SHA-1",
    "SCRAM-SHA-256",
];

/// A way to log in that a server offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// `Basic`, in any letter case.
    scheme: String,
    /// Names and values, without quotes.
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// Whether it is of the scheme `name`.
    pub fn is(&self, name: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(name)
    }

    /// The name of its scheme, for messages; none if that is not a known one.
    pub fn scheme(&self) -> Option<&'static str> {
        KNOWN.into_iter().find(|known| self.is(known))
    }

    /// The first parameter `name`, in any letter case.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let named = self.parameters.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }
}

/// The nonce that the next request is to have, as the header Authentication-Info says (RFC 7616, 3.5).
pub fn next_nonce(header: &[u8]) -> Option<String> {
    // It has the parameters of a challenge, without a scheme.
    let header = [b"Digest ", header].concat();
    let parameters = challenges([header.as_slice()].into_iter());
    let nonce = parameters.first()?.parameter("nextnonce")?;
    Some(nonce.to_owned()).filter(|nonce| !nonce.is_empty())
}

/// The challenges in the values of all headers WWW-Authenticate of a response.
pub fn challenges<'h>(headers: impl Iterator<Item = &'h [u8]>) -> Vec<Challenge> {
    let mut found = Vec::new();
    for header in headers {
        let text = String::from_utf8_lossy(header.get(..MAX_HEADER).unwrap_or(header));
        read(&mut text.chars().peekable(), &mut found);
    }
    found.truncate(MAX_CHALLENGES);
    found
}

/// Reads a list of challenges: a scheme, then its parameters, or one piece of text without a name (token68).
fn read(rest: &mut Peekable<Chars<'_>>, found: &mut Vec<Challenge>) {
    // The scheme has just come, and nothing after it.
    let mut is_bare = false;
    while rest.peek().is_some() && found.len() <= MAX_CHALLENGES {
        let word = token(rest);
        space(rest);
        if word.is_empty() {
            // A comma, or what belongs nowhere.
            is_bare &= !matches!(rest.next(), Some(','));
            continue;
        }
        match found.last_mut() {
            Some(challenge) if rest.next_if_eq(&'=').is_some() => {
                space(rest);
                let value = if rest.next_if_eq(&'"').is_some() { quoted(rest) } else { token(rest) };
                challenge.parameters.push((word, value));
                is_bare = false;
            }
            Some(_) if is_bare => is_bare = false,
            _ => {
                found.push(Challenge { scheme: word, parameters: Vec::new() });
                is_bare = true;
            }
        }
    }
}

fn space(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|c| c.is_whitespace()).is_some() {}
}

fn token(rest: &mut Peekable<Chars<'_>>) -> String {
    space(rest);
    std::iter::from_fn(|| rest.next_if(|c| !c.is_whitespace() && !matches!(c, ',' | '=' | '"'))).collect()
}

/// What stands between quotation marks, the first of which has been read.
fn quoted(rest: &mut Peekable<Chars<'_>>) -> String {
    let mut text = String::new();
    while let Some(c) = rest.next() {
        match c {
            '"' => break,
            '\\' => text.extend(rest.next()),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(headers: &[&str]) -> Vec<Challenge> {
        challenges(headers.iter().map(|header| header.as_bytes()))
    }

    fn challenge(scheme: &str, parameters: &[(&str, &str)]) -> Challenge {
        let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Challenge { scheme: scheme.to_owned(), parameters: parameters.collect() }
    }

    #[test]
    fn challenges_come_in_one_header_or_in_several() {
        let both = [challenge("Digest", &[("realm", "a, b"), ("qop", "auth,auth-int"), ("nonce", "x=")])];
        assert_eq!(of(&["Digest realm=\"a, b\", qop=\"auth,auth-int\",nonce = \"x=\""]), both);
        let all = [challenge("Newauth", &[("realm", "apps"), ("type", "1")]), challenge("basic", &[("realm", "s\"")])];
        assert_eq!(of(&["Newauth realm=\"apps\", type=1, basic realm=\"s\\\"\""]), all);
        assert_eq!(of(&["Newauth realm=\"apps\" type=1", "basic realm=\"s\\\"\""]), all);
        let bare = [challenge("Bearer", &[]), challenge("Basic", &[("realm", "Baïkal")])];
        assert_eq!(of(&["Bearer, Basic realm=\"Baïkal\""]), bare);
        assert_eq!(of(&["Bearer", "", "Basic realm=\"Baïkal"]), bare);
        // What has no name belongs to the scheme before it.
        assert_eq!(of(&["Negotiate abc, Bearer"]), [challenge("Negotiate", &[]), challenge("Bearer", &[])]);
        let schemes: Vec<_> = of(&["basic xyz== realm=\"x\", hunter2"]).iter().map(Challenge::scheme).collect();
        assert_eq!(schemes, [Some("Basic"), None], "what a server makes up is not repeated");
    }

    proptest! {
        #[test]
        fn any_header_is_read(headers in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..4)) {
            prop_assert!(challenges(headers.iter().map(Vec::as_slice)).len() <= MAX_CHALLENGES);
        }

        #[test]
        fn any_next_nonce_is_read(header in prop::collection::vec(any::<u8>(), 0..200)) {
            next_nonce(&header);
        }

        #[test]
        fn any_header_made_of_its_signs_is_read(header in "([a-c ]|[=,\"\\\\]|Digest |realm=){0,60}") {
            prop_assert!(challenges([header.as_bytes()].into_iter()).len() <= MAX_CHALLENGES);
        }
    }
}

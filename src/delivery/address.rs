//! Addresses as calendars and settings write them.

use std::borrow::Cow;

use lettre::Address;
use lettre::message::Mailbox;

use crate::text::{percent_decoded, strip_mailto};

/// The longest address that mail servers must take (RFC 5321, 4.5.3.1.3, without the brackets).
const LONGEST: usize = 254;

/// The address in a `mailto:` URI as ATTENDEE and ORGANIZER have it (RFC 6068): without its scheme and its headers,
/// percent-encoding undone. What is no such URI stays as it is, without a name before it (`Mary <mary@example.org>`)
/// and blanks around it.
pub fn bare(text: &str) -> Cow<'_, str> {
    let text = nameless(text);
    match strip_mailto(text) {
        Some(rest) => Cow::Owned(nameless(&unescaped(rest)).to_owned()),
        None => Cow::Borrowed(text),
    }
}

/// What is the same for all spellings of one address: that of the domain (case, IDNA), and of the part before it, in
/// which no server that is met tells upper from lower case.
pub fn key(text: &str) -> String {
    let bare = bare(text);
    let Some((local, domain)) = bare.rsplit_once('@') else { return bare.to_lowercase() };
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    let domain = idna::domain_to_ascii(domain).unwrap_or_else(|_| domain.to_lowercase());
    format!("{}@{domain}", local.to_lowercase())
}

/// The address that stands in angle brackets behind a name, else `text`.
fn nameless(text: &str) -> &str {
    let text = text.trim();
    match text.strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
        Some((_, address)) => address.trim(),
        None => text,
    }
}

/// Reads a recipient: a bare address, or a `mailto:` URI. The domain comes back in ASCII.
///
/// # Errors
/// The reason why no mail can be sent there, as the rest of a sentence that begins with 'the recipient'.
pub fn recipient(text: &str) -> Result<Address, String> {
    let bare = bare(text.trim());
    if bare.len() > LONGEST {
        return Err(format!("has more than {LONGEST} octets"));
    }
    let Some((local, domain)) = bare.rsplit_once('@') else {
        return Err("is no e-mail address: it has no @".to_owned());
    };
    if bare.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("is no e-mail address: it has blanks or control characters".to_owned());
    }
    address(local, domain).ok_or_else(|| "is no e-mail address".to_owned())
}

/// Reads the From mailbox: `Calendar <calendar@example.org>`, or a bare address.
///
/// # Errors
/// A sentence, when it is none.
pub fn sender(text: &str) -> Result<Mailbox, String> {
    let refused = || format!("'{text}' is no sender such as 'Calendar <calendar@example.org>'");
    let mailbox: Mailbox = text.parse().map_err(|_| refused())?;
    let email = address(mailbox.email.user(), mailbox.email.domain()).filter(|email| email.user().is_ascii());
    // The crate that writes the header panics at control characters in a name.
    let name = mailbox.name.map(|name| name.chars().filter(|c| !c.is_control()).collect());
    Ok(Mailbox::new(name, email.ok_or_else(refused)?))
}

/// An address whose domain is written in ASCII (RFC 5891).
fn address(local: &str, domain: &str) -> Option<Address> {
    match domain.starts_with('[') {
        true => Address::new(local, domain).ok(),
        false => Address::new(local, idna::domain_to_ascii(domain).ok()?).ok(),
    }
}

/// What a `mailto:` URI says after its scheme: without its headers, percent-encoding undone.
fn unescaped(text: &str) -> String {
    let path = text.split('?').next().unwrap_or_default();
    String::from_utf8_lossy(&percent_decoded(path)).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn recipients_as_calendars_write_them() {
        for (text, expected) in [
            ("mary@example.org", "mary@example.org"),
            ("  MAILTO:Mary@Example.ORG ", "Mary@example.org"),
            ("mailto:o%27brien%2Bcal@example.org?subject=hi", "o'brien+cal@example.org"),
            ("mary@bücher.example", "mary@xn--bcher-kva.example"),
            ("mary@[127.0.0.1]", "mary@[127.0.0.1]"),
            ("märy@bücher.example", "märy@xn--bcher-kva.example"),
            ("Mary<mary@example.org>", "mary@example.org"),
            ("mailto:%22Smith,%20Mary%22%20%3Cmary@example.org%3E", "mary@example.org"),
        ] {
            assert_eq!(recipient(text).map(|address| address.to_string()), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn spellings_of_one_address_have_one_key() {
        for text in [
            "mary@bücher.example",
            "Mary@xn--bcher-kva.EXAMPLE",
            " MAILTO:mary@B\u{dc}CHER.example. ",
            "mailto:m%61ry@b%C3%BCcher.example%20?subject=hi",
            "Mary Smith <MARY@bücher.example>",
            "mailto:Mary%20Smith%20%3Cmary@bücher.example%3E",
        ] {
            assert_eq!(key(text), "mary@xn--bcher-kva.example", "{text}");
        }
        for other in ["mary@example.org", "mary+cal@bücher.example", "mary", "", "mary@", "urn:uuid:49ba20f5"] {
            assert_ne!(key(other), key("mary@bücher.example"), "{other}");
        }
    }

    #[test]
    fn junk_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "no @"),
            ("mary", "no @"),
            ("urn:uuid:49ba20f5", "no @"),
            ("mary@", "no e-mail address"),
            ("@example.org", "no e-mail address"),
            ("mary@example.org\r\nBcc: all@example.org", "control characters"),
            ("mailto:mary%0d%0aRCPT@example.org", "control characters"),
            ("mary smith@example.org", "blanks"),
            ("Mary<mary@example.org>,", "no e-mail address"),
            ("a@example.org,b@example.org", "no e-mail address"),
            ("mary@exa mple..org", "blanks"),
            ("mary@example..org", "no e-mail address"),
        ] {
            let refused = recipient(text).unwrap_err();
            assert!(refused.contains(reason), "{text}: {refused}");
        }
        assert!(recipient(&format!("{}@example.org", "a".repeat(300))).is_err());
    }

    #[test]
    fn senders_have_names_or_not() {
        let sender_of = |text| sender(text).map(|mailbox| (mailbox.name, mailbox.email.to_string()));
        let calendar = |name: Option<&str>| Ok((name.map(str::to_owned), "calendar@example.org".to_owned()));
        assert_eq!(sender_of("Calendar <calendar@example.org>"), calendar(Some("Calendar")));
        assert_eq!(sender_of("calendar@example.org"), calendar(None));
        assert!(sender_of("calendar").is_err() && sender_of("").is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_a_command_of_its_own(text in "(?s).{0,40}", junk in "[ -~\\r\\n]{0,20}") {
            for text in [text.clone(), format!("mailto:{text}@example.org"), format!("{junk}@example.org"), format!("a@{junk}")] {
                if let Ok(address) = recipient(&text) {
                    let address = address.to_string();
                    let is_harmless = |c: char| !(c.is_control() || c.is_whitespace() || matches!(c, '<' | '>'));
                    prop_assert!(address.chars().all(is_harmless), "{}", address);
                }
            }
        }
    }
}

//! From a notification to the octets of a mail (RFC 5322, MIME).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lettre::Address;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart};
use sha2::{Digest, Sha256};

use super::content::{MailContent, MailReader};
use super::localizer::{DEFAULT, Localizers};
use super::templates::MailTemplates;
use crate::calendar::zone::Zones;
use crate::delivery::address;
use crate::delivery::render;
use crate::delivery::routing::no_address;
use crate::delivery::sink::{Outcome, Reader, Readers};
use crate::notification::Notification;
use crate::text::hex;
use crate::time::UtcMillis;

/// A mail that is ready to be sent.
#[derive(Debug)]
pub struct Mail {
    /// Whose alarm it is.
    pub user: String,
    pub from: Address,
    pub to: Address,
    pub octets: Vec<u8>,
}

/// Writes mails.
#[derive(Debug)]
pub struct MessageBuilder {
    pub from: Mailbox,
    pub zones: Zones,
    /// The zones and languages of users.
    pub readers: Readers,
    /// What the parts are written with.
    pub templates: Arc<MailTemplates>,
    /// The languages that were needed so far.
    pub localizers: Localizers,
}

impl MessageBuilder {
    /// The mail to `recipient` about the stored notification `json`, dated `now`.
    ///
    /// # Errors
    /// [`Outcome::Permanent`], when the recipient is no address or the notification cannot be read.
    pub fn build(&self, json: &str, recipient: &str, now: UtcMillis) -> Result<Mail, Outcome> {
        let notification = render::read(json)?;
        if recipient.is_empty() {
            return Err(Outcome::permanent(no_address(&notification.user_id)));
        }
        let to =
            address::recipient(recipient).map_err(|reason| Outcome::permanent(format!("the recipient {reason}")))?;
        let content = self.content(&notification, now)?;
        let octets = self.write(&notification, &content, &to, now)?;
        Ok(Mail { user: notification.user_id, from: self.from.email.clone(), to, octets })
    }

    /// What the mail about `n` says, in the language and the zone of its user.
    ///
    /// # Errors
    /// [`Outcome::Permanent`], when it cannot be written.
    pub fn content(&self, n: &Notification, now: UtcMillis) -> Result<MailContent, Outcome> {
        let Reader { zone, locale } = self.readers.get(&n.user_id);
        let localizer = self.localizers.get(locale.as_deref().unwrap_or(DEFAULT));
        let localizer = localizer.ok_or_else(|| Outcome::permanent("no language of mails can be used"))?;
        let reader = MailReader { localizer: &localizer, zone: zone.and_then(|id| self.zones.find(&id)) };
        MailContent::new(n, reader, &self.zones, &self.templates, now)
            .map_err(|error| Outcome::permanent(format!("the mail cannot be written: {error}")))
    }

    fn write(&self, n: &Notification, content: &MailContent, to: &Address, now: UtcMillis) -> Result<Vec<u8>, Outcome> {
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to.clone()))
            .subject(content.subject.as_str())
            .date(system_time(now))
            .message_id(Some(self.message_id(n, to)))
            .raw_header(header("Auto-Submitted", "auto-generated"))
            .raw_header(header("X-Reveille-Notification-Id", &n.notification_id))
            .multipart(MultiPart::alternative_plain_html(content.text.clone(), content.html.clone()))
            .map_err(|error| Outcome::permanent(format!("the mail cannot be written: {error}")))?;
        Ok(message.formatted())
    }

    /// The same for each attempt at one alarm and recipient, so that a mail that came through twice is recognized.
    fn message_id(&self, n: &Notification, to: &Address) -> String {
        let digest =
            Sha256::new().chain_update(&n.notification_id).chain_update([0]).chain_update(to.to_string()).finalize();
        format!("<{}@{}>", hex(digest.iter().take(16)), self.from.email.domain())
    }
}

/// A header of ASCII characters on one line.
fn header(name: &'static str, value: &str) -> HeaderValue {
    let value = value.chars().filter(char::is_ascii_graphic).take(200).collect();
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value)
}

/// For the Date header; before 1970 there was no mail.
fn system_time(at: UtcMillis) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(at.0).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::delivery::sink::samples::melbourne;

    fn builder(from: &str) -> MessageBuilder {
        MessageBuilder {
            from: address::sender(from).unwrap(),
            zones: Zones::bundled(),
            readers: Readers::new(
                HashMap::from([(
                    "mary@example.org".to_owned(),
                    Reader { zone: Some("Europe/Berlin".to_owned()), locale: None },
                )]),
                Reader::default(),
            ),
            templates: Arc::new(MailTemplates::built_in().unwrap()),
            localizers: Localizers::default(),
        }
    }

    fn octets(n: &Notification, recipient: &str) -> String {
        let json = serde_json::to_string(n).unwrap();
        let mail = builder("Cal <cal@example.net>").build(&json, recipient, UtcMillis(1_447_914_600_000)).unwrap();
        // Without the line breaks that quoted-printable adds.
        String::from_utf8(mail.octets).unwrap().replace("=\r\n", "")
    }

    fn header(octets: &str, name: &str) -> String {
        let lines = octets.lines().take_while(|line| !line.is_empty());
        lines.filter_map(|line| line.strip_prefix(name)).map(str::to_owned).collect()
    }

    #[test]
    fn the_id_depends_on_the_alarm_and_the_reader_alone() {
        let id = |n: &Notification, recipient: &str| header(&octets(n, recipient), "Message-ID: ");
        let first = id(&melbourne(), "mary@example.org");
        assert!(first.starts_with('<') && first.ends_with("@example.net>") && first.len() == 46, "{first}");
        let edited = Notification { summary: "Other".into(), timestamp: "2016-01-01T00:00:00Z".into(), ..melbourne() };
        assert_eq!(id(&edited, "mailto:mary@example.org"), first);
        let other = Notification { notification_id: "fedcba9876543210fedcba9876543210".into(), ..melbourne() };
        assert_ne!(id(&other, "mary@example.org"), first);
        assert_ne!(id(&melbourne(), "bob@example.org"), first);
    }

    #[test]
    fn the_reader_gets_their_own_zone_and_others_the_events() {
        let mary = octets(&melbourne(), "mary@example.org");
        assert!(mary.contains("08:30") && mary.contains("(Europe/Berlin)"), "{mary}");
        let bob = octets(&Notification { user_id: "bob".into(), ..melbourne() }, "bob@example.org");
        assert!(bob.contains("(Australia/Melbourne)") && !bob.contains("Berlin"), "{bob}");
    }

    #[test]
    fn no_text_of_an_event_becomes_a_header() {
        let evil = "x\r\nBcc: all@example.org\r\n\r\nbody";
        let n = Notification {
            summary: evil.into(),
            alarm_summary: evil.into(),
            notification_id: evil.into(),
            organizer: evil.into(),
            ..melbourne()
        };
        assert_eq!(header(&octets(&n, "mary@example.org"), "Bcc"), "");
    }

    #[test]
    fn a_bad_recipient_or_notification_is_never_tried() {
        let json = serde_json::to_string(&melbourne()).unwrap();
        for (json, recipient) in [(json.as_str(), "mary"), ("{", "mary@example.org")] {
            let refused = builder("cal@example.net").build(json, recipient, UtcMillis(0)).unwrap_err();
            assert!(matches!(refused, Outcome::Permanent { .. }), "{refused:?}");
        }
    }
}

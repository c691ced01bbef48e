//! From a notification to the octets of a mail (RFC 5322, MIME).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lettre::Address;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart};
use sha2::{Digest, Sha256};

use super::clean::header_line;
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
    /// Whether mails go to the users whose alarms they are, and to no one else.
    pub is_own: bool,
    /// The value of List-Unsubscribe (RFC 2369, 3.2), if there is one.
    pub list_unsubscribe: Option<String>,
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
        let mut notification = render::read(json)?;
        if !self.is_own {
            // Whoever has the link answers for the user.
            notification.answer_url.clear();
        }
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
        let mut message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to.clone()))
            .subject(content.subject.as_str())
            .date(system_time(now))
            .message_id(Some(self.message_id(&[&n.notification_id, to.as_ref()])))
            .raw_header(header("Auto-Submitted", "auto-generated"))
            .raw_header(header("X-Reveille-Notification-Id", &n.notification_id))
            .raw_header(header("X-Reveille-User", &n.user_id))
            .raw_header(header("X-Reveille-Calendar", &n.calendar_name));
        if !n.uid.is_empty() {
            // The same for all mails about a series: mail programs show them together.
            message = message.references(self.message_id(&["series", &n.user_id, &n.uid]));
        }
        if let Some(organizer) = reply_to(n, to) {
            message = message.reply_to(organizer);
        }
        if let Some(unsubscribe) = &self.list_unsubscribe {
            message = message.raw_header(header("List-Unsubscribe", unsubscribe));
        }
        let message = message
            .multipart(MultiPart::alternative_plain_html(content.text.clone(), content.html.clone()))
            .map_err(|error| Outcome::permanent(format!("the mail cannot be written: {error}")))?;
        Ok(message.formatted())
    }

    /// An id that depends on `parts` alone: a mail that came through twice has the same one.
    fn message_id(&self, parts: &[&str]) -> String {
        let digest = Sha256::digest(parts.join("\0"));
        format!("<{}@{}>", hex(digest.iter().take(16)), self.from.email.domain())
    }
}

/// Characters of the value of a header.
const LONGEST_HEADER: usize = 500;

/// A header on one line, encoded where it has other characters than ASCII (RFC 2047).
fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), header_line(value, LONGEST_HEADER))
}

/// The organizer, whom an answer to the mail goes to; none if that is the reader, or there is no address.
fn reply_to(n: &Notification, to: &Address) -> Option<Mailbox> {
    let email = address::recipient(&n.organizer).ok().filter(|email| email.user().is_ascii())?;
    if address::key(&n.organizer) == address::key(to.as_ref()) {
        return None;
    }
    Some(Mailbox::new(Some(header_line(&n.organizer_name, 60)).filter(|name| !name.is_empty()), email))
}

/// For the Date header; before 1970 there was no mail.
fn system_time(at: UtcMillis) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(at.0).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

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
            is_own: true,
            list_unsubscribe: Some("<mailto:stop@example.net>".to_owned()),
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
    fn headers_name_calendar_user_series_and_organizer() {
        let n = Notification {
            calendar_name: "Ünsere Termine".into(),
            organizer: "mailto:boss@example.org".into(),
            organizer_name: "The \"boss\"".into(),
            ..melbourne()
        };
        let mail = octets(&n, "mary@example.org");
        assert_eq!(header(&mail, "X-Reveille-User: "), "mary@example.org");
        assert!(header(&mail, "X-Reveille-Calendar: ").starts_with("=?utf-8?"), "{mail}");
        assert_eq!(header(&mail, "Reply-To: "), "\"The \\\"boss\\\"\" <boss@example.org>");
        assert_eq!(header(&mail, "List-Unsubscribe: "), "<mailto:stop@example.net>");
        let series = header(&mail, "References: ");
        assert!(series.ends_with("@example.net>") && series != header(&mail, "Message-ID: "), "{mail}");
        let next = Notification { notification_id: "1".into(), alarm_time: "20151120T063000Z".into(), ..n.clone() };
        assert_eq!(header(&octets(&next, "mary@example.org"), "References: "), series);
        assert_eq!(header(&octets(&n, "BOSS@example.org"), "Reply-To: "), "", "not to the reader");
    }

    #[test]
    fn only_the_user_gets_the_link_that_answers_the_alarm() {
        let link = "https://cal.example.net/answer?x=1";
        let json = Notification { answer_url: link.into(), ..melbourne() }.to_json();
        for is_own in [true, false] {
            let builder = MessageBuilder { is_own, ..builder("cal@example.net") };
            let mail = builder.build(&json, "mary@example.org", UtcMillis(1_447_914_600_000)).unwrap();
            let mail = String::from_utf8(mail.octets).unwrap().replace("=\r\n", "").replace("=3D", "=");
            assert_eq!(mail.contains(link), is_own, "{mail}");
        }
    }

    /// The names of the headers of a mail, in order; each of its lines is of ASCII and short.
    fn header_names(octets: &str) -> Vec<&str> {
        let lines: Vec<&str> = octets.split("\r\n").take_while(|line| !line.is_empty()).collect();
        assert!(lines.iter().all(|line| line.is_ascii() && line.len() <= 998), "{octets}");
        lines.iter().filter(|line| !line.starts_with(' ')).map(|line| line.split_once(": ").expect(line).0).collect()
    }

    /// The tags of HTML, with what belongs to the texts of events (links and line breaks) left out.
    fn tags(html: &str) -> Vec<String> {
        let tags = html.split('<').skip(1).map(|rest| rest.split('>').next().unwrap_or_default());
        let fixed = tags.filter(|tag| {
            let link = tag.strip_prefix("a href=\"").and_then(|rest| rest.strip_suffix('"'));
            if let Some(link) = link {
                assert!(link.starts_with("http") && !link.contains(['"', '\'', ' ']), "{tag}");
            }
            link.is_none() && !matches!(*tag, "/a" | "br")
        });
        fixed.map(str::to_owned).collect()
    }

    proptest! {
        #[test]
        fn no_text_of_an_event_changes_a_header_or_escapes_the_html(
            texts in prop::array::uniform8("(?s).{0,60}|[-a-z<>\"'&=:/?.{}% \r\n]{0,60}|=\\?utf-8\\?q\\?=0D=0ABcc:x\\?=|https?://[^ ]{0,20}"),
        ) {
            let [a, b, c, d, e, f, g, h] = texts.map(|text| format!("x{text}"));
            let n = Notification {
                summary: a, location: b, description: c, alarm_description: d, calendar_name: e, organizer_name: f,
                uid: g, user_id: h, organizer: "mailto:boss@example.org".into(), ..melbourne()
            };
            let plain = Notification {
                summary: "x".into(), location: "x".into(), description: "y".into(), alarm_description: "z".into(),
                organizer: "mailto:boss@example.org".into(), ..melbourne()
            };
            let builder = builder("Cal <cal@example.net>");
            let at = UtcMillis(1_447_914_600_000);
            let octets = |n: &Notification| {
                String::from_utf8(builder.build(&n.to_json(), "mary@example.org", at).unwrap().octets).unwrap()
            };
            let mail = octets(&n);
            let expected = octets(&plain);
            prop_assert_eq!(header_names(&mail), header_names(&expected));
            prop_assert!(mail.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])));
            let html = |n: &Notification| tags(&builder.content(n, at).unwrap().html);
            let (own, expected) = (html(&n), html(&plain));
            // What is the same as the title is left out.
            let without = |tags: &[String]| tags.iter().filter(|tag| !matches!(tag.as_str(), "p dir=\"auto\" style=\"margin:0 0 10px\"" | "/p")).cloned().collect::<Vec<_>>();
            prop_assert_eq!(without(&own), without(&expected));
        }
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

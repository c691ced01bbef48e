//! From a notification to the octets of a mail (RFC 5322, MIME).

use std::collections::HashMap;
use std::fmt::Write;
use std::time::{Duration, SystemTime};

use lettre::Address;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart};
use sha2::{Digest, Sha256};

use super::address;
use super::letter::Letter;
use crate::calendar::zone::Zones;
use crate::delivery::shape;
use crate::delivery::sink::Outcome;
use crate::notification::Notification;
use crate::time::UtcMillis;

/// A mail that is ready to be sent.
#[derive(Debug)]
pub struct Mail {
    pub from: Address,
    pub to: Address,
    pub octets: Vec<u8>,
}

/// Writes mails.
#[derive(Debug)]
pub struct Composer {
    pub from: Mailbox,
    pub zones: Zones,
    /// userId → IANA id.
    pub reader_zones: HashMap<String, String>,
}

impl Composer {
    /// The mail to `recipient` about the stored notification `json`, dated `now`.
    ///
    /// # Errors
    /// [`Outcome::Never`], when the recipient is no address or the notification cannot be read.
    pub fn compose(&self, json: &str, recipient: &str, now: UtcMillis) -> Result<Mail, Outcome> {
        let to = address::recipient(recipient).map_err(|reason| Outcome::never(format!("the recipient {reason}")))?;
        let notification = shape::read(json)?;
        let reader = self.reader_zones.get(&notification.user_id).and_then(|id| self.zones.find(id));
        let letter = Letter::new(&notification, reader, &self.zones, now);
        let octets = self.write(&notification, &letter, &to, now)?;
        Ok(Mail { from: self.from.email.clone(), to, octets })
    }

    fn write(&self, n: &Notification, letter: &Letter, to: &Address, now: UtcMillis) -> Result<Vec<u8>, Outcome> {
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to.clone()))
            .subject(letter.subject.as_str())
            .date(system_time(now))
            .message_id(Some(self.message_id(n, to)))
            .raw_header(header("Auto-Submitted", "auto-generated"))
            .raw_header(header("X-Reveille-Notification-Id", &n.notification_id))
            .multipart(MultiPart::alternative_plain_html(letter.text.clone(), letter.html.clone()))
            .map_err(|error| Outcome::never(format!("the mail cannot be written: {error}")))?;
        Ok(message.formatted())
    }

    /// The same for each attempt at one alarm and recipient, so that a mail that came through twice can be told.
    fn message_id(&self, n: &Notification, to: &Address) -> String {
        let digest =
            Sha256::new().chain_update(&n.notification_id).chain_update([0]).chain_update(to.to_string()).finalize();
        let mut id = String::from("<");
        for octet in digest.iter().take(16) {
            let _ = write!(id, "{octet:02x}");
        }
        let _ = write!(id, "@{}>", self.from.email.domain());
        id
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

//! Store events: what a sync found changed in a calendar, in the shape of the event notifications of Cyrus IMAP, which
//! are those of RFC 5423 as JSON.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::notification::{About, Sender};
use crate::text::hex;
use crate::time::UtcMillis;

/// What Cyrus calls the type of a mailbox that is a calendar.
const MAILBOX_TYPE: &str = "calendar";
/// The service that events are of.
const SERVICE: &str = "reveille";

/// The kinds of store events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreEventKind {
    /// An object is new, or has another text (RFC 5423, 4.1).
    MessageAppend,
    /// An object, or the text that it had, is gone (RFC 5423, 4.1).
    MessageExpunge,
    /// A calendar is seen for the first time (RFC 5423, 4.4).
    MailboxCreate,
    /// A calendar is gone (RFC 5423, 4.4).
    MailboxDelete,
    /// A calendar has another name (RFC 5423, 4.4).
    MailboxRename,
    /// The user has other privileges on a calendar (Cyrus).
    AclChange,
}

impl StoreEventKind {
    /// All that there are, each with its name.
    pub const NAMES: [(&str, StoreEventKind); 6] = [
        ("MessageAppend", StoreEventKind::MessageAppend),
        ("MessageExpunge", StoreEventKind::MessageExpunge),
        ("MailboxCreate", StoreEventKind::MailboxCreate),
        ("MailboxDelete", StoreEventKind::MailboxDelete),
        ("MailboxRename", StoreEventKind::MailboxRename),
        ("AclChange", StoreEventKind::AclChange),
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        StoreEventKind::NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// Whether it is about an object in a calendar, and not about the calendar.
    fn is_of_object(self) -> bool {
        matches!(self, StoreEventKind::MessageAppend | StoreEventKind::MessageExpunge)
    }
}

/// A change of a calendar or of an object in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreChange<'a> {
    /// What happened.
    pub kind: StoreEventKind,
    /// What distinguishes it from other changes of its kind at its place.
    pub version: String,
    /// The object that it is about; none: it is about the calendar.
    pub object: Option<ChangedObject<'a>>,
    /// What the calendar was called before.
    pub old_name: Option<&'a str>,
    /// The names of the privileges that the user has now, between spaces.
    pub privileges: Option<&'a str>,
}

/// An object that has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangedObject<'a> {
    /// The object's href in its calendar.
    pub href: &'a str,
    /// The UID of its components; empty if it has none.
    pub uid: &'a str,
    /// The text that it has now; none: it is gone.
    pub text: Option<&'a [u8]>,
}

/// A store event: the parameters of Cyrus in their order, with the extensions before the content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StoreEvent {
    /// Its kind.
    pub event: String,
    /// When it was found, RFC 3339 in UTC with milliseconds.
    pub timestamp: String,
    /// Always `reveille`.
    pub service: String,
    /// Of a calendar with another name: its href, as `mailbox_id`.
    #[serde(rename = "oldMailboxID", skip_serializing_if = "Option::is_none")]
    pub old_mailbox_id: Option<String>,
    /// Of events about a calendar: its href.
    #[serde(rename = "mailboxID", skip_serializing_if = "Option::is_none")]
    pub mailbox_id: Option<String>,
    /// The href of what it is about: of the object, or of the calendar.
    pub uri: String,
    /// The process that found it.
    pub pid: u32,
    /// Whose privileges have changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acl_subject: Option<String>,
    /// The names of the privileges that the user has now, between spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acl_rights: Option<String>,
    /// The user through whose account it was found.
    pub user: String,
    /// Octets of the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_size: Option<usize>,
    /// Of events about a calendar: `calendar`.
    #[serde(rename = "vnd.cmu.mbtype", skip_serializing_if = "Option::is_none")]
    pub mailbox_type: Option<String>,
    /// `defaults.server_name`, else the name of the host.
    #[serde(rename = "serverFQDN")]
    pub server_fqdn: String,
    /// The last segment of the object's href.
    #[serde(rename = "vnd.cmu.davFilename", skip_serializing_if = "Option::is_none")]
    pub dav_filename: Option<String>,
    /// The object's UID.
    #[serde(rename = "vnd.cmu.davUid", skip_serializing_if = "Option::is_none")]
    pub dav_uid: Option<String>,
    /// As `user`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The last segment of the calendar's href.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calendar_id: Option<String>,
    /// The calendar's displayed name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calendar_name: Option<String>,
    /// The name that it had before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_calendar_name: Option<String>,
    /// The owner of the calendar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calendar_owner: Option<String>,
    /// The identity of the event, 32 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notification_id: Option<String>,
    /// The text of the object, whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_content: Option<String>,
}

/// The identity of `change` in the calendar `about`: 16 octets that depend on the user, the kind, the place and the
/// version.
pub fn event_identity(about: &About, change: &StoreChange<'_>) -> [u8; 16] {
    let href = change.object.map_or("", |object| object.href);
    let mut hash = Sha256::new();
    for part in ["store event", change.kind.as_str(), &about.user, &about.key, href, &change.version] {
        // With its length in front, a part cannot be confused with the next one.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut identity = [0; 16];
    identity.iter_mut().zip(hash.finalize()).for_each(|(to, octet)| *to = octet);
    identity
}

/// Which of the versions of an object under one name it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionTime {
    /// It was written then, as its source says.
    Written(UtcMillis),
    /// Nothing says when; it was found to be new or gone then.
    Found(UtcMillis),
    /// Nothing says when; it is the version of this number since the object was found to be new.
    Revision(i64),
}

/// What distinguishes a version of an object from all others that are, were and will be under its name: its entity tag
/// and text, and when it was written, or else when it was found to be new or gone, or which of its versions it is.
pub fn object_version(etag: &str, time: VersionTime, text: &[u8]) -> String {
    let time = match time {
        VersionTime::Written(at) => at.0.to_string(),
        VersionTime::Found(at) => format!("found {}", at.0),
        VersionTime::Revision(revision) => format!("revision {revision}"),
    };
    format!("{etag}\n{time}\n{}", hex(&Sha256::digest(text)))
}

impl StoreEvent {
    /// The event that `change` in the calendar `about` is, which has this `identity` and was found at `at`. It has no
    /// text of the object.
    pub fn new(
        change: &StoreChange<'_>,
        about: &About,
        identity: [u8; 16],
        sender: &Sender,
        at: UtcMillis,
    ) -> StoreEvent {
        let of_calendar = (!change.kind.is_of_object()).then(|| about.key.clone());
        let text = change.object.and_then(|object| object.text);
        StoreEvent {
            event: change.kind.as_str().to_owned(),
            timestamp: at.to_string(),
            service: SERVICE.to_owned(),
            old_mailbox_id: of_calendar.clone().filter(|_| change.kind == StoreEventKind::MailboxRename),
            uri: change.object.map_or(about.key.as_str(), |object| object.href).to_owned(),
            pid: sender.pid,
            acl_subject: change.privileges.map(|_| about.user.clone()),
            acl_rights: change.privileges.map(str::to_owned),
            user: about.user.clone(),
            message_size: text.map(<[u8]>::len),
            mailbox_type: of_calendar.as_ref().map(|_| MAILBOX_TYPE.to_owned()),
            mailbox_id: of_calendar,
            server_fqdn: sender.server_fqdn.clone(),
            dav_filename: change.object.map(|object| last_segment(object.href).to_owned()),
            dav_uid: change.object.map(|object| object.uid.to_owned()),
            user_id: Some(about.user.clone()),
            calendar_id: Some(about.id.clone()),
            calendar_name: Some(about.name.clone()),
            old_calendar_name: change.old_name.map(str::to_owned),
            calendar_owner: Some(about.owner.clone()),
            notification_id: Some(hex(&identity)),
            message_content: None,
        }
    }

    /// With the text of the object, if it is there and has at most `most` octets.
    #[must_use]
    pub fn with_content(self, text: Option<&[u8]>, most: usize) -> StoreEvent {
        let text = text.filter(|text| text.len() <= most);
        StoreEvent { message_content: text.map(|text| String::from_utf8_lossy(text).into_owned()), ..self }
    }

    /// The event that the stored `json` is; none if it is something else, such as an alarm.
    pub fn read(json: &str) -> Option<StoreEvent> {
        let is_event = StoreEventKind::NAMES.iter().any(|(name, _)| {
            json.strip_prefix("{\"event\":\"")
                .and_then(|rest| rest.strip_prefix(name))
                .is_some_and(|rest| rest.starts_with('"'))
        });
        if is_event { serde_json::from_str(json).ok() } else { None }
    }

    /// Without the extensions.
    #[must_use]
    pub fn documented(self) -> StoreEvent {
        StoreEvent {
            user_id: None,
            calendar_id: None,
            calendar_name: None,
            old_calendar_name: None,
            calendar_owner: None,
            notification_id: None,
            ..self
        }
    }

    /// One line of JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn last_segment(href: &str) -> &str {
    href.trim_end_matches('/').rsplit('/').next().unwrap_or(href)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> About {
        let text = str::to_owned;
        About {
            user: text("mary"),
            key: text("/mary/work/"),
            name: text("Work"),
            id: text("work"),
            color: String::new(),
            owner: text("bob"),
        }
    }

    fn append(version: &str, text: &'static str) -> StoreChange<'static> {
        let object = ChangedObject { href: "/mary/work/a.ics", uid: "u", text: Some(text.as_bytes()) };
        let (kind, version) = (StoreEventKind::MessageAppend, version.to_owned());
        StoreChange { kind, version, object: Some(object), old_name: None, privileges: None }
    }

    fn event(change: &StoreChange<'_>) -> StoreEvent {
        let sender = Sender { server_fqdn: "host".to_owned(), pid: 7, max_text: 100, max_size: 1_000 };
        let text = change.object.and_then(|object| object.text);
        StoreEvent::new(change, &about(), [1; 16], &sender, UtcMillis(0)).with_content(text, 6)
    }

    #[test]
    fn an_event_has_the_parameters_of_cyrus_in_their_order() {
        let id = hex(&[1; 16]);
        let expected = format!(
            r#"{{"event":"MessageAppend","timestamp":"1970-01-01T00:00:00.000Z","service":"reveille","uri":"/mary/work/a.ics","pid":7,"user":"mary","messageSize":5,"serverFQDN":"host","vnd.cmu.davFilename":"a.ics","vnd.cmu.davUid":"u","userId":"mary","calendarId":"work","calendarName":"Work","calendarOwner":"bob","notificationId":"{id}","messageContent":"BEGIN"}}"#
        );
        assert_eq!(event(&append("1", "BEGIN")).to_json(), expected);
        assert_eq!(event(&append("1", "BEGIN:V")).message_content, None, "it is whole or left out");
        let kind = StoreEventKind::MailboxRename;
        let rename = StoreChange { kind, object: None, old_name: Some("Job"), ..append("1", "") };
        let expected = format!(
            r#"{{"event":"MailboxRename","timestamp":"1970-01-01T00:00:00.000Z","service":"reveille","oldMailboxID":"/mary/work/","mailboxID":"/mary/work/","uri":"/mary/work/","pid":7,"user":"mary","vnd.cmu.mbtype":"calendar","serverFQDN":"host","userId":"mary","calendarId":"work","calendarName":"Work","oldCalendarName":"Job","calendarOwner":"bob","notificationId":"{id}"}}"#
        );
        assert_eq!(event(&rename).to_json(), expected);
        let documented = event(&rename).documented().to_json();
        assert!(documented.ends_with(r#""serverFQDN":"host"}"#), "{documented}");
    }

    #[test]
    fn what_is_stored_is_read_again_and_an_alarm_is_no_event() {
        let stored = event(&append("1", "BEGIN"));
        assert_eq!(StoreEvent::read(&stored.to_json()), Some(stored));
        for other in [r#"{"event":"CalendarAlarm","pid":1}"#, r#"{"event":"MessageAppended"}"#, "", "{1}"] {
            assert_eq!(StoreEvent::read(other), None, "{other}");
        }
    }

    #[test]
    fn each_version_of_each_object_has_an_identity_of_its_own() {
        let version = |etag: &str, time, text: &str| object_version(etag, time, text.as_bytes());
        let first = version("e", VersionTime::Revision(1), "a");
        assert_ne!(first, version("e", VersionTime::Revision(3), "a"), "back to what it was");
        for time in [VersionTime::Written, VersionTime::Found] {
            assert_ne!(version("e", time(UtcMillis(1)), "a"), version("e", time(UtcMillis(2)), "a"));
        }
        let base = append(&first, "a");
        let identity = event_identity(&about(), &base);
        assert_eq!(identity, event_identity(&about(), &append(&first, "b")));
        let gone = StoreChange { kind: StoreEventKind::MessageExpunge, ..base.clone() };
        let john = About { user: "john".to_owned(), ..about() };
        assert_ne!(identity, event_identity(&about(), &gone));
        assert_ne!(identity, event_identity(&john, &base));
        assert_ne!(identity, event_identity(&about(), &append(&version("f", VersionTime::Revision(1), "a"), "a")));
    }
}

//! Event notifications of Cyrus (RFC 5423, as JSON): whose calendars an event has changed.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::text::percent_decoded;

/// The class of the notifications that are events; those that people get have other ones.
const CLASS: &[u8] = b"EVENT";
/// What happens to a mailbox that is a calendar when it, or something in it, changes.
const CHANGES: &[&str] = &[
    "MessageAppend",
    "MessageNew",
    "MessageExpire",
    "MessageExpunge",
    "vnd.cmu.MessageCopy",
    "vnd.cmu.MessageMove",
    "MailboxCreate",
    "MailboxDelete",
    "MailboxRename",
    "MailboxModseq",
    "AclChange",
];
/// The folder of a user that holds the calendars.
const CALENDARS: &str = "#calendars";

/// A datagram that is not an event notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EventError {
    #[error("it is not framed as Cyrus frames notifications")]
    Frame,
    #[error("its message is not the JSON of an event")]
    Json,
}

#[derive(Deserialize)]
struct CyrusEvent {
    event: String,
    /// The mailbox, or a message in it: `imap://HOST/user/mary/%23calendars/work;UIDVALIDITY=1/;UID=1`.
    uri: Option<String>,
    /// Cyrus 2 has the address of the mailbox here.
    #[serde(rename = "mailboxID")]
    mailbox_id: Option<String>,
    /// Who has done it.
    user: Option<String>,
    /// Who may do what: identifiers and rights, each followed by a tab.
    #[serde(rename = "vnd.cmu.mailboxACL")]
    acl: Option<String>,
}

/// The users for whom `datagram` says that a calendar has changed: its owner, who has changed it, and those with whom
/// it is shared. None: it is about something else.
///
/// # Errors
/// [`EventError`], when it is not a notification of Cyrus.
pub(super) fn users_of(datagram: &[u8]) -> Result<BTreeSet<String>, EventError> {
    // METHOD, CLASS, PRIORITY, USER, MAILBOX, the number of OPTIONs, OPTION…, MESSAGE, each ends with NUL.
    let mut fields = datagram.split(|octet| *octet == 0);
    let class = fields.nth(1).ok_or(EventError::Frame)?;
    let options = fields.nth(3).and_then(|count| std::str::from_utf8(count).ok()?.parse().ok());
    let message = fields.nth(options.ok_or(EventError::Frame)?).ok_or(EventError::Frame)?;
    if class != CLASS {
        return Ok(BTreeSet::new());
    }
    let event: CyrusEvent = serde_json::from_slice(message).map_err(|_| EventError::Json)?;
    let addresses = [&event.uri, &event.mailbox_id];
    let owner = addresses.into_iter().flatten().find_map(|address| owner(address));
    let Some(owner) = owner.filter(|_| CHANGES.contains(&event.event.as_str())) else { return Ok(BTreeSet::new()) };
    let mut users = BTreeSet::from([owner]);
    users.extend(event.user.filter(|user| !user.is_empty()));
    users.extend(event.acl.iter().flat_map(|acl| readers(acl)).map(str::to_owned));
    Ok(users)
}

/// Whose calendar, or folder of calendars, the mailbox at `address` is. Names are separated by `/`, or by `.`, where a
/// `^` stands for a dot in a name; a domain is at the end or in the name of the user.
fn owner(address: &str) -> Option<String> {
    let (_, path) = address.strip_prefix("imap://")?.split_once('/')?;
    let path = percent_decoded(path.split(';').next()?);
    let path = std::str::from_utf8(&path).ok()?;
    let (path, domain) = match path.rsplit_once('@') {
        Some((path, domain)) if !domain.contains(['/', '#']) => (path, Some(domain)),
        _ => (path, None),
    };
    let rest = path.strip_prefix("user")?;
    let separator = rest.chars().next().filter(|separator| matches!(separator, '/' | '.'))?;
    let mut names = rest.split(separator).skip(1);
    let (user, folder) = (names.next()?, names.next()?);
    if user.is_empty() || folder != CALENDARS {
        return None;
    }
    let user = user.replace('^', ".");
    Some(match domain {
        Some(domain) if !user.contains('@') => format!("{user}@{domain}"),
        _ => user,
    })
}

/// The users whom `acl` allows to read. Groups, and everybody, are none.
fn readers(acl: &str) -> impl Iterator<Item = &str> {
    let mut fields = acl.split('\t');
    std::iter::from_fn(move || Some((fields.next()?, fields.next()?))).filter_map(|(identifier, rights)| {
        let is_user =
            !identifier.starts_with(['-', '$']) && !identifier.starts_with("group:") && !identifier.is_empty();
        (is_user && rights.contains('r') && !matches!(identifier, "anyone" | "anonymous")).then_some(identifier)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(json: &str) -> String {
        let datagram = format!("log\0EVENT\0\0\0\x000\0{json}\0");
        users_of(datagram.as_bytes()).unwrap().into_iter().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn an_event_of_a_calendar_names_its_owner_and_who_else_sees_it() {
        let at = |uri: &str| users(&format!(r#"{{"event":"MailboxModseq","uri":"imap://h{uri}","user":""}}"#));
        // As Cyrus 3.6 writes them.
        assert_eq!(at("/user/user0/%23calendars/work;UIDVALIDITY=1796079117/;UID=1"), "user0");
        assert_eq!(at("/user/user0/%23calendars;UIDVALIDITY=1"), "user0");
        assert_eq!(at("/user.user0.%23calendars.work;UIDVALIDITY=1"), "user0");
        assert_eq!(at("/user/mary.smith/%23calendars/work%40example.org;UIDVALIDITY=1"), "mary.smith@example.org");
        assert_eq!(at("/user/mary.smith/%23calendars%40example.org"), "mary.smith@example.org");
        assert_eq!(at("/user.mary^smith.%23calendars.work%40example.org"), "mary.smith@example.org");
        assert_eq!(at("/user/mary%40example.org/%23calendars/work"), "mary@example.org");
        assert_eq!(at("/user.mary%40example^org.%23calendars.work"), "mary@example.org");
        for other in ["", "/", "/user", "/user/mary", "/user//%23calendars", "/userx/mary/%23calendars", "/user/m/%FF"]
        {
            assert_eq!(at(other), "", "{other}");
        }
        assert_eq!(at("/user/mary/%23addressbooks/Default"), "");
        assert_eq!(at("/user/mary/Archive/%23calendars"), "");
        let event = |event: &str| {
            users(&format!(
                r#"{{"event":"{event}","timestamp":"2026-11-30T22:53:17.531Z","mailboxID":"aytrgqlwxy3u12awrubc0ojo",
                "uri":"imap://h/user/mary/%23calendars/work;UIDVALIDITY=1/;UID=3","pid":10756,"user":"bob",
                "vnd.cmu.mailboxACL":"mary\tlrswipkxtecdan9\tanyone\tlr9\tann\tl9\tsue@x.org\tlr\tgroup:all\tlr\t-eve\tlr\t"}}"#
            ).replace('\t', "\\t"))
        };
        assert_eq!(event("MessageNew"), "bob mary sue@x.org");
        assert_eq!(event("MessageRead"), "");
        let cyrus_2 = r#"{"event":"MessageAppend","mailboxID":"imap://h/user/mary/%23calendars/work","uri":null}"#;
        assert_eq!(users(cyrus_2), "mary");
    }

    #[test]
    fn what_is_no_event_is_refused() {
        let framed = |datagram: &[u8]| users_of(datagram);
        for wrong in
            [&b""[..], b"x", b"log\0EVENT\0\0\0\0", b"log\0EVENT\0\0\0\x00x\0{}\0", b"log\0EVENT\0\0\0\x007\0{}\0"]
        {
            assert_eq!(framed(wrong), Err(EventError::Frame), "{}", wrong.escape_ascii());
        }
        for wrong in ["", "{", "[]", "{}", "{\"event\":3}"] {
            assert_eq!(
                framed(format!("log\0EVENT\0\0\0\x000\0{wrong}\0").as_bytes()),
                Err(EventError::Json),
                "{wrong}"
            );
        }
        let mail = b"log\0MAIL\0\0mary\0INBOX\x002\0one\0two\0You have mail\0";
        assert_eq!(framed(mail), Ok(BTreeSet::new()));
        let options =
            b"log\0EVENT\0\0\0\x002\0{\0{\0{\"event\":\"MessageNew\",\"uri\":\"imap://h/user/m/%23calendars/w\"}\0";
        assert_eq!(framed(options), Ok(BTreeSet::from(["m".to_owned()])));
    }
}

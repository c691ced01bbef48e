//! The `CalendarAlarm` notification: what a firing looks like on the wire. It knows the shape of the JSON, and nothing
//! of where it goes.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::calendar::ical::alarm::{Alarm, Trigger};
use crate::calendar::ical::component::Attendee;
use crate::calendar::schedule::alarm_instance::{AlarmInstance, When};
use crate::text::{first_octets, hex};
use crate::time::UtcMillis;

mod stored;

pub use stored::StoredNotification;

/// One alarm as Cyrus IMAP notifies of it: the 20 documented keys in their order, then the extensions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notification {
    /// Always `CalendarAlarm`.
    pub event: String,
    /// The process that fired it.
    pub pid: u32,
    /// `defaults.server_name`, else the name of the host.
    #[serde(rename = "serverFQDN")]
    pub server_fqdn: String,
    /// When the alarm was due, UTC in basic format (`20151119T063000Z`).
    pub alarm_time: String,
    /// The ATTENDEEs of the VALARM, as written (`mailto:…`).
    pub alarm_recipients: Vec<String>,
    /// The user whose alarm it is.
    pub user_id: String,
    /// The calendar's displayed name.
    pub calendar_name: String,
    /// UID of the component (RFC 5545, 3.8.4.7).
    pub uid: String,
    /// `display`, `email` or `audio`.
    pub action: String,
    /// SUMMARY of the component.
    pub summary: String,
    /// DESCRIPTION of the component.
    pub description: String,
    /// LOCATION of the component.
    pub location: String,
    /// The IANA id of the start's zone; `[floating]` where no zone is known.
    pub timezone: String,
    /// When the occurrence begins, as `alarm_time`; a date (`20151119`) if it is all-day.
    pub start: String,
    /// When it ends, likewise.
    pub end: String,
    /// 1 if it begins on a date, else 0.
    pub all_day: u8,
    /// CN of each ATTENDEE of the component; empty where it has none.
    pub attendee_names: Vec<String>,
    /// Their values, in the same order.
    pub attendee_emails: Vec<String>,
    /// Their PARTSTAT, in the same order; empty where it is missing.
    pub attendee_status: Vec<String>,
    /// The ORGANIZER; empty where there is none.
    pub organizer: String,
    /// Last segment of the calendar's path.
    pub calendar_id: String,
    /// Its colour; empty where it has none.
    pub calendar_color: String,
    /// The owner of the calendar.
    pub calendar_owner: String,
    /// Original start of the occurrence in wall-clock time; empty for what does not recur.
    pub recurrence_id: String,
    /// UID of the VALARM (RFC 9074, 4), else a hash of its content.
    pub alert_id: String,
    /// SUMMARY of the VALARM.
    pub alarm_summary: String,
    /// DESCRIPTION of the VALARM.
    pub alarm_description: String,
    /// `VEVENT` or `VTODO`.
    pub component: String,
    /// CN of the ORGANIZER; empty where it has none. Notifications of earlier versions lack this key and the next ones.
    #[serde(default)]
    pub organizer_name: String,
    /// URL of the component; empty where there is none.
    #[serde(default)]
    pub url: String,
    /// Where the meeting is held online: the values of CONFERENCE (RFC 7986, 5.11).
    #[serde(default)]
    pub conferences: Vec<String>,
    /// The first RRULE of the series (RFC 5545, 3.3.10); empty for what does not recur by a rule.
    #[serde(default)]
    pub recurrence_rule: String,
    /// The identity of the firing, 32 hexadecimal digits.
    pub notification_id: String,
    /// Where the alarm can be dismissed or snoozed; left out where it cannot.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub answer_url: String,
    /// When it fired, RFC 3339 in UTC with milliseconds.
    pub timestamp: String,
}

/// What a notification says of the calendar that its alarm is in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Whose alarm it is: userId.
    pub user: String,
    /// What distinguishes this calendar from all others of its user, for what has no UID; not shown.
    pub key: String,
    /// calendarName.
    pub name: String,
    /// calendarId.
    pub id: String,
    /// calendarColor; empty if there is none.
    pub color: String,
    /// calendarOwner.
    pub owner: String,
}

/// Who sends notifications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// `defaults.server_name`, else the name of the host.
    pub server_fqdn: String,
    /// The process.
    pub pid: u32,
    /// Octets of each text of an event or an alarm; what is longer is cut.
    pub max_text: usize,
    /// Octets of a whole notification.
    pub max_size: usize,
}

/// A text that is shorter than this is not cut for the sake of the whole.
const SHORT: usize = 64;

/// The identity of a firing (rule 21): 16 octets that depend on the user, the UID, the action and the instant, and on
/// nothing else. What has no UID has in its place the calendar that it is in, `href`, which is its object's name there,
/// its type and its content.
pub fn identity(about: &About, href: &str, instance: &AlarmInstance<'_>) -> [u8; 16] {
    let component = instance.component;
    let mut hash = named(&about.user, &component.uid, instance.action.name(), instance.at);
    if component.uid.is_empty() {
        for part in [&about.key, href, component.kind.name(), &component.own] {
            add(&mut hash, part);
        }
    }
    truncated(&hash.finalize())
}

/// The identity of an alarm of the component with the UID `uid`, which fires at `at`.
pub fn identity_of(user: &str, uid: &str, action: &str, at: UtcMillis) -> [u8; 16] {
    truncated(&named(user, uid, action, at).finalize())
}

fn named(user: &str, uid: &str, action: &str, at: UtcMillis) -> Sha256 {
    let mut hash = Sha256::new();
    for part in [user, uid, action] {
        add(&mut hash, part);
    }
    hash.update(at.0.to_be_bytes());
    hash
}

/// With its length in front, a part cannot be confused with the next one.
fn add(hash: &mut Sha256, part: &str) {
    hash.update((part.len() as u64).to_be_bytes());
    hash.update(part);
}

impl Notification {
    /// The notification of `instance`, which has this `identity`, an alarm in the calendar `about`, sent by `sender` at
    /// `fired_at`.
    pub fn new(
        instance: &AlarmInstance<'_>,
        about: &About,
        identity: [u8; 16],
        sender: &Sender,
        fired_at: UtcMillis,
    ) -> Notification {
        let component = instance.component;
        let bounded = |text: &str| first_octets(text, sender.max_text).to_owned();
        let attendees = attendees_with_room(&component.attendees, sender.max_size);
        let of_attendees = |text: fn(&Attendee) -> &str| attendees.iter().map(|one| bounded(text(one))).collect();
        let (summary, description) = instance.alarm.map_or(("", ""), |alarm| (&alarm.summary, &alarm.description));
        Notification {
            event: "CalendarAlarm".to_owned(),
            pid: sender.pid,
            server_fqdn: sender.server_fqdn.clone(),
            alarm_time: instance.at.basic(),
            alarm_recipients: instance.recipients().into_iter().map(bounded).collect(),
            user_id: about.user.clone(),
            calendar_name: about.name.clone(),
            uid: bounded(&component.uid),
            action: instance.action.name().to_owned(),
            summary: bounded(&component.summary),
            description: bounded(&component.description),
            location: bounded(&component.location),
            timezone: instance.zone_name().to_owned(),
            start: instance.start.map(written).unwrap_or_default(),
            end: instance.end.map(written).unwrap_or_default(),
            all_day: u8::from(matches!(instance.start, Some(When::Date(_)))),
            attendee_names: of_attendees(|attendee| &attendee.name),
            attendee_emails: of_attendees(|attendee| &attendee.address),
            attendee_status: of_attendees(|attendee| &attendee.status),
            organizer: bounded(&component.organizer),
            calendar_id: about.id.clone(),
            calendar_color: about.color.clone(),
            calendar_owner: about.owner.clone(),
            recurrence_id: instance.recurrence_id_text(),
            alert_id: bounded(&alert_id(instance)),
            alarm_summary: bounded(summary),
            alarm_description: bounded(description),
            component: component.kind.name().to_owned(),
            organizer_name: bounded(&component.organizer_name),
            url: bounded(&component.url),
            conferences: component.conferences.iter().map(|uri| bounded(uri)).collect(),
            recurrence_rule: instance.rule.map(bounded).unwrap_or_default(),
            notification_id: hex(&identity),
            answer_url: String::new(),
            timestamp: fired_at.to_string(),
        }
    }

    /// One line of JSON: the documented keys in their order, then the extensions.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The same in at most `most` octets: attendees are left out from the end, then recipients and conferences, then
    /// the longest texts are cut. Its frame, the names of the user and of the calendar among it, stays whole.
    pub fn to_json_within(mut self, most: usize) -> String {
        let mut json = self.to_json();
        while json.len() > most && self.shrink() {
            json = self.to_json();
        }
        json
    }

    /// Makes it shorter; false when it is as short as it can be.
    fn shrink(&mut self) -> bool {
        if !self.attendee_names.is_empty() {
            for list in [&mut self.attendee_names, &mut self.attendee_emails, &mut self.attendee_status] {
                list.truncate(list.len() / 2);
            }
            return true;
        }
        if !self.alarm_recipients.is_empty() {
            self.alarm_recipients.truncate(self.alarm_recipients.len() / 2);
            return true;
        }
        if !self.conferences.is_empty() {
            self.conferences.truncate(self.conferences.len() / 2);
            return true;
        }
        let texts = [
            &mut self.description,
            &mut self.alarm_description,
            &mut self.summary,
            &mut self.location,
            &mut self.alarm_summary,
            &mut self.organizer,
            &mut self.organizer_name,
            &mut self.url,
            &mut self.recurrence_rule,
            &mut self.alert_id,
            &mut self.uid,
        ];
        let longest = texts.into_iter().max_by_key(|text| text.len()).filter(|text| text.len() > SHORT);
        longest.is_some_and(|text| {
            text.truncate(text.floor_char_boundary(text.len() / 2));
            true
        })
    }
}

/// Those of `attendees` that may fit into `max_size` octets; whether they do is known once they are written.
fn attendees_with_room(attendees: &[Attendee], max_size: usize) -> &[Attendee] {
    let mut room = max_size;
    let mut fits = |attendee: &Attendee| {
        let octets = attendee.name.len() + attendee.address.len() + attendee.status.len();
        room = room.saturating_sub(octets);
        room > 0
    };
    let count = attendees.iter().position(|attendee| !fits(attendee)).unwrap_or(attendees.len());
    attendees.get(..count).unwrap_or(attendees)
}

/// A start or end: `20151119` for a date, else the instant in UTC.
fn written(when: When) -> String {
    match when {
        When::Date(date) => date.strftime("%Y%m%d").to_string(),
        When::At(at) => at.basic(),
    }
}

/// The UID of a VALARM, else a hash of its content, so that it stays the same while the alarm does.
fn alert_id(instance: &AlarmInstance<'_>) -> String {
    match instance.alarm {
        Some(alarm) if !alarm.uid.is_empty() => alarm.uid.to_string(),
        Some(alarm) => hex(&hash_of(alarm)),
        None => String::new(),
    }
}

fn hash_of(alarm: &Alarm) -> [u8; 16] {
    let trigger = match alarm.trigger {
        Some(Trigger::Start(offset)) => format!("start {} {}", offset.days, offset.time.as_secs()),
        Some(Trigger::End(offset)) => format!("end {} {}", offset.days, offset.time.as_secs()),
        Some(Trigger::At(moment)) => format!("at {moment:?}"),
        None => String::new(),
    };
    let interval = alarm.interval.unwrap_or_default();
    let repeat = format!("{} {} {}", alarm.repeat, interval.days, interval.time.as_secs());
    let texts = [&*alarm.action_text, &trigger, &repeat, &*alarm.summary, &*alarm.description];
    let mut hash = Sha256::new();
    for text in texts.into_iter().chain(alarm.attendees.iter().map(|attendee| &**attendee)) {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    truncated(&hash.finalize())
}

fn truncated(digest: &[u8]) -> [u8; 16] {
    let mut short = [0; 16];
    for (to, from) in short.iter_mut().zip(digest) {
        *to = *from;
    }
    short
}

#[cfg(test)]
mod tests;

//! How a notification is written on a sink: as it is stored, without the extensions, or with times as Cyrus 3.6.1
//! writes them. It knows the JSON and nothing of where it goes.

use std::borrow::Cow;

use jiff::civil::{Date, DateTime};
use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::sink::Outcome;
use crate::calendar::zone::{Zone, Zones};
use crate::notification::Notification;
use crate::store_event::StoreEvent;
use crate::tables::{Section, value};
use crate::time::UtcMillis;

/// Format of the JSON on a sink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JsonFormat {
    /// `format = "documented"`: without the extensions.
    pub documented: bool,
    /// `times = "local"`: wall-clock times of `timezone`.
    pub local_times: bool,
}

impl JsonFormat {
    /// Reads the keys `format` and `times` of a sink that writes JSON.
    pub fn read(section: &Section<'_>) -> JsonFormat {
        JsonFormat {
            documented: section
                .read("format", value::one_of(&[("full", false), ("documented", true)]))
                .unwrap_or(false),
            local_times: section.read("times", value::one_of(&[("utc", false), ("local", true)])).unwrap_or(false),
        }
    }
}

/// Writes stored notifications in the format that a sink is set to.
#[derive(Clone, Debug)]
pub struct Renderer {
    format: JsonFormat,
    zones: Zones,
}

impl Renderer {
    /// A writer of `format` that takes local times from `zones`.
    pub fn new(format: JsonFormat, zones: Zones) -> Renderer {
        Renderer { format, zones }
    }

    /// The stored `json` in this format. It is read only where something has to change.
    ///
    /// # Errors
    /// [`Outcome::Permanent`] when the stored text is no notification.
    pub fn render<'a>(&self, json: &'a str) -> Result<Cow<'a, str>, Outcome> {
        if self.format == JsonFormat::default() {
            return Ok(Cow::Borrowed(json));
        }
        if let Some(event) = StoreEvent::read(json) {
            return Ok(Cow::Owned(self.event(event).to_json()));
        }
        let mut notification = read(json)?;
        if self.format.local_times {
            self.localise(&mut notification);
        }
        self.write(&notification).map(Cow::Owned)
    }

    /// A store event in this format: its times stay as they are.
    fn event(&self, event: StoreEvent) -> StoreEvent {
        if self.format.documented { event.documented() } else { event }
    }

    /// The stored `json` in this format, in at most `limit` octets: what is too long loses the end of its description
    /// and of what its alarm says, then of its attendees, of its recipients, and of its other texts. Every cut is on a
    /// character boundary, and what is left is valid. A store event loses the text of its object.
    ///
    /// # Errors
    /// [`Outcome::Permanent`] when the stored text is no notification, or does not fit even so.
    pub fn render_within<'a>(&self, json: &'a str, limit: usize) -> Result<Cow<'a, str>, Outcome> {
        let whole = self.render(json)?;
        if whole.len() <= limit {
            return Ok(whole);
        }
        if let Some(event) = StoreEvent::read(json) {
            let event = self.event(StoreEvent { message_content: None, ..event });
            return within("the store event", event.to_json(), limit).map(Cow::Owned);
        }
        let mut notification = read(json)?;
        if self.format.local_times {
            self.localise(&mut notification);
        }
        let mut excess = whole.len() - limit;
        for text in first_texts(&mut notification, self.format) {
            cut(text, &mut excess);
        }
        let Notification { attendee_names, attendee_emails, attendee_status, alarm_recipients, conferences, .. } =
            &mut notification;
        shorten(&mut [attendee_names, attendee_emails, attendee_status], &mut excess);
        shorten(&mut [alarm_recipients], &mut excess);
        if !self.format.documented {
            shorten(&mut [conferences], &mut excess);
        }
        for text in last_texts(&mut notification, self.format) {
            cut(text, &mut excess);
        }
        within("the alarm", self.write(&notification)?, limit).map(Cow::Owned)
    }

    /// Times as the wall clock of the event's zone shows them, without `Z`. They stay as they are where
    /// the zone is not known.
    fn localise(&self, notification: &mut Notification) {
        let zone = match notification.timezone.as_str() {
            "[floating]" => Zone::utc(),
            id => match self.zones.find(id) {
                Some(zone) => zone,
                None => return,
            },
        };
        for time in [&mut notification.alarm_time, &mut notification.start, &mut notification.end] {
            if let Some(at) = instant(time) {
                *time = zone.civil(at).strftime("%Y%m%dT%H%M%S").to_string();
            }
        }
    }

    fn write(&self, notification: &Notification) -> Result<String, Outcome> {
        let written = match self.format.documented {
            true => serde_json::to_string(&Documented(notification)),
            false => serde_json::to_string(notification),
        };
        written.map_err(|error| Outcome::permanent(format!("the alarm cannot be written as JSON: {error}")))
    }
}

/// `json`, if it has at most `limit` octets; `what` it is begins the sentence where it has more.
///
/// # Errors
/// [`Outcome::Permanent`] when it has more.
fn within(what: &str, json: String, limit: usize) -> Result<String, Outcome> {
    if json.len() <= limit {
        return Ok(json);
    }
    Err(Outcome::permanent(format!("{what} does not fit into {limit} octets, however much of it is cut")))
}

/// A stored notification.
///
/// # Errors
/// [`Outcome::Permanent`] when the stored text is no notification.
pub fn read(json: &str) -> Result<Notification, Outcome> {
    serde_json::from_str(json)
        .map_err(|error| Outcome::permanent(format!("the ledger holds no readable alarm: {error}")))
}

/// The instant of a UTC time in iCalendar's basic form (`20151119T063000Z`); none for a date and for anything else.
pub fn instant(text: &str) -> Option<UtcMillis> {
    let wall = DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    let at = jiff::tz::Offset::UTC.to_timestamp(wall).ok()?;
    Some(UtcMillis(at.as_millisecond()))
}

/// A date in iCalendar's basic form (`20151119`).
pub fn date(text: &str) -> Option<Date> {
    Date::strptime("%Y%m%d", text).ok()
}

/// The texts that are cut before anybody is left out, the most dispensable first. Those that the format leaves out are
/// not worth cutting.
fn first_texts(n: &mut Notification, format: JsonFormat) -> Vec<&mut String> {
    match format.documented {
        true => vec![&mut n.description],
        false => vec![&mut n.description, &mut n.alarm_description, &mut n.alarm_summary],
    }
}

/// Those that are cut where no attendee is left, the most dispensable first. What distinguishes the alarm comes last.
fn last_texts(n: &mut Notification, format: JsonFormat) -> Vec<&mut String> {
    let mut texts = vec![&mut n.location, &mut n.organizer, &mut n.summary];
    if !format.documented {
        texts.extend([&mut n.organizer_name, &mut n.url, &mut n.recurrence_rule, &mut n.alert_id]);
    }
    texts.push(&mut n.uid);
    texts
}

/// Leaves out the end of `lists`, whose entries at one place belong together, until their JSON is `excess` octets
/// shorter or nothing is left, and lowers `excess` by what that gained.
fn shorten(lists: &mut [&mut Vec<String>], excess: &mut usize) {
    let mut count = lists.iter().map(|list| list.len()).max().unwrap_or_default();
    while *excess > 0 && count > 0 {
        count -= 1;
        for list in lists.iter_mut() {
            for text in list.drain(count.min(list.len())..) {
                let comma = usize::from(count > 0);
                let octets = text.chars().map(octets_in_json).sum::<usize>();
                *excess = excess.saturating_sub(octets.saturating_add(2).saturating_add(comma));
            }
        }
    }
}

/// Takes characters off the end of `text` until its JSON is `excess` octets shorter or nothing is left, and lowers
/// `excess` by what that gained.
fn cut(text: &mut String, excess: &mut usize) {
    let mut keep = text.len();
    for (at, c) in text.char_indices().rev() {
        if *excess == 0 {
            break;
        }
        *excess = excess.saturating_sub(octets_in_json(c));
        keep = at;
    }
    text.truncate(keep);
}

/// How many octets a character takes in a JSON string as `serde_json` writes it (RFC 8259, section 7).
fn octets_in_json(c: char) -> usize {
    match c {
        '"' | '\\' | '\u{8}' | '\u{c}' | '\n' | '\r' | '\t' => 2,
        '\0'..='\u{1f}' => 6,
        _ => c.len_utf8(),
    }
}

/// The documented keys alone.
struct Documented<'a>(&'a Notification);

impl Serialize for Documented<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let n = self.0;
        let mut keys = serializer.serialize_struct("CalendarAlarm", 20)?;
        keys.serialize_field("event", &n.event)?;
        keys.serialize_field("pid", &n.pid)?;
        keys.serialize_field("serverFQDN", &n.server_fqdn)?;
        keys.serialize_field("alarmTime", &n.alarm_time)?;
        keys.serialize_field("alarmRecipients", &n.alarm_recipients)?;
        keys.serialize_field("userId", &n.user_id)?;
        keys.serialize_field("calendarName", &n.calendar_name)?;
        keys.serialize_field("uid", &n.uid)?;
        keys.serialize_field("action", &n.action)?;
        keys.serialize_field("summary", &n.summary)?;
        keys.serialize_field("description", &n.description)?;
        keys.serialize_field("location", &n.location)?;
        keys.serialize_field("timezone", &n.timezone)?;
        keys.serialize_field("start", &n.start)?;
        keys.serialize_field("end", &n.end)?;
        keys.serialize_field("allDay", &n.all_day)?;
        keys.serialize_field("attendeeNames", &n.attendee_names)?;
        keys.serialize_field("attendeeEmails", &n.attendee_emails)?;
        keys.serialize_field("attendeeStatus", &n.attendee_status)?;
        keys.serialize_field("organizer", &n.organizer)?;
        keys.end()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::delivery::sink::samples::melbourne;

    const PLAIN: JsonFormat = JsonFormat { documented: false, local_times: false };
    const DOCUMENTED: JsonFormat = JsonFormat { documented: true, local_times: false };
    const LOCAL: JsonFormat = JsonFormat { documented: false, local_times: true };

    fn renderer(format: JsonFormat) -> Renderer {
        Renderer::new(format, Zones::bundled())
    }

    fn json(n: &Notification) -> String {
        serde_json::to_string(n).unwrap()
    }

    #[test]
    fn the_documented_shape_is_the_documented_example() {
        let expected = r#"{"event":"CalendarAlarm","pid":3164225,"serverFQDN":"sloti30t15","alarmTime":"20151119T063000Z","alarmRecipients":["mailto:mary@example.org"],"userId":"mary@example.org","calendarName":"Calendar","uid":"49ba20f5-cb44-4863-aea7-255f37ffc2e7","action":"email","summary":"Here's a lovely event.  Remind me","description":"","location":"","timezone":"Australia/Melbourne","start":"20151119T073000Z","end":"20151119T083000Z","allDay":0,"attendeeNames":[],"attendeeEmails":[],"attendeeStatus":[],"organizer":""}"#;
        let stored = json(&melbourne());
        assert_eq!(renderer(DOCUMENTED).render(&stored).unwrap(), expected);
        assert_eq!(renderer(PLAIN).render(&stored).unwrap(), stored);
    }

    #[test]
    fn local_times_are_the_wall_clock_of_the_zone() {
        let local = read(&renderer(LOCAL).render(&json(&melbourne())).unwrap()).unwrap();
        assert_eq!(
            [local.alarm_time.as_str(), &local.start, &local.end],
            ["20151119T173000", "20151119T183000", "20151119T193000"]
        );
        let all_day = Notification { start: "20151119".into(), end: "20151120".into(), all_day: 1, ..melbourne() };
        let local = read(&renderer(LOCAL).render(&json(&all_day)).unwrap()).unwrap();
        assert_eq!([local.alarm_time.as_str(), &local.start, &local.end], ["20151119T173000", "20151119", "20151120"]);
        for (zone, alarm_time) in
            [("[floating]", "20151119T063000"), ("UTC", "20151119T063000"), ("My own zone", "20151119T063000Z")]
        {
            let named = Notification { timezone: zone.into(), ..melbourne() };
            let local = read(&renderer(LOCAL).render(&json(&named)).unwrap()).unwrap();
            assert_eq!(local.alarm_time, alarm_time, "{zone}");
        }
    }

    #[test]
    fn a_text_that_is_no_notification_is_refused() {
        for text in ["", "{}", "[1", "{\"event\":1}"] {
            assert!(matches!(renderer(LOCAL).render(text), Err(Outcome::Permanent { .. })), "{text}");
        }
    }

    #[test]
    fn the_description_goes_first_and_no_more_of_it_than_must() {
        let long = Notification { description: "ö\"\n\u{1}€".repeat(1_000), ..melbourne() };
        let limit = json(&long).len() - 500;
        let fitted = renderer(PLAIN).render_within(&json(&long), limit).unwrap().into_owned();
        assert!(fitted.len() <= limit && fitted.len() > limit - 6, "{} of {limit}", fitted.len());
        let kept = read(&fitted).unwrap();
        assert!(long.description.starts_with(&kept.description));
        assert_eq!(kept, Notification { description: kept.description.clone(), ..long });
    }

    #[test]
    fn of_thousands_of_attendees_and_recipients_as_many_stay_as_fit() {
        let people = |prefix: &str| (0..5_000).map(|n| format!("{prefix}\"ö\n{n}@example.org")).collect::<Vec<_>>();
        let full = Notification {
            description: "Why".into(),
            alarm_recipients: people("mailto:"),
            attendee_names: people(""),
            attendee_emails: people("mailto:"),
            attendee_status: vec!["ACCEPTED".into(); 5_000],
            ..melbourne()
        };
        let stored = json(&full);
        let without = |n: &Notification| Notification { description: String::new(), ..n.clone() };
        let attended = |n: &Notification, count: usize| Notification {
            attendee_names: n.attendee_names[..count].to_vec(),
            attendee_emails: n.attendee_emails[..count].to_vec(),
            attendee_status: n.attendee_status[..count].to_vec(),
            ..without(n)
        };
        let invited = |n: &Notification, count: usize| Notification {
            alarm_recipients: n.alarm_recipients[..count].to_vec(),
            ..attended(n, 0)
        };
        let fitted = |limit: usize| read(&renderer(PLAIN).render_within(&stored, limit).unwrap()).unwrap();
        for count in [4_999, 1_234, 1, 0] {
            let limit = json(&attended(&full, count)).len();
            assert!(fitted(limit) == attended(&full, count), "{count} attendees");
            assert!(count == 0 || fitted(limit - 1) == attended(&full, count - 1), "{count} attendees less one");
            let limit = json(&invited(&full, count)).len();
            assert!(fitted(limit) == invited(&full, count), "{count} recipients");
            assert!(count == 0 || fitted(limit - 1) == invited(&full, count - 1), "{count} recipients less one");
        }
        // No attendee is left before the summary loses a letter.
        let least = json(&invited(&full, 0)).len();
        assert!(fitted(least - 1) == Notification { summary: fitted(least - 1).summary, ..invited(&full, 0) });
        let alone =
            Notification { summary: String::new(), uid: String::new(), alert_id: String::new(), ..invited(&full, 0) };
        assert!(fitted(json(&alone).len()) == alone);
    }

    #[test]
    fn what_cannot_fit_is_refused() {
        let event = r#"{"event":"MessageExpunge","timestamp":"","service":"reveille","uri":"/mary/work/a.ics","pid":7,"user":"mary","serverFQDN":"host"}"#;
        for (stored, what) in [(json(&melbourne()).as_str(), "the alarm"), (event, "the store event")] {
            let Err(Outcome::Permanent { response }) = renderer(PLAIN).render_within(stored, 100) else { panic!() };
            assert!(response.starts_with(&format!("{what} does not fit into 100 octets")), "{response}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_texts_are_the_rest_is_valid_and_fits(
            texts in prop::array::uniform5("(?s).{0,60}"),
            names in prop::collection::vec("(?s).{0,40}", 0..4),
            recipients in prop::collection::vec("(?s).{0,40}", 0..4),
            documented: bool,
            share in 0_usize..100,
        ) {
            let [description, alarm_description, alarm_summary, summary, location] = texts;
            let full = Notification {
                description, alarm_description, alarm_summary, summary, location, attendee_names: names,
                alarm_recipients: recipients, ..melbourne()
            };
            let renderer = renderer(JsonFormat { documented, local_times: false });
            let bare = Notification {
                description: String::new(), alarm_description: String::new(), alarm_summary: String::new(),
                summary: String::new(), location: String::new(), attendee_names: vec![], alarm_recipients: vec![], ..melbourne()
            };
            let stored = json(&full);
            let (least, most) =
                (renderer.render(&json(&bare)).unwrap().len(), renderer.render(&stored).unwrap().len());
            let limit = least + (most - least) * share / 100;
            let fitted = renderer.render_within(&stored, limit).unwrap();
            prop_assert!(fitted.len() <= limit);
            let value: serde_json::Value = serde_json::from_str(&fitted).unwrap();
            prop_assert_eq!(&value["uid"], &serde_json::Value::from(full.uid));
        }
    }
}

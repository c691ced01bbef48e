use super::{About, Notification, Sender, hex, identity, identity_of};
use crate::calendar::context::CalendarContext;
use crate::calendar::ical::object::{Object, ObjectLimits};
use crate::calendar::schedule::Schedule;
use crate::calendar::zone::Zones;
use crate::time::UtcMillis;

/// An event like the one of Cyrus' documentation.
const LOVELY: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Reveille//Test//EN\r\nBEGIN:VEVENT\r\n\
    UID:49ba20f5-cb44-4863-aea7-255f37ffc2e7\r\nDTSTAMP:20151118T000000Z\r\n\
    DTSTART;TZID=Australia/Melbourne:20151119T183000\r\nDTEND;TZID=Australia/Melbourne:20151119T193000\r\n\
    SUMMARY:Here's a lovely event.  Remind me\r\nBEGIN:VALARM\r\nACTION:EMAIL\r\nTRIGGER:-PT1H\r\n\
    ATTENDEE:mailto:mary@example.org\r\nSUMMARY:Soon\\, mary\r\nDESCRIPTION:Line 1\\nLine 2\r\nEND:VALARM\r\n\
    END:VEVENT\r\nEND:VCALENDAR\r\n";

fn notify(text: &str, about: &About) -> Notification {
    notify_within(64 * 1024, text, about)
}

fn notify_within(max_text: usize, text: &str, about: &About) -> Notification {
    let sender = Sender { server_fqdn: "sloti30t15".into(), pid: 3_164_225, max_text, max_size: usize::MAX };
    let object = Object::parse(text.as_bytes(), &ObjectLimits::default()).unwrap();
    let context = CalendarContext::new(Zones::bundled());
    let schedule = Schedule::new(&object, &context, None);
    let instances = schedule.instances(UtcMillis::MIN..UtcMillis::MAX);
    let fired_at = UtcMillis::parse("2015-11-19T06:30:00.012Z").unwrap();
    Notification::new(&instances[0], about, identity(about, "a.ics", &instances[0]), &sender, fired_at)
}

fn mary() -> About {
    About {
        user: "mary@example.org".into(),
        key: "dav /mary/Default/".into(),
        name: "Calendar".into(),
        id: "Default".into(),
        color: "#FD8208FF".into(),
        owner: "mary@example.org".into(),
    }
}

#[test]
fn the_documented_example_comes_out_character_for_character() {
    let documented = r#"{"event":"CalendarAlarm","pid":3164225,"serverFQDN":"sloti30t15","alarmTime":"20151119T063000Z","alarmRecipients":["mailto:mary@example.org"],"userId":"mary@example.org","calendarName":"Calendar","uid":"49ba20f5-cb44-4863-aea7-255f37ffc2e7","action":"email","summary":"Here's a lovely event.  Remind me","description":"","location":"","timezone":"Australia/Melbourne","start":"20151119T073000Z","end":"20151119T083000Z","allDay":0,"attendeeNames":[],"attendeeEmails":[],"attendeeStatus":[],"organizer":"""#;
    let json = notify(LOVELY, &mary()).to_json();
    let extensions = json.strip_prefix(documented).expect(&json);
    let start = r##","calendarId":"Default","calendarColor":"#FD8208FF","calendarOwner":"mary@example.org","recurrenceId":"","alertId":""##;
    assert!(extensions.starts_with(start), "{extensions}");
    assert!(
        extensions
            .contains(r#","alarmSummary":"Soon, mary","alarmDescription":"Line 1\nLine 2","component":"VEVENT","#)
    );
    assert!(extensions.ends_with(r#","timestamp":"2015-11-19T06:30:00.012Z"}"#), "{extensions}");
    assert!(!json.contains('\n'));
}

#[test]
fn rule_21_the_identity_depends_on_its_four_parts_alone() {
    let first = notify(LOVELY, &mary());
    let elsewhere =
        About { key: "dav /mary/Work/".into(), name: "Work".into(), id: "Work".into(), color: String::new(), ..mary() };
    let retold = LOVELY.replace("lovely", "dull").replace("Soon", "Late").replace("DTEND", "X-END");
    let moved = LOVELY.replace("DTEND", "RECURRENCE-ID:20151119T073000Z\r\nDTEND");
    let series = LOVELY.replace("DTEND", "RRULE:FREQ=DAILY;COUNT=2\r\nDTEND");
    for same in [notify(&retold, &elsewhere), notify(&moved, &mary()), notify(&series, &mary())] {
        assert_eq!(same.notification_id, first.notification_id, "{same:?}");
    }
    let others = [
        notify(LOVELY, &About { user: "john@example.org".into(), ..mary() }),
        notify(&LOVELY.replace("49ba20f5", "59ba20f5"), &mary()),
        notify(&LOVELY.replace("EMAIL", "DISPLAY"), &mary()),
        notify(&LOVELY.replace("-PT1H", "-PT2H"), &mary()),
    ];
    for other in others {
        assert_ne!(other.notification_id, first.notification_id, "{other:?}");
    }
    let moved_border = About { user: "mary@example.org4".into(), ..mary() };
    let other = notify(&LOVELY.replace("UID:49", "UID:9"), &moved_border);
    assert_ne!(other.notification_id, first.notification_id);
    let old = identity_of("mary@example.org", &first.uid, "email", UtcMillis::parse("2015-11-19T06:30:00Z").unwrap());
    assert_eq!(first.notification_id, hex(&old));
}

#[test]
fn what_has_no_uid_has_an_identity_of_its_own() {
    let begin = LOVELY.find("BEGIN:VEVENT").unwrap();
    let unnamed = LOVELY.replace("UID:49ba20f5-cb44-4863-aea7-255f37ffc2e7\r\n", "");
    let ids = |text: &str, key: &str, href: &str| {
        let object = Object::parse(text.as_bytes(), &ObjectLimits::default()).unwrap();
        let context = CalendarContext::new(Zones::bundled());
        let about = About { key: key.into(), ..mary() };
        let instances = Schedule::new(&object, &context, None).instances(UtcMillis::MIN..UtcMillis::MAX);
        instances.iter().map(|instance| hex(&identity(&about, href, instance))).collect::<Vec<_>>()
    };
    let first = ids(&unnamed, "work", "a.ics");
    // Exporters that write no UID write when they wrote it.
    assert_eq!(ids(&unnamed.replace("20151118T", "20151117T"), "work", "a.ics"), first);
    assert_eq!(ids(&unnamed.replace("BEGIN:VEVENT", "X-WR-CALNAME:Work\r\nBEGIN:VEVENT"), "work", "a.ics"), first);
    let component = unnamed[begin..unnamed.find("END:VCALENDAR").unwrap()].to_owned();
    let twice = ids(&unnamed.replace("END:VCALENDAR", &format!("{component}END:VCALENDAR")), "work", "a.ics");
    assert_eq!(twice[0], first[0]);
    let mut all = [
        first,
        twice[1..].to_vec(),
        ids(&unnamed, "home", "a.ics"),
        ids(&unnamed, "work", "b.ics"),
        ids(&unnamed.replace("lovely", "dull"), "work", "a.ics"),
        ids(&unnamed.replace("VEVENT", "VTODO").replace("DTEND", "DUE"), "work", "a.ics"),
    ]
    .concat();
    assert_eq!(all.len(), 6);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 6, "{all:?}");
}

#[test]
fn the_alert_id_is_the_uid_of_the_alarm_else_a_hash_of_it() {
    let hashed = notify(LOVELY, &mary()).alert_id;
    assert_eq!(hashed.len(), 32);
    assert_eq!(notify(&LOVELY.replace("lovely", "dull"), &mary()).alert_id, hashed);
    assert_ne!(notify(&LOVELY.replace("Soon", "Late"), &mary()).alert_id, hashed);
    assert_eq!(notify(&LOVELY.replace("TRIGGER", "UID:a-1\r\nTRIGGER"), &mary()).alert_id, "a-1");
}

#[test]
fn long_texts_are_cut_on_a_character_boundary() {
    for max_text in [64 * 1024, 1024] {
        let description = |octets: usize| {
            let text = format!("DESCRIPTION:{}{}\r\nSUMMARY:Here", "x".repeat(octets % 2), "ü".repeat(octets / 2));
            notify_within(max_text, &LOVELY.replace("SUMMARY:Here", &text), &mary()).description
        };
        assert_eq!(description(max_text).len(), max_text);
        let cut = description(max_text + 1);
        assert!(cut.len() == max_text - 1 && cut.ends_with('ü'), "{}", cut.len());
    }
}

#[test]
fn attendees_come_in_three_lists_of_one_length() {
    let text = LOVELY.replace(
        "SUMMARY:Here",
        "ORGANIZER;CN=Ann:mailto:ann@example.org\r\nATTENDEE;CN=\"Doe, J\";PARTSTAT=TENTATIVE:mailto:doe@example.org\r\n\
         ATTENDEE:mailto:x@example.org\r\nSUMMARY:Here",
    );
    let notification = notify(&text, &mary());
    assert_eq!(notification.attendee_names, ["Doe, J", ""]);
    assert_eq!(notification.attendee_emails, ["mailto:doe@example.org", "mailto:x@example.org"]);
    assert_eq!(notification.attendee_status, ["TENTATIVE", ""]);
    assert_eq!(notification.organizer, "mailto:ann@example.org");
}

#[test]
fn limit_of_a_notifications_size_at_it_and_above() {
    let long = |octets: usize| LOVELY.replace("SUMMARY:Here", &format!("SUMMARY:{}Here", "x".repeat(octets)));
    for most in [256 * 1024, 8 * 1024] {
        let whole = |octets: usize| notify_within(usize::MAX, &long(octets), &mary());
        let frame = whole(0).to_json().len();
        assert_eq!(whole(most - frame).to_json_within(most), whole(most - frame).to_json());
        let cut: Notification = serde_json::from_str(&whole(most - frame + 1).to_json_within(most)).unwrap();
        assert!(cut.summary.len() < most && cut.summary.len() > most / 3, "{}", cut.summary.len());
        assert_eq!((cut.uid, cut.alarm_description), (whole(0).uid, whole(0).alarm_description), "the longest is cut");
    }
}

#[test]
fn attendees_are_left_out_before_texts_are_cut() {
    let attendees = |count: usize| -> String {
        (0..count).map(|n| format!("ATTENDEE;CN=\"\u{1}{n:05}\":mailto:a{n}@example.org\r\n")).collect()
    };
    let text = LOVELY.replace("SUMMARY:Here", &format!("{}SUMMARY:Here", attendees(1_500)));
    let whole = notify_within(64 * 1024, &text, &mary());
    let json = whole.clone().to_json_within(20_000);
    let cut: Notification = serde_json::from_str(&json).unwrap();
    let count = cut.attendee_names.len();
    assert!(json.len() <= 20_000 && (50..1_500).contains(&count), "{} {count}", json.len());
    assert_eq!((cut.attendee_emails.len(), cut.attendee_status.len()), (count, count));
    assert_eq!(cut.attendee_emails[..], whole.attendee_emails[..count], "the first ones stay");
    assert_eq!((&cut.summary, &cut.alarm_recipients), (&whole.summary, &whole.alarm_recipients));
}

#[test]
fn what_a_meeting_and_a_series_add_is_told() {
    let meeting = LOVELY.replace(
        "BEGIN:VALARM",
        "ORGANIZER;CN=\"The boss\":mailto:boss@example.org\r\nURL:https://example.org/a\r\n\
         CONFERENCE;VALUE=URI;FEATURE=VIDEO:https://meet.example.org/x?a=1;b\r\n\
         X-GOOGLE-CONFERENCE:https://meet.example.org/x?a=1;b\r\nCONFERENCE:tel:+49-30-1\r\n\
         RRULE:FREQ=DAILY;COUNT=2\r\nBEGIN:VALARM",
    );
    let told = notify(&meeting, &mary());
    assert_eq!((told.organizer_name.as_str(), told.url.as_str()), ("The boss", "https://example.org/a"));
    assert_eq!(told.conferences, ["https://meet.example.org/x?a=1;b", "tel:+49-30-1"]);
    assert_eq!(told.recurrence_rule, "FREQ=DAILY;COUNT=2");
    // An override has no rule of its own.
    let moved = LOVELY.replace("BEGIN:VEVENT", "BEGIN:VEVENT\r\nRECURRENCE-ID:20151119T073000Z");
    let moved = moved.split("BEGIN:VEVENT").nth(1).unwrap().split("END:VCALENDAR").next().unwrap();
    let both = meeting.replace("END:VEVENT\r\n", &format!("END:VEVENT\r\nBEGIN:VEVENT{moved}"));
    assert!(notify(&both, &mary()).recurrence_rule.starts_with("FREQ=DAILY"));
}

#[test]
fn a_notification_that_an_earlier_version_stored_can_be_read() {
    let mut stored: serde_json::Value = serde_json::from_str(&notify(LOVELY, &mary()).to_json()).unwrap();
    for new in ["organizerName", "url", "conferences", "recurrenceRule"] {
        assert!(stored.as_object_mut().unwrap().remove(new).is_some(), "{new}");
    }
    assert_eq!(serde_json::from_value::<Notification>(stored).unwrap(), notify(LOVELY, &mary()));
}

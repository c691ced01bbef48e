use proptest::prelude::*;

use super::*;
use crate::delivery::sink::samples::melbourne;

const ON_TIME: UtcMillis = UtcMillis(1_447_914_600_012);

fn content(n: &Notification, reader: Option<&str>) -> MailContent {
    let zones = Zones::bundled();
    let reader = reader.map(|id| zones.find(id).unwrap());
    MailContent::new(n, reader, &zones, ON_TIME)
}

#[test]
fn a_plain_event_is_written_in_the_readers_zone_and_its_own() {
    let n = Notification {
        location: "Room 1".into(),
        organizer: "mailto:boss@example.org".into(),
        attendee_names: vec!["Anna".into(), "".into()],
        attendee_emails: vec!["mailto:anna@example.org".into(), "mailto:ben@example.org".into()],
        attendee_status: vec!["ACCEPTED".into(), "".into()],
        description: "Bring:\n- cake".into(),
        ..melbourne()
    };
    let content = content(&n, Some("Europe/Berlin"));
    assert_eq!(content.subject, "Here's a lovely event. Remind me - Thu 19 Nov 2015, 08:30");
    let expected = "\
Here's a lovely event. Remind me

When:      Thursday, 19 November 2015, 08:30–09:30 (Europe/Berlin)
           (that is Thursday, 19 November 2015, 18:30–19:30 Australia/Melbourne)
Where:     Room 1
Calendar:  Calendar
Organizer: boss@example.org
Attendees: Anna, ben@example.org

Bring:
- cake

-- 
Sent by sloti30t15 because the event has an alarm in the calendar “Calendar”.
";
    assert_eq!(content.text, expected);
}

#[test]
fn without_a_reader_the_events_zone_is_taken() {
    let text = content(&melbourne(), None).text;
    assert!(
        text.contains("When:     Thursday, 19 November 2015, 18:30–19:30 (Australia/Melbourne)\nCalendar"),
        "{text}"
    );
    let unknown = Notification { timezone: "My own zone".into(), ..melbourne() };
    assert!(content(&unknown, None).text.contains("07:30–08:30 (UTC)\n"));
    let floating = Notification { timezone: "[floating]".into(), ..melbourne() };
    assert!(content(&floating, None).text.contains("07:30–08:30\n"));
}

#[test]
fn the_alarms_own_words_come_first() {
    let n = Notification {
        alarm_summary: "Leave now\r\nBcc: everybody@example.org".into(),
        alarm_description: "The train goes at 8.".into(),
        ..melbourne()
    };
    let content = content(&n, None);
    assert_eq!(content.subject, "Leave now Bcc: everybody@example.org");
    assert!(
        content.text.starts_with("Here's a lovely event. Remind me\n\nThe train goes at 8.\n\nWhen:"),
        "{}",
        content.text
    );
}

#[test]
fn words_that_are_said_already_are_not_repeated() {
    let n = Notification { description: "Bring cake".into(), alarm_description: "Bring cake".into(), ..melbourne() };
    assert_eq!(content(&n, None).text.matches("Bring cake").count(), 1);
}

#[test]
fn all_day_events_end_on_their_last_day() {
    let days = |start: &str, end: &str| {
        let n = Notification { start: start.into(), end: end.into(), all_day: 1, ..melbourne() };
        content(&n, Some("America/New_York")).text.lines().nth(2).unwrap().to_owned()
    };
    assert_eq!(days("20151119", "20151120"), "When:     Thursday, 19 November 2015 (all day)");
    assert_eq!(days("20151119", ""), "When:     Thursday, 19 November 2015 (all day)");
    assert_eq!(
        days("20151230", "20160103"),
        "When:     Wednesday, 30 December 2015 to Saturday, 2 January 2016 (all day)"
    );
}

#[test]
fn a_night_shift_names_both_days() {
    let n = Notification { end: "20151119T173000Z".into(), ..melbourne() };
    let text = content(&n, None).text;
    assert!(
        text.contains("Thursday, 19 November 2015, 18:30 – Friday, 20 November 2015, 04:30 (Australia/Melbourne)"),
        "{text}"
    );
}

#[test]
fn a_todo_is_due() {
    let n = Notification { component: "VTODO".into(), start: "20151119T083000Z".into(), ..melbourne() };
    let content = content(&n, None);
    assert!(content.subject.ends_with("Thu 19 Nov 2015, 19:30"), "{}", content.subject);
    assert!(
        content.text.contains("\nDue:      Thursday, 19 November 2015, 19:30 (Australia/Melbourne)\n"),
        "{}",
        content.text
    );
    assert!(!content.text.contains("Starts"));
}

#[test]
fn late_is_said_after_a_minute() {
    let zones = Zones::bundled();
    let after = |millis: i64| MailContent::new(&melbourne(), None, &zones, UtcMillis(1_447_914_600_000 + millis));
    assert!(!after(59_999).text.contains("late"));
    let said = "This reminder comes 1 minute late: it was due on Thursday, 19 November 2015, 17:30.";
    assert!(after(60_000).text.contains(said) && after(60_000).html.contains(said), "{}", after(60_000).text);
    assert!(after(7_300_000).text.contains("2 hours late"));
    assert!(after(3 * 86_400_000).text.contains("3 days late"));
}

#[test]
fn html_carries_no_markup_of_the_events() {
    let n = Notification {
        summary: "<img src=x onerror=alert(1)> & \"more\"".into(),
        description: "</p><script>1</script>".into(),
        location: "'here'".into(),
        calendar_color: "#fff;background:url(http://example.org)".into(),
        ..melbourne()
    };
    let html = content(&n, None).html;
    assert!(!html.contains("<img") && !html.contains("<script") && !html.contains("url("), "{html}");
    assert!(
        html.contains("&lt;img src=x onerror=alert(1)&gt; &amp; &quot;more&quot;") && html.contains("&#39;here&#39;")
    );
}

#[test]
fn an_event_without_anything_still_makes_a_letter() {
    let n = Notification {
        summary: String::new(),
        start: String::new(),
        end: String::new(),
        alarm_time: String::new(),
        timezone: String::new(),
        calendar_name: String::new(),
        ..melbourne()
    };
    let content = content(&n, None);
    assert_eq!(content.subject, "(no title)");
    assert!(content.text.starts_with("(no title)\n\n"));
}

#[test]
fn long_lists_and_texts_are_bounded() {
    let n = Notification {
        attendee_names: (0..500).map(|n| format!("Guest {n}")).collect(),
        attendee_emails: vec!["mailto:guest@example.org".into(); 500],
        description: "x".repeat(64 * 1024),
        summary: "ü".repeat(10_000),
        location: "y".repeat(10_000),
        ..melbourne()
    };
    let content = content(&n, None);
    assert!(content.text.contains("Guest 0, Guest 1, Guest 2, Guest 3, Guest 4 and 495 more"), "{}", content.text);
    assert!(content.text.len() < 70_000 && content.html.len() < 71_000 && content.subject.chars().count() < 180);
}

proptest! {
    #[test]
    fn nothing_breaks_a_letter(texts in prop::array::uniform9("(?s).{0,40}"), all_day in 0_u8..2, now: i64) {
        let [summary, description, location, timezone, start, end, alarm_time, alarm_summary, alarm_description] = texts;
        let n = Notification {
            summary, description, location, timezone, start, end, alarm_time, alarm_summary, alarm_description, all_day,
            ..melbourne()
        };
        let content = MailContent::new(&n, None, &Zones::bundled(), UtcMillis(now));
        prop_assert!(!content.subject.chars().any(char::is_control), "{:?}", content.subject);
        prop_assert!(content.text.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'), "{:?}", content.text);
    }
}

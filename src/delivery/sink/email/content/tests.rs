use proptest::prelude::*;

use super::*;
use crate::delivery::sink::samples::melbourne;

const ON_TIME: UtcMillis = UtcMillis(1_447_914_600_012);

fn content(n: &Notification, zone: Option<&str>) -> MailContent {
    written(n, DEFAULT, zone, ON_TIME)
}

/// The mail about `n` for a reader in `zone`, in the language of `locale`, sent at `now`.
fn written(n: &Notification, locale: &str, zone: Option<&str>, now: UtcMillis) -> MailContent {
    let (zones, localizer) = (Zones::bundled(), Localizer::new(locale).unwrap());
    let zone = zone.map(|id| zones.find(id).unwrap());
    let reader = MailReader { localizer: &localizer, zone };
    MailContent::new(n, reader, &zones, &MailTemplates::built_in().unwrap(), now).unwrap()
}

#[test]
fn a_plain_event_is_written_in_the_readers_zone_and_its_own() {
    let n = Notification {
        location: "Room 1".into(),
        organizer: "mailto:boss@example.org".into(),
        organizer_name: "The boss".into(),
        attendee_names: vec!["Anna".into(), "".into()],
        attendee_emails: vec!["mailto:anna@example.org".into(), "mailto:ben@example.org".into()],
        attendee_status: vec!["ACCEPTED".into(), "".into()],
        description: "Bring:\n- cake".into(),
        ..melbourne()
    };
    let content = content(&n, Some("Europe/Berlin"));
    assert_eq!(content.subject, "Here's a lovely event. Remind me – Thu, 19 Nov 2015, 08:30");
    let expected = "\
Here's a lovely event. Remind me

When:      Thursday, 19 November 2015, 08:30–09:30 (Europe/Berlin)
           (that is Thursday, 19 November 2015, 18:30–19:30 Australia/Melbourne)
Where:     Room 1
Organizer: The boss <boss@example.org>
Attendees: Anna and ben@example.org
Calendar:  Calendar

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
    assert!(content.subject.ends_with(" – Thu, 19 Nov 2015, 19:30"), "{}", content.subject);
    assert!(
        content.text.contains("\nDue:      Thursday, 19 November 2015, 19:30 (Australia/Melbourne)\n"),
        "{}",
        content.text
    );
    assert!(!content.text.contains("Starts") && !content.text.contains("event has"));
    assert!(content.text.contains("because the task has an alarm"), "{}", content.text);
}

#[test]
fn late_is_said_after_a_minute() {
    let after = |millis: i64| written(&melbourne(), DEFAULT, None, UtcMillis(1_447_914_600_000 + millis));
    assert!(!after(59_999).text.contains("late"));
    let said = "This reminder comes 1 minute late: it was due on Thursday, 19 November 2015, 17:30.";
    assert!(after(60_000).text.contains(said) && after(60_000).html.contains(said), "{}", after(60_000).text);
    assert!(!after(60_000).text.contains("already over"));
    let over = after(7_300_000).text;
    assert!(over.contains("2 hours late") && over.contains("\nThe event is already over.\n"), "{over}");
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
    assert!(content.text.contains("Guest 0, Guest 1, Guest 2, Guest 3, Guest 4 and 495 more\n"), "{}", content.text);
    assert!(content.text.len() < 4_000 && content.html.len() < 10_000 && content.subject.chars().count() < 190);
    assert!(content.text.contains("x …\n\nThe description goes on: the calendar has all of it.\n"));
}

proptest! {
    #[test]
    fn nothing_breaks_a_letter(texts in prop::array::uniform9("(?s).{0,40}"), all_day in 0_u8..2, now: i64) {
        let [summary, description, location, timezone, start, end, alarm_time, alarm_summary, alarm_description] = texts;
        let n = Notification {
            summary, description, location, timezone, start, end, alarm_time, alarm_summary, alarm_description, all_day,
            ..melbourne()
        };
        let content = written(&n, DEFAULT, None, UtcMillis(now));
        prop_assert!(!content.subject.chars().any(char::is_control), "{:?}", content.subject);
        prop_assert!(content.text.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'), "{:?}", content.text);
    }
}

#[test]
fn a_subject_that_a_program_wrote_gives_way_to_title_and_time() {
    let subject = |alarm_summary: &str| {
        content(&Notification { alarm_summary: alarm_summary.into(), summary: "Tea".into(), ..melbourne() }, None)
            .subject
    };
    for written in
        ["Alarm notification", "This is an event reminder", "Default Mozilla Summary", "tea", "Reminder: Tea"]
    {
        assert_eq!(subject(written), "Tea – Thu, 19 Nov 2015, 18:30", "{written}");
    }
    assert_eq!(subject("Put the kettle on"), "Put the kettle on");
    let lead = Notification { alarm_description: "This is an event reminder".into(), ..melbourne() };
    assert!(!content(&lead, None).text.contains("This is"));
}

#[test]
fn links_are_links_unless_they_may_do_harm() {
    let n = Notification {
        conferences: vec!["https://meet.example.org/x?a=1&b=2".into(), "tel:+49-30-1234".into()],
        url: "javascript:alert(1)".into(),
        description: "Slides: https://example.org/slides.".into(),
        ..melbourne()
    };
    let content = content(&n, None);
    let expected =
        "Online:   https://meet.example.org/x?a=1&b=2\n          tel:+49-30-1234\nLink:     javascript:alert(1)\n";
    assert!(content.text.contains(expected), "{}", content.text);
    let join = "<a href=\"https:&#x2f;&#x2f;meet.example.org&#x2f;x?a=1&amp;b=2\" style=\"font-weight:600\">Join the meeting</a>";
    assert!(content.html.contains(join), "{}", content.html);
    assert!(content.html.contains("<a href=\"https://example.org/slides\">https://example.org/slides</a>."));
    assert!(content.html.contains("<a href=\"tel:+49-30-1234\">") && !content.html.contains("href=\"javascript"));
}

#[test]
fn an_hour_that_the_clock_shows_twice_has_its_offset() {
    let n = Notification {
        timezone: "Europe/Berlin".into(),
        start: "20251026T003000Z".into(),
        end: "20251026T013000Z".into(),
        ..melbourne()
    };
    let content = content(&n, None);
    assert!(content.text.contains("26 October 2025, 02:30 UTC+2–02:30 UTC+1 (Europe/Berlin)\n"), "{}", content.text);
    assert!(content.subject.ends_with("Sun, 26 Oct 2025, 02:30 UTC+2"), "{}", content.subject);
}

#[test]
fn a_series_says_how_often_it_recurs_and_a_moved_occurrence_when_it_was() {
    let series = Notification {
        recurrence_id: "2015-11-19T18:30:00".into(),
        recurrence_rule: "FREQ=WEEKLY;INTERVAL=2;BYDAY=TH".into(),
        ..melbourne()
    };
    let text = content(&series, Some("Europe/Berlin")).text;
    assert!(text.contains("\nRepeats:  every 2 weeks\n") && !text.contains("Moved"), "{text}");
    let moved = Notification { recurrence_id: "2015-11-18T18:30:00".into(), recurrence_rule: String::new(), ..series };
    let text = content(&moved, Some("Europe/Berlin")).text;
    assert!(
        text.contains("\nMoved from: Wednesday, 18 November 2015, 08:30\nRepeats:    on several dates\n"),
        "{text}"
    );
    assert!(!content(&melbourne(), None).text.contains("Repeats"));
}

#[test]
fn html_has_a_canvas_for_light_and_dark_and_directions_of_its_own() {
    let n = Notification { summary: "اجتماع".into(), ..melbourne() };
    let html = content(&n, None).html;
    for part in [
        "<html lang=\"en-GB\" dir=\"ltr\">",
        "content=\"light dark\"",
        "background-color:#ffffff;color:#1f2023",
        "prefers-color-scheme: dark",
        "overflow-wrap:anywhere",
        "<h1 dir=\"auto\"",
        "border-left:5px solid #3366cc",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
    let arabic = written(&n, "ar", None, ON_TIME).html;
    assert!(arabic.contains("<html lang=\"ar\" dir=\"rtl\">") && arabic.contains("border-right:5px"), "{arabic}");
}

#[test]
fn a_mail_is_in_the_language_of_its_reader() {
    let german = written(&melbourne(), "de", Some("Europe/Berlin"), UtcMillis(ON_TIME.0 + 300_000));
    assert_eq!(german.subject, "Here's a lovely event. Remind me – Do., 19.11.2015, 08:30");
    let expected = "Diese Erinnerung kommt 5 Minuten zu spät: fällig war sie am Donnerstag, 19. November 2015, 07:30.\n\n\
        Wann:     Donnerstag, 19. November 2015, 08:30–09:30 (Europe/Berlin)\n          \
        (das ist Donnerstag, 19. November 2015, 18:30–19:30 Australia/Melbourne)\nKalender: Calendar\n";
    assert!(german.text.contains(expected), "{}", german.text);
    // What stands in isolates is from right to left as a whole: the day, then the beginning, then the end.
    let arabic = written(&melbourne(), "ar", Some("Asia/Riyadh"), ON_TIME);
    assert!(arabic.text.contains("\u{200f}الخميس، 19 نوفمبر 2015، 10:30 ص – 11:30 ص (Asia/Riyadh)"), "{}", arabic.text);
    assert!(arabic.html.contains("\u{200f}\u{2068}\u{200f}\u{2068}الخميس"), "{}", arabic.html);
    let japanese = written(&melbourne(), "ja", Some("Asia/Tokyo"), ON_TIME);
    assert!(japanese.text.contains("日時:    2015年11月19日木曜日 16:30～17:30（Asia/Tokyo）"), "{}", japanese.text);
}

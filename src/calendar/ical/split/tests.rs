use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::calendar::ical::object::{Object, ObjectLimits};

const BERLIN: &str = "BEGIN:VTIMEZONE\nTZID:Berlin\nBEGIN:STANDARD\nDTSTART:19701025T030000\nTZOFFSETFROM:+0200\n\
    TZOFFSETTO:+0100\nEND:STANDARD\nBEGIN:DAYLIGHT\nDTSTART:19700329T020000\nTZOFFSETFROM:+0100\nTZOFFSETTO:+0200\n\
    END:DAYLIGHT\nEND:VTIMEZONE\n";

fn calendar(inside: &str) -> String {
    format!("BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//a//EN\n{inside}END:VCALENDAR\n")
}

fn event(uid: &str, more: &str) -> String {
    format!(
        "BEGIN:VEVENT\nUID:{uid}\nDTSTAMP:20260101T000000Z\nDTSTART;TZID=Berlin:20260310T120000\n{more}END:VEVENT\n"
    )
}

fn taken_apart(text: &str) -> SplitCalendar {
    split(text.as_bytes()).unwrap()
}

/// The digest of each object by its name.
fn digests(text: &str) -> BTreeMap<String, String> {
    taken_apart(text).objects.into_iter().map(|object| (object.name, object.digest)).collect()
}

fn parsed(split: &SplitCalendar, object: &SplitObject) -> Object {
    let text = split.text_of(object);
    assert_eq!(text.len(), split.size_of(object));
    let read = Object::parse(&text, &ObjectLimits::default()).unwrap();
    assert!(!read.is_unclosed);
    read
}

#[test]
fn an_object_is_what_has_one_uid_with_the_zones_that_it_uses() {
    let override_of_a = event("a", "RECURRENCE-ID;TZID=Berlin:20260310T120000\nSUMMARY:moved\n");
    let journal = "BEGIN:VJOURNAL\nUID:j\nEND:VJOURNAL\n";
    let utc =
        "BEGIN:VTODO\nUID:b\nDUE:20260310T120000Z\nBEGIN:VALARM\nACTION:AUDIO\nTRIGGER:-PT5M\nEND:VALARM\nEND:VTODO\n";
    let all = calendar(&[&event("a", "RRULE:FREQ=DAILY\n"), journal, utc, BERLIN, &override_of_a].concat());
    let split = taken_apart(&all);
    let [a, b] = split.objects.as_slice() else { panic!("{split:?}") };
    let (read_a, read_b) = (parsed(&split, a), parsed(&split, b));
    assert_eq!((a.uid.as_deref(), read_a.components.len(), read_a.zones.len()), (Some("a"), 2, 1));
    assert_eq!((b.uid.as_deref(), read_b.components.len(), read_b.zones.len()), (Some("b"), 1, 0));
    assert_eq!(read_b.components[0].alarms.len(), 1);
    assert!(split.is_whole && read_a.faults.is_empty() && read_b.faults.is_empty());
}

#[test]
fn what_is_said_of_the_calendar() {
    let said = |lines: &str| taken_apart(&calendar(lines)).stated;
    let google = said("X-WR-CALNAME:Ferien\\, Bayern\nX-WR-TIMEZONE:Europe/Berlin\nX-WR-CALDESC:x\n");
    assert_eq!((google.name.as_deref(), google.zone.as_deref()), (Some("Ferien, Bayern"), Some("Europe/Berlin")));
    let own = said("NAME:A\nX-WR-CALNAME:B\nX-APPLE-CALENDAR-COLOR:#ff0000\nREFRESH-INTERVAL;VALUE=DURATION:P1D\n");
    let (name, color, refresh) = (own.name.as_deref(), own.color.as_deref(), own.refresh);
    assert_eq!((name, color, refresh), (Some("B"), Some("#ff0000"), Some(Duration::days(1))));
    let outlook = said("X-PUBLISHED-TTL:PT1H\nCOLOR:\nX-WR-CALNAME:\n");
    assert_eq!((outlook.name, outlook.color), (None, None));
    assert_eq!(outlook.refresh, Some(Duration::parse("PT1H").unwrap()));
    // What stands in an event says nothing of the calendar.
    assert_eq!(said(&event("a", "NAME:x\nCOLOR:red\n")), StatedCalendar::default());
}

#[test]
fn a_digest_is_of_what_is_said_and_not_of_how_it_is_written() {
    let alarms = "BEGIN:VALARM\nACTION:DISPLAY\nTRIGGER:-PT5M\nEND:VALARM\nBEGIN:VALARM\nTRIGGER:-PT9M\nEND:VALARM\n";
    let one =
        calendar(&[BERLIN, &event("a", &format!("SUMMARY:long text\nSEQUENCE:1\n{alarms}")), &event("b", "")].concat());
    let mut other = "BEGIN:VEVENT\r\nBEGIN:VALARM\r\nTRIGGER:-PT9M\r\nEND:VALARM\r\nCREATED:20260102T000000Z\r\n\
        summary:long\r\n  text\r\nSEQUENCE:2\r\nDTSTART;TZID=Berlin:20260310T120000\r\nUID:a\r\n\
        BEGIN:VALARM\r\nTRIGGER:-PT5M\r\nACTION:DISPLAY\r\nEND:VALARM\r\nLAST-MODIFIED:20260102T000000Z\r\n\
        DTSTAMP:20270101T000000Z\r\nEND:VEVENT\r\n"
        .to_owned();
    other = calendar(&[&event("b", ""), other.as_str(), BERLIN].concat()).replace("PRODID:-//a", "PRODID:-//b");
    assert_eq!(digests(&one), digests(&other));
    for (from, to) in [
        ("SUMMARY:long text", "SUMMARY:Long text"),
        ("TRIGGER:-PT9M", "TRIGGER:-PT8M"),
        ("UID:a\nDTSTAMP:20260101T000000Z\nDTSTART;TZID=Berlin:20260310T12", "UID:a\nDTSTART;TZID=Berlin:20260310T13"),
        ("ACTION:DISPLAY\n", ""),
    ] {
        let changed = digests(&one.replace(from, to));
        assert!(changed["a"] != digests(&one)["a"] && changed["b"] == digests(&one)["b"], "{from}");
    }
    for (from, to) in [("TZOFFSETTO:+0200", "TZOFFSETTO:+0300"), ("VERSION:2.0", "VERSION:2.0\nMETHOD:CANCEL")] {
        let changed = digests(&one.replace(from, to));
        assert!(changed["a"] != digests(&one)["a"] && changed["b"] != digests(&one)["b"], "{from}");
    }
    // An alarm that moves from one component to another.
    let (with, without) =
        (event("a", alarms), event("a", "").replace("UID:a", "UID:a\nRECURRENCE-ID:20260311T120000Z"));
    let moved = calendar(
        &[&event("a", ""), without.replace("END:VEVENT\n", &format!("{alarms}END:VEVENT\n")).as_str()].concat(),
    );
    assert_ne!(digests(&calendar(&[with, without].concat())), digests(&moved));
}

#[test]
fn which_of_two_is_newer_counts_where_there_are_two() {
    let two = |first: u32, second: u32| {
        let one = |n: u32, summary: &str| event("a", &format!("SEQUENCE:{n}\nSUMMARY:{summary}\n"));
        digests(&calendar(&[one(first, "x"), one(second, "y")].concat()))
    };
    assert_ne!(two(1, 2), two(2, 1));
    let alone = |n: u32| digests(&calendar(&event("a", &format!("SEQUENCE:{n}\n"))));
    assert_eq!(alone(1), alone(2));
}

#[test]
fn components_without_a_uid_are_objects_by_what_they_say() {
    let bare = |summary: &str| event("", &format!("SUMMARY:{summary}\n")).replace("UID:\n", "");
    let (one, two) = (calendar(&[bare("x"), bare("y")].concat()), calendar(&[bare("y"), bare("x")].concat()));
    let later = two.replace("DTSTAMP:2026", "DTSTAMP:2027");
    assert!(digests(&one).len() == 2 && digests(&one) == digests(&later));
    assert!(taken_apart(&one).objects.iter().all(|object| object.uid.is_none()));
}

#[test]
fn a_text_that_is_cut_off_is_not_whole() {
    let text = calendar(&[BERLIN, &event("a", ""), &event("b", "")].concat());
    let end = text.trim_end().len();
    let whole: Vec<usize> = (16..=text.len()).filter(|at| taken_apart(&text[..*at]).is_whole).collect();
    assert_eq!(whole, (end..=text.len()).collect::<Vec<_>>());
    assert!(
        taken_apart(&format!("{text}{text}")).is_whole && !taken_apart(&format!("{text}{}", &text[..end - 3])).is_whole
    );
    assert!(matches!(split(b"<html>"), Err(ParseError::NoCalendar)) && split(b"").is_err());
}

#[test]
fn an_event_without_an_end_ends_where_the_next_begins() {
    let text = calendar(&[&event("a", "").replace("END:VEVENT\n", ""), event("b", "").as_str()].concat());
    let split = taken_apart(&text);
    assert_eq!(split.objects.iter().map(|object| object.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(parsed(&split, &split.objects[0]).components.len(), 1);
}

#[test]
fn each_calendar_of_a_text_has_its_own_zones() {
    let other = BERLIN.replace("TZOFFSETTO:+0100", "TZOFFSETTO:+0300");
    let text = [calendar(&[BERLIN, &event("a", "")].concat()), calendar(&[&event("b", ""), other.as_str()].concat())];
    let split = taken_apart(&text.concat());
    let texts: Vec<String> =
        split.objects.iter().map(|object| String::from_utf8(split.text_of(object)).unwrap()).collect();
    assert!(texts[0].contains("TZOFFSETTO:+0100") && !texts[0].contains("TZOFFSETTO:+0300"));
    assert!(texts[1].contains("TZOFFSETTO:+0300") && !texts[1].contains("TZOFFSETTO:+0100"));
}

proptest! {
    #[test]
    fn any_lines_can_be_taken_apart(lines in prop::collection::vec(prop::sample::select(vec![
        "BEGIN:VCALENDAR", "END:VCALENDAR", "BEGIN:VEVENT", "END:VEVENT", "BEGIN:VALARM", "END:VALARM", "UID:a", "UID:b",
        "BEGIN:VTIMEZONE", "TZID:x", "END:VTIMEZONE", "DTSTART;TZID=x:20260101T000000", "BEGIN:X", "END:X", "", " ", ":",
        "DTSTART;TZID=\"x", "NAME", "X-WR-TIMEZONE:x", "SUMMARY:\u{fc}",
    ]), 0..40)) {
        if let Ok(split) = split(lines.join("\r\n").as_bytes()) {
            for object in &split.objects {
                let text = split.text_of(object);
                prop_assert_eq!(text.len(), split.size_of(object));
                // A text of one object is taken apart as that one.
                let again = super::split(&text).unwrap();
                let digests: Vec<&str> = again.objects.iter().map(|object| object.digest.as_str()).collect();
                prop_assert_eq!(digests, [object.digest.as_str()]);
            }
        }
    }
}

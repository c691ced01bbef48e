//! Objects as they come: folded, in odd cases, half broken, by many programs.

use super::{Case, alarm, vevent};
use crate::calendar::ical::object::{Object, ObjectLimits, ParseError};

fn parse(octets: &[u8]) -> Result<Object, ParseError> {
    Object::parse(octets, &ObjectLimits::default())
}

#[test]
fn every_fold_line_end_and_letter_case_reads_the_same() {
    let plain =
        Case::event("DTSTART;TZID=Europe/Berlin:20260310T093000\nSUMMARY:Grüße", &["TRIGGER;RELATED=END:-PT5M"]);
    let folded = plain.text.replace("TRIGGER;RELATED", "TRIG\r\n GER;REL\n\tATED").replace("Grüße", "Gr\r\n üße");
    let lower =
        plain.text.replace("DTSTART;TZID", "dtstart;tzid").replace("BEGIN", "begin").replace("VEVENT", "vevent");
    for text in [plain.text.replace('\n', "\r\n"), format!("\u{feff}{}", plain.text), folded, lower] {
        let object = parse(text.as_bytes()).unwrap();
        assert_eq!(&*object.components[0].summary, "Grüße");
        let case = Case { text, ..Case::new("") };
        assert_eq!(case.instances(), ["20260310T082500Z"]);
        assert!(case.faults().is_empty());
    }
}

#[test]
fn what_is_no_calendar_is_refused_with_a_reason() {
    assert_eq!(parse(b"").unwrap_err(), ParseError::NoCalendar);
    assert_eq!(parse(b"<html>\n</html>").unwrap_err(), ParseError::NoCalendar);
    assert_eq!(parse(b"BEGIN:VEVENT\nDTSTART:20260310\nEND:VEVENT").unwrap_err(), ParseError::NoCalendar);
    assert_eq!(parse(b"\xff\xfeB\0E\0").unwrap_err(), ParseError::Encoding("UTF-16"));
    assert_eq!(parse(b"\xff\xfe\0\0B\0\0\0").unwrap_err(), ParseError::Encoding("UTF-32"));
    let small = ObjectLimits { max_object_size: 10, ..ObjectLimits::default() };
    assert_eq!(Object::parse(&[b'x'; 11], &small).unwrap_err(), ParseError::TooLarge { size: 11, limit: 10 });
    assert!(parse(b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n").unwrap().components.is_empty());
}

#[test]
fn one_bad_line_costs_that_line() {
    let case = Case::event("DTSTART:20260310T090000Z\nno property\n:\nX;=:1\nSUMMARY;=;x:odd", &["PT0S", "soon"]);
    assert_eq!(case.instances(), ["20260310T090000Z"]);
    let faults = case.faults();
    assert_eq!(faults[0], "7: 'no property' is not a property and is skipped");
    assert!(faults.iter().any(|fault| fault.starts_with("8: ")), "{faults:?}");
    assert!(faults.iter().any(|fault| fault.contains("TRIGGER 'soon'")), "{faults:?}");
}

#[test]
fn an_event_whose_start_cannot_be_read_is_left_out() {
    let good = vevent("DTSTART:20260310T090000Z", &["PT0S"]);
    for bad in [
        "DTSTART:20260310T096000Z",
        "DTSTART:soon",
        "DTSTART;VALUE=DATE:20260230",
        "RECURRENCE-ID:x\nDTSTART:20260310T100000Z",
    ] {
        let case = Case::new(&format!("{}\n{good}", vevent(bad, &["PT0S"])));
        assert_eq!(case.instances(), ["20260310T090000Z"], "{bad}");
        assert_eq!(case.faults().len(), 2, "{bad}: {:?}", case.faults());
    }
}

#[test]
fn a_forgotten_end_costs_as_little_as_it_can() {
    let event = |uid: &str| vevent("DTSTART:20260310T090000Z", &["PT0S"]).replace("UID:u", uid);
    let without_end = event("UID:a").replace("\nEND:VEVENT", "");
    assert_eq!(
        Case::new(&format!("{without_end}\n{}", event("UID:b"))).with(|schedule| schedule.instances(all()).len()),
        2
    );
    let open_alarm = event("UID:a").replace("\nEND:VALARM", "");
    assert_eq!(
        Case::new(&format!("{open_alarm}\n{}", event("UID:b"))).with(|schedule| schedule.instances(all()).len()),
        2
    );
    let two_alarms = format!("BEGIN:VALARM\nACTION:AUDIO\nTRIGGER:PT0S\n{}", alarm("PT1M"));
    let nested = event("UID:a").replace(&alarm("PT0S"), &two_alarms);
    assert_eq!(Case::new(&nested).instances(), ["20260310T090000Z audio", "20260310T090100Z"]);
    let stray = event("UID:a").replace("END:VEVENT", "END:X-THING\nEND:VEVENT");
    assert_eq!(Case::new(&stray).instances().len(), 1);
}

fn all() -> std::ops::Range<crate::time::UtcMillis> {
    crate::time::UtcMillis::MIN..crate::time::UtcMillis::MAX
}

#[test]
fn what_is_cut_off_is_left_out() {
    let whole = vevent("DTSTART:20260310T090000Z", &["PT0S"]);
    let cut = vevent("DTSTART:20260311T090000Z", &["-PT15M"]).replace("UID:u", "UID:v");
    let cut = cut.split("5M").next().unwrap();
    let case = Case::new("");
    let case = Case { text: format!("BEGIN:VCALENDAR\n{whole}\n{cut}"), ..case };
    assert_eq!(case.instances(), ["20260310T090000Z"]);
    assert_eq!(case.faults()[0], "10: the text ends before the END of 'VEVENT', it is left out");
}

#[test]
fn a_text_without_its_last_line_may_not_be_all() {
    let read = |text: &str| {
        let object = crate::calendar::ical::object::Object::parse(text.as_bytes(), &Default::default()).unwrap();
        (object.is_cut_off, object.is_unclosed)
    };
    let event = vevent("DTSTART:20260310T090000Z", &["PT0S"]);
    assert_eq!(read(&format!("BEGIN:VCALENDAR\n{event}\nEND:VCALENDAR\n")), (false, false));
    assert_eq!(read(&format!("BEGIN:VCALENDAR\n{event}\n")), (false, true));
    assert_eq!(read(&format!("BEGIN:VCALENDAR\n{}", event.replace("END:VEVENT", ""))), (true, true));
}

#[test]
fn only_alarms_of_events_and_to_dos_count() {
    let thing = format!("BEGIN:X-THING\nUID:x\nDTSTART:20260310T090000Z\n{}\nEND:X-THING", alarm("PT0S"));
    let journal = thing.replace("X-THING", "VJOURNAL");
    let inside = format!("BEGIN:X-BOX\n{}\nEND:X-BOX", vevent("DTSTART:20260310T090000Z", &["PT0S"]));
    assert!(Case::new(&format!("{thing}\n{journal}\n{inside}\n{}", alarm("PT0S"))).instances().is_empty());
    let nested = vevent(&format!("DTSTART:20260310T090000Z\n{thing}"), &["PT0S"]);
    assert_eq!(Case::new(&nested).instances().len(), 1);
}

#[test]
fn texts_and_people_are_read_in_full() {
    let event = "DTSTART:20260310T090000Z\nSUMMARY;LANGUAGE=en:Tea\\, with C:\\\\new\\nline\nSUMMARY:second\nLOCATION:a\\;b\n\
        ORGANIZER;CN=\"A, B\":mailto:o@example.org\nATTENDEE;CN=\"Doe; J: ^'x^'\";PARTSTAT=ACCEPTED:mailto:d@example.org";
    let object = parse(Case::event(event, &["PT0S"]).text.as_bytes()).unwrap();
    let component = &object.components[0];
    assert_eq!(&*component.summary, "Tea, with C:\\new\nline");
    assert_eq!(&*component.location, "a;b");
    assert_eq!(&*component.organizer, "mailto:o@example.org");
    assert_eq!(&*component.attendees[0].name, "Doe; J: \"x\"");
    assert_eq!(&*component.attendees[0].status, "ACCEPTED");
}

#[test]
fn several_calendars_in_one_file_are_all_read() {
    let one = Case::event("DTSTART:20260310T090000Z", &["PT0S"]).text;
    let two = one.replace("UID:u", "UID:v").replace("T09", "T10");
    assert_eq!(
        Case { text: one.clone() + &two, ..Case::new("") }.instances(),
        ["20260310T090000Z", "20260310T100000Z"]
    );
    // A calendar that begins before the last one ended.
    let open = one.replace("END:VCALENDAR\n", "");
    assert_eq!(Case { text: open + &two, ..Case::new("") }.instances().len(), 2);
}

#[test]
fn uids_are_listed_once() {
    let event = vevent("DTSTART:20260310T090000Z", &[]);
    let object =
        parse(Case::new(&format!("{event}\n{}\n{event}", event.replace("UID:u", "UID:v"))).text.as_bytes()).unwrap();
    assert_eq!(object.uids(), ["u", "v"]);
}

#[test]
fn an_end_without_a_zone_is_where_the_start_is() {
    let event = "DTSTART;TZID=America/New_York:20260310T090000\nDTEND:20260310T100000";
    let case = Case::event(event, &["TRIGGER;RELATED=END:PT0S"]);
    assert_eq!(case.instances(), ["20260310T140000Z"]);
    assert!(case.faults().is_empty());
}

#[test]
fn a_date_that_ends_at_a_time_ends_then() {
    let case = Case::event("DTSTART;VALUE=DATE:20260310\nDTEND:20260312T120000", &["TRIGGER;RELATED=END:PT0S"]);
    assert_eq!(case.instances(), ["20260312T110000Z"]);
    assert_eq!(case.first_bounds(), ("20260310".into(), "20260313".into()), "the day that it ends in counts");
    assert_eq!(case.faults().len(), 1);
}

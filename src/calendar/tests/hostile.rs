//! Objects that mean harm: they end soon, in little memory, and take nothing else down with them.

use std::fmt::Write as _;

use super::{Case, alarm, at, vevent};
use crate::calendar::ical::object::{Object, ObjectLimits};

const GOOD: &str = "BEGIN:VEVENT\nUID:good\nDTSTART:20260310T090000Z\nBEGIN:VALARM\nACTION:DISPLAY\nTRIGGER:PT0S\nEND:VALARM\nEND:VEVENT\n";

fn good_instances(components: &str) {
    let case = Case::new(&format!("{GOOD}{components}"));
    case.with(|schedule| {
        let instances = schedule.instances(at("2026-03-10T09:00")..at("2026-03-10T09:01"));
        assert!(instances.iter().any(|instance| &*instance.component.uid == "good"));
        schedule.next_instance(at("2026-03-01"));
    });
}

#[test]
fn nesting_and_forgotten_ends_are_bounded() {
    good_instances(&"BEGIN:VEVENT\n".repeat(20_000));
    good_instances(&"BEGIN:X-A\n".repeat(20_000));
    good_instances(&format!("{}{}", "BEGIN:X-A\n".repeat(5_000), "END:X-A\n".repeat(5_000)));
    good_instances(&format!("BEGIN:VEVENT\nUID:b\nDTSTART:20260310T090000Z\n{}", "BEGIN:VALARM\n".repeat(20_000)));
    good_instances(&"END:VEVENT\n".repeat(20_000));
}

#[test]
fn faults_are_bounded_in_number_and_length() {
    let case = Case::new(&format!("{GOOD}{}", format!("{}\n", "\u{1b}x".repeat(10_000)).repeat(500)));
    let faults = case.faults();
    assert_eq!(faults.len(), 101);
    assert_eq!(faults.last().unwrap().split_once(": ").unwrap().1, "400 more faults are not listed");
    assert!(faults.iter().all(|fault| fault.len() < 600 && !fault.contains('\u{1b}')));
}

#[test]
fn long_lists_and_many_components_cost_in_proportion() {
    let mut dates = String::from("BEGIN:VEVENT\nUID:b\nDTSTART:20260101T000000Z\n");
    for n in 0..20_000 {
        let _ = writeln!(dates, "RDATE:{:04}{:02}{:02}T000000Z", 2000 + n / 336, n / 28 % 12 + 1, n % 28 + 1);
    }
    good_instances(&format!("{dates}{}\nEND:VEVENT", alarm("-PT1M")));
    let overrides: String = (1..=28)
        .cycle()
        .take(2_000)
        .map(|day| {
            vevent(
                &format!("RECURRENCE-ID;RANGE=THISANDFUTURE:202602{day:02}T090000Z\nDTSTART:20260301T090000Z"),
                &["PT0S"],
            ) + "\n"
        })
        .collect();
    good_instances(&format!("{}\n{overrides}", vevent("DTSTART:20200101T090000Z\nRRULE:FREQ=DAILY", &["PT0S"])));
}

#[test]
fn absurd_values_overflow_nothing() {
    for absurd in [
        "DTSTART:00010101T000000Z\nRRULE:FREQ=DAILY",
        "DTSTART:00000101T000000Z\nRRULE:FREQ=SECONDLY",
        "DTSTART:99991231T235959Z\nRRULE:FREQ=SECONDLY",
        "DTSTART:00010101T000000Z\nDTEND:99991231T235959Z\nRRULE:FREQ=DAILY",
        "DTSTART:20260101T000000Z\nDURATION:P3660000D\nRRULE:FREQ=DAILY",
        "DTSTART;VALUE=DATE:00010101\nDTEND;VALUE=DATE:99991231\nRRULE:FREQ=DAILY",
        "DTSTART:20260101T000000Z\nRRULE:FREQ=SECONDLY;COUNT=2147483647",
        "DTSTART:20260101T000000Z\nRRULE:FREQ=DAILY\nX-MOZ-SNOOZE-TIME-9223372036854775807:20260310T000000Z",
        "DTSTART:20260101T000000Z\nX-MOZ-LASTACK:99991231T235959Z\nRRULE:FREQ=SECONDLY",
        "RECURRENCE-ID;RANGE=THISANDFUTURE:00010101T000000Z\nDTSTART:99991231T000000Z",
    ] {
        let triggers = ["-P3660000D", "P3660000D", "TRIGGER;RELATED=END:PT0S\nREPEAT:100\nDURATION:P36600D", "PT0S"];
        good_instances(&vevent(absurd, &triggers));
        let with_master = vevent("DTSTART:20260101T000000Z\nRRULE:FREQ=DAILY", &["PT0S"]);
        good_instances(&format!("{with_master}\n{}", vevent(absurd, &triggers)));
    }
}

#[test]
fn lines_made_to_be_slow_are_read_in_linear_time() {
    for line in [
        format!("X{}:1", ";A=1".repeat(50_000)),
        format!("ATTENDEE;CN={}:1", "a,".repeat(100_000)),
        format!("ATTENDEE;CN={}", "\"".repeat(200_001)),
        format!("DTSTART;TZID={}:20260310T090000", "Z".repeat(200_000)),
        format!("SUMMARY:{}", "\\".repeat(200_001)),
        format!("EXDATE{}", ":".repeat(200_000)),
        format!("EXDATE{}", ":1".repeat(100_000)),
        format!("RRULE:FREQ=HOURLY;UNTIL=x;BYMONTH={}", "a,".repeat(500_000)),
        format!("RRULE:FREQ=HOURLY;COUNT=0{}", ";x".repeat(500_000)),
    ] {
        good_instances(&vevent(&format!("{line}\nDTSTART:20260310T090000Z"), &["PT0S"]));
    }
    let folded = format!("SUMMARY:{}", "\n x".repeat(100_000));
    let object = Object::parse(Case::event(&folded, &[]).text.as_bytes(), &ObjectLimits::default()).unwrap();
    assert_eq!(object.components[0].summary.len(), 100_000);
}

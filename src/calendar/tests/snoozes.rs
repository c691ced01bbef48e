//! Rules 17 to 20: acknowledged, snoozed, default alarms, and what fires as one.

use super::{Case, alarm, at, vevent};
use crate::calendar::context::DefaultAlarms;

const NINE: &str = "DTSTART:20260310T090000Z";
const DAILY: &str = "DTSTART:20260310T090000Z\nRRULE:FREQ=DAILY;COUNT=4";

#[test]
fn rule_17_acknowledged_up_to_and_including_that_instant() {
    let acknowledged = |ack: &str| Case::event(DAILY, &[&format!("TRIGGER:-PT15M\nACKNOWLEDGED:{ack}")]);
    assert_eq!(acknowledged("20260311T084500Z").instances(), ["20260312T084500Z", "20260313T084500Z"]);
    assert_eq!(acknowledged("20260311T084459Z").instances().len(), 3);
    assert_eq!(acknowledged("20260311T084500Z").following("2026-03-01", 1), ["20260312T084500Z"]);
    let component = Case::event(&format!("{DAILY}\nX-MOZ-LASTACK:20260311T084500Z"), &["-PT15M", "-PT10M"]);
    assert_eq!(component.instances().len(), 5);
}

#[test]
fn rule_17_a_run_is_silenced_as_a_whole() {
    let run = "TRIGGER:PT0S\nREPEAT:3\nDURATION:PT10M\nACKNOWLEDGED:";
    assert!(Case::event(NINE, &[&format!("{run}20260310T090100Z")]).instances().is_empty());
    assert_eq!(Case::event(NINE, &[&format!("{run}20260310T085959Z")]).instances().len(), 4);
    assert_eq!(Case::event(DAILY, &[&format!("{run}20260310T090100Z")]).instances().len(), 12);
}

#[test]
fn rule_17_absolute_alarms_are_acknowledged_too() {
    let ack = "TRIGGER:20260310T080000Z\nACKNOWLEDGED:20260310T080000Z";
    assert!(Case::event(NINE, &[ack]).instances().is_empty());
    let later = Case::event(&format!("{NINE}\nX-MOZ-LASTACK:20260310T075900Z"), &["TRIGGER:20260310T080000Z"]);
    assert_eq!(later.instances().len(), 1);
}

#[test]
fn rule_18_a_snooze_alarm_fires_like_any_other() {
    let done = "UID:a\nTRIGGER:-PT15M\nACKNOWLEDGED:20260310T084600Z";
    let snooze = "TRIGGER;VALUE=DATE-TIME:20260310T085000Z\nRELATED-TO;RELTYPE=SNOOZE:a";
    assert_eq!(Case::event(NINE, &[done, snooze]).instances(), ["20260310T085000Z"]);
}

#[test]
fn rule_18_mozilla_snoozes_add_an_alarm_instance() {
    let event = format!("{NINE}\nX-MOZ-LASTACK:20260310T084600Z\nX-MOZ-SNOOZE-TIME:20260310T085500Z");
    assert_eq!(Case::event(&event, &["-PT15M"]).instances(), ["20260310T085500Z"]);
    let again = event.replace("LASTACK:20260310T084600Z", "LASTACK:20260310T085500Z");
    assert!(Case::event(&again, &["-PT15M"]).instances().is_empty());
    let cancelled = format!("{event}\nSTATUS:CANCELLED");
    assert!(Case::event(&cancelled, &["-PT15M"]).instances().is_empty());
}

#[test]
fn rule_18_mozilla_snoozes_of_one_occurrence() {
    let second = at("2026-03-11T09:00").0 * 1000;
    let snoozed = format!("{DAILY}\nX-MOZ-SNOOZE-TIME-{second}:20260311T093000Z");
    let case = Case::event(&snoozed, &["PT0S"]);
    assert_eq!(case.instances().len(), 5);
    assert_eq!(case.recurrence_ids()[2], "2026-03-11T09:00:00");
    let gone = Case::event(&format!("{snoozed}\nEXDATE:20260311T090000Z"), &["PT0S"]);
    assert_eq!(gone.instances().len(), 3);
    let over = vevent("RECURRENCE-ID:20260311T090000Z\nDTSTART:20260311T100000Z\nSUMMARY:moved", &["PT0S"]);
    let moved = Case::new(&format!("{}\n{over}", vevent(&snoozed, &["PT0S"])));
    moved.with(|schedule| {
        let instances = schedule.instances(at("2026-03-11")..at("2026-03-12"));
        assert_eq!(instances.len(), 2);
        assert!(instances.iter().all(|instance| &*instance.component.summary == "moved"));
    });
}

#[test]
fn rule_19_default_alarms_where_an_event_has_none() {
    let defaults = DefaultAlarms::parse(Some(&alarm("-PT10M")), Some(&alarm("PT9H"))).unwrap();
    let with = |case: Case| {
        case.context(|mut context| {
            context.default_alarms = Some(defaults.clone());
            context
        })
    };
    assert_eq!(with(Case::event(NINE, &[])).instances(), ["20260310T085000Z"]);
    assert_eq!(with(Case::event("DTSTART;VALUE=DATE:20260310", &[])).instances(), ["20260310T080000Z"]);
    assert_eq!(with(Case::event(NINE, &["PT0S"])).instances(), ["20260310T090000Z"]);
    assert!(with(Case::event(NINE, &["ACTION:NONE\nTRIGGER:PT0S"])).instances().is_empty());
    assert!(with(Case::todo(NINE, &[])).instances().is_empty());
    assert!(Case::event(NINE, &[]).instances().is_empty());
    let copy = "X-APPLE-DEFAULT-ALARM:TRUE\nTRIGGER:PT0S";
    assert_eq!(Case::event(NINE, &[copy]).instances().len(), 1);
}

#[test]
fn rule_20_the_same_action_at_the_same_instant_fires_once() {
    let first = "ACTION:EMAIL\nTRIGGER:-PT60M\nATTENDEE:mailto:a@example.org\nATTENDEE:mailto:b@example.org";
    let second = "ACTION:EMAIL\nTRIGGER:-PT1H\nATTENDEE:mailto:b@example.org\nATTENDEE:mailto:c@example.org";
    let case = Case::event(NINE, &[first, "ACTION:AUDIO\nTRIGGER:-PT1H", second]);
    assert_eq!(case.instances(), ["20260310T080000Z audio", "20260310T080000Z email"]);
    case.with(|schedule| {
        let instances = schedule.instances(at("2026-03-10")..at("2026-03-11"));
        let all = ["mailto:a@example.org", "mailto:b@example.org", "mailto:c@example.org"];
        assert_eq!(instances[1].recipients(), all);
    });
}

#[test]
fn rule_20_an_absolute_alarm_that_an_override_copies_fires_once() {
    let absolute = "TRIGGER;VALUE=DATE-TIME:20260309T120000Z";
    let over = vevent("RECURRENCE-ID:20260311T090000Z\nDTSTART:20260311T100000Z", &[absolute]);
    let case = Case::new(&format!("{over}\n{}", vevent(DAILY, &[absolute])));
    assert_eq!(case.instances(), ["20260309T120000Z"]);
    // The series keeps it, so that its identity is the same before and after the override came.
    assert_eq!(case.recurrence_ids(), [""]);
}

#[test]
fn rule_20_a_start_in_a_gap_and_the_rule_that_gives_it_are_one_occurrence() {
    // By elapsed time the rule gives 02:45 for what is written as 01:45, by days 02:30 and 03:30 are one instant.
    let hourly = Case::event("DTSTART;TZID=Europe/Lisbon:20260329T014500\nRRULE:FREQ=HOURLY;INTERVAL=8", &["PT0S"]);
    assert_eq!(
        hourly.between("2026-03-29", "2026-03-30"),
        ["20260329T014500Z", "20260329T094500Z", "20260329T174500Z"]
    );
    let twice = "DTSTART;TZID=Europe/Berlin:20260329T033000\nRRULE:FREQ=DAILY;BYHOUR=2,3;BYMINUTE=30;COUNT=3";
    let daily = Case::event(twice, &["PT0S"]);
    assert_eq!(daily.instances()[..2], ["20260329T013000Z", "20260330T003000Z"]);
    assert_eq!(daily.recurrence_ids()[..2], ["2026-03-29T03:30:00", "2026-03-30T02:30:00"]);
}

#[test]
fn rule_20_two_occurrences_fire_twice_at_one_instant() {
    let case = Case::event(DAILY, &["PT0S", "-P1D"]);
    assert_eq!(case.between("2026-03-10", "2026-03-11").len(), 2);
}

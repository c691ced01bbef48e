//! Rules 4 to 9: the instant.

use super::{Case, at};

#[test]
fn rule_04_an_event_counts_from_its_start_or_its_end() {
    let event = "DTSTART:20260310T090000Z\nDTEND:20260310T103000Z";
    assert_eq!(Case::event(event, &["-PT15M"]).instances(), ["20260310T084500Z"]);
    assert_eq!(Case::event(event, &["TRIGGER;RELATED=end:-PT15M"]).instances(), ["20260310T101500Z"]);
    assert_eq!(Case::event(event, &["TRIGGER;VALUE=DURATION;RELATED=START:PT1H"]).instances(), ["20260310T100000Z"]);
}

#[test]
fn rule_04_an_event_without_an_end_lasts_a_day_or_no_time() {
    let date = Case::event("DTSTART;VALUE=DATE:20260310", &["TRIGGER;RELATED=END:PT0S"]);
    assert_eq!(date.instances(), ["20260310T230000Z"]);
    assert_eq!(date.first_bounds(), ("20260310".into(), "20260311".into()));
    let time = Case::event("DTSTART:20260310T090000Z", &["TRIGGER;RELATED=END:-PT1M"]);
    assert_eq!(time.instances(), ["20260310T085900Z"]);
    assert_eq!(time.first_bounds(), ("20260310T090000Z".into(), "20260310T090000Z".into()));
    let same_day = Case::event("DTSTART;VALUE=DATE:20260310\nDTEND;VALUE=DATE:20260310", &["TRIGGER;RELATED=END:PT0S"]);
    assert_eq!(same_day.instances(), ["20260310T230000Z"]);
}

#[test]
fn rule_04_a_to_do_ends_when_it_is_due() {
    let due = "DTSTART:20260310T090000Z\nDUE:20260312T090000Z";
    assert_eq!(Case::todo(due, &["TRIGGER;RELATED=END:-PT1H"]).instances(), ["20260312T080000Z"]);
    let lasting = "DTSTART:20260310T090000Z\nDURATION:P1DT1H";
    assert_eq!(Case::todo(lasting, &["TRIGGER;RELATED=END:PT0S"]).instances(), ["20260311T100000Z"]);
    let due_only = Case::todo("DUE:20260312T090000Z", &["-PT1H", "TRIGGER;RELATED=END:-PT2H"]);
    assert_eq!(due_only.instances(), ["20260312T070000Z", "20260312T080000Z"]);
    let days = Case::todo("DTSTART;VALUE=DATE:20260310\nDUE;VALUE=DATE:20260310", &["TRIGGER;RELATED=END:PT8H"]);
    assert_eq!(days.instances(), ["20260310T070000Z"]);
}

#[test]
fn rule_04_a_to_do_without_an_end_counts_from_its_start_with_a_fault() {
    let case = Case::todo("DTSTART:20260310T090000Z", &["TRIGGER;RELATED=END:-PT1H", "PT0S"]);
    assert_eq!(case.instances(), ["20260310T080000Z", "20260310T090000Z"]);
    assert_eq!(case.first_bounds().1, "none");
    assert_eq!(case.faults().len(), 1);
}

#[test]
fn rule_04_a_to_do_without_a_date_fires_by_absolute_alarms_only() {
    let case = Case::todo("SUMMARY:some day", &["-PT1H", "TRIGGER;VALUE=DATE-TIME:20260310T090000Z"]);
    assert_eq!(case.instances(), ["20260310T090000Z"]);
    assert_eq!(case.first_bounds(), ("none".into(), "none".into()));
    assert_eq!(case.faults().len(), 1, "the relative one");
}

#[test]
fn rule_04_an_end_before_the_start_is_a_fault() {
    let case = Case::event("DTSTART:20260310T090000Z\nDTEND:20260310T080000Z", &["-PT15M", "TRIGGER;RELATED=END:PT0S"]);
    assert_eq!(case.instances(), ["20260310T084500Z", "20260310T090000Z"]);
    assert_eq!(case.faults(), ["4: it ends before it starts: the start counts, and it lasts no time"]);
    let negative = Case::event("DTSTART:20260310T090000Z\nDURATION:-PT1H", &["TRIGGER;RELATED=END:PT0S"]);
    assert_eq!(negative.instances(), ["20260310T090000Z"]);
}

#[test]
fn rule_05_days_are_nominal_and_hours_exact() {
    // Berlin's clocks go forward on 29 March at 02:00.
    let monday = "DTSTART;TZID=Europe/Berlin:20260330T090000";
    assert_eq!(Case::event(monday, &["-P1D"]).instances(), ["20260329T070000Z"]);
    assert_eq!(Case::event(monday, &["-P2D"]).instances(), ["20260328T080000Z"]);
    assert_eq!(Case::event(monday, &["-PT48H"]).instances(), ["20260328T070000Z"]);
    assert_eq!(Case::event(monday, &["-P1W"]).instances(), ["20260323T080000Z"]);
}

#[test]
fn rule_05_the_nominal_part_comes_first() {
    // Sunday 12:00 less a day is Saturday 12:00, less twelve hours midnight; the other way round it would be 23:00.
    let sunday = "DTSTART;TZID=Europe/Berlin:20260329T120000";
    assert_eq!(Case::event(sunday, &["-P1DT12H"]).instances(), ["20260327T230000Z"]);
}

#[test]
fn rule_05_durations_of_events_are_nominal_too() {
    let night = "DTSTART;TZID=Europe/Berlin:20260328T120000\nDURATION:";
    let end = "TRIGGER;RELATED=END:PT0S";
    assert_eq!(Case::event(&format!("{night}P1D"), &[end]).instances(), ["20260329T100000Z"]);
    assert_eq!(Case::event(&format!("{night}PT24H"), &[end]).instances(), ["20260329T110000Z"]);
}

#[test]
fn rule_05_days_count_from_the_time_as_written() {
    // 02:30 does not exist on 29 March; the day before it does.
    assert_eq!(Case::event("DTSTART;TZID=Europe/Berlin:20260329T023000", &["-P1D"]).instances(), ["20260328T013000Z"]);
}

#[test]
fn rule_05_an_end_elsewhere_counts_its_days_there() {
    // New York's clocks go forward on 8 March, Berlin's do not.
    let flight = "DTSTART;TZID=Europe/Berlin:20260308T120000\nDTEND;TZID=America/New_York:20260308T150000";
    assert_eq!(Case::event(flight, &["TRIGGER;RELATED=END:-P1D"]).instances(), ["20260307T200000Z"]);
    assert_eq!(Case::event(flight, &["-P1D"]).instances(), ["20260307T110000Z"]);
}

#[test]
fn rule_06_an_absolute_alarm_fires_once() {
    let series = "DTSTART:20200101T090000Z\nRRULE:FREQ=DAILY";
    let case = Case::event(series, &["TRIGGER;VALUE=DATE-TIME:20260310T060000Z"]);
    assert_eq!(case.between("2020-01-01", "2030-01-01"), ["20260310T060000Z"]);
    assert_eq!(case.following("2020-01-01", 3), ["20260310T060000Z"]);
    case.with(|schedule| {
        let instances = schedule.instances(at("2026-01-01")..at("2027-01-01"));
        // It speaks of the occurrence that comes next, and belongs to the series as a whole.
        assert_eq!(instances[0].start, Some(super::When::At(at("2026-03-10T09:00"))));
        assert_eq!(instances[0].recurrence_id_text(), "");
    });
}

#[test]
fn rule_06_clients_write_absolute_alarms_in_many_ways() {
    let event = "DTSTART;TZID=Asia/Tokyo:20260310T090000";
    for (trigger, instances) in [
        ("TRIGGER:20260310T060000Z", "20260310T060000Z"),
        ("TRIGGER;X-A=1;VALUE=date-time:20260310T060000z", "20260310T060000Z"),
        ("TRIGGER;VALUE=DATE-TIME;TZID=America/New_York:20260310T060000", "20260310T100000Z"),
        ("TRIGGER;VALUE=DATE-TIME:20260310T060000", "20260310T050000Z"),
        ("TRIGGER;VALUE=DURATION:20260310T060000Z", "20260310T060000Z"),
    ] {
        assert_eq!(Case::event(event, &[trigger]).instances(), [instances], "{trigger}");
    }
}

#[test]
fn rule_07_repetitions_follow_at_their_distance() {
    let repeated = Case::event("DTSTART:20260310T090000Z", &["TRIGGER:-PT1H\nREPEAT:2\nDURATION:PT20M"]);
    assert_eq!(repeated.instances(), ["20260310T080000Z", "20260310T082000Z", "20260310T084000Z"]);
    assert_eq!(repeated.following("2026-03-10T08:01", 9), ["20260310T082000Z", "20260310T084000Z"]);
    let absolute = "TRIGGER:20260310T080000Z\nDURATION:PT20M\nREPEAT:1";
    assert_eq!(
        Case::event("DTSTART:20260310T090000Z", &[absolute]).instances(),
        ["20260310T080000Z", "20260310T082000Z"]
    );
}

#[test]
fn rule_07_repetitions_by_days_are_nominal_in_the_events_zone() {
    let berlin = Case::event("DTSTART;TZID=Europe/Berlin:20260328T090000", &["TRIGGER:PT0S\nREPEAT:2\nDURATION:P1D"]);
    assert_eq!(berlin.instances(), ["20260328T080000Z", "20260329T070000Z", "20260330T070000Z"]);
}

#[test]
fn rule_07_one_of_the_two_alone_or_nonsense_fires_once() {
    let odd = [
        "REPEAT:3",
        "DURATION:PT5M",
        "REPEAT:3\nDURATION:PT0S",
        "REPEAT:3\nDURATION:-PT5M",
        "REPEAT:-3\nDURATION:PT5M",
    ];
    for lines in odd {
        let case = Case::event("DTSTART:20260310T090000Z", &[&format!("TRIGGER:PT0S\n{lines}")]);
        assert_eq!(case.instances(), ["20260310T090000Z"], "{lines}");
        assert!(!case.faults().is_empty(), "{lines}");
    }
}

#[test]
fn rule_07_repetitions_are_limited() {
    let endless = "TRIGGER:PT0S\nREPEAT:99999999999999999999\nDURATION:PT1H";
    assert_eq!(Case::event("DTSTART:20260310T090000Z", &[endless]).instances().len(), 1, "no count at all");
    let endless = "TRIGGER:PT0S\nREPEAT:4000000000\nDURATION:PT1H";
    assert_eq!(Case::event("DTSTART:20260310T090000Z", &[endless]).instances().len(), 101);
}

#[test]
fn rule_08_a_date_starts_at_midnight_of_the_zone() {
    assert_eq!(Case::event("DTSTART;VALUE=DATE:20260710", &["PT9H"]).instances(), ["20260710T070000Z"]);
    assert_eq!(Case::event("DTSTART:20260710", &["-PT15M"]).instances(), ["20260709T214500Z"]);
    assert_eq!(Case::event("DTSTART;VALUE=DATE:20260710T000000", &["PT9H"]).instances(), ["20260710T070000Z"]);
}

#[test]
fn rule_08_where_midnight_does_not_exist_the_day_begins_later() {
    // Santiago's clocks go from 00:00 to 01:00 on 6 September 2026.
    let santiago = |case: Case| case.context(|context| context.with_user_zone(Some("America/Santiago"), None));
    assert_eq!(santiago(Case::event("DTSTART;VALUE=DATE:20260906", &["PT0S"])).instances(), ["20260906T040000Z"]);
    // Toronto's went from 23:30 to 00:30 in the night to 31 March 1919.
    let toronto = Case::event("DTSTART;VALUE=DATE:19190331", &["PT0S"]);
    let toronto = toronto.context(|context| context.with_user_zone(Some("America/Toronto"), None));
    assert_eq!(toronto.instances(), ["19190331T043000Z"]);
}

#[test]
fn rule_09_gaps_take_the_offset_before_and_folds_the_first() {
    assert_eq!(Case::event("DTSTART;TZID=Europe/Berlin:20260329T023000", &["PT0S"]).instances(), ["20260329T013000Z"]);
    assert_eq!(Case::event("DTSTART;TZID=Europe/Berlin:20261025T023000", &["PT0S"]).instances(), ["20261025T003000Z"]);
    assert_eq!(Case::event("DTSTART;TZID=Europe/Berlin:20260330T023000", &["-P1D"]).instances(), ["20260329T013000Z"]);
}

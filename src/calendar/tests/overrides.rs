//! Rule 14: components with RECURRENCE-ID.

use super::{Case, vevent};

const DAILY: &str = "DTSTART;TZID=Europe/Berlin:20260105T090000\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=4";

fn with(overrides: &[(&str, &[&str])]) -> Case {
    let mut text = vevent(DAILY, &["PT0S"]);
    for (properties, triggers) in overrides {
        text = format!("{}\n{text}", vevent(properties, triggers));
    }
    Case::new(&text)
}

#[test]
fn rule_14_an_override_replaces_its_occurrence_alarms_included() {
    let moved = "RECURRENCE-ID;TZID=Europe/Berlin:20260106T090000\nDTSTART;TZID=Europe/Berlin:20260106T150000";
    let case = with(&[(moved, &["-PT1H"])]);
    assert_eq!(case.instances(), ["20260105T080000Z", "20260106T130000Z", "20260107T080000Z", "20260108T080000Z"]);
    assert_eq!(case.recurrence_ids()[1], "2026-01-06T09:00:00");
    assert_eq!(with(&[(moved, &[])]).instances(), ["20260105T080000Z", "20260107T080000Z", "20260108T080000Z"]);
}

#[test]
fn rule_14_it_matches_by_instant() {
    for id in [
        "RECURRENCE-ID:20260106T080000Z",
        "RECURRENCE-ID;TZID=America/New_York:20260106T030000",
        "RECURRENCE-ID:20260106T090000",
        "RECURRENCE-ID;VALUE=DATE:20260106",
    ] {
        let case = with(&[(&format!("{id}\nDTSTART:20260106T100000Z"), &["PT0S"])]);
        assert_eq!(
            case.instances(),
            ["20260105T080000Z", "20260106T100000Z", "20260107T080000Z", "20260108T080000Z"],
            "{id}"
        );
        assert_eq!(case.recurrence_ids()[1], "2026-01-06T09:00:00", "{id}");
    }
}

#[test]
fn rule_14_one_that_fits_no_occurrence_is_one_more() {
    let case = with(&[("RECURRENCE-ID:20260106T081500Z\nDTSTART:20260106T100000Z", &["PT0S"])]);
    assert_eq!(case.instances().len(), 5);
    let excluded = with(&[("RECURRENCE-ID:20260106T080000Z\nDTSTART:20260106T100000Z", &["PT0S"])]);
    let text = excluded.text.replace("RRULE", "EXDATE:20260106T080000Z\nRRULE");
    assert_eq!(Case { text, ..excluded }.instances(), ["20260105T080000Z", "20260107T080000Z", "20260108T080000Z"]);
}

#[test]
fn rule_14_without_a_master_overrides_stand_alone() {
    let one = vevent("RECURRENCE-ID:20260106T080000Z\nDTSTART;TZID=Europe/Berlin:20260106T100000", &["PT0S"]);
    let two = vevent("RECURRENCE-ID;RANGE=THISANDFUTURE:20260107T080000Z\nDTSTART:20260107T100000Z", &["PT0S"]);
    let case = Case::new(&format!("{two}\n{one}"));
    assert_eq!(case.instances(), ["20260106T090000Z", "20260107T100000Z"]);
    assert_eq!(case.recurrence_ids(), ["2026-01-06T09:00:00", "2026-01-07T08:00:00"]);
}

#[test]
fn rule_14_of_two_for_one_occurrence_the_later_revision_counts() {
    let old = "RECURRENCE-ID:20260106T080000Z\nDTSTART:20260106T100000Z\nSEQUENCE:1";
    let new = "RECURRENCE-ID:20260106T080000Z\nDTSTART:20260106T110000Z\nSEQUENCE:2";
    for pair in [[(old, &["PT0S"] as &[&str]), (new, &["PT0S"])], [(new, &["PT0S"]), (old, &["PT0S"])]] {
        assert_eq!(with(&pair).instances()[1], "20260106T110000Z");
        assert_eq!(with(&pair).instances().len(), 4);
    }
}

#[test]
fn rule_14_this_and_future_moves_all_that_follows() {
    let range = "RECURRENCE-ID;RANGE=THISANDFUTURE;TZID=Europe/Berlin:20260106T090000\nDTSTART;TZID=Europe/Berlin:20260106T100000\nDURATION:PT2H";
    let case = with(&[(range, &["TRIGGER;RELATED=END:PT0S"])]);
    assert_eq!(case.instances(), ["20260105T080000Z", "20260106T110000Z", "20260107T110000Z", "20260108T110000Z"]);
    assert_eq!(case.recurrence_ids()[3], "2026-01-08T09:00:00");
    let single = "RECURRENCE-ID;TZID=Europe/Berlin:20260107T090000\nDTSTART;TZID=Europe/Berlin:20260107T200000";
    let both = with(&[(range, &["PT0S"]), (single, &["PT0S"])]);
    assert_eq!(both.instances(), ["20260105T080000Z", "20260106T090000Z", "20260107T190000Z", "20260108T090000Z"]);
    let again = "RECURRENCE-ID;RANGE=THISANDFUTURE;TZID=Europe/Berlin:20260108T090000\nDTSTART;TZID=Europe/Berlin:20260108T070000";
    let two = with(&[(again, &["PT0S"]), (range, &["PT0S"])]);
    assert_eq!(two.instances(), ["20260105T080000Z", "20260106T090000Z", "20260107T090000Z", "20260108T060000Z"]);
}

#[test]
fn rule_14_this_and_future_can_change_the_zone_and_stays_on_its_wall() {
    let master = "DTSTART;TZID=Europe/Berlin:20260305T090000\nRRULE:FREQ=DAILY;COUNT=5";
    let range = "RECURRENCE-ID;RANGE=THISANDFUTURE:20260306T080000Z\nDTSTART;TZID=America/New_York:20260306T140000";
    let case = Case::new(&format!("{}\n{}", vevent(master, &["PT0S"]), vevent(range, &["PT0S"])));
    // New York's clocks go forward on 8 March.
    let instances =
        ["20260305T080000Z", "20260306T190000Z", "20260307T190000Z", "20260308T180000Z", "20260309T180000Z"];
    assert_eq!(case.instances(), instances);
    assert_eq!(case.following("2026-03-01", 9), instances);
}

#[test]
fn rule_14_a_cancelled_range_ends_the_series() {
    let range = "RECURRENCE-ID;RANGE=THISANDFUTURE:20260107T080000Z\nDTSTART:20260107T080000Z\nSTATUS:CANCELLED";
    assert_eq!(with(&[(range, &["PT0S"])]).instances(), ["20260105T080000Z", "20260106T080000Z"]);
}

#[test]
fn rule_14_other_uids_and_kinds_are_left_alone() {
    let over = vevent("RECURRENCE-ID:20260106T080000Z\nDTSTART:20260106T100000Z", &[]);
    let master = vevent(DAILY, &["PT0S"]);
    let other = over.replace("UID:u", "UID:v");
    assert_eq!(Case::new(&format!("{master}\n{other}")).instances().len(), 4);
    let todo = over.replace("VEVENT", "VTODO");
    assert_eq!(Case::new(&format!("{master}\n{todo}")).instances().len(), 4);
}

#[test]
fn rule_14_of_two_masters_the_later_revision_counts_and_equal_ones_both() {
    let event =
        |day: u32, sequence: u32| vevent(&format!("DTSTART:202603{day}T090000Z\nSEQUENCE:{sequence}"), &["PT0S"]);
    let revised = Case::new(&format!("{}\n{}", event(10, 1), event(11, 2)));
    assert_eq!(revised.instances(), ["20260311T090000Z"]);
    assert_eq!(revised.faults(), ["4: the VEVENT is left out: another one of its UID has a higher SEQUENCE"]);
    let careless = Case::new(&format!("{}\n{}", event(10, 0), event(11, 0)));
    assert_eq!(careless.instances(), ["20260310T090000Z", "20260311T090000Z"]);
}

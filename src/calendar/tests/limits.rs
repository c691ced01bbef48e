//! Rule 24: so many rings an hour and no more.

use super::{Case, alarm, at, vevent};

fn capped(case: Case, max_rings_per_hour: u32) -> Case {
    case.around(|mut around| {
        around.limits.max_rings_per_hour = max_rings_per_hour;
        around
    })
}

#[test]
fn rule_24_the_first_rings_of_an_hour_and_no_more() {
    let secondly = Case::event("DTSTART:20260310T085950Z\nRRULE:FREQ=SECONDLY", &["PT0S"]);
    secondly.with(|plan| {
        let rings = plan.rings(at("2026-03-10T08:00")..at("2026-03-10T11:00"));
        assert_eq!(rings.len(), 10 + 120 + 120);
        assert_eq!(rings[129].at, at("2026-03-10T09:01").plus(59_000));
        assert_eq!(plan.suppressed(at("2026-03-10T08:00")..at("2026-03-10T11:00")), 2 * 3480);
        // What is first in its hour does not depend on where the window begins.
        assert!(plan.rings(at("2026-03-10T09:02")..at("2026-03-10T10:00")).is_empty());
        assert_eq!(plan.suppressed(at("2026-03-10T09:59")..at("2026-03-10T10:00")), 60);
        assert_eq!(plan.rings(at("2026-03-10T09:01")..at("2026-03-10T10:00")).len(), 60);
        assert_eq!(plan.next_ring(at("2026-03-10T09:02")), Some(at("2026-03-10T10:00")));
        assert_eq!(plan.next_ring(at("2026-03-10T09:01")), Some(at("2026-03-10T09:01")));
    });
}

#[test]
fn rule_24_many_alarms_of_one_event_are_capped_as_well() {
    let triggers: Vec<String> = (0..10).map(|n| format!("-PT{n}M")).collect();
    let triggers: Vec<&str> = triggers.iter().map(String::as_str).collect();
    let case = capped(Case::event("DTSTART:20260310T090000Z\nRRULE:FREQ=DAILY", &triggers), 4);
    let rings = case.between("2026-03-10", "2026-03-11");
    assert_eq!(
        rings,
        ["20260310T085100Z", "20260310T085200Z", "20260310T085300Z", "20260310T085400Z", "20260310T090000Z"]
    );
    assert_eq!(case.following("2026-03-10", 5), rings);
    assert_eq!(case.with(|plan| plan.suppressed(at("2026-03-10")..at("2026-03-11"))), 5);
}

#[test]
fn rule_24_one_event_does_not_silence_another_in_its_file() {
    let loud = vevent("DTSTART:20260310T090000Z\nRRULE:FREQ=SECONDLY", &["PT0S"]);
    let quiet = vevent("DTSTART:20260310T095900Z", &["PT0S"]).replace("UID:u", "UID:quiet");
    let case = Case::new(&format!("{loud}\n{quiet}"));
    case.with(|plan| {
        let rings = plan.rings(at("2026-03-10T09:00")..at("2026-03-10T10:00"));
        assert_eq!(rings.len(), 121);
        assert_eq!(&*rings[120].component.uid, "quiet");
    });
}

#[test]
fn rule_24_what_rings_as_one_counts_as_one() {
    let case = capped(Case::event("DTSTART:20260310T090000Z", &["PT1M", "PT1M", "PT2M", "PT3M"]), 2);
    assert_eq!(case.rings(), ["20260310T090100Z", "20260310T090200Z"], "{}", alarm("PT1M"));
}

#[test]
fn rule_24_a_limit_of_none_is_silence_not_a_search_without_end() {
    let case = capped(Case::event("DTSTART:20260310T090000Z\nRRULE:FREQ=DAILY", &["PT0S"]), 0);
    assert!(case.following("2026-03-10", 5).is_empty());
}

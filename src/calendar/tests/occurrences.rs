//! Rules 13, 15 and 16: occurrences.

use super::{Case, at};
use crate::calendar::ical::object::{Object, ObjectLimits};
use crate::calendar::schedule::Schedule;

const NINE: &str = "DTSTART;TZID=Europe/Berlin:20260105T090000\n";

fn series(lines: &str) -> Vec<String> {
    Case::event(&format!("{NINE}{lines}"), &["PT0S"]).between("2025-01-01", "2026-01-12")
}

#[test]
fn rule_13_rules_dates_and_exclusions_together() {
    let days = series(
        "RRULE:FREQ=DAILY;COUNT=2\nRRULE:FREQ=DAILY;INTERVAL=3;COUNT=3\nEXDATE;TZID=Europe/Berlin:20260106T090000",
    );
    assert_eq!(days, ["20260105T080000Z", "20260108T080000Z", "20260111T080000Z"]);
    let listed =
        series("RDATE;TZID=Europe/Berlin:20260107T090000,20260107T090000,20260101T120000\nRDATE:20260109T080000Z");
    assert_eq!(listed, ["20260101T110000Z", "20260105T080000Z", "20260107T080000Z", "20260109T080000Z"]);
    let excepted = series("RRULE:FREQ=DAILY\nEXRULE:FREQ=DAILY;INTERVAL=2");
    assert_eq!(excepted, ["20260106T080000Z", "20260108T080000Z", "20260110T080000Z"]);
}

#[test]
fn rule_13_the_start_is_an_occurrence_even_off_the_rule() {
    assert_eq!(series("RRULE:FREQ=WEEKLY;BYDAY=WE;COUNT=1"), ["20260105T080000Z", "20260107T080000Z"]);
    assert_eq!(series("RRULE:FREQ=DAILY;UNTIL=20250101T000000Z"), ["20260105T080000Z"]);
    assert_eq!(series("RRULE:FREQ=NEVER"), ["20260105T080000Z"]);
}

#[test]
fn rule_13_periods_have_a_length_of_their_own() {
    let lines = "DTSTART:20260105T090000Z\nDURATION:PT1H\nRDATE;VALUE=PERIOD:20260201T120000Z/PT5H,20260301T120000Z/20260301T133000Z";
    let ends = Case::event(lines, &["TRIGGER;RELATED=END:PT0S"]);
    assert_eq!(ends.instances(), ["20260105T100000Z", "20260201T170000Z", "20260301T133000Z"]);
    assert_eq!(ends.following("2026-01-06", 9), ["20260201T170000Z", "20260301T133000Z"]);
}

#[test]
fn rule_13_exclusions_are_matched_by_instant_or_by_day() {
    let excluded = |line: &str| 5 - series(&format!("RRULE:FREQ=DAILY;COUNT=5\n{line}")).len();
    assert_eq!(excluded("EXDATE:20260107T080000Z"), 1);
    assert_eq!(excluded("EXDATE;TZID=America/New_York:20260107T030000"), 1);
    assert_eq!(excluded("EXDATE;TZID=America/New_York:20260107T090000"), 0);
    assert_eq!(excluded("EXDATE;VALUE=DATE:20260107"), 1);
    assert_eq!(excluded("EXDATE:20260107T090000"), 1, "a time without a zone is in that of the series");
    assert_eq!(excluded("EXDATE;VALUE=DATE:20260107,20260108\nEXDATE:20260106T080000Z"), 3);
    assert_eq!(excluded("EXDATE:nonsense,20260107T080000Z"), 1);
}

#[test]
fn rule_13_an_all_day_series_takes_exclusions_with_times() {
    let excluded = |line: &str| {
        let event = format!("DTSTART;VALUE=DATE:20260105\nRRULE:FREQ=DAILY;COUNT=3\n{line}");
        Case::event(&event, &["PT9H"]).instances()
    };
    for line in [
        "EXDATE;VALUE=DATE:20260106",
        "EXDATE:20260106",
        "EXDATE:20260106T000000",
        "EXDATE:20260106T000000Z",
        "EXDATE:20260105T230000Z",
        "EXDATE;TZID=America/New_York:20260106T000000",
    ] {
        assert_eq!(excluded(line), ["20260105T080000Z", "20260107T080000Z"], "{line}");
    }
}

#[test]
fn rule_13_nine_stays_nine_and_elapsed_lengths_stay_elapsed() {
    let night = "DTSTART;TZID=Europe/Berlin:20260327T220000\nDTEND;TZID=Europe/Berlin:20260328T060000\nRRULE:FREQ=DAILY;COUNT=3";
    assert_eq!(Case::event(night, &["PT0S"]).instances(), ["20260327T210000Z", "20260328T210000Z", "20260329T200000Z"]);
    let ends = Case::event(night, &["TRIGGER;RELATED=END:PT0S"]).instances();
    assert_eq!(ends, ["20260328T050000Z", "20260329T050000Z", "20260330T040000Z"]);
    let hourly = Case::event("DTSTART;TZID=Europe/Berlin:20260329T000000\nRRULE:FREQ=HOURLY;COUNT=4", &["PT0S"]);
    assert_eq!(hourly.instances(), ["20260328T230000Z", "20260329T000000Z", "20260329T010000Z", "20260329T020000Z"]);
}

#[test]
fn rule_13_recurrence_ids_are_the_wall_clock_of_the_series() {
    let ids =
        Case::event("DTSTART;TZID=Europe/Berlin:20260328T023000\nRRULE:FREQ=DAILY;COUNT=2", &["PT0S"]).recurrence_ids();
    assert_eq!(ids, ["2026-03-28T02:30:00", "2026-03-29T02:30:00"]);
    let dates = Case::event("DTSTART;VALUE=DATE:20260328\nRDATE;VALUE=DATE:20260401", &["PT0S"]).recurrence_ids();
    assert_eq!(dates, ["2026-03-28T00:00:00", "2026-04-01T00:00:00"]);
    assert_eq!(Case::event(NINE, &["PT0S"]).recurrence_ids(), [""]);
}

#[test]
fn rule_15_a_foreign_rscale_is_reported_and_not_guessed() {
    let case = Case::event("DTSTART:20260105T090000Z\nRRULE:RSCALE=CHINESE;FREQ=YEARLY", &["PT0S"]);
    assert_eq!(case.instances(), ["20260105T090000Z"]);
    assert!(case.faults()[0].starts_with("7: the rule is left out: "), "{:?}", case.faults());
    let skip = "DTSTART:20260131T090000Z\nRRULE:RSCALE=GREGORIAN;FREQ=MONTHLY;SKIP=BACKWARD;COUNT=3";
    assert_eq!(Case::event(skip, &["PT0S"]).instances(), ["20260131T090000Z", "20260228T090000Z", "20260331T090000Z"]);
}

#[test]
fn rule_16_the_next_instance_is_found_from_anywhere() {
    let daily = Case::event("DTSTART;TZID=Europe/Berlin:19700101T090000\nRRULE:FREQ=DAILY", &["-P1D"]);
    assert_eq!(daily.following("2026-03-28", 3), ["20260328T080000Z", "20260329T070000Z", "20260330T070000Z"]);
    let secondly = Case::event("DTSTART:19700101T000000Z\nRRULE:FREQ=SECONDLY;INTERVAL=3600", &["-P1DT30M"]);
    assert_eq!(secondly.following("2026-03-28T00:15", 2), ["20260328T003000Z", "20260328T013000Z"]);
}

#[test]
fn rule_16_nominal_alarms_of_minutely_rules_hold_where_clocks_change() {
    // A day after each minute of the hour before the gap: the local clock shows 01:50 … 02:10 on 29 March.
    let case =
        Case::event("DTSTART;TZID=Europe/Berlin:20260328T014000\nRRULE:FREQ=MINUTELY;INTERVAL=10;COUNT=12", &["P1D"]);
    let mut all = case.instances();
    assert_eq!(all.len(), 12);
    all.dedup();
    assert_eq!(all, case.following("2026-03-20", 99), "found one by one and all at once");
    // 01:40, 01:50, then 02:00 … 02:50, which the gap moves onto 03:00 … 03:50, where 03:00 … 03:30 lie already.
    assert_eq!(all.first().unwrap(), "20260329T004000Z");
    assert_eq!(all.last().unwrap(), "20260329T015000Z");
}

#[test]
fn rule_16_exact_hours_after_nominal_days_may_meet_a_change_of_the_clocks() {
    // A day before these starts New York has summer time already or is in the gap, six hours before that it has not:
    // from 06:00-04 on the 9th to 06:00-04 on the 8th, and to 23:00-05 on the 7th.
    let case = Case::event("DTSTART;TZID=America/New_York:20240101T050000\nRRULE:FREQ=HOURLY;INTERVAL=4", &["-P1DT6H"]);
    let instances = case.between("2026-03-08T00:00", "2026-03-08T12:00");
    assert_eq!(instances, ["20260308T010000Z", "20260308T040000Z", "20260308T080000Z"]);
    assert_eq!(case.following("2026-03-08T00:00", 3), instances);
}

#[test]
fn rule_16_what_never_matches_ends() {
    let never = Case::event("DTSTART:20260105T090000Z\nRRULE:FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30", &["-P1D"]);
    assert_eq!(never.following("2026-01-01", 3), ["20260104T090000Z"]);
    let excluded = Case::event("DTSTART:20260105T090000Z\nRRULE:FREQ=HOURLY\nEXRULE:FREQ=HOURLY", &["PT0S"]);
    assert!(excluded.following("2026-01-01", 3).is_empty());
    let away = Case::event("DTSTART:20260105T090000Z\nRRULE:FREQ=SECONDLY", &["P3660000D", "-P3660000D"]);
    assert!(away.following("2026-01-01", 3).is_empty());
}

#[test]
fn rule_16_whole_days_of_a_secondly_rule_are_passed_over() {
    let days: Vec<String> = (1..=28).map(|day| format!("202602{day:02}")).collect();
    let event = format!("DTSTART:20260131T235958Z\nRRULE:FREQ=SECONDLY\nEXDATE;VALUE=DATE:{}", days.join(","));
    let next = Case::event(&event, &["PT0S"]).following("2026-01-31", 3);
    assert_eq!(next, ["20260131T235958Z", "20260131T235959Z", "20260301T000000Z"]);
}

#[test]
fn rule_16_the_end_of_a_count_is_remembered() {
    let case = Case::event("DTSTART:20200101T090000Z\nRRULE:FREQ=DAILY;COUNT=1000", &["PT0S"]);
    let object = Object::parse(case.text.as_bytes(), &ObjectLimits::default()).unwrap();
    let first = Schedule::new(&object, &case.context, None);
    let memo = first.memo().unwrap();
    assert!(memo.contains("2022-09-26T09:00:00"), "{memo}");
    let again = Schedule::new(&object, &case.context, Some(memo));
    assert_eq!(again.memo(), Some(memo));
    assert_eq!(again.next_instance(at("2022-09-26")), Some(at("2022-09-26T09:00")));
    assert_eq!(again.next_instance(at("2022-09-27")), None);
    // What was remembered is used, and only for the rule that it was said of.
    let other = memo.replace("2022-09-26", "2022-09-20");
    assert_eq!(Schedule::new(&object, &case.context, Some(&other)).next_instance(at("2022-09-21")), None);
    let changed =
        Object::parse(case.text.replace("COUNT=1000", "COUNT=1001").as_bytes(), &ObjectLimits::default()).unwrap();
    assert_eq!(
        Schedule::new(&changed, &case.context, Some(&other)).next_instance(at("2022-09-27")),
        Some(at("2022-09-27T09:00"))
    );
    assert_eq!(Case::event(NINE, &["PT0S"]).with(|schedule| schedule.memo().map(str::to_owned)), None);
}

//! Where the `rrule` crate (0.14.0) is wrong or refuses, compared with what is given here: `docs/recurrence.md` is
//! about these. If a new version of the crate fixes one, its test says so.

use rrule::{RRuleError, RRuleSet};

use super::*;

/// The crate's first occurrences; what they have in common with DTSTART's time is left out.
fn by_crate(rule: &str, start: &str) -> Result<Vec<String>, RRuleError> {
    let start = civil(start);
    let text = format!("DTSTART:{}\nRRULE:{rule}", start.strftime("%Y%m%dT%H%M%SZ"));
    let found = text.parse::<RRuleSet>()?.all(3).dates;
    Ok(found.iter().map(|at| at.format("%Y-%m-%d").to_string()).collect())
}

#[track_caller]
fn differs(rule: &str, start: &str, crates: &[&str], ours: [&str; 3]) {
    assert_eq!(by_crate(rule, start).unwrap(), crates, "the crate has changed: {rule}");
    assert_eq!(civil_times(rule, start, 3), ours, "{rule}");
}

#[track_caller]
fn refused(rule: &str, start: &str, ours: [&str; 3]) {
    assert!(by_crate(rule, start).is_err(), "the crate has changed: {rule}");
    assert_eq!(civil_times(rule, start, 3), ours, "{rule}");
}

#[test]
fn ordinals_beside_plain_weekdays_give_nothing() {
    let rule = "FREQ=MONTHLY;BYDAY=1MO,-1FR,WE";
    differs(rule, "2026-01-01T09:00", &[], ["2026-01-05", "2026-01-07", "2026-01-14"]);
}

#[test]
fn an_ordinal_in_a_week_lifts_the_filter() {
    let given = ["2026-01-05", "2026-01-06", "2026-01-07"];
    differs("FREQ=WEEKLY;BYDAY=1MO", "2026-01-05T09:00", &given, ["2026-01-05", "2026-01-12", "2026-01-19"]);
}

#[test]
fn the_fifth_from_the_end_is_refused() {
    refused("FREQ=MONTHLY;BYDAY=-5MO", "2026-01-01T09:00", ["2026-03-02", "2026-06-01", "2026-08-03"]);
    refused("FREQ=YEARLY;BYDAY=-53SU", "2026-01-01T09:00", ["2028-01-02", "2034-01-01", "2040-01-01"]);
}

#[test]
fn minutely_with_filters_misses_years() {
    let rule = "FREQ=MINUTELY;BYMONTH=1;BYMONTHDAY=5;BYHOUR=9;BYMINUTE=0";
    let given = ["2026-01-05", "2029-01-05", "2033-01-05"];
    differs(rule, "2026-01-05T09:00", &given, ["2026-01-05", "2027-01-05", "2028-01-05"]);
}

#[test]
fn week_53_is_seen_in_years_without_one() {
    let given = ["2021-01-03", "2022-01-02", "2027-01-03"];
    let rule = "FREQ=YEARLY;BYWEEKNO=53;BYDAY=SU";
    differs(rule, "2020-01-01T09:00", &given, ["2021-01-03", "2027-01-03", "2033-01-02"]);
}

#[test]
fn a_week_number_without_a_day_gives_all_seven() {
    let given = ["2026-05-13", "2026-05-14", "2026-05-15"];
    differs("FREQ=YEARLY;BYWEEKNO=20", "2026-05-13T09:00", &given, ["2026-05-13", "2027-05-19", "2028-05-17"]);
}

#[test]
fn positions_in_the_first_week_count_from_dtstart() {
    let given = ["2024-10-23", "2024-10-25", "2024-10-28"];
    let rule = "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=1,3";
    differs(rule, "2024-10-23T09:00", &given, ["2024-10-23", "2024-10-28", "2024-10-30"]);
}

#[test]
fn what_calendars_contain_is_refused() {
    let daily = ["2026-01-05", "2026-01-06", "2026-01-07"];
    refused("FREQ=DAILY;X-EVENT=1", "2026-01-05T09:00", daily);
    refused("RSCALE=GREGORIAN;FREQ=DAILY;SKIP=OMIT", "2026-01-05T09:00", daily);
    refused("FREQ=DAILY;BYDAY=", "2026-01-05T09:00", daily);
    refused("FREQ=DAILY; INTERVAL=1", "2026-01-05T09:00", daily);
    refused("FREQ=DAILY;BYSECOND=0,60;BYSETPOS=1", "2026-01-05T09:00", daily);
    refused("FREQ=WEEKLY;BYMONTHDAY=5,12,13", "2026-01-05T09:00", ["2026-01-05", "2026-01-12", "2026-01-13"]);
    assert!(by_crate("FREQ=DAILY;INTERVAL=70000", "2026-01-05T09:00").is_err());
    assert!(by_crate("FREQ=DAILY;UNTIL=20250101T000000Z", "2026-01-05T09:00").is_err());
    let zoned = "DTSTART;TZID=Europe/Berlin:20260105T090000\nRRULE:FREQ=DAILY;UNTIL=20260107";
    assert!(zoned.parse::<RRuleSet>().is_err());
}

#[test]
fn text_that_is_not_ascii_panics() {
    assert!(std::panic::catch_unwind(|| by_crate("FREQ=WEEKLY;BYDAY=aéb", "2026-01-05T09:00")).is_err());
    assert!(Rule::parse("FREQ=WEEKLY;BYDAY=aéb").is_err());
}

#[test]
fn a_midnight_in_a_gap_is_lost_and_a_start_in_one_refused() {
    let zoned = "DTSTART;TZID=America/Santiago:20260830T000000\nRRULE:FREQ=WEEKLY";
    let found = zoned.parse::<RRuleSet>().unwrap().all(2).dates;
    assert_eq!(found[1].format("%Y-%m-%d").to_string(), "2026-09-13");
    assert!("DTSTART;TZID=Europe/Berlin:20260329T023000\nRRULE:FREQ=DAILY".parse::<RRuleSet>().is_err());
    let ours = starts(&zone("Europe/Berlin"), "FREQ=DAILY", "2026-03-29T02:30", 2);
    assert_eq!(ours, ["20260329T0230 = 20260329T0130Z", "20260330T0230 = 20260330T0030Z"]);
}

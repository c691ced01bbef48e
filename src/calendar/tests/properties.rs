//! Laws that hold for every object, tried on random ones.

use std::ops::Range;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use proptest::prelude::*;

use super::{Case, at, vevent};
use crate::calendar::ical::object::{Object, ObjectLimits};
use crate::calendar::ical::value::Duration;
use crate::calendar::rrule::{OccurrenceStart, Rule, Series};
use crate::calendar::schedule::Schedule;
use crate::calendar::zone::Zones;
use crate::time::UtcMillis;

const DAY: SignedDuration = SignedDuration::from_hours(24);

fn rule() -> impl Strategy<Value = String> {
    let frequency = prop::sample::select(vec!["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY"]);
    let part = prop::sample::select(vec![
        "",
        "",
        ";BYDAY=MO,WE",
        ";BYMONTHDAY=-1,15",
        ";BYMONTH=3,10",
        ";COUNT=7",
        ";UNTIL=20260401T120000Z",
        ";BYHOUR=2,9",
        ";BYDAY=-1SU;BYMONTH=3,10",
    ]);
    (frequency, 1..40_i32, part).prop_map(|(frequency, interval, part)| {
        let interval = if frequency == "MINUTELY" { interval * 30 } else { interval };
        format!("RRULE:FREQ={frequency};INTERVAL={interval}{part}")
    })
}

fn start() -> impl Strategy<Value = String> {
    let zone =
        prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago"]);
    let clock = (2024..2027_i32, 1..13_i32, 1..29_i32, 0..24_i32, prop::sample::select(vec![0, 15, 30]));
    (zone, clock, 0..4_i32).prop_map(|(zone, (year, month, day, hour, minute), form)| match form {
        0 => format!("DTSTART;VALUE=DATE:{year}{month:02}{day:02}"),
        1 => format!("DTSTART:{year}{month:02}{day:02}T{hour:02}{minute:02}00Z\nDURATION:PT90M"),
        _ => format!("DTSTART;TZID={zone}:{year}{month:02}{day:02}T{hour:02}{minute:02}00\nDURATION:P1DT1H"),
    })
}

fn trigger() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "PT0S",
        "-PT15M",
        "-P1D",
        "P1W",
        "-P1DT6H",
        "TRIGGER;RELATED=END:-PT10M",
        "TRIGGER;RELATED=END:-P1D",
        "TRIGGER:-PT1H\nREPEAT:3\nDURATION:PT25M",
        "TRIGGER:PT0S\nREPEAT:2\nDURATION:P1D",
        "TRIGGER:20260329T013000Z",
        "TRIGGER:-PT5M\nACKNOWLEDGED:20260320T000000Z",
    ])
}

fn series() -> impl Strategy<Value = (String, Vec<&'static str>)> {
    let rdate = prop::sample::select(vec![
        "",
        "EXDATE;VALUE=DATE:20260329",
        "RDATE:20260315T123000Z",
        "RDATE;VALUE=PERIOD:20260316T120000Z/P2D",
        "EXRULE:FREQ=WEEKLY",
    ]);
    (start(), rule(), rdate, prop::collection::vec(trigger(), 1..4))
        .prop_map(|(start, rule, rdate, triggers)| (format!("{start}\n{rule}\n{rdate}"), triggers))
}

fn instants(schedule: &Schedule<'_>, from: UtcMillis, until: UtcMillis) -> Vec<UtcMillis> {
    schedule.instances(from..until).iter().map(|instance| instance.at).collect()
}

/// What `event` fires in [from, until), by counting from every start from 400 days before to 400 days after.
fn by_hand(rule: &str, (start, zone): (DateTime, &str), trigger: Duration, window: Range<UtcMillis>) -> Vec<UtcMillis> {
    let zone = Zones::bundled().find(zone).unwrap();
    let series = Series::new(&Rule::parse(rule).unwrap(), start, false, &zone, None);
    let starts = series.from(window.start.saturating_sub(400 * DAY));
    let starts = starts.take_while(|start| start.at < window.end.saturating_add(400 * DAY));
    let days = jiff::Span::new().days(trigger.days);
    // Without nominal days a trigger counts from the instant: of a time that exists twice a fast rule has both.
    let nominal =
        |start: OccurrenceStart| if trigger.days == 0 { start.at } else { zone.instant(start.civil + days).at };
    let instances = starts.map(|start| nominal(start).saturating_add(trigger.time));
    let mut instances: Vec<UtcMillis> = instances.filter(|at| window.contains(at)).collect();
    instances.sort_unstable();
    // Several starts may lead to one instant where the clocks change.
    instances.dedup();
    instances
}

/// Runs that leave no files behind: what they find becomes a test with a name. `PROPTEST_CASES` sets how many.
fn unrecorded() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(unrecorded())]

    #[test]
    fn instances_are_what_counting_by_hand_gives(
        (frequency, interval) in prop::sample::select(vec![("HOURLY", 1), ("HOURLY", 5), ("MINUTELY", 35), ("DAILY", 1), ("DAILY", 3)]),
        zone in prop::sample::select(vec!["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Africa/Casablanca"]),
        (hour, minute) in (0..24_i8, prop::sample::select(vec![0_i8, 10, 30])),
        (days, seconds) in (-200..200_i64, prop::sample::select(vec![0_i64, -900, 3600, -43_200, 100_000])),
        day in 0..365,
    ) {
        let rule = format!("FREQ={frequency};INTERVAL={interval}");
        let start = jiff::civil::date(2024, 1, 1).at(hour, minute, 0, 0);
        let from = at("2026-01-01").saturating_add(day * DAY);
        let (days, window) = (if frequency == "DAILY" { days } else { days / 20 }, from..from.saturating_add(3 * DAY));
        let sign = if days < 0 || (days == 0 && seconds < 0) { "-" } else { "" };
        // One sign holds for both parts.
        let seconds = if days == 0 { seconds } else { seconds.abs() * days.signum() };
        let trigger = format!("{sign}P{}DT{}S", days.abs(), seconds.abs());
        let event = format!("DTSTART;TZID={zone}:{}\nRRULE:{rule}", start.strftime("%Y%m%dT%H%M%S"));
        let expected = by_hand(&rule, (start, zone), Duration { days, time: SignedDuration::from_secs(seconds) }, window.clone());
        Case::event(&event, &[&trigger]).with(|schedule| {
            let mut instances = instants(schedule, window.start, window.end);
            instances.dedup();
            prop_assert_eq!(instances, expected.clone(), "{} {}", event, trigger);
            prop_assert_eq!(schedule.next_instance(window.start).filter(|next| window.contains(next)), expected.first().copied());
            Ok(())
        })?;
    }

    #[test]
    fn the_next_instance_is_the_first_of_the_instances((series, triggers) in series(), days in 0..60, range in any::<bool>()) {
        let range = if range { "RECURRENCE-ID;RANGE=THISANDFUTURE:20260320T090000Z\nDTSTART:20260321T103000Z" } else { "X:1" };
        let case = Case::new(&format!("{}\n{}", vevent(&series, &triggers), vevent(range, &triggers)));
        let from = at("2026-03-01").saturating_add(days * DAY + SignedDuration::from_secs(12_345));
        case.with(|schedule| {
            let instances = instants(schedule, from, from.saturating_add(20 * DAY));
            let next = schedule.next_instance(from).filter(|next| *next < from.saturating_add(20 * DAY));
            prop_assert_eq!(next, instances.first().copied());
            let after = |at: &UtcMillis| schedule.next_instance(at.just_after()).filter(|next| *next < from.saturating_add(20 * DAY));
            let walked: Vec<UtcMillis> = std::iter::successors(next, after).take(40).collect();
            let mut each = instances;
            each.dedup();
            each.truncate(40);
            prop_assert_eq!(walked, each);
            Ok(())
        })?;
    }

    #[test]
    fn windows_put_together_give_the_whole((series, triggers) in series(), cut in 1..5) {
        let (from, until) = (at("2026-03-26"), at("2026-04-01"));
        let middle = from.saturating_add(cut * DAY + SignedDuration::from_secs(3_599));
        Case::event(&series, &triggers).with(|schedule| {
            let mut parts = instants(schedule, from, middle);
            parts.extend(instants(schedule, middle, until));
            prop_assert_eq!(parts, instants(schedule, from, until));
            Ok(())
        })?;
    }

    #[test]
    fn an_override_changes_no_other_occurrence((series, triggers) in series()) {
        let window = || at("2026-03-20")..at("2026-04-10");
        let explained = |schedule: &Schedule<'_>| -> Vec<(String, UtcMillis, &'static str)> {
            let instances = schedule.instances(window());
            instances.iter().map(|instance| (instance.recurrence_id_text(), instance.at, instance.action.name())).collect()
        };
        let plain = Case::event(&series, &triggers).with(explained);
        let Some((id, ..)) = plain.iter().find(|(id, ..)| !id.is_empty()).cloned() else { return Ok(()) };
        let digits: String = id.chars().filter(|c| !"-:".contains(*c)).collect();
        let all_day = series.starts_with("DTSTART;VALUE=DATE");
        let id_line = match series.split_once(':').map(|(head, _)| head) {
            _ if all_day => format!("RECURRENCE-ID;VALUE=DATE:{}", &digits[..8]),
            Some("DTSTART") => format!("RECURRENCE-ID:{digits}Z"),
            head => format!("RECURRENCE-ID{}:{digits}", head.unwrap().trim_start_matches("DTSTART")),
        };
        let silent = vevent(&format!("{id_line}\nDTSTART:20260401T000000Z"), &[]);
        let left = Case::new(&format!("{}\n{silent}", vevent(&series, &triggers))).with(explained);
        let expected: Vec<_> = plain.into_iter().filter(|(other, ..)| *other != id).collect();
        prop_assert_eq!(left, expected);
    }

    #[test]
    fn moving_a_series_in_utc_moves_its_instances(hours in 0..200_i64, rule in prop::sample::select(vec!["DAILY", "HOURLY;INTERVAL=5"])) {
        let event = |start: UtcMillis| Case::event(&format!("DTSTART:{}\nRRULE:FREQ={rule}", start.basic()), &["-P1D", "-PT5M"]);
        let shift = |at: UtcMillis| at.saturating_add(SignedDuration::from_hours(hours));
        let (start, moved) = (at("2026-03-01"), shift(at("2026-03-01")));
        let (from, until) = (at("2026-03-20"), at("2026-03-25"));
        let here: Vec<UtcMillis> = event(start).with(|schedule| instants(schedule, from, until)).into_iter().map(shift).collect();
        prop_assert_eq!(event(moved).with(|schedule| instants(schedule, shift(from), shift(until))), here);
    }

    #[test]
    fn no_octets_make_it_panic(octets in prop::collection::vec(any::<u8>(), 0..400), at in 0..600_usize, cut in 0..60_usize) {
        let case = Case::event("DTSTART;TZID=Europe/Berlin:20260310T093000\nRRULE:FREQ=WEEKLY;BYDAY=MO\nEXDATE:20260317T083000Z", &["-PT15M"]);
        let mut text = case.text.into_bytes();
        let start = at.min(text.len());
        let end = (start + cut).min(text.len());
        text.splice(start..end, octets);
        if let Ok(object) = Object::parse(&text, &ObjectLimits::default()) {
            let schedule = Schedule::new(&object, &case.context, None);
            schedule.next_instance(super::at("2026-03-01"));
            schedule.instances(super::at("2026-03-01")..super::at("2026-03-08"));
        }
    }
}

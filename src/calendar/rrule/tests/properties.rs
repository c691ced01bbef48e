//! Properties of random rules.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::super::clock::UTC_CLOCK;
use super::super::periods::Periods;
use super::*;

fn list(values: Vec<i32>, most: usize) -> impl Strategy<Value = String> {
    subsequence(values, 1..=most).prop_map(|chosen| chosen.iter().map(i32::to_string).collect::<Vec<_>>().join(","))
}

fn around(limit: i32) -> Vec<i32> {
    (-limit..=limit).filter(|n| *n != 0).collect()
}

fn maybe(name: &'static str, values: Vec<i32>, most: usize, chance: f64) -> impl Strategy<Value = String> {
    prop::option::weighted(chance, list(values, most))
        .prop_map(move |chosen| chosen.map_or(String::new(), |chosen| format!(";{name}={chosen}")))
}

fn by_day() -> impl Strategy<Value = String> {
    let day = (
        select(vec!["", "", "", "1", "2", "-1", "5", "-5", "20"]),
        select(vec!["MO", "TU", "WE", "TH", "FR", "SA", "SU"]),
    );
    prop::option::weighted(0.5, prop::collection::vec(day, 1..4)).prop_map(|days| match days {
        None => String::new(),
        Some(days) => {
            ";BYDAY=".to_owned() + &days.iter().map(|(n, day)| format!("{n}{day}")).collect::<Vec<_>>().join(",")
        }
    })
}

/// The text of a rule without an end.
fn rule(frequencies: Vec<&'static str>) -> impl Strategy<Value = String> {
    let head = (select(frequencies), select(vec![1, 1, 1, 2, 3, 4, 7, 12, 90]), select(vec!["MO", "SU", "WE"]));
    let skip = select(vec!["", "", "", "", ";SKIP=FORWARD", ";SKIP=BACKWARD"]);
    let days = (
        maybe("BYMONTH", (1..=12).collect(), 4, 0.2),
        maybe("BYWEEKNO", around(53), 3, 0.1),
        maybe("BYYEARDAY", around(366), 4, 0.05),
        maybe("BYMONTHDAY", around(31), 4, 0.2),
        by_day(),
    );
    let times = (
        maybe("BYHOUR", (0..24).collect(), 3, 0.2),
        maybe("BYMINUTE", (0..60).collect(), 3, 0.2),
        maybe("BYSECOND", (0..60).collect(), 3, 0.1),
        maybe("BYSETPOS", around(6), 2, 0.15),
    );
    (head, days, times, skip).prop_map(|((frequency, interval, week_start), (a, b, c, d, e), (f, g, h, i), skip)| {
        format!("FREQ={frequency};INTERVAL={interval};WKST={week_start}{a}{b}{c}{d}{e}{f}{g}{h}{i}{skip}")
    })
}

const WALL: [&str; 4] = ["YEARLY", "MONTHLY", "WEEKLY", "DAILY"];
const ELAPSED: [&str; 3] = ["HOURLY", "MINUTELY", "SECONDLY"];
/// 1995 to 2025.
const STARTS: std::ops::Range<i64> = 788_918_400..1_735_689_600;

/// So many cases; what fails is printed, not kept in a file.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn normalized(rule: &str, start: i64) -> NormalizedRule {
    NormalizedRule::new(&Rule::parse(rule).unwrap(), start, false, &UTC_CLOCK, WorkMeter::default())
}

proptest! {
    #![proptest_config(cases(1500))]

    #[test]
    fn a_jump_finds_what_walking_there_finds(rule in rule(WALL.to_vec()), start in STARTS, far in 0..400usize, after in 0..2i64) {
        let NormalizedRule::Civil(normalized) = normalized(&rule, start) else { panic!() };
        let walked: Vec<i64> = Periods::new(&normalized, i64::MIN).take(far + 10).collect();
        if let Some(from) = walked.get(far) {
            let rest: Vec<i64> = walked[far..].iter().copied().filter(|civil| *civil >= from + after).collect();
            let jumped: Vec<i64> = normalized.civil_times(from + after).take(rest.len()).collect();
            prop_assert_eq!(jumped, rest);
        }
    }

}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn a_jump_in_elapsed_time_finds_what_walking_there_finds(
        rule in rule(ELAPSED.to_vec()), start in STARTS, far in 0..100usize, after in 0..2i64,
    ) {
        let NormalizedRule::Elapsed(normalized) = normalized(&rule, start) else { panic!() };
        let walked: Vec<_> = Elapsed::new(&normalized, &UTC_CLOCK, i64::MIN).take(far + 10).collect();
        if let Some(StartSeconds { at: from, .. }) = walked.get(far) {
            let rest: Vec<_> = walked[far..].iter().copied().filter(|start| start.at >= from + after).collect();
            let jumped: Vec<_> = Elapsed::new(&normalized, &UTC_CLOCK, from + after).take(rest.len()).collect();
            prop_assert_eq!(jumped, rest);
        }
    }

    #[test]
    fn both_engines_agree_on_rules_by_weekday(rule in rule(WALL.to_vec()), start in STARTS, later in 0..400_000_000i64) {
        let NormalizedRule::Civil(mut normalized) = normalized(&rule, start) else { panic!() };
        if normalized.by_weekday.is_none() {
            // Most of them: take the parts out that the crate is not given.
            let kept = rule.split(';').filter(|part| !part.starts_with("BYM") && !part.starts_with("BYW") && !part.starts_with("BYY"));
            let NormalizedRule::Civil(plainer) = super::properties::normalized(&kept.collect::<Vec<_>>().join(";"), start) else { panic!() };
            normalized = plainer;
        }
        let ours: Vec<i64> = Periods::new(&normalized, start + later).take(40).collect();
        prop_assert_eq!(normalized.civil_times(start + later).take(40).collect::<Vec<_>>(), ours);
    }

    #[test]
    fn count_ends_where_walking_ends(rule in rule([&WALL[..], &ELAPSED[..]].concat()), start in STARTS, count in 1..120usize) {
        let normalized = normalized(&rule, start);
        let walked = match &normalized {
            NormalizedRule::Civil(normalized) => Periods::new(normalized, i64::MIN).nth(count - 1),
            NormalizedRule::Elapsed(normalized) => Elapsed::new(normalized, &UTC_CLOCK, i64::MIN).nth(count - 1).map(|start| start.at),
        };
        let last = normalized.last(count as u64, &UTC_CLOCK);
        // A COUNT that takes centuries is taken as endless.
        let far = walked.is_some_and(|last| last > start + 100_000 * 86_400);
        prop_assert!(last == walked || last.is_none() && far, "{:?} {:?}", last, walked);
    }
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn what_comes_from_an_instant_on_is_the_rest_of_the_series(
        rule in rule([&WALL[..], &ELAPSED[..]].concat()),
        start in STARTS,
        skipped in 0..150usize,
        id in select(vec!["Europe/Berlin", "Australia/Lord_Howe", "America/Santiago", "Pacific/Apia", "Atlantic/Azores"]),
        before in select(vec![0, 1, 900_000, 3_600_000, 90_000_000]),
    ) {
        let series = Series::new(&Rule::parse(&rule).unwrap(), gregorian::civil(start), false, &zone(id), None);
        let all: Vec<OccurrenceStart> = series.from(UtcMillis::MIN).take(skipped + 10).collect();
        prop_assert!(all.windows(2).all(|pair| pair[0].at < pair[1].at));
        if let Some(first) = all.get(skipped) {
            let from = UtcMillis(first.at.0 - before);
            let rest: Vec<OccurrenceStart> = all.iter().copied().filter(|start| start.at >= from).collect();
            prop_assert_eq!(series.from(from).take(rest.len()).collect::<Vec<_>>(), rest);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC*", name in "(FREQ|COUNT|UNTIL|BYDAY|BYMONTH|BYSETPOS|BYWEEKNO|SKIP|X)", value in "[-+0-9A-Zaé,]{0,12}") {
        for rule in [text, format!("FREQ=DAILY;{name}={value}"), format!("FREQ={value};{name}=1")] {
            if let Ok(rule) = Rule::parse(&rule) {
                let series = Series::new(&rule, civil("2026-01-05T09:00"), false, &Zone::utc(), None);
                series.from(UtcMillis::MIN).take(3).for_each(drop);
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn counting_whole_days_comes_where_walking_comes(
        rule in rule(ELAPSED.to_vec()), start in STARTS, count in 1..4_000usize, berlin in any::<bool>(),
    ) {
        let zone = zone(if berlin { "Europe/Berlin" } else { "Australia/Lord_Howe" });
        let NormalizedRule::Elapsed(normalized) = NormalizedRule::new(&Rule::parse(&rule).unwrap(), start, false, &zone, WorkMeter::default()) else { panic!() };
        let walked = Elapsed::new(&normalized, &zone, i64::MIN).nth(count - 1).map(|start| start.at);
        let last = Elapsed::last(&normalized, &zone, count as u64);
        let far = walked.is_some_and(|last| last > start + 36_000 * 86_400);
        prop_assert!(last == walked || last.is_none() && far, "{:?} {:?}", last, walked);
    }
}

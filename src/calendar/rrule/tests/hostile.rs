//! Rules that are meant to cost time.

use std::time::{Duration, Instant};

use super::*;

/// Far more than any of it takes, even on a busy machine without optimization; walking to the end of time takes longer.
const AT_ONCE: Duration = Duration::from_secs(20);

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let result = work();
    assert!(started.elapsed() < AT_ONCE, "{what} took {:?}", started.elapsed());
    result
}

#[test]
fn rules_that_never_match_end_at_once() {
    for rule in [
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=31",
        "FREQ=MONTHLY;INTERVAL=12;BYMONTH=5",
        "FREQ=MONTHLY;BYDAY=6MO",
        "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=6",
        "FREQ=WEEKLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;INTERVAL=7;BYDAY=TU",
        "FREQ=DAILY;BYYEARDAY=366;BYMONTH=1",
        "FREQ=DAILY;BYMONTHDAY=31;BYYEARDAY=60",
        "FREQ=YEARLY;BYWEEKNO=53;BYMONTH=6;BYDAY=MO",
        "FREQ=YEARLY;INTERVAL=4;BYYEARDAY=366",
        "FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=HOURLY;INTERVAL=24;BYHOUR=3",
        "FREQ=HOURLY;INTERVAL=168;BYDAY=TU",
        "FREQ=MINUTELY;INTERVAL=60;BYMINUTE=7",
        "FREQ=MINUTELY;BYSETPOS=2",
        "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=SECONDLY;INTERVAL=60;BYSECOND=30",
        "FREQ=SECONDLY;BYSETPOS=2",
    ] {
        let rule = Rule::parse(rule).unwrap();
        for zone in [Zone::utc(), zone("Europe/Berlin")] {
            let series = Series::new(&rule, civil("2026-01-05T09:00"), false, &zone, None);
            assert_eq!(timed(&format!("{rule:?}"), || series.from(UtcMillis::MIN).next()), None, "{rule:?}");
        }
    }
}

#[test]
fn what_is_far_away_is_found() {
    assert_eq!(civil_times("FREQ=YEARLY;INTERVAL=4;BYYEARDAY=366", "2024-01-01T09:00", 1), ["2024-12-31"]);
    assert_eq!(civil_times("FREQ=YEARLY;INTERVAL=100", "2000-02-29T09:00", 2), ["2000-02-29", "2400-02-29"]);
    assert_eq!(civil_times("FREQ=DAILY;INTERVAL=400;BYMONTH=2;BYMONTHDAY=29", "2024-02-29T09:00", 2).len(), 2);
    // A step gains a minute a day: it takes 1439 of them to come to nine o'clock.
    let found = civil_times("FREQ=MINUTELY;INTERVAL=1441;BYHOUR=9;BYMINUTE=0", "2026-01-05T09:01", 1);
    assert_eq!(found, ["2029-12-15 09:00:00"]);
    // A step loses a second a day.
    let found = civil_times("FREQ=SECONDLY;INTERVAL=86399;BYHOUR=9;BYMINUTE=0;BYSECOND=0", "2026-01-05T09:00:01", 1);
    assert_eq!(found, ["2026-01-06 09:00:00"]);
    // A step gains a second a day: the time comes again when all 86,400 have been.
    let gains = "FREQ=SECONDLY;INTERVAL=86401;BYHOUR=9;BYMINUTE=0;BYSECOND=0";
    assert_eq!(civil_times(gains, "2026-01-05T09:00:00", 2), ["2026-01-05", "2262-07-28"]);
    assert_eq!(civil_times(gains, "2026-01-05T09:00:01", 1), ["2262-07-27 09:00:00"]);
}

/// Steps that miss because the clock has changed must not be passed over.
#[test]
fn times_of_day_are_worked_out_up_to_the_next_change_of_the_clock() {
    for (rule, start) in [
        ("FREQ=HOURLY;INTERVAL=25;BYHOUR=9;BYDAY=MO", "2026-01-05T09:00"),
        ("FREQ=MINUTELY;INTERVAL=1441;BYHOUR=2;BYMINUTE=30", "2026-01-05T02:30"),
        ("FREQ=HOURLY;INTERVAL=24;BYHOUR=10", "2026-01-05T09:00"),
        ("FREQ=SECONDLY;INTERVAL=7200;BYHOUR=9;BYMINUTE=0;BYSECOND=0", "2026-01-05T09:00"),
    ] {
        for zone in [zone("Europe/Berlin"), zone("Australia/Lord_Howe")] {
            let series = Series::new(&Rule::parse(rule).unwrap(), civil(start), false, &zone, None);
            let found: Vec<OccurrenceStart> = series.from(UtcMillis::MIN).take(20).collect();
            let text = rule.split(";BY").next().unwrap();
            let every = Series::new(&Rule::parse(text).unwrap(), civil(start), false, &zone, None);
            let wanted = |start: &OccurrenceStart| {
                let names = |part: &str| format!("{rule};").contains(part);
                let (civil, monday) = (start.civil, jiff::civil::Weekday::Monday);
                (!names("BYDAY=MO") || civil.date().weekday() == monday)
                    && names(&format!("BYHOUR={};", civil.hour()))
                    && (!names("BYMINUTE") || names(&format!("BYMINUTE={};", civil.minute())))
                    && (!names("BYSECOND") || civil.second() == 0)
            };
            let until = found.last().map_or(series.zone.instant(civil("2030-01-01T00:00")).at, |last| last.at);
            let walked: Vec<OccurrenceStart> =
                every.from(UtcMillis::MIN).take_while(|start| start.at <= until).filter(wanted).collect();
            assert_eq!(found, walked, "{rule}");
        }
    }
}

#[test]
fn dense_rules_and_rules_from_the_year_1_cost_what_is_taken() {
    let sixty: Vec<String> = (0..60).map(|n| n.to_string()).collect();
    let every = format!(
        "FREQ=YEARLY;BYMONTHDAY={};BYHOUR={};BYMINUTE={sixty};BYSECOND={sixty}",
        (1..=31).map(|n| n.to_string()).collect::<Vec<_>>().join(","),
        (0..24).map(|n| n.to_string()).collect::<Vec<_>>().join(","),
        sixty = sixty.join(","),
    );
    let last_of_the_year = format!("{every};BYSETPOS=-1");
    for rule in ["FREQ=SECONDLY", "FREQ=DAILY", "FREQ=WEEKLY;BYDAY=MO", &every, &last_of_the_year] {
        let series = Series::new(&Rule::parse(rule).unwrap(), civil("0001-01-01T00:00"), false, &Zone::utc(), None);
        let from = UtcMillis::parse("2026-03-10T08:15:00Z").unwrap();
        let found = timed(rule, || series.from(from).take(1000).last().unwrap());
        assert!(found.at > from);
        let end = timed(rule, || series.from(UtcMillis::parse("9998-12-25T00:00:00Z").unwrap()).take(1000).count());
        assert!(end > 0, "{rule}");
    }
}

#[test]
fn every_minute_of_a_gap_of_a_day_is_sorted() {
    let rule = format!("FREQ=DAILY;BYHOUR={};BYMINUTE={}", list(24), list(60));
    let apia = zone("Pacific/Apia");
    let series = Series::new(&Rule::parse(&rule).unwrap(), civil("2011-12-29T00:00"), false, &apia, None);
    let starts: Vec<OccurrenceStart> = series.from(UtcMillis::MIN).take(3000).collect();
    assert!(starts.windows(2).all(|pair| pair[1].at.0 - pair[0].at.0 == 60_000));
}

#[test]
fn a_count_of_years_of_minutes_is_counted() {
    let berlin = zone("Europe/Berlin");
    for (rule, last) in [
        ("FREQ=MINUTELY;BYHOUR=9;COUNT=200000", "2035-02-20T08:19:00"),
        ("FREQ=MINUTELY;BYHOUR=9;BYDAY=MO;COUNT=30000", "2035-07-30T07:59:00"),
        ("FREQ=SECONDLY;BYMONTH=1;COUNT=2678400", "2027-01-05T07:59:59"),
        ("FREQ=HOURLY;BYMINUTE=0,30;BYHOUR=9,10;COUNT=20000", "2039-09-13T08:30:00"),
        ("FREQ=MINUTELY;BYHOUR=9;COUNT=99999999", "never"),
    ] {
        let rule = Rule::parse(rule).unwrap();
        let series = timed("counting", || Series::new(&rule, civil("2026-01-05T09:00"), false, &berlin, None));
        assert_eq!(
            series.last().map_or("never".to_owned(), |last| last.strftime("%FT%T").to_string()),
            last,
            "{rule:?}"
        );
    }
}

fn list(n: u32) -> String {
    (0..n).map(|n| n.to_string()).collect::<Vec<_>>().join(",")
}

#[test]
fn counts_and_intervals_beyond_measure() {
    for rule in [
        "FREQ=DAILY;COUNT=2147483647",
        "FREQ=DAILY;BYMONTHDAY=31;COUNT=99999999999999999999",
        "FREQ=MINUTELY;BYHOUR=9;COUNT=1500000",
        "FREQ=SECONDLY;COUNT=18446744073709551615",
        "FREQ=YEARLY;BYYEARDAY=1,2,3;BYHOUR=1,2,3;COUNT=4000000000",
    ] {
        let series = timed(rule, || {
            Series::new(&Rule::parse(rule).unwrap(), civil("1970-01-01T09:00"), false, &Zone::utc(), None)
        });
        assert!(
            timed(rule, || series.from(UtcMillis::parse("2026-03-10T00:00:00Z").unwrap()).next()).is_some(),
            "{rule}"
        );
    }
    // Every second of centuries, in periods that reach into each other.
    let dense = format!(
        "RSCALE=GREGORIAN;FREQ=YEARLY;BYMONTHDAY={};BYHOUR={};BYMINUTE={sixty};BYSECOND={sixty};SKIP=FORWARD",
        list(32).trim_start_matches("0,"),
        list(24),
        sixty = list(60),
    );
    for (count, last) in [("12000000000", Some(civil("2350-04-08T09:19:59"))), ("999999999999", None)] {
        let rule = Rule::parse(&format!("{dense};COUNT={count}")).unwrap();
        let series = timed(count, || Series::new(&rule, civil("1970-01-01T12:00"), false, &Zone::utc(), None));
        assert_eq!(series.last(), last);
    }
    for frequency in ["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY"] {
        let rule = format!("FREQ={frequency};INTERVAL=999999999999999999999");
        assert_eq!(civil_times(&rule, "1970-01-01T09:00", 9), ["1970-01-01"], "{rule}");
    }
    assert_eq!(civil_times("FREQ=YEARLY;INTERVAL=99999", "1970-01-01T09:00", 9), ["1970-01-01"]);
}

#[test]
fn the_end_of_the_calendar_is_the_end() {
    // Instants end two days before the year does, so that every zone's wall stays within it.
    for rule in
        ["FREQ=DAILY", "FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR,SA,SU", "FREQ=HOURLY;INTERVAL=24", "FREQ=WEEKLY;BYDAY=WE,TH"]
    {
        assert_eq!(civil_times(rule, "9999-12-29T09:00", 9), ["9999-12-29"], "{rule}");
    }
}

//! What alarms cost to work out: the next instance after an instant, by kind of rule and age of the series, beside the
//! plain `rrule` crate; the instances of a month; an event of 1 kB, parsed and planned, beside `icalendar`'s parse
//! alone.
//!
//!     cargo bench --bench recurrence
//!
//! In the first table 'instance' is `Schedule::next_instance` of an event in Europe/Berlin with an alarm a quarter of
//! an hour before it, parsed and planned beforehand. 'start' is the next start of the bare rule (`Series::from` and its
//! first item), 'new' the same with setting the series up. Each 'ratio' compares with the same rule of last week.
//! 'rrule' is the crate's iterator over the same rule in UTC, walked from DTSTART to the instant; it is stopped after
//! two seconds. Medians, in microseconds.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use jiff::civil::{Date, DateTime, date};
use reveille::calendar::context::CalendarContext;
use reveille::calendar::ical::object::{Object, ObjectLimits};
use reveille::calendar::rrule::{Rule, Series};
use reveille::calendar::schedule::Schedule;
use reveille::calendar::zone::{Zone, Zones};
use reveille::time::UtcMillis;
use rrule::RRuleSet;

/// Six kinds that are asked of most, then others.
const RULES: [&str; 14] = [
    "FREQ=DAILY",
    "FREQ=WEEKLY;BYDAY=MO,WE,FR",
    "FREQ=MONTHLY;BYDAY=-1FR",
    "FREQ=YEARLY",
    "FREQ=HOURLY",
    "FREQ=MINUTELY",
    "FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR",
    "FREQ=WEEKLY",
    "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO",
    "FREQ=MONTHLY",
    "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
    "FREQ=YEARLY;BYMONTH=11;BYDAY=4TH",
    "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO",
    "FREQ=MINUTELY;INTERVAL=15;BYHOUR=9,10,11",
];

/// Rules that give nothing, or hardly anything.
const IDLE: [&str; 12] = [
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=YEARLY;BYWEEKNO=53;BYMONTH=6;BYDAY=MO",
    "FREQ=MONTHLY;BYDAY=6MO",
    "FREQ=WEEKLY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=DAILY;BYMONTHDAY=31;BYYEARDAY=60",
    "FREQ=DAILY;INTERVAL=7;BYDAY=TU",
    "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=SECONDLY;INTERVAL=60;BYSECOND=30",
    "FREQ=HOURLY;INTERVAL=24;BYHOUR=3",
    "FREQ=HOURLY;INTERVAL=168;BYDAY=TU",
    "FREQ=MINUTELY;INTERVAL=1441;BYHOUR=9;BYMINUTE=0",
];

/// Rules with an end that must be counted out.
const COUNTED: [&str; 4] = [
    "FREQ=DAILY;COUNT=7300",
    "FREQ=MONTHLY;BYDAY=-1FR;COUNT=24",
    "FREQ=DAILY;BYDAY=MO;COUNT=2147483647",
    "FREQ=MINUTELY;BYHOUR=9;COUNT=100000",
];

/// How old a series is, and when it began. All begin on a Monday.
const AGES: [(&str, Date); 5] = [
    ("1 week", date(2026, 5, 25)),
    ("1 month", date(2026, 4, 27)),
    ("20 years", date(2006, 5, 29)),
    ("1970", date(1970, 1, 5)),
    ("100 years", date(1926, 5, 31)),
];

/// Turns in which ages are compared, so that what else the machine does hits all of them alike. The middle one counts.
const TURNS: usize = 5;

/// How long the crate may walk.
const PATIENCE: Duration = Duration::from_secs(2);

/// The median time of a call, in microseconds: of many batches, each long enough for the clock.
fn median<T>(mut call: impl FnMut() -> T) -> f64 {
    let batch = (0..20).map(|n| 1 << n).find(|n| time(*n, &mut call) > Duration::from_micros(100)).unwrap_or(1);
    let budget = Instant::now();
    let mut runs: Vec<f64> = vec![];
    while runs.len() < 5 || (runs.len() < 200 && budget.elapsed() < Duration::from_millis(25)) {
        runs.push(time(batch, &mut call).as_secs_f64() * 1e6 / f64::from(batch));
    }
    runs.sort_by(f64::total_cmp);
    runs[runs.len() / 2]
}

fn time<T>(batch: u32, call: &mut impl FnMut() -> T) -> Duration {
    let started = Instant::now();
    for _ in 0..batch {
        black_box(call());
    }
    started.elapsed()
}

/// The medians of `calls`, taken in turns.
fn in_turns<T, const N: usize>(mut calls: [impl FnMut() -> T; N]) -> [f64; N] {
    let mut turns = [[0.0; TURNS]; N];
    for turn in 0..TURNS {
        for (turns, call) in turns.iter_mut().zip(&mut calls) {
            turns[turn] = median(call);
        }
    }
    turns.map(|mut turns| {
        turns.sort_by(f64::total_cmp);
        turns[TURNS / 2]
    })
}

/// The crate's own way: a walk from DTSTART, timed once or, when it is quick, many times.
fn by_crate(rule: &str, start: DateTime, from: UtcMillis) -> String {
    let text = format!("DTSTART:{}\nRRULE:{rule}", start.strftime("%Y%m%dT%H%M%SZ"));
    let set: RRuleSet = text.parse().unwrap();
    let walk = || {
        let (began, mut steps) = (Instant::now(), 0_u32);
        let reached = |at: i64| at >= from.0;
        set.into_iter().find(|at| {
            steps += 1;
            reached(at.timestamp_millis()) || (steps.is_multiple_of(1024) && began.elapsed() > PATIENCE)
        })
    };
    let began = Instant::now();
    let found = walk();
    let once = began.elapsed();
    match found {
        Some(at) if at.timestamp_millis() < from.0 => format!(">{:.0}", PATIENCE.as_secs_f64() * 1e6),
        _ if once > Duration::from_millis(20) => format!("{:.1}", once.as_secs_f64() * 1e6),
        _ => format!("{:.1}", median(walk)),
    }
}

/// An event that repeats by `rule`, with an alarm.
fn event(rule: &str, first: Date) -> Object {
    let text = format!(
        "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//reveille//bench//EN\nBEGIN:VEVENT\nUID:a@example.org\n\
         DTSTAMP:20260101T000000Z\nDTSTART;TZID=Europe/Berlin:{}\nDURATION:PT30M\nRRULE:{rule}\nSUMMARY:Meeting\n\
         BEGIN:VALARM\nACTION:DISPLAY\nTRIGGER:-PT15M\nDESCRIPTION:Soon\nEND:VALARM\nEND:VEVENT\nEND:VCALENDAR\n",
        first.at(9, 0, 0, 0).strftime("%Y%m%dT%H%M%S")
    );
    Object::parse(text.as_bytes(), &ObjectLimits::default()).unwrap()
}

fn next_by_age(zone: &Zone, context: &CalendarContext) {
    let from = Zone::utc().instant(date(2026, 6, 1).at(12, 34, 56, 0)).at;
    println!("next alarm instance after 2026-06-01T12:34:56Z, µs");
    println!(
        "{:<46} {:>10} {:>8} {:>6} {:>8} {:>6} {:>8} {:>12}",
        "", "since", "instance", "ratio", "start", "ratio", "new", "rrule"
    );
    for text in RULES {
        let rule = Rule::parse(text).unwrap();
        let new = |first: Date| Series::new(&rule, first.at(9, 0, 0, 0), false, zone, None);
        let series = AGES.map(|(_, first)| new(first));
        let objects = AGES.map(|(_, first)| event(text, first));
        let schedules = objects.each_ref().map(|object| Schedule::new(object, context, None));
        let instances = in_turns(schedules.each_ref().map(|schedule| || schedule.next_instance(black_box(from))));
        let starts = in_turns(series.each_ref().map(|series| || series.from(black_box(from)).next()));
        for (at, (age, first)) in AGES.iter().enumerate() {
            let (instance, start) = (instances[at], starts[at]);
            let new = median(|| new(*first).from(black_box(from)).next());
            let by_crate = by_crate(text, first.at(9, 0, 0, 0), from);
            println!(
                "{text:<46} {age:>10} {instance:>8.2} {:>6.1} {start:>8.2} {:>6.1} {new:>8.2} {by_crate:>12}",
                instance / instances[0],
                start / starts[0]
            );
        }
    }
}

fn instances_of_a_month(context: &CalendarContext) {
    let instant = |date: Date| Zone::utc().instant(date.at(0, 0, 0, 0)).at;
    let (from, until) = (instant(date(2026, 6, 1)), instant(date(2026, 7, 1)));
    println!("\nrings of June 2026, µs");
    println!("{:<46} {:>10} {:>8} {:>9} {:>9}", "", "since", "instances", "all", "each");
    for text in &RULES[..6] {
        for (age, first) in &AGES {
            let object = event(text, *first);
            let schedule = Schedule::new(&object, context, None);
            let count = schedule.instances(from..until).len();
            let all = median(|| schedule.instances(black_box(from)..until));
            println!("{text:<46} {age:>10} {count:>8} {all:>9.1} {:>9.2}", all / count.max(1) as f64);
        }
    }
}

/// An event of about 1 kB as clients write it: a weekly meeting with people, a description and an alarm.
fn kilobyte() -> String {
    let mut text = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//reveille//bench//EN\r\nCALSCALE:GREGORIAN\r\nBEGIN:VEVENT\r\n\
        UID:5b1d8a6e-6c0f-4c39-9a8e-2f4f0d3f7c11@example.org\r\nDTSTAMP:20260105T081500Z\r\nCREATED:20251201T101010Z\r\n\
        LAST-MODIFIED:20260105T081500Z\r\nSEQUENCE:3\r\nDTSTART;TZID=Europe/Berlin:20260112T093000\r\n\
        DTEND;TZID=Europe/Berlin:20260112T103000\r\nRRULE:FREQ=WEEKLY;BYDAY=MO,TH\r\nEXDATE;TZID=Europe/Berlin:20260216T093000\r\n\
        SUMMARY:Planning with the people of the third floor\r\nLOCATION:Room 3.14\\, the one with the plants\r\n\
        DESCRIPTION:What was done since the last time\\, what comes next\\, and who \r\n takes care of the plants.\r\n\
        ORGANIZER;CN=Mary Moss:mailto:mary@example.org\r\n"
        .to_owned();
    for (name, address) in [("Nils Ahorn", "nils"), ("Olga Birke", "olga"), ("Petra Linde", "petra")] {
        let _ = write!(text, "ATTENDEE;CN={name};PARTSTAT=ACCEPTED:mailto:{address}@example.org\r\n");
    }
    text + "BEGIN:VALARM\r\nACTION:DISPLAY\r\nTRIGGER:-PT15M\r\nDESCRIPTION:Planning\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
}

fn parse_and_plan(context: &CalendarContext) {
    let (text, limits) = (kilobyte(), ObjectLimits::default());
    let from = UtcMillis::parse("2026-06-01T12:34:56Z").unwrap();
    let parsed = || Object::parse(black_box(text.as_bytes()), &limits).unwrap();
    let object = parsed();
    let planned = |object: &Object| Schedule::new(object, context, None).next_instance(black_box(from));
    assert!(object.faults.is_empty() && planned(&object).is_some());
    let unfold_and_parse = || {
        let unfolded = icalendar::parser::unfold(black_box(&text));
        icalendar::parser::read_calendar(&unfolded).unwrap().components.len()
    };
    println!("\nan event of {} octets, µs", text.len());
    println!("{:<67} {:>9.1}", "parsed", median(parsed));
    println!("{:<67} {:>9.1}", "planned, with its next instance", median(|| planned(&object)));
    println!("{:<67} {:>9.1}", "both", median(|| planned(&parsed())));
    println!("{:<67} {:>9.1}", "icalendar's parse alone (unfold, read_calendar)", median(unfold_and_parse));
}

fn idle_and_counted(zone: &Zone) {
    let start = date(2026, 1, 5).at(9, 0, 1, 0);
    println!("\nrules that never match or hardly ever, µs");
    for text in IDLE {
        let series = Series::new(&Rule::parse(text).unwrap(), start, false, zone, None);
        println!("{text:<67} {:>9.1}", median(|| series.from(black_box(UtcMillis::MIN)).next()));
    }
    println!("\na COUNT counted, µs");
    for text in COUNTED {
        let rule = Rule::parse(text).unwrap();
        println!("{text:<67} {:>9.1}", median(|| Series::new(&rule, start, false, zone, None)));
    }
}

fn main() {
    let zones = Zones::bundled();
    let berlin = zones.find("Europe/Berlin").unwrap();
    let context = CalendarContext::new(zones);
    next_by_age(&berlin, &context);
    instances_of_a_month(&context);
    parse_and_plan(&context);
    idle_and_counted(&berlin);
}

//! What it costs to find the next occurrence after an instant, by kind of rule and age of the series, beside the plain `rrule`
//! crate.
//!
//!     cargo bench --bench recurrence
//!
//! 'ours' is [`Series::from`] and its first item, of a series that is set up, in Europe/Berlin; 'ratio' compares it with the same
//! rule of last week; 'new' sets the series up as well. 'rrule' is the crate's iterator over the same rule in UTC, walked to the
//! instant. Medians.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use jiff::civil::{Date, DateTime, date};
use reveille::calendar::recur::{Rule, Series};
use reveille::calendar::zone::{Zone, Zones};
use reveille::time::UtcMillis;
use rrule::RRuleSet;

const RULES: [&str; 14] = [
    "FREQ=DAILY",
    "FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR",
    "FREQ=WEEKLY",
    "FREQ=WEEKLY;BYDAY=MO,WE,FR",
    "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO",
    "FREQ=MONTHLY",
    "FREQ=MONTHLY;BYDAY=-1FR",
    "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
    "FREQ=YEARLY",
    "FREQ=YEARLY;BYMONTH=11;BYDAY=4TH",
    "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO",
    "FREQ=HOURLY",
    "FREQ=MINUTELY",
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

/// The median time of a call, in microseconds: of many batches, each long enough for the clock.
fn median<T>(mut call: impl FnMut() -> T) -> f64 {
    let batch = (0..20).map(|n| 1 << n).find(|n| time(*n, &mut call) > Duration::from_micros(200)).unwrap_or(1);
    let budget = Instant::now();
    let mut runs: Vec<f64> = vec![];
    while runs.len() < 5 || (runs.len() < 200 && budget.elapsed() < Duration::from_millis(60)) {
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

/// The crate's own way: a walk from DTSTART, timed once or, when it is quick, many times.
fn by_crate(rule: &str, start: DateTime, from: UtcMillis) -> f64 {
    let text = format!("DTSTART:{}\nRRULE:{rule}", start.strftime("%Y%m%dT%H%M%SZ"));
    let set: RRuleSet = text.parse().unwrap();
    let mut walk = || set.into_iter().find(|at| at.timestamp_millis() >= from.0);
    let once = time(1, &mut walk);
    if once > Duration::from_millis(20) { once.as_secs_f64() * 1e6 } else { median(walk) }
}

fn next_by_age(zone: &Zone) {
    let from = Zone::utc().instant(date(2026, 6, 1).at(12, 34, 56, 0)).0;
    let ages = [
        ("1 week", date(2026, 5, 25)),
        ("20 years", date(2006, 5, 29)),
        ("1970", date(1970, 1, 5)),
        ("year 1", date(1, 1, 1)),
    ];
    println!("next occurrence after 2026-06-01T12:34:56Z, µs");
    println!("{:<46} {:>10} {:>9} {:>7} {:>9} {:>12}", "", "since", "ours", "ratio", "new", "rrule");
    for text in RULES {
        let rule = Rule::parse(text).unwrap();
        let new = |first: Date| Series::new(&rule, first.at(9, 0, 0, 0), false, zone, None);
        let series = ages.map(|(_, first)| new(first));
        // In turns, so that what else the machine does hits all ages alike.
        let mut ours = [[0.0; 5]; 4];
        for turn in 0..5 {
            for (ours, series) in ours.iter_mut().zip(&series) {
                ours[turn] = median(|| series.from(black_box(from)).next());
            }
        }
        ours.iter_mut().for_each(|turns| turns.sort_by(f64::total_cmp));
        for ((age, first), [_, _, ours_now, _, _]) in ages.iter().zip(ours) {
            let ratio = ours_now / ours[0][2];
            let new = median(|| new(*first).from(black_box(from)).next());
            let by_crate = match *age {
                "year 1" => "-".to_owned(),
                _ => format!("{:.1}", by_crate(text, first.at(9, 0, 0, 0), from)),
            };
            println!("{text:<46} {age:>10} {ours_now:>9.2} {ratio:>7.1} {new:>9.2} {by_crate:>12}");
        }
    }
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
    let berlin = Zones::bundled().find("Europe/Berlin").unwrap();
    next_by_age(&berlin);
    idle_and_counted(&berlin);
}

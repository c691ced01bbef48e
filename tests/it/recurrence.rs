//! Random recurrence rules, expanded here, by python-dateutil and by a brute-force reading of the RFC
//! (`tests/recurrence/`).
//!
//! `REVEILLE_RULES` says how many (default 1500), `REVEILLE_SEED` which ones (default: those of seed 1).

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use jiff::civil::DateTime;
use reveille::calendar::rrule::{Rule, Series};
use reveille::calendar::zone::{Zone, Zones};
use reveille::time::UtcMillis;

use crate::venv::Venv;

/// The oracle's lists are cut to this.
const MOST: usize = 25;
/// How many differences are shown.
const SHOWN: usize = 20;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn time(text: &str) -> DateTime {
    DateTime::strptime("%Y%m%dT%H%M%S", text).unwrap()
}

fn instant(text: &str) -> UtcMillis {
    Zone::utc().instant(time(text)).at
}

fn times(text: &str) -> Vec<&str> {
    text.split(',').filter(|time| !time.is_empty()).collect()
}

/// The occurrences from an instant on, in UTC: as many as `expected` has, and what else there is up to `horizon`.
fn expand(rule: &str, start: &str, zone: &Zone, from: UtcMillis, expected: usize, horizon: UtcMillis) -> Vec<String> {
    let series = Series::new(&Rule::parse(rule).unwrap(), time(start), false, zone, None);
    let starts = series.from(from).enumerate().take_while(|(n, start)| *n < expected || start.at <= horizon);
    starts.take(expected + 1).map(|(_, start)| start.at.basic().trim_end_matches('Z').to_owned()).collect()
}

/// Runs the oracle and hands each of its cases to `check`.
fn cases(venv: &Venv, mode: &[&str], rules: u64, mut check: impl FnMut(&[&str])) {
    let seed = setting("REVEILLE_SEED", 1).to_string();
    let mut oracle = venv
        .command()
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recurrence/oracle.py"))
        .args([&seed, &rules.to_string()])
        .args(mode)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut count = 0;
    for line in BufReader::new(oracle.stdout.take().unwrap()).lines() {
        check(&line.unwrap().split('\t').collect::<Vec<_>>());
        count += 1;
    }
    assert!(oracle.wait().unwrap().success());
    assert_eq!(count, rules);
}

#[test]
fn random_rules_agree_with_dateutil_and_with_the_rfc() {
    let Some(venv) = Venv::or_skip() else { return };
    let mut wrong = vec![];
    let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
    cases(venv, &[], setting("REVEILLE_RULES", 1500), |case| {
        let [start, rule, dateutil, complete, rfc, horizon, class] = case else { panic!("{case:?}") };
        let by_rfc = times(rfc);
        let ours = expand(rule, start, &Zone::utc(), UtcMillis::MIN, by_rfc.len(), instant(horizon));
        if ours != by_rfc {
            wrong.push(format!("{start} {rule}\n  ours     {ours:?}\n  RFC      {by_rfc:?}"));
        }
        let expected = times(dateutil);
        let ended = *complete == "all" && expected.len() < MOST;
        let horizon = if ended { UtcMillis::MAX } else { UtcMillis::MIN };
        let ours = expand(rule, start, &Zone::utc(), UtcMillis::MIN, expected.len(), horizon);
        let outcome = match (ours == expected, *complete, *class) {
            (true, "all", _) => "the same",
            (true, _, _) => "the same as far as dateutil came",
            (false, _, "") => {
                wrong.push(format!("{start} {rule}\n  ours     {ours:?}\n  dateutil {expected:?}"));
                "unexplained"
            }
            (false, _, class) => class,
        };
        *outcomes.entry(outcome.to_owned()).or_default() += 1;
    });
    println!("{outcomes:#?}");
    wrong.truncate(SHOWN);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn random_rules_lie_in_their_zones_as_the_rfc_says() {
    let Some(venv) = Venv::or_skip() else { return };
    let zones = Zones::bundled();
    let mut wrong = vec![];
    cases(venv, &["zones"], setting("REVEILLE_RULES", 1500) / 4, |case| {
        let [start, rule, zone, from, rfc, horizon] = case else { panic!("{case:?}") };
        let zone = zones.find(zone).unwrap();
        let expected = times(rfc);
        let ours = expand(rule, start, &zone, instant(from), expected.len(), instant(horizon));
        if ours != expected {
            wrong.push(format!("{start} {rule} {} from {from}\n  ours {ours:?}\n  rfc  {expected:?}", zone.id()));
        }
    });
    let count = wrong.len();
    wrong.truncate(SHOWN);
    assert!(wrong.is_empty(), "{count} differ\n{}", wrong.join("\n"));
}

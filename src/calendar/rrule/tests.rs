//! The readings that the RFC leaves open, its own examples, and properties of random rules.

mod examples;
mod hostile;
mod properties;
mod readings;
mod weak_spots;

use jiff::civil::DateTime;

use super::*;
use crate::calendar::zone::Zones;

fn civil(text: &str) -> DateTime {
    text.parse().unwrap()
}

fn zone(id: &str) -> Zone {
    Zones::bundled().find(id).unwrap()
}

/// The first `n` starts of a rule in a zone, as `civil = instant in UTC`.
fn starts(zone: &Zone, rule: &str, start: &str, n: usize) -> Vec<String> {
    let series = Series::new(&Rule::parse(rule).unwrap(), civil(start), false, zone, None);
    series
        .from(UtcMillis::MIN)
        .take(n)
        .map(|start| format!("{} = {}", start.civil.strftime("%Y%m%dT%H%M"), start.at.basic().replace("00Z", "Z")))
        .collect()
}

/// The first `n` local times of a rule in UTC, as `2026-01-05 09:00`, without what is the same as in `start`'s time of
/// day.
fn civil_times(rule: &str, start: &str, n: usize) -> Vec<String> {
    let first = civil(start);
    let series = Series::new(&Rule::parse(rule).unwrap(), first, false, &Zone::utc(), None);
    let text = |at: DateTime| match at.time() == first.time() {
        true => at.strftime("%Y-%m-%d").to_string(),
        false => at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
    };
    series.from(UtcMillis::MIN).take(n).map(|start| text(start.civil)).collect()
}

/// The first `n` days of an all-day series in a zone.
fn days(zone: &Zone, rule: &str, start: &str, n: usize) -> Vec<String> {
    let series = Series::new(&Rule::parse(rule).unwrap(), civil(start), true, zone, None);
    series.from(UtcMillis::MIN).take(n).map(|start| start.civil.strftime("%Y-%m-%d").to_string()).collect()
}

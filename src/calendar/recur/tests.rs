use jiff::civil::DateTime;

use super::*;

/// The first `n` walls of a rule in UTC, as `20260105T090000`.
fn first(rule: &str, start: &str, n: usize) -> Vec<String> {
    first_in(&Zone::utc(), rule, start, n)
}

fn first_in(zone: &Zone, rule: &str, start: &str, n: usize) -> Vec<String> {
    let start: DateTime = start.parse().unwrap();
    let series = Series::new(&Rule::parse(rule).unwrap(), start, false, zone, None);
    series.from(UtcMillis::MIN).take(n).map(|s| s.wall.strftime("%Y%m%dT%H%M%S").to_string()).collect()
}

#[test]
fn plain_rules() {
    assert_eq!(
        first("FREQ=DAILY;INTERVAL=10", "20260105T090000", 3),
        ["20260105T090000", "20260115T090000", "20260125T090000"]
    );
    assert_eq!(first("FREQ=MONTHLY;BYDAY=-1FR", "20260105T090000", 2), ["20260130T090000", "20260227T090000"]);
    assert_eq!(first("FREQ=WEEKLY;COUNT=2", "20260105T090000", 9), ["20260105T090000", "20260112T090000"]);
    assert_eq!(first("FREQ=YEARLY", "20240229T090000", 2), ["20240229T090000", "20280229T090000"]);
    assert_eq!(
        first("FREQ=HOURLY;BYMINUTE=0,30", "20260105T091500", 3),
        ["20260105T093000", "20260105T100000", "20260105T103000"]
    );
}

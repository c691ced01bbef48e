//! Any text as a rule, anchored anywhere: its occurrences ascend, and those from a later instant on are a tail of them.
#![no_main]

use jiff::civil::date;
use libfuzzer_sys::fuzz_target;
use reveille::calendar::rrule::{Rule, Series};
use reveille::calendar::zone::Zones;

fuzz_target!(|input: (u8, u16, u32, String)| {
    let (kind, day, second, text) = input;
    let Ok(rule) = Rule::parse(&text) else { return };
    let Some(zone) = Zones::bundled().find("Europe/Berlin") else { return };
    let start = date(2026, 1, 5).at(0, 0, 0, 0);
    let start = start.saturating_add(jiff::Span::new().days(i64::from(day % 800)).seconds(i64::from(second % 86_400)));
    let all_day = kind % 4 == 0;
    let start = if all_day { start.date().at(0, 0, 0, 0) } else { start };
    let series = Series::new(&rule, start, all_day, &zone, None);
    let first: Vec<_> = series.from(zone.instant(start).at).take(20).collect();
    assert!(first.is_sorted_by(|a, b| a.at < b.at), "{text}: {first:?}");
    if let Some(tenth) = first.get(9) {
        let tail: Vec<_> = series.from(tenth.at).take(5).map(|start| start.at).collect();
        let expected: Vec<_> = first.iter().skip(9).take(tail.len()).map(|start| start.at).collect();
        assert_eq!(tail.get(..expected.len()), Some(&*expected), "{text}");
    }
});

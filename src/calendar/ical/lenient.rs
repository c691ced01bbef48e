//! Values that the grammar refuses although they can mean only one thing: what clients write by mistake. It is asked
//! only once the strict reading in [`super::value`] has failed, so it never changes what that reads.

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime, Time};

use super::value::{DateOrDateTime, Duration, fits, parse_utc_offset};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
/// Longer values are not looked at: no date and no duration is written in so many octets.
pub(super) const MAX_VALUE: usize = 64;
/// No time zone lies further from UTC than this many hours.
const MAX_OFFSET_HOURS: u32 = 18;

/// Reads a duration that breaks the grammar of RFC 5545, 3.3.6: units on the wrong side of the `T` (`-PT1D`, `-P1H`), a
/// sign at a number (`PT-30M`), fractions, years and months of zero, no unit at all (`P`, `PT`, `0`: no time). None: it
/// is not a duration, or may mean several.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let text = squeezed(text)?.to_ascii_uppercase();
    let (mut negative, rest) = signed(&text);
    if rest == "0" {
        return Some(Duration::default());
    }
    let rest = rest.strip_prefix('P')?;
    let (mut days, mut seconds) = (0_i64, 0_i64);
    let mut in_time = false;
    let mut rest = rest;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('T') {
            (in_time, rest) = (true, after);
            continue;
        }
        let (minus, number) = signed(rest);
        negative |= minus;
        let digits = number.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | ','))?;
        let (number, after) = number.split_at_checked(digits)?;
        let (unit, after) = after.split_at_checked(1)?;
        let Decimal { whole, thousandths } = decimal(number)?;
        let of = |unit: i64| whole.checked_mul(unit)?.checked_add(thousandths.checked_mul(unit)? / 1000);
        match unit {
            "W" if thousandths == 0 => days = days.checked_add(whole.checked_mul(7)?)?,
            "D" if thousandths == 0 => days = days.checked_add(whole)?,
            "H" => seconds = seconds.checked_add(of(HOUR)?)?,
            // Before the T it may be a month, unless it is a number that is not used for months.
            "M" if in_time || seconds > 0 || whole % 5 == 0 || whole > 12 => {
                seconds = seconds.checked_add(of(MINUTE)?)?
            }
            "S" => seconds = seconds.checked_add(of(1)?)?,
            "Y" if whole == 0 && thousandths == 0 => {}
            _ => return None,
        }
        rest = after;
    }
    let sign = if negative { -1 } else { 1 };
    let time = SignedDuration::from_secs(sign * seconds);
    fits(days, seconds).then_some(Duration { days: sign * days, time })
}

/// Reads a date or time that breaks the grammar of RFC 5545, 3.3.4 and 3.3.5: without seconds, with fractions of a
/// second, in the extended form of ISO 8601 (`2026-03-10T09:30`), with an offset (`+0100`), which makes it a time in
/// UTC, with the name of UTC behind it, or a date with `Z`. None: it is neither date nor time, or one that does not
/// exist.
pub(crate) fn date_or_date_time(text: &str) -> Option<DateOrDateTime> {
    let text = trimmed(text)?.to_ascii_uppercase();
    let (day, rest) = match text.as_bytes().get(4) {
        Some(b'-' | b'/' | b'.') => {
            let mark = char::from(*text.as_bytes().get(4)?);
            let mut parts = text.get(..10)?.split(mark);
            let day = [parts.next()?, parts.next()?, parts.next()?].concat();
            (day, text.get(10..)?)
        }
        _ => (text.get(..8)?.to_owned(), text.get(8..)?),
    };
    let date = date(&day)?;
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('T').unwrap_or(rest).trim();
    let (clock, zone) = match rest.find(|c: char| !c.is_ascii_digit() && !matches!(c, ':' | '.' | ',')) {
        Some(end) => rest.split_at_checked(end)?,
        None => (rest, ""),
    };
    let offset = offset(zone.trim())?;
    if clock.trim_matches(':').is_empty() {
        // A date has no zone, so only the name of UTC can stand behind it by mistake.
        return matches!(offset, None | Some(0)).then_some(DateOrDateTime::Date(date));
    }
    let civil = DateTime::from_parts(date, time(clock)?);
    let Some(seconds) = offset else { return Some(DateOrDateTime::Time { civil, utc: false }) };
    let civil = civil.checked_sub(SignedDuration::from_secs(seconds)).ok()?;
    Some(DateOrDateTime::Time { civil, utc: true })
}

/// The date that a time begins with which cannot be read otherwise.
pub(crate) fn date_of(text: &str) -> Option<DateOrDateTime> {
    let (day, rest) = trimmed(text)?.split_at_checked(8)?;
    rest.starts_with(['T', 't']).then(|| date(day).map(DateOrDateTime::Date))?
}

/// Reads an offset from UTC that breaks the grammar of RFC 5545, 3.3.14: with a colon (`+01:00`), without the minutes
/// (`+1`), with three digits (`+530`), with `UTC` or `GMT` in front. Seconds east of UTC; none: it is not an offset.
pub(crate) fn utc_offset(text: &str) -> Option<i32> {
    let text = squeezed(text)?.to_ascii_uppercase();
    let text = text.strip_prefix("UTC").or_else(|| text.strip_prefix("GMT")).unwrap_or(&text);
    let (minus, digits) = signed(text);
    if digits.is_empty() {
        return None;
    }
    let digits: String = match digits.split_once(':') {
        Some((hours, rest)) => format!("{hours:0>2}{}", rest.split(':').collect::<String>()),
        None if digits.len() == 3 => format!("0{digits}"),
        None if digits.len() <= 2 => format!("{digits:0>2}00"),
        None => digits.to_owned(),
    };
    parse_utc_offset(&format!("{}{digits}", if minus { '-' } else { '+' })).ok()
}

/// Without white space and without what editors and templates leave around a value; none if nothing is left, or too
/// much.
pub(super) fn trimmed(text: &str) -> Option<&str> {
    let text = text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ';' | ',' | '\\'));
    (!text.is_empty() && text.len() <= MAX_VALUE).then_some(text)
}

/// The same with no white space within, and with a hyphen for each of the other signs that look like one.
fn squeezed(text: &str) -> Option<String> {
    let text = trimmed(text)?;
    let hyphen = |c| if matches!(c, '\u{2212}' | '\u{2013}' | '\u{2010}' | '\u{2011}') { '-' } else { c };
    Some(text.chars().filter(|c| !c.is_whitespace()).map(hyphen).collect())
}

/// Whether a minus is in front, and what follows the sign.
fn signed(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// A number with a fraction.
struct Decimal {
    whole: i64,
    /// The rest of a longer fraction is cut off.
    thousandths: i64,
}

fn decimal(text: &str) -> Option<Decimal> {
    let (whole, fraction) = text.split_once(['.', ',']).unwrap_or((text, ""));
    if whole.is_empty() || fraction.contains(['.', ',']) {
        return None;
    }
    let thousandths: String = fraction.chars().chain("000".chars()).take(3).collect();
    Some(Decimal { whole: whole.parse().ok()?, thousandths: thousandths.parse().ok()? })
}

fn date(day: &str) -> Option<Date> {
    let number: u32 = (day.len() == 8 && day.bytes().all(|b| b.is_ascii_digit())).then(|| day.parse().ok())??;
    let part = |n: u32| i8::try_from(n % 100).ok();
    Date::new(i16::try_from(number / 10_000).ok()?, part(number / 100)?, part(number)?).ok()
}

/// `09`, `0930`, `09:30`, `09:30:15`, each with a fraction of its seconds or without.
fn time(clock: &str) -> Option<Time> {
    let clock = clock.split(['.', ',']).next()?;
    let clock: String = clock.split(':').collect();
    if !matches!(clock.len(), 2 | 4 | 6) || !clock.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let part = |at: usize| clock.get(at..at + 2).map_or(Some(0), |text| text.parse::<i8>().ok());
    let second = part(4)?;
    Time::new(part(0)?, part(2)?, if second == 60 { 59 } else { second }, 0).ok()
}

/// What stands behind a time: nothing (none), or seconds east of UTC. Outer none: something else.
fn offset(zone: &str) -> Option<Option<i64>> {
    if zone.is_empty() {
        return Some(None);
    }
    if matches!(zone, "Z" | "UTC" | "GMT" | "ZULU") {
        return Some(Some(0));
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits: String = zone.get(1..)?.split(':').collect();
    if !matches!(digits.len(), 2 | 4) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let hours: u32 = digits.get(..2)?.parse().ok()?;
    let minutes: u32 = digits.get(2..).filter(|text| !text.is_empty()).map_or(Some(0), |text| text.parse().ok())?;
    let fits = hours <= MAX_OFFSET_HOURS && minutes < 60;
    fits.then(|| Some(sign * (i64::from(hours) * HOUR + i64::from(minutes) * MINUTE)))
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::super::value::{DateOrDateTime, Duration};
    use super::{date_or_date_time, duration, utc_offset};

    #[test]
    fn durations_that_can_mean_only_one_thing() {
        let zero = ["P", "-P", "PT", "-PT", "+P", "P0Y0M0DT0H0M0S"];
        for text in zero {
            assert_eq!(duration(text), Some(Duration::default()), "{text}");
        }
        let cases = [
            ("-PT1D", -1, 0),
            ("-PT1W", -7, 0),
            ("-P1H", 0, -3600),
            ("-P1H30M", 0, -5400),
            ("PT-2H", 0, -7200),
            ("PT-30M", 0, -1800),
            ("P-1D", -1, 0),
            ("-PT-15M", 0, -900),
            ("-P0Y0M0DT0H15M0S", 0, -900),
            ("-PT1.5H", 0, -5400),
            ("PT0,25H", 0, 900),
            ("-PT900.000S", 0, -900),
            ("\u{2212}PT15M", 0, -900),
            (" - PT 15 M; ", 0, -900),
            ("-0", 0, 0),
            ("\"-PT15M\"", 0, -900),
            ("P30S", 0, 30),
            ("P90M", 0, 5400),
            ("-P15M", 0, -900),
        ];
        for (text, days, seconds) in cases {
            let time = SignedDuration::from_secs(seconds);
            assert_eq!(duration(text), Some(Duration { days, time }), "{text}");
        }
    }

    #[test]
    fn durations_that_can_mean_two_things_or_none() {
        for text in [
            "",
            "-",
            "P1Y",
            "P1M",
            "-P3M",
            "PT5",
            "P1DT1",
            "15 minutes",
            "-15M",
            "-T15M",
            "-1D",
            "900",
            "3M",
            "1H30",
            "20260310T073500",
            "PT1.5.5H",
            "P1.5D",
            "PX",
            "TT",
            "P1TY",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
        assert_eq!(duration("PT999999999999999999999999S"), None);
        assert_eq!(duration(&format!("PT{}S", "1".repeat(70))), None);
    }

    #[test]
    fn dates_and_times_that_can_mean_only_one_thing() {
        let half_past = date(2026, 3, 10).at(9, 30, 0, 0);
        let local = DateOrDateTime::Time { civil: half_past, utc: false };
        let utc = DateOrDateTime::Time { civil: half_past, utc: true };
        for text in
            ["20260310T0930", "2026-03-10T09:30", "2026-03-10 09:30:00", "20260310T093000.000", "20260310 093000"]
        {
            assert_eq!(date_or_date_time(text), Some(local), "{text}");
        }
        for text in [
            "20260310T0930Z",
            "2026-03-10T09:30:00.000Z",
            "20260310T103000+0100",
            "2026-03-10T10:30:00+01:00",
            "20260310T043000-0500",
            "20260310T103000+01",
            "20260310T093000 UTC",
        ] {
            assert_eq!(date_or_date_time(text), Some(utc), "{text}");
        }
        for text in ["2026-03-10", "2026-03-10T::", "2026/03/10", "20260310Z", "20260310;", "20260310T"] {
            assert_eq!(date_or_date_time(text), Some(DateOrDateTime::Date(date(2026, 3, 10))), "{text}");
        }
        assert_eq!(
            date_or_date_time("20260310T09"),
            Some(DateOrDateTime::Time { civil: date(2026, 3, 10).at(9, 0, 0, 0), utc: false })
        );
    }

    #[test]
    fn offsets_that_can_mean_only_one_thing() {
        let cases = [
            ("+01:00", 3_600),
            ("+1", 3_600),
            ("-530", -19_800),
            ("01:00", 3_600),
            ("UTC-05:00", -18_000),
            ("+1:30", 5_400),
        ];
        for (text, seconds) in cases {
            assert_eq!(utc_offset(text), Some(seconds), "{text}");
        }
        for text in ["", "+", "CET", "+25:00", "+123456789", "+1:2:3:4", "+0a00"] {
            assert_eq!(utc_offset(text), None, "{text}");
        }
    }

    #[test]
    fn dates_and_times_that_are_none() {
        for text in [
            "",
            "2026",
            "2026031",
            "20260230",
            "2026-3-1",
            "20260310T9",
            "20260310T0960",
            "20260310T2500",
            "20260310T093000 CET",
            "20260310T093000+99",
            "20260310+0100",
            "10.03.2026",
            "now",
            "２０２６０３１０",
        ] {
            assert_eq!(date_or_date_time(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_written_breaks_it(text in "[-+P0-9TWDHMSYZ:., ]{0,24}") {
            let _ = (duration(&text), date_or_date_time(&text));
        }

        #[test]
        fn what_the_grammar_reads_is_read_alike(text in "[-+]?P([0-9]{1,3}W|[0-9]{1,3}D)?(T[0-9]{1,3}H([0-9]{1,3}M)?)?") {
            if let Ok(strict) = Duration::parse(&text) {
                prop_assert_eq!(duration(&text), Some(strict));
            }
        }

        #[test]
        fn what_the_grammar_reads_as_a_time_is_read_alike(text in "20[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9])(T([01][0-9]|2[0-3])([0-5][0-9]){2}Z?)?") {
            if let Ok(strict) = DateOrDateTime::parse(&text) {
                prop_assert_eq!(date_or_date_time(&text), Some(strict));
            }
        }
    }
}

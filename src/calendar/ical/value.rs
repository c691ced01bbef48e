//! Values of properties: durations, dates, times, periods, text (RFC 5545, 3.3). What they mean in a zone is not known
//! here.

use std::borrow::Cow;
use std::fmt;

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime, Time};

use crate::text::{shortened, visible};

/// No duration is longer than this many days, about 10,000 years.
const MAX_DAYS: i64 = 3_660_000;
const SECONDS_A_DAY: i64 = 86_400;
/// Of a value that cannot be read, so many characters are repeated to the reader.
const MAX_QUOTED: usize = 60;

/// A value that cannot be read, and what was expected, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(pub String);

impl ValueError {
    pub(crate) fn expected(what: &str, text: &str) -> ValueError {
        ValueError(format!("{} is not {what}", quoted(text)))
    }
}

/// A piece of somebody else's text for a sentence: in quotes, cut, control characters made visible.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", visible(&shortened(text, MAX_QUOTED)))
}

/// DURATION (RFC 5545, 3.3.6): its nominal part and its exact part, which differ when the clocks change between the
/// ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Duration {
    /// Weeks and days: the same wall-clock time so many days away.
    pub days: i64,
    /// Hours, minutes and seconds: elapsed time, applied after the days.
    pub time: SignedDuration,
}

impl Duration {
    /// So many nominal days.
    pub const fn days(days: i64) -> Duration {
        Duration { days, time: SignedDuration::ZERO }
    }

    /// Elapsed time alone.
    pub const fn exact(time: SignedDuration) -> Duration {
        Duration { days: 0, time }
    }

    /// Reads `-P1DT2H` and the like, in any letter case.
    ///
    /// # Errors
    /// If `text` is not a duration, or is one longer than ten thousand years.
    pub fn parse(text: &str) -> Result<Duration, ValueError> {
        parse_duration(text.trim().as_bytes()).ok_or_else(|| ValueError::expected("a duration such as -PT15M", text))
    }

    /// Backwards in time.
    pub fn is_negative(self) -> bool {
        self.days.saturating_mul(SECONDS_A_DAY).saturating_add(self.time.as_secs()) < 0
    }

    /// No time at all.
    pub fn is_zero(self) -> bool {
        self == Duration::default()
    }

    /// This duration `count` times.
    pub fn times(self, count: u32) -> Duration {
        let count = i64::from(count);
        let seconds = self.time.as_secs().saturating_mul(count);
        Duration { days: self.days.saturating_mul(count), time: SignedDuration::from_secs(seconds) }
    }
}

fn parse_duration(text: &[u8]) -> Option<Duration> {
    let (sign, rest) = match text {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        rest => (1, rest),
    };
    let [b'P' | b'p', rest @ ..] = rest else { return None };
    let (mut days, mut seconds) = (0_i64, 0_i64);
    let (mut number, mut in_time, mut parts) = (None::<i64>, false, 0);
    for octet in rest {
        let unit = octet.to_ascii_uppercase();
        match (unit, in_time) {
            (b'0'..=b'9', _) => {
                let digit = i64::from(unit - b'0');
                number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(digit)?);
                continue;
            }
            (b'T', false) if number.is_none() => {
                in_time = true;
                continue;
            }
            (b'W', false) => days = days.checked_add(number?.checked_mul(7)?)?,
            (b'D', false) => days = days.checked_add(number?)?,
            (b'H', true) => seconds = seconds.checked_add(number?.checked_mul(3600)?)?,
            (b'M', true) => seconds = seconds.checked_add(number?.checked_mul(60)?)?,
            (b'S', true) => seconds = seconds.checked_add(number?)?,
            _ => return None,
        }
        number = None;
        parts += 1;
    }
    let is_whole = parts > 0 && number.is_none();
    let time = SignedDuration::from_secs(sign * seconds);
    (is_whole && fits(days, seconds)).then_some(Duration { days: sign * days, time })
}

/// Whether a duration of so many days and seconds, both positive, is one that is computed with.
pub(super) fn fits(days: i64, seconds: i64) -> bool {
    days <= MAX_DAYS && seconds <= MAX_DAYS * SECONDS_A_DAY
}

impl fmt::Display for Duration {
    /// As RFC 5545 writes it: `-P1DT2H`, `PT0S` for no time.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.days < 0 || self.time.is_negative() { "-" } else { "" };
        let (days, seconds) = (self.days.unsigned_abs(), self.time.as_secs().unsigned_abs());
        write!(f, "{sign}P")?;
        match days {
            0 => {}
            days if days % 7 == 0 && seconds == 0 => write!(f, "{}W", days / 7)?,
            days => write!(f, "{days}D")?,
        }
        if days == 0 && seconds == 0 {
            return f.write_str("T0S");
        }
        if seconds > 0 {
            f.write_str("T")?;
        }
        for (count, unit) in [(seconds / 3600, 'H'), (seconds / 60 % 60, 'M'), (seconds % 60, 'S')] {
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

/// DATE or DATE-TIME as written (RFC 5545, 3.3.4 and 3.3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateOrDateTime {
    /// A date (RFC 5545, 3.3.4).
    Date(Date),
    /// A date with a time (RFC 5545, 3.3.5).
    Time {
        /// As the wall clock shows it.
        civil: DateTime,
        /// With `Z`.
        utc: bool,
    },
}

impl DateOrDateTime {
    /// Reads `20260310`, `20260310T093000` or `20260310T093000Z`. A second of 60 is read as 59 (3.3.12), the hour 24 as
    /// the next midnight.
    ///
    /// # Errors
    /// If `text` is neither a date nor a time, or is one that does not exist.
    pub fn parse(text: &str) -> Result<DateOrDateTime, ValueError> {
        let error = || ValueError::expected("a date or time such as 20260310T093000Z", text);
        parse_date_or_date_time(text.trim().as_bytes()).ok_or_else(error)
    }
}

impl fmt::Display for DateOrDateTime {
    /// As RFC 5545 writes it: `20260310`, `20260310T093000`, `20260310T093000Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DateOrDateTime::Date(date) => write!(f, "{}", date.strftime("%Y%m%d")),
            DateOrDateTime::Time { civil, utc } => {
                write!(f, "{}{}", civil.strftime("%Y%m%dT%H%M%S"), if *utc { "Z" } else { "" })
            }
        }
    }
}

fn parse_date_or_date_time(text: &[u8]) -> Option<DateOrDateTime> {
    let (day, rest) = text.split_at_checked(8)?;
    let year = i16::try_from(digits(day.get(..4)?)?).ok()?;
    let date = Date::new(year, small(day.get(4..6)?)?, small(day.get(6..)?)?).ok()?;
    let (time, utc) = match rest {
        [] => return Some(DateOrDateTime::Date(date)),
        [b'T' | b't', time @ .., b'Z' | b'z'] => (time, true),
        [b'T' | b't', time @ ..] => (time, false),
        _ => return None,
    };
    if time.len() != 6 {
        return None;
    }
    let (hour, minute) = (small(time.get(..2)?)?, small(time.get(2..4)?)?);
    let second = small(time.get(4..)?)?;
    if (hour, minute, second) == (24, 0, 0) {
        return Some(DateOrDateTime::Time { civil: date.tomorrow().ok()?.at(0, 0, 0, 0), utc });
    }
    let second = if second == 60 { 59 } else { second };
    let time = Time::new(hour, minute, second, 0).ok()?;
    Some(DateOrDateTime::Time { civil: DateTime::from_parts(date, time), utc })
}

fn digits(text: &[u8]) -> Option<u32> {
    let mut number = 0_u32;
    for octet in text {
        let digit = octet.is_ascii_digit().then(|| u32::from(octet - b'0'))?;
        number = number.checked_mul(10)?.checked_add(digit)?;
    }
    Some(number)
}

fn small(text: &[u8]) -> Option<i8> {
    i8::try_from(digits(text)?).ok()
}

/// The two parts of a PERIOD (RFC 5545, 3.3.9): its start, and its end or its duration.
///
/// # Errors
/// If there are not two.
pub(super) fn split_period(text: &str) -> Result<(&str, &str), ValueError> {
    text.split_once('/').ok_or_else(|| ValueError::expected("a period such as start/PT1H", text))
}

/// UTC-OFFSET in seconds (RFC 5545, 3.3.14): `+0100`, `-033045`.
///
/// # Errors
/// If `text` is not an offset.
pub fn parse_utc_offset(text: &str) -> Result<i32, ValueError> {
    let read = || {
        let text = text.trim().as_bytes();
        let (sign, rest) = match text {
            [b'-', rest @ ..] => (-1, rest),
            [b'+', rest @ ..] => (1, rest),
            rest => (1, rest),
        };
        if rest.len() != 4 && rest.len() != 6 {
            return None;
        }
        let (hours, minutes) = (digits(rest.get(..2)?)?, digits(rest.get(2..4)?)?);
        let seconds = digits(rest.get(4..)?)?;
        let fits = hours < 24 && minutes < 60 && seconds < 60;
        let total = i32::try_from(hours * 3600 + minutes * 60 + seconds).ok()?;
        fits.then_some(sign * total)
    };
    read().ok_or_else(|| ValueError::expected("an offset such as +0100", text))
}

/// TEXT without its escapes (RFC 5545, 3.3.11). A backslash before anything that needs none stays.
pub fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match rest.next() {
            Some('n' | 'N') => plain.push('\n'),
            Some(escaped @ ('\\' | ',' | ';' | ':' | '"')) => plain.push(escaped),
            Some(other) => plain.extend(['\\', other]),
            None => plain.push('\\'),
        }
    }
    Cow::Owned(plain)
}

/// An address without what an unquoted colon in the parameters (`CN=Team: A:mailto:…`) puts before it.
pub(super) fn address(value: &str) -> &str {
    let value = value.trim();
    let octets = value.as_bytes();
    let start = octets.windows(8).rposition(|part| part.eq_ignore_ascii_case(b":mailto:"));
    start.and_then(|start| value.get(start + 1..)).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::{DateOrDateTime, Duration, parse_utc_offset, quoted, split_period, unescape};

    #[test]
    fn durations_keep_days_apart_from_seconds() {
        let read = |text| Duration::parse(text).map(|d| (d.days, d.time.as_secs())).ok();
        assert_eq!(read("-PT15M"), Some((0, -900)));
        assert_eq!(read("P15DT5H0M20S"), Some((15, 18_020)));
        assert_eq!(read("+p1w"), Some((7, 0)));
        assert_eq!(read("-P1DT24H"), Some((-1, -86_400)));
        assert_eq!(read("-P0DT0H15M0S"), Some((0, -900)));
        assert_eq!(read("P0D"), Some((0, 0)));
        let bad = ["", "P", "PT", "-15M", "15 minutes before", "P1Y", "P1M", "PT1D", "P1H", "PT5", "PT1.5H", "PTT1H"];
        for text in bad.iter().chain(&["P99999999W", "-PT999999999999999999999999S", "P3660001D"]) {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn durations_and_times_are_written_as_they_are_read() {
        for text in ["-PT15M", "P15DT5H20S", "P1W", "-P1DT24H", "PT0S", "P8D", "-PT1H30M"] {
            assert_eq!(Duration::parse(text).unwrap().to_string(), text);
        }
        for text in ["20260310", "20260310T093000", "20260310T093000Z"] {
            assert_eq!(DateOrDateTime::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn dates_and_times_as_written() {
        let nine = date(2026, 3, 10).at(9, 30, 0, 0);
        assert_eq!(DateOrDateTime::parse("20260310T093000"), Ok(DateOrDateTime::Time { civil: nine, utc: false }));
        assert_eq!(DateOrDateTime::parse("20260310t093000z"), Ok(DateOrDateTime::Time { civil: nine, utc: true }));
        assert_eq!(DateOrDateTime::parse(" 20260310 "), Ok(DateOrDateTime::Date(date(2026, 3, 10))));
        let late = date(2026, 12, 31).at(23, 59, 59, 0);
        assert_eq!(DateOrDateTime::parse("20261231T235960Z"), Ok(DateOrDateTime::Time { civil: late, utc: true }));
        let midnight = date(2027, 1, 1).at(0, 0, 0, 0);
        assert_eq!(DateOrDateTime::parse("20261231T240000"), Ok(DateOrDateTime::Time { civil: midnight, utc: false }));
        let bad = ["", "2026031", "20260230", "20260310T0960", "20260310T096000Z", "-0260310T090000Z", "2026 0312"];
        for text in bad.iter().chain(&["２０２６０３１２T090000Z", "20260310T09300", "20260310T093000+01", "20260310Z"])
        {
            assert!(DateOrDateTime::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn periods_and_offsets() {
        assert_eq!(split_period("20260310T093000Z/PT1H").unwrap(), ("20260310T093000Z", "PT1H"));
        assert!(split_period("20260310T093000Z").is_err());
        assert_eq!(parse_utc_offset("-033045"), Ok(-12_645));
        assert_eq!(parse_utc_offset("+0100"), Ok(3600));
        assert!(parse_utc_offset("+2500").is_err() && parse_utc_offset("1").is_err());
    }

    #[test]
    fn text_loses_its_escapes_once() {
        assert_eq!(unescape(r"a\, b\; c\\n\nd\N"), "a, b; c\\n\nd\n");
        assert_eq!(unescape(r"C:\\new\\folder"), r"C:\new\folder");
        assert_eq!(unescape(r"100\% \"), r"100\% \");
    }

    #[test]
    fn foreign_text_in_a_sentence_is_short_and_harmless() {
        assert_eq!(quoted("a\u{1b}[2J"), r"'a\u{1b}[2J'");
        assert!(quoted(&"ü".repeat(1000)).chars().count() < 70);
    }
}

//! The instant that every stage shares. It knows nothing of zones, calendars or the present moment.

use std::fmt;

use jiff::{Timestamp, Unit, tz::TimeZone};

/// An instant: milliseconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtcMillis(pub i64);

impl UtcMillis {
    /// The earliest instant that is ever computed with: 0001-01-01T00:00:00Z.
    pub const MIN: UtcMillis = UtcMillis(-62_135_596_800_000);
    /// The latest instant that is ever computed with: 9999-12-30T00:00:00Z.
    pub const MAX: UtcMillis = UtcMillis(253_402_128_000_000);

    /// This instant moved by `milliseconds`, kept between [`UtcMillis::MIN`] and [`UtcMillis::MAX`].
    pub fn plus(self, milliseconds: i64) -> UtcMillis {
        UtcMillis(self.0.saturating_add(milliseconds)).clamped()
    }

    fn clamped(self) -> UtcMillis {
        self.clamp(Self::MIN, Self::MAX)
    }

    /// This instant for `jiff`; instants outside the range of [`UtcMillis`] are moved to its nearest end.
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_millisecond(self.clamped().0).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// The iCalendar form in UTC, whole seconds: `20151119T063000Z` (RFC 5545, 3.3.5 form 2).
    pub fn basic(self) -> String {
        self.timestamp().strftime("%Y%m%dT%H%M%SZ").to_string()
    }

    /// Reads an RFC 3339 instant (`2026-03-10T12:00:00Z`, fractions and numeric offsets allowed).
    ///
    /// # Errors
    /// A sentence that says what is wrong, when `text` is no such instant or lies outside the years 1 to 9999.
    pub fn parse(text: &str) -> Result<UtcMillis, String> {
        let instant: Timestamp =
            text.trim().parse().map_err(|_| format!("'{text}' is no RFC 3339 instant such as 2026-03-10T12:00:00Z"))?;
        let millis = UtcMillis(instant.as_millisecond());
        if millis != millis.clamped() {
            return Err(format!("'{text}' lies outside the years 1 to 9999"));
        }
        Ok(millis)
    }
}

/// RFC 3339 in UTC with milliseconds: `2026-03-10T12:00:00.000Z`.
impl fmt::Display for UtcMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounded = self.timestamp().round(Unit::Millisecond).unwrap_or(self.timestamp());
        write!(f, "{}Z", rounded.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S.%3f"))
    }
}

#[cfg(test)]
mod tests {
    use super::UtcMillis;

    #[test]
    fn the_two_written_forms() {
        let at = UtcMillis::parse("2015-11-19T17:30:00.25+11:00").unwrap();
        assert_eq!(at.basic(), "20151119T063000Z");
        assert_eq!(at.to_string(), "2015-11-19T06:30:00.250Z");
    }

    #[test]
    fn nonsense_is_refused_and_sums_stay_in_range() {
        assert!(UtcMillis::parse("tomorrow").is_err());
        assert_eq!(UtcMillis(0).plus(i64::MAX), UtcMillis::MAX);
        assert_eq!(UtcMillis(0).plus(i64::MIN), UtcMillis::MIN);
    }
}

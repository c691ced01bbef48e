//! The instant that every stage shares, and its arithmetic with elapsed time, which is [`SignedDuration`] everywhere.
//! It knows nothing of zones, calendars or the present moment.

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp, Unit, tz::TimeZone};

const MILLIS_A_SECOND: i64 = 1_000;
const MILLIS_AN_HOUR: i64 = 3_600_000;

/// An instant: milliseconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtcMillis(pub i64);

impl UtcMillis {
    /// The earliest instant that is ever computed with: 0001-01-01T00:00:00Z.
    pub const MIN: UtcMillis = UtcMillis(-62_135_596_800_000);
    /// The latest instant that is ever computed with: 9999-12-30T00:00:00Z.
    pub const MAX: UtcMillis = UtcMillis(253_402_128_000_000);

    /// This instant moved by `duration`, kept between [`UtcMillis::MIN`] and [`UtcMillis::MAX`].
    pub fn saturating_add(self, duration: SignedDuration) -> UtcMillis {
        UtcMillis(self.0.saturating_add(whole_millis(duration))).clamped()
    }

    /// This instant moved back by `duration`, kept between [`UtcMillis::MIN`] and [`UtcMillis::MAX`].
    pub fn saturating_sub(self, duration: SignedDuration) -> UtcMillis {
        UtcMillis(self.0.saturating_sub(whole_millis(duration))).clamped()
    }

    /// The instant a millisecond later.
    pub fn just_after(self) -> UtcMillis {
        self.saturating_add(SignedDuration::from_millis(1))
    }

    /// How much time has elapsed from `earlier` to this instant; negative if `earlier` is the later of the two.
    pub const fn duration_since(self, earlier: UtcMillis) -> SignedDuration {
        SignedDuration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Whether this instant is `since`, or less than `duration` after it.
    pub fn is_within(self, duration: SignedDuration, since: UtcMillis) -> bool {
        (SignedDuration::ZERO..duration).contains(&self.duration_since(since))
    }

    /// The instant so many seconds after 1970-01-01T00:00:00Z; it may lie outside the range of [`UtcMillis`].
    pub const fn from_seconds(seconds: i64) -> UtcMillis {
        UtcMillis(seconds.saturating_mul(MILLIS_A_SECOND))
    }

    /// Whole seconds since 1970-01-01T00:00:00Z, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(MILLIS_A_SECOND)
    }

    /// The beginning of the second that this instant is in.
    pub fn start_of_second(self) -> UtcMillis {
        UtcMillis::from_seconds(self.seconds())
    }

    /// The beginning of the UTC clock hour that this instant is in.
    pub fn start_of_hour(self) -> UtcMillis {
        UtcMillis(self.0.saturating_sub(self.0.rem_euclid(MILLIS_AN_HOUR)))
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
    /// A sentence that says what is wrong, if `text` is not such an instant or is outside the years 1 to 9999.
    pub fn parse(text: &str) -> Result<UtcMillis, String> {
        let instant: Timestamp = text
            .trim()
            .parse()
            .map_err(|_| format!("'{text}' is not an RFC 3339 instant such as 2026-03-10T12:00:00Z"))?;
        let millis = UtcMillis(instant.as_millisecond());
        if millis != millis.clamped() {
            return Err(format!("'{text}' is outside the years 1 to 9999"));
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

/// Whole milliseconds of `duration`, rounded towards zero; the nearest that an `i64` can hold. For what is stored or
/// printed as a number.
pub fn whole_millis(duration: SignedDuration) -> i64 {
    let nearest = if duration.is_negative() { i64::MIN } else { i64::MAX };
    i64::try_from(duration.as_millis()).unwrap_or(nearest)
}

/// `duration` as elapsed time; the longest that there is, if it is longer.
pub fn elapsed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// `duration` for a timer, which does not wait if it is negative.
pub fn non_negative(duration: SignedDuration) -> Duration {
    duration.max(SignedDuration::ZERO).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::SignedDuration;

    use super::{UtcMillis, elapsed, non_negative, whole_millis};

    #[test]
    fn the_two_written_forms() {
        let at = UtcMillis::parse("2015-11-19T17:30:00.25+11:00").unwrap();
        assert_eq!(at.basic(), "20151119T063000Z");
        assert_eq!(at.to_string(), "2015-11-19T06:30:00.250Z");
    }

    #[test]
    fn nonsense_is_refused_and_sums_stay_in_range() {
        assert!(UtcMillis::parse("tomorrow").is_err());
        for longest in [SignedDuration::MAX, SignedDuration::MIN] {
            let ends = [UtcMillis::MIN, UtcMillis::MAX];
            assert!(ends.contains(&UtcMillis(0).saturating_add(longest)));
            assert_ne!(UtcMillis(0).saturating_add(longest), UtcMillis(0).saturating_sub(longest));
        }
        assert_eq!(UtcMillis(1_500).saturating_sub(SignedDuration::from_secs(2)), UtcMillis(-500));
    }

    #[test]
    fn elapsed_time_between_instants_and_in_numbers() {
        assert_eq!(UtcMillis(-500).duration_since(UtcMillis(1_500)), SignedDuration::from_secs(-2));
        let within =
            [-1, 0, 1_999, 2_000].map(|at| UtcMillis(at).is_within(SignedDuration::from_secs(2), UtcMillis(0)));
        assert_eq!(within, [false, true, true, false]);
        assert_eq!(whole_millis(SignedDuration::from_micros(-1_999)), -1);
        assert_eq!([SignedDuration::MIN, SignedDuration::MAX].map(whole_millis), [i64::MIN, i64::MAX]);
        assert_eq!(elapsed(Duration::from_millis(7)), SignedDuration::from_millis(7));
        assert_eq!(elapsed(Duration::MAX), SignedDuration::MAX);
        assert_eq!([-7, 0, 7].map(|n| non_negative(SignedDuration::from_millis(n)).as_millis()), [0, 0, 7]);
    }

    #[test]
    fn seconds_and_hours_are_rounded_down() {
        assert_eq!((UtcMillis(-1).seconds(), UtcMillis::from_seconds(-1)), (-1, UtcMillis(-1_000)));
        assert_eq!(UtcMillis(-1).start_of_hour(), UtcMillis(-3_600_000));
        assert_eq!(UtcMillis(3_600_000).start_of_hour(), UtcMillis(3_600_000));
    }
}

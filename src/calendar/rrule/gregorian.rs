//! The Gregorian calendar as numbers: days since 1970-01-01 and seconds since its midnight, on no particular clock.
//! It knows nothing of rules and zones.

use jiff::civil::DateTime;

/// Seconds in a day.
pub(super) const DAY: i64 = 86_400;
/// 0001-01-01.
pub(super) const FIRST_DAY: i64 = -719_162;
/// 9999-12-31.
pub(super) const LAST_DAY: i64 = 2_932_896;
/// After so many days the calendar repeats: 400 years, a whole number of weeks.
pub(super) const CYCLE_DAYS: i64 = 146_097;

/// A day with everything a rule asks of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Day {
    pub number: i64,
    pub year: i64,
    pub month: u32,
    pub month_day: u32,
    pub month_length: u32,
    pub year_day: u32,
    pub year_length: u32,
    /// 0 is Monday.
    pub weekday: u32,
}

impl Day {
    /// The day with that number.
    pub fn of(number: i64) -> Day {
        Day::at(number, date(number))
    }

    /// The day `number`, which is `date`.
    fn at(number: i64, date: DateParts) -> Day {
        let DateParts { year, month, month_day } = date;
        Day {
            number,
            year,
            month,
            month_day,
            month_length: month_length(year, month),
            year_day: days_before(year, month) + month_day,
            year_length: if is_leap(year) { 366 } else { 365 },
            weekday: weekday(number),
        }
    }

    /// All days of a month (1 to 12), in order.
    pub fn all_of(year: i64, month: u32) -> impl Iterator<Item = Day> {
        let first = Day::at(day_number(year, month, 1), DateParts { year, month, month_day: 1 });
        (0..first.month_length).map(move |n| Day {
            number: first.number + i64::from(n),
            month_day: first.month_day + n,
            year_day: first.year_day + n,
            weekday: (first.weekday + n) % 7,
            ..first
        })
    }
}

/// The number of a date of the proleptic Gregorian calendar. Counted in years that begin in March, so that the leap day
/// is the last of its year.
pub(super) fn day_number(year: i64, month: u32, month_day: u32) -> i64 {
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let month_from_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(month_day) - 1;
    era * CYCLE_DAYS + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// A date in its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DateParts {
    pub year: i64,
    /// From 1.
    pub month: u32,
    /// From 1.
    pub month_day: u32,
}

/// The date of a day number.
pub(super) fn date(number: i64) -> DateParts {
    let shifted = number + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(CYCLE_DAYS), shifted.rem_euclid(CYCLE_DAYS));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let month_day = small(day_of_year - (153 * month_from_march + 2) / 5 + 1);
    let month = small(if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 });
    DateParts { year: era * 400 + year_of_era + i64::from(month <= 2), month, month_day }
}

/// The weekday of a day number; 0 is Monday.
pub(super) fn weekday(number: i64) -> u32 {
    small((number + 3).rem_euclid(7))
}

/// The first day of the week that holds the day `number`, in weeks that begin on the weekday `week_start`.
pub(super) fn week_of(number: i64, week_start: u32) -> i64 {
    number - i64::from((weekday(number) + 7 - week_start) % 7)
}

/// The first day of week 1 of a year: of the first week with at least four days in it (RFC 5545, 3.3.10).
pub(super) fn first_week(year: i64, week_start: u32) -> i64 {
    week_of(day_number(year, 1, 4), week_start)
}

/// How many weeks a year has: 52 or 53.
pub(super) fn weeks_in(year: i64, week_start: u32) -> u32 {
    small((first_week(year + 1, week_start) - first_week(year, week_start)) / 7)
}

pub(super) fn is_leap(year: i64) -> bool {
    // A century is one of 400 years when it is one of 16.
    year & 3 == 0 && (year % 25 != 0 || year & 15 == 0)
}

pub(super) fn month_length(year: i64, month: u32) -> u32 {
    match month {
        2 => 28 + u32::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// How many days of the year lie before a month.
fn days_before(year: i64, month: u32) -> u32 {
    const BEFORE: [u32; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    BEFORE.get(month as usize - 1).copied().unwrap_or(0) + u32::from(month > 2 && is_leap(year))
}

/// The seconds of a wall-clock time since 1970-01-01T00:00:00 by the same clock.
pub(super) fn seconds(civil: DateTime) -> i64 {
    let day = day_number(i64::from(civil.year()), small(civil.month().into()), small(civil.day().into()));
    day * DAY + i64::from(civil.hour()) * 3600 + i64::from(civil.minute()) * 60 + i64::from(civil.second())
}

/// The wall-clock time of so many seconds, moved into the years 1 to 9999 when it lies outside.
pub(super) fn civil(seconds: i64) -> DateTime {
    let seconds = seconds.clamp(FIRST_DAY * DAY, LAST_DAY * DAY + DAY - 1);
    let DateParts { year, month, month_day } = date(seconds.div_euclid(DAY));
    let time = seconds.rem_euclid(DAY);
    let part = |n: i64| i8::try_from(n).unwrap_or(0);
    let year = i16::try_from(year).unwrap_or(i16::MAX);
    DateTime::new(
        year,
        part(month.into()),
        part(month_day.into()),
        part(time / 3600),
        part(time / 60 % 60),
        part(time % 60),
        0,
    )
    .unwrap_or_default()
}

/// For numbers that are small and not negative by construction.
fn small(n: i64) -> u32 {
    u32::try_from(n).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use jiff::civil::{Date, date as jiff_date};

    use super::*;

    #[test]
    fn every_day_of_the_years_1_to_9999_agrees_with_jiff() {
        let mut expected = jiff_date(1, 1, 1);
        for number in FIRST_DAY..=LAST_DAY {
            let day = Day::of(number);
            assert_eq!(
                (day.year, day.month, day.month_day),
                (expected.year().into(), expected.month() as u32, expected.day() as u32)
            );
            assert_eq!(day_number(day.year, day.month, day.month_day), number);
            if number % 11 == 0 {
                assert_eq!(day.weekday, expected.weekday().to_monday_zero_offset() as u32);
                assert_eq!(day.year_day, expected.day_of_year() as u32);
                assert_eq!(day.year_length, expected.days_in_year() as u32);
                assert_eq!(day.month_length, expected.days_in_month() as u32);
            }
            if number < LAST_DAY {
                expected = expected.tomorrow().unwrap();
            }
        }
        assert_eq!(expected, Date::MAX);
    }

    #[test]
    fn weeks_agree_with_iso_weeks() {
        for number in (FIRST_DAY + 400..LAST_DAY - 400).step_by(97) {
            let DateParts { year, month, month_day } = date(number);
            let iso = jiff_date(year as i16, month as i8, month_day as i8).iso_week_date();
            let first = first_week(iso.year().into(), 0);
            assert_eq!((number - first) / 7 + 1, i64::from(iso.week()));
            assert_eq!(weeks_in(iso.year().into(), 0), iso.weeks_in_year() as u32);
        }
    }

    #[test]
    fn seconds_and_wall_are_inverse_and_clamped() {
        let civil_time = jiff_date(1969, 12, 31).at(23, 59, 58, 0);
        assert_eq!(seconds(civil_time), -2);
        assert_eq!(civil(-2), civil_time);
        assert_eq!(civil(i64::MIN), jiff_date(1, 1, 1).at(0, 0, 0, 0));
        assert_eq!(civil(i64::MAX), jiff_date(9999, 12, 31).at(23, 59, 59, 0));
    }
}

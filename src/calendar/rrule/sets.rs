//! The sets that the BY parts of a rule stand for: which days and which times of day they let through. They know
//! nothing of frequencies and intervals.

use super::WorkMeter;
use super::gregorian::{
    CYCLE_DAYS, DAY, DateParts, Day, LAST_DAY, date, day_number, first_week, month_length, week_of, weeks_in,
};

/// Numbers counted from the front (`BYMONTHDAY=1`) or from the back (`BYMONTHDAY=-1`); `W` words of 64 bits hold them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends<const W: usize> {
    front: [u64; W],
    back: [u64; W],
}

impl<const W: usize> Default for Ends<W> {
    fn default() -> Self {
        Ends { front: [0; W], back: [0; W] }
    }
}

impl<const W: usize> Ends<W> {
    /// Adds a number; 0 and what is beyond the words' room is left out.
    pub fn insert(&mut self, number: i32) {
        let words = if number < 0 { &mut self.back } else { &mut self.front };
        let bit = number.unsigned_abs() as usize;
        if let Some(word) = words.get_mut(bit / 64).filter(|_| bit > 0) {
            *word |= 1 << (bit % 64);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.front.iter().chain(&self.back).all(|word| *word == 0)
    }

    /// Whether something that is number `front` from the front and number `back` from the back is in the set.
    pub fn has(&self, front: u32, back: u32) -> bool {
        fn bit<const W: usize>(words: &[u64; W], n: u32) -> bool {
            words.get(n as usize / 64).is_some_and(|word| word >> (n % 64) & 1 == 1)
        }
        bit(&self.front, front) || bit(&self.back, back)
    }

    /// Whether a number counted from the front lies above `limit`.
    pub fn has_front_above(&self, limit: u32) -> bool {
        (limit + 1..W as u32 * 64).any(|n| self.has(n, 0))
    }

    /// The numbers in the set, those from the back as negative ones.
    pub fn numbers(&self) -> impl Iterator<Item = i32> + '_ {
        let room = W as u32 * 64;
        let front = (1..room).filter(|n| self.has(*n, 0));
        let back = (1..room).filter(|n| self.has(0, *n));
        front.map(|n| n.cast_signed()).chain(back.map(|n| -n.cast_signed()))
    }
}

/// What the ordinals of BYDAY count in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Scope {
    #[default]
    Month,
    Year,
}

/// The days that BYMONTH, BYWEEKNO, BYYEARDAY, BYMONTHDAY and BYDAY let through. An empty part lets everything through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DayFilter {
    /// Bit m for month m; 0 when the rule names none.
    pub months: u16,
    pub month_days: Ends<1>,
    pub year_days: Option<Box<Ends<6>>>,
    pub weeks: Ends<1>,
    /// Bit w for weekday w, Monday is 0: those without an ordinal.
    pub weekdays: u8,
    /// For each weekday its ordinals.
    pub ordinals: Option<Box<[Ends<1>; 7]>>,
    pub scope: Scope,
    pub week_start: u32,
}

impl DayFilter {
    /// Whether a part other than BYMONTH chooses days.
    pub fn chooses_days(&self) -> bool {
        self.names_weekdays() || !self.month_days.is_empty() || self.year_days.is_some() || !self.weeks.is_empty()
    }

    pub fn names_weekdays(&self) -> bool {
        self.weekdays != 0 || self.ordinals.is_some()
    }

    /// Whether every day passes.
    pub fn is_open(&self) -> bool {
        self.months == 0 && !self.chooses_days()
    }

    pub fn has_month(&self, month: u32) -> bool {
        self.months == 0 || self.months >> month & 1 == 1
    }

    /// Whether the day passes all parts.
    pub fn has(&self, day: &Day) -> bool {
        self.has_month(day.month)
            && (self.month_days.is_empty() || self.month_days.has(day.month_day, day.month_length - day.month_day + 1))
            && self.has_beside_month_day(day)
            && self.has_week(day)
    }

    /// Whether the day passes BYDAY and BYYEARDAY.
    pub fn has_beside_month_day(&self, day: &Day) -> bool {
        let in_year =
            self.year_days.as_ref().is_none_or(|days| days.has(day.year_day, day.year_length - day.year_day + 1));
        in_year && (!self.names_weekdays() || self.weekdays >> day.weekday & 1 == 1 || self.has_ordinal(day))
    }

    /// The first day from `from` on that passes; None when there is none any more. Within 40 years every kind of year
    /// has come, but not every sequence of weeks.
    pub fn next_day(&self, from: i64, work: &WorkMeter) -> Option<i64> {
        let reach = if self.weeks.is_empty() { 41 * 366 } else { CYCLE_DAYS };
        let mut number = from;
        while number <= LAST_DAY.min(from + reach) && work.spend(1) {
            let DateParts { year, month, .. } = date(number);
            if !self.has_month(month) {
                number = day_number(year, month, month_length(year, month)) + 1;
            } else if !self.weeks.is_empty() && !self.has_week(&Day::of(number)) {
                number = week_of(number, self.week_start) + 7;
            } else if self.has(&Day::of(number)) {
                return Some(number);
            } else {
                number += 1;
            }
        }
        None
    }

    fn has_ordinal(&self, day: &Day) -> bool {
        let Some(ends) = self.ordinals.as_ref().and_then(|all| all.get(day.weekday as usize)) else { return false };
        let (before, after) = match self.scope {
            Scope::Month => (day.month_day - 1, day.month_length - day.month_day),
            Scope::Year => (day.year_day - 1, day.year_length - day.year_day),
        };
        ends.has(before / 7 + 1, after / 7 + 1)
    }

    fn has_week(&self, day: &Day) -> bool {
        if self.weeks.is_empty() {
            return true;
        }
        let week = week_of(day.number, self.week_start);
        // A week belongs to the year that holds its fourth day.
        let year = Day::of(week + 3).year;
        let number = u32::try_from((week - first_week(year, self.week_start)) / 7 + 1).unwrap_or(0);
        self.weeks.has(number, weeks_in(year, self.week_start) - number + 1)
    }
}

/// A set of times of day: the product of its hours, minutes and seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeSet {
    pub hours: u64,
    pub minutes: u64,
    pub seconds: u64,
}

/// All hours of a day.
pub(super) const ALL_HOURS: u64 = (1 << 24) - 1;
/// All minutes of an hour, or seconds of a minute.
pub(super) const ALL_SIXTY: u64 = (1 << 60) - 1;

impl TimeSet {
    /// How many times of day there are.
    pub fn len(&self) -> i64 {
        i64::from(self.hours.count_ones()) * self.per_hour()
    }

    fn per_hour(&self) -> i64 {
        i64::from(self.minutes.count_ones()) * i64::from(self.seconds.count_ones())
    }

    /// Whether the time of day `time`, in seconds after midnight, is in the set.
    pub fn has(&self, time: i64) -> bool {
        self.hours >> (time / 3600) & 1 == 1
            && self.minutes >> (time / 60 % 60) & 1 == 1
            && self.seconds >> (time % 60) & 1 == 1
    }

    /// Time number `index` of the day (from 0), in seconds after midnight.
    pub fn nth(&self, index: i64) -> Option<i64> {
        let (hour, rest) = (index.checked_div(self.per_hour())?, index.checked_rem(self.per_hour())?);
        let per_minute = i64::from(self.seconds.count_ones());
        let (minute, second) = (rest.checked_div(per_minute)?, rest.checked_rem(per_minute)?);
        Some(nth_bit(self.hours, hour)? * 3600 + nth_bit(self.minutes, minute)? * 60 + nth_bit(self.seconds, second)?)
    }

    /// How many times of day there are at or after `from`, in seconds after midnight (which may lie outside the day).
    pub fn count_from(&self, from: i64) -> i64 {
        if !(0..DAY).contains(&from) {
            return if from < 0 { self.len() } else { 0 };
        }
        let above = |bits: u64, bit: i64| i64::from((bits >> bit >> 1).count_ones());
        let has = |bits: u64, bit: i64| (bits >> bit & 1).cast_signed();
        let (hour, minute, second) = (from / 3600, from / 60 % 60, from % 60);
        let seconds = above(self.seconds, second) + has(self.seconds, second);
        let minutes =
            above(self.minutes, minute) * i64::from(self.seconds.count_ones()) + has(self.minutes, minute) * seconds;
        above(self.hours, hour) * self.per_hour() + has(self.hours, hour) * minutes
    }

    /// The first time of day at or after `from`, both in seconds after midnight.
    pub fn next(&self, from: i64) -> Option<i64> {
        if from >= DAY {
            return None;
        }
        let (hour, minute, second) = (from / 3600, from / 60 % 60, from % 60);
        let first_minute = bit_from(self.minutes, 0)? * 60;
        let first_second = bit_from(self.seconds, 0)?;
        if self.hours >> hour & 1 == 1 {
            if self.minutes >> minute & 1 == 1
                && let Some(second) = bit_from(self.seconds, second)
            {
                return Some(hour * 3600 + minute * 60 + second);
            }
            if let Some(minute) = bit_from(self.minutes, minute + 1) {
                return Some(hour * 3600 + minute * 60 + first_second);
            }
        }
        Some(bit_from(self.hours, hour + 1)? * 3600 + first_minute + first_second)
    }
}

/// The lowest bit at or above `from`.
fn bit_from(bits: u64, from: i64) -> Option<i64> {
    let above = bits.checked_shr(u32::try_from(from).ok()?)?;
    (above != 0).then(|| from + i64::from(above.trailing_zeros()))
}

/// The bit with `index` bits below it.
fn nth_bit(mut bits: u64, index: i64) -> Option<i64> {
    for _ in 0..index {
        bits &= bits.checked_sub(1)?;
    }
    bit_from(bits, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_by_number_and_by_search_agree() {
        let set = TimeSet { hours: 1 << 9 | 1 << 17, minutes: 1 | 1 << 30, seconds: 1 << 5 | 1 << 59 };
        let mut found = vec![];
        let mut from = 0;
        while let Some(time) = set.next(from) {
            found.push(time);
            from = time + 1;
        }
        assert_eq!(found.len() as i64, set.len());
        assert_eq!(found[0], 9 * 3600 + 5);
        assert_eq!(found[7], 17 * 3600 + 30 * 60 + 59);
        for (index, time) in found.iter().enumerate() {
            assert_eq!(set.nth(index as i64), Some(*time));
        }
        assert_eq!(set.nth(8), None);
        for from in (-1..=DAY).step_by(7).chain(found.iter().flat_map(|time| [time - 1, *time, time + 1])) {
            assert_eq!(set.count_from(from), found.iter().filter(|time| **time >= from).count() as i64, "{from}");
        }
    }

    #[test]
    fn ends_count_from_both_sides() {
        let mut days = Ends::<6>::default();
        days.insert(1);
        days.insert(-366);
        days.insert(0);
        days.insert(9999);
        assert!(days.has(1, 365) && days.has(1, 366) && !days.has(2, 365));
        assert_eq!(days.numbers().collect::<Vec<_>>(), [1, -366]);
    }
}

//! YEARLY, MONTHLY, WEEKLY and DAILY rules, expanded in wall-clock time one period after the other. It knows nothing of
//! zones.

use rrule::RRule;

use super::gregorian::{
    self, CYCLE_DAYS, DAY, DateParts, Day, FIRST_DAY, LAST_DAY, date, day_number, first_week, week_of, weeks_in,
};
use super::normalized::gcd;
use super::sets::{DayFilter, TimeSet};
use super::weekdays::Weekdays;
use super::{Frequency, Skip, WorkMeter};

/// A COUNT is counted through so many periods; a rule that has not reached it then is taken as endless.
const MAX_COUNTED_PERIODS: i64 = 100_000;

/// After so many periods without a time it is time to ask whether there can be one.
const IDLE: u32 = 500;

/// A rule in whose parts nothing is left implicit.
#[derive(Clone, Debug)]
pub(super) struct PeriodRule {
    pub frequency: Frequency,
    pub interval: i64,
    /// DTSTART, in wall-clock seconds.
    pub start: i64,
    pub days: DayFilter,
    pub skip: Skip,
    pub times: TimeSet,
    pub positions: Vec<i32>,
    /// The rule for the `rrule` crate, when that expands it.
    pub by_weekday: Option<Box<RRule>>,
    pub work: WorkMeter,
}

impl PeriodRule {
    /// The wall-clock seconds from `from` on, ascending, each once.
    pub fn civil_times(&self, from: i64) -> CivilTimes<'_> {
        let from = from.max(self.start);
        let by_crate = self.by_weekday.as_ref().and_then(|rule| Weekdays::new(rule, self.first_day(from)));
        match by_crate {
            Some(weekdays) => CivilTimes::Weekdays(weekdays, from),
            None => CivilTimes::Periods(Periods::new(self, from)),
        }
    }

    /// The first day of the period that holds `from`, or of the rule's last one before it.
    fn first_day(&self, from: i64) -> i64 {
        let unit = self.absolute_unit(self.start) + self.unit(from).div_euclid(self.interval) * self.interval;
        match self.frequency {
            Frequency::Monthly => day_number(unit.div_euclid(12), unit.rem_euclid(12) as u32 + 1, 1),
            Frequency::Weekly => {
                let weeks = unit - self.absolute_unit(self.start);
                week_of(self.start.div_euclid(DAY), self.days.week_start) + weeks * 7
            }
            _ => unit,
        }
    }

    /// How many units (years, months, weeks, days) after the one of DTSTART the second `civil` lies.
    fn unit(&self, civil: i64) -> i64 {
        self.absolute_unit(civil) - self.absolute_unit(self.start)
    }

    fn absolute_unit(&self, civil: i64) -> i64 {
        let day = civil.div_euclid(DAY);
        match self.frequency {
            Frequency::Yearly => self.year_of(day),
            Frequency::Monthly => {
                let DateParts { year, month, .. } = date(day);
                year * 12 + i64::from(month) - 1
            }
            Frequency::Weekly => week_of(day, self.days.week_start).div_euclid(7),
            _ => day,
        }
    }

    /// The year that a day counts in: with BYWEEKNO the one that its week belongs to.
    fn year_of(&self, day: i64) -> i64 {
        let day = if self.days.weeks.is_empty() { day } else { week_of(day, self.days.week_start) + 3 };
        date(day).year
    }

    /// After so many periods the calendar repeats: a rule that gave nothing in them never will.
    fn cycle(&self) -> i64 {
        let units = match self.frequency {
            Frequency::Yearly => 400,
            Frequency::Monthly => 4800,
            Frequency::Weekly => CYCLE_DAYS / 7,
            _ => CYCLE_DAYS,
        };
        units / gcd(units, self.interval)
    }

    /// The most days that a period can have.
    fn most_days(&self) -> i64 {
        match self.frequency {
            Frequency::Yearly => 373,
            Frequency::Monthly => 32,
            Frequency::Weekly => 7,
            _ => 1,
        }
    }

    /// The steps of work that the days of a period take.
    fn period_steps(&self) -> u64 {
        match self.frequency {
            Frequency::Yearly if self.days.weeks.is_empty() => {
                8 * (1..=12).filter(|month| self.days.has_month(*month)).count() as u64
            }
            Frequency::Yearly => 96,
            Frequency::Monthly => 8,
            Frequency::Weekly => 2,
            _ => 1,
        }
    }

    /// Whether a period can reach into the following one, which SKIP=FORWARD makes it do.
    fn overlaps(&self) -> bool {
        self.skip != Skip::Omit
    }

    /// The days of period number `period` into `days`, ascending. False when it lies beyond the year 9999.
    fn collect_days(&self, period: i64, days: &mut Vec<i64>) -> bool {
        days.clear();
        let unit = self.absolute_unit(self.start).saturating_add(period.saturating_mul(self.interval));
        match self.frequency {
            Frequency::Yearly if unit > 9999 => return false,
            Frequency::Yearly if self.days.weeks.is_empty() => self.collect_year(unit, days),
            Frequency::Yearly => self.collect_weeks(unit, days),
            Frequency::Monthly if unit >= 10_000 * 12 => return false,
            Frequency::Monthly => self.collect_month(unit.div_euclid(12), unit.rem_euclid(12) as u32 + 1, days),
            Frequency::Weekly => {
                let week = week_of(self.start.div_euclid(DAY), self.days.week_start);
                let first = week.saturating_add(period.saturating_mul(self.interval).saturating_mul(7));
                if first > LAST_DAY {
                    return false;
                }
                days.extend((first..first + 7).filter(|day| self.days.has(&Day::of(*day))));
            }
            _ if unit > LAST_DAY => return false,
            _ => days.extend(Some(unit).filter(|day| self.days.is_open() || self.days.has(&Day::of(*day)))),
        }
        true
    }

    fn collect_year(&self, year: i64, days: &mut Vec<i64>) {
        for month in (1..=12).filter(|month| self.days.has_month(*month)) {
            self.collect_month(year, month, days);
        }
        let missing = self.skip != Skip::Omit && !gregorian::is_leap(year);
        if missing && self.days.year_days.as_ref().is_some_and(|days| days.has(366, 0)) {
            let moved = day_number(year, 12, 31) + i64::from(self.skip == Skip::Forward);
            push_ascending(days, moved);
        }
    }

    fn collect_month(&self, year: i64, month: u32, days: &mut Vec<i64>) {
        if !self.days.has_month(month) {
            return;
        }
        for day in Day::all_of(year, month).filter(|day| self.days.has(day)) {
            push_ascending(days, day.number);
        }
        let length = gregorian::month_length(year, month);
        if self.skip != Skip::Omit && self.days.month_days.has_front_above(length) {
            // RFC 7529, 4.1: a date that does not exist moves before BYDAY looks at it.
            let moved = day_number(year, month, length) + i64::from(self.skip == Skip::Forward);
            if self.days.has_beside_month_day(&Day::of(moved)) {
                push_ascending(days, moved);
            }
        }
    }

    /// The days of the numbered weeks of a year, from the week's first day on, which may lie in December before.
    fn collect_weeks(&self, year: i64, days: &mut Vec<i64>) {
        let first = first_week(year, self.days.week_start);
        let count = weeks_in(year, self.days.week_start);
        for week in (1..=count).filter(|week| self.days.weeks.has(*week, count - week + 1)) {
            let monday = first + i64::from(week - 1) * 7;
            days.extend((monday..monday + 7).filter(|day| self.days.has(&Day::of(*day))));
        }
    }

    /// The times of a period by BYSETPOS, ascending, each once.
    fn pick(&self, days: &[i64]) -> Vec<i64> {
        let per_day = self.times.len();
        let total = per_day * days.len() as i64;
        let at = |position: &i32| {
            let index = if *position > 0 { i64::from(*position) - 1 } else { total + i64::from(*position) };
            let day = usize::try_from(index.checked_div(per_day)?).ok().filter(|_| index >= 0)?;
            Some(days.get(day)? * DAY + self.times.nth(index.checked_rem(per_day)?)?)
        };
        let mut picked: Vec<i64> = self.positions.iter().filter_map(at).collect();
        picked.sort_unstable();
        picked.dedup();
        picked
    }
}

fn push_ascending(days: &mut Vec<i64>, day: i64) {
    if days.last().is_none_or(|last| *last < day) {
        days.push(day);
    }
}

/// The wall-clock seconds that a rule gives, from either engine.
#[derive(Clone, Debug)]
pub(super) enum CivilTimes<'a> {
    Periods(Periods<'a>),
    /// With the first second that may come.
    Weekdays(Weekdays, i64),
}

impl Iterator for CivilTimes<'_> {
    type Item = i64;

    fn next(&mut self) -> Option<i64> {
        match self {
            CivilTimes::Periods(periods) => periods.next(),
            CivilTimes::Weekdays(weekdays, from) => weekdays.find(|civil| civil >= from),
        }
    }
}

/// The wall-clock seconds that a rule gives, ascending, each once.
#[derive(Clone, Debug)]
pub(super) struct Periods<'a> {
    rule: &'a PeriodRule,
    /// The number of the next period.
    period: i64,
    /// The last period that gave a time, or the one before the first.
    fruitful: i64,
    /// The earliest second that may still come.
    from: i64,
    /// The days of the period at hand that have not passed, in reverse; with BYSETPOS its times.
    days: Vec<i64>,
    times: Vec<i64>,
}

impl<'a> Periods<'a> {
    /// From the second `from` on, or DTSTART when that is later.
    pub fn new(rule: &'a PeriodRule, from: i64) -> Self {
        let from = from.max(rule.start);
        let back = i64::from(rule.overlaps());
        let period = (rule.unit(from).div_euclid(rule.interval) - back).max(0);
        Periods { rule, period, fruitful: period - 1, from, days: vec![], times: vec![] }
    }

    /// Occurrence number `count`, from 1; None when the rule ends before it or [`MAX_COUNTED_PERIODS`] do not reach it.
    pub fn last(rule: &PeriodRule, count: u64) -> Option<i64> {
        let mut left = i64::try_from(count).ok()?;
        if left > MAX_COUNTED_PERIODS * rule.most_days() * DAY.min(rule.times.len()) {
            return None;
        }
        let mut all = Periods::new(rule, i64::MIN);
        while all.period < MAX_COUNTED_PERIODS && all.load() {
            let here = all.count_loaded();
            if left <= here {
                return all.nth_loaded(left);
            }
            left -= here;
            all.pass_loaded();
        }
        None
    }

    /// How many times of the period at hand are still to come.
    fn count_loaded(&self) -> i64 {
        let times = self.times.iter().filter(|time| **time >= self.from).count();
        times as i64 + self.days.iter().map(|day| self.count_day(*day)).sum::<i64>()
    }

    fn count_day(&self, day: i64) -> i64 {
        self.rule.times.count_from(self.from.saturating_sub(day * DAY))
    }

    /// Time number `n` (from 1) of those of the period at hand that are still to come.
    fn nth_loaded(&self, n: i64) -> Option<i64> {
        let mut left = n.checked_sub(1)?;
        for day in self.days.iter().rev() {
            let here = self.count_day(*day);
            if left < here {
                return Some(day * DAY + self.rule.times.nth(self.rule.times.len() - here + left)?);
            }
            left -= here;
        }
        self.times.iter().rev().filter(|time| **time >= self.from).nth(usize::try_from(left).ok()?).copied()
    }

    /// Leaves the period at hand. What the next one has in common with it has been.
    fn pass_loaded(&mut self) {
        let last =
            self.days.first().map(|day| day * DAY + DAY - 1).into_iter().chain(self.times.first().copied()).max();
        self.from = last.map_or(self.from, |last| self.from.max(last + 1));
        self.days.clear();
        self.times.clear();
    }

    /// Goes to the next period that has a time. False when there is none before the year 10000.
    fn load(&mut self) -> bool {
        for turn in 0.. {
            if self.period - self.fruitful > self.rule.cycle() + 1 {
                return false;
            }
            // SKIP has days that do not pass as they are.
            if turn == IDLE && !self.rule.overlaps() && self.rule.days.next_day(FIRST_DAY, &self.rule.work).is_none() {
                return false;
            }
            if !self.rule.work.spend(self.rule.period_steps()) || !self.rule.collect_days(self.period, &mut self.days) {
                return false;
            }
            if !self.rule.positions.is_empty() {
                self.times = self.rule.pick(&self.days);
                self.times.reverse();
                self.days.clear();
            }
            self.days.reverse();
            let loaded = self.period;
            self.period += 1;
            if !self.days.is_empty() || !self.times.is_empty() {
                self.fruitful = loaded;
                return true;
            }
            self.pass_months();
        }
        false
    }

    /// Skips the days of a month that BYMONTH does not name, for a DAILY rule.
    fn pass_months(&mut self) {
        if self.rule.frequency != Frequency::Daily || self.rule.days.months == 0 {
            return;
        }
        let interval = self.rule.interval;
        let start = self.rule.start.div_euclid(DAY);
        let day = start.saturating_add((self.period - 1).saturating_mul(interval));
        let DateParts { year, month, .. } = date(day.min(LAST_DAY));
        if !self.rule.days.has_month(month) {
            let next_month = day_number(year, month, gregorian::month_length(year, month)) + 1;
            self.period = self.period.max((next_month - start + interval - 1).div_euclid(interval));
        }
    }

    /// The next time of the period at hand.
    fn next_loaded(&mut self) -> Option<i64> {
        while let Some(time) = self.times.pop() {
            if time >= self.from {
                return Some(time);
            }
        }
        while let Some(day) = self.days.last() {
            let midnight = day * DAY;
            if let Some(time) = self.rule.times.next((self.from - midnight).max(0)) {
                return Some(midnight + time);
            }
            self.days.pop();
        }
        None
    }
}

impl Iterator for Periods<'_> {
    type Item = i64;

    fn next(&mut self) -> Option<i64> {
        loop {
            if let Some(time) = self.next_loaded() {
                self.from = time + 1;
                return Some(time);
            }
            if !self.load() {
                return None;
            }
        }
    }
}

//! Rules by weekday (`WEEKLY;BYDAY=MO,WE`, `MONTHLY;BYDAY=-1FR`, `DAILY;BYDAY=MO,TU,WE,TH,FR`), expanded by the `rrule`
//! crate.
//!
//! The crate is handed what it expands exactly: a rule without implicit parts, COUNT and UNTIL, in wall-clock time as
//! if it were UTC, that begins with a whole period near the time asked for, and that cannot fail to match.
//! `docs/recurrence.md` says what it gets wrong; such rules are expanded by [`super::periods`].

use chrono::{DateTime, Utc, Weekday};
use rrule::{NWeekday, RRule, RRuleSet, RRuleSetIter, Tz};

use super::Frequency;
use super::gregorian::{DAY, LAST_DAY};
use super::periods::PeriodRule;

/// The crate makes all times of a period at once: this many a day at most.
const MAX_TIMES: i64 = 4;
/// Greater intervals are none of a rule by weekday that people make.
const MAX_INTERVAL: i64 = 1000;

/// The rule for the crate; None when the crate would not expand it exactly, or might search for a match in vain.
pub(super) fn rule(rule: &PeriodRule) -> Option<RRule> {
    let days = &rule.days;
    let only_by_day = days.names_weekdays()
        && days.months == 0
        && days.month_days.is_empty()
        && days.year_days.is_none()
        && days.weeks.is_empty();
    // Ordinals together with plain weekdays give nothing there.
    let mixed = days.ordinals.is_some() && days.weekdays != 0;
    let positions = rule.positions.iter().all(|position| position.abs() == 1);
    if !only_by_day || mixed || !positions || rule.times.len() > MAX_TIMES || rule.interval > MAX_INTERVAL {
        return None;
    }
    let frequency = match rule.frequency {
        // In steps of whole weeks the weekday may never come.
        Frequency::Daily if rule.interval % 7 != 0 => rrule::Frequency::Daily,
        Frequency::Weekly => rrule::Frequency::Weekly,
        Frequency::Monthly => rrule::Frequency::Monthly,
        _ => return None,
    };
    RRule::new(frequency)
        .interval(u16::try_from(rule.interval).ok()?)
        .week_start(weekday(days.week_start)?)
        .by_weekday(by_weekday(rule)?)
        .by_hour(bits(rule.times.hours))
        .by_minute(bits(rule.times.minutes))
        .by_second(bits(rule.times.seconds))
        .by_set_pos(rule.positions.clone())
        .validate(start(0)?)
        .ok()
}

fn by_weekday(rule: &PeriodRule) -> Option<Vec<NWeekday>> {
    let mut weekdays: Vec<NWeekday> = vec![];
    for day in (0..7).filter(|day| rule.days.weekdays >> day & 1 == 1) {
        weekdays.push(NWeekday::Every(weekday(day)?));
    }
    for (day, ends) in (0..7).zip(rule.days.ordinals.iter().flat_map(|all| all.iter())) {
        for ordinal in ends.numbers() {
            // Not every month has a fifth; and the crate refuses a fifth from the end.
            let ordinal = i16::try_from(ordinal).ok().filter(|ordinal| ordinal.abs() <= 4)?;
            weekdays.push(NWeekday::Nth(ordinal, weekday(day)?));
        }
    }
    Some(weekdays)
}

fn weekday(number: u32) -> Option<Weekday> {
    Weekday::try_from(u8::try_from(number).ok()?).ok()
}

fn bits(set: u64) -> Vec<u8> {
    (0..64).filter(|bit| set >> bit & 1 == 1).collect()
}

fn start(day: i64) -> Option<DateTime<Tz>> {
    Some(DateTime::<Utc>::from_timestamp(day.checked_mul(DAY)?, 0)?.with_timezone(&Tz::UTC))
}

/// The wall-clock seconds that a rule gives from a period on.
#[derive(Clone, Debug)]
pub(super) struct Weekdays(RRuleSetIter);

impl Weekdays {
    /// From the first day of a period of the rule on.
    pub fn new(rule: &RRule, first: i64) -> Option<Weekdays> {
        Some(Weekdays(RRuleSet::new(start(first)?).rrule(rule.clone()).into_iter()))
    }
}

impl Iterator for Weekdays {
    type Item = i64;

    fn next(&mut self) -> Option<i64> {
        Some(self.0.next()?.timestamp()).filter(|civil| *civil < (LAST_DAY + 1) * DAY)
    }
}

//! A rule and its start to what is expanded: every part that the rule leaves to DTSTART made explicit, every part that
//! means nothing in its frequency taken out (RFC 5545, 3.3.10, the table and its notes).

use super::clock::CivilClock;
use super::elapsed::{Elapsed, ElapsedRule};
use super::gregorian::{DAY, Day, weekday};
use super::periods::{PeriodRule, Periods};
use super::sets::{DayFilter, Scope, TimeSet};
use super::{Frequency, Rule, Skip, WorkMeter, weekdays};

/// What is expanded, and how.
#[derive(Clone, Debug)]
pub(super) enum NormalizedRule {
    /// YEARLY to DAILY: in wall-clock time.
    Civil(PeriodRule),
    /// HOURLY to SECONDLY: in elapsed time.
    Elapsed(ElapsedRule),
}

impl NormalizedRule {
    /// Normalizes `rule` from the wall-clock second `start`; what is asked of it spends `work`. The times of an
    /// all-day series are its midnights: BYHOUR, BYMINUTE and BYSECOND are ignored, and of a rule that steps within
    /// days the steps at midnight count.
    pub fn new(rule: &Rule, start: i64, all_day: bool, clock: &impl CivilClock, work: WorkMeter) -> NormalizedRule {
        if !all_day && rule.frequency < Frequency::Daily {
            return NormalizedRule::Elapsed(ElapsedRule::new(rule, days(rule, start), clock.instant(start).at, work));
        }
        let time = start.rem_euclid(DAY);
        let set = |part: Option<u64>, own: i64| if all_day { 1 } else { part.unwrap_or(1 << own) };
        let mut normalized = PeriodRule {
            frequency: rule.frequency.max(Frequency::Daily),
            interval: whole_days(rule),
            start,
            days: days(rule, start),
            skip: if rule.frequency < Frequency::Monthly { Skip::Omit } else { rule.skip },
            times: TimeSet {
                hours: set(rule.hours, time / 3600),
                minutes: set(rule.minutes, time / 60 % 60),
                seconds: set(rule.seconds, time % 60),
            },
            positions: rule.positions.clone(),
            by_weekday: None,
            work,
        };
        normalized.by_weekday = weekdays::rule(&normalized).map(Box::new);
        NormalizedRule::Civil(normalized)
    }

    /// What all that is asked of it may cost.
    pub fn work(&self) -> &WorkMeter {
        match self {
            NormalizedRule::Civil(normalized) => &normalized.work,
            NormalizedRule::Elapsed(normalized) => normalized.work(),
        }
    }

    pub fn is_elapsed(&self) -> bool {
        matches!(self, NormalizedRule::Elapsed(_))
    }

    /// Occurrence number `count` (from 1): in wall-clock seconds, or an instant when [`NormalizedRule::is_elapsed`].
    /// None when there are fewer, or so many that they are not counted.
    pub fn last(&self, count: u64, clock: &impl CivilClock) -> Option<i64> {
        match self {
            NormalizedRule::Civil(normalized) => Periods::last(normalized, count),
            NormalizedRule::Elapsed(normalized) => Elapsed::last(normalized, clock, count),
        }
    }
}

/// The interval in the frequency's own unit; for steps within days, the days after which one is at the same time again.
fn whole_days(rule: &Rule) -> i64 {
    let step = rule.interval.saturating_mul(rule.frequency.seconds());
    match rule.frequency {
        Frequency::Hourly | Frequency::Minutely | Frequency::Secondly => step / gcd(step, DAY),
        _ => rule.interval,
    }
}

pub(super) fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn days(rule: &Rule, start: i64) -> DayFilter {
    let mut days = rule.days.clone();
    let frequency = rule.frequency;
    let first = Day::of(start.div_euclid(DAY));
    if frequency < Frequency::Monthly || frequency == Frequency::Yearly && !days.weeks.is_empty() {
        strip_ordinals(&mut days);
    }
    if frequency == Frequency::Yearly && days.months == 0 {
        days.scope = Scope::Year;
    }
    let only_weeks = !days.weeks.is_empty()
        && !days.names_weekdays()
        && days.month_days.is_empty()
        && days.year_days.is_none()
        && frequency >= Frequency::Weekly;
    if only_weeks || frequency == Frequency::Weekly && !days.chooses_days() {
        days.weekdays = 1 << weekday(first.number);
    } else if frequency >= Frequency::Monthly && !days.chooses_days() {
        days.month_days.insert(first.month_day.cast_signed());
        if frequency == Frequency::Yearly && days.months == 0 {
            days.months = 1 << first.month;
        }
    }
    days
}

/// An ordinal means nothing in a week or a day; old programs write it there all the same (`WEEKLY;BYDAY=1MO`).
fn strip_ordinals(days: &mut DayFilter) {
    let Some(ordinals) = days.ordinals.take() else { return };
    for (day, ends) in (0..7).zip(ordinals.iter()) {
        if !ends.is_empty() {
            days.weekdays |= 1 << day;
        }
    }
}

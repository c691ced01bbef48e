//! Recurrence rules (RFC 5545, 3.3.10; SKIP: RFC 7529): from the text of an RRULE to the starts that it gives, from
//! anywhere in the series.
//!
//! A rule is expanded in wall-clock time and its times are placed in the zone afterwards, so 09:00 stays 09:00. HOURLY,
//! MINUTELY and SECONDLY rules step in elapsed time instead. Finding the first start after an instant jumps there by
//! whole periods: it costs the same in a series of a week's age and one of a century's. The module merges nothing:
//! EXDATE, RDATE, several rules and the DTSTART that a rule does not match are the caller's.
//!
//! * [`parse`]: text → [`Rule`].
//! * [`normalized`]: a rule and its start → what is to be expanded, every implicit part made explicit.
//! * [`periods`]: YEARLY to DAILY, period by period; [`weekdays`]: those by weekday, by the `rrule` crate. [`elapsed`]:
//!   HOURLY to SECONDLY, step by step.
//! * [`work`]: how much all that may cost.
//! * [`clock`]: wall-clock times → instants in ascending order.

mod clock;
mod elapsed;
mod gregorian;
mod normalized;
mod parse;
mod periods;
mod sets;
#[cfg(test)]
mod tests;
mod weekdays;
mod work;

use jiff::civil::{Date, DateTime};

use self::clock::{Bounds, InOrder, StartSeconds};
use self::elapsed::Elapsed;
use self::normalized::NormalizedRule;
use self::sets::DayFilter;
use crate::calendar::zone::Zone;
use crate::time::UtcMillis;

pub use self::work::WorkMeter;

/// The steps of work that a start takes, whatever it is looked for.
const START: u64 = 4;

/// A recurrence rule as read and checked, not yet anchored to a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    frequency: Frequency,
    /// At least 1.
    interval: i64,
    count: Option<u64>,
    until: Option<Until>,
    skip: Skip,
    days: DayFilter,
    /// Bit n for hour, minute, second n; None when the rule has no such part.
    hours: Option<u64>,
    minutes: Option<u64>,
    seconds: Option<u64>,
    /// BYSETPOS.
    positions: Vec<i32>,
}

/// FREQ, from the finest to the coarsest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Frequency {
    Secondly,
    Minutely,
    Hourly,
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

/// What happens to dates that a month or year does not have (RFC 7529, 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Skip {
    Omit,
    Backward,
    Forward,
}

/// UNTIL as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    Date(Date),
    Local(DateTime),
    Utc(DateTime),
}

/// A rule that cannot be used, and why, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RuleError(pub String);

/// A rule as it is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRule {
    /// The rule.
    pub rule: Rule,
    /// What is wrong in its text and how that is read, a sentence each.
    pub slips: Vec<String>,
}

impl Rule {
    /// Reads the value of an RRULE or EXRULE property.
    ///
    /// # Errors
    /// If it is not a rule, or is one that is reported rather than guessed (RSCALE other than GREGORIAN, unknown BY
    /// parts).
    pub fn parse(value: &str) -> Result<Rule, RuleError> {
        parse::rule(value)
    }

    /// Reads the value as [`Rule::parse`] does, and, if that refuses it for a slip that leaves one meaning, as it is
    /// meant.
    ///
    /// # Errors
    /// Those of [`Rule::parse`], if it can mean nothing.
    pub fn read(value: &str) -> Result<ReadRule, RuleError> {
        Rule::parse(value).map(|rule| ReadRule { rule, slips: Vec::new() }).or_else(|_| parse::lenient_rule(value))
    }

    /// The rule of a floating series that lies in `zone`. An UNTIL in UTC is an instant, or the wall clock with a `Z`
    /// too many: the later of the two ends it.
    pub fn of_floating(self, zone: &Zone) -> Rule {
        let until = self.until.map(|until| match until {
            Until::Utc(civil) if zone.instant(civil).at > Zone::utc().instant(civil).at => Until::Local(civil),
            until => until,
        });
        Rule { until, ..self }
    }

    fn every(frequency: Frequency) -> Rule {
        Rule {
            frequency,
            interval: 1,
            count: None,
            until: None,
            skip: Skip::Omit,
            days: DayFilter::default(),
            hours: None,
            minutes: None,
            seconds: None,
            positions: vec![],
        }
    }
}

/// The start of one occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OccurrenceStart {
    /// As the rule writes it, in the local time of the series' zone (before a gap moves it).
    pub civil: DateTime,
    /// Where that lies in the zone.
    pub at: UtcMillis,
}

/// A rule anchored to its DTSTART in its zone.
#[derive(Clone, Debug)]
pub struct Series {
    normalized: NormalizedRule,
    zone: Zone,
    bounds: Bounds,
    /// DTSTART, as it is written and where it lies.
    first: OccurrenceStart,
    last: Option<DateTime>,
}

/// Where a rule begins.
#[derive(Debug)]
pub struct SeriesStart<'a> {
    /// The local time of DTSTART; for an all-day series: midnight.
    pub start: DateTime,
    /// Whether it begins on a date, without a time.
    pub all_day: bool,
    /// The zone that it is expanded in.
    pub zone: &'a Zone,
}

impl Series {
    /// Anchors `rule` at the wall-clock time `start` of `zone` (for an all-day series: midnight, `all_day` true).
    /// `last` is what [`Series::last`] said before, so that a COUNT need not be counted again.
    pub fn new(rule: &Rule, start: DateTime, all_day: bool, zone: &Zone, last: Option<DateTime>) -> Series {
        Series::within(WorkMeter::default(), rule, &SeriesStart { start, all_day, zone }, last)
    }

    /// The same; all that is asked of it spends `work`. Once that is spent it gives nothing more.
    pub fn within(work: WorkMeter, rule: &Rule, anchor: &SeriesStart<'_>, last: Option<DateTime>) -> Series {
        let SeriesStart { start, all_day, zone } = *anchor;
        let normalized = NormalizedRule::new(rule, gregorian::seconds(start), all_day, zone, work);
        let mut bounds = Bounds::of(rule.until, all_day, zone);
        let last = rule.count.and_then(|count| last.or_else(|| normalized.last(count, zone).map(gregorian::civil)));
        if let Some(last) = last {
            bounds.end_with(gregorian::seconds(last), normalized.is_elapsed());
        }
        if normalized.is_elapsed() {
            bounds.resolve(zone);
        }
        let first = OccurrenceStart { civil: start, at: zone.instant(start).at };
        Series { normalized, zone: zone.clone(), bounds, first, last }
    }

    /// The occurrences that the rule gives from the instant `from` on (at ≥ from), ascending by instant and each once,
    /// lazily. DTSTART is among them only if the rule matches it. Costs the same wherever `from` lies.
    pub fn from(&self, from: UtcMillis) -> impl Iterator<Item = OccurrenceStart> + '_ {
        let from = from.0.saturating_add(999).div_euclid(1000);
        let work = self.normalized.work();
        let starts = match &self.normalized {
            NormalizedRule::Civil(normalized) => {
                let lower = clock::earliest_civil(&self.zone, from);
                let last_civil = self.bounds.civil;
                let civil_times = normalized.civil_times(lower).take_while(move |civil| *civil <= last_civil);
                SeriesIter::Civil(InOrder::new(civil_times, &self.zone, from))
            }
            NormalizedRule::Elapsed(normalized) => SeriesIter::Elapsed(Elapsed::new(normalized, &self.zone, from)),
        };
        starts
            .take_while(move |start| start.at <= self.bounds.at && start.at < clock::END && work.spend(START))
            .map(|start| OccurrenceStart {
                civil: gregorian::civil(start.civil),
                at: UtcMillis::from_seconds(start.at),
            })
            // Where the first one lies in a gap, the rule has another local time for the same instant.
            .map(|start| if start.at == self.first.at { self.first } else { start })
    }

    /// For a rule with COUNT: its last occurrence, to be handed to [`Series::new`] the next time. None without COUNT,
    /// and when the rule ends without reaching it. (Wall-clock time; in UTC for HOURLY, MINUTELY and SECONDLY.)
    pub fn last(&self) -> Option<DateTime> {
        self.last
    }
}

/// Starts, from either way of expanding.
enum SeriesIter<'a, I: Iterator<Item = i64>> {
    Civil(InOrder<'a, I, Zone>),
    Elapsed(Elapsed<'a, Zone>),
}

impl<I: Iterator<Item = i64>> Iterator for SeriesIter<'_, I> {
    type Item = StartSeconds;

    fn next(&mut self) -> Option<StartSeconds> {
        match self {
            SeriesIter::Civil(starts) => starts.next(),
            SeriesIter::Elapsed(starts) => starts.next(),
        }
    }
}

/// A rule expanded in a zone whose clock never changes: what the observances of a VTIMEZONE need (RFC 5545, 3.6.5),
/// where there is no zone yet.
#[derive(Clone, Debug)]
pub struct CivilSeries {
    normalized: NormalizedRule,
    last: i64,
}

impl CivilSeries {
    /// Anchors `rule` at `start`. An UNTIL in UTC is moved into local time by `offset`, the seconds that the local
    /// clock is ahead of UTC (for an observance: TZOFFSETFROM).
    pub fn new(rule: &Rule, start: DateTime, offset: i32) -> CivilSeries {
        let civil = clock::FixedOffset { offset: offset.into() };
        let normalized =
            NormalizedRule::new(rule, gregorian::seconds(start), false, &clock::UTC_CLOCK, WorkMeter::default());
        let mut bounds = Bounds::of(rule.until, false, &civil);
        if let Some(last) = rule.count.and_then(|count| normalized.last(count, &clock::UTC_CLOCK)) {
            bounds.end_with(last, false);
        }
        let until = bounds.at.saturating_add(offset.into());
        CivilSeries { normalized, last: bounds.civil.min(until) }
    }

    /// The times that the rule gives at `from` and later, ascending, each once, lazily.
    pub fn from(&self, from: DateTime) -> impl Iterator<Item = DateTime> + '_ {
        let from = gregorian::seconds(from);
        let civil_times: Box<dyn Iterator<Item = i64>> = match &self.normalized {
            NormalizedRule::Civil(normalized) => Box::new(normalized.civil_times(from)),
            NormalizedRule::Elapsed(normalized) => {
                Box::new(Elapsed::new(normalized, &clock::UTC_CLOCK, from).map(|start| start.civil))
            }
        };
        civil_times.take_while(|civil| *civil <= self.last).map(gregorian::civil)
    }
}

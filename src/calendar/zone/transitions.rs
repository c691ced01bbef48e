//! The offsets of a VTIMEZONE: at a moment holds what the observance with the latest onset says (RFC 5545, 3.6.5).
//!
//! Onsets are worked out by spans of some years, when one is first asked for, and kept. A span does not depend on those
//! before it, because a rule can be entered anywhere: the year 2100 costs what 2026 does.

use std::sync::OnceLock;

use jiff::civil::DateTime;

use super::vtimezone::{Judged, VTimezone};
use super::{Ambiguity, CivilOffset, as_if_utc};
use crate::calendar::rrule::CivilSeries;
use crate::time::UtcMillis;

/// How long a span is: 16 years.
const SPAN: i64 = 16 * 31_556_952;
/// How many onsets are looked at in one span; real zones have two a year. Two a day for 16 years are as many.
const MAX_ONSETS: usize = 12_000;
/// How far back the latest onset of a rule is looked for, in seconds, at first and then ever farther, so that neither a
/// rule for every second nor one for every 28 years takes many steps.
const LOOK_BACK: &[i64] = &[3_600, 2 * 86_400, 400 * 86_400, 5 * 366 * 86_400, 60 * 366 * 86_400, 410 * 366 * 86_400];
/// Onsets that are passed over in one such look.
const MAX_STEPS: usize = 12_000;
/// Two days: twice the longest offset.
const TWO_DAYS: i64 = 2 * 86_400;
const FIRST: i64 = UtcMillis::MIN.seconds();
const LAST: i64 = UtcMillis::MAX.seconds();

/// A VTIMEZONE ready to be asked. Instants are seconds since 1970 in UTC, offsets seconds east of UTC.
#[derive(Debug)]
pub(super) struct Transitions {
    observances: Vec<Recurring>,
    /// The offset before the first onset: its TZOFFSETFROM.
    first_offset: i32,
    spans: Box<[OnceLock<Box<Span>>]>,
}

/// An observance: its onsets, and the offset from then on.
#[derive(Debug)]
struct Recurring {
    offset_from: i32,
    offset_to: i32,
    start: i64,
    /// The onsets that are written out, ascending.
    dates: Vec<i64>,
    rules: Vec<CivilSeries>,
}

/// Some years.
#[derive(Debug)]
struct Span {
    /// The offset when it begins.
    before: i32,
    /// Ascending.
    changes: Vec<Transition>,
}

/// A change of the offset.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transition {
    /// The first instant of the new offset, in seconds.
    pub at: i64,
    /// Seconds east of UTC from then on.
    pub offset: i32,
}

impl Transitions {
    /// Makes `zone` ready; none if it has no observance that can be used.
    pub fn new(zone: &VTimezone) -> Option<Transitions> {
        let observances: Vec<Recurring> = zone.judge().observances.into_iter().map(Recurring::new).collect();
        let first = observances.iter().min_by_key(|observance| observance.first())?;
        let spans = usize::try_from((LAST - FIRST) / SPAN + 1).unwrap_or_default();
        Some(Transitions {
            first_offset: first.offset_from,
            observances,
            spans: (0..spans).map(|_| OnceLock::new()).collect(),
        })
    }

    /// The offset at the instant `at`.
    pub fn offset(&self, at: i64) -> i32 {
        let Some(span) = self.span(index(at)) else { return self.first_offset };
        let passed = span.changes.partition_point(|change| change.at <= at);
        passed.checked_sub(1).and_then(|last| span.changes.get(last)).map_or(span.before, |change| change.offset)
    }

    /// The offset that rule 9 takes for the wall-clock time `civil`, in seconds as if it were UTC.
    pub fn offset_at_civil(&self, civil: i64) -> CivilOffset {
        let (from, until) = (civil.saturating_sub(TWO_DAYS), civil.saturating_add(TWO_DAYS));
        let (mut begins, mut offset) = (i64::MIN, self.offset(from));
        let (mut found, mut gap) = (None, None);
        // Between two changes `civil` lies at one instant, which is there or is not.
        for change in self.changes(from, until).chain([Transition { at: i64::MAX, offset: 0 }]) {
            let at = civil.saturating_sub(i64::from(offset));
            if (begins..change.at).contains(&at) {
                match found {
                    None => found = Some(offset),
                    Some(first) => return CivilOffset { offset: first, ambiguity: Ambiguity::Fold },
                }
            } else if at >= change.at && civil.saturating_sub(i64::from(change.offset)) < change.at {
                gap.get_or_insert(offset);
            }
            (begins, offset) = (change.at, change.offset);
        }
        match (found, gap) {
            (None, Some(before)) => CivilOffset { offset: before, ambiguity: Ambiguity::Gap },
            (found, _) => CivilOffset::exact(found.unwrap_or(self.first_offset)),
        }
    }

    /// The changes of the offset after `from` and until `until`, ascending.
    pub fn changes(&self, from: i64, until: i64) -> impl Iterator<Item = Transition> + '_ {
        let spans = (index(from)..=index(until)).filter_map(|index| self.span(index));
        spans.flat_map(move |span| {
            let up_to = |instant: i64| span.changes.partition_point(|change| change.at <= instant);
            span.changes.get(up_to(from)..up_to(until)).unwrap_or_default().iter().copied()
        })
    }

    /// The first change after `at`, or an instant before it when it does not come for some years.
    pub fn constant_until(&self, at: i64) -> i64 {
        let until = at.saturating_add(SPAN);
        self.changes(at, until).next().map_or(until, |change| change.at)
    }

    fn span(&self, index: usize) -> Option<&Span> {
        self.spans.get(index).map(|span| &**span.get_or_init(|| Box::new(self.work_out(index))))
    }

    fn work_out(&self, index: usize) -> Span {
        let from = FIRST.saturating_add(SPAN.saturating_mul(i64::try_from(index).unwrap_or(i64::MAX)));
        let until = from.saturating_add(SPAN);
        let latest = self
            .observances
            .iter()
            .filter_map(|observance| Some(observance.transition_at(observance.latest_before(from)?)));
        // Of two at the same instant the later one in the text holds.
        let before = latest.max_by_key(|onset| onset.at).map_or(self.first_offset, |onset| onset.offset);

        let mut onsets: Vec<Transition> = Vec::new();
        for observance in &self.observances {
            let room = MAX_ONSETS.saturating_sub(onsets.len());
            onsets.extend(observance.between(from, until).take(room).map(|at| observance.transition_at(at)));
        }
        onsets.sort_by_key(|onset| onset.at);
        let mut changes: Vec<Transition> = Vec::new();
        for onset in onsets {
            if changes.last().is_some_and(|last| last.at == onset.at) {
                changes.pop();
            }
            if changes.last().map_or(before, |last| last.offset) != onset.offset {
                changes.push(onset);
            }
        }
        Span { before, changes }
    }
}

impl Recurring {
    fn new(judged: Judged<'_>) -> Recurring {
        let Judged { observance, dates, rules } = judged;
        let instant = |civil: DateTime| seconds(civil).saturating_sub(i64::from(observance.offset_from));
        let mut dates: Vec<i64> = dates.iter().copied().map(instant).collect();
        dates.push(instant(observance.start));
        dates.sort_unstable();
        let rules = rules.iter().map(|rule| CivilSeries::new(rule, observance.start, observance.offset_from));
        Recurring {
            offset_from: observance.offset_from,
            offset_to: observance.offset_to,
            start: instant(observance.start),
            dates,
            rules: rules.collect(),
        }
    }

    /// Its onset at the instant `at`.
    fn transition_at(&self, at: i64) -> Transition {
        Transition { at, offset: self.offset_to }
    }

    fn first(&self) -> i64 {
        self.dates.first().copied().unwrap_or(self.start)
    }

    /// The onsets from `from` on and before `until`; ascending for each rule, not overall.
    fn between(&self, from: i64, until: i64) -> impl Iterator<Item = i64> + '_ {
        let dates = self.dates.iter().copied().filter(move |at| (from..until).contains(at));
        let rules = self.rules.iter().flat_map(move |rule| self.of_rule(rule, from).take_while(move |at| *at < until));
        dates.chain(rules)
    }

    /// The latest onset before `from`.
    fn latest_before(&self, from: i64) -> Option<i64> {
        let passed = self.dates.partition_point(|at| *at < from);
        let date = passed.checked_sub(1).and_then(|last| self.dates.get(last)).copied();
        let rules = self.rules.iter().filter_map(|rule| self.latest_of_rule(rule, from));
        rules.chain(date).max()
    }

    fn latest_of_rule(&self, rule: &CivilSeries, from: i64) -> Option<i64> {
        let look = |back: i64| {
            let onsets = self.of_rule(rule, from.saturating_sub(back).max(FIRST));
            onsets.take(MAX_STEPS).take_while(|at| *at < from).last()
        };
        // A rule that has ended is looked for from its start, if it is not found before.
        let all = from.saturating_sub(self.start);
        let steps = LOOK_BACK.iter().copied().take_while(move |back| *back < all).chain((all > 0).then_some(all));
        steps.into_iter().find_map(look)
    }

    fn of_rule<'a>(&'a self, rule: &'a CivilSeries, from: i64) -> impl Iterator<Item = i64> + 'a {
        let offset = i64::from(self.offset_from);
        rule.from(civil(from.saturating_add(offset))).map(move |civil| seconds(civil).saturating_sub(offset))
    }
}

fn index(at: i64) -> usize {
    usize::try_from((at.clamp(FIRST, LAST) - FIRST) / SPAN).unwrap_or_default()
}

/// The seconds since 1970 at which UTC's clocks show `civil`.
fn seconds(civil: DateTime) -> i64 {
    as_if_utc(civil).seconds()
}

/// What UTC's clocks show then.
fn civil(seconds: i64) -> DateTime {
    jiff::tz::Offset::UTC.to_datetime(UtcMillis::from_seconds(seconds).timestamp())
}

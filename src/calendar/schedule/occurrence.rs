//! Occurrences of one component and the instants that its alarms fire at: where they start, how long they are, which
//! are left out. Instants are found from anywhere in a series, without walking there.

use std::ops::ControlFlow;
use std::sync::Arc;

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime};

use super::resolve::{NamedZone, Point, day_start, shift, shift_by_steps, shift_civil};
use crate::calendar::ical::alarm::{Action, Alarm};
use crate::calendar::ical::component::{Component, RuleText};
use crate::calendar::ical::value::Duration;
use crate::calendar::rrule::{OccurrenceStart, Series, WorkMeter};
use crate::calendar::zone::Zone;
use crate::time::{UtcMillis, whole_millis};

/// The steps of work that a repetition of an alarm takes.
pub(super) const REPETITION: u64 = 4;
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// How far a nominal day can lie from 24 hours: a day may be skipped at the date line.
const SLACK: SignedDuration = SignedDuration::from_hours(26);
/// The same for rules that step by hours or less, where a day's worth of starts is too much to look at.
const SUB_DAILY_SLACK: SignedDuration = SignedDuration::from_hours(3);
/// So many starts in a row may be left out by an EXRULE before the search for one that is not gives up.
const MAX_LEFT_OUT: usize = 2_000;

/// Where occurrences come from.
#[derive(Clone, Debug)]
pub(crate) enum Starts {
    /// These, ascending.
    List(Arc<[OccurrenceStart]>),
    Rule {
        series: Arc<Series>,
        /// Steps by hours, minutes or seconds, or has several times a day.
        sub_daily: bool,
    },
}

/// What gives the starts of a source.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Given<'a> {
    /// DTSTART, RDATEs, or RECURRENCE-ID.
    Dates,
    Rule(&'a RuleText),
    /// An RDATE with an end of its own.
    Period,
}

/// A move on the way from the start of an occurrence to an alarm instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// To the end of the occurrence.
    End,
    /// By the days of the trigger, or by its time.
    Trigger(Duration),
    /// By the days of so many intervals between repetitions, or by their time.
    Repeat(u32, Duration),
}

/// How long an occurrence lasts.
#[derive(Clone, Debug)]
pub(crate) enum EventDuration {
    /// A to-do that is due at no time.
    Endless,
    /// Until then, as written; for what occurs once.
    Until(Point, NamedZone),
    /// Elapsed time (RFC 5545, 3.8.5.3); the end is shown in that zone.
    Exact(SignedDuration, NamedZone),
    /// DURATION: nominal days, then elapsed time.
    Nominal(Duration),
    /// Whole days of an all-day event.
    Days(i64),
}

/// What RECURRENCE-ID the occurrences of a source have.
#[derive(Clone, Debug)]
pub(crate) enum Identity {
    /// None: it does not recur.
    Single,
    /// Their original start.
    Start,
    /// This one: an override.
    Fixed(DateTime),
}

/// The starts that are not occurrences, or those of another component.
#[derive(Debug, Default)]
pub(crate) struct LeftOut {
    /// Ascending.
    pub(crate) instants: Vec<i64>,
    /// Whole days in the local time of the series, ascending.
    pub(crate) days: Vec<Date>,
    pub(crate) rules: Vec<Series>,
}

/// Whether a start is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Kept,
    LeftOut,
    WholeDay,
    ByRule,
}

impl LeftOut {
    pub(crate) fn is_empty(&self) -> bool {
        self.instants.is_empty() && self.days.is_empty() && self.rules.is_empty()
    }

    pub(crate) fn contains(&self, start: OccurrenceStart) -> bool {
        self.judge(start) != Verdict::Kept
    }

    pub(crate) fn judge(&self, start: OccurrenceStart) -> Verdict {
        if self.instants.binary_search(&start.at.0).is_ok() {
            Verdict::LeftOut
        } else if !self.days.is_empty() && self.days.binary_search(&start.civil.date()).is_ok() {
            Verdict::WholeDay
        } else if self.rules.iter().any(|rule| rule.from(start.at).next().is_some_and(|given| given.at == start.at)) {
            Verdict::ByRule
        } else {
            Verdict::Kept
        }
    }
}

/// An alarm with a relative trigger, ready to be worked with.
#[derive(Clone, Debug)]
pub(crate) struct Relative<'a> {
    pub(crate) alarm: &'a Alarm,
    pub(crate) action: Action,
    pub(crate) offset: Duration,
    pub(crate) at_end: bool,
    pub(crate) repeat: u32,
    pub(crate) interval: Duration,
    /// Runs that begin at or before this are done (rule 17).
    pub(crate) acknowledged: UtcMillis,
}

/// Occurrences of one component that are alike.
#[derive(Clone, Debug)]
pub(crate) struct OccurrenceSet<'a> {
    pub(crate) component: &'a Component,
    /// Where its starts are, once moved.
    pub(crate) zone: NamedZone,
    pub(crate) all_day: bool,
    pub(crate) length: EventDuration,
    pub(crate) identity: Identity,
    pub(crate) starts: Starts,
    pub(crate) given: Given<'a>,
    /// DTSTART, or what stands for it.
    pub(crate) first: UtcMillis,
    /// Original starts from this instant on…
    pub(crate) from: UtcMillis,
    /// … and before this one.
    pub(crate) until: UtcMillis,
    /// RANGE=THISANDFUTURE: how far in local time the new start is behind the original one, in the zone above.
    pub(crate) moved: Option<SignedDuration>,
    /// What EXDATE and EXRULE take away, and what overrides take the place of.
    pub(crate) left_out: [Option<Arc<LeftOut>>; 2],
    pub(crate) alarms: Arc<[Relative<'a>]>,
    /// What looking for its starts may cost.
    pub(crate) work: WorkMeter,
}

/// An occurrence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Occurrence {
    /// Where the series has it.
    pub(crate) original: OccurrenceStart,
    /// Where it is.
    pub(crate) start: OccurrenceStart,
}

/// A point in time, and the zone whose local clock it is shown on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ZonedPoint<'z> {
    pub(crate) point: Point,
    pub(crate) zone: &'z Zone,
}

/// Where an alarm is for an occurrence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AlarmInstants {
    /// Where its trigger leads, from which repetitions count.
    pub(crate) base: UtcMillis,
    /// Where the repetition that is asked for is.
    pub(crate) at: UtcMillis,
}

/// An alarm instance of an occurrence set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FoundInstance {
    /// An index into the alarms of the set.
    pub(crate) alarm: usize,
    /// Which repetition.
    pub(crate) nth: u32,
    pub(crate) occurrence: Occurrence,
    pub(crate) at: UtcMillis,
}

/// How far behind an original start an alarm instance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Distance {
    about: SignedDuration,
    /// How far off that may be.
    slack: SignedDuration,
}

impl Distance {
    fn least(self) -> SignedDuration {
        self.about.saturating_sub(self.slack)
    }

    fn most(self) -> SignedDuration {
        self.about.saturating_add(self.slack)
    }
}

/// So many days of 24 hours.
fn exact_days(days: i64) -> SignedDuration {
    SignedDuration::from_secs(days.saturating_mul(DAY.as_secs()))
}

impl<'a> OccurrenceSet<'a> {
    /// Whether it gives many starts a day.
    pub(super) fn is_sub_daily(&self) -> bool {
        matches!(self.starts, Starts::Rule { sub_daily: true, .. })
    }

    /// Calls `visit` for each occurrence whose original start is at or after `from`, in their order, until it breaks
    /// off.
    pub(crate) fn each(&self, from: UtcMillis, mut visit: impl FnMut(Occurrence) -> ControlFlow<()>) {
        let mut from = from.max(self.from);
        let mut left_out = 0;
        while from < self.until {
            let flow = match &self.starts {
                Starts::List(list) => {
                    let first = list.partition_point(|start| start.at < from);
                    let rest = list.get(first..).unwrap_or_default();
                    self.walk(rest.iter().copied(), &mut left_out, &mut visit)
                }
                Starts::Rule { series, .. } => {
                    let starts = series.from(from);
                    self.walk(starts, &mut left_out, &mut visit)
                }
            };
            match flow {
                Some(after) => from = after,
                None => return,
            }
        }
    }

    /// Walks along `starts`; returns the instant to go on from, where that saves looking at a whole day's starts.
    fn walk(
        &self,
        starts: impl Iterator<Item = OccurrenceStart>,
        left_out: &mut usize,
        visit: &mut impl FnMut(Occurrence) -> ControlFlow<()>,
    ) -> Option<UtcMillis> {
        for start in starts {
            if start.at >= self.until || !self.work.spend(1) {
                return None;
            }
            match self.judge(start) {
                Verdict::Kept => *left_out = 0,
                Verdict::LeftOut => continue,
                Verdict::WholeDay => match self.day_after(start) {
                    Some(after) if self.is_sub_daily() => return Some(after),
                    _ => continue,
                },
                Verdict::ByRule => {
                    *left_out += 1;
                    if *left_out > MAX_LEFT_OUT {
                        return None;
                    }
                    continue;
                }
            }
            match self.occurrence(start) {
                Some(occurrence) if visit(occurrence).is_break() => return None,
                // Moved beyond the last year: so are all that follow.
                None if self.moved.is_some_and(|moved| moved.is_positive()) => return None,
                _ => {}
            }
        }
        None
    }

    fn judge(&self, start: OccurrenceStart) -> Verdict {
        let verdicts = self.left_out.iter().flatten().map(|set| set.judge(start));
        let mut verdicts = verdicts;
        verdicts.find(|verdict| *verdict != Verdict::Kept).unwrap_or(Verdict::Kept)
    }

    fn day_after(&self, start: OccurrenceStart) -> Option<UtcMillis> {
        let after = day_start(&self.zone.zone, start.civil.date().tomorrow().ok()?);
        (after > start.at).then_some(after)
    }

    /// The occurrence whose original start is `original`.
    pub(crate) fn occurrence(&self, original: OccurrenceStart) -> Option<Occurrence> {
        let Some(moved) = self.moved else { return Some(Occurrence { original, start: original }) };
        let civil = shift_civil(original.civil, moved)?;
        let start = if self.all_day {
            OccurrenceStart { civil: civil.start_of_day(), at: day_start(&self.zone.zone, civil.date()) }
        } else {
            OccurrenceStart { civil, at: self.zone.zone.instant(civil).at }
        };
        Some(Occurrence { original, start })
    }

    /// The end of the occurrence that starts at `start`, in the zone that it is shown in.
    pub(crate) fn end(&self, start: OccurrenceStart) -> Option<ZonedPoint<'_>> {
        let own = &self.zone.zone;
        let from = ZonedPoint { point: Point::of(start), zone: own };
        match &self.length {
            EventDuration::Endless => None,
            EventDuration::Until(point, zone) => Some(ZonedPoint { point: *point, zone: &zone.zone }),
            EventDuration::Exact(length, _) if length.is_zero() => Some(from),
            EventDuration::Exact(length, zone) => {
                let at = UtcMillis(start.at.0.checked_add(whole_millis(*length))?);
                let point = Point { at, civil: None };
                Some(ZonedPoint { point, zone: &zone.zone })
            }
            EventDuration::Nominal(length) => Some(ZonedPoint { point: shift(from.point, *length, own)?, zone: own }),
            EventDuration::Days(0) => Some(from),
            EventDuration::Days(days) => {
                let civil = shift(from.point, Duration::days(*days), own)?.civil;
                Some(ZonedPoint { point: Point { at: day_start(own, civil?.date()), civil }, zone: own })
            }
        }
    }

    /// When repetition `nth` of `alarm` fires for that occurrence; none: it is acknowledged, or outside all years.
    fn instance(&self, alarm: &Relative<'_>, start: OccurrenceStart, nth: u32) -> Option<UtcMillis> {
        let instants = self.instants(alarm, start, nth)?;
        (instants.base > alarm.acknowledged).then_some(instants.at)
    }

    /// Where `alarm` and its repetition `nth` are for the occurrence that starts at `start`, acknowledged or not.
    pub(crate) fn instants(&self, alarm: &Relative<'_>, start: OccurrenceStart, nth: u32) -> Option<AlarmInstants> {
        self.instants_by_steps(alarm, start, nth, |_, _, _| ())
    }

    /// The same; `visit` is called with each move on the way, where it leads, and the zone of its local clock.
    pub(crate) fn instants_by_steps(
        &self,
        alarm: &Relative<'_>,
        start: OccurrenceStart,
        nth: u32,
        mut visit: impl FnMut(Move, Point, &Zone),
    ) -> Option<AlarmInstants> {
        let own = &self.zone.zone;
        let mut anchor = ZonedPoint { point: Point::of(start), zone: own };
        if alarm.at_end
            && let Some(end) = self.end(start)
        {
            anchor = end;
            visit(Move::End, end.point, end.zone);
        }
        let ZonedPoint { point, zone } = anchor;
        let base = shift_by_steps(point, alarm.offset, zone, |part, to| visit(Move::Trigger(part), to, zone))?;
        if nth == 0 {
            return Some(AlarmInstants { base: base.at, at: base.at });
        }
        let interval = alarm.interval.times(nth);
        let instance = shift_by_steps(base, interval, own, |part, to| visit(Move::Repeat(nth, part), to, own))?;
        Some(AlarmInstants { base: base.at, at: instance.at })
    }

    /// How far behind an original start repetition `nth` of `alarm` fires.
    fn distance(&self, alarm: &Relative<'_>, nth: u32) -> Distance {
        let interval = alarm.interval.times(nth);
        let days = alarm.offset.days.saturating_add(interval.days);
        let mut nominal = days != 0 || self.moved.is_some();
        let mut about = exact_days(days).saturating_add(alarm.offset.time).saturating_add(interval.time);
        about = about.saturating_add(self.moved.unwrap_or_default());
        if alarm.at_end {
            let length = match &self.length {
                EventDuration::Endless => SignedDuration::ZERO,
                // What occurs once has one start; it is cheaper to look at it than to guess.
                EventDuration::Until(..) => {
                    return Distance { about: SignedDuration::ZERO, slack: SignedDuration::MAX };
                }
                EventDuration::Exact(length, _) => *length,
                EventDuration::Nominal(length) => {
                    nominal |= length.days != 0;
                    exact_days(length.days).saturating_add(length.time)
                }
                EventDuration::Days(days) => {
                    nominal |= *days != 0;
                    exact_days(*days)
                }
            };
            about = about.saturating_add(length);
        }
        let slack = match (nominal, self.moved.is_some(), self.is_sub_daily()) {
            (false, ..) => SignedDuration::ZERO,
            (true, true, _) => SLACK.saturating_mul(2),
            (true, false, true) => SUB_DAILY_SLACK,
            (true, false, false) => SLACK,
        };
        Distance { about, slack }
    }

    /// The same for instances in [from, until), exactly if that is possible: for many starts a day it is worth the
    /// look whether the clocks change near these instances or their starts.
    fn distance_near(&self, alarm: &Relative<'_>, nth: u32, from: UtcMillis, until: UtcMillis) -> Distance {
        let distance = self.distance(alarm, nth);
        if distance.slack != SUB_DAILY_SLACK || until.duration_since(from) > DAY {
            return distance;
        }
        let first = from.saturating_sub(distance.most());
        let last = until.saturating_sub(distance.least());
        let zone = &self.zone.zone;
        let instance = |at: UtcMillis| self.instants(alarm, OccurrenceStart { civil: zone.civil(at), at }, nth);
        match (instance(first), instance(last)) {
            // The clocks stay as they are both where these starts are and where counting from them leads.
            (Some(early), Some(late))
                if zone.offset(first) == zone.offset(last)
                    && late.at.duration_since(early.at) == last.duration_since(first) =>
            {
                Distance { about: early.at.duration_since(first), slack: SignedDuration::ZERO }
            }
            _ => distance,
        }
    }

    /// The original start of the last occurrence for which `alarm` fired, acknowledged or not, at `until` or before;
    /// none within the last years.
    pub(super) fn last_fired(&self, alarm: &Relative<'_>, until: UtcMillis) -> Option<OccurrenceStart> {
        let latest = until.saturating_sub(self.distance(alarm, 0).least());
        [1, 8, 40, 400, 4_000].into_iter().find_map(|days| {
            let mut last = None;
            self.each(latest.saturating_sub(DAY.saturating_mul(days)), |occurrence| {
                if occurrence.original.at > latest {
                    return ControlFlow::Break(());
                }
                let fired = self.instants(alarm, occurrence.start, 0).is_some_and(|instants| instants.at <= until);
                last = if fired { Some(occurrence.original) } else { last };
                ControlFlow::Continue(())
            });
            last
        })
    }

    /// The first instance at or after `from` of any alarm, if it is before `best`.
    pub(crate) fn next(&self, from: UtcMillis, best: Option<UtcMillis>) -> Option<UtcMillis> {
        let mut best = best;
        for alarm in self.alarms.iter() {
            for nth in 0..=alarm.repeat {
                if !self.work.spend(REPETITION) {
                    return best;
                }
                self.next_of(alarm, nth, from, &mut best);
            }
        }
        best
    }

    /// The same for one repetition of one alarm.
    pub(crate) fn next_of(&self, alarm: &Relative<'_>, nth: u32, from: UtcMillis, best: &mut Option<UtcMillis>) {
        let distance = self.distance(alarm, nth);
        let first = self.from.saturating_add(distance.least());
        let last = self.until.saturating_add(distance.most());
        if last < from || best.is_some_and(|best| best < first) {
            return;
        }
        let soon = from.saturating_add(HOUR);
        let near = self.distance_near(alarm, nth, from, soon);
        if near != distance {
            self.search(alarm, nth, from, near, best);
            if best.is_some_and(|best| best < soon) {
                return;
            }
        }
        self.search(alarm, nth, from, distance, best);
    }

    /// Looks for the first instance at or after `from` and before `best`, given how far it is behind its start.
    fn search(
        &self,
        alarm: &Relative<'_>,
        nth: u32,
        from: UtcMillis,
        distance: Distance,
        best: &mut Option<UtcMillis>,
    ) {
        // A plain number, because it is added for each occurrence, and the sum may lie outside the years of UtcMillis.
        let least_millis = whole_millis(distance.least());
        self.each(self.earliest(alarm, from, distance), |occurrence| {
            if occurrence.original.at.0.saturating_add(least_millis) > best.unwrap_or(UtcMillis::MAX).0 {
                return ControlFlow::Break(());
            }
            match self.instance(alarm, occurrence.start, nth) {
                Some(at) if at >= from && best.is_none_or(|best| at < best) => *best = Some(at),
                _ => return ControlFlow::Continue(()),
            }
            if distance.slack.is_zero() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    }

    /// No occurrence before this instant fires at or after `from`.
    fn earliest(&self, alarm: &Relative<'_>, from: UtcMillis, distance: Distance) -> UtcMillis {
        let start = from.saturating_sub(distance.most());
        if alarm.acknowledged == UtcMillis::MIN {
            return start;
        }
        start.max(alarm.acknowledged.saturating_sub(self.distance(alarm, 0).most()))
    }

    /// Calls `found` with each instance in [from, until), alarm by alarm, at most `limit` of each alarm and repetition.
    pub(crate) fn instances(
        &self,
        from: UtcMillis,
        until: UtcMillis,
        limit: usize,
        mut found: impl FnMut(FoundInstance),
    ) {
        for (index, alarm) in self.alarms.iter().enumerate() {
            for nth in 0..=alarm.repeat {
                if !self.work.spend(REPETITION) {
                    return;
                }
                let distance = self.distance_near(alarm, nth, from, until);
                let least_millis = whole_millis(distance.least());
                let mut count = 0;
                self.each(self.earliest(alarm, from, distance), |occurrence| {
                    if occurrence.original.at.0.saturating_add(least_millis) >= until.0 || count >= limit {
                        return ControlFlow::Break(());
                    }
                    if let Some(at) = self.instance(alarm, occurrence.start, nth)
                        && from <= at
                        && at < until
                    {
                        found(FoundInstance { alarm: index, nth, occurrence, at });
                        count += 1;
                    }
                    ControlFlow::Continue(())
                });
            }
        }
    }
}

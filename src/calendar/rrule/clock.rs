//! From wall-clock seconds to instants: how a rule's times lie in a zone, in which order, and where they end. It knows
//! nothing of frequencies and BY parts.

use std::collections::VecDeque;

use jiff::civil::DateTime;

use super::Until;
use super::gregorian::{self, DAY};
use crate::calendar::zone::{Ambiguity, CivilInstant, Zone};
use crate::time::UtcMillis;

/// No clock is moved by more than this at once, and no zone changes twice within it (the date line: 24 hours).
const LONGEST_GAP: i64 = 25 * 3600;

/// No instant is computed with from here on.
pub(super) const END: i64 = UtcMillis::MAX.seconds();

/// A start: a wall-clock time and its instant. Expanding a rule works with plain seconds, because it adds and compares
/// them for each candidate: since 1970-01-01T00:00:00 in local time (`civil`), or in UTC (`at`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StartSeconds {
    pub civil: i64,
    pub at: i64,
}

/// The instant of a wall-clock time, in seconds since 1970-01-01T00:00:00 UTC.
#[derive(Clone, Copy, Debug)]
pub(super) struct InstantSeconds {
    pub at: i64,
    pub ambiguity: Ambiguity,
}

/// Where wall-clock times lie; all in seconds since 1970-01-01T00:00:00, in local time or in UTC.
pub(super) trait CivilClock {
    fn civil(&self, at: i64) -> i64;
    fn instant(&self, civil: i64) -> InstantSeconds;
    /// An instant up to which, not included, the local clock is as far ahead of UTC as at `at`; not always the last
    /// such one.
    fn constant_until(&self, at: i64) -> i64;
}

impl CivilClock for Zone {
    fn civil(&self, at: i64) -> i64 {
        at.saturating_add(self.offset(UtcMillis::from_seconds(at)).into())
    }

    fn instant(&self, civil: i64) -> InstantSeconds {
        let CivilInstant { at, ambiguity } = Zone::instant(self, gregorian::civil(civil));
        InstantSeconds { at: at.seconds(), ambiguity }
    }

    fn constant_until(&self, at: i64) -> i64 {
        Zone::constant_until(self, UtcMillis::from_seconds(at)).seconds()
    }
}

/// A zone that is always `offset` seconds ahead of UTC.
#[derive(Clone, Copy, Debug)]
pub(super) struct FixedOffset {
    pub offset: i64,
}

/// UTC.
pub(super) const UTC_CLOCK: FixedOffset = FixedOffset { offset: 0 };

impl CivilClock for FixedOffset {
    fn civil(&self, at: i64) -> i64 {
        at.saturating_add(self.offset)
    }

    fn instant(&self, civil: i64) -> InstantSeconds {
        InstantSeconds { at: civil.saturating_sub(self.offset), ambiguity: Ambiguity::Exact }
    }

    fn constant_until(&self, _at: i64) -> i64 {
        i64::MAX
    }
}

/// The end of a series; both bounds hold, both are included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub civil: i64,
    pub at: i64,
}

impl Bounds {
    /// What UNTIL says. A DATE includes that whole local day; a local time is one of DTSTART's zone; for an all-day
    /// series the day counts that the local clock shows then.
    pub fn of(until: Option<Until>, all_day: bool, clock: &impl CivilClock) -> Bounds {
        let open = Bounds { civil: i64::MAX, at: i64::MAX };
        let end_of_day = |seconds: i64| seconds - seconds.rem_euclid(DAY) + DAY - 1;
        match until {
            None => open,
            Some(Until::Date(date)) => Bounds { civil: end_of_day(gregorian::seconds(date.into())), ..open },
            Some(Until::Local(civil)) if all_day => Bounds { civil: end_of_day(gregorian::seconds(civil)), ..open },
            Some(Until::Local(civil)) => Bounds { civil: gregorian::seconds(civil), ..open },
            Some(Until::Utc(at)) if all_day => Bounds { civil: end_of_day(day_meant(at, clock)), ..open },
            Some(Until::Utc(at)) => Bounds { at: gregorian::seconds(at), ..open },
        }
    }

    /// Ends with the occurrence `last`: an instant in an elapsed series, else wall-clock time.
    pub fn end_with(&mut self, last: i64, elapsed: bool) {
        let bound = if elapsed { &mut self.at } else { &mut self.civil };
        *bound = last.min(*bound);
    }

    /// Turns the bound in local time into one in time: up to the first instant at which the local clock shows more.
    pub fn resolve(&mut self, clock: &impl CivilClock) {
        if self.civil < i64::MAX {
            self.at = self.at.min(clock.instant(self.civil + 1).at - 1);
        }
    }
}

/// The day that an UNTIL in UTC means for an all-day series. Programs write the day as if it were UTC (the first or
/// last second of it), or the instant at which it begins where the user is.
fn day_meant(at: DateTime, clock: &impl CivilClock) -> i64 {
    let seconds = gregorian::seconds(at);
    if matches!(seconds.rem_euclid(DAY), 0 | 86_399) { seconds } else { clock.civil(seconds) }
}

/// The earliest wall-clock time that can lie at the instant `from` or later. That is what the local clock shows then,
/// but for the times in a gap just before, which are placed after it.
pub(super) fn earliest_civil(clock: &impl CivilClock, from: i64) -> i64 {
    clock.civil(from).min(clock.civil(from.saturating_sub(LONGEST_GAP)).saturating_add(LONGEST_GAP))
}

/// Places ascending wall-clock times and gives the starts from `from` on, ascending by instant, each instant once.
/// Only times in a gap can come out of order: 02:30 lies at 03:30, after 03:00.
pub(super) struct InOrder<'a, I, P> {
    civil_times: I,
    clock: &'a P,
    /// The earliest instant that may still come.
    from: i64,
    peeked: Option<i64>,
    resolved: VecDeque<StartSeconds>,
}

impl<'a, I: Iterator<Item = i64>, P: CivilClock> InOrder<'a, I, P> {
    pub fn new(civil_times: I, clock: &'a P, from: i64) -> Self {
        InOrder { civil_times, clock, from, peeked: None, resolved: VecDeque::new() }
    }

    fn next_resolved(&mut self) -> Option<StartSeconds> {
        if let Some(start) = self.resolved.pop_front() {
            return Some(start);
        }
        let civil = self.peeked.take().or_else(|| self.civil_times.next())?;
        let InstantSeconds { at, ambiguity } = self.clock.instant(civil);
        if ambiguity == Ambiguity::Gap {
            self.resolve_gap(civil, at);
            return self.resolved.pop_front();
        }
        Some(StartSeconds { civil, at })
    }

    /// Places the times of a gap together with those after it that lie no later, and sorts them.
    fn resolve_gap(&mut self, civil: i64, at: i64) {
        self.resolved.push_back(StartSeconds { civil, at });
        let mut limit = self.clock.civil(at);
        for civil in self.civil_times.by_ref() {
            if civil >= limit {
                self.peeked = Some(civil);
                break;
            }
            let InstantSeconds { at, ambiguity } = self.clock.instant(civil);
            if ambiguity == Ambiguity::Gap {
                limit = limit.max(self.clock.civil(at));
            }
            self.resolved.push_back(StartSeconds { civil, at });
        }
        self.resolved.make_contiguous().sort_by_key(|start| (start.at, start.civil));
    }
}

impl<I: Iterator<Item = i64>, P: CivilClock> Iterator for InOrder<'_, I, P> {
    type Item = StartSeconds;

    fn next(&mut self) -> Option<StartSeconds> {
        loop {
            let start = self.next_resolved()?;
            if start.at >= self.from {
                self.from = start.at.saturating_add(1);
                return Some(start);
            }
        }
    }
}

//! From wall-clock seconds to instants: how a rule's times lie in a zone, in which order, and where they end. It knows
//! nothing of frequencies and BY parts.

use std::collections::VecDeque;

use jiff::civil::DateTime;

use super::Until;
use super::civil::{self, DAY};
use crate::calendar::zone::{Fit, Zone};
use crate::time::UtcMillis;

/// No clock is moved by more than this at once, and no zone changes twice within it (the date line: 24 hours).
const LONGEST_GAP: i64 = 25 * 3600;

/// No instant is computed with from here on.
pub(super) const END: i64 = UtcMillis::MAX.0 / 1000;

/// Where wall-clock times lie; all in seconds since 1970-01-01T00:00:00, on the wall or in UTC.
pub(super) trait Place {
    fn wall(&self, at: i64) -> i64;
    fn instant(&self, wall: i64) -> (i64, Fit);
    /// An instant up to which, not included, the wall is as far ahead of UTC as at `at`; not always the last such one.
    fn constant_until(&self, at: i64) -> i64;
}

impl Place for Zone {
    fn wall(&self, at: i64) -> i64 {
        at.saturating_add(self.offset(UtcMillis(at.saturating_mul(1000))).into())
    }

    fn instant(&self, wall: i64) -> (i64, Fit) {
        let (at, fit) = Zone::instant(self, civil::wall(wall));
        (at.0.div_euclid(1000), fit)
    }

    fn constant_until(&self, at: i64) -> i64 {
        Zone::constant_until(self, UtcMillis(at.saturating_mul(1000))).0.div_euclid(1000)
    }
}

/// A wall that is always `offset` seconds ahead of UTC.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fixed {
    pub offset: i64,
}

/// A wall that shows UTC.
pub(super) const STILL: Fixed = Fixed { offset: 0 };

impl Place for Fixed {
    fn wall(&self, at: i64) -> i64 {
        at.saturating_add(self.offset)
    }

    fn instant(&self, wall: i64) -> (i64, Fit) {
        (wall.saturating_sub(self.offset), Fit::Exact)
    }

    fn constant_until(&self, _at: i64) -> i64 {
        i64::MAX
    }
}

/// The end of a series; both bounds hold, both are included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub wall: i64,
    pub at: i64,
}

impl Bounds {
    /// What UNTIL says. A DATE includes that whole local day; a local time is one of DTSTART's zone; for an all-day
    /// series the day counts that the wall shows then.
    pub fn of(until: Option<Until>, all_day: bool, place: &impl Place) -> Bounds {
        let open = Bounds { wall: i64::MAX, at: i64::MAX };
        let end_of_day = |seconds: i64| seconds - seconds.rem_euclid(DAY) + DAY - 1;
        match until {
            None => open,
            Some(Until::Date(date)) => Bounds { wall: end_of_day(civil::seconds(date.into())), ..open },
            Some(Until::Local(wall)) if all_day => Bounds { wall: end_of_day(civil::seconds(wall)), ..open },
            Some(Until::Local(wall)) => Bounds { wall: civil::seconds(wall), ..open },
            Some(Until::Utc(at)) if all_day => Bounds { wall: end_of_day(day_meant(at, place)), ..open },
            Some(Until::Utc(at)) => Bounds { at: civil::seconds(at), ..open },
        }
    }

    /// Ends with the occurrence `last`: an instant in an elapsed series, else wall-clock time.
    pub fn end_with(&mut self, last: i64, elapsed: bool) {
        let bound = if elapsed { &mut self.at } else { &mut self.wall };
        *bound = last.min(*bound);
    }

    /// Turns the bound on the wall into one in time: up to the first instant at which the wall shows more.
    pub fn place(&mut self, place: &impl Place) {
        if self.wall < i64::MAX {
            self.at = self.at.min(place.instant(self.wall + 1).0 - 1);
        }
    }
}

/// The day that an UNTIL in UTC means for an all-day series. Programs write the day as if it were UTC (the first or
/// last second of it), or the instant at which it begins where the user is.
fn day_meant(at: DateTime, place: &impl Place) -> i64 {
    let seconds = civil::seconds(at);
    if matches!(seconds.rem_euclid(DAY), 0 | 86_399) { seconds } else { place.wall(seconds) }
}

/// The earliest wall-clock time that can lie at the instant `from` or later. That is what the wall shows then, but for
/// the times in a gap just before, which are placed after it.
pub(super) fn earliest_wall(place: &impl Place, from: i64) -> i64 {
    place.wall(from).min(place.wall(from.saturating_sub(LONGEST_GAP)).saturating_add(LONGEST_GAP))
}

/// Places ascending wall-clock times and gives (wall, instant) from `from` on, ascending by instant, each instant once.
/// Only times in a gap can come out of order: 02:30 lies at 03:30, after 03:00.
pub(super) struct InOrder<'a, I, P> {
    walls: I,
    place: &'a P,
    /// The earliest instant that may still come.
    from: i64,
    peeked: Option<i64>,
    placed: VecDeque<(i64, i64)>,
}

impl<'a, I: Iterator<Item = i64>, P: Place> InOrder<'a, I, P> {
    pub fn new(walls: I, place: &'a P, from: i64) -> Self {
        InOrder { walls, place, from, peeked: None, placed: VecDeque::new() }
    }

    fn next_placed(&mut self) -> Option<(i64, i64)> {
        if let Some(start) = self.placed.pop_front() {
            return Some(start);
        }
        let wall = self.peeked.take().or_else(|| self.walls.next())?;
        match self.place.instant(wall) {
            (at, Fit::Gap) => {
                self.place_gap(wall, at);
                self.placed.pop_front()
            }
            (at, _) => Some((wall, at)),
        }
    }

    /// Places the times of a gap together with those after it that lie no later, and sorts them.
    fn place_gap(&mut self, wall: i64, at: i64) {
        self.placed.push_back((wall, at));
        let mut limit = self.place.wall(at);
        for wall in self.walls.by_ref() {
            if wall >= limit {
                self.peeked = Some(wall);
                break;
            }
            let (at, fit) = self.place.instant(wall);
            if fit == Fit::Gap {
                limit = limit.max(self.place.wall(at));
            }
            self.placed.push_back((wall, at));
        }
        self.placed.make_contiguous().sort_by_key(|(wall, at)| (*at, *wall));
    }
}

impl<I: Iterator<Item = i64>, P: Place> Iterator for InOrder<'_, I, P> {
    type Item = (i64, i64);

    fn next(&mut self) -> Option<(i64, i64)> {
        loop {
            let (wall, at) = self.next_placed()?;
            if at >= self.from {
                self.from = at.saturating_add(1);
                return Some((wall, at));
            }
        }
    }
}

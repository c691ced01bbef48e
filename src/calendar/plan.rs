//! The plan of one object: which rings a window of time holds, and when the next one is.
//!
//! A plan is worked out from an object and its surroundings; asking it costs the same however old a series is. It joins what
//! rings as one (rule 20) and leaves out what one clock hour has too much of (rule 24).

use std::collections::HashMap;
use std::ops::Range;

use super::build::{Builder, Fixed};
use super::component::{Component, Kind};
use super::object::{Fault, Object};
use super::occurrence::{Identity, Occurrence, Relative, Source, Start, Starts};
use super::place::shift;
use super::ring::{Ring, When, in_order};
use super::surroundings::Surroundings;
use crate::time::UtcMillis;

const HOUR: i64 = 3_600_000;
/// No more suppressed rings of one object are counted at once.
const MAX_COUNTED: u64 = 1_000_000;

/// Whether an object can ring more often in an hour than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Crowd {
    No,
    Possible,
    /// It has rules that step by hours or less: an hour is looked at by itself.
    SubDaily,
}

/// When the alarms of one object ring.
#[derive(Debug)]
pub struct Plan<'a> {
    sources: Vec<Source<'a>>,
    fixed: Vec<Fixed<'a>>,
    faults: Vec<Fault>,
    zones: Vec<String>,
    memo: Option<String>,
    crowd: Crowd,
    cap: usize,
}

impl<'a> Plan<'a> {
    /// Plans `object`. `memo` is what [`Plan::memo`] of an earlier plan of the same text said; without it, or with one of
    /// another text, rules with COUNT are counted again.
    pub fn new(object: &'a Object, around: &'a Surroundings, memo: Option<&str>) -> Plan<'a> {
        let mut builder = Builder::new(object, around, memo);
        for group in groups(&object.components) {
            builder.add(&group);
        }
        let mut faults = builder.faults;
        if !object.faults.is_empty() {
            faults.extend(object.faults.iter().cloned());
        }
        faults.sort_by(|a, b| a.line.cmp(&b.line).then_with(|| a.text.cmp(&b.text)));
        faults.dedup();
        let memo = (!builder.memo.now.is_empty()).then(|| serde_json::to_string(&builder.memo.now).unwrap_or_default());
        let mut plan = Plan {
            zones: builder.places.ids(),
            sources: builder.sources,
            fixed: builder.fixed,
            faults,
            memo,
            crowd: Crowd::No,
            cap: around.limits.max_rings_per_hour as usize,
        };
        plan.crowd = plan.crowd();
        plan
    }

    /// The rings in the window (from ≤ ring < until), ascending by instant, each once, without those that are suppressed.
    /// The caller bounds the window: a plan of an endless series has as many rings as the window has room for.
    pub fn rings(&self, window: Range<UtcMillis>) -> Vec<Ring<'a>> {
        let Range { start: from, end: until } = window;
        match self.crowd {
            Crowd::No => self.collect(from, until, usize::MAX),
            Crowd::Possible => {
                let mut rings = self.collect(hour_of(from), until, usize::MAX);
                let mut rank = Rank::default();
                rings.retain(|ring| rank.next(ring.at) < self.cap && ring.at >= from);
                rings
            }
            Crowd::SubDaily => {
                let mut rings = Vec::new();
                self.each_hour(from, until, |hour, end| {
                    let mut chunk = self.collect(hour, end, self.cap);
                    chunk.truncate(self.cap);
                    rings.extend(chunk.into_iter().filter(|ring| ring.at >= from));
                });
                rings
            }
        }
    }

    /// How many rings in the window are suppressed, because their UTC clock hour has more than `max_rings_per_hour` (rule
    /// 24). Costs nothing for objects to which this can't happen; counts no more than a million.
    pub fn suppressed(&self, window: Range<UtcMillis>) -> u64 {
        let Range { start: from, end: until } = window;
        let mut count = 0;
        if self.crowd != Crowd::No {
            self.each_hour(from, until, |hour, end| {
                if count < MAX_COUNTED {
                    let rings = self.collect(hour, end, usize::MAX);
                    count += rings.iter().skip(self.cap).filter(|ring| ring.at >= from).count() as u64;
                }
            });
        }
        count.min(MAX_COUNTED)
    }

    /// The instant of the first ring at or after `from` that is not suppressed; none: it never rings again.
    pub fn next_ring(&self, from: UtcMillis) -> Option<UtcMillis> {
        let mut next = self.next(from)?;
        if self.crowd == Crowd::No {
            return Some(next);
        }
        // A second look is enough unless the first ring of an hour is suppressed, which only a limit of none brings about.
        for _ in 0..3 {
            let hour = hour_of(next);
            let before = self.collect(hour, next, self.cap);
            if before.len() < self.cap {
                return Some(next);
            }
            next = self.next(hour.plus(HOUR))?;
        }
        None
    }

    /// What was left out of the object, or read with a doubt, in the order of the lines.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// The ids of the zones that its times depend on, in alphabetical order. Those that the object defines are among them.
    pub fn zones(&self) -> &[String] {
        &self.zones
    }

    /// What the next plan of the same text need not work out again, as JSON; none: there is nothing to remember. To be
    /// forgotten when the time zone database changes.
    pub fn memo(&self) -> Option<&str> {
        self.memo.as_deref()
    }

    /// Whether, and by what, more rings than are allowed can fall into one hour.
    fn crowd(&self) -> Crowd {
        let mut most = 0_usize;
        let mut crowd = Crowd::Possible;
        for source in &self.sources {
            let rings: usize = source.alarms.iter().map(|alarm| alarm.repeat as usize + 1).sum();
            let starts = match &source.starts {
                Starts::List(list) => list.len(),
                Starts::Rule { .. } => 2,
            };
            if source.is_sub_daily() && rings > 0 {
                crowd = Crowd::SubDaily;
            }
            most = most.saturating_add(rings.saturating_mul(starts));
        }
        most = self.fixed.iter().fold(most, |most, fixed| most.saturating_add(fixed.repeat as usize + 1));
        if crowd == Crowd::Possible && most <= self.cap { Crowd::No } else { crowd }
    }

    /// Calls `visit` with each UTC clock hour that touches the window and has rings, cut at the window's end.
    fn each_hour(&self, from: UtcMillis, until: UtcMillis, mut visit: impl FnMut(UtcMillis, UtcMillis)) {
        let mut next = self.next(from);
        while let Some(at) = next.filter(|at| *at < until) {
            let hour = hour_of(at);
            let end = hour.plus(HOUR);
            visit(hour, end.min(until));
            if end >= UtcMillis::MAX {
                return;
            }
            next = self.next(end);
        }
    }

    /// The first ring at or after `from`, suppressed or not.
    fn next(&self, from: UtcMillis) -> Option<UtcMillis> {
        let mut best = None;
        for fixed in &self.fixed {
            for nth in 0..=fixed.repeat {
                let at = self.fixed_at(fixed, nth).filter(|at| *at >= from);
                best = best.into_iter().chain(at).min();
            }
        }
        self.sources.iter().fold(best, |best, source| source.next(from, best))
    }

    fn fixed_at(&self, fixed: &Fixed<'_>, nth: u32) -> Option<UtcMillis> {
        if nth == 0 {
            return Some(fixed.base.at);
        }
        let source = self.sources.get(fixed.source)?;
        shift(fixed.base, fixed.interval.times(nth), &source.zone.zone).map(|point| point.at)
    }

    /// The rings in [from, until), in order and joined, suppressed or not; at most `limit` of each alarm of each source.
    fn collect(&self, from: UtcMillis, until: UtcMillis, limit: usize) -> Vec<Ring<'a>> {
        let mut rings = Vec::new();
        for source in &self.sources {
            source.rings(from, until, limit, |relative, occurrence, at| {
                rings.push(ring_of(source, relative, occurrence, at));
            });
        }
        for fixed in &self.fixed {
            for at in (0..=fixed.repeat).filter_map(|nth| self.fixed_at(fixed, nth)) {
                if from <= at && at < until {
                    rings.extend(self.fixed_ring(fixed, at));
                }
            }
        }
        in_order(&mut rings);
        rings
    }

    fn fixed_ring(&self, fixed: &Fixed<'a>, at: UtcMillis) -> Option<Ring<'a>> {
        let source = self.sources.get(fixed.source)?;
        let original = fixed.original.or_else(|| self.occurrence_near(source.component, fixed.base.at));
        let occurrence = original.and_then(|original| source.occurrence(original));
        let recurrence_id = match source.identity {
            Identity::Single => None,
            Identity::Fixed(wall) => Some(wall),
            Identity::Start => fixed.original.map(|original| original.wall),
        };
        let (start, end) = bounds(source, occurrence.map(|occurrence| occurrence.start));
        Some(Ring {
            at,
            action: fixed.action,
            component: source.component,
            alarm: fixed.alarm,
            joined: fixed.joined.clone(),
            start,
            end,
            zone: source.zone.zone.clone(),
            zone_known: source.zone.known,
            recurrence_id,
        })
    }

    /// The occurrence that an absolute alarm of a component speaks of: the first one that starts at or after `at`, else the
    /// last of those that are listed.
    fn occurrence_near(&self, component: &Component, at: UtcMillis) -> Option<Start> {
        let own = self.sources.iter().filter(|source| std::ptr::eq(source.component, component));
        let (mut next, mut last) = (None::<Start>, None::<Start>);
        for source in own {
            source.each(at, |occurrence| {
                if next.is_none_or(|next| occurrence.original.at < next.at) {
                    next = Some(occurrence.original);
                }
                std::ops::ControlFlow::Break(())
            });
            if let Starts::List(list) = &source.starts {
                last = last.or(list.last().copied());
            }
        }
        next.or(last)
    }
}

/// Counts rings within their hours.
#[derive(Debug, Default)]
struct Rank {
    hour: Option<UtcMillis>,
    count: usize,
}

impl Rank {
    /// How many rings came before this one in its hour.
    fn next(&mut self, at: UtcMillis) -> usize {
        let hour = Some(hour_of(at));
        self.count = if self.hour == hour { self.count + 1 } else { 0 };
        self.hour = hour;
        self.count
    }
}

fn hour_of(at: UtcMillis) -> UtcMillis {
    UtcMillis(at.0.div_euclid(HOUR) * HOUR)
}

fn ring_of<'a>(source: &Source<'a>, relative: &Relative<'a>, occurrence: Occurrence, at: UtcMillis) -> Ring<'a> {
    let (start, end) = bounds(source, Some(occurrence.start));
    Ring {
        at,
        action: relative.action,
        component: source.component,
        alarm: Some(relative.alarm),
        joined: Vec::new(),
        start,
        end,
        zone: source.zone.zone.clone(),
        zone_known: source.zone.known,
        recurrence_id: match source.identity {
            Identity::Single => None,
            Identity::Start => Some(occurrence.original.wall),
            Identity::Fixed(wall) => Some(wall),
        },
    }
}

/// Start and end of an occurrence as the notification tells them.
fn bounds(source: &Source<'_>, start: Option<Start>) -> (Option<When>, Option<When>) {
    let Some(start) = start else { return (None, None) };
    let end = source.end(start);
    if !source.all_day {
        return (Some(When::At(start.at)), end.map(|(end, _)| When::At(end.at)));
    }
    let end = end.map(|(end, zone)| {
        let wall = end.wall.unwrap_or_else(|| zone.wall(end.at));
        // A length of hours makes the day that it ends in count.
        let whole = wall == wall.start_of_day();
        When::Date(if whole { wall.date() } else { wall.date().tomorrow().unwrap_or(wall.date()) })
    });
    (Some(When::Date(start.wall.date())), end)
}

/// The components of one UID and kind, in the order of the text.
fn groups(components: &[Component]) -> Vec<Vec<&Component>> {
    if let [only] = components {
        return vec![vec![only]];
    }
    let mut groups: Vec<Vec<&Component>> = Vec::new();
    let mut index: HashMap<(Kind, &str), usize> = HashMap::new();
    for component in components {
        let next = groups.len();
        let place = *index.entry((component.kind, &*component.uid)).or_insert(next);
        match groups.get_mut(place) {
            Some(group) => group.push(component),
            None => groups.push(vec![component]),
        }
    }
    groups
}

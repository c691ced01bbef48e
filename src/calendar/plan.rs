//! The plan of one object: which rings a window of time holds, and when the next one is.
//!
//! A plan is worked out from an object and its surroundings; asking it costs the same however old a series is.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::build::Builder;
use super::component::{Component, Kind};
use super::group::{Group, HOUR, Rank, hour_of};
use super::object::{Fault, Object};
use super::place::Places;
use super::recur::Work;
use super::ring::{Ring, in_order};
use super::silence::Silence;
use super::surroundings::Surroundings;
use super::value::quoted;
use crate::time::UtcMillis;

/// Of all work that an object may cost at a time, what the components of one UID may cost: that share.
const SHARE: u64 = 4;
/// All UIDs of an object have so many times as many rings an hour as one may have.
const UIDS: usize = 10;
/// The steps of work that those of each UID may cost even where the others have cost all: what simple rules need.
const LEAST: u64 = 200;

/// When the alarms of one object ring.
#[derive(Debug)]
pub struct Plan<'a> {
    pub(super) object: &'a Object,
    pub(super) around: &'a Surroundings,
    pub(super) groups: Vec<Group<'a>>,
    faults: Vec<Fault>,
    zones: Vec<String>,
    awaited: Vec<String>,
    memo: Option<String>,
    /// Of all its rules.
    work: Work,
    /// Where the components begin that cost too much work, and their UIDs.
    overworked: RefCell<BTreeMap<u32, &'a str>>,
    /// What only the explanation asks for.
    pub(super) places: Places,
    pub(super) silences: Vec<(&'a Component, Silence)>,
    pub(super) replacements: Vec<(UtcMillis, &'a Component)>,
}

impl<'a> Plan<'a> {
    /// Plans `object`. `memo` is what [`Plan::memo`] of an earlier plan of the same text said; without it, or with one of
    /// another text, rules with COUNT are counted again.
    pub fn new(object: &'a Object, around: &'a Surroundings, memo: Option<&str>) -> Plan<'a> {
        let work = Work::of(around.limits.max_work);
        let mut builder = Builder::new(object, around, memo, work.clone());
        let mut overworked = BTreeMap::new();
        let mut purse = Purse::new(&work, around.limits.max_work);
        let mut groups = Vec::new();
        for components in of_one_uid(&object.components) {
            let (group, is_paid) = purse.pay(|| builder.group(&components));
            if is_paid {
                groups.extend(group);
            } else {
                overworked.extend(components.first().map(|first| (first.line, &*first.uid)));
                builder.silences.extend(components.iter().map(|component| (*component, Silence::Overworked)));
            }
        }
        drop(purse);
        let mut faults = std::mem::take(&mut builder.faults);
        faults.extend(object.faults.iter().cloned());
        faults.sort_by(|a, b| a.line.cmp(&b.line).then_with(|| a.text.cmp(&b.text)));
        faults.dedup();
        faults.truncate(2 * around.limits.max_faults);
        let Builder { places, memo, silences, replacements, .. } = builder;
        let (zones, awaited, memo) = (places.ids(), places.awaited(), memo.to_json());
        let overworked = RefCell::new(overworked);
        Plan { object, around, groups, faults, zones, awaited, memo, work, overworked, places, silences, replacements }
    }

    /// The rings in the window (from ≤ ring < until), ascending by instant, each once, without those that are suppressed.
    /// The caller bounds the window: an endless series has as many rings as the window has room for.
    pub fn rings(&self, window: Range<UtcMillis>) -> Vec<Ring<'a>> {
        let Some(cap) = self.cap() else { return self.rings_of_all(window) };
        let mut rank = Rank::default();
        let mut rings = self.rings_of_all(hour_of(window.start)..window.end);
        rings.retain(|ring| rank.next(ring.at) < cap && ring.at >= window.start);
        rings
    }

    /// Rings in one UTC clock hour, where its UIDs together can have more.
    fn cap(&self) -> Option<usize> {
        let cap = self.around.limits.max_rings_per_hour as usize * UIDS;
        let most = self.groups.iter().map(Group::most_an_hour).fold(0, usize::saturating_add);
        (most > cap).then_some(cap)
    }

    /// The rings of all UIDs, each of which has no more an hour than it may.
    fn rings_of_all(&self, window: Range<UtcMillis>) -> Vec<Ring<'a>> {
        let mut rings = Vec::new();
        self.paid(|group| {
            let mut own = Vec::new();
            group.rings(window.start, window.end, &mut own);
            Some(own)
        })
        .for_each(|own| rings.extend(own));
        in_order(&mut rings);
        rings
    }

    /// How many rings in the window are suppressed, because a UTC clock hour has more of one UID than `max_rings_per_hour`, or
    /// ten times as many of all UIDs (rule 24). Costs nothing for objects to which this can't happen; counts no more than a
    /// million of each UID.
    pub fn suppressed(&self, window: Range<UtcMillis>) -> u64 {
        let of_groups: u64 = self.paid(|group| Some(group.suppressed(window.start, window.end))).sum();
        let Some(cap) = self.cap() else { return of_groups };
        let mut rank = Rank::default();
        let rings = self.rings_of_all(hour_of(window.start)..window.end);
        let too_many = rings.iter().filter(|ring| rank.next(ring.at) >= cap && ring.at >= window.start);
        of_groups.saturating_add(too_many.count() as u64)
    }

    /// The instant of the first ring at or after `from` that is not suppressed; none: it never rings again.
    pub fn next_ring(&self, from: UtcMillis) -> Option<UtcMillis> {
        let mut next = self.next_of_all(from)?;
        let Some(cap) = self.cap() else { return Some(next) };
        for _ in 0..3 {
            let hour = hour_of(next);
            if self.rings_of_all(hour..next).len() < cap {
                return Some(next);
            }
            next = self.next_of_all(hour.plus(HOUR))?;
        }
        None
    }

    fn next_of_all(&self, from: UtcMillis) -> Option<UtcMillis> {
        self.paid(|group| group.next_ring(from)).min()
    }

    /// What is silent because its rules cost more work than `max_work` allows, so far as what was asked of this plan has shown.
    pub fn overworked(&self) -> Vec<Fault> {
        let told = |(line, uid): (&u32, &&str)| {
            let uid = quoted(uid);
            let text =
                format!("its rules take more work than limits.max_work allows: the component {uid} does not ring");
            Fault { line: *line, text }
        };
        self.overworked.borrow().iter().take(self.around.limits.max_faults).map(told).collect()
    }

    /// What `ask` comes to for each group, without those that cost more work than they may.
    fn paid<T>(&self, mut ask: impl FnMut(&Group<'a>) -> Option<T>) -> impl Iterator<Item = T> {
        let mut purse = Purse::new(&self.work, self.around.limits.max_work);
        self.groups.iter().filter_map(move |group| {
            let component = group.sources.first().map(|source| source.component)?;
            if self.overworked.borrow().contains_key(&component.line) {
                return None;
            }
            let (answer, is_paid) = purse.pay(|| ask(group));
            if !is_paid {
                self.overworked.borrow_mut().insert(component.line, &*component.uid);
            }
            answer.filter(|_| is_paid)
        })
    }

    /// What was left out of the object, or read with a doubt, in the order of the lines.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// The ids of the zones that its times depend on, in alphabetical order. Those that the object defines are among them.
    pub fn zones(&self) -> &[String] {
        &self.zones
    }

    /// Ids, in lower case, that its times would depend on if the time zone database had them: TZIDs that nobody knows, or
    /// that only the object itself knows.
    pub fn awaited_zones(&self) -> &[String] {
        &self.awaited
    }

    /// What the next plan of the same text need not work out again, as JSON; none: there is nothing to remember. To be
    /// forgotten when the time zone database changes.
    pub fn memo(&self) -> Option<&str> {
        self.memo.as_deref()
    }
}

/// The rings of `groups` in a window, as [`Plan::rings`] gives them.
pub(super) fn rings_of<'p, 'a: 'p>(
    groups: impl Iterator<Item = &'p Group<'a>>,
    window: Range<UtcMillis>,
) -> Vec<Ring<'a>> {
    let mut rings = Vec::new();
    for group in groups {
        group.rings(window.start, window.end, &mut rings);
    }
    in_order(&mut rings);
    rings
}

/// What the groups of an object may cost, one after the other.
struct Purse<'w> {
    work: &'w Work,
    all: u64,
    left: u64,
}

impl<'w> Purse<'w> {
    fn new(work: &'w Work, all: u64) -> Purse<'w> {
        Purse { work, all, left: all }
    }

    /// Does `task`, and says whether there was enough for it.
    fn pay<T>(&mut self, task: impl FnOnce() -> T) -> (T, bool) {
        let allowance = self.left.min(self.all / SHARE).max(LEAST);
        self.work.allow(allowance);
        let done = task();
        self.left = self.left.saturating_sub(allowance - self.work.left().min(allowance));
        (done, !self.work.is_spent())
    }
}

impl Drop for Purse<'_> {
    /// Who asks for something else than an answer of all groups has as much again.
    fn drop(&mut self) {
        self.work.allow(self.all);
    }
}

/// The first ring of `groups`, as [`Plan::next_ring`] gives it.
pub(super) fn next_of<'p, 'a: 'p>(groups: impl Iterator<Item = &'p Group<'a>>, from: UtcMillis) -> Option<UtcMillis> {
    groups.filter_map(|group| group.next_ring(from)).min()
}

/// The components that belong together: of one UID and kind, in the order of the text. One without UID is alone.
fn of_one_uid(components: &[Component]) -> Vec<Vec<&Component>> {
    if let [only] = components {
        return vec![vec![only]];
    }
    let mut groups: Vec<Vec<&Component>> = Vec::new();
    let mut index: HashMap<(Kind, &str, &str), usize> = HashMap::new();
    for component in components {
        let next = groups.len();
        let place = *index.entry((component.kind, &*component.uid, &*component.own)).or_insert(next);
        match groups.get_mut(place) {
            Some(group) => group.push(component),
            None => groups.push(vec![component]),
        }
    }
    groups
}

//! The plan of one object: which rings a window of time holds, and when the next one is.
//!
//! A plan is worked out from an object and its surroundings; asking it costs the same however old a series is.

use std::collections::HashMap;
use std::ops::Range;

use super::build::Builder;
use super::component::{Component, Kind};
use super::group::Group;
use super::object::{Fault, Object};
use super::place::Places;
use super::ring::{Ring, in_order};
use super::silence::Silence;
use super::surroundings::Surroundings;
use crate::time::UtcMillis;

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
    /// What only the explanation asks for.
    pub(super) places: Places,
    pub(super) silences: Vec<(&'a Component, Silence)>,
    pub(super) replacements: Vec<(UtcMillis, &'a Component)>,
}

impl<'a> Plan<'a> {
    /// Plans `object`. `memo` is what [`Plan::memo`] of an earlier plan of the same text said; without it, or with one of
    /// another text, rules with COUNT are counted again.
    pub fn new(object: &'a Object, around: &'a Surroundings, memo: Option<&str>) -> Plan<'a> {
        let mut builder = Builder::new(object, around, memo);
        let mut groups = Vec::new();
        for components in of_one_uid(&object.components) {
            groups.extend(builder.group(&components));
        }
        let mut faults = std::mem::take(&mut builder.faults);
        faults.extend(object.faults.iter().cloned());
        faults.sort_by(|a, b| a.line.cmp(&b.line).then_with(|| a.text.cmp(&b.text)));
        faults.dedup();
        faults.truncate(2 * around.limits.max_faults);
        let Builder { places, memo, silences, replacements, .. } = builder;
        let (zones, awaited, memo) = (places.ids(), places.awaited(), memo.to_json());
        Plan { object, around, groups, faults, zones, awaited, memo, places, silences, replacements }
    }

    /// The rings in the window (from ≤ ring < until), ascending by instant, each once, without those that are suppressed.
    /// The caller bounds the window: an endless series has as many rings as the window has room for.
    pub fn rings(&self, window: Range<UtcMillis>) -> Vec<Ring<'a>> {
        rings_of(self.groups.iter(), window)
    }

    /// How many rings in the window are suppressed, because a UTC clock hour has more of one UID than `max_rings_per_hour`
    /// (rule 24). Costs nothing for objects to which this can't happen; counts no more than a million of each UID.
    pub fn suppressed(&self, window: Range<UtcMillis>) -> u64 {
        self.groups.iter().map(|group| group.suppressed(window.start, window.end)).sum()
    }

    /// The instant of the first ring at or after `from` that is not suppressed; none: it never rings again.
    pub fn next_ring(&self, from: UtcMillis) -> Option<UtcMillis> {
        next_of(self.groups.iter(), from)
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

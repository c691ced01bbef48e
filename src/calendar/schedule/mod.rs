//! The schedule of one object: which instances a window of time holds, and when the next one is.
//!
//! A schedule is worked out from an object and its context; asking it costs the same however old a series is.

pub mod alarm_instance;
pub(super) mod build;
mod event_duration;
pub(super) mod fixed_alarm;
pub(super) mod group;
pub mod inactive;
mod memo;
pub(super) mod occurrence;
pub(super) mod resolve;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use self::alarm_instance::{AlarmInstance, in_order};
use self::build::Builder;
use self::group::{Group, HOUR};
use self::inactive::Inactive;
use self::resolve::ZoneResolver;
use super::context::CalendarContext;
use super::ical::component::{Component, ComponentKind};
use super::ical::object::{Fault, Object, ParseError};
use super::ical::value::quoted;
use super::rrule::WorkMeter;
use crate::time::UtcMillis;

/// Of all work that an object may cost at a time, what the components of one UID may cost: that share.
const SHARE: u64 = 4;
/// Alarms that one rule is looked through for without counting the work.
const FEW: usize = 8;
/// All UIDs of an object have so many times as many instances an hour as one may have.
const UIDS: usize = 10;
/// The steps of work that those of each UID may cost even where the others have cost all: ten times what simple rules
/// need.
const LEAST: u64 = 1_000;

/// When the alarms of one object fire.
#[derive(Debug)]
pub struct Schedule<'a> {
    pub(super) object: &'a Object,
    pub(super) context: &'a CalendarContext,
    pub(super) groups: Vec<Group<'a>>,
    faults: Vec<Fault>,
    zones: Vec<String>,
    unresolved: Vec<String>,
    memo: Option<String>,
    /// Of all its rules.
    work: WorkMeter,
    /// Where the components begin that cost too much work, and their UIDs.
    overworked: RefCell<BTreeMap<u32, &'a str>>,
    /// What only the explanation asks for.
    pub(super) resolver: ZoneResolver,
    pub(super) inactive_components: Vec<(&'a Component, Inactive)>,
    pub(super) replacements: Vec<(UtcMillis, &'a Component)>,
}

impl<'a> Schedule<'a> {
    /// Schedules `object`. `memo` is what [`Schedule::memo`] of an earlier schedule of the same text said; without it,
    /// or with one of another text, rules with COUNT are counted again.
    pub fn new(object: &'a Object, context: &'a CalendarContext, memo: Option<&str>) -> Schedule<'a> {
        let work = if is_simple(object) { WorkMeter::default() } else { WorkMeter::of(context.limits.max_work) };
        let mut builder = Builder::new(object, context, memo, work.clone());
        let mut overworked = BTreeMap::new();
        let mut budget = Budget::new(&work, context.limits.max_work);
        let mut groups = Vec::new();
        for components in of_one_uid(&object.components) {
            let built = budget.spend_on(|| builder.group(&components));
            if built.is_enough {
                groups.extend(built.result);
            } else {
                overworked.extend(components.first().map(|first| (first.line, &*first.uid)));
                builder
                    .inactive_components
                    .extend(components.iter().map(|component| (*component, Inactive::Overworked)));
            }
        }
        drop(budget);
        let mut faults = std::mem::take(&mut builder.faults);
        faults.extend(object.faults.iter().cloned());
        faults.sort_by(|a, b| a.line.cmp(&b.line).then_with(|| a.text.cmp(&b.text)));
        faults.dedup();
        faults.truncate(2 * context.limits.max_faults);
        let Builder { resolver, memo, inactive_components, replacements, .. } = builder;
        let (zones, unresolved, memo) = (resolver.ids(), resolver.unresolved(), memo.to_json());
        let overworked = RefCell::new(overworked);
        Schedule {
            object,
            context,
            groups,
            faults,
            zones,
            unresolved,
            memo,
            work,
            overworked,
            resolver,
            inactive_components,
            replacements,
        }
    }

    /// Parses `text`, within the limits of `context`, and schedules it. Returns what `ask` makes of the object and its
    /// schedule. `memo` as for [`Schedule::new`].
    ///
    /// # Errors
    /// When `text` is not iCalendar text, or is longer than the limits allow.
    pub fn of_text<T>(
        text: &[u8],
        context: &CalendarContext,
        memo: Option<&str>,
        ask: impl FnOnce(&Object, &Schedule<'_>) -> T,
    ) -> Result<T, ParseError> {
        let object = Object::parse(text, &context.limits)?;
        Ok(ask(&object, &Schedule::new(&object, context, memo)))
    }

    /// The instances in the window (from ≤ instance < until), ascending by instant, each once, without those that are
    /// suppressed. The caller bounds the window: an endless series has as many instances as the window has room for.
    pub fn instances(&self, window: Range<UtcMillis>) -> Vec<AlarmInstance<'a>> {
        let Some(cap) = self.cap() else { return self.first_of_all(window, usize::MAX) };
        let mut instances = Vec::new();
        let mut next = self.next_of_all(window.start);
        while let Some(at) = next.filter(|at| *at < window.end) {
            let hour = at.start_of_hour();
            let end = hour.saturating_add(HOUR);
            let first = self.first_of_all(hour..end.min(window.end), cap);
            instances.extend(first.into_iter().filter(|instance| instance.at >= window.start));
            next = if end < UtcMillis::MAX { self.next_of_all(end) } else { None };
        }
        instances
    }

    /// How many instances may fire in one UTC clock hour; none: its UIDs together cannot have more (rule 24).
    pub(super) fn cap(&self) -> Option<usize> {
        let cap = self.context.limits.max_alarms_per_hour as usize * UIDS;
        let most = self.groups.iter().map(Group::most_an_hour).fold(0, usize::saturating_add);
        (most > cap).then_some(cap)
    }

    /// The first `most` instances of all UIDs, each of which has no more an hour than it may.
    pub(super) fn first_of_all(&self, window: Range<UtcMillis>, most: usize) -> Vec<AlarmInstance<'a>> {
        let mut instances = Vec::new();
        self.within_budget(|group| Some(group.in_order(window.start, window.end))).for_each(|own| {
            instances.extend(own);
            // However many there are, few are kept at a time.
            if instances.len() / 4 > most {
                in_order(&mut instances);
                instances.truncate(most);
            }
        });
        in_order(&mut instances);
        instances.truncate(most);
        instances
    }

    /// How many instances all UIDs have, each of which has no more an hour than it may.
    fn count_of_all(&self, window: Range<UtcMillis>) -> usize {
        let work = self.context.limits.max_work;
        let mut budget = Budget::new(&self.work, work);
        // A count that costs too much is no reason to silence anything.
        self.groups.iter().map(|group| budget.spend_on(|| group.in_order(window.start, window.end).len()).result).sum()
    }

    /// How many instances in the window are suppressed, because a UTC clock hour has more of one UID than
    /// `max_alarms_per_hour`, or ten times as many of all UIDs (rule 24). Costs nothing for objects to which this can't
    /// happen; counts no more than a million of each UID.
    pub fn suppressed(&self, window: Range<UtcMillis>) -> u64 {
        let mut budget = Budget::new(&self.work, self.context.limits.max_work);
        let of_group = |group: &Group<'a>| budget.spend_on(|| group.suppressed(window.start, window.end)).result;
        let of_groups: u64 = self.groups.iter().map(of_group).sum();
        drop(budget);
        if self.cap().is_none() {
            return of_groups;
        }
        let too_many = self.count_of_all(window.clone()).saturating_sub(self.instances(window).len());
        of_groups.saturating_add(too_many as u64)
    }

    /// The instant of the first instance at or after `from` that is not suppressed; none: it never fires again.
    pub fn next_instance(&self, from: UtcMillis) -> Option<UtcMillis> {
        let mut next = self.next_of_all(from)?;
        let Some(cap) = self.cap() else { return Some(next) };
        for _ in 0..3 {
            let hour = next.start_of_hour();
            if self.count_of_all(hour..next) < cap {
                return Some(next);
            }
            next = self.next_of_all(hour.saturating_add(HOUR))?;
        }
        None
    }

    fn next_of_all(&self, from: UtcMillis) -> Option<UtcMillis> {
        self.within_budget(|group| group.next_instance(from)).min()
    }

    /// What is silent because its rules cost more work than `max_work` allows, so far as what was asked of this
    /// schedule has shown.
    pub fn overworked(&self) -> Vec<Fault> {
        let fault = |(line, uid): (&u32, &&str)| {
            let uid = quoted(uid);
            let text =
                format!("its rules take more work than limits.max_work allows: the component {uid} does not fire");
            Fault { line: *line, text }
        };
        self.overworked.borrow().iter().take(self.context.limits.max_faults).map(fault).collect()
    }

    /// What `ask` comes to for each group, without those that cost more work than they may.
    fn within_budget<T>(&self, mut ask: impl FnMut(&Group<'a>) -> Option<T>) -> impl Iterator<Item = T> {
        let mut budget = Budget::new(&self.work, self.context.limits.max_work);
        self.groups.iter().filter_map(move |group| {
            let component = group.sets.first().map(|set| set.component)?;
            if self.overworked.borrow().contains_key(&component.line) {
                return None;
            }
            let asked = budget.spend_on(|| ask(group));
            if !asked.is_enough {
                self.overworked.borrow_mut().insert(component.line, &*component.uid);
            }
            asked.result.filter(|_| asked.is_enough)
        })
    }

    /// What was left out of the object, or read with a doubt, in the order of the lines.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Lets what is asked of its groups one by one cost as much as what is asked of all.
    pub(super) fn refill(&self) {
        self.work.allow(self.context.limits.max_work);
    }

    /// The ids of the zones that its times depend on, in alphabetical order. Those that the object defines are among
    /// them.
    pub fn zones(&self) -> &[String] {
        &self.zones
    }

    /// Ids, in lower case, that its times would depend on if the time zone database had them: TZIDs that are unknown,
    /// or that only the object itself defines.
    pub fn unresolved_zones(&self) -> &[String] {
        &self.unresolved
    }

    /// What the next schedule of the same text need not work out again, as JSON; none: there is nothing to remember. To
    /// be forgotten when the time zone database changes.
    pub fn memo(&self) -> Option<&str> {
        self.memo.as_deref()
    }
}

/// The instances of `groups` in a window, as [`Schedule::instances`] gives them where all UIDs together have no more
/// than they may.
pub(super) fn instances_of<'p, 'a: 'p>(
    groups: impl Iterator<Item = &'p Group<'a>>,
    window: Range<UtcMillis>,
) -> Vec<AlarmInstance<'a>> {
    let mut instances = Vec::new();
    for group in groups {
        group.instances(window.start, window.end, &mut instances);
    }
    in_order(&mut instances);
    instances
}

/// Whether an object cannot cost much: each search of a single rule is bounded by itself.
fn is_simple(object: &Object) -> bool {
    let [only] = &*object.components else { return false };
    let rules = only.rules.len() + only.exrules.len();
    rules <= 1 && only.alarms.len() <= FEW && only.alarms.iter().all(|alarm| alarm.repeat == 0)
}

/// What the groups of an object may cost, one after the other.
struct Budget<'w> {
    work: &'w WorkMeter,
    all: u64,
    left: u64,
}

impl<'w> Budget<'w> {
    fn new(work: &'w WorkMeter, all: u64) -> Budget<'w> {
        Budget { work, all, left: all }
    }

    /// Does `task`, and says whether there was enough for it.
    fn spend_on<T>(&mut self, task: impl FnOnce() -> T) -> Metered<T> {
        let share = self.left.min(self.all / SHARE).max(LEAST);
        self.work.allow(share);
        let result = task();
        self.left = self.left.saturating_sub(share - self.work.left().min(share));
        Metered { result, is_enough: !self.work.is_spent() }
    }
}

/// What a task came to, and whether it had enough work for that.
struct Metered<T> {
    result: T,
    is_enough: bool,
}

impl Drop for Budget<'_> {
    /// Who asks for something else than an answer of all groups has as much again.
    fn drop(&mut self) {
        self.work.allow(self.all);
    }
}

/// The first instance of `groups`, as [`Schedule::next_instance`] gives it.
pub(super) fn next_of<'p, 'a: 'p>(groups: impl Iterator<Item = &'p Group<'a>>, from: UtcMillis) -> Option<UtcMillis> {
    groups.filter_map(|group| group.next_instance(from)).min()
}

/// The components that belong together: of one UID and kind, in the order of the text. One without UID is alone.
fn of_one_uid(components: &[Component]) -> Vec<Vec<&Component>> {
    if let [only] = components {
        return vec![vec![only]];
    }
    let mut groups: Vec<Vec<&Component>> = Vec::new();
    let mut index: HashMap<(ComponentKind, &str, &str), usize> = HashMap::new();
    for component in components {
        let next = groups.len();
        let position = *index.entry((component.kind, &*component.uid, &*component.own)).or_insert(next);
        match groups.get_mut(position) {
            Some(group) => group.push(component),
            None => groups.push(vec![component]),
        }
    }
    groups
}

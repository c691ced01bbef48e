//! The instances of the components of one UID: an event or a to-do with its overrides. What fires as one is joined
//! (rule 20), and what one clock hour has too much of is left out (rule 24).

use jiff::SignedDuration;

use super::alarm_instance::{AlarmInstance, InstanceOrigin, OriginPart, When, in_order};
use super::fixed_alarm::FixedAlarm;
use super::occurrence::{FoundInstance, Identity, OccurrenceSet, REPETITION, Relative, Starts, ZonedPoint};
use super::resolve::shift;
use crate::calendar::ical::component::Component;
use crate::calendar::rrule::OccurrenceStart;
use crate::time::UtcMillis;

pub(crate) const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// No more suppressed instances of one object are counted at once.
const MAX_COUNTED: u64 = 1_000_000;

/// Whether an object can fire more often in an hour than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RateLimit {
    No,
    Possible,
    /// It has rules that step by hours or less: an hour is looked at by itself.
    SubDaily,
}

/// What fires for the components of one UID.
#[derive(Debug)]
pub(crate) struct Group<'a> {
    /// Which one of its schedule.
    index: u32,
    pub(crate) sets: Vec<OccurrenceSet<'a>>,
    pub(crate) fixed: Vec<FixedAlarm<'a>>,
    rate_limit: RateLimit,
    /// Instances in one UTC clock hour.
    cap: usize,
}

impl<'a> Group<'a> {
    /// Group `index` of a schedule, of these occurrence sets; no more than `cap` of its instances fall into one UTC
    /// clock hour.
    pub(crate) fn new(index: usize, sets: Vec<OccurrenceSet<'a>>, fixed: Vec<FixedAlarm<'a>>, cap: u32) -> Group<'a> {
        let mut group = Group { index: narrow(index), sets, fixed, rate_limit: RateLimit::No, cap: cap as usize };
        group.rate_limit = group.rate_limit();
        group
    }

    /// Adds the instances in [from, until) that are not suppressed to `instances`.
    pub(crate) fn instances(&self, from: UtcMillis, until: UtcMillis, instances: &mut Vec<AlarmInstance<'a>>) {
        match self.rate_limit {
            RateLimit::No => self.collect(from, until, usize::MAX, instances),
            RateLimit::Possible => {
                let mut rank = Rank::default();
                let all = self.ordered(from.start_of_hour(), until, usize::MAX);
                instances.extend(
                    all.into_iter().filter(|instance| rank.next(instance.at) < self.cap && instance.at >= from),
                );
            }
            RateLimit::SubDaily => self.each_hour(from, until, |hour, end| {
                let first = self.ordered(hour, end, self.cap).into_iter().take(self.cap);
                instances.extend(first.filter(|instance| instance.at >= from));
            }),
        }
    }

    /// The instances in [from, until) that are not suppressed, in order and joined.
    pub(crate) fn in_order(&self, from: UtcMillis, until: UtcMillis) -> Vec<AlarmInstance<'a>> {
        let mut instances = Vec::new();
        self.instances(from, until, &mut instances);
        in_order(&mut instances);
        instances
    }

    /// How many instances in [from, until) are suppressed.
    pub(crate) fn suppressed(&self, from: UtcMillis, until: UtcMillis) -> u64 {
        let mut count = 0;
        if self.rate_limit != RateLimit::No {
            self.each_hour(from, until, |hour, end| {
                if count < MAX_COUNTED {
                    let instances = self.ordered(hour, end, usize::MAX);
                    count += instances.iter().skip(self.cap).filter(|instance| instance.at >= from).count() as u64;
                }
            });
        }
        count.min(MAX_COUNTED)
    }

    /// The instant of the first instance at or after `from` that is not suppressed; none: it never fires again.
    pub(crate) fn next_instance(&self, from: UtcMillis) -> Option<UtcMillis> {
        let mut next = self.next(from)?;
        if self.rate_limit == RateLimit::No {
            return Some(next);
        }
        // The second round is the last one, unless the first instance of an hour is suppressed, which only a limit of
        // none brings about.
        for _ in 0..3 {
            let hour = next.start_of_hour();
            let before = self.ordered(hour, next, self.cap);
            if before.len() < self.cap {
                return Some(next);
            }
            next = self.next(hour.saturating_add(HOUR))?;
        }
        None
    }

    /// Spends so many steps of work, if there are as many.
    fn spends(&self, steps: u64) -> bool {
        self.sets.first().is_none_or(|set| set.work.spend(steps))
    }

    /// The UID of its components.
    pub(crate) fn uid(&self) -> &'a str {
        self.sets.first().map_or("", |set| &set.component.uid)
    }

    /// No more of its instances fall into one UTC clock hour.
    pub(crate) fn most_an_hour(&self) -> usize {
        if self.rate_limit == RateLimit::No { self.most().min(self.cap) } else { self.cap }
    }

    /// So many instances may fall into one UTC clock hour.
    pub(crate) fn cap(&self) -> u32 {
        narrow(self.cap)
    }

    /// The same without filters: what would fire if nothing were left out, if nothing were acknowledged, and if an hour
    /// had room for all.
    pub(crate) fn unfiltered(&self, left_out: bool, acknowledged: bool) -> Group<'a> {
        let open = |set: &OccurrenceSet<'a>| {
            let mut set = set.clone();
            if left_out {
                set.left_out = [None, None];
            }
            if acknowledged {
                let open = |alarm: &Relative<'a>| Relative { acknowledged: UtcMillis::MIN, ..alarm.clone() };
                set.alarms = set.alarms.iter().map(open).collect();
            }
            set
        };
        let sets = self.sets.iter().map(open).collect();
        Group { index: self.index, sets, fixed: self.fixed.clone(), rate_limit: RateLimit::No, cap: self.cap }
    }

    /// Whether, and by what, more instances than are allowed can fall into one hour.
    fn rate_limit(&self) -> RateLimit {
        let is_sub_daily = |set: &OccurrenceSet<'_>| set.is_sub_daily() && !set.alarms.is_empty();
        if self.sets.iter().any(is_sub_daily) {
            RateLimit::SubDaily
        } else if self.most() <= self.cap {
            RateLimit::No
        } else {
            RateLimit::Possible
        }
    }

    /// No more instances than these fall into an hour where no rule steps within days.
    fn most(&self) -> usize {
        let of_set = |set: &OccurrenceSet<'_>| {
            let instances: usize = set.alarms.iter().map(|alarm| alarm.repeat as usize + 1).sum();
            let starts = match &set.starts {
                Starts::List(list) => list.len(),
                Starts::Rule { .. } => 2,
            };
            instances.saturating_mul(starts)
        };
        let fixed = self.fixed.iter().map(|fixed| fixed.repeat as usize + 1);
        self.sets.iter().map(of_set).chain(fixed).fold(0, usize::saturating_add)
    }

    /// Calls `visit` with each UTC clock hour that touches the window and has instances, cut at the window's end.
    fn each_hour(&self, from: UtcMillis, until: UtcMillis, mut visit: impl FnMut(UtcMillis, UtcMillis)) {
        let mut next = self.next(from);
        while let Some(at) = next.filter(|at| *at < until) {
            let hour = at.start_of_hour();
            let end = hour.saturating_add(HOUR);
            visit(hour, end.min(until));
            if end >= UtcMillis::MAX {
                return;
            }
            next = self.next(end);
        }
    }

    /// The first instance at or after `from`, suppressed or not.
    fn next(&self, from: UtcMillis) -> Option<UtcMillis> {
        let mut best = None;
        for fixed in &self.fixed {
            for nth in 0..=fixed.repeat {
                if !self.spends(REPETITION) {
                    return None;
                }
                let at = self.fixed_at(fixed, nth).filter(|at| *at >= from);
                best = best.into_iter().chain(at).min();
            }
        }
        self.sets.iter().fold(best, |best, set| set.next(from, best))
    }

    pub(crate) fn fixed_at(&self, fixed: &FixedAlarm<'_>, nth: u32) -> Option<UtcMillis> {
        if nth == 0 {
            return Some(fixed.base.at);
        }
        let set = self.sets.get(fixed.set)?;
        shift(fixed.base, fixed.interval.times(nth), &set.zone.zone).map(|point| point.at)
    }

    /// The instances in [from, until), in order and joined, suppressed or not; at most `limit` of each alarm of each
    /// source.
    fn ordered(&self, from: UtcMillis, until: UtcMillis, limit: usize) -> Vec<AlarmInstance<'a>> {
        let mut instances = Vec::new();
        self.collect(from, until, limit, &mut instances);
        in_order(&mut instances);
        instances
    }

    /// The same, in no order.
    pub(crate) fn collect(
        &self,
        from: UtcMillis,
        until: UtcMillis,
        limit: usize,
        instances: &mut Vec<AlarmInstance<'a>>,
    ) {
        let rule = self.rule();
        for (index, set) in self.sets.iter().enumerate() {
            set.instances(from, until, limit, |found| {
                let original = found.occurrence.original.at;
                let of = OriginPart::Alarm { set: narrow(index), alarm: narrow(found.alarm), original };
                let origin = InstanceOrigin { group: self.index, of, nth: found.nth };
                instances.extend(instance_of(set, found, origin).map(|instance| AlarmInstance { rule, ..instance }));
            });
        }
        for (index, fixed) in self.fixed.iter().enumerate() {
            if !self.spends(REPETITION.saturating_mul(u64::from(fixed.repeat) + 1)) {
                return;
            }
            for (nth, at) in (0..=fixed.repeat).filter_map(|nth| Some((nth, self.fixed_at(fixed, nth)?))) {
                if from <= at && at < until {
                    let origin = InstanceOrigin { group: self.index, of: OriginPart::Fixed(narrow(index)), nth };
                    instances.extend(self.fixed_instance(fixed, at, origin));
                }
            }
        }
    }

    fn fixed_instance(
        &self,
        fixed: &FixedAlarm<'a>,
        at: UtcMillis,
        origin: InstanceOrigin,
    ) -> Option<AlarmInstance<'a>> {
        let set = self.sets.get(fixed.set)?;
        let known = fixed.original.or_else(|| self.snoozed_occurrence(set.component, fixed));
        let original = known.or_else(|| self.occurrence_near(set.component, fixed.base.at));
        let occurrence = original.and_then(|original| set.occurrence(original));
        let recurrence_id = match set.identity {
            Identity::Single => None,
            Identity::Fixed(civil) => Some(civil),
            Identity::Start => known.map(|original| original.civil),
        };
        let StartAndEnd { start, end } = start_and_end(set, occurrence.map(|occurrence| occurrence.start));
        Some(AlarmInstance {
            at,
            action: fixed.action,
            component: set.component,
            alarm: fixed.alarm,
            joined: fixed.joined.clone(),
            start,
            end,
            zone: set.zone.zone.clone(),
            zone_known: set.zone.known,
            recurrence_id,
            rule: self.rule(),
            origin,
        })
    }

    /// The first RRULE of the series.
    fn rule(&self) -> Option<&'a str> {
        self.sets.iter().find_map(|set| set.component.rules.first()).map(|rule| &*rule.text)
    }

    /// The occurrence that a snooze in a VALARM of its own is of: the last one for which the alarm that it snoozes had
    /// fired when that was acknowledged.
    fn snoozed_occurrence(&self, component: &Component, fixed: &FixedAlarm<'_>) -> Option<OccurrenceStart> {
        let snooze = fixed.alarm.filter(|alarm| !alarm.snoozes.is_empty())?;
        let is_snoozed = |alarm: &&Relative<'_>| alarm.alarm.uid == snooze.snoozes;
        let own = self.sets.iter().filter(|set| std::ptr::eq(set.component, component));
        let fired = own.filter_map(|set| {
            let alarm = set.alarms.iter().find(is_snoozed)?;
            let until = alarm.acknowledged.max(UtcMillis::MIN);
            let until = if until == UtcMillis::MIN { fixed.base.at } else { until };
            set.last_fired(alarm, until)
        });
        fired.max_by_key(|start| start.at)
    }

    /// The occurrence that an absolute alarm of a component belongs to: the first one that starts at or after `at`,
    /// else the last of those that are listed.
    fn occurrence_near(&self, component: &Component, at: UtcMillis) -> Option<OccurrenceStart> {
        let own = self.sets.iter().filter(|set| std::ptr::eq(set.component, component));
        let (mut next, mut last) = (None::<OccurrenceStart>, None::<OccurrenceStart>);
        for set in own {
            set.each(at, |occurrence| {
                if next.is_none_or(|next| occurrence.original.at < next.at) {
                    next = Some(occurrence.original);
                }
                std::ops::ControlFlow::Break(())
            });
            if let Starts::List(list) = &set.starts {
                last = last.or(list.last().copied());
            }
        }
        next.or(last)
    }
}

/// Counts instances within their hours.
#[derive(Debug, Default)]
struct Rank {
    hour: Option<UtcMillis>,
    count: usize,
}

impl Rank {
    /// How many instances came before this one in its hour.
    fn next(&mut self, at: UtcMillis) -> usize {
        let hour = Some(at.start_of_hour());
        self.count = if self.hour == hour { self.count + 1 } else { 0 };
        self.hour = hour;
        self.count
    }
}

fn instance_of<'a>(set: &OccurrenceSet<'a>, found: FoundInstance, origin: InstanceOrigin) -> Option<AlarmInstance<'a>> {
    let FoundInstance { alarm, occurrence, at, .. } = found;
    let relative = set.alarms.get(alarm)?;
    let StartAndEnd { start, end } = start_and_end(set, Some(occurrence.start));
    Some(AlarmInstance {
        at,
        action: relative.action,
        component: set.component,
        alarm: Some(relative.alarm),
        joined: Vec::new(),
        start,
        end,
        zone: set.zone.zone.clone(),
        zone_known: set.zone.known,
        recurrence_id: match set.identity {
            Identity::Single => None,
            Identity::Start => Some(occurrence.original.civil),
            Identity::Fixed(civil) => Some(civil),
        },
        rule: None,
        origin,
    })
}

/// An index as it is kept in an [`InstanceOrigin`]: no object has so many parts.
fn narrow(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// The start and the end of an occurrence; nothing, if it is not known which one it is.
#[derive(Default)]
struct StartAndEnd {
    start: Option<When>,
    end: Option<When>,
}

/// Start and end of an occurrence as the notification states them.
fn start_and_end(set: &OccurrenceSet<'_>, start: Option<OccurrenceStart>) -> StartAndEnd {
    let Some(start) = start else { return StartAndEnd::default() };
    let end = set.end(start);
    if !set.all_day {
        let end = end.map(|end| When::At(end.point.at));
        return StartAndEnd { start: Some(When::At(start.at)), end };
    }
    let end = end.map(|ZonedPoint { point, zone }| {
        let civil = point.civil.unwrap_or_else(|| zone.civil(point.at));
        // A length of hours makes the day that it ends in count.
        let whole = civil == civil.start_of_day();
        When::Date(if whole { civil.date() } else { civil.date().tomorrow().unwrap_or(civil.date()) })
    });
    StartAndEnd { start: Some(When::Date(start.civil.date())), end }
}

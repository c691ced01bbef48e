//! From an object to the occurrence sets of its instances: which components belong together, which occurrences an
//! override replaces, which are left out (RFC 5545, 3.8.4.4 and 3.8.5).

use std::collections::HashMap;
use std::sync::Arc;

use jiff::civil::DateTime;

use super::event_duration;
use super::fixed_alarm::{FixedAlarm, snoozed};
use super::group::Group;
use super::inactive::{self, Inactive};
use super::memo::Memo;
use super::occurrence::{EventDuration, Given, Identity, LeftOut, OccurrenceSet, Relative, Starts};
use super::resolve::{Point, ResolvedTime, ZoneResolver};
use crate::calendar::context::CalendarContext;
use crate::calendar::ical::alarm::{Action, Alarm, Trigger};
use crate::calendar::ical::component::{Component, ComponentKind, RDate, RuleText, Snooze};
use crate::calendar::ical::date_time::CalendarDateTime;
use crate::calendar::ical::object::{Fault, Object};
use crate::calendar::ical::value::Duration;
use crate::calendar::rrule::{OccurrenceStart, ReadRule, Rule, Series, WorkMeter};
use crate::time::UtcMillis;

/// What scheduling builds up.
#[derive(Debug)]
pub(crate) struct Builder<'a> {
    object: &'a Object,
    context: &'a CalendarContext,
    pub(crate) resolver: ZoneResolver,
    pub(crate) faults: Vec<Fault>,
    /// Of the group at work.
    sets: Vec<OccurrenceSet<'a>>,
    fixed: Vec<FixedAlarm<'a>>,
    pub(crate) memo: Memo,
    /// How many groups there are already.
    groups: usize,
    /// Components that fire nothing, and why.
    pub(crate) inactive_components: Vec<(&'a Component, Inactive)>,
    /// Overrides with the instant of the occurrence that they take the place of.
    pub(crate) replacements: Vec<(UtcMillis, &'a Component)>,
    /// Absolute alarms of the group at work: one that master and override share fires once.
    absolutes: HashMap<(Action, UtcMillis, u32), usize>,
}

/// A component without RECURRENCE-ID, placed.
#[derive(Debug)]
struct Master<'a> {
    component: &'a Component,
    start: ResolvedTime,
    excluded: Arc<LeftOut>,
}

/// A component with RECURRENCE-ID, placed.
#[derive(Debug)]
struct Override<'a> {
    component: &'a Component,
    /// The original start, in the local time of the series.
    original: ResolvedTime,
    /// RECURRENCE-ID is a date although the series has times.
    by_day: bool,
    and_future: bool,
}

/// What gives the starts of a master.
#[derive(Debug)]
struct MasterStarts<'a> {
    /// DTSTART and the RDATEs without an end of their own, ascending.
    list: Arc<[OccurrenceStart]>,
    rules: Vec<RuleStarts<'a>>,
    periods: Vec<PeriodStart>,
}

#[derive(Debug)]
struct RuleStarts<'a> {
    rule: &'a RuleText,
    starts: Starts,
}

/// An RDATE with an end of its own.
#[derive(Debug)]
struct PeriodStart {
    start: OccurrenceStart,
    length: EventDuration,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(
        object: &'a Object,
        context: &'a CalendarContext,
        memo: Option<&str>,
        work: WorkMeter,
    ) -> Builder<'a> {
        let mut faults = Vec::new();
        Builder {
            object,
            context,
            resolver: ZoneResolver::new(object, context, &mut faults),
            faults,
            sets: Vec::new(),
            fixed: Vec::new(),
            memo: Memo::read(memo, work),
            groups: 0,
            inactive_components: Vec::new(),
            replacements: Vec::new(),
            absolutes: HashMap::new(),
        }
    }

    /// The components of one UID and kind, in the order of the text, as a group; none: they never fire.
    pub(crate) fn group(&mut self, components: &[&'a Component]) -> Option<Group<'a>> {
        self.add(components);
        self.absolutes.clear();
        let (sets, fixed) = (std::mem::take(&mut self.sets), std::mem::take(&mut self.fixed));
        if sets.is_empty() {
            return None;
        }
        self.groups += 1;
        let cap = self.context.limits.max_alarms_per_hour;
        Some(Group::new(self.groups - 1, sets, fixed, cap))
    }

    fn add(&mut self, components: &[&'a Component]) {
        let (masters, overrides): (Vec<&'a Component>, _) = components.iter().partition(|c| c.recurrence_id.is_none());
        let newest = masters.iter().map(|component| component.sequence).max();
        let mut placed = Vec::with_capacity(masters.len());
        for component in masters {
            if Some(component.sequence) < newest {
                // RFC 5546, 2.1.4: exports hold what was revised together with its revision.
                let name = component.kind.name();
                self.fault(
                    component.line,
                    format!("the {name} is left out: another one of its UID has a higher SEQUENCE"),
                );
                self.inactive_components.push((component, Inactive::Revised));
                continue;
            }
            match self.start_of(component) {
                Some(start) => {
                    let excluded = Arc::new(self.exdates(component, &start));
                    placed.push(Master { component, start, excluded });
                }
                None => self.add_dateless(component),
            }
        }
        let overrides = self.resolve_overrides(overrides, placed.first());
        let replaced = (!overrides.is_empty()).then(|| Arc::new(replaced_by(&overrides)));
        for master in &placed {
            self.add_master(master, &overrides, replaced.as_ref());
        }
        for single in &overrides {
            self.replacements.push((single.original.at, single.component));
            if placed.iter().any(|master| master.excluded.contains(single.original.start())) {
                self.inactive_components.push((single.component, Inactive::Excluded));
                continue;
            }
            let replaced =
                single.and_future && overrides.iter().any(|o| !o.and_future && o.original.at == single.original.at);
            self.add_override(single, &placed, replaced);
        }
    }

    /// Where a component starts: a to-do without DTSTART when it is due.
    fn start_of(&mut self, component: &Component) -> Option<ResolvedTime> {
        self.resolver.enter(component.calendar);
        let due = component.end.filter(|_| component.kind == ComponentKind::Todo);
        component.start.or(due).map(|moment| self.resolver.resolve(moment))
    }

    /// EXDATE and EXRULE.
    fn exdates(&mut self, component: &Component, start: &ResolvedTime) -> LeftOut {
        self.resolver.enter(component.calendar);
        let mut set = LeftOut::default();
        for moment in &component.exdates {
            match moment {
                CalendarDateTime::Date(date) if !start.all_day => set.days.push(*date),
                moment => {
                    set.instants.push(self.resolver.resolve_in(*moment, start).at.0);
                    // With `Z` on a floating series: some write the wall clock so.
                    if let (CalendarDateTime::Utc(civil), true) = (moment, start.is_floating()) {
                        set.instants.push(self.resolver.resolve_in(CalendarDateTime::Floating(*civil), start).at.0);
                    }
                }
            }
        }
        set.instants.sort_unstable();
        set.days.sort_unstable();
        set.rules = self.series(&component.exrules, start);
        set
    }

    fn series(&mut self, rules: &[RuleText], start: &ResolvedTime) -> Vec<Series> {
        let mut series = Vec::with_capacity(rules.len());
        for RuleText { line, text } in rules {
            match Rule::read(text) {
                Ok(ReadRule { rule, slips }) => {
                    slips.into_iter().for_each(|slip| self.fault(*line, slip));
                    let rule = if start.is_floating() { rule.of_floating(&start.zone.zone) } else { rule };
                    series.push(self.memo.series(&rule, text, start));
                }
                Err(error) => self.fault(*line, format!("the rule is left out: {error}")),
            }
        }
        series
    }

    /// Places overrides in the local time of their series. Of several for one occurrence the latest revision counts.
    fn resolve_overrides(&mut self, components: Vec<&'a Component>, master: Option<&Master<'_>>) -> Vec<Override<'a>> {
        let mut placed: Vec<Override<'a>> = Vec::with_capacity(components.len());
        for component in components {
            let Some(id) = component.recurrence_id else { continue };
            self.resolver.enter(component.calendar);
            let series = master.map(|master| master.start.clone()).or_else(|| self.start_of(component));
            let by_day =
                matches!(id.moment, CalendarDateTime::Date(_)) && series.as_ref().is_some_and(|start| !start.all_day);
            let original = match &series {
                Some(series) => self.resolver.resolve_original(id.moment, series),
                None => self.resolver.resolve(id.moment),
            };
            placed.push(Override { component, original, by_day, and_future: id.and_future });
        }
        let key = |o: &Override<'_>| (o.original.at, o.and_future);
        placed.sort_by(|a, b| key(a).cmp(&key(b)).then(a.component.sequence.cmp(&b.component.sequence)));
        placed.reverse();
        placed.dedup_by(|earlier, latest| {
            let same = key(earlier) == key(latest);
            if same {
                self.inactive_components.push((earlier.component, Inactive::Revised));
            }
            same
        });
        placed.reverse();
        placed
    }

    /// A master with all that its rules and RDATEs give, and the stretches that RANGE=THISANDFUTURE changes.
    fn add_master(&mut self, master: &Master<'a>, overrides: &[Override<'a>], replaced: Option<&Arc<LeftOut>>) {
        let Master { component, start, excluded } = master;
        self.resolver.enter(component.calendar);
        let once = component.rules.is_empty() && component.rdates.is_empty();
        let ranges: Vec<&Override<'a>> = overrides.iter().filter(|o| o.and_future).collect();
        if component.alarms.is_empty() && ranges.is_empty() && !self.may_fire(component, start) {
            return;
        }
        let starts = self.master_starts(component, start);
        let left_out = [(!excluded.is_empty()).then(|| Arc::clone(excluded)), replaced.cloned()];
        if let Some(mut own) = self.occurrence_set(component, start, once) {
            own.identity = if once { Identity::Single } else { Identity::Start };
            own.left_out = left_out.clone();
            own.until = ranges.first().map_or(UtcMillis::MAX, |range| range.original.at);
            own.starts = Starts::List(Arc::clone(&starts.list));
            self.add_copies(&own, &starts);
            self.add_home(own, overrides, self.context.snoozes_of(component));
        }
        for (index, range) in ranges.iter().enumerate() {
            let until = ranges.get(index + 1).map_or(UtcMillis::MAX, |next| next.original.at);
            self.add_range(range, until, start.at, &starts, &left_out);
        }
    }

    /// The stretch of a series that the override `range` changes, up to `until`; the series begins at `first`.
    fn add_range(
        &mut self,
        range: &Override<'a>,
        until: UtcMillis,
        first: UtcMillis,
        starts: &MasterStarts<'a>,
        left_out: &[Option<Arc<LeftOut>>; 2],
    ) {
        let time = self.start_of(range.component).unwrap_or_else(|| range.original.clone());
        let Some(mut set) = self.occurrence_set(range.component, &time, false) else { return };
        set.identity = Identity::Start;
        set.left_out = left_out.clone();
        (set.from, set.until) = (range.original.at, until);
        set.moved = range.original.movement_to(&time);
        set.first = first;
        set.starts = Starts::List(Arc::clone(&starts.list));
        self.add_copies(&set, starts);
        if starts.list.last().is_some_and(|last| last.at > set.from) && !set.alarms.is_empty() {
            self.sets.push(set);
        }
    }

    /// All that gives starts of a master that begins at `start`.
    fn master_starts(&mut self, component: &'a Component, start: &ResolvedTime) -> MasterStarts<'a> {
        let mut rules = Vec::with_capacity(component.rules.len());
        for rule in &component.rules {
            rules.extend(self.rule_starts(rule, start).map(|starts| RuleStarts { rule, starts }));
        }
        let mut list = vec![start.start()];
        let mut periods = Vec::new();
        for rdate in &component.rdates {
            let (RDate::At(moment) | RDate::Period(moment, _)) = rdate;
            let time = self.resolver.resolve_in(*moment, start);
            match event_duration::of_rdate(rdate, &time, start, &mut self.resolver) {
                // One that repeats DTSTART is the same occurrence, with the length that DTSTART has.
                Some(_) if time.at == start.at => {}
                Some(length) => periods.push(PeriodStart { start: time.start(), length }),
                None => list.push(time.start()),
            }
        }
        list.sort_unstable_by_key(|start| start.at);
        list.dedup();
        MasterStarts { list: list.into(), rules, periods }
    }

    fn rule_starts(&mut self, rule: &RuleText, start: &ResolvedTime) -> Option<Starts> {
        let series = self.series(std::slice::from_ref(rule), start).pop()?;
        let text = rule.text.to_ascii_uppercase();
        let parts = ["HOURLY", "MINUTELY", "SECONDLY", "BYHOUR", "BYMINUTE", "BYSECOND"];
        Some(Starts::Rule { series: Arc::new(series), sub_daily: parts.iter().any(|part| text.contains(part)) })
    }

    /// The same set with the starts of each rule, and with each period.
    fn add_copies(&mut self, set: &OccurrenceSet<'a>, starts: &MasterStarts<'a>) {
        let absolute = |alarm: &Alarm| matches!(alarm.trigger, Some(Trigger::At(_)));
        if set.alarms.is_empty() && !set.component.alarms.iter().any(absolute) {
            return;
        }
        for RuleStarts { rule, starts } in &starts.rules {
            self.sets.push(OccurrenceSet { starts: starts.clone(), given: Given::Rule(rule), ..set.clone() });
        }
        for PeriodStart { start, length } in &starts.periods {
            if set.from <= start.at && start.at < set.until {
                let starts = Starts::List([*start].into());
                self.sets.push(OccurrenceSet { starts, given: Given::Period, length: length.clone(), ..set.clone() });
            }
        }
    }

    /// An override as an occurrence of its own; only its absolute alarms where another one has `replaced` that.
    fn add_override(&mut self, single: &Override<'a>, masters: &[Master<'a>], replaced: bool) {
        let component = single.component;
        let start = self.start_of(component).unwrap_or_else(|| single.original.clone());
        let Some(mut set) = self.occurrence_set(component, &start, true) else { return };
        set.identity = Identity::Fixed(single.original.civil);
        if replaced {
            set.alarms = Arc::new([]);
        }
        let of_master = masters.iter().flat_map(|master| self.context.snoozes_of(master.component));
        let snoozes =
            self.context.snoozes_of(component).iter().copied().map(|snooze| Snooze { occurrence: None, ..snooze });
        let original = &single.original;
        let is_of_this = |snooze: &&Snooze| {
            snoozed(snooze, &original.zone, original.all_day).is_some_and(|start| start.at == original.at)
        };
        let of_this = of_master.filter(is_of_this).copied();
        let snoozes: Vec<Snooze> = snoozes.chain(of_this.map(|snooze| Snooze { occurrence: None, ..snooze })).collect();
        self.add_home(set, &[], &snoozes);
    }

    /// A component without a date: its absolute alarms fire.
    fn add_dateless(&mut self, component: &'a Component) {
        self.resolver.enter(component.calendar);
        let epoch = self.resolver.resolve(CalendarDateTime::Utc(DateTime::constant(1970, 1, 1, 0, 0, 0, 0)));
        let Some(mut set) = self.occurrence_set(component, &epoch, true) else { return };
        if !set.alarms.is_empty() {
            self.fault(
                component.line,
                format!("alarms of the {} never fire: {}", component.kind.name(), Inactive::NoDate),
            );
        }
        set.alarms = Arc::new([]);
        set.starts = Starts::List(Arc::new([]));
        set.zone = self.resolver.floating().clone();
        self.add_home(set, &[], self.context.snoozes_of(component));
    }

    /// Adds an occurrence set, with the alarms of its component that fire at an instant of their own.
    fn add_home(&mut self, set: OccurrenceSet<'a>, overrides: &[Override<'a>], snoozes: &[Snooze]) {
        let component = set.component;
        self.resolver.enter(component.calendar);
        let acknowledged = self.acknowledged(component, None);
        for alarm in self.context.alarms_of(component, set.all_day) {
            let (Some(Trigger::At(moment)), Some(action)) = (alarm.trigger, alarm.action) else { continue };
            let at = self.resolver.instant(moment);
            if inactive::of_alarm(component, alarm, self.context).is_none()
                && at > self.acknowledged(component, Some(alarm))
            {
                self.add_absolute(at, action, alarm);
            }
        }
        for snooze in snoozes {
            let at = self.resolver.instant(snooze.at);
            let original = snoozed(snooze, &set.zone, set.all_day);
            let elsewhere = original.is_some_and(|original| {
                overrides.iter().any(|o| o.original.at == original.at)
                    || set.left_out.iter().flatten().any(|set| set.contains(original))
            });
            if at > acknowledged && !elsewhere {
                let alarm = component.alarms.iter().find(|alarm| alarm.action == Some(Action::Display));
                self.fixed.push(FixedAlarm {
                    original,
                    snooze: true,
                    ..self.fixed_instance(at, Action::Display, alarm)
                });
            }
        }
        self.sets.push(set);
    }

    /// An absolute alarm of the source that is added next, unless the same one is there for another component of this
    /// UID.
    fn add_absolute(&mut self, at: UtcMillis, action: Action, alarm: &'a Alarm) {
        if let Some(index) = self.absolutes.get(&(action, at, alarm.repeat)) {
            if let Some(same) = self.fixed.get_mut(*index) {
                same.joined.push(alarm);
            }
            return;
        }
        self.absolutes.insert((action, at, alarm.repeat), self.fixed.len());
        self.fixed.push(FixedAlarm {
            repeat: alarm.repeat.min(self.context.limits.max_repeat),
            interval: alarm.interval.unwrap_or_default(),
            ..self.fixed_instance(at, action, Some(alarm))
        });
    }

    fn fixed_instance(&self, at: UtcMillis, action: Action, alarm: Option<&'a Alarm>) -> FixedAlarm<'a> {
        let base = Point { at, civil: None };
        let (joined, set) = (Vec::new(), self.sets.len());
        let (interval, original) = (Duration::default(), None);
        FixedAlarm { base, action, alarm, joined, repeat: 0, interval, set, original, snooze: false }
    }

    /// The occurrence set of what `component`, alone, fires; none: it is silent.
    fn occurrence_set(
        &mut self,
        component: &'a Component,
        start: &ResolvedTime,
        once: bool,
    ) -> Option<OccurrenceSet<'a>> {
        self.resolver.enter(component.calendar);
        if let Some(inactive) = inactive::of_component(component, self.object, self.context) {
            self.inactive_components.push((component, inactive));
            return None;
        }
        let length = event_duration::of_component(component, start, once, &mut self.resolver, &mut self.faults);
        let alarms = self.context.alarms_of(component, start.all_day);
        let mut relatives = Vec::with_capacity(alarms.len());
        for alarm in alarms {
            relatives.extend(self.relative(component, alarm, start.all_day));
        }
        if matches!(length, EventDuration::Endless) && relatives.iter().any(|alarm| alarm.at_end) {
            let text = "an alarm counts from the end of a to-do that has none: it counts from the start";
            self.fault(component.line, text.to_owned());
        }
        Some(OccurrenceSet {
            component,
            zone: start.zone.clone(),
            all_day: start.all_day,
            alarms: relatives.into(),
            length,
            identity: Identity::Single,
            starts: Starts::List([start.start()].into()),
            given: Given::Dates,
            first: start.at,
            from: UtcMillis::MIN,
            until: UtcMillis::MAX,
            moved: None,
            left_out: [None, None],
            work: self.memo.work().clone(),
        })
    }

    fn may_fire(&self, component: &'a Component, start: &ResolvedTime) -> bool {
        !self.context.snoozes_of(component).is_empty() || !self.context.alarms_of(component, start.all_day).is_empty()
    }

    fn relative(&mut self, component: &Component, alarm: &'a Alarm, all_day: bool) -> Option<Relative<'a>> {
        if inactive::of_alarm(component, alarm, self.context).is_some() {
            return None;
        }
        let (offset, at_end) = match alarm.trigger? {
            Trigger::Start(offset) => (offset, false),
            Trigger::End(offset) => (offset, true),
            Trigger::At(_) => return None,
        };
        let offset = self.context.moved_offset(component, alarm, all_day).map_or(offset, |(moved, _)| moved);
        Some(Relative {
            alarm,
            action: alarm.action?,
            offset,
            at_end,
            repeat: alarm.repeat.min(self.context.limits.max_repeat),
            interval: alarm.interval.unwrap_or_default(),
            acknowledged: self.acknowledged(component, Some(alarm)),
        })
    }

    /// Up to when the alarms of a component, or one of them, are done (rule 17).
    fn acknowledged(&mut self, component: &Component, alarm: Option<&Alarm>) -> UtcMillis {
        let both = [component.acknowledged, alarm.and_then(|alarm| alarm.acknowledged)];
        both.into_iter().flatten().map(|moment| self.resolver.instant(moment)).max().unwrap_or(UtcMillis::MIN)
    }

    fn fault(&mut self, line: u32, text: String) {
        self.faults.push(Fault { line, text });
    }
}

/// The occurrences that overrides stand for.
fn replaced_by(overrides: &[Override<'_>]) -> LeftOut {
    let mut set = LeftOut::default();
    for o in overrides {
        set.instants.push(o.original.at.0);
        if o.by_day {
            set.days.push(o.original.civil.date());
        }
    }
    set.instants.sort_unstable();
    set.days.sort_unstable();
    set
}

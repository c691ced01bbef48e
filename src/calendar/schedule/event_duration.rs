//! How long occurrences last (RFC 5545, 3.6.1, 3.8.2 and 3.8.5.3).

use jiff::SignedDuration;

use super::occurrence::EventDuration;
use super::resolve::{ResolvedTime, ZoneResolver};
use crate::calendar::ical::component::{Component, ComponentKind, PeriodEnd, RDate};
use crate::calendar::ical::date_time::CalendarDateTime;
use crate::calendar::ical::object::Fault;
use crate::calendar::ical::value::Duration;

const SECONDS_A_DAY: i64 = 86_400;

/// The length of `component`, which starts at `start`; `once`: it does not recur.
pub(super) fn of_component(
    component: &Component,
    start: &ResolvedTime,
    once: bool,
    resolver: &mut ZoneResolver,
    faults: &mut Vec<Fault>,
) -> EventDuration {
    let mut fault = |text: &str| faults.push(Fault { line: component.line, text: text.to_owned() });
    if let Some(end) = component.end {
        // An end without a zone is in that of the start: the RFC wants both alike, and some forget the one.
        let end = match end {
            CalendarDateTime::Floating(_) if !start.all_day => resolver.resolve_in(end, start),
            end => resolver.resolve(end),
        };
        match (start.all_day, end.all_day) {
            (true, false) => fault("it starts on a date and ends at a time: each is taken as written"),
            (false, true) => fault("it starts at a time and ends on a date: each is taken as written"),
            _ => {}
        }
        return between(component.kind, start, end, once).unwrap_or_else(|| {
            fault("it ends before it starts: the start counts, and it lasts no time");
            none(start)
        });
    }
    match component.duration {
        Some(length) if length.is_negative() => {
            fault("its DURATION is negative: it lasts no time");
            none(start)
        }
        Some(length) => EventDuration::Nominal(length),
        None if component.kind == ComponentKind::Todo => EventDuration::Endless,
        None if start.all_day => EventDuration::Days(1),
        None => none(start),
    }
}

/// No time.
fn none(start: &ResolvedTime) -> EventDuration {
    if start.all_day { EventDuration::Days(0) } else { EventDuration::Exact(SignedDuration::ZERO, start.zone.clone()) }
}

/// From `start` to `end`; none: that is backwards.
fn between(kind: ComponentKind, start: &ResolvedTime, end: ResolvedTime, once: bool) -> Option<EventDuration> {
    if start.all_day && end.all_day {
        let days = i64::from(start.civil.date().until(end.civil.date()).ok()?.get_days());
        return match days {
            ..0 => None,
            0 if kind == ComponentKind::Event => Some(EventDuration::Days(1)),
            days => Some(EventDuration::Days(days)),
        };
    }
    let length = end.at.duration_since(start.at);
    if length.is_negative() {
        return None;
    }
    if once && (length.is_positive() || start.all_day) {
        return Some(EventDuration::Until(end.point(), end.zone));
    }
    if start.all_day {
        let seconds = end.civil.duration_since(start.civil).as_secs();
        let days = seconds.div_euclid(SECONDS_A_DAY);
        let time = SignedDuration::from_secs(seconds.rem_euclid(SECONDS_A_DAY));
        return Some(EventDuration::Nominal(Duration { days, time }));
    }
    Some(EventDuration::Exact(length, end.zone))
}

/// The length that a PERIOD in an RDATE has of its own.
pub(super) fn of_rdate(
    rdate: &RDate,
    start: &ResolvedTime,
    series: &ResolvedTime,
    resolver: &mut ZoneResolver,
) -> Option<EventDuration> {
    match rdate {
        RDate::At(_) => None,
        RDate::Period(_, PeriodEnd::After(length)) => Some(EventDuration::Nominal(*length)),
        RDate::Period(_, PeriodEnd::At(end)) => {
            let end = resolver.resolve_in(*end, series);
            between(ComponentKind::Todo, start, end, true).or_else(|| Some(none(start)))
        }
    }
}

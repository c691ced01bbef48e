//! From what a property says to where it lies in time: the zones of an object, and arithmetic with nominal and exact
//! durations (RFC 5545, 3.3.5, 3.3.6 and 3.3.10).

use std::collections::HashMap;

use jiff::civil::{Date, DateTime};
use jiff::{SignedDuration, Span};

use crate::calendar::context::CalendarContext;
use crate::calendar::ical::date_time::{CalendarDateTime, TzId};
use crate::calendar::ical::object::{Fault, Object};
use crate::calendar::ical::value::{Duration, quoted};
use crate::calendar::rrule::OccurrenceStart;
use crate::calendar::zone::{Ambiguity, TzidMatch, Zone};
use crate::time::UtcMillis;

/// A zone, and whether anybody named it (rather than its being UTC for want of one).
#[derive(Clone, Debug)]
pub(crate) struct NamedZone {
    pub(crate) zone: Zone,
    pub(crate) known: bool,
    pub(crate) origin: ZoneOrigin,
}

impl NamedZone {
    /// Nothing in the value names it.
    pub(super) fn is_of_floating(&self) -> bool {
        !matches!(self.origin, ZoneOrigin::Utc | ZoneOrigin::Tzid(_) | ZoneOrigin::Unknown)
    }
}

/// What says that a time is in its zone (rules 10 and 11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoneOrigin {
    /// `Z`.
    Utc,
    /// TZID, which names it in this way.
    Tzid(TzidMatch),
    /// TZID, which nobody knows: it is the user's zone instead.
    Unknown,
    /// Nothing in the value: the calendar's own zone.
    Calendar,
    /// Nothing in the value: X-WR-TIMEZONE of the object.
    Object,
    /// Nothing in the value: the user's zone.
    User,
    /// Nothing at all: UTC for want of a zone.
    Nobody,
}

/// A point in time in the local time of some zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) at: UtcMillis,
    /// As written, before a gap moved it; none: not worked out yet.
    pub(crate) civil: Option<DateTime>,
}

/// A date or time with its zone.
#[derive(Clone, Debug)]
pub(crate) struct ResolvedTime {
    pub(crate) civil: DateTime,
    pub(crate) at: UtcMillis,
    pub(crate) zone: NamedZone,
    pub(crate) all_day: bool,
}

impl ResolvedTime {
    /// The occurrence that begins then.
    pub(super) fn start(&self) -> OccurrenceStart {
        OccurrenceStart { civil: self.civil, at: self.at }
    }

    /// How far, in seconds of local time, an override that begins at `new` moves the occurrence that begins at this
    /// time; none: not at all.
    pub(super) fn movement_to(&self, new: &ResolvedTime) -> Option<i64> {
        let same_zone = self.zone.zone.id() == new.zone.zone.id() && self.all_day == new.all_day;
        let seconds = new.civil.duration_since(self.civil).as_secs();
        (seconds != 0 || !same_zone).then_some(seconds)
    }
}

impl ResolvedTime {
    pub(crate) fn point(&self) -> Point {
        Point { at: self.at, civil: Some(self.civil) }
    }

    /// It is a time, and what it says names no zone.
    pub(super) fn is_floating(&self) -> bool {
        !self.all_day && self.zone.is_of_floating()
    }
}

/// The zones that the moments of one object are in.
#[derive(Debug)]
pub(crate) struct ZoneResolver {
    utc: Zone,
    /// In the VCALENDAR at work.
    pub(crate) floating: NamedZone,
    user: NamedZone,
    /// By VCALENDAR: the zone of floating times, and the user's.
    by_calendar: Vec<(NamedZone, NamedZone)>,
    /// By [`TzId`].
    tzids: Vec<NamedZone>,
    /// Whether anything asked for the zone of floating times, and for the user's.
    asked_floating: bool,
    asked_user: bool,
    /// Ids that a later database may know, which these times would lie in then; and those of floating times.
    unresolved: Vec<String>,
    unresolved_floating: Vec<String>,
}

/// At most so many ids are unresolved for one object.
const MAX_UNRESOLVED: usize = 100;

impl ZoneResolver {
    /// Resolves the zones that `object` uses; unknown ones are added to `faults`.
    pub(crate) fn new(object: &Object, context: &CalendarContext, faults: &mut Vec<Fault>) -> ZoneResolver {
        let utc = Zone::utc();
        let zones: HashMap<(usize, &str), _> =
            object.zones.iter().rev().map(|zone| ((zone.calendar, zone.definition.tzid.trim()), zone)).collect();
        let resolve = |calendar: usize, name: &str| {
            let own = zones.get(&(calendar, name.trim()));
            let location = own.and_then(|zone| zone.location.as_deref());
            context.zones.resolve_as(name, location, own.map(|zone| &zone.definition))
        };
        let said = |zone: Option<Zone>, origin| zone.map(|zone| NamedZone { zone, known: true, origin });
        let of_user = said(context.user_zone.clone(), ZoneOrigin::User);
        let of_calendar = said(context.calendar_zone.clone(), ZoneOrigin::Calendar);
        let by_calendar: Vec<(NamedZone, NamedZone)> = (0..)
            .zip(&object.calendars)
            .map(|(index, calendar)| {
                let stated = calendar.floating_zone.as_deref().and_then(|name| resolve(index, name));
                let stated = said(stated.map(|(zone, _)| zone), ZoneOrigin::Object);
                let nobody = || NamedZone { zone: utc.clone(), known: false, origin: ZoneOrigin::Nobody };
                let floating = of_calendar.clone().or(stated).or_else(|| of_user.clone()).unwrap_or_else(nobody);
                (floating.clone(), of_user.clone().unwrap_or(floating))
            })
            .collect();
        let nobody = || NamedZone { zone: utc.clone(), known: false, origin: ZoneOrigin::Nobody };
        let (floating, user) = by_calendar.first().cloned().unwrap_or_else(|| (nobody(), nobody()));
        let mut unresolved = Vec::new();
        let mut tzids = Vec::with_capacity(object.tzids.len());
        for tzid in &object.tzids {
            let found = resolve(tzid.calendar, &tzid.name);
            let tzid_match = found.as_ref().map(|(_, tzid_match)| *tzid_match);
            if matches!(
                tzid_match,
                None | Some(TzidMatch::Own | TzidMatch::Likely | TzidMatch::Offset | TzidMatch::Location)
            ) {
                let own = zones.get(&(tzid.calendar, tzid.name.trim())).copied();
                let names = std::iter::once(&*tzid.name).chain(own.and_then(|own| own.location.as_deref()));
                unresolved.extend(names.flat_map(|name| context.zones.unresolved(name)));
                unresolved.truncate(MAX_UNRESOLVED);
                // What is wrong with a definition counts only where it would be used.
                if let Some(own) = own.filter(|_| matches!(tzid_match, None | Some(TzidMatch::Own))) {
                    let sentences = context.zones.faults_of(&own.definition);
                    faults.extend(sentences.iter().map(|text| Fault { line: own.line, text: text.clone() }));
                }
            }
            if let Some((zone, TzidMatch::Likely | TzidMatch::Offset)) = &found {
                let (name, read) = (quoted(&tzid.name), zone_read(zone));
                let text = format!("the time zone {name} is not a name of a zone: it is read as {read}");
                faults.push(Fault { line: tzid.line, text });
            }
            tzids.push(match found {
                Some((zone, tzid_match)) => NamedZone { zone, known: true, origin: ZoneOrigin::Tzid(tzid_match) },
                None => {
                    let user = by_calendar.get(tzid.calendar).map_or(&user, |(_, user)| user);
                    let (name, instead) = (quoted(&tzid.name), user.zone.id());
                    let text = format!("the time zone {name} is unknown: its times are taken in the user's, {instead}");
                    faults.push(Fault { line: tzid.line, text });
                    NamedZone { origin: ZoneOrigin::Unknown, ..user.clone() }
                }
            });
        }
        let mut unresolved_floating = context.unresolved.clone();
        if floating.origin != ZoneOrigin::Calendar {
            let stated = object.calendars.iter().filter_map(|calendar| calendar.floating_zone.as_deref());
            unresolved_floating.extend(stated.flat_map(|name| context.zones.unresolved(name)).take(MAX_UNRESOLVED));
        }
        let (asked_floating, asked_user) = (false, false);
        ZoneResolver {
            utc,
            floating,
            user,
            by_calendar,
            tzids,
            asked_floating,
            asked_user,
            unresolved,
            unresolved_floating,
        }
    }

    /// From now on floating times are those of this VCALENDAR.
    pub(super) fn enter(&mut self, calendar: usize) {
        // Most texts have one.
        if self.by_calendar.len() > 1
            && let Some((floating, user)) = self.by_calendar.get(calendar)
        {
            (self.floating, self.user) = (floating.clone(), user.clone());
        }
    }

    /// Ids that no zone of the database has, in lower case: with a database that has one, its times would lie
    /// elsewhere.
    pub(crate) fn unresolved(&self) -> Vec<String> {
        let floating = self.unresolved_floating.iter().filter(|_| self.asked_floating || self.asked_user);
        let mut ids: Vec<String> = self.unresolved.iter().chain(floating).cloned().collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The ids of all zones that were asked for.
    pub(crate) fn ids(&self) -> Vec<String> {
        let all = || self.by_calendar.iter();
        let floating = all().map(|(floating, _)| floating).filter(|_| self.asked_floating);
        let user = all().map(|(_, user)| user).filter(|_| self.asked_user);
        let mut ids: Vec<String> =
            self.tzids.iter().chain(floating).chain(user).map(|named| named.zone.id().to_owned()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    fn tzid(&self, id: TzId) -> NamedZone {
        self.tzids.get(id.0 as usize).unwrap_or(&self.user).clone()
    }

    fn utc_named(&self) -> NamedZone {
        NamedZone { zone: self.utc.clone(), known: true, origin: ZoneOrigin::Utc }
    }

    /// Where `moment` lies. Floating times and dates are the calendar's or the user's (rules 8 and 11).
    pub(crate) fn resolve(&mut self, moment: CalendarDateTime) -> ResolvedTime {
        self.asked_floating |= matches!(moment, CalendarDateTime::Floating(_) | CalendarDateTime::Date(_));
        self.resolve_with(moment, &self.floating)
    }

    /// The same in the VCALENDAR `calendar`, without remembering what was asked for.
    pub(crate) fn peek(&self, moment: CalendarDateTime, calendar: usize) -> ResolvedTime {
        self.resolve_with(moment, self.by_calendar.get(calendar).map_or(&self.floating, |(floating, _)| floating))
    }

    fn resolve_with(&self, moment: CalendarDateTime, floating: &NamedZone) -> ResolvedTime {
        let (civil, zone, all_day) = match moment {
            CalendarDateTime::Utc(civil) => (civil, self.utc_named(), false),
            CalendarDateTime::Zoned(civil, id) => (civil, self.tzid(id), false),
            CalendarDateTime::Floating(civil) => (civil, floating.clone(), false),
            CalendarDateTime::Date(date) => (date.at(0, 0, 0, 0), floating.clone(), true),
        };
        let at = if all_day { day_start(&zone.zone, civil.date()) } else { zone.zone.instant(civil).0 };
        ResolvedTime { civil, at, zone, all_day }
    }

    /// Where a moment lies that speaks of a series (EXDATE, RDATE, RECURRENCE-ID): what it does not say of its zone, it
    /// takes from `series`; on an all-day series it is a date.
    pub(super) fn resolve_in(&mut self, moment: CalendarDateTime, series: &ResolvedTime) -> ResolvedTime {
        let zone = &series.zone.zone;
        if series.all_day {
            let date = match moment {
                CalendarDateTime::Date(date) => date,
                CalendarDateTime::Floating(civil) | CalendarDateTime::Zoned(civil, _) => civil.date(),
                CalendarDateTime::Utc(civil) if civil == civil.start_of_day() => civil.date(),
                CalendarDateTime::Utc(civil) => zone.civil(self.utc.instant(civil).0).date(),
            };
            return ResolvedTime { civil: date.at(0, 0, 0, 0), at: day_start(zone, date), ..series.clone() };
        }
        match moment {
            CalendarDateTime::Floating(civil) => ResolvedTime { civil, at: zone.instant(civil).0, ..series.clone() },
            // Of a timed series, the one that starts on that day.
            CalendarDateTime::Date(date) => {
                let civil = date.to_datetime(series.civil.time());
                ResolvedTime { civil, at: zone.instant(civil).0, ..series.clone() }
            }
            CalendarDateTime::Utc(_) | CalendarDateTime::Zoned(..) => {
                let ResolvedTime { at, .. } = self.resolve(moment);
                let written = matches!(moment, CalendarDateTime::Zoned(_, id) if self.tzid(id).zone.id() == zone.id());
                let civil = match moment {
                    CalendarDateTime::Zoned(civil, _) if written => civil,
                    _ => zone.civil(at),
                };
                ResolvedTime { civil, at, ..series.clone() }
            }
        }
    }

    /// The same for RECURRENCE-ID: with `Z` on a floating series it is the wall clock where the series has that one.
    pub(super) fn resolve_original(&mut self, moment: CalendarDateTime, series: &ResolvedTime) -> ResolvedTime {
        let time = self.resolve_in(moment, series);
        match moment {
            CalendarDateTime::Utc(civil) if series.is_floating() && civil.time() == series.civil.time() => {
                self.resolve_in(CalendarDateTime::Floating(civil), series)
            }
            _ => time,
        }
    }

    /// The instant of ACKNOWLEDGED, an absolute TRIGGER and the like: UTC by the RFC, but clients write it locally too;
    /// the user's zone then.
    pub(crate) fn instant(&mut self, moment: CalendarDateTime) -> UtcMillis {
        self.asked_user |= matches!(moment, CalendarDateTime::Floating(_) | CalendarDateTime::Date(_));
        self.instant_with(moment, &self.user).at
    }

    /// The same with its zone in the VCALENDAR `calendar`, without remembering what was asked for.
    pub(crate) fn peek_instant(&self, moment: CalendarDateTime, calendar: usize) -> ResolvedTime {
        self.instant_with(moment, self.by_calendar.get(calendar).map_or(&self.user, |(_, user)| user))
    }

    fn instant_with(&self, moment: CalendarDateTime, user: &NamedZone) -> ResolvedTime {
        let zone = user.clone();
        match moment {
            CalendarDateTime::Floating(civil) => {
                ResolvedTime { civil, at: zone.zone.instant(civil).0, zone, all_day: false }
            }
            CalendarDateTime::Date(date) => {
                let (civil, at) = (date.at(0, 0, 0, 0), day_start(&zone.zone, date));
                ResolvedTime { civil, at, zone, all_day: true }
            }
            CalendarDateTime::Utc(_) | CalendarDateTime::Zoned(..) => self.resolve_with(moment, user),
        }
    }
}

/// What a name that is none is read as.
fn zone_read(zone: &Zone) -> String {
    match zone.fixed_offset() {
        Some(0) => "UTC".to_owned(),
        Some(seconds) => {
            let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.unsigned_abs() / 60);
            format!("the offset {sign}{:02}:{:02}", minutes / 60, minutes % 60)
        }
        None => zone.id().to_owned(),
    }
}

/// The first instant of a day (rule 8): midnight, or, where the clocks skip it, the moment they do.
pub(super) fn day_start(zone: &Zone, date: Date) -> UtcMillis {
    let midnight = date.at(0, 0, 0, 0);
    let (at, ambiguity) = zone.instant(midnight);
    if ambiguity != Ambiguity::Gap {
        return at;
    }
    // The gap may begin before midnight: look for the first instant whose local clock shows midnight or later.
    let (mut low, mut high) = (at.plus(-GAP), at);
    while high.0 - low.0 > 1000 {
        let middle = UtcMillis((low.0 + (high.0 - low.0) / 2).div_euclid(1000) * 1000);
        if zone.civil(middle) >= midnight {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

/// No gap is longer (a day was skipped at the date line).
const GAP: i64 = 25 * 3_600_000;

/// `point` moved by `duration` in `zone`: the nominal days in local time first, then the exact seconds. None: outside
/// the years that are computed with.
pub(crate) fn shift(point: Point, duration: Duration, zone: &Zone) -> Option<Point> {
    shift_by_steps(point, duration, zone, |_, _| ())
}

/// The same; `visit` hears of where each of the two parts that is there leads.
pub(crate) fn shift_by_steps(
    point: Point,
    duration: Duration,
    zone: &Zone,
    mut visit: impl FnMut(Duration, Point),
) -> Option<Point> {
    let mut moved = point;
    if duration.days != 0 {
        let civil = point.civil.unwrap_or_else(|| zone.civil(point.at));
        let civil = civil.checked_add(Span::new().try_days(duration.days).ok()?).ok()?;
        moved = Point { at: zone.instant(civil).0, civil: Some(civil) };
        visit(Duration { seconds: 0, ..duration }, moved);
    }
    if duration.seconds != 0 {
        let at = moved.at.0.checked_add(duration.seconds.checked_mul(1000)?)?;
        moved = Point { at: UtcMillis(at), civil: None };
        visit(Duration { days: 0, ..duration }, moved);
    }
    (UtcMillis::MIN < moved.at && moved.at < UtcMillis::MAX).then_some(moved)
}

/// A wall-clock time moved by seconds in local time.
pub(super) fn shift_civil(civil: DateTime, seconds: i64) -> Option<DateTime> {
    civil.checked_add(SignedDuration::from_secs(seconds)).ok()
}

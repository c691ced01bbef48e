//! From what a property says to where it lies in time: the zones of an object, and arithmetic with nominal and exact
//! durations (RFC 5545, 3.3.5, 3.3.6 and 3.3.10).

use std::collections::HashMap;

use jiff::civil::{Date, DateTime};
use jiff::{SignedDuration, Span};

use crate::calendar::context::CalendarContext;
use crate::calendar::ical::date_time::{CalendarDateTime, TzId};
use crate::calendar::ical::object::{Fault, Object, Tzid, VCalendar, ZoneDefinition};
use crate::calendar::ical::value::{Duration, quoted};
use crate::calendar::rrule::OccurrenceStart;
use crate::calendar::zone::{Ambiguity, CivilInstant, ResolvedZone, TzidMatch, Zone};
use crate::time::UtcMillis;

/// A zone, and what says that it holds.
#[derive(Clone, Debug)]
pub(crate) struct NamedZone {
    pub(crate) zone: Zone,
    /// False if it is UTC because no zone is known.
    pub(crate) known: bool,
    pub(crate) origin: ZoneOrigin,
}

impl NamedZone {
    /// UTC, because no zone is known.
    fn unknown() -> NamedZone {
        NamedZone { zone: Zone::utc(), known: false, origin: ZoneOrigin::NoZone }
    }

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
    /// TZID, which is unknown: it is the user's zone instead.
    Unknown,
    /// Nothing in the value: the calendar's own zone.
    Calendar,
    /// Nothing in the value: X-WR-TIMEZONE of the object.
    Object,
    /// Nothing in the value: the user's zone.
    User,
    /// Nothing at all: UTC, because no zone is known.
    NoZone,
}

/// A point in time in the local time of some zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) at: UtcMillis,
    /// As written, before a gap moved it; none: not worked out yet.
    pub(crate) civil: Option<DateTime>,
}

impl Point {
    /// Where an occurrence starts.
    pub(crate) fn of(start: OccurrenceStart) -> Point {
        Point { at: start.at, civil: Some(start.civil) }
    }
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

    /// How far in local time, in whole seconds, an override that begins at `new` moves the occurrence that begins at
    /// this time; none: not at all.
    pub(super) fn movement_to(&self, new: &ResolvedTime) -> Option<SignedDuration> {
        let same_zone = self.zone.zone.id() == new.zone.zone.id() && self.all_day == new.all_day;
        let moved = SignedDuration::from_secs(new.civil.duration_since(self.civil).as_secs());
        (!moved.is_zero() || !same_zone).then_some(moved)
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

/// The zones that hold in one VCALENDAR.
#[derive(Clone, Debug)]
struct CalendarZones {
    /// Of floating times and dates.
    floating: NamedZone,
    user: NamedZone,
}

impl CalendarZones {
    /// Of the VCALENDAR `calendar`, which is number `index` of its object.
    fn new(calendar: &VCalendar, index: usize, names: &ZoneNames<'_>) -> CalendarZones {
        let context = names.context;
        let known = |zone: Option<Zone>, origin| zone.map(|zone| NamedZone { zone, known: true, origin });
        let user = known(context.user_zone.clone(), ZoneOrigin::User);
        let stated = || calendar.floating_zone.as_deref().and_then(|name| names.resolve(index, name));
        let floating = known(context.calendar_zone.clone(), ZoneOrigin::Calendar)
            .or_else(|| known(stated().map(|resolved| resolved.zone), ZoneOrigin::Object))
            .or_else(|| user.clone())
            .unwrap_or_else(NamedZone::unknown);
        CalendarZones { user: user.unwrap_or_else(|| floating.clone()), floating }
    }
}

/// The names of zones in one object.
struct ZoneNames<'a> {
    context: &'a CalendarContext,
    /// The VTIMEZONEs, by VCALENDAR and TZID; of several the first.
    definitions: HashMap<(usize, &'a str), &'a ZoneDefinition>,
}

impl<'a> ZoneNames<'a> {
    fn new(object: &'a Object, context: &'a CalendarContext) -> ZoneNames<'a> {
        let definitions = object.zones.iter().rev();
        let definitions = definitions.map(|zone| ((zone.calendar, zone.definition.tzid.trim()), zone)).collect();
        ZoneNames { context, definitions }
    }

    fn definition(&self, calendar: usize, name: &str) -> Option<&'a ZoneDefinition> {
        self.definitions.get(&(calendar, name.trim())).copied()
    }

    /// The zone that `name` means in the VCALENDAR number `calendar`.
    fn resolve(&self, calendar: usize, name: &str) -> Option<ResolvedZone> {
        let definition = self.definition(calendar, name);
        let location = definition.and_then(|zone| zone.location.as_deref());
        self.context.zones.resolve_as(name, location, definition.map(|zone| &zone.definition))
    }

    /// The zone of `tzid`; if it is unknown, that of the user. What is wrong with the name or with its definition is
    /// added to `faults`, ids that a later database may know to `unresolved`.
    fn of_tzid(
        &self,
        tzid: &Tzid,
        user: &NamedZone,
        unresolved: &mut Vec<String>,
        faults: &mut Vec<Fault>,
    ) -> NamedZone {
        let (definition, zones) = (self.definition(tzid.calendar, &tzid.name), &self.context.zones);
        let found = self.resolve(tzid.calendar, &tzid.name);
        let tzid_match = found.as_ref().map(|found| found.tzid_match);
        if !matches!(tzid_match, Some(TzidMatch::Id | TzidMatch::Prefixed | TzidMatch::Windows)) {
            let location = definition.and_then(|zone| zone.location.as_deref());
            unresolved.extend(std::iter::once(&*tzid.name).chain(location).flat_map(|name| zones.unresolved(name)));
            unresolved.truncate(MAX_UNRESOLVED);
        }
        // What is wrong with a definition counts only if it would be used.
        if let Some(used) = definition.filter(|_| matches!(tzid_match, None | Some(TzidMatch::Own))) {
            let sentences = zones.faults_of(&used.definition);
            faults.extend(sentences.iter().map(|text| Fault { line: used.line, text: text.clone() }));
        }
        let name = || quoted(&tzid.name);
        let Some(ResolvedZone { zone, tzid_match }) = found else {
            let text =
                format!("the time zone {} is unknown: its times are taken in the user's, {}", name(), user.zone.id());
            faults.push(Fault { line: tzid.line, text });
            return NamedZone { origin: ZoneOrigin::Unknown, ..user.clone() };
        };
        if matches!(tzid_match, TzidMatch::Likely | TzidMatch::Offset) {
            let text = format!("the time zone {} is not a name of a zone: it is read as {}", name(), zone_read(&zone));
            faults.push(Fault { line: tzid.line, text });
        }
        NamedZone { zone, known: true, origin: ZoneOrigin::Tzid(tzid_match) }
    }
}

/// The zones that the moments of one object are in.
#[derive(Debug)]
pub(crate) struct ZoneResolver {
    utc: Zone,
    /// Those of the VCALENDAR at work.
    here: CalendarZones,
    by_calendar: Vec<CalendarZones>,
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
        let names = ZoneNames::new(object, context);
        let calendars = (0..).zip(&object.calendars);
        let by_calendar: Vec<_> =
            calendars.map(|(index, calendar)| CalendarZones::new(calendar, index, &names)).collect();
        let unknown = || CalendarZones { floating: NamedZone::unknown(), user: NamedZone::unknown() };
        let here = by_calendar.first().cloned().unwrap_or_else(unknown);
        let mut unresolved = Vec::new();
        let mut tzids = Vec::with_capacity(object.tzids.len());
        for tzid in &object.tzids {
            let zones = by_calendar.get(tzid.calendar).unwrap_or(&here);
            tzids.push(names.of_tzid(tzid, &zones.user, &mut unresolved, faults));
        }
        let mut unresolved_floating = context.unresolved.clone();
        if here.floating.origin != ZoneOrigin::Calendar {
            let stated = object.calendars.iter().filter_map(|calendar| calendar.floating_zone.as_deref());
            unresolved_floating.extend(stated.flat_map(|name| context.zones.unresolved(name)).take(MAX_UNRESOLVED));
        }
        ZoneResolver {
            utc: Zone::utc(),
            here,
            by_calendar,
            tzids,
            asked_floating: false,
            asked_user: false,
            unresolved,
            unresolved_floating,
        }
    }

    /// From now on floating times are those of this VCALENDAR.
    pub(super) fn enter(&mut self, calendar: usize) {
        // Most texts have one.
        if self.by_calendar.len() > 1
            && let Some(zones) = self.by_calendar.get(calendar)
        {
            self.here.clone_from(zones);
        }
    }

    /// The zone of floating times in the VCALENDAR at work.
    pub(super) fn floating(&self) -> &NamedZone {
        &self.here.floating
    }

    /// The zones of the VCALENDAR number `calendar`.
    fn zones_of(&self, calendar: usize) -> &CalendarZones {
        self.by_calendar.get(calendar).unwrap_or(&self.here)
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
        let floating = all().map(|zones| &zones.floating).filter(|_| self.asked_floating);
        let user = all().map(|zones| &zones.user).filter(|_| self.asked_user);
        let mut ids: Vec<String> =
            self.tzids.iter().chain(floating).chain(user).map(|named| named.zone.id().to_owned()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    fn tzid(&self, id: TzId) -> NamedZone {
        self.tzids.get(id.index()).unwrap_or(&self.here.user).clone()
    }

    fn utc_named(&self) -> NamedZone {
        NamedZone { zone: self.utc.clone(), known: true, origin: ZoneOrigin::Utc }
    }

    /// Where `moment` lies. Floating times and dates are the calendar's or the user's (rules 8 and 11).
    pub(crate) fn resolve(&mut self, moment: CalendarDateTime) -> ResolvedTime {
        self.asked_floating |= matches!(moment, CalendarDateTime::Floating(_) | CalendarDateTime::Date(_));
        self.resolve_with(moment, &self.here.floating)
    }

    /// The same in the VCALENDAR `calendar`, without remembering what was asked for.
    pub(crate) fn peek(&self, moment: CalendarDateTime, calendar: usize) -> ResolvedTime {
        self.resolve_with(moment, &self.zones_of(calendar).floating)
    }

    fn resolve_with(&self, moment: CalendarDateTime, floating: &NamedZone) -> ResolvedTime {
        let (civil, zone, all_day) = match moment {
            CalendarDateTime::Utc(civil) => (civil, self.utc_named(), false),
            CalendarDateTime::Zoned(civil, id) => (civil, self.tzid(id), false),
            CalendarDateTime::Floating(civil) => (civil, floating.clone(), false),
            CalendarDateTime::Date(date) => (date.at(0, 0, 0, 0), floating.clone(), true),
        };
        let at = if all_day { day_start(&zone.zone, civil.date()) } else { zone.zone.instant(civil).at };
        ResolvedTime { civil, at, zone, all_day }
    }

    /// Where a moment lies that belongs to a series (EXDATE, RDATE, RECURRENCE-ID): what it does not say of its zone,
    /// it takes from `series`; on an all-day series it is a date.
    pub(super) fn resolve_in(&mut self, moment: CalendarDateTime, series: &ResolvedTime) -> ResolvedTime {
        let zone = &series.zone.zone;
        if series.all_day {
            let date = match moment {
                CalendarDateTime::Date(date) => date,
                CalendarDateTime::Floating(civil) | CalendarDateTime::Zoned(civil, _) => civil.date(),
                CalendarDateTime::Utc(civil) if civil == civil.start_of_day() => civil.date(),
                CalendarDateTime::Utc(civil) => zone.civil(self.utc.instant(civil).at).date(),
            };
            return ResolvedTime { civil: date.at(0, 0, 0, 0), at: day_start(zone, date), ..series.clone() };
        }
        match moment {
            CalendarDateTime::Floating(civil) => ResolvedTime { civil, at: zone.instant(civil).at, ..series.clone() },
            // Of a timed series, the one that starts on that day.
            CalendarDateTime::Date(date) => {
                let civil = date.to_datetime(series.civil.time());
                ResolvedTime { civil, at: zone.instant(civil).at, ..series.clone() }
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
        self.instant_with(moment, &self.here.user).at
    }

    /// The same with its zone in the VCALENDAR `calendar`, without remembering what was asked for.
    pub(crate) fn peek_instant(&self, moment: CalendarDateTime, calendar: usize) -> ResolvedTime {
        self.instant_with(moment, &self.zones_of(calendar).user)
    }

    fn instant_with(&self, moment: CalendarDateTime, user: &NamedZone) -> ResolvedTime {
        let zone = user.clone();
        match moment {
            CalendarDateTime::Floating(civil) => {
                ResolvedTime { civil, at: zone.zone.instant(civil).at, zone, all_day: false }
            }
            CalendarDateTime::Date(date) => {
                let (civil, at) = (date.at(0, 0, 0, 0), day_start(&zone.zone, date));
                ResolvedTime { civil, at, zone, all_day: true }
            }
            CalendarDateTime::Utc(_) | CalendarDateTime::Zoned(..) => self.resolve_with(moment, user),
        }
    }
}

/// What a name that is not a name of a zone is read as.
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
    let CivilInstant { at, ambiguity } = zone.instant(midnight);
    if ambiguity != Ambiguity::Gap {
        return at;
    }
    // The gap may begin before midnight: look for the first instant whose local clock shows midnight or later.
    let (mut low, mut high) = (at.saturating_sub(GAP), at);
    while high.duration_since(low) > SignedDuration::from_secs(1) {
        let middle = low.saturating_add(high.duration_since(low) / 2).start_of_second();
        if zone.civil(middle) >= midnight {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

/// No gap is longer (a day was skipped at the date line).
const GAP: SignedDuration = SignedDuration::from_hours(25);

/// `point` moved by `duration` in `zone`: the nominal days in local time first, then the elapsed time. None: outside
/// the years that are computed with.
pub(crate) fn shift(point: Point, duration: Duration, zone: &Zone) -> Option<Point> {
    shift_by_steps(point, duration, zone, |_, _| ())
}

/// The same; `visit` is called with each of the two parts that is there, and where it leads.
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
        moved = Point { at: zone.instant(civil).at, civil: Some(civil) };
        visit(Duration::days(duration.days), moved);
    }
    if !duration.time.is_zero() {
        moved = Point { at: moved.at.saturating_add(duration.time), civil: None };
        visit(Duration::exact(duration.time), moved);
    }
    (UtcMillis::MIN < moved.at && moved.at < UtcMillis::MAX).then_some(moved)
}

/// A wall-clock time moved by `duration` in local time.
pub(super) fn shift_civil(civil: DateTime, duration: SignedDuration) -> Option<DateTime> {
    civil.checked_add(duration).ok()
}

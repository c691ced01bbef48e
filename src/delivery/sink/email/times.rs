//! When an event is, as its reader understands it: in the reader's zone and, if that differs, in the event's own.

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime};

use super::localizer::Localizer;
use crate::calendar::zone::{Ambiguity, Zone, Zones};
use crate::delivery::render;
use crate::notification::Notification;
use crate::time::UtcMillis;

/// An alarm that goes out later than this after its instant says so.
const LATE_AFTER: SignedDuration = SignedDuration::from_mins(1);

/// Writes the times of one event.
#[derive(Debug)]
pub struct EventTimes<'a> {
    localizer: &'a Localizer,
    reader: Zone,
    /// Where the event has a zone of its own that the reader may think in.
    event: Option<Zone>,
    /// Whether the reader's zone is worth naming.
    named: bool,
}

impl<'a> EventTimes<'a> {
    /// The times of `n`, for a reader who thinks in the zone `reader`; none: in that of the event.
    pub fn new(n: &Notification, reader: Option<Zone>, zones: &Zones, localizer: &'a Localizer) -> EventTimes<'a> {
        let event = zones.find(&n.timezone).filter(|zone| zone.id() != "UTC");
        let named = n.timezone != "[floating]";
        match (reader, event) {
            (Some(reader), event) => EventTimes { localizer, reader, event, named: true },
            (None, Some(event)) => EventTimes { localizer, reader: event, event: None, named },
            (None, None) => EventTimes { localizer, reader: Zone::utc(), event: None, named },
        }
    }

    /// When it is, for a subject: the day, and the time where it has one.
    pub fn short(&self, n: &Notification) -> Option<String> {
        let start = if n.component == "VTODO" && !n.end.is_empty() { &n.end } else { &n.start };
        if let Some(day) = render::date(start) {
            return Some(self.localizer.short_day(day));
        }
        let at = render::instant(start)?;
        let day = self.localizer.short_day(self.reader.civil(at).date());
        Some(self.localizer.text("day-time", &[("day", &day), ("time", &self.time(&self.reader, at))]))
    }

    /// From `start` to `end` (exclusive; empty for none) in the reader's zone, on a second line in the event's own
    /// where that differs. Empty when they are no times.
    pub fn span(&self, n: &Notification, start: &str, end: &str) -> String {
        if n.all_day == 1 {
            return days(start, end).map(|(first, last)| self.all_day(first, last)).unwrap_or_default();
        }
        let Some(from) = render::instant(start) else { return String::new() };
        let to = render::instant(end).filter(|to| *to > from);
        let mut text = self.between(&self.reader, from, to);
        if self.named {
            text = self.localizer.text("in-zone", &[("when", &text), ("zone", self.reader.id())]);
        }
        let differs = |zone: &&Zone| zone.civil(from) != self.reader.civil(from);
        if let Some(zone) = self.event.as_ref().filter(differs) {
            let there = self.between(zone, from, to);
            text.push('\n');
            text.push_str(&self.localizer.text("elsewhere", &[("when", &there), ("zone", zone.id())]));
        }
        text
    }

    /// When the occurrence was before it was moved, in the zone of the event; none if it was not moved.
    pub fn moved_from(&self, n: &Notification) -> Option<String> {
        let original: DateTime = n.recurrence_id.parse().ok()?;
        if n.all_day == 1 {
            return render::date(&n.start)
                .filter(|day| *day != original.date())
                .map(|_| self.localizer.day(original.date()));
        }
        let zone = self.event.as_ref().unwrap_or(&self.reader);
        let at = zone.instant(original).at;
        (at != render::instant(&n.start)?).then(|| self.day_time(&self.reader, at))
    }

    /// That the alarm goes out late, when it does.
    pub fn late(&self, n: &Notification, now: UtcMillis) -> Option<String> {
        let due = render::instant(&n.alarm_time)?;
        let late = now.duration_since(due);
        let (count, id) = match late.as_mins() {
            minutes @ ..=119 => (minutes, "late-minutes"),
            minutes @ 120..=2_879 => (minutes / 60, "late-hours"),
            minutes => (minutes / 1_440, "late-days"),
        };
        let due = self.day_time(&self.reader, due);
        (late >= LATE_AFTER).then(|| self.localizer.counted(id, count, &[("due", &due)]))
    }

    /// Whether the event, or the time for the to-do, has ended before `now`.
    pub fn is_over(&self, n: &Notification, now: UtcMillis) -> bool {
        let end = if n.end.is_empty() { &n.start } else { &n.end };
        let end = match render::date(end) {
            // The end of an all-day event is the day after its last one.
            Some(day) if n.end.is_empty() || n.component == "VTODO" => {
                day.tomorrow().ok().map(|day| self.midnight(day))
            }
            Some(day) => Some(self.midnight(day)),
            None => render::instant(end),
        };
        end.is_some_and(|end| end <= now)
    }

    fn midnight(&self, day: Date) -> UtcMillis {
        self.reader.instant(day.at(0, 0, 0, 0)).at
    }

    fn all_day(&self, first: Date, last: Date) -> String {
        let day = |day: Date| self.localizer.day(day);
        if first == last {
            return self.localizer.text("all-day", &[("day", &day(first))]);
        }
        self.localizer.text("all-day-span", &[("first", &day(first)), ("last", &day(last))])
    }

    fn between(&self, zone: &Zone, from: UtcMillis, to: Option<UtcMillis>) -> String {
        let Some(to) = to else { return self.day_time(zone, from) };
        let (first, last) = (zone.civil(from).date(), zone.civil(to).date());
        if first != last {
            return self
                .localizer
                .text("span", &[("from", &self.day_time(zone, from)), ("to", &self.day_time(zone, to))]);
        }
        let (day, from, to) = (self.localizer.day(first), self.time(zone, from), self.time(zone, to));
        self.localizer.text("times", &[("day", &day), ("from", &from), ("to", &to)])
    }

    fn day_time(&self, zone: &Zone, at: UtcMillis) -> String {
        let day = self.localizer.day(zone.civil(at).date());
        self.localizer.text("day-time", &[("day", &day), ("time", &self.time(zone, at))])
    }

    /// The time at `at`; with its offset where the clock shows it twice.
    fn time(&self, zone: &Zone, at: UtcMillis) -> String {
        let civil = zone.civil(at);
        let time = self.localizer.time(civil.time());
        match zone.instant(civil).ambiguity {
            Ambiguity::Fold => format!("{time} {}", offset(zone.offset(at))),
            _ => time,
        }
    }
}

/// `UTC+2`, `UTC-3:30`
fn offset(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.unsigned_abs() / 60;
    match minutes % 60 {
        0 => format!("UTC{sign}{}", minutes / 60),
        rest => format!("UTC{sign}{}:{rest:02}", minutes / 60),
    }
}

/// The first and the last day of an all-day span whose end is exclusive.
fn days(start: &str, end: &str) -> Option<(Date, Date)> {
    let first = render::date(start)?;
    let last = render::date(end).and_then(|end| end.yesterday().ok()).filter(|last| *last > first);
    Some((first, last.unwrap_or(first)))
}

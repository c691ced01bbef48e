//! Reading the properties of a VEVENT or VTODO (RFC 5545, 3.8).

use super::component::{
    Attendee, Component, ComponentKind, ComponentStatus, PeriodEnd, RDate, RecurrenceId, RuleText, Snooze,
};
use super::line::ContentLine;
use super::reader::{PropertyReader, ReadLimit};
use super::value::{ValueError, address, split_period};
use crate::time::UtcMillis;

/// How many conferences of a component are kept: a meeting has one, and some numbers to call.
const MAX_CONFERENCES: usize = 10;

impl Component {
    /// Takes in one of its properties. `name` is in upper case.
    pub(super) fn property(&mut self, name: &str, number: u32, text: &str, reader: &mut PropertyReader<'_>) {
        if !is_read(name) {
            return;
        }
        let line = if is_dated(name) { reader.parse_dated_line(number, text) } else { reader.parse_line(number, text) };
        let Some(line) = line else {
            self.broken |= matches!(name, "DTSTART" | "RECURRENCE-ID");
            return;
        };
        match name {
            "UID" => first(&mut self.uid, line.value),
            "SUMMARY" => first(&mut self.summary, &line.text()),
            "DESCRIPTION" => first(&mut self.description, &line.text()),
            "LOCATION" => first(&mut self.location, &line.text()),
            "CATEGORIES" => self.add_categories(line.value),
            "ORGANIZER" => self.organizer(&line),
            "URL" => first(&mut self.url, line.value.trim()),
            "CONFERENCE" | "X-GOOGLE-CONFERENCE" | "X-MICROSOFT-SKYPETEAMSMEETINGURL" => self.conference(&line),
            "ATTENDEE" => self.attendee(&line, number, reader),
            "STATUS" => self.status = status(line.value),
            "COMPLETED" => self.completed |= self.kind == ComponentKind::Todo && !line.value.trim().is_empty(),
            "PERCENT-COMPLETE" => self.completed |= self.kind == ComponentKind::Todo && line.value.trim() == "100",
            "SEQUENCE" => self.sequence = line.value.trim().parse().unwrap_or(0),
            "DURATION" => self.length(&line, number, reader),
            "RRULE" => rule(&mut self.rules, line.value, number, reader),
            "EXRULE" => rule(&mut self.exrules, line.value, number, reader),
            "RDATE" => self.add_rdates(&line, number, reader),
            "EXDATE" => self.add_exdates(&line, number, reader),
            _ => self.moment(name, &line, number, reader),
        }
    }

    fn add_categories(&mut self, list: &str) {
        if !self.category_lists.is_empty() {
            self.category_lists.push(',');
        }
        self.category_lists.push_str(list);
    }

    fn moment(&mut self, name: &str, line: &ContentLine<'_>, number: u32, reader: &mut PropertyReader<'_>) {
        let moment = match reader.moment(line, line.value, number) {
            Ok(moment) => moment,
            Err(error) => {
                self.broken |= matches!(name, "DTSTART" | "RECURRENCE-ID");
                reader.fault(number, format_args!("{name} of the {} cannot be read: {error}", self.kind.name()));
                return;
            }
        };
        match (name, self.kind) {
            ("DTSTART", _) => set(&mut self.start, moment),
            ("DTEND", ComponentKind::Event) | ("DUE", ComponentKind::Todo) => set(&mut self.end, moment),
            ("RECURRENCE-ID", _) => {
                let and_future = line.says("RANGE", "THISANDFUTURE");
                set(&mut self.recurrence_id, RecurrenceId { moment, and_future });
            }
            ("LAST-MODIFIED", _) => set(&mut self.last_modified, moment),
            ("X-MOZ-LASTACK", _) => set(&mut self.acknowledged, moment),
            (name, _) => {
                if let Some(rest) = name.strip_prefix("X-MOZ-SNOOZE-TIME") {
                    // In microseconds since 1970.
                    let occurrence: Option<i64> = rest.strip_prefix('-').and_then(|n| n.parse().ok());
                    let occurrence = occurrence.map(|micros| UtcMillis(micros.div_euclid(1000)));
                    self.snoozes.push(Snooze { at: moment, occurrence });
                }
            }
        }
    }

    fn organizer(&mut self, line: &ContentLine<'_>) {
        if self.organizer.is_empty() {
            self.organizer = address(line.value).into();
            self.organizer_name = line.parameter("CN").unwrap_or_default().into();
        }
    }

    fn conference(&mut self, line: &ContentLine<'_>) {
        let uri = line.value.trim();
        if self.conferences.len() < MAX_CONFERENCES && !self.conferences.iter().any(|known| &**known == uri) {
            self.conferences.push(uri.into());
        }
    }

    fn attendee(&mut self, line: &ContentLine<'_>, number: u32, reader: &mut PropertyReader<'_>) {
        let most = reader.notes.limits.max_attendees;
        if self.attendees.len() >= most {
            return reader.too_many(number, "ATTENDEEs of a component", ReadLimit { key: "max_attendees", most });
        }
        let text = |key| line.parameter(key).unwrap_or_default().into();
        self.attendees.push(Attendee {
            address: address(line.value).into(),
            email: line.parameter("EMAIL").map(Into::into),
            name: text("CN"),
            status: text("PARTSTAT"),
        });
    }

    fn length(&mut self, line: &ContentLine<'_>, number: u32, reader: &mut PropertyReader<'_>) {
        match reader.duration(line.value, number) {
            Ok(length) => set(&mut self.duration, length),
            Err(error) => reader.fault(number, format_args!("DURATION is left out: {error}")),
        }
    }

    fn add_rdates(&mut self, line: &ContentLine<'_>, number: u32, reader: &mut PropertyReader<'_>) {
        for value in line.value.split(',').filter(|value| !value.trim().is_empty()) {
            match rdate(line, value, number, reader) {
                Ok(rdate) => self.rdates.push(rdate),
                Err(error) => reader.fault(number, format_args!("a value of RDATE is left out: {error}")),
            }
        }
    }

    fn add_exdates(&mut self, line: &ContentLine<'_>, number: u32, reader: &mut PropertyReader<'_>) {
        for value in line.value.split(',').filter(|value| !value.trim().is_empty()) {
            match reader.moment(line, value, number) {
                Ok(moment) => self.exdates.push(moment),
                Err(error) => reader.fault(number, format_args!("a value of EXDATE is left out: {error}")),
            }
        }
    }
}

/// The properties that are read; the many others are not even taken apart.
fn is_read(name: &str) -> bool {
    matches!(
        name,
        "UID" | "SUMMARY" | "DESCRIPTION" | "LOCATION" | "ORGANIZER" | "ATTENDEE" | "STATUS" | "COMPLETED" | "SEQUENCE"
    ) || matches!(
        name,
        "PERCENT-COMPLETE" | "DTSTART" | "DTEND" | "DUE" | "DURATION" | "RECURRENCE-ID" | "LAST-MODIFIED"
    ) || matches!(name, "RRULE" | "EXRULE" | "RDATE" | "EXDATE" | "X-MOZ-LASTACK" | "CATEGORIES")
        || matches!(name, "URL" | "CONFERENCE" | "X-GOOGLE-CONFERENCE" | "X-MICROSOFT-SKYPETEAMSMEETINGURL")
        || name.starts_with("X-MOZ-SNOOZE-TIME")
}

/// The properties whose values are dates, times, periods or a duration.
fn is_dated(name: &str) -> bool {
    matches!(name, "DTSTART" | "DTEND" | "DUE" | "DURATION" | "RECURRENCE-ID" | "RDATE" | "EXDATE")
}

fn rdate(
    line: &ContentLine<'_>,
    value: &str,
    number: u32,
    reader: &mut PropertyReader<'_>,
) -> Result<RDate, ValueError> {
    if !value.contains('/') {
        return Ok(RDate::At(reader.moment(line, value, number)?));
    }
    let (start, end) = split_period(value)?;
    let end = if end.trim_start().starts_with(|c: char| c.is_ascii_digit()) {
        PeriodEnd::At(reader.moment(line, end, number)?)
    } else {
        PeriodEnd::After(reader.duration(end, number)?)
    };
    if matches!(end, PeriodEnd::After(length) if length.is_negative()) {
        return Err(ValueError::expected("a period: its length is negative", value));
    }
    Ok(RDate::Period(reader.moment(line, start, number)?, end))
}

fn rule(rules: &mut Vec<RuleText>, value: &str, number: u32, reader: &mut PropertyReader<'_>) {
    let most = reader.notes.limits.max_rules;
    if rules.len() >= most {
        return reader.too_many(number, "rules of a component", ReadLimit { key: "max_rules", most });
    }
    rules.push(RuleText { line: number, text: value.trim().into() });
}

fn status(value: &str) -> ComponentStatus {
    let value = value.trim();
    if value.eq_ignore_ascii_case("CANCELLED") || value.eq_ignore_ascii_case("CANCELED") {
        ComponentStatus::Cancelled
    } else if value.eq_ignore_ascii_case("COMPLETED") {
        ComponentStatus::Completed
    } else if value.eq_ignore_ascii_case("NEEDS-ACTION") || value.eq_ignore_ascii_case("IN-PROCESS") {
        ComponentStatus::Open
    } else {
        ComponentStatus::Live
    }
}

/// Properties that may appear once: the first one counts.
fn set<T>(slot: &mut Option<T>, value: T) {
    if slot.is_none() {
        *slot = Some(value);
    }
}

fn first(slot: &mut Box<str>, value: &str) {
    if slot.is_empty() {
        *slot = value.into();
    }
}

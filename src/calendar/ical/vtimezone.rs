//! Reading VTIMEZONE with its STANDARD and DAYLIGHT (RFC 5545, 3.6.5) into the plain data that `zone` evaluates.

use jiff::civil::DateTime;

use super::object::ZoneDefinition;
use super::reader::PropertyReader;
use super::value::{DateOrDateTime, unescape};
use crate::calendar::zone::{Observance, VTimezone, ZoneLimits};

/// A VTIMEZONE while it is read.
#[derive(Debug, Default)]
pub(crate) struct VTimezoneBuilder {
    tzid: Option<Box<str>>,
    location: Option<Box<str>>,
    observances: Vec<Observance>,
    /// Observances without DTSTART, with their offsets.
    dateless: Vec<(OpenObservance, i32)>,
    open: Option<OpenObservance>,
}

/// STANDARD or DAYLIGHT while it is read.
#[derive(Debug)]
struct OpenObservance {
    daylight: bool,
    line: u32,
    start: Option<DateTime>,
    from: Option<i32>,
    to: Option<i32>,
    rules: Vec<String>,
    dates: Vec<DateTime>,
}

impl VTimezoneBuilder {
    pub(crate) fn begin(&mut self, daylight: bool, line: u32) {
        let (rules, dates) = (Vec::new(), Vec::new());
        self.open = Some(OpenObservance { daylight, line, start: None, from: None, to: None, rules, dates });
    }

    /// Takes in a property of the zone itself.
    pub(crate) fn property(&mut self, name: &str, number: u32, text: &str, reader: &mut PropertyReader<'_>) {
        let slot = match name {
            "TZID" => &mut self.tzid,
            "X-LIC-LOCATION" => &mut self.location,
            _ => return,
        };
        if let Some(line) = reader.parse_line(number, text)
            && slot.is_none()
        {
            *slot = Some(unescape(line.value.trim().trim_matches('"')).into());
        }
    }

    /// Takes in a property of its open observance.
    pub(super) fn observance_property(&mut self, name: &str, number: u32, text: &str, reader: &mut PropertyReader<'_>) {
        let Some(open) = &mut self.open else { return };
        if !matches!(name, "DTSTART" | "TZOFFSETFROM" | "TZOFFSETTO" | "RRULE" | "RDATE") {
            return;
        }
        let Some(line) = reader.parse_line(number, text) else { return };
        let result = match name {
            "DTSTART" => civil(line.value, number, reader).map(|start| open.start = Some(start)),
            "TZOFFSETFROM" => reader.utc_offset(line.value, number).map(|offset| open.from = Some(offset)),
            "TZOFFSETTO" => reader.utc_offset(line.value, number).map(|offset| open.to = Some(offset)),
            "RRULE" => {
                open.rules.push(line.value.trim().to_owned());
                Ok(())
            }
            _ => line.value.split(',').try_for_each(|value| {
                // A period begins like a time, and only its beginning matters.
                open.dates.push(civil(value.split('/').next().unwrap_or_default(), number, reader)?);
                Ok(())
            }),
        };
        if let Err(error) = result {
            reader.fault(number, format_args!("{name} of a VTIMEZONE cannot be read: {error}"));
        }
    }

    /// Ends the open observance.
    pub(crate) fn end(&mut self, reader: &mut PropertyReader<'_>) {
        let Some(open) = self.open.take() else { return };
        let Some(offset_to) = open.to else {
            return reader.fault(open.line, format_args!("a part of a VTIMEZONE is left out: it has no TZOFFSETTO"));
        };
        match open.start {
            Some(start) => self.observances.push(open.observance(start, offset_to)),
            None => self.dateless.push((open, offset_to)),
        }
    }

    /// The zone, which began in line `line` of the VCALENDAR `calendar`, unless it has no name. No more of it will be
    /// used than `limits` allow.
    pub(super) fn finish(
        self,
        line: u32,
        calendar: usize,
        limits: ZoneLimits,
        reader: &mut PropertyReader<'_>,
    ) -> Option<ZoneDefinition> {
        let mut observances = self.observances;
        let is_only = observances.is_empty() && self.dateless.len() == 1;
        for (part, offset) in self.dateless {
            let (line, first_date) = (part.line, part.dates.iter().min().copied());
            let (said, read) = if is_only {
                ("the only part of a VTIMEZONE has no DTSTART: its offset holds always", Some(always(offset)))
            } else if !part.rules.is_empty() {
                let said = "a part of a VTIMEZONE has no DTSTART: its rule is taken to hold since 1970, at 2 o'clock";
                (said, Some(part.observance(UNDATED, offset)))
            } else if let Some(first) = first_date {
                let said = "a part of a VTIMEZONE has no DTSTART: its first RDATE stands for it";
                (said, Some(part.observance(first, offset)))
            } else {
                ("a part of a VTIMEZONE is left out: it has no DTSTART", None)
            };
            reader.fault(line, format_args!("{said}"));
            observances.extend(read);
        }
        let definition = VTimezone { tzid: self.tzid?.into(), observances, limits };
        Some(ZoneDefinition { line, calendar, definition, location: self.location })
    }
}

impl OpenObservance {
    fn observance(self, start: DateTime, offset_to: i32) -> Observance {
        let OpenObservance { daylight, rules, dates, from, .. } = self;
        Observance { daylight, start, offset_from: from.unwrap_or(offset_to), offset_to, rules, dates }
    }
}

/// From when on a rule is taken to hold that says nothing of it. Most zones change at this hour.
const UNDATED: DateTime = DateTime::constant(1970, 1, 1, 2, 0, 0, 0);

/// An observance that has always held.
fn always(offset: i32) -> Observance {
    let start = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    Observance { daylight: false, start, offset_from: offset, offset_to: offset, rules: Vec::new(), dates: Vec::new() }
}

fn civil(value: &str, number: u32, reader: &mut PropertyReader<'_>) -> Result<DateTime, super::value::ValueError> {
    Ok(match reader.written(value, number)? {
        DateOrDateTime::Date(date) => date.at(0, 0, 0, 0),
        DateOrDateTime::Time { civil, .. } => civil,
    })
}

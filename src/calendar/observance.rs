//! Reading VTIMEZONE with its STANDARD and DAYLIGHT (RFC 5545, 3.6.5) into the plain data that `zone` evaluates.

use jiff::civil::DateTime;

use super::object::ZoneDefinition;
use super::reader::Reader;
use super::value::{Written, parse_utc_offset, unescape};
use super::zone::{Observance, VTimezone, ZoneLimits};

/// A VTIMEZONE while it is read.
#[derive(Debug, Default)]
pub(super) struct Zone {
    tzid: Option<Box<str>>,
    location: Option<Box<str>>,
    observances: Vec<Observance>,
    open: Option<Open>,
}

/// STANDARD or DAYLIGHT while it is read.
#[derive(Debug)]
struct Open {
    daylight: bool,
    line: u32,
    start: Option<DateTime>,
    from: Option<i32>,
    to: Option<i32>,
    rules: Vec<String>,
    dates: Vec<DateTime>,
}

impl Zone {
    pub(super) fn begin(&mut self, daylight: bool, line: u32) {
        let (rules, dates) = (Vec::new(), Vec::new());
        self.open = Some(Open { daylight, line, start: None, from: None, to: None, rules, dates });
    }

    /// Takes in a property of the zone itself.
    pub(super) fn property(&mut self, name: &str, number: u32, text: &str, reader: &mut Reader<'_>) {
        let slot = match name {
            "TZID" => &mut self.tzid,
            "X-LIC-LOCATION" => &mut self.location,
            _ => return,
        };
        if let Some(line) = reader.take_apart(number, text)
            && slot.is_none()
        {
            *slot = Some(unescape(line.value.trim().trim_matches('"')).into());
        }
    }

    /// Takes in a property of its open observance.
    pub(super) fn observance_property(&mut self, name: &str, number: u32, text: &str, reader: &mut Reader<'_>) {
        let Some(open) = &mut self.open else { return };
        if !matches!(name, "DTSTART" | "TZOFFSETFROM" | "TZOFFSETTO" | "RRULE" | "RDATE") {
            return;
        }
        let Some(line) = reader.take_apart(number, text) else { return };
        let result = match name {
            "DTSTART" => wall(line.value).map(|start| open.start = Some(start)),
            "TZOFFSETFROM" => parse_utc_offset(line.value).map(|offset| open.from = Some(offset)),
            "TZOFFSETTO" => parse_utc_offset(line.value).map(|offset| open.to = Some(offset)),
            "RRULE" => {
                open.rules.push(line.value.trim().to_owned());
                Ok(())
            }
            _ => line.value.split(',').try_for_each(|value| {
                // A period begins like a time, and only its beginning matters.
                open.dates.push(wall(value.split('/').next().unwrap_or_default())?);
                Ok(())
            }),
        };
        if let Err(error) = result {
            reader.fault(number, format_args!("{name} of a VTIMEZONE cannot be read: {error}"));
        }
    }

    /// Ends the open observance.
    pub(super) fn end(&mut self, reader: &mut Reader<'_>) {
        let Some(open) = self.open.take() else { return };
        let (Some(start), Some(offset_to)) = (open.start, open.to) else {
            let text = "a part of a VTIMEZONE is left out: it needs DTSTART and TZOFFSETTO";
            return reader.fault(open.line, format_args!("{text}"));
        };
        let offset_from = open.from.unwrap_or(offset_to);
        let Open { daylight, rules, dates, .. } = open;
        self.observances.push(Observance { daylight, start, offset_from, offset_to, rules, dates });
    }

    /// The zone, which began in line `line`, unless it has no name. No more of it will be used than `limits` allow.
    pub(super) fn finish(self, line: u32, limits: ZoneLimits) -> Option<ZoneDefinition> {
        let definition = VTimezone { tzid: self.tzid?.into(), observances: self.observances, limits };
        Some(ZoneDefinition { line, definition, location: self.location })
    }
}

fn wall(value: &str) -> Result<DateTime, super::value::ValueError> {
    Ok(match Written::parse(value)? {
        Written::Date(date) => date.at(0, 0, 0, 0),
        Written::Time { wall, .. } => wall,
    })
}

//! What components need while they are read: where to list faults, and the zones that the lines name.

use std::collections::HashMap;
use std::fmt;

use super::date_time::{CalendarDateTime, TzId};
use super::lenient;
use super::line::ContentLine;
use super::object::{Fault, Object, ObjectLimits, Tzid};
use super::value::{DateOrDateTime, Duration, ValueError, parse_utc_offset, quoted, unescape};
use crate::text::first_octets;

/// What reading needs besides the object.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) limits: ObjectLimits,
    tzids: HashMap<Box<str>, TzId>,
    last_tzid: Option<TzId>,
    pub(super) unlisted: usize,
    /// The limits that were listed as exceeded.
    exceeded: Vec<&'static str>,
}

impl Notes {
    /// None yet, of a text of which no more is read than `limits` allow.
    pub(crate) fn new(limits: ObjectLimits) -> Notes {
        Notes { limits, ..Notes::default() }
    }

    /// A VCALENDAR begins: names stand for other zones in it.
    pub(super) fn forget_tzids(&mut self) {
        self.tzids.clear();
        self.last_tzid = None;
    }
}

/// A limit on what is read of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadLimit {
    /// Its key in `[limits]`.
    pub(crate) key: &'static str,
    pub(crate) most: usize,
}

/// What components need of the object while they are read.
#[derive(Debug)]
pub(crate) struct PropertyReader<'a> {
    pub(crate) object: &'a mut Object,
    pub(crate) notes: &'a mut Notes,
}

impl PropertyReader<'_> {
    /// Lists a fault in line `line`.
    pub(crate) fn fault(&mut self, line: u32, text: fmt::Arguments<'_>) {
        if self.object.faults.len() < self.notes.limits.max_faults {
            self.object.faults.push(Fault { line, text: text.to_string() });
        } else {
            self.notes.unlisted += 1;
        }
    }

    /// Lists, once, that there are more of `what` than `limit` allows.
    pub(crate) fn too_many(&mut self, line: u32, what: &'static str, limit: ReadLimit) {
        if !self.notes.exceeded.contains(&what) {
            self.notes.exceeded.push(what);
            let ReadLimit { key, most } = limit;
            self.fault(line, format_args!("only the first {most} {what} are read (limits.{key})"));
        }
    }

    /// Takes a content line apart; one that cannot be read is a fault.
    pub(super) fn parse_line<'l>(&mut self, number: u32, text: &'l str) -> Option<ContentLine<'l>> {
        let line = ContentLine::parse(text);
        if line.is_none() {
            self.fault(number, format_args!("{} is not a property and is skipped", quoted(text)));
        }
        line
    }

    /// The same for a line whose value is dates, times, periods or a duration: where it is none of these because a
    /// colon in the parameters is not between quotes, the value is what follows the colons.
    pub(super) fn parse_dated_line<'l>(&mut self, number: u32, text: &'l str) -> Option<ContentLine<'l>> {
        // Nearly all lines have one colon, and one value.
        if text.bytes().filter(|octet| *octet == b':').nth(1).is_none() {
            return self.parse_line(number, text);
        }
        let strict = ContentLine::parse(text);
        if strict.as_ref().is_some_and(|line| begins_a_value(line.value)) {
            return strict;
        }
        let Some(line) = ContentLine::parse_from_the_end(text, begins_a_value) else {
            return self.parse_line(number, text);
        };
        self.fault(
            number,
            format_args!("a colon in the parameters is not in quotes: the value is read as {}", quoted(line.value)),
        );
        Some(line)
    }

    /// Reads `value`, which stands in `line`, as a date or time in the zone that the line names.
    pub(crate) fn moment(
        &mut self,
        line: &ContentLine<'_>,
        value: &str,
        number: u32,
    ) -> Result<CalendarDateTime, ValueError> {
        let written = self.written(value, number)?;
        Ok(self.zoned(line, written, number))
    }

    /// Reads `value` as a date or time; one that the grammar refuses and that can mean only one thing is a fault.
    pub(crate) fn written(&mut self, value: &str, number: u32) -> Result<DateOrDateTime, ValueError> {
        DateOrDateTime::parse(value).or_else(|error| {
            let read = lenient::date_or_date_time(value).ok_or(error)?;
            self.fault(
                number,
                format_args!("{} is not a date or time as RFC 5545 writes it: it is read as {read}", quoted(value)),
            );
            Ok(read)
        })
    }

    /// Reads `value` as a duration; one that the grammar refuses and that can mean only one thing is a fault.
    pub(crate) fn duration(&mut self, value: &str, number: u32) -> Result<Duration, ValueError> {
        Duration::parse(value).or_else(|error| {
            let read = lenient::duration(value).ok_or(error)?;
            self.fault(
                number,
                format_args!("{} is not a duration as RFC 5545 writes it: it is read as {read}", quoted(value)),
            );
            Ok(read)
        })
    }

    /// Reads `value` as an offset from UTC, in seconds east of it; one that the grammar refuses and that can mean only
    /// one thing is a fault.
    pub(super) fn utc_offset(&mut self, value: &str, number: u32) -> Result<i32, ValueError> {
        parse_utc_offset(value).or_else(|error| {
            let read = lenient::utc_offset(value).ok_or(error)?;
            self.fault(
                number,
                format_args!("{} is not an offset as RFC 5545 writes it: it is read as {read} seconds", quoted(value)),
            );
            Ok(read)
        })
    }

    /// Gives a date or time that stands in `line` the zone that the line names: `Z` wins over TZID, and a DATE has
    /// none.
    pub(crate) fn zoned(&mut self, line: &ContentLine<'_>, written: DateOrDateTime, number: u32) -> CalendarDateTime {
        match written {
            DateOrDateTime::Date(date) => CalendarDateTime::Date(date),
            DateOrDateTime::Time { civil, .. } if line.says("VALUE", "DATE") && civil == civil.start_of_day() => {
                CalendarDateTime::Date(civil.date())
            }
            DateOrDateTime::Time { civil, utc: true } => CalendarDateTime::Utc(civil),
            DateOrDateTime::Time { civil, utc: false } => match line.parameter("TZID") {
                // Some write the escapes of text here as well.
                Some(tzid) if !tzid.trim().is_empty() => {
                    CalendarDateTime::Zoned(civil, self.tzid(&unescape(tzid.trim()), number))
                }
                _ => CalendarDateTime::Floating(civil),
            },
        }
    }

    fn tzid(&mut self, name: &str, line: u32) -> TzId {
        let last = self.notes.last_tzid.and_then(|id| Some((id, self.object.tzids.get(id.0 as usize)?)));
        if let Some((id, tzid)) = last
            && &*tzid.name == name
        {
            return id;
        }
        let id = self.notes.tzids.get(name).copied().unwrap_or_else(|| {
            let id = TzId(u32::try_from(self.object.tzids.len()).unwrap_or(u32::MAX));
            let calendar = self.object.calendars.len().saturating_sub(1);
            self.object.tzids.push(Tzid { name: name.into(), calendar, line });
            self.notes.tzids.insert(name.into(), id);
            id
        });
        self.notes.last_tzid = Some(id);
        id
    }
}

/// Whether `value` begins with a date, a time or a duration. It is asked behind each colon of a line, so it looks at
/// the beginning only, and at that once only where it can be one.
fn begins_a_value(value: &str) -> bool {
    let head = first_octets(value, 2 * lenient::MAX_VALUE);
    let first = head.split([',', '/']).next().unwrap_or_default();
    let Some(plain) = lenient::trimmed(first) else { return false };
    if plain.starts_with(':') {
        return false;
    }
    let is_strict = DateOrDateTime::parse(first).is_ok() || Duration::parse(first).is_ok();
    is_strict || lenient::date_or_date_time(first).is_some() || lenient::duration(first).is_some()
}

//! What components need while they are read: where to list faults, and the zones that the lines name.

use std::collections::HashMap;
use std::fmt;

use super::component::{Moment, TzId};
use super::line::ContentLine;
use super::object::{Fault, Limits, Object, Tzid};
use super::value::{ValueError, Written, quoted, unescape};

/// What reading needs besides the object.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) limits: Limits,
    tzids: HashMap<Box<str>, TzId>,
    last_tzid: Option<TzId>,
    pub(super) unlisted: usize,
    /// The limits that were listed as exceeded.
    exceeded: Vec<&'static str>,
}

/// What components need of the object while they are read.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) object: &'a mut Object,
    pub(super) notes: &'a mut Notes,
}

impl Reader<'_> {
    /// Lists a fault in line `line`.
    pub(super) fn fault(&mut self, line: u32, text: fmt::Arguments<'_>) {
        if self.object.faults.len() < self.notes.limits.max_faults {
            self.object.faults.push(Fault { line, text: text.to_string() });
        } else {
            self.notes.unlisted += 1;
        }
    }

    /// Lists, once, that there are more of `what` than the `limit` that is called `key` allows.
    pub(super) fn too_many(&mut self, line: u32, what: &'static str, (key, limit): (&str, usize)) {
        if !self.notes.exceeded.contains(&what) {
            self.notes.exceeded.push(what);
            self.fault(line, format_args!("only the first {limit} {what} are read (limits.{key})"));
        }
    }

    /// Takes a content line apart; one that is none is a fault.
    pub(super) fn take_apart<'l>(&mut self, number: u32, text: &'l str) -> Option<ContentLine<'l>> {
        let line = ContentLine::parse(text);
        if line.is_none() {
            self.fault(number, format_args!("{} is no property and is skipped", quoted(text)));
        }
        line
    }

    /// Reads `value`, which stands in `line`, as a date or time in the zone that the line names.
    pub(super) fn moment(&mut self, line: &ContentLine<'_>, value: &str, number: u32) -> Result<Moment, ValueError> {
        Ok(self.zoned(line, Written::parse(value)?, number))
    }

    /// Gives a date or time that stands in `line` the zone that the line names: `Z` wins over TZID, and a DATE has none.
    pub(super) fn zoned(&mut self, line: &ContentLine<'_>, written: Written, number: u32) -> Moment {
        match written {
            Written::Date(date) => Moment::Date(date),
            Written::Time { wall, .. } if line.says("VALUE", "DATE") && wall == wall.start_of_day() => {
                Moment::Date(wall.date())
            }
            Written::Time { wall, utc: true } => Moment::Utc(wall),
            Written::Time { wall, utc: false } => match line.parameter("TZID") {
                // Some write the escapes of text here as well.
                Some(tzid) if !tzid.trim().is_empty() => Moment::Zoned(wall, self.tzid(&unescape(tzid.trim()), number)),
                _ => Moment::Floating(wall),
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
            self.object.tzids.push(Tzid { name: name.into(), line });
            self.notes.tzids.insert(name.into(), id);
            id
        });
        self.notes.last_tzid = Some(id);
        id
    }
}

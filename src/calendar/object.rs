//! A calendar object: from octets to components (RFC 5545, 3.4). What is well-formed survives what is not, which is listed
//! as faults. It knows no zone rules and no instants.

use std::collections::HashMap;
use std::fmt;

use super::alarm::Alarm;
use super::component::{Component, Kind, Moment, TzId};
use super::line::{self, ContentLine, Lines};
use super::observance::Zone as ZoneBuilder;
use super::value::{ValueError, Written, quoted};
use super::zone::{VTimezone, Zone};
use crate::time::UtcMillis;

/// Components nested deeper than this are not looked into.
const MAX_DEPTH: usize = 32;
/// More alarms of one object are left out, with a fault.
const MAX_ALARMS: usize = 10_000;
/// More faults of one object are counted, not listed.
const MAX_FAULTS: usize = 100;

/// Bounds on what comes from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of an object.
    pub max_object_size: usize,
    /// More repetitions (REPEAT) of an alarm than this are left out.
    pub max_repeat: u32,
    /// Rings of one object in one UTC clock hour; the rest is suppressed.
    pub max_rings_per_hour: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { max_object_size: 10 * 1024 * 1024, max_repeat: 100, max_rings_per_hour: 120 }
    }
}

/// Why octets are no calendar object at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotACalendar {
    #[error("it is no iCalendar text: no line says BEGIN:VCALENDAR")]
    NoCalendar,
    #[error("it is written in {0}; iCalendar text is UTF-8, save it as that")]
    Encoding(&'static str),
    #[error("it has {size} octets, more than the {limit} that limits.max_object_size allows")]
    TooLarge { size: usize, limit: usize },
}

/// Something in an object that was left out or read with a doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line in the file, counted from 1.
    pub line: u32,
    /// What is wrong, and what becomes of it.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.text)
    }
}

/// A time zone name that the object uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tzid {
    pub name: Box<str>,
    /// Where it is used first.
    pub line: u32,
}

/// A VTIMEZONE of the object.
#[derive(Clone, Debug)]
pub struct ZoneDefinition {
    pub definition: VTimezone,
    /// X-LIC-LOCATION: the IANA id that it stands for.
    pub location: Option<Box<str>>,
}

/// A calendar object resource or an `.ics` file: events and to-dos, of one UID or of many.
#[derive(Clone, Debug, Default)]
pub struct Object {
    /// In the order of the text.
    pub components: Vec<Component>,
    pub zones: Vec<ZoneDefinition>,
    /// What the TZIDs of [`Moment::Zoned`] stand for.
    pub tzids: Vec<Tzid>,
    /// X-WR-TIMEZONE: the zone of floating times, where the calendar names none.
    pub floating_zone: Option<Box<str>>,
    /// What was left out.
    pub faults: Vec<Fault>,
}

impl Object {
    /// Reads iCalendar text: CRLF or LF, folded anywhere, with or without a byte order mark, in any letter case. Lines and
    /// components that cannot be read are faults. Takes time and memory in proportion to the length of `octets`.
    ///
    /// # Errors
    /// When this is no iCalendar text at all, or larger than `limits` allow.
    pub fn parse(octets: &[u8], limits: &Limits) -> Result<Object, NotACalendar> {
        if octets.len() > limits.max_object_size {
            return Err(NotACalendar::TooLarge { size: octets.len(), limit: limits.max_object_size });
        }
        if let Some(encoding) = foreign_encoding(octets) {
            return Err(NotACalendar::Encoding(encoding));
        }
        let lines = Lines::unfold(octets);
        let mut parser = Parser::default();
        for (number, text) in lines.iter() {
            parser.line(number, text);
        }
        parser.finish()
    }

    /// The latest LAST-MODIFIED of its components; none where they have none in UTC.
    pub fn last_modified(&self) -> Option<UtcMillis> {
        let utc = |moment| match moment {
            Moment::Utc(wall) => Some(Zone::utc().instant(wall).0),
            _ => None,
        };
        self.components.iter().filter_map(|component| component.last_modified.and_then(utc)).max()
    }

    /// The UIDs of its components, each once, in the order of the text.
    pub fn uids(&self) -> Vec<&str> {
        let mut seen = std::collections::HashSet::new();
        self.components.iter().map(|component| &*component.uid).filter(|uid| seen.insert(*uid)).collect()
    }
}

fn foreign_encoding(octets: &[u8]) -> Option<&'static str> {
    match octets {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Some("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16"),
        _ => None,
    }
}

/// What a component in reading is.
#[derive(Debug)]
enum Open {
    Calendar,
    Component(Box<Component>),
    Alarm(Box<Alarm>),
    Zone(Box<ZoneBuilder>),
    /// STANDARD or DAYLIGHT; what it says is kept in the zone around it.
    Observance,
    /// One that is not read.
    Other,
}

#[derive(Debug)]
struct Frame {
    /// In upper case.
    name: String,
    line: u32,
    open: Open,
}

/// Reads line after line.
#[derive(Debug, Default)]
struct Parser {
    object: Object,
    stack: Vec<Frame>,
    /// How many components are open beyond [`MAX_DEPTH`].
    too_deep: usize,
    alarms: usize,
    calendars: usize,
    notes: Notes,
}

impl Parser {
    fn line(&mut self, number: u32, text: &str) {
        let Some(name) = line::name(text) else {
            if !self.stack.is_empty() && !text.trim().is_empty() {
                self.reader().fault(number, format_args!("{} is no property and is skipped", quoted(text)));
            }
            return;
        };
        let mut buffer = [0; 64];
        let Some(name) = upper(name, &mut buffer) else { return };
        match name {
            "BEGIN" | "END" => {
                let value = text.split_once(':').map_or("", |(_, value)| value).trim().to_ascii_uppercase();
                if name == "BEGIN" { self.begin(value, number) } else { self.end(&value, number) }
            }
            name => self.property(name, number, text),
        }
    }

    fn reader(&mut self) -> Reader<'_> {
        Reader { object: &mut self.object, notes: &mut self.notes }
    }

    fn begin(&mut self, name: String, number: u32) {
        if name == "VCALENDAR" {
            self.close_down_to(0, number);
            self.calendars += 1;
            self.too_deep = 0;
            self.stack.push(Frame { name, line: number, open: Open::Calendar });
            return;
        }
        if self.stack.is_empty() {
            return;
        }
        if self.too_deep == 0 {
            self.close_forgotten(&name, number);
        }
        if self.stack.len() >= MAX_DEPTH {
            if self.too_deep == 0 {
                self.reader().fault(number, format_args!("components nested deeper than {MAX_DEPTH} are skipped"));
            }
            self.too_deep += 1;
            return;
        }
        let open = match (name.as_str(), self.stack.last().map(|frame| &frame.open)) {
            ("VEVENT", Some(Open::Calendar)) => Open::Component(Box::new(Component::new(Kind::Event, number))),
            ("VTODO", Some(Open::Calendar)) => Open::Component(Box::new(Component::new(Kind::Todo, number))),
            ("VTIMEZONE", Some(Open::Calendar)) => Open::Zone(Box::default()),
            ("VALARM", Some(Open::Component(_))) => Open::Alarm(Box::new(Alarm::new(number))),
            ("STANDARD" | "DAYLIGHT", Some(Open::Zone(_))) => {
                if let Some(Frame { open: Open::Zone(zone), .. }) = self.stack.last_mut() {
                    zone.begin(name == "DAYLIGHT", number);
                }
                Open::Observance
            }
            _ => Open::Other,
        };
        self.stack.push(Frame { name, line: number, open });
    }

    /// Ends what cannot contain a component `name`, so that one forgotten END does not cost what follows.
    fn close_forgotten(&mut self, name: &str, number: u32) {
        let (top_level, alarm) = (is_top_level(name), name == "VALARM");
        let is_forgotten = |frame: &Frame| match &frame.open {
            Open::Component(_) | Open::Zone(_) => top_level,
            Open::Alarm(_) => top_level || alarm,
            Open::Observance => top_level || matches!(name, "STANDARD" | "DAYLIGHT"),
            Open::Calendar | Open::Other => false,
        };
        if let Some(keep) = self.stack.iter().position(is_forgotten) {
            self.close_down_to(keep, number);
        }
    }

    fn end(&mut self, name: &str, number: u32) {
        if self.too_deep > 0 && name != "VCALENDAR" {
            self.too_deep -= 1;
            return;
        }
        match self.stack.iter().rposition(|frame| frame.name == name) {
            Some(index) => {
                self.close_down_to(index + 1, number);
                self.close_one();
            }
            None if self.stack.is_empty() => {}
            None => self.reader().fault(number, format_args!("END:{} without its BEGIN is skipped", quoted(name))),
        }
    }

    /// Ends all components but the outer `keep` ones, whose END is missing.
    fn close_down_to(&mut self, keep: usize, number: u32) {
        while self.stack.len() > keep {
            if let Some(frame) = self.stack.last() {
                let text = format!("{} begun in line {} has no END before this", quoted(&frame.name), frame.line);
                self.reader().fault(number, format_args!("{text}"));
            }
            self.close_one();
        }
    }

    fn close_one(&mut self) {
        let Some(frame) = self.stack.pop() else { return };
        match frame.open {
            Open::Component(component) => self.close_component(*component),
            Open::Alarm(alarm) => self.close_alarm(*alarm),
            Open::Observance => {
                if let Some(Frame { open: Open::Zone(zone), .. }) = self.stack.last_mut() {
                    zone.end(&mut Reader { object: &mut self.object, notes: &mut self.notes });
                }
            }
            Open::Zone(zone) => self.object.zones.extend(zone.finish()),
            Open::Calendar | Open::Other => {}
        }
    }

    fn close_component(&mut self, component: Component) {
        if component.broken {
            let name = component.kind.name();
            self.reader().fault(component.line, format_args!("the {name} is left out: when it is cannot be read"));
        } else {
            self.object.components.push(component);
        }
    }

    fn close_alarm(&mut self, mut alarm: Alarm) {
        alarm.finish(&mut self.reader());
        if self.alarms >= MAX_ALARMS {
            return self.reader().too_many(alarm.line, "alarms", MAX_ALARMS);
        }
        if let Some(Frame { open: Open::Component(component), .. }) = self.stack.last_mut() {
            self.alarms += 1;
            component.alarms.push(alarm);
        }
    }

    fn property(&mut self, name: &str, number: u32, text: &str) {
        let Some((frame, outer)) = self.stack.split_last_mut() else { return };
        let reader = &mut Reader { object: &mut self.object, notes: &mut self.notes };
        if self.too_deep > 0 {
            return;
        }
        match &mut frame.open {
            Open::Component(component) => component.property(name, number, text, reader),
            Open::Alarm(alarm) => alarm.property(name, number, text, reader),
            Open::Zone(zone) => zone.property(name, number, text, reader),
            Open::Observance => {
                if let Some(Frame { open: Open::Zone(zone), .. }) = outer.last_mut() {
                    zone.observance_property(name, number, text, reader);
                }
            }
            Open::Calendar => calendar_property(name, number, text, reader),
            Open::Other => {}
        }
    }

    fn finish(mut self) -> Result<Object, NotACalendar> {
        if self.calendars == 0 {
            return Err(NotACalendar::NoCalendar);
        }
        // What is open at the end was cut off: nobody knows what else it said.
        let cut = self.stack.get(1).or(self.stack.first()).map(|frame| (quoted(&frame.name), frame.line));
        if let Some((name, line)) = cut {
            let loss = if self.stack.len() > 1 { ", it is left out" } else { "" };
            self.reader().fault(line, format_args!("the text ends before the END of {name}{loss}"));
        }
        let more = self.notes.unlisted;
        if more > 0 {
            let line = self.object.faults.last().map_or(0, |fault| fault.line);
            self.object.faults.push(Fault { line, text: format!("{more} more faults are not listed") });
        }
        Ok(self.object)
    }
}

/// Components that stand in a calendar only.
fn is_top_level(name: &str) -> bool {
    matches!(name, "VEVENT" | "VTODO" | "VJOURNAL" | "VFREEBUSY" | "VTIMEZONE" | "VAVAILABILITY")
}

fn calendar_property(name: &str, number: u32, text: &str, reader: &mut Reader<'_>) {
    if !matches!(name, "X-WR-TIMEZONE" | "CALSCALE" | "VERSION") {
        return;
    }
    let Some(line) = reader.take_apart(number, text) else { return };
    let value = line.value.trim();
    match name {
        "X-WR-TIMEZONE" if reader.object.floating_zone.is_none() && !value.is_empty() => {
            reader.object.floating_zone = Some(super::value::unescape(value).into());
        }
        "CALSCALE" if !value.eq_ignore_ascii_case("GREGORIAN") => {
            let text = format_args!("CALSCALE {} is read as GREGORIAN, the only one there is", quoted(value));
            reader.fault(number, text);
        }
        "VERSION" if value == "1.0" => {
            reader.fault(number, format_args!("this is vCalendar 1.0: alarms are read only where it says VALARM"));
        }
        _ => {}
    }
}

fn upper<'b>(name: &str, buffer: &'b mut [u8; 64]) -> Option<&'b str> {
    let buffer = buffer.get_mut(..name.len())?;
    buffer.copy_from_slice(name.as_bytes());
    buffer.make_ascii_uppercase();
    std::str::from_utf8(buffer).ok()
}

/// What reading needs besides the object.
#[derive(Debug, Default)]
struct Notes {
    tzids: HashMap<Box<str>, TzId>,
    last_tzid: Option<TzId>,
    unlisted: usize,
    /// The limits that were listed as exceeded.
    exceeded: Vec<&'static str>,
}

/// What components need of the object while they are read.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    object: &'a mut Object,
    notes: &'a mut Notes,
}

impl Reader<'_> {
    /// Lists a fault in line `line`.
    pub(super) fn fault(&mut self, line: u32, text: fmt::Arguments<'_>) {
        if self.object.faults.len() < MAX_FAULTS {
            self.object.faults.push(Fault { line, text: text.to_string() });
        } else {
            self.notes.unlisted += 1;
        }
    }

    /// Lists, once, that there are more of `what` than are read.
    pub(super) fn too_many(&mut self, line: u32, what: &'static str, limit: usize) {
        if !self.notes.exceeded.contains(&what) {
            self.notes.exceeded.push(what);
            self.fault(line, format_args!("only the first {limit} {what} are read"));
        }
    }

    /// Whether there is a fault in a line from `line` on.
    pub(super) fn blamed_since(&self, line: u32) -> bool {
        self.notes.unlisted > 0 || self.object.faults.last().is_some_and(|fault| fault.line >= line)
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
                Some(tzid) if !tzid.trim().is_empty() => Moment::Zoned(wall, self.tzid(tzid.trim(), number)),
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

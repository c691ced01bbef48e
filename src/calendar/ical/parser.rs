//! Reading an object line by line: which component a line belongs to, and what becomes of components that are begun and
//! not ended, ended and not begun, or nested too deep.

use std::cell::OnceCell;
use std::collections::HashSet;

use super::alarm::Alarm;
use super::component::{Component, ComponentKind, is_top_level};
use super::line::{self, Lines, NumberedLine};
use super::object::{Fault, Object, ObjectLimits, ParseError, VCalendar};
use super::reader::{Notes, PropertyReader, ReadLimit};
use super::unnamed;
use super::value::{quoted, unescape};
use super::vtimezone::VTimezoneBuilder;

impl Object {
    /// Reads iCalendar text: CRLF or LF, folded anywhere, with or without a byte order mark, in any letter case. Lines
    /// and components that cannot be read are faults. Takes time and memory in proportion to the length of `octets`.
    ///
    /// # Errors
    /// If this is not iCalendar text at all, or is larger than `limits` allow.
    pub fn parse(octets: &[u8], limits: &ObjectLimits) -> Result<Object, ParseError> {
        if octets.len() > limits.max_object_size {
            return Err(ParseError::TooLarge { size: octets.len(), limit: limits.max_object_size });
        }
        if let Some(encoding) = foreign_encoding(octets) {
            return Err(ParseError::Encoding(encoding));
        }
        let lines = Lines::unfold(octets);
        let mut object = Parser::read(&lines, *limits)?;
        unnamed::name(&mut object.components, &lines);
        Ok(object)
    }
}

pub(super) fn foreign_encoding(octets: &[u8]) -> Option<&'static str> {
    match octets {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Some("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16"),
        _ => None,
    }
}

/// What a component in reading is.
#[derive(Debug)]
enum OpenComponent {
    Calendar,
    Component(Box<Component>),
    Alarm(Box<Alarm>),
    Zone(Box<VTimezoneBuilder>),
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
    open: OpenComponent,
}

/// Reads line after line.
#[derive(Debug)]
pub(crate) struct Parser<'l> {
    lines: &'l Lines,
    /// The names, in upper case, that an END has; worked out when it is asked for.
    ended: OnceCell<HashSet<String>>,
    object: Object,
    stack: Vec<Frame>,
    /// How many components are open beyond the limit.
    too_deep: usize,
    notes: Notes,
}

impl Parser<'_> {
    /// Reads `lines`, and no more of them than `limits` allow.
    ///
    /// # Errors
    /// When none of them begins a calendar.
    pub(crate) fn read(lines: &Lines, limits: ObjectLimits) -> Result<Object, ParseError> {
        let notes = Notes::new(limits);
        let (object, stack, ended) = (Object::default(), Vec::new(), OnceCell::new());
        let mut parser = Parser { lines, ended, object, stack, too_deep: 0, notes };
        for NumberedLine { number, text } in lines.iter() {
            parser.line(number, text);
        }
        parser.finish()
    }

    /// Takes in a line.
    fn line(&mut self, number: u32, text: &str) {
        let Some(name) = line::name(text) else {
            if let (Some(OpenComponent::Alarm(_)), Some(value)) =
                (self.stack.last().map(|frame| &frame.open), bare_trigger(text))
            {
                let fault = format_args!("the colon behind TRIGGER is missing: its value is read as {}", quoted(value));
                self.reader().fault(number, fault);
                return self.property("TRIGGER", number, &format!("TRIGGER:{value}"));
            }
            if !self.stack.is_empty() && !text.trim().is_empty() {
                self.reader().fault(number, format_args!("{} is not a property and is skipped", quoted(text)));
            }
            return;
        };
        let mut buffer = [0; 64];
        let Some(name) = upper(name, &mut buffer) else { return };
        match name {
            "BEGIN" | "END" => {
                let value = upper_trimmed(text.split_once(':').map_or("", |(_, value)| value));
                if name == "BEGIN" { self.begin(value, number) } else { self.end(&value, number) }
            }
            name => self.property(name, number, text),
        }
    }

    fn reader(&mut self) -> PropertyReader<'_> {
        PropertyReader { object: &mut self.object, notes: &mut self.notes }
    }

    fn begin(&mut self, name: String, number: u32) {
        if name == "VCALENDAR" {
            self.close_down_to(0, number);
            self.object.calendars.push(VCalendar::default());
            self.notes.forget_tzids();
            self.too_deep = 0;
            self.stack.push(Frame { name, line: number, open: OpenComponent::Calendar });
            return;
        }
        if self.stack.is_empty() {
            return;
        }
        if !is_known(&name) && !self.ends_somewhere(&name) {
            return self.reader().fault(number, format_args!("BEGIN:{} without an END is skipped", quoted(&name)));
        }
        if self.too_deep == 0 {
            self.close_forgotten(&name, number);
        }
        let most = self.notes.limits.max_depth;
        if self.stack.len() >= most {
            if self.too_deep == 0 {
                self.reader()
                    .fault(number, format_args!("components nested deeper than {most} (limits.max_depth) are skipped"));
            }
            self.too_deep += 1;
            return;
        }
        let open = match (name.as_str(), self.stack.last().map(|frame| &frame.open)) {
            ("VEVENT", Some(OpenComponent::Calendar)) => self.component(ComponentKind::Event, number),
            ("VTODO", Some(OpenComponent::Calendar)) => self.component(ComponentKind::Todo, number),
            ("VTIMEZONE", Some(OpenComponent::Calendar)) => OpenComponent::Zone(Box::default()),
            ("VALARM", Some(OpenComponent::Component(_))) => OpenComponent::Alarm(Box::new(Alarm::new(number))),
            ("STANDARD" | "DAYLIGHT", Some(OpenComponent::Zone(_))) => {
                if let Some(Frame { open: OpenComponent::Zone(zone), .. }) = self.stack.last_mut() {
                    zone.begin(name == "DAYLIGHT", number);
                }
                OpenComponent::Observance
            }
            _ => OpenComponent::Other,
        };
        self.stack.push(Frame { name, line: number, open });
    }

    /// Whether there is an END for the component `name`: else a line of somebody's text was not escaped, and looks like
    /// a BEGIN.
    fn ends_somewhere(&self, name: &str) -> bool {
        let ended = self.ended.get_or_init(|| {
            let ends = self.lines.iter().filter_map(|line| line.text.split_once(':'));
            ends.filter(|(key, _)| key.trim().eq_ignore_ascii_case("END"))
                .map(|(_, name)| upper_trimmed(name))
                .collect()
        });
        ended.contains(name)
    }

    fn component(&self, kind: ComponentKind, number: u32) -> OpenComponent {
        OpenComponent::Component(Box::new(Component::new(kind, number, self.calendar())))
    }

    /// Which VCALENDAR is read.
    fn calendar(&self) -> usize {
        self.object.calendars.len().saturating_sub(1)
    }

    /// Ends what cannot contain a component `name`, so that one forgotten END does not cost what follows.
    fn close_forgotten(&mut self, name: &str, number: u32) {
        let (top_level, alarm) = (is_top_level(name), name == "VALARM");
        let is_forgotten = |frame: &Frame| match &frame.open {
            OpenComponent::Component(_) | OpenComponent::Zone(_) => top_level,
            OpenComponent::Alarm(_) => top_level || alarm,
            OpenComponent::Observance => top_level || matches!(name, "STANDARD" | "DAYLIGHT"),
            OpenComponent::Calendar | OpenComponent::Other => false,
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
                self.close_one(number);
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
            self.close_one(number);
        }
    }

    /// Ends the innermost component in line `number`.
    fn close_one(&mut self, number: u32) {
        let Some(frame) = self.stack.pop() else { return };
        match frame.open {
            OpenComponent::Component(component) => self.close_component(Component { last_line: number, ..*component }),
            OpenComponent::Alarm(mut alarm) => {
                alarm.last_line = number;
                self.close_alarm(*alarm);
            }
            OpenComponent::Observance => {
                if let Some(Frame { open: OpenComponent::Zone(zone), .. }) = self.stack.last_mut() {
                    zone.end(&mut PropertyReader { object: &mut self.object, notes: &mut self.notes });
                }
            }
            OpenComponent::Zone(zone) => {
                let limits = self.notes.limits.zones;
                let calendar = self.calendar();
                let zone = zone.finish(frame.line, calendar, limits, &mut self.reader());
                self.object.zones.extend(zone);
            }
            OpenComponent::Calendar | OpenComponent::Other => {}
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
        let most = self.notes.limits.max_alarms;
        let Some(Frame { open: OpenComponent::Component(component), .. }) = self.stack.last_mut() else { return };
        if component.alarms.len() >= most {
            return self.reader().too_many(alarm.line, "alarms", ReadLimit { key: "max_alarms", most });
        }
        component.alarms.push(alarm);
    }

    fn property(&mut self, name: &str, number: u32, text: &str) {
        let Some((frame, outer)) = self.stack.split_last_mut() else { return };
        let reader = &mut PropertyReader { object: &mut self.object, notes: &mut self.notes };
        if self.too_deep > 0 {
            return;
        }
        match &mut frame.open {
            OpenComponent::Component(component) => component.property(name, number, text, reader),
            OpenComponent::Alarm(alarm) => alarm.property(name, number, text, reader),
            OpenComponent::Zone(zone) => zone.property(name, number, text, reader),
            OpenComponent::Observance => {
                if let Some(Frame { open: OpenComponent::Zone(zone), .. }) = outer.last_mut() {
                    zone.observance_property(name, number, text, reader);
                }
            }
            OpenComponent::Calendar => calendar_property(name, number, text, reader),
            OpenComponent::Other => {}
        }
    }

    /// The object, once all lines are taken in.
    fn finish(mut self) -> Result<Object, ParseError> {
        if self.object.calendars.is_empty() {
            return Err(ParseError::NoCalendar);
        }
        // What is open at the end was cut off, and may have said more.
        let cut = self.stack.get(1).or(self.stack.first()).map(|frame| (quoted(&frame.name), frame.line));
        if let Some((name, line)) = cut {
            self.object.is_cut_off = self.stack.len() > 1;
            self.object.is_unclosed = true;
            let loss = if self.object.is_cut_off { ", it is left out" } else { "" };
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

/// The duration of a TRIGGER whose colon is missing: `TRIGGER-PT15M`.
fn bare_trigger(text: &str) -> Option<&str> {
    let (name, value) = text.trim().split_at_checked(7)?;
    let is_duration = value.trim_start_matches(['-', '+', ' ']).starts_with(['P', 'p']);
    (name.eq_ignore_ascii_case("TRIGGER") && is_duration).then_some(value)
}

/// Components whose END may be forgotten.
fn is_known(name: &str) -> bool {
    is_top_level(name) || matches!(name, "VCALENDAR" | "VALARM" | "STANDARD" | "DAYLIGHT")
}

/// The name of a component.
fn upper_trimmed(name: &str) -> String {
    name.trim().to_ascii_uppercase()
}

fn calendar_property(name: &str, number: u32, text: &str, reader: &mut PropertyReader<'_>) {
    if !matches!(name, "X-WR-TIMEZONE" | "CALSCALE" | "VERSION" | "METHOD") {
        return;
    }
    let Some(line) = reader.parse_line(number, text) else { return };
    let value = line.value.trim();
    let Some(calendar) = reader.object.calendars.last_mut() else { return };
    match name {
        "X-WR-TIMEZONE" if calendar.floating_zone.is_none() && !value.is_empty() && !is_utc(value) => {
            calendar.floating_zone = Some(unescape(value).into());
        }
        "METHOD" => calendar.is_cancelled |= value.eq_ignore_ascii_case("CANCEL"),
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

/// Whether `zone` is a name of UTC.
fn is_utc(zone: &str) -> bool {
    ["UTC", "Etc/UTC", "GMT", "Etc/GMT", "Z", "Zulu"].iter().any(|name| zone.eq_ignore_ascii_case(name))
}

fn upper<'b>(name: &str, buffer: &'b mut [u8; 64]) -> Option<&'b str> {
    let buffer = buffer.get_mut(..name.len())?;
    buffer.copy_from_slice(name.as_bytes());
    buffer.make_ascii_uppercase();
    std::str::from_utf8(buffer).ok()
}

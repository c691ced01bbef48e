//! VALARM as plain data (RFC 5545, 3.6.6; RFC 9074).

use std::fmt;

use super::component::{CalendarDateTime, address};
use super::line::ContentLine;
use super::reader::PropertyReader;
use super::value::{Duration, quoted};

/// What an alarm does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    Audio,
    Display,
    Email,
}

impl Action {
    /// As the notification writes it: `audio`, `display`, `email`.
    pub fn name(self) -> &'static str {
        match self {
            Action::Audio => "audio",
            Action::Display => "display",
            Action::Email => "email",
        }
    }

    fn read(text: &str) -> Option<Action> {
        let text = text.trim();
        [Action::Audio, Action::Display, Action::Email]
            .into_iter()
            .find(|action| text.eq_ignore_ascii_case(action.name()))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// When an alarm fires (RFC 5545, 3.8.6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// So long after (or, negative, before) the start of an occurrence.
    Start(Duration),
    /// So long after its end.
    End(Duration),
    /// At an instant, once.
    At(CalendarDateTime),
}

/// An alarm of an event or a to-do.
#[derive(Clone, Debug, Default)]
pub struct Alarm {
    /// The line of its BEGIN, and that of its END.
    pub line: u32,
    pub last_line: u32,
    /// None: ACTION is one that never fires; `action_text` says which. DISPLAY where it is missing.
    pub action: Option<Action>,
    /// ACTION as written.
    pub action_text: Box<str>,
    /// None: TRIGGER is missing or cannot be read.
    pub trigger: Option<Trigger>,
    /// REPEAT: so many more instances.
    pub repeat: u32,
    /// DURATION: so far apart.
    pub interval: Option<Duration>,
    /// ACKNOWLEDGED (RFC 9074, 6).
    pub acknowledged: Option<CalendarDateTime>,
    /// PROXIMITY (RFC 9074, 8), or Apple's older name for it, is there: it fires by place, not by time.
    pub proximity: bool,
    /// X-KDE-KCALCORE-ENABLED:FALSE: KDE's way to keep an alarm that is switched off.
    pub is_switched_off: bool,
    /// UID (RFC 9074, 4), empty where there is none.
    pub uid: Box<str>,
    /// RELATED-TO;RELTYPE=SNOOZE (RFC 9074, 7): the UID of the alarm that was snoozed; empty where it is no snooze.
    pub snoozes: Box<str>,
    /// SUMMARY and DESCRIPTION, unescaped: an e-mail's subject and body.
    pub summary: Box<str>,
    pub description: Box<str>,
    /// The values of its ATTENDEEs, as written.
    pub attendees: Vec<Box<str>>,
    /// TRIGGER is there and cannot be read, which has been listed.
    bad_trigger: bool,
}

impl Alarm {
    pub(crate) fn new(line: u32) -> Alarm {
        Alarm { line, ..Alarm::default() }
    }

    /// Takes in one of its properties. `name` is in upper case.
    pub(crate) fn property(&mut self, name: &str, number: u32, text: &str, reader: &mut PropertyReader<'_>) {
        let read = matches!(name, "ACTION" | "TRIGGER" | "REPEAT" | "DURATION" | "ACKNOWLEDGED" | "UID")
            || matches!(name, "SUMMARY" | "DESCRIPTION" | "ATTENDEE" | "PROXIMITY" | "X-APPLE-PROXIMITY")
            || matches!(name, "X-KDE-KCALCORE-ENABLED" | "RELATED-TO");
        if !read {
            return;
        }
        let line =
            if name == "TRIGGER" { reader.parse_dated_line(number, text) } else { reader.parse_line(number, text) };
        let Some(line) = line else { return };
        match name {
            "ACTION" if self.action_text.is_empty() => {
                self.action = Action::read(line.value);
                self.action_text = line.value.trim().into();
            }
            "TRIGGER" => self.trigger(&line, number, reader),
            "REPEAT" => self.repetitions(line.value, number, reader),
            "DURATION" => match reader.duration(line.value, number) {
                Ok(interval) => self.interval = self.interval.or(Some(interval)),
                Err(error) => reader.fault(number, format_args!("DURATION of an alarm is left out: {error}")),
            },
            "ACKNOWLEDGED" => match reader.moment(&line, line.value, number) {
                Ok(moment) => self.acknowledged = self.acknowledged.or(Some(moment)),
                Err(error) => reader.fault(number, format_args!("ACKNOWLEDGED is left out: {error}")),
            },
            "PROXIMITY" | "X-APPLE-PROXIMITY" => self.proximity = true,
            "X-KDE-KCALCORE-ENABLED" => self.is_switched_off |= line.value.trim().eq_ignore_ascii_case("FALSE"),
            "RELATED-TO" if line.says("RELTYPE", "SNOOZE") => self.snoozes = line.value.trim().into(),
            "UID" => self.uid = line.value.trim().into(),
            "SUMMARY" => self.summary = line.text().into(),
            "DESCRIPTION" => self.description = line.text().into(),
            "ATTENDEE" if self.attendees.len() >= reader.notes.limits.max_attendees => {
                let most = reader.notes.limits.max_attendees;
                reader.too_many(number, "ATTENDEEs of an alarm", ("max_attendees", most));
            }
            "ATTENDEE" => self.attendees.push(address(line.value).into()),
            _ => {}
        }
    }

    /// Reads TRIGGER by its form: clients leave VALUE=DATE-TIME out, and write it where a duration follows.
    fn trigger(&mut self, line: &ContentLine<'_>, number: u32, reader: &mut PropertyReader<'_>) {
        let looks_like_a_time = line.value.trim_start().starts_with(|c: char| c.is_ascii_digit());
        let trigger = if looks_like_a_time && line.value.trim().len() >= 8 {
            reader.moment(line, line.value, number).map(Trigger::At)
        } else {
            let at_end = line.says("RELATED", "END");
            let offset = reader.duration(line.value, number);
            offset.map(|offset| if at_end { Trigger::End(offset) } else { Trigger::Start(offset) })
        };
        match trigger {
            Ok(trigger) => self.trigger = self.trigger.or(Some(trigger)),
            Err(error) => {
                self.bad_trigger = true;
                reader.fault(number, format_args!("the alarm is left out: its TRIGGER {error}"));
            }
        }
    }

    fn repetitions(&mut self, value: &str, number: u32, reader: &mut PropertyReader<'_>) {
        match value.trim().parse::<u64>() {
            Ok(count) => self.repeat = u32::try_from(count).unwrap_or(u32::MAX),
            Err(_) => reader.fault(number, format_args!("REPEAT is left out: {} is no count", quoted(value))),
        }
    }

    /// Settles what the properties say together, once all are read.
    pub(super) fn finish(&mut self, reader: &mut PropertyReader<'_>) {
        if self.action_text.is_empty() {
            self.action = Some(Action::Display);
            self.action_text = "DISPLAY".into();
            reader.fault(self.line, format_args!("the alarm has no ACTION: it is read as DISPLAY"));
        }
        if self.trigger.is_none() && !self.bad_trigger {
            reader.fault(self.line, format_args!("the alarm is left out: it has no TRIGGER"));
        }
        let fits = self.interval.is_some_and(|interval| !interval.is_zero() && !interval.is_negative());
        if (self.repeat > 0) != self.interval.is_some() {
            reader.fault(self.line, format_args!("the alarm fires once: REPEAT and DURATION need each other"));
        } else if self.repeat > 0 && !fits {
            reader.fault(self.line, format_args!("the alarm fires once: its DURATION is not positive"));
        }
        if self.repeat == 0 || !fits {
            self.repeat = 0;
            self.interval = None;
        }
    }
}

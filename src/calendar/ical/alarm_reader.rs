//! Reading the properties of a VALARM (RFC 5545, 3.6.6; RFC 9074).

use super::alarm::{Action, Alarm, Trigger};
use super::line::ContentLine;
use super::reader::{PropertyReader, ReadLimit};
use super::value::{address, quoted};

impl Alarm {
    /// Takes in one of its properties. `name` is in upper case.
    pub(super) fn property(&mut self, name: &str, number: u32, text: &str, reader: &mut PropertyReader<'_>) {
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
                reader.too_many(number, "ATTENDEEs of an alarm", ReadLimit { key: "max_attendees", most });
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
            Err(_) => reader.fault(number, format_args!("REPEAT is left out: {} is not a count", quoted(value))),
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

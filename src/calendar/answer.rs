//! Answers to an alarm, written into the text of its object (RFC 9074, 6.1 and 7): it is dismissed, or snoozed. Octets
//! that do not belong to the answer stay as they are.

use std::ops::Range;

use super::ical::alarm::Alarm;
use super::ical::line::{self, Lines};
use super::schedule::alarm_instance::AlarmInstance;
use crate::time::UtcMillis;

/// Octets of a line, without its end (RFC 5545, 3.1).
const LINE: usize = 75;

/// What a user does with an alarm that has fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlarmAnswer {
    /// The user has seen it.
    Dismiss,
    /// It is to fire again then.
    Snooze {
        /// When.
        until: UtcMillis,
    },
}

/// Why an answer cannot be written into a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// It is to be snoozed for one occurrence, and the object has no VALARM that could be.
    #[error(
        "an alarm of a series can only be snoozed if it is a VALARM of the object, and this one comes from default alarms or from X-MOZ-SNOOZE-TIME"
    )]
    NotInObject,
    /// The lines of the alarm cannot be made out.
    #[error("the lines of the alarm cannot be made out in the object, which is not written as iCalendar objects are")]
    Unclear,
}

/// A text, and where its lines are.
struct LinedText<'t> {
    octets: &'t [u8],
    /// The unfolded lines: the number in the text, which counts from 1, and the text.
    lines: Vec<(u32, String)>,
    /// Where each line of the text, folded as it is, begins.
    starts: Vec<usize>,
    /// What ends a line.
    end: &'static str,
}

/// Something that is put in the place of a part of the text.
struct Edit {
    range: Range<usize>,
    text: String,
}

/// `text`, the object that `instance` is of, with `answer`, which is given at `now`. What is new there and needs a UID
/// gets one of `new_uids`.
///
/// An alarm that is no VALARM of the object, such as a default alarm, is answered as Mozilla does it, by properties of
/// the event.
///
/// # Errors
/// [`AnswerError`] when that cannot be written.
pub fn answered(
    text: &[u8],
    instance: &AlarmInstance<'_>,
    answer: AlarmAnswer,
    now: UtcMillis,
    new_uids: [&str; 2],
) -> Result<Vec<u8>, AnswerError> {
    let lined = LinedText::new(text);
    // One that is dismissed by a clock that is behind is dismissed all the same.
    let at = instant(now.max(instance.at));
    let in_object = &instance.component.alarms;
    let is_in_object = |alarm: &&Alarm| in_object.iter().any(|one| std::ptr::eq(one, *alarm));
    let Some(alarm) = instance.alarm.filter(is_in_object) else {
        return lined.edited(lined.mozillas(instance, answer, &at)?);
    };
    // A snooze is answered for the alarm that was snoozed as well.
    let snoozed = in_object.iter().find(|one| !alarm.snoozes.is_empty() && one.uid == alarm.snoozes);
    let mut others: Vec<&Alarm> = instance.joined.iter().copied().filter(is_in_object).chain(snoozed).collect();
    // The same alarm may come from an occurrence that is there twice.
    others.retain(|other| other.line != alarm.line);
    others.sort_by_key(|other| other.line);
    others.dedup_by_key(|other| other.line);
    let mut edits = others.into_iter().map(|other| lined.acknowledged(other, &at)).collect::<Result<Vec<_>, _>>()?;
    match answer {
        AlarmAnswer::Dismiss => edits.push(lined.acknowledged(alarm, &at)?),
        AlarmAnswer::Snooze { until } => edits.extend(lined.snoozed(alarm, (&at, until), new_uids)?),
    }
    lined.edited(edits)
}

/// UTC as iCalendar writes it (RFC 5545, 3.3.5, form 2), to the second: what is in between counts as the next one.
fn instant(at: UtcMillis) -> String {
    let seconds = UtcMillis(at.0.saturating_add(999).div_euclid(1000).saturating_mul(1000));
    seconds.basic()
}

impl LinedText<'_> {
    fn new(octets: &[u8]) -> LinedText<'_> {
        let is_lf = octets.contains(&b'\n');
        let separator = if is_lf { b'\n' } else { b'\r' };
        let ends = octets.iter().enumerate().filter(|(_, octet)| **octet == separator).map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(ends).collect();
        let first = octets.split(|octet| *octet == separator).next().unwrap_or_default();
        let end = match is_lf {
            false => "\r",
            true if first.ends_with(b"\r") => "\r\n",
            true => "\n",
        };
        let lines = Lines::unfold(octets).iter().map(|line| (line.number, line.text.to_owned())).collect();
        LinedText { octets, lines, starts, end }
    }

    /// Where the line with this number begins.
    fn start(&self, number: u32) -> Result<usize, AnswerError> {
        let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        index.and_then(|index| self.starts.get(index)).copied().ok_or(AnswerError::Unclear)
    }

    /// The octets of the unfolded line at `index`, with the end of each of its lines.
    fn range(&self, index: usize) -> Result<Range<usize>, AnswerError> {
        let number = |index: usize| self.lines.get(index).map(|(number, _)| *number);
        let start = self.start(number(index).ok_or(AnswerError::Unclear)?)?;
        let end = number(index + 1).map_or(Ok(self.octets.len()), |next| self.start(next))?;
        Ok(start..end)
    }

    /// The indices of the lines of the component `name` that begins in the line `begin`, without those of components in
    /// it; its BEGIN is the first of them and its END the last.
    fn own_lines(&self, name: &str, begin: u32) -> Result<Vec<usize>, AnswerError> {
        let first = self.lines.iter().position(|(number, _)| *number == begin).ok_or(AnswerError::Unclear)?;
        let (mut depth, mut own) = (0_usize, Vec::new());
        for (index, (_, text)) in self.lines.iter().enumerate().skip(first) {
            match line::name(text).map(str::to_ascii_uppercase).as_deref() {
                Some("BEGIN") => {
                    depth += 1;
                    if depth == 1 {
                        own.push(index);
                    }
                }
                Some("END") if depth <= 1 => {
                    own.push(index);
                    let ended = text.split_once(':').map_or("", |(_, ended)| ended.trim());
                    let is_whole = own.len() > 1 && ended.eq_ignore_ascii_case(name);
                    return if is_whole { Ok(own) } else { Err(AnswerError::Unclear) };
                }
                Some("END") => depth -= 1,
                _ if depth == 1 => own.push(index),
                _ => {}
            }
        }
        Err(AnswerError::Unclear)
    }

    fn is(&self, index: usize, property: &str) -> bool {
        let text = self.lines.get(index).map_or("", |(_, text)| text);
        line::name(text).is_some_and(|name| name.eq_ignore_ascii_case(property))
    }

    /// That `alarm` is acknowledged up to the instant `at`.
    fn acknowledged(&self, alarm: &Alarm, at: &str) -> Result<Edit, AnswerError> {
        self.set(&self.own_lines("VALARM", alarm.line)?, "ACKNOWLEDGED", at)
    }

    /// That the component with the lines `own` has the property `name` with this value.
    fn set(&self, own: &[usize], name: &str, value: &str) -> Result<Edit, AnswerError> {
        let text = format!("{name}:{value}{}", self.end);
        match own.iter().find(|index| self.is(**index, name)) {
            Some(index) => Ok(Edit { range: self.range(*index)?, text }),
            None => self.before_end(own, text),
        }
    }

    /// `answer` to an alarm that is no VALARM of the object, at the instant `at`: X-MOZ-LASTACK and X-MOZ-SNOOZE-TIME.
    fn mozillas(&self, instance: &AlarmInstance<'_>, answer: AlarmAnswer, at: &str) -> Result<Vec<Edit>, AnswerError> {
        let component = instance.component;
        let own = self.own_lines(component.kind.name(), component.line)?;
        let mut edits = vec![self.set(&own, "X-MOZ-LASTACK", at)?];
        if let AlarmAnswer::Snooze { until } = answer {
            if instance.recurrence_id.is_some() {
                return Err(AnswerError::NotInObject);
            }
            edits.push(self.set(&own, "X-MOZ-SNOOZE-TIME", &instant(until))?);
        }
        Ok(edits)
    }

    /// `text` before the END of the component with the lines `own`.
    fn before_end(&self, own: &[usize], text: String) -> Result<Edit, AnswerError> {
        let end = self.range(*own.last().ok_or(AnswerError::Unclear)?)?;
        Ok(Edit { range: end.start..end.start, text })
    }

    /// That `alarm` fires again: it is acknowledged, and another alarm follows it, or takes its place if it is a snooze
    /// itself.
    fn snoozed(
        &self,
        alarm: &Alarm,
        (at, until): (&str, UtcMillis),
        [alarm_uid, snooze_uid]: [&str; 2],
    ) -> Result<Vec<Edit>, AnswerError> {
        let own = self.own_lines("VALARM", alarm.line)?;
        let whole = self.range(*own.first().ok_or(AnswerError::Unclear)?)?.start
            ..self.range(*own.last().ok_or(AnswerError::Unclear)?)?.end;
        let is_snooze = !alarm.snoozes.is_empty();
        let original = match (is_snooze, alarm.uid.is_empty()) {
            (true, _) => &alarm.snoozes,
            (false, false) => &alarm.uid,
            (false, true) => alarm_uid,
        };
        let snooze = self.snooze(&own, original, until, snooze_uid)?;
        if is_snooze {
            return Ok(vec![Edit { range: whole, text: snooze }]);
        }
        let mut edits = vec![self.acknowledged(alarm, at)?];
        if alarm.uid.is_empty() {
            edits.push(self.before_end(&own, folded(&format!("UID:{alarm_uid}"), self.end))?);
        }
        edits.push(Edit { range: whole.end..whole.end, text: snooze });
        Ok(edits)
    }

    /// The lines of an alarm that does at `until` what the alarm with the lines `own` did, and is a snooze of
    /// `original`.
    fn snooze(&self, own: &[usize], original: &str, until: UtcMillis, uid: &str) -> Result<String, AnswerError> {
        const OTHERS: [&str; 9] =
            ["BEGIN", "END", "TRIGGER", "DURATION", "REPEAT", "ACKNOWLEDGED", "UID", "RELATED-TO", "X-WR-ALARMUID"];
        let mut text = format!("BEGIN:VALARM{}", self.end);
        for property in [
            format!("UID:{uid}"),
            format!("TRIGGER;VALUE=DATE-TIME:{}", instant(until)),
            format!("RELATED-TO;RELTYPE=SNOOZE:{original}"),
        ] {
            text.push_str(&folded(&property, self.end));
        }
        for index in own.iter().filter(|index| !OTHERS.iter().any(|other| self.is(**index, other))) {
            let octets = self.octets.get(self.range(*index)?).unwrap_or_default();
            text.push_str(std::str::from_utf8(octets).map_err(|_| AnswerError::Unclear)?);
        }
        text.push_str("END:VALARM");
        text.push_str(self.end);
        Ok(text)
    }

    /// The text with `edits`; those at the same place are in their order.
    fn edited(&self, mut edits: Vec<Edit>) -> Result<Vec<u8>, AnswerError> {
        edits.sort_by_key(|edit| (edit.range.start, edit.range.end));
        let mut text = Vec::with_capacity(self.octets.len() + 512);
        let mut done = 0;
        for Edit { range, text: new } in edits {
            text.extend_from_slice(self.octets.get(done..range.start).ok_or(AnswerError::Unclear)?);
            text.extend_from_slice(new.as_bytes());
            done = range.end;
        }
        text.extend_from_slice(self.octets.get(done..).ok_or(AnswerError::Unclear)?);
        Ok(text)
    }
}

/// `line`, folded, with `end` (RFC 5545, 3.1).
fn folded(line: &str, end: &str) -> String {
    let (mut text, mut octets) = (String::with_capacity(line.len() + 8), 0);
    for character in line.chars() {
        if octets + character.len_utf8() > LINE {
            text.push_str(end);
            text.push(' ');
            octets = 1;
        }
        text.push(character);
        octets += character.len_utf8();
    }
    text + end
}

#[cfg(test)]
mod tests;

//! VALARM as plain data (RFC 5545, 3.6.6; RFC 9074).

use std::fmt;

use super::date_time::CalendarDateTime;
use super::value::Duration;

/// What an alarm does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// AUDIO (RFC 5545, 3.6.6).
    Audio,
    /// DISPLAY (RFC 5545, 3.6.6).
    Display,
    /// EMAIL (RFC 5545, 3.6.6).
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

    pub(crate) fn read(text: &str) -> Option<Action> {
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
    /// The line of its END.
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
    /// RELATED-TO;RELTYPE=SNOOZE (RFC 9074, 7): the UID of the alarm that was snoozed; empty if it is not a snooze.
    pub snoozes: Box<str>,
    /// SUMMARY and DESCRIPTION, unescaped: an e-mail's subject and body.
    pub summary: Box<str>,
    /// DESCRIPTION, unescaped.
    pub description: Box<str>,
    /// The values of its ATTENDEEs, as written.
    pub attendees: Vec<Box<str>>,
    /// TRIGGER is there and cannot be read, which has been listed.
    pub(super) bad_trigger: bool,
}

impl Alarm {
    pub(crate) fn new(line: u32) -> Alarm {
        Alarm { line, ..Alarm::default() }
    }
}

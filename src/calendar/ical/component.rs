//! VEVENT and VTODO as plain data (RFC 5545, 3.6.1 and 3.6.2): what their properties say, not yet placed in a zone.

use std::borrow::Cow;

use super::alarm::Alarm;
use super::date_time::CalendarDateTime;
use super::value::{Duration, unescape};
use crate::time::UtcMillis;

/// Which component it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ComponentKind {
    /// A VEVENT (RFC 5545, 3.6.1).
    Event,
    /// A VTODO (RFC 5545, 3.6.2).
    Todo,
}

impl ComponentKind {
    /// `VEVENT` or `VTODO`.
    pub fn name(self) -> &'static str {
        match self {
            ComponentKind::Event => "VEVENT",
            ComponentKind::Todo => "VTODO",
        }
    }
}

/// STATUS, as far as it keeps alarms silent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ComponentStatus {
    /// Any other, or none.
    #[default]
    Live,
    /// NEEDS-ACTION or IN-PROCESS: the to-do is not done, whatever else it says.
    Open,
    /// CANCELLED.
    Cancelled,
    /// COMPLETED, or with a COMPLETED property.
    Completed,
}

/// ATTENDEE of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attendee {
    /// The value, as written: `mailto:mary@example.org`.
    pub address: Box<str>,
    /// The parameter EMAIL (RFC 7986): the address where the value is something else.
    pub email: Option<Box<str>>,
    /// CN, empty where there is none.
    pub name: Box<str>,
    /// PARTSTAT, empty where there is none.
    pub status: Box<str>,
}

/// RECURRENCE-ID: which occurrence a component replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecurrenceId {
    /// The value.
    pub moment: CalendarDateTime,
    /// RANGE=THISANDFUTURE: all later ones as well.
    pub and_future: bool,
}

/// The value of an RRULE or EXRULE, and the line it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleText {
    /// The line of its BEGIN.
    pub line: u32,
    /// The text of the rule.
    pub text: Box<str>,
}

/// One value of an RDATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RDate {
    /// An instant.
    At(CalendarDateTime),
    /// With an end of its own.
    Period(CalendarDateTime, PeriodEnd),
}

/// The end of a PERIOD in an RDATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeriodEnd {
    /// An instant.
    At(CalendarDateTime),
    /// A duration after its start (RFC 5545, 3.3.9).
    After(Duration),
}

/// X-MOZ-SNOOZE-TIME: fire again at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snooze {
    /// When it begins.
    pub at: CalendarDateTime,
    /// The occurrence that was snoozed; none: the component as a whole.
    pub occurrence: Option<UtcMillis>,
}

/// An event or a to-do.
#[derive(Clone, Debug)]
pub struct Component {
    /// What it is.
    pub kind: ComponentKind,
    /// The line of its BEGIN, and that of its END.
    pub line: u32,
    /// The line of its END.
    pub last_line: u32,
    /// In which of the object's VCALENDARs it stands.
    pub calendar: usize,
    /// UID (RFC 5545, 3.8.4.7); empty where it has none.
    pub uid: Box<str>,
    /// What tells it from others in its object where it has no UID; else empty.
    pub own: Box<str>,
    /// SUMMARY, DESCRIPTION and LOCATION, unescaped; empty where there is none.
    pub summary: Box<str>,
    /// DESCRIPTION, unescaped.
    pub description: Box<str>,
    /// LOCATION, unescaped.
    pub location: Box<str>,
    /// The values of CATEGORIES as written, with a comma between those of two properties; see
    /// [`Component::categories`].
    pub(super) category_lists: String,
    /// The value of ORGANIZER, empty where there is none.
    pub organizer: Box<str>,
    /// CN of the ORGANIZER, empty where it has none.
    pub organizer_name: Box<str>,
    /// URL (RFC 5545, 3.8.4.6), empty where there is none.
    pub url: Box<str>,
    /// The values of CONFERENCE (RFC 7986, 5.11), and of what programs write in its place, each once.
    pub conferences: Vec<Box<str>>,
    /// Its ATTENDEEs.
    pub attendees: Vec<Attendee>,
    /// STATUS, as far as alarms depend on it.
    pub status: ComponentStatus,
    /// COMPLETED is there, or PERCENT-COMPLETE is 100.
    pub completed: bool,
    /// SEQUENCE (RFC 5545, 3.8.7.4).
    pub sequence: i64,
    /// DTSTART (RFC 5545, 3.8.2.4).
    pub start: Option<CalendarDateTime>,
    /// DTEND of an event, DUE of a to-do.
    pub end: Option<CalendarDateTime>,
    /// How long it lasts, where that is written.
    pub duration: Option<Duration>,
    /// RECURRENCE-ID (RFC 5545, 3.8.4.4).
    pub recurrence_id: Option<RecurrenceId>,
    /// RRULE (RFC 5545, 3.8.5.3).
    pub rules: Vec<RuleText>,
    /// EXRULE (RFC 2445).
    pub exrules: Vec<RuleText>,
    /// RDATE (RFC 5545, 3.8.5.2).
    pub rdates: Vec<RDate>,
    /// EXDATE (RFC 5545, 3.8.5.1).
    pub exdates: Vec<CalendarDateTime>,
    /// Its VALARMs, in the order of the text.
    pub alarms: Vec<Alarm>,
    /// X-MOZ-LASTACK.
    pub acknowledged: Option<CalendarDateTime>,
    /// Its alarms that snooze others (RFC 9074, 8).
    pub snoozes: Vec<Snooze>,
    /// LAST-MODIFIED.
    pub last_modified: Option<CalendarDateTime>,
    /// What says when it is cannot be read.
    pub(crate) broken: bool,
}

impl Component {
    pub(crate) fn new(kind: ComponentKind, line: u32, calendar: usize) -> Component {
        Component {
            kind,
            line,
            last_line: line,
            calendar,
            uid: Box::default(),
            own: Box::default(),
            summary: Box::default(),
            description: Box::default(),
            location: Box::default(),
            category_lists: String::new(),
            organizer: Box::default(),
            organizer_name: Box::default(),
            url: Box::default(),
            conferences: Vec::new(),
            attendees: Vec::new(),
            status: ComponentStatus::Live,
            completed: false,
            sequence: 0,
            start: None,
            end: None,
            duration: None,
            recurrence_id: None,
            rules: Vec::new(),
            exrules: Vec::new(),
            rdates: Vec::new(),
            exdates: Vec::new(),
            alarms: Vec::new(),
            acknowledged: None,
            snoozes: Vec::new(),
            last_modified: None,
            broken: false,
        }
    }

    /// Its categories, unescaped, without blanks around them (RFC 5545, 3.8.1.2). They are taken apart only here,
    /// because most configurations do not ask for them.
    pub fn categories(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let mut rest = Some(self.category_lists.as_str());
        let all = std::iter::from_fn(move || {
            let (first, others) = split_list(rest?);
            rest = others;
            Some(unescape(first.trim()))
        });
        all.filter(|category| !category.is_empty())
    }

    /// Whether both are of the same event or to-do: of one kind and UID.
    pub(crate) fn is_of(&self, other: &Component) -> bool {
        (self.kind, &self.uid, &self.own) == (other.kind, &other.uid, &other.own)
    }
}

/// What is before the first comma of `list` that is not escaped, and what is behind it; none if there is no such comma.
fn split_list(list: &str) -> (&str, Option<&str>) {
    let mut is_escaped = false;
    for (at, octet) in list.bytes().enumerate() {
        if octet == b',' && !is_escaped {
            return (list.get(..at).unwrap_or_default(), list.get(at.saturating_add(1)..));
        }
        is_escaped = octet == b'\\' && !is_escaped;
    }
    (list, None)
}

/// Components that stand in a calendar only.
pub(super) fn is_top_level(name: &str) -> bool {
    matches!(name, "VEVENT" | "VTODO" | "VJOURNAL" | "VFREEBUSY" | "VTIMEZONE" | "VAVAILABILITY")
}

//! VEVENT and VTODO as plain data (RFC 5545, 3.6.1 and 3.6.2): what their properties say, not yet placed in a zone.

use jiff::civil::{Date, DateTime};

use super::alarm::Alarm;
use super::line::ContentLine;
use super::reader::PropertyReader;
use super::value::{Duration, ValueError, split_period};

/// Which component it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ComponentKind {
    Event,
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

/// A TZID that the object uses: an index into [`super::object::Object::tzids`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TzId(pub(crate) u32);

impl TzId {
    /// Which of the object's TZIDs.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A date or time with what its property says about its zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalendarDateTime {
    /// VALUE=DATE.
    Date(Date),
    /// With `Z`: what UTC's clocks show.
    Utc(DateTime),
    /// Without `Z` and TZID: floating.
    Floating(DateTime),
    /// With TZID.
    Zoned(DateTime, TzId),
}

/// STATUS, as far as it keeps alarms silent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ComponentStatus {
    #[default]
    Live,
    /// NEEDS-ACTION or IN-PROCESS: the to-do is not done, whatever else it says.
    Open,
    Cancelled,
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
    pub moment: CalendarDateTime,
    /// RANGE=THISANDFUTURE: all later ones as well.
    pub and_future: bool,
}

/// The value of an RRULE or EXRULE, and the line it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleText {
    pub line: u32,
    pub text: Box<str>,
}

/// One value of an RDATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RDate {
    At(CalendarDateTime),
    /// With an end of its own.
    Period(CalendarDateTime, PeriodEnd),
}

/// The end of a PERIOD in an RDATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeriodEnd {
    At(CalendarDateTime),
    After(Duration),
}

/// X-MOZ-SNOOZE-TIME: fire again at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snooze {
    pub at: CalendarDateTime,
    /// The occurrence that was snoozed, microseconds since 1970; none: the component as a whole.
    pub occurrence: Option<i64>,
}

/// An event or a to-do.
#[derive(Clone, Debug)]
pub struct Component {
    pub kind: ComponentKind,
    /// The line of its BEGIN, and that of its END.
    pub line: u32,
    pub last_line: u32,
    /// In which of the object's VCALENDARs it stands.
    pub calendar: usize,
    pub uid: Box<str>,
    /// What tells it from others in its object where it has no UID; else empty.
    pub own: Box<str>,
    /// SUMMARY, DESCRIPTION and LOCATION, unescaped; empty where there is none.
    pub summary: Box<str>,
    pub description: Box<str>,
    pub location: Box<str>,
    /// The value of ORGANIZER, empty where there is none.
    pub organizer: Box<str>,
    pub attendees: Vec<Attendee>,
    pub status: ComponentStatus,
    /// COMPLETED is there, or PERCENT-COMPLETE is 100.
    pub completed: bool,
    pub sequence: i64,
    pub start: Option<CalendarDateTime>,
    /// DTEND of an event, DUE of a to-do.
    pub end: Option<CalendarDateTime>,
    pub duration: Option<Duration>,
    pub recurrence_id: Option<RecurrenceId>,
    pub rules: Vec<RuleText>,
    pub exrules: Vec<RuleText>,
    pub rdates: Vec<RDate>,
    pub exdates: Vec<CalendarDateTime>,
    pub alarms: Vec<Alarm>,
    /// X-MOZ-LASTACK.
    pub acknowledged: Option<CalendarDateTime>,
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
            organizer: Box::default(),
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

    /// Whether both speak of the same event or to-do: of one kind and UID.
    pub(crate) fn is_of(&self, other: &Component) -> bool {
        (self.kind, &self.uid, &self.own) == (other.kind, &other.uid, &other.own)
    }

    /// Takes in one of its properties. `name` is in upper case.
    pub(crate) fn property(&mut self, name: &str, number: u32, text: &str, reader: &mut PropertyReader<'_>) {
        if !is_read(name) {
            return;
        }
        let line = if is_dated(name) { reader.parse_dated_line(number, text) } else { reader.parse_line(number, text) };
        let Some(line) = line else {
            self.broken |= matches!(name, "DTSTART" | "RECURRENCE-ID");
            return;
        };
        match name {
            "UID" => first(&mut self.uid, line.value),
            "SUMMARY" => first(&mut self.summary, &line.text()),
            "DESCRIPTION" => first(&mut self.description, &line.text()),
            "LOCATION" => first(&mut self.location, &line.text()),
            "ORGANIZER" => first(&mut self.organizer, address(line.value)),
            "ATTENDEE" => self.attendee(&line, number, reader),
            "STATUS" => self.status = status(line.value),
            "COMPLETED" => self.completed |= self.kind == ComponentKind::Todo && !line.value.trim().is_empty(),
            "PERCENT-COMPLETE" => self.completed |= self.kind == ComponentKind::Todo && line.value.trim() == "100",
            "SEQUENCE" => self.sequence = line.value.trim().parse().unwrap_or(0),
            "DURATION" => self.length(&line, number, reader),
            "RRULE" => rule(&mut self.rules, line.value, number, reader),
            "EXRULE" => rule(&mut self.exrules, line.value, number, reader),
            "RDATE" => self.add_rdates(&line, number, reader),
            "EXDATE" => self.add_exdates(&line, number, reader),
            _ => self.moment(name, &line, number, reader),
        }
    }

    fn moment(&mut self, name: &str, line: &ContentLine<'_>, number: u32, reader: &mut PropertyReader<'_>) {
        let moment = match reader.moment(line, line.value, number) {
            Ok(moment) => moment,
            Err(error) => {
                self.broken |= matches!(name, "DTSTART" | "RECURRENCE-ID");
                reader.fault(number, format_args!("{name} of the {} cannot be read: {error}", self.kind.name()));
                return;
            }
        };
        match (name, self.kind) {
            ("DTSTART", _) => set(&mut self.start, moment),
            ("DTEND", ComponentKind::Event) | ("DUE", ComponentKind::Todo) => set(&mut self.end, moment),
            ("RECURRENCE-ID", _) => {
                let and_future = line.says("RANGE", "THISANDFUTURE");
                set(&mut self.recurrence_id, RecurrenceId { moment, and_future });
            }
            ("LAST-MODIFIED", _) => set(&mut self.last_modified, moment),
            ("X-MOZ-LASTACK", _) => set(&mut self.acknowledged, moment),
            (name, _) => {
                if let Some(rest) = name.strip_prefix("X-MOZ-SNOOZE-TIME") {
                    let occurrence = rest.strip_prefix('-').and_then(|n| n.parse().ok());
                    self.snoozes.push(Snooze { at: moment, occurrence });
                }
            }
        }
    }

    fn attendee(&mut self, line: &ContentLine<'_>, number: u32, reader: &mut PropertyReader<'_>) {
        let most = reader.notes.limits.max_attendees;
        if self.attendees.len() >= most {
            return reader.too_many(number, "ATTENDEEs of a component", ("max_attendees", most));
        }
        let text = |key| line.parameter(key).unwrap_or_default().into();
        self.attendees.push(Attendee {
            address: address(line.value).into(),
            email: line.parameter("EMAIL").map(Into::into),
            name: text("CN"),
            status: text("PARTSTAT"),
        });
    }

    fn length(&mut self, line: &ContentLine<'_>, number: u32, reader: &mut PropertyReader<'_>) {
        match reader.duration(line.value, number) {
            Ok(length) => set(&mut self.duration, length),
            Err(error) => reader.fault(number, format_args!("DURATION is left out: {error}")),
        }
    }

    fn add_rdates(&mut self, line: &ContentLine<'_>, number: u32, reader: &mut PropertyReader<'_>) {
        for value in line.value.split(',').filter(|value| !value.trim().is_empty()) {
            match rdate(line, value, number, reader) {
                Ok(rdate) => self.rdates.push(rdate),
                Err(error) => reader.fault(number, format_args!("a value of RDATE is left out: {error}")),
            }
        }
    }

    fn add_exdates(&mut self, line: &ContentLine<'_>, number: u32, reader: &mut PropertyReader<'_>) {
        for value in line.value.split(',').filter(|value| !value.trim().is_empty()) {
            match reader.moment(line, value, number) {
                Ok(moment) => self.exdates.push(moment),
                Err(error) => reader.fault(number, format_args!("a value of EXDATE is left out: {error}")),
            }
        }
    }
}

/// The properties that are read; the many others are not even taken apart.
fn is_read(name: &str) -> bool {
    matches!(
        name,
        "UID" | "SUMMARY" | "DESCRIPTION" | "LOCATION" | "ORGANIZER" | "ATTENDEE" | "STATUS" | "COMPLETED" | "SEQUENCE"
    ) || matches!(
        name,
        "PERCENT-COMPLETE" | "DTSTART" | "DTEND" | "DUE" | "DURATION" | "RECURRENCE-ID" | "LAST-MODIFIED"
    ) || matches!(name, "RRULE" | "EXRULE" | "RDATE" | "EXDATE" | "X-MOZ-LASTACK")
        || name.starts_with("X-MOZ-SNOOZE-TIME")
}

/// The properties whose values are dates, times, periods or a duration.
fn is_dated(name: &str) -> bool {
    matches!(name, "DTSTART" | "DTEND" | "DUE" | "DURATION" | "RECURRENCE-ID" | "RDATE" | "EXDATE")
}

fn rdate(
    line: &ContentLine<'_>,
    value: &str,
    number: u32,
    reader: &mut PropertyReader<'_>,
) -> Result<RDate, ValueError> {
    if !value.contains('/') {
        return Ok(RDate::At(reader.moment(line, value, number)?));
    }
    let (start, end) = split_period(value)?;
    let end = if end.trim_start().starts_with(|c: char| c.is_ascii_digit()) {
        PeriodEnd::At(reader.moment(line, end, number)?)
    } else {
        PeriodEnd::After(reader.duration(end, number)?)
    };
    if matches!(end, PeriodEnd::After(length) if length.is_negative()) {
        return Err(ValueError::expected("period: its length is negative", value));
    }
    Ok(RDate::Period(reader.moment(line, start, number)?, end))
}

fn rule(rules: &mut Vec<RuleText>, value: &str, number: u32, reader: &mut PropertyReader<'_>) {
    let most = reader.notes.limits.max_rules;
    if rules.len() >= most {
        return reader.too_many(number, "rules of a component", ("max_rules", most));
    }
    rules.push(RuleText { line: number, text: value.trim().into() });
}

/// An address without what an unquoted colon in the parameters (`CN=Team: A:mailto:…`) puts before it.
pub(crate) fn address(value: &str) -> &str {
    let value = value.trim();
    let octets = value.as_bytes();
    let start = octets.windows(8).rposition(|part| part.eq_ignore_ascii_case(b":mailto:"));
    start.and_then(|start| value.get(start + 1..)).unwrap_or(value)
}

fn status(value: &str) -> ComponentStatus {
    let value = value.trim();
    if value.eq_ignore_ascii_case("CANCELLED") || value.eq_ignore_ascii_case("CANCELED") {
        ComponentStatus::Cancelled
    } else if value.eq_ignore_ascii_case("COMPLETED") {
        ComponentStatus::Completed
    } else if value.eq_ignore_ascii_case("NEEDS-ACTION") || value.eq_ignore_ascii_case("IN-PROCESS") {
        ComponentStatus::Open
    } else {
        ComponentStatus::Live
    }
}

/// Properties that may appear once: the first one counts.
fn set<T>(slot: &mut Option<T>, value: T) {
    if slot.is_none() {
        *slot = Some(value);
    }
}

fn first(slot: &mut Box<str>, value: &str) {
    if slot.is_empty() {
        *slot = value.into();
    }
}

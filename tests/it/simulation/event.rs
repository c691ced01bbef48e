//! Events as the simulation makes them: few kinds of each thing, written as iCalendar here and counted out in
//! [`occurrences`](super::occurrences).

use std::fmt::Write as _;

use super::walls::{DAY, HOUR, MINUTE, Rules, basic, weekday};
use crate::chance::Chance;

/// Where an event's times are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Utc,
    /// Nowhere: its calendar says where.
    Floating,
    Zone(&'static str),
}

/// The zone whose rules depend on the database: Berlin's in the first, Lisbon's in the second.
pub const MOVING: &str = "Land/City";
/// The zones that events and calendars are in.
pub const ZONES: &[&str] = &["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", MOVING];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub uid: String,
    pub summary: String,
    pub place: Place,
    /// On the wall; midnight for a date.
    pub start: i64,
    pub all_day: bool,
    pub rule: Option<Rule>,
    /// Walls of occurrences that do not take place.
    pub left_out: Vec<i64>,
    pub overrides: Vec<Override>,
    pub alarms: Vec<Alarm>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub step: Step,
    pub interval: i64,
    pub end: End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// By elapsed time.
    Hours,
    Days,
    /// On these weekdays, 0 for Monday; that of the start is among them.
    Weeks(Vec<i64>),
    /// On the day of the month that the start is on.
    Months,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Never,
    Count(usize),
    /// The last moment: UTC seconds, or a wall for what has no zone.
    Until(i64),
}

/// What takes the place of one occurrence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The wall that the occurrence would start at.
    pub of: i64,
    pub start: i64,
    pub summary: String,
    pub cancelled: bool,
    pub alarms: Vec<Alarm>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    pub action: &'static str,
    pub trigger: Trigger,
    /// So many more instances, so many seconds apart.
    pub repeat: Option<(i64, i64)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// Seconds from the start.
    Seconds(i64),
    /// Days on the wall from the start.
    Days(i64),
    /// This instant, UTC seconds; in events that do not recur.
    At(i64),
}

const WEEKDAYS: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];

impl Event {
    /// An event that has something to do with the hours around `now` (UTC seconds), or around `change`, when clocks
    /// somewhere are put forward or back.
    pub fn make(chance: &mut Chance, uid: &str, summary: &str, now: i64, change: i64) -> Event {
        let place = match chance.below(10) {
            0 => Place::Utc,
            1 | 2 => Place::Floating,
            _ => Place::Zone(chance.pick(ZONES)),
        };
        let all_day = chance.one_in(8);
        let near = match chance.below(4) {
            0 => change + chance.range(-8, 9) * 15 * MINUTE,
            1 => now + chance.range(-HOUR, 3 * HOUR),
            _ => now + chance.range(-DAY, 2 * DAY),
        };
        let rules = fixed_rules(place);
        let mut start = rules.wall(near);
        start -= start % if all_day { DAY } else { chance.pick(&[1, MINUTE, 15 * MINUTE]) };
        let place = if all_day { Place::Floating } else { place };
        let recurs = chance.one_in(2);
        let rule = recurs.then(|| Rule::make(chance, &mut start, rules, all_day));
        let alarms = alarms(chance, if recurs { None } else { Some(now) });
        let (uid, summary) = (uid.to_owned(), summary.to_owned());
        let mut event =
            Event { uid, summary, place, start, all_day, rule, left_out: Vec::new(), overrides: Vec::new(), alarms };
        event.make_exceptions(chance);
        event
    }

    /// Leaves out or moves some of the first occurrences.
    fn make_exceptions(&mut self, chance: &mut Chance) {
        let Some(Rule { step: Step::Days, interval, .. }) = &self.rule else { return };
        let interval = *interval;
        for n in 0..6 {
            let wall = self.start + n * interval * DAY;
            match chance.below(8) {
                0 => self.left_out.push(wall),
                1 => {
                    let moved = if self.all_day { DAY } else { 15 * MINUTE };
                    let summary = format!("{} instead of {}", self.summary, basic(wall));
                    let (start, cancelled) = (wall + moved * chance.range(-4, 5), chance.one_in(5));
                    self.overrides.push(Override { of: wall, start, summary, cancelled, alarms: alarms(chance, None) });
                }
                _ => {}
            }
        }
    }

    /// Whether it lies in `zone`, given the zone of what floats.
    pub fn depends_on(&self, zone: &str, floating: Option<&str>) -> bool {
        match self.place {
            Place::Utc => false,
            Place::Floating => floating == Some(zone),
            Place::Zone(own) => own == zone,
        }
    }

    /// As iCalendar.
    pub fn text(&self) -> String {
        let mut text = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//reveille//simulation//EN\r\n".to_owned();
        let rule = self.rule.as_ref().map(|rule| rule.text(self)).unwrap_or_default();
        let left_out: String = self.left_out.iter().map(|wall| self.moment("EXDATE", *wall)).collect();
        self.component(&mut text, &format!("{rule}{left_out}"), self.start, &self.summary, false, &self.alarms);
        for Override { of, start, summary, cancelled, alarms } in &self.overrides {
            let of = self.moment("RECURRENCE-ID", *of);
            self.component(&mut text, &of, *start, summary, *cancelled, alarms);
        }
        text + "END:VCALENDAR\r\n"
    }

    fn component(&self, text: &mut String, more: &str, start: i64, summary: &str, cancelled: bool, alarms: &[Alarm]) {
        let status = if cancelled { "STATUS:CANCELLED\r\n" } else { "" };
        let start = self.moment("DTSTART", start);
        let uid = &self.uid;
        let _ = write!(
            text,
            "BEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20200101T000000Z\r\n{start}SUMMARY:{summary}\r\n{status}{more}"
        );
        alarms.iter().for_each(|alarm| text.push_str(&alarm.text()));
        text.push_str("END:VEVENT\r\n");
    }

    /// A property that names a moment of this event.
    fn moment(&self, name: &str, wall: i64) -> String {
        let basic = basic(wall);
        match self.place {
            _ if self.all_day => format!("{name};VALUE=DATE:{}\r\n", &basic[..8]),
            Place::Utc => format!("{name}:{basic}Z\r\n"),
            Place::Floating => format!("{name}:{basic}\r\n"),
            Place::Zone(zone) => format!("{name};TZID={zone}:{basic}\r\n"),
        }
    }
}

/// Rules for choosing times that matter in a place; those of Berlin where they may change.
fn fixed_rules(place: Place) -> Rules {
    match place {
        Place::Utc => Rules::Utc,
        Place::Zone("America/New_York") => Rules::NewYork,
        Place::Zone("Australia/Lord_Howe") => Rules::LordHowe,
        Place::Floating | Place::Zone(_) => Rules::Berlin,
    }
}

impl Rule {
    fn make(chance: &mut Chance, start: &mut i64, rules: Rules, all_day: bool) -> Rule {
        let step = match chance.below(8) {
            0 if !all_day => Step::Hours,
            1 => Step::Months,
            2 | 3 => {
                let own = weekday(start.div_euclid(DAY));
                Step::Weeks((0..7).filter(|day| *day == own || chance.one_in(3)).collect())
            }
            _ => Step::Days,
        };
        if step == Step::Hours {
            // A series by elapsed time begins at a time that exists.
            *start = rules.wall(rules.instant(*start));
        }
        let interval = match step {
            Step::Hours => chance.range(1, 9),
            Step::Days => chance.range(1, 3),
            Step::Weeks(_) => chance.range(1, 3),
            Step::Months => 1,
        };
        let end = match chance.below(4) {
            0 | 1 => End::Never,
            2 => End::Count(1 + chance.below(6)),
            // At a time of day when no clock is changed anywhere.
            _ => End::Until(start.div_euclid(DAY) * DAY + chance.range(0, 5) * DAY + 12 * HOUR + 17 * MINUTE + 31),
        };
        Rule { step, interval, end }
    }

    fn text(&self, event: &Event) -> String {
        let step = match &self.step {
            Step::Hours => "HOURLY".to_owned(),
            Step::Days => "DAILY".to_owned(),
            Step::Weeks(days) => {
                let days: Vec<&str> = days.iter().map(|day| WEEKDAYS[usize::try_from(*day).unwrap()]).collect();
                format!("WEEKLY;BYDAY={}", days.join(","))
            }
            Step::Months => "MONTHLY".to_owned(),
        };
        let end = match self.end {
            End::Never => String::new(),
            End::Count(count) => format!(";COUNT={count}"),
            End::Until(last) if event.all_day => format!(";UNTIL={}", &basic(last)[..8]),
            End::Until(last) if event.place == Place::Floating => format!(";UNTIL={}", basic(last)),
            End::Until(last) => format!(";UNTIL={}Z", basic(last)),
        };
        format!("RRULE:FREQ={step};INTERVAL={}{end}\r\n", self.interval)
    }
}

/// Some alarms; absolute ones only where `now` is given.
fn alarms(chance: &mut Chance, now: Option<i64>) -> Vec<Alarm> {
    let count = chance.pick(&[0, 1, 1, 1, 2, 2]);
    let alarm = |_| {
        let trigger = match chance.below(8) {
            0 => Trigger::Days(-chance.range(0, 3)),
            1 if now.is_some() => Trigger::At(now.unwrap_or_default() + chance.range(-HOUR, 6 * HOUR)),
            2 | 3 => Trigger::Seconds(0),
            4 => Trigger::Seconds(chance.range(-2 * DAY, HOUR)),
            _ => Trigger::Seconds(-MINUTE * chance.pick(&[5, 15, 30, 60, 120])),
        };
        let absolute = matches!(trigger, Trigger::At(_));
        let repeat = (!absolute && chance.one_in(6)).then(|| (chance.range(1, 4), MINUTE * chance.pick(&[1, 5, 60])));
        Alarm { action: chance.pick(&["display", "display", "email", "audio"]), trigger, repeat }
    };
    (0..count).map(alarm).collect()
}

impl Alarm {
    fn text(&self) -> String {
        let trigger = match self.trigger {
            Trigger::Seconds(seconds) => format!("TRIGGER:{}PT{}S", sign(seconds), seconds.abs()),
            Trigger::Days(days) => format!("TRIGGER:{}P{}D", sign(days), days.abs()),
            Trigger::At(instant) => format!("TRIGGER;VALUE=DATE-TIME:{}Z", basic(instant)),
        };
        let repeat = match self.repeat {
            Some((count, seconds)) => format!("REPEAT:{count}\r\nDURATION:PT{seconds}S\r\n"),
            None => String::new(),
        };
        let action = self.action.to_ascii_uppercase();
        format!(
            "BEGIN:VALARM\r\nACTION:{action}\r\n{trigger}\r\n{repeat}SUMMARY:S\r\nDESCRIPTION:D\r\n\
             ATTENDEE:mailto:mary@example.org\r\nEND:VALARM\r\n"
        )
    }
}

fn sign(number: i64) -> &'static str {
    if number < 0 { "-" } else { "" }
}

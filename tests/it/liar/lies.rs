//! What a server can be told to say that is not so.

use super::{Collection, Resource, Server};
use crate::chance::Chance;

/// A lie, which ends.
#[derive(Clone, Debug)]
pub struct Lie {
    pub user: String,
    /// The calendar that it is about; none: all of the user's.
    pub calendar: Option<String>,
    /// UTC milliseconds, by the true clock.
    pub from: i64,
    pub until: i64,
    pub kind: Kind,
    /// Of objects: about all of them. Else about those that were written since it began.
    pub all: bool,
}

#[derive(Clone, Debug)]
pub enum Kind {
    /// Every request is answered with this status.
    Status(u16),
    /// No request is answered.
    HangsUp,
    /// No request is answered in time.
    TimesOut,
    /// The home has no calendars.
    Empty,
    /// The home says no in one of its shapes: a status, or 207 with a response of that status.
    NoHome(u16, bool),
    /// The listing of the home ends with 507 after so many calendars.
    Cut(usize),
    /// A listing of the home leaves the calendar out, which answers with this status when asked itself; 0: as ever.
    Hidden(u16),
    /// The calendar's resourcetype cannot be read: it is in a propstat with this status.
    Untyped(u16),
    /// The calendar is listed, and what is asked of it answered with this status.
    Closed(u16),
    /// The calendar's listing ends with 507 in the middle.
    Short,
    /// Answers of the calendar break off in the middle.
    Torn,
    /// All that is said of the calendar is as it was then.
    Lags(Box<Collection>),
    /// Objects are listed, and when they are asked for the answer is this status; in a multiget nothing at all where
    /// `silent`.
    Missing { status: u16, silent: bool },
    /// Half of an object's text.
    Half,
    /// The text before, under the new entity tag.
    Stale,
    /// Objects are listed as they are and given as they were then: by another machine.
    Behind(Box<Collection>),
}

/// What a sync can learn while it is lied to, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Untruth {
    /// That something is wrong: what it did not learn it can ask for again.
    Failure,
    /// That the calendar is not there, or not for this user.
    Absence,
    /// That an object is not there, or not for now.
    Gone,
    /// An older state, with nothing to tell that by.
    Past,
}

impl Lie {
    pub fn is_of(&self, user: &str, calendar: &str) -> bool {
        self.user == user && self.calendar.as_ref().is_none_or(|own| own == calendar)
    }

    /// Whether it is about this object.
    pub fn is_about(&self, resource: &Resource) -> bool {
        self.all || resource.written >= self.from
    }

    pub fn untruth(&self) -> Untruth {
        match &self.kind {
            Kind::Status(_) | Kind::HangsUp | Kind::TimesOut | Kind::Empty => Untruth::Failure,
            Kind::Cut(_) | Kind::Short | Kind::Torn | Kind::Half => Untruth::Failure,
            Kind::Closed(500..) => Untruth::Failure,
            Kind::NoHome(..) | Kind::Hidden(_) | Kind::Untyped(_) | Kind::Closed(_) => Untruth::Absence,
            Kind::Missing { .. } => Untruth::Gone,
            Kind::Lags(_) | Kind::Stale | Kind::Behind(_) => Untruth::Past,
        }
    }
}

/// Milliseconds.
const MINUTE: i64 = 60_000;

impl Server {
    /// Begins to lie to `user`, about `calendar` or all of them.
    pub fn lie(&mut self, user: &str, calendar: &str, now: i64, chance: &mut Chance) -> &Lie {
        let kind = self.kind(user, calendar, chance);
        let of_account = matches!(
            kind,
            Kind::Status(_) | Kind::HangsUp | Kind::TimesOut | Kind::Empty | Kind::NoHome(..) | Kind::Cut(_)
        );
        let lasts = match chance.below(6) {
            0 => chance.range(1, MINUTE),
            1..=3 => chance.range(MINUTE, 10 * MINUTE),
            4 => chance.range(10 * MINUTE, 60 * MINUTE),
            _ => chance.range(60 * MINUTE, 300 * MINUTE),
        };
        // What is as it was before for longer than ten minutes counts as new under its new entity tag.
        let lasts = if matches!(kind, Kind::Stale | Kind::Behind(_)) { lasts.min(8 * MINUTE) } else { lasts };
        let calendar = (!of_account).then(|| calendar.to_owned());
        let lie = Lie { user: user.to_owned(), calendar, from: now, until: now + lasts, kind, all: chance.one_in(2) };
        self.lies.push(lie);
        &self.lies[self.lies.len() - 1]
    }

    fn kind(&mut self, user: &str, calendar: &str, chance: &mut Chance) -> Kind {
        // Who is asked for patience has it in real time, and whose login is refused waits for hours.
        let (busy, slow, refused) = if self.is_in_real_time { (503, 429, 500) } else { (502, 504, 401) };
        let now = Box::new(self.collection(user, calendar).cloned().unwrap_or_default());
        match chance.below(20) {
            0 => Kind::Status(chance.pick(&[500, 502, busy, 504, refused, slow])),
            1 => chance.pick(&[Kind::HangsUp, Kind::TimesOut]),
            2 => Kind::Empty,
            3 => Kind::NoHome(chance.pick(&[403, 404]), chance.one_in(2)),
            4 => Kind::Cut(chance.below(3)),
            5 | 6 => Kind::Hidden(chance.pick(&[0, 403, 404])),
            7 => Kind::Untyped(chance.pick(&[403, 500])),
            8 => Kind::Closed(chance.pick(&[403, 404, 500, busy])),
            9 => Kind::Short,
            10 => Kind::Torn,
            11 | 12 => Kind::Lags(now),
            13 | 14 => Kind::Missing { status: chance.pick(&[403, 404, 404, 500, busy]), silent: chance.one_in(2) },
            15 | 16 => Kind::Half,
            17 => Kind::Stale,
            _ => Kind::Behind(now),
        }
    }
}

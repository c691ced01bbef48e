//! Every phrase of a mail, in one place.

use jiff::SignedDuration;
use jiff::civil::{Date, Time};

pub const WHEN: &str = "When";
pub const STARTS: &str = "Starts";
pub const DUE: &str = "Due";
pub const WHERE: &str = "Where";
pub const CALENDAR: &str = "Calendar";
pub const ORGANIZER: &str = "Organizer";
pub const ATTENDEES: &str = "Attendees";
pub const REPEATS: &str = "Repeats";
pub const ONE_OF_A_SERIES: &str = "this is one date of a series";
pub const UNTITLED: &str = "(no title)";

/// `Thursday, 19 November 2015`
pub fn day(date: Date) -> String {
    date.strftime("%A, %-d %B %Y").to_string()
}

/// `Thu 19 Nov 2015`, for subjects.
pub fn short_day(date: Date) -> String {
    date.strftime("%a %-d %b %Y").to_string()
}

/// `18:30`
pub fn time(time: Time) -> String {
    time.strftime("%H:%M").to_string()
}

/// An all-day event on one day, or from one day to another.
pub fn all_day(first: Date, last: Date) -> String {
    if first == last {
        format!("{} (all day)", day(first))
    } else {
        format!("{} to {} (all day)", day(first), day(last))
    }
}

/// What the same time is called elsewhere.
pub fn elsewhere(times: &str) -> String {
    format!("(that is {times})")
}

/// The first few of many names.
pub fn and_more(names: &[String], more: usize) -> String {
    match more {
        0 => names.join(", "),
        _ => format!("{} and {more} more", names.join(", ")),
    }
}

/// A reminder that comes so `late` after the instant written as `due`.
pub fn late(late: SignedDuration, due: &str) -> String {
    let minutes = late.as_mins();
    let (count, unit) = match minutes {
        ..=119 => (minutes, "minute"),
        120..=2_879 => (minutes / 60, "hour"),
        _ => (minutes / 1_440, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("This reminder comes {count} {unit}{plural} late: it was due on {due}.")
}

/// Who sent this, and why.
pub fn footer(server: &str, calendar: &str) -> String {
    format!("Sent by {server} because the event has an alarm in the calendar \u{201c}{calendar}\u{201d}.")
}

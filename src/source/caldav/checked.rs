//! What logging in to an account finds, and what is wrong with it.

use std::fmt;
use std::time::Duration;

use super::href;
use super::software::Software;

/// So many addresses are named that are not used.
const REFUSED_SHOWN: usize = 5;

/// What logging in to an account found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// What the server is.
    pub software: Software,
    /// What a poll costs that finds nothing new.
    pub poll: PollCost,
    /// How often it is polled.
    pub interval: Duration,
    /// How often while hints announce what changes.
    pub hinted_interval: Duration,
    /// The principal's URL, where the server names one.
    pub principal: Option<String>,
    /// The user whose alarms these are.
    pub user: String,
    /// The user's own addresses.
    pub addresses: Vec<String>,
    /// What the server names beyond those: it is not believed.
    pub refused_addresses: Vec<String>,
    /// Its calendars.
    pub calendars: Vec<CheckedCalendar>,
    /// Where they were looked for, a URL.
    pub place: String,
    /// The names that the settings want, where they leave out others.
    pub wanted: Vec<String>,
}

/// A calendar that a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedCalendar {
    /// Its path on the server.
    pub href: String,
    /// Its displayed name.
    pub name: String,
    /// What its zone is called, where the listing names one.
    pub zone: Option<String>,
    /// The settings do not leave it out.
    pub is_wanted: bool,
    /// Besides, it may be read, and it holds events or tasks.
    pub is_watched: bool,
    /// How changes are found.
    pub detection: ChangeDetection,
}

impl CheckedCalendar {
    /// The id that its alarms have.
    pub fn id(&self) -> String {
        href::last_segment(&self.href)
    }
}

/// What requests cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PollCost {
    /// How many there were.
    pub requests: u64,
    /// Octets of the bodies that came back, unpacked.
    pub octets: u64,
    /// How long they took.
    pub elapsed: Duration,
}

/// How changes of a calendar are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeDetection {
    /// The server reports them (RFC 6578).
    Report,
    /// Its ctag tells that there are some.
    Ctag,
    /// By listing all objects each time.
    Listing,
}

impl ChangeDetection {
    /// As `check --json` has it.
    pub fn name(self) -> &'static str {
        match self {
            ChangeDetection::Report => "report",
            ChangeDetection::Ctag => "ctag",
            ChangeDetection::Listing => "listing",
        }
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = self.software.name.as_deref().unwrap_or("a server that does not name itself");
        write!(f, "{server}, user {}: ", self.user)?;
        let watched = self.calendars.iter().filter(|calendar| calendar.is_watched).count();
        write!(f, "{watched} of {} calendars watched", self.calendars.len())?;
        for (at, calendar) in self.calendars.iter().enumerate() {
            let how = match (calendar.is_watched, calendar.detection) {
                (false, _) => "not watched",
                (true, ChangeDetection::Report) => "by change reports",
                (true, ChangeDetection::Ctag) => "by ctag",
                (true, ChangeDetection::Listing) => "by listing",
            };
            let before = if at == 0 { ": " } else { ", " };
            write!(f, "{before}{} ({}, {how}", calendar.name, calendar.href)?;
            match &calendar.zone {
                Some(zone) => write!(f, ", zone {zone})")?,
                None => write!(f, ")")?,
            }
        }
        match self.addresses.as_slice() {
            [] => write!(f, "; no address of {}", self.user)?,
            addresses => write!(f, "; addresses {}", addresses.join(", "))?,
        }
        self.write_refused(f)?;
        self.write_cost(f)
    }
}

impl Checked {
    /// The addresses that are not used, cut.
    fn write_refused(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refused = &self.refused_addresses;
        if refused.is_empty() {
            return Ok(());
        }
        let shown = refused.iter().take(REFUSED_SHOWN).map(|address| address.escape_debug().to_string());
        write!(
            f,
            "; not used, though the server says they are {}'s: {}",
            self.user,
            shown.collect::<Vec<_>>().join(", ")
        )?;
        let more = refused.len().saturating_sub(REFUSED_SHOWN);
        if more > 0 {
            write!(f, " and {more} more")?;
        }
        write!(f, " (own_domains says in which domains it is believed)")
    }

    /// What a poll costs.
    fn write_cost(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PollCost { requests, octets, elapsed } = self.poll;
        let plural = if requests == 1 { "" } else { "s" };
        let (millis, seconds) = (elapsed.as_millis(), self.interval.as_secs());
        write!(
            f,
            "; an unchanged poll costs {requests} request{plural}, {octets} octets and {millis} ms, every {seconds} s"
        )
    }

    /// Why no alarm will fire, a sentence; none if some calendar is watched.
    pub fn complaint(&self) -> Option<String> {
        if self.calendars.iter().any(|calendar| calendar.is_watched) {
            return None;
        }
        let names: Vec<String> =
            self.calendars.iter().map(|calendar| format!("{} ({})", calendar.name, calendar.href)).collect();
        let wanted: Vec<String> = self.wanted.iter().map(|name| format!("\"{name}\"")).collect();
        let (place, names, wanted) = (&self.place, names.join(", "), wanted.join(", "));
        Some(if self.calendars.is_empty() {
            format!("no calendars were found at {place}: make one there, or check the source's url")
        } else if self.calendars.iter().all(|calendar| calendar.is_wanted) {
            format!("no calendar is watched: none holds events or tasks that this login may read: {names}")
        } else {
            format!("no calendar is watched: calendars = [{wanted}] names none that could be; there are {names}")
        })
    }
}

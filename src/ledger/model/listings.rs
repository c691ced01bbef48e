//! What commands see of a ledger.

use super::calendars::CalendarRow;
use super::deliveries::DeliveryState;
use super::firings::FiringState;
use crate::time::UtcMillis;

/// How much the ledger holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The calendars.
    pub calendars: i64,
    /// Objects.
    pub objects: i64,
    /// Objects in which something is wrong.
    pub faulty: i64,
    /// Objects that will fire.
    pub armed: i64,
    /// When the next of them does.
    pub next_due: Option<UtcMillis>,
    /// Deliveries that are pending.
    pub pending: i64,
    /// Deliveries that failed.
    pub failed: i64,
}

/// How the syncs at one source go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRow {
    /// The name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// When a sync of it last succeeded.
    pub last_synced_at: Option<UtcMillis>,
    /// None: the last sync went well.
    pub failure: Option<SourceFailure>,
    /// When the last sync began.
    pub tried_at: Option<UtcMillis>,
    /// When the next one comes at the latest, where syncs fail and time is what is waited for.
    pub next_try: Option<UtcMillis>,
    /// How far a long sync has come.
    pub progress: Option<String>,
}

/// That syncs of a source fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFailure {
    /// What the last sync said.
    pub error: String,
    /// Since when they fail.
    pub since: UtcMillis,
}

/// A calendar object with faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultyObject {
    /// The source's name.
    pub source: String,
    /// The calendar's name, and whose it is.
    pub calendar: String,
    /// The userId.
    pub user: String,
    /// The href.
    pub href: String,
    /// A sentence each.
    pub faults: Vec<String>,
}

/// A calendar and how much is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalendarStats {
    /// The calendar.
    pub calendar: CalendarRow,
    /// Objects.
    pub objects: i64,
    /// Objects with faults.
    pub faulty: i64,
    /// Objects that will fire again.
    pub armed: i64,
    /// When its next alarm is due.
    pub next_due: Option<UtcMillis>,
}

/// An object with its calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectRow {
    /// Id in the ledger.
    pub id: i64,
    /// Its calendar.
    pub calendar: CalendarRow,
    /// The href.
    pub href: String,
    /// Entity tag.
    pub etag: String,
    /// Counts the contents that it has had.
    pub revision: i64,
    /// When it was written, as its source says.
    pub last_modified: Option<UtcMillis>,
    /// What is wrong in it, a JSON list.
    pub faults: Option<String>,
    /// Where rules with a COUNT end; written by the schedule.
    pub count_cache: Option<String>,
    /// The text as it is stored.
    pub text: Vec<u8>,
    /// When it is due next.
    pub due: Option<UtcMillis>,
}

/// Which objects with a timer are meant.
#[derive(Clone, Copy, Debug)]
pub struct ArmedFilter<'a> {
    /// Those that are due before then.
    pub until: UtcMillis,
    /// Those of this user; none: of all.
    pub user: Option<&'a str>,
    /// Those of the calendars with this name, last path segment or href; none: of all.
    pub calendar: Option<&'a str>,
}

impl ArmedFilter<'_> {
    /// All of them.
    pub const ALL: ArmedFilter<'static> = ArmedFilter { until: UtcMillis::MAX, user: None, calendar: None };
}

/// Whose firings are meant: those of an event, wherever in its user's calendars it was, and what was only counted of
/// its object.
#[derive(Clone, Copy, Debug)]
pub struct FiringsOf<'a> {
    /// Id of its object.
    pub object: i64,
    /// UID of the component.
    pub uid: &'a str,
    /// The userId.
    pub user: &'a str,
}

/// A firing of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FiringRow {
    /// Id in the ledger.
    pub id: i64,
    /// Id of its object.
    pub object: i64,
    /// When it is due.
    pub due: UtcMillis,
    /// When it was recorded.
    pub fired_at: UtcMillis,
    /// None: it is damaged.
    pub state: Option<FiringState>,
    /// How many alarm instances the row stands for.
    pub count: i64,
    /// The calendar's name, where it is still watched.
    pub calendar: Option<String>,
    /// The object's name, where it is still there.
    pub href: Option<String>,
    /// The notification as JSON; empty for some firings that are missed or suppressed.
    pub notification: String,
}

/// Which deliveries are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryFilter {
    /// All of them.
    All,
    /// Those that are pending.
    Pending,
    /// Those that failed.
    Failed,
    /// An attempt at it ended without a word on whether it was taken.
    Unknown,
}

/// A delivery with its firing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Id of its firing.
    pub firing: i64,
    /// Name of the sink.
    pub sink: String,
    /// The address that it goes to; empty for a sink without recipients.
    pub recipient: String,
    /// None: it is damaged.
    pub state: Option<DeliveryState>,
    /// Attempts so far.
    pub attempts: i64,
    /// How many of the attempts ended without a word on whether it was taken.
    pub unknown: i64,
    /// When it may be tried next.
    pub next_attempt: UtcMillis,
    /// Until when quiet hours held it, if they did.
    pub held_until: Option<UtcMillis>,
    /// What the sink said.
    pub response: Option<String>,
    /// When it was delivered, or ended otherwise; none: it is pending.
    pub settled_at: Option<UtcMillis>,
    /// When it is due.
    pub due: UtcMillis,
    /// When its firing was recorded.
    pub fired_at: UtcMillis,
    /// The notification as JSON.
    pub notification: String,
}

impl DeliveryRow {
    /// Until when quiet hours hold it; none if they do not, or if it has been tried since.
    pub fn is_held_until(&self) -> Option<UtcMillis> {
        let is_untried = self.state == Some(DeliveryState::Pending) && self.attempts == 0 && self.response.is_none();
        self.held_until.filter(|until| is_untried && *until == self.next_attempt)
    }
}

//! Sources and calendars.

use jiff::SignedDuration;

use crate::calendar_info::CalendarInfo;
use crate::time::UtcMillis;

/// How a sync of a source went.
#[derive(Clone, Debug)]
pub struct SourceSync {
    /// When it began.
    pub at: UtcMillis,
    /// What is wrong; none: it went well.
    pub error: Option<String>,
    /// Where something is wrong: the next sync comes no later than then. None where something else than time is waited
    /// for.
    pub next_try: Option<UtcMillis>,
}

/// A source that has left the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DroppedSource {
    /// The name.
    pub name: String,
    /// How many calendars the ledger had of it.
    pub calendars: i64,
}

/// What names a calendar: its source and its place there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CalendarKey {
    /// The name of the source in the configuration.
    pub source: String,
    /// See [`CalendarInfo::href`].
    pub href: String,
}

impl CalendarKey {
    /// That of the calendar `href` of `source`.
    pub fn new(source: &str, href: &str) -> CalendarKey {
        CalendarKey { source: source.to_owned(), href: href.to_owned() }
    }
}

/// A sync that found a calendar unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnchangedSync {
    /// The calendar.
    pub calendar: CalendarKey,
    /// When it began.
    pub at: UtcMillis,
}

/// A calendar in the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CalendarRow {
    /// Whether it was ever read to its end.
    pub was_read: bool,
    /// Given by the ledger; 0 for one that is not in it yet.
    pub id: i64,
    /// The name of its source in the configuration.
    pub source: String,
    /// As its source handed it in last; a long name or color is kept in part.
    pub info: CalendarInfo,
    /// What the source syncs from the next time, a text that only the source reads; none: it was never read to its end.
    pub sync_state: Option<String>,
    /// When a sync of it last succeeded.
    pub last_synced_at: UtcMillis,
    /// What was due before then does not fire: it was not known yet.
    pub first_seen: UtcMillis,
    /// Since when syncs do not find it; none: it is there.
    pub absent: Option<Absent>,
}

/// Since when syncs have not found a calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absent {
    /// When the first of those syncs began.
    pub since: UtcMillis,
    /// When the first of those began that found the rest of the store in order, and after which no other sync did not.
    pub missing_since: Option<UtcMillis>,
}

/// How long syncs must not have found a calendar where nothing of its source is found.
const ALL_GONE: SignedDuration = SignedDuration::from_hours(24);

impl Absent {
    /// The first sync from then on that does not find the calendar drops it. `grace` is how long it must not have been
    /// found where the rest of its store is in order.
    pub fn ends_at(self, grace: SignedDuration) -> UtcMillis {
        let all_gone = self.since.saturating_add(ALL_GONE.max(grace));
        self.missing_since.map_or(all_gone, |since| all_gone.min(since.saturating_add(grace)))
    }
}

//! Time zones: from wall-clock time to the instant and back.

use jiff::civil::DateTime;

use crate::time::UtcMillis;

/// A time zone. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Zone {}

/// Where a wall-clock time lies (RFC 5545, 3.3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It exists once.
    Exact,
    /// It does not exist (clocks go forward): taken with the offset before the gap.
    Gap,
    /// It exists twice (clocks go back): the first one is taken.
    Fold,
}

impl Zone {
    /// UTC.
    pub fn utc() -> Zone {
        Zone {}
    }

    /// The IANA id (`Europe/Berlin`, in the database's spelling), `UTC`, or the TZID of an own VTIMEZONE.
    pub fn id(&self) -> &str {
        "UTC"
    }

    /// The instant of the wall-clock time `wall` (rule: gap → offset before, fold → first).
    pub fn instant(&self, wall: DateTime) -> (UtcMillis, Fit) {
        let _ = wall;
        todo!()
    }

    /// What the clock on the wall shows at the instant `at`.
    pub fn wall(&self, at: UtcMillis) -> DateTime {
        let _ = at;
        todo!()
    }
}

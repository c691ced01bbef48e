//! What the ledger's operations take and return. Nothing here knows how a database keeps it.
//!
//! * `calendars`, `objects`, `firings` and `deliveries` are the rows and the states of the daemon, `listings` what
//!   commands see; `clock_rollback` is what is undone when a clock that was ahead has been set back.

mod calendars;
mod clock_rollback;
mod deliveries;
mod firings;
mod listings;
mod objects;

pub use calendars::{Absent, CalendarKey, CalendarRow, DroppedSource, SourceSync, UnchangedSync};
pub use clock_rollback::{Since, Undone};
pub use deliveries::{
    AdminOutcome, ClaimedDelivery, Claims, DeliveryId, DeliveryKey, DeliveryState, GAVE_UP, NextState, OrphanedSink,
    Settlement,
};
pub use firings::{
    DueObject, FireOutcome, FireStats, FiredAlarm, FiredUntil, FiringState, Forgotten, HistoryCursor, NewFiring,
    NewIdentity, OldFiring, Restored, Route, Timer, TimerCursor,
};
pub use listings::{
    ArmedFilter, CalendarStats, DeliveryFilter, DeliveryRow, FaultyObject, FiringRow, FiringsOf, ObjectRow,
    SourceFailure, SourceRow, Stats,
};
pub use objects::{
    Departed, Existing, LongText, ObjectText, ObjectVersion, Planned, PlannedObject, Replanned, Retagged, ShortTexts,
    Unfinished,
};

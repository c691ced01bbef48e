//! What the wheel asks of those who work out what due objects fire.

use std::future::Future;

use crate::ledger::{DueObject, LedgerError, Timer};
use crate::time::UtcMillis;

/// Works out what due objects fire: a [`FiringRenderer`](super::FiringRenderer), or what a test puts in its place.
pub trait Prepare: Send + Sync {
    /// For `timers`, what fires from the due instant of each to `until` (inclusive; at least the due instant itself),
    /// and when it is due after that. Those that are too late at `now` come as missed. Timers whose object has changed
    /// since are left out, and those for which there is no time: no more than a fraction of a second is spent, and then
    /// something is worked out.
    fn prepare(
        &self,
        timers: Vec<Timer>,
        until: UtcMillis,
        now: UtcMillis,
    ) -> impl Future<Output = Result<Prepared, LedgerError>> + Send;

    /// The same for one `timer`, however long it takes; none where its object has changed since.
    fn prepare_alone(
        &self,
        timer: Timer,
        until: UtcMillis,
        now: UtcMillis,
    ) -> impl Future<Output = Result<Option<DueObject>, LedgerError>> + Send;

    /// `due_object`, which was prepared before it was due, as it is at `now`: the notifications say when they fired.
    fn stamp(&self, due_object: DueObject, now: UtcMillis) -> DueObject;
}

/// What became of timers that were to be prepared.
#[derive(Debug, Default)]
pub struct Prepared {
    /// Those that were worked out.
    pub due_objects: Vec<DueObject>,
    /// Those that may take long, for [`Prepare::prepare_alone`].
    pub long: Vec<Timer>,
}

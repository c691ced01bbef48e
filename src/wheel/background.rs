//! Objects that take long to work out: they are worked out one at a time beside the wheel, which fires what is ready meanwhile.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::time::Instant;

use tokio::task::{JoinError, JoinSet};

use super::Prepare;
use crate::ledger::{Due, Firing, Ledger, LedgerError};
use crate::time::UtcMillis;

/// Objects of which it is remembered how long they took.
const REMEMBERED: usize = 10_000;

type Outcome = Result<Option<Firing>, LedgerError>;

/// The objects that wait, and the one that is being worked out.
#[derive(Debug, Default)]
pub struct Background {
    /// By object.
    waiting: HashMap<i64, Due>,
    /// And since when.
    running: Option<(Due, Instant)>,
    /// The work itself. It ends with the wheel.
    work: JoinSet<Outcome>,
    /// How the last one has ended, until the wheel asks.
    ended: Option<(Due, Result<Outcome, JoinError>)>,
    /// How long objects took, in powers of two of a millisecond: those that take the least come first.
    costs: HashMap<i64, u32>,
    /// Timers at which the work panicked: they are not tried again.
    failed: HashSet<Due>,
}

impl Background {
    /// Lets `timer` be worked out when it is its turn.
    pub fn put(&mut self, timer: Due) {
        if !self.has(&timer) {
            self.waiting.insert(timer.object, timer);
        }
    }

    /// Whether `timer` waits, is being worked out, or could not be.
    pub fn has(&self, timer: &Due) -> bool {
        self.waiting.get(&timer.object) == Some(timer)
            || self.running.is_some_and(|(running, _)| running == *timer)
            || self.failed.contains(timer)
    }

    /// Whether nothing waits and nothing is being worked out.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_none() && self.ended.is_none()
    }

    /// Lets `object` be the last: the process before this one ended at it.
    pub fn put_last(&mut self, object: i64) {
        self.costs.insert(object, u32::MAX);
    }

    /// Begins with the next one, where none is being worked out. Without `ahead` that is one which is due at `now`.
    pub fn start<P: Prepare + Clone + 'static>(
        &mut self,
        (prepare, ledger): (&P, &Ledger),
        now: UtcMillis,
        ahead: bool,
    ) {
        if self.running.is_some() || self.ended.is_some() {
            return;
        }
        let may_begin = self.waiting.values().filter(|timer| ahead || timer.due <= now);
        let cost = |timer: &Due| self.costs.get(&timer.object).copied().unwrap_or(0);
        let Some(timer) = may_begin.min_by_key(|timer| (cost(timer), timer.due, timer.object)).copied() else { return };
        self.waiting.remove(&timer.object);
        let (prepare, ledger) = (prepare.clone(), ledger.clone());
        self.work.spawn(async move {
            let until = if timer.due <= now { now } else { UtcMillis::MIN };
            ledger.begin_attempt(timer).await?;
            let firing = prepare.prepare_alone(timer, until, now).await?;
            ledger.end_attempt().await?;
            Ok(firing)
        });
        self.running = Some((timer, Instant::now()));
    }

    /// Resolves when the one that is being worked out has ended. A future that is dropped loses nothing.
    pub async fn ended(&mut self) {
        match self.work.join_next().await {
            Some(outcome) => self.end(outcome),
            None => std::future::pending().await,
        }
    }

    /// How the one that was being worked out has ended, if it has: what it fires; none where it has changed since.
    ///
    /// # Errors
    /// Those of the ledger.
    pub fn take(&mut self) -> Outcome {
        if let Some(outcome) = self.work.try_join_next() {
            self.end(outcome);
        }
        match self.ended.take() {
            None => Ok(None),
            Some((_, Ok(outcome))) => outcome,
            Some((timer, Err(_))) => {
                tracing::error!(
                    object.id = timer.object,
                    alarm.due = %timer.due,
                    "an object's alarms could not be worked out because of an error in Reveille; they do not ring until the object is \
                     changed or Reveille is restarted. Please report this error"
                );
                self.failed.insert(timer);
                Ok(None)
            }
        }
    }

    fn end(&mut self, outcome: Result<Outcome, JoinError>) {
        let Some((timer, begun)) = self.running.take() else { return };
        if self.costs.len() >= REMEMBERED {
            // Those that cost the least are of no consequence.
            let mut costs: Vec<_> = self.costs.drain().collect();
            costs.sort_unstable_by_key(|(_, cost)| Reverse(*cost));
            costs.truncate(REMEMBERED / 2);
            self.costs.extend(costs);
        }
        let cost = begun.elapsed().as_millis().checked_ilog2().unwrap_or(0);
        self.costs.insert(timer.object, cost);
        self.ended = Some((timer, outcome));
    }
}

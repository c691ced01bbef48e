//! Objects that take long to work out: they are worked out one at a time in the background, while the wheel fires what
//! is ready.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::time::Instant;

use tokio::task::{JoinError, JoinSet};

use super::prepare::Prepare;
use crate::ledger::{DueObject, Ledger, LedgerError, Timer};
use crate::time::UtcMillis;

/// Objects of which it is remembered how long they took.
const REMEMBERED: usize = 10_000;
/// The cost of an object that is to come last, a power of two of a millisecond.
const LAST: u64 = 40;
/// Seconds of waiting that make up for taking twice as long: nothing waits for ever.
const PATIENCE: u64 = 10;

/// The objects that wait, and the one that is being worked out.
#[derive(Debug, Default)]
pub struct Background {
    /// By object, and since when.
    waiting: HashMap<i64, (Timer, Instant)>,
    running: Option<Running>,
    /// The work itself. It ends with the wheel.
    work: JoinSet<Ended>,
    /// How the last one has ended, until the wheel asks.
    ended: Option<(Running, Option<Ended>)>,
    /// How long objects took, in powers of two of a millisecond: those that take the least come first.
    costs: HashMap<i64, u64>,
    /// Objects of which the ledger still says that this process works on them.
    noted: HashSet<i64>,
    /// Timers at which the work panicked: they are not tried again.
    failed: HashSet<Timer>,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    timer: Timer,
    begun: Instant,
    /// By the wall clock.
    now: UtcMillis,
}

#[derive(Debug)]
struct Ended {
    /// None: it panicked.
    outcome: Option<Result<Option<DueObject>, LedgerError>>,
    noted: bool,
}

impl Background {
    /// Lets `timer` be worked out when it is its turn.
    pub fn put(&mut self, timer: Timer) {
        if !self.has(&timer) {
            self.waiting.insert(timer.object, (timer, Instant::now()));
        }
    }

    /// Whether `timer` waits, is being worked out, or could not be.
    pub fn has(&self, timer: &Timer) -> bool {
        self.waiting.get(&timer.object).is_some_and(|(waiting, _)| waiting == timer)
            || self.running.is_some_and(|running| running.timer == *timer)
            || self.failed.contains(timer)
    }

    /// Whether nothing waits and nothing is being worked out.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_none() && self.ended.is_none()
    }

    /// The object that is being worked out.
    pub fn running(&self) -> Option<i64> {
        self.running.map(|running| running.timer.object)
    }

    /// Lets `object` be the last: the process before this one ended at it.
    pub fn put_last(&mut self, object: i64) {
        self.costs.insert(object, LAST);
    }

    /// Begins with the next one, where none is being worked out: what is due at `now` comes before what is not, what
    /// takes little before what takes long, and what has waited longer before what has not. Without `ahead` it is one
    /// that is due.
    pub fn start<P: Prepare + Clone + 'static>(&mut self, prepare: &P, ledger: &Ledger, now: UtcMillis, ahead: bool) {
        if self.running.is_some() || self.ended.is_some() {
            return;
        }
        let may_begin = self.waiting.values().filter(|(timer, _)| ahead || timer.due <= now);
        let rank = |(timer, since): &&(Timer, Instant)| {
            let cost = self.costs.get(&timer.object).copied().unwrap_or(0);
            let cost = cost.saturating_sub(since.elapsed().as_secs() / PATIENCE);
            (timer.due > now, cost, timer.due, timer.object)
        };
        let Some((timer, _)) = may_begin.min_by_key(rank).copied() else { return };
        self.waiting.remove(&timer.object);
        let noted = self.noted.contains(&timer.object);
        self.work.spawn(work(prepare.clone(), ledger.clone(), timer, now, noted));
        self.running = Some(Running { timer, begun: Instant::now(), now });
    }

    /// Resolves when the one that is being worked out has ended. A future that is dropped loses nothing.
    pub async fn ended(&mut self) {
        match self.work.join_next().await {
            Some(ended) => self.end(ended),
            None => std::future::pending().await,
        }
    }

    /// How the one that was being worked out has ended, if it has: what it fires; none where it has changed since. What
    /// was worked out by a clock that is after `now` counts for nothing.
    ///
    /// # Errors
    /// Those of the ledger.
    pub fn take(&mut self, now: UtcMillis) -> Result<Option<DueObject>, LedgerError> {
        if let Some(ended) = self.work.try_join_next() {
            self.end(ended);
        }
        let Some((running, ended)) = self.ended.take() else { return Ok(None) };
        let object = running.timer.object;
        let Ended { outcome, noted } = ended.unwrap_or(Ended { outcome: None, noted: true });
        if noted {
            self.noted.insert(object);
        } else {
            self.noted.remove(&object);
        }
        match outcome {
            Some(outcome) => Ok(outcome?.filter(|_| running.now <= now)),
            None => {
                tracing::error!(
                    object.id = object,
                    alarm.due = %running.timer.due,
                    "an object's alarms could not be worked out because of an error in Reveille; they do not fire until the object is \
                     changed or Reveille is restarted. Please report this error"
                );
                self.failed.insert(running.timer);
                Ok(None)
            }
        }
    }

    fn end(&mut self, ended: Result<Ended, JoinError>) {
        let Some(running) = self.running.take() else { return };
        if self.costs.len() >= REMEMBERED {
            // Those that cost the least are of no consequence.
            let mut costs: Vec<_> = self.costs.drain().collect();
            costs.sort_unstable_by_key(|(_, cost)| Reverse(*cost));
            costs.truncate(REMEMBERED / 2);
            self.costs.extend(costs);
        }
        let cost = running.begun.elapsed().as_millis().checked_ilog2().unwrap_or(0);
        self.costs.insert(running.timer.object, u64::from(cost));
        self.ended = Some((running, ended.ok()));
    }
}

/// Works out what `timer` fires. The ledger has a note while that lasts, unless it is `noted` there already.
async fn work<P: Prepare + 'static>(prepare: P, ledger: Ledger, timer: Timer, now: UtcMillis, noted: bool) -> Ended {
    if !noted && let Err(error) = ledger.begin_computation(timer.object).await {
        return Ended { outcome: Some(Err(error)), noted: false };
    }
    let until = if timer.due <= now { now } else { UtcMillis::MIN };
    // In a task of its own a panic is an outcome.
    let mut alone = JoinSet::new();
    alone.spawn(async move { prepare.prepare_alone(timer, until, now).await });
    let outcome = alone.join_next().await.and_then(Result::ok);
    let noted = ledger.end_computation(timer.object).await.is_err();
    Ended { outcome, noted }
}

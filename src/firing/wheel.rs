//! The wheel: which object is due next, sleeping until then on the wall clock, and firing it. The outer wheel is the
//! ledger's index of timers; the inner one is in memory: what is due within the next seconds, with its notifications
//! already written ('precomputed'), so that the due second costs only the commit. What takes long to work out is worked
//! out in the background, and nothing waits for it. It knows neither iCalendar nor sinks: what an object fires is
//! worked out by its [`Prepare`].

use std::collections::HashSet;
use std::future::Future;

use jiff::SignedDuration;

use super::background::Background;
use super::precomputed::Precomputed;
use super::prepare::{Prepare, Prepared};
use super::startup_gate::StartupGate;
use super::timer::WallTimer;
use crate::ledger::{DueObject, LedgerError, LogOnce, Timer, TimerCursor, Unfinished};
use crate::pipeline::PipelineContext;
use crate::time::UtcMillis;

/// How long before it is due an object is precomputed.
const LEAD: SignedDuration = SignedDuration::from_secs(15);
/// Objects precomputed in one go; in between, what has become due is fired.
const PRECOMPUTE_BATCH: i64 = 500;
/// Objects fired in one transaction.
const BATCH: i64 = 2_500;
/// How long to wait when the ledger cannot be written.
const PAUSE: SignedDuration = SignedDuration::from_secs(1);

/// The result of one tick of the wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    /// Something was done, and there may be more to do.
    Again,
    /// Nothing is to be done before this instant; none: before something changes. What [`Wheel::background`] waits for
    /// may still be worked out.
    Sleep(Option<UtcMillis>),
}

/// The wheel.
#[derive(Debug)]
pub struct Wheel<P> {
    prepare: P,
    context: PipelineContext,
    startup_gate: StartupGate,
    /// What was due before this waits for the startup gate to open.
    started: UtcMillis,
    precomputed: Precomputed,
    /// How far precomputing has come: timers up to this one are precomputed or need not be.
    precomputed_upto: TimerCursor,
    /// Timers before that which could not be precomputed in their turn.
    postponed: Vec<Timer>,
    background: Background,
}

impl<P: Prepare + Clone + 'static> Wheel<P> {
    /// A wheel over the ledger of `context`, which fires nothing that is due before now until `startup_gate` opens.
    pub fn new(prepare: P, context: PipelineContext, startup_gate: StartupGate) -> Wheel<P> {
        let started = context.clock.now();
        Wheel {
            prepare,
            context,
            startup_gate,
            started,
            precomputed: Precomputed::default(),
            precomputed_upto: TimerCursor::START,
            postponed: Vec::new(),
            background: Background::default(),
        }
    }

    /// Runs until `stop` resolves.
    ///
    /// # Errors
    /// When the timer of the operating system cannot be had, or the ledger is damaged.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> std::io::Result<()> {
        let timer = WallTimer::new()?;
        let mut stop = std::pin::pin!(stop);
        self.set_failing_objects_aside().await;
        let mut log_once = LogOnce::default();
        loop {
            let tick = self.tick().await;
            if tick.is_ok() && log_once.is_over() {
                tracing::info!("alarms can be fired again");
            }
            let sleep = match tick {
                Ok(Tick::Again) => None,
                Ok(Tick::Sleep(until)) => Some(until),
                // What cannot be read will not be read the next time either.
                Err(error @ LedgerError::Corrupt(_)) => return Err(std::io::Error::other(error)),
                Err(error) => {
                    if log_once.is_news(&error) {
                        tracing::error!(ledger.error = %error, "alarms could not be fired; trying again every second");
                    }
                    Some(Some(self.context.clock.now().saturating_add(PAUSE)))
                }
            };
            let Some(until) = sleep else {
                // Others want to run, too; and a stop does not wait for a burst to end.
                tokio::select! {
                    biased;
                    () = &mut stop => break,
                    () = tokio::task::yield_now() => continue,
                }
            };
            tokio::select! {
                () = timer.until(until) => {}
                () = self.context.wakeup.woken() => {}
                () = self.background.ended() => {}
                () = &mut stop => break,
            }
        }
        if let Some(object) = self.background.running() {
            // It is left by a stop, and not by its own fault. What cannot be written now counts against it once.
            let _ = self.context.ledger.end_computation(object).await;
        }
        Ok(())
    }

    /// Sets aside the objects at which processes before this one ended, or lets them be the last. To be called before
    /// the first tick.
    pub async fn set_failing_objects_aside(&mut self) {
        match self.context.ledger.set_failing_objects_aside().await {
            Ok(Unfinished { last, set_aside }) => {
                last.into_iter().for_each(|object| self.background.put_last(object));
                for object in set_aside {
                    tracing::error!(
                        object.id = object,
                        "Reveille ended three times while it worked out the alarms of an object, which is set aside: it does not fire \
                         until it is changed; see 'reveille calendars --faults'"
                    );
                }
            }
            Err(error) => {
                tracing::warn!(ledger.error = %error, "it cannot be read at which objects Reveille ended before")
            }
        }
    }

    /// Does what is to be done now: fires what is due, or precomputes some of what soon will be.
    ///
    /// # Errors
    /// Those of the ledger; nothing is lost, the next tick tries again.
    pub async fn tick(&mut self) -> Result<Tick, LedgerError> {
        let now = self.context.clock.now();
        if let Some(due_object) = self.background.take(now)? {
            if due_object.timer.due <= now {
                self.commit(vec![self.prepare.stamp(due_object, now)], now).await?;
                return Ok(Tick::Again);
            }
            self.precomputed.put(due_object);
        }
        self.background.start(&self.prepare, &self.context.ledger, now, !self.precomputed.is_full(now));
        let from = if self.startup_gate.is_open() { UtcMillis::MIN } else { self.started };
        let due = self.due(from, now).await?;
        if !due.is_empty() {
            self.fire(due, now).await?;
            return Ok(Tick::Again);
        }
        // What is due by now is being worked out.
        let Some(next) = self.context.ledger.next_due(from.max(now.just_after())).await? else {
            return Ok(Tick::Sleep(None));
        };
        let horizon = next.saturating_sub(LEAD);
        if horizon > now {
            return Ok(Tick::Sleep(Some(horizon)));
        }
        if self.precompute(now).await? { Ok(Tick::Again) } else { Ok(Tick::Sleep(Some(next))) }
    }

    /// Waits until one more object has been worked out in the background, for the next tick; false when there is none.
    pub async fn background(&mut self) -> bool {
        if self.background.is_idle() {
            return false;
        }
        self.background.ended().await;
        true
    }

    /// Some of what is due at `now`, and not before `from`, the earliest first; not what is worked out in the
    /// background.
    async fn due(&self, from: UtcMillis, now: UtcMillis) -> Result<Vec<Timer>, LedgerError> {
        let mut cursor = TimerCursor { due: from, ..TimerCursor::START };
        loop {
            let mut due = self.context.ledger.due(cursor, now, BATCH).await?;
            let Some(last) = due.last().copied() else { return Ok(due) };
            due.retain(|timer| !self.background.has(timer));
            if !due.is_empty() {
                return Ok(due);
            }
            cursor = TimerCursor::after(&last);
        }
    }

    /// Fires `due`, which is not empty.
    async fn fire(&mut self, due: Vec<Timer>, now: UtcMillis) -> Result<(), LedgerError> {
        let (mut due_objects, mut rest) = (Vec::with_capacity(due.len()), Vec::new());
        for timer in due {
            match self.precomputed.take(&timer) {
                Some(due_object) => due_objects.push(self.prepare.stamp(due_object, now)),
                None => rest.push(timer),
            }
        }
        // What is ready does not wait for what is not.
        if !due_objects.is_empty() {
            self.commit(due_objects, now).await?;
        }
        if !rest.is_empty() {
            let Prepared { due_objects, long } = self.prepare.prepare(rest, now, now).await?;
            long.into_iter().for_each(|timer| self.background.put(timer));
            let (began, now) = (now, self.context.clock.now());
            if now < began {
                // The clock was set back: what it was ahead by is not due.
                return Ok(());
            }
            let due_objects = due_objects.into_iter().map(|due_object| self.prepare.stamp(due_object, now)).collect();
            self.commit(due_objects, now).await?;
        }
        Ok(())
    }

    /// Commits what `due_objects` fire, and what that owes.
    async fn commit(&self, due_objects: Vec<DueObject>, now: UtcMillis) -> Result<(), LedgerError> {
        if due_objects.is_empty() {
            return Ok(());
        }
        // What was overtaken by an edit is left out, and read again by the next tick.
        let outcome = self.context.ledger.fire(due_objects, now).await?;
        if outcome.stats.missed > 0 {
            let alarms = outcome.stats.missed;
            tracing::warn!(alarms, "alarms were found too late to fire; they are recorded as missed");
        }
        self.context.count_and_announce(outcome, now);
        Ok(())
    }

    /// Precomputes the next few of what is due within the lead. False when there is nothing left to precompute.
    async fn precompute(&mut self, now: UtcMillis) -> Result<bool, LedgerError> {
        // The clock may have been set back.
        let horizon = TimerCursor { due: now.saturating_add(LEAD), object: i64::MAX };
        self.precomputed_upto = self.precomputed_upto.clamp(TimerCursor { due: now, ..TimerCursor::START }, horizon);
        if self.precomputed.is_full(now) {
            return Ok(false);
        }
        let mut soon = std::mem::take(&mut self.postponed);
        soon.retain(|timer| timer.due > now);
        if soon.is_empty() {
            soon = self.context.ledger.due(self.precomputed_upto, now.saturating_add(LEAD), PRECOMPUTE_BATCH).await?;
            let Some(last) = soon.last() else { return Ok(false) };
            self.precomputed_upto = TimerCursor::after(last);
        }
        let Prepared { due_objects, long } = self.prepare.prepare(soon.clone(), UtcMillis::MIN, now).await?;
        if !due_objects.is_empty() {
            let done = due_objects
                .iter()
                .map(|due_object| due_object.timer.object)
                .chain(long.iter().map(|timer| timer.object));
            let precomputed: HashSet<i64> = done.collect();
            soon.retain(|timer| !precomputed.contains(&timer.object));
            self.postponed = soon;
        }
        due_objects.into_iter().for_each(|due_object| self.precomputed.put(due_object));
        long.into_iter().for_each(|timer| self.background.put(timer));
        Ok(true)
    }
}

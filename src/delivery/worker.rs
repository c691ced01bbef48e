//! The way out of the outbox, one for each sink: claim, send, settle. What is sent and not settled, because the program
//! died in between, is sent again under the same notificationId.

use std::collections::HashMap;
use std::future::Future;
use std::sync::PoisonError;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::{Mutex, watch};
use tracing::Instrument as _;

use super::gate::{Closure, FileStamps, Gate, GateState, LOG_EVERY};
use super::retry::{Attempt, decide};
use super::sink::any_sink::Sink;
use super::sink::{ClaimedDelivery, Finished, Outcome, Transport};
use crate::clock::Clock;
use crate::ledger::{Claims, DeliveryKey, Ledger, LedgerError, LogOnce, NextState, Settlement};
use crate::metrics::{AttemptOutcome, Metrics};
use crate::time::{UtcMillis, elapsed, non_negative};

/// What is still being sent, and the files that the sink used.
type InFlight = HashMap<DeliveryKey, (ClaimedDelivery, FileStamps)>;

/// How much longer than the sink's send timeout a lease lasts.
const SLACK: SignedDuration = SignedDuration::from_mins(1);
/// How long to wait when the ledger cannot be read or written.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest sleep before reading again which deliveries are to be tried later: the clock may have been set.
const LONGEST: SignedDuration = SignedDuration::from_mins(1);

/// The result of claiming, sending and settling one batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchResult {
    /// Delivered.
    pub delivered: usize,
    /// To be tried again.
    pub retry: usize,
    /// Given up.
    pub failed: usize,
    /// Still being sent.
    pub in_flight: usize,
}

impl BatchResult {
    /// Whether anything was there to be sent, and might be.
    pub fn any(self) -> bool {
        self != BatchResult::default()
    }
}

/// What follows from the outcomes of a batch.
struct Decided {
    result: BatchResult,
    settlements: Vec<Settlement>,
}

/// Claims, sends and settles what one sink is owed.
#[derive(Debug)]
pub struct DeliveryWorker<C = Sink> {
    sink: C,
    /// The sink's id in the ledger.
    id: i64,
    ledger: Ledger,
    clock: Clock,
    give_up_after: SignedDuration,
    metrics: Metrics,
    /// How attempts ended that could not be written down: a disk may be full.
    unsettled: Mutex<Vec<Settlement>>,
    in_flight: std::sync::Mutex<InFlight>,
    /// Whether the sink can be used at all.
    gate: std::sync::Mutex<Gate>,
    /// When it was last logged that alarms are tried again; none: none are, as far as the log says.
    last_logged: std::sync::Mutex<Option<UtcMillis>>,
}

impl<C: Transport> DeliveryWorker<C> {
    /// For `sink`, which the ledger knows as `id`. What cannot be delivered is given up `give_up_after` it was fired.
    pub fn new(sink: C, id: i64, ledger: Ledger, clock: Clock, give_up_after: Duration) -> DeliveryWorker<C> {
        DeliveryWorker {
            sink,
            id,
            ledger,
            clock,
            give_up_after: elapsed(give_up_after),
            metrics: Metrics::default(),
            unsettled: Mutex::default(),
            in_flight: std::sync::Mutex::default(),
            gate: std::sync::Mutex::default(),
            last_logged: std::sync::Mutex::default(),
        }
    }

    /// Counts in `metrics` rather than in counters of its own.
    pub fn with_metrics(self, metrics: Metrics) -> DeliveryWorker<C> {
        DeliveryWorker { metrics, ..self }
    }

    /// The sink.
    pub fn sink(&self) -> &C {
        &self.sink
    }

    /// Lets a sink that could not be used be tried now.
    pub fn hurry(&self) {
        self.gate().hurry();
    }

    /// Delivers until `stop` resolves, and then what is still owed and may be tried; `announced` changes when there is
    /// something new to deliver.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`]; any other error of the ledger may pass.
    pub async fn run(
        &self,
        mut announced: watch::Receiver<()>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), LedgerError> {
        let mut stop = std::pin::pin!(stop);
        let mut log_once = LogOnce::default();
        loop {
            let sink = self.sink.name();
            let wait = match self.send_ready().await {
                Ok(wait) => {
                    if log_once.is_over() {
                        tracing::info!(sink.name = sink, "deliveries can be recorded again");
                    }
                    wait
                }
                Err(error @ LedgerError::Corrupt(_)) => return Err(error),
                Err(error) => {
                    if log_once.is_news(&error) {
                        tracing::error!(sink.name = sink, ledger.error = %error, "deliveries could not be recorded; trying again every second");
                    }
                    Some(PAUSE)
                }
            };
            let wait = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = &mut stop => return self.drain().await,
                finished = self.sink.finished() => {
                    self.conclude(finished).await;
                }
                // An error says that nothing announces any more: the stop follows.
                Ok(()) = announced.changed() => {}
                () = wait => {}
            }
        }
    }

    /// Tries everything once more that may be tried now.
    async fn drain(&self) -> Result<(), LedgerError> {
        match self.send_all().await {
            Ok(_) => Ok(()),
            Err(error @ LedgerError::Corrupt(_)) => Err(error),
            Err(error) => {
                let sink = self.sink.name();
                tracing::error!(sink.name = sink, ledger.error = %error, "deliveries wait for the next start");
                Ok(())
            }
        }
    }

    /// Runs batches until nothing may be sent now and nothing is being sent, and returns the sum of their results.
    ///
    /// # Errors
    /// Those of the ledger, as for [`DeliveryWorker::run_batch`].
    pub async fn send_all(&self) -> Result<BatchResult, LedgerError> {
        let mut all = BatchResult::default();
        loop {
            let mut result = self.run_batch().await?;
            let is_last = !result.any();
            if is_last && self.in_flight().is_empty() {
                return Ok(all);
            }
            if is_last {
                let finished = self.sink.finished().await;
                result = self.conclude(finished).await;
            }
            all.delivered += result.delivered;
            all.retry += result.retry;
            all.failed += result.failed;
        }
    }

    /// Runs batches until nothing may be sent now, and returns how long until something may. None: nothing is owed.
    ///
    /// # Errors
    /// Those of the ledger, as for [`DeliveryWorker::run_batch`].
    pub async fn send_ready(&self) -> Result<Option<Duration>, LedgerError> {
        while self.run_batch().await?.any() {}
        if self.sink.batch() == 0 {
            return Ok(None);
        }
        let Some(next) = self.ledger.next_attempt(self.id).await? else {
            if lock(&self.last_logged).take().is_some() {
                tracing::info!(sink.name = self.sink.name(), "no alarm waits to be tried again any more");
            }
            return Ok(None);
        };
        let now = self.clock.now();
        let wait = non_negative(next.duration_since(now).clamp(SignedDuration::from_millis(1), LONGEST));
        Ok(Some(match self.gate().state(now, self.sink.files()) {
            GateState::Closed(shut) => wait.max(shut),
            GateState::Open | GateState::Trial => wait,
        }))
    }

    /// Claims a batch of what may be sent now, sends it, and settles it. Where the sink could not be used, one delivery
    /// tries it when that is due.
    ///
    /// # Errors
    /// Those of the ledger. What was sent and could not be settled is settled with the next batch, before anything
    /// else.
    pub async fn run_batch(&self) -> Result<BatchResult, LedgerError> {
        self.settle().await?;
        let (now, files) = (self.clock.now(), self.sink.files());
        let gate = self.gate().state(now, files);
        if matches!(gate, GateState::Closed(_)) || self.sink.batch() == 0 {
            return Ok(BatchResult::default());
        }
        let lease = now.saturating_add(elapsed(self.sink.send_timeout()).saturating_add(SLACK));
        let limit = i64::try_from(self.sink.batch()).unwrap_or(i64::MAX);
        let Claims { deliveries: claimed, given_up } = self.ledger.claim(self.id, now, lease, limit).await?;
        let given_up = usize::try_from(given_up).unwrap_or(usize::MAX);
        if given_up > 0 {
            self.metrics.given_up(self.sink.name(), given_up);
            tracing::error!(
                sink.name = self.sink.name(),
                alarms = given_up,
                "alarms were not delivered, for what is to be sent is damaged in the ledger; see 'reveille deliveries --failed'"
            );
        }
        if claimed.is_empty() {
            return Ok(BatchResult { failed: given_up, ..BatchResult::default() });
        }
        let deliveries = self.not_in_flight(claimed);
        let outcomes = match gate {
            GateState::Trial => self.try_one(&deliveries).await,
            GateState::Open | GateState::Closed(_) => self.send(&deliveries).await,
        };
        self.note(&outcomes, files);
        let in_flight = self.hold(&deliveries, &outcomes, files);
        if gate == GateState::Trial && in_flight > 0 {
            self.gate().postpone(self.clock.now(), files);
        }
        let result = self.finish(deliveries, outcomes).await;
        self.settle().await?;
        Ok(BatchResult { failed: result.failed.saturating_add(given_up), in_flight, ..result })
    }

    /// Notes what is still being sent, and says how much that is.
    fn hold(&self, deliveries: &[ClaimedDelivery], outcomes: &[Outcome], files: FileStamps) -> usize {
        let mut in_flight = self.in_flight();
        let mut count = 0;
        for (delivery, outcome) in deliveries.iter().zip(outcomes) {
            if *outcome == Outcome::InFlight {
                in_flight.insert(delivery.key(), (delivery.clone(), files));
                count += 1;
            }
        }
        count
    }

    /// Lets what was not tried be claimed again.
    async fn put_back(&self, deliveries: &[ClaimedDelivery], outcomes: &[Outcome]) {
        let not_attempted = deliveries.iter().zip(outcomes).filter(|(_, outcome)| **outcome == Outcome::NotAttempted);
        let not_attempted: Vec<DeliveryKey> = not_attempted.map(|(delivery, _)| delivery.key()).collect();
        if !not_attempted.is_empty() {
            self.ledger.unclaim(self.id, &not_attempted).await;
        }
    }

    /// Notes how what was being sent has ended; the next batch settles it.
    async fn conclude(&self, finished: Vec<Finished>) -> BatchResult {
        let (mut deliveries, mut outcomes) = (Vec::new(), Vec::new());
        for Finished { firing, recipient, outcome } in finished {
            let Some((delivery, files)) = self.in_flight().remove(&DeliveryKey { firing, recipient }) else { continue };
            self.note(std::slice::from_ref(&outcome), files);
            deliveries.push(delivery);
            outcomes.push(outcome);
        }
        self.finish(deliveries, outcomes).await
    }

    /// Lets what was not tried be claimed again, and notes what becomes of the rest; the next batch settles that.
    async fn finish(&self, deliveries: Vec<ClaimedDelivery>, outcomes: Vec<Outcome>) -> BatchResult {
        self.put_back(&deliveries, &outcomes).await;
        let Decided { result, settlements } = self.decide(deliveries, outcomes);
        self.report(result, &settlements);
        self.unsettled.lock().await.extend(settlements);
        result
    }

    /// What of `claimed` is not being sent already: a clock that was set ends leases, and what is being sent is not
    /// sent at the same time.
    fn not_in_flight(&self, mut claimed: Vec<ClaimedDelivery>) -> Vec<ClaimedDelivery> {
        let in_flight = self.in_flight();
        claimed.retain(|delivery| !in_flight.contains_key(&delivery.key()));
        claimed
    }

    async fn send(&self, deliveries: &[ClaimedDelivery]) -> Vec<Outcome> {
        let span = tracing::debug_span!("deliver", sink.name = self.sink.name(), deliveries = deliveries.len());
        self.sink.send(deliveries).instrument(span).await
    }

    /// Sends the first of `deliveries` that may be sent alone; the others are given back, but for those that have
    /// waited too long if it fails.
    async fn try_one(&self, deliveries: &[ClaimedDelivery]) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        // What is held says nothing about the sink.
        for delivery in deliveries {
            outcomes.extend(self.send(std::slice::from_ref(delivery)).await);
            if !matches!(outcomes.last(), Some(Outcome::Held { .. })) {
                break;
            }
        }
        let tried = outcomes.len();
        let down = outcomes.last().filter(|outcome| matches!(outcome, Outcome::Down { .. })).cloned();
        let now = self.clock.now();
        for delivery in deliveries.iter().skip(tried) {
            let is_over = now >= delivery.fired_at.saturating_add(self.give_up_after);
            match &down {
                Some(down) if is_over => outcomes.push(down.clone()),
                _ => outcomes.push(Outcome::NotAttempted),
            }
        }
        outcomes
    }

    /// Notes what `outcomes` say of the sink, which has used `files`.
    fn note(&self, outcomes: &[Outcome], files: FileStamps) {
        let (sink, now) = (self.sink.name(), self.clock.now());
        let down = outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Down { response, closure } => Some((nameless(response), *closure)),
            _ => None,
        });
        let says_nothing = |outcome: &Outcome| {
            matches!(outcome, Outcome::Down { .. } | Outcome::NotAttempted | Outcome::Held { .. } | Outcome::InFlight)
        };
        let through = !outcomes.iter().all(says_nothing);
        let mut gate = self.gate();
        let Some((response, closure)) = down else {
            if through && gate.open() {
                tracing::info!(sink.name = sink, "alarms can be delivered again");
            }
            return;
        };
        if through {
            gate.open();
        }
        if !gate.close(now, closure, files) {
            return;
        }
        match closure {
            Closure::Down => tracing::warn!(
                sink.name = sink,
                delivery.response = response,
                "nothing can be delivered now; alarms wait, and it is tried every few seconds"
            ),
            Closure::Settings => tracing::error!(
                sink.name = sink,
                delivery.response = response,
                "nothing can be delivered now: what the settings say is not accepted, or cannot be used; alarms wait. Correct them and restart \
                 Reveille; another secret or file is tried at once, and all of it from time to time, or at 'reveille sync'"
            ),
        }
    }

    fn in_flight(&self) -> std::sync::MutexGuard<'_, InFlight> {
        lock(&self.in_flight)
    }

    fn gate(&self) -> std::sync::MutexGuard<'_, Gate> {
        lock(&self.gate)
    }

    /// Whether it is to be logged now that alarms are tried again: when that begins, and once an hour.
    fn is_to_be_logged(&self) -> bool {
        let now = self.clock.now();
        let mut last_logged = lock(&self.last_logged);
        let is_news = last_logged.is_none_or(|last_logged| !now.is_within(LOG_EVERY, last_logged));
        if is_news {
            *last_logged = Some(now);
        }
        is_news
    }

    fn decide(&self, deliveries: Vec<ClaimedDelivery>, outcomes: Vec<Outcome>) -> Decided {
        let now = self.clock.now();
        let mut result = BatchResult::default();
        let settlement = |(delivery, outcome): (ClaimedDelivery, Outcome)| {
            let number = delivery.attempts.saturating_add(1);
            let seed = delivery.firing.unsigned_abs();
            let attempt = Attempt { number, unknown: delivery.unknown, fired: delivery.fired_at, now, seed };
            let unknown = matches!(outcome, Outcome::Unknown { .. });
            let tried = !matches!(outcome, Outcome::Held { .. } | Outcome::Down { .. });
            let next_state = decide(attempt, outcome, self.give_up_after)?;
            match &next_state {
                NextState::Delivered => {
                    result.delivered += 1;
                    // One that goes to an address, which the log does not name.
                    if !delivery.recipient.is_empty() {
                        let id = format!("{}/{}", delivery.firing, self.sink.name());
                        tracing::info!(delivery.id = id, "a mail was sent");
                    }
                }
                NextState::Retry { response, at } => {
                    result.retry += 1;
                    tracing::debug!(sink.name = self.sink.name(), delivery.firing = delivery.firing, delivery.response = %response,
                        delivery.next_attempt = %at, "an alarm could not be delivered");
                }
                // Logged once, for all.
                NextState::Waits { .. } => result.retry += 1,
                NextState::Failed { response } => {
                    result.failed += 1;
                    tracing::debug!(sink.name = self.sink.name(), delivery.firing = delivery.firing, delivery.response = %response,
                        "an alarm will not be delivered");
                }
            }
            Some(Settlement { firing: delivery.firing, recipient: delivery.recipient, next_state, unknown, tried })
        };
        let settlements = deliveries.into_iter().zip(outcomes).filter_map(settlement).collect();
        Decided { result, settlements }
    }

    /// Settles what was sent and is not settled yet. While that cannot be written nothing more is sent: it could not be
    /// written either, and what is not settled is sent again.
    async fn settle(&self) -> Result<(), LedgerError> {
        let mut unsettled = self.unsettled.lock().await;
        if !unsettled.is_empty() {
            self.ledger.settle(self.id, unsettled.clone(), self.clock.now()).await?;
            self.count(&unsettled);
            unsettled.clear();
        }
        Ok(())
    }

    /// Counts attempts whose outcome has been recorded; not those that only wait for a sink that cannot be used.
    fn count(&self, settlements: &[Settlement]) {
        let sink = self.sink.name();
        for settlement in settlements.iter().filter(|settlement| settlement.tried) {
            let outcome = match settlement.next_state {
                NextState::Delivered => AttemptOutcome::Delivered,
                NextState::Retry { .. } if settlement.unknown => AttemptOutcome::Unknown,
                NextState::Retry { .. } => AttemptOutcome::Retried,
                NextState::Failed { .. } => AttemptOutcome::Failed,
                NextState::Waits { .. } => continue,
            };
            self.metrics.attempt(sink, outcome);
        }
    }

    fn report(&self, result: BatchResult, settlements: &[Settlement]) {
        let sink = self.sink.name();
        let first = |wanted: fn(&NextState) -> Option<&String>| {
            settlements.iter().find_map(|settlement| wanted(&settlement.next_state)).map(|response| nameless(response))
        };
        let unknown = settlements.iter().filter(|settlement| settlement.unknown).count();
        if unknown > 0 && self.is_to_be_logged() {
            tracing::warn!(
                sink.name = sink,
                alarms = unknown,
                delivery.response = first(|next_state| match next_state {
                    NextState::Retry { response, .. } | NextState::Failed { response } => Some(response),
                    NextState::Delivered | NextState::Waits { .. } => None,
                }),
                "alarms may have been delivered, or not: they were not confirmed; those that are not too old are sent again after a \
                 while; see 'reveille deliveries --unknown'"
            );
        }
        let later = |one: &&Settlement| matches!(one.next_state, NextState::Retry { .. }) && !one.unknown;
        let later = settlements.iter().filter(later).count();
        if later > 0 && self.is_to_be_logged() {
            let response =
                first(
                    |next_state| if let NextState::Retry { response, .. } = next_state { Some(response) } else { None },
                );
            tracing::warn!(
                sink.name = sink,
                alarms = later,
                delivery.response = response,
                "alarms could not be delivered and are tried again; see 'reveille deliveries --pending'"
            );
        }
        if result.failed > 0 {
            let response =
                first(|next_state| if let NextState::Failed { response } = next_state { Some(response) } else { None });
            tracing::error!(
                sink.name = sink,
                alarms = result.failed,
                delivery.response = response,
                "alarms were not delivered; see 'reveille deliveries --failed'"
            );
        }
        if result.delivered > 0 {
            tracing::debug!(sink.name = sink, alarms = result.delivered, "delivered");
        }
    }
}

fn lock<T>(of: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An answer for the log, where no addresses belong; the ledger has it whole.
fn nameless(response: &str) -> String {
    let words: Vec<&str> =
        response.split(' ').map(|word| if word.contains('@') { "(an address)" } else { word }).collect();
    words.join(" ")
}

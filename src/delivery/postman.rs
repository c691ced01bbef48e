//! The way out of the outbox, one for each sink: claim, send, settle. What is sent and not settled, because the program
//! died in between, is sent again under the same notificationId.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, Notify};

use super::gate::{Closure, Files, Gate, Pass, TELL_EVERY};
use super::retry::{Attempt, judge};
use super::sink::{Carrier, Finished, Outcome, Parcel, Sink};
use crate::clock::Clock;
use crate::ledger::{Claimed, Claims, Ledger, LedgerError, Settlement, Trouble, Verdict};
use crate::time::UtcMillis;

/// What is still being sent: when it was fired, and the files that the sink used.
type InFlight = HashMap<(i64, String), (Parcel, UtcMillis, Files)>;

/// How much longer than the sink's patience a lease lasts.
const SLACK: Duration = Duration::from_secs(60);
/// How long to wait when the ledger cannot be read or written.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest sleep before looking again at deliveries that are to be tried later: the clock may have been set.
const LONGEST: i64 = 60_000;

/// What one round of claiming, sending and settling came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    pub delivered: usize,
    /// To be tried again.
    pub later: usize,
    /// Given up.
    pub failed: usize,
    /// Still being sent.
    pub in_flight: usize,
}

impl Round {
    /// Whether anything was there to be sent, and might be.
    pub fn any(self) -> bool {
        self != Round::default()
    }
}

/// Carries what one sink is owed.
#[derive(Debug)]
pub struct Postman<C = Sink> {
    sink: C,
    /// The sink's id in the ledger.
    id: i64,
    ledger: Ledger,
    clock: Clock,
    give_up_after: Duration,
    /// How attempts ended that could not be written down: a disk may be full.
    unsettled: Mutex<Vec<Settlement>>,
    in_flight: std::sync::Mutex<InFlight>,
    /// Whether the sink can be used at all.
    gate: std::sync::Mutex<Gate>,
    /// When it was told last that alarms are tried again; none: none are, as far as was told.
    told: std::sync::Mutex<Option<UtcMillis>>,
}

impl<C: Carrier> Postman<C> {
    /// For `sink`, which the ledger knows as `id`. What cannot be delivered is given up `give_up_after` it was fired.
    pub fn new(sink: C, id: i64, ledger: Ledger, clock: Clock, give_up_after: Duration) -> Postman<C> {
        Postman {
            sink,
            id,
            ledger,
            clock,
            give_up_after,
            unsettled: Mutex::default(),
            in_flight: std::sync::Mutex::default(),
            gate: std::sync::Mutex::default(),
            told: std::sync::Mutex::default(),
        }
    }

    /// The sink.
    pub fn sink(&self) -> &C {
        &self.sink
    }

    /// Lets a sink that could not be used be tried now.
    pub fn hurry(&self) {
        self.gate().hurry();
    }

    /// Delivers until `stop` resolves, and then what is still owed and may be tried; `bell` rings when something was fired.
    ///
    /// # Errors
    /// [`LedgerError::Damaged`]; any other error of the ledger may pass.
    pub async fn run(&self, bell: Arc<Notify>, stop: impl Future<Output = ()>) -> Result<(), LedgerError> {
        let mut stop = std::pin::pin!(stop);
        let mut trouble = Trouble::default();
        loop {
            let sink = self.sink.name();
            let wait = match self.turn().await {
                Ok(wait) => {
                    if trouble.is_over() {
                        tracing::info!(sink.name = sink, "deliveries can be recorded again");
                    }
                    wait
                }
                Err(error @ LedgerError::Damaged(_)) => return Err(error),
                Err(error) => {
                    if trouble.is_news(&error) {
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
                () = &mut stop => return self.rest().await,
                finished = self.sink.finished() => {
                    self.conclude(finished).await;
                }
                () = bell.notified() => {}
                () = wait => {}
            }
        }
    }

    /// Tries everything once more that may be tried now.
    async fn rest(&self) -> Result<(), LedgerError> {
        match self.all().await {
            Ok(_) => Ok(()),
            Err(error @ LedgerError::Damaged(_)) => Err(error),
            Err(error) => {
                let sink = self.sink.name();
                tracing::error!(sink.name = sink, ledger.error = %error, "deliveries wait for the next start");
                Ok(())
            }
        }
    }

    /// Rounds until nothing may be sent now and nothing is being sent; what they came to.
    ///
    /// # Errors
    /// Those of the ledger, as for [`Postman::round`].
    pub async fn all(&self) -> Result<Round, LedgerError> {
        let mut all = Round::default();
        loop {
            let mut round = self.round().await?;
            let is_last = !round.any();
            if is_last && self.in_flight().is_empty() {
                return Ok(all);
            }
            if is_last {
                let finished = self.sink.finished().await;
                round = self.conclude(finished).await;
            }
            all.delivered += round.delivered;
            all.later += round.later;
            all.failed += round.failed;
        }
    }

    /// Rounds until nothing may be sent now; then, how long until something may. None: nothing is owed.
    ///
    /// # Errors
    /// Those of the ledger, as for [`Postman::round`].
    pub async fn turn(&self) -> Result<Option<Duration>, LedgerError> {
        while self.round().await?.any() {}
        if self.sink.batch() == 0 {
            return Ok(None);
        }
        let Some(next) = self.ledger.next_attempt(self.id).await? else {
            if lock(&self.told).take().is_some() {
                tracing::info!(sink.name = self.sink.name(), "no alarm waits to be tried again any more");
            }
            return Ok(None);
        };
        let now = self.clock.now();
        let wait = Duration::from_millis(next.0.saturating_sub(now.0).clamp(1, LONGEST).unsigned_abs());
        Ok(Some(match self.gate().pass(now, self.sink.files()) {
            Pass::Nobody(shut) => wait.max(shut),
            Pass::All | Pass::One => wait,
        }))
    }

    /// Claims a batch of what may be sent now, sends it, and settles it. Where the sink could not be used, one delivery tries it
    /// when that is due.
    ///
    /// # Errors
    /// Those of the ledger. What was sent and could not be settled is settled by the next round, before anything else.
    pub async fn round(&self) -> Result<Round, LedgerError> {
        self.settle().await?;
        let (now, files) = (self.clock.now(), self.sink.files());
        let pass = self.gate().pass(now, files);
        if matches!(pass, Pass::Nobody(_)) || self.sink.batch() == 0 {
            return Ok(Round::default());
        }
        let lease = now.plus(millis(self.sink.patience().saturating_add(SLACK)));
        let limit = i64::try_from(self.sink.batch()).unwrap_or(i64::MAX);
        let Claims { deliveries, given_up } = self.ledger.claim(self.id, now, lease, limit).await?;
        let given_up = usize::try_from(given_up).unwrap_or(usize::MAX);
        if given_up > 0 {
            tracing::error!(
                sink.name = self.sink.name(),
                alarms = given_up,
                "alarms were not delivered, for what is to be sent is damaged in the ledger; see 'reveille deliveries --failed'"
            );
        }
        if deliveries.is_empty() {
            return Ok(Round { failed: given_up, ..Round::default() });
        }
        let mut fired = Vec::with_capacity(deliveries.len());
        let mut parcels = Vec::with_capacity(deliveries.len());
        for Claimed { ring, recipient, attempts, unknown, fired_at, notification } in deliveries {
            // A clock that was set ends leases; what is being sent is not sent beside it.
            if self.in_flight().contains_key(&(ring, recipient.clone())) {
                continue;
            }
            fired.push(fired_at);
            let count = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
            let (attempts, unknown) = (count(attempts), count(unknown));
            parcels.push(Parcel { ring, recipient, json: notification, attempts, unknown });
        }
        let outcomes = match pass {
            Pass::One => self.try_one(&parcels, &fired).await,
            Pass::All | Pass::Nobody(_) => self.sink.send(&parcels).await,
        };
        self.note(&outcomes, files);
        let in_flight = self.hold(&parcels, &fired, &outcomes, files);
        if pass == Pass::One && in_flight > 0 {
            self.gate().postpone(self.clock.now(), files);
        }
        self.put_back(&parcels, &outcomes).await;
        let (round, settlements) = self.judge(parcels, &fired, outcomes);
        self.report(round, &settlements);
        self.unsettled.lock().await.extend(settlements);
        self.settle().await?;
        Ok(Round { failed: round.failed.saturating_add(given_up), in_flight, ..round })
    }

    /// Notes what is still being sent, and says how much that is.
    fn hold(&self, parcels: &[Parcel], fired: &[UtcMillis], outcomes: &[Outcome], files: Files) -> usize {
        let mut in_flight = self.in_flight();
        let mut count = 0;
        for ((parcel, fired), outcome) in parcels.iter().zip(fired).zip(outcomes) {
            if *outcome == Outcome::InFlight {
                in_flight.insert((parcel.ring, parcel.recipient.clone()), (parcel.clone(), *fired, files));
                count += 1;
            }
        }
        count
    }

    /// Lets what was not tried be claimed again.
    async fn put_back(&self, parcels: &[Parcel], outcomes: &[Outcome]) {
        let untried = parcels.iter().zip(outcomes).filter(|(_, outcome)| **outcome == Outcome::Untried);
        let untried: Vec<_> = untried.map(|(parcel, _)| (parcel.ring, parcel.recipient.clone())).collect();
        if !untried.is_empty() {
            self.ledger.unclaim(self.id, &untried).await;
        }
    }

    /// Notes how what was being sent has ended; the next round settles it.
    async fn conclude(&self, finished: Vec<Finished>) -> Round {
        let (mut parcels, mut fired, mut outcomes) = (Vec::new(), Vec::new(), Vec::new());
        for Finished { ring, recipient, outcome } in finished {
            let Some((parcel, fired_at, files)) = self.in_flight().remove(&(ring, recipient)) else { continue };
            self.note(std::slice::from_ref(&outcome), files);
            parcels.push(parcel);
            fired.push(fired_at);
            outcomes.push(outcome);
        }
        self.put_back(&parcels, &outcomes).await;
        let (round, settlements) = self.judge(parcels, &fired, outcomes);
        self.report(round, &settlements);
        self.unsettled.lock().await.extend(settlements);
        round
    }

    /// Sends the first of `parcels` that may be sent alone; the others are given back, but for those that have waited too long if it is in vain.
    async fn try_one(&self, parcels: &[Parcel], fired: &[UtcMillis]) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        // What is held tells nothing of the sink.
        for parcel in parcels {
            outcomes.extend(self.sink.send(std::slice::from_ref(parcel)).await);
            if !matches!(outcomes.last(), Some(Outcome::Held { .. })) {
                break;
            }
        }
        let tried = outcomes.len();
        let down = outcomes.last().filter(|outcome| matches!(outcome, Outcome::Down { .. })).cloned();
        let now = self.clock.now();
        for fired in fired.iter().skip(tried) {
            let is_over = now >= fired.plus(millis(self.give_up_after));
            match &down {
                Some(down) if is_over => outcomes.push(down.clone()),
                _ => outcomes.push(Outcome::Untried),
            }
        }
        outcomes
    }

    /// Notes what `outcomes` say of the sink, which has used `files`.
    fn note(&self, outcomes: &[Outcome], files: Files) {
        let (sink, now) = (self.sink.name(), self.clock.now());
        let down = outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Down { answer, closure } => Some((nameless(answer), *closure)),
            _ => None,
        });
        let says_nothing = |outcome: &Outcome| {
            matches!(outcome, Outcome::Down { .. } | Outcome::Untried | Outcome::Held { .. } | Outcome::InFlight)
        };
        let through = !outcomes.iter().all(says_nothing);
        let mut gate = self.gate();
        let Some((answer, closure)) = down else {
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
                delivery.answer = answer,
                "nothing can be delivered now; alarms wait, and it is tried every few seconds"
            ),
            Closure::Settings => tracing::error!(
                sink.name = sink,
                delivery.answer = answer,
                "nothing can be delivered now: what the settings say is not accepted, or cannot be used; alarms wait. Mend it and start \
                 Reveille anew; another secret or file is tried at once, and all of it now and then, or at 'reveille sync'"
            ),
        }
    }

    fn in_flight(&self) -> std::sync::MutexGuard<'_, InFlight> {
        lock(&self.in_flight)
    }

    fn gate(&self) -> std::sync::MutexGuard<'_, Gate> {
        lock(&self.gate)
    }

    /// Whether it is to be told now that alarms are tried again: when that begins, and once an hour.
    fn is_to_be_told(&self) -> bool {
        let now = self.clock.now();
        let mut told = lock(&self.told);
        let is_news = told.is_none_or(|told| !(0..TELL_EVERY).contains(&now.0.saturating_sub(told.0)));
        if is_news {
            *told = Some(now);
        }
        is_news
    }

    fn judge(&self, parcels: Vec<Parcel>, fired: &[UtcMillis], outcomes: Vec<Outcome>) -> (Round, Vec<Settlement>) {
        let now = self.clock.now();
        let mut round = Round::default();
        let settlement = |((parcel, fired), outcome): ((Parcel, &UtcMillis), Outcome)| {
            let number = parcel.attempts.saturating_add(1);
            let seed = parcel.ring.unsigned_abs();
            let attempt = Attempt { number, unknown: parcel.unknown, fired: *fired, now, seed };
            let unknown = matches!(outcome, Outcome::Unknown { .. });
            let verdict = judge(attempt, outcome, self.give_up_after)?;
            match &verdict {
                Verdict::Delivered => {
                    round.delivered += 1;
                    // One that goes to an address, which the log does not name.
                    if !parcel.recipient.is_empty() {
                        let id = format!("{}/{}", parcel.ring, self.sink.name());
                        tracing::info!(delivery.id = id, "a mail was sent");
                    }
                }
                Verdict::Later { answer, at } => {
                    round.later += 1;
                    tracing::debug!(sink.name = self.sink.name(), delivery.ring = parcel.ring, delivery.answer = %answer,
                        delivery.next_attempt = %at, "an alarm could not be delivered");
                }
                // Told once, of all.
                Verdict::Waits { .. } => round.later += 1,
                Verdict::Failed { answer } => {
                    round.failed += 1;
                    tracing::debug!(sink.name = self.sink.name(), delivery.ring = parcel.ring, delivery.answer = %answer,
                        "an alarm will not be delivered");
                }
            }
            Some(Settlement { ring: parcel.ring, recipient: parcel.recipient, verdict, unknown })
        };
        let settlements = parcels.into_iter().zip(fired).zip(outcomes).filter_map(settlement).collect();
        (round, settlements)
    }

    /// Settles what was sent and is not settled yet. While that cannot be written nothing more is sent: it could not be
    /// written either, and what is not settled is sent again.
    async fn settle(&self) -> Result<(), LedgerError> {
        let mut unsettled = self.unsettled.lock().await;
        if !unsettled.is_empty() {
            self.ledger.settle(self.id, unsettled.clone(), self.clock.now()).await?;
            unsettled.clear();
        }
        Ok(())
    }

    fn report(&self, round: Round, settlements: &[Settlement]) {
        let sink = self.sink.name();
        let first = |wanted: fn(&Verdict) -> Option<&String>| {
            settlements.iter().find_map(|settlement| wanted(&settlement.verdict)).map(|answer| nameless(answer))
        };
        let unknown = settlements.iter().filter(|settlement| settlement.unknown).count();
        if unknown > 0 && self.is_to_be_told() {
            tracing::warn!(
                sink.name = sink,
                alarms = unknown,
                delivery.answer = first(|verdict| match verdict {
                    Verdict::Later { answer, .. } | Verdict::Failed { answer } => Some(answer),
                    Verdict::Delivered | Verdict::Waits { .. } => None,
                }),
                "alarms may have been delivered, or not: nobody confirmed them; those that are not too old are sent again after a \
                 while; see 'reveille deliveries --unknown'"
            );
        }
        let later = |one: &&Settlement| matches!(one.verdict, Verdict::Later { .. }) && !one.unknown;
        let later = settlements.iter().filter(later).count();
        if later > 0 && self.is_to_be_told() {
            let answer = first(|verdict| if let Verdict::Later { answer, .. } = verdict { Some(answer) } else { None });
            tracing::warn!(
                sink.name = sink,
                alarms = later,
                delivery.answer = answer,
                "alarms could not be delivered and are tried again; see 'reveille deliveries --pending'"
            );
        }
        if round.failed > 0 {
            let answer = first(|verdict| if let Verdict::Failed { answer } = verdict { Some(answer) } else { None });
            tracing::error!(
                sink.name = sink,
                alarms = round.failed,
                delivery.answer = answer,
                "alarms were not delivered; see 'reveille deliveries --failed'"
            );
        }
        tracing::debug!(sink.name = sink, alarms = round.delivered, "delivered");
    }
}

fn lock<T>(of: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An answer for the log, where no addresses belong; the ledger has it whole.
fn nameless(answer: &str) -> String {
    let words: Vec<&str> =
        answer.split(' ').map(|word| if word.contains('@') { "(an address)" } else { word }).collect();
    words.join(" ")
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

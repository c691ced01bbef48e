//! Forgetting old history while nothing fires: small batches, each of which steps back for what is due.

use std::future::Future;
use std::time::Duration;

use jiff::SignedDuration;

use crate::clock::Clock;
use crate::config::Config;
use crate::ledger::{Forgotten, HistoryCursor, Ledger, LedgerError};
use crate::time::{UtcMillis, elapsed};

/// How long after the start the history is pruned first: when everything else has been done.
const FIRST: Duration = Duration::from_secs(10 * 60);
/// And how often after that.
const EVERY: Duration = Duration::from_secs(60 * 60);
/// Firings in one transaction.
const BATCH: i64 = 100;
/// From one batch to the next.
const PAUSE: Duration = Duration::from_millis(20);
/// Nothing is forgotten when an alarm is due within this.
const QUIET: SignedDuration = SignedDuration::from_millis(500);
/// How often in a row a batch steps back: a ledger where alarms fire all the time must not grow for ever.
const STEPS_BACK: u32 = 50;
/// Batches of a single pass (`run --once`).
const PASS: usize = 1_000;
/// Further than alarms can be late, history is kept this long at least.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// A clock that is this much further than at the last pass has jumped, or was not read meanwhile.
const JUMP: SignedDuration = SignedDuration::from_hours(2 * 24);
/// Nothing is forgotten before such a clock has been right for so long: a machine may start in the year 2099 until it
/// hears of the right time.
const HELD: SignedDuration = SignedDuration::from_hours(1);
/// Under this key the ledger remembers since when the clock has not jumped, and what it showed last: UTC milliseconds.
const CLOCK: &str = "clock_held";

/// Deletes old history.
#[derive(Debug)]
pub struct HistoryPruner {
    ledger: Ledger,
    clock: Clock,
    keep: SignedDuration,
    steps_back: u32,
}

impl HistoryPruner {
    /// For `ledger`, which keeps its history as long as `config` says.
    pub fn new(config: &Config, ledger: Ledger, clock: Clock) -> HistoryPruner {
        let keep = elapsed(config.keep_history).max(elapsed(config.defaults.max_lateness).saturating_add(DAY));
        HistoryPruner { ledger, clock, keep, steps_back: 0 }
    }

    /// Forgets what is old, now and then, until `stop` resolves.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let work = async {
            tokio::time::sleep(FIRST).await;
            loop {
                if let Err(error) = self.sweep(usize::MAX).await {
                    tracing::warn!(ledger.error = %error, "old history could not be forgotten; trying again in an hour");
                }
                tokio::time::sleep(EVERY).await;
            }
        };
        tokio::select! {
            () = work => {}
            () = stop => {}
        }
    }

    /// Forgets what is old, in one pass that ends soon.
    ///
    /// # Errors
    /// Those of the ledger.
    pub async fn pass(mut self) -> Result<(), LedgerError> {
        self.sweep(PASS).await
    }

    async fn sweep(&mut self, batches: usize) -> Result<(), LedgerError> {
        if !self.is_clock_trusted().await? {
            return Ok(());
        }
        let before = self.clock.now().saturating_sub(self.keep);
        let (mut cursor, mut forgotten, mut left) = (Some(HistoryCursor::START), 0, batches);
        while let Some(from) = cursor.filter(|_| left > 0) {
            if self.steps_back().await? {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            let Forgotten { firings, next } = self.ledger.forget(before, from, BATCH).await?;
            (forgotten, cursor, left) = (forgotten + firings, next, left - 1);
            if cursor.is_some() {
                tokio::time::sleep(PAUSE).await;
            }
        }
        if forgotten > 0 {
            tracing::info!(firings = forgotten, before = %before, "old history was forgotten");
        }
        Ok(())
    }

    /// Whether the clock has shown for long enough what it shows: what is forgotten does not come back.
    async fn is_clock_trusted(&self) -> Result<bool, LedgerError> {
        let now = self.clock.now();
        let said = self.ledger.meta(CLOCK).await?.unwrap_or_default();
        let instant = |millis: &str| millis.parse().ok().map(UtcMillis);
        let known = said.split_once(' ').and_then(|(since, last)| instant(since).zip(instant(last)));
        let since = match known {
            // It has not jumped in between.
            Some((since, last)) if now.is_within(JUMP, last) => since,
            _ => now,
        };
        self.ledger.set_meta(CLOCK, &format!("{} {}", since.0, now.0)).await?;
        Ok(now.duration_since(since) >= HELD)
    }

    /// Whether something is about to fire, for which the next batch waits.
    async fn steps_back(&mut self) -> Result<bool, LedgerError> {
        let soon = self.clock.now().saturating_add(QUIET);
        let fires_soon = self.ledger.next_due(UtcMillis::MIN).await?.is_some_and(|due| due <= soon);
        self.steps_back = if fires_soon && self.steps_back < STEPS_BACK { self.steps_back + 1 } else { 0 };
        Ok(self.steps_back > 0)
    }
}

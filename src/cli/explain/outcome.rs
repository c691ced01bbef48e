//! What became, or will become, of an alarm at an instant: what the ledger has recorded of it, else why it has no
//! record (rules 21 to 24). Only a record can say that an alarm fired; that it was due is computed.

use jiff::SignedDuration;

use super::recorded::{self, Recorded};
use crate::cli::common::state_word;
use crate::config::Config;
use crate::ledger::{FiringRow, FiringState, Inspector, LedgerError, ObjectRow};
use crate::time::{UtcMillis, elapsed};

/// What became of an alarm.
#[derive(Debug)]
pub(super) struct InstanceOutcome {
    /// The state that is recorded (`fired`, `missed`, `suppressed`), else `armed`, `overdue`,
    /// `beforeFirstSeen`, `beforeWritten`, `forgotten`, `notRecorded` or `notArmed`.
    pub(super) state: String,
    pub(super) sentence: String,
    pub(super) recorded: Option<Recorded>,
}

impl InstanceOutcome {
    /// That of an alarm that has no record of its own.
    fn unrecorded(state: &str, sentence: impl Into<String>) -> InstanceOutcome {
        InstanceOutcome { state: state.to_owned(), sentence: sentence.into(), recorded: None }
    }
}

/// What the outcomes of the alarms of one object depend on.
#[derive(Debug)]
pub(super) struct Ledgered<'a> {
    row: &'a ObjectRow,
    now: UtcMillis,
    max_lateness: SignedDuration,
    absent_grace: SignedDuration,
    /// Firings that were due before this are no longer in the history, or need not be.
    forgotten_before: UtcMillis,
    /// Until when everything counts as fired, if a backup was restored.
    fired_until: Option<UtcMillis>,
}

impl<'a> Ledgered<'a> {
    /// For the object `row`, at `now`.
    pub(super) async fn new(
        inspector: &mut Inspector,
        row: &'a ObjectRow,
        config: &Config,
        now: UtcMillis,
    ) -> Result<Ledgered<'a>, LedgerError> {
        let kept_since = now.saturating_sub(elapsed(config.keep_history));
        let forgotten = inspector.forgotten_before().await?.unwrap_or(UtcMillis::MIN);
        Ok(Ledgered {
            row,
            now,
            max_lateness: elapsed(config.defaults.max_lateness),
            absent_grace: elapsed(config.defaults.absent_grace),
            forgotten_before: forgotten.max(kept_since),
            fired_until: inspector.fired_until().await?,
        })
    }

    /// What became of the alarm that has this identity and is due at `at`; it has none where it is one too many in its
    /// hour.
    pub(super) async fn outcome(
        &self,
        inspector: &mut Inspector,
        at: UtcMillis,
        identity: Option<[u8; 16]>,
    ) -> Result<InstanceOutcome, LedgerError> {
        if let Some(identity) = identity
            && let Some(outcome) = self.recorded(inspector, identity).await?
        {
            return Ok(outcome);
        }
        let counted = if at < self.now { inspector.firing_counting(self.row.id, at).await? } else { None };
        let outcome = self.of_no_record(at, counted.as_ref());
        Ok(match (outcome.state.as_str(), identity) {
            ("armed" | "notRecorded", None) => {
                InstanceOutcome::unrecorded("suppressed", "suppressed, as one too many in its hour; no record of it")
            }
            _ => outcome,
        })
    }

    /// What the ledger has recorded of the alarm that has this identity, if anything.
    pub(super) async fn recorded(
        &self,
        inspector: &mut Inspector,
        identity: [u8; 16],
    ) -> Result<Option<InstanceOutcome>, LedgerError> {
        let recorded = recorded::of_identity(inspector, identity).await?;
        Ok(recorded.map(|recorded| {
            let (state, sentence) = (state_word(recorded.state), self.of_record(&recorded));
            InstanceOutcome { state, sentence, recorded: Some(recorded) }
        }))
    }

    fn of_record(&self, recorded: &Recorded) -> String {
        let Recorded { firing, state, fired_at, lateness, .. } = recorded;
        let by = if recorded.object == self.row.id { "" } else { ", by another object of the same UID" };
        match (state, self.fired_until) {
            (Some(FiringState::Fired), _) => format!("fired at {fired_at} (firing {firing}{by})"),
            (Some(FiringState::Missed), Some(until)) if *lateness <= self.max_lateness => format!(
                "did not fire: recorded as missed at {fired_at} (firing {firing}{by}), because the ledger is a restored \
                 backup, and what was due until {until} counts as fired"
            ),
            (Some(FiringState::Missed), _) => format!(
                "did not fire: recorded as missed at {fired_at} (firing {firing}{by}), when it was later than max_lateness"
            ),
            (state, _) => {
                format!("did not fire: recorded as {} at {fired_at} (firing {firing}{by})", state_word(*state))
            }
        }
    }

    /// That it is still to come, and what may keep it from that.
    fn armed(&self) -> String {
        match self.row.calendar.absent {
            None => "armed".to_owned(),
            Some(absent) => format!(
                "armed; its calendar has not been found since {}, and is dropped at {} unless it is found",
                absent.since,
                absent.ends_at(self.absent_grace)
            ),
        }
    }

    /// The outcome of an alarm at `at` that has no row of its own in the history.
    fn of_no_record(&self, at: UtcMillis, counted: Option<&FiringRow>) -> InstanceOutcome {
        let Ledgered { row, now, .. } = *self;
        if row.due.is_some_and(|due| due <= at) {
            return self.of_due(at);
        }
        if at >= now {
            let sentence = "not armed: the ledger has another next alarm for this object";
            return InstanceOutcome::unrecorded("notArmed", sentence);
        }
        if at < row.calendar.first_seen {
            let sentence =
                format!("due before this calendar was first seen at {}: did not fire", row.calendar.first_seen);
            return InstanceOutcome::unrecorded("beforeFirstSeen", sentence);
        }
        self.of_past(at, counted)
    }

    /// The same for one that the timer of its object has not passed.
    fn of_due(&self, at: UtcMillis) -> InstanceOutcome {
        let late = self.now.duration_since(at);
        if !late.is_positive() {
            InstanceOutcome::unrecorded("armed", self.armed())
        } else if late > self.max_lateness {
            InstanceOutcome::unrecorded("overdue", "overdue by more than max_lateness: it will be recorded as missed")
        } else {
            InstanceOutcome::unrecorded("overdue", "overdue: fires late as soon as the daemon runs")
        }
    }

    /// The same for one that is past, and that the timer of its object has passed.
    fn of_past(&self, at: UtcMillis, counted: Option<&FiringRow>) -> InstanceOutcome {
        let forgotten_before = self.forgotten_before;
        let written = self.row.last_modified.map(|written| written.min(self.now));
        match (counted, written) {
            (Some(FiringRow { id, state: Some(FiringState::Suppressed), count, .. }), _) => {
                InstanceOutcome::unrecorded(
                    "suppressed",
                    format!("did not fire: one of {count} that were suppressed (firing {id}), too many in one hour"),
                )
            }
            (Some(FiringRow { id, count, .. }), _) => InstanceOutcome::unrecorded(
                "missed",
                format!("did not fire: one of {count} that were recorded as missed together (firing {id})"),
            ),
            _ if at < forgotten_before => InstanceOutcome::unrecorded(
                "forgotten",
                format!("no longer recorded: the history before {forgotten_before} is deleted (keep_history)"),
            ),
            (_, Some(written)) if at < written => InstanceOutcome::unrecorded(
                "beforeWritten",
                format!("already past when its object was written at {written}: did not fire"),
            ),
            _ => InstanceOutcome::unrecorded(
                "notRecorded",
                "should have fired, but there is no record that it did: perhaps this text reached the ledger only after a \
                 later sync of the calendar",
            ),
        }
    }
}

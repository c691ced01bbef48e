//! What became, or will become, of an alarm at an instant: what the ledger has recorded of it, else why it has no
//! record (rules 21 to 24). That an alarm was due is arithmetic; that it fired is said of a record only.

use super::recorded::{self, Recorded};
use crate::config::Config;
use crate::ledger::{FiringRow, Inspector, LedgerError, ObjectRow};
use crate::time::UtcMillis;

/// What became of an alarm.
#[derive(Debug)]
pub(super) struct InstanceOutcome {
    /// The state that is recorded (`fired`, `missed`, `suppressed`, `acknowledged`), else `armed`, `overdue`,
    /// `beforeFirstSeen`, `beforeWritten`, `forgotten`, `notRecorded` or `notArmed`.
    pub(super) state: String,
    pub(super) sentence: String,
    pub(super) recorded: Option<Recorded>,
}

/// What outcomes of the alarms of one object are judged by.
#[derive(Debug)]
pub(super) struct Ledgered<'a> {
    row: &'a ObjectRow,
    now: UtcMillis,
    /// Milliseconds.
    max_lateness: i64,
    absent_grace: i64,
    /// Firings that were due before this are no longer in the history, or need not be.
    forgotten_before: UtcMillis,
    /// Until when everything counts as fired, where a backup was put back.
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
        let millis = |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let kept_since = now.plus(millis(config.keep_history).saturating_neg());
        let forgotten = inspector.forgotten_before().await?.unwrap_or(UtcMillis::MIN);
        Ok(Ledgered {
            row,
            now,
            max_lateness: millis(config.defaults.max_lateness),
            absent_grace: millis(config.defaults.absent_grace),
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
        let (state, sentence) = match (self.of_no_record(at, counted.as_ref()), identity) {
            (("armed" | "notRecorded", _), None) => {
                ("suppressed", "suppressed, as one too many in its hour; no record of it".to_owned())
            }
            (outcome, _) => outcome,
        };
        Ok(InstanceOutcome { state: state.to_owned(), sentence, recorded: None })
    }

    /// What the ledger has recorded of the alarm that has this identity, if anything.
    pub(super) async fn recorded(
        &self,
        inspector: &mut Inspector,
        identity: [u8; 16],
    ) -> Result<Option<InstanceOutcome>, LedgerError> {
        let recorded = recorded::of_identity(inspector, identity).await?;
        Ok(recorded.map(|recorded| {
            let (state, sentence) = (recorded.state.clone(), self.of_record(&recorded));
            InstanceOutcome { state, sentence, recorded: Some(recorded) }
        }))
    }

    fn of_record(&self, recorded: &Recorded) -> String {
        let Recorded { firing, state, fired_at, lateness, .. } = recorded;
        let by = if recorded.object == self.row.id { "" } else { ", by another object of the same UID" };
        match (state.as_str(), self.fired_until) {
            ("fired", _) => format!("fired at {fired_at} (firing {firing}{by})"),
            ("missed", Some(until)) if *lateness <= self.max_lateness => format!(
                "did not fire: recorded as missed at {fired_at} (firing {firing}{by}), because the ledger is a backup that was \
                 put back, and what was due until {until} counts as fired"
            ),
            ("missed", _) => format!(
                "did not fire: recorded as missed at {fired_at} (firing {firing}{by}), when it was later than max_lateness"
            ),
            (state, _) => format!("did not fire: recorded as {state} at {fired_at} (firing {firing}{by})"),
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

    /// The state and the sentence of an alarm at `at` that has no row of its own in the history.
    fn of_no_record(&self, at: UtcMillis, counted: Option<&FiringRow>) -> (&'static str, String) {
        let Ledgered { row, now, max_lateness, forgotten_before, .. } = *self;
        let written = row.last_modified.map(|written| written.min(now));
        if row.due.is_some_and(|due| due <= at) {
            return match now.0.saturating_sub(at.0) {
                ..=0 => ("armed", self.armed()),
                late if late > max_lateness => {
                    ("overdue", "overdue by more than max_lateness: it will be recorded as missed".to_owned())
                }
                _ => ("overdue", "overdue: fires late as soon as the daemon runs".to_owned()),
            };
        }
        if at >= now {
            return ("notArmed", "not armed: the ledger has another next alarm for this object".to_owned());
        }
        if at < row.first_seen {
            let first_seen = row.first_seen;
            return (
                "beforeFirstSeen",
                format!("due before this calendar was first seen at {first_seen}: did not fire"),
            );
        }
        match (counted, written) {
            (Some(FiringRow { id, state, count, .. }), _) if state == "suppressed" => (
                "suppressed",
                format!("did not fire: one of {count} that were suppressed (firing {id}), too many in one hour"),
            ),
            (Some(FiringRow { id, count, .. }), _) => {
                ("missed", format!("did not fire: one of {count} that were recorded as missed together (firing {id})"))
            }
            _ if at < forgotten_before => (
                "forgotten",
                format!("not recorded any more: the history before {forgotten_before} is forgotten (keep_history)"),
            ),
            (_, Some(written)) if at < written => {
                ("beforeWritten", format!("already past when its object was written at {written}: did not fire"))
            }
            _ => (
                "notRecorded",
                "should have fired, but there is no record that it did: perhaps this text reached the ledger only after a \
                 later sync of the calendar"
                    .to_owned(),
            ),
        }
    }
}

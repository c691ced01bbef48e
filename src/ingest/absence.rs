//! Calendars that their source does not find: their alarms fire until that has lasted, and they are the same when they
//! come back.

use std::collections::HashSet;

use super::{Ingest, store_events};
use crate::ledger::{Absent, CalendarKey, LedgerError};
use crate::source::{Absence, Evidence};
use crate::time::UtcMillis;

/// The calendars that the ledger has as absent; none: it was not asked yet.
pub(super) type Absentees = Option<HashSet<CalendarKey>>;

impl Ingest {
    /// A sync that began at `synced_at` did not find a calendar.
    pub(super) async fn absent(
        &self,
        source: &str,
        calendar: &str,
        synced_at: UtcMillis,
        evidence: Evidence,
    ) -> Result<Absence, LedgerError> {
        let Some(row) = self.context.ledger.calendar(source, calendar).await? else { return Ok(Absence::Dropped) };
        let absent = after(row.absent, synced_at, evidence);
        if absent.ends_at(self.absent_grace) <= synced_at {
            let now = self.context.clock.now();
            let events = store_events::of_deletion(&self.planner, &row, now);
            let outcome = self.context.ledger.drop_calendar(source, calendar, events).await?;
            self.context.count_and_announce(outcome, now);
            self.context.metrics.changes(source, 1);
            self.note(source, calendar, false).await?;
            self.context.wakeup.wake();
            tracing::warn!(
                source.name = source,
                calendar.name = row.info.name,
                calendar.href = calendar,
                absent.since = %absent.since,
                "this calendar has not been found for long enough: it is dropped, and its alarms do not fire any more; found \
                 again, it is a new one, whose past does not fire"
            );
            return Ok(Absence::Dropped);
        }
        if row.absent != Some(absent) {
            self.context.ledger.absent(source, calendar, absent).await?;
        }
        if row.absent.is_none() {
            self.note(source, calendar, true).await?;
            tracing::warn!(
                source.name = source,
                calendar.name = row.info.name,
                calendar.href = calendar,
                "this calendar is not found: it is kept for a while, and its alarms still fire"
            );
        }
        Ok(Absence::Kept { since: absent.since })
    }

    /// A sync found a calendar unchanged; what is in the ledger of an absence is over.
    pub(super) async fn found_again(&self, source: &str, calendar: &str) -> Result<(), LedgerError> {
        self.ask().await?;
        let key = CalendarKey::new(source, calendar);
        let is_absent = self.syncs().absent.as_ref().is_some_and(|absent| absent.contains(&key));
        if is_absent {
            self.context.ledger.present(source, calendar).await?;
            self.is_back(source, calendar).await?;
        }
        Ok(())
    }

    /// A calendar that was absent is in the ledger as one that is there.
    pub(super) async fn is_back(&self, source: &str, calendar: &str) -> Result<(), LedgerError> {
        tracing::info!(source.name = source, calendar.href = calendar, "a calendar that was not found is there again");
        self.note(source, calendar, false).await
    }

    async fn note(&self, source: &str, calendar: &str, is_absent: bool) -> Result<(), LedgerError> {
        self.ask().await?;
        let key = CalendarKey::new(source, calendar);
        let mut syncs = self.syncs();
        let absent = syncs.absent.get_or_insert_default();
        if is_absent {
            absent.insert(key)
        } else {
            absent.remove(&key)
        };
        Ok(())
    }

    /// Asks the ledger once who is absent: nothing else writes into it.
    async fn ask(&self) -> Result<(), LedgerError> {
        if self.syncs().absent.is_none() {
            let absentees = self.context.ledger.absentees().await?;
            self.syncs().absent = Some(absentees.into_iter().collect());
        }
        Ok(())
    }
}

/// What holds after another sync that did not find the calendar.
fn after(before: Option<Absent>, synced_at: UtcMillis, evidence: Evidence) -> Absent {
    // What lies ahead was dated by a clock that has been set back since.
    let since = before.map_or(synced_at, |before| before.since.min(synced_at));
    let missing_since = before.and_then(|before| before.missing_since).map_or(synced_at, |at| at.min(synced_at));
    Absent { since, missing_since: (evidence == Evidence::Healthy).then_some(missing_since) }
}

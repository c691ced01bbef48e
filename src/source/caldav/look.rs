//! One look at a whole account.

use std::collections::HashMap;

use super::absent::Missing;
use super::account::ListedAt;
use super::error::CaldavError;
use super::position::{Position, Step, next_step};
use super::sync::{Outcome, Sync};
use super::{CaldavSource, Looked, href};
use crate::source::{CalendarSeen, Evidence, Intake, Known};
use crate::time::UtcMillis;

/// Change reports that a server may refuse one after the other before it is asked for none until the next discovery.
const MAX_REFUSALS: u32 = 2;
/// Looks that a new calendar waits for properties that its server cannot give.
const MAX_WAITS: u32 = 3;

/// When a look began, by this machine's clock and by the server's.
#[derive(Clone, Copy, Debug)]
struct Moment {
    here: UtcMillis,
    there: UtcMillis,
}

impl CaldavSource {
    /// Looks at the whole account once: hands in what differs from what was handed in before. A calendar that fails
    /// does not stop the others.
    ///
    /// # Errors
    /// When the account cannot be looked at: no answer, no login, nothing there; or [`CaldavError::Intake`].
    pub async fn look(&mut self, intake: &impl Intake) -> Result<Looked, CaldavError> {
        let sent = self.http.sent();
        let here = self.clock.now();
        let (account, listing) = match self.listing(here).await {
            Err(refusal) if refusal.is_refusal() => {
                self.all_absent(intake, here).await?;
                return Err(refusal);
            }
            found => found?,
        };
        let at = Moment { here, there: listing.server_now.unwrap_or(here) };
        let mut looked = Looked::default();
        let mut known: HashMap<String, Known> = HashMap::new();
        for calendar in intake.calendars(&self.source.name).await? {
            known.insert(href::key(&calendar.href), calendar);
        }
        let watched: Vec<&ListedAt> = listing.calendars.iter().filter(|calendar| self.is_watched(calendar)).collect();
        looked.calendars = watched.len();
        let finds_known =
            listing.calendars.iter().any(|calendar| known.contains_key(&href::key(&calendar.listed.href)));
        for calendar in watched {
            let key = href::key(&calendar.listed.href);
            let known = known.remove(&key);
            let faults = &mut looked.faults;
            if !self.is_clear(calendar, known.as_ref(), faults) {
                continue;
            }
            let seen = self.seen(&account, calendar, known.as_ref());
            let href = known.as_ref().map(|known| known.href.clone());
            match (self.look_at(intake, calendar, (seen, known), at).await, href) {
                (Ok(outcome), _) => {
                    looked.changes += outcome.changes;
                    looked.faults.extend(outcome.faults);
                }
                (Err(error), _) if error.concerns_the_account() => return Err(error),
                // A right that was taken back, or a calendar that went since it was listed.
                (Err(error @ (CaldavError::Forbidden { .. } | CaldavError::NotFound { .. })), Some(href)) => {
                    looked.faults.push(error.to_string());
                    looked.changes += self.absent(intake, &href, here, Evidence::Healthy).await?;
                }
                (Err(error), _) => looked.faults.push(error.to_string()),
            }
        }
        let missing = Missing { account: &account, listing: &listing, at: here, finds_known };
        self.settle_missing(intake, missing, known.into_values().collect(), &mut looked).await?;
        looked.requests = self.http.sent() - sent;
        Ok(looked)
    }

    /// Whether enough is known of a calendar to look at it; what is not is a fault. A new one waits a little for what its
    /// server cannot say now, one that is known keeps what it had.
    fn is_clear(&mut self, calendar: &ListedAt, known: Option<&Known>, faults: &mut Vec<String>) -> bool {
        let failing = calendar.listed.failing();
        let memory = self.memory.entry(href::key(&calendar.listed.href)).or_default();
        if failing.is_empty() {
            memory.waits = 0;
            return true;
        }
        memory.waits = memory.waits.saturating_add(1);
        let waits = known.is_none() && memory.waits <= MAX_WAITS;
        let so = if waits { "it is not taken in yet" } else { "what was known of that stays" };
        faults.push(format!("{}: its server does not say its {}; {so}", calendar.url, failing.join(", ")));
        !waits
    }

    async fn look_at(
        &mut self,
        intake: &impl Intake,
        calendar: &ListedAt,
        (seen, known): (CalendarSeen, Option<Known>),
        at: Moment,
    ) -> Result<Outcome, CaldavError> {
        let memory = self.memory.entry(href::key(&calendar.listed.href)).or_default();
        let sync = Sync {
            http: &self.http,
            intake,
            source: &self.source.name,
            calendar: &seen,
            url: &calendar.url,
            listed: &calendar.listed,
            looked_at: at.here,
            server_now: at.there,
            max_size: self.max_size,
        };
        let position = known.as_ref().and_then(|known| Position::read(&known.checkpoint));
        let step = next_step(position.as_ref(), &calendar.listed, at.here, memory.refusals < MAX_REFUSALS);
        let outcome = match (step, known) {
            (Step::Rest, Some(_)) if memory.seen.as_ref() == Some(&seen) => {
                intake.unchanged(&self.source.name, &seen.href, at.here).await?;
                Outcome::default()
            }
            // Its name or its user may be other than what the ledger has.
            (Step::Rest, Some(known)) => {
                sync.apply(Vec::new(), Some(known.checkpoint)).await?;
                Outcome::default()
            }
            (step, _) => {
                let asks_for_report = matches!(step, Step::Changes(_));
                let outcome = sync.run(position.as_ref(), step).await?;
                if asks_for_report {
                    memory.refusals = if outcome.report_refused { memory.refusals + 1 } else { 0 };
                }
                outcome
            }
        };
        memory.seen = Some(seen);
        Ok(outcome)
    }
}

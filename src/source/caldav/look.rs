//! One look at a whole account.

use std::collections::{HashMap, HashSet};

use super::account::{Account, ListedAt};
use super::error::CaldavError;
use super::position::{Position, Step, next_step};
use super::requests::discovery;
use super::sync::{Outcome, Sync};
use super::{CaldavSource, Looked, href};
use crate::source::{CalendarSeen, Intake, Known};
use crate::time::UtcMillis;

/// Change reports that a server may refuse one after the other before it is asked for none until the next discovery.
const MAX_REFUSALS: u32 = 2;

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
        for calendar in watched {
            let key = href::key(&calendar.listed.href);
            let known = known.remove(&key);
            let seen = self.seen(&account, calendar, known.as_ref());
            match self.look_at(intake, calendar, (seen, known), at).await {
                Ok(outcome) => {
                    looked.changes += outcome.changes;
                    looked.faults.extend(outcome.faults);
                }
                Err(error) if error.concerns_the_account() => return Err(error),
                Err(error) => looked.faults.push(error.to_string()),
            }
        }
        // What is listed and left in `known` is not wanted any more.
        let listed: HashSet<String> =
            listing.calendars.iter().map(|calendar| href::key(&calendar.listed.href)).collect();
        for (key, calendar) in known {
            if listed.contains(&key) || self.is_gone(&account, &calendar, &mut looked.faults).await? {
                intake.calendar_gone(&self.source.name, &calendar.href).await?;
                self.memory.remove(&key);
                looked.changes += 1;
            }
        }
        looked.requests = self.http.sent() - sent;
        Ok(looked)
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

    /// Whether a calendar of the ledger that is not listed is to be dropped. One that should be listed and still answers
    /// is kept: a listing may be incomplete.
    async fn is_gone(
        &self,
        account: &Account,
        calendar: &Known,
        faults: &mut Vec<String>,
    ) -> Result<bool, CaldavError> {
        if !account.lists(&calendar.href) {
            return Ok(true);
        }
        let Some(url) = href::resolve(&self.url, &calendar.href) else { return Ok(true) };
        let found = match self.http.multistatus(discovery::request(&url)).await {
            Ok(answer) => discovery::parse(answer.document()).map_err(|error| answer.error(error)),
            Err(error) => Err(error),
        };
        match found {
            Ok(Ok(found)) if found.is_calendar => {
                faults.push(format!("{url} is there, but its server does not list it: it is kept as it is known"));
                Ok(false)
            }
            Err(error) if error.concerns_the_account() => Err(error),
            Ok(_) | Err(CaldavError::NotFound { .. } | CaldavError::Forbidden { .. }) => Ok(true),
            Err(error) => {
                faults.push(error.to_string());
                Ok(false)
            }
        }
    }
}

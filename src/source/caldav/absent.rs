//! Calendars of the ledger that a listing does not have. What is not mentioned is not gone: it is asked for by its own
//! address, and what is not found there either is absent, which is not believed at once.

use jiff::SignedDuration;

use super::account::{Account, Listing};
use super::error::CaldavError;
use super::requests::discovery;
use super::{CaldavSource, MAX_FAILING, href};
use crate::source::contract::{Absence, Evidence, Known, SyncReport, SyncStore};
use crate::time::UtcMillis;

/// How long after it a calendar that was not found is asked for again by its own address.
const ASK_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// What a listing has to say about calendars that it does not have.
#[derive(Debug)]
pub struct Missing<'a> {
    pub account: &'a Account,
    pub listing: &'a Listing,
    /// When the sync began.
    pub at: UtcMillis,
    /// Some of what the ledger has is listed.
    pub finds_known: bool,
}

impl CaldavSource {
    /// Settles what becomes of `calendars`, which are in the ledger and not watched at this sync.
    ///
    /// # Errors
    /// Those that concern the whole account.
    pub(super) async fn settle_missing(
        &mut self,
        store: &impl SyncStore,
        missing: Missing<'_>,
        calendars: Vec<Known>,
        report: &mut SyncReport,
    ) -> Result<(), CaldavError> {
        if missing.listing.is_cut && !calendars.is_empty() {
            report.faults.push(format!(
                "{} is not listed to its end (507): calendars that are not listed are kept as they are known",
                self.url
            ));
        }
        let mut failing = 0;
        for calendar in calendars {
            let key = href::key(&calendar.href);
            if self.is_unwanted(&missing, &calendar) {
                store.calendar_gone(&self.source.name, &calendar.href).await?;
                self.memory.remove(&key);
                report.changes += 1;
            } else if self.is_missing(&missing, &calendar, &mut failing, &mut report.faults).await? {
                let evidence = missing.evidence(&calendar);
                report.changes += self.absent(store, &calendar.href, missing.at, evidence).await?;
            }
        }
        Ok(())
    }

    /// Hands in that a sync at `at` did not find a calendar, or may not read it. Returns 1 where it is dropped for
    /// that.
    pub(super) async fn absent(
        &mut self,
        store: &impl SyncStore,
        calendar: &str,
        at: UtcMillis,
        evidence: Evidence,
    ) -> Result<usize, CaldavError> {
        match store.calendar_absent(&self.source.name, calendar, at, evidence).await? {
            Absence::Kept { .. } => {
                // When it is found again, all of it is compared.
                if let Some(memory) = self.memory.get_mut(&href::key(calendar)) {
                    memory.read = None;
                }
                Ok(0)
            }
            Absence::Dropped => {
                self.memory.remove(&href::key(calendar));
                Ok(1)
            }
        }
    }

    /// Whether the settings do not want a calendar any more, as far as its name and address tell.
    fn is_unwanted(&self, missing: &Missing<'_>, calendar: &Known) -> bool {
        let key = href::key(&calendar.href);
        let listed = missing.listing.calendars.iter().find(|listed| href::key(&listed.listed.href) == key);
        match listed {
            Some(listed) => !self.is_wanted(&listed.listed.href, &listed.name()),
            None => !self.is_wanted(&calendar.href, &calendar.seen.name),
        }
    }

    /// Whether a calendar is not there, or not for this user. If that is unknown, it is a fault, and the calendar is
    /// kept. After `failing` of them failed one after the other, no more requests are made.
    async fn is_missing(
        &mut self,
        missing: &Missing<'_>,
        calendar: &Known,
        failing: &mut usize,
        faults: &mut Vec<String>,
    ) -> Result<bool, CaldavError> {
        if let Some(is_missing) = missing.by_listing(calendar, faults) {
            return Ok(is_missing);
        }
        let memory = self.memory.entry(href::key(&calendar.href)).or_default();
        let is_due = memory.missed.is_none_or(|at| !missing.at.is_within(ASK_EVERY, at));
        if !is_due {
            return Ok(true);
        }
        if *failing >= MAX_FAILING {
            return Ok(false);
        }
        let is_missing = match self.is_gone(calendar, faults).await {
            Err(error) if error.may_concern_the_server() => {
                *failing += 1;
                faults.push(error.to_string());
                false
            }
            answered => {
                *failing = 0;
                answered?
            }
        };
        self.memory.entry(href::key(&calendar.href)).or_default().missed = is_missing.then_some(missing.at);
        Ok(is_missing)
    }

    /// Asks for a calendar by its own address.
    async fn is_gone(&self, calendar: &Known, faults: &mut Vec<String>) -> Result<bool, CaldavError> {
        let Some(url) = href::resolve(&self.url, &calendar.href) else { return Ok(true) };
        let answer = self.dav.multistatus(discovery::request(&url), discovery::DiscoveryCollector::default).await;
        match answer.map(|answer| answer.found) {
            Ok(Ok(found)) if found.is_calendar => {
                faults.push(format!("{url} is there, but its server does not list it: it is kept as it is known"));
                Ok(false)
            }
            Err(error) if error.concerns_the_account() || error.may_concern_the_server() => Err(error),
            Ok(_) | Err(CaldavError::NotFound { .. } | CaldavError::Forbidden { .. }) => Ok(true),
            Err(error) => {
                faults.push(error.to_string());
                Ok(false)
            }
        }
    }
}

impl Missing<'_> {
    /// Whether `calendar` is not there, or not for this user, as far as the listing says; `None` if it has to be
    /// asked for. If that is unknown, it is a fault.
    fn by_listing(&self, calendar: &Known, faults: &mut Vec<String>) -> Option<bool> {
        let key = href::key(&calendar.href);
        if self.listing.calendars.iter().any(|listed| href::key(&listed.listed.href) == key) {
            // It is listed as one that holds nothing of use, or that this user may not read.
            return Some(true);
        }
        if let Some(status) = self.listing.unclear.get(&key) {
            let why = if *status == 0 { "it says nothing of it".to_owned() } else { status.to_string() };
            faults.push(format!(
                "{}: its server does not say whether it is a calendar ({why}); it is kept as it is known",
                calendar.href
            ));
            return Some(false);
        }
        if self.listing.is_cut {
            return Some(false);
        }
        (!self.account.lists(&calendar.href)).then_some(true)
    }

    /// How far it can be trusted that `calendar` is not found.
    fn evidence(&self, calendar: &Known) -> Evidence {
        // Where the settings point elsewhere now, what is listed there is other calendars.
        let elsewhere = !self.account.lists(&calendar.href) && !self.listing.calendars.is_empty();
        if self.finds_known || elsewhere { Evidence::Healthy } else { Evidence::AllGone }
    }
}

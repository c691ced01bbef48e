//! Zones of calendars that their home does not list: some servers (DAViCal) return `calendar-timezone` only if the
//! calendar itself is asked for it.

use std::borrow::Cow;

use jiff::SignedDuration;

use super::account::ListedAt;
use super::requests::find_calendars::ListedCalendar;
use super::requests::zone;
use super::sync_state::{SyncState, compare_every};
use super::{CaldavError, CaldavSource, href};
use crate::source::contract::Known;
use crate::time::UtcMillis;

/// How long after it a calendar that has no zone is asked for it again: not every server marks that it has one now.
const ASK_EVERY: SignedDuration = SignedDuration::from_hours(24);

/// What a calendar said of its zone when it was asked.
#[derive(Debug)]
pub(super) struct AskedZone {
    zone: Option<String>,
    at: UtcMillis,
    /// Its versions then.
    versions: Versions,
    /// Failures of its source until then.
    failures: u64,
}

/// The versions of a calendar, where its server names them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Versions {
    token: Option<String>,
    ctag: Option<String>,
}

impl AskedZone {
    /// Whether that still holds for a calendar that is `listed` with `versions` after so many failures. One that has a
    /// zone which its home does not list may have become another calendar with another zone, as unseen as its objects.
    fn holds(&self, listed: &ListedCalendar, versions: &Versions, failures: u64, now: UtcMillis) -> bool {
        let (every, is_sure) = match self.zone {
            Some(_) => (compare_every(&listed.href, 0), self.failures == failures),
            None => (ASK_EVERY, true),
        };
        self.versions == *versions && is_sure && now.is_within(every, self.at)
    }
}

impl CaldavSource {
    /// `calendar` with its zone: the one that is listed, else what the calendar itself says when it is asked, once, and
    /// again when it may have changed. After a restart an unchanged one without a zone is not asked.
    ///
    /// # Errors
    /// What concerns the whole account. Anything else is a fault, and the zone stays what it was.
    pub(super) async fn with_zone<'c>(
        &mut self,
        calendar: &'c ListedAt,
        known: Option<&Known>,
        now: UtcMillis,
        faults: &mut Vec<String>,
    ) -> Result<Cow<'c, ListedAt>, CaldavError> {
        let listed = &calendar.listed;
        if listed.lists_zone {
            return Ok(Cow::Borrowed(calendar));
        }
        let versions = Versions { token: listed.token.clone(), ctag: listed.ctag.clone() };
        let zone_before = known.and_then(|known| known.seen.zone.clone());
        let key = href::key(&listed.href);
        let zone = match self.memory.get(&key).and_then(|memory| memory.zone.as_ref()) {
            Some(asked) if asked.holds(listed, &versions, self.failures, now) => asked.zone.clone(),
            None if zone_before.is_none() && known.is_some_and(|known| is_at(known, &versions)) => {
                self.remember_zone(key, None, now, versions);
                None
            }
            _ => match self.ask_zone(calendar).await {
                // A server that lists it and has never returned a zone has none for it.
                Err(error) if zone_before.is_none() && (error.is_refusal() || error.is_no_dav()) => {
                    self.remember_zone(key, None, now, versions);
                    None
                }
                Ok(zone) => {
                    self.remember_zone(key, zone.clone(), now, versions);
                    zone
                }
                Err(error) if error.concerns_the_account() => return Err(error),
                Err(error) => {
                    faults.push(format!("the time zone of a calendar cannot be asked for: {error}"));
                    zone_before
                }
            },
        };
        let mut calendar = calendar.clone();
        calendar.listed.zone = zone;
        Ok(Cow::Owned(calendar))
    }

    fn remember_zone(&mut self, key: String, zone: Option<String>, at: UtcMillis, versions: Versions) {
        let failures = self.failures;
        self.memory.entry(key).or_default().zone = Some(AskedZone { zone, at, versions, failures });
    }

    async fn ask_zone(&self, calendar: &ListedAt) -> Result<Option<String>, CaldavError> {
        let answer = self.dav.multistatus(zone::request(&calendar.url), zone::ZoneCollector::default).await?;
        Ok(answer.unless_refused()?.found)
    }
}

/// Whether the calendar is marked as it was when the ledger's knowledge of it was whole.
fn is_at(known: &Known, versions: &Versions) -> bool {
    let Versions { token, ctag } = versions;
    let has_version = token.is_some() || ctag.is_some();
    let state = known.checkpoint.as_ref().and_then(SyncState::read);
    has_version && state.is_some_and(|state| state.token == *token && state.ctag == *ctag)
}

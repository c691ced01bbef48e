//! Zones of calendars that their home does not list: some servers (DAViCal) tell `calendar-timezone` only where the calendar is
//! asked for by itself.

use std::borrow::Cow;

use super::account::ListedAt;
use super::position::compare_every;
use super::requests::zone;
use super::{CaldavError, CaldavSource, href};
use crate::source::Known;
use crate::time::UtcMillis;

/// What a calendar said of its zone when it was asked.
#[derive(Debug)]
pub(super) struct AskedZone {
    zone: Option<String>,
    at: UtcMillis,
    marks: Marks,
}

/// What tells whether it may be another one: its token, its ctag, its identity, and the failures of its source until then.
type Marks = (Option<String>, Option<String>, Option<String>, u64);

impl CaldavSource {
    /// `calendar` with its zone: the one that is listed, else what the calendar itself says when it is asked, once, and again
    /// when it has changed, its source has failed, or it is time to compare the whole: not every server marks that it has
    /// another one, or is another one.
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
        let marks = (listed.token.clone(), listed.ctag.clone(), listed.identity.clone(), self.failures);
        let every = compare_every(&listed.href, 0);
        let zone_before = known.and_then(|known| known.seen.zone.clone());
        let key = href::key(&listed.href);
        let zone = match self.memory.get(&key).and_then(|memory| memory.zone.as_ref()) {
            Some(asked) if asked.marks == marks && (0..every).contains(&now.0.saturating_sub(asked.at.0)) => {
                asked.zone.clone()
            }
            _ => match self.ask_zone(calendar).await {
                // A server that lists it and never told more has said what it has to say.
                Err(error) if zone_before.is_none() && (error.is_refusal() || error.is_no_dav()) => {
                    self.remember_zone(key, AskedZone { zone: None, at: now, marks });
                    None
                }
                Ok(zone) => {
                    self.remember_zone(key, AskedZone { zone: zone.clone(), at: now, marks });
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

    fn remember_zone(&mut self, key: String, asked: AskedZone) {
        self.memory.entry(key).or_default().zone = Some(asked);
    }

    async fn ask_zone(&self, calendar: &ListedAt) -> Result<Option<String>, CaldavError> {
        let answer = self.http.multistatus(zone::request(&calendar.url)).await?;
        let zone = zone::parse(answer.document()).map_err(|error| answer.error(error))?;
        zone.map_err(|status| answer.refusal(status))
    }
}

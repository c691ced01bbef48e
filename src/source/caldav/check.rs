//! Logging in to an account to see what is there, without handing anything in.

use reqwest::Url;
use tokio::time::Instant;

use super::account::{Account, ListedAt, Listing};
use super::addresses::OwnAddresses;
use super::checked::{ChangeDetection, Checked, CheckedCalendar, PollCost};
use super::requests::options;
use super::software::Software;
use super::{CaldavError, CaldavSource};

impl CaldavSource {
    /// Logs in and says what is there. Nothing is handed in.
    ///
    /// # Errors
    /// As for [`CaldavSource::sync_account`].
    pub async fn check(&self) -> Result<Checked, CaldavError> {
        let mut account = Account::discover(&self.dav, &self.url).await?;
        account.list(&self.dav).await?;
        // What a second one costs is what each poll costs.
        let (listing, poll) = self.poll(&mut account).await?;
        let software = self.software(&account.place(), &listing).await;
        let calendars = listing.calendars.iter().map(|calendar| self.checked(calendar));
        let OwnAddresses { used, refused } = self.addresses(&account);
        Ok(Checked {
            software,
            poll,
            interval: self.source.kind.interval().usual,
            hinted_interval: self.source.kind.hinted_interval().unwrap_or_default(),
            user: self.user().to_owned(),
            addresses: used,
            refused_addresses: refused,
            calendars: calendars.collect(),
            place: account.place(),
            wanted: self.source.calendars.clone(),
            principal: account.principal.map(|principal| principal.to_string()),
        })
    }

    /// Lists the calendars as a poll does, and says what that costs.
    async fn poll(&self, account: &mut Account) -> Result<(Listing, PollCost), CaldavError> {
        let http = self.dav.http();
        let (requests, octets, began) = (http.sent(), http.received(), Instant::now());
        let listing = account.list(&self.dav).await?;
        let requests = http.sent().saturating_sub(requests);
        let octets = http.received().saturating_sub(octets);
        Ok((listing, PollCost { requests, octets, elapsed: began.elapsed() }))
    }

    /// Which software has the calendars at `place`. A server that does not say so does not fail the check.
    async fn software(&self, place: &str, listing: &Listing) -> Software {
        let Ok(url) = Url::parse(place) else { return Software::default() };
        let tokens = listing.calendars.iter().filter_map(|calendar| calendar.listed.token.as_deref());
        match self.dav.send(options::request(&url)).await {
            Ok(response) => Software::of(&response, tokens),
            Err(_) => Software::default(),
        }
    }

    fn checked(&self, calendar: &ListedAt) -> CheckedCalendar {
        CheckedCalendar {
            href: calendar.listed.href.clone(),
            name: calendar.name(),
            zone: calendar.listed.zone.as_deref().and_then(zone_name),
            is_wanted: self.is_wanted(&calendar.listed.href, &calendar.name()),
            is_watched: self.is_watched(calendar),
            detection: match &calendar.listed {
                listed if listed.token.is_some() => ChangeDetection::Report,
                listed if listed.ctag.is_some() => ChangeDetection::Ctag,
                _ => ChangeDetection::Listing,
            },
        }
    }
}

/// What to call the zone of a calendar: its IANA id, or the TZID of its VTIMEZONE (RFC 5545, 3.8.3.1).
fn zone_name(zone: &str) -> Option<String> {
    let name = match zone.contains("BEGIN:") {
        true => zone.lines().find_map(|line| line.trim().strip_prefix("TZID:"))?,
        false => zone.trim(),
    };
    Some(name.chars().filter(|c| !c.is_control()).take(80).collect::<String>()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_zone_is_called_by_its_id_or_its_tzid() {
        let name = |zone| super::zone_name(zone).unwrap_or_default();
        assert_eq!(name("Europe/Vienna"), "Europe/Vienna");
        assert_eq!(name("BEGIN:VCALENDAR\r\nBEGIN:VTIMEZONE\r\nTZID:Vienna\r\nEND:VTIMEZONE"), "Vienna");
        assert_eq!(name("BEGIN:VTIMEZONE\nEND:VTIMEZONE"), "");
    }
}

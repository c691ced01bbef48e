//! Logging in to an account to see what is there, without handing anything in.

use super::account::Account;
use super::addresses::OwnAddresses;
use super::checked::{ChangeDetection, Checked, CheckedCalendar};
use super::{CaldavError, CaldavSource};

impl CaldavSource {
    /// Logs in and says what is there. Nothing is handed in.
    ///
    /// # Errors
    /// As for [`CaldavSource::sync_account`].
    pub async fn check(&self) -> Result<Checked, CaldavError> {
        let mut account = Account::discover(&self.dav, &self.url).await?;
        let listing = account.list(&self.dav).await?;
        let calendars = listing.calendars.iter().map(|calendar| CheckedCalendar {
            href: calendar.listed.href.clone(),
            name: calendar.name(),
            is_wanted: self.is_wanted(&calendar.listed.href, &calendar.name()),
            is_watched: self.is_watched(calendar),
            detection: match &calendar.listed {
                listed if listed.token.is_some() => ChangeDetection::Report,
                listed if listed.ctag.is_some() => ChangeDetection::Ctag,
                _ => ChangeDetection::Listing,
            },
        });
        let OwnAddresses { used, refused } = self.addresses(&account);
        Ok(Checked {
            user: self.user().to_owned(),
            addresses: used,
            refused_addresses: refused,
            calendars: calendars.collect(),
            place: account.place(),
            wanted: self.source.calendars.clone(),
            principal: account.principal.map(|principal| principal.to_string()),
        })
    }
}

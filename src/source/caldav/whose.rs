//! Whose account is synced, and that it stays the same one.

use jiff::SignedDuration;

use super::account::{Account, Listing};
use super::{CaldavError, CaldavSource};
use crate::source::contract::{Evidence, SyncStore};
use crate::time::UtcMillis;

/// How long after it the account is looked for again: homes come and go, addresses change.
const DISCOVER_EVERY: SignedDuration = SignedDuration::from_hours(24);

/// An account and its calendars.
pub(super) struct ListedAccount {
    pub account: Account,
    pub listing: Listing,
}

impl CaldavSource {
    /// The account and its calendars now. It is looked for again if it is not where it was, and is then the same one at
    /// another address, or an error.
    ///
    /// # Errors
    /// As for [`Account::discover`] and [`Account::list`]; [`CaldavError::AnotherAccount`].
    pub(super) async fn listing(&mut self, now: UtcMillis) -> Result<ListedAccount, CaldavError> {
        let mut error = None;
        if let Some((account, found_at)) = &mut self.account
            && now.is_within(DISCOVER_EVERY, *found_at)
        {
            match account.list(&self.dav).await {
                Err(wrong) if wrong.is_wrong_address() => error = Some(wrong),
                listing => return Ok(ListedAccount { account: account.clone(), listing: listing? }),
            }
        }
        let mut account = match (Account::discover(&self.dav, &self.url).await, error) {
            // What its own address says is more than that nothing else was found.
            (Err(CaldavError::NothingFound { .. }), Some(error)) => return Err(error),
            (found, _) => found?,
        };
        if let Some((before, _)) = self.account.as_ref().filter(|(before, _)| !account.is(before)) {
            let (before, now) = (before.address(), account.address());
            return Err(CaldavError::AnotherAccount { url: self.url.to_string(), before, now });
        }
        let listing = account.list(&self.dav).await?;
        self.memory.values_mut().for_each(|memory| memory.refusals = 0);
        self.account = Some((account.clone(), now));
        Ok(ListedAccount { account, listing })
    }

    /// Says of all that is known of the source that a sync at `at` did not find it: its server said no to the account
    /// as a whole.
    ///
    /// # Errors
    /// Those of the ledger.
    pub(super) async fn all_absent(&self, store: &impl SyncStore, at: UtcMillis) -> Result<(), CaldavError> {
        for calendar in store.calendars(&self.source.name).await? {
            store.calendar_absent(&self.source.name, &calendar.href, at, Evidence::AllGone).await?;
        }
        Ok(())
    }
}

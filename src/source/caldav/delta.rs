//! What a server reports as changed since a token, and whether that can be all of it.

use std::collections::BTreeMap;

use super::calendar_sync::{CalendarSync, News};
use super::error::CaldavError;
use super::kept::Kept;
use super::requests::list_etags::Member;
use super::requests::sync_collection;
use super::sync_state::{SyncState, is_suspicious};
use crate::source::contract::SyncStore;

/// What a change report said.
#[derive(Debug)]
pub struct Reported {
    pub news: News,
    /// Nothing speaks against its being complete.
    pub is_all: bool,
}

/// All pages of a report: by key what is there, and none for what is gone.
#[derive(Debug, Default)]
struct Pages {
    changes: BTreeMap<String, Option<Member>>,
    token: Option<String>,
}

impl<I: SyncStore> CalendarSync<'_, I> {
    /// What the server reports as changed since `token`; none where its report cannot be relied on at all. What it
    /// names is to be fetched, whatever its entity tag says.
    ///
    /// # Errors
    /// Of a request.
    pub(super) async fn reported(
        &self,
        token: &str,
        state: &SyncState,
        kept: &Kept,
    ) -> Result<Option<Reported>, CaldavError> {
        let Some(pages) = self.pages(token, kept).await? else { return Ok(None) };
        let mut news = News { token: pages.token, ..News::default() };
        let is_empty = pages.changes.is_empty();
        for (key, change) in pages.changes {
            match (change, kept.get(&key)) {
                (Some(member), _) => news.put.push(member),
                (None, Some(known)) => news.gone.push(known.href.clone()),
                // Deleted before it was ever seen.
                (None, None) => news.unheard.push(key),
            }
        }
        // A server that has lost the token may answer with all that there is, and then it does not say what is gone.
        let named = news.put.len();
        let may_be_everything = named > 0 && named * 2 >= kept.len();
        let misses_something = is_empty && is_suspicious(state, self.listed);
        Ok(Some(Reported { news, is_all: !may_be_everything && !misses_something }))
    }

    /// None where the report does not end well, or goes on and on.
    async fn pages(&self, token: &str, kept: &Kept) -> Result<Option<Pages>, CaldavError> {
        let mut all = Pages::default();
        let mut token = token.to_owned();
        let mut was_cut = false;
        let (mut room, mut octets) = (self.dav.limits().max_changes, self.dav.limits().max_listing_size);
        for _ in 0..self.dav.limits().max_pages {
            let collector = || sync_collection::ChangesCollector::new(self.url.path());
            let page = self.dav.multistatus(sync_collection::request(self.url, &token), collector).await?.found;
            if page.is_void {
                return Ok(None);
            }
            let is_empty = page.put.is_empty() && page.gone.is_empty();
            match (room.checked_sub(page.put.len() + page.gone.len()), octets.checked_sub(page.size())) {
                (Some(room_left), Some(octets_left)) => (room, octets) = (room_left, octets_left),
                _ => return Ok(None),
            }
            all.changes.extend(page.gone.into_iter().map(|href| (kept.key(&href), None)));
            all.changes.extend(page.put.into_iter().map(|member| (kept.key(&member.href), Some(member))));
            all.token.clone_from(&page.token);
            was_cut |= page.is_cut;
            // Once a response was cut, the end is an empty page: not all servers say that there is more.
            if !was_cut || (is_empty && !page.is_cut) {
                return Ok(Some(all));
            }
            match page.token {
                Some(next) if next != token => token = next,
                _ => return Ok(None),
            }
        }
        Ok(None)
    }
}

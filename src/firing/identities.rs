//! Firings that a ledger of an earlier version holds, under the identities that they have now: calendar and
//! RECURRENCE-ID were parts of these.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;

use super::context::about;
use super::renderer::FiringRenderer;
use crate::calendar::schedule::Schedule;
use crate::ledger::{CalendarRow, LedgerError, NewIdentity, ObjectText, OldFiring};
use crate::notification::{identity, identity_of};

/// Firings that are taken over at a time.
const PAGE: i64 = 1_000;

/// What the notification of a firing says of its identity.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said<'a> {
    #[serde(borrow)]
    user_id: Cow<'a, str>,
    #[serde(borrow)]
    uid: Cow<'a, str>,
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow)]
    recurrence_id: Cow<'a, str>,
    #[serde(borrow)]
    summary: Cow<'a, str>,
}

impl FiringRenderer {
    /// Gives the firings of a ledger that an earlier version has written the identities that they have now, once; the
    /// latest first, a page at a time, so that it goes on where it was broken off. Of several firings that have the
    /// same identity now one gets it.
    ///
    /// # Errors
    /// Those of the ledger.
    pub async fn take_over(&self) -> Result<(), LedgerError> {
        let mut firings = 0;
        while let Some(page) = self.ledger.old_firings(PAGE).await? {
            if firings == 0 && !page.is_empty() {
                tracing::info!("the history is brought up to date for this version");
            }
            let unnamed: Vec<i64> = page
                .iter()
                .filter(|firing| said(firing).is_some_and(|said| said.uid.is_empty()))
                .map(|firing| firing.object)
                .collect();
            let objects = self.objects(&unnamed).await?;
            let new_identity =
                |old: &OldFiring| Some(NewIdentity { firing: old.id, identity: self.identity_now(old, &objects)? });
            let identities = page.iter().filter_map(new_identity).collect();
            self.ledger.take_over(identities, page.last().map(|firing| firing.id)).await?;
            firings += page.len();
        }
        if firings > 0 {
            tracing::info!(firings, "the history is up to date");
        }
        Ok(())
    }

    async fn objects(&self, ids: &[i64]) -> Result<HashMap<i64, (CalendarRow, ObjectText)>, LedgerError> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let texts = self.ledger.texts(ids).await?;
        let calendars: Vec<i64> = texts.iter().map(|text| text.calendar).collect();
        let rows = self.ledger.calendars_by_id(&calendars).await?;
        let with_row = |text: ObjectText| {
            let row = rows.iter().find(|row| row.id == text.calendar)?;
            Some((text.id, (row.clone(), text)))
        };
        Ok(texts.into_iter().filter_map(with_row).collect())
    }

    /// The identity that `firing` has now; none where nothing says it.
    fn identity_now(&self, firing: &OldFiring, objects: &HashMap<i64, (CalendarRow, ObjectText)>) -> Option<[u8; 16]> {
        let said = said(firing)?;
        if !said.uid.is_empty() {
            return Some(identity_of(&said.user_id, &said.uid, &said.action, firing.due));
        }
        // What has no UID is found by what it fires, as long as its object is there.
        let (row, text) = objects.get(&firing.object)?;
        let now = Schedule::of_text(&text.text, &self.context(row), text.count_cache.as_deref(), |_, schedule| {
            let instances = schedule.instances(firing.due..firing.due.just_after());
            let same = instances.iter().find(|other| {
                other.component.uid.is_empty()
                    && other.action.name() == said.action
                    && other.recurrence_id_text() == said.recurrence_id
                    && *other.component.summary == *said.summary
            });
            same.map(|same| identity(&about(&row.info), &text.href, same))
        });
        now.ok()?
    }
}

fn said(firing: &OldFiring) -> Option<Said<'_>> {
    serde_json::from_str(&firing.notification).ok()
}

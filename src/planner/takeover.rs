//! Rings that a ledger of an earlier version holds, under the identities that they have now: calendar and RECURRENCE-ID
//! were parts of these.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;

use super::firing::Place;
use super::{Planner, about};
use crate::calendar::object::Object;
use crate::calendar::plan::Plan;
use crate::ledger::{CalendarRow, LedgerError, ObjectText, OldRing};
use crate::notification::{identity, identity_of};

/// Rings that are taken over at a time.
const PAGE: i64 = 1_000;

/// What the notification of a ring says of its identity.
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

impl Planner {
    /// Gives the rings of a ledger that an earlier version has written the identities that they have now, once; the
    /// latest first, a page at a time, so that it goes on where it was broken off. Of several rings that have the same
    /// identity now one gets it.
    ///
    /// # Errors
    /// Those of the ledger.
    pub async fn take_over(&self) -> Result<(), LedgerError> {
        let mut rings = 0;
        while let Some(page) = self.ledger.old_rings(PAGE).await? {
            if rings == 0 && !page.is_empty() {
                tracing::info!("the history is brought up to date for this version");
            }
            let unnamed: Vec<i64> = page
                .iter()
                .filter(|ring| said(ring).is_some_and(|said| said.uid.is_empty()))
                .map(|ring| ring.object)
                .collect();
            let objects = self.objects(&unnamed).await?;
            let identities =
                page.iter().filter_map(|ring| Some((ring.id, self.identity_now(ring, &objects)?))).collect();
            self.ledger.take_over(identities, page.last().map(|ring| ring.id)).await?;
            rings += page.len();
        }
        if rings > 0 {
            tracing::info!(rings, "the history is up to date");
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

    /// The identity that `ring` has now; none where nothing says it.
    fn identity_now(&self, ring: &OldRing, objects: &HashMap<i64, (CalendarRow, ObjectText)>) -> Option<[u8; 16]> {
        let said = said(ring)?;
        if !said.uid.is_empty() {
            return Some(identity_of(&said.user_id, &said.uid, &said.action, ring.due));
        }
        // What has no UID is found by what it rings, as long as its object is there.
        let (row, text) = objects.get(&ring.object)?;
        let object = Object::parse(&text.text, &self.inner.limits).ok()?;
        let around = self.around(row);
        let plan = Plan::new(&object, &around, text.memo.as_deref());
        let place = Place { row, about: &about(row), object: text.id, href: &text.href };
        let rings = plan.instances(ring.due..ring.due.plus(1));
        let same = rings.iter().find(|other| {
            other.component.uid.is_empty()
                && other.action.name() == said.action
                && other.recurrence_id_text() == said.recurrence_id
                && *other.component.summary == *said.summary
        });
        same.map(|same| identity(place.about, place.href, same))
    }
}

fn said(ring: &OldRing) -> Option<Said<'_>> {
    serde_json::from_str(&ring.notification).ok()
}

//! Planning again what the ledger has: the time zone of a calendar has changed, the rules of a zone, or the clock.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Ingest;
use crate::calendar::zone::Zones;
use crate::ledger::{CalendarRow, FireOutcome, FireStats, LedgerError, ObjectText, PlannedObject, Replanned, Undone};
use crate::time::UtcMillis;

/// Under these keys the ledger remembers the version of the time zone database it was planned with, and each zone's
/// fingerprint in it.
const TZ_VERSION: &str = "tz_version";
const TZ_FINGERPRINTS: &str = "tz_fingerprints";
/// Under this key the ledger remembers the names of zones whose objects are being planned again, a JSON list.
const TZ_REPLANNING: &str = "tz_replanning";
/// Objects read at a time when a whole calendar is planned again.
const PAGE: i64 = 1_000;

impl Ingest {
    /// Plans the objects of a calendar again that the batch does not change: something that their times depend on has.
    pub(super) async fn replan(
        &self,
        row: &CalendarRow,
        put: &[PlannedObject],
        gone: &[String],
        previous: UtcMillis,
    ) -> Result<Vec<Replanned>, LedgerError> {
        let changed: HashSet<i64> = put.iter().filter_map(|object| object.existing.map(|version| version.id)).collect();
        let gone: HashSet<&str> = gone.iter().map(String::as_str).collect();
        let (mut replanned, mut after) = (Vec::new(), 0);
        loop {
            let mut page = self.context.ledger.texts_after(Some(row.id), None, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(replanned) };
            after = last.id;
            page.retain(|object| !changed.contains(&object.id) && !gone.contains(object.href.as_str()));
            replanned.extend(self.planner.replan_all(row.clone(), page, previous).await);
        }
    }

    /// Plans again what lies in zones whose rules `zones` has otherwise than the database that the ledger was planned
    /// with.
    ///
    /// # Errors
    /// Those of the ledger.
    pub async fn replan_changed_zones(&self, zones: &Zones) -> Result<(), LedgerError> {
        let before = self.context.ledger.meta(TZ_VERSION).await?;
        // A process that ended while it planned again may have left some objects in the zones of its own database.
        let begun = self.context.ledger.meta(TZ_REPLANNING).await?.unwrap_or_default();
        let begun: Vec<String> = serde_json::from_str(&begun).unwrap_or_default();
        // A folder can say nothing of its version, so where it lies counts as well.
        let version = format!("{} ({})", zones.version(), zones.origin());
        if before.as_ref() == Some(&version) && begun.is_empty() {
            return Ok(());
        }
        let fingerprint = |id: &str| Some((id.to_owned(), format!("{:016x}", zones.fingerprint(id)?)));
        let now: BTreeMap<String, String> = zones.ids().filter_map(fingerprint).collect();
        if let Some(before) = before {
            let stored = self.context.ledger.meta(TZ_FINGERPRINTS).await?.unwrap_or_default();
            let known: BTreeMap<String, String> = serde_json::from_str(&stored).unwrap_or_default();
            let changed: Vec<String> =
                now.iter().filter(|(id, f)| known.get(*id) != Some(f)).map(|(id, _)| id.clone()).collect();
            // What waits for a zone that was unknown has its name in lower case.
            let unresolved = changed.iter().map(|id| id.to_ascii_lowercase());
            let mut names: Vec<String> = changed.iter().cloned().chain(unresolved).chain(begun).collect();
            names.sort_unstable();
            names.dedup();
            self.context.ledger.set_meta(TZ_REPLANNING, &serde_json::json!(names).to_string()).await?;
            let moved = self.replan_kept(Some(&names), None).await?;
            tracing::info!(
                tz.before = before,
                tz.now = zones.version(),
                tz.changed = changed.len(),
                alarms.moved = moved,
                "the time zone database has changed; what lies in changed zones was planned again"
            );
        }
        self.context.ledger.set_meta(TZ_FINGERPRINTS, &serde_json::json!(now).to_string()).await?;
        self.context.ledger.set_meta(TZ_VERSION, &version).await?;
        self.context.ledger.set_meta(TZ_REPLANNING, "[]").await
    }

    /// Undoes what a clock that was ahead has done, if it was: what counts as missed and is still to come, or is
    /// not too late, fires.
    ///
    /// # Errors
    /// Those of the ledger.
    pub async fn clock_was_set(&self) -> Result<(), LedgerError> {
        let now = self.context.clock.now();
        // What syncs say that are not in the ledger is in the future as well.
        self.syncs().latest.retain(|_, at| *at <= now);
        if let Some(Undone { firings, deliveries }) =
            self.context.ledger.undo_future_records(now, self.max_lateness).await?
        {
            // Planning again may fail, and the next try finds nothing to undo.
            let stats = FireStats { deliveries, ..FireStats::default() };
            self.announce_commit(FireOutcome { stats, fired: Vec::new() }, now);
            tracing::warn!(
                firings,
                deliveries,
                "the clock was ahead and has been set back; what was missed meanwhile and is still to come will fire"
            );
        }
        // A process may have ended after it had undone, and before it had planned again.
        let Some(since) = self.context.ledger.to_be_replanned().await? else { return Ok(()) };
        let from = |object: i64| since.objects.get(&object).copied().unwrap_or(since.all).min(since.all).min(now);
        let moved = self.replan_kept(None, Some(&from)).await?;
        self.context.ledger.is_replanned().await?;
        self.context.wakeup.wake();
        tracing::info!(alarms.moved = moved, "everything was planned again, for the clock has been set back");
        Ok(())
    }

    /// Plans again what depends on one of `zones`, or everything, with the texts that the ledger has: what is due
    /// `from` an instant on that depends on the object, else since the last sync. Returns how many objects fire at
    /// another instant now.
    async fn replan_kept(
        &self,
        zones: Option<&[String]>,
        from: Option<&(dyn Fn(i64) -> UtcMillis + Sync)>,
    ) -> Result<usize, LedgerError> {
        let rows = self.context.ledger.calendars(None).await?;
        let (mut moved, mut after) = (0, 0);
        loop {
            let page = self.context.ledger.texts_after(None, zones, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(moved) };
            after = last.id;
            let mut by_calendar: HashMap<i64, Vec<ObjectText>> = HashMap::new();
            for object in page {
                by_calendar.entry(object.calendar).or_default().push(object);
            }
            for row in &rows {
                let mut by_instant: BTreeMap<UtcMillis, Vec<ObjectText>> = BTreeMap::new();
                for object in by_calendar.remove(&row.id).unwrap_or_default() {
                    by_instant.entry(from.map_or(row.last_synced_at, |from| from(object.id))).or_default().push(object);
                }
                for (from, objects) in by_instant {
                    let replanned = self.planner.replan_all(row.clone(), objects, from).await;
                    moved += self.context.ledger.replan(replanned).await?;
                }
            }
        }
    }
}

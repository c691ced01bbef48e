//! The timers, one per object, and firing: the firings, what they owe to the sinks and the next timer, in one
//! transaction.

use std::collections::{HashMap, HashSet};

use sqlx::SqliteConnection;

use super::model::{DeliveryState, FiringState};
use super::{Ledger, LedgerError, bulk};
use crate::time::UtcMillis;

/// A timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timer {
    pub due: UtcMillis,
    pub object: i64,
    pub revision: i64,
}

/// Where a firing goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// The sink's id in the ledger.
    pub sink: i64,
    /// The address, for sinks that send one message a recipient; else empty.
    pub recipient: String,
}

/// A firing to be recorded, unless one of the same identity is.
#[derive(Clone, Debug)]
pub struct NewFiring {
    pub identity: [u8; 16],
    pub calendar: i64,
    pub object: i64,
    pub due: UtcMillis,
    pub state: FiringState,
    /// How many alarm instances it stands for: more than one only if it is missed or suppressed.
    pub count: i64,
    /// The notification as JSON; empty where it was not fired.
    pub notification: String,
    pub routes: Vec<Route>,
}

/// What a due object does: its firings, and when it is due again.
#[derive(Clone, Debug)]
pub struct DueObject {
    pub timer: Timer,
    pub firings: Vec<NewFiring>,
    pub next: Option<UtcMillis>,
}

/// What a transaction recorded of firings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FireStats {
    /// Alarms of the new firings, by state.
    pub fired: u64,
    pub missed: u64,
    pub suppressed: u64,
    /// Firings that the ledger held already.
    pub already: u64,
    /// Deliveries that the new firings owe.
    pub deliveries: u64,
}

impl FireStats {
    /// Counts the alarms of a new firing.
    fn count(&mut self, firing: &NewFiring) {
        let alarms = match firing.state {
            FiringState::Fired => &mut self.fired,
            FiringState::Missed => &mut self.missed,
            FiringState::Suppressed => &mut self.suppressed,
        };
        *alarms = alarms.saturating_add(u64::try_from(firing.count).unwrap_or(0));
    }
}

/// What became of objects that were to fire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FireOutcome {
    pub recorded: FireStats,
    /// Ids of the objects that were left out, because their timers had changed.
    pub left_out: HashSet<i64>,
}

const NEW_FIRINGS: &str =
    "INSERT OR IGNORE INTO firings (id, identity, calendar, object, due, fired_at, state, count, notification) VALUES";
const NEW_DELIVERIES: &str = "INSERT INTO deliveries (firing, sink, recipient, state, next_attempt) VALUES";
const STRETCH: &str =
    "SELECT due, object, revision FROM timers WHERE (due, object) >= (?, ?) AND (due, object) <= (?, ?)
    ORDER BY due, object";
const DISARM_STRETCH: &str = "DELETE FROM timers WHERE (due, object) >= (?, ?) AND (due, object) <= (?, ?)";
const DISARM: &str = "DELETE FROM timers WHERE (due, object, revision) IN (VALUES";

impl Ledger {
    /// The timers from (due, object) `from` on that are due at `upto` or before, earliest first, `limit` at most.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn due(&self, from: (UtcMillis, i64), upto: UtcMillis, limit: i64) -> Result<Vec<Timer>, LedgerError> {
        let sql = "SELECT due, object, revision FROM timers WHERE (due, object) >= (?, ?) AND due <= ?
            ORDER BY due, object LIMIT ?";
        let query = sqlx::query_as(sql).bind(from.0.0).bind(from.1).bind(upto.0).bind(limit);
        let rows: Vec<(i64, i64, i64)> = query.fetch_all(self.readers()).await?;
        Ok(rows.into_iter().map(|(due, object, revision)| Timer { due: UtcMillis(due), object, revision }).collect())
    }

    /// When the earliest timer from `from` on is due.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn next_due(&self, from: UtcMillis) -> Result<Option<UtcMillis>, LedgerError> {
        let sql = "SELECT min(due) FROM timers WHERE due >= ?";
        let due: Option<i64> = sqlx::query_scalar(sql).bind(from.0).fetch_one(self.readers()).await?;
        Ok(due.map(UtcMillis))
    }

    /// How many timers are armed.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn armed(&self) -> Result<i64, LedgerError> {
        Ok(sqlx::query_scalar("SELECT count(*) FROM timers").fetch_one(self.readers()).await?)
    }

    /// Fires: records the firings that are new, what they owe to the sinks, and each object's next timer. An object
    /// whose timer is no longer there as it was read (an edit came first) is left out; the others do not wait for it.
    ///
    /// # Errors
    /// [`LedgerError::Full`] and [`LedgerError::Database`]; nothing of the whole batch was written then.
    pub async fn fire(&self, due_objects: Vec<DueObject>, now: UtcMillis) -> Result<FireOutcome, LedgerError> {
        let first = self.firing_ids(due_objects.iter().map(|f| f.firings.len()).sum());
        self.write(move |c| Box::pin(fire(c, due_objects, now, first))).await
    }
}

async fn fire(
    c: &mut SqliteConnection,
    mut due_objects: Vec<DueObject>,
    now: UtcMillis,
    first_firing: i64,
) -> Result<FireOutcome, LedgerError> {
    let mut left_out = HashSet::new();
    let timers = due_objects.iter().map(|due_object| key(&due_object.timer)).collect();
    if let Some(there) = disarm(c, timers).await? {
        let is_there = |due_object: &DueObject| there.contains(&key(&due_object.timer));
        left_out.extend(due_objects.iter().filter(|one| !is_there(one)).map(|one| one.timer.object));
        due_objects.retain(is_there);
    }
    let mut armed: Vec<(i64, i64, i64)> =
        due_objects.iter().filter_map(|f| f.next.map(|next| (next.0, f.timer.object, f.timer.revision))).collect();
    arm(c, &mut armed).await?;
    let firings: Vec<NewFiring> = due_objects.into_iter().flat_map(|f| f.firings).collect();
    Ok(FireOutcome { recorded: record(c, &firings, now, first_firing).await?, left_out })
}

fn key(timer: &Timer) -> (i64, i64, i64) {
    (timer.due.0, timer.object, timer.revision)
}

/// Takes timers away: due, object, revision. Where not all of them are there as they were read, says which are.
async fn disarm(
    c: &mut SqliteConnection,
    mut timers: Vec<(i64, i64, i64)>,
) -> Result<Option<HashSet<(i64, i64, i64)>>, LedgerError> {
    timers.sort_unstable();
    let (Some(first), Some(last)) = (timers.first().copied(), timers.last().copied()) else { return Ok(None) };
    let stretch = sqlx::query_as(STRETCH).bind(first.0).bind(first.1).bind(last.0).bind(last.1);
    let there: Vec<(i64, i64, i64)> = stretch.fetch_all(&mut *c).await?;
    if there == timers {
        // Nearly always they are all that is due in that stretch of time; one sweep takes a quarter of the time that
        // looking for each takes.
        let sweep = sqlx::query(DISARM_STRETCH).bind(first.0).bind(first.1).bind(last.0).bind(last.1);
        sweep.execute(c).await?;
        return Ok(None);
    }
    let there: HashSet<(i64, i64, i64)> = there.into_iter().collect();
    let before = timers.len();
    timers.retain(|timer| there.contains(timer));
    bulk::rows(c, (DISARM, 3, ")"), &timers, |query, timer| query.bind(timer.0).bind(timer.1).bind(timer.2)).await?;
    Ok((timers.len() < before).then_some(there))
}

/// Arms timers: due, object, revision. They are sorted, so that neighbours are written together.
pub async fn arm(c: &mut SqliteConnection, timers: &mut [(i64, i64, i64)]) -> Result<(), LedgerError> {
    timers.sort_unstable();
    let head = "INSERT INTO timers (due, object, revision) VALUES";
    bulk::rows(c, (head, 3, ""), timers, |query, (due, object, revision)| {
        query.bind(*due).bind(*object).bind(*revision)
    })
    .await?;
    Ok(())
}

/// Records those of `firings` that are new, with ids from `first` on, and their deliveries.
pub async fn record(
    c: &mut SqliteConnection,
    firings: &[NewFiring],
    now: UtcMillis,
    first: i64,
) -> Result<FireStats, LedgerError> {
    let numbered: Vec<(i64, &NewFiring)> = (first..).zip(firings).collect();
    let new = bulk::rows(c, (NEW_FIRINGS, 9, ""), &numbered, |query, (id, firing)| {
        query
            .bind(*id)
            .bind(firing.identity.as_slice())
            .bind(firing.calendar)
            .bind(firing.object)
            .bind(firing.due.0)
            .bind(now.0)
            .bind(firing.state)
            .bind(firing.count)
            .bind(firing.notification.as_str())
    })
    .await?;
    let recorded = if new == numbered.len() as u64 { None } else { Some(recorded(c, first, numbered.len()).await?) };
    let mut stats = FireStats { already: numbered.len() as u64 - new, ..FireStats::default() };
    let is_new = |id: &i64| recorded.as_ref().is_none_or(|recorded| recorded.binary_search(id).is_ok());
    numbered.iter().filter(|(id, _)| is_new(id)).for_each(|(_, firing)| stats.count(firing));
    let owed: Vec<(i64, &Route)> = match recorded {
        None => numbered.iter().flat_map(|(id, firing)| firing.routes.iter().map(|route| (*id, route))).collect(),
        Some(recorded) => joined(&numbered, &recorded),
    };
    bulk::rows(c, (NEW_DELIVERIES, 5, ""), &owed, |query, (firing, route)| {
        query.bind(*firing).bind(route.sink).bind(route.recipient.as_str()).bind(DeliveryState::Pending).bind(now.0)
    })
    .await?;
    stats.deliveries = owed.len() as u64;
    Ok(stats)
}

/// What those of `firings` owe that were `recorded`: ids, ascending. A firing that is one with a recorded one of
/// these (the event is in two calendars) adds what it owes to other recipients.
fn joined<'r>(firings: &[(i64, &'r NewFiring)], recorded: &[i64]) -> Vec<(i64, &'r Route)> {
    let is_recorded = |id: &i64| recorded.binary_search(id).is_ok();
    let first: HashMap<[u8; 16], i64> =
        firings.iter().filter(|(id, _)| is_recorded(id)).map(|(id, firing)| (firing.identity, *id)).collect();
    let mut known: HashSet<(i64, i64, String)> = HashSet::new();
    let mut owed = Vec::new();
    for (_, firing) in firings {
        let Some(id) = first.get(&firing.identity) else { continue };
        for route in &firing.routes {
            // Two objects may spell an address otherwise.
            if known.insert((*id, route.sink, route.recipient.to_lowercase())) {
                owed.push((*id, route));
            }
        }
    }
    owed
}

/// Which of the `count` ids from `first` on are in use, ascending.
async fn recorded(c: &mut SqliteConnection, first: i64, count: usize) -> Result<Vec<i64>, LedgerError> {
    let end = first.saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
    let sql = "SELECT id FROM firings WHERE id >= ? AND id < ? ORDER BY id";
    Ok(sqlx::query_scalar(sql).bind(first).bind(end).fetch_all(c).await?)
}

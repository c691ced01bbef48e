//! Recording firings and what they owe to the sinks.

use std::collections::{HashMap, HashSet};

use sqlx::SqliteConnection;

use super::bulk::{self, Insert};
use crate::ledger::error::LedgerError;
use crate::ledger::model::{DeliveryState, FireOutcome, FiredAlarm, FiringState, NewFiring, Route};
use crate::time::UtcMillis;

const NEW_FIRINGS: Insert = Insert {
    head: "INSERT OR IGNORE INTO firings (id, identity, calendar, object, due, fired_at, state, count, notification) VALUES",
    columns: 9,
    tail: "",
};
const NEW_DELIVERIES: Insert = Insert {
    head: "INSERT INTO deliveries (firing, sink, recipient, state, next_attempt, held_until) VALUES",
    columns: 6,
    tail: "",
};

/// A firing with the id that it gets if it is new.
#[derive(Clone, Copy)]
struct Numbered<'r> {
    id: i64,
    firing: &'r NewFiring,
}

/// Where a firing that was recorded goes.
#[derive(Clone, Copy)]
struct RouteOf<'r> {
    firing: i64,
    route: &'r Route,
}

/// Records those of `firings` that are new, with ids from `first` on, and their deliveries.
pub async fn record(
    c: &mut SqliteConnection,
    firings: &[NewFiring],
    now: UtcMillis,
    first: i64,
) -> Result<FireOutcome, LedgerError> {
    let numbered: Vec<Numbered<'_>> = (first..).zip(firings).map(|(id, firing)| Numbered { id, firing }).collect();
    let new = bulk::rows(c, NEW_FIRINGS, &numbered, |query, Numbered { id, firing }| {
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
    let used = if new == numbered.len() as u64 { None } else { Some(used_ids(c, first, numbered.len()).await?) };
    let is_new = |id: i64| used.as_ref().is_none_or(|used| used.binary_search(&id).is_ok());
    let mut outcome = FireOutcome::default();
    outcome.stats.already = numbered.len() as u64 - new;
    for Numbered { firing, .. } in numbered.iter().filter(|one| is_new(one.id)) {
        outcome.stats.count(firing);
        if firing.state == FiringState::Fired {
            outcome.fired.push(FiredAlarm { due: firing.due, object: firing.object });
        }
    }
    let owed: Vec<RouteOf<'_>> = match used {
        None => numbered.iter().flat_map(Numbered::routes).collect(),
        Some(used) => joined(&numbered, &used),
    };
    bulk::rows(c, NEW_DELIVERIES, &owed, |query, RouteOf { firing, route }| {
        let held_until = route.not_before.filter(|until| *until > now);
        let query = query.bind(*firing).bind(route.sink).bind(route.recipient.as_str()).bind(DeliveryState::Pending);
        query.bind(held_until.unwrap_or(now).0).bind(held_until.map(|until| until.0))
    })
    .await?;
    outcome.stats.deliveries = owed.len() as u64;
    Ok(outcome)
}

impl<'r> Numbered<'r> {
    fn routes(&self) -> impl Iterator<Item = RouteOf<'r>> {
        let Numbered { id, firing } = *self;
        firing.routes.iter().map(move |route| RouteOf { firing: id, route })
    }
}

/// What those of `firings` owe that were `recorded`: ids, ascending. A firing that is one with a recorded one of
/// these (the event is in two calendars) adds what it owes to other recipients.
fn joined<'r>(firings: &[Numbered<'r>], recorded: &[i64]) -> Vec<RouteOf<'r>> {
    let is_recorded = |one: &&Numbered<'_>| recorded.binary_search(&one.id).is_ok();
    let first: HashMap<[u8; 16], i64> =
        firings.iter().filter(is_recorded).map(|one| (one.firing.identity, one.id)).collect();
    let mut known: HashSet<(i64, i64, String)> = HashSet::new();
    let mut owed = Vec::new();
    for Numbered { firing, .. } in firings {
        let Some(id) = first.get(&firing.identity) else { continue };
        for route in &firing.routes {
            // Two objects may spell an address otherwise.
            if known.insert((*id, route.sink, route.recipient.to_lowercase())) {
                owed.push(RouteOf { firing: *id, route });
            }
        }
    }
    owed
}

/// Which of the `count` ids from `first` on are in use, ascending.
async fn used_ids(c: &mut SqliteConnection, first: i64, count: usize) -> Result<Vec<i64>, LedgerError> {
    let end = first.saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
    let sql = "SELECT id FROM firings WHERE id >= ? AND id < ? ORDER BY id";
    Ok(sqlx::query_scalar(sql).bind(first).bind(end).fetch_all(c).await?)
}

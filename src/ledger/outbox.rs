//! The outbox: deliveries are claimed under a lease, sent, and settled. The state machine is
//! pending → delivered | failed | cancelled; every transition is a conditional update, and changing nothing is a normal
//! answer (somebody cancelled it meanwhile).

use std::collections::HashMap;
use std::string::FromUtf8Error;
use std::sync::Arc;

use sqlx::SqliteConnection;

use super::leases::{Held, Owed};
use super::lossy_text::readable;
use super::model::DeliveryState;
use super::state::state;
use super::store::id_list;
use super::{Ledger, LedgerError};
use crate::time::UtcMillis;

/// A delivery that its claimer may send until the lease ends.
#[derive(Clone, Debug)]
pub struct ClaimedDelivery {
    /// The firing's id in the ledger.
    pub firing: i64,
    /// The bare address for sinks that send one message a recipient; else empty.
    pub recipient: String,
    /// The `CalendarAlarm` object as it is stored: one line, all keys.
    pub notification: Arc<str>,
    /// When its firing was recorded.
    pub fired_at: UtcMillis,
    /// Attempts that were settled before this one.
    pub attempts: u32,
    /// Of those, attempts that may have delivered it.
    pub unknown: u32,
}

/// What a claim came to.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    pub deliveries: Vec<ClaimedDelivery>,
    /// How many were given up, because what is to be sent, or to whom, is damaged.
    pub given_up: u64,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextState {
    Delivered,
    /// To be tried again, not before `at`.
    Retry {
        response: String,
        at: UtcMillis,
    },
    /// It waits for something else than its time, and that was no attempt of its own.
    Waits {
        response: String,
    },
    /// Not to be tried again.
    Failed {
        response: String,
    },
}

/// The end of one attempt at one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    pub firing: i64,
    pub recipient: String,
    pub next_state: NextState,
    /// Nobody knows whether the attempt delivered it.
    pub unknown: bool,
}

/// Firing, recipient, attempts, of them unknown, when it was fired, notification, the next attempt. Octets, for a
/// turned bit makes them no text.
type Claimable = (i64, Vec<u8>, i64, i64, i64, Vec<u8>, i64);

/// Deliveries that are read in one go, and octets of notifications after which no more are claimed at a time: bounds on
/// memory.
const PAGE: i64 = 256;
const OCTETS: usize = 16 * 1024 * 1024;

pub(super) const CLAIMABLE: &str = concat!(
    "SELECT d.firing, d.recipient, d.attempts, d.unknown, f.fired_at, f.notification, d.next_attempt
    FROM deliveries d CROSS JOIN firings f ON f.id = d.firing
    WHERE d.state = ",
    state!(Pending),
    " AND d.sink = ?1 AND d.next_attempt <= ?2
    AND (d.next_attempt, d.firing, d.recipient) > (?4, ?5, CAST(?6 AS TEXT))
    ORDER BY d.next_attempt, d.firing, d.recipient LIMIT ?3"
);
pub(super) const NEXT: &str = concat!(
    "SELECT next_attempt, firing, recipient FROM deliveries WHERE state = ",
    state!(Pending),
    " AND sink = ?1 ORDER BY next_attempt, firing, recipient LIMIT ?2"
);
const OWED: &str = concat!(
    "SELECT s.name, (SELECT count(*) FROM deliveries d WHERE d.sink = s.id AND d.state = ",
    state!(Pending),
    ") AS owed FROM sinks s WHERE s.name NOT IN (SELECT value FROM json_each(?)) AND owed > 0 ORDER BY s.name"
);
pub(super) const DELIVERED: &str =
    "UPDATE deliveries SET state = ?4, attempts = attempts + 1, response = NULL, settled_at = ?3
    WHERE sink = ?1 AND recipient = '' AND firing IN (SELECT value FROM json_each(?2)) AND state = ?5";
const WAITS: &str =
    "UPDATE deliveries SET response = ?4 WHERE firing = ?1 AND sink = ?2 AND recipient = ?3 AND state = ?5";
pub(super) const SETTLE: &str = "UPDATE deliveries SET state = ?4, attempts = attempts + 1, response = ?5,
    next_attempt = coalesce(?6, next_attempt), settled_at = ?7, unknown = unknown + ?8
    WHERE firing = ?1 AND sink = ?2 AND recipient = ?3 AND state = ?9";

const GIVE_UP: &str = "UPDATE deliveries SET state = ?5, settled_at = ?4,
    response = 'its notification in the ledger is damaged: what is to be sent, or to whom, cannot be read'
    WHERE firing = ?1 AND sink = ?2 AND CAST(recipient AS BLOB) = ?3 AND state = ?6";

impl Ledger {
    /// The ids of the sinks with these names; new names get one.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn sinks(&self, names: &[&str]) -> Result<HashMap<String, i64>, LedgerError> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.write(move |c| {
            Box::pin(async move {
                let mut ids = HashMap::new();
                for name in names {
                    let sql = "INSERT INTO sinks (name) VALUES (?) ON CONFLICT DO NOTHING";
                    sqlx::query(sql).bind(name.clone()).execute(&mut *c).await?;
                    let id = sqlx::query_scalar("SELECT id FROM sinks WHERE name = ?").bind(name.clone());
                    ids.insert(name, id.fetch_one(&mut *c).await?);
                }
                Ok(ids)
            })
        })
        .await
    }

    /// The sinks that are not among `names` and are owed something, and how many deliveries that is.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn orphaned_sinks(&self, names: &[&str]) -> Result<Vec<(String, i64)>, LedgerError> {
        let sinks: Vec<(Vec<u8>, i64)> =
            sqlx::query_as(OWED).bind(serde_json::json!(names).to_string()).fetch_all(self.readers()).await?;
        Ok(sinks.into_iter().map(|(name, owed)| (readable(name), owed)).collect())
    }

    /// Claims up to `limit` deliveries of `sink` that may be tried at `now`, until `lease`: nobody else gets them
    /// before. Those that have waited longest come first; where their notifications are large, fewer are claimed. What
    /// a turned bit has made unreadable is given up, so that it does not keep the others.
    ///
    /// # Errors
    /// [`LedgerError::Database`]; nothing is claimed then.
    pub async fn claim(&self, sink: i64, now: UtcMillis, lease: UtcMillis, limit: i64) -> Result<Claims, LedgerError> {
        let held = self.leases().of(sink);
        let mut held = held.lock().await;
        held.retain(|_, until| *until > now);
        let room = usize::try_from(limit).unwrap_or_default();
        let (mut deliveries, mut damaged, mut octets) = (Vec::new(), Vec::new(), 0);
        let mut after = (i64::MIN, i64::MIN, Vec::new());
        let mut rows = Vec::new().into_iter();
        let mut is_all = false;
        while deliveries.len() < room && octets < OCTETS {
            let Some((firing, recipient, attempts, unknown, fired_at, notification, next_attempt)) = rows.next() else {
                if is_all {
                    break;
                }
                let claimable = sqlx::query_as(CLAIMABLE).bind(sink).bind(now.0).bind(PAGE);
                let claimable = claimable.bind(after.0).bind(after.1).bind(std::mem::take(&mut after.2));
                let page: Vec<Claimable> = claimable.fetch_all(self.readers()).await?;
                is_all = page.len() < usize::try_from(PAGE).unwrap_or_default();
                rows = page.into_iter();
                continue;
            };
            after = (next_attempt, firing, recipient.clone());
            let (recipient, notification) = match (String::from_utf8(recipient), String::from_utf8(notification)) {
                (Ok(recipient), Ok(notification)) => (recipient, notification),
                (recipient, _) => {
                    damaged.push((firing, recipient.map_or_else(FromUtf8Error::into_bytes, String::into_bytes)));
                    continue;
                }
            };
            let owed = (firing, recipient);
            if held.contains_key(&owed) {
                continue;
            }
            octets += notification.len();
            deliveries.push(ClaimedDelivery {
                firing,
                recipient: owed.1,
                notification: notification.into(),
                fired_at: UtcMillis(fired_at),
                attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
                unknown: u32::try_from(unknown).unwrap_or(u32::MAX),
            });
        }
        let given_up = match damaged.is_empty() {
            true => 0,
            false => self.write(move |c| Box::pin(give_up(c, sink, damaged, now))).await?,
        };
        held.extend(deliveries.iter().map(|claimed| ((claimed.firing, claimed.recipient.clone()), lease)));
        Ok(Claims { deliveries, given_up })
    }

    /// Settles attempts, which ends their leases. Deliveries that are no longer pending are left as they are.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`]; the leases go on then.
    pub async fn settle(&self, sink: i64, settlements: Vec<Settlement>, now: UtcMillis) -> Result<(), LedgerError> {
        let owed: Vec<Owed> = settlements.iter().map(|s| (s.firing, s.recipient.clone())).collect();
        self.write(move |c| Box::pin(settle(c, sink, settlements, now))).await?;
        let held = self.leases().of(sink);
        let mut held = held.lock().await;
        for owed in &owed {
            held.remove(owed);
        }
        Ok(())
    }

    /// Ends the leases of what was claimed and not tried.
    pub async fn unclaim(&self, sink: i64, owed: &[Owed]) {
        let held = self.leases().of(sink);
        let mut held = held.lock().await;
        for owed in owed {
            held.remove(owed);
        }
    }

    /// When the next delivery of `sink` may be tried; none when nothing is pending. What is leased waits for the end of
    /// its lease.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn next_attempt(&self, sink: i64) -> Result<Option<UtcMillis>, LedgerError> {
        let held = self.leases().of(sink);
        let held = held.lock().await;
        let next = sqlx::query_as(NEXT).bind(sink).bind(count(&held).saturating_add(1));
        let rows: Vec<(i64, i64, Vec<u8>)> = next.fetch_all(self.readers()).await?;
        let at = |(at, firing, recipient)| {
            UtcMillis(at).max(held.get(&(firing, readable(recipient))).copied().unwrap_or(UtcMillis::MIN))
        };
        Ok(rows.into_iter().map(at).min())
    }
}

fn count(held: &Held) -> i64 {
    i64::try_from(held.len()).unwrap_or(i64::MAX)
}

/// Gives deliveries up that cannot be read: firing and recipient. Says how many of them were still pending.
async fn give_up(
    c: &mut SqliteConnection,
    sink: i64,
    damaged: Vec<(i64, Vec<u8>)>,
    now: UtcMillis,
) -> Result<u64, LedgerError> {
    let mut given_up = 0_u64;
    for (firing, recipient) in damaged {
        let query = sqlx::query(GIVE_UP).bind(firing).bind(sink).bind(recipient).bind(now.0);
        let query = query.bind(DeliveryState::Failed).bind(DeliveryState::Pending);
        given_up = given_up.saturating_add(query.execute(&mut *c).await?.rows_affected());
    }
    Ok(given_up)
}

async fn settle(
    c: &mut SqliteConnection,
    sink: i64,
    settlements: Vec<Settlement>,
    now: UtcMillis,
) -> Result<(), LedgerError> {
    let whole = |s: &Settlement| s.recipient.is_empty() && s.next_state == NextState::Delivered;
    let delivered = id_list(settlements.iter().filter(|s| whole(s)).map(|s| s.firing));
    if delivered != "[]" {
        let query = sqlx::query(DELIVERED).bind(sink).bind(delivered).bind(now.0);
        query.bind(DeliveryState::Delivered).bind(DeliveryState::Pending).execute(&mut *c).await?;
    }
    for settlement in settlements.into_iter().filter(|s| !whole(s)) {
        let (state, response, next, settled) = match settlement.next_state {
            NextState::Waits { response } => {
                let query = sqlx::query(WAITS).bind(settlement.firing).bind(sink).bind(settlement.recipient);
                query.bind(response).bind(DeliveryState::Pending).execute(&mut *c).await?;
                continue;
            }
            NextState::Delivered => (DeliveryState::Delivered, None, None, Some(now.0)),
            NextState::Retry { response, at } => (DeliveryState::Pending, Some(response), Some(at.0), None),
            NextState::Failed { response } => (DeliveryState::Failed, Some(response), None, Some(now.0)),
        };
        sqlx::query(SETTLE)
            .bind(settlement.firing)
            .bind(sink)
            .bind(settlement.recipient)
            .bind(state)
            .bind(response)
            .bind(next)
            .bind(settled)
            .bind(settlement.unknown)
            .bind(DeliveryState::Pending)
            .execute(&mut *c)
            .await?;
    }
    Ok(())
}

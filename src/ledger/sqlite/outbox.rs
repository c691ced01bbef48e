//! The outbox: deliveries are claimed under a lease, sent, and settled. The state machine is
//! pending → delivered | failed | cancelled; every transition is a conditional update, and changing nothing is a normal
//! answer (somebody cancelled it meanwhile).

use std::collections::HashMap;
use std::string::FromUtf8Error;

use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row as _, SqliteConnection};

use super::bulk::id_list;
use super::connection::Sqlite;
use super::leases::Held;
use super::lossy_text::readable;
use super::state::state;
use crate::ledger::error::LedgerError;
use crate::ledger::model::{ClaimedDelivery, Claims, DeliveryKey, DeliveryState, NextState, OrphanedSink, Settlement};
use crate::time::UtcMillis;

/// A delivery that may be tried. Its texts are octets, for a turned bit makes them no text.
struct Claimable {
    firing: i64,
    recipient: Vec<u8>,
    attempts: i64,
    unknown: i64,
    fired_at: UtcMillis,
    notification: Vec<u8>,
    next_attempt: i64,
}

/// A place in the order in which deliveries are claimed.
#[derive(Default)]
struct ClaimCursor {
    next_attempt: i64,
    firing: i64,
    recipient: Vec<u8>,
}

/// Deliveries that are read in one go, and octets of notifications after which no more are claimed at a time: bounds on
/// memory.
const PAGE: i64 = 256;
const OCTETS: usize = 16 * 1024 * 1024;

pub(super) const CLAIMABLE: &str = concat!(
    "SELECT d.firing, d.recipient, d.attempts, d.unknown, max(f.fired_at, ifnull(d.held_until, f.fired_at)),
    f.notification, d.next_attempt
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

impl Sqlite {
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

    pub async fn orphaned_sinks(&self, names: &[&str]) -> Result<Vec<OrphanedSink>, LedgerError> {
        let sinks: Vec<(Vec<u8>, i64)> =
            sqlx::query_as(OWED).bind(serde_json::json!(names).to_string()).fetch_all(self.readers()).await?;
        Ok(sinks.into_iter().map(|(name, pending)| OrphanedSink { name: readable(name), pending }).collect())
    }

    pub async fn claim(&self, sink: i64, now: UtcMillis, lease: UtcMillis, limit: i64) -> Result<Claims, LedgerError> {
        let held = self.leases().of(sink);
        let mut held = held.lock().await;
        held.retain(|_, until| *until > now);
        let room = usize::try_from(limit).unwrap_or_default();
        let (mut deliveries, mut damaged, mut octets) = (Vec::new(), Vec::new(), 0);
        let mut after = ClaimCursor { next_attempt: i64::MIN, firing: i64::MIN, recipient: Vec::new() };
        let mut rows = Vec::new().into_iter();
        let mut is_all = false;
        while deliveries.len() < room && octets < OCTETS {
            let Some(row) = rows.next() else {
                if is_all {
                    break;
                }
                let page = self.claimable(sink, now, std::mem::take(&mut after)).await?;
                is_all = page.len() < usize::try_from(PAGE).unwrap_or_default();
                rows = page.into_iter();
                continue;
            };
            after = row.cursor();
            match row.read() {
                Ok(delivery) if held.contains_key(&delivery.key()) => {}
                Ok(delivery) => {
                    octets += delivery.notification.len();
                    deliveries.push(delivery);
                }
                Err(unreadable) => damaged.push(unreadable),
            }
        }
        let given_up = match damaged.is_empty() {
            true => 0,
            false => self.write(move |c| Box::pin(give_up(c, sink, damaged, now))).await?,
        };
        held.extend(deliveries.iter().map(|claimed| (claimed.key(), lease)));
        Ok(Claims { deliveries, given_up })
    }

    /// The next page of what may be tried at `now`, behind `after`.
    async fn claimable(&self, sink: i64, now: UtcMillis, after: ClaimCursor) -> Result<Vec<Claimable>, LedgerError> {
        let query = sqlx::query_as(CLAIMABLE).bind(sink).bind(now.0).bind(PAGE);
        let query = query.bind(after.next_attempt).bind(after.firing).bind(after.recipient);
        Ok(query.fetch_all(self.readers()).await?)
    }

    pub async fn settle(&self, sink: i64, settlements: Vec<Settlement>, now: UtcMillis) -> Result<(), LedgerError> {
        let settled: Vec<DeliveryKey> = settlements.iter().map(Settlement::key).collect();
        self.write(move |c| Box::pin(settle(c, sink, settlements, now))).await?;
        let held = self.leases().of(sink);
        let mut held = held.lock().await;
        for delivery in &settled {
            held.remove(delivery);
        }
        Ok(())
    }

    pub async fn unclaim(&self, sink: i64, deliveries: &[DeliveryKey]) {
        let held = self.leases().of(sink);
        let mut held = held.lock().await;
        for delivery in deliveries {
            held.remove(delivery);
        }
    }

    pub async fn next_attempt(&self, sink: i64) -> Result<Option<UtcMillis>, LedgerError> {
        let held = self.leases().of(sink);
        let held = held.lock().await;
        let next = sqlx::query_as(NEXT).bind(sink).bind(count(&held).saturating_add(1));
        let rows: Vec<(i64, i64, Vec<u8>)> = next.fetch_all(self.readers()).await?;
        let at = |(at, firing, recipient)| {
            let key = DeliveryKey { firing, recipient: readable(recipient) };
            UtcMillis(at).max(held.get(&key).copied().unwrap_or(UtcMillis::MIN))
        };
        Ok(rows.into_iter().map(at).min())
    }
}

fn count(held: &Held) -> i64 {
    i64::try_from(held.len()).unwrap_or(i64::MAX)
}

impl Claimable {
    /// Where the walk goes on behind it.
    fn cursor(&self) -> ClaimCursor {
        ClaimCursor { next_attempt: self.next_attempt, firing: self.firing, recipient: self.recipient.clone() }
    }

    fn read(self) -> Result<ClaimedDelivery, DamagedDelivery> {
        let Claimable { firing, .. } = self;
        match (String::from_utf8(self.recipient), String::from_utf8(self.notification)) {
            (Ok(recipient), Ok(notification)) => Ok(ClaimedDelivery {
                firing,
                recipient,
                notification: notification.into(),
                fired_at: self.fired_at,
                attempts: u32::try_from(self.attempts).unwrap_or(u32::MAX),
                unknown: u32::try_from(self.unknown).unwrap_or(u32::MAX),
            }),
            (recipient, _) => {
                let recipient = recipient.map_or_else(FromUtf8Error::into_bytes, String::into_bytes);
                Err(DamagedDelivery { firing, recipient })
            }
        }
    }
}

impl FromRow<'_, SqliteRow> for Claimable {
    fn from_row(row: &SqliteRow) -> Result<Claimable, sqlx::Error> {
        Ok(Claimable {
            firing: row.try_get(0)?,
            recipient: row.try_get(1)?,
            attempts: row.try_get(2)?,
            unknown: row.try_get(3)?,
            fired_at: UtcMillis(row.try_get(4)?),
            notification: row.try_get(5)?,
            next_attempt: row.try_get(6)?,
        })
    }
}

/// A delivery that cannot be read.
struct DamagedDelivery {
    firing: i64,
    /// Octets that may be no text.
    recipient: Vec<u8>,
}

/// Gives deliveries up that cannot be read. Says how many of them were still pending.
async fn give_up(
    c: &mut SqliteConnection,
    sink: i64,
    damaged: Vec<DamagedDelivery>,
    now: UtcMillis,
) -> Result<u64, LedgerError> {
    let mut given_up = 0_u64;
    for DamagedDelivery { firing, recipient } in damaged {
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

//! The outbox: deliveries are claimed under a lease, sent, and settled. The state machine is
//! pending → delivered | failed | cancelled; every transition is a conditional update, and changing nothing is a normal
//! answer (somebody cancelled it meanwhile).

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::SqliteConnection;

use super::store::id_list;
use super::{Ledger, LedgerError};
use crate::time::UtcMillis;

/// A delivery that its claimer may send until the lease ends.
#[derive(Clone, Debug)]
pub struct Claimed {
    pub ring: i64,
    pub recipient: String,
    /// Attempts that were made before.
    pub attempts: i64,
    /// When the ring was fired.
    pub fired_at: UtcMillis,
    /// The notification as JSON.
    pub notification: Arc<str>,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Delivered,
    /// To be tried again, not before `at`.
    Later {
        answer: String,
        at: UtcMillis,
    },
    /// Not to be tried again.
    Failed {
        answer: String,
    },
}

/// The end of one attempt at one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    pub ring: i64,
    pub recipient: String,
    pub verdict: Verdict,
}

const CLAIM: &str = "UPDATE deliveries SET lease = ?4 WHERE (ring, sink, recipient) IN (
    SELECT ring, sink, recipient FROM deliveries
    WHERE state = 'pending' AND sink = ?1 AND next_attempt <= ?2 AND (lease IS NULL OR lease <= ?2)
    ORDER BY next_attempt, ring, recipient LIMIT ?3)
    RETURNING next_attempt, ring, recipient, attempts";
const RANG: &str = "SELECT id, fired_at, notification FROM rings WHERE id IN (SELECT value FROM json_each(?))";
const DELIVERED: &str = "UPDATE deliveries SET state = 'delivered', attempts = attempts + 1, lease = NULL,
    answer = NULL, settled_at = ?3
    WHERE sink = ?1 AND recipient = '' AND ring IN (SELECT value FROM json_each(?2)) AND state = 'pending'";
const SETTLE: &str = "UPDATE deliveries SET state = ?4, attempts = attempts + 1, lease = NULL, answer = ?5,
    next_attempt = coalesce(?6, next_attempt), settled_at = ?7
    WHERE ring = ?1 AND sink = ?2 AND recipient = ?3 AND state = 'pending'";

impl Ledger {
    /// The ids of the sinks with these names; new names get one. Leases that a crashed daemon left are ended: whoever
    /// holds the ledger is the only one who sends.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn sinks(&self, names: &[&str]) -> Result<HashMap<String, i64>, LedgerError> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.write(move |c| {
            Box::pin(async move {
                let ended = "UPDATE deliveries SET lease = NULL WHERE state = 'pending' AND lease IS NOT NULL";
                sqlx::query(ended).execute(&mut *c).await?;
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

    /// Claims up to `limit` deliveries of `sink` that may be tried at `now`, until `lease`. Those that have waited
    /// longest come first.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn claim(
        &self,
        sink: i64,
        now: UtcMillis,
        lease: UtcMillis,
        limit: i64,
    ) -> Result<Vec<Claimed>, LedgerError> {
        let claim = sqlx::query_as(CLAIM).bind(sink).bind(now.0).bind(limit).bind(lease.0);
        let mut rows: Vec<(i64, i64, String, i64)> =
            self.write(move |c| Box::pin(async move { Ok(claim.fetch_all(c).await?) })).await?;
        rows.sort_unstable();
        // The texts never change, so they are read beside the writer, which has enough to do.
        let query = sqlx::query_as(RANG).bind(id_list(rows.iter().map(|(_, ring, ..)| *ring)));
        let mut texts: HashMap<i64, (i64, Arc<str>)> = HashMap::with_capacity(rows.len());
        if !rows.is_empty() {
            let rang: Vec<(i64, i64, String)> = query.fetch_all(self.readers()).await?;
            texts.extend(rang.into_iter().map(|(id, fired_at, text)| (id, (fired_at, text.into()))));
        }
        let claimed = |(_, ring, recipient, attempts)| {
            let (fired_at, notification) = texts.get(&ring)?.clone();
            Some(Claimed { ring, recipient, attempts, fired_at: UtcMillis(fired_at), notification })
        };
        Ok(rows.into_iter().filter_map(claimed).collect())
    }

    /// Settles attempts. Deliveries that are no longer pending are left as they are.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn settle(&self, sink: i64, settlements: Vec<Settlement>, now: UtcMillis) -> Result<(), LedgerError> {
        self.write(move |c| Box::pin(settle(c, sink, settlements, now))).await
    }

    /// When the next delivery of `sink` may be tried; none when nothing is pending.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn next_attempt(&self, sink: i64) -> Result<Option<UtcMillis>, LedgerError> {
        let sql = "SELECT max(next_attempt, coalesce(lease, 0)) FROM deliveries
            WHERE state = 'pending' AND sink = ? ORDER BY next_attempt, ring LIMIT 1";
        let at: Option<i64> = sqlx::query_scalar(sql).bind(sink).fetch_optional(self.readers()).await?;
        Ok(at.map(UtcMillis))
    }
}

async fn settle(
    c: &mut SqliteConnection,
    sink: i64,
    settlements: Vec<Settlement>,
    now: UtcMillis,
) -> Result<(), LedgerError> {
    let whole = |s: &Settlement| s.recipient.is_empty() && s.verdict == Verdict::Delivered;
    let delivered = id_list(settlements.iter().filter(|s| whole(s)).map(|s| s.ring));
    if delivered != "[]" {
        sqlx::query(DELIVERED).bind(sink).bind(delivered).bind(now.0).execute(&mut *c).await?;
    }
    for settlement in settlements.into_iter().filter(|s| !whole(s)) {
        let (state, answer, next, settled) = match settlement.verdict {
            Verdict::Delivered => ("delivered", None, None, Some(now.0)),
            Verdict::Later { answer, at } => ("pending", Some(answer), Some(at.0), None),
            Verdict::Failed { answer } => ("failed", Some(answer), None, Some(now.0)),
        };
        sqlx::query(SETTLE)
            .bind(settlement.ring)
            .bind(sink)
            .bind(settlement.recipient)
            .bind(state)
            .bind(answer)
            .bind(next)
            .bind(settled)
            .execute(&mut *c)
            .await?;
    }
    Ok(())
}

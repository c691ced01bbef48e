//! What the sinks must have got: every fired ring at least once, under one id with one content; no ring again once its
//! end is in the ledger; and for what did not arrive there is a reason.

use std::collections::BTreeMap;
use std::sync::Arc;

use reveille::ledger::DeliveryRow;
use serde_json::Value;

use super::sink::{Sent, Told};

/// Judges what was sent by what the ledger says of it. `give_up_after`: milliseconds.
pub fn judge(sent: &[Sent], rows: &[DeliveryRow], give_up_after: i64) -> Result<(), String> {
    let mut by_delivery: BTreeMap<(i64, &str, &str), Vec<&Sent>> = BTreeMap::new();
    let mut contents: BTreeMap<String, &Arc<str>> = BTreeMap::new();
    let mut ids: BTreeMap<i64, String> = BTreeMap::new();
    for one in sent {
        by_delivery.entry((one.ring, one.sink, &one.recipient)).or_default().push(one);
        let json: Value = serde_json::from_str(&one.json).map_err(|error| format!("{error}: {}", one.json))?;
        let id = json["notificationId"].as_str().unwrap_or_default().to_owned();
        if contents.entry(id.clone()).or_insert(&one.json) != &&one.json {
            return Err(format!("two contents under one id: {} and {}", contents[&id], one.json));
        }
        if ids.entry(one.ring).or_insert_with(|| id.clone()) != &id {
            return Err(format!("ring {} under two ids", one.ring));
        }
    }
    let distinct: std::collections::BTreeSet<&String> = ids.values().collect();
    if distinct.len() != ids.len() {
        return Err(format!("{} rings share {} ids", ids.len(), distinct.len()));
    }
    for row in rows {
        let attempts = by_delivery.remove(&(row.ring, row.sink.as_str(), row.recipient.as_str())).unwrap_or_default();
        one(row, &attempts, give_up_after).map_err(|wrong| format!("{wrong}: {row:?} {attempts:?}"))?;
    }
    match by_delivery.first_key_value() {
        Some((_, attempts)) => Err(format!("sent and not in the ledger: {attempts:?}")),
        None => Ok(()),
    }
}

fn one(row: &DeliveryRow, attempts: &[&Sent], give_up_after: i64) -> Result<(), &'static str> {
    let is_last = |one: &&Sent| {
        one.settled && (!matches!(one.told, Told::Later | Told::Down) || one.at - row.fired_at.0 >= give_up_after)
    };
    if let Some(end) = attempts.iter().position(is_last)
        && end + 1 < attempts.len()
    {
        return Err("sent again after its end");
    }
    let settled = attempts.iter().filter(|one| one.settled && (one.told != Told::Down || is_last(one))).count();
    if i64::try_from(settled).unwrap() != row.attempts {
        return Err("another number of attempts than were made");
    }
    if attempts.iter().any(|one| *one.json != *row.notification) {
        return Err("another content than the ledger's");
    }
    for pair in attempts.windows(2) {
        let waited = pair[1].at - pair[0].at;
        // The clock may have been set back in between.
        if pair[0].settled && pair[0].told != Told::Down && (0..3_750).contains(&waited) {
            return Err("tried again too soon");
        }
    }
    let last = attempts.iter().rfind(|one| one.settled);
    match (row.state.as_str(), last) {
        ("delivered", Some(last)) if last.told == Told::Delivered => Ok(()),
        ("failed", Some(last)) if is_last(last) && last.told != Told::Delivered => Ok(()),
        ("delivered", _) => Err("delivered, and never was"),
        ("failed", _) => Err("given up without a reason"),
        _ => Err("still owed"),
    }
}

//! What the sinks must have got: every firing at least once, under one id with one content; no firing again once its
//! end is in the ledger; and for what did not arrive there is a reason. Where mails are limited, no user gets more of
//! them within an hour, and none waits because of somebody else's.

use std::collections::BTreeMap;
use std::sync::Arc;

use reveille::ledger::{DeliveryRow, DeliveryState};
use reveille::time::UtcMillis;
use serde_json::Value;

use super::sink::{Sent, Told};

/// Milliseconds.
const HOUR: i64 = 3_600_000;
/// Attempts that are told one by one where something is wrong.
const LAST: usize = 8;

/// What was sent, and its place among all that was.
type Attempt<'a> = (usize, &'a Sent);

/// What deliveries are judged by.
#[derive(Debug)]
pub struct Rules<'a> {
    /// Milliseconds.
    pub give_up_after: i64,
    /// How many mails a user gets within an hour, if these are limited.
    pub limit: Option<usize>,
    /// How many were sent when a clock that had been ahead was set back to an instant, and what it had done was taken
    /// back.
    pub taken_back: &'a [(usize, i64)],
}

/// Judges what was sent by what the ledger says of it.
pub fn judge(sent: &[Sent], rows: &[DeliveryRow], rules: &Rules<'_>) -> Result<(), String> {
    if let Some(limit) = rules.limit {
        within_limit(sent, limit)?;
    }
    let mut by_delivery: BTreeMap<(i64, &str, &str), Vec<Attempt<'_>>> = BTreeMap::new();
    let mut contents: BTreeMap<String, &Arc<str>> = BTreeMap::new();
    let mut ids: BTreeMap<i64, String> = BTreeMap::new();
    for (place, one) in sent.iter().enumerate() {
        by_delivery.entry((one.firing, one.sink, &one.recipient)).or_default().push((place, one));
        let json: Value = serde_json::from_str(&one.json).map_err(|error| format!("{error}: {}", one.json))?;
        let id = json["notificationId"].as_str().unwrap_or_default().to_owned();
        if contents.entry(id.clone()).or_insert(&one.json) != &&one.json {
            return Err(format!("two contents under one id: {} and {}", contents[&id], one.json));
        }
        if ids.entry(one.firing).or_insert_with(|| id.clone()) != &id {
            return Err(format!("firing {} under two ids", one.firing));
        }
    }
    let distinct: std::collections::BTreeSet<&String> = ids.values().collect();
    if distinct.len() != ids.len() {
        return Err(format!("{} firings share {} ids", ids.len(), distinct.len()));
    }
    for row in rows {
        let attempts = by_delivery.remove(&(row.firing, row.sink.as_str(), row.recipient.as_str())).unwrap_or_default();
        one(row, &attempts, is_given_up_untried(row, sent, rules), rules).map_err(|wrong| {
            let row = DeliveryRow { notification: String::new(), ..row.clone() };
            format!("{wrong}: {row:?} {}", briefly(attempts.iter().map(|(_, one)| *one)))
        })?;
    }
    match by_delivery.first_key_value() {
        Some((name, attempts)) => {
            Err(format!("sent and not in the ledger: {name:?} {}", briefly(attempts.iter().map(|(_, one)| *one))))
        }
        None => Ok(()),
    }
}

/// How often what was told of attempts, and the last of them.
fn briefly<'a>(attempts: impl Iterator<Item = &'a Sent>) -> String {
    let attempts: Vec<&Sent> = attempts.collect();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for one in &attempts {
        *counts.entry(said(one)).or_default() += 1;
    }
    let last = attempts.iter().skip(attempts.len().saturating_sub(LAST));
    let last: Vec<String> = last.map(|one| format!("{} {}", UtcMillis(one.at), said(one))).collect();
    format!("{} attempts {counts:?}, at last {}", attempts.len(), last.join(", "))
}

fn said(one: &Sent) -> String {
    let arrived = if one.arrived { ", arrived" } else { "" };
    let settled = if one.settled { "" } else { ", not settled" };
    format!("{:?}{arrived}{settled}", one.told)
}

/// A user gets no more mails within an hour than `limit`, and each of them is kept waiting only by those. A process
/// knows nothing of what others before it have sent.
fn within_limit(sent: &[Sent], limit: usize) -> Result<(), String> {
    fn both<'a>(before: &[&'a Sent], one: &'a Sent) -> impl Iterator<Item = &'a Sent> {
        before.iter().copied().chain([one])
    }
    let mut mails: BTreeMap<(usize, &str), Vec<&Sent>> = BTreeMap::new();
    for one in sent.iter().filter(|one| !one.user.is_empty()) {
        let before = mails.entry((one.process, one.user)).or_default();
        let in_hour = |other: &&&Sent| (0..HOUR).contains(&(one.at - other.at));
        match one.told {
            Told::Held if before.iter().filter(in_hour).count() < limit => {
                return Err(format!(
                    "firing {} kept waiting without a reason: {}",
                    one.firing,
                    briefly(both(before, one))
                ));
            }
            Told::Delivered => {
                // A clock that was set back has counted nothing.
                if before.iter().filter(in_hour).filter(|other| other.epoch == one.epoch).count() >= limit {
                    return Err(format!("more than {limit} mails within an hour: {}", briefly(both(before, one))));
                }
                before.push(one);
            }
            // It was counted, and the process ended.
            Told::Nothing => before.push(one),
            _ => {}
        }
    }
    Ok(())
}

/// Whether a delivery may have been given up without an attempt of its own: it was too old when the one that was tried
/// for all was in vain.
fn is_given_up_untried(row: &DeliveryRow, sent: &[Sent], rules: &Rules<'_>) -> bool {
    let at = row.settled_at.map_or(i64::MIN, |at| at.0);
    let tried_for_all = |one: &Sent| {
        one.sink == row.sink
            && one.told == Told::Down
            && (row.fired_at.0.saturating_add(rules.give_up_after)..=at).contains(&one.at)
    };
    let is_other = |one: &Sent| (one.firing, one.recipient.as_str()) != (row.firing, row.recipient.as_str());
    row.state == Some(DeliveryState::Failed) && sent.iter().any(|one| is_other(one) && tried_for_all(one))
}

fn one(
    row: &DeliveryRow,
    attempts: &[Attempt<'_>],
    may_be_untried: bool,
    rules: &Rules<'_>,
) -> Result<(), &'static str> {
    let places: Vec<usize> = attempts.iter().map(|(place, _)| *place).collect();
    let attempts: Vec<&Sent> = attempts.iter().map(|(_, one)| *one).collect();
    let waits = |one: &Sent| matches!(one.told, Told::Retry | Told::Down | Told::Held);
    let is_last = |one: &&Sent| one.settled && (!waits(one) || one.at - row.fired_at.0 >= rules.give_up_after);
    // What was given up by a clock that was ahead goes on.
    let is_taken_back = |n: usize| {
        waits(attempts[n]) && rules.taken_back.iter().any(|(place, to)| *place > places[n] && *to < attempts[n].at)
    };
    let mut ends = attempts.iter().enumerate().filter(|(n, one)| is_last(one) && !is_taken_back(*n));
    if let Some((end, _)) = ends.next()
        && end + 1 < attempts.len()
    {
        return Err("sent again after its end");
    }
    let settled = attempts.iter().filter(|one| one.settled && (one.told != Told::Down || is_last(one))).count();
    // What is given up because the one that was tried for all was in vain counts as tried; so it does when that is
    // taken back.
    let last = attempts.iter().rfind(|one| one.settled);
    let is_untried = may_be_untried && !last.is_some_and(is_last);
    let least = i64::from(is_untried);
    let most = least + i64::try_from(rules.taken_back.len()).unwrap();
    if !(least..=most).contains(&(row.attempts - i64::try_from(settled).unwrap())) {
        return Err("another number of attempts than were made");
    }
    if attempts.iter().any(|one| *one.json != *row.notification) {
        return Err("another content than the ledger's");
    }
    for pair in attempts.windows(2) {
        let waited = pair[1].at - pair[0].at;
        // The clock may have been set back in between.
        if pair[0].settled
            && pair[0].epoch == pair[1].epoch
            && pair[0].told != Told::Down
            && (0..3_750).contains(&waited)
        {
            return Err("tried again too soon");
        }
    }
    match (row.state, last) {
        (Some(DeliveryState::Delivered), Some(last)) if last.told == Told::Delivered => Ok(()),
        (Some(DeliveryState::Failed), Some(last)) if is_last(last) && last.told != Told::Delivered => Ok(()),
        (Some(DeliveryState::Failed), _) if is_untried => Ok(()),
        (Some(DeliveryState::Delivered), _) => Err("delivered, and never was"),
        (Some(DeliveryState::Failed), _) => Err("given up without a reason"),
        _ => Err("still owed"),
    }
}

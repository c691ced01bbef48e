//! Objects that have their old text under a new entity tag. Mostly nothing but the entity tag has changed; but a server
//! that lags behind may have given a text away which is not the one that it named.

use std::collections::HashMap;

use super::Ingest;
use crate::time::UtcMillis;

/// Milliseconds until an old text under a new entity tag is believed.
const DOUBTED: i64 = 10 * 60_000;
/// Where more of them come together, all entity tags are new and the texts are not.
const FEW: usize = 20;
/// What is doubted at the most.
const MOST: usize = 10_000;
/// Milliseconds after which is forgotten what has not come again.
const FORGOTTEN: i64 = 24 * 60 * 60_000;

/// By calendar and href, the entity tag and when it came first.
pub(super) type Echoes = HashMap<(i64, String), (String, UtcMillis)>;

/// An object whose text is the old one.
#[derive(Debug)]
pub(super) struct Echo {
    pub id: i64,
    pub href: String,
    pub etag: String,
    /// The ledger has noted that its text may not be the one that is there.
    pub is_noted: bool,
}

/// Echoes, by whether they are believed.
#[derive(Debug, Default)]
pub(super) struct WeighedEchoes {
    /// Nothing but the entity tag of these has changed.
    pub believed: Vec<Echo>,
    pub unsure: Vec<Echo>,
}

impl Ingest {
    /// Which of `echoes` of a calendar are believed, and which are not.
    pub(super) fn weigh(&self, calendar: i64, echoes: Vec<Echo>, now: UtcMillis) -> WeighedEchoes {
        let mut weighed = WeighedEchoes::default();
        if echoes.is_empty() {
            return weighed;
        }
        let mut syncs = self.syncs();
        syncs.echoes.retain(|_, (_, first)| (0..FORGOTTEN).contains(&now.0.saturating_sub(first.0)));
        let many = echoes.len() > FEW || syncs.echoes.len() > MOST;
        for echo in echoes {
            let key = (calendar, echo.href.clone());
            let known = syncs.echoes.get(&key).filter(|(known, _)| *known == echo.etag);
            let first = known.map_or(now, |(_, first)| *first);
            if many || !(0..DOUBTED).contains(&now.0.saturating_sub(first.0)) {
                syncs.echoes.remove(&key);
                weighed.believed.push(echo);
            } else {
                syncs.echoes.insert(key, (echo.etag.clone(), first));
                weighed.unsure.push(echo);
            }
        }
        weighed
    }

    /// Another text has come.
    pub(super) fn forget_echo(&self, calendar: i64, href: &str) {
        let mut syncs = self.syncs();
        if !syncs.echoes.is_empty() {
            syncs.echoes.remove(&(calendar, href.to_owned()));
        }
    }
}

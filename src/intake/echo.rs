//! Objects that have their old text under a new entity tag. Mostly nothing but the entity tag has changed; but a server that
//! lags behind may have given a text away which is not the one that it named.

use std::collections::HashMap;

use super::Desk;
use crate::time::UtcMillis;

/// Milliseconds until an old text under a new entity tag is believed.
const DOUBTED: i64 = 10 * 60_000;
/// Where more of them come together, all entity tags are new and the texts are not.
const FEW: usize = 20;
/// What is doubted at the most.
const MOST: usize = 10_000;

/// By calendar and href, the entity tag and when it came first.
pub(super) type Echoes = HashMap<(i64, String), (String, UtcMillis)>;

/// An object whose text is the old one.
#[derive(Debug)]
pub(super) struct Echo {
    pub id: i64,
    pub href: String,
    pub etag: String,
}

impl Desk {
    /// Which of `echoes` of a calendar are believed, with their new entity tags, and which are not: their hrefs.
    pub(super) fn weigh(&self, calendar: i64, echoes: Vec<Echo>, now: UtcMillis) -> (Vec<(i64, String)>, Vec<String>) {
        let (mut believed, mut unsure) = (Vec::new(), Vec::new());
        let mut looks = self.looks();
        let many = echoes.len() > FEW || looks.echoes.len() > MOST;
        for Echo { id, href, etag } in echoes {
            let key = (calendar, href);
            let first = looks.echoes.get(&key).filter(|(known, _)| *known == etag).map_or(now, |(_, first)| *first);
            if many || !(0..DOUBTED).contains(&now.0.saturating_sub(first.0)) {
                looks.echoes.remove(&key);
                believed.push((id, etag));
            } else {
                unsure.push(key.1.clone());
                looks.echoes.insert(key, (etag, first));
            }
        }
        (believed, unsure)
    }

    /// Another text has come.
    pub(super) fn forget_echo(&self, calendar: i64, href: &str) {
        let mut looks = self.looks();
        if !looks.echoes.is_empty() {
            looks.echoes.remove(&(calendar, href.to_owned()));
        }
    }
}

//! Objects that have their old text under a new entity tag. Mostly nothing but the entity tag has changed; but a server
//! that lags behind may have given a text away which is not the one that it named.

use std::collections::HashMap;

use jiff::SignedDuration;

use crate::time::UtcMillis;

/// How long an old text under a new entity tag is doubted.
const DOUBTED: SignedDuration = SignedDuration::from_mins(10);
/// Where more of them come together, all entity tags are new and the texts are not.
const FEW: usize = 20;
/// What is doubted at the most.
const MOST: usize = 10_000;
/// What has not come again for this long is forgotten.
const FORGOTTEN: SignedDuration = SignedDuration::from_hours(24);

/// What is doubted.
#[derive(Debug, Default)]
pub(super) struct Echoes {
    /// By calendar and href.
    first: HashMap<(i64, String), FirstEcho>,
}

/// The entity tag of an echo, and when it came first.
#[derive(Debug)]
struct FirstEcho {
    etag: String,
    at: UtcMillis,
}

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

impl Echoes {
    /// Which of `echoes` of a calendar are believed, and which are not.
    pub(super) fn weigh(&mut self, calendar: i64, echoes: Vec<Echo>, now: UtcMillis) -> WeighedEchoes {
        let mut weighed = WeighedEchoes::default();
        if echoes.is_empty() {
            return weighed;
        }
        self.first.retain(|_, first| now.is_within(FORGOTTEN, first.at));
        let many = echoes.len() > FEW || self.first.len() > MOST;
        for echo in echoes {
            let key = (calendar, echo.href.clone());
            let known = self.first.get(&key).filter(|first| first.etag == echo.etag);
            let at = known.map_or(now, |first| first.at);
            if many || !now.is_within(DOUBTED, at) {
                self.first.remove(&key);
                weighed.believed.push(echo);
            } else {
                self.first.insert(key, FirstEcho { etag: echo.etag.clone(), at });
                weighed.unsure.push(echo);
            }
        }
        weighed
    }

    /// Another text has come.
    pub(super) fn forget(&mut self, calendar: i64, href: &str) {
        if !self.first.is_empty() {
            self.first.remove(&(calendar, href.to_owned()));
        }
    }
}

//! A store of calendars in memory, and the syncs that a source takes at it: what the ledger does not have yet is handed
//! in, in batches, the last of them with the checkpoint.

use std::collections::BTreeMap;

use reveille::source::{CalendarInfo, Change, ChangeBatch, Checkpoint};
use reveille::time::UtcMillis;

use super::event::Event;
use crate::chance::Chance;

/// The source's name.
pub const SOURCE: &str = "store";
pub const USER: &str = "mary@example.org";

/// An object in the store.
#[derive(Clone, Debug)]
pub struct Stored {
    pub etag: String,
    pub event: Event,
    /// What it has in place of the event's text, in which nothing can be read.
    pub broken: Option<String>,
    /// UTC milliseconds; none: the store does not say.
    pub written: Option<i64>,
}

#[derive(Clone, Debug, Default)]
pub struct Calendar {
    /// Its own zone.
    pub zone: Option<&'static str>,
    /// Counts its changes.
    pub version: usize,
    pub objects: BTreeMap<String, Stored>,
}

#[derive(Debug, Default)]
pub struct Store {
    pub calendars: BTreeMap<String, Calendar>,
    /// The zone of its user.
    user_zone: Option<&'static str>,
    /// The version of everything that is written; never the same twice.
    writes: usize,
}

/// What one batch says, for the model: the batch in plain terms.
#[derive(Clone, Debug)]
pub struct News {
    pub calendar: String,
    pub zone: Option<&'static str>,
    /// Href and the object; none: it is gone.
    pub changes: Vec<(String, Option<Stored>)>,
    pub synced_at: i64,
    pub complete: bool,
}

impl Store {
    /// An empty store.
    pub fn new(user_zone: Option<&'static str>) -> Store {
        Store { user_zone, ..Store::default() }
    }

    /// Writes an object; `broken`: in place of its text.
    pub fn put(&mut self, calendar: &str, href: &str, event: Event, broken: Option<String>, written: Option<i64>) {
        self.writes += 1;
        let etag = format!("\"{}\"", self.writes);
        let Some(calendar) = self.calendars.get_mut(calendar) else { return };
        calendar.version = self.writes;
        calendar.objects.insert(href.to_owned(), Stored { etag, event, broken, written });
    }

    /// Deletes an object and returns it.
    pub fn delete(&mut self, calendar: &str, href: &str) -> Option<Stored> {
        self.writes += 1;
        let calendar = self.calendars.get_mut(calendar)?;
        calendar.version = self.writes;
        calendar.objects.remove(href)
    }

    /// Gives a calendar another zone.
    pub fn set_zone(&mut self, calendar: &str, zone: Option<&'static str>) {
        self.writes += 1;
        if let Some(calendar) = self.calendars.get_mut(calendar) {
            (calendar.version, calendar.zone) = (self.writes, zone);
        }
    }

    /// The checkpoint of a calendar as it is now.
    pub fn checkpoint(&self, calendar: &str) -> Option<Checkpoint> {
        let version = self.calendars.get(calendar)?.version;
        Some(Checkpoint { sync_state: version.to_string() })
    }

    /// The batches that bring a ledger up to date which has `etags` of a calendar. No object is in two of them.
    pub fn batches(
        &self,
        href: &str,
        etags: &std::collections::HashMap<String, String>,
        synced_at: i64,
        chance: &mut Chance,
    ) -> Vec<(ChangeBatch, News)> {
        let Some(calendar) = self.calendars.get(href) else { return Vec::new() };
        let mut changes: Vec<(String, Option<Stored>)> = Vec::new();
        for (name, object) in &calendar.objects {
            // A sync may hand in again what is known already.
            if etags.get(name) != Some(&object.etag) || chance.one_in(8) {
                changes.push((name.clone(), Some(object.clone())));
            }
        }
        let mut gone: Vec<&String> = etags.keys().filter(|name| !calendar.objects.contains_key(*name)).collect();
        gone.sort_unstable();
        changes.extend(gone.into_iter().map(|name| (name.clone(), None)));
        let size = chance.pick(&[1, 3, 100]);
        let mut parts: Vec<Vec<_>> = changes.chunks(size).map(<[_]>::to_vec).collect();
        if parts.is_empty() {
            parts.push(Vec::new());
        }
        let last = parts.len() - 1;
        let batch = |(n, part): (usize, Vec<(String, Option<Stored>)>)| {
            let complete = n == last;
            let news = News { calendar: href.to_owned(), zone: calendar.zone, changes: part, synced_at, complete };
            let checkpoint = if complete { self.checkpoint(href) } else { None };
            (
                ChangeBatch {
                    calendar: seen(href, calendar.zone, self.user_zone),
                    synced_at: UtcMillis(synced_at),
                    changes: written(&news),
                    checkpoint,
                    may_lag: true,
                    made: None,
                    begun: None,
                },
                news,
            )
        };
        parts.into_iter().enumerate().map(batch).collect()
    }
}

fn seen(href: &str, zone: Option<&'static str>, user_zone: Option<&'static str>) -> CalendarInfo {
    CalendarInfo {
        href: href.to_owned(),
        id: href.trim_matches('/').to_owned(),
        user: USER.to_owned(),
        owner: USER.to_owned(),
        emails: vec![USER.to_owned()],
        name: href.to_owned(),
        zone: zone.map(str::to_owned),
        user_zone: user_zone.map(str::to_owned),
        ..CalendarInfo::default()
    }
}

fn written(news: &News) -> Vec<Change> {
    let change = |(href, object): &(String, Option<Stored>)| match object {
        Some(Stored { etag, event, broken, written }) => Change::Put {
            href: href.clone(),
            etag: etag.clone(),
            text: broken.clone().unwrap_or_else(|| event.text()).into_bytes(),
            last_modified: written.map(UtcMillis),
        },
        None => Change::Gone { href: href.clone() },
    };
    news.changes.iter().map(change).collect()
}

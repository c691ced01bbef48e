//! A calendar server in memory that lies and heals: what is in it, how it marks versions, and what it is told to say
//! that is not so. It makes requests into replies and knows nothing of how they travel: the simulation asks it in the
//! same thread, the soak over sockets.
//!
//! * [`answers`] is what it says; [`lies`] what it can be told to say instead.
//! * [`model`] says what a program must have fired that looks at it.

use std::collections::BTreeMap;

use crate::chance::Chance;

mod answers;
pub mod lies;
pub mod model;

use lies::Lie;

/// How a server marks versions, after what real ones do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// A counter for each calendar, and an answer to any token: with nothing in it where the token is ahead
    /// (sabre/dav).
    Counter,
    /// Hashes; tokens that it did not give are refused (Radicale).
    Hash,
    /// The second of the last change, and entity tags that count writes; a report tells what is strictly later (SOGo).
    Seconds,
    /// A counter; a token that it did not give is answered with all there is (DAViCal).
    Full,
    /// A ctag and no reports.
    Ctag,
    /// Nothing: whoever wants to know has to list.
    Bare,
}

pub const MANNERS: [Manner; 6] =
    [Manner::Counter, Manner::Hash, Manner::Seconds, Manner::Full, Manner::Ctag, Manner::Bare];

/// An object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    pub text: String,
    pub etag: String,
    /// When it was written, UTC milliseconds by the true clock.
    pub written: i64,
    /// Entity tag and text before that.
    pub before: Option<(String, String)>,
}

/// A calendar.
#[derive(Clone, Debug, Default)]
pub struct Collection {
    /// Another one for each calendar that is made.
    pub identity: u64,
    /// When it was made.
    pub made: i64,
    pub zone: Option<&'static str>,
    /// Counts its changes.
    pub version: u64,
    /// The second of the last change, by the server's clock.
    second: i64,
    pub objects: BTreeMap<String, Resource>,
    log: Vec<Logged>,
    /// Writes to each name, deleted ones included.
    rows: BTreeMap<String, u64>,
}

/// A change that a report tells of.
#[derive(Clone, Debug)]
struct Logged {
    version: u64,
    second: i64,
    name: String,
}

/// The server.
#[derive(Debug)]
pub struct Server {
    pub manner: Manner,
    /// Whether it tells calendars that are made anew from those before.
    pub identifies: bool,
    /// Time passes by itself.
    pub is_in_real_time: bool,
    /// By how much its clock is ahead, milliseconds.
    pub skew: i64,
    /// By user and by name.
    pub homes: BTreeMap<String, BTreeMap<String, Collection>>,
    pub lies: Vec<Lie>,
    chance: Chance,
    /// Never the same twice.
    made: u64,
    /// Tokens that were given, where they matter, and the version each stands for.
    issued: BTreeMap<String, u64>,
    /// The text that each object was given with last, by href; what nobody remembers is to be taken out.
    pub given: BTreeMap<String, String>,
}

impl Server {
    /// One without users.
    pub fn new(manner: Manner, mut chance: Chance) -> Server {
        let identifies = chance.one_in(2);
        let (homes, lies, issued) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        Server {
            manner,
            identifies,
            is_in_real_time: false,
            skew: 0,
            homes,
            lies,
            chance,
            made: 0,
            issued,
            given: BTreeMap::new(),
        }
    }

    fn next(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    pub fn collection(&mut self, user: &str, calendar: &str) -> Option<&mut Collection> {
        self.homes.get_mut(user)?.get_mut(calendar)
    }

    /// Makes a calendar, unless it is there.
    pub fn make(&mut self, user: &str, calendar: &str, zone: Option<&'static str>, now: i64) {
        let identity = self.next();
        let second = (now + self.skew).div_euclid(1_000);
        let home = self.homes.entry(user.to_owned()).or_default();
        let made = Collection { identity, made: now, zone, second, ..Collection::default() };
        home.entry(calendar.to_owned()).or_insert(made);
    }

    /// Removes a calendar.
    pub fn remove(&mut self, user: &str, calendar: &str) {
        self.homes.entry(user.to_owned()).or_default().remove(calendar);
    }

    /// Writes an object.
    pub fn put(&mut self, user: &str, calendar: &str, name: &str, text: &str, now: i64) {
        let (number, counts) = (self.next(), self.manner == Manner::Seconds);
        let second = (now + self.skew).div_euclid(1_000);
        let Some(collection) = self.collection(user, calendar) else { return };
        collection.change(name, second);
        let row = collection.rows.entry(name.to_owned()).or_default();
        let etag = if counts { format!("\"gcs{row:08}\"") } else { format!("\"{number}\"") };
        *row += 1;
        let before = collection.objects.remove(name).map(|before| (before.etag, before.text));
        let resource = Resource { text: text.to_owned(), etag, written: now, before };
        collection.objects.insert(name.to_owned(), resource);
    }

    /// Deletes an object.
    pub fn delete(&mut self, user: &str, calendar: &str, name: &str, now: i64) {
        let second = (now + self.skew).div_euclid(1_000);
        let Some(collection) = self.collection(user, calendar) else { return };
        if collection.objects.remove(name).is_some() {
            collection.rows.remove(name);
            collection.change(name, second);
        }
    }

    /// Puts a calendar back as it was at `backup`; whoever counts its changes counts on from there.
    pub fn restore(&mut self, user: &str, calendar: &str, backup: Collection) {
        if let Some(collection) = self.collection(user, calendar) {
            *collection = backup;
        }
    }

    /// Lets lies end whose time is over, and says whether there were any.
    pub fn heal(&mut self, now: i64) -> bool {
        let before = self.lies.len();
        self.lies.retain(|lie| lie.until > now);
        self.lies.len() < before
    }
}

impl Collection {
    fn change(&mut self, name: &str, second: i64) {
        self.version += 1;
        self.second = second;
        self.log.push(Logged { version: self.version, second, name: name.to_owned() });
    }
}

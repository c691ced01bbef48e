//! What sources and those who use them agree on: where sources put what they found, and how a sync ends. Nothing here
//! knows a kind of source.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

pub use crate::calendar_info::{CalendarInfo, DefaultAlarmTexts, SharedAlarms};
use crate::time::UtcMillis;

/// What a sync found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// Calendars that were synced.
    pub calendars: usize,
    /// Objects that were new, changed or gone, and calendars that were gone.
    pub changes: usize,
    /// Requests that it took.
    pub requests: u64,
    /// Calendars and objects that could not be read, one sentence each; its known alarms stay scheduled.
    pub faults: Vec<String>,
    /// Links that are not followed, one sentence each.
    pub notes: Vec<String>,
    /// Calendars that were not found, are kept for a while, and may be back without being reported.
    pub absent: usize,
    /// Why the kernel does not watch some of it, a sentence.
    pub unwatched: Option<String>,
    /// When to sync again, where that is to be sooner than usual.
    pub again_in: Option<Duration>,
    /// How often to sync from now on, where the store says so.
    pub interval: Option<Duration>,
}

/// Why a sync failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{reason}")]
pub struct SyncError {
    /// A sentence.
    pub reason: String,
    /// What the next sync waits for.
    pub obstacle: Obstacle,
    /// How long the server asks to be left alone (Retry-After), where it does.
    pub retry_after: Option<Duration>,
}

impl SyncError {
    /// Of a source that was not asked to wait.
    pub fn new(reason: String, obstacle: Obstacle) -> SyncError {
        SyncError { reason, obstacle, retry_after: None }
    }
}

/// What a sync that failed waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The server is down: for its first response to any source.
    Server,
    /// The server does not accept the login: for another secret.
    Login,
    /// A file that the settings name cannot be used: for another one.
    File,
    /// A watched folder cannot be read: for a short time, because nothing reports that a file system is mounted.
    Folder,
    /// Anything else: for some time.
    Other,
}

/// Why a source is not watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchError {
    /// It is not there.
    Absent,
    /// The system refuses, and why, a sentence.
    Refused(String),
}

/// What happened to one object (a calendar object resource, an `.ics` file).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is there, new or with another content.
    Put {
        /// Its name within its source, as the server spells it; the path relative to the watched folder.
        href: String,
        /// The version: an entity tag, or what a file's metadata say.
        etag: String,
        /// The octets.
        text: Vec<u8>,
        /// When it was written, where the store says so (getlastmodified, the file's time).
        last_modified: Option<UtcMillis>,
    },
    /// It is there, and cannot be read yet, or its server does not give it away: `fault` says why.
    Unreadable {
        /// The object's href in its calendar.
        href: String,
        /// What is wrong, a sentence.
        fault: String,
    },
    /// It is no longer there.
    Gone {
        /// The object's href in its calendar.
        href: String,
    },
}

/// How far a calendar has been read: what the next sync starts from. Only its source reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// A text that the source makes and reads.
    pub sync_state: String,
}

/// The changes that one sync of one calendar found, or a part of them: a large first sync comes in several batches.
#[derive(Clone, Debug)]
pub struct ChangeBatch {
    /// The calendar as it is now.
    pub calendar: CalendarInfo,
    /// When the calendar was made, where the store says so.
    pub made: Option<UtcMillis>,
    /// When the sync began.
    pub synced_at: UtcMillis,
    /// What was put or is gone.
    pub changes: Vec<Change>,
    /// Where the next sync starts once all this is in the ledger; none on all batches of a sync but the last, so that a
    /// crash in between reads the rest again.
    pub checkpoint: Option<Checkpoint>,
    /// What a first sync that does not come to its end leaves to the next one: where it began. It stands for nothing
    /// that was read, and is kept only of a calendar that is new.
    pub begun: Option<Checkpoint>,
    /// The store may name a version and still give the text of the one before, as a server that lags behind does.
    pub may_lag: bool,
}

/// What the ledger remembers of a calendar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The calendar's href in its source.
    pub href: String,
    /// None: it was never read to its end.
    pub checkpoint: Option<Checkpoint>,
    /// When the first of the syncs began that have not found it; none: it is there.
    pub absent_since: Option<UtcMillis>,
    /// As it was handed in last: what a sync cannot read of it stays so.
    pub seen: CalendarInfo,
}

/// How far the sync that did not find a calendar can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The rest of the store was read and is in order: something else of this source is there.
    Healthy,
    /// Nothing of the source is there any more, or the store is otherwise not in order: as where a disk is not mounted.
    AllGone,
}

/// What became of a calendar that a sync did not find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// It is kept, and its alarms stay scheduled; syncs have not found it since then.
    Kept {
        /// Since when.
        since: UtcMillis,
    },
    /// It has been absent for long enough: it is dropped, with all of its alarms.
    Dropped,
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Objects whose text cannot be used (it is broken, or cut off): what was there before is kept, under its old
    /// entity tag. They are to be asked for again.
    pub unreadable: Vec<String>,
    /// Objects that have the text that was there before under another entity tag. It may be another server's that lags
    /// behind: the old entity tag is kept for a while. They are to be asked for again.
    pub unsure: Vec<String>,
}

/// Where sources put what they found, and learn what was put there before (so that a restart reads only news).
pub trait SyncStore: Send + Sync {
    /// The calendars of `source` that are in the ledger.
    fn calendars(&self, source: &str) -> impl Future<Output = Result<Vec<Known>, StoreError>> + Send;

    /// href → etag of each object of one calendar that is in the ledger.
    fn etags(
        &self,
        source: &str,
        calendar: &str,
    ) -> impl Future<Output = Result<HashMap<String, String>, StoreError>> + Send;

    /// Takes a batch in, durably, together with its checkpoint. Objects whose etag and octets are unchanged may be
    /// repeated: they change nothing. An absence of the calendar is over.
    fn apply(&self, source: &str, batch: ChangeBatch) -> impl Future<Output = Result<Taken, StoreError>> + Send;

    /// How far a sync of `source`, which is of this kind, has come that takes long, in a few words. For display only.
    fn progress(&self, _source: &str, _kind: &'static str, _said: String) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// The calendar was synced and is unchanged: only the time of the sync is new. An absence of the calendar is over.
    fn unchanged(
        &self,
        source: &str,
        calendar: &str,
        synced_at: UtcMillis,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The calendar is no longer wanted: its objects and their alarms are dropped at once.
    fn calendar_gone(&self, source: &str, calendar: &str) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The sync that began at `synced_at` did not find the calendar, or may no longer read it. Its alarms stay
    /// scheduled; it is dropped once syncs have not found it for a while, which is long where `evidence` is weak. One
    /// that is not known counts as dropped.
    fn calendar_absent(
        &self,
        source: &str,
        calendar: &str,
        synced_at: UtcMillis,
        evidence: Evidence,
    ) -> impl Future<Output = Result<Absence, StoreError>> + Send;
}

/// A batch that could not be taken in; nothing of it was, and it can be handed in again.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

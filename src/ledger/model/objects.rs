//! Calendar objects: as they are in the ledger, and as they shall be.

use super::calendars::CalendarRow;
use super::firings::NewFiring;
use crate::time::UtcMillis;

/// An object that is in the ledger already.
#[derive(Clone, Debug)]
pub struct Existing {
    pub id: i64,
    pub etag: String,
    pub revision: i64,
    /// Its timer: the earliest alarm instance that was not fired.
    pub due: Option<UtcMillis>,
    pub count_cache: Option<String>,
    /// When it was written, where that is known.
    pub last_modified: Option<UtcMillis>,
    /// What is wrong in it, or in what its source has instead, a JSON list.
    pub faults: Option<String>,
    /// Where what its source has cannot be used, or may be another text: what is due of that from then on has not rung.
    pub unread_since: Option<UtcMillis>,
    pub text: Vec<u8>,
}

impl Existing {
    /// Which object it is, with these contents.
    pub fn version(&self) -> ObjectVersion {
        ObjectVersion { id: self.id, revision: self.revision }
    }
}

/// An object's text, for planning it.
#[derive(Clone, Debug)]
pub struct ObjectText {
    pub id: i64,
    pub calendar: i64,
    pub href: String,
    pub revision: i64,
    pub count_cache: Option<String>,
    pub text: Vec<u8>,
    /// Its timer; none as well where it was not asked for.
    pub due: Option<UtcMillis>,
}

/// The texts of some objects: those that are short, and of the others how long they are.
#[derive(Clone, Debug, Default)]
pub struct ShortTexts {
    pub short: Vec<ObjectText>,
    /// The shortest first.
    pub long: Vec<LongText>,
}

/// An object whose text is long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongText {
    pub object: i64,
    pub octets: usize,
}

/// An object in the ledger with the contents that it had when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectVersion {
    pub id: i64,
    pub revision: i64,
}

/// An object whose content is the same under another etag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retagged {
    pub object: i64,
    pub etag: String,
}

/// An object as it shall be in the ledger.
#[derive(Clone, Debug)]
pub struct PlannedObject {
    /// Which object it is, where it is in the ledger already.
    pub existing: Option<ObjectVersion>,
    pub href: String,
    pub etag: String,
    pub last_modified: Option<UtcMillis>,
    /// What is wrong in it, a JSON list.
    pub faults: Option<String>,
    /// Where what its source has cannot be used, or may be another text: what is due of that from then on has not rung.
    pub unread_since: Option<UtcMillis>,
    /// What planning remembers, JSON.
    pub count_cache: Option<String>,
    /// Zone ids that its times depend on, and, in lower case, those that it waits for, between spaces.
    pub zones: String,
    pub uids: Vec<String>,
    pub text: Vec<u8>,
    /// When it is due next.
    pub due: Option<UtcMillis>,
    /// Firings that its previous content still owed when this one was written.
    pub overdue: Vec<NewFiring>,
}

/// An object that is planned anew although its text is the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replanned {
    pub id: i64,
    /// The revision that was read.
    pub revision: i64,
    pub due: Option<UtcMillis>,
    pub zones: String,
    pub count_cache: Option<String>,
}

/// What one batch of a source changes.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Its `id` is not used: the calendar is found by source and href. Its checkpoint and `last_synced_at` are taken
    /// over only when `advance` says that the sync is complete, except for a calendar that is new.
    pub calendar: CalendarRow,
    pub advance: bool,
    pub put: Vec<PlannedObject>,
    pub retag: Vec<Retagged>,
    /// Objects whose content may not be what is there: what they ring from `from` on is not known, see
    /// [`PlannedObject::unread_since`].
    pub doubted: Vec<i64>,
    /// Hrefs that are no longer there. They are remembered, for what comes back.
    pub gone: Vec<String>,
    /// Objects whose plan changes although their content does not: the calendar's zone did.
    pub replanned: Vec<Replanned>,
    /// When the calendar was synced before. The firings of one that is new count from then on: it is as if it had
    /// been.
    pub from: UtcMillis,
    /// When all this was worked out.
    pub now: UtcMillis,
    /// What was gone before then is forgotten.
    pub forget_before: UtcMillis,
}

/// An object that went from a calendar of its user a short while ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departed {
    /// Its timer.
    pub due: UtcMillis,
    /// When it was last known to be as it was: nothing that was due until then is still owed.
    pub seen_at: UtcMillis,
}

/// What processes before this one ended at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// Objects that may be tried again, after all others.
    pub last: Vec<i64>,
    /// Objects that have been set aside now.
    pub set_aside: Vec<i64>,
}

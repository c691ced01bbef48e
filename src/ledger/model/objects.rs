//! Calendar objects: as they are in the ledger, and as they shall be.

use super::calendars::CalendarRow;
use super::firings::NewFiring;
use crate::time::UtcMillis;

/// An object that is in the ledger already.
#[derive(Clone, Debug)]
pub struct Existing {
    /// Id in the ledger.
    pub id: i64,
    /// Entity tag.
    pub etag: String,
    /// Counts the contents that it has had.
    pub revision: i64,
    /// Its timer: the earliest alarm instance that was not fired.
    pub due: Option<UtcMillis>,
    /// Where rules with a COUNT end; written by the schedule.
    pub count_cache: Option<String>,
    /// When it was written, where that is known.
    pub last_modified: Option<UtcMillis>,
    /// What is wrong in it, or in what its source has instead, a JSON list.
    pub faults: Option<String>,
    /// Where what its source has cannot be used, or may be another text: what is due of that from then on has not
    /// fired.
    pub unread_since: Option<UtcMillis>,
    /// The text as it is stored.
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
    /// Id in the ledger.
    pub id: i64,
    /// Id of its calendar.
    pub calendar: i64,
    /// The href.
    pub href: String,
    /// Counts the contents that it has had.
    pub revision: i64,
    /// Where rules with a COUNT end; written by the schedule.
    pub count_cache: Option<String>,
    /// The text as it is stored.
    pub text: Vec<u8>,
    /// Its timer; none as well where it was not asked for.
    pub due: Option<UtcMillis>,
}

/// The texts of some objects: those that are short, and of the others how long they are.
#[derive(Clone, Debug, Default)]
pub struct ShortTexts {
    /// The texts.
    pub short: Vec<ObjectText>,
    /// The shortest first.
    pub long: Vec<LongText>,
}

/// An object whose text is long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongText {
    /// Id of its object.
    pub object: i64,
    /// Its octets.
    pub octets: usize,
}

/// An object in the ledger with the contents that it had when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectVersion {
    /// Id in the ledger.
    pub id: i64,
    /// Counts the contents that it has had.
    pub revision: i64,
}

/// An object whose content is the same under another etag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retagged {
    /// Id of its object.
    pub object: i64,
    /// Entity tag.
    pub etag: String,
}

/// An object as it shall be in the ledger.
#[derive(Clone, Debug)]
pub struct PlannedObject {
    /// Which object it is, where it is in the ledger already.
    pub existing: Option<ObjectVersion>,
    /// The href.
    pub href: String,
    /// Entity tag.
    pub etag: String,
    /// When it was written, as its source says.
    pub last_modified: Option<UtcMillis>,
    /// What is wrong in it, a JSON list.
    pub faults: Option<String>,
    /// Where what its source has cannot be used, or may be another text: what is due of that from then on has not
    /// fired.
    pub unread_since: Option<UtcMillis>,
    /// What planning remembers, JSON.
    pub count_cache: Option<String>,
    /// Zone ids that its times depend on, and, in lower case, those that it waits for, between spaces.
    pub zones: String,
    /// UIDs of its components.
    pub uids: Vec<String>,
    /// The text as it is stored.
    pub text: Vec<u8>,
    /// When it is due next.
    pub due: Option<UtcMillis>,
    /// Firings of its previous content that were due and not recorded yet when this one was written.
    pub overdue: Vec<NewFiring>,
}

/// An object that is planned again although its text is the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replanned {
    /// Id in the ledger.
    pub id: i64,
    /// The revision that was read.
    pub revision: i64,
    /// When it is due.
    pub due: Option<UtcMillis>,
    /// Names of the zones that it depends on, between spaces.
    pub zones: String,
    /// Where rules with a COUNT end; written by the schedule.
    pub count_cache: Option<String>,
}

/// What one batch of a source changes.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Its `id` is not used: the calendar is found by source and href. Its checkpoint and `last_synced_at` are taken
    /// over only when `advance` says that the sync is complete, except for a calendar that is new.
    pub calendar: CalendarRow,
    /// Whether the batch ends a sync: its checkpoint counts.
    pub advance: bool,
    /// Objects that are new or changed.
    pub put: Vec<PlannedObject>,
    /// Objects that have nothing but another entity tag.
    pub retag: Vec<Retagged>,
    /// Objects whose content may not be what is there: what they fire from `from` on is not known, see
    /// [`PlannedObject::unread_since`].
    pub doubted: Vec<i64>,
    /// Hrefs that are no longer there. They are remembered, for what comes back.
    pub gone: Vec<String>,
    /// Objects that are due at another instant although their content is the same: the calendar's zone
    /// has changed.
    pub replanned: Vec<Replanned>,
    /// What is reported of all that; the calendar of each is this one.
    pub events: Vec<NewFiring>,
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
    /// When it was last known to be as it was: all that was due until then has fired.
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

//! The store events of a batch: what it changes of a calendar, compared with what the ledger has of it.

use std::collections::{HashMap, HashSet};

use super::plan::{Job, Planner};
use crate::calendar::ical::object::Object;
use crate::ledger::{CalendarRow, Existing, NewFiring, PlannedObject};
use crate::store_event::{ChangedObject, StoreChange, StoreEventKind, VersionTime, object_version};
use crate::time::UtcMillis;

/// The objects that a batch changes as they were before, by href.
#[derive(Debug, Default)]
pub(super) struct ObjectsBefore {
    objects: HashMap<String, ObjectBefore>,
}

#[derive(Debug)]
struct ObjectBefore {
    etag: String,
    last_modified: Option<UtcMillis>,
    revision: i64,
    text: Vec<u8>,
}

/// What a batch comes to, for its events.
pub(super) struct BatchChange<'a> {
    /// The calendar as it is to be in the ledger.
    pub row: &'a CalendarRow,
    /// As it is there.
    pub known: Option<&'a CalendarRow>,
    /// What is put or gone, as it was.
    pub before: ObjectsBefore,
    /// What is put.
    pub put: &'a [PlannedObject],
    /// Hrefs of texts that cannot be used.
    pub unusable: &'a [String],
    /// Hrefs of what is gone.
    pub gone: &'a [String],
    /// When all this was worked out.
    pub now: UtcMillis,
}

impl ObjectsBefore {
    /// Of `jobs` and of what `went`; empty if no events are wanted.
    pub(super) fn of(planner: &Planner, jobs: &[Job], went: Vec<(String, Existing)>) -> ObjectsBefore {
        if !planner.renderer().has_store_events() {
            return ObjectsBefore::default();
        }
        let edited = jobs.iter().filter_map(|job| Some((job.href.clone(), job.existing.clone()?)));
        let before = |(href, existing): (String, Existing)| {
            let Existing { etag, last_modified, revision, text, .. } = existing;
            (href, ObjectBefore { etag, last_modified, revision, text })
        };
        ObjectsBefore { objects: edited.chain(went).map(before).collect() }
    }
}

/// The events of a batch, in the order in which Cyrus would have them: those of the calendar, then of each object.
pub(super) fn of_batch(planner: &Planner, batch: &BatchChange<'_>) -> Vec<NewFiring> {
    if !planner.renderer().has_store_events() {
        return Vec::new();
    }
    let mut events = of_calendar(planner, batch);
    // Of a calendar that is new, or is still being read for the first time, nothing has changed.
    if batch.known.is_some_and(|known| known.was_read) {
        let unreadable: HashSet<&str> = batch.unusable.iter().map(String::as_str).collect();
        for object in batch.put {
            put(planner, batch, object, unreadable.contains(object.href.as_str()), &mut events);
        }
        for href in batch.gone {
            let found = VersionTime::Found(batch.now);
            let before = batch.before.objects.get(href);
            events.extend(before.and_then(|before| expunged(planner, batch, href, (before, found))));
        }
    }
    events
}

/// The event that a calendar is gone.
pub(super) fn of_deletion(planner: &Planner, row: &CalendarRow, now: UtcMillis) -> Vec<NewFiring> {
    let change = of_whole(StoreEventKind::MailboxDelete, row.first_seen);
    planner.renderer().store_event(row, &change, now).into_iter().collect()
}

/// A change of a whole calendar that was found at `at`.
fn of_whole(kind: StoreEventKind, at: UtcMillis) -> StoreChange<'static> {
    StoreChange { kind, version: at.0.to_string(), object: None, old_name: None, privileges: None }
}

fn of_calendar(planner: &Planner, batch: &BatchChange<'_>) -> Vec<NewFiring> {
    let BatchChange { row, known, now, .. } = *batch;
    let record = |change: StoreChange<'_>| planner.renderer().store_event(row, &change, now);
    let Some(known) = known else {
        return record(of_whole(StoreEventKind::MailboxCreate, row.first_seen)).into_iter().collect();
    };
    let mut events = Vec::new();
    if known.info.name != row.info.name {
        let change = of_whole(StoreEventKind::MailboxRename, now);
        events.extend(record(StoreChange { old_name: Some(&known.info.name), ..change }));
    }
    if let (Some(before), Some(privileges)) = (&known.info.privileges, &row.info.privileges)
        && before != privileges
    {
        let change = of_whole(StoreEventKind::AclChange, now);
        events.extend(record(StoreChange { privileges: Some(privileges), ..change }));
    }
    events
}

/// Adds the events of an object that was put: that it is there, and that the text which it had is not.
fn put(
    planner: &Planner,
    batch: &BatchChange<'_>,
    object: &PlannedObject,
    is_unreadable: bool,
    events: &mut Vec<NewFiring>,
) {
    let before = batch.before.objects.get(&object.href);
    if is_unreadable || before.is_some_and(|before| before.text == object.text) {
        return;
    }
    // Numbers begin again with an object that was gone.
    let unsaid = object
        .existing
        .map_or(VersionTime::Found(batch.now), |version| VersionTime::Revision(version.revision.saturating_add(1)));
    let time = object.last_modified.map_or(unsaid, VersionTime::Written);
    let uid = object.uids.first().map_or("", String::as_str);
    let change = StoreChange {
        kind: StoreEventKind::MessageAppend,
        version: object_version(&object.etag, time, &object.text),
        object: Some(ChangedObject { href: &object.href, uid, text: Some(&object.text) }),
        old_name: None,
        privileges: None,
    };
    events.extend(planner.renderer().store_event(batch.row, &change, batch.now));
    events.extend(before.and_then(|before| {
        let unsaid = VersionTime::Revision(before.revision);
        expunged(planner, batch, &object.href, (before, unsaid))
    }));
}

/// The event that the text `before` at `href` is gone, whose version is `unsaid` if nothing says when it was written;
/// none if it was not a whole one, which is in no event.
fn expunged(
    planner: &Planner,
    batch: &BatchChange<'_>,
    href: &str,
    (before, unsaid): (&ObjectBefore, VersionTime),
) -> Option<NewFiring> {
    let kind = StoreEventKind::MessageExpunge;
    if !planner.renderer().has_store_event(kind) {
        return None;
    }
    let object = Object::parse(&before.text, planner.renderer().limits()).ok()?;
    if object.is_cut_off || object.is_unclosed {
        return None;
    }
    let time = before.last_modified.map_or(unsaid, VersionTime::Written);
    let uids = object.uids();
    let uid = uids.first().copied().unwrap_or_default();
    let change = StoreChange {
        kind,
        version: object_version(&before.etag, time, &before.text),
        object: Some(ChangedObject { href, uid, text: None }),
        old_name: None,
        privileges: None,
    };
    planner.renderer().store_event(batch.row, &change, batch.now)
}

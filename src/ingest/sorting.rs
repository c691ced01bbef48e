//! Sorting the changes of a batch by what there is to do with them.

use std::collections::{BTreeMap, HashMap};

use super::attachments;
use super::echo::Echo;
use super::plan::Job;
use crate::ledger::{Existing, Retagged};
use crate::source::Change;
use crate::time::UtcMillis;

/// The changes of a batch, by what there is to do with them.
#[derive(Debug, Default)]
pub(super) struct SortedBatch {
    /// To be planned.
    pub jobs: Vec<Job>,
    /// Objects that have nothing but another entity tag.
    pub retag: Vec<Retagged>,
    /// Those that have nothing but another entity tag, of a source that may lag behind.
    pub echoes: Vec<Echo>,
    /// Hrefs of objects that the ledger has and that are gone.
    pub gone: Vec<String>,
    /// These as the ledger has them.
    pub went: Vec<(String, Existing)>,
}

/// Of several changes of one object the last one, by href. The order makes the same batch come to the same ledger.
pub(super) fn last_changes(changes: Vec<Change>) -> BTreeMap<String, Change> {
    let href = |change: &Change| match change {
        Change::Put { href, .. } | Change::Unreadable { href, .. } | Change::Gone { href } => href.clone(),
    };
    changes.into_iter().map(|change| (href(&change), change)).collect()
}

/// Sorts the changes of one calendar against what is in the ledger: what has the same content under another entity tag
/// needs no planning.
pub(super) struct Sorter {
    pub now: UtcMillis,
    /// As [`crate::source::ChangeBatch::may_lag`].
    pub may_lag: bool,
    /// What the ledger has, by href; what was sorted is taken out.
    pub existing: HashMap<String, Existing>,
    /// Since when what is gone has not fired, by href.
    pub unfired_since: HashMap<String, UtcMillis>,
    pub sorted: SortedBatch,
}

/// An object that its source has, in a version.
struct PutObject {
    href: String,
    etag: String,
    text: Vec<u8>,
    last_modified: Option<UtcMillis>,
}

impl Sorter {
    /// Adds `change` to what was sorted.
    pub(super) fn sort(&mut self, change: Change) {
        match change {
            Change::Gone { href } => {
                if let Some(existing) = self.existing.remove(&href) {
                    self.sorted.gone.push(href.clone());
                    self.sorted.went.push((href, existing));
                }
            }
            Change::Unreadable { href, fault } => {
                let existing = self.existing.remove(&href);
                let unfired_since = self.unfired_since.remove(&href).filter(|_| existing.is_none());
                let etag = String::new();
                self.sorted.jobs.push(Job {
                    href,
                    etag,
                    text: Err(fault),
                    last_modified: None,
                    existing,
                    unfired_since,
                });
            }
            Change::Put { href, etag, text, last_modified } => {
                self.put(PutObject { href, etag, text: attachments::strip(text), last_modified });
            }
        }
    }

    fn put(&mut self, put: PutObject) {
        match self.existing.remove(&put.href) {
            // What is faulty is planned again: the ledger may have the text before the faulty one.
            Some(known) if known.text == put.text && known.faults.is_none() => self.same(known, put),
            existing => self.changed(existing, put),
        }
    }

    /// Adds an object whose text is the one that the ledger has.
    fn same(&mut self, known: Existing, put: PutObject) {
        let PutObject { href, etag, .. } = put;
        if known.etag == etag {
            return;
        }
        if self.may_lag {
            let is_noted = known.unread_since.is_some();
            self.sorted.echoes.push(Echo { id: known.id, href, etag, is_noted });
        } else {
            self.sorted.retag.push(Retagged { object: known.id, etag });
        }
    }

    /// Adds an object that is new, or whose text is another one.
    fn changed(&mut self, existing: Option<Existing>, put: PutObject) {
        let PutObject { href, etag, text, last_modified } = put;
        // Of what could not be read before, no sync has known its alarms. Where it is not known when it was written (an
        // instant to come says nothing), that may have been just now.
        let is_dated = last_modified.is_some_and(|modified| modified <= self.now);
        let unread = existing.as_ref().and_then(|existing| existing.unread_since).filter(|_| is_dated);
        let unfired_since = self.unfired_since.remove(&href).filter(|_| existing.is_none()).or(unread);
        self.sorted.jobs.push(Job { href, etag, text: Ok(text), last_modified, existing, unfired_since });
    }
}

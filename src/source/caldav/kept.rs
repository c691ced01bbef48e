//! What the ledger has of a calendar, found however a server spells it.

use std::collections::{BTreeMap, HashMap};

use super::fetch::is_same_etag;
use super::href;
use super::requests::list_etags::Member;

/// The objects of a calendar as the ledger has them.
#[derive(Debug, Default)]
pub struct Kept {
    by_key: BTreeMap<String, KeptObject>,
}

/// An object as the ledger has it.
#[derive(Clone, Debug)]
pub struct KeptObject {
    /// As the ledger spells it.
    pub href: String,
    pub etag: String,
}

impl Kept {
    /// Of href and entity tag of each object.
    pub fn new(etags: HashMap<String, String>) -> Kept {
        Kept { by_key: etags.into_iter().map(|(href, etag)| (href::key(&href), KeptObject { href, etag })).collect() }
    }

    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// The key of what `href` names: that of the object which the ledger has, where it has one.
    pub fn key(&self, href: &str) -> String {
        let key = href::key(href);
        if !self.by_key.contains_key(&key) && href::is_doubtful(href) {
            let literal = href::literal_key(href);
            if self.by_key.contains_key(&literal) {
                return literal;
            }
        }
        key
    }

    pub fn get(&self, key: &str) -> Option<&KeptObject> {
        self.by_key.get(key)
    }

    /// By key.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &KeptObject)> {
        self.by_key.iter()
    }

    /// How the ledger spells the href of `member`; none where it does not have it.
    pub fn spelled(&self, member: &Member) -> Option<String> {
        self.get(&self.key(&member.href)).map(|kept| kept.href.clone())
    }

    /// Whether the ledger has the version of `member` that is named.
    pub fn has(&self, member: &Member) -> bool {
        member.etag.as_ref().is_some_and(|etag| self.is(member, etag))
    }

    /// Whether `etag` is the version that the ledger has of `member`.
    pub fn is(&self, member: &Member, etag: &str) -> bool {
        self.get(&self.key(&member.href)).is_some_and(|kept| is_same_etag(&kept.etag, etag))
    }
}

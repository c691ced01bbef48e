//! How users read: the zones of their times, and their languages.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// How a user reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reader {
    /// The IANA id of the zone that the user reads times in; none: that of the event.
    pub zone: Option<String>,
    /// The locale (BCP 47) of what is written to the user; none: English.
    pub locale: Option<String>,
}

/// How each user reads, by userId. Clones share it: users come and go while sinks run.
#[derive(Clone, Debug, Default)]
pub struct Readers {
    users: Arc<RwLock<HashMap<String, Reader>>>,
    /// What is not known of a user.
    otherwise: Reader,
}

impl Readers {
    /// With these `users`, by userId, and with what holds of everybody else and of what is not known of them.
    pub fn new(users: HashMap<String, Reader>, otherwise: Reader) -> Readers {
        Readers { users: Arc::new(RwLock::new(users)), otherwise }
    }

    /// How `user` reads.
    pub fn get(&self, user: &str) -> Reader {
        let users = self.users.read().unwrap_or_else(PoisonError::into_inner);
        let Reader { zone, locale } = users.get(user).cloned().unwrap_or_default();
        Reader {
            zone: zone.or_else(|| self.otherwise.zone.clone()),
            locale: locale.or_else(|| self.otherwise.locale.clone()),
        }
    }

    /// Takes `users` in place of those that it has.
    pub fn set(&self, users: HashMap<String, Reader>) {
        *self.users.write().unwrap_or_else(PoisonError::into_inner) = users;
    }
}

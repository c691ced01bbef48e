//! The zones that users read times in.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// userId → the IANA id of the zone that the user reads times in. Clones share it: users come and go while sinks run.
#[derive(Clone, Debug, Default)]
pub struct ReaderZones(Arc<RwLock<HashMap<String, String>>>);

impl ReaderZones {
    /// With these zones, by userId.
    pub fn new(zones: HashMap<String, String>) -> ReaderZones {
        ReaderZones(Arc::new(RwLock::new(zones)))
    }

    /// The zone of `user`.
    pub fn get(&self, user: &str) -> Option<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(user).cloned()
    }

    /// Takes `zones` in place of those that it has.
    pub fn set(&self, zones: HashMap<String, String>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = zones;
    }
}

//! What is due within the next seconds, with its notifications already written.

use std::collections::HashMap;

use crate::ledger::{DueObject, Timer};
use crate::time::UtcMillis;

/// Objects and octets of their notifications that are precomputed at most: bounds on memory (some 150 MiB), not on what
/// can be due at once.
const OBJECTS: usize = 100_000;
const OCTETS: usize = 128 * 1024 * 1024;

/// Due objects, by id.
#[derive(Debug, Default)]
pub struct Precomputed {
    due_objects: HashMap<i64, DueObject>,
    octets: usize,
}

impl Precomputed {
    /// Keeps `due_object` in the place of what there is of its object.
    pub fn put(&mut self, due_object: DueObject) {
        self.octets += octets(&due_object);
        let before = self.due_objects.insert(due_object.timer.object, due_object);
        self.octets -= before.as_ref().map_or(0, octets);
    }

    /// Takes out what is precomputed for `timer`; none where there is nothing, or something for another timer of its
    /// object.
    pub fn take(&mut self, timer: &Timer) -> Option<DueObject> {
        let due_object = self.due_objects.remove(&timer.object)?;
        self.octets -= octets(&due_object);
        Some(due_object).filter(|due_object| due_object.timer == *timer)
    }

    /// Whether there is no room for more. What was due before `now`, and has not been taken, makes room.
    pub fn is_full(&mut self, now: UtcMillis) -> bool {
        let is_full = self.due_objects.len() >= OBJECTS || self.octets >= OCTETS;
        if is_full {
            self.due_objects.retain(|_, due_object| due_object.timer.due >= now);
            self.octets = self.due_objects.values().map(octets).sum();
        }
        is_full
    }
}

fn octets(due_object: &DueObject) -> usize {
    due_object.firings.iter().map(|firing| firing.notification.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{FiringState, NewFiring};

    fn firing(object: i64, octets: usize) -> DueObject {
        let firing = NewFiring {
            identity: [0; 16],
            calendar: 1,
            object,
            due: UtcMillis(object),
            state: FiringState::Fired,
            count: 1,
            notification: "x".repeat(octets),
            routes: Vec::new(),
        };
        DueObject { timer: Timer { due: UtcMillis(object), object, revision: 1 }, firings: vec![firing], next: None }
    }

    #[test]
    fn octets_fill_it_and_what_is_taken_or_over_makes_room() {
        let mut precomputed = Precomputed::default();
        precomputed.put(firing(1, OCTETS - 1));
        assert!(!precomputed.is_full(UtcMillis(0)));
        precomputed.put(firing(2, 1));
        assert!(precomputed.is_full(UtcMillis(0)) && precomputed.is_full(UtcMillis(0)), "nothing is over yet");
        precomputed.put(firing(2, 0));
        assert!(!precomputed.is_full(UtcMillis(0)), "what is put in its place counts");
        precomputed.put(firing(2, 1));
        assert!(precomputed.is_full(UtcMillis(2)) && !precomputed.is_full(UtcMillis(2)), "the first is over");
        assert!(precomputed.take(&firing(1, 0).timer).is_none() && precomputed.take(&firing(2, 0).timer).is_some());
        assert_eq!(precomputed.octets, 0);
    }
}

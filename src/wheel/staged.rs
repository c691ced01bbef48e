//! What is due within the next seconds, with its notifications already written.

use std::collections::HashMap;

use crate::ledger::{DueObject, Timer};
use crate::time::UtcMillis;

/// Objects and octets of their notifications that are staged at most: bounds on memory (some 150 MiB), not on what can
/// be due at once.
const OBJECTS: usize = 100_000;
const OCTETS: usize = 128 * 1024 * 1024;

/// Firings by object.
#[derive(Debug, Default)]
pub struct Staged {
    firings: HashMap<i64, DueObject>,
    octets: usize,
}

impl Staged {
    /// Keeps `firing` in the place of what there is of its object.
    pub fn put(&mut self, firing: DueObject) {
        self.octets += octets(&firing);
        let before = self.firings.insert(firing.timer.object, firing);
        self.octets -= before.as_ref().map_or(0, octets);
    }

    /// Takes the firing of `timer` out; none where there is none, or one of another timer of its object.
    pub fn take(&mut self, timer: &Timer) -> Option<DueObject> {
        let firing = self.firings.remove(&timer.object)?;
        self.octets -= octets(&firing);
        Some(firing).filter(|firing| firing.timer == *timer)
    }

    /// Whether there is no room for more. What was due before `now`, and has not been taken, makes room.
    pub fn is_full(&mut self, now: UtcMillis) -> bool {
        let is_full = self.firings.len() >= OBJECTS || self.octets >= OCTETS;
        if is_full {
            self.firings.retain(|_, firing| firing.timer.due >= now);
            self.octets = self.firings.values().map(octets).sum();
        }
        is_full
    }
}

fn octets(firing: &DueObject) -> usize {
    firing.rings.iter().map(|ring| ring.notification.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{NewRing, RingState};

    fn firing(object: i64, octets: usize) -> DueObject {
        let ring = NewRing {
            identity: [0; 16],
            calendar: 1,
            object,
            due: UtcMillis(object),
            state: RingState::Fired,
            count: 1,
            notification: "x".repeat(octets),
            routes: Vec::new(),
        };
        DueObject { timer: Timer { due: UtcMillis(object), object, revision: 1 }, rings: vec![ring], next: None }
    }

    #[test]
    fn octets_fill_it_and_what_is_taken_or_over_makes_room() {
        let mut staged = Staged::default();
        staged.put(firing(1, OCTETS - 1));
        assert!(!staged.is_full(UtcMillis(0)));
        staged.put(firing(2, 1));
        assert!(staged.is_full(UtcMillis(0)) && staged.is_full(UtcMillis(0)), "nothing is over yet");
        staged.put(firing(2, 0));
        assert!(!staged.is_full(UtcMillis(0)), "what is put in its place counts");
        staged.put(firing(2, 1));
        assert!(staged.is_full(UtcMillis(2)) && !staged.is_full(UtcMillis(2)), "the first is over");
        assert!(staged.take(&firing(1, 0).timer).is_none() && staged.take(&firing(2, 0).timer).is_some());
        assert_eq!(staged.octets, 0);
    }
}

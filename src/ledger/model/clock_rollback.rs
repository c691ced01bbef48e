//! What is undone when a clock that was ahead has been set back.

use std::collections::HashMap;

use crate::time::UtcMillis;

/// What a clock that was ahead had done and what is undone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Undone {
    /// Firings that counted as missed.
    pub firings: u64,
    /// Deliveries that were given up and are tried again.
    pub deliveries: u64,
}

/// From when on objects are to be planned again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Since {
    /// All of them, unless they are due earlier already.
    pub all: UtcMillis,
    /// Objects whose firings were undone: their earliest.
    pub objects: HashMap<i64, UtcMillis>,
}

impl Since {
    /// As a text that the ledger keeps until the objects are planned.
    pub fn to_json(&self) -> String {
        let objects: Vec<(i64, i64)> = self.objects.iter().map(|(object, due)| (*object, due.0)).collect();
        serde_json::json!([self.all.0, objects]).to_string()
    }

    /// What [`Since::to_json`] has written; none if `text` is something else.
    pub fn from_json(text: &str) -> Option<Since> {
        let (all, objects): (i64, Vec<(i64, i64)>) = serde_json::from_str(text).ok()?;
        let objects = objects.into_iter().map(|(object, due)| (object, UtcMillis(due))).collect();
        Some(Since { all: UtcMillis(all), objects })
    }

    /// The earlier of `self` and `other`, for each object.
    pub fn earlier(mut self, other: Since) -> Since {
        for (object, due) in other.objects {
            let earliest = self.objects.entry(object).or_insert(due);
            *earliest = due.min(*earliest);
        }
        Since { all: self.all.min(other.all), objects: self.objects }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn since(all: i64, objects: &[(i64, i64)]) -> Since {
        let objects = objects.iter().map(|(object, due)| (*object, UtcMillis(*due))).collect();
        Since { all: UtcMillis(all), objects }
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let written = since(-5, &[(1, 10), (7, i64::MAX)]);
        assert_eq!(Since::from_json(&written.to_json()), Some(written));
        assert_eq!(Since::from_json("[3,[]]"), Some(since(3, &[])));
        for text in ["", "[]", "[1]", "{}", "[1,[[2]]]"] {
            assert_eq!(Since::from_json(text), None, "{text}");
        }
    }

    #[test]
    fn of_two_rollbacks_the_earlier_counts_for_each_object() {
        let (first, second) = (since(20, &[(1, 10), (2, 30)]), since(15, &[(1, 12), (2, 25), (3, 40)]));
        assert_eq!(first.earlier(second), since(15, &[(1, 10), (2, 25), (3, 40)]));
    }
}

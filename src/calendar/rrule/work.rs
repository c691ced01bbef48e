//! A bound on how much looking for starts may cost, in steps that each take about as long (some ten nanoseconds).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is left to be spent; clones share it. Where nothing is left searches end without a result, and who has asked
/// must ask whether it was enough.
#[derive(Clone, Debug, Default)]
pub struct WorkMeter {
    /// Steps; none: there is no bound.
    left: Option<Arc<AtomicU64>>,
}

impl WorkMeter {
    /// So many steps.
    pub fn of(steps: u64) -> WorkMeter {
        WorkMeter { left: Some(Arc::new(AtomicU64::new(steps))) }
    }

    /// Has so many steps left, from now on, where there is a bound.
    pub fn allow(&self, steps: u64) {
        if let Some(left) = &self.left {
            left.store(steps, Ordering::Relaxed);
        }
    }

    /// Takes `steps`. False, and nothing is left, when that is more than there is.
    pub fn spend(&self, steps: u64) -> bool {
        let Some(left) = &self.left else { return true };
        // One thread works with it.
        let rest = left.load(Ordering::Relaxed).checked_sub(steps);
        left.store(rest.unwrap_or(0), Ordering::Relaxed);
        rest.is_some()
    }

    /// Steps that are left.
    pub fn left(&self) -> u64 {
        self.left.as_ref().map_or(u64::MAX, |left| left.load(Ordering::Relaxed))
    }

    /// Whether nothing is left: what was looked for may have been missed.
    pub fn is_spent(&self) -> bool {
        self.left() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::WorkMeter;

    #[test]
    fn what_is_shared_is_spent_once() {
        let work = WorkMeter::of(10);
        let other = work.clone();
        assert!(work.spend(4) && other.spend(5) && !work.is_spent() && other.left() == 1);
        assert!(!work.spend(2) && other.is_spent());
        work.allow(3);
        assert!(other.spend(2) && WorkMeter::default().spend(u64::MAX) && !WorkMeter::default().is_spent());
    }
}

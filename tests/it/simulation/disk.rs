//! The ledger's disk: commits that fail, and processes that end before or after one.

use std::sync::Mutex;

use reveille::ledger::{Commit, CommitFate, CommitHook, LedgerError};
use tokio::sync::Notify;

/// A disk that does what it was told to do next.
#[derive(Debug, Default)]
pub struct Script {
    plan: Mutex<Plan>,
    /// Notified when a fault has come.
    pub fault: Notify,
}

#[derive(Clone, Copy, Debug, Default)]
struct Plan {
    /// Moments (two a commit) after which the process ends.
    ends_in: Option<usize>,
    /// Commits that are still to fail, after so many that do not.
    failing: usize,
    sparing: usize,
    /// Commits that were made.
    done: usize,
    ended: bool,
    /// Ends that came before a commit and after one.
    ends: (usize, usize),
    failed: usize,
}

impl Script {
    fn plan(&self) -> std::sync::MutexGuard<'_, Plan> {
        self.plan.lock().unwrap()
    }

    /// The process will end at the moment after so many others; a commit has two, before and after it.
    pub fn end_in(&self, moments: usize) {
        self.plan().ends_in = Some(moments);
    }

    /// The next commits fail.
    pub fn fail(&self, commits: usize) {
        self.fail_after(0, commits);
    }

    /// So many commits fail after `good` that do not.
    pub fn fail_after(&self, good: usize, commits: usize) {
        let mut plan = self.plan();
        (plan.sparing, plan.failing) = (good, commits);
    }

    /// Nothing goes wrong from now on; a process that has ended may be started.
    pub fn heal(&self) {
        let mut plan = self.plan();
        (plan.ends_in, plan.failing, plan.sparing, plan.ended) = (None, 0, 0, false);
    }

    /// How many commits were made.
    pub fn commits(&self) -> usize {
        self.plan().done
    }

    /// Whether the process has ended at a commit.
    pub fn has_ended(&self) -> bool {
        self.plan().ended
    }

    /// How many processes ended before a commit and after one, and how many commits failed.
    pub fn figures(&self) -> ((usize, usize), usize) {
        let plan = self.plan();
        (plan.ends, plan.failed)
    }
}

impl CommitHook for Script {
    fn commit(&self, at: Commit) -> CommitFate {
        let mut plan = self.plan();
        if at == Commit::Done {
            plan.done += 1;
        }
        match plan.ends_in {
            Some(0) => {
                plan.ended = true;
                match at {
                    Commit::Coming => plan.ends.0 += 1,
                    Commit::Done => plan.ends.1 += 1,
                }
                self.fault.notify_one();
                return CommitFate::Ends;
            }
            Some(moments) => plan.ends_in = Some(moments - 1),
            None => {}
        }
        if at == Commit::Coming && plan.sparing > 0 {
            plan.sparing -= 1;
        } else if at == Commit::Coming && plan.failing > 0 {
            plan.failing -= 1;
            plan.failed += 1;
            self.fault.notify_one();
            return CommitFate::Fails(LedgerError::Full);
        }
        CommitFate::Well
    }

    fn waits(&self) -> bool {
        false
    }
}

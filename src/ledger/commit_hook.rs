//! Called around each commit of the ledger. A simulation uses one whose commits fail or are the last thing that a
//! process does.

use std::fmt::Debug;

use super::error::LedgerError;

/// Where a commit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// Everything is written and would be committed now.
    Coming,
    /// It is committed, and its caller does not know it yet.
    Done,
}

/// What becomes of a commit.
#[derive(Clone, Debug)]
pub enum CommitFate {
    /// All goes on.
    Well,
    /// The commit that is coming fails: nothing of it is written.
    Fails(LedgerError),
    /// The process ends here: what is not committed is lost, and no caller learns how its operation ended.
    Ends,
}

/// What the ledger's commits meet.
pub trait CommitHook: Debug + Send + Sync {
    /// Asked before and after each commit.
    fn commit(&self, at: Commit) -> CommitFate;

    /// Whether a commit waits until the medium has it. Where it does not, a loss of power may take the last commits.
    fn waits(&self) -> bool;
}

/// The machine's own: a commit is there when SQLite says so.
#[derive(Clone, Copy, Debug, Default)]
pub struct Durable;

impl CommitHook for Durable {
    fn commit(&self, _: Commit) -> CommitFate {
        CommitFate::Well
    }

    fn waits(&self) -> bool {
        true
    }
}

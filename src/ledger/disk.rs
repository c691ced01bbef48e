//! The disk below the ledger, as far as commits go. A simulation puts another in its place, whose commits fail or are the
//! last thing that a process does.

use std::fmt::Debug;

use sqlx::sqlite::SqliteSynchronous;

use super::LedgerError;

/// Where a commit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// Everything is written and would be committed now.
    Coming,
    /// It is committed, and nobody has been told yet.
    Done,
}

/// What becomes of a commit.
#[derive(Clone, Debug)]
pub enum Fate {
    /// All goes on.
    Well,
    /// The commit that is coming fails: nothing of it is written.
    Fails(LedgerError),
    /// The process ends here: what is not committed is lost, and no caller learns how its operation ended.
    Ends,
}

/// What the ledger's commits meet.
pub trait Disk: Debug + Send + Sync {
    /// Asked before and after each commit.
    fn commit(&self, at: Commit) -> Fate;

    /// Whether a commit waits until the medium has it. Where it does not, a loss of power may take the last commits.
    fn waits(&self) -> bool;
}

/// The machine's own: a commit is there when SQLite says so.
#[derive(Clone, Copy, Debug, Default)]
pub struct Durable;

impl Disk for Durable {
    fn commit(&self, _: Commit) -> Fate {
        Fate::Well
    }

    fn waits(&self) -> bool {
        true
    }
}

/// What SQLite calls it.
pub fn synchronous(disk: &dyn Disk) -> SqliteSynchronous {
    if disk.waits() { SqliteSynchronous::Full } else { SqliteSynchronous::Off }
}

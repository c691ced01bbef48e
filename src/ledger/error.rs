//! What can go wrong with the ledger.

/// What can go wrong with the ledger.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    /// Another daemon holds the lock.
    #[error(
        "the ledger {path} is in use by another reveille (process {pid}): stop that one first, or give this one a ledger of its own with --ledger"
    )]
    InUse {
        /// The ledger's file, or the copy.
        path: String,
        /// Its process id.
        pid: String,
    },
    /// The file, or the folder it lies in, cannot be used.
    #[error("the ledger {path} cannot be opened: {reason}")]
    Open {
        /// The ledger's file, or the copy.
        path: String,
        /// Why, in a few words.
        reason: String,
    },
    /// There is none to read.
    #[error("there is no ledger at {path}: it is made by 'reveille run'; another one is named with --ledger")]
    Missing {
        /// The ledger's file, or the copy.
        path: String,
    },
    /// A later version of the program has written it.
    #[error(
        "the ledger {path} was made by a newer version of reveille ({reason}): use that version, or another ledger"
    )]
    Newer {
        /// The ledger's file, or the copy.
        path: String,
        /// Why, in a few words.
        reason: String,
    },
    /// An earlier version of the program has written it, and this command does not change it.
    #[error(
        "the ledger {path} is of an earlier version of Reveille: start `reveille run`, which brings it up to date, and ask again"
    )]
    Older {
        /// The ledger's file, or the copy.
        path: String,
    },
    /// What would be written over is not.
    #[error(
        "{path} is there already, and nothing is written over: name another file, or move that one away (a ledger with its -wal and -shm)"
    )]
    Exists {
        /// The ledger's file, or the copy.
        path: String,
    },
    /// A copy could not be made.
    #[error("the copy {path} cannot be written: {reason}")]
    Copy {
        /// The ledger's file, or the copy.
        path: String,
        /// Why, in a few words.
        reason: String,
    },
    /// The file at `path` is no longer what was written into it.
    #[error("the ledger {path} cannot be opened: {reason}: {remedy}", remedy = REMEDY)]
    CorruptFile {
        /// The ledger's file, or the copy.
        path: String,
        /// Why, in a few words.
        reason: String,
    },
    /// The copy that was to be put back is none, or no longer what was written into it.
    #[error("the copy {path} cannot be put back: {reason}; nothing was changed")]
    CorruptCopy {
        /// The ledger's file, or the copy.
        path: String,
        /// Why, in a few words.
        reason: String,
    },
    /// What was read is not what was written.
    #[error("the ledger is damaged ({0}): {remedy}", remedy = REMEDY)]
    Corrupt(String),
    /// Another process is writing, and has been for longer than can be waited for.
    #[error("another process keeps the ledger locked: end that one, or wait for it; nothing is lost")]
    Locked,
    /// No room to write.
    #[error("the disk that holds the ledger is full: make room; nothing is lost, the change will be tried again")]
    Full,
    /// It may not be written, for a reason that SQLite does not tell.
    #[error("the ledger cannot be written ({0}): {refused}; nothing is lost, the change will be tried again", refused = REFUSED)]
    Refused(String),
    /// Everything else that SQLite says.
    #[error("the ledger answers: {0}")]
    Database(String),
}

/// What to do with a ledger that is damaged.
const REMEDY: &str = "stop reveille and put a backup back with 'reveille restore'; without one, move the ledger away, and \
    all that is still to come is read again";
/// What to do where the system refuses to write and the disk is not full.
pub(super) const REFUSED: &str = "check the disk, quotas and the file size limit ('ulimit -f')";

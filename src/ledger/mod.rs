//! The ledger: one SQLite file that holds the calendars, their objects, the timers, the history of firings and the
//! outbox. What is committed here happened; what is not, did not. It owns all SQL and knows nothing of iCalendar, HTTP
//! or configuration files.
//!
//! * `writer` groups what tasks want to write into few commits; `commit_hook` is what these meet; `wal` moves
//!   the log into the database beside it.
//! * `lock` sees to it that one daemon has it; `file` is how commands find it.
//! * `inspect` looks into a ledger from outside the daemon, `outbox_admin` changes its outbox from there, `backup`
//!   copies it.
//! * `store` knows calendars and objects, `take_in` changes them, `gone` remembers those that are gone; `timers` is the
//!   outer wheel; `outbox` is what is owed to the sinks, `leases` what of it is being sent; `lossy_text` is about what
//!   is damaged; `history` forgets what is old, `clock_rollback` undoes what a wrong clock has recorded, `absence`
//!   knows calendars that syncs do not find, `identities` is about firings that an earlier version has recorded.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{SqlSafeStr, SqliteConnection, SqlitePool};

use crate::access::{Denied, User, give_to_owner_of};

mod absence;
mod attempts;
mod backup;
mod bulk;
mod clock_rollback;
mod commit_hook;
mod file;
mod gone;
mod history;
mod identities;
mod inspect;
mod leases;
mod lock;
mod log_once;
mod lossy_text;
mod model;
mod outbox;
mod outbox_admin;
pub mod raw;
mod state;
mod store;
mod take_in;
mod timers;
mod wal;
mod writer;

pub use absence::Absent;
pub use attempts::Unfinished;
pub use backup::{Restored, backup, restore};
pub use clock_rollback::{GAVE_UP, Since, Undone};
pub use commit_hook::{Commit, CommitFate, CommitHook, Durable};
pub use file::{denied, size};
pub use gone::Departed;
pub use history::HistoryCursor;
pub use identities::OldFiring;
pub use inspect::{
    CalendarStats, DeliveryFilter, DeliveryRow, FaultyObject, FiringRow, FiringsOf, Inspector, ObjectRow, SourceRow,
    Stats,
};
pub use lock::{holder, is_held_by, lock_path};
pub use log_once::LogOnce;
pub use model::{DeliveryState, FiringState};
pub use outbox::{ClaimedDelivery, Claims, NextState, Settlement};
pub use outbox_admin::{AdminOutcome, DeliveryId, OutboxAdmin};
pub use store::{CalendarRow, Existing, ObjectText, SourceSync};
pub use take_in::{Planned, PlannedObject, Replanned};
pub use timers::{DueObject, FireOutcome, FireStats, NewFiring, Route, Timer};

/// The migrations, oldest first: version, description, SQL.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "ledger", include_str!("../../migrations/0001_ledger.sql")),
    (2, "leases in memory", include_str!("../../migrations/0002_leases_in_memory.sql")),
    (3, "absence", include_str!("../../migrations/0003_absence.sql")),
    (4, "identities", include_str!("../../migrations/0004_identities.sql")),
    (5, "tries", include_str!("../../migrations/0005_tries.sql")),
    (6, "progress", include_str!("../../migrations/0006_progress.sql")),
    (7, "moved objects", include_str!("../../migrations/0007_moved_objects.sql")),
    (8, "unread", include_str!("../../migrations/0008_unread.sql")),
    (9, "attempts", include_str!("../../migrations/0009_attempts.sql")),
    (10, "sync words", include_str!("../../migrations/0010_sync_words.sql")),
    (11, "vocabulary", include_str!("../../migrations/0011_vocabulary.sql")),
    (12, "response", include_str!("../../migrations/0012_response.sql")),
    (13, "departed objects", include_str!("../../migrations/0013_departed.sql")),
    (14, "sync state", include_str!("../../migrations/0014_sync_state.sql")),
    (15, "no acknowledged", include_str!("../../migrations/0015_no_acknowledged.sql")),
];

/// Octets of the header of a SQLite file; the octets 16 and 17 are the size of a page.
const HEADER: u64 = 100;

/// Pages of write-ahead log before it is moved into the database: 64 MiB. Bursts of timers touch many pages, and a
/// longer log moves each of them once.
const WAL_PAGES: u32 = 16_000;

/// How many connections read side by side.
const READERS: u32 = 4;

/// What can go wrong with the ledger.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    /// Another daemon holds the lock.
    #[error(
        "the ledger {path} is in use by another reveille (process {pid}): stop that one first, or give this one a ledger of its own with --ledger"
    )]
    InUse { path: String, pid: String },
    /// The file, or the folder it lies in, cannot be used.
    #[error("the ledger {path} cannot be opened: {reason}")]
    Open { path: String, reason: String },
    /// There is none to look at.
    #[error("there is no ledger at {path}: it is made by 'reveille run'; another one is named with --ledger")]
    Missing { path: String },
    /// A later version of the program has written it.
    #[error(
        "the ledger {path} was made by a newer version of reveille ({reason}): use that version, or another ledger"
    )]
    Newer { path: String, reason: String },
    /// An earlier version of the program has written it, and this command does not change it.
    #[error(
        "the ledger {path} is of an earlier version of Reveille: start `reveille run`, which brings it up to date, and ask again"
    )]
    Older { path: String },
    /// What would be written over is not.
    #[error(
        "{path} is there already, and nothing is written over: name another file, or move that one away (a ledger with its -wal and -shm)"
    )]
    Exists { path: String },
    /// A copy could not be made.
    #[error("the copy {path} cannot be written: {reason}")]
    Copy { path: String, reason: String },
    /// The file at `path` is no longer what was written into it.
    #[error("the ledger {path} cannot be opened: {reason}: {mend}", mend = MEND)]
    CorruptFile { path: String, reason: String },
    /// The copy that was to be put back is none, or no longer what was written into it.
    #[error("the copy {path} cannot be put back: {reason}; nothing was changed")]
    CorruptCopy { path: String, reason: String },
    /// What was read is not what was written.
    #[error("the ledger is damaged ({0}): {mend}", mend = MEND)]
    Corrupt(String),
    /// Somebody else is writing, and has been for longer than can be waited for.
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

impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> LedgerError {
        let said = match &error {
            sqlx::Error::Database(said) => said,
            // Columns are typed (STRICT): what has been written is not what is read.
            sqlx::Error::ColumnDecode { index, .. } => {
                return LedgerError::Corrupt(format!("the column {index} holds a value of another type"));
            }
            other => return LedgerError::Database(other.to_string()),
        };
        let code: i32 = said.code().and_then(|code| code.parse().ok()).unwrap_or(0);
        match (code, code & 0xff) {
            (SQLITE_IOERR_SHMSIZE, _) | (_, SQLITE_FULL) => LedgerError::Full,
            (SQLITE_IOERR_WRITE, _) => LedgerError::Refused(said.message().to_owned()),
            (_, SQLITE_CORRUPT | SQLITE_NOTADB) => LedgerError::Corrupt(said.message().to_owned()),
            (_, SQLITE_BUSY) => LedgerError::Locked,
            _ => LedgerError::Database(format!("{} (SQLite result code {code})", said.message())),
        }
    }
}

/// What to do with a ledger that is damaged.
const MEND: &str = "stop reveille and put a backup back with 'reveille restore'; without one, move the ledger away, and \
    all that is still to come is read anew";
/// What to do where the system refuses to write and the disk is not full.
const REFUSED: &str = "check the disk, quotas and the file size limit ('ulimit -f')";

// SQLite's result codes; the lowest octet tells the kind. <https://www.sqlite.org/rescode.html>
const SQLITE_PERM: i32 = 3;
const SQLITE_BUSY: i32 = 5;
const SQLITE_READONLY: i32 = 8;
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_FULL: i32 = 13;
const SQLITE_CANTOPEN: i32 = 14;
const SQLITE_NOTADB: i32 = 26;
/// The disk has a fault, or a quota or the limit on the size of files is reached.
const SQLITE_IOERR_WRITE: i32 = 778;
/// The file that processes share beside the database cannot grow.
const SQLITE_IOERR_SHMSIZE: i32 = 4874;

/// An open ledger. Clones share it.
#[derive(Clone, Debug)]
pub struct Ledger {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    writer: writer::Writer,
    readers: SqlitePool,
    leases: leases::Leases,
    /// The id that the next firing gets; ids are given out here so that a batch knows its own without asking.
    next_firing: AtomicI64,
    /// The id that the next object gets.
    next_object: AtomicI64,
    /// Held as long as the ledger is open.
    _lock: File,
}

impl Ledger {
    /// Opens the ledger at `path`, creating it (mode 0600) where it does not exist, and brings its schema up to date.
    /// It is locked against other daemons until the last clone is dropped. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`LedgerError::InUse`] when another process holds it, [`LedgerError::Newer`] for one of a later version,
    /// [`LedgerError::Open`] when the file cannot be made, is no database or has several names.
    pub async fn open(path: &Path) -> Result<Ledger, LedgerError> {
        Ledger::open_on(path, Arc::new(Durable)).await
    }

    /// As [`Ledger::open`], on another disk than the machine's own.
    ///
    /// # Errors
    /// As for [`Ledger::open`].
    pub async fn open_on(path: &Path, hook: Arc<dyn CommitHook>) -> Result<Ledger, LedgerError> {
        let path = &lock::resolve_symlinks(path);
        lock::reject_hard_links(path)?;
        let lock = lock::lock(path).await?;
        create_private(path)?;
        lock::reject_hard_links(path)?;
        let options = options(path).synchronous(commit_hook::synchronous(&*hook));
        let open = |error: sqlx::Error| unopened(path, &error);
        check_not_truncated(path)?;
        let migrating =
            SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await.map_err(open)?;
        migrate(path, &migrating).await?;
        let next =
            "SELECT (SELECT coalesce(max(id), 0) + 1 FROM firings), (SELECT coalesce(max(id), 0) + 1 FROM objects)";
        let (next_firing, next_object): (i64, i64) = sqlx::query_as(next).fetch_one(&migrating).await.map_err(open)?;
        migrating.close().await;
        let writer = writer::Writer::start(&options, hook).await.map_err(open)?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(options.read_only(true).create_if_missing(false));
        let (next_firing, next_object) = (AtomicI64::new(next_firing), AtomicI64::new(next_object));
        let leases = leases::Leases::default();
        let inner = Inner { writer, readers, leases, next_firing, next_object, _lock: lock };
        Ok(Ledger { inner: Arc::new(inner) })
    }

    /// Waits until everything handed to the writer is committed, and closes the database.
    pub async fn close(&self) {
        self.inner.writer.stop().await;
        self.inner.readers.close().await;
    }

    fn readers(&self) -> &SqlitePool {
        &self.inner.readers
    }

    fn leases(&self) -> &leases::Leases {
        &self.inner.leases
    }

    /// Runs `op` inside a write transaction, perhaps together with those of other tasks, and returns once it is
    /// durable.
    async fn write<T, F>(&self, op: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> writer::Work<'c, T> + Send + 'static,
    {
        self.inner.writer.write(op).await
    }

    /// Ids for `count` new firings, in a row; the first of them is returned.
    fn firing_ids(&self, count: usize) -> i64 {
        self.inner.next_firing.fetch_add(i64::try_from(count).unwrap_or(i64::MAX), Ordering::SeqCst)
    }

    /// Ids for `count` new objects, likewise.
    fn object_ids(&self, count: usize) -> i64 {
        self.inner.next_object.fetch_add(i64::try_from(count).unwrap_or(i64::MAX), Ordering::SeqCst)
    }

    /// What the ledger remembers under `key`.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn meta(&self, key: &str) -> Result<Option<String>, LedgerError> {
        let value =
            sqlx::query("SELECT value FROM meta WHERE key = ?").bind(key).fetch_optional(self.readers()).await?;
        Ok(value.map(|row| lossy_text::text(&row, "value")).transpose()?)
    }

    /// Remembers `value` under `key`.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Database`].
    pub async fn set_meta(&self, key: &str, value: &str) -> Result<(), LedgerError> {
        let (key, value) = (key.to_owned(), value.to_owned());
        let sql = "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        self.write(move |c| {
            Box::pin(async move {
                sqlx::query(sql).bind(key).bind(value).execute(c).await?;
                Ok(())
            })
        })
        .await
    }
}

/// The path of the file beside `path` that has its name and `ending`.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Refuses a file that ends within a page, for which SQLite would take the rest as zeros, or the whole as a new one (of
/// one octet). While there is a log, the end may be in that.
fn check_not_truncated(path: &Path) -> Result<(), LedgerError> {
    let shown = || path.display().to_string();
    let length = path.metadata().map_err(|why| LedgerError::Open { path: shown(), reason: why.to_string() })?.len();
    let logged = beside(path, "-wal").metadata().is_ok_and(|log| log.len() > 0);
    let corrupt =
        |what: &str| LedgerError::CorruptFile { path: shown(), reason: format!("{what} (its end is cut off)") };
    if logged || length == 0 {
        return Ok(());
    }
    if length < HEADER {
        return Err(corrupt("it is no ledger, or damaged"));
    }
    let mut head = [0; 18];
    if File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_err() {
        return Ok(());
    }
    let [.., high, low] = head;
    let page = match u64::from(u16::from_be_bytes([high, low])) {
        1 => 65_536,
        page => page,
    };
    match length.checked_rem(page) {
        None | Some(0) => Ok(()),
        Some(_) => Err(corrupt("it is damaged")),
    }
}

/// Why the ledger at `path` cannot be opened, in words that name it.
fn unopened(path: &Path, error: &sqlx::Error) -> LedgerError {
    let said = error.as_database_error();
    let code: i32 = said.and_then(|said| said.code()?.parse().ok()).unwrap_or(0);
    let path = path.display().to_string();
    let reason = match (said, code & 0xff) {
        (Some(said), SQLITE_CORRUPT) => {
            return LedgerError::CorruptFile { path, reason: format!("it is damaged ({})", said.message()) };
        }
        (Some(said), SQLITE_NOTADB) => {
            return LedgerError::CorruptFile {
                path,
                reason: format!("it is no ledger, or damaged ({})", said.message()),
            };
        }
        (_, SQLITE_BUSY) => "another process keeps it locked: end that one, or wait for it".to_owned(),
        (_, SQLITE_FULL) => "its disk is full: make room".to_owned(),
        _ if code == SQLITE_IOERR_SHMSIZE => "its disk is full: make room".to_owned(),
        (Some(said), _) if code == SQLITE_IOERR_WRITE => {
            format!("it cannot be written ({}): {REFUSED}", said.message())
        }
        (Some(said), SQLITE_CANTOPEN | SQLITE_READONLY | SQLITE_PERM) => {
            file::with_remedy(said.message(), denied(&User::current(), Path::new(&path)))
        }
        (Some(said), _) => said.message().to_owned(),
        _ => error.to_string(),
    };
    LedgerError::Open { path, reason }
}

/// Makes the file where it is not there, for its owner alone; that is the owner of the lock file, which is there
/// already.
fn create_private(path: &Path) -> Result<(), LedgerError> {
    let refused = |why: std::io::Error, denied: Option<Denied>| LedgerError::Open {
        path: path.display().to_string(),
        reason: file::with_remedy(&why.to_string(), denied),
    };
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => {
            give_to_owner_of(&lock_path(path), &file, path);
            Ok(())
        }
        Err(why) if why.kind() == ErrorKind::AlreadyExists => {
            let opened = OpenOptions::new().write(true).open(path).map(drop);
            opened.map_err(|why| refused(why, denied(&User::current(), path)))
        }
        Err(why) => Err(refused(why, denied(&User::current(), path))),
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(Duration::from_secs(10))
        .foreign_keys(true)
        .pragma("wal_autocheckpoint", WAL_PAGES.to_string())
        .pragma("cache_size", "-16000")
        // What undoes a statement that fails half-way need not go through a file.
        .pragma("temp_store", "memory")
        .row_buffer_size(4096)
}

async fn migrate(path: &Path, pool: &SqlitePool) -> Result<(), LedgerError> {
    let shown = path.display().to_string();
    match migrator(MIGRATIONS).run(pool).await {
        Ok(()) => Ok(()),
        Err(error @ (MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..))) => {
            Err(LedgerError::Newer { path: shown, reason: error.to_string() })
        }
        Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => Err(unopened(path, &error)),
        Err(error) => Err(LedgerError::Open { path: shown, reason: error.to_string() }),
    }
}

fn migrator(migrations: &[(i64, &'static str, &'static str)]) -> Migrator {
    let migration = |(version, description, sql): &(i64, &'static str, &'static str)| {
        Migration::new(*version, (*description).into(), MigrationType::Simple, (*sql).into_sql_str(), false)
    };
    Migrator::with_migrations(migrations.iter().map(migration).collect())
}

#[cfg(test)]
mod tests;

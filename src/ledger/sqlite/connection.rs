//! The connections to the file of a ledger: one that writes, a few that read. And those of commands, which do not hold
//! it.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, SqliteConnection, SqlitePool};

use super::error::unopened;
use super::file::{check_not_truncated, denied, lock_path, reject_hard_links, resolve_symlinks, with_remedy};
use super::leases::Leases;
use super::lock::lock;
use super::migrate::migrate;
use super::writer::{Work, Writer};
use crate::access::{Denied, User, give_to_owner_of};
use crate::ledger::commit_hook::CommitHook;
use crate::ledger::error::LedgerError;

/// Pages of write-ahead log before it is moved into the database: 64 MiB. Bursts of timers touch many pages, and a
/// longer log moves each of them once.
const WAL_PAGES: u32 = 16_000;

/// How many connections read side by side.
const READERS: u32 = 4;

/// A ledger in a SQLite file. Clones share it. Its operations are those of [`Ledger`](crate::ledger::Ledger), by the
/// same names.
#[derive(Clone, Debug)]
pub struct Sqlite {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    writer: Writer,
    readers: SqlitePool,
    leases: Leases,
    /// The id that the next firing gets; ids are given out here so that a batch knows its own without asking.
    next_firing: AtomicI64,
    /// The id that the next object gets.
    next_object: AtomicI64,
    /// Held as long as the ledger is open.
    _lock: File,
}

impl Sqlite {
    pub async fn open(path: &Path, hook: Arc<dyn CommitHook>) -> Result<Sqlite, LedgerError> {
        let path = &resolve_symlinks(path);
        reject_hard_links(path)?;
        let lock = lock(path).await?;
        create_private(path)?;
        reject_hard_links(path)?;
        let synchronous = if hook.waits() { SqliteSynchronous::Full } else { SqliteSynchronous::Off };
        let options = options(path).synchronous(synchronous);
        let open = |error: sqlx::Error| unopened(path, &error);
        check_not_truncated(path)?;
        let migrating =
            SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await.map_err(open)?;
        migrate(path, &migrating).await?;
        let next =
            "SELECT (SELECT coalesce(max(id), 0) + 1 FROM firings), (SELECT coalesce(max(id), 0) + 1 FROM objects)";
        let (next_firing, next_object): (i64, i64) = sqlx::query_as(next).fetch_one(&migrating).await.map_err(open)?;
        migrating.close().await;
        let writer = Writer::start(&options, hook).await.map_err(open)?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(options.read_only(true).create_if_missing(false));
        let (next_firing, next_object) = (AtomicI64::new(next_firing), AtomicI64::new(next_object));
        let leases = Leases::default();
        let inner = Inner { writer, readers, leases, next_firing, next_object, _lock: lock };
        Ok(Sqlite { inner: Arc::new(inner) })
    }

    pub async fn close(&self) {
        self.inner.writer.stop().await;
        self.inner.readers.close().await;
    }

    /// The connections that read.
    pub fn readers(&self) -> &SqlitePool {
        &self.inner.readers
    }

    /// Which deliveries are being sent.
    pub fn leases(&self) -> &Leases {
        &self.inner.leases
    }

    /// Runs `op` inside a write transaction, perhaps together with those of other tasks, and returns once it is
    /// durable.
    pub async fn write<T, F>(&self, op: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> Work<'c, T> + Send + 'static,
    {
        self.inner.writer.write(op).await
    }

    /// Ids for `count` new firings, in a row; the first of them is returned.
    pub fn firing_ids(&self, count: usize) -> i64 {
        self.inner.next_firing.fetch_add(i64::try_from(count).unwrap_or(i64::MAX), Ordering::SeqCst)
    }

    /// Ids for `count` new objects, likewise.
    pub fn object_ids(&self, count: usize) -> i64 {
        self.inner.next_object.fetch_add(i64::try_from(count).unwrap_or(i64::MAX), Ordering::SeqCst)
    }
}

/// Opens the file; says what a person can do where that fails.
pub async fn connect(path: &Path, options: SqliteConnectOptions) -> Result<SqliteConnection, LedgerError> {
    let shown = path.display().to_string();
    match std::fs::metadata(path) {
        Ok(_) => {}
        Err(why) if why.kind() == ErrorKind::NotFound => return Err(LedgerError::Missing { path: shown }),
        Err(why) => {
            let reason = with_remedy(&why.to_string(), denied(&User::current(), path));
            return Err(LedgerError::Open { path: shown, reason });
        }
    }
    check_not_truncated(&resolve_symlinks(path))?;
    options
        .busy_timeout(Duration::from_secs(10))
        .disable_statement_logging()
        .connect()
        .await
        .map_err(|why| unopened(path, &why))
}

/// Makes the file where it is not there, for its owner alone; that is the owner of the lock file, which is there
/// already.
fn create_private(path: &Path) -> Result<(), LedgerError> {
    let refused = |why: std::io::Error, denied: Option<Denied>| LedgerError::Open {
        path: path.display().to_string(),
        reason: with_remedy(&why.to_string(), denied),
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

/// How a ledger at `path` is opened by whoever writes it.
pub fn options(path: &Path) -> SqliteConnectOptions {
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
        // The library would warn of slow statements, whose text says nothing to users.
        .disable_statement_logging()
}

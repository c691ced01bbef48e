//! The schema and its versions.

use std::path::Path;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{SqlSafeStr, SqliteConnection, SqlitePool};

use super::error::{is_full, unopened};
use crate::ledger::error::LedgerError;

/// A step from one version of the schema to the next.
#[derive(Clone, Copy, Debug)]
pub struct SchemaStep {
    /// The version that it leads to.
    pub version: i64,
    description: &'static str,
    sql: &'static str,
}

const fn step(version: i64, description: &'static str, sql: &'static str) -> SchemaStep {
    SchemaStep { version, description, sql }
}

/// The migrations, oldest first.
pub const MIGRATIONS: &[SchemaStep] = &[
    step(1, "ledger", include_str!("../../../migrations/0001_ledger.sql")),
    step(2, "leases in memory", include_str!("../../../migrations/0002_leases_in_memory.sql")),
    step(3, "absence", include_str!("../../../migrations/0003_absence.sql")),
    step(4, "identities", include_str!("../../../migrations/0004_identities.sql")),
    step(5, "tries", include_str!("../../../migrations/0005_tries.sql")),
    step(6, "progress", include_str!("../../../migrations/0006_progress.sql")),
    step(7, "moved objects", include_str!("../../../migrations/0007_moved_objects.sql")),
    step(8, "unread", include_str!("../../../migrations/0008_unread.sql")),
    step(9, "attempts", include_str!("../../../migrations/0009_attempts.sql")),
    step(10, "sync words", include_str!("../../../migrations/0010_sync_words.sql")),
    step(11, "vocabulary", include_str!("../../../migrations/0011_vocabulary.sql")),
    step(12, "response", include_str!("../../../migrations/0012_response.sql")),
    step(13, "departed objects", include_str!("../../../migrations/0013_departed.sql")),
    step(14, "sync state", include_str!("../../../migrations/0014_sync_state.sql")),
    step(15, "no acknowledged", include_str!("../../../migrations/0015_no_acknowledged.sql")),
    step(16, "source kinds", include_str!("../../../migrations/0016_source_kinds.sql")),
    step(17, "ignored alarms", include_str!("../../../migrations/0017_ignored_alarms.sql")),
    step(18, "shared alarms", include_str!("../../../migrations/0018_shared_alarms.sql")),
    step(19, "store events", include_str!("../../../migrations/0019_store_events.sql")),
    step(20, "held deliveries", include_str!("../../../migrations/0020_held.sql")),
    step(21, "time of all-day alarms", include_str!("../../../migrations/0021_all_day_at.sql")),
];

/// Brings the schema of the ledger at `path` up to date.
pub async fn migrate(path: &Path, pool: &SqlitePool) -> Result<(), LedgerError> {
    said_of(path, migrator(MIGRATIONS).run(pool).await)
}

/// Brings the schema of a copy at `path` up to date.
pub async fn migrate_copy(path: &Path, copy: &mut SqliteConnection) -> Result<(), LedgerError> {
    let outcome = migrator(MIGRATIONS).run_direct(None, copy, false).await;
    match outcome {
        // The copy is written where the ledger will be.
        Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) if is_full(&error) => {
            Err(LedgerError::Full)
        }
        outcome => said_of(path, outcome),
    }
}

fn said_of(path: &Path, outcome: Result<(), MigrateError>) -> Result<(), LedgerError> {
    let shown = path.display().to_string();
    match outcome {
        Ok(()) => Ok(()),
        Err(error @ (MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..))) => {
            Err(LedgerError::Newer { path: shown, reason: error.to_string() })
        }
        Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => Err(unopened(path, &error)),
        Err(error) => Err(LedgerError::Open { path: shown, reason: error.to_string() }),
    }
}

pub fn migrator(steps: &[SchemaStep]) -> Migrator {
    let migration = |step: &SchemaStep| {
        let SchemaStep { version, description, sql } = *step;
        Migration::new(version, description.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(steps.iter().map(migration).collect())
}

/// Refuses a file that is no ledger, and one of a later version.
pub async fn check_version(path: &Path, connection: &mut SqliteConnection) -> Result<(), LedgerError> {
    let shown = path.display().to_string();
    let sql = "SELECT max(version) FROM _sqlx_migrations WHERE success";
    let version: Result<Option<i64>, _> = sqlx::query_scalar(sql).fetch_one(&mut *connection).await;
    let newest = MIGRATIONS.last().map_or(0, |step| step.version);
    match version {
        Ok(Some(version)) if version > newest => {
            Err(LedgerError::Newer { path: shown, reason: format!("its schema has version {version}") })
        }
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(LedgerError::Open { path: shown, reason: "it is not a ledger".to_owned() }),
        Err(why) => match unopened(path, &why) {
            LedgerError::Open { path, reason }
                if why.as_database_error().is_some_and(|said| said.message() == reason) =>
            {
                Err(LedgerError::Open { path, reason: format!("it is not a ledger ({reason})") })
            }
            error => Err(error),
        },
    }
}

/// The same, and refuses one of an earlier version: whoever only asks does not bring it up to date.
pub async fn check_is_current(path: &Path, connection: &mut SqliteConnection) -> Result<(), LedgerError> {
    check_version(path, connection).await?;
    let sql = "SELECT max(version) FROM _sqlx_migrations WHERE success";
    let version: i64 = sqlx::query_scalar(sql).fetch_one(connection).await.map_err(|why| unopened(path, &why))?;
    let newest = MIGRATIONS.last().map_or(0, |step| step.version);
    if version < newest { Err(LedgerError::Older { path: path.display().to_string() }) } else { Ok(()) }
}

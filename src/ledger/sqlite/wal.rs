//! Moving the write-ahead log into the database beside the writer. What is committed is durable in the log already;
//! moving it is housekeeping, and an alarm must not wait for it. Where this lags behind, SQLite lets the writer do it
//! at [`WAL_PAGES`](super::connection), which is then short work.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Pages of log that are worth moving: 16 MiB.
const WORTH: i64 = 4_000;

/// Copies the log into the database (a checkpoint) when the writer asks for it.
#[derive(Debug)]
pub struct Checkpointer {
    wanted: mpsc::Sender<()>,
    task: JoinHandle<()>,
}

impl Checkpointer {
    /// One that opens its connection when there is something to move.
    pub fn start(options: SqliteConnectOptions) -> Checkpointer {
        let (wanted, asked) = mpsc::channel(1);
        Checkpointer { wanted, task: tokio::spawn(serve(options, asked)) }
    }

    /// Checks the size of the log after a commit of `writer`.
    pub async fn committed(&self, writer: &mut SqliteConnection) {
        if unmoved(writer).await.is_ok_and(|pages| pages >= WORTH) {
            // A full queue means that it has been asked for already.
            let _ = self.wanted.try_send(());
        }
    }

    /// Ends it, and waits for what it is doing.
    pub async fn stop(self) {
        drop(self.wanted);
        let _ = self.task.await;
    }
}

/// How many pages of the log are not in the database yet.
pub async fn unmoved(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let sql = "PRAGMA wal_checkpoint(NOOP)";
    let (_, log, moved): (i64, i64, i64) = sqlx::query_as(sql).fetch_one(connection).await?;
    Ok(log.saturating_sub(moved))
}

async fn serve(options: SqliteConnectOptions, mut asked: mpsc::Receiver<()>) {
    let mut open = None;
    while asked.recv().await.is_some() {
        // What fails now is tried after the next commit, or done by the writer.
        if open.is_none() {
            open = options.connect().await.ok();
        }
        if let Some(connection) = &mut open
            && let Err(error) = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(connection).await
        {
            tracing::debug!(ledger.error = %error, "the log was not moved into the database");
        }
    }
    if let Some(connection) = open {
        let _ = connection.close().await;
    }
}

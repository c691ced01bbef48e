//! The one connection that writes. What several tasks want to write at the same time goes into one commit: a durable
//! commit costs a flush of the disk, whatever its size.

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::wal::Checkpointer;
use crate::ledger::commit_hook::{Commit, CommitFate, CommitHook};
use crate::ledger::error::LedgerError;

/// What an operation does on the connection.
pub type Work<'c, T> = Pin<Box<dyn Future<Output = Result<T, LedgerError>> + Send + 'c>>;

/// Tells the caller how its operation ended, once the commit has been tried.
type Reply = Box<dyn FnOnce(Result<(), LedgerError>) + Send>;

/// The operation of one caller: says whether it went well, and how to reply. Given an error it only replies.
type Op = Box<dyn for<'c> FnOnce(Result<&'c mut SqliteConnection, LedgerError>) -> Ran<'c> + Send>;
type Ran<'c> = Pin<Box<dyn Future<Output = OpEnd> + Send + 'c>>;

/// How an operation ended.
struct OpEnd {
    went_well: bool,
    reply: Reply,
}

/// Operations that wait; further callers wait for a place.
const QUEUE: usize = 256;
/// Operations in one commit.
const GROUP: usize = 64;

enum Message {
    Op(Op),
    Stop(oneshot::Sender<()>),
}

#[derive(Debug)]
pub struct Writer {
    queue: mpsc::Sender<Message>,
}

impl Writer {
    pub async fn start(options: &SqliteConnectOptions, hook: Arc<dyn CommitHook>) -> Result<Writer, sqlx::Error> {
        let connection = options.connect().await?;
        let (queue, messages) = mpsc::channel(QUEUE);
        tokio::spawn(serve(connection, messages, Checkpointer::start(options.clone()), hook));
        Ok(Writer { queue })
    }

    /// Runs `op` in a transaction and returns its value once it is committed. When it fails nothing of it was written.
    pub async fn write<T, F>(&self, op: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> Work<'c, T> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let op: Op = Box::new(move |connection| {
            Box::pin(async move {
                let outcome = match connection {
                    Ok(connection) => op(connection).await,
                    Err(error) => Err(error),
                };
                let went_well = outcome.is_ok();
                let reply: Reply = Box::new(move |committed| {
                    let _ = sender.send(outcome.and_then(|value| committed.map(|()| value)));
                });
                OpEnd { went_well, reply }
            })
        });
        let closed = || LedgerError::Database("it has been closed".to_owned());
        self.queue.send(Message::Op(op)).await.map_err(|_| closed())?;
        receiver.await.map_err(|_| closed())?
    }

    /// Commits what is waiting and closes the connection.
    pub async fn stop(&self) {
        let (sender, receiver) = oneshot::channel();
        if self.queue.send(Message::Stop(sender)).await.is_ok() {
            let _ = receiver.await;
        }
    }
}

async fn serve(
    mut connection: SqliteConnection,
    mut messages: mpsc::Receiver<Message>,
    checkpointer: Checkpointer,
    hook: Arc<dyn CommitHook>,
) {
    let mut stopping = None;
    while stopping.is_none()
        && let Some(message) = messages.recv().await
    {
        let mut group = Vec::new();
        let mut next = Some(message);
        while let Some(message) = next {
            match message {
                Message::Op(op) => group.push(op),
                Message::Stop(done) => stopping = Some(done),
            }
            next = if group.len() < GROUP && stopping.is_none() { messages.try_recv().ok() } else { None };
        }
        if commit(&mut connection, group, &*hook).await.is_break() {
            break;
        }
        checkpointer.committed(&mut connection).await;
    }
    // The last connection that is closed moves the rest.
    checkpointer.stop().await;
    let _ = connection.close().await;
    if let Some(done) = stopping {
        let _ = done.send(());
    }
}

/// Runs the operations of `group` in one transaction, each undone by itself when it fails, and replies to all; to none
/// when the process is to end there.
async fn commit(connection: &mut SqliteConnection, group: Vec<Op>, hook: &dyn CommitHook) -> ControlFlow<()> {
    if group.is_empty() {
        return ControlFlow::Continue(());
    }
    let alone = group.len() == 1;
    let mut state = execute(connection, "BEGIN IMMEDIATE").await;
    let mut replies = Vec::with_capacity(group.len());
    let mut any = false;
    for op in group {
        let OpEnd { went_well, reply } =
            if alone { one(connection, &mut state, op).await } else { undoable(connection, &mut state, op).await };
        any |= went_well;
        replies.push(reply);
    }
    if state.is_ok() && any {
        state = match hook.commit(Commit::Coming) {
            CommitFate::Well => execute(connection, "COMMIT").await,
            CommitFate::Fails(error) => Err(error),
            CommitFate::Ends => return ControlFlow::Break(()),
        };
        if state.is_ok() && matches!(hook.commit(Commit::Done), CommitFate::Ends) {
            return ControlFlow::Break(());
        }
    } else if state.is_ok() {
        state = execute(connection, "ROLLBACK").await;
    }
    if state.is_err() {
        // Some errors make SQLite roll back by itself; then this one finds no transaction.
        let _ = execute(connection, "ROLLBACK").await;
    }
    for reply in replies {
        reply(state.clone());
    }
    ControlFlow::Continue(())
}

/// Runs `op`, unless the transaction is broken.
async fn one(connection: &mut SqliteConnection, state: &mut Result<(), LedgerError>, op: Op) -> OpEnd {
    match state {
        Ok(()) => op(Ok(connection)).await,
        Err(error) => op(Err(error.clone())).await,
    }
}

/// Runs `op` so that its failure leaves what ran before it in the transaction.
async fn undoable(connection: &mut SqliteConnection, state: &mut Result<(), LedgerError>, op: Op) -> OpEnd {
    if state.is_ok() {
        *state = execute(connection, "SAVEPOINT op").await;
    }
    let end = one(connection, state, op).await;
    if state.is_ok() {
        *state = execute(connection, if end.went_well { "RELEASE op" } else { "ROLLBACK TO op; RELEASE op" }).await;
    }
    end
}

async fn execute(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), LedgerError> {
    sqlx::raw_sql(sql).execute(connection).await?;
    Ok(())
}

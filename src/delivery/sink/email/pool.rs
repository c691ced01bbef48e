//! Sessions that wait for the next mail, and how many there may be. Those that wait too long are closed, and then
//! nothing is left that would wake up.

use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::session::{MailServer, Session};

/// How long a session waits for the next mail.
const IDLE: Duration = Duration::from_secs(5);

/// The sessions with one server.
pub struct Pool {
    server: MailServer,
    permits: Semaphore,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    /// The longest waiting first.
    sessions: Vec<(Instant, Session)>,
    /// A task sees to closing them.
    watched: bool,
}

impl Pool {
    /// At most `size` sessions with `server` at a time.
    pub fn new(server: MailServer, size: usize) -> Pool {
        Pool { server, permits: Semaphore::new(size.min(Semaphore::MAX_PERMITS)), waiting: Arc::default() }
    }

    pub fn server(&self) -> &MailServer {
        &self.server
    }

    /// How many more sessions may be used now.
    pub fn free(&self) -> usize {
        self.permits.available_permits()
    }

    /// Leave to use one session, for as long as it is held.
    pub async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        self.permits.acquire().await.ok()
    }

    /// A session that waits.
    pub fn waiting(&self) -> Option<Session> {
        lock(&self.waiting).sessions.pop().map(|(_, session)| session)
    }

    /// Keeps `session` for the next mail.
    pub fn give_back(&self, session: Session) {
        let mut waiting = lock(&self.waiting);
        waiting.sessions.push((Instant::now(), session));
        if !mem::replace(&mut waiting.watched, true) {
            tokio::spawn(close_idle(Arc::downgrade(&self.waiting)));
        }
    }
}

/// Closes sessions that have waited too long, until none waits.
async fn close_idle(pool: Weak<Mutex<Waiting>>) {
    loop {
        tokio::time::sleep(IDLE).await;
        let Some(waiting) = pool.upgrade() else { return };
        let expired = expired(&mut lock(&waiting));
        for session in expired {
            session.quit().await;
        }
        let mut waiting = lock(&waiting);
        if waiting.sessions.is_empty() {
            waiting.watched = false;
            return;
        }
    }
}

fn expired(waiting: &mut Waiting) -> Vec<Session> {
    let now = Instant::now();
    let young = waiting.sessions.iter().position(|(since, _)| now.duration_since(*since) < IDLE);
    let young = young.unwrap_or(waiting.sessions.len());
    waiting.sessions.drain(..young).map(|(_, session)| session).collect()
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("server", &self.server).field("permits", &self.permits).finish_non_exhaustive()
    }
}

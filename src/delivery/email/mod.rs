//! The sink `email`: the EMAIL action, over SMTP. One mail a recipient, over a few connections at a time.
//!
//! * `address`: addresses as calendars write them.
//! * `letter`: what a mail says; `words`: its phrases; `compose`: its octets.
//! * `allowance`: how many mails a user may get.
//! * `trust`: whose certificates are accepted; `connect`: TCP; `wire`: TLS over it; `session`: SMTP over it; `pool`: sessions that wait for the next mail.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::extension::ClientId;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::allowance::Allowance;
use self::compose::{Composer, Mail};
use self::pool::Pool;
use self::session::{Server, Session, Trouble};
use self::trust::Trust;
use super::ending::Ending;
use super::gate::{Closure, Files};
use super::sink::{Outcome, Parcel, SinkError, Surroundings};
use crate::clock::Clock;
use crate::config::{EmailSettings, Recipients};

mod address;
mod allowance;
mod compose;
mod connect;
mod letter;
mod pool;
mod session;
mod trust;
mod wire;
mod words;

pub use address::{bare, key};

/// Mails a connection in one batch: enough to keep it busy, few enough that a batch is settled soon.
const MAILS_A_CONNECTION: usize = 25;

/// A mail server that takes our mails.
#[derive(Debug)]
pub struct Email {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    composer: Composer,
    allowance: Allowance,
    pool: Pool,
    /// Who gets all mails, where the settings say so.
    to: Option<Address>,
    clock: Clock,
    timeout: Duration,
    ending: Ending,
}

/// What the workers of one batch share.
struct Batch {
    parcels: Vec<Parcel>,
    /// The first parcel that nobody has taken yet.
    next: AtomicUsize,
    /// Why no more of them are tried.
    down: OnceLock<(String, Closure)>,
}

impl Email {
    /// The server that `settings` describes; each mail may take `timeout`. Nothing is connected yet.
    ///
    /// # Errors
    /// When From is no address.
    pub fn open(settings: &EmailSettings, timeout: Duration, around: &Surroundings) -> Result<Email, SinkError> {
        let from = address::sender(&settings.from).map_err(SinkError)?;
        let server = Server {
            host: settings.host.clone(),
            port: settings.port,
            security: settings.security,
            login: settings.login.clone(),
            trust: Trust::new(settings.ca_file.clone()),
            hello: settings.helo.as_deref().map(named).or_else(|| full_name(&around.server_name)),
            max_reply_size: around.max_reply_size,
        };
        let (zones, reader_zones) = (around.zones.clone(), around.reader_zones.clone());
        let to = match &settings.recipients {
            Recipients::List(list) => list.first().and_then(|first| address::recipient(first).ok()),
            Recipients::Own | Recipients::Attendees => None,
        };
        let composer = Composer { from, zones, reader_zones, default_zone: around.default_zone.clone() };
        let pool = Pool::new(server, settings.max_connections.max(1));
        Ok(Email {
            inner: Arc::new(Inner {
                composer,
                allowance: Allowance::new(settings.max_mails_per_hour),
                pool,
                to,
                clock: around.clock.clone(),
                timeout,
                ending: around.ending.clone(),
            }),
        })
    }

    /// How many mails it is best given at a time.
    pub fn batch(&self) -> usize {
        self.inner.pool.size().saturating_mul(MAILS_A_CONNECTION)
    }

    /// The longest that so many mails take. A server that does not answer at all is not asked for each of them.
    pub fn patience(&self) -> Duration {
        self.inner.timeout.saturating_mul(MAILS_A_CONNECTION as u32 + 1)
    }

    /// Sends a mail for each parcel, over as many connections as are allowed.
    pub async fn send(&self, parcels: &[Parcel]) -> Vec<Outcome> {
        let batch = Arc::new(Batch { parcels: parcels.to_vec(), next: AtomicUsize::new(0), down: OnceLock::new() });
        let mut workers = JoinSet::new();
        for _ in 0..self.inner.pool.size().min(parcels.len()) {
            workers.spawn(Arc::clone(&self.inner).work(Arc::clone(&batch)));
        }
        let mut outcomes = vec![Outcome::later("the mail was not tried"); parcels.len()];
        while let Some(done) = workers.join_next().await {
            for (index, outcome) in done.unwrap_or_default() {
                if let Some(place) = outcomes.get_mut(index) {
                    *place = outcome;
                }
            }
        }
        outcomes
    }

    /// The versions of the password's file and of the certificate authorities'.
    pub fn files(&self) -> Files {
        self.inner.pool.server().files()
    }

    /// Whether the password and the certificate authorities are there; nothing is connected.
    ///
    /// # Errors
    /// When they are not.
    pub fn ready(&self) -> Result<(), SinkError> {
        self.inner.pool.server().ready().map(drop).map_err(|trouble| SinkError(trouble.into_answer()))
    }

    /// Logs in, begins a mail as if one were to be sent, and says how that went.
    ///
    /// # Errors
    /// When no mail could be sent now.
    pub async fn check(&self) -> Result<String, SinkError> {
        let failed = |trouble: Trouble| SinkError(trouble.into_answer());
        let deadline = Instant::now() + self.inner.timeout;
        let (server, from) = (self.inner.pool.server(), &self.inner.composer.from.email);
        let mut session = server.connect(deadline).await.map_err(failed)?;
        let to = self.inner.to.as_ref().unwrap_or(from);
        match session.probe((from.clone(), to.clone()), server, deadline).await {
            // That nobody reads the sender's own mailbox is no fault.
            Err(Trouble::Refused { .. }) if self.inner.to.is_none() => {}
            probed => probed.map_err(failed)?,
        }
        session.reset(deadline).await;
        session.quit(deadline).await;
        Ok(format!("{}, and takes mails from {from}", server.greeted()))
    }
}

impl Inner {
    /// Takes one parcel after the other until none is left, over one session as long as it holds.
    async fn work(self: Arc<Inner>, batch: Arc<Batch>) -> Vec<(usize, Outcome)> {
        let mut outcomes = Vec::new();
        let _permit = self.pool.permit().await;
        let mut session = None;
        loop {
            let index = batch.next.fetch_add(1, Ordering::Relaxed);
            let Some(parcel) = batch.parcels.get(index) else { break };
            let outcome = match batch.down.get() {
                Some((answer, closure)) => Outcome::Down { answer: answer.clone(), closure: *closure },
                None if self.ending.is_near() => Outcome::Untried,
                None => match self.composed(parcel) {
                    Ok(mail) => {
                        let outcome = tokio::select! {
                            biased;
                            sent = self.deliver(&mut session, &mail) => self.outcome(sent, &batch),
                            () = self.ending.come() => Outcome::Untried,
                        };
                        if outcome != Outcome::Delivered {
                            self.allowance.give_back(&mail.user);
                        }
                        outcome
                    }
                    Err(refused) => refused,
                },
            };
            outcomes.push((index, outcome));
        }
        if let Some(session) = session {
            self.pool.give_back(session);
        }
        outcomes
    }

    /// The mail for `parcel`, which is counted as sent; or why there is none now.
    fn composed(&self, parcel: &Parcel) -> Result<Mail, Outcome> {
        let now = self.clock.now();
        let mail = self.composer.compose(&parcel.json, &parcel.recipient, now)?;
        self.allowance.take(&mail.user, now).map_err(|wait| {
            let most = self.allowance.most();
            let user = mail.user.escape_debug();
            let answer =
                format!("'{user}' has been sent {most} mails within an hour, as many as max_mails_per_hour allows");
            Outcome::Held { answer, wait }
        })?;
        Ok(mail)
    }

    /// Sends `mail` over `session`, or over one that waits, or a new one; leaves the session there if it can be used again.
    async fn deliver(&self, session: &mut Option<Session>, mail: &Mail) -> Result<(), Trouble> {
        let deadline = Instant::now() + self.timeout;
        let server = self.pool.server();
        loop {
            let mut current = match session.take().or_else(|| self.pool.waiting()) {
                Some(current) => current,
                None => server.connect(deadline).await?,
            };
            match current.deliver(mail, server, deadline).await {
                Ok(()) => {
                    *session = Some(current);
                    return Ok(());
                }
                Err(Trouble::Stale(_)) => {}
                Err(refused @ Trouble::Refused { .. }) => {
                    *session = current.reset(deadline).await.then_some(current);
                    return Err(refused);
                }
                Err(other) => return Err(other),
            }
        }
    }

    fn outcome(&self, sent: Result<(), Trouble>, batch: &Batch) -> Outcome {
        match sent {
            Ok(()) => Outcome::Delivered,
            Err(Trouble::Refused { answer, forever: true }) => Outcome::never(answer),
            Err(Trouble::Refused { answer, .. } | Trouble::Broken(answer) | Trouble::Stale(answer)) => {
                Outcome::later(answer)
            }
            Err(Trouble::Cut(answer)) => {
                let (answer, _) = batch.down.get_or_init(|| (answer, Closure::Down));
                Outcome::later(answer.as_str())
            }
            Err(Trouble::Down(answer)) => down(batch, answer, Closure::Down),
            Err(Trouble::Settings(answer)) => down(batch, answer, Closure::Settings),
        }
    }
}

/// The outcome of a mail without which no other goes out either.
fn down(batch: &Batch, answer: String, closure: Closure) -> Outcome {
    let (answer, closure) = batch.down.get_or_init(|| (answer, closure));
    Outcome::Down { answer: answer.clone(), closure: *closure }
}

/// How we introduce ourselves by the name or the address in brackets that the settings give, which are checked.
fn named(helo: &str) -> ClientId {
    ClientId::Domain(helo.to_owned())
}

/// The same by the host's `name`, where that is a full one: servers refuse others (RFC 5321, 2.3.5).
fn full_name(name: &str) -> Option<ClientId> {
    let is_host = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
    let is_full = name.trim_matches('.').contains('.');
    (is_host && is_full).then(|| ClientId::Domain(name.to_owned()))
}

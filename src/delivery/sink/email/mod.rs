//! The sink `email`: the EMAIL action, over SMTP. One mail a recipient, over a few connections at a time.
//!
//! * `settings`: its keys.
//! * `content`: what a mail says; `templates` write it; `times`: when the event is; `localizer`: the reader's language;
//!   `clean`, `links`, `boilerplate`: what becomes of texts of events; `message`: its octets.
//! * `preview`: a mail that is not sent.
//! * `allowance`: how many mails a user may get.
//! * `login`: what a session logs in by.
//! * `trust`: whose certificates are accepted; `connect`: TCP; `stream`: TLS over it; `session`: SMTP over it; `pool`:
//!   sessions that wait for the next mail.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::extension::ClientId;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{Mutex, Notify};
use tokio::time::{sleep, timeout};
use tracing::Instrument as _;

use self::allowance::Allowance;
use self::login::MailLogin;
use self::message::{Mail, MessageBuilder};
use self::pool::Pool;
use self::session::{MailServer, Session, SmtpError, StepLimits};
use self::trust::Trust;
use super::{
    ClaimedDelivery, Finished, Outcome, Recipients, Sending, SinkConfig, SinkContext, SinkDriver, SinkError, SinkKind,
    SinkSettings,
};
use crate::access::{self, User};
use crate::clock::Clock;
use crate::delivery::address;
use crate::delivery::deadline::SendDeadline;
use crate::delivery::gate::{Closure, FileStamps};

mod allowance;
mod boilerplate;
mod clean;
mod connect;
mod content;
mod links;
mod localizer;
mod login;
mod message;
mod pool;
mod preview;
mod session;
mod settings;
mod stream;
mod templates;
mod times;
mod trust;

pub use boilerplate::is_boilerplate;
pub use clean::{beginning, line, paragraphs};
pub use localizer::{DEFAULT as DEFAULT_LOCALE, Localizer, Localizers, known_locale};
pub use login::{LoginSecret, LoginSettings};
pub use preview::{MailPreview, preview};
pub use settings::{EmailSettings, SmtpSecurity};
pub use templates::{MailTemplates, export as export_templates};
pub use times::EventTimes;

/// The sink `email`.
pub const KIND: SinkKind =
    SinkKind { name: "email", actions: &["email"], read: |section| Some(Arc::new(settings::read(section)?)) };

impl SinkSettings for EmailSettings {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn open(&self, config: &SinkConfig, context: &SinkContext) -> Result<Box<dyn SinkDriver>, SinkError> {
        Ok(Box::new(Email::open(self, config.timeout, context)?))
    }

    fn recipients(&self) -> Option<&Recipients> {
        Some(&self.recipients)
    }

    fn needs_network(&self) -> bool {
        true
    }

    fn denied(&self, user: &User) -> Option<String> {
        let secret = self.login.as_ref().and_then(LoginSettings::path);
        access::lacking_secrets(user, secret, self.ca_file.as_deref())
    }
}

/// Mails a connection in one batch: enough to keep it busy, few enough that a batch is settled soon.
const MAILS_A_CONNECTION: usize = 25;
/// How long [`Email::send_mails`] waits for mails that are being sent. Alarms that are fired meanwhile wait for it,
/// too.
const BATCH_TIME: Duration = Duration::from_millis(250);
/// How many steps of a session wait for an answer to a command, at most: TLS, the greeting, EHLO twice, AUTH in three
/// steps, MAIL, RCPT, DATA.
const COMMANDS: u32 = 10;

/// What is said of a mail at which a worker panicked.
const BROKEN_OFF: &str = "sending the mail was broken off by an error in Reveille; please report it";

/// A mail server that takes our mails.
#[derive(Debug)]
pub struct Email {
    mailer: Arc<Mailer>,
    /// How long [`Email::try_session`] may take.
    timeout: Duration,
    /// Reports of workers that [`Email::send_mails`] did not wait for.
    late: (UnboundedSender<WorkerReport<Finished>>, Mutex<UnboundedReceiver<WorkerReport<Finished>>>),
}

#[derive(Debug)]
struct Mailer {
    builder: MessageBuilder,
    allowance: Allowance,
    pool: Pool,
    /// A connection that took longer than its batch is free.
    freed: Notify,
    /// Who gets all mails, where the settings say so.
    to: Option<Address>,
    clock: Clock,
    deadline: SendDeadline,
}

/// What the workers of one batch share.
struct MailBatch {
    deliveries: Vec<ClaimedDelivery>,
    /// The first delivery that no worker has taken yet.
    next: AtomicUsize,
    /// Why no more of them are tried.
    down: OnceLock<(String, Closure)>,
}

/// The outcome of a delivery of a batch, by its place there.
#[derive(Debug)]
struct MailOutcome {
    index: usize,
    outcome: Outcome,
}

/// What a worker reports: an outcome, or that it has ended and its connection is free for others.
#[derive(Debug)]
enum WorkerReport<T> {
    Outcome(T),
    Free,
}

impl Email {
    /// The server that `settings` describes; connecting may take `timeout`. Nothing is connected yet.
    ///
    /// # Errors
    /// When From is no address.
    pub fn open(settings: &EmailSettings, timeout: Duration, context: &SinkContext) -> Result<Email, SinkError> {
        let server = MailServer {
            host: settings.host.clone(),
            port: settings.port,
            security: settings.security,
            allow_plaintext: settings.allow_plaintext,
            login: settings.login.clone().map(|login| MailLogin::new(login, settings.ca_file.clone(), timeout)),
            trust: Trust::new(settings.ca_file.clone()),
            hello: settings.helo.as_deref().map(named).or_else(|| full_name(&context.server_name)),
            max_reply_size: context.max_reply_size,
            limits: StepLimits { connect: timeout, command: settings.command_timeout, data: settings.data_timeout },
        };
        let to = match &settings.recipients {
            Recipients::List(list) => list.first().and_then(|first| address::recipient(first).ok()),
            Recipients::Own | Recipients::Attendees => None,
        };
        let builder = MessageBuilder::of(settings, context)?;
        let pool = Pool::new(server, settings.max_connections.max(1));
        let (sender, receiver) = mpsc::unbounded_channel();
        Ok(Email {
            timeout,
            late: (sender, Mutex::new(receiver)),
            mailer: Arc::new(Mailer {
                builder,
                allowance: Allowance::new(settings.max_mails_per_hour),
                pool,
                freed: Notify::new(),
                to,
                clock: context.clock.clone(),
                deadline: context.deadline.clone(),
            }),
        })
    }

    /// Sends a mail for each delivery, over as many connections as are free. What is still being sent after
    /// [`BATCH_TIME`] is [`Outcome::InFlight`], and what was not begun by then [`Outcome::NotAttempted`]: a slow
    /// session holds no other mail up.
    async fn send_mails(&self, deliveries: &[ClaimedDelivery]) -> Vec<Outcome> {
        let batch =
            Arc::new(MailBatch { deliveries: deliveries.to_vec(), next: AtomicUsize::new(0), down: OnceLock::new() });
        let (sender, mut reports) = mpsc::unbounded_channel();
        for _ in 0..self.mailer.pool.free().clamp(1, deliveries.len().max(1)) {
            let work = Arc::clone(&self.mailer).work(Arc::clone(&batch), sender.clone());
            tokio::spawn(work.instrument(tracing::Span::current()));
        }
        drop(sender);
        let mut outcomes = vec![None; deliveries.len()];
        let mut end = pin!(sleep(BATCH_TIME));
        let is_over = loop {
            tokio::select! {
                biased;
                report = reports.recv() => match report {
                    Some(WorkerReport::Outcome(MailOutcome { index, outcome })) => {
                        if let Some(place) = outcomes.get_mut(index) {
                            *place = Some(outcome);
                        }
                    }
                    Some(WorkerReport::Free) => {}
                    None => break true,
                },
                () = &mut end => break false,
                // With another connection there is more to be done than was begun.
                () = self.mailer.freed.notified() => break false,
            }
        };
        let begun = batch.next.fetch_max(deliveries.len(), Ordering::Relaxed);
        if !is_over {
            let open =
                (0..begun.min(deliveries.len())).filter(|index| outcomes.get(*index).is_some_and(Option::is_none));
            let late = self.late.0.clone();
            tokio::spawn(pass_on(reports, Arc::clone(&self.mailer), batch, open.collect(), late));
        }
        let left = |index| match (index < begun, is_over) {
            (false, _) => Outcome::NotAttempted,
            (true, false) => Outcome::InFlight,
            (true, true) => Outcome::retry(BROKEN_OFF),
        };
        outcomes.into_iter().enumerate().map(|(index, outcome)| outcome.unwrap_or_else(|| left(index))).collect()
    }

    /// Waits for what [`Email::send_mails`] did not wait for: outcomes, or none when a connection is free for other
    /// mails.
    async fn next_finished(&self) -> Vec<Finished> {
        let mut late = self.late.1.lock().await;
        let mut finished = Vec::new();
        let mut report = late.recv().await;
        while let Some(one) = report {
            if let WorkerReport::Outcome(outcome) = one {
                finished.push(outcome);
            }
            report = late.try_recv().ok();
        }
        finished
    }

    /// Logs in, begins a mail as if one were to be sent, and says how that went.
    ///
    /// # Errors
    /// When no mail could be sent now.
    async fn try_session(&self) -> Result<String, SinkError> {
        let (server, from) = (self.mailer.pool.server(), &self.mailer.builder.from.email);
        let silent = |_| SmtpError::Down(format!("{} did not answer in time", server.name()));
        let checked = timeout(self.timeout, self.mailer.check()).await.map_err(silent).flatten();
        checked.map_err(|error| SinkError(error.into_response()))?;
        Ok(format!("{}, and takes mails from {from}", server.greeted()))
    }
}

impl SinkDriver for Email {
    fn send<'a>(&'a self, deliveries: &'a [ClaimedDelivery]) -> Sending<'a, Vec<Outcome>> {
        Box::pin(self.send_mails(deliveries))
    }

    fn check(&self) -> Sending<'_, Result<String, SinkError>> {
        Box::pin(self.try_session())
    }

    /// Whether the password and the certificate authorities are there; nothing is connected.
    fn ready(&self) -> Result<(), SinkError> {
        self.mailer.pool.server().ready().map_err(|error| SinkError(error.into_response()))
    }

    /// How many mails it is best given now; zero: all of its connections are busy.
    fn batch(&self) -> usize {
        self.mailer.pool.free().saturating_mul(MAILS_A_CONNECTION)
    }

    /// How long a mail takes at the longest, over one session.
    fn send_timeout(&self) -> Option<Duration> {
        let StepLimits { connect, command, data } = self.mailer.pool.server().limits;
        Some(connect.saturating_add(command.saturating_mul(COMMANDS)).saturating_add(data))
    }

    /// The versions of the password's file and of the certificate authorities'.
    fn files(&self) -> FileStamps {
        self.mailer.pool.server().files()
    }

    fn finished(&self) -> Sending<'_, Vec<Finished>> {
        Box::pin(self.next_finished())
    }
}

/// Passes on to `late` what the workers of `batch` still report of its deliveries `open`.
async fn pass_on(
    mut reports: UnboundedReceiver<WorkerReport<MailOutcome>>,
    mailer: Arc<Mailer>,
    batch: Arc<MailBatch>,
    mut open: BTreeSet<usize>,
    late: UnboundedSender<WorkerReport<Finished>>,
) {
    let finished = |index: usize, outcome: Outcome| {
        let delivery = batch.deliveries.get(index)?;
        Some(WorkerReport::Outcome(Finished {
            firing: delivery.firing,
            recipient: delivery.recipient.clone(),
            outcome,
        }))
    };
    while let Some(report) = reports.recv().await {
        let report = match report {
            WorkerReport::Outcome(MailOutcome { index, outcome }) => {
                open.remove(&index);
                finished(index, outcome)
            }
            WorkerReport::Free => {
                mailer.freed.notify_waiters();
                Some(WorkerReport::Free)
            }
        };
        report.into_iter().for_each(|report| drop(late.send(report)));
    }
    // A worker that has panicked reports nothing.
    let lost = open.into_iter().filter_map(|index| finished(index, Outcome::retry(BROKEN_OFF)));
    lost.for_each(|report| drop(late.send(report)));
}

impl Mailer {
    /// Logs in and begins a mail as if one were to be sent.
    async fn check(&self) -> Result<(), SmtpError> {
        let (server, from) = (self.pool.server(), &self.builder.from.email);
        let mut session = server.connect().await?;
        let to = self.to.as_ref().unwrap_or(from);
        match session.probe(from.clone(), to.clone(), server).await {
            // An unread mailbox of the sender is no fault.
            Err(SmtpError::Refused { .. }) if self.to.is_none() => {}
            probed => probed?,
        }
        session.reset().await;
        session.quit().await;
        Ok(())
    }

    /// Takes one delivery after the other until none is left, over one session as long as it holds.
    async fn work(self: Arc<Mailer>, batch: Arc<MailBatch>, reports: UnboundedSender<WorkerReport<MailOutcome>>) {
        let permit = self.pool.permit().await;
        let mut session = None;
        loop {
            let index = batch.next.fetch_add(1, Ordering::Relaxed);
            let Some(delivery) = batch.deliveries.get(index) else { break };
            let outcome = match batch.down.get() {
                Some((response, closure)) => Outcome::Down { response: response.clone(), closure: *closure },
                None if self.deadline.is_near() => Outcome::NotAttempted,
                None => match self.message_for(delivery) {
                    Ok(mail) => {
                        let span = tracing::debug_span!("delivery", firing.id = delivery.firing);
                        let sent = self.deliver(&mut session, &mail).instrument(span).await;
                        let outcome = sent.map_or(Outcome::NotAttempted, |sent| self.outcome(sent, &batch));
                        if !matches!(outcome, Outcome::Delivered | Outcome::Unknown { .. }) {
                            self.allowance.give_back(&mail.user);
                        }
                        outcome
                    }
                    Err(refused) => refused,
                },
            };
            let _ = reports.send(WorkerReport::Outcome(MailOutcome { index, outcome }));
        }
        if let Some(session) = session {
            self.pool.give_back(session);
        }
        drop(permit);
        let _ = reports.send(WorkerReport::Free);
    }

    /// The mail for `delivery`, which is counted as sent; or why there is none now.
    fn message_for(&self, delivery: &ClaimedDelivery) -> Result<Mail, Outcome> {
        let now = self.clock.now();
        let mail = self.builder.build(&delivery.notification, &delivery.recipient, now)?;
        self.allowance.take(&mail.user, now).map_err(|wait| {
            let most = self.allowance.most();
            let user = mail.user.escape_debug();
            let response =
                format!("'{user}' has been sent {most} mails within an hour, as many as max_mails_per_hour allows");
            Outcome::Held { response, wait }
        })?;
        Ok(mail)
    }

    /// Sends `mail` over `session`, or over one that waits, or a new one; leaves the session there if it can be used
    /// again. None when all sending ended before the mail was sent.
    async fn deliver(&self, session: &mut Option<Session>, mail: &Mail) -> Option<Result<(), SmtpError>> {
        loop {
            let mut current = match session.take().or_else(|| self.pool.waiting()) {
                Some(current) => current,
                None => tokio::select! {
                    biased;
                    connected = self.pool.server().connect() => match connected {
                        Ok(connected) => connected,
                        Err(error) => return Some(Err(error)),
                    },
                    () = self.deadline.reached() => return None,
                },
            };
            let sent = tokio::select! {
                biased;
                sent = current.deliver(mail, self.pool.server()) => sent,
                () = self.deadline.reached() => {
                    let response = "Reveille was stopped before the server confirmed the mail".to_owned();
                    return current.may_have_sent().then_some(Err(SmtpError::Unknown(response)));
                }
            };
            match sent {
                Ok(()) => {
                    *session = Some(current);
                    return Some(Ok(()));
                }
                Err(SmtpError::Stale(_)) => {}
                Err(refused @ SmtpError::Refused { .. }) => {
                    *session = current.reset().await.then_some(current);
                    return Some(Err(refused));
                }
                Err(other) => return Some(Err(other)),
            }
        }
    }

    fn outcome(&self, sent: Result<(), SmtpError>, batch: &MailBatch) -> Outcome {
        match sent {
            Ok(()) => Outcome::Delivered,
            Err(SmtpError::Refused { response, forever: true }) => Outcome::permanent(response),
            Err(SmtpError::Refused { response, .. } | SmtpError::Broken(response) | SmtpError::Stale(response)) => {
                Outcome::retry(response)
            }
            Err(SmtpError::Unknown(response)) => Outcome::Unknown { response },
            Err(SmtpError::Cut(response) | SmtpError::Silent(response)) => {
                let (response, _) = batch.down.get_or_init(|| (response, Closure::Down));
                Outcome::retry(response.as_str())
            }
            Err(SmtpError::Down(response)) => down(batch, response, Closure::Down),
            Err(SmtpError::Settings(response)) => down(batch, response, Closure::Settings),
        }
    }
}

/// The outcome of a mail without which no other goes out either.
fn down(batch: &MailBatch, response: String, closure: Closure) -> Outcome {
    let (response, closure) = batch.down.get_or_init(|| (response, closure));
    Outcome::Down { response: response.clone(), closure: *closure }
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

//! A sink: where alarms go. It owns sending; what is owed, and when it is tried again, it does not know.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::cyrus::CyrusNotify;
use super::deadline::SendDeadline;
use super::email::Email;
use super::file::LineFile;
use super::gate::{Closure, FileStamps};
use super::render::Renderer;
use super::stdout::Stdout;
use crate::calendar::zone::Zones;
use crate::clock::Clock;
use crate::config::{self, SinkKind};

/// One claimed delivery, ready to be sent.
#[derive(Clone, Debug)]
pub struct ClaimedDelivery {
    /// The firing's id in the ledger.
    pub firing: i64,
    /// The bare address for sinks that send one message a recipient; else empty.
    pub recipient: String,
    /// The `CalendarAlarm` object as it is stored: one line, all keys.
    pub json: Arc<str>,
    /// Attempts that were settled before this one.
    pub attempts: u32,
    /// Of those, attempts that may have delivered it.
    pub unknown: u32,
}

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The other side has it.
    Delivered,
    /// It may work another time, not before `after` where the other side said so.
    Retry { response: String, after: Option<Duration> },
    /// It was not tried: its user has been sent as many as are allowed, and gets the next one after `wait`.
    Held { response: String, wait: Duration },
    /// It will never work; `response` is the other side's word or our reason.
    Permanent { response: String },
    /// Nothing can be sent now, this or anything else: the other side is down, or does not accept the login. It waits
    /// until something gets through.
    Down { response: String, closure: Closure },
    /// It was sent whole, and the other side did not say what it has done with it: it may have been delivered.
    Unknown { response: String },
    /// It was not tried, or broken off, because sending has to end now: nothing is to be noted of it.
    NotAttempted,
    /// It is still being sent: [`Transport::finished`] brings its outcome.
    InFlight,
}

/// The outcome of a delivery that was [`Outcome::InFlight`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// As in [`ClaimedDelivery`].
    pub firing: i64,
    /// As in [`ClaimedDelivery`].
    pub recipient: String,
    pub outcome: Outcome,
}

impl Outcome {
    /// [`Outcome::Retry`] without a wish for when.
    pub fn retry(response: impl Into<String>) -> Outcome {
        Outcome::Retry { response: response.into(), after: None }
    }

    /// [`Outcome::Permanent`].
    pub fn permanent(response: impl Into<String>) -> Outcome {
        Outcome::Permanent { response: response.into() }
    }
}

/// Sends deliveries: a [`Sink`], or what a test puts in its place.
pub trait Transport: Send + Sync {
    /// Its name in the configuration.
    fn name(&self) -> &str;

    /// How many deliveries it is best given now; zero: none, until [`Transport::finished`] resolves.
    fn batch(&self) -> usize;

    /// The longest until a delivery has its outcome: how long to lease it for.
    fn send_timeout(&self) -> Duration;

    /// The versions of the files that it reads before it sends: once they are other ones, what was refused may be
    /// accepted.
    fn files(&self) -> FileStamps {
        [None, None]
    }

    /// Sends `deliveries`; one outcome each, in their order. May be called again before it has answered.
    fn send(&self, deliveries: &[ClaimedDelivery]) -> impl Future<Output = Vec<Outcome>> + Send;

    /// Waits until something that was in flight is so no longer: outcomes, or none where only [`Transport::batch`] has
    /// grown. A future that is dropped before it resolves loses nothing.
    fn finished(&self) -> impl Future<Output = Vec<Finished>> + Send {
        std::future::pending()
    }
}

/// A sink that cannot be used as it is configured, or cannot be reached now: a sentence that names it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SinkError(pub String);

/// What sinks need besides their own settings.
#[derive(Clone, Debug)]
pub struct SinkContext {
    pub clock: Clock,
    pub zones: Zones,
    /// The name that this machine is known by.
    pub server_name: String,
    /// userId → the IANA id of the zone that the user reads times in; who is not in it reads them in the event's.
    pub reader_zones: HashMap<String, String>,
    /// That of everybody else; none: the zone of the event.
    pub default_zone: Option<String>,
    /// Octets that a mail server may answer to one command.
    pub max_reply_size: usize,
    /// When all sending has to end.
    pub deadline: SendDeadline,
}

/// A configured sink. Shared by all who send through it.
#[derive(Debug)]
pub struct Sink {
    name: String,
    timeout: Duration,
    deadline: SendDeadline,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Stdout(Stdout),
    File(LineFile),
    CyrusNotify(CyrusNotify),
    Email(Email),
}

/// How many alarms the sinks that write them all at once are best given at a time.
const LINES: usize = 10_000;

impl Sink {
    /// Makes the sink that `config` describes. Nothing is connected or opened yet: what is absent now may be there when
    /// it is needed.
    ///
    /// # Errors
    /// When the settings themselves cannot work: a From that is no address.
    pub fn open(config: &config::SinkConfig, context: &SinkContext) -> Result<Sink, SinkError> {
        let timeout = config.timeout;
        let renderer = |format| Renderer::new(format, context.zones.clone());
        let kind = match &config.kind {
            SinkKind::Stdout { format } => Kind::Stdout(Stdout::open(renderer(*format), timeout)?),
            SinkKind::File { path, format } => Kind::File(LineFile::new(path, renderer(*format), timeout)),
            SinkKind::CyrusNotify { path, method, format } => {
                Kind::CyrusNotify(CyrusNotify::new(path, method, renderer(*format), timeout, context.deadline.clone()))
            }
            SinkKind::Email(settings) => Kind::Email(Email::open(settings, timeout, context)?),
        };
        Ok(Sink { name: config.name.clone(), timeout, deadline: context.deadline.clone(), kind })
    }

    /// Whether the files that it needs before it can be tried at all, its secret among them, are there.
    ///
    /// # Errors
    /// When they are not, or cannot be used: it will be tried nevertheless whenever there is something to be sent.
    pub fn ready(&self) -> Result<(), SinkError> {
        match &self.kind {
            Kind::Email(sink) => sink.ready(),
            Kind::Stdout(_) | Kind::File(_) | Kind::CyrusNotify(_) => Ok(()),
        }
    }

    /// Tries the sink without sending anything, and says in a few words what it found.
    ///
    /// # Errors
    /// When it could not take an alarm now.
    pub async fn check(&self) -> Result<String, SinkError> {
        match &self.kind {
            Kind::Stdout(_) => Ok("writes to standard output".to_owned()),
            Kind::File(sink) => sink.check(),
            Kind::CyrusNotify(sink) => sink.check(),
            Kind::Email(sink) => sink.check().await,
        }
    }

    /// Whether nobody gets what it writes, which counts as delivered.
    pub fn discards_output(&self) -> bool {
        matches!(&self.kind, Kind::Stdout(sink) if sink.discards_output())
    }

    /// Sends one delivery and waits for its outcome, however long that takes. For a sink that nobody else sends
    /// through.
    pub async fn send_one(&self, delivery: ClaimedDelivery) -> Outcome {
        let mut outcome = self.send(&[delivery]).await.pop().unwrap_or(Outcome::NotAttempted);
        while outcome == Outcome::InFlight {
            outcome = self.finished().await.pop().map_or(outcome, |finished| finished.outcome);
        }
        outcome
    }

    /// Opens its file anew (SIGHUP, after a log rotation); other sinks do nothing.
    pub fn reopen(&self) {
        if let Kind::File(sink) = &self.kind {
            sink.reopen();
        }
    }

    /// The outcomes of `sending`, which is one write of `count` deliveries: how far that has come is known when it is
    /// over.
    async fn unless_it_ends(&self, count: usize, sending: impl Future<Output = Vec<Outcome>>) -> Vec<Outcome> {
        tokio::select! {
            biased;
            outcomes = sending => outcomes,
            () = self.deadline.reached() => vec![Outcome::NotAttempted; count],
        }
    }
}

impl Transport for Sink {
    fn name(&self) -> &str {
        &self.name
    }

    fn batch(&self) -> usize {
        match &self.kind {
            Kind::Stdout(_) | Kind::File(_) | Kind::CyrusNotify(_) => LINES,
            Kind::Email(sink) => sink.batch(),
        }
    }

    fn send_timeout(&self) -> Duration {
        match &self.kind {
            Kind::Stdout(_) | Kind::File(_) | Kind::CyrusNotify(_) => self.timeout,
            Kind::Email(sink) => sink.send_timeout(),
        }
    }

    fn files(&self) -> FileStamps {
        match &self.kind {
            Kind::Stdout(_) | Kind::File(_) | Kind::CyrusNotify(_) => [None, None],
            Kind::Email(sink) => sink.files(),
        }
    }

    async fn send(&self, deliveries: &[ClaimedDelivery]) -> Vec<Outcome> {
        match &self.kind {
            Kind::Stdout(sink) => self.unless_it_ends(deliveries.len(), sink.send(deliveries)).await,
            Kind::File(sink) => self.unless_it_ends(deliveries.len(), sink.send(deliveries)).await,
            Kind::CyrusNotify(sink) => sink.send(deliveries).await,
            Kind::Email(sink) => sink.send(deliveries).await,
        }
    }

    async fn finished(&self) -> Vec<Finished> {
        match &self.kind {
            Kind::Email(sink) => sink.finished().await,
            Kind::Stdout(_) | Kind::File(_) | Kind::CyrusNotify(_) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
pub mod samples {
    //! Notifications and deliveries for tests.

    use super::ClaimedDelivery;
    use crate::notification::Notification;

    /// The documented example, with the extensions that the daemon would give it.
    pub fn melbourne() -> Notification {
        Notification {
            event: "CalendarAlarm".into(),
            pid: 3_164_225,
            server_fqdn: "sloti30t15".into(),
            alarm_time: "20151119T063000Z".into(),
            alarm_recipients: vec!["mailto:mary@example.org".into()],
            user_id: "mary@example.org".into(),
            calendar_name: "Calendar".into(),
            uid: "49ba20f5-cb44-4863-aea7-255f37ffc2e7".into(),
            action: "email".into(),
            summary: "Here's a lovely event.  Remind me".into(),
            description: String::new(),
            location: String::new(),
            timezone: "Australia/Melbourne".into(),
            start: "20151119T073000Z".into(),
            end: "20151119T083000Z".into(),
            all_day: 0,
            attendee_names: vec![],
            attendee_emails: vec![],
            attendee_status: vec![],
            organizer: String::new(),
            calendar_id: "default".into(),
            calendar_color: "#3366cc".into(),
            calendar_owner: "mary@example.org".into(),
            recurrence_id: String::new(),
            alert_id: "a1".into(),
            alarm_summary: String::new(),
            alarm_description: String::new(),
            component: "VEVENT".into(),
            notification_id: "0123456789abcdef0123456789abcdef".into(),
            timestamp: "2015-11-19T06:30:00.012Z".into(),
        }
    }

    /// A first attempt at `json`.
    pub fn delivery(json: &str) -> ClaimedDelivery {
        ClaimedDelivery { firing: 1, recipient: String::new(), json: json.into(), attempts: 0, unknown: 0 }
    }
}

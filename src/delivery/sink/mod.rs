//! What a sink is, to all that deliver through sinks: its settings, what it is given, and what it says of that. It
//! names no kind of sink.
//!
//! * [`SinkConfig`], [`SinkSettings`]: a `[[sink]]` of the configuration, whatever its kind.
//! * [`SinkDriver`]: the kind's way of sending, made by [`SinkSettings::open`].
//! * [`Transport`]: what a worker sends through, a [`any_sink::Sink`] or what a test puts in its place.
//! * [`registry`] lists the kinds, and reads them from the configuration; each has a folder or a file here: `stdout`,
//!   `file`, `cyrus_notify`, [`email`], `command`, `webhook`. `ndjson` is what those that write lines share,
//!   `concurrent` what those share that send one message for each delivery.

pub mod any_sink;
mod command;
mod concurrent;
mod cyrus_notify;
pub mod email;
mod file;
mod ndjson;
mod readers;
pub mod registry;
mod stdout;
mod webhook;

use std::any::Any;
use std::fmt::Debug;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::alarm_filter::AlarmFilter;
use super::deadline::SendDeadline;
use super::gate::{Closure, FileStamps};
use crate::access::User;
use crate::calendar::zone::Zones;
use crate::clock::Clock;
pub use crate::ledger::ClaimedDelivery;
use crate::tables::Section;
pub use readers::{Reader, Readers};

/// `[[sink]]`: what the configuration says of a sink of any kind.
#[derive(Clone, Debug)]
pub struct SinkConfig {
    /// The name of the sink, which no other sink has.
    pub name: String,
    /// Lower-case actions that this sink takes; empty: all.
    pub actions: Vec<String>,
    /// userIds it takes; empty: all.
    pub users: Vec<String>,
    /// Calendar names or ids it takes (`*` at the end stands for anything); empty: all.
    pub calendars: Vec<String>,
    /// Of which events and to-dos it takes alarms.
    pub filter: AlarmFilter,
    /// Whether it takes store events, if it does not write to people.
    pub events: bool,
    /// How long one attempt may take; where mails are sent, connecting alone.
    pub timeout: Duration,
    /// A delivery that still fails this long after its alarm fired is given up.
    pub give_up_after: Duration,
    /// What its kind has keys for.
    pub settings: Arc<dyn SinkSettings>,
}

impl SinkConfig {
    /// Whether it is sent store events. A mail about each change would be of no use.
    pub fn takes_events(&self) -> bool {
        self.events && self.settings.takes_events()
    }
}

/// A kind of sink: what `kind` in a `[[sink]]` names.
#[derive(Clone, Copy, Debug)]
pub struct SinkKind {
    /// As it is written: `file`.
    pub name: &'static str,
    /// The actions that a sink of this kind takes where none are written; empty: all.
    pub actions: &'static [&'static str],
    /// Reads the keys of this kind; none where something is wrong, which is then reported.
    pub read: fn(&Section<'_>) -> Option<Arc<dyn SinkSettings>>,
}

/// The settings of a sink of one kind, and what is to be known of it without opening it.
pub trait SinkSettings: Any + Debug + Send + Sync {
    /// The name of its kind.
    fn kind(&self) -> &'static str;

    /// Makes the sink. Nothing is connected or opened yet: what is absent now may be there when it is needed.
    ///
    /// # Errors
    /// When the settings themselves cannot work: a From that is no address.
    fn open(&self, config: &SinkConfig, context: &SinkContext) -> Result<Box<dyn SinkDriver>, SinkError>;

    /// Whom it writes to; none for a sink that does not write to people.
    fn recipients(&self) -> Option<&Recipients> {
        None
    }

    /// Whether it can be sent store events, which are not written to people.
    fn takes_events(&self) -> bool {
        self.recipients().is_none()
    }

    /// Whether trying it needs the network.
    fn needs_network(&self) -> bool {
        false
    }

    /// The file that it appends to, and makes where it is not there.
    fn appends_to(&self) -> Option<&Path> {
        None
    }

    /// What `user` lacks to use it, by owners and modes: a sentence with the command that helps. None: nothing.
    fn denied(&self, _user: &User) -> Option<String> {
        None
    }
}

/// Whom a sink that writes to people writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipients {
    /// The user's own addresses only: those that the alarm names, else the first one.
    Own,
    /// Every ATTENDEE of the alarm.
    Attendees,
    /// These.
    List(Vec<String>),
}

/// A future that a [`SinkDriver`] returns.
pub type Sending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How many deliveries the sinks that write them all at once are best given at a time.
const LINES: usize = 10_000;

/// The way in which sinks of one kind send. Shared by all who send through it.
pub trait SinkDriver: Debug + Send + Sync {
    /// As [`Transport::send`].
    fn send<'a>(&'a self, deliveries: &'a [ClaimedDelivery]) -> Sending<'a, Vec<Outcome>>;

    /// Tries the sink without sending anything, and says in a few words what it found.
    ///
    /// # Errors
    /// When it could not take an alarm now.
    fn check(&self) -> Sending<'_, Result<String, SinkError>>;

    /// Whether the files that it needs before it can be tried at all, its secret among them, are there.
    ///
    /// # Errors
    /// When they are not, or cannot be used: it will be tried nevertheless whenever there is something to be sent.
    fn ready(&self) -> Result<(), SinkError> {
        Ok(())
    }

    /// As [`Transport::batch`].
    fn batch(&self) -> usize {
        LINES
    }

    /// As [`Transport::send_timeout`]; none: the `timeout` of the sink.
    fn send_timeout(&self) -> Option<Duration> {
        None
    }

    /// As [`Transport::files`].
    fn files(&self) -> FileStamps {
        FileStamps::default()
    }

    /// As [`Transport::finished`].
    fn finished(&self) -> Sending<'_, Vec<Finished>> {
        Box::pin(std::future::pending())
    }

    /// Whether what it writes reaches no one, which counts as delivered.
    fn discards_output(&self) -> bool {
        false
    }

    /// Reopens its file (SIGHUP, after a log rotation); sinks without one do nothing.
    fn reopen(&self) {}
}

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The other side has it.
    Delivered,
    /// It may work another time, not before `after` where the other side said so.
    Retry {
        /// What the other side said, or our reason.
        response: String,
        /// How long it wants to be left alone.
        after: Option<Duration>,
    },
    /// It was not tried: its user has been sent as many as are allowed, and gets the next one after `wait`.
    Held {
        /// Why it is held, a sentence.
        response: String,
        /// How long until the user may be sent the next one.
        wait: Duration,
    },
    /// It will never work; `response` is the other side's word or our reason.
    Permanent {
        /// Why, a sentence.
        response: String,
    },
    /// Nothing can be sent now, this or anything else: the other side is down, or does not accept the login. It waits
    /// until something gets through.
    Down {
        /// What the other side said, or our reason.
        response: String,
        /// What its use waits for.
        closure: Closure,
    },
    /// It was sent whole, and the other side did not say what it has done with it: it may have been delivered.
    Unknown {
        /// What is known of the end of the attempt, a sentence.
        response: String,
    },
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
    /// How it has ended.
    pub outcome: Outcome,
}

impl Outcome {
    /// [`Outcome::Retry`] without a wish for when.
    pub fn retry(response: impl Into<String>) -> Outcome {
        Outcome::Retry { response: response.into(), after: None }
    }

    /// [`Outcome::Down`], until an administrator has corrected what the settings say.
    pub fn unusable(response: impl Into<String>) -> Outcome {
        Outcome::Down { response: response.into(), closure: Closure::Settings }
    }

    /// [`Outcome::Permanent`].
    pub fn permanent(response: impl Into<String>) -> Outcome {
        Outcome::Permanent { response: response.into() }
    }
}

/// Sends deliveries: a [`any_sink::Sink`], or what a test puts in its place.
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
        FileStamps::default()
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
    /// What tells the time.
    pub clock: Clock,
    /// The time zone database.
    pub zones: Zones,
    /// The name that this machine is known by.
    pub server_name: String,
    /// The zones and languages of users.
    pub readers: Readers,
    /// Octets that a mail server may answer to one command.
    pub max_reply_size: usize,
    /// When all sending has to end.
    pub deadline: SendDeadline,
}

#[cfg(test)]
pub mod samples {
    //! Notifications and deliveries for tests.

    use super::ClaimedDelivery;
    use crate::notification::Notification;
    use crate::time::UtcMillis;

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
            organizer_name: String::new(),
            url: String::new(),
            conferences: vec![],
            recurrence_rule: String::new(),
            notification_id: "0123456789abcdef0123456789abcdef".into(),
            answer_url: String::new(),
            timestamp: "2015-11-19T06:30:00.012Z".into(),
        }
    }

    /// A first attempt at `json`.
    pub fn delivery(json: &str) -> ClaimedDelivery {
        ClaimedDelivery {
            firing: 1,
            recipient: String::new(),
            notification: json.into(),
            fired_at: UtcMillis(0),
            attempts: 0,
            unknown: 0,
        }
    }
}

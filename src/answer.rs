//! The answer to an alarm that has fired: it is written into the store that the event is in, so that every client that
//! reads it there is silent too, and what sinks are still owed of the alarm is cancelled.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::calendar::answer::{AlarmAnswer, answered};
use crate::calendar::context::CalendarContext;
use crate::calendar::schedule::Schedule;
use crate::calendar::zone::Zones;
use crate::clock::Clock;
use crate::config::{LimitsConfig, SourceConfig};
use crate::firing;
use crate::http::Hosts;
use crate::ledger::{
    AdminOutcome, DeliveryId, DeliveryState, FiringRow, FiringState, Inspector, LedgerError, ObjectRow, OutboxAdmin,
};
use crate::notification::{About, identity};
use crate::source::{EditError, Source, TextEdit};
use crate::text::{hex, octet_of_hex};
use crate::time::UtcMillis;

/// The digits of a `notificationId`.
const IDENTITY_DIGITS: usize = 32;

/// Which firing is meant: its number in the ledger, or its identity (rule 21).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FiringName {
    /// As `firings` lists it.
    Number(i64),
    /// The `notificationId`.
    Identity([u8; 16]),
}

/// Why an alarm was not answered.
#[derive(Debug, thiserror::Error)]
pub enum AnswerFailure {
    /// Nothing of that name has fired.
    #[error("there is no firing {0}: 'reveille firings' lists the alarms that have fired")]
    NoFiring(FiringName),
    /// It is not an alarm that fired.
    #[error("{0} is not an alarm that has fired, so it cannot be answered")]
    NoAlarm(FiringName),
    /// The object does not have it any more.
    #[error(
        "the alarm is not in its event any more: the event was changed or deleted, or the alarm was answered already"
    )]
    NoInstance,
    /// Its source is not configured.
    #[error("the source '{0}', which the alarm comes from, is not in the configuration")]
    NoSource(String),
    /// Its source may not be written to.
    #[error("answers are not written into the source '{0}': write = true in its [[source]] allows it")]
    NotWritable(String),
    /// The store.
    #[error("{0}")]
    Store(#[from] EditError),
    /// It was answered, and what is pending of it could not be cancelled.
    #[error("the answer is written, but pending deliveries of the alarm could not be cancelled, and may arrive: {0}")]
    NotCancelled(LedgerError),
    /// The source.
    #[error("{0}")]
    Source(String),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// An alarm that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnsweredAlarm {
    /// The number of its firing in the ledger.
    pub firing: i64,
    /// Its identity.
    pub identity: [u8; 16],
    /// Whose it is.
    pub user: String,
    /// The title of the event.
    pub summary: String,
    /// The source that was written to.
    pub source: String,
    /// The object that was changed.
    pub href: String,
    /// Deliveries that were pending and are cancelled.
    pub cancelled: u64,
}

/// What answering needs.
pub struct Answerer<'a> {
    /// The ledger, which a daemon may hold.
    pub ledger: &'a Path,
    /// What is read at most.
    pub limits: &'a LimitsConfig,
    /// The zones that objects are read with.
    pub zones: &'a Zones,
    /// For when the answer is given.
    pub clock: &'a Clock,
    /// What is known of servers, and shared with those who ask them too.
    pub hosts: &'a Hosts,
    /// The settings of the source with a name.
    pub source: &'a (dyn Fn(&str) -> Option<SourceConfig> + Send + Sync),
}

/// What is read of a stored notification.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct FiredNotification {
    notification_id: String,
    uid: String,
    user_id: String,
    summary: String,
    calendar_name: String,
}

/// What is shown of an alarm that has fired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FiredAlarmText {
    /// The title of the event.
    pub summary: String,
    /// The name of its calendar.
    pub calendar: String,
}

/// The alarm that is answered: enough to find it again in another version of its object.
#[derive(Clone, Debug)]
struct Target {
    identity: [u8; 16],
    due: UtcMillis,
    context: CalendarContext,
    about: About,
    href: String,
}

impl fmt::Debug for Answerer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answerer").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

impl FromStr for FiringName {
    type Err = String;

    fn from_str(text: &str) -> Result<FiringName, String> {
        if text.len() == IDENTITY_DIGITS {
            let digits = text.as_bytes().chunks_exact(2).map(|pair| match pair {
                [high, low] => octet_of_hex(*high, *low),
                _ => None,
            });
            let octets = digits.collect::<Option<Vec<u8>>>().and_then(|octets| octets.try_into().ok());
            return octets.map(FiringName::Identity).ok_or_else(|| "is not a notificationId".to_owned());
        }
        let number = text.parse().map_err(|_| "is neither the number of a firing nor a notificationId".to_owned())?;
        Ok(FiringName::Number(number))
    }
}

impl fmt::Display for FiringName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FiringName::Number(number) => write!(f, "{number}"),
            FiringName::Identity(identity) => f.write_str(&hex(identity)),
        }
    }
}

/// The alarm that has fired as `name`, and what its notification says.
async fn fired(inspector: &mut Inspector, name: FiringName) -> Result<(FiringRow, FiredNotification), AnswerFailure> {
    let row = match name {
        FiringName::Number(number) => inspector.firing(number).await?,
        FiringName::Identity(identity) => inspector.firing_with(identity).await?,
    };
    let row = row.ok_or(AnswerFailure::NoFiring(name))?;
    if !matches!(row.state, Some(FiringState::Fired | FiringState::Missed)) || row.notification.is_empty() {
        return Err(AnswerFailure::NoAlarm(name));
    }
    let fired = serde_json::from_str(&row.notification).unwrap_or_default();
    Ok((row, fired))
}

impl FiredAlarmText {
    /// What the ledger at `path` says of the alarm that has fired as `name`.
    ///
    /// # Errors
    /// [`AnswerFailure`] when there is none.
    pub async fn read(path: &Path, name: FiringName) -> Result<FiredAlarmText, AnswerFailure> {
        let mut inspector = Inspector::open(path).await?;
        let (_, FiredNotification { summary, calendar_name, .. }) = fired(&mut inspector, name).await?;
        inspector.close().await?;
        Ok(FiredAlarmText { summary, calendar: calendar_name })
    }
}

impl Answerer<'_> {
    /// Gives `answer` to the alarm that has fired as `name`.
    ///
    /// # Errors
    /// [`AnswerFailure`] when nothing was written. What sinks are owed is not cancelled then.
    pub async fn give(&self, name: FiringName, answer: AlarmAnswer) -> Result<AnsweredAlarm, AnswerFailure> {
        let mut inspector = Inspector::open(self.ledger).await?;
        let (row, fired) = fired(&mut inspector, name).await?;
        let identity = match fired.notification_id.parse() {
            Ok(FiringName::Identity(identity)) => identity,
            _ => return Err(AnswerFailure::NoAlarm(name)),
        };
        let (object, target) = self.target(&mut inspector, &row, &fired, identity).await?;
        // A server may take its time, and the ledger is not kept from being cleaned up meanwhile.
        inspector.close().await?;
        self.write(&object, target, answer).await?;
        let cancelled = self.cancel(row.id).await.map_err(AnswerFailure::NotCancelled)?;
        Ok(AnsweredAlarm {
            firing: row.id,
            identity,
            user: fired.user_id,
            summary: fired.summary,
            source: object.calendar.source,
            href: object.href,
            cancelled,
        })
    }

    /// The object that has the alarm now; of several, one that may be written to goes before.
    async fn target(
        &self,
        inspector: &mut Inspector,
        row: &FiringRow,
        fired: &FiredNotification,
        identity: [u8; 16],
    ) -> Result<(ObjectRow, Target), AnswerFailure> {
        let mut objects: Vec<ObjectRow> = inspector.object(row.object).await?.into_iter().collect();
        if !fired.uid.is_empty() {
            // It may have been moved, or be in two sources of one user.
            let others = inspector.objects_of(&fired.uid).await?;
            objects.extend(others.into_iter().filter(|other| other.id != row.object));
        }
        objects.retain(|object| object.calendar.info.user == fired.user_id);
        objects.sort_by_key(|object| !self.is_writable(&object.calendar.source));
        for object in objects {
            let target = Target {
                identity,
                due: row.due,
                context: firing::context(&object.calendar.info, self.zones.clone(), self.limits.objects),
                about: firing::about(&object.calendar.info),
                href: object.href.clone(),
            };
            if target.is_in(&object.text) {
                return Ok((object, target));
            }
        }
        Err(AnswerFailure::NoInstance)
    }

    fn is_writable(&self, source: &str) -> bool {
        (self.source)(source).is_some_and(|source| source.write)
    }

    /// Writes `answer` into the store that `object` comes from.
    async fn write(&self, object: &ObjectRow, target: Target, answer: AlarmAnswer) -> Result<(), AnswerFailure> {
        let name = &object.calendar.source;
        let settings = (self.source)(name).ok_or_else(|| AnswerFailure::NoSource(name.clone()))?;
        if !settings.write {
            return Err(AnswerFailure::NotWritable(name.clone()));
        }
        let source = Source::open(&settings, self.limits, self.clock, self.hosts);
        let source = source.map_err(|error| AnswerFailure::Source(error.to_string()))?;
        let now = self.clock.now();
        let edit: TextEdit = Arc::new(move |text| target.answered(text, answer, now));
        Ok(source.edit(&object.calendar.info.href, &object.href, &edit).await?)
    }

    /// Cancels what sinks are still owed of the firing with this number. Returns how many deliveries that were.
    async fn cancel(&self, firing: i64) -> Result<u64, LedgerError> {
        let mut inspector = Inspector::open(self.ledger).await?;
        let deliveries = inspector.deliveries_of(firing).await?;
        inspector.close().await?;
        let mut outbox = OutboxAdmin::open(self.ledger).await?;
        let mut cancelled = 0;
        for row in deliveries.into_iter().filter(|row| row.state == Some(DeliveryState::Pending)) {
            let id = DeliveryId { firing, sink: row.sink, recipient: row.recipient };
            cancelled += u64::from(outbox.cancel(&id, self.clock.now()).await? == AdminOutcome::Changed);
        }
        outbox.close().await?;
        Ok(cancelled)
    }
}

impl Target {
    fn is_in(&self, text: &[u8]) -> bool {
        self.with(text, |_| ()).is_some()
    }

    /// What `ask` makes of the alarm instance in `text`; none where that has none like it.
    fn with<T>(
        &self,
        text: &[u8],
        ask: impl FnOnce(&crate::calendar::schedule::alarm_instance::AlarmInstance<'_>) -> T,
    ) -> Option<T> {
        let found = Schedule::of_text(text, &self.context, None, |_, schedule| {
            let instances = schedule.instances(self.due..self.due.just_after());
            let instance =
                instances.iter().find(|instance| identity(&self.about, &self.href, instance) == self.identity);
            instance.map(ask)
        });
        found.ok().flatten()
    }

    /// `text` with `answer`, which is given at `now`.
    fn answered(&self, text: &[u8], answer: AlarmAnswer, now: UtcMillis) -> Result<Vec<u8>, EditError> {
        let [alarm, snooze] = ["alarm", "snooze"].map(|what| self.new_uid(what, now));
        let answered = self.with(text, |instance| answered(text, instance, answer, now, [&alarm, &snooze]));
        let answered = answered.ok_or_else(|| EditError::Changed(AnswerFailure::NoInstance.to_string()))?;
        answered.map_err(|error| EditError::Refused(error.to_string()))
    }

    /// A UID for a VALARM that has none (RFC 9562, version 8): it depends on the firing, on `what` it is for, and on
    /// when.
    fn new_uid(&self, what: &str, now: UtcMillis) -> String {
        let mut hash = Sha256::new();
        hash.update(self.identity);
        hash.update(now.0.to_be_bytes());
        hash.update(what);
        let mut octets = hash.finalize();
        if let Some(version) = octets.get_mut(6) {
            *version = *version & 0x0f | 0x80;
        }
        if let Some(variant) = octets.get_mut(8) {
            *variant = *variant & 0x3f | 0x80;
        }
        let digits = hex(octets.iter().take(16));
        let part = |range: std::ops::Range<usize>| digits.get(range).unwrap_or_default().to_owned();
        [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
    }
}

//! A sink: where alarms go. It owns sending; what is owed, and when it is tried again, it does not know.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::config;

/// One claimed delivery, ready to be sent.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// The ring's id in the ledger.
    pub ring: i64,
    /// The bare address for sinks that send one message a recipient; else empty.
    pub recipient: String,
    /// The `CalendarAlarm` object as it is stored: one line, all keys.
    pub json: Arc<str>,
    /// Attempts that were settled before this one.
    pub attempts: u32,
}

/// What became of a parcel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The other side has it.
    Delivered,
    /// It may work another time, not before `after` where the other side said so.
    Later { answer: String, after: Option<Duration> },
    /// It will never work; `answer` is the other side's word or our reason.
    Never { answer: String },
}

impl Outcome {
    /// [`Outcome::Later`] without a wish for when.
    pub fn later(answer: impl Into<String>) -> Outcome {
        Outcome::Later { answer: answer.into(), after: None }
    }

    /// [`Outcome::Never`].
    pub fn never(answer: impl Into<String>) -> Outcome {
        Outcome::Never { answer: answer.into() }
    }
}

/// A sink that cannot be used as it is configured, or cannot be reached now: a sentence that names it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SinkError(pub String);

/// What sinks need of the world around them.
#[derive(Clone, Debug)]
pub struct Surroundings {
    pub clock: Clock,
    /// userId → the IANA id of the zone that the user reads times in.
    pub reader_zones: HashMap<String, String>,
}

/// A configured sink. Shared by all who send through it.
#[derive(Debug)]
pub struct Sink {
    name: String,
}

impl Sink {
    /// Makes the sink that `config` describes. Nothing is connected or opened yet: what is absent now may be there when
    /// it is needed.
    ///
    /// # Errors
    /// When the settings themselves cannot work: a CA file that cannot be read, a From that is no address.
    pub fn open(config: &config::Sink, surroundings: &Surroundings) -> Result<Sink, SinkError> {
        let _ = surroundings;
        Ok(Sink { name: config.name.clone() })
    }

    /// The sink's name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many parcels it is best given at a time.
    pub fn batch(&self) -> usize {
        1
    }

    /// The longest that [`Sink::send`] takes for [`Sink::batch`] parcels: how long to lease them for.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// Sends `parcels`; one outcome each, in their order. May be called again before it has answered.
    pub async fn send(&self, parcels: &[Parcel]) -> Vec<Outcome> {
        parcels.iter().map(|_| Outcome::later("not built yet")).collect()
    }

    /// Tries the sink without sending anything, and says in a few words what it found.
    ///
    /// # Errors
    /// When it could not take an alarm now.
    pub async fn check(&self) -> Result<String, SinkError> {
        Ok(String::new())
    }

    /// Opens its file anew (SIGHUP, after a log rotation); other sinks do nothing.
    pub fn reopen(&self) {}
}

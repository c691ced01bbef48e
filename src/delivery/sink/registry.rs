//! The kinds of sinks, reading `[[sink]]`, and a sink of any kind.

use std::sync::Arc;
use std::time::Duration;

use toml::de::DeValue;

use super::stdout::StdoutSettings;
use super::{
    ClaimedDelivery, Finished, Outcome, SinkConfig, SinkContext, SinkDriver, SinkError, SinkKind, Transport,
    cyrus_notify, email, file, stdout,
};
use crate::delivery::gate::FileStamps;
use crate::tables::{Section, names, value};

/// All kinds.
const KINDS: &[&SinkKind] = &[&stdout::KIND, &file::KIND, &cyrus_notify::KIND, &email::KIND];
/// Kinds that do not exist yet.
const NOT_BUILT: [&str; 2] = ["webhook", "command"];

const ACTIONS: [(&str, &str); 3] = [("display", "display"), ("email", "email"), ("audio", "audio")];

const TIMEOUT: Duration = Duration::from_secs(30);
const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads all `[[sink]]`; what is wrong in them is reported.
pub fn read(sections: Vec<Section<'_>>) -> Vec<SinkConfig> {
    let mut sinks: Vec<SinkConfig> = Vec::new();
    for mut section in sections {
        let kind = section.required("kind", kind);
        let taken = |name: &str| sinks.iter().any(|sink| sink.name == name);
        let name = names::name(&mut section, kind.map(|kind| kind.name), &taken);
        // Which keys belong to a sink of an unknown kind is unknown too.
        if let Some(kind) = kind {
            sinks.extend(read_one(section, name, kind));
        }
    }
    sinks
}

/// Standard output, where nothing else was asked for.
pub fn standard_output() -> SinkConfig {
    SinkConfig {
        name: stdout::KIND.name.to_owned(),
        actions: Vec::new(),
        users: Vec::new(),
        calendars: Vec::new(),
        timeout: TIMEOUT,
        give_up_after: GIVE_UP_AFTER,
        settings: Arc::new(StdoutSettings::default()),
    }
}

fn kind(value: &DeValue<'_>) -> Result<&'static SinkKind, String> {
    let written = value::string(value)?;
    let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
    match NOT_BUILT.iter().find(|not_built| not_built.eq_ignore_ascii_case(&written)) {
        Some(not_built) => {
            let known = value::alternatives(&names);
            Err(format!("is '{not_built}', which is not built yet: use {known}"))
        }
        None => {
            let kinds: Vec<(&'static str, &'static SinkKind)> = KINDS.iter().map(|kind| (kind.name, *kind)).collect();
            value::choose(&written, &kinds)
        }
    }
}

fn read_one(section: Section<'_>, name: String, kind: &SinkKind) -> Option<SinkConfig> {
    let standard = || kind.actions.iter().map(|action| (*action).to_owned()).collect();
    let actions = section.read("actions", actions).unwrap_or_else(standard);
    let users = section.read("users", value::strings).unwrap_or_default();
    let calendars = section.read("calendars", value::strings).unwrap_or_default();
    let timeout = section.read("timeout", value::duration).unwrap_or(TIMEOUT);
    let give_up_after = section.read("give_up_after", value::duration).unwrap_or(GIVE_UP_AFTER);
    let settings = (kind.read)(&section);
    section.finish();
    Some(SinkConfig { name, actions, users, calendars, timeout, give_up_after, settings: settings? })
}

fn actions(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let one = |written: &String| value::choose(written, &ACTIONS).map(str::to_owned);
    value::strings(value)?.iter().map(one).collect()
}

/// A configured sink of any kind. Shared by all who send through it.
#[derive(Debug)]
pub struct Sink {
    name: String,
    timeout: Duration,
    driver: Box<dyn SinkDriver>,
}

impl Sink {
    /// Makes the sink that `config` describes. Nothing is connected or opened yet: what is absent now may be there when
    /// it is needed.
    ///
    /// # Errors
    /// When the settings themselves cannot work: a From that is no address.
    pub fn open(config: &SinkConfig, context: &SinkContext) -> Result<Sink, SinkError> {
        let driver = config.settings.open(config, context)?;
        Ok(Sink { name: config.name.clone(), timeout: config.timeout, driver })
    }

    /// As [`SinkDriver::ready`].
    ///
    /// # Errors
    /// When files that it needs are not there, or cannot be used.
    pub fn ready(&self) -> Result<(), SinkError> {
        self.driver.ready()
    }

    /// As [`SinkDriver::check`].
    ///
    /// # Errors
    /// When it could not take an alarm now.
    pub async fn check(&self) -> Result<String, SinkError> {
        self.driver.check().await
    }

    /// Whether what it writes reaches no one, which counts as delivered.
    pub fn discards_output(&self) -> bool {
        self.driver.discards_output()
    }

    /// Sends one delivery and waits for its outcome, however long that takes. For a sink that nothing else sends
    /// through.
    pub async fn send_one(&self, delivery: ClaimedDelivery) -> Outcome {
        let mut outcome = self.send(&[delivery]).await.pop().unwrap_or(Outcome::NotAttempted);
        while outcome == Outcome::InFlight {
            outcome = self.finished().await.pop().map_or(outcome, |finished| finished.outcome);
        }
        outcome
    }

    /// Reopens its file (SIGHUP, after a log rotation); sinks without one do nothing.
    pub fn reopen(&self) {
        self.driver.reopen();
    }
}

impl Transport for Sink {
    fn name(&self) -> &str {
        &self.name
    }

    fn batch(&self) -> usize {
        self.driver.batch()
    }

    fn send_timeout(&self) -> Duration {
        self.driver.send_timeout().unwrap_or(self.timeout)
    }

    fn files(&self) -> FileStamps {
        self.driver.files()
    }

    async fn send(&self, deliveries: &[ClaimedDelivery]) -> Vec<Outcome> {
        self.driver.send(deliveries).await
    }

    async fn finished(&self) -> Vec<Finished> {
        self.driver.finished().await
    }
}

//! Lists the kinds of sinks, and reads `[[sink]]` of the configuration with them.

use std::sync::Arc;
use std::time::Duration;

use toml::de::DeValue;

use super::stdout::StdoutSettings;
use super::{SinkConfig, SinkKind, command, cyrus_notify, email, file, stdout, webhook};
use crate::delivery::alarm_filter::AlarmFilter;
use crate::tables::{Section, names, value};

/// All kinds.
const KINDS: &[&SinkKind] = &[
    &stdout::KIND,
    &file::KIND,
    &cyrus_notify::KIND,
    &email::KIND,
    &command::KIND,
    &webhook::KIND,
    &webhook::WEB_PUSH,
];

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
        filter: AlarmFilter::default(),
        events: true,
        timeout: TIMEOUT,
        give_up_after: GIVE_UP_AFTER,
        settings: Arc::new(StdoutSettings::default()),
    }
}

fn kind(value: &DeValue<'_>) -> Result<&'static SinkKind, String> {
    let written = value::string(value)?;
    let kinds: Vec<(&'static str, &'static SinkKind)> = KINDS.iter().map(|kind| (kind.name, *kind)).collect();
    value::choose(&written, &kinds)
}

fn read_one(section: Section<'_>, name: String, kind: &SinkKind) -> Option<SinkConfig> {
    let standard = || kind.actions.iter().map(|action| (*action).to_owned()).collect();
    let actions = section.read("actions", actions).unwrap_or_else(standard);
    let users = section.read("users", value::strings).unwrap_or_default();
    let calendars = section.read("calendars", value::strings).unwrap_or_default();
    let filter = AlarmFilter::read(&section);
    let events = section.read("events", value::boolean).unwrap_or(true);
    let timeout = section.read("timeout", value::duration).unwrap_or(TIMEOUT);
    let give_up_after = section.read("give_up_after", value::duration).unwrap_or(GIVE_UP_AFTER);
    let settings = (kind.read)(&section);
    section.finish();
    Some(SinkConfig { name, actions, users, calendars, filter, events, timeout, give_up_after, settings: settings? })
}

fn actions(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let one = |written: &String| value::choose(written, &ACTIONS).map(str::to_owned);
    value::strings(value)?.iter().map(one).collect()
}

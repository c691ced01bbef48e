//! Finding the configuration's file, reading its general tables, and what the command line adds.

use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::accounts;
use super::admin;
use super::alarms;
use super::context::{ReadContext, read_any};
use super::server_users::ServerUsers;
use super::settings::{
    AccountOrigins, AccountProblem, AdminConfig, Config, Defaults, LimitsConfig, Log, LogFormat, LogLevel,
    ObjectLimits, ResponseLimits, UserConfig, Users, ZoneLimits,
};
use super::sources;
use super::sources::{SourceContext, Sources};
use crate::access::{self, Need};
use crate::delivery::event_settings::EventSettings;
use crate::delivery::sink::email::known_locale;
use crate::delivery::sink::{SinkConfig, registry};
use crate::delivery::user_routing::UserRouting;
use crate::tables::{ConfigError, Diagnostics, Problem, Section, address, value};
use crate::zoneinfo::ZoneinfoChoice;

/// The ledger if none is named.
const DEFAULT_LEDGER: &str = "reveille.db";
/// How long history is kept if nothing says: 90 days.
const KEEP_HISTORY: Duration = Duration::from_secs(90 * 86_400);

/// What the command line says instead of the file, or in addition to it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overrides<'a> {
    /// The ledger: `sqlite:///PATH`, `sqlite:PATH` or a path.
    pub ledger: Option<&'a str>,
    /// Folders to watch as well.
    pub watch: &'a [PathBuf],
    /// What servers have said of their users; none where they are not asked.
    pub server_users: Option<&'a ServerUsers>,
}

/// Reads the configuration: `file`, else the first that exists of the usual places, else none: the defaults.
/// `environment` answers for the variables of the environment. Secrets are not read.
///
/// # Errors
/// All that is wrong with it.
pub fn load(
    file: Option<&Path>,
    overrides: &Overrides<'_>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, ConfigError> {
    settle(find(file, environment)?, overrides, environment)
}

/// Reads `text` as a configuration that lies in the current folder. The way in for fuzzing.
///
/// # Errors
/// All that is wrong with it.
#[doc(hidden)]
pub fn read_text(text: &str) -> Result<Config, ConfigError> {
    settle(
        Some(ConfigFile { path: PathBuf::from("reveille.toml"), text: text.to_owned() }),
        &Overrides::default(),
        &|_| None,
    )
}

/// A file that was read.
struct ConfigFile {
    path: PathBuf,
    text: String,
}

/// What the file that was found, and the command line, come to.
fn settle(
    found: Option<ConfigFile>,
    overrides: &Overrides<'_>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, ConfigError> {
    let folder = found.as_ref().and_then(|file| file.path.parent()).map(Path::to_owned).unwrap_or_default();
    let reader = ReadContext::new(folder, environment).with_users(overrides.server_users);
    let mut problems = Vec::new();
    let mut config = match &found {
        Some(ConfigFile { path, text }) => parse(path, text, &reader, &mut problems),
        None => Config::default(),
    };
    if let Some(ledger) = overrides.ledger {
        match address::ledger(ledger) {
            Ok(path) => config.ledger = path,
            Err(sentence) => problems.push(spoken(format!("--ledger {sentence}"))),
        }
    }
    for folder in overrides.watch {
        let watched = sources::watched(folder, &config, &reader);
        config.sources.push(watched);
    }
    if config.sinks.is_empty() {
        config.sinks.push(registry::standard_output());
    }
    if problems.is_empty() { Ok(config) } else { Err(ConfigError::new(problems)) }
}

/// A problem of what was said outside the file.
fn spoken(sentence: String) -> Problem {
    Problem { file: None, line: None, key: None, sentence }
}

/// The file to read and its text; none where there is no file.
fn find(file: Option<&Path>, environment: &dyn Fn(&str) -> Option<String>) -> Result<Option<ConfigFile>, ConfigError> {
    let set = |name: &str| environment(name).filter(|value| !value.is_empty());
    if let Some(named) = file.map(Path::to_owned).or_else(|| set("REVEILLE_CONFIG").map(PathBuf::from)) {
        return match read_any(&named) {
            Ok(text) => Ok(Some(ConfigFile { path: named, text })),
            Err(why) => Err(unreadable(named, &why)),
        };
    }
    let own = set("XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| Some(PathBuf::from(set("HOME")?).join(".config")));
    let places = [
        Some(PathBuf::from("reveille.toml")),
        own.map(|folder| folder.join("reveille/reveille.toml")),
        Some(PathBuf::from("/etc/reveille/reveille.toml")),
    ];
    for place in places.into_iter().flatten() {
        match read_any(&place) {
            Ok(text) => return Ok(Some(ConfigFile { path: place, text })),
            Err(why) if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(why) => return Err(unreadable(place, &why)),
        }
    }
    Ok(None)
}

fn unreadable(file: PathBuf, why: &io::Error) -> ConfigError {
    let why = access::with_hint(why, &file, Need::Read, false);
    let sentence = format!("the configuration cannot be read: {why}");
    ConfigError::new(vec![Problem { file: Some(file), line: None, key: None, sentence }])
}

/// Reads a file's text; what is wrong in it is added to `problems`.
fn parse(file: &Path, text: &str, reader: &ReadContext<'_>, problems: &mut Vec<Problem>) -> Config {
    let (table, errors) = DeTable::parse_recoverable(text);
    let diagnostics = Diagnostics::new(file, text);
    for error in &errors {
        let sentence = format!("this is not valid TOML: {}", error.message().replace('\n', ", "));
        diagnostics.report(error.span().map(|span| span.start), None, sentence);
    }
    let mut config = Config { file: Some(file.to_owned()), ..Config::default() };
    // Where the text is no TOML, what the rest means is a guess.
    if errors.is_empty() {
        read_top(&diagnostics, table.get_ref(), reader, &mut config);
        config.warnings.extend(diagnostics.take_warnings());
    }
    problems.extend(diagnostics.into_problems());
    config
}

fn read_top<'a>(
    diagnostics: &'a Diagnostics<'a>,
    table: &'a DeTable<'a>,
    reader: &ReadContext<'_>,
    config: &mut Config,
) {
    let none = DeTable::new();
    let top = Section::top(diagnostics, table);
    if let Some(choice) = top.read("zoneinfo", |value| reader.zoneinfo(value)) {
        config.zoneinfo = choice;
    }
    read_ledger(top.table("ledger", &none), reader, config);
    config.log = read_log(top.table("log", &none));
    config.defaults = read_defaults(top.table("defaults", &none), reader);
    config.limits = read_limits(top.table("limits", &none));
    config.users = Arc::new(read_users(&top, reader));
    read_sources(&top, reader, config);
    config.sinks = registry::read(top.tables("sink"));
    config.events = read_events(top.table("events", &none), &config.sinks);
    config.admin = admin::read(top.table("admin", &none));
    top.finish();
}

/// `[[source]]` and `accounts_dir`
fn read_sources(top: &Section<'_>, reader: &ReadContext<'_>, config: &mut Config) {
    let context = SourceContext { defaults: &config.defaults, users: &config.users, reader };
    let Sources { mut sources, lists, commands, listings, mut problems, .. } =
        sources::read(top.tables("source"), &context);
    let folder = top.read("accounts_dir", value::string).map(|written| reader.path(&written));
    if let Some(folder) = &folder {
        match accounts::read(folder, &sources, &context) {
            Ok(accounts) => {
                sources.extend(accounts.sources);
                problems.extend(accounts.problems);
                config.warnings.extend(accounts.warnings);
            }
            Err(why) => {
                let why = access::with_hint(&why, folder, Need::Read, true);
                let sentence = format!("accounts_dir {} cannot be read: {why}", folder.display());
                let problem = Problem { file: config.file.clone(), line: None, key: None, sentence };
                problems.push(AccountProblem { account: "*".to_owned(), problem, is_pending: false });
            }
        }
    }
    config.sources = sources;
    let servers = !listings.is_empty();
    config.account_origins = AccountOrigins { folder, lists, commands, servers };
    config.listings = listings;
    config.server_users = reader.server_users().cloned().unwrap_or_default();
    config.account_problems = problems;
}

/// `[users."mary"]`
fn read_users(top: &Section<'_>, reader: &ReadContext<'_>) -> Users {
    let mut users = Users::new();
    for (name, section) in top.children("users") {
        let user = UserConfig {
            email: section.read("email", address::emails).unwrap_or_default(),
            zone: section.read("zone", |value| reader.zone(value)),
            locale: section.read("locale", locale),
            alarms: alarms::read(&section, false).0,
            routing: UserRouting::read(&section),
        };
        section.finish();
        users.insert(name, user);
    }
    users
}

/// The locale of a user: that of a language that mails are written in.
fn locale(value: &DeValue<'_>) -> Result<String, String> {
    known_locale(&value::string(value)?)
}

/// `[events]`, which some sink of `sinks` has to take; without any, standard output does.
fn read_events(section: Section<'_>, sinks: &[SinkConfig]) -> EventSettings {
    let events = EventSettings::read(&section);
    let is_taken = sinks.is_empty() || sinks.iter().any(SinkConfig::takes_events);
    // A sink with an error is not among them.
    if !events.kinds.is_empty() && !is_taken && !section.has_problems() {
        section
            .report("kinds", "names store events, and no sink takes any: each is of kind email or has events = false");
    }
    section.finish();
    events
}

fn read_ledger(section: Section<'_>, reader: &ReadContext<'_>, config: &mut Config) {
    if let Some(path) = section.read("url", |value| address::ledger(&value::string(value)?)) {
        config.ledger = reader.path(&path.to_string_lossy());
    }
    if let Some(keep) = section.read("keep_history", value::duration) {
        config.keep_history = keep;
    }
    section.finish();
}

fn read_log(section: Section<'_>) -> Log {
    let formats = [("human", LogFormat::Human), ("json", LogFormat::Json)];
    let levels = [
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ];
    let log = Log {
        format: section.read("format", value::one_of(&formats)),
        level: section.read("level", value::one_of(&levels)),
    };
    section.finish();
    log
}

fn read_defaults(section: Section<'_>, reader: &ReadContext<'_>) -> Defaults {
    let standard = Defaults::default();
    let defaults = Defaults {
        zone: section.read("zone", |value| reader.zone(value)),
        locale: section.read("locale", locale),
        max_lateness: section.read("max_lateness", value::duration).unwrap_or(standard.max_lateness),
        absent_grace: section.read("absent_grace", value::duration).unwrap_or(standard.absent_grace),
        server_name: section.read("server_name", value::string).unwrap_or(standard.server_name),
        own_domains: section.read("own_domains", address::domains),
    };
    section.finish();
    defaults
}

/// The keys of `[limits]`, by what they count.
struct LimitKeys<'a> {
    section: Section<'a>,
}

impl LimitKeys<'_> {
    fn within(&self, key: &'static str, range: RangeInclusive<u64>, otherwise: usize) -> usize {
        let number = self.section.read(key, value::number(*range.start(), *range.end()));
        number.and_then(|number| usize::try_from(number).ok()).unwrap_or(otherwise)
    }

    fn count(&self, key: &'static str, otherwise: usize) -> usize {
        self.within(key, 1..=1_000_000, otherwise)
    }

    fn octets(&self, key: &'static str, otherwise: usize) -> usize {
        self.within(key, 1024..=1 << 30, otherwise)
    }

    /// What is nested is taken apart on a stack of limited size.
    fn depth(&self, key: &'static str, otherwise: usize) -> usize {
        self.within(key, 8..=500, otherwise)
    }

    fn small(&self, key: &'static str, otherwise: u32) -> u32 {
        let number = self.section.read(key, value::number(1, 1_000_000));
        number.and_then(|number| u32::try_from(number).ok()).unwrap_or(otherwise)
    }
}

fn read_limits(section: Section<'_>) -> LimitsConfig {
    let standard = LimitsConfig::default();
    let keys = LimitKeys { section };
    let limits = LimitsConfig {
        objects: read_object_limits(&keys, standard.objects),
        responses: read_response_limits(&keys, standard.responses),
        max_name: keys.count("max_name", standard.max_name),
        max_own_addresses: keys.count("max_own_addresses", standard.max_own_addresses),
        max_text: keys.octets("max_text", standard.max_text),
        max_notification_size: keys.within("max_notification_size", 4_096..=1 << 30, standard.max_notification_size),
        max_reply_size: keys.octets("max_reply_size", standard.max_reply_size),
        max_requests_per_host: keys.within("max_requests_per_host", 1..=1_000, standard.max_requests_per_host),
    };
    keys.section.finish();
    limits
}

fn read_object_limits(keys: &LimitKeys<'_>, objects: ObjectLimits) -> ObjectLimits {
    let zones = objects.zones;
    ObjectLimits {
        max_object_size: keys.octets("max_object_size", objects.max_object_size),
        max_repeat: keys.small("max_repeat", objects.max_repeat),
        max_alarms_per_hour: keys.small("max_alarms_per_hour", objects.max_alarms_per_hour),
        max_alarms: keys.count("max_alarms", objects.max_alarms),
        max_rules: keys.count("max_rules", objects.max_rules),
        max_work: keys.section.read("max_work", value::number(1, 1 << 40)).unwrap_or(objects.max_work),
        max_attendees: keys.count("max_attendees", objects.max_attendees),
        max_depth: keys.depth("max_depth", objects.max_depth),
        max_faults: keys.count("max_faults", objects.max_faults),
        zones: ZoneLimits {
            max_zone_observances: keys.count("max_zone_observances", zones.max_zone_observances),
            max_zone_dates: keys.count("max_zone_dates", zones.max_zone_dates),
            max_zone_rules: keys.count("max_zone_rules", zones.max_zone_rules),
            max_zone_counts: keys.count("max_zone_counts", zones.max_zone_counts),
        },
    }
}

fn read_response_limits(keys: &LimitKeys<'_>, responses: ResponseLimits) -> ResponseLimits {
    ResponseLimits {
        max_response_size: keys.octets("max_response_size", responses.max_response_size),
        max_listing_size: keys.octets("max_listing_size", responses.max_listing_size),
        max_elements: keys.count("max_elements", responses.max_elements),
        max_xml_depth: keys.depth("max_xml_depth", responses.max_xml_depth),
        max_href: keys.within("max_href", 256..=1 << 20, responses.max_href),
        max_calendars: keys.count("max_calendars", responses.max_calendars),
        max_pages: keys.count("max_pages", responses.max_pages),
        max_changes: keys.within("max_changes", 1..=100_000_000, responses.max_changes),
        max_redirects: keys.within("max_redirects", 0..=20, responses.max_redirects),
        max_retry_after: keys.section.read("max_retry_after", value::duration).unwrap_or(responses.max_retry_after),
    }
}

impl Default for Config {
    /// Nothing to watch, the ledger in the working directory, and no sink yet.
    fn default() -> Config {
        Config {
            file: None,
            warnings: Vec::new(),
            ledger: PathBuf::from(DEFAULT_LEDGER),
            keep_history: KEEP_HISTORY,
            zoneinfo: ZoneinfoChoice::default(),
            log: Log::default(),
            defaults: Defaults::default(),
            limits: LimitsConfig::default(),
            events: EventSettings::default(),
            users: Arc::default(),
            sources: Vec::new(),
            account_origins: AccountOrigins::default(),
            listings: Vec::new(),
            server_users: ServerUsers::default(),
            account_problems: Vec::new(),
            sinks: Vec::new(),
            admin: AdminConfig::default(),
        }
    }
}

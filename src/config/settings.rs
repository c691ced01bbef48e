//! What the settings are, once they are read and checked. How they are written is not known here.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use super::account_origins::{AccountOrigins, AccountStamps};
pub use super::admin::{AdminConfig, CyrusSocket, ServerCertificate};
use super::alarms::{AlarmSettings, CalendarAlarms, CalendarNames, SourceAlarms};
use super::server_users::ServerUsers;
pub use crate::calendar::ical::object::ObjectLimits;
pub use crate::calendar::zone::ZoneLimits;
use crate::calendar_info::{DefaultAlarmTexts, SharedAlarms};
use crate::delivery::event_settings::EventSettings;
use crate::delivery::sink::SinkConfig;
use crate::delivery::user_routing::UserRouting;
use crate::tables::{ClientCertificate, Credentials, Problem, SecretRef};
use crate::zoneinfo::ZoneinfoChoice;

/// All settings, checked, with defaults filled in.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that was read; none where the program runs on its defaults.
    pub file: Option<PathBuf>,
    /// What is accepted in the file and should be written otherwise.
    pub warnings: Vec<Problem>,
    /// The ledger's file.
    pub ledger: PathBuf,
    /// How long the ledger remembers what has fired.
    pub keep_history: Duration,
    /// Which time zone database is used.
    pub zoneinfo: ZoneinfoChoice,
    /// `[log]`
    pub log: Log,
    /// `[defaults]`
    pub defaults: Defaults,
    /// `[limits]`
    pub limits: LimitsConfig,
    /// `[events]`
    pub events: EventSettings,
    /// `[users]`; each source has it too.
    pub users: Arc<Users>,
    /// `[[source]]`, in the order of the file, and the accounts.
    pub sources: Vec<SourceConfig>,
    /// What the accounts come from.
    pub account_origins: AccountOrigins,
    /// The sources that are one for each user of their server.
    pub listings: Vec<UserListing>,
    /// What these servers have said.
    pub server_users: ServerUsers,
    /// What is wrong with accounts: they are not among the sources.
    pub account_problems: Vec<AccountProblem>,
    /// `[[sink]]`, in the order of the file.
    pub sinks: Vec<SinkConfig>,
    /// `[admin]`
    pub admin: AdminConfig,
}

impl Config {
    /// What users say of the way that their alarms take, by userId.
    pub fn user_routing(&self) -> HashMap<String, UserRouting> {
        self.users.iter().map(|(name, user)| (name.clone(), user.routing.clone())).collect()
    }
}

/// What is wrong with one account, or with a list of accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountProblem {
    /// The name of its source; where it ends in `*`, of all whose names begin with what is before that.
    pub account: String,
    /// What is wrong, and where.
    pub problem: Problem,
    /// Nothing is wrong yet: the server that lists the users has not answered since the start.
    pub is_pending: bool,
}

impl AccountProblem {
    /// Whether it may be what is wrong with the source `name`.
    pub fn concerns(&self, name: &str) -> bool {
        crate::text::matches_pattern(&self.account, name)
    }

    /// Whether it is unknown which accounts it concerns.
    pub fn concerns_many(&self) -> bool {
        self.account.ends_with('*')
    }
}

/// `[log]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// How log lines are written; none: [`LogFormat::Human`].
    pub format: Option<LogFormat>,
    /// From which level on lines are written; none: the command decides.
    pub level: Option<LogLevel>,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One line of text, coloured on a terminal.
    Human,
    /// One JSON object per line.
    Json,
}

/// The levels of log lines, from the rarest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// What an administrator has to attend to.
    Error,
    /// What an administrator may have to attend to.
    Warn,
    /// What has changed.
    Info,
    /// What was done.
    Debug,
    /// How it was done.
    Trace,
}

/// `[defaults]`
#[derive(Clone, Debug)]
pub struct Defaults {
    /// IANA id for floating times and dates where the calendar names none; none: UTC, which is called `[floating]`.
    pub zone: Option<String>,
    /// The locale of users that have none, BCP 47; none: `en-GB`.
    pub locale: Option<String>,
    /// An alarm found later than this is missed, not delivered.
    pub max_lateness: Duration,
    /// How long syncs must not have found a calendar until it is dropped, and how long an object that is gone counts as
    /// the same one when it comes back.
    pub absent_grace: Duration,
    /// serverFQDN of the notifications.
    pub server_name: String,
    /// `own_domains` of the sources that have none; none where the configuration lists none.
    pub own_domains: Option<Vec<String>>,
}

impl Default for Defaults {
    fn default() -> Defaults {
        Defaults {
            zone: None,
            locale: None,
            max_lateness: Duration::from_secs(24 * 60 * 60),
            absent_grace: Duration::from_secs(15 * 60),
            server_name: host_name(),
            own_domains: None,
        }
    }
}

/// The machine's name as the kernel knows it; `localhost` where it has none.
fn host_name() -> String {
    match rustix::system::uname().nodename().to_str() {
        Ok(name) if !name.is_empty() => name.to_owned(),
        _ => "localhost".to_owned(),
    }
}

/// `[limits]`: bounds on what comes from outside.
#[derive(Clone, Copy, Debug)]
pub struct LimitsConfig {
    /// Of calendar objects.
    pub objects: ObjectLimits,
    /// Of what calendar servers answer.
    pub responses: ResponseLimits,
    /// Letters of a calendar's name.
    pub max_name: usize,
    /// Addresses that a calendar server may name as a user's own.
    pub max_own_addresses: usize,
    /// Octets of each text in a notification, and characters of it in a mail.
    pub max_text: usize,
    /// Octets of a notification. A meeting of two thousand has less.
    pub max_notification_size: usize,
    /// Octets of what a mail server answers to one command.
    pub max_reply_size: usize,
    /// Requests that one calendar server gets at the same time, of all its accounts.
    pub max_requests_per_host: usize,
}

impl Default for LimitsConfig {
    fn default() -> LimitsConfig {
        let (objects, responses) = (ObjectLimits::default(), ResponseLimits::default());
        LimitsConfig {
            objects,
            responses,
            max_name: 1_000,
            max_own_addresses: 10,
            max_text: 64 * 1024,
            max_notification_size: 256 * 1024,
            max_reply_size: 64 * 1024,
            max_requests_per_host: 8,
        }
    }
}

/// Bounds on what calendar servers answer; in `[limits]` like all the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseLimits {
    /// Octets of one response, unpacked. A thousand objects of 60 kB.
    pub max_response_size: usize,
    /// Octets of memory for what is kept of a list of calendars, objects or changes. A hundred thousand objects with
    /// long names.
    pub max_listing_size: usize,
    /// Elements in one child of the root; the longest real responses (of calendars with their privileges) have 200.
    pub max_elements: usize,
    /// Elements inside each other; real answers nest eight deep.
    pub max_xml_depth: usize,
    /// Octets of an href, an etag, a ctag or a sync token, which are kept and sent back; file systems end at 4,096.
    pub max_href: usize,
    /// Calendars of a home.
    pub max_calendars: usize,
    /// Pages of a report of changes, and changes in all of them; a report that goes on is given up, and the calendar
    /// compared.
    pub max_pages: usize,
    /// Changes in all pages of a report.
    pub max_changes: usize,
    /// Redirections that are followed for one request.
    pub max_redirects: usize,
    /// A server that asks for a longer pause than this is asked again nevertheless.
    pub max_retry_after: Duration,
}

impl ResponseLimits {
    /// Those of a configuration that names none.
    pub const STANDARD: ResponseLimits = ResponseLimits {
        max_response_size: 64 * 1024 * 1024,
        max_listing_size: 32 * 1024 * 1024,
        max_elements: 20_000,
        max_xml_depth: 32,
        max_href: 8 * 1024,
        max_calendars: 10_000,
        max_pages: 1_000,
        max_changes: 1_000_000,
        max_redirects: 5,
        max_retry_after: Duration::from_secs(60 * 60),
    };
}

impl Default for ResponseLimits {
    fn default() -> ResponseLimits {
        ResponseLimits::STANDARD
    }
}

/// `[users]`: what is known of people, by userId.
pub type Users = BTreeMap<String, UserConfig>;

/// `[users."mary"]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserConfig {
    /// The user's own addresses, bare; empty where none are written.
    pub email: Vec<String>,
    /// The user's zone, IANA.
    pub zone: Option<String>,
    /// The locale of what is written to the user, BCP 47.
    pub locale: Option<String>,
    /// What is said of alarms in all of the user's calendars.
    pub alarms: AlarmSettings,
    /// Which of them go to sinks.
    pub routing: UserRouting,
}

/// `[[source]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// The name of the source, which no other source has.
    pub name: String,
    /// userId; for the layout `radicale` the folder's name is taken where this is none.
    pub user: Option<String>,
    /// The login name: userId where neither the configuration nor the store names one.
    pub login: String,
    /// The user's own addresses, bare; what `users` says of the user goes before.
    pub email: Vec<String>,
    /// The user's zone, IANA; what `users` says of the user goes before.
    pub zone: Option<String>,
    /// `[users]`, by userId.
    pub users: Arc<Users>,
    /// Names or paths, `*` at the end of one stands for anything; empty: all.
    pub calendars: Vec<String>,
    /// What is said of alarms.
    pub alarms: SourceAlarms,
    /// Whether answers to alarms may be written into it.
    pub write: bool,
    /// What its kind has keys for.
    pub kind: SourceKind,
    /// The file that makes it an account: of its own, or a list of users; none for what the configuration itself names.
    pub origin: Option<PathBuf>,
}

impl SourceConfig {
    /// The own addresses of `user` that are configured, bare.
    pub fn emails_of(&self, user: &str) -> &[String] {
        self.users.get(user).map(|user| &user.email).filter(|emails| !emails.is_empty()).unwrap_or(&self.email)
    }

    /// What holds of the alarms of `calendar`, which `user` sees and which `is_anothers` if it is known to be another
    /// user's. Its server has the default alarms `server`.
    pub fn alarms_of(
        &self,
        user: &str,
        calendar: CalendarNames<'_>,
        is_anothers: bool,
        server: DefaultAlarmTexts,
    ) -> CalendarAlarms {
        let alarms = self.alarms.of(calendar, self.users.get(user).map(|user| &user.alarms), server);
        let shared = if is_anothers { alarms.shared } else { SharedAlarms::Ring };
        CalendarAlarms { shared, ..alarms }
    }

    /// The zone of `user` that is configured.
    pub fn zone_of(&self, user: &str) -> Option<&str> {
        self.users.get(user).and_then(|user| user.zone.as_deref()).or(self.zone.as_deref())
    }
}

/// What `kind` in a `[[source]]` names, with its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// `kind = "directory"`: a watched folder.
    Directory(DirectorySettings),
    /// `kind = "caldav"`: an account on a CalDAV server.
    Caldav(CaldavSettings),
    /// `kind = "ics"`: a subscribed calendar.
    Ics(IcsSettings),
}

/// `kind = "directory"`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectorySettings {
    /// The folder.
    pub path: PathBuf,
    /// How it is laid out.
    pub layout: Layout,
    /// How often the whole folder is scanned.
    pub rescan_interval: Duration,
    /// Folders outside `path` that symbolic links in it may lead to.
    pub follow_links: Vec<PathBuf>,
}

/// How long it is between two syncs of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncInterval {
    /// As a rule.
    pub usual: Duration,
    /// Where nothing has changed for long.
    pub longest: Duration,
}

impl SyncInterval {
    /// The same whatever changes.
    pub fn fixed(usual: Duration) -> SyncInterval {
        SyncInterval { usual, longest: usual }
    }
}

impl SourceKind {
    /// As `kind` is written, and as the ledger has it.
    pub fn name(&self) -> &'static str {
        match self {
            SourceKind::Directory(_) => "directory",
            SourceKind::Caldav(_) => "caldav",
            SourceKind::Ics(_) => "ics",
        }
    }

    /// How often everything is synced.
    pub fn interval(&self) -> SyncInterval {
        match self {
            SourceKind::Directory(settings) => SyncInterval::fixed(settings.rescan_interval),
            SourceKind::Caldav(settings) => {
                SyncInterval { usual: settings.poll_interval, longest: settings.max_poll_interval }
            }
            SourceKind::Ics(settings) => SyncInterval::fixed(settings.interval),
        }
    }
}

impl SourceKind {
    /// How rarely everything is synced at most while hints announce what changes; none: hints change nothing there.
    pub fn hinted_interval(&self) -> Option<Duration> {
        match self {
            SourceKind::Caldav(settings) => Some(settings.hinted_poll_interval),
            // A folder reports its changes by itself, and a feed says how often it is to be fetched.
            SourceKind::Directory(_) | SourceKind::Ics(_) => None,
        }
    }
}

/// How a watched folder is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Decided by what is in the folder.
    Auto,
    /// `x.ics`: the folder is the calendar.
    Flat,
    /// `CALENDAR/x.ics`
    Vdir,
    /// `USER/CALENDAR/x.ics` with `.Radicale.props`.
    Radicale,
}

/// `kind = "caldav"`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaldavSettings {
    /// Address of the server, of an account or of one calendar.
    pub url: String,
    /// How it logs in.
    pub credentials: Credentials,
    /// How often the account is synced.
    pub poll_interval: Duration,
    /// And how rarely at most, where nothing changes.
    pub max_poll_interval: Duration,
    /// And how rarely at most while hints announce what changes.
    pub hinted_poll_interval: Duration,
    /// Where the addresses that the server names as the user's have to lie.
    pub own_domains: OwnDomains,
    /// Whether the default alarms of a calendar or its home fire for events that have none of their own.
    pub default_alarms: bool,
    /// How long the server may be silent.
    pub timeout: Duration,
    /// PEM file of a further certificate authority to trust.
    pub ca_file: Option<PathBuf>,
    /// What is shown to a server that asks for a certificate.
    pub client_certificate: Option<Box<ClientCertificate>>,
    /// Whom the login acts for: the header Authorize-As of Cyrus.
    pub authorize_as: Option<String>,
}

/// A source that is one for each user of its server, and how that is asked for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserListing {
    /// The name of the source.
    pub source: String,
    /// How the server is reached; the URL is the part before the user.
    pub settings: CaldavSettings,
    /// How often it is asked.
    pub interval: Duration,
}

/// Domains in which a calendar server may name addresses as the user's own: mail goes there. In ASCII, lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnDomains {
    /// Those that the configuration lists.
    Listed(Vec<String>),
    /// Where it lists none: those of the server, for users whose login is no address.
    Usual(Vec<String>),
}

/// `kind = "ics"`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IcsSettings {
    /// Where the address of the feed is, which is a secret.
    pub url: SecretRef,
    /// Whether the address may be one of another machine without encryption.
    pub allow_plaintext: bool,
    /// What the calendar is called, whatever the feed says.
    pub calendar_name: Option<String>,
    /// How it logs in.
    pub credentials: Credentials,
    /// How often the feed is fetched if it says nothing of that.
    pub interval: Duration,
    /// The shortest time between two fetches that a feed can ask for.
    pub min_interval: Duration,
    /// The longest one.
    pub max_interval: Duration,
    /// How long the server may be silent.
    pub timeout: Duration,
    /// PEM file of a further certificate authority to trust.
    pub ca_file: Option<PathBuf>,
}

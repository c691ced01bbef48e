//! A CalDAV source by itself, with a store in memory.

use std::sync::Arc;
use std::time::Duration;

use reveille::clock::Clock;
use reveille::config::{
    CaldavSettings, Credentials, LimitsConfig, OwnDomains, PasswordScheme, ResponseLimits, SecretRef, SourceConfig,
    SourceKind,
};
use reveille::source::SyncReport;
use reveille::source::caldav::{CaldavError, CaldavSource};

use crate::memory_store::Kept;

/// Octets of an object that are read at most.
pub const MAX_SIZE: usize = 1024 * 1024;

/// A source and what it handed in.
pub struct Watch {
    pub source: CaldavSource,
    pub kept: Kept,
    pub runtime: tokio::runtime::Runtime,
}

/// The limits of these sources.
pub fn limits() -> LimitsConfig {
    let mut limits = LimitsConfig::default();
    limits.objects.max_object_size = MAX_SIZE;
    limits
}

/// Settings for `url`, with name and password.
pub fn settings(url: &str, login: Option<(&str, &str)>) -> (SourceConfig, CaldavSettings) {
    let credentials = match login {
        Some((username, password)) => Credentials::Password {
            username: username.to_owned(),
            password: SecretRef::inline(password).into(),
            scheme: PasswordScheme::Auto,
        },
        None => Credentials::None,
    };
    let settings = CaldavSettings {
        url: url.to_owned(),
        credentials,
        poll_interval: Duration::from_secs(1),
        max_poll_interval: Duration::from_secs(1),
        hinted_poll_interval: Duration::from_secs(1),
        timeout: Duration::from_secs(20),
        own_domains: OwnDomains::Usual(vec!["example.org".to_owned()]),
        default_alarms: false,
        ca_file: None,
        client_certificate: None,
        authorize_as: None,
    };
    let source = SourceConfig {
        name: "test".to_owned(),
        user: login.map(|(name, _)| name.to_owned()),
        login: "me".to_owned(),
        email: Vec::new(),
        zone: None,
        users: Arc::default(),
        calendars: Vec::new(),
        alarms: Default::default(),
        kind: SourceKind::Caldav(settings.clone()),
        write: false,
        origin: None,
    };
    (source, settings)
}

impl Watch {
    /// One for the account at `url`.
    pub fn of(url: &str, login: Option<(&str, &str)>) -> Watch {
        let (source, settings) = settings(url, login);
        Watch::with(&source, &settings)
    }

    pub fn with(source: &SourceConfig, settings: &CaldavSettings) -> Watch {
        Watch::at(source, settings, Clock::System)
    }

    /// One that takes the time from `clock`.
    pub fn at(source: &SourceConfig, settings: &CaldavSettings, clock: Clock) -> Watch {
        Watch::bounded(source, settings, &limits(), clock)
    }

    /// One of the account at `url` that reads no more of a response than `responses` allow.
    pub fn within(responses: ResponseLimits, url: &str) -> Watch {
        let (source, settings) = settings(url, None);
        Watch::bounded(&source, &settings, &LimitsConfig { responses, ..limits() }, Clock::System)
    }

    fn bounded(source: &SourceConfig, settings: &CaldavSettings, limits: &LimitsConfig, clock: Clock) -> Watch {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let source = CaldavSource::new(source, settings, limits, clock).unwrap();
        Watch { source, kept: Kept::default(), runtime }
    }

    /// The same after a restart: only what was handed in is known.
    pub fn restarted(self, url: &str, login: Option<(&str, &str)>) -> Watch {
        Watch { kept: self.kept, ..Watch::of(url, login) }
    }

    /// A sync at which nothing may fail.
    pub fn sync(&mut self) -> SyncReport {
        let report = self.try_sync().unwrap();
        assert!(report.faults.is_empty(), "{report:?}");
        report
    }

    pub fn try_sync(&mut self) -> Result<SyncReport, CaldavError> {
        self.runtime.block_on(self.source.sync_account(&self.kept))
    }

    /// The error of a sync that must fail.
    pub fn failure(&mut self) -> String {
        self.try_sync().unwrap_err().to_string()
    }
}

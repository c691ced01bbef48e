//! Finding and reading the configuration.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{ConfigError, Problem};
use super::settings::{Config, Defaults, Layout, Limits, Log, Shape, Sink, SinkKind, Source, SourceKind};
use crate::zoneinfo::ZoneinfoChoice;

/// What a command needs of the configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    pub secrets: Secrets,
    pub overrides: Overrides<'a>,
}

/// Whether secrets are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Secrets {
    /// They are read, and one that cannot be read is a problem.
    #[default]
    Read,
    /// They are left empty: for commands that only look at the ledger, and may run as somebody who must not see them.
    Skip,
}

/// What the command line says instead of, or beside, the file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overrides<'a> {
    /// The ledger: `sqlite:///PATH`, `sqlite:PATH` or a path.
    pub ledger: Option<&'a str>,
    /// Folders to watch as well.
    pub watch: &'a [PathBuf],
}

/// Reads the configuration: `file`, else the first that exists of the usual places, else none: the defaults.
/// `environment` answers for the variables of the environment.
///
/// # Errors
/// All that is wrong with it.
pub fn load(
    file: Option<&Path>,
    wanted: &Wanted<'_>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, ConfigError> {
    if let Some(file) = file {
        let sentence = "configuration files are not read yet".to_owned();
        return Err(ConfigError::new(vec![Problem { file: Some(file.to_owned()), line: None, key: None, sentence }]));
    }
    let user = environment("USER").or_else(|| environment("LOGNAME")).unwrap_or_else(|| "user".to_owned());
    let sources = wanted.overrides.watch.iter().map(|path| Source {
        name: path.file_name().map_or_else(|| "watch".to_owned(), |name| name.to_string_lossy().into_owned()),
        user: Some(user.clone()),
        email: Vec::new(),
        zone: None,
        calendars: Vec::new(),
        kind: SourceKind::Directory {
            path: path.clone(),
            layout: Layout::Auto,
            rescan_interval: Duration::from_secs(15 * 60),
        },
    });
    Ok(Config {
        file: None,
        ledger: PathBuf::from(wanted.overrides.ledger.unwrap_or("reveille.db")),
        zoneinfo: ZoneinfoChoice::default(),
        log: Log::default(),
        defaults: Defaults::default(),
        limits: Limits::default(),
        sources: sources.collect(),
        sinks: vec![Sink {
            name: "stdout".to_owned(),
            actions: Vec::new(),
            users: Vec::new(),
            calendars: Vec::new(),
            timeout: Duration::from_secs(30),
            give_up_after: Duration::from_secs(24 * 60 * 60),
            kind: SinkKind::Stdout { shape: Shape::default() },
        }],
    })
}

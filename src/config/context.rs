//! What reading a value of the configuration may need besides the value: its folder, the environment, time zones.

use std::cell::OnceCell;
use std::io;
use std::path::{Path, PathBuf};

use toml::de::DeValue;

use super::server_users::ServerUsers;
use crate::calendar::zone::Zones;
use crate::tables::{nearest, value};
use crate::zoneinfo::ZoneinfoChoice;

/// Octets of a configuration file.
pub(super) const MAX_FILE: u64 = 1024 * 1024;

/// What reading a value may need besides the value.
#[derive(Clone)]
pub(super) struct ReadContext<'a> {
    /// The folder of the file: what relative paths in it are relative to.
    folder: PathBuf,
    environment: &'a dyn Fn(&str) -> Option<String>,
    /// Read when a zone is named.
    zones: OnceCell<Zones>,
    server_users: Option<ServerUsers>,
}

impl<'a> ReadContext<'a> {
    /// For a file in `folder`; `environment` answers for the variables of the environment.
    pub(super) fn new(folder: PathBuf, environment: &'a dyn Fn(&str) -> Option<String>) -> ReadContext<'a> {
        ReadContext { folder, environment, zones: OnceCell::new(), server_users: None }
    }

    /// Likewise, where servers have said of their users what is noted in `server_users`.
    pub(super) fn with_users(self, server_users: Option<&ServerUsers>) -> ReadContext<'a> {
        ReadContext { server_users: server_users.cloned(), ..self }
    }

    /// What servers have said of their users; none where they are not asked.
    pub(super) fn server_users(&self) -> Option<&ServerUsers> {
        self.server_users.as_ref()
    }

    /// Likewise for a file in `folder`.
    pub(super) fn in_folder(&self, folder: &Path) -> ReadContext<'a> {
        ReadContext { folder: folder.to_owned(), ..self.clone() }
    }

    pub(super) fn path(&self, written: &str) -> PathBuf {
        self.folder.join(written)
    }

    fn variable(&self, name: &str) -> Option<String> {
        (self.environment)(name)
    }

    /// The id of a time zone that the database knows.
    pub(super) fn zone(&self, value: &DeValue<'_>) -> Result<String, String> {
        let written = value::string(value)?;
        let zones = self.zones.get_or_init(|| Zones::load(&ZoneinfoChoice::Auto).unwrap_or_else(|_| Zones::bundled()));
        if let Some(zone) = zones.resolve(&written, None, None) {
            return Ok(zone.id().to_owned());
        }
        let ids: Vec<&str> = zones.ids().collect();
        let near = nearest(&written, &ids).unwrap_or("UTC");
        Err(format!("is '{written}', which is not a known time zone; did you mean '{near}'?"))
    }

    /// Which time zone database is used; it must be there.
    pub(super) fn zoneinfo(&self, value: &DeValue<'_>) -> Result<ZoneinfoChoice, String> {
        let written = value::string(value)?;
        let choice = match ZoneinfoChoice::from(written.as_str()) {
            ZoneinfoChoice::Folder(folder) => ZoneinfoChoice::Folder(self.folder.join(folder)),
            choice => choice,
        };
        let zones = Zones::load(&choice).map_err(|why| format!("is '{written}': {why}"))?;
        let _ = self.zones.set(zones);
        Ok(choice)
    }

    /// Whose alarms they are where nothing says so: the login name.
    pub(super) fn login(&self) -> String {
        let named = |name| self.variable(name).filter(|login| !login.trim().is_empty());
        named("USER").or_else(|| named("LOGNAME")).unwrap_or_else(|| "user".to_owned())
    }
}

/// The text of a file of the configuration.
pub(super) fn read_file(path: &Path) -> io::Result<String> {
    if std::fs::metadata(path)?.len() > MAX_FILE {
        return Err(io::Error::other(format!("it has more than the {MAX_FILE} octets that a configuration may have")));
    }
    std::fs::read_to_string(path)
}

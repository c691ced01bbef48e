//! What reading a value of the configuration may need besides the value: its folder, the environment, time zones.

use std::cell::OnceCell;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
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

/// The text of a file of the configuration, or of a pipe that the command line names.
///
/// # Errors
/// Those of the system, or a sentence without its subject: it is too large, or not UTF-8.
pub(super) fn read_any(path: &Path) -> io::Result<String> {
    text_of(File::open(path)?)
}

/// The text of a file that the configuration names. A pipe is not waited for.
///
/// # Errors
/// As for [`read_any`], and if it is not a regular file.
pub(super) fn read_file(path: &Path) -> io::Result<String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    text_of(file)
}

fn text_of(file: File) -> io::Result<String> {
    let mut octets = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut octets)?;
    if octets.len() as u64 > MAX_FILE {
        return Err(io::Error::other(format!("it has more than the {MAX_FILE} octets that a configuration may have")));
    }
    String::from_utf8(octets).map_err(|error| {
        let before = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        let line = before.filter(|octet| **octet == b'\n').count() + 1;
        io::Error::other(format!("line {line} is not UTF-8"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_text_are_read_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        rustix::fs::mknodat(rustix::fs::CWD, path("pipe"), rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        std::fs::write(path("binary"), b"mary\nbob\n\xff\n").unwrap();
        std::fs::write(path("large"), vec![b' '; 2_000_000]).unwrap();
        let error = |name: &str| read_file(&path(name)).unwrap_err().to_string();
        assert_eq!(error("pipe"), "it is not a regular file");
        assert_eq!(error("."), "it is not a regular file");
        assert_eq!(error("binary"), "line 3 is not UTF-8");
        assert!(error("large").starts_with("it has more than the"), "{}", error("large"));
        assert_eq!(read_any(Path::new("/dev/zero")).unwrap_err().to_string(), error("large"));
    }
}

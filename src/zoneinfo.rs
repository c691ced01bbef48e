//! Where the time zone database is taken from: a folder of the system, any other folder of compiled zones (TZif, RFC
//! 9636), or the one that is part of the program. What its rules mean is [`crate::calendar::zone`]'s business.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::calendar::zone::{Data, ZoneData, Zones};

/// Folders in which systems keep their database.
const SYSTEM_FOLDERS: &[&str] =
    &["/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/usr/share/lib/zoneinfo", "/var/db/timezone/zoneinfo"];

/// What lies in such a folder and is no zone: the machine's own zone, placeholders, and the two further trees, of which
/// `right` counts leap seconds.
const NOT_ZONES: &[&str] = &["localtime", "posixrules", "Factory", "posix", "right"];

/// Bounds on what is read of a folder. A real database has 600 zones of at most 4 kB, three levels deep.
const MAX_ZONES: usize = 5_000;
const MAX_ZONE_SIZE: u64 = 64 * 1024;
const MAX_DEPTH: usize = 4;
/// How much of a text file is read to find the version.
const MAX_VERSION_TEXT: u64 = 256;

/// `zoneinfo` in the configuration: which time zone database is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ZoneinfoChoice {
    /// The newer one of the system's and the program's own.
    #[default]
    Auto,
    /// The system's: `$TZDIR`, else the usual folder.
    System,
    /// The program's own.
    Bundled,
    /// A folder.
    Folder(PathBuf),
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ZoneinfoError {
    /// The system has no time zone database in any of the usual folders.
    #[error("the system has no time zone database: install its tzdata package, or set zoneinfo = \"bundled\"")]
    NoSystemFolder,
    /// The folder, or a file in it, cannot be read.
    #[error("cannot read the time zone database in {}: {source}", folder.display())]
    Unreadable {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder holds no time zones.
    #[error("{} holds no compiled time zones (TZif files such as Europe/Berlin)", .0.display())]
    Empty(PathBuf),
    /// The folder's files count leap seconds (`right/`).
    #[error("the zones in {} count leap seconds, which calendars do not: choose the folder without them", .0.display())]
    LeapSeconds(PathBuf),
}

impl From<&str> for ZoneinfoChoice {
    /// `auto`, `system`, `bundled`; anything else is a folder.
    fn from(text: &str) -> ZoneinfoChoice {
        match text {
            "auto" => ZoneinfoChoice::Auto,
            "system" => ZoneinfoChoice::System,
            "bundled" => ZoneinfoChoice::Bundled,
            folder => ZoneinfoChoice::Folder(PathBuf::from(folder)),
        }
    }
}

impl Zones {
    /// Reads the database that `choice` names, as a whole: a later change of its files changes nothing.
    ///
    /// # Errors
    /// When the folder that was asked for is missing, unreadable or no database. `Auto` takes the program's own
    /// instead.
    pub fn load(choice: &ZoneinfoChoice) -> Result<Zones, ZoneinfoError> {
        match choice {
            ZoneinfoChoice::Bundled => Ok(Zones::bundled()),
            ZoneinfoChoice::Folder(folder) => read(folder),
            ZoneinfoChoice::System => read(&system_folder().ok_or(ZoneinfoError::NoSystemFolder)?),
            ZoneinfoChoice::Auto => Ok(newer(system_folder().as_deref())),
        }
    }

    /// Reads the system's database; none where there is none that can be used.
    pub fn system() -> Option<Zones> {
        read(&system_folder()?).ok()
    }
}

/// The database in `system` if it is newer than the program's own, else that.
fn newer(system: Option<&Path>) -> Zones {
    let bundled = Zones::bundled();
    let Some(folder) = system else { return bundled };
    if version(folder).is_none_or(|version| version.as_str() <= bundled.version()) {
        return bundled;
    }
    read(folder).unwrap_or_else(|error| {
        tracing::warn!(version = bundled.version(), "{error}; the program's own database is used");
        bundled
    })
}

/// `$TZDIR`, else the first of the usual folders that exists.
pub(crate) fn system_folder() -> Option<PathBuf> {
    let named = std::env::var_os("TZDIR").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    named.into_iter().chain(SYSTEM_FOLDERS.iter().map(PathBuf::from)).find(|folder| folder.is_dir())
}

/// The release that the folder says it is: in `tzdata.zi` (`# version 2026f`), `+VERSION` or `version`.
fn version(folder: &Path) -> Option<String> {
    ["tzdata.zi", "+VERSION", "version"].iter().find_map(|name| {
        let mut text = String::new();
        File::open(folder.join(name)).ok()?.take(MAX_VERSION_TEXT).read_to_string(&mut text).ok()?;
        let first = text.lines().next()?;
        let word = first.strip_prefix("# version").unwrap_or(first).trim();
        // A year, then letters: 2026f, or 2026f-dirty between releases.
        let release = word.len() >= 5 && word.chars().take(4).all(|c| c.is_ascii_digit());
        release.then(|| word.to_owned())
    })
}

/// A zone of a folder.
struct ZoneFile {
    id: String,
    /// Its content (RFC 9636).
    tzif: Vec<u8>,
}

/// Reads the database in `folder`.
fn read(folder: &Path) -> Result<Zones, ZoneinfoError> {
    let mut zones = Vec::new();
    list(folder, "", 0, &mut zones)
        .map_err(|source| ZoneinfoError::Unreadable { folder: folder.to_owned(), source })?;
    if zones.is_empty() {
        return Err(ZoneinfoError::Empty(folder.to_owned()));
    }
    if zones.iter().any(|zone| counts_leap_seconds(&zone.tzif)) {
        return Err(ZoneinfoError::LeapSeconds(folder.to_owned()));
    }
    let version = version(folder).unwrap_or_else(|| "unknown".to_owned());
    let zones = zones.into_iter().map(|zone| ZoneData { id: zone.id, data: Data::Tzif(Cow::Owned(zone.tzif)) });
    Ok(Zones::new(&version, &folder.display().to_string(), zones))
}

/// Adds the zones below `folder`, whose ids begin with `prefix`, to `zones`.
fn list(folder: &Path, prefix: &str, depth: usize, zones: &mut Vec<ZoneFile>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if zones.len() >= MAX_ZONES || (depth == 0 && NOT_ZONES.contains(&name.as_str())) {
            continue;
        }
        let (path, id) = (entry.path(), format!("{prefix}{name}"));
        let Ok(about) = fs::metadata(&path) else { continue };
        if about.is_dir() && depth < MAX_DEPTH {
            list(&path, &format!("{id}/"), depth + 1, zones)?;
        } else if about.is_file() && about.len() <= MAX_ZONE_SIZE {
            let mut data = Vec::new();
            File::open(&path)?.take(MAX_ZONE_SIZE).read_to_end(&mut data)?;
            if data.starts_with(b"TZif") {
                zones.push(ZoneFile { id, tzif: data });
            }
        }
    }
    Ok(())
}

/// Whether the header of the last data block announces leap seconds.
fn counts_leap_seconds(tzif: &[u8]) -> bool {
    /// Octets of a header, and where its six counts begin.
    const HEADER: usize = 44;
    const COUNTS: usize = 20;
    let count = |header: usize, index: usize| -> Option<usize> {
        let at = header.checked_add(COUNTS + 4 * index)?;
        let bytes = tzif.get(at..at.checked_add(4)?)?;
        usize::try_from(u32::from_be_bytes(bytes.try_into().ok()?)).ok()
    };
    // The counts: UT and standard indicators, leap seconds, transitions, types, letters of abbreviations. In the first
    // block times have 4 octets; the second begins behind it.
    let second = || -> Option<usize> {
        let [ut, std, leap, transitions, types, letters] =
            [count(0, 0)?, count(0, 1)?, count(0, 2)?, count(0, 3)?, count(0, 4)?, count(0, 5)?];
        let parts = [transitions.checked_mul(5)?, types.checked_mul(6)?, letters, leap.checked_mul(8)?, std, ut];
        parts.iter().try_fold(HEADER, |sum, part| sum.checked_add(*part))
    };
    let header = if tzif.get(4).is_some_and(|version| *version >= b'2') { second() } else { Some(0) };
    header.and_then(|header| count(header, 2)).is_some_and(|leap| leap > 0)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{ZoneinfoChoice, ZoneinfoError, counts_leap_seconds, newer, read, version};
    use crate::calendar::zone::Zones;

    /// A database with one zone, which says that it is `release`.
    fn database(release: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("tzdata.zi"), format!("# version {release}\n# more\n")).unwrap();
        fs::create_dir(folder.path().join("Europe")).unwrap();
        let berlin = Path::new(env!("CARGO_MANIFEST_DIR")).join("zoneinfo/tzif/Europe/Berlin");
        fs::copy(&berlin, folder.path().join("Europe/Bielefeld")).unwrap();
        fs::copy(&berlin, folder.path().join("localtime")).unwrap();
        fs::create_dir(folder.path().join("right")).unwrap();
        fs::copy(&berlin, folder.path().join("right/Bielefeld")).unwrap();
        folder
    }

    #[test]
    fn a_folder_is_read_without_what_is_no_zone_in_it() {
        let folder = database("2999a");
        let zones = Zones::load(&ZoneinfoChoice::Folder(folder.path().to_owned())).unwrap();
        assert_eq!(zones.version(), "2999a");
        assert!(zones.find("Europe/Bielefeld").is_some());
        for other in ["localtime", "right/Bielefeld", "tzdata.zi", "Europe"] {
            assert!(zones.find(other).is_none(), "{other}");
        }
        assert!(zones.find("Europe/Berlin").is_some(), "what a database lacks comes from chrono-tz");
    }

    #[test]
    fn auto_takes_the_newer_one() {
        let (old, new) = (database("2019c"), database("2999a"));
        assert_eq!(newer(Some(old.path())).origin(), "bundled");
        assert_eq!(newer(Some(new.path())).version(), "2999a");
        assert_eq!(newer(None).origin(), "bundled");
        fs::remove_dir_all(new.path().join("Europe")).unwrap();
        assert_eq!(newer(Some(new.path())).origin(), "bundled", "a folder without zones is passed over");
    }

    #[test]
    fn the_version_stands_in_one_of_three_files() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(version(folder.path()), None);
        fs::write(folder.path().join("version"), "2026b\n").unwrap();
        assert_eq!(version(folder.path()).unwrap(), "2026b");
        fs::write(folder.path().join("+VERSION"), "2026c\n").unwrap();
        assert_eq!(version(folder.path()).unwrap(), "2026c");
        fs::write(folder.path().join("tzdata.zi"), "garbage").unwrap();
        assert_eq!(version(folder.path()).unwrap(), "2026c");
    }

    #[test]
    fn what_is_no_database_is_an_error_that_names_the_folder() {
        let empty = tempfile::tempdir().unwrap();
        assert!(matches!(read(empty.path()), Err(ZoneinfoError::Empty(_))));
        let error = read(Path::new("/nowhere/zoneinfo")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/zoneinfo"), "{error}");
    }

    #[test]
    fn zones_that_count_leap_seconds_are_refused() {
        let berlin = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("zoneinfo/tzif/Europe/Berlin")).unwrap();
        assert!(!counts_leap_seconds(&berlin));
        let second = berlin.windows(4).rposition(|window| window == b"TZif").unwrap();
        let mut leaping = berlin.clone();
        leaping[second + 31] = 27;
        assert!(counts_leap_seconds(&leaping));
        let folder = database("2999a");
        fs::write(folder.path().join("Europe/Bielefeld"), leaping).unwrap();
        assert!(matches!(read(folder.path()), Err(ZoneinfoError::LeapSeconds(_))));
        assert!(!counts_leap_seconds(b"TZif2"));
    }
}

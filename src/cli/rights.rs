//! `check` and `test-sink` as root: what the user that the daemon runs as may read and write. Root may open everything,
//! so this is worked out from owners and modes.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::access::{self, Denied, Need, User, denied, folder_of};
use crate::config::{AdminConfig, Config, SourceKind};
use crate::ledger;

/// The user that packaging/reveille.service names.
const SERVICE: &str = "reveille";
/// So many entries of a watched folder are checked.
const ENTRIES: usize = 100_000;
/// A calendar is at most so deep in a watched folder, and its objects one deeper.
const DEPTH: usize = 3;

/// Whose rights `check` is about, where that is not the user that runs it.
#[derive(Debug)]
pub(super) enum DaemonUser {
    /// The user that runs `check`.
    Same,
    /// Another one, and how that is known.
    Other(User, String),
    /// Root runs `check`, and nothing says which user the daemon runs as.
    Unknown,
}

impl DaemonUser {
    /// The user that owns the ledger, or its folder where that is not there, or that is called `reveille`.
    pub(super) fn of(config: &Config) -> DaemonUser {
        let current = User::current();
        if !current.is_root() {
            return DaemonUser::Same;
        }
        let folder = folder_of(&config.ledger);
        let owner = |path: &Path| fs::metadata(path).ok().map(|metadata| metadata.uid());
        match (owner(&config.ledger), owner(folder)) {
            (Some(0), _) => DaemonUser::Same,
            (Some(id), _) => DaemonUser::Other(User::with_id(id), "which owns the ledger".to_owned()),
            (None, Some(id)) if id != 0 => {
                DaemonUser::Other(User::with_id(id), format!("which owns {}", folder.display()))
            }
            _ => match User::named(SERVICE) {
                Some(user) => DaemonUser::Other(user, "which the service runs as".to_owned()),
                None => DaemonUser::Unknown,
            },
        }
    }
}

/// A right that a user lacks.
#[derive(Debug)]
pub(super) struct Lacking {
    /// `configuration`, `ledger`, `source`, `sink` or `admin`.
    pub(super) what: &'static str,
    /// The name of that; empty for the configuration.
    pub(super) name: String,
    pub(super) sentence: String,
}

/// What `user` lacks to read and write what `config` names.
pub(super) fn lacking(config: &Config, user: &User) -> Vec<Lacking> {
    let mut lacking = Vec::new();
    let file = config.file.as_ref().and_then(|file| access::lacking(user, file, Need::Read, false));
    lacking.extend(file.map(|sentence| Lacking { what: "configuration", name: String::new(), sentence }));
    let ledger = ledger::denied(user, &config.ledger).map(|denied| denied.sentence(true));
    let name = || config.ledger.display().to_string();
    lacking.extend(ledger.map(|sentence| Lacking { what: "ledger", name: name(), sentence }));
    for source in &config.sources {
        let sentence = match &source.kind {
            SourceKind::Directory(settings) => unreadable(user, &settings.path),
            SourceKind::Caldav(settings) => {
                let secrets = settings.credentials.files();
                let of_secret = || secrets.iter().find_map(|file| access::lacking_secrets(user, Some(file), None));
                let of_certificate = || {
                    let shown = settings.client_certificate.as_ref()?;
                    access::lacking_secrets(user, shown.key.path(), Some(&shown.certificate))
                };
                let of_authority = || access::lacking_secrets(user, None, settings.ca_file.as_deref());
                of_secret().or_else(of_authority).or_else(of_certificate)
            }
            SourceKind::Ics(settings) => {
                let secret = settings.credentials.secret().and_then(|secret| secret.path());
                let address = access::lacking_secrets(user, settings.url.path(), settings.ca_file.as_deref());
                address.or_else(|| access::lacking_secrets(user, secret, None))
            }
        };
        lacking.extend(sentence.map(|sentence| Lacking { what: "source", name: source.name.clone(), sentence }));
    }
    for sink in &config.sinks {
        let sentence = sink.settings.denied(user);
        lacking.extend(sentence.map(|sentence| Lacking { what: "sink", name: sink.name.clone(), sentence }));
    }
    let sentence = of_admin(&config.admin, user);
    lacking.extend(sentence.map(|sentence| Lacking { what: "admin", name: String::new(), sentence }));
    lacking
}

/// What `user` may not read of the token and the certificate, or where it may not make the socket.
fn of_admin(admin: &AdminConfig, user: &User) -> Option<String> {
    let of_token = access::lacking_secrets(user, admin.token.as_ref().and_then(|token| token.path()), None);
    let of_certificate = || {
        let shown = admin.certificate.as_ref()?;
        access::lacking_secrets(user, shown.key.path(), Some(&shown.certificate))
    };
    let of_socket = || {
        let folder = folder_of(&admin.cyrus_socket.as_ref()?.path);
        access::lacking(user, folder, Need::Create, false)
    };
    of_token.or_else(of_certificate).or_else(of_socket)
}

/// As root: sees to it that the file of a sink at `path` is one that the daemon can append to, before root writes to
/// it. A file that is not there yet is made for the user of the daemon.
///
/// # Errors
/// A sentence, where that user could not append to the file, or where nothing says which user it is.
pub(super) fn make_sink_file(config: &Config, path: &Path) -> Result<(), String> {
    match DaemonUser::of(config) {
        DaemonUser::Same => Ok(()),
        DaemonUser::Other(user, why) if path.exists() => may(&user, &why, path, Need::Write),
        DaemonUser::Other(user, why) if path.symlink_metadata().is_ok() => Err(format!(
            "{} is a link to what is not there, and nothing is made through it: the daemon runs as '{}', {why}; \
             make the file as that user, or remove the link",
            path.display(),
            user.name
        )),
        DaemonUser::Other(user, why) => {
            may(&user, &why, folder_of(path), Need::Create)?;
            let file = match OpenOptions::new().append(true).create_new(true).mode(0o600).open(path) {
                Ok(file) => file,
                // The sink would append to it, whatever it is by now.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    return Err(format!("{} was created by another process at this moment: try again", path.display()));
                }
                // What stands in the way of making it, the sink says when it tries the same.
                Err(_) => return Ok(()),
            };
            access::give_to(&user, &file)
                .map_err(|error| format!("{} cannot be given to the user '{}': {error}", path.display(), user.name))
        }
        DaemonUser::Unknown if path.exists() || is_roots_alone(folder_of(&config.ledger)) => Ok(()),
        DaemonUser::Unknown => Err(format!(
            "{} would belong to root, and nothing says which user the daemon runs as: run this as that user \
             ('sudo -u USER reveille test-sink'), or after the daemon has made its ledger",
            path.display()
        )),
    }
}

/// Whether `user`, which is the daemon's for the reason `why`, may do what it needs at `path`.
fn may(user: &User, why: &str, path: &Path, need: Need) -> Result<(), String> {
    match denied(user, path, need) {
        None => Ok(()),
        Some(denied) => Err(format!("the daemon runs as '{}', {why}, and {}", user.name, denied.sentence(true))),
    }
}

/// Whether root alone may make files in `folder`: a daemon that has its ledger there runs as root.
fn is_roots_alone(folder: &Path) -> bool {
    fs::metadata(folder).is_ok_and(|metadata| metadata.uid() == 0 && metadata.mode() & 0o022 == 0)
}

/// What `user` may not read in the watched folder `root`.
fn unreadable(user: &User, root: &Path) -> Option<String> {
    let (mut folders, mut left) = (vec![(root.to_owned(), 0)], ENTRIES);
    let mut found: Vec<Denied> = Vec::new();
    while let Some((folder, depth)) = folders.pop() {
        if let Some(denied) = denied(user, &folder, Need::List) {
            found.push(denied);
            continue;
        }
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            left = left.saturating_sub(1);
            if left == 0 || name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() && depth < DEPTH => folders.push((path, depth + 1)),
                Ok(metadata) if metadata.is_file() => found.extend(denied(user, &path, Need::Read)),
                _ => {}
            }
        }
    }
    let first = found.first()?;
    let more = match found.len() {
        1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    Some(format!("{first}{more}: {}", first.remedy(false)))
}

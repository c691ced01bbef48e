//! `check` as root: what the user that the daemon runs as may read and write. Root may everything, so that what root can open
//! says nothing of the daemon; owners and modes do.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::access::{Denied, Need, User, denied};
use crate::config::{Config, SinkKind, Source, SourceKind};
use crate::ledger;

/// The user that packaging/reveille.service names.
const SERVICE: &str = "reveille";
/// So many entries of a watched folder are looked at.
const ENTRIES: usize = 100_000;
/// A calendar is at most so deep in a watched folder, and its objects one deeper.
const DEPTH: usize = 3;

/// Whose rights `check` is about, where that is not the user that runs it.
#[derive(Debug)]
pub(super) enum Daemon {
    /// The user that runs `check`.
    Same,
    /// Another one, and how that is known.
    Other(User, String),
    /// Root runs `check`, and nothing says which user the daemon runs as.
    Unknown,
}

impl Daemon {
    /// The user that owns the ledger, or its folder where that is not there, or that is called `reveille`.
    pub(super) fn of(config: &Config) -> Daemon {
        let current = User::current();
        if !current.is_root() {
            return Daemon::Same;
        }
        let folder = folder(&config.ledger);
        let owner = |path: &Path| fs::metadata(path).ok().map(|metadata| metadata.uid());
        match (owner(&config.ledger), owner(folder)) {
            (Some(0), _) => Daemon::Same,
            (Some(id), _) => Daemon::Other(User::with_id(id), "which owns the ledger".to_owned()),
            (None, Some(id)) if id != 0 => Daemon::Other(User::with_id(id), format!("which owns {}", folder.display())),
            _ => match User::named(SERVICE) {
                Some(user) => Daemon::Other(user, "which the service runs as".to_owned()),
                None => Daemon::Unknown,
            },
        }
    }
}

/// What `user` lacks to read and write what `config` names: what it is for, its name, and a sentence.
pub(super) fn lacking(config: &Config, user: &User) -> Vec<(&'static str, String, String)> {
    let told = |denied: &Denied, owned: bool| format!("{denied}: {}", denied.remedy(owned));
    let mut lacking = Vec::new();
    if let Some(denied) = config.file.as_ref().and_then(|file| denied(user, file, Need::Read)) {
        lacking.push(("configuration", String::new(), told(&denied, false)));
    }
    if let Some(denied) = ledger::denied(user, &config.ledger) {
        lacking.push(("ledger", config.ledger.display().to_string(), told(&denied, true)));
    }
    for source in &config.sources {
        let sentence = match &source.kind {
            SourceKind::Directory { path, .. } => unreadable(user, path),
            SourceKind::Caldav(_) => {
                private(source).find_map(|file| denied(user, &file, Need::Read)).map(|denied| told(&denied, true))
            }
        };
        lacking.extend(sentence.map(|sentence| ("source", source.name.clone(), sentence)));
    }
    for sink in &config.sinks {
        let found = match &sink.kind {
            SinkKind::Stdout { .. } => None,
            SinkKind::File { path, .. } if path.exists() => denied(user, path, Need::Write),
            SinkKind::File { path, .. } => denied(user, folder(path), Need::Create),
            SinkKind::CyrusNotify { path, .. } => denied(user, path, Need::Write),
            SinkKind::Email(email) => email.ca_file.as_ref().and_then(|file| denied(user, file, Need::Read)),
        };
        let is_file = matches!(sink.kind, SinkKind::File { .. });
        lacking.extend(found.map(|denied| ("sink", sink.name.clone(), told(&denied, is_file))));
    }
    lacking
}

/// The files that a CalDAV source needs.
fn private(source: &Source) -> impl Iterator<Item = PathBuf> {
    let ca_file = match &source.kind {
        SourceKind::Caldav(settings) => settings.ca_file.clone(),
        SourceKind::Directory { .. } => None,
    };
    ca_file.into_iter()
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

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

//! Calendar files that the command line names: reading them within bounds, and the calendar that each of them is in, as
//! `run` would see it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::calendar_info::CalendarInfo;
use crate::config::{Config, DirectorySettings, Layout, SourceAlarms, SourceConfig, SourceKind};
use crate::source::directory;

/// The calendar that a file is in.
#[derive(Debug)]
pub(super) struct InputCalendar {
    pub(super) info: CalendarInfo,
    /// What says which zone its user's is.
    pub(super) user_zone: UserZone,
}

/// Whose files these are, if the command line says so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whose<'a> {
    /// The user's addresses; the first one is userId.
    pub(super) users: &'a [String],
    /// The user's zone, which exists.
    pub(super) zone: Option<&'a str>,
}

/// What says which zone the user's is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UserZone {
    /// `--zone`.
    Option,
    /// `zone` of the user in `[users]`.
    User,
    /// The source's `zone`.
    Source,
    /// `zone` in `[defaults]`.
    Defaults,
}

impl UserZone {
    /// What says which zone is that of `user`, whose calendar is one of `source`.
    pub(super) fn of(source: Option<&SourceConfig>, config: &Config, user: &str) -> UserZone {
        if config.users.get(user).is_some_and(|user| user.zone.is_some()) {
            UserZone::User
        } else if source.is_some_and(|source| source.zone.is_some()) {
            UserZone::Source
        } else {
            UserZone::Defaults
        }
    }
}

/// The octets of the file at `path`.
///
/// # Errors
/// A sentence that names it, when it cannot be read or is larger than `limits.max_object_size`.
pub(super) fn read(path: &Path, config: &Config) -> Result<Vec<u8>, String> {
    let name = path.display();
    let file = File::open(path).map_err(|error| format!("{name} cannot be read: {error}"))?;
    bounded(file, config).map_err(|why| format!("{name} {why}"))
}

/// The octets of standard input.
///
/// # Errors
/// As for [`read`].
pub(super) fn standard_input(config: &Config) -> Result<Vec<u8>, String> {
    bounded(io::stdin().lock(), config).map_err(|why| format!("standard input {why}"))
}

fn bounded(from: impl Read, config: &Config) -> Result<Vec<u8>, String> {
    let limit = config.limits.objects.max_object_size;
    let mut octets = Vec::new();
    // One octet more than allowed shows that there is too much.
    let read = from.take(limit as u64 + 1).read_to_end(&mut octets);
    read.map_err(|error| format!("cannot be read: {error}"))?;
    if octets.len() > limit {
        return Err(format!("has more than {limit} octets, which is what limits.max_object_size allows"));
    }
    Ok(octets)
}

/// The calendar that the file at `path` is in: to the configured source that watches it, else as if `root` were
/// watched, else the folder that it lies in. Without a path it is one called `calendar`.
pub(super) fn calendar(path: Option<&Path>, root: Option<&Path>, config: &Config, whose: Whose<'_>) -> InputCalendar {
    let folder = path.and_then(|path| fs::canonicalize(path).ok()).and_then(|real| real.parent().map(Path::to_owned));
    let given = || CalendarInfo {
        href: ".".to_owned(),
        id: "calendar".to_owned(),
        name: "calendar".to_owned(),
        user: login(),
        ..CalendarInfo::default()
    };
    let mut info = folder.and_then(|folder| watched(&folder, root, config)).unwrap_or_else(given);
    let user_zone = match (whose.zone, &info.user_zone, UserZone::of(None, config, &info.user)) {
        (Some(_), _, _) => UserZone::Option,
        (None, Some(_), UserZone::User) => UserZone::User,
        (None, Some(_), _) => UserZone::Source,
        (None, None, _) => UserZone::Defaults,
    };
    info.user_zone = whose.zone.map(str::to_owned).or(info.user_zone).or_else(|| config.defaults.zone.clone());
    if let Some(user) = whose.users.first() {
        if info.owner == info.user {
            info.owner.clone_from(user);
        }
        info.user.clone_from(user);
        info.emails = whose.users.to_vec();
    }
    if info.owner.is_empty() {
        info.owner.clone_from(&info.user);
    }
    InputCalendar { info, user_zone }
}

fn watched(folder: &Path, root: Option<&Path>, config: &Config) -> Option<CalendarInfo> {
    let max_size = config.limits.objects.max_object_size;
    let configured = config.sources.iter().find_map(|source| match &source.kind {
        SourceKind::Directory(settings) => directory::calendar_in(source, settings, folder, max_size),
        SourceKind::Caldav(_) | SourceKind::Ics(_) => None,
    });
    let by_itself = |root: &Path| {
        let settings = DirectorySettings {
            path: root.to_owned(),
            layout: Layout::Auto,
            rescan_interval: Default::default(),
            follow_links: Vec::new(),
        };
        let kind = SourceKind::Directory(settings.clone());
        let (name, login) = (String::new(), login());
        let (users, email, calendars) = (config.users.clone(), Vec::new(), Vec::new());
        let source = SourceConfig {
            name,
            user: None,
            login,
            email,
            zone: None,
            users,
            calendars,
            alarms: SourceAlarms::default(),
            kind,
            write: false,
            origin: None,
        };
        directory::calendar_in(&source, &settings, folder, max_size)
    };
    configured.or_else(|| by_itself(root?)).or_else(|| by_itself(folder))
}

fn login() -> String {
    let named = |name| std::env::var(name).ok().filter(|login: &String| !login.trim().is_empty());
    named("USER").or_else(|| named("LOGNAME")).unwrap_or_else(|| "user".to_owned())
}

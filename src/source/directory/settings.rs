//! The settings of a watched folder, and what they make of a calendar in it.

use std::path::PathBuf;
use std::sync::Arc;

use super::folder::Folder;
use super::links::Links;
use super::properties::FolderMemory;
use super::tree::Tree;
use super::watch::Watch;
use crate::config::{CalendarNames, DirectorySettings, Layout, ONE_USER, SourceConfig};
use crate::source::contract::{CalendarInfo, DefaultAlarmTexts};
use crate::text::matches_pattern;
use crate::time::UtcMillis;

/// What the blocking parts need to know.
#[derive(Debug)]
pub(super) struct FolderSettings {
    pub path: PathBuf,
    layout: Layout,
    user: String,
    user_is_given: bool,
    /// With the addresses and zones of its users.
    source: SourceConfig,
    calendars: Vec<String>,
    pub max_size: usize,
    follow_links: Vec<PathBuf>,
    /// What is known of the calendars there.
    pub memory: FolderMemory,
}

impl FolderSettings {
    pub(super) fn new(source: &SourceConfig, settings: &DirectorySettings, max_size: usize) -> FolderSettings {
        FolderSettings {
            path: settings.path.clone(),
            layout: settings.layout,
            user: source.user.as_ref().unwrap_or(&source.login).clone(),
            user_is_given: source.user.is_some(),
            source: source.clone(),
            calendars: source.calendars.clone(),
            max_size,
            follow_links: settings.follow_links.clone(),
            memory: FolderMemory::default(),
        }
    }

    /// The watched folder, whose real path is `root`, as it is at the instant `now`.
    pub(super) fn tree(&self, root: PathBuf, watch: Option<Arc<Watch>>, now: UtcMillis) -> Tree<'_> {
        let links = Links::new(&root, &self.follow_links);
        Tree { root, layout: self.layout, max_size: self.max_size, links, memory: &self.memory, watch, now }
    }

    /// Whether the calendar called `name` in the folder with this href and id is to be watched.
    pub(super) fn wants(&self, name: &str, href: &str, id: &str) -> bool {
        let named =
            |pattern: &String| matches_pattern(pattern, name) || matches_pattern(pattern, href) || *pattern == id;
        self.calendars.is_empty() || self.calendars.iter().any(named)
    }

    /// The calendar that `folder` is; none for one that the settings leave out.
    pub(super) fn seen(&self, folder: &Folder) -> Option<CalendarInfo> {
        if !self.wants(&folder.name, &folder.href, &folder.id) {
            return None;
        }
        let user = match &folder.user {
            Some(user) if !self.user_is_given => user,
            _ => &self.user,
        };
        let emails = match self.emails(folder, user) {
            [] if user.contains('@') => vec![user.clone()],
            emails => emails.to_vec(),
        };
        let names = CalendarNames { name: &folder.name, path: &folder.href, id: &folder.id };
        let owner = folder.owner.as_ref().unwrap_or(user);
        let alarms = self.source.alarms_of(user, names, owner != user, DefaultAlarmTexts::default());
        Some(CalendarInfo {
            href: folder.href.clone(),
            id: folder.id.clone(),
            user: user.clone(),
            owner: owner.clone(),
            emails,
            name: folder.name.clone(),
            color: folder.color.clone(),
            zone: folder.zone.clone(),
            user_zone: self.source.zone_of(user).map(str::to_owned),
            default_alarms: alarms.defaults,
            alarms_ignored_by: alarms.ignored_by,
            shared_alarms: alarms.shared,
            all_day_at: alarms.all_day_at,
            privileges: None,
        })
    }

    /// The addresses of `user` that are configured. Those of the source are not meant where it has several users.
    fn emails<'s>(&'s self, folder: &Folder, user: &str) -> &'s [String] {
        match self.source.users.get(user) {
            Some(known) if !known.email.is_empty() => &known.email,
            _ if self.is_of_many(folder) => &[],
            _ => &self.source.email,
        }
    }

    /// Whether the folder's place says whose alarms these are: then there may be several users.
    fn is_of_many(&self, folder: &Folder) -> bool {
        folder.user.is_some() && !self.user_is_given
    }

    /// What is wrong with the settings, as `folders` show.
    pub(super) fn fault(&self, folders: &[Folder]) -> Option<String> {
        let of_many = folders.iter().any(|folder| self.seen(folder).is_some() && self.is_of_many(folder));
        (of_many && !self.source.email.is_empty()).then(|| format!("email {ONE_USER}"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::SourceKind;

    #[test]
    fn a_calendar_is_named_by_its_name_its_place_or_its_id() {
        let folder = DirectorySettings {
            path: PathBuf::from("calendars"),
            layout: Layout::Auto,
            rescan_interval: Duration::ZERO,
            follow_links: Vec::new(),
        };
        let wants = |pattern: &str| {
            let source = SourceConfig {
                name: "calendars".to_owned(),
                user: None,
                login: "mary".to_owned(),
                email: Vec::new(),
                zone: None,
                users: Arc::default(),
                calendars: vec![pattern.to_owned()],
                alarms: Default::default(),
                kind: SourceKind::Directory(folder.clone()),
                write: false,
                origin: None,
            };
            let settings = FolderSettings::new(&source, &folder, 1_000);
            settings.wants("My work", "mary/w*", "w*")
        };
        for named in ["My work", "My*", "mary/w*", "mary/*", "*"] {
            assert!(wants(named), "{named}");
        }
        assert!(!wants("My") && !wants("work") && !wants("w"));
        assert!(wants("w*"), "an id may end in an asterisk");
    }
}

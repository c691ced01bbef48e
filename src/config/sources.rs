//! `[[source]]`: what is watched.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::context::ReadContext;
use super::settings::{
    CaldavSettings, Config, Defaults, DirectorySettings, Layout, OwnDomains, SourceConfig, SourceKind, Users,
};
use crate::tables::names::{self, free_name};
use crate::tables::{Credentials, Section, address, secret, value};

const RESCAN_INTERVAL: Duration = Duration::from_secs(15 * 60);
const POLL_INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);

/// What is wrong with `email` where a source has the calendars of several users.
pub const ONE_USER: &str =
    "is one user's, and the folders of this source belong to several: write them as [users.\"NAME\"] email = [...]";

#[derive(Clone, Copy, PartialEq)]
enum SourceKindName {
    Caldav,
    Directory,
}

const KINDS: [(&str, SourceKindName); 2] =
    [("caldav", SourceKindName::Caldav), ("directory", SourceKindName::Directory)];

const LAYOUTS: [(&str, Layout); 4] =
    [("auto", Layout::Auto), ("flat", Layout::Flat), ("vdir", Layout::Vdir), ("radicale", Layout::Radicale)];

/// What the rest of the configuration says for all sources.
pub(super) struct SharedSettings<'a> {
    pub(super) defaults: &'a Defaults,
    pub(super) users: &'a Arc<Users>,
}

/// Reads all sources.
pub(super) fn read(
    sections: Vec<Section<'_>>,
    shared: &SharedSettings<'_>,
    reader: &ReadContext<'_>,
) -> Vec<SourceConfig> {
    let mut sources: Vec<SourceConfig> = Vec::new();
    for mut section in sections {
        let kind = section.required("kind", value::one_of(&KINDS));
        let taken = |name: &str| sources.iter().any(|source| source.name == name);
        let word = KINDS.iter().find(|(_, known)| Some(*known) == kind).map(|(word, _)| *word);
        let name = names::name(&mut section, word, &taken);
        // Which keys belong to a source of an unknown kind is unknown too.
        if let Some(kind) = kind {
            sources.extend(read_one(section, name, kind, shared, reader));
        }
    }
    sources
}

fn read_one(
    section: Section<'_>,
    name: String,
    kind: SourceKindName,
    shared: &SharedSettings<'_>,
    reader: &ReadContext<'_>,
) -> Option<SourceConfig> {
    let user = section.read("user", value::string);
    let email = section.read("email", address::emails).unwrap_or_default();
    let zone = section.read("zone", |value| reader.zone(value));
    let calendars = section.read("calendars", value::strings).unwrap_or_default();
    let (user, kind) = match kind {
        SourceKindName::Directory => (user, directory(&section, reader)),
        SourceKindName::Caldav => {
            let username = section.read("username", value::string);
            (user.or(username.clone()), caldav(&section, username, shared.defaults, reader))
        }
    };
    let many =
        matches!(&kind, Some(SourceKind::Directory(folder)) if folder.layout == Layout::Radicale) && user.is_none();
    if many && !email.is_empty() {
        section.report("email", ONE_USER);
    }
    section.finish();
    let users = shared.users.clone();
    Some(SourceConfig { name, user, login: reader.login(), email, zone, users, calendars, kind: kind? })
}

fn directory(section: &Section<'_>, reader: &ReadContext<'_>) -> Option<SourceKind> {
    let layout = section.read("layout", value::one_of(&LAYOUTS)).unwrap_or(Layout::Auto);
    let rescan_interval = section.read("rescan_interval", value::duration).unwrap_or(RESCAN_INTERVAL);
    let path = reader.path(&section.required("path", value::string)?);
    let follow_links = section.read("follow_links", value::strings).unwrap_or_default();
    let follow_links = follow_links.iter().map(|written| reader.path(written)).collect();
    Some(SourceKind::Directory(DirectorySettings { path, layout, rescan_interval, follow_links }))
}

fn caldav(
    section: &Section<'_>,
    username: Option<String>,
    defaults: &Defaults,
    reader: &ReadContext<'_>,
) -> Option<SourceKind> {
    let allow_plaintext = section.read("allow_plaintext", value::boolean).unwrap_or(false);
    let url = section.required("url", |value| address::caldav(value, allow_plaintext));
    let poll_interval = section.read("poll_interval", value::duration).unwrap_or(POLL_INTERVAL);
    let timeout = section.read("timeout", value::duration).unwrap_or(TIMEOUT);
    let default_alarms = section.read("default_alarms", value::boolean).unwrap_or(false);
    let ca_file = section.read("ca_file", value::string).map(|written| reader.path(&written));
    let own_domains = section.read("own_domains", address::domains).or_else(|| defaults.own_domains.clone());
    let credentials = credentials(section, username);
    let url = url?;
    let usual = || OwnDomains::Usual(address::usual_domains(&url, &defaults.server_name));
    let own_domains = own_domains.map_or_else(usual, OwnDomains::Listed);
    Some(SourceKind::Caldav(CaldavSettings {
        url,
        credentials,
        poll_interval,
        own_domains,
        default_alarms,
        timeout,
        ca_file,
    }))
}

fn credentials(section: &Section<'_>, username: Option<String>) -> Credentials {
    let password = secret::read(section, &secret::PASSWORD);
    let token = secret::read(section, &secret::TOKEN);
    let names_password = secret::PASSWORD.named(section);
    let names_token = secret::TOKEN.named(section);
    match (&username, names_password, names_token) {
        (_, Some(_), Some(token)) => section.report(token, "and a password are given: one of them logs in"),
        (None, Some(password), None) => section.report(password, "is given without a username"),
        (Some(_), None, None) => {
            section.report("username", "is given without a password: add password_file, password_env or token_file");
        }
        _ => {}
    }
    match (username, password, token) {
        (_, _, Some(token)) => Credentials::Bearer { token },
        (Some(username), Some(password), None) => Credentials::Basic { username, password },
        _ => Credentials::None,
    }
}

/// A folder that the command line names, in addition to the sources of `config`.
pub(super) fn watched(folder: &Path, config: &Config, reader: &ReadContext<'_>) -> SourceConfig {
    let last = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let stem = last.file_name().map_or_else(|| "watch".to_owned(), |name| name.to_string_lossy().into_owned());
    let taken = |name: &str| config.sources.iter().any(|other| other.name == name);
    let kind = SourceKind::Directory(DirectorySettings {
        path: folder.to_owned(),
        layout: Layout::Auto,
        rescan_interval: RESCAN_INTERVAL,
        follow_links: Vec::new(),
    });
    SourceConfig {
        name: free_name(&stem, &taken),
        user: None,
        login: reader.login(),
        email: Vec::new(),
        zone: None,
        users: config.users.clone(),
        calendars: Vec::new(),
        kind,
    }
}

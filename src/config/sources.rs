//! `[[source]]`: what is watched.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeTable;

use super::alarms::{self, SourceAlarms};
use super::context::{ReadContext, read_file};
use super::credentials;
use super::server_users::ServerAnswer;
use super::settings::{
    AccountProblem, CaldavSettings, Config, Defaults, DirectorySettings, IcsSettings, Layout, OwnDomains, SourceConfig,
    SourceKind, UserListing, Users,
};
use super::user_list::UserList;
use crate::tables::names::{self, free_name};
use crate::tables::{Credentials, Problem, Replacement, SecretRef, Section, address, secret, value};

const RESCAN_INTERVAL: Duration = Duration::from_secs(15 * 60);
const POLL_INTERVAL: Duration = Duration::from_secs(30);
/// So rarely at most is an account polled while hints announce what changes in it.
const HINTED_POLL_INTERVAL: Duration = Duration::from_secs(15 * 60);
const TIMEOUT: Duration = Duration::from_secs(30);
/// A feed that says nothing of it is fetched this often; and one that does, within these bounds.
const FEED_INTERVAL: Duration = Duration::from_secs(15 * 60);
const MIN_FEED_INTERVAL: Duration = Duration::from_secs(5 * 60);
const MAX_FEED_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// What stands for the user in a source that is one for each user of a list.
const PLACEHOLDER: &str = "{user}";

/// A user for whom every such source can be read.
const SAMPLE: &str = "user";

/// Another one.
const OTHER_SAMPLE: &str = "another";

/// A server is asked for its users this often.
const LIST_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// What is wrong with `email` where a source has the calendars of several users.
pub const ONE_USER: &str =
    "is one user's, and the folders of this source belong to several: write them as [users.\"NAME\"] email = [...]";

#[derive(Clone, Copy, PartialEq)]
enum SourceKindName {
    Caldav,
    Directory,
    Ics,
}

const KINDS: [(&str, SourceKindName); 3] =
    [("caldav", SourceKindName::Caldav), ("directory", SourceKindName::Directory), ("ics", SourceKindName::Ics)];

const LAYOUTS: [(&str, Layout); 4] =
    [("auto", Layout::Auto), ("flat", Layout::Flat), ("vdir", Layout::Vdir), ("radicale", Layout::Radicale)];

/// What reading a source needs besides its table.
#[derive(Clone, Copy)]
pub(super) struct SourceContext<'a> {
    /// What the rest of the configuration says for all sources.
    pub(super) defaults: &'a Defaults,
    pub(super) users: &'a Arc<Users>,
    pub(super) reader: &'a ReadContext<'a>,
}

/// What was read of all `[[source]]`.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) sources: Vec<SourceConfig>,
    /// The lists of users that some are made of.
    pub(super) lists: Vec<PathBuf>,
    /// Some are made of what a command prints.
    pub(super) commands: bool,
    /// Those that are made of what a server lists.
    pub(super) listings: Vec<UserListing>,
    /// All names that are taken, those of sources with a list included.
    names: BTreeSet<String>,
    /// Lines of such lists that name no user.
    pub(super) problems: Vec<AccountProblem>,
}

/// Reads all sources.
pub(super) fn read(sections: Vec<Section<'_>>, context: &SourceContext<'_>) -> Sources {
    let mut read = Sources::default();
    for mut section in sections {
        let kind = section.required("kind", value::one_of(&KINDS));
        let taken = |name: &str| read.names.contains(name);
        let word = KINDS.iter().find(|(_, known)| Some(*known) == kind).map(|(word, _)| *word);
        let name = names::name(&mut section, word, &taken);
        read.names.insert(name.clone());
        // Which keys belong to a source of an unknown kind is unknown too.
        let Some(kind) = kind else { continue };
        if LISTS.iter().any(|key| section.has(key)) {
            read_each(&section, &name, kind, context, &mut read);
        } else {
            read.sources.extend(read_one(section, name, kind, None, context));
        }
    }
    read
}

/// Reads the account `name`, whose file is `section`.
pub(super) fn read_account(section: Section<'_>, name: &str, context: &SourceContext<'_>) -> Option<SourceConfig> {
    let kind = section.required("kind", value::one_of(&KINDS))?;
    read_one(section, name.to_owned(), kind, None, context)
}

/// Reads `section` once for each user of its list, whose name stands for [`PLACEHOLDER`].
fn read_each(section: &Section<'_>, name: &str, kind: SourceKindName, context: &SourceContext<'_>, read: &mut Sources) {
    let listed = listed_users(section, name, context.reader);
    let listing = server_listing(section, name, kind, context);
    let Some(Listed { list, fault: outdated, is_pending, key, origin }) = listed else { return };
    read.listings.extend(listing);
    let file = origin.clone().filter(|_| key == "users_file");
    read.commands |= key == "users_command";
    read.lists.extend(file.clone());
    let fault = |account: String, sentence: String| AccountProblem {
        account,
        problem: Problem { file: file.clone(), line: None, key: Some(format!("source.{key}")), sentence },
        is_pending: false,
    };
    let list = list.unwrap_or_else(|why| {
        let fault = fault(format!("{name}:*"), format!("source '{name}': {key} {why}"));
        read.problems.push(AccountProblem { is_pending, ..fault });
        UserList::default()
    });
    read.problems.extend(outdated.map(|why| fault(format!("{name}:*"), format!("source '{name}': {key} {why}"))));
    read.problems.extend(list.faults.into_iter().map(|sentence| fault(format!("{name}:"), sentence)));
    // What is wrong for any user is a mistake of the configuration.
    let table = replaced(section, SAMPLE);
    read_one(section.with_table(&table), name.to_owned(), kind, Some(SAMPLE.to_owned()), context);
    if section.has_problems() {
        return;
    }
    for user in list.users {
        let (table, diagnostics) = (replaced(section, &user), section.diagnostics());
        let account = format!("{name}:{user}");
        if read.names.contains(&account) {
            read.problems
                .push(fault(account.clone(), format!("'{account}' is the name of another source too: rename one")));
            continue;
        }
        read.names.insert(account.clone());
        let one = section.with_table(&table).reporting_to(&diagnostics);
        let source = read_one(one, account.clone(), kind, Some(user), context);
        let problems = diagnostics.into_problems();
        read.sources.extend(
            source.filter(|_| problems.is_empty()).map(|source| SourceConfig { origin: origin.clone(), ..source }),
        );
        let of_account = |problem| AccountProblem { account: account.clone(), problem, is_pending: false };
        read.problems.extend(problems.into_iter().map(of_account));
    }
}

/// The table of `section` as it is for `user`.
fn replaced<'a>(section: &Section<'a>, user: &str) -> DeTable<'a> {
    let in_urls = address::path_segment(user);
    section.replaced(PLACEHOLDER, &Replacement { in_urls: &in_urls, elsewhere: user })
}

/// Users, and the file that lists them.
struct Listed {
    /// Why it cannot be read, if it cannot.
    list: Result<UserList, String>,
    /// Why it is an old one.
    fault: Option<String>,
    /// The server that it comes from has not answered yet.
    is_pending: bool,
    key: &'static str,
    /// The file, or the key of the command; none for those that the configuration itself names.
    origin: Option<PathBuf>,
}

/// The keys that name the users of a source, of which it has one at most.
const LISTS: [&str; 4] = ["users", "users_file", "users_command", SERVER];

/// The one that says that the server lists them.
const SERVER: &str = "users_from_server";

fn listed_users(section: &Section<'_>, name: &str, reader: &ReadContext<'_>) -> Option<Listed> {
    let mut named = LISTS.into_iter().filter(|key| section.has(key));
    let key = named.next()?;
    if let Some(second) = named.next() {
        section.report(second, &format!("and {key} are given: one of them lists the users"));
        return None;
    }
    if key == SERVER {
        let (list, fault) = users_of_server(name, reader);
        let is_pending = reader.server_users().is_some_and(|noted| noted.of(name).is_none());
        return Some(Listed { list, fault, is_pending, key, origin: Some(PathBuf::from(key)) });
    }
    let written = section.read(key, value::strings)?;
    let (origin, list) = match (key, written.as_slice()) {
        ("users_file", [file]) => {
            let file = reader.path(file);
            let unreadable = |why| format!("{} cannot be read: {why}", file.display());
            let list = read_file(&file).map(|text| UserList::of_text(&text)).map_err(unreadable);
            (file, list)
        }
        ("users_file", _) => {
            section.report(key, "must be one file");
            return None;
        }
        ("users", _) => (PathBuf::from(key), Ok(UserList::of(written))),
        _ => (PathBuf::from(key), UserList::of_command(&written)),
    };
    Some(Listed { list, fault: None, is_pending: false, key, origin: Some(origin).filter(|_| key != "users") })
}

/// The users that the server of the source `name` has listed, and why it has not done so since. Where it is not asked,
/// none.
fn users_of_server(name: &str, reader: &ReadContext<'_>) -> (Result<UserList, String>, Option<String>) {
    let Some(noted) = reader.server_users() else { return (Ok(UserList::default()), None) };
    let why = |fault| format!("cannot be had: {fault}");
    match noted.of(name) {
        Some(ServerAnswer { users: Some(users), fault }) => (Ok(UserList::of(users)), fault.map(why)),
        Some(ServerAnswer { fault: Some(fault), .. }) => (Err(why(fault)), None),
        _ => (Err("cannot be had: the server has not listed its users yet".to_owned()), None),
    }
}

/// How the server of the source `name`, which is one for each of its users, is asked for them. What is wrong with that
/// is reported.
fn server_listing(
    section: &Section<'_>,
    name: &str,
    kind: SourceKindName,
    context: &SourceContext<'_>,
) -> Option<UserListing> {
    let interval = section.read("users_interval", value::duration);
    if !section.has(SERVER) {
        if interval.is_some() {
            section.report("users_interval", "says how often a server lists its users: add users_from_server = true");
        }
        return None;
    }
    if section.read(SERVER, value::boolean) == Some(false) {
        section.report(SERVER, "is false: leave it out, and name the users by another key");
    }
    if kind != SourceKindName::Caldav {
        section.report(SERVER, "is for a source of kind caldav");
        return None;
    }
    let written = section.read("url", value::string)?;
    let Some(base) = before_user(&written) else {
        section.report("url", "needs {user} in its path: what is before that is asked for the users");
        return None;
    };
    // Whatever is wrong is reported when it is read for a user.
    let settings = |user: &str| {
        let (table, diagnostics) = (replaced(section, user), section.diagnostics());
        let one = section.with_table(&table).reporting_to(&diagnostics);
        match read_one(one, name.to_owned(), kind, Some(user.to_owned()), context)?.kind {
            SourceKind::Caldav(settings) => Some(CaldavSettings { url: base.clone(), authorize_as: None, ..settings }),
            _ => None,
        }
    };
    let (one, other) = (settings(SAMPLE)?, settings(OTHER_SAMPLE)?);
    if one != other {
        section
            .report(SERVER, "needs a login that is the same for all users: {user} may be in url, user and email only");
        return None;
    }
    Some(UserListing { source: name.to_owned(), settings: one, interval: interval.unwrap_or(LIST_INTERVAL) })
}

/// The part of `url` that is before the segment of its path that has the user.
fn before_user(url: &str) -> Option<String> {
    let (before, _) = url.split_once(PLACEHOLDER)?;
    let base = before.get(..=before.rfind('/')?)?;
    address::url(base, "https://HOST/").ok().map(|url| url.to_string())
}

fn read_one(
    section: Section<'_>,
    name: String,
    kind: SourceKindName,
    listed: Option<String>,
    context: &SourceContext<'_>,
) -> Option<SourceConfig> {
    let SourceContext { users, reader, .. } = *context;
    let user = section.read("user", value::string).or(listed);
    let email = section.read("email", address::emails).unwrap_or_default();
    let zone = section.read("zone", |value| reader.zone(value));
    let of_several = kind != SourceKindName::Ics;
    let calendars = of_several.then(|| section.read("calendars", value::strings)).flatten().unwrap_or_default();
    let write = of_several && section.read("write", value::boolean).unwrap_or(false);
    let (all, of_server) = alarms::read(&section, kind == SourceKindName::Caldav);
    let rules = if of_several { alarms::read_rules(&section) } else { Vec::new() };
    let (user, kind) = match kind {
        SourceKindName::Directory => (user, directory(&section, reader)),
        SourceKindName::Caldav => {
            let username = section.read("username", value::string);
            (user.or(username.clone()), caldav(&section, username, of_server, context))
        }
        SourceKindName::Ics => {
            let username = section.read("username", value::string);
            let user = user.or(username.clone());
            if user.is_none() {
                section.report("user", "is missing: a feed does not say whose alarms they are");
            }
            (user, ics(&section, username, reader))
        }
    };
    let many =
        matches!(&kind, Some(SourceKind::Directory(folder)) if folder.layout == Layout::Radicale) && user.is_none();
    if many && !email.is_empty() {
        section.report("email", ONE_USER);
    }
    section.finish();
    let (users, login, alarms) = (users.clone(), reader.login(), SourceAlarms { rules, all });
    Some(SourceConfig { name, user, login, email, zone, users, calendars, alarms, write, kind: kind?, origin: None })
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
    default_alarms: bool,
    context: &SourceContext<'_>,
) -> Option<SourceKind> {
    let SourceContext { defaults, reader, .. } = *context;
    let allow_plaintext = section.read("allow_plaintext", value::boolean).unwrap_or(false);
    let url = section.required("url", |value| address::caldav(value, allow_plaintext));
    let poll_interval = section.read("poll_interval", value::duration).unwrap_or(POLL_INTERVAL);
    let max_poll_interval = section.read("max_poll_interval", value::duration).unwrap_or(poll_interval);
    if max_poll_interval < poll_interval {
        section.report("max_poll_interval", "is shorter than poll_interval");
    }
    let hinted_poll_interval = section.read("hinted_poll_interval", value::duration);
    if hinted_poll_interval.is_some_and(|hinted| hinted < poll_interval) {
        section.report("hinted_poll_interval", "is shorter than poll_interval");
    } else if hinted_poll_interval.is_some_and(|hinted| hinted < max_poll_interval) {
        section.report("hinted_poll_interval", "is shorter than max_poll_interval");
    }
    let timeout = section.read("timeout", value::duration).unwrap_or(TIMEOUT);
    let ca_file = section.read("ca_file", value::string).map(|written| reader.path(&written));
    let client_certificate = credentials::client_certificate(section, url.as_deref());
    let own_domains = section.read("own_domains", address::domains).or_else(|| defaults.own_domains.clone());
    let credentials = credentials::with_oauth2(section, username);
    let authorize_as = section.read("authorize_as", value::header);
    if authorize_as.is_some() && credentials == Credentials::None {
        section.report("authorize_as", "needs a login that may act for others: add username and password_file");
    }
    let url = url?;
    let usual = || OwnDomains::Usual(address::usual_domains(&url, &defaults.server_name));
    let own_domains = own_domains.map_or_else(usual, OwnDomains::Listed);
    Some(SourceKind::Caldav(CaldavSettings {
        url,
        credentials,
        poll_interval,
        max_poll_interval,
        hinted_poll_interval: hinted_poll_interval.unwrap_or(HINTED_POLL_INTERVAL.max(max_poll_interval)),
        own_domains,
        default_alarms,
        timeout,
        ca_file,
        client_certificate,
        authorize_as,
    }))
}

fn ics(section: &Section<'_>, username: Option<String>, reader: &ReadContext<'_>) -> Option<SourceKind> {
    let allow_plaintext = section.read("allow_plaintext", value::boolean).unwrap_or(false);
    let elsewhere = secret::URL.named(section);
    let url = match (section.has("url"), elsewhere) {
        (true, Some(second)) => {
            section.report(second, "is one place too many for the url: url names one as well");
            None
        }
        (false, Some(_)) => secret::read(section, &secret::URL),
        (_, None) => section.required("url", |written| {
            let written = value::string(written)?;
            address::feed(&written, allow_plaintext).map(|_| SecretRef::written("url", written))
        }),
    };
    let interval = section.read("interval", value::duration).unwrap_or(FEED_INTERVAL);
    let min_interval = section.read("min_interval", value::duration).unwrap_or(MIN_FEED_INTERVAL);
    let max_interval = section.read("max_interval", value::duration).unwrap_or(MAX_FEED_INTERVAL.max(min_interval));
    if max_interval < min_interval {
        section.report("max_interval", "is shorter than min_interval");
    }
    let calendar_name = section.read("calendar_name", value::string);
    let timeout = section.read("timeout", value::duration).unwrap_or(TIMEOUT);
    let ca_file = section.read("ca_file", value::string).map(|written| reader.path(&written));
    let credentials = credentials::read(section, username);
    Some(SourceKind::Ics(IcsSettings {
        url: url?,
        allow_plaintext,
        calendar_name,
        credentials,
        interval,
        min_interval,
        max_interval,
        timeout,
        ca_file,
    }))
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
        alarms: SourceAlarms::default(),
        kind,
        write: false,
        origin: None,
    }
}

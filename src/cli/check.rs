//! `reveille check`: what is wrong with the configuration, and what the sources and sinks say.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::admin_check;
use super::common::{block_on, length, sink_context};
use super::inventory::{Inventory, SettingsWarning};
use super::rights::{self, DaemonUser, Lacking};
use super::{Context, printer::Cell, printer::ExitStatus, printer::Style, printer::Table};
use crate::access::{self, Need};
use crate::clock::Clock;
use crate::config::{
    self, AccountProblem, Config, ConfigError, IcsSettings, Overrides, Problem, ServerUsers, SourceKind,
};
use crate::delivery::routing;
use crate::delivery::sink::any_sink::Sink;
use crate::ledger::{Inspector, LedgerError};
use crate::source::caldav::{CaldavSource, Checked};
use crate::source::directory::DirectorySource;
use crate::source::ics::{self, IcsSource};
use crate::source::{Absence, Change, ChangeBatch, Evidence, Known, StoreError, SyncStore, Taken};
use crate::time::{UtcMillis, elapsed};

/// Check the configuration, then every source and every sink
///
/// All problems of the configuration are reported at once. Then each source is read or logged in to, and each sink is
/// tried without sending anything. The exit status is 2 if the configuration is wrong, and 1 if something in it cannot
/// be used.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Skip what needs the network
    #[arg(long)]
    offline: bool,
}

/// `check --json`: one object a finding.
#[derive(Debug, Serialize)]
struct Finding {
    /// `configuration`, `ledger`, `source`, `calendarUser` or `sink`; `user`: that of the daemon.
    what: &'static str,
    name: String,
    kind: &'static str,
    /// Null for what was left out.
    ok: Option<bool>,
    /// It can be used, and is perhaps not what was meant.
    warning: bool,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<AccountFinding>,
}

/// What was found in a CalDAV account.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AccountFinding {
    /// Null where the server does not name itself.
    software: Option<String>,
    user: String,
    principal: Option<String>,
    addresses: Vec<String>,
    calendars: Vec<CalendarFinding>,
    poll: PollFinding,
    offers_push: bool,
}

/// A calendar of an account.
#[derive(Debug, Serialize)]
struct CalendarFinding {
    name: String,
    href: String,
    watched: bool,
    /// `report`, `ctag` or `listing`.
    changes: &'static str,
    /// Null where the listing names none.
    zone: Option<String>,
}

/// What a poll costs that finds nothing new.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PollFinding {
    requests: u64,
    octets: u64,
    milliseconds: u64,
    /// Seconds.
    interval: u64,
    /// Seconds, while hints announce what changes.
    hinted_interval: u64,
}

impl From<Checked> for AccountFinding {
    fn from(checked: Checked) -> AccountFinding {
        let calendars = checked.calendars.into_iter().map(|calendar| CalendarFinding {
            name: calendar.name,
            href: calendar.href,
            watched: calendar.is_watched,
            changes: calendar.detection.name(),
            zone: calendar.zone,
        });
        AccountFinding {
            calendars: calendars.collect(),
            software: checked.software.name,
            user: checked.user,
            principal: checked.principal,
            addresses: checked.addresses,
            poll: PollFinding {
                requests: checked.poll.requests,
                octets: checked.poll.octets,
                milliseconds: u64::try_from(checked.poll.elapsed.as_millis()).unwrap_or(u64::MAX),
                interval: checked.interval.as_secs(),
                hinted_interval: checked.hinted_interval.as_secs(),
            },
            offers_push: checked.software.offers_push,
        }
    }
}

pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<ExitStatus> {
    let server_users = (!args.offline).then(ServerUsers::default);
    let config = match context
        .config_with_listed_users(&Overrides { server_users: server_users.as_ref(), ..Overrides::default() })
    {
        Ok(config) => config,
        Err(error) if context.printer.json() => return problems(&error, context),
        Err(error) => return Err(error.into()),
    };
    let clock = context.clock.clone();
    let findings = block_on(check(&config, args.offline, &clock))?;
    if context.printer.json() {
        for finding in &findings {
            context.printer.object(finding)?;
        }
    } else {
        context.printer.table(&table(&findings))?;
    }
    let failed = findings.iter().any(|finding| finding.ok == Some(false));
    Ok(if failed { ExitStatus::Failure } else { ExitStatus::Success })
}

fn problems(error: &ConfigError, context: &mut Context) -> anyhow::Result<ExitStatus> {
    for Problem { file, line, key, sentence } in error.problems() {
        context.printer.object(&Finding {
            file: file.as_ref().map(|file| file.display().to_string()),
            line: *line,
            key: key.clone(),
            ..finding("configuration", "", "", Err(sentence.clone()))
        })?;
    }
    Ok(ExitStatus::Usage)
}

async fn check(config: &Config, offline: bool, clock: &Clock) -> anyhow::Result<Vec<Finding>> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let file = config.file.as_ref().map(|file| file.display().to_string());
    let read = file.unwrap_or_else(|| "there is none: the defaults apply".to_owned());
    let mut findings = vec![finding("configuration", "", "", Ok(read))];
    findings.push(finding("ledger", &config.ledger.display().to_string(), "sqlite", ledger(&config.ledger).await));
    let mut inventory = Inventory::default();
    for AccountProblem { account, problem, .. } in &config.account_problems {
        findings.push(finding("source", account, "account", Err(problem.to_string())));
    }
    for source in &config.sources {
        findings.extend(of_source(source, config, offline, clock, &mut inventory).await);
    }
    let of_settings = |what, warnings: Vec<SettingsWarning>| {
        warnings.into_iter().map(move |one| warning(what, &one.name, one.sentence))
    };
    findings.extend(of_settings("calendarUser", inventory.warnings(config)));
    findings.extend(of_settings("sink", inventory.unmatched(config)));
    findings.extend(of_sinks(config, offline, clock).await?);
    let of_admin = admin_check::findings(&config.admin).await.into_iter();
    findings.extend(of_admin.map(|(name, found)| finding("admin", name, "", found)));
    findings.extend(rights(config));
    findings.extend(routing::untaken(&config.sinks).into_iter().map(|(sink, found)| warning("sink", &sink, found)));
    Ok(findings)
}

/// What a source says, and warnings about it.
async fn of_source(
    source: &config::SourceConfig,
    config: &Config,
    offline: bool,
    clock: &Clock,
    inventory: &mut Inventory,
) -> Vec<Finding> {
    let settings = match &source.kind {
        SourceKind::Directory { .. } => {
            let FolderCheck { found, notes } = directory(source, config, clock, inventory).await;
            let notes = notes.into_iter().map(|note| warning("source", &source.name, note));
            return std::iter::once(finding("source", &source.name, "directory", found)).chain(notes).collect();
        }
        SourceKind::Ics(settings) => return vec![feed(source, settings, (config, clock), offline, inventory).await],
        SourceKind::Caldav(settings) => settings,
    };
    let caldav = CaldavSource::new(source, settings, &config.limits, clock.clone());
    let ready = match &caldav {
        Ok(caldav) => caldav.ready().await,
        Err(_) => Ok(()),
    };
    vec![match ready.and(caldav) {
        Ok(caldav) if offline => {
            inventory.met(caldav.user(), false);
            inventory.may_have_more_calendars();
            left_out("source", &source.name, "caldav")
        }
        Ok(caldav) => self::caldav(&source.name, &caldav, inventory).await,
        Err(error) => {
            inventory.may_be_more();
            finding("source", &source.name, "caldav", Err(error.to_string()))
        }
    }]
}

/// What each sink says.
async fn of_sinks(config: &Config, offline: bool, clock: &Clock) -> anyhow::Result<Vec<Finding>> {
    let sink_context = sink_context(config, clock)?;
    let mut findings = Vec::new();
    for sink in &config.sinks {
        let (name, settings) = (&sink.name, &sink.settings);
        let kind = settings.kind();
        findings.push(match Sink::open(sink, &sink_context) {
            Ok(sink) if offline && settings.needs_network() && sink.ready().is_ok() => left_out("sink", name, kind),
            Ok(sink) => finding("sink", name, kind, sink.check().await.map_err(|error| error.to_string())),
            Err(error) => finding("sink", name, kind, Err(error.to_string())),
        });
    }
    Ok(findings)
}

/// What the daemon's user lacks, where root asks for another one.
fn rights(config: &Config) -> Vec<Finding> {
    let file = config.file.as_deref().map(|file| std::path::absolute(file).unwrap_or_else(|_| file.to_owned()));
    let file = file.filter(|file| file != Path::new("/etc/reveille/reveille.toml"));
    let file = file.map_or_else(String::new, |file| format!(" --config {}", file.display()));
    let program = format!("reveille check{file}");
    match DaemonUser::of(config) {
        DaemonUser::Same => Vec::new(),
        DaemonUser::Unknown => vec![warning(
            "user",
            "root",
            format!(
                "this was checked as root, who may read and write everything: if the daemon runs as another user, check as \
                 that user: sudo -u USER {program}"
            ),
        )],
        DaemonUser::Other(user, why) => {
            let lacking = rights::lacking(config, &user);
            let name = &user.name;
            if lacking.is_empty() {
                let found = format!(
                    "by owners and modes the user '{name}', {why}, may read and write what it needs; this was checked as \
                     root: 'sudo -u {name} {program}' tries it"
                );
                return vec![finding("user", name, "", Ok(found))];
            }
            let one = |Lacking { what, name: of, sentence }| {
                let of = if of.is_empty() { String::new() } else { format!(" {of}") };
                finding("user", name, "", Err(format!("{what}{of}: {sentence}")))
            };
            lacking.into_iter().map(one).collect()
        }
    }
}

fn finding(what: &'static str, name: &str, kind: &'static str, found: Result<String, String>) -> Finding {
    let ok = Some(found.is_ok());
    let found = found.unwrap_or_else(|why| why);
    let name = name.to_owned();
    Finding { what, name, kind, ok, warning: false, found, file: None, line: None, key: None, account: None }
}

fn warning(what: &'static str, name: &str, found: String) -> Finding {
    Finding { warning: true, ..finding(what, name, "", Ok(found)) }
}

fn left_out(what: &'static str, name: &str, kind: &'static str) -> Finding {
    Finding { ok: None, ..finding(what, name, kind, Ok("not tried: it needs the network".to_owned())) }
}

async fn ledger(path: &Path) -> Result<String, String> {
    match Inspector::open(path).await {
        Ok(mut inspector) => {
            inspector.check().await.map_err(|error| error.to_string())?;
            let stats = inspector.stats().await.map_err(|error| error.to_string())?;
            Ok(format!("{} calendars, {} objects, {} of them armed", stats.calendars, stats.objects, stats.armed))
        }
        Err(LedgerError::Missing { .. }) => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if !folder.exists() {
                return Err(format!(
                    "its folder {} does not exist: make it, for the user that runs reveille",
                    folder.display()
                ));
            }
            rustix::fs::access(folder, rustix::fs::Access::WRITE_OK)
                .map(|()| "will be created by the first run".to_owned())
                .map_err(|why| {
                    let hint = access::hint(&why.into(), folder, Need::Create, true);
                    format!("cannot be created in {}: {why}{hint}", folder.display())
                })
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Logs in to a CalDAV account and lists its calendars.
async fn caldav(name: &str, source: &CaldavSource, inventory: &mut Inventory) -> Finding {
    inventory.met(source.user(), false);
    let checked = match source.check().await {
        Ok(checked) => checked,
        Err(error) => {
            inventory.may_have_more_calendars();
            return finding("source", name, "caldav", Err(error.to_string()));
        }
    };
    inventory.met(&checked.user, checked.addresses.is_empty());
    for calendar in checked.calendars.iter().filter(|calendar| calendar.is_watched) {
        inventory.found(&calendar.name, &calendar.id());
    }
    let found = checked.complaint().map_or_else(|| Ok(checked.to_string()), Err);
    Finding { account: Some(checked.into()), ..finding("source", name, "caldav", found) }
}

/// Fetches a feed as the daemon would, and counts.
async fn feed(
    source: &config::SourceConfig,
    settings: &IcsSettings,
    context: (&Config, &Clock),
    offline: bool,
    inventory: &mut Inventory,
) -> Finding {
    let (config, clock) = context;
    let of = |found| finding("source", &source.name, ics::KIND, found);
    let mut feed = IcsSource::new(source, settings, &config.limits, clock.clone());
    if let Err(error) = feed.ready().await {
        inventory.may_be_more();
        return of(Err(error.to_string()));
    }
    inventory.met(feed.user(), source.emails_of(feed.user()).is_empty());
    if offline {
        inventory.may_have_more_calendars();
        return left_out("source", &source.name, ics::KIND);
    }
    let counter = Counter::default();
    let report = match feed.sync_feed(&counter).await {
        Ok(report) => report,
        Err(error) => {
            inventory.may_have_more_calendars();
            return of(Err(error.to_string()));
        }
    };
    let found = counter.inventory.into_inner().unwrap_or_else(PoisonError::into_inner);
    let name = found.names().collect::<Vec<_>>().join(", ");
    inventory.extend(found);
    let objects = counter.objects.load(Ordering::Relaxed);
    let interval = length(elapsed(report.interval.unwrap_or(settings.interval)));
    of(Ok(format!("{}: the calendar {name}, {objects} objects; fetched every {interval}", feed.shown())))
}

/// What a folder says.
#[derive(Debug)]
struct FolderCheck {
    found: Result<String, String>,
    /// Links that are not followed, each a sentence.
    notes: Vec<String>,
}

/// Reads a folder as the daemon would, and counts. Besides, links that are not followed.
async fn directory(
    source: &config::SourceConfig,
    config: &Config,
    clock: &Clock,
    inventory: &mut Inventory,
) -> FolderCheck {
    let SourceKind::Directory(settings) = &source.kind else {
        return FolderCheck { found: Ok(String::new()), notes: Vec::new() };
    };
    let size = config.limits.objects.max_object_size;
    let directory = DirectorySource::new(source, settings, size, clock.clone());
    let counter = Counter::default();
    let report = match directory.scan(&counter).await {
        Ok(report) => report,
        Err(error) => {
            inventory.may_be_more();
            return FolderCheck { found: Err(error.to_string()), notes: Vec::new() };
        }
    };
    let found = counter.inventory.into_inner().unwrap_or_else(PoisonError::into_inner);
    inventory.extend(found);
    let found = match report.faults.as_slice() {
        [] if report.calendars == 0 => Err(no_calendars(source, &settings.path.display().to_string())),
        [] => Ok(format!("{} calendars, {} objects", report.calendars, counter.objects.load(Ordering::Relaxed))),
        faults => Err(faults.join("; ")),
    };
    FolderCheck { found, notes: report.notes }
}

/// Why no alarm in a folder fires.
fn no_calendars(source: &config::SourceConfig, path: &str) -> String {
    match source.calendars.as_slice() {
        [] => format!("no calendars were found in {path}: check path and layout"),
        wanted => format!("no calendar is watched: calendars = {wanted:?} names none in {path}, if there are any"),
    }
}

/// Takes nothing in and counts what it was given.
#[derive(Debug, Default)]
struct Counter {
    objects: AtomicUsize,
    inventory: Mutex<Inventory>,
}

impl SyncStore for Counter {
    async fn calendars(&self, _: &str) -> Result<Vec<Known>, StoreError> {
        Ok(Vec::new())
    }

    async fn etags(&self, _: &str, _: &str) -> Result<HashMap<String, String>, StoreError> {
        Ok(HashMap::new())
    }

    async fn apply(&self, _: &str, batch: ChangeBatch) -> Result<Taken, StoreError> {
        let put = batch.changes.iter().filter(|change| matches!(change, Change::Put { .. })).count();
        self.objects.fetch_add(put, Ordering::Relaxed);
        let mut inventory = self.inventory.lock().unwrap_or_else(PoisonError::into_inner);
        inventory.met(&batch.calendar.user, batch.calendar.emails.is_empty());
        inventory.found(&batch.calendar.name, &batch.calendar.id);
        drop(inventory);
        Ok(Taken::default())
    }

    async fn unchanged(&self, _: &str, _: &str, _: UtcMillis) -> Result<(), StoreError> {
        Ok(())
    }

    async fn calendar_gone(&self, _: &str, _: &str) -> Result<(), StoreError> {
        Ok(())
    }

    async fn calendar_absent(&self, _: &str, _: &str, _: UtcMillis, _: Evidence) -> Result<Absence, StoreError> {
        Ok(Absence::Dropped)
    }
}

fn table(findings: &[Finding]) -> Table {
    let mut table = Table::new(&["WHAT", "NAME", "KIND", "STATE", "FOUND"]);
    for Finding { what, name, kind, ok, warning, found, .. } in findings {
        let (state, style) = match ok {
            Some(true) if *warning => ("warning", Style::Doubtful),
            Some(true) => ("ok", Style::Good),
            Some(false) => ("FAILS", Style::Bad),
            None => ("-", Style::Faint),
        };
        table.row([
            Cell::plain(*what),
            Cell::plain(&**name),
            Cell::plain(*kind),
            Cell::new(state, style),
            Cell::plain(&**found),
        ]);
    }
    table
}

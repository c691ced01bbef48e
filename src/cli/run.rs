//! `reveille run`: the daemon.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use super::{Context, Usage, instant, printer::ExitStatus};
use crate::clock::Clock;
use crate::config::{self, Config, Overrides, ServerUsers};
use crate::daemon::{self, PassOutcome, ReadConfig};
use crate::time::UtcMillis;

/// File descriptors that a start needs at least.
const DESCRIPTORS: u64 = 64;
/// How long writes that are still under way at the end may take.
const LAST_WRITES: Duration = Duration::from_secs(1);

/// Watch calendars, fire their alarms and deliver them, until SIGTERM or SIGINT
///
/// Without a configuration file the ledger is ./reveille.db and each alarm is printed on standard output, one
/// CalendarAlarm JSON object per line.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Watch this folder of .ics files as well (may be repeated)
    #[arg(long, value_name = "DIR")]
    watch: Vec<PathBuf>,
    /// The ledger, instead of the configured one: sqlite:///PATH or a path
    #[arg(long, value_name = "URL")]
    ledger: Option<String>,
    /// Make one pass: sync every source, fire and deliver what is due, and exit
    #[arg(long)]
    once: bool,
    /// With --once: make the pass as if it were this instant, such as 2026-03-10T12:00:00Z
    #[arg(long, value_name = "INSTANT", value_parser = instant, requires = "once")]
    at: Option<UtcMillis>,
}

pub(super) fn run(args: Args, context: &mut Context) -> anyhow::Result<ExitStatus> {
    let server_users = ServerUsers::default();
    let overrides = Overrides { ledger: args.ledger.as_deref(), watch: &args.watch, server_users: Some(&server_users) };
    // A daemon does not wait for servers that list users: it asks them while it runs.
    let config = if args.once { context.config_with_listed_users(&overrides)? } else { context.config(&overrides)? };
    if config.sources.is_empty() && config.account_origins.is_empty() {
        let hint = "there is nothing to watch: name a folder with --watch, or sources in a configuration file";
        return Err(Usage(hint.to_owned()).into());
    }
    if let Some(folder) = args.watch.iter().find(|folder| !folder.is_dir()) {
        let what = if folder.exists() { "is not a folder" } else { "does not exist" };
        return Err(Usage(format!("the folder {} {what}: name an existing one with --watch", folder.display())).into());
    }
    enough_descriptors()?;
    let read_config = reading(&config, &args);
    let clock = args.at.map_or(Clock::System, Clock::manual);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        if args.once {
            return match daemon::once(config, clock).await? {
                PassOutcome::Complete => Ok(ExitStatus::Success),
                PassOutcome::Partial => Ok(ExitStatus::Failure),
            };
        }
        daemon::run(config, clock, read_config).await?;
        Ok(ExitStatus::Success)
    });
    // A write that never ends (a pipe whose reader does not read) would hold up the end for ever.
    runtime.shutdown_timeout(LAST_WRITES);
    outcome
}

/// Reads `config` again, as it was read with `args`.
fn reading(config: &Config, args: &Args) -> ReadConfig {
    let (file, ledger, watch) = (config.file.clone(), args.ledger.clone(), args.watch.clone());
    let server_users = config.server_users.clone();
    Arc::new(move || {
        let overrides = Overrides { ledger: ledger.as_deref(), watch: &watch, server_users: Some(&server_users) };
        config::load(file.as_deref(), &overrides, &|name| std::env::var(name).ok())
    })
}

/// Refuses to start if so few files may be open at once that the program would fail for that sooner or later.
fn enough_descriptors() -> anyhow::Result<()> {
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < DESCRIPTORS => anyhow::bail!(
            "only {limit} files may be open at once, and {DESCRIPTORS} are needed: raise the limit (ulimit -n, LimitNOFILE)"
        ),
        _ => Ok(()),
    }
}

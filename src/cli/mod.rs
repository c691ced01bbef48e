//! The command line: one file for each subcommand, with its `Args` and its `run`; one [`printer`]. Subcommands do not
//! use each other.

pub mod printer;

mod admin_check;
mod alarms;
mod answers;
mod backup;
mod calendars;
mod check;
mod common;
mod completions;
mod deliveries;
mod explain;
mod firings;
mod ics_input;
mod inventory;
mod logging;
mod man;
mod preview;
mod reach;
mod restore;
mod rights;
mod run;
mod show;
mod status;
mod sync;
mod templates;
mod test_sink;
mod upcoming;
mod zones;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;

use crate::clock::Clock;
use crate::config::{self, Config, ConfigError, LogFormat};
use crate::daemon;
use crate::time::UtcMillis;
use printer::{Color, ExitStatus, PrintError, Printer};

/// The whole command line.
#[derive(Debug, clap::Parser)]
#[command(name = "reveille", version, about, max_term_width = 100, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options that every subcommand takes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// The configuration file [default: the first of $REVEILLE_CONFIG, ./reveille.toml,
    /// $XDG_CONFIG_HOME/reveille/reveille.toml, /etc/reveille/reveille.toml]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print data as JSON, one object per line
    #[arg(long, global = true)]
    json: bool,
    /// More logging: -v debug, -vv trace
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Log and print errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// When to colour output
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    color: Color,
    /// How log lines are written
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Run(run::Args),
    Preview(preview::Args),
    Check(check::Args),
    Status(status::Args),
    Calendars(calendars::Args),
    Alarms(alarms::Args),
    Show(show::Args),
    Explain(explain::Args),
    Firings(firings::Args),
    Deliveries(deliveries::Args),
    Ack(answers::AckArgs),
    Snooze(answers::SnoozeArgs),
    Sync(sync::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    TestSink(test_sink::Args),
    Templates(templates::Args),
    Zones(zones::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// What a subcommand works with.
#[derive(Debug)]
struct Context {
    global: Global,
    printer: Printer,
    clock: Clock,
}

impl Context {
    /// Reads the configuration and starts the log as it says.
    fn config(&self, overrides: &config::Overrides<'_>) -> Result<Config, ConfigError> {
        let config = self.read_config(overrides)?;
        warn(&config);
        Ok(config)
    }

    /// Likewise, after the servers that list users have been asked for them, unless `overrides` has no `server_users`.
    fn config_with_listed_users(&self, overrides: &config::Overrides<'_>) -> Result<Config, ConfigError> {
        let mut config = self.read_config(overrides)?;
        if overrides.server_users.is_some() && !config.listings.is_empty() {
            let asking = common::block_on(async {
                daemon::list_users(&config).await;
                Ok(())
            });
            if let Err(error) = asking {
                tracing::warn!("the servers are not asked for their users: {error:#}");
            }
            config = load(&self.global, overrides)?;
        }
        warn(&config);
        Ok(config)
    }

    fn read_config(&self, overrides: &config::Overrides<'_>) -> Result<Config, ConfigError> {
        let config = load(&self.global, overrides)?;
        logging::start(&self.global, &config.log);
        Ok(config)
    }
}

fn load(global: &Global, overrides: &config::Overrides<'_>) -> Result<Config, ConfigError> {
    config::load(global.config.as_deref(), overrides, &|name| std::env::var(name).ok())
}

/// Logs the warnings of `config`, and which accounts cannot be used.
fn warn(config: &Config) {
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let problems = config.account_problems.iter().filter(|account| !account.is_pending);
    problems.for_each(|account| tracing::warn!("{}; this account is left out", account.problem));
}

/// A command line that clap accepts and the subcommand does not.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output, the rest to standard error; a closed one is not a failure.
            let _ = error.print();
            return if error.use_stderr() { ExitStatus::Usage.into() } else { ExitStatus::Success.into() };
        }
    };
    let printer = Printer::new(cli.global.json, cli.global.quiet, cli.global.color);
    let mut context = Context { global: cli.global, printer, clock: Clock::System };
    let outcome = dispatch(cli.command, &mut context).and_then(|exit| {
        context.printer.flush()?;
        Ok(exit)
    });
    outcome.unwrap_or_else(|error| failed(&error, &mut context.printer)).into()
}

fn dispatch(command: Command, context: &mut Context) -> anyhow::Result<ExitStatus> {
    match command {
        Command::Run(args) => run::run(args, context),
        Command::Check(args) => check::run(&args, context),
        Command::Status(args) => status::run(&args, context),
        Command::Calendars(args) => calendars::run(&args, context),
        Command::Alarms(args) => alarms::run(&args, context),
        Command::Explain(args) => explain::run(&args, context),
        Command::Show(args) => show::run(&args, context),
        Command::Firings(args) => firings::run(&args, context),
        Command::Deliveries(args) => deliveries::run(&args, context),
        Command::Ack(args) => answers::ack(&args, context),
        Command::Snooze(args) => answers::snooze(&args, context),
        Command::Preview(args) => preview::run(&args, context),
        Command::Sync(args) => sync::run(&args, context),
        Command::Backup(args) => backup::run(&args, context),
        Command::Restore(args) => restore::run(&args, context),
        Command::TestSink(args) => test_sink::run(&args, context),
        Command::Templates(args) => templates::run(&args, context),
        Command::Zones(args) => zones::run(&args, context),
        Command::Completions(args) => completions::run(&args, context),
        Command::Man(args) => man::run(&args, context),
    }
}

/// Says what went wrong, and which exit status that is.
fn failed(error: &anyhow::Error, printer: &mut Printer) -> ExitStatus {
    if let Some(PrintError::Closed) = error.downcast_ref() {
        return ExitStatus::Success;
    }
    if let Some(wrong) = error.downcast_ref::<ConfigError>() {
        for problem in wrong.problems() {
            printer.error(problem);
        }
        return ExitStatus::Usage;
    }
    printer.error(format!("{error:#}"));
    if error.is::<Usage>() { ExitStatus::Usage } else { ExitStatus::Failure }
}

/// Reads an instant of the command line.
fn instant(text: &str) -> Result<UtcMillis, String> {
    UtcMillis::parse(text)
}

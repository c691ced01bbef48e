//! `reveille man`: the manual page, made of the help texts and of what they do not say.

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::{Cli, Context, printer::ExitStatus};

/// Print the manual page (reveille man | man -l -)
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

const EXIT_STATUS: &[(&str, &str)] = &[
    ("0", "It did what was asked."),
    ("1", "It ran, and the answer is 'no', or something failed."),
    ("2", "The command line or the configuration is wrong."),
];

const FILES: &[(&str, &str)] = &[
    ("./reveille.toml", "The configuration: the first that exists of these three."),
    ("$XDG_CONFIG_HOME/reveille/reveille.toml", "$XDG_CONFIG_HOME is ~/.config where it is not set."),
    ("/etc/reveille/reveille.toml", "The system's."),
    (
        "./reveille.db",
        "The ledger (SQLite) if none is configured; the files with -wal and -shm at the end belong to it.",
    ),
    ("LEDGER.lock", "Locked by the daemon that uses the ledger; holds its process id."),
];

const ENVIRONMENT: &[(&str, &str)] = &[
    ("REVEILLE_CONFIG", "The configuration file, where --config names none."),
    (
        "REVEILLE_LOG",
        "Which lines are logged: a level (error, warn, info, debug, trace) or directives such as \
                      reveille::firing=trace,warn. -v and -q count more, the configuration less.",
    ),
    ("NO_COLOR", "Set to anything: no colours, unless --color says so."),
    ("CREDENTIALS_DIRECTORY", "Where systemd put the credentials that password_credential names."),
    ("TZDIR", "Where the system's time zone database is."),
    ("USER, LOGNAME", "Whose alarms those of a watched folder are, where nothing says so."),
];

const SIGNALS: &[(&str, &str)] = &[
    ("SIGTERM, SIGINT", "The daemon delivers what has been fired, and ends. A second one ends it at once."),
    ("SIGHUP", "Files that sinks write to are opened again."),
    ("SIGUSR1", "The daemon syncs its sources and tries its outbox now; 'reveille sync' sends it."),
];

pub(super) fn run(_args: &Args, context: &mut Context) -> anyhow::Result<ExitStatus> {
    let mut page = Vec::new();
    let mut command = Cli::command();
    command.build();
    let man = Man::new(command.clone());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    options(&command, "GLOBAL OPTIONS", |arg| arg.is_global_set()).to_writer(&mut page)?;
    commands(&command).to_writer(&mut page)?;
    for (heading, entries) in
        [("EXIT STATUS", EXIT_STATUS), ("FILES", FILES), ("ENVIRONMENT", ENVIRONMENT), ("SIGNALS", SIGNALS)]
    {
        let mut roff = Roff::new();
        roff.control("SH", [heading]);
        for (term, text) in entries {
            entry(&mut roff, term, text);
        }
        roff.to_writer(&mut page)?;
    }
    context.printer.raw(&page)?;
    Ok(ExitStatus::Success)
}

fn entry(roff: &mut Roff, term: &str, text: &str) {
    roff.control("TP", []);
    roff.text([clap_mangen::roff::bold(term)]);
    roff.text([roman(text)]);
}

/// Every subcommand with its own options; subcommands of subcommands as well.
fn commands(command: &Command) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["COMMANDS"]);
    let mut waiting: Vec<&Command> = command.get_subcommands().collect();
    waiting.reverse();
    while let Some(next) = waiting.pop() {
        if next.get_name() == "help" {
            continue;
        }
        let usage = next.clone().render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ").lines().next().unwrap_or_default().to_owned();
        roff.control("SS", [usage.as_str()]);
        for paragraph in next.get_long_about().or(next.get_about()).map(ToString::to_string).unwrap_or_default().lines()
        {
            if !paragraph.is_empty() {
                roff.control("PP", []);
                roff.text([roman(paragraph)]);
            }
        }
        let own = options(next, "", |arg| !arg.is_global_set());
        roff.extend([own]);
        let mut inner: Vec<&Command> = next.get_subcommands().collect();
        inner.reverse();
        waiting.extend(inner);
    }
    roff
}

/// The arguments of a command for which `wanted` is true, below a heading if there is one.
fn options(command: &Command, heading: &str, wanted: impl Fn(&clap::Arg) -> bool) -> Roff {
    let mut roff = Roff::new();
    if !heading.is_empty() {
        roff.control("SH", [heading]);
    }
    let skipped = |arg: &clap::Arg| ["help", "version"].contains(&arg.get_id().as_str());
    for arg in command.get_arguments().filter(|arg| wanted(arg) && !skipped(arg)) {
        let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
        entry(&mut roff, &arg.to_string(), &help);
    }
    roff
}

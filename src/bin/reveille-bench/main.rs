//! `reveille-bench`: whole runs of Reveille, measured. Each prints its figures beside a raw limit that is measured in
//! the same run: the same octets through plain batched SQLite with the same durability, the same datagrams through a
//! bare socket.
//!
//! * `table` is what a run finds; `site` the folder, `child` the daemon that it works with; `synthetic` makes
//!   calendars, `server` serves them over CalDAV, `fill` puts them into a ledger, `receiver` is the other end of a
//!   socket.
//! * One file a run.
//!
//! The daemon that is measured is this program itself: with `run` as its first argument it is `reveille run`.

use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;
use jiff::SignedDuration;
use reveille::cli::printer::{Color, ExitStatus, PrintError, Printer};
use reveille::clock::Clock;
use reveille::time::UtcMillis;

mod account;
mod all;
mod child;
mod edit;
mod fill;
mod fire;
mod idle;
mod intake;
mod mixed;
mod poll;
mod receiver;
mod restart;
mod send;
mod server;
mod site;
mod synthetic;
mod table;

/// Measure whole runs of Reveille on this machine, each beside the raw limit of the same bytes
///
/// Without a run it does all of them and prints a table as Markdown.
#[derive(Debug, clap::Parser)]
#[command(name = "reveille-bench", version, max_term_width = 100)]
struct BenchCli {
    #[command(subcommand)]
    run: Option<BenchRun>,
    /// Where to work; a new folder is made there, and removed afterwards
    #[arg(long, default_value = ".", value_name = "DIR", global = true)]
    folder: PathBuf,
    /// Print figures as JSON, one object a line
    #[arg(long, global = true)]
    json: bool,
    /// Say errors only
    #[arg(short, long, global = true)]
    quiet: bool,
    /// When to colour output
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    color: Color,
}

/// What a run works with.
#[derive(Debug)]
struct BenchContext {
    printer: Printer,
    clock: Clock,
}

#[derive(Debug, clap::Subcommand)]
enum BenchRun {
    All(all::Args),
    Intake(intake::Args),
    Fire(fire::Args),
    Restart(restart::Args),
    Idle(idle::Args),
    Edit(edit::Args),
    Mixed(mixed::Args),
    Poll(poll::Args),
    Account(account::Args),
    Send(send::Args),
}

/// That of the program which is measured.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|first| first == "run") {
        return reveille::cli::main();
    }
    let cli = BenchCli::parse();
    let mut context = BenchContext { printer: Printer::new(cli.json, cli.quiet, cli.color), clock: Clock::System };
    let outcome = run(&cli, &mut context).and_then(|exit| {
        context.printer.flush()?;
        Ok(exit)
    });
    let exit = outcome.unwrap_or_else(|error| match error.downcast_ref() {
        Some(PrintError::Closed) => ExitStatus::Success,
        _ => {
            context.printer.error(format!("{error:#}"));
            ExitStatus::Failure
        }
    });
    exit.into()
}

fn run(cli: &BenchCli, context: &mut BenchContext) -> anyhow::Result<ExitStatus> {
    let folder = cli.folder.as_path();
    let figures = match &cli.run {
        None => return all::run(&all::Args::default(), folder, context),
        Some(BenchRun::All(args)) => return all::run(args, folder, context),
        Some(BenchRun::Intake(args)) => intake::measure(args, folder, context)?,
        Some(BenchRun::Fire(args)) => fire::measure(args, folder, context)?,
        Some(BenchRun::Restart(args)) => restart::measure(args, folder, context)?,
        Some(BenchRun::Idle(args)) => idle::measure(args, folder, context)?,
        Some(BenchRun::Edit(args)) => edit::measure(args, folder, context)?,
        Some(BenchRun::Mixed(args)) => mixed::measure(args, folder, context)?,
        Some(BenchRun::Poll(args)) => poll::measure(args, folder, context)?,
        Some(BenchRun::Account(args)) => account::measure(args, folder, context)?,
        Some(BenchRun::Send(args)) => send::measure(args, folder, context)?,
    };
    table::print(&figures, context)?;
    Ok(ExitStatus::Success)
}

/// Waits for `work` on this thread.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// The first whole second after `at`.
fn next_second(at: UtcMillis) -> UtcMillis {
    at.start_of_second().saturating_add(SignedDuration::from_secs(1))
}

/// The value below which `share` (0 to 1) of `sorted` lies; 0 where there is none.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = (last as f64 * share).round() as usize;
    sorted.get(at).copied().unwrap_or_default()
}

/// `12,345`: a count for people.
fn counted(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{counted, quantile};

    #[test]
    fn counts_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1_000, 12_345_678].map(counted), ["0", "999", "1,000", "12,345,678"]);
    }

    #[test]
    fn quantiles_of_sorted_values() {
        let values: Vec<f64> = (0..=100).map(f64::from).collect();
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|share| quantile(&values, share)), [0.0, 50.0, 99.0, 100.0]);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }
}

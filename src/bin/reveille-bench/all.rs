//! `reveille-bench all`: every run, one table.

use std::fs;
use std::path::Path;

use super::BenchContext;
use super::site::Outlet;
use super::table::{self, Figure};
use super::{account, edit, fire, idle, intake, mixed, poll, restart, send};
use reveille::cli::printer::ExitStatus;

/// Every run, as a Markdown table
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Args {
    /// Also a restart with ten million armed objects, which needs some 12 GiB of disk and some minutes
    #[arg(long)]
    full: bool,
}

type Run<'a> = Box<dyn Fn(&mut BenchContext) -> anyhow::Result<Vec<Figure>> + 'a>;

pub(super) fn run(args: &Args, folder: &Path, context: &mut BenchContext) -> anyhow::Result<ExitStatus> {
    let (mut figures, mut exit) = (Vec::new(), ExitStatus::Success);
    for run in runs(args, folder) {
        match run(context) {
            Ok(found) => figures.extend(found),
            // The other runs say something all the same.
            Err(why) => {
                context.printer.warning(format!("a run is left out: {why:#}"));
                exit = ExitStatus::Failure;
            }
        }
    }
    if context.printer.json() {
        table::print(&figures, context)?;
        return Ok(exit);
    }
    let heading = format!("reveille {} on {}, {}\n\n", env!("CARGO_PKG_VERSION"), machine(), context.clock.now());
    context.printer.raw(heading.as_bytes())?;
    context.printer.raw(table::markdown(&figures).as_bytes())?;
    Ok(exit)
}

fn runs<'a>(args: &Args, folder: &'a Path) -> Vec<Run<'a>> {
    let mut runs: Vec<Run<'a>> = Vec::new();
    for (series, sink) in
        [(false, Outlet::File), (true, Outlet::File), (false, Outlet::CyrusNotify), (true, Outlet::CyrusNotify)]
    {
        for alarms in [10_000, 100_000] {
            let args = fire::Args { alarms, series, sink };
            runs.push(Box::new(move |context| fire::measure(&args, folder, context)));
        }
    }
    for sink in [send::MessageOutlet::Webhook, send::MessageOutlet::Command] {
        let args = send::Args { alarms: 1_000, sink };
        runs.push(Box::new(move |context| send::measure(&args, folder, context)));
    }
    for store in [intake::Store::Directory, intake::Store::Caldav] {
        let args = intake::Args { objects: 50_000, store };
        runs.push(Box::new(move |context| intake::measure(&args, folder, context)));
    }
    let args_of_edit = edit::Args { edits: 200, objects: 1_000 };
    runs.push(Box::new(move |context| edit::measure(&args_of_edit, folder, context)));
    let args_of_mixed = mixed::Args { seconds: 20, alarms: 1_000, changes: 500 };
    runs.push(Box::new(move |context| mixed::measure(&args_of_mixed, folder, context)));
    for objects in [10_000, 1_000_000, 10_000_000] {
        if objects <= 1_000_000 || args.full {
            let args = restart::Args { objects };
            runs.push(Box::new(move |context| restart::measure(&args, folder, context)));
        }
    }
    for hints in [false, true] {
        let args = poll::Args { accounts: 1_000, seconds: 60, hints };
        runs.push(Box::new(move |context| poll::measure(&args, folder, context)));
    }
    for (calendars, objects) in [(50, 20_000), (5_000, 5_000)] {
        let args = account::Args { calendars, objects, polls: 6 };
        runs.push(Box::new(move |context| account::measure(&args, folder, context)));
    }
    let args_of_idle = idle::Args { seconds: 60, objects: 10_000 };
    runs.push(Box::new(move |context| idle::measure(&args_of_idle, folder, context)));
    runs
}

/// What the runs were made on.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.map(|rest| rest.trim_start_matches([':', '\t', ' ']).to_owned()).unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kib: u64 =
        value(&read("/proc/meminfo"), "MemTotal").split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
    let (processor, kernel) = (value(&read("/proc/cpuinfo"), "model name"), read("/proc/sys/kernel/osrelease"));
    format!("{cores} cores of {processor}, {} GiB, Linux {}", kib >> 20, kernel.trim())
}

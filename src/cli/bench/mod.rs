//! `reveille bench`: whole runs, measured. Each prints its figure beside a raw limit that is measured in the same run.

use super::{Context, printer::Exit};

mod child;
mod fire;

/// Measure whole runs on this machine
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    run: Run,
}

#[derive(Debug, clap::Subcommand)]
enum Run {
    Fire(fire::Args),
}

pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<Exit> {
    match &args.run {
        Run::Fire(args) => fire::run(args, context),
    }
}

/// The value below which `share` (0 to 1) of `sorted` lies.
fn quantile(sorted: &[i64], share: f64) -> i64 {
    let last = sorted.len().saturating_sub(1);
    let at = (last as f64 * share).round() as usize;
    sorted.get(at).copied().unwrap_or_default()
}

//! `reveille backup`: copies the ledger while the daemon runs, or not.

use std::path::PathBuf;

use serde::Serialize;

use super::common::{LedgerArgs, block_on};
use super::{Context, printer::ExitStatus};
use crate::ledger;

/// Copy the ledger into a file, whether or not the daemon runs
///
/// The backup is the state of the ledger at one moment; it has been checked, and is on the disk when the command ends.
/// 'restore' restores it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file to create; an existing file is not overwritten
    file: PathBuf,
    #[command(flatten)]
    ledger: LedgerArgs,
}

/// `backup --json`: one object.
#[derive(Debug, Serialize)]
struct Made {
    ledger: String,
    file: String,
    /// Octets.
    size: u64,
    at: String,
}

pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<ExitStatus> {
    let config = args.ledger.config(context)?;
    let at = context.clock.now();
    let size = block_on(async { Ok(ledger::backup(&config.ledger, &args.file, at).await?) })?;
    let (ledger, file) = (config.ledger.display().to_string(), args.file.display().to_string());
    if context.printer.json() {
        context.printer.object(&Made { ledger, file, size, at: at.to_string() })?;
    } else {
        context.printer.note(format!("the ledger {ledger} was copied to {file} ({} kB)", size.div_ceil(1024)));
    }
    Ok(ExitStatus::Success)
}

//! `reveille restore`: puts a copy of the ledger back, so that alarms of the past do not fire again.

use std::path::PathBuf;

use serde::Serialize;

use super::common::{LedgerArgs, block_on, written};
use super::{Context, Usage, instant, printer::ExitStatus};
use crate::ledger::{self, Restored};
use crate::time::UtcMillis;

/// Restore a backup of the ledger, so that alarms that fired after it was made do not fire again
///
/// Stop the daemon and move the old ledger away first. A backup does not contain what fired after it was made. Alarms
/// that were due until --fired-until therefore count as fired: 'firings' lists them as missed. Deliveries of these that
/// were pending in the backup count as failed, because they may have been sent since: 'deliveries --failed' lists them,
/// and 'deliveries retry --all' sends them again.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A file that 'backup' made, or another copy of a ledger
    file: PathBuf,
    /// When the lost ledger was last used, such as 2026-03-10T12:00:00Z: alarms that were due after that fire late
    /// [default: now]
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    fired_until: Option<UtcMillis>,
    #[command(flatten)]
    ledger: LedgerArgs,
}

/// `restore --json`: one object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Put {
    ledger: String,
    file: String,
    backed_up_at: Option<String>,
    fired_until: String,
    /// Deliveries that were pending in the copy.
    failed: u64,
}

pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<ExitStatus> {
    let config = args.ledger.config(context)?;
    let now = context.clock.now();
    if let Some(until) = args.fired_until.filter(|until| *until > now) {
        let hint = format!("--fired-until is {until}, which is in the future: alarms can have fired only in the past");
        return Err(Usage(hint).into());
    }
    let until = args.fired_until.unwrap_or(now);
    let restored = block_on(async { Ok(ledger::restore(&args.file, &config.ledger, until, now).await?) })?;
    let (ledger, file) = (config.ledger.display().to_string(), args.file.display().to_string());
    let Restored { backed_up_at, fired_until, given_up } = restored;
    if context.printer.json() {
        let (backed_up_at, fired_until) = (backed_up_at.map(|at| at.to_string()), fired_until.to_string());
        context.printer.object(&Put { ledger, file, backed_up_at, fired_until, failed: given_up })?;
        return Ok(ExitStatus::Success);
    }
    let made = backed_up_at.map_or_else(String::new, |at| format!(", made {}", written(at)));
    context.printer.note(format!("{file}{made}, is the ledger {ledger} now"));
    context.printer.note(format!("what was due until {} counts as fired", written(fired_until)));
    if given_up > 0 {
        context.printer.note(format!(
            "{given_up} deliveries were pending in it and count as failed: 'reveille deliveries --failed' lists them"
        ));
    }
    Ok(ExitStatus::Success)
}

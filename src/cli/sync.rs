//! `reveille sync`: makes the daemon sync its sources now.

use super::common::{LedgerArgs, nudge};
use super::{Context, printer::ExitStatus};
use crate::ledger;

/// Make the daemon sync its sources and retry pending deliveries now
///
/// The daemon syncs all of its sources, even if one is named. If no daemon runs, use `run --once`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A source, which must be in the configuration
    source: Option<String>,
    #[command(flatten)]
    ledger: LedgerArgs,
}

pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<ExitStatus> {
    let config = args.ledger.config(context)?;
    if let Some(name) = args.source.as_ref().filter(|name| !config.sources.iter().any(|source| source.name == **name)) {
        let names: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        context.printer.error(format!("there is no source '{name}' in the configuration; there are: {known}"));
        return Ok(ExitStatus::Failure);
    }
    let path = config.ledger.display();
    let Some(holder) = ledger::holder(&config.ledger) else {
        context.printer.error(format!("no daemon runs with the ledger {path}: start one, or sync with 'run --once'"));
        return Ok(ExitStatus::Failure);
    };
    nudge(&config.ledger, &holder)
        .map_err(|why| anyhow::anyhow!("the daemon (process {holder}) cannot be signalled: {why}"))?;
    context.printer.note(format!("the daemon (process {holder}) syncs its sources now"));
    Ok(ExitStatus::Success)
}

//! `reveille sync`: makes the daemon sync its sources now.

use super::common::{LedgerArgs, block_on, nudge};
use super::{Context, printer::ExitStatus};
use crate::admin::{ControlClient, ControlError, SyncedSource};
use crate::config::Config;
use crate::ledger;

/// Make the daemon sync now
///
/// Without a source, the daemon syncs all of its sources and retries pending deliveries; the command does not wait for
/// that. With a source, the command waits until it is synced, and fails if something could not be read. If no daemon
/// runs, use `run --once`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The name of a source. Of a source for several users it means all of them; SOURCE/PATH means the user PATH, or
    /// the user whose home is in that path
    #[arg(value_name = "SOURCE[/PATH]")]
    source: Option<String>,
    #[command(flatten)]
    ledger: LedgerArgs,
}

pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<ExitStatus> {
    let config = args.ledger.config(context)?;
    let path = config.ledger.display();
    let Some(holder) = ledger::holder(&config.ledger) else {
        context.printer.error(format!("no daemon runs with the ledger {path}: start one, or sync with 'run --once'"));
        return Ok(ExitStatus::Failure);
    };
    if let Some(source) = &args.source {
        return sync_one(source, &config, &holder, context);
    }
    nudge(&config.ledger, &holder)
        .map_err(|why| anyhow::anyhow!("the daemon (process {holder}) cannot be signalled: {why}"))?;
    context.printer.note(format!("the daemon (process {holder}) syncs its sources now"));
    Ok(ExitStatus::Success)
}

/// Has the daemon `holder` sync what `written` names, and prints how that went.
fn sync_one(written: &str, config: &Config, holder: &str, context: &mut Context) -> anyhow::Result<ExitStatus> {
    let (source, path) = written.split_once('/').map_or((written, None), |(source, path)| (source, Some(path)));
    let path = path.filter(|path| !path.is_empty());
    let asked = block_on(async {
        let synced =
            async { ControlClient::connect(&ledger::socket_path(&config.ledger)).await?.sync(source, path).await };
        Ok(synced.await)
    })?;
    let synced = match asked {
        Ok(synced) => synced,
        Err(ControlError::Unknown) => {
            context.printer.error(unknown(written, config));
            return Ok(ExitStatus::Failure);
        }
        Err(error) => {
            context.printer.error(format!("the daemon (process {holder}) cannot be asked: {error}"));
            return Ok(ExitStatus::Failure);
        }
    };
    for one in &synced {
        if context.printer.json() {
            context.printer.object(one)?;
        } else {
            context.printer.line(line(one))?;
        }
    }
    Ok(if synced.iter().all(|one| one.error.is_none()) { ExitStatus::Success } else { ExitStatus::Failure })
}

fn line(synced: &SyncedSource) -> String {
    let SyncedSource { source, changes, error } = synced;
    match (changes, error) {
        (_, Some(error)) => format!("{source}: {error}"),
        (0, None) => format!("{source}: synced, nothing has changed"),
        (1, None) => format!("{source}: synced, 1 change"),
        (_, None) => format!("{source}: synced, {changes} changes"),
    }
}

/// That `written` names no source of `config`.
fn unknown(written: &str, config: &Config) -> String {
    let names: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
    let mut known: Vec<String> = names.into_iter().map(str::to_owned).collect();
    // Servers are not asked here for their users.
    known.extend(config.listings.iter().map(|listing| format!("those of the users of '{}'", listing.source)));
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    format!("there is no source '{written}'; there are: {known}")
}

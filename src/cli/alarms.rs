//! `reveille alarms`: what will fire next.

use super::common::{LedgerArgs, block_on, distance, written};
use super::upcoming::{Upcoming, UpcomingAlarms, no_sink_notes};
use super::{Context, instant, printer::ExitStatus, printer::Style, printer::Table};
use crate::config::Config;
use crate::ledger::Inspector;
use crate::time::UtcMillis;

/// How far ahead is looked where nothing says so, milliseconds.
const AHEAD: i64 = 7 * 86_400_000;
/// Objects that are read at once.
const PAGE: i64 = 200;

/// List what will fire next
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only what fires before this instant, such as 2026-03-10T12:00:00Z [default: 7 days on]
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    until: Option<UtcMillis>,
    /// Only what fires for this user
    #[arg(long)]
    user: Option<String>,
    /// Only what is in this calendar: its name, its id or where it is in its source
    #[arg(long)]
    calendar: Option<String>,
    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    ledger: LedgerArgs,
}

pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<ExitStatus> {
    let config = args.ledger.config(context)?;
    let now = context.clock.now();
    let instances = block_on(next_instances(args, &config, args.until.unwrap_or(now.plus(AHEAD))))?;
    if context.printer.json() {
        for instance in &instances {
            context.printer.object(instance)?;
        }
    } else {
        context.printer.table(&table(&instances, now))?;
        no_sink_notes(&instances).iter().for_each(|note| context.printer.warning(note));
    }
    Ok(ExitStatus::Success)
}

/// The first instances before `until`. Objects come in the order of their next instance, so that the search ends as
/// soon as no further object can fire before what is found already.
async fn next_instances(args: &Args, config: &Config, until: UtcMillis) -> anyhow::Result<Vec<Upcoming>> {
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let upcoming_alarms = UpcomingAlarms::new(config)?;
    let filter = (args.user.as_deref(), args.calendar.as_deref());
    let mut inspector = Inspector::open(&config.ledger).await?;
    let (mut horizon, mut after) = (until, (UtcMillis::MIN, 0));
    let mut instances: Vec<Upcoming> = Vec::new();
    loop {
        let objects = inspector.armed(after, horizon, filter, PAGE).await?;
        let Some(last) = objects.last() else { break };
        after = (last.due.unwrap_or(horizon), last.id);
        for object in &objects {
            instances.extend(upcoming_alarms.instances(object, horizon, limit));
            if instances.len() > limit {
                instances.sort_by_key(|instance| instance.at);
                instances.truncate(limit);
                horizon = instances.last().map_or(horizon, |instance| instance.at);
            }
        }
    }
    inspector.close().await?;
    instances.sort_by_key(|instance| instance.at);
    Ok(instances)
}

fn table(instances: &[Upcoming], now: UtcMillis) -> Table {
    let mut table = Table::new(&["DUE", "", "ACTION", "USER", "CALENDAR", "START", "TIMEZONE", "SUMMARY"]);
    for instance in instances {
        let plain = |text: &str| (text.to_owned(), Style::Plain);
        table.row([
            (written(instance.at), Style::Plain),
            (distance(now, instance.at), Style::Faint),
            plain(&instance.action),
            plain(&instance.user_id),
            plain(&instance.calendar_name),
            plain(&instance.start),
            plain(&instance.timezone),
            plain(&instance.summary),
        ]);
    }
    table
}

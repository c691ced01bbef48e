//! `reveille alarms`: what will fire next.

use jiff::SignedDuration;

use super::common::{LedgerArgs, block_on, distance, written};
use super::upcoming::{Upcoming, UpcomingAlarms, no_sink_notes};
use super::{Context, instant, printer::Cell, printer::ExitStatus, printer::Style, printer::Table};
use crate::config::Config;
use crate::ledger::{ArmedFilter, Inspector, TimerCursor};
use crate::time::UtcMillis;

/// How far ahead alarms are listed without `--until`.
const AHEAD: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Objects that are read at once.
const PAGE: i64 = 200;

/// List the alarms that will fire next
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// List only alarms that fire before this instant, such as 2026-03-10T12:00:00Z [default: 7 days from now]
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    until: Option<UtcMillis>,
    /// List only alarms of this user
    #[arg(long)]
    user: Option<String>,
    /// List only alarms of this calendar: its name, its id or its path in its source
    #[arg(long)]
    calendar: Option<String>,
    /// List at most this many
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    ledger: LedgerArgs,
}

pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<ExitStatus> {
    let config = args.ledger.config(context)?;
    let now = context.clock.now();
    let instances = block_on(next_instances(args, &config, args.until.unwrap_or(now.saturating_add(AHEAD))))?;
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
    let (user, calendar) = (args.user.as_deref(), args.calendar.as_deref());
    let mut inspector = Inspector::open(&config.ledger).await?;
    let (mut horizon, mut after) = (until, TimerCursor::START);
    let mut instances: Vec<Upcoming> = Vec::new();
    loop {
        let objects = inspector.armed(after, ArmedFilter { until: horizon, user, calendar }, PAGE).await?;
        let Some(last) = objects.last() else { break };
        after = TimerCursor { due: last.due.unwrap_or(horizon), object: last.id };
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
        table.row([
            Cell::plain(written(instance.at)),
            Cell::new(distance(now, instance.at), Style::Faint),
            Cell::plain(&*instance.action),
            Cell::plain(&*instance.user_id),
            Cell::plain(&*instance.calendar_name),
            Cell::plain(&*instance.start),
            Cell::plain(&*instance.timezone),
            Cell::plain(&*instance.summary),
        ]);
    }
    table
}

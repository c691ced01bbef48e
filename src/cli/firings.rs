//! `reveille firings`: which alarms have fired.

use jiff::SignedDuration;
use serde::Serialize;

use super::common::{LedgerArgs, NotificationSummary, as_millis, block_on, length, state_word, written};
use super::{Context, instant, printer::Cell, printer::ExitStatus, printer::Style, printer::Table};
use crate::ledger::{FiringRow, FiringState, Inspector};
use crate::time::UtcMillis;

/// List alarms that fired, were missed or were suppressed, the latest last
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// List only alarms that were recorded at or after this instant, such as 2026-03-10T12:00:00Z
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    since: Option<UtcMillis>,
    /// List at most this many, the latest ones
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..))]
    limit: i64,
    /// List store events instead: the changes of calendars that `[events]` asks for
    #[arg(long)]
    events: bool,
    #[command(flatten)]
    ledger: LedgerArgs,
}

/// `firings --json`: one object a firing.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Firing {
    firing: i64,
    notification_id: String,
    /// When it was due.
    due: String,
    /// When it was recorded.
    fired_at: String,
    /// From the one to the other, in milliseconds.
    #[serde(serialize_with = "as_millis")]
    lateness: SignedDuration,
    state: Option<FiringState>,
    /// How many firings it stands for.
    count: i64,
    user_id: String,
    calendar_name: String,
    uid: String,
    recurrence_id: String,
    action: String,
    summary: String,
    href: Option<String>,
}

impl From<FiringRow> for Firing {
    fn from(row: FiringRow) -> Firing {
        let seen = NotificationSummary::of(&row.notification);
        let name = if seen.calendar_name.is_empty() { row.calendar.unwrap_or_default() } else { seen.calendar_name };
        Firing {
            firing: row.id,
            notification_id: seen.notification_id,
            due: row.due.to_string(),
            fired_at: row.fired_at.to_string(),
            lateness: row.fired_at.duration_since(row.due),
            state: row.state,
            count: row.count,
            user_id: seen.user_id,
            calendar_name: name,
            uid: seen.uid,
            recurrence_id: seen.recurrence_id,
            action: seen.action,
            summary: seen.summary,
            href: row.href,
        }
    }
}

pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<ExitStatus> {
    let config = args.ledger.config(context)?;
    let mut firings = block_on(async {
        let mut inspector = Inspector::open(&config.ledger).await?;
        let since = args.since.unwrap_or(UtcMillis::MIN);
        let firings = match args.events {
            true => inspector.store_events(since, args.limit).await?,
            false => inspector.firings(since, None, args.limit).await?,
        };
        inspector.close().await?;
        Ok(firings)
    })?;
    firings.reverse();
    if context.printer.json() {
        for firing in firings {
            context.printer.object(&Firing::from(firing))?;
        }
    } else {
        context.printer.table(&table(firings))?;
    }
    Ok(ExitStatus::Success)
}

fn table(firings: Vec<FiringRow>) -> Table {
    let mut table = Table::new(&["FIRING", "DUE", "LATE", "STATE", "ACTION", "USER", "CALENDAR", "SUMMARY"]);
    for firing in firings {
        let due = written(firing.due);
        let firing = Firing::from(firing);
        let style = if matches!(firing.state, Some(FiringState::Fired | FiringState::Event)) {
            Style::Good
        } else {
            Style::Doubtful
        };
        let state = state_word(firing.state);
        let state = if firing.count > 1 { format!("{state} ×{}", firing.count) } else { state };
        table.row([
            Cell::plain(firing.firing.to_string()),
            Cell::plain(due),
            Cell::plain(length(firing.lateness)),
            Cell::new(state, style),
            Cell::plain(firing.action),
            Cell::plain(firing.user_id),
            Cell::plain(firing.calendar_name),
            Cell::plain(if firing.summary.is_empty() { firing.href.unwrap_or_default() } else { firing.summary }),
        ]);
    }
    table
}

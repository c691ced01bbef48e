//! `reveille deliveries`: what is owed to the sinks; retrying it, cancelling it.

use serde::Serialize;

use super::common::{LedgerArgs, NotificationSummary, block_on, nudge, state_word, written, written_or_dash};
use super::{Context, printer::Cell, printer::ExitStatus, printer::Style, printer::Table};
use crate::config::Config;
use crate::ledger::{
    self, AdminOutcome, DeliveryFilter, DeliveryId, DeliveryRow, DeliveryState, Inspector, OutboxAdmin,
};

/// List deliveries and their states, the latest last; retry or cancel deliveries
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Args {
    /// List only failed deliveries
    #[arg(long, group = "which")]
    failed: bool,
    /// List only pending deliveries
    #[arg(long, group = "which")]
    pending: bool,
    /// List only mails that a mail server did not confirm: they may have arrived, possibly more than once
    #[arg(long, group = "which")]
    unknown: bool,
    /// List at most this many, the latest ones
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..))]
    limit: i64,
    #[command(flatten)]
    ledger: LedgerArgs,
    #[command(subcommand)]
    what: Option<DeliveryCommand>,
}

#[derive(Debug, clap::Subcommand)]
enum DeliveryCommand {
    Retry(RetryArgs),
    Cancel(CancelArgs),
}

/// Retry deliveries at once: those that failed, are pending or were cancelled
#[derive(Debug, clap::Args)]
struct RetryArgs {
    /// The id of a delivery, as the list shows it: FIRING/SINK or FIRING/SINK/RECIPIENT
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<DeliveryId>,
    /// Retry all that failed or are pending, except those that quiet hours hold
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    ledger: LedgerArgs,
}

/// Cancel deliveries that are pending
#[derive(Debug, clap::Args)]
struct CancelArgs {
    /// The id of a delivery, as the list shows it: FIRING/SINK or FIRING/SINK/RECIPIENT
    #[arg(value_name = "ID", required = true)]
    ids: Vec<DeliveryId>,
    #[command(flatten)]
    ledger: LedgerArgs,
}

/// `deliveries --json`: one object a delivery.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DeliveryEntry {
    id: String,
    firing: i64,
    sink: String,
    recipient: String,
    state: Option<DeliveryState>,
    attempts: i64,
    /// After how many of the attempts it is not known whether it was delivered.
    unknown: i64,
    /// For one that is pending: not before.
    next_attempt: Option<String>,
    /// For one that quiet hours hold: until when.
    held_until: Option<String>,
    /// What the sink said last.
    #[serde(rename = "answer")]
    response: Option<String>,
    settled_at: Option<String>,
    due: String,
    fired_at: String,
    notification_id: String,
    user_id: String,
    uid: String,
    summary: String,
}

/// `deliveries retry --json` and `cancel --json`: one object a delivery that was named.
#[derive(Debug, Serialize)]
struct AdminResult {
    id: String,
    /// Whether it was changed.
    changed: bool,
    /// The state that kept it from being changed; null where there is no such delivery.
    state: Option<DeliveryState>,
}

pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<ExitStatus> {
    match &args.what {
        None => list(args, context),
        Some(DeliveryCommand::Retry(retry)) if retry.all => retry_all(&retry.ledger, context),
        Some(DeliveryCommand::Retry(retry)) => apply(&retry.ledger, &retry.ids, AdminAction::Retry, context),
        Some(DeliveryCommand::Cancel(cancel)) => apply(&cancel.ledger, &cancel.ids, AdminAction::Cancel, context),
    }
}

fn list(args: &Args, context: &mut Context) -> anyhow::Result<ExitStatus> {
    let config = args.ledger.config(context)?;
    let filter = match (args.failed, args.pending, args.unknown) {
        (true, ..) => DeliveryFilter::Failed,
        (_, true, _) => DeliveryFilter::Pending,
        (.., true) => DeliveryFilter::Unknown,
        _ => DeliveryFilter::All,
    };
    let mut rows = block_on(async {
        let mut inspector = Inspector::open(&config.ledger).await?;
        let rows = inspector.deliveries(filter, args.limit).await?;
        inspector.close().await?;
        Ok(rows)
    })?;
    rows.reverse();
    if context.printer.json() {
        for row in rows {
            context.printer.object(&json(row))?;
        }
    } else {
        context.printer.table(&table(rows))?;
    }
    Ok(ExitStatus::Success)
}

fn id(row: &DeliveryRow) -> String {
    DeliveryId { firing: row.firing, sink: row.sink.clone(), recipient: row.recipient.clone() }.to_string()
}

fn json(row: DeliveryRow) -> DeliveryEntry {
    let seen = NotificationSummary::of(&row.notification);
    DeliveryEntry {
        id: id(&row),
        firing: row.firing,
        next_attempt: (row.state == Some(DeliveryState::Pending)).then(|| row.next_attempt.to_string()),
        held_until: row.is_held_until().map(|until| until.to_string()),
        sink: row.sink,
        recipient: row.recipient,
        state: row.state,
        attempts: row.attempts,
        unknown: row.unknown,
        response: row.response,
        settled_at: row.settled_at.map(|at| at.to_string()),
        due: row.due.to_string(),
        fired_at: row.fired_at.to_string(),
        notification_id: seen.notification_id,
        user_id: seen.user_id,
        uid: seen.uid,
        summary: seen.summary,
    }
}

fn table(rows: Vec<DeliveryRow>) -> Table {
    let mut table = Table::new(&["ID", "DUE", "STATE", "ATTEMPTS", "NEXT OR SETTLED", "SUMMARY", "RESPONSE"]);
    for row in rows {
        let style = match row.state {
            Some(DeliveryState::Delivered) => Style::Good,
            Some(DeliveryState::Failed) => Style::Bad,
            Some(DeliveryState::Pending | DeliveryState::Cancelled) | None => Style::Doubtful,
        };
        let at = match row.is_held_until() {
            Some(until) => format!("held until {}", written(until)),
            None => written_or_dash(row.settled_at.or(Some(row.next_attempt))),
        };
        table.row([
            Cell::plain(id(&row)),
            Cell::plain(written(row.due)),
            Cell::new(state_word(row.state), style),
            Cell::plain(attempts(row.attempts, row.unknown)),
            Cell::plain(at),
            Cell::plain(NotificationSummary::of(&row.notification).summary),
            Cell::plain(row.response.unwrap_or_default()),
        ]);
    }
    table
}

fn attempts(all: i64, unknown: i64) -> String {
    if unknown == 0 { all.to_string() } else { format!("{all} ({unknown} unknown)") }
}

fn retry_all(ledger: &LedgerArgs, context: &mut Context) -> anyhow::Result<ExitStatus> {
    let config = ledger.config(context)?;
    let now = context.clock.now();
    let count = block_on(async {
        let mut admin = OutboxAdmin::open(&config.ledger).await?;
        let count = admin.retry_all(&mail(&config), now).await?;
        admin.close().await?;
        Ok(count)
    })?;
    wake_daemon(&config);
    if context.printer.json() {
        context.printer.object(&serde_json::json!({ "retried": count }))?;
    } else {
        context.printer.line(format!("{count} deliveries are tried again"))?;
    }
    Ok(ExitStatus::Success)
}

/// The sinks that write to people.
fn mail(config: &Config) -> Vec<&str> {
    config.sinks.iter().filter(|sink| sink.settings.recipients().is_some()).map(|sink| sink.name.as_str()).collect()
}

#[derive(Clone, Copy)]
enum AdminAction {
    Retry,
    Cancel,
}

/// Changes each of `ids`; the exit status is 1 if one of them cannot be changed.
fn apply(
    ledger: &LedgerArgs,
    ids: &[DeliveryId],
    action: AdminAction,
    context: &mut Context,
) -> anyhow::Result<ExitStatus> {
    let config = ledger.config(context)?;
    let now = context.clock.now();
    let changes = block_on(async {
        let mut admin = OutboxAdmin::open(&config.ledger).await?;
        let mut changes = Vec::new();
        for id in ids {
            changes.push(match action {
                AdminAction::Retry => admin.retry(id, &mail(&config), now).await?,
                AdminAction::Cancel => admin.cancel(id, now).await?,
            });
        }
        admin.close().await?;
        Ok(changes)
    })?;
    wake_daemon(&config);
    let mut exit = ExitStatus::Success;
    for (id, change) in ids.iter().zip(changes) {
        if change != AdminOutcome::Changed {
            exit = ExitStatus::Failure;
        }
        report(id, &change, action, context)?;
    }
    Ok(exit)
}

/// Wakes the daemon, if one runs and this user may signal it: it sends at once, and otherwise at its next pass.
fn wake_daemon(config: &Config) {
    if let Some(holder) = ledger::holder(&config.ledger) {
        let _ = nudge(&config.ledger, &holder);
    }
}

fn report(id: &DeliveryId, change: &AdminOutcome, action: AdminAction, context: &mut Context) -> anyhow::Result<()> {
    if context.printer.json() {
        let state = match change {
            AdminOutcome::Is(state) => Some(*state),
            AdminOutcome::Changed | AdminOutcome::Unknown => None,
        };
        context.printer.object(&AdminResult {
            id: id.to_string(),
            changed: *change == AdminOutcome::Changed,
            state,
        })?;
        return Ok(());
    }
    match (change, action) {
        (AdminOutcome::Changed, AdminAction::Retry) => context.printer.line(format!("{id} is tried again"))?,
        (AdminOutcome::Changed, AdminAction::Cancel) => context.printer.line(format!("{id} is cancelled"))?,
        (AdminOutcome::Is(state), AdminAction::Retry) => {
            context.printer.error(format!("{id} cannot be tried again: it is {state}"))
        }
        (AdminOutcome::Is(state), AdminAction::Cancel) => {
            context.printer.error(format!("{id} cannot be cancelled: it is {state}"));
        }
        (AdminOutcome::Unknown, _) => context.printer.error(format!("{id}: there is no such delivery")),
    }
    Ok(())
}

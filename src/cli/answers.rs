//! `reveille ack` and `reveille snooze`: the answers to an alarm that has fired.

use std::time::Duration;

use serde::Serialize;

use super::common::{LedgerArgs, block_on, written};
use super::{Context, Usage, instant, printer::ExitStatus};
use crate::admin::ControlClient;
use crate::answer::{AnsweredAlarm, Answerer, FiringName};
use crate::calendar::answer::AlarmAnswer;
use crate::calendar::zone::Zones;
use crate::config::Config;
use crate::http::Hosts;
use crate::ledger;
use crate::tables::value::parse_duration;
use crate::text::hex;
use crate::time::UtcMillis;

/// How long an alarm is snoozed if nothing else is said.
const USUAL: &str = "10m";

/// Dismiss an alarm that has fired, for all clients
///
/// ACKNOWLEDGED is written into the alarm in its calendar (RFC 9074), so that clients which honour it are silent too,
/// and deliveries of the alarm that are pending are cancelled. The source needs `write = true`.
#[derive(Debug, clap::Args)]
pub(super) struct AckArgs {
    /// The number of the firing, as 'firings' lists it, or the notificationId
    #[arg(value_name = "FIRING")]
    firing: FiringName,
    #[command(flatten)]
    ledger: LedgerArgs,
}

/// Let an alarm that has fired fire again later, for all clients
///
/// An alarm that is a snooze of this one is written into its event (RFC 9074), and this one is dismissed as by 'ack'.
/// The source needs `write = true`.
#[derive(Debug, clap::Args)]
pub(super) struct SnoozeArgs {
    /// The number of the firing, as 'firings' lists it, or the notificationId
    #[arg(value_name = "FIRING")]
    firing: FiringName,
    /// Fire again so long after now, such as 10m, 1h or 1d
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, default_value = USUAL, conflicts_with = "until")]
    lasts: Duration,
    /// Fire again at this instant, such as 2026-03-10T12:00:00Z
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    until: Option<UtcMillis>,
    #[command(flatten)]
    ledger: LedgerArgs,
}

/// `ack --json` and `snooze --json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AnswerReport {
    firing: i64,
    notification_id: String,
    user_id: String,
    summary: String,
    source: String,
    href: String,
    /// When it fires again; null if it was dismissed.
    snoozed_until: Option<String>,
    /// Deliveries that were pending.
    cancelled_deliveries: u64,
}

fn duration(text: &str) -> Result<Duration, String> {
    let refused = || "is not a duration: write 30s, 10m, 24h, 7d or a sum such as 1h30m".to_owned();
    parse_duration(text).filter(|duration| !duration.is_zero()).ok_or_else(refused)
}

pub(super) fn ack(args: &AckArgs, context: &mut Context) -> anyhow::Result<ExitStatus> {
    let config = args.ledger.config(context)?;
    answer(args.firing, AlarmAnswer::Dismiss, &config, context)
}

pub(super) fn snooze(args: &SnoozeArgs, context: &mut Context) -> anyhow::Result<ExitStatus> {
    let config = args.ledger.config(context)?;
    let now = context.clock.now();
    let until = args.until.unwrap_or_else(|| now.saturating_add(crate::time::elapsed(args.lasts)));
    if until <= now {
        return Err(Usage(format!("--until {until} is not in the future")).into());
    }
    answer(args.firing, AlarmAnswer::Snooze { until }, &config, context)
}

fn answer(name: FiringName, answer: AlarmAnswer, config: &Config, context: &mut Context) -> anyhow::Result<ExitStatus> {
    let zones = Zones::load(&config.zoneinfo)?;
    let clock = context.clock.clone();
    let answered = block_on(async {
        let source = |name: &str| config.sources.iter().find(|source| source.name == name).cloned();
        let (ledger, limits, hosts) = (&config.ledger, &config.limits, Hosts::new(config.limits.max_requests_per_host));
        let answerer = Answerer { ledger, limits, zones: &zones, clock: &clock, hosts: &hosts, source: &source };
        let answered = answerer.give(name, answer).await;
        Ok(match answered {
            Ok(answered) => Ok((sync(&answered, config).await, answered)),
            Err(error) => Err(error),
        })
    })?;
    let (synced, answered) = match answered {
        Ok(answered) => answered,
        Err(error) => {
            context.printer.error(error);
            return Ok(ExitStatus::Failure);
        }
    };
    if let Err(why) = synced {
        context.printer.note(format!("the daemon was not told, and finds the answer when it syncs next: {why}"));
    }
    let until = match answer {
        AlarmAnswer::Dismiss => None,
        AlarmAnswer::Snooze { until } => Some(until),
    };
    if context.printer.json() {
        context.printer.object(&report(answered, until))?;
    } else {
        context.printer.line(line(&answered, until))?;
    }
    Ok(ExitStatus::Success)
}

/// Has the daemon read what was written, if one runs.
async fn sync(answered: &AnsweredAlarm, config: &Config) -> Result<(), String> {
    if ledger::holder(&config.ledger).is_none() {
        return Ok(());
    }
    let synced = async {
        ControlClient::connect(&ledger::socket_path(&config.ledger)).await?.sync(&answered.source, None).await
    };
    let synced = synced.await.map_err(|error| error.to_string())?;
    synced.into_iter().find_map(|one| one.error).map_or(Ok(()), Err)
}

fn line(answered: &AnsweredAlarm, until: Option<UtcMillis>) -> String {
    let AnsweredAlarm { summary, source, href, cancelled, .. } = answered;
    let done = until.map_or_else(|| "dismissed".to_owned(), |until| format!("snoozed until {}", written(until)));
    let owed = match cancelled {
        0 => String::new(),
        1 => "; 1 pending delivery is cancelled".to_owned(),
        _ => format!("; {cancelled} pending deliveries are cancelled"),
    };
    format!("'{summary}' is {done}: written to {href} of the source '{source}'{owed}")
}

fn report(answered: AnsweredAlarm, until: Option<UtcMillis>) -> AnswerReport {
    AnswerReport {
        firing: answered.firing,
        notification_id: hex(&answered.identity),
        user_id: answered.user,
        summary: answered.summary,
        source: answered.source,
        href: answered.href,
        snoozed_until: until.map(|until| until.to_string()),
        cancelled_deliveries: answered.cancelled,
    }
}

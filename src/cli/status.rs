//! `reveille status`: how the daemon and its ledger are.

use std::path::Path;

use jiff::SignedDuration;
use serde::Serialize;

use super::common::{LedgerArgs, as_millis, block_on, distance, length, written, written_or_dash};
use super::reach::Reach;
use super::{Context, printer::Cell, printer::ExitStatus, printer::Style, printer::Table};
use crate::calendar_info::CalendarInfo;
use crate::config::Config;
use crate::ledger::{self, CalendarRow, Inspector, SourceFailure, SourceRow, Stats};
use crate::time::{UtcMillis, elapsed};

/// The lateness is that of so many firings, the latest ones.
const RECENT_FIRINGS: i64 = 1000;

/// Show whether the daemon runs, the state of its sources, the next alarm and the pending deliveries
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    ledger: LedgerArgs,
}

/// `status --json`: one object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusReport {
    running: bool,
    pid: Option<u32>,
    ledger: String,
    /// Octets.
    ledger_size: u64,
    calendars: i64,
    objects: i64,
    faulty_objects: i64,
    armed: i64,
    next_due: Option<String>,
    pending: i64,
    failed: i64,
    lateness: Option<Lateness>,
    sources: Vec<SourceStatus>,
    absent_calendars: Vec<AbsentCalendar>,
    /// Users to whom a sink should write and whose address is not known.
    users_without_address: Vec<String>,
}

/// What is shown of the ledger as a whole, and of the daemon.
#[derive(Debug)]
struct Overview<'a> {
    /// The ledger.
    path: &'a Path,
    /// The process that holds it; none: no daemon runs.
    holder: Option<&'a str>,
    stats: &'a Stats,
    lateness: Option<Lateness>,
}

/// How late recent firings were; in milliseconds as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Lateness {
    firings: usize,
    #[serde(serialize_with = "as_millis")]
    p50: SignedDuration,
    #[serde(serialize_with = "as_millis")]
    p99: SignedDuration,
    #[serde(serialize_with = "as_millis")]
    max: SignedDuration,
}

/// A calendar that syncs do not find.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AbsentCalendar {
    source: String,
    href: String,
    calendar_name: String,
    user_id: String,
    absent_since: String,
    /// When it is dropped, unless it is found.
    drop_at: String,
}

/// How the syncs at one source go.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SourceStatus {
    name: String,
    kind: String,
    last_synced_at: Option<String>,
    error: Option<String>,
    error_since: Option<String>,
    tried_at: Option<String>,
    next_try: Option<String>,
    progress: Option<String>,
}

pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<ExitStatus> {
    let config = args.ledger.config(context)?;
    let now = context.clock.now();
    let (stats, rows, lateness, absent, mut unknown) = block_on(async {
        let mut inspector = Inspector::open(&config.ledger).await?;
        let (stats, sources) = (inspector.stats().await?, inspector.sources().await?);
        let (lateness, absent) = (inspector.lateness(RECENT_FIRINGS).await?, inspector.absent().await?);
        let unknown = inspector.without_address().await?;
        inspector.close().await?;
        Ok((stats, sources, lateness, absent, unknown))
    })?;
    let reach = Reach::new(&config);
    unknown.retain(|user| reach.no_address(user).is_some());
    let holder = ledger::holder(&config.ledger);
    let mut sources = with_unseen(rows, &config);
    if holder.is_none() {
        // The daemon that planned it has ended.
        sources.iter_mut().for_each(|source| source.next_try = None);
    }
    let grace = elapsed(config.defaults.absent_grace);
    let lateness = Lateness::of(&lateness);
    let overview = Overview { path: &config.ledger, holder: holder.as_deref(), stats: &stats, lateness };
    if context.printer.json() {
        let mut status = status(&overview, &sources);
        status.absent_calendars = absent.into_iter().filter_map(|row| absent_calendar(row, grace)).collect();
        status.users_without_address = unknown;
        context.printer.object(&status)?;
    } else {
        print_text(context, &overview, now)?;
        source_table(context, &sources, holder.is_some(), now)?;
        absent_table(context, absent, grace)?;
        if !unknown.is_empty() {
            context.printer.line("")?;
        }
        unknown.iter().filter_map(|user| reach.no_address(user)).try_for_each(|why| context.printer.line(why))?;
    }
    Ok(ExitStatus::Success)
}

/// The sources of the ledger, and those of the configuration that have not been synced yet.
fn with_unseen(mut rows: Vec<SourceRow>, config: &Config) -> Vec<SourceRow> {
    for source in &config.sources {
        if !rows.iter().any(|row| row.name == source.name) {
            let (name, kind) = (source.name.clone(), source.kind.name().to_owned());
            rows.push(SourceRow {
                name,
                kind,
                last_synced_at: None,
                failure: None,
                tried_at: None,
                next_try: None,
                progress: None,
            });
        }
    }
    rows
}

impl Lateness {
    /// Of what is sorted; none if there is none.
    fn of(sorted: &[SignedDuration]) -> Option<Lateness> {
        // The smallest value that at least so many hundredths of all do not exceed.
        let rank = |hundredths: usize| {
            let index = (sorted.len() * hundredths).div_ceil(100).saturating_sub(1);
            sorted.get(index).copied()
        };
        Some(Lateness { firings: sorted.len(), p50: rank(50)?, p99: rank(99)?, max: rank(100)? })
    }
}

fn status(overview: &Overview<'_>, sources: &[SourceRow]) -> StatusReport {
    let Overview { path, holder, stats, lateness } = *overview;
    let source = |row: &SourceRow| SourceStatus {
        name: row.name.clone(),
        kind: row.kind.clone(),
        last_synced_at: row.last_synced_at.map(|at| at.to_string()),
        error: row.failure.as_ref().map(|failure| failure.error.clone()),
        error_since: row.failure.as_ref().map(|failure| failure.since.to_string()),
        progress: row.progress.clone(),
        tried_at: row.tried_at.map(|at| at.to_string()),
        next_try: row.next_try.map(|at| at.to_string()),
    };
    StatusReport {
        running: holder.is_some(),
        pid: holder.and_then(|pid| pid.parse().ok()),
        ledger: path.display().to_string(),
        ledger_size: ledger::size(path),
        calendars: stats.calendars,
        objects: stats.objects,
        faulty_objects: stats.faulty,
        armed: stats.armed,
        next_due: stats.next_due.map(|at| at.to_string()),
        pending: stats.pending,
        failed: stats.failed,
        lateness,
        sources: sources.iter().map(source).collect(),
        absent_calendars: Vec::new(),
        users_without_address: Vec::new(),
    }
}

fn absent_calendar(row: CalendarRow, grace: SignedDuration) -> Option<AbsentCalendar> {
    let absent = row.absent?;
    let (absent_since, drop_at) = (absent.since.to_string(), absent.ends_at(grace).to_string());
    let CalendarInfo { href, name, user, .. } = row.info;
    Some(AbsentCalendar { source: row.source, href, calendar_name: name, user_id: user, absent_since, drop_at })
}

fn print_text(context: &mut Context, overview: &Overview<'_>, now: UtcMillis) -> anyhow::Result<()> {
    let Overview { path, holder, stats, lateness } = *overview;
    let daemon = holder.map_or_else(|| "not running".to_owned(), |pid| format!("running (process {pid})"));
    let next = stats.next_due.map_or_else(|| "-".to_owned(), |at| format!("{} ({})", written(at), distance(now, at)));
    let lateness = lateness.map_or_else(
        || "nothing has fired yet".to_owned(),
        |late| {
            let [p50, p99, max] = [late.p50, late.p99, late.max].map(length);
            format!("p50 {p50}, p99 {p99}, max {max} (firings: {})", late.firings)
        },
    );
    let Stats { calendars, objects, faulty, armed, pending, failed, .. } = stats;
    context.printer.fields(&[
        ("daemon", daemon),
        ("ledger", format!("{} ({} kB)", path.display(), ledger::size(path).div_ceil(1024))),
        ("calendars", format!("{calendars}, with {objects} objects, {faulty} of them with faults")),
        ("armed", format!("{armed} objects")),
        ("next due", next),
        ("deliveries", format!("{pending} pending, {failed} failed")),
        ("lateness", lateness),
    ])?;
    Ok(())
}

fn source_table(context: &mut Context, sources: &[SourceRow], is_running: bool, now: UtcMillis) -> anyhow::Result<()> {
    if sources.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&["SOURCE", "KIND", "LAST SUCCESS", "STATE"]);
    for row in sources {
        let (state, style) = match (&row.failure, row.last_synced_at) {
            (Some(SourceFailure { error, since }), _) => {
                (format!("fails since {}, {}: {error}", written(*since), tries(row, is_running, now)), Style::Bad)
            }
            (None, _) if row.progress.is_some() => (row.progress.clone().unwrap_or_default(), Style::Doubtful),
            (None, Some(_)) => ("ok".to_owned(), Style::Good),
            (None, None) => ("not synced yet".to_owned(), Style::Doubtful),
        };
        table.row([
            Cell::plain(&*row.name),
            Cell::plain(&*row.kind),
            Cell::plain(written_or_dash(row.last_synced_at)),
            Cell::new(state, style),
        ]);
    }
    context.printer.line("")?;
    context.printer.table(&table)?;
    Ok(())
}

/// When a source that fails was tried last, and when it is tried next.
fn tries(row: &SourceRow, is_running: bool, now: UtcMillis) -> String {
    let tried = row.tried_at.map_or_else(|| "not tried yet".to_owned(), |at| format!("last tried {}", written(at)));
    let next = match row.next_try {
        _ if !is_running => ", next when the daemon runs".to_owned(),
        Some(next) if next > now => format!(", next {} ({})", written(next), distance(now, next)),
        Some(_) => ", next now".to_owned(),
        None => String::new(),
    };
    format!("{tried}{next}")
}

fn absent_table(context: &mut Context, absent: Vec<CalendarRow>, grace: SignedDuration) -> anyhow::Result<()> {
    if absent.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&["ABSENT CALENDAR", "USER", "SOURCE", "STATE"]);
    for row in absent {
        let since = written_or_dash(row.absent.map(|absent| absent.since));
        let end = written_or_dash(row.absent.map(|absent| absent.ends_at(grace)));
        let source = format!("{}:{}", row.source, row.info.href);
        let state = format!("not found since {since}; its alarms stay scheduled; dropped at {end} unless it is found");
        table.row([
            Cell::plain(row.info.name),
            Cell::plain(row.info.user),
            Cell::plain(source),
            Cell::new(state, Style::Doubtful),
        ]);
    }
    context.printer.line("")?;
    context.printer.table(&table)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::Lateness;

    #[test]
    fn lateness_by_rank() {
        assert_eq!(Lateness::of(&[]), None);
        let lateness = |firings, millis: [i64; 3]| {
            let [p50, p99, max] = millis.map(SignedDuration::from_millis);
            Some(Lateness { firings, p50, p99, max })
        };
        assert_eq!(Lateness::of(&[SignedDuration::from_millis(4)]), lateness(1, [4, 4, 4]));
        let hundred: Vec<SignedDuration> = (1..=200).map(SignedDuration::from_millis).collect();
        assert_eq!(Lateness::of(&hundred), lateness(200, [100, 198, 200]));
    }
}

//! `reveille calendars`: what is watched, and what is wrong in it.

use std::path::Path;

use serde::Serialize;

use super::common::{LedgerArgs, block_on, written, written_or_dash};
use super::{Context, printer::Cell, printer::ExitStatus, printer::Style, printer::Table};
use crate::ledger::{CalendarStats, FaultyObject, Inspector};

/// List the calendars that are watched
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    ledger: LedgerArgs,
    /// List the objects with faults instead: what is wrong in each, and how it is read
    #[arg(long)]
    faults: bool,
}

/// `calendars --faults --json`: one object a calendar object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Faulty<'a> {
    source: &'a str,
    calendar_name: &'a str,
    user_id: &'a str,
    href: &'a str,
    faults: &'a [String],
}

/// `calendars --json`: one object a calendar.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Calendar<'a> {
    source: &'a str,
    href: &'a str,
    calendar_id: &'a str,
    calendar_name: &'a str,
    user_id: &'a str,
    calendar_owner: &'a str,
    shared: &'static str,
    calendar_color: &'a str,
    objects: i64,
    faulty_objects: i64,
    armed: i64,
    next_due: Option<String>,
    first_seen: String,
    last_synced_at: String,
    absent_since: Option<String>,
}

pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<ExitStatus> {
    let config = args.ledger.config(context)?;
    if args.faults {
        return faults(&config.ledger, context);
    }
    let calendars = block_on(async {
        let mut inspector = Inspector::open(&config.ledger).await?;
        let calendars = inspector.calendars().await?;
        inspector.close().await?;
        Ok(calendars)
    })?;
    if context.printer.json() {
        for stats in &calendars {
            context.printer.object(&json(stats))?;
        }
    } else {
        context.printer.table(&table(&calendars))?;
    }
    Ok(ExitStatus::Success)
}

fn faults(ledger: &Path, context: &mut Context) -> anyhow::Result<ExitStatus> {
    let objects = block_on(async {
        let mut inspector = Inspector::open(ledger).await?;
        let objects = inspector.faulty().await?;
        inspector.close().await?;
        Ok(objects)
    })?;
    if context.printer.json() {
        for FaultyObject { source, calendar, user, href, faults } in &objects {
            context.printer.object(&Faulty { source, calendar_name: calendar, user_id: user, href, faults })?;
        }
        return Ok(ExitStatus::Success);
    }
    let mut table = Table::new(&["CALENDAR", "USER", "OBJECT", "FAULT"]);
    for FaultyObject { source, calendar, user, href, faults } in objects {
        for fault in faults {
            let place = format!("{source}:{href}");
            table.row([calendar.clone(), user.clone(), place, fault].map(Cell::plain));
        }
    }
    context.printer.table(&table)?;
    Ok(ExitStatus::Success)
}

fn json(stats: &CalendarStats) -> Calendar<'_> {
    let calendar = &stats.calendar;
    let info = &calendar.info;
    Calendar {
        source: &calendar.source,
        href: &info.href,
        calendar_id: &info.id,
        calendar_name: &info.name,
        user_id: &info.user,
        calendar_owner: &info.owner,
        shared: info.shared_alarms.as_str(),
        calendar_color: &info.color,
        objects: stats.objects,
        faulty_objects: stats.faulty,
        armed: stats.armed,
        next_due: stats.next_due.map(|at| at.to_string()),
        first_seen: calendar.first_seen.to_string(),
        last_synced_at: calendar.last_synced_at.to_string(),
        absent_since: calendar.absent.map(|absent| absent.since.to_string()),
    }
}

fn table(calendars: &[CalendarStats]) -> Table {
    let headings = ["CALENDAR", "USER", "SOURCE", "OBJECTS", "FAULTY", "ARMED", "NEXT DUE", "LAST SYNCED", "STATE"];
    let mut table = Table::new(&headings);
    for stats in calendars {
        let calendar = &stats.calendar;
        let state = match calendar.absent {
            Some(absent) => Cell::new(format!("absent since {}", written(absent.since)), Style::Doubtful),
            None => Cell::new("ok", Style::Good),
        };
        table.row([
            Cell::plain(calendar.info.name.clone()),
            Cell::plain(calendar.info.user.clone()),
            Cell::plain(format!("{}:{}", calendar.source, calendar.info.href)),
            Cell::plain(stats.objects.to_string()),
            Cell::new(stats.faulty.to_string(), if stats.faulty > 0 { Style::Doubtful } else { Style::Plain }),
            Cell::plain(stats.armed.to_string()),
            Cell::plain(written_or_dash(stats.next_due)),
            Cell::plain(written_or_dash(Some(calendar.last_synced_at))),
            state,
        ]);
    }
    table
}

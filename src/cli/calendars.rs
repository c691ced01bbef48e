//! `reveille calendars`: what is watched, and what is wrong in it.

use std::path::Path;

use serde::Serialize;

use super::look::{LedgerArgs, block_on, written, written_or_dash};
use super::{Context, printer::Exit, printer::Table, printer::Tone};
use crate::ledger::{CalendarFigures, FaultyObject, Inspector};

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
    calendar_color: &'a str,
    objects: i64,
    faulty_objects: i64,
    armed: i64,
    next_due: Option<String>,
    first_seen: String,
    looked_at: String,
    absent_since: Option<String>,
}

pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<Exit> {
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
        for figures in &calendars {
            context.printer.object(&json(figures))?;
        }
    } else {
        context.printer.table(&table(&calendars))?;
    }
    Ok(Exit::Done)
}

fn faults(ledger: &Path, context: &mut Context) -> anyhow::Result<Exit> {
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
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["CALENDAR", "USER", "OBJECT", "FAULT"]);
    for FaultyObject { source, calendar, user, href, faults } in objects {
        for fault in faults {
            let place = format!("{source}:{href}");
            table.row([calendar.clone(), user.clone(), place, fault].map(|text| (text, Tone::Plain)));
        }
    }
    context.printer.table(&table)?;
    Ok(Exit::Done)
}

fn json(figures: &CalendarFigures) -> Calendar<'_> {
    let calendar = &figures.calendar;
    Calendar {
        source: &calendar.source,
        href: &calendar.href,
        calendar_id: &calendar.key,
        calendar_name: &calendar.name,
        user_id: &calendar.user,
        calendar_owner: &calendar.owner,
        calendar_color: &calendar.color,
        objects: figures.objects,
        faulty_objects: figures.faulty,
        armed: figures.armed,
        next_due: figures.next_due.map(|at| at.to_string()),
        first_seen: figures.first_seen.to_string(),
        looked_at: calendar.looked_at.to_string(),
        absent_since: calendar.absent.map(|absent| absent.since.to_string()),
    }
}

fn table(calendars: &[CalendarFigures]) -> Table {
    let headings = ["CALENDAR", "USER", "SOURCE", "OBJECTS", "FAULTY", "ARMED", "NEXT DUE", "LOOKED AT", "STATE"];
    let mut table = Table::new(&headings);
    for figures in calendars {
        let calendar = &figures.calendar;
        let plain = |text: String| (text, Tone::Plain);
        let state = match calendar.absent {
            Some(absent) => (format!("absent since {}", written(absent.since)), Tone::Doubtful),
            None => ("ok".to_owned(), Tone::Good),
        };
        table.row([
            plain(calendar.name.clone()),
            plain(calendar.user.clone()),
            plain(format!("{}:{}", calendar.source, calendar.href)),
            plain(figures.objects.to_string()),
            (figures.faulty.to_string(), if figures.faulty > 0 { Tone::Doubtful } else { Tone::Plain }),
            plain(figures.armed.to_string()),
            plain(written_or_dash(figures.next_due)),
            plain(written_or_dash(Some(calendar.looked_at))),
            state,
        ]);
    }
    table
}

//! `reveille zones`: which time zone database is in use, and where others differ from it.

use std::path::Path;

use jiff::SignedDuration;
use serde::Serialize;

use super::common::offset;
use super::{Context, printer::Cell, printer::ExitStatus, printer::Style, printer::Table};
use crate::calendar::zone::{Difference, Zones};
use crate::config::Overrides;
use crate::time::UtcMillis;
use crate::zoneinfo::system_folder;

/// How far ahead databases are compared: five years.
const AHEAD: SignedDuration = SignedDuration::from_hours(5 * 365 * 24);

/// Show the time zone database in use, and where others differ
///
/// The database in use is the one that `zoneinfo` in the configuration names; by default, it is that of the system or
/// the built-in one, whichever is newer. It is compared, for the coming five years, with the others: that of the
/// system, the built-in one, and that of the library chrono-tz, which is used only for zones that a database lacks.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// `zones --json`: one object a database, the one in use first, then one a difference.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DatabaseFacts<'a> {
    database: &'a str,
    version: &'a str,
    origin: &'a str,
    in_use: bool,
    zones: usize,
    /// How many zones differ from the database in use.
    differences: usize,
}

/// A zone for which a database differs from the one in use.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DifferenceFacts<'a> {
    zone: &'a str,
    /// The database that differs.
    database: &'a str,
    from: String,
    offset: String,
    other_offset: String,
}

/// A database that is not in use.
struct Other {
    name: &'static str,
    zones: Zones,
    differences: Vec<Difference>,
}

pub(super) fn run(_: &Args, context: &mut Context) -> anyhow::Result<ExitStatus> {
    let config = context.config(&Overrides::default())?;
    let used = Zones::load(&config.zoneinfo)?;
    let others = others(&used, context.clock.now());
    if context.printer.json() {
        print_json(&used, &others, context)?;
    } else {
        print_text(&used, &others, context)?;
    }
    Ok(ExitStatus::Success)
}

/// The databases that exist besides `used`, each with its differences from `now` on.
fn others(used: &Zones, now: UtcMillis) -> Vec<Other> {
    let all = [Zones::system(), Some(Zones::bundled()), Some(Zones::compiled())];
    let others = all.into_iter().flatten().filter(|zones| zones.origin() != used.origin());
    others
        .map(|zones| {
            let differences = used.differences(&zones, now, now.saturating_add(AHEAD));
            Other { name: name(&zones), zones, differences }
        })
        .collect()
}

/// What a database is called here.
fn name(zones: &Zones) -> &'static str {
    match zones.origin() {
        "bundled" => "bundled",
        "chrono-tz" => "chrono-tz",
        origin if system_folder().is_some_and(|folder| folder == Path::new(origin)) => "system",
        _ => "folder",
    }
}

fn print_json(used: &Zones, others: &[Other], context: &mut Context) -> anyhow::Result<()> {
    let first = (name(used), used, true, 0);
    let rest = others.iter().map(|other| (other.name, &other.zones, false, other.differences.len()));
    for (database, zones, in_use, differences) in std::iter::once(first).chain(rest) {
        context.printer.object(&DatabaseFacts {
            database,
            version: zones.version(),
            origin: zones.origin(),
            in_use,
            zones: zones.ids().count(),
            differences,
        })?;
    }
    for other in others {
        for difference in &other.differences {
            context.printer.object(&DifferenceFacts {
                zone: &difference.zone,
                database: other.name,
                from: difference.from.to_string(),
                offset: offset(difference.offset),
                other_offset: offset(difference.other),
            })?;
        }
    }
    Ok(())
}

fn print_text(used: &Zones, others: &[Other], context: &mut Context) -> anyhow::Result<()> {
    let mut fields = vec![("in use", format!("{}, {} zones", which(used), used.ids().count()))];
    for other in others {
        let differ = match other.differences.len() {
            0 => ": agrees for all zones".to_owned(),
            1 => ": differs for 1 zone".to_owned(),
            n => format!(": differs for {n} zones"),
        };
        fields.push((other.name, format!("{}{differ}", which(&other.zones))));
    }
    context.printer.fields(&fields)?;
    let mut table = Table::new(&["ZONE", "DATABASE", "FROM", "IN USE", "THERE"]);
    let lines = others.iter().flat_map(|other| other.differences.iter().map(move |difference| (other, difference)));
    for (other, difference) in lines {
        table.row([
            Cell::plain(&*difference.zone),
            Cell::plain(format!("{} {}", other.name, other.zones.version())),
            Cell::plain(difference.from.to_string()),
            Cell::new(offset(difference.offset), Style::Good),
            Cell::new(offset(difference.other), Style::Doubtful),
        ]);
    }
    if others.iter().any(|other| !other.differences.is_empty()) {
        context.printer.line("")?;
        context.printer.table(&table)?;
    }
    Ok(())
}

/// The release and where it is from.
fn which(zones: &Zones) -> String {
    match zones.origin() {
        "bundled" => format!("{}, the program's own", zones.version()),
        "chrono-tz" => format!("{}, built into the library", zones.version()),
        folder => format!("{} in {folder}", zones.version()),
    }
}

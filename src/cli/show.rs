//! `reveille show`: one event with its alarms.

use serde::Serialize;

use super::common::{LedgerArgs, NotificationSummary, block_on, distance, state_word, written, written_or_dash};
use super::upcoming::{Upcoming, UpcomingAlarms, no_sink_notes};
use super::{Context, printer::Cell, printer::ExitStatus, printer::Style, printer::Table};
use crate::ledger::{FiringRow, FiringState, FiringsOf, Inspector, ObjectRow};
use crate::time::UtcMillis;

/// So many firings are shown, and so many alarm instances to come.
const SHOWN: usize = 10;

/// Show an event or to-do: where it is, its faults, which of its alarms fired and which are next
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Its UID
    uid: String,
    /// Print its iCalendar text as well
    #[arg(long)]
    text: bool,
    #[command(flatten)]
    ledger: LedgerArgs,
}

/// `show --json`: one object for each calendar object that has the UID.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    uid: &'a str,
    user_id: &'a str,
    calendar_name: &'a str,
    source: &'a str,
    calendar_href: &'a str,
    href: &'a str,
    etag: &'a str,
    last_modified: Option<String>,
    faults: Vec<String>,
    next_due: Option<String>,
    /// The next alarm instances, as `alarms` lists them.
    upcoming: &'a [Upcoming],
    /// The last firings, the latest last.
    fired: Vec<Fired>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Fired {
    firing: i64,
    due: String,
    fired_at: String,
    state: Option<FiringState>,
    count: i64,
}

/// An object, its firings and its next alarm instances.
struct Seen {
    object: ObjectRow,
    upcoming: Vec<Upcoming>,
    fired: Vec<FiringRow>,
}

pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<ExitStatus> {
    let config = args.ledger.config(context)?;
    let now = context.clock.now();
    let upcoming_alarms = UpcomingAlarms::new(&config)?;
    let seen = block_on(async {
        let mut inspector = Inspector::open(&config.ledger).await?;
        let mut seen = Vec::new();
        for object in inspector.objects_of(&args.uid).await? {
            let of = FiringsOf { object: object.id, uid: &args.uid, user: &object.calendar.info.user };
            let mut fired = inspector.firings(UtcMillis::MIN, Some(of), i64::try_from(SHOWN)?).await?;
            fired.reverse();
            let upcoming = upcoming_alarms.instances_of(&object, &args.uid, SHOWN);
            seen.push(Seen { object, upcoming, fired });
        }
        inspector.close().await?;
        Ok(seen)
    })?;
    if seen.is_empty() {
        context.printer.error(format!("no object in the ledger has the UID '{}'", args.uid));
        return Ok(ExitStatus::Failure);
    }
    for (index, one) in seen.iter().enumerate() {
        if context.printer.json() {
            context.printer.object(&shown(one, args))?;
        } else {
            if index > 0 {
                context.printer.line("")?;
            }
            print_text(one, args, now, context)?;
        }
    }
    Ok(ExitStatus::Success)
}

fn faults(object: &ObjectRow) -> Vec<String> {
    object.faults.as_deref().and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}

fn shown<'a>(seen: &'a Seen, args: &'a Args) -> Shown<'a> {
    let Seen { object, upcoming, .. } = seen;
    let fired = |row: &FiringRow| Fired {
        firing: row.id,
        due: row.due.to_string(),
        fired_at: row.fired_at.to_string(),
        state: row.state,
        count: row.count,
    };
    Shown {
        uid: &args.uid,
        user_id: &object.calendar.info.user,
        calendar_name: &object.calendar.info.name,
        source: &object.calendar.source,
        calendar_href: &object.calendar.info.href,
        href: &object.href,
        etag: &object.etag,
        last_modified: object.last_modified.map(|at| at.to_string()),
        faults: faults(object),
        next_due: object.due.map(|at| at.to_string()),
        upcoming,
        fired: seen.fired.iter().map(fired).collect(),
        text: args.text.then(|| String::from_utf8_lossy(&object.text).into_owned()),
    }
}

/// What has fired, and what is to come.
fn table(seen: &Seen, now: UtcMillis) -> Table {
    let Seen { upcoming, fired, .. } = seen;
    let mut table = Table::new(&["DUE", "", "STATE", "ACTION", "START", "SUMMARY"]);
    for row in fired {
        let notification = NotificationSummary::of(&row.notification);
        table.row([
            Cell::plain(written(row.due)),
            Cell::new(distance(now, row.due), Style::Faint),
            Cell::new(
                state_word(row.state),
                if row.state == Some(FiringState::Fired) { Style::Good } else { Style::Doubtful },
            ),
            Cell::plain(notification.action),
            Cell::plain(notification.start),
            Cell::plain(notification.summary),
        ]);
    }
    for instance in upcoming {
        table.row([
            Cell::plain(written(instance.at)),
            Cell::new(distance(now, instance.at), Style::Faint),
            if instance.at < now { Cell::new("overdue", Style::Doubtful) } else { Cell::plain("armed") },
            Cell::plain(&*instance.action),
            Cell::plain(&*instance.start),
            Cell::plain(&*instance.summary),
        ]);
    }
    table
}

fn print_text(seen: &Seen, args: &Args, now: UtcMillis, context: &mut Context) -> anyhow::Result<()> {
    let Seen { object, upcoming, fired } = seen;
    let calendar = &object.calendar;
    let mut fields = vec![
        ("uid", args.uid.clone()),
        ("calendar", format!("{} of {}", calendar.info.name, calendar.info.user)),
        ("object", format!("{}:{} {}", calendar.source, calendar.info.href, object.href)),
        ("modified", written_or_dash(object.last_modified)),
    ];
    fields.extend(faults(object).into_iter().map(|fault| ("fault", fault)));
    context.printer.fields(&fields)?;
    context.printer.line("")?;
    if fired.is_empty() && upcoming.is_empty() {
        let none = "The ledger has no record of an alarm of it, and none is armed: 'reveille explain UID' says why.";
        context.printer.line(none)?;
    } else {
        context.printer.table(&table(seen, now))?;
        no_sink_notes(upcoming).iter().try_for_each(|note| context.printer.line(note))?;
    }
    if args.text {
        context.printer.line("")?;
        for line in String::from_utf8_lossy(&object.text).lines() {
            context.printer.line(line)?;
        }
    }
    Ok(())
}

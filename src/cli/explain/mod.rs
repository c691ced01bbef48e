//! `reveille explain`: why an event's alarms fire when they do, and why others do not. The explanation of the calendar
//! core becomes a report, together with what the ledger has recorded; the report is printed as text or as JSON.

mod outcome;
mod recorded;
mod report;
mod text;

use std::path::Path;

use super::common::{LedgerArgs, block_on};
use super::ics_input::{self, InputCalendar, UserZone, Whose};
use super::reach::Reach;
use super::{Context, Usage, instant, printer::ExitStatus};
use crate::calendar::explain::{AlarmStatus, ExplainedAlarm, Explanation};
use crate::calendar::ical::alarm::{Action, Alarm};
use crate::calendar::ical::object::{Object, ObjectLimits};
use crate::calendar::schedule::Schedule;
use crate::calendar::schedule::alarm_instance::AlarmInstance;
use crate::calendar::zone::Zones;
use crate::calendar_info::CalendarInfo;
use crate::config::Config;
use crate::firing;
use crate::ledger::{Inspector, LedgerError, ObjectRow};
use crate::notification::{About, identity, identity_of};
use crate::text::hex;
use crate::time::UtcMillis;
use outcome::{InstanceOutcome, Ledgered};
use report::{ExplainReport, InstanceFacts, ReportBuilder};

/// So many instants at which it fires are derived, and with --at only the first.
const COUNT: usize = 3;

/// Say why an event's alarms fire when they do, or why they do not
///
/// For a file, it shows step by step how each instance follows from the text, and why other alarms do not fire; this
/// needs no ledger. For a UID, it shows the same for each object in the ledger that contains it, and also which alarms
/// fired, were missed or were suppressed, and what became of their deliveries.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A UID, or a file of iCalendar text (- for standard input); if a file of that name exists, it is read
    #[arg(value_name = "UID|FILE")]
    what: String,
    /// Start from the instance at this instant, such as 2026-03-10T12:00:00Z, else from the next one [default: now]
    #[arg(long, value_name = "T", value_parser = instant)]
    at: Option<UtcMillis>,
    /// Explain the instances at this many instants [default: 3, or 1 with --at]
    #[arg(long, value_name = "N")]
    count: Option<usize>,
    /// For a file: the user's zone, for floating times and dates, such as Europe/Berlin
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// For a file: an address of the user (may be repeated; the first one is userId)
    #[arg(long, value_name = "ADDR")]
    user: Vec<String>,
    #[command(flatten)]
    ledger: LedgerArgs,
}

pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<ExitStatus> {
    let config = args.ledger.config(context)?;
    let zones = Zones::load(&config.zoneinfo)?;
    let now = context.clock.now();
    let reach = Reach::new(&config);
    let asked = Asked { args, config: &config, zones: &zones, reach: &reach, at: args.at.unwrap_or(now), now };
    let path = Path::new(&args.what);
    let reports = if args.what == "-" {
        asked.file(None)
    } else if path.is_dir() {
        return Err(Usage(format!("{} is a folder: name a file in it, or use 'preview'", path.display())).into());
    } else if path.exists() {
        asked.file(Some(path))
    } else {
        asked.ledger()
    };
    let reports = match reports? {
        Ok(reports) => reports,
        Err(error) => {
            context.printer.error(error);
            return Ok(ExitStatus::Failure);
        }
    };
    for (index, report) in reports.iter().enumerate() {
        if context.printer.json() {
            context.printer.object(report)?;
        } else {
            if index > 0 {
                context.printer.line("")?;
            }
            text::print(report, asked.at, &mut context.printer)?;
        }
    }
    Ok(ExitStatus::Success)
}

/// What is asked, and what the answer depends on.
struct Asked<'a> {
    args: &'a Args,
    config: &'a Config,
    zones: &'a Zones,
    reach: &'a Reach,
    at: UtcMillis,
    now: UtcMillis,
}

/// A report for each UID and object, or a sentence that says why there is none.
type Answer = anyhow::Result<Result<Vec<ExplainReport>, String>>;

impl Asked<'_> {
    fn count(&self) -> usize {
        self.args.count.unwrap_or(if self.args.at.is_some() { 1 } else { COUNT })
    }

    fn limits(&self) -> ObjectLimits {
        self.config.limits.objects
    }

    /// Explains a file, or standard input, without a ledger.
    fn file(&self, path: Option<&Path>) -> Answer {
        if let Some(id) = self.args.zone.as_deref().filter(|id| self.zones.resolve(id, None, None).is_none()) {
            return Err(Usage(format!("--zone '{id}' is not a known time zone: name one as in Europe/Berlin")).into());
        }
        let name = path.map_or_else(|| "standard input".to_owned(), |path| path.display().to_string());
        let octets =
            path.map_or_else(|| ics_input::standard_input(self.config), |path| ics_input::read(path, self.config));
        let octets = match octets {
            Ok(octets) => octets,
            Err(error) => return Ok(Err(error)),
        };
        let whose = Whose { users: &self.args.user, zone: self.args.zone.as_deref() };
        let InputCalendar { info, user_zone } = ics_input::calendar(path, None, self.config, whose);
        let calendar_context = firing::context(&info, self.zones.clone(), self.limits());
        let about = firing::about(&info);
        let builder = self.builder(user_zone, &about, &info);
        let reports = Schedule::of_text(&octets, &calendar_context, None, |_, schedule| {
            let explained = schedule.explain(&octets, self.at, self.count());
            if explained.is_empty() {
                let why = schedule.faults().first().map(|fault| format!(": {fault}")).unwrap_or_default();
                return Err(format!("{name} holds no event and no to-do that can be read{why}"));
            }
            let faults: Vec<String> = schedule.faults().iter().map(ToString::to_string).collect();
            let report = |explained| ExplainReport {
                file: Some(name.clone()),
                faults: faults.clone(),
                ..builder.report(explained)
            };
            Ok(explained.iter().map(report).collect())
        });
        Ok(reports.unwrap_or_else(|error| Err(format!("{name} is not read: {error}"))))
    }

    fn builder<'b>(&'b self, user_zone: UserZone, about: &'b About, info: &'b CalendarInfo) -> ReportBuilder<'b> {
        ReportBuilder { zones: self.zones, user_zone, at: self.at, reach: self.reach, about, info }
    }

    /// Explains what the ledger has of a UID.
    fn ledger(&self) -> Answer {
        let uid = &self.args.what;
        let reports = block_on(async {
            let mut inspector = Inspector::open(&self.config.ledger).await?;
            let mut reports = Vec::new();
            for row in inspector.objects_of(uid).await? {
                reports.push(self.object(&mut inspector, &row).await?);
            }
            inspector.close().await?;
            Ok(reports)
        });
        match reports {
            Ok(reports) if reports.is_empty() => {
                Ok(Err(format!("no object in the ledger has the UID '{uid}', and no file is called that")))
            }
            Ok(reports) => Ok(Ok(reports)),
            Err(error) if matches!(error.downcast_ref(), Some(LedgerError::Missing { .. })) => {
                Ok(Err(format!("no file is called '{uid}', and {error}")))
            }
            Err(error) => Err(error),
        }
    }

    /// Explains what the object `row` has of the UID.
    async fn object(&self, inspector: &mut Inspector, row: &ObjectRow) -> anyhow::Result<ExplainReport> {
        let uid = &self.args.what;
        let configured = self.config.sources.iter().find(|source| source.name == row.calendar.source);
        let user_zone = UserZone::of(configured, self.config, &row.calendar.info.user);
        let about = firing::about(&row.calendar.info);
        let builder = self.builder(user_zone, &about, &row.calendar.info);
        let calendar_context = firing::context(&row.calendar.info, self.zones.clone(), self.limits());
        let mut report = builder.empty(uid);
        if let Ok(object) = Object::parse(&row.text, &self.limits()) {
            // Its other UIDs count as well: all of them share a limit of alarms an hour (rule 24).
            let schedule = Schedule::new(&object, &calendar_context, row.count_cache.as_deref());
            if let Some(explained) = schedule.explain_uid(uid, &row.text, self.at, self.count()) {
                report = builder.report(&explained);
                let ledgered = Ledgered::new(inspector, row, self.config, self.now).await?;
                let identify = |instance: &AlarmInstance<'_>| identity(&about, &row.href, instance);
                add_outcomes(&mut report.instances, &explained, &ledgered, inspector, identify).await?;
                let identify = |action: Action, at| identity_of(&about.user, uid, action.name(), at);
                let alarms = report.components.iter_mut().flat_map(|component| &mut component.alarms);
                let statuses = explained.components.iter().flat_map(|component| &component.alarms);
                for (alarm, explained) in alarms.zip(statuses) {
                    let Some(outcome) = status_outcome(explained, &schedule, &ledgered, inspector, &identify).await?
                    else {
                        continue;
                    };
                    alarm.standing = Some(outcome.sentence);
                    alarm.outcome = Some(outcome.state);
                }
            }
        }
        report.faults = row.faults.as_deref().and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        report.object = Some(recorded::facts(row));
        report.history = recorded::history(inspector, row, uid).await?;
        Ok(report)
    }
}

/// Adds what became, or will become, of each of the instances that `explained` has, which are those of `report`.
async fn add_outcomes(
    report: &mut [InstanceFacts],
    explained: &Explanation<'_>,
    ledgered: &Ledgered<'_>,
    inspector: &mut Inspector,
    identify: impl Fn(&AlarmInstance<'_>) -> [u8; 16],
) -> Result<(), LedgerError> {
    for (facts, derivation) in report.iter_mut().zip(&explained.instances) {
        let id = identify(&derivation.instance);
        let outcome = ledgered.outcome(inspector, derivation.instance.at, Some(id)).await?;
        facts.standing = Some(outcome.sentence);
        facts.outcome = Some(outcome.state);
        facts.notification_id = Some(hex(&id));
        facts.recorded = outcome.recorded;
    }
    Ok(())
}

/// What became, or will become, of the instance that the status of an alarm is about; none: it is about none.
async fn status_outcome(
    explained: &ExplainedAlarm<'_>,
    schedule: &Schedule<'_>,
    ledgered: &Ledgered<'_>,
    inspector: &mut Inspector,
    identify: &impl Fn(Action, UtcMillis) -> [u8; 16],
) -> Result<Option<InstanceOutcome>, LedgerError> {
    let (Some(at), Some(action)) = (explained.status.instance(), explained.alarm.action) else { return Ok(None) };
    let id = identify(action, at);
    match explained.status {
        // The status says why it is not due; it may have fired before that was written.
        AlarmStatus::Acknowledged { .. } | AlarmStatus::TakenAway(_) => ledgered.recorded(inspector, id).await,
        _ => {
            let id = fires_at(schedule, explained.alarm, at).then_some(id);
            ledgered.outcome(inspector, at, id).await.map(Some)
        }
    }
}

/// Whether `alarm` fires at `at`, alone or together with others.
fn fires_at(schedule: &Schedule<'_>, alarm: &Alarm, at: UtcMillis) -> bool {
    let is_of = |instance: &AlarmInstance<'_>| {
        instance.alarm.iter().chain(&instance.joined).any(|one| std::ptr::eq(*one, alarm))
    };
    schedule.instances(at..at.just_after()).iter().any(is_of)
}

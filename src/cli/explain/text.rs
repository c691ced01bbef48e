//! A report for people.

use super::recorded::{DeliveryFacts, Recorded};
use super::report::{AlarmFacts, ComponentFacts, ExplainReport, InstanceFacts, SinkFacts, StepFacts};
use crate::calendar::zone::Ambiguity;
use crate::cli::common::{distance, length, state_word, written};
use crate::cli::printer::{PrintError, Printer};
use crate::ledger::FiringState;
use crate::time::UtcMillis;

/// Prints `report`, as seen from `at`.
pub(super) fn print(report: &ExplainReport, at: UtcMillis, printer: &mut Printer) -> Result<(), PrintError> {
    printer.fields(&head(report, at))?;
    for component in &report.components {
        printer.line("")?;
        self::component(component, printer)?;
    }
    if !report.instances.is_empty() {
        printer.line("")?;
        printer.line("How its alarms come about")?;
    }
    for instance in &report.instances {
        self::instance(instance, at, printer)?;
    }
    if !report.withheld.is_empty() {
        printer.line("")?;
        printer.line("What does not fire meanwhile")?;
    }
    for held in &report.withheld {
        printer.line(format!("  {}  {}{}: {}", written(held.at), held.action, which(held.alarm), held.why))?;
    }
    if !report.history.is_empty() {
        printer.line("")?;
        printer.line("What the ledger has recorded")?;
    }
    for recorded in &report.history {
        self::recorded(recorded, printer)?;
    }
    Ok(())
}

fn head(report: &ExplainReport, at: UtcMillis) -> Vec<(&'static str, String)> {
    let mut fields = vec![("uid", report.uid.clone())];
    fields.extend(report.file.clone().map(|file| ("file", file)));
    if let Some(object) = &report.object {
        fields.push(("calendar", format!("{} of {}", object.calendar_name, object.user_id)));
        fields.push(("object", format!("{}:{} {}", object.source, object.calendar_href, object.href)));
        fields.push(("etag", format!("{}, content number {}", object.etag, object.revision)));
        fields.push(("modified", object.last_modified.clone().unwrap_or_else(|| "-".to_owned())));
        fields.push(("first seen", object.first_seen.clone()));
        fields.push(("last synced", object.last_synced_at.clone()));
        fields.push(("armed for", object.next_due.clone().unwrap_or_else(|| "nothing".to_owned())));
    }
    let origin = match report.tz_origin.as_str() {
        "bundled" => "the program's own".to_owned(),
        origin => format!("from {origin}"),
    };
    fields.push(("tz database", format!("{}, {origin}", report.tz_version)));
    fields.push(("seen from", written(at)));
    fields.extend(report.no_address.iter().map(|why| ("address", why.clone())));
    fields.extend(report.faults.iter().map(|fault| ("fault", fault.clone())));
    fields
}

fn component(explained: &ComponentFacts, printer: &mut Printer) -> Result<(), PrintError> {
    let ComponentFacts { component, line, summary, .. } = explained;
    printer.line(format!("{component} in line {line}: {summary}"))?;
    for date in &explained.dates {
        let stated = date.written.as_deref().unwrap_or(date.name);
        match (&date.zone.zone, &date.zone.zone_why) {
            (Some(zone), Some(why)) => printer.line(format!("  {stated}  in {zone} ({why})"))?,
            _ => printer.line(format!("  {stated}"))?,
        }
    }
    if let Some(silent) = &explained.silent {
        printer.line(format!("  none of its alarms fires: {silent}"))?;
    }
    if let Some(from) = &explained.alarms_ignored_by {
        printer.line(format!("  its own alarms do not fire: {} says ignore_alarms = true", place(from)))?;
    }
    if let Some(why) = &explained.alarms_withheld {
        printer.line(format!("  its own alarms do not fire: {why}"))?;
    }
    if let Some(from) = &explained.default_alarms_from {
        let has_own = explained.alarms_ignored_by.is_some() || explained.alarms_withheld.is_some();
        let own = if has_own { "" } else { "it has no alarm of its own: " };
        match from.as_str() {
            "server" => printer.line(format!("  {own}the calendar's default alarms fire"))?,
            from => printer.line(format!("  {own}the default_alarms of {} fire", place(from)))?,
        }
    } else if explained.alarms.is_empty() && explained.alarms_ignored_by.is_none() {
        printer.line("  it has no alarm")?;
    }
    explained.faults.iter().try_for_each(|fault| printer.line(format!("  fault in {fault}")))?;
    explained.alarms.iter().try_for_each(|explained| alarm(explained, printer))
}

/// A part of the configuration that says something of alarms.
fn place(from: &str) -> &'static str {
    match from {
        "calendar" => "[[source.alarms]]",
        "user" => "[users]",
        _ => "[[source]]",
    }
}

fn alarm(explained: &AlarmFacts, printer: &mut Printer) -> Result<(), PrintError> {
    let AlarmFacts { action, trigger, counts_from, why, .. } = explained;
    let place = explained.line.map_or_else(|| "default alarm".to_owned(), |line| format!("alarm in line {line}"));
    let trigger = trigger.as_deref().map(|trigger| format!(", {trigger}")).unwrap_or_default();
    let time = explained.all_day_at.as_deref().map(|time| format!(", at {time} (all_day_at)")).unwrap_or_default();
    printer.line(format!("  {place}: {action}{trigger}, counts from {counts_from}{time}"))?;
    match &explained.standing {
        Some(standing) => printer.line(format!("    {why}; {standing}"))?,
        None => printer.line(format!("    {why}"))?,
    }
    explained.faults.iter().try_for_each(|fault| printer.line(format!("    fault in {fault}")))?;
    explained.no_sink.iter().try_for_each(|why| printer.line(format!("    {why}")))
}

fn instance(explained: &InstanceFacts, at: UtcMillis, printer: &mut Printer) -> Result<(), PrintError> {
    let which = which(explained.alarm);
    printer.line(format!(
        "  {}  {}{which} ({})",
        written(explained.at),
        explained.action,
        distance(at, explained.at)
    ))?;
    let mut given = explained.given_by.clone();
    if !explained.recurrence_id.is_empty() {
        given.push_str(&format!(" gives {}", explained.recurrence_id));
    }
    printer.line(format!("    {given}, in the component of line {}", explained.component))?;
    if let (Some(zone), Some(why)) = (&explained.zone.zone, &explained.zone.zone_why) {
        printer.line(format!("    zone {zone}: {why}"))?;
    }
    for explained in &explained.steps {
        step(explained, printer)?;
    }
    if !explained.joined.is_empty() {
        let lines: Vec<String> = explained.joined.iter().map(ToString::to_string).collect();
        printer.line(format!("    the alarms in the lines {} fire as one with it", lines.join(", ")))?;
    }
    if let Some(standing) = &explained.standing {
        printer.line(format!("    {standing}"))?;
    }
    match &explained.recorded {
        Some(recorded) => deliveries(recorded, printer),
        None => routes(explained, printer),
    }
}

fn step(explained: &StepFacts, printer: &mut Printer) -> Result<(), PrintError> {
    let by = explained.by.as_deref().unwrap_or_default();
    let nth = explained.repetition.unwrap_or_default();
    let label = match explained.step {
        "occurrence" => "occurrence".to_owned(),
        "moved" => format!("moved {by} in local time"),
        "end" => "its end".to_owned(),
        "triggerDays" => format!("trigger {by} in local time"),
        "triggerTime" => format!("trigger {by} elapsed"),
        "repeatDays" => format!("repetition {nth}: {by} in local time"),
        "repeatTime" => format!("repetition {nth}: {by} elapsed"),
        "snooze" => "snoozed until".to_owned(),
        _ => "trigger".to_owned(),
    };
    let choice = match explained.choice {
        Ambiguity::Exact => "",
        Ambiguity::Gap => "  (the clocks skip this time: the offset before)",
        Ambiguity::Fold => "  (this time comes twice: the first)",
    };
    let StepFacts { day, zone, offset, instant, .. } = explained;
    printer.line(format!("      {label:<28} {day} {zone} {offset} = {}{choice}", written(*instant)))
}

fn recorded(explained: &Recorded, printer: &mut Printer) -> Result<(), PrintError> {
    let Recorded { firing, due, lateness, count, action, .. } = explained;
    let many = if *count > 1 { format!(" ×{count}") } else { String::new() };
    let state = state_word(explained.state);
    printer.line(format!("  firing {firing}: due {due}, {state}{many} {} late  {action}", length(*lateness)))?;
    deliveries(explained, printer)
}

/// Where an instance will go, and when.
fn routes(explained: &InstanceFacts, printer: &mut Printer) -> Result<(), PrintError> {
    if let Some(why) = &explained.no_sink {
        return printer.line(format!("    {why}"));
    }
    // Of one sink that does not write to people there is nothing to tell.
    let are_told = explained.sinks.len() > 1 || explained.sinks.iter().any(|sink| !sink.recipients.is_empty());
    for SinkFacts { sink, recipients, refusal } in explained.sinks.iter().filter(|_| are_told) {
        let to = if recipients.is_empty() { String::new() } else { format!(" for {}", recipients.join(", ")) };
        match refusal {
            None => printer.line(format!("    it goes to the sink '{sink}'{to}"))?,
            Some(why) => printer.line(format!("    it does not go to the sink '{sink}': {why}"))?,
        }
    }
    let mut held = explained.held_until.iter();
    held.try_for_each(|until| printer.line(format!("    it is held until {until} by quiet hours")))
}

fn deliveries(explained: &Recorded, printer: &mut Printer) -> Result<(), PrintError> {
    if explained.state == Some(FiringState::Fired) && explained.deliveries.is_empty() {
        return printer.line("    no delivery is recorded: no sink took it");
    }
    explained.deliveries.iter().try_for_each(|one| delivery(one, printer))
}

fn delivery(explained: &DeliveryFacts, printer: &mut Printer) -> Result<(), PrintError> {
    let DeliveryFacts { sink, recipient, attempts, .. } = explained;
    let state = state_word(explained.state);
    let to = if recipient.is_empty() { String::new() } else { format!(" to {recipient}") };
    let when = match (&explained.settled_at, &explained.next_attempt) {
        (Some(at), _) => format!(" at {at}"),
        (None, Some(at)) if explained.held_until.is_some() => format!(", held until {at} by quiet hours"),
        (None, Some(at)) => format!(", next try not before {at}"),
        (None, None) => String::new(),
    };
    let response = explained.response.as_deref().map(|response| format!(": {response}")).unwrap_or_default();
    printer.line(format!("    {sink}{to}: {state}{when}, {attempts} tries{response}"))
}

/// Which alarm: by its line.
fn which(line: Option<u32>) -> String {
    line.map(|line| format!(" of the alarm in line {line}")).unwrap_or_default()
}

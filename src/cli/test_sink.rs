//! `reveille test-sink`: one alarm, marked as a test, through a sink.

use super::common::{block_on, sink_context};
use super::{Context, Usage, printer::ExitStatus, rights};
use crate::config::{Config, Overrides};
use crate::delivery::address::key;
use crate::delivery::sink::any_sink::Sink;
use crate::delivery::sink::{ClaimedDelivery, Outcome, Recipients};
use crate::notification::Notification;
use crate::time::UtcMillis;

/// Send one alarm, marked as a test, through a sink
///
/// It bypasses the ledger: nothing is recorded, and nothing is retried. Root creates the file of a file sink for the
/// user that the daemon runs as.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The sink's name in the configuration
    name: String,
    /// For an e-mail sink: who gets the mail [default: the first address that the sink or a source names]
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
}

pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<ExitStatus> {
    let config = context.config(&Overrides::default())?;
    let Some(settings) = config.sinks.iter().find(|sink| sink.name == args.name) else {
        let names: Vec<&str> = config.sinks.iter().map(|sink| sink.name.as_str()).collect();
        context.printer.error(format!("there is no sink '{}'; there are: {}", args.name, names.join(", ")));
        return Ok(ExitStatus::Failure);
    };
    if let Some(path) = settings.settings.appends_to()
        && let Err(why) = rights::make_sink_file(&config, path)
    {
        context.printer.error(format!("the sink '{}' was not tried: {why}", args.name));
        return Ok(ExitStatus::Failure);
    }
    let recipient = match settings.settings.recipients() {
        Some(recipients) => recipient(args, recipients, &config)?,
        None => String::new(),
    };
    let now = context.clock.now();
    let json = notification(&config, &recipient, now).to_json();
    let sink_context = sink_context(&config, &context.clock)?;
    let outcome = block_on(async {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let sink = Sink::open(settings, &sink_context)?;
        let delivery = ClaimedDelivery {
            firing: 0,
            recipient: recipient.clone(),
            notification: json.into(),
            fired_at: now,
            attempts: 0,
            unknown: 0,
        };
        Ok(sink.send_one(delivery).await)
    })?;
    let to = if recipient.is_empty() { String::new() } else { format!(" for {recipient}") };
    report(&args.name, &to, outcome, context)
}

/// Says what became of the alarm that went to the sink `name`; `to` says for whom it was.
fn report(name: &str, to: &str, outcome: Outcome, context: &mut Context) -> anyhow::Result<ExitStatus> {
    match outcome {
        Outcome::Delivered => {
            context.printer.note(format!("the sink '{name}' accepted the alarm{to}"));
            Ok(ExitStatus::Success)
        }
        Outcome::Unknown { response } => {
            context.printer.error(format!("the sink '{name}' may or may not have accepted the alarm{to}: {response}"));
            Ok(ExitStatus::Failure)
        }
        Outcome::Retry { response, .. }
        | Outcome::Held { response, .. }
        | Outcome::Permanent { response }
        | Outcome::Down { response, .. } => {
            context.printer.error(format!("the sink '{name}' did not accept the alarm{to}: {response}"));
            Ok(ExitStatus::Failure)
        }
        Outcome::NotAttempted | Outcome::InFlight => anyhow::bail!("the sink '{name}' did not respond"),
    }
}

/// Who gets the mail.
fn recipient(args: &Args, recipients: &Recipients, config: &Config) -> anyhow::Result<String> {
    let listed = match recipients {
        Recipients::List(list) => list.first(),
        Recipients::Own | Recipients::Attendees => None,
    };
    let own = || {
        let of_users = config.users.values().flat_map(|user| &user.email);
        of_users.chain(config.sources.iter().flat_map(|source| &source.email)).next()
    };
    match args.to.as_ref().or(listed).or_else(own) {
        Some(address) => Ok(address.clone()),
        None => Err(Usage("no address is configured to send a test to: name one with --to".to_owned()).into()),
    }
}

/// The user with the address `address`, in whose zone and language the mail is; else the address.
fn user_of<'c>(address: &'c str, config: &'c Config) -> &'c str {
    let wanted = key(address);
    let is_own = |emails: &[String]| emails.iter().any(|email| key(email) == wanted);
    let user = config.users.iter().find(|(_, user)| is_own(&user.email)).map(|(name, _)| name.as_str());
    let of_source =
        || config.sources.iter().find(|source| is_own(&source.email)).and_then(|source| source.user.as_deref());
    user.or_else(of_source).unwrap_or(address)
}

/// An alarm at this moment, for an event at this moment.
fn notification(config: &Config, recipient: &str, now: UtcMillis) -> Notification {
    let user = if recipient.is_empty() { "test" } else { user_of(recipient, config) };
    let recipients = if recipient.is_empty() { Vec::new() } else { vec![format!("mailto:{recipient}")] };
    Notification {
        event: "CalendarAlarm".to_owned(),
        pid: std::process::id(),
        server_fqdn: config.defaults.server_name.clone(),
        alarm_time: now.basic(),
        alarm_recipients: recipients,
        user_id: user.to_owned(),
        calendar_name: "Test".to_owned(),
        uid: format!("test-{}", now.0),
        action: "email".to_owned(),
        summary: "Test of reveille".to_owned(),
        description: "This is a test: 'reveille test-sink' sent it. No event has an alarm now.".to_owned(),
        location: String::new(),
        timezone: "UTC".to_owned(),
        start: now.basic(),
        end: now.basic(),
        all_day: 0,
        attendee_names: Vec::new(),
        attendee_emails: Vec::new(),
        attendee_status: Vec::new(),
        organizer: String::new(),
        calendar_id: "test".to_owned(),
        calendar_color: String::new(),
        calendar_owner: user.to_owned(),
        recurrence_id: String::new(),
        alert_id: "test".to_owned(),
        alarm_summary: "Test of reveille".to_owned(),
        alarm_description: "This is a test: 'reveille test-sink' sent it.".to_owned(),
        component: "VEVENT".to_owned(),
        organizer_name: String::new(),
        url: String::new(),
        conferences: Vec::new(),
        recurrence_rule: String::new(),
        notification_id: format!("test-{}", now.0),
        answer_url: String::new(),
        timestamp: now.to_string(),
    }
}

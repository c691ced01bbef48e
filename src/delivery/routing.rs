//! Which sinks an alarm goes to, and for those that write to people: to whom.

use std::collections::HashMap;

use super::email::bare;
use crate::config::{Recipients, Sink, SinkKind};
use crate::ledger::Route;
use crate::notification::Notification;

/// The sinks' wishes, with the ids that the ledger knows the sinks by.
#[derive(Clone, Debug)]
pub struct Routing {
    sinks: Vec<(i64, Wishes)>,
}

#[derive(Clone, Debug)]
struct Wishes {
    actions: Vec<String>,
    users: Vec<String>,
    calendars: Vec<String>,
    /// None for sinks that do not write to people.
    recipients: Option<Recipients>,
}

impl Routing {
    /// The routing to `sinks`; those without an id in `ids` get nothing.
    pub fn new(sinks: &[Sink], ids: &HashMap<String, i64>) -> Routing {
        let wishes = |sink: &Sink| {
            let recipients = match &sink.kind {
                SinkKind::Email(email) => Some(email.recipients.clone()),
                SinkKind::Stdout { .. } | SinkKind::File { .. } | SinkKind::CyrusNotify { .. } => None,
            };
            let (actions, users) = (sink.actions.clone(), sink.users.clone());
            Wishes { actions, users, calendars: sink.calendars.clone(), recipients }
        };
        let known = |sink: &Sink| ids.get(&sink.name).map(|id| (*id, wishes(sink)));
        Routing { sinks: sinks.iter().filter_map(known).collect() }
    }

    /// Where `alarm` goes; `own` are the addresses of its user.
    pub fn routes(&self, alarm: &Notification, own: &[String]) -> Vec<Route> {
        let mut routes = Vec::new();
        for (sink, wishes) in &self.sinks {
            if !wishes.take(alarm) {
                continue;
            }
            let recipients = match &wishes.recipients {
                None => vec![String::new()],
                Some(recipients) => addresses(recipients, alarm, own),
            };
            routes.extend(recipients.into_iter().map(|recipient| Route { sink: *sink, recipient }));
        }
        routes.sort_unstable();
        routes.dedup();
        routes
    }
}

impl Wishes {
    fn take(&self, alarm: &Notification) -> bool {
        let calendar = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => alarm.calendar_name.starts_with(start) || alarm.calendar_id.starts_with(start),
            None => *pattern == alarm.calendar_name || *pattern == alarm.calendar_id,
        };
        (self.actions.is_empty() || self.actions.contains(&alarm.action))
            && (self.users.is_empty() || self.users.contains(&alarm.user_id))
            && (self.calendars.is_empty() || self.calendars.iter().any(calendar))
    }
}

/// Whom to write to, bare addresses.
fn addresses(recipients: &Recipients, alarm: &Notification, own: &[String]) -> Vec<String> {
    let named = || alarm.alarm_recipients.iter().map(|uri| bare(uri).into_owned());
    match recipients {
        Recipients::List(list) => list.clone(),
        Recipients::Attendees => named().collect(),
        Recipients::Own => {
            let mine: Vec<String> =
                own.iter().filter(|own| named().any(|n| n.eq_ignore_ascii_case(own))).cloned().collect();
            if mine.is_empty() { own.first().cloned().into_iter().collect() } else { mine }
        }
    }
}

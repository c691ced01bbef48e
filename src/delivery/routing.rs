//! Which sinks an alarm goes to, and for those that write to people: to whom.

use std::collections::{HashMap, HashSet};

use super::address::{bare, key};
use super::alarm_filter::AlarmFilter;
use super::sink::{Recipients, SinkConfig};
use super::user_routing::UserRouting;
use crate::calendar::ical::alarm::Action;
use crate::calendar::ical::component::Component;
use crate::calendar::zone::Zone;
use crate::ledger::Route;
use crate::notification::Notification;
use crate::text::matches_pattern;
use crate::time::UtcMillis;

/// The filters of the sinks, with the ids that the ledger knows the sinks by, and what users say.
#[derive(Clone, Debug)]
pub struct Routing {
    sinks: Vec<(i64, SinkFilter)>,
    /// By userId.
    users: HashMap<String, UserRouting>,
}

/// What of an alarm decides which sinks take it.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// `display`, `email` or `audio`.
    pub action: &'a str,
    /// The userId whose alarms these are.
    pub user: &'a str,
    /// The calendar's displayed name.
    pub calendar_name: &'a str,
    /// The calendarId: the last segment of its path.
    pub calendar_id: &'a str,
    /// The addresses that the alarm itself names, `mailto:` URIs.
    pub recipients: &'a [String],
    /// The event or to-do. Its categories and the user's status are taken from here, because notifications do not have
    /// the one, and not always the other: attendees are left out of long ones.
    pub component: &'a Component,
}

/// What a sink makes of an alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkDecision {
    /// The name of the sink.
    pub sink: String,
    /// Whom it writes to; empty if it does not take the alarm, or does not write to people.
    pub recipients: Vec<String>,
    /// Why it does not take the alarm, a sentence; none if it does.
    pub refusal: Option<String>,
}

#[derive(Clone, Debug)]
struct SinkFilter {
    name: String,
    actions: Vec<String>,
    users: Vec<String>,
    calendars: Vec<String>,
    filter: AlarmFilter,
    /// Whether it takes store events.
    events: bool,
    /// None for sinks that do not write to people.
    recipients: Option<Recipients>,
}

impl Routing {
    /// The routing to `sinks`, by what `users` say, by userId; sinks without an id in `ids` get nothing.
    pub fn new(sinks: &[SinkConfig], users: HashMap<String, UserRouting>, ids: &HashMap<String, i64>) -> Routing {
        let filter = |sink: &SinkConfig| {
            let recipients = sink.settings.recipients().cloned();
            let events = sink.takes_events();
            let (actions, users) = (sink.actions.clone(), sink.users.clone());
            SinkFilter {
                name: sink.name.clone(),
                actions,
                users,
                calendars: sink.calendars.clone(),
                filter: sink.filter.clone(),
                events,
                recipients,
            }
        };
        let known = |sink: &SinkConfig| ids.get(&sink.name).map(|id| (*id, filter(sink)));
        Routing { sinks: sinks.iter().filter_map(known).collect(), users }
    }

    /// Where `alarm` goes; `own` are the addresses of its user. One without a recipient to a sink that writes to people
    /// is owed and cannot be delivered: silence must not be taken for an answer.
    pub fn routes(&self, alarm: Envelope<'_>, own: &[String]) -> Vec<Route> {
        let mut routes = self.routes_of(alarm, own);
        if own.is_empty() && self.user_refusal(alarm, own).is_none() {
            let lacking = self.sinks.iter().filter(|(_, filter)| filter.writes_to(alarm.user));
            let lacking = lacking.filter(|(_, filter)| filter.refusal(alarm, own).is_none());
            routes.extend(lacking.map(|(sink, _)| Route { sink: *sink, recipient: String::new(), not_before: None }));
            routes.sort_unstable();
        }
        routes
    }

    /// Until when quiet hours of its user hold `alarm`, which fires at `at`; none if they do not. `zone` is that of the
    /// user.
    pub fn held_until(&self, alarm: Envelope<'_>, at: UtcMillis, zone: impl FnOnce() -> Zone) -> Option<UtcMillis> {
        let quiet = self.users.get(alarm.user)?.quiet.as_ref()?;
        if alarm.action == Action::Email.name() && !quiet.email {
            return None;
        }
        quiet.end(at, &zone())
    }

    /// Where a store event goes of a calendar of `user` that has this name and id: to sinks that take events, whatever
    /// actions they take, and write to nobody.
    pub fn event_routes(&self, user: &str, name: &str, id: &str) -> Vec<Route> {
        let takes = |filter: &SinkFilter| filter.events && filter.is_user(user) && filter.is_calendar(name, id);
        let sinks = self.sinks.iter().filter(|(_, filter)| takes(filter));
        sinks.map(|(sink, _)| Route { sink: *sink, recipient: String::new(), not_before: None }).collect()
    }

    /// Why a user of whom no address is known misses alarms, and what to do; none where no sink writes to the user.
    pub fn no_address(&self, user: &str) -> Option<String> {
        self.sinks.iter().any(|(_, filter)| filter.writes_to(user)).then(|| no_address(user))
    }

    /// Why `alarm` goes to no sink whatever the sinks say; none if nothing of its user says so.
    fn user_refusal(&self, alarm: Envelope<'_>, own: &[String]) -> Option<String> {
        let user = self.users.get(alarm.user)?;
        let (table, name) = (format!("[users.\"{}\"]", alarm.user.escape_debug()), alarm.calendar_name);
        if user.muted.iter().any(|pattern| is_meant(pattern, name, alarm.calendar_id)) {
            return Some(format!("the calendar '{}' is muted in {table}", name.escape_debug()));
        }
        user.filter.refusal(&table, alarm.component, own)
    }

    fn routes_of(&self, alarm: Envelope<'_>, own: &[String]) -> Vec<Route> {
        let mut routes = Vec::new();
        if self.user_refusal(alarm, own).is_some() {
            return routes;
        }
        for (sink, filter) in self.sinks.iter().filter(|(_, filter)| filter.refusal(alarm, own).is_none()) {
            let recipients = match &filter.recipients {
                None => vec![String::new()],
                Some(recipients) => addresses(recipients, alarm, own),
            };
            routes.extend(recipients.into_iter().map(|recipient| Route { sink: *sink, recipient, not_before: None }));
        }
        routes.sort_unstable();
        routes
    }

    /// What each sink makes of `alarm` of the user with the addresses `own`, in the order of the configuration.
    pub fn decisions(&self, alarm: Envelope<'_>, own: &[String]) -> Vec<SinkDecision> {
        let of_user = self.user_refusal(alarm, own);
        let decision = |(_, filter): &(i64, SinkFilter)| {
            let refusal = of_user.clone().or_else(|| filter.refusal(alarm, own));
            let to = filter.recipients.as_ref().filter(|_| refusal.is_none());
            let recipients = to.map(|to| addresses(to, alarm, own));
            let lacks = recipients.as_ref().is_some_and(Vec::is_empty);
            SinkDecision {
                sink: filter.name.clone(),
                recipients: recipients.unwrap_or_default(),
                refusal: refusal.or_else(|| lacks.then(|| filter.no_address(alarm))),
            }
        };
        self.sinks.iter().map(decision).collect()
    }

    /// Why `alarm` goes to no sink: what its user says, else a reason for each of them. None where a sink takes it.
    pub fn no_sink(&self, alarm: Envelope<'_>, own: &[String]) -> Option<String> {
        if !self.routes_of(alarm, own).is_empty() {
            return None;
        }
        let reason =
            |(_, filter): &(i64, SinkFilter)| filter.refusal(alarm, own).unwrap_or_else(|| filter.no_address(alarm));
        let reasons = || self.sinks.iter().map(reason).collect::<Vec<_>>().join("; ");
        Some(self.user_refusal(alarm, own).unwrap_or_else(reasons))
    }
}

impl<'a> Envelope<'a> {
    /// That of `alarm`, an alarm of `component`.
    pub fn of(alarm: &'a Notification, component: &'a Component) -> Envelope<'a> {
        Envelope {
            action: &alarm.action,
            user: &alarm.user_id,
            calendar_name: &alarm.calendar_name,
            calendar_id: &alarm.calendar_id,
            recipients: &alarm.alarm_recipients,
            component,
        }
    }
}

/// What to do about a user of whom no address is known.
pub fn no_address(user: &str) -> String {
    let user = user.escape_debug();
    format!("no address of '{user}' is known, so no mail can be sent there: write [users.\"{user}\"] email = [\"...\"]")
}

impl SinkFilter {
    /// Whether it is the user's own addresses that alarms of `user` go to.
    fn writes_to(&self, user: &str) -> bool {
        self.recipients == Some(Recipients::Own) && self.is_user(user)
    }

    /// Whether it takes what is of `user`.
    fn is_user(&self, user: &str) -> bool {
        self.users.is_empty() || self.users.iter().any(|one| one == user)
    }

    /// Whether it takes what is of the calendar `name` with the id `id`.
    fn is_calendar(&self, name: &str, id: &str) -> bool {
        self.calendars.is_empty() || self.calendars.iter().any(|pattern| is_meant(pattern, name, id))
    }

    /// Why the sink does not take `alarm` of the user with the addresses `own`; none where it does.
    fn refusal(&self, alarm: Envelope<'_>, own: &[String]) -> Option<String> {
        let SinkFilter { name, actions, .. } = self;
        if !actions.is_empty() && !actions.iter().any(|action| action == alarm.action) {
            let (action, wanted) = (alarm.action.to_uppercase(), with_action(actions, alarm.action));
            return Some(format!("the sink '{name}' does not take the action {action} (set actions = {wanted} on it)"));
        }
        if !self.is_user(alarm.user) {
            return Some(format!("'{}' is not among the users of the sink '{name}'", alarm.user));
        }
        if !self.is_calendar(alarm.calendar_name, alarm.calendar_id) {
            return Some(format!("'{}' is not among the calendars of the sink '{name}'", alarm.calendar_name));
        }
        self.filter.refusal(&format_args!("the sink '{name}'"), alarm.component, own)
    }

    /// Why the sink has no one to write to about `alarm`.
    fn no_address(&self, alarm: Envelope<'_>) -> String {
        match self.recipients {
            Some(Recipients::Attendees) => {
                format!("the sink '{}' writes to the alarm's attendees, and it has none", self.name)
            }
            _ => format!("the sink '{}' writes to the user, and {}", self.name, no_address(alarm.user)),
        }
    }
}

/// Whether a sink's `pattern` means the calendar `name` with the id `id`.
pub fn is_meant(pattern: &str, name: &str, id: &str) -> bool {
    matches_pattern(pattern, name) || matches_pattern(pattern, id)
}

/// The actions whose alarms go to no sink at all, with the sink that could take them and a sentence that says how.
pub fn untaken(sinks: &[SinkConfig]) -> Vec<(String, String)> {
    let is_mail = |sink: &&SinkConfig| sink.settings.recipients().is_some();
    let Some(nearest) = sinks.iter().find(is_mail).or(sinks.first()) else { return Vec::new() };
    let takes =
        |sink: &SinkConfig, action: &str| sink.actions.is_empty() || sink.actions.iter().any(|own| own == action);
    let mut actions = nearest.actions.clone();
    let mut found = Vec::new();
    for action in ["display", "email", "audio"] {
        if sinks.iter().any(|sink| takes(sink, action)) {
            continue;
        }
        let (name, wanted, action_text) = (&nearest.name, with_action(&actions, action), action.to_uppercase());
        actions.push(action.to_owned());
        let found_one =
            format!("alarms with action {action_text} go to no sink: set actions = {wanted} on sink \"{name}\"");
        found.push((name.clone(), found_one));
    }
    found
}

/// `actions` and `action`, as the configuration spells them: `["email", "display"]`.
pub fn with_action(actions: &[String], action: &str) -> String {
    let all = actions.iter().map(String::as_str).chain([action]).map(|action| format!("\"{action}\""));
    format!("[{}]", all.collect::<Vec<_>>().join(", "))
}

/// Whom to write to: bare addresses, each once, in the spelling that comes first.
fn addresses(recipients: &Recipients, alarm: Envelope<'_>, own: &[String]) -> Vec<String> {
    let mut addresses: Vec<String> = match recipients {
        Recipients::List(list) => list.clone(),
        Recipients::Attendees => alarm.recipients.iter().map(|uri| bare(uri).into_owned()).collect(),
        Recipients::Own => {
            let named: HashSet<String> = alarm.recipients.iter().map(|uri| key(uri)).collect();
            let mine: Vec<String> = own.iter().filter(|own| named.contains(&key(own))).cloned().collect();
            if mine.is_empty() { own.first().cloned().into_iter().collect() } else { mine }
        }
    };
    if addresses.len() > 1 {
        let mut seen = HashSet::new();
        addresses.retain(|address| seen.insert(key(address)));
    }
    addresses
}

//! The rules of when an alarm fires, each with tests of its own: `rule_05_…` holds the fifth one to account. Events are
//! written here as short as they can be; what an event is wrapped in is added by [`Case`].

mod explanations;
mod filters;
mod hostile;
mod instants;
mod limits;
mod occurrences;
mod overrides;
mod parsing;
mod properties;
mod slips;
mod snoozes;
mod zones;

use crate::calendar::context::CalendarContext;
use crate::calendar::explain::{AlarmStatus, GivenBy};
use crate::calendar::ical::object::Object;
use crate::calendar::schedule::Schedule;
use crate::calendar::schedule::alarm_instance::{AlarmInstance, When};
use crate::calendar::zone::Zones;
use crate::time::UtcMillis;

/// An object in its context. The user lives in Berlin unless a test moves her.
struct Case {
    text: String,
    context: CalendarContext,
}

impl Case {
    /// One or several components, their lines divided by LF.
    fn new(components: &str) -> Case {
        let text = format!(
            "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//Reveille//Test//EN\n{}\nEND:VCALENDAR\n",
            components.trim()
        );
        Case { text, context: CalendarContext::new(Zones::bundled()).with_user_zone(Some("Europe/Berlin"), None) }
    }

    /// An event with these properties and one alarm for each trigger (`-PT15M`, or a whole line).
    fn event(properties: &str, triggers: &[&str]) -> Case {
        Case::new(&vevent(properties, triggers))
    }

    /// A to-do, likewise.
    fn todo(properties: &str, triggers: &[&str]) -> Case {
        Case::new(&vevent(properties, triggers).replace("VEVENT", "VTODO"))
    }

    fn context(mut self, change: impl FnOnce(CalendarContext) -> CalendarContext) -> Case {
        self.context = change(self.context);
        self
    }

    fn with<T>(&self, ask: impl FnOnce(&Schedule<'_>) -> T) -> T {
        let object = Object::parse(self.text.as_bytes(), &self.context.limits).unwrap();
        ask(&Schedule::new(&object, &self.context, None))
    }

    /// When it fires in a window: `20260310T081500Z`, or, where the action is not `display`, `20260310T081500Z email`.
    fn between(&self, from: &str, until: &str) -> Vec<String> {
        self.with(|schedule| {
            let instances = schedule.instances(at(from)..at(until));
            explained(schedule, &self.text, at(from)..at(until));
            let explained = instances.iter().map(|instance| match instance.action.name() {
                "display" => instance.at.basic(),
                action => format!("{} {action}", instance.at.basic()),
            });
            explained.collect()
        })
    }

    /// When it fires at all; for what does not fire for ever.
    fn instances(&self) -> Vec<String> {
        self.between("0001-01-02", "9999-01-01")
    }

    /// The first `count` fires from `from` on, found one by one.
    fn following(&self, from: &str, count: usize) -> Vec<String> {
        self.with(|schedule| {
            let first = schedule.next_instance(at(from));
            let after = |last: &UtcMillis| schedule.next_instance(last.just_after());
            std::iter::successors(first, after).take(count).map(UtcMillis::basic).collect()
        })
    }

    /// Start and end of the first instance, as the notification tells them.
    fn first_bounds(&self) -> (String, String) {
        self.with(|schedule| {
            let instances = schedule.instances(UtcMillis::MIN..UtcMillis::MAX);
            let explained = |when: Option<When>| match when {
                None => "none".to_owned(),
                Some(When::Date(date)) => date.strftime("%Y%m%d").to_string(),
                Some(When::At(at)) => at.basic(),
            };
            (explained(instances[0].start), explained(instances[0].end))
        })
    }

    /// The name of the zone that the first instance tells.
    fn zone_name(&self) -> String {
        self.with(|schedule| schedule.instances(UtcMillis::MIN..UtcMillis::MAX)[0].zone_name().to_owned())
    }

    /// RECURRENCE-ID of each instance.
    fn recurrence_ids(&self) -> Vec<String> {
        self.with(|schedule| {
            schedule
                .instances(UtcMillis::MIN..UtcMillis::MAX)
                .iter()
                .map(|instance| instance.recurrence_id_text())
                .collect()
        })
    }

    /// What is wrong with it: `line: sentence`.
    fn faults(&self) -> Vec<String> {
        self.with(|schedule| schedule.faults().iter().map(|fault| format!("{}: {}", fault.line, fault.text)).collect())
    }
}

/// Asserts, for any object that a test has at hand, that the explanation says what the schedule does: each instance's
/// steps lead to its instant, the instances that are listed are the next ones, the next instance of all alarms is the
/// schedule's, and what is withheld does not fire.
fn explained(schedule: &Schedule<'_>, text: &str, window: std::ops::Range<UtcMillis>) {
    const COUNT: usize = 3;
    let instances = schedule.instances(window.clone());
    for instance in &instances {
        let derivation = schedule.derive(instance);
        let last = derivation.steps.last().map(|step| step.at);
        assert_eq!(last, Some(instance.at), "the steps lead elsewhere: {derivation:?}");
    }
    let mut first = None;
    for explained in schedule.explain(text.as_bytes(), window.start, COUNT) {
        let mut instants: Vec<UtcMillis> =
            explained.instances.iter().map(|derivation| derivation.instance.at).collect();
        instants.dedup();
        let of_uid = |instance: &&AlarmInstance<'_>| &*instance.component.uid == explained.uid;
        let mut expected: Vec<UtcMillis> = instances.iter().filter(of_uid).map(|instance| instance.at).collect();
        expected.dedup();
        expected.truncate(COUNT);
        instants.retain(|at| *at < window.end);
        assert_eq!(instants, expected);
        let statuses = explained.components.iter().flat_map(|component| &component.alarms).map(|alarm| &alarm.status);
        let nexts = statuses.filter_map(|status| match status {
            AlarmStatus::Due(at) => Some(*at),
            _ => None,
        });
        let snoozes = explained
            .instances
            .iter()
            .filter(|explained| explained.given == GivenBy::Snooze)
            .map(|explained| explained.instance.at);
        first = first.into_iter().chain(nexts).chain(snoozes).min();
        for withheld in &explained.withheld {
            let key = withheld.instance.key();
            assert!(instances.iter().all(|instance| instance.key() != key), "{withheld:?} fires");
        }
    }
    assert_eq!(first, schedule.next_instance(window.start));
}

/// An event of the UID `u`.
fn vevent(properties: &str, triggers: &[&str]) -> String {
    let alarms: Vec<String> = triggers.iter().map(|trigger| alarm(trigger)).collect();
    format!("BEGIN:VEVENT\nUID:u\n{}\n{}\nEND:VEVENT", properties.trim(), alarms.join("\n"))
}

/// A DISPLAY alarm with this trigger, or with these lines.
fn alarm(trigger: &str) -> String {
    let lines = if trigger.contains("TRIGGER") { trigger.to_owned() } else { format!("TRIGGER:{trigger}") };
    let action = if lines.contains("ACTION") { "" } else { "ACTION:DISPLAY\n" };
    format!("BEGIN:VALARM\n{action}{lines}\nEND:VALARM")
}

/// An instant: `2026-03-10` or `2026-03-10T08:15`, in UTC.
fn at(text: &str) -> UtcMillis {
    let time = if text.contains('T') { format!("{text}:00Z") } else { format!("{text}T00:00:00Z") };
    UtcMillis::parse(&time).unwrap()
}

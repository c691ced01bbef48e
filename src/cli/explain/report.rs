//! The report: all that is known of one UID of one object, as `--json` prints it and as the text is made from.

use serde::Serialize;

use super::recorded::{ObjectFacts, Recorded};
use crate::calendar::explain::{
    AlarmStatus, Derivation, DerivationStep, ExplainedAlarm, ExplainedComponent, Explanation, GivenBy, Stated,
    StepKind, WithheldInstance, ZoneOrigin, ZoneUse,
};
use crate::calendar::ical::alarm::Alarm;
use crate::calendar::ical::component::Component;
use crate::calendar::ical::value::Duration;
use crate::calendar::zone::{Ambiguity, TzidMatch, Zones};
use crate::calendar_info::CalendarInfo;
use crate::cli::common::offset;
use crate::cli::ics_input::UserZone;
use crate::cli::reach::Reach;
use crate::delivery::routing::{Envelope, SinkDecision};
use crate::notification::About;
use crate::time::UtcMillis;

/// `explain --json`: one object a UID and calendar object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExplainReport {
    pub(super) uid: String,
    /// The file that was read; null for what the ledger has.
    pub(super) file: Option<String>,
    /// As seen from this instant.
    pub(super) at: String,
    pub(super) tz_version: String,
    pub(super) tz_origin: String,
    /// Null for a file.
    pub(super) object: Option<ObjectFacts>,
    pub(super) faults: Vec<String>,
    /// Why no mail can be sent to its user; null where it can, or none is to be sent.
    pub(super) no_address: Option<String>,
    pub(super) components: Vec<ComponentFacts>,
    pub(super) instances: Vec<InstanceFacts>,
    pub(super) withheld: Vec<WithheldFacts>,
    pub(super) history: Vec<Recorded>,
}

/// An event or a to-do.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ComponentFacts {
    pub(super) component: &'static str,
    pub(super) line: u32,
    pub(super) summary: String,
    pub(super) dates: Vec<DateFacts>,
    pub(super) silent: Option<String>,
    pub(super) default_alarms: bool,
    /// `server`, `calendar`, `source` or `user`.
    pub(super) default_alarms_from: Option<String>,
    /// What says that its own alarms do not fire: `calendar`, `source` or `user`.
    pub(super) alarms_ignored_by: Option<String>,
    /// Why its own alarms do not fire and default alarms do, in a calendar that is another user's.
    pub(super) alarms_withheld: Option<String>,
    pub(super) alarms: Vec<AlarmFacts>,
    /// What is wrong in its lines, those of its alarms left out.
    pub(super) faults: Vec<String>,
}

/// A property that says when a component is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DateFacts {
    pub(super) name: &'static str,
    pub(super) written: Option<String>,
    #[serde(flatten)]
    pub(super) zone: ZoneFacts,
}

/// A zone and where it comes from; nulls where there is none.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ZoneFacts {
    pub(super) zone: Option<String>,
    /// `utc`, `tzid`, `prefix`, `windows`, `location`, `vtimezone`, `likely`, `unknown`, `calendar`, `object`,
    /// `option`, `user`, `source`, `defaults`, `none`.
    pub(super) zone_from: Option<&'static str>,
    pub(super) zone_why: Option<String>,
}

/// An alarm and what becomes of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AlarmFacts {
    /// Null for a default alarm.
    pub(super) line: Option<u32>,
    pub(super) action: String,
    pub(super) trigger: Option<String>,
    pub(super) counts_from: String,
    /// The time of day that `all_day_at` moves it to; null if it does not.
    pub(super) all_day_at: Option<String>,
    /// `due`, `suppressed`, `silent`, `over`, `acknowledged`, `takenAway`, `never`.
    pub(super) status: &'static str,
    /// The instance that the status is about.
    pub(super) instance: Option<String>,
    pub(super) why: String,
    /// What the ledger knows of that instance; null for a file, and where there is none.
    pub(super) outcome: Option<String>,
    pub(super) standing: Option<String>,
    /// Why no sink takes it.
    pub(super) no_sink: Option<String>,
    /// What is wrong in its lines, and how it is read.
    pub(super) faults: Vec<String>,
}

/// An alarm instance and how its instant comes about.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InstanceFacts {
    #[serde(skip)]
    pub(super) at: UtcMillis,
    pub(super) due: String,
    pub(super) action: String,
    /// The line of its component, and of its alarm; null for a default alarm or a snooze without one.
    pub(super) component: u32,
    pub(super) alarm: Option<u32>,
    /// The lines of the alarms that fire as one with it.
    pub(super) joined: Vec<u32>,
    pub(super) recurrence_id: String,
    pub(super) given_by: String,
    #[serde(flatten)]
    pub(super) zone: ZoneFacts,
    pub(super) steps: Vec<StepFacts>,
    /// Null for a file, as what follows.
    pub(super) notification_id: Option<String>,
    pub(super) standing: Option<String>,
    pub(super) recorded: Option<Recorded>,
    pub(super) outcome: Option<String>,
    /// Why no sink takes it.
    pub(super) no_sink: Option<String>,
    /// Until when quiet hours of its user hold it; null if they do not, or no sink takes it.
    pub(super) held_until: Option<String>,
    /// What each sink makes of it, by the configuration as it is now.
    pub(super) sinks: Vec<SinkFacts>,
}

/// What a sink makes of an alarm.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SinkFacts {
    pub(super) sink: String,
    pub(super) recipients: Vec<String>,
    /// Why it does not take the alarm; null if it does.
    pub(super) refusal: Option<String>,
}

/// One step on the way to an alarm instance.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StepFacts {
    /// `occurrence`, `moved`, `end`, `triggerDays`, `triggerTime`, `repeatDays`, `repeatTime`, `instant`.
    pub(super) step: &'static str,
    /// By how much, as an iCalendar duration.
    pub(super) by: Option<String>,
    pub(super) civil: String,
    pub(super) zone: String,
    pub(super) offset: String,
    /// `exact`, `gap`, `fold`.
    pub(super) ambiguity: &'static str,
    pub(super) at: String,
    #[serde(skip)]
    pub(super) day: String,
    #[serde(skip)]
    pub(super) instant: UtcMillis,
    #[serde(skip)]
    pub(super) choice: Ambiguity,
    #[serde(skip)]
    pub(super) repetition: Option<u32>,
}

/// An alarm instance that a filter withholds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WithheldFacts {
    #[serde(skip)]
    pub(super) at: UtcMillis,
    pub(super) due: String,
    pub(super) action: String,
    pub(super) component: u32,
    pub(super) alarm: Option<u32>,
    pub(super) recurrence_id: String,
    pub(super) why: String,
}

/// What turns an explanation into a report.
#[derive(Clone, Copy)]
pub(super) struct ReportBuilder<'a> {
    pub(super) zones: &'a Zones,
    pub(super) user_zone: UserZone,
    pub(super) at: UtcMillis,
    pub(super) reach: &'a Reach,
    pub(super) about: &'a About,
    /// Its calendar, with the user's own addresses and zone.
    pub(super) info: &'a CalendarInfo,
}

impl ReportBuilder<'_> {
    /// A report of `uid` that says nothing yet.
    pub(super) fn empty(&self, uid: &str) -> ExplainReport {
        ExplainReport {
            uid: uid.to_owned(),
            file: None,
            at: self.at.to_string(),
            tz_version: self.zones.version().to_owned(),
            tz_origin: self.zones.origin().to_owned(),
            object: None,
            faults: Vec::new(),
            no_address: self.reach.no_address(&self.about.user).filter(|_| self.info.emails.is_empty()),
            components: Vec::new(),
            instances: Vec::new(),
            withheld: Vec::new(),
            history: Vec::new(),
        }
    }

    /// What `explained` says; nothing yet of where it was read.
    pub(super) fn report(&self, explained: &Explanation<'_>) -> ExplainReport {
        ExplainReport {
            components: explained.components.iter().map(|component| self.component(component)).collect(),
            instances: explained.instances.iter().map(|instance| self.instance(instance, explained)).collect(),
            withheld: explained.withheld.iter().map(|withheld| held(withheld, explained)).collect(),
            ..self.empty(explained.uid)
        }
    }

    fn component(&self, explained: &ExplainedComponent<'_>) -> ComponentFacts {
        let date = |stated: &Stated| DateFacts {
            name: stated.name,
            written: stated.written.clone(),
            zone: stated.zone.as_ref().map(|zone| self.zone(zone)).unwrap_or_default(),
        };
        ComponentFacts {
            component: explained.component.kind.name(),
            line: explained.component.line,
            summary: explained.component.summary.to_string(),
            dates: explained.dates.iter().map(date).collect(),
            silent: explained.inactive.as_ref().map(ToString::to_string),
            default_alarms: explained.by_default,
            default_alarms_from: explained.default_origin.map(str::to_owned),
            alarms_ignored_by: explained.alarms_ignored_by.map(str::to_owned),
            alarms_withheld: explained.withheld.map(ToString::to_string),
            alarms: explained.alarms.iter().map(|alarm| self.alarm(alarm, explained)).collect(),
            faults: explained.faults.iter().map(ToString::to_string).collect(),
        }
    }

    fn instance(&self, explained: &Derivation<'_>, all: &Explanation<'_>) -> InstanceFacts {
        let instance = &explained.instance;
        let others =
            instance.joined.iter().filter(|joined| instance.alarm.is_none_or(|own| !std::ptr::eq(own, **joined)));
        let mut joined: Vec<u32> = others.filter_map(|alarm| line(alarm, all)).collect();
        joined.dedup();
        let (action, recipients) = (instance.action.name(), instance.recipients());
        let no_sink = self.no_sink(instance.component, action, &recipients);
        let held_until = || {
            let alarm = self.envelope(instance.component, action, &[]);
            self.reach.held_until(alarm, instance.at, self.zones, self.info.user_zone.as_deref())
        };
        InstanceFacts {
            at: instance.at,
            due: instance.at.to_string(),
            action: instance.action.to_string(),
            component: instance.component.line,
            alarm: instance.alarm.and_then(|alarm| line(alarm, all)),
            joined,
            recurrence_id: instance.recurrence_id_text(),
            given_by: explained.given.to_string(),
            zone: explained.zone.as_ref().map(|zone| self.zone(zone)).unwrap_or_default(),
            steps: explained.steps.iter().map(|one| step(one, explained.given)).collect(),
            notification_id: None,
            standing: None,
            recorded: None,
            outcome: None,
            held_until: if no_sink.is_some() { None } else { held_until().map(|until| until.to_string()) },
            no_sink,
            sinks: self.sinks(instance.component, action, &recipients),
        }
    }

    fn alarm(&self, explained: &ExplainedAlarm<'_>, of: &ExplainedComponent<'_>) -> AlarmFacts {
        let attendees: Vec<&str> = explained.alarm.attendees.iter().map(|attendee| &**attendee).collect();
        let action =
            explained.alarm.action.filter(|_| matches!(explained.status, AlarmStatus::Due(_) | AlarmStatus::Over(_)));
        AlarmFacts {
            line: (!of.by_default).then_some(explained.alarm.line),
            action: explained.alarm.action_text.to_string(),
            trigger: explained.written.clone(),
            counts_from: explained.anchor.to_string(),
            all_day_at: explained.all_day_at.map(|time| time.strftime("%H:%M").to_string()),
            status: word(&explained.status),
            instance: explained.status.instance().map(|at| at.to_string()),
            why: explained.status.to_string(),
            outcome: None,
            standing: None,
            faults: explained.faults.iter().map(ToString::to_string).collect(),
            no_sink: action.and_then(|action| self.no_sink(of.component, action.name(), &attendees)),
        }
    }

    fn no_sink(&self, component: &Component, action: &str, recipients: &[&str]) -> Option<String> {
        let recipients: Vec<String> = recipients.iter().map(|&recipient| recipient.to_owned()).collect();
        self.reach.no_sink(self.envelope(component, action, &recipients), &self.info.emails)
    }

    fn sinks(&self, component: &Component, action: &str, recipients: &[&str]) -> Vec<SinkFacts> {
        let recipients: Vec<String> = recipients.iter().map(|&recipient| recipient.to_owned()).collect();
        let decisions = self.reach.decisions(self.envelope(component, action, &recipients), &self.info.emails);
        let facts = |SinkDecision { sink, recipients, refusal }| SinkFacts { sink, recipients, refusal };
        decisions.into_iter().map(facts).collect()
    }

    fn envelope<'e>(&'e self, component: &'e Component, action: &'e str, recipients: &'e [String]) -> Envelope<'e> {
        let About { user, name, id, .. } = self.about;
        Envelope { action, user, calendar_name: name, calendar_id: id, recipients, component }
    }

    fn zone(&self, explained: &ZoneUse) -> ZoneFacts {
        let tzid = explained.tzid.as_deref().unwrap_or_default();
        // Where it comes from: a word, and a sentence.
        let (from, why) = match (explained.origin, self.user_zone) {
            (ZoneOrigin::Utc, _) => ("utc", "Z says so".to_owned()),
            (ZoneOrigin::Tzid(TzidMatch::Id), _) => match Zones::link_target(explained.zone.id()) {
                Some(target) => ("tzid", format!("TZID names it, an alias of {target}")),
                None => ("tzid", "TZID names it".to_owned()),
            },
            (ZoneOrigin::Tzid(TzidMatch::Prefixed), _) => ("prefix", format!("the TZID '{tzid}' ends in it")),
            (ZoneOrigin::Tzid(TzidMatch::Windows), _) => ("windows", format!("Windows calls it '{tzid}'")),
            (ZoneOrigin::Tzid(TzidMatch::Location), _) => {
                ("location", format!("the VTIMEZONE '{tzid}' stands for it (X-LIC-LOCATION)"))
            }
            (ZoneOrigin::Tzid(TzidMatch::Own), _) => ("vtimezone", "the object's own VTIMEZONE".to_owned()),
            (ZoneOrigin::Tzid(TzidMatch::Offset), _) => ("offset", format!("'{tzid}' states that offset from UTC")),
            (ZoneOrigin::Tzid(TzidMatch::Likely), _) => ("likely", format!("'{tzid}' probably means it")),
            (ZoneOrigin::Unknown, _) => ("unknown", format!("the user's, because the zone '{tzid}' is unknown")),
            (ZoneOrigin::Calendar, _) => ("calendar", "floating: the calendar's zone".to_owned()),
            (ZoneOrigin::Object, _) => ("object", "floating: X-WR-TIMEZONE of the object".to_owned()),
            (ZoneOrigin::User, UserZone::Option) => ("option", "floating: --zone".to_owned()),
            (ZoneOrigin::User, UserZone::User) => ("user", "floating: the user's zone in [users]".to_owned()),
            (ZoneOrigin::User, UserZone::Source) => ("source", "floating: the zone of its source".to_owned()),
            (ZoneOrigin::User, UserZone::Defaults) => ("defaults", "floating: the zone in [defaults]".to_owned()),
            (ZoneOrigin::NoZone, _) => ("none", "floating: UTC, because no zone is known".to_owned()),
        };
        ZoneFacts { zone: Some(explained.zone.id().to_owned()), zone_from: Some(from), zone_why: Some(why) }
    }
}

/// The line of `alarm` where it is written in the object; none for a default alarm.
fn line(alarm: &Alarm, all: &Explanation<'_>) -> Option<u32> {
    let mut of_default =
        all.components.iter().filter(|explained| explained.by_default).flat_map(|explained| &explained.alarms);
    (!of_default.any(|explained| std::ptr::eq(explained.alarm, alarm))).then_some(alarm.line)
}

fn held(withheld: &WithheldInstance<'_>, all: &Explanation<'_>) -> WithheldFacts {
    let instance = &withheld.instance;
    WithheldFacts {
        at: instance.at,
        due: instance.at.to_string(),
        action: instance.action.to_string(),
        component: instance.component.line,
        alarm: instance.alarm.and_then(|alarm| line(alarm, all)),
        recurrence_id: instance.recurrence_id_text(),
        why: withheld.why.to_string(),
    }
}

/// A word for what becomes of an alarm.
fn word(status: &AlarmStatus) -> &'static str {
    match status {
        AlarmStatus::Due(_) => "due",
        AlarmStatus::RateLimited(_) => "suppressed",
        AlarmStatus::Inactive(_) => "silent",
        AlarmStatus::Over(_) => "over",
        AlarmStatus::Acknowledged { .. } => "acknowledged",
        AlarmStatus::TakenAway(_) => "takenAway",
        AlarmStatus::Nothing => "never",
    }
}

fn step(explained: &DerivationStep, given: GivenBy<'_>) -> StepFacts {
    let (step, by, repetition) = match explained.what {
        StepKind::Occurrence => ("occurrence", None, None),
        StepKind::Moved(by) => ("moved", Some(text(Duration::exact(by))), None),
        StepKind::End => ("end", None, None),
        StepKind::TriggerDays(days) => ("triggerDays", Some(text(Duration::days(days))), None),
        StepKind::TriggerTime(time) => ("triggerTime", Some(text(Duration::exact(time))), None),
        StepKind::RepeatDays { nth, days } => ("repeatDays", Some(text(Duration::days(days))), Some(nth)),
        StepKind::RepeatTime { nth, time } => ("repeatTime", Some(text(Duration::exact(time))), Some(nth)),
        StepKind::Instant if given == GivenBy::Snooze => ("snooze", None, None),
        StepKind::Instant => ("instant", None, None),
    };
    StepFacts {
        step,
        by,
        civil: explained.civil.to_string(),
        zone: explained.zone.id().to_owned(),
        offset: offset(explained.offset),
        ambiguity: match explained.ambiguity {
            Ambiguity::Exact => "exact",
            Ambiguity::Gap => "gap",
            Ambiguity::Fold => "fold",
        },
        at: explained.at.to_string(),
        day: explained.civil.strftime("%a %Y-%m-%d %H:%M:%S").to_string(),
        instant: explained.at,
        choice: explained.ambiguity,
        repetition,
    }
}

/// `-P1D`, `PT2H30M`: an iCalendar duration, which has either days or time. Days are not written as weeks.
fn text(duration: Duration) -> String {
    let sign = if duration.days < 0 || duration.time.is_negative() { "-" } else { "" };
    let (days, seconds) = (duration.days.unsigned_abs(), duration.time.as_secs().unsigned_abs());
    if days > 0 || seconds == 0 {
        return format!("{sign}P{days}D");
    }
    let parts = [(seconds / 3600, 'H'), (seconds / 60 % 60, 'M'), (seconds % 60, 'S')];
    let parts = parts.iter().filter(|(count, _)| *count > 0);
    parts.fold(format!("{sign}PT"), |text, (count, unit)| format!("{text}{count}{unit}"))
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::{Duration, text};

    #[test]
    fn durations_are_written_as_calendars_write_them() {
        let seconds = |seconds| text(Duration::exact(SignedDuration::from_secs(seconds)));
        assert_eq!(text(Duration::days(-1)), "-P1D");
        assert_eq!(seconds(9000), "PT2H30M");
        assert_eq!(seconds(-90_005), "-PT25H5S");
        assert_eq!(seconds(0), "P0D");
    }
}

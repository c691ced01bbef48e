//! The next alarm instances of the objects of a ledger, computed from their texts as the daemon does it; for the
//! listings.

use jiff::SignedDuration;
use serde::Serialize;

use super::reach::Reach;
use crate::calendar::ical::object::{Object, ObjectLimits};
use crate::calendar::schedule::Schedule;
use crate::calendar::schedule::alarm_instance::fire_as_one;
use crate::calendar::zone::Zones;
use crate::config::Config;
use crate::delivery::routing::Envelope;
use crate::firing;
use crate::ledger::ObjectRow;
use crate::notification::{About, Notification, Sender, identity};
use crate::time::UtcMillis;

/// So much time is searched at once: it bounds the work that rules with many instances make.
const STEP: SignedDuration = SignedDuration::from_hours(1);

/// An alarm instance to come.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Upcoming {
    #[serde(skip)]
    pub(super) at: UtcMillis,
    /// When it is due, RFC 3339.
    due: String,
    pub(super) user_id: String,
    pub(super) calendar_name: String,
    pub(super) uid: String,
    recurrence_id: String,
    pub(super) action: String,
    pub(super) summary: String,
    /// As in the notification: UTC basic format, or a date.
    pub(super) start: String,
    pub(super) timezone: String,
    notification_id: String,
    source: String,
    href: String,
    /// Why no sink takes it; null if one does.
    pub(super) no_sink: Option<String>,
}

/// Works out instances from objects.
#[derive(Debug)]
pub(super) struct UpcomingAlarms {
    zones: Zones,
    limits: ObjectLimits,
    sender: Sender,
    reach: Reach,
}

impl UpcomingAlarms {
    pub(super) fn new(config: &Config) -> anyhow::Result<UpcomingAlarms> {
        let (zones, limits) = (Zones::load(&config.zoneinfo)?, config.limits.objects);
        Ok(UpcomingAlarms { zones, limits, sender: firing::sender(config), reach: Reach::new(config) })
    }

    /// The next instances of `row` before `until`, from its timer on; at most `limit`, in order.
    pub(super) fn instances(&self, row: &ObjectRow, until: UtcMillis, limit: usize) -> Vec<Upcoming> {
        let Ok(object) = Object::parse(&row.text, &self.limits) else { return Vec::new() };
        self.instances_in(row, &object, until, limit)
    }

    /// The next instances of `uid` in `row`; at most `limit`, in order.
    pub(super) fn instances_of(&self, row: &ObjectRow, uid: &str, limit: usize) -> Vec<Upcoming> {
        let Ok(mut object) = Object::parse(&row.text, &self.limits) else { return Vec::new() };
        object.components.retain(|component| &*component.uid == uid);
        self.instances_in(row, &object, UtcMillis::MAX, limit)
    }

    fn instances_in(&self, row: &ObjectRow, object: &Object, until: UtcMillis, limit: usize) -> Vec<Upcoming> {
        let Some(due) = row.due else { return Vec::new() };
        let calendar_context = firing::context(&row.calendar.info, self.zones.clone(), self.limits);
        let schedule = Schedule::new(object, &calendar_context, row.count_cache.as_deref());
        let about = firing::about(&row.calendar.info);
        let mut instances = Vec::new();
        let mut from = due;
        while let Some(next) = schedule.next_instance(from).filter(|next| *next < until && instances.len() < limit) {
            from = next.saturating_add(STEP).min(until);
            for instance in
                fire_as_one(schedule.instances(next..from)).iter().take(limit.saturating_sub(instances.len()))
            {
                let identity = identity(&about, &row.href, instance);
                let notification = Notification::new(instance, &about, identity, &self.sender, instance.at);
                let no_sink =
                    self.reach.no_sink(Envelope::of(&notification, instance.component), &row.calendar.info.emails);
                instances.push(Upcoming { no_sink, ..upcoming(instance.at, notification, row, &about) });
            }
        }
        instances
    }
}

fn upcoming(at: UtcMillis, notification: Notification, row: &ObjectRow, about: &About) -> Upcoming {
    Upcoming {
        at,
        due: at.to_string(),
        user_id: about.user.clone(),
        calendar_name: about.name.clone(),
        uid: notification.uid,
        recurrence_id: notification.recurrence_id,
        action: notification.action,
        summary: notification.summary,
        start: notification.start,
        timezone: notification.timezone,
        notification_id: notification.notification_id,
        source: row.calendar.source.clone(),
        href: row.href.clone(),
        no_sink: None,
    }
}

/// A line for each reason why some of `alarms` go to no sink.
pub(super) fn no_sink_notes(alarms: &[Upcoming]) -> Vec<String> {
    let mut reasons: Vec<(&str, usize)> = Vec::new();
    for reason in alarms.iter().filter_map(|alarm| alarm.no_sink.as_deref()) {
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += 1,
            None => reasons.push((reason, 1)),
        }
    }
    let note = |(reason, count): (&str, usize)| match (count, alarms.len()) {
        (1, 1) => reason.to_owned(),
        (count, all) => format!("{count} of {all}: {reason}"),
    };
    reasons.into_iter().map(note).collect()
}

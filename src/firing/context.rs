//! What follows from a calendar for its objects: what their times depend on, and what notifications say of it.

use crate::calendar::context::{CalendarContext, DefaultAlarms, WithheldAlarms};
use crate::calendar::ical::object::ObjectLimits;
use crate::calendar::zone::Zones;
use crate::calendar_info::{CalendarInfo, DefaultAlarmTexts, SharedAlarms};
use crate::notification::About;

/// What the objects of `calendar` depend on besides their text.
pub fn context(calendar: &CalendarInfo, zones: Zones, limits: ObjectLimits) -> CalendarContext {
    let mut context = CalendarContext::new(zones)
        .with_calendar_zone(calendar.zone.as_deref())
        .with_user_zone(calendar.user_zone.as_deref(), None)
        .with_addresses(&calendar.emails);
    context.limits = limits;
    context.alarms_ignored_by.clone_from(&calendar.alarms_ignored_by);
    context.withheld = withheld(calendar);
    context.all_day_at = calendar.all_day_at.as_deref().and_then(|time| time.parse().ok());
    let DefaultAlarmTexts { timed, all_day } = &calendar.default_alarms;
    if timed.is_some() || all_day.is_some() {
        // Default alarms that cannot be read are none.
        context.default_alarms = DefaultAlarms::parse(timed.as_deref(), all_day.as_deref()).ok();
    }
    context
}

/// What of the alarms of `calendar` does not fire because it is another user's.
fn withheld(calendar: &CalendarInfo) -> Option<WithheldAlarms> {
    let owner = Some(&calendar.owner).filter(|owner| **owner != calendar.user).cloned();
    match calendar.shared_alarms {
        SharedAlarms::Ring => None,
        SharedAlarms::OwnAlarms => Some(WithheldAlarms { owner, all: false }),
        SharedAlarms::Off => Some(WithheldAlarms { owner, all: true }),
    }
}

/// Whether [`context`] is the same for both: then their objects fire at the same instants.
pub fn same_context(one: &CalendarInfo, other: &CalendarInfo) -> bool {
    one.zone == other.zone
        && one.user_zone == other.user_zone
        && one.emails == other.emails
        && one.default_alarms == other.default_alarms
        && one.alarms_ignored_by == other.alarms_ignored_by
        && one.shared_alarms == other.shared_alarms
        && one.all_day_at == other.all_day_at
}

/// What notifications say of `calendar`.
pub fn about(calendar: &CalendarInfo) -> About {
    About {
        user: calendar.user.clone(),
        // A watched folder that is itself the calendar is identified by its name.
        key: if calendar.href == "." { calendar.id.clone() } else { calendar.href.clone() },
        name: calendar.name.clone(),
        id: calendar.id.clone(),
        color: calendar.color.clone(),
        owner: calendar.owner.clone(),
    }
}

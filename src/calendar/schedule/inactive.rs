//! Why alarms never fire (rules 1 to 3). Nothing is filtered silently: each has a reason that can be shown.

use std::fmt;

use crate::calendar::context::{CalendarContext, WithheldAlarms};
use crate::calendar::ical::alarm::Alarm;
use crate::calendar::ical::component::{Component, ComponentKind, ComponentStatus};
use crate::calendar::ical::object::Object;
use crate::calendar::ical::value::quoted;

/// Why an alarm, or all alarms of a component, never fire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inactive {
    /// STATUS:CANCELLED.
    Cancelled,
    /// METHOD:CANCEL of its VCALENDAR.
    CancelledByMethod,
    /// A to-do that is done.
    Completed,
    /// The user has declined, under this address.
    Declined(Box<str>),
    /// Another component of its UID, or of its RECURRENCE-ID, is a later revision.
    Revised,
    /// Its RECURRENCE-ID names an occurrence that EXDATE or EXRULE takes away.
    Excluded,
    /// The alarm has an ACTION that fires nothing.
    Action(Box<str>),
    /// The alarm is switched off (X-KDE-KCALCORE-ENABLED:FALSE).
    SwitchedOff,
    /// The alarm fires by place.
    Proximity,
    /// TRIGGER is missing or cannot be read.
    NoTrigger,
    /// A relative TRIGGER in a component without a date.
    NoDate,
    /// The calendar is another user's.
    Withheld(WithheldAlarms),
    /// The rules of its UID cost more work than they may.
    Overworked,
}

impl fmt::Display for Inactive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Inactive::Cancelled => write!(f, "it is cancelled (STATUS:CANCELLED)"),
            Inactive::CancelledByMethod => write!(f, "its calendar says that it is cancelled (METHOD:CANCEL)"),
            Inactive::Completed => write!(f, "the to-do is done"),
            Inactive::Declined(address) => write!(f, "{} has declined (PARTSTAT=DECLINED)", quoted(address)),
            Inactive::Revised => {
                write!(f, "another component takes its place: it has a higher SEQUENCE, or stands later")
            }
            Inactive::Excluded => write!(f, "EXDATE or EXRULE takes this occurrence away"),
            Inactive::Action(action) => write!(f, "ACTION {} never fires", quoted(action)),
            Inactive::SwitchedOff => write!(f, "the alarm is switched off (X-KDE-KCALCORE-ENABLED:FALSE)"),
            Inactive::Proximity => write!(f, "the alarm fires by place (PROXIMITY), not by time"),
            Inactive::NoTrigger => write!(f, "the alarm has no TRIGGER that can be read"),
            Inactive::Overworked => write!(f, "its rules take more work than limits.max_work allows"),
            Inactive::Withheld(withheld) => write!(f, "{withheld}"),
            Inactive::NoDate => write!(f, "its TRIGGER counts from a start or end that is not there"),
        }
    }
}

/// Why no alarm of `component` fires, if none does (rule 2).
pub(super) fn of_component(component: &Component, object: &Object, context: &CalendarContext) -> Option<Inactive> {
    if let Some(withheld) = context.withheld.as_ref().filter(|withheld| withheld.all) {
        return Some(Inactive::Withheld(withheld.clone()));
    }
    if object.calendars.get(component.calendar).is_some_and(|calendar| calendar.is_cancelled) {
        return Some(Inactive::CancelledByMethod);
    }
    if component.status == ComponentStatus::Cancelled {
        return Some(Inactive::Cancelled);
    }
    let is_completed = match component.status {
        ComponentStatus::Completed => true,
        // What a client forgot to take out when the to-do was opened again.
        ComponentStatus::Open => false,
        _ => component.completed,
    };
    if component.kind == ComponentKind::Todo && is_completed {
        return Some(Inactive::Completed);
    }
    let declined = component.attendees.iter().find(|attendee| {
        let address = attendee.email.as_ref().is_some_and(|email| context.is_own(email));
        attendee.status.eq_ignore_ascii_case("DECLINED") && (address || context.is_own(&attendee.address))
    })?;
    (component.kind == ComponentKind::Event).then(|| Inactive::Declined(declined.address.clone()))
}

/// Why `alarm` of `component` never fires (rule 1).
pub(crate) fn of_alarm(component: &Component, alarm: &Alarm, context: &CalendarContext) -> Option<Inactive> {
    if let Some(withheld) = context.withholds(component, alarm) {
        Some(Inactive::Withheld(withheld.clone()))
    } else if alarm.action.is_none() {
        Some(Inactive::Action(alarm.action_text.clone()))
    } else if alarm.is_switched_off {
        Some(Inactive::SwitchedOff)
    } else if alarm.proximity {
        Some(Inactive::Proximity)
    } else if alarm.trigger.is_none() {
        Some(Inactive::NoTrigger)
    } else {
        None
    }
}

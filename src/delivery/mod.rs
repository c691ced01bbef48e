//! Bringing fired alarms to the sinks. It owns the outbox's way out: claim, send, settle, and when to try again; it
//! knows nothing of calendars, recurrence or SQL.
//!
//! * [`routing`]: which sinks an alarm goes to, by what the sinks say ([`alarm_filter`]) and the users
//!   ([`user_routing`]); [`quiet_hours`]: when it is held.
//! * [`sink`]: what a sink is, is given and says; its folder has the sinks.
//! * [`worker`]: claim, send, settle; [`new_deliveries`] wakes it when there is something to claim.
//! * [`retry`]: when to try again, and when to give up.
//! * [`gate`]: whether a sink can be used at all, and how often that is tried.
//! * [`render`]: the notification as a sink is set to write it; [`address`]: addresses of people.
//! * [`event_settings`]: which store events are reported.
//! * [`deadline`]: when all sending has to come to an end.

pub mod address;
pub mod alarm_filter;
pub mod deadline;
pub mod event_settings;
pub mod gate;
pub mod new_deliveries;
pub mod quiet_hours;
pub mod render;
pub mod retry;
pub mod routing;
pub mod sink;
pub mod user_routing;
pub mod worker;

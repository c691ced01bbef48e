//! Bringing fired alarms to the sinks. It owns the outbox's way out: claim, send, settle, and when to try again; it
//! knows nothing of calendars, recurrence or SQL.
//!
//! * [`routing`]: which sinks an alarm goes to.
//! * [`sink`]: what a sink is given and what it answers.
//! * [`postman`]: claim, send, settle.
//! * [`retry`]: when to try again, and when to give up.
//! * [`gate`]: whether a sink can be used at all, and how often that is tried.
//! * [`shape`]: the notification as a sink is set to write it; `lines`: many of them as JSON lines.
//! * `stdout`, `file`, `cyrus`, [`email`]: the sinks; [`ending`]: when they have to come to an end.

mod cyrus;
pub mod email;
pub mod ending;
mod file;
pub mod gate;
mod lines;
pub mod postman;
pub mod retry;
pub mod routing;
pub mod shape;
pub mod sink;
mod stdout;

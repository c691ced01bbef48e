//! Bringing fired alarms to the sinks. It owns the outbox's way out: claim, send, settle, and when to try again; it
//! knows nothing of calendars, recurrence or SQL.
//!
//! * [`routing`]: which sinks an alarm goes to.
//! * [`sink`]: what a sink is given and what it answers.
//! * [`worker`]: claim, send, settle.
//! * [`retry`]: when to try again, and when to give up.
//! * [`gate`]: whether a sink can be used at all, and how often that is tried.
//! * [`render`]: the notification as a sink is set to write it; `ndjson`: many of them as JSON lines.
//! * `stdout`, `file`, `cyrus`, [`email`]: the sinks; [`deadline`]: when they have to come to an end.

mod cyrus;
pub mod deadline;
pub mod email;
mod file;
pub mod gate;
mod ndjson;
pub mod render;
pub mod retry;
pub mod routing;
pub mod sink;
mod stdout;
pub mod worker;

//! Bringing fired alarms to the sinks. It owns the outbox's way out: claim, send, settle, and when to try again; it
//! knows nothing of calendars, recurrence or SQL.
//!
//! * [`sink`]: what a sink is given and what it answers.
//! * [`postman`]: claim, send, settle.
//! * [`retry`]: when to try again, and when to give up.

pub mod postman;
pub mod retry;
pub mod sink;

//! The daemon: it builds the stages from the settings, keeps them running, and stops them in order. What a stage does
//! is the stage's business.
//!
//! * `assemble` builds the stages; `supervise` runs them until a signal comes, or once.
//! * `source_set` runs the sources, and follows accounts that come and go; `source_parts` is what they share.
//! * `answering` gives answers to alarms that come by way of links.
//! * `user_listing` asks servers for their users.
//! * `source_runner` syncs one source again and again, `sync_schedule` says when; `retention` forgets old history.
//! * `tasks` are what runs and how it ends, `signals` what the operating system asks for.

mod answering;
mod assemble;
mod retention;
mod signals;
mod source_parts;
mod source_runner;
mod source_set;
mod supervise;
mod sync_schedule;
mod tasks;
mod user_listing;

pub use assemble::{Core, readers_of};
pub use retention::HistoryPruner;
pub use signals::ignore_sigxfsz;
pub use source_set::ReadConfig;
pub use supervise::{PassOutcome, once, run};
pub use user_listing::list_users;

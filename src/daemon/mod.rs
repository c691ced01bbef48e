//! The daemon: it builds the stages from the settings, keeps them running, and stops them in order. What a stage does
//! is the stage's business.
//!
//! * `assemble` builds the stages; `supervise` runs them until a signal comes, or once.
//! * `source_runner` syncs one source again and again, `sync_schedule` says when; `retention` forgets old history.
//! * `tasks` are what runs and how it ends, `signals` what the operating system asks for.

mod assemble;
mod retention;
mod signals;
mod source_runner;
mod supervise;
mod sync_schedule;
mod tasks;

pub use assemble::Core;
pub use retention::HistoryPruner;
pub use signals::ignore_sigxfsz;
pub use supervise::{PassOutcome, once, run};

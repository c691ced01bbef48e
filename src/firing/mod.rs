//! Firing: an object that is due becomes firings with their notifications, and what these owe to the sinks.
//!
//! * `wheel` sleeps until the next object is due and fires it; `timer` is the clock that wakes it, `startup_gate` holds
//!   it back at the start.
//! * `prepare` is what the wheel asks for an object that is due; `due_objects` answers it.
//! * `precomputed` has what is due within the next seconds; `background` works out what takes long.
//! * `render` makes firings of the alarm instances of an object, with what `renderer` knows of settings and sinks, and
//!   what `context` says of its calendar.
//! * `store_events` makes the rows of changes of calendars that are reported besides alarms.
//! * `parallel` spreads work over all cores; `identities` brings the history of an earlier version up to date.

mod background;
mod context;
mod due_objects;
mod identities;
mod parallel;
mod precomputed;
mod prepare;
mod render;
mod renderer;
mod startup_gate;
mod store_events;
mod timer;
mod wheel;

pub use context::{about, context, same_context};
pub use parallel::spread;
pub use prepare::{Prepare, Prepared};
pub use render::{ObjectInCalendar, RenderedFirings};
pub use renderer::{FiringRenderer, sender};
pub use startup_gate::StartupGate;
pub use timer::WallTimer;
pub use wheel::{Tick, Wheel};

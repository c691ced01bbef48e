//! What the daemon serves over HTTP: syncs that are asked for. Handlers get what they need with the routes and know
//! nothing else of the daemon.
//!
//! * [`ControlSocket`] is the socket beside the ledger, which the command line uses; [`ControlClient`] is its client.
//! * [`serve_port`] serves the admin port, to whom [`AdminGuard`] allows it.
//! * `sync` has the routes of syncs; other routes are merged with these.
//! * `connections` serves connections within limits.

mod connections;
mod control;
mod control_client;
mod guard;
mod port;
mod response;
mod sync;

pub use control::ControlSocket;
pub use control_client::{ControlClient, ControlError, SyncedSource};
pub use guard::AdminGuard;
pub use port::serve_port;
pub use sync::{control_routes, hint_routes};

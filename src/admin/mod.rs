//! What the daemon serves: syncs that are asked for, over HTTP, and hints. Handlers get what they need with the routes
//! and know nothing else of the daemon.
//!
//! * [`ControlSocket`] is the socket beside the ledger, which the command line uses; [`ControlClient`] is its client.
//! * [`serve_port`] serves the admin port, to whom [`AdminGuard`] allows it.
//! * `push` has the route at which pushes of calendar servers arrive.
//! * `answer` has the page by which alarms are answered.
//! * [`serve_cyrus_socket`] receives the event notifications of Cyrus.
//! * `sync` has the routes of syncs; other routes are merged with these.
//! * `connections` serves connections within limits.

mod answer;
mod connections;
mod control;
mod control_client;
mod cyrus;
mod guard;
mod port;
mod push;
mod response;
mod socket_file;
mod sync;
mod tls_files;

pub use answer::{AnswerTaker, answer_routes};
pub use axum::Router;
pub use control::ControlSocket;
pub use control_client::{ControlClient, ControlError, SyncedSource};
pub use cyrus::serve_cyrus_socket;
pub use guard::{AdminGuard, guarded};
pub use port::serve_port;
pub use push::push_routes;
pub use sync::{control_routes, hint_routes};
pub use tls_files::TlsFiles;

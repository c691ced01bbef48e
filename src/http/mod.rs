//! HTTP, for whatever speaks it: a client with its secret, certificates and proxies; requests and responses, of which
//! no more is read than is allowed; how long a server may be silent, how fast it wants to be asked and whether it is
//! down. What is asked, and what a body holds, it does not know.
//!
//! * [`client`] makes clients; [`message`] is what is sent and what comes back, [`body`] what is read of it.
//! * [`silence`] is how long a response may take to begin, [`host`] what the clients of one server share.

mod body;
mod client;
mod host;
mod message;
mod silence;

pub use body::{Body, unless_silent};
pub use client::{ClientError, ClientMaker, ClientSettings, LoggedIn};
pub use host::{Host, Hosts};
pub use message::{
    HttpFailure, HttpRequest, HttpResponse, HttpTransport, Method, TransportResult, header_text, http_date,
    response_head,
};
pub use silence::Silence;

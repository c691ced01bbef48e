//! HTTP, for whatever speaks it. A client has a secret, certificates and proxies; it repeats a request that fails on a
//! connection that the server has closed, follows redirections on the server, waits for a server that is busy, and
//! reads no more of a response than is allowed. It does not know what is requested, or what a body contains.
//!
//! Whoever speaks HTTP makes an [`HttpClient`] with its [`ClientSettings`] and [`HttpLimits`], gives it the [`Host`]
//! that it shares with others ([`Hosts::host`]), and sends [`HttpRequest`]s. A body that is too large to be kept whole
//! is read by a [`BodyReader`] as it comes in.
//!
//! * [`client`] sends requests, [`client_maker`] reads what it logs in with, [`builder`] is
//!   what it is built of; [`redirect`] says where redirections lead.
//! * [`login`] says how a request logs in: what the server wants is in a [`challenge`], and [`digest`] answers some;
//!   [`oauth2`] gets access tokens.
//! * [`message`] is what is sent and what comes back, [`body`] what is read of it, [`error`] why there is no response.
//! * [`public_addresses`] keeps requests away from private networks, where that is wanted.
//! * [`silence`] is how long a response may take to begin, [`patience`] how long a busy server is waited for, [`host`]
//!   what the clients of one server share: how fast it wants to be asked, and whether it is down.

mod body;
mod builder;
mod challenge;
mod client;
mod client_maker;
mod digest;
mod error;
mod host;
mod login;
mod message;
mod oauth2;
mod patience;
mod public_addresses;
mod redirect;
mod silence;

pub use body::Body;
pub use builder::ClientError;
pub use challenge::Challenge;
pub use client::{BodyReader, HttpClient, HttpLimits, Received};
pub use client_maker::ClientSettings;
pub use digest::read_any as read_any_challenge;
pub use error::HttpError;
pub use host::{Host, Hosts};
#[cfg(test)]
pub use message::response_of;
pub use message::{
    HttpFailure, HttpRequest, HttpResponse, HttpTransport, Method, TransportResult, http_date, http_date_text,
};
pub use oauth2::{AccessToken, TokenClient};
pub use public_addresses::is_public;

//! The body of a response, which is read as it comes in, and no more of it than is allowed.

use std::error::Error;
use std::future::Future;
use std::iter;
use std::ops::Deref;
use std::time::Duration;

use reqwest::Response;

use super::message::HttpFailure;
use crate::tls;

/// The body of a response that is coming in.
#[derive(Debug)]
pub struct Body {
    response: Response,
    silence: Duration,
    /// Octets that may still come.
    room: usize,
    /// Octets that have come.
    length: u64,
}

impl Body {
    /// That of `response`, of at most `room` octets, from a server that may be silent for `silence`.
    pub fn new(response: Response, silence: Duration, room: usize) -> Body {
        Body { response, silence, room, length: 0 }
    }

    /// The next octets of it, unpacked; none at its end.
    ///
    /// # Errors
    /// When nothing comes in time, the connection breaks off, or it is too large.
    pub async fn next(&mut self) -> Result<Option<impl Deref<Target = [u8]> + use<>>, HttpFailure> {
        let piece = unless_silent(self.silence, self.response.chunk()).await?;
        let length = piece.as_ref().map_or(0, |piece| piece.len());
        self.room = self.room.checked_sub(length).ok_or(HttpFailure::TooLarge)?;
        self.length = self.length.saturating_add(length as u64);
        Ok(piece)
    }

    /// How many octets of it have come so far, unpacked.
    pub fn length(&self) -> u64 {
        self.length
    }
}

/// What `work` comes to, if the server is not silent for longer than `silence` meanwhile.
///
/// # Errors
/// [`HttpFailure::TimedOut`] if it is; what the error of `work` means.
pub async fn unless_silent<T>(
    silence: Duration,
    work: impl Future<Output = Result<T, reqwest::Error>>,
) -> Result<T, HttpFailure> {
    let done = tokio::time::timeout(silence, work).await.map_err(|_| HttpFailure::TimedOut)?;
    done.map_err(|why| failure(&why))
}

fn failure(why: &reqwest::Error) -> HttpFailure {
    if why.is_timeout() && !why.is_connect() {
        return HttpFailure::TimedOut;
    }
    if let Some(reason) = tls::in_words(why) {
        return HttpFailure::Tls(reason);
    }
    if is_unused(why) {
        let is_encrypted = why.url().is_some_and(|url| url.scheme() == "https");
        let reason =
            if is_encrypted { tls::ENDED } else { "it closed the connection before it was asked for anything" };
        return if is_encrypted {
            HttpFailure::TlsEnded(reason.to_owned())
        } else {
            HttpFailure::Broken(reason.to_owned())
        };
    }
    // The innermost reason is the one that helps: 'Connection refused', not 'error sending request'.
    let reason = reasons(why).last().map(ToString::to_string).unwrap_or_default();
    // The library adds a link to its manual.
    let reason =
        if reason.contains("close_notify") { "it closed the connection within an answer".to_owned() } else { reason };
    if why.is_connect() { HttpFailure::Unreachable(reason) } else { HttpFailure::Broken(reason) }
}

/// An error, what it comes from, and so on.
fn reasons<'e>(why: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    iter::successors(Some(why), |&reason| reason.source())
}

/// Whether a fresh connection ended before a request was sent. Where one that was used before ends, the library makes
/// another one.
fn is_unused(why: &reqwest::Error) -> bool {
    let of_connection = reasons(why).filter_map(|reason| reason.downcast_ref::<hyper::Error>());
    of_connection.last().is_some_and(|error| error.is_canceled() || error.is_closed())
}

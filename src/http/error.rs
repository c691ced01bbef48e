//! Why a request failed for good: after it was sent again, and after the redirections.

use reqwest::Url;

use super::builder::ClientError;

/// Why a request has no response. URLs in the messages hold no credentials.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// There is no client that is logged in.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// No connection, or no name.
    #[error("{url} cannot be reached ({reason})")]
    Unreachable {
        /// What was asked.
        url: String,
        /// Why, in a few words.
        reason: String,
    },
    /// A connection that broke off, and the next one as well.
    #[error("{url} did not answer to the end ({reason})")]
    Broken {
        /// What was asked.
        url: String,
        /// Why, in a few words.
        reason: String,
    },
    /// TLS fails: mostly a certificate that is not to be trusted.
    #[error("there is no secure connection to {url}: {reason}")]
    Tls {
        /// What was asked.
        url: String,
        /// Why, in a few words.
        reason: String,
    },
    /// The server was silent for `seconds`; the next request like this one is waited for `next` seconds.
    #[error("{url} did not answer within {seconds} s")]
    Timeout {
        /// What was asked.
        url: String,
        /// How long it was waited for, seconds.
        seconds: u64,
        /// How long it is waited for the next time, seconds.
        next: u64,
    },
    /// More octets than are read of a response.
    #[error("{url} answers with more than {limit} octets")]
    TooLarge {
        /// What was asked.
        url: String,
        /// The limit.
        limit: usize,
    },
    /// A redirection to another server.
    #[error("{url} redirects to {to}, which is another server: the login is not sent there")]
    Redirected {
        /// What was asked.
        url: String,
        /// Where it leads.
        to: String,
    },
    /// A redirection to the same server without encryption; `instead` is the same address with it.
    #[error("{url} redirects to {to}, without encryption: the login is not sent there")]
    Unencrypted {
        /// What was asked.
        url: String,
        /// Where it leads.
        to: String,
        /// The address to write in its place.
        instead: String,
    },
    /// A redirection within the server that the request does not allow.
    #[error("{url} redirects to {to}, which is not followed")]
    Moved {
        /// What was asked.
        url: String,
        /// Where it leads.
        to: String,
    },
    /// More redirections than are followed.
    #[error("{url} redirects more than {limit} times")]
    RedirectLoop {
        /// What was asked.
        url: String,
        /// The limit.
        limit: usize,
    },
}

impl HttpError {
    /// This error with nothing of the addresses but their servers: the rest may be a secret.
    #[must_use]
    pub fn without_paths(mut self) -> HttpError {
        let addresses = match &mut self {
            HttpError::Client(_) => [None, None, None],
            HttpError::Unreachable { url, .. }
            | HttpError::Broken { url, .. }
            | HttpError::Tls { url, .. }
            | HttpError::Timeout { url, .. }
            | HttpError::TooLarge { url, .. }
            | HttpError::RedirectLoop { url, .. } => [Some(url), None, None],
            HttpError::Redirected { url, to } | HttpError::Moved { url, to } => [Some(url), Some(to), None],
            HttpError::Unencrypted { url, to, instead } => [Some(url), Some(to), Some(instead)],
        };
        for address in addresses.into_iter().flatten() {
            *address = Url::parse(address).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
        }
        self
    }
}

//! What WebDAV adds to HTTP: its methods, and the multistatus that answers them (RFC 4918, 13).

use reqwest::Url;

use super::error::CaldavError;
use crate::config::Credentials;
use crate::http::Method;
use crate::time::UtcMillis;

/// RFC 4918, 9.1.
pub const PROPFIND: Method = Method::new("PROPFIND");
/// RFC 3253, 3.6.
pub const REPORT: Method = Method::new("REPORT");

/// Where a 207 response came from, and when.
#[derive(Debug)]
pub struct ResponseOrigin {
    pub method: Method,
    /// Redirections followed.
    pub url: Url,
    /// The server's clock.
    pub date: Option<UtcMillis>,
}

/// A 207 response: what was found in its multistatus.
#[derive(Debug)]
pub struct Multistatus<T> {
    pub origin: ResponseOrigin,
    pub found: T,
}

impl<T> Multistatus<Result<T, u16>> {
    /// What was found, unless the server says no.
    ///
    /// # Errors
    /// What the status means with which it says so.
    pub fn unless_refused(self) -> Result<Multistatus<T>, CaldavError> {
        let Multistatus { origin, found } = self;
        match found {
            Ok(found) => Ok(Multistatus { origin, found }),
            Err(status) => Err(said_no(origin.url.to_string(), origin.method.name(), status)),
        }
    }
}

/// What a status means that is neither a response nor a wish to be left alone.
pub fn said_no(url: String, method: &'static str, status: u16) -> CaldavError {
    match status {
        401 => CaldavError::Unauthorized { url, offers: String::new(), keys: Credentials::None.keys() },
        403 => CaldavError::Forbidden { url },
        404 | 410 => CaldavError::NotFound { url, status },
        _ => CaldavError::Status { url, method, status },
    }
}

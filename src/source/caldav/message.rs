//! What goes to a CalDAV server and what comes back: requests, answers, and why there is none.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{self, HeaderMap, HeaderName};

use super::error::CaldavError;
use super::multistatus::http_date;
use crate::time::UtcMillis;

/// The methods that are used; all of them only read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Propfind,
    Report,
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Propfind => "PROPFIND",
            Method::Report => "REPORT",
        }
    }

    pub(super) fn to_reqwest(self) -> reqwest::Method {
        // All three names are valid tokens.
        reqwest::Method::from_bytes(self.name().as_bytes()).unwrap_or_default()
    }
}

/// A request, before it is sent. A body goes out with its length, never in chunks: some servers ignore those.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    pub method: Method,
    pub url: Url,
    /// The Depth header.
    pub depth: Option<&'static str>,
    /// XML; empty for none.
    pub body: String,
    /// Redirections are followed to any path of the server. Else only to the same one below another: what lies anywhere
    /// else may be somebody else's.
    pub wanders: bool,
}

impl HttpRequest {
    /// A request that does not wander.
    pub fn new(method: Method, url: &Url, depth: Option<&'static str>, body: String) -> HttpRequest {
        HttpRequest { method, url: url.clone(), depth, body, wanders: false }
    }
}

/// A response, read to its end, but for a multistatus that was read as it came in.
#[derive(Clone, Debug)]
pub struct HttpResponse {
    /// Where it came from, redirections followed.
    pub url: Url,
    pub status: u16,
    pub content_type: String,
    /// The server's clock.
    pub date: Option<UtcMillis>,
    pub etag: Option<String>,
    pub modified: Option<UtcMillis>,
    /// The ways to log in that it offers.
    pub schemes: Vec<String>,
    /// Retry-After.
    pub retry_after: Option<Duration>,
    pub body: Vec<u8>,
}

/// A response, and where it redirects to.
pub type TransportResult = Result<(HttpResponse, Option<String>), HttpFailure>;

/// The way to a server and back, where that is not the network: a simulation has its server in the same process.
pub trait HttpTransport: Debug + Send + Sync {
    /// Carries `request` there once, and the response back, whatever its status. No redirection is followed.
    fn carry<'a>(&'a self, request: &'a HttpRequest) -> Pin<Box<dyn Future<Output = TransportResult> + Send + 'a>>;
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpFailure {
    /// There was none in time.
    TimedOut,
    /// The server cannot be reached, and why.
    Unreachable(String),
    /// There is no secure connection to it, and why.
    Tls(String),
    /// The connection broke off, and how: on a fresh one the request may go through.
    Broken(String),
    /// The response is larger than what is read of one.
    TooLarge,
}

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
    pub fn unless_refused(self) -> Result<(ResponseOrigin, T), CaldavError> {
        let Multistatus { origin, found } = self;
        match found {
            Ok(found) => Ok((origin, found)),
            Err(status) => Err(said_no(origin.url.to_string(), origin.method.name(), status)),
        }
    }
}

/// What a status means that is neither a response nor a wish to be left alone.
pub fn said_no(url: String, method: &'static str, status: u16) -> CaldavError {
    match status {
        401 => CaldavError::Unauthorized { url, offers: String::new() },
        403 => CaldavError::Forbidden { url },
        404 | 410 => CaldavError::NotFound { url, status },
        _ => CaldavError::Status { url, method, status },
    }
}

/// The response from `url` with `status`, whose body is not read yet.
pub fn answer(url: Url, status: u16, headers: &HeaderMap) -> HttpResponse {
    let date = text(headers, header::DATE).as_deref().and_then(http_date);
    let schemes = headers.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| {
        value.to_str().ok()?.split_ascii_whitespace().next().map(|scheme| scheme.trim_matches(',').to_owned())
    });
    HttpResponse {
        url,
        status,
        content_type: text(headers, header::CONTENT_TYPE).unwrap_or_default(),
        date,
        etag: text(headers, header::ETAG),
        modified: text(headers, header::LAST_MODIFIED).as_deref().and_then(http_date),
        schemes: schemes.collect(),
        retry_after: text(headers, header::RETRY_AFTER).and_then(|text| retry_after(&text, date)),
        body: Vec::new(),
    }
}

/// The header `name`.
pub fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// Reads Retry-After: seconds, or a date to be compared with the server's clock (RFC 9110, 10.2.3).
fn retry_after(text: &str, date: Option<UtcMillis>) -> Option<Duration> {
    Some(match text.trim().parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => Duration::from_millis(u64::try_from(http_date(text)?.0.saturating_sub(date?.0)).unwrap_or(0)),
    })
}

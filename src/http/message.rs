//! What goes to a server and what comes back: requests, responses, and why there is none.

use std::borrow::Cow;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::challenge::{Challenge, challenges, next_nonce};
use crate::time::{UtcMillis, non_negative};

/// The method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method(&'static str);

impl Method {
    /// GET (RFC 9110, 9.3.1).
    pub const GET: Method = Method::new("GET");

    /// The method `name`, which is a token (RFC 9110, 9.1).
    pub const fn new(name: &'static str) -> Method {
        Method(name)
    }

    /// As it is written in a request.
    pub fn name(self) -> &'static str {
        self.0
    }

    /// The same for the library that sends it.
    pub fn to_reqwest(self) -> reqwest::Method {
        reqwest::Method::from_bytes(self.0.as_bytes()).unwrap_or_default()
    }
}

/// A request, before it is sent. A body goes out with its length, never in chunks: some servers ignore those.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    /// The method.
    pub method: Method,
    /// Where it goes.
    pub url: Url,
    /// Names and values, besides those that say who asks.
    pub headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    /// Empty for none.
    pub body: Vec<u8>,
    /// What tells it from others of the same method, headers and path, which may take less long; empty for nothing.
    pub kind: &'static str,
    /// Whether a redirection from the URL that was asked for to another one of the same server is followed.
    pub may_move: fn(asked: &Url, to: &Url) -> bool,
}

impl HttpRequest {
    /// A request without headers of its own and without a body, which follows redirections to any path of the server.
    pub fn new(method: Method, url: &Url) -> HttpRequest {
        HttpRequest { method, url: url.clone(), headers: Vec::new(), body: Vec::new(), kind: "", may_move: |_, _| true }
    }

    /// This request with the header `name`.
    #[must_use]
    pub fn with_header(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> HttpRequest {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Its body, as text.
    #[cfg(test)]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// This request with `body`, which is of the media type `content_type`.
    #[must_use]
    pub fn with_body(self, content_type: &'static str, body: impl Into<Vec<u8>>) -> HttpRequest {
        HttpRequest { body: body.into(), ..self.with_header("Content-Type", content_type) }
    }
}

/// A response.
#[derive(Clone, Debug)]
pub struct HttpResponse {
    /// Where it came from, redirections followed.
    pub url: Url,
    /// The status code.
    pub status: u16,
    /// Content-Type, empty where there is none.
    pub content_type: String,
    /// The server's clock.
    pub date: Option<UtcMillis>,
    /// ETag.
    pub etag: Option<String>,
    /// Last-Modified.
    pub modified: Option<UtcMillis>,
    /// Where it redirects to.
    pub location: Option<String>,
    /// The ways to log in that it offers.
    pub challenges: Vec<Challenge>,
    /// The nonce of the next request that logs in by Digest (Authentication-Info).
    pub next_nonce: Option<String>,
    /// Retry-After.
    pub retry_after: Option<Duration>,
    /// How long the response may be used without asking again (Cache-Control: max-age).
    pub max_age: Option<Duration>,
    /// All headers.
    pub headers: HeaderMap,
    /// The octets of the body.
    pub body: Vec<u8>,
}

impl HttpResponse {
    /// The header `name`, whose first value it is if there are several; invalid UTF-8 is replaced.
    pub fn header(&self, name: HeaderName) -> Option<String> {
        header_text(&self.headers, name)
    }

    /// Whether the server is not available (429, 502, 503, 504): the response does not come from what was asked for.
    pub fn is_unavailable(&self) -> bool {
        matches!(self.status, 429 | 502 | 503 | 504)
    }
}

/// What carrying a request comes to.
pub type TransportResult = Result<HttpResponse, HttpFailure>;

/// The way to a server and back, where that is not the network: a simulation has its server in the same process.
pub trait HttpTransport: Debug + Send + Sync {
    /// Carries `request` there once, and the response back, whatever its status. No redirection is followed.
    fn carry<'a>(&'a self, request: &'a HttpRequest) -> Pin<Box<dyn Future<Output = TransportResult> + Send + 'a>>;
}

/// Why a request that was sent once has no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpFailure {
    /// There was none in time.
    TimedOut,
    /// The server cannot be reached, and why.
    Unreachable(String),
    /// There is no secure connection to it, and why.
    Tls(String),
    /// The server ended the connection once TLS was set up, before a request was sent, and what that may mean: whether
    /// it is a part of the handshake, as a refused certificate is, is not seen. A fresh one may be kept.
    TlsEnded(String),
    /// The connection broke off, and how: on a fresh one the request may go through.
    Broken(String),
    /// The response is larger than what is read of one.
    TooLarge,
}

/// The response from `url` with `status`, whose body is not read yet.
pub fn response_head(url: Url, status: u16, headers: &HeaderMap) -> HttpResponse {
    let date = header_text(headers, header::DATE).as_deref().and_then(http_date);
    let offers = headers.get_all(header::WWW_AUTHENTICATE).iter().map(HeaderValue::as_bytes);
    HttpResponse {
        url,
        status,
        content_type: header_text(headers, header::CONTENT_TYPE).unwrap_or_default(),
        date,
        etag: header_text(headers, header::ETAG),
        modified: header_text(headers, header::LAST_MODIFIED).as_deref().and_then(http_date),
        location: header_text(headers, header::LOCATION),
        challenges: challenges(offers),
        next_nonce: headers.get("authentication-info").and_then(|value| next_nonce(value.as_bytes())),
        retry_after: header_text(headers, header::RETRY_AFTER).and_then(|text| retry_after(&text, date)),
        max_age: header_text(headers, header::CACHE_CONTROL).as_deref().and_then(max_age),
        headers: headers.clone(),
        body: Vec::new(),
    }
}

/// The response from `url` with `status`, these `headers` and no body.
#[cfg(test)]
pub fn response_of(url: Url, status: u16, headers: &[(&str, &str)]) -> HttpResponse {
    let pairs = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    response_head(url, status, &pairs.collect())
}

/// The header `name`.
fn header_text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// Reads Retry-After: seconds, or a date to be compared with the server's clock (RFC 9110, 10.2.3).
fn retry_after(text: &str, date: Option<UtcMillis>) -> Option<Duration> {
    Some(match text.trim().parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => non_negative(http_date(text)?.duration_since(date?)),
    })
}

/// Reads the max-age of a Cache-Control (RFC 9111, 5.2.2.1).
fn max_age(text: &str) -> Option<Duration> {
    let mut directives = text.split(',').filter_map(|directive| directive.trim().split_once('='));
    let (_, seconds) = directives.find(|(name, _)| name.eq_ignore_ascii_case("max-age"))?;
    seconds.trim_matches('"').parse().ok().map(Duration::from_secs)
}

/// Reads an HTTP date (RFC 9110, 5.6.7), and the form with a numeric zone that SOGo writes.
pub fn http_date(text: &str) -> Option<UtcMillis> {
    jiff::fmt::rfc2822::parse(text.trim()).ok().map(|zoned| UtcMillis(zoned.timestamp().as_millisecond()))
}

/// Writes an HTTP date (RFC 9110, 5.6.7).
pub fn http_date_text(at: UtcMillis) -> String {
    at.timestamp().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{http_date, http_date_text, max_age};

    #[test]
    fn how_long_a_response_is_fresh() {
        let seconds = |text| max_age(text).map(|age| age.as_secs());
        assert_eq!(seconds("no-cache, no-store, Max-Age=0, must-revalidate"), Some(0));
        assert_eq!(seconds("public, s-maxage=60, max-age=\"3600\""), Some(3_600));
        assert_eq!((seconds("no-store"), seconds("max-age=soon")), (None, None));
        assert_eq!(max_age("max-age=90"), Some(Duration::from_secs(90)));
    }

    #[test]
    fn dates() {
        let at = http_date("Sun, 22 Nov 2026 21:17:01 GMT").unwrap();
        assert_eq!(at.to_string(), "2026-11-22T21:17:01.000Z");
        assert_eq!(http_date_text(at), "Sun, 22 Nov 2026 21:17:01 GMT");
        assert_eq!(http_date("Sun, 22 Nov 2026 22:17:01 +0100"), Some(at));
        assert_eq!(http_date("2026-11-22T21:17:01Z"), None);
        assert_eq!(http_date("yesterday"), None);
    }
}

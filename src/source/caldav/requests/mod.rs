//! What is asked of a server and what is collected from its responses, one request a file, without any I/O.

pub mod calendar_multiget;
pub mod discovery;
pub mod find_calendars;
pub mod list_etags;
pub mod sync_collection;
pub mod zone;

use reqwest::Url;

use super::message::{HttpRequest, Method};

/// A PROPFIND (RFC 4918, 9.1) for the properties in `body`.
fn propfind(url: &Url, depth: &'static str, body: &str) -> HttpRequest {
    HttpRequest::new(Method::Propfind, url, Some(depth), body.to_owned())
}

/// A REPORT (RFC 3253, 3.6).
fn report(url: &Url, depth: &'static str, body: String) -> HttpRequest {
    HttpRequest::new(Method::Report, url, Some(depth), body)
}

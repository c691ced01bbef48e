//! What is asked of a server and what is collected from its answers, one request a file, without any I/O.

pub mod calendars;
pub mod changes;
pub mod discovery;
pub mod members;
pub mod objects;
pub mod zone;

use reqwest::Url;

use super::message::{Request, Verb};

/// A PROPFIND (RFC 4918, 9.1) for the properties in `body`.
fn propfind(url: &Url, depth: &'static str, body: &str) -> Request {
    Request::new(Verb::Propfind, url, Some(depth), body.to_owned())
}

/// A REPORT (RFC 3253, 3.6).
fn report(url: &Url, depth: &'static str, body: String) -> Request {
    Request::new(Verb::Report, url, Some(depth), body)
}

//! What is asked of a server and what is collected from its responses, one request a file, without any I/O.

pub mod calendar_multiget;
pub mod discovery;
pub mod find_calendars;
pub mod list_etags;
pub mod options;
pub mod principals;
pub mod push_register;
pub mod push_support;
pub mod put_object;
pub mod sync_collection;
pub mod zone;

use reqwest::Url;

use super::href;
use super::message::{PROPFIND, REPORT};
use crate::http::{HttpRequest, Method};

/// The media type of what is sent.
const XML: &str = "application/xml; charset=utf-8";

/// A PROPFIND (RFC 4918, 9.1) for the properties in `body`.
fn propfind(url: &Url, depth: &'static str, body: &str) -> HttpRequest {
    dav_request(PROPFIND, url).with_header("Depth", depth).with_body(XML, body.to_owned())
}

/// A REPORT (RFC 3253, 3.6).
fn report(url: &Url, depth: &'static str, body: String) -> HttpRequest {
    dav_request(REPORT, url).with_header("Depth", depth).with_body(XML, body)
}

/// A request for what is at `url`. A redirection is followed only to the same path below another one: what is anywhere
/// else may belong to another user.
fn dav_request(method: Method, url: &Url) -> HttpRequest {
    HttpRequest { may_move: href::is_same_below, ..HttpRequest::new(method, url) }
}

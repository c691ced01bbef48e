//! An object that is put in the place of the version that was read (RFC 4791, 5.3.2).

use reqwest::Url;

use crate::http::{HttpRequest, Method};

const PUT: Method = Method::new("PUT");

/// Puts `text` at `object`, if that is still the version `etag`. No redirection is followed: what answers elsewhere may
/// be another object.
pub fn request(object: &Url, etag: &str, text: String) -> HttpRequest {
    let request = HttpRequest { may_move: |_, _| false, ..HttpRequest::new(PUT, object) };
    request.with_header("If-Match", etag.to_owned()).with_body("text/calendar; charset=utf-8", text)
}

//! What a server can do (RFC 9110, 9.3.7; RFC 4918, 10.1).

use reqwest::Url;

use super::dav_request;
use crate::http::{HttpRequest, Method};

/// OPTIONS.
const OPTIONS: Method = Method::new("OPTIONS");

/// Asks what can be done with what is at `url`.
pub fn request(url: &Url) -> HttpRequest {
    dav_request(OPTIONS, url)
}

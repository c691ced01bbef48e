//! Subscribing to pushes of a calendar (draft-bitfire-webdav-push, subscription registration).

use reqwest::Url;

use crate::http::{HttpRequest, Method};

/// RFC 9110, 9.3.3.
pub const POST: Method = Method::new("POST");

/// What the content of pushes is encrypted with (RFC 8291), in base64 for URLs. Its `Debug` shows nothing of it.
#[derive(Clone, Copy)]
pub struct PushKeys<'a> {
    /// A point of P-256.
    pub public_key: &'a str,
    /// 16 octets.
    pub auth_secret: &'a str,
}

impl std::fmt::Debug for PushKeys<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PushKeys(…)")
    }
}

/// Asks that a push is sent to `address` for each change of the calendar at `url`: of its objects, or of itself.
pub fn request(url: &Url, address: &Url, keys: PushKeys<'_>) -> HttpRequest {
    let PushKeys { public_key, auth_secret } = keys;
    let address = address.as_str().replace('&', "&amp;");
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
         <P:push-register xmlns:P=\"https://bitfire.at/webdav-push\" xmlns:D=\"DAV:\"><P:subscription>\
         <P:web-push-subscription><P:push-resource>{address}</P:push-resource>\
         <P:content-encoding>aes128gcm</P:content-encoding>\
         <P:subscription-public-key type=\"p256dh\">{public_key}</P:subscription-public-key>\
         <P:auth-secret>{auth_secret}</P:auth-secret></P:web-push-subscription></P:subscription>\
         <P:trigger><P:content-update><D:depth>1</D:depth></P:content-update>\
         <P:property-update><D:depth>0</D:depth></P:property-update></P:trigger></P:push-register>"
    );
    HttpRequest::new(POST, url).with_body("application/xml; charset=utf-8", body)
}

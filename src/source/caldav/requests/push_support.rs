//! Whether a calendar's server sends pushes (draft-bitfire-webdav-push, service detection).

use reqwest::Url;

use super::propfind;
use crate::http::HttpRequest;
use crate::source::caldav::multistatus::{Collect, Response};
use crate::source::caldav::xml::{Namespace, XmlError};

const BODY: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<D:propfind xmlns:D="DAV:" xmlns:P="https://bitfire.at/webdav-push"><D:prop><P:transports/><P:supported-triggers/></D:prop></D:propfind>"#;

/// How a server sends pushes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushSupport {
    /// The public key that they are signed with, in base64 for URLs, if they are.
    pub vapid_key: Option<String>,
}

/// Asks the calendar at `url`.
pub fn request(url: &Url) -> HttpRequest {
    propfind(url, "0", BODY)
}

/// Finds out whether pushes are sent by Web Push, for changes of what is in the calendar.
#[derive(Debug, Default)]
pub struct SupportCollector(Option<PushSupport>);

impl Collect for SupportCollector {
    type Found = Option<PushSupport>;

    fn add(&mut self, response: Response) -> usize {
        let transports = response.prop(Namespace::Push, "transports");
        let Some(web_push) = transports.and_then(|transports| transports.child(Namespace::Push, "web-push")) else {
            return 0;
        };
        // A server that does not list triggers has them all.
        let triggers = response.prop(Namespace::Push, "supported-triggers");
        if triggers.is_some_and(|triggers| triggers.child(Namespace::Push, "content-update").is_none()) {
            return 0;
        }
        let key = web_push.child(Namespace::Push, "vapid-public-key").and_then(|key| key.trimmed());
        self.0 = Some(PushSupport { vapid_key: key.map(str::to_owned) });
        size_of::<PushSupport>() + key.map_or(0, str::len)
    }

    fn finish(self, _: Option<String>) -> Result<Self::Found, XmlError> {
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::caldav::multistatus::read_whole;

    #[test]
    fn what_servers_say_of_pushes() {
        let found = |props: &str| {
            let xml = format!(
                "<d:multistatus xmlns:d='DAV:' xmlns='https://bitfire.at/webdav-push'><d:response><d:href>/c/</d:href>\
                 <d:propstat><d:prop>{props}</d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>\
                 </d:multistatus>"
            );
            read_whole(&xml, SupportCollector::default()).unwrap()
        };
        let key = "<vapid-public-key type='p256ecdsa'>BA1Hxzy</vapid-public-key>";
        let triggers = "<supported-triggers><content-update><d:depth>1</d:depth></content-update></supported-triggers>";
        let with_key = found(&format!("<transports><web-push>{key}</web-push></transports>{triggers}"));
        assert_eq!(with_key, Some(PushSupport { vapid_key: Some("BA1Hxzy".to_owned()) }));
        assert_eq!(found("<transports><web-push/></transports>"), Some(PushSupport::default()));
        assert_eq!(found("<transports><other/></transports>"), None);
        assert_eq!(found("<transports><web-push/></transports><supported-triggers/>"), None);
        assert_eq!(found(triggers), None);
    }
}

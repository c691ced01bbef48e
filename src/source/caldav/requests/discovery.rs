//! What is at a URL: who is logged in, where the calendars are (RFC 5397; RFC 4791, 6.2.1; RFC 6638, 2.4.1).

use reqwest::Url;

use super::propfind;
use crate::http::HttpRequest;
use crate::source::caldav::multistatus::{Collect, Response};
use crate::source::caldav::xml::{Namespace, XmlError};
use crate::text::strip_mailto;

const BODY: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<D:propfind xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop><D:resourcetype/><D:current-user-principal/><C:calendar-home-set/><C:calendar-user-address-set/></D:prop></D:propfind>"#;

/// The status that a multistatus stands for that speaks of no resource at all.
const NOTHING: u16 = 404;

/// What a URL turned out to be. Hrefs are as the server writes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovered {
    /// Its own.
    pub href: String,
    /// It is a calendar itself.
    pub is_calendar: bool,
    /// It is a principal: a user.
    pub is_principal: bool,
    /// DAV:current-user-principal.
    pub principal: Option<String>,
    /// CALDAV:calendar-home-set.
    pub homes: Vec<String>,
    /// The mail addresses in CALDAV:calendar-user-address-set, bare.
    pub addresses: Vec<String>,
}

/// Asks what is at `url`, or where redirections from there lead.
pub fn request(url: &Url) -> HttpRequest {
    HttpRequest { may_move: |_, _| true, ..propfind(url, "0", BODY) }
}

/// Reads the response: what is there, or the status with which the server says that there is nothing, or nothing for
/// this user. It may say so inside a multistatus.
#[derive(Debug)]
pub struct DiscoveryCollector {
    found: Result<Discovered, u16>,
}

impl Default for DiscoveryCollector {
    fn default() -> DiscoveryCollector {
        DiscoveryCollector { found: Err(NOTHING) }
    }
}

impl Collect for DiscoveryCollector {
    type Found = Result<Discovered, u16>;

    fn add(&mut self, response: Response) -> usize {
        if self.found.is_ok() {
            return 0;
        }
        self.found = match response.refusal() {
            Some(status) => Err(status),
            None => Ok(found(&response)),
        };
        response.size()
    }

    fn finish(self, _: Option<String>) -> Result<Self::Found, XmlError> {
        Ok(self.found)
    }
}

fn found(response: &Response) -> Discovered {
    Discovered {
        href: response.href.clone(),
        is_calendar: response.is_a(Namespace::Caldav, "calendar"),
        is_principal: response.is_a(Namespace::Dav, "principal"),
        principal: response.hrefs(Namespace::Dav, "current-user-principal").into_iter().next(),
        homes: response.hrefs(Namespace::Caldav, "calendar-home-set"),
        addresses: addresses(response),
    }
}

fn addresses(response: &Response) -> Vec<String> {
    let mut addresses = Vec::new();
    for href in response.hrefs(Namespace::Caldav, "calendar-user-address-set") {
        let Some(address) = strip_mailto(&href).map(|address| address.trim().to_owned()) else { continue };
        if address.contains('@') && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::{Discovered, DiscoveryCollector};
    use crate::source::caldav::multistatus::read_whole;

    #[test]
    fn a_principal_tells_homes_and_addresses() {
        let xml = r#"<multistatus xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><response>
            <href>/principals/mary/</href><propstat><prop>
            <resourcetype><collection/><principal/></resourcetype>
            <current-user-principal><href>/principals/mary/</href></current-user-principal>
            <C:calendar-home-set><href>/cal/mary/</href><href>/cal/team/</href></C:calendar-home-set>
            <C:calendar-user-address-set><href>mailto:mary@example.org</href><href>/principals/mary/</href>
            <href>MAILTO:m@example.org</href><href>mailto:mary@example.org</href><href>mailto:</href>
            </C:calendar-user-address-set></prop><status>HTTP/1.1 200 OK</status></propstat></response></multistatus>"#;
        let found = read_whole(xml, DiscoveryCollector::default()).unwrap().unwrap();
        assert!(found.is_principal);
        assert_eq!(found.principal.as_deref(), Some("/principals/mary/"));
        assert_eq!(found.homes, ["/cal/mary/", "/cal/team/"]);
        assert_eq!(found.addresses, ["mary@example.org", "m@example.org"]);
        assert!(!found.is_calendar);
    }

    #[test]
    fn no_user_is_logged_in() {
        let xml = r#"<D:multistatus xmlns:D="DAV:"><D:response><D:href>/</D:href><D:propstat><D:prop>
            <D:current-user-principal><D:unauthenticated/></D:current-user-principal></D:prop>
            <D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response></D:multistatus>"#;
        assert_eq!(
            read_whole(xml, DiscoveryCollector::default()),
            Ok(Ok(Discovered { href: "/".to_owned(), ..Discovered::default() }))
        );
    }

    #[test]
    fn nothing_is_there_although_the_answer_is_a_multistatus() {
        let missing = "<m:multistatus xmlns:m='DAV:'><m:response><m:href>/x/</m:href><m:status>HTTP/1.1 404 Not Found\
            </m:status></m:response></m:multistatus>";
        assert_eq!(read_whole(missing, DiscoveryCollector::default()), Ok(Err(404)));
        assert_eq!(read_whole("<multistatus xmlns='DAV:'/>", DiscoveryCollector::default()), Ok(Err(404)));
        let refused = "<d:multistatus xmlns:d='DAV:'><d:response><d:href>/x/</d:href><d:propstat><d:prop><d:resourcetype/>\
            <d:current-user-principal/></d:prop><d:status>HTTP/1.1 403 Forbidden</d:status></d:propstat></d:response>\
            </d:multistatus>";
        assert_eq!(read_whole(refused, DiscoveryCollector::default()), Ok(Err(403)));
    }
}

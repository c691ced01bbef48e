//! What is at a URL: who is logged in, where the calendars are (RFC 5397; RFC 4791, 6.2.1; RFC 6638, 2.4.1).

use reqwest::Url;

use super::propfind;
use crate::source::caldav::http::Request;
use crate::source::caldav::multistatus::{Response, all};
use crate::source::caldav::xml::{Document, Space, XmlError};

const BODY: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<D:propfind xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop><D:resourcetype/><D:current-user-principal/><C:calendar-home-set/><C:calendar-user-address-set/></D:prop></D:propfind>"#;

/// What a URL turned out to be. Hrefs are as the server writes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// It is a calendar itself.
    pub is_calendar: bool,
    /// DAV:current-user-principal.
    pub principal: Option<String>,
    /// CALDAV:calendar-home-set.
    pub homes: Vec<String>,
    /// The mail addresses in CALDAV:calendar-user-address-set, bare.
    pub addresses: Vec<String>,
}

pub fn request(url: &Url) -> Request {
    propfind(url, "0", BODY)
}

/// Reads the answer; none when it says that there is nothing.
///
/// # Errors
/// [`XmlError`] when it is no multistatus.
pub fn parse(document: Document<'_>) -> Result<Option<Found>, XmlError> {
    let found = all(document)?.into_iter().find(|response| !response.is_gone());
    Ok(found.map(|response| Found {
        is_calendar: response.is_a(Space::Caldav, "calendar"),
        principal: response.hrefs(Space::Dav, "current-user-principal").into_iter().next(),
        homes: response.hrefs(Space::Caldav, "calendar-home-set"),
        addresses: addresses(&response),
    }))
}

fn addresses(response: &Response) -> Vec<String> {
    let mut addresses = Vec::new();
    for href in response.hrefs(Space::Caldav, "calendar-user-address-set") {
        let Some((scheme, address)) = href.split_once(':') else { continue };
        let address = address.trim().to_owned();
        if scheme.eq_ignore_ascii_case("mailto") && address.contains('@') && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::{Found, parse};

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
        let found = parse(xml.into()).unwrap().unwrap();
        assert_eq!(found.principal.as_deref(), Some("/principals/mary/"));
        assert_eq!(found.homes, ["/cal/mary/", "/cal/team/"]);
        assert_eq!(found.addresses, ["mary@example.org", "m@example.org"]);
        assert!(!found.is_calendar);
    }

    #[test]
    fn nobody_is_logged_in() {
        let xml = r#"<D:multistatus xmlns:D="DAV:"><D:response><D:href>/</D:href><D:propstat><D:prop>
            <D:current-user-principal><D:unauthenticated/></D:current-user-principal></D:prop>
            <D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response></D:multistatus>"#;
        assert_eq!(parse(xml.into()), Ok(Some(Found::default())));
    }

    #[test]
    fn nothing_is_there_although_the_answer_is_a_multistatus() {
        let missing = "<m:multistatus xmlns:m='DAV:'><m:response><m:href>/x/</m:href><m:status>HTTP/1.1 404 Not Found\
            </m:status></m:response></m:multistatus>";
        assert_eq!(parse(missing.into()), Ok(None));
        assert_eq!(parse("<multistatus xmlns='DAV:'/>".into()), Ok(None));
    }
}

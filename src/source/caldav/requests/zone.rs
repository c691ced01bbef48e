//! The zone of one calendar, asked of the calendar itself (RFC 4791, 5.2.2; RFC 7809, 5.2).

use reqwest::Url;

use super::{find_calendars, propfind};
use crate::http::HttpRequest;
use crate::source::caldav::multistatus::{Collect, Response};
use crate::source::caldav::xml::{Namespace, XmlError};

const BODY: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<D:propfind xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop><D:resourcetype/><C:calendar-timezone-id/><C:calendar-timezone/></D:prop></D:propfind>"#;

pub fn request(calendar: &Url) -> HttpRequest {
    propfind(calendar, "0", BODY)
}

/// Reads the zone out of the response: an IANA id or a VTIMEZONE, none where the calendar has none; or the status with
/// which the server does not say.
#[derive(Debug, Default)]
pub struct ZoneCollector {
    zone: Option<String>,
    failure: Option<u16>,
}

impl Collect for ZoneCollector {
    type Found = Result<Option<String>, u16>;

    fn add(&mut self, response: Response) -> usize {
        let withheld = response.withheld(Namespace::Caldav, "calendar-timezone");
        let failure = response.status.or_else(|| withheld.filter(|status| !matches!(status, 404 | 410)));
        self.failure = self.failure.or(failure);
        self.zone = self.zone.take().or_else(|| find_calendars::zone(&response));
        0
    }

    fn finish(self, _: Option<String>) -> Result<Self::Found, XmlError> {
        Ok(match (self.zone, self.failure) {
            (None, Some(status)) => Err(status),
            (zone, _) => Ok(zone),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ZoneCollector;
    use crate::source::caldav::multistatus::read_whole;

    #[test]
    fn a_zone_or_none() {
        let answer = |found: &str, lacking: &str| {
            format!(
                "<d:multistatus xmlns:d='DAV:' xmlns:c='urn:ietf:params:xml:ns:caldav'><d:response><d:href>/c/</d:href>\
                 <d:propstat><d:prop><d:resourcetype/>{found}</d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>\
                 <d:propstat><d:prop>{lacking}</d:prop><d:status>HTTP/1.1 404 Not Found</d:status></d:propstat>\
                 </d:response></d:multistatus>"
            )
        };
        let zone = |xml: String| read_whole(&xml, ZoneCollector::default()).unwrap().unwrap();
        let text = "BEGIN:VTIMEZONE\nTZID:Europe/Vienna\nEND:VTIMEZONE";
        let timezone = format!("<c:calendar-timezone>{text}</c:calendar-timezone>");
        assert_eq!(zone(answer(&timezone, "<c:calendar-timezone-id/>")).as_deref(), Some(text));
        let id = "<c:calendar-timezone-id>Europe/Berlin</c:calendar-timezone-id>";
        assert_eq!(zone(answer(&(timezone + id), "")).as_deref(), Some("Europe/Berlin"));
        assert_eq!(zone(answer("", "<c:calendar-timezone/><c:calendar-timezone-id/>")), None);
        assert_eq!(zone("<multistatus xmlns='DAV:'/>".to_owned()), None);
        for status in [403, 500] {
            let failing = answer("", "<c:calendar-timezone/>").replace("404 Not Found", &format!("{status} Said"));
            assert_eq!(read_whole(&failing, ZoneCollector::default()), Ok(Err(status)));
        }
        let gone = "<d:multistatus xmlns:d='DAV:'><d:response><d:href>/c/</d:href>\
            <d:status>HTTP/1.1 404 Not Found</d:status></d:response></d:multistatus>";
        assert_eq!(
            read_whole(gone, ZoneCollector::default()),
            Ok(Err(404)),
            "a calendar that is not found says nothing of its zone"
        );
    }
}

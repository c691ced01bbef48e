//! The whole of a calendar: the href and entity tag of each object in it.

use reqwest::Url;

use super::propfind;
use crate::source::caldav::href;
use crate::source::caldav::http::Request;
use crate::source::caldav::multistatus::read;
use crate::source::caldav::xml::{Document, Space, XmlError};

const BODY: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<D:propfind xmlns:D="DAV:"><D:prop><D:getetag/><D:resourcetype/></D:prop></D:propfind>"#;

/// An object of a calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// As the server spells it.
    pub href: String,
    /// DAV:getetag; none where the server has none.
    pub etag: Option<String>,
}

pub fn request(calendar: &Url) -> Request {
    propfind(calendar, "1", BODY)
}

/// Reads the objects out of the answer for the calendar at the path `calendar`; none when the answer says nothing at all
/// (a complete one speaks of the calendar itself), or that it is gone.
///
/// # Errors
/// [`XmlError`] when it is no multistatus.
pub fn parse(document: Document<'_>, calendar: &str) -> Result<Option<Vec<Member>>, XmlError> {
    let calendar = href::key(calendar);
    let (mut is_there, mut is_gone) = (false, false);
    let mut members = Vec::new();
    read(document, |response| {
        if href::key(&response.href) == calendar {
            is_gone = response.is_gone();
            is_there = !is_gone;
        } else if !response.is_gone() && !response.is_a(Space::Dav, "collection") {
            members.push(Member { etag: response.etag(), href: response.href });
        }
    })?;
    is_there |= !members.is_empty();
    Ok((is_there && !is_gone).then_some(members))
}

#[cfg(test)]
mod tests {
    use super::{Member, parse};

    fn member(href: &str, etag: Option<&str>) -> Member {
        Member { href: href.to_owned(), etag: etag.map(str::to_owned) }
    }

    #[test]
    fn objects_without_the_calendar_and_its_folders() {
        let xml = "<D:multistatus xmlns:D='DAV:'>\
            <D:response><D:href>http://host/cal/work</D:href><D:propstat><D:status>HTTP/1.1 200 OK</D:status><D:prop>\
            <D:resourcetype><D:collection/></D:resourcetype><D:getetag>None</D:getetag></D:prop></D:propstat></D:response>\
            <D:response><D:href>/cal/work/a%20b.ics</D:href><D:propstat><D:status>HTTP/1.1 200 OK</D:status><D:prop>\
            <D:getetag>&quot;gcs0&quot;</D:getetag><D:resourcetype/></D:prop></D:propstat></D:response>\
            <D:response><D:href>/cal/work/c.ics</D:href><D:propstat><D:status>HTTP/1.1 200 OK</D:status><D:prop>\
            <D:getetag>W/\"x\"</D:getetag></D:prop></D:propstat></D:response>\
            <D:response><D:href>/cal/work/d.ics</D:href><D:propstat><D:prop><D:getetag/></D:prop>\
            <D:status>HTTP/1.1 404 Not Found</D:status></D:propstat></D:response>\
            <D:response><D:href>/cal/work/sub/</D:href><D:propstat><D:prop><D:resourcetype><D:collection/>\
            </D:resourcetype></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>\
            </D:multistatus>";
        let wanted = [
            member("/cal/work/a%20b.ics", Some("\"gcs0\"")),
            member("/cal/work/c.ics", Some("W/\"x\"")),
            member("/cal/work/d.ics", None),
        ];
        assert_eq!(parse(xml.into(), "/cal/work/").unwrap().unwrap(), wanted);
    }

    #[test]
    fn an_answer_that_says_nothing_is_no_listing() {
        assert_eq!(parse("<multistatus xmlns='DAV:'/>".into(), "/cal/"), Ok(None));
        let gone = "<multistatus xmlns='DAV:'><response><href>/cal/</href><status>HTTP/1.1 404 Not Found</status>\
            </response></multistatus>";
        assert_eq!(parse(gone.into(), "/cal/"), Ok(None));
    }
}

//! The whole of a calendar: the href and entity tag of each object in it.

use reqwest::Url;

use super::propfind;
use crate::http::HttpRequest;
use crate::source::caldav::href;
use crate::source::caldav::multistatus::{Collect, Response};
use crate::source::caldav::xml::{Namespace, XmlError};

const BODY: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<D:propfind xmlns:D="DAV:"><D:prop><D:getetag/><D:resourcetype/><D:getlastmodified/><D:getcontentlength/></D:prop></D:propfind>"#;

/// The status of a listing that stops in the middle (RFC 6578, 3.6).
const CUT: u16 = 507;
/// The status that a multistatus stands for that speaks of no resource at all.
const NOTHING: u16 = 404;

/// An object of a calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// As the server spells it.
    pub href: String,
    /// DAV:getetag; none where the server has none.
    pub etag: Option<String>,
    /// Its size and when it was written, as far as a listing says; a text to be compared with a later one.
    pub stamp: Option<String>,
}

impl Member {
    /// An object by its href and entity tag.
    pub fn new(href: &str, etag: Option<&str>) -> Member {
        Member { href: href.to_owned(), etag: etag.map(str::to_owned), stamp: None }
    }

    /// About how many octets of memory it takes.
    pub fn size(&self) -> usize {
        let versions = [&self.etag, &self.stamp].into_iter().flatten().map(String::len).sum::<usize>();
        size_of::<Member>() + self.href.len() + versions
    }
}

pub fn request(calendar: &Url) -> HttpRequest {
    propfind(calendar, "1", BODY)
}

/// What a response says of a calendar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberList {
    pub members: Vec<Member>,
    /// Hrefs of which the response does not say whether there is an object.
    pub unclear: Vec<String>,
    /// The server did not list everything (507).
    pub is_cut: bool,
}

/// Reads the objects out of the response for a calendar, or the status with which the server says that there is none,
/// or none for this user. A response that says nothing at all is no listing: a complete one speaks of the calendar
/// itself.
#[derive(Debug)]
pub struct EtagCollector {
    /// The key of the calendar.
    calendar: String,
    is_there: bool,
    refusal: Option<u16>,
    found: MemberList,
}

impl EtagCollector {
    /// For the calendar at the path `calendar`.
    pub fn new(calendar: &str) -> EtagCollector {
        EtagCollector { calendar: href::key(calendar), is_there: false, refusal: None, found: MemberList::default() }
    }
}

impl Collect for EtagCollector {
    type Found = Result<MemberList, u16>;

    fn add(&mut self, response: Response) -> usize {
        let status = response.status.filter(|status| *status >= 400);
        if status == Some(CUT) {
            self.found.is_cut = true;
        } else if href::key(&response.href) == self.calendar {
            self.refusal = response.refusal();
            self.is_there = self.refusal.is_none();
        } else if status.is_some_and(|status| status >= 500) || is_failing(&response) {
            let size = size_of::<String>() + response.href.len();
            self.found.unclear.push(response.href);
            return size;
        } else if is_object(&response) {
            let member = Member { etag: response.etag(), stamp: stamp(&response), href: response.href };
            let size = member.size();
            self.found.members.push(member);
            return size;
        }
        0
    }

    fn finish(self, _: Option<String>) -> Result<Self::Found, XmlError> {
        let EtagCollector { is_there, refusal, found, .. } = self;
        let is_there = is_there || !found.members.is_empty() || found.is_cut;
        Ok(match refusal {
            Some(status) => Err(status),
            None if is_there => Ok(found),
            None => Err(NOTHING),
        })
    }
}

/// Whether a listing names an object. One that is refused is there as well: what becomes of it when it is asked for
/// tells.
fn is_object(response: &Response) -> bool {
    let is_refused = response.status.is_some_and(|status| status >= 400) && !response.is_gone();
    let is_folder = response.is_a(Namespace::Dav, "collection") || (is_refused && response.href.ends_with('/'));
    !response.is_gone() && !is_folder
}

/// DAV:getcontentlength and DAV:getlastmodified.
fn stamp(response: &Response) -> Option<String> {
    let text = |name| response.text(Namespace::Dav, name);
    let (size, time) = (text("getcontentlength"), text("getlastmodified"));
    size.or(time).map(|_| format!("{} {}", size.unwrap_or_default(), time.unwrap_or_default()))
}

/// Whether the server cannot tell the version of an object now.
fn is_failing(response: &Response) -> bool {
    response.withheld(Namespace::Dav, "getetag").is_some_and(|status| status >= 500)
}

#[cfg(test)]
mod tests {
    use super::{EtagCollector, Member, MemberList};
    use crate::source::caldav::multistatus::read_whole;
    use crate::source::caldav::xml::XmlError;

    fn read(xml: &str, calendar: &str) -> Result<Result<MemberList, u16>, XmlError> {
        read_whole(xml, EtagCollector::new(calendar))
    }

    fn member(href: &str, etag: Option<&str>) -> Member {
        Member::new(href, etag)
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
        let found = read(xml, "/cal/work/").unwrap().unwrap();
        assert_eq!((&found.members[..], found.is_cut, found.unclear.len()), (&wanted[..], false, 0));
    }

    #[test]
    fn an_answer_that_says_nothing_is_no_listing() {
        assert_eq!(read("<multistatus xmlns='DAV:'/>", "/cal/"), Ok(Err(404)));
        let gone = "<multistatus xmlns='DAV:'><response><href>/cal/</href><status>HTTP/1.1 404 Not Found</status>\
            </response></multistatus>";
        assert_eq!(read(gone, "/cal/"), Ok(Err(404)));
        let refused = gone.replace("404", "403");
        assert_eq!(read(&refused, "/cal/"), Ok(Err(403)));
    }

    #[test]
    fn a_listing_that_is_cut_or_fails_for_some_says_so() {
        let xml = "<multistatus xmlns='DAV:'><response><href>/cal/</href><propstat><prop><resourcetype/></prop>\
            <status>HTTP/1.1 200 OK</status></propstat></response>\
            <response><href>/cal/a.ics</href><status>HTTP/1.1 500 Said</status></response>\
            <response><href>/cal/b.ics</href><propstat><prop><getetag/></prop><status>HTTP/1.1 503 Said</status></propstat>\
            </response><response><href>/cal/c.ics</href><status>HTTP/1.1 403 Said</status></response>\
            <response><href>/cal/</href><status>HTTP/1.1 507 Said</status></response></multistatus>";
        let found = read(xml, "/cal/").unwrap().unwrap();
        assert_eq!((found.members, found.is_cut), (vec![member("/cal/c.ics", None)], true), "what is refused is there");
        assert_eq!(found.unclear, ["/cal/a.ics", "/cal/b.ics"]);
    }
}

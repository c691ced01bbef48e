//! The objects themselves (RFC 4791, 7.9, `calendar-multiget`; a plain GET where that fails).

use reqwest::Url;

use super::{dav_request, report};
use crate::http::{HttpRequest, Method};
use crate::source::caldav::multistatus::{Collect, Response};
use crate::source::caldav::xml::{Namespace, XmlError, escaped};
use crate::time::UtcMillis;

/// An object with its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedObject {
    /// As the response spells it.
    pub href: String,
    pub etag: Option<String>,
    /// DAV:getlastmodified.
    pub modified: Option<UtcMillis>,
    /// The iCalendar text, octets as they came.
    pub text: Vec<u8>,
}

/// Several objects of a calendar; `hrefs` as the server spells them.
pub fn request<'a>(calendar: &Url, hrefs: impl Iterator<Item = &'a str>) -> HttpRequest {
    let hrefs: String = hrefs.map(|href| format!("<D:href>{}</D:href>", escaped(href))).collect();
    let body = format!(
        r#"<?xml version="1.0" encoding="utf-8"?>
<C:calendar-multiget xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop><D:getetag/><D:getlastmodified/><C:calendar-data/></D:prop>{hrefs}</C:calendar-multiget>"#
    );
    report(calendar, "1", body)
}

/// One object by itself.
pub fn request_one(object: &Url) -> HttpRequest {
    // Packed by Apache, a resource gets an entity tag of its own.
    dav_request(Method::GET, object).with_header("Accept-Encoding", "identity")
}

/// Reads the objects that the response holds; those that it reports as missing, or leaves out, are not among them.
/// Their texts are bounded by the size of the response and by nothing else.
#[derive(Debug, Default)]
pub struct ObjectCollector {
    objects: Vec<FetchedObject>,
}

impl Collect for ObjectCollector {
    type Found = Vec<FetchedObject>;

    fn add(&mut self, mut response: Response) -> usize {
        let etag = response.etag();
        let modified = response.modified();
        let data = response.props.iter_mut().find(|prop| prop.is(Namespace::Caldav, "calendar-data"));
        if let Some(text) = data.map(|data| std::mem::take(&mut data.text)).filter(|text| !text.trim().is_empty()) {
            self.objects.push(FetchedObject { href: response.href, etag, modified, text: text.into_bytes() });
            return size_of::<FetchedObject>();
        }
        0
    }

    fn finish(self, _: Option<String>) -> Result<Vec<FetchedObject>, XmlError> {
        Ok(self.objects)
    }
}

#[cfg(test)]
mod tests {
    use reqwest::Url;

    use super::{ObjectCollector, request};
    use crate::source::caldav::multistatus::read_whole;

    #[test]
    fn hrefs_are_sent_as_the_server_spells_them() {
        let hrefs = ["/cal/a%20b.ics", "/cal/odd näme&#@.ics"];
        let request = request(&Url::parse("https://host/cal/").unwrap(), hrefs.into_iter());
        let sent = "<D:href>/cal/a%20b.ics</D:href><D:href>/cal/odd näme&amp;#@.ics</D:href>";
        assert!(request.text().contains(sent), "{}", request.text());
    }

    #[test]
    fn texts_of_all_dialects() {
        let xml = "<D:multistatus xmlns:D='DAV:' xmlns:C='urn:ietf:params:xml:ns:caldav'>\
            <D:response><D:href>/a</D:href><D:propstat><D:prop><C:calendar-data>BEGIN:X\r\nSUMMARY:a &lt;b&gt; &amp; \
            c\r\nEND:X\r\n</C:calendar-data><D:getetag>&quot;1&quot;</D:getetag><D:getlastmodified>Sun, 22 Nov 2026 \
            21:17:01 GMT</D:getlastmodified></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>\
            <D:response><D:href>/b</D:href><D:propstat><D:prop><A:calendar-data xmlns:A='urn:ietf:params:xml:ns:caldav'>\
            <![CDATA[BEGIN:X\nSUMMARY:]]]]><![CDATA[> <b>\nEND:X]]></A:calendar-data></D:prop></D:propstat></D:response>\
            <D:response><D:href>/c</D:href><D:status>HTTP/1.1 404 Not Found</D:status></D:response>\
            <D:response><D:href>/d</D:href><D:propstat><D:prop><C:calendar-data/></D:prop></D:propstat></D:response>\
            </D:multistatus>";
        let found = read_whole(xml, ObjectCollector::default()).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].text, b"BEGIN:X\r\nSUMMARY:a <b> & c\r\nEND:X\r\n");
        assert_eq!(found[0].etag.as_deref(), Some("\"1\""));
        assert_eq!(found[0].modified.unwrap().to_string(), "2026-11-22T21:17:01.000Z");
        assert_eq!((found[1].text.as_slice(), &found[1].etag), (&b"BEGIN:X\nSUMMARY:]]> <b>\nEND:X"[..], &None));
    }
}

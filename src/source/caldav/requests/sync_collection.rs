//! What changed in a calendar since a token (RFC 6578, `sync-collection`).

use std::collections::HashMap;

use reqwest::Url;

use super::list_etags::Member;
use super::report;
use crate::http::HttpRequest;
use crate::source::caldav::href;
use crate::source::caldav::multistatus::{Collect, Response};
use crate::source::caldav::xml::{Namespace, XmlError, escaped};

/// One page of changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangesPage {
    /// What is new or changed.
    pub put: Vec<Member>,
    /// What is no longer there, or never was.
    pub gone: Vec<String>,
    /// The server stopped in the middle (507): there is more from `token` on.
    pub is_cut: bool,
    /// The server says that the calendar itself is gone, or was, or fails at it: this is no report of what changed.
    pub is_void: bool,
    /// Where the next page begins.
    pub token: Option<String>,
}

impl ChangesPage {
    /// About how many octets of memory they take.
    pub fn size(&self) -> usize {
        let gone = self.gone.iter().map(|href| size_of::<String>() + href.len()).sum::<usize>();
        self.put.iter().map(Member::size).sum::<usize>() + gone
    }
}

/// The changes of the calendar at `calendar` since `token`. No limit is asked for: servers that cut a response there
/// lose the rest.
pub fn request(calendar: &Url, token: &str) -> HttpRequest {
    let token = escaped(token);
    let body = format!(
        r#"<?xml version="1.0" encoding="utf-8"?>
<D:sync-collection xmlns:D="DAV:"><D:sync-token>{token}</D:sync-token><D:sync-level>1</D:sync-level><D:prop><D:getetag/></D:prop></D:sync-collection>"#
    );
    HttpRequest { kind: "sync-collection", ..report(calendar, "1", body) }
}

/// Reads the response for one calendar. If an object is named twice, being there wins: it was deleted and
/// created again.
#[derive(Debug)]
pub struct ChangesCollector {
    /// The key of the calendar.
    calendar: String,
    changes: ChangesPage,
    /// By key, where in `changes.put` it is; none: it is gone.
    at: HashMap<String, Option<usize>>,
}

impl ChangesCollector {
    /// For the calendar at the path `calendar`.
    pub fn new(calendar: &str) -> ChangesCollector {
        ChangesCollector { calendar: href::key(calendar), changes: ChangesPage::default(), at: HashMap::new() }
    }
}

impl Collect for ChangesCollector {
    type Found = ChangesPage;

    fn add(&mut self, response: Response) -> usize {
        let (changes, key) = (&mut self.changes, href::key(&response.href));
        // It is kept as it is spelled, and its key twice.
        let size = 3 * (key.len() + size_of::<String>());
        if response.status == Some(507) {
            changes.is_cut = true;
            return 0;
        }
        if key == self.calendar {
            changes.is_void |= response.status.is_some_and(|status| status >= 400);
            return 0;
        }
        if response.is_gone() {
            self.at.entry(key).or_insert_with(|| {
                changes.gone.push(response.href);
                None
            });
            return size;
        }
        if response.is_a(Namespace::Dav, "collection") {
            return 0;
        }
        // Whatever is said of it but that it is gone: asking for it will tell.
        let member = Member { etag: response.etag(), stamp: None, href: response.href };
        let size = size + member.size();
        match self.at.get(&key).copied().flatten().and_then(|index| changes.put.get_mut(index)) {
            Some(earlier) => *earlier = member,
            None => {
                self.at.insert(key, Some(changes.put.len()));
                changes.put.push(member);
            }
        }
        size
    }

    fn finish(self, token: Option<String>) -> Result<ChangesPage, XmlError> {
        let ChangesCollector { mut changes, at, .. } = self;
        changes.gone.retain(|gone| at.get(&href::key(gone)).is_some_and(Option::is_none));
        changes.token = token;
        Ok(changes)
    }
}

#[cfg(test)]
mod tests {
    use reqwest::Url;

    use super::{ChangesCollector, ChangesPage, Member, request};
    use crate::source::caldav::multistatus::read_whole;

    fn parsed(inside: &str) -> ChangesPage {
        let xml = format!("<D:multistatus xmlns:D='DAV:'>{inside}</D:multistatus>");
        read_whole(&xml, ChangesCollector::new("/cal/work/")).unwrap()
    }

    fn there(href: &str, etag: &str) -> String {
        format!(
            "<D:response><D:href>{href}</D:href><D:propstat><D:prop><D:getetag>\"{etag}\"</D:getetag></D:prop>\
             <D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
        )
    }

    fn status(href: &str, status: &str) -> String {
        format!("<D:response><D:href>{href}</D:href><D:status>HTTP/1.1 {status}</D:status></D:response>")
    }

    fn member(href: &str, etag: &str) -> Member {
        Member::new(href, Some(&format!("\"{etag}\"")))
    }

    #[test]
    fn the_token_is_escaped_and_no_limit_is_sent() {
        let request = request(&Url::parse("https://host/cal/").unwrap(), "a&<b");
        assert!(request.text().contains("<D:sync-token>a&amp;&lt;b</D:sync-token>"), "{}", request.text());
        assert!(!request.text().contains("limit") && request.headers.contains(&("Depth".into(), "1".into())));
    }

    #[test]
    fn changed_and_gone() {
        let found = parsed(
            &("<D:sync-token>t2</D:sync-token>".to_owned()
                + &there("/cal/work/a.ics", "1")
                + &status("/cal/work/b.ics", "404 Not Found")),
        );
        assert_eq!(found.put, [member("/cal/work/a.ics", "1")]);
        assert_eq!((found.gone, found.token.as_deref()), (vec!["/cal/work/b.ics".to_owned()], Some("t2")));
        assert!(!found.is_cut && !found.is_void);
    }

    #[test]
    fn deleted_and_made_again_is_there_whatever_the_order() {
        let gone = status("/cal/work/a%2Eics", "404 Not Found");
        for inside in [gone.clone() + &there("/cal/work/a.ics", "2"), there("/cal/work/a.ics", "2") + &gone] {
            let found = parsed(&inside);
            assert_eq!((found.put, found.gone), (vec![member("/cal/work/a.ics", "2")], vec![]));
        }
        let twice = parsed(&(gone.clone() + &gone));
        assert_eq!(twice.gone.len(), 1);
        let failing = parsed(&status("/cal/work/a.ics", "500 Internal Server Error"));
        assert_eq!(failing.put, [Member::new("/cal/work/a.ics", None)]);
        let last = parsed(&(there("/cal/work/a.ics", "1") + &there("/cal/work/a.ics", "2")));
        assert_eq!(last.put, [member("/cal/work/a.ics", "2")]);
    }

    #[test]
    fn the_calendar_itself_is_no_object() {
        // sabre/dav after a PROPPATCH: without the slash, and without the entity tag.
        let own = "<D:response><D:href>/cal/work</D:href><D:propstat><D:prop><D:getetag/></D:prop>\
            <D:status>HTTP/1.1 404 Not Found</D:status></D:propstat></D:response>";
        assert_eq!(parsed(own), ChangesPage::default());
        // Stalwart lists it like an object; deleted and created again, twice.
        assert_eq!(parsed(&there("/cal/work/", "1")), ChangesPage::default());
        let found = parsed(&(status("/cal/work/", "404 Not Found") + &there("/cal/work/", "1")));
        assert!(found.is_void && found.put.is_empty() && found.gone.is_empty());
    }

    #[test]
    fn a_cut_answer_says_so() {
        let cut = status("/cal/work/", "507 Insufficient Storage") + "<D:sync-token>t1</D:sync-token>";
        let found = parsed(&(there("/cal/work/a.ics", "1") + &cut));
        assert!(found.is_cut && !found.is_void && found.put.len() == 1);
        assert_eq!(found.token.as_deref(), Some("t1"));
    }
}

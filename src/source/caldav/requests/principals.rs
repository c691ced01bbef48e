//! The principals of a server (RFC 3744): where they are (5.8), and which there are (9.4).

use reqwest::Url;

use super::{propfind, report};
use crate::http::HttpRequest;
use crate::source::caldav::multistatus::{Collect, Response};
use crate::source::caldav::xml::{Namespace, XmlError};

const ABOUT: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<D:propfind xmlns:D="DAV:"><D:prop><D:resourcetype/><D:principal-collection-set/><D:current-user-principal/></D:prop></D:propfind>"#;

const LIST: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<D:propfind xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop><D:resourcetype/><C:calendar-home-set/><C:calendar-user-type/></D:prop></D:propfind>"#;

/// An empty text is in every name.
const SEARCH: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<D:principal-property-search xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:property-search><D:prop><D:displayname/></D:prop><D:match></D:match></D:property-search><D:prop><D:resourcetype/><C:calendar-home-set/><C:calendar-user-type/></D:prop></D:principal-property-search>"#;

/// What a server says of its principals as a whole. Hrefs are as the server writes them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct AboutPrincipals {
    /// DAV:principal-collection-set.
    pub collections: Vec<String>,
    /// DAV:current-user-principal.
    pub own: Option<String>,
}

/// The status of a collection of which not everything is listed.
const CUT: u16 = 507;

/// What a server lists.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PrincipalList {
    pub principals: Vec<ListedPrincipal>,
    /// The server did not list everything (507).
    pub is_cut: bool,
}

/// What is listed as a principal or beside some. The href is as the server writes it.
#[derive(Debug, PartialEq, Eq)]
pub struct ListedPrincipal {
    pub href: String,
    pub is_principal: bool,
    pub is_collection: bool,
    /// CALDAV:calendar-home-set.
    pub homes: Vec<String>,
    /// CALDAV:calendar-user-type (RFC 6638, 2.4.2).
    pub kind: Option<String>,
    /// The server says no to it.
    pub is_refused: bool,
}

/// Asks where the principals of the server at `url` are.
pub fn about(url: &Url) -> HttpRequest {
    propfind(url, "0", ABOUT)
}

/// Asks for what is in the collection at `url`.
pub fn list(url: &Url) -> HttpRequest {
    HttpRequest { kind: "principals", ..propfind(url, "1", LIST) }
}

/// Asks for all principals in the collection at `url`.
pub fn search(url: &Url) -> HttpRequest {
    HttpRequest { kind: "principals", ..report(url, "0", SEARCH.to_owned()) }
}

/// Reads the response to [`about`].
#[derive(Debug, Default)]
pub struct AboutCollector(AboutPrincipals);

impl Collect for AboutCollector {
    type Found = AboutPrincipals;

    fn add(&mut self, response: Response) -> usize {
        if self.0.collections.is_empty() {
            self.0.collections = response.hrefs(Namespace::Dav, "principal-collection-set");
            self.0.own = response.hrefs(Namespace::Dav, "current-user-principal").into_iter().next();
        }
        response.size()
    }

    fn finish(self, _: Option<String>) -> Result<AboutPrincipals, XmlError> {
        Ok(self.0)
    }
}

/// Reads the response to [`list`] and [`search`].
#[derive(Debug, Default)]
pub struct PrincipalCollector(PrincipalList);

impl Collect for PrincipalCollector {
    type Found = PrincipalList;

    fn add(&mut self, response: Response) -> usize {
        let size = response.size();
        self.0.is_cut |= response.status == Some(CUT);
        self.0.principals.push(ListedPrincipal {
            is_principal: response.is_a(Namespace::Dav, "principal"),
            is_collection: response.is_a(Namespace::Dav, "collection"),
            homes: response.hrefs(Namespace::Caldav, "calendar-home-set"),
            kind: response.text(Namespace::Caldav, "calendar-user-type").map(str::to_owned),
            is_refused: response.refusal().is_some(),
            href: response.href,
        });
        size
    }

    fn finish(self, _: Option<String>) -> Result<PrincipalList, XmlError> {
        Ok(self.0)
    }
}

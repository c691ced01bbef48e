//! The multistatus, the response that most of WebDAV is made of (RFC 4918, 13): for each resource, which properties it
//! has.

use tokio::io::AsyncBufRead;

use super::xml::{Element, Namespace, XmlError, read_multistatus, stream_multistatus};
use crate::config::ResponseLimits;
use crate::http::http_date;
use crate::time::UtcMillis;

/// What a multistatus says of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// As the server spells it.
    pub href: String,
    /// The status of the resource as a whole, where one is given.
    pub status: Option<u16>,
    /// The properties it has.
    pub props: Vec<Element>,
    /// Those that were asked for and are not given: it has none of that name (404), or the server does not give it now.
    pub withheld: Vec<WithheldProperty>,
}

/// What is made of the responses of one multistatus, which come one after the other.
pub trait Collect: Send {
    type Found: Send;

    /// Takes the next one, and returns about how many octets of memory it keeps of it.
    fn add(&mut self, response: Response) -> usize;

    /// What came of all of them, and of the DAV:sync-token of the response (RFC 6578, 6.2).
    ///
    /// # Errors
    /// When there is more than the limits allow.
    fn finish(self, token: Option<String>) -> Result<Self::Found, XmlError>;
}

/// A property that is not given, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WithheldProperty {
    pub namespace: Namespace,
    /// Its local name.
    pub name: String,
    pub status: u16,
}

impl Response {
    /// Whether the server says that there is no such resource.
    pub fn is_gone(&self) -> bool {
        matches!(self.status, Some(404 | 410))
    }

    /// The status with which the server says no to the resource as a whole, if it does. Some servers say it of each
    /// property alone: of what is there, some property is given, if DAV:resourcetype was asked for.
    pub fn refusal(&self) -> Option<u16> {
        if let Some(status) = self.status.filter(|status| *status >= 400) {
            return Some(status);
        }
        let because = |status: u16| self.withheld.iter().any(|withheld| withheld.status == status).then_some(status);
        let first = || self.withheld.first().map(|withheld| withheld.status);
        if self.props.is_empty() { because(401).or_else(|| because(403)).or_else(first) } else { None }
    }

    /// Why the property `name` is not given; none where it is, or where the server says nothing of it.
    pub fn withheld(&self, namespace: Namespace, name: &str) -> Option<u16> {
        self.withheld.iter().find(|prop| prop.namespace == namespace && prop.name == name).map(|prop| prop.status)
    }

    /// The property `name`.
    pub fn prop(&self, namespace: Namespace, name: &str) -> Option<&Element> {
        self.props.iter().find(|prop| prop.is(namespace, name))
    }

    /// The text of the property `name`, without white space around it; none where it is empty.
    pub fn text(&self, namespace: Namespace, name: &str) -> Option<&str> {
        self.prop(namespace, name)?.trimmed()
    }

    /// The text of the property `name`, where that tells versions apart.
    pub fn version(&self, namespace: Namespace, name: &str) -> Option<String> {
        self.text(namespace, name).map(str::to_owned)
    }

    /// The hrefs in the property `name`.
    pub fn hrefs(&self, namespace: Namespace, name: &str) -> Vec<String> {
        let Some(prop) = self.prop(namespace, name) else { return Vec::new() };
        prop.all(Namespace::Dav, "href").filter_map(Element::trimmed).map(str::to_owned).collect()
    }

    /// DAV:getetag, with its quotes.
    pub fn etag(&self) -> Option<String> {
        self.version(Namespace::Dav, "getetag")
    }

    /// DAV:getlastmodified; none where it is no date.
    pub fn modified(&self) -> Option<UtcMillis> {
        http_date(self.text(Namespace::Dav, "getlastmodified")?)
    }

    /// About how many octets of memory it takes.
    pub fn size(&self) -> usize {
        let props: usize = self.props.iter().map(Element::size).sum();
        let withheld: usize =
            self.withheld.iter().map(|withheld| size_of::<WithheldProperty>() + withheld.name.len()).sum();
        size_of::<Response>() + self.href.len() + props + withheld
    }

    /// Whether DAV:resourcetype holds `kind`.
    pub fn is_a(&self, namespace: Namespace, kind: &str) -> bool {
        self.prop(Namespace::Dav, "resourcetype").is_some_and(|types| types.child(namespace, kind).is_some())
    }
}

/// Reads a multistatus, all of which is there, into `collector`. A response that names several resources is given once
/// for each. What tells versions apart and is longer than an href may be counts as not there.
///
/// # Errors
/// [`XmlError`] when it is no multistatus, or more of one than `limits` allow.
pub fn read<C: Collect>(xml: &str, limits: &ResponseLimits, collector: C) -> Result<C::Found, XmlError> {
    let mut collecting = Collecting::new(limits, collector);
    read_multistatus(xml, limits, |element| collecting.take(element))?;
    collecting.finish()
}

/// Likewise a multistatus that comes in piece by piece; `xml` is UTF-8.
///
/// # Errors
/// As for [`read`].
pub async fn stream<C: Collect>(
    xml: impl AsyncBufRead + Unpin,
    limits: &ResponseLimits,
    collector: C,
) -> Result<C::Found, XmlError> {
    let mut collecting = Collecting::new(limits, collector);
    stream_multistatus(xml, limits, |element| collecting.take(element)).await?;
    collecting.finish()
}

/// Reads `xml` within the limits of a configuration that names none.
///
/// # Errors
/// As for [`read`].
pub fn read_whole<C: Collect>(xml: &str, collector: C) -> Result<C::Found, XmlError> {
    read(xml, &ResponseLimits::STANDARD, collector)
}

/// A multistatus of which a part has been read.
struct Collecting<'l, C> {
    limits: &'l ResponseLimits,
    collector: C,
    sync_token: Option<String>,
    /// Octets that may still be kept of it.
    room: usize,
}

impl<'l, C: Collect> Collecting<'l, C> {
    fn new(limits: &'l ResponseLimits, collector: C) -> Collecting<'l, C> {
        Collecting { limits, collector, sync_token: None, room: limits.max_listing_size }
    }

    /// Takes the next child of the root.
    fn take(&mut self, element: Element) -> Result<(), XmlError> {
        let most = self.limits.max_href;
        let is_short = |element: &Element| element.trimmed().is_none_or(|text| text.len() <= most);
        if element.is(Namespace::Dav, "sync-token") {
            self.sync_token = element.trimmed().filter(|_| is_short(&element)).map(str::to_owned);
        } else if element.is(Namespace::Dav, "response") {
            each_response(element, |mut response| {
                if response.href.len() > most {
                    return Err(XmlError::LongHref(most));
                }
                response.props.retain(|prop| !is_version(prop) || is_short(prop));
                let kept = self.collector.add(response);
                self.room = self.room.checked_sub(kept).ok_or(XmlError::TooMuch(self.limits.max_listing_size))?;
                Ok(())
            })?;
        }
        Ok(())
    }

    fn finish(self) -> Result<C::Found, XmlError> {
        self.collector.finish(self.sync_token)
    }
}

/// Whether a property tells versions of a resource apart.
fn is_version(prop: &Element) -> bool {
    [(Namespace::Dav, "getetag"), (Namespace::Dav, "sync-token"), (Namespace::CalendarServer, "getctag")]
        .iter()
        .any(|(namespace, name)| prop.is(*namespace, name))
}

/// Gives the response that `element` is to `each`, once for each resource that it names.
fn each_response(element: Element, mut each: impl FnMut(Response) -> Result<(), XmlError>) -> Result<(), XmlError> {
    let status = element.child(Namespace::Dav, "status").and_then(status_code);
    let hrefs: Vec<String> =
        element.all(Namespace::Dav, "href").filter_map(Element::trimmed).map(str::to_owned).collect();
    let (mut props, mut withheld) = (Vec::new(), Vec::new());
    for propstat in element.children.into_iter().filter(|child| child.is(Namespace::Dav, "propstat")) {
        let status = propstat.child(Namespace::Dav, "status").and_then(status_code).unwrap_or(200);
        let named = propstat.children.into_iter().filter(|child| child.is(Namespace::Dav, "prop"));
        let named = named.flat_map(|prop| prop.children).filter(|prop| prop.namespace != Namespace::Other);
        if (200..300).contains(&status) {
            props.extend(named);
        } else {
            withheld.extend(named.map(|prop| WithheldProperty { namespace: prop.namespace, name: prop.name, status }));
        }
    }
    let mut hrefs = hrefs.into_iter();
    if let Some(href) = hrefs.next() {
        each(Response { href, status, props, withheld })?;
    }
    // Where there are several, a status is said of them and nothing else (RFC 4918, 14.24).
    hrefs.try_for_each(|href| each(Response { href, status, props: Vec::new(), withheld: Vec::new() }))
}

/// The number in `HTTP/1.1 404 Not Found`.
fn status_code(element: &Element) -> Option<u16> {
    element.trimmed()?.split_ascii_whitespace().find_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::{Collect, Namespace, Response, XmlError, read};
    use crate::config::ResponseLimits;

    /// Keeps all, and the token.
    #[derive(Default)]
    struct All(Vec<Response>);

    impl Collect for All {
        type Found = (Vec<Response>, Option<String>);

        fn add(&mut self, response: Response) -> usize {
            let size = response.size();
            self.0.push(response);
            size
        }

        fn finish(self, token: Option<String>) -> Result<Self::Found, XmlError> {
            Ok((self.0, token))
        }
    }

    fn within(limits: &ResponseLimits, xml: &str) -> Result<(Vec<Response>, Option<String>), XmlError> {
        read(xml, limits, All::default())
    }

    fn all(xml: &str) -> Vec<Response> {
        within(&ResponseLimits::STANDARD, xml).unwrap().0
    }

    #[test]
    fn status_may_come_before_or_after_the_properties() {
        let after = "<multistatus xmlns='DAV:'><response><href>/a</href><propstat><prop><getetag>\"1\"</getetag></prop>\
            <status>HTTP/1.1 200 OK</status></propstat><propstat><prop><displayname/></prop>\
            <status>HTTP/1.1 404 Not Found</status></propstat></response></multistatus>";
        let before = "<n:multistatus xmlns:n='DAV:'><n:response><n:href> /a </n:href><n:propstat><n:status>HTTP/1.1 404 \
            Not Found</n:status><n:prop><n:displayname /></n:prop></n:propstat><n:propstat><n:status>HTTP/1.1 200 OK\
            </n:status><n:prop><n:getetag>&quot;1&quot;</n:getetag></n:prop></n:propstat></n:response></n:multistatus>";
        for xml in [after, before] {
            let found = all(xml).remove(0);
            assert_eq!((found.href.as_str(), found.status), ("/a", None));
            assert_eq!(found.etag().as_deref(), Some("\"1\""));
            assert!(found.prop(Namespace::Dav, "displayname").is_none(), "a property that is not there");
            assert!(!found.is_gone(), "it lacks a property, but it is there");
            assert_eq!((found.refusal(), found.withheld(Namespace::Dav, "displayname")), (None, Some(404)));
            assert_eq!(found.withheld(Namespace::Dav, "getetag"), None);
        }
    }

    #[test]
    fn a_resource_may_be_refused_as_a_whole_or_by_each_property() {
        let refusal = |inside: &str| {
            let xml = format!("<multistatus xmlns='DAV:'><response><href>/a</href>{inside}</response></multistatus>");
            all(&xml).remove(0).refusal()
        };
        let propstat = |props: &str, status: u16| {
            format!("<propstat><prop>{props}</prop><status>HTTP/1.1 {status} Said</status></propstat>")
        };
        let (kind, name) = ("<resourcetype/>", "<displayname/>");
        assert_eq!(refusal("<status>HTTP/1.1 404 Not Found</status>"), Some(404));
        assert_eq!(refusal("<status>HTTP/1.1 200 OK</status>"), None);
        assert_eq!(refusal(&propstat(&format!("{kind}{name}"), 403)), Some(403));
        assert_eq!(refusal(&(propstat("", 200) + &propstat(name, 404) + &propstat(kind, 403))), Some(403));
        assert_eq!(refusal(&(propstat(name, 403) + &propstat(kind, 401))), Some(401));
        assert_eq!(refusal(&propstat(&format!("{kind}{name}"), 404)), Some(404));
        assert_eq!(refusal(&propstat(kind, 500)), Some(500));
        assert_eq!(refusal(&(propstat(kind, 200) + &propstat(name, 403))), None);
    }

    #[test]
    fn the_token_is_found_before_and_after_the_responses() {
        let response = "<response><href>/a</href><status>HTTP/1.1 404 Not Found</status></response>";
        let token = "<sync-token> data:,13 </sync-token>";
        for inside in [format!("{token}{response}"), format!("{response}{token}")] {
            let xml = format!("<multistatus xmlns='DAV:'>{inside}</multistatus>");
            let (found, token) = within(&ResponseLimits::STANDARD, &xml).unwrap();
            assert!(found.len() == 1 && found[0].is_gone() && found[0].href == "/a", "{found:?}");
            assert_eq!(token.as_deref(), Some("data:,13"));
        }
    }

    #[test]
    fn one_response_may_name_several_resources() {
        let xml = "<multistatus xmlns='DAV:'><response><href>/a</href><href>/b</href><status>HTTP/1.1 410 Gone</status>\
            </response><response><status>HTTP/1.1 200 OK</status></response></multistatus>";
        let found = all(xml);
        assert_eq!(found.iter().map(|r| r.href.as_str()).collect::<Vec<_>>(), ["/a", "/b"]);
        assert!(found.iter().all(super::Response::is_gone));
    }

    #[test]
    fn hrefs_and_marks_are_bounded() {
        let answer = |href: usize, mark: usize| {
            let (href, mark) = ("a".repeat(href - 1), "m".repeat(mark));
            format!(
                "<multistatus xmlns='DAV:'><response><href>/{href}</href><propstat><prop><getetag>{mark}</getetag>\
                 </prop></propstat></response><sync-token>{mark}</sync-token></multistatus>"
            )
        };
        for max_href in [ResponseLimits::STANDARD.max_href, 256] {
            let limits = ResponseLimits { max_href, ..ResponseLimits::STANDARD };
            let read = |href, mark| {
                let (found, token) = within(&limits, &answer(href, mark))?;
                Ok::<_, XmlError>((found[0].etag().is_some(), token.is_some()))
            };
            assert_eq!(read(max_href, max_href), Ok((true, true)));
            assert_eq!(read(max_href, max_href + 1), Ok((false, false)));
            let refused = read(max_href + 1, 1).unwrap_err();
            assert!(refused.to_string().contains("limits.max_href"), "{refused}");
        }
    }

    #[test]
    fn limit_of_what_is_kept_of_an_answer_at_it_and_above() {
        let response = "<response><href>/a</href><propstat><prop><getetag>x</getetag></prop></propstat></response>";
        let xml = |count| format!("<multistatus xmlns='DAV:'>{}</multistatus>", response.repeat(count));
        let size = all(&xml(1))[0].size();
        for count in [ResponseLimits::STANDARD.max_listing_size / size, 10] {
            let limits = ResponseLimits { max_listing_size: count * size, ..ResponseLimits::STANDARD };
            assert_eq!(within(&limits, &xml(count)).unwrap().0.len(), count);
            let refused = within(&limits, &xml(count + 1)).unwrap_err();
            assert!(refused.to_string().contains("limits.max_listing_size"), "{refused}");
        }
    }
}

//! Reading and writing the XML of WebDAV, tolerantly: any prefixes, any order, text and CDATA in pieces. It reads a
//! document that is there or that comes in, keeps one child of the root in memory at a time, knows no property, and
//! never resolves an entity from outside.

use quick_xml::NsReader;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::{Namespace as BoundNamespace, ResolveResult};
use tokio::io::AsyncBufRead;

use crate::config::ResponseLimits;
use crate::text::{first_chars, on_one_line, visible};

/// What is wrong with an XML document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    #[error("XML that is not well-formed ({0})")]
    IllFormed(String),
    #[error("XML with a document type, which is not read")]
    DocumentType,
    #[error("XML nested deeper than the {0} elements that limits.max_xml_depth allows")]
    TooDeep(usize),
    #[error("XML with more elements in one response than the {0} that limits.max_elements allows")]
    TooMany(usize),
    #[error("more calendars than the {0} that limits.max_calendars allows")]
    TooManyCalendars(usize),
    #[error("an href of more octets than the {0} that limits.max_href allows")]
    LongHref(usize),
    #[error("more hrefs and properties than fit into the {0} octets that limits.max_listing_size allows")]
    TooMuch(usize),
    #[error("{} instead of a multistatus", tag(.0))]
    NoMultistatus(String),
}

/// The octets of a tag or a text above which the memory that it was read into is given back.
const LONG: usize = 64 * 1024;
/// The most letters of a foreign tag that a sentence repeats.
const MAX_TAG: usize = 40;

/// A foreign tag in a sentence: short, and without what could steer a terminal or break a line of a log.
fn tag(name: &str) -> String {
    format!("<{}>", visible(first_chars(name, MAX_TAG)))
}

/// What the parser says, which may repeat the document, as a part of a sentence.
fn sentence(text: &str) -> String {
    const MAX: usize = 200;
    on_one_line(first_chars(text, MAX))
}

/// The namespaces that are distinguished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// `DAV:`; also `DAV`, which some servers write in errors.
    Dav,
    /// `urn:ietf:params:xml:ns:caldav`
    Caldav,
    /// `http://calendarserver.org/ns/`
    CalendarServer,
    /// `http://apple.com/ns/ical/`
    Apple,
    /// `https://bitfire.at/webdav-push`
    Push,
    Other,
}

impl Namespace {
    fn of(resolved: &ResolveResult<'_>) -> Namespace {
        match resolved {
            ResolveResult::Bound(BoundNamespace("DAV:" | "DAV")) => Namespace::Dav,
            ResolveResult::Bound(BoundNamespace("urn:ietf:params:xml:ns:caldav")) => Namespace::Caldav,
            ResolveResult::Bound(BoundNamespace("http://calendarserver.org/ns/")) => Namespace::CalendarServer,
            ResolveResult::Bound(BoundNamespace("http://apple.com/ns/ical/")) => Namespace::Apple,
            ResolveResult::Bound(BoundNamespace("https://bitfire.at/webdav-push")) => Namespace::Push,
            _ => Namespace::Other,
        }
    }
}

/// An element with all that is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    pub namespace: Namespace,
    /// The name without its prefix; empty in [`Namespace::Other`].
    pub name: String,
    /// The value of the attribute `name`, which `comp` has.
    pub attribute: Option<String>,
    /// The text directly in it, CDATA and character references included, as the document has it.
    pub text: String,
    pub children: Vec<Element>,
}

impl Element {
    fn new(namespace: Namespace, start: &BytesStart<'_>) -> Element {
        let attribute = match start.try_get_attribute("name") {
            Ok(Some(attribute)) if namespace != Namespace::Other => Some(attribute.value.into_owned()),
            _ => None,
        };
        let name = if namespace == Namespace::Other { String::new() } else { start.local_name().as_ref().to_owned() };
        Element { namespace, name, attribute, text: String::new(), children: Vec::new() }
    }

    /// Whether it is `name` of `namespace`.
    pub fn is(&self, namespace: Namespace, name: &str) -> bool {
        self.namespace == namespace && self.name == name
    }

    /// The first child of that name.
    pub fn child(&self, namespace: Namespace, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.is(namespace, name))
    }

    /// All children of that name.
    pub fn all<'a>(&'a self, namespace: Namespace, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.is(namespace, name))
    }

    /// About how many octets of memory it takes, with all that is in it.
    pub fn size(&self) -> usize {
        let own = self.name.len() + self.attribute.as_ref().map_or(0, String::len) + self.text.len();
        self.children.iter().map(Element::size).sum::<usize>() + size_of::<Element>() + own
    }

    /// Its text without white space around it; none where nothing is left.
    pub fn trimmed(&self) -> Option<&str> {
        Some(self.text.trim()).filter(|text| !text.is_empty())
    }
}

/// Reads a document, all of which is there, whose root must be DAV:multistatus, and gives the children of the root to
/// `each`, one after the other. What follows the root is not read.
///
/// # Errors
/// [`XmlError`]; what came before was given to `each`.
pub fn read_multistatus(
    xml: &str,
    limits: &ResponseLimits,
    mut each: impl FnMut(Element) -> Result<(), XmlError>,
) -> Result<(), XmlError> {
    let mut reader = tolerant(NsReader::from_str(xml.trim_start_matches('\u{feff}')));
    let mut elements = OpenElements::new(limits);
    while !elements.take(reader.read_resolved_event().map_err(ill_formed)?, &mut each)? {}
    Ok(())
}

/// Likewise of a document that comes in piece by piece; `xml` is UTF-8.
///
/// # Errors
/// As for [`read_multistatus`].
pub async fn stream_multistatus(
    xml: impl AsyncBufRead + Unpin,
    limits: &ResponseLimits,
    mut each: impl FnMut(Element) -> Result<(), XmlError>,
) -> Result<(), XmlError> {
    let mut reader = tolerant(NsReader::from_reader(xml));
    let mut elements = OpenElements::new(limits);
    let mut buffer = Vec::new();
    while !elements.take(reader.read_resolved_event_into_async(&mut buffer).await.map_err(ill_formed)?, &mut each)? {
        if buffer.capacity() > LONG {
            buffer = Vec::new();
        }
        buffer.clear();
    }
    Ok(())
}

/// `reader`, which takes what servers write.
fn tolerant<R>(mut reader: NsReader<R>) -> NsReader<R> {
    reader.config_mut().expand_empty_elements = true;
    reader.config_mut().allow_dangling_amp = true;
    reader
}

fn ill_formed(why: quick_xml::Error) -> XmlError {
    XmlError::IllFormed(sentence(&why.to_string()))
}

/// The elements of a document that have begun and not ended.
struct OpenElements<'l> {
    limits: &'l ResponseLimits,
    /// The root has begun.
    in_root: bool,
    /// What is open below the root, from the outside in.
    open: Vec<Element>,
    /// Elements of the child of the root that is being read, that itself included.
    count: usize,
}

/// What has ended with an element.
enum EndedElement {
    /// An element below a child of the root.
    Inner,
    /// A child of the root.
    Child(Element),
    /// The root.
    Root,
}

impl<'l> OpenElements<'l> {
    fn new(limits: &'l ResponseLimits) -> OpenElements<'l> {
        OpenElements { limits, in_root: false, open: Vec::new(), count: 0 }
    }

    /// Takes the next event of the document, and gives a child of the root to `each` once it has ended. Returns whether
    /// the root has ended.
    fn take(
        &mut self,
        (namespace, event): (ResolveResult<'_>, Event<'_>),
        each: &mut impl FnMut(Element) -> Result<(), XmlError>,
    ) -> Result<bool, XmlError> {
        match event {
            Event::Start(start) => self.begin(Namespace::of(&namespace), &start)?,
            Event::End(_) => match self.end() {
                EndedElement::Inner => {}
                EndedElement::Child(child) => each(child)?,
                EndedElement::Root => return Ok(true),
            },
            Event::DocType(_) => return Err(XmlError::DocumentType),
            Event::Eof => return Err(XmlError::IllFormed("it ends in the middle".to_owned())),
            other => add_text(self.innermost(), other),
        }
        Ok(false)
    }

    /// Takes the beginning of an element.
    fn begin(&mut self, namespace: Namespace, start: &BytesStart<'_>) -> Result<(), XmlError> {
        if !self.in_root {
            if namespace != Namespace::Dav || start.local_name().as_ref() != "multistatus" {
                return Err(XmlError::NoMultistatus(start.local_name().as_ref().to_owned()));
            }
            self.in_root = true;
            return Ok(());
        }
        self.count += 1;
        if self.count > self.limits.max_elements {
            return Err(XmlError::TooMany(self.limits.max_elements));
        }
        if self.open.len() >= self.limits.max_xml_depth {
            return Err(XmlError::TooDeep(self.limits.max_xml_depth));
        }
        self.open.push(Element::new(namespace, start));
        Ok(())
    }

    /// Takes the end of the innermost element.
    fn end(&mut self) -> EndedElement {
        match (self.open.pop(), self.open.last_mut()) {
            (Some(done), Some(parent)) => {
                parent.children.push(done);
                EndedElement::Inner
            }
            (Some(done), None) => {
                self.count = 0;
                EndedElement::Child(done)
            }
            (None, _) => EndedElement::Root,
        }
    }

    /// The innermost element below the root, to which text belongs; none in [`Namespace::Other`].
    fn innermost(&mut self) -> Option<&mut Element> {
        self.open.last_mut().filter(|element| element.namespace != Namespace::Other)
    }
}

fn add_text(element: Option<&mut Element>, event: Event<'_>) {
    let Some(element) = element else { return };
    match event {
        Event::Text(text) => element.text.push_str(&text),
        Event::CData(text) => element.text.push_str(&text),
        Event::GeneralRef(reference) => push_reference(&mut element.text, &reference),
        _ => {}
    }
}

fn push_reference(text: &mut String, reference: &BytesRef<'_>) {
    match &**reference {
        "lt" => text.push('<'),
        "gt" => text.push('>'),
        "amp" => text.push('&'),
        "quot" => text.push('"'),
        "apos" => text.push('\''),
        _ if reference.is_char_ref() => {
            text.push(reference.resolve_char_ref().ok().flatten().unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        // Without a document type no other entity has a meaning: it stays as it is written.
        unknown => {
            text.push('&');
            text.push_str(unknown);
            text.push(';');
        }
    }
}

/// `text` for the inside of an element.
pub fn escaped(text: &str) -> String {
    quick_xml::escape::partial_escape(text).into_owned()
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use proptest::prelude::*;

    use super::{Element, Namespace, ResponseLimits, XmlError, escaped, read_multistatus, stream_multistatus};

    fn children(xml: &str) -> Result<Vec<Element>, XmlError> {
        within(&ResponseLimits::STANDARD, xml)
    }

    fn within(limits: &ResponseLimits, xml: &str) -> Result<Vec<Element>, XmlError> {
        let (mut whole, mut streamed) = (Vec::new(), Vec::new());
        let read = read_multistatus(xml, limits, |element| {
            whole.push(element);
            Ok(())
        });
        // All of it is there, so that the reading never waits.
        let stream = pin!(stream_multistatus(xml.as_bytes(), limits, |element| {
            streamed.push(element);
            Ok(())
        }))
        .poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(stream, Poll::Ready(read.clone()), "{xml}");
        assert_eq!(streamed, whole, "{xml}");
        read.map(|()| whole)
    }

    fn one(xml: &str) -> Element {
        children(&format!("<m:multistatus xmlns:m='DAV:'>{xml}</m:multistatus>")).unwrap().remove(0)
    }

    #[test]
    fn prefixes_are_resolved_wherever_they_are_declared() {
        for xml in [
            "<multistatus xmlns='DAV:'><href>x</href></multistatus>",
            "<?xml version='1.0'?><ns0:multistatus xmlns:ns0='DAV:'><ns0:href >x</ns0:href></ns0:multistatus>",
            "\u{feff}<a:multistatus xmlns:a='DAV:'><!-- c --><href xmlns='DAV:'>x</href></a:multistatus>\n<junk>",
            "<D:multistatus xmlns:D='DAV'><D:href>x</D:href></D:multistatus>",
        ] {
            let found = children(xml).unwrap();
            assert!(
                found.len() == 1 && found[0].is(Namespace::Dav, "href") && found[0].text == "x",
                "{xml}: {found:?}"
            );
        }
        let comp = one("<comp xmlns='urn:ietf:params:xml:ns:caldav' name='VEVENT'/>");
        assert!(comp.is(Namespace::Caldav, "comp") && comp.attribute.as_deref() == Some("VEVENT"));
        let other = one("<x:href xmlns:x='urn:other' name='y'>z</x:href>");
        assert!(other.is(Namespace::Other, "") && other.text.is_empty() && other.attribute.is_none());
    }

    #[test]
    fn text_comes_in_pieces() {
        assert_eq!(one("<m:t>a &lt;&amp;&quot;&apos;&gt; &#228;&#xE4; &nbsp;</m:t>").text, "a <&\"'> ää &nbsp;");
        assert_eq!(one("<m:t>a<![CDATA[<b> ]]]]><![CDATA[> ]]>c</m:t>").text, "a<b> ]]> c");
        assert_eq!(one("<m:t>R&D</m:t>").text, "R&D");
        assert_eq!(one("<m:t>bell &#0; &#x110000;</m:t>").text, "bell \u{fffd} \u{fffd}");
        assert_eq!(one("<m:t>a\r\n<m:u/>b\n</m:t>").text, "a\r\nb\n");
        assert_eq!(one("<m:t> \n </m:t>").trimmed(), None);
    }

    #[test]
    fn hostile_documents_are_refused() {
        let doctype = "<!DOCTYPE m [<!ENTITY a 'aaaa'>]><multistatus xmlns='DAV:'>&a;</multistatus>";
        assert_eq!(children(doctype), Err(XmlError::DocumentType));
        let nested = format!("<multistatus xmlns='DAV:'>{}", "<a>".repeat(100_000));
        assert_eq!(children(&nested), Err(XmlError::TooDeep(32)));
        for broken in ["", "<multistatus xmlns='DAV:'>", "<multistatus xmlns='DAV:'><a></b></multistatus>", "text"] {
            assert!(matches!(children(broken), Err(XmlError::IllFormed(_))), "{broken}");
        }
        let error = children("<d:error xmlns:d='DAV:'/>").unwrap_err();
        assert_eq!(error, XmlError::NoMultistatus("error".to_owned()));
        assert!(children("<html><body>Log in</body></html>").unwrap_err().to_string().contains("<html>"));
        let error = children(&format!("<a\u{1b}[2J{}>", "x".repeat(100))).unwrap_err().to_string();
        assert!(error.starts_with("<a\\u{1b}[2Jxxx") && error.len() < 80, "{error}");
    }

    #[test]
    fn limit_of_elements_in_each_other_at_it_and_above() {
        let nested =
            |depth| format!("<multistatus xmlns='DAV:'>{}{}</multistatus>", "<a>".repeat(depth), "</a>".repeat(depth));
        for max_xml_depth in [ResponseLimits::STANDARD.max_xml_depth, 8, 500] {
            let limits = ResponseLimits { max_xml_depth, ..ResponseLimits::STANDARD };
            assert!(within(&limits, &nested(max_xml_depth)).is_ok());
            let refused = within(&limits, &nested(max_xml_depth + 1)).unwrap_err();
            assert!(refused.to_string().contains("limits.max_xml_depth"), "{refused}");
        }
    }

    #[test]
    fn limit_of_elements_at_it_and_above() {
        // The element that holds them is one of them.
        let wide = |count| format!("<multistatus xmlns='DAV:'><a>{}</a></multistatus>", "<b/>".repeat(count - 1));
        for max_elements in [ResponseLimits::STANDARD.max_elements, 10] {
            let limits = ResponseLimits { max_elements, ..ResponseLimits::STANDARD };
            assert!(within(&limits, &wide(max_elements)).is_ok());
            let refused = within(&limits, &wide(max_elements + 1)).unwrap_err();
            assert!(refused.to_string().contains("limits.max_elements"), "{refused}");
        }
    }

    proptest! {
        #[test]
        fn any_text_survives(text in "[^\r\u{0}]*") {
            let written = format!("<m:t>{}</m:t>", escaped(&text));
            prop_assert_eq!(one(&written).text, text);
        }

        #[test]
        fn nothing_panics(xml in ".*", inner in "(<[a-c/!]?[a-c:=' ]*/?>|&[a-z#0-9]*;?|\\]\\]>|<!\\[CDATA\\[|x)*") {
            let _ = children(&xml);
            let _ = children(&format!("<multistatus xmlns='DAV:'>{inner}</multistatus>"));
        }
    }
}

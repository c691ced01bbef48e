//! The calendars of a home, each with what tells whether it changed: the one request of a poll at which nothing did.

use std::collections::{HashMap, HashSet};

use reqwest::Url;

use super::propfind;
use crate::config::ResponseLimits;
use crate::http::HttpRequest;
use crate::source::caldav::href;
use crate::source::caldav::multistatus::{Collect, Response};
use crate::source::caldav::xml::{Element, Namespace, XmlError};
use crate::source::contract::DefaultAlarmTexts;

const BODY: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<D:propfind xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:S="http://calendarserver.org/ns/" xmlns:A="http://apple.com/ns/ical/"><D:prop><D:resourcetype/><D:displayname/><S:getctag/><D:sync-token/><D:resource-id/><D:creationdate/><D:owner/><D:share-access/><S:invite/><D:current-user-privilege-set/><C:supported-calendar-component-set/><C:calendar-timezone-id/><C:calendar-timezone/><C:default-alarm-vevent-datetime/><C:default-alarm-vevent-date/><A:calendar-color/></D:prop></D:propfind>"#;

/// The status of a listing that stops in the middle (RFC 6578, 3.6).
const CUT: u16 = 507;
/// The status that a multistatus stands for that speaks of no resource at all.
const NOTHING: u16 = 404;

/// Where the properties are that a calendar keeps from before.
const PROPERTIES: [(Property, Namespace, &str); 7] = [
    (Property::Name, Namespace::Dav, "displayname"),
    (Property::Color, Namespace::Apple, "calendar-color"),
    (Property::Zone, Namespace::Caldav, "calendar-timezone-id"),
    (Property::Zone, Namespace::Caldav, "calendar-timezone"),
    (Property::Owner, Namespace::Dav, "owner"),
    (Property::DefaultAlarms, Namespace::Caldav, "default-alarm-vevent-datetime"),
    (Property::DefaultAlarms, Namespace::Caldav, "default-alarm-vevent-date"),
];

/// What says which zone a calendar has, of CalDAV's properties.
const ZONE: [&str; 2] = ["calendar-timezone-id", "calendar-timezone"];

/// A calendar as its server lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedCalendar {
    /// As the server spells it.
    pub href: String,
    /// DAV:displayname.
    pub name: Option<String>,
    /// Apple's calendar-color.
    pub color: Option<String>,
    /// An IANA id or a VTIMEZONE.
    pub zone: Option<String>,
    /// The server says which zone it has, if it has one. Some do not where they list a home.
    pub lists_zone: bool,
    /// DAV:owner, an href.
    pub owner: Option<String>,
    /// It is another user's, who shares it with this one, as the server says: calendarserver.org's `shared` among its
    /// types, or DAV:share-access (draft-pot-webdav-resource-sharing, 5.2.1).
    pub is_shared: bool,
    /// Who shares it, an href: the organizer in calendarserver.org's `invite`.
    pub sharer: Option<String>,
    /// DAV:current-user-privilege-set: names, sorted, between spaces.
    pub privileges: Option<String>,
    /// calendarserver.org's getctag.
    pub ctag: Option<String>,
    /// DAV:sync-token (RFC 6578, 4).
    pub token: Option<String>,
    /// DAV:resource-id (RFC 5842, 3.1): another one means that the collection was created again.
    pub identity: Option<String>,
    /// DAV:creationdate, in whatever form: another one means the same.
    pub created: Option<String>,
    /// Its own default alarms, else its home's.
    pub default_alarms: DefaultAlarmTexts,
    /// The token counts the changes of the whole account, not of this calendar.
    pub counts_the_account: bool,
    /// It holds events or tasks, and this user may read them.
    pub is_of_use: bool,
    /// Properties that it may have and that the server did not give.
    pub unknown: Vec<Unknown>,
}

/// A property that a server did not give: it neither named a value nor said that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown {
    pub property: Property,
    /// Why: any status but 404.
    pub status: u16,
}

/// What a calendar keeps from before where its server does not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property {
    Name,
    Color,
    Zone,
    Owner,
    DefaultAlarms,
}

impl Property {
    /// What to call it in a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Property::Name => "name",
            Property::Color => "colour",
            Property::Zone => "time zone",
            Property::Owner => "owner",
            Property::DefaultAlarms => "default alarms",
        }
    }
}

impl ListedCalendar {
    /// About how many octets of memory it takes.
    fn size(&self) -> usize {
        let texts =
            [&self.name, &self.color, &self.zone, &self.owner, &self.ctag, &self.token, &self.identity, &self.created];
        let octets =
            texts.into_iter().chain([&self.sharer, &self.privileges]).flatten().map(String::len).sum::<usize>()
                + self.default_alarms.size();
        size_of::<ListedCalendar>() + self.href.len() + octets + self.unknown.len() * size_of::<Unknown>()
    }

    /// The properties that the server could not give now (5xx); what it refuses (403) stays away.
    pub fn failing(&self) -> Vec<&'static str> {
        self.unknown.iter().filter(|unknown| unknown.status >= 500).map(|unknown| unknown.property.name()).collect()
    }
}

/// What a response says of a home.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CalendarList {
    pub calendars: Vec<ListedCalendar>,
    /// Hrefs of which the response does not say whether they are calendars, and the status that it gives instead.
    pub unclear: Vec<(String, u16)>,
    /// The server did not list everything (507).
    pub is_cut: bool,
}

/// `depth` is `1` for a home, `0` for a calendar itself.
pub fn request(url: &Url, depth: &'static str) -> HttpRequest {
    propfind(url, depth, BODY)
}

/// Finds the calendars in the response, or the status with which the server says that there is nothing, or nothing for
/// this user: a complete answer speaks of the home itself.
#[derive(Debug)]
pub struct CalendarCollector {
    limits: ResponseLimits,
    found: CalendarList,
    /// The keys of their hrefs.
    seen: HashSet<String>,
    /// How many of them have which token.
    uses: HashMap<String, usize>,
    home: Option<Home>,
    /// Whether each response was refused, and the last status; none: there was no response.
    refused: Option<Option<u16>>,
}

/// What a home says for all its calendars.
#[derive(Debug)]
struct Home {
    href: String,
    default_alarms: DefaultAlarmTexts,
    unknown: Vec<Unknown>,
}

impl CalendarCollector {
    /// Nothing yet, of no more than `limits` allow.
    pub fn new(limits: &ResponseLimits) -> CalendarCollector {
        let (limits, found) = (*limits, CalendarList::default());
        CalendarCollector { limits, found, seen: HashSet::new(), uses: HashMap::new(), home: None, refused: None }
    }
}

impl Collect for CalendarCollector {
    type Found = Result<CalendarList, u16>;

    fn add(&mut self, response: Response) -> usize {
        let mut size = 0;
        self.refused = Some(response.refusal().filter(|_| self.refused.is_none_or(|refused| refused.is_some())));
        if let Some(token) = response.text(Namespace::Dav, "sync-token") {
            size += size_of::<String>() + token.len();
            *self.uses.entry(token.to_owned()).or_default() += 1;
        }
        self.found.is_cut |= response.status == Some(CUT);
        if let Some(status) = doubt(&response) {
            size += size_of::<(String, u16)>() + response.href.len();
            self.found.unclear.push((response.href.clone(), status));
        }
        if !is_calendar(&response) {
            // Of all that is listed the home itself has the shortest path.
            if self.home.as_ref().is_none_or(|home| response.href.len() < home.href.len()) {
                let (default_alarms, unknown) = (default_alarms(&response), unknown_alarms(&response).collect());
                self.home = Some(Home { default_alarms, unknown, href: response.href });
            }
        } else if self.seen.insert(href::key(&response.href)) && self.found.calendars.len() <= self.limits.max_calendars
        {
            let calendar = listed(&response);
            size += size_of::<String>() + response.href.len() + calendar.size();
            self.found.calendars.push(calendar);
        }
        size
    }

    fn finish(self, _: Option<String>) -> Result<Self::Found, XmlError> {
        let CalendarCollector { limits, mut found, uses, home, refused, .. } = self;
        let Some(refused) = refused else { return Ok(Err(NOTHING)) };
        if found.calendars.len() > limits.max_calendars {
            return Err(XmlError::TooManyCalendars(limits.max_calendars));
        }
        // Each calendar has those of its home.
        let alarms = home.as_ref().map_or(0, |home| home.default_alarms.size());
        if alarms.saturating_mul(found.calendars.len()) > limits.max_listing_size {
            return Err(XmlError::TooMuch(limits.max_listing_size));
        }
        for calendar in &mut found.calendars {
            if let Some(home) = &home {
                let own = std::mem::take(&mut calendar.default_alarms);
                calendar.default_alarms = or(own, home.default_alarms.clone());
                calendar.unknown.extend(&home.unknown);
            }
            let is_shared = |token: &String| uses.get(token).is_some_and(|uses| *uses > 1);
            calendar.counts_the_account = calendar.token.as_ref().is_some_and(is_shared);
        }
        Ok(match refused {
            Some(status) if !found.is_cut => Err(status),
            _ => Ok(found),
        })
    }
}

fn is_calendar(response: &Response) -> bool {
    response.is_a(Namespace::Caldav, "calendar")
        && !response.is_a(Namespace::Caldav, "schedule-inbox")
        && !response.is_gone()
}

/// The status that stands in the way of knowing whether `response` is a calendar. That there is none, or none for this
/// user, is no doubt.
fn doubt(response: &Response) -> Option<u16> {
    let said = response.refusal();
    if said == Some(CUT) || matches!(said, Some(401 | 403 | 404 | 410)) {
        return None;
    }
    let is_silent = response.props.is_empty() && response.withheld.is_empty();
    let kind = response.withheld(Namespace::Dav, "resourcetype").filter(|status| *status != NOTHING);
    said.or(kind).or_else(|| is_silent.then(|| response.status.unwrap_or_default()))
}

fn unknown_alarms(response: &Response) -> impl Iterator<Item = Unknown> {
    unknown_properties(response).filter(|unknown| unknown.property == Property::DefaultAlarms)
}

fn unknown_properties(response: &Response) -> impl Iterator<Item = Unknown> {
    PROPERTIES.iter().filter_map(|(property, namespace, name)| unknown(response, *property, *namespace, name))
}

/// Why the server does not give the property `name`, where it may have one.
fn unknown(response: &Response, property: Property, namespace: Namespace, name: &str) -> Option<Unknown> {
    let status = response.withheld(namespace, name).filter(|status| !matches!(status, 404 | 410))?;
    Some(Unknown { property, status })
}

fn listed(response: &Response) -> ListedCalendar {
    let text = |namespace, name| response.text(namespace, name).map(str::to_owned);
    ListedCalendar {
        href: response.href.clone(),
        name: text(Namespace::Dav, "displayname"),
        color: text(Namespace::Apple, "calendar-color"),
        zone: zone(response),
        lists_zone: ZONE.iter().any(|name| {
            let is_withheld = |status| !matches!(status, 404 | 410);
            response.prop(Namespace::Caldav, name).is_some()
                || response.withheld(Namespace::Caldav, name).is_some_and(is_withheld)
        }),
        owner: response.hrefs(Namespace::Dav, "owner").into_iter().next(),
        is_shared: is_shared(response),
        sharer: sharer(response).filter(|_| is_shared(response)),
        privileges: privileges(response),
        ctag: response.version(Namespace::CalendarServer, "getctag"),
        token: response.version(Namespace::Dav, "sync-token"),
        identity: response.hrefs(Namespace::Dav, "resource-id").into_iter().next(),
        created: text(Namespace::Dav, "creationdate"),
        default_alarms: default_alarms(response),
        counts_the_account: false,
        is_of_use: holds_events_or_tasks(response) && may_be_read(response),
        unknown: unknown_properties(response).collect(),
    }
}

/// Whether the server says that another user shares the calendar with this one.
fn is_shared(response: &Response) -> bool {
    let access = response.prop(Namespace::Dav, "share-access");
    let is_granted = access.is_some_and(|access| {
        ["read", "read-write"].into_iter().any(|granted| access.child(Namespace::Dav, granted).is_some())
    });
    is_granted || response.is_a(Namespace::CalendarServer, "shared")
}

fn sharer(response: &Response) -> Option<String> {
    let organizer =
        response.prop(Namespace::CalendarServer, "invite")?.child(Namespace::CalendarServer, "organizer")?;
    organizer.child(Namespace::Dav, "href")?.trimmed().map(str::to_owned)
}

fn default_alarms(response: &Response) -> DefaultAlarmTexts {
    let text = |name| response.text(Namespace::Caldav, name).map(str::to_owned);
    DefaultAlarmTexts { timed: text("default-alarm-vevent-datetime"), all_day: text("default-alarm-vevent-date") }
}

/// Each of `own`, or else the one of `other`.
fn or(own: DefaultAlarmTexts, other: DefaultAlarmTexts) -> DefaultAlarmTexts {
    DefaultAlarmTexts { timed: own.timed.or(other.timed), all_day: own.all_day.or(other.all_day) }
}

/// CALDAV:calendar-timezone-id, else calendar-timezone. The latter of SOGo is always Etc/UTC, which no user has set:
/// UTC counts as none.
pub(super) fn zone(response: &Response) -> Option<String> {
    if let Some(id) = response.text(Namespace::Caldav, "calendar-timezone-id") {
        return Some(id.to_owned());
    }
    let zone = response.text(Namespace::Caldav, "calendar-timezone")?;
    let is_utc = zone.lines().any(|line| matches!(line.trim_end(), "TZID:Etc/UTC" | "TZID:UTC"));
    (!is_utc).then(|| zone.to_owned())
}

/// Without CALDAV:supported-calendar-component-set a calendar holds anything (RFC 4791, 5.2.3).
fn holds_events_or_tasks(response: &Response) -> bool {
    let Some(set) = response.prop(Namespace::Caldav, "supported-calendar-component-set") else { return true };
    let mut components = set.all(Namespace::Caldav, "comp").filter_map(|comp| comp.attribute.as_deref()).peekable();
    components.peek().is_none() || components.any(|name| matches!(name, "VEVENT" | "VTODO"))
}

/// The names of the privileges that this user has, sorted, between spaces (RFC 3744, 5.5).
fn privileges(response: &Response) -> Option<String> {
    let set = response.prop(Namespace::Dav, "current-user-privilege-set")?;
    let granted = set.all(Namespace::Dav, "privilege").flat_map(|privilege| &privilege.children);
    let mut names: Vec<&str> =
        granted.map(|privilege| privilege.name.as_str()).filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    names.dedup();
    Some(names.join(" "))
}

/// Where the server does not say what this user may do, trying will tell (RFC 3744, 5.5).
fn may_be_read(response: &Response) -> bool {
    let Some(set) = response.prop(Namespace::Dav, "current-user-privilege-set") else { return true };
    let mut granted = set.all(Namespace::Dav, "privilege").flat_map(|privilege| &privilege.children).peekable();
    let reads = |privilege: &Element| privilege.is(Namespace::Dav, "read") || privilege.is(Namespace::Dav, "all");
    granted.peek().is_none() || granted.any(reads)
}

#[cfg(test)]
mod tests {
    use super::{
        CalendarCollector, CalendarList, DefaultAlarmTexts, ListedCalendar, Property, ResponseLimits, Unknown,
    };
    use crate::source::caldav::multistatus::read_whole;
    use crate::source::caldav::xml::XmlError;

    fn parse(xml: &str) -> Result<Result<CalendarList, u16>, XmlError> {
        read_whole(xml, CalendarCollector::new(&ResponseLimits::STANDARD))
    }

    fn home(inside: &str) -> Vec<ListedCalendar> {
        let xml = format!(
            "<d:multistatus xmlns:d='DAV:' xmlns:cal='urn:ietf:params:xml:ns:caldav' \
             xmlns:cs='http://calendarserver.org/ns/' xmlns:x='http://apple.com/ns/ical/'>{inside}</d:multistatus>"
        );
        parse(&xml).unwrap().unwrap().calendars
    }

    fn response(href: &str, props: &str) -> String {
        format!(
            "<d:response><d:href>{href}</d:href><d:propstat><d:prop>{props}</d:prop>\
             <d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"
        )
    }

    const CALENDAR: &str = "<d:resourcetype><d:collection/><cal:calendar/></d:resourcetype>";

    #[test]
    fn all_that_is_known_of_a_calendar() {
        let props = format!(
            "{CALENDAR}<d:displayname> Work &amp; play </d:displayname><cs:getctag>\"7\"</cs:getctag>\
             <d:sync-token>http://sabre.io/ns/sync/7</d:sync-token><d:owner><d:href>/p/mary/</d:href></d:owner>\
             <d:resource-id><d:href>urn:uuid:1</d:href></d:resource-id>\
             <d:share-access><d:read-write/></d:share-access><cs:invite><cs:organizer><d:href>/p/bob/</d:href>\
             </cs:organizer></cs:invite><d:current-user-privilege-set><d:privilege><d:write/></d:privilege>\
             <d:privilege><d:read/></d:privilege></d:current-user-privilege-set><d:creationdate>20261122T211614Z</d:creationdate><x:calendar-color>#FF0000FF</x:calendar-color>\
             <cal:calendar-timezone-id>Europe/Berlin</cal:calendar-timezone-id>\
             <cal:calendar-timezone>BEGIN:VCALENDAR</cal:calendar-timezone>\
             <cal:supported-calendar-component-set><cal:comp name='VJOURNAL'/><cal:comp name='VTODO'/>\
             </cal:supported-calendar-component-set>"
        );
        let found = home(
            &(response("/cal/mary/", "<d:resourcetype><d:collection/></d:resourcetype>")
                + &response("/cal/mary/work/", &props)),
        );
        let some = |text: &str| Some(text.to_owned());
        let wanted = ListedCalendar {
            href: "/cal/mary/work/".to_owned(),
            name: some("Work & play"),
            color: some("#FF0000FF"),
            zone: some("Europe/Berlin"),
            lists_zone: true,
            owner: some("/p/mary/"),
            is_shared: true,
            sharer: some("/p/bob/"),
            privileges: some("read write"),
            ctag: some("\"7\""),
            token: some("http://sabre.io/ns/sync/7"),
            identity: some("urn:uuid:1"),
            created: some("20261122T211614Z"),
            default_alarms: DefaultAlarmTexts::default(),
            counts_the_account: false,
            is_of_use: true,
            unknown: Vec::new(),
        };
        assert_eq!(found, [wanted]);
    }

    #[test]
    fn what_is_no_calendar_is_left_out() {
        let found = home(
            &(response("/h/", "<d:resourcetype><d:collection/><d:principal/></d:resourcetype>")
                + &response("/h/work.ics", "<d:resourcetype/><d:displayname>Work</d:displayname>")
                + &response("/h/in/", "<d:resourcetype><d:collection/><cal:schedule-inbox/></d:resourcetype>")
                + &response("/h/proxy/", "<d:resourcetype><d:principal/><cs:calendar-proxy-read/></d:resourcetype>")
                // SOGo's own calendar, with namespaces declared at each name.
                + &response(
                    "/h/personal/",
                    "<d:resourcetype><d:collection/><calendar xmlns='urn:ietf:params:xml:ns:caldav'/>\
                     <schedule-outbox xmlns='urn:ietf:params:xml:ns:caldav'/></d:resourcetype>",
                )
                + &response("/h/personal", CALENDAR)
                + "<d:response><d:href>/h/gone/</d:href><d:status>HTTP/1.1 404 Not Found</d:status></d:response>"),
        );
        assert_eq!(found.iter().map(|calendar| calendar.href.as_str()).collect::<Vec<_>>(), ["/h/personal/"]);
    }

    #[test]
    fn default_alarms_are_the_calendar_s_own_or_else_the_home_s() {
        let timed =
            |text: &str| format!("<cal:default-alarm-vevent-datetime>{text}</cal:default-alarm-vevent-datetime>");
        let day = "<cal:default-alarm-vevent-date>BEGIN:VALARM</cal:default-alarm-vevent-date>";
        let found = home(
            &(response("/h/", &format!("<d:resourcetype><d:collection/></d:resourcetype>{}{day}", timed("home")))
                + &response("/h/a/", CALENDAR)
                + &response("/h/b/", &format!("{CALENDAR}{}", timed("own")))),
        );
        let alarms: Vec<_> =
            found.iter().map(|c| (c.default_alarms.timed.as_deref(), c.default_alarms.all_day.as_deref())).collect();
        assert_eq!(alarms, [(Some("home"), Some("BEGIN:VALARM")), (Some("own"), Some("BEGIN:VALARM"))]);
    }

    #[test]
    fn an_answer_that_says_nothing_is_no_listing() {
        assert_eq!(parse("<multistatus xmlns='DAV:'/>"), Ok(Err(404)));
        let gone = "<m:multistatus xmlns:m='DAV:'><m:response><m:href>/h/</m:href><m:status>HTTP/1.1 404 Not Found\
            </m:status></m:response></m:multistatus>";
        assert_eq!(parse(gone), Ok(Err(404)));
        let refused = "<m:multistatus xmlns:m='DAV:'><m:response><m:href>/h/</m:href><m:propstat><m:prop><m:resourcetype/>\
            </m:prop><m:status>HTTP/1.1 403 Forbidden</m:status></m:propstat></m:response></m:multistatus>";
        assert_eq!(parse(refused), Ok(Err(403)));
    }

    #[test]
    fn what_a_listing_does_not_say_is_not_taken_for_a_no() {
        let propstat = |props: &str, status: u16| {
            format!("<d:propstat><d:prop>{props}</d:prop><d:status>HTTP/1.1 {status} Said</d:status></d:propstat>")
        };
        let of = |href: &str, inside: &str| format!("<d:response><d:href>{href}</d:href>{inside}</d:response>");
        let said = |href: &str, status: u16| of(href, &format!("<d:status>HTTP/1.1 {status} Said</d:status>"));
        let (kind, name) = ("<d:resourcetype/>", "<d:displayname>x</d:displayname>");
        let xml = format!(
            "<d:multistatus xmlns:d='DAV:' xmlns:cal='urn:ietf:params:xml:ns:caldav'>{}{}{}{}{}{}{}{}</d:multistatus>",
            response("/h/", "<d:resourcetype><d:collection/></d:resourcetype>"),
            of("/h/500/", &(propstat(name, 200) + &propstat(kind, 500))),
            of("/h/403/", &(propstat(name, 200) + &propstat(kind, 403))),
            of("/h/none/", ""),
            said("/h/busy/", 503),
            said("/h/refused/", 403),
            said("/h/gone/", 404),
            of("/h/plain/", &(propstat(name, 200) + &propstat(kind, 404))),
        );
        let found = parse(&xml).unwrap().unwrap();
        let unclear: Vec<_> = found.unclear.iter().map(|(href, status)| (href.as_str(), *status)).collect();
        assert_eq!(unclear, [("/h/500/", 500), ("/h/403/", 403), ("/h/none/", 0), ("/h/busy/", 503)]);
        assert!(found.calendars.is_empty() && !found.is_cut);
        let cut =
            format!("<d:multistatus xmlns:d='DAV:'>{}{}</d:multistatus>", response("/h/", kind), said("/h/", 507));
        assert!(parse(&cut).unwrap().unwrap().is_cut);
    }

    #[test]
    fn properties_that_are_not_given_are_unknown_unless_there_are_none() {
        let withheld = |props: &str, status: u16| {
            let given =
                format!("<d:propstat><d:prop>{CALENDAR}</d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>");
            let rest =
                format!("<d:propstat><d:prop>{props}</d:prop><d:status>HTTP/1.1 {status} Said</d:status></d:propstat>");
            home(&format!("<d:response><d:href>/c/</d:href>{given}{rest}</d:response>")).remove(0)
        };
        let props = "<d:displayname/><x:calendar-color/><cal:calendar-timezone/><cal:default-alarm-vevent-date/>";
        assert_eq!(withheld(props, 404).unknown, []);
        let failing = withheld(props, 500);
        assert_eq!(failing.failing(), ["name", "colour", "time zone", "default alarms"]);
        let refused = withheld("<d:owner/>", 403);
        assert_eq!(refused.unknown, [Unknown { property: Property::Owner, status: 403 }]);
        assert!(refused.failing().is_empty());
        // The home's default alarms are those of its calendars.
        let alarms = "<d:propstat><d:prop><cal:default-alarm-vevent-date/></d:prop><d:status>HTTP/1.1 500 Said</d:status>\
            </d:propstat>";
        let kind = "<d:propstat><d:prop><d:resourcetype/></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>";
        let found = home(
            &(format!("<d:response><d:href>/h/</d:href>{kind}{alarms}</d:response>") + &response("/h/c/", CALENDAR)),
        );
        assert_eq!(found[0].failing(), ["default alarms"]);
    }

    #[test]
    fn a_home_without_an_end_is_refused() {
        let calendars = |count: usize| (0..count).map(|n| response(&format!("/h/{n}/"), CALENDAR)).collect::<String>();
        let xml = |inside: &str| {
            format!("<d:multistatus xmlns:d='DAV:' xmlns:cal='urn:ietf:params:xml:ns:caldav'>{inside}</d:multistatus>")
        };
        for max_calendars in [ResponseLimits::STANDARD.max_calendars, 3] {
            let limits = ResponseLimits { max_calendars, ..ResponseLimits::STANDARD };
            let listed = |count| {
                let found = read_whole(&xml(&calendars(count)), CalendarCollector::new(&limits));
                found.map(|listed| listed.unwrap().calendars.len())
            };
            assert_eq!(listed(max_calendars), Ok(max_calendars));
            let refused = listed(max_calendars + 1).unwrap_err();
            assert!(refused.to_string().contains("limits.max_calendars"), "{refused}");
        }
    }

    #[test]
    fn a_homes_default_alarms_count_for_each_of_its_calendars() {
        let calendars: String = (0..100).map(|n| response(&format!("/h/{n}/"), CALENDAR)).collect();
        let listed = |octets: usize| {
            let alarms = "x".repeat(octets);
            let alarms = format!("<cal:default-alarm-vevent-date>{alarms}</cal:default-alarm-vevent-date>");
            let inside = response("/h/", &alarms) + &calendars;
            parse(&format!(
                "<d:multistatus xmlns:d='DAV:' xmlns:cal='urn:ietf:params:xml:ns:caldav'>{inside}</d:multistatus>"
            ))
        };
        let most = ResponseLimits::STANDARD.max_listing_size;
        assert_eq!(listed(most / 100).unwrap().unwrap().calendars.len(), 100);
        assert_eq!(listed(most / 100 + 1), Err(XmlError::TooMuch(most)));
    }

    #[test]
    fn journals_and_what_may_not_be_read_are_of_no_use() {
        let of_use = |props: &str| home(&response("/c/", &format!("{CALENDAR}{props}")))[0].is_of_use;
        let holds = |comps: &str| {
            of_use(&format!("<cal:supported-calendar-component-set>{comps}</cal:supported-calendar-component-set>"))
        };
        assert!(of_use("") && holds("") && holds("<cal:comp name='VEVENT'/>"));
        assert!(!holds("<cal:comp name='VJOURNAL'/><cal:comp name='VFREEBUSY'/>"));
        let may = |set: &str| of_use(&format!("<d:current-user-privilege-set>{set}</d:current-user-privilege-set>"));
        assert!(may("") && may("<d:privilege><d:write/></d:privilege><d:privilege><d:read/></d:privilege>"));
        assert!(may("<d:privilege><d:all/></d:privilege>"));
        assert!(!may("<d:privilege><cal:read-free-busy/></d:privilege>"));
    }

    #[test]
    fn a_zone_that_no_user_chose_is_none() {
        let zone = |id: &str| {
            let text = format!("BEGIN:VCALENDAR\nBEGIN:VTIMEZONE\nTZID:{id}\r\nEND:VTIMEZONE\nEND:VCALENDAR");
            home(&response("/c/", &format!("{CALENDAR}<cal:calendar-timezone>{text}</cal:calendar-timezone>")))[0]
                .zone
                .clone()
        };
        assert_eq!(zone("Etc/UTC"), None);
        assert!(zone("Europe/Vienna").unwrap().contains("TZID:Europe/Vienna"));
    }

    #[test]
    fn a_token_of_several_collections_counts_the_account() {
        let with = |href: &str, token: &str| response(href, &format!("{CALENDAR}<d:sync-token>{token}</d:sync-token>"));
        let found = home(&(with("/a/", "urn:x:9") + &with("/b/", "urn:x:9") + &with("/c/", "urn:x:8")));
        assert_eq!(found.iter().map(|c| c.counts_the_account).collect::<Vec<_>>(), [true, true, false]);
    }
}

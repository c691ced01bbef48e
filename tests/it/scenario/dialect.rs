//! A server in memory that answers as RustiCal and Stalwart were recorded to: their addresses and redirections, the
//! form of their XML, tokens, entity tags and hrefs, and what they report of what has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex};

use super::{Login, Store, Tells, play};
use crate::account::Account;
use crate::scripted::{Asked, Reply, Scripted};

/// Whose dialect it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    RustiCal,
    Stalwart,
}

impl Dialect {
    fn login(self) -> Login {
        match self {
            Dialect::RustiCal => ("alice", "sesame"),
            Dialect::Stalwart => ("alice@example.org", "sesame"),
        }
    }

    fn home(self) -> &'static str {
        match self {
            Dialect::RustiCal => "/caldav/principal/alice/",
            Dialect::Stalwart => "/dav/cal/alice%40example.org/",
        }
    }

    fn principal(self) -> &'static str {
        match self {
            Dialect::RustiCal => "/caldav/principal/alice/",
            Dialect::Stalwart => "/dav/pal/alice%40example.org/",
        }
    }

    fn token(self, count: u64) -> String {
        match self {
            Dialect::RustiCal => format!("github.com/lennart-k/rustical/ns/{count}"),
            Dialect::Stalwart => format!("urn:stalwart:davsync:{count:x}"),
        }
    }

    /// The number in a token; none of one that is not its own.
    fn count(self, token: &str) -> Option<u64> {
        match self {
            Dialect::RustiCal => token.strip_prefix("github.com/lennart-k/rustical/ns/")?.parse().ok(),
            Dialect::Stalwart => u64::from_str_radix(token.strip_prefix("urn:stalwart:davsync:")?, 16).ok(),
        }
    }

    fn etag(self, text: &str) -> String {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let hash = hasher.finish();
        match self {
            Dialect::RustiCal => format!("&quot;{hash:016x}{hash:016x}&quot;"),
            Dialect::Stalwart => format!("&quot;{}&quot;", hash & 0xffff_ffff),
        }
    }

    /// The name that an object of a PUT to `segment` gets: Stalwart takes it as it was sent.
    fn stored(self, segment: &str) -> String {
        match self {
            Dialect::RustiCal => decoded(segment),
            Dialect::Stalwart => segment.to_owned(),
        }
    }

    /// The last segment of an href: RustiCal leaves a percent sign as it is.
    fn encoded(self, name: &str) -> String {
        let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~".contains(&octet);
        let bare = |octet: u8| octet == b'%' && self == Dialect::RustiCal;
        let octet = |octet: u8| match octet {
            octet if plain(octet) || bare(octet) => char::from(octet).to_string(),
            octet => format!("%{octet:02X}"),
        };
        name.bytes().map(octet).collect()
    }

    fn multistatus(self, inside: &str) -> Reply {
        let (kind, text) = match self {
            Dialect::RustiCal => (
                "text/xml",
                format!(
                    "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<multistatus xmlns=\"DAV:\" \
                     xmlns:CAL=\"urn:ietf:params:xml:ns:caldav\" xmlns:CARD=\"urn:ietf:params:xml:ns:carddav\" \
                     xmlns:CS=\"http://calendarserver.org/ns/\" xmlns:PUSH=\"https://bitfire.at/webdav-push\">\n{inside}\n\
                     </multistatus>"
                ),
            ),
            Dialect::Stalwart => (
                "application/xml; charset=utf-8",
                format!(
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?><D:multistatus xmlns:D=\"DAV:\" \
                     xmlns:A=\"urn:ietf:params:xml:ns:caldav\" xmlns:C=\"http://calendarserver.org/ns/\">{inside}</D:multistatus>"
                ),
            ),
        };
        Reply::status(207).header("Content-Type", kind).body(text)
    }

    /// `text`, in which elements are written with the prefixes D, A (CalDAV) and C (calendarserver.org), as it writes
    /// them.
    fn prefixed(self, text: &str) -> String {
        match self {
            Dialect::Stalwart => text.to_owned(),
            Dialect::RustiCal => text
                .replace("<D:", "<")
                .replace("</D:", "</")
                .replace("<A:", "<CAL:")
                .replace("</A:", "</CAL:")
                .replace("<C:", "<CS:")
                .replace("</C:", "</CS:"),
        }
    }

    fn calendar_data(self, text: &str) -> String {
        match self {
            Dialect::RustiCal => text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"),
            Dialect::Stalwart => format!("<![CDATA[{}]]>", text.replace("]]>", "]]]]><![CDATA[>")),
        }
    }
}

/// `segment` without percent-encoding; a percent sign that encodes nothing stays.
fn decoded(segment: &str) -> String {
    let (octets, mut decoded, mut at) = (segment.as_bytes(), Vec::new(), 0);
    while let Some(octet) = octets.get(at) {
        let code = segment.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code.filter(|_| *octet == b'%') {
            Some(code) => (decoded.push(code), at += 3),
            None => (decoded.push(*octet), at += 1),
        };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// A calendar with its objects, and the names of what has changed in it: none, the calendar itself.
#[derive(Clone, Default)]
struct Calendar {
    name: String,
    zone: Option<String>,
    objects: BTreeMap<String, String>,
    log: Vec<(u64, Option<String>)>,
}

/// All that is kept.
#[derive(Clone, Default)]
struct Kept {
    calendars: BTreeMap<String, Calendar>,
    /// Deleted ones, whose address is not free again on RustiCal, or which Stalwart remembers.
    trash: BTreeSet<String>,
    /// Changes in the whole account.
    count: u64,
}

struct Model {
    dialect: Dialect,
    kept: Kept,
    copied: Kept,
    is_down: bool,
}

fn response(href: &str, props: &str) -> String {
    format!(
        "<D:response><D:href>{href}</D:href><D:propstat><D:prop>{props}</D:prop><D:status>HTTP/1.1 200 OK</D:status>\
         </D:propstat></D:response>"
    )
}

fn gone(href: &str) -> String {
    format!("<D:response><D:href>{href}</D:href><D:status>HTTP/1.1 404 Not Found</D:status></D:response>")
}

impl Model {
    /// The count that marks the versions of a calendar: Stalwart has one for the account.
    fn version(&self, calendar: &Calendar) -> u64 {
        match self.dialect {
            Dialect::RustiCal => calendar.log.last().map_or(0, |(count, _)| *count),
            Dialect::Stalwart => self.kept.count,
        }
    }

    fn change(&mut self, id: &str, name: Option<&str>) {
        self.kept.count += 1;
        let (dialect, count) = (self.dialect, self.kept.count);
        let Some(calendar) = self.kept.calendars.get_mut(id) else { return };
        let count = match dialect {
            Dialect::RustiCal => calendar.log.last().map_or(1, |(last, _)| last + 1),
            Dialect::Stalwart => count,
        };
        calendar.log.push((count, name.map(str::to_owned)));
    }

    fn calendar_href(&self, id: &str) -> String {
        format!("{}{id}/", self.dialect.home())
    }

    fn listed(&self, id: &str, calendar: &Calendar) -> String {
        let count = self.version(calendar);
        let token = self.dialect.token(count);
        let ctag = if self.dialect == Dialect::Stalwart { format!("&quot;{count}&quot;") } else { token.clone() };
        let zone = calendar
            .zone
            .as_ref()
            .map(|zone| format!("<A:calendar-timezone>{}</A:calendar-timezone>", self.dialect.calendar_data(zone)));
        let props = format!(
            "<D:displayname>{}</D:displayname><D:resourcetype><D:collection/><A:calendar/></D:resourcetype>\
             <C:getctag>{ctag}</C:getctag><D:sync-token>{token}</D:sync-token>\
             <A:supported-calendar-component-set><A:comp name=\"VEVENT\"/></A:supported-calendar-component-set>\
             <D:owner><D:href>{}</D:href></D:owner>{}",
            calendar.name,
            self.dialect.principal(),
            zone.unwrap_or_default()
        );
        let lacks = if calendar.zone.is_none() { "<A:calendar-timezone/>" } else { "" };
        response(&self.calendar_href(id), &props).replace(
            "</D:propstat></D:response>",
            &format!(
                "</D:propstat><D:propstat><D:prop>{lacks}<D:resource-id/></D:prop><D:status>HTTP/1.1 404 Not \
                 Found</D:status></D:propstat></D:response>"
            ),
        )
    }

    fn home(&self) -> String {
        let own = format!(
            "<D:displayname>alice</D:displayname><D:resourcetype><D:collection/></D:resourcetype>{}",
            if self.dialect == Dialect::Stalwart {
                format!("<D:sync-token>{}</D:sync-token>", self.dialect.token(self.kept.count))
            } else {
                String::new()
            }
        );
        let calendars = self.kept.calendars.iter().map(|(id, calendar)| self.listed(id, calendar));
        response(self.dialect.home(), &own) + &calendars.collect::<String>()
    }

    fn object(&self, id: &str, name: &str) -> String {
        format!("{}{}", self.calendar_href(id), self.dialect.encoded(name))
    }

    fn tagged(&self, id: &str, name: &str, text: &str) -> String {
        response(&self.object(id, name), &format!("<D:getetag>{}</D:getetag>", self.dialect.etag(text)))
    }

    /// The calendar as an object of its own.
    fn itself(&self, id: &str, calendar: &Calendar) -> String {
        let etag = self.dialect.etag(&calendar.name);
        response(&self.calendar_href(id), &format!("<D:getetag>{etag}</D:getetag>"))
    }

    fn members(&self, id: &str, calendar: &Calendar) -> String {
        let objects = calendar.objects.iter().map(|(name, text)| self.tagged(id, name, text));
        self.listed(id, calendar) + &objects.collect::<String>()
    }

    /// What has changed since `token`.
    fn changes(&self, id: &str, token: &str) -> Option<String> {
        let calendar = self.kept.calendars.get(id);
        // Stalwart says of a calendar that is gone that it is.
        let Some(calendar) = calendar else {
            let was = self.dialect == Dialect::Stalwart && self.kept.trash.contains(id);
            let token = self.dialect.token(self.kept.count);
            return was.then(|| gone(&self.calendar_href(id)) + &format!("<D:sync-token>{token}</D:sync-token>"));
        };
        let version = self.version(calendar);
        let since = self.dialect.count(token);
        let later: Vec<&(u64, Option<String>)> =
            calendar.log.iter().filter(|(count, _)| *count > since.unwrap_or(0)).collect();
        let names: BTreeSet<&Option<String>> = later.iter().map(|(_, name)| name).collect();
        let (mut put, mut missing) = (String::new(), String::new());
        for name in names {
            match name {
                None if self.dialect == Dialect::Stalwart => {
                    if self.kept.trash.contains(id) {
                        missing += &gone(&self.calendar_href(id));
                    }
                    put += &self.itself(id, calendar);
                }
                None => {}
                Some(name) => match calendar.objects.get(name) {
                    Some(text) => put += &self.tagged(id, name, text),
                    None => missing += &gone(&self.object(id, name)),
                },
            }
        }
        let inside = if self.dialect == Dialect::Stalwart { missing + &put } else { put + &missing };
        Some(format!("{inside}<D:sync-token>{}</D:sync-token>", self.dialect.token(version)))
    }

    fn multiget(&self, id: &str, body: &str) -> String {
        let Some(calendar) = self.kept.calendars.get(id) else { return String::new() };
        let hrefs = body.split("href>").skip(1).step_by(2).filter_map(|rest| rest.split('<').next());
        let object = |href: &str| {
            let name = decoded(href.rsplit('/').next()?);
            let text = calendar.objects.get(&name).filter(|_| self.object(id, &name) == href)?;
            let data = format!("<A:calendar-data>{}</A:calendar-data>", self.dialect.calendar_data(text));
            Some(self.tagged(id, &name, text).replace("</D:getetag>", &format!("</D:getetag>{data}")))
        };
        hrefs.map(|href| object(href).unwrap_or_else(|| gone(href))).collect()
    }

    /// Where a client is led to its calendars.
    fn discovery(&self, asked: &Asked) -> Option<Reply> {
        let dialect = self.dialect;
        let entry = if dialect == Dialect::RustiCal { "/caldav" } else { "/dav/cal" };
        match (dialect, asked.path.as_str()) {
            (Dialect::RustiCal, "/") => Some(Reply::status(404)),
            (Dialect::Stalwart, "/") => Some(Reply::status(302).header("Location", "/account")),
            (Dialect::RustiCal, "/.well-known/caldav") => Some(Reply::status(308).header("Location", entry)),
            (Dialect::Stalwart, "/.well-known/caldav") => Some(Reply::status(307).header("Location", entry)),
            (_, path) if path.trim_end_matches('/') == entry => {
                let principal = dialect.principal();
                let props =
                    format!("<D:current-user-principal><D:href>{principal}</D:href></D:current-user-principal>");
                Some(dialect.multistatus(&dialect.prefixed(&response(&format!("{entry}/"), &props))))
            }
            (_, path) if path == dialect.principal() && asked.header("depth") == Some("0") => {
                let (principal, home) = (dialect.principal(), dialect.home());
                let props = format!(
                    "<D:resourcetype><D:principal/><D:collection/></D:resourcetype>\
                     <D:current-user-principal><D:href>{principal}</D:href></D:current-user-principal>\
                     <A:calendar-home-set><D:href>{home}</D:href></A:calendar-home-set>\
                     <A:calendar-user-address-set><D:href>mailto:alice@example.org</D:href></A:calendar-user-address-set>"
                );
                Some(dialect.multistatus(&dialect.prefixed(&response(principal, &props))))
            }
            _ => None,
        }
    }

    fn answer(&mut self, asked: &Asked) -> Reply {
        if self.is_down {
            return Reply::hang_up();
        }
        if asked.header("authorization").is_none() && !asked.path.starts_with("/.well-known") {
            let basic = Reply::status(401);
            return match self.dialect {
                Dialect::RustiCal => basic.header("WWW-Authenticate", "Basic realm=\"RustiCal\", charset=\"UTF-8\""),
                Dialect::Stalwart => basic
                    .header("WWW-Authenticate", "Bearer realm=\"Stalwart Server\"")
                    .header("WWW-Authenticate", "Basic realm=\"Stalwart Server\""),
            };
        }
        if let Some(reply) = self.discovery(asked) {
            return reply;
        }
        let Some(below) = asked.path.strip_prefix(self.dialect.home()) else { return Reply::status(404) };
        let (id, segment) = below.split_once('/').unwrap_or((below, ""));
        let (id, segment) = (id.to_owned(), segment.to_owned());
        match asked.method.as_str() {
            "MKCALENDAR" | "DELETE" | "PROPPATCH" | "PUT" => self.write(asked, &id, &segment),
            _ => self.read(asked, &id, &segment),
        }
    }

    fn read(&self, asked: &Asked, id: &str, segment: &str) -> Reply {
        let calendar = self.kept.calendars.get(id);
        let is_report = asked.method == "REPORT" && asked.body.contains("sync-collection");
        let inside = match (asked.method.as_str(), calendar) {
            ("GET", Some(calendar)) => {
                return match calendar.objects.get(&decoded(segment)) {
                    Some(text) => Reply::status(200).body(text.as_str()),
                    None => Reply::status(404),
                };
            }
            ("PROPFIND", _) if id.is_empty() => Some(self.home()),
            ("PROPFIND", Some(calendar)) if asked.header("depth") == Some("1") => Some(self.members(id, calendar)),
            ("PROPFIND", Some(calendar)) => Some(self.listed(id, calendar)),
            ("REPORT", _) if is_report => {
                let token = asked.body.split("sync-token>").nth(1).and_then(|rest| rest.split('<').next());
                self.changes(id, token.unwrap_or_default())
            }
            ("REPORT", Some(_)) => Some(self.multiget(id, &asked.body)),
            _ => None,
        };
        inside.map_or_else(|| Reply::status(404), |inside| self.dialect.multistatus(&self.dialect.prefixed(&inside)))
    }

    fn write(&mut self, asked: &Asked, id: &str, segment: &str) -> Reply {
        let value = |name: &str| {
            let from = asked.body.find(&format!(":{name}>"))? + name.len() + 2;
            let until = asked.body[from..].find("</")? + from;
            Some(asked.body[from..until].to_owned())
        };
        match asked.method.as_str() {
            "MKCALENDAR" => {
                let is_taken = self.kept.trash.contains(id) && self.dialect == Dialect::RustiCal;
                if is_taken || self.kept.calendars.contains_key(id) {
                    return Reply::status(405).body("A calendar already exists at this URI");
                }
                let calendar = Calendar { name: value("displayname").unwrap_or_default(), ..Calendar::default() };
                self.kept.calendars.insert(id.to_owned(), calendar);
                if self.dialect == Dialect::Stalwart {
                    self.change(id, None);
                }
                return Reply::status(201);
            }
            "DELETE" if segment.is_empty() => {
                self.kept.count += 1;
                self.kept.trash.insert(id.to_owned());
                let was = self.kept.calendars.remove(id).is_some();
                return Reply::status(if was { 204 } else { 404 });
            }
            _ => {}
        }
        let (dialect, stored) = (self.dialect, self.dialect.stored(segment));
        let Some(calendar) = self.kept.calendars.get_mut(id) else { return Reply::status(404) };
        match asked.method.as_str() {
            "PROPPATCH" => {
                calendar.name = value("displayname").unwrap_or_else(|| calendar.name.clone());
                calendar.zone = value("calendar-timezone").or_else(|| calendar.zone.take());
                if dialect == Dialect::Stalwart {
                    self.change(id, None);
                }
                let href = self.calendar_href(id);
                dialect.multistatus(&dialect.prefixed(&response(&href, "<D:displayname/>")))
            }
            "PUT" => {
                let before = calendar.objects.insert(stored.clone(), asked.body.clone());
                self.change(id, Some(&stored));
                Reply::status(if before.is_some() { 204 } else { 201 })
            }
            _ => match calendar.objects.remove(&stored) {
                Some(_) => {
                    self.change(id, Some(&stored));
                    Reply::status(204)
                }
                None => Reply::status(404),
            },
        }
    }
}

/// A server of a dialect, for one scenario.
struct Imitated {
    dialect: Dialect,
    _scripted: Scripted,
    model: Arc<Mutex<Model>>,
    account: Account,
}

impl Imitated {
    fn start(dialect: Dialect) -> Imitated {
        let model = Model { dialect, kept: Kept::default(), copied: Kept::default(), is_down: false };
        let model = Arc::new(Mutex::new(model));
        let shared = model.clone();
        let scripted = Scripted::start(move |asked| shared.lock().unwrap().answer(asked));
        let account = Account::new(&scripted.url, Some(dialect.login()), dialect.home().to_owned());
        Imitated { dialect, _scripted: scripted, model, account }
    }

    fn with(&self, change: impl FnOnce(&mut Model)) {
        change(&mut self.model.lock().unwrap());
    }
}

/// The recordings have none of it.
const NO_RIGHTS: (&str, &str) =
    ("no rights, and a right taken back", "it is imitated, and its recordings are of one user");

impl Store for Imitated {
    fn name(&self) -> &'static str {
        match self.dialect {
            Dialect::RustiCal => "RustiCal's dialect",
            Dialect::Stalwart => "Stalwart's dialect",
        }
    }

    fn account(&self) -> &Account {
        &self.account
    }

    fn url(&self) -> String {
        self.account.url.clone()
    }

    fn cannot(&self) -> &'static [(&'static str, &'static str)] {
        match self.dialect {
            Dialect::RustiCal => &[
                NO_RIGHTS,
                (
                    "a calendar is made anew with as many changes",
                    "the address of a deleted calendar is not free: MKCALENDAR is answered with 405",
                ),
            ],
            Dialect::Stalwart => &[NO_RIGHTS],
        }
    }

    fn tells(&self) -> Tells {
        match self.dialect {
            Dialect::RustiCal => Tells::Nothing,
            Dialect::Stalwart => Tells::MadeAnew,
        }
    }

    fn stop(&mut self) {
        self.with(|model| model.is_down = true);
    }

    fn start(&mut self) {
        self.with(|model| model.is_down = false);
    }

    fn backup(&mut self) {
        self.with(|model| model.copied = model.kept.clone());
    }

    fn restore(&mut self) {
        self.with(|model| model.kept = model.copied.clone());
    }

    fn guest(&self) -> Login {
        self.dialect.login()
    }

    fn share(&mut self, _may: bool) {}
}

#[test]
fn in_rusticals_dialect() {
    play(Imitated::start(Dialect::RustiCal));
}

#[test]
fn in_stalwarts_dialect() {
    play(Imitated::start(Dialect::Stalwart));
}

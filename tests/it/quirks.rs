//! The CalDAV source and servers that misbehave, each in a way that a real one was seen to, or that a hostile one
//! could.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use jiff::SignedDuration;
use reveille::clock::Clock;
use reveille::config::{Credentials, ResponseLimits, SecretRef};
use reveille::source::caldav::CaldavError;
use reveille::time::UtcMillis;

use crate::scripted::{Asked, Reply, Scripted};
use crate::watch::{MAX_SIZE, Watch, settings};

/// A server with one account, `mary`, whose home `/cal/` holds the calendar `/cal/work/`.
pub struct Server {
    pub scripted: Scripted,
    pub state: Arc<Mutex<State>>,
}

pub type Quirk = Box<dyn FnMut(&Asked, &mut State) -> Option<Reply> + Send>;

#[derive(Default)]
pub struct State {
    /// Etag and text by href, as PROPFIND spells it.
    pub objects: BTreeMap<String, (String, String)>,
    /// Property elements of the calendar, besides its type.
    pub props: String,
    /// More responses in the home.
    pub beside: String,
    /// What the next change reports say; without any, that nothing changed.
    pub reports: VecDeque<String>,
    /// The Date header.
    pub date: Option<String>,
    /// Answers before all else.
    quirk: Option<Quirk>,
}

/// A calendar of which the server says that nobody has chosen a zone for it.
pub const CALENDAR: &str = "<D:resourcetype><D:collection/><C:calendar/></D:resourcetype><C:calendar-timezone/>";

pub fn found(href: &str, props: &str) -> String {
    format!(
        "<D:response><D:href>{href}</D:href><D:propstat><D:prop>{props}</D:prop>\
         <D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
    )
}

pub fn status(href: &str, status: u16) -> String {
    format!("<D:response><D:href>{href}</D:href><D:status>HTTP/1.1 {status} Said</D:status></D:response>")
}

pub fn changed(href: &str, etag: &str) -> String {
    found(href, &format!("<D:getetag>\"{etag}\"</D:getetag>"))
}

pub fn versions(token: &str, ctag: &str) -> String {
    let element = |name: &str, text: &str| match text {
        "" => String::new(),
        text => format!("<{name}>{text}</{name}>"),
    };
    element("D:sync-token", token) + &element("S:getctag", ctag)
}

pub fn text(summary: &str) -> String {
    format!("BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:{summary}\nEND:VEVENT\nEND:VCALENDAR\n")
}

impl Server {
    pub fn start() -> Server {
        let state = Arc::<Mutex<State>>::default();
        let shared = state.clone();
        let scripted = Scripted::start(move |asked| shared.lock().unwrap().answer(asked));
        let server = Server { scripted, state };
        server.version("t1", "c1");
        server
    }

    pub fn with(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    pub fn version(&self, token: &str, ctag: &str) {
        self.with(|state| state.props = versions(token, ctag));
    }

    pub fn put(&self, name: &str, etag: &str, summary: &str) {
        self.with(|state| {
            state.objects.insert(format!("/cal/work/{name}"), (format!("\"{etag}\""), text(summary)));
        });
    }

    pub fn delete(&self, name: &str) {
        self.with(|state| assert!(state.objects.remove(&format!("/cal/work/{name}")).is_some()));
    }

    pub fn report(&self, inside: &str) {
        self.with(|state| state.reports.push_back(inside.to_owned()));
    }

    pub fn quirk(&self, quirk: impl FnMut(&Asked, &mut State) -> Option<Reply> + Send + 'static) {
        self.with(|state| state.quirk = Some(Box::new(quirk)));
    }

    pub fn watch(&self) -> Watch {
        Watch::of(&self.scripted.url, Some(("mary", "sesame")))
    }

    /// A watch that has read everything, and a server that has forgotten what it was asked for that.
    pub fn watched(&self) -> Watch {
        let mut watch = self.watch();
        watch.sync();
        self.scripted.asked();
        watch
    }
}

impl State {
    pub fn answer(&mut self, asked: &Asked) -> Reply {
        if let Some(mut quirk) = self.quirk.take() {
            let reply = quirk(asked, self);
            self.quirk.get_or_insert(quirk);
            if let Some(reply) = reply {
                return reply;
            }
        }
        let reply = match (asked.method.as_str(), asked.path.as_str(), asked.header("depth")) {
            ("PROPFIND", "/cal/", Some("1")) => {
                let calendar = found("/cal/work/", &format!("{CALENDAR}{}", self.props));
                Reply::multistatus(&(found("/cal/", "") + &calendar + &self.beside))
            }
            ("PROPFIND", "/cal/work/", Some("1")) => {
                let members =
                    self.objects.iter().map(|(href, (etag, _))| found(href, &format!("<D:getetag>{etag}</D:getetag>")));
                Reply::multistatus(&(found("/cal/work/", CALENDAR) + &members.collect::<String>()))
            }
            ("PROPFIND", _, Some("0")) => Reply::multistatus(&found(
                &asked.path,
                "<D:current-user-principal><D:href>/mary/</D:href></D:current-user-principal>\
                 <C:calendar-home-set><D:href>/cal/</D:href></C:calendar-home-set>\
                 <C:calendar-user-address-set><D:href>mailto:mary@example.org</D:href></C:calendar-user-address-set>",
            )),
            ("REPORT", "/cal/work/", _) if asked.body.contains("sync-collection") => {
                Reply::multistatus(&self.reports.pop_front().unwrap_or_default())
            }
            ("REPORT", "/cal/work/", _) => Reply::multistatus(&self.multiget(&asked.body)),
            ("GET", path, _) => match self.objects.iter().find(|(href, _)| href.eq_ignore_ascii_case(path)) {
                Some((_, (_, text))) => Reply::status(200).body(text.as_str()),
                None => Reply::status(404),
            },
            _ => Reply::status(404),
        };
        match &self.date {
            Some(date) => reply.header("Date", date),
            None => reply,
        }
    }

    pub fn multiget(&self, body: &str) -> String {
        let hrefs = body.split("<D:href>").skip(1).filter_map(|rest| rest.split("</D:href>").next());
        let object = |href: &str| match self.objects.get(href) {
            Some((etag, text)) => {
                let text = text.replace('&', "&amp;").replace('<', "&lt;");
                found(href, &format!("<D:getetag>{etag}</D:getetag><C:calendar-data>{text}</C:calendar-data>"))
            }
            None => status(href, 404),
        };
        hrefs.map(object).collect()
    }
}

pub const HOME: &str = "PROPFIND /cal/";
pub const REPORT: &str = "REPORT /cal/work/ sync-collection";
pub const COMPARE: &str = "PROPFIND /cal/work/";
pub const MULTIGET: &str = "REPORT /cal/work/ calendar-multiget";

#[test]
fn only_what_is_new_is_asked_for() {
    let server = Server::start();
    server.put("a.ics", "1", "a");
    let mut watch = server.watch();
    watch.sync();
    // The first request asks what is offered to log in with.
    assert_eq!(server.scripted.lines(), ["PROPFIND /", "PROPFIND /", "PROPFIND /mary/", HOME, COMPARE, MULTIGET]);
    let seen = watch.kept.calendar("/cal/work/").seen;
    assert_eq!((&seen.emails[..], seen.user.as_str()), (&["mary@example.org".to_owned()][..], "mary"));
    watch.sync();
    assert_eq!(server.scripted.lines(), [HOME]);
    (0..9).for_each(|n| server.put(&format!("{n}.ics"), "1", "x"));
    server.report(&(0..9).map(|n| changed(&format!("/cal/work/{n}.ics"), "1")).collect::<String>());
    server.version("t2", "c2");
    assert_eq!(watch.sync().changes, 9);
    // All of one known object: the report may be everything there is, so it is compared.
    assert_eq!(server.scripted.lines(), [HOME, REPORT, COMPARE, MULTIGET]);
    server.put("a.ics", "2", "b");
    server.report(&changed("/cal/work/a.ics", "2"));
    server.version("t3", "c3");
    assert_eq!(watch.sync().changes, 1);
    assert_eq!(server.scripted.lines(), [HOME, REPORT, MULTIGET]);
}

/// A server with ten objects, `0.ics` to `9.ics`, that have been read.
pub fn ten() -> (Server, Watch) {
    let server = Server::start();
    (0..10).for_each(|n| server.put(&format!("{n}.ics"), "1", "old"));
    let watch = server.watched();
    (server, watch)
}

#[test]
fn a_cut_report_is_followed_to_its_end() {
    let (server, mut watch) = ten();
    server.put("1.ics", "2", "new");
    server.put("2.ics", "2", "new");
    server.delete("3.ics");
    server.version("t9", "c9");
    let cut = |inside: &str, token: &str| {
        format!("{inside}{}<D:sync-token>{token}</D:sync-token>", status("/cal/work/", 507))
    };
    server.report(&cut(&changed("/cal/work/1.ics", "2"), "t5"));
    server.report(&cut(&changed("/cal/work/2.ics", "2"), "t6"));
    server.report(&(status("/cal/work/3.ics", 404) + "<D:sync-token>t7</D:sync-token>"));
    server.report("<D:sync-token>t7</D:sync-token>");
    assert_eq!(watch.sync().changes, 3);
    let asked = server.scripted.asked();
    let tokens = |asked: &Asked| {
        let rest = asked.body.split("<D:sync-token>").nth(1)?;
        rest.split('<').next().map(str::to_owned)
    };
    assert_eq!(asked.iter().filter_map(tokens).collect::<Vec<_>>(), ["t1", "t5", "t6", "t7"]);
    assert!(asked.iter().all(|asked| !asked.body.contains("limit")));

    // A server that does not get on is compared.
    server.version("t10", "c10");
    server.delete("4.ics");
    server.report(&cut("", "t7"));
    assert_eq!(watch.sync().changes, 1);
    assert_eq!(server.scripted.lines()[..3], [HOME, REPORT, COMPARE]);
}

/// Whether a report of so many `pages`, each of so many `changes` and the last empty, is followed within `limits`.
fn is_followed(limits: ResponseLimits, pages: usize, changes: usize) -> bool {
    let server = Server::start();
    server.put("0.ics", "1", "old");
    let mut watch = Watch::within(limits, &server.scripted.url);
    watch.sync();
    server.scripted.asked();
    server.version("t2", "c2");
    let cut = status("/cal/work/", 507);
    let inside: String = (0..changes).map(|n| status(&format!("/cal/work/gone-{n}.ics"), 404)).collect();
    for page in 1..pages {
        server.report(&format!("{inside}{cut}<D:sync-token>page-{page}</D:sync-token>"));
    }
    server.report("<D:sync-token>t2</D:sync-token>");
    watch.sync();
    !server.scripted.lines().contains(&COMPARE.to_owned())
}

#[test]
fn limit_of_a_reports_pages_at_it_and_above() {
    for max_pages in [ResponseLimits::default().max_pages, 3] {
        let limits = ResponseLimits { max_pages, ..ResponseLimits::default() };
        assert!(is_followed(limits, max_pages, 1));
        assert!(!is_followed(limits, max_pages + 1, 1));
    }
}

#[test]
fn limit_of_a_reports_changes_at_it_and_above() {
    // The standard one is more than a test can wait for.
    for max_changes in [20, 4_000] {
        let limits = ResponseLimits { max_changes, ..ResponseLimits::default() };
        assert!(is_followed(limits, 3, max_changes / 2));
        assert!(!is_followed(limits, 3, max_changes / 2 + 1));
    }
}

#[test]
fn a_report_in_pages_is_kept_within_bounds() {
    let octets = |max_listing_size| ResponseLimits { max_listing_size, ..ResponseLimits::default() };
    // Each page fits: three times what its hrefs take is what reading one needs.
    assert!(is_followed(octets(40_000), 40, 20));
    assert!(!is_followed(octets(20_000), 40, 20));
}

#[test]
fn a_report_of_everything_does_not_hide_what_is_gone() {
    let (server, mut watch) = ten();
    server.delete("3.ics");
    server.version("t2", "c2");
    watch.kept.counts();
    let all = (0..10).filter(|n| *n != 3).map(|n| changed(&format!("/cal/work/{n}.ics"), "1"));
    server.report(&all.collect::<String>());
    watch.sync();
    assert_eq!(watch.kept.counts(), (1, 9, 0), "what a report names is read, if it is not too much");
    assert_eq!(server.scripted.lines(), [HOME, REPORT, COMPARE, MULTIGET, "GET /cal/work/3.ics", MULTIGET]);
}

#[test]
fn an_empty_report_is_not_believed_when_something_moved() {
    let (server, mut watch) = ten();
    server.delete("3.ics");
    server.version("t1", "c2");
    assert_eq!(watch.sync().changes, 1);
    assert_eq!(server.scripted.lines(), [HOME, REPORT, COMPARE, MULTIGET, "GET /cal/work/3.ics"]);
    // A token that counts for the whole account moves without a change here.
    server.with(|state| {
        state.props = versions("t2", "c3");
        state.beside = found("/cal/inbox/", "<D:sync-token>t2</D:sync-token>");
    });
    assert_eq!(watch.sync().changes, 0);
    assert_eq!(server.scripted.lines(), [HOME, REPORT]);
    watch.sync();
    assert_eq!(server.scripted.lines(), [HOME]);
}

#[test]
fn a_calendar_made_again_is_compared() {
    let (server, mut watch) = ten();
    server.delete("3.ics");
    server.version("t2", "c2");
    server.report(&(status("/cal/work/", 404) + &found("/cal/work/", "<D:getetag>\"x\"</D:getetag>")));
    assert_eq!(watch.sync().changes, 1);
    assert_eq!(server.scripted.lines()[..3], [HOME, REPORT, COMPARE]);
    // A counter that went back, or another identity: not even asked.
    server.delete("4.ics");
    server.version("t1", "c3");
    assert_eq!(watch.sync().changes, 1);
    assert_eq!(server.scripted.lines()[..2], [HOME, COMPARE]);
    let identity = |n| format!("<D:resource-id><D:href>urn:uuid:{n}</D:href></D:resource-id>");
    server.with(|state| state.props = versions("t2", "c4") + &identity(1));
    watch.sync();
    server.delete("5.ics");
    server.scripted.asked();
    server.with(|state| state.props = versions("t3", "c5") + &identity(2));
    assert_eq!(
        watch.sync().changes,
        8,
        "one is gone, and all others are read: entity tags of another calendar say nothing"
    );
    assert_eq!(server.scripted.lines()[..2], [HOME, COMPARE]);
    let created = |n| format!("<D:creationdate>2026-11-2{n}T21:16:06Z</D:creationdate>");
    server.with(|state| state.props = versions("t4", "c6") + &identity(2) + &created(1));
    watch.sync();
    server.delete("6.ics");
    server.with(|state| state.props = versions("t4", "c6") + &identity(2) + &created(2));
    assert_eq!(watch.sync().changes, 7, "with the same counters");
    // One that is another date each time means nothing.
    (3..9).for_each(|n| {
        server.with(|state| state.props = versions("t4", "c6") + &created(n));
        watch.sync();
    });
    server.scripted.asked();
    server.with(|state| state.props = versions("t4", "c6") + &created(9));
    watch.sync();
    assert_eq!(server.scripted.lines(), [HOME]);
}

#[test]
fn one_object_has_many_spellings() {
    let server = Server::start();
    let encoded = "odd%20n%c3%a4me%23%25.ics";
    server.put(encoded, "1", "old");
    (0..9).for_each(|n| server.put(&format!("{n}.ics"), "1", "x"));
    let mut watch = server.watched();
    server.put(encoded, "2", "new");
    server.version("t2", "c2");
    // The report does not encode at all; what it names is then not found by that name.
    server.report(&changed("/cal/work/odd näme#%.ics", "2"));
    watch.sync();
    let objects = watch.kept.calendar("/cal/work/").objects;
    assert_eq!(objects.len(), 10, "{objects:?}");
    assert!(objects[&format!("/cal/work/{encoded}")].1.contains("new"), "{objects:?}");
    let asked = server.scripted.lines();
    assert_eq!(asked[3], "GET /cal/work/odd%20n%C3%A4me%23%25.ics", "{asked:?}");
}

#[test]
fn objects_come_singly_where_they_do_not_come_together() {
    let (server, mut watch) = ten();
    let touch = |summary: &str, version: &str| {
        (0..4).for_each(|n| server.put(&format!("{n}.ics"), version, summary));
        server.report(&(0..4).map(|n| changed(&format!("/cal/work/{n}.ics"), version)).collect::<String>());
        server.version(version, version);
    };
    let multiget = |asked: &Asked| asked.body.contains("calendar-multiget");
    let summaries = |watch: &Watch, summary: &str| {
        watch.kept.summaries("/cal/work/").into_iter().filter(|other| other == summary).count()
    };
    // Left out of the answer, as DAViCal and sabre/dav do with what they do not find.
    touch("silent", "t2");
    server.quirk(move |asked, _| multiget(asked).then(|| Reply::multistatus("")));
    watch.sync();
    assert_eq!(summaries(&watch, "silent"), 4);
    // One of them breaks the whole request.
    touch("broken", "t3");
    server.quirk(move |asked, _| (multiget(asked) && asked.body.contains("2.ics")).then(|| Reply::status(404)));
    server.scripted.asked();
    watch.sync();
    assert_eq!(summaries(&watch, "broken"), 4);
    let asked = server.scripted.lines();
    assert_eq!(
        asked.iter().filter(|line| line.starts_with("GET")).collect::<Vec<_>>(),
        ["GET /cal/work/2.ics", "GET /cal/work/3.ics"]
    );
    // Not known at all: it is not asked for each of them.
    touch("unknown", "t4");
    server.quirk(move |asked, _| multiget(asked).then(|| Reply::status(501)));
    server.scripted.asked();
    watch.sync();
    assert_eq!(summaries(&watch, "unknown"), 4);
    let asked = server.scripted.lines();
    assert_eq!(asked.iter().filter(|line| *line == MULTIGET).count(), 3, "four, two, one: {asked:?}");
    // Listed, but gone when it is asked for.
    touch("late", "t5");
    server.quirk(|asked, state| {
        if asked.body.contains("calendar-multiget") {
            state.objects.remove("/cal/work/0.ics");
        }
        None
    });
    watch.sync();
    assert_eq!((summaries(&watch, "late"), watch.kept.calendar("/cal/work/").objects.len()), (3, 10), "not yet");
    server.report(&status("/cal/work/0.ics", 404));
    watch.sync();
    assert_eq!((summaries(&watch, "late"), watch.kept.calendar("/cal/work/").objects.len()), (3, 9));
}

#[test]
fn an_object_that_fails_does_not_stop_the_others() {
    let (server, mut watch) = ten();
    (0..3).for_each(|n| server.put(&format!("{n}.ics"), "2", "new"));
    let report = (0..3).map(|n| changed(&format!("/cal/work/{n}.ics"), "2")).collect::<String>();
    server.report(&report);
    server.version("t2", "c2");
    let failing = |with: u16| {
        move |asked: &Asked, state: &mut State| {
            if asked.body.contains("calendar-multiget") {
                let one = state.objects.remove("/cal/work/1.ics");
                let answer = state.multiget(&asked.body);
                state.objects.extend(one.map(|one| ("/cal/work/1.ics".to_owned(), one)));
                return Some(Reply::multistatus(&answer));
            }
            (asked.method == "GET").then(|| Reply::status(with))
        }
    };
    let new = |watch: &Watch| watch.kept.summaries("/cal/work/").iter().filter(|summary| *summary == "new").count();
    server.quirk(failing(500));
    let synced = watch.try_sync().unwrap();
    assert!(synced.faults[0].contains("/cal/work/1.ics") && synced.faults[0].contains("500"), "{synced:?}");
    assert_eq!(new(&watch), 2);
    // It was not read, so what changed is asked for again.
    server.report(&report);
    server.quirk(|_, _| None);
    watch.kept.counts();
    watch.sync();
    assert_eq!((new(&watch), watch.kept.counts().0), (3, 1));

    // What the server refuses is left out. A few of these are asked for at each sync: what it gives again is known at
    // once.
    server.put("1.ics", "3", "secret");
    server.report(&changed("/cal/work/1.ics", "3"));
    server.version("t3", "c3");
    server.quirk(failing(403));
    let report = watch.try_sync().unwrap();
    assert!(report.faults[0].contains("1.ics") && report.faults[0].contains("403"), "{report:?}");
    server.scripted.asked();
    assert_eq!(watch.try_sync().unwrap().faults, report.faults, "it is a fault as long as that lasts");
    assert_eq!(server.scripted.lines(), [HOME, MULTIGET, "GET /cal/work/1.ics"]);
    assert_eq!(new(&watch), 3, "what was known of it is kept");
    server.quirk(|_, _| None);
    watch.sync();
    assert!(watch.kept.summaries("/cal/work/").contains(&"secret".to_owned()));
}

#[test]
fn too_large_an_object_is_left_out() {
    let (server, mut watch) = ten();
    server.put("big.ics", "1", &"x".repeat(MAX_SIZE));
    server.report(&changed("/cal/work/big.ics", "1"));
    server.version("t2", "c2");
    let report = watch.try_sync().unwrap();
    assert!(report.faults[0].contains("big.ics") && report.faults[0].contains("max_object_size"), "{report:?}");
    server.scripted.asked();
    assert_eq!(watch.try_sync().unwrap().faults, report.faults);
    assert_eq!(server.scripted.lines(), [HOME], "it is not read again and again");
}

#[test]
fn a_server_that_refuses_reports_is_compared() {
    let (server, mut watch) = ten();
    server.quirk(|asked, _| asked.body.contains("sync-collection").then(|| Reply::status(501)));
    let mut asked = Vec::new();
    for version in ["t2", "t3", "t4"] {
        server.put("1.ics", version, version);
        server.version(version, version);
        assert_eq!(watch.sync().changes, 1);
        asked.push(server.scripted.lines());
    }
    assert_eq!(
        asked,
        [vec![HOME, REPORT, COMPARE, MULTIGET], vec![HOME, REPORT, COMPARE, MULTIGET], vec![HOME, COMPARE, MULTIGET]]
    );
}

#[test]
fn without_reports_the_ctag_tells_and_without_that_the_listing() {
    let server = Server::start();
    server.version("", "c1");
    (0..3).for_each(|n| server.put(&format!("{n}.ics"), "1", "old"));
    let mut watch = server.watched();
    watch.sync();
    assert_eq!(server.scripted.lines(), [HOME]);
    server.put("1.ics", "2", "new");
    server.delete("2.ics");
    server.version("", "c2");
    assert_eq!(watch.sync().changes, 2);
    let confirmed = |name: &str| [MULTIGET.to_owned(), format!("GET /cal/work/{name}")];
    let [all, one] = confirmed("2.ics");
    assert_eq!(server.scripted.lines(), [HOME, COMPARE, &all, &one, MULTIGET]);
    server.version("", "");
    server.delete("0.ics");
    assert_eq!(watch.sync().changes, 1);
    let [all, one] = confirmed("0.ics");
    assert_eq!(server.scripted.lines(), [HOME, COMPARE, &all, &one]);
    watch.sync();
    assert_eq!(server.scripted.lines(), [HOME, COMPARE]);
}

#[test]
fn now_and_then_the_whole_is_compared() {
    let (server, _) = ten();
    let (source, settings) = settings(&server.scripted.url, Some(("mary", "sesame")));
    let noon = UtcMillis::parse("2026-03-10T12:00:00Z").unwrap();
    let clock = Clock::manual(noon);
    let mut watch = Watch::at(&source, &settings, clock.clone());
    watch.sync();
    // Lost without a trace: the versions are those of before.
    server.delete("3.ics");
    let minutes = |minutes: i64| clock.set(noon.saturating_add(SignedDuration::from_mins(minutes)));
    minutes(9);
    assert_eq!(watch.sync().changes, 0);
    minutes(13);
    assert_eq!(watch.sync().changes, 1);
    minutes(14);
    watch.sync();
    server.scripted.asked();
    minutes(20);
    watch.sync();
    assert_eq!(server.scripted.lines(), [HOME]);
    minutes(25 * 60);
    watch.sync();
    assert_eq!(server.scripted.lines(), ["PROPFIND /", "PROPFIND /mary/", HOME, COMPARE], "the account is found anew");
}

#[test]
fn a_calendar_that_fails_does_not_stop_the_others() {
    let (server, mut watch) = ten();
    server.with(|state| state.beside = found("/cal/a/", &format!("{CALENDAR}{}", versions("t1", "c1"))));
    server.put("1.ics", "2", "new");
    server.report(&changed("/cal/work/1.ics", "2"));
    server.version("t2", "c2");
    for (reply, said) in [
        (Reply::status(500), "500"),
        (Reply::multistatus(""), "404"),
        (Reply::status(207).body("<html>"), "instead of a multistatus"),
        (Reply::status(200).header("Content-Type", "text/html").body("<html/>"), "text/html"),
    ] {
        server.quirk(move |asked, _| (asked.path == "/cal/a/").then(|| reply.clone()));
        let report = watch.try_sync().unwrap();
        assert!(report.faults[0].contains("/cal/a/") && report.faults[0].contains(said), "{report:?}");
        assert_eq!(report.calendars, 2);
    }
    assert!(watch.kept.summaries("/cal/work/").contains(&"new".to_owned()));
    assert_eq!(watch.kept.hrefs(), ["/cal/work/"]);
}

#[test]
fn a_calendar_of_somebody_else_is_called_so() {
    let server = Server::start();
    server.with(|state| {
        let owner = "<D:owner><D:href>/principals/bob%40example.org/</D:href></D:owner>";
        state.props += &format!("{owner}<D:displayname>Bob's</D:displayname>");
    });
    let (mut source, settings) = settings(&server.scripted.url, Some(("mary", "sesame")));
    source.email = vec!["m@example.net".to_owned()];
    source.zone = Some("Europe/Vienna".to_owned());
    let mut watch = Watch::with(&source, &settings);
    watch.sync();
    let seen = watch.kept.calendar("/cal/work/").seen;
    assert_eq!((seen.user.as_str(), seen.owner.as_str(), seen.name.as_str()), ("mary", "bob@example.org", "Bob's"));
    assert_eq!((seen.emails, seen.user_zone), (source.email, source.zone));
    // Only the name changes, and no version: it is handed in nevertheless.
    server.with(|state| state.props = state.props.replace("Bob's", "Robert's"));
    server.scripted.asked();
    watch.sync();
    assert_eq!(watch.kept.calendar("/cal/work/").seen.name, "Robert's");
    assert_eq!(server.scripted.lines(), [HOME]);
}

#[test]
fn the_account_is_found_behind_whatever_is_at_the_root() {
    // SOGo: any other address is a login page. No well-known URL.
    let server = Server::start();
    let page = || Reply::status(200).header("Content-Type", "text/html; charset=utf-8").body("<html>Log in</html>");
    server.quirk(move |asked, _| {
        let is_dav = ["/SOGo/dav/", "/cal/", "/mary/"].iter().any(|start| asked.path.starts_with(start));
        (!is_dav).then(page)
    });
    let mut watch = server.watch();
    watch.sync();
    assert_eq!(watch.kept.hrefs(), ["/cal/work/"]);
    // Redirections, relative and absolute; method, body and login go along.
    let server = Server::start();
    let url = server.scripted.url.clone();
    server.quirk(move |asked, _| match asked.path.as_str() {
        "/" => Some(Reply::status(405)),
        "/.well-known/caldav" => Some(Reply::status(301).header("Location", "dav")),
        "/.well-known/dav" => Some(Reply::status(302).header("Location", &format!("{url}dav/"))),
        _ => None,
    });
    server.watch().sync();
    let asked = server.scripted.asked();
    assert!(
        asked[1..5]
            .iter()
            .all(|asked| asked.body.contains("current-user-principal") && asked.header("authorization").is_some())
    );
    assert_eq!(asked[4].line(), "PROPFIND /dav/");
}

#[test]
fn the_login_is_sent_to_one_server_only() {
    let other = Scripted::start(|_| Reply::status(207));
    let (server, mut watch) = ten();
    let elsewhere = format!("{}dav/", other.url);
    let to = elsewhere.clone();
    server.quirk(move |asked, _| (asked.path == "/cal/").then(|| Reply::status(307).header("Location", &to)));
    let said = watch.failure();
    assert!(said.contains(&elsewhere) && said.contains("redirects"), "{said}");
    // Nor is a home or an object elsewhere asked for.
    let home = format!("<C:calendar-home-set><D:href>{elsewhere}</D:href></C:calendar-home-set>");
    server.quirk(move |asked, _| (asked.header("depth") == Some("0")).then(|| Reply::multistatus(&found("/", &home))));
    assert!(server.watch().failure().contains(&elsewhere));
    server.quirk(|_, _| None);
    server.report(&changed(&format!("{elsewhere}x.ics"), "1"));
    server.version("t2", "c2");
    let report = server.watch().sync();
    assert_eq!(report.changes, 10);
    assert_eq!(watch.try_sync().unwrap().faults.len(), 1);
    assert!(other.asked().is_empty());

    let server = Scripted::start(|asked| Reply::status(302).header("Location", &format!("{}x", asked.path)));
    let said = Watch::of(&server.url, None).failure();
    assert!(said.contains("no calendars were found"), "{said}");
    assert!(server.asked().len() < 80);
}

#[test]
fn a_connection_that_breaks_is_tried_once_more() {
    let (server, mut watch) = ten();
    let mut broken = 0;
    server.quirk(move |_, _| {
        broken += 1;
        (broken % 2 == 1).then(Reply::hang_up)
    });
    assert_eq!(watch.sync().changes, 0);
    server.quirk(|_, _| Some(Reply::hang_up()));
    server.scripted.asked();
    let error = watch.try_sync().unwrap_err();
    assert!(matches!(error, CaldavError::Broken { .. }) && error.is_transient(), "{error}");
    assert_eq!(server.scripted.lines(), [HOME, HOME]);
}

#[test]
fn a_busy_server_is_left_alone_as_long_as_it_wishes() {
    let (server, mut watch) = ten();
    let mut after = |status: u16, value: &'static str| {
        server.quirk(move |_, _| {
            let reply = Reply::status(status).header("Retry-After", value);
            Some(reply.header("Date", "Sun, 22 Nov 2026 21:17:00 GMT"))
        });
        let error = watch.try_sync().unwrap_err();
        assert!(error.is_transient() && error.to_string().contains(&status.to_string()), "{error}");
        error.retry_after().map(|pause| pause.as_secs())
    };
    assert_eq!(after(503, "120"), Some(120));
    assert_eq!(after(429, "Sun, 22 Nov 2026 21:18:00 GMT"), Some(60));
    assert_eq!(after(503, "Sun, 22 Nov 2026 21:16:00 GMT"), Some(0));
    assert_eq!(after(503, "soon"), None);
    assert_eq!(after(503, "99999999"), Some(3600));
}

#[test]
fn an_answer_without_an_end_is_given_up() {
    let (server, mut watch) = ten();
    server.quirk(|_, _| Some(Reply::status(207).body(vec![b'<'; 64 * 1024 * 1024 + 1])));
    assert!(matches!(watch.try_sync().unwrap_err(), CaldavError::TooLarge { .. }));
    // A slow one, too.
    let (source, mut settings) = settings(&server.scripted.url, None);
    settings.timeout = Duration::from_millis(50);
    let (given_up, until) = mpsc::channel::<()>();
    let slow = Scripted::start(move |_| {
        // It answers when nobody waits for it any more, or after far too long.
        let _ = until.recv_timeout(Duration::from_secs(60));
        Reply::status(207)
    });
    settings.url = slow.url.clone();
    let error = Watch::with(&source, &settings).try_sync().unwrap_err();
    drop(given_up);
    assert!(matches!(error, CaldavError::Timeout { .. }) && error.is_transient(), "{error}");
}

#[test]
fn how_it_logs_in_and_what_it_sends() {
    let server = Server::start();
    server.put("a%23.ics", "1", "a");
    server.quirk(|asked, _| asked.body.contains("multiget").then(|| Reply::multistatus("")));
    let (source, mut settings) = settings(&server.scripted.url, Some(("mary", "sesame")));
    Watch::with(&source, &settings).sync();
    let asked = server.scripted.asked();
    assert_eq!(asked[0].header("authorization"), None, "without encryption a server is asked what it offers");
    assert_eq!(asked[0].line(), asked[1].line());
    for asked in asked.into_iter().skip(1) {
        assert_eq!(asked.header("authorization"), Some("Basic bWFyeTpzZXNhbWU="));
        assert_eq!(asked.header("content-length").is_some(), asked.method != "GET", "{asked:?}");
        assert_eq!(asked.header("transfer-encoding"), None);
        assert_eq!(asked.header("accept-encoding") == Some("identity"), asked.method == "GET");
        assert!(asked.header("user-agent").unwrap().starts_with("reveille/"));
    }
    settings.credentials = Credentials::Bearer { token: SecretRef::inline("t0ken").into() };
    Watch::with(&source, &settings).sync();
    assert!(server.scripted.asked().iter().all(|asked| asked.header("authorization") == Some("Bearer t0ken")));
    server.quirk(|_, _| Some(Reply::status(401).header("WWW-Authenticate", "NTLM, Negotiate x, hunter2 realm=\"x\"")));
    let error = server.watch().try_sync().unwrap_err();
    let said = error.to_string();
    let offers = "it offers NTLM, Negotiate, another scheme, and the source logs in by Basic or Digest: check username";
    assert!(said.contains(offers), "{said}");
    assert!(!error.is_transient() && !said.contains("sesame"));
}

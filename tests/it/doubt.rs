//! What a CalDAV server does not say, or says for a moment only: nothing of that is believed at once.

use jiff::SignedDuration;
use reveille::clock::Clock;
use reveille::source::Evidence;
use reveille::source::SyncReport;
use reveille::time::UtcMillis;

use crate::quirks::{CALENDAR, COMPARE, HOME, Server, State, changed, found, status, ten, text, versions};
use crate::scripted::{Asked, Reply};
use crate::watch::{Watch, settings};

/// The home's answer with `inside` in the place of the calendar.
fn home(inside: String) -> impl FnMut(&Asked, &mut State) -> Option<Reply> + Send + 'static {
    move |asked, _| match (asked.path.as_str(), asked.header("depth")) {
        ("/cal/", Some("1")) => Some(Reply::multistatus(&(found("/cal/", "") + &inside))),
        ("/cal/work/", Some("0")) => Some(Reply::status(404)),
        _ => None,
    }
}

/// A response with some properties under 200 and others under `status`.
fn partly(href: &str, given: &str, withheld: &str, status: u16) -> String {
    format!(
        "<D:response><D:href>{href}</D:href><D:propstat><D:prop>{given}</D:prop><D:status>HTTP/1.1 200 OK</D:status>\
         </D:propstat><D:propstat><D:prop>{withheld}</D:prop><D:status>HTTP/1.1 {status} Said</D:status></D:propstat>\
         </D:response>"
    )
}

fn evidence(watch: &Watch) -> Option<Evidence> {
    watch.kept.calendar("/cal/work/").evidence
}

#[test]
fn a_calendar_that_is_not_listed_is_absent_and_the_same_when_it_comes_back() {
    let (server, mut watch) = ten();
    server.quirk(home(String::new()));
    assert_eq!(watch.sync(), SyncReport { requests: 2, ..SyncReport::default() });
    let kept = watch.kept.calendar("/cal/work/");
    assert_eq!((kept.objects.len(), kept.evidence), (10, Some(Evidence::AllGone)), "nothing of the source is left");
    // It is not asked for by itself at each sync.
    server.scripted.asked();
    watch.sync();
    assert_eq!(server.scripted.lines(), [HOME]);
    assert_eq!(watch.kept.calendar("/cal/work/").absent_since, kept.absent_since);
    server.quirk(|_, _| None);
    watch.kept.counts();
    watch.sync();
    assert_eq!((watch.kept.calendar("/cal/work/").absent_since, watch.kept.counts().0), (None, 0));
}

#[test]
fn an_absence_counts_for_more_where_another_calendar_is_there() {
    let (server, mut watch) = ten();
    let other = found("/cal/other/", &format!("{CALENDAR}{}", versions("t1", "c1")));
    server.with(|state| state.beside = other.clone());
    server.quirk(|asked, _| (asked.path == "/cal/other/").then(|| Reply::multistatus(&found("/cal/other/", ""))));
    watch.sync();
    let mut missing = home(other);
    server.quirk(move |asked, state| match asked.path.as_str() {
        "/cal/other/" => Some(Reply::multistatus(&found("/cal/other/", ""))),
        _ => missing(asked, state),
    });
    watch.sync();
    assert_eq!(evidence(&watch), Some(Evidence::Healthy));
    assert_eq!(watch.kept.calendar("/cal/other/").evidence, None);
}

#[test]
fn a_calendar_that_is_there_and_not_listed_is_kept() {
    let (server, mut watch) = ten();
    server.quirk(|asked, _| match (asked.path.as_str(), asked.header("depth")) {
        ("/cal/", Some("1")) => Some(Reply::multistatus(&found("/cal/", ""))),
        ("/cal/work/", Some("0")) => Some(Reply::multistatus(&found("/cal/work/", CALENDAR))),
        _ => None,
    });
    let report = watch.try_sync().unwrap();
    assert!(report.faults[0].contains("/cal/work/") && report.faults[0].contains("kept"), "{report:?}");
    server.quirk(|_, _| Some(Reply::multistatus("")));
    assert!(watch.try_sync().is_err(), "an empty answer is no listing");
    assert_eq!(watch.kept.calendar("/cal/work/").objects.len(), 10);
}

#[test]
fn a_listing_that_is_cut_or_does_not_say_what_is_a_calendar_makes_nothing_absent() {
    let kind = "<D:resourcetype/>";
    let name = "<D:displayname>Work</D:displayname>";
    for (inside, said) in [
        (status("/cal/", 507), "507"),
        (partly("/cal/work/", name, kind, 500), "500"),
        (partly("/cal/work/", name, kind, 403), "403"),
        (status("/cal/work/", 503), "503"),
        ("<D:response><D:href>/cal/work/</D:href></D:response>".to_owned(), "says nothing"),
    ] {
        let (server, mut watch) = ten();
        server.quirk(home(inside));
        let report = watch.try_sync().unwrap();
        assert!(report.faults.len() == 1 && report.faults[0].contains(said), "{said}: {report:?}");
        let kept = watch.kept.calendar("/cal/work/");
        assert_eq!((kept.objects.len(), kept.absent_since), (10, None), "{said}");
    }
}

#[test]
fn what_a_server_does_not_say_of_a_calendar_stays_as_it_was() {
    let server = Server::start();
    let zone = "<C:calendar-timezone-id>Europe/Vienna</C:calendar-timezone-id>";
    server.with(|state| state.props += &format!("<D:displayname>Work</D:displayname>{zone}"));
    server.put("a.ics", "1", "a");
    let watch = server.watched();
    let mut watch = watch.restarted(&server.scripted.url, Some(("mary", "sesame")));
    let withheld = "<D:displayname/><C:calendar-timezone-id/><C:calendar-timezone/>";
    let given = format!("{CALENDAR}{}", versions("t1", "c1"));
    server.quirk(home(partly("/cal/work/", &given, withheld, 500)));
    let report = watch.try_sync().unwrap();
    assert!(report.faults[0].contains("name, time zone") && report.faults[0].contains("stays"), "{report:?}");
    let seen = watch.kept.calendar("/cal/work/").seen;
    assert_eq!((seen.name.as_str(), seen.zone.as_deref()), ("Work", Some("Europe/Vienna")));
    // What it refuses stays as well, without a word; what there is none of goes.
    server.quirk(home(partly("/cal/work/", &given, withheld, 403)));
    watch.sync();
    assert_eq!(watch.kept.calendar("/cal/work/").seen, seen);
    server.quirk(home(partly("/cal/work/", &given, withheld, 404)));
    watch.sync();
    assert_eq!(watch.kept.calendar("/cal/work/").seen.zone, None);
}

#[test]
fn a_new_calendar_waits_a_little_for_what_its_server_cannot_say() {
    let server = Server::start();
    let given = format!("{CALENDAR}{}", versions("t1", "c1"));
    server.quirk(home(partly("/cal/work/", &given, "<C:calendar-timezone/>", 500)));
    let mut watch = server.watch();
    for _ in 0..3 {
        let report = watch.try_sync().unwrap();
        assert!(report.faults[0].contains("time zone") && report.faults[0].contains("not taken in yet"), "{report:?}");
        assert!(watch.kept.hrefs().is_empty());
    }
    watch.try_sync().unwrap();
    assert_eq!(watch.kept.hrefs(), ["/cal/work/"], "a server that never says it is not waited for");
}

#[test]
fn a_right_that_is_taken_back_makes_a_calendar_absent() {
    let (server, mut watch) = ten();
    let other = found("/cal/other/", &format!("{CALENDAR}{}", versions("t1", "c1")));
    let of_other = |asked: &Asked| (asked.path == "/cal/other/").then(|| Reply::multistatus(&found("/cal/other/", "")));
    let mut n = 0;
    // Where no other calendar can be read, it may be the account that is out of order.
    for (beside, weight) in [(String::new(), Evidence::AllGone), (other, Evidence::Healthy)] {
        server.with(|state| state.beside = beside.clone());
        server.quirk(move |asked, _| of_other(asked));
        watch.sync();
        for code in [403, 404] {
            n += 1;
            server.version(&format!("t1{n}"), "c2");
            server.report(&changed("/cal/work/1.ics", "1"));
            server.quirk(move |asked, _| {
                of_other(asked).or_else(|| (asked.path == "/cal/work/").then(|| Reply::status(code)))
            });
            let report = watch.try_sync().unwrap();
            assert!(report.faults[0].contains(&code.to_string()), "{report:?}");
            assert_eq!(evidence(&watch), Some(weight), "{code}");
            assert_eq!(server.scripted.lines().last().map(String::as_str), Some(COMPARE));
            server.quirk(move |asked, _| of_other(asked));
            watch.sync();
            assert_eq!(evidence(&watch), None);
        }
    }
    // Or the listing says so.
    let privileges =
        "<D:current-user-privilege-set><D:privilege><D:write/></D:privilege></D:current-user-privilege-set>";
    server.with(|state| state.props += privileges);
    assert_eq!(watch.sync().calendars, 1, "the other one");
    assert_eq!(evidence(&watch), Some(Evidence::Healthy));
}

#[test]
fn a_calendar_that_is_not_wanted_any_more_is_dropped_at_once() {
    let (server, watch) = ten();
    let (mut source, settings) = settings(&server.scripted.url, Some(("mary", "sesame")));
    source.calendars = vec!["other".to_owned()];
    let mut watch = Watch { kept: watch.kept, ..Watch::with(&source, &settings) };
    server.quirk(home(String::new()));
    watch.sync();
    assert!(watch.kept.hrefs().is_empty(), "listed or not");
}

/// A server and a watch of it whose clock stands still until it is set.
fn clocked() -> (Server, Watch, impl Fn(i64)) {
    let (server, _) = ten();
    let (source, settings) = settings(&server.scripted.url, Some(("mary", "sesame")));
    let begin = UtcMillis::parse("2026-03-10T12:00:00Z").unwrap();
    let clock = Clock::manual(begin);
    let mut watch = Watch::at(&source, &settings, clock.clone());
    watch.sync();
    server.scripted.asked();
    (server, watch, move |seconds: i64| clock.set(begin.saturating_add(SignedDuration::from_secs(seconds))))
}

/// Says of `name` that it changed to the version `etag`, as `summary`.
fn edit(server: &Server, name: &str, etag: &str, summary: &str) {
    server.put(name, etag, summary);
    server.report(&changed(&format!("/cal/work/{name}"), etag));
    server.version(etag, etag);
}

fn token(watch: &Watch) -> Option<String> {
    watch.kept.calendar("/cal/work/").token()
}

fn has(watch: &Watch, summary: &str) -> bool {
    watch.kept.summaries("/cal/work/").iter().any(|other| other == summary)
}

/// A replica that lags behind: it does not find `name`.
fn without(name: &'static str) -> impl FnMut(&Asked, &mut State) -> Option<Reply> + Send + 'static {
    move |asked, state| {
        let is_get = asked.method == "GET" && asked.path.ends_with(name);
        if is_get {
            return Some(Reply::status(404));
        }
        asked.body.contains("multiget").then(|| {
            let href = format!("/cal/work/{name}");
            let hidden = state.objects.remove(&href);
            let answer = state.multiget(&asked.body);
            state.objects.extend(hidden.map(|hidden| (href, hidden)));
            Reply::multistatus(&answer)
        })
    }
}

#[test]
fn an_object_that_is_named_and_not_found_yet_is_asked_for_until_it_comes() {
    for name in ["new.ics", "1.ics"] {
        let (server, mut watch, at) = clocked();
        edit(&server, name, "t2", "came late");
        server.quirk(without(name));
        let report = watch.sync();
        assert!(report.again_in.is_some_and(|again| again.as_secs() == 2), "{report:?}");
        assert_eq!(token(&watch).as_deref(), Some("t1"), "it does not stand for what was not read");
        assert_eq!(watch.kept.calendar("/cal/work/").objects.len(), 10, "{name}");
        at(6);
        server.quirk(|_, _| None);
        server.report(&changed(&format!("/cal/work/{name}"), "t2"));
        let report = watch.sync();
        assert!(has(&watch, "came late") && report.again_in.is_none(), "{report:?}");
        assert_eq!(token(&watch).as_deref(), Some("t2"));
        assert_eq!(watch.sync().requests, 1);
    }
}

#[test]
fn an_object_that_never_comes_becomes_a_fault_and_the_rest_goes_on() {
    let (server, mut watch, at) = clocked();
    edit(&server, "new.ics", "t2", "came late");
    server.quirk(without("new.ics"));
    let mut report = watch.sync();
    for second in [2, 6, 14, 30, 61] {
        at(second);
        server.report(&changed("/cal/work/new.ics", "t2"));
        report = watch.try_sync().unwrap();
    }
    assert!(report.faults[0].contains("new.ics") && report.faults[0].contains("404"), "{report:?}");
    assert_eq!(token(&watch).as_deref(), Some("t2"), "the calendar goes on without it");
    at(90);
    let report = watch.try_sync().unwrap();
    assert_eq!((report.faults.len(), report.requests), (1, 3), "it is told, and asked for together and singly");
    at(120);
    server.quirk(|_, _| None);
    watch.sync();
    assert!(has(&watch, "came late"));
}

#[test]
fn a_text_older_than_the_version_that_was_named_is_not_taken_for_it() {
    let (server, mut watch, at) = clocked();
    edit(&server, "1.ics", "t2", "edited");
    // The replica still has the old one, by multiget and by GET.
    let stale = |asked: &Asked| {
        let old = found("/cal/work/1.ics", &format!("<D:getetag>\"1\"</D:getetag>{}", data("old")));
        asked.body.contains("multiget").then(|| Reply::multistatus(&old))
    };
    server.quirk(move |asked, _| stale(asked));
    watch.sync();
    let kept = watch.kept.calendar("/cal/work/").objects;
    assert_eq!(kept["/cal/work/1.ics"].0, "\"1\"", "a new entity tag is not stored with an old text");
    assert_eq!(token(&watch).as_deref(), Some("t1"));
    server.quirk(|asked, _| {
        if asked.body.contains("multiget") {
            return Some(Reply::status(501));
        }
        let old = Reply::status(200).header("ETag", "W/\"1-gzip\"").body(text("old"));
        (asked.method == "GET").then_some(old)
    });
    at(2);
    server.report(&changed("/cal/work/1.ics", "t2"));
    watch.sync();
    assert_eq!(token(&watch).as_deref(), Some("t1"));
    at(6);
    server.quirk(|_, _| None);
    server.report(&changed("/cal/work/1.ics", "t2"));
    watch.sync();
    assert!(has(&watch, "edited"));
    assert_eq!(token(&watch).as_deref(), Some("t2"));
}

fn data(summary: &str) -> String {
    format!("<C:calendar-data>{}</C:calendar-data>", text(summary))
}

#[test]
fn half_a_text_is_asked_for_again() {
    let (server, mut watch, at) = clocked();
    watch.kept.refuses("half");
    edit(&server, "1.ics", "t2", "half");
    let report = watch.sync();
    assert!(report.again_in.is_some_and(|again| again.as_secs() == 2), "{report:?}");
    assert!(has(&watch, "old") && !has(&watch, "half"));
    // Nothing moves on the server: it was only the answer that was cut.
    server.put("1.ics", "t2", "whole");
    at(2);
    watch.sync();
    assert!(has(&watch, "whole"));
    at(4);
    assert_eq!(watch.sync().requests, 1);
}

#[test]
fn what_a_report_names_is_read_whatever_its_entity_tag_says() {
    let (server, mut watch) = ten();
    server.put("1.ics", "1", "another text");
    server.report(&changed("/cal/work/1.ics", "1"));
    server.version("t2", "c2");
    watch.sync();
    assert!(has(&watch, "another text"));
}

#[test]
fn a_list_of_objects_that_is_cut_or_fails_makes_nothing_gone() {
    for inside in [
        changed("/cal/work/new.ics", "1") + &status("/cal/work/", 507),
        changed("/cal/work/new.ics", "1") + &status("/cal/work/1.ics", 500),
    ] {
        let (server, mut watch) = ten();
        server.version("", "c2");
        server.put("new.ics", "1", "new");
        let cut = inside.clone();
        server.quirk(move |asked, _| {
            let listing =
                asked.path == "/cal/work/" && asked.header("depth") == Some("1") && asked.method == "PROPFIND";
            listing.then(|| Reply::multistatus(&(found("/cal/work/", CALENDAR) + &cut)))
        });
        let report = watch.try_sync().unwrap();
        assert!(report.faults[0].contains("/cal/work/") && report.faults[0].contains("kept"), "{report:?}");
        assert_eq!(watch.kept.calendar("/cal/work/").objects.len(), 11, "what is there is taken, and all else kept");
        assert_eq!(token(&watch).as_deref(), Some("t1"), "it was not read to its end");
        server.quirk(|_, _| None);
        watch.sync();
        assert_eq!(watch.kept.calendar("/cal/work/").objects.len(), 11);
    }
}

#[test]
fn what_a_list_leaves_out_is_asked_for_before_it_is_gone() {
    let (server, mut watch) = ten();
    server.version("", "c2");
    server.quirk(|asked, _| {
        let listing = asked.path == "/cal/work/" && asked.header("depth") == Some("1") && asked.method == "PROPFIND";
        listing.then(|| Reply::multistatus(&found("/cal/work/", CALENDAR)))
    });
    let report = watch.try_sync().unwrap();
    assert!(report.faults[0].contains("0.ics") && report.faults[0].contains("does not list it"), "{report:?}");
    assert_eq!(watch.kept.calendar("/cal/work/").objects.len(), 10);
    server.quirk(|_, _| None);
    watch.sync();
    (0..10).for_each(|n| server.delete(&format!("{n}.ics")));
    server.version("", "c3");
    watch.sync();
    assert!(watch.kept.calendar("/cal/work/").objects.is_empty(), "few are believed at once");
}

#[test]
fn what_was_gone_for_a_moment_is_found_again_although_nothing_says_so() {
    let (server, mut watch, at) = clocked();
    let stored = server.state.lock().unwrap().objects.clone();
    (0..10).for_each(|n| server.delete(&format!("{n}.ics")));
    server.version("t2", "c2");
    let report = watch.sync();
    assert_eq!(report.again_in.map(|again| again.as_secs()), Some(30), "it is to be confirmed");
    assert!(watch.kept.calendar("/cal/work/").objects.is_empty());
    server.with(|state| state.objects = stored.clone());
    at(20);
    watch.sync();
    assert!(watch.kept.calendar("/cal/work/").objects.is_empty(), "the version is the same");
    at(30);
    let report = watch.sync();
    assert!(watch.kept.calendar("/cal/work/").objects.len() == 10 && report.again_in.is_none(), "{report:?}");
    at(90);
    assert_eq!(watch.sync().requests, 1, "it is at rest");
}

#[test]
fn many_objects_that_vanish_at_once_are_looked_for_twice() {
    let (server, mut watch, at) = clocked();
    (10..30).for_each(|n| server.put(&format!("{n}.ics"), "1", "old"));
    server.version("", "c2");
    watch.sync();
    let all: Vec<String> = (0..30).map(|n| format!("{n}.ics")).collect();
    let stored = server.state.lock().unwrap().objects.clone();
    all.iter().for_each(|name| server.delete(name));
    server.version("", "c3");
    let report = watch.try_sync().unwrap();
    assert!(report.faults[0].contains("30 of 30") && report.again_in.is_some(), "{report:?}");
    at(20);
    watch.try_sync().unwrap();
    assert_eq!(watch.kept.calendar("/cal/work/").objects.len(), 30, "too soon");
    // A disk that was not mounted.
    server.with(|state| state.objects = stored.clone());
    at(25);
    watch.sync();
    all.iter().for_each(|name| server.delete(name));
    server.version("", "c4");
    at(40);
    watch.try_sync().unwrap();
    assert_eq!(watch.kept.calendar("/cal/work/").objects.len(), 30, "it counts anew");
    // What was found is remembered over a restart: `run --once` looks once in each process.
    let (source, settings) = settings(&server.scripted.url, Some(("mary", "sesame")));
    let begin = UtcMillis::parse("2026-03-10T12:00:00Z").unwrap();
    let clock = Clock::manual(begin.saturating_add(SignedDuration::from_secs(70)));
    let mut watch = Watch { kept: watch.kept, ..Watch::at(&source, &settings, clock) };
    watch.sync();
    assert!(watch.kept.calendar("/cal/work/").objects.is_empty());
}

#[test]
fn many_objects_that_have_other_names_are_under_those_at_once() {
    let (server, mut watch, _) = clocked();
    (10..30).for_each(|n| server.put(&format!("{n}.ics"), "1", "old"));
    server.version("", "c2");
    watch.sync();
    (0..30).for_each(|n| server.delete(&format!("{n}.ics")));
    (0..30).for_each(|n| server.put(&format!("new-{n}.ics"), "1", "new"));
    server.version("", "c3");
    watch.sync();
    assert_eq!(watch.kept.summaries("/cal/work/"), ["new"; 30]);
}

#[test]
fn after_a_failure_and_at_the_start_everything_is_compared() {
    let (server, mut watch) = ten();
    // Put back from a backup, and written to as often since: the versions are the same.
    let restored = |name: &str| {
        server.put(name, "other", "restored");
        server.delete("9.ics");
    };
    server.quirk(|_, _| Some(Reply::status(503)));
    watch.failure();
    restored("1.ics");
    server.quirk(|_, _| None);
    watch.sync();
    assert!(has(&watch, "restored") && watch.kept.calendar("/cal/work/").objects.len() == 9);
    server.scripted.asked();
    watch.sync();
    assert_eq!(server.scripted.lines(), [HOME]);
    server.put("9.ics", "1", "back");
    let mut watch = watch.restarted(&server.scripted.url, Some(("mary", "sesame")));
    watch.sync();
    assert!(has(&watch, "back"));
}

#[test]
fn a_list_that_is_cut_at_the_start_is_asked_for_again() {
    let (server, watch) = ten();
    server.put("1.ics", "other", "restored");
    server.quirk(|asked, _| {
        let inside = changed("/cal/work/2.ics", "1") + &status("/cal/work/", 507);
        (asked.path == "/cal/work/").then(|| Reply::multistatus(&inside))
    });
    let mut watch = watch.restarted(&server.scripted.url, Some(("mary", "sesame")));
    assert!(!watch.try_sync().unwrap().faults.is_empty());
    server.quirk(|_, _| None);
    watch.sync();
    assert!(has(&watch, "restored"));
}

#[test]
fn what_changes_while_a_first_sync_is_not_at_its_end_is_read_whatever_its_entity_tag_says() {
    let server = Server::start();
    for name in ["1.ics", "2.ics"] {
        server.put(name, "1", "old");
    }
    server.version("t1", "c1");
    server.quirk(without("2.ics"));
    let watch = server.watched();
    assert!(watch.kept.calendar("/cal/work/").objects.len() == 1);
    // Deleted and put anew: its server counts its versions from one again.
    edit(&server, "1.ics", "1", "another");
    server.version("t2", "c2");
    server.quirk(|_, _| None);
    let mut watch = watch.restarted(&server.scripted.url, Some(("mary", "sesame")));
    watch.sync();
    assert!(has(&watch, "another") && watch.kept.calendar("/cal/work/").objects.len() == 2);
}

#[test]
fn to_be_asked_less_often_is_no_failure() {
    let (server, mut watch) = ten();
    server.quirk(|_, _| Some(Reply::status(429)));
    watch.failure();
    server.quirk(|_, _| None);
    server.scripted.asked();
    watch.sync();
    assert_eq!(server.scripted.lines(), [HOME]);
}

#[test]
fn a_calendar_at_which_each_sync_ends_keeps_no_other_from_being_read() {
    let (server, mut watch) = ten();
    let other = found("/cal/other/", &format!("{CALENDAR}{}", versions("t1", "c1")));
    server.with(|state| state.beside = other);
    server.version("t2", "c2");
    server.quirk(|asked, _| match asked.path.as_str() {
        "/cal/work/" => Some(Reply::status(503).header("Retry-After", "3600")),
        "/cal/other/" => Some(Reply::multistatus(&found("/cal/other/", ""))),
        _ => None,
    });
    for sync in 1..=3 {
        server.scripted.asked();
        watch.failure();
        let lines = server.scripted.lines();
        assert!(lines.iter().any(|line| line.ends_with("/cal/other/")), "sync {sync}: {lines:?}");
    }
}

#[test]
fn an_object_that_is_refused_is_kept() {
    let (server, mut watch) = ten();
    let refuse = |asked: &Asked, _: &mut State| match (asked.method.as_str(), asked.path.as_str()) {
        ("GET", "/cal/work/3.ics") => Some(Reply::status(403)),
        _ => None,
    };
    // It is listed under 403.
    server.delete("3.ics");
    server.version("t1", "c2");
    server.quirk(move |asked, state| {
        let is_list = asked.method == "PROPFIND" && asked.path == "/cal/work/" && asked.header("depth") == Some("1");
        let members =
            state.objects.iter().map(|(href, (etag, _))| found(href, &format!("<D:getetag>{etag}</D:getetag>")));
        let list = || found("/cal/work/", CALENDAR) + &members.collect::<String>() + &status("/cal/work/3.ics", 403);
        if is_list { Some(Reply::multistatus(&list())) } else { refuse(asked, state) }
    });
    let report = watch.try_sync().unwrap();
    assert_eq!((report.faults.len(), watch.kept.summaries("/cal/work/").len()), (1, 10), "{report:?}");
    assert!(report.faults.concat().contains("3.ics may not be read"), "{report:?}");
    // It is not listed, and asked for it is under 403. Another one is deleted.
    server.quirk(refuse);
    server.delete("4.ics");
    server.version("t1", "c3");
    let report = watch.try_sync().unwrap();
    assert_eq!((report.faults.len(), watch.kept.summaries("/cal/work/").len()), (1, 9), "{report:?}");
    server.quirk(|_, _| None);
    server.version("t1", "c4");
    watch.sync();
    assert_eq!(watch.kept.summaries("/cal/work/").len(), 8, "it is gone");
}

#[test]
fn an_object_with_a_bare_percent_sign_is_found() {
    let server = Server::start();
    // It is listed as it is, and found only by its encoded name.
    server.put("per%cent.ics", "1", "percent");
    server.put("50%20off.ics", "1", "fifty");
    server.quirk(|asked, _| match (asked.method.as_str(), asked.path.as_str()) {
        ("REPORT", _) if asked.body.contains("multiget") => Some(Reply::multistatus(&status("/cal/work/x", 404))),
        ("GET", "/cal/work/per%25cent.ics") => Some(Reply::status(200).body(text("percent"))),
        ("GET", "/cal/work/50%2520off.ics") => Some(Reply::status(200).body(text("fifty"))),
        ("GET", _) => Some(Reply::status(400)),
        _ => None,
    });
    let mut watch = server.watch();
    watch.sync();
    assert_eq!(watch.kept.summaries("/cal/work/"), ["fifty", "percent"]);
    server.version("t2", "c2");
    watch.sync();
    assert_eq!(watch.kept.calendar("/cal/work/").objects.len(), 2, "they stay two");
    server.delete("per%cent.ics");
    server.report(&status("/cal/work/per%cent.ics", 404));
    server.version("t3", "c3");
    watch.sync();
    assert_eq!(watch.kept.summaries("/cal/work/"), ["fifty"]);
}

#[test]
fn names_that_are_not_utf_8_stay_apart() {
    let server = Server::start();
    for (name, summary) in [("M%FCller.ics", "Mueller"), ("M%F6ller.ics", "Moeller")] {
        server.put(name, "1", summary);
    }
    let mut watch = server.watched();
    assert_eq!(watch.kept.summaries("/cal/work/"), ["Moeller", "Mueller"]);
    server.delete("M%F6ller.ics");
    server.report(&status("/cal/work/M%F6ller.ics", 404));
    server.version("t2", "c2");
    watch.sync();
    assert_eq!(watch.kept.summaries("/cal/work/"), ["Mueller"]);
}

#[test]
fn a_servers_clock_is_corrected_and_what_is_still_to_come_was_not_written() {
    for (date, modified, written) in [
        // Right.
        ("12:00:00", "11:58:00", Some("11:58:00.000")),
        // Five minutes ahead, and five behind: its own time, less a second that its date leaves open.
        ("12:05:00", "12:03:00", Some("11:57:59.000")),
        ("11:55:00", "11:53:00", Some("11:57:59.000")),
        ("12:00:00", "12:04:00", None),
    ] {
        let (server, mut watch, at) = clocked();
        at(0);
        server.with(|state| state.date = Some(format!("Tue, 10 Mar 2026 {date} GMT")));
        let (date, modified) = (date.to_owned(), format!("Tue, 10 Mar 2026 {modified} GMT"));
        server.quirk(move |asked, _| {
            let props = format!("<D:getetag>\"2\"</D:getetag><D:getlastmodified>{modified}</D:getlastmodified>");
            let inside = found("/cal/work/1.ics", &(props + &data("new")));
            asked.body.contains("multiget").then(|| Reply::multistatus(&inside))
        });
        edit(&server, "1.ics", "2", "new");
        watch.sync();
        let kept = watch.kept.calendar("/cal/work/").last_modified;
        assert_eq!(kept, written.map(|at| UtcMillis::parse(&format!("2026-03-10T{at}Z")).unwrap()), "{date}");
    }
}

#[test]
fn the_same_entity_tag_with_another_size_or_time_is_read() {
    let (server, mut watch, at) = clocked();
    let sized = |size: usize| {
        move |asked: &Asked, state: &mut State| {
            let listing =
                asked.path == "/cal/work/" && asked.method == "PROPFIND" && asked.header("depth") == Some("1");
            let member = |(href, (etag, text)): (&String, &(String, String))| {
                let length = if text.contains("quietly") { size } else { 100 };
                let length = format!("<D:getcontentlength>{length}</D:getcontentlength>");
                found(href, &format!("<D:getetag>{etag}</D:getetag>{length}"))
            };
            let members: String = state.objects.iter().map(member).collect();
            listing.then(|| Reply::multistatus(&(found("/cal/work/", CALENDAR) + &members)))
        }
    };
    server.quirk(sized(100));
    at(900);
    watch.sync();
    server.put("1.ics", "1", "quietly");
    at(1_800);
    watch.sync();
    assert!(!has(&watch, "quietly"), "nothing tells of it");
    // Where it does not come in yet, the next sync asks for it although it has that size since.
    server.quirk(sized(110));
    watch.kept.fail_after(0);
    at(2_700);
    assert!(watch.try_sync().is_err());
    watch.sync();
    assert!(has(&watch, "quietly"));
}

#[test]
fn a_version_that_is_spelled_in_two_ways_is_not_read_again() {
    let server = Server::start();
    server.put("a.ics", "1", "a");
    server.version("", "c1");
    server.quirk(|asked, _| {
        let inside = found("/cal/work/a.ics", &format!("<D:getetag>W/1</D:getetag>{}", data("a")));
        asked.body.contains("/cal/work/a.ics").then(|| Reply::multistatus(&inside))
    });
    let mut watch = server.watched();
    server.put("b.ics", "1", "b");
    server.version("", "c2");
    watch.sync();
    let asked = server.scripted.asked();
    assert!(asked.iter().any(|asked| asked.body.contains("/cal/work/b.ics")));
    assert!(!asked.iter().any(|asked| asked.body.contains("/cal/work/a.ics")));
}

#[test]
fn where_a_version_changes_and_no_entity_tag_does_everything_is_read() {
    let (server, mut watch, at) = clocked();
    for turn in 1..=8 {
        server.put("1.ics", "1", &format!("edit {turn}"));
        server.version("", &format!("c{turn}"));
        at(turn * 60);
        watch.sync();
        let is_read = turn <= 6;
        assert_eq!(has(&watch, &format!("edit {turn}")), is_read, "{turn}");
    }
    // A server whose versions change for no reason is not asked for everything at each sync; an hour later it is.
    at(9 * 60 + 2 * 3_600);
    server.version("", "c9");
    watch.sync();
    assert!(has(&watch, "edit 8"));
}

//! How long a CalDAV source waits after what: a server that limits requests, one that refuses the login, one that is
//! down.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reveille::time::UtcMillis;

use crate::daemon::{Daemon, undisturbed};
use crate::quirks::Server;
use crate::rehearsal::Stage;
use crate::scripted::{Asked, Reply, Scripted};
use crate::watch::{Watch, settings};

const SOON: Duration = Duration::from_secs(60);

fn found(href: &str, props: &str) -> String {
    format!(
        "<D:response><D:href>{href}</D:href><D:propstat><D:prop>{props}</D:prop>\
         <D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
    )
}

/// An account whose home `/cal/` has `count` calendars of one event each.
fn account(asked: &Asked, count: usize) -> Reply {
    let kind = "<D:resourcetype><D:collection/><C:calendar/></D:resourcetype>";
    let calendar = asked.path.trim_end_matches("one.ics");
    let event = format!("{calendar}one.ics");
    match (asked.method.as_str(), asked.path.as_str(), asked.header("depth")) {
        ("PROPFIND", "/cal/", Some("1")) => {
            let calendars =
                (0..count).map(|n| found(&format!("/cal/{n}/"), &format!("{kind}<S:getctag>1</S:getctag>")));
            Reply::multistatus(&(found("/cal/", "") + &calendars.collect::<String>()))
        }
        ("PROPFIND", _, Some("1")) => {
            Reply::multistatus(&(found(calendar, kind) + &found(&event, "<D:getetag>\"1\"</D:getetag>")))
        }
        ("PROPFIND", ..) => Reply::multistatus(&found(
            &asked.path,
            "<D:current-user-principal><D:href>/mary/</D:href></D:current-user-principal>\
             <C:calendar-home-set><D:href>/cal/</D:href></C:calendar-home-set>",
        )),
        ("REPORT", ..) => {
            let data =
                "<D:getetag>\"1\"</D:getetag><C:calendar-data>BEGIN:VCALENDAR\nEND:VCALENDAR\n</C:calendar-data>";
            Reply::multistatus(&found(&event, data))
        }
        _ => Reply::status(405),
    }
}

/// Looks once at 60 calendars on a server that answers one request each `every`, and refuses what comes sooner with
/// `refusal`.
fn under_a_limit(every: Duration, refusal: &Reply) {
    let (refusal, mut last) = (refusal.clone(), None::<Instant>);
    let server = Scripted::start(move |asked| {
        let now = Instant::now();
        if last.is_some_and(|last| now - last < every) {
            return refusal.clone();
        }
        last = Some(now);
        account(asked, 60)
    });
    let mut watch = Watch::of(&server.url, Some(("mary", "sesame")));
    let report = watch.sync();
    assert_eq!((report.calendars, watch.kept.hrefs().len()), (60, 60));
    let asked = server.asked().len();
    println!("{asked} requests for 60 calendars, with a limit of one each {every:?}");
    // Two for each calendar, and four to find them; the rest was refused.
    assert!((125..200).contains(&asked), "{asked} requests");
}

#[test]
fn a_server_that_limits_requests_is_asked_more_slowly_and_read_to_its_end() {
    under_a_limit(Duration::from_millis(150), &Reply::status(429));
    under_a_limit(Duration::from_millis(150), &Reply::status(503));
}

#[test]
fn a_pause_that_a_server_asks_for_is_kept_and_the_sync_goes_on() {
    let mut refused = false;
    let server = Scripted::start(move |asked| {
        if asked.path == "/cal/7/" && !std::mem::replace(&mut refused, true) {
            return Reply::status(429).header("Retry-After", "1");
        }
        account(asked, 20)
    });
    let began = Instant::now();
    assert_eq!(Watch::of(&server.url, None).sync().calendars, 20);
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[test]
fn a_time_limit_is_on_silence_and_not_on_an_answer_that_goes_on() {
    let server = Scripted::start(|asked| {
        let reply = account(asked, 1);
        if asked.path == "/cal/0/" { reply.slow(Duration::from_millis(200), 12) } else { reply }
    });
    let (source, mut settings) = settings(&server.url, None);
    settings.timeout = Duration::from_secs(2);
    let began = Instant::now();
    assert_eq!(Watch::with(&source, &settings).sync().calendars, 1);
    assert!(began.elapsed() > settings.timeout, "the listing alone took longer than the limit");
}

#[test]
fn a_listing_that_takes_long_to_begin_gets_more_time_each_time_until_it_comes() {
    let server = Scripted::start(|asked| {
        let reply = account(asked, 2);
        let is_listing = asked.path == "/cal/1/" && asked.header("depth") == Some("1") && asked.method == "PROPFIND";
        if is_listing { reply.slow(Duration::from_secs(5), 1) } else { reply }
    });
    let (source, mut settings) = settings(&server.url, None);
    settings.timeout = Duration::from_secs(2);
    let mut watch = Watch::with(&source, &settings);
    for limit in ["2 s", "4 s"] {
        let told = watch.try_sync().unwrap().faults;
        assert!(told.concat().contains(&format!("/cal/1/ did not answer within {limit}")), "{told:?}");
    }
    assert_eq!(watch.sync().calendars, 2, "within 8 s");
    // What came in before is not asked for again.
    let lines = server.lines();
    assert_eq!(lines.iter().filter(|line| *line == "REPORT /cal/0/ calendar-multiget").count(), 1, "{lines:?}");
}

/// A server with `count` calendars, which answers with `failure` where `fails` says so of a request.
fn failing(count: usize, failure: &Reply, fails: impl Fn(&Asked) -> bool + Send + 'static) -> Scripted {
    let failure = failure.clone();
    Scripted::start(move |asked| if fails(asked) { failure.clone() } else { account(asked, count) })
}

#[test]
fn a_calendar_that_fails_does_not_keep_the_others_from_being_read() {
    let silent = Reply::status(207).slow(Duration::from_secs(4), 1);
    for failure in [Reply::status(500), Reply::status(502), Reply::status(504), Reply::hang_up(), silent] {
        let fails = Arc::new(AtomicBool::new(true));
        let failing_now = fails.clone();
        let server = failing(5, &failure, move |asked| asked.path == "/cal/1/" && failing_now.load(Ordering::SeqCst));
        let (source, mut settings) = settings(&server.url, None);
        settings.timeout = Duration::from_secs(1);
        let mut watch = Watch::with(&source, &settings);
        for sync in 1..=2 {
            let report = watch.try_sync().unwrap();
            assert_eq!((report.calendars, watch.kept.hrefs().len()), (5, 4), "{sync}");
            assert!(!report.faults.is_empty() && report.faults.iter().all(|fault| fault.contains("/cal/1/")));
        }
        fails.store(false, Ordering::SeqCst);
        watch.sync();
        assert_eq!(watch.kept.hrefs().len(), 5, "it is tried again at the next sync");
    }
}

#[test]
fn calendars_that_fail_one_after_the_other_end_a_sync_unless_they_did_so_before() {
    let long = ["/cal/0/", "/cal/1/", "/cal/2/", "/cal/3/"];
    let server = failing(9, &Reply::status(502), move |asked| long.contains(&asked.path.as_str()));
    let listed = || {
        let is_listing = |asked: &Asked| asked.header("depth") == Some("1") && asked.path != "/cal/";
        let listings = server.asked().into_iter().filter(|asked| asked.method == "PROPFIND" && is_listing(asked));
        listings.map(|asked| asked.path).collect::<Vec<_>>()
    };
    let mut watch = Watch::of(&server.url, None);
    assert!(watch.failure().contains("/cal/2/ is not available now (502)"));
    assert_eq!(listed(), long[..3]);
    // The others are read first. Of those that fail for long not all are tried at each sync, and each of them at some.
    for tried in [vec![3, 4, 5, 6, 7, 8, 0, 1, 2], vec![3, 0, 1]] {
        let report = watch.try_sync().unwrap();
        assert!(long.iter().all(|path| report.faults.concat().contains(path)), "{report:?}");
        assert_eq!(listed(), tried.iter().map(|n| format!("/cal/{n}/")).collect::<Vec<_>>());
        assert_eq!(watch.kept.hrefs().len(), 5);
    }
}

#[test]
fn a_refused_login_and_a_wish_to_be_left_alone_end_a_sync_at_once() {
    let wish = Reply::status(503).header("Retry-After", "3600");
    for (failure, told) in [(Reply::status(401), "(401)"), (wish, "(503)")] {
        let server = failing(5, &failure, |asked| asked.path == "/cal/1/");
        let mut watch = Watch::of(&server.url, None);
        let failed = watch.failure();
        assert!(failed.contains(told), "{failed}");
        assert_eq!(watch.kept.hrefs().len(), 1);
    }
}

/// A calendar of so many objects, which fails with 502 where one of those is asked for of which `fails` says so.
fn objects(count: usize, fails: impl Fn(usize) -> bool + Send + 'static) -> Scripted {
    Scripted::start(move |asked| {
        let number = |href: &str| href.trim_start_matches("/cal/0/").trim_end_matches(".ics").parse::<usize>().ok();
        let hrefs = asked.body.split("<D:href>").skip(1).filter_map(|rest| rest.split("</D:href>").next());
        let data = "<D:getetag>\"1\"</D:getetag><C:calendar-data>BEGIN:VCALENDAR\nEND:VCALENDAR\n</C:calendar-data>";
        match (asked.method.as_str(), asked.header("depth")) {
            ("PROPFIND", Some("1")) if asked.path == "/cal/0/" => {
                let events = (0..count).map(|n| found(&format!("/cal/0/{n}.ics"), "<D:getetag>\"1\"</D:getetag>"));
                Reply::multistatus(&(found("/cal/0/", "") + &events.collect::<String>()))
            }
            ("REPORT", _) if hrefs.clone().filter_map(number).any(&fails) => Reply::status(502),
            ("REPORT", _) => Reply::multistatus(&hrefs.map(|href| found(href, data)).collect::<String>()),
            ("GET", _) if number(&asked.path).is_some_and(&fails) => Reply::status(502),
            ("GET", _) => Reply::status(200).body("BEGIN:VCALENDAR\nEND:VCALENDAR\n"),
            _ => account(asked, 1),
        }
    })
}

#[test]
fn objects_at_which_a_server_fails_do_not_keep_the_others_from_being_read() {
    let server = objects(250, |n| n == 0 || (20..25).contains(&n));
    let mut watch = Watch::of(&server.url, None);
    let report = watch.try_sync().unwrap();
    assert_eq!((report.faults.len(), watch.kept.calendar("/cal/0/").objects.len()), (6, 244), "{report:?}");
    assert!(server.lines().len() < 60);
}

#[test]
fn a_server_that_fails_at_all_objects_is_asked_for_a_few_only() {
    let server = objects(250, |_| true);
    let mut watch = Watch::of(&server.url, None);
    let report = watch.try_sync().unwrap();
    assert_eq!((report.faults.len(), watch.kept.calendar("/cal/0/").objects.len()), (11, 0), "{report:?}");
    let lines = server.lines();
    assert_eq!(
        lines.iter().filter(|line| line.starts_with("GET") || line.starts_with("REPORT")).count(),
        4,
        "{lines:?}"
    );
}

/// A stage whose configuration also watches `mary` and `bob` on the server at `url`, each second.
fn stage(url: &str) -> Stage {
    let stage = Stage::new();
    let file = stage.path().join("reveille.toml");
    let mut text = fs::read_to_string(&file).unwrap();
    for name in ["mary", "bob"] {
        text += &format!(
            "[[source]]\nkind = \"caldav\"\nname = \"{name}\"\nurl = \"{url}\"\npoll_interval = \"1s\"\n\
             username = \"{name}\"\npassword_env = \"REVEILLE_TEST_PASSWORD\"\n"
        );
    }
    fs::write(&file, text).unwrap();
    stage
}

fn start(stage: &Stage) -> Daemon {
    Daemon::start_with(stage.path(), &["run"], &[("REVEILLE_TEST_PASSWORD", "x")])
}

/// The login of `bob`.
const BOB: &str = "Basic Ym9iOng=";

#[test]
fn a_login_that_was_refused_is_not_tried_again_soon_and_status_says_when() {
    let server = Server::start();
    server.quirk(|asked, _| (asked.header("authorization") == Some(BOB)).then(|| Reply::status(401)));
    let stage = stage(&server.scripted.url);
    let mut daemon = start(&stage);
    let told = |line: &str| line.contains("cannot be read") && line.contains("bob") && line.contains("(401)");
    assert!(daemon.log.find(SOON, told).is_some(), "{}", daemon.log.text());
    let (mut others, mut refused) = (0, 0);
    let deadline = Instant::now() + SOON;
    while others < 20 {
        assert!(Instant::now() < deadline, "{}", daemon.log.text());
        for asked in server.scripted.asked() {
            *if asked.header("authorization") == Some(BOB) { &mut refused } else { &mut others } += 1;
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    assert_eq!(refused, 1, "while mary was looked at {others} times");
    let status = stage.listing(&["status"]).remove(0);
    let source = status["sources"].as_array().unwrap().iter().find(|source| source["name"] == "bob").unwrap().clone();
    let error = source["error"].as_str().unwrap();
    assert!(error.contains("once the secret is another one, else at 20"), "{error}");
    assert!(daemon.stop(SOON).success());
}

#[test]
fn the_first_answer_after_an_outage_releases_all_sources_of_that_server() {
    let _quiet = undisturbed();
    let server = Server::start();
    let down = Arc::new(AtomicBool::new(true));
    let is_down = down.clone();
    server.quirk(move |_, _| is_down.load(Ordering::SeqCst).then(Reply::hang_up));
    let stage = stage(&server.scripted.url);
    let mut daemon = start(&stage);
    for _ in 0..2 {
        let told = |line: &str| line.contains("the source cannot be read") && line.contains("every few seconds");
        assert!(daemon.log.find(SOON, told).is_some(), "{}", daemon.log.text());
    }
    // Each sync sends its request twice. Were each source to try by itself, there would be twice as many.
    let (began, mut tries) = (Instant::now(), 0);
    while tries < 4 + 4 * 2 {
        assert!(began.elapsed() < SOON, "{tries}");
        tries += server.scripted.asked().len();
        std::thread::park_timeout(Duration::from_millis(20));
    }
    assert!(began.elapsed() > Duration::from_secs(15), "{:?}", began.elapsed());
    down.store(false, Ordering::SeqCst);
    let back = Instant::now();
    for _ in 0..2 {
        let again = daemon.log.find(SOON, |line| line.contains("the source can be read again"));
        assert!(again.is_some(), "{}", daemon.log.text());
    }
    println!("both sources were read {:?} after the server was back", back.elapsed());
    assert!(back.elapsed() < Duration::from_secs(12), "{:?}", back.elapsed());
    assert!(daemon.stop(SOON).success());
}

#[test]
fn an_account_at_which_its_server_fails_is_synced_as_often_as_another() {
    let server = Server::start();
    server.quirk(|_, _| Some(Reply::status(500)));
    let stage = stage(&server.scripted.url);
    let mut daemon = start(&stage);
    let (began, mut tries) = (Instant::now(), 0);
    while tries < 4 * 6 {
        assert!(began.elapsed() < SOON, "{tries}");
        tries += server.scripted.asked().len();
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let status = stage.listing(&["status"]).remove(0);
    let source = status["sources"].as_array().unwrap().iter().find(|source| source["name"] == "mary").unwrap();
    let at = |key: &str| UtcMillis::parse(source[key].as_str().unwrap()).unwrap().0;
    assert!(at("nextTry") - at("triedAt") < 1_500, "{source}");
    assert!(daemon.stop(SOON).success());
}

#[test]
fn a_long_first_sync_says_how_far_it_has_come_and_goes_on_there() {
    let cut = Arc::new(AtomicBool::new(true));
    let is_cut = cut.clone();
    let mut fetched = 0;
    let server = Scripted::start(move |asked| match (asked.method.as_str(), asked.header("depth")) {
        ("PROPFIND", Some("1")) if asked.path == "/cal/0/" => {
            let events = (0..2_500).map(|n| found(&format!("/cal/0/{n}.ics"), "<D:getetag>\"1\"</D:getetag>"));
            Reply::multistatus(&(found("/cal/0/", "") + &events.collect::<String>()))
        }
        ("REPORT", _) if fetched >= 1_000 && is_cut.load(Ordering::SeqCst) => Reply::status(500),
        ("REPORT", _) => {
            let hrefs = asked.body.split("<D:href>").skip(1).filter_map(|rest| rest.split("</D:href>").next());
            let data =
                "<D:getetag>\"1\"</D:getetag><C:calendar-data>BEGIN:VCALENDAR\nEND:VCALENDAR\n</C:calendar-data>";
            let objects: Vec<String> = hrefs.map(|href| found(href, data)).collect();
            fetched += objects.len();
            Reply::multistatus(&objects.concat())
        }
        ("GET", _) if is_cut.load(Ordering::SeqCst) => Reply::hang_up(),
        _ => account(asked, 1),
    });
    let stage = Stage::new();
    let file = stage.path().join("reveille.toml");
    let text = fs::read_to_string(&file).unwrap();
    let source = format!(
        "[[source]]\nkind = \"caldav\"\nname = \"mary\"\nurl = \"{}\"\npoll_interval = \"1s\"\nuser = \"mary\"\n",
        server.url
    );
    fs::write(&file, text + &source).unwrap();
    let mut daemon = start(&stage);
    let told = |line: &str| line.contains("first sync of '0': 1000 of 2500 objects");
    assert!(daemon.log.find(SOON, told).is_some(), "{}", daemon.log.text());
    let told = |line: &str| line.contains("an object could not be read");
    assert!(daemon.log.find(SOON, told).is_some(), "{}", daemon.log.text());
    let source = || stage.listing(&["status"]).remove(0)["sources"].as_array().unwrap()[1].clone();
    assert_eq!(source()["progress"], "first sync of '0': 1000 of 2500 objects");
    cut.store(false, Ordering::SeqCst);
    let deadline = Instant::now() + SOON;
    while !source()["progress"].is_null() || !source()["error"].is_null() {
        assert!(Instant::now() < deadline, "{} {}", source(), daemon.log.text());
        std::thread::park_timeout(Duration::from_millis(20));
    }
    assert!(daemon.stop(SOON).success());
}

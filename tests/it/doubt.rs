//! What a CalDAV server does not say, or says for a moment only: nothing of that is believed at once.

use reveille::source::Evidence;
use reveille::source::caldav::Looked;

use crate::quirks::{CALENDAR, COMPARE, HOME, Server, State, changed, found, status, ten, versions};
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
    assert_eq!(watch.look(), Looked { requests: 2, ..Looked::default() });
    let kept = watch.kept.calendar("/cal/work/");
    assert_eq!((kept.objects.len(), kept.evidence), (10, Some(Evidence::AllGone)), "nothing of the source is left");
    // It is not asked for by itself at each look.
    server.scripted.asked();
    watch.look();
    assert_eq!(server.scripted.lines(), [HOME]);
    assert_eq!(watch.kept.calendar("/cal/work/").absent_since, kept.absent_since);
    server.quirk(|_, _| None);
    watch.kept.counts();
    watch.look();
    assert_eq!((watch.kept.calendar("/cal/work/").absent_since, watch.kept.counts().0), (None, 0));
}

#[test]
fn an_absence_counts_for_more_where_another_calendar_is_there() {
    let (server, mut watch) = ten();
    let other = found("/cal/other/", &format!("{CALENDAR}{}", versions("t1", "c1")));
    server.with(|state| state.beside = other.clone());
    server.quirk(|asked, _| (asked.path == "/cal/other/").then(|| Reply::multistatus(&found("/cal/other/", ""))));
    watch.look();
    let mut missing = home(other);
    server.quirk(move |asked, state| match asked.path.as_str() {
        "/cal/other/" => Some(Reply::multistatus(&found("/cal/other/", ""))),
        _ => missing(asked, state),
    });
    watch.look();
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
    let looked = watch.try_look().unwrap();
    assert!(looked.faults[0].contains("/cal/work/") && looked.faults[0].contains("kept"), "{looked:?}");
    server.quirk(|_, _| Some(Reply::multistatus("")));
    assert!(watch.try_look().is_err(), "an empty answer is no listing");
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
        let looked = watch.try_look().unwrap();
        assert!(looked.faults.len() == 1 && looked.faults[0].contains(said), "{said}: {looked:?}");
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
    let looked = watch.try_look().unwrap();
    assert!(looked.faults[0].contains("name, time zone") && looked.faults[0].contains("stays"), "{looked:?}");
    let seen = watch.kept.calendar("/cal/work/").seen;
    assert_eq!((seen.name.as_str(), seen.zone.as_deref()), ("Work", Some("Europe/Vienna")));
    // What it refuses stays as well, without a word; what there is none of goes.
    server.quirk(home(partly("/cal/work/", &given, withheld, 403)));
    watch.look();
    assert_eq!(watch.kept.calendar("/cal/work/").seen, seen);
    server.quirk(home(partly("/cal/work/", &given, withheld, 404)));
    watch.look();
    assert_eq!(watch.kept.calendar("/cal/work/").seen.zone, None);
}

#[test]
fn a_new_calendar_waits_a_little_for_what_its_server_cannot_say() {
    let server = Server::start();
    let given = format!("{CALENDAR}{}", versions("t1", "c1"));
    server.quirk(home(partly("/cal/work/", &given, "<C:calendar-timezone/>", 500)));
    let mut watch = server.watch();
    for _ in 0..3 {
        let looked = watch.try_look().unwrap();
        assert!(looked.faults[0].contains("time zone") && looked.faults[0].contains("not taken in yet"), "{looked:?}");
        assert!(watch.kept.hrefs().is_empty());
    }
    watch.try_look().unwrap();
    assert_eq!(watch.kept.hrefs(), ["/cal/work/"], "a server that never says it is not waited for");
}

#[test]
fn a_right_that_is_taken_back_makes_a_calendar_absent() {
    let (server, mut watch) = ten();
    for code in [403, 404] {
        server.version(&format!("t{code}"), "c2");
        server.report(&changed("/cal/work/1.ics", "1"));
        server.quirk(move |asked, _| (asked.path == "/cal/work/").then(|| Reply::status(code)));
        let looked = watch.try_look().unwrap();
        assert!(looked.faults[0].contains(&code.to_string()), "{looked:?}");
        assert_eq!(evidence(&watch), Some(Evidence::Healthy), "{code}");
        assert_eq!(server.scripted.lines().last().map(String::as_str), Some(COMPARE));
        server.quirk(|_, _| None);
        watch.look();
        assert_eq!(evidence(&watch), None);
    }
    // Or the listing says so.
    let privileges =
        "<D:current-user-privilege-set><D:privilege><D:write/></D:privilege></D:current-user-privilege-set>";
    server.with(|state| state.props += privileges);
    assert_eq!(watch.look().calendars, 0);
    assert_eq!(evidence(&watch), Some(Evidence::Healthy));
}

#[test]
fn a_calendar_that_is_not_wanted_any_more_is_dropped_at_once() {
    let (server, watch) = ten();
    let (mut source, settings) = settings(&server.scripted.url, Some(("mary", "sesame")));
    source.calendars = vec!["other".to_owned()];
    let mut watch = Watch { kept: watch.kept, ..Watch::with(&source, &settings) };
    server.quirk(home(String::new()));
    watch.look();
    assert!(watch.kept.hrefs().is_empty(), "listed or not");
}

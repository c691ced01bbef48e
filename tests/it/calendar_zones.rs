//! Zones of calendars that their server tells only where a calendar is asked for by itself.

use std::sync::{Arc, Mutex};

use jiff::SignedDuration;
use reveille::clock::Clock;
use reveille::time::UtcMillis;

use crate::debian::DAVICAL;
use crate::quirks::{HOME, REPORT, Server, found, versions};
use crate::scripted::Reply;
use crate::watch::{Watch, settings};

const ASKED: &str = "PROPFIND /cal/work/";
/// A calendar of which a listing of its home does not say which zone it has.
const SILENT: &str = "<D:resourcetype><D:collection/><C:calendar/></D:resourcetype>";

fn timezone(id: &str) -> String {
    format!(
        "<C:calendar-timezone>BEGIN:VCALENDAR\nBEGIN:VTIMEZONE\nTZID:{id}\nEND:VTIMEZONE\nEND:VCALENDAR</C:calendar-timezone>"
    )
}

/// What a server answers of a calendar: how a home lists it, and what it says itself, or a status.
#[derive(Debug)]
struct Said {
    listed: String,
    itself: Result<String, u16>,
}

/// A server like DAViCal, a watch that has looked, and the clock.
fn davical() -> (Server, Watch, Clock, Arc<Mutex<Said>>) {
    let server = Server::start();
    server.put("a.ics", "1", "a");
    let said = Arc::new(Mutex::new(Said { listed: versions("t1", "c1"), itself: Ok(timezone("Europe/Vienna")) }));
    let shared = said.clone();
    server.quirk(move |asked, _| {
        let said = shared.lock().unwrap();
        match (asked.method.as_str(), asked.path.as_str(), asked.header("depth")) {
            ("PROPFIND", "/cal/", Some("1")) => {
                let calendar = found("/cal/work/", &format!("{SILENT}{}", said.listed));
                Some(Reply::multistatus(&(found("/cal/", "") + &calendar)))
            }
            ("PROPFIND", "/cal/work/", Some("0")) => {
                assert!(asked.body.contains("calendar-timezone"), "{asked:?}");
                Some(match &said.itself {
                    Ok(props) => Reply::multistatus(&found("/cal/work/", &format!("{SILENT}{props}"))),
                    Err(status) => Reply::status(*status),
                })
            }
            _ => None,
        }
    });
    let (source, settings) = settings(&server.scripted.url, Some(("mary", "sesame")));
    let clock = Clock::manual(UtcMillis::parse("2026-03-10T12:00:00Z").unwrap());
    let mut watch = Watch::at(&source, &settings, clock.clone());
    watch.sync();
    server.scripted.asked();
    (server, watch, clock, said)
}

fn zone(watch: &Watch) -> String {
    let zone = watch.kept.calendar("/cal/work/").seen.zone.unwrap_or_default();
    zone.lines().find_map(|line| line.strip_prefix("TZID:")).unwrap_or_default().to_owned()
}

#[test]
fn a_zone_that_the_home_does_not_list_is_asked_of_the_calendar_once() {
    let (server, mut watch, clock, said) = davical();
    assert_eq!(zone(&watch), "Europe/Vienna");
    watch.sync();
    assert_eq!(server.scripted.lines(), [HOME], "an unchanged poll is one request");
    assert_eq!(zone(&watch), "Europe/Vienna");
    // What changed may have another zone.
    said.lock().unwrap().itself = Ok(timezone("Europe/Berlin"));
    said.lock().unwrap().listed = versions("t2", "c2");
    watch.sync();
    assert_eq!(server.scripted.lines()[..3], [HOME, ASKED, REPORT]);
    assert_eq!(zone(&watch), "Europe/Berlin");
    // Another zone alone is not marked: it is asked for again once a day.
    said.lock().unwrap().itself = Ok(String::new());
    watch.sync();
    assert_eq!((server.scripted.lines(), zone(&watch).as_str()), (vec![HOME.to_owned()], "Europe/Berlin"));
    clock.set(clock.now().saturating_add(SignedDuration::from_hours(25)));
    watch.sync();
    assert_eq!(zone(&watch), "", "nobody has chosen one any more");
}

#[test]
fn a_calendar_made_again_between_two_syncs_has_its_own_zone_although_its_versions_are_the_same() {
    let (server, watch, _, said) = davical();
    said.lock().unwrap().itself = Err(500);
    let mut watch = watch.restarted(&server.scripted.url, Some(("mary", "sesame")));
    watch.try_sync().unwrap();
    assert_eq!(zone(&watch), "Europe/Vienna", "what cannot be asked for stays");
    said.lock().unwrap().itself = Ok(timezone("Europe/Berlin"));
    watch.sync();
    assert_eq!(zone(&watch), "Europe/Berlin");
}

#[test]
fn a_zone_that_cannot_be_asked_for_now_stays_what_it_was() {
    let (server, mut watch, _, said) = davical();
    said.lock().unwrap().listed = versions("t2", "c2");
    said.lock().unwrap().itself = Err(500);
    let report = watch.try_sync().unwrap();
    assert!(report.faults[0].contains("time zone") && report.faults[0].contains("/cal/work/"), "{report:?}");
    assert_eq!(zone(&watch), "Europe/Vienna");
    // It is asked again at the next sync, although nothing has changed since.
    said.lock().unwrap().itself = Ok(timezone("Europe/Berlin"));
    server.scripted.asked();
    watch.sync();
    assert_eq!(zone(&watch), "Europe/Berlin");
    assert!(server.scripted.lines().contains(&ASKED.to_owned()));
}

#[test]
fn a_zone_that_is_refused_stays_what_it_was_and_one_that_was_never_given_is_none() {
    let (server, mut watch, _, said) = davical();
    for (n, code) in [403, 404].into_iter().enumerate() {
        said.lock().unwrap().listed = versions(&format!("t{}", n + 2), "c2");
        said.lock().unwrap().itself = Err(code);
        let report = watch.try_sync().unwrap();
        assert!(report.faults[0].contains("time zone"), "{report:?}");
        assert_eq!(zone(&watch), "Europe/Vienna", "{code}");
    }
    // Whom it never told, it is not asked for at each sync.
    let mut watch = server.watch();
    watch.sync();
    assert_eq!(zone(&watch), "");
    server.scripted.asked();
    watch.sync();
    assert_eq!(server.scripted.lines(), [HOME]);
}

#[test]
fn on_davical_a_calendars_zone_is_known() {
    let Some(account) = DAVICAL.account() else { return };
    let vtimezone = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\nBEGIN:VTIMEZONE\r\nTZID:Asia/Tokyo\r\n\
        BEGIN:STANDARD\r\nDTSTART:19700101T000000\r\nTZOFFSETFROM:+0900\r\nTZOFFSETTO:+0900\r\nEND:STANDARD\r\n\
        END:VTIMEZONE\r\nEND:VCALENDAR\r\n";
    let set = format!(
        "<?xml version=\"1.0\"?><D:propertyupdate xmlns:D=\"DAV:\" xmlns:C=\"urn:ietf:params:xml:ns:caldav\"><D:set>\
         <D:prop><C:calendar-timezone>{vtimezone}</C:calendar-timezone></D:prop></D:set></D:propertyupdate>"
    );
    let answer = account.client.send("PROPPATCH", account.work, &[("Content-Type", "application/xml")], &set);
    assert_eq!(answer.status, 207, "{answer:?}");
    let url = format!("{}{}", account.url.trim_end_matches('/'), account.home);
    let mut watch = Watch::of(&url, account.login);
    watch.sync();
    let zone = watch.kept.calendar(account.work).seen.zone.unwrap_or_default();
    assert!(zone.contains("TZID:Asia/Tokyo"), "{zone}");
    watch.sync();
    assert_eq!(watch.sync().requests, 1, "an unchanged poll is one request");
}

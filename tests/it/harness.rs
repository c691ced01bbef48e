//! The harness itself: servers start, answer, stop, start again with what they held, and go away.

use std::net::TcpStream;
use std::time::Duration;

use crate::daemon::Daemon;
use crate::debian::{DAVICAL, SOGO};
use crate::http::Http;
use crate::servers::{Radicale, Xandikos, certificates};
use crate::venv::Venv;

const SOON: Duration = Duration::from_secs(30);
const EVENT: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\nBEGIN:VEVENT\r\nUID:one\r\n\
    DTSTAMP:20260101T000000Z\r\nDTSTART:20260310T120000Z\r\nSUMMARY:One\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

#[test]
fn radicale_keeps_what_a_client_puts_and_asks_for_the_password() {
    let Some(venv) = Venv::or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut radicale = Radicale::start(venv, folder.path(), &[("mary", "secret")]);
    let mary = Http::new(&radicale.url(), Some(("mary", "secret")));
    mary.mkcalendar("/mary/work/", "Work");
    mary.put("/mary/work/one.ics", EVENT);
    assert!(mary.propfind("/mary/work/", "1", "<D:getetag/>").contains("/mary/work/one.ics"));
    assert_eq!(Http::new(&radicale.url(), None).send("GET", "/mary/work/", &[], "").status, 401);
    assert!(radicale.log().iter().any(|line| line.contains("PUT request")), "{:?}", radicale.log());

    radicale.stop();
    radicale.start_again();
    mary.delete("/mary/work/one.ics");
    assert!(!mary.propfind("/mary/work/", "1", "<D:getetag/>").contains("one.ics"));
    let address = radicale.url().trim_start_matches("http://").trim_end_matches('/').to_owned();
    drop(radicale);
    assert!(TcpStream::connect(address).is_err(), "radicale outlived its handle");
}

#[test]
fn xandikos_keeps_what_a_client_puts() {
    let Some(venv) = Venv::or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut xandikos = Xandikos::start(venv, folder.path());
    let alice = Http::new(&xandikos.url(), None);
    alice.put("/alice/calendars/calendar/one.ics", EVENT);
    xandikos.stop();
    xandikos.start_again();
    assert!(alice.propfind("/alice/calendars/calendar/", "1", "<D:getetag/>").contains("one.ics"));
}

#[test]
fn certificates_are_made() {
    let Some(venv) = Venv::or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    certificates(venv, folder.path());
    for name in ["ca.pem", "server.pem", "server.key"] {
        assert!(std::fs::read_to_string(folder.path().join(name)).unwrap().starts_with("-----BEGIN"), "{name}");
    }
}

#[test]
fn the_program_runs_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(folder.path(), &["--version"]);
    assert!(daemon.wait(SOON).success(), "{}", daemon.log.text());
}

#[test]
fn sogo_and_davical_keep_what_a_client_puts_and_ask_for_the_password() {
    for kind in [&SOGO, &DAVICAL] {
        let Some(account) = kind.account() else { continue };
        account.put("one.ics", EVENT);
        let listed = || account.client.propfind(account.work, "1", "<D:getetag/>").contains("one.ics");
        assert!(listed(), "{}", kind.name);
        account.delete("one.ics");
        assert!(!listed(), "{}", kind.name);
        let stranger = Http::new(&account.url, Some((account.login.unwrap().0, "wrong")));
        assert_eq!(stranger.send("PROPFIND", account.work, &[("Depth", "0")], "").status, 401, "{}", kind.name);
    }
}

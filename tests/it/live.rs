//! Reveille beside SOGo, DAViCal, Cyrus and sabre/dav: written to at full speed while they are looked at, and asked for
//! what is somebody else's.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use jiff::SignedDuration;
use reveille::clock::Clock;
use reveille::time::UtcMillis;
use rustix::process::{Signal, kill_process};

use crate::account::Account;
use crate::armed::{Armed, Timers};
use crate::daemon::{Daemon, undisturbed};
use crate::debian::{CYRUS, DAVICAL, Kind, SABRE, SOGO};
use crate::http::Http;
use crate::process::Lines;
use crate::rehearsal::{Stage, event};
use crate::watch::Watch;

/// The daemon looks each second: what was written is known after a few syncs.
const KNOWN_WITHIN: Duration = Duration::from_secs(8);
/// What no report of DAViCal tells is found when a calendar has been at rest for 5 s.
const SETTLED_WITHIN: Duration = Duration::from_secs(15);
/// Longer than anything takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const DAY: i64 = 86_400_000;
/// How many objects are written at full speed.
const BURST: usize = 150;

/// A daemon that syncs at `account` each second, and what it should have armed.
struct Watched {
    account: Account,
    daemon: Daemon,
    armed: Armed,
    wanted: Timers,
    /// Events are counted in minutes from here; none fires in the test.
    base: UtcMillis,
    _folder: tempfile::TempDir,
}

impl Watched {
    fn start(account: Account) -> Watched {
        let folder = tempfile::tempdir().unwrap();
        configure(folder.path(), &account, account.home);
        let daemon = Daemon::start(folder.path(), &["run"]);
        let report = daemon.log.find(PATIENCE, |line| line.contains("sync finished"));
        assert!(report.is_some(), "{}", daemon.log.text());
        let armed = Armed::of(&folder.path().join("ledger.db"));
        let base = UtcMillis((Clock::System.now().0 + 2 * DAY) / 60_000 * 60_000);
        Watched { account, daemon, armed, wanted: Timers::new(), base, _folder: folder }
    }

    /// PUTs the event `name` so that its alarm fires `minutes` after the base.
    fn put(&mut self, name: &str, minutes: usize) {
        let at = self.base.saturating_add(SignedDuration::from_mins(i64::try_from(minutes).unwrap()));
        self.account.put(&format!("{name}.ics"), &event(name, &at.basic(), name));
        self.wanted.insert(name.to_owned(), at);
    }

    fn delete(&mut self, name: &str) {
        self.account.delete(&format!("{name}.ics"));
        self.wanted.remove(name);
    }

    /// Waits until what is wanted is armed, and says how long that took.
    fn known(&mut self) -> Duration {
        self.known_within(KNOWN_WITHIN)
    }

    fn known_within(&mut self, within: Duration) -> Duration {
        let log = self.daemon.log.clone();
        self.armed.until(&self.wanted, within, || log.text())
    }
}

/// Writes a configuration into `folder` that looks each second at `path`, as the user of `account`.
fn configure(folder: &Path, account: &Account, path: &str) {
    let (username, password) = account.login.unwrap();
    let (url, file) = (url(account, path), folder.join("password"));
    let path = folder.display();
    fs::write(&file, password).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let text = format!(
        "[ledger]\nurl = \"sqlite://{path}/ledger.db\"\n[[source]]\nkind = \"caldav\"\nname = \"home\"\nurl = \"{url}\"\n\
         username = \"{username}\"\npassword_file = \"{path}/password\"\npoll_interval = \"1s\"\n\
         [[sink]]\nkind = \"file\"\npath = \"{path}/alarms.jsonl\"\n"
    );
    fs::write(folder.join("reveille.toml"), text).unwrap();
}

fn url(account: &Account, path: &str) -> String {
    format!("{}{path}", account.url.trim_end_matches('/'))
}

/// SOGo's versions are seconds: many are written, moved and deleted at full speed while the daemon looks, again and
/// again under the same names. Nothing is missing and nothing is stale afterwards.
#[test]
fn on_sogo_what_is_written_at_full_speed_is_known_after_a_few_syncs() {
    let Some(account) = SOGO.account() else { return };
    let _quiet = undisturbed();
    let mut watched = Watched::start(account);
    let name = |number: usize| format!("burst{number}");
    for round in 0..3 {
        let start = round * 10_000;
        (0..BURST).for_each(|number| watched.put(&name(number), start + number));
        let put = watched.known();
        (0..BURST).for_each(|number| watched.put(&name(number), start + number + 1_000));
        let moved = watched.known();
        (0..BURST).for_each(|number| watched.delete(&name(number)));
        let deleted = watched.known();
        println!("SOGo: {BURST} put, moved, deleted: known after {put:?}, {moved:?}, {deleted:?}");
    }
}

/// What is another user's, or nobody's, is an error or nothing, and never the account of the login.
fn what_is_somebody_elses(kind: &'static Kind) {
    let (Some(owner), Some(guest)) = (kind.account(), kind.account()) else { return };
    for (account, name) in [(&owner, "theirs"), (&guest, "own")] {
        account.put(&format!("{name}.ics"), &event(name, "20300310T120000Z", name));
    }
    let user = owner.login.unwrap().0;
    let principal = format!("{}/", owner.home.split_inclusive(user).next().unwrap());
    let nobody = owner.home.replace(user, "nobody");
    for path in [owner.work, owner.home, &principal, &nobody] {
        let mut watch = Watch::of(&url(&guest, path), guest.login);
        let said = match watch.try_sync() {
            // SOGo shows who else has an account, and an empty home.
            Ok(report) => format!("{} calendars", report.calendars),
            Err(error) => error.to_string(),
        };
        println!("{} {path}: {said}", kind.name);
        assert!(watch.kept.hrefs().is_empty(), "{} {path}: {:?}", kind.name, watch.kept.hrefs());
        // Cyrus redirects to another spelling.
        let named = said.contains(user) || said.contains("nobody");
        assert!(named || (path == principal && said == "0 calendars"), "{} {path}: {said}", kind.name);
    }
}

#[test]
fn on_sogo_what_is_somebody_elses_is_not_watched_and_the_own_account_is_not_instead() {
    what_is_somebody_elses(&SOGO);
}

#[test]
fn on_davical_what_is_somebody_elses_is_not_watched_and_the_own_account_is_not_instead() {
    what_is_somebody_elses(&DAVICAL);
}

/// Lets `guest` read the calendar `work` of `owner`, or no longer.
pub fn share(kind: &Kind, owner: &Account, guest: &Account, may: bool) {
    let (user, reader) = (owner.login.unwrap().0, guest.login.unwrap().0);
    let (method, path, headers, bodies) = match kind.name {
        // Members of a group of its own read what a user has.
        "sabre/dav" => {
            let path = format!("/principals/{user}/calendar-proxy-read/");
            let member = if may { format!("<D:href>/principals/{reader}/</D:href>") } else { String::new() };
            let body = format!(
                r#"<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><D:group-member-set>{member}</D:group-member-set></D:prop></D:set></D:propertyupdate>"#
            );
            ("PROPPATCH", path, vec![], vec![body])
        }
        "SOGo" => {
            let query = |inner: &str| {
                format!(r#"<acl-query xmlns="urn:inverse:params:xml:ns:inverse-dav">{inner}</acl-query>"#)
            };
            let add = query(&format!(r#"<add-user user="{reader}"/>"#));
            let roles = query(&format!(
                r#"<set-roles user="{reader}"><PublicViewer/><PrivateViewer/><ConfidentialViewer/></set-roles>"#
            ));
            let remove = query(&format!(r#"<remove-user user="{reader}"/>"#));
            ("POST", owner.work.to_owned(), vec![], if may { vec![add, roles] } else { vec![remove] })
        }
        // PHP's own server does not know the method.
        _ => {
            let privilege = if may { "<D:privilege><D:read/></D:privilege>" } else { "" };
            let acl = format!(
                r#"<D:acl xmlns:D="DAV:"><D:ace><D:principal><D:href>{}</D:href></D:principal>
                <D:grant>{privilege}</D:grant></D:ace></D:acl>"#,
                guest.home
            );
            ("POST", owner.work.to_owned(), vec![("X-HTTP-Method-Override", "ACL")], vec![acl])
        }
    };
    for body in bodies {
        let headers = [&headers[..], &[("Content-Type", "application/xml; charset=utf-8")]].concat();
        let answer = owner.client.send(method, &path, &headers, &body);
        assert!(answer.status < 300 && !answer.body.contains(" 403 "), "{}: {answer:?}", kind.name);
    }
}

/// A calendar that is another user's is known to be so, and `shared` holds for it.
fn a_calendar_of_another(kind: &'static Kind) {
    let (Some(owner), Some(guest)) = (kind.account(), kind.account()) else { return };
    let stage = Stage::new();
    let now = Clock::System.now();
    let start = now.saturating_add(SignedDuration::from_hours(2)).basic();
    owner.put("shown.ics", &event("shown", &start, "shown"));
    share(kind, &owner, &guest, true);
    for (shared, armed) in [("ring", 1), ("own-alarms", 0), ("ring", 1), ("off", 0)] {
        configure(stage.path(), &guest, owner.work);
        let file = stage.path().join("reveille.toml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("[[sink]]", &format!("shared = \"{shared}\"\n[[sink]]"))).unwrap();
        stage.pass(&now.to_string());
        let until = now.saturating_add(SignedDuration::from_hours(3)).to_string();
        assert_eq!(stage.listing(&["alarms", "--until", &until]).len(), armed, "{}: {shared}", kind.name);
        let listed = stage.listing(&["calendars"]).remove(0);
        assert_eq!((&listed["calendarOwner"], &listed["shared"]), (&owner.login.unwrap().0.into(), &shared.into()));
    }
}

#[test]
fn on_davical_the_alarms_of_a_shared_calendar_fire_as_the_configuration_says() {
    a_calendar_of_another(&DAVICAL);
}

#[test]
fn on_sogo_the_alarms_of_a_shared_calendar_fire_as_the_configuration_says() {
    a_calendar_of_another(&SOGO);
}

/// A right that is taken back does not silence what is known before a day of refusals has passed; then the calendar
/// ends.
fn a_right_taken_back(kind: &'static Kind) {
    let (Some(owner), Some(guest)) = (kind.account(), kind.account()) else { return };
    let stage = Stage::new();
    configure(stage.path(), &guest, owner.work);
    let now = Clock::System.now();
    let after = |hours: i64| now.saturating_add(SignedDuration::from_hours(hours));
    for (name, hours) in [("first", 2), ("second", 20), ("never", 60)] {
        owner.put(&format!("{name}.ics"), &event(name, &after(hours).basic(), name));
    }
    share(kind, &owner, &guest, true);
    stage.pass(&after(1).to_string());
    share(kind, &owner, &guest, false);
    let refused = |hours: i64| {
        let said = stage.reveille(&["run", "--once", "--at", &after(hours).to_string()]);
        let log = String::from_utf8(said.stderr).unwrap();
        assert_eq!(said.status.code(), Some(1), "{}: {log}", kind.name);
        log
    };
    let fired = || stage.fired().iter().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect::<Vec<_>>();
    refused(3);
    refused(21);
    assert_eq!(fired(), ["first", "second"], "{}", kind.name);
    let log = refused(30);
    assert!(log.contains("WARN") && log.contains(owner.work), "{}: {log}", kind.name);
    refused(70);
    assert_eq!(fired(), ["first", "second"], "{}", kind.name);
    assert!(stage.listing(&["calendars"]).is_empty(), "{}", kind.name);
}

#[test]
fn on_sogo_a_right_taken_back_ends_the_calendar_after_a_day() {
    a_right_taken_back(&SOGO);
}

#[test]
fn on_davical_a_right_taken_back_ends_the_calendar_after_a_day() {
    a_right_taken_back(&DAVICAL);
}

#[test]
fn on_cyrus_what_is_somebody_elses_is_not_watched_and_the_own_account_is_not_instead() {
    what_is_somebody_elses(&CYRUS);
}

#[test]
fn on_sabre_what_is_somebody_elses_is_not_watched_and_the_own_account_is_not_instead() {
    what_is_somebody_elses(&SABRE);
}

/// DAViCal marks a change with when its writing began, and a token with when it was asked for: what is being written at
/// that moment is in no report.
#[test]
fn on_davical_what_was_being_written_while_it_looked_is_known_a_little_later() {
    let Some(server) = DAVICAL.server() else { return };
    let mut watched = Watched::start(DAVICAL.account().unwrap());
    // A report that names half of a calendar is not believed anyhow, nor is an empty one.
    ["slow", "quick", "next", "a", "b", "c", "d", "e", "f"].iter().for_each(|name| watched.put(name, 1));
    watched.known();
    let mut rival = Command::new("psql")
        .args(["--no-psqlrc", "--tuples-only", "--host=127.0.0.1", "--username=postgres", "davical"])
        .arg(format!("--port={}", server.second_port))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut orders, said) = (rival.stdin.take().unwrap(), Lines::of(rival.stdout.take().unwrap()));
    let path = format!("{}slow.ics", watched.account.work.trim_start_matches("/caldav.php"));
    writeln!(orders, "BEGIN; SELECT dav_name FROM caldav_data WHERE dav_name = '{path}' FOR UPDATE;").unwrap();
    assert!(said.find(PATIENCE, |line| line.contains(&path)).is_some(), "{}", said.text());

    let at = watched.base.saturating_add(SignedDuration::from_mins(1_000));
    let (url, login) = (watched.account.url.clone(), watched.account.login);
    let path = format!("{}slow.ics", watched.account.work);
    let slow = std::thread::spawn(move || Http::new(&url, login).put(&path, &event("slow", &at.basic(), "slow")));
    // It has begun once it waits for the row.
    let waits =
        "SELECT 'it waits' FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ILIKE '%caldav_data%';";
    let waiting = || {
        writeln!(orders, "SELECT pg_stat_clear_snapshot(); {waits} SELECT 'asked';").unwrap();
        said.find(PATIENCE, |line| line.contains("it waits") || line.contains("asked")).unwrap().contains("it waits")
    };
    crate::faults::wait_until(waiting, || said.text());
    // A sync that finds something gets a token from after the beginning of what is still being written.
    watched.put("quick", 2);
    watched.known();
    kill_process(watched.daemon.pid(), Signal::STOP).unwrap();
    writeln!(orders, "COMMIT;").unwrap();
    slow.join().unwrap();
    watched.wanted.insert("slow".to_owned(), at);
    watched.put("next", 3);
    kill_process(watched.daemon.pid(), Signal::CONT).unwrap();
    println!("DAViCal: what was being written is known after {:?}", watched.known_within(SETTLED_WITHIN));
    drop(orders);
    rival.wait().unwrap();
}

#[test]
fn on_davical_the_zone_of_a_calendar_places_what_floats() {
    let Some(account) = DAVICAL.account() else { return };
    let zone = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\nBEGIN:VTIMEZONE\r\nTZID:Asia/Tokyo\r\n\
        BEGIN:STANDARD\r\nDTSTART:19510101T000000\r\nTZOFFSETFROM:+0900\r\nTZOFFSETTO:+0900\r\nTZNAME:JST\r\n\
        END:STANDARD\r\nEND:VTIMEZONE\r\nEND:VCALENDAR\r\n";
    let body = format!(
        r#"<D:propertyupdate xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:set><D:prop><C:calendar-timezone>{zone}
        </C:calendar-timezone></D:prop></D:set></D:propertyupdate>"#
    );
    let headers = [("Content-Type", "application/xml; charset=utf-8")];
    let answer = account.client.send("PROPPATCH", account.work, &headers, &body);
    assert_eq!(answer.status, 207, "{answer:?}");
    let listed = account.client.propfind(account.home, "1", "<C:calendar-timezone/>");
    assert!(!listed.contains("Asia/Tokyo"), "a listing has it after all: {listed}");
    account.put("floats.ics", &event("floats", "20300310T120000", "floats"));
    for path in [account.home, account.work] {
        let stage = Stage::new();
        configure(stage.path(), &account, path);
        stage.pass("2026-03-10T11:00:00Z");
        let due = Armed::of(&stage.path().join("ledger.db")).now()["floats"];
        assert_eq!(due.basic(), "20300310T030000Z", "{path}");
    }
}

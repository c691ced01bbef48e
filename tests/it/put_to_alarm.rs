//! From a calendar client's PUT to the alarm: the daemon beside real servers, on the wall clock.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use jiff::SignedDuration;
use reveille::clock::Clock;
use reveille::time::UtcMillis;
use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::account::{Account, radicale, radicale_alone, xandikos};
use crate::daemon::{Daemon, undisturbed};
use crate::rehearsal::event;
use crate::venv::Venv;

/// Longer than anything takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// An alarm that is delivered later than this is not on time; a busy machine may be a little late.
const ON_TIME: i64 = 3_000;

/// The daemon beside an account.
struct Watched {
    account: Account,
    daemon: Daemon,
    folder: tempfile::TempDir,
}

impl Watched {
    fn start(account: Account) -> Watched {
        let folder = configured(&account);
        let daemon = Daemon::start(folder.path(), &["run"]);
        let watched = Watched { account, daemon, folder };
        watched.expect_sync(0);
        watched
    }

    /// PUTs an event with an alarm at its start, `seconds` ahead, and returns when that is.
    fn put(&self, name: &str, seconds: i64, summary: &str) -> UtcMillis {
        let at = UtcMillis((Clock::System.now().0 / 1_000 + seconds) * 1_000);
        self.put_at(name, at, summary);
        at
    }

    fn put_at(&self, name: &str, at: UtcMillis, summary: &str) {
        self.account.put(&format!("{name}.ics"), &event(name, &at.basic(), summary));
    }

    /// Waits for the sync that finds `changes`.
    fn expect_sync(&self, changes: usize) {
        let found = |line: &str| line.contains("sync finished") && line.contains(&format!("changes={changes}"));
        let Some(_) = self.daemon.log.find(PATIENCE, found) else {
            panic!("no sync found {changes} changes:\n{}", self.daemon.log.text())
        };
    }

    /// Waits for the next alarm, which must be `summary` at `at`, on time.
    fn expect_alarm(&self, summary: &str, at: UtcMillis) {
        let line = self.daemon.expect(PATIENCE, |_| true);
        let lateness = Clock::System.now().0 - at.0;
        let alarm: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((alarm["summary"].as_str(), alarm["alarmTime"].as_str()), (Some(summary), Some(&*at.basic())));
        assert!((0..ON_TIME).contains(&lateness), "delivered {lateness} ms after its time");
    }

    /// The summaries of the firings in the ledger, in order.
    fn fired(mut self) -> Vec<String> {
        assert!(self.daemon.stop(PATIENCE).success(), "{}", self.daemon.log.text());
        let mut listing = Daemon::start(self.folder.path(), &["--json", "firings"]);
        listing.wait(PATIENCE);
        let summary =
            |line: String| serde_json::from_str::<Value>(&line).unwrap()["summary"].as_str().map(str::to_owned);
        listing.out.all().into_iter().filter_map(summary).collect()
    }
}

/// A folder with a configuration that watches `account`.
fn configured(account: &Account) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    let mut login = String::new();
    if let Some((username, password)) = account.login {
        let file = folder.path().join("password");
        fs::write(&file, password).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        login = format!("username = \"{username}\"\npassword_file = \"{path}/password\"\n");
    }
    let text = format!(
        "[ledger]\nurl = \"sqlite://{path}/ledger.db\"\n[[source]]\nkind = \"caldav\"\nname = \"home\"\n\
         url = \"{}\"\n{login}poll_interval = \"1s\"\n[[sink]]\nkind = \"stdout\"\n",
        account.url
    );
    fs::write(folder.path().join("reveille.toml"), text).unwrap();
    folder
}

fn edited_moved_and_deleted(account: Account) {
    let _quiet = undisturbed();
    let watched = Watched::start(account);
    let soon = watched.put("edited", 5, "edited");
    watched.expect_sync(1);
    watched.put("deleted", 12, "deleted");
    watched.expect_sync(1);
    watched.account.delete("deleted.ics");
    watched.expect_sync(1);
    watched.expect_alarm("edited", soon);

    watched.put_at("edited", soon, "edited after it fired");
    watched.expect_sync(1);
    let before = watched.put("moved", 12, "moved");
    watched.expect_sync(1);
    let after = before.saturating_add(SignedDuration::from_secs(2));
    watched.put_at("moved", after, "moved");
    watched.expect_sync(1);
    assert!(Clock::System.now() < before, "the machine is too busy for this test");
    watched.expect_alarm("moved", after);
    // Whatever was wrongly left in the wheel was due before this one.
    let last = watched.put("last", 12, "last");
    watched.expect_alarm("last", last);
    assert_eq!(watched.fired(), ["edited", "moved", "last"]);
}

#[test]
fn on_radicale_an_alarm_follows_its_event() {
    let Some(venv) = Venv::or_skip() else { return };
    edited_moved_and_deleted(radicale(venv));
}

#[test]
fn on_xandikos_an_alarm_follows_its_event() {
    let Some(venv) = Venv::or_skip() else { return };
    edited_moved_and_deleted(xandikos(venv));
}

#[test]
fn what_is_known_fires_while_the_server_is_down() {
    let Some(venv) = Venv::or_skip() else { return };
    let _quiet = undisturbed();
    let mut watched = Watched::start(radicale_alone(venv));
    let known = watched.put("known", 8, "known");
    watched.expect_sync(1);
    watched.account.stop();
    let is_logged = |line: &str| line.contains("cannot be read") && line.contains("stay scheduled");
    assert!(watched.daemon.log.find(PATIENCE, is_logged).is_some(), "{}", watched.daemon.log.text());
    watched.expect_alarm("known", known);

    watched.account.start_again();
    let next = watched.put("next", 6, "next");
    // It waits longer and longer before it asks again; this makes it sync now.
    kill_process(watched.daemon.pid(), Signal::USR1).unwrap();
    watched.expect_sync(1);
    watched.expect_alarm("next", next);
    assert_eq!(watched.fired(), ["known", "next"]);
}

/// Sets a property of the calendar, as a client does.
fn set(account: &Account, name: &str, value: &str) {
    let body = format!(
        r#"<D:propertyupdate xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:set><D:prop><C:{name}>{value}</C:{name}>
        </D:prop></D:set></D:propertyupdate>"#
    );
    let headers = [("Content-Type", "application/xml; charset=utf-8")];
    assert_eq!(account.client.send("PROPPATCH", account.work, &headers, &body).status, 207);
}

#[test]
fn rule_19_default_alarms_fire_where_the_source_wants_them() {
    let Some(venv) = Venv::or_skip() else { return };
    let account = radicale(venv);
    let alarm = |trigger: &str| format!("BEGIN:VALARM\r\nACTION:DISPLAY\r\nTRIGGER:{trigger}\r\nEND:VALARM\r\n");
    set(&account, "default-alarm-vevent-datetime", &alarm("-PT10M"));
    let own = event("own", "20260310T120000Z", "own");
    let (head, rest) = own.split_once("BEGIN:VALARM").unwrap();
    let bare = format!("{head}{}", rest.split_once("END:VALARM\r\n").unwrap().1).replace("own", "bare");
    account.put("own.ics", &own);
    account.put("bare.ics", &bare);
    for (wanted, fired) in [("false", "own 20260310T120000Z"), ("true", "bare 20260310T115000Z\nown 20260310T120000Z")]
    {
        let stage = crate::rehearsal::Stage::new();
        let folder = stage.path().display().to_string();
        let (name, password) = account.login.unwrap();
        fs::write(stage.path().join("password"), password).unwrap();
        fs::set_permissions(stage.path().join("password"), fs::Permissions::from_mode(0o600)).unwrap();
        let text = format!(
            "[ledger]\nurl = \"sqlite://{folder}/ledger.db\"\n[[source]]\nkind = \"caldav\"\nurl = \"{}\"\n\
             username = \"{name}\"\npassword_file = \"{folder}/password\"\ndefault_alarms = {wanted}\n\
             [[sink]]\nkind = \"file\"\npath = \"{folder}/alarms.jsonl\"\n",
            account.url
        );
        fs::write(stage.path().join("reveille.toml"), text).unwrap();
        stage.pass("2026-03-10T11:00:00Z");
        // What the server says of when it was written is later than all this; what was armed before stays.
        stage.pass("2026-03-10T12:00:00Z");
        let alarms = stage.alarms();
        let word = |alarm: &Value, key: &str| alarm[key].as_str().unwrap().to_owned();
        let all: Vec<String> =
            alarms.iter().map(|alarm| format!("{} {}", word(alarm, "summary"), word(alarm, "alarmTime"))).collect();
        assert_eq!(all.join("\n"), fired);
    }
}

#[test]
fn check_logs_in_and_says_what_it_finds() {
    let Some(venv) = Venv::or_skip() else { return };
    let account = radicale(venv);
    let folder = configured(&account);
    let found = || {
        let mut check = Daemon::start(folder.path(), &["--json", "check"]);
        let ended = check.wait(PATIENCE);
        let findings = check.out.all().into_iter().map(|line| serde_json::from_str::<Value>(&line).unwrap());
        let found = findings.filter(|finding| finding["kind"] == "caldav").map(|finding| finding["found"].to_string());
        (ended.code(), found.collect::<String>())
    };
    let (code, said) = found();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("1 of 1 calendars watched: Work") && said.contains("change reports"), "{said}");
    fs::write(folder.path().join("password"), "wrong").unwrap();
    let (code, said) = found();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("401") && said.contains("password_file"), "{said}");
}

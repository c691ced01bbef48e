//! What users, administrators and accidents do to a calendar server, as one list of steps that each server goes through
//! while a daemon looks at it each second. After each step the alarms that the ledger has armed are exactly those that
//! the calendars call for.
//!
//! * [`stores`] are the servers: Radicale, Xandikos, Cyrus, DAViCal, SOGo, and sabre/dav by Digest, each of its own.
//! * [`dialect`] is a server in memory that answers as RustiCal and Stalwart were recorded to.
//!
//! A step that a server cannot take is named there with the reason, and printed.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use reveille::clock::Clock;
use reveille::time::UtcMillis;
use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::account::Account;
use crate::armed::{Armed, Timers};
use crate::daemon::Daemon;
use crate::faults::wait_until;
use crate::rehearsal::event;

mod dialect;
mod stores;

/// A user's name and password.
pub type Login = (&'static str, &'static str);

/// A calendar server of one's own.
pub trait Store {
    fn name(&self) -> &'static str;

    /// The account that is watched, with its calendar `work`.
    fn account(&self) -> &Account;

    /// The address at which the daemon finds the account.
    fn url(&self) -> String {
        let account = self.account();
        format!("{}{}", account.url.trim_end_matches('/'), account.home)
    }

    /// The steps that it cannot take, each with the reason.
    fn cannot(&self) -> &'static [(&'static str, &'static str)];

    /// What has to happen for a sync to compare whole calendars where its versions do not tell that one has become
    /// another.
    fn tells(&self) -> Tells;

    /// Hrefs that it does not take, each with the reason.
    fn refuses(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// Ends it.
    fn stop(&mut self);

    /// Starts it again at the same address.
    fn start(&mut self);

    /// Copies all that it keeps, while it is stopped.
    fn backup(&mut self);

    /// Puts back what was copied, while it is stopped.
    fn restore(&mut self);

    /// Another user.
    fn guest(&self) -> Login;

    /// Whether each user sees the own alarms of an event alone.
    fn keeps_alarms_per_user(&self) -> bool {
        false
    }

    /// The path at which the guest finds the calendar `work`.
    fn shared(&self) -> String {
        self.account().work.to_owned()
    }

    /// Lets the guest read the calendar `work`, or no longer.
    fn share(&mut self, may: bool);
}

/// Whether the versions of a server tell that a calendar is another one than before, although no sync failed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tells {
    /// It was restored and changed, or made anew.
    Everything,
    /// It was made anew. What a restore changed is found when a sync has failed, which is when the server was away.
    MadeAnew,
    /// Nothing: they count changes, and counters coincide. What was made anew is found by the next start.
    Nothing,
}

/// Longer than a server that was away is left alone, and a sync on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const DAY: i64 = 86_400_000;
static EMPTY: Timers = Timers::new();
/// Hrefs that need escaping, as a client sends them: spaces, umlauts, @, #, %, +, &, brackets.
const ODD: [&str; 4] =
    ["a%20b%20%C3%A4%C3%B6.ics", "mary%40example.org.ics", "c%23%25%2B%26%281%29.ics", "x%3B%3D%C3%9F.ics"];

/// A step: its name, and what is done.
type Step = (&'static str, fn(&mut Scene));

const STEPS: [Step; 16] = [
    ("create", create),
    ("edit", edit),
    ("move an alarm", move_an_alarm),
    ("override an occurrence", override_an_occurrence),
    ("delete", delete),
    ("two changes in a second", two_changes_in_a_second),
    ("150 changes while it looks", many_changes),
    ("DELETE and PUT of one href", delete_and_put),
    ("a calendar appears, is renamed and deleted", another_calendar),
    ("a calendar is made anew with as many changes", made_anew),
    ("restored from a backup and changed", restored),
    ("the server is gone for a while", server_gone),
    ("the daemon is gone for a while", daemon_gone),
    ("odd hrefs", odd_hrefs),
    ("the zone of the calendar", zone),
    ("no rights, and a right taken back", rights),
];

/// Takes all steps on `store`, except those that it cannot.
fn play(store: impl Store + 'static) {
    let mut scene = Scene::open(Box::new(store));
    let name = scene.store.name();
    for (step, take) in STEPS {
        if let Some((_, reason)) = scene.store.cannot().iter().find(|(other, _)| *other == step) {
            // Not eprintln!, which the test runner keeps to itself for tests that pass.
            std::io::stderr().write_all(format!("NOT on {name}: {step}: {reason}\n").as_bytes()).unwrap();
            continue;
        }
        let began = Instant::now();
        scene.step = step;
        take(&mut scene);
        scene.known();
        println!("{name}: {step}: {:.1} s", began.elapsed().as_secs_f64());
    }
}

/// A daemon that syncs at an account each second, and what it should have armed.
struct Watcher {
    folder: tempfile::TempDir,
    daemon: Daemon,
    armed: Armed,
}

impl Watcher {
    /// One that looks at `url` as `login`, and has looked once.
    fn start(url: &str, login: Option<Login>) -> Watcher {
        let folder = tempfile::tempdir().unwrap();
        configure(folder.path(), url, login);
        let daemon = Daemon::start(folder.path(), &["run"]);
        let looked = |line: &str| line.contains("sync finished") || line.contains("the source cannot be read");
        assert!(daemon.log.find(PATIENCE, looked).is_some(), "{}", daemon.log.text());
        let armed = Armed::of(&folder.path().join("ledger.db"));
        Watcher { folder, daemon, armed }
    }

    /// Waits until exactly `wanted` is armed.
    fn known(&mut self, wanted: &Timers, context: &str) {
        let log = self.daemon.log.clone();
        self.armed.until(wanted, PATIENCE, || format!("{context}\n{}", log.text()));
    }

    /// Runs a command beside the daemon, and returns the JSON that it prints.
    fn json(&self, command: &[&str]) -> Vec<Value> {
        let mut reveille = Command::new(env!("CARGO_BIN_EXE_reveille"));
        let reveille = reveille.args(command).arg("--json").current_dir(self.folder.path());
        let output = reveille.env_remove("REVEILLE_CONFIG").output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn status(&self) -> Value {
        self.json(&["status"]).remove(0)
    }

    /// Waits until `status` says of the source that a sync has failed, with the words `why`, and returns that.
    fn failing(&self, why: &str) -> String {
        let mut error = String::new();
        let failed = || {
            let said = self.status()["sources"][0]["error"].as_str().map(str::to_owned);
            error = said.unwrap_or_default();
            !error.is_empty() && error.contains(why)
        };
        wait_until(failed, || format!("{why}:\n{}", self.daemon.log.text()));
        error
    }

    fn pause(&self) {
        kill_process(self.daemon.pid(), Signal::STOP).unwrap();
    }

    fn resume(&self) {
        kill_process(self.daemon.pid(), Signal::CONT).unwrap();
    }
}

/// Writes a configuration into `folder` that looks each second at `url` as `login`.
fn configure(folder: &Path, url: &str, login: Option<Login>) {
    let secret = folder.join("password");
    let path = folder.display();
    let login = login.map_or_else(String::new, |(username, password)| {
        fs::write(&secret, password).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        format!("username = \"{username}\"\npassword_file = \"{path}/password\"\n")
    });
    let text = format!(
        "[ledger]\nurl = \"sqlite://{path}/ledger.db\"\n[defaults]\nabsent_grace = \"3s\"\n\
         [[source]]\nkind = \"caldav\"\nname = \"home\"\nurl = \"{url}\"\npoll_interval = \"1s\"\n{login}\
         [[sink]]\nkind = \"file\"\npath = \"{path}/alarms.jsonl\"\n"
    );
    fs::write(folder.join("reveille.toml"), text).unwrap();
}

/// A server, a daemon that looks at it, and the alarms that should be armed.
struct Scene {
    store: Box<dyn Store>,
    watcher: Watcher,
    wanted: Timers,
    /// Events are counted in minutes from here; none fires in the test.
    base: UtcMillis,
    step: &'static str,
}

impl Scene {
    fn open(store: Box<dyn Store>) -> Scene {
        let watcher = Watcher::start(&store.url(), store.account().login);
        let base = UtcMillis((Clock::System.now().0 + 2 * DAY) / 60_000 * 60_000);
        Scene { store, watcher, wanted: Timers::new(), base, step: "" }
    }

    fn at(&self, minutes: i64) -> UtcMillis {
        self.base.saturating_add(SignedDuration::from_mins(minutes))
    }

    /// PUTs the event `name` into the calendar at `path` so that its alarm fires `minutes` after the base.
    fn put_into(&mut self, path: &str, name: &str, minutes: i64) {
        let at = self.at(minutes);
        self.store.account().client.put(&format!("{path}{name}.ics"), &event(name, &at.basic(), name));
        self.wanted.insert(name.to_owned(), at);
    }

    fn put(&mut self, name: &str, minutes: i64) {
        let work = self.store.account().work;
        self.put_into(work, name, minutes);
    }

    /// PUTs `text` as `name`, whose alarm then fires at `due`.
    fn put_text(&mut self, name: &str, text: &str, due: UtcMillis) {
        self.store.account().put(&format!("{name}.ics"), text);
        self.wanted.insert(name.to_owned(), due);
    }

    fn delete(&mut self, name: &str) {
        self.store.account().delete(&format!("{name}.ics"));
        self.wanted.remove(name);
    }

    /// Waits until what is wanted is armed.
    fn known(&mut self) {
        let context = format!("{}: {}", self.store.name(), self.step);
        self.watcher.known(&self.wanted, &context);
    }

    /// Sets a property of the calendar at `path`.
    fn proppatch(&self, path: &str, property: &str) {
        let body = format!(
            r#"<D:propertyupdate xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:set><D:prop>{property}</D:prop></D:set></D:propertyupdate>"#
        );
        let headers = [("Content-Type", "application/xml; charset=utf-8")];
        let answer = self.store.account().client.send("PROPPATCH", path, &headers, &body);
        assert!(answer.status < 300 && answer.body.contains("200"), "PROPPATCH {path}: {answer:?}");
    }

    fn home(&self, name: &str) -> String {
        format!("{}{name}/", self.store.account().home)
    }
}

fn create(scene: &mut Scene) {
    (0..6).for_each(|n| scene.put(&format!("plain{n}"), n));
}

fn edit(scene: &mut Scene) {
    let at = scene.at(0);
    scene.wanted.remove("plain0");
    scene.store.account().put("plain0.ics", &event("plain0", &at.basic(), "edited"));
    scene.wanted.insert("edited".to_owned(), at);
}

fn move_an_alarm(scene: &mut Scene) {
    let text = event("plain1", &scene.at(1).basic(), "plain1").replace("TRIGGER:PT0S", "TRIGGER:-PT45M");
    let due = scene.at(1 - 45);
    scene.put_text("plain1", &text, due);
}

fn override_an_occurrence(scene: &mut Scene) {
    let (first, moved) = (scene.at(0), scene.at(45));
    let rule = event("series", &first.basic(), "series").replace("DURATION", "RRULE:FREQ=DAILY;COUNT=5\r\nDURATION");
    scene.put_text("series", &rule, first);
    scene.known();
    let alone = event("series", &moved.basic(), "series");
    let from = alone.find("BEGIN:VEVENT").unwrap();
    let until = alone.find("END:VCALENDAR").unwrap();
    let other = alone[from..until].replace("DTSTART", &format!("RECURRENCE-ID:{}\r\nDTSTART", first.basic()));
    let both = rule.replace("END:VCALENDAR", &format!("{other}END:VCALENDAR"));
    scene.put_text("series", &both, moved);
}

fn delete(scene: &mut Scene) {
    scene.delete("plain2");
}

/// Both in one second of the clock, and a sync between them.
fn two_changes_in_a_second(scene: &mut Scene) {
    let second = || Clock::System.now().0 / 1_000;
    for round in 0..3 {
        let part = u64::try_from(Clock::System.now().0 % 1_000).unwrap();
        // The clock is the server's too, and cannot be moved: both changes are to lie in one of its seconds.
        std::thread::sleep(Duration::from_millis(1_000 - part));
        let begun = second();
        scene.put("twice", 100 + round);
        scene.watcher.json(&["sync"]);
        scene.known();
        scene.put("twice", 200 + round);
        let is_same = second() == begun;
        scene.known();
        if is_same {
            return;
        }
    }
    println!("{}: no two changes in a second: it is too slow here", scene.store.name());
}

fn many_changes(scene: &mut Scene) {
    let name = |n: i64| format!("many{n}");
    (0..90).for_each(|n| scene.put(&name(n), 1_000 + n));
    (0..30).for_each(|n| scene.put(&name(n), 2_000 + n));
    (30..60).for_each(|n| scene.delete(&name(n)));
}

fn delete_and_put(scene: &mut Scene) {
    scene.put("again", 1);
    for round in 0..2 {
        scene.known();
        scene.delete("again");
        scene.put("again", 10 + round);
    }
}

fn another_calendar(scene: &mut Scene) {
    let path = scene.home("more");
    scene.store.account().client.mkcalendar(&path, "More");
    (0..2).for_each(|n| scene.put_into(&path, &format!("more{n}"), n));
    scene.known();
    scene.proppatch(&path, "<D:displayname>Renamed</D:displayname>");
    let is_renamed = || scene.watcher.json(&["calendars"]).iter().any(|row| row["calendarName"] == "Renamed");
    wait_until(is_renamed, || scene.watcher.daemon.log.text());
    scene.store.account().client.delete(&path);
    // For a while it may come back.
    let is_absent = || scene.watcher.status()["absentCalendars"].as_array().is_some_and(|absent| absent.len() == 1);
    wait_until(is_absent, || scene.watcher.daemon.log.text());
    scene.wanted.retain(|name, _| !name.starts_with("more"));
}

fn made_anew(scene: &mut Scene) {
    let path = scene.home("anew");
    let make = |scene: &mut Scene| {
        scene.store.account().client.mkcalendar(&path, "Anew");
    };
    make(scene);
    (0..5).for_each(|n| scene.put_into(&path, &format!("anew{n}"), n));
    scene.known();
    for round in 1..3 {
        scene.watcher.pause();
        scene.store.account().client.delete(&path);
        make(scene);
        // Under the same names, so that counters that began anew coincide.
        (0..5).for_each(|n| scene.put_into(&path, &format!("anew{n}"), 100 * round + n));
        scene.watcher.resume();
        if scene.store.tells() == Tells::Nothing {
            // Its counter is all that tells a calendar from the one before: a start compares.
            restart(scene);
        }
        scene.known();
    }
}

fn restart(scene: &mut Scene) {
    let watcher = &mut scene.watcher;
    assert!(watcher.daemon.stop(PATIENCE).success(), "{}", watcher.daemon.log.text());
    watcher.daemon = Daemon::start(watcher.folder.path(), &["run"]);
}

fn restored(scene: &mut Scene) {
    (0..5).for_each(|n| scene.put(&format!("kept{n}"), n));
    scene.known();
    scene.store.stop();
    scene.store.backup();
    scene.store.start();
    let copied = scene.wanted.clone();
    scene.put("kept0", 500);
    scene.delete("kept1");
    scene.put("lost", 501);
    scene.known();
    if scene.store.tells() != Tells::Everything {
        scene.store.stop();
        scene.watcher.failing("");
    }
    scene.watcher.pause();
    scene.store.stop();
    scene.store.restore();
    scene.store.start();
    scene.wanted = copied;
    scene.put("kept2", 600);
    scene.delete("kept3");
    scene.put("found", 601);
    scene.watcher.resume();
}

fn server_gone(scene: &mut Scene) {
    scene.store.stop();
    let said = scene.watcher.failing("");
    assert!(said.contains(&scene.store.url().split('/').nth(2).unwrap().to_owned()), "{said}");
    assert!(said.contains("known alarms stay scheduled") && said.contains("is tried"), "{said}");
    scene.known();
    scene.store.start();
    scene.put("plain3", 700);
    scene.delete("plain4");
}

fn daemon_gone(scene: &mut Scene) {
    assert!(scene.watcher.daemon.stop(PATIENCE).success(), "{}", scene.watcher.daemon.log.text());
    scene.put("plain3", 800);
    scene.put("meanwhile", 801);
    scene.delete("plain5");
    scene.watcher.daemon = Daemon::start(scene.watcher.folder.path(), &["run"]);
}

fn odd_hrefs(scene: &mut Scene) {
    let path = |scene: &Scene, href: &str| format!("{}{href}", scene.store.account().work);
    let (name, refused) = (scene.store.name(), scene.store.refuses());
    for (href, reason) in refused {
        std::io::stderr().write_all(format!("NOT on {name}: the href {href}: {reason}\n").as_bytes()).unwrap();
    }
    let hrefs: Vec<&str> = ODD.into_iter().filter(|href| refused.iter().all(|(other, _)| other != href)).collect();
    for round in 0..2 {
        for (n, href) in (0..).zip(&hrefs) {
            let (name, at) = (format!("odd{n}"), scene.at(10 * round + n));
            scene.store.account().client.put(&path(scene, href), &event(&name, &at.basic(), &name));
            scene.wanted.insert(name, at);
        }
        scene.known();
    }
    for (n, href) in hrefs.iter().enumerate() {
        scene.store.account().client.delete(&path(scene, href));
        scene.wanted.remove(&format!("odd{n}"));
    }
}

fn zone(scene: &mut Scene) {
    let zone = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\nBEGIN:VTIMEZONE\r\nTZID:Asia/Tokyo\r\n\
        BEGIN:STANDARD\r\nDTSTART:19510101T000000\r\nTZOFFSETFROM:+0900\r\nTZOFFSETTO:+0900\r\nTZNAME:JST\r\n\
        END:STANDARD\r\nEND:VTIMEZONE\r\nEND:VCALENDAR\r\n";
    scene.proppatch(scene.store.account().work, &format!("<C:calendar-timezone>{zone}</C:calendar-timezone>"));
    let local = scene.base.basic().replace('Z', "");
    let due = scene.at(-9 * 60);
    scene.put_text("floats", &event("floats", &local, "floats"), due);
}

fn rights(scene: &mut Scene) {
    let url = format!("{}{}", origin(&scene.store.url()), scene.store.shared());
    let mut guest = Watcher::start(&url, Some(scene.store.guest()));
    let owner = scene.store.account().login.unwrap().0;
    let refused = |guest: &Watcher| {
        let said = guest.failing(" the source's url");
        assert!(said.contains(owner) && (said.contains("(403)") || said.contains("(404)")), "{said}");
    };
    let shared = |scene: &Scene| -> Timers {
        scene
            .wanted
            .iter()
            .filter(|(name, _)| !name.starts_with("anew"))
            .map(|(name, at)| (name.clone(), *at))
            .collect()
    };
    // The guest has all objects of `wanted`, and their alarms.
    let per_user = scene.store.keeps_alarms_per_user();
    let has = |guest: &mut Watcher, wanted: &Timers, when: &str| {
        let log = guest.daemon.log.clone();
        wait_until(|| guest.status()["objects"] == wanted.len(), || format!("{when}\n{}", log.text()));
        guest.known(if per_user { &EMPTY } else { wanted }, when);
    };
    refused(&guest);
    has(&mut guest, &EMPTY, "no rights");
    scene.store.share(true);
    has(&mut guest, &shared(scene), "a right is given");
    scene.store.share(false);
    refused(&guest);
    let known = shared(scene);
    scene.put("unseen", 900);
    scene.known();
    // What it knows stays for a while, and it learns nothing more.
    has(&mut guest, &known, "a right was taken back");
    scene.store.share(true);
    has(&mut guest, &shared(scene), "a right is given again");
}

/// Scheme, host and port of `url`.
fn origin(url: &str) -> String {
    url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/")
}

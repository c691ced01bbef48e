//! A daemon with a source on a good server, and one for each way in which a server can err: all are polled each second,
//! what is wrong is said in `status`, what is known stays armed, and neither memory nor requests grow.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use reveille::clock::Clock;
use reveille::time::UtcMillis;
use serde_json::Value;

use crate::armed::{Armed, Timers};
use crate::daemon::{Daemon, undisturbed};
use crate::faults::wait_until;
use crate::quirks::{CALENDAR, Server, State, changed, found, versions};
use crate::rehearsal::event;
use crate::scripted::{Asked, Reply};

/// Longer than anything takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const DAY: i64 = 86_400_000;
/// How long all err while requests are counted.
const ERRING: Duration = Duration::from_secs(6);
/// How much longer a change may take beside the others, on a busy machine.
const QUICK: Duration = Duration::from_secs(4);
/// Requests to one server in a second, at most: a sync that fails looks for the account again, at several addresses,
/// each of which may redirect five times.
const REQUESTS: usize = 60;
/// What a daemon takes at most, in kB, although a server sends 200 MB again and again.
const MOST_MEMORY: usize = 150 * 1024;

/// How a server errs: a name, what it does, and what `status` has to say of it.
struct Erring {
    name: &'static str,
    quirk: fn(&Asked, &mut State) -> Option<Reply>,
    said: &'static [&'static str],
}

/// Whether it asks for changes: where it gets none, it asks for the whole.
fn refuses_reports(asked: &Asked) -> bool {
    asked.body.contains("sync-collection")
}

/// Whether it asks for what is in the calendar.
fn of_calendar(asked: &Asked) -> bool {
    asked.path.starts_with("/cal/work/")
}

const ERRING_SERVERS: [Erring; 11] = [
    Erring {
        name: "internal-error",
        quirk: |_, _| Some(Reply::status(500)),
        said: &["answers PROPFIND with status 500", "the server's log may say why", "is tried again"],
    },
    Erring {
        name: "too-many-requests",
        quirk: |_, _| Some(Reply::status(429).header("Retry-After", "3600")),
        said: &["is not available now (429)", "is tried again"],
    },
    Erring {
        name: "silent",
        quirk: |_, _| Some(Reply::status(207).slow(Duration::from_secs(600), 1)),
        said: &["did not answer within", "is tried again", "timeout"],
    },
    Erring {
        name: "half",
        quirk: |_, _| Some(Reply::multistatus(&found("/cal/", "")).cut()),
        said: &["did not answer to the end", "is tried again"],
    },
    Erring {
        name: "huge",
        // 200 MB.
        quirk: |_, _| Some(Reply::status(207).body(vec![b' '; 1_000_000]).times(200)),
        said: &["answers with more than the 8388608 octets that limits.max_response_size allows", "is tried again"],
    },
    Erring {
        name: "loop",
        quirk: |asked, _| Some(Reply::status(302).header("Location", &asked.path)),
        said: &["the source's url", "is tried again"],
    },
    Erring {
        name: "broken-xml",
        quirk: |_, _| Some(Reply::status(207).body("<multistatus xmlns='DAV:'><response></multistatus>")),
        said: &["well-formed", "is tried again"],
    },
    Erring {
        name: "wrong-hrefs",
        quirk: |asked, state| {
            let members = [
                "http://elsewhere.example.org/cal/work/x.ics",
                "/cal/other/x.ics",
                "",
                "/cal/work/../../x.ics",
                "%",
                "/cal/work/%",
            ];
            let members: String = members.iter().map(|href| changed(href, "1")).collect();
            let is_listing = of_calendar(asked) && asked.method == "PROPFIND";
            if refuses_reports(asked) {
                return Some(Reply::status(501));
            }
            is_listing.then(|| Reply::multistatus(&(found("/cal/work/", CALENDAR) + &listed(state) + &members)))
        },
        said: &["lists http://elsewhere.example.org/cal/work/x.ics, which is not on this server", "it is not read"],
    },
    Erring {
        name: "duplicates",
        quirk: |asked, state| {
            let is_listing = of_calendar(asked) && asked.method == "PROPFIND";
            if refuses_reports(asked) {
                return Some(Reply::status(501));
            }
            let twice = if is_listing { listed(state).repeat(2) } else { state.multiget(&asked.body).repeat(2) };
            let is_either = is_listing || asked.body.contains("calendar-multiget");
            is_either.then(|| Reply::multistatus(&(found("/cal/work/", CALENDAR) + &twice)))
        },
        said: &[],
    },
    Erring {
        name: "no-uid",
        quirk: |_, state| {
            for (_, text) in state.objects.values_mut() {
                *text =
                    text.lines().filter(|line| !line.starts_with("UID")).map(|line| format!("{line}\r\n")).collect();
            }
            None
        },
        said: &[],
    },
    Erring {
        name: "two-states",
        // In every other second a server answers that lags behind: it has one object less, and versions of its own.
        quirk: |asked, state| {
            let lags = Clock::System.now().0 / 1_000 % 2 == 0;
            let gone = lags.then(|| state.objects.remove_entry("/cal/work/newest.ics")).flatten();
            let props = state.props.clone();
            if lags {
                state.props = versions("t0", "c0");
            }
            let reply = state.answer(asked);
            state.objects.extend(gone);
            state.props = props;
            Some(reply)
        },
        said: &[],
    },
];

/// What the calendar's own listing has of its objects.
fn listed(state: &State) -> String {
    let member =
        |(href, (etag, _)): (&String, &(String, String))| found(href, &format!("<D:getetag>{etag}</D:getetag>"));
    state.objects.iter().map(member).collect()
}

/// The daemon, the servers, and what should be armed.
struct Scene {
    folder: tempfile::TempDir,
    daemon: Daemon,
    armed: Armed,
    wanted: Timers,
    good: Server,
    erring: Vec<(&'static Erring, Server)>,
    is_ill: Arc<AtomicBool>,
    /// Events are counted in minutes from here; none fires in the test.
    base: UtcMillis,
}

/// Puts the event `name`, whose alarm fires at `at`, on `server`, where it becomes `version`.
fn put(server: &Server, name: &str, at: UtcMillis, version: usize) {
    server.with(|state| {
        let text = event(name, &at.basic(), name);
        state.objects.insert(format!("/cal/work/{name}.ics"), (format!("\"{version}\""), text));
        state.reports.clear();
        state.props = versions(&format!("t{version}"), &format!("c{version}"));
        state.reports.push_back(changed(&format!("/cal/work/{name}.ics"), &version.to_string()));
    });
}

impl Scene {
    fn start() -> Scene {
        let is_ill = Arc::<AtomicBool>::default();
        let good = Server::start();
        let erring: Vec<(&Erring, Server)> = ERRING_SERVERS.iter().map(|erring| (erring, Server::start())).collect();
        for (erring, server) in &erring {
            let (quirk, is_ill) = (erring.quirk, is_ill.clone());
            server.quirk(move |asked, state| is_ill.load(Ordering::SeqCst).then(|| quirk(asked, state)).flatten());
        }
        let base = UtcMillis((Clock::System.now().0 + 2 * DAY) / 60_000 * 60_000);
        let folder = tempfile::tempdir().unwrap();
        let servers = erring.iter().map(|(erring, server)| (erring.name, server)).chain([("good", &good)]);
        configure(folder.path(), servers);
        let mut wanted = Timers::new();
        for (number, (name, server)) in
            (0..).zip(erring.iter().map(|(erring, server)| (erring.name, server)).chain([("good", &good)]))
        {
            for (n, which) in (0..).zip(["first", "second", "third"]) {
                let (name, at) =
                    (format!("{name}-{which}"), base.saturating_add(SignedDuration::from_mins(10 * number + n)));
                put(server, &name, at, 1);
                wanted.insert(name, at);
            }
        }
        let daemon = Daemon::start(folder.path(), &["run"]);
        assert!(daemon.log.find(PATIENCE, |line| line.contains("sync finished")).is_some(), "{}", daemon.log.text());
        let armed = Armed::of(&folder.path().join("ledger.db"));
        let mut scene = Scene { folder, daemon, armed, wanted, good, erring, is_ill, base };
        scene.known("all are well");
        scene
    }

    /// Waits until what is wanted is armed, and says how long that took. What one of two states lacks is not looked at.
    fn known(&mut self, when: &str) -> Duration {
        let began = Instant::now();
        let log = self.daemon.log.clone();
        let is_known = || {
            let mut armed = self.armed.now();
            armed.remove("newest");
            armed == self.wanted
        };
        wait_until(is_known, || format!("{when}:\n{}", log.text()));
        began.elapsed()
    }

    fn server(&self, name: &str) -> &Server {
        let (_, server) = self.erring.iter().find(|(erring, _)| erring.name == name).unwrap();
        server
    }

    /// Moves the first event of the server `name` to `minutes` after its place.
    fn change(&mut self, name: &str, minutes: i64, version: usize) {
        let event = format!("{name}-first");
        let at = self.wanted[&event].saturating_add(SignedDuration::from_mins(minutes));
        put(self.server(name), &event, at, version);
        self.wanted.insert(event, at);
    }

    /// Writes an event on the good server, and returns how long it takes until it is armed.
    fn write(&mut self, round: usize) -> Duration {
        let at = self.base.saturating_add(SignedDuration::from_mins(1_000 + i64::try_from(round).unwrap()));
        put(&self.good, "good-first", at, 10 + round);
        self.wanted.insert("good-first".to_owned(), at);
        self.known("a good server's event was changed")
    }

    /// What `status` says of each source, as JSON and as text.
    fn status(&self) -> (BTreeMap<String, Value>, String) {
        let run = |arguments: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_reveille"));
            let output = command.args(arguments).current_dir(self.folder.path()).env_remove("REVEILLE_CONFIG").output();
            String::from_utf8(output.unwrap().stdout).unwrap()
        };
        let json: Value = serde_json::from_str(&run(&["status", "--json"])).unwrap();
        let sources = json["sources"].as_array().unwrap().iter();
        let by_name = sources.map(|source| (source["name"].as_str().unwrap().to_owned(), source.clone()));
        (by_name.collect(), run(&["status"]))
    }

    /// The most memory that the daemon has had so far, kB.
    fn peak(&self) -> usize {
        let status = Path::new("/proc").join(self.daemon.pid().as_raw_nonzero().to_string()).join("status");
        let status = fs::read_to_string(status).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

/// A configuration that watches each of `servers` each second.
fn configure<'s>(folder: &Path, servers: impl Iterator<Item = (&'static str, &'s Server)>) {
    let path = folder.display();
    let sources = servers.map(|(name, server)| {
        format!(
            "[[source]]\nkind = \"caldav\"\nname = \"{name}\"\nurl = \"{}\"\npoll_interval = \"1s\"\ntimeout = \"2s\"\n\
             user = \"{name}\"\n",
            server.scripted.url
        )
    });
    let text = format!(
        "[ledger]\nurl = \"sqlite://{path}/ledger.db\"\n[limits]\nmax_response_size = 8388608\n{}\
         [[sink]]\nkind = \"file\"\npath = \"{path}/alarms.jsonl\"\n",
        sources.collect::<String>()
    );
    fs::write(folder.join("reveille.toml"), text).unwrap();
}

#[test]
fn what_errs_is_said_in_status_and_neither_stops_others_nor_grows() {
    let _quiet = undisturbed();
    let mut scene = Scene::start();
    let alone = (0..3).map(|round| scene.write(round)).max().unwrap();
    // Due while the two states alternate; it must fire once, although it is there only every other second.
    let soon = UtcMillis((Clock::System.now().0 + 9_000) / 1_000 * 1_000);
    put(scene.server("two-states"), "newest", soon, 2);
    wait_until(|| scene.armed.now().contains_key("newest"), || scene.daemon.log.text());
    scene.is_ill.store(true, Ordering::SeqCst);
    // What can be read of a server that errs in parts is read.
    for name in ["wrong-hrefs", "duplicates", "no-uid", "two-states"] {
        scene.change(name, 100, 3);
    }
    scene.known("some err in parts");
    for (erring, server) in &scene.erring {
        let has_said = || {
            let (sources, text) = scene.status();
            let said = sources[erring.name]["error"].as_str().unwrap_or_default();
            let address = server.scripted.url.trim_end_matches('/');
            erring.said.iter().all(|words| said.contains(words) && text.contains(words))
                && (erring.said.is_empty() || (said.contains(address) && text.contains(&format!("{}  ", erring.name))))
        };
        wait_until(has_said, || format!("{}: {:?}\n{}", erring.name, erring.said, scene.status().1));
    }
    println!("{}", scene.status().1);
    scene.erring.iter().for_each(|(_, server)| drop(server.scripted.asked()));
    let began = Instant::now();
    let (mut beside, mut round) = (Duration::ZERO, 100);
    while began.elapsed() < ERRING {
        beside = beside.max(scene.write(round));
        round += 1;
    }
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap() + 2;
    println!("a change is armed after {alone:?} at most, and beside the others after {beside:?}");
    assert!(beside < alone + QUICK, "{beside:?}");
    for (erring, server) in &scene.erring {
        let asked = server.scripted.asked().len();
        println!("{}: {asked} requests in {seconds} s", erring.name);
        assert!(asked <= REQUESTS * seconds, "{}: {asked} requests in {seconds} s", erring.name);
    }
    let peak = scene.peak();
    println!("{peak} kB at most");
    assert!(peak < MOST_MEMORY, "{peak} kB");

    let fired = || fs::read_to_string(scene.folder.path().join("alarms.jsonl")).unwrap_or_default();
    wait_until(|| fired().contains("newest"), || format!("newest is lost\n{}", scene.daemon.log.text()));
    scene.is_ill.store(false, Ordering::SeqCst);
    // Of these one wishes to be left alone for an hour, and one is waited for longer and longer.
    let waited_for = ["too-many-requests", "silent"];
    let names = scene.erring.iter().map(|(erring, _)| erring.name).filter(|name| !waited_for.contains(name));
    names.collect::<Vec<&str>>().into_iter().for_each(|name| scene.change(name, 200, 50));
    scene.known("all are well again");
    let fired = fs::read_to_string(scene.folder.path().join("alarms.jsonl")).unwrap();
    assert_eq!(fired.lines().count(), 1, "{fired}");
}

//! The programs that people keep a folder of calendars with: vdirsyncer brings them from a server, khal edits them.
//! They link or rename what they wrote to where it belongs, each in its own way, and many files in one run.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use reveille::clock::Clock;
use reveille::time::UtcMillis;

use crate::account::{Account, radicale};
use crate::armed::{Armed, Timers};
use crate::daemon::{Daemon, undisturbed};
use crate::rehearsal::{Stage, event};
use crate::venv::Venv;

/// A change is known this long after the program that made it has ended.
const KNOWN_WITHIN: Duration = Duration::from_secs(2);
/// Longer than the daemon needs to start, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const DAY: i64 = 86_400_000;
/// How many files come in one run, and how many in runs of their own.
const BULK: usize = 300;
const SINGLE: usize = 60;

/// A watched folder that rescans as seldom as it does by default, the programs that write into it, and what they should
/// have armed.
struct Desk {
    stage: Stage,
    daemon: Daemon,
    armed: Armed,
    venv: &'static Venv,
    wanted: Timers,
    /// The minute from which the events of this test are counted; none of their alarms fires in it.
    base: UtcMillis,
}

impl Desk {
    fn new(venv: &'static Venv) -> Desk {
        let stage = Stage::new();
        let daemon = Daemon::start(stage.path(), &["run"]);
        daemon.log.find(PATIENCE, |line| line.contains("sync finished")).unwrap();
        let armed = Armed::of(&stage.path().join("ledger.db"));
        let base = UtcMillis((Clock::System.now().0 + 2 * DAY) / 60_000 * 60_000);
        let desk = Desk { stage, daemon, armed, venv, wanted: Timers::new(), base };
        desk.configure_khal();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.stage.path().join(name)
    }

    /// The start of the event `number`.
    fn start(&self, number: usize) -> UtcMillis {
        self.base.saturating_add(SignedDuration::from_mins(i64::try_from(number).unwrap()))
    }

    /// The text of the event `number`, whose alarm fires at its start.
    fn event(&self, name: &str, number: usize) -> String {
        event(name, &self.start(number).basic(), name)
    }

    /// From now on the event `name` is to fire at the start of `number`.
    fn want(&mut self, name: &str, number: usize) {
        self.wanted.insert(name.to_owned(), self.start(number));
    }

    /// Waits until what is wanted is armed, and says how long after the end of the program that was.
    fn known(&mut self) -> Duration {
        let log = self.daemon.log.clone();
        self.armed.until(&self.wanted, KNOWN_WITHIN, || log.text())
    }

    /// Runs `python -m MODULE ARGUMENTS` to its end with these answers to its questions.
    fn run(&self, module: &str, arguments: &[&str], answers: &str) {
        let mut child = self
            .venv
            .command()
            .args(["-m", module])
            .args(arguments)
            .env("HOME", self.stage.path())
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(answers.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{module} {arguments:?}: {}", String::from_utf8_lossy(&said));
    }

    fn configure_khal(&self) {
        let path = self.stage.path().display();
        let date = "%Y-%m-%d";
        let text = format!(
            "[calendars]\n[[work]]\npath = {path}/watched/work\n[sqlite]\npath = {path}/khal.db\n\
             [default]\ndefault_calendar = work\n[locale]\nlocal_timezone = UTC\ndefault_timezone = UTC\n\
             timeformat = %H:%M\ndateformat = {date}\nlongdateformat = {date}\ndatetimeformat = {date} %H:%M\n\
             longdatetimeformat = {date} %H:%M\n"
        );
        fs::write(self.path("khal.conf"), text).unwrap();
    }

    fn khal(&self, arguments: &[&str], answers: &str) {
        let configuration = self.path("khal.conf");
        self.run("khal", &[&["-c", configuration.to_str().unwrap()], arguments].concat(), answers);
    }

    /// The start of the event `number` as khal's words for it: a date and a time.
    fn words(&self, number: usize) -> [String; 2] {
        let basic = self.start(number).basic();
        let digits: Vec<&str> = [0..4, 4..6, 6..8, 9..11, 11..13].map(|range| &basic[range]).to_vec();
        [digits[..3].join("-"), digits[3..].join(":")]
    }

    fn vdirsyncer(&self, arguments: &[&str], answers: &str) {
        let configuration = self.path("vdirsyncer.conf");
        self.run("vdirsyncer", &[&["-c", configuration.to_str().unwrap()], arguments].concat(), answers);
    }

    /// Makes vdirsyncer keep the watched folder like the calendars `collections` of `account`.
    fn configure_vdirsyncer(&self, account: &Account, collections: &[&str]) {
        let path = self.stage.path().display();
        let (name, password) = account.login.unwrap();
        let text = format!(
            "[general]\nstatus_path = \"{path}/status/\"\n\
             [pair both]\na = \"here\"\nb = \"there\"\ncollections = {collections:?}\n\
             [storage here]\ntype = \"filesystem\"\npath = \"{path}/watched/\"\nfileext = \".ics\"\n\
             [storage there]\ntype = \"caldav\"\nurl = \"{}\"\nusername = \"{name}\"\npassword = \"{password}\"\n",
            account.url
        );
        fs::write(self.path("vdirsyncer.conf"), text).unwrap();
        // May it make the collections that are not there?
        self.vdirsyncer(&["discover"], &"y\n".repeat(collections.len()));
    }
}

/// The longest and the median of these.
fn figures(mut times: Vec<Duration>) -> String {
    times.sort();
    format!(
        "{} changes, known after {:?} (median), {:?} (longest)",
        times.len(),
        times[times.len() / 2],
        times[times.len() - 1]
    )
}

/// Puts these events (name, number) in the place of all that the calendar at `path` holds, and wants them.
fn replace(desk: &mut Desk, account: &Account, path: &str, events: &[(String, usize)]) {
    let between = "END:VCALENDAR\r\nBEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//reveille//tests//EN\r\n";
    let texts: String = events.iter().map(|(name, number)| desk.event(name, *number)).collect();
    account.client.put(path, &texts.replace(between, ""));
    desk.wanted.clear();
    events.iter().for_each(|(name, number)| desk.want(name, *number));
}

#[test]
fn what_vdirsyncer_brings_changes_and_removes_in_one_run_is_known_at_once() {
    let Some(venv) = Venv::or_skip() else { return };
    let _quiet = undisturbed();
    let account = radicale(venv);
    let mut desk = Desk::new(venv);
    let bulk = format!("{}bulk/", account.home);
    let event = |number: usize, start: usize| (format!("bulk{number}"), start);

    // Into a folder that vdirsyncer makes.
    let few: Vec<_> = (0..BULK).map(|number| event(number, number)).collect();
    replace(&mut desk, &account, &bulk, &few);
    desk.configure_vdirsyncer(&account, &["bulk"]);
    desk.vdirsyncer(&["sync"], "");
    println!("vdirsyncer: {BULK} events in a new calendar known after {:?}", desk.known());

    // Into one that is watched already.
    let more: Vec<_> = (0..2 * BULK).map(|number| event(number, number)).collect();
    replace(&mut desk, &account, &bulk, &more);
    desk.vdirsyncer(&["sync"], "");
    println!("vdirsyncer: {BULK} more known after {:?}", desk.known());

    // Half of them go, and a quarter is moved.
    let left: Vec<_> = (0..BULK).map(|number| event(number, number + number % 2 * 1_000)).collect();
    replace(&mut desk, &account, &bulk, &left);
    // It hesitates to remove many.
    desk.vdirsyncer(&["sync", "--force-delete"], "");
    println!("vdirsyncer: {BULK} removed and {} moved, known after {:?}", BULK / 2, desk.known());
}

#[test]
fn each_single_change_of_khal_is_known_at_once() {
    let Some(venv) = Venv::or_skip() else { return };
    let _quiet = undisturbed();
    let mut desk = Desk::new(venv);
    let mut times = Vec::new();
    for number in 0..SINGLE {
        let name = format!("khal{number:02}");
        let [date, time] = desk.words(number);
        desk.khal(&["new", "--alarms", "0m", &date, &time, "30m", &name], "");
        desk.want(&name, number);
        times.push(desk.known());
    }
    println!("khal new: {}", figures(times));
    let mut times = Vec::new();
    for number in (0..SINGLE).step_by(6) {
        let name = format!("khal{number:02}");
        let [date, time] = desk.words(number + 1_000);
        desk.khal(&["edit", &name], &format!("t\n{date} {time} 30m\nn\n"));
        desk.want(&name, number + 1_000);
        times.push(desk.known());
        let name = format!("khal{:02}", number + 1);
        desk.khal(&["edit", &name], "D\ny\n");
        desk.wanted.remove(&name);
        times.push(desk.known());
    }
    println!("khal edit, half of them deletions: {}", figures(times));
}

/// Writes with vdirsyncer's own storage: a line on standard input is `put NAME` (with the text in the file NAME), `edit
/// NAME` or `remove NAME`; a line on standard output says that it is done.
const STORAGE: &str = r#"
import asyncio, pathlib, sys
from vdirsyncer.storage.filesystem import FilesystemStorage
from vdirsyncer.vobject import Item

async def main():
    storage = FilesystemStorage(path=sys.argv[1], fileext=".ics")
    known = {}
    for line in sys.stdin:
        what, name = line.split()
        if what == "remove":
            await storage.delete(*known.pop(name))
        else:
            item = Item(pathlib.Path(sys.argv[2], name).read_text())
            if what == "put":
                known[name] = await storage.upload(item)
            else:
                href, etag = known[name]
                known[name] = (href, await storage.update(href, item, etag))
        print(name, flush=True)

asyncio.run(main())
"#;

#[test]
fn each_single_file_that_vdirsyncer_writes_is_known_at_once() {
    let Some(venv) = Venv::or_skip() else { return };
    let _quiet = undisturbed();
    let mut desk = Desk::new(venv);
    let texts = desk.path("texts");
    fs::create_dir(&texts).unwrap();
    let mut child = venv
        .command()
        .args(["-c", STORAGE])
        .args([desk.path("watched/work"), texts.clone()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut orders, done) = (child.stdin.take().unwrap(), crate::process::Lines::of(child.stdout.take().unwrap()));
    let mut times: Vec<Duration> = Vec::new();
    let mut order = |desk: &mut Desk, what: &str, number: usize, later: usize| {
        let name = format!("single{number}");
        fs::write(texts.join(&name), desk.event(&name, number + later)).unwrap();
        writeln!(orders, "{what} {name}").unwrap();
        done.find(PATIENCE, |line| line == name).unwrap();
        let began = Instant::now();
        match what {
            "remove" => drop(desk.wanted.remove(&name)),
            _ => desk.want(&name, number + later),
        }
        desk.known();
        times.push(began.elapsed());
    };
    (0..SINGLE).for_each(|number| order(&mut desk, "put", number, 0));
    (0..SINGLE).step_by(3).for_each(|number| order(&mut desk, "edit", number, 1_000));
    (0..SINGLE).step_by(4).for_each(|number| order(&mut desk, "remove", number, 0));
    println!("vdirsyncer's storage, new, edited and removed: {}", figures(times));
    drop(orders);
    child.wait().unwrap();
}

//! Faults that really happen to the built program: each test says what becomes of it. docs/operating.md has the same as
//! a table.
//!
//! * [`backup`]: the ledger is copied, lost, and put back. [`history`]: it is not kept for ever.
//! * [`disk`]: the disk is full, or may not be written. [`damage`]: the ledger's file is not what it was.
//! * [`arrivals`]: how files and folders come and go while a folder is watched. [`properties`]: what describes a
//!   calendar is empty or half written. [`links`]: symbolic links. [`folders`]: the watched folder is not what it was.
//!   [`rivals`]: somebody else uses the ledger, or a later version has.
//! * [`clock`]: the clock is wrong, or the program stands still. [`descriptors`]: there are none left.
//! * [`files`]: a file is edited unseen, or cannot be read yet.
//! * [`network`]: an address of a server, or the server, is not there.
//! * [`secrets`]: the password or the certificates of one account, or of a mail server, are not there, or changed.
//! * [`streams`]: standard error cannot be written, standard output goes nowhere.
//! * [`stops`]: SIGTERM at each stage. SIGKILL is in [`crate::crash`].

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use reveille::clock::Clock;
use reveille::time::UtcMillis;

use crate::rehearsal::{Stage, event};

mod arrivals;
mod backup;
mod clock;
mod damage;
mod descriptors;
mod disk;
mod files;
mod folders;
mod history;
mod links;
mod network;
mod properties;
mod rivals;
mod secrets;
mod stops;
mod streams;

/// Set for a test that runs in a namespace of its own.
const INSIDE: &str = "REVEILLE_TEST_INSIDE";
/// For what happens soon on a quiet machine.
const SOON: Duration = Duration::from_secs(60);

/// The whole second that comes `seconds` after this one.
fn in_seconds(seconds: i64) -> UtcMillis {
    UtcMillis(Clock::System.now().0 / 1_000 * 1_000 + seconds * 1_000)
}

/// A second that is far enough away for `count` events to be written and taken in before.
fn after_writing(count: usize) -> UtcMillis {
    in_seconds(5 + i64::try_from(count / 250).unwrap())
}

/// Puts `count` events into the calendar of `stage` whose alarms fire at `due`.
fn put_many(stage: &Stage, count: usize, due: UtcMillis) {
    for n in 0..count {
        fs::write(stage.file(&format!("{n}.ics")), event(&n.to_string(), &due.basic(), "many")).unwrap();
    }
}

/// Looks again and again until `done`; fails with what `said` says when that takes too long.
pub fn wait_until(mut done: impl FnMut() -> bool, said: impl Fn() -> String) {
    let deadline = Instant::now() + SOON;
    while !done() {
        assert!(Instant::now() < deadline, "{}", said());
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// The ids of all that was announced: how many lines, and how many different ids.
fn announced(stage: &Stage) -> (usize, usize) {
    let ids: Vec<String> =
        stage.alarms().iter().map(|alarm| alarm["notificationId"].as_str().unwrap().to_owned()).collect();
    let different: std::collections::HashSet<&String> = ids.iter().collect();
    (ids.len(), different.len())
}

/// Where the ledger of `stage` is.
fn ledger(stage: &Stage) -> std::path::PathBuf {
    stage.path().join("ledger.db")
}

/// Whether the ledger at `path` can be read, without waiting for one that is being made.
fn readable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.len() > 0)
}

/// Runs the test `name` again as the superuser of namespaces of its own, with a folder of its own for temporary files.
/// True in that run; false when it is over, or could not be.
fn in_a_namespace(name: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let namespace = ["--user", "--map-root-user", "--mount", "--"];
    let allowed = Command::new("unshare").args(namespace).arg("true").stderr(Stdio::null()).status();
    if !allowed.is_ok_and(|status| status.success()) {
        eprintln!("{name}: NOT RUN: this system allows no namespaces (unshare)");
        return false;
    }
    let folder = tempfile::tempdir().unwrap();
    let inside = Command::new("unshare")
        .args(namespace)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .env("TMPDIR", folder.path())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&inside.stdout), String::from_utf8_lossy(&inside.stderr));
    assert!(inside.status.success() && out.contains("1 passed"), "{out}\n{err}");
    out.lines().filter(|line| line.contains(" pages")).for_each(|line| println!("{line}"));
    false
}

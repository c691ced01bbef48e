//! SIGTERM while the program starts, takes in, fires and delivers: it ends in order, and the next start goes on.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::io::ioctl_fionread;
use rustix::process::{Pid, Signal, kill_process};

use crate::daemon::{Daemon, undisturbed};
use crate::process::Lines;
use crate::rehearsal::{Stage, count};

use super::{SOON, after_writing, announced, in_seconds, ledger, put_many, wait_until};

const RINGS: &str = "SELECT count(*) FROM rings";
const OWED: &str = "SELECT count(*) FROM deliveries WHERE state != 'delivered'";
const MADE: &str = "SELECT count(*) FROM sqlite_schema WHERE name = 'deliveries_failed'";

/// What a question to the ledger of `stage` comes to; 0 while there is no ledger yet.
fn asked(stage: &Stage, sql: &'static str) -> i64 {
    let path = ledger(stage);
    if super::readable(&path) && count(&path, MADE) == 1 { count(&path, sql) } else { 0 }
}

/// Starts the daemon again until `rings` have rung and are delivered, and stops it.
fn finish(stage: &Stage, rings: usize) {
    let mut daemon = Daemon::start(stage.path(), &["run"]);
    // All may have been done before: then it is asked to stop before it has asked for signals.
    daemon.log.find(SOON, |line| line.contains("reveille is running")).unwrap();
    let all = i64::try_from(rings).unwrap();
    wait_until(|| asked(stage, RINGS) == all && asked(stage, OWED) == 0, || daemon.log.text());
    assert!(daemon.stop(SOON).success(), "{}", daemon.log.text());
}

#[test]
fn sigterm_during_the_start_ends_it_and_harms_nothing() {
    let stage = Stage::new();
    stage.put("a.ics", "20260310T123000Z", "a", "2026-03-01T00:00:00Z");
    stage.pass("2026-03-10T12:00:00Z");
    for n in 0..16_u32 {
        let mut daemon = Daemon::start(stage.path(), &["run"]);
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(6) * n {
            std::hint::spin_loop();
        }
        let status = daemon.stop(SOON);
        // Before it has asked for signals, the system ends it.
        let ended = std::os::unix::process::ExitStatusExt::signal(&status);
        assert!(status.success() || ended == Some(15), "{status}: {}", daemon.log.text());
    }
    let check = stage.reveille(&["check", "--offline"]);
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
}

#[test]
fn sigterm_during_intake_ends_it_and_the_next_start_takes_in_the_rest() {
    const EVENTS: usize = 3_000;
    let _quiet = undisturbed();
    let stage = Stage::new();
    put_many(&stage, EVENTS, in_seconds(3_600));
    let mut daemon = Daemon::start(stage.path(), &["run"]);
    wait_until(|| asked(&stage, "SELECT count(*) FROM objects") > 0, || daemon.log.text());
    assert!(daemon.stop(SOON).success(), "{}", daemon.log.text());
    stage.pass(&in_seconds(0).to_string());
    assert_eq!(count(&ledger(&stage), "SELECT count(*) FROM timers"), i64::try_from(EVENTS).unwrap());
    assert_eq!(announced(&stage), (0, 0));
}

#[test]
fn sigterm_during_firing_delivers_what_was_fired_and_the_next_start_fires_the_rest() {
    const EVENTS: usize = 4_000;
    let _quiet = undisturbed();
    let stage = Stage::new();
    put_many(&stage, EVENTS, after_writing(EVENTS));
    let mut daemon = Daemon::start(stage.path(), &["run"]);
    daemon.log.find(SOON, |line| line.contains("looked")).unwrap();
    wait_until(|| asked(&stage, RINGS) > 0, || daemon.log.text());
    assert!(daemon.stop(SOON).success(), "{}", daemon.log.text());
    assert_eq!(asked(&stage, OWED), 0, "what was fired is delivered before the end");
    assert_eq!(asked(&stage, RINGS), i64::try_from(announced(&stage).0).unwrap());
    finish(&stage, EVENTS);
    assert_eq!(announced(&stage), (EVENTS, EVENTS), "an end in order doubles nothing, not even on the wire");
}

#[test]
fn sigterm_during_delivering_waits_for_the_sink() {
    const EVENTS: usize = 1_000;
    let _quiet = undisturbed();
    let stage = Stage::new();
    let configured = std::fs::read_to_string(stage.path().join("reveille.toml")).unwrap();
    let stdout = configured.split("[[sink]]").next().unwrap().to_owned() + "[[sink]]\nkind = \"stdout\"\n";
    std::fs::write(stage.path().join("reveille.toml"), stdout).unwrap();
    put_many(&stage, EVENTS, after_writing(EVENTS));
    let mut child = Command::new(env!("CARGO_BIN_EXE_reveille"))
        .arg("run")
        .current_dir(stage.path())
        .env_remove("REVEILLE_CONFIG")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = Lines::of(child.stderr.take().unwrap());
    let mut out = child.stdout.take().unwrap();
    // Nobody reads: the pipe takes some lines and then no more.
    wait_until(|| ioctl_fionread(&out).unwrap() > 0, || log.text());
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    log.find(SOON, |line| line.contains("stopping: delivering what has been fired")).unwrap();
    let mut text = String::new();
    out.read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success(), "{}", log.text());
    assert_eq!(asked(&stage, OWED), 0);
    assert_eq!(i64::try_from(text.lines().count()).unwrap(), asked(&stage, RINGS));
}

//! File descriptors run out: at the start, and while the daemon runs.

use std::fs;
use std::process::Command;

use rustix::process::{Resource, Rlimit, prlimit};

use crate::daemon::{Daemon, undisturbed};
use crate::rehearsal::{Stage, event};

use super::{SOON, announced, in_seconds, put_many, wait_until};

#[test]
fn file_descriptors_that_do_not_suffice_are_reported_at_the_start_and_cost_nothing() {
    let stage = Stage::new();
    stage.put("a.ics", "20260310T123000Z", "a", "2026-03-01T00:00:00Z");
    stage.pass("2026-03-10T12:00:00Z");
    let limited = |limit: u32| {
        let said = Command::new("sh")
            .args(["-c", "ulimit -n $0 && exec \"$@\"", &limit.to_string(), env!("CARGO_BIN_EXE_reveille")])
            .args(["run", "--once", "--at", "2026-03-10T12:30:00Z"])
            .current_dir(stage.path())
            .env_remove("REVEILLE_CONFIG")
            .output()
            .unwrap();
        (said.status.code(), String::from_utf8(said.stderr).unwrap())
    };
    // With fewer the system's loader cannot open the libraries.
    for limit in [6, 12, 24, 48, 63] {
        let (status, told) = limited(limit);
        assert_eq!(status, Some(1), "{told}");
        assert!(
            told.starts_with(&format!("error: only {limit} files may be open at once, and 64 are needed")),
            "{told}"
        );
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    assert_eq!(stage.fired(), [""; 0]);
    let (status, told) = limited(64);
    assert_eq!(status, Some(0), "{told}");
    assert_eq!(stage.fired(), ["20260310T123000Z a"]);
}

#[test]
fn file_descriptors_exhausted_in_a_running_daemon_delay_alarms_and_lose_none() {
    let _quiet = undisturbed();
    let stage = Stage::new();
    put_many(&stage, 20, in_seconds(4));
    let mut daemon = Daemon::start(stage.path(), &["run"]);
    daemon.log.find(SOON, |line| line.contains("sync finished")).unwrap();
    // It runs once the wheel and the clock's minder have their timers; the first sync may be over before.
    let descriptors = format!("/proc/{}/fd", daemon.pid().as_raw_nonzero());
    let timers = || {
        let leads_to = |entry: std::io::Result<fs::DirEntry>| fs::read_link(entry.ok()?.path()).ok();
        let all = fs::read_dir(&descriptors).unwrap().filter_map(leads_to);
        all.filter(|target| target.to_string_lossy().contains("timerfd")).count()
    };
    wait_until(|| timers() == 2, || daemon.log.text());
    let before =
        prlimit(Some(daemon.pid()), Resource::Nofile, Rlimit { current: Some(0), maximum: Some(1024) }).unwrap();
    // Neither the sink's file can be opened, nor another connection to the ledger; which is wanted first is chance.
    let of_descriptors =
        |line: &str| line.contains("Too many open files") || line.contains("unable to open database file");
    let told = daemon.log.find(SOON, |line| of_descriptors(line) && !line.contains("source"));
    assert!(told.is_some(), "{}", daemon.log.text());
    let late = event("late", &in_seconds(8).basic(), "late");
    fs::write(stage.file("late.ics"), late).unwrap();
    let unread = daemon.log.find(SOON, |line| line.contains("WARN") && line.contains("source"));
    assert!(unread.is_some(), "{}", daemon.log.text());
    assert_eq!(stage.alarms().len(), 0);
    let again = Rlimit { current: Some(1024), maximum: before.maximum.map(|_| 1024) };
    prlimit(Some(daemon.pid()), Resource::Nofile, again).unwrap();
    // Nobody says that the file can be read now: it is tried again.
    wait_until(|| stage.alarms().len() >= 21, || daemon.log.text());
    // And the folder is watched again.
    fs::write(stage.file("last.ics"), event("last", &in_seconds(2).basic(), "last")).unwrap();
    wait_until(|| stage.alarms().len() >= 22, || daemon.log.text());
    assert!(daemon.stop(SOON).success(), "{}", daemon.log.text());
    assert_eq!(announced(&stage), (22, 22));
}

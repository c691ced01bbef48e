//! The clock is set forward and back, and the program stands still while time goes on.
//!
//! The machine's clock is everybody's, and a time namespace does not shift it, so a set clock is rehearsed through the
//! program's own clock: `run --once --at`, and a daemon whose clock a test moves. Where libfaketime is installed, or
//! `REVEILLE_LIBFAKETIME` names it, the running daemon is shown another time as well; what that cannot show is that the
//! kernel wakes it when the clock is set.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use reveille::clock::Clock;
use reveille::config::{self, Overrides};
use reveille::daemon;
use reveille::time::UtcMillis;
use rustix::process::{Signal, kill_process};

use crate::daemon::{Daemon, undisturbed};
use crate::rehearsal::{Stage, count, event};

use super::{SOON, after_writing, announced, in_seconds, ledger, put_many, wait_until};

fn daily(stage: &Stage, name: &str, start: &str) {
    let text = event(name, start, "daily").replace("DURATION:", "RRULE:FREQ=DAILY\r\nDURATION:");
    fs::write(stage.file(name), text).unwrap();
}

#[test]
fn a_clock_set_forward_by_an_hour_and_back_fires_each_alarm_once() {
    let stage = Stage::new();
    for (name, start) in [("a.ics", "20260310T121000Z"), ("b.ics", "20260310T125000Z"), ("c.ics", "20260310T133000Z")] {
        stage.put(name, start, name, "2026-03-01T00:00:00Z");
    }
    stage.pass("2026-03-10T12:00:00Z");
    stage.pass("2026-03-10T13:00:00Z");
    let both = ["20260310T121000Z a.ics", "20260310T125000Z b.ics"];
    assert_eq!(stage.fired(), both, "by the clock that is ahead");
    for instant in ["2026-03-10T12:05:00Z", "2026-03-10T12:10:00Z", "2026-03-10T12:50:00Z", "2026-03-10T13:01:00Z"] {
        stage.pass(instant);
        assert_eq!(stage.fired(), both, "{instant}");
    }
    stage.put("d.ics", "20260310T130500Z", "d.ics", "2026-03-10T13:02:00Z");
    stage.pass("2026-03-10T13:30:00Z");
    assert_eq!(stage.fired()[2..], ["20260310T130500Z d.ics", "20260310T133000Z c.ics"]);
}

#[test]
fn a_clock_set_forward_by_years_and_back_loses_no_alarm_that_is_still_to_come() {
    let stage = Stage::new();
    stage.put("a.ics", "20260310T123000Z", "a", "2026-03-01T00:00:00Z");
    stage.put("b.ics", "20260311T090000Z", "b", "2026-03-01T00:00:00Z");
    daily(&stage, "daily.ics", "20260301T120500Z");
    stage.pass("2026-03-10T12:00:00Z");
    // The machine starts with a wrong clock. What lies in between is more than a day old to it.
    stage.pass("2041-06-01T00:00:00Z");
    assert_eq!(stage.fired(), ["20410531T120500Z daily"], "less than a day old by that clock");
    stage.put("c.ics", "20260310T121500Z", "c", "2026-03-10T12:01:00Z");
    let log = stage.pass("2026-03-10T12:02:00Z");
    assert!(log.contains("the clock was ahead and has been set back"), "{log}");
    for instant in ["2026-03-10T12:31:00Z", "2026-03-11T09:00:00Z", "2026-03-11T12:06:00Z"] {
        let log = stage.pass(instant);
        assert!(!log.contains("the clock was ahead"), "it is mended once: {log}");
    }
    let fired = stage.fired();
    let mut since: Vec<&str> = fired[1..].iter().map(String::as_str).collect();
    since.sort_unstable();
    let expected = [
        "20260310T120500Z daily",
        "20260310T121500Z c",
        "20260310T123000Z a",
        "20260311T090000Z b",
        "20260311T120500Z daily",
    ];
    assert_eq!(since, expected);
    assert_eq!(announced(&stage).1, fired.len(), "each once");
}

#[test]
fn what_came_due_while_the_clock_was_years_ahead_fires_once_it_is_right() {
    let stage = Stage::new();
    stage.configure("max_lateness = \"1h\"");
    for (name, start) in
        [("old.ics", "20260310T110500Z"), ("late.ics", "20260310T120500Z"), ("b.ics", "20260310T123000Z")]
    {
        stage.put(name, start, name, "2026-03-01T00:00:00Z");
    }
    stage.pass("2026-03-10T11:00:00Z");
    stage.pass("2041-06-01T00:00:00Z");
    assert_eq!(stage.fired(), [""; 0]);
    let log = stage.pass("2026-03-10T12:10:00Z");
    assert!(log.contains("the clock was ahead and has been set back"), "{log}");
    stage.pass("2026-03-10T12:31:00Z");
    assert_eq!(stage.fired(), ["20260310T120500Z late.ics", "20260310T123000Z b.ics"]);
    assert_eq!(
        count(&ledger(&stage), "SELECT count(*) FROM firings WHERE state = 'missed'"),
        1,
        "too late by any clock"
    );
}

#[test]
fn what_a_clock_that_was_ahead_gave_up_is_sent_once_it_is_right() {
    let stage = Stage::new();
    fs::create_dir(stage.path().join("alarms.jsonl")).unwrap();
    stage.put("a.ics", "20260310T123000Z", "a", "2026-03-01T00:00:00Z");
    stage.pass("2026-03-10T12:00:00Z");
    let at = |instant: &str| stage.reveille(&["run", "--once", "--at", instant]);
    assert_eq!(at("2026-03-10T12:30:00Z").status.code(), Some(1), "a folder is no file to write to");
    assert_eq!(at("2026-03-12T12:30:00Z").status.code(), Some(1));
    let answers = |state: &str| stage.listing(&["deliveries", state]).len();
    assert_eq!((answers("--failed"), answers("--pending")), (1, 0), "it is two days old by that clock");
    fs::remove_dir(stage.path().join("alarms.jsonl")).unwrap();
    stage.pass("2026-03-10T12:33:00Z");
    assert_eq!(stage.fired(), ["20260310T123000Z a"]);
    assert_eq!((answers("--failed"), answers("--pending")), (0, 0));
    // What is given up by a clock that is right stays so.
    fs::rename(stage.path().join("alarms.jsonl"), stage.path().join("old")).unwrap();
    fs::create_dir(stage.path().join("alarms.jsonl")).unwrap();
    stage.put("b.ics", "20260310T130000Z", "b", "2026-03-01T00:00:00Z");
    for instant in ["2026-03-10T12:59:00Z", "2026-03-10T13:00:00Z", "2026-03-12T13:00:00Z", "2026-03-12T13:00:30Z"] {
        at(instant);
    }
    assert_eq!(answers("--failed"), 1);
}

#[test]
fn a_clock_set_back_by_an_hour_fires_nothing_twice_and_goes_on_with_what_is_new() {
    let stage = Stage::new();
    stage.put("a.ics", "20260310T115500Z", "a", "2026-03-01T00:00:00Z");
    stage.pass("2026-03-10T11:50:00Z");
    stage.pass("2026-03-10T12:00:00Z");
    stage.pass("2026-03-10T11:00:00Z");
    stage.put("b.ics", "20260310T113000Z", "b", "2026-03-10T11:10:00Z");
    for instant in ["2026-03-10T11:20:00Z", "2026-03-10T11:30:00Z", "2026-03-10T11:55:00Z", "2026-03-10T12:30:00Z"] {
        stage.pass(instant);
    }
    assert_eq!(stage.fired(), ["20260310T115500Z a", "20260310T113000Z b"]);
}

#[test]
fn sigstop_for_an_hour_of_virtual_time_fires_everything_late_and_once() {
    let stage = Stage::new();
    for minute in 0..60 {
        let start = format!("20260310T12{minute:02}30Z");
        stage.put(&format!("{minute}.ics"), &start, "hourful", "2026-03-01T00:00:00Z");
    }
    let file = stage.path().join("reveille.toml");
    let read_config: daemon::ReadConfig = Arc::new(move || config::load(Some(&file), &Overrides::default(), &|_| None));
    let config = read_config().unwrap();
    let clock = Clock::manual(UtcMillis::parse("2026-03-10T12:00:00Z").unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let running = runtime.spawn(daemon::run(config, clock.clone(), read_config));
    let armed = || super::readable(&ledger(&stage)) && tables(&stage) && count(&ledger(&stage), TIMERS) == 60;
    wait_until(armed, || "the events are not taken in".to_owned());
    // To a process that was stopped, an hour passes between two of its instructions.
    clock.set(UtcMillis::parse("2026-03-10T13:00:00Z").unwrap());
    wait_until(|| stage.alarms().len() >= 60, || "not everything fires".to_owned());
    running.abort();
    runtime.shutdown_timeout(Duration::from_secs(10));
    assert_eq!(announced(&stage), (60, 60));
    let late = count(&ledger(&stage), "SELECT count(*) FROM firings WHERE state = 'fired' AND fired_at - due >= 30000");
    assert_eq!(late, 60);
}

const TIMERS: &str = "SELECT count(*) FROM timers";

/// Whether the ledger has been made.
fn tables(stage: &Stage) -> bool {
    count(&ledger(stage), "SELECT count(*) FROM sqlite_schema WHERE name = 'deliveries_failed'") == 1
}

#[test]
fn sigstop_over_a_burst_fires_everything_late_and_once() {
    let _quiet = undisturbed();
    let stage = Stage::new();
    let due = after_writing(500);
    put_many(&stage, 500, due);
    let mut daemon = Daemon::start(stage.path(), &["run"]);
    daemon.log.find(SOON, |line| line.contains("sync finished")).unwrap();
    kill_process(daemon.pid(), Signal::STOP).unwrap();
    wait_until(
        || Clock::System.now() > due.saturating_add(SignedDuration::from_secs(3)),
        || "time stands still".to_owned(),
    );
    assert_eq!(stage.alarms().len(), 0, "it was stopped before they were due");
    kill_process(daemon.pid(), Signal::CONT).unwrap();
    wait_until(|| stage.alarms().len() >= 500, || daemon.log.text());
    assert!(daemon.stop(SOON).success());
    assert_eq!(announced(&stage), (500, 500));
    assert!(daemon.log.text().contains("late"), "{}", daemon.log.text());
}

/// The library that shows a program with threads another time; none where it is not installed.
fn libfaketime() -> Option<PathBuf> {
    let usual = ["x86_64", "aarch64"].map(|arch| format!("/usr/lib/{arch}-linux-gnu/faketime/libfaketimeMT.so.1"));
    let named = std::env::var("REVEILLE_LIBFAKETIME").ok();
    named.into_iter().chain(usual).map(PathBuf::from).find(|path| path.exists())
}

#[test]
fn a_clock_set_under_a_running_daemon_doubles_nothing_and_loses_nothing_that_is_to_come() {
    let Some(library) = libfaketime() else {
        eprintln!("NOT RUN: libfaketime is not installed; a set clock is rehearsed through the program's own alone");
        return;
    };
    let _quiet = undisturbed();
    let stage = Stage::new();
    let offset = stage.path().join("offset");
    let set = |seconds: i64| fs::write(&offset, format!("{seconds:+}")).unwrap();
    let put = |name: &str, due: UtcMillis| {
        let scratch = stage.path().join(name);
        fs::write(&scratch, event(name, &due.basic(), name)).unwrap();
        fs::rename(scratch, stage.file(name)).unwrap();
    };
    let variables = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME_TIMESTAMP_FILE", offset.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("NO_FAKE_STAT", "1"),
    ];
    set(0);
    put("in-30-minutes.ics", in_seconds(1_800));
    put("in-26-hours.ics", in_seconds(26 * 3_600));
    let mut daemon = Daemon::start_with(stage.path(), &["run"], &variables);
    daemon.log.find(SOON, |line| line.contains("sync finished")).unwrap();
    let fired = |count: usize, log: &Daemon| wait_until(|| stage.alarms().len() >= count, || log.log.text());

    // Each new event makes the daemon look at its clock, for the library cannot wake it.
    set(3_600);
    put("in-2-days.ics", in_seconds(2 * 86_400));
    fired(1, &daemon);
    set(0);
    put("soon.ics", in_seconds(6));
    fired(2, &daemon);
    assert!(stage.fired()[1].ends_with("soon.ics"), "{:?}", stage.fired());

    // Ten days ahead, the alarms of the next days are missed; back again, they are not.
    set(10 * 86_400);
    put("in-20-days.ics", in_seconds(20 * 86_400));
    let missed = || count(&ledger(&stage), "SELECT count(*) FROM firings WHERE state = 'missed'");
    wait_until(|| missed() == 2, || daemon.log.text());
    assert!(daemon.stop(SOON).success(), "{}", daemon.log.text());
    set(0);
    let mut daemon = Daemon::start_with(stage.path(), &["run"], &variables);
    daemon.log.find(SOON, |line| line.contains("the clock was ahead and has been set back")).unwrap();
    assert!(daemon.stop(SOON).success(), "{}", daemon.log.text());
    // The alarm that fired half an hour early is armed too, and is known to have fired when its time comes.
    assert_eq!((missed(), count(&ledger(&stage), TIMERS)), (0, 4));
    assert_eq!(announced(&stage), (2, 2));
}

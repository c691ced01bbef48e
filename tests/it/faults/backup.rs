//! A backup, and a ledger that was put back: what has rung since the copy was made does not ring again.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use reveille::clock::Clock;

use crate::daemon::{Daemon, undisturbed};
use crate::rehearsal::{Stage, count, event};

const SOON: Duration = Duration::from_secs(60);

/// A ledger that was copied at 12:00, has rung at 12:30, and was lost; another alarm was due at 12:50.
fn lost() -> (Stage, PathBuf) {
    let stage = Stage::new();
    for (name, start) in [("a.ics", "20260310T120000Z"), ("b.ics", "20260310T123000Z"), ("c.ics", "20260310T125000Z")] {
        stage.put(name, start, name, "2026-03-01T00:00:00Z");
    }
    stage.pass("2026-03-10T12:00:00Z");
    let copy = stage.path().join("copy.db");
    let said = stage.reveille(&["backup", "copy.db"]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    // Made and rung after the copy: the copy knows nothing of it.
    stage.put("d.ics", "20260310T123500Z", "d.ics", "2026-03-10T12:20:00Z");
    stage.pass("2026-03-10T12:40:00Z");
    assert_eq!(stage.rung(), ["20260310T120000Z a.ics", "20260310T123000Z b.ics", "20260310T123500Z d.ics"]);
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let _ = fs::remove_file(stage.path().join(name));
    }
    fs::remove_file(stage.path().join("alarms.jsonl")).unwrap();
    (stage, copy)
}

/// due and state of every ring, by due.
fn history(stage: &Stage) -> Vec<String> {
    let rings = stage.listing(&["firings", "--since", "2026-01-01T00:00:00Z"]);
    let word = |ring: &serde_json::Value, key: &str| ring[key].as_str().unwrap().to_owned();
    let mut rings: Vec<String> =
        rings.iter().map(|ring| format!("{} {}", &word(ring, "due")[11..16], word(ring, "state"))).collect();
    rings.sort();
    rings
}

#[test]
fn backup_and_restore_what_was_rung_since_does_not_ring_again_and_the_rest_rings_late() {
    let (stage, _) = lost();
    let said = stage.reveille(&["restore", "copy.db", "--fired-until", "2026-03-10T12:40:00Z"]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let told = String::from_utf8(said.stderr).unwrap();
    assert!(told.contains("what was due until 2026-03-10 12:40:00Z counts as rung"), "{told}");
    stage.put("e.ics", "20260310T131000Z", "e.ics", "2026-03-10T12:55:00Z");
    stage.pass("2026-03-10T13:00:00Z");
    assert_eq!(stage.rung(), ["20260310T125000Z c.ics"], "it was due after the ledger was lost");
    assert_eq!(history(&stage), ["12:00 fired", "12:30 missed", "12:35 missed", "12:50 fired"]);
    stage.pass("2026-03-10T14:00:00Z");
    assert_eq!(stage.rung(), ["20260310T125000Z c.ics", "20260310T131000Z e.ics"], "and what is to come rings");
}

#[test]
fn backup_put_back_by_hand_nothing_that_is_past_rings_again() {
    let (stage, copy) = lost();
    fs::rename(copy, stage.path().join("ledger.db")).unwrap();
    let log = stage.pass("2026-03-10T13:00:00Z");
    assert!(log.contains("this ledger is a backup that was put back"), "{log}");
    assert_eq!(stage.rung(), [""; 0]);
    assert_eq!(history(&stage), ["12:00 fired", "12:30 missed", "12:35 missed", "12:50 missed"]);
    stage.put("e.ics", "20260310T133000Z", "e.ics", "2026-03-10T13:10:00Z");
    stage.pass("2026-03-10T14:00:00Z");
    assert_eq!(stage.rung(), ["20260310T133000Z e.ics"]);
}

#[test]
fn restore_refuses_a_moment_to_come_and_a_place_that_is_taken() {
    let (stage, _) = lost();
    let future = stage.reveille(&["restore", "copy.db", "--fired-until", "2999-01-01T00:00:00Z"]);
    assert_eq!(future.status.code(), Some(2));
    assert!(stage.reveille(&["restore", "copy.db"]).status.success());
    let taken = stage.reveille(&["restore", "copy.db"]);
    assert_eq!(taken.status.code(), Some(1));
    let told = String::from_utf8(taken.stderr).unwrap();
    assert!(told.contains("ledger.db is there already, and nothing is written over"), "{told}");
}

#[test]
fn backups_during_a_burst_are_whole_and_delay_nothing() {
    const BURST: i64 = 2_000;
    let _quiet = undisturbed();
    let stage = Stage::new();
    let due = super::after_writing(BURST.unsigned_abs() as usize);
    for n in 0..BURST {
        fs::write(stage.file(&format!("{n}.ics")), event(&n.to_string(), &due.basic(), "burst")).unwrap();
    }
    let mut daemon = Daemon::start(stage.path(), &["run"]);
    let ledger = stage.path().join("ledger.db");
    daemon.log.find(SOON, |line| line.contains("looked")).unwrap();
    let mut copies = Vec::new();
    // From before the burst until all of it is delivered.
    loop {
        let name = format!("copy-{}.db", copies.len());
        let said = stage.reveille(&["backup", &name]);
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        copies.push(stage.path().join(name));
        if count(&ledger, "SELECT count(*) FROM deliveries WHERE state = 'delivered'") == BURST {
            break;
        }
        assert!(Clock::System.now() < due.plus(60_000), "{}", daemon.log.text());
    }
    assert!(daemon.stop(SOON).success());
    for copy in copies {
        let (rings, timers, owed) = (
            count(&copy, "SELECT count(*) FROM rings"),
            count(&copy, "SELECT count(*) FROM timers"),
            count(&copy, "SELECT count(*) FROM deliveries"),
        );
        assert_eq!((rings + timers, rings), (BURST, owed), "each alarm is armed or has rung, and then it is owed");
    }
    assert_eq!(stage.rung().len(), usize::try_from(BURST).unwrap());
}

//! A backup, and a ledger that was put back: what has fired since the copy was made does not fire again.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;
use reveille::clock::Clock;

use crate::daemon::{Daemon, undisturbed};
use crate::rehearsal::{Stage, count, event};

const SOON: Duration = Duration::from_secs(60);

/// A ledger that was copied at 12:00, has fired at 12:30, and was lost; another alarm was due at 12:50.
fn lost() -> (Stage, PathBuf) {
    let stage = Stage::new();
    for (name, start) in [("a.ics", "20260310T120000Z"), ("b.ics", "20260310T123000Z"), ("c.ics", "20260310T125000Z")] {
        stage.put(name, start, name, "2026-03-01T00:00:00Z");
    }
    stage.pass("2026-03-10T12:00:00Z");
    let copy = stage.path().join("copy.db");
    let said = stage.reveille(&["backup", "copy.db"]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    // Made and fired after the copy: the copy knows nothing of it.
    stage.put("d.ics", "20260310T123500Z", "d.ics", "2026-03-10T12:20:00Z");
    stage.pass("2026-03-10T12:40:00Z");
    assert_eq!(stage.fired(), ["20260310T120000Z a.ics", "20260310T123000Z b.ics", "20260310T123500Z d.ics"]);
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let _ = fs::remove_file(stage.path().join(name));
    }
    fs::remove_file(stage.path().join("alarms.jsonl")).unwrap();
    (stage, copy)
}

/// due and state of every firing, by due.
fn history(stage: &Stage) -> Vec<String> {
    let firings = stage.listing(&["firings", "--since", "2026-01-01T00:00:00Z"]);
    let word = |firing: &serde_json::Value, key: &str| firing[key].as_str().unwrap().to_owned();
    let mut firings: Vec<String> =
        firings.iter().map(|firing| format!("{} {}", &word(firing, "due")[11..16], word(firing, "state"))).collect();
    firings.sort();
    firings
}

#[test]
fn backup_and_restore_what_has_fired_since_does_not_fire_again_and_the_rest_fires_late() {
    let (stage, _) = lost();
    let said = stage.reveille(&["restore", "copy.db", "--fired-until", "2026-03-10T12:40:00Z"]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let told = String::from_utf8(said.stderr).unwrap();
    assert!(told.contains("what was due until 2026-03-10 12:40:00Z counts as fired"), "{told}");
    stage.put("e.ics", "20260310T131000Z", "e.ics", "2026-03-10T12:55:00Z");
    stage.pass("2026-03-10T13:00:00Z");
    assert_eq!(stage.fired(), ["20260310T125000Z c.ics"], "it was due after the ledger was lost");
    assert_eq!(history(&stage), ["12:00 fired", "12:30 missed", "12:35 missed", "12:50 fired"]);
    stage.pass("2026-03-10T14:00:00Z");
    assert_eq!(stage.fired(), ["20260310T125000Z c.ics", "20260310T131000Z e.ics"], "and what is to come fires");
}

#[test]
fn backup_put_back_by_hand_nothing_that_is_past_fires_again() {
    let (stage, copy) = lost();
    fs::rename(copy, stage.path().join("ledger.db")).unwrap();
    let log = stage.pass("2026-03-10T13:00:00Z");
    assert!(log.contains("this ledger is a restored backup"), "{log}");
    assert_eq!(stage.fired(), [""; 0]);
    assert_eq!(history(&stage), ["12:00 fired", "12:30 missed", "12:35 missed", "12:50 missed"]);
    stage.put("e.ics", "20260310T133000Z", "e.ics", "2026-03-10T13:10:00Z");
    stage.pass("2026-03-10T14:00:00Z");
    assert_eq!(stage.fired(), ["20260310T133000Z e.ics"]);
}

#[test]
fn restore_of_a_damaged_copy_names_the_copy_and_leaves_nothing() {
    let (stage, copy) = lost();
    let whole = fs::read(&copy).unwrap();
    let bad = stage.path().join("bad.db");
    let turned = |octet: usize| {
        let mut octets = whole.clone();
        octets[octet] ^= 0x80;
        octets
    };
    // The first octet of a page says what kind of page it is.
    let of_firings =
        usize::try_from(count(&copy, "SELECT rootpage FROM sqlite_schema WHERE name = 'firings'")).unwrap();
    let damaged = [
        ("empty", Vec::new()),
        ("its beginning", whole[..50].to_vec()),
        ("cut within a page", whole[..whole.len() - 1].to_vec()),
        ("cut after a page", whole[..whole.len() - 4_096].to_vec()),
        ("header", turned(3)),
        ("schema", turned(100)),
        ("firings", turned((of_firings - 1) * 4_096)),
    ];
    for (what, octets) in damaged {
        fs::write(&bad, octets).unwrap();
        let said = stage.reveille(&["restore", "bad.db"]);
        let told = String::from_utf8(said.stderr).unwrap();
        assert_eq!((said.status.code(), told.lines().count()), (Some(1), 1), "{what}: {told}");
        let about_it = told.contains("the copy bad.db cannot be put back: it is ");
        assert!(about_it && (what == "empty" || told.contains("damaged (")), "{what}: {told}");
        assert!(!stage.path().join("ledger.db").exists(), "{what}");
    }
    assert!(stage.reveille(&["restore", "copy.db"]).status.success());
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

/// The drafts of copies in the folder of `stage`.
fn drafts(stage: &Stage) -> Vec<String> {
    let names = fs::read_dir(stage.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("copy.db.") && name.ends_with(".partial")).collect()
}

#[test]
fn backups_to_one_name_at_once_one_is_made_and_the_others_refuse() {
    let stage = Stage::new();
    for n in 0..200 {
        stage.put(&format!("{n}.ics"), "20260310T123000Z", "many", "2026-03-01T00:00:00Z");
    }
    stage.pass("2026-03-10T12:00:00Z");
    // Of a former way to name drafts, and somebody's own.
    fs::write(stage.path().join("copy.db.partial"), "mine").unwrap();
    for _ in 0..5 {
        let copies: Vec<Daemon> = (0..4).map(|_| Daemon::start(stage.path(), &["backup", "copy.db"])).collect();
        let mut made = 0;
        for mut copy in copies {
            let status = copy.wait(SOON);
            made += usize::from(status.success());
            assert!(status.success() || copy.log.text().contains("copy.db is there already"), "{}", copy.log.text());
        }
        assert_eq!((made, drafts(&stage)), (1, vec!["copy.db.partial".to_owned()]));
        assert_eq!(count(&stage.path().join("copy.db"), "SELECT count(*) FROM timers"), 200);
        fs::remove_file(stage.path().join("copy.db")).unwrap();
    }
    assert_eq!(fs::read_to_string(stage.path().join("copy.db.partial")).unwrap(), "mine");
}

#[test]
fn a_backup_that_is_killed_leaves_a_draft_and_no_copy_and_is_made_again() {
    let stage = Stage::new();
    for n in 0..2_000 {
        stage.put(&format!("{n}.ics"), "20260310T123000Z", "many", "2026-03-01T00:00:00Z");
    }
    stage.pass("2026-03-10T12:00:00Z");
    while drafts(&stage).is_empty() {
        let mut backup = Daemon::start(stage.path(), &["backup", "copy.db"]);
        let made = || stage.path().join("copy.db").exists();
        super::wait_until(|| made() || !drafts(&stage).is_empty(), || backup.log.text());
        backup.kill();
        if made() {
            fs::remove_file(stage.path().join("copy.db")).unwrap();
        }
    }
    let left = drafts(&stage);
    assert!(stage.reveille(&["backup", "copy.db"]).status.success());
    assert_eq!(count(&stage.path().join("copy.db"), "SELECT count(*) FROM timers"), 2_000);
    assert_eq!(drafts(&stage), left, "it is not known whether somebody still writes it");
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
    daemon.log.find(SOON, |line| line.contains("sync finished")).unwrap();
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
        assert!(Clock::System.now() < due.saturating_add(SignedDuration::from_mins(1)), "{}", daemon.log.text());
    }
    assert!(daemon.stop(SOON).success());
    for copy in copies {
        let (firings, timers, owed) = (
            count(&copy, "SELECT count(*) FROM firings"),
            count(&copy, "SELECT count(*) FROM timers"),
            count(&copy, "SELECT count(*) FROM deliveries"),
        );
        assert_eq!((firings + timers, firings), (BURST, owed), "each alarm is armed or has fired, and then it is owed");
    }
    assert_eq!(stage.fired().len(), usize::try_from(BURST).unwrap());
}

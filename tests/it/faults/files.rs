//! A file is not what it seems: edited with its old size and time, or there without being readable.

use std::fs;
use std::path::Path;

use crate::rehearsal::{Stage, count, event};

use super::ledger;
use super::rivals::{execute, other};

/// Writes `text` into `file` in place, and puts back when it was modified, as `rsync -t` and `cp -p` do.
fn overwrite(file: &Path, text: &str) {
    let before = file.metadata().unwrap();
    fs::write(file, text).unwrap();
    fs::File::options().write(true).open(file).unwrap().set_modified(before.modified().unwrap()).unwrap();
    let after = file.metadata().unwrap();
    assert_eq!((after.len(), after.modified().unwrap()), (before.len(), before.modified().unwrap()));
}

#[test]
fn a_file_that_is_edited_unseen_is_read_although_its_size_and_time_are_the_old_ones() {
    let stage = Stage::new();
    stage.put("a.ics", "20260310T123000Z", "a", "2026-03-01T00:00:00Z");
    stage.pass("2026-03-10T12:00:00Z");
    overwrite(&stage.file("a.ics"), &event("a.ics", "20260310T124500Z", "a"));
    stage.pass("2026-03-10T12:40:00Z");
    assert_eq!(stage.fired(), [""; 0]);
    stage.pass("2026-03-10T13:00:00Z");
    assert_eq!(stage.fired(), ["20260310T124500Z a"]);
}

/// How many objects the last sync handed in, as `log` says.
fn changes(log: &str) -> &str {
    log.lines().find_map(|line| line.split_once("changes=")).unwrap_or_else(|| panic!("{log}")).1
}

#[test]
fn versions_of_an_earlier_ledger_cost_one_sync_and_fire_nothing_again() {
    let stage = Stage::new();
    let daily = |uid: &str| event(uid, "20251201T123000Z", uid).replace("DURATION", "RRULE:FREQ=DAILY\r\nDURATION");
    fs::write(stage.file("a.ics"), daily("a")).unwrap();
    // What is faulty in it does not matter, and is listed.
    fs::write(stage.file("b.ics"), daily("b").replace("TRIGGER:PT0S", "TRIGGER:-PT0D")).unwrap();
    for name in ["a.ics", "b.ics"] {
        crate::rehearsal::touch(&stage.file(name), "2025-12-01T00:00:00Z");
    }
    stage.pass("2026-03-10T12:00:00Z");
    stage.pass("2026-03-10T13:00:00Z");
    let shown = &stage.listing(&["show", "b@example.org"])[0];
    assert_ne!(shown["faults"].as_array().map(Vec::len), Some(0), "{shown}");
    execute(&mut other(&ledger(&stage)), "UPDATE objects SET etag = substr(etag, 1, length(etag) - 21)");
    let log = stage.pass("2026-03-10T13:30:00Z");
    assert!(changes(&log).starts_with('2'), "{log}");
    let log = stage.pass("2026-03-10T13:31:00Z");
    assert!(changes(&log).starts_with('0'), "{log}");
    stage.pass("2026-03-11T12:29:00Z");
    let recorded = || count(&ledger(&stage), "SELECT count(*) FROM firings");
    assert_eq!(recorded(), 2);
    stage.pass("2026-03-11T12:30:00Z");
    assert_eq!((recorded(), stage.fired().len()), (4, 4));
}

//! The history is forgotten after a while: not what is owed, and nothing fires again for it.

use std::fs;

use crate::rehearsal::{Stage, count};

use super::ledger;

fn firings(stage: &Stage) -> Vec<String> {
    let firings = stage.listing(&["firings", "--since", "2026-01-01T00:00:00Z"]);
    let mut dues: Vec<String> = firings.iter().map(|firing| firing["due"].as_str().unwrap()[..10].to_owned()).collect();
    dues.sort();
    dues
}

#[test]
fn history_older_than_keep_history_is_forgotten_and_what_it_held_does_not_fire_again() {
    let stage = Stage::new();
    stage.configure_ledger("keep_history = \"30d\"", "");
    stage.put("a.ics", "20260310T120000Z", "a", "2026-03-01T00:00:00Z");
    stage.put("b.ics", "20260401T120000Z", "b", "2026-03-01T00:00:00Z");
    stage.pass("2026-03-10T12:00:00Z");
    stage.pass("2026-04-01T12:00:00Z");
    assert_eq!(firings(&stage), ["2026-03-10", "2026-04-01"]);
    // The clock has jumped, or nobody looked: for an hour nothing is forgotten that cannot come back.
    stage.pass("2099-01-01T00:00:00Z");
    stage.pass("2026-04-15T11:00:00Z");
    stage.pass("2026-04-15T11:59:59Z");
    assert_eq!(firings(&stage), ["2026-03-10", "2026-04-01"]);
    let log = stage.pass("2026-04-15T12:00:00Z");
    assert!(log.contains("old history was forgotten") && log.contains("firings=1"), "{log}");
    assert_eq!(firings(&stage), ["2026-04-01"]);
    // Uploaded again as it was, and with another text: it is past.
    stage.put("a.ics", "20260310T120000Z", "again", "2026-03-01T00:00:00Z");
    stage.put("c.ics", "20260310T120000Z", "copy", "2026-03-01T00:00:00Z");
    stage.pass("2026-04-15T12:01:00Z");
    assert_eq!(stage.fired(), ["20260310T120000Z a", "20260401T120000Z b"]);
}

#[test]
fn history_that_is_still_owed_is_kept_however_old_it_is() {
    let stage = Stage::new();
    stage.configure_ledger("keep_history = \"30d\"", "");
    let text = fs::read_to_string(stage.path().join("reveille.toml")).unwrap();
    fs::write(stage.path().join("reveille.toml"), text + "give_up_after = \"365d\"\n").unwrap();
    fs::create_dir(stage.path().join("alarms.jsonl")).unwrap();
    stage.put("a.ics", "20260310T120000Z", "a", "2026-03-01T00:00:00Z");
    for instant in ["2026-03-10T12:00:00Z", "2026-06-10T12:00:00Z"] {
        let said = stage.reveille(&["run", "--once", "--at", instant]);
        assert_eq!(said.status.code(), Some(1), "a folder is no file to write to");
    }
    assert_eq!(count(&ledger(&stage), "SELECT count(*) FROM deliveries WHERE state = 'pending'"), 1);
    fs::remove_dir(stage.path().join("alarms.jsonl")).unwrap();
    stage.pass("2026-06-10T13:00:00Z");
    stage.pass("2026-06-10T14:00:00Z");
    assert_eq!(stage.fired(), ["20260310T120000Z a"]);
    assert_eq!(count(&ledger(&stage), "SELECT count(*) FROM firings"), 0, "and then it is forgotten");
}

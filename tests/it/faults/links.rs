//! Symbolic links to folders, as calendars are shared in Radicale's storage.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::daemon::Daemon;
use crate::rehearsal::{Stage, event};

use super::{SOON, in_seconds, wait_until};

/// A stage with Radicale's storage, in which alice has the calendar `work`.
fn storage(keys: &str) -> (Stage, PathBuf) {
    let stage = Stage::new();
    let configured = fs::read_to_string(stage.path().join("reveille.toml")).unwrap();
    let keys = format!("layout = \"radicale\"\n{}\n", keys.replace("STAGE", &stage.path().to_string_lossy()));
    fs::write(stage.path().join("reveille.toml"), configured.replace("user = \"mary@example.org\"\n", &keys)).unwrap();
    fs::remove_dir(stage.path().join("watched/work")).unwrap();
    let work = stage.path().join("watched/alice/work");
    calendar(&work, "Work");
    fs::create_dir(stage.path().join("watched/bob")).unwrap();
    (stage, work)
}

fn calendar(folder: &Path, name: &str) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join(".Radicale.props"), format!("{{\"tag\": \"VCALENDAR\", \"D:displayname\": \"{name}\"}}"))
        .unwrap();
}

fn put(folder: &Path, uid: &str, start: &str) {
    let scratch = folder.join(format!(".{uid}"));
    fs::write(&scratch, event(uid, start, uid)).unwrap();
    fs::rename(scratch, folder.join(format!("{uid}.ics"))).unwrap();
}

/// Who was told of what, and whose calendar it is in.
fn told(stage: &Stage) -> Vec<String> {
    let word = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let line = |alarm: &serde_json::Value| {
        format!("{} {} of {}", word(&alarm["userId"]), word(&alarm["summary"]), word(&alarm["calendarOwner"]))
    };
    let mut told: Vec<String> = stage.alarms().iter().map(line).collect();
    told.sort();
    told
}

#[test]
fn a_calendar_that_is_shared_by_a_link_fires_for_both() {
    let (stage, work) = storage("");
    put(&work, "first", &in_seconds(8).basic());
    symlink("../alice/work", stage.path().join("watched/bob/shared")).unwrap();
    let mut daemon = Daemon::start(stage.path(), &["run"]);
    daemon.log.find(SOON, |line| line.contains("sync finished") && line.contains("calendars=2")).unwrap();
    let expected = ["alice first of alice", "bob first of alice"];
    wait_until(|| told(&stage) == expected, || format!("{:?}\n{}", told(&stage), daemon.log.text()));
    // What changes behind the link is seen, at once.
    put(&work, "second", &in_seconds(3).basic());
    let expected = ["alice first of alice", "alice second of alice", "bob first of alice", "bob second of alice"];
    wait_until(|| told(&stage) == expected, || format!("{:?}\n{}", told(&stage), daemon.log.text()));
    // Shared no longer: it is absent to bob, and alice's as before.
    fs::remove_file(stage.path().join("watched/bob/shared")).unwrap();
    daemon.log.find(SOON, |line| line.contains("is not found: it is kept") && line.contains("bob/shared")).unwrap();
    let absent = |calendar: &serde_json::Value| !calendar["absentSince"].is_null();
    assert_eq!(stage.listing(&["calendars"]).iter().filter(|calendar| absent(calendar)).count(), 1);
    assert!(!daemon.log.text().contains("is not followed"), "{}", daemon.log.text());
    assert!(daemon.stop(SOON).success());
}

#[test]
fn a_link_is_followed_to_named_folders_only_and_check_names_the_others() {
    let (stage, _) = storage("follow_links = [\"STAGE/common\"]");
    let (common, secret) = (stage.path().join("common/team"), stage.path().join("secret"));
    calendar(&common, "Team");
    put(&common, "tea", "20260310T123000Z");
    calendar(&secret, "Secret");
    put(&secret, "plan", "20260310T123000Z");
    let bob = stage.path().join("watched/bob");
    symlink(&common, bob.join("team")).unwrap();
    symlink(&secret, bob.join("secret")).unwrap();
    symlink("..", bob.join("loop")).unwrap();
    symlink("loop", bob.join("round")).unwrap();
    symlink("nowhere", bob.join("dangling")).unwrap();
    symlink("itself", bob.join("itself")).unwrap();
    let log = stage.pass("2026-03-10T12:00:00Z");
    assert!(log.contains("bob/secret is not followed") && log.contains("name that folder in follow_links"), "{log}");
    stage.pass("2026-03-10T12:30:00Z");
    assert_eq!(told(&stage), ["bob tea of bob"]);
    let found = stage.listing(&["check"]);
    let warned = |name: &str| {
        let named = |finding: &&serde_json::Value| finding["found"].as_str().unwrap().contains(name);
        found.iter().filter(|finding| finding["warning"] == true).find(named).is_some()
    };
    assert!(["bob/secret", "bob/loop", "bob/round", "bob/itself"].into_iter().all(warned), "{found:?}");
    assert!(!warned("bob/team") && !warned("bob/dangling"), "{found:?}");
}

#[test]
fn a_link_that_is_switched_while_it_is_watched_leads_no_further_than_it_may() {
    let (stage, _) = storage("follow_links = [\"STAGE/common\"]");
    let (one, two, secret) =
        (stage.path().join("common/one"), stage.path().join("common/two"), stage.path().join("secret"));
    calendar(&one, "One");
    calendar(&two, "Two");
    calendar(&secret, "Secret");
    put(&secret, "secret", &in_seconds(6).basic());
    let link = stage.path().join("watched/bob/team");
    let switch = |target: &Path| {
        symlink(target, stage.path().join("next")).unwrap();
        fs::rename(stage.path().join("next"), &link).unwrap();
    };
    switch(&one);
    let mut daemon = Daemon::start(stage.path(), &["run"]);
    daemon.log.find(SOON, |line| line.contains("sync finished") && line.contains("calendars=2")).unwrap();
    switch(&two);
    put(&two, "two", &in_seconds(3).basic());
    wait_until(|| told(&stage) == ["bob two of bob"], || daemon.log.text());
    switch(&secret);
    daemon.log.find(SOON, |line| line.contains("bob/team is not followed")).unwrap();
    put(&secret, "more", &in_seconds(2).basic());
    // A folder that is named, and becomes a link to another one.
    switch(&one);
    fs::rename(&one, stage.path().join("common/was")).unwrap();
    symlink(&secret, &one).unwrap();
    put(&secret, "again", &in_seconds(2).basic());
    fs::remove_file(&one).unwrap();
    fs::rename(stage.path().join("common/was"), &one).unwrap();
    switch(&two);
    switch(&one);
    put(&one, "one", &in_seconds(8).basic());
    wait_until(|| told(&stage).len() > 1, || daemon.log.text());
    assert_eq!(told(&stage), ["bob one of bob", "bob two of bob"]);
    assert!(daemon.stop(SOON).success());
}

#[test]
fn a_link_to_what_somebody_else_owns_is_not_followed() {
    let (stage, _) = storage("follow_links = [\"STAGE/common\"]");
    let theirs = stage.path().join("common/theirs");
    calendar(&theirs, "Theirs");
    put(&theirs, "theirs", "20260310T123000Z");
    symlink(&theirs, stage.path().join("watched/bob/theirs")).unwrap();
    if std::os::unix::fs::chown(&theirs, Some(12_345), None).is_err() {
        eprintln!("NOT RUN: only the superuser can give a folder away");
        return;
    }
    let log = stage.pass("2026-03-10T12:00:00Z");
    assert!(log.contains("belongs to user 12345"), "{log}");
    stage.pass("2026-03-10T12:30:00Z");
    assert_eq!(stage.fired(), [""; 0]);
}

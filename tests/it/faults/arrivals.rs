//! How files and folders come, change and go while the daemon watches: as programs really write them, not as one would
//! wish. Each is seen at once, and costs a look at itself. The regular look at everything comes in a quarter of an
//! hour, which is longer than these tests wait.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::daemon::Daemon;
use crate::rehearsal::{Stage, event};

use super::{SOON, in_seconds, wait_until};

/// A daemon on `stage` that has looked.
fn watching(stage: &Stage) -> Daemon {
    let daemon = Daemon::start(stage.path(), &["run"]);
    daemon.log.find(SOON, |line| line.contains("sync finished")).unwrap();
    daemon
}

fn later(uid: &str) -> String {
    event(uid, "20991231T120000Z", uid)
}

/// UIDs that are armed.
fn armed(stage: &Stage) -> Vec<String> {
    let uid = |alarm: &Value| alarm["uid"].as_str().unwrap().trim_end_matches("@example.org").to_owned();
    let mut uids: Vec<String> =
        stage.listing(&["alarms", "--until", "2100-01-01T00:00:00Z", "--limit", "1000"]).iter().map(uid).collect();
    uids.sort();
    uids
}

/// Waits until just these are armed.
fn wait_for(stage: &Stage, daemon: &Daemon, uids: &[&str]) {
    wait_until(|| armed(stage) == uids, || format!("{:?}\n{}", armed(stage), daemon.log.text()));
}

/// Writes a file as vdirsyncer and khal do: under another name, linked to its own, unlinked.
fn link_in(folder: &Path, name: &str, text: &str) {
    let scratch = folder.join(format!("tmp{name}"));
    fs::write(&scratch, text).unwrap();
    fs::hard_link(&scratch, folder.join(format!("{name}.ics"))).unwrap();
    fs::remove_file(scratch).unwrap();
}

/// How often everything was looked at, where there are `calendars`.
fn syncs_of_everything(daemon: &Daemon, calendars: usize) -> usize {
    let told = format!("calendars={calendars} ");
    daemon.log.all().iter().filter(|line| line.contains("sync finished") && line.contains(&told)).count()
}

#[test]
fn files_that_are_linked_in_and_unlinked_are_seen_at_once() {
    let stage = Stage::new();
    let mut daemon = watching(&stage);
    let names: Vec<String> = (100..200).map(|n| n.to_string()).collect();
    // All of it has happened when the first event is handled.
    kill_process(daemon.pid(), Signal::STOP).unwrap();
    for name in &names {
        link_in(&stage.path().join("watched/work"), name, &later(name));
    }
    kill_process(daemon.pid(), Signal::CONT).unwrap();
    wait_for(&stage, &daemon, &names.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(daemon.stop(SOON).success());
}

#[test]
fn a_file_that_is_never_closed_is_taken_once_it_is_whole() {
    let stage = Stage::new();
    let mut daemon = watching(&stage);
    let text = later("open");
    let (start, end) = text.split_at(200);
    let mut file = fs::File::create(stage.file("open.ics")).unwrap();
    file.write_all(start.as_bytes()).unwrap();
    file.sync_all().unwrap();
    let mut other = fs::File::create(stage.file("whole.ics")).unwrap();
    other.write_all(later("whole").as_bytes()).unwrap();
    wait_for(&stage, &daemon, &["whole"]);
    file.write_all(end.as_bytes()).unwrap();
    wait_for(&stage, &daemon, &["open", "whole"]);
    // Half of a text is not told of while its other half may come.
    assert!(!daemon.log.text().contains("WARN"), "{}", daemon.log.text());
    // A file that stays half is told in the end.
    file.set_len(150).unwrap();
    daemon.log.find(SOON, |line| line.contains("open.ics") && line.contains("as it was before")).unwrap();
    assert_eq!(armed(&stage), ["open", "whole"]);
    drop((file, other));
    assert!(daemon.stop(SOON).success());
}

#[test]
fn a_folder_that_is_made_and_filled_or_moved_in_at_once_is_seen_whole() {
    let stage = Stage::new();
    let mut daemon = watching(&stage);
    let watched = stage.path().join("watched");
    let names: Vec<String> = (100..150).map(|n| n.to_string()).collect();
    fs::create_dir_all(watched.join("mary/new")).unwrap();
    for name in &names {
        fs::write(watched.join("mary/new").join(format!("{name}.ics")), later(name)).unwrap();
    }
    let mut expected: Vec<&str> = names.iter().map(String::as_str).collect();
    wait_for(&stage, &daemon, &expected);
    let outside = stage.path().join("outside/deep");
    fs::create_dir_all(&outside).unwrap();
    link_in(&outside, "moved", &later("moved"));
    fs::rename(stage.path().join("outside"), watched.join("inside")).unwrap();
    expected.push("moved");
    wait_for(&stage, &daemon, &expected);
    // What comes into it afterwards is seen, too; and what happens where it was is nobody's concern.
    fs::rename(watched.join("inside/deep"), watched.join("inside/other")).unwrap();
    link_in(&watched.join("inside/other"), "after", &later("after"));
    expected.insert(expected.len() - 1, "after");
    let distinct = || {
        let mut uids = armed(&stage);
        uids.dedup();
        uids
    };
    wait_until(|| distinct() == expected, || format!("{:?}\n{}", distinct(), daemon.log.text()));
    assert!(daemon.stop(SOON).success());
}

#[test]
fn the_alarms_of_a_renamed_calendar_fire_once() {
    let stage = Stage::new();
    let due = in_seconds(6);
    fs::write(stage.file("a.ics"), event("a", &due.basic(), "a")).unwrap();
    let mut daemon = watching(&stage);
    fs::rename(stage.path().join("watched/work"), stage.path().join("watched/job.old")).unwrap();
    wait_until(|| !stage.fired().is_empty(), || daemon.log.text());
    link_in(&stage.path().join("watched/job.old"), "b", &event("b", &in_seconds(2).basic(), "b"));
    wait_until(|| stage.fired().len() > 1, || daemon.log.text());
    assert_eq!(stage.fired().iter().filter(|line| line.ends_with(" a")).count(), 1, "{:?}", stage.fired());
    assert!(daemon.stop(SOON).success());
}

#[test]
fn a_removed_folder_is_known_by_what_it_was_and_not_by_its_name() {
    for name in ["group1.ics", "bob@example.org", "plain"] {
        let stage = Stage::new();
        stage.configure("absent_grace = \"2s\"");
        let configured = fs::read_to_string(stage.path().join("reveille.toml")).unwrap();
        let often = configured.replace("[[source]]", "[[source]]\nrescan_interval = \"1s\"");
        fs::write(stage.path().join("reveille.toml"), often).unwrap();
        fs::write(stage.file("stays.ics"), later("stays")).unwrap();
        let folder = stage.path().join("watched").join(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("goes.ics"), later("goes")).unwrap();
        let mut daemon = watching(&stage);
        wait_for(&stage, &daemon, &["goes", "stays"]);
        // The syncs that follow are those of the watch.
        fs::rename(&folder, stage.path().join("away")).unwrap();
        daemon.log.find(SOON, |line| line.contains("is not found: it is kept") && line.contains(name)).unwrap();
        wait_for(&stage, &daemon, &["stays"]);
        let hrefs: Vec<Value> = stage.listing(&["calendars"]).iter().map(|c| c["calendarName"].clone()).collect();
        assert_eq!(hrefs, ["work"]);
        assert!(daemon.stop(SOON).success());
    }
}

#[test]
fn temporary_files_and_locks_cost_no_sync_of_everything() {
    let stage = Stage::new();
    for other in ["one", "two"] {
        fs::create_dir(stage.path().join("watched").join(other)).unwrap();
        fs::write(stage.path().join("watched").join(other).join("x.ics"), later(other)).unwrap();
    }
    fs::write(stage.file("0.ics"), later("zero")).unwrap();
    let mut daemon = watching(&stage);
    wait_for(&stage, &daemon, &["one", "two", "zero"]);
    assert_eq!(syncs_of_everything(&daemon, 3), 1);
    for n in 0..20 {
        fs::write(stage.path().join("watched/lock"), "").unwrap();
        fs::write(stage.file("lock"), "").unwrap();
        fs::write(stage.file("tmp1x3"), later(&format!("zero{n}"))).unwrap();
        fs::rename(stage.file("tmp1x3"), stage.file("0.ics")).unwrap();
        fs::remove_file(stage.file("lock")).unwrap();
        fs::remove_file(stage.path().join("watched/lock")).unwrap();
    }
    wait_for(&stage, &daemon, &["one", "two", "zero19"]);
    assert_eq!(syncs_of_everything(&daemon, 3), 1, "{}", daemon.log.text());
    assert!(daemon.stop(SOON).success());
}

/// How many folders the kernel watches for `daemon`.
fn watches(daemon: &Daemon) -> usize {
    let descriptors = fs::read_dir(format!("/proc/{}/fdinfo", daemon.pid().as_raw_nonzero())).unwrap();
    let told = descriptors.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok());
    told.map(|text| text.matches("inotify wd").count()).sum()
}

#[test]
fn folders_that_can_hold_no_calendar_are_not_watched() {
    let stage = Stage::new();
    for n in 0..50 {
        fs::create_dir_all(stage.path().join(format!("watched/work/.git/objects/{n}"))).unwrap();
        fs::create_dir_all(stage.path().join(format!("watched/work/a/b/c{n}"))).unwrap();
    }
    fs::write(stage.file("a.ics"), later("a")).unwrap();
    let mut daemon = watching(&stage);
    // The watched folder, work, and two below it: one more is too deep.
    assert_eq!(watches(&daemon), 4);
    fs::create_dir(stage.path().join("watched/work/.git/more")).unwrap();
    fs::remove_dir_all(stage.path().join("watched/work/a")).unwrap();
    link_in(&stage.path().join("watched/work"), "b", &later("b"));
    wait_for(&stage, &daemon, &["a", "b"]);
    wait_until(|| watches(&daemon) == 2, || daemon.log.text());
    assert!(daemon.stop(SOON).success());
}

//! The watched folder is not what it was: replaced, not mounted, written by half; or what happens in it is learned
//! late.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use reveille::clock::Clock;
use reveille::time::UtcMillis;
use rustix::process::{Signal, kill_process};

use crate::daemon::{Daemon, undisturbed};
use crate::rehearsal::{Stage, event};

use super::rivals::{execute, other};
use super::{SOON, in_a_namespace, in_seconds, ledger, wait_until};

/// A stage whose only source is the folder that `watched` makes of the stage's own, and a daemon on it that has looked.
fn watching(stage: &Stage) -> Daemon {
    let daemon = Daemon::start(stage.path(), &["run"]);
    daemon.log.find(SOON, |line| line.contains("sync finished")).unwrap();
    daemon
}

/// Moves an event whose alarm fires at `due` into the folder `to`, as a careful program does.
fn put(to: &Path, name: &str, due: UtcMillis) {
    let scratch = to.join(format!(".{name}"));
    fs::write(&scratch, event(name, &due.basic(), name)).unwrap();
    fs::rename(scratch, to.join(format!("{name}.ics"))).unwrap();
}

fn has_fired(stage: &Stage, summary: &str) -> bool {
    stage.fired().iter().any(|line| line.ends_with(&format!(" {summary}")))
}

#[test]
fn a_watched_folder_that_is_replaced_is_watched_on() {
    let stage = Stage::new();
    let watched = stage.path().join("watched");
    let mut daemon = watching(&stage);

    fs::rename(&watched, stage.path().join("away")).unwrap();
    fs::create_dir_all(watched.join("work")).unwrap();
    put(&watched.join("work"), "first", in_seconds(3));
    wait_until(|| has_fired(&stage, "first"), || daemon.log.text());
    put(&watched.join("work"), "second", in_seconds(2));
    wait_until(|| has_fired(&stage, "second"), || daemon.log.text());

    fs::remove_dir_all(&watched).unwrap();
    fs::create_dir_all(watched.join("work")).unwrap();
    put(&watched.join("work"), "third", in_seconds(30));
    // Seen gone, it is looked for again and again.
    wait_until(|| stage.reveille(&["show", "third@example.org"]).status.success(), || daemon.log.text());
    put(&watched.join("work"), "fourth", in_seconds(2));
    wait_until(|| has_fired(&stage, "fourth"), || daemon.log.text());

    // Where a file system gives the number of a folder that is gone to the next one, both look the same.
    kill_process(daemon.pid(), Signal::STOP).unwrap();
    fs::remove_dir_all(&watched).unwrap();
    fs::create_dir_all(watched.join("work")).unwrap();
    put(&watched.join("work"), "fifth", in_seconds(30));
    kill_process(daemon.pid(), Signal::CONT).unwrap();
    wait_until(|| stage.reveille(&["show", "fifth@example.org"]).status.success(), || daemon.log.text());
    put(&watched.join("work"), "sixth", in_seconds(2));
    wait_until(|| has_fired(&stage, "sixth"), || daemon.log.text());
    assert!(daemon.stop(SOON).success());
}

#[test]
fn a_link_to_the_watched_folder_that_is_switched_is_followed() {
    let stage = Stage::new();
    let (watched, one, two) = (stage.path().join("watched"), stage.path().join("one"), stage.path().join("two"));
    fs::rename(&watched, &one).unwrap();
    fs::create_dir_all(two.join("work")).unwrap();
    symlink(&one, &watched).unwrap();
    let mut daemon = watching(&stage);
    put(&two.join("work"), "first", in_seconds(4));
    symlink(&two, stage.path().join("next")).unwrap();
    fs::rename(stage.path().join("next"), &watched).unwrap();
    wait_until(|| has_fired(&stage, "first"), || daemon.log.text());
    put(&two.join("work"), "second", in_seconds(2));
    wait_until(|| has_fired(&stage, "second"), || daemon.log.text());
    assert!(daemon.stop(SOON).success());
}

#[test]
fn a_folder_that_the_kernel_does_not_watch_is_synced_until_it_can_be_watched() {
    const LIMIT: &str = "/proc/sys/user/max_inotify_watches";
    if !in_a_namespace("faults::folders::a_folder_that_the_kernel_does_not_watch_is_synced_until_it_can_be_watched") {
        return;
    }
    // One for the folder, none for the calendar in it.
    fs::write(LIMIT, "1").unwrap();
    let stage = Stage::new();
    let configured = fs::read_to_string(stage.path().join("reveille.toml")).unwrap();
    let often = configured.replace("[[source]]", "[[source]]\nrescan_interval = \"2s\"");
    fs::write(stage.path().join("reveille.toml"), often).unwrap();
    let mut daemon = watching(&stage);
    let refused = |line: &str| line.contains("WARN") && line.contains("max_user_watches");
    daemon.log.find(SOON, refused).unwrap_or_else(|| panic!("{}", daemon.log.text()));
    put(&stage.path().join("watched/work"), "first", in_seconds(5));
    wait_until(|| has_fired(&stage, "first"), || daemon.log.text());
    fs::write(LIMIT, "100").unwrap();
    let watched = || {
        let descriptors = fs::read_dir(format!("/proc/{}/fdinfo", daemon.pid().as_raw_nonzero())).unwrap();
        let told = descriptors.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok());
        told.map(|text| text.matches("inotify wd").count()).sum::<usize>()
    };
    wait_until(|| watched() == 2, || daemon.log.text());
    assert!(daemon.stop(SOON).success());
    assert_eq!(daemon.log.all().iter().filter(|line| refused(line)).count(), 1);
}

/// A folder on another file system than the temporary ones, where there is one.
fn elsewhere() -> Option<tempfile::TempDir> {
    use std::os::unix::fs::MetadataExt as _;
    let memory = Path::new("/dev/shm");
    let device = |path: &Path| path.metadata().ok().map(|metadata| metadata.dev());
    let other = memory.is_dir() && device(memory) != device(&std::env::temp_dir());
    other.then(|| tempfile::tempdir_in(memory).ok()).flatten()
}

#[test]
fn a_file_system_that_is_not_mounted_takes_no_alarm_away_and_a_folder_that_was_emptied_does() {
    let stage = Stage::new();
    let Some(mounted) = elsewhere() else {
        eprintln!("NOT RUN: there is no second file system (/dev/shm) here");
        return;
    };
    // What is seen where nothing is mounted: a link can be switched by everybody, a file system cannot be mounted.
    let (watched, bare) = (stage.path().join("watched"), stage.path().join("bare"));
    fs::remove_dir_all(&watched).unwrap();
    fs::create_dir(&bare).unwrap();
    let mount = |to: &Path| {
        let next = stage.path().join("next");
        symlink(to, &next).unwrap();
        fs::rename(next, &watched).unwrap();
    };
    fs::create_dir(mounted.path().join("work")).unwrap();
    for (name, due) in [("a", "20260310T123000Z"), ("b", "20260310T133000Z"), ("c", "20260310T143000Z")] {
        put(&mounted.path().join("work"), name, UtcMillis::parse(due).unwrap());
    }
    mount(mounted.path());
    stage.pass("2026-03-10T12:00:00Z");
    mount(&bare);
    let said = stage.reveille(&["run", "--once", "--at", "2026-03-10T12:30:00Z"]);
    let log = String::from_utf8(said.stderr).unwrap();
    assert_eq!(said.status.code(), Some(1));
    assert!(log.contains("mount it") && log.contains(&*watched.to_string_lossy()), "{log}");
    assert_eq!(stage.fired(), ["20260310T123000Z a"]);
    mount(mounted.path());
    stage.pass("2026-03-10T13:45:00Z");
    assert_eq!(stage.fired(), ["20260310T123000Z a", "20260310T133000Z b"]);
    // The same folder, emptied by somebody; and then there is nothing to lose, wherever it lies.
    for entry in fs::read_dir(mounted.path().join("work")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    stage.pass("2026-03-10T14:00:00Z");
    fs::remove_dir(mounted.path().join("work")).unwrap();
    mount(&bare);
    stage.pass("2026-03-10T15:00:00Z");
    assert_eq!(stage.fired().len(), 2);
}

/// Runs a command that must succeed.
fn run(command: &str, arguments: &[&std::ffi::OsStr]) {
    assert!(std::process::Command::new(command).args(arguments).status().unwrap().success(), "{command}");
}

#[test]
fn the_alarms_of_a_calendar_whose_own_file_system_is_away_for_a_while_fire() {
    if !in_a_namespace("faults::folders::the_alarms_of_a_calendar_whose_own_file_system_is_away_for_a_while_fire") {
        return;
    }
    let stage = Stage::new();
    let _quiet = undisturbed();
    let (disk, work) = (stage.path().join("disk"), stage.path().join("watched/work"));
    fs::create_dir(&disk).unwrap();
    fs::create_dir(stage.path().join("watched/other")).unwrap();
    put(&stage.path().join("watched/other"), "other", in_seconds(3_600));
    run("mount", &["-t".as_ref(), "tmpfs".as_ref(), "none".as_ref(), disk.as_ref()]);
    for (name, due) in [("away", 8), ("later", 3_600)] {
        put(&disk, name, in_seconds(due));
    }
    run("mount", &["--bind".as_ref(), disk.as_ref(), work.as_ref()]);
    let mut daemon = watching(&stage);
    run("umount", &[work.as_ref()]);
    // It is told, and said in status; nothing else that happens takes it for emptied.
    fs::write(work.join("note.txt"), "").unwrap();
    put(&stage.path().join("watched/other"), "next", in_seconds(3_600));
    daemon
        .log
        .find(SOON, |line| line.contains("was on a file system of its own"))
        .unwrap_or_else(|| panic!("{}", daemon.log.text()));
    wait_until(|| has_fired(&stage, "away"), || daemon.log.text());
    let absent = || stage.listing(&["calendars"]).iter().filter(|calendar| !calendar["absentSince"].is_null()).count();
    assert_eq!(absent(), 1);
    run("mount", &["--bind".as_ref(), disk.as_ref(), work.as_ref()]);
    wait_until(|| absent() == 0, || daemon.log.text());
    put(&disk, "back", in_seconds(2));
    wait_until(|| has_fired(&stage, "back"), || daemon.log.text());
    assert!(stage.reveille(&["show", "later@example.org"]).status.success());
    assert_eq!(stage.fired().len(), 2, "{:?}", stage.fired());
    assert!(daemon.stop(SOON).success());
    run("umount", &[work.as_ref()]);
    run("umount", &[disk.as_ref()]);
}

#[test]
fn a_folder_meant_to_be_empty_on_another_file_system_is_believed_a_day_after_it_holds_a_file() {
    let stage = Stage::new();
    let Some(other) = elsewhere() else {
        eprintln!("NOT RUN: there is no second file system (/dev/shm) here");
        return;
    };
    stage.put("a.ics", "20260310T123000Z", "a", "2026-03-01T00:00:00Z");
    stage.put("b.ics", "20260311T124000Z", "b", "2026-03-01T00:00:00Z");
    stage.pass("2026-03-10T12:00:00Z");
    fs::remove_dir_all(stage.path().join("watched")).unwrap();
    symlink(other.path(), stage.path().join("watched")).unwrap();
    fs::write(other.path().join(".keep"), "").unwrap();
    stage.pass("2026-03-10T12:30:00Z");
    stage.pass("2026-03-11T12:30:00Z");
    stage.pass("2026-03-11T13:00:00Z");
    assert_eq!(stage.fired(), ["20260310T123000Z a"]);
}

/// The file of an object of `stage` with these octets, written at an instant.
fn write(stage: &Stage, name: &str, text: &str, at: &str) -> PathBuf {
    let file = stage.file(name);
    stage.put(name, "20260310T120000Z", "replaced", at);
    let time = file.metadata().unwrap().modified().unwrap();
    fs::write(&file, text).unwrap();
    fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
    file
}

#[test]
fn a_file_that_is_broken_or_cut_off_fires_as_it_was_before_until_it_is_corrected() {
    let whole = event("a", "20260310T123000Z", "whole");
    let cut = &whole[..whole.find("BEGIN:VALARM").unwrap() + 20];
    for broken in ["", "no calendar", cut] {
        let stage = Stage::new();
        let daily = whole.replace("DURATION", "RRULE:FREQ=DAILY\r\nDURATION");
        write(&stage, "a.ics", &daily, "2026-03-01T00:00:00Z");
        stage.pass("2026-03-10T12:00:00Z");
        write(&stage, "a.ics", broken, "2026-03-10T12:10:00Z");
        let log = stage.pass("2026-03-10T12:20:00Z");
        assert!(log.contains("a.ics") && log.contains("it is kept, and fires, as it was before"), "{log}");
        // It is read again by each sync, which is no news.
        let log = stage.pass("2026-03-10T13:00:00Z");
        assert!(!log.contains("it is kept"), "{log}");
        assert_eq!(stage.fired(), ["20260310T123000Z whole"], "{broken:?}");
        let shown = &stage.listing(&["show", "a@example.org"])[0];
        assert!(shown["faults"].to_string().contains("as it was before"), "{shown}");
        // Mended a day later, with what was owed until then, and what it says now.
        let mended = daily.replace("123000Z", "124500Z").replace("whole", "mended");
        write(&stage, "a.ics", &mended, "2026-03-11T12:40:00Z");
        stage.pass("2026-03-11T13:00:00Z");
        assert_eq!(
            stage.fired(),
            ["20260310T123000Z whole", "20260311T123000Z whole", "20260311T124500Z mended"],
            "{broken:?}"
        );
        assert_eq!(stage.listing(&["show", "a@example.org"])[0]["faults"].as_array().map(Vec::len), Some(0));
        // Broken again, and put back as it was.
        write(&stage, "a.ics", broken, "2026-03-11T13:10:00Z");
        stage.pass("2026-03-11T13:20:00Z");
        write(&stage, "a.ics", &mended, "2026-03-11T13:30:00Z");
        stage.pass("2026-03-12T13:00:00Z");
        assert_eq!(stage.fired()[3..], ["20260312T124500Z mended"], "{broken:?}");
        assert_eq!(stage.listing(&["show", "a@example.org"])[0]["faults"].as_array().map(Vec::len), Some(0));
    }
}

#[test]
fn a_change_that_is_learned_late_fires_late_and_is_not_taken_for_past() {
    let _quiet = undisturbed();
    let stage = Stage::new();
    let work = stage.path().join("watched/work");
    put(&work, "edited", in_seconds(3_600));
    let mut daemon = watching(&stage);
    kill_process(daemon.pid(), Signal::STOP).unwrap();
    let due = in_seconds(2);
    put(&work, "new", due);
    put(&work, "edited", due);
    // Longer than an event takes to be handled.
    wait_until(
        || Clock::System.now() > due.saturating_add(SignedDuration::from_millis(2_500)),
        || "the clock stands still".to_owned(),
    );
    kill_process(daemon.pid(), Signal::CONT).unwrap();
    wait_until(|| has_fired(&stage, "new") && has_fired(&stage, "edited"), || daemon.log.text());
    assert!(daemon.stop(SOON).success());
}

#[test]
fn a_calendar_that_is_found_while_the_ledger_is_locked_counts_from_when_it_was_found() {
    let _quiet = undisturbed();
    let stage = Stage::new();
    stage.put("a.ics", "20260310T123000Z", "a", "2026-03-01T00:00:00Z");
    let mut daemon = watching(&stage);
    // It writes down that it looked; were that held up, so were the sync that is to find the calendar.
    let written_down = || !stage.listing(&["status"])[0]["sources"][0]["lastSyncedAt"].is_null();
    wait_until(written_down, || daemon.log.text());
    let mut rival = other(&ledger(&stage));
    execute(&mut rival, "BEGIN IMMEDIATE");
    let found = stage.path().join("watched/found");
    fs::create_dir(&found).unwrap();
    let due = in_seconds(4);
    put(&found, "owed", due);
    daemon
        .log
        .find(SOON, |line| line.contains("the source cannot be read"))
        .unwrap_or_else(|| panic!("{}", daemon.log.text()));
    wait_until(|| Clock::System.now() > due, || "the clock stands still".to_owned());
    execute(&mut rival, "ROLLBACK");
    wait_until(|| has_fired(&stage, "owed"), || daemon.log.text());
    assert!(daemon.stop(SOON).success());
}

#[test]
fn a_watched_folder_that_was_away_for_a_moment_loses_nothing_of_a_calendar_made_meanwhile() {
    let _quiet = undisturbed();
    let stage = Stage::new();
    if stage.path().metadata().unwrap().created().is_err() {
        eprintln!("NOT RUN: this file system does not say when a folder was made");
        return;
    }
    let (watched, away) = (stage.path().join("watched"), stage.path().join("away"));
    put(&watched.join("work"), "old", in_seconds(3_600));
    let mut daemon = watching(&stage);
    fs::rename(&watched, &away).unwrap();
    daemon
        .log
        .find(SOON, |line| line.contains("the source cannot be read"))
        .unwrap_or_else(|| panic!("{}", daemon.log.text()));
    fs::create_dir(away.join("made")).unwrap();
    let due = in_seconds(2);
    put(&away.join("made"), "new", due);
    wait_until(|| Clock::System.now() > due, || "the clock stands still".to_owned());
    fs::rename(&away, &watched).unwrap();
    let back = Clock::System.now();
    wait_until(|| has_fired(&stage, "new"), || daemon.log.text());
    assert!(Clock::System.now() < back.saturating_add(SignedDuration::from_secs(12)), "it is looked for again soon");
    assert!(daemon.stop(SOON).success());
}

#[test]
fn a_calendar_made_between_two_syncs_fires_what_was_due_since_and_one_found_at_the_first_start_does_not() {
    let _quiet = undisturbed();
    let stage = Stage::new();
    if stage.path().metadata().unwrap().created().is_err() {
        eprintln!("NOT RUN: this file system does not say when a folder was made");
        return;
    }
    let due = in_seconds(1);
    put(&stage.path().join("watched/work"), "before", due);
    wait_until(|| Clock::System.now() > due, || "the clock stands still".to_owned());
    // One was made before, and is new to the source only.
    let outside = stage.path().join("outside");
    fs::create_dir(&outside).unwrap();
    assert!(watching(&stage).stop(SOON).success());
    let due = in_seconds(1);
    put(&outside, "moved", due);
    fs::rename(outside, stage.path().join("watched/moved")).unwrap();
    let made = stage.path().join("watched/made");
    fs::create_dir(&made).unwrap();
    put(&made, "made", due);
    wait_until(|| Clock::System.now() > due, || "the clock stands still".to_owned());
    let mut daemon = watching(&stage);
    wait_until(|| has_fired(&stage, "made"), || daemon.log.text());
    assert_eq!(stage.fired().len(), 1, "{:?}", stage.fired());
    assert!(daemon.stop(SOON).success());
}

#[test]
fn a_source_or_a_sink_that_has_another_name_is_reported_with_what_that_costs() {
    let stage = Stage::new();
    stage.put("a.ics", "20260310T123000Z", "a", "2026-03-01T00:00:00Z");
    let configured = fs::read_to_string(stage.path().join("reveille.toml")).unwrap();
    // A folder in the sink's place: it takes nothing.
    fs::create_dir(stage.path().join("alarms.jsonl")).unwrap();
    stage.pass("2026-03-10T12:00:00Z");
    let said = stage.reveille(&["run", "--once", "--at", "2026-03-10T12:30:00Z"]);
    assert_eq!(said.status.code(), Some(1));
    fs::remove_dir(stage.path().join("alarms.jsonl")).unwrap();
    let renamed = configured.replace("\"home\"", "\"house\"").replace("\"alarms\"", "\"bells\"");
    fs::write(stage.path().join("reveille.toml"), renamed).unwrap();
    let log = stage.pass("2026-03-10T13:00:00Z");
    let line = |words: [&str; 2]| log.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(line(["no longer configured: its calendars are forgotten", "home"]), "{log}");
    assert!(line(["no longer configured and is still owed something", "alarms"]), "{log}");
    assert_eq!(stage.fired(), [""; 0]);
    // Under its old name the sink gets what it is owed.
    fs::write(stage.path().join("reveille.toml"), configured).unwrap();
    stage.pass("2026-03-10T13:10:00Z");
    assert_eq!(stage.fired(), ["20260310T123000Z a"]);
}

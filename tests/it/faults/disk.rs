//! The disk is full, or may only be read. The disk is a small one in memory, in a mount namespace of the test's own;
//! where the system allows none, a limit on the size of files takes its place, and the tests say so.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use jiff::SignedDuration;
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};

use crate::daemon::{Daemon, undisturbed};
use crate::process::Lines;
use crate::rehearsal::{Stage, count};

use super::{SOON, announced, in_a_namespace, in_seconds, ledger, put_many, wait_until};

/// Octets in a page of memory, and of the disk in it.
const PAGE: usize = 4_096;
const EVENTS: usize = 8;
/// SIGKILL.
const KILL: i32 = 9;

/// Runs the test `name` again with a disk of its own of `size` at the folder for temporary files. True in that run;
/// false when it is over, or could not be: then there is still the limit on file sizes.
fn on_a_small_disk(name: &str, size: &str) -> bool {
    if !in_a_namespace(name) {
        return false;
    }
    let folder = std::env::temp_dir();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
        .arg(&folder)
        .status()
        .unwrap();
    assert!(mounted.success(), "a disk at {}", folder.display());
    true
}

/// What takes the room away.
struct Ballast(PathBuf);

impl Ballast {
    /// Leaves `pages` free.
    fn leaving(stage: &Stage, pages: usize) -> Ballast {
        let path = stage.path().join("ballast");
        let mut file = File::create(&path).unwrap();
        let mut filled = 0;
        while file.write_all(&[7; PAGE]).is_ok() {
            filled += PAGE as u64;
        }
        file.set_len(filled.saturating_sub((pages * PAGE) as u64)).unwrap();
        Ballast(path)
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// One pass at `instant` with `pages` left on the disk. Room is made when it waits for that. Whether it went well, and
/// what it said.
fn cramped_pass(stage: &Stage, instant: &str, pages: usize) -> (bool, String) {
    let ballast = Ballast::leaving(stage, pages);
    let mut daemon = Daemon::start(stage.path(), &["run", "--once", "--at", instant]);
    let waits = |line: &str| line.contains("could not be recorded as sent; trying again");
    if daemon.log.find(SOON, waits).is_some() {
        drop(ballast);
    }
    let status = daemon.wait(SOON);
    assert!(matches!(status.code(), Some(0 | 1)), "{pages} pages: {status}: {}", daemon.log.text());
    (status.success(), daemon.log.text())
}

/// What a pass said is about the disk, in few words.
fn tells_of_the_disk(told: &str) -> bool {
    let of_disk =
        |line: &&str| line.contains("is full") || line.contains("No space left") || line.contains("make room");
    let errors =
        || told.lines().filter(|line| line.contains("ERROR") || line.starts_with("error:") || line.contains("WARN"));
    errors().count() <= 4 && errors().any(|line| of_disk(&line))
}

#[test]
fn disk_full_at_every_write_loses_nothing_and_goes_on_when_there_is_room() {
    if !on_a_small_disk("faults::disk::disk_full_at_every_write_loses_nothing_and_goes_on_when_there_is_room", "4m") {
        return;
    }
    let (mut cramped, mut pages) = ([0, 0], 0);
    loop {
        let stage = Stage::new();
        for n in 0..EVENTS {
            stage.put(&format!("{n}.ics"), "20260310T123000Z", "full", "2026-03-01T00:00:00Z");
        }
        let mut failed = false;
        for (step, instant) in ["2026-03-10T12:00:00Z", "2026-03-10T12:30:00Z"].into_iter().enumerate() {
            let (well, told) = cramped_pass(&stage, instant, pages);
            if !well {
                assert!(tells_of_the_disk(&told), "{pages} pages at {instant}: {told}");
                (cramped[step], failed) = (cramped[step] + 1, true);
                stage.pass(instant);
            }
        }
        stage.pass("2026-03-10T12:45:00Z");
        let (_, ids) = announced(&stage);
        assert_eq!(ids, EVENTS, "{pages} pages: everything fires");
        let firings = count(&ledger(&stage), "SELECT count(*) FROM firings WHERE state = 'fired'");
        let owed = count(&ledger(&stage), "SELECT count(*) FROM deliveries WHERE state != 'delivered'");
        assert_eq!((firings, owed), (EVENTS as i64, 0), "{pages} pages: once each in the ledger, all delivered");
        if !failed {
            break;
        }
        pages += 1;
    }
    println!("{} passes of intake and {} of firing ran out of room at up to {pages} pages", cramped[0], cramped[1]);
    assert!(cramped[0] > 10 && cramped[1] > 3, "{cramped:?}");
}

#[test]
fn disk_full_under_a_running_daemon_is_reported_once_and_everything_fires_when_there_is_room() {
    let _quiet = undisturbed();
    let name =
        "faults::disk::disk_full_under_a_running_daemon_is_reported_once_and_everything_fires_when_there_is_room";
    if !on_a_small_disk(name, "8m") {
        return;
    }
    let stage = Stage::new();
    let due = in_seconds(5);
    put_many(&stage, 200, due);
    let mut daemon = Daemon::start(stage.path(), &["run"]);
    daemon.log.find(SOON, |line| line.contains("sync finished")).unwrap();
    let ballast = Ballast::leaving(&stage, 0);
    let told = daemon.log.find(SOON, |line| line.contains("alarms could not be fired")).unwrap();
    assert!(told.contains("the disk that holds the ledger is full: make room; nothing is lost"), "{told}");
    // It tries every second.
    let later = reveille::clock::Clock::System.now().saturating_add(SignedDuration::from_secs(4));
    wait_until(|| reveille::clock::Clock::System.now() > later, || "time stands still".to_owned());
    assert_eq!(daemon.log.text().matches("alarms could not be fired").count(), 1, "{}", daemon.log.text());
    drop(ballast);
    wait_until(|| stage.alarms().len() >= 200, || daemon.log.text());
    assert!(daemon.stop(SOON).success(), "{}", daemon.log.text());
    assert_eq!(announced(&stage), (200, 200));
    assert!(daemon.log.text().contains("alarms can be fired again"), "{}", daemon.log.text());
}

#[test]
fn a_limit_on_the_size_of_files_at_every_write_loses_nothing() {
    let mut kilobytes = 4;
    let (mut refused, mut worked) = (0, 0);
    while worked == 0 {
        let stage = Stage::new();
        for n in 0..EVENTS {
            stage.put(&format!("{n}.ics"), "20260310T123000Z", "full", "2026-03-01T00:00:00Z");
        }
        stage.pass("2026-03-10T12:00:00Z");
        let limited = Command::new("sh")
            .args(["-c", "exec prlimit --fsize=$0 \"$@\"", &(kilobytes * 1024).to_string()])
            .args([env!("CARGO_BIN_EXE_reveille"), "run", "--once", "--at", "2026-03-10T12:30:00Z"])
            .current_dir(stage.path())
            .env_remove("REVEILLE_CONFIG")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut limited = limited.unwrap();
        let log = Lines::of(limited.stderr.take().unwrap());
        // What was sent and cannot be recorded is tried again for half a minute: a limit stays, so that is broken off.
        if log.find(SOON, |line| line.contains("could not be recorded as sent")).is_some() {
            limited.kill().unwrap();
        }
        let status = limited.wait().unwrap();
        if status.success() {
            worked += 1;
        } else {
            refused += 1;
            assert!(matches!(status.signal(), None | Some(KILL)), "{kilobytes} kB: {status}");
            assert!(!log.text().is_empty() && !log.text().contains("panicked"), "{kilobytes} kB: {}", log.text());
        }
        stage.pass("2026-03-10T12:45:00Z");
        assert_eq!(announced(&stage).1, EVENTS, "{kilobytes} kB: {}", log.text());
        assert_eq!(count(&ledger(&stage), "SELECT count(*) FROM firings"), EVENTS as i64, "{kilobytes} kB");
        kilobytes += 8;
    }
    assert!(refused > 3, "{refused} passes met the limit");
}

/// Lets no file of `daemon` grow beyond `octets`; or lets them, again.
fn limit(daemon: &Daemon, octets: Option<u64>) {
    let limit = Rlimit { current: octets, ..getrlimit(Resource::Fsize) };
    prlimit(Some(daemon.pid()), Resource::Fsize, limit).unwrap();
}

#[test]
fn a_limit_on_the_size_of_files_under_a_running_daemon_is_reported_and_everything_fires_when_it_is_lifted() {
    let _quiet = undisturbed();
    let stage = Stage::new();
    put_many(&stage, 200, in_seconds(5));
    let mut daemon = Daemon::start(stage.path(), &["run"]);
    daemon.log.find(SOON, |line| line.contains("sync finished")).unwrap();
    limit(&daemon, Some(fs::metadata(stage.path().join("ledger.db-wal")).unwrap().len()));
    let told = daemon.log.find(SOON, |line| line.contains("alarms could not be fired")).unwrap();
    assert!(told.contains("the ledger cannot be written") && told.contains("ulimit -f"), "{told}");
    limit(&daemon, None);
    wait_until(|| stage.alarms().len() >= 200, || daemon.log.text());
    assert!(daemon.stop(SOON).success(), "{}", daemon.log.text());
    assert_eq!(announced(&stage), (200, 200));
    assert_eq!(daemon.log.text().matches("alarms could not be fired").count(), 1, "{}", daemon.log.text());
}

#[test]
fn a_limit_on_the_size_of_files_that_only_the_file_of_a_sink_meets_delays_its_alarms() {
    let _quiet = undisturbed();
    let stage = Stage::new();
    put_many(&stage, 20, in_seconds(5));
    let mut daemon = Daemon::start(stage.path(), &["run"]);
    daemon.log.find(SOON, |line| line.contains("sync finished")).unwrap();
    // So large is the file already, as far as the limit knows, and the next line does not fit.
    let (file, size) = (stage.path().join("alarms.jsonl"), 64 * 1024 * 1024);
    fs::write(&file, "\n").unwrap();
    let sink = File::options().write(true).open(&file).unwrap();
    sink.set_len(size - 1).unwrap();
    sink.write_at(b"\n", size - 1).unwrap();
    limit(&daemon, Some(size + 100));
    let told = daemon.log.find(SOON, |line| line.contains("alarms could not be delivered")).unwrap();
    assert!(told.contains("alarms.jsonl cannot be written: File too large") && told.contains("ulimit -f"), "{told}");
    assert_eq!(fs::metadata(&file).unwrap().len(), size, "half a line is taken back");
    limit(&daemon, None);
    let delivered = "SELECT count(*) FROM deliveries WHERE state = 'delivered'";
    wait_until(|| count(&ledger(&stage), delivered) == 20, || daemon.log.text());
    assert!(daemon.stop(SOON).success(), "{}", daemon.log.text());
}

/// Mounts the disk at `folder` anew, with `options`.
fn remount(folder: &Path, options: &str) {
    let status = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(folder).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_read_only_ledger_is_refused_and_everything_fires_when_it_may_be_written() {
    let name = "faults::disk::a_read_only_ledger_is_refused_and_everything_fires_when_it_may_be_written";
    if !on_a_small_disk(name, "8m") {
        return;
    }
    let stage = Stage::new();
    stage.put("a.ics", "20260310T123000Z", "a", "2026-03-01T00:00:00Z");
    stage.pass("2026-03-10T12:00:00Z");
    remount(&std::env::temp_dir(), "ro");
    for arguments in [&["run", "--once", "--at", "2026-03-10T12:30:00Z"][..], &["run"]] {
        let said = stage.reveille(arguments);
        let told = String::from_utf8(said.stderr).unwrap();
        assert_eq!(said.status.code(), Some(1), "{told}");
        assert!(told.contains("ledger.db cannot be opened") && told.contains("Read-only file system"), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    remount(&std::env::temp_dir(), "rw");
    stage.pass("2026-03-10T12:30:00Z");
    assert_eq!(stage.fired(), ["20260310T123000Z a"]);
}

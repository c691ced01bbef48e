//! Somebody else has the ledger: another daemon, another program, a later version.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tokio::runtime::Runtime;

use crate::daemon::{Daemon, undisturbed};
use crate::rehearsal::{Stage, count};

use super::{SOON, in_seconds, ledger, put_many};

/// Another program that has the ledger at `path` open.
pub fn other(path: &Path) -> (Runtime, SqliteConnection) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let connection = runtime.block_on(SqliteConnectOptions::new().filename(path).connect()).unwrap();
    (runtime, connection)
}

pub fn execute((runtime, connection): &mut (Runtime, SqliteConnection), sql: &'static str) {
    runtime.block_on(sqlx::raw_sql(sql).execute(connection)).unwrap();
}

#[test]
fn two_daemons_on_one_ledger_the_second_refuses_and_the_first_goes_on() {
    let stage = Stage::new();
    let mut first = Daemon::start(stage.path(), &["run"]);
    first.log.find(SOON, |line| line.contains("reveille is running")).unwrap();
    let pid = first.pid().as_raw_nonzero().get();
    for arguments in [&["run"][..], &["run", "--once"], &["restore", "reveille.toml"]] {
        let second = stage.reveille(arguments);
        let told = String::from_utf8(second.stderr).unwrap();
        assert_eq!(second.status.code(), Some(1), "{told}");
        assert!(told.contains(&format!("is in use by another reveille (process {pid})")), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    let due = in_seconds(3);
    put_many(&stage, 1, due);
    let alarms = || stage.fired().len();
    super::wait_until(|| alarms() == 1, || first.log.text());
    assert!(first.stop(SOON).success());
}

#[test]
fn daemons_that_start_at_one_moment_one_runs_and_the_others_name_it() {
    let stage = Stage::new();
    for _ in 0..3 {
        let mut daemons: Vec<Daemon> = (0..5).map(|_| Daemon::start(stage.path(), &["run"])).collect();
        let runs = |daemon: &Daemon| daemon.log.text().contains("reveille is running");
        super::wait_until(|| daemons.iter().any(runs), || daemons.iter().map(|daemon| daemon.log.text()).collect());
        let mut first = daemons.remove(daemons.iter().position(runs).unwrap());
        let pid = first.pid().as_raw_nonzero().get();
        for mut other in daemons {
            assert_eq!(other.wait(SOON).code(), Some(1), "{}", other.log.text());
            let told = other.log.text();
            assert!(told.contains(&format!("is in use by another reveille (process {pid})")), "{told}");
        }
        // The next ones find its process id in the lock file.
        first.kill();
    }
}

#[test]
fn a_second_daemon_through_a_symbolic_link_refuses_and_names_the_first() {
    let stage = Stage::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let real = elsewhere.path().join("real.db");
    // It leads to nothing yet.
    symlink(&real, ledger(&stage)).unwrap();
    symlink("ledger.db", stage.path().join("another.db")).unwrap();
    let mut first = Daemon::start(stage.path(), &["run"]);
    first.log.find(SOON, |line| line.contains("reveille is running")).unwrap();
    let pid = first.pid().as_raw_nonzero().get();
    let real = real.to_str().unwrap();
    for path in [real, "another.db"] {
        for arguments in [&["run", "--once"][..], &["restore", "reveille.toml"]] {
            let second = stage.reveille(&[arguments, &["--ledger", path]].concat());
            let told = String::from_utf8(second.stderr).unwrap();
            assert_eq!(second.status.code(), Some(1), "{told}");
            assert!(told.contains(&format!("is in use by another reveille (process {pid})")), "{told}");
        }
        let status = stage.listing(&["status", "--ledger", path]);
        assert_eq!((&status[0]["running"], &status[0]["pid"]), (&true.into(), &pid.into()), "{path}");
    }
    put_many(&stage, 1, in_seconds(3));
    super::wait_until(|| stage.fired().len() == 1, || first.log.text());
    // What was fired is still in the log, which lies beside the file itself.
    assert!(stage.reveille(&["backup", "copy.db", "--ledger", "another.db"]).status.success());
    assert_eq!(count(&stage.path().join("copy.db"), "SELECT count(*) FROM firings"), 1);
    assert!(first.stop(SOON).success());
    assert!(!stage.path().join("ledger.db.lock").exists() && elsewhere.path().join("real.db.lock").exists());
}

#[test]
fn a_ledger_with_two_hard_links_is_refused_until_there_is_one() {
    let stage = Stage::new();
    stage.put("a.ics", "20260310T123000Z", "a", "2026-03-01T00:00:00Z");
    stage.pass("2026-03-10T12:00:00Z");
    let other = stage.path().join("other.db");
    fs::hard_link(ledger(&stage), &other).unwrap();
    for arguments in [
        &["run", "--once", "--at", "2026-03-10T12:30:00Z"][..],
        &["run", "--ledger", "other.db"],
        &["status"],
        &["backup", "copy.db"],
        &["deliveries", "retry", "--all"],
    ] {
        let said = stage.reveille(arguments);
        let told = String::from_utf8(said.stderr).unwrap();
        assert_eq!(said.status.code(), Some(1), "{arguments:?}: {told}");
        assert!(told.contains("it has 2 names (hard links)") && told.contains("remove all but one"), "{told}");
    }
    fs::remove_file(other).unwrap();
    stage.pass("2026-03-10T12:30:00Z");
    assert_eq!(stage.fired(), ["20260310T123000Z a"]);
}

#[test]
fn a_ledger_of_a_newer_version_is_refused_and_left_as_it_is() {
    let stage = Stage::new();
    stage.put("a.ics", "20260310T123000Z", "a", "2026-03-01T00:00:00Z");
    stage.pass("2026-03-10T12:00:00Z");
    let mut newer = other(&ledger(&stage));
    execute(
        &mut newer,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'later', 1, x'00', 0)",
    );
    newer.0.block_on(newer.1.close()).unwrap();
    let before = fs::read(ledger(&stage)).unwrap();
    for arguments in [&["run", "--once"][..], &["status"], &["backup", "copy.db"]] {
        let said = stage.reveille(arguments);
        let told = String::from_utf8(said.stderr).unwrap();
        assert_eq!(said.status.code(), Some(1), "{told}");
        assert!(told.contains("was made by a newer version of reveille"), "{told}");
    }
    assert_eq!(fs::read(ledger(&stage)).unwrap(), before);
}

#[test]
fn a_ledger_locked_by_another_process_is_waited_for_and_then_refused_at_the_start() {
    let stage = Stage::new();
    stage.put("a.ics", "20260310T123000Z", "a", "2026-03-01T00:00:00Z");
    stage.pass("2026-03-10T12:00:00Z");
    let mut rival = other(&ledger(&stage));
    execute(&mut rival, "BEGIN IMMEDIATE");
    let said = stage.reveille(&["run", "--once", "--at", "2026-03-10T12:30:00Z"]);
    let told = String::from_utf8(said.stderr).unwrap();
    assert_eq!(said.status.code(), Some(1), "{told}");
    assert!(told.contains("another process keeps") && told.contains("locked"), "{told}");
    execute(&mut rival, "ROLLBACK");
    stage.pass("2026-03-10T12:30:00Z");
    assert_eq!(stage.fired(), ["20260310T123000Z a"]);
}

#[test]
fn a_ledger_locked_by_another_process_delays_alarms_and_loses_none() {
    let _quiet = undisturbed();
    let stage = Stage::new();
    put_many(&stage, 50, in_seconds(4));
    let mut daemon = Daemon::start(stage.path(), &["run"]);
    daemon.log.find(SOON, |line| line.contains("sync finished")).unwrap();
    let mut rival = other(&ledger(&stage));
    execute(&mut rival, "BEGIN IMMEDIATE");
    let told = daemon.log.find(SOON, |line| line.contains("alarms could not be fired")).unwrap();
    assert!(told.contains("another process keeps the ledger locked"), "{told}");
    assert_eq!(stage.alarms().len(), 0);
    execute(&mut rival, "ROLLBACK");
    super::wait_until(|| stage.alarms().len() >= 50, || daemon.log.text());
    assert!(daemon.stop(SOON).success());
    assert_eq!(super::announced(&stage), (50, 50));
    let log = daemon.log.text();
    assert_eq!(log.matches("alarms could not be fired").count(), 1, "{log}");
    assert!(log.contains("alarms can be fired again"), "{log}");
}

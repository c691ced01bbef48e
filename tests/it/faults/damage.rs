//! The ledger's file is not what was written into it: cut off, or with a bit turned.

use std::fs;
use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::daemon::{Daemon, undisturbed};
use crate::rehearsal::{Stage, count};

use super::{SOON, announced, in_seconds, ledger, put_many, wait_until};

/// Bits that are turned, one after the other.
const FLIPS: usize = 24;
const MEND: &str = "put a backup back with 'reveille restore'";

/// A ledger with 60 alarms armed for 12:30, of which there is a backup.
fn armed() -> Stage {
    let stage = Stage::new();
    for n in 0..60 {
        stage.put(&format!("{n}.ics"), "20260310T123000Z", "armed", "2026-03-01T00:00:00Z");
    }
    stage.pass("2026-03-10T12:00:00Z");
    assert!(stage.reveille(&["backup", "copy.db"]).status.success());
    stage
}

/// One pass at 12:30 with this as the ledger; its exit status and what it said.
fn pass_with(stage: &Stage, octets: &[u8]) -> (Option<i32>, String) {
    clear(stage);
    fs::write(ledger(stage), octets).unwrap();
    let said = stage.reveille(&["run", "--once", "--at", "2026-03-10T12:30:00Z"]);
    let told = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(!told.contains("panicked"), "{told}");
    (said.status.code(), told)
}

/// Takes the ledger and what was announced away.
fn clear(stage: &Stage) {
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm", "alarms.jsonl"] {
        let _ = fs::remove_file(stage.path().join(name));
    }
}

/// Puts the backup back, after which everything fires.
fn mended(stage: &Stage) {
    clear(stage);
    let said = stage.reveille(&["restore", "copy.db", "--fired-until", "2026-03-10T12:00:00Z"]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    stage.pass("2026-03-10T12:30:00Z");
    assert_eq!(announced(stage), (60, 60));
}

#[test]
fn a_truncated_ledger_is_refused_and_left_as_it_is() {
    let stage = armed();
    let whole = fs::read(ledger(&stage)).unwrap();
    for length in
        [1, 2, 50, 99, 100, 511, 512, 4_095, 4_096, 8_192, whole.len() / 2, whole.len() - 4_096, whole.len() - 1]
    {
        let (status, told) = pass_with(&stage, &whole[..length]);
        assert_eq!(status, Some(1), "{length} octets: {told}");
        assert!(told.contains("damaged") && told.contains(MEND), "{length} octets: {told}");
        assert_eq!(told.lines().filter(|line| line.contains("damaged")).count(), 1, "{told}");
        assert!(length >= 4_096 || told.contains("its end is cut off"), "{length} octets: {told}");
        assert_eq!(announced(&stage), (0, 0), "{length} octets");
        assert_eq!(fs::read(ledger(&stage)).unwrap(), &whole[..length], "what is left may be all that somebody has");
    }
    mended(&stage);
}

#[test]
fn a_ledger_truncated_to_nothing_is_a_new_one_in_which_the_past_does_not_fire() {
    let stage = armed();
    let (status, told) = pass_with(&stage, b"");
    assert_eq!(status, Some(0), "{told}");
    assert_eq!(announced(&stage), (60, 60), "12:30 is not past");
    stage.put("past.ics", "20260310T122900Z", "past", "2026-03-01T00:00:00Z");
    let (status, told) = pass_with(&stage, b"");
    assert_eq!((status, announced(&stage)), (Some(0), (60, 60)), "{told}");
}

/// Turns one bit of `octets`.
fn flipped(octets: &[u8], bit: usize) -> Vec<u8> {
    let mut octets = octets.to_vec();
    octets[bit / 8] ^= 1 << (bit % 8);
    octets
}

/// The first page of the B-tree of `table`, counted from 1.
fn root(path: &Path, table: &'static str) -> usize {
    let sql = match table {
        "timers" => "SELECT rootpage FROM sqlite_schema WHERE name = 'timers'",
        "objects" => "SELECT rootpage FROM sqlite_schema WHERE name = 'objects'",
        _ => "SELECT rootpage FROM sqlite_schema WHERE name = 'calendars'",
    };
    usize::try_from(count(path, sql)).unwrap()
}

#[test]
fn a_bit_flipped_where_the_ledger_is_built_is_reported_and_ends_the_program() {
    let stage = armed();
    let whole = fs::read(ledger(&stage)).unwrap();
    // The first octet of a page says what kind of page it is.
    let of = |table| (root(&ledger(&stage), table) - 1) * 4_096 * 8 + 7;
    for (what, bit) in
        [("header", 3), ("timers", of("timers")), ("objects", of("objects")), ("calendars", of("calendars"))]
    {
        let (status, told) = pass_with(&stage, &flipped(&whole, bit));
        assert_eq!(status, Some(1), "{what}: {told}");
        assert!(told.contains("damaged") && told.contains(MEND), "{what}: {told}");
        let check = stage.reveille(&["check", "--offline"]);
        let found = String::from_utf8_lossy(&check.stdout).into_owned();
        assert_eq!(check.status.code(), Some(1), "{what}: {found}");
        assert!(found.contains("damaged"), "{what}: {found}");
        assert_eq!(stage.reveille(&["backup", "bad.db"]).status.code(), Some(1), "{what}");
        assert!(!stage.path().join("bad.db").exists(), "a backup that is not whole is none");
    }
    mended(&stage);
}

#[test]
fn a_bit_flipped_anywhere_crashes_nothing_and_doubles_nothing() {
    let stage = armed();
    let whole = fs::read(ledger(&stage)).unwrap();
    let mut told_damaged = 0;
    for n in 0..FLIPS {
        // Random enough: all over the file.
        let bit = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (whole.len() * 8);
        let (status, told) = pass_with(&stage, &flipped(&whole, bit));
        assert!(matches!(status, Some(0 | 1)), "bit {bit}: {status:?} {told}");
        told_damaged += usize::from(told.contains("damaged"));
        let (lines, ids) = announced(&stage);
        assert_eq!(lines, ids, "bit {bit}: {told}");
        assert!(lines <= 60, "bit {bit}: {told}");
        assert!(status == Some(1) || lines > 0, "bit {bit}: {told}");
    }
    println!("{told_damaged} of {FLIPS} flips were seen by the database");
    mended(&stage);
}

/// Does `sql` to the ledger of `stage`, as turned bits may.
fn turn(stage: &Stage, sql: &'static str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(ledger(stage)).pragma("ignore_check_constraints", "on");
        let mut connection = options.connect().await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}

#[test]
fn a_damaged_notification_is_given_up_and_the_others_are_delivered() {
    let stage = Stage::new();
    for n in 0..6 {
        stage.put(&format!("{n}.ics"), "20260310T123000Z", "many", "2026-03-01T00:00:00Z");
    }
    stage.pass("2026-03-10T12:00:00Z");
    // Nothing can be delivered for now.
    let blocked = stage.path().join("alarms.jsonl");
    fs::create_dir(&blocked).unwrap();
    assert_eq!(stage.reveille(&["run", "--once", "--at", "2026-03-10T12:30:00Z"]).status.code(), Some(1));
    fs::remove_dir(&blocked).unwrap();
    turn(
        &stage,
        "UPDATE firings SET notification = CAST(x'7b22ff227d' AS TEXT) WHERE id IN (1, 3);
         UPDATE deliveries SET recipient = CAST(x'ff' AS TEXT) WHERE firing = 4;",
    );
    let mut daemon = Daemon::start(stage.path(), &["run"]);
    wait_until(|| stage.alarms().len() >= 3, || daemon.log.text());
    assert!(daemon.stop(SOON).success(), "{}", daemon.log.text());
    assert_eq!(announced(&stage), (3, 3));
    let log = daemon.log.text();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("damaged")).collect();
    assert!(told.len() == 1 && told[0].contains("alarms=3"), "{log}");
    let failed = stage.listing(&["deliveries", "--failed"]);
    let answers = failed.iter().map(|delivery| delivery["answer"].as_str().unwrap());
    assert!(
        answers.clone().all(|answer| answer.starts_with("its notification in the ledger is damaged")),
        "{failed:?}"
    );
    assert_eq!(answers.count(), 3);
    assert_eq!(stage.listing(&["firings", "--since", "2026-01-01T00:00:00Z"]).len(), 6);
}

#[test]
fn damaged_texts_stop_nothing_and_are_reported_once() {
    let stage = Stage::new();
    let other = stage.path().join("watched/other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("b.ics"), crate::rehearsal::event("b", "20260310T123000Z", "other")).unwrap();
    for n in 0..6 {
        stage.put(&format!("{n}.ics"), "20260310T123000Z", "many", "2026-03-01T00:00:00Z");
    }
    stage.pass("2026-03-10T12:00:00Z");
    turn(
        &stage,
        "UPDATE objects SET href = CAST(x'ff' AS TEXT) WHERE id = 1;
         UPDATE objects SET etag = CAST(x'ff' AS TEXT) WHERE id = 2;
         UPDATE objects SET count_cache = CAST(x'ff' AS TEXT) WHERE id = 3;
         UPDATE objects SET faults = CAST(x'ff' AS TEXT) WHERE id = 4;
         UPDATE calendars SET name = CAST(x'ff' AS TEXT), zone = CAST(x'ff' AS TEXT), emails = CAST(x'ff' AS TEXT);
         UPDATE calendars SET href = CAST(x'ff' AS TEXT) WHERE href LIKE '%other';
         UPDATE sources SET kind = CAST(x'ff' AS TEXT);
         UPDATE meta SET value = CAST(x'ff' AS TEXT);",
    );
    for listing in ["status", "calendars", "alarms", "firings"] {
        let look = stage.reveille(&[listing]);
        assert!(look.status.success(), "{listing}: {}", String::from_utf8_lossy(&look.stderr));
    }
    let log = stage.pass("2026-03-10T12:30:00Z");
    assert_eq!(announced(&stage), (7, 7), "{log}");
    assert_eq!(log.matches("a text in the ledger is damaged").count(), 1, "{log}");
    assert_eq!(log.matches("a calendar's name in the ledger is damaged").count(), 1, "{log}");
}

#[test]
fn an_object_whose_text_is_damaged_is_silent_and_the_others_fire() {
    let stage = armed();
    turn(&stage, "UPDATE objects SET text = CAST(x'ff' || substr(text, 2) AS BLOB) WHERE id = 1;");
    let log = stage.pass("2026-03-10T12:30:00Z");
    assert_eq!(announced(&stage), (59, 59));
    assert_eq!(log.matches("what is kept of it cannot be read").count(), 1, "{log}");
}

/// The log of a ledger, beside it.
fn log_of(stage: &Stage) -> PathBuf {
    stage.path().join("ledger.db-wal")
}

#[test]
fn a_bit_flipped_in_the_log_undoes_what_was_written_last_and_that_fires_again_under_the_same_ids() {
    let _quiet = undisturbed();
    let stage = Stage::new();
    put_many(&stage, 100, in_seconds(4));
    let mut daemon = Daemon::start(stage.path(), &["run"]);
    wait_until(|| stage.alarms().len() >= 100, || daemon.log.text());
    daemon.kill();
    let octets = fs::read(log_of(&stage)).unwrap();
    // After the events were taken in, before the end.
    fs::write(log_of(&stage), flipped(&octets, octets.len() * 8 * 9 / 10)).unwrap();
    let mut daemon = Daemon::start(stage.path(), &["run"]);
    daemon.log.find(SOON, |line| line.contains("reveille is running")).unwrap();
    let delivered = "SELECT count(*) FROM deliveries WHERE state = 'delivered'";
    wait_until(|| count(&ledger(&stage), delivered) == 100, || daemon.log.text());
    assert!(daemon.stop(SOON).success(), "{}", daemon.log.text());
    let (lines, ids) = announced(&stage);
    assert_eq!(ids, 100, "{lines} lines");
    assert!(stage.reveille(&["check", "--offline"]).status.success());
}

//! SIGKILL in the middle of a burst, again and again: nothing is lost, nothing is recorded twice, and what is announced
//! twice says so by its notificationId.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::{Duration, Instant};

use reveille::clock::Clock;
use reveille::time::UtcMillis;
use serde_json::Value;

use crate::daemon::{Daemon, undisturbed};
use crate::rehearsal::count;

/// Alarms that are due at once.
const BURST: usize = 10_000;
/// Bursts, each of which is broken off once.
const ROUNDS: usize = 20;
/// Seconds from one burst to the next.
const APART: i64 = 5;

/// Writes `BURST` events that ring together, first at `first` and `ROUNDS` times in all.
fn write_calendar(folder: &Path, first: UtcMillis) {
    fs::create_dir_all(folder).unwrap();
    for n in 0..BURST {
        let text = format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//reveille//tests//EN\r\nBEGIN:VEVENT\r\nUID:{n}@example.org\r\n\
             DTSTAMP:20260101T000000Z\r\nDTSTART:{}\r\nRRULE:FREQ=SECONDLY;INTERVAL={APART};COUNT={ROUNDS}\r\n\
             SUMMARY:Burst\r\nBEGIN:VALARM\r\nACTION:DISPLAY\r\nTRIGGER:PT0S\r\nDESCRIPTION:Burst\r\nEND:VALARM\r\n\
             END:VEVENT\r\nEND:VCALENDAR\r\n",
            first.basic()
        );
        fs::write(folder.join(format!("{n}.ics")), text).unwrap();
    }
}

/// The length of the file; 0 where it is not there.
fn length(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |metadata| metadata.len())
}

/// Waits until `file` is longer than `octets`.
fn wait_for_growth(file: &Path, octets: u64, within: Duration) {
    let deadline = Instant::now() + within;
    while length(file) <= octets {
        assert!(Instant::now() < deadline, "{} does not grow", file.display());
        std::thread::yield_now();
    }
}

/// Waits until `file` has been written to `times` times.
fn wait_for_writes(file: &Path, times: u64, within: Duration) {
    let state = || fs::metadata(file).ok().map(|metadata| (metadata.modified().unwrap(), metadata.len()));
    let deadline = Instant::now() + within;
    for _ in 0..times {
        let before = state();
        while state() == before {
            assert!(Instant::now() < deadline, "{} is not written to", file.display());
            std::thread::yield_now();
        }
    }
}

/// How often each (uid, alarmTime) was announced, having checked that it was always under the same notificationId.
fn announced(file: &Path) -> HashMap<(String, String), usize> {
    let mut ids: HashMap<(String, String), (String, usize)> = HashMap::new();
    for line in BufReader::new(File::open(file).unwrap()).lines() {
        let line = line.unwrap();
        let alarm: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let word = |key: &str| alarm[key].as_str().unwrap().to_owned();
        let seen = ids.entry((word("uid"), word("alarmTime"))).or_insert_with(|| (word("notificationId"), 0));
        assert_eq!(seen.0, word("notificationId"), "one ring under two ids: {line}");
        seen.1 += 1;
    }
    ids.into_iter().map(|(ring, (_, times))| (ring, times)).collect()
}

/// Random enough: a number of a fixed series.
fn scatter(round: usize) -> u64 {
    (round as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40
}

#[test]
fn twenty_kills_in_bursts_of_ten_thousand_lose_nothing_and_double_nothing() {
    let _quiet = undisturbed();
    let folder = tempfile::tempdir().unwrap();
    let (ledger, sink) = (folder.path().join("ledger.db"), folder.path().join("alarms.jsonl"));
    let config = format!(
        "[ledger]\nurl = \"sqlite://{}\"\n[[source]]\nkind = \"directory\"\npath = \"burst\"\nuser = \"mary\"\n\
         [[sink]]\nkind = \"file\"\npath = \"{}\"\n",
        ledger.display(),
        sink.display()
    );
    fs::write(
        folder.path().join("reveille.toml"),
        config.replace("path = \"burst\"", &format!("path = \"{}/burst\"", folder.path().display())),
    )
    .unwrap();
    let first = UtcMillis(Clock::System.now().0 / 1_000 * 1_000 + 45_000);
    write_calendar(&folder.path().join("burst"), first);

    let patience = Duration::from_secs(240);
    let log = folder.path().join("ledger.db-wal");
    for round in 0..ROUNDS {
        // There is always something to fire: what the daemon before has left, or the next burst.
        let mut daemon = Daemon::start(folder.path(), &["run", "--config", "reveille.toml"]);
        let before = length(&sink);
        if round % 4 == 3 {
            wait_for_growth(&sink, before, patience);
            wait_for_writes(&log, 1 + scatter(round) % 12, patience);
        } else {
            wait_for_growth(&sink, before + scatter(round) % 6_000_000, patience);
        }
        daemon.kill();
    }
    let mut daemon = Daemon::start(folder.path(), &["run", "--config", "reveille.toml"]);
    let deadline = Instant::now() + patience;
    let expected = i64::try_from(BURST * ROUNDS).unwrap();
    let fired = || count(&ledger, "SELECT count(*) FROM rings WHERE state = 'fired'");
    let owed = || count(&ledger, "SELECT count(*) FROM deliveries WHERE state = 'pending'");
    while (fired() < expected || owed() > 0) && Instant::now() < deadline {
        std::thread::park_timeout(Duration::from_millis(500));
    }
    assert!(daemon.stop(patience).success(), "{}", daemon.log.text());

    let announced = announced(&sink);
    assert_eq!(announced.len(), BURST * ROUNDS, "every alarm is announced at least once");
    let twice = announced.values().filter(|times| **times > 1).count();
    let status = daemon.log.text();
    let rings = count(&ledger, "SELECT count(*) FROM rings WHERE state = 'fired'");
    let distinct = count(&ledger, "SELECT count(*) FROM (SELECT DISTINCT object, due FROM rings)");
    let undelivered = count(&ledger, "SELECT count(*) FROM deliveries WHERE state != 'delivered'");
    assert_eq!((rings, distinct, undelivered), (expected, expected, 0), "{status}");
    println!("{ROUNDS} kills: {expected} alarms, {twice} of them announced twice under the same id");
}

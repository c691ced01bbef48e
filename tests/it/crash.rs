//! SIGKILL in the middle of a burst, again and again: nothing is lost, nothing is recorded twice, and what is announced
//! twice says so by its notificationId.
//!
//! A thousand kills take about 35 minutes:
//!
//! ```text
//! REVEILLE_KILLS=1000 REVEILLE_BURST=300 cargo test --release --test it crash -- --nocapture
//! ```
//!
//! `REVEILLE_SEED` chooses other moments.

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

/// How much of it: from the environment, else little enough for every day.
struct Extent {
    /// Kills, and as many bursts.
    kills: usize,
    /// Alarms that are due at once.
    burst: usize,
    /// Seconds from one burst to the next.
    apart: i64,
    seed: u64,
}

impl Extent {
    fn wanted() -> Extent {
        let number = |name: &str, otherwise: u64| match std::env::var(name) {
            Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is '{text}' and must be a number")),
            Err(_) => otherwise,
        };
        let size = |name, otherwise| usize::try_from(number(name, otherwise)).unwrap();
        Extent {
            kills: size("REVEILLE_KILLS", 20),
            burst: size("REVEILLE_BURST", 1_000),
            apart: number("REVEILLE_APART", 2).cast_signed(),
            seed: number("REVEILLE_SEED", 1),
        }
    }

    fn alarms(&self) -> i64 {
        i64::try_from(self.kills * self.burst).unwrap()
    }

    /// Random enough: a number of a fixed series.
    fn scatter(&self, round: usize) -> u64 {
        (round as u64 + self.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40
    }
}

/// Octets of an alarm in the file, about.
const LINE: usize = 600;

/// Writes events whose alarms fire together, first at `first` and once for each kill.
fn write_calendar(folder: &Path, first: UtcMillis, extent: &Extent) {
    let (apart, rounds) = (extent.apart, extent.kills);
    fs::create_dir_all(folder).unwrap();
    for n in 0..extent.burst {
        let text = format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//reveille//tests//EN\r\nBEGIN:VEVENT\r\nUID:{n}@example.org\r\n\
             DTSTAMP:20260101T000000Z\r\nDTSTART:{}\r\nRRULE:FREQ=SECONDLY;INTERVAL={apart};COUNT={rounds}\r\n\
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

/// Waits until `file` is longer than `octets`; false when it did not become so within `within`.
fn grows(file: &Path, octets: u64, within: Duration) -> bool {
    let deadline = Instant::now() + within;
    while length(file) <= octets && Instant::now() < deadline {
        std::thread::yield_now();
    }
    length(file) > octets
}

/// Waits until `file` has been written to `times` times; false when it was not within `within`.
fn is_written(file: &Path, times: u64, within: Duration) -> bool {
    let state = || fs::metadata(file).ok().map(|metadata| (metadata.modified().unwrap(), metadata.len()));
    let deadline = Instant::now() + within;
    (0..times).all(|_| {
        let before = state();
        while state() == before && Instant::now() < deadline {
            std::thread::yield_now();
        }
        state() != before
    })
}

/// How often each (uid, alarmTime) was announced, having checked that it was always under the same notificationId.
fn announced(file: &Path) -> HashMap<(String, String), usize> {
    let mut ids: HashMap<(String, String), (String, usize)> = HashMap::new();
    for line in BufReader::new(File::open(file).unwrap()).lines() {
        let line = line.unwrap();
        let alarm: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let word = |key: &str| alarm[key].as_str().unwrap().to_owned();
        let seen = ids.entry((word("uid"), word("alarmTime"))).or_insert_with(|| (word("notificationId"), 0));
        assert_eq!(seen.0, word("notificationId"), "one firing under two ids: {line}");
        seen.1 += 1;
    }
    ids.into_iter().map(|(firing, (_, times))| (firing, times)).collect()
}

#[test]
fn sigkills_during_bursts_lose_nothing_and_double_nothing() {
    let _quiet = undisturbed();
    let extent = Extent::wanted();
    let folder = tempfile::tempdir().unwrap();
    let (ledger, sink) = (folder.path().join("ledger.db"), folder.path().join("alarms.jsonl"));
    let config = format!(
        "[ledger]\nurl = \"sqlite://{}\"\n[limits]\nmax_rings_per_hour = 1000000\n[[source]]\nkind = \"directory\"\npath = \"burst\"\nuser = \"mary\"\n\
         [[sink]]\nkind = \"file\"\npath = \"{}\"\n",
        ledger.display(),
        sink.display()
    );
    fs::write(
        folder.path().join("reveille.toml"),
        config.replace("path = \"burst\"", &format!("path = \"{}/burst\"", folder.path().display())),
    )
    .unwrap();
    // Late enough for the files to be written and taken in before.
    let writing = i64::try_from(10 + extent.burst / 250).unwrap() * 1_000;
    let first = UtcMillis(Clock::System.now().0 / 1_000 * 1_000 + writing);
    write_calendar(&folder.path().join("burst"), first, &extent);

    let patience = Duration::from_secs(240);
    let log = folder.path().join("ledger.db-wal");
    let mut in_bursts = 0;
    for round in 0..extent.kills {
        let mut daemon = Daemon::start(folder.path(), &["run", "--config", "reveille.toml"]);
        let (before, random) = (length(&sink), extent.scatter(round));
        // Mostly there is something to fire: what the daemon before has left, or the next burst.
        let within = if round == 0 { patience } else { Duration::from_secs(5 + 2 * extent.apart.unsigned_abs()) };
        let burst = match round % 4 {
            3 => grows(&sink, before, within) && is_written(&log, 1 + random % 12, within),
            // At any moment, of the start as well.
            1 => !grows(&sink, u64::MAX - 1, Duration::from_millis(random % 1_500)) && length(&sink) > before,
            _ => grows(&sink, before + random % (extent.burst * LINE) as u64, within),
        };
        in_bursts += usize::from(burst);
        daemon.kill();
    }
    assert!(in_bursts >= extent.kills / 2, "{in_bursts} of {} kills were in a burst", extent.kills);
    let mut daemon = Daemon::start(folder.path(), &["run", "--config", "reveille.toml"]);
    let bursts = extent.apart.unsigned_abs() * extent.kills as u64;
    let deadline = Instant::now() + patience + Duration::from_secs(bursts);
    let expected = extent.alarms();
    let fired = || count(&ledger, "SELECT count(*) FROM firings WHERE state = 'fired'");
    let owed = || count(&ledger, "SELECT count(*) FROM deliveries WHERE state = 'pending'");
    while (fired() < expected || owed() > 0) && Instant::now() < deadline {
        std::thread::park_timeout(Duration::from_millis(500));
    }
    assert!(daemon.stop(patience).success(), "{}", daemon.log.text());

    let announced = announced(&sink);
    assert_eq!(i64::try_from(announced.len()).unwrap(), expected, "every alarm is announced at least once");
    let twice = announced.values().filter(|times| **times > 1).count();
    let lines: usize = announced.values().sum();
    let status = daemon.log.text();
    let firings = count(&ledger, "SELECT count(*) FROM firings WHERE state = 'fired'");
    let distinct = count(&ledger, "SELECT count(*) FROM (SELECT DISTINCT object, due FROM firings)");
    let undelivered = count(&ledger, "SELECT count(*) FROM deliveries WHERE state != 'delivered'");
    assert_eq!((firings, distinct, undelivered), (expected, expected, 0), "{status}");
    println!(
        "{} kills ({in_bursts} of them while alarms were announced): {expected} alarms, 0 lost, 0 doubled in the ledger; \
         {twice} announced more than once, each under one id ({lines} lines)",
        extent.kills
    );
}

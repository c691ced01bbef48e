//! SIGTERM while the program starts, takes in, fires and delivers: it ends in order, and the next start goes on.

use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use rustix::io::ioctl_fionread;
use rustix::process::{Pid, Signal, kill_process};

use crate::daemon::{Daemon, undisturbed};
use crate::process::Lines;
use crate::rehearsal::{Stage, count};

use super::{SOON, after_writing, announced, in_seconds, ledger, put_many, wait_until};

const FIRINGS: &str = "SELECT count(*) FROM firings";
const OWED: &str = "SELECT count(*) FROM deliveries WHERE state != 'delivered'";
const MADE: &str = "SELECT count(*) FROM sqlite_schema WHERE name = 'deliveries_failed'";

/// What a question to the ledger of `stage` comes to; 0 while there is no ledger yet.
fn asked(stage: &Stage, sql: &'static str) -> i64 {
    let path = ledger(stage);
    if super::readable(&path) && count(&path, MADE) == 1 { count(&path, sql) } else { 0 }
}

/// Starts the daemon again until `alarms` have fired and are delivered, and stops it.
fn finish(stage: &Stage, alarms: usize) {
    let mut daemon = Daemon::start(stage.path(), &["run"]);
    // All may have been done before: then it is asked to stop before it has asked for signals.
    daemon.log.find(SOON, |line| line.contains("reveille is running")).unwrap();
    let all = i64::try_from(alarms).unwrap();
    wait_until(|| asked(stage, FIRINGS) == all && asked(stage, OWED) == 0, || daemon.log.text());
    assert!(daemon.stop(SOON).success(), "{}", daemon.log.text());
}

#[test]
fn sigterm_during_the_start_ends_it_and_harms_nothing() {
    let stage = Stage::new();
    stage.put("a.ics", "20260310T123000Z", "a", "2026-03-01T00:00:00Z");
    stage.pass("2026-03-10T12:00:00Z");
    for n in 0..16_u32 {
        let mut daemon = Daemon::start(stage.path(), &["run"]);
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(6) * n {
            std::hint::spin_loop();
        }
        let status = daemon.stop(SOON);
        // Before it has asked for signals, the system ends it.
        let ended = std::os::unix::process::ExitStatusExt::signal(&status);
        assert!(status.success() || ended == Some(15), "{status}: {}", daemon.log.text());
    }
    let check = stage.reveille(&["check", "--offline"]);
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
}

#[test]
fn sigterm_during_intake_ends_it_and_the_next_start_takes_in_the_rest() {
    const EVENTS: usize = 3_000;
    let _quiet = undisturbed();
    let stage = Stage::new();
    put_many(&stage, EVENTS, in_seconds(3_600));
    let mut daemon = Daemon::start(stage.path(), &["run"]);
    wait_until(|| asked(&stage, "SELECT count(*) FROM objects") > 0, || daemon.log.text());
    assert!(daemon.stop(SOON).success(), "{}", daemon.log.text());
    stage.pass(&in_seconds(0).to_string());
    assert_eq!(count(&ledger(&stage), "SELECT count(*) FROM timers"), i64::try_from(EVENTS).unwrap());
    assert_eq!(announced(&stage), (0, 0));
}

#[test]
fn sigterm_during_firing_delivers_what_was_fired_and_the_next_start_fires_the_rest() {
    const EVENTS: usize = 4_000;
    let _quiet = undisturbed();
    let stage = Stage::new();
    put_many(&stage, EVENTS, after_writing(EVENTS));
    let mut daemon = Daemon::start(stage.path(), &["run"]);
    daemon.log.find(SOON, |line| line.contains("sync finished")).unwrap();
    wait_until(|| asked(&stage, FIRINGS) > 0, || daemon.log.text());
    assert!(daemon.stop(SOON).success(), "{}", daemon.log.text());
    assert_eq!(asked(&stage, OWED), 0, "what was fired is delivered before the end");
    assert_eq!(asked(&stage, FIRINGS), i64::try_from(announced(&stage).0).unwrap());
    finish(&stage, EVENTS);
    assert_eq!(announced(&stage), (EVENTS, EVENTS), "an end in order doubles nothing, not even on the wire");
}

#[test]
fn sigterm_during_delivering_waits_for_the_sink() {
    const EVENTS: usize = 1_000;
    let _quiet = undisturbed();
    let stage = Stage::new();
    let configured = std::fs::read_to_string(stage.path().join("reveille.toml")).unwrap();
    let stdout = configured.split("[[sink]]").next().unwrap().to_owned() + "[[sink]]\nkind = \"stdout\"\n";
    std::fs::write(stage.path().join("reveille.toml"), stdout).unwrap();
    put_many(&stage, EVENTS, after_writing(EVENTS));
    let mut child = Command::new(env!("CARGO_BIN_EXE_reveille"))
        .arg("run")
        .current_dir(stage.path())
        .env_remove("REVEILLE_CONFIG")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = Lines::of(child.stderr.take().unwrap());
    let mut out = child.stdout.take().unwrap();
    // Nobody reads: the pipe takes some lines and then no more.
    wait_until(|| ioctl_fionread(&out).unwrap() > 0, || log.text());
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    log.find(SOON, |line| line.contains("stopping: delivering what has been fired")).unwrap();
    let mut text = String::new();
    out.read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success(), "{}", log.text());
    assert_eq!(asked(&stage, OWED), 0);
    assert_eq!(i64::try_from(text.lines().count()).unwrap(), asked(&stage, FIRINGS));
}

/// Does `sql` to the ledger at `path`, which nobody else uses.
fn change(path: &Path, sql: &'static str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        sqlx::Connection::close(connection).await.unwrap();
    });
}

/// Takes what comes to `socket`, one in two milliseconds at most, and counts it.
fn take_slowly(socket: UnixDatagram) -> Arc<AtomicI64> {
    let taken = Arc::new(AtomicI64::new(0));
    let counter = taken.clone();
    std::thread::spawn(move || {
        while socket.recv(&mut [0; 4096]).is_ok() {
            counter.fetch_add(1, Ordering::SeqCst);
            std::thread::park_timeout(Duration::from_millis(2));
        }
    });
    taken
}

/// 50,000 alarms that were fired just now, like the one that the ledger has, and what each owes to three sinks.
const BACKLOG: &str = "INSERT INTO sinks (name) VALUES ('pipe'), ('socket'), ('mail');
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
    INSERT INTO firings (id, identity, calendar, object, due, fired_at, state, notification)
        SELECT 1000 + i, randomblob(16), calendar, object, due, unixepoch() * 1000, state, notification
        FROM n, (SELECT * FROM firings LIMIT 1);
    INSERT INTO deliveries (firing, sink, recipient, state, next_attempt)
        SELECT firings.id, sinks.id, iif(name = 'mail', 'mary@example.org', ''), 'pending', 0
        FROM firings, sinks WHERE firings.id > 1000 AND name != 'alarms'";
const NEVER_TRIED: &str = "SELECT count(*) FROM deliveries WHERE state = 'pending' AND attempts = 0
    AND sink IN (SELECT id FROM sinks WHERE name IN ('pipe', 'mail'))";
const TAKEN: &str = "SELECT count(*) FROM deliveries WHERE state = 'delivered'
    AND sink IN (SELECT id FROM sinks WHERE name = 'socket')";

#[test]
fn sigterm_ends_it_in_time_whatever_the_sinks_do_and_what_they_took_is_noted() {
    let _quiet = undisturbed();
    let stage = Stage::new();
    stage.put("a.ics", "20260310T123000Z", "a", "2026-03-01T00:00:00Z");
    stage.pass("2026-03-10T12:00:00Z");
    stage.pass("2026-03-10T12:30:00Z");
    change(&ledger(&stage), BACKLOG);
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let (path, port) = (stage.path().display(), server.local_addr().unwrap().port());
    let text = std::fs::read_to_string(stage.path().join("reveille.toml")).unwrap();
    let text = text.split("[[sink]]").next().unwrap().to_owned()
        + &format!(
            "[[sink]]\nkind = \"stdout\"\nname = \"pipe\"\n\
             [[sink]]\nkind = \"cyrus-notify\"\nname = \"socket\"\npath = \"{path}/socket\"\n\
             [[sink]]\nkind = \"email\"\nname = \"mail\"\nurl = \"smtp+plain://localhost:{port}\"\n\
             from = \"a@example.org\"\n"
        );
    std::fs::write(stage.path().join("reveille.toml"), text).unwrap();
    let taken = take_slowly(UnixDatagram::bind(stage.path().join("socket")).unwrap());
    let (out, into) = std::io::pipe().unwrap();
    let mut daemon = Daemon::start_onto(stage.path(), &["run"], into.into(), Stdio::piped());
    // The server accepts and says nothing, the pipe is not read.
    let _connection = server.accept().unwrap();
    wait_until(|| ioctl_fionread(&out).unwrap() > 0 && taken.load(Ordering::SeqCst) > 0, || daemon.log.text());
    let began = Instant::now();
    let status = daemon.stop(SOON);
    let took = began.elapsed();
    assert!(status.success(), "{status}: {}", daemon.log.text());
    assert!(took < Duration::from_secs(30), "{took:?}: {}", daemon.log.text());
    assert!(daemon.log.text().contains("the rest waits in the ledger"), "{}", daemon.log.text());
    let noted = asked(&stage, TAKEN);
    assert!((100..50_000).contains(&noted), "{noted}");
    wait_until(|| taken.load(Ordering::SeqCst) >= noted, || format!("{taken:?} of {noted}"));
    assert_eq!(taken.load(Ordering::SeqCst), noted, "what the slow one took is delivered, and nothing else");
    assert_eq!(asked(&stage, NEVER_TRIED), 100_000);
}

//! A first sync that is killed again and again: nothing is missing afterwards, nothing is there twice, and little is
//! read again. `REVEILLE_KILLS=20` kills that often, in a sync of 20,000 events.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use reveille::clock::Clock;
use reveille::time::UtcMillis;

use crate::armed::{Armed, Timers};
use crate::chance::Chance;
use crate::daemon::{Daemon, undisturbed};
use crate::quirks::Server;
use crate::rehearsal::event;

/// Longer than anything takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// What is read and not yet in the ledger when a daemon is killed: a batch, and what is being asked for.
const AGAIN: usize = 500 + 100;

fn configure(folder: &Path, url: &str) {
    let path = folder.display();
    fs::write(folder.join("password"), "sesame").unwrap();
    fs::set_permissions(folder.join("password"), fs::Permissions::from_mode(0o600)).unwrap();
    let text = format!(
        "[ledger]\nurl = \"sqlite://{path}/ledger.db\"\n[[source]]\nkind = \"caldav\"\nname = \"home\"\nurl = \"{url}\"\n\
         username = \"mary\"\npassword_file = \"{path}/password\"\n[[sink]]\nkind = \"file\"\npath = \"{path}/alarms.jsonl\"\n"
    );
    fs::write(folder.join("reveille.toml"), text).unwrap();
}

/// A server with so many events, what they arm, and a receiver of how many objects each of its responses contains; of a
/// list of the calendar, 0.
fn served(events: usize) -> (Server, Timers, Receiver<usize>) {
    let server = Server::start();
    let base = Clock::System.now().start_of_second().saturating_add(SignedDuration::from_hours(48));
    let mut wanted = Timers::new();
    for n in 0..events {
        let (name, due) = (format!("e{n:05}"), UtcMillis(base.0 + 1_000 * i64::try_from(n).unwrap()));
        let text = event(&name, &due.basic(), &name);
        server.with(|state| {
            state.objects.insert(format!("/cal/work/{name}.ics"), ("\"1\"".to_owned(), text));
        });
        wanted.insert(name, due);
    }
    let (send, receive) = channel();
    server.quirk(move |asked, _| {
        let is_list = asked.method == "PROPFIND" && asked.path == "/cal/work/";
        if is_list || asked.body.contains("calendar-multiget") {
            // The test may have seen enough.
            let _ = send.send(asked.body.matches("<D:href>").count());
        }
        None
    });
    (server, wanted, receive)
}

#[test]
fn a_first_sync_that_is_killed_misses_nothing_and_reads_little_again() {
    let kills: usize = std::env::var("REVEILLE_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(3);
    let events = kills * 1_000;
    let (server, wanted, responses) = served(events);
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), &server.scripted.url);
    let _quiet = undisturbed();
    let mut chance = Chance::new(20);
    let mut read = 0;
    for kill in 0..kills {
        let mut daemon = Daemon::start(folder.path(), &["run"]);
        // Killed when it has asked for so many parts, or for the list, and a moment later.
        for _ in 0..=chance.below(9) {
            read += responses.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{kill}: {}", daemon.log.text()));
        }
        let moment = Instant::now() + Duration::from_micros(u64::try_from(chance.below(30_000)).unwrap());
        while Instant::now() < moment {
            std::thread::yield_now();
        }
        daemon.kill();
        read += responses.try_iter().sum::<usize>();
    }
    let mut daemon = Daemon::start(folder.path(), &["run"]);
    assert!(daemon.log.find(PATIENCE, |line| line.contains("sync finished")).is_some(), "{}", daemon.log.text());
    Armed::of(&folder.path().join("ledger.db")).until(&wanted, Duration::from_secs(20), || daemon.log.text());
    assert!(daemon.stop(PATIENCE).success(), "{}", daemon.log.text());
    read += responses.try_iter().sum::<usize>();
    let again = read - events;
    println!("{kills} kills in a first sync of {events} events: {again} objects were read again");
    assert!(again <= kills * AGAIN, "{again} objects were read again after {kills} kills");
    assert!(
        !folder.path().join("alarms.jsonl").exists()
            || fs::read(folder.path().join("alarms.jsonl")).unwrap().is_empty()
    );
}

//! The daemon beside SOGo and DAViCal, servers that are written to at full speed while they are looked at.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use reveille::clock::Clock;
use reveille::time::UtcMillis;

use crate::account::Account;
use crate::armed::{Armed, Timers};
use crate::daemon::{Daemon, undisturbed};
use crate::debian::{DAVICAL, Kind};
use crate::rehearsal::event;

/// The daemon looks each second: what was written is known after a few looks.
const KNOWN_WITHIN: Duration = Duration::from_secs(8);
/// Longer than anything takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const DAY: i64 = 86_400_000;
/// How many objects are written at full speed.
const BURST: usize = 150;

/// A daemon that looks at `account` each second, and what it should have armed.
struct Watched {
    account: Account,
    daemon: Daemon,
    armed: Armed,
    wanted: Timers,
    /// Events are counted in minutes from here; none rings in the test.
    base: UtcMillis,
    _folder: tempfile::TempDir,
}

impl Watched {
    fn start(account: Account) -> Watched {
        let folder = tempfile::tempdir().unwrap();
        configure(folder.path(), &account);
        let daemon = Daemon::start(folder.path(), &["run"]);
        let looked = daemon.log.find(PATIENCE, |line| line.contains("looked"));
        assert!(looked.is_some(), "{}", daemon.log.text());
        let armed = Armed::of(&folder.path().join("ledger.db"));
        let base = UtcMillis((Clock::System.now().0 + 2 * DAY) / 60_000 * 60_000);
        Watched { account, daemon, armed, wanted: Timers::new(), base, _folder: folder }
    }

    /// PUTs the event `name` so that it rings `minutes` after the base.
    fn put(&mut self, name: &str, minutes: usize) {
        let at = self.base.plus(60_000 * i64::try_from(minutes).unwrap());
        self.account.put(&format!("{name}.ics"), &event(name, &at.basic(), name));
        self.wanted.insert(name.to_owned(), at);
    }

    fn delete(&mut self, name: &str) {
        self.account.delete(&format!("{name}.ics"));
        self.wanted.remove(name);
    }

    /// Waits until what is wanted is armed, and says how long that took.
    fn known(&mut self) -> Duration {
        let log = self.daemon.log.clone();
        self.armed.until(&self.wanted, KNOWN_WITHIN, || log.text())
    }
}

/// Writes a configuration into `folder` that looks at `account` each second.
fn configure(folder: &Path, account: &Account) {
    let (username, password) = account.login.unwrap();
    let (file, path) = (folder.join("password"), folder.display());
    fs::write(&file, password).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let url = format!("{}{}", account.url.trim_end_matches('/'), account.home);
    let text = format!(
        "[ledger]\nurl = \"sqlite://{path}/ledger.db\"\n[[source]]\nkind = \"caldav\"\nname = \"home\"\nurl = \"{url}\"\n\
         username = \"{username}\"\npassword_file = \"{path}/password\"\npoll_interval = \"1s\"\n\
         [[sink]]\nkind = \"file\"\npath = \"{path}/alarms.jsonl\"\n"
    );
    fs::write(folder.join("reveille.toml"), text).unwrap();
}

/// Writes, moves and deletes many at full speed while the daemon looks: nothing is missing and nothing is stale afterwards.
fn many_at_full_speed(kind: &'static Kind) {
    let Some(account) = kind.account() else { return };
    let _quiet = undisturbed();
    let mut watched = Watched::start(account);
    let name = |number: usize| format!("burst{number}");
    (0..BURST).for_each(|number| watched.put(&name(number), number));
    let put = watched.known();
    (0..BURST).for_each(|number| watched.put(&name(number), number + 1_000));
    let moved = watched.known();
    (0..BURST).for_each(|number| watched.delete(&name(number)));
    let deleted = watched.known();
    println!("{}: {BURST} put, moved, deleted: known after {put:?}, {moved:?}, {deleted:?}", kind.name);
}

#[test]
fn on_davical_what_is_written_at_full_speed_is_known_after_a_few_looks() {
    many_at_full_speed(&DAVICAL);
}

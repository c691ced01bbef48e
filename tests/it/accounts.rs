//! Accounts that come, change and go while the daemon runs.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::daemon::Daemon;
use crate::rehearsal::event;

const SOON: Duration = Duration::from_secs(20);

/// A folder with a configuration, and a calendar for each of `users`.
fn site(configuration: &str, users: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{configuration}\n[ledger]\nurl = 'sqlite:ledger.db'\n[[sink]]\nkind = 'stdout'\n");
    fs::write(folder.path().join("reveille.toml"), text).unwrap();
    fs::create_dir(folder.path().join("accounts")).unwrap();
    users.iter().for_each(|user| calendar(folder.path(), user));
    folder
}

fn calendar(site: &Path, user: &str) {
    let folder = site.join("store").join(user).join("work");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("a.ics"), event(user, "20990101T120000Z", user)).unwrap();
}

/// Writes the account `name`, which has the calendars of `user`.
fn account(site: &Path, name: &str, user: &str) {
    let text = format!("kind = 'directory'\nlayout = 'vdir'\nuser = '{user}'\npath = '../store/{user}'\n");
    fs::write(site.join("accounts").join(format!("{name}.toml")), text).unwrap();
}

fn start(site: &Path) -> Daemon {
    Daemon::start(site, &["run", "--config", "reveille.toml"])
}

/// Waits until a line that holds `wanted` was logged, at any time.
fn logged(daemon: &Daemon, wanted: &str) {
    while !daemon.log.text().contains(wanted) {
        assert!(daemon.log.find(SOON, |_| true).is_some(), "{wanted}\n{}", daemon.log.text());
    }
}

/// Source and user of each calendar that is known.
fn calendars(site: &Path) -> Vec<(String, String)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reveille"));
    command.args(["calendars", "--json", "--config", "reveille.toml"]).current_dir(site).env_remove("REVEILLE_CONFIG");
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let text_of = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut found: Vec<_> = rows.map(|row| (text_of(&row, "source"), text_of(&row, "userId"))).collect();
    found.sort();
    found
}

fn pairs(wanted: &[(&str, &str)]) -> Vec<(String, String)> {
    wanted.iter().map(|(source, user)| ((*source).to_owned(), (*user).to_owned())).collect()
}

#[test]
fn accounts_come_change_and_go_while_the_daemon_runs() {
    let site = site("accounts_dir = 'accounts'", &["mary", "bob", "ann", "carol"]);
    let site = site.path();
    account(site, "one", "mary");
    let mut daemon = start(site);
    logged(&daemon, "source.name=\"one\" calendars=1 changes=1");
    account(site, "two", "bob");
    logged(&daemon, "accounts.added=1 accounts.changed=0 accounts.removed=0");
    logged(&daemon, "source.name=\"two\" calendars=1 changes=1");
    assert_eq!(calendars(site), pairs(&[("one", "mary"), ("two", "bob")]));
    // What is wrong with one account is a fault of that one alone, and it goes on as it was.
    fs::write(site.join("accounts/two.toml"), "kind = 'directory'\npaht = 'x'\n").unwrap();
    logged(&daemon, "two.toml:2: source 'two': unknown key 'paht'");
    account(site, "three", "carol");
    logged(&daemon, "source.name=\"three\" calendars=1 changes=1");
    assert_eq!(calendars(site), pairs(&[("one", "mary"), ("three", "carol"), ("two", "bob")]));
    account(site, "one", "ann");
    logged(&daemon, "accounts.added=0 accounts.changed=1 accounts.removed=0");
    fs::remove_file(site.join("accounts/three.toml")).unwrap();
    logged(&daemon, "accounts.added=0 accounts.changed=0 accounts.removed=1");
    let known = calendars(site);
    assert!(known.contains(&("two".to_owned(), "bob".to_owned())), "{known:?}\n{}", daemon.log.text());
    assert!(!known.iter().any(|(source, _)| source == "three"), "{known:?}");
    assert!(daemon.stop(SOON).success());
    // A start does not forget what only cannot be read now.
    let mut daemon = start(site);
    logged(&daemon, "source.name=\"one\"");
    assert!(calendars(site).contains(&("two".to_owned(), "bob".to_owned())));
    assert!(daemon.stop(SOON).success());
}

#[test]
fn a_source_is_made_for_each_user_of_a_list() {
    let source =
        "[[source]]\nkind = 'directory'\nname = 'home'\nlayout = 'vdir'\nusers_file = 'users'\npath = 'store/{user}'\n";
    let site = site(source, &["mary", "bob"]);
    let site = site.path();
    fs::write(site.join("users"), "# name:hash\nmary:x\n../etc:y\n").unwrap();
    let mut daemon = start(site);
    logged(&daemon, "'../etc' cannot be a user here");
    logged(&daemon, "source.name=\"home:mary\" calendars=1 changes=1");
    fs::write(site.join("users"), "mary:x\nbob:y\n").unwrap();
    logged(&daemon, "source.name=\"home:bob\" calendars=1 changes=1");
    assert_eq!(calendars(site), pairs(&[("home:bob", "bob"), ("home:mary", "mary")]));
    fs::write(site.join("users"), "bob:y\n").unwrap();
    logged(&daemon, "accounts.added=0 accounts.changed=0 accounts.removed=1");
    assert_eq!(calendars(site), pairs(&[("home:bob", "bob")]));
    assert!(daemon.stop(SOON).success());
}

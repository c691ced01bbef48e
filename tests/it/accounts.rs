//! Accounts that come, change and go while the daemon runs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::daemon::Daemon;
use crate::rehearsal::event;
use crate::servers::Radicale;
use crate::venv::Venv;

pub const SOON: Duration = Duration::from_secs(20);
/// Users of the server that one source is for; `REVEILLE_ACCOUNTS` is another number.
const ACCOUNTS: usize = 60;

/// A folder with a configuration, and a calendar for each of `users`.
pub fn site(configuration: &str, users: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "{configuration}\n[defaults]\nabsent_grace = '10s'\n[ledger]\nurl = 'sqlite:ledger.db'\n[[sink]]\nkind = 'stdout'\n"
    );
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

pub fn start(site: &Path) -> Daemon {
    Daemon::start(site, &["run", "--config", "reveille.toml"])
}

/// Waits until a line that holds `wanted` was logged, at any time.
pub fn logged(daemon: &Daemon, wanted: &str) {
    while !daemon.log.text().contains(wanted) {
        assert!(daemon.log.find(SOON, |_| true).is_some(), "{wanted}\n{}", daemon.log.text());
    }
}

/// Source and user of each calendar that is known.
pub fn calendars(site: &Path) -> Vec<(String, String)> {
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

pub fn pairs(wanted: &[(&str, &str)]) -> Vec<(String, String)> {
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
    // A file may be away for a moment.
    assert!(calendars(site).contains(&("three".to_owned(), "carol".to_owned())), "{}", daemon.log.text());
    logged(&daemon, "no longer configured: its calendars are forgotten");
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
    logged(&daemon, "no longer configured: its calendars are forgotten");
    assert_eq!(calendars(site), pairs(&[("home:bob", "bob")]));
    // A list that cannot be read says nothing of who is gone, at a start neither.
    fs::rename(site.join("users"), site.join("away")).unwrap();
    logged(&daemon, "users_file");
    assert!(daemon.stop(SOON).success());
    let mut daemon = start(site);
    logged(&daemon, "reveille is running");
    assert_eq!(calendars(site), pairs(&[("home:bob", "bob")]));
    fs::rename(site.join("away"), site.join("users")).unwrap();
    logged(&daemon, "source.name=\"home:bob\" calendars=1");
    assert!(daemon.stop(SOON).success());
}

/// A calendar of `user` in the storage of a Radicale.
pub fn stored(storage: &Path, user: &str) {
    let folder = storage.join("collection-root").join(user).join("work");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(".Radicale.props"), "{\"tag\": \"VCALENDAR\"}").unwrap();
    fs::write(folder.join("a.ics"), event(user, "20990101T120000Z", user)).unwrap();
}

/// How many lines so far hold `wanted`.
fn count(daemon: &Daemon, wanted: &str) -> usize {
    daemon.log.all().iter().filter(|line| line.contains(wanted)).count()
}

/// Waits until `so_many` lines hold `wanted`.
pub fn logged_often(daemon: &Daemon, wanted: &str, so_many: usize) {
    // All accounts of a server come to their end at about the same time.
    let patience = Duration::from_secs(60) + Duration::from_millis(500) * u32::try_from(so_many).unwrap();
    while count(daemon, wanted) < so_many {
        let found = daemon.log.find(patience, |_| true);
        assert!(found.is_some(), "{} of {so_many} times {wanted}\n{}", count(daemon, wanted), daemon.log.text());
    }
}

#[test]
fn all_users_of_a_server_come_from_one_source_with_the_login_of_its_administrator() {
    let Some(venv) = Venv::or_skip() else { return };
    let many = std::env::var("REVEILLE_ACCOUNTS").ok().and_then(|many| many.parse().ok()).unwrap_or(ACCOUNTS);
    let server = tempfile::tempdir().unwrap();
    let rights = "[admin]\nuser: admin\ncollection: .*\npermissions: RrWw\n";
    fs::write(server.path().join("rights"), rights).unwrap();
    let rights = format!("--rights-file={}", server.path().join("rights").display());
    let options = ["--rights-type=from_file", rights.as_str()];
    let users: Vec<String> = (0..many).map(|n| format!("user{n}")).collect();
    users.iter().for_each(|user| stored(&server.path().join("storage"), user));
    let radicale = Radicale::start_with(venv, server.path(), &[("admin", "old")], None, &options);
    let source = format!(
        "[[source]]\nkind = 'caldav'\nname = 'all'\nurl = '{}{{user}}/'\nusername = 'admin'\npassword_file = 'password'\n\
         users_file = 'list'\npoll_interval = '5s'\n",
        radicale.url()
    );
    let site = site(&source, &[]);
    let site = site.path();
    let password = |text: &str| {
        let file = site.join("password");
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    };
    password("old");
    fs::write(site.join("list"), users.join("\n")).unwrap();
    let began = Instant::now();
    let mut daemon = start(site);
    logged_often(&daemon, "calendars=1 changes=1", many);
    println!("{many} users: all synced after {:?}", began.elapsed());
    let mut wanted: Vec<_> = users.iter().map(|user| (format!("all:{user}"), user.clone())).collect();
    wanted.sort();
    assert_eq!(calendars(site), wanted, "each has the userId of its user");
    // One more, and one less.
    stored(&server.path().join("storage"), "late");
    let changed = Instant::now();
    fs::write(site.join("list"), format!("{}\nlate\n", users[1..].join("\n"))).unwrap();
    logged(&daemon, "source.name=\"all:late\" calendars=1 changes=1");
    logged(&daemon, "accounts.added=1 accounts.changed=0 accounts.removed=1");
    println!("{many} users: one was added and one removed within {:?}", changed.elapsed());
    // The password of all changes, first on the server and then here.
    fs::write(server.path().join("users"), "admin:new\n").unwrap();
    logged_often(&daemon, "the source cannot be read", many);
    let changed = Instant::now();
    password("new");
    logged_often(&daemon, "the source can be read again", many);
    println!("{many} users: the new password was used within {:?}", changed.elapsed());
    let known = calendars(site);
    assert!(wanted[..].iter().filter(|one| one.1 != "user0").all(|one| known.contains(one)), "nothing was lost");
    assert!(daemon.stop(SOON).success());
}

#[test]
fn a_program_that_others_could_name_is_not_run() {
    let site = site("accounts_dir = 'accounts'", &[]);
    let file = site.path().join("accounts/one.toml");
    let marker = site.path().join("was-run");
    let command = format!("password_command = ['touch', '{}']", marker.display());
    let text = format!("kind = 'caldav'\nurl = 'http://127.0.0.1:1/'\nusername = 'mary'\n{command}\n");
    fs::write(&file, text).unwrap();
    let check = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reveille"));
        command.args(["check", "--json", "--config", "reveille.toml"]).current_dir(site.path());
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).unwrap();
    let said = check();
    assert!(said.contains("password_command is not run, as others may change") && !marker.exists(), "{said}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let said = check();
    assert!(!said.contains("is not run") && marker.exists(), "{said}");
}

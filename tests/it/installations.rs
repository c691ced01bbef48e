//! All users of one server from one source, with the login of an administrator: on a Cyrus that lets its proxy act for
//! users, and on a SOGo with a superuser. `REVEILLE_ACCOUNTS` is the number of users, of which there are few otherwise.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::accounts::{SOON, calendars, logged, logged_often, site, start};
use crate::daemon::Daemon;
use crate::debian::{CYRUS, PASSWORD, SOGO, Server};
use crate::http::Http;
use crate::rehearsal::event;

/// Users where nothing says how many.
const FEW: usize = 6;

fn how_many() -> usize {
    std::env::var("REVEILLE_ACCOUNTS").ok().and_then(|many| many.parse().ok()).unwrap_or(FEW)
}

/// Puts the administrator's password into the configuration.
fn password(site: &Path, text: &str) {
    let draft = site.join("draft");
    fs::write(&draft, text).unwrap();
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(draft, site.join("password")).unwrap();
}

/// Runs a program to its end with `input`, if there is a server for it to talk to.
fn run(command: &mut Command, input: &str) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{command:?}");
}

/// Sends `commands` to the IMAP server of a Cyrus, as its administrator.
fn imap(server: &Server, commands: &[String]) {
    let stream = TcpStream::connect(("127.0.0.1", server.second_port)).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    lines.next();
    let login = format!("LOGIN cyrus {PASSWORD}");
    for command in [&login].into_iter().chain(commands) {
        (&stream).write_all(format!("a {command}\r\n").as_bytes()).unwrap();
        let answer = lines.by_ref().map_while(Result::ok).find(|line| line.starts_with("a ")).unwrap();
        assert!(answer.starts_with("a OK"), "{command}: {answer}");
    }
}

/// Gives `user` of a server an event in the calendar at `path`, which comes into being when the user logs in.
fn with_event(server: &Server, user: &str, home: &str, path: &str) {
    let client = Http::new(&server.url(), Some((user, PASSWORD)));
    client.propfind(home, "1", "<D:resourcetype/>");
    client.put(&format!("{path}a.ics"), &event(user, "20990101T120000Z", user));
}

fn with_event_on_cyrus(server: &Server, user: &str) {
    let home = format!("/dav/calendars/user/{user}/");
    with_event(server, user, &home, &format!("{home}Default/"));
}

fn with_event_on_sogo(server: &Server, user: &str) {
    let home = format!("/SOGo/dav/{user}/Calendar/");
    with_event(server, user, &home, &format!("{home}personal/"));
}

/// Sets a password of a Cyrus whose passwords are in `database`.
fn set_on_cyrus(database: &str, user: &str, password: &str) {
    let host = String::from_utf8(Command::new("hostname").output().unwrap().stdout).unwrap();
    let mut command = Command::new("saslpasswd2");
    run(command.args(["-p", "-c", "-f", database, "-u", host.trim(), user]), password);
}

/// Changes the administrator's password by `change`, first on the server and then in the configuration, and waits until
/// all are read again.
fn password_changes(daemon: &Daemon, site: &Path, many: usize, change: impl FnOnce()) {
    change();
    logged_often(daemon, "the source cannot be read", many);
    let changed = Instant::now();
    password(site, "other");
    logged_often(daemon, "the source can be read again", many);
    println!("{many} users: the new password was used within {:?}", changed.elapsed());
}

fn wanted(source: &str, users: impl Iterator<Item = String>) -> Vec<(String, String)> {
    let mut wanted: Vec<_> = users.map(|user| (format!("{source}:{user}"), user)).collect();
    wanted.sort();
    wanted
}

#[test]
fn all_users_of_a_cyrus_come_from_one_source_that_acts_for_them() {
    let many = how_many();
    let Some(server) = CYRUS.with_users(many) else { return };
    let user = |n: usize| format!("user{n}");
    (0..many).for_each(|n| with_event_on_cyrus(&server, &user(n)));
    let source = format!(
        "[[source]]\nkind = 'caldav'\nname = 'all'\nurl = 'http://127.0.0.1:{}/dav/calendars/user/{{user}}/'\n\
         username = 'cyrus'\npassword_file = 'password'\nauthorize_as = '{{user}}'\nusers_from_server = true\n\
         users_interval = '1s'\npoll_interval = '5s'\n",
        server.third_port
    );
    let site = site(&source, &[]);
    let site = site.path();
    password(site, PASSWORD);
    let began = Instant::now();
    let mut daemon = start(site);
    (0..many).for_each(|n| logged(&daemon, &format!("source.name=\"all:{}\" calendars=1 changes=1", user(n))));
    println!("{many} users of a Cyrus: all synced after {:?}", began.elapsed());
    assert_eq!(calendars(site), wanted("all", (0..many).map(user)), "each has the userId of its user");
    // One more, and one less.
    let (late, database) = (user(many), server.printed("/sasldb"));
    set_on_cyrus(&database, &late, PASSWORD);
    imap(
        &server,
        &["SETACL user/user0 cyrus c".to_owned(), "DELETE user/user0".to_owned(), format!("CREATE user/{late}")],
    );
    with_event_on_cyrus(&server, &late);
    let changed = Instant::now();
    logged(&daemon, &format!("source.name=\"all:{late}\" calendars=1 changes=1"));
    logged(&daemon, "accounts.removed=1");
    println!("{many} users of a Cyrus: one was added and one removed within {:?}", changed.elapsed());
    password_changes(&daemon, site, many, || set_on_cyrus(&database, "cyrus", "other"));
    let known = calendars(site);
    assert!(wanted("all", (1..=many).map(user)).iter().all(|one| known.contains(one)), "{known:?}");
    assert!(daemon.stop(SOON).success());
}

/// Runs `statement` in the database of a SOGo.
fn sql(server: &Server, statement: &str) {
    let mut command = Command::new("psql");
    command.args(["--quiet", "--no-psqlrc", "--host=127.0.0.1", "--username=postgres", "--dbname=sogo", "--command"]);
    run(command.arg(statement).arg(format!("--port={}", server.second_port)), "");
}

#[test]
fn all_users_of_a_sogo_come_from_one_source_with_the_login_of_its_superuser() {
    let many = how_many();
    let Some(server) = SOGO.with_users(many) else { return };
    let user = |n: usize| format!("user{n}");
    (0..many).for_each(|n| with_event_on_sogo(&server, &user(n)));
    // It lists the calendars of others to nobody, and so the URL names one.
    let source = format!(
        "[[source]]\nkind = 'caldav'\nname = 'all'\nurl = '{}SOGo/dav/{{user}}/Calendar/personal/'\nusername = 'admin'\n\
         password_file = 'password'\nusers_file = 'list'\npoll_interval = '5s'\n",
        server.url()
    );
    let site = site(&source, &[]);
    let site = site.path();
    let list =
        |users: std::ops::Range<usize>| fs::write(site.join("list"), users.map(|n| user(n) + "\n").collect::<String>());
    password(site, PASSWORD);
    list(0..many).unwrap();
    let began = Instant::now();
    let mut daemon = start(site);
    (0..many).for_each(|n| logged(&daemon, &format!("source.name=\"all:{}\" calendars=1 changes=1", user(n))));
    println!("{many} users of a SOGo: all synced after {:?}", began.elapsed());
    assert_eq!(calendars(site), wanted("all", (0..many).map(user)), "each has the userId of its user");
    let late = user(many);
    sql(&server, &format!("INSERT INTO users SELECT '{late}', '{late}', c_password, c_cn, mail FROM users LIMIT 1"));
    with_event_on_sogo(&server, &late);
    let changed = Instant::now();
    list(1..many + 1).unwrap();
    logged(&daemon, &format!("source.name=\"all:{late}\" calendars=1 changes=1"));
    logged(&daemon, "accounts.removed=1");
    println!("{many} users of a SOGo: one was added and one removed within {:?}", changed.elapsed());
    let change = "UPDATE users SET c_password = 'other' WHERE c_uid = 'admin'";
    password_changes(&daemon, site, many, || sql(&server, change));
    let known = calendars(site);
    assert!(wanted("all", (1..=many).map(user)).iter().all(|one| known.contains(one)), "{known:?}");
    assert!(daemon.stop(SOON).success());
}

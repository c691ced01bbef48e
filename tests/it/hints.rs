//! Hints: what makes the daemon sync one source sooner, and no other.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram as StdUnixDatagram;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::debian::{CYRUS, PASSWORD};
use crate::http::Http;
use crate::quirks::{self, CALENDAR, found, versions};
use crate::rehearsal::event;
use crate::scripted::Reply;
use crate::servers::{Radicale, free_port};
use crate::venv::Venv;

/// Longer than anything takes, even on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// A Radicale with calendars of Mary and Bob, and a daemon that polls them once an hour.
struct Site {
    server: Radicale,
    daemon: Daemon,
    folder: tempfile::TempDir,
}

impl Site {
    /// `tables` are added to the configuration, `options` to the command line of Radicale.
    fn start(venv: &'static Venv, tables: &str, options: &[&str]) -> Site {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let server = Radicale::start_with(venv, path, &[("mary", "secret"), ("bob", "secret")], None, options);
        fs::write(path.join("password"), "secret").unwrap();
        fs::set_permissions(path.join("password"), fs::Permissions::from_mode(0o600)).unwrap();
        let text = format!(
            "[ledger]\nurl = 'sqlite:ledger.db'\n[[source]]\nkind = 'caldav'\nname = 'all'\nurl = '{}{{user}}/'\n\
             users = ['mary', 'bob']\nusername = '{{user}}'\npassword_file = 'password'\npoll_interval = '1h'\n\
             [[sink]]\nkind = 'stdout'\n{tables}",
            server.url()
        );
        fs::write(path.join("reveille.toml"), text).unwrap();
        for user in ["mary", "bob"] {
            client(&server, user).mkcalendar(&format!("/{user}/work/"), "Work");
        }
        let token = [("HINT_TOKEN", "s3cret")];
        let daemon = Daemon::start_with(path, &["run", "--config", "reveille.toml"], &token);
        let site = Site { server, daemon, folder };
        for user in ["mary", "bob"] {
            site.logged(&format!("source.name=\"all:{user}\" calendars=1 changes=0"));
        }
        site
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Puts an event into the calendar of `user`.
    fn put(&self, user: &str, name: &str) {
        client(&self.server, user).put(&format!("/{user}/work/{name}.ics"), &event(name, "20990101T120000Z", name));
    }

    fn reveille(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reveille"));
        command.args(arguments).args(["--config", "reveille.toml"]).current_dir(self.path());
        command.env_remove("REVEILLE_CONFIG").output().unwrap()
    }

    /// What `reveille sync` prints for `source`, if it succeeds.
    fn sync(&self, source: &str) -> String {
        let output = self.reveille(&["sync", source, "--json"]);
        assert!(output.status.success(), "{output:?}\n{}", self.daemon.log.text());
        String::from_utf8(output.stdout).unwrap()
    }

    /// Waits until a line that holds `wanted` was logged, at any time.
    fn logged(&self, wanted: &str) {
        while !self.daemon.log.text().contains(wanted) {
            assert!(self.daemon.log.find(SOON, |_| true).is_some(), "{wanted}\n{}", self.daemon.log.text());
        }
    }
}

fn client(server: &Radicale, user: &str) -> Http {
    Http::new(&server.url(), Some((user, "secret")))
}

#[test]
fn a_named_source_is_synced_and_no_other() {
    let Some(venv) = Venv::or_skip() else { return };
    let mut site = Site::start(venv, "", &[]);
    site.put("mary", "one");
    site.put("bob", "two");
    assert_eq!(site.sync("all/mary"), "{\"source\":\"all:mary\",\"changes\":1,\"error\":null}\n");
    assert!(!site.daemon.log.text().contains("source.name=\"all:bob\" calendars=1 changes=1"));
    assert_eq!(site.sync("all/bob/work/two.ics"), "{\"source\":\"all:bob\",\"changes\":1,\"error\":null}\n");
    site.put("bob", "three");
    let all = site.sync("all");
    assert!(all.contains("all:bob\",\"changes\":1") && all.contains("all:mary\",\"changes\":0"), "{all}");
    let unknown = site.reveille(&["sync", "all/ann"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8(unknown.stderr).unwrap().contains("there is no source 'all/ann'"));
    // A source that fails is tried all the same, and the command says how that went.
    site.server.stop();
    let failed = site.reveille(&["sync", "all:mary"]);
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    assert!(site.daemon.stop(SOON).success());
    assert!(!site.path().join("ledger.db.sock").exists());
}

/// What the admin port at `port` answers to `head`, whose lines end with `\n`, and `body`: the status, and all of it.
fn asked(port: u16, head: &str, body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let head = format!("{}\r\nConnection: close\r\n\r\n", head.trim().replace('\n', "\r\n"));
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = Vec::new();
    // It may be closed while the body is on its way.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("{head}: {answer:?}")), answer)
}

/// Radicale's hook tells of each change, by the request of docs/hints.md.
#[test]
fn a_hook_of_radicale_makes_a_change_known_at_once() {
    let Some(venv) = Venv::or_skip() else { return };
    let port = free_port();
    let hook = format!(
        "--storage-hook=curl -fsS -m 5 -X POST -H 'Authorization: Bearer s3cret' http://127.0.0.1:{port}/sync/all/%(user)s"
    );
    let admin = format!("[admin]\nlisten = '127.0.0.1:{port}'\ntoken_env = 'HINT_TOKEN'\n");
    let mut site = Site::start(venv, &admin, &[&hook]);
    site.logged("the admin port is open");
    site.put("mary", "one");
    site.logged("source.name=\"all:mary\" calendars=1 changes=1");
    assert!(!site.daemon.log.text().contains("source.name=\"all:bob\" calendars=1 changes=1"));

    let bearer = "Authorization: Bearer s3cret";
    let basic = "Authorization: Basic YW55Ym9keTpzM2NyZXQ=";
    let long = "9".repeat(70_000);
    let cases = [
        ("POST /sync/all/bob HTTP/1.1\nHost: h", bearer, "", 202),
        ("POST /sync/all/cal/bob/x.ics HTTP/1.1\nHost: h\nContent-Length: 4", bearer, "{ x}", 202),
        ("POST /sync/all:bob HTTP/1.1\nHost: h", basic, "", 202),
        ("POST /sync/all HTTP/1.1\nHost: h", bearer, "", 202),
        ("POST /sync/all HTTP/1.1\nHost: h", bearer, "", 429),
        ("POST /sync/all/bob HTTP/1.1\nHost: h", "", "", 401),
        ("POST /sync/all/bob HTTP/1.1\nHost: h", "Authorization: Bearer s3creT", "", 401),
        ("POST /sync/all/bob HTTP/1.1\nHost: h", "Authorization: Basic czNjcmV0", "", 401),
        ("POST /sync/ann HTTP/1.1\nHost: h", "", "", 401),
        ("POST /sync/ann HTTP/1.1\nHost: h", bearer, "", 404),
        ("POST /sync/all/ann HTTP/1.1\nHost: h", bearer, "", 404),
        ("GET /sync/all/bob HTTP/1.1\nHost: h", bearer, "", 405),
        ("POST /sync/all/bob HTTP/1.1\nHost: h\nContent-Length: 70000", bearer, &long, 413),
    ];
    for (head, login, body, status) in cases {
        let (told, answer) = asked(port, &format!("{head}\n{login}"), body.as_bytes());
        assert_eq!(told, status, "{head} {login}: {answer}");
        assert!(!answer.contains("s3cret") && !answer.contains("all:"), "{answer}");
        assert_eq!(status == 401, answer.to_lowercase().contains("www-authenticate: bearer"), "{answer}");
        assert_eq!(status == 429, answer.to_lowercase().contains("retry-after: 10"), "{answer}");
    }
    let flood =
        (0..60).filter(|_| asked(port, &format!("POST /sync/all/mary HTTP/1.1\nHost: h\n{bearer}"), b"").0 == 429);
    assert!(flood.count() > 0);
    assert!(!site.daemon.log.text().contains("s3cret"));
    assert!(site.daemon.stop(SOON).success());
}

#[test]
fn without_a_token_programs_of_this_machine_may_send_hints_and_pages_may_not() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    fs::create_dir(folder.path().join("calendars")).unwrap();
    let text = format!(
        "[ledger]\nurl = 'sqlite:ledger.db'\n[[source]]\nkind = 'directory'\nname = 'home'\npath = 'calendars'\n\
         [admin]\nlisten = '127.0.0.1:{port}'\n"
    );
    fs::write(folder.path().join("reveille.toml"), text).unwrap();
    let mut daemon = Daemon::start(folder.path(), &["run", "--config", "reveille.toml"]);
    let wanted = ["the admin port is open", "sync finished"];
    while !wanted.iter().all(|wanted| daemon.log.text().contains(wanted)) {
        assert!(daemon.log.find(SOON, |_| true).is_some(), "{}", daemon.log.text());
    }
    for (headers, status) in [
        (format!("Host: 127.0.0.1:{port}"), 202),
        (format!("Host: [::1]:{port}"), 202),
        ("Host: localhost".to_owned(), 202),
        ("Host: localhost\nSec-Fetch-Site: none".to_owned(), 202),
        ("Host: localhost\nSec-Fetch-Site: cross-site".to_owned(), 403),
        ("Host: localhost\nOrigin: https://evil.example".to_owned(), 403),
        ("Host: localhost\nOrigin: null".to_owned(), 403),
        (format!("Host: rebound.example:{port}"), 403),
        ("Host: localhost\nHost: rebound.example".to_owned(), 403),
        (format!("Host: 127.0.0.1.rebound.example:{port}"), 403),
    ] {
        let (told, answer) = asked(port, &format!("POST /sync/home HTTP/1.1\n{headers}"), b"");
        assert_eq!(told, status, "{headers}: {answer}");
    }
    let absolute = "POST http://rebound.example/sync/home HTTP/1.1\nHost: localhost";
    assert_eq!(asked(port, absolute, b"").0, 403);
    assert!(daemon.stop(SOON).success());
}

/// A proxy sends hints while the server is still making the change.
#[test]
fn a_change_that_is_made_just_after_the_sync_for_its_hint_is_found() {
    let server = quirks::Server::start();
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let text = format!(
        "[ledger]\nurl = 'sqlite:ledger.db'\n[[source]]\nkind = 'caldav'\nname = 'home'\nurl = '{}'\nuser = 'mary'\n\
         poll_interval = '1h'\n[[sink]]\nkind = 'stdout'\n[admin]\nlisten = '127.0.0.1:{port}'\n",
        server.scripted.url
    );
    fs::write(folder.path().join("reveille.toml"), text).unwrap();
    let mut daemon = Daemon::start(folder.path(), &["run", "--config", "reveille.toml"]);
    let logged = |wanted: &str| {
        while !daemon.log.text().contains(wanted) {
            assert!(daemon.log.find(SOON, |_| true).is_some(), "{wanted}\n{}", daemon.log.text());
        }
    };
    logged("source.name=\"home\" calendars=1 changes=0");
    logged("the admin port is open");
    let syncs = Arc::<Mutex<Vec<Instant>>>::default();
    let begun = syncs.clone();
    server.quirk(move |asked, state| {
        if asked.line() != quirks::HOME {
            return None;
        }
        begun.lock().unwrap().push(Instant::now());
        if begun.lock().unwrap().len() > 1 {
            return None;
        }
        let before =
            Reply::multistatus(&(found("/cal/", "") + &found("/cal/work/", &format!("{CALENDAR}{}", state.props))));
        state.objects.insert("/cal/work/a.ics".to_owned(), ("\"1\"".to_owned(), quirks::text("a")));
        state.reports.push_back(quirks::changed("/cal/work/a.ics", "1"));
        state.props = versions("t2", "c2");
        Some(before)
    });
    assert_eq!(asked(port, "POST /sync/home HTTP/1.1\nHost: localhost", b"").0, 202);
    logged("source.name=\"home\" calendars=1 changes=1");
    let syncs = syncs.lock().unwrap().clone();
    assert_eq!(syncs.len(), 2, "{syncs:?}");
    assert!(syncs[1].duration_since(syncs[0]) >= Duration::from_millis(1_900), "{syncs:?}");
    assert!(daemon.stop(SOON).success());
}

/// Cyrus tells of each change, by its event notifications. Its user writes to the socket, who is not the daemon's.
#[test]
fn cyrus_tells_of_a_change_and_whose_it_is() {
    let (Some(mary), Some(bob), Some(server)) = (CYRUS.account(), CYRUS.account(), CYRUS.server()) else { return };
    let users = [&mary, &bob].map(|account| account.login.unwrap().0);
    let socket = Path::new(&server.printed("sasldb")).with_file_name("notify");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("password"), PASSWORD).unwrap();
    fs::set_permissions(folder.path().join("password"), fs::Permissions::from_mode(0o600)).unwrap();
    let text = format!(
        "[ledger]\nurl = 'sqlite:ledger.db'\n[[source]]\nkind = 'caldav'\nname = 'all'\n\
         url = '{}dav/calendars/user/{{user}}/'\nusers = ['{}', '{}']\nusername = '{{user}}'\n\
         password_file = 'password'\npoll_interval = '1h'\n[[sink]]\nkind = 'stdout'\n[admin]\ncyrus_socket = '{}'\n",
        server.url(),
        users[0],
        users[1],
        socket.display()
    );
    fs::write(folder.path().join("reveille.toml"), text).unwrap();
    let mut daemon = Daemon::start(folder.path(), &["run", "-v", "--config", "reveille.toml"]);
    let logged = |wanted: &str| {
        while !daemon.log.text().contains(wanted) {
            assert!(daemon.log.find(SOON, |_| true).is_some(), "{wanted}\n{}", daemon.log.text());
        }
    };
    let synced = |user: &str, changes: usize| format!("source.name=\"all:{user}\" calendars=2 changes={changes}");
    users.iter().for_each(|user| logged(&synced(user, 0)));
    logged("event notifications of Cyrus are received");
    StdUnixDatagram::unbound().unwrap().send_to(b"nonsense", &socket).unwrap();
    logged("is not an event notification");
    let began = Instant::now();
    mary.put("a.ics", &event("a", "20990101T120000Z", "Rounds"));
    logged(&synced(users[0], 1));
    println!("PUT to armed: {} ms", began.elapsed().as_millis());
    bob.put("b.ics", &event("b", "20990101T120000Z", "Rounds"));
    logged(&synced(users[1], 1));
    let named = daemon.log.all().into_iter().filter(|line| line.contains("a calendar has changed")).collect::<Vec<_>>();
    let (first, second) = (named.first().unwrap(), named.last().unwrap());
    assert!(first.contains(users[0]) && second.contains(users[1]), "{named:?}");
    assert!(daemon.stop(SOON).success());
    assert!(!socket.exists());
}

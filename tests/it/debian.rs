//! CalDAV servers that come from Debian's packages: SOGo and DAViCal, each with a PostgreSQL of its own, Cyrus, and an
//! old sabre/dav. Where they are not installed, their tests are skipped, which is said on standard error.

use std::fs::File;
use std::io::Write;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::account::Account;
use crate::process::Lines;
use crate::servers::free_port;
use crate::venv::Venv;

/// Plenty for a busy machine; nothing waits this long when all is well.
const START_WITHIN: Duration = Duration::from_secs(120);
/// Between asking for a free port and its use somebody else may take it.
const START_ATTEMPTS: usize = 3;
/// Each test takes users of its own; more than the tests need.
const USERS: usize = 40;
pub const PASSWORD: &str = "sesame";

/// What is known of a server before it runs.
#[derive(Debug)]
pub struct Kind {
    pub name: &'static str,
    /// The program below tests/live that runs it.
    script: &'static str,
    packages: &'static [&'static str],
    /// What it reads that not everybody may.
    reads: &'static [&'static str],
    /// The path of a user's home is this, the user, and that.
    home: (&'static str, &'static str),
    /// Whether it reports changes (RFC 6578).
    pub reports: bool,
    shared: OnceLock<Option<Server>>,
    next: AtomicUsize,
}

pub static SOGO: Kind = Kind {
    name: "SOGo",
    script: "sogo.py",
    packages: &["sogo", "memcached", "postgresql"],
    reads: &["/etc/sogo/sogo.conf"],
    home: ("/SOGo/dav/", "/Calendar/"),
    reports: true,
    shared: OnceLock::new(),
    next: AtomicUsize::new(0),
};

pub static DAVICAL: Kind = Kind {
    name: "DAViCal",
    script: "davical.py",
    packages: &["davical", "php-cli", "php-pgsql", "php-xml", "php-curl", "postgresql"],
    reads: &[],
    home: ("/caldav.php/", "/"),
    reports: true,
    shared: OnceLock::new(),
    next: AtomicUsize::new(0),
};

pub static CYRUS: Kind = Kind {
    name: "Cyrus",
    script: "cyrus.py",
    packages: &["cyrus-imapd", "cyrus-caldav", "sasl2-bin"],
    reads: &[],
    home: ("/dav/calendars/user/", "/"),
    reports: true,
    shared: OnceLock::new(),
    next: AtomicUsize::new(0),
};

pub static SABRE: Kind = Kind {
    name: "sabre/dav",
    script: "sabre.py",
    packages: &["php-sabre-dav", "php-cli", "php-sqlite3"],
    reads: &[],
    home: ("/calendars/", "/"),
    reports: false,
    shared: OnceLock::new(),
    next: AtomicUsize::new(0),
};

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    log: Lines,
    port: u16,
    /// Where its PostgreSQL listens, which believes everybody; for Cyrus, IMAP; for sabre/dav, logins by Digest.
    pub second_port: u16,
}

impl Kind {
    /// A new account, with the calendar `work`, on the server that tests share; none where the server is not installed
    /// or the live tests are to be skipped, which is said on standard error.
    pub fn account(&'static self) -> Option<Account> {
        let server = self.server()?;
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        assert!(number < USERS, "more accounts than users");
        let user: &'static str = format!("user{number}").leak();
        Some(Account::new(&server.url(), Some((user, PASSWORD)), format!("{}{user}{}", self.home.0, self.home.1)))
    }

    /// The server that tests share.
    pub fn server(&'static self) -> Option<&'static Server> {
        let venv = Venv::or_skip()?;
        let server = self.shared.get_or_init(|| self.is_installed().then(|| self.start(venv)));
        if server.is_none() {
            let test = std::thread::current().name().unwrap_or("a live test").to_owned();
            let mut lacks = format!("apt-get install {}", self.packages.join(" "));
            self.reads.iter().for_each(|file| lacks.push_str(&format!("; {file} has to be readable")));
            let said = format!("SKIPPED because {} is not installed ({lacks}): {test}\n", self.name);
            // Not eprintln!, which the test runner keeps to itself for tests that pass.
            std::io::stderr().write_all(said.as_bytes()).expect("stderr");
        }
        server.as_ref()
    }

    fn is_installed(&self) -> bool {
        let asked = Command::new("dpkg-query")
            .args(["--show", "--showformat=${db:Status-Status}\n"])
            .args(self.packages)
            .output();
        let installed = asked.is_ok_and(|answer| {
            answer.status.success()
                && String::from_utf8_lossy(&answer.stdout).lines().all(|status| status == "installed")
        });
        installed && self.reads.iter().all(|file| File::open(file).is_ok())
    }

    fn start(&self, venv: &Venv) -> Server {
        let mut why = String::new();
        for _ in 0..START_ATTEMPTS {
            let (port, second) = (free_port(), free_port());
            let arguments = [port.to_string(), second.to_string(), USERS.to_string(), PASSWORD.to_owned()];
            let mut child = venv.live(self.script, &arguments);
            let log = Lines::of(child.stdout.take().expect("a pipe"));
            log.also(child.stderr.take().expect("a pipe"));
            let server = Server { child, log, port, second_port: second };
            if server.log.find(START_WITHIN, |line| line == "ready").is_some() {
                return server;
            }
            why = server.log.text();
        }
        panic!("{} did not start:\n{why}", self.name);
    }
}

impl Server {
    /// `http://127.0.0.1:PORT/`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends all that it has started when its standard input does.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

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
    shared: OnceLock<Option<Server>>,
    next: AtomicUsize,
}

pub static SOGO: Kind = Kind {
    name: "SOGo",
    script: "sogo.py",
    packages: &["sogo", "memcached", "postgresql"],
    reads: &["/etc/sogo/sogo.conf"],
    home: ("/SOGo/dav/", "/Calendar/"),
    shared: OnceLock::new(),
    next: AtomicUsize::new(0),
};

pub static DAVICAL: Kind = Kind {
    name: "DAViCal",
    script: "davical.py",
    packages: &["davical", "php-cli", "php-pgsql", "php-xml", "php-curl", "postgresql"],
    reads: &[],
    home: ("/caldav.php/", "/"),
    shared: OnceLock::new(),
    next: AtomicUsize::new(0),
};

pub static CYRUS: Kind = Kind {
    name: "Cyrus",
    script: "cyrus.py",
    packages: &["cyrus-imapd", "cyrus-caldav", "sasl2-bin"],
    reads: &[],
    home: ("/dav/calendars/user/", "/"),
    shared: OnceLock::new(),
    next: AtomicUsize::new(0),
};

pub static SABRE: Kind = Kind {
    name: "sabre/dav",
    script: "sabre.py",
    packages: &["php-sabre-dav", "php-cli", "php-sqlite3"],
    reads: &[],
    home: ("/calendars/", "/"),
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
    /// For Cyrus, where the administrator may act for users.
    pub third_port: u16,
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
        let server = self.shared.get_or_init(|| self.is_installed().then(|| self.start(venv, USERS)));
        if server.is_none() {
            self.say_skipped();
        }
        server.as_ref()
    }

    /// A server of its own with so many users; none as for [`Kind::account`].
    pub fn with_users(&self, users: usize) -> Option<Server> {
        let venv = Venv::or_skip()?;
        let server = self.is_installed().then(|| self.start(venv, users));
        if server.is_none() {
            self.say_skipped();
        }
        server
    }

    /// A server of one's own with two accounts; none as for [`Kind::account`].
    pub fn alone(&'static self) -> Option<(Server, [Account; 2])> {
        let venv = Venv::or_skip()?;
        if !self.is_installed() {
            self.say_skipped();
            return None;
        }
        let server = self.start(venv, 2);
        let accounts = ["user0", "user1"].map(|user| {
            Account::new(&server.url(), Some((user, PASSWORD)), format!("{}{user}{}", self.home.0, self.home.1))
        });
        Some((server, accounts))
    }

    fn say_skipped(&self) {
        let test = std::thread::current().name().unwrap_or("a live test").to_owned();
        let mut lacks = format!("apt-get install {}", self.packages.join(" "));
        self.reads.iter().for_each(|file| lacks.push_str(&format!("; {file} has to be readable")));
        let said = format!("SKIPPED because {} is not installed ({lacks}): {test}\n", self.name);
        // Not eprintln!, which the test runner keeps to itself for tests that pass.
        std::io::stderr().write_all(said.as_bytes()).expect("stderr");
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

    fn start(&self, venv: &Venv, users: usize) -> Server {
        let mut why = String::new();
        for _ in 0..START_ATTEMPTS {
            let (port, second, third) = (free_port(), free_port(), free_port());
            let users = users.to_string();
            let arguments = [port.to_string(), second.to_string(), users, PASSWORD.to_owned(), third.to_string()];
            let mut child = venv.live(self.script, &arguments);
            let log = Lines::of(child.stdout.take().expect("a pipe"));
            log.also(child.stderr.take().expect("a pipe"));
            let server = Server { child, log, port, second_port: second, third_port: third };
            if server.log.find(START_WITHIN, |line| line == "ready").is_some() {
                return server;
            }
            why = server.log.text();
        }
        panic!("{} did not start:\n{why}", self.name);
    }
}

impl Server {
    /// The first line that it printed and that holds `wanted`.
    pub fn printed(&self, wanted: &str) -> String {
        self.log.all().into_iter().find(|line| line.contains(wanted)).expect("the line")
    }

    /// `http://127.0.0.1:PORT/`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// Tells the program that runs it to `stop` or `start` it, or to `backup` or `restore` its data while it is
    /// stopped, and waits until that is done.
    pub fn order(&mut self, order: &str) {
        let orders = self.child.stdin.as_mut().expect("a pipe");
        writeln!(orders, "{order}").expect("it listens");
        let done = format!("done {order}");
        assert!(self.log.find(START_WITHIN, |line| line == done).is_some(), "{order}:\n{}", self.log.text());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends all that it has started when its standard input does.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

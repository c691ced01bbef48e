//! An account on a real server for one test. Most tests share a server, each with a home of its own: starting a server
//! takes longer than most tests.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

use crate::http::Http;
use crate::servers::{Radicale, Xandikos};
use crate::venv::Venv;

/// Name and password on a Radicale of one's own.
pub const MARY: (&str, &str) = ("mary", "sesame");
/// Users of the Radicale that tests share; more than there are tests.
const USERS: usize = 50;

/// A home with the calendar `work`.
pub struct Account {
    pub client: Http,
    /// An address from which the account is found.
    pub url: String,
    /// Name and password.
    pub login: Option<(&'static str, &'static str)>,
    /// The path of the home.
    pub home: &'static str,
    /// The path of the calendar.
    pub work: &'static str,
    own: Option<(Radicale, TempDir)>,
}

impl Account {
    /// The account of `login` on a server, whose `home` is there already; makes the calendar in it.
    pub fn new(server: &str, login: Option<(&'static str, &'static str)>, home: String) -> Account {
        let client = Http::new(server, login);
        let work = format!("{home}work/").leak();
        client.mkcalendar(work, "Work");
        Account { client, url: server.to_owned(), login, home: home.leak(), work, own: None }
    }

    /// PUTs an object into the calendar `work`.
    pub fn put(&self, name: &str, text: &str) {
        self.client.put(&format!("{}{name}", self.work), text);
    }

    /// DELETEs an object of the calendar `work`.
    pub fn delete(&self, name: &str) {
        self.client.delete(&format!("{}{name}", self.work));
    }

    /// The folder that the account's own server keeps everything in.
    pub fn storage(&self) -> PathBuf {
        self.own.as_ref().expect("a server of its own").1.path().join("storage")
    }

    /// Ends the account's own server, as a crash would.
    pub fn stop(&mut self) {
        self.own.as_mut().expect("a server of its own").0.stop();
    }

    /// Starts it again on the same port with the same storage.
    pub fn start_again(&mut self) {
        self.own.as_mut().expect("a server of its own").0.start_again();
    }
}

/// An account on a Radicale of its own.
pub fn radicale_alone(venv: &'static Venv) -> Account {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Radicale::start(venv, folder.path(), &[MARY]);
    let account = Account::new(&server.url(), Some(MARY), "/mary/".to_owned());
    Account { own: Some((server, folder)), ..account }
}

/// A new account on the Radicale that tests share.
pub fn radicale(venv: &'static Venv) -> Account {
    // Nothing drops a static: the server ends with this process, and the next run removes its storage.
    static SHARED: OnceLock<Radicale> = OnceLock::new();
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let server = SHARED.get_or_init(|| {
        let users: Vec<String> = (0..USERS).map(|number| format!("user{number}")).collect();
        let users: Vec<(&str, &str)> = users.iter().map(|user| (user.as_str(), MARY.1)).collect();
        Radicale::start(venv, &folder("live-radicale"), &users)
    });
    let number = NEXT.fetch_add(1, Ordering::SeqCst);
    assert!(number < USERS, "more accounts than users");
    let user: &'static str = format!("user{number}").leak();
    Account::new(&server.url(), Some((user, MARY.1)), format!("/{user}/"))
}

/// A new home on the Xandikos that tests share. All homes there belong to one principal, so its address is its own.
pub fn xandikos(venv: &'static Venv) -> Account {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::SeqCst);
    let server = shared_xandikos(venv).url();
    let home = format!("/home{number}/");
    let made = Http::new(&server, None).send("MKCOL", &home, &[], "");
    assert!(made.status < 300, "{made:?}");
    let account = Account::new(&server, None, home);
    Account { url: format!("{}{}", server.trim_end_matches('/'), account.home), ..account }
}

/// The home of the principal `alice` on the Xandikos that tests share; for one test only.
pub fn xandikos_alice(venv: &'static Venv) -> Account {
    let server = shared_xandikos(venv).url();
    let account = Account::new(&server, None, "/alice/calendars/".to_owned());
    account.client.delete("/alice/calendars/calendar/");
    account
}

fn shared_xandikos(venv: &'static Venv) -> &'static Xandikos {
    static SHARED: OnceLock<Xandikos> = OnceLock::new();
    SHARED.get_or_init(|| Xandikos::start(venv, &folder("live-xandikos")))
}

/// An empty folder below `target/` that no other test run uses; what the last run left in it is removed.
fn folder(name: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let free = (0..).find(|number| {
        let lock = File::create(target.join(format!("{name}-{number}.lock"))).expect("a lock file");
        let is_free = lock.try_lock().is_ok();
        // The lock is held as long as this process lives.
        std::mem::forget(lock);
        is_free
    });
    let folder = target.join(format!("{name}-{}", free.expect("a number")));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

//! An account on a real server for one test.

use tempfile::TempDir;

use crate::http::Http;
use crate::servers::{Radicale, Xandikos};
use crate::venv::Venv;

/// A server with an account of its own for one test: a home with the calendar `work`.
pub struct Account {
    server: Server,
    pub client: Http,
    /// The server's address.
    pub url: String,
    /// Name and password.
    pub login: Option<(&'static str, &'static str)>,
    /// The path of the home.
    pub home: &'static str,
    /// The path of the calendar.
    pub work: &'static str,
    _folder: TempDir,
}

enum Server {
    Radicale(Radicale),
    Xandikos(Xandikos),
}

/// The account on Radicale.
pub const MARY: (&str, &str) = ("mary", "sesame");

/// An account on a Radicale.
pub fn radicale(venv: &'static Venv) -> Account {
    let folder = tempfile::tempdir().unwrap();
    let server = Radicale::start(venv, folder.path(), &[MARY]);
    let client = Http::new(&server.url(), Some(MARY));
    client.mkcalendar("/mary/work/", "Work");
    let (url, login) = (server.url(), Some(MARY));
    let server = Server::Radicale(server);
    Account { server, client, url, login, home: "/mary/", work: "/mary/work/", _folder: folder }
}

/// An account on a Xandikos.
pub fn xandikos(venv: &'static Venv) -> Account {
    let folder = tempfile::tempdir().unwrap();
    let server = Xandikos::start(venv, folder.path());
    let client = Http::new(&server.url(), None);
    client.delete("/alice/calendars/calendar/");
    client.mkcalendar("/alice/calendars/work/", "Work");
    let url = server.url();
    let server = Server::Xandikos(server);
    let (home, work) = ("/alice/calendars/", "/alice/calendars/work/");
    Account { server, client, url, login: None, home, work, _folder: folder }
}

impl Account {
    /// PUTs an object into the calendar `work`.
    pub fn put(&self, name: &str, text: &str) {
        self.client.put(&format!("{}{name}", self.work), text);
    }

    /// DELETEs an object of the calendar `work`.
    pub fn delete(&self, name: &str) {
        self.client.delete(&format!("{}{name}", self.work));
    }

    /// Ends the server, as a crash would.
    pub fn stop(&mut self) {
        match &mut self.server {
            Server::Radicale(server) => server.stop(),
            Server::Xandikos(server) => server.stop(),
        }
    }

    /// Starts it again on the same port with the same storage.
    pub fn start_again(&mut self) {
        match &mut self.server {
            Server::Radicale(server) => server.start_again(),
            Server::Xandikos(server) => server.start_again(),
        }
    }
}

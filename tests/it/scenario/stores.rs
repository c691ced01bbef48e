//! The servers that run, each started for the scenario alone.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{Login, ODD, Store, Tells, play};
use crate::account::{Account, MARY};
use crate::debian::{CYRUS, DAVICAL, Kind, PASSWORD, SABRE, SOGO, Server};
use crate::live;
use crate::servers::{Radicale, Xandikos};
use crate::venv::Venv;

/// Another user of Radicale.
const BOB: Login = ("bob", "sesame");

/// Copies a folder with all that it has in the place of another.
fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

/// Radicale, whose rights come from a file.
struct OwnRadicale {
    server: Radicale,
    account: Account,
    folder: TempDir,
}

/// Everybody owns what is below the own name, and Bob may read Mary's calendar or not.
fn radicale_rights(folder: &Path, may: bool) -> PathBuf {
    let own = "[root]\nuser: .+\ncollection:\npermissions: R\n\
        [own]\nuser: .+\ncollection: {user}(/.*)?\npermissions: RrWw\n";
    let shared = if may { "[shared]\nuser: bob\ncollection: mary/work\npermissions: r\n" } else { "" };
    let file = folder.join("rights");
    fs::write(folder.join("rights.new"), format!("{own}{shared}")).unwrap();
    fs::rename(folder.join("rights.new"), &file).unwrap();
    file
}

impl OwnRadicale {
    fn start(venv: &'static Venv) -> OwnRadicale {
        let folder = tempfile::tempdir().unwrap();
        let rights = radicale_rights(folder.path(), false);
        let rights = format!("--rights-file={}", rights.display());
        let extra = ["--rights-type=from_file", &rights];
        let server = Radicale::start_with(venv, folder.path(), &[MARY, BOB], None, &extra);
        let account = Account::new(&server.url(), Some(MARY), "/mary/".to_owned());
        OwnRadicale { server, account, folder }
    }
}

impl Store for OwnRadicale {
    fn name(&self) -> &'static str {
        "Radicale"
    }

    fn account(&self) -> &Account {
        &self.account
    }

    fn cannot(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    fn tells(&self) -> Tells {
        Tells::Everything
    }

    fn stop(&mut self) {
        self.server.stop();
    }

    fn start(&mut self) {
        self.server.start_again();
    }

    fn backup(&mut self) {
        copy(&self.folder.path().join("storage"), &self.folder.path().join("backup"));
    }

    fn restore(&mut self) {
        copy(&self.folder.path().join("backup"), &self.folder.path().join("storage"));
    }

    fn guest(&self) -> Login {
        BOB
    }

    fn share(&mut self, may: bool) {
        radicale_rights(self.folder.path(), may);
        // It reads them when it starts.
        self.server.stop();
        self.server.start_again();
    }
}

/// Xandikos, which knows no users.
struct OwnXandikos {
    server: Xandikos,
    account: Account,
    folder: TempDir,
}

impl OwnXandikos {
    fn start(venv: &'static Venv) -> OwnXandikos {
        let folder = tempfile::tempdir().unwrap();
        let server = Xandikos::start(venv, folder.path());
        let account = Account::new(&server.url(), None, "/alice/calendars/".to_owned());
        OwnXandikos { server, account, folder }
    }
}

impl Store for OwnXandikos {
    fn name(&self) -> &'static str {
        "Xandikos"
    }

    fn account(&self) -> &Account {
        &self.account
    }

    fn cannot(&self) -> &'static [(&'static str, &'static str)] {
        &[("no rights, and a right taken back", "it knows neither users nor rights")]
    }

    fn tells(&self) -> Tells {
        Tells::Everything
    }

    fn stop(&mut self) {
        self.server.stop();
    }

    fn start(&mut self) {
        self.server.start_again();
    }

    fn backup(&mut self) {
        copy(&self.folder.path().join("storage"), &self.folder.path().join("backup"));
    }

    fn restore(&mut self) {
        copy(&self.folder.path().join("backup"), &self.folder.path().join("storage"));
    }

    fn guest(&self) -> Login {
        BOB
    }

    fn share(&mut self, _may: bool) {}
}

/// One from Debian's packages.
struct OwnDebian {
    kind: &'static Kind,
    server: Server,
    account: Account,
    guest: Account,
}

impl Store for OwnDebian {
    fn name(&self) -> &'static str {
        self.kind.name
    }

    fn account(&self) -> &Account {
        &self.account
    }

    fn url(&self) -> String {
        // That of sabre/dav is where logins are by Digest.
        let port = if self.kind.name == SABRE.name { Some(self.server.second_port) } else { None };
        let server = port.map_or_else(|| self.server.url(), |port| format!("http://127.0.0.1:{port}/"));
        format!("{}{}", server.trim_end_matches('/'), self.account.home)
    }

    fn cannot(&self) -> &'static [(&'static str, &'static str)] {
        match self.kind.name {
            "SOGo" => &[("the zone of the calendar", "it takes the property, and returns Etc/UTC for every calendar")],
            _ => &[],
        }
    }

    fn tells(&self) -> Tells {
        match self.kind.name {
            // It reports what is later than a token, and what a restore puts back is earlier.
            "SOGo" => Tells::MadeAnew,
            "sabre/dav" => Tells::Nothing,
            _ => Tells::Everything,
        }
    }

    fn refuses(&self) -> &'static [(&'static str, &'static str)] {
        match self.kind.name {
            "DAViCal" => &[(ODD[2], "it answers 400: 'The calendar path contains illegal characters.'")],
            _ => &[],
        }
    }

    fn stop(&mut self) {
        self.server.order("stop");
    }

    fn start(&mut self) {
        self.server.order("start");
    }

    fn backup(&mut self) {
        self.server.order("backup");
    }

    fn restore(&mut self) {
        self.server.order("restore");
    }

    fn guest(&self) -> Login {
        self.guest.login.unwrap()
    }

    fn keeps_alarms_per_user(&self) -> bool {
        self.kind.name == CYRUS.name
    }

    fn shared(&self) -> String {
        match self.kind.name {
            // Where it redirects to.
            "Cyrus" => format!("{}{}.work/", self.guest.home, self.account.login.unwrap().0),
            _ => self.account.work.to_owned(),
        }
    }

    fn share(&mut self, may: bool) {
        match self.kind.name {
            "Cyrus" => self.share_by_imap(may),
            _ => live::share(self.kind, &self.account, &self.guest, may),
        }
    }
}

impl OwnDebian {
    /// The administrator of Cyrus gives the right, or takes it back.
    fn share_by_imap(&self, may: bool) {
        let (owner, guest) = (self.account.login.unwrap().0, self.guest.login.unwrap().0);
        let rights = if may { "lrs" } else { "\"\"" };
        let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", self.server.second_port)).unwrap());
        let (login, mailbox) = (format!("LOGIN cyrus {PASSWORD}"), format!("user/{owner}/#calendars/work"));
        for (tag, order) in [("a", login), ("b", format!("SETACL \"{mailbox}\" {guest} {rights}"))] {
            stream.get_mut().write_all(format!("{tag} {order}\r\n").as_bytes()).unwrap();
            let mut line = String::new();
            while !line.starts_with(&format!("{tag} ")) {
                line.clear();
                assert!(stream.read_line(&mut line).unwrap() > 0);
            }
            assert!(line.starts_with(&format!("{tag} OK")), "{order}: {line}");
        }
    }
}

/// The scenario on one from Debian's packages, where they are installed.
fn play_debian(kind: &'static Kind) {
    let Some((server, [account, guest])) = kind.alone() else { return };
    play(OwnDebian { kind, server, account, guest });
}

#[test]
fn on_radicale() {
    let Some(venv) = Venv::or_skip() else { return };
    play(OwnRadicale::start(venv));
}

#[test]
fn on_xandikos() {
    let Some(venv) = Venv::or_skip() else { return };
    play(OwnXandikos::start(venv));
}

#[test]
fn on_cyrus() {
    play_debian(&CYRUS);
}

#[test]
fn on_davical() {
    play_debian(&DAVICAL);
}

#[test]
fn on_sogo() {
    play_debian(&SOGO);
}

#[test]
fn on_sabre_dav_by_digest() {
    play_debian(&SABRE);
}

//! How a CalDAV source logs in: what it sends, when it gets its secret again, and that the secret is told to nobody.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use md5::Md5;
use reveille::config::{Credentials, PasswordScheme, SecretRef};
use reveille::source::caldav::CaldavError;
use sha2::{Digest as _, Sha256};

use crate::daemon::Daemon;
use crate::debian::{PASSWORD, SABRE};
use crate::faults::wait_until;
use crate::proxied::{CERTIFICATE, TlsProxy, address};
use crate::quirks::Server;
use crate::rehearsal::event;
use crate::scripted::{Asked, Reply};
use crate::watch::{Watch, settings};

/// Longer than anything takes, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with a configuration that watches `url` with the lines `login`.
pub fn configured(url: &str, login: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "[ledger]\nurl = \"ledger.db\"\n[[source]]\nkind = \"caldav\"\nname = \"bob\"\nurl = \"{url}\"\n{login}\n\
         poll_interval = \"1s\"\n[[sink]]\nkind = \"file\"\nname = \"alarms\"\npath = \"alarms.jsonl\"\n"
    );
    fs::write(folder.path().join("reveille.toml"), text).unwrap();
    folder
}

/// Puts the file `name` into `folder`, in the place of what was there, with the rights `mode`.
pub fn write(folder: &Path, name: &str, text: &str, mode: u32) {
    let draft = folder.join("draft");
    fs::write(&draft, text).unwrap();
    fs::set_permissions(&draft, fs::Permissions::from_mode(mode)).unwrap();
    fs::rename(&draft, folder.join(name)).unwrap();
}

fn reveille(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reveille"));
    command.args(arguments).current_dir(folder).env_remove("REVEILLE_CONFIG").env("REVEILLE_LOG", "trace");
    command.output().unwrap()
}

/// What a command printed on both streams.
fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|octets| String::from_utf8_lossy(octets).into_owned()).concat()
}

/// Asserts that `secrets` are in nothing that the program prints, and in no file of `folder` besides `keepers`. Returns
/// what `run` logged.
pub fn told_to_nobody(folder: &Path, secrets: &[&str], keepers: &[&str]) -> String {
    let kept = |text: &str, whose: &str| {
        let told = secrets.iter().find(|secret| text.contains(*secret));
        assert!(told.is_none(), "{whose} tells {told:?}:\n{text}");
    };
    let log = said(&reveille(folder, &["run", "--once"]));
    kept(&log, "the log");
    for command in [&["status"][..], &["--json", "status"], &["check"], &["check", "--offline"], &["calendars"]] {
        kept(&said(&reveille(folder, command)), command[0]);
    }
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !keepers.contains(&name) {
            kept(&String::from_utf8_lossy(&fs::read(&path).unwrap()), name);
        }
    }
    log
}

/// A server that lets in who sends `header`, and says so to others with `challenge`.
fn asks_for(server: &Server, header: &'static str, challenge: &'static str) {
    server.quirk(move |asked: &Asked, _| {
        let is_right = asked.header("authorization") == Some(header);
        (!is_right).then(|| Reply::status(401).header("WWW-Authenticate", challenge))
    });
}

/// What `status` says is wrong with the source.
pub fn error(folder: &Path) -> Option<String> {
    let output = reveille(folder, &["--json", "status"]);
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    status["sources"][0]["error"].as_str().map(str::to_owned)
}

#[test]
fn a_command_prints_the_secret_and_is_run_again_after_a_401() {
    for (login, first, second, challenge) in [
        (
            "username = \"bob\"\npassword_command = ",
            "Basic Ym9iOnNlc2FtZQ==",
            "Basic Ym9iOm9wZW4tNDcxMQ==",
            "Basic realm=\"x\"",
        ),
        ("token_command = ", "Bearer sesame", "Bearer open-4711", "Bearer"),
    ] {
        let server = Server::start();
        server.put("a.ics", "1", "a");
        asks_for(&server, first, challenge);
        let folder = configured(&server.scripted.url, &format!("{login}[\"./secret\", \"$PATH `x`\"]"));
        // It fails first, and prints what it should not.
        write(folder.path(), "secret", "#!/bin/sh\necho sesame\necho sesame >&2\nexit 7\n", 0o755);
        let mut daemon = Daemon::start(folder.path(), &["-vv", "run"]);
        let key = if login.contains("token") { "token_command" } else { "password_command" };
        let fails = |line: &str| {
            line.contains("source.name=\"bob\"") && line.contains(key) && line.contains("failed (exit status: 7)")
        };
        assert!(daemon.log.find(PATIENCE, fails).is_some(), "{}", daemon.log.text());
        assert!(server.scripted.asked().is_empty(), "without a password nobody is asked");
        // It is run again by time, and nothing is said of a file that is waited for.
        wait_until(|| error(folder.path()).is_some_and(|error| !error.contains("once the file")), || daemon.log.text());
        write(folder.path(), "secret", "#!/bin/sh\n[ \"$1\" = '$PATH `x`' ] && echo sesame && echo and more\n", 0o755);
        let read = |line: &str| line.contains("can be read again");
        assert!(daemon.log.find(PATIENCE, read).is_some(), "{}", daemon.log.text());
        wait_until(|| error(folder.path()).is_none(), || daemon.log.text());
        // From here on another secret is right: one request is refused, and the next one is let in.
        server.scripted.asked();
        write(folder.path(), "secret", "#!/bin/sh\necho open-4711\n", 0o755);
        asks_for(&server, second, challenge);
        let mut logins = Vec::new();
        let is_let_in = || {
            let asked = server.scripted.asked();
            logins.extend(asked.iter().filter_map(|asked| asked.header("authorization").map(str::to_owned)));
            logins.windows(2).any(|pair| pair == [first, second])
        };
        wait_until(is_let_in, || daemon.log.text());
        assert!(daemon.stop(PATIENCE).success());
        assert!(!daemon.log.text().contains("sesame"), "{}", daemon.log.text());
        told_to_nobody(folder.path(), &["open-4711", "Ym9iOm9wZW4tNDcxMQ"], &["secret"]);
        write(folder.path(), "secret", "#!/bin/sh\necho wrong-Sesame\n", 0o755);
        let log = told_to_nobody(folder.path(), &["wrong-Sesame", "Ym9iOndyb25nLVNlc2FtZQ"], &["secret"]);
        assert!(log.contains("(401)") && log.contains(&format!("{key} of the source")), "{log}");
    }
}

/// The part of a server that lets users in by Digest. It computes responses by itself.
struct DigestGate {
    algorithm: &'static str,
    has_qop: bool,
    /// Who is let in with which password.
    user: &'static str,
    password: &'static str,
    /// So often a nonce may be used.
    uses: usize,
    /// The nonces so far, and how often the last one was used.
    nonces: usize,
    used: usize,
    /// Each response names the nonce of the next request.
    names_next: bool,
    /// The nonce of the last challenge.
    first: usize,
}

impl DigestGate {
    fn new(algorithm: &'static str, has_qop: bool) -> DigestGate {
        let (user, password) = ("Jäsøn Doe", "hunter\"4711");
        DigestGate {
            algorithm,
            has_qop,
            user,
            password,
            uses: usize::MAX,
            nonces: 0,
            used: 0,
            names_next: false,
            first: 0,
        }
    }

    fn hash(&self, parts: &[&str]) -> String {
        let text = parts.join(":");
        let octets = match self.algorithm.starts_with("SHA-256") {
            true => Sha256::digest(text).to_vec(),
            false => Md5::digest(text).to_vec(),
        };
        octets.iter().map(|octet| format!("{octet:02x}")).collect()
    }

    /// The parameters of an Authorization header, which is written as Reveille does.
    fn said(header: &str, name: &str) -> String {
        let parameters = header.strip_prefix("Digest ").unwrap();
        let found = parameters.split(", ").find_map(|one| one.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_default().trim_matches('"').to_owned()
    }

    /// Refuses a request unless it is right; none for one that is let in.
    fn look(&mut self, asked: &Asked) -> Option<Reply> {
        let Some(header) = asked.header("authorization") else { return Some(self.challenge(false)) };
        let said = |name: &str| DigestGate::said(header, name);
        if said("nonce") != format!("n{}", self.nonces) {
            return Some(self.challenge(true));
        }
        let mut secret = self.hash(&[self.user, "Kalender \u{fc}", self.password]);
        if self.algorithm.ends_with("-sess") {
            secret = self.hash(&[&secret, &format!("n{}", self.first), &said("cnonce")]);
        }
        let about = self.hash(&[&asked.method, &asked.path]);
        let expected = match self.has_qop {
            true => self.hash(&[&secret, &said("nonce"), &said("nc"), &said("cnonce"), "auth", &about]),
            false => self.hash(&[&secret, &said("nonce"), &about]),
        };
        // Servers that say how they read names are told them so.
        assert_eq!(said("username*"), "UTF-8''J%C3%A4s%C3%B8n%20Doe");
        assert_eq!((said("uri"), said("opaque").as_str()), (asked.path.clone(), "o"), "{header}");
        if said("response") != expected {
            return Some(self.challenge(false));
        }
        self.used += 1;
        assert!(!self.has_qop || said("nc") == format!("{:08x}", self.used), "{header}");
        (self.used > self.uses).then(|| self.challenge(true))
    }

    fn challenge(&mut self, is_stale: bool) -> Reply {
        self.nonces += 1;
        (self.used, self.first) = (0, self.nonces);
        let mut header = format!(
            "Digest realm=\"Kalender \u{fc}\", nonce=\"n{}\", opaque=\"o\", charset=UTF-8, algorithm={}",
            self.nonces, self.algorithm
        );
        header += if self.has_qop { ", qop=\"auth-int, auth\"" } else { "" };
        header += if is_stale { ", stale=true" } else { "" };
        Reply::status(401)
            .header("WWW-Authenticate", "Digest nonce=\"x\", algorithm=SHA-1024, Basic realm=\"x\"")
            .header("WWW-Authenticate", &header)
    }
}

/// A server behind `gate` with an object that is got by GET, and what the user has to log in to it.
fn gated(mut gate: DigestGate) -> (Server, [&'static str; 2]) {
    let (server, login) = (Server::start(), [gate.user, gate.password]);
    server.put("a%23.ics", "1", "a");
    server.quirk(move |asked, state| {
        let refusal = gate.look(asked);
        if refusal.is_none() && gate.names_next {
            (gate.nonces, gate.used) = (gate.nonces + 1, 0);
            let info = format!("qop=auth, nc=00000001, nextnonce=\"n{}\"", gate.nonces);
            return Some(state.answer(asked).header("Authentication-Info", &info));
        }
        refusal.or_else(|| asked.body.contains("multiget").then(|| Reply::multistatus("")))
    });
    (server, login)
}

#[test]
fn every_request_is_let_in_by_digest_and_a_nonce_serves_for_many() {
    for algorithm in ["MD5", "MD5-sess", "SHA-256", "SHA-256-sess"] {
        for has_qop in [true, false] {
            let (server, [user, password]) = gated(DigestGate::new(algorithm, has_qop));
            let mut watch = Watch::of(&server.scripted.url, Some((user, password)));
            watch.sync();
            server.put("b.ics", "1", "b");
            server.version("t2", "c2");
            watch.sync();
            let asked = server.scripted.asked();
            let methods = |method: &str| asked.iter().filter(|asked| asked.method == method).count();
            assert!(methods("PROPFIND") > 2 && methods("REPORT") > 1 && methods("GET") > 0, "{algorithm}");
            let logins: Vec<_> = asked.iter().map(|asked| asked.header("authorization").unwrap_or_default()).collect();
            assert_eq!(logins[0], "", "nothing is sent before the server has said what it offers");
            assert!(logins[1..].iter().all(|login| login.starts_with("Digest ")), "{algorithm}: {logins:?}");
            assert!(logins[1..].iter().all(|login| login.contains("nonce=\"n1\"")), "{algorithm}: {logins:?}");
        }
    }
}

#[test]
fn a_stale_nonce_is_no_refusal() {
    let (server, [user, password]) = gated(DigestGate { uses: 2, ..DigestGate::new("SHA-256", true) });
    let mut watch = Watch::of(&server.scripted.url, Some((user, password)));
    watch.sync();
    let asked = server.scripted.asked();
    let nonces =
        asked.iter().filter(|asked| asked.header("authorization").is_some_and(|login| login.contains("nonce=\"n2\"")));
    assert_eq!(nonces.count(), 3, "two are let in with a nonce, and one learns that it is used up");
}

#[test]
fn the_nonce_that_a_response_names_is_used_by_the_next_request() {
    for algorithm in ["MD5", "SHA-256-sess"] {
        let (server, [user, password]) = gated(DigestGate { names_next: true, ..DigestGate::new(algorithm, true) });
        let mut watch = Watch::of(&server.scripted.url, Some((user, password)));
        watch.sync();
        let asked = server.scripted.asked();
        let logins: Vec<_> = asked.iter().map(|asked| asked.header("authorization").unwrap_or_default()).collect();
        assert!(logins.len() > 4, "{algorithm}: {logins:?}");
        for (n, login) in logins.iter().enumerate().skip(1) {
            assert!(
                login.contains(&format!("nonce=\"n{n}\"")) && login.contains("nc=00000001"),
                "{algorithm}: {login}"
            );
        }
    }
}

#[test]
fn a_wrong_password_is_sent_once_by_digest_and_the_error_says_what_to_do() {
    let (server, [user, _]) = gated(DigestGate::new("MD5", true));
    let (source, mut settings) = settings(&server.scripted.url, Some((user, "another")));
    let mut watch = Watch::with(&source, &settings);
    let error = watch.failure();
    assert!(error.contains("does not accept the login (401): check username and password_file"), "{error}");
    assert_eq!(server.scripted.asked().len(), 2);
    watch.failure();
    assert_eq!(server.scripted.asked().len(), 1, "the next try needs no other nonce");
    let scheme = PasswordScheme::Basic;
    settings.credentials =
        Credentials::Password { username: "a".to_owned(), password: SecretRef::inline("x").into(), scheme };
    server.quirk(|_, _| Some(Reply::status(401).header("WWW-Authenticate", "Digest realm=\"x\", nonce=\"y\"")));
    let error = Watch::with(&source, &settings).failure();
    assert!(error.contains("(401); it offers Digest, and the source says auth = \"basic\": check username"), "{error}");
    assert_eq!(server.scripted.asked().len(), 1);
}

#[test]
fn a_password_that_is_sent_by_digest_is_told_to_nobody() {
    let (server, [user, password]) = gated(DigestGate::new("MD5-sess", true));
    let login = format!("username = \"{user}\"\nauth = \"digest\"\npassword_file = \"password\"");
    let folder = configured(&server.scripted.url, &login);
    write(folder.path(), "password", password, 0o600);
    let log = told_to_nobody(folder.path(), &["hunter"], &["password"]);
    assert!(log.contains("sync finished"), "{log}");
    assert_eq!(error(folder.path()), None);
    write(folder.path(), "password", "hunter2-4711", 0o600);
    let log = told_to_nobody(folder.path(), &["hunter"], &["password"]);
    assert!(log.contains("(401)"), "{log}");
    assert!(server.scripted.asked().iter().all(|asked| !format!("{asked:?}").contains("Basic")));
}

#[test]
fn sabre_lets_in_by_digest() {
    let (Some(server), Some(account)) = (SABRE.server(), SABRE.account()) else { return };
    let url = format!("http://127.0.0.1:{}{}", server.second_port, account.home);
    account.put("a.ics", &event("a", "20300310T120000Z", "a"));
    let mut watch = Watch::of(&url, account.login);
    watch.sync();
    account.put("b.ics", &event("b", "20300310T120000Z", "b"));
    account.delete("a.ics");
    watch.sync();
    assert_eq!(watch.kept.summaries(account.work), ["b"]);
    assert_eq!(account.login.unwrap().1, PASSWORD);
    let error = Watch::of(&url, Some((account.login.unwrap().0, "wrong"))).failure();
    assert!(error.contains("(401): check username"), "{error}");
}

#[test]
fn a_server_that_asks_for_a_certificate_is_shown_one() {
    let server = Server::start();
    server.put("a.ics", "1", "a");
    let proxy = TlsProxy::asking(address(&server.scripted), include_str!("login/client-ca.pem"));
    let (shown, key) = (include_str!("login/client.pem"), include_str!("login/client.key"));
    let both = "client_certificate = \"client.pem\"\nclient_key = \"client.key\"";
    let cases = [
        ("", shown, key, 0o600, "name one with client_certificate and client_key"),
        (both, CERTIFICATE, key, 0o600, "client_key is not the key of client_certificate"),
        (both, "", key, 0o600, "the client_certificate in "),
        (both, shown, "", 0o600, "client_key names "),
        (both, shown, "x", 0o600, "client_key holds no private key"),
        (both, shown, key, 0o640, "which others may read"),
        (both, CERTIFICATE, include_str!("proxied/server.key"), 0o600, "there is no secure connection"),
        (both, shown, key, 0o600, "sync finished"),
    ];
    for (lines, certificate, key, mode, told) in cases {
        let folder = configured(&proxy.url("/"), &format!("ca_file = \"ca.pem\"\n{lines}"));
        write(folder.path(), "ca.pem", CERTIFICATE, 0o644);
        write(folder.path(), "client.pem", certificate, 0o644);
        write(folder.path(), "client.key", key, mode);
        let secret = key.lines().nth(1).unwrap_or("BEGIN PRIVATE KEY-----\n");
        let log = told_to_nobody(folder.path(), &[secret], &["client.key"]);
        assert!(log.contains(told), "{told}: {log}");
    }
}

#[test]
fn a_server_that_ends_the_handshake_is_said_to_do_so_whenever_that_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "ca.pem", CERTIFICATE, 0o644);
    for protocols in [&[&b"http/1.1"[..]][..], &[b"h2"]] {
        let authority = include_str!("login/client-ca.pem");
        let proxy = TlsProxy::offering(SocketAddr::from(([127, 0, 0, 1], 9)), Some(authority), protocols);
        let (source, mut settings) = settings(&proxy.url("/"), Some(("mary", "sesame")));
        settings.ca_file = Some(folder.path().join("ca.pem"));
        for _ in 0..5 {
            let error = Watch::with(&source, &settings).try_sync().unwrap_err();
            let told = error.to_string();
            assert!(matches!(error, CaldavError::Tls { .. }) && told.contains("client_certificate"), "{told}");
        }
    }
}

#[test]
fn a_client_certificate_that_is_replaced_is_used_from_then_on() {
    let server = Server::start();
    let proxy = TlsProxy::asking(address(&server.scripted), include_str!("login/client-ca.pem"));
    let lines = "ca_file = \"ca.pem\"\nclient_certificate = \"client.pem\"\nclient_key = \"client.key\"";
    let folder = configured(&proxy.url("/"), lines);
    write(folder.path(), "ca.pem", CERTIFICATE, 0o644);
    write(folder.path(), "client.pem", include_str!("login/client.pem"), 0o644);
    write(folder.path(), "client.key", "x", 0o600);
    let mut daemon = Daemon::start(folder.path(), &["run"]);
    for (key, told) in
        [("x", "client_key holds no private key"), (include_str!("login/client.key"), "can be read again")]
    {
        write(folder.path(), "client.key", key, 0o600);
        assert!(daemon.log.find(PATIENCE, |line| line.contains(told)).is_some(), "{told}: {}", daemon.log.text());
    }
    assert!(daemon.stop(PATIENCE).success());
}

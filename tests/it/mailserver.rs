//! A real mail server (aiosmtpd) on a loopback port of its own, which can be told to misbehave.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::process::Lines;
use crate::servers::{Server, certificates, free_port};
use crate::venv::Venv;

const SOON: Duration = Duration::from_secs(30);

/// How its connections are secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    Plain,
    StartTls,
    Implicit,
}

/// The server. Its only user is `mary` with the password `secret`.
#[derive(Debug)]
pub struct MailServer {
    venv: &'static Venv,
    pub folder: PathBuf,
    pub port: u16,
    security: Security,
    running: Option<Server>,
}

/// A mail as the server took it, read by Python's parser.
#[derive(Clone, Debug, Deserialize)]
pub struct Mail {
    pub from: String,
    pub to: Vec<String>,
    pub tls: bool,
    pub user: Option<String>,
    #[serde(rename = "type")]
    pub kind: String,
    /// Names and decoded values.
    pub headers: Vec<(String, String)>,
    pub parts: Vec<Part>,
    /// As it came, an octet a character.
    pub octets: String,
}

/// One part of a multipart mail, decoded.
#[derive(Clone, Debug, Deserialize)]
pub struct Part {
    #[serde(rename = "type")]
    pub kind: String,
    pub text: String,
}

impl Mail {
    /// The value of the only header `name`.
    pub fn header(&self, name: &str) -> &str {
        let mut all = self.headers.iter().filter(|(each, _)| each.eq_ignore_ascii_case(name));
        let value = &all.next().unwrap_or_else(|| panic!("no {name} in {:?}", self.headers)).1;
        assert!(all.next().is_none(), "two {name} in {:?}", self.headers);
        value
    }
}

impl MailServer {
    /// Starts it with its rules, and its certificates where it needs them, in `folder`.
    pub fn start(venv: &'static Venv, folder: &Path, security: Security) -> MailServer {
        if security != Security::Plain {
            certificates(venv, folder);
        }
        let mut server = MailServer { venv, folder: folder.to_owned(), port: free_port(), security, running: None };
        server.rules("{}");
        server.start_again();
        server
    }

    /// What it does instead of the usual from now on; see `tests/live/mailserver.py`.
    pub fn rules(&self, json: &str) {
        let (new, old) = (self.folder.join("rules.new"), self.folder.join("rules.json"));
        fs::write(&new, json).and_then(|()| fs::rename(&new, &old)).expect("a rules file");
    }

    /// Ends it, as a crash would.
    pub fn stop(&mut self) {
        self.running = None;
    }

    /// Starts it on the same port again.
    pub fn start_again(&mut self) {
        let path = |name: &str| self.folder.join(name).to_str().expect("a UTF-8 path").to_owned();
        let security = match self.security {
            Security::Plain => "plain",
            Security::StartTls => "starttls",
            Security::Implicit => "implicit",
        };
        let mut arguments = vec![self.port.to_string(), security.to_owned(), path("rules.json")];
        if self.security != Security::Plain {
            arguments.extend([path("server.pem"), path("server.key")]);
        }
        let server = Server::start(self.venv, "tests.live.mailserver", &arguments, "ready", self.port);
        let server = server.unwrap_or_else(|why| panic!("{why}"));
        if self.security != Security::Implicit {
            // The harness' own connection, which asked whether it listens, is not to be counted with others.
            assert!(server.log.find(SOON, |line| line == "shut 0").is_some(), "{}", server.log.text());
        }
        self.running = Some(server);
    }

    /// The file with the authority that signed its certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// The next mail that it took.
    pub fn mail(&self) -> Mail {
        let log = self.log();
        let line = log.find(SOON, |line| line.starts_with("mail "));
        let line = line.unwrap_or_else(|| panic!("no mail came; the server says:\n{}", log.text()));
        serde_json::from_str(&line["mail ".len()..]).expect("a mail")
    }

    /// What it prints.
    pub fn log(&self) -> Lines {
        self.running.as_ref().expect("it runs").log.clone()
    }

    /// How many mails it has taken, and over how many connections at most at a time, since it was started last. Ask
    /// after [`MailServer::mail`] has brought the last one.
    pub fn counts(&self) -> (usize, usize) {
        let lines = self.log().all();
        let mails = lines.iter().filter(|line| line.starts_with("mail ")).count();
        let open = lines.iter().filter_map(|line| line.strip_prefix("open ")).map(|n| n.parse().expect("a number"));
        (mails, open.max().unwrap_or(0))
    }
}

//! Real CalDAV servers on loopback ports of their own, stopped when dropped.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use crate::process::Lines;
use crate::venv::Venv;

/// Plenty for a busy machine; nothing waits this long when all is well.
const START_WITHIN: Duration = Duration::from_secs(60);
/// Between two attempts to connect to a server that is about to listen: nothing tells when it does.
const LISTENING_PAUSE: Duration = Duration::from_millis(5);
/// Between asking for a free port and its use somebody else may take it.
const START_ATTEMPTS: usize = 3;

/// A loopback port that nobody listened on a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr()).expect("a free port").port()
}

/// A Python server process.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// What it logs.
    pub log: Lines,
}

impl Server {
    /// Starts `module` and waits until it has logged a line with `ready` and `port` answers. When it ends instead, the
    /// error is what it logged.
    pub fn start(venv: &Venv, module: &str, arguments: &[String], ready: &str, port: u16) -> Result<Server, String> {
        Server::of(venv.serve(module, arguments), module, ready, port)
    }

    /// Likewise, of a process that was started.
    fn of(mut child: Child, name: &str, ready: &str, port: u16) -> Result<Server, String> {
        let log = Lines::of(child.stderr.take().expect("a pipe"));
        log.also(child.stdout.take().expect("a pipe"));
        let server = Server { child, log };
        let logged = server.log.find(START_WITHIN, |line| line.contains(ready)).is_some();
        if !logged || !server.answers(port) {
            return Err(format!("{name} did not start:\n{}", server.log.text()));
        }
        Ok(server)
    }

    /// Whether `port` takes connections. Some servers log that they listen just before they do.
    fn answers(&self, port: u16) -> bool {
        let deadline = Instant::now() + START_WITHIN;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if self.log.ended() || Instant::now() > deadline {
                return false;
            }
            thread::sleep(LISTENING_PAUSE);
        }
        true
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server, its port, and how to start it there again.
#[derive(Debug)]
struct Slot {
    port: u16,
    running: Option<Server>,
}

impl Slot {
    fn fill(mut start: impl FnMut(u16) -> Result<Server, String>) -> Slot {
        let mut why = String::new();
        for _ in 0..START_ATTEMPTS {
            let port = free_port();
            match start(port) {
                Ok(server) => return Slot { port, running: Some(server) },
                Err(failure) => why = failure,
            }
        }
        panic!("{why}");
    }
}

/// Radicale: users from a htpasswd file, each owning `/USER/`, Basic authentication.
#[derive(Debug)]
pub struct Radicale {
    venv: &'static Venv,
    settings: Settings,
    slot: Slot,
}

/// What Radicale is started with.
#[derive(Debug)]
struct Settings {
    folder: PathBuf,
    certificate: Option<(PathBuf, PathBuf)>,
    extra: Vec<String>,
}

impl Radicale {
    /// Starts it with its storage and its users file below `folder`. `users` are names and passwords.
    pub fn start(venv: &'static Venv, folder: &Path, users: &[(&str, &str)]) -> Radicale {
        Radicale::start_with(venv, folder, users, None, &[])
    }

    /// The same with TLS (`certificate` and key, PEM files) and further command line options (`--storage-…`).
    pub fn start_with(
        venv: &'static Venv,
        folder: &Path,
        users: &[(&str, &str)],
        certificate: Option<(PathBuf, PathBuf)>,
        extra: &[&str],
    ) -> Radicale {
        let lines: String = users.iter().map(|(name, password)| format!("{name}:{password}\n")).collect();
        fs::write(folder.join("users"), lines).expect("a users file");
        let extra = extra.iter().map(|&option| option.to_owned()).collect();
        let settings = Settings { folder: folder.to_owned(), certificate, extra };
        let slot = Slot::fill(|port| settings.start(venv, port));
        Radicale { venv, settings, slot }
    }

    /// `http://127.0.0.1:PORT/`, or https with a certificate.
    pub fn url(&self) -> String {
        let scheme = if self.settings.certificate.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}/", self.slot.port)
    }

    /// Ends it, as a crash would.
    pub fn stop(&mut self) {
        self.slot.running = None;
    }

    /// Starts it again on the same port with the same storage.
    pub fn start_again(&mut self) {
        self.slot.running = Some(self.settings.start(self.venv, self.slot.port).expect("the same port again"));
    }

    /// What it has logged since it was started last.
    pub fn log(&self) -> Vec<String> {
        self.slot.running.as_ref().map(|server| server.log.all()).unwrap_or_default()
    }
}

impl Settings {
    fn start(&self, venv: &Venv, port: u16) -> Result<Server, String> {
        let path = |path: &Path| path.to_str().expect("a UTF-8 path").to_owned();
        let mut options = vec![
            format!("--server-hosts=127.0.0.1:{port}"),
            "--auth-type=htpasswd".to_owned(),
            "--auth-htpasswd-encryption=plain".to_owned(),
            format!("--auth-htpasswd-filename={}", path(&self.folder.join("users"))),
            // Otherwise it waits a second before it answers a wrong password.
            "--auth-delay=0".to_owned(),
            "--rights-type=owner_only".to_owned(),
            format!("--storage-filesystem-folder={}", path(&self.folder.join("storage"))),
        ];
        if let Some((certificate, key)) = &self.certificate {
            options.push("--server-ssl=True".to_owned());
            options.push(format!("--server-certificate={}", path(certificate)));
            options.push(format!("--server-key={}", path(key)));
        }
        options.extend(self.extra.iter().cloned());
        Server::start(venv, "radicale", &options, "server ready", port)
    }
}

/// Xandikos: one user, `alice`, whose home is `/alice/calendars/` with one calendar `calendar/`; no authentication.
#[derive(Debug)]
pub struct Xandikos {
    venv: &'static Venv,
    folder: PathBuf,
    /// Whom it trusts that it pushes to, if it does.
    authority: Option<PathBuf>,
    slot: Slot,
}

impl Xandikos {
    /// Starts it with its storage in `folder`.
    pub fn start(venv: &'static Venv, folder: &Path) -> Xandikos {
        Xandikos::start_with(venv, folder, None)
    }

    /// Likewise; it pushes to those whose certificates are signed by the authority in the PEM file `authority`.
    pub fn start_with(venv: &'static Venv, folder: &Path, authority: Option<PathBuf>) -> Xandikos {
        let slot = Slot::fill(|port| Xandikos::serve(venv, folder, authority.as_deref(), port));
        Xandikos { venv, folder: folder.to_owned(), authority, slot }
    }

    fn serve(venv: &Venv, folder: &Path, authority: Option<&Path>, port: u16) -> Result<Server, String> {
        let arguments = [
            "serve",
            "--defaults",
            "--no-detect-systemd",
            "--current-user-principal=/alice/",
            "--listen-address=127.0.0.1",
            &format!("--port={port}"),
            &format!("--directory={}", folder.join("storage").display()),
            &format!("--state-dir={}", folder.join("state").display()),
        ];
        let mut arguments = arguments.map(str::to_owned).to_vec();
        let Some(authority) = authority else {
            return Server::start(venv, "xandikos", &arguments, "Listening on", port);
        };
        arguments.push("--webdav-push".to_owned());
        arguments.splice(0..0, [authority.display().to_string(), "xandikos".to_owned()]);
        Server::of(venv.live("pushing.py", &arguments), "xandikos", "Listening on", port)
    }

    /// `http://127.0.0.1:PORT/`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.slot.port)
    }

    /// What it has logged since it was started last.
    pub fn log(&self) -> Vec<String> {
        self.slot.running.as_ref().map(|server| server.log.all()).unwrap_or_default()
    }

    /// Ends it, as a crash would.
    pub fn stop(&mut self) {
        self.slot.running = None;
    }

    /// Starts it again on the same port with the same storage.
    pub fn start_again(&mut self) {
        self.slot.running = Some(
            Xandikos::serve(self.venv, &self.folder, self.authority.as_deref(), self.slot.port)
                .expect("the same port again"),
        );
    }
}

/// Makes a certificate authority and a certificate for 127.0.0.1 and localhost: `ca.pem`, `server.pem`, `server.key` in
/// `folder`, all of them new.
pub fn certificates(venv: &Venv, folder: &Path) {
    let program = "import sys, trustme\n\
        ca = trustme.CA()\n\
        ca.cert_pem.write_to_path(sys.argv[1] + '/ca.pem')\n\
        cert = ca.issue_cert('127.0.0.1', 'localhost')\n\
        cert.private_key_pem.write_to_path(sys.argv[1] + '/server.key')\n\
        for n, blob in enumerate(cert.cert_chain_pems):\n    blob.write_to_path(sys.argv[1] + '/server.pem', append=n > 0)\n";
    venv.script(program, &[folder.to_str().expect("a UTF-8 path")]);
}

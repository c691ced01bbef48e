//! How a CalDAV source logs in: what it sends, when it gets its secret again, and that the secret is told to nobody.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use crate::daemon::Daemon;
use crate::faults::wait_until;
use crate::quirks::Server;
use crate::scripted::{Asked, Reply};

/// Longer than anything takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with a configuration that watches `url` with the lines `login`.
fn configured(url: &str, login: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "[ledger]\nurl = \"ledger.db\"\n[[source]]\nkind = \"caldav\"\nname = \"bob\"\nurl = \"{url}\"\n{login}\n\
         poll_interval = \"1s\"\n[[sink]]\nkind = \"file\"\nname = \"alarms\"\npath = \"alarms.jsonl\"\n"
    );
    fs::write(folder.path().join("reveille.toml"), text).unwrap();
    folder
}

/// Puts the file `name` into `folder`, in the place of what was there, with the rights `mode`.
fn write(folder: &Path, name: &str, text: &str, mode: u32) {
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
fn told_to_nobody(folder: &Path, secrets: &[&str], keepers: &[&str]) -> String {
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
fn error(folder: &Path) -> Option<String> {
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

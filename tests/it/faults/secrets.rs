//! The password, token or certificates of one account cannot be used: it waits for them, and the alarms of all others
//! fire.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::daemon::{Daemon, undisturbed};
use crate::mailserver::{MailServer, Security};
use crate::quirks::Server;
use crate::rehearsal::{Stage, event};
use crate::scripted::Reply;
use crate::venv::Venv;

use super::{SOON, in_seconds, put_many, wait_until};

/// A stage whose configuration also has `stanza`; the name `password` in it is that of a file of the stage.
fn stage(stanza: &str) -> Stage {
    let stage = Stage::new();
    let file = stage.path().join("reveille.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(file, format!("{text}{stanza}")).unwrap();
    stage
}

fn account(url: &str, secret: &str) -> String {
    format!("[[source]]\nkind = \"caldav\"\nname = \"bob\"\nurl = \"{url}\"\npoll_interval = \"1s\"\n{secret}\n")
}

/// Writes `text` into the file `name` of the stage, with the rights `mode`.
fn write(stage: &Stage, name: &str, text: &str, mode: u32) -> PathBuf {
    let (file, draft) = (stage.path().join(name), stage.path().join("draft"));
    fs::write(&draft, text).unwrap();
    fs::set_permissions(&draft, fs::Permissions::from_mode(mode)).unwrap();
    fs::rename(&draft, &file).unwrap();
    file
}

/// What `status` says of the source `bob`.
fn state(stage: &Stage) -> Value {
    let status = stage.listing(&["status"]).remove(0);
    status["sources"].as_array().unwrap().iter().find(|source| source["name"] == "bob").unwrap().clone()
}

#[test]
fn an_account_without_its_secret_fails_alone_and_says_so() {
    let _quiet = undisturbed();
    let password = "username = \"bob\"\npassword_file = \"password\"";
    let ca = format!("{password}\nca_file = \"ca.pem\"");
    let half = "-----BEGIN CERTIFICATE-----\nMIIBdzCCAR2gAwIBAgIUcqM5\n";
    type Before<'a> = &'a dyn Fn(&Stage);
    let none: Before<'_> = &|_| {};
    let ready = |stage: &Stage| drop(write(stage, "password", "sesame\n", 0o600));
    let cases: [(&str, &str, Before<'_>); 9] = [
        (password, "password_file names", none),
        (password, "which others may read (mode 0640)", &|stage| drop(write(stage, "password", "x", 0o640))),
        (password, "which is empty", &|stage| drop(write(stage, "password", "\n", 0o600))),
        (password, "which is not a file", &|stage| fs::create_dir(stage.path().join("password")).unwrap()),
        ("username = \"bob\"\npassword_env = \"REVEILLE_NOWHERE\"", "REVEILLE_NOWHERE, which is not set", none),
        ("token_credential = \"bob\"", "$CREDENTIALS_DIRECTORY is not set", none),
        (&ca, "ca.pem cannot be used", &ready),
        (&ca, "no certificate in it", &|stage| {
            ready(stage);
            write(stage, "ca.pem", "", 0o644);
        }),
        (&ca, "ca.pem cannot be used", &|stage| {
            ready(stage);
            write(stage, "ca.pem", half, 0o644);
        }),
    ];
    for (secret, told, before) in cases {
        let stage = stage(&account("https://127.0.0.1:1/", secret));
        before(&stage);
        let checked = stage.reveille(&["check", "--offline"]);
        let found = String::from_utf8(checked.stdout).unwrap();
        assert_eq!(checked.status.code(), Some(1), "{secret}\n{found}");
        assert!(found.contains(told), "{secret}\n{found}");
        let mut daemon = Daemon::start(stage.path(), &["run"]);
        let logged = |line: &str| line.contains("the source cannot be read") && line.contains(told);
        assert!(daemon.log.find(SOON, logged).is_some(), "{secret}\n{}", daemon.log.text());
        put_many(&stage, 1, in_seconds(3));
        wait_until(|| stage.alarms().len() == 1, || format!("{secret}\n{}", daemon.log.text()));
        let error = state(&stage)["error"].as_str().unwrap().to_owned();
        // What is not in the environment does not come into it.
        assert!(
            error.contains(told) && error.contains("once the file") != error.contains("restart Reveille"),
            "{error}"
        );
        assert!(daemon.stop(SOON).success());
    }
}

#[test]
fn an_account_is_read_once_its_secret_is_there_and_again_when_it_is_changed() {
    let server = Server::start();
    // Only this password is let in.
    server.quirk(|asked, _| {
        let right = ["Basic Ym9iOnNlc2FtZQ==", "Basic Ym9iOm9wZW4="];
        let is_right = asked.header("authorization").is_some_and(|login| right.contains(&login));
        (!is_right).then(|| Reply::status(401).header("WWW-Authenticate", "Basic realm=\"x\""))
    });
    let stage = stage(&account(&server.scripted.url, "username = \"bob\"\npassword_file = \"password\""));
    let mut daemon = Daemon::start(stage.path(), &["run"]);
    assert!(daemon.log.find(SOON, |line| line.contains("cannot be read")).is_some(), "{}", daemon.log.text());
    assert!(server.scripted.asked().is_empty(), "without a password nobody is asked");
    write(&stage, "password", "sesame\n", 0o600);
    let again = |line: &str| line.contains("can be read again") && line.contains("bob");
    assert!(daemon.log.find(SOON, again).is_some(), "{}", daemon.log.text());
    wait_until(|| state(&stage)["error"].is_null(), || state(&stage).to_string());
    // From here on the old password is refused; the new one is there.
    server.quirk(|asked, _| {
        let is_right = asked.header("authorization") == Some("Basic Ym9iOm9wZW4=");
        (!is_right).then(|| Reply::status(401))
    });
    write(&stage, "password", "open\n", 0o600);
    server.put("new.ics", "1", "new");
    server.version("t2", "c2");
    let read = |line: &str| line.contains("sync finished") && line.contains("bob") && line.contains("changes=1");
    assert!(daemon.log.find(SOON, read).is_some(), "{}", daemon.log.text());
    assert!(daemon.stop(SOON).success());
}

#[test]
fn mail_waits_for_the_password_of_its_server_and_nothing_else_does() {
    let _quiet = undisturbed();
    let Some(venv) = Venv::or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = MailServer::start(venv, folder.path(), Security::StartTls);
    let stage = stage(&format!(
        "[[sink]]\nkind = \"email\"\nname = \"mail\"\nurl = \"smtp://mary@127.0.0.1:{}\"\nactions = [\"display\"]\n\
         recipients = [\"mary@example.org\"]\npassword_file = \"password\"\nca_file = \"ca.pem\"\n\
         from = \"calendar@example.org\"\n",
        server.port
    ));
    let checked = stage.reveille(&["check", "--offline"]);
    let found = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.status.code() == Some(1) && found.contains("ca.pem"), "{found}");
    write(&stage, "ca.pem", &fs::read_to_string(server.ca_file()).unwrap(), 0o644);
    let mut daemon = Daemon::start(stage.path(), &["run"]);
    let told = |line: &str| line.contains("this sink cannot be used") && line.contains("password_file names");
    assert!(daemon.log.find(SOON, told).is_some(), "{}", daemon.log.text());
    assert!(daemon.log.find(SOON, |line| line.contains("sync finished")).is_some(), "{}", daemon.log.text());
    fs::write(stage.file("a.ics"), event("a", &in_seconds(3).basic(), "a")).unwrap();
    wait_until(|| stage.alarms().len() == 1, || daemon.log.text());
    let waits = |line: &str| line.contains("nothing can be delivered") && line.contains("password_file names");
    assert!(daemon.log.find(SOON, waits).is_some(), "{}", daemon.log.text());
    write(&stage, "password", "secret\n", 0o600);
    assert_eq!(server.mail().to, ["mary@example.org"]);
    assert!(daemon.stop(Duration::from_secs(60)).success());
}

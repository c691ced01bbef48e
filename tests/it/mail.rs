//! From a calendar to a mailbox: the daemon, rehearsed pass by pass, and a mail server with moods.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::mailserver::{MailServer, Security};
use crate::rehearsal::{Stage, touch};
use crate::scripted::{Asked, Reply, Scripted};
use crate::venv::Venv;

/// An event at noon with an EMAIL alarm an hour before, which says its own words to `mary` and to somebody else.
const EVENT: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//reveille//tests//EN\r\nBEGIN:VEVENT\r\nUID:lunch\r\n\
    DTSTAMP:20260101T000000Z\r\nDTSTART;TZID=Europe/Berlin:20260310T130000\r\nDURATION:PT1H\r\nSUMMARY:Mittagessen\r\n\
    LOCATION:Küche\r\nBEGIN:VALARM\r\nACTION:EMAIL\r\nTRIGGER:-PT1H\r\nSUMMARY:Gleich gibt es Essen\r\n\
    DESCRIPTION:Hände waschen!\\nUnd kommen.\r\nATTENDEE:mailto:mary@example.org\r\nATTENDEE:mailto:eve@example.com\r\n\
    END:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

/// A watched event, and mail through `server`.
fn stage(server: &MailServer) -> Stage {
    let stage = Stage::new();
    let (path, password) = (stage.path().display(), stage.path().join("password"));
    fs::write(&password, "secret\n").unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    let text = format!(
        "[ledger]\nurl = \"sqlite://{path}/ledger.db\"\n[defaults]\nzone = \"Europe/London\"\n\
         [[source]]\nkind = \"directory\"\nname = \"home\"\npath = \"{path}/watched\"\nuser = \"mary\"\n\
         email = [\"mary@example.org\", \"mary@example.net\"]\n\
         [[sink]]\nkind = \"email\"\nname = \"mail\"\nurl = \"smtp://mary@127.0.0.1:{port}\"\n\
         password_file = \"{path}/password\"\nca_file = \"{ca}\"\nfrom = \"Kalender <calendar@example.org>\"\n",
        port = server.port,
        ca = server.ca_file().display(),
    );
    fs::write(stage.path().join("reveille.toml"), text).unwrap();
    fs::write(stage.file("lunch.ics"), EVENT).unwrap();
    stage.pass("2026-03-10T10:00:00Z");
    stage
}

/// One pass that cannot deliver everything; returns the log.
fn failing_pass(stage: &Stage, instant: &str) -> String {
    let output = stage.reveille(&["run", "--once", "--at", instant]);
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{log}");
    log
}

#[test]
fn a_mail_waits_for_a_server_that_is_down_and_then_busy_and_arrives_once() {
    let Some(venv) = Venv::or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut server = MailServer::start(venv, folder.path(), Security::StartTls);
    let stage = stage(&server);
    server.stop();
    let log = failing_pass(&stage, "2026-03-10T11:00:00Z");
    assert!(log.contains("refused"), "{log}");
    server.start_again();
    server.rules(&json!({ "RCPT": "451 4.7.1 Greylisted" }).to_string());
    let log = failing_pass(&stage, "2026-03-10T11:00:05Z");
    assert!(log.contains("451 4.7.1 Greylisted"), "{log}");
    server.rules("{}");
    stage.pass("2026-03-10T11:00:06Z");
    assert_eq!(server.counts().0, 0, "it is not tried again at once");
    stage.pass("2026-03-10T11:00:16Z");
    let mail = server.mail();
    stage.pass("2026-03-10T12:00:00Z");
    assert_eq!(server.counts().0, 1);

    assert_eq!((&mail.to[..], mail.tls), (&["mary@example.org".to_owned()][..], true));
    assert_eq!(mail.header("Subject"), "Gleich gibt es Essen");
    assert_eq!(mail.header("Date"), "Tue, 10 Mar 2026 11:00:16 +0000");
    let text = &mail.parts[0].text;
    assert!(text.contains("\nHände waschen!\nUnd kommen.\n"), "{text}");
    assert!(text.contains("\nWhen:     Tuesday, 10 March 2026, 12:00–13:00 (Europe/London)\n"), "{text}");
    assert!(text.contains("13:00–14:00 Europe/Berlin)\nWhere:    Küche\n"), "{text}");
    let settled = stage.listing(&["deliveries"]);
    assert_eq!(settled.len(), 1);
    assert_eq!((&settled[0]["state"], &settled[0]["attempts"]), (&json!("delivered"), &json!(2)), "{settled:?}");
}

#[test]
fn a_mail_that_is_refused_for_good_is_listed_with_the_servers_words() {
    let Some(venv) = Venv::or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = MailServer::start(venv, folder.path(), Security::StartTls);
    let stage = stage(&server);
    server.rules(&json!({ "RCPT": "550 5.1.1 No such user here" }).to_string());
    failing_pass(&stage, "2026-03-10T11:00:00Z");
    server.rules("{}");
    stage.pass("2026-03-11T11:00:00Z");
    let failed = stage.listing(&["deliveries", "--failed"]);
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["answer"], "550 5.1.1 No such user here", "{failed:?}");
    assert_eq!(server.counts().0, 0);
}

#[test]
fn a_mail_that_was_not_confirmed_is_sent_again_seldom_and_counted() {
    let Some(venv) = Venv::or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = MailServer::start(venv, folder.path(), Security::StartTls);
    let stage = stage(&server);
    server.rules(&json!({ "body": "keep" }).to_string());
    let log = failing_pass(&stage, "2026-03-10T11:00:00Z");
    assert!(log.contains("alarms may have been delivered, or not"), "{log}");
    let first = server.mail();
    // The server may have had it: a minute later, or ten, is too soon for a second copy.
    for instant in ["2026-03-10T11:00:05Z", "2026-03-10T11:01:00Z", "2026-03-10T11:11:00Z"] {
        stage.pass(instant);
    }
    let waits = stage.listing(&["deliveries", "--unknown"]);
    assert_eq!(
        (&waits[0]["state"], &waits[0]["attempts"], &waits[0]["unknown"]),
        (&json!("pending"), &json!(1), &json!(1))
    );
    assert!(waits[0]["answer"].as_str().unwrap().starts_with("it may have been delivered: "), "{waits:?}");
    assert_eq!(server.counts().0, 1);
    server.rules("{}");
    stage.pass("2026-03-10T11:15:00Z");
    assert_eq!(server.mail().header("Message-ID"), first.header("Message-ID"), "mail programs can tell a second copy");
    stage.pass("2026-03-10T23:00:00Z");
    assert_eq!(server.counts().0, 2);
    let settled = stage.listing(&["deliveries", "--unknown"]);
    assert_eq!(
        (&settled[0]["state"], &settled[0]["attempts"], &settled[0]["unknown"]),
        (&json!("delivered"), &json!(2), &json!(1))
    );
}

/// The configuration of `stage`, whose sink logs in by `login`.
fn log_in_by(stage: &Stage, login: &str) {
    let config = stage.path().join("reveille.toml");
    let text = fs::read_to_string(&config).unwrap();
    let kept =
        text.lines().filter(|line| !["password_file", "token", "oauth2"].iter().any(|key| line.starts_with(key)));
    let text: String = kept.map(|line| format!("{line}\n")).collect();
    fs::write(config, text + login).unwrap();
}

fn secret_file(stage: &Stage, name: &str, secret: &str) {
    let file = stage.path().join(name);
    fs::write(&file, secret).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn an_access_token_logs_in_and_a_refused_one_is_replaced() {
    let Some(venv) = Venv::or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = MailServer::start(venv, folder.path(), Security::StartTls);
    let stage = stage(&server);
    secret_file(&stage, "token", "at-1\n");
    log_in_by(&stage, "token_file = 'token'\n");
    let log = failing_pass(&stage, "2026-03-10T11:00:00Z");
    assert!(log.contains("at AUTH: the server does not offer XOAUTH2, which access tokens need"), "{log}");
    fs::write(folder.path().join("token"), "at-2").unwrap();
    let log = failing_pass(&stage, "2026-03-10T11:01:00Z");
    assert!(log.contains("at AUTH: 535 5.7.8 Authentication credentials invalid"), "{log}");
    secret_file(&stage, "token", "at-2\n");
    stage.pass("2026-03-10T11:02:00Z");
    assert_eq!(server.mail().user.as_deref(), Some("mary by token"));

    // With a refresh token; the first access token that it gets is one that the mail server does not know yet.
    let count = Arc::new(AtomicUsize::new(2));
    let granted = count.clone();
    let endpoint = Scripted::start(move |asked: &Asked| {
        assert!(asked.body.contains("refresh_token=rt"), "{}", asked.body);
        let token = format!("at-{}", granted.fetch_add(1, Ordering::SeqCst) + 1);
        let granted = json!({ "access_token": token, "token_type": "Bearer", "expires_in": 3600 });
        Reply::status(200).header("Content-Type", "application/json").body(granted.to_string())
    });
    secret_file(&stage, "refresh", "rt");
    log_in_by(
        &stage,
        &format!("oauth2 = {{ client_id = 'c', refresh_token_file = 'refresh', token_url = '{}' }}\n", endpoint.url),
    );
    let supper = EVENT.replace("lunch", "supper").replace("T130000", "T130300");
    fs::write(stage.file("supper.ics"), supper).unwrap();
    touch(&stage.file("supper.ics"), "2026-03-10T11:02:00Z");
    let log = failing_pass(&stage, "2026-03-10T11:03:00Z");
    assert!(log.contains("535 5.7.8"), "{log}");
    fs::write(folder.path().join("token"), "at-4").unwrap();
    stage.pass("2026-03-10T11:04:00Z");
    assert_eq!(server.mail().user.as_deref(), Some("mary by token"));
    assert_eq!(count.load(Ordering::SeqCst), 4);
}

//! Pushes of calendar servers (WebDAV-Push): the daemon subscribes, and a change is armed at once.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::http::Http;
use crate::process::Lines;
use crate::rehearsal::event;
use crate::scripted::{Reply, Scripted};
use crate::servers::{Xandikos, certificates, free_port};
use crate::venv::Venv;

/// Longer than anything takes, even on a busy machine.
const SOON: Duration = Duration::from_secs(60);
/// Hints lead to one sync a second, so that a change that follows another one at once waits for that.
const CALM: Duration = Duration::from_millis(2_500);

/// A daemon that polls `url` once an hour, and receives pushes by TLS with the certificate in `folder`.
fn start(folder: &Path, url: &str) -> Daemon {
    fs::set_permissions(folder.join("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
    let port = free_port();
    let text = format!(
        "[ledger]\nurl = 'sqlite:ledger.db'\n[[source]]\nkind = 'caldav'\nname = 'home'\nurl = '{url}'\nuser = 'alice'\n\
         poll_interval = '1h'\n[[sink]]\nkind = 'stdout'\n[admin]\nlisten = '127.0.0.1:{port}'\n\
         certificate = 'server.pem'\nkey = 'server.key'\npush_url = 'https://localhost:{port}/'\n"
    );
    fs::write(folder.join("reveille.toml"), text).unwrap();
    Daemon::start(folder, &["run", "-v", "--config", "reveille.toml"])
}

fn logged(log: &Lines, wanted: &str) {
    assert!(log.find(SOON, |line| line.contains(wanted)).is_some(), "{wanted}\n{}", log.text());
}

#[test]
fn xandikos_pushes_and_a_change_is_armed_at_once() {
    let Some(venv) = Venv::or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    certificates(venv, folder.path());
    let xandikos = Xandikos::start_with(venv, folder.path(), Some(folder.path().join("ca.pem")));
    let mut daemon = start(folder.path(), &xandikos.url());
    logged(&daemon.log, "subscribed to pushes of the server");
    let alice = Http::new(&xandikos.url(), None);
    for name in ["one", "two", "three"] {
        std::thread::park_timeout(CALM);
        let began = Instant::now();
        alice.put(&format!("/alice/calendars/calendar/{name}.ics"), &event(name, "20990101T120000Z", name));
        let is_found = daemon.log.find(SOON, |line| line.contains("sync finished") && line.contains("changes=1"));
        let took = began.elapsed();
        assert!(is_found.is_some(), "{}\n{:?}", daemon.log.text(), xandikos.log());
        println!("PUT to armed: {} ms", took.as_millis());
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
    let log = daemon.log.text();
    assert!(!log.contains("a push is refused"), "{log}");
    assert!(daemon.stop(SOON).success());
}

/// RustiCal's dialect: pushes without a signature. The subscription is made with what it asks for, and one that is
/// refused is logged once.
#[test]
fn a_server_that_does_not_sign_pushes_is_subscribed_to_and_one_that_refuses_is_polled() {
    let Some(venv) = Venv::or_skip() else { return };
    for refuses in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        certificates(venv, folder.path());
        let server = Scripted::start(move |asked| {
            let props = |inside: &str| {
                Reply::multistatus(&format!(
                    "<D:response><D:href>/cal/work/</D:href><D:propstat><D:prop>{inside}</D:prop><D:status>HTTP/1.1 200 \
                     OK</D:status></D:propstat></D:response>"
                ))
            };
            let calendar = "<D:resourcetype><D:collection/><C:calendar xmlns:C=\"urn:ietf:params:xml:ns:caldav\"/>\
                </D:resourcetype><S:getctag xmlns:S=\"http://calendarserver.org/ns/\">1</S:getctag>";
            match asked.method.as_str() {
                "POST" if refuses => Reply::status(403),
                "POST" => Reply::status(201).header("Location", "/push/1"),
                "PROPFIND" if asked.body.contains("webdav-push") => {
                    props("<P:transports xmlns:P=\"https://bitfire.at/webdav-push\"><P:web-push/></P:transports>")
                }
                "PROPFIND" => props(calendar),
                _ => Reply::multistatus(""),
            }
        });
        let mut daemon = start(folder.path(), &format!("{}cal/work/", server.url));
        let wanted = if refuses { "cannot be subscribed to" } else { "subscribed to pushes of the server" };
        logged(&daemon.log, wanted);
        let asked = server.asked();
        let register = asked.iter().find(|asked| asked.method == "POST").unwrap();
        for wanted in
            ["<P:push-register", "<P:push-resource>https://localhost:", "aes128gcm", "p256dh", "content-update"]
        {
            assert!(register.body.contains(wanted), "{wanted}: {}", register.body);
        }
        assert!(daemon.stop(SOON).success());
    }
}

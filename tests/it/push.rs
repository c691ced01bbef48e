//! Pushes of calendar servers (WebDAV-Push): the daemon subscribes, and a change is armed at once.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use reveille::clock::Clock;
use reveille::hints::HintRegistry;
use reveille::push::{PushError, PushReceiver};
use reveille::source::SyncSource as _;
use reveille::time::UtcMillis;

use crate::daemon::Daemon;
use crate::http::Http;
use crate::process::Lines;
use crate::rehearsal::event;
use crate::scripted::{Asked, Reply, Scripted};
use crate::servers::{Xandikos, certificates, free_port};
use crate::venv::Venv;
use crate::watch::{Watch, settings};

/// Longer than anything takes, even on a busy machine.
const SOON: Duration = Duration::from_secs(60);
/// Hints lead to one sync a second, so that a change that follows another one at once waits for that.
const CALM: Duration = Duration::from_millis(2_500);

/// How long a server takes to end a subscription.
const SLOW: Duration = Duration::from_millis(300);

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

/// A server that offers pushes of its calendar /cal/work/ and answers `registered` to a registration.
fn pushing(registered: impl Fn() -> Reply + Send + 'static) -> Scripted {
    Scripted::start(move |asked| pushing_answer(asked, &registered))
}

/// What such a server answers to `asked`.
fn pushing_answer(asked: &Asked, registered: impl Fn() -> Reply) -> Reply {
    let props = |inside: &str| {
        Reply::multistatus(&format!(
            "<D:response><D:href>/cal/work/</D:href><D:propstat><D:prop>{inside}</D:prop><D:status>HTTP/1.1 200 \
             OK</D:status></D:propstat></D:response>"
        ))
    };
    let calendar = "<D:resourcetype><D:collection/><C:calendar xmlns:C=\"urn:ietf:params:xml:ns:caldav\"/>\
        </D:resourcetype><S:getctag xmlns:S=\"http://calendarserver.org/ns/\">1</S:getctag>";
    match asked.method.as_str() {
        "POST" => registered(),
        "PROPFIND" if asked.body.contains("webdav-push") => {
            props("<P:transports xmlns:P=\"https://bitfire.at/webdav-push\"><P:web-push/></P:transports>")
        }
        "PROPFIND" => props(calendar),
        _ => Reply::multistatus(""),
    }
}

/// A subscription is renewed when half of its time is over, keeps its address, to which a push without a signature may
/// be sent, and is ended with its source.
#[test]
fn a_subscription_is_renewed_in_time_and_ended_with_its_source() {
    let expires = "Tue, 10 Mar 2026 14:00:00 GMT";
    let server = pushing(move || Reply::status(201).header("Location", "/push/1").header("Expires", expires));
    let clock = Clock::manual(UtcMillis::parse("2026-03-10T12:00:00Z").unwrap());
    let (source, settings) = settings(&format!("{}cal/work/", server.url), None);
    let mut watch = Watch::at(&source, &settings, clock.clone());
    let receiver = PushReceiver::new("https://reveille.example.org/".parse().unwrap());
    let hints = HintRegistry::default().register("home", None);
    watch.source.receive_pushes(receiver.clone(), hints.clone());
    let mut registered = |at: &str| {
        clock.set(UtcMillis::parse(&format!("2026-03-10T{at}:00Z")).unwrap());
        let report = watch.runtime.block_on(watch.source.sync(&watch.kept)).unwrap();
        let wake = hints.take();
        assert!(!wake.is_hinted, "nothing was pushed");
        let again_in = report.again_in.unwrap().as_secs() / 60;
        let register = server.asked().into_iter().find(|asked| asked.method == "POST");
        let Some(register) = register else { return (None, wake.is_requested, again_in) };
        let address = register.body.split_once("<P:push-resource>").unwrap().1;
        (Some(address.split('<').next().unwrap().to_owned()), wake.is_requested, again_in)
    };
    let (address, is_requested, again_in) = registered("12:00");
    let address = address.unwrap();
    assert_eq!(
        (is_requested, again_in),
        (true, 60),
        "what was changed before is looked for, and it is renewed in time"
    );
    assert_eq!(registered("12:59"), (None, false, 1));
    assert_eq!(registered("13:01"), (Some(address.clone()), false, 29));
    let secret = address.rsplit('/').next().unwrap();
    hints.take();
    watch.runtime.block_on(async { receiver.receive(secret, None, UtcMillis(0)) }).unwrap();
    assert!(hints.take().is_hinted);
    watch.runtime.block_on(watch.source.end_subscriptions());
    assert_eq!(server.lines(), ["DELETE /push/1"]);
    let late = watch.runtime.block_on(async { receiver.receive(secret, None, UtcMillis(0)) });
    assert_eq!(late, Err(PushError::Gone));
}

/// Whatever a server says where its subscription is: no calendar is deleted.
#[test]
fn a_subscription_that_is_said_to_be_at_a_calendar_is_not_deleted() {
    for location in ["/cal/work/", "/cal/work", "/CAL//work/?id=1", "%2E%2E/work/", "/cal/", "/", "."] {
        let server = pushing(move || Reply::status(201).header("Location", location));
        let (source, settings) = settings(&format!("{}cal/work/", server.url), None);
        let mut watch = Watch::at(&source, &settings, Clock::System);
        let hints = HintRegistry::default().register("home", None);
        watch.source.receive_pushes(PushReceiver::new("https://reveille.example.org/".parse().unwrap()), hints);
        watch.runtime.block_on(watch.source.sync(&watch.kept)).unwrap();
        assert!(server.asked().iter().any(|asked| asked.method == "POST"));
        watch.runtime.block_on(watch.source.end_subscriptions());
        assert_eq!(server.lines(), [""; 0], "{location}");
    }
}

/// Nor is one to which the server redirects the end of a subscription.
#[test]
fn the_end_of_a_subscription_follows_no_redirection() {
    for status in [301, 302, 307, 308] {
        let server = Scripted::start(move |asked| match asked.method.as_str() {
            "DELETE" => Reply::status(status).header("Location", "/cal/work/"),
            _ => pushing_answer(asked, || Reply::status(201).header("Location", "/push/1")),
        });
        let (source, settings) = settings(&format!("{}cal/work/", server.url), None);
        let mut watch = Watch::at(&source, &settings, Clock::System);
        let hints = HintRegistry::default().register("home", None);
        watch.source.receive_pushes(PushReceiver::new("https://reveille.example.org/".parse().unwrap()), hints);
        watch.runtime.block_on(watch.source.sync(&watch.kept)).unwrap();
        server.asked();
        watch.runtime.block_on(watch.source.end_subscriptions());
        assert_eq!(server.lines(), ["DELETE /push/1"], "{status}");
    }
}

/// The subscription of an account that is changed is ended before another one is made, and other accounts do not wait
/// for that; that of an account that is removed is ended.
#[test]
fn the_subscription_of_an_account_is_ended_when_it_changes_or_goes() {
    let Some(venv) = Venv::or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    certificates(venv, path);
    let (others_synced, gate) = mpsc::channel::<()>();
    let (requests, requested) = mpsc::channel();
    let server = Scripted::start(move |asked| {
        requests.send((Instant::now(), asked.method.clone())).unwrap();
        if asked.method != "DELETE" {
            return pushing_answer(asked, || Reply::status(201).header("Location", "/push/1"));
        }
        gate.recv_timeout(Duration::from_secs(4)).expect("the other account does not wait");
        Reply::status(204).slow(SLOW, 1)
    });
    fs::set_permissions(path.join("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(path.join("accounts")).unwrap();
    fs::create_dir(path.join("folder")).unwrap();
    let account = |interval: &str| {
        let text =
            format!("kind = 'caldav'\nurl = '{}cal/work/'\nuser = 'alice'\npoll_interval = '{interval}'\n", server.url);
        fs::write(path.join("accounts/one.toml"), text).unwrap();
    };
    account("1h");
    let port = free_port();
    let text = format!(
        "accounts_dir = 'accounts'\n[ledger]\nurl = 'sqlite:ledger.db'\n[[sink]]\nkind = 'stdout'\n[admin]\n\
         listen = '127.0.0.1:{port}'\ncertificate = 'server.pem'\nkey = 'server.key'\n\
         push_url = 'https://localhost:{port}/'\n"
    );
    fs::write(path.join("reveille.toml"), text).unwrap();
    let mut daemon = Daemon::start(path, &["run", "-v", "--config", "reveille.toml"]);
    logged(&daemon.log, "subscribed to pushes of the server");
    requested.try_iter().for_each(drop);
    fs::write(path.join("accounts/two.toml"), "kind = 'directory'\nuser = 'bob'\npath = '../folder'\n").unwrap();
    account("2h");
    logged(&daemon.log, "source.name=\"two\" calendars=");
    others_synced.send(()).unwrap();
    let next = || requested.recv_timeout(SOON).unwrap();
    // What it has just subscribed to it may still look for changes of.
    let deleted = std::iter::repeat_with(next).find(|(_, method)| method == "DELETE").unwrap().0;
    let (began, _) = next();
    assert!(began.duration_since(deleted) >= SLOW, "{:?}", began.duration_since(deleted));
    logged(&daemon.log, "subscribed to pushes of the server");
    others_synced.send(()).unwrap();
    fs::remove_file(path.join("accounts/one.toml")).unwrap();
    assert!(std::iter::repeat_with(next).any(|(_, method)| method == "DELETE"));
    assert!(daemon.stop(SOON).success());
}

/// A server that refuses the login at a registration is not asked again at once, and what is accepted later is new.
#[test]
fn after_a_failure_the_server_is_left_alone_for_a_while() {
    let posts = AtomicU32::new(0);
    let server = pushing(move || Reply::status(if posts.fetch_add(1, Ordering::Relaxed) == 0 { 401 } else { 201 }));
    let clock = Clock::manual(UtcMillis::parse("2026-03-10T12:00:00Z").unwrap());
    let (source, settings) = settings(&format!("{}cal/work/", server.url), None);
    let mut watch = Watch::at(&source, &settings, clock.clone());
    let hints = HintRegistry::default().register("home", None);
    watch.source.receive_pushes(PushReceiver::new("https://reveille.example.org/".parse().unwrap()), hints.clone());
    let mut synced = |at: &str| {
        clock.set(UtcMillis::parse(&format!("2026-03-10T{at}:00Z")).unwrap());
        watch.runtime.block_on(watch.source.sync(&watch.kept)).unwrap();
        let is_asked = server.asked().iter().any(|asked| asked.body.contains("webdav-push"));
        (is_asked, hints.take().is_requested)
    };
    assert_eq!(synced("12:00"), (true, false));
    assert_eq!(synced("12:14"), (false, false));
    assert_eq!(synced("12:16"), (true, true));
}

/// RustiCal's dialect: pushes without a signature. The subscription is made with what it asks for, and one that is
/// refused is logged once.
#[test]
fn a_server_that_does_not_sign_pushes_is_subscribed_to_and_one_that_refuses_is_polled() {
    let Some(venv) = Venv::or_skip() else { return };
    for refuses in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        certificates(venv, folder.path());
        let server =
            pushing(
                move || if refuses { Reply::status(403) } else { Reply::status(201).header("Location", "/push/1") },
            );
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
        let checked = |ok: bool| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_reveille"));
            command.args(["check", "--offline", "--json", "--config", "reveille.toml"]).current_dir(folder.path());
            let told = String::from_utf8(command.env_remove("REVEILLE_CONFIG").output().unwrap().stdout).unwrap();
            let wanted = format!("\"what\":\"admin\",\"name\":\"certificate\",\"kind\":\"\",\"ok\":{ok}");
            assert!(told.contains(&wanted), "{told}");
        };
        checked(true);
        fs::write(folder.path().join("server.key"), "no key").unwrap();
        checked(false);
    }
}

//! The way to a server: one of its addresses swallows packets, or the server is down for a while.

use std::fs;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, TcpStream};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
use serde_json::json;

use crate::daemon::{Daemon, undisturbed};
use crate::mailserver::{MailServer, Security};
use crate::quirks::Server;
use crate::rehearsal::{Stage, event};
use crate::venv::Venv;

use super::{SOON, in_a_namespace, in_seconds, wait_until};

/// A socket on the IPv6 loopback address that takes no connection, and does not refuse one either.
struct Swallowing {
    _socket: OwnedFd,
    _waiting: TcpStream,
}

impl Swallowing {
    fn at(port: u16) -> Swallowing {
        let address = SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::LOCALHOST, port, 0, 0));
        let socket = socket_with(AddressFamily::INET6, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        bind(&socket, &address).unwrap();
        listen(&socket, 0).unwrap();
        // As many as wait for being accepted; the next one is not answered.
        let waiting = TcpStream::connect(address).unwrap();
        let unanswered = TcpStream::connect_timeout(&address, Duration::from_millis(200));
        assert_eq!(unanswered.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
        Swallowing { _socket: socket, _waiting: waiting }
    }
}

/// Adds `text` to the configuration of `stage`.
fn configure(stage: &Stage, text: &str) {
    let file = stage.path().join("reveille.toml");
    let before = fs::read_to_string(&file).unwrap();
    fs::write(file, before + text).unwrap();
}

fn mail(host: &str, port: u16) -> String {
    format!(
        "[[sink]]\nkind = \"email\"\nname = \"mail\"\nurl = \"smtp+plain://mary@{host}:{port}\"\nactions = [\"display\"]\n\
         recipients = [\"mary@example.org\"]\nfrom = \"calendar@example.org\"\npassword_env = \"REVEILLE_TEST_PASSWORD\"\n"
    )
}

#[test]
fn an_address_that_swallows_packets_holds_up_neither_mail_nor_calendars() {
    let Some(venv) = Venv::or_skip() else { return };
    if !in_a_namespace("faults::network::an_address_that_swallows_packets_holds_up_neither_mail_nor_calendars") {
        return;
    }
    let stage = Stage::new();
    fs::write(stage.file("x.ics"), event("x", "20300101T090000Z", "x")).unwrap();
    let hosts = stage.path().join("hosts");
    fs::write(&hosts, "::1 localhost\n127.0.0.1 localhost\n").unwrap();
    assert!(Command::new("mount").args(["--bind"]).arg(&hosts).arg("/etc/hosts").status().unwrap().success());
    let folder = tempfile::tempdir().unwrap();
    let (server, calendars) = (MailServer::start(venv, folder.path(), Security::Plain), Server::start());
    let port = calendars.scripted.url.trim_end_matches('/').rsplit(':').next().unwrap().parse().unwrap();
    let _swallowing = (Swallowing::at(server.port), Swallowing::at(port));
    let account = format!("[[source]]\nkind = \"caldav\"\nname = \"mary\"\nurl = \"http://localhost:{port}/\"\n");
    configure(&stage, &(mail("localhost", server.port) + &account));
    let began = Instant::now();
    let mut check = Daemon::start_with(stage.path(), &["check"], &[("REVEILLE_TEST_PASSWORD", "secret")]);
    let status = check.wait(SOON);
    let found = check.out.text();
    assert!(status.success() && found.contains("calendars watched"), "{found}");
    println!("both answered within {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn mails_that_wait_for_a_server_go_out_together_once_it_answers() {
    let Some(venv) = Venv::or_skip() else { return };
    let _quiet = undisturbed();
    let folder = tempfile::tempdir().unwrap();
    let mut server = MailServer::start(venv, folder.path(), Security::Plain);
    server.stop();
    let stage = Stage::new();
    configure(&stage, &mail("127.0.0.1", server.port));
    let mut daemon = Daemon::start_with(stage.path(), &["run"], &[("REVEILLE_TEST_PASSWORD", "secret")]);
    assert!(daemon.log.find(SOON, |line| line.contains("sync finished")).is_some(), "{}", daemon.log.text());
    let due = in_seconds(4);
    for n in 0..20 {
        let due = due.saturating_add(SignedDuration::from_secs(n / 2));
        fs::write(stage.file(&format!("{n}.ics")), event(&n.to_string(), &due.basic(), "x")).unwrap();
    }
    let told = |line: &str| line.contains("nothing can be delivered now") && line.contains("refused");
    assert!(daemon.log.find(SOON, told).is_some(), "{}", daemon.log.text());
    wait_until(|| stage.alarms().len() == 20, || daemon.log.text());
    server.start_again();
    let back = Instant::now();
    (0..20).for_each(|_| drop(server.mail()));
    println!("20 mails went out within {:?} of the server's return", back.elapsed());
    assert!(back.elapsed() < Duration::from_secs(12), "{:?}", back.elapsed());
    let all = || stage.listing(&["deliveries", "--limit", "100"]);
    wait_until(|| all().iter().all(|one| one["state"] == "delivered"), || format!("{:?}", all()));
    let mails: Vec<_> = all().into_iter().filter(|one| one["sink"] == "mail").collect();
    assert_eq!(mails.len(), 20);
    // That the server was down was no attempt of theirs.
    assert!(mails.iter().all(|one| one["attempts"] == json!(1)), "{mails:?}");
    assert_eq!(daemon.log.all().iter().filter(|line| told(line)).count(), 1, "it is told once");
    assert!(daemon.stop(SOON).success());
}

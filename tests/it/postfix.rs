//! Mails through a real Postfix: what it refuses of us and of recipients, how slow it may be, and how it limits its
//! clients. What the ledger says is compared with what Postfix delivered. Skipped where Postfix is not installed, which
//! is said on standard error.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::daemon::Daemon;
use crate::rehearsal::Stage;
use crate::servers::free_port;

/// Longer than anything takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Whom the mailboxes belong to: nobody.
const NOBODY: u32 = 65_534;
/// Between asking for a free port and its use somebody else may take it.
const START_ATTEMPTS: usize = 3;

/// Postfix with a configuration, a queue and mailboxes of its own, on a loopback port.
struct Postfix {
    folder: tempfile::TempDir,
    port: u16,
    running: Option<Child>,
}

impl Postfix {
    /// Starts one with `settings` in its main.cf. None where there is no Postfix, or nobody who may start it.
    fn or_skip(settings: &str) -> Option<Postfix> {
        let is_installed =
            Path::new("/usr/sbin/postfix").exists() && Path::new("/usr/lib/postfix/sbin/virtual").exists();
        if !is_installed || !rustix::process::geteuid().is_root() {
            let test = std::thread::current().name().unwrap_or("a live test").to_owned();
            let said = format!(
                "SKIPPED because Postfix is not installed (apt-get install postfix), or for want of root: {test}\n"
            );
            // Not eprintln!, which the test runner keeps to itself for tests that pass.
            std::io::stderr().write_all(said.as_bytes()).expect("stderr");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("pf").tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["etc", "queue", "data", "boxes"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        chown(folder.path().join("boxes"), Some(NOBODY), Some(NOBODY)).unwrap();
        let status = Command::new("chown").arg("postfix").arg(folder.path().join("data")).status().unwrap();
        assert!(status.success());
        fs::write(folder.path().join("known"), "mary@example.org all/\nanna@example.org all/\n").unwrap();
        let mut postfix = Postfix { folder, port: 0, running: None };
        postfix.start(settings);
        Some(postfix)
    }

    fn start(&mut self, settings: &str) {
        let (mut why, began) = (String::new(), Instant::now());
        let is_known = self.port != 0;
        // What ends holds on to a known port for a moment.
        for _ in (0..).take_while(|n| *n < START_ATTEMPTS || (is_known && began.elapsed() < PATIENCE)) {
            if !is_known {
                self.port = free_port();
            }
            self.configure(settings);
            let mut command = Command::new("/usr/sbin/postfix");
            command.arg("-c").arg(self.folder.path().join("etc")).arg("start-fg");
            let output = || Stdio::from(fs::File::create(self.folder.path().join("output")).unwrap());
            self.running = Some(command.stdin(Stdio::null()).stdout(output()).stderr(output()).spawn().unwrap());
            if self.greets() {
                return;
            }
            why = self.log();
            self.stop();
        }
        panic!("Postfix does not start:\n{why}");
    }

    /// Starts it anew, with other settings on the same port.
    fn change(&mut self, settings: &str) {
        self.stop();
        self.start(settings);
    }

    fn configure(&self, settings: &str) {
        let (path, port) = (self.folder.path().display(), self.port);
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {path}/queue\ndata_directory = {path}/data\n\
             command_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\nmail_owner = postfix\n\
             setgid_group = postdrop\nmyhostname = mail.example.org\nmydestination =\nmynetworks =\n\
             inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmaillog_file = {path}/log\nmaillog_file_prefixes = {path}\n\
             local_recipient_maps =\nalias_maps =\nalias_database =\nvirtual_mailbox_domains = example.org\n\
             virtual_mailbox_base = {path}/boxes\nvirtual_mailbox_maps = texthash:{path}/known\n\
             virtual_uid_maps = static:{NOBODY}\nvirtual_gid_maps = static:{NOBODY}\nvirtual_minimum_uid = 1\n\
             smtpd_relay_restrictions = reject_unauth_destination\n{settings}\n"
        );
        fs::write(self.folder.path().join("etc/main.cf"), main).unwrap();
        let master = format!(
            "127.0.0.1:{port} inet n - n - - smtpd\npostlog unix-dgram n - n - 1 postlogd\ncleanup unix n - n - 0 cleanup\n\
             qmgr unix n - n 300 1 qmgr\nrewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\n\
             defer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\nverify unix - - n - 1 verify\n\
             proxymap unix - - n - - proxymap\nerror unix - - n - - error\nretry unix - - n - - error\n\
             virtual unix - n n - - virtual\nanvil unix - - n - 1 anvil\n"
        );
        fs::write(self.folder.path().join("etc/master.cf"), master).unwrap();
    }

    /// Whether it greets who connects, before it ends or it takes too long.
    fn greets(&mut self) -> bool {
        let (port, began) = (self.port, Instant::now());
        while began.elapsed() < PATIENCE {
            let mut line = String::new();
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", port))
                && stream.set_read_timeout(Some(PATIENCE)).is_ok()
                && BufReader::new(stream).read_line(&mut line).is_ok()
                && line.starts_with("220 mail.example.org")
            {
                return true;
            }
            if self.running.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None))) {
                return false;
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        false
    }

    fn stop(&mut self) {
        let Some(mut child) = self.running.take() else { return };
        let written = fs::read_to_string(self.folder.path().join("queue/pid/master.pid")).unwrap_or_default();
        match written.trim().parse().ok().and_then(Pid::from_raw) {
            // The script that started it ends with it.
            Some(master) if kill_process(master, Signal::TERM).is_ok() => {}
            _ => drop(child.kill()),
        }
        let _ = child.wait();
    }

    fn log(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        read("output") + &read("log")
    }

    /// The mails that arrived, by recipient and subject; waits until Postfix has nothing left to do.
    fn mails(&self) -> BTreeMap<(String, String), usize> {
        let began = Instant::now();
        loop {
            let log = self.log();
            let count = |word: &str| log.matches(word).count();
            // A connection that is open when Postfix is stopped ends without a line.
            let this_run = log.rsplit("daemon started").next().unwrap_or_default();
            let of_this_run = |word: &str| this_run.matches(word).count();
            if of_this_run(": connect from") == of_this_run(": disconnect from")
                && count("(queue active)") == count(": removed")
            {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "{log}");
            std::thread::park_timeout(Duration::from_millis(20));
        }
        let mut mails = BTreeMap::new();
        for entry in fs::read_dir(self.folder.path().join("boxes/all/new")).into_iter().flatten() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            let header =
                |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
            *mails.entry((header("Delivered-To: "), header("Subject: "))).or_default() += 1;
        }
        mails
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A stage with so many events, whose alarms fire at 11:00 by mail to `recipients`.
fn stage(postfix: &Postfix, events: usize, recipients: &str, extra: &str) -> Stage {
    let stage = Stage::new();
    configure(&stage, postfix, recipients, extra);
    for n in 0..events {
        let text = crate::rehearsal::event(&format!("{n}"), "20260310T110000Z", &format!("event {n}"));
        let alarm = format!("ACTION:EMAIL\r\nSUMMARY:event {n}\r\nATTENDEE:mailto:mary@example.org");
        let text = text.replace("ACTION:DISPLAY", &alarm);
        fs::write(stage.file(&format!("{n}.ics")), text).unwrap();
    }
    stage.pass("2026-03-10T10:00:00Z");
    stage
}

fn configure(stage: &Stage, postfix: &Postfix, recipients: &str, extra: &str) {
    let (path, port) = (stage.path().display(), postfix.port);
    let text = format!(
        "[ledger]\nurl = \"sqlite://{path}/ledger.db\"\n[[source]]\nkind = \"directory\"\nname = \"home\"\n\
         path = \"{path}/watched\"\nuser = \"mary@example.org\"\n[[sink]]\nkind = \"email\"\nname = \"mail\"\n\
         url = \"smtp+plain://127.0.0.1:{port}\"\nfrom = \"Calendar <calendar@example.org>\"\nrecipients = {recipients}\n{extra}\n"
    );
    fs::write(stage.path().join("reveille.toml"), text).unwrap();
}

const MARY: &str = "[\"mary@example.org\"]";

fn pass(stage: &Stage, instant: &str) -> (Output, String) {
    let output = stage.reveille(&["run", "--once", "--at", instant]);
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, log)
}

fn deliveries(stage: &Stage, state: &str) -> Vec<Value> {
    stage.listing(&["deliveries"]).into_iter().filter(|delivery| delivery["state"] == state).collect()
}

/// Each of so many events came to each of `recipients` once, says Postfix; and the ledger says that they were
/// delivered.
fn arrived_once(postfix: &Postfix, stage: &Stage, events: usize, recipients: &[&str]) {
    let mails = postfix.mails();
    assert!(
        mails.len() == events * recipients.len() && mails.values().all(|count| *count == 1),
        "{mails:?}\n{}",
        postfix.log()
    );
    assert!(mails.keys().all(|(to, _)| recipients.contains(&to.as_str())), "{mails:?}");
    let delivered = deliveries(stage, "delivered");
    assert_eq!(delivered.len(), events * recipients.len(), "{delivered:?}");
}

/// What Postfix refuses of us: all wait, none is given up, and none counts an attempt.
fn all_wait(stage: &Stage, log: &str, events: usize, answer: &str) {
    assert!(log.contains("what the settings say is not accepted"), "{log}");
    let pending = deliveries(stage, "pending");
    assert_eq!((pending.len(), stage.listing(&["deliveries"]).len()), (events, events), "{log}");
    for delivery in &pending {
        assert_eq!(delivery["attempts"], 0, "{delivery}");
        assert!(delivery["answer"].as_str().is_none_or(|said| said.contains(answer)), "{delivery}");
    }
    assert!(pending.iter().any(|delivery| delivery["answer"].is_string()), "{pending:?}");
}

#[test]
fn a_sender_that_postfix_refuses_makes_all_mails_wait_until_it_is_accepted() {
    for delay in ["yes", "no"] {
        let refusal = format!(
            "smtpd_delay_reject = {delay}\nsmtpd_sender_restrictions = check_sender_access inline:{{{{calendar@example.org = REJECT not you}}}}"
        );
        let Some(mut postfix) = Postfix::or_skip(&refusal) else { return };
        let stage = stage(&postfix, 4, MARY, "");
        let (output, log) = pass(&stage, "2026-03-10T11:00:01Z");
        assert_eq!(output.status.code(), Some(1), "{log}");
        all_wait(&stage, &log, 4, "Sender address rejected: not you");
        assert_eq!(postfix.mails(), BTreeMap::new());
        postfix.change(&format!("smtpd_delay_reject = {delay}"));
        let (output, log) = pass(&stage, "2026-03-10T11:30:00Z");
        assert!(output.status.success(), "{log}");
        arrived_once(&postfix, &stage, 4, &["mary@example.org"]);
    }
}

#[test]
fn a_name_that_postfix_refuses_makes_all_mails_wait_until_it_is_another() {
    for delay in ["yes", "no"] {
        let settings = format!(
            "smtpd_delay_reject = {delay}\nsmtpd_helo_required = yes\n\
             smtpd_helo_restrictions = check_helo_access inline:{{{{laptop.example.org = REJECT who}}}}"
        );
        let Some(postfix) = Postfix::or_skip(&settings) else { return };
        let stage = stage(&postfix, 4, MARY, "helo = \"laptop.example.org\"");
        let (output, log) = pass(&stage, "2026-03-10T11:00:01Z");
        assert_eq!(output.status.code(), Some(1), "{log}");
        all_wait(&stage, &log, 4, "Helo command rejected: who");
        configure(&stage, &postfix, MARY, "helo = \"calendar.example.org\"");
        let (output, log) = pass(&stage, "2026-03-10T11:30:00Z");
        assert!(output.status.success(), "{log}");
        arrived_once(&postfix, &stage, 4, &["mary@example.org"]);
    }
}

#[test]
fn a_running_daemon_sends_at_sync_what_postfix_has_refused_of_its_sender() {
    let refusal = "smtpd_sender_restrictions = check_sender_access inline:{{calendar@example.org = REJECT not you}}";
    let Some(mut postfix) = Postfix::or_skip(refusal) else { return };
    let stage = stage(&postfix, 4, MARY, "");
    let (_, log) = pass(&stage, "2026-03-10T11:00:01Z");
    all_wait(&stage, &log, 4, "Sender address rejected: not you");
    postfix.stop();
    let text = fs::read_to_string(stage.path().join("reveille.toml")).unwrap();
    fs::write(stage.path().join("reveille.toml"), text + "give_up_after = \"36500d\"\n").unwrap();
    postfix.start(refusal);
    let mut daemon = Daemon::start(stage.path(), &["run"]);
    daemon
        .log
        .find(PATIENCE, |line| line.contains("what the settings say is not accepted"))
        .unwrap_or_else(|| panic!("{}", daemon.log.text()));
    assert_eq!(deliveries(&stage, "pending").len(), 4);
    postfix.change("");
    assert!(stage.reveille(&["sync"]).status.success());
    daemon
        .log
        .find(PATIENCE, |line| line.contains("alarms can be delivered again"))
        .unwrap_or_else(|| panic!("{}", daemon.log.text()));
    assert!(daemon.stop(PATIENCE).success());
    arrived_once(&postfix, &stage, 4, &["mary@example.org"]);
}

#[test]
fn a_mail_whose_end_postfix_thinks_about_arrives_once() {
    let Some(postfix) = Postfix::or_skip("smtpd_end_of_data_restrictions = sleep 2") else { return };
    let stage = stage(&postfix, 4, MARY, "");
    let (output, log) = pass(&stage, "2026-03-10T11:00:01Z");
    assert!(output.status.success(), "{log}");
    pass(&stage, "2026-03-10T11:30:00Z");
    arrived_once(&postfix, &stage, 4, &["mary@example.org"]);
}

#[test]
fn what_is_above_the_limit_of_postfix_arrives_once_later() {
    let settings =
        "smtpd_client_message_rate_limit = 2\nanvil_rate_time_unit = 2s\nsmtpd_client_event_limit_exceptions =";
    let Some(postfix) = Postfix::or_skip(settings) else { return };
    let stage = stage(&postfix, 6, MARY, "");
    let (output, log) = pass(&stage, "2026-03-10T11:00:01Z");
    assert_eq!(output.status.code(), Some(1), "{log}");
    let pending = deliveries(&stage, "pending");
    assert!((1..=4).contains(&pending.len()), "{pending:?}");
    let limited = |delivery: &Value| {
        delivery["answer"].as_str().is_some_and(|said| said.contains("450 4.7.1 Error: too much mail"))
    };
    assert!(pending.iter().any(limited), "{pending:?}");
    let began = Instant::now();
    let mut minute = 0;
    while !deliveries(&stage, "pending").is_empty() {
        assert!(began.elapsed() < PATIENCE, "{:?}", stage.listing(&["deliveries"]));
        minute += 1;
        // The hours of Reveille pass faster than the seconds of Postfix.
        pass(&stage, &format!("2026-03-10T{:02}:{:02}:00Z", 12 + minute / 60, minute % 60));
    }
    arrived_once(&postfix, &stage, 6, &["mary@example.org"]);
}

#[test]
fn one_recipient_that_postfix_does_not_know_fails_and_the_others_get_their_mails() {
    let Some(postfix) = Postfix::or_skip("") else { return };
    let stage = stage(&postfix, 3, "[\"mary@example.org\", \"bob@example.org\", \"anna@example.org\"]", "");
    let (output, log) = pass(&stage, "2026-03-10T11:00:01Z");
    assert_eq!(output.status.code(), Some(1), "{log}");
    pass(&stage, "2026-03-10T11:30:00Z");
    let failed = deliveries(&stage, "failed");
    assert_eq!(failed.len(), 3, "{failed:?}");
    for delivery in &failed {
        assert_eq!(delivery["recipient"], "bob@example.org", "{delivery}");
        assert!(delivery["answer"].as_str().is_some_and(|said| said.contains("550 5.1.1")), "{delivery}");
    }
    arrived_once(&postfix, &stage, 3, &["mary@example.org", "anna@example.org"]);
}

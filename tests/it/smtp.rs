//! The e-mail sink against a real mail server that works, misbehaves and goes away; and against hostile ones.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reveille::calendar::zone::Zones;
use reveille::clock::Clock;
use reveille::config::{LimitsConfig, SecretRef};

use reveille::delivery::deadline::SendDeadline;
use reveille::delivery::gate::Closure;
use reveille::delivery::sink::any_sink::Sink;
use reveille::delivery::sink::email::{EmailSettings, LoginSecret, LoginSettings, MailTemplates, SmtpSecurity};
use reveille::delivery::sink::{
    ClaimedDelivery, Finished, Outcome, Reader, Readers, Recipients, SinkConfig, SinkContext, Transport as _,
};
use reveille::tables::SecretSource;
use reveille::time::UtcMillis;
use serde_json::{Value, json};

use crate::mailserver::{Mail, MailServer, Security};
use crate::venv::Venv;

/// Long enough for a busy machine; nothing waits this long when all is well.
const PATIENT: Duration = Duration::from_secs(30);
/// For servers that hang: this is waited for.
const IMPATIENT: Duration = Duration::from_millis(400);

/// How a sink is set up; the usual is what works.
struct Setting {
    host: &'static str,
    port: u16,
    security: SmtpSecurity,
    password: &'static str,
    ca_file: Option<PathBuf>,
    /// For each step.
    timeout: Duration,
    max_reply_size: usize,
    server_name: &'static str,
    helo: Option<&'static str>,
    max_mails_per_hour: usize,
    templates: MailTemplates,
}

impl Setting {
    fn of(server: &MailServer, security: SmtpSecurity) -> Setting {
        let ca_file = (security != SmtpSecurity::Plain).then(|| server.ca_file());
        let port = server.port;
        let max_reply_size = LimitsConfig::default().max_reply_size;
        let (server_name, helo) = ("reveille.test", None);
        Setting {
            host: "127.0.0.1",
            port,
            security,
            password: "secret",
            ca_file,
            timeout: PATIENT,
            max_reply_size,
            server_name,
            helo,
            max_mails_per_hour: 500,
            templates: MailTemplates::built_in().unwrap(),
        }
    }

    fn sink(self) -> Sink {
        let settings = EmailSettings {
            host: self.host.into(),
            port: self.port,
            security: self.security,
            allow_plaintext: false,
            login: Some(LoginSettings {
                username: "mary".into(),
                secret: LoginSecret::Password(SecretSource::Kept(SecretRef::inline(self.password))),
            }),
            helo: self.helo.map(str::to_owned),
            from: "Kalender für alle <calendar@example.org>".into(),
            recipients: Recipients::Own,
            max_connections: 4,
            max_mails_per_hour: self.max_mails_per_hour,
            command_timeout: self.timeout,
            data_timeout: self.timeout,
            ca_file: self.ca_file,
            list_unsubscribe: None,
            templates: Arc::new(self.templates),
        };
        let mary = Reader { zone: Some("Europe/Berlin".into()), locale: None };
        let sink = SinkConfig {
            name: "mail".into(),
            actions: vec!["email".into()],
            users: vec![],
            calendars: vec![],
            filter: Default::default(),
            events: true,
            timeout: self.timeout,
            give_up_after: Duration::from_secs(86_400),
            settings: Arc::new(settings),
        };
        let context = SinkContext {
            clock: Clock::manual(UtcMillis::parse("2026-03-10T11:00:00.250Z").unwrap()),
            zones: Zones::bundled(),
            server_name: self.server_name.into(),
            max_reply_size: self.max_reply_size,
            deadline: SendDeadline::default(),
            readers: Readers::new(HashMap::from([("mary".into(), mary)]), Reader::default()),
        };
        Sink::open(&sink, &context).unwrap()
    }
}

pub fn notification(id: &str) -> Value {
    json!({
        "event": "CalendarAlarm", "pid": 1, "serverFQDN": "reveille.test", "alarmTime": "20260310T110000Z",
        "alarmRecipients": ["mailto:mary@example.org"], "userId": "mary", "calendarName": "Work", "uid": "u1",
        "action": "email", "summary": "Frühstück", "description": "", "location": "", "timezone": "Europe/Berlin",
        "start": "20260310T120000Z", "end": "20260310T130000Z", "allDay": 0, "attendeeNames": [],
        "attendeeEmails": [], "attendeeStatus": [], "organizer": "", "calendarId": "work", "calendarColor": "",
        "calendarOwner": "mary", "recurrenceId": "", "alertId": "a", "alarmSummary": "", "alarmDescription": "",
        "component": "VEVENT", "notificationId": id, "timestamp": "2026-03-10T11:00:00.010Z",
    })
}

fn delivery(recipient: &str, notification: &Value) -> ClaimedDelivery {
    ClaimedDelivery {
        firing: 1,
        recipient: recipient.into(),
        notification: notification.to_string().into(),
        fired_at: UtcMillis(0),
        attempts: 0,
        unknown: 0,
    }
}

fn to(recipient: &str) -> ClaimedDelivery {
    delivery(recipient, &notification("n1"))
}

/// The answer of the only outcome, which must be that it is to be tried later.
fn retry(outcomes: &[Outcome]) -> &str {
    match outcomes {
        [Outcome::Retry { response, after: None } | Outcome::Down { response, .. }] => response,
        other => panic!("{other:?}"),
    }
}

/// The outcomes of `deliveries`, however long they take.
async fn sent(sink: &Sink, deliveries: &[ClaimedDelivery]) -> Vec<Outcome> {
    let number = |(firing, delivery): (i64, &ClaimedDelivery)| ClaimedDelivery { firing, ..delivery.clone() };
    let deliveries: Vec<ClaimedDelivery> = (0..).zip(deliveries).map(number).collect();
    let mut outcomes = vec![Outcome::NotAttempted; deliveries.len()];
    loop {
        let not_attempted = |delivery: &&ClaimedDelivery| outcomes[delivery.firing as usize] == Outcome::NotAttempted;
        let batch: Vec<ClaimedDelivery> = deliveries.iter().filter(not_attempted).cloned().collect();
        if batch.is_empty() && !outcomes.contains(&Outcome::InFlight) {
            return outcomes;
        }
        if sink.batch() > 0 && !batch.is_empty() {
            for (delivery, outcome) in batch.iter().zip(sink.send(&batch).await) {
                outcomes[delivery.firing as usize] = outcome;
            }
        } else {
            for finished in sink.finished().await {
                outcomes[finished.firing as usize] = finished.outcome;
            }
        }
    }
}

/// Waits for `mails` mails.
fn take(server: &MailServer, mails: usize) -> Vec<Mail> {
    (0..mails).map(|_| server.mail()).collect()
}

#[tokio::test]
async fn a_mail_arrives_as_it_was_meant_over_starttls_with_a_login() {
    let Some(venv) = Venv::or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = MailServer::start(venv, folder.path(), Security::StartTls);
    let sink = Setting::of(&server, SmtpSecurity::StartTls).sink();
    let found = sink.check().await.unwrap();
    assert_eq!(
        found,
        format!("127.0.0.1:{} answers (STARTTLS, logged in), and takes mails from calendar@example.org", server.port)
    );

    let mut event = notification("n1");
    event["description"] = format!(".leading dot\n..\n.\nlong: {}\nend", "Ä0123456789".repeat(300)).into();
    event["location"] = "<b>Café</b> & Bar".into();
    assert_eq!(sent(&sink, &[delivery("mailto:mary@example.org", &event)]).await, [Outcome::Delivered]);

    let mail = server.mail();
    assert_eq!((mail.from.as_str(), &mail.to[..]), ("calendar@example.org", &["mary@example.org".to_owned()][..]));
    assert_eq!((mail.tls, mail.user.as_deref(), mail.kind.as_str()), (true, Some("mary"), "multipart/alternative"));
    assert!(mail.octets.is_ascii() && mail.octets.split("\r\n").all(|line| line.len() <= 998), "{}", mail.octets);
    // Encoded line ends would make one long line of a text (RFC 2045, 6.7, rule 4).
    assert!(!mail.octets.contains("=0D") && !mail.octets.contains("=0A"), "{}", mail.octets);
    assert_eq!(mail.header("Subject"), "Frühstück – Tue, 10 Mar 2026, 13:00");
    assert_eq!(mail.header("From"), "Kalender für alle <calendar@example.org>");
    assert_eq!(mail.header("To"), "mary@example.org");
    assert_eq!(mail.header("Date"), "Tue, 10 Mar 2026 11:00:00 +0000");
    assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
    assert_eq!(mail.header("X-Reveille-Notification-Id"), "n1");
    assert_eq!(mail.header("MIME-Version"), "1.0");
    let id = mail.header("Message-ID");
    assert!(id.starts_with('<') && id.ends_with("@example.org>"), "{id}");

    let [text, html] = mail.parts.as_slice() else { panic!("{:?}", mail.parts) };
    assert_eq!((text.kind.as_str(), html.kind.as_str()), ("text/plain", "text/html"));
    assert!(text.text.contains("\nWhen:     Tuesday, 10 March 2026, 13:00–14:00 (Europe/Berlin)\n"), "{}", text.text);
    assert!(text.text.contains("\nWhere:    <b>Café</b> & Bar\n"), "{}", text.text);
    assert!(text.text.contains("\n\n.leading dot\n..\n.\nlong: Ä0123456789Ä"), "{}", text.text);
    assert!(text.text.contains("\n\nThe description goes on: the calendar has all of it.\n"), "{}", text.text);
    assert!(html.text.contains(">&lt;b&gt;Café&lt;/b&gt; &amp; Bar</span>"), "{}", html.text);
    assert!(html.text.contains(">.leading dot<br>\n..<br>\n.<br>\nlong: Ä0123456789"), "{}", html.text);
    assert!(!text.text.contains("late"), "{}", text.text);
}

#[tokio::test]
async fn implicit_tls_works_and_strangers_are_not_trusted() {
    let Some(venv) = Venv::or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = MailServer::start(venv, folder.path(), Security::Implicit);
    let usual = || Setting::of(&server, SmtpSecurity::Implicit);
    let sink = Setting { host: "localhost", ..usual() }.sink();
    assert_eq!(sent(&sink, &[to("mary@example.org")]).await, [Outcome::Delivered]);
    assert!(server.mail().tls);

    let other = tempfile::tempdir().unwrap();
    crate::servers::certificates(venv, other.path());
    let stranger = Setting { ca_file: Some(other.path().join("ca.pem")), ..usual() }.sink();
    let outcomes = sent(&stranger, &[to("mary@example.org")]).await;
    assert!(
        retry(&outcomes).contains("its certificate comes from an authority that this machine does not"),
        "{outcomes:?}"
    );
    assert!(stranger.check().await.unwrap_err().to_string().contains("certificate"));
    assert_eq!(server.counts().0, 1);
}

#[tokio::test]
async fn a_wrong_password_can_be_mended() {
    let Some(venv) = Venv::or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = MailServer::start(venv, folder.path(), Security::Plain);
    let sink = Setting { password: "wrong", ..Setting::of(&server, SmtpSecurity::Plain) }.sink();
    let outcomes = sent(&sink, &[to("mary@example.org")]).await;
    assert!(retry(&outcomes).contains("at AUTH: 535 5.7.8 "), "{outcomes:?}");
}

#[tokio::test]
async fn a_server_that_is_down_then_busy_then_up_gets_the_mail_once() {
    let Some(venv) = Venv::or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut server = MailServer::start(venv, folder.path(), Security::Plain);
    let sink = Setting::of(&server, SmtpSecurity::Plain).sink();
    let mail = [to("mary@example.org")];

    server.stop();
    let outcomes = sent(&sink, &mail).await;
    assert!(retry(&outcomes).contains("refused"), "{outcomes:?}");
    server.start_again();
    for step in ["MAIL", "RCPT", "DATA", "body"] {
        server.rules(&json!({ step: "451 4.3.0 busy, come back" }).to_string());
        let outcomes = sent(&sink, &mail).await;
        assert!(retry(&outcomes).ends_with("451 4.3.0 busy, come back"), "{step}: {outcomes:?}");
        // Before a recipient is named it is busy for all.
        assert_eq!(matches!(outcomes[..], [Outcome::Down { .. }]), step == "MAIL", "{step}");
    }
    server.rules("{}");
    assert_eq!(sent(&sink, &mail).await, [Outcome::Delivered]);
    server.mail();
    assert_eq!(server.counts().0, 1);
}

#[tokio::test]
async fn what_is_refused_of_us_is_no_mails_fault_and_all_of_them_wait() {
    let Some(venv) = Venv::or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = MailServer::start(venv, folder.path(), Security::Plain);
    let sink = Setting::of(&server, SmtpSecurity::Plain).sink();
    let deliveries = ["bob@example.org", "mary@example.org", "eve@example.org"].map(to);
    // As Postfix, Exim and Exchange say it; Postfix waits with it until a recipient is named.
    for (step, answer) in [
        ("greeting", "554 5.7.1 No service for you"),
        ("MAIL", "550 5.1.0 <calendar@example.org>: Sender unknown"),
        ("MAIL", "553 5.7.1 <calendar@example.org>: Sender address rejected: not owned by user mary"),
        ("MAIL", "530 5.7.0 Authentication required"),
        ("RCPT", "553 5.7.1 <calendar@example.org>: Sender address rejected: not owned by user mary"),
        ("RCPT", "504 5.5.2 <laptop>: Helo command rejected: need fully-qualified hostname"),
        ("RCPT", "550 5.1.8 Domain of sender address does not exist"),
        ("RCPT", "550 Sender verify failed"),
        ("RCPT", "554 5.7.1 <client[192.0.2.1]>: Client host rejected: Access denied"),
    ] {
        server.rules(&json!({ step: answer }).to_string());
        let outcomes = sent(&sink, &deliveries).await;
        let (code, _) = answer.split_once(' ').unwrap();
        for outcome in &outcomes {
            let Outcome::Down { response: told, closure: Closure::Settings } = outcome else { panic!("{outcome:?}") };
            assert!(told.contains(code) && told.starts_with("127.0.0.1:"), "{told}");
        }
        let checked = sink.check().await.unwrap_err().to_string();
        assert!(checked.contains(code), "{checked}");
    }
    // For now: it is tried soon.
    for (step, answer) in
        [("MAIL", "450 4.1.8 Domain not found"), ("RCPT", "450 4.7.1 Client host rejected: cannot find your hostname")]
    {
        server.rules(&json!({ step: answer }).to_string());
        let outcomes = sent(&sink, &deliveries).await;
        assert!(outcomes.iter().all(|o| matches!(o, Outcome::Down { closure: Closure::Down, .. })), "{outcomes:?}");
    }
    // That may lie in the recipient or in us: no other waits for it, and it is not lost.
    server.rules(r#"{"RCPT bob@example.org": "554 5.7.1 <bob@example.org>: Relay access denied"}"#);
    let outcomes = sent(&sink, &deliveries).await;
    assert!(retry(&outcomes[..1]).contains("Relay access denied"), "{outcomes:?}");
    assert_eq!(outcomes[1..], [Outcome::Delivered, Outcome::Delivered]);
    // Nobody has to read the sender's own mailbox.
    server.rules(r#"{"RCPT calendar@example.org": "550 5.1.1 No such user"}"#);
    assert!(sink.check().await.unwrap().ends_with("takes mails from calendar@example.org"));
}

#[tokio::test]
async fn a_host_introduces_itself_by_a_full_name_or_its_address() {
    for (server_name, helo, expected) in [
        ("calendar.example.org", None, "EHLO calendar.example.org\r\n"),
        ("calendar.example.org", Some("mail.example.org"), "EHLO mail.example.org\r\n"),
        ("calendar", Some("[192.0.2.1]"), "EHLO [192.0.2.1]\r\n"),
        ("calendar", None, "EHLO [127.0.0.1]\r\n"),
        ("", None, "EHLO [127.0.0.1]\r\n"),
    ] {
        let said = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&said);
        let setting = hostile(move |stream| {
            stream.write_all(b"220 mail.test\r\n")?;
            let mut line = String::new();
            BufReader::new(&mut *stream).read_line(&mut line)?;
            *heard.lock().unwrap() = line;
            stream.write_all(b"421 not today\r\n")
        });
        sent(&Setting { server_name, helo, ..setting }.sink(), &[to("mary@example.org")]).await;
        assert_eq!(*said.lock().unwrap(), expected);
    }
}

#[tokio::test]
async fn what_is_refused_for_good_has_failed_in_the_servers_words() {
    let Some(venv) = Venv::or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = MailServer::start(venv, folder.path(), Security::Plain);
    let sink = Setting::of(&server, SmtpSecurity::Plain).sink();
    server.rules(
        r#"{"RCPT bob@example.org": "550 5.1.1 No such user", "body eve@example.org": "554-5.7.1 Spam,\r\n554 5.7.1 we think"}"#,
    );
    let deliveries = ["bob@example.org", "mary@example.org", "eve@example.org", "nobody", "mary@example.org"].map(to);
    let outcomes = sent(&sink, &deliveries).await;
    let expected = [
        Outcome::permanent("550 5.1.1 No such user"),
        Outcome::Delivered,
        Outcome::permanent("554 5.7.1 Spam, we think"),
        Outcome::permanent("the recipient is no e-mail address: it has no @"),
        Outcome::Delivered,
    ];
    assert_eq!(outcomes, expected);
    take(&server, 2);
}

#[tokio::test]
async fn a_server_that_hangs_costs_one_time_limit_not_one_a_mail() {
    let Some(venv) = Venv::or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = MailServer::start(venv, folder.path(), Security::Plain);
    for step in ["greeting", "MAIL"] {
        server.rules(&json!({ step: "hang" }).to_string());
        let sink = Setting { timeout: IMPATIENT, ..Setting::of(&server, SmtpSecurity::Plain) }.sink();
        let began = Instant::now();
        // One connection gives up first, and the others nothing more begin.
        let outcomes = sent(&sink, &vec![to("mary@example.org"); 8]).await;
        assert!(began.elapsed() < IMPATIENT * 20, "{step}: {:?}", began.elapsed());
        for outcome in &outcomes {
            let Outcome::Down { response: answer, closure: Closure::Down } = outcome else {
                panic!("{step}: {outcome:?}")
            };
            assert!(answer.starts_with(&format!("127.0.0.1:{} did not answer to ", server.port)), "{step}: {answer}");
        }
    }
    // What hangs at a mail may lie in that mail: it is tried again by itself.
    for step in ["RCPT", "DATA"] {
        server.rules(&json!({ step: "hang" }).to_string());
        let sink = Setting { timeout: IMPATIENT, ..Setting::of(&server, SmtpSecurity::Plain) }.sink();
        let outcomes = sent(&sink, &[to("mary@example.org")]).await;
        let expected = format!("127.0.0.1:{} did not answer to {step} in time", server.port);
        assert_eq!(outcomes, [Outcome::retry(expected)]);
    }
}

#[tokio::test]
async fn a_mail_that_is_not_confirmed_is_neither_delivered_nor_lost() {
    let Some(venv) = Venv::or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = MailServer::start(venv, folder.path(), Security::Plain);
    server.rules(r#"{"body": "hang"}"#);
    let sink = Setting { timeout: IMPATIENT, ..Setting::of(&server, SmtpSecurity::Plain) }.sink();
    let outcomes = sent(&sink, &[to("mary@example.org")]).await;
    let expected = format!("127.0.0.1:{} did not answer to the mail itself in time", server.port);
    assert_eq!(outcomes, [Outcome::Unknown { response: expected }]);
    // What was not sent to its end cannot have been taken, however much of it was.
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let setting = hostile(move |stream| {
        for answer in ["220 x\r\n", "250 AUTH PLAIN\r\n", "235 x\r\n", "250 x\r\n", "250 x\r\n"] {
            stream.write_all(answer.as_bytes())?;
            heard(stream)?;
        }
        stream.write_all(b"354 x\r\n")?;
        // It reads nothing more while the other side waits.
        let _ = ended.recv();
        Ok(())
    });
    let mut event = notification("n1");
    event["description"] = "x".repeat(5 * 1024 * 1024).into();
    for part in ["mail.txt", "mail.html"] {
        std::fs::write(folder.path().join(part), "{{ event.description }}").unwrap();
    }
    let templates = MailTemplates::of_folder(folder.path()).unwrap();
    let sink = Setting { timeout: IMPATIENT, templates, ..setting }.sink();
    let outcomes = sent(&sink, &[delivery("mary@example.org", &event)]).await;
    assert!(retry(&outcomes).ends_with("did not answer to the mail itself in time"), "{outcomes:?}");
    drop(end);
}

#[tokio::test]
async fn a_slow_session_holds_no_other_mail_up() {
    let Some(venv) = Venv::or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = MailServer::start(venv, folder.path(), Security::Plain);
    server.rules(r#"{"body slow@example.org": "wait"}"#);
    let sink = Setting::of(&server, SmtpSecurity::Plain).sink();
    // The slow one is under way before the others come.
    let slow = ClaimedDelivery { firing: 7, ..to("slow@example.org") };
    assert_eq!(sink.send(std::slice::from_ref(&slow)).await, [Outcome::InFlight]);
    assert_eq!(sink.batch(), 75, "three of four connections are free");
    for _ in 0..3 {
        let outcomes = sent(&sink, &vec![to("mary@example.org"); 20]).await;
        assert_eq!(outcomes, vec![Outcome::Delivered; 20]);
    }
    assert!(take(&server, 60).iter().all(|mail| mail.to == ["mary@example.org"]));
    server.rules("{}");
    let mut finished = sink.finished().await;
    while finished.is_empty() {
        finished = sink.finished().await;
    }
    let (recipient, outcome) = (slow.recipient, Outcome::Delivered);
    assert_eq!(finished, [Finished { firing: 7, recipient, outcome }]);
    assert_eq!(server.mail().to, ["slow@example.org"]);
    assert_eq!(server.counts().0, 61);
}

#[tokio::test]
async fn a_connection_that_is_closed_after_the_mail_is_tried_again_under_the_same_id() {
    let Some(venv) = Venv::or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = MailServer::start(venv, folder.path(), Security::Plain);
    let sink = Setting::of(&server, SmtpSecurity::Plain).sink();
    server.rules(r#"{"body": "keep"}"#);
    let outcomes = sent(&sink, &[to("mary@example.org")]).await;
    assert!(matches!(outcomes[..], [Outcome::Unknown { .. }]), "{outcomes:?}");
    server.rules("{}");
    let others = [to("mary@example.org"), to("bob@example.org"), delivery("mary@example.org", &notification("n2"))];
    assert_eq!(sent(&sink, &others).await, vec![Outcome::Delivered; 3]);
    let mut ids: Vec<String> = take(&server, 4).iter().map(|mail| mail.header("Message-ID").to_owned()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3, "one alarm to one reader has one id, others have others: {ids:?}");
}

#[tokio::test]
async fn a_session_that_the_server_closed_meanwhile_costs_no_attempt() {
    let Some(venv) = Venv::or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut server = MailServer::start(venv, folder.path(), Security::StartTls);
    let sink = Setting::of(&server, SmtpSecurity::StartTls).sink();
    assert_eq!(sent(&sink, &[to("mary@example.org")]).await, [Outcome::Delivered]);
    server.mail();
    server.stop();
    server.start_again();
    assert_eq!(sent(&sink, &[to("mary@example.org")]).await, [Outcome::Delivered]);
    server.mail();
    assert_eq!(server.counts().0, 1);
}

#[tokio::test]
async fn a_session_that_waits_too_long_is_closed_and_nothing_is_left_to_wake_up() {
    let Some(venv) = Venv::or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = MailServer::start(venv, folder.path(), Security::Plain);
    let sink = Setting::of(&server, SmtpSecurity::Plain).sink();
    assert_eq!(sent(&sink, &[to("mary@example.org")]).await, [Outcome::Delivered]);
    let log = server.log();
    let closed = tokio::task::spawn_blocking(move || log.find(PATIENT, |line| line == "shut 0"));
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(6)).await;
    assert!(closed.await.unwrap().is_some(), "the session is still open");
    // The server tells of the end a moment before the task that closed the session has ended.
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let deadline = std::time::Instant::now() + PATIENT;
    while tasks() > 0 && std::time::Instant::now() < deadline {
        tokio::task::yield_now().await;
    }
    assert_eq!(tasks(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_mails_share_few_connections() {
    let Some(venv) = Venv::or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = MailServer::start(venv, folder.path(), Security::Plain);
    let sink = Setting::of(&server, SmtpSecurity::Plain).sink();
    let deliveries: Vec<ClaimedDelivery> =
        (0..300).map(|n| delivery(&format!("user{n}@example.org"), &notification(&format!("n{n}")))).collect();
    assert_eq!(sent(&sink, &deliveries).await, vec![Outcome::Delivered; 300]);
    let mut readers: Vec<String> = take(&server, 300).iter().map(|mail| mail.header("To").to_owned()).collect();
    readers.sort();
    readers.dedup();
    let (mails, connections) = server.counts();
    assert_eq!((readers.len(), mails), (300, 300));
    assert!((1..=4).contains(&connections), "{connections} connections at a time");
}

#[tokio::test]
async fn a_user_gets_so_many_mails_an_hour_and_the_rest_waits() {
    let Some(venv) = Venv::or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = MailServer::start(venv, folder.path(), Security::Plain);
    let sink = Setting { max_mails_per_hour: 3, ..Setting::of(&server, SmtpSecurity::Plain) }.sink();
    let of = |user: &str, id: usize| {
        let mut notification = notification(&format!("n{id}"));
        notification["userId"] = user.into();
        delivery(&format!("{user}@example.org"), &notification)
    };
    // What is refused for good does not count.
    server.rules(r#"{"RCPT bob@example.org": "550 5.1.1 No such user"}"#);
    let refused = ClaimedDelivery { recipient: "bob@example.org".into(), ..of("mary", 0) };
    assert!(matches!(sent(&sink, &[refused]).await[..], [Outcome::Permanent { .. }]));
    let deliveries: Vec<ClaimedDelivery> = (1..=5).map(|n| of("mary", n)).chain([of("john", 6)]).collect();
    let outcomes = sent(&sink, &deliveries).await;
    let delivered = outcomes.iter().filter(|outcome| **outcome == Outcome::Delivered).count();
    assert_eq!((delivered, &outcomes[5]), (4, &Outcome::Delivered), "{outcomes:?}");
    let held = |outcome: &&Outcome| matches!(outcome, Outcome::Held { response, wait } if response.contains("max_mails_per_hour") && wait.as_secs() == 3_600);
    assert_eq!(outcomes.iter().filter(held).count(), 2, "{outcomes:?}");
    assert_eq!(take(&server, 4).len(), 4);
}

/// Serves one connection after the other with `talk` in a thread of its own, which ends with the process.
fn hostile(talk: impl Fn(&mut TcpStream) -> std::io::Result<()> + Send + 'static) -> Setting {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = talk(&mut stream);
        }
    });
    Setting {
        host: "127.0.0.1",
        port,
        security: SmtpSecurity::Plain,
        password: "secret",
        ca_file: None,
        timeout: PATIENT,
        max_reply_size: LimitsConfig::default().max_reply_size,
        server_name: "reveille.test",
        helo: None,
        max_mails_per_hour: 500,
        templates: MailTemplates::built_in().unwrap(),
    }
}

/// Reads one command.
fn heard(stream: &mut TcpStream) -> std::io::Result<usize> {
    stream.read(&mut [0; 1024])
}

#[tokio::test]
async fn an_answer_without_an_end_is_cut_off() {
    for security in [SmtpSecurity::Plain, SmtpSecurity::StartTls] {
        let setting = hostile(|stream| {
            stream.write_all(b"220-")?;
            loop {
                stream.write_all(&[b'x'; 4096])?;
            }
        });
        let outcomes = sent(&Setting { security, ..setting }.sink(), &[to("mary@example.org")]).await;
        assert!(retry(&outcomes).contains("does not end"), "{outcomes:?}");
    }
}

#[tokio::test]
async fn limit_of_a_mail_servers_answer_at_it_and_above() {
    for max_reply_size in [LimitsConfig::default().max_reply_size, 1024] {
        for security in [SmtpSecurity::Plain, SmtpSecurity::StartTls] {
            let answered = async |octets: usize| {
                let setting = hostile(move |stream| {
                    // Lines of 256 octets, and a last one of as many or one more.
                    let line = |mark: &str, length: usize| format!("220{mark}{}\r\n", "x".repeat(length - 6));
                    let greeting = line("-", 256).repeat(octets / 256 - 1) + &line(" ", 256 + octets % 256);
                    stream.write_all(greeting.as_bytes())?;
                    heard(stream)?;
                    stream.write_all(b"421 not today\r\n")?;
                    Ok(())
                });
                let sink = Setting { security, max_reply_size, ..setting }.sink();
                retry(&sent(&sink, &[to("mary@example.org")]).await).to_owned()
            };
            let told = answered(max_reply_size).await;
            assert!(told.ends_with("421 not today"), "{told}");
            let told = answered(max_reply_size + 1).await;
            assert!(told.contains(&format!("within {max_reply_size} octets (limits.max_reply_size)")), "{told}");
        }
    }
}

#[tokio::test]
async fn nothing_is_sent_in_the_clear_when_starttls_is_not_offered() {
    let setting = hostile(|stream| {
        stream.write_all(b"220 mail.test\r\n")?;
        heard(stream)?;
        stream.write_all(b"250-mail.test\r\n250-X-STARTTLS-SOON\r\n250 AUTH PLAIN LOGIN\r\n")?;
        heard(stream)?;
        Ok(())
    });
    let outcomes =
        sent(&Setting { security: SmtpSecurity::StartTls, ..setting }.sink(), &[to("mary@example.org")]).await;
    assert!(retry(&outcomes).contains("does not offer STARTTLS"), "{outcomes:?}");
}

#[tokio::test]
async fn what_is_slipped_in_before_tls_is_not_taken_for_an_answer() {
    let setting = hostile(|stream| {
        stream.write_all(b"220 mail.test\r\n")?;
        heard(stream)?;
        stream.write_all(b"250-mail.test\r\n250 STARTTLS\r\n")?;
        heard(stream)?;
        stream.write_all(b"220 go ahead\r\n250-mail.test\r\n250 AUTH PLAIN\r\n")?;
        heard(stream)?;
        Ok(())
    });
    let outcomes =
        sent(&Setting { security: SmtpSecurity::StartTls, ..setting }.sink(), &[to("mary@example.org")]).await;
    assert!(retry(&outcomes).contains("says more than it was asked"), "{outcomes:?}");
}

#[tokio::test]
async fn an_answer_in_an_old_encoding_is_still_an_answer() {
    let setting = hostile(|stream| {
        for answer in [
            &b"220 mail.test\r\n"[..],
            b"250-mail.test\r\n250 AUTH PLAIN\r\n",
            b"235 2.7.0 ok\r\n",
            b"250 ok\r\n",
            b"550 Empf\xe4nger unbekannt\r\n",
        ] {
            stream.write_all(answer)?;
            heard(stream)?;
        }
        Ok(())
    });
    let outcomes = sent(&setting.sink(), &[to("mary@example.org")]).await;
    assert_eq!(outcomes, [Outcome::permanent("550 Empf?nger unbekannt")]);
}

/// What a server says instead of the right answer to one step, and whether it has done what it was asked then.
#[derive(Clone, Debug)]
struct Slip {
    /// Which time that it is asked for the step.
    time: usize,
    step: &'static str,
    says: Vec<u8>,
    does: bool,
    hangs_up: bool,
}

/// What a server that slips has taken, by recipient, and how often it was asked for the step.
#[derive(Debug, Default)]
struct Took {
    mails: Vec<String>,
    asked: usize,
}

/// The right answer to a step; the last line of several.
fn right(step: &str) -> &'static str {
    match step {
        "greeting" => "220 mail.test",
        "EHLO" => "250 AUTH PLAIN",
        "AUTH" => "235 2.7.0 ok",
        "DATA" => "354 go on",
        "QUIT" => "221 bye",
        _ => "250 ok",
    }
}

/// A conversation in which a server slips once.
fn slipping(stream: &TcpStream, slip: &Slip, took: &Mutex<Took>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?);
    let (mut step, mut recipient) = ("greeting".to_owned(), String::new());
    loop {
        let slips = step == slip.step && {
            let mut took = took.lock().unwrap();
            took.asked += 1;
            took.asked == slip.time
        };
        if step == "body" && (!slips || slip.does) {
            took.lock().unwrap().mails.push(recipient.clone());
        }
        let mut stream = stream;
        let answer = format!("{}\r\n", right(&step)).into_bytes();
        stream.write_all(if slips { &slip.says } else { &answer })?;
        if slips && slip.hangs_up {
            return stream.shutdown(std::net::Shutdown::Both);
        }
        let mut line = String::new();
        if step == "DATA" && (!slips || slip.does) {
            while line != ".\r\n" {
                line.clear();
                if lines.read_line(&mut line)? == 0 {
                    return Ok(());
                }
            }
            "body".clone_into(&mut step);
            continue;
        }
        if lines.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if let Some((_, rest)) = line.split_once("TO:<") {
            rest.split('>').next().unwrap_or_default().clone_into(&mut recipient);
        }
        step = line.trim().split(' ').next().unwrap_or_default().to_ascii_uppercase();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_server_answers_at_whatever_step_nothing_counts_as_delivered_that_it_did_not_take() {
    let mut slips = Vec::new();
    for step in ["greeting", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "body"] {
        for time in [1, 2] {
            let said = right(step).as_bytes();
            // It does what it is asked, and says one line too many; it refuses, and says one line too few of that.
            let twice = [said, b"\r\n", said, b"\r\n"].concat();
            slips.push(Slip { time, step, says: twice, does: true, hangs_up: false });
            let wrong =
                ["211 x", "220 x", "235 x", "250 x", "251 x", "252 x", "334 eA==", "354 x", "299 x", "2 x", "x"];
            let no = ["421 x", "450 x", "451-x\r\n451 y", "550 x", "554 x", "550-x\r\n250 y", "504 x", ""];
            for says in wrong.iter().chain(&no).filter(|says| says[..3.min(says.len())] != right(step)[..3]) {
                let (says, hangs_up) = (format!("{says}\r\n").into_bytes(), says.starts_with("421"));
                slips.push(Slip { time, step, says, does: false, hangs_up });
            }
            for end in 0..said.len() {
                slips.push(Slip { time, step, says: said[..end].to_vec(), does: end % 2 == 0, hangs_up: true });
            }
        }
    }
    let count = slips.len();
    for slip in slips {
        let took = Arc::new(Mutex::new(Took::default()));
        let (their, seen) = (slip.clone(), took.clone());
        let sink =
            Setting { timeout: Duration::from_secs(2), ..hostile(move |stream| slipping(stream, &their, &seen)) }
                .sink();
        let mut outcomes = BTreeMap::new();
        for turn in 0..4 {
            let recipient = format!("user{turn}@example.org");
            outcomes.insert(recipient.clone(), sent(&sink, &[to(&recipient)]).await.remove(0));
        }
        let took = took.lock().unwrap().mails.clone();
        for (recipient, outcome) in &outcomes {
            let copies = took.iter().filter(|mail| *mail == recipient).count();
            match outcome {
                Outcome::Delivered => assert_eq!(copies, 1, "{recipient}: {slip:?} {outcomes:?}"),
                Outcome::Retry { .. } | Outcome::Down { .. } => {
                    assert_eq!(copies, 0, "{recipient}: {slip:?} {outcomes:?}");
                }
                // Only where nobody knows whether it was taken may it have been.
                Outcome::Unknown { .. } => {
                    assert!(
                        slip.step == "body" && copies == usize::from(slip.does),
                        "{recipient}: {slip:?} {outcomes:?}"
                    );
                }
                Outcome::Permanent { response: answer, .. } => {
                    assert!(copies == 0 && answer.starts_with('5'), "{recipient}: {slip:?} {outcomes:?}");
                    assert!(slip.says.starts_with(b"5"), "{recipient}: {slip:?} {outcomes:?}");
                }
                Outcome::NotAttempted | Outcome::InFlight | Outcome::Held { .. } => {
                    panic!("{recipient}: {slip:?} {outcomes:?}")
                }
            }
        }
        let failed = outcomes.values().filter(|outcome| **outcome != Outcome::Delivered).count();
        assert!(failed <= 1, "a slip at one mail is none at another: {slip:?} {outcomes:?}");
    }
    println!("{count} slips");
}

#[tokio::test]
async fn a_code_without_words_is_an_answer() {
    let setting = hostile(|stream| {
        for answer in ["220\r\n", "250-AUTH\r\n250 AUTH PLAIN\r\n", "235\r\n", "250\r\n", "251\r\n", "354\r\n", "250\n"]
        {
            stream.write_all(answer.as_bytes())?;
            let mut said = Vec::new();
            while said.is_empty() || answer.starts_with("354") && !said.ends_with(b"\r\n.\r\n") {
                let mut octets = [0; 1024];
                let count = stream.read(&mut octets)?;
                said.extend_from_slice(&octets[..count]);
                if count == 0 {
                    return Ok(());
                }
            }
        }
        Ok(())
    });
    assert_eq!(sent(&setting.sink(), &[to("mary@example.org")]).await, [Outcome::Delivered]);
}

#[tokio::test]
async fn a_mail_that_is_refused_before_its_end_is_refused() {
    let setting = hostile(|stream| {
        for answer in ["220 x\r\n", "250 AUTH PLAIN\r\n", "235 x\r\n", "250 x\r\n", "250 x\r\n"] {
            stream.write_all(answer.as_bytes())?;
            heard(stream)?;
        }
        stream.write_all(b"354 x\r\n")?;
        heard(stream)?;
        stream.write_all(b"552 5.3.4 too large\r\n")?;
        while heard(stream)? > 0 {}
        Ok(())
    });
    let mut event = notification("n1");
    event["description"] = "x".repeat(4 * 1024 * 1024).into();
    let outcomes = sent(&setting.sink(), &[delivery("mary@example.org", &event)]).await;
    assert_eq!(outcomes, [Outcome::permanent("552 5.3.4 too large")]);
}

#[tokio::test]
async fn an_address_outside_ascii_is_written_to_if_the_server_offers_smtputf8() {
    let Some(venv) = Venv::or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = MailServer::start(venv, folder.path(), Security::Plain);
    let outcomes = sent(&Setting::of(&server, SmtpSecurity::Plain).sink(), &[to("mailto:märy@example.org")]).await;
    assert_eq!(outcomes, [Outcome::Delivered]);
    assert_eq!(server.mail().to, ["märy@example.org"]);
    let without = hostile(|stream| {
        for answer in ["220 x\r\n", "250 AUTH PLAIN\r\n", "235 x\r\n", "250 x\r\n"] {
            stream.write_all(answer.as_bytes())?;
            heard(stream)?;
        }
        Ok(())
    });
    let outcomes = sent(&without.sink(), &[to("märy@example.org")]).await;
    let [Outcome::Permanent { response }] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    assert!(response.contains("needs SMTPUTF8, and the server does not offer it"), "{response}");
}

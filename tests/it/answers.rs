//! Answers to alarms: they are written into the store, and what is pending of the alarm is cancelled.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::account::{Account, radicale, xandikos};
use crate::accounts::SOON;
use crate::daemon::Daemon;
use crate::debian::{CYRUS, DAVICAL, SABRE, SOGO};
use crate::http::Http;
use crate::rehearsal::{Stage, event};
use crate::scripted::{Asked, Reply, Scripted};
use crate::servers::free_port;
use crate::venv::Venv;

/// Writes the configuration of a stage: a source that may be written to, and a sink.
fn configure(stage: &Stage, source: &str) {
    let path = stage.path().display();
    let text = format!(
        "[ledger]\nurl = 'sqlite://{path}/ledger.db'\n[[source]]\nname = 'home'\nwrite = true\n{source}\n\
         [[sink]]\nkind = 'file'\nname = 'alarms'\npath = '{path}/alarms.jsonl'\n"
    );
    fs::write(stage.path().join("reveille.toml"), text).unwrap();
}

fn watching(stage: &Stage, account: &Account) {
    let mut login = String::new();
    if let Some((username, password)) = account.login {
        let file = stage.path().join("password");
        fs::write(&file, password).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        login = format!("username = '{username}'\npassword_file = '{}'\n", file.display());
    }
    configure(stage, &format!("kind = 'caldav'\nurl = '{}'\n{login}", account.url));
}

fn folder(stage: &Stage) {
    let path = stage.path().display();
    configure(stage, &format!("kind = 'directory'\npath = '{path}/watched'\nuser = 'mary@example.org'\n"));
}

/// What `reveille ARGUMENTS` prints as JSON; fails, with the error, if it does.
fn answer(stage: &Stage, arguments: &[&str]) -> Result<Value, String> {
    let output = stage.reveille(&[&["--json"], arguments].concat());
    match output.status.code() {
        Some(0) => Ok(serde_json::from_slice(&output.stdout).unwrap()),
        _ => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

/// The number of the last firing.
fn last_firing(stage: &Stage) -> String {
    stage.listing(&["firings"]).last().unwrap()["firing"].to_string()
}

/// `text` without the line of the property `name`.
fn without(text: &str, name: &str) -> String {
    text.split_inclusive('\n').filter(|line| !line.starts_with(name)).collect()
}

/// An alarm of an account fires, is snoozed, fires again, and is dismissed. What the server has is `text` with the
/// answers, and nothing else of it changes.
fn snoozed_and_dismissed(account: &Account) {
    let stage = Stage::new();
    watching(&stage, account);
    stage.pass("2026-03-10T11:00:00Z");
    account.put("tea.ics", &event("tea", "20260310T120000Z", "T\u{e4}ee"));
    stage.pass("2026-03-10T11:30:00Z");
    let get = || account.client.send("GET", &format!("{}tea.ics", account.work), &[], "").body;
    let before = get();
    stage.pass("2026-03-10T12:00:00Z");
    let id = stage.alarms()[0]["notificationId"].as_str().unwrap().to_owned();
    let snoozed = answer(&stage, &["snooze", &id, "--until", "2099-03-10T12:10:00Z"]).unwrap();
    assert_eq!(snoozed["snoozedUntil"], "2099-03-10T12:10:00.000Z", "{snoozed}");
    let text = get();
    assert!(text.contains("TRIGGER;VALUE=DATE-TIME:20990310T121000Z"), "{text}");
    assert!(text.contains("RELATED-TO;RELTYPE=SNOOZE:") && text.contains("ACKNOWLEDGED:"), "{text}");
    stage.pass("2099-03-10T12:09:00Z");
    assert_eq!(stage.fired().len(), 1, "{text}");
    stage.pass("2099-03-10T12:10:00Z");
    assert_eq!(stage.fired(), ["20260310T120000Z T\u{e4}ee", "20990310T121000Z T\u{e4}ee"]);
    answer(&stage, &["ack", &last_firing(&stage)]).unwrap();
    let after = get();
    assert_eq!(after.matches("ACKNOWLEDGED:").count(), 2, "{after}");
    // Apart from the answers the object is what the server had before. Some servers sort properties.
    let lines = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    for line in lines(&before).iter().filter(|line| !line.starts_with("DTSTAMP") && !line.starts_with("LAST-MOD")) {
        assert!(lines(&after).contains(line), "{line}\n{after}");
    }
    let again = answer(&stage, &["ack", &last_firing(&stage)]).unwrap_err();
    assert!(again.contains("answered already"), "{again}");
}

#[test]
fn on_real_servers_a_snoozed_alarm_fires_again_and_a_dismissed_one_does_not() {
    let Some(venv) = Venv::or_skip() else { return };
    let others = [&DAVICAL, &CYRUS, &SABRE, &SOGO].into_iter().filter_map(|kind| kind.account());
    for account in [radicale(venv), xandikos(venv)].into_iter().chain(others) {
        println!("{}", account.url);
        snoozed_and_dismissed(&account);
    }
}

#[test]
fn in_a_folder_an_answer_changes_one_property_and_keeps_owner_and_rights() {
    let stage = Stage::new();
    folder(&stage);
    stage.put("tea.ics", "20260310T120000Z", "Tea", "2026-03-01T00:00:00Z");
    let file = stage.file("tea.ics");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&file, Some(65534), Some(65534)).unwrap();
    }
    let (before, like) = (fs::read_to_string(&file).unwrap(), fs::metadata(&file).unwrap());
    stage.pass("2026-03-10T11:00:00Z");
    stage.pass("2026-03-10T12:00:00Z");
    let done = answer(&stage, &["ack", &last_firing(&stage)]).unwrap();
    assert_eq!((done["summary"].as_str(), done["href"].as_str()), (Some("Tea"), Some("tea.ics")), "{done}");
    let after = fs::read_to_string(&file).unwrap();
    assert_eq!(without(&after, "ACKNOWLEDGED:"), before);
    assert!(after.contains("DESCRIPTION:Reminder\r\nACKNOWLEDGED:"), "{after}");
    let is = fs::metadata(&file).unwrap();
    assert_eq!((is.mode(), is.uid(), is.gid()), (like.mode(), like.uid(), like.gid()));
    let names = |path: &Path| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    assert_eq!(names(file.parent().unwrap()), ["tea.ics"]);
}

#[test]
fn what_is_owed_of_an_answered_alarm_is_cancelled() {
    let stage = Stage::new();
    folder(&stage);
    let config = stage.path().join("reveille.toml");
    let text = fs::read_to_string(&config).unwrap();
    let command = "[[sink]]\nkind = 'command'\nname = 'down'\nargv = ['/bin/false']\n";
    fs::write(&config, text + command).unwrap();
    stage.put("tea.ics", "20260310T120000Z", "Tea", "2026-03-01T00:00:00Z");
    stage.pass("2026-03-10T11:00:00Z");
    // It fails, because one of the sinks does.
    stage.reveille(&["run", "--once", "--at", "2026-03-10T12:00:00Z"]);
    let states = || {
        let rows = stage.listing(&["deliveries"]);
        let state = |row: &Value| format!("{} {}", row["sink"], row["state"]).replace('"', "");
        let mut states: Vec<_> = rows.iter().map(state).collect();
        states.sort();
        states
    };
    assert_eq!(states(), ["alarms delivered", "down pending"]);
    let done = answer(&stage, &["ack", &last_firing(&stage)]).unwrap();
    assert_eq!(done["cancelledDeliveries"], 1, "{done}");
    assert_eq!(states(), ["alarms delivered", "down cancelled"]);
}

#[test]
fn what_cannot_be_answered_is_said_and_nothing_is_written() {
    let stage = Stage::new();
    folder(&stage);
    stage.put("tea.ics", "20260310T120000Z", "Tea", "2026-03-01T00:00:00Z");
    stage.put("late.ics", "20260310T120000Z", "Late", "2026-03-01T00:00:00Z");
    stage.pass("2026-03-10T11:00:00Z");
    stage.pass("2026-03-10T12:00:00Z");
    let firings = stage.listing(&["firings"]);
    let number = |summary: &str| firings.iter().find(|row| row["summary"] == summary).unwrap()["firing"].to_string();
    let refused = |arguments: &[&str]| answer(&stage, arguments).unwrap_err();
    assert!(refused(&["ack", "999"]).contains("there is no firing 999"));
    assert!(refused(&["ack", "tea"]).contains("neither the number of a firing nor a notificationId"));
    assert!(refused(&["snooze", &number("Tea"), "--until", "2026-03-10T12:10:00Z"]).contains("not in the future"));
    assert!(refused(&["snooze", &number("Tea"), "--for", "soon"]).contains("is not a duration"));
    // The event has moved meanwhile.
    stage.put("late.ics", "20260310T130000Z", "Late", "2026-03-10T12:30:00Z");
    assert!(refused(&["ack", &number("Late")]).contains("the event was changed"));
    fs::remove_file(stage.file("late.ics")).unwrap();
    assert!(refused(&["ack", &number("Late")]).contains("late.ics is not there any more"));
    // Xandikos serves what its repository has, not the files.
    fs::create_dir(stage.path().join("watched/work/.git")).unwrap();
    assert!(refused(&["ack", &number("Tea")]).contains("a source of kind caldav"));
    let config = stage.path().join("reveille.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("write = true", "")).unwrap();
    assert!(refused(&["ack", &number("Tea")]).contains("write = true in its [[source]]"));
    fs::write(&config, text.replace("'home'", "'other'")).unwrap();
    assert!(refused(&["ack", &number("Tea")]).contains("'home', which the alarm comes from, is not in"));
    assert_eq!(fs::read_to_string(stage.file("tea.ics")).unwrap(), event("tea.ics", "20260310T120000Z", "Tea"));
}

/// A server with one calendar and one object, whose text another client changes before the first `conflicts` PUTs come.
/// It takes the first PUT and closes the connection without an answer, if it `breaks`.
fn contended(conflicts: usize, breaks: bool) -> (Scripted, Arc<Mutex<(usize, String)>>) {
    let state = Arc::new(Mutex::new((1, event("tea", "20260310T120000Z", "Tea"))));
    let (shared, mut left, mut breaks) = (state.clone(), conflicts, breaks);
    let server = Scripted::start(move |asked: &Asked| {
        let mut state = shared.lock().unwrap();
        let etag = format!("\"{}\"", state.0);
        match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", "/cal/tea.ics") => Reply::status(200).header("ETag", &etag).body(state.1.clone()),
            ("PUT", "/cal/tea.ics") => {
                if left > 0 {
                    left -= 1;
                    *state = (state.0 + 1, state.1.replace("SUMMARY:", "SUMMARY:More "));
                }
                if asked.header("if-match") != Some(&format!("\"{}\"", state.0)) {
                    return Reply::status(412);
                }
                *state = (state.0 + 1, asked.body.clone());
                if std::mem::take(&mut breaks) { Reply::hang_up() } else { Reply::status(204) }
            }
            ("PROPFIND", "/cal/") if asked.header("depth") == Some("1") && asked.body.contains("getetag") => {
                Reply::multistatus(&crate::quirks::found("/cal/tea.ics", &format!("<D:getetag>{etag}</D:getetag>")))
            }
            ("PROPFIND", "/cal/") => Reply::multistatus(&crate::quirks::found(
                "/cal/",
                "<D:resourcetype><D:collection/><C:calendar/></D:resourcetype><D:displayname>Work</D:displayname>",
            )),
            _ => Reply::status(404),
        }
    });
    (server, state)
}

#[test]
fn an_object_that_others_change_meanwhile_is_read_again() {
    for (conflicts, breaks, done) in [(0, false, true), (0, true, true), (3, false, true), (9, false, false)] {
        let (server, state) = contended(conflicts, breaks);
        let stage = Stage::new();
        configure(&stage, &format!("kind = 'caldav'\nurl = '{}cal/'\nuser = 'mary'\n", server.url));
        stage.pass("2026-03-10T11:00:00Z");
        stage.pass("2026-03-10T12:00:00Z");
        let answered = answer(&stage, &["ack", &last_firing(&stage)]);
        let text = state.lock().unwrap().1.clone();
        if done {
            answered.unwrap();
            assert_eq!(text.matches("More").count(), conflicts, "what others wrote stays: {text}");
            assert_eq!(text.matches("\r\nACKNOWLEDGED:").count(), 1, "{text}");
        } else {
            assert!(answered.unwrap_err().contains("is being changed by others at this moment: try again"));
            assert!(!text.contains("ACKNOWLEDGED"));
        }
    }
}

/// The path of the link in the last notification.
fn last_link(stage: &Stage) -> String {
    let alarm = stage.alarms().pop().unwrap();
    alarm["answerUrl"].as_str().unwrap().strip_prefix("https://r.example/cal").unwrap().to_owned()
}

/// Fires two alarms of a folder at which the daemon listens at `port`: of the first the link is too old by now.
fn fired_with_links(stage: &Stage, port: u16) -> [String; 2] {
    folder(stage);
    let config = stage.path().join("reveille.toml");
    let text = fs::read_to_string(&config).unwrap();
    stage.put("old.ics", "20260310T120000Z", "Old", "2026-03-01T00:00:00Z");
    stage.put("tea.ics", "20260310T130000Z", "<b>T\u{e4}</b>", "2026-03-01T00:00:00Z");
    let mut links = Vec::new();
    for (valid, until) in [("1h", "12:00:00"), ("36500d", "13:00:00")] {
        let admin = format!(
            "[admin]\nlisten = '127.0.0.1:{port}'\nanswer_url = 'https://r.example/cal'\nanswer_valid = '{valid}'\n"
        );
        fs::write(&config, format!("{text}{admin}")).unwrap();
        stage.pass("2026-03-10T11:00:00Z");
        stage.pass(&format!("2026-03-10T{until}Z"));
        links.push(last_link(stage));
    }
    links.try_into().unwrap()
}

#[test]
fn a_link_answers_its_alarm_once_and_only_by_a_post() {
    let stage = Stage::new();
    let port = free_port();
    let [old, link] = fired_with_links(&stage, port);
    let before = [stage.file("old.ics"), stage.file("tea.ics")].map(|file| fs::read_to_string(file).unwrap());
    let mut daemon = Daemon::start(stage.path(), &["run"]);
    assert!(daemon.log.find(SOON, |line| line.contains("reveille is running")).is_some());
    let http = Http::new(&format!("http://127.0.0.1:{port}"), None);
    let asked = |method: &str, path: &str| http.send(method, path, &[], "");
    let page = asked("GET", &link);
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.body.contains("&lt;b&gt;T\u{e4}&lt;/b&gt;") && !page.body.contains("<b>"), "{}", page.body);
    assert_eq!(page.body.matches("<form method=\"post\"").count(), 4);
    assert_eq!(asked("HEAD", &link).status, 200);
    // A program that follows links, one that guesses, an old mail, and nonsense.
    let (forged, digit) = (link.clone(), link.chars().nth(20).unwrap());
    let forged = forged.replacen(digit, if digit == 'x' { "y" } else { "x" }, 1);
    for (method, path, status) in [
        ("GET", format!("{link}/dismiss"), 405),
        ("HEAD", format!("{link}/dismiss"), 405),
        ("GET", format!("{link}/snooze/1h"), 405),
        ("POST", link.clone(), 405),
        ("POST", format!("{forged}/dismiss"), 404),
        ("GET", forged, 404),
        ("POST", format!("{old}/dismiss"), 410),
        ("GET", old, 410),
        ("POST", format!("{link}/snooze/never"), 404),
        ("POST", format!("{link}/snooze/9999d"), 404),
    ] {
        let answer = asked(method, &path);
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
    }
    let after = || [stage.file("old.ics"), stage.file("tea.ics")].map(|file| fs::read_to_string(file).unwrap());
    assert_eq!(after(), before, "nothing has happened");
    let done = asked("POST", &format!("{link}/snooze/1h"));
    assert_eq!(done.status, 200, "{done:?}");
    assert!(done.body.contains("reminded again in 1 hour"), "{}", done.body);
    assert!(after()[1].contains("RELTYPE=SNOOZE"), "{}", after()[1]);
    let again = asked("POST", &format!("{link}/dismiss"));
    assert_eq!(again.status, 409, "{again:?}");
    assert!(again.body.contains("answered already"), "{}", again.body);
    // The daemon has read what it wrote: the snooze is armed.
    let armed = || stage.listing(&["alarms"]).iter().any(|alarm| alarm["summary"] == "<b>T\u{e4}</b>");
    crate::faults::wait_until(armed, || daemon.log.text());
    assert!(daemon.stop(SOON).success());
    assert!(!daemon.log.text().contains(link.rsplit('/').next().unwrap()), "no log has a link");
}

#[test]
fn a_source_that_is_not_written_to_has_no_links() {
    let stage = Stage::new();
    fired_with_links(&stage, free_port());
    let config = stage.path().join("reveille.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("write = true", "")).unwrap();
    stage.put("next.ics", "20260310T140000Z", "Next", "2026-03-01T00:00:00Z");
    stage.pass("2026-03-10T13:30:00Z");
    stage.pass("2026-03-10T14:00:00Z");
    let alarms = stage.alarms();
    assert_eq!(alarms.iter().map(|alarm| alarm.get("answerUrl").is_some()).collect::<Vec<_>>(), [true, true, false]);
}

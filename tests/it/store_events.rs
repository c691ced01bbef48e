//! Changes of calendars, told as store events: each once, whatever crashes, and none where none are asked for.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reveille::calendar::zone::Zones;
use reveille::clock::Clock;
use reveille::daemon::Core;
use reveille::ledger::{DeliveryFilter, Inspector, Ledger};
use reveille::source::{CalendarInfo, ChangeBatch, Checkpoint, SyncStore as _};
use reveille::time::UtcMillis;
use serde_json::Value;

use crate::absence::{at, gone, put};
use crate::account::{self, Account};
use crate::daemon::Daemon;
use crate::quirks::{Server, found, versions};
use crate::rehearsal::{Stage, count, event, touch};
use crate::scripted::Reply;
use crate::simulation::disk::Script;
use crate::venv::Venv;

const ALL: &str = "[events]\nkinds = [\"MessageAppend\", \"MessageExpunge\", \"MailboxCreate\", \"MailboxDelete\", \
                   \"MailboxRename\", \"AclChange\"]\n";

/// Adds `more` to the configuration of the stage.
fn add(stage: &Stage, more: &str) {
    stage.configure("");
    let file = stage.path().join("reveille.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}{more}")).unwrap();
}

/// What was announced so far that is no alarm, as 'kind file'.
fn told(stage: &Stage) -> Vec<String> {
    let word = |event: &Value, key: &str| event[key].as_str().unwrap_or("-").to_owned();
    let events = stage.alarms().into_iter().filter(|event| event["event"] != "CalendarAlarm");
    events.map(|event| format!("{} {}", word(&event, "event"), word(&event, "vnd.cmu.davFilename"))).collect()
}

#[test]
fn each_change_of_a_folder_is_told_once() {
    let stage = Stage::new();
    add(&stage, ALL);
    let pass = |instant: &str| {
        let before = told(&stage).len();
        stage.pass(instant);
        told(&stage).split_off(before)
    };
    stage.put("old.ics", "20270310T120000Z", "old", "2026-03-01T00:00:00Z");
    assert_eq!(pass("2026-03-10T12:00:00Z"), ["MailboxCreate -"], "what is there at first is no change");
    let none = [""; 0];
    assert_eq!(pass("2026-03-10T12:01:00Z"), none);
    stage.put("a.ics", "20270310T120000Z", "a", "2026-03-10T12:01:30Z");
    assert_eq!(pass("2026-03-10T12:02:00Z"), ["MessageAppend a.ics"]);
    let appended = stage.alarms().pop().unwrap();
    let text = event("a.ics", "20270310T120000Z", "a");
    for (key, value) in [
        ("messageContent", text.as_str()),
        ("user", "mary@example.org"),
        ("userId", "mary@example.org"),
        ("calendarName", "work"),
        ("uri", "a.ics"),
        ("vnd.cmu.davUid", "a.ics@example.org"),
        ("timestamp", "2026-03-10T12:02:00.000Z"),
    ] {
        assert_eq!(appended[key], value, "{appended}");
    }
    touch(&stage.file("a.ics"), "2026-03-10T12:02:30Z");
    assert_eq!(pass("2026-03-10T12:03:00Z"), none, "its text is the same");
    stage.put("a.ics", "20270310T130000Z", "a", "2026-03-10T12:03:30Z");
    assert_eq!(pass("2026-03-10T12:04:00Z"), ["MessageAppend a.ics", "MessageExpunge a.ics"]);
    fs::write(stage.file("broken.ics"), "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:b").unwrap();
    stage.reveille(&["run", "--once", "--at", "2026-03-10T12:05:00Z"]);
    fs::remove_file(stage.file("broken.ics")).unwrap();
    fs::remove_file(stage.file("a.ics")).unwrap();
    assert_eq!(pass("2026-03-10T12:06:00Z"), ["MessageExpunge a.ics"], "half a file was never told");
    // The same text at the same place is another one nevertheless.
    stage.put("a.ics", "20270310T130000Z", "a", "2026-03-10T12:06:30Z");
    assert_eq!(pass("2026-03-10T12:07:00Z"), ["MessageAppend a.ics"]);
    let other = stage.path().join("watched/other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("b.ics"), event("b", "20270310T120000Z", "b")).unwrap();
    assert_eq!(pass("2026-03-10T12:08:00Z"), ["MailboxCreate -"]);
    fs::remove_dir_all(stage.path().join("watched/work")).unwrap();
    stage.reveille(&["run", "--once", "--at", "2026-03-10T12:10:00Z"]);
    assert_eq!(pass("2026-03-10T12:30:00Z"), ["MailboxDelete -"], "its objects are gone with it");
    let ids: std::collections::HashSet<String> =
        stage.alarms().iter().map(|event| event["notificationId"].to_string()).collect();
    assert_eq!(ids.len(), stage.alarms().len());
    // Alarms and events are listed apart.
    assert!(stage.listing(&["firings"]).is_empty());
    let listed: Vec<String> = stage
        .listing(&["firings", "--events"])
        .iter()
        .map(|row| format!("{} {}", row["action"], row["state"]))
        .collect();
    assert_eq!(listed.len(), told(&stage).len());
    assert_eq!(
        (&listed[0], &listed[1]),
        (&r#""MailboxCreate" "event""#.to_owned(), &r#""MessageAppend" "event""#.to_owned())
    );
}

#[test]
fn nothing_is_told_or_recorded_that_is_not_asked_for() {
    let stage = Stage::new();
    stage.put("a.ics", "20260310T123000Z", "a", "2026-03-01T00:00:00Z");
    stage.pass("2026-03-10T12:00:00Z");
    stage.put("b.ics", "20260310T123000Z", "b", "2026-03-10T12:00:30Z");
    stage.pass("2026-03-10T12:01:00Z");
    let recorded = || stage.listing(&["firings", "--events"]).len();
    assert_eq!((told(&stage).len(), recorded()), (0, 0));
    // A sink that takes none, and one for another user.
    let other = |keys: &str| format!("[[sink]]\nkind = \"file\"\nname = \"other\"\npath = \"other.jsonl\"\n{keys}\n");
    add(&stage, "events = false\n");
    let quiet =
        format!("{}{}{ALL}", fs::read_to_string(stage.path().join("reveille.toml")).unwrap(), other("users = ['bob']"));
    fs::write(stage.path().join("reveille.toml"), quiet).unwrap();
    stage.put("c.ics", "20260310T123000Z", "c", "2026-03-10T12:01:30Z");
    stage.pass("2026-03-10T12:02:00Z");
    assert_eq!((told(&stage).len(), recorded()), (0, 0));
    // One kind alone; a sink that takes mail alarms only takes events as well.
    add(&stage, "actions = ['email']\n[events]\nkinds = ['MessageExpunge']\nmax_content_size = 10\n");
    stage.put("c.ics", "20260310T124500Z", "c", "2026-03-10T12:02:30Z");
    stage.pass("2026-03-10T12:03:00Z");
    assert_eq!(told(&stage), ["MessageExpunge c.ics"]);
}

/// What is told of an account on a real server, after each of a series of changes.
fn of_account(account: &Account, name: &str) {
    let stage = Stage::new();
    let path = stage.path().display();
    let login = account.login.map_or_else(String::new, |(username, password)| {
        fs::write(stage.path().join("password"), password).unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(stage.path().join("password"), fs::Permissions::from_mode(0o600)).unwrap();
        format!("username = \"{username}\"\npassword_file = \"{path}/password\"\n")
    });
    let text = format!(
        "[ledger]\nurl = \"sqlite://{path}/ledger.db\"\n[[source]]\nkind = \"caldav\"\nname = \"dav\"\nurl = \"{}\"\n\
         user = \"mary\"\n{login}[[sink]]\nkind = \"file\"\npath = \"{path}/alarms.jsonl\"\n{ALL}",
        account.url
    );
    fs::write(stage.path().join("reveille.toml"), text).unwrap();
    let start = Clock::System.now();
    let mut passes = 0;
    let mut pass = || {
        passes += 1;
        let before = told(&stage).len();
        stage.pass(&start.saturating_add(jiff::SignedDuration::from_mins(passes)).to_string());
        told(&stage).split_off(before)
    };
    account.put("old.ics", &event("old", "20300310T120000Z", "old"));
    // A home without any calendar may be the wrong address: one stays.
    account.client.mkcalendar(&format!("{}rest/", account.home), "Rest");
    assert_eq!(pass(), ["MailboxCreate -"; 2], "{name}");
    account.put("a.ics", &event("a", "20300310T120000Z", "a"));
    assert_eq!(pass(), ["MessageAppend a.ics"], "{name}");
    account.put("a.ics", &event("a", "20300310T130000Z", "a"));
    assert_eq!(pass(), ["MessageAppend a.ics", "MessageExpunge a.ics"], "{name}");
    account.put("a.ics", &event("a", "20300310T120000Z", "a"));
    assert_eq!(pass(), ["MessageAppend a.ics", "MessageExpunge a.ics"], "{name}: back to what it was");
    account.delete("a.ics");
    assert_eq!(pass(), ["MessageExpunge a.ics"], "{name}");
    let body = r#"<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><D:displayname>Job</D:displayname></D:prop></D:set></D:propertyupdate>"#;
    let answer = account.client.send("PROPPATCH", account.work, &[("Content-Type", "application/xml")], body);
    assert_eq!(answer.status, 207, "{name}: {answer:?}");
    assert_eq!(pass(), ["MailboxRename -"], "{name}");
    let renamed = stage.alarms().pop().unwrap();
    assert_eq!((&renamed["oldCalendarName"], &renamed["calendarName"]), (&"Work".into(), &"Job".into()), "{name}");
    account.client.delete(account.work);
    assert_eq!(pass(), [""; 0], "{name}: it may come back");
    passes_on(&stage, start, &mut passes);
    assert_eq!(told(&stage).last().unwrap(), "MailboxDelete -", "{name}");
}

/// Passes on until a calendar that is not found any more is dropped.
fn passes_on(stage: &Stage, start: UtcMillis, passes: &mut i64) {
    for hours in [1, 30, 60] {
        let instant = start.saturating_add(jiff::SignedDuration::from_mins(*passes + hours * 60));
        stage.reveille(&["run", "--once", "--at", &instant.to_string()]);
    }
}

#[test]
fn each_change_on_radicale_is_told_once() {
    let Some(venv) = Venv::or_skip() else { return };
    of_account(&account::radicale(venv), "Radicale");
}

#[test]
fn each_change_on_xandikos_is_told_once() {
    let Some(venv) = Venv::or_skip() else { return };
    of_account(&account::xandikos(venv), "Xandikos");
}

#[test]
fn other_privileges_are_told_and_privileges_that_are_not_said_are_not() {
    let server = Server::start();
    let privileges = Arc::new(Mutex::new(String::new()));
    let said = privileges.clone();
    server.quirk(move |asked, _| {
        let is_home = (asked.method.as_str(), asked.path.as_str()) == ("PROPFIND", "/cal/");
        is_home.then(|| {
            let of = |name: &str| format!("<D:privilege><D:{name}/></D:privilege>");
            let set = said.lock().unwrap().split(' ').filter(|name| !name.is_empty()).map(of).collect::<String>();
            let set = match set.as_str() {
                "" => set,
                _ => format!("<D:current-user-privilege-set>{set}</D:current-user-privilege-set>"),
            };
            let calendar = "<D:resourcetype><D:collection/><C:calendar/></D:resourcetype>";
            let calendar = found("/cal/work/", &format!("{calendar}{set}{}", versions("t1", "c1")));
            Reply::multistatus(&(found("/cal/", "") + &calendar))
        })
    });
    let stage = Stage::new();
    let path = stage.path().display();
    let text = format!(
        "[ledger]\nurl = \"sqlite://{path}/ledger.db\"\n[[source]]\nkind = \"caldav\"\nname = \"dav\"\nurl = \"{}\"\n\
         user = \"mary\"\n[[sink]]\nkind = \"file\"\npath = \"{path}/alarms.jsonl\"\n{ALL}",
        server.scripted.url
    );
    fs::write(stage.path().join("reveille.toml"), text).unwrap();
    let mut minute = 0;
    let mut pass = |names: &str| {
        minute += 1;
        names.clone_into(&mut privileges.lock().unwrap());
        let before = stage.alarms().len();
        stage.pass(&format!("2026-03-10T12:{minute:02}:00Z"));
        let events = stage.alarms().split_off(before);
        let rights = |event: &Value| format!("{} {} {}", event["event"], event["aclSubject"], event["aclRights"]);
        events.iter().map(rights).collect::<Vec<_>>()
    };
    assert_eq!(pass(""), [r#""MailboxCreate" null null"#]);
    assert_eq!(pass("write read"), [""; 0], "nothing was known before");
    assert_eq!(pass("read write"), [""; 0]);
    assert_eq!(pass("read"), [r#""AclChange" "mary" "read""#]);
    assert_eq!(pass(""), [""; 0]);
    assert_eq!(pass("read write"), [r#""AclChange" "mary" "read write""#]);
    assert_eq!(pass("read"), [r#""AclChange" "mary" "read""#], "as before, and another event");
}

/// A daemon's stages before the ledger at `path`, on the disk `disk`; none where the process has ended.
async fn start(path: &Path, clock: &Clock, disk: Arc<Script>) -> Option<(Core, Ledger)> {
    let text = format!(
        "[ledger]\nurl = \"sqlite://{}\"\n[[source]]\nkind = \"directory\"\nname = \"dav\"\npath = \"/nowhere\"\n\
         [[sink]]\nkind = \"stdout\"\n{ALL}",
        path.display()
    );
    let config = reveille::config::read_text(&text).unwrap();
    let ledger = Ledger::open_on(path, disk).await.ok()?;
    let core = Core::start(&config, &Zones::bundled(), ledger.clone(), clock).await;
    match core {
        Ok(core) => Some((core, ledger)),
        Err(_) => {
            ledger.close().await;
            None
        }
    }
}

#[tokio::test]
async fn a_change_and_its_event_are_recorded_together_wherever_the_process_ends() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(at("12:00"));
    let batch = |now: &str, changes| ChangeBatch {
        calendar: CalendarInfo { href: "/a/".to_owned(), user: "mary".to_owned(), ..CalendarInfo::default() },
        synced_at: at(now),
        changes,
        checkpoint: Some(Checkpoint { sync_state: now.to_owned() }),
        may_lag: false,
        made: None,
        begun: None,
    };
    let edits = || vec![put("one", "13:00"), gone("two"), put("three", "13:00")];
    let mut ended = 0;
    for moments in 0..8 {
        let path = folder.path().join(format!("{moments}.db"));
        let disk = Arc::new(Script::default());
        let (core, ledger) = start(&path, &clock, disk.clone()).await.unwrap();
        clock.set(at("12:00"));
        core.ingest.apply("dav", batch("12:00", vec![put("one", "12:30"), put("two", "12:30")])).await.unwrap();
        clock.set(at("12:05"));
        disk.end_in(moments);
        let applied = core.ingest.apply("dav", batch("12:05", edits())).await;
        ended += usize::from(applied.is_err());
        disk.heal();
        ledger.close().await;
        drop((core, ledger));
        // The next process finds what the first one may have recorded.
        clock.set(at("12:06"));
        let (core, ledger) = start(&path, &clock, Arc::new(Script::default())).await.unwrap();
        core.ingest.apply("dav", batch("12:06", edits())).await.unwrap();
        ledger.close().await;
        drop((core, ledger));
        let mut inspector = Inspector::open(&path).await.unwrap();
        let mut events: Vec<String> = inspector
            .store_events(UtcMillis::MIN, 100)
            .await
            .unwrap()
            .iter()
            .map(|row| {
                let event: Value = serde_json::from_str(&row.notification).unwrap();
                format!("{} {}", event["event"].as_str().unwrap(), event["vnd.cmu.davFilename"].as_str().unwrap_or("-"))
            })
            .collect();
        events.sort();
        let expected = [
            "MailboxCreate -",
            "MessageAppend one.ics",
            "MessageAppend three.ics",
            "MessageExpunge one.ics",
            "MessageExpunge two.ics",
        ];
        assert_eq!(events, expected, "after {moments} moments");
        assert_eq!(inspector.deliveries(DeliveryFilter::Pending, 100).await.unwrap().len(), expected.len());
        inspector.close().await.unwrap();
    }
    assert!(ended > 0, "no process ended");
}

/// Longer than anything takes, even on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// The ids of the `MessageAppend`s in the file of a sink, by the name of the object; half a line does not count.
fn appended(sink: &Path) -> HashMap<String, HashSet<String>> {
    let mut ids: HashMap<String, HashSet<String>> = HashMap::new();
    let text = fs::read_to_string(sink).unwrap_or_default();
    let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    for event in events.filter(|event| event["event"] == "MessageAppend") {
        let word = |key: &str| event[key].as_str().unwrap().to_owned();
        ids.entry(word("vnd.cmu.davFilename")).or_default().insert(word("notificationId"));
    }
    ids
}

/// Waits until `is_so`.
fn until(daemon: &Daemon, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < deadline, "{}", daemon.log.text());
        std::thread::yield_now();
    }
}

#[test]
fn a_daemon_that_is_killed_while_changes_come_in_tells_each_once() {
    const CHANGES: usize = 300;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let (ledger, sink, calendar) = (path.join("ledger.db"), path.join("events.jsonl"), path.join("calendar"));
    fs::create_dir(&calendar).unwrap();
    fs::write(calendar.join("first.ics"), event("first", "20990101T120000Z", "first")).unwrap();
    let text = format!(
        "[ledger]\nurl = 'sqlite:ledger.db'\n[[source]]\nkind = 'directory'\nname = 'home'\npath = 'calendar'\n\
         user = 'mary'\n[[sink]]\nkind = 'file'\npath = 'events.jsonl'\n{ALL}"
    );
    fs::write(path.join("reveille.toml"), text).unwrap();
    let start = || Daemon::start(path, &["run", "--config", "reveille.toml"]);
    let mut daemon = start();
    until(&daemon, || fs::read_to_string(&sink).is_ok_and(|text| text.contains("MailboxCreate")));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..CHANGES {
                let new = path.join("new");
                let name = format!("{n}.ics");
                fs::write(&new, event(&name, "20990101T120000Z", "new")).unwrap();
                fs::rename(new, calendar.join(name)).unwrap();
            }
        });
        for told in [1, 100, 200] {
            until(&daemon, || appended(&sink).len() >= told);
            daemon.kill();
            daemon = start();
        }
    });
    until(&daemon, || appended(&sink).len() == CHANGES && daemon.log.text().contains("reveille is running"));
    assert!(daemon.stop(SOON).success(), "{}", daemon.log.text());
    let told = appended(&sink);
    assert!(told.values().all(|ids| ids.len() == 1), "{told:?}");
    assert_eq!(count(&ledger, "SELECT count(*) FROM firings WHERE state = 'event'"), 1 + CHANGES as i64);
    assert_eq!(count(&ledger, "SELECT count(*) FROM deliveries WHERE state != 'delivered'"), 0);
}

#[tokio::test]
async fn the_parts_of_a_first_sync_are_no_changes() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(at("12:00"));
    let (core, ledger) = start(&folder.path().join("ledger.db"), &clock, Arc::new(Script::default())).await.unwrap();
    let part = |changes, checkpoint: Option<&str>| ChangeBatch {
        calendar: CalendarInfo { href: "/a/".to_owned(), user: "mary".to_owned(), ..CalendarInfo::default() },
        synced_at: at("12:00"),
        changes,
        checkpoint: checkpoint.map(|state| Checkpoint { sync_state: state.to_owned() }),
        may_lag: false,
        made: None,
        begun: Some(Checkpoint { sync_state: "begun".to_owned() }),
    };
    core.ingest.apply("dav", part(vec![put("one", "13:00")], None)).await.unwrap();
    core.ingest.apply("dav", part(vec![put("two", "13:00")], None)).await.unwrap();
    core.ingest.apply("dav", part(vec![put("three", "13:00")], Some("1"))).await.unwrap();
    core.ingest.apply("dav", part(vec![put("four", "13:00")], None)).await.unwrap();
    let mut inspector = Inspector::open(&folder.path().join("ledger.db")).await.unwrap();
    let events = inspector.store_events(UtcMillis::MIN, 100).await.unwrap();
    let kinds: Vec<bool> = events.iter().map(|row| row.notification.contains("\"MessageAppend\"")).collect();
    assert_eq!(kinds, [true, false]);
    ledger.close().await;
}

#[tokio::test]
async fn an_object_that_comes_back_unchanged_is_told_again_where_no_time_of_writing_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let clock = Clock::manual(at("12:00"));
    let (core, ledger) = start(&path, &clock, Arc::new(Script::default())).await.unwrap();
    let batch = |now: &str, changes| ChangeBatch {
        calendar: CalendarInfo { href: "/a/".to_owned(), user: "mary".to_owned(), ..CalendarInfo::default() },
        synced_at: at(now),
        changes,
        checkpoint: Some(Checkpoint { sync_state: now.to_owned() }),
        may_lag: false,
        made: None,
        begun: None,
    };
    core.ingest.apply("dav", batch("12:00", Vec::new())).await.unwrap();
    for (now, change) in [
        ("12:01", put("one", "13:00")),
        ("12:02", gone("one")),
        ("12:03", put("one", "13:00")),
        ("12:04", put("one", "13:00")),
        ("12:05", gone("one")),
    ] {
        clock.set(at(now));
        core.ingest.apply("dav", batch(now, vec![change])).await.unwrap();
    }
    ledger.close().await;
    let mut inspector = Inspector::open(&path).await.unwrap();
    let events = inspector.store_events(UtcMillis::MIN, 100).await.unwrap();
    let count = |kind: &str| events.iter().filter(|row| row.notification.contains(kind)).count();
    assert_eq!(["\"MessageAppend\"", "\"MessageExpunge\""].map(count), [2, 2]);
    inspector.close().await.unwrap();
}

//! What strangers can send: servers, files and events that try to steer a log or a terminal, to reach other files or
//! other servers, to never end, or to learn a secret. docs/security.md says which test holds off which threat.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use reveille::config::ResponseLimits;
use reveille::source::caldav::CaldavError;
use serde_json::Value;

use crate::daemon::Daemon;
use crate::rehearsal::{Stage, event};
use crate::scripted::{Asked, Reply, Scripted};
use crate::watch::Watch;

/// Clears a screen, sets a window's title, begins a line of its own, turns the direction of writing.
const EVIL: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}";

fn found(href: &str, props: &str) -> String {
    format!(
        "<D:response><D:href>{href}</D:href><D:propstat><D:prop>{props}</D:prop>\
         <D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
    )
}

/// A server with one calendar of objects `hrefs`, all of which are `text`.
fn calendar_server(name: &str, hrefs: &'static [&'static str], text: String) -> Scripted {
    let name = name.to_owned();
    Scripted::start(move |asked: &Asked| {
        let depth = asked.header("depth");
        match (asked.method.as_str(), asked.path.as_str(), depth) {
            ("PROPFIND", "/cal/", Some("1")) => {
                let calendar = format!(
                    "<D:resourcetype><D:collection/><C:calendar/></D:resourcetype><D:displayname>{name}</D:displayname>"
                );
                Reply::multistatus(&(found("/cal/", "") + &found("/cal/work/", &calendar)))
            }
            ("PROPFIND", "/cal/work/", Some("1")) => {
                let own = found("/cal/work/", "<D:resourcetype><D:collection/><C:calendar/></D:resourcetype>");
                let members = hrefs.iter().map(|href| found(href, "<D:getetag>\"1\"</D:getetag>"));
                Reply::multistatus(&(own + &members.collect::<String>()))
            }
            ("PROPFIND", _, Some("0")) => Reply::multistatus(&found(
                &asked.path,
                "<D:current-user-principal><D:href>/mary/</D:href></D:current-user-principal>\
                 <C:calendar-home-set><D:href>/cal/</D:href></C:calendar-home-set>",
            )),
            ("REPORT", "/cal/work/", _) => {
                let object =
                    format!("<D:getetag>\"1\"</D:getetag><C:calendar-data><![CDATA[{text}]]></C:calendar-data>");
                Reply::multistatus(&hrefs.iter().map(|href| found(href, &object)).collect::<String>())
            }
            ("GET", ..) => Reply::status(200).body(text.as_str()),
            _ => Reply::status(404),
        }
    })
}

/// A folder with a configuration that watches `url` as `mary`, whose password is `password`.
fn account(url: &str, password: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("password"), password).unwrap();
    fs::set_permissions(path.join("password"), fs::Permissions::from_mode(0o600)).unwrap();
    let text = format!(
        "[ledger]\nurl = \"ledger.db\"\n[[source]]\nkind = \"caldav\"\nname = \"dav\"\nurl = \"{url}\"\n\
         username = \"mary\"\npassword_file = \"password\"\n\
         [[sink]]\nkind = \"file\"\nname = \"alarms\"\npath = \"alarms.jsonl\"\n"
    );
    fs::write(path.join("reveille.toml"), text).unwrap();
    folder
}

fn reveille(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reveille"));
    command.args(arguments).current_dir(folder).env_remove("REVEILLE_CONFIG").env("REVEILLE_LOG", "trace");
    command.output().unwrap()
}

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).unwrap()
}

/// Asserts that `text`, which `whose` printed, steers nothing: line ends apart it has no control characters, nor such
/// as turn the direction of writing.
fn harmless(text: &str, whose: &str) {
    let steers = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
    if let Some(line) = text.lines().find(|line| line.contains(steers)) {
        panic!("{whose} printed {line:?}");
    }
}

#[test]
fn what_servers_and_events_say_steers_neither_logs_nor_terminals() {
    let said = event(&format!("u{EVIL}"), "20260310T120000Z", &format!("Tea{EVIL}\\nSUBJECT: forged"))
        .replace("DESCRIPTION", "X\u{1b}[2J is no property\r\nDESCRIPTION")
        .replace(
            "DURATION",
            &format!("ORGANIZER:mailto:{EVIL}@example.org\r\nATTENDEE;CN=\"{EVIL}\":{EVIL}\r\nDURATION"),
        );
    let hrefs = &["/cal/work/a%0d%0aERROR%20forged.ics", "/cal/work/%1b%5b2J.ics", "/cal/work/../../../etc/passwd"];
    let server = calendar_server(&format!("Work{EVIL}&#10;2026-01-01 ERROR forged"), hrefs, said);
    let folder = account(&server.url, "sesame");
    let mut logs = String::new();
    for instant in ["2026-03-10T11:00:00Z", "2026-03-10T12:00:00Z"] {
        let output = reveille(folder.path(), &["run", "--once", "--at", instant]);
        let log = text(&output.stderr);
        assert!(output.status.success(), "{log}");
        harmless(&log, "the log");
        assert!(log.lines().all(|line| !line.starts_with("ERROR") && !line.starts_with("2026-01-01")), "{log}");
        logs += &log;
    }
    assert!(logs.contains("is not a property"), "the fault is told: {logs}");
    let alarms = fs::read_to_string(folder.path().join("alarms.jsonl")).unwrap();
    assert_eq!(alarms.lines().count(), 1, "three objects say the same of one UID:\n{alarms}");
    let controls = |c: char| c.is_control() && c != '\n';
    assert!(!alarms.contains(controls), "JSON escapes what steers: {alarms}");
    let alarm: Value = serde_json::from_str(alarms.trim_end()).unwrap();
    assert!(alarm["summary"].as_str().unwrap().contains(EVIL), "what it is stays as it is: {alarm}");
    let uid = format!("u{EVIL}@example.org");
    for listing in [
        &["status"][..],
        &["calendars"],
        &["alarms", "--until", "2027-01-01T00:00:00Z"],
        &["show", &uid, "--text"],
        &["explain", &uid, "--at", "2026-03-10T12:00:00Z"],
        &["firings"],
        &["deliveries"],
        &["check"],
    ] {
        let output = reveille(folder.path(), listing);
        harmless(&text(&output.stdout), listing[0]);
        harmless(&text(&output.stderr), listing[0]);
        let json = text(&reveille(folder.path(), &[listing, &["--json"]].concat()).stdout);
        assert!(json.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{json}");
    }
    // Nor did the paths lead anywhere: besides what was there, only the ledger and the sink's file.
    let mut names: Vec<String> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with("ledger.db"));
    names.sort();
    assert_eq!(names, ["alarms.jsonl", "password", "reveille.toml"]);
}

#[test]
fn what_a_server_answers_instead_of_a_calendar_steers_nothing() {
    for answer in [format!("<x{EVIL}>"), format!("<multistatus xmlns='DAV:'><a></b{EVIL}>"), EVIL.to_owned()] {
        let server = Scripted::start(move |_| Reply::status(207).body(answer.clone()));
        let folder = account(&server.url, "sesame");
        let output = reveille(folder.path(), &["run", "--once", "--at", "2026-03-10T11:00:00Z"]);
        harmless(&text(&output.stderr), "the log");
        harmless(&text(&reveille(folder.path(), &["status"]).stdout), "status");
    }
}

#[test]
fn secrets_are_in_no_log_no_error_no_ledger_and_no_list_of_processes() {
    const PASSWORD: &str = "open-Sesame-4711";
    // What Basic makes of it, and what Bearer would.
    const ENCODED: &str = "bWFyeTpvcGVuLVNlc2FtZS00NzEx";
    let kept = |text: &str, whose: &str| {
        assert!(!text.contains(PASSWORD) && !text.contains(ENCODED), "{whose} tells the password:\n{text}");
    };
    let said = event("tea", "20260310T120000Z", "Tea");
    let server = calendar_server("Work", &["/cal/work/tea.ics"], said);
    let folder = account(&server.url, PASSWORD);
    let output = reveille(folder.path(), &["run", "--once", "--at", "2026-03-10T11:00:00Z"]);
    assert!(output.status.success());
    let asked = server.asked();
    assert!(asked.iter().any(|asked| asked.header("authorization") == Some(&format!("Basic {ENCODED}"))));
    kept(&text(&output.stderr), "the log of all there is to log");
    for command in [&["status"][..], &["calendars", "--json"], &["check"], &["show", "tea@example.org", "--text"]] {
        let output = reveille(folder.path(), command);
        kept(&(text(&output.stdout) + &text(&output.stderr)), command[0]);
    }
    let mut daemon = Daemon::start(folder.path(), &["-vv", "run"]);
    assert!(daemon.log.find(Duration::from_secs(30), |line| line.contains("sync finished")).is_some());
    let process = Path::new("/proc").join(daemon.pid().as_raw_nonzero().to_string());
    for file in ["cmdline", "environ"] {
        kept(&String::from_utf8_lossy(&fs::read(process.join(file)).unwrap()), file);
    }
    daemon.stop(Duration::from_secs(30));
    kept(&daemon.log.text(), "the daemon's log");
    for file in fs::read_dir(folder.path()).unwrap() {
        let path = file.unwrap().path();
        if path.file_name().is_some_and(|name| name != "password") {
            kept(&String::from_utf8_lossy(&fs::read(&path).unwrap()), &path.display().to_string());
        }
    }
    // A server that refuses the login, and repeats it in its answer.
    let refusing = Scripted::start(|asked| {
        let login = asked.header("authorization").unwrap_or_default().to_owned();
        Reply::status(401).header("WWW-Authenticate", &format!("{login} realm=\"x\"")).body(login)
    });
    let folder = account(&refusing.url, PASSWORD);
    let output = reveille(folder.path(), &["run", "--once", "--at", "2026-03-10T11:00:00Z"]);
    assert!(text(&output.stderr).contains("401"));
    kept(&text(&output.stderr), "the log");
    kept(&text(&reveille(folder.path(), &["check"]).stdout), "check");
}

#[test]
fn links_and_pipes_in_a_watched_folder_are_left_alone() {
    let stage = Stage::new();
    let outside = stage.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret.ics"), event("secret", "20260310T120000Z", "secret")).unwrap();
    fs::write(outside.join("props"), "{\"tag\": \"VCALENDAR\", \"D:displayname\": \"secret\"}").unwrap();
    stage.put("plain.ics", "20260310T120000Z", "plain", "2026-03-01T00:00:00Z");
    symlink(outside.join("secret.ics"), stage.file("link.ics")).unwrap();
    symlink("/dev/zero", stage.file("endless.ics")).unwrap();
    symlink(&outside, stage.path().join("watched/linked")).unwrap();
    symlink(stage.path().join("watched"), stage.file("loop")).unwrap();
    symlink(outside.join("props"), stage.file(".Radicale.props")).unwrap();
    fs::create_dir(stage.file("folder.ics")).unwrap();
    assert!(Command::new("mkfifo").arg(stage.file("pipe.ics")).status().unwrap().success());
    stage.pass("2026-03-10T11:00:00Z");
    stage.pass("2026-03-10T12:00:00Z");
    assert_eq!(stage.fired(), ["20260310T120000Z plain"]);
    assert_eq!(stage.alarms()[0]["calendarName"], "work");
}

#[test]
fn a_bare_git_repository_in_a_watched_folder_costs_one_watch() {
    let stage = Stage::new();
    let repository = stage.path().join("watched/bare");
    for below in (0..200).map(|n| format!("objects/{n:02x}")).chain(["refs/heads".to_owned()]) {
        fs::create_dir_all(repository.join(below)).unwrap();
    }
    fs::write(repository.join("HEAD"), "ref: refs/heads/main\n").unwrap();
    let mut daemon = Daemon::start(stage.path(), &["run"]);
    assert!(daemon.log.find(Duration::from_secs(60), |line| line.contains("sync finished")).is_some());
    let open = Path::new("/proc").join(daemon.pid().as_raw_nonzero().to_string()).join("fdinfo");
    let files = fs::read_dir(open).unwrap().filter_map(|file| fs::read_to_string(file.ok()?.path()).ok());
    let watches: usize = files.map(|info| info.lines().filter(|line| line.starts_with("inotify ")).count()).sum();
    // The watched folder, the one above it, the calendar, the repository.
    assert!((3..=4).contains(&watches), "{watches}");
    daemon.stop(Duration::from_secs(60));
}

#[test]
fn no_uri_of_an_event_is_fetched_and_inline_attachments_are_not_kept() {
    let other = Scripted::start(|_| Reply::status(200).body("seen"));
    let stage = Stage::new();
    let blob = "QUFBQUFBQUFBQUFBQUFB".repeat(100);
    let uris = [
        "ATTACH:",
        "IMAGE;VALUE=URI:",
        "URL:",
        "SOURCE:",
        "TZURL:",
        "CONFERENCE;VALUE=URI:",
        "STRUCTURED-DATA;VALUE=URI:",
    ];
    let uris: String = uris.iter().map(|name| format!("{name}{}x\r\n", other.url)).collect();
    let inline = format!("ATTACH;VALUE=BINARY;ENCODING=BASE64:{blob}\r\n");
    let zone = format!("DTSTART;TZID={}tz:20260310T120000", other.url.replace(':', "\\:"));
    let text = event("tea", "20260310T120000Z", "Tea").replace("DURATION", &format!("{uris}{inline}DURATION"));
    fs::write(stage.file("tea.ics"), &text).unwrap();
    fs::write(stage.file("zone.ics"), text.replace("DTSTART:20260310T120000Z", &zone).replace("UID:tea", "UID:zone"))
        .unwrap();
    stage.pass("2026-03-10T11:00:00Z");
    stage.pass("2026-03-10T12:00:00Z");
    assert!(stage.fired().contains(&"20260310T120000Z Tea".to_owned()));
    assert!(other.asked().is_empty(), "{:?}", other.asked());
    for name in ["ledger.db", "ledger.db-wal"] {
        let octets = fs::read(stage.path().join(name)).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&octets).contains(&blob), "{name}");
    }
}

#[test]
fn limit_of_redirections_at_it_and_above() {
    let chain = |max_redirects: usize, length: usize| {
        let server = Scripted::start(move |asked| {
            let step: Option<usize> = asked.path.strip_prefix("/r").and_then(|step| step.parse().ok());
            match step {
                Some(step) if step < length => Reply::status(307).header("Location", &format!("/r{}", step + 1)),
                Some(_) => Reply::status(403),
                None => Reply::status(404),
            }
        });
        let limits = ResponseLimits { max_redirects, ..ResponseLimits::default() };
        let _ = Watch::within(limits, &format!("{}r0", server.url)).try_sync();
        server.asked().iter().any(|asked| asked.path == format!("/r{length}"))
    };
    for most in [ResponseLimits::default().max_redirects, 2, 0] {
        assert!(chain(most, most), "{most} are followed");
        assert!(!chain(most, most + 1), "{} are not", most + 1);
    }
}

#[test]
fn limit_of_an_answers_size_at_it_and_above() {
    for max_response_size in [ResponseLimits::default().max_response_size, 100_000] {
        let error = |size: usize| {
            let server = Scripted::start(move |_| Reply::status(207).body(vec![b' '; size]));
            let limits = ResponseLimits { max_response_size, ..ResponseLimits::default() };
            Watch::within(limits, &server.url).try_sync().unwrap_err()
        };
        assert!(!matches!(error(max_response_size), CaldavError::TooLarge { .. }));
        let refused = error(max_response_size + 1);
        assert!(matches!(refused, CaldavError::TooLarge { .. }));
        assert!(refused.to_string().contains("limits.max_response_size"), "{refused}");
    }
}

#[test]
fn an_answer_of_many_small_elements_takes_little_memory() {
    let response =
        format!("<D:response><D:href>/cal/x</D:href><D:prop>{}</D:prop></D:response>", "<a/>".repeat(19_000));
    // Some 4 million of them.
    let answer = Reply::multistatus(&response.repeat(200));
    let server = Scripted::start(move |asked| match asked.path.as_str() {
        "/" => answer.clone(),
        _ => Reply::status(404),
    });
    let folder = account(&server.url, "sesame");
    let daemon = Daemon::start(folder.path(), &["run"]);
    assert!(daemon.log.find(Duration::from_secs(120), |line| line.contains("the source cannot be read")).is_some());
    assert!(server.asked().iter().any(|asked| asked.path == "/"));
    let status = Path::new("/proc").join(daemon.pid().as_raw_nonzero().to_string()).join("status");
    let status = fs::read_to_string(status).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 150 * 1024, "{peak} kB");
}

#[test]
fn limit_of_a_servers_wish_at_it_and_above() {
    for most in [ResponseLimits::default().max_retry_after.as_secs(), 60] {
        let pause = |seconds: u64| {
            let server = Scripted::start(move |_| Reply::status(503).header("Retry-After", &seconds.to_string()));
            let limits = ResponseLimits { max_retry_after: Duration::from_secs(most), ..ResponseLimits::default() };
            let error = Watch::within(limits, &server.url).try_sync().unwrap_err();
            error.retry_after().map(|pause| pause.as_secs())
        };
        assert_eq!([pause(most), pause(most + 1)], [Some(most), Some(most)]);
    }
}

#[test]
fn headers_without_an_end_are_given_up() {
    let long = "x".repeat(4 * 1024 * 1024);
    let server = Scripted::start(move |_| Reply::status(207).header("X-Long", &long));
    let error = Watch::of(&server.url, None).try_sync().unwrap_err();
    assert!(matches!(error, CaldavError::Broken { .. }), "{error}");
    assert!(error.to_string().len() < 1000);
}

#[test]
fn a_calendars_name_is_kept_within_bounds() {
    for (most, limits) in [(1_000, ""), (10, "[limits]\nmax_name = 10\n")] {
        let names = [most, most + 1].map(|length| {
            let server = calendar_server(&"n".repeat(length), &[], String::new());
            let folder = account(&server.url, "sesame");
            let configuration = folder.path().join("reveille.toml");
            fs::write(&configuration, fs::read_to_string(&configuration).unwrap() + limits).unwrap();
            assert!(reveille(folder.path(), &["run", "--once", "--at", "2026-03-10T11:00:00Z"]).status.success());
            let calendars = text(&reveille(folder.path(), &["calendars", "--json"]).stdout);
            let calendar: Value = serde_json::from_str(&calendars).unwrap();
            calendar["calendarName"].as_str().unwrap().len()
        });
        assert_eq!(names, [most, most]);
    }
}

#[test]
fn the_faults_of_many_objects_do_not_fill_the_log() {
    let stage = Stage::new();
    let alarm = "BEGIN:VALARM\r\nACTION:DISPLAY\r\nTRIGGER:soon\r\nEND:VALARM\r\n".repeat(5);
    for number in 0..100 {
        let event = event(&format!("e{number}"), "20260310T120000Z", "x");
        let event = event.replacen("BEGIN:VALARM", &format!("{alarm}BEGIN:VALARM"), 1);
        fs::write(stage.file(&format!("e{number}.ics")), event).unwrap();
    }
    let log = stage.pass("2026-03-10T11:00:00Z");
    let of_objects = log.lines().filter(|line| line.contains("object.href=")).count();
    assert_eq!(of_objects, 20, "{log}");
    assert!(log.contains("2 more faults; see 'reveille calendars --faults'"), "{log}");
    assert_eq!(log.matches("further faults in objects of this user are not logged for an hour").count(), 1, "{log}");
    let faulty = stage.listing(&["calendars", "--faults"]);
    assert_eq!(faulty.len(), 100);
    assert_eq!(faulty[0]["faults"].as_array().unwrap().len(), 5, "{faulty:?}");
}

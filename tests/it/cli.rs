//! The command line: what each command prints on which stream, and how it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::daemon::Daemon;
use crate::rehearsal::Stage;

const SOON: Duration = Duration::from_secs(30);

const COMMANDS: &[&str] = &[
    "run",
    "preview",
    "check",
    "status",
    "calendars",
    "alarms",
    "show",
    "explain",
    "firings",
    "deliveries",
    "ack",
    "snooze",
    "sync",
    "backup",
    "restore",
    "test-sink",
    "templates",
    "zones",
    "completions",
    "man",
];

/// The three things that a command leaves behind.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    status: i32,
    out: String,
    err: String,
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reveille"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    for name in ["REVEILLE_CONFIG", "REVEILLE_LOG", "XDG_CONFIG_HOME", "NO_COLOR"] {
        command.env_remove(name);
    }
    command.env("HOME", folder);
    command
}

fn say(folder: &Path, arguments: &[&str]) -> Said {
    said(&command(folder, arguments).output().unwrap())
}

fn said(output: &Output) -> Said {
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
    Said { status: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// The JSON lines of a command that does what it is asked, in silence otherwise.
fn json(folder: &Path, arguments: &[&str]) -> Vec<Value> {
    let said = say(folder, &[arguments, &["--json"]].concat());
    assert_eq!((said.status, said.err.as_str()), (0, ""), "{arguments:?}");
    said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn fails(folder: &Path, arguments: &[&str], status: i32, err: &str) {
    let said = say(folder, arguments);
    assert_eq!(said, Said { status, out: String::new(), err: err.to_owned() }, "{arguments:?}");
}

#[test]
fn help_names_every_command_and_goes_to_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    let help = say(folder.path(), &["--help"]);
    assert_eq!((help.status, help.err.as_str()), (0, ""));
    let listed: Vec<&str> = help
        .out
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next().filter(|word| !word.is_empty()))
        .collect();
    assert_eq!(listed, [COMMANDS, &["help"]].concat());
    for name in COMMANDS {
        let help = say(folder.path(), &[name, "--help"]);
        assert_eq!((help.status, help.err.as_str()), (0, ""), "{name}");
        assert!(help.out.contains(&format!("Usage: reveille {name}")), "{}", help.out);
        assert!(help.out.contains("--config <FILE>"), "{}", help.out);
    }
    let version = say(folder.path(), &["--version"]);
    assert_eq!(version.out, concat!("reveille ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn a_wrong_command_line_ends_with_2_and_says_so_on_standard_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for arguments in [
        &[][..],
        &["rnu"],
        &["run", "--at", "2026-03-10T12:00:00Z"],
        &["run", "--once", "--at", "noon"],
        &["alarms", "--limit", "0"],
        &["deliveries", "--failed", "--pending"],
        &["deliveries", "retry"],
        &["deliveries", "retry", "1/stdout", "--all"],
        &["deliveries", "cancel", "nonsense"],
        &["status", "-q", "-v"],
    ] {
        let said = say(path, arguments);
        assert_eq!((said.status, said.out.as_str()), (2, ""), "{arguments:?}");
        assert!(!said.err.is_empty(), "{arguments:?}");
    }
    let hint = "error: there is nothing to watch: name a folder with --watch, or sources in a configuration file\n";
    fails(path, &["run"], 2, hint);
    fails(
        path,
        &["run", "--watch", ".", "--ledger", "mysql://h/d"],
        2,
        "error: --ledger begins with mysql: and must be sqlite:///PATH or a path\n",
    );
    assert_eq!(fs::read_dir(path).unwrap().count(), 0, "nothing was made");
}

#[test]
fn a_wrong_configuration_ends_with_2_naming_key_line_and_the_nearest_known_key() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[[source]]\nkind = \"caldav\"\nurl = \"https://dav.example.org/\"\npol_interval = \"30s\"\n\
                [defaults]\nmax_latenes = \"1h\"\n";
    fs::write(folder.path().join("reveille.toml"), text).unwrap();
    let told = "error: reveille.toml:4: source 1: unknown key 'pol_interval'; the nearest known key is 'poll_interval'\n\
                error: reveille.toml:6: [defaults]: unknown key 'max_latenes'; the nearest known key is 'max_lateness'\n";
    for arguments in [&["run"][..], &["check"], &["check", "--offline"], &["status"], &["alarms", "--json"]] {
        fails(folder.path(), arguments, 2, told);
    }
    let checked = say(folder.path(), &["check", "--json"]);
    assert_eq!((checked.status, checked.err.as_str()), (2, ""));
    let first: Value = serde_json::from_str(checked.out.lines().next().unwrap()).unwrap();
    assert_eq!(first["line"], 4);
    assert_eq!(first["key"], "source.pol_interval");
    assert_eq!(first["ok"], false);
    fails(
        folder.path(),
        &["status", "--config", "gone.toml"],
        2,
        "error: gone.toml: the configuration cannot be read: No such file or directory (os error 2)\n",
    );
}

#[test]
fn where_there_is_no_ledger_the_listings_say_so_and_make_none() {
    let folder = tempfile::tempdir().unwrap();
    let told =
        "error: there is no ledger at reveille.db: it is made by 'reveille run'; another one is named with --ledger\n";
    for arguments in [
        &["status"][..],
        &["calendars"],
        &["alarms"],
        &["show", "x"],
        &["firings"],
        &["deliveries"],
        &["deliveries", "retry", "--all"],
        &["deliveries", "cancel", "1/stdout"],
    ] {
        fails(folder.path(), arguments, 1, told);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// A folder in which an event has fired, another has not yet, and one object is broken.
fn stage() -> Stage {
    let stage = Stage::new();
    stage.put("tea.ics", "20260310T120000Z", "Tea", "2026-03-01T00:00:00Z");
    stage.put("cake.ics", "20260310T150000Z", "Cake \u{1b}[31mred", "2026-03-01T00:00:00Z");
    stage.put("dull.ics", "20260310T130000Z", "Dull", "2026-03-01T00:00:00Z");
    let dull = fs::read_to_string(stage.file("dull.ics")).unwrap().replace("TRIGGER", "TRIGER");
    fs::write(stage.file("dull.ics"), dull).unwrap();
    stage.pass("2026-03-10T11:00:00Z");
    stage.pass("2026-03-10T12:00:01Z");
    stage
}

#[test]
fn the_listings_of_a_ledger() {
    let stage = stage();
    let path = stage.path();
    let status = &json(path, &["status"])[0];
    assert_eq!(status["running"], false);
    assert_eq!((&status["calendars"], &status["objects"], &status["faultyObjects"]), (&1.into(), &3.into(), &1.into()));
    assert_eq!((&status["armed"], &status["nextDue"]), (&1.into(), &"2026-03-10T15:00:00.000Z".into()));
    assert_eq!(status["lateness"]["max"], 1000);
    assert_eq!(status["sources"][0]["name"], "home");
    assert_eq!(status["sources"][0]["error"], Value::Null);

    let calendars = json(path, &["calendars"]);
    assert_eq!((calendars.len(), &calendars[0]["calendarName"]), (1, &"work".into()));
    assert_eq!(calendars[0]["userId"], "mary@example.org");
    let faulty = json(path, &["calendars", "--faults"]);
    assert_eq!((faulty.len(), &faulty[0]["href"]), (1, &"dull.ics".into()));
    assert!(faulty[0]["faults"][0].as_str().unwrap().contains("no TRIGGER"), "{faulty:?}");
    let table = say(path, &["calendars", "--faults"]).out;
    assert!(
        table.starts_with("CALENDAR") && table.contains("home:dull.ics") && table.contains("no TRIGGER"),
        "{table}"
    );

    let alarms = json(path, &["alarms", "--until", "2026-03-11T00:00:00Z"]);
    assert_eq!(alarms.len(), 1);
    assert_eq!(
        (&alarms[0]["due"], &alarms[0]["uid"]),
        (&"2026-03-10T15:00:00.000Z".into(), &"cake.ics@example.org".into())
    );
    assert!(json(path, &["alarms", "--until", "2026-03-10T15:00:00Z"]).is_empty(), "until is not part of the window");
    assert!(json(path, &["alarms", "--until", "2027-01-01T00:00:00Z", "--user", "eve"]).is_empty());
    assert_eq!(json(path, &["alarms", "--until", "2027-01-01T00:00:00Z", "--calendar", "work"]).len(), 1);

    let firings = json(path, &["firings"]);
    assert_eq!(firings.len(), 1);
    assert_eq!((&firings[0]["state"], &firings[0]["lateness"]), (&"fired".into(), &1000.into()));
    assert_eq!(firings[0]["summary"], "Tea");
    assert!(json(path, &["firings", "--since", "2026-03-10T12:00:02Z"]).is_empty());

    let show = &json(path, &["show", "tea.ics@example.org"])[0];
    assert_eq!((&show["fired"][0]["state"], &show["upcoming"]), (&"fired".into(), &Value::Array(Vec::new())));
    let show = &json(path, &["show", "dull.ics@example.org", "--text"])[0];
    assert!(show["faults"][0].as_str().unwrap().starts_with("line "), "{show}");
    assert!(show["text"].as_str().unwrap().starts_with("BEGIN:VCALENDAR"));
    fails(path, &["show", "nothing"], 1, "error: no object in the ledger has the UID 'nothing'\n");

    let deliveries = json(path, &["deliveries"]);
    assert_eq!((&deliveries[0]["id"], &deliveries[0]["state"]), (&"1/alarms".into(), &"delivered".into()));
    assert_eq!(deliveries[0]["notificationId"], firings[0]["notificationId"]);
    assert!(json(path, &["deliveries", "--failed"]).is_empty());
    fails(path, &["deliveries", "cancel", "1/alarms"], 1, "error: 1/alarms cannot be cancelled: it is delivered\n");
    fails(path, &["deliveries", "retry", "9/alarms"], 1, "error: 9/alarms: there is no such delivery\n");
}

#[test]
fn tables_are_aligned_and_what_an_event_says_cannot_steer_the_terminal() {
    let stage = stage();
    let table = say(stage.path(), &["alarms", "--until", "2026-03-11T00:00:00Z", "--color", "never"]);
    let lines: Vec<&str> = table.out.lines().collect();
    assert_eq!(lines.len(), 2);
    for (heading, value) in [("ACTION", "display"), ("USER", "mary@example.org"), ("SUMMARY", "Cake \\u{1b}[31mred")] {
        let column = lines[0].find(heading).unwrap();
        assert!(lines[1][column..].starts_with(value), "{}", table.out);
    }
    assert!(!table.out.contains('\u{1b}'));
    let piped = say(stage.path(), &["alarms", "--until", "2026-03-11T00:00:00Z"]);
    assert_eq!(piped.out.lines().next(), Some(lines[0]), "no colours where it is no terminal");
    let colored = say(stage.path(), &["alarms", "--until", "2026-03-11T00:00:00Z", "--color", "always"]);
    assert!(colored.out.starts_with("\u{1b}[1mDUE"), "{}", colored.out);
}

/// The names of the keys of a JSON object, in order.
fn keys(line: &str) -> Vec<String> {
    // serde_json's map forgets the order, so the text is read.
    let object: Value = serde_json::from_str(line).unwrap();
    let mut keys: Vec<String> = object.as_object().unwrap().keys().cloned().collect();
    keys.sort_by_key(|key| line.find(&format!("\"{key}\":")).unwrap());
    keys
}

#[test]
fn the_keys_that_the_manual_promises_are_those_that_are_printed() {
    let stage = stage();
    let manual = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md")).unwrap();
    let until = "2026-03-11T00:00:00Z";
    for arguments in [
        &["status"][..],
        &["calendars"],
        &["calendars --faults"],
        &["alarms", "--until", until],
        &["show", "tea.ics@example.org", "--text"],
        &["explain", "tea.ics@example.org"],
        &["firings"],
        &["deliveries"],
        &["check", "--offline"],
        &["zones"],
    ] {
        let written = arguments.iter().flat_map(|argument| argument.split(' ')).chain(["--json"]).collect::<Vec<_>>();
        let said = say(stage.path(), &written);
        let printed = keys(said.out.lines().next().unwrap_or_else(|| panic!("{arguments:?}: {}", said.err)));
        let heading = format!("\n### `{} --json`\n", arguments[0]);
        let section = manual.split(&heading).nth(1).unwrap_or_else(|| panic!("no section{heading}"));
        let section = section.split("\n#").next().unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let promised: Vec<&str> = rows.filter(|key| !key.contains(['.', '['])).collect();
        let of_others = |key: &str| arguments[0] == "check" && ["file", "line", "key", "account"].contains(&key);
        let promised: Vec<&str> = promised.into_iter().filter(|key| !of_others(key)).collect();
        assert_eq!(printed, promised, "{arguments:?}");
    }
}

#[test]
fn a_closed_pipe_ends_quietly_and_a_full_disk_does_not() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["man"][..], &["completions", "bash"], &["preview", &examples("every-minute.ics")]] {
        let mut child =
            command(folder.path(), arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let said = said(&child.wait_with_output().unwrap());
        assert_eq!((said.status, said.err.as_str()), (0, ""), "{arguments:?}");
    }
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let said = said(&command(folder.path(), &["man"]).stdout(full).output().unwrap());
    assert_eq!(said.status, 1);
    assert!(said.err.starts_with("error: standard output cannot be written: "), "{}", said.err);
}

#[test]
fn completions_and_the_manual() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = say(folder.path(), &["completions", shell]);
        assert_eq!((said.status, said.err.as_str()), (0, ""));
        assert!(said.out.contains("deliveries"), "{shell}");
    }
    let manual = say(folder.path(), &["man"]).out;
    assert!(manual.starts_with(".ie"), "{}", &manual[..80]);
    for part in [".SH NAME", ".SH SYNOPSIS", ".SH \"EXIT STATUS\"", ".SH FILES", ".SH ENVIRONMENT", "REVEILLE_LOG"] {
        assert!(manual.contains(part), "{part}");
    }
    for name in COMMANDS {
        assert!(manual.contains(&format!(".SS \"reveille {name} ")), "{name}");
    }
}

fn examples(name: &str) -> String {
    let file: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/calendars").join(name);
    file.to_str().unwrap().to_owned()
}

/// The alarmTimes of an example in a window.
fn times(name: &str, from: &str, until: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let lines = json(folder.path(), &["preview", &examples(name), "--from", from, "--until", until]);
    lines.iter().map(|line| line["alarmTime"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_examples_fire_when_they_say() {
    let minutes = times("every-minute.ics", "2026-03-10T12:00:00Z", "2026-03-10T12:03:00Z");
    assert_eq!(minutes, ["20260310T120000Z", "20260310T120100Z", "20260310T120200Z"]);
    let weekly = times("weekly.ics", "2026-03-20T00:00:00Z", "2026-04-07T00:00:00Z");
    assert_eq!(weekly, ["20260323T074500Z", "20260330T064500Z", "20260406T064500Z"], "the clocks change on the 29th");
    let all_day = times("all-day.ics", "2026-03-20T00:00:00Z", "2026-05-01T00:00:00Z");
    assert_eq!(all_day, ["20260331T090000Z", "20260430T090000Z"]);
    let email = times("email.ics", "2026-03-20T00:00:00Z", "2026-03-28T00:00:00Z");
    assert_eq!(email, ["20260320T160000Z", "20260327T160000Z"]);
}

#[test]
fn logs_are_json_where_that_is_asked_for_and_quiet_where_that_is() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("calendars")).unwrap();
    let pass = |more: &[&str]| {
        let arguments = [&["run", "--once", "--at", "2026-03-10T12:00:00Z", "--watch", "calendars"], more].concat();
        say(folder.path(), &arguments)
    };
    let human = pass(&[]);
    assert_eq!((human.status, human.out.as_str()), (0, ""));
    assert!(human.err.contains("INFO"), "{}", human.err);
    assert!(!human.err.contains('\u{1b}'), "{}", human.err);
    let log = pass(&["--log-format", "json"]).err;
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["level"] == "INFO" && line["message"] == "sync finished"), "{log}");
    assert_eq!(pass(&["-q"]).err, "");
    let debug = stage().reveille(&["run", "--once", "--at", "2026-03-10T15:00:01Z", "-v"]).stderr;
    assert!(String::from_utf8(debug).unwrap().contains("DEBUG firings were recorded"));
}

#[test]
fn a_running_daemon_is_seen_is_alone_and_syncs_on_demand() {
    let stage = stage();
    let path = stage.path();
    fails(
        path,
        &["sync"],
        1,
        &format!(
            "error: no daemon runs with the ledger {}/ledger.db: start one, or sync with 'run --once'\n",
            path.display()
        ),
    );
    let mut daemon = Daemon::start(path, &["run"]);
    daemon.log.find(SOON, |line| line.contains("reveille is running")).expect("it starts");
    let pid = daemon.pid().as_raw_nonzero().get();
    let status = &json(path, &["status"])[0];
    assert_eq!((&status["running"], &status["pid"]), (&true.into(), &pid.into()));
    let second = say(path, &["run"]);
    assert_eq!((second.status, second.out.as_str()), (1, ""));
    let told = format!("ledger.db is in use by another reveille (process {pid}): stop that one first");
    assert!(second.err.contains(&told), "{}", second.err);

    fails(path, &["sync", "hoem"], 1, "error: there is no source 'hoem'; there are: home\n");
    let synced = "home: synced, nothing has changed\n".to_owned();
    assert_eq!(say(path, &["sync", "home"]), Said { status: 0, out: synced, err: String::new() });
    let told = format!("the daemon (process {pid}) syncs its sources now\n");
    assert_eq!(say(path, &["sync"]), Said { status: 0, out: String::new(), err: told });
    daemon.log.find(SOON, |line| line.contains("syncing every source")).expect("it syncs");
    assert!(daemon.stop(SOON).success());
    assert_eq!(json(path, &["status"])[0]["running"], false);
}

#[test]
fn status_says_since_when_a_source_fails_and_when_it_was_and_will_be_tried() {
    let stage = Stage::new();
    let path = stage.path();
    let configured = fs::read_to_string(path.join("reveille.toml")).unwrap();
    let away = "[[source]]\nkind = \"directory\"\nname = \"away\"\npath = \"away\"\n";
    fs::write(path.join("reveille.toml"), format!("{configured}{away}")).unwrap();
    let mut daemon = Daemon::start(path, &["run"]);
    daemon.log.find(SOON, |line| line.contains("the folder") && line.contains("away")).expect("it fails");
    let at = |value: &Value| reveille::time::UtcMillis::parse(value.as_str().unwrap()).unwrap().0;
    // The failure is told first, and noted a moment later.
    let deadline = std::time::Instant::now() + SOON;
    let noted = || json(path, &["status"])[0]["sources"][0].clone();
    while noted()["nextTry"].is_null() && std::time::Instant::now() < deadline {
        std::thread::yield_now();
    }
    let source = noted();
    assert_eq!(source["name"], "away");
    assert!(at(&source["errorSince"]) <= at(&source["triedAt"]), "{source}");
    // A second after the first try, and twice as long after each that follows.
    let wait = at(&source["nextTry"]) - at(&source["triedAt"]);
    assert!((1_000..62_000).contains(&wait), "{source}");
    // Not while it is just being tried.
    let told = |text: &str| text.contains(", last tried 20") && text.contains(", next 20") && text.contains("(in ");
    let mut text = say(path, &["status"]).out;
    while !told(&text) && std::time::Instant::now() < deadline {
        text = say(path, &["status"]).out;
    }
    assert!(told(&text), "{text}");
    assert_eq!(json(path, &["status"])[0]["sources"][1]["nextTry"], Value::Null, "what goes well is not tried again");
    assert!(daemon.stop(SOON).success());
    assert_eq!(json(path, &["status"])[0]["sources"][0]["nextTry"], Value::Null, "nobody tries");
    assert!(say(path, &["status"]).out.contains(", next when the daemon runs: "));
}

#[test]
fn status_says_when_an_absent_calendar_is_dropped() {
    let stage = Stage::new();
    let path = stage.path();
    stage.put("tea.ics", "20260310T120000Z", "Tea", "2026-03-01T00:00:00Z");
    fs::create_dir(path.join("watched/other")).unwrap();
    fs::copy(stage.file("tea.ics"), path.join("watched/other/cake.ics")).unwrap();
    stage.pass("2026-03-10T10:00:00Z");
    fs::rename(path.join("watched/other"), path.join("elsewhere")).unwrap();
    stage.pass("2026-03-10T10:01:00Z");
    let absent = &json(path, &["status"])[0]["absentCalendars"][0];
    let (since, end) = ("2026-03-10T10:01:00.000Z", "2026-03-10T10:16:00.000Z");
    assert_eq!((&absent["absentSince"], &absent["dropAt"]), (&since.into(), &end.into()));
    let text = say(path, &["status"]).out;
    let told = "not found since 2026-03-10 10:01:00Z; its alarms stay scheduled; dropped at 2026-03-10 10:16:00Z unless it is found";
    assert!(text.contains(told), "{text}");
    stage.pass("2026-03-10T10:15:59Z");
    assert_eq!(json(path, &["calendars"]).len(), 2);
    stage.pass("2026-03-10T10:16:00Z");
    assert_eq!(json(path, &["calendars"]).len(), 1, "dropped when it was said to be");
}

#[test]
fn a_test_alarm_goes_through_a_sink_and_past_the_ledger() {
    let stage = stage();
    let fired = stage.alarms().len();
    let told = "the sink 'alarms' accepted the alarm\n".to_owned();
    assert_eq!(say(stage.path(), &["test-sink", "alarms"]), Said { status: 0, out: String::new(), err: told });
    let alarms = stage.alarms();
    assert_eq!(alarms.len(), fired + 1);
    assert_eq!(alarms.last().unwrap()["summary"], "Test of reveille");
    assert_eq!(json(stage.path(), &["firings"]).len(), 1, "nothing is recorded");
    fails(stage.path(), &["test-sink", "alarm"], 1, "error: there is no sink 'alarm'; there are: alarms\n");
    let ring = "[[sink]]\nkind = 'command'\nname = 'ring'\nargv = ['sh', '-c', 'cat >rung; exit 3']\n";
    fs::write(stage.path().join("ring.toml"), ring).unwrap();
    let rung = say(stage.path(), &["test-sink", "ring", "--config", "ring.toml"]);
    assert!(rung.status == 1 && rung.err.contains("sh failed (exit status: 3)"), "{rung:?}");
    assert!(fs::read_to_string(stage.path().join("rung")).unwrap().starts_with("{\"event\":\"CalendarAlarm\""));
    let text =
        "[[sink]]\nkind = \"email\"\nname = \"mail\"\nurl = \"smtp+plain://127.0.0.1:1\"\nfrom = \"a@example.org\"\n";
    fs::write(stage.path().join("mail.toml"), text).unwrap();
    fails(
        stage.path(),
        &["test-sink", "mail", "--config", "mail.toml"],
        2,
        "error: no address is configured to send a test to: name one with --to\n",
    );
    let refused = say(stage.path(), &["test-sink", "mail", "--config", "mail.toml", "--to", "mary@example.org"]);
    assert_eq!(refused.status, 1);
    assert!(
        refused.err.starts_with("error: the sink 'mail' did not accept the alarm for mary@example.org: "),
        "{}",
        refused.err
    );
}

#[test]
fn the_documents_name_every_command_and_point_at_files_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    for name in COMMANDS {
        assert!(readme.contains(&format!("`{name}")), "README.md does not know {name}");
    }
    for file in [
        "README.md",
        "CONTRIBUTING.md",
        "docs/alarm-rules.md",
        "docs/architecture.md",
        "docs/cli.md",
        "docs/how-it-works.md",
        "docs/mail.md",
        "docs/notification.md",
        "docs/operating.md",
    ] {
        let text = fs::read_to_string(root.join(file)).unwrap();
        let targets = text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
        for target in targets.filter(|target| !target.starts_with("https://")) {
            let path = root.join(file).parent().unwrap().join(target.split('#').next().unwrap());
            let path = if target.starts_with('#') { root.join(file) } else { path };
            assert!(path.exists(), "{file} points at {target}");
        }
    }
}

#[test]
fn a_folder_to_watch_that_is_not_there_ends_with_2_and_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    for (name, what) in [("missing", "does not exist"), ("file", "is not a folder")] {
        let output = Command::new(env!("CARGO_BIN_EXE_reveille"))
            .args(["run", "--once", "--watch", name])
            .current_dir(folder.path())
            .env_remove("REVEILLE_CONFIG")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains(&format!("the folder {name} {what}")), "{told}");
    }
    assert!(!folder.path().join("reveille.db").exists());
}

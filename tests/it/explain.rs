//! `reveille explain`: of a file without a ledger, and of a UID with what the ledger knows of it.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::rehearsal::{Stage, touch};

/// A series in Berlin with an occurrence on the day on which the clocks go forward, one that is taken away, and an
/// override.
const SERIES: &str = "BEGIN:VCALENDAR
VERSION:2.0
BEGIN:VEVENT
UID:series
SUMMARY:Early
DTSTART;TZID=\"W. Europe Standard Time\":20260327T023000
RRULE:FREQ=DAILY;COUNT=5
EXDATE:20260328T013000Z
BEGIN:VALARM
ACTION:DISPLAY
TRIGGER:-P1DT15M
END:VALARM
BEGIN:VALARM
ACTION:AUDIO
TRIGGER:PT0S
PROXIMITY:ARRIVE
END:VALARM
END:VEVENT
BEGIN:VEVENT
UID:series
SUMMARY:Late
RECURRENCE-ID:20260330T003000Z
DTSTART:20260330T100000
STATUS:CANCELLED
BEGIN:VALARM
ACTION:DISPLAY
TRIGGER:-PT5M
END:VALARM
END:VEVENT
END:VCALENDAR
";

const TEXT: &str = "uid:         series
file:        series.ics
tz database: VERSION, the program's own
seen from:   2026-03-26 03:00:00Z

VEVENT in line 3: Early
  DTSTART;TZID=\"W. Europe Standard Time\":20260327T023000  in Europe/Berlin (Windows calls it 'W. Europe Standard Time')
  alarm in line 9: DISPLAY, TRIGGER:-P1DT15M, counts from DTSTART
    it is due next at 2026-03-28T01:15:00.000Z
  alarm in line 13: AUDIO, TRIGGER:PT0S, counts from DTSTART
    it does not fire: the alarm fires by place (PROXIMITY), not by time

VEVENT in line 19: Late
  DTSTART:20260330T100000  in Asia/Tokyo (floating: --zone)
  RECURRENCE-ID:20260330T003000Z  in UTC (Z says so)
  none of its alarms fires: it is cancelled (STATUS:CANCELLED)
  alarm in line 25: DISPLAY, TRIGGER:-PT5M, counts from DTSTART
    it does not fire: it is cancelled (STATUS:CANCELLED)

How its alarms come about
  2026-03-28 01:15:00Z  display of the alarm in line 9 (in 1d 22h)
    RRULE:FREQ=DAILY;COUNT=5 in line 7 gives 2026-03-29T02:30:00, in the component of line 3
    zone Europe/Berlin: Windows calls it 'W. Europe Standard Time'
      occurrence                   Sun 2026-03-29 02:30:00 Europe/Berlin +01:00 = 2026-03-29 01:30:00Z  \
(the clocks skip this time: the offset before)
      trigger -P1D in local time   Sat 2026-03-28 02:30:00 Europe/Berlin +01:00 = 2026-03-28 01:30:00Z
      trigger -PT15M elapsed       Sat 2026-03-28 02:15:00 Europe/Berlin +01:00 = 2026-03-28 01:15:00Z

What does not fire meanwhile
  2026-03-27 01:15:00Z  display of the alarm in line 9: EXDATE takes this occurrence away
";

fn explain(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reveille"));
    command.arg("explain").args(arguments).current_dir(folder).stdin(Stdio::null());
    command.env_remove("REVEILLE_CONFIG").env_remove("XDG_CONFIG_HOME").env("HOME", folder).env("USER", "mary");
    command
}

/// Exit status, standard output, standard error.
fn say(mut command: Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_file_is_explained_step_by_step_and_no_ledger_is_made() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("series.ics"), SERIES).unwrap();
    fs::write(folder.path().join("bundled.toml"), "zoneinfo = \"bundled\"\n").unwrap();
    let version = reveille::calendar::zone::Zones::bundled().version().to_owned();
    let arguments = ["series.ics", "--at", "2026-03-26T03:00:00Z", "--zone", "Asia/Tokyo", "--config", "bundled.toml"];
    let (status, out, err) = say(explain(folder.path(), &arguments));
    assert_eq!((status, err.as_str()), (0, ""));
    assert_eq!(out, TEXT.replace("VERSION", &version));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn the_json_of_a_file_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("series.ics"), SERIES).unwrap();
    let arguments = ["series.ics", "--at", "2026-03-26T03:00:00Z", "--json", "--count", "9"];
    let (status, out, err) = say(explain(folder.path(), &arguments));
    assert_eq!((status, err.as_str(), out.lines().count()), (0, "", 1));
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&told["uid"], &told["file"], &told["object"]), (&json!("series"), &json!("series.ics"), &Value::Null));
    let due: Vec<&str> =
        told["instances"].as_array().unwrap().iter().map(|instance| instance["due"].as_str().unwrap()).collect();
    assert_eq!(due, ["2026-03-28T01:15:00.000Z", "2026-03-30T00:15:00.000Z"]);
    let first = &told["instances"][0];
    assert_eq!((&first["alarm"], &first["zoneFrom"]), (&json!(9), &json!("windows")));
    let gap = json!({
        "step": "occurrence", "by": null, "civil": "2026-03-29T02:30:00", "zone": "Europe/Berlin",
        "offset": "+01:00", "ambiguity": "gap", "at": "2026-03-29T01:30:00.000Z"
    });
    assert_eq!(first["steps"][0], gap);
    assert_eq!((&first["steps"][1]["by"], &first["steps"][2]["by"]), (&json!("-P1D"), &json!("-PT15M")));
    let withheld: Vec<&str> =
        told["withheld"].as_array().unwrap().iter().map(|held| held["why"].as_str().unwrap()).collect();
    let override_ = "the VEVENT in line 19 takes the place of this occurrence";
    assert_eq!(withheld, ["EXDATE takes this occurrence away", override_]);
    let fates: Vec<&Value> = told["components"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|component| component["alarms"].as_array().unwrap())
        .map(|alarm| &alarm["status"])
        .collect();
    assert_eq!(fates, ["due", "silent", "silent"]);
    // The instances are those of preview.
    let mut preview = Command::new(env!("CARGO_BIN_EXE_reveille"));
    preview.args([
        "preview",
        "series.ics",
        "--json",
        "--from",
        "2026-03-26T03:00:00Z",
        "--until",
        "2026-05-01T00:00:00Z",
    ]);
    preview.current_dir(folder.path()).env("HOME", folder.path()).env_remove("REVEILLE_CONFIG");
    let (_, out, _) = say(preview);
    let times: Vec<Value> =
        out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["alarmTime"].clone()).collect();
    assert_eq!(times, ["20260328T011500Z", "20260330T001500Z"]);
}

#[test]
fn standard_input_is_explained_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = explain(folder.path(), &["-", "--json", "--at", "2026-03-26T03:00:00Z"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(SERIES.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["file"], told["instances"].as_array().unwrap().len()), (&json!("standard input"), 1));
}

#[test]
fn what_the_ledger_knows_of_a_uid_is_shown_with_its_firings_and_deliveries() {
    let stage = Stage::new();
    stage.put("tea.ics", "20260310T120000Z", "Tea", "2026-03-01T00:00:00Z");
    let daily = fs::read_to_string(stage.file("tea.ics")).unwrap();
    let daily = daily.replace("DURATION:PT1H", "DURATION:PT1H\r\nRRULE:FREQ=DAILY");
    let written = fs::metadata(stage.file("tea.ics")).unwrap().modified().unwrap();
    fs::write(stage.file("tea.ics"), daily).unwrap();
    fs::File::options().write(true).open(stage.file("tea.ics")).unwrap().set_modified(written).unwrap();
    stage.pass("2026-03-10T11:00:00Z");
    stage.pass("2026-03-10T12:00:01Z");
    let uid = "tea.ics@example.org";
    let told = &stage.listing(&["explain", uid, "--at", "2026-03-10T12:00:00Z", "--count", "2"])[0];
    let object = &told["object"];
    assert_eq!((&object["source"], &object["calendarHref"]), (&json!("home"), &json!("work")));
    assert_eq!(object["nextDue"], "2026-03-11T12:00:00.000Z");
    let (fired, armed) = (&told["instances"][0], &told["instances"][1]);
    let standing = "fired at 2026-03-10T12:00:01.000Z (firing 1)";
    assert_eq!(fired["standing"], standing);
    assert_eq!(fired["notificationId"], stage.alarms()[0]["notificationId"]);
    let delivery = &fired["recorded"]["deliveries"][0];
    assert_eq!((&delivery["sink"], &delivery["state"]), (&json!("alarms"), &json!("delivered")));
    // The next instance is long overdue by the clock of this machine, which is not that of the passes.
    assert!(armed["standing"].as_str().unwrap().contains("it will be recorded as missed"), "{armed}");
    assert_eq!((&told["history"][0]["firing"], &told["history"][0]["lateness"]), (&json!(1), &json!(1000)));

    let past = &stage.listing(&["explain", uid, "--at", "2026-03-10T12:00:01Z"])[0];
    assert_eq!(past["instances"][0]["due"], "2026-03-11T12:00:00.000Z", "--at asks for the next instance");
    let text = String::from_utf8(stage.reveille(&["explain", uid, "--at", "2026-03-10T12:00:00Z"]).stdout).unwrap();
    assert!(text.contains("calendar:    work of mary@example.org\n"), "{text}");
    assert!(text.contains("    alarms: delivered at "), "{text}");
}

#[test]
fn an_instance_before_the_calendar_was_seen_says_why_it_has_no_firing() {
    let stage = Stage::new();
    stage.put("tea.ics", "20260310T120000Z", "Tea", "2026-03-01T00:00:00Z");
    stage.pass("2026-03-10T13:00:00Z");
    let told = &stage.listing(&["explain", "tea.ics@example.org", "--at", "2026-03-10T00:00:00Z"])[0];
    let why = "due before this calendar was first seen at 2026-03-10T13:00:00.000Z: did not fire";
    assert_eq!((&told["instances"][0]["standing"], &told["object"]["nextDue"]), (&json!(why), &Value::Null));
}

#[test]
fn what_is_neither_a_file_nor_a_uid_is_a_no() {
    let folder = tempfile::tempdir().unwrap();
    let (status, out, err) = say(explain(folder.path(), &["nothing"]));
    assert_eq!((status, out.as_str()), (1, ""));
    assert!(err.starts_with("error: no file is called 'nothing', and there is no ledger at reveille.db"), "{err}");
    let stage = Stage::new();
    stage.pass("2026-03-10T13:00:00Z");
    let output = stage.reveille(&["explain", "nothing"]);
    assert_eq!(output.status.code(), Some(1));
    let told = "error: no object in the ledger has the UID 'nothing', and no file is called that\n";
    assert_eq!(String::from_utf8(output.stderr).unwrap(), told);
    fs::write(folder.path().join("page.ics"), "<html></html>\n").unwrap();
    let (status, _, err) = say(explain(folder.path(), &["page.ics"]));
    let refusal = "error: page.ics is not read: it is not iCalendar text: no line says BEGIN:VCALENDAR\n";
    assert_eq!((status, err.as_str()), (1, refusal));
    let (status, _, err) = say(explain(folder.path(), &["."]));
    assert_eq!((status, err.as_str()), (2, "error: . is a folder: name a file in it, or use 'preview'\n"));
}

/// What `explain` says of the only alarm of `uid`, as seen from now: (outcome, standing).
fn outcome(stage: &Stage, uid: &str) -> (String, String) {
    let told = &stage.listing(&["explain", &format!("{uid}@example.org")])[0];
    let alarm = &told["components"][0]["alarms"][0];
    let text = String::from_utf8(stage.reveille(&["explain", &format!("{uid}@example.org")]).stdout).unwrap();
    let standing = alarm["standing"].as_str().unwrap_or_else(|| panic!("{text}"));
    assert!(text.contains(standing), "the text says what the JSON says: {text}");
    assert!(
        !["has fired", "it fired"].iter().any(|claim| text.contains(claim)) && !text.contains("last instance"),
        "nothing is claimed: {text}"
    );
    (alarm["outcome"].as_str().unwrap().to_owned(), standing.to_owned())
}

fn ends(outcome: &str, standing: &str) -> (String, String) {
    (outcome.to_owned(), standing.to_owned())
}

#[test]
fn an_alarm_that_is_over_is_shown_from_the_ledger_and_not_from_arithmetic() {
    let stage = Stage::new();
    stage.configure_ledger("keep_history = \"36500d\"", "max_lateness = \"1h\"");
    stage.put("past.ics", "20260310T110000Z", "past", "2026-03-01T00:00:00Z");
    stage.put("done.ics", "20260310T123000Z", "done", "2026-03-01T00:00:00Z");
    stage.put("late.ics", "20260310T124500Z", "late", "2026-03-01T00:00:00Z");
    stage.pass("2026-03-10T12:00:00Z");
    stage.pass("2026-03-10T12:31:00Z");
    // A text that was written in time, and came after the calendar had been looked at again.
    stage.put("lost.ics", "20260310T122000Z", "lost", "2026-03-10T12:10:00Z");
    // And one that was written too late.
    stage.put("moved.ics", "20260310T133000Z", "moved", "2026-03-10T13:50:00Z");
    stage.pass("2026-03-10T14:00:00Z");
    assert_eq!(stage.fired(), ["20260310T123000Z done"]);
    let seen = "due before this calendar was first seen at 2026-03-10T12:00:00.000Z: did not fire";
    assert_eq!(outcome(&stage, "past.ics"), ends("beforeFirstSeen", seen));
    let done = "fired at 2026-03-10T12:31:00.000Z (firing 1)";
    assert_eq!(outcome(&stage, "done.ics"), ends("fired", done));
    let late =
        "did not fire: recorded as missed at 2026-03-10T14:00:00.000Z (firing 2), when it was later than max_lateness";
    assert_eq!(outcome(&stage, "late.ics"), ends("missed", late));
    let lost = "should have fired, but there is no record that it did: perhaps this text reached the ledger only after a \
                later sync of the calendar";
    assert_eq!(outcome(&stage, "lost.ics"), ends("notRecorded", lost));
    let moved = "already past when its object was written at 2026-03-10T13:50:00.000Z: did not fire";
    assert_eq!(outcome(&stage, "moved.ics"), ends("beforeWritten", moved));
    let shown = String::from_utf8(stage.reveille(&["show", "past.ics@example.org"]).stdout).unwrap();
    assert!(shown.contains("\nThe ledger has no record of an alarm of it, and none is armed: "), "{shown}");
}

#[test]
fn the_limit_that_all_events_of_an_object_share_is_explained() {
    let stage = Stage::new();
    stage.configure_ledger("", "[limits]\nmax_alarms_per_hour = 1");
    let event = |n: usize| {
        format!(
            "BEGIN:VEVENT\r\nUID:u{n}\r\nDTSTART:20990310T12{n:02}00Z\r\nBEGIN:VALARM\r\nACTION:DISPLAY\r\n\
             TRIGGER:PT0S\r\nEND:VALARM\r\nEND:VEVENT\r\n"
        )
    };
    let events: String = (10..21).map(event).collect();
    let text = format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{events}END:VCALENDAR\r\n");
    fs::write(stage.file("many.ics"), text).unwrap();
    touch(&stage.file("many.ics"), "2026-03-01T00:00:00Z");
    stage.pass("2099-03-10T11:00:00Z");
    let explained = |uid: &str| stage.listing(&["explain", uid, "--at", "2099-03-10T11:00:00Z"]).remove(0);
    let tenth = explained("u19");
    assert_eq!((&tenth["components"][0]["alarms"][0]["status"], &tenth["withheld"]), (&json!("due"), &json!([])));
    let eleventh = explained("u20");
    assert_eq!(eleventh["instances"], json!([]));
    let alarm = &eleventh["components"][0]["alarms"][0];
    assert_eq!((&alarm["status"], &alarm["outcome"]), (&json!("suppressed"), &json!("suppressed")));
    let why = "all events of its object have 10 alarms already in its hour (ten times limits.max_alarms_per_hour)";
    assert_eq!(eleventh["withheld"][0]["why"], why);
}

#[test]
fn what_the_history_has_forgotten_is_not_said_to_have_fired_or_not() {
    let stage = Stage::new();
    stage.configure_ledger("keep_history = \"2d\"", "");
    stage.put("old.ics", "20260310T123000Z", "old", "2026-03-01T00:00:00Z");
    stage.pass("2026-03-10T12:00:00Z");
    stage.pass("2026-03-10T12:30:00Z");
    stage.pass("2026-03-20T11:30:00Z");
    stage.pass("2026-03-20T12:30:00Z");
    assert!(stage.listing(&["firings", "--since", "2026-01-01T00:00:00Z"]).is_empty());
    // The configuration of today does not say what was forgotten by that of yesterday.
    stage.configure_ledger("keep_history = \"36500d\"", "");
    let told = "no longer recorded: the history before 2026-03-18T12:30:00.000Z is deleted (keep_history)";
    assert_eq!(outcome(&stage, "old.ics"), ends("forgotten", told));
    let shown = String::from_utf8(stage.reveille(&["show", "old.ics@example.org"]).stdout).unwrap();
    assert!(shown.contains("\nThe ledger has no record of an alarm of it, and none is armed: "), "{shown}");
}

#[test]
fn alarms_that_are_only_counted_are_shown_from_their_count() {
    let stage = Stage::new();
    stage.configure_ledger("keep_history = \"36500d\"", "max_lateness = \"1h\"\n[limits]\nmax_rings_per_hour = 30");
    let series = |name: &str, rule: &str| {
        stage.put(name, "20260310T123000Z", name, "2026-03-01T00:00:00Z");
        let text = fs::read_to_string(stage.file(name)).unwrap().replace("DURATION:PT1H", &format!("RRULE:{rule}"));
        fs::write(stage.file(name), text).unwrap();
        let written = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_772_000_000);
        fs::File::options().write(true).open(stage.file(name)).unwrap().set_modified(written).unwrap();
    };
    series("crowd.ics", "FREQ=SECONDLY;COUNT=40");
    stage.pass("2026-03-10T12:00:00Z");
    stage.pass("2026-03-10T12:31:00Z");
    assert_eq!(stage.fired().len(), 30);
    let told = "did not fire: one of 10 that were suppressed (firing 31), too many in one hour";
    assert_eq!(outcome(&stage, "crowd.ics"), ends("suppressed", told));

    let stage = Stage::new();
    stage.configure_ledger("keep_history = \"36500d\"", "max_lateness = \"1h\"");
    stage.put("many.ics", "20260310T123000Z", "many", "2026-03-01T00:00:00Z");
    let text = fs::read_to_string(stage.file("many.ics")).unwrap();
    let text = text.replace("DURATION:PT1H", "RRULE:FREQ=HOURLY;COUNT=110");
    fs::write(stage.file("many.ics"), text).unwrap();
    stage.pass("2026-03-10T12:00:00Z");
    stage.pass("2026-03-20T12:00:00Z");
    let told = &stage.listing(&["explain", "many.ics@example.org", "--at", "2026-03-14T20:30:00Z"])[0]["instances"][0];
    assert_eq!((&told["due"], &told["outcome"]), (&json!("2026-03-14T20:30:00.000Z"), &json!("missed")));
    assert_eq!(told["standing"], "did not fire: one of 10 that were recorded as missed together (firing 101)");
}

#[test]
fn what_a_backup_that_was_put_back_counts_as_fired_is_shown_so() {
    let stage = Stage::new();
    stage.configure_ledger("keep_history = \"36500d\"", "");
    stage.put("tea.ics", "20260310T123000Z", "tea", "2026-03-01T00:00:00Z");
    stage.pass("2026-03-10T12:00:00Z");
    assert!(stage.reveille(&["backup", "copy.db"]).status.success());
    fs::remove_file(stage.path().join("ledger.db")).unwrap();
    let _ = fs::remove_file(stage.path().join("ledger.db-wal"));
    let _ = fs::remove_file(stage.path().join("ledger.db-shm"));
    let restored = stage.reveille(&["restore", "copy.db", "--fired-until", "2026-03-10T12:40:00Z"]);
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    stage.pass("2026-03-10T12:50:00Z");
    assert_eq!(stage.fired(), [""; 0]);
    let told = "did not fire: recorded as missed at 2026-03-10T12:50:00.000Z (firing 1), because the ledger is a restored \
                backup, and what was due until 2026-03-10T12:40:00.000Z counts as fired";
    let (state, standing) = outcome_of_restored(&stage);
    assert_eq!((state.as_str(), standing.as_str()), ("missed", told));
}

fn outcome_of_restored(stage: &Stage) -> (String, String) {
    let alarm = &stage.listing(&["explain", "tea.ics@example.org"])[0]["components"][0]["alarms"][0];
    (alarm["outcome"].as_str().unwrap().to_owned(), alarm["standing"].as_str().unwrap().to_owned())
}

#[test]
fn alarms_that_no_sink_takes_are_named_by_check_explain_show_and_alarms() {
    let stage = Stage::new();
    let mail =
        "[[sink]]\nkind = \"email\"\nname = \"mail\"\nurl = \"smtp+plain://127.0.0.1:1\"\nfrom = \"a@example.org\"\n";
    let configured = fs::read_to_string(stage.path().join("reveille.toml")).unwrap();
    let (sources, _) = configured.split_once("[[sink]]").unwrap();
    let sources = sources.replace("user = ", "email = [\"mary@example.org\"]\nuser = ");
    fs::write(stage.path().join("reveille.toml"), format!("{sources}{mail}")).unwrap();
    let far = "20990310T120000Z";
    stage.put("tea.ics", far, "Tea", "2026-03-01T00:00:00Z");
    stage.put("mail.ics", far, "Mail", "2026-03-01T00:00:00Z");
    let text = fs::read_to_string(stage.file("mail.ics")).unwrap().replace("ACTION:DISPLAY", "ACTION:EMAIL");
    fs::write(stage.file("mail.ics"), text).unwrap();
    stage.pass("2026-03-10T12:00:00Z");
    let warnings = || -> Vec<Value> {
        let found = stage.listing(&["check", "--offline"]);
        found.into_iter().filter(|found| found["warning"] == true).map(|found| found["found"].clone()).collect()
    };
    let display = "alarms with action DISPLAY go to no sink: set actions = [\"email\", \"display\"] on sink \"mail\"";
    let audio =
        "alarms with action AUDIO go to no sink: set actions = [\"email\", \"display\", \"audio\"] on sink \"mail\"";
    assert_eq!(warnings(), [display, audio]);
    let why = "it goes to no sink: the sink 'mail' does not take the action DISPLAY (set actions = [\"email\", \"display\"] on it)";
    let told = &stage.listing(&["explain", "tea.ics@example.org"])[0];
    assert_eq!(
        (&told["components"][0]["alarms"][0]["noSink"], &told["instances"][0]["noSink"]),
        (&json!(why), &json!(why))
    );
    for arguments in [&["explain", "tea.ics@example.org"][..], &["show", "tea.ics@example.org"]] {
        let text = String::from_utf8(stage.reveille(arguments).stdout).unwrap();
        assert!(text.contains(why), "{text}");
    }
    assert_eq!(stage.listing(&["show", "tea.ics@example.org"])[0]["upcoming"][0]["noSink"], why);
    let mail = &stage.listing(&["explain", "mail.ics@example.org"])[0];
    assert_eq!(
        (&mail["components"][0]["alarms"][0]["noSink"], &mail["instances"][0]["noSink"]),
        (&Value::Null, &Value::Null)
    );
    let alarms = stage.reveille(&["alarms", "--until", "2100-01-01T00:00:00Z"]);
    assert_eq!(String::from_utf8(alarms.stderr).unwrap(), format!("warning: 1 of 2: {why}\n"));

    let recipe = "[[sink]]\nactions = [\"email\", \"display\", \"audio\"]\n";
    let configured = fs::read_to_string(stage.path().join("reveille.toml")).unwrap();
    fs::write(stage.path().join("reveille.toml"), configured.replace("[[sink]]\n", recipe)).unwrap();
    assert_eq!(warnings(), [""; 0]);
    assert_eq!(stage.listing(&["show", "tea.ics@example.org"])[0]["upcoming"][0]["noSink"], Value::Null);
}

#[test]
fn a_slip_is_reported_at_the_alarm_and_at_the_component_that_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let text = SERIES
        .replace("TRIGGER:-P1DT15M", "TRIGGER:-PT1D")
        .replace("EXDATE:20260328T013000Z", "EXDATE:2026-03-28T01:30Z");
    fs::write(folder.path().join("series.ics"), text).unwrap();
    let (status, out, _) = say(explain(folder.path(), &["series.ics", "--at", "2026-03-26T03:00:00Z"]));
    assert_eq!(status, 0);
    let of_alarm = "    fault in line 11: '-PT1D' is not a duration as RFC 5545 writes it: it is read as -P1D\n";
    let of_event = "  fault in line 8: '2026-03-28T01:30Z' is not a date or time as RFC 5545 writes it: it is read as 20260328T013000Z\n";
    let (event, alarm) = (out.find(of_event).expect(&out), out.find(of_alarm).expect(&out));
    assert!(event < out.find("  alarm in line 9").unwrap() && out.find("  alarm in line 9").unwrap() < alarm, "{out}");
    let (_, out, _) = say(explain(folder.path(), &["series.ics", "--at", "2026-03-26T03:00:00Z", "--json"]));
    let report: Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    assert_eq!(report["components"][0]["alarms"][0]["faults"].as_array().unwrap().len(), 1);
    assert_eq!(report["components"][0]["faults"].as_array().unwrap().len(), 1);
}

#[test]
fn an_alarm_that_was_dismissed_after_it_fired_and_one_whose_calendar_is_absent() {
    let stage = Stage::new();
    stage.put("tea.ics", "20260310T120000Z", "Tea", "2026-03-01T00:00:00Z");
    stage.put("cake.ics", "20990310T120000Z", "Cake", "2026-03-01T00:00:00Z");
    stage.pass("2026-03-10T11:00:00Z");
    stage.pass("2026-03-10T12:00:01Z");
    let dismissed = fs::read_to_string(stage.file("tea.ics")).unwrap();
    let dismissed = dismissed.replace("TRIGGER:PT0S", "TRIGGER:PT0S\r\nACKNOWLEDGED:20260310T120100Z");
    fs::write(stage.file("tea.ics"), dismissed).unwrap();
    // The rest of the store is in order: another calendar is there.
    fs::create_dir(stage.path().join("watched/other")).unwrap();
    fs::copy(stage.file("cake.ics"), stage.path().join("watched/other/pie.ics")).unwrap();
    stage.pass("2026-03-10T12:02:00Z");
    let fired = "fired at 2026-03-10T12:00:01.000Z (firing 1)";
    assert_eq!(outcome(&stage, "tea.ics"), ends("fired", fired));
    let told = &stage.listing(&["explain", "tea.ics@example.org"])[0];
    assert_eq!(told["components"][0]["alarms"][0]["status"], "acknowledged");
    fs::rename(stage.path().join("watched/work"), stage.path().join("elsewhere")).unwrap();
    stage.pass("2026-03-10T12:03:00Z");
    let absent = "armed; its calendar has not been found since 2026-03-10T12:03:00.000Z, and is dropped at \
                  2026-03-10T12:18:00.000Z unless it is found";
    let objects = stage.listing(&["explain", "cake.ics@example.org"]);
    let of_work = objects.iter().find(|told| told["object"]["calendarName"] == "work").unwrap();
    let alarm = &of_work["components"][0]["alarms"][0];
    assert_eq!((&alarm["outcome"], &alarm["standing"]), (&json!("armed"), &json!(absent)));
}

#[test]
fn a_moved_event_is_explained_by_the_firing_that_it_made_where_it_was() {
    let stage = Stage::new();
    stage.put("tea.ics", "20260310T120000Z", "Tea", "2026-03-01T00:00:00Z");
    fs::create_dir(stage.path().join("watched/other")).unwrap();
    stage.put("cake.ics", "20990310T120000Z", "Cake", "2026-03-01T00:00:00Z");
    stage.pass("2026-03-10T11:00:00Z");
    stage.pass("2026-03-10T12:00:01Z");
    fs::rename(stage.file("tea.ics"), stage.path().join("watched/other/tea.ics")).unwrap();
    stage.pass("2026-03-10T12:02:00Z");
    let told = "fired at 2026-03-10T12:00:01.000Z (firing 1, by another object of the same UID)";
    assert_eq!(outcome(&stage, "tea.ics"), ends("fired", told));
    let shown = &stage.listing(&["show", "tea.ics@example.org"])[0];
    assert_eq!((&shown["calendarName"], &shown["fired"][0]["firing"]), (&json!("other"), &json!(1)));
    let told = &stage.listing(&["explain", "tea.ics@example.org"])[0];
    assert_eq!(told["history"][0]["firing"], 1);
    assert!(stage.listing(&["show", "cake.ics@example.org"])[0]["fired"].as_array().unwrap().is_empty());
}

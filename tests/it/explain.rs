//! `reveille explain`: of a file without a ledger, and of a UID with what the ledger knows of it.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::rehearsal::Stage;

/// A series in Berlin with an occurrence on the day on which the clocks go forward, one that is taken away, and an override.
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
    it rings next at 2026-03-28T01:15:00.000Z
  alarm in line 13: AUDIO, TRIGGER:PT0S, counts from DTSTART
    it does not ring: the alarm rings by place (PROXIMITY), not by time

VEVENT in line 19: Late
  DTSTART:20260330T100000  in Asia/Tokyo (floating: --zone)
  RECURRENCE-ID:20260330T003000Z  in UTC (Z says so)
  none of its alarms rings: it is cancelled (STATUS:CANCELLED)
  alarm in line 25: DISPLAY, TRIGGER:-PT5M, counts from DTSTART
    it does not ring: it is cancelled (STATUS:CANCELLED)

How it rings
  2026-03-28 01:15:00Z  display of the alarm in line 9 (in 1d 22h)
    RRULE:FREQ=DAILY;COUNT=5 in line 7 gives 2026-03-29T02:30:00, in the component of line 3
    zone Europe/Berlin: Windows calls it 'W. Europe Standard Time'
      occurrence                   Sun 2026-03-29 02:30:00 Europe/Berlin +01:00 = 2026-03-29 01:30:00Z  \
(the clocks skip this time: the offset before)
      trigger -P1D on the wall     Sat 2026-03-28 02:30:00 Europe/Berlin +01:00 = 2026-03-28 01:30:00Z
      trigger -PT15M elapsed       Sat 2026-03-28 02:15:00 Europe/Berlin +01:00 = 2026-03-28 01:15:00Z

What does not ring meanwhile
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
    let due: Vec<&str> = told["rings"].as_array().unwrap().iter().map(|ring| ring["due"].as_str().unwrap()).collect();
    assert_eq!(due, ["2026-03-28T01:15:00.000Z", "2026-03-30T00:15:00.000Z"]);
    let first = &told["rings"][0];
    assert_eq!((&first["alarm"], &first["zoneFrom"]), (&json!(9), &json!("windows")));
    let gap = json!({
        "step": "occurrence", "by": null, "wall": "2026-03-29T02:30:00", "zone": "Europe/Berlin",
        "offset": "+01:00", "fit": "gap", "at": "2026-03-29T01:30:00.000Z"
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
        .map(|alarm| &alarm["fate"])
        .collect();
    assert_eq!(fates, ["rings", "silent", "silent"]);
    // The rings are those of preview.
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
    assert_eq!((&told["file"], told["rings"].as_array().unwrap().len()), (&json!("standard input"), 1));
}

#[test]
fn what_the_ledger_knows_of_a_uid_is_told_with_its_rings_and_deliveries() {
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
    let (fired, armed) = (&told["rings"][0], &told["rings"][1]);
    let standing = "fired at 2026-03-10T12:00:01.000Z (ring 1); it does not ring twice";
    assert_eq!(fired["standing"], standing);
    assert_eq!(fired["notificationId"], stage.alarms()[0]["notificationId"]);
    let delivery = &fired["recorded"]["deliveries"][0];
    assert_eq!((&delivery["sink"], &delivery["state"]), (&json!("alarms"), &json!("delivered")));
    // The next ring is long overdue by the clock of this machine, which is not that of the passes.
    assert!(armed["standing"].as_str().unwrap().contains("it will be recorded as missed"), "{armed}");
    assert_eq!((&told["history"][0]["ring"], &told["history"][0]["lateness"]), (&json!(1), &json!(1000)));

    let past = &stage.listing(&["explain", uid, "--at", "2026-03-10T12:00:01Z"])[0];
    assert_eq!(past["rings"][0]["due"], "2026-03-11T12:00:00.000Z", "--at asks for the next ring");
    let text = String::from_utf8(stage.reveille(&["explain", uid, "--at", "2026-03-10T12:00:00Z"]).stdout).unwrap();
    assert!(text.contains("calendar:    work of mary@example.org\n"), "{text}");
    assert!(text.contains("    alarms: delivered at "), "{text}");
}

#[test]
fn a_ring_before_the_calendar_was_seen_says_why_it_is_not_there() {
    let stage = Stage::new();
    stage.put("tea.ics", "20260310T120000Z", "Tea", "2026-03-01T00:00:00Z");
    stage.pass("2026-03-10T13:00:00Z");
    let told = &stage.listing(&["explain", "tea.ics@example.org", "--at", "2026-03-10T00:00:00Z"])[0];
    let why = "did not ring: its calendar was seen first at 2026-03-10T13:00:00.000Z, and its past does not ring";
    assert_eq!((&told["rings"][0]["standing"], &told["object"]["nextDue"]), (&json!(why), &Value::Null));
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
    let told = "error: no object in the ledger speaks of the UID 'nothing', and no file is called that\n";
    assert_eq!(String::from_utf8(output.stderr).unwrap(), told);
    fs::write(folder.path().join("page.ics"), "<html></html>\n").unwrap();
    let (status, _, err) = say(explain(folder.path(), &["page.ics"]));
    let refusal = "error: page.ics is not read: it is no iCalendar text: no line says BEGIN:VCALENDAR\n";
    assert_eq!((status, err.as_str()), (1, refusal));
    let (status, _, err) = say(explain(folder.path(), &["."]));
    assert_eq!((status, err.as_str()), (2, "error: . is a folder: name a file in it, or use 'preview'\n"));
}

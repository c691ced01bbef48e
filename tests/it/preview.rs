//! `reveille preview`: from files, folders and standard input to alarms; and the cases of a folder that the environment
//! names, each a file of calendar text with what must fire.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use reveille::calendar::context::CalendarContext;
use reveille::calendar::ical::object::{Object, ObjectLimits};
use reveille::calendar::schedule::Schedule;
use reveille::calendar::zone::Zones;
use reveille::time::UtcMillis;
use serde_json::Value;

use crate::rehearsal::Stage;

const WINDOW: [&str; 4] = ["--from", "2026-03-01T00:00:00Z", "--until", "2026-04-01T00:00:00Z"];

fn event(uid: &str, start: &str) -> String {
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nUID:{uid}\r\nDTSTART{start}\r\nSUMMARY:About {uid}\r\n\
         BEGIN:VALARM\r\nACTION:DISPLAY\r\nTRIGGER:-PT15M\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
}

fn preview(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reveille"));
    command.arg("preview").args(WINDOW).args(arguments).current_dir(folder).stdin(Stdio::null());
    command.env_remove("REVEILLE_CONFIG").env_remove("XDG_CONFIG_HOME").env("HOME", folder).env("USER", "mary");
    command
}

/// Exit status, standard output, standard error.
fn said(output: &Output) -> (i32, String, String) {
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn say(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    said(&preview(folder, arguments).output().unwrap())
}

fn lines(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn folders_are_read_in_depth_and_alarms_come_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (work, home) = (folder.path().join("Work"), folder.path().join("sub/Home"));
    fs::create_dir_all(&work).unwrap();
    fs::create_dir_all(&home).unwrap();
    fs::write(work.join("late.ics"), event("late", ":20260320T090000Z")).unwrap();
    fs::write(work.join("early.ICS"), event("early", ";TZID=Europe/Berlin:20260310T093000")).unwrap();
    fs::write(work.join("note.txt"), event("note", ":20260310T090000Z")).unwrap();
    let props = "{\"tag\":\"VCALENDAR\",\"D:displayname\":\"At home\",\"ICAL:calendar-color\":\"#00ff00\"}";
    fs::write(home.join(".Radicale.props"), props).unwrap();
    fs::write(home.join("day.ics"), event("day", ";VALUE=DATE:20260315")).unwrap();

    let (status, out, err) = say(folder.path(), &[".", "--json", "--zone", "Asia/Tokyo"]);
    assert_eq!((status, err.as_str()), (0, ""));
    let explained: Vec<_> =
        lines(&out).iter().map(|l| format!("{} {} {}", l["uid"], l["alarmTime"], l["calendarName"])).collect();
    let expected = [
        r#""early" "20260310T081500Z" "Work""#,
        r#""day" "20260314T144500Z" "At home""#,
        r#""late" "20260320T084500Z" "Work""#,
    ];
    assert_eq!(explained, expected);
    let day = &lines(&out)[1];
    assert_eq!((&day["calendarColor"], &day["calendarId"]), (&"#00ff00".into(), &"Home".into()));
    // Radicale keeps a user's calendars in a folder of hers.
    assert_eq!((&day["timezone"], &day["allDay"], &day["userId"]), (&"Asia/Tokyo".into(), &1.into(), &"sub".into()));
    assert_eq!(lines(&out)[0]["userId"], "mary");

    let (status, out, err) = say(folder.path(), &["sub", "Work/early.ICS", "--limit", "1"]);
    let table = "TIME                                ACTION   SUMMARY      CALENDAR\n\
                 Tue 2026-03-10 09:15 Europe/Berlin  display  About early  Work\n";
    assert_eq!((status, out.as_str()), (0, table));
    assert_eq!(err, "there are more; --limit 1 keeps the first 1\n");
}

#[test]
fn ids_are_those_of_run_for_a_configured_folder_and_for_one_that_is_watched() {
    let stage = Stage::new();
    stage.put("tea.ics", "20260310T120000Z", "Tea", "2026-03-01T00:00:00Z");
    stage.pass("2026-03-10T11:00:00Z");
    stage.pass("2026-03-10T12:00:00Z");
    let fired = &stage.alarms()[0];
    for path in ["watched", "watched/work", "watched/work/tea.ics"] {
        let (_, out, _) = say(stage.path(), &["--json", path]);
        let explained = &lines(&out)[0];
        for key in ["notificationId", "userId", "calendarId", "calendarOwner", "alertId"] {
            assert_eq!(explained[key], fired[key], "{key} of {path}");
        }
    }
    // Without a configuration the folder that is named is what would be watched.
    let folder = tempfile::tempdir().unwrap();
    let work = folder.path().join("work");
    fs::create_dir(&work).unwrap();
    fs::copy(stage.file("tea.ics"), work.join("tea.ics")).unwrap();
    let once = |at: &str| {
        let mut run = Command::new(env!("CARGO_BIN_EXE_reveille"));
        run.args(["run", "--once", "--watch", "work", "--at", at]).current_dir(folder.path()).env("USER", "mary");
        said(&run.env_remove("REVEILLE_CONFIG").env("HOME", folder.path()).output().unwrap()).1
    };
    once("2026-03-10T11:00:00Z");
    let fired = lines(&once("2026-03-10T12:00:00Z"));
    for path in ["work", "work/tea.ics"] {
        let (_, out, _) = say(folder.path(), &["--json", path]);
        assert_eq!(lines(&out)[0]["notificationId"], fired[0]["notificationId"], "{path}");
    }
}

#[test]
fn a_pipe_in_a_folder_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.ics"), event("a", ":20260310T090000Z")).unwrap();
    assert!(Command::new("mkfifo").arg(folder.path().join("pipe.ics")).status().unwrap().success());
    let (status, out, err) = say(folder.path(), &[".", "--json"]);
    assert_eq!((status, lines(&out).len(), err.as_str()), (0, 1, ""));
}

#[test]
fn standard_input_is_a_calendar_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = preview(folder.path(), &["-", "--json", "--user", "mary@example.org"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(event("piped", ":20260310T090000Z").as_bytes()).unwrap();
    let (status, out, err) = said(&child.wait_with_output().unwrap());
    assert_eq!((status, err.as_str()), (0, ""));
    assert_eq!(lines(&out)[0]["userId"], "mary@example.org");
}

#[test]
fn faults_name_file_and_line_and_the_rest_fires() {
    let folder = tempfile::tempdir().unwrap();
    let text = event("x", ":20260310T090000Z").replace("SUMMARY:", "RRULE:FREQ=SOMETIMES\r\nSUMMARY:");
    fs::write(folder.path().join("odd.ics"), text).unwrap();
    fs::write(folder.path().join("page.ics"), "<html></html>\n").unwrap();
    let (status, out, err) = say(folder.path(), &[".", "--json"]);
    assert_eq!((status, lines(&out).len()), (0, 1));
    let mut faults = err.lines();
    let fault = faults.next().unwrap();
    assert!(fault.starts_with("./odd.ics:6: the rule is left out: "), "{fault}");
    let refusal = "error: ./page.ics is not read: it is not iCalendar text: no line says BEGIN:VCALENDAR";
    assert_eq!(faults.collect::<Vec<_>>(), [refusal]);
}

#[test]
fn nothing_readable_is_a_no_and_a_bad_command_line_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("page.ics"), "<html></html>\n").unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    let (status, out, err) = say(folder.path(), &["page.ics", "missing.ics", "empty"]);
    assert_eq!((status, out.as_str()), (1, ""));
    assert_eq!(err.lines().count(), 3, "{err}");
    assert!(err.contains("error: empty holds no .ics files"), "{err}");
    for wrong in [&["--zone", "Nowhere/Land", "x"][..], &["--from", "tomorrow", "x"], &[]] {
        let (status, out, err) = say(folder.path(), wrong);
        assert_eq!((status, out.as_str()), (2, ""), "{wrong:?}");
        assert!(err.starts_with("error: "), "{err}");
    }
}

#[test]
fn what_fires_once_is_listed_once() {
    let folder = tempfile::tempdir().unwrap();
    // The second alarm of each day fires together with the first one of the next day.
    let alarm = "BEGIN:VALARM\r\nACTION:DISPLAY\r\nTRIGGER:-P1DT15M\r\nEND:VALARM\r\nEND:VEVENT";
    let series = event("daily", ":20260310T090000Z\r\nRRULE:FREQ=DAILY;COUNT=3").replace("END:VEVENT", alarm);
    for file in ["series.ics", "copy.ics"] {
        fs::write(folder.path().join(file), &series).unwrap();
    }
    let (status, out, err) = say(folder.path(), &[".", "--json"]);
    assert_eq!((status, err.as_str()), (0, ""));
    let listed = lines(&out);
    let fires: Vec<_> = listed.iter().map(|line| format!("{} {}", line["alarmTime"], line["recurrenceId"])).collect();
    let expected = [
        r#""20260309T084500Z" "2026-03-10T09:00:00""#,
        r#""20260310T084500Z" "2026-03-10T09:00:00""#,
        r#""20260311T084500Z" "2026-03-11T09:00:00""#,
        r#""20260312T084500Z" "2026-03-12T09:00:00""#,
    ];
    assert_eq!(fires, expected);
    let ids: BTreeSet<&str> = listed.iter().map(|line| line["notificationId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 4);
    let (_, out, err) = say(folder.path(), &[".", "--limit", "2"]);
    assert_eq!((out.lines().count(), err.as_str()), (3, "there are more; --limit 2 keeps the first 2\n"));
}

#[test]
fn crowded_hours_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        event("loud", ":20260310T090000Z").replace("SUMMARY:", "RRULE:FREQ=MINUTELY;INTERVAL=1;COUNT=61\r\nSUMMARY:");
    let text = text.replace("-PT15M", "PT0S\r\nREPEAT:2\r\nDURATION:PT1S");
    fs::write(folder.path().join("loud.ics"), text).unwrap();
    let (status, out, err) = say(folder.path(), &["loud.ics", "--json"]);
    assert_eq!((status, lines(&out).len()), (0, 123));
    let note = "loud.ics: more than 120 alarms in the hour of 2026-03-10T09:00:00.000Z: only the first 120 fire\n";
    assert_eq!(err, note);
}

/// A case: calendar text, the user's zone, a window, and what fires in it.
fn case_holds(case: &Value, zones: &Zones) -> Result<(), String> {
    let text = |key: &str| case[key].as_str().unwrap_or_default().to_owned();
    let object = Object::parse(text("ics").as_bytes(), &ObjectLimits::default()).map_err(|error| error.to_string())?;
    let context = CalendarContext::new(zones.clone()).with_user_zone(Some(&text("zone")), None);
    let schedule = Schedule::new(&object, &context, None);
    let (from, until) = (UtcMillis::parse(&text("from"))?, UtcMillis::parse(&text("until"))?);
    let mut fired = BTreeMap::<(String, String, String), i32>::new();
    for instance in schedule.instances(from..until) {
        let led_to = schedule.derive(&instance).steps.last().map(|step| step.at);
        if led_to != Some(instance.at) {
            return Err(format!("the explanation of {} leads to {led_to:?}", instance.at));
        }
        let key = (instance.at.basic(), instance.component.uid.to_string(), instance.action.name().to_owned());
        *fired.entry(key).or_default() += 1;
    }
    for expected in case["expected"].as_array().into_iter().flatten() {
        let text = |key: &str| expected[key].as_str().unwrap_or_default().to_owned();
        *fired.entry((text("alarmTime"), text("uid"), text("action"))).or_default() -= 1;
    }
    fired.retain(|_, count| *count != 0);
    if fired.is_empty() { Ok(()) } else { Err(format!("too many (or, negative, too few): {fired:?}")) }
}

/// `REVEILLE_CASES` names a folder of cases: JSON files with `name`, `ics`, `zone`, `from`, `until` and `expected`
/// alarms (`alarmTime`, `uid`, `action`).
#[test]
fn the_cases_of_a_folder_hold() {
    let Some(folder) = std::env::var_os("REVEILLE_CASES") else {
        println!("REVEILLE_CASES names no folder: there are no further cases to try");
        return;
    };
    let zones = Zones::bundled();
    let (mut count, mut wrong) = (0, Vec::new());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let read: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let cases = read.as_array().cloned().unwrap_or_else(|| vec![read.clone()]);
        for case in cases.iter().filter(|case| case["icsBase64"].is_null() && case["expected"].is_array()) {
            count += 1;
            wrong.extend(case_holds(case, &zones).err().map(|error| format!("{}: {error}", case["name"])));
        }
    }
    println!("{count} cases");
    assert!(count > 0 && wrong.is_empty(), "{} of {count} fail:\n{}", wrong.len(), wrong.join("\n"));
}

//! What a store says of a calendar as a whole (its name, its zone, that it is one) is not there, or not whole.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::daemon::Daemon;
use crate::rehearsal::{Stage, event};

use super::{SOON, wait_until};

/// Radicale's file of a calendar called Work in New York.
fn props() -> String {
    let zone = "BEGIN:VCALENDAR\r\nBEGIN:VTIMEZONE\r\nTZID:America/New_York\r\nBEGIN:STANDARD\r\nDTSTART:20001101T020000\r\n\
                TZOFFSETFROM:-0500\r\nTZOFFSETTO:-0500\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\nEND:VCALENDAR\r\n";
    serde_json::json!({"tag": "VCALENDAR", "D:displayname": "Work", "C:calendar-timezone": zone}).to_string()
}

/// A stage whose source has these keys; and its calendar, with an event at 09:00 local time and one at 09:30 UTC.
fn stage_with(keys: &str, calendar: &str) -> (Stage, PathBuf) {
    let stage = Stage::new();
    let configured = fs::read_to_string(stage.path().join("reveille.toml")).unwrap();
    let configured = configured.replace("user = \"mary@example.org\"\n", &format!("{keys}\n"));
    fs::write(stage.path().join("reveille.toml"), configured).unwrap();
    fs::remove_dir(stage.path().join("watched/work")).unwrap();
    let folder = stage.path().join("watched").join(calendar);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("local.ics"), event("local", "20260310T090000", "local")).unwrap();
    fs::write(folder.join("utc.ics"), event("utc", "20260310T093000Z", "utc")).unwrap();
    (stage, folder)
}

/// What the source is said to have wrong.
fn wrong(stage: &Stage) -> String {
    stage.listing(&["status"])[0]["sources"][0]["error"].as_str().unwrap_or_default().to_owned()
}

fn whose(stage: &Stage) -> Vec<(Value, Value)> {
    stage.alarms().iter().map(|alarm| (alarm["userId"].clone(), alarm["calendarName"].clone())).collect()
}

#[test]
fn a_radicale_calendar_whose_properties_are_empty_or_cut_off_fires_as_it_was_known() {
    let whole = props();
    for broken in ["", &whole[..whole.len() / 2], "[]"] {
        for keys in ["layout = \"radicale\"\ncalendars = [\"Work\"]", "layout = \"auto\""] {
            let (stage, folder) = stage_with(keys, "mary/abc123");
            fs::write(folder.join(".Radicale.props"), &whole).unwrap();
            stage.pass("2026-03-10T08:00:00Z");
            fs::write(folder.join(".Radicale.props"), broken).unwrap();
            for instant in ["2026-03-10T08:30:00Z", "2026-03-10T09:30:00Z", "2026-03-10T12:59:00Z"] {
                let output = stage.reveille(&["run", "--once", "--at", instant]);
                assert_eq!(output.status.code(), Some(1), "{broken:?}");
            }
            assert!(wrong(&stage).contains(".Radicale.props: it is empty or only half written"), "{}", wrong(&stage));
            assert_eq!(stage.fired(), ["20260310T093000Z utc"], "{broken:?} {keys}");
            fs::write(folder.join(".Radicale.props"), &whole).unwrap();
            stage.pass("2026-03-10T14:00:00Z");
            assert_eq!(wrong(&stage), "");
            assert_eq!(stage.fired(), ["20260310T093000Z utc", "20260310T130000Z local"], "{broken:?} {keys}");
            assert!(whose(&stage).iter().all(|whose| *whose == ("mary".into(), "Work".into())), "{:?}", whose(&stage));
        }
    }
}

#[test]
fn a_name_that_is_empty_is_not_believed_and_one_that_is_new_is() {
    for (file, named, half) in
        [("displayname", "Work", ""), (".xandikos", "[DEFAULT]\ndisplayname = Work\n", "[DEFAULT]\ndispl")]
    {
        let (stage, folder) = stage_with("calendars = [\"Work\", \"Job\"]", "abc123");
        fs::write(folder.join(file), named).unwrap();
        stage.pass("2026-03-10T08:00:00Z");
        fs::write(folder.join(file), half).unwrap();
        let output = stage.reveille(&["run", "--once", "--at", "2026-03-10T09:30:00Z"]);
        assert_eq!(output.status.code(), Some(1), "{file}");
        assert!(wrong(&stage).contains(&format!("{file}: it is empty or only half written")), "{}", wrong(&stage));
        let names = |stage: &Stage| whose(stage).into_iter().map(|(_, name)| name).collect::<Vec<_>>();
        assert_eq!(names(&stage), ["Work", "Work"], "{file}");
        fs::write(folder.join(file), named.replace("Work", "Job")).unwrap();
        stage.pass("2026-03-10T10:00:00Z");
        assert_eq!(stage.listing(&["calendars"])[0]["calendarName"], "Job", "{file}");
        // Called otherwise than the settings want, it is absent, and may be called so again.
        fs::write(folder.join(file), named.replace("Work", "Play")).unwrap();
        let log = stage.pass("2026-03-10T10:10:00Z");
        assert!(log.contains("is not found: it is kept"), "{log}");
        assert_eq!(stage.listing(&["calendars"]).len(), 1, "{file}");
        stage.pass("2026-03-10T10:30:00Z");
        assert_eq!(stage.listing(&["calendars"]).len(), 0, "{file}");
    }
}

#[test]
fn properties_that_are_removed_and_written_again_make_no_other_calendar() {
    let (stage, folder) = stage_with("layout = \"auto\"", "mary/abc123");
    fs::write(folder.join(".Radicale.props"), props()).unwrap();
    let mut daemon = Daemon::start(stage.path(), &["run"]);
    daemon.log.find(SOON, |line| line.contains("sync finished")).unwrap();
    let said = || {
        let calendars = stage.listing(&["calendars"]);
        (calendars[0]["userId"].clone(), calendars[0]["calendarName"].clone())
    };
    fs::remove_file(folder.join(".Radicale.props")).unwrap();
    daemon.log.find(SOON, |line| line.contains("no longer says how its calendar is called")).unwrap();
    assert_eq!(said(), ("mary".into(), "Work".into()));
    fs::write(folder.join(".Radicale.props"), props().replace("Work", "Job")).unwrap();
    wait_until(|| said() == ("mary".into(), "Job".into()), || daemon.log.text());
    assert!(daemon.stop(SOON).success());
}

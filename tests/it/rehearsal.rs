//! The daemon's promises, rehearsed pass by pass with the clock set by hand (`run --once --at`): what fires, what does
//! not, and what the ledger says of it.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A folder with a calendar `work` in `watched`, a ledger, and a file that alarms are written to.
pub struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    pub fn new() -> Stage {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("watched/work")).unwrap();
        let stage = Stage { folder };
        stage.configure("");
        stage
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the configuration, with `extra` lines in `[defaults]`.
    pub fn configure(&self, extra: &str) {
        self.configure_ledger("", extra);
    }

    /// Writes the configuration, with `ledger` lines in `[ledger]` and `extra` lines in `[defaults]`.
    pub fn configure_ledger(&self, ledger: &str, extra: &str) {
        let path = self.path().display();
        let text = format!(
            "[ledger]\nurl = \"sqlite://{path}/ledger.db\"\n{ledger}\n[defaults]\n{extra}\n\
             [[source]]\nkind = \"directory\"\nname = \"home\"\npath = \"{path}/watched\"\nuser = \"mary@example.org\"\n\
             [[sink]]\nkind = \"file\"\nname = \"alarms\"\npath = \"{path}/alarms.jsonl\"\n"
        );
        fs::write(self.path().join("reveille.toml"), text).unwrap();
    }

    /// The file of an object.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join("watched/work").join(name)
    }

    /// Writes an event with an alarm at its start, `written` at an instant.
    pub fn put(&self, name: &str, start: &str, summary: &str, written: &str) {
        let file = self.file(name);
        fs::write(&file, event(name, start, summary)).unwrap();
        touch(&file, written);
    }

    pub fn reveille(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_reveille"))
            .args(arguments)
            .current_dir(self.path())
            .env_remove("REVEILLE_CONFIG")
            .output()
            .unwrap()
    }

    /// One pass at `instant`; returns the log.
    pub fn pass(&self, instant: &str) -> String {
        let output = self.reveille(&["run", "--once", "--at", instant]);
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{log}");
        log
    }

    /// What was announced so far. A line that is just being written does not count yet.
    pub fn alarms(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path().join("alarms.jsonl")).unwrap_or_default();
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What was announced so far, as 'alarmTime summary'.
    pub fn fired(&self) -> Vec<String> {
        let word = |alarm: &Value, key: &str| alarm[key].as_str().unwrap().to_owned();
        self.alarms().iter().map(|alarm| format!("{} {}", word(alarm, "alarmTime"), word(alarm, "summary"))).collect()
    }

    /// What a listing of the ledger says.
    pub fn listing(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.reveille(&[&["--json"], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

pub fn event(uid: &str, start: &str, summary: &str) -> String {
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//reveille//tests//EN\r\nBEGIN:VEVENT\r\nUID:{uid}@example.org\r\n\
         DTSTAMP:20260101T000000Z\r\nDTSTART:{start}\r\nDURATION:PT1H\r\nSUMMARY:{summary}\r\nBEGIN:VALARM\r\n\
         ACTION:DISPLAY\r\nTRIGGER:PT0S\r\nDESCRIPTION:Reminder\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
}

/// Sets when `file` was written.
pub fn touch(file: &Path, instant: &str) {
    let at = reveille::time::UtcMillis::parse(instant).unwrap();
    let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(at.0.unsigned_abs());
    fs::File::options().write(true).open(file).unwrap().set_modified(time).unwrap();
}

#[test]
fn what_lies_between_two_passes_fires_once_and_what_was_before_the_first_does_not() {
    let stage = Stage::new();
    stage.put("past.ics", "20260310T115959Z", "past", "2026-03-01T00:00:00Z");
    stage.put("now.ics", "20260310T120000Z", "now", "2026-03-01T00:00:00Z");
    stage.put("next.ics", "20260310T123000Z", "next", "2026-03-01T00:00:00Z");
    stage.put("later.ics", "20260310T130001Z", "later", "2026-03-01T00:00:00Z");
    stage.pass("2026-03-10T12:00:00Z");
    assert_eq!(stage.fired(), ["20260310T120000Z now"]);
    stage.pass("2026-03-10T13:00:00Z");
    stage.pass("2026-03-10T13:00:00Z");
    assert_eq!(stage.fired(), ["20260310T120000Z now", "20260310T123000Z next"]);
    assert_eq!(stage.listing(&["firings", "--since", "2026-01-01T00:00:00Z"]).len(), 2);
}

#[test]
fn an_alarm_that_moves_fires_at_its_new_time_only() {
    let stage = Stage::new();
    stage.put("a.ics", "20260310T123000Z", "early", "2026-03-01T00:00:00Z");
    stage.pass("2026-03-10T12:00:00Z");
    stage.put("a.ics", "20260310T124500Z", "moved", "2026-03-10T12:10:00Z");
    stage.pass("2026-03-10T12:40:00Z");
    assert_eq!(stage.fired(), [""; 0]);
    stage.pass("2026-03-10T13:00:00Z");
    assert_eq!(stage.fired(), ["20260310T124500Z moved"]);
}

#[test]
fn what_was_deleted_never_fires() {
    let stage = Stage::new();
    stage.put("a.ics", "20260310T123000Z", "never", "2026-03-01T00:00:00Z");
    stage.pass("2026-03-10T12:00:00Z");
    fs::remove_file(stage.file("a.ics")).unwrap();
    stage.pass("2026-03-10T13:00:00Z");
    assert_eq!(stage.fired(), [""; 0]);
}

#[test]
fn another_summary_after_it_fired_does_not_fire_again() {
    let stage = Stage::new();
    stage.put("a.ics", "20260310T123000Z", "first", "2026-03-01T00:00:00Z");
    stage.pass("2026-03-10T12:00:00Z");
    stage.pass("2026-03-10T12:30:00Z");
    // Written before the alarm by its clock, so that nothing but the identity can tell.
    stage.put("a.ics", "20260310T123000Z", "second", "2026-03-10T12:29:00Z");
    stage.pass("2026-03-10T12:31:00Z");
    assert_eq!(stage.fired(), ["20260310T123000Z first"]);
}

#[test]
fn an_alarm_moved_into_the_past_does_not_fire() {
    let stage = Stage::new();
    stage.put("a.ics", "20260310T150000Z", "later", "2026-03-01T00:00:00Z");
    stage.pass("2026-03-10T12:00:00Z");
    stage.put("a.ics", "20260310T121000Z", "past", "2026-03-10T12:20:00Z");
    stage.put("b.ics", "20260310T122500Z", "fresh", "2026-03-10T12:20:00Z");
    stage.pass("2026-03-10T12:30:00Z");
    assert_eq!(stage.fired(), ["20260310T122500Z fresh"], "rule 23 for a, rule 22 for b");
}

#[test]
fn an_edit_between_two_passes_does_not_lose_what_was_due_before_it() {
    let stage = Stage::new();
    stage.put("a.ics", "20260310T121000Z", "as it was", "2026-03-01T00:00:00Z");
    stage.pass("2026-03-10T12:00:00Z");
    stage.put("a.ics", "20260310T180000Z", "as it is", "2026-03-10T12:20:00Z");
    stage.pass("2026-03-10T12:30:00Z");
    assert_eq!(stage.fired(), ["20260310T121000Z as it was"]);
}

#[test]
fn what_fell_due_in_a_downtime_fires_late_and_what_is_too_old_is_missed() {
    let stage = Stage::new();
    for n in 0..100 {
        let start = format!("20260310T12{:02}{:02}Z", n / 2, n % 2 * 30);
        stage.put(&format!("{n}.ics"), &start, "down", "2026-03-01T00:00:00Z");
    }
    stage.pass("2026-03-10T11:59:59Z");
    let log = stage.pass("2026-03-10T13:00:00Z");
    assert_eq!(stage.fired().len(), 100);
    let stamps = stage.alarms().iter().filter(|alarm| alarm["timestamp"] == "2026-03-10T13:00:00.000Z").count();
    assert_eq!(stamps, 100, "each says when it was fired");
    assert!(log.matches("late").count() >= 100, "{log}");

    let stage = Stage::new();
    stage.configure("max_lateness = \"1m\"");
    for n in 0..100 {
        let start = format!("20260310T12{:02}{:02}Z", n / 2, n % 2 * 30);
        stage.put(&format!("{n}.ics"), &start, "down", "2026-03-01T00:00:00Z");
    }
    stage.pass("2026-03-10T11:59:59Z");
    stage.pass("2026-03-10T12:50:00Z");
    assert_eq!(stage.fired(), ["20260310T124900Z down", "20260310T124930Z down"]);
    let states = stage.listing(&["firings", "--since", "2026-01-01T00:00:00Z"]);
    let missed = states.iter().filter(|firing| firing["state"] == "missed").count();
    assert_eq!((states.len(), missed), (100, 98));
}

#[test]
fn a_broken_file_is_named_with_its_line_and_the_others_fire() {
    let stage = Stage::new();
    stage.put("good.ics", "20260310T120000Z", "good", "2026-03-01T00:00:00Z");
    let broken = event("broken", "20260310T120000Z", "broken").replace("TRIGGER:PT0S", "TRIGGER:soon");
    fs::write(stage.file("broken.ics"), broken).unwrap();
    let log = stage.pass("2026-03-10T12:00:00Z");
    assert_eq!(stage.fired(), ["20260310T120000Z good"]);
    let warning: Vec<&str> = log.lines().filter(|line| line.contains("broken.ics")).collect();
    assert_eq!(warning.len(), 1, "{log}");
    assert!(warning[0].contains("line 12") && warning[0].contains("TRIGGER"), "{log}");
}

/// A time zone database in `folder` in which `id` has the rules that `like` has in the program's own.
fn write_zones(folder: &Path, version: &str, id: &str, like: &str) {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("zoneinfo/tzif");
    let file = folder.join(id);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::copy(own.join(like), file).unwrap();
    fs::copy(own.join("Asia/Tokyo"), folder.join("Tokyo")).unwrap();
    fs::write(folder.join("version"), version).unwrap();
}

#[test]
fn new_rules_of_a_zone_move_the_alarms_in_it_and_no_others() {
    let stage = Stage::new();
    let zones = stage.path().join("zones");
    write_zones(&zones, "2026a", "Land/City", "Europe/Berlin");
    let configuration = fs::read_to_string(stage.path().join("reveille.toml")).unwrap();
    let zoneinfo = format!("zoneinfo = \"{}\"\n{configuration}", zones.display());
    fs::write(stage.path().join("reveille.toml"), &zoneinfo).unwrap();
    for (name, zone) in [("moves.ics", "Land/City"), ("stays.ics", "Tokyo")] {
        let text = event(name, "20260310T200000", name).replace("DTSTART:", &format!("DTSTART;TZID={zone}:"));
        fs::write(stage.file(name), text).unwrap();
    }
    stage.pass("2026-03-10T08:00:00Z");
    write_zones(&zones, "2026b", "Land/City", "Europe/Lisbon");
    fs::rename(&zones, stage.path().join("newer")).unwrap();
    let newer = zoneinfo.replace("/zones\"", "/newer\"");
    fs::write(stage.path().join("reveille.toml"), newer).unwrap();
    let log = stage.pass("2026-03-10T19:30:00Z");
    assert_eq!(stage.fired(), ["20260310T110000Z stays.ics"], "Berlin's 20:00 is 19:00Z, Lisbon's is 20:00Z");
    assert!(log.contains("alarms.moved=1"), "{log}");
    stage.pass("2026-03-10T20:00:00Z");
    assert_eq!(stage.fired(), ["20260310T110000Z stays.ics", "20260310T200000Z moves.ics"]);
}

#[test]
fn a_zone_that_was_unknown_and_is_known_now_moves_the_alarms_that_waited_for_it() {
    let stage = Stage::new();
    let zones = stage.path().join("zones");
    write_zones(&zones, "2026a", "Land/City", "Europe/Berlin");
    let configuration = fs::read_to_string(stage.path().join("reveille.toml")).unwrap();
    let zoneinfo = format!("zoneinfo = \"{}\"\n{configuration}", zones.display());
    fs::write(stage.path().join("reveille.toml"), &zoneinfo).unwrap();
    for (name, zone) in [("waits.ics", "/example.org/Land/New_City"), ("stays.ics", "Land/City")] {
        let text = event(name, "20260310T200000", name).replace("DTSTART:", &format!("DTSTART;TZID={zone}:"));
        fs::write(stage.file(name), text).unwrap();
    }
    stage.pass("2026-03-10T08:00:00Z");
    fs::rename(&zones, stage.path().join("newer")).unwrap();
    write_zones(&stage.path().join("newer"), "2026b", "Land/New_City", "Asia/Tokyo");
    fs::write(stage.path().join("reveille.toml"), zoneinfo.replace("/zones\"", "/newer\"")).unwrap();
    // 20:00 in Tokyo is 11:00Z. While nobody knew the zone it was 20:00Z, for want of a zone of the user's.
    let log = stage.pass("2026-03-10T11:00:00Z");
    assert_eq!(stage.fired(), ["20260310T110000Z waits.ics"], "{log}");
    assert!(log.contains("alarms.moved=1"), "{log}");
}

/// The number that a question to the ledger at `path` comes to.
pub fn count(path: &Path, sql: &'static str) -> i64 {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).read_only(true);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
        sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
    })
}

/// One pass at `instant`, with something that cannot be read; returns the log.
fn partial_pass(stage: &Stage, instant: &str) -> String {
    let output = stage.reveille(&["run", "--once", "--at", instant]);
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_calendar_whose_properties_cannot_be_read_is_not_taken_for_another() {
    let stage = Stage::new();
    let text = fs::read_to_string(stage.path().join("reveille.toml")).unwrap();
    fs::write(stage.path().join("reveille.toml"), text.replace("user = \"mary@example.org\"\n", "")).unwrap();
    let calendar = stage.path().join("watched/bob/garden");
    fs::create_dir_all(&calendar).unwrap();
    let properties = r#"{"tag": "VCALENDAR", "D:displayname": "Garden"}"#;
    fs::write(calendar.join(".Radicale.props"), properties).unwrap();
    // Without its properties a file of this name is no object.
    fs::write(calendar.join("roses"), event("roses", "20260310T123000Z", "roses")).unwrap();
    stage.pass("2026-03-10T12:00:00Z");
    let limit = "[limits]\nmax_object_size = 1024\n";
    let configured = fs::read_to_string(stage.path().join("reveille.toml")).unwrap();
    fs::write(stage.path().join("reveille.toml"), format!("{configured}{limit}")).unwrap();
    fs::write(calendar.join(".Radicale.props"), format!("{properties}{}", " ".repeat(1024 - properties.len())))
        .unwrap();
    stage.pass("2026-03-10T12:10:00Z");
    fs::write(calendar.join(".Radicale.props"), format!("{properties}{}", " ".repeat(1025))).unwrap();
    let log = partial_pass(&stage, "2026-03-10T12:20:00Z");
    assert!(log.contains(".Radicale.props") && log.contains("limits.max_object_size (1024)"), "{log}");
    partial_pass(&stage, "2026-03-10T12:30:00Z");
    assert_eq!(stage.fired(), ["20260310T123000Z roses"]);
    assert_eq!((&stage.alarms()[0]["userId"], &stage.alarms()[0]["calendarName"]), (&"bob".into(), &"Garden".into()));
}

#[test]
fn names_that_are_not_utf_8_are_names() {
    let stage = Stage::new();
    let folder = |name: &[u8]| stage.path().join("watched").join(std::ffi::OsStr::from_bytes(name));
    for (name, uid) in [(b"M\xfcller", "ue"), (b"M\xf6ller", "oe")] {
        fs::create_dir(folder(name)).unwrap();
        let file = folder(name).join(std::ffi::OsStr::from_bytes(b"caf\xe9.ics"));
        fs::write(file, event(uid, "20260310T123000Z", uid)).unwrap();
    }
    // It is called what another one is written as.
    fs::create_dir(folder(b"M\\xfcller")).unwrap();
    fs::write(folder(b"M\\xfcller").join("100%25.ics"), event("pc", "20260310T123000Z", "pc")).unwrap();
    stage.pass("2026-03-10T12:00:00Z");
    let named = |calendar: &Value| calendar["calendarName"].as_str().unwrap().to_owned();
    let mut names: Vec<String> = stage.listing(&["calendars"]).iter().map(named).collect();
    names.sort();
    assert_eq!(names, ["M\\xfcller", "M\u{f6}ller", "M\u{fc}ller"]);
    fs::remove_file(folder(b"M\xf6ller").join(std::ffi::OsStr::from_bytes(b"caf\xe9.ics"))).unwrap();
    let log = stage.pass("2026-03-10T12:30:00Z");
    assert!(!log.contains("WARN"), "{log}");
    let mut fired = stage.fired();
    fired.sort();
    assert_eq!(fired, ["20260310T123000Z pc", "20260310T123000Z ue"]);
}

#[test]
fn what_was_due_for_hours_fires_in_several_transactions() {
    let stage = Stage::new();
    let text = event("big", "20260310T080000Z", &"x".repeat(60_000));
    let text = text.replace("DTSTART", "RRULE:FREQ=MINUTELY;COUNT=150\r\nDTSTART");
    fs::write(stage.file("big.ics"), text).unwrap();
    touch(&stage.file("big.ics"), "2026-03-10T07:00:00Z");
    stage.pass("2026-03-10T07:30:00Z");
    // 150 notifications of 60 kB are twice as much as is written down at a time.
    let output = stage.reveille(&["-vv", "run", "--once", "--at", "2026-03-10T10:45:00Z"]);
    let log = String::from_utf8_lossy(&output.stderr);
    let firings = log.lines().filter(|line| line.contains("firings were recorded")).count();
    assert!(output.status.success() && firings >= 3, "{firings} firings");
    let due: Vec<String> = stage.alarms().iter().map(|alarm| alarm["alarmTime"].to_string()).collect();
    let different: std::collections::BTreeSet<&String> = due.iter().collect();
    assert_eq!((due.len(), different.len()), (150, 150));
}

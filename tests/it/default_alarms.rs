//! Alarms that the configuration gives to events without one, and alarms that it silences.

use std::fs;

use crate::rehearsal::{Stage, touch};

/// An event in the calendar `work` of the stage; `alarm` is its trigger, empty for none.
fn put(stage: &Stage, name: &str, start: &str, alarm: &str) {
    let alarm = match alarm {
        "" => String::new(),
        trigger => format!("BEGIN:VALARM\r\nACTION:DISPLAY\r\nTRIGGER:{trigger}\r\nEND:VALARM\r\n"),
    };
    let text = format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nUID:{name}\r\nDTSTART{start}\r\nSUMMARY:{name}\r\n{alarm}\
         END:VEVENT\r\nEND:VCALENDAR\r\n"
    );
    let file = stage.file(&format!("{name}.ics"));
    fs::write(&file, text).unwrap();
    touch(&file, "2026-03-01T00:00:00Z");
}

/// Adds `lines` to the source of the stage, and `more` to the end of the configuration.
fn configure(stage: &Stage, lines: &str, more: &str) {
    stage.configure("zone = \"Europe/Berlin\"");
    let file = stage.path().join("reveille.toml");
    let text = fs::read_to_string(&file).unwrap();
    let (source, sink) = text.split_once("[[sink]]").unwrap();
    fs::write(&file, format!("{source}{lines}\n[[sink]]{sink}{more}")).unwrap();
}

/// An event at noon in Berlin, one with an alarm, and all-day events on the days on which the clocks change.
fn stage() -> Stage {
    let stage = Stage::new();
    put(&stage, "bare", ";TZID=Europe/Berlin:20260311T120000", "");
    put(&stage, "own", ";TZID=Europe/Berlin:20260311T120000", "-PT1H");
    put(&stage, "march", ";VALUE=DATE:20260329", "");
    put(&stage, "october", ";VALUE=DATE:20261025", "");
    stage
}

#[test]
fn rule_19_events_without_an_alarm_get_those_of_the_configuration() {
    let stage = stage();
    configure(&stage, "default_alarms = { timed = ['-15m'], all_day = ['-1d 17:00', '09:00'] }", "");
    stage.pass("2026-03-10T12:00:00Z");
    // By the clock of Berlin, whatever it does in the night.
    for (at, expected) in [
        ("2026-03-11T11:00:00Z", ["20260311T100000Z own", "20260311T104500Z bare"].as_slice()),
        ("2026-03-29T08:00:00Z", &["20260328T160000Z march", "20260329T070000Z march"]),
        ("2026-10-25T09:00:00Z", &["20261024T150000Z october", "20261025T080000Z october"]),
    ] {
        let before = stage.fired().len();
        stage.pass(at);
        let mut fired = stage.fired().split_off(before);
        fired.sort();
        assert_eq!(fired, expected, "{at}");
    }
}

#[test]
fn rule_19_a_change_of_default_alarms_moves_what_is_known() {
    let stage = stage();
    configure(&stage, "", "");
    stage.pass("2026-03-10T12:00:00Z");
    let next = |lines: &str, more: &str| {
        configure(&stage, lines, more);
        stage.pass("2026-03-10T12:00:00Z");
        let listed = stage.listing(&["alarms", "--until", "2026-03-12T00:00:00Z"]);
        let word = |alarm: &serde_json::Value, key: &str| alarm[key].as_str().unwrap().to_owned();
        let mut all: Vec<String> =
            listed.iter().map(|alarm| format!("{} {}", &word(alarm, "due")[11..16], word(alarm, "summary"))).collect();
        all.sort();
        all.join(", ")
    };
    let own = "10:00 own";
    let user = "[users.\"mary@example.org\"]\ndefault_alarms = { timed = ['-3m'] }\n";
    let rule = "[[source.alarms]]\ncalendars = ['wo*']\n";
    assert_eq!(next("", user), format!("{own}, 10:57 bare"));
    assert_eq!(next("default_alarms = { timed = ['-2m'] }", user), format!("{own}, 10:58 bare"));
    let source = "default_alarms = { timed = ['-2m'] }\nignore_alarms = true\n";
    assert_eq!(next(source, user), "10:58 bare, 10:58 own");
    let quiet = format!("{source}{rule}ignore_alarms = false\ndefault_alarms = {{ timed = [] }}");
    assert_eq!(next(&quiet, user), own);
    assert_eq!(next("ignore_alarms = true", ""), "");
    assert_eq!(next("", ""), own);
}

#[test]
fn explain_says_where_an_alarm_comes_from() {
    let stage = stage();
    let explained = |lines: &str, uid: &str| {
        configure(&stage, lines, "");
        stage.pass("2026-03-10T12:00:00Z");
        let said = stage.reveille(&["explain", uid, "--at", "2026-03-10T12:00:00Z"]).stdout;
        let component = stage.listing(&["explain", uid, "--at", "2026-03-10T12:00:00Z"])[0]["components"][0].clone();
        let words =
            ["defaultAlarmsFrom", "alarmsIgnoredBy"].map(|key| component[key].as_str().unwrap_or("-").to_owned());
        (String::from_utf8(said).unwrap(), words)
    };
    let (said, words) = explained("default_alarms = { timed = ['-15m'], action = 'EMAIL' }", "bare");
    assert!(said.contains("it has no alarm of its own: the default_alarms of [[source]] fire"), "{said}");
    assert!(said.contains("default alarm: EMAIL"), "{said}");
    assert_eq!(words, ["source", "-"]);
    let (said, words) = explained("[[source.alarms]]\ncalendars = ['work']\nignore_alarms = true", "own");
    assert!(said.contains("its own alarms do not fire: [[source.alarms]] says ignore_alarms = true"), "{said}");
    assert_eq!(words, ["-", "calendar"]);
    let (said, words) = explained("", "own");
    assert!(said.contains("alarm in line 7: DISPLAY") && !said.contains("ignore_alarms"), "{said}");
    assert_eq!(words, ["-", "-"]);
}

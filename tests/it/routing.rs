//! Which alarms go to which sinks, by what sinks and users say of events, to-dos and calendars, and when.

use std::fs;

use crate::rehearsal::{Stage, event, touch};

/// Adds `user`, lines of the table of Mary's, and `sink`, lines of that of the sink, to the configuration.
fn configure(stage: &Stage, user: &str, sink: &str) {
    stage.configure("");
    let file = stage.path().join("reveille.toml");
    let text = fs::read_to_string(&file).unwrap();
    let table = "[users.\"mary@example.org\"]\nemail = ['mary@example.org']";
    fs::write(file, format!("{text}{sink}\n{table}\n{user}\n")).unwrap();
}

/// Writes an event that begins at `start`, with further `lines`.
fn put(stage: &Stage, name: &str, start: &str, lines: &str) {
    let text = event(name, start, name).replace("BEGIN:VALARM", &format!("{lines}BEGIN:VALARM"));
    fs::write(stage.file(name), text).unwrap();
    touch(&stage.file(name), "2026-03-01T00:00:00Z");
}

#[test]
fn alarms_go_where_sinks_and_users_let_them_and_explain_says_what_refuses_them() {
    let stage = Stage::new();
    let invited = "ORGANIZER:mailto:bob@example.org\r\nATTENDEE:mailto:mary@example.org\r\n";
    put(&stage, "tea.ics", "20260310T130000Z", "CATEGORIES:Private,Tea\r\n");
    put(&stage, "talk.ics", "20260310T130001Z", "CATEGORIES:Work\r\n");
    put(&stage, "invited.ics", "20260310T130002Z", invited);
    let why = |user: &str, sink: &str, name: &str| {
        configure(&stage, user, sink);
        let told = stage.listing(&["explain", &format!("{name}@example.org"), "--at", "2026-03-10T12:00:00Z"]);
        assert_eq!(told[0]["components"][0]["alarms"][0]["noSink"], told[0]["instances"][0]["noSink"]);
        told[0]["instances"][0]["noSink"].as_str().unwrap_or("taken").replace("it goes to no sink: ", "")
    };
    configure(&stage, "", "");
    stage.pass("2026-03-10T12:00:00Z");
    for (user, sink, name, expected) in [
        ("", "categories = ['Work']", "talk.ics", "taken"),
        ("", "categories = ['Work']", "tea.ics", "none of its categories is among the categories of the sink 'alarms'"),
        (
            "not_categories = ['Priv*']",
            "",
            "tea.ics",
            "its category 'Private' is among the not_categories of [users.\"mary@example.org\"]",
        ),
        ("", "components = ['VTODO']", "tea.ics", "VEVENT is not among the components of the sink 'alarms'"),
        ("only_accepted = true", "", "tea.ics", "taken"),
        (
            "only_accepted = true",
            "",
            "invited.ics",
            "the user has not accepted it (NEEDS-ACTION), and [users.\"mary@example.org\"] has only_accepted",
        ),
        ("muted = ['wo*']", "", "talk.ics", "the calendar 'work' is muted in [users.\"mary@example.org\"]"),
    ] {
        assert_eq!(why(user, sink, name), expected, "{user} {sink} {name}");
    }
    let other = "not_categories = ['Private']\n[[sink]]\nkind = 'stdout'\nname = 'other'\ncomponents = 'VTODO'";
    configure(&stage, "", other);
    let arguments = ["explain", "talk.ics@example.org", "--at", "2026-03-10T12:00:00Z"];
    let said = String::from_utf8(stage.reveille(&arguments).stdout).unwrap();
    let refusal = "VEVENT is not among the components of the sink 'other'";
    assert!(
        said.contains(&format!("goes to the sink 'alarms'\n    it does not go to the sink 'other': {refusal}\n")),
        "{said}"
    );
    let sinks = stage.listing(&arguments)[0]["instances"][0]["sinks"].clone();
    assert_eq!((&sinks[0]["refusal"], &sinks[1]["refusal"]), (&().into(), &refusal.into()));
    configure(&stage, "only_accepted = true", "not_categories = ['Private']");
    stage.pass("2026-03-10T13:01:00Z");
    assert_eq!(stage.fired(), ["20260310T130001Z talk.ics"]);
    let states = stage.listing(&["firings", "--since", "2026-01-01T00:00:00Z"]);
    assert!(states.len() == 3 && states.iter().all(|firing| firing["state"] == "fired"), "{states:?}");
}

#[test]
fn quiet_hours_hold_alarms_until_they_are_over_and_through_restarts() {
    let stage = Stage::new();
    let berlin = "zone = 'Europe/Berlin'\nquiet = { from = '22:00', until = '07:00' }";
    // Clocks go forward in the night to 29 March 2026.
    put(&stage, "late.ics", "20260328T193000Z", "");
    put(&stage, "before.ics", "20260328T205959Z", "");
    put(&stage, "night.ics", "20260328T213000Z", "");
    put(&stage, "mail.ics", "20260328T214500Z", "");
    let mail = fs::read_to_string(stage.file("mail.ics")).unwrap().replace("ACTION:DISPLAY", "ACTION:EMAIL");
    fs::write(stage.file("mail.ics"), mail).unwrap();
    touch(&stage.file("mail.ics"), "2026-03-01T00:00:00Z");
    put(&stage, "tomorrow.ics", "20260330T020000Z", "");
    configure(&stage, berlin, "");
    stage.pass("2026-03-28T19:00:00Z");
    let explained = |name: &str| {
        let told = stage.listing(&["explain", &format!("{name}@example.org"), "--at", "2026-03-28T19:00:00Z"]);
        told[0]["instances"][0]["heldUntil"].as_str().unwrap_or("-").to_owned()
    };
    let (over, next) = ("2026-03-29T05:00:00.000Z", "2026-03-30T05:00:00.000Z");
    assert_eq!(["before.ics", "night.ics", "mail.ics"].map(explained), ["-", over, "-"]);
    // Nothing runs until 23:00: what was due at 20:30 and at 21:59:59 is found in the quiet hours.
    stage.pass("2026-03-28T22:00:00Z");
    assert_eq!(stage.fired(), ["20260328T214500Z mail.ics"]);
    let held: Vec<_> = stage.listing(&["deliveries", "--pending"]).iter().map(|row| row["heldUntil"].clone()).collect();
    assert_eq!(held, [over, over, over]);
    let shown = String::from_utf8(stage.reveille(&["deliveries"]).stdout).unwrap();
    assert!(shown.contains("held until 2026-03-29"), "{shown}");
    // Another zone counts for what fires from now on.
    configure(&stage, &berlin.replace("Europe/Berlin", "America/New_York"), "");
    stage.pass("2026-03-29T04:59:59Z");
    assert_eq!(stage.fired().len(), 1);
    stage.pass("2026-03-29T05:00:00Z");
    stage.pass("2026-03-29T05:00:01Z");
    assert_eq!(
        stage.fired()[1..],
        ["20260328T193000Z late.ics", "20260328T205959Z before.ics", "20260328T213000Z night.ics"]
    );
    assert_eq!(explained("tomorrow.ics"), "2026-03-30T11:00:00.000Z");
    configure(&stage, &berlin.replace("}", ", days = ['mon'] }"), "");
    stage.pass("2026-03-29T06:00:00Z");
    assert_eq!(explained("tomorrow.ics"), "-", "the night that begins on Monday is the next one");
    configure(&stage, berlin, "");
    stage.pass("2026-03-30T02:00:00Z");
    assert_eq!(explained("tomorrow.ics"), next);
    assert_eq!(stage.fired().len(), 4);
    let id = stage.listing(&["deliveries", "--pending"])[0]["id"].as_str().unwrap().to_owned();
    assert!(stage.reveille(&["deliveries", "retry", &id]).status.success());
    stage.pass("2026-03-30T02:00:01Z");
    assert_eq!(stage.fired()[4..], ["20260330T020000Z tomorrow.ics"]);
}

#[test]
fn rule_26_all_day_alarms_follow_the_time_and_the_zone_that_the_configuration_says() {
    let stage = Stage::new();
    put(&stage, "day.ics", "20260329", "");
    let day = fs::read_to_string(stage.file("day.ics")).unwrap().replace("DTSTART:", "DTSTART;VALUE=DATE:");
    fs::write(stage.file("day.ics"), day.replace("DURATION:PT1H", "DURATION:P1D")).unwrap();
    touch(&stage.file("day.ics"), "2026-03-01T00:00:00Z");
    for (user, due) in [
        ("zone = 'Europe/Berlin'", "2026-03-28T23:00:00.000Z"),
        ("zone = 'Europe/Berlin'\nall_day_at = '07:00'", "2026-03-29T05:00:00.000Z"),
        ("zone = 'America/New_York'\nall_day_at = '07:00'", "2026-03-29T11:00:00.000Z"),
        ("zone = 'America/New_York'\nall_day_at = '08:30'", "2026-03-29T12:30:00.000Z"),
        ("zone = 'Europe/Berlin'\nall_day_at = '07:00'", "2026-03-29T05:00:00.000Z"),
    ] {
        configure(&stage, user, "");
        stage.pass("2026-03-28T12:00:00Z");
        assert_eq!(stage.listing(&["show", "day.ics@example.org"])[0]["nextDue"], due, "{user}");
    }
    let told = stage.listing(&["explain", "day.ics@example.org", "--at", "2026-03-28T12:00:00Z"]);
    assert_eq!(told[0]["components"][0]["alarms"][0]["allDayAt"], "07:00");
    stage.pass("2026-03-29T05:00:00Z");
    assert_eq!(stage.fired(), ["20260329T050000Z day.ics"]);
}

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
    configure(&stage, "only_accepted = true", "not_categories = ['Private']");
    stage.pass("2026-03-10T13:01:00Z");
    assert_eq!(stage.fired(), ["20260310T130001Z talk.ics"]);
    let states = stage.listing(&["firings", "--since", "2026-01-01T00:00:00Z"]);
    assert!(states.len() == 3 && states.iter().all(|firing| firing["state"] == "fired"), "{states:?}");
}

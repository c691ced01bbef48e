//! Mails about all kinds of events in two languages, as `preview --mail` writes them, read with Python's email package.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::venv::Venv;

const LOCALES: [&str; 2] = ["en-GB", "de"];
/// What the templates have; nothing of an event adds to it.
const TAGS: &str = "a body br h1 head html meta p span strong style table td title tr";

/// A case: its name, what its component says, and what the command is given besides.
type Case = (&'static str, String, &'static [&'static str]);

fn event(lines: &str) -> String {
    format!("BEGIN:VEVENT\nUID:case\n{lines}\nBEGIN:VALARM\nACTION:EMAIL\nTRIGGER:-PT1H\nEND:VALARM\nEND:VEVENT\n")
}

const NOON: &str = "DTSTART;TZID=Europe/Berlin:20260310T120000\nDURATION:PT1H";

fn cases() -> Vec<Case> {
    let at_noon = |lines: &str| event(&format!("{NOON}\n{lines}"));
    let moved = event("DTSTART;TZID=Europe/Berlin:20260310T150000\nRECURRENCE-ID;TZID=Europe/Berlin:20260310T120000");
    vec![
        ("plain", at_noon("SUMMARY:Lunch\nLOCATION:Café"), &[]),
        ("all-day", event("DTSTART;VALUE=DATE:20260310\nSUMMARY:Holiday"), &[]),
        ("days", event("DTSTART;VALUE=DATE:20260310\nDTEND;VALUE=DATE:20260313\nSUMMARY:Fair"), &[]),
        ("floating", event("DTSTART:20260310T120000\nSUMMARY:Pills"), &[]),
        ("zone", event("DTSTART;TZID=Asia/Tokyo:20260310T200000\nSUMMARY:Call"), &[]),
        ("twice", event("DTSTART:20261025T003000Z\nDURATION:PT1H\nSUMMARY:Night"), &[]),
        (
            "moved",
            at_noon("RRULE:FREQ=WEEKLY;COUNT=1\nSUMMARY:Team") + &moved.replace("UID:", "SUMMARY:Team\nUID:"),
            &[],
        ),
        (
            "to-do",
            event("DUE;TZID=Europe/Berlin:20260310T120000\nDTSTART;TZID=Europe/Berlin:20260309T120000\nSUMMARY:Taxes")
                .replace("VEVENT", "VTODO"),
            &[],
        ),
        ("arabic", at_noon("SUMMARY:اجتماع الفريق\nDESCRIPTION:أحضر الملف"), &[]),
        ("japanese", at_noon("SUMMARY:打ち合わせ\nLOCATION:会議室"), &[]),
        (
            "markup",
            at_noon("SUMMARY:<script>alert(1)</script> {{ 7 * 7 }} {% raw %}\nDESCRIPTION:</p><img src=x onerror=y>"),
            &[],
        ),
        ("long", at_noon(&format!("SUMMARY:Long\nDESCRIPTION:{}", "Ein Wort\\, und noch eines. ".repeat(400))), &[]),
        (
            "meeting",
            at_noon(
                "SUMMARY:Review\nORGANIZER;CN=The boss:mailto:boss@example.org\nATTENDEE;CN=Anna:mailto:anna@example.org\n\
                 CONFERENCE;VALUE=URI:https://meet.example.org/a?b=1&c=2\nURL:https://example.org/review",
            ),
            &[],
        ),
        ("late", at_noon("SUMMARY:Late"), &["--sent", "2026-03-10T10:10:00Z"]),
        ("over", at_noon("SUMMARY:Over"), &["--sent", "2026-03-10T16:00:00Z"]),
        (
            "boilerplate",
            at_noon("SUMMARY:Tea\\nBcc: all@example.org")
                .replace("TRIGGER", "SUMMARY:Alarm notification\nDESCRIPTION:This is an event reminder\nTRIGGER"),
            &[],
        ),
    ]
}

/// Writes the mail of a case into `folder`.
fn write((name, component, arguments): &Case, locale: &str, folder: &Path) -> String {
    let file = format!("{name}-{locale}");
    let text = format!("BEGIN:VCALENDAR\nVERSION:2.0\n{component}END:VCALENDAR\n").replace('\n', "\r\n");
    fs::write(folder.join("case.ics"), text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_reveille"))
        .args(["preview", "case.ics", "--from", "2026-03-01T00:00:00Z", "--until", "2026-12-01T00:00:00Z"])
        .args(["--user", "mary@example.org", "--zone", "Europe/Berlin", "--mail", &file, "--locale", locale])
        .args(*arguments)
        .current_dir(folder)
        .env_remove("REVEILLE_CONFIG")
        .env_remove("XDG_CONFIG_HOME")
        .env("HOME", folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    format!("{file}.eml")
}

/// What Python says of the mails of all cases, by name.
fn read(venv: &Venv) -> BTreeMap<String, Value> {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<String> = LOCALES
        .iter()
        .flat_map(|locale| cases().iter().map(|case| write(case, locale, folder.path())).collect::<Vec<_>>())
        .collect();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live/readmail.py");
    let output = venv.command().arg(script).args(files).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let mails = lines.lines().map(|line| serde_json::from_str(line).unwrap());
    mails.map(|mail: Value| (mail["name"].as_str().unwrap().to_owned(), mail)).collect()
}

#[test]
fn sixteen_mails_in_two_languages_have_no_defects_and_say_what_they_should() {
    let Some(venv) = Venv::or_skip() else { return };
    let mails = read(venv);
    assert_eq!(mails.len(), 32);
    let allowed: Vec<&str> = TAGS.split(' ').collect();
    for (name, mail) in &mails {
        assert_eq!(mail["defects"], Value::Array(vec![]), "{name}");
        assert!(mail["longest"].as_u64().unwrap() <= 998 && mail["bare"] == false, "{name}: {mail}");
        assert_eq!(mail["types"], serde_json::json!(["multipart/alternative", "text/plain", "text/html"]), "{name}");
        let tags: Vec<&str> = mail["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap()).collect();
        assert!(tags.iter().all(|tag| allowed.contains(tag)), "{name}: {tags:?}");
        assert!(mail["headers"].get("Bcc").is_none() && mail["headers"]["X-Reveille-User"] == "mary@example.org");
    }
    let subject = |name: &str| mails[name]["headers"]["Subject"].as_str().unwrap().to_owned();
    let text = |name: &str| mails[name]["text"].as_str().unwrap().to_owned();
    for (name, expected) in [
        ("plain-en-GB", "Lunch – Tue, 10 Mar 2026, 12:00"),
        ("plain-de", "Lunch – Di., 10.03.2026, 12:00"),
        ("all-day-en-GB", "Holiday – Tue, 10 Mar 2026"),
        ("twice-de", "Night – So., 25.10.2026, 02:30 UTC+2"),
        ("moved-en-GB", "Team – Tue, 10 Mar 2026, 15:00"),
        ("arabic-en-GB", "اجتماع الفريق – Tue, 10 Mar 2026, 12:00"),
        ("markup-en-GB", "<script>alert(1)</script> {{ 7 * 7 }} {% raw %} – Tue, 10 Mar 2026, 12:00"),
        ("boilerplate-en-GB", "Tea Bcc: all@example.org – Tue, 10 Mar 2026, 12:00"),
    ] {
        assert_eq!(subject(name), expected);
    }
    for (name, expected) in [
        ("days-de", "Dienstag, 10. März 2026 bis Donnerstag, 12. März 2026 (ganztägig)\n"),
        ("floating-en-GB", "Tuesday, 10 March 2026, 12:00 (Europe/Berlin)\n"),
        ("zone-en-GB", "12:00 (Europe/Berlin)\n          (that is Tuesday, 10 March 2026, 20:00 Asia/Tokyo)\n"),
        ("moved-de", "Verschoben von: Dienstag, 10. März 2026, 12:00\nWiederholung:   wöchentlich\n"),
        ("to-do-en-GB", "Due:      Tuesday, 10 March 2026, 12:00 (Europe/Berlin)\n"),
        ("to-do-de", "weil die Aufgabe im Kalender"),
        ("long-en-GB", "…\n\nThe description goes on"),
        ("meeting-en-GB", "Online:    https://meet.example.org/a?b=1&c=2\nLink:      https://example.org/review\n"),
        ("late-de", "Diese Erinnerung kommt 10 Minuten zu spät: fällig war sie am Dienstag, 10. März 2026, 11:00."),
        ("over-en-GB", "6 hours late: it was due on Tuesday, 10 March 2026, 11:00.\n\nThe event is already over.\n"),
    ] {
        assert!(text(name).contains(expected), "{name}: {}", text(name));
    }
    assert!(!text("boilerplate-de").contains("This is") && !text("late-en-GB").contains("over"));
    assert_eq!(mails["meeting-de"]["headers"]["Reply-To"], "The boss <boss@example.org>");
    let links = serde_json::json!([
        "https://meet.example.org/a?b=1&c=2",
        "https://meet.example.org/a?b=1&c=2",
        "https://example.org/review"
    ]);
    assert_eq!(mails["meeting-en-GB"]["links"], links);
    assert!(mails["markup-de"]["page"].as_str().unwrap().contains("</p><img src=x onerror=y>"));
}

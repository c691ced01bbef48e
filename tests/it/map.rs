//! The map of the program holds: data goes one way (source → calendar → ledger → wheel → delivery), SQL stays in the
//! ledger, and nobody but the calendar core speaks to the crates behind it. Read from the `use` lines of `src/`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What each module of `src/` may use of the others. An arrow that is not here points backwards, or is new: then say
/// here why it may exist.
const MAP: &[(&str, &[&str])] = &[
    ("time", &[]),
    ("clock", &["time"]),
    ("calendar", &["time"]),
    ("zoneinfo", &["calendar"]),
    // Zones are named in the configuration and must exist.
    ("config", &["access", "calendar", "zoneinfo"]),
    ("access", &[]),
    ("tls", &[]),
    ("source", &["time", "access", "clock", "config", "tls"]),
    ("ledger", &["time", "access"]),
    ("notification", &["time", "calendar"]),
    ("wheel", &["time", "clock", "ledger"]),
    ("delivery", &["time", "access", "clock", "config", "calendar", "notification", "ledger", "tls"]),
    // The two that join stages: what a ring is in the ledger, and what a change is.
    ("planner", &["time", "config", "calendar", "notification", "ledger", "wheel", "delivery"]),
    ("intake", &["time", "clock", "config", "source", "calendar", "ledger", "wheel", "planner"]),
    (
        "daemon",
        &[
            "time", "clock", "config", "source", "calendar", "ledger", "wheel", "delivery", "planner", "intake",
            "zoneinfo",
        ],
    ),
    (
        "cli",
        &[
            "time",
            "access",
            "clock",
            "config",
            "source",
            "calendar",
            "zoneinfo",
            "ledger",
            "notification",
            "planner",
            "delivery",
            "daemon",
        ],
    ),
];

/// Crates that only one module may speak to.
const OWNED: &[(&str, &str)] = &[
    ("sqlx", "ledger"),
    ("icalendar", "calendar"),
    ("rrule", "calendar"),
    ("chrono_tz", "calendar"),
    ("quick_xml", "source"),
    ("clap_mangen", "cli"),
];

/// The sources of the program: module of `src/`, path, text without comments and tests.
fn sources() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut sources) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") && !path.ends_with("tests.rs") {
                let inside = path.strip_prefix(&root).unwrap();
                let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
                let module = first.trim_end_matches(".rs").to_owned();
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap();
                let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
                sources.push((module, inside.to_owned(), code.join("\n")));
            }
        }
    }
    sources
}

/// The words that follow `before` in `text`.
fn words_after<'t>(text: &'t str, before: &'t str) -> impl Iterator<Item = &'t str> {
    text.match_indices(before).map(move |(at, _)| {
        let rest = &text[at + before.len()..];
        &rest[..rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())]
    })
}

#[test]
fn no_arrow_points_backwards() {
    let map: BTreeMap<&str, &[&str]> = MAP.iter().copied().collect();
    let mut wrong = Vec::new();
    for (module, path, code) in sources() {
        if ["lib", "main"].contains(&module.as_str()) {
            continue;
        }
        let Some(allowed) = map.get(module.as_str()) else {
            wrong.push(format!("src/{} is in no place of the map", path.display()));
            continue;
        };
        // A group of modules, `use crate::{a, b}`, would pass by this test.
        for used in words_after(&code, "crate::").filter(|used| *used != module) {
            if !allowed.contains(&used) {
                wrong.push(format!("src/{} uses crate::{used}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn crates_stay_with_their_owners() {
    let mut wrong = Vec::new();
    for (module, path, code) in sources() {
        for (name, owner) in OWNED {
            let foreign = module != *owner;
            let mentions = |line: &&str| line.contains(&format!("{name}::")) && !line.contains(&format!("_{name}::"));
            if let Some(line) = code.lines().find(mentions).filter(|_| foreign) {
                wrong.push(format!("src/{}: {}", path.display(), line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// docs/security.md names a test for each threat and limit, in the last column of its tables.
#[test]
fn the_threat_model_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = String::new();
    let mut folders = vec![root.join("src"), root.join("tests/it")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(extension) if extension == "rs" => tests.push_str(&fs::read_to_string(&path).unwrap()),
                _ => {}
            }
        }
    }
    let document = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let rows = document.lines().filter(|line| line.starts_with("| ") && !line.contains("| shown by |"));
    let (mut named, mut missing) = (0, Vec::new());
    for row in rows {
        let column = row.trim_end_matches([' ', '|']).rsplit("| ").next().unwrap();
        let names: Vec<&str> = column.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test is named: {row}");
        named += names.len();
        missing.extend(names.into_iter().filter(|name| !tests.contains(&format!("fn {name}("))));
    }
    assert!(named > 50 && missing.is_empty(), "of {named} these are nowhere: {missing:?}");
}

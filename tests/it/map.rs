//! The map of the program holds: data goes one way (source → calendar → ledger → firing → delivery), SQL stays in the
//! ledger, and nobody but the calendar core speaks to the crates behind it. Read from the `use` lines of `src/`. The
//! documents name files, functions, tests and rules that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What each module of `src/` may use of the others. An arrow that is not here points backwards, or is new: then say
/// here why it may exist.
const MAP: &[(&str, &[&str])] = &[
    ("time", &[]),
    ("text", &[]),
    // Plain data, which a source fills in and the ledger keeps.
    ("calendar_info", &[]),
    ("clock", &["time"]),
    ("log_limit", &["time"]),
    ("metrics", &["time"]),
    ("calendar", &["time", "text"]),
    ("zoneinfo", &["calendar"]),
    // Zones are named in the configuration and must exist.
    ("config", &["access", "calendar", "calendar_info", "text", "zoneinfo", "tables", "delivery"]),
    ("tables", &["text", "access"]),
    ("access", &[]),
    ("tls", &[]),
    ("http", &["time", "tables", "tls"]),
    // A feed is one text of many objects, which is taken apart.
    ("source", &["time", "text", "calendar_info", "access", "clock", "config", "http", "calendar", "hints", "push"]),
    ("ledger", &["time", "access", "calendar_info"]),
    ("notification", &["time", "text", "calendar"]),
    ("store_event", &["time", "text", "notification"]),
    (
        "delivery",
        &[
            "time",
            "text",
            "access",
            "clock",
            "metrics",
            "tables",
            "calendar",
            "notification",
            "store_event",
            "ledger",
            "http",
            "tls",
        ],
    ),
    // A link names a firing.
    ("answer_link", &["time", "text"]),
    // What a user says to an alarm is written into its store.
    ("answer", &["time", "text", "clock", "config", "http", "source", "calendar", "ledger", "notification", "firing"]),
    // What the two that record firings share.
    ("pipeline", &["time", "clock", "metrics", "ledger", "delivery"]),
    // The two that join stages: what an alarm instance is in the ledger, and what a change is.
    (
        "firing",
        &[
            "answer_link",
            "time",
            "clock",
            "log_limit",
            "config",
            "calendar_info",
            "calendar",
            "notification",
            "store_event",
            "ledger",
            "delivery",
            "pipeline",
        ],
    ),
    // It knows what a batch changes, which store events tell.
    (
        "ingest",
        &["time", "text", "clock", "config", "source", "calendar", "store_event", "ledger", "pipeline", "firing"],
    ),
    // Names of sources, and nothing of what they are.
    ("hints", &[]),
    ("push", &["time", "text", "hints"]),
    (
        "admin",
        // Whoever has a notification answers its alarm.
        &[
            "access",
            "answer",
            "answer_link",
            "calendar",
            "clock",
            "hints",
            "push",
            "source",
            "tables",
            "text",
            "time",
            "tls",
        ],
    ),
    (
        "daemon",
        &[
            "answer",
            "answer_link",
            "time",
            "clock",
            "log_limit",
            "metrics",
            "config",
            "http",
            "source",
            "calendar",
            "ledger",
            "pipeline",
            "firing",
            "delivery",
            "ingest",
            "zoneinfo",
            "hints",
            "push",
            "admin",
        ],
    ),
    (
        "cli",
        &[
            "admin",
            "answer",
            "http",
            "tables",
            "time",
            "text",
            "access",
            "clock",
            "config",
            "source",
            "calendar_info",
            "calendar",
            "zoneinfo",
            "ledger",
            "notification",
            "store_event",
            "firing",
            "ingest",
            "delivery",
            "daemon",
        ],
    ),
];

/// Crates that only one folder may speak to.
const OWNED: &[(&str, &str)] = &[
    ("sqlx", "ledger/sqlite"),
    ("icalendar", "calendar"),
    ("rrule", "calendar"),
    ("chrono_tz", "calendar"),
    ("quick_xml", "source"),
    ("clap_mangen", "cli"),
    ("minijinja", "delivery/sink/email"),
    ("fluent_bundle", "delivery/sink/email"),
    ("icu_datetime", "delivery/sink/email"),
    ("icu_plurals", "delivery/sink/email"),
    ("prometheus_client", "metrics"),
    ("axum", "admin"),
    ("hyper_util", "admin"),
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
        if ["lib", "main", "bin"].contains(&module.as_str()) {
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
    for (_, path, code) in sources() {
        for (name, owner) in OWNED {
            let foreign = !path.with_extension("").starts_with(owner);
            let mentions = |line: &&str| line.contains(&format!("{name}::")) && !line.contains(&format!("_{name}::"));
            if let Some(line) = code.lines().find(mentions).filter(|_| foreign) {
                wrong.push(format!("src/{}: {}", path.display(), line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The files below `folders` whose names end in one of `extensions`, each as a path from the root of the repository and
/// a text.
fn texts(folders: &[&str], extensions: &[&str]) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut texts = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|own| extensions.iter().any(|extension| own == *extension)) {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                texts.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    texts
}

/// The documents: those of `docs`, and CONTRIBUTING.md.
fn documents() -> Vec<(String, String)> {
    let contributing = Path::new(env!("CARGO_MANIFEST_DIR")).join("CONTRIBUTING.md");
    let mut documents = texts(&["docs"], &["md"]);
    documents.push(("CONTRIBUTING.md".to_owned(), fs::read_to_string(contributing).unwrap()));
    documents
}

/// What stands between backticks in `text`.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// A column `shown by` in a table of the documents names a test in each row: for each threat, limit and settled
/// reading.
#[test]
fn the_tests_that_documents_name_exist() {
    let tests: String = texts(&["src", "tests/it"], &["rs"]).into_iter().map(|(_, text)| text).collect();
    let (mut named, mut wrong) = (0, Vec::new());
    for (document, text) in documents() {
        let mut is_table = false;
        for row in text.lines() {
            is_table = row.starts_with('|') && (is_table || row.contains("| shown by |"));
            if !is_table || row.contains("| shown by |") || row.starts_with("|-") {
                continue;
            }
            let names: Vec<&str> = quoted(row.trim_end_matches([' ', '|']).rsplit("| ").next().unwrap()).collect();
            named += names.len();
            wrong.extend(names.is_empty().then(|| format!("{document}: no test is named: {row}")));
            let missing = names.into_iter().filter(|name| !tests.contains(&format!("fn {name}(")));
            wrong.extend(missing.map(|name| format!("{document}: the test {name} does not exist")));
        }
    }
    assert!(named > 100 && wrong.is_empty(), "of {named} these are wrong:\n{}", wrong.join("\n"));
}

/// Whether `code` declares `name`: an item, a variant, a field or a key of an event.
fn is_declared(code: &str, name: &str) -> bool {
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    let keywords = ["fn ", "struct ", "enum ", "trait ", "const ", "static ", "type ", "macro_rules! "];
    code.lines().map(str::trim_start).filter(|line| !line.starts_with("//")).any(|line| {
        line.match_indices(name).any(|(at, _)| {
            let (before, rest) = (&line[..at], &line[at + name.len()..]);
            let is_variant = before.is_empty() && rest.starts_with(['(', ',', ' ']);
            let is_field = (before.is_empty() || before.ends_with("pub ")) && rest.starts_with(':');
            ends(rest) && (keywords.iter().any(|keyword| before.ends_with(keyword)) || is_variant || is_field)
        })
    })
}

/// Files that the documents name; and functions, types and constants that a row of a table names after files of `src`.
#[test]
fn the_files_and_symbols_that_documents_name_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut named, mut wrong) = (0, Vec::new());
    for (document, text) in documents() {
        let is_file = |name: &&str| ["src/", "tests/", "docs/", "fuzz/"].iter().any(|folder| name.starts_with(folder));
        let files = quoted(&text).filter(is_file).filter(|name| !name.contains(char::is_whitespace));
        wrong.extend(
            files.filter(|file| !root.join(file).exists()).map(|file| format!("{document}: there is no {file}")),
        );
        for row in text.lines().filter(|line| line.starts_with("| ") && line.contains("| `src/")) {
            let (files, symbols): (Vec<&str>, Vec<&str>) =
                quoted(&row[row.find("| `src/").unwrap()..]).partition(|name| name.starts_with("src/"));
            let code: String = files.iter().filter_map(|file| fs::read_to_string(root.join(file)).ok()).collect();
            named += symbols.len();
            let missing = symbols.into_iter().filter(|name| !is_declared(&code, name.rsplit("::").next().unwrap()));
            wrong.extend(missing.map(|name| format!("{document}: {name} is not in {files:?}")));
        }
    }
    assert!(named > 100 && wrong.is_empty(), "of {named} these are wrong:\n{}", wrong.join("\n"));
}

/// The rules that `text` cites: `rule 7`, `rules 10 and 11`, `Rules 13, 15 and 16`, `rules 1 to 3`, and tests
/// `rule_05_…`.
fn cited_rules(text: &str) -> BTreeSet<u32> {
    let text = text.to_lowercase();
    let mut cited = BTreeSet::new();
    for (at, _) in text.match_indices("rule") {
        let rest = text[at + 4..].trim_start_matches(['s', '_', ' ']);
        let mut words = rest.split([' ', '_', '\n']).filter(|word| !["", "//", "///", "//!"].contains(word));
        let mut through = None;
        while let Some(word) = words.next() {
            let Ok(number) = word.trim_end_matches(|c: char| !c.is_ascii_digit()).parse::<u32>() else { break };
            cited.extend(through.unwrap_or(number)..=number);
            through = None;
            match if word.ends_with(',') { Some("and") } else { words.next() } {
                Some("to") => through = Some(number),
                Some("and") => {}
                _ => break,
            }
        }
    }
    cited
}

#[test]
fn the_rules_that_are_cited_are_written_down() {
    assert_eq!(cited_rules("Rules 2, 4\n/// and 6; (rule 8), rules 10 to 12; `rule_14_x`").len(), 8);
    let document = "docs/alarm-rules.md";
    let written = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(document)).unwrap();
    let headings =
        written.lines().filter_map(|line| line.trim_start_matches('#').strip_prefix(" Rule ")?.split_once(": "));
    let written: Vec<u32> = headings.map(|(number, _)| number.parse().unwrap()).collect();
    assert!(written.iter().copied().eq(1..=written.len() as u32), "the rules are in order: {written:?}");
    let (mut count, mut wrong) = (0, Vec::new());
    for (file, text) in texts(&["src", "tests/it"], &["rs"]).into_iter().chain(documents()) {
        let cited = cited_rules(&text);
        count += cited.len();
        wrong.extend(
            cited.into_iter().filter(|rule| !written.contains(rule)).map(|rule| format!("{file}: rule {rule}")),
        );
    }
    assert!(count > 50 && wrong.is_empty(), "{document} has no heading for {wrong:?}");
}

/// The patches that plant bugs for the simulation to find change lines that are in the code.
#[test]
fn planted_bugs_apply_to_the_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut hunks, mut wrong) = (0, Vec::new());
    for (patch, text) in texts(&["tests/it/simulation/planted"], &["patch"]) {
        let (mut file, mut code, mut block) = ("", String::new(), String::new());
        // A last heading ends the last hunk.
        for line in text.lines().chain(["--- "]) {
            match line.chars().next() {
                Some('d' | 'i' | '@') => {}
                _ if line.starts_with("--- ") => {}
                _ if line.starts_with("+++ ") => {
                    file = line.trim_start_matches("+++ b/");
                    code = fs::read_to_string(root.join(file)).unwrap_or_default();
                    continue;
                }
                Some('+') => continue,
                _ => {
                    block.push_str(line.get(1..).unwrap_or_default());
                    block.push('\n');
                    continue;
                }
            }
            hunks += usize::from(!block.is_empty());
            if !code.contains(&block) {
                wrong.push(format!("{patch}: {file} has no\n{block}"));
            }
            block.clear();
        }
    }
    assert!(hunks > 6 && wrong.is_empty(), "of {hunks} hunks these are wrong:\n{}", wrong.join("\n"));
}

#[test]
fn comments_are_no_wider_than_the_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut folders, mut wide) = (["src", "tests", "benches"].map(|name| root.join(name)).to_vec(), Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                // A table is as wide as it is.
                let is_wide = |(_, line): &(usize, &str)| {
                    line.trim_start().starts_with("//") && line.chars().count() > 120 && !line.contains('|')
                };
                wide.extend(
                    text.lines().enumerate().filter(is_wide).map(|(n, _)| format!("{}:{}", path.display(), n + 1)),
                );
            }
        }
    }
    assert!(wide.is_empty(), "{wide:#?}");
}

//! The shape of the code: a type's name means one thing, files do not use each other in circles, and functions and
//! files are short. Read from the text of `src/`, without its tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Names that several types have, each with the reason why.
const SHARED_NAMES: &[(&str, &str)] = &[("Args", "clap's name for the arguments of a subcommand, private to its file")];

/// Circles of files, each with the reason why.
const CIRCLES: &[(&[&str], &str)] = &[(
    &[
        "calendar/rrule/clock.rs",
        "calendar/rrule/elapsed.rs",
        "calendar/rrule/mod.rs",
        "calendar/rrule/periods.rs",
        "calendar/rrule/normalized.rs",
        "calendar/rrule/sets.rs",
        "calendar/rrule/weekdays.rs",
        "calendar/zone/compare.rs",
        "calendar/zone/database.rs",
        "calendar/zone/mod.rs",
        "calendar/zone/names.rs",
        "calendar/zone/transitions.rs",
        "calendar/zone/vtimezone.rs",
    ],
    "the onsets of a VTIMEZONE are recurrence rules (RFC 5545, 3.6.5), and a rule is expanded in a zone",
)];

/// Lines that 99 of 100 functions do not exceed, and parameters (without `self`) that none exceeds.
const LINES: usize = 45;
const PARAMETERS: usize = 5;
/// Lines of code of a file: without comments, blank lines and tests.
const FILE_LINES: usize = 450;

/// The sources without tests and comments, by path below `src/`.
fn sources() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut sources) = (vec![root.clone()], BTreeMap::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() && !path.ends_with("tests") {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") && !path.ends_with("tests.rs") {
                let text = fs::read_to_string(&path).unwrap();
                let tests = ["\n#[cfg(test)]\nmod tests {", "\n#[cfg(all(test,"].map(|tests| text.find(tests));
                let code = &text[..tests.into_iter().flatten().min().unwrap_or(text.len())];
                let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
                sources.insert(name, code.lines().filter(is_code).collect::<Vec<_>>().join("\n"));
            }
        }
    }
    assert!(sources.len() > 100);
    sources
}

/// `text` from after its opening bracket to the bracket that closes it.
fn bracketed(text: &str) -> &str {
    let (mut depth, mut last) = (0, ' ');
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' | '<' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            '>' if last != '-' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[1..at];
        }
        last = c;
    }
    ""
}

/// The parts of `text` between its outer commas.
fn parts(text: &str) -> Vec<&str> {
    let (mut depth, mut last, mut from, mut parts) = (0, ' ', 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' | '<' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            '>' if last != '-' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
        last = c;
    }
    parts.push(&text[from..]);
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// The name that `line` declares with one of `keywords`, after any visibility and qualifiers.
fn declared<'l>(line: &'l str, keywords: &[&str]) -> Option<&'l str> {
    let mut words = line.trim_start().split(' ').map(|word| if word.starts_with("pub(") { "pub" } else { word });
    let keyword = words.find(|word| !["pub", "const", "async"].contains(word))?;
    let name = words.next().filter(|_| keywords.contains(&keyword))?;
    Some(&name[..name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len())])
}

#[test]
fn a_name_of_a_type_means_one_thing() {
    let mut places: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (file, code) in sources() {
        for line in code.lines() {
            // An indented `type` belongs to a trait.
            let keywords: &[&str] = match line.starts_with(' ') {
                true => &["struct", "enum", "trait"],
                false => &["struct", "enum", "trait", "type"],
            };
            if let Some(name) = declared(line, keywords) {
                places.entry(name.to_owned()).or_default().insert(file.clone());
            }
        }
    }
    assert!(places.len() > 200);
    let shared = |name: &str| SHARED_NAMES.iter().any(|(shared, _)| *shared == name);
    let wrong: Vec<_> = places.iter().filter(|(name, files)| files.len() > 1 && !shared(name)).collect();
    assert!(wrong.is_empty(), "give each of these its own name: {wrong:#?}");
    for (name, _) in SHARED_NAMES {
        assert!(places.get(*name).is_some_and(|files| files.len() > 1), "{name} needs no exception any more");
    }
}

/// A module of the program: the segments of its path.
type Module = Vec<String>;

fn module(file: &str) -> Module {
    let mut path: Module = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if path.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        path.pop();
    }
    path
}

/// The paths that the body of a `use` names.
fn expanded(body: &str) -> Vec<String> {
    let body = body.trim();
    match body.find('{') {
        Some(at) => {
            let inner = parts(bracketed(&body[at..]));
            inner.into_iter().flat_map(|part| expanded(&format!("{}{part}", &body[..at]))).collect()
        }
        None => vec![body.split(" as ").next().unwrap_or(body).to_owned()],
    }
}

/// The module that `path` leads to, seen from `from`.
fn target(path: &str, from: &Module, modules: &BTreeMap<Module, String>) -> Option<Module> {
    let mut segments = path.split("::").map(str::trim).peekable();
    let mut base = match segments.peek()? {
        &"crate" => Module::new(),
        &"super" | &"self" => from.clone(),
        first => {
            let mut child = from.clone();
            child.push((*first).to_owned());
            modules.contains_key(&child).then(|| from.clone())?
        }
    };
    for segment in segments {
        match segment {
            "crate" | "self" => {}
            "super" => drop(base.pop()),
            name => base.push(name.to_owned()),
        }
    }
    while !base.is_empty() && !modules.contains_key(&base) {
        base.pop();
    }
    (!base.is_empty() && base != *from).then_some(base)
}

/// Which modules each module names: in its `use` lines, and where it writes a path out.
fn uses(sources: &BTreeMap<String, String>, modules: &BTreeMap<Module, String>) -> BTreeMap<Module, BTreeSet<Module>> {
    let mut uses = BTreeMap::new();
    for (own, file) in modules {
        let code = &sources[file];
        let mut paths = Vec::new();
        for statement in code.split(';') {
            let line = statement.rfind("\nuse ").or(statement.rfind("\npub use "));
            let used = line.map(|at| &statement[at + 1..]).or(statement.starts_with("use ").then_some(statement));
            let used = used.and_then(|used| used.split_once("use "));
            paths.extend(used.map(|(_, body)| expanded(body)).unwrap_or_default());
        }
        for start in ["crate::", "super::", "self::"] {
            for (at, _) in code.match_indices(start) {
                let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
                let rest = &code[at..];
                paths.push(rest[..rest.find(|c| !is_path(c)).unwrap_or(rest.len())].trim_end_matches(':').to_owned());
            }
        }
        let used: BTreeSet<Module> = paths.iter().filter_map(|path| target(path, own, modules)).collect();
        uses.insert(own.clone(), used);
    }
    uses
}

/// All modules that `from` reaches.
fn reached(from: &Module, uses: &BTreeMap<Module, BTreeSet<Module>>) -> BTreeSet<Module> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![from.clone()]);
    while let Some(module) = open.pop() {
        for next in uses.get(&module).into_iter().flatten() {
            if reached.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    reached
}

#[test]
fn files_do_not_use_each_other_in_circles() {
    let sources = sources();
    let modules: BTreeMap<Module, String> = sources.keys().map(|file| (module(file), file.clone())).collect();
    let uses = uses(&sources, &modules);
    assert!(uses.values().map(BTreeSet::len).sum::<usize>() > 300);
    let reach: BTreeMap<&Module, BTreeSet<Module>> = uses.keys().map(|own| (own, reached(own, &uses))).collect();
    let mut circles: BTreeSet<Vec<&str>> = BTreeSet::new();
    for (own, others) in reach.iter().filter(|(own, others)| others.contains(**own)) {
        let mutual = others.iter().filter(|other| reach.get(other).is_some_and(|back| back.contains(*own)));
        circles.insert(mutual.map(|other| modules[other].as_str()).collect());
    }
    let known: BTreeSet<Vec<&str>> = CIRCLES
        .iter()
        .map(|(files, _)| {
            let mut files: Vec<(Module, &str)> = files.iter().map(|file| (module(file), *file)).collect();
            files.sort();
            files.into_iter().map(|(_, file)| file).collect()
        })
        .collect();
    let new: Vec<_> = circles.difference(&known).collect();
    let gone: Vec<_> = known.difference(&circles).collect();
    assert!(new.is_empty() && gone.is_empty(), "new circles: {new:#?}, listed and not there: {gone:#?}");
}

#[test]
fn functions_and_files_are_short() {
    let (mut lengths, mut wrong) = (Vec::new(), Vec::new());
    for (file, code) in sources() {
        let lines: Vec<&str> = code.lines().collect();
        if lines.len() > FILE_LINES {
            wrong.push(format!("{file} has {} lines of code", lines.len()));
        }
        let mut start = 0;
        for (number, line) in lines.iter().enumerate() {
            let Some(name) = declared(line, &["fn"]) else {
                start += line.len() + 1;
                continue;
            };
            let after = &code[start + line.find(&format!("fn {name}")).unwrap() + 3 + name.len()..];
            let after = if after.starts_with('<') { &after[bracketed(after).len() + 2..] } else { after };
            let is_self = |part: &&str| !part.split(':').next().unwrap().trim().ends_with("self");
            let count = parts(bracketed(after)).iter().filter(|part| is_self(part)).count();
            if count > PARAMETERS {
                wrong.push(format!("{file}: {name} has {count} parameters"));
            }
            // What follows the parameters: `;` of a trait's method, or the body.
            let body = after[bracketed(after).len()..]
                .find(['{', ';'])
                .map(|at| after.as_bytes()[bracketed(after).len() + at]);
            let end = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
            if body == Some(b'{') {
                let length = lines[number..].iter().position(|line| *line == end).unwrap_or_default() + 1;
                lengths.push((length, format!("{file}: {name}")));
            }
            start += line.len() + 1;
        }
    }
    lengths.sort_by(|one, other| other.cmp(one));
    assert!(lengths.len() > 1500);
    let longest = &lengths[..lengths.len() / 100 + 1];
    if longest.last().is_some_and(|(length, _)| *length > LINES) {
        wrong.push(format!("more than 1 of 100 functions is longer than {LINES} lines: {longest:#?}"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

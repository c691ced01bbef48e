//! Walking a TOML file with every key's line at hand. It collects problems instead of stopping at the first, and knows
//! no setting.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Problem;

/// A key that was renamed. The old one is read as the new one, and a warning names the new one.
struct RenamedKey {
    section: &'static str,
    old: &'static str,
    new: &'static str,
}

/// All keys that were renamed.
const RENAMED_KEYS: &[RenamedKey] =
    &[RenamedKey { section: "limits", old: "max_rings_per_hour", new: "max_alarms_per_hour" }];

/// What comes in the place of a placeholder.
#[derive(Clone, Copy, Debug)]
pub struct Replacement<'r> {
    /// In the values of the key `url`.
    pub in_urls: &'r str,
    /// In all others.
    pub elsewhere: &'r str,
}

fn replace(value: &mut DeValue<'_>, placeholder: &str, replacement: &str) {
    match value {
        DeValue::String(text) if text.contains(placeholder) => {
            *text = text.replace(placeholder, replacement).into();
        }
        DeValue::Array(items) => {
            items.iter_mut().for_each(|item| replace(item.get_mut(), placeholder, replacement));
        }
        DeValue::Table(table) => {
            table.iter_mut().for_each(|(_, value)| replace(value.get_mut(), placeholder, replacement));
        }
        _ => {}
    }
}

/// The file that is being read, and what was found wrong in it so far.
#[derive(Debug)]
pub struct Diagnostics<'a> {
    file: &'a Path,
    text: &'a str,
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
}

impl<'a> Diagnostics<'a> {
    /// None yet, of the file `file` with the text `text`.
    pub fn new(file: &'a Path, text: &'a str) -> Diagnostics<'a> {
        Diagnostics { file, text, problems: RefCell::default(), warnings: RefCell::default() }
    }

    /// The line, counted from 1, that holds the octet `offset`.
    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
        1 + before.iter().filter(|octet| **octet == b'\n').count()
    }

    /// Notes a problem at an octet of the file; none: the file as a whole.
    pub fn report(&self, offset: Option<usize>, key: Option<String>, sentence: String) {
        self.problems.borrow_mut().push(self.problem(offset, key, sentence));
    }

    /// Notes something at an octet of the file that is not an error.
    fn warn(&self, offset: usize, key: String, sentence: String) {
        self.warnings.borrow_mut().push(self.problem(Some(offset), Some(key), sentence));
    }

    fn problem(&self, offset: Option<usize>, key: Option<String>, sentence: String) -> Problem {
        let line = offset.map(|offset| self.line(offset));
        // A key or a value may hold a line end; a problem is one line.
        let visible = |c: char| if c.is_control() { c.escape_default().collect() } else { String::from(c) };
        let sentence = sentence.chars().map(visible).collect();
        Problem { file: Some(self.file.to_owned()), line, key, sentence }
    }

    /// The warnings so far, which are handed over.
    pub fn take_warnings(&self) -> Vec<Problem> {
        self.warnings.take()
    }

    /// All problems that were found, in the order of the file.
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }
}

/// One table of the file. The keys that are asked for are the keys that it knows.
#[derive(Debug)]
pub struct Section<'a> {
    diagnostics: &'a Diagnostics<'a>,
    /// How sentences call it: `[defaults]`, `source 'mary'`; empty for the top of the file.
    title: String,
    /// What stands before the dot in a key's path: `source`; empty for the top of the file.
    path: &'static str,
    table: &'a DeTable<'a>,
    /// Where it begins.
    start: Option<usize>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Section<'a> {
    /// The top of the file.
    pub fn top(diagnostics: &'a Diagnostics<'a>, table: &'a DeTable<'a>) -> Section<'a> {
        Section { diagnostics, title: String::new(), path: "", table, start: None, asked: RefCell::default() }
    }

    /// The file that `self` is the top of, as the table `[[key]]` whose name is `name`.
    #[must_use]
    pub fn named(self, key: &'static str, name: &str) -> Section<'a> {
        Section { title: format!("{key} '{name}'"), path: key, ..self }
    }

    /// Its table with `replacement` in place of each `placeholder` in its texts and in those below it.
    pub fn replaced(&self, placeholder: &str, replacement: &Replacement<'_>) -> DeTable<'a> {
        let mut table = self.table.clone();
        for (key, value) in table.iter_mut() {
            let replacement = if key.get_ref() == "url" { replacement.in_urls } else { replacement.elsewhere };
            replace(value.get_mut(), placeholder, replacement);
        }
        table
    }

    /// The same section with `table` in place of its own; the same keys count as known.
    pub fn with_table<'b>(&'b self, table: &'b DeTable<'b>) -> Section<'b> {
        Section {
            title: self.title.clone(),
            path: self.path,
            start: self.start,
            asked: self.asked.clone(),
            ..Section::top(self.diagnostics, table)
        }
    }

    /// This section, which reports to `diagnostics`.
    #[must_use]
    pub fn reporting_to(self, diagnostics: &'a Diagnostics<'a>) -> Section<'a> {
        Section { diagnostics, ..self }
    }

    /// Empty ones of the same file.
    pub fn diagnostics(&self) -> Diagnostics<'a> {
        Diagnostics::new(self.diagnostics.file, self.diagnostics.text)
    }

    /// The table `[key]`; an empty one where it is missing.
    pub fn table(&self, key: &'static str, none: &'a DeTable<'a>) -> Section<'a> {
        let mut section =
            Section { title: format!("[{key}]"), path: key, table: none, ..Section::top(self.diagnostics, none) };
        match self.entry(key) {
            None => {}
            Some(value) => match value.get_ref() {
                DeValue::Table(table) => (section.table, section.start) = (table, Some(value.span().start)),
                other => self.report(key, &format!("is {} and must be a table: write [{key}]", kind_of(other))),
            },
        }
        section
    }

    /// The table `key` within this one, whose path is `path`; none where it is missing or no table, which is then
    /// reported.
    pub fn subtable(&self, key: &'static str, path: &'static str) -> Option<Section<'a>> {
        let value = self.entry(key)?;
        let DeValue::Table(table) = value.get_ref() else {
            self.report(key, &format!("is {} and must be a table", kind_of(value.get_ref())));
            return None;
        };
        let (title, start) = (format!("{}: {key}", self.title), Some(value.span().start));
        Some(Section { title, path, table, start, ..Section::top(self.diagnostics, table) })
    }

    /// The tables `[[key]]`, in the file's order.
    pub fn tables(&self, key: &'static str) -> Vec<Section<'a>> {
        let Some(value) = self.entry(key) else { return Vec::new() };
        let wrong = |other| {
            self.report(key, &format!("is {} and must be a list of tables: write [[{key}]]", kind_of(other)));
        };
        let DeValue::Array(items) = value.get_ref() else {
            wrong(value.get_ref());
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let DeValue::Table(table) = item.get_ref() else {
                wrong(item.get_ref());
                continue;
            };
            let title = format!("{key} {}", index + 1);
            let start = Some(item.span().start);
            sections.push(Section { title, path: key, table, start, ..Section::top(self.diagnostics, table) });
        }
        sections
    }

    /// The tables `[key."NAME"]` with their names, in the order of the names.
    pub fn children(&self, key: &'static str) -> Vec<(String, Section<'a>)> {
        let Some(value) = self.entry(key) else { return Vec::new() };
        let DeValue::Table(tables) = value.get_ref() else {
            self.report(key, &format!("is {} and must be a table: write [{key}.\"NAME\"]", kind_of(value.get_ref())));
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (name, value) in tables.iter() {
            let name = name.get_ref().to_string();
            let title = format!("[{key}.\"{name}\"]");
            let DeValue::Table(table) = value.get_ref() else {
                let start = Some(value.span().start);
                let sentence = format!("{title} is {} and must be a table", kind_of(value.get_ref()));
                self.diagnostics.report(start, Some(self.key_path(key)), sentence);
                continue;
            };
            let start = Some(value.span().start);
            sections.push((name, Section { title, path: key, table, start, ..Section::top(self.diagnostics, table) }));
        }
        sections
    }

    /// The path that is written as `written`: what is relative is relative to the folder of the file.
    pub fn path(&self, written: &str) -> PathBuf {
        self.diagnostics.file.parent().unwrap_or(Path::new("")).join(written)
    }

    /// The program that is written as `written`: a path that is relative is relative to the folder of the file, and a
    /// bare name is looked for in the folders of `PATH`.
    pub fn program(&self, written: &str) -> String {
        match written.contains('/') {
            true => self.path(written).to_string_lossy().into_owned(),
            false => written.to_owned(),
        }
    }

    /// From now on sentences call it by its name: `source 'mary'`.
    pub fn set_name(&mut self, name: &str) {
        self.title = format!("{} '{name}'", self.path);
    }

    /// Whether `key` is written here. It counts as known from now on.
    pub fn has(&self, key: &'static str) -> bool {
        self.entry(key).is_some()
    }

    /// The value of `key`, as `read` understands it; none where it is missing or wrong, which is then reported.
    pub fn read<T>(&self, key: &'static str, read: impl FnOnce(&DeValue<'_>) -> Result<T, String>) -> Option<T> {
        match read(self.entry(key)?.get_ref()) {
            Ok(value) => Some(value),
            Err(sentence) => {
                self.report(key, &sentence);
                None
            }
        }
    }

    /// Like [`Section::read`], for a key that must be there.
    pub fn required<T>(&self, key: &'static str, read: impl FnOnce(&DeValue<'_>) -> Result<T, String>) -> Option<T> {
        if !self.has(key) {
            self.report(key, "is missing");
        }
        self.read(key, read)
    }

    /// Notes that something is wrong with `key`: where it is written, else where the table begins.
    pub fn report(&self, key: &'static str, sentence: &str) {
        let offset = self.entry(key).map(|value| value.span().start).or(self.start);
        let head = if self.title.is_empty() { String::new() } else { format!("{}: ", self.title) };
        self.diagnostics.report(offset, Some(self.key_path(key)), format!("{head}{key} {sentence}"));
    }

    /// Whether something is wrong so far in the file.
    pub fn has_problems(&self) -> bool {
        !self.diagnostics.problems.borrow().is_empty()
    }

    /// Reports the keys that were not read.
    pub fn finish(self) {
        let asked = self.asked.borrow();
        for key in self.table.keys().filter(|key| !asked.contains(&key.get_ref().as_ref())) {
            let head = if self.title.is_empty() { String::new() } else { format!("{}: ", self.title) };
            let name = key.get_ref();
            // What has nothing in common with the key would not help.
            let nearest =
                nearest(name, &asked).filter(|near| strsim::damerau_levenshtein(name, near) * 2 <= name.len());
            let nearest = nearest.map_or(String::new(), |near| format!("; the nearest known key is '{near}'"));
            let sentence = format!("{head}unknown key '{name}'{nearest}");
            self.diagnostics.report(Some(key.span().start), Some(self.key_path(name)), sentence);
        }
    }

    fn key_path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn entry(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        let is_first = !self.asked.borrow().contains(&key);
        if is_first {
            self.asked.borrow_mut().push(key);
        }
        self.written(key).or_else(|| self.renamed(key, is_first))
    }

    fn written(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
    }

    /// The value that is written under the old name of `key`.
    fn renamed(&self, key: &str, is_first: bool) -> Option<&'a Spanned<DeValue<'a>>> {
        let renamed = RENAMED_KEYS.iter().find(|renamed| renamed.section == self.path && renamed.new == key)?;
        let value = self.written(renamed.old)?;
        if is_first {
            self.asked.borrow_mut().push(renamed.old);
            let sentence = format!("{}: {} was renamed: write {}", self.title, renamed.old, renamed.new);
            self.diagnostics.warn(value.span().start, self.key_path(renamed.old), sentence);
        }
        Some(value)
    }
}

/// The one of `known` that is written most like `name`.
pub fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let name = name.to_lowercase();
    let distance = |known: &str| strsim::damerau_levenshtein(&name, &known.to_lowercase());
    known.iter().copied().min_by_key(|known| (distance(known), *known))
}

/// What a value is, with its article.
pub fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

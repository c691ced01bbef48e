//! Accounts that have a file each in a folder. They come and go while the daemon runs, and what is wrong with one of
//! them is a fault of that one alone.

use std::collections::HashSet;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use toml::de::DeTable;

use super::account_origins::account_files;
use super::context::read_file;
use super::settings::{AccountProblem, SourceConfig};
use super::sources::{self, SourceContext};
use crate::tables::{Diagnostics, Problem, Section};

/// Keys that make the daemon run a program.
const COMMANDS: [&str; 2] = ["password_command", "token_command"];

/// What was read of a folder of accounts.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    pub(super) sources: Vec<SourceConfig>,
    pub(super) problems: Vec<AccountProblem>,
    pub(super) warnings: Vec<Problem>,
}

/// Reads the account files in `folder`, in the order of their names. An account is called as its file, without the
/// ending; `taken` are the names of other sources.
///
/// # Errors
/// When the folder cannot be listed.
pub(super) fn read(folder: &Path, taken: &[SourceConfig], context: &SourceContext<'_>) -> io::Result<Accounts> {
    let mut accounts = Accounts::default();
    let taken: HashSet<&str> = taken.iter().map(|source| source.name.as_str()).collect();
    for file in account_files(folder)? {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let problem = |sentence: String| AccountProblem {
            account: name.clone(),
            problem: Problem { file: Some(file.clone()), line: None, key: None, sentence },
            is_pending: false,
        };
        if taken.contains(name.as_str()) {
            accounts
                .problems
                .push(problem(format!("a source of the configuration is called '{name}' too: rename one")));
            continue;
        }
        match read_file(&file) {
            Ok(text) => read_account(&file, &text, &name, context, &mut accounts),
            // It was there when the folder was listed.
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            Err(why) => accounts.problems.push(problem(format!("the account cannot be read: {why}"))),
        }
    }
    Ok(accounts)
}

/// The account file, or its folder, if others than root and the user of this process may change it.
fn changeable(file: &Path) -> Option<String> {
    let own = rustix::process::geteuid().as_raw();
    let others = |path: &&Path| {
        let metadata = std::fs::metadata(path);
        metadata.is_ok_and(|metadata| metadata.mode() & 0o022 != 0 || ![0, own].contains(&metadata.uid()))
    };
    [Some(file), file.parent()].into_iter().flatten().find(others).map(|path| path.display().to_string())
}

fn read_account(file: &Path, text: &str, name: &str, context: &SourceContext<'_>, accounts: &mut Accounts) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let diagnostics = Diagnostics::new(file, text);
    for error in &errors {
        let sentence = format!("this is not valid TOML: {}", error.message().replace('\n', ", "));
        diagnostics.report(error.span().map(|span| span.start), None, sentence);
    }
    let reader = context.reader.in_folder(file.parent().unwrap_or(Path::new("")));
    let context = SourceContext { reader: &reader, ..*context };
    let mut source = None;
    if errors.is_empty() {
        let section = Section::top(&diagnostics, table.get_ref()).named("source", name);
        let is_command = |key: &str| COMMANDS.contains(&key);
        let command = table.get_ref().keys().map(|key| key.get_ref().as_ref()).find(|key| is_command(key));
        if let (Some(command), Some(changeable)) = (command, changeable(file)) {
            let sentence = format!(
                "source '{name}': {command} is not run, as others may change {changeable}: give it to root, mode 0644"
            );
            diagnostics.report(None, Some(command.to_owned()), sentence);
        }
        source = sources::read_account(section, name, &context);
        accounts.warnings.extend(diagnostics.take_warnings());
    }
    let problems = diagnostics.into_problems();
    match source.filter(|_| problems.is_empty()) {
        Some(source) => accounts.sources.push(SourceConfig { origin: Some(file.to_owned()), ..source }),
        None => {
            let of_account = |problem| AccountProblem { account: name.to_owned(), problem, is_pending: false };
            accounts.problems.extend(problems.into_iter().map(of_account));
        }
    }
}

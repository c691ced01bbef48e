//! What is wrong in a configuration.

use std::fmt;
use std::path::PathBuf;

/// A configuration that cannot be used: everything that is wrong with it.
#[derive(Debug)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    /// Of `problems`, in the order of the file's lines.
    pub fn new(mut problems: Vec<Problem>) -> ConfigError {
        problems.sort_by_key(|problem| problem.line);
        ConfigError { problems }
    }

    /// What is wrong, in the order of the file's lines.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sentences: Vec<String> = self.problems.iter().map(Problem::to_string).collect();
        f.write_str(&sentences.join("\n"))
    }
}

/// One thing that is wrong in a configuration. Its `Display` is `FILE:LINE: SENTENCE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file; none for what the command line says.
    pub file: Option<PathBuf>,
    /// The line, counted from 1; none where the whole file is meant.
    pub line: Option<usize>,
    /// The key, as a path: `source.poll_interval`; none where no key is meant.
    pub key: Option<String>,
    /// What is wrong and what to do.
    pub sentence: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:", file.display())?;
            if let Some(line) = self.line {
                write!(f, "{line}:")?;
            }
            f.write_str(" ")?;
        }
        f.write_str(&self.sentence)
    }
}

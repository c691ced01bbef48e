//! The one printer: standard output is for data, standard error for messages. It knows no command.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;

use serde::Serialize;

/// How a command ended; the exit status of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// It did what was asked: 0.
    Success,
    /// It ran, and the answer is 'no', or something failed: 1.
    Failure,
    /// The command line or the configuration is wrong: 2.
    Usage,
}

impl From<ExitStatus> for ExitCode {
    fn from(exit: ExitStatus) -> ExitCode {
        match exit {
            ExitStatus::Success => ExitCode::SUCCESS,
            ExitStatus::Failure => ExitCode::from(1),
            ExitStatus::Usage => ExitCode::from(2),
        }
    }
}

/// Standard output cannot take more.
#[derive(Debug, thiserror::Error)]
pub enum PrintError {
    /// Its reader has ended, which is not a failure.
    #[error("standard output is closed")]
    Closed,
    /// Standard output does not take what is written.
    #[error("standard output cannot be written: {0}")]
    Broken(io::Error),
    /// What is to be printed cannot be written as JSON.
    #[error("a line of output cannot be written as JSON: {0}")]
    Json(serde_json::Error),
}

impl From<io::Error> for PrintError {
    fn from(error: io::Error) -> PrintError {
        match error.kind() {
            io::ErrorKind::BrokenPipe => PrintError::Closed,
            _ => PrintError::Broken(error),
        }
    }
}

/// When output is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Whether output to a stream is coloured, where `terminal` says whether it is a terminal.
    pub fn on(self, terminal: bool) -> bool {
        match self {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        }
    }
}

/// What a piece of text says, and so its colour on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As it is.
    Plain,
    /// The heading of a column.
    Heading,
    /// All is well.
    Good,
    /// Something may be wrong.
    Doubtful,
    /// Something is wrong.
    Bad,
    /// Less important than the rest.
    Faint,
}

/// Writes data to standard output and messages to standard error.
pub struct Printer {
    out: Box<dyn Write + Send>,
    messages: Box<dyn Write + Send>,
    json: bool,
    quiet: bool,
    out_colored: bool,
    messages_colored: bool,
}

impl std::fmt::Debug for Printer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Printer").field("json", &self.json).field("quiet", &self.quiet).finish_non_exhaustive()
    }
}

impl Printer {
    /// A printer on the streams of the process. `quiet` leaves notes out, not errors.
    pub fn new(json: bool, quiet: bool, color: Color) -> Printer {
        Printer {
            out: Box::new(io::BufWriter::new(io::stdout())),
            messages: Box::new(io::stderr()),
            json,
            quiet,
            out_colored: !json && color.on(io::stdout().is_terminal()),
            messages_colored: color.on(io::stderr().is_terminal()),
        }
    }

    /// Whether data are JSON, one object a line.
    pub fn json(&self) -> bool {
        self.json
    }

    /// One line of data for people. Control characters in it are made visible.
    ///
    /// # Errors
    /// When standard output takes no more; see [`PrintError`].
    pub fn line(&mut self, text: impl Display) -> Result<(), PrintError> {
        writeln!(self.out, "{}", clean(&text.to_string()))?;
        Ok(())
    }

    /// Data as they are, without a line end of their own.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub fn raw(&mut self, octets: &[u8]) -> Result<(), PrintError> {
        self.out.write_all(octets)?;
        Ok(())
    }

    /// One JSON object, a line of its own.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub fn object(&mut self, object: &impl Serialize) -> Result<(), PrintError> {
        let line = serde_json::to_string(object).map_err(PrintError::Json)?;
        writeln!(self.out, "{line}")?;
        Ok(())
    }

    /// `label: value` lines of one thing, the values aligned.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub fn fields(&mut self, fields: &[(&str, String)]) -> Result<(), PrintError> {
        let width = fields.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0) + 1;
        for (label, value) in fields {
            let label = format!("{:width$}", format!("{label}:"));
            let line = format!("{} {}", paint(&label, Style::Heading, self.out_colored), clean(value));
            writeln!(self.out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// Rows below their headings, in aligned columns.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub fn table(&mut self, table: &Table) -> Result<(), PrintError> {
        self.out.write_all(table.render(self.out_colored).as_bytes())?;
        Ok(())
    }

    /// A remark on standard error, left out with `-q`.
    pub fn note(&mut self, text: impl Display) {
        if !self.quiet {
            self.say("", Style::Plain, &text.to_string());
        }
    }

    /// A warning on standard error.
    pub fn warning(&mut self, text: impl Display) {
        self.say("warning: ", Style::Doubtful, &text.to_string());
    }

    /// An error on standard error.
    pub fn error(&mut self, text: impl Display) {
        self.say("error: ", Style::Bad, &text.to_string());
    }

    /// Hands everything on that is still kept back.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub fn flush(&mut self) -> Result<(), PrintError> {
        self.out.flush()?;
        Ok(())
    }

    fn say(&mut self, head: &str, style: Style, text: &str) {
        // What was printed before comes before on a terminal too. If standard error is closed, the text is lost.
        let _ = self.out.flush();
        let lines: Vec<String> = text.lines().map(clean).collect();
        let _ = writeln!(self.messages, "{}{}", paint(head, style, self.messages_colored), lines.join("\n"));
    }
}

/// The text of one column of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// `text` in `style`.
    pub fn new(text: impl Into<String>, style: Style) -> Cell {
        Cell { text: text.into(), style }
    }

    /// `text` as it is.
    pub fn plain(text: impl Into<String>) -> Cell {
        Cell::new(text, Style::Plain)
    }
}

/// Rows of text in columns.
#[derive(Clone, Debug, Default)]
pub struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows.
    pub fn new(headings: &[&'static str]) -> Table {
        Table { headings: headings.to_vec(), rows: Vec::new() }
    }

    /// Adds a row: one cell a heading.
    pub fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        self.rows.push(cells.into_iter().map(|cell| Cell { text: clean(&cell.text), ..cell }).collect());
    }

    fn render(&self, colored: bool) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count());
            let heading = self.headings.get(column).map_or(0, |text| text.chars().count());
            cells.max().unwrap_or(0).max(heading)
        };
        let widths: Vec<usize> = (0..self.headings.len()).map(width).collect();
        let headings: Vec<Cell> = self.headings.iter().map(|text| Cell::new(*text, Style::Heading)).collect();
        let mut text = String::new();
        for row in std::iter::once(&headings).chain(&self.rows) {
            let last = row.len().saturating_sub(1);
            for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
                text.push_str(&paint(&cell.text, cell.style, colored));
                if index < last {
                    text.push_str(&" ".repeat(width.saturating_sub(cell.text.chars().count()) + 2));
                }
            }
            text.truncate(text.trim_end_matches(' ').len());
            text.push('\n');
        }
        text
    }
}

/// Control characters, which events may hold to mislead a terminal, become visible escapes.
fn clean(text: &str) -> String {
    if text.chars().any(misleads) {
        text.chars().flat_map(|c| if misleads(c) { c.escape_default().collect() } else { vec![c] }).collect()
    } else {
        text.to_owned()
    }
}

/// Whether a character steers a terminal, turns the direction of what follows, ends a line where none ends, or is not
/// seen at all.
fn misleads(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}');
    let is_unseen = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{180e}');
    c.is_control() || turns || is_unseen || matches!(c, '\u{2028}' | '\u{2029}')
}

fn paint(text: &str, style: Style, colored: bool) -> String {
    let code = match style {
        Style::Plain => return text.to_owned(),
        Style::Heading => "1",
        Style::Good => "32",
        Style::Doubtful => "33",
        Style::Bad => "31",
        Style::Faint => "2",
    };
    if colored && !text.is_empty() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::{Cell, Style, Table, clean};

    #[test]
    fn columns_are_aligned_and_lines_have_no_tail() {
        let mut table = Table::new(&["UID", "SUMMARY"]);
        table.row([Cell::plain("a-long-one"), Cell::plain("")]);
        table.row([Cell::new("ü", Style::Bad), Cell::plain("tea")]);
        assert_eq!(table.render(false), "UID         SUMMARY\na-long-one\nü           tea\n");
        assert!(table.render(true).contains("\u{1b}[31mü\u{1b}[0m           tea\n"));
    }

    #[test]
    fn what_steers_a_terminal_is_made_visible() {
        assert_eq!(clean("a\u{1b}[2Jb\rc\u{202e}d"), "a\\u{1b}[2Jb\\rc\\u{202e}d");
        assert_eq!(clean("a\u{2028}b\u{200b}c\u{feff}d"), "a\\u{2028}b\\u{200b}c\\u{feff}d");
        assert_eq!(clean("Zoë 日本"), "Zoë 日本");
    }
}

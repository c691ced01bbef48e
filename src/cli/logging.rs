//! The log: lines on standard error, for people or as JSON. What is logged is decided where it happens.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use super::Global;
use crate::config::{Log, LogFormat, LogLevel};

/// Overrides which lines are logged, with the directives of `tracing_subscriber::EnvFilter`: `debug`,
/// `reveille::wheel=trace,warn`.
const FILTER_VARIABLE: &str = "REVEILLE_LOG";

/// Starts the log. The command line counts more than the environment, and that more than the configuration.
/// A second call changes nothing.
pub(super) fn start(global: &Global, settings: &Log) {
    let filter = filter(global, settings.level, std::env::var(FILTER_VARIABLE).ok());
    let colored = global.color.on(io::stderr().is_terminal());
    let lines = tracing_subscriber::fmt().with_writer(io::stderr).with_env_filter(filter).with_ansi(colored);
    // A line that cannot be written is lost. Telling that on standard error would fail too, by a panic wherever it is logged.
    let lines = lines.log_internal_errors(false);
    // An error says that the log has been started before.
    let _ = match global.log_format.or(settings.format).unwrap_or(LogFormat::Human) {
        LogFormat::Human => lines.with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}

/// Which lines are logged: of this program from the level on that was asked for, of its libraries warnings only (their
/// finer lines may carry what they send).
fn filter(global: &Global, configured: Option<LogLevel>, environment: Option<String>) -> EnvFilter {
    let own = match (global.quiet, global.verbose, environment, configured) {
        (true, ..) => return EnvFilter::new("error"),
        (_, 1, ..) => "debug",
        (_, 2.., ..) => "trace",
        (_, _, Some(directives), _) if !directives.is_empty() => return EnvFilter::new(directives),
        (_, _, _, None | Some(LogLevel::Info)) => "info",
        (_, _, _, Some(LogLevel::Error)) => "error",
        (_, _, _, Some(LogLevel::Warn)) => "warn",
        (_, _, _, Some(LogLevel::Debug)) => "debug",
        (_, _, _, Some(LogLevel::Trace)) => "trace",
    };
    let others = if own == "error" { "error" } else { "warn" };
    EnvFilter::new(format!("{others},reveille={own}"))
}

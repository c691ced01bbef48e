//! The log: lines on standard error, for people or as JSON. What is logged is decided where it happens. Alarms go
//! before log lines: a line that cannot be written, or not soon, is lost.

use std::io::{self, ErrorKind, IsTerminal as _, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tracing_subscriber::EnvFilter;

use super::Global;
use crate::config::{Log, LogFormat, LogLevel};

/// Overrides which lines are logged, with the directives of `tracing_subscriber::EnvFilter`: `debug`,
/// `reveille::firing=trace,warn`.
const FILTER_VARIABLE: &str = "REVEILLE_LOG";
/// How long a line waits for a reader that takes nothing; those after it do not wait until one is taken.
const PATIENCE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
/// A pipe that takes anything takes so many octets at once (`PIPE_BUF`).
const AT_ONCE: usize = 4_096;

/// Starts the log. The command line counts more than the environment, and that more than the configuration.
/// A second call changes nothing.
pub(super) fn start(global: &Global, settings: &Log) {
    let filter = filter(global, settings.level, std::env::var(FILTER_VARIABLE).ok());
    let colored = global.color.on(io::stderr().is_terminal());
    let lines = tracing_subscriber::fmt().with_writer(|| Patient).with_env_filter(filter).with_ansi(colored);
    // A line that cannot be written is lost. Reporting that on standard error would fail too, by a panic at the place
    // that logs.
    let lines = lines.log_internal_errors(false);
    // An error says that the log has been started before.
    let _ = match global.log_format.or(settings.format).unwrap_or(LogFormat::Human) {
        LogFormat::Human => lines.with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}

/// Standard error, without ever waiting long for who reads it.
#[derive(Debug)]
struct Patient;

/// The last line was not taken.
static STUCK: AtomicBool = AtomicBool::new(false);

impl Write for Patient {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let mut stderr = io::stderr().lock();
        let patience = if STUCK.load(Ordering::Relaxed) { Timespec::default() } else { PATIENCE };
        let ready = match poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], Some(&patience)) {
            // A limit on open files that has come down to none forbids to ask, not to write.
            Err(Errno::INVAL) => true,
            answer => answer? > 0,
        };
        STUCK.store(!ready, Ordering::Relaxed);
        if !ready {
            return Err(ErrorKind::TimedOut.into());
        }
        stderr.write(octets.get(..AT_ONCE).unwrap_or(octets))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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

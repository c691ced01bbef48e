//! The sink `command`: a program for each notification, with the JSON on its standard input. It is run without a shell.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, ChildStdin};
use tokio::time::{Instant, sleep, timeout_at};

use super::concurrent::{Concurrent, SendOne};
use super::{
    ClaimedDelivery, Finished, Outcome, Sending, SinkConfig, SinkContext, SinkDriver, SinkError, SinkKind, SinkSettings,
};
use crate::access::{self, Need, User};
use crate::delivery::deadline::SendDeadline;
use crate::delivery::gate::{Closure, FileStamps, file_stamps};
use crate::delivery::render::{JsonFormat, Renderer};
use crate::tables::{FileStamp, ProcessGroup, Section, value};
use crate::text::{first_chars, on_one_line, visible};

/// The sink `command`.
pub const KIND: SinkKind = SinkKind { name: "command", actions: &[], read: |section| Some(Arc::new(read(section)?)) };

/// Programs that run at the same time, where no number is written.
const MAX_CONCURRENT: u64 = 8;
/// The exit status that says that the notification will never be accepted: `EX_DATAERR` of sysexits.h.
const REJECTED: i32 = 65;
/// How long a program has to end by itself after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);
/// How often it is examined meanwhile whether it has.
const EXAMINE_EVERY: Duration = Duration::from_millis(20);
/// Octets of the end of a program's output that are kept.
const TAIL: usize = 300;
/// Characters of a text in a variable of the environment.
const MAX_VARIABLE: usize = 1000;
/// Octets of output that are still read when the program has ended: what a pipe holds.
const LEFT: usize = 64 * 1024;
/// The variables that a program has from the environment of Reveille, where they are set.
const INHERITED: [&str; 13] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
];
/// The variables of the notification, and the keys whose text they have.
const VARIABLES: [(&str, &str); 11] = [
    ("REVEILLE_EVENT", "event"),
    ("REVEILLE_ID", "notificationId"),
    ("REVEILLE_USER", "userId"),
    ("REVEILLE_CALENDAR", "calendarName"),
    ("REVEILLE_UID", "uid"),
    ("REVEILLE_ACTION", "action"),
    ("REVEILLE_SUMMARY", "summary"),
    ("REVEILLE_LOCATION", "location"),
    ("REVEILLE_ALARM_TIME", "alarmTime"),
    ("REVEILLE_START", "start"),
    ("REVEILLE_END", "end"),
];

/// `kind = "command"`
#[derive(Clone, Debug)]
pub struct CommandSettings {
    /// The program: a path, or a name that is looked for in the folders of `PATH`.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// How many may run at the same time.
    pub max_concurrent: usize,
    /// How the JSON is written.
    pub format: JsonFormat,
}

fn read(section: &Section<'_>) -> Option<CommandSettings> {
    let format = JsonFormat::read(section);
    let most = section.read("max_concurrent", value::number(1, 1000)).unwrap_or(MAX_CONCURRENT);
    let (program, arguments) = section.required("argv", value::command)?;
    let max_concurrent = usize::try_from(most).unwrap_or(1);
    Some(CommandSettings { program: section.program(&program), arguments, max_concurrent, format })
}

impl SinkSettings for CommandSettings {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn open(&self, config: &SinkConfig, context: &SinkContext) -> Result<Box<dyn SinkDriver>, SinkError> {
        let deadline = context.deadline.clone();
        let program = Program {
            program: self.program.clone(),
            arguments: self.arguments.clone(),
            renderer: Renderer::new(self.format, context.zones.clone()),
            timeout: config.timeout,
            deadline: deadline.clone(),
        };
        Ok(Box::new(CommandSink(Concurrent::new(program, self.max_concurrent, deadline))))
    }

    fn denied(&self, user: &User) -> Option<String> {
        let path = Path::new(&self.program);
        if self.program.contains('/') { access::lacking(user, path, Need::Execute, false) } else { None }
    }
}

/// The driver of the sink `command`.
#[derive(Debug)]
struct CommandSink(Concurrent<Program>);

impl SinkDriver for CommandSink {
    fn send<'a>(&'a self, deliveries: &'a [ClaimedDelivery]) -> Sending<'a, Vec<Outcome>> {
        Box::pin(async { self.0.begin(deliveries) })
    }

    fn check(&self) -> Sending<'_, Result<String, SinkError>> {
        Box::pin(async { self.0.sender().find().map(|path| format!("runs {}", path.display())) })
    }

    fn ready(&self) -> Result<(), SinkError> {
        self.0.sender().find().map(drop)
    }

    fn batch(&self) -> usize {
        self.0.free()
    }

    fn send_timeout(&self) -> Option<Duration> {
        Some(self.0.sender().timeout.saturating_add(GRACE))
    }

    /// The version of the program's file.
    fn files(&self) -> FileStamps {
        file_stamps([self.0.sender().find().ok().and_then(|path| FileStamp::of(&path))])
    }

    fn finished(&self) -> Sending<'_, Vec<Finished>> {
        Box::pin(self.0.next_finished())
    }
}

/// A program that is run for each notification.
#[derive(Debug)]
struct Program {
    program: String,
    arguments: Vec<String>,
    renderer: Renderer,
    timeout: Duration,
    deadline: SendDeadline,
}

/// A program that runs.
struct RunningProgram {
    child: Child,
    group: ProcessGroup,
    stdin: Option<ChildStdin>,
    output: Receiver,
    tail: Vec<u8>,
}

impl SendOne for Program {
    async fn send_one(&self, delivery: &ClaimedDelivery) -> Outcome {
        let json = match self.renderer.render(&delivery.notification) {
            Ok(json) => json,
            Err(refused) => return refused,
        };
        let end = Instant::now() + self.timeout;
        let mut running = match self.start(&json) {
            Ok(running) => running,
            Err(error) => return self.not_started(&error),
        };
        let ended = tokio::select! {
            biased;
            ended = timeout_at(end, running.finish(json.as_bytes())) => ended,
            // Dropping it kills its processes.
            () = self.deadline.reached() => return Outcome::NotAttempted,
        };
        let what = match ended {
            Ok(Ok(status)) => {
                running.group.ended();
                match status.code() {
                    Some(0) => return Outcome::Delivered,
                    Some(REJECTED) => return Outcome::permanent(self.failed(&status.to_string(), &running.tail)),
                    _ => status.to_string(),
                }
            }
            Ok(Err(error)) => format!("its end is unknown: {error}"),
            Err(_) => {
                running.stop().await;
                format!("it did not end within {} s and was stopped", self.timeout.as_secs())
            }
        };
        Outcome::retry(self.failed(&what, &running.tail))
    }
}

impl Program {
    fn start(&self, json: &str) -> io::Result<RunningProgram> {
        let (output, printed) = io::pipe()?;
        let mut command = tokio::process::Command::new(&self.program);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(INHERITED.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))))
            .envs(variables(json))
            .stdin(Stdio::piped())
            .stdout(printed.try_clone()?)
            .stderr(printed)
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let group = ProcessGroup::of(&child);
        let stdin = child.stdin.take();
        Ok(RunningProgram {
            child,
            group,
            stdin,
            output: Receiver::from_owned_fd(OwnedFd::from(output))?,
            tail: Vec::new(),
        })
    }

    /// The outcome where the program could not be started. That it is absent or may not be run holds for all
    /// notifications.
    fn not_started(&self, error: &io::Error) -> Outcome {
        let response = format!("{} cannot be started: {error}", visible(&self.program));
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::PermissionDenied => Outcome::Down { response, closure: Closure::Settings },
            _ => Outcome::retry(response),
        }
    }

    /// A sentence about a run that failed, with the end of its output.
    fn failed(&self, what: &str, tail: &[u8]) -> String {
        let tail = String::from_utf8_lossy(tail);
        let lines: Vec<String> = tail.lines().map(str::trim).filter(|line| !line.is_empty()).map(visible).collect();
        let lines = lines.join("; ");
        let lines = lines.get(lines.ceil_char_boundary(lines.len().saturating_sub(TAIL))..).unwrap_or_default();
        let printed = if lines.is_empty() { String::new() } else { format!(": {lines}") };
        format!("{} failed ({what}){printed}", visible(&self.program))
    }

    /// The file of the program.
    fn find(&self) -> Result<PathBuf, SinkError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = match self.program.contains('/') {
            true => Some(PathBuf::from(&self.program)),
            false => {
                std::env::split_paths(&path).map(|folder| folder.join(&self.program)).find(|file| is_program(file))
            }
        };
        let program = visible(&self.program);
        match found {
            Some(found) if is_program(&found) => Ok(found),
            Some(found) if found.exists() => {
                Err(SinkError(format!("{program} is no program that may be run: chmod +x {program}")))
            }
            Some(_) => Err(SinkError(format!("there is no program {program}"))),
            None => Err(SinkError(format!("there is no program {program} in the folders of $PATH"))),
        }
    }
}

fn is_program(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// The variables that tell of the notification `json`. Their texts are on one line.
fn variables(json: &str) -> Vec<(&'static str, OsString)> {
    let value: Value = serde_json::from_str(json).unwrap_or_default();
    let variable = |(name, key): &(&'static str, &str)| {
        let text = on_one_line(value.get(*key)?.as_str()?);
        Some((*name, OsString::from(first_chars(&text, MAX_VARIABLE))))
    };
    VARIABLES.iter().filter_map(variable).collect()
}

impl RunningProgram {
    /// Writes `json`, reads what is printed, and waits for the end of the program. What it has started and left running
    /// is not waited for.
    async fn finish(&mut self, json: &[u8]) -> io::Result<ExitStatus> {
        let RunningProgram { child, stdin, output, tail, .. } = self;
        let mut stdin = stdin.take();
        let write = async move {
            if let Some(stdin) = &mut stdin {
                // A program need not read it.
                let _ = stdin.write_all(json).await;
            }
        };
        let read = async {
            while output.readable().await.is_ok() && read_some(output, tail) != Some(0) {}
            std::future::pending::<()>().await;
        };
        let write_and_wait = async {
            let mut write = std::pin::pin!(write);
            let mut is_written = false;
            loop {
                tokio::select! {
                    status = child.wait() => return status,
                    () = &mut write, if !is_written => is_written = true,
                }
            }
        };
        let status = tokio::select! {
            status = write_and_wait => status,
            () = read => Err(ErrorKind::UnexpectedEof.into()),
        };
        let mut left = LEFT;
        while let Some(length @ 1..) = read_some(output, tail) {
            left = left.saturating_sub(length);
            if left == 0 {
                break;
            }
        }
        status
    }

    /// Ends the program and all that it has started: it is asked to, and killed after a while.
    async fn stop(&mut self) {
        self.group.terminate();
        let killed = Instant::now() + GRACE;
        // Until it is waited for, its number belongs to nobody else.
        while Instant::now() < killed && !self.group.has_leader_exited() {
            sleep(EXAMINE_EVERY).await;
        }
        while let Some(1..) = read_some(&self.output, &mut self.tail) {
            if Instant::now() >= killed {
                break;
            }
        }
        self.group.kill();
        let _ = self.child.wait().await;
        self.group.ended();
    }
}

/// Reads what is there, keeps the end of it in `tail`, and returns its length; none where nothing is there now.
fn read_some(output: &Receiver, tail: &mut Vec<u8>) -> Option<usize> {
    let mut piece = [0; 4096];
    match output.try_read(&mut piece) {
        Ok(length) => {
            tail.extend_from_slice(piece.get(..length).unwrap_or_default());
            tail.drain(..tail.len().saturating_sub(TAIL));
            Some(length)
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(_) => Some(0),
    }
}

#[cfg(test)]
mod tests;

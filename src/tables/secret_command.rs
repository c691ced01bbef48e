//! A command that prints a secret, such as that of a password manager. It is run without a shell, within a time limit,
//! and what it prints is in no message.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::Semaphore;

use super::secret_ref::{MAX_SECRET, Secret, SecretError};

/// How long a command may take.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// A permit for each command that may run at the same time: password managers decrypt, and many at once take long.
static RUNNING: Semaphore = Semaphore::const_new(8);

/// A command whose first line of output is a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretCommand {
    /// The key that names it, for messages: `password_command`.
    key: &'static str,
    program: String,
    arguments: Vec<String>,
    limit: Duration,
}

impl SecretCommand {
    /// The program `program` with `arguments`, which the key `key` names.
    pub fn new(key: &'static str, program: String, arguments: Vec<String>) -> SecretCommand {
        SecretCommand { key, program, arguments, limit: TIME_LIMIT }
    }

    /// This command, which may take as long as `limit`.
    #[must_use]
    pub fn within(self, limit: Duration) -> SecretCommand {
        SecretCommand { limit, ..self }
    }

    /// The key that names it.
    pub fn key(&self) -> &'static str {
        self.key
    }

    /// Runs the command and returns the first line that it prints on standard output. It has no standard input, and
    /// what it prints on standard error is discarded.
    ///
    /// # Errors
    /// [`SecretError`] when it cannot be started, does not end in time, fails, or prints nothing.
    pub async fn run(&self) -> Result<Secret, SecretError> {
        // An error would mean that it was closed, which it never is.
        let _permit = RUNNING.acquire().await;
        let secret = match tokio::time::timeout(self.limit, self.first_line()).await {
            Ok(secret) => secret,
            Err(_) => Err(format!("did not end within {} s and was stopped", self.limit.as_secs())),
        };
        secret.map_err(|reason| SecretError::new(self.key, format!("runs '{}', which {reason}", self.program)))
    }

    async fn first_line(&self) -> Result<Secret, String> {
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|why| format!("cannot be started: {why}"))?;
        let mut group = ProcessGroup::of(&child);
        let (status, printed) = output(&mut child).await.map_err(|why| format!("cannot be read: {why}"))?;
        group.ended();
        if !status.success() {
            return Err(format!("failed ({status}): run it as the user of Reveille to see why"));
        }
        let line = printed.split(|octet| *octet == b'\n').next().unwrap_or_default();
        if line.len() > usize::try_from(MAX_SECRET).unwrap_or(usize::MAX) {
            return Err("prints a line that is too long for a secret".to_owned());
        }
        let line = std::str::from_utf8(line).map_err(|_| "prints a line that is not UTF-8 text".to_owned())?;
        match line.trim_end_matches('\r') {
            "" => Err("prints no secret: the first line on its standard output is empty".to_owned()),
            line => Ok(Secret::new(line)),
        }
    }
}

impl std::fmt::Debug for SecretCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretCommand({} …)", self.program)
    }
}

/// How `child` ended, and the first line that it printed. What it has started and left running may still hold its
/// output: that is not waited for.
async fn output(child: &mut Child) -> std::io::Result<(ExitStatus, Vec<u8>)> {
    let (mut stdout, mut printed, mut ended) = (child.stdout.take(), Vec::new(), None);
    while let Some(pipe) = stdout.as_mut() {
        let is_whole = printed.contains(&b'\n');
        tokio::select! {
            status = child.wait(), if ended.is_none() => ended = Some(status?),
            more = more(pipe, &mut printed, is_whole) => if !more? { stdout = None },
        }
        if ended.is_some() && printed.contains(&b'\n') {
            break;
        }
    }
    let status = match ended {
        Some(status) => status,
        None => child.wait().await?,
    };
    Ok((status, printed))
}

/// Reads what comes next from `pipe`, into `printed` unless that is whole or too long; false at its end. What follows
/// the first line is read as well: a program whose output is not read may fail.
async fn more(pipe: &mut ChildStdout, printed: &mut Vec<u8>, is_whole: bool) -> std::io::Result<bool> {
    let mut piece = [0; 4096];
    let length = pipe.read(&mut piece).await?;
    if !is_whole && u64::try_from(printed.len()).unwrap_or(u64::MAX) <= MAX_SECRET {
        printed.extend_from_slice(piece.get(..length).unwrap_or_default());
    }
    Ok(length > 0)
}

/// The processes of a command that leads a group of its own. They are killed together when this is dropped, unless the
/// command has ended by itself.
#[derive(Debug)]
pub struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    /// The group that `child` leads.
    pub fn of(child: &Child) -> ProcessGroup {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        ProcessGroup(id.and_then(Pid::from_raw))
    }

    /// Notes that the command has ended and was waited for: its number may be another's from now on.
    pub fn ended(&mut self) {
        self.0 = None;
    }

    /// Asks all of its processes to end (SIGTERM).
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Kills all of its processes.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Whether the command has ended, which is not waited for.
    pub fn has_leader_exited(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        self.0.is_none_or(|leader| !matches!(waitid(WaitId::Pid(leader), options), Ok(None)))
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // It may have ended at this moment.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> SecretCommand {
        SecretCommand::new("password_command", "sh".to_owned(), vec!["-c".to_owned(), script.to_owned()])
    }

    async fn run(script: &str) -> Result<String, String> {
        let limited = shell(script).within(Duration::from_secs(20));
        limited.run().await.map(|secret| secret.expose().to_owned()).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn the_first_line_that_a_command_prints_is_the_secret() {
        assert_eq!(run("printf 'hunter2'").await.as_deref(), Ok("hunter2"));
        assert_eq!(run("printf ' hunter 2 \\r\\nuser: mary\\n'").await.as_deref(), Ok(" hunter 2 "));
        // More than a pipe holds follows it.
        assert_eq!(run("echo hunter2; head -c 300000 /dev/zero").await.as_deref(), Ok("hunter2"));
        // What the command has started may keep its output open.
        assert_eq!(run("echo hunter2; sleep 60 & exit 0").await.as_deref(), Ok("hunter2"));
        // Standard input is empty.
        assert_eq!(run("cat; echo hunter2").await.as_deref(), Ok("hunter2"));
    }

    #[tokio::test]
    async fn the_arguments_of_a_command_are_not_read_by_a_shell() {
        let arguments = vec!["%s\\n".to_owned(), "$HOME `id` *".to_owned()];
        let printed = SecretCommand::new("token_command", "printf".to_owned(), arguments).run().await;
        assert_eq!(printed.unwrap().expose(), "$HOME `id` *");
    }

    #[tokio::test]
    async fn a_command_that_prints_no_secret_is_one_error_without_its_output() {
        for (script, told) in [
            ("echo hunter2; exit 3", "failed (exit status: 3): run it as"),
            ("echo hunter2; kill -9 $$", "failed (signal: 9 (SIGKILL)): run it as"),
            ("true", "prints no secret: "),
            ("echo; echo hunter2", "prints no secret: "),
            ("echo hunter2 >&2", "prints no secret: "),
            ("printf 'hunter2\\377\\n'", "prints a line that is not UTF-8 text"),
            ("echo hunter2; head -c 70000 /dev/zero | tr '\\0' x; exit 1", "failed (exit status: 1)"),
            ("head -c 70000 /dev/zero | tr '\\0' x", "prints a line that is too long for a secret"),
        ] {
            let error = run(script).await.unwrap_err();
            assert!(error.starts_with(&format!("password_command runs 'sh', which {told}")), "{script}: {error}");
            assert!(!error.contains("hunter2"), "{script}: {error}");
        }
        let gone = SecretCommand::new("password_command", "/nowhere/pass".to_owned(), Vec::new());
        let error = gone.run().await.unwrap_err().to_string();
        assert!(
            error.starts_with("password_command runs '/nowhere/pass', which cannot be started: No such"),
            "{error}"
        );
        assert!(!format!("{:?}", shell("echo hunter2")).contains("hunter2"));
    }

    #[tokio::test]
    async fn a_command_that_does_not_end_is_stopped_with_all_that_it_has_started() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        let script = format!("sleep 600 & echo $! >{0}.new; mv {0}.new {0}; wait", path.display());
        let limited = shell(&script).within(Duration::from_secs(1));
        let error = limited.run().await.unwrap_err().to_string();
        assert_eq!(error, "password_command runs 'sh', which did not end within 1 s and was stopped");
        let id = std::fs::read_to_string(&path).unwrap();
        let status = format!("/proc/{}/stat", id.trim());
        // It is gone, or waits for somebody to notice that.
        let is_gone = || std::fs::read_to_string(&status).map_or(true, |stat| stat.contains(") Z "));
        while !is_gone() {
            tokio::task::yield_now().await;
        }
    }
}

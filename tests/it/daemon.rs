//! The built `reveille`, run as a user runs it.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::process::Lines;

/// Tests on the wall clock, and those that load the machine, run one after the other: hold this as long as it matters.
pub fn undisturbed() -> MutexGuard<'static, ()> {
    static QUIET: Mutex<()> = Mutex::new(());
    QUIET.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running `reveille`; killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    /// Standard output: the notifications of a stdout sink.
    pub out: Lines,
    /// Standard error: the log.
    pub log: Lines,
}

impl Daemon {
    /// Starts `reveille ARGUMENTS` in `folder`.
    pub fn start(folder: &std::path::Path, arguments: &[&str]) -> Daemon {
        Daemon::start_with(folder, arguments, &[])
    }

    /// Likewise, with `variables` in its environment.
    pub fn start_with(folder: &std::path::Path, arguments: &[&str], variables: &[(&str, &str)]) -> Daemon {
        let mut command = command(folder, arguments);
        Daemon::spawn(command.envs(variables.iter().copied()), Stdio::piped(), Stdio::piped())
    }

    /// Likewise, the program at `program`, run by the user with the number `user`, which only root may do.
    pub fn start_as(user: u32, program: &std::path::Path, folder: &std::path::Path, arguments: &[&str]) -> Daemon {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(folder).env_remove("REVEILLE_CONFIG").uid(user).gid(user);
        Daemon::spawn(&mut command, Stdio::piped(), Stdio::piped())
    }

    /// Likewise, with streams of the caller's. What is not a pipe made here leaves no lines.
    pub fn start_onto(folder: &std::path::Path, arguments: &[&str], out: Stdio, log: Stdio) -> Daemon {
        Daemon::spawn(&mut command(folder, arguments), out, log)
    }

    fn spawn(command: &mut Command, out: Stdio, log: Stdio) -> Daemon {
        let mut child = command.stdout(out).stderr(log).spawn().expect("reveille starts");
        let out = child.stdout.take().map(Lines::of).unwrap_or_default();
        let log = child.stderr.take().map(Lines::of).unwrap_or_default();
        Daemon { child, out, log }
    }

    /// The next line on standard output that `wanted` likes; fails, showing the log, when none comes within `within`.
    pub fn expect(&self, within: Duration, wanted: impl Fn(&str) -> bool) -> String {
        self.out.find(within, wanted).unwrap_or_else(|| {
            panic!("nothing within {within:?}; printed:\n{}\nlogged:\n{}", self.out.text(), self.log.text())
        })
    }

    /// The process id.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Asks it to stop (SIGTERM) and waits for its end, at most `within`.
    pub fn stop(&mut self, within: Duration) -> ExitStatus {
        kill_process(self.pid(), Signal::TERM).expect("it runs");
        self.wait(within)
    }

    /// Waits until it ends by itself, at most `within`.
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        // Its end closes both streams, which needs no polling.
        let began = Instant::now();
        self.out.to_end(within);
        self.log.to_end(within.saturating_sub(began.elapsed()));
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status;
            }
            assert!(began.elapsed() < within, "it still runs after {within:?}; it logged:\n{}", self.log.text());
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Kills it on the spot (SIGKILL).
    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it can be waited for");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `reveille ARGUMENTS` in `folder`.
fn command(folder: &std::path::Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reveille"));
    command.args(arguments).current_dir(folder).env_remove("REVEILLE_CONFIG").stdin(Stdio::null());
    command
}

//! A daemon of our own: started, watched from outside through `/proc`, stopped.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// How long to wait for the daemon at all.
const PATIENCE: Duration = Duration::from_secs(600);

/// A running daemon; killed when it is dropped.
#[derive(Debug)]
pub(super) struct DaemonProcess {
    child: Child,
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    /// Processor time of all its threads, to a hundredth of a second.
    pub(super) cpu: Duration,
    /// How often one of its threads went to sleep, and so was woken.
    pub(super) sleeps: u64,
}

impl DaemonProcess {
    /// Starts this very program on the configuration `config`; its log goes to a file beside it.
    pub(super) fn start(config: &Path) -> anyhow::Result<DaemonProcess> {
        let child = command(config, &[])?.spawn().context("the daemon cannot be started")?;
        Ok(DaemonProcess { child })
    }

    /// Lets this program make one pass over the sources of `config`.
    pub(super) fn once(config: &Path) -> anyhow::Result<()> {
        let status = command(config, &["--once"])?.status().context("the program cannot be started")?;
        anyhow::ensure!(status.success(), "a first pass failed ({status}); {}", log_of(config));
        Ok(())
    }

    /// Waits until `done`, asking every `pause`; fails when that takes longer than [`PATIENCE`], or when the daemon
    /// ends.
    pub(super) fn wait(
        &mut self,
        pause: Duration,
        mut done: impl FnMut() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        while !done()? {
            if let Some(status) = self.child.try_wait()? {
                bail!("the daemon ended by itself ({status})");
            }
            if began.elapsed() > PATIENCE {
                bail!("it took longer than {} s", PATIENCE.as_secs());
            }
            std::thread::sleep(pause);
        }
        Ok(())
    }

    /// What it has used so far.
    pub(super) fn used(&self) -> Used {
        used(&self.child.id().to_string())
    }

    /// The memory that it uses.
    pub(super) fn memory(&self) -> MemoryUse {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let mib = |key: &str| Some(count(&status, key)? as f64 / 1024.0);
        MemoryUse { now: mib("VmRSS:"), most: mib("VmHWM:") }
    }

    /// Stops it, and waits for its end.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for DaemonProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// MiB; none where the system does not say.
#[derive(Clone, Copy, Debug)]
pub(super) struct MemoryUse {
    pub(super) now: Option<f64>,
    /// The most that there was.
    pub(super) most: Option<f64>,
}

/// What this process has used so far.
pub(super) fn own_use() -> Used {
    used("self")
}

fn command(config: &Path, more: &[&str]) -> anyhow::Result<Command> {
    let log = fs::File::create(config.with_extension("log"))?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["run", "--quiet", "--config"]).arg(config).args(more);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    Ok(command)
}

/// What the log of a run on `config` says.
fn log_of(config: &Path) -> String {
    fs::read_to_string(config.with_extension("log")).unwrap_or_default()
}

fn used(process: &str) -> Used {
    /// Linux counts in hundredths of a second here, whatever the machine.
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name, in brackets, may hold anything. Behind it the 12th and 13th word are user and system time.
    let words = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let ticks: u32 = words.skip(11).take(2).filter_map(|word| word.parse::<u32>().ok()).sum();
    let mut used = Used { cpu: TICK * ticks, sleeps: 0 };
    for task in fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten() {
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        used.sleeps += count(&status, "voluntary_ctxt_switches:").unwrap_or_default();
    }
    used
}

/// The number behind `key` in a status file.
fn count(status: &str, key: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix(key))?.split_whitespace().next()?.parse().ok()
}

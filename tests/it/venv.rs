//! The Python environment that the servers of the live tests run in: made once below `target/`, shared by all tests.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// What is installed; the file names versions and reasons.
const REQUIREMENTS: &str = include_str!("../live/requirements.txt");
const SKIP: &str = "REVEILLE_SKIP_LIVE";
const WHAT_TO_DO: &str = "The live tests need Python 3.10 or later with its venv and pip modules (Debian, Ubuntu: apt-get \
    install python3 python3-venv; Fedora: dnf install python3; macOS: brew install python3) and once a way to PyPI. \
    REVEILLE_SKIP_LIVE=1 skips them.";

/// A virtual environment with the servers installed.
#[derive(Debug)]
pub struct Venv {
    folder: PathBuf,
}

impl Venv {
    /// The environment, set up if this is the first time; none when the live tests are to be skipped, which is said on
    /// standard error. A live test begins with `let Some(venv) = Venv::or_skip() else { return };`
    pub fn or_skip() -> Option<&'static Venv> {
        static VENV: OnceLock<Option<Venv>> = OnceLock::new();
        let venv = VENV.get_or_init(|| {
            if std::env::var_os(SKIP).is_some_and(|value| value == "1") {
                return None;
            }
            Some(Venv::set_up().unwrap_or_else(|why| panic!("{why}\n{WHAT_TO_DO}")))
        });
        if venv.is_none() {
            let test = std::thread::current().name().unwrap_or("a live test").to_owned();
            // Not eprintln!, which the test runner keeps to itself for tests that pass.
            std::io::stderr().write_all(format!("SKIPPED because {SKIP}=1: {test}\n").as_bytes()).expect("stderr");
        }
        venv.as_ref()
    }

    fn set_up() -> Result<Venv, String> {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().ok_or("CARGO_TARGET_TMPDIR has no parent")?;
        let venv = Venv { folder: target.join("live-venv") };
        let lock =
            File::create(target.join("live-venv.lock")).map_err(|e| format!("cannot make the lock file: {e}"))?;
        lock.lock().map_err(|e| format!("cannot lock: {e}"))?;
        let stamp = venv.folder.join("requirements-installed.txt");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == REQUIREMENTS) && venv.python().exists() {
            return Ok(venv);
        }
        // Left over from another version, or from a run that was interrupted.
        let _ = fs::remove_dir_all(&venv.folder);
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv.folder))?;
        let wanted = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live/requirements.txt");
        run(Command::new(venv.python()).args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(wanted))?;
        fs::write(&stamp, REQUIREMENTS).map_err(|e| format!("cannot write {}: {e}", stamp.display()))?;
        Ok(venv)
    }

    fn python(&self) -> PathBuf {
        self.folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" })
    }

    /// Starts `python -m MODULE ARGUMENTS` so that it ends when this process does, whichever way. Standard output and
    /// error are pipes.
    pub fn serve(&self, module: &str, arguments: &[String]) -> Child {
        self.live("serve.py", &[&[module.to_owned()], arguments].concat())
    }

    /// Starts a program of tests/live, which ends when this process does, whichever way. Standard input, output and
    /// error are pipes.
    pub fn live(&self, script: &str, arguments: &[String]) -> Child {
        Command::new(self.python())
            .arg("-u")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live").join(script))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {script}: {e}"))
    }

    /// A command that runs Python here.
    pub fn command(&self) -> Command {
        Command::new(self.python())
    }

    /// Runs a short Python program to its end.
    pub fn script(&self, program: &str, arguments: &[&str]) {
        run(Command::new(self.python()).args(["-c", program]).args(arguments)).unwrap_or_else(|why| panic!("{why}"));
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|e| format!("cannot run {command:?}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{command:?} failed ({}):\n{}", output.status, String::from_utf8_lossy(&said)))
}

//! A list of users, for each of whom a source is made.

use std::collections::HashSet;
use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{ChildStdout, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::context::MAX_FILE;

/// How long a command may take that lists users.
const COMMAND_LIMIT: Duration = Duration::from_secs(30);
/// How long what it has printed may take to come once it has ended.
const LAST_OUTPUT: Duration = Duration::from_secs(1);
/// How often it is checked whether the command has ended.
const CHECK_EVERY: Duration = Duration::from_millis(10);

/// The users that a list names.
#[derive(Debug, Default)]
pub(super) struct UserList {
    pub(super) users: Vec<String>,
    /// Lines that name none, a sentence each.
    pub(super) faults: Vec<String>,
}

impl UserList {
    /// Of a text with a user on each line. What follows a colon is not read (a file of passwords as web servers have it
    /// is such a list), nor are empty lines and those that begin with `#`.
    pub(super) fn of_text(text: &str) -> UserList {
        let named = |line: &str| line.split(':').next().unwrap_or_default().trim().to_owned();
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        UserList::of(lines.map(named).collect())
    }

    /// Of what the program `command`, with its arguments, prints: as [`UserList::of_text`] reads it.
    ///
    /// # Errors
    /// When it cannot be started, fails, does not end in time, or prints too much or no UTF-8: a sentence.
    pub(super) fn of_command(command: &[String]) -> Result<UserList, String> {
        let (program, arguments) = command.split_first().ok_or("is empty: name a program and its arguments")?;
        let mut process = Command::new(program);
        process.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut child = process.spawn().map_err(|why| format!("cannot be started: {program}: {why}"))?;
        let pid = Pid::from_child(&child);
        let printed = child.stdout.take().ok_or_else(|| "prints nothing".to_owned()).and_then(|output| {
            let reading = OutputReader::of(output);
            await_end(pid, program)?;
            reading.end(program)
        });
        // With what it has started, of which some may be left also when it has ended. Until it is waited for, its
        // number is that of no other group.
        let _ = kill_process_group(pid, Signal::KILL);
        let status = child.wait().map_err(|why| format!("cannot be waited for: {program}: {why}"))?;
        text(printed?, status, program).map(|text| UserList::of_text(&text))
    }

    /// Of `users`, each once.
    pub(super) fn of(users: Vec<String>) -> UserList {
        let (mut list, mut taken) = (UserList::default(), HashSet::new());
        for user in users {
            let is_path = user.contains('/') || user.chars().all(|c| c == '.') || user.chars().any(char::is_control);
            if is_path {
                list.faults.push(format!(
                    "'{}' cannot be a user here: a name has no / and no control character, and is not dots alone",
                    user.escape_debug()
                ));
            } else if taken.insert(user.clone()) {
                list.users.push(user);
            }
        }
        list
    }
}

/// Waits until the process `pid`, which is `program`, has ended, and leaves it to be waited for.
fn await_end(pid: Pid, program: &str) -> Result<(), String> {
    let began = Instant::now();
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    loop {
        match waitid(WaitId::Pid(pid), options) {
            Ok(Some(_)) => return Ok(()),
            Ok(None) if began.elapsed() < COMMAND_LIMIT => std::thread::sleep(CHECK_EVERY),
            Ok(None) => return Err(format!("does not end within {} s: {program}", COMMAND_LIMIT.as_secs())),
            Err(why) => return Err(format!("cannot be waited for: {program}: {why}")),
        }
    }
}

/// Reads what a command prints.
struct OutputReader(JoinHandle<io::Result<String>>);

impl OutputReader {
    fn of(output: ChildStdout) -> OutputReader {
        OutputReader(std::thread::spawn(move || {
            let mut text = String::new();
            output.take(MAX_FILE + 1).read_to_string(&mut text).map(|_| text)
        }))
    }

    /// What `program`, which has ended, has printed. What it has started may go on and keep the pipe open.
    fn end(self, program: &str) -> Result<io::Result<String>, String> {
        let left = Instant::now() + LAST_OUTPUT;
        while !self.0.is_finished() && Instant::now() < left {
            std::thread::sleep(CHECK_EVERY);
        }
        if !self.0.is_finished() {
            return Err(format!(
                "has ended, but a program that it started keeps its output open: {program} (redirect the output of that)"
            ));
        }
        self.0.join().map_err(|_| format!("prints what cannot be read: {program}"))
    }
}

/// The text that `program`, which has ended with `status`, has `printed`.
fn text(printed: io::Result<String>, status: ExitStatus, program: &str) -> Result<String, String> {
    match printed {
        Ok(text) if text.len() as u64 > MAX_FILE => Err(format!("prints more than {MAX_FILE} octets: {program}")),
        _ if !status.success() => Err(format!("failed: {program} ended with {status}")),
        Ok(text) => Ok(text),
        Err(why) => Err(format!("prints what cannot be read: {program}: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::UserList;

    #[test]
    fn a_command_lists_users_or_says_why_it_does_not() {
        let list = |script: &str| UserList::of_command(&["sh".to_owned(), "-c".to_owned(), script.to_owned()]);
        assert_eq!(list("printf 'mary\\nbob:x\\n'").unwrap().users, ["mary", "bob"]);
        assert!(list("echo mary; exit 3").unwrap_err().contains("exit status: 3"));
        assert!(list("printf '\\377'").unwrap_err().contains("cannot be read"));
        assert!(list("head -c 2000000 /dev/zero").unwrap_err().contains("octets"));
        assert!(list("echo mary; sleep 100 &").unwrap_err().contains("keeps its output open"));
        let gone = UserList::of_command(&["/nowhere/users".to_owned()]).unwrap_err();
        assert!(gone.contains("/nowhere/users") && gone.contains("No such file"), "{gone}");
    }

    #[test]
    fn a_list_is_a_line_a_user_or_a_file_of_passwords() {
        let list = UserList::of_text("# people\nmary\n\n bob:$2y$05$x:y \nmary\n../etc\n:\nnn@example.org\n");
        assert_eq!(list.users, ["mary", "bob", "nn@example.org"]);
        assert_eq!(list.faults.len(), 2, "{:?}", list.faults);
    }
}

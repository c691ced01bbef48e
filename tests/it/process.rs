//! What a child process prints, line by line, with deadlines.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The lines of one stream of a child (or of both), collected as they come. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Lines(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
struct State {
    /// Not yet asked for.
    fresh: VecDeque<String>,
    /// Everything so far, for messages.
    all: Vec<String>,
    /// Streams that may bring more.
    open: usize,
}

impl Lines {
    /// Reads `stream` to its end in a thread of its own.
    pub fn of(stream: impl Read + Send + 'static) -> Lines {
        let lines = Lines::default();
        lines.also(stream);
        lines
    }

    /// Reads a second stream into the same lines.
    pub fn also(&self, stream: impl Read + Send + 'static) {
        self.change(|state| state.open += 1);
        let shared = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n') {
                let Ok(line) = line else { break };
                shared.change(|state| {
                    let line = String::from_utf8_lossy(&line).into_owned();
                    state.all.push(line.clone());
                    state.fresh.push_back(line);
                });
            }
            shared.change(|state| state.open -= 1);
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }

    /// Takes lines until one pleases `wanted`, and returns that one; none when none came within `within` or the stream
    /// ended.
    pub fn find(&self, within: Duration, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let deadline = Instant::now() + within;
        let mut state = self.0.0.lock().unwrap();
        loop {
            while let Some(line) = state.fresh.pop_front() {
                if wanted(&line) {
                    return Some(line);
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.open == 0 || left.is_zero() {
                return None;
            }
            state = self.0.1.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Whether nothing more can come.
    pub fn ended(&self) -> bool {
        self.0.0.lock().unwrap().open == 0
    }

    /// All that was printed so far.
    pub fn all(&self) -> Vec<String> {
        self.0.0.lock().unwrap().all.clone()
    }

    /// All that was printed so far, for a failure message.
    pub fn text(&self) -> String {
        self.all().join("\n")
    }

    /// Waits until the stream has ended, at most `within`, and returns all lines.
    pub fn to_end(&self, within: Duration) -> Vec<String> {
        let state = self.0.0.lock().unwrap();
        let (state, _) = self.0.1.wait_timeout_while(state, within, |state| state.open > 0).unwrap();
        assert!(state.open == 0, "the process still runs after {within:?}; it printed:\n{}", state.all.join("\n"));
        state.all.clone()
    }
}

//! Whether a sink can be used at all: a state of the sink, and of none of its deliveries. While it cannot, one delivery
//! tries it now and then for all, and they wait; the first that gets through lets all of them go. Pure: no clock, no
//! chance.

use std::time::Duration;

use jiff::SignedDuration;

use crate::tables::FileStamp;
use crate::time::{UtcMillis, non_negative};

/// How often a sink that is down is tried, by how long it has been: for as long as this, so often.
const PROBES: [(SignedDuration, SignedDuration); 2] = [
    (SignedDuration::from_mins(5), SignedDuration::from_secs(5)),
    (SignedDuration::from_hours(1), SignedDuration::from_secs(10)),
];
/// And after that.
const LATE_PROBES: SignedDuration = SignedDuration::from_secs(30);
/// After a refusal of what the settings say, the next try comes after these, one after the other: who tries a login
/// more often is shut out by guards such as fail2ban.
const REFUSAL_WAITS: [SignedDuration; 3] =
    [SignedDuration::from_mins(5), SignedDuration::from_mins(25), SignedDuration::from_hours(2)];
/// And then after this.
const LAST_REFUSAL_WAIT: SignedDuration = SignedDuration::from_hours(6);
/// How often files that an administrator has to correct are examined.
const GLANCE: SignedDuration = SignedDuration::from_secs(2);

/// How often it is logged that nothing goes out.
pub const LOG_EVERY: SignedDuration = SignedDuration::from_hours(1);

/// The versions of the files that a sink reads before it can be used.
pub type FileStamps = [Option<FileStamp>; 4];

/// The first four of `stamps`.
pub fn file_stamps(stamps: impl IntoIterator<Item = Option<FileStamp>>) -> FileStamps {
    let mut stamps = stamps.into_iter();
    FileStamps::default().map(|_| stamps.next().flatten())
}

/// Why a sink cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closure {
    /// The other side is down, or does not let us in now.
    Down,
    /// It does not accept what the settings say (the login, our name, the sender), or a file that they name cannot be
    /// used: an administrator has to correct that.
    Settings,
}

/// Open, until a sink cannot be used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gate(Option<Closed>);

#[derive(Clone, Copy, Debug)]
struct Closed {
    since: UtcMillis,
    /// When that was last logged.
    logged: UtcMillis,
    /// When it is tried next.
    next: UtcMillis,
    /// Times that it refused what the settings say, in a row; none: it is down.
    refusals: usize,
    files: FileStamps,
}

/// What may be sent through a gate now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateState {
    /// All deliveries.
    Open,
    /// One, to try the sink.
    Trial,
    /// None for so long.
    Closed(Duration),
}

impl Gate {
    /// What may be sent at `now`, when the files of the sink are `files`.
    pub fn state(&self, now: UtcMillis, files: FileStamps) -> GateState {
        let Some(closed) = self.0 else { return GateState::Open };
        let left = closed.next.duration_since(now);
        // Before it was closed is after the clock was set back, and so is what is left where that is more than there
        // ever was.
        let is_set_back = now < closed.since || left > wait(closed.refusals, now.duration_since(closed.since));
        if left <= SignedDuration::ZERO || is_set_back || (closed.refusals > 0 && closed.files != files) {
            return GateState::Trial;
        }
        let glance = if closed.refusals > 0 { GLANCE } else { left };
        GateState::Closed(non_negative(left.min(glance)))
    }

    /// Notes at `now` that nothing gets through; whether that is to be logged: when it begins, and once an hour.
    /// `files` are those that were used.
    pub fn close(&mut self, now: UtcMillis, closure: Closure, files: FileStamps) -> bool {
        let before =
            self.0.filter(|before| now >= before.since && (before.refusals > 0) == (closure == Closure::Settings));
        let since = before.map_or(now, |before| before.since);
        let refusals = match closure {
            Closure::Down => 0,
            Closure::Settings => 1 + before.filter(|before| before.files == files).map_or(0, |before| before.refusals),
        };
        let wait = wait(refusals, now.duration_since(since));
        let logged = before.map(|before| before.logged).filter(|logged| now.duration_since(*logged) < LOG_EVERY);
        self.0 = Some(Closed { since, logged: logged.unwrap_or(now), next: now.saturating_add(wait), refusals, files });
        logged.is_none()
    }

    /// Notes at `now` that the one that may pass is still trying, with `files`: the next one may when it would have
    /// failed.
    pub fn postpone(&mut self, now: UtcMillis, files: FileStamps) {
        if let Some(closed) = &mut self.0 {
            closed.since = closed.since.min(now);
            closed.files = files;
            closed.next = now.saturating_add(wait(closed.refusals, now.duration_since(closed.since)));
        }
    }

    /// Lets one delivery try it now.
    pub fn hurry(&mut self) {
        if let Some(closed) = &mut self.0 {
            closed.next = UtcMillis::MIN;
        }
    }

    /// Notes that something has got through; whether that is news.
    pub fn open(&mut self) -> bool {
        self.0.take().is_some()
    }
}

/// How long nothing may pass after so many `refusals` in a row, or, where there were none, after being down for `age`.
fn wait(refusals: usize, age: SignedDuration) -> SignedDuration {
    match refusals.checked_sub(1) {
        Some(nth) => REFUSAL_WAITS.get(nth).copied().unwrap_or(LAST_REFUSAL_WAIT),
        None => PROBES.iter().find(|(until, _)| age < *until).map_or(LATE_PROBES, |(_, interval)| *interval),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: FileStamps = [None; 4];

    /// The seconds in which one may try until `end`, when all fail.
    fn tries(closure: Closure, end: i64) -> Vec<i64> {
        let mut gate = Gate::default();
        let (mut tried, mut logged) = (Vec::new(), Vec::new());
        for second in 0..end {
            let now = UtcMillis(second * 1_000);
            if !matches!(gate.state(now, NONE), GateState::Closed(_)) {
                tried.push(second);
                if gate.close(now, closure, NONE) {
                    logged.push(second);
                }
            }
        }
        assert!(logged[0] == 0 && logged.windows(2).all(|pair| pair[1] - pair[0] >= 3_600), "{logged:?}");
        assert!(logged.len() > 1, "{logged:?}");
        gate.hurry();
        assert_eq!(gate.state(UtcMillis(end * 1_000), NONE), GateState::Trial);
        assert!(gate.open() && !gate.open());
        tried
    }

    #[test]
    fn a_sink_that_is_down_is_tried_every_few_seconds() {
        let tried = tries(Closure::Down, 7_200);
        assert_eq!(tried[..4], [0, 5, 10, 15]);
        let within = |from: i64| tried.iter().filter(|at| (from..from + 300).contains(*at)).count();
        assert_eq!((within(0), within(600), within(4_500)), (60, 30, 10));
    }

    #[test]
    fn settings_that_are_refused_are_tried_thrice_in_the_first_hour() {
        let tried = tries(Closure::Settings, 10 * 3_600);
        assert_eq!(tried, [0, 300, 1_800, 9_000, 30_600]);
    }

    #[test]
    fn another_file_lets_one_try_at_once_and_the_count_starts_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "x").unwrap();
        let corrected = file_stamps([FileStamp::of(&file)]);
        let mut gate = Gate::default();
        assert!(gate.close(UtcMillis(0), Closure::Settings, NONE));
        assert_eq!(gate.state(UtcMillis(1_000), NONE), GateState::Closed(Duration::from_secs(2)));
        assert_eq!(gate.state(UtcMillis(1_000), corrected), GateState::Trial);
        assert!(!gate.close(UtcMillis(1_000), Closure::Settings, corrected));
        assert_eq!(gate.state(UtcMillis(300_000), corrected), GateState::Closed(Duration::from_secs(1)));
        assert_eq!(gate.state(UtcMillis(301_000), corrected), GateState::Trial);
        assert!(gate.close(UtcMillis(301_000), Closure::Down, corrected), "another cause");
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_delivery_wait() {
        let mut gate = Gate::default();
        gate.close(UtcMillis(1_000_000), Closure::Down, NONE);
        assert_eq!(gate.state(UtcMillis(1_004_999), NONE), GateState::Closed(Duration::from_millis(1)));
        assert_eq!(gate.state(UtcMillis(500_000), NONE), GateState::Trial);
        // Nor one that is set back to when it was closed already.
        gate.close(UtcMillis(3_600_000), Closure::Down, NONE);
        assert_eq!(gate.state(UtcMillis(1_500_000), NONE), GateState::Trial);
        assert_eq!(gate.state(UtcMillis(3_600_001), NONE), GateState::Closed(Duration::from_millis(9_999)));
    }
}

//! How long a source waits for its next sync: as what the last one stumbled over calls for.

use std::time::Duration;

use crate::config::SyncInterval;
use crate::source::Obstacle;
use crate::time::{UtcMillis, elapsed};

/// After a sync of a server that failed, or one that could not read something, or a folder that could not be watched,
/// the next sync comes after this, or after the source's interval where that is shorter.
const FIRST_WAIT: Duration = Duration::from_secs(15);
/// A server that is down is asked again after this at the latest; its first response to any source comes before.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);
/// After a login that was refused, the next try comes after these, one after the other: guards such as fail2ban shut
/// out who is refused five times within some minutes.
const LOGIN_WAITS: [Duration; 3] =
    [Duration::from_secs(5 * 60), Duration::from_secs(25 * 60), Duration::from_secs(2 * 60 * 60)];
/// And then after this.
const LAST_LOGIN_WAIT: Duration = Duration::from_secs(6 * 60 * 60);
/// Sources that wait for the same server come back within so many milliseconds once it answers.
const SPREAD_MILLIS: u64 = 2_000;
/// A watched folder that cannot be read is tried again after this, which doubles up to the longest wait for one: it may
/// be moved away and back within a second.
const FIRST_FOLDER_WAIT: Duration = Duration::from_secs(1);
const LONGEST_FOLDER_WAIT: Duration = Duration::from_secs(60);

/// Where something has just changed, more will: so many syncs that follow come sooner.
const LIVELY: u32 = 3;
/// By this factor, and no sooner than that.
const SOONER: u32 = 3;
const SOONEST: Duration = Duration::from_secs(5);
/// Syncs in a row that found nothing, after which the interval doubles, where that is allowed.
const IDLE: u32 = 10;

/// How long until a login is tried again that was refused so many times in a row: who tries too often is shut out.
pub(super) fn login_wait(refused: u32) -> Duration {
    let nth = usize::try_from(refused.saturating_sub(1)).unwrap_or(usize::MAX);
    LOGIN_WAITS.get(nth).copied().unwrap_or(LAST_LOGIN_WAIT)
}

/// How the syncs of a source went, as far as its next one depends on it.
#[derive(Debug)]
pub(super) struct SyncSchedule {
    interval: SyncInterval,
    /// How often the source itself asks to be synced.
    pub asked: Option<Duration>,
    /// Syncs to come that come sooner, because something has changed.
    lively: u32,
    /// Syncs that found nothing new, in a row.
    idle: u32,
    /// Syncs that failed, in a row.
    pub failures: u32,
    /// Syncs of everything that could not read something, in a row.
    pub partial: u32,
    /// Syncs in a row at which the kernel refused to watch the source.
    pub refusals: u32,
    /// How long the server asked to wait (Retry-After).
    pub retry_after: Option<Duration>,
    /// The last sync wants another one after this.
    pub soon: Option<Duration>,
    /// What the last sync that failed stumbled over.
    pub obstacle: Obstacle,
    /// Logins that were refused, in a row.
    pub logins: u32,
    /// How long it may be between two polls while hints announce what changes; none: hints change nothing.
    hinted_interval: Option<Duration>,
    /// Polls in a row that found nothing since a hint led to a change; none: hints do not count now.
    quiet: Option<u32>,
}

/// Why a sync was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SyncReason {
    /// It is the time for it: a poll.
    Time,
    /// A hint came.
    Hint,
    /// The source itself reports changes, or an administrator has asked for it.
    Other,
}

impl SyncSchedule {
    /// Of a source that was not synced yet and is to be so at this interval.
    pub(super) fn new(interval: SyncInterval) -> SyncSchedule {
        SyncSchedule {
            interval,
            asked: None,
            lively: 0,
            idle: 0,
            failures: 0,
            partial: 0,
            refusals: 0,
            retry_after: None,
            soon: None,
            obstacle: Obstacle::Other,
            logins: 0,
            hinted_interval: None,
            quiet: None,
        }
    }

    /// Likewise; while hints announce what changes, polls may become as rare as this.
    pub(super) fn with_hinted_interval(self, hinted_interval: Option<Duration>) -> SyncSchedule {
        SyncSchedule { hinted_interval, ..self }
    }

    /// What a sync of everything that succeeded says of hints: whether they announce what changes. One that does not
    /// come is found out by the next poll, which finds a change that no hint has announced.
    pub(super) fn weigh_hints(&mut self, reason: SyncReason, changes: usize) {
        self.quiet = match (reason, changes, self.quiet) {
            (SyncReason::Hint, 1.., None) => Some(0),
            (SyncReason::Time, 1.., _) => None,
            (SyncReason::Time, 0, Some(quiet)) => Some(quiet.saturating_add(1)),
            (_, _, quiet) => quiet,
        };
    }

    /// A sync succeeded, and found so many `changes`.
    pub(super) fn succeeded(&mut self, changes: usize) {
        if changes > 0 {
            (self.lively, self.idle) = (LIVELY, 0);
        } else {
            self.lively = self.lively.saturating_sub(1);
            self.idle = self.idle.saturating_add(1);
        }
        self.failures = 0;
        self.logins = 0;
        self.retry_after = None;
    }

    /// A sync failed at `obstacle`; the server asked to wait for `retry_after`.
    pub(super) fn failed(&mut self, obstacle: Obstacle, retry_after: Option<Duration>) {
        self.failures = self.failures.saturating_add(1);
        self.retry_after = retry_after;
        self.obstacle = obstacle;
        self.logins = if obstacle == Obstacle::Login { self.logins.saturating_add(1) } else { 0 };
    }

    /// How long it is between two syncs as things are.
    fn usual(&self) -> Duration {
        if let Some(asked) = self.asked {
            return asked;
        }
        let SyncInterval { usual, longest } = self.interval;
        if let (Some(quiet), Some(hinted)) = (self.quiet, self.hinted_interval) {
            return usual.saturating_mul(1 << quiet.min(20)).min(hinted.max(longest));
        }
        match self.lively {
            0 => usual.saturating_mul(1 << (self.idle / IDLE).min(20)).min(longest),
            _ => (usual / SOONER).max(SOONEST).min(usual),
        }
    }

    /// How long after its first sync the source `name` is synced a second time: what is started at the same time is
    /// not synced at the same time ever after.
    pub(super) fn second(&self, name: &str) -> Duration {
        let (wait, part) = (self.wait(), u32::try_from(hash(name) % 512).unwrap_or(0));
        wait / 2 + wait / 1_024 * part
    }

    /// How long until the next sync.
    pub(super) fn wait(&self) -> Duration {
        let interval = self.usual();
        let first = interval.min(FIRST_WAIT);
        let double = |first: Duration, times: u32| first.saturating_mul(1 << times.saturating_sub(1).min(20));
        let doubled = |times: u32| double(first, times);
        let after = |times: u32| if times == 0 { interval } else { doubled(times).min(interval) };
        match (self.failures, self.retry_after, self.obstacle) {
            (0, ..) => {
                let usual = after(self.partial).min(after(self.refusals));
                self.soon.map_or(usual, |soon| usual.min(soon))
            }
            (_, Some(retry_after), _) => retry_after.max(first),
            (_, None, Obstacle::Login) => login_wait(self.logins),
            // Its first answer comes before.
            (_, None, Obstacle::Server) => LONGEST_WAIT,
            // Whether a folder is there costs little to ask, and nothing reports a mount.
            (failures, None, Obstacle::Folder) => {
                double(FIRST_FOLDER_WAIT.min(first), failures).min(LONGEST_FOLDER_WAIT)
            }
            // A sync that fails costs its server no more than one that does not.
            (failures, None, _) => doubled(failures).min(self.interval.usual),
        }
    }

    /// When the next sync comes at the latest, as of `now`, where time is what is waited for.
    pub(super) fn next_try(&self, now: UtcMillis) -> Option<UtcMillis> {
        let waits_for_time = self.failures == 0 || self.retry_after.is_some() || self.obstacle != Obstacle::Server;
        waits_for_time.then(|| now.saturating_add(elapsed(self.wait())))
    }

    /// What is said at `now` besides the error of a sync: what is waited for, where that is not just some time.
    pub(super) fn waits_for(&self, now: UtcMillis) -> String {
        match (self.obstacle, self.retry_after) {
            (Obstacle::Login, _) => {
                let at = now.saturating_add(elapsed(login_wait(self.logins)));
                let at = at.timestamp().strftime("%Y-%m-%d %H:%M:%SZ");
                format!("; it is tried again once the secret is another one, else at {at}, so as not to be shut out")
            }
            (Obstacle::File, _) => "; it is tried again once the file is another one".to_owned(),
            (Obstacle::Server, None) => "; the server is tried every few seconds".to_owned(),
            _ => String::new(),
        }
    }
}

/// How long a source lets others go first when their server is back: always the same, and another one for each name.
pub(super) fn spread(name: &str) -> Duration {
    Duration::from_millis(hash(name) % SPREAD_MILLIS)
}

fn hash(name: &str) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    std::hash::Hash::hash(name, &mut hasher);
    std::hash::Hasher::finish(&hasher)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(schedule: &SyncSchedule) -> u64 {
        schedule.wait().as_secs()
    }

    #[test]
    fn polls_are_closer_after_a_change_and_rarer_while_nothing_changes() {
        let interval = SyncInterval { usual: Duration::from_secs(30), longest: Duration::from_secs(100) };
        let mut schedule = SyncSchedule::new(interval);
        assert_eq!(seconds(&schedule), 30);
        schedule.succeeded(2);
        let after: Vec<u64> = (0..44)
            .map(|_| {
                let wait = seconds(&schedule);
                schedule.succeeded(0);
                wait
            })
            .collect();
        assert_eq!(after[..4], [10, 10, 10, 30]);
        assert_eq!((after[9], after[10], after[20], after[43]), (30, 60, 100, 100));
        let mut fixed = SyncSchedule::new(SyncInterval::fixed(Duration::from_secs(4)));
        fixed.succeeded(1);
        assert_eq!(seconds(&fixed), 4, "it is short enough");
        (0..99).for_each(|_| fixed.succeeded(0));
        assert_eq!(seconds(&fixed), 4);
    }

    #[test]
    fn polls_are_rarer_while_hints_announce_what_changes() {
        let minute = SyncInterval::fixed(Duration::from_secs(60));
        let mut schedule = SyncSchedule::new(minute).with_hinted_interval(Some(Duration::from_secs(900)));
        let mut after = |reason, changes| {
            schedule.weigh_hints(reason, changes);
            schedule.succeeded(changes);
            seconds(&schedule)
        };
        assert_eq!(after(SyncReason::Hint, 0), 60, "it has announced nothing");
        assert_eq!(after(SyncReason::Time, 0), 60);
        assert_eq!(after(SyncReason::Hint, 1), 60, "and not sooner, as without hints");
        let waits = [0; 6].map(|changes| after(SyncReason::Time, changes));
        assert_eq!(waits, [120, 240, 480, 900, 900, 900]);
        assert_eq!(after(SyncReason::Hint, 2), 900);
        assert_eq!(after(SyncReason::Other, 2), 900, "who asks knows more");
        assert_eq!(after(SyncReason::Time, 1), 20, "a hint is missing");
        assert_eq!([0; 4].map(|changes| after(SyncReason::Time, changes)), [20, 20, 60, 60]);
        assert_eq!(after(SyncReason::Hint, 1), 60);
        let mut never = SyncSchedule::new(minute);
        never.weigh_hints(SyncReason::Hint, 1);
        (0..9).for_each(|_| never.weigh_hints(SyncReason::Time, 0));
        assert_eq!(seconds(&never), 60);
    }

    #[test]
    fn sources_that_start_together_spread() {
        let schedule = SyncSchedule::new(SyncInterval::fixed(Duration::from_secs(60)));
        let mut seconds: Vec<u64> = (0..300).map(|n| schedule.second(&format!("account-{n}")).as_secs()).collect();
        seconds.sort_unstable();
        assert!(seconds[0] >= 30 && seconds[299] <= 60, "{seconds:?}");
        seconds.dedup();
        assert!(seconds.len() > 25, "{seconds:?}");
    }

    #[test]
    fn what_a_source_asks_for_itself_holds_whatever_changes() {
        let mut schedule = SyncSchedule::new(SyncInterval::fixed(Duration::from_secs(900)));
        schedule.asked = Some(Duration::from_secs(7_200));
        schedule.succeeded(1);
        assert_eq!(seconds(&schedule), 7_200);
        schedule.failed(Obstacle::Other, None);
        assert_eq!(seconds(&schedule), 15, "a failure is tried again soon all the same");
        schedule.succeeded(0);
        schedule.asked = None;
        assert_eq!(seconds(&schedule), 300);
    }
}

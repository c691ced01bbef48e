//! How many mails a user may get within an hour. What comes above that waits: neither an event with many alarms nor a mistake in
//! a calendar makes a mail server take us for a source of spam.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::time::UtcMillis;

const HOUR: i64 = 3_600_000;

/// The mails of the last hour, by user; it starts anew with the process.
#[derive(Debug)]
pub struct Allowance {
    most: usize,
    /// userId → when they were sent, in that order.
    sent: Mutex<HashMap<String, VecDeque<UtcMillis>>>,
}

impl Allowance {
    /// So many mails an hour for each user.
    pub fn new(most: usize) -> Allowance {
        Allowance { most, sent: Mutex::default() }
    }

    /// Counts a mail to `user` that is sent at `now`.
    ///
    /// # Errors
    /// How long it has to wait, when the user has had as many as are allowed.
    pub fn take(&self, user: &str, now: UtcMillis) -> Result<(), Duration> {
        let mut sent = self.sent();
        if sent.len() > 1_000 {
            sent.retain(|_, mails| mails.back().is_some_and(|last| is_recent(*last, now)));
        }
        let mails = sent.entry(user.to_owned()).or_default();
        // What is to come was counted by a clock that has been set back since.
        mails.retain(|at| is_recent(*at, now));
        match mails.front() {
            Some(first) if mails.len() >= self.most => {
                let wait = first.plus(HOUR).0.saturating_sub(now.0);
                Err(Duration::from_millis(wait.max(1).unsigned_abs()))
            }
            _ => {
                mails.push_back(now);
                Ok(())
            }
        }
    }

    /// Takes back one mail to `user` that was counted and not sent.
    pub fn give_back(&self, user: &str) {
        if let Some(mails) = self.sent().get_mut(user) {
            mails.pop_back();
        }
    }

    /// So many mails an hour for each user.
    pub fn most(&self) -> usize {
        self.most
    }

    fn sent(&self) -> MutexGuard<'_, HashMap<String, VecDeque<UtcMillis>>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_recent(at: UtcMillis, now: UtcMillis) -> bool {
    (0..HOUR).contains(&now.0.saturating_sub(at.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_has_room_for_so_many_of_each_user() {
        let allowance = Allowance::new(2);
        let take = |user: &str, at: i64| allowance.take(user, UtcMillis(at)).map_err(|wait| wait.as_millis());
        assert_eq!((take("mary", 0), take("mary", 10)), (Ok(()), Ok(())));
        assert_eq!(take("mary", 1_000), Err(3_599_000));
        assert_eq!(take("john", 1_000), Ok(()), "another user has an hour of his own");
        assert_eq!(take("mary", HOUR - 1), Err(1));
        assert_eq!((take("mary", HOUR), take("mary", HOUR + 9)), (Ok(()), Err(1)));
        allowance.give_back("mary");
        assert_eq!(take("mary", HOUR + 9), Ok(()));
        // The clock was set back: what it counted is not held against anybody.
        assert_eq!((take("mary", 5), take("mary", 6), take("mary", 7)), (Ok(()), Ok(()), Err(3_599_998)));
    }
}

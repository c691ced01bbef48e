//! How many mails a user may get within an hour. What comes above that waits: neither an event with many alarms nor a
//! mistake in a calendar makes a mail server take us for a source of spam.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::SignedDuration;

use crate::time::{UtcMillis, non_negative};

const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// Users above which those are forgotten who had none within the hour.
const MANY: usize = 1_000;

/// The mails of the last hour, by user; it starts empty with the process.
#[derive(Debug)]
pub struct Allowance {
    most: usize,
    users: Mutex<HashMap<String, Hour>>,
}

#[derive(Debug, Default)]
struct Hour {
    /// When mails were sent, in that order.
    sent: VecDeque<UtcMillis>,
    /// How many had to wait since the last one was sent.
    waiting: usize,
}

impl Allowance {
    /// So many mails an hour for each user.
    pub fn new(most: usize) -> Allowance {
        Allowance { most, users: Mutex::default() }
    }

    /// Counts a mail to `user` that is sent at `now`.
    ///
    /// # Errors
    /// How long it has to wait, when the user has had as many as are allowed: until the first of those is an hour past,
    /// the next one until the second is, and so on.
    pub fn take(&self, user: &str, now: UtcMillis) -> Result<(), Duration> {
        let mut users = self.users();
        if users.len() > MANY {
            users.retain(|_, hour| hour.sent.back().is_some_and(|last| now.is_within(HOUR, *last)));
        }
        let hour = users.entry(user.to_owned()).or_default();
        // What is to come was counted by a clock that has been set back since.
        hour.sent.retain(|at| now.is_within(HOUR, *at));
        if hour.sent.len() < self.most {
            hour.sent.push_back(now);
            hour.waiting = 0;
            return Ok(());
        }
        let place = hour.waiting.checked_rem(hour.sent.len()).unwrap_or(0);
        let free = hour.sent.get(place).map_or(now, |at| at.saturating_add(HOUR));
        hour.waiting += 1;
        Err(non_negative(free.duration_since(now).max(SignedDuration::from_millis(1))))
    }

    /// Takes back one mail to `user` that was counted and not sent.
    pub fn give_back(&self, user: &str) {
        if let Some(hour) = self.users().get_mut(user) {
            hour.sent.pop_back();
        }
    }

    /// So many mails an hour for each user.
    pub fn most(&self) -> usize {
        self.most
    }

    fn users(&self) -> MutexGuard<'_, HashMap<String, Hour>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    #[test]
    fn an_hour_has_room_for_so_many_of_each_user() {
        let allowance = Allowance::new(2);
        let take = |user: &str, at: i64| allowance.take(user, UtcMillis(at)).map_err(|wait| wait.as_millis());
        assert_eq!((take("mary", 0), take("mary", 10)), (Ok(()), Ok(())));
        assert_eq!(take("mary", 1_000), Err(3_599_000));
        assert_eq!(take("john", 1_000), Ok(()), "another user has an hour of his own");
        assert_eq!(take("mary", HOUR - 1), Err(11), "the second to wait waits for the second");
        assert_eq!((take("mary", HOUR), take("mary", HOUR + 9)), (Ok(()), Err(1)));
        allowance.give_back("mary");
        assert_eq!(take("mary", HOUR + 9), Ok(()));
        // The clock was set back: what it counted is not held against anybody.
        assert_eq!((take("mary", 5), take("mary", 6), take("mary", 7)), (Ok(()), Ok(()), Err(3_599_998)));
        assert_eq!((take("mary", 7), take("mary", 7)), (Err(3_599_999), Err(3_599_998)));
    }
}

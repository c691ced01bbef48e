//! How many lines of one kind an hour has in the log: what a calendar says must not fill a disk.

use jiff::SignedDuration;

use crate::time::UtcMillis;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// So many lines an hour.
#[derive(Clone, Debug)]
pub struct LogLimit {
    most: u32,
    /// When the hour began; none: there was no line yet.
    began: Option<UtcMillis>,
    lines: u32,
}

/// Whether a line is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logged {
    /// It is logged.
    Yes,
    /// And it is the last one of this hour, which is to be said.
    Last,
    /// It is not logged.
    No,
}

impl LogLimit {
    /// `most` lines an hour.
    pub fn new(most: u32) -> LogLimit {
        LogLimit { most, began: None, lines: 0 }
    }

    /// Counts a line at `now`.
    pub fn line(&mut self, now: UtcMillis) -> Logged {
        // An hour that began later than now began before the clock was set back.
        if self.began.is_none_or(|began| !now.is_within(HOUR, began)) {
            (self.began, self.lines) = (Some(now), 0);
        }
        self.lines = self.lines.saturating_add(1);
        match self.lines {
            line if line < self.most => Logged::Yes,
            line if line == self.most => Logged::Last,
            _ => Logged::No,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_has_so_many_lines_and_the_next_one_as_many() {
        let mut limit = LogLimit::new(2);
        let mut line = |at: i64| limit.line(UtcMillis(at));
        const HOUR: i64 = 3_600_000;
        assert_eq!([line(5), line(6), line(7), line(HOUR + 4)], [Logged::Yes, Logged::Last, Logged::No, Logged::No]);
        assert_eq!([line(HOUR + 5), line(HOUR + 6), line(HOUR + 7)], [Logged::Yes, Logged::Last, Logged::No]);
        assert_eq!(line(0), Logged::Yes, "the clock was set back");
    }
}

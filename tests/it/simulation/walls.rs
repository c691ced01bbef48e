//! Days and clocks, counted by hand: what the model knows of dates and time zones. It shares nothing with the
//! program's.
//!
//! A *wall* is what a clock on the wall shows, as the seconds that it would be since 1970 if that clock were UTC's.

pub const MINUTE: i64 = 60;
pub const HOUR: i64 = 3_600;
pub const DAY: i64 = 86_400;

/// The rules of the time zones that events are generated in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    Utc,
    /// Europe/Berlin: an hour ahead; summer time from 01:00 UTC on the last Sunday of March to the same of October.
    Berlin,
    /// Europe/Lisbon: the same an hour later.
    Lisbon,
    /// America/New_York: five hours behind; summer time from 02:00 on the second Sunday of March to 02:00 on the first
    /// of November, by the clock that then is changed.
    NewYork,
    /// Australia/Lord_Howe: ten and a half hours ahead, eleven in summer: from 02:00 on the first Sunday of October to
    /// 02:00 on the first of April.
    LordHowe,
}

/// The days from 1970-01-01 to a date.
pub fn days(year: i64, month: i64, day: i64) -> i64 {
    let leap_days_until = |year: i64| year / 4 - year / 100 + year / 400;
    let whole_years = (year - 1970) * 365 + leap_days_until(year - 1) - leap_days_until(1969);
    whole_years + (1..month).map(|month| month_length(year, month)).sum::<i64>() + day - 1
}

/// The date that lies so many days after 1970-01-01: year, month, day.
pub fn date(mut days: i64) -> (i64, i64, i64) {
    let mut year = 1970;
    while days >= if is_leap(year) { 366 } else { 365 } {
        days -= if is_leap(year) { 366 } else { 365 };
        year += 1;
    }
    let mut month = 1;
    while days >= month_length(year, month) {
        days -= month_length(year, month);
        month += 1;
    }
    (year, month, days + 1)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn month_length(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// 0 is Monday, 6 Sunday.
pub fn weekday(days: i64) -> i64 {
    // 1970-01-01 was a Thursday.
    (days + 3).rem_euclid(7)
}

/// The `n`th Sunday of a month; the 0th is the last one of the month before.
fn sunday(year: i64, month: i64, n: i64) -> i64 {
    let first = days(year, month, 1);
    first + (6 - weekday(first)) + 7 * (n - 1)
}

/// `20260310T090000`
pub fn basic(wall: i64) -> String {
    let (year, month, day) = date(wall.div_euclid(DAY));
    let second = wall.rem_euclid(DAY);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}", second / HOUR, second / MINUTE % 60, second % 60)
}

/// `2026-03-10T09:00:00`
pub fn iso(wall: i64) -> String {
    let (year, month, day) = date(wall.div_euclid(DAY));
    let second = wall.rem_euclid(DAY);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", second / HOUR, second / MINUTE % 60, second % 60)
}

impl Rules {
    /// Seconds ahead of UTC in winter and in summer.
    fn offsets(self) -> (i64, i64) {
        match self {
            Rules::Utc => (0, 0),
            Rules::Berlin => (HOUR, 2 * HOUR),
            Rules::Lisbon => (0, HOUR),
            Rules::NewYork => (-5 * HOUR, -4 * HOUR),
            Rules::LordHowe => (10 * HOUR + 30 * MINUTE, 11 * HOUR),
        }
    }

    /// When in a year summer time begins and ends, seconds of UTC.
    fn summer(self, year: i64) -> (i64, i64) {
        let (winter, summer) = self.offsets();
        match self {
            Rules::Utc => (0, 0),
            Rules::Berlin | Rules::Lisbon => (sunday(year, 4, 0) * DAY + HOUR, sunday(year, 11, 0) * DAY + HOUR),
            Rules::NewYork => {
                (sunday(year, 3, 2) * DAY + 2 * HOUR - winter, sunday(year, 11, 1) * DAY + 2 * HOUR - summer)
            }
            Rules::LordHowe => {
                (sunday(year, 10, 1) * DAY + 2 * HOUR - winter, sunday(year, 4, 1) * DAY + 2 * HOUR - summer)
            }
        }
    }

    /// Seconds ahead of UTC at an instant (seconds of UTC).
    pub fn offset(self, instant: i64) -> i64 {
        let (winter, summer) = self.offsets();
        let (year, ..) = date((instant + winter).div_euclid(DAY));
        let (begins, ends) = self.summer(year);
        let is_summer =
            if begins < ends { begins <= instant && instant < ends } else { !(ends <= instant && instant < begins) };
        if is_summer { summer } else { winter }
    }

    /// What the wall shows at an instant.
    pub fn wall(self, instant: i64) -> i64 {
        instant + self.offset(instant)
    }

    /// When the wall shows this: the first time where it does twice; where it never does, as if the clock had not been
    /// put forward yet.
    pub fn instant(self, wall: i64) -> i64 {
        let (winter, summer) = self.offsets();
        let shown = [wall - summer, wall - winter].into_iter().filter(|instant| self.wall(*instant) == wall).min();
        shown.unwrap_or(wall - winter)
    }
}

#[test]
fn the_table_says_what_almanacs_say() {
    let at = |text: &str| reveille::time::UtcMillis::parse(text).unwrap().0 / 1_000;
    assert_eq!(date(days(2026, 3, 1) - 1), (2026, 2, 28));
    assert_eq!((basic(at("2026-03-10T09:08:07Z")), weekday(days(2026, 3, 9))), ("20260310T090807".to_owned(), 0));
    for (rules, before) in [
        (Rules::Berlin, "2026-03-29T00:59:59Z"),
        (Rules::Berlin, "2026-10-25T00:59:59Z"),
        (Rules::Lisbon, "2026-10-25T00:59:59Z"),
        (Rules::NewYork, "2026-03-08T06:59:59Z"),
        (Rules::NewYork, "2026-11-01T05:59:59Z"),
        (Rules::LordHowe, "2026-04-04T14:59:59Z"),
        (Rules::LordHowe, "2026-10-03T15:29:59Z"),
    ] {
        let change = at(before) + 1;
        let (winter, summer) = rules.offsets();
        assert_eq!(rules.offset(change - 1) + rules.offset(change), winter + summer, "{rules:?} {before}");
        assert!(
            rules.offset(change - 1) == rules.offset(change - DAY)
                && rules.offset(change) == rules.offset(change + DAY)
        );
    }
    let wall = |text: &str| at(&format!("{text}Z"));
    assert_eq!(Rules::Berlin.instant(wall("2026-03-29T02:30:00")), at("2026-03-29T01:30:00Z"));
    assert_eq!(Rules::Berlin.instant(wall("2026-10-25T02:30:00")), at("2026-10-25T00:30:00Z"));
    assert_eq!(Rules::LordHowe.instant(wall("2026-04-05T01:45:00")), at("2026-04-04T14:45:00Z"));
}

const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `Sun, 06 Nov 1994 08:49:37 GMT`, of UTC milliseconds.
pub fn http_date_of(millis: i64) -> String {
    let seconds = millis.div_euclid(1_000);
    let (days, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (year, month, day) = date(days);
    let (weekday, month) =
        (WEEKDAYS[usize::try_from(weekday(days)).unwrap()], MONTHS[usize::try_from(month - 1).unwrap()]);
    let (hour, minute, second) = (second / HOUR, second / MINUTE % 60, second % 60);
    format!("{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT")
}

/// The UTC milliseconds of what [`http_date_of`] writes.
pub fn http_date(text: &str) -> i64 {
    let number = |from: usize, until: usize| text[from..until].parse::<i64>().unwrap();
    let month = MONTHS.iter().position(|month| *month == &text[8..11]).unwrap();
    let day = days(number(12, 16), i64::try_from(month).unwrap() + 1, number(5, 7));
    (day * DAY + number(17, 19) * HOUR + number(20, 22) * MINUTE + number(23, 25)) * 1_000
}

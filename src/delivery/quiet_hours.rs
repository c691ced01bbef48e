//! Quiet hours of a user: what fires in them is delivered when they are over.

use jiff::civil::{Date, Time, Weekday};
use toml::de::DeValue;

use crate::calendar::zone::Zone;
use crate::tables::{Section, value};
use crate::time::UtcMillis;

/// Quiet hours on one day after the other that are put together at most: a week.
const LONGEST: usize = 7;

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// `quiet` of `[users."NAME"]`: wall-clock times in the user's zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuietHours {
    /// When they begin.
    pub from: Time,
    /// When they end: on the same day if that is later than `from`, else on the next one. None: at the end of the day.
    pub until: Option<Time>,
    /// The days on which they begin; empty: all.
    pub days: Vec<Weekday>,
    /// Whether alarms with the action EMAIL are held too.
    pub email: bool,
}

impl QuietHours {
    /// Reads the table `quiet` of `section`; none if there is none or it has errors, which are reported.
    pub fn read(section: &Section<'_>) -> Option<QuietHours> {
        let table = section.subtable("quiet", "users")?;
        let from = table.required("from", value::time_of_day);
        let until = table.required("until", end_of_day_or_time);
        let days = table.read("days", days).unwrap_or_default();
        let email = table.read("email", value::boolean).unwrap_or(false);
        if from.is_some() && until.flatten() == from {
            table.report("until", "is the same as from: write 24:00 for the end of the day");
        }
        table.finish();
        Some(QuietHours { from: from?, until: until?, days, email })
    }

    /// When the quiet hours are over in which the instant `at` lies, by the clocks of `zone`; none if it lies in none.
    /// A time that clocks skip is taken with the offset before, and of one that they show twice the first counts
    /// (rule 9).
    pub fn end(&self, at: UtcMillis, zone: &Zone) -> Option<UtcMillis> {
        let mut end = None;
        // Those of one day may begin when those of another end.
        for _ in 0..LONGEST {
            match self.end_of_one(end.unwrap_or(at), zone) {
                Some(next) => end = Some(next),
                None => break,
            }
        }
        end
    }

    fn end_of_one(&self, at: UtcMillis, zone: &Zone) -> Option<UtcMillis> {
        let today = zone.civil(at).date();
        let begins = |day: &Date| self.days.is_empty() || self.days.contains(&day.weekday());
        let days = today.yesterday().into_iter().chain([today]).filter(begins);
        days.filter_map(|day| {
            let begin = zone.instant(day.to_datetime(self.from)).at;
            let end = match self.until {
                Some(until) if until > self.from => day.to_datetime(until),
                until => day.tomorrow().ok()?.to_datetime(until.unwrap_or(Time::midnight())),
            };
            let end = zone.instant(end).at;
            (begin <= at && at < end).then_some(end)
        })
        .max()
    }
}

fn days(value: &DeValue<'_>) -> Result<Vec<Weekday>, String> {
    value::strings(value)?.iter().map(|day| value::choose(day, &DAYS)).collect()
}

/// None: the end of the day.
fn end_of_day_or_time(value: &DeValue<'_>) -> Result<Option<Time>, String> {
    if value.as_str() == Some("24:00") { Ok(None) } else { value::time_of_day(value).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::zone::Zones;

    fn quiet(from: &str, until: &str, on: &[&str]) -> QuietHours {
        let of = |text: &str| value::time_of_day(&DeValue::String(text.into())).ok();
        let days = on.iter().map(|day| value::choose(day, &DAYS).unwrap()).collect();
        QuietHours { from: of(from).unwrap(), until: of(until), days, email: false }
    }

    fn end(quiet: &QuietHours, zone: &str, at: &str) -> String {
        let zone = Zones::bundled().resolve(zone, None, None).unwrap();
        let end = quiet.end(UtcMillis::parse(at).unwrap(), &zone);
        end.map(|end| end.to_string().replace(".000Z", "Z")).unwrap_or_default()
    }

    #[test]
    fn quiet_hours_over_both_nights_on_which_clocks_change() {
        let night = quiet("22:00", "07:00", &[]);
        let (berlin, new_york) = ("Europe/Berlin", "America/New_York");
        for (zone, at, expected) in [
            // An ordinary night, with its first and last second.
            (berlin, "2026-03-10T20:59:59Z", ""),
            (berlin, "2026-03-10T21:00:00Z", "2026-03-11T06:00:00Z"),
            (berlin, "2026-03-11T05:59:59Z", "2026-03-11T06:00:00Z"),
            (berlin, "2026-03-11T06:00:00Z", ""),
            // Clocks go forward on 29 March at 01:00 UTC: the night is an hour shorter.
            (berlin, "2026-03-28T21:00:00Z", "2026-03-29T05:00:00Z"),
            (berlin, "2026-03-29T04:59:59Z", "2026-03-29T05:00:00Z"),
            (berlin, "2026-03-29T05:00:00Z", ""),
            (berlin, "2026-03-29T20:00:00Z", "2026-03-30T05:00:00Z"),
            // Clocks go back on 25 October at 01:00 UTC: the night is an hour longer.
            (berlin, "2026-10-24T20:00:00Z", "2026-10-25T06:00:00Z"),
            (berlin, "2026-10-25T05:30:00Z", "2026-10-25T06:00:00Z"),
            (berlin, "2026-10-25T06:00:00Z", ""),
            // The same instant, read by another clock.
            (new_york, "2026-03-10T21:00:00Z", ""),
            (new_york, "2026-03-11T06:00:00Z", "2026-03-11T11:00:00Z"),
            (new_york, "2026-03-08T03:00:00Z", "2026-03-08T11:00:00Z"),
            (new_york, "2026-11-01T02:00:00Z", "2026-11-01T12:00:00Z"),
            ("UTC", "2026-03-10T21:00:00Z", ""),
        ] {
            assert_eq!(end(&night, zone, at), expected, "{zone} {at}");
        }
    }

    #[test]
    fn hours_that_begin_or_end_while_clocks_change() {
        let berlin = "Europe/Berlin";
        for (from, until, at, expected) in [
            // 02:30 is skipped: it is 03:30, an hour and a half after 02:00 would have been.
            ("01:00", "02:30", "2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"),
            ("01:00", "02:30", "2026-03-29T01:30:00Z", ""),
            ("02:30", "07:00", "2026-03-29T01:29:59Z", ""),
            ("02:30", "07:00", "2026-03-29T01:30:00Z", "2026-03-29T05:00:00Z"),
            // 02:30 comes twice: the first one counts.
            ("01:00", "02:30", "2026-10-25T00:29:59Z", "2026-10-25T00:30:00Z"),
            ("01:00", "02:30", "2026-10-25T00:30:00Z", ""),
            ("01:00", "02:30", "2026-10-25T01:15:00Z", ""),
            ("02:30", "07:00", "2026-10-25T00:30:00Z", "2026-10-25T06:00:00Z"),
        ] {
            assert_eq!(end(&quiet(from, until, &[]), berlin, at), expected, "{from} {until} {at}");
        }
    }

    #[test]
    fn hours_of_some_days() {
        // 14 March 2026 is a Saturday.
        let weekend = quiet("00:00", "24:00", &["sat", "sun"]);
        let friday = quiet("22:00", "07:00", &["fri"]);
        for (quiet, at, expected) in [
            (&weekend, "2026-03-13T23:59:59Z", ""),
            (&weekend, "2026-03-14T00:00:00Z", "2026-03-16T00:00:00Z"),
            (&weekend, "2026-03-15T12:00:00Z", "2026-03-16T00:00:00Z"),
            (&weekend, "2026-03-16T00:00:00Z", ""),
            (&friday, "2026-03-13T23:00:00Z", "2026-03-14T07:00:00Z"),
            (&friday, "2026-03-14T06:00:00Z", "2026-03-14T07:00:00Z"),
            (&friday, "2026-03-14T23:00:00Z", ""),
        ] {
            assert_eq!(end(quiet, "UTC", at), expected, "{at}");
        }
        // Whoever is quiet all week hears after a week nevertheless.
        assert_eq!(end(&quiet("00:00", "24:00", &[]), "UTC", "2026-03-14T12:00:00Z"), "2026-03-21T00:00:00Z");
    }
}

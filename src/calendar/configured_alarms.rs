//! Default alarms that the configuration names, as the ledger keeps them beside those of servers.

use jiff::SignedDuration;
use jiff::civil::Time;
use serde::{Deserialize, Serialize};

use super::ical::alarm::{Action, Alarm, Trigger};
use super::ical::value::Duration;

/// Seconds of a day.
const DAY: i64 = 24 * 60 * 60;

/// Default alarms of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfiguredAlarms {
    /// Which part of it names them: `calendar`, `source` or `user`.
    pub from: String,
    /// None of them: events without an alarm get none.
    pub alarms: Vec<ConfiguredAlarm>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfiguredAlarm {
    /// Nominal days after the start of an event.
    pub days: i64,
    /// Seconds after that.
    pub seconds: i64,
    /// ACTION.
    pub action: String,
}

impl ConfiguredAlarms {
    /// Reads what [`ConfiguredAlarms::text`] writes; none of any other text.
    pub fn parse(text: &str) -> Option<ConfiguredAlarms> {
        // A VALARM begins otherwise.
        if text.starts_with('{') { serde_json::from_str(text).ok() } else { None }
    }

    /// As the ledger keeps them.
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// As alarms of an event.
    pub fn alarms(&self) -> Vec<Alarm> {
        let alarm = |one: &ConfiguredAlarm| {
            let mut alarm = Alarm::new(0);
            alarm.action = Action::read(&one.action);
            alarm.action_text = one.action.as_str().into();
            let time = SignedDuration::from_secs(one.seconds);
            alarm.trigger = Some(Trigger::Start(Duration { days: one.days, time }));
            alarm
        };
        self.alarms.iter().map(alarm).collect()
    }
}

/// The nominal days and then the seconds after which the clock shows `seconds` after midnight, `days` days later.
///
/// Clocks change in the night: times of the day are counted from the midnight after them, those of the first hours from
/// the midnight before.
fn by_the_clock(days: i64, seconds: i64) -> (i64, i64) {
    if seconds < DAY / 8 { (days, seconds) } else { (days.saturating_add(1), seconds.saturating_sub(DAY)) }
}

/// Where an alarm of an all-day event fires that would fire at midnight `offset` after the event begins or ends, if it
/// is to fire at `time` of that day; none if `offset` is not a number of days.
pub fn at_time_of_day(offset: Duration, time: Time) -> Option<Duration> {
    let seconds = offset.time.as_secs();
    if seconds % DAY != 0 || offset.time.subsec_nanos() != 0 {
        return None;
    }
    let since_midnight = time.duration_since(Time::midnight()).as_secs();
    let (days, seconds) = by_the_clock(offset.days.checked_add(seconds / DAY)?, since_midnight);
    Some(Duration { days, time: SignedDuration::from_secs(seconds) })
}

impl ConfiguredAlarm {
    /// At `seconds` after midnight, by the clock, so many days after an all-day event begins.
    pub fn at(days: i64, seconds: i64, action: &str) -> ConfiguredAlarm {
        let (days, seconds) = by_the_clock(days, seconds);
        ConfiguredAlarm { days, seconds, action: action.to_owned() }
    }

    /// So many nominal days and seconds after an event begins.
    pub fn after(days: i64, seconds: i64, action: &str) -> ConfiguredAlarm {
        ConfiguredAlarm { days, seconds, action: action.to_owned() }
    }
}

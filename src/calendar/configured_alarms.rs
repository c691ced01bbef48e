//! Default alarms that the configuration names, as the ledger keeps them beside those of servers.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::ical::alarm::{Action, Alarm, Trigger};
use super::ical::value::Duration;

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

impl ConfiguredAlarm {
    /// At `seconds` after midnight, by the clock, so many days after an all-day event begins.
    ///
    /// Clocks change in the night: times of the day are counted from the midnight after them, those of the first hours
    /// from the midnight before.
    pub fn at(days: i64, seconds: i64, action: &str) -> ConfiguredAlarm {
        const DAY: i64 = 24 * 60 * 60;
        let (days, seconds) = if seconds < DAY / 8 { (days, seconds) } else { (days + 1, seconds - DAY) };
        ConfiguredAlarm { days, seconds, action: action.to_owned() }
    }

    /// So many nominal days and seconds after an event begins.
    pub fn after(days: i64, seconds: i64, action: &str) -> ConfiguredAlarm {
        ConfiguredAlarm { days, seconds, action: action.to_owned() }
    }
}

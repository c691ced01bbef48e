//! What `[users."NAME"]` says of the way that the user's alarms take.

use super::alarm_filter::AlarmFilter;
use super::quiet_hours::QuietHours;
use crate::tables::{Section, value};

/// The keys of `[users."NAME"]` that decide whether the user's alarms go to sinks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserRouting {
    /// Patterns of calendars whose alarms go to no sink.
    pub muted: Vec<String>,
    /// Which alarms go to sinks at all.
    pub filter: AlarmFilter,
    /// When alarms are held.
    pub quiet: Option<QuietHours>,
}

impl UserRouting {
    /// Reads its keys in `section`; errors are reported there.
    pub fn read(section: &Section<'_>) -> UserRouting {
        UserRouting {
            muted: section.read("muted", value::strings).unwrap_or_default(),
            filter: AlarmFilter::read(section),
            quiet: QuietHours::read(section),
        }
    }
}

//! Which sinks alarms go to by the configuration; for the listings.

use std::collections::HashMap;

use super::upcoming::Upcoming;
use crate::config::Config;
use crate::delivery::routing::{Envelope, Routing};

/// The sinks of the configuration.
#[derive(Debug)]
pub(super) struct Reach(Routing);

impl Reach {
    pub(super) fn new(config: &Config) -> Reach {
        let ids: HashMap<String, i64> =
            config.sinks.iter().zip(0..).map(|(sink, id)| (sink.name.clone(), id)).collect();
        Reach(Routing::new(&config.sinks, &ids))
    }

    /// Why a user of whom no address is known misses alarms, a sentence; none where no sink writes to the user.
    pub(super) fn no_address(&self, user: &str) -> Option<String> {
        self.0.no_address(user)
    }

    /// Why no sink takes `alarm`, a sentence; none where one does. `own` are the addresses of its user.
    pub(super) fn no_sink(&self, alarm: Envelope<'_>, own: &[String]) -> Option<String> {
        self.0.no_sink(alarm, own).map(|why| format!("it goes to no sink: {why}"))
    }
}

/// A line for each reason why some of `alarms` go to no sink.
pub(super) fn notes(alarms: &[Upcoming]) -> Vec<String> {
    let mut reasons: Vec<(&str, usize)> = Vec::new();
    for reason in alarms.iter().filter_map(|alarm| alarm.no_sink.as_deref()) {
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += 1,
            None => reasons.push((reason, 1)),
        }
    }
    let note = |(reason, count): (&str, usize)| match (count, alarms.len()) {
        (1, 1) => reason.to_owned(),
        (count, all) => format!("{count} of {all}: {reason}"),
    };
    reasons.into_iter().map(note).collect()
}

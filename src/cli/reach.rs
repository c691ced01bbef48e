//! Which sinks alarms go to by the configuration; for the listings.

use std::collections::HashMap;

use crate::calendar::zone::{Zone, Zones};
use crate::config::Config;
use crate::delivery::routing::{Envelope, Routing, SinkDecision};
use crate::time::UtcMillis;

/// The sinks of the configuration.
#[derive(Debug)]
pub(super) struct Reach(Routing);

impl Reach {
    pub(super) fn new(config: &Config) -> Reach {
        let ids: HashMap<String, i64> =
            config.sinks.iter().zip(0..).map(|(sink, id)| (sink.name.clone(), id)).collect();
        Reach(Routing::new(&config.sinks, config.user_routing(), &ids))
    }

    /// Why a user whose address is not known misses alarms, a sentence; none if no sink writes to the user.
    pub(super) fn no_address(&self, user: &str) -> Option<String> {
        self.0.no_address(user)
    }

    /// Until when quiet hours hold `alarm`, which fires at `at`; none if they do not. `user_zone` is the id of the
    /// user's zone.
    pub(super) fn held_until(
        &self,
        alarm: Envelope<'_>,
        at: UtcMillis,
        zones: &Zones,
        user_zone: Option<&str>,
    ) -> Option<UtcMillis> {
        let zone = || user_zone.and_then(|id| zones.resolve(id, None, None)).unwrap_or_else(Zone::utc);
        self.0.held_until(alarm, at, zone)
    }

    /// What each sink makes of `alarm`. `own` are the addresses of its user.
    pub(super) fn decisions(&self, alarm: Envelope<'_>, own: &[String]) -> Vec<SinkDecision> {
        self.0.decisions(alarm, own)
    }

    /// Why no sink takes `alarm`, a sentence; none if one does. `own` are the addresses of its user.
    pub(super) fn no_sink(&self, alarm: Envelope<'_>, own: &[String]) -> Option<String> {
        self.0.no_sink(alarm, own).map(|why| format!("it goes to no sink: {why}"))
    }
}

//! Store events as the ledger records them: beside the firings of alarms, with deliveries of the same kind.

use super::context::about;
use super::renderer::FiringRenderer;
use crate::ledger::{CalendarRow, FiringState, NewFiring};
use crate::store_event::{StoreChange, StoreEvent, StoreEventKind, event_identity};
use crate::time::UtcMillis;

impl FiringRenderer {
    /// Whether any store events are to be recorded.
    pub fn has_store_events(&self) -> bool {
        !self.settings.events.kinds.is_empty()
    }

    /// Whether store events of this kind are to be recorded.
    pub fn has_store_event(&self, kind: StoreEventKind) -> bool {
        self.settings.events.has(kind)
    }

    /// The event that `change` in the calendar `row` is, found at `now`; none if it is not wanted, or no sink takes it.
    pub fn store_event(&self, row: &CalendarRow, change: &StoreChange<'_>, now: UtcMillis) -> Option<NewFiring> {
        let settings = &self.settings;
        let about = about(&row.info);
        let routes = settings.routing.event_routes(&about.user, &about.name, &about.id);
        if !settings.events.has(change.kind) || routes.is_empty() {
            return None;
        }
        let identity = event_identity(&about, change);
        let text = change.object.and_then(|object| object.text);
        let event = StoreEvent::new(change, &about, identity, &settings.sender, now);
        let event = event.with_content(text, settings.events.max_content_size);
        Some(NewFiring {
            identity,
            calendar: row.id,
            object: 0,
            due: now,
            state: FiringState::Event,
            count: 1,
            notification: event.to_json(),
            routes,
        })
    }
}

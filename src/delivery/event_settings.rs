//! `[events]`: which changes of calendars are reported besides alarms, as store events.

use toml::de::DeValue;

use crate::store_event::StoreEventKind;
use crate::tables::{Section, value};

/// Octets of an object that an event contains.
const MAX_CONTENT: usize = 64 * 1024;

/// `[events]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSettings {
    /// The kinds that are reported; empty: none.
    pub kinds: Vec<StoreEventKind>,
    /// Octets of an object that an event contains; a longer one is left out.
    pub max_content_size: usize,
}

impl Default for EventSettings {
    fn default() -> EventSettings {
        EventSettings { kinds: Vec::new(), max_content_size: MAX_CONTENT }
    }
}

impl EventSettings {
    /// Reads `[events]`.
    pub fn read(section: &Section<'_>) -> EventSettings {
        let kinds = section.read("kinds", kinds).unwrap_or_default();
        let octets = section.read("max_content_size", value::number(0, 16 << 20));
        let max_content_size = octets.and_then(|octets| usize::try_from(octets).ok()).unwrap_or(MAX_CONTENT);
        EventSettings { kinds, max_content_size }
    }

    /// Whether events of this kind are reported.
    pub fn has(&self, kind: StoreEventKind) -> bool {
        self.kinds.contains(&kind)
    }
}

fn kinds(value: &DeValue<'_>) -> Result<Vec<StoreEventKind>, String> {
    if matches!(value, DeValue::Array(items) if items.is_empty()) {
        return Ok(Vec::new());
    }
    value::strings(value)?.iter().map(|name| value::choose(name, &StoreEventKind::NAMES)).collect()
}

//! What is kept of a feed from one sync to the next, in the checkpoint of its calendar. The address is not part of it.

use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::pace;
use crate::calendar::ical::split::StatedCalendar;
use crate::source::contract::Checkpoint;
use crate::time::UtcMillis;

/// So long the server is believed that nothing has changed; then the whole is fetched once.
const BELIEVED: SignedDuration = SignedDuration::from_hours(24);
/// Octets of an entity tag that is kept.
const MAX_ETAG: usize = 1_024;

/// What a feed was when it was read last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct FeedState {
    pub validators: Validators,
    pub stated: FeedProperties,
    /// A digest of the octets of the file.
    pub octets: String,
    /// How long the server said that the answer can be used, seconds.
    pub max_age: Option<u64>,
    /// When the whole was fetched last, milliseconds.
    pub read_at: i64,
    /// Since when many events are missing that are kept, milliseconds; none: none are missing.
    pub missing_since: Option<i64>,
}

/// What a server is asked with whether the file is still the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Validators {
    /// A fingerprint of the address that they are of.
    pub address: String,
    pub etag: Option<String>,
    /// Last-Modified, milliseconds.
    pub last_modified: Option<i64>,
}

/// What the file says of the calendar as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct FeedProperties {
    pub name: Option<String>,
    pub color: Option<String>,
    /// An IANA id, perhaps; UTC is none, because programs write it where they know of no zone.
    pub zone: Option<String>,
    /// How often it should be fetched, seconds.
    pub refresh: Option<u64>,
}

impl FeedState {
    /// That of `checkpoint`; an empty one where there is none that can be read.
    pub(super) fn read(checkpoint: Option<&Checkpoint>) -> FeedState {
        checkpoint.and_then(|kept| serde_json::from_str(&kept.sync_state).ok()).unwrap_or_default()
    }

    /// As it is kept.
    pub(super) fn checkpoint(&self) -> Checkpoint {
        Checkpoint { sync_state: serde_json::to_string(self).unwrap_or_default() }
    }

    /// What to ask with at `now`; none where the whole is wanted.
    pub(super) fn condition(&self, now: UtcMillis) -> Option<&Validators> {
        let is_recent = now.is_within(BELIEVED, UtcMillis(self.read_at));
        (is_recent && self.missing_since.is_none() && self.validators.are_of_use()).then_some(&self.validators)
    }

    pub(super) fn max_age(&self) -> Option<Duration> {
        self.max_age.map(Duration::from_secs)
    }
}

impl Validators {
    /// Of an answer from the address with this fingerprint.
    pub(super) fn new(address: String, etag: Option<&str>, last_modified: Option<UtcMillis>) -> Validators {
        // Only such octets can be sent back as they came.
        let is_plain = |etag: &&str| etag.len() <= MAX_ETAG && etag.bytes().all(|octet| (b' '..=b'~').contains(&octet));
        let etag = etag.filter(is_plain).map(str::to_owned);
        Validators { address, etag, last_modified: last_modified.map(|at| at.0) }
    }

    /// Whether there is anything to ask with.
    pub(super) fn are_of_use(&self) -> bool {
        self.etag.is_some() || self.last_modified.is_some()
    }

    pub(super) fn last_modified(&self) -> Option<UtcMillis> {
        self.last_modified.map(UtcMillis)
    }
}

impl FeedProperties {
    /// What `stated` comes to.
    pub(super) fn new(stated: StatedCalendar) -> FeedProperties {
        let StatedCalendar { name, zone, color, refresh } = stated;
        let is_id = |zone: &String| {
            let is_utc =
                ["UTC", "GMT", "Z", "Zulu", "Etc/UTC", "Etc/GMT"].iter().any(|utc| zone.eq_ignore_ascii_case(utc));
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "/_+-".contains(c);
            !is_utc && zone.len() <= 64 && zone.chars().all(is_plain)
        };
        FeedProperties {
            name,
            color,
            zone: zone.filter(is_id),
            refresh: refresh.and_then(pace::elapsed).map(|refresh| refresh.as_secs()),
        }
    }

    pub(super) fn refresh(&self) -> Option<Duration> {
        self.refresh.map(Duration::from_secs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again_and_what_is_not_readable_is_nothing() {
        let validators = Validators::new("a".to_owned(), Some("\"x\""), Some(UtcMillis(7)));
        let state = FeedState { validators, octets: "b".to_owned(), read_at: 5, ..FeedState::default() };
        assert_eq!(FeedState::read(Some(&state.checkpoint())), state);
        for text in ["", "{", "[]", "{\"readAt\":\"x\"}"] {
            assert_eq!(FeedState::read(Some(&Checkpoint { sync_state: text.to_owned() })), FeedState::default());
        }
    }

    #[test]
    fn a_server_is_believed_for_a_day_that_nothing_has_changed() {
        let validators = Validators::new("a".to_owned(), None, Some(UtcMillis(7)));
        let state = FeedState { validators, read_at: 1_000, ..FeedState::default() };
        let asks = |state: &FeedState, at: i64| state.condition(UtcMillis(at)).is_some();
        assert!(asks(&state, 1_000) && asks(&state, 86_400_999));
        assert!(!asks(&state, 86_401_000) && !asks(&state, 999));
        assert!(!asks(&FeedState { missing_since: Some(1_000), ..state.clone() }, 1_001));
        assert!(!asks(&FeedState { validators: Validators::default(), ..state }, 1_001));
        assert_eq!(Validators::new(String::new(), Some("\"\u{fffd}\""), None).etag, None);
    }

    #[test]
    fn a_zone_of_a_feed_is_an_id_other_than_utc() {
        let zone = |zone: &str| {
            FeedProperties::new(StatedCalendar { zone: Some(zone.to_owned()), ..StatedCalendar::default() }).zone
        };
        assert_eq!(zone("Europe/Berlin").as_deref(), Some("Europe/Berlin"));
        assert_eq!((zone("UTC"), zone("etc/utc"), zone("W. Europe Standard Time")), (None, None, None));
    }
}

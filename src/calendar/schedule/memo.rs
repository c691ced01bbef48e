//! The ends of rules with COUNT, remembered from one scheduling of an object to the next, so that they are counted
//! once.

use std::collections::BTreeMap;

use jiff::civil::DateTime;
use sha2::{Digest as _, Sha256};

use super::resolve::ResolvedTime;
use crate::calendar::rrule::{Rule, Series, SeriesStart, WorkMeter};
use crate::text::hex;

/// Hash of a rule and its start → the last occurrence.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memo {
    before: BTreeMap<String, String>,
    now: BTreeMap<String, String>,
    /// What the series may cost.
    work: WorkMeter,
}

impl Memo {
    /// What [`Memo::to_json`] of an earlier scheduling said.
    /// All series that it makes spend `work`.
    pub(crate) fn read(text: Option<&str>, work: WorkMeter) -> Memo {
        let before = text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        Memo { before, now: BTreeMap::new(), work }
    }

    /// What the series may cost, all of them together.
    pub(crate) fn work(&self) -> &WorkMeter {
        &self.work
    }

    /// The ends that this scheduling met, as JSON.
    pub(crate) fn to_json(&self) -> Option<String> {
        if self.now.is_empty() { None } else { serde_json::to_string(&self.now).ok() }
    }

    /// Anchors `rule`, which `text` says, at `start`.
    pub(crate) fn series(&mut self, rule: &Rule, text: &str, start: &ResolvedTime) -> Series {
        let zone = &start.zone.zone;
        let anchor = SeriesStart { start: start.civil, all_day: start.all_day, zone };
        let counts = text.to_ascii_uppercase().contains("COUNT");
        if !counts {
            return Series::within(self.work.clone(), rule, &anchor, None);
        }
        let digest = Sha256::digest(format!("{text}\n{}\n{}\n{}", start.civil, start.all_day, zone.id()));
        let key = hex(digest.iter().take(8));
        let known = self.before.get(&key).and_then(|civil| civil.parse::<DateTime>().ok());
        let series = Series::within(self.work.clone(), rule, &anchor, known);
        if let Some(last) = series.last() {
            self.now.insert(key, last.to_string());
        }
        series
    }
}

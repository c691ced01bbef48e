//! Recurrence rules (RFC 5545, 3.3.10).

use jiff::civil::DateTime;

use super::zone::Zone;
use crate::time::UtcMillis;

/// A recurrence rule as read and checked, not yet anchored to a start.
#[derive(Clone, Debug)]
pub struct Rule {}

/// A rule that cannot be used, and why, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RuleError(pub String);

impl Rule {
    /// Reads the value of an RRULE or EXRULE property.
    ///
    /// # Errors
    /// When it is no rule, or one that is reported rather than guessed (RSCALE other than GREGORIAN).
    pub fn parse(value: &str) -> Result<Rule, RuleError> {
        let _ = value;
        todo!()
    }
}

/// The start of one occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// As the rule writes it, on the wall of the series' zone (before a gap moves it).
    pub wall: DateTime,
    /// Where that lies in the zone.
    pub at: UtcMillis,
}

/// A rule anchored to its DTSTART in its zone.
#[derive(Clone, Debug)]
pub struct Series {}

impl Series {
    /// Anchors `rule` at the wall-clock time `start` of `zone` (for an all-day series: midnight, `all_day` true).
    /// `last` is what [`Series::last`] said before, so that a COUNT need not be counted again.
    pub fn new(rule: &Rule, start: DateTime, all_day: bool, zone: &Zone, last: Option<DateTime>) -> Series {
        let _ = (rule, start, all_day, zone, last);
        todo!()
    }

    /// The occurrences that the rule gives from the instant `from` on (at ≥ from), ascending by instant and each once,
    /// lazily. DTSTART is among them only if the rule matches it. Costs the same wherever `from` lies.
    pub fn from(&self, from: UtcMillis) -> impl Iterator<Item = Start> + '_ {
        let _ = from;
        std::iter::empty()
    }

    /// For a rule with COUNT: the wall-clock time of its last occurrence, to be remembered. None without COUNT.
    pub fn last(&self) -> Option<DateTime> {
        None
    }
}

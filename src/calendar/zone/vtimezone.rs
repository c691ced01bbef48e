//! A zone that an object defines for itself: VTIMEZONE (RFC 5545, 3.6.5), as plain data. What its offsets are at a given
//! moment is worked out by [`super::onsets`].

use jiff::civil::DateTime;

use crate::calendar::recur::Rule;

/// Bounds on one VTIMEZONE. The fullest real ones, with each change since 1880 written out, have 250 observances.
const MAX_OBSERVANCES: usize = 500;
const MAX_DATES: usize = 10_000;
const MAX_RULES: usize = 500;
/// Rules with COUNT, which have to be counted out to find their end.
const MAX_COUNTED_RULES: usize = 8;
/// UTC offsets are less than a day.
const MAX_OFFSET: i32 = 86_399;

/// A VTIMEZONE as plain data: what its properties say, values not yet judged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct VTimezone {
    /// TZID, without quotes.
    pub tzid: String,
    /// STANDARD and DAYLIGHT, in the order of the text.
    pub observances: Vec<Observance>,
}

/// STANDARD or DAYLIGHT: an offset, and when it begins to hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Observance {
    /// DAYLIGHT rather than STANDARD.
    pub daylight: bool,
    /// DTSTART: the first onset, on the wall of the offset before it.
    pub start: DateTime,
    /// TZOFFSETFROM: seconds east of UTC before an onset.
    pub offset_from: i32,
    /// TZOFFSETTO: seconds east of UTC from an onset on.
    pub offset_to: i32,
    /// The values of its RRULEs, as written.
    pub rules: Vec<String>,
    /// Its RDATEs: further onsets, on the wall of the offset before them.
    pub dates: Vec<DateTime>,
}

/// An observance whose rules are read and whose offsets are possible.
pub(super) struct Judged<'a> {
    pub observance: &'a Observance,
    pub dates: &'a [DateTime],
    pub rules: Vec<Rule>,
}

impl VTimezone {
    /// What is wrong with it, a sentence each; what is wrong is left out when the zone is evaluated.
    pub fn faults(&self) -> Vec<String> {
        self.judge().1
    }

    /// The observances that can be used, and what is wrong with the rest.
    pub(super) fn judge(&self) -> (Vec<Judged<'_>>, Vec<String>) {
        let mut faults = Faults { zone: &self.tzid, sentences: Vec::new() };
        let mut judged = Vec::new();
        let mut left = Left { dates: MAX_DATES, rules: MAX_RULES, counted: MAX_COUNTED_RULES };
        for observance in self.observances.iter().take(MAX_OBSERVANCES) {
            let possible = |offset: i32| (-MAX_OFFSET..=MAX_OFFSET).contains(&offset);
            if !possible(observance.offset_from) || !possible(observance.offset_to) {
                faults.add("has an offset of a day or more; that observance is left out");
                continue;
            }
            judged.push(left.judge(observance, &mut faults));
        }
        if self.observances.len() > MAX_OBSERVANCES {
            faults.add(&format!("has more than {MAX_OBSERVANCES} observances; the rest is left out"));
        }
        if judged.is_empty() {
            faults.add("has no STANDARD or DAYLIGHT that can be used");
        }
        (judged, faults.sentences)
    }
}

/// What a zone may still have.
struct Left {
    dates: usize,
    rules: usize,
    counted: usize,
}

impl Left {
    fn judge<'a>(&mut self, observance: &'a Observance, faults: &mut Faults<'_>) -> Judged<'a> {
        let dates = observance.dates.get(..self.dates).unwrap_or(&observance.dates);
        self.dates -= dates.len();
        if dates.len() < observance.dates.len() {
            faults.add(&format!("has more than {MAX_DATES} RDATEs; the rest is left out"));
        }
        let mut rules = Vec::new();
        for text in &observance.rules {
            let counted = usize::from(text.to_ascii_uppercase().contains("COUNT"));
            if self.rules == 0 || self.counted < counted {
                faults.add("has too many RRULEs; the rest is left out");
                break;
            }
            self.rules -= 1;
            self.counted -= counted;
            match Rule::parse(text) {
                Ok(rule) => rules.push(rule),
                Err(error) => faults.add(&format!("has a rule that is left out: {error}")),
            }
        }
        Judged { observance, dates, rules }
    }
}

struct Faults<'a> {
    zone: &'a str,
    sentences: Vec<String>,
}

impl Faults<'_> {
    fn add(&mut self, what: &str) {
        /// One sentence a kind is plenty; a hostile zone has thousands.
        const MAX_FAULTS: usize = 10;
        if self.sentences.len() < MAX_FAULTS {
            let zone: String = self.zone.chars().take(80).collect();
            self.sentences.push(format!("VTIMEZONE '{zone}' {what}"));
        }
    }
}

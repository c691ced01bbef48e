//! A zone that an object defines for itself: VTIMEZONE (RFC 5545, 3.6.5), as plain data. What its offsets are at a
//! given moment is worked out by [`super::transitions`].

use jiff::civil::DateTime;

use crate::calendar::rrule::Rule;
use crate::text::first_chars;

/// UTC offsets are less than a day.
const MAX_OFFSET: i32 = 86_399;

/// Bounds on one VTIMEZONE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ZoneLimits {
    /// STANDARDs and DAYLIGHTs. The fullest real zones, with each change since 1880 written out, have 250.
    pub max_zone_observances: usize,
    /// RDATEs, of all of them together.
    pub max_zone_dates: usize,
    /// RRULEs, of all of them together.
    pub max_zone_rules: usize,
    /// RRULEs with COUNT, which have to be counted out to find their end.
    pub max_zone_counts: usize,
}

impl Default for ZoneLimits {
    fn default() -> ZoneLimits {
        ZoneLimits { max_zone_observances: 500, max_zone_dates: 10_000, max_zone_rules: 500, max_zone_counts: 8 }
    }
}

/// A VTIMEZONE as plain data: what its properties say, values not yet judged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct VTimezone {
    /// TZID, without quotes.
    pub tzid: String,
    /// STANDARD and DAYLIGHT, in the order of the text.
    pub observances: Vec<Observance>,
    /// What is more than these is left out.
    pub limits: ZoneLimits,
}

/// STANDARD or DAYLIGHT: an offset, and when it begins to hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Observance {
    /// DAYLIGHT rather than STANDARD.
    pub daylight: bool,
    /// DTSTART: the first onset, in the local time of the offset before it.
    pub start: DateTime,
    /// TZOFFSETFROM: seconds east of UTC before an onset.
    pub offset_from: i32,
    /// TZOFFSETTO: seconds east of UTC from an onset on.
    pub offset_to: i32,
    /// The values of its RRULEs, as written.
    pub rules: Vec<String>,
    /// Its RDATEs: further onsets, in the local time of the offset before them.
    pub dates: Vec<DateTime>,
}

/// What can be used of a VTIMEZONE, and what cannot.
pub(super) struct JudgedZone<'a> {
    pub observances: Vec<Judged<'a>>,
    /// What is wrong with the rest, a sentence each.
    pub faults: Vec<String>,
}

/// An observance whose rules are read and whose offsets are possible.
pub(super) struct Judged<'a> {
    pub observance: &'a Observance,
    pub dates: &'a [DateTime],
    pub rules: Vec<Rule>,
}

impl VTimezone {
    /// Whether it has summer time.
    pub(super) fn has_daylight(&self) -> bool {
        self.observances.iter().any(|observance| observance.daylight)
    }

    /// What is wrong with it, a sentence each; what is wrong is left out when the zone is evaluated.
    pub fn faults(&self) -> Vec<String> {
        self.judge().faults
    }

    /// Reads its rules, and checks its offsets and limits.
    pub(super) fn judge(&self) -> JudgedZone<'_> {
        let mut faults = Faults { zone: &self.tzid, sentences: Vec::new() };
        let mut judged = Vec::new();
        let limits = self.limits;
        let (dates, rules, counts) = (limits.max_zone_dates, limits.max_zone_rules, limits.max_zone_counts);
        let mut left = Left { dates, rules, counts, limits };
        for observance in self.observances.iter().take(limits.max_zone_observances) {
            let possible = |offset: i32| (-MAX_OFFSET..=MAX_OFFSET).contains(&offset);
            if !possible(observance.offset_from) || !possible(observance.offset_to) {
                faults.add("has an offset of a day or more; that observance is left out");
                continue;
            }
            judged.push(left.judge(observance, &mut faults));
        }
        if self.observances.len() > limits.max_zone_observances {
            faults.too_many(limits.max_zone_observances, "observances", "max_zone_observances");
        }
        if judged.is_empty() {
            faults.add("has no STANDARD or DAYLIGHT that can be used");
        }
        JudgedZone { observances: judged, faults: faults.sentences }
    }
}

/// What a zone may still have.
struct Left {
    dates: usize,
    rules: usize,
    counts: usize,
    limits: ZoneLimits,
}

impl Left {
    fn judge<'a>(&mut self, observance: &'a Observance, faults: &mut Faults<'_>) -> Judged<'a> {
        let dates = observance.dates.get(..self.dates).unwrap_or(&observance.dates);
        self.dates -= dates.len();
        if dates.len() < observance.dates.len() {
            faults.too_many(self.limits.max_zone_dates, "RDATEs", "max_zone_dates");
        }
        let mut rules = Vec::new();
        for text in &observance.rules {
            let counted = usize::from(text.to_ascii_uppercase().contains("COUNT"));
            if self.rules == 0 {
                faults.too_many(self.limits.max_zone_rules, "RRULEs", "max_zone_rules");
                break;
            }
            if self.counts < counted {
                faults.too_many(self.limits.max_zone_counts, "RRULEs with COUNT", "max_zone_counts");
                break;
            }
            self.rules -= 1;
            self.counts -= counted;
            match Rule::read(text) {
                Ok(read) => {
                    read.slips.iter().for_each(|slip| faults.add(&format!("has a slip: {slip}")));
                    rules.push(read.rule);
                }
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
    fn too_many(&mut self, limit: usize, what: &str, key: &str) {
        self.add(&format!("has more than {limit} {what}; the rest is left out (limits.{key})"));
    }

    fn add(&mut self, what: &str) {
        /// One sentence a kind is plenty; a hostile zone has thousands.
        const MAX_FAULTS: usize = 10;
        if self.sentences.len() < MAX_FAULTS {
            let zone = first_chars(self.zone, 80);
            self.sentences.push(format!("VTIMEZONE '{zone}' {what}"));
        }
    }
}

//! What a database says of a zone's coming years: its changes, a fingerprint to notice when they are other ones, and
//! where two databases differ.

use std::collections::BTreeSet;
use std::ops::Range;

use chrono::offset::Offset as _;
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use sha2::{Digest as _, Sha256};

use super::{Rules, Zone, Zones};
use crate::time::UtcMillis;

/// What a fingerprint covers: 2025-01-01 to 2100-01-01. The past does not fire.
const FINGERPRINTED: Range<UtcMillis> = UtcMillis(1_735_689_600_000)..UtcMillis(4_102_444_800_000);
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// How far back the beginning of a difference between two zones is looked for: five years.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(5 * 365 * 24);

/// A change of a zone's offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetChange {
    /// The first instant of the new offset.
    pub at: UtcMillis,
    /// Seconds east of UTC from then on.
    pub offset: i32,
}

/// Where two databases begin to say something different of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The IANA id.
    pub zone: String,
    /// The first instant at which the offsets differ; where they differ already, since when, as far back as five years.
    pub from: UtcMillis,
    /// Seconds east of UTC at that instant, in the one and in the other.
    pub offset: i32,
    /// The offset of the other zone, seconds east of UTC.
    pub other: i32,
}

impl Zone {
    /// The changes of the offset after `from` and before `until`, ascending.
    pub fn changes(&self, from: UtcMillis, until: UtcMillis) -> Vec<OffsetChange> {
        let mut before = self.offset(from);
        let candidates: Vec<OffsetChange> = match &self.0.rules {
            Rules::Fixed(_) => Vec::new(),
            Rules::Tzif(zone) => listed(zone, from, until),
            Rules::Own(transitions) => transitions
                .changes(from.seconds(), until.seconds().saturating_sub(1))
                .map(|change| OffsetChange { at: UtcMillis::from_seconds(change.at), offset: change.offset })
                .collect(),
            Rules::Compiled(zone) => searched(*zone, from, until),
        };
        // Data also list changes of the name or of what counts as summer time.
        let differs = |change: &OffsetChange| std::mem::replace(&mut before, change.offset) != change.offset;
        candidates.into_iter().filter(differs).collect()
    }
}

fn listed(zone: &TimeZone, from: UtcMillis, until: UtcMillis) -> Vec<OffsetChange> {
    let changes = zone.following(from.timestamp()).map(|transition| OffsetChange {
        at: UtcMillis(transition.timestamp().as_millisecond()),
        offset: transition.offset().seconds(),
    });
    changes.take_while(|change| change.at < until).collect()
}

/// `chrono-tz` does not list its changes: they are looked for day by day, and then to the second.
fn searched(zone: chrono_tz::Tz, from: UtcMillis, until: UtcMillis) -> Vec<OffsetChange> {
    let offset = |at: UtcMillis| {
        use chrono::TimeZone as _;
        chrono::DateTime::from_timestamp_millis(at.0)
            .map_or(0, |time| zone.offset_from_utc_datetime(&time.naive_utc()).fix().local_minus_utc())
    };
    let mut changes = Vec::new();
    let (mut low, mut before) = (from, offset(from));
    let until = until.min(UtcMillis::MAX);
    while low < until {
        let high = low.saturating_add(DAY).min(UtcMillis(until.0.saturating_sub(1)).max(low));
        let after = offset(high);
        if after != before {
            let (mut same, mut other) = (low, high);
            while other.duration_since(same) > SignedDuration::from_secs(1) {
                let middle = same.saturating_add(other.duration_since(same) / 2).start_of_second();
                if offset(middle) == before { same = middle } else { other = middle }
            }
            changes.push(OffsetChange { at: other.start_of_second(), offset: after });
        }
        before = after;
        low = low.saturating_add(DAY);
    }
    changes
}

impl Zones {
    /// A number that stays the same as long as the database says the same of the coming decades of the zone `id`,
    /// whatever its release and the form of its data. None: it does not know the zone.
    pub fn fingerprint(&self, id: &str) -> Option<u64> {
        let zone = self.find(id)?;
        self.fingerprint_once(id, || fingerprint(&zone))
    }

    /// Where the two databases differ between `from` and `until`: of each zone that both know the first difference, by
    /// id.
    pub fn differences(&self, other: &Zones, from: UtcMillis, until: UtcMillis) -> Vec<Difference> {
        let ids: BTreeSet<&str> = self.ids().collect();
        let both = ids.into_iter().filter_map(|id| Some((id, self.find(id)?, other.find(id)?)));
        both.filter_map(|(id, one, another)| {
            let from = first_difference(&one, &another, from, until)?;
            Some(Difference { zone: id.to_owned(), from, offset: one.offset(from), other: another.offset(from) })
        })
        .collect()
    }
}

fn fingerprint(zone: &Zone) -> u64 {
    let Range { start: from, end: until } = FINGERPRINTED;
    let mut hash = Sha256::new();
    hash.update(zone.offset(from).to_be_bytes());
    for change in zone.changes(from, until) {
        hash.update(change.at.0.to_be_bytes());
        hash.update(change.offset.to_be_bytes());
    }
    hash.finalize().first_chunk().copied().map_or(0, u64::from_be_bytes)
}

/// The first instant between `from` and `until` at which the zones differ; if they do at once, since when they have.
fn first_difference(one: &Zone, other: &Zone, from: UtcMillis, until: UtcMillis) -> Option<UtcMillis> {
    let differ = |at: &UtcMillis| one.offset(*at) != other.offset(*at);
    if differ(&from) {
        let before = from.saturating_sub(LOOK_BACK);
        let past = moments(one, other, before, from);
        return past.into_iter().rev().chain([before]).take_while(differ).last().or(Some(from));
    }
    moments(one, other, from, until).into_iter().find(differ)
}

/// When one of the two changes, ascending. Between these moments nothing new can happen.
fn moments(one: &Zone, other: &Zone, from: UtcMillis, until: UtcMillis) -> Vec<UtcMillis> {
    let changes = one.changes(from, until).into_iter().chain(other.changes(from, until));
    let mut moments: Vec<UtcMillis> = changes.map(|change| change.at).collect();
    moments.sort_unstable();
    moments
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::{Difference, OffsetChange};
    use crate::calendar::zone::{Data, Zone, ZoneData, Zones};
    use crate::time::UtcMillis;

    fn utc(text: &str) -> UtcMillis {
        UtcMillis::parse(text).unwrap()
    }

    fn zone_data(id: &str, data: Data) -> ZoneData {
        ZoneData { id: id.to_owned(), data }
    }

    fn tzif(name: &str) -> Data {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("zoneinfo/tzif").join(name);
        Data::Tzif(Cow::Owned(std::fs::read(path).unwrap()))
    }

    #[test]
    fn changes_of_the_offset_in_a_window() {
        let (from, until) = (utc("2026-03-29T01:00:00Z"), utc("2027-03-28T01:00:00Z"));
        let berlin = Zones::bundled().find("Europe/Berlin").unwrap();
        let autumn = OffsetChange { at: utc("2026-10-25T01:00:00Z"), offset: 3_600 };
        assert_eq!(berlin.changes(from, until), [autumn]);
        assert_eq!(
            berlin.changes(UtcMillis(from.0 - 1), from.just_after()),
            [OffsetChange { at: from, offset: 7_200 }]
        );
        assert_eq!(Zones::bundled().find("Asia/Tokyo").unwrap().changes(from, until), []);
        assert_eq!(Zone::utc().changes(from, until), []);
    }

    #[test]
    fn chrono_tz_has_the_same_changes_where_its_rules_are_the_same() {
        let (from, until) = (utc("2026-01-01T07:30:00Z"), utc("2036-01-01T00:00:00Z"));
        for id in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Kolkata"] {
            let (ours, theirs) = (Zones::bundled().find(id).unwrap(), Zones::compiled().find(id).unwrap());
            assert_eq!(ours.changes(from, until), theirs.changes(from, until), "{id}");
        }
    }

    #[test]
    fn differences_name_the_zone_the_moment_and_both_offsets() {
        // A database in which Berlin has Lisbon's rules, and one zone that no other has.
        let zones =
            [zone_data("Europe/Berlin", tzif("Europe/Lisbon")), zone_data("Europe/Bielefeld", tzif("Europe/Rome"))];
        let odd = Zones::new("2999a", "test", zones.into_iter());
        let (from, until) = (utc("2026-01-01T00:00:00Z"), utc("2027-01-01T00:00:00Z"));
        let found = odd.differences(&Zones::compiled(), from, until);
        let since = utc("2021-01-02T00:00:00Z");
        assert_eq!(found, [Difference { zone: "Europe/Berlin".to_owned(), from: since, offset: 0, other: 3_600 }]);
        assert_eq!(odd.differences(&odd, from, until), []);
    }

    #[test]
    fn a_difference_is_dated_from_when_it_begins() {
        // Helsinki and Kaliningrad: both at +02:00 in winter, an hour apart in summer.
        let zones = |name| Zones::new("", "", [zone_data("X/Y", tzif(name))].into_iter());
        let (helsinki, kaliningrad) = (zones("Europe/Helsinki"), zones("Europe/Kaliningrad"));
        for (from, begin) in [
            ("2026-01-01T00:00:00Z", "2026-03-29T01:00:00Z"),
            ("2026-07-01T00:00:00Z", "2026-03-29T01:00:00Z"),
            ("2026-11-01T00:00:00Z", "2027-03-28T01:00:00Z"),
        ] {
            let found = helsinki.differences(&kaliningrad, utc(from), utc("2028-01-01T00:00:00Z"));
            let expected = Difference { zone: "X/Y".to_owned(), from: utc(begin), offset: 10_800, other: 7_200 };
            assert_eq!(found, [expected], "{from}");
        }
    }

    #[test]
    fn a_fingerprint_depends_on_the_rules_alone() {
        let bundled = Zones::bundled();
        let berlin = bundled.fingerprint("Europe/Berlin");
        assert_eq!(berlin, bundled.fingerprint("Europe/Rome"), "the same since 1980");
        assert_eq!(berlin, Zones::new("1", "", [zone_data("X/Y", tzif("Europe/Rome"))].into_iter()).fingerprint("X/Y"));
        assert_ne!(berlin, bundled.fingerprint("Europe/Lisbon"));
        assert_ne!(bundled.fingerprint("Asia/Tokyo"), bundled.fingerprint("Asia/Kolkata"));
        assert_eq!(bundled.fingerprint("Nowhere/Land"), None);
        // Kept in ledgers: it may not change from one version of the program to the next.
        assert_eq!(bundled.fingerprint("UTC"), Some(0xdf3f_6198_04a9_2fdb));
    }
}

//! The time zone database: zones by their IANA id.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

use jiff::tz::TimeZone;

use super::{Rules, TzidMatch, VTimezone, Zone, names};

/// The compiled zones of the bundled database: id and TZif data, sorted by id.
static BUNDLED: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/tzif.rs"));
const BUNDLED_LINKS: &str = include_str!("../../../zoneinfo/links.tsv");
const BUNDLED_VERSION: &str = include_str!("../../../zoneinfo/VERSION");

/// The longest id that is looked up; the longest real one has 32 letters.
pub(super) const MAX_ID: usize = 64;

/// How many zones of objects are kept; then the cache is emptied. Calendars have a handful.
const MAX_OWN: usize = 256;

/// A time zone database. Clones share one.
#[derive(Clone, Debug)]
pub struct Zones(Arc<Database>);

#[derive(Debug)]
struct Database {
    version: String,
    origin: String,
    /// By id in lower case.
    entries: HashMap<Box<str>, ZoneEntry>,
    /// Zones that objects define for themselves, by what defines them.
    own: Mutex<HashMap<VTimezone, Own>>,
}

/// A zone that an object defines for itself, if it can be evaluated, and what is wrong with its definition.
#[derive(Clone, Debug)]
struct Own {
    zone: Option<Zone>,
    faults: Arc<[String]>,
}

/// One id: where its rules are, and the zone once it was asked for.
#[derive(Debug)]
struct ZoneEntry {
    id: Box<str>,
    data: Data,
    zone: OnceLock<Option<Zone>>,
    /// What [`Zones::fingerprint`] said.
    fingerprint: OnceLock<u64>,
}

/// A zone of a database that is put together.
#[derive(Clone, Debug)]
pub(crate) struct ZoneData {
    pub(crate) id: String,
    pub(crate) data: Data,
}

/// A zone, and what it was found by.
#[derive(Clone, Debug)]
pub struct ResolvedZone {
    /// The zone.
    pub zone: Zone,
    /// How it was found.
    pub tzid_match: TzidMatch,
}

/// Where the rules of one id are.
#[derive(Clone, Debug)]
pub(crate) enum Data {
    /// In a TZif file, which is parsed when it is first needed; `chrono-tz` stands in for one that is broken.
    Tzif(Cow<'static, [u8]>),
    /// In `chrono-tz`.
    Compiled(chrono_tz::Tz),
}

static BUNDLED_ZONES: LazyLock<Zones> = LazyLock::new(|| {
    let zones: HashMap<&str, &'static [u8]> = BUNDLED.iter().copied().collect();
    let links = BUNDLED_LINKS.lines().filter_map(|line| line.split_once('\t'));
    let linked = links.filter_map(|(link, zone)| Some((link, *zones.get(zone)?)));
    let all = BUNDLED.iter().copied().chain(linked);
    let version = BUNDLED_VERSION.split('\t').nth(1).unwrap_or("unknown");
    let zone = |(id, data): (&str, _)| ZoneData { id: id.to_owned(), data: Data::Tzif(Cow::Borrowed(data)) };
    Zones::new(version, "bundled", all.map(zone))
});

impl Zones {
    /// The database that is part of the program.
    pub fn bundled() -> Zones {
        BUNDLED_ZONES.clone()
    }

    /// The database that is compiled into `chrono-tz`.
    pub fn compiled() -> Zones {
        Zones::new(chrono_tz::IANA_TZDB_VERSION, "chrono-tz", std::iter::empty())
    }

    /// A database of `zones`. Ids that it lacks come from `chrono-tz`.
    pub(crate) fn new(version: &str, origin: &str, zones: impl Iterator<Item = ZoneData>) -> Zones {
        let mut entries = HashMap::new();
        let fallback = chrono_tz::TZ_VARIANTS.iter();
        let fallback = fallback.map(|zone| ZoneData { id: zone.name().to_owned(), data: Data::Compiled(*zone) });
        for ZoneData { id, data } in zones.chain(fallback) {
            entries.entry(id.to_ascii_lowercase().into_boxed_str()).or_insert_with(|| ZoneEntry {
                id: id.into_boxed_str(),
                data,
                zone: OnceLock::new(),
                fingerprint: OnceLock::new(),
            });
        }
        Zones(Arc::new(Database {
            version: version.to_owned(),
            origin: origin.to_owned(),
            entries,
            own: Mutex::default(),
        }))
    }

    /// The release of the database, such as `2026f`; `unknown` where a folder does not say.
    pub fn version(&self) -> &str {
        &self.0.version
    }

    /// Where it is from: `bundled`, or the folder.
    pub fn origin(&self) -> &str {
        &self.0.origin
    }

    /// All ids, in no order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.entries.values().map(|entry| &*entry.id)
    }

    /// The zone with the IANA id `id`, in any letter case, spaces around it ignored. Links (`Asia/Calcutta`) keep their
    /// name.
    pub fn find(&self, id: &str) -> Option<Zone> {
        let entry = self.entry(id)?;
        entry.zone.get_or_init(|| entry.read()).clone()
    }

    /// The zone whose id ends in the city `name`, in any letter case; of several the first in the alphabet.
    pub(super) fn of_city(&self, name: &str) -> Option<Zone> {
        let is_city = |id: &&str| id.rsplit_once('/').is_some_and(|(_, city)| city.eq_ignore_ascii_case(name));
        self.find(self.ids().filter(is_city).min()?)
    }

    fn entry(&self, id: &str) -> Option<&ZoneEntry> {
        let id = id.trim();
        let mut buffer = [0; MAX_ID];
        let key = buffer.get_mut(..id.len())?;
        key.copy_from_slice(id.as_bytes());
        key.make_ascii_lowercase();
        self.0.entries.get(std::str::from_utf8(key).ok()?)
    }

    /// What `work` makes of the zone `id`, worked out once.
    pub(super) fn fingerprint_once(&self, id: &str, work: impl FnOnce() -> u64) -> Option<u64> {
        Some(*self.entry(id)?.fingerprint.get_or_init(work))
    }

    /// The zone that `vtimezone` defines, from the cache if it was asked for before.
    fn own(&self, vtimezone: &VTimezone) -> Own {
        let lock = || self.0.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = lock().get(vtimezone) {
            return own.clone();
        }
        let own = Own { zone: Zone::own(vtimezone), faults: vtimezone.faults().into() };
        let mut cache = lock();
        if cache.len() >= MAX_OWN {
            cache.clear();
        }
        cache.insert(vtimezone.clone(), own.clone());
        own
    }

    /// What is wrong with `vtimezone`, a sentence each, from the cache if it was asked for before.
    pub(crate) fn faults_of(&self, vtimezone: &VTimezone) -> Arc<[String]> {
        self.own(vtimezone).faults
    }

    /// The ids that `tzid` would stand for if the database had them, in lower case.
    pub fn unresolved(&self, tzid: &str) -> Vec<String> {
        names::unresolved(self, tzid)
    }

    /// The zone that the parameter `TZID=tzid` means, given the VTIMEZONE of that name and its X-LIC-LOCATION where the
    /// object has them: the IANA zone that one of the names stands for, else the VTIMEZONE as it is, which goes before
    /// an abbreviation (EST) that it has summer time for; else a zone that the name looks like, or the offset that it
    /// states. None: it is unknown.
    pub fn resolve(&self, tzid: &str, x_lic_location: Option<&str>, vtimezone: Option<&VTimezone>) -> Option<Zone> {
        self.resolve_as(tzid, x_lic_location, vtimezone).map(|resolved| resolved.zone)
    }

    /// The same, with what the zone was found by.
    pub fn resolve_as(
        &self,
        tzid: &str,
        x_lic_location: Option<&str>,
        vtimezone: Option<&VTimezone>,
    ) -> Option<ResolvedZone> {
        let by = |tzid_match| move |zone| ResolvedZone { zone, tzid_match };
        let abbreviated = vtimezone.filter(|own| names::is_abbreviation(tzid) && own.has_daylight());
        if let Some(zone) = abbreviated.and_then(|own| self.own(own).zone) {
            return Some(by(TzidMatch::Own)(zone));
        }
        names::zone(self, tzid)
            .or_else(|| Some(ResolvedZone { tzid_match: TzidMatch::Location, ..names::zone(self, x_lic_location?)? }))
            .or_else(|| self.own(vtimezone?).zone.map(by(TzidMatch::Own)))
            .or_else(|| names::likely_zone(self, tzid).map(by(TzidMatch::Likely)))
            .or_else(|| names::offset_zone(tzid).map(by(TzidMatch::Offset)))
    }

    /// The zone whose older or other name `id` is, as the program's own database has it; none: it is not such a name.
    pub fn link_target(id: &str) -> Option<&'static str> {
        let links = BUNDLED_LINKS.lines().filter_map(|line| line.split_once('\t'));
        let mut links = links.filter(|(link, _)| !link.starts_with('#'));
        links.find(|(link, _)| link.eq_ignore_ascii_case(id)).map(|(_, zone)| zone)
    }
}

impl ZoneEntry {
    fn read(&self) -> Option<Zone> {
        let rules = match &self.data {
            Data::Tzif(bytes) => match TimeZone::tzif(&self.id, bytes) {
                Ok(zone) => Rules::Tzif(zone),
                Err(_) => Rules::Compiled(self.id.parse().ok()?),
            },
            Data::Compiled(zone) => Rules::Compiled(*zone),
        };
        Some(Zone::new(&self.id, rules))
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::Zones;
    use crate::calendar::zone::{Ambiguity, CivilInstant};
    use crate::time::UtcMillis;

    #[test]
    fn ids_are_found_in_any_case_and_links_keep_their_name() {
        let zones = Zones::bundled();
        assert_eq!(zones.find(" europe/BERLIN ").unwrap().id(), "Europe/Berlin");
        assert_eq!(zones.find("Asia/Calcutta").unwrap().id(), "Asia/Calcutta");
        for hostile in
            ["", "../../etc/passwd", "Europe", "Factory", "localtime", "posixrules", "zone.tab", "a\0b", "CET-1CEST"]
        {
            assert!(zones.find(hostile).is_none(), "{hostile}");
        }
        assert!(zones.find(&"Z".repeat(100_000)).is_none());
    }

    #[test]
    fn gaps_take_the_offset_before_and_folds_the_first() {
        let berlin = Zones::bundled().find("Europe/Berlin").unwrap();
        let expected = |at, ambiguity| CivilInstant { at: UtcMillis::parse(at).unwrap(), ambiguity };
        let gap = berlin.instant(date(2026, 3, 29).at(2, 30, 0, 0));
        assert_eq!(gap, expected("2026-03-29T01:30:00Z", Ambiguity::Gap));
        let fold = berlin.instant(date(2026, 10, 25).at(2, 30, 0, 0));
        assert_eq!(fold, expected("2026-10-25T00:30:00Z", Ambiguity::Fold));
        let exact = berlin.instant(date(2026, 7, 1).at(9, 0, 0, 0));
        assert_eq!(exact, expected("2026-07-01T07:00:00Z", Ambiguity::Exact));
        assert_eq!(berlin.civil(exact.at), date(2026, 7, 1).at(9, 0, 0, 0));
    }
}

//! What people see of time zones in many languages (`Mitteleuropäische Zeit`), and the IANA zones that this means:
//! CLDR's names, in `zoneinfo/`.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::windows::words;

/// IANA id, language and names, a line each.
const NAMES: &str = include_str!("../../../zoneinfo/names.tsv");

/// IANA ids by the words of their names; none for what would mean two.
static TABLE: LazyLock<HashMap<String, Option<&'static str>>> = LazyLock::new(|| {
    let mut table = HashMap::new();
    for line in NAMES.lines().filter(|line| !line.starts_with('#')) {
        let mut columns = line.split('\t');
        let Some(id) = columns.next() else { continue };
        for name in columns.skip(1) {
            let meant = table.entry(words(name)).or_insert(Some(id));
            *meant = meant.filter(|meant| *meant == id);
        }
    }
    table
});

/// The IANA id for a name of a zone in a language that people speak, for its standard time or its summer time.
pub(super) fn iana_id(name: &str) -> Option<&'static str> {
    let words = words(name);
    // Letters of any script: a name without any is not a name.
    if words.is_empty() {
        return None;
    }
    TABLE.get(&words).copied().flatten()
}

#[cfg(test)]
mod tests {
    use super::{TABLE, iana_id};
    use crate::calendar::zone::Zones;

    #[test]
    fn a_name_in_any_language_means_its_zone() {
        for (name, id) in [
            ("Mitteleuropäische Zeit", "Europe/Paris"),
            ("mitteleuropäische sommerzeit", "Europe/Paris"),
            ("heure normale d’Europe centrale", "Europe/Paris"),
            ("hora de verano de Europa central", "Europe/Paris"),
            ("Ora standard dell’Europa centrale", "Europe/Paris"),
            ("Midden-Europese standaardtijd", "Europe/Paris"),
            ("Москва, стандартное время", "Europe/Moscow"),
            ("日本標準時", "Asia/Tokyo"),
            ("中国标准时间", "Asia/Shanghai"),
            ("Nordamerikanische Ostküstenzeit", "America/New_York"),
            ("Horário Padrão de Brasília", "America/Sao_Paulo"),
            ("India Standard Time", "Asia/Calcutta"),
        ] {
            assert_eq!(iana_id(name), Some(id), "{name}");
        }
        assert_eq!(iana_id("Zeit"), None);
        assert_eq!(iana_id("—"), None);
    }

    #[test]
    fn every_zone_that_is_meant_is_in_the_database() {
        let zones = Zones::bundled();
        assert!(TABLE.len() > 10_000, "{}", TABLE.len());
        for id in TABLE.values().flatten() {
            assert!(zones.find(id).is_some(), "{id}");
        }
    }
}

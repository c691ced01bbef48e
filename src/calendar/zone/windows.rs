//! The names that Windows, Outlook and Exchange give to time zones, and the IANA zones that they stand for: CLDR's
//! `windowsZones` (territory 001) and what Windows shows, both in `zoneinfo/`.

use std::collections::HashMap;
use std::sync::LazyLock;

/// Windows name and IANA id, a line each.
const NAMES: &str = include_str!("../../../zoneinfo/windows.tsv");
/// Shown or retired name and Windows name, a line each.
const ALIASES: &str = include_str!("../../../zoneinfo/windows-aliases.tsv");

struct WindowsNames {
    /// IANA ids by Windows name, in lower case.
    names: HashMap<String, &'static str>,
    /// IANA ids by the words of what Windows shows.
    shown: HashMap<String, &'static str>,
}

static TABLE: LazyLock<WindowsNames> = LazyLock::new(|| {
    let rows = |text: &'static str| {
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('\t'))
    };
    let mut table = WindowsNames { names: HashMap::new(), shown: HashMap::new() };
    for (name, id) in rows(NAMES) {
        table.names.insert(name.to_lowercase(), id);
    }
    for (alias, name) in rows(ALIASES) {
        let Some(id) = table.names.get(&name.to_lowercase()).copied() else { continue };
        if alias.contains(" Standard Time") || alias.contains("://") {
            table.names.insert(alias.to_lowercase(), id);
        } else {
            table.shown.insert(words(alias), id);
        }
    }
    table
});

/// The IANA id for a Windows name (`W. Europe Standard Time`), or for what Windows shows of a zone with its offset in
/// front (`(UTC+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna`; older: `(GMT+01.00) Amsterdam / Berlin / …`).
pub(super) fn iana_id(name: &str) -> Option<&'static str> {
    TABLE.names.get(&name.to_lowercase()).copied().or_else(|| shown(after_offset(name)?))
}

/// The IANA id for a name that is only taken when nothing better is known: one that Windows shows, without its offset,
/// or a Windows name cut short (`W. Europe`) or in its summer form (`Pacific Daylight Time`).
pub(super) fn likely_iana_id(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    let name = without_number(&name);
    let stem = name.strip_suffix(" daylight time").unwrap_or(name);
    let stem = stem.strip_suffix(" standard time").unwrap_or(stem);
    shown(after_offset_of_any_case(name).unwrap_or(name))
        .or_else(|| TABLE.names.get(&format!("{stem} standard time")).copied())
}

/// Without the number that Outlook puts behind a name it has used already: `Eastern Standard Time 1`.
fn without_number(name: &str) -> &str {
    match name.rsplit_once(' ') {
        Some((stem, number)) if number.len() <= 3 && number.bytes().all(|b| b.is_ascii_digit()) => stem,
        _ => name,
    }
}

pub(super) fn after_offset_of_any_case(name: &str) -> Option<&str> {
    name.strip_prefix('(')?.split_once(')').map(|(_, rest)| rest.trim())
}

fn shown(name: &str) -> Option<&'static str> {
    TABLE.shown.get(&words(name)).copied()
}

/// What follows `(UTC+01:00)`, `(GMT-08.00)` or `(UTC)`.
fn after_offset(name: &str) -> Option<&str> {
    let (offset, rest) = name.strip_prefix('(')?.split_once(')')?;
    let digits = offset.strip_prefix("UTC").or_else(|| offset.strip_prefix("GMT"))?;
    let offset = digits.chars().all(|c| c.is_ascii_digit() || "+-−:. ".contains(c));
    offset.then_some(rest)
}

/// The words of a name in lower case with one space between, whatever separates them; a sign stays with its number.
/// `and` and `&`, escaped for XML or not, are not words.
pub(super) fn words(name: &str) -> String {
    let words = all_words(name);
    words.split(' ').filter(|word| !matches!(*word, "and" | "amp")).collect::<Vec<_>>().join(" ")
}

fn all_words(name: &str) -> String {
    let mut words = String::with_capacity(name.len());
    let mut letters = name.chars().peekable();
    while let Some(letter) = letters.next() {
        let sign = matches!(letter, '+' | '-') && letters.peek().is_some_and(char::is_ascii_digit);
        if letter.is_alphanumeric() || sign {
            words.extend(letter.to_lowercase());
        } else if !words.is_empty() && !words.ends_with(' ') {
            words.push(' ');
        }
    }
    words.truncate(words.trim_end().len());
    words
}

#[cfg(test)]
mod tests {
    use super::{TABLE, iana_id, likely_iana_id};
    use crate::calendar::zone::Zones;

    #[test]
    fn windows_names_stand_for_the_zone_of_territory_001() {
        assert_eq!(iana_id("W. Europe Standard Time"), Some("Europe/Berlin"));
        assert_eq!(iana_id("w. europe standard time"), Some("Europe/Berlin"));
        assert_eq!(iana_id("Pacific Standard Time (Mexico)"), Some("America/Tijuana"));
        assert_eq!(iana_id("UTC-02"), Some("Etc/GMT+2"));
        assert_eq!(iana_id("UTC+12"), Some("Etc/GMT-12"));
        assert_eq!(iana_id("Mid-Atlantic Standard Time"), Some("Etc/GMT+2"));
        assert_eq!(iana_id("Kamchatka Standard Time"), Some("Asia/Kamchatka"));
        assert_eq!(iana_id("Customized Time Zone"), None);
        assert_eq!(iana_id("tzone://Microsoft/Custom"), None);
        assert_eq!(iana_id("tzone://Microsoft/Utc"), Some("Etc/UTC"));
    }

    #[test]
    fn what_windows_shows_is_read_with_its_offset_in_front() {
        for shown in [
            "(UTC+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna",
            "(GMT+01.00) Amsterdam / Berlin / Bern / Rome / Stockholm / Vienna",
            "(UTC+01:00) Amsterdam, Berlin, Bern, Rom, Stockholm, Wien",
            "(GMT +01:00) amsterdam,berlin, bern,rome,stockholm , vienna",
        ] {
            assert_eq!(iana_id(shown), Some("Europe/Berlin"), "{shown}");
        }
        assert_eq!(iana_id("(UTC-08:00) Pacific Time (US & Canada)"), Some("America/Los_Angeles"));
        assert_eq!(iana_id("(GMT-08:00) Pacific Time (US & Canada); Tijuana"), Some("America/Los_Angeles"));
        assert_eq!(iana_id("(GMT) Greenwich Mean Time: Dublin, Edinburgh, Lisbon, London"), Some("Europe/London"));
        assert_eq!(iana_id("(UTC) Coordinated Universal Time"), Some("Etc/UTC"));
        assert_eq!(iana_id("(UTC-02:00) Coordinated Universal Time-02"), Some("Etc/GMT+2"));
        assert_eq!(iana_id("(UTC+13:00) Nuku'alofa"), Some("Pacific/Tongatapu"));
        assert_eq!(iana_id("(UTC+05:45) Kathmandu"), Some("Asia/Katmandu"));
        assert_eq!(iana_id("(UTC+01:00) Rome"), None);
        assert_eq!(iana_id("(Company) Hawaii"), None);
        assert_eq!(iana_id("Hawaii"), None);
    }

    #[test]
    fn less_certain_names_are_kept_apart() {
        assert_eq!(likely_iana_id("Hawaii"), Some("Pacific/Honolulu"));
        assert_eq!(likely_iana_id("W. Europe"), Some("Europe/Berlin"));
        assert_eq!(likely_iana_id("Pacific Daylight Time"), Some("America/Los_Angeles"));
        assert_eq!(likely_iana_id("Somewhere"), None);
    }

    #[test]
    fn every_zone_that_a_name_stands_for_is_in_the_database() {
        assert!(TABLE.names.len() > 140 && TABLE.shown.len() > 170, "{} {}", TABLE.names.len(), TABLE.shown.len());
        for (name, id) in TABLE.names.iter().chain(&TABLE.shown) {
            assert!(Zones::bundled().find(id).is_some(), "{name}: {id}");
        }
    }
}

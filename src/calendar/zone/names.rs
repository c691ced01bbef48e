//! Reading TZIDs: which zone of the database the names mean that calendars really contain. Nothing here opens anything;
//! what is not in the database's own list of ids is not a zone.

use super::database::MAX_ID;
use super::{ResolvedZone, TzidMatch, Zone, Zones, shown, windows};

/// The longest TZID that is read as a name.
const MAX_TZID: usize = 255;
/// At most so many ends of a prefixed TZID are kept as unresolved.
const MAX_ENDS: usize = 8;

/// The zone of the database that `tzid` names: by its IANA id, alone or behind a prefix, or by a Windows name.
pub(super) fn zone(zones: &Zones, tzid: &str) -> Option<ResolvedZone> {
    let tzid = bare(tzid)?;
    let by = |tzid_match| move |zone| ResolvedZone { zone, tzid_match };
    if tzid.eq_ignore_ascii_case("Z") {
        return Some(by(TzidMatch::Id)(Zone::utc()));
    }
    let prefixed = || prefixed(zones, tzid).map(by(TzidMatch::Prefixed));
    let windows = || zones.find(windows::iana_id(tzid)?).map(by(TzidMatch::Windows));
    zones.find(tzid).map(by(TzidMatch::Id)).or_else(prefixed).or_else(windows)
}

/// Ids of the database that are abbreviations: whoever defines summer time for one means another zone by it.
const ABBREVIATIONS: [&str; 12] =
    ["EST", "MST", "HST", "EST5EDT", "CST6CDT", "MST7MDT", "PST8PDT", "CET", "MET", "EET", "WET", "GMT"];

/// Abbreviations that are not ids and stand for one zone.
const LIKELY_ABBREVIATIONS: [(&str, &str); 20] = [
    ("EDT", "America/New_York"),
    ("CDT", "America/Chicago"),
    ("MDT", "America/Denver"),
    ("PST", "America/Los_Angeles"),
    ("PDT", "America/Los_Angeles"),
    ("AKST", "America/Anchorage"),
    ("AKDT", "America/Anchorage"),
    ("CEST", "Europe/Berlin"),
    ("MEZ", "Europe/Berlin"),
    ("MESZ", "Europe/Berlin"),
    ("EEST", "Europe/Helsinki"),
    ("WEST", "Europe/Lisbon"),
    ("MSK", "Europe/Moscow"),
    ("JST", "Asia/Tokyo"),
    ("KST", "Asia/Seoul"),
    ("HKT", "Asia/Hong_Kong"),
    ("AEST", "Australia/Sydney"),
    ("AEDT", "Australia/Sydney"),
    ("NZST", "Pacific/Auckland"),
    ("NZDT", "Pacific/Auckland"),
];

/// Whether `tzid` is an id of the database that is an abbreviation.
pub(super) fn is_abbreviation(tzid: &str) -> bool {
    bare(tzid).is_some_and(|tzid| ABBREVIATIONS.iter().any(|known| tzid.eq_ignore_ascii_case(known)))
}

/// The zone that `tzid` probably means, if nothing better is known.
pub(super) fn likely_zone(zones: &Zones, tzid: &str) -> Option<Zone> {
    let tzid = bare(tzid)?;
    let abbreviated = || LIKELY_ABBREVIATIONS.iter().find(|(name, _)| tzid.eq_ignore_ascii_case(name));
    let named = zones.find(&tzid.replace(' ', "_")).or_else(|| zones.find(windows::likely_iana_id(tzid)?));
    let shown = || zones.find(shown::iana_id(windows::after_offset_of_any_case(tzid).unwrap_or(tzid))?);
    named.or_else(|| zones.find(abbreviated()?.1)).or_else(|| city_zone(zones, tzid)).or_else(shown)
}

/// The zone of a name as programs show it in any language, `(UTC+01:00) Amsterdam, Berlijn, Bern, Rome`: that of the
/// first city which has the same name in the database and that standard offset.
fn city_zone(zones: &Zones, tzid: &str) -> Option<Zone> {
    let stated = stated_offset(tzid)?;
    stated
        .rest
        .split([',', ';', '/', '(', ')'])
        .map(|city| city.trim().replace(' ', "_"))
        .filter(|city| city.len() > 2)
        .find_map(|city| zones.of_city(&city).filter(|zone| zone.standard_offset() == stated.seconds))
}

/// The zone that is always as far from UTC as `tzid` states: `GMT+02:00`, `(GMT -05:00) …`, `UTC+5`, `+0530`, `(UTC)
/// …`.
pub(super) fn offset_zone(tzid: &str) -> Option<Zone> {
    let tzid = bare(tzid)?;
    let offset = stated_offset(tzid)?.seconds;
    Some(if offset == 0 { Zone::utc() } else { Zone::fixed(tzid, offset) })
}

/// The offset that a name begins with.
struct StatedOffset<'t> {
    /// Seconds east of UTC.
    seconds: i32,
    /// What follows it.
    rest: &'t str,
}

/// The offset that a name begins with. Without brackets nothing may follow it.
fn stated_offset(tzid: &str) -> Option<StatedOffset<'_>> {
    let (stated, rest) = match tzid.strip_prefix('(') {
        Some(inner) => inner.split_once(')')?,
        None => (tzid, ""),
    };
    let upper = stated.trim().to_ascii_uppercase();
    let digits = upper.strip_prefix("UTC").or_else(|| upper.strip_prefix("GMT"));
    let is_named = digits.is_some();
    let digits = digits.unwrap_or(&upper).trim_start_matches(['/', ' ']).trim();
    if digits.is_empty() {
        return is_named.then_some(StatedOffset { seconds: 0, rest });
    }
    let (sign, digits) = match digits.chars().next()? {
        '+' => (1, digits.get(1..)?),
        '-' => (-1, digits.get(1..)?),
        '\u{2212}' | '\u{2013}' => (-1, digits.get(3..)?),
        _ => return None,
    };
    Some(StatedOffset { seconds: sign * seconds_of(digits.trim())?, rest })
}

/// `5`, `05`, `0530`, `05:30`, `5.30` in seconds.
fn seconds_of(digits: &str) -> Option<i32> {
    let (hours, minutes) = match digits.split_once([':', '.']) {
        Some(parts) => parts,
        None if digits.len() > 2 => digits.split_at_checked(digits.len() - 2)?,
        None => (digits, "0"),
    };
    let number =
        |text: &str| (text.len() <= 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?;
    let (hours, minutes): (i32, i32) = (number(hours)?, number(minutes)?);
    (hours <= 18 && minutes < 60).then_some(hours * 3600 + minutes * 60)
}

/// The ids that `tzid` would stand for if the database had them, in lower case: what a later one may know.
pub(super) fn unresolved(zones: &Zones, tzid: &str) -> Vec<String> {
    let Some(tzid) = bare(tzid) else { return Vec::new() };
    let ends = tzid.match_indices('/').filter_map(|(slash, _)| tzid.get(slash + 1..)).take(MAX_ENDS);
    let ends = ends.filter(|end| end.contains('/') || tzid.starts_with('/'));
    let windows = windows::iana_id(tzid).or_else(|| windows::likely_iana_id(tzid));
    let names = std::iter::once(tzid).chain(ends).chain(windows);
    let ids = names.map(|name| name.replace(' ', "_").to_ascii_lowercase());
    let possible = |id: &String| id.len() <= MAX_ID && !id.contains(char::is_whitespace) && zones.find(id).is_none();
    ids.filter(possible).collect()
}

/// Without the spaces and quotes around it; none if that cannot be a name.
fn bare(tzid: &str) -> Option<&str> {
    let bare = tzid.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\''));
    let name = bare.len() <= MAX_TZID && !bare.is_empty() && !bare.contains(char::is_control);
    name.then_some(bare)
}

/// The zone whose id is the end of a longer name (`/mozilla.org/20050126_1/Europe/Berlin`). A single word at the end
/// counts only in a globally unique TZID, one that begins with a slash (RFC 5545, 3.8.3.1): `Office/Singapore` may be
/// anything.
fn prefixed(zones: &Zones, tzid: &str) -> Option<Zone> {
    if tzid.split('/').any(|segment| matches!(segment, "." | "..")) {
        return None;
    }
    let ends = tzid.match_indices('/').filter_map(|(slash, _)| tzid.get(slash + 1..));
    ends.filter(|end| end.contains('/') || tzid.starts_with('/')).find_map(|end| zones.find(end))
}

#[cfg(test)]
mod tests {
    use super::{likely_zone, offset_zone, unresolved, zone};
    use crate::calendar::zone::Zones;

    fn id(tzid: &str) -> Option<String> {
        zone(&Zones::bundled(), tzid).map(|resolved| resolved.zone.id().to_owned())
    }

    #[test]
    fn an_iana_id_in_any_case_between_quotes_and_spaces() {
        for tzid in [
            "Europe/Berlin",
            "europe/berlin",
            "EUROPE/BERLIN",
            "\"Europe/Berlin\"",
            " Europe/Berlin\t",
            "'Europe/Berlin'",
        ] {
            assert_eq!(id(tzid).as_deref(), Some("Europe/Berlin"), "{tzid}");
        }
        assert_eq!(id("US/Eastern").as_deref(), Some("US/Eastern"));
        assert_eq!(id("EST5EDT").as_deref(), Some("EST5EDT"));
    }

    #[test]
    fn the_names_of_utc() {
        for (tzid, expected) in
            [("UTC", "UTC"), ("utc", "UTC"), ("Z", "UTC"), ("Etc/UTC", "Etc/UTC"), ("GMT", "GMT"), ("Zulu", "Zulu")]
        {
            assert_eq!(id(tzid).as_deref(), Some(expected));
        }
        assert_eq!(id("tzone://Microsoft/Utc").as_deref(), Some("Etc/UTC"));
    }

    #[test]
    fn an_iana_id_behind_a_prefix() {
        for tzid in [
            "/mozilla.org/20050126_1/Europe/Berlin",
            "/freeassociation.sourceforge.net/Europe/Berlin",
            "/freeassociation.sourceforge.net/Tzfile/Europe/Berlin",
            "/citadel.org/20210210_1/Europe/Berlin",
            "/softwarestudio.org/Olson_20011030_5/Europe/Berlin",
            "http://www.tzurl.org/zoneinfo/Europe/Berlin",
            "posix/Europe/Berlin",
        ] {
            assert_eq!(id(tzid).as_deref(), Some("Europe/Berlin"), "{tzid}");
        }
        let three = "/mozilla.org/20070129_1/America/Argentina/Buenos_Aires";
        assert_eq!(id(three).as_deref(), Some("America/Argentina/Buenos_Aires"));
        assert_eq!(id("/freeassociation.sourceforge.net/UTC").as_deref(), Some("UTC"));
        assert_eq!(id("Office/Singapore"), None);
    }

    #[test]
    fn names_that_are_not_known_yet_are_unresolved() {
        let zones = Zones::bundled();
        let expected = ["america/new_land", "new_land"];
        assert_eq!(unresolved(&zones, "/x/America/New Land")[2..], expected);
        assert_eq!(unresolved(&zones, "Mars/Olympus"), ["mars/olympus"]);
        assert!(unresolved(&zones, "Europe/Berlin").is_empty());
        assert!(unresolved(&zones, &"x".repeat(200)).is_empty());
        assert!(unresolved(&zones, &"/x".repeat(120)).len() <= 9);
    }

    #[test]
    fn windows_names() {
        assert_eq!(id("W. Europe Standard Time").as_deref(), Some("Europe/Berlin"));
        assert_eq!(id("\"(UTC+01:00) Brussels, Copenhagen, Madrid, Paris\"").as_deref(), Some("Europe/Paris"));
        assert_eq!(id("Customized Time Zone"), None);
    }

    #[test]
    fn names_that_are_likely() {
        let likely = |tzid: &str| likely_zone(&Zones::bundled(), tzid).map(|zone| zone.id().to_owned());
        for (tzid, expected) in [
            ("(UTC-05:00) Eastern Time (US and Canada)", "America/New_York"),
            ("(UTC-08:00) Pacific Time (US &amp; Canada)", "America/Los_Angeles"),
            ("Eastern Standard Time 1", "America/New_York"),
            ("GMT Standard Time 12", "Europe/London"),
            ("(UTC+01:00) Amsterdam, Berlijn, Bern, Rome, Stockholm, Wenen", "Europe/Berlin"),
            ("(UTC+02:00) Helsingfors, Kiev, Riga, Sofia", "Europe/Kiev"),
            ("(UTC+01:00) Br\u{fc}ssel, Kopenhagen, Madrid, Paris", "Europe/Paris"),
            ("(UTC+09:00) \u{c9}saka, Sapporo, Tokyo", "Asia/Tokyo"),
            ("(UTC-03:00) La Plata, Buenos Aires", "America/Argentina/Buenos_Aires"),
            ("Mitteleurop\u{e4}ische Zeit", "Europe/Paris"),
            ("(GMT+01:00) Mitteleurop\u{e4}ische Zeit", "Europe/Paris"),
            ("PDT", "America/Los_Angeles"),
            ("cest", "Europe/Berlin"),
        ] {
            assert_eq!(likely(tzid).as_deref(), Some(expected), "{tzid}");
        }
        assert_eq!(likely("(UTC+05:00) Paris"), None, "that is another Paris");
        assert_eq!(likely("IST"), None, "Ireland, Israel and India have it");
    }

    #[test]
    fn names_that_state_an_offset() {
        let offset = |tzid: &str| offset_zone(tzid).map(|zone| zone.standard_offset());
        for (tzid, seconds) in [
            ("GMT+02:00", 7_200),
            ("GMT+2", 7_200),
            ("UTC-5", -18_000),
            ("(GMT -05:00)", -18_000),
            ("(GMT-05.00) Somewhere", -18_000),
            ("(UTC) Koordinerad universell tid", 0),
            ("+0530", 19_800),
            ("GMT/+01.00", 3_600),
            ("(GMT +1)", 3_600),
            ("UTC+05:45", 20_700),
            ("(UTC\u{2212}03:00) X", -10_800),
            ("(GMT) X", 0),
        ] {
            assert_eq!(offset(tzid), Some(seconds), "{tzid}");
        }
        for tzid in
            ["", "()", "(Company) Hawaii", "5", "GMT+2 and more", "+99:00", "UTC+1:60", "(UTC+1", "+", "GMT+12345"]
        {
            assert_eq!(offset(tzid), None, "{tzid}");
        }
    }

    #[test]
    fn what_is_no_zone_stays_none() {
        let long = "Z".repeat(100_000);
        let deep = "/".repeat(200_000);
        for tzid in [
            "",
            "\"\"",
            "/",
            "//",
            "../../../../../../etc/passwd",
            "Europe/../../../../etc/shadow",
            "../zoneinfo/Europe/Berlin",
            "Europe/./Berlin",
            "posix/../posixrules",
            "posixrules",
            "/x/posixrules",
            "Factory",
            "localtime",
            "Europe",
            "Europe/",
            "zone.tab",
            "tzdata.zi",
            "Europe/Berlin\0",
            "Europe\0/Berlin",
            "CET-1CEST,M3.5.0,M10.5.0/3",
            "http://127.0.0.1:1/tz",
            "Nowhere/Land",
            "ünïcode/zöne",
            &long,
            &deep,
        ] {
            assert_eq!(id(tzid), None, "{:.40}", tzid);
            assert!(likely_zone(&Zones::bundled(), tzid).is_none(), "{:.40}", tzid);
        }
    }
}

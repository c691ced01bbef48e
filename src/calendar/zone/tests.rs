//! Zones that objects define for themselves, and the odd corners of the database's.

use jiff::civil::DateTime;
use jiff::{SignedDuration, Span, ToSpan as _};
use proptest::prelude::*;

use super::{Ambiguity, CivilInstant, Observance, VTimezone, Zone, ZoneLimits, Zones};
use crate::time::UtcMillis;

fn civil(text: &str) -> DateTime {
    DateTime::strptime("%Y%m%dT%H%M%S", text).unwrap()
}

fn utc(text: &str) -> UtcMillis {
    UtcMillis::parse(text).unwrap()
}

fn placed(at: UtcMillis, ambiguity: Ambiguity) -> CivilInstant {
    CivilInstant { at, ambiguity }
}

fn observance(daylight: bool, start: &str, offsets: (i32, i32), rules: &[&str]) -> Observance {
    Observance {
        daylight,
        start: civil(start),
        offset_from: offsets.0,
        offset_to: offsets.1,
        rules: rules.iter().map(|rule| (*rule).to_owned()).collect(),
        dates: Vec::new(),
    }
}

fn own(observances: Vec<Observance>) -> Zone {
    let vtimezone = VTimezone { tzid: "Own".to_owned(), observances, ..VTimezone::default() };
    assert_eq!(vtimezone.faults(), Vec::<String>::new());
    Zones::bundled().resolve("Own", None, Some(&vtimezone)).unwrap()
}

fn iana(id: &str) -> Zone {
    Zones::bundled().find(id).unwrap()
}

/// Both zones agree on every half hour near each change between the two years, and on every day at 09:00.
fn assert_same(own: &Zone, iana: &Zone, years: std::ops::Range<i16>) {
    let last = jiff::civil::date(years.end, 1, 1).at(0, 0, 0, 0);
    let mut day = jiff::civil::date(years.start, 1, 1).at(9, 0, 0, 0);
    while day < last {
        assert_eq!(own.instant(day), iana.instant(day), "{day}");
        let changes = iana.instant(day).at.saturating_sub(SignedDuration::from_hours(24));
        if iana.offset(changes) != iana.offset(iana.instant(day).at) {
            for half_hours in -60..20 {
                let near = day + (30 * half_hours).minutes();
                assert_eq!(own.instant(near), iana.instant(near), "{near}");
                let at = iana.instant(day).at.saturating_add(SignedDuration::from_mins(30 * half_hours));
                assert_eq!(own.civil(at), iana.civil(at), "{at}");
            }
        }
        day += 1.day();
    }
}

fn new_york() -> Vec<Observance> {
    let (est, edt) = (-18_000, -14_400);
    vec![
        observance(true, "19870405T020000", (est, edt), &["FREQ=YEARLY;BYMONTH=4;BYDAY=1SU;UNTIL=20060402T070000Z"]),
        observance(false, "19871025T020000", (edt, est), &["FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU;UNTIL=20061029T060000Z"]),
        observance(true, "20070311T020000", (est, edt), &["FREQ=YEARLY;BYMONTH=3;BYDAY=2SU"]),
        observance(false, "20071104T020000", (edt, est), &["FREQ=YEARLY;BYMONTH=11;BYDAY=1SU"]),
    ]
}

#[test]
fn old_and_new_rules_of_the_united_states() {
    assert_same(&own(new_york()), &iana("America/New_York"), 1988..2020);
    assert_same(&own(new_york()), &iana("America/New_York"), 2036..2040);
    assert_same(&own(new_york()), &iana("America/New_York"), 2098..2102);
}

#[test]
fn european_rules_right_past_2037_and_2099() {
    let (cet, cest) = (3_600, 7_200);
    let berlin = own(vec![
        observance(true, "19960331T020000", (cet, cest), &["FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU"]),
        observance(false, "19961027T030000", (cest, cet), &["FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU"]),
    ]);
    assert_same(&berlin, &iana("Europe/Berlin"), 1997..2010);
    assert_same(&berlin, &iana("Europe/Berlin"), 2090..2110);
    for zone in [&berlin, &iana("Europe/Berlin")] {
        assert_eq!(zone.instant(civil("21000701T090000")), placed(utc("2100-07-01T07:00:00Z"), Ambiguity::Exact));
        assert_eq!(zone.instant(civil("99980701T090000")), placed(utc("9998-07-01T07:00:00Z"), Ambiguity::Exact));
    }
}

#[test]
fn outlook_begins_in_1601() {
    let outlook = own(vec![
        observance(false, "16010101T030000", (7_200, 3_600), &["FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=10"]),
        observance(true, "16010101T020000", (3_600, 7_200), &["FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=3"]),
    ]);
    assert_same(&outlook, &iana("Europe/Berlin"), 2015..2030);
}

#[test]
fn rules_of_the_south() {
    let (standard, summer) = (36_000, 39_600);
    let sydney = own(vec![
        observance(false, "20080406T030000", (summer, standard), &["FREQ=YEARLY;BYMONTH=4;BYDAY=1SU"]),
        observance(true, "20081005T020000", (standard, summer), &["FREQ=YEARLY;BYMONTH=10;BYDAY=1SU"]),
    ]);
    assert_same(&sydney, &iana("Australia/Sydney"), 2009..2042);
}

#[test]
fn summer_time_that_is_the_standard_as_in_dublin() {
    let dublin = own(vec![
        observance(false, "19960331T010000", (0, 3_600), &["FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU"]),
        observance(true, "19961027T020000", (3_600, 0), &["FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU"]),
    ]);
    assert_same(&dublin, &iana("Europe/Dublin"), 1997..2040);
}

#[test]
fn before_the_first_onset_holds_what_it_comes_from() {
    let zone = own(new_york());
    assert_eq!(zone.instant(civil("19870405T013000")), placed(utc("1987-04-05T06:30:00Z"), Ambiguity::Exact));
    assert_eq!(zone.instant(civil("19700701T090000")), placed(utc("1970-07-01T14:00:00Z"), Ambiguity::Exact));
    assert_eq!(zone.instant(civil("00010101T000000")), placed(utc("0001-01-01T05:00:00Z"), Ambiguity::Exact));
    // The first onset is the earliest one, wherever it stands in the text.
    let mut turned = new_york();
    turned.reverse();
    assert_eq!(own(turned).instant(civil("19700701T090000")).at, utc("1970-07-01T14:00:00Z"));
}

#[test]
fn a_fixed_offset_and_offsets_with_seconds() {
    let fixed = own(vec![observance(false, "19700101T000000", (19_800, 19_800), &[])]);
    assert_eq!(fixed.instant(civil("20260310T090000")), placed(utc("2026-03-10T03:30:00Z"), Ambiguity::Exact));
    let local_mean = own(vec![
        observance(false, "18800101T000000", (3_208, 3_208), &[]),
        observance(false, "18930401T000000", (3_208, 3_600), &[]),
    ]);
    assert_eq!(local_mean.instant(civil("18900101T120000")), placed(utc("1890-01-01T11:06:32Z"), Ambiguity::Exact));
    assert_eq!(local_mean.instant(civil("18930401T000300")), placed(utc("1893-03-31T23:09:32Z"), Ambiguity::Gap));
    assert_eq!(local_mean.offset(utc("2026-01-01T00:00:00Z")), 3_600);
    assert_eq!(local_mean.civil(utc("1893-03-31T23:06:31Z")), civil("18930331T235959"));
    assert_eq!(local_mean.civil(utc("1893-03-31T23:06:32Z")), civil("18930401T000632"));
}

#[test]
fn onsets_that_are_written_out() {
    let (winter, summer) = (7_200, 10_800);
    let mut daylight = observance(true, "20240329T020000", (winter, summer), &[]);
    daylight.dates = vec![civil("20260327T020000"), civil("20250328T020000")];
    let mut standard = observance(false, "20241027T020000", (summer, winter), &[]);
    standard.dates = vec![civil("20251026T020000"), civil("20261025T020000")];
    let zone = own(vec![daylight, standard]);
    assert_same(&zone, &iana("Asia/Jerusalem"), 2025..2027);
    for year in [2030, 2050, 9000] {
        let (local, expected) = (format!("{year}0701T090000"), format!("{year}-07-01T07:00:00Z"));
        assert_eq!(zone.instant(civil(&local)).at, utc(&expected), "the last one stays");
    }
}

#[test]
fn a_rule_that_ended_long_ago_still_says_what_holds() {
    let summer_for_good = own(vec![
        observance(false, "19800101T000000", (0, 0), &[]),
        observance(true, "19810329T010000", (0, 3_600), &["FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU;UNTIL=19850331T010000Z"]),
    ]);
    for year in ["1990", "2026", "2100", "9000"] {
        assert_eq!(summer_for_good.offset(utc(&format!("{year}-01-01T00:00:00Z"))), 3_600, "{year}");
    }
    assert_eq!(summer_for_good.offset(utc("1981-01-01T00:00:00Z")), 0);

    // What counts is the last onset of each rule, not its first: winter time, of 1985.
    let winter_for_good = own(vec![
        observance(false, "19801026T020000", (3_600, 0), &["FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU;UNTIL=19851027T010000Z"]),
        observance(true, "19810329T010000", (0, 3_600), &["FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU;UNTIL=19850331T010000Z"]),
    ]);
    for year in ["1986", "1990", "2026", "2100", "9000"] {
        assert_eq!(winter_for_good.offset(utc(&format!("{year}-07-01T00:00:00Z"))), 0, "{year}");
    }
    assert_eq!(winter_for_good.offset(utc("1985-07-01T00:00:00Z")), 3_600);
}

#[test]
fn until_in_utc_includes_the_onset_at_that_instant() {
    // The last onset is 2020-03-29T01:00:00Z, 02:00 in local time before it.
    let zone = own(vec![
        observance(
            true,
            "20180325T020000",
            (3_600, 7_200),
            &["FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU;UNTIL=20200329T010000Z"],
        ),
        observance(false, "20181028T030000", (7_200, 3_600), &["FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU"]),
    ]);
    assert_eq!(zone.offset(utc("2020-07-01T00:00:00Z")), 7_200);
    assert_eq!(zone.offset(utc("2021-07-01T00:00:00Z")), 3_600);
}

#[test]
fn database_before_custom_and_custom_before_nothing() {
    let zones = Zones::bundled();
    let lying = |tzid: &str| VTimezone {
        tzid: tzid.to_owned(),
        observances: vec![observance(false, "19700101T000000", (-36_000, -36_000), &[])],
        ..VTimezone::default()
    };
    let resolved = |tzid: &str, location: Option<&str>| {
        zones.resolve(tzid, location, Some(&lying(tzid))).map(|zone| (zone.id().to_owned(), zone.is_own()))
    };
    let database = |id: &str| Some((id.to_owned(), false));
    assert_eq!(resolved("Europe/Berlin", None), database("Europe/Berlin"));
    assert_eq!(resolved("/mozilla.org/20050126_1/Europe/Berlin", None), database("Europe/Berlin"));
    assert_eq!(resolved("W. Europe Standard Time", None), database("Europe/Berlin"));
    assert_eq!(resolved("Custom", Some("Europe/Berlin")), database("Europe/Berlin"));
    assert_eq!(resolved("Custom", Some("Nowhere")), Some(("Custom".to_owned(), true)));
    assert_eq!(resolved("Customized Time Zone", None), Some(("Customized Time Zone".to_owned(), true)));
    assert_eq!(resolved("W. Europe", None), Some(("W. Europe".to_owned(), true)));
    assert_eq!(zones.resolve("W. Europe", None, None).unwrap().id(), "Europe/Berlin");
    assert_eq!(zones.resolve("America/New York", None, None).unwrap().id(), "America/New_York");
    assert!(zones.resolve("Custom", None, None).is_none());
}

#[test]
fn what_cannot_be_used_of_a_vtimezone_is_a_fault_and_the_rest_holds() {
    let empty = VTimezone { tzid: "Empty".to_owned(), ..VTimezone::default() };
    assert!(Zones::bundled().resolve("Empty", None, Some(&empty)).is_none());
    assert_eq!(empty.faults(), ["VTIMEZONE 'Empty' has no STANDARD or DAYLIGHT that can be used"]);

    let broken = VTimezone {
        tzid: "Broken".to_owned(),
        observances: vec![
            observance(false, "19700101T000000", (3_600, 3_600), &["FREQ=SOMETIMES"]),
            observance(true, "19800101T000000", (3_600, 90_000), &[]),
        ],
        ..VTimezone::default()
    };
    assert_eq!(broken.faults().len(), 2, "{:?}", broken.faults());
    let zone = Zones::bundled().resolve("Broken", None, Some(&broken)).unwrap();
    assert_eq!(zone.offset(utc("2026-01-01T00:00:00Z")), 3_600);
}

#[test]
fn hostile_rules_cost_little_and_change_nothing_else() {
    let secondly = own(vec![
        observance(false, "19700101T000000", (0, 3_600), &["FREQ=SECONDLY"]),
        observance(true, "19700101T000001", (3_600, 7_200), &["FREQ=SECONDLY;INTERVAL=2"]),
    ]);
    let offset = secondly.offset(utc("2026-03-10T08:15:00Z"));
    assert!([3_600, 7_200].contains(&offset), "{offset}");
    assert!((0..1_000).all(|n| secondly.instant(civil("20260310T091500") + Span::new().minutes(n)).at > UtcMillis(0)));

    // Two changes a day since 1601.
    let restless = own(vec![
        observance(false, "16010101T020000", (7_200, 3_600), &["FREQ=DAILY"]),
        observance(true, "16010101T140000", (3_600, 7_200), &["FREQ=DAILY"]),
    ]);
    assert_eq!(restless.instant(civil("20260310T091500")), placed(utc("2026-03-10T08:15:00Z"), Ambiguity::Exact));
    assert_eq!(restless.instant(civil("20260310T141500")), placed(utc("2026-03-10T13:15:00Z"), Ambiguity::Gap));

    let many = VTimezone {
        tzid: "Many".to_owned(),
        observances: (0..2_000)
            .map(|n| observance(false, "19700101T000000", (n, n + 1), &["FREQ=DAILY;COUNT=1000000000;BYDAY=MO"]))
            .collect(),
        ..VTimezone::default()
    };
    assert!(many.faults().len() >= 2);
    let zone = Zones::bundled().resolve("Many", None, Some(&many)).unwrap();
    assert!(zone.instant(civil("20260310T091500")).at > UtcMillis(0));
}

#[test]
fn limit_of_an_own_zone_at_it_and_above() {
    let other = ZoneLimits { max_zone_observances: 3, max_zone_dates: 4, max_zone_rules: 5, max_zone_counts: 2 };
    for limits in [ZoneLimits::default(), other] {
        let faults = |observances: Vec<Observance>| {
            let faults = VTimezone { tzid: "Large".to_owned(), observances, limits }.faults();
            faults.iter().map(|fault| fault.split_once("(limits.").unwrap().1.to_owned()).collect::<Vec<_>>()
        };
        let plain = || observance(false, "19700101T000000", (0, 3_600), &[]);
        let observances = |count| faults(vec![plain(); count]);
        // They count together.
        let dates = |count: usize| {
            let two = [count / 2, count - count / 2];
            faults(two.map(|count| Observance { dates: vec![plain().start; count], ..plain() }).to_vec())
        };
        let rules = |rule: &str, count| faults(vec![Observance { rules: vec![rule.to_owned(); count], ..plain() }]);
        let (yearly, counted) = ("FREQ=YEARLY", "FREQ=YEARLY;COUNT=3");
        let at_it = [
            observances(limits.max_zone_observances),
            dates(limits.max_zone_dates),
            rules(yearly, limits.max_zone_rules),
            rules(counted, limits.max_zone_counts),
        ];
        assert_eq!(at_it, [const { Vec::<String>::new() }; 4]);
        assert_eq!(observances(limits.max_zone_observances + 1), ["max_zone_observances)"]);
        assert_eq!(dates(limits.max_zone_dates + 1), ["max_zone_dates)"]);
        assert_eq!(rules(yearly, limits.max_zone_rules + 1), ["max_zone_rules)"]);
        assert_eq!(rules(counted, limits.max_zone_counts + 1), ["max_zone_counts)"]);
    }
}

#[test]
fn times_at_the_ends_of_the_calendar_are_moved_into_range() {
    for zone in [iana("Europe/Berlin"), iana("Pacific/Kiritimati"), own(new_york()), Zone::utc()] {
        for at in [UtcMillis::MIN, UtcMillis::MAX, UtcMillis(i64::MIN), UtcMillis(i64::MAX)] {
            let _ = zone.civil(at);
        }
        assert_eq!(zone.instant(DateTime::MIN).at, UtcMillis::MIN);
        assert_eq!(zone.instant(DateTime::MAX).at, UtcMillis::MAX);
    }
}

#[test]
fn odd_corners_of_the_database() {
    let corners = [
        // Negative summer time.
        ("Europe/Dublin", "20260329T013000", "2026-03-29T01:30:00Z", Ambiguity::Gap),
        ("Europe/Dublin", "20261025T013000", "2026-10-25T00:30:00Z", Ambiguity::Fold),
        // Half an hour.
        ("Australia/Lord_Howe", "20261004T021500", "2026-10-03T15:45:00Z", Ambiguity::Gap),
        ("Australia/Lord_Howe", "20260405T014500", "2026-04-04T14:45:00Z", Ambiguity::Fold),
        // Whole days left out.
        ("Pacific/Apia", "20111230T120000", "2011-12-30T22:00:00Z", Ambiguity::Gap),
        ("Pacific/Kiritimati", "19941231T120000", "1994-12-31T22:00:00Z", Ambiguity::Gap),
        // Midnight left out.
        ("America/Havana", "20250309T000000", "2025-03-09T05:00:00Z", Ambiguity::Gap),
        ("America/Santiago", "20260906T000000", "2026-09-06T04:00:00Z", Ambiguity::Gap),
        ("America/Santiago", "20260404T233000", "2026-04-05T02:30:00Z", Ambiguity::Fold),
        // Ramadan.
        ("Africa/Casablanca", "20260218T023000", "2026-02-18T02:30:00Z", Ambiguity::Exact),
        // Past the tables.
        ("America/New_York", "20500313T023000", "2050-03-13T07:30:00Z", Ambiguity::Gap),
        ("Australia/Sydney", "21500101T090000", "2149-12-31T22:00:00Z", Ambiguity::Exact),
    ];
    for (id, local, expected, ambiguity) in corners {
        assert_eq!(iana(id).instant(civil(local)), placed(utc(expected), ambiguity), "{id} {local}");
    }
}

fn any_observance() -> impl Strategy<Value = Observance> {
    let rule = prop_oneof![
        (1..=12, -1..=4_i32)
            .prop_map(|(month, n)| format!("FREQ=YEARLY;BYMONTH={month};BYDAY={}SU", if n == 0 { 1 } else { n })),
        (1..=28).prop_map(|day| format!("FREQ=MONTHLY;BYMONTHDAY={day}")),
        Just("FREQ=YEARLY;INTERVAL=3".to_owned()),
        Just("FREQ=WEEKLY;BYDAY=WE".to_owned()),
        Just("FREQ=YEARLY;COUNT=5".to_owned()),
    ];
    let offset = || (-14..=14_i32).prop_map(|hours| hours * 3_600);
    let start = (1950..2030_i16, 1..=12_i8, 1..=28_i8, 0..24_i8);
    (start, offset(), offset(), proptest::collection::vec(rule, 0..2)).prop_map(
        |((year, month, day, hour), offset_from, offset_to, rules)| Observance {
            daylight: false,
            start: jiff::civil::date(year, month, day).at(hour, 0, 0, 0),
            offset_from,
            offset_to,
            rules,
            dates: Vec::new(),
        },
    )
}

proptest! {
    /// Whatever an object defines: an instant's wall-clock time leads back to the first instant that shows it, and a
    /// time that no instant shows is called a gap.
    #[test]
    fn walls_and_instants_of_any_definition_agree(
        observances in proptest::collection::vec(any_observance(), 1..4),
        hours in 0..400_000_i64,
    ) {
        let zone = own(observances);
        let at = utc("1990-01-01T00:00:00Z").saturating_add(SignedDuration::from_hours(hours));
        let shown = zone.civil(at);
        let CivilInstant { at: first, ambiguity } = zone.instant(shown);
        prop_assert!(first <= at && zone.civil(first) == shown);
        // Every instant that shows this time, by trying all offsets there are.
        let showing = |local: DateTime| -> Vec<UtcMillis> {
            let middle = Zone::utc().instant(local).at;
            let near = (-29..=29).map(|n| middle.saturating_add(SignedDuration::from_hours(n)));
            near.filter(|near| zone.civil(*near) == local).collect()
        };
        let all = showing(shown);
        prop_assert_eq!(all.first().copied(), Some(first));
        prop_assert_eq!(ambiguity, if all.len() > 1 { Ambiguity::Fold } else { Ambiguity::Exact });
        let later = shown.saturating_add(SignedDuration::from_hours(hours % 60));
        let CivilInstant { at: placed, ambiguity } = zone.instant(later);
        let all = showing(later);
        prop_assert_eq!(ambiguity == Ambiguity::Gap, all.is_empty());
        if let Some(first) = all.first() {
            prop_assert_eq!(placed, *first);
        }
    }

    /// No name opens a zone that is not in the database's own list.
    #[test]
    fn any_name_is_a_listed_zone_or_none(name in "(/|\\.\\./|Europe/|right/|posix/|\\(UTC\\+01:00\\) )?\\PC{0,40}(/Berlin|Standard Time)?") {
        if let Some(zone) = Zones::bundled().resolve(&name, Some(&name), None) {
            prop_assert!(zone.fixed_offset().is_some() || Zones::bundled().find(zone.id()).is_some());
        }
    }
}

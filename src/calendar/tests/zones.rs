//! Rules 10 to 12: zones.

use super::{Case, vevent};

const OFFICE: &str = "BEGIN:VTIMEZONE\nTZID:Office\nBEGIN:STANDARD\nDTSTART:19700101T000000\nTZOFFSETFROM:+0530\n\
    TZOFFSETTO:+0530\nEND:STANDARD\nEND:VTIMEZONE\n";

fn zoned(tzid: &str) -> Case {
    Case::event(&format!("DTSTART;TZID={tzid}:20260710T090000"), &["PT0S"])
}

#[test]
fn rule_10_names_in_their_order() {
    for (tzid, instances) in [
        ("Asia/Tokyo", "20260710T000000Z"),
        ("\"Asia/Tokyo\"", "20260710T000000Z"),
        ("/mozilla.org/20050126_1/America/New_York", "20260710T130000Z"),
        ("/freeassociation.sourceforge.net/Tzfile/America/New_York", "20260710T130000Z"),
        ("Eastern Standard Time", "20260710T130000Z"),
        ("Nowhere/Land", "20260710T070000Z"),
    ] {
        assert_eq!(zoned(tzid).instances(), [instances], "{tzid}");
    }
    assert_eq!(zoned("Asia/Tokyo:20260710T090000Z\nX").instances(), ["20260710T090000Z"], "Z wins");
}

#[test]
fn rule_10_an_unknown_zone_is_the_users_with_a_warning() {
    let case = zoned("Nowhere/Land").context(|context| context.with_user_zone(Some("Asia/Tokyo"), None));
    assert_eq!(case.instances(), ["20260710T000000Z"]);
    let warning = "6: the time zone 'Nowhere/Land' is unknown: its times are taken in the user's, Asia/Tokyo";
    assert_eq!(case.faults(), [warning]);
    assert_eq!(case.zone_name(), "Asia/Tokyo");
}

#[test]
fn rule_10_the_objects_own_zone_wherever_it_stands() {
    let event = vevent("DTSTART;TZID=Office:20260710T090000", &["PT0S"]);
    for text in [format!("{OFFICE}{event}"), format!("{event}\n{OFFICE}")] {
        let case = Case::new(&text);
        assert_eq!(case.instances(), ["20260710T033000Z"]);
        assert_eq!(case.zone_name(), "Office");
    }
    let located = format!("{}{event}", OFFICE.replace("TZID:Office", "TZID:Office\nX-LIC-LOCATION:Asia/Tokyo"));
    assert_eq!(Case::new(&located).instances(), ["20260710T000000Z"], "X-LIC-LOCATION names an IANA zone");
    let contradicting = OFFICE.replace("Office", "Asia/Tokyo") + &event.replace("Office", "Asia/Tokyo");
    assert_eq!(Case::new(&contradicting).instances(), ["20260710T000000Z"], "the IANA rules are newer");
}

#[test]
fn rule_10_names_with_commas_are_found_escaped_or_not() {
    let zone = OFFICE.replace("TZID:Office", "TZID:North\\, Pole");
    for tzid in ["\"North, Pole\"", "North\\, Pole"] {
        let event = vevent(&format!("DTSTART;TZID={tzid}:20260710T090000"), &["PT0S"]);
        assert_eq!(Case::new(&format!("{zone}{event}")).instances(), ["20260710T033000Z"], "{tzid}");
    }
}

#[test]
fn rule_10_what_is_wrong_with_a_zone_that_is_used_is_a_fault_of_the_object() {
    let event = vevent("DTSTART;TZID=Office:20260710T090000", &["PT0S"]);
    let broken = OFFICE.replace("END:STANDARD", "RRULE:FREQ=SOMETIMES\nEND:STANDARD");
    let case = Case::new(&format!("{broken}{event}"));
    assert_eq!(case.instances(), ["20260710T033000Z"], "the rest of the zone holds");
    let [fault] = &case.faults()[..] else { panic!("{:?}", case.faults()) };
    assert!(fault.starts_with("4: VTIMEZONE 'Office' has a rule that is left out: "), "{fault}");
    let empty = Case::new(&format!("BEGIN:VTIMEZONE\nTZID:Office\nEND:VTIMEZONE\n{event}"));
    assert_eq!(empty.faults()[0], "4: VTIMEZONE 'Office' has no STANDARD or DAYLIGHT that can be used");
    // An IANA id has the rules of the database; the definition is not read.
    let unused = broken.replace("Office", "Asia/Tokyo") + &event.replace("Office", "Asia/Tokyo");
    assert_eq!(Case::new(&unused).faults(), [""; 0]);
}

#[test]
fn rule_12_the_zones_that_a_later_database_may_know_are_reported() {
    let unresolved = |case: &Case| case.with(|schedule| schedule.unresolved_zones().to_vec());
    let unknown = Case::event("DTSTART;TZID=America/New Land:20260710T090000", &["PT0S"]);
    assert_eq!(unresolved(&unknown), ["america/new_land"]);
    let event = vevent("DTSTART;TZID=Office:20260710T090000", &["PT0S"]);
    assert_eq!(unresolved(&Case::new(&format!("{OFFICE}{event}"))), ["office"]);
    assert_eq!(unresolved(&Case::event("DTSTART;TZID=Europe/Berlin:20260710T090000", &["PT0S"])), [""; 0]);
    let floating = Case::event("DTSTART:20260710T090000", &["PT0S"])
        .context(|context| context.with_calendar_zone(Some("America/New_Land")));
    assert_eq!(unresolved(&floating), ["america/new_land"]);
}

#[test]
fn rule_11_floating_times_are_the_calendars_then_the_users() {
    let floating = || Case::event("DTSTART:20260710T090000", &["PT0S"]);
    let named =
        |case: Case| Case { text: case.text.replace("VERSION:2.0", "VERSION:2.0\nX-WR-TIMEZONE:Asia/Kolkata"), ..case };
    assert_eq!(
        named(floating()).context(|a| a.with_calendar_zone(Some("Asia/Tokyo"))).instances(),
        ["20260710T000000Z"]
    );
    assert_eq!(named(floating()).instances(), ["20260710T033000Z"]);
    assert_eq!(floating().instances(), ["20260710T070000Z"]);
    assert_eq!(floating().context(|a| a.with_user_zone(None, Some("Europe/London"))).instances(), ["20260710T080000Z"]);
    let without_zone = floating().context(|a| a.with_user_zone(None, None));
    assert_eq!(without_zone.instances(), ["20260710T090000Z"]);
    assert_eq!(without_zone.zone_name(), "[floating]");
    assert_eq!(floating().zone_name(), "Europe/Berlin");
}

#[test]
fn rule_11_a_calendars_zone_may_be_a_vtimezone() {
    let wrapped = format!("BEGIN:VCALENDAR\r\n{OFFICE}END:VCALENDAR\r\n");
    for text in [wrapped.as_str(), OFFICE] {
        let case = Case::event("DTSTART;VALUE=DATE:20260710", &["PT9H"]).context(|a| a.with_calendar_zone(Some(text)));
        assert_eq!(case.instances(), ["20260710T033000Z"]);
    }
    let unknown = Case::event("DTSTART;VALUE=DATE:20260710", &["PT9H"]);
    assert_eq!(unknown.context(|a| a.with_calendar_zone(Some("Nowhere/Land"))).instances(), ["20260710T070000Z"]);
}

#[test]
fn rule_11_a_tzid_on_a_date_is_ignored() {
    let case = Case::event("DTSTART;VALUE=DATE;TZID=Asia/Tokyo:20260710", &["PT0S"]);
    assert_eq!(case.instances(), ["20260709T220000Z"]);
    assert_eq!(case.zone_name(), "Europe/Berlin");
}

#[test]
fn rule_12_the_zones_that_the_times_depend_on_are_reported() {
    let zones = |case: Case| case.with(|schedule| schedule.zones().to_vec());
    assert_eq!(zones(zoned("Asia/Tokyo")), ["Asia/Tokyo"]);
    assert_eq!(zones(Case::event("DTSTART;VALUE=DATE:20260710", &["PT0S"])), ["Europe/Berlin"]);
    assert_eq!(zones(zoned("Eastern Standard Time")), ["America/New_York"]);
    assert_eq!(zones(Case::event("DTSTART:20260710T090000Z", &["PT0S"])), [""; 0]);
    assert_eq!(zones(Case::event("DTSTART:20260710T090000Z", &["TRIGGER:20260710T080000"])), ["Europe/Berlin"]);
}

#[test]
fn rule_26_all_day_alarms_at_seven_over_both_nights_on_which_clocks_change() {
    let at = |time: &str, zone: &str, properties: &str, triggers: &[&str]| {
        let time = time.parse().ok();
        let mut case = Case::event(properties, triggers).context(|context| context.with_user_zone(Some(zone), None));
        case.context.all_day_at = time;
        case.instances().join(" ")
    };
    let (berlin, new_york) = ("Europe/Berlin", "America/New_York");
    for (zone, date, trigger, expected) in [
        (berlin, "20260310", "PT0S", "20260310T060000Z"),
        (berlin, "20260329", "-P1D", "20260328T060000Z"),
        (berlin, "20260329", "PT0S", "20260329T050000Z"),
        (berlin, "20260330", "-P1D", "20260329T050000Z"),
        (berlin, "20260330", "-PT24H", "20260329T050000Z"),
        (berlin, "20260330", "-P1W", "20260323T060000Z"),
        (berlin, "20261025", "-P1D", "20261024T050000Z"),
        (berlin, "20261025", "PT0S", "20261025T060000Z"),
        (berlin, "20261026", "-P1D", "20261025T060000Z"),
        // The user lives in New York from now on.
        (new_york, "20260310", "PT0S", "20260310T110000Z"),
        (new_york, "20260329", "PT0S", "20260329T110000Z"),
        (new_york, "20260308", "PT0S", "20260308T110000Z"),
        (new_york, "20261101", "PT0S", "20261101T120000Z"),
        // What has a time of its own stays at it.
        (berlin, "20260330", "-PT15H", "20260329T070000Z"),
        (berlin, "20260310", "PT9H", "20260310T080000Z"),
        (berlin, "20260310", "TRIGGER;VALUE=DATE-TIME:20260309T230000Z", "20260309T230000Z"),
        (berlin, "20260310", "TRIGGER;RELATED=END:PT0S", "20260311T060000Z"),
        (berlin, "20260310\nDTEND:20260310T120000Z", "TRIGGER;RELATED=END:PT0S", "20260310T120000Z"),
    ] {
        assert_eq!(
            at("07:00", zone, &format!("DTSTART;VALUE=DATE:{date}"), &[trigger]),
            expected,
            "{zone} {date} {trigger}"
        );
    }
    // In the first hours, before clocks change, and with repetitions, which count from there.
    assert_eq!(at("01:00", berlin, "DTSTART;VALUE=DATE:20260329", &["PT0S"]), "20260329T000000Z");
    let repeated = "TRIGGER:PT0S\nREPEAT:1\nDURATION:PT1H";
    assert_eq!(at("07:00", berlin, "DTSTART;VALUE=DATE:20261025", &[repeated]), "20261025T060000Z 20261025T070000Z");
    assert_eq!(at("07:00", berlin, "DTSTART:20260310T000000", &["PT0S"]), "20260309T230000Z", "it is not all-day");
    let daily = at("07:00", berlin, "DTSTART;VALUE=DATE:20260328\nRRULE:FREQ=DAILY;COUNT=3", &["PT0S"]);
    assert_eq!(daily, "20260328T060000Z 20260329T050000Z 20260330T050000Z");
}

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

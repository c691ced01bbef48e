//! Rule 24: so many instances an hour and no more. And the other limits of an object, each at the limit and one above
//! it.

use super::{Case, alarm, at, vevent};
use crate::calendar::ical::object::{Object, ObjectLimits};
use crate::time::UtcMillis;

fn capped(case: Case, max_alarms_per_hour: u32) -> Case {
    case.context(|mut context| {
        context.limits.max_alarms_per_hour = max_alarms_per_hour;
        context
    })
}

#[test]
fn rule_24_the_first_instances_of_an_hour_and_no_more() {
    let secondly = Case::event("DTSTART:20260310T085950Z\nRRULE:FREQ=SECONDLY", &["PT0S"]);
    secondly.with(|schedule| {
        let instances = schedule.instances(at("2026-03-10T08:00")..at("2026-03-10T11:00"));
        assert_eq!(instances.len(), 10 + 120 + 120);
        assert_eq!(instances[129].at, UtcMillis::parse("2026-03-10T09:01:59Z").unwrap());
        assert_eq!(schedule.suppressed(at("2026-03-10T08:00")..at("2026-03-10T11:00")), 2 * 3480);
        // What is first in its hour does not depend on where the window begins.
        assert!(schedule.instances(at("2026-03-10T09:02")..at("2026-03-10T10:00")).is_empty());
        assert_eq!(schedule.suppressed(at("2026-03-10T09:59")..at("2026-03-10T10:00")), 60);
        assert_eq!(schedule.instances(at("2026-03-10T09:01")..at("2026-03-10T10:00")).len(), 60);
        assert_eq!(schedule.next_instance(at("2026-03-10T09:02")), Some(at("2026-03-10T10:00")));
        assert_eq!(schedule.next_instance(at("2026-03-10T09:01")), Some(at("2026-03-10T09:01")));
    });
}

#[test]
fn rule_24_many_alarms_of_one_event_are_capped_as_well() {
    let triggers: Vec<String> = (0..10).map(|n| format!("-PT{n}M")).collect();
    let triggers: Vec<&str> = triggers.iter().map(String::as_str).collect();
    let case = capped(Case::event("DTSTART:20260310T090000Z\nRRULE:FREQ=DAILY", &triggers), 4);
    let instances = case.between("2026-03-10", "2026-03-11");
    assert_eq!(
        instances,
        ["20260310T085100Z", "20260310T085200Z", "20260310T085300Z", "20260310T085400Z", "20260310T090000Z"]
    );
    assert_eq!(case.following("2026-03-10", 5), instances);
    assert_eq!(case.with(|schedule| schedule.suppressed(at("2026-03-10")..at("2026-03-11"))), 5);
}

#[test]
fn rule_24_one_event_does_not_silence_another_in_its_file() {
    let loud = vevent("DTSTART:20260310T090000Z\nRRULE:FREQ=SECONDLY", &["PT0S"]);
    let quiet = vevent("DTSTART:20260310T095900Z", &["PT0S"]).replace("UID:u", "UID:quiet");
    let case = Case::new(&format!("{loud}\n{quiet}"));
    case.with(|schedule| {
        let instances = schedule.instances(at("2026-03-10T09:00")..at("2026-03-10T10:00"));
        assert_eq!(instances.len(), 121);
        assert_eq!(&*instances[120].component.uid, "quiet");
    });
}

#[test]
fn rule_24_all_events_of_a_file_fire_ten_times_as_often_as_one_may_and_no_more() {
    let events = |count: usize| -> String {
        let one = |n: usize| {
            let start = format!("DTSTART:20260310T09{:02}00Z\nRRULE:FREQ=DAILY", n / 4);
            vevent(&start, &["PT0S"]).replace("UID:u", &format!("UID:u{n}")) + "\n"
        };
        (0..count).map(one).collect()
    };
    let hour = at("2026-03-10T09:00")..at("2026-03-10T10:00");
    // Within what all may have, nothing is looked at twice.
    let fired =
        |count: usize| capped(Case::new(&events(count)), 2).with(|schedule| schedule.instances(hour.clone()).len());
    assert_eq!([fired(19), fired(20), fired(21), fired(60)], [19, 20, 20, 20]);
    capped(Case::new(&events(60)), 2).with(|schedule| {
        assert_eq!(schedule.suppressed(hour.clone()), 40);
        assert_eq!(schedule.next_instance(at("2026-03-10T09:04")), Some(at("2026-03-10T09:04")));
        assert_eq!(schedule.instances(at("2026-03-10T09:04")..at("2026-03-10T09:06")).len(), 4);
        assert_eq!(schedule.next_instance(at("2026-03-10T09:05")), Some(at("2026-03-11T09:00")));
        assert_eq!(schedule.suppressed(at("2026-03-10T09:05")..at("2026-03-10T09:06")), 4);
    });
}

#[test]
fn rule_24_what_fires_as_one_counts_as_one() {
    let case = capped(Case::event("DTSTART:20260310T090000Z", &["PT1M", "PT1M", "PT2M", "PT3M"]), 2);
    assert_eq!(case.instances(), ["20260310T090100Z", "20260310T090200Z"], "{}", alarm("PT1M"));
}

#[test]
fn rule_24_a_limit_of_none_is_silence_not_a_search_without_end() {
    let case = capped(Case::event("DTSTART:20260310T090000Z\nRRULE:FREQ=DAILY", &["PT0S"]), 0);
    assert!(case.following("2026-03-10", 5).is_empty());
}

/// How many faults a case has that speak of a limit.
fn limits_reported(case: &Case) -> usize {
    case.faults().iter().filter(|fault| fault.contains("only the first") && fault.contains("(limits.max_")).count()
}

#[test]
fn limit_of_an_objects_size_at_it_and_above() {
    let text = Case::event("DTSTART:20260310T090000Z", &["PT0S"]).text;
    let limits = |max_object_size| ObjectLimits { max_object_size, ..ObjectLimits::default() };
    assert!(Object::parse(text.as_bytes(), &limits(text.len())).is_ok());
    let refused = Object::parse(text.as_bytes(), &limits(text.len() - 1)).unwrap_err();
    assert!(refused.to_string().contains("limits.max_object_size"), "{refused}");
}

/// `case`, within other limits than the standard ones.
fn within(case: Case, limits: ObjectLimits) -> Case {
    case.context(|mut context| {
        context.limits = limits;
        context
    })
}

#[test]
fn limit_of_alarms_at_it_and_above() {
    let alarms = |count| Case::event("DTSTART:20260310T090000Z", &vec!["PT0S"; count]);
    for max_alarms in [ObjectLimits::default().max_alarms, 3] {
        let limits = ObjectLimits { max_alarms, ..ObjectLimits::default() };
        assert_eq!(limits_reported(&within(alarms(max_alarms), limits)), 0);
        let above = within(alarms(max_alarms + 1), limits);
        assert_eq!((limits_reported(&above), above.instances().len()), (1, 1));
    }
}

#[test]
fn many_birthdays_in_a_file_are_no_more_work_than_it_may_be() {
    let mut birthdays = String::new();
    for n in 0..10_000 {
        let (month, day) = (n % 12 + 1, n % 28 + 1);
        let start = format!("DTSTART;VALUE=DATE:2000{month:02}{day:02}\nRRULE:FREQ=YEARLY;COUNT=80");
        birthdays += &(vevent(&start, &["-P1D", "PT9H"]).replace("UID:u", &format!("UID:u{n}")) + "\n");
    }
    Case::new(&birthdays).with(|schedule| {
        assert_eq!(schedule.next_instance(at("2026-03-10T12:00")), Some(at("2026-03-11T08:00")), "at nine in Berlin");
        let firing_at = schedule.instances(at("2026-03-11T07:00")..at("2026-03-11T09:00"));
        assert!(!firing_at.is_empty());
        assert_eq!(schedule.overworked(), []);
    });
}

#[test]
fn a_file_of_any_number_of_events_fires_for_each() {
    let past = vevent("DTSTART:20200310T090000Z", &["PT0S"]) + "\n";
    let soon = vevent("DTSTART:20260310T090000Z", &["PT0S"]).replace("UID:u", "UID:soon");
    let mut many = String::new();
    for n in 0..ObjectLimits::default().max_alarms {
        many += &past.replace("UID:u", &format!("UID:u{n}"));
    }
    let case = Case::new(&format!("{many}{soon}"));
    assert_eq!(case.following("2026-03-10", 1), ["20260310T090000Z"]);
    assert_eq!(limits_reported(&case), 0);
}

#[test]
fn limit_of_rules_at_it_and_above() {
    let rules =
        |count| Case::event(&format!("DTSTART:20260310T090000Z{}", "\nRRULE:FREQ=DAILY;COUNT=2".repeat(count)), &[]);
    for max_rules in [ObjectLimits::default().max_rules, 2] {
        let limits = ObjectLimits { max_rules, ..ObjectLimits::default() };
        assert_eq!(limits_reported(&within(rules(max_rules), limits)), 0);
        assert_eq!(limits_reported(&within(rules(max_rules + 1), limits)), 1);
        let exceptions = rules(max_rules + 1).text.replace("RRULE", "EXRULE");
        assert_eq!(limits_reported(&within(Case { text: exceptions, ..Case::new("") }, limits)), 1);
    }
}

#[test]
fn limit_of_attendees_at_it_and_above() {
    let line = "ATTENDEE:mailto:mary@example.org";
    let event = |count| Case::event(&format!("DTSTART:20260310T090000Z{}", format!("\n{line}").repeat(count)), &[]);
    let of_alarm = |count| {
        let alarm = format!("TRIGGER:PT0S{}", format!("\n{line}").repeat(count));
        Case::event("DTSTART:20260310T090000Z", &[&alarm])
    };
    for max_attendees in [ObjectLimits::default().max_attendees, 1] {
        let limits = ObjectLimits { max_attendees, ..ObjectLimits::default() };
        assert_eq!(limits_reported(&within(event(max_attendees), limits)), 0);
        assert_eq!(limits_reported(&within(event(max_attendees + 1), limits)), 1);
        assert_eq!(limits_reported(&within(of_alarm(max_attendees), limits)), 0);
        assert_eq!(limits_reported(&within(of_alarm(max_attendees + 1), limits)), 1);
    }
}

#[test]
fn limit_of_nesting_at_it_and_above() {
    // The calendar and the event are two of the components.
    let nested = |inner: usize| {
        let inside = format!("{}{}", "BEGIN:X-A\n".repeat(inner), "END:X-A\n".repeat(inner));
        Case::event(&format!("DTSTART:20260310T090000Z\n{inside}"), &["PT0S"])
    };
    for max_depth in [ObjectLimits::default().max_depth, 8, 500] {
        let limits = ObjectLimits { max_depth, ..ObjectLimits::default() };
        let at_it = within(nested(max_depth - 2), limits);
        assert_eq!((at_it.faults().len(), at_it.instances().len()), (0, 1));
        let above = within(nested(max_depth - 1), limits);
        assert_eq!((above.faults().len(), above.instances().len()), (1, 1));
        assert!(above.faults()[0].contains(&format!("nested deeper than {max_depth}")), "{:?}", above.faults());
    }
}

#[test]
fn limit_of_listed_faults_at_it_and_above() {
    let broken = |count| Case::event(&format!("DTSTART:20260310T090000Z{}", "\nno property".repeat(count)), &["PT0S"]);
    for max_faults in [ObjectLimits::default().max_faults, 2] {
        let limits = ObjectLimits { max_faults, ..ObjectLimits::default() };
        let at_it = within(broken(max_faults), limits).faults();
        assert!(at_it.len() == max_faults && at_it.iter().all(|fault| fault.contains("no property")), "{at_it:?}");
        let above = within(broken(max_faults + 1), limits);
        let explained = above.faults();
        assert!(
            explained.len() == max_faults + 1 && explained.iter().any(|fault| fault.contains("more")),
            "{explained:?}"
        );
        assert_eq!(above.instances().len(), 1);
    }
}

#[test]
fn limit_of_repetitions_at_it_and_above() {
    let most = ObjectLimits::default().max_repeat;
    let repeated = |count: u32| {
        let alarm = format!("TRIGGER:PT0S\nREPEAT:{count}\nDURATION:P1D");
        Case::event("DTSTART:20260310T090000Z", &[&alarm]).instances().len()
    };
    assert_eq!(repeated(most), most as usize + 1);
    assert_eq!(repeated(most + 1), most as usize + 1);
}

#[test]
fn limit_of_work_at_it_and_above() {
    let quiet = vevent("DTSTART:20260310T100000Z\nRRULE:FREQ=DAILY", &["PT0S"]).replace("UID:u", "UID:quiet");
    let within = |loud: &str, max_work: u64| {
        let case = Case::new(&format!("{loud}\n{quiet}")).context(|mut context| {
            context.limits.max_work = max_work;
            context
        });
        case.with(|schedule| {
            let next = schedule.next_instance(at("2026-03-10T09:00"));
            let explained = schedule.overworked();
            let is_loud = explained.is_empty();
            assert_eq!(next, Some(at(if is_loud { "2026-03-10T09:00" } else { "2026-03-10T10:00" })), "{max_work}");
            assert!(explained.iter().all(|fault| fault.text.contains("limits.max_work")), "{explained:?}");
            let instances = schedule.instances(at("2026-03-10T10:00")..at("2026-03-10T10:00").just_after());
            let uids: Vec<&str> = instances.iter().map(|instance| &*instance.component.uid).collect();
            assert!(uids.contains(&"quiet") && uids.contains(&"u") == is_loud, "{max_work}: {uids:?}");
            is_loud
        })
    };
    let triggers: Vec<String> = (0..100).map(|n| format!("PT{n}M")).collect();
    let triggers: Vec<&str> = triggers.iter().map(String::as_str).collect();
    let many = vevent("DTSTART:20260310T090000Z\nRRULE:FREQ=DAILY", &triggers);
    let (mut too_little, mut enough) = (1, ObjectLimits::default().max_work);
    assert!(within(&many, enough) && !within(&many, too_little));
    while too_little + 1 < enough {
        let middle = (too_little + enough) / 2;
        if within(&many, middle) { enough = middle } else { too_little = middle }
    }
    // An alarm of a daily event takes some steps, and a share of what an object may cost is for each UID.
    assert!((100 * 4 * 4..100 * 60 * 4).contains(&enough), "{enough}");
    // What hardly ever comes, many times over.
    let rare = "RRULE:FREQ=MINUTELY;INTERVAL=1439;BYMONTH=2;BYMONTHDAY=29;BYDAY=SU;BYHOUR=1;BYMINUTE=0";
    let rare: String = (0..64).map(|n| rare.replace("1439", &(1439 + n).to_string()) + "\n").collect();
    let rare = vevent(&format!("DTSTART:20260310T090000Z\n{}", rare.trim()), &triggers);
    assert!(!within(&rare, ObjectLimits::default().max_work));
}

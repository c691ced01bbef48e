//! Rule 3: how instances are explained, and alarms that do not fire. Every test of a rule also checks that the
//! explanation agrees with the schedule, in [`super::Case::between`].

use std::path::Path;

use jiff::SignedDuration;

use super::{Case, at, vevent};
use crate::calendar::context::DefaultAlarms;
use crate::calendar::explain::{AlarmStatus, Anchor, DerivationStep, Explanation, GivenBy, StepKind, ZoneOrigin};
use crate::calendar::schedule::inactive::Inactive;
use crate::calendar::zone::{Ambiguity, TzidMatch};

/// Asks about the one UID of a case.
fn explain<T>(case: &Case, from: &str, ask: impl FnOnce(&Explanation<'_>) -> T) -> T {
    case.with(|schedule| {
        let explained = schedule.explain(case.text.as_bytes(), at(from), 1);
        assert_eq!(explained.len(), 1);
        ask(&explained[0])
    })
}

/// The statuses of all alarms of a case, in the order of the text.
fn statuses(case: &Case, from: &str) -> Vec<AlarmStatus> {
    explain(case, from, |explained| {
        explained.components.iter().flat_map(|component| &component.alarms).map(|alarm| alarm.status.clone()).collect()
    })
}

/// `what civil offset instant ambiguity` of each step of the next instance.
fn steps(case: &Case, from: &str) -> Vec<String> {
    let explained = |step: &DerivationStep| {
        let DerivationStep { what, civil, at, offset, ambiguity, .. } = step;
        let what = match what {
            StepKind::Moved(by) => format!("Moved({})", by.as_secs()),
            StepKind::TriggerTime(time) => format!("TriggerTime({})", time.as_secs()),
            StepKind::RepeatDays { nth, days } => format!("RepeatDays({nth}, {days})"),
            StepKind::RepeatTime { nth, time } => format!("RepeatTime({nth}, {})", time.as_secs()),
            what => format!("{what:?}"),
        };
        format!("{what} {civil} {offset} {} {ambiguity:?}", at.basic())
    };
    explain(case, from, |explanation| explanation.instances[0].steps.iter().map(explained).collect())
}

const SERIES: &str =
    "DTSTART;TZID=Europe/Berlin:20260301T090000\nDTEND;TZID=Europe/Berlin:20260301T100000\nRRULE:FREQ=DAILY";

#[test]
fn rule_03_each_step_of_an_instance_is_shown_with_its_civil_time_its_offset_and_its_instant() {
    let case = Case::event("DTSTART;TZID=Europe/Berlin:20260329T090000\nRRULE:FREQ=WEEKLY", &["-P1DT2H30M"]);
    let expected = [
        "Occurrence 2026-03-29T09:00:00 7200 20260329T070000Z Exact",
        "TriggerDays(-1) 2026-03-28T09:00:00 3600 20260328T080000Z Exact",
        "TriggerTime(-9000) 2026-03-28T06:30:00 3600 20260328T053000Z Exact",
    ];
    assert_eq!(steps(&case, "2026-03-01"), expected);
    explain(&case, "2026-03-01", |explained| {
        assert_eq!(explained.instances[0].given, GivenBy::Rule(&explained.components[0].component.rules[0]));
        let zone = explained.instances[0].zone.as_ref().unwrap();
        assert_eq!(zone.origin, ZoneOrigin::Tzid(TzidMatch::Id));
        assert_eq!(zone.tzid.as_deref(), Some("Europe/Berlin"));
        let dates: Vec<_> = explained.components[0].dates.iter().map(|date| date.written.as_deref().unwrap()).collect();
        assert_eq!(dates, ["DTSTART;TZID=Europe/Berlin:20260329T090000"]);
        let alarm = &explained.components[0].alarms[0];
        assert_eq!((alarm.written.as_deref(), alarm.anchor), (Some("TRIGGER:-P1DT2H30M"), Anchor::Start));
    });
}

#[test]
fn rule_03_a_gap_and_a_fold_are_shown_with_what_was_chosen() {
    let gap = Case::event("DTSTART;TZID=Europe/Berlin:20260329T023000", &["PT0S"]);
    assert_eq!(steps(&gap, "2026-03-01"), ["Occurrence 2026-03-29T02:30:00 3600 20260329T013000Z Gap"]);
    let fold = Case::event("DTSTART;TZID=Europe/Berlin:20261025T023000", &["-PT5M"]);
    let expected = [
        "Occurrence 2026-10-25T02:30:00 7200 20261025T003000Z Fold",
        "TriggerTime(-300) 2026-10-25T02:25:00 7200 20261025T002500Z Exact",
    ];
    assert_eq!(steps(&fold, "2026-03-01"), expected);
    // This day has no midnight: it begins at 01:00.
    let day = Case::event("DTSTART;VALUE=DATE:20181104", &["PT0S"])
        .context(|context| context.with_user_zone(Some("America/Sao_Paulo"), None));
    assert_eq!(steps(&day, "2018-11-01"), ["Occurrence 2018-11-04T00:00:00 -10800 20181104T030000Z Gap"]);
}

#[test]
fn rule_03_the_end_the_repetitions_and_a_moved_series_are_steps() {
    let case = Case::event(SERIES, &["TRIGGER;RELATED=END:-PT10M\nREPEAT:1\nDURATION:PT5M"]);
    let expected = [
        "Occurrence 2026-03-28T09:00:00 3600 20260328T080000Z Exact",
        "End 2026-03-28T10:00:00 3600 20260328T090000Z Exact",
        "TriggerTime(-600) 2026-03-28T09:50:00 3600 20260328T085000Z Exact",
        "RepeatTime(1, 300) 2026-03-28T09:55:00 3600 20260328T085500Z Exact",
    ];
    assert_eq!(steps(&case, "2026-03-28T08:51"), expected);
    let moved = "RECURRENCE-ID;TZID=Europe/Berlin;RANGE=THISANDFUTURE:20260310T090000\n\
                 DTSTART;TZID=Europe/Berlin:20260310T110000";
    let case = Case::new(&format!("{}\n{}", vevent(SERIES, &["PT0S"]), vevent(moved, &["-PT1H"])));
    let expected = [
        "Occurrence 2026-03-12T09:00:00 3600 20260312T080000Z Exact",
        "Moved(7200) 2026-03-12T11:00:00 3600 20260312T100000Z Exact",
        "TriggerTime(-3600) 2026-03-12T10:00:00 3600 20260312T090000Z Exact",
    ];
    assert_eq!(steps(&case, "2026-03-12"), expected);
}

#[test]
fn rule_03_it_is_shown_what_gives_an_occurrence() {
    let given = |case: &Case, from: &str| explain(case, from, |explained| format!("{}", explained.instances[0].given));
    assert_eq!(given(&Case::event("DTSTART:20260301T090000Z", &["PT0S"]), "2026-01-01"), "it occurs once");
    let dates = Case::event(
        "DTSTART:20260301T090000Z\nRDATE:20260303T090000Z\nRDATE;VALUE=PERIOD:20260305T090000Z/PT1H",
        &["PT0S"],
    );
    assert_eq!(given(&dates, "2026-01-01"), "DTSTART, the first occurrence");
    assert_eq!(given(&dates, "2026-03-02"), "RDATE");
    assert_eq!(given(&dates, "2026-03-04"), "RDATE");
    assert_eq!(given(&Case::event(SERIES, &["PT0S"]), "2026-03-02"), "RRULE:FREQ=DAILY in line 8");
    let single = "RECURRENCE-ID;TZID=Europe/Berlin:20260310T090000\nDTSTART;TZID=Europe/Berlin:20260310T110000";
    let case = Case::new(&format!("{}\n{}", vevent(SERIES, &["PT0S"]), vevent(single, &["PT0S"])));
    assert_eq!(given(&case, "2026-03-10T09:00"), "an override (RECURRENCE-ID)");
    let absolute = Case::event(SERIES, &["TRIGGER;VALUE=DATE-TIME:20260308T120000Z"]);
    assert_eq!(given(&absolute, "2026-03-08"), "the trigger alone, whatever recurs");
    let snooze = Case::event(&format!("{SERIES}\nX-MOZ-SNOOZE-TIME:20260308T121500Z"), &["PT0S"]);
    assert_eq!(given(&snooze, "2026-03-08T12:00"), "a snooze (X-MOZ-SNOOZE-TIME)");
}

#[test]
fn rule_03_it_is_shown_where_a_zone_comes_from() {
    let from = |case: &Case| {
        explain(case, "2026-01-01", |explained| {
            let zone = explained.components[0].dates[0].zone.clone().unwrap();
            (zone.zone.id().to_owned(), zone.origin)
        })
    };
    let tzid = |tzid: &str| from(&Case::event(&format!("DTSTART;TZID=\"{tzid}\":20260310T090000"), &["PT0S"]));
    let named = |id: &str, tzid_match| (id.to_owned(), ZoneOrigin::Tzid(tzid_match));
    assert_eq!(tzid("America/New_York"), named("America/New_York", TzidMatch::Id));
    assert_eq!(tzid("/mozilla.org/20050126_1/Asia/Tokyo"), named("Asia/Tokyo", TzidMatch::Prefixed));
    assert_eq!(tzid("W. Europe Standard Time"), named("Europe/Berlin", TzidMatch::Windows));
    assert_eq!(tzid("New York"), ("Europe/Berlin".to_owned(), ZoneOrigin::Unknown));
    let floating = Case::event("DTSTART:20260310T090000", &["PT0S"]);
    assert_eq!(from(&floating), ("Europe/Berlin".to_owned(), ZoneOrigin::User));
    let calendar = floating.context(|context| context.with_calendar_zone(Some("Asia/Tokyo")));
    assert_eq!(from(&calendar), ("Asia/Tokyo".to_owned(), ZoneOrigin::Calendar));
    let without_zone = calendar.context(|context| context.with_calendar_zone(None).with_user_zone(None, None));
    assert_eq!(from(&without_zone), ("UTC".to_owned(), ZoneOrigin::NoZone));
    assert_eq!(from(&Case::event("DTSTART:20260310T090000Z", &["PT0S"])), ("UTC".to_owned(), ZoneOrigin::Utc));
    let zone = |location: &str| {
        let zone = format!(
            "BEGIN:VTIMEZONE\nTZID:Mine\n{location}BEGIN:STANDARD\nDTSTART:19700101T000000\nTZOFFSETFROM:+0300\n\
             TZOFFSETTO:+0300\nEND:STANDARD\nEND:VTIMEZONE\n"
        );
        from(&Case::new(&(zone + &vevent("DTSTART;TZID=Mine:20260310T090000", &["PT0S"]))))
    };
    assert_eq!(zone(""), named("Mine", TzidMatch::Own));
    assert_eq!(zone("X-LIC-LOCATION:Africa/Nairobi\n"), named("Africa/Nairobi", TzidMatch::Location));
}

#[test]
fn rule_03_an_alarm_that_never_fires_has_its_reason() {
    let silent = |case: &Case| match &statuses(case, "2026-01-01")[..] {
        [AlarmStatus::Inactive(inactive)] => inactive.clone(),
        other => panic!("{other:?}"),
    };
    let start = "DTSTART:20260310T090000Z";
    let event = |more: &str| Case::event(&format!("{start}\n{more}"), &["PT0S"]);
    assert_eq!(silent(&event("STATUS:CANCELLED")), Inactive::Cancelled);
    let declined = event("ATTENDEE;PARTSTAT=DECLINED:mailto:mary@example.org")
        .context(|context| context.with_addresses(&["mary@example.org".to_owned()]));
    assert_eq!(silent(&declined), Inactive::Declined("mailto:mary@example.org".into()));
    assert_eq!(silent(&Case::todo(&format!("{start}\nSTATUS:COMPLETED"), &["PT0S"])), Inactive::Completed);
    assert_eq!(silent(&Case::todo("SUMMARY:some day", &["PT0S"])), Inactive::NoDate);
    let alarm = |lines: &str| Case::event(start, &[lines]);
    assert_eq!(silent(&alarm("ACTION:NONE\nTRIGGER:PT0S")), Inactive::Action("NONE".into()));
    assert_eq!(silent(&alarm("TRIGGER:soon")), Inactive::NoTrigger);
    assert_eq!(silent(&alarm("TRIGGER:PT0S\nPROXIMITY:ARRIVE")), Inactive::Proximity);
    let revised = format!("{}\n{}", vevent(start, &["PT0S"]), vevent(&format!("{start}\nSEQUENCE:1"), &["PT0S"]));
    let statuses = statuses(&Case::new(&revised), "2026-01-01");
    assert_eq!(statuses, [AlarmStatus::Inactive(Inactive::Revised), AlarmStatus::Due(at("2026-03-10T09:00"))]);
}

#[test]
fn rule_03_an_alarm_that_no_longer_fires_says_when_it_did_last() {
    let case = Case::event(&format!("{SERIES};COUNT=3"), &["-PT15M", "TRIGGER;VALUE=DATE-TIME:20260308T120000Z"]);
    let expected = [AlarmStatus::Over(at("2026-03-03T07:45")), AlarmStatus::Over(at("2026-03-08T12:00"))];
    assert_eq!(statuses(&case, "2026-04-01"), expected);
    // The series is as old as it likes.
    let old = Case::event("DTSTART:19700101T090000Z\nRRULE:FREQ=HOURLY;UNTIL=20251231T235959Z", &["PT0S"]);
    assert_eq!(statuses(&old, "2026-04-01"), [AlarmStatus::Over(at("2025-12-31T23:00"))]);
}

#[test]
fn rule_03_what_is_acknowledged_or_taken_away_is_shown() {
    let case = Case::event("DTSTART:20260310T090000Z", &["TRIGGER:PT0S\nACKNOWLEDGED:20260310T091500Z"]);
    let (until, instance) = (at("2026-03-10T09:15"), at("2026-03-10T09:00"));
    assert_eq!(statuses(&case, "2026-03-01"), [AlarmStatus::Acknowledged { until, instance }]);
    assert_eq!(statuses(&case, "2026-05-01"), [AlarmStatus::Acknowledged { until, instance }]);
    let absolute = "TRIGGER;VALUE=DATE-TIME:20260310T090000Z\nACKNOWLEDGED:20260310T091500Z";
    assert_eq!(
        statuses(&Case::event(SERIES, &[absolute]), "2026-05-01"),
        [AlarmStatus::Acknowledged { until, instance }]
    );
    let empty = Case::event("DTSTART:20260310T090000Z\nEXDATE:20260310T090000Z", &["PT0S"]);
    assert_eq!(statuses(&empty, "2026-03-01"), [AlarmStatus::TakenAway(instance)]);
}

#[test]
fn rule_03_what_is_withheld_before_the_next_instance_is_shown_with_its_reason() {
    let withheld = |case: &Case, from: &str| {
        explain(case, from, |explained| {
            let explained = explained.withheld.iter();
            explained.map(|withheld| format!("{}: {}", withheld.instance.at.basic(), withheld.why)).collect::<Vec<_>>()
        })
    };
    let more = "EXDATE;TZID=Europe/Berlin:20260303T090000\nEXDATE;VALUE=DATE:20260304\nEXRULE:FREQ=DAILY;COUNT=2";
    let series = vevent(&format!("{SERIES}\n{more}"), &["TRIGGER:PT0S\nACKNOWLEDGED:20260306T080000Z"]);
    let cancelled = "RECURRENCE-ID;TZID=Europe/Berlin:20260305T090000\nDTSTART;TZID=Europe/Berlin:20260305T090000";
    let single = vevent(&format!("{cancelled}\nSTATUS:CANCELLED"), &["PT0S"]);
    let case = Case::new(&format!("{series}\n{single}"));
    let expected = [
        "20260301T080000Z: EXRULE takes this occurrence away",
        "20260302T080000Z: EXRULE takes this occurrence away",
        "20260303T080000Z: EXDATE takes this occurrence away",
        "20260304T080000Z: EXDATE takes this day away",
        "20260305T080000Z: the VEVENT in line 18 takes the place of this occurrence",
        "20260306T080000Z: it is acknowledged: what fires at or before 2026-03-06T08:00:00.000Z is done",
    ];
    assert_eq!(withheld(&case, "2026-03-01"), expected);
    let often = Case::event("DTSTART:20260310T090000Z\nRRULE:FREQ=SECONDLY;COUNT=7200", &["PT0S"]);
    let explained = withheld(&often, "2026-03-10T09:02");
    assert_eq!(explained.len(), 10);
    assert_eq!(explained[0], "20260310T090200Z: its hour has 120 alarms already (limits.max_alarms_per_hour)");
    assert_eq!(statuses(&often, "2026-03-10T09:02"), [AlarmStatus::RateLimited(at("2026-03-10T09:02"))]);
}

#[test]
fn rule_03_default_alarms_are_shown_as_such() {
    let defaults =
        DefaultAlarms::parse(Some("BEGIN:VALARM\nACTION:DISPLAY\nTRIGGER:-PT30M\nEND:VALARM"), None).unwrap();
    let case = Case::event("DTSTART:20260310T090000Z", &[]).context(|mut context| {
        context.default_alarms = Some(defaults);
        context
    });
    explain(&case, "2026-03-01", |explained| {
        assert!(explained.components[0].by_default);
        assert_eq!(explained.components[0].alarms[0].status, AlarmStatus::Due(at("2026-03-10T08:30")));
        assert_eq!(explained.components[0].alarms[0].written, None);
    });
}

#[test]
fn rule_03_alarms_that_fire_as_one_are_shown_once() {
    let case = Case::event("DTSTART:20260310T090000Z", &["-PT60M", "-PT1H"]);
    explain(&case, "2026-03-01", |explained| {
        assert_eq!(explained.instances.len(), 1);
        assert_eq!(explained.instances[0].instance.joined.len(), 1);
        assert!(explained.withheld.is_empty(), "{:?}", explained.withheld);
        let statuses: Vec<_> = explained.components[0].alarms.iter().map(|alarm| alarm.status.clone()).collect();
        assert_eq!(statuses, [AlarmStatus::Due(at("2026-03-10T08:00")), AlarmStatus::Due(at("2026-03-10T08:00"))]);
        assert_eq!(explained.instances[0].steps[1].what, StepKind::TriggerTime(SignedDuration::from_hours(-1)));
        assert_eq!(explained.instances[0].steps[0].ambiguity, Ambiguity::Exact);
    });
}

#[test]
fn rule_24_the_limit_of_all_events_of_an_object_is_a_reason() {
    let event = |n: usize, series: &str| {
        let start = format!("DTSTART:20260310T09{n:02}00Z{series}");
        vevent(&start, &["PT0S"]).replace("UID:u", &format!("UID:u{n}")) + "\n"
    };
    // Ten are all that an object may have where each may have one.
    let daily: String = (0..12).map(|n| event(n, "\nRRULE:FREQ=DAILY")).collect();
    let single: String = (0..12).map(|n| event(n, "")).collect();
    for (text, count) in [(&daily, 3), (&single, 1)] {
        let case = Case::new(text).context(|mut context| {
            context.limits.max_alarms_per_hour = 1;
            context
        });
        case.with(|schedule| {
            let explain = |uid| schedule.explain_uid(uid, text.as_bytes(), at("2026-03-10"), 3).unwrap();
            let tenth = explain("u9");
            assert_eq!((tenth.instances.len(), tenth.withheld.len()), (count, 0));
            assert_eq!(tenth.components[0].alarms[0].status, AlarmStatus::Due(at("2026-03-10T09:09")));
            let eleventh = explain("u10");
            assert!(eleventh.instances.is_empty());
            let suppressed = at("2026-03-10T09:10");
            assert_eq!(eleventh.components[0].alarms[0].status, AlarmStatus::RateLimited(suppressed));
            assert_eq!(eleventh.withheld[0].instance.at, suppressed);
            let why =
                "all events of its object have 10 alarms already in its hour (ten times limits.max_alarms_per_hour)";
            assert_eq!(eleventh.withheld[0].why.to_string(), why);
            assert!(schedule.explain_uid("u12", text.as_bytes(), at("2026-03-10"), 3).is_none());
        });
    }
}

#[test]
fn rule_24_the_next_hour_with_room_is_explained() {
    let others: String = (0..10)
        .map(|n| vevent("DTSTART:20260310T090000Z", &["PT0S"]).replace("UID:u", &format!("UID:other{n}")) + "\n")
        .collect();
    let text = format!("{others}{}", vevent("DTSTART:20260310T090500Z\nRRULE:FREQ=HOURLY;COUNT=3", &["PT0S"]));
    let case = Case::new(&text).context(|mut context| {
        context.limits.max_alarms_per_hour = 1;
        context
    });
    case.with(|schedule| {
        let explained = schedule.explain_uid("u", text.as_bytes(), at("2026-03-10"), 3).unwrap();
        let instants: Vec<_> = explained.instances.iter().map(|derivation| derivation.instance.at).collect();
        assert_eq!(instants, [at("2026-03-10T10:05"), at("2026-03-10T11:05")]);
        let withheld: Vec<_> = explained.withheld.iter().map(|withheld| withheld.instance.at).collect();
        assert_eq!(withheld, [at("2026-03-10T09:05")]);
    });
}

/// The calendars of the examples: what a watched folder holds, and what fuzzing starts from.
#[test]
fn rule_03_the_explanation_of_each_fixture_is_what_its_schedule_does() {
    let mut count = 0;
    for folder in ["examples/calendars", "fuzz/seeds/object"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for file in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let case = Case::new("").context(|context| context.with_user_zone(Some("Asia/Tokyo"), None));
            let case = Case { text, ..case };
            count += case.between("2026-03-20", "2026-04-02").len();
        }
    }
    assert!(count > 1000, "only {count} instances");
}

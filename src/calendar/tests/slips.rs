//! What real calendars write against the standard, and the one reading that it has: a test for each kind.

use super::*;

/// The faults of a case, without their lines.
fn explained(case: &Case) -> Vec<String> {
    case.faults().iter().map(|fault| fault.split_once(": ").unwrap().1.to_owned()).collect()
}

/// A file of these VCALENDARs, each of these lines.
fn file(calendars: &[String]) -> Case {
    let all = calendars.iter().map(|lines| format!("BEGIN:VCALENDAR\nVERSION:2.0\n{lines}\nEND:VCALENDAR\n"));
    Case { text: all.collect(), ..Case::new("") }
}

fn named(uid: &str, properties: &str, triggers: &[&str]) -> String {
    vevent(properties, triggers).replace("UID:u", &format!("UID:{uid}"))
}

#[test]
fn no_unit_at_all_is_no_time() {
    for trigger in ["P", "-P", "PT", "TRIGGER;RELATED=START:P"] {
        let case = Case::event("DTSTART:20260310T083000Z", &[trigger]);
        assert_eq!(case.instances(), ["20260310T083000Z"], "{trigger}");
        assert_eq!(explained(&case).len(), 1, "{trigger}");
    }
}

#[test]
fn units_and_signs_in_the_wrong_place() {
    let instance = |trigger| {
        let case = Case::event("DTSTART;TZID=Europe/Berlin:20260330T090000", &[trigger]);
        assert!(explained(&case)[0].contains("it is read as -P"), "{:?}", explained(&case));
        case.instances().join(" ")
    };
    // Days are nominal wherever they stand: the clocks changed on the day before.
    assert_eq!(instance("-PT1D"), "20260329T070000Z");
    assert_eq!(instance("-PT1W"), "20260323T080000Z");
    assert_eq!(instance("-P1H"), "20260330T060000Z");
    assert_eq!(instance("PT-2H"), "20260330T050000Z");
    assert_eq!(instance("PT-30M"), "20260330T063000Z");
}

#[test]
fn the_fault_says_what_was_written_and_how_it_is_read() {
    let case = Case::event("DTSTART:20260310T0930Z", &["-PT1D"]);
    assert_eq!(
        case.faults(),
        [
            "6: '20260310T0930Z' is not a date or time as RFC 5545 writes it: it is read as 20260310T093000Z",
            "9: '-PT1D' is not a duration as RFC 5545 writes it: it is read as -P1D",
        ]
    );
}

#[test]
fn times_without_seconds_and_with_fractions() {
    for start in ["20260310T0930Z", "20260310T093000.000Z", "2026-03-10T09:30:00Z", "20260310T103000+0100"] {
        let case = Case::event(&format!("DTSTART:{start}"), &["-PT15M"]);
        assert_eq!(case.instances(), ["20260310T091500Z"], "{start}");
        assert_eq!(explained(&case).len(), 1, "{start}");
    }
}

#[test]
fn a_colon_in_a_parameter_without_quotes() {
    for (start, instance) in [
        ("DTSTART;TZID=GMT+05:30:20260310T093000", "20260310T040000Z"),
        ("DTSTART;TZID=(UTC-05:00) Eastern Time (US & Canada):20260310T093000", "20260310T133000Z"),
        ("DTSTART;VALUE=DATE-TIME;TZID=tzone://Microsoft/Utc:20260310T093000", "20260310T093000Z"),
    ] {
        let case = Case::event(start, &["PT0S"]);
        assert_eq!(case.instances(), [instance], "{start}");
        assert!(explained(&case).iter().any(|fault| fault.starts_with("a colon in the parameters")), "{start}");
    }
    let series = "DTSTART;TZID=GMT+05:30:20260310T093000\nRRULE:FREQ=DAILY;COUNT=3";
    let excluded = format!("{series}\nEXDATE;TZID=GMT+05:30:20260311T093000,20260312T093000");
    assert_eq!(Case::event(&excluded, &["PT0S"]).instances(), ["20260310T040000Z"]);
}

#[test]
fn a_trigger_whose_colon_is_missing() {
    let case = Case::event("DTSTART:20260310T090000Z", &["PT0S"]);
    let case = Case { text: case.text.replace("TRIGGER:PT0S", "TRIGGER-P0DT1H0M0S"), ..case };
    assert_eq!(case.instances(), ["20260310T080000Z"]);
    assert_eq!(explained(&case), ["the colon behind TRIGGER is missing: its value is read as '-P0DT1H0M0S'"]);
}

#[test]
fn a_rule_with_one_bad_part_keeps_the_rest() {
    for rule in ["RRULE:RRULE:FREQ=DAILY;COUNT=2", r"RRULE:FREQ=DAILY\;COUNT=2", "RRULE:FREQ=DAILY;INTERVAL=0;COUNT=2"]
    {
        let case = Case::event(&format!("DTSTART:20260310T090000Z\n{rule}"), &["PT0S"]);
        assert_eq!(case.instances(), ["20260310T090000Z", "20260311T090000Z"], "{rule}");
        assert_eq!(explained(&case).len(), 1, "{rule}");
    }
}

#[test]
fn what_several_calendars_in_one_file_say_holds_inside_their_own() {
    let zone = |to: &str| {
        format!(
            "BEGIN:VTIMEZONE\nTZID:Customized Time Zone\nBEGIN:STANDARD\nDTSTART:16010101T000000\nTZOFFSETFROM:{to}\nTZOFFSETTO:{to}\nEND:STANDARD\nEND:VTIMEZONE"
        )
    };
    let event = |uid| named(uid, "DTSTART;TZID=Customized Time Zone:20260310T090000", &["PT0S"]);
    let own = file(&[format!("{}\n{}", zone("-0500"), event("a")), format!("{}\n{}", zone("+0300"), event("b"))]);
    assert_eq!(own.instances(), ["20260310T060000Z", "20260310T140000Z"]);
    // The third defines nothing: the user's zone.
    let without = file(&[format!("{}\n{}", zone("-0500"), event("a")), event("b")]);
    assert_eq!(without.instances(), ["20260310T080000Z", "20260310T140000Z"]);

    let floating = |uid| named(uid, "DTSTART:20260310T090000", &["PT0S", "TRIGGER;VALUE=DATE-TIME:20260311T090000"]);
    let stated = file(&[format!("X-WR-TIMEZONE:Asia/Tokyo\n{}", floating("a")), floating("b")]);
    let no_user = Case { context: CalendarContext::new(Zones::bundled()), ..stated };
    let expected = ["20260310T000000Z", "20260310T090000Z", "20260311T000000Z", "20260311T090000Z"];
    assert_eq!(no_user.instances(), expected);

    let cancelled = file(&[format!("METHOD:CANCEL\n{}", event("a")), event("b")]);
    assert_eq!(cancelled.instances(), ["20260310T080000Z"]);
}

#[test]
fn a_line_of_somebodys_text_that_looks_like_a_begin() {
    let event = "DTSTART:20260310T090000Z\nDESCRIPTION:first\nBEGIN: of the second\nEND of the third";
    let case = Case::event(event, &["PT0S"]);
    assert_eq!(case.instances(), ["20260310T090000Z"]);
    assert_eq!(explained(&case)[0], "BEGIN:'OF THE SECOND' without an END is skipped");
}

#[test]
fn a_byte_order_mark_and_line_ends_written_twice() {
    let case = Case::event("DTSTART:20260310T090000Z", &["PT0S"]);
    let again = format!("\u{feff}\r\n\u{feff}{}\u{feff}{}", case.text, case.text.replace("UID:u", "UID:v"))
        .replace('\n', "\r\r\n");
    assert_eq!(Case { text: again, ..Case::new("") }.instances(), ["20260310T090000Z", "20260310T090000Z"]);
}

#[test]
fn a_calendar_with_the_method_cancel_is_silent() {
    let live = named("u", "DTSTART:20260310T090000Z\nSTATUS:CONFIRMED", &["PT0S"]);
    assert!(file(&[format!("METHOD:CANCEL\n{live}")]).instances().is_empty());
    assert!(file(&[format!("{live}\nMETHOD:cancel")]).instances().is_empty(), "wherever it stands");
    assert_eq!(file(&[format!("METHOD:REQUEST\n{live}")]).instances().len(), 1);
}

#[test]
fn an_alarm_without_an_action_displays() {
    let case = Case::event("DTSTART:20260310T090000Z", &["PT0S"]);
    let case = Case { text: case.text.replace("ACTION:DISPLAY\n", ""), ..case };
    assert_eq!(case.instances(), ["20260310T090000Z"]);
    assert_eq!(explained(&case), ["the alarm has no ACTION: it is read as DISPLAY"]);
}

#[test]
fn an_alarm_that_kde_has_switched_off_is_silent() {
    let alarms = ["TRIGGER:-PT15M\nX-KDE-KCALCORE-ENABLED:FALSE", "TRIGGER:-PT5M\nX-KDE-KCALCORE-ENABLED:TRUE"];
    assert_eq!(Case::event("DTSTART:20260310T090000Z", &alarms).instances(), ["20260310T085500Z"]);
}

#[test]
fn mozillas_snoozes_of_all_day_and_floating_series_name_the_wall_clock() {
    // 2026-03-10T00:00:00 and T09:00:00, as if they were UTC.
    let of_day = "X-MOZ-SNOOZE-TIME-1773100800000000:20260310T150000Z";
    let of_time = "X-MOZ-SNOOZE-TIME-1773133200000000:20260310T150000Z";
    let all_day = format!("DTSTART;VALUE=DATE:20260309\nRRULE:FREQ=DAILY;COUNT=3\n{of_day}");
    let floating = format!("DTSTART:20260309T090000\nRRULE:FREQ=DAILY;COUNT=3\n{of_time}");
    for (series, excluded) in [(all_day, "EXDATE;VALUE=DATE:20260310"), (floating, "EXDATE:20260310T090000")] {
        let new_york = |properties: &str| {
            let case = Case::event(properties, &["PT0S"]);
            case.context(|context| context.with_user_zone(Some("America/New_York"), None))
        };
        let snoozed = new_york(&series).with(|schedule| {
            let instances = schedule.instances(UtcMillis::MIN..UtcMillis::MAX);
            instances
                .iter()
                .find(|instance| instance.at.basic() == "20260310T150000Z")
                .map(AlarmInstance::recurrence_id_text)
        });
        assert!(snoozed.as_deref().is_some_and(|id| id.starts_with("2026-03-10")), "{series}: {snoozed:?}");
        let void = new_york(&format!("{series}\n{excluded}"));
        assert!(!void.instances().contains(&"20260310T150000Z".to_owned()), "{series}");
    }
}

#[test]
fn a_snooze_past_the_start_is_of_the_occurrence_that_was_snoozed() {
    let alarms = [
        "TRIGGER:-PT15M\nUID:first\nACKNOWLEDGED:20260310T080500Z",
        "TRIGGER;VALUE=DATE-TIME:20260310T081500Z\nUID:second\nRELATED-TO;RELTYPE=SNOOZE:first",
    ];
    let series = "DTSTART:20260303T080000Z\nRRULE:FREQ=WEEKLY;COUNT=4";
    let case = Case::event(series, &alarms);
    case.with(|schedule| {
        let instances = schedule.instances(UtcMillis::MIN..UtcMillis::MAX);
        let snooze = instances.iter().find(|instance| instance.at.basic() == "20260310T081500Z").unwrap();
        assert_eq!(snooze.start, Some(When::At(at("2026-03-10T08:00"))));
        assert_eq!(snooze.recurrence_id_text(), "2026-03-10T08:00:00");
    });
}

#[test]
fn a_start_and_an_end_of_two_kinds_are_each_as_written() {
    let end = ["TRIGGER;RELATED=END:-PT15M"];
    let event = Case::event("DTSTART;VALUE=DATE:20260310\nDTEND;TZID=Europe/Berlin:20260312T170000", &end);
    assert_eq!(event.instances(), ["20260312T154500Z"]);
    let todo = Case::todo("DTSTART;VALUE=DATE:20260310\nDUE;TZID=Europe/Berlin:20260312T150000", &end);
    assert_eq!(todo.instances(), ["20260312T134500Z"]);
    let other = Case::event("DTSTART:20260310T090000Z\nDTEND;VALUE=DATE:20260312", &end);
    assert_eq!(other.instances(), ["20260311T224500Z"]);
    let series = "DTSTART;VALUE=DATE:20260327\nDTEND;TZID=Europe/Berlin:20260327T170000\nRRULE:FREQ=DAILY;COUNT=3";
    assert_eq!(Case::event(series, &end).instances(), ["20260327T154500Z", "20260328T154500Z", "20260329T154500Z"]);
    for case in [&event, &todo, &other] {
        assert!(explained(case)[0].ends_with("each is taken as written"), "{:?}", explained(case));
    }
}

#[test]
fn an_exdate_or_until_in_utc_on_a_floating_series() {
    let series = "DTSTART:20260302T082500\nRRULE:FREQ=WEEKLY;UNTIL=20260316T082500Z";
    for excluded in ["EXDATE:20260309T082500Z", "EXDATE:20260309T072500Z"] {
        let case = Case::event(&format!("{series}\n{excluded}"), &["PT0S"]);
        assert_eq!(case.instances(), ["20260302T072500Z", "20260316T072500Z"], "{excluded}");
    }
    let moved = vevent("RECURRENCE-ID:20260309T082500Z\nDTSTART:20260309T100000", &["PT0S"]);
    let master = vevent(series, &["PT0S"]);
    let instances = Case::new(&format!("{master}\n{moved}")).instances();
    assert_eq!(instances, ["20260302T072500Z", "20260309T090000Z", "20260316T072500Z"]);
}

#[test]
fn a_calendar_zone_of_utc_says_nothing_of_dates() {
    let holiday = named("u", "DTSTART;VALUE=DATE:20260704", &["PT0S"]);
    let case = file(&[format!("X-WR-TIMEZONE:UTC\n{holiday}")]);
    assert_eq!(case.instances(), ["20260703T220000Z"], "midnight in Berlin");
}

#[test]
fn an_abbreviation_with_a_vtimezone_that_has_summer_time() {
    let part = |kind, start, from, to, rule| {
        format!(
            "BEGIN:{kind}\nDTSTART:{start}\nTZOFFSETFROM:{from}\nTZOFFSETTO:{to}\nRRULE:FREQ=YEARLY;{rule}\nEND:{kind}"
        )
    };
    let winter = part("STANDARD", "20001101T020000", "-0400", "-0500", "BYMONTH=11;BYDAY=1SU");
    let summer = part("DAYLIGHT", "20000301T020000", "-0500", "-0400", "BYMONTH=3;BYDAY=2SU");
    let event = vevent("DTSTART;TZID=EST:20260707T140000", &["PT0S"]);
    let with =
        |parts: &str| Case::new(&format!("BEGIN:VTIMEZONE\nTZID:EST\n{parts}\nEND:VTIMEZONE\n{event}")).instances();
    assert_eq!(with(&format!("{winter}\n{summer}")), ["20260707T180000Z"]);
    assert_eq!(with(&winter), ["20260707T190000Z"], "the database's EST");
}

#[test]
fn names_that_are_no_ids_and_mean_one_zone() {
    for (tzid, instance) in [
        ("\"(GMT -05:00)\"", "20260712T150000Z"),
        ("GMT+0200", "20260712T080000Z"),
        ("\"(UTC) Koordinerad universell tid\"", "20260712T100000Z"),
        ("GMT Standard Time 1", "20260712T090000Z"),
        ("\"(UTC+02:00) Helsingfors, Riga\"", "20260712T070000Z"),
    ] {
        let case = Case::event(&format!("DTSTART;TZID={tzid}:20260712T100000"), &["PT0S"]);
        assert_eq!(case.instances(), [instance], "{tzid}");
        assert!(
            explained(&case).join(" ").contains("is not a name of a zone: it is read as"),
            "{:?}",
            explained(&case)
        );
    }
}

#[test]
fn what_windows_shows_with_and_for_an_ampersand() {
    for name in ["Eastern Time (US and Canada)", "Eastern Time (US &amp; Canada)"] {
        let case = Case::event(&format!("DTSTART;TZID=\"(UTC-05:00) {name}\":20260712T100000"), &["PT0S"]);
        assert_eq!(case.instances(), ["20260712T140000Z"], "{name}");
    }
}

#[test]
fn an_observance_without_a_start_that_is_the_only_one() {
    let zone = "BEGIN:VTIMEZONE\nTZID:Mine\nBEGIN:STANDARD\nTZOFFSETFROM:+0300\nTZOFFSETTO:+03:00\nEND:STANDARD\nEND:VTIMEZONE";
    let event = vevent("DTSTART;TZID=Mine:20260310T090000", &["PT0S"]);
    assert_eq!(Case::new(&format!("{zone}\n{event}")).instances(), ["20260310T060000Z"]);
}

#[test]
fn a_to_do_that_was_opened_again_is_open() {
    for (status, count) in [("NEEDS-ACTION", 1), ("IN-PROCESS", 1), ("COMPLETED", 0)] {
        let todo = format!("DUE:20260310T090000Z\nCOMPLETED:20260301T090000Z\nPERCENT-COMPLETE:100\nSTATUS:{status}");
        assert_eq!(Case::todo(&todo, &["PT0S"]).instances().len(), count, "{status}");
    }
    assert!(Case::todo("DUE:20260310T090000Z\nCOMPLETED:20260301T090000Z", &["PT0S"]).instances().is_empty());
}

#[test]
fn quoted_printable_text_is_decoded() {
    let event =
        "DTSTART:20260310T090000Z\nSUMMARY;ENCODING=QUOTED-PRINTABLE;CHARSET=UTF-8:Caf=C3=A9=\n bei M=C3=BCller";
    Case::event(event, &["PT0S"]).with(|schedule| {
        assert_eq!(
            &*schedule.instances(UtcMillis::MIN..UtcMillis::MAX)[0].component.summary,
            "Caf\u{e9} bei M\u{fc}ller"
        );
    });
}

#[test]
fn a_period_that_repeats_the_start_is_the_same_occurrence() {
    let event = "DTSTART:20260310T090000Z\nDTEND:20260310T100000Z\nRDATE;VALUE=PERIOD:20260310T090000Z/PT3H,20260311T090000Z/PT2H";
    let case = Case::event(event, &["TRIGGER;RELATED=END:PT0S"]);
    assert_eq!(case.instances(), ["20260310T100000Z", "20260311T110000Z"]);
}

#[test]
fn blanks_around_a_uid_are_kept() {
    let event = named(" u ", "DTSTART:20260310T090000Z", &["PT0S"]);
    let uid = Case::new(&event).with(|schedule| schedule.object.uids()[0].to_owned());
    assert_eq!(uid, " u ");
}

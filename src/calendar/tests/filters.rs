//! Rules 1 to 3: what can fire.

use super::{Case, alarm, vevent};
use crate::calendar::context::{DefaultAlarms, WithheldAlarms};
use crate::calendar::schedule::inactive::Inactive;

const NINE: &str = "DTSTART:20260310T090000Z";

#[test]
fn rule_01_display_email_and_audio_fire_in_any_case() {
    let all = ["ACTION:Display\nTRIGGER:PT1S", "ACTION:eMail\nTRIGGER:PT2S", "ACTION:AUDIO\nTRIGGER:PT3S"];
    assert_eq!(
        Case::event(NINE, &all).instances(),
        ["20260310T090001Z", "20260310T090002Z email", "20260310T090003Z audio"]
    );
}

#[test]
fn rule_01_other_actions_and_places_never_fire() {
    let none = ["NONE", "PROCEDURE", "X-SHOUT", "DISPLAYS"].map(|action| format!("ACTION:{action}\nTRIGGER:PT0S"));
    for silent in none
        .iter()
        .map(String::as_str)
        .chain(["TRIGGER:PT0S\nPROXIMITY:DEPART", "TRIGGER:PT0S\nX-APPLE-PROXIMITY:ARRIVE"])
    {
        assert!(Case::event(NINE, &[silent]).instances().is_empty(), "{silent}");
    }
}

#[test]
fn rule_02_cancelled_done_and_declined_are_silent() {
    assert!(Case::event(&format!("{NINE}\nSTATUS:cancelled"), &["PT0S"]).instances().is_empty());
    for done in ["COMPLETED:20260301T000000Z", "STATUS:COMPLETED", "PERCENT-COMPLETE:100"] {
        assert!(Case::todo(&format!("{NINE}\n{done}"), &["PT0S"]).instances().is_empty(), "{done}");
        assert_eq!(Case::event(&format!("{NINE}\n{done}"), &["PT0S"]).instances().len(), 1, "{done}");
    }
    for live in ["STATUS:TENTATIVE", "STATUS:NEEDS-ACTION", "STATUS:IN-PROCESS", "PERCENT-COMPLETE:99"] {
        assert_eq!(Case::todo(&format!("{NINE}\n{live}"), &["PT0S"]).instances().len(), 1, "{live}");
    }
}

#[test]
fn rule_02_only_the_users_own_refusal_counts() {
    let own = ["mailto:Mary@Example.org".to_owned(), "m@example.org".to_owned()];
    let said = |attendee: &str| {
        let event = format!("{NINE}\nATTENDEE;PARTSTAT=ACCEPTED:mailto:x@example.org\nATTENDEE;{attendee}");
        Case::event(&event, &["PT0S"]).context(|context| context.with_addresses(&own)).instances().len()
    };
    assert_eq!(said("PARTSTAT=DECLINED:MAILTO:mary@example.org"), 0);
    assert_eq!(said("PARTSTAT=declined;CN=M:mailto:m@example.org"), 0);
    assert_eq!(said("EMAIL=m@example.org;PARTSTAT=DECLINED:urn:uuid:1"), 0);
    assert_eq!(said("PARTSTAT=DECLINED:mailto:john@example.org"), 1);
    assert_eq!(said("PARTSTAT=TENTATIVE:mailto:mary@example.org"), 1);
    let no_user = Case::event(&format!("{NINE}\nATTENDEE;PARTSTAT=DECLINED:mailto:mary@example.org"), &["PT0S"]);
    assert_eq!(no_user.instances().len(), 1);
}

#[test]
fn rule_02_holds_for_one_occurrence_in_an_override() {
    let master = vevent("DTSTART:20260310T090000Z\nRRULE:FREQ=DAILY;COUNT=3", &["PT0S"]);
    let refused =
        "RECURRENCE-ID:20260311T090000Z\nDTSTART:20260311T090000Z\nATTENDEE;PARTSTAT=DECLINED:mailto:m@example.org";
    let case = Case::new(&format!("{master}\n{}", vevent(refused, &["PT0S"])));
    let case = case.context(|context| context.with_addresses(&["m@example.org".to_owned()]));
    assert_eq!(case.instances(), ["20260310T090000Z", "20260312T090000Z"]);
    let cancelled = vevent("RECURRENCE-ID:20260311T090000Z\nDTSTART:20260311T090000Z\nSTATUS:CANCELLED", &["PT0S"]);
    assert_eq!(Case::new(&format!("{master}\n{cancelled}")).instances(), ["20260310T090000Z", "20260312T090000Z"]);
}

#[test]
fn rule_02_an_override_of_a_cancelled_series_can_fire() {
    let master = vevent("DTSTART:20260310T090000Z\nRRULE:FREQ=DAILY\nSTATUS:CANCELLED", &["PT0S"]);
    let live = vevent("RECURRENCE-ID:20260311T090000Z\nDTSTART:20260311T100000Z\nSTATUS:CONFIRMED", &["PT0S"]);
    assert_eq!(Case::new(&format!("{master}\n{live}")).instances(), ["20260311T100000Z"]);
}

#[test]
fn rule_03_what_cannot_fire_is_reported_with_its_line() {
    let faults = Case::event(NINE, &["ACTION:DISPLAY\nTRIGGER:15 minutes before", "PT0S"]);
    assert_eq!(faults.instances().len(), 1);
    let explained = faults.faults();
    assert_eq!(explained.len(), 1, "{explained:?}");
    assert!(
        explained[0].starts_with("9: the alarm is left out: its TRIGGER '15 minutes before' is no"),
        "{explained:?}"
    );
    let missing = Case::event(NINE, &[]).text.replace("END:VEVENT", "BEGIN:VALARM\nX:1\nEND:VALARM\nEND:VEVENT");
    let explained = Case { text: missing, ..Case::new("") }.faults();
    assert_eq!(
        explained,
        ["8: the alarm has no ACTION: it is read as DISPLAY", "8: the alarm is left out: it has no TRIGGER"]
    );
    assert!(Case::event(NINE, &["ACTION:NONE\nTRIGGER:PT0S"]).faults().is_empty(), "{}", alarm("PT0S"));
}

#[test]
fn rule_03_reasons_are_sentences() {
    assert_eq!(Inactive::Action("PROCEDURE".into()).to_string(), "ACTION 'PROCEDURE' never fires");
    assert_eq!(Inactive::Declined("a@b\u{1b}".into()).to_string(), r"'a@b\u{1b}' has declined (PARTSTAT=DECLINED)");
}

#[test]
fn rule_25_in_a_calendar_of_another_own_alarms_fire_or_none() {
    let alarms = [
        "ACTION:EMAIL\nATTENDEE:mailto:Mary@example.org\nTRIGGER:PT1S",
        "ACTION:EMAIL\nATTENDEE:mailto:bob@example.org\nTRIGGER:PT2S",
        "ACTION:DISPLAY\nATTENDEE:mailto:mary@example.org\nTRIGGER:PT3S",
        "TRIGGER;VALUE=DATE-TIME:20260310T090004Z",
    ];
    let fires = |properties: &str, alarms: &[&str], all: Option<bool>, defaults: &str| {
        let case = Case::event(properties, alarms).context(|mut context| {
            context.withheld = all.map(|all| WithheldAlarms { owner: Some("bob".to_owned()), all });
            context.default_alarms = DefaultAlarms::parse(Some(defaults), None).ok();
            context.with_addresses(&["mary@example.org".to_owned()])
        });
        case.instances().join(", ")
    };
    let snoozed = format!("{NINE}\nX-MOZ-SNOOZE-TIME:20260310T090005Z");
    let default = alarm("PT6S");
    let every = "20260310T090001Z email, 20260310T090002Z email, 20260310T090003Z, 20260310T090004Z, 20260310T090005Z";
    assert_eq!(fires(&snoozed, &alarms, None, &default), every);
    assert_eq!(fires(&snoozed, &alarms, Some(false), &default), "20260310T090001Z email");
    // Where none of them is the user's, the default alarms are.
    assert_eq!(fires(&snoozed, &alarms[1..], Some(false), &default), "20260310T090006Z");
    assert_eq!(fires(&snoozed, &alarms[1..], Some(false), ""), "");
    assert_eq!(fires(&snoozed, &alarms, Some(true), &default), "");
    assert_eq!(fires(NINE, &[], Some(true), &default), "");
}

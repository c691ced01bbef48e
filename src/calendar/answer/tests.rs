//! Answers, written into texts.

use jiff::SignedDuration;

use super::*;
use crate::calendar::context::{CalendarContext, DefaultAlarms};
use crate::calendar::schedule::Schedule;
use crate::calendar::zone::Zones;

const UIDS: [&str; 2] = ["new-alarm", "new-snooze"];

fn at(text: &str) -> UtcMillis {
    UtcMillis::parse(text).unwrap()
}

/// An object with these lines in its event.
fn object(lines: &str) -> String {
    let text = format!(
        "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//x//y\nBEGIN:VEVENT\nUID:e\nDTSTAMP:20260101T000000Z\n\
         DTSTART:20260310T090000Z\nSUMMARY:A long title that a client has folded in the middle \n of a word\n{lines}\n\
         END:VEVENT\nEND:VCALENDAR\n"
    );
    text.replace('\n', "\r\n")
}

fn alarm(lines: &str) -> String {
    format!("BEGIN:VALARM\nACTION:DISPLAY\nDESCRIPTION:Tea\n{lines}\nEND:VALARM")
}

/// The instances that `text` has from the beginning of 2026 on, for a day of March at most.
fn instances<T>(text: &[u8], context: &CalendarContext, ask: impl FnOnce(&[AlarmInstance<'_>]) -> T) -> T {
    let window = at("2026-03-01T00:00:00Z")..at("2026-04-01T00:00:00Z");
    Schedule::of_text(text, context, None, |_, schedule| ask(&schedule.instances(window))).unwrap()
}

fn fires(text: &[u8], context: &CalendarContext) -> Vec<String> {
    instances(text, context, |all| all.iter().map(|one| one.at.basic()).collect())
}

fn context() -> CalendarContext {
    CalendarContext::new(Zones::bundled())
}

/// `text` with `answer` to its first instance, given half a minute after that.
fn first_answered(text: &str, answer: AlarmAnswer) -> String {
    let octets = instances(text.as_bytes(), &context(), |all| {
        let now = all[0].at.saturating_add(SignedDuration::from_secs(30));
        answered(text.as_bytes(), &all[0], answer, now, UIDS)
    });
    String::from_utf8(octets.unwrap()).unwrap()
}

#[test]
fn a_dismissed_alarm_is_acknowledged_and_nothing_else_changes() {
    let text = object(&format!("RRULE:FREQ=DAILY;COUNT=3\n{}\n{}", alarm("TRIGGER:-PT15M"), alarm("TRIGGER:-PT5M")));
    let done = first_answered(&text, AlarmAnswer::Dismiss);
    let expected = text.replacen("-PT15M\r\n", "-PT15M\r\nACKNOWLEDGED:20260310T084530Z\r\n", 1);
    assert_eq!(done, expected);
    assert_eq!(fires(done.as_bytes(), &context())[0], "20260310T085500Z");
    assert_eq!(fires(done.as_bytes(), &context()).len(), 5);
    // What was acknowledged before is replaced, however it is written.
    let before = "TRIGGER:-PT15M\nacknowledged;X-A=b:2026\n 0309T000000Z\nX-B:c";
    let text = object(&alarm(before));
    let done = first_answered(&text, AlarmAnswer::Dismiss);
    let expected = text.replace("acknowledged;X-A=b:2026\r\n 0309T000000Z\r\n", "ACKNOWLEDGED:20260310T084530Z\r\n");
    assert_eq!(done, expected);
}

#[test]
fn line_ends_marks_and_odd_octets_stay_as_they_are() {
    for end in ["\n", "\r\n"] {
        let text = object(&alarm("TRIGGER:-PT15M")).replace("\r\n", end);
        let mut octets = text.replace("Tea", "T\u{e9}a").into_bytes();
        let place = octets.windows(2).position(|two| two == "\u{e9}".as_bytes()).unwrap();
        octets.splice(place..place + 2, [0xe9]);
        let done = instances(&octets, &context(), |all| {
            answered(&octets, &all[0], AlarmAnswer::Dismiss, all[0].at, UIDS).unwrap()
        });
        let added = format!("ACKNOWLEDGED:20260310T084500Z{end}").into_bytes();
        let begins = done.windows(added.len()).position(|part| part == added).unwrap();
        let rest = [&done[..begins], &done[begins + added.len()..]].concat();
        assert_eq!(rest, octets);
    }
}

#[test]
fn a_snoozed_alarm_is_acknowledged_and_another_one_follows_it() {
    let until = at("2026-03-10T08:55:00Z");
    let text = object(&alarm("TRIGGER:-PT15M\nREPEAT:2\nDURATION:PT1M\nX-A:b"));
    let done = first_answered(&text, AlarmAnswer::Snooze { until });
    let expected = text.replace(
        "X-A:b\r\nEND:VALARM\r\n",
        "X-A:b\r\nACKNOWLEDGED:20260310T084530Z\r\nUID:new-alarm\r\nEND:VALARM\r\n\
         BEGIN:VALARM\r\nUID:new-snooze\r\nTRIGGER;VALUE=DATE-TIME:20260310T085500Z\r\n\
         RELATED-TO;RELTYPE=SNOOZE:new-alarm\r\nACTION:DISPLAY\r\nDESCRIPTION:Tea\r\nX-A:b\r\nEND:VALARM\r\n",
    );
    assert_eq!(done, expected);
    assert_eq!(fires(done.as_bytes(), &context()), ["20260310T085500Z"]);
    // A snooze that is snoozed is taken away, and the next one is of the first alarm.
    let again = first_answered(&done, AlarmAnswer::Snooze { until: at("2026-03-10T09:05:00Z") });
    let expected = done
        .replace("DATE-TIME:20260310T085500Z", "DATE-TIME:20260310T090500Z")
        .replace("ACKNOWLEDGED:20260310T084530Z", "ACKNOWLEDGED:20260310T085530Z");
    assert_eq!(again, expected);
    assert_eq!(fires(again.as_bytes(), &context()), ["20260310T090500Z"]);
    // And one that is dismissed is acknowledged, as the first one is.
    let dismissed = first_answered(&done, AlarmAnswer::Dismiss);
    assert_eq!(dismissed.matches("ACKNOWLEDGED:20260310T085530Z").count(), 2);
    assert!(fires(dismissed.as_bytes(), &context()).is_empty());
}

#[test]
fn alarms_that_fire_as_one_are_answered_as_one() {
    let text = object(&format!("{}\n{}", alarm("TRIGGER:-PT15M"), alarm("TRIGGER:-PT15M\nUID:b")));
    let done = first_answered(&text, AlarmAnswer::Dismiss);
    assert_eq!(done.matches("ACKNOWLEDGED").count(), 2);
    let snoozed = first_answered(&text, AlarmAnswer::Snooze { until: at("2026-03-10T08:55:00Z") });
    assert_eq!(fires(snoozed.as_bytes(), &context()), ["20260310T085500Z"]);
    assert_eq!(snoozed.matches("ACKNOWLEDGED").count(), 2);
    assert_eq!(snoozed.matches("RELTYPE=SNOOZE").count(), 1);
}

#[test]
fn what_is_in_an_alarm_is_not_the_alarm() {
    let place = "TRIGGER:-PT15M\nBEGIN:VLOCATION\nUID:place\nACKNOWLEDGED:20000101T000000Z\nEND:VLOCATION";
    let text = object(&alarm(place));
    let done = first_answered(&text, AlarmAnswer::Snooze { until: at("2026-03-10T08:55:00Z") });
    assert!(done.contains("END:VLOCATION\r\nACKNOWLEDGED:20260310T084530Z\r\nUID:new-alarm\r\nEND:VALARM"), "{done}");
    assert_eq!(done.matches("VLOCATION").count(), 2);
}

#[test]
fn an_alarm_that_is_not_in_the_object_is_answered_as_mozilla_does_it() {
    let text = object("X-MOZ-SNOOZE-TIME:20260310T084500Z");
    let done = first_answered(&text, AlarmAnswer::Dismiss);
    let expected = text.replace(
        "SNOOZE-TIME:20260310T084500Z\r\n",
        "SNOOZE-TIME:20260310T084500Z\r\nX-MOZ-LASTACK:20260310T084530Z\r\n",
    );
    assert_eq!(done, expected);
    assert!(fires(done.as_bytes(), &context()).is_empty());
    let snoozed = first_answered(&text, AlarmAnswer::Snooze { until: at("2026-03-10T08:55:00Z") });
    assert_eq!(fires(snoozed.as_bytes(), &context()), ["20260310T085500Z"]);
    let series = object("RRULE:FREQ=DAILY;COUNT=3");
    let default = DefaultAlarms::parse(Some("BEGIN:VALARM\nACTION:DISPLAY\nTRIGGER:-PT15M\nEND:VALARM"), None).unwrap();
    let mut context = context();
    context.default_alarms = Some(default);
    instances(series.as_bytes(), &context, |all| {
        let answer = |answer| answered(series.as_bytes(), &all[0], answer, all[0].at, UIDS);
        let done = answer(AlarmAnswer::Dismiss).unwrap();
        assert_eq!(fires(&done, &context), ["20260311T084500Z", "20260312T084500Z"]);
        let until = at("2026-03-10T08:55:00Z");
        assert_eq!(answer(AlarmAnswer::Snooze { until }), Err(AnswerError::NotInObject));
    });
}

#[test]
fn a_long_uid_is_folded() {
    let long = "\u{e4}".repeat(60);
    let text = object(&alarm(&format!("TRIGGER:-PT15M\nUID:{long}")));
    let done = first_answered(&text, AlarmAnswer::Snooze { until: at("2026-03-10T08:55:00Z") });
    let lines = done.split("\r\n").filter(|line| !line.starts_with("UID:\u{e4}"));
    assert!(lines.clone().all(|line| line.len() <= 75), "{done}");
    assert_eq!(fires(done.as_bytes(), &context()), ["20260310T085500Z"]);
    let again = first_answered(&done, AlarmAnswer::Dismiss);
    assert_eq!(again.matches("ACKNOWLEDGED").count(), 2, "the original is found");
}

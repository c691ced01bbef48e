use super::super::Rule;

fn sentence(text: &str) -> String {
    Rule::parse(text).unwrap_err().0
}

#[test]
fn case_blanks_and_unknown_parts_do_not_matter() {
    let plain = Rule::parse("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE;WKST=SU").unwrap();
    for text in [
        "freq=weekly;interval=2;byday=mo,we;wkst=su",
        " FREQ = WEEKLY ; INTERVAL=2; BYDAY=MO, WE ;WKST=SU; ",
        "WKST=SU;X-FOO=1;BYDAY=WE,,MO;;INTERVAL=+2;FREQ=WEEKLY;NAME=é",
        "FREQ=DAILY;FREQ=WEEKLY;BYDAY=MO;BYDAY=WE;INTERVAL=2;WKST=SU;BYMONTH=",
        "RSCALE=gregorian;FREQ=WEEKLY;SKIP=OMIT;INTERVAL=2;BYDAY=MO,WE,MO;WKST=SU",
    ] {
        assert_eq!(Rule::parse(text).unwrap(), plain, "{text}");
    }
}

#[test]
fn what_would_have_to_be_guessed_is_an_error() {
    for text in [
        "",
        ";",
        "BYDAY=MO",
        "FREQ=FORTNIGHTLY",
        "FREQ",
        "FREQ=DAILY;COUNT=0",
        "FREQ=DAILY;COUNT=-5",
        "FREQ=DAILY;COUNT=",
        "FREQ=DAILY;INTERVAL=0",
        "FREQ=DAILY;INTERVAL=-1",
        "FREQ=DAILY;UNTIL=tomorrow",
        "FREQ=DAILY;UNTIL=20260230",
        "FREQ=DAILY;UNTIL=00000101",
        "FREQ=DAILY;UNTIL=20260101T",
        "FREQ=DAILY;UNTIL=20260101T2500",
        "FREQ=DAILY;BYHOUR=24",
        "FREQ=DAILY;BYHOUR=-1",
        "FREQ=DAILY;BYMONTH=0",
        "FREQ=DAILY;BYMONTH=5L",
        "FREQ=MONTHLY;BYMONTHDAY=32",
        "FREQ=MONTHLY;BYMONTHDAY=0",
        "FREQ=MONTHLY;BYDAY=0MO",
        "FREQ=MONTHLY;BYDAY=999MO",
        "FREQ=MONTHLY;BYDAY=-MO",
        "FREQ=MONTHLY;BYDAY=M",
        "FREQ=MONTHLY;BYDAY=aéb",
        "FREQ=MONTHLY;BYDAY=é",
        "FREQ=MONTHLY;BYSETPOS=0",
        "FREQ=YEARLY;BYEASTER=0",
        "FREQ=YEARLY;RSCALE=CHINESE",
        "FREQ=YEARLY;SKIP=SIDEWARD",
        "FREQ=DAILY;BYMINUTE=１",
        "FREQ=DAILY;BYSECOND=000000000000000000",
    ] {
        assert!(sentence(text).len() > 10, "{text}");
    }
    assert!(sentence("FREQ=YEARLY;RSCALE=CHINESE").contains("RSCALE"));
    assert!(sentence("D1 #10").contains("vCalendar 1.0"));
    assert!(sentence(&format!("FREQ={}", "é".repeat(5000))).len() < 300);
}

#[test]
fn numbers_too_long_for_a_register_are_the_greatest() {
    let huge = Rule::parse("FREQ=DAILY;INTERVAL=99999999999999999999999;COUNT=99999999999999999999999").unwrap();
    assert_eq!(huge.interval, 1_000_000_000_000);
    assert_eq!(huge.count, Some(u64::MAX));
}

#[test]
fn a_leap_second_is_read_as_the_second_before() {
    assert_eq!(Rule::parse("FREQ=DAILY;BYSECOND=60"), Rule::parse("FREQ=DAILY;BYSECOND=59"));
    assert_eq!(Rule::parse("FREQ=DAILY;UNTIL=20161231T235960Z"), Rule::parse("FREQ=DAILY;UNTIL=20161231T235959z"));
}

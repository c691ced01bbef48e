//! One test a reading.

use super::*;

#[test]
fn until_as_a_date_includes_that_whole_local_day() {
    let expected = ["20260105T2330 = 20260105T2230Z", "20260106T2330 = 20260106T2230Z"];
    assert_eq!(starts(&zone("Europe/Berlin"), "FREQ=DAILY;UNTIL=20260106", "2026-01-05T23:30", 9), expected);
    // A rule that steps in elapsed time, too: the day ends at local midnight, 23:00 in UTC.
    let hours = starts(&zone("Europe/Berlin"), "FREQ=HOURLY;UNTIL=20260106", "2026-01-05T23:30", 99);
    assert_eq!(hours.len(), 25);
    assert_eq!(hours[24], "20260106T2330 = 20260106T2230Z");
}

#[test]
fn until_as_a_local_time_is_one_of_the_zone_of_dtstart() {
    let rule = "FREQ=DAILY;UNTIL=20260107T083000";
    assert_eq!(starts(&zone("Europe/Berlin"), rule, "2026-01-05T09:00", 9).len(), 2);
    assert_eq!(starts(&zone("Europe/Berlin"), &format!("{rule}Z"), "2026-01-05T09:00", 9).len(), 3);
}

#[test]
fn until_in_utc_is_an_instant() {
    // Eight in the evening in UTC is five in the morning of the next day in Tokyo.
    let rule = "FREQ=DAILY;UNTIL=20260108T000000Z";
    assert_eq!(starts(&zone("Asia/Tokyo"), rule, "2026-01-05T09:00", 9).len(), 4);
    assert_eq!(starts(&zone("Asia/Tokyo"), "FREQ=DAILY;UNTIL=20260107T235959Z", "2026-01-05T09:00", 9).len(), 3);
    assert_eq!(starts(&zone("Asia/Tokyo"), "FREQ=HOURLY;UNTIL=20260105T020000Z", "2026-01-05T09:00", 9).len(), 3);
    // In the hour that comes twice: 02:30 means the first one, which lies before 02:15 of the second.
    let rule = "FREQ=DAILY;UNTIL=20261025T011500Z";
    let expected = ["20261024T0230 = 20261024T0030Z", "20261025T0230 = 20261025T0030Z"];
    assert_eq!(starts(&zone("Europe/Berlin"), rule, "2026-10-24T02:30", 9), expected);
}

#[test]
fn until_of_an_all_day_series_in_any_form_means_a_day() {
    for until in ["20260107", "20260107T000000", "20260107T235959", "20260107T000000Z", "20260107T235959Z"] {
        for id in ["Europe/Berlin", "America/New_York", "Pacific/Kiritimati"] {
            let rule = format!("FREQ=DAILY;UNTIL={until}");
            assert_eq!(days(&zone(id), &rule, "2026-01-05T00:00", 9).len(), 3, "{until} {id}");
        }
    }
    // The user's midnight, written in UTC.
    assert_eq!(days(&zone("Europe/Berlin"), "FREQ=DAILY;UNTIL=20260106T230000Z", "2026-01-05T00:00", 9).len(), 3);
    assert_eq!(days(&zone("America/New_York"), "FREQ=DAILY;UNTIL=20260107T050000Z", "2026-01-05T00:00", 9).len(), 3);
}

#[test]
fn until_before_dtstart_gives_nothing() {
    for rule in ["FREQ=DAILY;UNTIL=19600101T000000Z", "FREQ=MINUTELY;UNTIL=19600101", "FREQ=YEARLY;UNTIL=00010101"] {
        assert_eq!(civil_times(rule, "2026-01-05T09:00", 9), [""; 0]);
    }
}

#[test]
fn count_and_until_together_end_at_the_earlier() {
    assert_eq!(civil_times("FREQ=DAILY;COUNT=5;UNTIL=20260106", "2026-01-05T09:00", 9).len(), 2);
    assert_eq!(civil_times("FREQ=DAILY;COUNT=2;UNTIL=20260116", "2026-01-05T09:00", 9).len(), 2);
    assert_eq!(civil_times("FREQ=HOURLY;COUNT=5;UNTIL=20260105T100000", "2026-01-05T09:00", 9).len(), 2);
}

#[test]
fn an_occurrence_in_a_gap_is_placed_by_the_offset_before_and_counted() {
    let rule = "FREQ=DAILY;COUNT=3";
    let expected =
        ["20260328T0230 = 20260328T0130Z", "20260329T0230 = 20260329T0130Z", "20260330T0230 = 20260330T0030Z"];
    assert_eq!(starts(&zone("Europe/Berlin"), rule, "2026-03-28T02:30", 9), expected);
}

#[test]
fn times_around_a_gap_come_by_instant_and_each_instant_once() {
    let rule = "FREQ=DAILY;BYHOUR=1,2,3,4;BYMINUTE=0,30";
    let found = starts(&zone("Europe/Berlin"), rule, "2026-03-29T01:00", 8);
    let expected = [
        "20260329T0100 = 20260329T0000Z",
        "20260329T0130 = 20260329T0030Z",
        "20260329T0200 = 20260329T0100Z",
        "20260329T0230 = 20260329T0130Z",
        "20260329T0400 = 20260329T0200Z",
        "20260329T0430 = 20260329T0230Z",
        "20260330T0100 = 20260329T2300Z",
        "20260330T0130 = 20260329T2330Z",
    ];
    assert_eq!(found, expected);
    // 02:45 lies after 03:00, which is no other start here.
    let found = starts(&zone("Europe/Berlin"), "FREQ=DAILY;BYHOUR=2,3;BYMINUTE=10,45", "2026-03-29T02:45", 3);
    assert_eq!(found[0], "20260329T0310 = 20260329T0110Z");
    assert_eq!(found[1], "20260329T0245 = 20260329T0145Z");
    assert_eq!(found[2], "20260330T0210 = 20260330T0010Z");
}

#[test]
fn a_midnight_that_does_not_exist_is_not_lost() {
    let expected =
        ["20260830T0000 = 20260830T0400Z", "20260906T0000 = 20260906T0400Z", "20260913T0000 = 20260913T0300Z"];
    assert_eq!(starts(&zone("America/Santiago"), "FREQ=WEEKLY", "2026-08-30T00:00", 3), expected);
}

#[test]
fn a_day_that_does_not_exist_is_placed_on_the_next() {
    // Samoa went from 29 to 31 December 2011: both lie at the same instant, which comes once.
    let expected =
        ["20111229T0900 = 20111229T1900Z", "20111230T0900 = 20111230T1900Z", "20120101T0900 = 20111231T1900Z"];
    assert_eq!(starts(&zone("Pacific/Apia"), "FREQ=DAILY", "2011-12-29T09:00", 3), expected);
}

#[test]
fn hourly_steps_are_elapsed_time() {
    let berlin = zone("Europe/Berlin");
    let spring = starts(&berlin, "FREQ=HOURLY;COUNT=4", "2026-03-29T00:00", 9);
    let expected = [
        "20260329T0000 = 20260328T2300Z",
        "20260329T0100 = 20260329T0000Z",
        "20260329T0300 = 20260329T0100Z",
        "20260329T0400 = 20260329T0200Z",
    ];
    assert_eq!(spring, expected);
    let autumn = starts(&berlin, "FREQ=MINUTELY;INTERVAL=30;BYHOUR=2", "2026-10-25T02:00", 5);
    let expected = [
        "20261025T0200 = 20261025T0000Z",
        "20261025T0230 = 20261025T0030Z",
        "20261025T0200 = 20261025T0100Z",
        "20261025T0230 = 20261025T0130Z",
        "20261026T0200 = 20261026T0100Z",
    ];
    assert_eq!(autumn, expected);
}

#[test]
fn filters_of_elapsed_steps_look_at_the_wall() {
    let berlin = zone("Europe/Berlin");
    // Every second hour from an even one; after the change in spring these are odd hours, in autumn the even ones
    // again.
    let odd = starts(&berlin, "FREQ=HOURLY;INTERVAL=2;BYHOUR=9", "2026-01-01T00:00", 1);
    assert_eq!(odd, ["20260329T0900 = 20260329T0700Z"]);
    let both = starts(&berlin, "FREQ=MINUTELY;BYHOUR=9;BYMINUTE=30;BYDAY=SU", "2026-03-22T00:00", 2);
    assert_eq!(both, ["20260322T0930 = 20260322T0830Z", "20260329T0930 = 20260329T0730Z"]);
    // The second pass of an hour is not jumped over on the way to the next day.
    let twice = starts(&berlin, "FREQ=MINUTELY;BYHOUR=2;BYMINUTE=10", "2026-10-25T00:00", 3);
    let expected =
        ["20261025T0210 = 20261025T0010Z", "20261025T0210 = 20261025T0110Z", "20261026T0210 = 20261026T0110Z"];
    assert_eq!(twice, expected);
}

#[test]
fn byweekno_without_byday_takes_the_weekday_of_dtstart() {
    let found = civil_times("FREQ=YEARLY;BYWEEKNO=20", "2026-05-13T09:00", 3);
    assert_eq!(found, ["2026-05-13", "2027-05-19", "2028-05-17"]);
}

#[test]
fn week_1_is_an_instance_although_its_monday_lies_in_december() {
    let found = civil_times("FREQ=YEARLY;BYWEEKNO=1;BYDAY=MO", "2024-01-01T09:00", 4);
    assert_eq!(found, ["2024-01-01", "2024-12-30", "2025-12-29", "2027-01-04"]);
}

#[test]
fn byweekno_counts_years_of_weeks() {
    // The week that begins on 29 December 2025 is the first of 2026, two years after 2024.
    let found = civil_times("FREQ=YEARLY;INTERVAL=2;BYWEEKNO=1;BYDAY=MO", "2024-01-01T09:00", 3);
    assert_eq!(found, ["2024-01-01", "2025-12-29", "2028-01-03"]);
    // 2022-01-02 belongs to week 52 of 2021.
    let found = civil_times("FREQ=YEARLY;BYWEEKNO=53;BYDAY=SU", "2020-01-01T09:00", 3);
    assert_eq!(found, ["2021-01-03", "2027-01-03", "2033-01-02"]);
    assert_eq!(civil_times("FREQ=YEARLY;BYWEEKNO=-1;BYDAY=SU", "2020-01-01T09:00", 2), ["2021-01-03", "2022-01-02"]);
    // An ordinal means nothing in a week.
    let found = civil_times("FREQ=YEARLY;BYWEEKNO=20;BYDAY=1MO", "2026-01-01T09:00", 2);
    assert_eq!(found, ["2026-05-11", "2027-05-17"]);
}

#[test]
fn weekly_bysetpos_counts_in_the_whole_week() {
    let found = civil_times("FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=1,3", "2024-10-23T09:00", 3);
    assert_eq!(found, ["2024-10-23", "2024-10-28", "2024-10-30"]);
    let found = civil_times("FREQ=WEEKLY;BYDAY=MO,FR;BYSETPOS=1", "2024-10-23T09:00", 2);
    assert_eq!(found, ["2024-10-28", "2024-11-04"]);
}

#[test]
fn yearly_bymonthday_without_bymonth_is_every_month() {
    let found = civil_times("FREQ=YEARLY;BYMONTHDAY=29", "2023-01-29T09:00", 3);
    assert_eq!(found, ["2023-01-29", "2023-03-29", "2023-04-29"]);
}

#[test]
fn ordinals_and_plain_weekdays_add_up() {
    let found = civil_times("FREQ=MONTHLY;BYDAY=1MO,-1FR,WE", "2026-01-01T09:00", 6);
    assert_eq!(found, ["2026-01-05", "2026-01-07", "2026-01-14", "2026-01-21", "2026-01-28", "2026-01-30"]);
    let found = civil_times("FREQ=MONTHLY;BYDAY=1MO,MO", "2026-01-01T09:00", 3);
    assert_eq!(found, ["2026-01-05", "2026-01-12", "2026-01-19"]);
}

#[test]
fn ordinals_count_from_the_end_and_in_the_year() {
    let found = civil_times("FREQ=MONTHLY;BYDAY=-5MO", "2026-01-01T09:00", 2);
    assert_eq!(found, ["2026-03-02", "2026-06-01"]);
    assert_eq!(civil_times("FREQ=YEARLY;BYDAY=-53SU", "2026-01-01T09:00", 2), ["2028-01-02", "2034-01-01"]);
    assert_eq!(civil_times("FREQ=YEARLY;BYDAY=20MO", "1997-05-19T09:00", 2), ["1997-05-19", "1998-05-18"]);
    assert_eq!(civil_times("FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU", "2026-01-01T09:00", 2), ["2026-03-29", "2027-03-28"]);
}

#[test]
fn ordinals_mean_nothing_in_a_week_or_a_day() {
    assert_eq!(
        civil_times("FREQ=WEEKLY;BYDAY=1MO,-2WE", "2026-01-05T09:00", 3),
        civil_times("FREQ=WEEKLY;BYDAY=MO,WE", "2026-01-05T09:00", 3)
    );
    assert_eq!(civil_times("FREQ=DAILY;BYDAY=1MO", "2026-01-05T09:00", 3), ["2026-01-05", "2026-01-12", "2026-01-19"]);
}

#[test]
fn byday_beside_bymonthday_must_hold_too() {
    let found = civil_times("FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", "1997-09-02T09:00", 5);
    assert_eq!(found, ["1998-02-13", "1998-03-13", "1998-11-13", "1999-08-13", "2000-10-13"]);
}

#[test]
fn byyearday_counts_from_both_ends() {
    let found = civil_times("FREQ=YEARLY;BYYEARDAY=1,-1,366", "2023-06-01T09:00", 5);
    assert_eq!(found, ["2023-12-31", "2024-01-01", "2024-12-31", "2025-01-01", "2025-12-31"]);
}

#[test]
fn the_times_of_an_all_day_series_are_ignored() {
    let found = days(&Zone::utc(), "FREQ=DAILY;BYHOUR=9,17;BYMINUTE=30;BYSECOND=5", "2026-01-05T00:00", 3);
    assert_eq!(found, ["2026-01-05", "2026-01-06", "2026-01-07"]);
    assert_eq!(days(&Zone::utc(), "FREQ=HOURLY;INTERVAL=36", "2026-01-05T00:00", 2), ["2026-01-05", "2026-01-08"]);
}

#[test]
fn an_all_day_series_lies_at_local_midnight() {
    let santiago = zone("America/Santiago");
    let series = Series::new(&Rule::parse("FREQ=WEEKLY").unwrap(), civil("2026-08-30T00:00"), true, &santiago, None);
    let at: Vec<String> = series.from(UtcMillis::MIN).take(2).map(|start| start.at.basic()).collect();
    assert_eq!(at, ["20260830T040000Z", "20260906T040000Z"]);
}

#[test]
fn skip_moves_dates_that_do_not_exist() {
    let rule = "RSCALE=GREGORIAN;FREQ=MONTHLY;COUNT=4";
    let start = "2026-01-31T09:00";
    assert_eq!(civil_times(rule, start, 9), ["2026-01-31", "2026-03-31", "2026-05-31", "2026-07-31"]);
    let found = civil_times(&format!("{rule};SKIP=BACKWARD"), start, 9);
    assert_eq!(found, ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30"]);
    let found = civil_times(&format!("{rule};SKIP=FORWARD"), start, 9);
    assert_eq!(found, ["2026-01-31", "2026-03-01", "2026-03-31", "2026-05-01"]);
    let leap = |skip| civil_times(&format!("RSCALE=GREGORIAN;FREQ=YEARLY;SKIP={skip}"), "2024-02-29T09:00", 2);
    assert_eq!(leap("OMIT"), ["2024-02-29", "2028-02-29"]);
    assert_eq!(leap("BACKWARD"), ["2024-02-29", "2025-02-28"]);
    assert_eq!(leap("FORWARD"), ["2024-02-29", "2025-03-01"]);
}

#[test]
fn skip_comes_before_byday_and_gives_no_day_twice() {
    let rule = "RSCALE=GREGORIAN;FREQ=MONTHLY;BYMONTHDAY=1,30,31;SKIP=FORWARD";
    let found = civil_times(rule, "2026-02-01T09:00", 6);
    assert_eq!(found, ["2026-02-01", "2026-03-01", "2026-03-30", "2026-03-31", "2026-04-01", "2026-04-30"]);
    let found = civil_times(&format!("{rule};BYDAY=SU"), "2026-02-02T09:00", 2);
    assert_eq!(found, ["2026-03-01", "2026-05-31"]);
    let found = civil_times("RSCALE=GREGORIAN;FREQ=YEARLY;BYYEARDAY=1,366;SKIP=FORWARD", "2025-06-01T09:00", 3);
    assert_eq!(found, ["2026-01-01", "2027-01-01", "2028-01-01"]);
}

#[test]
fn count_is_counted_once_and_remembered() {
    for (rule, last) in [
        ("FREQ=DAILY;BYDAY=MO,FR;COUNT=5", "2026-01-19T09:00"),
        ("FREQ=MONTHLY;BYMONTHDAY=31;COUNT=3", "2026-05-31T09:00"),
        ("FREQ=WEEKLY;BYDAY=MO,TU;BYHOUR=9,18;COUNT=7", "2026-01-13T09:00"),
        ("FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1,1;COUNT=4", "2028-01-03T09:00"),
        ("FREQ=MINUTELY;INTERVAL=7;COUNT=1000000000", "15335-02-19T21:53"),
        ("FREQ=HOURLY;BYHOUR=9;COUNT=3", "2026-01-07T09:00"),
    ] {
        let parsed = Rule::parse(rule).unwrap();
        let series = Series::new(&parsed, civil("2026-01-05T09:00"), false, &Zone::utc(), None);
        if last.len() > 16 {
            assert_eq!(series.last(), None, "{rule}");
            continue;
        }
        assert_eq!(series.last(), Some(civil(last)), "{rule}");
        assert_eq!(series.from(UtcMillis::MIN).last().unwrap().civil, civil(last));
        // What is remembered is believed.
        let earlier = Some(civil("2026-01-09T09:00"));
        let series = Series::new(&parsed, civil("2026-01-05T09:00"), false, &Zone::utc(), earlier);
        assert_eq!(series.last(), earlier);
        assert!(series.from(UtcMillis::MIN).all(|start| start.civil <= civil("2026-01-09T09:00")));
    }
    let series = Series::new(&Rule::parse("FREQ=DAILY").unwrap(), civil("2026-01-05T09:00"), false, &Zone::utc(), None);
    assert_eq!(series.last(), None);
}

#[test]
fn a_count_of_elapsed_steps_survives_the_hour_that_comes_twice() {
    let berlin = zone("Europe/Berlin");
    let rule = Rule::parse("FREQ=HOURLY;COUNT=4").unwrap();
    let first = Series::new(&rule, civil("2026-10-25T00:30"), false, &berlin, None);
    let again = Series::new(&rule, civil("2026-10-25T00:30"), false, &berlin, first.last());
    let all: Vec<OccurrenceStart> = again.from(UtcMillis::MIN).collect();
    assert_eq!(all, first.from(UtcMillis::MIN).collect::<Vec<_>>());
    assert_eq!((all.len(), all[3].civil, all[2].civil), (4, civil("2026-10-25T02:30"), civil("2026-10-25T02:30")));
}

#[test]
fn the_first_start_at_or_after_an_instant_counts() {
    let series = Series::new(&Rule::parse("FREQ=DAILY").unwrap(), civil("2026-01-05T09:00"), false, &Zone::utc(), None);
    let at = UtcMillis::parse("2026-01-07T09:00:00Z").unwrap();
    assert_eq!(series.from(at).next().unwrap().at, at);
    let tomorrow = UtcMillis::parse("2026-01-08T09:00:00Z").unwrap();
    assert_eq!(series.from(at.just_after()).next().unwrap().at, tomorrow);
    assert_eq!(series.from(UtcMillis::MAX).next(), None);
}

#[test]
fn what_programs_write_in_their_own_way() {
    // Exchange: INTERVAL and WKST always; Google: lists and UNTIL in UTC; Lotus: blanks, empty parts, ordinals in
    // weeks.
    let found = civil_times("FREQ=MONTHLY;UNTIL=20260401T070000Z;INTERVAL=1;BYDAY=2TU;WKST=SU", "2026-01-13T08:00", 9);
    assert_eq!(found, ["2026-01-13", "2026-02-10", "2026-03-10"]);
    let found = civil_times("FREQ=WEEKLY; INTERVAL=1; BYDAY=;COUNT=2;X-LOTUS=1", "2026-01-13T08:00", 9);
    assert_eq!(found, ["2026-01-13", "2026-01-20"]);
    let found = civil_times("FREQ=YEARLY;INTERVAL=1;BYMONTH=1;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", "2026-01-13T08:00", 2);
    assert_eq!(found, ["2026-01-30", "2027-01-29"]);
}

#[test]
fn observances_are_expanded_on_their_own_wall() {
    let rule = Rule::parse("FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU;UNTIL=19990328T010000Z").unwrap();
    let observance = CivilSeries::new(&rule, civil("1996-03-31T02:00"), 3600);
    let years = |from: &str| observance.from(civil(from)).map(|at| at.to_string()).collect::<Vec<_>>();
    assert_eq!(years("0001-01-01T00:00").len(), 4);
    assert_eq!(years("1998-03-29T02:00"), ["1998-03-29T02:00:00", "1999-03-28T02:00:00"]);
    assert_eq!(years("1998-03-29T02:00:01"), ["1999-03-28T02:00:00"]);
    // An hour less in local time, and the last one lies after UNTIL.
    assert_eq!(CivilSeries::new(&rule, civil("1996-03-31T02:00"), 0).from(civil("1999-01-01T00:00")).count(), 0);
    let every_second = CivilSeries::new(&Rule::parse("FREQ=SECONDLY").unwrap(), civil("1996-03-31T02:00"), 3600);
    assert_eq!(every_second.from(civil("2026-03-29T02:00")).next(), Some(civil("2026-03-29T02:00")));
    let counted = CivilSeries::new(&Rule::parse("FREQ=DAILY;COUNT=3").unwrap(), civil("1996-03-31T02:00"), 3600);
    assert_eq!(counted.from(civil("1996-04-01T00:00")).count(), 2);
}

/// What [`Rule::read`] makes of `text`: the starts of a series from Monday 2026-01-05, and the number of slips.
fn read(text: &str) -> (Vec<String>, usize) {
    let ReadRule { rule, slips } = Rule::read(text).unwrap();
    let series = Series::new(&rule, civil("2026-01-05T09:00"), false, &Zone::utc(), None);
    (series.from(UtcMillis(0)).take(9).map(|start| start.civil.strftime("%m%d").to_string()).collect(), slips.len())
}

#[test]
fn a_rule_with_a_slip_is_read_as_it_is_meant() {
    let three = ["0105", "0112", "0119"];
    for text in [
        "RRULE:FREQ=WEEKLY;COUNT=3",
        "RRULE:RRULE:FREQ=WEEKLY;COUNT=3",
        r"FREQ=WEEKLY\;COUNT=3",
        "\"FREQ=WEEKLY;COUNT=3\"",
        "FREQ=WEEKLY,COUNT=3",
        "FREQ=WEEKLY;COUNT=3;ANYTHING",
        "FREQ=WEEKLY;INTERVAL=0;COUNT=3",
        "FREQ=WEEKLY;UNTIL=20260119T0900Z",
        "FREQ=WEEKLY;UNTIL=2026-01-19",
        "FREQ=WEEKLY;UNTIL=20260119T90000Z",
        "FREQ=WEEKLY;UNTIL=2026-01-19T09:00:00+00:00",
        "FREQ=WEEKLY;COUNT=3;WKST=XX",
        "FREQ=WEEKLY;COUNT=3;BYDAY=Monday",
        "FREQ=WEEKLY;COUNT=3;BYDAY=MON",
        "FREQ=WEEKLY;COUNT=3;BYDAY=0MO",
        "FREQ=WEEKLY;COUNT=3;BYDAY=XX",
        "FREQ=WEEKLY;COUNT=3;BYSETPOS=0",
        "FREQ=WEEKLY;COUNT=3;BYMONTH=0",
        "FREQ=WEEKLY;COUNT=3;BYHOUR=9,x",
    ] {
        let (starts, slips) = read(text);
        assert_eq!(starts, three, "{text}");
        assert_eq!(slips, 1, "{text}");
    }
    assert_eq!(read("FREQ=WEEKLY;BYDAY=MO TU;COUNT=3").0, ["0105", "0106", "0112"]);
    // The last day of that month.
    for until in ["20260431", "20260431T090000Z", "20260431T080000"] {
        let (starts, slips) = read(&format!("FREQ=MONTHLY;UNTIL={until}"));
        assert_eq!(starts, ["0105", "0205", "0305", "0405"], "{until}");
        assert_eq!(slips, 1, "{until}");
    }
    for endless in ["FREQ=DAILY;COUNT=0", "FREQ=DAILY;COUNT=-1", "FREQ=DAILY;UNTIL=never"] {
        assert_eq!(read(endless).0.len(), 9, "{endless}");
    }
}

#[test]
fn a_rule_whose_meaning_cannot_be_guessed_is_refused() {
    for text in [
        "",
        "COUNT=3",
        "FREQ=SOMETIMES",
        "D1 #5",
        "FREQ=YEARLY;BYEASTER=0",
        "RSCALE=HEBREW;FREQ=YEARLY",
        "FREQ=MONTHLY;BYDAY=999MO",
        "FREQ=YEARLY;BYMONTH=13",
    ] {
        assert!(Rule::read(text).is_err(), "{text}");
    }
}

#[test]
fn until_in_utc_ends_a_floating_series_by_its_wall_or_its_instant() {
    let rule = Rule::parse("FREQ=DAILY;UNTIL=20260107T083000Z").unwrap();
    let count = |id: &str| {
        let zone = zone(id);
        let series = Series::new(&rule.clone().of_floating(&zone), civil("2026-01-05T08:30"), false, &zone, None);
        series.from(UtcMillis(0)).count()
    };
    assert_eq!([count("Asia/Tokyo"), count("America/New_York"), count("UTC")], [3, 3, 3]);
}

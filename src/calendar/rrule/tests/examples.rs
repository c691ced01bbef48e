//! The examples of RFC 5545, 3.8.5.3, and of RFC 7529, 4.2: rule, DTSTART (09:00 where no time is given), what the text
//! lists of it.

use super::*;

/// Checks the local times of a rule; the days are separated by blanks, `mm-dd` is one of the year before it.
#[track_caller]
fn example(rule: &str, start: &str, listed: &str) {
    let mut year = String::new();
    let expected: Vec<String> = listed
        .split_ascii_whitespace()
        .map(|day| {
            let full = if day.len() > 5 { day.to_owned() } else { format!("{year}-{day}") };
            full[..4].clone_into(&mut year);
            full
        })
        .collect();
    let found = civil_times(rule, &format!("{start}T09:00"), expected.len() + 1);
    assert_eq!(found[..expected.len().min(found.len())], expected, "{rule}");
    let ends = rule.contains("COUNT") || rule.contains("UNTIL");
    assert_eq!(found.len() > expected.len(), !ends, "{rule}");
}

#[test]
fn daily() {
    example("FREQ=DAILY;COUNT=10", "1997-09-02", "1997-09-02 09-03 09-04 09-05 09-06 09-07 09-08 09-09 09-10 09-11");
    example("FREQ=DAILY;INTERVAL=2", "1997-09-02", "1997-09-02 09-04 09-06 09-08");
    example("FREQ=DAILY;INTERVAL=10;COUNT=5", "1997-09-02", "1997-09-02 09-12 09-22 10-02 10-12");
    let every_day = civil_times("FREQ=DAILY;UNTIL=20000131T140000Z;BYMONTH=1", "1998-01-01T09:00", 999);
    let yearly = "FREQ=YEARLY;UNTIL=20000131T140000Z;BYMONTH=1;BYDAY=SU,MO,TU,WE,TH,FR,SA";
    assert_eq!(every_day.len(), 93);
    assert_eq!(every_day, civil_times(yearly, "1998-01-01T09:00", 999));
}

#[test]
fn weekly() {
    example("FREQ=WEEKLY;COUNT=10", "1997-09-02", "1997-09-02 09-09 09-16 09-23 09-30 10-07 10-14 10-21 10-28 11-04");
    example("FREQ=WEEKLY;INTERVAL=2;WKST=SU", "1997-09-02", "1997-09-02 09-16 09-30 10-14 10-28 11-11 11-25 12-09");
    let listed = "1997-09-02 09-04 09-09 09-11 09-16 09-18 09-23 09-25 09-30 10-02";
    example("FREQ=WEEKLY;COUNT=10;WKST=SU;BYDAY=TU,TH", "1997-09-02", listed);
    let listed = "1997-09-01 09-03 09-05 09-15 09-17 09-19 09-29 10-01 10-03 10-13 10-15 10-17 10-27 10-29 10-31 11-10 \
                  11-12 11-14 11-24 11-26 11-28 12-08 12-10 12-12 12-22";
    example("FREQ=WEEKLY;INTERVAL=2;UNTIL=19971224T000000Z;WKST=SU;BYDAY=MO,WE,FR", "1997-09-01", listed);
    let listed = "1997-09-02 09-04 09-16 09-18 09-30 10-02 10-14 10-16";
    example("FREQ=WEEKLY;INTERVAL=2;COUNT=8;WKST=SU;BYDAY=TU,TH", "1997-09-02", listed);
    example("FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO", "1997-08-05", "1997-08-05 08-10 08-19 08-24");
    example("FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU", "1997-08-05", "1997-08-05 08-17 08-19 08-31");
}

#[test]
fn monthly() {
    let listed = "1997-09-05 10-03 11-07 12-05 1998-01-02 02-06 03-06 04-03 05-01 06-05";
    example("FREQ=MONTHLY;COUNT=10;BYDAY=1FR", "1997-09-05", listed);
    let listed = "1997-09-07 09-28 11-02 11-30 1998-01-04 01-25 03-01 03-29 05-03 05-31";
    example("FREQ=MONTHLY;INTERVAL=2;COUNT=10;BYDAY=1SU,-1SU", "1997-09-07", listed);
    example("FREQ=MONTHLY;COUNT=6;BYDAY=-2MO", "1997-09-22", "1997-09-22 10-20 11-17 12-22 1998-01-19 02-16");
    example("FREQ=MONTHLY;BYMONTHDAY=-3", "1997-09-28", "1997-09-28 10-29 11-28 12-29 1998-01-29 02-26");
    let listed = "1997-09-02 09-15 10-02 10-15 11-02 11-15 12-02 12-15 1998-01-02 01-15";
    example("FREQ=MONTHLY;COUNT=10;BYMONTHDAY=2,15", "1997-09-02", listed);
    let listed = "1997-09-30 10-01 10-31 11-01 11-30 12-01 12-31 1998-01-01 01-31 02-01";
    example("FREQ=MONTHLY;COUNT=10;BYMONTHDAY=1,-1", "1997-09-30", listed);
    let listed = "1997-09-10 09-11 09-12 09-13 09-14 09-15 1999-03-10 03-11 03-12 03-13";
    example("FREQ=MONTHLY;INTERVAL=18;COUNT=10;BYMONTHDAY=10,11,12,13,14,15", "1997-09-10", listed);
    let listed = "1997-09-02 09-09 09-16 09-23 09-30 11-04 11-11 11-18 11-25 1998-01-06 01-13 01-20 01-27";
    example("FREQ=MONTHLY;INTERVAL=2;BYDAY=TU", "1997-09-02", listed);
    let listed = "1997-09-13 10-11 11-08 12-13 1998-01-10 02-07 03-07 04-11 05-09 06-13";
    example("FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13", "1997-09-13", listed);
    example("FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3", "1997-09-04", "1997-09-04 10-07 11-06");
    let listed = "1997-09-29 10-30 11-27 12-30 1998-01-29 02-26 03-30";
    example("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2", "1997-09-29", listed);
    example("FREQ=MONTHLY;BYMONTHDAY=15,30;COUNT=5", "2007-01-15", "2007-01-15 01-30 02-15 03-15 03-30");
}

#[test]
fn yearly() {
    let listed = "1997-06-10 07-10 1998-06-10 07-10 1999-06-10 07-10 2000-06-10 07-10 2001-06-10 07-10";
    example("FREQ=YEARLY;COUNT=10;BYMONTH=6,7", "1997-06-10", listed);
    let listed = "1997-03-10 1999-01-10 02-10 03-10 2001-01-10 02-10 03-10 2003-01-10 02-10 03-10";
    example("FREQ=YEARLY;INTERVAL=2;COUNT=10;BYMONTH=1,2,3", "1997-03-10", listed);
    let listed = "1997-01-01 04-10 07-19 2000-01-01 04-09 07-18 2003-01-01 04-10 07-19 2006-01-01";
    example("FREQ=YEARLY;INTERVAL=3;COUNT=10;BYYEARDAY=1,100,200", "1997-01-01", listed);
    example("FREQ=YEARLY;BYDAY=20MO", "1997-05-19", "1997-05-19 1998-05-18 1999-05-17");
    example("FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO", "1997-05-12", "1997-05-12 1998-05-11 1999-05-17");
    let listed = "1997-03-13 03-20 03-27 1998-03-05 03-12 03-19 03-26 1999-03-04 03-11 03-18 03-25";
    example("FREQ=YEARLY;BYMONTH=3;BYDAY=TH", "1997-03-13", listed);
    let listed = "1996-11-05 2000-11-07 2004-11-02";
    example("FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8", "1996-11-05", listed);
}

#[test]
fn within_a_day() {
    let found = civil_times("FREQ=HOURLY;INTERVAL=3;UNTIL=19970902T170000", "1997-09-02T09:00", 9);
    assert_eq!(found, ["1997-09-02", "1997-09-02 12:00:00", "1997-09-02 15:00:00"]);
    let found = civil_times("FREQ=MINUTELY;INTERVAL=15;COUNT=6", "1997-09-02T09:00", 9);
    assert_eq!(found[5], "1997-09-02 10:15:00");
    let found = civil_times("FREQ=MINUTELY;INTERVAL=90;COUNT=4", "1997-09-02T09:00", 9);
    assert_eq!(found[3], "1997-09-02 13:30:00");
    let daily = "FREQ=DAILY;BYHOUR=9,10,11,12,13,14,15,16;BYMINUTE=0,20,40";
    let minutely = "FREQ=MINUTELY;INTERVAL=20;BYHOUR=9,10,11,12,13,14,15,16";
    assert_eq!(civil_times(daily, "1997-09-02T09:00", 200), civil_times(minutely, "1997-09-02T09:00", 200));
}

#[test]
fn skip_of_rfc_7529() {
    let start = "2014-01-31";
    example("RSCALE=GREGORIAN;FREQ=MONTHLY;SKIP=OMIT;COUNT=4", start, "2014-01-31 03-31 05-31 07-31");
    example("RSCALE=GREGORIAN;FREQ=MONTHLY;SKIP=BACKWARD;COUNT=4", start, "2014-01-31 02-28 03-31 04-30");
    example("RSCALE=GREGORIAN;FREQ=MONTHLY;SKIP=FORWARD;COUNT=4", start, "2014-01-31 03-01 03-31 05-01");
}

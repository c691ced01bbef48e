//! Synthetic calendars from a seed: the same seed gives the same objects on every machine. The mix is that of calendars
//! that people have: half of it single events, the rest weekly meetings, birthdays, monthly and daily things; some
//! ended long ago, some years old and endless; most with one alarm, some with none or three; from 300 octets to some
//! kB.

use std::fmt::Write as _;

use jiff::SignedDuration;

use reveille::time::UtcMillis;

const DAY: SignedDuration = SignedDuration::from_hours(24);
const QUARTER_HOUR: SignedDuration = SignedDuration::from_mins(15);

/// Zones, the more common ones more often.
const ZONES: [&str; 8] = [
    "Europe/Berlin",
    "Europe/Berlin",
    "Europe/London",
    "America/New_York",
    "America/Los_Angeles",
    "Asia/Kolkata",
    "Asia/Tokyo",
    "Australia/Sydney",
];
const TOPICS: [&str; 8] = ["Planning", "Review", "Dentist", "Choir", "Lunch with Ada", "Standup", "Yoga", "Budget"];
const NAMES: [&str; 6] = ["Mary Moss", "Nils Ahorn", "Olga Birke", "Petra Linde", "Quentin Ash", "Rosa Weide"];
const WORDS: [&str; 12] = [
    "agenda",
    "notes",
    "from",
    "the last",
    "meeting\\,",
    "open questions",
    "room",
    "who brings",
    "cake",
    "numbers",
    "deadline",
    "and",
];
const TRIGGERS: [&str; 6] = ["-PT15M", "-PT10M", "-PT1H", "PT0S", "-P1D", "-PT5M"];

/// A source of objects.
#[derive(Clone, Copy, Debug)]
pub(super) struct Generator {
    seed: u64,
}

/// Numbers that look random (splitmix64).
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 or more, less than `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        let at = self.below(choices.len() as u64) as usize;
        choices.get(at).copied().unwrap_or_default()
    }
}

/// The UID of object number `n`. In the order of the numbers.
pub(super) fn uid(n: u64) -> String {
    format!("{n:09}@bench.example.org")
}

/// The file of object number `n`, likewise.
pub(super) fn file(n: u64) -> String {
    format!("{n:09}.ics")
}

impl Generator {
    pub(super) fn new(seed: u64) -> Generator {
        Generator { seed }
    }

    fn dice(self, n: u64) -> Dice {
        Dice(self.seed ^ n.wrapping_mul(0xd6e8_feb8_6659_fd93))
    }

    /// Object number `n` of a calendar as people have them, as of `now`.
    pub(super) fn mixed(self, n: u64, now: UtcMillis) -> String {
        let mut dice = self.dice(n);
        let rule = rule(&mut dice, now);
        let start = match rule.as_str() {
            // What happens once is mostly of the last two years or the next one; what repeats may be ten years old.
            "" => now.saturating_add((dice.below(1_100) as i32 - 730) * DAY),
            _ => now.saturating_add((dice.below(3_700) as i32 - 3_650) * DAY),
        };
        let times = times(&mut dice, start);
        let mut text = head(n);
        text += &format!("{times}{rule}");
        body(&mut dice, &mut text);
        for _ in 0..[1, 1, 1, 1, 1, 1, 2, 2, 3, 0].get(dice.below(10) as usize).copied().unwrap_or(1) {
            alarm(dice.one_of(&TRIGGERS), &mut text);
        }
        text + TAIL
    }

    /// Object number `n`, a plain meeting that is due at `due`, a whole second.
    pub(super) fn due(self, n: u64, due: UtcMillis) -> String {
        meeting(n, due, "")
    }

    /// Object number `n`, a daily meeting that began ten years ago and is due at `due` among other days.
    pub(super) fn daily(self, n: u64, due: UtcMillis) -> String {
        meeting(n, due.saturating_sub(3_652 * DAY), "RRULE:FREQ=DAILY\r\n")
    }
}

const TAIL: &str = "END:VEVENT\r\nEND:VCALENDAR\r\n";

fn head(n: u64) -> String {
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//reveille//bench//EN\r\nBEGIN:VEVENT\r\nUID:{}\r\n\
         DTSTAMP:20260101T000000Z\r\n",
        uid(n)
    )
}

fn meeting(n: u64, start: UtcMillis, rule: &str) -> String {
    let mut text = head(n);
    text += &format!(
        "DTSTART:{}\r\nDURATION:PT30M\r\n{rule}SUMMARY:Meeting {n}\r\nLOCATION:Room {}\r\n\
         DESCRIPTION:What there is to talk about\\, and who brings the cake\r\n",
        start.basic(),
        n % 40
    );
    alarm("PT0S", &mut text);
    text + TAIL
}

fn alarm(trigger: &str, text: &mut String) {
    let _ =
        write!(text, "BEGIN:VALARM\r\nACTION:DISPLAY\r\nTRIGGER:{trigger}\r\nDESCRIPTION:Reminder\r\nEND:VALARM\r\n");
}

/// A recurrence rule; half of the time none.
fn rule(dice: &mut Dice, now: UtcMillis) -> String {
    let end = match dice.below(10) {
        0..=1 => format!(";COUNT={}", 2 + dice.below(200)),
        2..=3 => format!(";UNTIL={}", now.saturating_add((dice.below(2_000) as i32 - 1_500) * DAY).basic()),
        _ => String::new(),
    };
    let rule = match dice.below(20) {
        0..=10 => return String::new(),
        11..=13 => "FREQ=WEEKLY",
        14 => "FREQ=WEEKLY;BYDAY=MO,WE,FR",
        15 => "FREQ=WEEKLY;INTERVAL=2",
        16 => "FREQ=MONTHLY;BYDAY=-1FR",
        17 => "FREQ=MONTHLY",
        18 => "FREQ=DAILY",
        _ => "FREQ=YEARLY",
    };
    format!("RRULE:{rule}{end}\r\n")
}

/// The lines of DTSTART and DTEND: at a quarter of an hour by day in a zone, in UTC, floating, or all day.
fn times(dice: &mut Dice, day: UtcMillis) -> String {
    let midnight = UtcMillis::from_seconds(day.seconds().div_euclid(DAY.as_secs()) * DAY.as_secs());
    let start = midnight.saturating_add((7 * 4 + dice.below(12 * 4) as i32) * QUARTER_HOUR);
    let end = start.saturating_add((1 + dice.below(8) as i32) * QUARTER_HOUR);
    let wall = |at: UtcMillis| at.basic().trim_end_matches('Z').to_owned();
    match dice.below(20) {
        0..=2 => {
            let date = |at: UtcMillis| at.basic().chars().take(8).collect::<String>();
            let (first, next) = (date(midnight), date(midnight.saturating_add(DAY)));
            format!("DTSTART;VALUE=DATE:{first}\r\nDTEND;VALUE=DATE:{next}\r\n")
        }
        3..=4 => format!("DTSTART:{}\r\nDTEND:{}\r\n", start.basic(), end.basic()),
        5 => format!("DTSTART:{}\r\nDTEND:{}\r\n", wall(start), wall(end)),
        _ => {
            let zone = dice.one_of(&ZONES);
            format!("DTSTART;TZID={zone}:{}\r\nDTEND;TZID={zone}:{}\r\n", wall(start), wall(end))
        }
    }
}

/// What people write into events: most write little, some much.
fn body(dice: &mut Dice, text: &mut String) {
    let _ = write!(text, "SUMMARY:{} {}\r\n", dice.one_of(&TOPICS), dice.below(1_000));
    if dice.below(3) > 0 {
        let _ = write!(text, "LOCATION:Room {}\r\n", dice.below(40));
    }
    let words = match dice.below(100) {
        0..=39 => 0,
        40..=89 => 5 + dice.below(30),
        90..=98 => 50 + dice.below(150),
        _ => 400 + dice.below(600),
    };
    if words > 0 {
        text.push_str("DESCRIPTION:");
        for at in 0..words {
            // Folded at about 75 octets (RFC 5545, 3.1).
            text.push_str(if at > 0 && at % 8 == 0 { "\r\n  " } else { " " });
            text.push_str(dice.one_of(&WORDS));
        }
        text.push_str("\r\n");
    }
    if dice.below(4) == 0 {
        text.push_str("ORGANIZER;CN=Mary Moss:mailto:mary@example.org\r\n");
        for at in 0..1 + dice.below(8) {
            let name = dice.one_of(&NAMES);
            let _ = write!(text, "ATTENDEE;CN={name};PARTSTAT=ACCEPTED:mailto:guest{at}@example.org\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Generator, uid};
    use reveille::calendar::context::CalendarContext;
    use reveille::calendar::ical::object::{Object, ObjectLimits};
    use reveille::calendar::schedule::Schedule;
    use reveille::calendar::zone::Zones;
    use reveille::time::UtcMillis;

    const NOW: UtcMillis = UtcMillis(1_795_382_222_000);
    const JUST_BEFORE: UtcMillis = UtcMillis(NOW.0 - 1);

    fn next(text: &str, from: UtcMillis) -> Option<UtcMillis> {
        let object = Object::parse(text.as_bytes(), &ObjectLimits::default()).unwrap();
        let context = CalendarContext::new(Zones::bundled());
        let schedule = Schedule::new(&object, &context, None);
        assert!(schedule.faults().is_empty(), "{:?} in {text}", schedule.faults());
        schedule.next_instance(from)
    }

    #[test]
    fn mixed_objects_are_well_formed_and_many_of_them_fire_again() {
        let generator = Generator::new(7);
        let texts: Vec<String> = (0..1_000).map(|n| generator.mixed(n, NOW)).collect();
        let armed = texts.iter().filter(|text| next(text, NOW).is_some()).count();
        assert!((300..700).contains(&armed), "{armed} of 1000 fire again");
        let repeat = texts.iter().filter(|text| text.contains("RRULE")).count();
        assert!((350..550).contains(&repeat), "{repeat} of 1000 repeat");
        let octets: usize = texts.iter().map(String::len).sum();
        assert!((450_000..1_000_000).contains(&octets), "{octets} octets");
    }

    #[test]
    fn a_seed_gives_the_same_again_and_another_one_something_else() {
        let of = |seed: u64| (0..20).map(|n| Generator::new(seed).mixed(n, NOW)).collect::<Vec<_>>();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn what_is_to_be_due_is_due() {
        let generator = Generator::new(1);
        assert_eq!(next(&generator.due(3, NOW), JUST_BEFORE), Some(NOW));
        assert_eq!(next(&generator.due(3, NOW), NOW.just_after()), None);
        assert_eq!(next(&generator.daily(3, NOW), JUST_BEFORE), Some(NOW));
        assert_eq!(next(&generator.daily(3, NOW), NOW.just_after()), Some(NOW.saturating_add(super::DAY)));
        assert!(generator.due(3, NOW).contains(&uid(3)));
    }
}

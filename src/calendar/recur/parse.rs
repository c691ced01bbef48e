//! The text of a rule (RFC 5545, 3.3.10; RSCALE and SKIP: RFC 7529) to a [`Rule`]. It reads what calendars contain, in any
//! letter case and with stray blanks, and refuses what it would have to guess. It knows nothing of starts and zones.

use jiff::civil::{Date, DateTime, Time};

use super::sets::Ends;
use super::{Frequency, Rule, RuleError, Skip, Until};

/// Longer intervals than this reach beyond the year 9999 in every frequency; they are cut down to it.
const MAX_INTERVAL: u64 = 1_000_000_000_000;

/// Reads the value of an RRULE.
///
/// A repeated list adds to the first, of other repeated parts the last one holds. Unknown parts are passed over, except
/// those that would choose other days or times (`BY…`).
pub(super) fn rule(text: &str) -> Result<Rule, RuleError> {
    let text = text.trim();
    let mut parts: Vec<(String, &str)> = vec![];
    for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').ok_or_else(|| not_a_part(text, part))?;
        parts.push((name.trim().to_ascii_uppercase(), value.trim()));
    }
    let frequency = parts.iter().rfind(|(name, _)| name == "FREQ").map(|(_, value)| frequency(value));
    let mut rule = Rule::every(frequency.ok_or_else(|| error(format!("the rule '{}' has no FREQ", cut(text))))??);
    for (name, value) in &parts {
        apply(&mut rule, name, value)?;
    }
    Ok(rule)
}

fn apply(rule: &mut Rule, name: &str, value: &str) -> Result<(), RuleError> {
    match name {
        "INTERVAL" => rule.interval = positive(name, value)?.min(MAX_INTERVAL).cast_signed(),
        "COUNT" => rule.count = Some(positive(name, value)?),
        "UNTIL" => rule.until = Some(until(value)?),
        "WKST" => rule.days.week_start = weekday(value).ok_or_else(|| bad(name, value))?,
        "RSCALE" if !value.eq_ignore_ascii_case("GREGORIAN") => {
            return Err(error(format!(
                "the rule counts in the calendar '{}' (RSCALE); only GREGORIAN is supported",
                cut(value)
            )));
        }
        "SKIP" => rule.skip = skip(value)?,
        "BYMONTH" => each(name, value, 1, 12, |n| rule.days.months |= 1 << n)?,
        "BYWEEKNO" => each_signed(name, value, 53, |n| rule.days.weeks.insert(n))?,
        "BYYEARDAY" => each_signed(name, value, 366, |n| rule.days.year_days.get_or_insert_default().insert(n))?,
        "BYMONTHDAY" => each_signed(name, value, 31, |n| rule.days.month_days.insert(n))?,
        "BYDAY" => by_day(rule, value)?,
        "BYHOUR" => each(name, value, 0, 23, |n| *rule.hours.get_or_insert(0) |= 1 << n)?,
        "BYMINUTE" => each(name, value, 0, 59, |n| *rule.minutes.get_or_insert(0) |= 1 << n)?,
        // No clock here shows leap seconds: 60 is read as 59 (as RFC 5545, 3.3.12 says of times).
        "BYSECOND" => each(name, value, 0, 60, |n| *rule.seconds.get_or_insert(0) |= 1 << n.min(59))?,
        "BYSETPOS" => each_signed(name, value, 366, |n| rule.positions.push(n))?,
        _ if name.starts_with("BY") => {
            return Err(error(format!(
                "the rule has the part {}, which is unknown and would choose other days",
                cut(name)
            )));
        }
        _ => {}
    }
    Ok(())
}

fn by_day(rule: &mut Rule, value: &str) -> Result<(), RuleError> {
    for item in items(value) {
        let wrong = || bad("BYDAY", item);
        let split = item.len().checked_sub(2).ok_or_else(wrong)?;
        let (ordinal, name) = item.split_at_checked(split).ok_or_else(wrong)?;
        let day = weekday(name).ok_or_else(wrong)?;
        let ordinal = ordinal.trim();
        if ordinal.is_empty() {
            rule.days.weekdays |= 1 << day;
            continue;
        }
        let ordinal = signed(ordinal, 53).ok_or_else(wrong)?;
        let all = rule.days.ordinals.get_or_insert_with(|| Box::new([Ends::default(); 7]));
        if let Some(ends) = all.get_mut(day as usize) {
            ends.insert(ordinal);
        }
    }
    Ok(())
}

fn frequency(value: &str) -> Result<Frequency, RuleError> {
    Ok(match value.to_ascii_uppercase().as_str() {
        "YEARLY" => Frequency::Yearly,
        "MONTHLY" => Frequency::Monthly,
        "WEEKLY" => Frequency::Weekly,
        "DAILY" => Frequency::Daily,
        "HOURLY" => Frequency::Hourly,
        "MINUTELY" => Frequency::Minutely,
        "SECONDLY" => Frequency::Secondly,
        _ => return Err(bad("FREQ", value)),
    })
}

fn skip(value: &str) -> Result<Skip, RuleError> {
    Ok(match value.to_ascii_uppercase().as_str() {
        "OMIT" => Skip::Omit,
        "BACKWARD" => Skip::Backward,
        "FORWARD" => Skip::Forward,
        _ => return Err(bad("SKIP", value)),
    })
}

fn weekday(name: &str) -> Option<u32> {
    let names = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];
    (0..7).zip(names).find(|(_, known)| name.eq_ignore_ascii_case(known)).map(|(number, _)| number)
}

/// UNTIL as a date, a local time or a time in UTC.
fn until(value: &str) -> Result<Until, RuleError> {
    let wrong = || bad("UNTIL", value);
    let upper = value.to_ascii_uppercase();
    let (text, utc) = upper.strip_suffix('Z').map_or((upper.as_str(), false), |text| (text, true));
    let (date, time) = text.split_once('T').map_or((text, None), |(date, time)| (date, Some(time)));
    let date = eight_digits(date).ok_or_else(wrong)?;
    let Some(time) = time else { return Ok(Until::Date(date)) };
    let wall = six_digits(date, time).ok_or_else(wrong)?;
    Ok(if utc { Until::Utc(wall) } else { Until::Local(wall) })
}

fn eight_digits(text: &str) -> Option<Date> {
    let number = digits(text, 8)?;
    let part = |n: u64| i8::try_from(n).ok();
    let date = Date::new(i16::try_from(number / 10_000).ok()?, part(number / 100 % 100)?, part(number % 100)?).ok()?;
    (date.year() >= 1).then_some(date)
}

fn six_digits(date: Date, text: &str) -> Option<DateTime> {
    let number = digits(text, 6)?;
    let part = |n: u64| i8::try_from(n).ok();
    // A leap second is read as the one before it.
    let second = number % 100 - u64::from(number % 100 == 60);
    let time = Time::new(part(number / 10_000)?, part(number / 100 % 100)?, part(second)?, 0).ok()?;
    Some(date.to_datetime(time))
}

/// A number written with exactly `count` digits.
fn digits(text: &str, count: usize) -> Option<u64> {
    (text.len() == count && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// A number from 1 on; one with too many digits counts as the greatest.
fn positive(name: &str, value: &str) -> Result<u64, RuleError> {
    let text = value.strip_prefix('+').unwrap_or(value);
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad(name, value));
    }
    match text.parse().unwrap_or(u64::MAX) {
        0 => Err(bad(name, value)),
        number => Ok(number),
    }
}

/// A number from -limit to limit, without 0, with or without a sign.
fn signed(text: &str, limit: i32) -> Option<i32> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("-", rest) => (-1, rest),
        ("+", rest) => (1, rest),
        _ => (1, text),
    };
    if digits.len() > 6 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse::<i32>().ok()?;
    (1..=limit).contains(&number).then_some(sign * number)
}

/// The items of a list; empty ones (`BYDAY=`, `MO,,WE`) are passed over.
fn items(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn each(name: &str, value: &str, least: i32, most: i32, mut add: impl FnMut(i32)) -> Result<(), RuleError> {
    for item in items(value) {
        let number = if item.bytes().all(|b| b == b'0') { Some(0) } else { signed(item, most) };
        add(number.filter(|n| *n >= least && item.len() < 6).ok_or_else(|| bad(name, item))?);
    }
    Ok(())
}

fn each_signed(name: &str, value: &str, limit: i32, mut add: impl FnMut(i32)) -> Result<(), RuleError> {
    for item in items(value) {
        add(signed(item, limit).ok_or_else(|| bad(name, item))?);
    }
    Ok(())
}

fn bad(name: &str, value: &str) -> RuleError {
    error(format!("the rule's {name} cannot be '{}'", cut(value)))
}

fn not_a_part(text: &str, part: &str) -> RuleError {
    let first = text.split_ascii_whitespace().next().unwrap_or("");
    let old =
        first.len() < 8 && first.starts_with(['D', 'W', 'M', 'Y']) && first.ends_with(|c: char| c.is_ascii_digit());
    if old {
        return error(format!("'{}' is a rule of vCalendar 1.0, not of iCalendar (FREQ=…)", cut(text)));
    }
    error(format!("the rule holds '{}', which is no NAME=VALUE", cut(part)))
}

fn error(sentence: String) -> RuleError {
    RuleError(sentence)
}

/// The beginning of a text that came from outside, for a message.
fn cut(text: &str) -> String {
    const LENGTH: usize = 60;
    let mut shown: String = text.chars().take(LENGTH).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(LENGTH).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests;

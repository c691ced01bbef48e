//! The text of a rule (RFC 5545, 3.3.10; RSCALE and SKIP: RFC 7529) to a [`Rule`]. It reads what calendars contain, in
//! any letter case and with stray blanks, and refuses what it would have to guess. It knows nothing of starts and
//! zones.

use jiff::civil::{Date, DateTime, Time};

use super::sets::Ends;
use super::{Frequency, ReadRule, Rule, RuleError, Skip, Until};
use crate::calendar::ical::lenient;
use crate::calendar::ical::value::DateOrDateTime;
use crate::text::{on_one_line, shortened};

/// Longer intervals than this reach beyond the year 9999 in every frequency; they are cut down to it.
const MAX_INTERVAL: u64 = 1_000_000_000_000;

/// The parts that choose days and times.
const KNOWN: [&str; 9] =
    ["BYMONTH", "BYWEEKNO", "BYYEARDAY", "BYMONTHDAY", "BYDAY", "BYHOUR", "BYMINUTE", "BYSECOND", "BYSETPOS"];

/// A wrong rule that is longer, in octets, is refused: it is not written by a slip, and each wrong part of it would be
/// listed.
const MAX_SLIPPED: usize = 8_192;

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
    let mut rule = Rule::every(frequency.ok_or_else(|| no_frequency(text))??);
    for (name, value) in &parts {
        apply(&mut rule, name, value)?;
    }
    Ok(rule)
}

/// Reads what [`rule`] refuses and can mean only one thing: its name written twice, escaped separators, a part that is
/// wrong. A wrong part is read as it is meant or left out; the rest holds.
pub(super) fn lenient_rule(text: &str) -> Result<ReadRule, RuleError> {
    if text.len() > MAX_SLIPPED {
        return Err(error(format!(
            "the rule '{}' is wrong, and with {} octets too long to make something of it",
            cut(text),
            text.len()
        )));
    }
    let mut slips = Vec::new();
    let plain = without_wrapping(text);
    if plain != text.trim() {
        slips.push(format!("the rule '{}' is read as '{}'", cut(text), cut(&plain)));
    }
    let split = split_parts(&plain);
    if split.len() > plain.split(';').filter(|part| !part.trim().is_empty()).count() {
        slips.push(format!(
            "the parts of the rule '{}' are divided by commas: they are read as if by semicolons",
            cut(text)
        ));
    }
    let (mut parts, mut other) = (Vec::new(), Vec::new());
    for part in split {
        match part.split_once('=') {
            Some((name, value)) => parts.push((name.trim().to_ascii_uppercase(), value.trim())),
            None => other.push(part),
        }
    }
    let Some((_, value)) = parts.iter().rfind(|(name, _)| name == "FREQ") else {
        return Err(other.first().map_or_else(|| no_frequency(text), |part| not_a_part(text, part)));
    };
    slips.extend(other.iter().map(|part| format!("'{}' in the rule is not NAME=VALUE and is left out", cut(part))));
    let mut rule = Rule::every(frequency(value)?);
    for (name, value) in &parts {
        slips.extend(apply_leniently(&mut rule, name, value)?);
    }
    Ok(ReadRule { rule, slips })
}

/// Applies a part, as it is meant if it cannot be applied as it is written: then returns what was done, in a sentence.
fn apply_leniently(rule: &mut Rule, name: &str, value: &str) -> Result<Option<String>, RuleError> {
    let before = rule.clone();
    let Err(wrong) = apply(rule, name, value) else { return Ok(None) };
    *rule = before;
    let chooses_nothing = name.starts_with("BY") && items(value).all(is_out_of_range);
    if chooses_nothing || name == "RSCALE" || (name.starts_with("BY") && !KNOWN.contains(&name)) {
        return Err(wrong);
    }
    Ok(Some(apply_as_meant(rule, name, value)))
}

/// Without the name of the property, quotes, and the escapes of text.
fn without_wrapping(text: &str) -> String {
    let mut text = text.trim().trim_matches('"');
    while let Some((name, rest)) = text.split_once(':')
        && ["RRULE", "EXRULE"].iter().any(|known| name.trim().eq_ignore_ascii_case(known))
    {
        text = rest.trim();
    }
    text.replace("\\;", ";").replace("\\,", ",")
}

/// The parts of a rule, which some separate by commas.
fn split_parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for part in text.split(';') {
        let mut start = 0;
        for (comma, _) in part.match_indices(',') {
            let next = part.get(comma + 1..).unwrap_or_default().trim_start();
            let name = next.bytes().take_while(u8::is_ascii_alphabetic).count();
            if name > 0 && next.as_bytes().get(name) == Some(&b'=') {
                parts.push(part.get(start..comma).unwrap_or_default());
                start = comma + 1;
            }
        }
        parts.push(part.get(start..).unwrap_or_default());
    }
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// Applies a part that cannot be applied as it is written: those of its items that can, and its time in another form.
/// Returns what was done, in a sentence.
fn apply_as_meant(rule: &mut Rule, name: &str, value: &str) -> String {
    let left_out = || {
        let so = if matches!(name, "COUNT" | "UNTIL") { "it ends by nothing else then" } else { "the rest holds" };
        format!("the rule's {name} cannot be '{}' and is left out: {so}", cut(value))
    };
    let meant = match name {
        "UNTIL" => {
            let read =
                lenient::date_or_date_time(value).or_else(|| lenient::date_of(value)).or_else(|| months_end(value));
            read.map(|written| written.to_string())
        }
        "INTERVAL" | "COUNT" => whole(value),
        "BYMONTH" => kept(name, value.split([',', ' ']).map(month_as_meant)),
        "BYDAY" => kept(name, value.split([',', ' ']).map(day_as_meant)),
        _ if name.starts_with("BY") => kept(name, value.split([',', ' ']).map(|item| item.trim().to_owned())),
        _ => None,
    };
    match meant {
        Some(meant) if apply(rule, name, &meant).is_ok() => {
            format!("the rule's {name} '{}' is read as '{}'", cut(value), cut(&meant))
        }
        _ => left_out(),
    }
}

/// The last day of a month whose day is behind its end, as in `20260230T090000Z`.
fn months_end(value: &str) -> Option<DateOrDateTime> {
    let (day, rest) = value.split_at_checked(8)?;
    let number = digits(day, 8).filter(|number| (29..=31).contains(&(number % 100)))?;
    if !rest.is_empty() && !rest.starts_with(['T', 't']) {
        return None;
    }
    let part = |n: u64| i8::try_from(n % 100).ok();
    let first = Date::new(i16::try_from(number / 10_000).ok()?, part(number / 100)?, 1).ok()?;
    Some(DateOrDateTime::Date(first.last_of_month()))
}

/// Whether an item of a list is a number that no day and no time has, rather than no number: a rule that asks for the
/// 999th Monday never matches.
fn is_out_of_range(item: &str) -> bool {
    let digits = item.trim_start_matches(['+', '-']);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let (number, rest) = digits.split_at_checked(end).unwrap_or((digits, ""));
    !number.trim_start_matches('0').is_empty() && (rest.is_empty() || weekday(rest).is_some())
}

/// Those of `items` that the part `name` can have; none: it can have none of them.
fn kept(name: &str, items: impl Iterator<Item = String>) -> Option<String> {
    let is_possible =
        |item: &String| !item.is_empty() && apply(&mut Rule::every(Frequency::Yearly), name, item).is_ok();
    let kept: Vec<String> = items.filter(is_possible).take(MAX_ITEMS).collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

/// No list of a rule has more items that differ.
const MAX_ITEMS: usize = 1_000;

/// A number with a fraction of nothing but zeros, without that.
fn whole(value: &str) -> Option<String> {
    let (number, fraction) = value.split_once('.')?;
    fraction.bytes().all(|b| b == b'0').then(|| number.to_owned())
}

/// `OCT` and `October` are `10`.
fn month_as_meant(item: &str) -> String {
    let item = item.trim().to_ascii_uppercase();
    let months = [
        "JANUARY",
        "FEBRUARY",
        "MARCH",
        "APRIL",
        "MAY",
        "JUNE",
        "JULY",
        "AUGUST",
        "SEPTEMBER",
        "OCTOBER",
        "NOVEMBER",
        "DECEMBER",
    ];
    let month = months.iter().position(|month| item.len() >= 3 && month.starts_with(&item));
    month.map_or(item, |month| (month + 1).to_string())
}

/// `MON`, `Monday` and `0MO` are `MO`.
fn day_as_meant(item: &str) -> String {
    let item = item.trim().to_ascii_uppercase();
    let end = item.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(item.len());
    let (ordinal, name) = item.split_at_checked(end).unwrap_or(("", &item));
    let days = ["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"];
    let day = days.iter().find(|day| name.len() >= 2 && day.starts_with(name)).and_then(|day| day.get(..2));
    let ordinal = if ordinal.trim_matches(['+', '-', '0', ' ']).is_empty() { "" } else { ordinal };
    day.map_or_else(|| item.clone(), |day| format!("{ordinal}{day}"))
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
    let civil = six_digits(date, time).ok_or_else(wrong)?;
    Ok(if utc { Until::Utc(civil) } else { Until::Local(civil) })
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

fn no_frequency(text: &str) -> RuleError {
    error(format!("the rule '{}' has no FREQ", cut(text)))
}

fn not_a_part(text: &str, part: &str) -> RuleError {
    let first = text.split_ascii_whitespace().next().unwrap_or("");
    let old =
        first.len() < 8 && first.starts_with(['D', 'W', 'M', 'Y']) && first.ends_with(|c: char| c.is_ascii_digit());
    if old {
        return error(format!("'{}' is a rule of vCalendar 1.0, not of iCalendar (FREQ=…)", cut(text)));
    }
    error(format!("the rule holds '{}', which is not NAME=VALUE", cut(part)))
}

fn error(sentence: String) -> RuleError {
    RuleError(sentence)
}

/// The beginning of a text that came from outside, for a message.
fn cut(text: &str) -> String {
    const LENGTH: usize = 60;
    on_one_line(&shortened(text, LENGTH))
}

#[cfg(test)]
mod tests;

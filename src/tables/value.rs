//! Reading single values. Every function takes a TOML value and answers with what it means, or with the rest of a
//! sentence that begins with the key: `is a list and must be a text`.

use std::time::Duration;

use jiff::civil::Time;
use toml::de::DeValue;

use super::section::{kind_of, nearest};

/// A text that says something.
pub fn string(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) if text.trim().is_empty() => Err("is empty".to_owned()),
        DeValue::String(text) if text.contains(char::is_control) => Err("holds a control character".to_owned()),
        DeValue::String(text) => Ok(text.trim().to_owned()),
        other => Err(format!("is {} and must be a text", kind_of(other))),
    }
}

/// A time of day on the wall clock: `07:00`.
pub fn time_of_day(value: &DeValue<'_>) -> Result<Time, String> {
    let text = string(value)?;
    let digits = |digits: &str| {
        let is_plain = digits.len() == 2 && digits.bytes().all(|octet| octet.is_ascii_digit());
        digits.parse().ok().filter(|_| is_plain)
    };
    let read = || {
        let (hours, minutes) = text.split_once(':')?;
        Time::new(digits(hours)?, digits(minutes)?, 0, 0).ok()
    };
    read().ok_or_else(|| format!("is '{}', which is not a time of day such as 07:00", text.escape_debug()))
}

/// The value of a header: a text of visible ASCII.
pub fn header(value: &DeValue<'_>) -> Result<String, String> {
    let text = string(value)?;
    let is_sendable = text.bytes().all(|octet| octet.is_ascii_graphic());
    if is_sendable { Ok(text) } else { Err("is sent in a header, and must be ASCII without spaces".to_owned()) }
}

/// A list of texts; one text alone is a list of one.
pub fn strings(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let DeValue::Array(items) = value else {
        return string(value).map(|one| vec![one]).map_err(|_| match value {
            DeValue::String(_) => "is empty".to_owned(),
            other => format!("is {} and must be a list of texts", kind_of(other)),
        });
    };
    if items.is_empty() {
        return Err("is an empty list: leave it out, or name something".to_owned());
    }
    let one =
        |item: &toml::Spanned<DeValue<'_>>| string(item.get_ref()).map_err(|why| format!("holds a value that {why}"));
    items.iter().map(one).collect()
}

/// A program and its arguments, which are passed on as they are: `["pass", "show", "caldav"]`.
pub fn command(value: &DeValue<'_>) -> Result<(String, Vec<String>), String> {
    let DeValue::Array(items) = value else {
        return Err(format!(
            "is {} and must be a list of the program and each of its arguments: [\"pass\", \"show\", \"caldav\"]",
            kind_of(value)
        ));
    };
    let one = |item: &toml::Spanned<DeValue<'_>>| match item.get_ref() {
        DeValue::String(text) if text.contains('\0') => Err("holds a text with a NUL".to_owned()),
        DeValue::String(text) => Ok(text.to_string()),
        other => Err(format!("holds {} and must hold texts only", kind_of(other))),
    };
    let mut words = items.iter().map(one).collect::<Result<Vec<String>, String>>()?.into_iter();
    match words.next() {
        Some(program) if !program.trim().is_empty() => Ok((program, words.collect())),
        _ => Err("names no program".to_owned()),
    }
}

/// `true` or `false`.
pub fn boolean(value: &DeValue<'_>) -> Result<bool, String> {
    match value {
        DeValue::Boolean(value) => Ok(*value),
        other => Err(format!("is {} and must be true or false", kind_of(other))),
    }
}

/// A whole number from `least` to `most`.
pub fn number(least: u64, most: u64) -> impl FnOnce(&DeValue<'_>) -> Result<u64, String> {
    move |value| match value {
        DeValue::Integer(digits) => match u64::from_str_radix(digits.as_str(), digits.radix()) {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            _ => Err(format!("is {} and must lie between {least} and {most}", digits.as_str())),
        },
        other => Err(format!("is {} and must be a whole number", kind_of(other))),
    }
}

/// One of several words, in any letter case.
pub fn one_of<T: Copy>(words: &[(&'static str, T)]) -> impl FnOnce(&DeValue<'_>) -> Result<T, String> {
    move |value| choose(&string(value)?, words)
}

/// The meaning of `word`, which must be one of `words`.
pub fn choose<T: Copy>(word: &str, words: &[(&'static str, T)]) -> Result<T, String> {
    if let Some((_, meaning)) = words.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)) {
        return Ok(*meaning);
    }
    let known: Vec<&str> = words.iter().map(|(known, _)| *known).collect();
    let near = nearest(word, &known).unwrap_or_default();
    Err(format!("is '{word}' and must be one of {}; the nearest is '{near}'", known.join(", ")))
}

/// A duration of at least a second.
pub fn duration(value: &DeValue<'_>) -> Result<Duration, String> {
    let DeValue::String(text) = value else {
        return Err(format!(
            "is {} and must be a duration in quotes: \"30s\", \"5m\", \"24h\", \"7d\"",
            kind_of(value)
        ));
    };
    let refused = || format!("is '{text}', which is not a duration: write 30s, 5m, 24h, 7d or a sum such as 1h30m");
    let duration = parse_duration(text).ok_or_else(refused)?;
    if duration.is_zero() { Err("must be at least 1s".to_owned()) } else { Ok(duration) }
}

/// Reads `1h30m`: whole numbers with a unit each (d, h, m, s), the greater unit first. At most 100 years.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let (mut seconds, mut last_unit) = (0_u64, u64::MAX);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (count, tail) = rest.split_at_checked(digits)?;
        let unit = match tail.chars().next()? {
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        if unit >= last_unit {
            return None;
        }
        seconds = seconds.checked_add(count.parse::<u64>().ok()?.checked_mul(unit)?)?;
        last_unit = unit;
        rest = tail.get(1..)?;
    }
    (last_unit != u64::MAX && seconds <= 36_525 * 86_400).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::parse_duration;

    #[test]
    fn durations() {
        let seconds = |text: &str| parse_duration(text).map(|duration| duration.as_secs());
        assert_eq!(seconds("30s"), Some(30));
        assert_eq!(seconds("5m"), Some(300));
        assert_eq!(seconds("24h"), Some(86_400));
        assert_eq!(seconds("7d"), Some(604_800));
        assert_eq!(seconds(" 1h30m "), Some(5_400));
        for wrong in
            ["", "30", "s", "-5m", "5 m", "1.5h", "30m1h", "5m5m", "3w", "99999999999999999999s", "40000d", "5ms"]
        {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}

//! `default_alarms`, `ignore_alarms` and `shared`: which alarms events get that have none, where those of events do not
//! fire, and which fire in calendars of others.

use jiff::civil::Time;
use toml::de::DeValue;

use crate::calendar::configured_alarms::{ConfiguredAlarm, ConfiguredAlarms};
use crate::calendar_info::{DefaultAlarmTexts, SharedAlarms};
use crate::tables::{Section, kind_of, value};
use crate::text::matches_pattern;

/// What one part of the configuration says of alarms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlarmSettings {
    /// For events that begin at a time and have no alarm; none: it says nothing of these.
    pub timed: Option<Vec<ConfiguredAlarm>>,
    /// For all-day events without an alarm.
    pub all_day: Option<Vec<ConfiguredAlarm>>,
    /// The alarms of events do not fire.
    pub ignore: Option<bool>,
    /// Which alarms fire in calendars that are another user's.
    pub shared: Option<SharedAlarms>,
    /// The time of day of alarms of all-day events that would fire at midnight.
    pub all_day_at: Option<Time>,
}

/// `[[source.alarms]]`: what is said of some calendars of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmRule {
    /// Patterns of names or paths.
    pub calendars: Vec<String>,
    /// What is said.
    pub settings: AlarmSettings,
}

/// What a source says of alarms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceAlarms {
    /// Of some of its calendars; the first one that names a calendar counts.
    pub rules: Vec<AlarmRule>,
    /// Of all of its calendars.
    pub all: AlarmSettings,
}

/// What holds of the alarms of one calendar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CalendarAlarms {
    /// Those of events that have none.
    pub defaults: DefaultAlarmTexts,
    /// Which part of the configuration says that the alarms of events do not fire.
    pub ignored_by: Option<String>,
    /// Which of them fire if the calendar is another user's.
    pub shared: SharedAlarms,
    /// The time of day, `07:00`, at which those of all-day events fire that would fire at midnight; none: at midnight.
    pub all_day_at: Option<String>,
}

/// The names of a calendar that patterns are compared with.
#[derive(Clone, Copy, Debug)]
pub struct CalendarNames<'a> {
    /// As it is called.
    pub name: &'a str,
    /// Its path in the source.
    pub path: &'a str,
    /// The last segment of that.
    pub id: &'a str,
}

impl AlarmRule {
    fn names(&self, calendar: CalendarNames<'_>) -> bool {
        let CalendarNames { name, path, id } = calendar;
        let is_named =
            |pattern: &String| matches_pattern(pattern, name) || matches_pattern(pattern, path) || *pattern == id;
        self.calendars.iter().any(is_named)
    }
}

impl SourceAlarms {
    /// What holds of `calendar`, whose user says `user`, and whose server has the default alarms `server`: these count
    /// most, then what is said of the calendar, of its source and of its user.
    pub fn of(
        &self,
        calendar: CalendarNames<'_>,
        user: Option<&AlarmSettings>,
        server: DefaultAlarmTexts,
    ) -> CalendarAlarms {
        let rules = self.rules.iter().filter(|rule| rule.names(calendar)).map(|rule| ("calendar", &rule.settings));
        let levels: Vec<(&str, &AlarmSettings)> =
            rules.chain([("source", &self.all)]).chain(user.map(|user| ("user", user))).collect();
        let configured = |get: fn(&AlarmSettings) -> Option<&Vec<ConfiguredAlarm>>| {
            let (from, alarms) = levels.iter().find_map(|(from, settings)| Some((*from, get(settings)?)))?;
            Some(ConfiguredAlarms { from: from.to_owned(), alarms: alarms.clone() }.text())
        };
        let ignored = levels.iter().find_map(|(from, settings)| Some((*from, settings.ignore?)));
        CalendarAlarms {
            defaults: DefaultAlarmTexts {
                timed: server.timed.or_else(|| configured(|settings| settings.timed.as_ref())),
                all_day: server.all_day.or_else(|| configured(|settings| settings.all_day.as_ref())),
            },
            ignored_by: ignored.filter(|(_, ignore)| *ignore).map(|(from, _)| from.to_owned()),
            shared: levels.iter().find_map(|(_, settings)| settings.shared).unwrap_or_default(),
            all_day_at: levels
                .iter()
                .find_map(|(_, settings)| settings.all_day_at)
                .map(|time| time.strftime("%H:%M").to_string()),
        }
    }
}

/// Default alarms as they are written, and whether those of the server are wanted.
#[derive(Debug, Default)]
struct WrittenDefaults {
    settings: AlarmSettings,
    server: bool,
}

/// Reads what `section` says of alarms. The second is whether the default alarms of the server are to be used, which
/// may be so if it `has_server`.
pub(super) fn read(section: &Section<'_>, has_server: bool) -> (AlarmSettings, bool) {
    let written = section.read("default_alarms", |value| defaults(value, has_server)).unwrap_or_default();
    let ignore = section.read("ignore_alarms", value::boolean);
    let shared = section.read("shared", value::one_of(&SharedAlarms::NAMES));
    let all_day_at = section.read("all_day_at", value::time_of_day);
    (AlarmSettings { ignore, shared, all_day_at, ..written.settings }, written.server)
}

/// Reads `[[source.alarms]]`.
pub(super) fn read_rules(section: &Section<'_>) -> Vec<AlarmRule> {
    let rule = |one: Section<'_>| {
        let calendars = one.required("calendars", value::strings);
        let (settings, _) = read(&one, false);
        one.finish();
        Some(AlarmRule { calendars: calendars?, settings })
    };
    section.tables("alarms").into_iter().filter_map(rule).collect()
}

fn defaults(value: &DeValue<'_>, has_server: bool) -> Result<WrittenDefaults, String> {
    let table = match value {
        DeValue::Boolean(server) if has_server => {
            return Ok(WrittenDefaults { server: *server, ..WrittenDefaults::default() });
        }
        DeValue::Table(table) => table,
        other => return Err(format!("is {} and must be a table: {{ timed = [\"-15m\"] }}", kind_of(other))),
    };
    let mut written = WrittenDefaults::default();
    let action = table.get("action").map(|action| one_action(action.get_ref())).transpose()?.unwrap_or("DISPLAY");
    for (key, value) in table {
        let value = value.get_ref();
        match key.get_ref().as_ref() {
            "timed" => written.settings.timed = Some(alarms(value, &|text| timed(text, action))?),
            "all_day" => written.settings.all_day = Some(alarms(value, &|text| all_day(text, action))?),
            "server" if has_server => {
                written.server = value::boolean(value).map_err(|why| format!("has a server that {why}"))?
            }
            "action" => {}
            other => return Err(format!("has the unknown key '{other}': timed, all_day and action are known")),
        }
    }
    Ok(written)
}

fn one_action(value: &DeValue<'_>) -> Result<&'static str, String> {
    let action = value::one_of(&[("DISPLAY", "DISPLAY"), ("EMAIL", "EMAIL")])(value);
    action.map_err(|why| format!("has an action that {why}"))
}

fn alarms(value: &DeValue<'_>, read: &dyn Fn(&str) -> Option<ConfiguredAlarm>) -> Result<Vec<ConfiguredAlarm>, String> {
    // None of them is a statement as well.
    if matches!(value, DeValue::Array(items) if items.is_empty()) {
        return Ok(Vec::new());
    }
    let texts = value::strings(value).map_err(|why| format!("has a list that {why}"))?;
    let one = |text: &String| {
        read(text).ok_or_else(|| {
            format!("has '{text}', which is not an alarm: write -15m, -1d or 0m, and for all-day events also -1d 17:00")
        })
    };
    texts.iter().map(one).collect()
}

/// Reads `-15m`, `0m` or `+1h30m`: so long before or after an event begins.
fn timed(text: &str, action: &str) -> Option<ConfiguredAlarm> {
    let (sign, length) = signed(text);
    let seconds = i64::try_from(value::parse_duration(length)?.as_secs()).ok()?;
    // Days are nominal: the same time by the clock.
    Some(ConfiguredAlarm::after(sign * (seconds / 86_400), sign * (seconds % 86_400), action))
}

/// Reads `-1d 17:00`: by the clock, so many days before an all-day event begins; or what [`timed`] reads.
fn all_day(text: &str, action: &str) -> Option<ConfiguredAlarm> {
    let Some((hours, minutes)) = text.rsplit(' ').next()?.split_once(':') else { return timed(text, action) };
    let number = |digits: &str, most: i64| {
        let is_plain = digits.len() == 2 && digits.bytes().all(|octet| octet.is_ascii_digit());
        digits.parse().ok().filter(|number: &i64| is_plain && *number <= most)
    };
    let seconds = number(hours, 23)? * 3_600 + number(minutes, 59)? * 60;
    let days = match text.rsplit_once(' ') {
        None => 0,
        Some((days, _)) => {
            let (sign, count) = signed(days.trim());
            sign * count.strip_suffix('d')?.parse::<u16>().ok().map(i64::from)?
        }
    };
    Some(ConfiguredAlarm::at(days, seconds, action))
}

fn signed(text: &str) -> (i64, &str) {
    match (text.strip_prefix('-'), text.strip_prefix('+')) {
        (Some(rest), _) => (-1, rest),
        (None, rest) => (1, rest.unwrap_or(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_are_written_as_they_are_said() {
        let of = |alarm: Option<ConfiguredAlarm>| alarm.map(|alarm| (alarm.days, alarm.seconds));
        for (text, expected) in [
            ("-15m", Some((0, -900))),
            ("-1d", Some((-1, 0))),
            ("-1d2h", Some((-1, -7_200))),
            ("0m", Some((0, 0))),
            ("+1h30m", Some((0, 5_400))),
            ("15", None),
            ("--15m", None),
            ("-", None),
        ] {
            assert_eq!(of(timed(text, "DISPLAY")), expected, "{text}");
            assert_eq!(of(all_day(text, "DISPLAY")), expected, "{text}");
        }
        for (text, expected) in [
            ("-1d 17:00", Some((0, -25_200))),
            ("-7d 09:30", Some((-6, -52_200))),
            ("0d 09:00", Some((1, -54_000))),
            ("09:00", Some((1, -54_000))),
            ("+1d 00:30", Some((1, 1_800))),
            ("-1d 24:00", None),
            ("-1d 9:00", None),
            ("-1 17:00", None),
            ("-1d 17:00:00", None),
        ] {
            assert_eq!(of(all_day(text, "DISPLAY")), expected, "{text}");
        }
        assert_eq!(of(timed("-1d 17:00", "DISPLAY")), None);
    }

    #[test]
    fn what_is_said_of_a_calendar_counts_before_what_is_said_of_its_user() {
        let shared = |shared| AlarmSettings { shared: Some(shared), ..AlarmSettings::default() };
        let rule = AlarmRule { calendars: vec!["loud".to_owned()], settings: shared(SharedAlarms::Ring) };
        let alarms = SourceAlarms { rules: vec![rule], all: AlarmSettings::default() };
        let of = |id: &str, user: Option<&AlarmSettings>| {
            alarms.of(CalendarNames { name: id, path: id, id }, user, DefaultAlarmTexts::default()).shared
        };
        let user = shared(SharedAlarms::OwnAlarms);
        assert_eq!(of("work", None), SharedAlarms::Ring);
        assert_eq!(of("work", Some(&user)), SharedAlarms::OwnAlarms);
        assert_eq!(of("loud", Some(&user)), SharedAlarms::Ring);
    }

    #[test]
    fn the_narrowest_statement_counts_and_a_server_s_own_before_all() {
        let alarm = |minutes: i64| Some(vec![ConfiguredAlarm::after(0, -60 * minutes, "DISPLAY")]);
        let rule = |pattern: &str, settings| AlarmRule { calendars: vec![pattern.to_owned()], settings };
        let alarms = SourceAlarms {
            rules: vec![
                rule("Work*", AlarmSettings { timed: alarm(1), ..AlarmSettings::default() }),
                rule("loud", AlarmSettings { ignore: Some(false), ..AlarmSettings::default() }),
            ],
            all: AlarmSettings { timed: alarm(2), ignore: Some(true), ..AlarmSettings::default() },
        };
        let user = AlarmSettings { timed: alarm(3), all_day: alarm(4), ..AlarmSettings::default() };
        let of = |name: &str, id: &str, server: Option<&str>| {
            let server = DefaultAlarmTexts { timed: server.map(str::to_owned), all_day: None };
            let CalendarAlarms { defaults, ignored_by, .. } =
                alarms.of(CalendarNames { name, path: id, id }, Some(&user), server);
            let said = |text: Option<String>| {
                text.map(|text| match ConfiguredAlarms::parse(&text) {
                    Some(configured) => format!("{} {}", configured.from, configured.alarms[0].seconds / -60),
                    None => text,
                })
            };
            [said(defaults.timed), said(defaults.all_day), ignored_by].map(Option::unwrap_or_default).join(", ")
        };
        assert_eq!(of("Work at home", "x", None), "calendar 1, user 4, source");
        assert_eq!(of("Home", "loud", None), "source 2, user 4, ");
        assert_eq!(of("Work", "x", Some("VALARM")), "VALARM, user 4, source");
    }
}

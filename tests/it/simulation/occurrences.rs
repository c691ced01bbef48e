//! The alarm instances of a generated event, counted out day by day: slow, plain, and without a line of the program's.

use super::event::{Alarm, End, Event, Place, Rule, Step, Trigger};
use super::walls::{DAY, HOUR, Rules, basic, date, iso, weekday};

/// One alarm instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instance {
    /// UTC milliseconds.
    pub at: i64,
    /// `2026-03-10T09:00:00`: the wall that its occurrence was to start at; empty for what does not recur.
    pub recurrence_id: String,
    pub action: &'static str,
    pub summary: String,
    /// The start as notifications write it.
    pub start: String,
}

/// The instances of `event` whose occurrences begin before `horizon` (UTC seconds), in order, where its times have
/// `rules`.
pub fn instances(event: &Event, rules: Rules, horizon: i64) -> Vec<Instance> {
    let mut instances = Vec::new();
    for wall in starts(event, rules, horizon) {
        if event.left_out.contains(&wall) {
            continue;
        }
        let id = if event.rule.is_some() { iso(wall) } else { String::new() };
        match event.overrides.iter().find(|other| other.of == wall) {
            Some(other) if other.cancelled => {}
            Some(other) => {
                of_one(&mut instances, event, rules, (other.start, None), (&id, &other.summary), &other.alarms)
            }
            None => {
                // A series by elapsed time passes through an hour that the wall shows twice: there the wall does not
                // say when.
                let elapsed = event.rule.as_ref().is_some_and(|rule| rule.step == Step::Hours);
                let instants = if elapsed { instants_of(event, rules, wall, horizon) } else { vec![None] };
                for instant in instants {
                    of_one(&mut instances, event, rules, (wall, instant), (&id, &event.summary), &event.alarms);
                }
            }
        }
    }
    // Overrides of what the rule does not give are occurrences all the same.
    for other in &event.overrides {
        let given = starts(event, rules, horizon).contains(&other.of);
        if !given && !other.cancelled && !event.left_out.contains(&other.of) {
            let id = iso(other.of);
            of_one(&mut instances, event, rules, (other.start, None), (&id, &other.summary), &other.alarms);
        }
    }
    instances.sort();
    instances.dedup();
    instances
}

/// The walls that occurrences start at, each once.
fn starts(event: &Event, rules: Rules, horizon: i64) -> Vec<i64> {
    let Some(rule) = &event.rule else { return vec![event.start] };
    let mut walls = Vec::new();
    if rule.step == Step::Hours {
        walls = elapsed(event, rule, rules, horizon).into_iter().map(|instant| named(event, rules, instant)).collect();
        walls.dedup();
        walls.sort_unstable();
        walls.dedup();
        return walls;
    }
    let mut wall = event.start;
    while wall < horizon + 2 * DAY {
        if falls_on(rule, event.start.div_euclid(DAY), wall.div_euclid(DAY)) {
            let over = match rule.end {
                // The start is an occurrence, whatever the rule says.
                _ if walls.is_empty() => false,
                End::Never => false,
                End::Count(count) => walls.len() >= count,
                End::Until(last) if event.all_day => wall.div_euclid(DAY) > last.div_euclid(DAY),
                End::Until(last) if event.place == Place::Floating => wall > last,
                End::Until(last) => rules.instant(wall) > last,
            };
            if over {
                break;
            }
            walls.push(wall);
        }
        wall += DAY;
    }
    walls
}

/// Whether a rule that began on the day `start` gives the day `day`.
fn falls_on(rule: &Rule, start: i64, day: i64) -> bool {
    match &rule.step {
        Step::Hours => false,
        Step::Days => (day - start) % rule.interval == 0,
        Step::Weeks(weekdays) => {
            let monday = |day: i64| day - weekday(day);
            (monday(day) - monday(start)) / 7 % rule.interval == 0 && weekdays.contains(&weekday(day))
        }
        Step::Months => date(day).2 == date(start).2,
    }
}

/// The instants of a series by elapsed time.
fn elapsed(event: &Event, rule: &Rule, rules: Rules, horizon: i64) -> Vec<i64> {
    let first = rules.instant(event.start);
    let mut instants = Vec::new();
    let mut instant = first;
    while instant < horizon {
        let over = match rule.end {
            _ if instants.is_empty() => false,
            End::Never => false,
            End::Count(count) => instants.len() >= count,
            End::Until(last) if event.place == Place::Floating => rules.wall(instant) > last,
            End::Until(last) => instant > last,
        };
        if over {
            break;
        }
        instants.push(instant);
        instant += rule.interval * HOUR;
    }
    instants
}

fn instants_of(event: &Event, rules: Rules, wall: i64, horizon: i64) -> Vec<Option<i64>> {
    let Some(rule) = &event.rule else { return Vec::new() };
    let all = elapsed(event, rule, rules, horizon);
    all.into_iter().filter(|instant| named(event, rules, *instant) == wall).map(Some).collect()
}

/// The wall that names an occurrence of a series by elapsed time. The first is named as it is written, also where that
/// wall is never shown.
fn named(event: &Event, rules: Rules, instant: i64) -> i64 {
    if instant == rules.instant(event.start) { event.start } else { rules.wall(instant) }
}

/// Adds the instances of one occurrence, which starts when the wall shows `wall`, or at an instant that is known
/// better.
fn of_one(
    instances: &mut Vec<Instance>,
    event: &Event,
    rules: Rules,
    (wall, instant): (i64, Option<i64>),
    (id, summary): (&str, &str),
    alarms: &[Alarm],
) {
    let begins = instant.unwrap_or_else(|| rules.instant(wall));
    let start = if event.all_day { basic(wall)[..8].to_owned() } else { format!("{}Z", basic(begins)) };
    for alarm in alarms {
        let first = match alarm.trigger {
            Trigger::Seconds(seconds) => begins + seconds,
            Trigger::Days(0) => begins,
            Trigger::Days(days) => rules.instant(wall + days * DAY),
            Trigger::At(instant) => instant,
        };
        let (more, apart) = alarm.repeat.unwrap_or_default();
        for n in 0..=more {
            let (recurrence_id, summary, start) = (id.to_owned(), summary.to_owned(), start.clone());
            instances.push(Instance {
                at: (first + n * apart) * 1_000,
                recurrence_id,
                action: alarm.action,
                summary,
                start,
            });
        }
    }
}

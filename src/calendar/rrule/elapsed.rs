//! HOURLY, MINUTELY and SECONDLY rules: steps of elapsed time from DTSTART, filtered by what the local clock shows at
//! each.

use super::clock::{CivilClock, END, StartSeconds};
use super::gregorian::{CYCLE_DAYS, DAY, Day};
use super::normalized::gcd;
use super::sets::{ALL_HOURS, ALL_SIXTY, DayFilter, TimeSet};
use super::{Frequency, Rule, WorkMeter};

/// So many occurrences are counted one by one, besides whole days; a COUNT that takes more is taken as endless.
const MAX_COUNTED: u64 = 100_000;
/// So far a COUNT is counted: a century, in seconds.
const CENTURY: i64 = 36_525 * DAY;
/// A rule is taken as ended when so many looks in a row hit nothing…
const MAX_IDLE_LOOKS: u32 = 4_000;
/// … and when the whole calendar has passed meanwhile, which repeats after 400 years; in seconds.
const CYCLE: i64 = CYCLE_DAYS * DAY;
/// So many steps that miss are taken one by one before the times of day that they come to are worked out.
const PATIENCE: u32 = 16;
/// A rule is taken as ended when so many times of day in a row are not open.
const MAX_CLOSED_TIMES: i64 = 1_000_000;
/// The steps of work that a look takes, and so many closed times of day take one.
const LOOK: u64 = 4;
const CLOSED_TIMES_A_STEP: i64 = 8;
/// Looking for changes of the clock near a step: they move it by less than this.
const NEAR: i64 = 2 * 3600;

/// A rule that steps in elapsed time, all parts explicit.
#[derive(Clone, Debug)]
pub(super) struct ElapsedRule {
    /// DTSTART, in seconds of UTC.
    start: i64,
    /// Seconds from step to step.
    step: i64,
    days: DayFilter,
    /// The times of day at which a step counts.
    open: TimeSet,
    /// Whether `days` and `open` let everything through.
    unfiltered: bool,
    spread: Option<Spread>,
    positions: Vec<i32>,
    work: WorkMeter,
}

/// The several times that each step stands for (HOURLY with BYMINUTE or BYSECOND, MINUTELY with BYSECOND).
#[derive(Clone, Copy, Debug)]
struct Spread {
    /// Seconds that the step's wall-clock time is rounded down to.
    floor: i64,
    /// Seconds after that, as times of an hour.
    times: TimeSet,
}

impl Frequency {
    /// Seconds of a unit, where it has always as many.
    pub(super) fn seconds(self) -> i64 {
        match self {
            Frequency::Secondly => 1,
            Frequency::Minutely => 60,
            Frequency::Hourly => 3600,
            _ => DAY,
        }
    }
}

impl ElapsedRule {
    pub fn new(rule: &Rule, days: DayFilter, start: i64, work: WorkMeter) -> ElapsedRule {
        let limit = |part: Option<u64>, from: Frequency| part.filter(|_| rule.frequency <= from);
        let open = TimeSet {
            hours: rule.hours.unwrap_or(ALL_HOURS),
            minutes: limit(rule.minutes, Frequency::Minutely).unwrap_or(ALL_SIXTY),
            seconds: limit(rule.seconds, Frequency::Secondly).unwrap_or(ALL_SIXTY),
        };
        ElapsedRule {
            start,
            step: rule.interval.saturating_mul(rule.frequency.seconds()),
            unfiltered: days.is_open() && open.len() == DAY,
            days,
            open,
            spread: Spread::of(rule, start),
            positions: rule.positions.clone(),
            work,
        }
    }

    pub fn work(&self) -> &WorkMeter {
        &self.work
    }

    /// The first wall-clock second at or after `civil` that BY parts let through.
    fn next_open(&self, civil: i64) -> Option<i64> {
        let day = civil.div_euclid(DAY);
        if (self.days.is_open() || self.days.has(&Day::of(day)))
            && let Some(time) = self.open.next(civil.rem_euclid(DAY))
        {
            return Some(day * DAY + time);
        }
        Some(self.days.next_day(day + 1, &self.work)? * DAY + self.open.next(0)?)
    }

    /// How many occurrences an open day has in a zone that is `offset` seconds ahead all day, for a step that divides
    /// the day.
    fn per_day(&self, offset: i64) -> u64 {
        let first = (self.start + offset).rem_euclid(self.step);
        let mut time = first;
        let mut steps = 0;
        while time < DAY {
            steps += u64::from(self.open.has(time));
            time += self.step;
        }
        steps * self.spread.map_or(1, |spread| spread.times.len().unsigned_abs())
    }
}

impl Spread {
    fn of(rule: &Rule, start: i64) -> Option<Spread> {
        let hourly = rule.frequency == Frequency::Hourly && rule.minutes.is_some();
        let floor = if hourly { 3600 } else { 60 };
        if !hourly && (rule.frequency == Frequency::Secondly || rule.seconds.is_none()) {
            return None;
        }
        let minutes = if hourly { rule.minutes.unwrap_or(1) } else { 1 };
        let own_second = 1 << start.rem_euclid(60);
        Some(Spread { floor, times: TimeSet { hours: 1, minutes, seconds: rule.seconds.unwrap_or(own_second) } })
    }
}

/// The starts that a rule gives, ascending by instant.
#[derive(Clone, Debug)]
pub(super) struct Elapsed<'a, P> {
    rule: &'a ElapsedRule,
    clock: &'a P,
    /// The number of the next step.
    step: i64,
    /// The earliest instant that may still come.
    from: i64,
    /// The instants of the step at hand that have not passed, in reverse.
    loaded: Vec<i64>,
}

impl<'a, P: CivilClock> Elapsed<'a, P> {
    /// From the instant `from` on, or DTSTART when that is later.
    pub fn new(rule: &'a ElapsedRule, clock: &'a P, from: i64) -> Self {
        let from = from.max(rule.start);
        let reach = rule.spread.map_or(0, |spread| spread.floor);
        let step = (from - rule.start - reach).div_euclid(rule.step).max(0);
        Elapsed { rule, clock, step, from, loaded: vec![] }
    }

    /// The instant of occurrence number `count`, from 1; None when there are fewer or they are more than
    /// [`MAX_COUNTED`].
    pub fn last(rule: &'a ElapsedRule, clock: &'a P, count: u64) -> Option<i64> {
        if rule.unfiltered && rule.spread.is_none() && rule.positions.is_empty() {
            let steps = i64::try_from(count).ok()?.checked_sub(1)?;
            return rule.start.checked_add(steps.checked_mul(rule.step)?).filter(|at| *at < END);
        }
        let whole_days = rule.positions.is_empty() && DAY.checked_rem(rule.step) == Some(0);
        if whole_days { Elapsed::last_by_days(rule, clock, count) } else { Elapsed::nth(rule, clock, i64::MIN, count) }
    }

    /// The instant of occurrence number `count` (from 1) of those from `from` on.
    fn nth(rule: &'a ElapsedRule, clock: &'a P, from: i64, count: u64) -> Option<i64> {
        let index = usize::try_from(count.checked_sub(1)?).ok().filter(|_| count <= MAX_COUNTED)?;
        Elapsed::new(rule, clock, from).map(|start| start.at).nth(index)
    }

    /// The instant of occurrence number `count`, for a step that divides the day: days on which the clock does not
    /// change are counted as a whole.
    fn last_by_days(rule: &'a ElapsedRule, clock: &'a P, count: u64) -> Option<i64> {
        let (mut from, mut left) = (rule.start, count);
        let mut walked = 0;
        let horizon = rule.start.saturating_add(CENTURY).min(END);
        while walked <= MAX_COUNTED && from < horizon && rule.work.spend(LOOK) {
            let civil = clock.civil(from);
            let is_open = |civil: i64| rule.days.is_open() || rule.days.has(&Day::of(civil.div_euclid(DAY)));
            if !is_open(civil) {
                let midnight = rule.days.next_day(civil.div_euclid(DAY) + 1, &rule.work)? * DAY;
                from = clock.instant(midnight).at.max(from + 1);
                continue;
            }
            let time = civil.rem_euclid(DAY);
            let change = clock.constant_until(from);
            let day_end = from + DAY - time;
            if time > 0 || day_end > change {
                let end = day_end.min(change).max(from + 1);
                let mut rest = Elapsed::new(rule, clock, from).map(|start| start.at);
                let mut at = rest.next()?;
                // What comes first may lie years ahead.
                from = at.max(end);
                while at < end {
                    left -= 1;
                    walked += 1;
                    if left == 0 {
                        return Some(at);
                    }
                    at = rest.next()?;
                }
                continue;
            }
            let offset = civil - from;
            let per_day = rule.per_day(offset);
            while from + DAY <= change && from < horizon && is_open(from + offset) && rule.work.spend(1) {
                if per_day >= left {
                    return Elapsed::nth(rule, clock, from, left);
                }
                left -= per_day;
                from += DAY;
            }
        }
        None
    }

    /// Goes to the next step that gives a time. None when there is none before the year 10000, or not soon enough.
    fn load(&mut self) -> Option<()> {
        let mut closed_times = 0;
        let mut end = END;
        for look in 0..MAX_IDLE_LOOKS {
            if !self.rule.work.spend(LOOK) {
                return None;
            }
            let at = self.rule.start.checked_add(self.step.checked_mul(self.rule.step)?).filter(|at| *at < end)?;
            end = end.min(at.saturating_add(CYCLE));
            let civil = self.clock.civil(at);
            let open = if self.rule.unfiltered { civil } else { self.rule.next_open(civil)? };
            if open == civil {
                self.step += 1;
                self.load_step(at, civil);
                if !self.loaded.is_empty() {
                    return Some(());
                }
            } else if open - civil > self.rule.step {
                let target = self.next_open_instant(at, civil, open);
                self.step = (self.step + 1).max((target - self.rule.start).div_euclid(self.rule.step));
            } else if look < PATIENCE {
                self.step += 1;
            } else {
                self.step = self.step.checked_add(self.steps_to_open_time(at, civil, &mut closed_times)?)?;
            }
        }
        None
    }

    /// After how many steps from `at`, when the local clock shows `civil`, the time of day is an open one, whatever the
    /// day; or the first one after the clock changes. None when no step comes to an open time again, or `closed` times
    /// were not.
    fn steps_to_open_time(&self, at: i64, civil: i64, closed: &mut i64) -> Option<i64> {
        let change = self.clock.constant_until(at);
        let before_change = change.saturating_sub(at).saturating_sub(1).div_euclid(self.rule.step).max(0);
        // After so many steps the times of day repeat.
        let different = DAY / gcd(self.rule.step, DAY);
        let advance = self.rule.step.rem_euclid(DAY);
        let mut time = civil.rem_euclid(DAY);
        for steps in 1..=different.min(before_change) {
            time = (time + advance) % DAY;
            if self.rule.open.has(time) {
                return Some(steps);
            }
            *closed += 1;
            if *closed > MAX_CLOSED_TIMES || (*closed % CLOSED_TIMES_A_STEP == 0 && !self.rule.work.spend(1)) {
                return None;
            }
        }
        (change < END).then_some(before_change + 1)
    }

    /// A bound for the instant at which the local clock shows an open time again, when it shows `civil` at `at` and
    /// `open` is the next such time on it. Clocks that change in between may show open times earlier, or those before
    /// `civil` once more.
    fn next_open_instant(&self, at: i64, civil: i64, open: i64) -> i64 {
        let target = at + (open - civil);
        let mut earliest = target;
        for probe in [target, target.min(at + NEAR)] {
            let moved = self.clock.civil(probe) - probe - (civil - at);
            if moved != 0 {
                let open = self.rule.next_open(civil + moved).unwrap_or(open);
                earliest = earliest.min(at + (open - civil - moved));
            }
        }
        earliest
    }

    fn load_step(&mut self, at: i64, civil: i64) {
        let Some(spread) = self.rule.spread else {
            let picked = self.rule.positions.is_empty() || self.rule.positions.iter().any(|n| n.abs() == 1);
            self.loaded.extend(Some(at).filter(|at| picked && *at >= self.from));
            return;
        };
        let base = civil - civil.rem_euclid(spread.floor);
        let mut next = spread.times.next(0);
        while let Some(time) = next {
            let instant = base + time - (civil - at);
            // Where the clock changes within the step, a time may not be what the local clock shows.
            if self.clock.civil(instant) == base + time {
                self.loaded.push(instant);
            }
            next = spread.times.next(time + 1);
        }
        if !self.rule.positions.is_empty() {
            self.loaded = pick(&self.loaded, &self.rule.positions);
        }
        self.loaded.retain(|instant| *instant >= self.from);
        self.loaded.reverse();
    }
}

/// The instants that BYSETPOS names, ascending, each once.
fn pick(instants: &[i64], positions: &[i32]) -> Vec<i64> {
    let at = |position: &i32| {
        let back = usize::try_from(position.unsigned_abs()).ok()?;
        let index = if *position > 0 { back.checked_sub(1)? } else { instants.len().checked_sub(back)? };
        instants.get(index).copied()
    };
    let mut picked: Vec<i64> = positions.iter().filter_map(at).collect();
    picked.sort_unstable();
    picked.dedup();
    picked
}

impl<P: CivilClock> Iterator for Elapsed<'_, P> {
    type Item = StartSeconds;

    fn next(&mut self) -> Option<StartSeconds> {
        if self.loaded.is_empty() {
            self.load()?;
        }
        let at = self.loaded.pop()?;
        self.from = at + 1;
        Some(StartSeconds { civil: self.clock.civil(at), at })
    }
}

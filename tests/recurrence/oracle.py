"""Random recurrence rules, and what they give by two readings: python-dateutil's, and the RFC's as README.md beside this
file settles it, by brute force.

    oracle.py SEED RULES          in UTC: every frequency and part, both readings
    oracle.py SEED RULES zones    in zones with odd clock changes, from an instant within the series; the RFC's reading only

A line of output is a case: tab-separated fields, times as 20260105T090000, lists joined by commas.

    UTC    dtstart  rule  dateutil (list)  all or some  rfc (list)  horizon  class
    zones  dtstart  rule  zone  from (UTC)  rfc (list of UTC)  horizon (UTC)

dateutil's list has 25 occurrences at most; 'some' when it took too long or crashed after these. The RFC's list is complete up to the horizon; the brute force gave up there. 'class' names the reading of README.md by which
dateutil may differ.
"""
import random
import signal
import sys
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from dateutil import rrule as du

FREQS = ["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY"]
DAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
SECONDS = {"HOURLY": 3600, "MINUTELY": 60, "SECONDLY": 1}
SHOWN = 25
PATIENCE = 0.03


# ---------------------------------------------------------------- rules

def random_start(rng):
    day = datetime(1990, 1, 1) + timedelta(days=rng.randrange(18000))
    kind = rng.random()
    if kind < 0.1:
        day = datetime(rng.choice([1996, 2000, 2004, 2024]), 2, 29)
    elif kind < 0.2:
        day = datetime(rng.randrange(1995, 2030), rng.choice([1, 12]), rng.choice([1, 2, 3, 4, 28, 29, 30, 31]))
    elif kind < 0.25:
        day = datetime(rng.randrange(1995, 2030), rng.choice([1, 3, 5, 7, 8]), 31)
    return day.replace(hour=rng.randrange(24), minute=rng.choice([0, 0, 15, 30, rng.randrange(60)]),
                       second=rng.choice([0, 0, 0, rng.randrange(60)]))


def some(rng, values, most):
    return sorted(rng.sample(values, min(len(values), rng.randint(1, most))))


def signed(rng, limit, most):
    return sorted({rng.choice([1, 1, -1]) * rng.randint(1, limit) for _ in range(rng.randint(1, most))})


def random_rule(rng, start):
    freq = rng.choice(FREQS)
    fine = freq in SECONDS
    rule = {"FREQ": freq, "INTERVAL": 1, "WKST": 0}
    if rng.random() < 0.4:
        rule["INTERVAL"] = rng.choice([2, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 24, 30, 60, 90])
    if rng.random() < 0.3:
        rule["WKST"] = rng.randrange(7)
    often = lambda chance: rng.random() < chance
    if often(0.15 if fine else 0.3):
        rule["BYMONTH"] = some(rng, range(1, 13), 4)
    if often(0.3 if freq == "YEARLY" else 0.03):
        rule["BYWEEKNO"] = signed(rng, 53, 3) if often(0.7) else rng.choice([[1], [53], [-1], [52, 53], [1, 2], [-53]])
    if often(0.15 if freq == "YEARLY" else 0.04):
        rule["BYYEARDAY"] = signed(rng, 366, 4) if often(0.8) else rng.choice([[366], [-366], [1, -1], [60], [-1]])
    if often(0.3 if freq in ("YEARLY", "MONTHLY") else 0.1):
        rule["BYMONTHDAY"] = signed(rng, 31, 4)
    if often(0.2 if fine else 0.45):
        days = {(0, rng.randrange(7)) for _ in range(rng.randint(1, 4))}
        if freq in ("YEARLY", "MONTHLY") and often(0.5):
            limit = 53 if freq == "YEARLY" and often(0.3) else 5
            days = {(rng.choice([1, -1]) * rng.randint(1, limit), day) for _, day in days}
            if often(0.2):
                days |= {(0, rng.randrange(7))}
        elif often(0.05):
            days = {(rng.randint(-5, 5), day) for _, day in days}
        rule["BYDAY"] = sorted(days)
    if often(0.25):
        rule["BYHOUR"] = some(rng, range(24), 4)
    if often(0.25):
        rule["BYMINUTE"] = some(rng, range(60), 4)
    if often(0.15):
        rule["BYSECOND"] = some(rng, range(60), 3)
    if often(0.2):
        rule["BYSETPOS"] = some(rng, [p for p in range(-8, 9) if p], 3) if often(0.8) else signed(rng, 366, 3)
    end = rng.random()
    if end < 0.3:
        rule["COUNT"] = rng.choice([1, 2, 3, 5, 10, 20, 100])
    elif end < 0.55:
        days = rng.choice([1, 3, 10, 40, 400, 4000]) if not fine else rng.choice([1, 2, 5, 30])
        until = start + timedelta(days=rng.random() * days)
        rule["UNTIL"] = until.replace(microsecond=0)
        rule["UNTILFORM"] = rng.choice(["utc", "utc", "local", "date"])
        if rule["UNTILFORM"] == "date":
            rule["UNTIL"] = rule["UNTIL"].replace(hour=23, minute=59, second=59)
    return rule


def text(rule):
    parts = ["FREQ=" + rule["FREQ"]]
    if rule["INTERVAL"] != 1:
        parts.append(f"INTERVAL={rule['INTERVAL']}")
    if "COUNT" in rule:
        parts.append(f"COUNT={rule['COUNT']}")
    if "UNTIL" in rule:
        form = {"utc": "%Y%m%dT%H%M%SZ", "local": "%Y%m%dT%H%M%S", "date": "%Y%m%d"}[rule["UNTILFORM"]]
        parts.append("UNTIL=" + rule["UNTIL"].strftime(form))
    if rule["WKST"]:
        parts.append("WKST=" + DAYS[rule["WKST"]])
    for name in ["BYMONTH", "BYWEEKNO", "BYYEARDAY", "BYMONTHDAY", "BYHOUR", "BYMINUTE", "BYSECOND", "BYSETPOS"]:
        if name in rule:
            parts.append(name + "=" + ",".join(map(str, rule[name])))
    if "BYDAY" in rule:
        parts.append("BYDAY=" + ",".join((str(n) if n else "") + DAYS[day] for n, day in rule["BYDAY"]))
    return ";".join(parts)


# ---------------------------------------------------------------- dateutil

class TooLong(Exception):
    pass


def ring(*_):
    raise TooLong


def by_dateutil(rule, start):
    """The first occurrences, and whether that is all it was asked for; it may take too long."""
    weekdays = [du.MO, du.TU, du.WE, du.TH, du.FR, du.SA, du.SU]
    arguments = {"interval": rule["INTERVAL"], "wkst": rule["WKST"], "dtstart": start}
    for name in ["COUNT", "UNTIL", "BYMONTH", "BYWEEKNO", "BYYEARDAY", "BYMONTHDAY", "BYHOUR", "BYMINUTE", "BYSECOND", "BYSETPOS"]:
        if name in rule:
            arguments[name.lower()] = rule[name]
    if "BYDAY" in rule:
        arguments["byweekday"] = [weekdays[day](n) if n else weekdays[day] for n, day in rule["BYDAY"]]
    found = []
    try:
        walk(arguments, getattr(du, rule["FREQ"]), found)
        return found, True
    except (TooLong, IndexError):
        # It also stumbles over ordinals that reach beyond the year (MONTHLY;BYDAY=53MO).
        return found, False


def walk(arguments, freq, found):
    """Adds the occurrences to `found`, for as long as patience lasts, in time of the processor."""
    signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE)
    try:
        for at in du.rrule(freq, **arguments):
            found.append(at)
            if len(found) == SHOWN:
                break
    except ValueError as why:
        # It refuses what can never match.
        if "empty" not in str(why):
            raise
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def why_dateutil_differs(rule):
    """The reading of README.md by which dateutil may give something else; '' when it may not."""
    freq, by_day = rule["FREQ"], rule.get("BYDAY", [])
    large = freq in ("YEARLY", "MONTHLY")
    if "BYWEEKNO" in rule and large and not any(p in rule for p in ("BYDAY", "BYMONTHDAY", "BYYEARDAY")):
        return "weekno-without-day"
    if "BYWEEKNO" in rule and freq == "WEEKLY" and not any(p in rule for p in ("BYDAY", "BYMONTHDAY", "BYYEARDAY")):
        return "weekno-without-day"
    if "BYWEEKNO" in rule and freq == "YEARLY" and any(n for n, _ in by_day):
        return "weekno-with-ordinal"
    if "BYWEEKNO" in rule and freq == "YEARLY" and (rule["INTERVAL"] > 1 or "BYSETPOS" in rule):
        return "weekno-year"
    if "BYWEEKNO" in rule:
        return "weekno-last"
    if large and any(n for n, _ in by_day) and not all(n for n, _ in by_day):
        return "mixed-byday"
    if freq == "WEEKLY" and "BYSETPOS" in rule:
        return "weekly-setpos"
    return ""


# ---------------------------------------------------------------- the RFC, by brute force

def month_days(year, month):
    return (datetime(year + month // 12, month % 12 + 1, 1) - datetime(year, month, 1)).days


def week_start(day, wkst):
    return day - timedelta(days=(day.weekday() - wkst) % 7)


def week(day, wkst):
    """(year, number, number of weeks in that year) of the week of a day."""
    monday = week_start(day, wkst)
    year = (monday + timedelta(days=3)).year
    first = week_start(datetime(year, 1, 4), wkst)
    following = week_start(datetime(year + 1, 1, 4), wkst)
    return year, (monday - first).days // 7 + 1, (following - first).days // 7


def either(number, total, wanted):
    return number in wanted or number - total - 1 in wanted


class Filter:
    """Which days and times of day a rule lets through, with what DTSTART adds."""

    def __init__(self, rule, start):
        freq = rule["FREQ"]
        self.freq, self.wkst = freq, rule["WKST"]
        self.months = rule.get("BYMONTH")
        self.weeks = rule.get("BYWEEKNO")
        self.year_days = rule.get("BYYEARDAY")
        self.days_of_month = rule.get("BYMONTHDAY")
        self.by_day = rule.get("BYDAY")
        keep = freq == "MONTHLY" or freq == "YEARLY" and not self.weeks
        if self.by_day and not keep:
            self.by_day = [(0, day) for _, day in self.by_day]
        chosen = self.year_days or self.days_of_month or self.by_day
        if not chosen and self.weeks and freq in ("YEARLY", "MONTHLY", "WEEKLY"):
            self.by_day = [(0, start.weekday())]
        elif not chosen and not self.weeks:
            if freq == "WEEKLY":
                self.by_day = [(0, start.weekday())]
            elif freq in ("MONTHLY", "YEARLY"):
                self.days_of_month = [start.day]
                if freq == "YEARLY" and not self.months:
                    self.months = [start.month]
        self.in_year = freq == "YEARLY" and not rule.get("BYMONTH")

    def day(self, day):
        last = month_days(day.year, day.month)
        year_day, year_last = day.timetuple().tm_yday, 366 if month_days(day.year, 2) == 29 else 365
        if self.months and day.month not in self.months:
            return False
        if self.days_of_month and not either(day.day, last, self.days_of_month):
            return False
        if self.year_days and not either(year_day, year_last, self.year_days):
            return False
        if self.weeks:
            _, number, total = week(day, self.wkst)
            if not either(number, total, self.weeks):
                return False
        if self.by_day:
            at, size = (year_day, year_last) if self.in_year else (day.day, last)
            first, back = (at - 1) // 7 + 1, -((size - at) // 7 + 1)
            return any(wanted == day.weekday() and n in (0, first, back) for n, wanted in self.by_day)
        return True


def pick(times, positions):
    if not positions:
        return times
    times = sorted(times)
    size = len(times)
    return sorted({times[p - 1 if p > 0 else p] for p in positions if (p <= size if p > 0 else -p <= size)})


def periods(rule, start, budget):
    """(first day, days) of one period after the other, YEARLY to DAILY."""
    freq, step = rule["FREQ"], rule["INTERVAL"]
    midnight = start.replace(hour=0, minute=0, second=0)
    for k in range(budget):
        if freq == "YEARLY":
            if "BYWEEKNO" in rule:
                year = week(midnight, rule["WKST"])[0] + k * step
                if year > 9990:
                    return
                first = week_start(datetime(year, 1, 4), rule["WKST"])
                size = (week_start(datetime(year + 1, 1, 4), rule["WKST"]) - first).days
            else:
                year = start.year + k * step
                if year > 9990:
                    return
                first, size = datetime(year, 1, 1), 366 if month_days(year, 2) == 29 else 365
        elif freq == "MONTHLY":
            year, month = divmod(start.year * 12 + start.month - 1 + k * step, 12)
            if year > 9990:
                return
            first, size = datetime(year, month + 1, 1), month_days(year, month + 1)
        elif freq == "WEEKLY":
            first, size = week_start(midnight, rule["WKST"]) + timedelta(days=7 * k * step), 7
        else:
            first, size = midnight + timedelta(days=k * step), 1
        yield first, [first + timedelta(days=n) for n in range(size)]


def walls_by_rfc(rule, start, budget):
    """Wall-clock times of YEARLY to DAILY, without COUNT and UNTIL; at the end (horizon,)."""
    keep = Filter(rule, start)
    times = [timedelta(hours=h, minutes=m, seconds=s) for h in rule.get("BYHOUR", [start.hour])
             for m in rule.get("BYMINUTE", [start.minute]) for s in rule.get("BYSECOND", [start.second])]
    horizon = start
    for first, days in periods(rule, start, budget):
        horizon = first
        for at in pick([day + time for day in days if keep.day(day) for time in times], rule.get("BYSETPOS")):
            if at >= start:
                yield at
    yield (horizon,)


def steps_by_rfc(rule, start, budget, wall_of):
    """Instants of HOURLY to SECONDLY, without COUNT and UNTIL, start being one; at the end (horizon,)."""
    freq, keep = rule["FREQ"], Filter(rule, start)
    step = timedelta(seconds=SECONDS[freq] * rule["INTERVAL"])
    at, horizon, days = start, start, {}
    for _ in range(budget):
        if at.year > 9990:
            break
        horizon = at
        wall = wall_of(at)
        day = wall.replace(hour=0, minute=0, second=0)
        if day not in days:
            days[day] = keep.day(day)
        if not days[day]:
            # Far from the day's end no clock change matters.
            left = day + timedelta(hours=20) - wall
            at += step * max(1, left // step)
            continue
        offset = wall - at
        times = [wall]
        if freq == "HOURLY" and ("BYMINUTE" in rule or "BYSECOND" in rule):
            minutes = rule.get("BYMINUTE", [wall.minute])
            times = [wall.replace(minute=m, second=s) for m in minutes for s in rule.get("BYSECOND", [wall.second])]
        if freq == "MINUTELY" and "BYSECOND" in rule:
            times = [wall.replace(second=s) for s in rule["BYSECOND"]]
        times = [t - offset for t in times if wall_of(t - offset) == t]
        limits = [("BYHOUR", wall.hour), ("BYMINUTE", wall.minute), ("BYSECOND", wall.second)]
        limits = limits[:1 + FREQS.index(freq) - FREQS.index("HOURLY")]
        if all(part not in rule or value in rule[part] for part, value in limits):
            for instant in pick(times, rule.get("BYSETPOS")):
                if instant >= start:
                    yield instant
        at += step
    yield (horizon,)


def ended(times, rule, until):
    """COUNT and UNTIL applied; (list, horizon)."""
    found, most = [], rule.get("COUNT", 1 << 30)
    for at in times:
        if isinstance(at, tuple):
            return found, at[0]
        if until and at > until or len(found) == most:
            break
        found.append(at)
        if len(found) >= SHOWN and "COUNT" not in rule:
            return found, at
    return found, datetime(9999, 1, 1)


def by_rfc(rule, start):
    if rule["FREQ"] in SECONDS:
        times = steps_by_rfc(rule, start, 4000, lambda at: at)
    else:
        times = walls_by_rfc(rule, start, {"YEARLY": 30, "MONTHLY": 250, "WEEKLY": 600, "DAILY": 3000}[rule["FREQ"]])
    found, horizon = ended(times, rule, rule.get("UNTIL"))
    if len(found) > SHOWN:
        found, horizon = found[:SHOWN], found[SHOWN - 1]
    return found, horizon


# ---------------------------------------------------------------- zones

ZONES = ["Europe/Berlin", "America/New_York", "America/Santiago", "Australia/Lord_Howe", "Asia/Tokyo", "Europe/Lisbon",
         "Atlantic/Azores", "Pacific/Apia", "America/Caracas", "Asia/Kathmandu"]


def instant(wall, zone):
    """RFC 5545, 3.3.5: in a gap the offset before it, in a fold the first."""
    return (wall.replace(tzinfo=zone, fold=0).astimezone(timezone.utc)).replace(tzinfo=None)


def wall_in(zone):
    return lambda at: at.replace(tzinfo=timezone.utc).astimezone(zone).replace(tzinfo=None)


def zone_case(rng):
    name = rng.choice(ZONES)
    zone = ZoneInfo(name)
    days = rng.randrange(6000, 18000)
    near = datetime(1990, 1, 1) + timedelta(days=days, hours=rng.randrange(24))
    if rng.random() < 0.7:
        near = next_change(near, zone) + timedelta(hours=rng.randint(-30, 30), minutes=rng.choice([0, 0, 15, 30]))
    start = wall_in(zone)(near).replace(microsecond=0)
    rule = random_rule(rng, start)
    rule.pop("BYWEEKNO", None)
    if rng.random() < 0.4:
        rule = {"FREQ": rule["FREQ"], "INTERVAL": rule["INTERVAL"], "WKST": 0, "BYHOUR": [0, 1, 2, 3], "BYMINUTE": [0, 15, 30]}
    rule.pop("UNTIL", None)
    start_at = instant(start, zone)
    if rule["FREQ"] in SECONDS:
        times = steps_by_rfc(rule, start_at, 2500, wall_in(zone))
        found, horizon = ended(times, {**rule, "COUNT": rule.get("COUNT", 300)}, None)
        full = len(found) == 300
    else:
        walls, horizon = ended(walls_by_rfc(rule, start, 150), {**rule, "COUNT": rule.get("COUNT", 300)}, None)
        found = sorted({instant(wall, zone) for wall in walls})
        horizon = min(horizon, datetime(9000, 1, 1)) - timedelta(days=2)
        full = len(walls) == 300
    if full:
        horizon = found[-1] - timedelta(days=2)
    first = start_at + rng.random() * max(timedelta(0), min(horizon, start_at + timedelta(days=60)) - start_at)
    first = rng.choice([start_at, first.replace(microsecond=0)])
    found = [at for at in found if first <= at <= horizon][:SHOWN]
    if len(found) == SHOWN:
        horizon = found[-1]
    return [form(start), text(rule), name, form(first), forms(found), form(horizon)]


def next_change(at, zone):
    """The next instant at which the zone's offset changes, within two years; else `at`."""
    offset = wall_in(zone)(at) - at
    for _ in range(730):
        later = at + timedelta(days=1)
        if wall_in(zone)(later) - later != offset:
            low, high = at, later
            while high - low > timedelta(minutes=15):
                middle = low + (high - low) / 2
                if wall_in(zone)(middle) - middle == offset:
                    low = middle
                else:
                    high = middle
            minute = (high.minute + 14) // 15 * 15
            return high.replace(minute=0, second=0, microsecond=0) + timedelta(minutes=minute - 15)
        at = later
    return at


# ---------------------------------------------------------------- output

def form(at):
    return at.strftime("%Y%m%dT%H%M%S") if at.year >= 1000 else "00010101T000000"


def forms(times):
    return ",".join(map(form, times))


def utc_case(rng):
    start = random_start(rng)
    rule = random_rule(rng, start)
    dateutil, complete = by_dateutil(rule, start)
    found, horizon = by_rfc(rule, start)
    return [form(start), text(rule), forms(dateutil), "all" if complete else "some", forms(found), form(horizon), why_dateutil_differs(rule)]


def main():
    seed, rules = int(sys.argv[1]), int(sys.argv[2])
    case = zone_case if sys.argv[3:] == ["zones"] else utc_case
    rng = random.Random(seed)
    for _ in range(rules):
        print("\t".join(case(rng)))


main()

"""What Python's zoneinfo says of wall-clock times around every change of every zone:

    python oracle.py FOLDER FIRST_YEAR LAST_YEAR

FOLDER holds compiled zones (TZif). For each change of a zone's offset in these years one line for each wall-clock time
before, at the edges of, in and after the gap or fold, columns separated by a tab:

    wall  ZONE  WALL-CLOCK TIME  INSTANT (seconds since 1970)  exact | gap | fold

and one for each instant just before and at the change: `instant ZONE INSTANT WALL-CLOCK TIME`; the last line is
`zones COUNT CHANGES`. The instant is the one of fold=0 (PEP 495): in a gap by the offset before it, in a fold the first.
"""

import pathlib
import sys
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1)
STEP = 2 * 86_400


def offset(zone, at):
    """Seconds east of UTC at an instant."""
    return int(datetime.fromtimestamp(at, zone).utcoffset().total_seconds())


def changes(zone, first, last):
    """The instants at which the offset changes, looked for every second day, then to the second."""
    before = offset(zone, first)
    for low in range(first, last, STEP):
        after = offset(zone, low + STEP)
        if after == before:
            continue
        same, other = low, low + STEP
        while other - same > 1:
            middle = (same + other) // 2
            if offset(zone, middle) == before:
                same = middle
            else:
                other = middle
        yield other, before, after
        before = after


def fit(zone, wall):
    """The instant of a wall-clock time, and where it lies."""
    first, second = (wall.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    instant = (wall - first - EPOCH) // timedelta(seconds=1)
    return instant, "exact" if first == second else "gap" if first < second else "fold"


def main():
    folder, first, last = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    begin, end = (int(datetime(year, 1, 1, tzinfo=timezone.utc).timestamp()) for year in (first, last + 1))
    zones = found = 0
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = file.relative_to(folder).as_posix()
        with file.open("rb") as data:
            zone = ZoneInfo.from_file(data, key=name)
        zones += 1
        for at, before, after in changes(zone, begin, end):
            found += 1
            low, high = sorted(EPOCH + timedelta(seconds=at + shift) for shift in (before, after))
            second, hour = timedelta(seconds=1), timedelta(hours=1)
            for wall in (low - hour, low - second, low, low + (high - low) / 2, high - second, high, high + hour):
                wall = wall.replace(microsecond=0)
                print("wall", name, wall.isoformat(), *fit(zone, wall), sep="\t")
            for instant in (at - 1, at):
                print("instant", name, instant, datetime.fromtimestamp(instant, zone).replace(tzinfo=None).isoformat(), sep="\t")
    print("zones", zones, found, sep="\t")


if __name__ == "__main__":
    main()

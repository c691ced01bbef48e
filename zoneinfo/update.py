#!/usr/bin/env python3
"""Writes the time zone data of this folder anew, from what package registries carry:

    zoneinfo/update.py [--tzdata VERSION] [--cldr VERSION]

* `tzif/` and `links.tsv` from the package `tzdata` of PyPI: compiled TZif files and `tzdata.zi`.
* `windows.tsv` and its licence from the package `cldr-core` of npm: CLDR's `windowsZones.json`.
* `names.tsv` from `cldr-core` and `cldr-dates-full`, in the same release: CLDR's metazones and what they are called.
* `VERSION` says which releases they are.

It needs pip and npm. `windows-aliases.tsv` is kept by hand; this script checks that every Windows name in it is known.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent

# Those that Windows, macOS or the calendar programs for Linux are translated into.
LANGUAGES = (
    "ar bg ca cs da de de-AT de-CH el en en-AU en-CA en-GB en-IN es es-419 es-MX es-US et eu fa fi fr fr-CA fr-CH gl he hi hr hu "
    "id is it ja ko lt lv ms nb nl nn pl pt pt-PT ro ru sk sl sr sr-Latn sv th tr uk vi zh zh-Hant zh-Hant-HK"
).split()


def fetch_tzdata(version, into):
    """The unpacked `tzdata` wheel's zoneinfo folder, and the package's version."""
    wanted = f"tzdata=={version}" if version else "tzdata"
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", into, wanted],
        check=True,
    )
    wheel = next(into.glob("tzdata-*.whl"))
    zipfile.ZipFile(wheel).extractall(into)
    return into / "tzdata" / "zoneinfo", wheel.name.split("-")[1]


def fetch_npm(name, version, into):
    """The unpacked npm package, and its version."""
    wanted = f"{name}@{version}" if version else name
    subprocess.run(["npm", "pack", "--silent", "--pack-destination", into, wanted], check=True, stdout=subprocess.DEVNULL)
    archive = next(into.glob(f"{name}-*.tgz"))
    with tarfile.open(archive) as tar:
        tar.extractall(into / name, filter="data")
    return into / name / "package", archive.name.removeprefix(f"{name}-").removesuffix(".tgz")


def write_zones(source):
    """Copies each zone once and lists the links; returns the release's version."""
    lines = (source / "tzdata.zi").read_text().splitlines()
    release = lines[0].removeprefix("# version ").strip()
    links = {new: old for kind, old, new in (line.split() for line in lines if line.startswith("L "))}

    target = HERE / "tzif"
    shutil.rmtree(target, ignore_errors=True)
    for file in sorted(source.rglob("*")):
        name = file.relative_to(source).as_posix()
        if not file.is_file() or file.read_bytes()[:4] != b"TZif" or name == "Factory":
            continue
        if name in links:
            same = (source / links[name]).read_bytes() == file.read_bytes()
            if not same:
                sys.exit(f"{name} is a link to {links[name]} in tzdata.zi, but their data differ")
            continue
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())

    rows = "".join(f"{new}\t{old}\n" for new, old in sorted(links.items()))
    (HERE / "links.tsv").write_text("# link\tzone\n" + rows)
    return release


def write_windows(core):
    """Keeps the zone that stands for a Windows name everywhere: territory 001."""
    cldr = json.loads((core / "supplemental/windowsZones.json").read_text())
    maps = (entry["mapZone"] for entry in cldr["supplemental"]["windowsZones"]["mapTimezones"])
    names = {entry["_other"]: entry["_type"] for entry in maps if entry["_territory"] == "001"}
    rows = "".join(f"{windows}\t{zone}\n" for windows, zone in sorted(names.items()))
    (HERE / "windows.tsv").write_text("# Windows name\tzone\n" + rows)
    return names


def write_names(core, dates):
    """What CLDR calls a zone in the languages that calendar programs speak, where that means one zone."""
    metazones = json.loads((core / "supplemental/metaZones.json").read_text())["supplemental"]["metaZones"]["metazones"]
    maps = (entry["mapZone"] for entry in metazones)
    stands_for = {entry["_other"]: entry["_type"] for entry in maps if entry["_territory"] == "001"}

    meant, rows = {}, []
    for language in LANGUAGES:
        text = (dates / "main" / language / "timeZoneNames.json").read_text()
        names = json.loads(text)["main"][language]["dates"]["timeZoneNames"]
        called = {}
        for metazone, forms in names.get("metazone", {}).items():
            zone = stands_for.get(metazone)
            long = (name for name in forms.get("long", {}).values() if any(letter.isalpha() for letter in name))
            called.setdefault(zone, set()).update(long)
        for area, places in names.get("zone", {}).items():
            for place, forms in places.items():
                if "long" in forms and isinstance(next(iter(forms["long"].values())), str):
                    called.setdefault(f"{area}/{place}", set()).update(forms["long"].values())
        for zone, of_zone in called.items():
            # Both parts of Hawaii's zone have one name; nearly all who live there have no summer time.
            if zone in (None, "Etc/UTC", "America/Adak"):
                continue
            for name in of_zone:
                meant.setdefault(name.lower(), set()).add(zone)
            rows.append((zone, language, of_zone))
    lines, listed = [], set()
    for zone, language, of_zone in sorted(rows, key=lambda row: row[:2]):
        plain = sorted(name for name in of_zone if meant[name.lower()] == {zone} and name.lower() not in listed)
        listed.update(name.lower() for name in plain)
        if plain:
            lines.append("\t".join([zone, language, *plain]) + "\n")
    (HERE / "names.tsv").write_text("# zone\tlanguage\tnames\n" + "".join(lines))
    return sum(line.count("\t") - 1 for line in lines)


def check_aliases(names):
    for line in (HERE / "windows-aliases.tsv").read_text().splitlines():
        if line.startswith("#") or not line:
            continue
        _, _, windows = line.partition("\t")
        if windows not in names:
            sys.exit(f"windows-aliases.tsv: CLDR does not know '{windows}'")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--tzdata", metavar="VERSION", help="release of the PyPI package; default: the newest")
    arguments.add_argument("--cldr", metavar="VERSION", help="release of the npm package; default: the newest")
    wanted = arguments.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        source, tzdata_package = fetch_tzdata(wanted.tzdata, folder)
        core, cldr_package = fetch_npm("cldr-core", wanted.cldr, folder)
        dates, _ = fetch_npm("cldr-dates-full", cldr_package, folder)
        (HERE / "LICENSE-UNICODE").write_bytes((core / "LICENSE").read_bytes())
        release = write_zones(source)
        names = write_windows(core)
        shown = write_names(core, dates)
    check_aliases(names)

    (HERE / "VERSION").write_text(f"tzdata\t{release}\tPyPI tzdata {tzdata_package}\ncldr\t{cldr_package}\tnpm cldr-core {cldr_package}\n")
    zones = sum(1 for file in (HERE / "tzif").rglob("*") if file.is_file())
    print(f"tz database {release}: {zones} zones; CLDR {cldr_package}: {len(names)} Windows names, {shown} names that people see")


if __name__ == "__main__":
    main()

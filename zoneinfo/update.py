#!/usr/bin/env python3
"""Writes the time zone data of this folder anew, from what package registries carry:

    zoneinfo/update.py [--tzdata VERSION] [--cldr VERSION]

* `tzif/` and `links.tsv` from the package `tzdata` of PyPI: compiled TZif files and `tzdata.zi`.
* `windows.tsv` and its licence from the package `cldr-core` of npm: CLDR's `windowsZones.json`.
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


def fetch_cldr(version, into):
    """CLDR's map of Windows zones, and the package's version."""
    wanted = f"cldr-core@{version}" if version else "cldr-core"
    subprocess.run(["npm", "pack", "--silent", "--pack-destination", into, wanted], check=True, stdout=subprocess.DEVNULL)
    archive = next(into.glob("cldr-core-*.tgz"))
    with tarfile.open(archive) as tar:
        text = tar.extractfile("package/supplemental/windowsZones.json").read()
        (HERE / "LICENSE-UNICODE").write_bytes(tar.extractfile("package/LICENSE").read())
    return json.loads(text), archive.name.removeprefix("cldr-core-").removesuffix(".tgz")


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


def write_windows(cldr):
    """Keeps the zone that stands for a Windows name everywhere: territory 001."""
    maps = (entry["mapZone"] for entry in cldr["supplemental"]["windowsZones"]["mapTimezones"])
    names = {entry["_other"]: entry["_type"] for entry in maps if entry["_territory"] == "001"}
    rows = "".join(f"{windows}\t{zone}\n" for windows, zone in sorted(names.items()))
    (HERE / "windows.tsv").write_text("# Windows name\tzone\n" + rows)
    return names


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
        cldr, cldr_package = fetch_cldr(wanted.cldr, folder)
        release = write_zones(source)
        names = write_windows(cldr)
    check_aliases(names)

    (HERE / "VERSION").write_text(f"tzdata\t{release}\tPyPI tzdata {tzdata_package}\ncldr\t{cldr_package}\tnpm cldr-core {cldr_package}\n")
    zones = sum(1 for file in (HERE / "tzif").rglob("*") if file.is_file())
    print(f"tz database {release}: {zones} zones; CLDR {cldr_package}: {len(names)} Windows names")


if __name__ == "__main__":
    main()

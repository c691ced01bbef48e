//! Placing wall-clock time in the bundled time zones, beside Python's zoneinfo; and `reveille zones`.

use std::path::Path;
use std::process::Command;

use jiff::civil::DateTime;
use reveille::calendar::zone::{Ambiguity, CivilInstant, Zones};
use reveille::time::UtcMillis;

use crate::venv::Venv;

/// Every change of every zone from 1970 to 2037: the times before, in and after each gap and fold (rule 9).
#[test]
fn every_change_since_1970_is_placed_as_python_places_it() {
    let Some(venv) = Venv::or_skip() else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut python = venv.command();
    python.arg(root.join("tests/zones/oracle.py")).arg(root.join("zoneinfo/tzif")).args(["1970", "2037"]);
    let output = python.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();

    let zones = Zones::bundled();
    let mut seen = [0; 3];
    let mut wrong = Vec::new();
    for line in text.lines() {
        let agrees = match line.split('\t').collect::<Vec<_>>()[..] {
            ["wall", id, wall, instant, ambiguity] => {
                let (ambiguity, count) = match ambiguity {
                    "exact" => (Ambiguity::Exact, &mut seen[0]),
                    "gap" => (Ambiguity::Gap, &mut seen[1]),
                    _ => (Ambiguity::Fold, &mut seen[2]),
                };
                *count += 1;
                let expected = UtcMillis(instant.parse::<i64>().unwrap() * 1000);
                zones.find(id).unwrap().instant(wall.parse().unwrap()) == CivilInstant { at: expected, ambiguity }
            }
            ["instant", id, instant, wall] => {
                let at = UtcMillis(instant.parse::<i64>().unwrap() * 1000);
                zones.find(id).unwrap().civil(at) == wall.parse::<DateTime>().unwrap()
            }
            ["zones", count, changes] => {
                assert!(count.parse::<usize>().unwrap() > 330, "{line}");
                assert!(changes.parse::<usize>().unwrap() > 15_000, "{line}");
                true
            }
            _ => panic!("Python said '{line}'"),
        };
        if !agrees {
            wrong.push(line);
        }
    }
    println!("{} exact, {} in gaps, {} in folds", seen[0], seen[1], seen[2]);
    assert!(seen.iter().all(|count| *count > 20_000), "{seen:?}");
    assert!(wrong.is_empty(), "{} differ, such as:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}

/// A link has the rules of its zone.
#[test]
fn links_say_what_their_zones_say() {
    let links = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("zoneinfo/links.tsv")).unwrap();
    let zones = Zones::bundled();
    let pairs: Vec<_> =
        links.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_once('\t').unwrap()).collect();
    assert!(pairs.len() > 200);
    for (link, zone) in pairs {
        assert_eq!(zones.find(link).unwrap().id(), link);
        assert_eq!(zones.fingerprint(link), zones.fingerprint(zone), "{link}");
    }
}

/// A system with a newer database, in which Berlin has Lisbon's time: it is used, and the difference is shown.
#[test]
fn the_command_shows_the_database_in_use_and_what_others_say() {
    let folder = tempfile::tempdir().unwrap();
    let tzif = Path::new(env!("CARGO_MANIFEST_DIR")).join("zoneinfo/tzif");
    std::fs::create_dir(folder.path().join("Europe")).unwrap();
    std::fs::copy(tzif.join("Europe/Lisbon"), folder.path().join("Europe/Berlin")).unwrap();
    std::fs::write(folder.path().join("tzdata.zi"), "# version 2999a\n").unwrap();
    let zones = |choice: &str, arguments: &[&str]| {
        let config = folder.path().join("reveille.toml");
        std::fs::write(&config, format!("zoneinfo = \"{choice}\"\n")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_reveille"));
        command.arg("zones").args(arguments).arg("--config").arg(&config).env("TZDIR", folder.path());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };

    let text = zones("auto", &["--json"]);
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["database"], &lines[0]["version"]), (&"system".into(), &"2999a".into()));
    assert_eq!((&lines[0]["inUse"], &lines[0]["origin"]), (&true.into(), &folder.path().to_str().unwrap().into()));
    assert_eq!((&lines[1]["database"], &lines[1]["inUse"]), (&"bundled".into(), &false.into()));
    assert_eq!(lines[2]["database"], "chrono-tz");
    let berlin = lines.iter().find(|line| line["zone"] == "Europe/Berlin" && line["database"] == "bundled").unwrap();
    let offsets = (berlin["offset"].as_str().unwrap(), berlin["otherOffset"].as_str().unwrap());
    assert!([("+00:00", "+01:00"), ("+01:00", "+02:00")].contains(&offsets), "{berlin}");

    let text = zones("bundled", &[]);
    assert!(text.starts_with(&format!("in use:    {}, the program's own, ", Zones::bundled().version())), "{text}");
    assert!(text.contains("system:    2999a in "), "{text}");
    assert!(text.lines().any(|line| line.starts_with("Europe/Berlin ") && line.contains(" system 2999a ")), "{text}");
}

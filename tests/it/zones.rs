//! Placing wall-clock time in the bundled time zones, beside Python's zoneinfo.

use std::path::Path;

use jiff::civil::DateTime;
use reveille::calendar::zone::{Fit, Zones};
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
            ["wall", id, wall, instant, fit] => {
                let (fit, count) = match fit {
                    "exact" => (Fit::Exact, &mut seen[0]),
                    "gap" => (Fit::Gap, &mut seen[1]),
                    _ => (Fit::Fold, &mut seen[2]),
                };
                *count += 1;
                let expected = UtcMillis(instant.parse::<i64>().unwrap() * 1000);
                zones.find(id).unwrap().instant(wall.parse().unwrap()) == (expected, fit)
            }
            ["instant", id, instant, wall] => {
                let at = UtcMillis(instant.parse::<i64>().unwrap() * 1000);
                zones.find(id).unwrap().wall(at) == wall.parse::<DateTime>().unwrap()
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

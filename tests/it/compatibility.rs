//! What real programs write against the standard: the alarms of each input of `tests/compatibility` fire as its writer
//! meant them, and its slip is listed as a fault.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use reveille::calendar::context::CalendarContext;
use reveille::calendar::ical::object::{Object, ObjectLimits};
use reveille::calendar::schedule::Schedule;
use reveille::calendar::zone::Zones;
use reveille::time::UtcMillis;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compatibility")
}

/// A line of `cases.tsv`.
struct Case {
    name: String,
    zone: String,
    window: [UtcMillis; 2],
    /// So many faults at least.
    faults: usize,
    instances: Vec<String>,
}

fn cases() -> Vec<Case> {
    let text = fs::read_to_string(folder().join("cases.tsv")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let [name, zone, from, until, faults, instances, origin, what] =
                line.split('\t').collect::<Vec<_>>().try_into().unwrap_or_else(|_| panic!("{line}"));
            assert!(!origin.is_empty() && !what.is_empty(), "{name} needs an origin and a description");
            let day = |day: &str| UtcMillis::parse(&format!("{day}T00:00:00Z")).unwrap();
            Case {
                name: name.to_owned(),
                zone: zone.to_owned(),
                window: [day(from), day(until)],
                faults: faults.parse().unwrap(),
                instances: instances.split(' ').filter(|instance| *instance != "-").map(str::to_owned).collect(),
            }
        })
        .collect()
}

#[test]
fn every_input_fires_as_its_writer_meant_it() {
    let mut wrong = Vec::new();
    for Case { name, zone, window: [from, until], faults, mut instances } in cases() {
        let octets = fs::read(folder().join(format!("{name}.ics"))).unwrap();
        let context = CalendarContext::new(Zones::bundled()).with_user_zone(Some(&zone), None);
        let object = Object::parse(&octets, &ObjectLimits::default()).unwrap();
        let schedule = Schedule::new(&object, &context, None);
        let told =
            |instance: &reveille::calendar::schedule::alarm_instance::AlarmInstance<'_>| match instance.action.name() {
                "display" => instance.at.basic(),
                action => format!("{}/{action}", instance.at.basic()),
            };
        let mut found: Vec<String> = schedule.instances(from..until).iter().map(told).collect();
        found.sort();
        instances.sort();
        let listed: Vec<String> = schedule.faults().iter().map(ToString::to_string).collect();
        if found != instances || listed.len() < faults || (faults == 0 && !listed.is_empty()) {
            wrong.push(format!("{name}: {found:?} instead of {instances:?}, faults {listed:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_input_is_listed() {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "ics"));
    let files: BTreeSet<String> = files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(files, cases().into_iter().map(|case| case.name).collect());
}

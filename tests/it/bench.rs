//! `reveille-bench`: small runs go through, and what they print adds up.

use std::process::Command;

use serde_json::Value;

/// Runs `reveille-bench` with `arguments` in an empty folder; its figures, and a check that nothing is left there.
fn figures(arguments: &[&str]) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_reveille-bench"));
    command.args(arguments).args(["--json", "--folder"]).arg(folder.path());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(folder.path().read_dir().unwrap().count(), 0, "something is left behind");
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn value(figures: &[Value], figure: &str) -> f64 {
    let found = figures.iter().find(|found| found["figure"] == figure);
    found.unwrap_or_else(|| panic!("no {figure} in {figures:?}"))["value"].as_f64().unwrap()
}

#[test]
fn a_burst_goes_to_a_socket_and_its_lateness_is_reported() {
    let figures = figures(&["fire", "--alarms", "40", "--series", "--sink", "cyrus-notify"]);
    assert!(figures.iter().all(|figure| figure["run"] == "fire: 40 daily series to cyrus-notify"), "{figures:?}");
    let (rate, last) = (value(&figures, "delivered"), value(&figures, "lateness, the last"));
    assert!(value(&figures, "lateness, p99") <= last && last > 0.0, "{figures:?}");
    assert!((rate - 40_000.0 / last).abs() < 1.0, "{figures:?}");
    let first = &figures[0];
    let ratio = first["value"].as_f64().unwrap() / first["raw"].as_f64().unwrap();
    assert!((first["ratio"].as_f64().unwrap() - ratio).abs() < 1e-6, "{first}");
    assert_eq!(first["reached"], rate >= 27_000.0, "{first}");
}

#[test]
fn a_folder_and_a_server_are_taken_in() {
    for store in ["directory", "caldav"] {
        assert!(value(&figures(&["intake", "--objects", "250", "--store", store]), "taken in") > 0.0);
    }
}

#[test]
fn edits_are_seen() {
    let figures = figures(&["edit", "--edits", "3", "--objects", "2"]);
    assert!(value(&figures, "changed to armed, p50") <= value(&figures, "changed to armed, p99"), "{figures:?}");
}

#[test]
fn a_restart_on_a_full_ledger_is_measured() {
    let figures = figures(&["restart", "--objects", "40"]);
    assert!(value(&figures, "exec to the first alarm") > 0.0, "{figures:?}");
}

#[test]
fn polls_of_many_accounts_are_measured() {
    let figures = figures(&["poll", "--accounts", "20", "--seconds", "1", "--hints"]);
    assert!(value(&figures, "first sync of all") > 0.0, "{figures:?}");
    assert!(value(&figures, "hint to armed, p50") > 0.0, "{figures:?}");
}

#[test]
fn an_account_of_many_calendars_is_measured() {
    let figures = figures(&["account", "--calendars", "3", "--objects", "30", "--polls", "1"]);
    // The home, its calendars by report and by multiget.
    assert!(value(&figures, "first sync, requests") >= 7.0, "{figures:?}");
    assert_eq!(value(&figures, "unchanged poll, requests"), 1.0, "{figures:?}");
}

#[test]
fn alarms_that_go_out_one_by_one_all_arrive_once() {
    for sink in ["webhook", "command"] {
        let figures = figures(&["send", "--alarms", "40", "--sink", sink]);
        assert_eq!(value(&figures, "arrived more than once"), 0.0, "{figures:?}");
        assert!(figures[0]["ratio"].as_f64().unwrap() > 0.0, "{figures:?}");
    }
}

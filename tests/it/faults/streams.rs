//! The log cannot be written: nothing that is logged is worth an alarm. Standard output goes nowhere: that is told.

use std::fs::{self, File};
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::daemon::{Daemon, undisturbed};
use crate::rehearsal::{Stage, event};

use super::{SOON, announced, in_seconds, put_many, wait_until};

/// Runs the daemon with `log` as its standard error, through what it logs at the start, on a broken file, and at the
/// stop.
fn logs_to(log: Stdio) {
    let _quiet = undisturbed();
    let stage = Stage::new();
    fs::write(stage.file("broken.ics"), event("broken", "soon", "broken")).unwrap();
    put_many(&stage, 2, in_seconds(3));
    let mut daemon = Daemon::start_onto(stage.path(), &["run"], Stdio::null(), log);
    wait_until(|| stage.alarms().len() >= 2, || format!("{:?}", stage.alarms()));
    fs::write(stage.file("broken.ics"), event("mended", &in_seconds(2).basic(), "mended")).unwrap();
    fs::write(stage.file("worse.ics"), event("worse", "soon", "worse")).unwrap();
    wait_until(|| stage.alarms().len() >= 3, || format!("{:?}", stage.alarms()));
    assert!(daemon.stop(SOON).success());
    assert_eq!(announced(&stage), (3, 3));
}

#[test]
fn a_log_on_a_full_disk_costs_no_alarm_and_no_watch() {
    logs_to(File::options().write(true).open("/dev/full").unwrap().into());
}

#[test]
fn a_log_whose_reader_is_gone_costs_no_alarm_and_no_watch() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    logs_to(writer.into());
}

#[test]
fn a_log_that_is_not_read_costs_no_alarm_and_no_watch() {
    let (_reader, mut writer) = std::io::pipe().unwrap();
    // As much as a pipe holds.
    writer.write_all(&[b'\n'; 65_536]).unwrap();
    logs_to(writer.into());
}

#[test]
fn a_standard_output_that_is_closed_is_reported_where_alarms_are_written_to_it() {
    let stage = Stage::new();
    let start = |redirected: &str, sinks: &str| {
        let text = fs::read_to_string(stage.path().join("reveille.toml")).unwrap();
        let text = text.split("[[sink]]").next().unwrap().to_owned() + sinks;
        fs::write(stage.path().join("reveille.toml"), text).unwrap();
        let said = Command::new("sh")
            .args(["-c", &format!("exec \"$0\" \"$@\" {redirected}"), env!("CARGO_BIN_EXE_reveille")])
            .args(["run", "--once", "--at", "2026-03-10T12:00:00Z"])
            .current_dir(stage.path())
            .env_remove("REVEILLE_CONFIG")
            .output()
            .unwrap();
        let told = String::from_utf8(said.stderr).unwrap();
        assert!(said.status.success(), "{told}");
        told.contains("standard output is closed, or /dev/null")
    };
    assert!(start(">&-", "[[sink]]\nkind = \"stdout\"\n"));
    assert!(start(">/dev/null", ""), "no sink is standard output");
    assert!(!start("", ""));
    assert!(!start(">&-", "[[sink]]\nkind = \"file\"\npath = \"alarms.jsonl\"\n"));
}

//! What the simulation found, each as a short story of its own.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reveille::calendar::zone::Zones;
use reveille::clock::Clock;
use reveille::daemon::Core;
use reveille::delivery::worker::DeliveryWorker;
use reveille::firing::Tick;
use reveille::ledger::{DeliveryFilter, DeliveryState, FiringState, Inspector, Ledger, NextState, Settlement};
use reveille::source::{CalendarInfo, Change, ChangeBatch, Checkpoint, SyncStore as _};
use reveille::time::UtcMillis;

use super::disk::Script;
use super::event::MOVING;
use super::sink::{Mood, Postbox, Recorder};
use super::world::{SINKS, config, database};
use crate::chance::Chance;
use crate::rehearsal::event;

const SOURCE: &str = super::store::SOURCE;

fn at(time: &str) -> UtcMillis {
    UtcMillis::parse(&format!("2026-03-10T{time}Z")).unwrap()
}

/// A batch of events (name, start), looked at at `synced_at`, in a calendar that lies in `zone`.
fn batch(synced_at: &str, complete: bool, zone: &str, events: &[(&str, &str)]) -> ChangeBatch {
    let put = |(name, start): &(&str, &str)| Change::Put {
        href: (*name).to_owned(),
        etag: format!("\"{start}\""),
        text: event(name, start, name).into_bytes(),
        last_modified: None,
    };
    ChangeBatch {
        calendar: CalendarInfo { href: "/a/".to_owned(), zone: Some(zone.to_owned()), ..CalendarInfo::default() },
        synced_at: at(synced_at),
        changes: events.iter().map(put).collect(),
        checkpoint: complete.then(|| Checkpoint { sync_state: synced_at.to_owned() }),
        may_lag: true,
        made: None,
        begun: None,
    }
}

/// A started process and its clock.
async fn start(ledger: &Path, now: &str) -> (Core, Clock) {
    start_in(&Zones::bundled(), ledger, now).await
}

/// The same with another time zone database.
async fn start_in(zones: &Zones, ledger: &Path, now: &str) -> (Core, Clock) {
    start_on(&Arc::default(), zones, ledger, now).await
}

/// The same on a disk that fails when it is told to.
async fn start_on(disk: &Arc<Script>, zones: &Zones, ledger: &Path, now: &str) -> (Core, Clock) {
    let day = Duration::from_secs(86_400);
    let (clock, config) = (Clock::manual(at(now)), config(ledger.to_owned(), day, day, None));
    let ledger = Ledger::open_on(ledger, disk.clone()).await.unwrap();
    (Core::start(&config, zones, ledger, &clock).await.unwrap(), clock)
}

/// Fires what is due, ends the process, and says when what is in the ledger was due.
async fn fired(mut core: Core, ledger: &Path) -> Vec<String> {
    core.startup_gate.open();
    while core.wheel.tick().await.unwrap() == Tick::Again {}
    core.ledger.close().await;
    let mut inspector = Inspector::open(ledger).await.unwrap();
    inspector.firings(UtcMillis::MIN, None, 100).await.unwrap().iter().map(|firing| firing.due.basic()).collect()
}

#[tokio::test]
async fn a_part_of_a_sync_that_finds_nothing_new_does_not_make_the_rest_of_it_late() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger.db");
    let (core, clock) = start(&ledger, "10:00:00").await;
    let old = ("old", "20260311T000000Z");
    core.ingest.apply(SOURCE, batch("10:00:00", true, "UTC", &[old])).await.unwrap();
    clock.set(at("12:00:00"));
    core.ingest.apply(SOURCE, batch("12:00:00", false, "UTC", &[old])).await.unwrap();
    core.ingest.apply(SOURCE, batch("12:00:00", true, "UTC", &[("new", "20260310T113000Z")])).await.unwrap();
    assert_eq!(fired(core, &ledger).await, ["20260310T113000Z"]);
}

#[tokio::test]
async fn what_is_written_after_the_clock_was_set_back_fires() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger.db");
    let (core, clock) = start(&ledger, "15:00:00").await;
    core.ingest.apply(SOURCE, batch("15:00:00", true, "UTC", &[])).await.unwrap();
    clock.set(at("10:00:00"));
    core.ingest.apply(SOURCE, batch("10:00:00", true, "UTC", &[("a", "20260310T110000Z")])).await.unwrap();
    // Found at noon, and due after the sync before: late, and not past.
    clock.set(at("12:00:00"));
    core.ingest.apply(SOURCE, batch("12:00:00", true, "UTC", &[("b", "20260310T113000Z")])).await.unwrap();
    assert_eq!(fired(core, &ledger).await, ["20260310T113000Z", "20260310T110000Z"]);
}

#[tokio::test]
async fn another_zone_of_the_calendar_does_not_take_back_what_is_owed() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger.db");
    let (core, clock) = start(&ledger, "10:00:00").await;
    let due = ("a", "20260310T110000Z");
    core.ingest.apply(SOURCE, batch("10:00:00", true, "UTC", &[due])).await.unwrap();
    // Looked at twice before the wheel could write: the disk was full, say.
    clock.set(at("12:00:00"));
    core.ingest.apply(SOURCE, batch("12:00:00", true, "UTC", &[due, ("b", "20260311T000000Z")])).await.unwrap();
    core.ingest.apply(SOURCE, batch("12:00:00", true, "Europe/Berlin", &[])).await.unwrap();
    assert_eq!(fired(core, &ledger).await, ["20260310T110000Z"]);
}

#[tokio::test]
async fn what_an_edit_records_is_announced_to_those_who_deliver() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger.db");
    let (mut core, clock) = start(&ledger, "10:00:00").await;
    core.startup_gate.open();
    core.ingest.apply(SOURCE, batch("10:00:00", true, "UTC", &[("a", "20260310T110000Z")])).await.unwrap();
    // The edit is taken in before the next tick of the wheel, and with it what was due before.
    let mut announced = core.new_deliveries.subscribe();
    clock.set(at("12:00:00"));
    core.ingest.apply(SOURCE, batch("11:30:00", true, "UTC", &[("b", "20260311T000000Z")])).await.unwrap();
    assert!(!announced.has_changed().unwrap());
    core.ingest.apply(SOURCE, batch("12:00:00", true, "UTC", &[("a", "20260310T180000Z")])).await.unwrap();
    assert!(announced.has_changed().unwrap());
    announced.mark_unchanged();
    while core.wheel.tick().await.unwrap() == Tick::Again {}
    assert!(!announced.has_changed().unwrap());
    assert_eq!(fired(core, &ledger).await, ["20260310T110000Z"]);
}

#[tokio::test]
async fn planning_again_that_is_cut_off_anywhere_is_made_good_by_the_database_before() {
    let mut cut_off = 0;
    for moments in 0..16 {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("ledger.db");
        // Twelve o'clock is at 11:00 UTC by the one database and at 12:00 by the other.
        let (core, _) = start_in(database(0), &ledger, "10:00:00").await;
        core.ingest.apply(SOURCE, batch("10:00:00", true, MOVING, &[("a", "20260310T120000")])).await.unwrap();
        core.ledger.close().await;
        drop(core);
        let disk = Arc::new(Script::default());
        let dying = Ledger::open_on(&ledger, disk.clone()).await.unwrap();
        disk.end_in(moments);
        let day = Duration::from_secs(86_400);
        let config = config(ledger.clone(), day, day, None);
        let started = Core::start(&config, database(1), dying.clone(), &Clock::manual(at("10:30:00"))).await;
        cut_off += usize::from(started.is_err());
        drop(started);
        dying.close().await;
        drop(dying);
        let (core, _) = start_in(database(0), &ledger, "11:30:00").await;
        assert_eq!(fired(core, &ledger).await, ["20260310T110000Z"], "after {moments} moments");
    }
    assert!((6..16).contains(&cut_off), "{cut_off} of 16 starts were cut off");
}

#[tokio::test]
async fn what_was_sent_while_the_disk_was_full_is_not_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let (day, disk) = (Duration::from_secs(86_400), Arc::new(Script::default()));
    let ledger = Ledger::open_on(&path, disk.clone()).await.unwrap();
    let (clock, config) = (Clock::manual(at("10:00:00")), config(path.clone(), day, day, None));
    let mut core = Core::start(&config, &Zones::bundled(), ledger.clone(), &clock).await.unwrap();
    core.ingest.apply(SOURCE, batch("10:00:00", true, "UTC", &[("a", "20260310T110000Z")])).await.unwrap();
    clock.set(at("11:00:00"));
    core.startup_gate.open();
    while core.wheel.tick().await.unwrap() == Tick::Again {}
    let postbox = Arc::new(Postbox::default());
    let sink = Recorder {
        name: SINKS[0],
        mood: Arc::new(Mutex::new(Mood::Well)),
        chance: Mutex::new(Chance::new(1)),
        postbox: postbox.clone(),
        clock: clock.clone(),
        disk: disk.clone(),
        allowance: None,
    };
    let worker = DeliveryWorker::new(sink, core.sinks[SINKS[0]], ledger.clone(), clock.clone(), day);
    disk.fail(usize::MAX);
    for minute in 0..10 {
        clock.set(at(&format!("11:{minute:02}:00")));
        assert!(worker.run_batch().await.is_err());
        assert_eq!(postbox.sent.lock().unwrap().len(), 1, "in minute {minute}");
    }
    disk.heal();
    worker.send_ready().await.unwrap();
    assert_eq!(postbox.sent.lock().unwrap().len(), 1);
    ledger.close().await;
    let mut inspector = Inspector::open(&path).await.unwrap();
    let deliveries = inspector.deliveries(DeliveryFilter::All, 10).await.unwrap();
    let told: Vec<_> = deliveries.iter().map(|delivery| (delivery.state, delivery.attempts)).collect();
    assert_eq!(told, [(Some(DeliveryState::Delivered), 1)]);
}

#[tokio::test]
async fn what_could_not_be_read_and_claims_to_be_written_in_the_future_counts_from_the_sync_before() {
    for (written, fired_then) in
        [(None, vec![]), (Some("14:00:00"), vec![]), (Some("09:00:00"), vec!["20260310T100000Z"])]
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let (core, clock) = start(&path, "08:00:00").await;
        let put = |time: &str, text: Vec<u8>, last_modified: Option<&str>| {
            let (href, etag, last_modified) = ("a".to_owned(), format!("\"{time}\""), last_modified.map(at));
            let changes = vec![Change::Put { href, etag, text, last_modified }];
            ChangeBatch { changes, ..batch(time, true, "UTC", &[]) }
        };
        core.ingest.apply(SOURCE, batch("08:00:00", true, "UTC", &[])).await.unwrap();
        clock.set(at("08:30:00"));
        core.ingest.apply(SOURCE, put("08:30:00", b"<html>".to_vec(), None)).await.unwrap();
        clock.set(at("12:00:00"));
        core.ingest.unchanged(SOURCE, "/a/", at("12:00:00")).await.unwrap();
        clock.set(at("12:10:00"));
        let text = event("a", "20260310T100000Z", "a").into_bytes();
        core.ingest.apply(SOURCE, put("12:10:00", text, written)).await.unwrap();
        assert_eq!(fired(core, &path).await, fired_then, "written {written:?}");
    }
}

/// A ledger at `path` whose clock was in the year 2099 for a moment: what fires at 11:00 counts as missed.
async fn ahead(path: &Path) {
    let (mut core, clock) = start(path, "10:00:00").await;
    core.ingest.apply(SOURCE, batch("10:00:00", true, "UTC", &[("a", "20260310T110000Z")])).await.unwrap();
    core.startup_gate.open();
    clock.set(UtcMillis::parse("2099-01-01T00:00:00Z").unwrap());
    while core.wheel.tick().await.unwrap() == Tick::Again {}
    core.ledger.close().await;
}

#[tokio::test]
async fn what_a_clock_did_that_was_ahead_is_taken_back_as_a_whole_wherever_it_is_cut_off() {
    let mut cut_off = 0;
    for moments in 0..12 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        ahead(&path).await;
        let disk = Arc::new(Script::default());
        let dying = Ledger::open_on(&path, disk.clone()).await.unwrap();
        disk.end_in(moments);
        let day = Duration::from_secs(86_400);
        let config = config(path.clone(), day, day, None);
        let clock = Clock::manual(at("10:30:00"));
        let started = Core::start(&config, &Zones::bundled(), dying.clone(), &clock).await;
        cut_off += usize::from(started.is_err());
        drop(started);
        dying.close().await;
        drop(dying);
        let (core, clock) = start(&path, "10:31:00").await;
        clock.set(at("11:00:00"));
        assert_eq!(fired(core, &path).await, ["20260310T110000Z"], "after {moments} moments");
        let mut inspector = Inspector::open(&path).await.unwrap();
        let firings = inspector.firings(UtcMillis::MIN, None, 100).await.unwrap();
        assert_eq!(firings[0].state, Some(FiringState::Fired), "after {moments} moments");
    }
    assert!((5..12).contains(&cut_off), "{cut_off} of 12 starts were cut off");
}

#[tokio::test]
async fn a_sync_that_a_clock_dated_ahead_does_not_make_past_what_comes_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let (core, clock) = start(&path, "10:00:00").await;
    core.ingest.apply(SOURCE, batch("10:00:00", true, "UTC", &[])).await.unwrap();
    clock.set(at("12:00:00"));
    core.ingest.unchanged(SOURCE, "/a/", at("12:00:00")).await.unwrap();
    clock.set(at("10:01:00"));
    core.ingest.clock_was_set().await.unwrap();
    clock.set(at("10:10:00"));
    core.ingest.apply(SOURCE, batch("10:10:00", true, "UTC", &[("a", "20260310T100500Z")])).await.unwrap();
    assert_eq!(fired(core, &path).await, ["20260310T100500Z"]);
}

/// A daemon whose clock shows 15:00, with a delivery that is pending, and its firing.
async fn owing(path: &Path, disk: &Arc<Script>) -> (Core, Clock, Settlement) {
    let (mut core, clock) = start_on(disk, &Zones::bundled(), path, "10:00:00").await;
    core.ingest.apply(SOURCE, batch("10:00:00", true, "UTC", &[("a", "20260310T110000Z")])).await.unwrap();
    core.startup_gate.open();
    clock.set(at("15:00:00"));
    while core.wheel.tick().await.unwrap() == Tick::Again {}
    let firing =
        core.ledger.claim(core.sinks[SINKS[0]], clock.now(), clock.now(), 1).await.unwrap().deliveries[0].firing;
    let next_state = NextState::Retry { response: "451 busy".to_owned(), at: at("15:00:05") };
    (core, clock, Settlement { firing, recipient: String::new(), next_state, unknown: false, tried: true })
}

#[tokio::test]
async fn what_is_to_be_tried_again_does_not_wait_until_the_clock_is_where_it_was_ahead() {
    let folder = tempfile::tempdir().unwrap();
    let (core, clock, settlement) = owing(&folder.path().join("ledger.db"), &Arc::default()).await;
    let sink = core.sinks[SINKS[0]];
    core.ledger.settle(sink, vec![settlement], clock.now()).await.unwrap();
    clock.set(at("10:30:00"));
    core.ingest.clock_was_set().await.unwrap();
    assert_eq!(core.ledger.next_attempt(sink).await.unwrap(), Some(at("10:30:00")));
}

#[tokio::test]
async fn workers_learn_of_what_is_no_longer_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let (mut core, clock, mut settlement) = owing(&folder.path().join("ledger.db"), &Arc::default()).await;
    settlement.next_state = NextState::Failed { response: "gave up after 1 hour; last answer: 451 busy".to_owned() };
    core.ledger.settle(core.sinks[SINKS[0]], vec![settlement], clock.now()).await.unwrap();
    clock.set(at("10:30:00"));
    let mut announced = core.new_deliveries.subscribe();
    core.ingest.clock_was_set().await.unwrap();
    assert!(announced.has_changed().unwrap());
    announced.mark_unchanged();
    while core.wheel.tick().await.unwrap() == Tick::Again {}
    assert!(!announced.has_changed().unwrap());
    let claims = core.ledger.claim(core.sinks[SINKS[0]], at("10:30:00"), at("10:31:00"), 9).await.unwrap();
    assert_eq!(claims.deliveries.len(), 1);
}

#[tokio::test]
async fn workers_learn_of_it_also_where_planning_again_fails() {
    let (folder, disk) = (tempfile::tempdir().unwrap(), Arc::new(Script::default()));
    let (mut core, clock, mut settlement) = owing(&folder.path().join("ledger.db"), &disk).await;
    settlement.next_state = NextState::Failed { response: "gave up after 1 hour; last answer: 451 busy".to_owned() };
    core.ledger.settle(core.sinks[SINKS[0]], vec![settlement], clock.now()).await.unwrap();
    clock.set(at("10:30:00"));
    disk.fail_after(1, 1);
    let mut announced = core.new_deliveries.subscribe();
    assert!(core.ingest.clock_was_set().await.is_err());
    assert!(announced.has_changed().unwrap(), "it can be delivered whatever becomes of the rest");
    announced.mark_unchanged();
    core.ingest.clock_was_set().await.unwrap();
    while core.wheel.tick().await.unwrap() == Tick::Again {}
    assert!(!announced.has_changed().unwrap());
}

#[tokio::test]
async fn a_wheel_that_sleeps_is_woken_by_what_is_planned_again_at_the_second_try() {
    let (folder, disk) = (tempfile::tempdir().unwrap(), Arc::new(Script::default()));
    let (mut core, clock) = start_on(&disk, &Zones::bundled(), &folder.path().join("ledger.db"), "10:00:00").await;
    core.ingest.apply(SOURCE, batch("10:00:00", true, "UTC", &[("a", "20260310T110000Z")])).await.unwrap();
    core.startup_gate.open();
    clock.set(UtcMillis::parse("2099-01-01T00:00:00Z").unwrap());
    while core.wheel.tick().await.unwrap() == Tick::Again {}
    clock.set(at("11:00:30"));
    disk.fail_after(1, 1);
    assert!(core.ingest.clock_was_set().await.is_err());
    core.ingest.apply(SOURCE, batch("11:00:30", true, "UTC", &[("b", "20260310T110010Z")])).await.unwrap();
    let mut announced = core.new_deliveries.subscribe();
    let wheel = tokio::spawn(core.wheel.run(std::future::pending()));
    // It is up, and has nothing more to do.
    announced.changed().await.unwrap();
    core.ingest.clock_was_set().await.unwrap();
    tokio::time::timeout(Duration::from_secs(30), announced.changed()).await.expect("it is woken").unwrap();
    wheel.abort();
    let claims = core.ledger.claim(core.sinks[SINKS[0]], at("11:00:31"), at("11:01:31"), 9).await.unwrap();
    assert_eq!(claims.deliveries.len(), 2, "one announcement each");
}

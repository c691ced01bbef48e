//! The wheel and what takes long to work out.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reveille::clock::Clock;
use reveille::daemon::Core;
use reveille::firing::{Prepare, Prepared, StartupGate, Tick, Wheel};
use reveille::ledger::{
    DueObject, FiringState, Inspector, Ledger, LedgerError, NewFiring, Timer, TimerCursor, Unfinished,
};
use reveille::pipeline::PipelineContext;
use reveille::source::{CalendarInfo, Change, ChangeBatch, SyncStore as _};
use reveille::time::UtcMillis;
use tokio::sync::Notify;

use crate::simulation::world::config;

/// Objects of these ids take until `go`, or panic.
#[derive(Clone, Debug, Default)]
struct Slow {
    long: HashSet<i64>,
    panics: HashSet<i64>,
    go: Arc<Notify>,
    begun: Arc<Mutex<Vec<i64>>>,
}

impl Slow {
    /// Waits until the work on an object more than `number` has begun.
    async fn begins(&self, number: usize) {
        while self.begun.lock().unwrap().len() <= number {
            tokio::task::yield_now().await;
        }
    }
}

fn due_object(timer: Timer) -> DueObject {
    let mut identity = [0; 16];
    identity[..8].copy_from_slice(&timer.object.to_le_bytes());
    let firing = NewFiring {
        identity,
        calendar: 1,
        object: timer.object,
        due: timer.due,
        state: FiringState::Fired,
        count: 1,
        notification: "{}".to_owned(),
        routes: Vec::new(),
    };
    DueObject { timer, firings: vec![firing], next: None }
}

impl Prepare for Slow {
    async fn prepare(&self, timers: Vec<Timer>, _: UtcMillis, _: UtcMillis) -> Result<Prepared, LedgerError> {
        let is_long = |timer: &Timer| self.long.contains(&timer.object) || self.panics.contains(&timer.object);
        let (long, short): (Vec<Timer>, Vec<Timer>) = timers.into_iter().partition(is_long);
        Ok(Prepared { due_objects: short.into_iter().map(due_object).collect(), long })
    }

    async fn prepare_alone(&self, timer: Timer, _: UtcMillis, _: UtcMillis) -> Result<Option<DueObject>, LedgerError> {
        self.begun.lock().unwrap().push(timer.object);
        assert!(!self.panics.contains(&timer.object), "the work on object {} panics", timer.object);
        self.go.notified().await;
        Ok(Some(due_object(timer)))
    }

    fn stamp(&self, due_object: DueObject, _: UtcMillis) -> DueObject {
        due_object
    }
}

const DAY: Duration = Duration::from_secs(86_400);

fn at(time: &str) -> UtcMillis {
    UtcMillis::parse(&format!("2026-03-10T{time}Z")).unwrap()
}

/// A ledger with as many events as `starts`, whose alarms fire when they start.
async fn ledger(file: &Path, clock: &Clock, starts: &[&str]) -> Ledger {
    let ledger = Ledger::open(file).await.unwrap();
    let config = config(file.to_owned(), DAY, DAY, None);
    let core = Core::start(&config, &reveille::calendar::zone::Zones::bundled(), ledger, clock).await.unwrap();
    let put = |(number, start): (usize, &&str)| Change::Put {
        href: format!("{number}.ics"),
        etag: "1".to_owned(),
        text: format!(
            "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:{number}\r\nDTSTART:20260310T{start}Z\r\nBEGIN:VALARM\r\n\
             ACTION:DISPLAY\r\nTRIGGER:PT0S\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
        )
        .into_bytes(),
        last_modified: None,
    };
    let batch = ChangeBatch {
        calendar: CalendarInfo { href: "/a/".to_owned(), ..CalendarInfo::default() },
        synced_at: clock.now(),
        changes: starts.iter().enumerate().map(put).collect(),
        checkpoint: None,
        may_lag: false,
        made: None,
        begun: None,
    };
    core.ingest.apply(&config.sources[0].name, batch).await.unwrap();
    core.ingest.flush().await;
    core.ledger.clone()
}

/// The objects that have fired.
async fn fired(file: &Path) -> Vec<i64> {
    let mut inspector = Inspector::open(file).await.unwrap();
    let mut fired: Vec<i64> =
        inspector.firings(UtcMillis::MIN, None, 10_000).await.unwrap().iter().map(|firing| firing.object).collect();
    fired.sort_unstable();
    fired
}

async fn turns(wheel: &mut Wheel<Slow>) -> Option<UtcMillis> {
    loop {
        match wheel.tick().await.unwrap() {
            Tick::Again => {}
            Tick::Sleep(until) => return until,
        }
    }
}

/// A wheel whose sources have been synced.
fn wheel(ledger: &Ledger, slow: &Slow, clock: &Clock) -> Wheel<Slow> {
    let context = PipelineContext::new(ledger.clone(), clock.clone());
    let startup_gate = StartupGate::new(context.wakeup.clone());
    startup_gate.open();
    Wheel::new(slow.clone(), context, startup_gate)
}

#[tokio::test]
async fn what_takes_long_to_work_out_delays_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.db");
    let clock = Clock::manual(at("10:00:00"));
    let starts = ["110000", "110000", "110000", "110010", "120000"];
    let ledger = ledger(&file, &clock, &starts).await;
    let objects: Vec<i64> =
        ledger.due(TimerCursor::START, at("13:00:00"), 9).await.unwrap().iter().map(|t| t.object).collect();
    let slow = Slow { long: HashSet::from([objects[0], objects[1]]), ..Slow::default() };
    let mut wheel = wheel(&ledger, &slow, &clock);
    clock.set(at("11:00:00"));
    // The wheel sleeps until what comes next, and not until what it cannot fire now.
    assert_eq!(turns(&mut wheel).await, Some(at("11:00:10")));
    assert_eq!(fired(&file).await, [objects[2]]);
    clock.set(at("11:00:10"));
    turns(&mut wheel).await;
    assert_eq!(fired(&file).await, [objects[2], objects[3]]);
    // One after the other, each as soon as it is worked out.
    for (number, count) in [(0, 3), (1, 4)] {
        slow.begins(number).await;
        assert_eq!(slow.begun.lock().unwrap()[..], objects[..=number]);
        slow.go.notify_one();
        assert!(wheel.background().await);
        turns(&mut wheel).await;
        assert_eq!(fired(&file).await.len(), count);
    }
    assert!(!wheel.background().await);
    ledger.close().await;
}

#[tokio::test]
async fn an_object_at_which_reveille_fails_is_set_aside_and_others_fire() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.db");
    let clock = Clock::manual(at("10:00:00"));
    let ledger = ledger(&file, &clock, &["110000", "110000", "120000"]).await;
    let objects: Vec<i64> =
        ledger.due(TimerCursor::START, at("13:00:00"), 9).await.unwrap().iter().map(|t| t.object).collect();
    let slow = Slow { long: HashSet::from([objects[1]]), panics: HashSet::from([objects[0]]), ..Slow::default() };
    let mut wheel = wheel(&ledger, &slow, &clock);
    clock.set(at("11:00:00"));
    slow.go.notify_one();
    while {
        turns(&mut wheel).await;
        wheel.background().await
    } {}
    assert_eq!(fired(&file).await, [objects[1]]);
    clock.set(at("12:00:00"));
    turns(&mut wheel).await;
    assert_eq!(fired(&file).await, [objects[1], objects[2]]);
    assert_eq!(slow.begun.lock().unwrap().iter().filter(|object| **object == objects[0]).count(), 1);
    ledger.close().await;
}

#[tokio::test]
async fn objects_at_which_the_process_ends_each_time_are_set_aside_at_the_fourth_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.db");
    let clock = Clock::manual(at("10:00:00"));
    let starts = ["110000", "110000", "110000", "110000"];
    let open = ledger(&file, &clock, &starts).await;
    let timers = open.due(TimerCursor::START, at("13:00:00"), 9).await.unwrap();
    let objects: Vec<i64> = timers.iter().map(|timer| timer.object).collect();
    drop(open);
    // Two at which it ends, one that only takes long, and one that does not.
    let mut aside = Vec::new();
    for start in 0..8 {
        let open = Ledger::open(&file).await.unwrap();
        let Unfinished { last, set_aside } = open.set_failing_objects_aside().await.unwrap();
        assert!(set_aside.iter().all(|object| objects[..2].contains(object) && !last.contains(object)));
        assert!(!last.contains(&objects[2]), "what has been worked out is not what it ended at");
        aside.extend(set_aside);
        let slow = Slow { long: objects[..3].iter().copied().collect(), ..Slow::default() };
        let mut wheel = wheel(&open, &slow, &clock);
        wheel.set_failing_objects_aside().await;
        clock.set(at("11:00:00"));
        // The process ends as soon as it works on one of the two.
        for number in 0.. {
            turns(&mut wheel).await;
            if open.due(TimerCursor::START, at("13:00:00"), 9).await.unwrap().is_empty() {
                break;
            }
            slow.begins(number).await;
            let last = *slow.begun.lock().unwrap().last().unwrap();
            if objects[..2].contains(&last) {
                break;
            }
            slow.go.notify_one();
            wheel.background().await;
        }
        drop(wheel);
        // What was aborted lets go of the ledger when it is its turn.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        open.close().await;
        if aside.len() == 2 {
            assert_eq!(start, 6, "three times each");
            break;
        }
    }
    aside.sort_unstable();
    assert_eq!(aside, objects[..2]);
    assert_eq!(fired(&file).await, objects[2..]);
    let mut inspector = Inspector::open(&file).await.unwrap();
    let faulty = inspector.faulty().await.unwrap();
    assert!(faulty.len() == 2 && faulty[0].faults[0].contains("until it is changed"), "{faulty:?}");
    // Once it is changed it fires again.
    let open = ledger(&file, &clock, &["120000", "110000", "110000", "110000"]).await;
    let armed = open.due(TimerCursor::START, at("13:00:00"), 9).await.unwrap();
    assert_eq!(armed.iter().map(|timer| timer.object).collect::<Vec<_>>(), objects[..1]);
    assert!(open.set_failing_objects_aside().await.unwrap().last.is_empty());
    open.close().await;
}

#[tokio::test]
async fn what_was_worked_out_by_a_clock_that_was_ahead_counts_for_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.db");
    let clock = Clock::manual(at("10:00:00"));
    let ledger = ledger(&file, &clock, &["110000"]).await;
    let object = ledger.due(TimerCursor::START, at("13:00:00"), 9).await.unwrap()[0].object;
    let slow = Slow { long: HashSet::from([object]), ..Slow::default() };
    let mut wheel = wheel(&ledger, &slow, &clock);
    clock.set(at("23:00:00"));
    turns(&mut wheel).await;
    slow.begins(0).await;
    clock.set(at("10:30:00"));
    slow.go.notify_one();
    assert!(wheel.background().await);
    turns(&mut wheel).await;
    assert_eq!(fired(&file).await, [0; 0]);
    clock.set(at("11:00:00"));
    slow.go.notify_one();
    turns(&mut wheel).await;
    assert!(wheel.background().await);
    turns(&mut wheel).await;
    assert_eq!(fired(&file).await, [object]);
    ledger.close().await;
}

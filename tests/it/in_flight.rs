//! What is still being sent when the next batch is claimed.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reveille::calendar::zone::Zones;
use reveille::clock::Clock;
use reveille::daemon::Core;
use reveille::delivery::sink::{ClaimedDelivery, Finished, Outcome, Transport};
use reveille::delivery::worker::{BatchResult, DeliveryWorker};
use reveille::firing::Tick;
use reveille::ledger::{DeliveryFilter, DeliveryRow, DeliveryState, Inspector, Ledger};
use reveille::source::{CalendarInfo, Change, ChangeBatch, SyncStore as _};
use reveille::time::UtcMillis;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::simulation::world::{SINKS, config};

const DAY: Duration = Duration::from_secs(86_400);

/// A sink that keeps each delivery in flight until it is told how it ends.
#[derive(Debug)]
struct Slow {
    sent: Arc<Mutex<Vec<i64>>>,
    ends: tokio::sync::Mutex<UnboundedReceiver<Finished>>,
}

impl Transport for Slow {
    fn name(&self) -> &str {
        SINKS[0]
    }

    fn batch(&self) -> usize {
        9
    }

    fn send_timeout(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn send(&self, deliveries: &[ClaimedDelivery]) -> Vec<Outcome> {
        self.sent.lock().unwrap().extend(deliveries.iter().map(|delivery| delivery.firing));
        vec![Outcome::InFlight; deliveries.len()]
    }

    async fn finished(&self) -> Vec<Finished> {
        self.ends.lock().await.recv().await.into_iter().collect()
    }
}

fn at(time: &str) -> UtcMillis {
    UtcMillis::parse(&format!("2026-03-10T{time}Z")).unwrap()
}

/// Two alarms that are owed to a slow sink.
struct Stage {
    core: Core,
    clock: Clock,
    worker: DeliveryWorker<Slow>,
    sent: Arc<Mutex<Vec<i64>>>,
    end: UnboundedSender<Finished>,
}

async fn stage(file: &Path) -> Stage {
    let clock = Clock::manual(at("10:00:00"));
    let config = config(file.to_owned(), DAY, DAY, None);
    let ledger = Ledger::open(file).await.unwrap();
    let mut core = Core::start(&config, &Zones::bundled(), ledger, &clock).await.unwrap();
    let put = |name: &str| Change::Put {
        href: format!("{name}.ics"),
        etag: "1".to_owned(),
        text: crate::rehearsal::event(name, "20260310T110000Z", name).into_bytes(),
        last_modified: None,
    };
    let batch = ChangeBatch {
        calendar: CalendarInfo { href: "/a/".to_owned(), ..CalendarInfo::default() },
        synced_at: clock.now(),
        changes: vec![put("a"), put("b")],
        checkpoint: None,
        may_lag: false,
        made: None,
        begun: None,
    };
    core.ingest.apply(&config.sources[0].name, batch).await.unwrap();
    core.startup_gate.open();
    clock.set(at("11:00:00"));
    while core.wheel.tick().await.unwrap() == Tick::Again {}
    let (end, ends) = unbounded_channel();
    let sent = Arc::default();
    let sink = Slow { sent: Arc::clone(&sent), ends: tokio::sync::Mutex::new(ends) };
    let worker = DeliveryWorker::new(sink, core.sinks[SINKS[0]], core.ledger.clone(), clock.clone(), DAY);
    let worker = worker.with_metrics(core.metrics.clone());
    Stage { core, clock, worker, sent, end }
}

impl Stage {
    fn ends(&self, firing: i64, outcome: Outcome) {
        self.end.send(Finished { firing, recipient: String::new(), outcome }).unwrap();
    }
}

async fn rows(file: &Path) -> Vec<DeliveryRow> {
    let mut inspector = Inspector::open(file).await.unwrap();
    let mut rows = inspector.deliveries(DeliveryFilter::All, 9).await.unwrap();
    rows.retain(|row| row.sink == SINKS[0]);
    rows.sort_by_key(|row| row.firing);
    rows
}

#[tokio::test]
async fn what_is_in_flight_is_not_sent_beside_itself_whatever_the_clock_says() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.db");
    let stage = stage(&file).await;
    let result = stage.worker.run_batch().await.unwrap();
    assert_eq!(result, BatchResult { in_flight: 2, ..BatchResult::default() });
    // A clock that jumps ends leases.
    stage.clock.set(at("23:00:00"));
    for _ in 0..3 {
        assert_eq!(stage.worker.run_batch().await.unwrap(), BatchResult::default());
    }
    assert_eq!(stage.sent.lock().unwrap().len(), 2);
    let wait = stage.worker.send_ready().await.unwrap();
    assert!(wait.is_some_and(|wait| wait >= Duration::from_secs(30)), "it does not ask again and again: {wait:?}");
    stage.core.ledger.close().await;
}

#[tokio::test]
async fn what_was_in_flight_is_settled_as_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.db");
    let stage = stage(&file).await;
    assert_eq!(stage.worker.run_batch().await.unwrap().in_flight, 2);
    let firings = stage.sent.lock().unwrap().clone();
    stage.ends(firings[0], Outcome::Delivered);
    stage.ends(firings[1], Outcome::Unknown { response: "no answer".to_owned() });
    // Nothing is owed but what may have been delivered, which waits.
    let all = stage.worker.send_all().await.unwrap();
    assert_eq!(all, BatchResult { delivered: 1, retry: 1, ..BatchResult::default() });
    let rows = rows(&file).await;
    let told = |row: &DeliveryRow| (row.state, row.attempts, row.unknown);
    assert_eq!(told(&rows[0]), (Some(DeliveryState::Delivered), 1, 0));
    assert_eq!(told(&rows[1]), (Some(DeliveryState::Pending), 1, 1));
    let wait = rows[1].next_attempt.0 - stage.clock.now().0;
    assert!((11 * 60_000..=15 * 60_000).contains(&wait), "{wait}");
    // All of it is counted.
    let counted = stage.core.metrics.encode().unwrap();
    for line in [
        "reveille_alarms_total{outcome=\"fired\"} 2".to_owned(),
        "reveille_alarm_lateness_seconds_bucket{le=\"0.001\"} 2".to_owned(),
        format!("reveille_delivery_attempts_total{{sink=\"{}\",outcome=\"delivered\"}} 1", SINKS[0]),
        format!("reveille_delivery_attempts_total{{sink=\"{}\",outcome=\"unknown\"}} 1", SINKS[0]),
    ] {
        assert!(counted.lines().any(|one| one == line), "{line} is not in\n{counted}");
    }
    stage.core.ledger.close().await;
}

#[tokio::test]
async fn what_is_cancelled_while_it_is_in_flight_stays_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.db");
    let stage = stage(&file).await;
    assert_eq!(stage.worker.run_batch().await.unwrap().in_flight, 2);
    let mut admin = reveille::ledger::OutboxAdmin::open(&file).await.unwrap();
    let firings = stage.sent.lock().unwrap().clone();
    let id = reveille::ledger::DeliveryId { firing: firings[0], sink: SINKS[0].to_owned(), recipient: String::new() };
    admin.cancel(&id, stage.clock.now()).await.unwrap();
    admin.close().await.unwrap();
    stage.ends(firings[0], Outcome::retry("451"));
    stage.ends(firings[1], Outcome::permanent("550"));
    stage.worker.send_all().await.unwrap();
    let states: Vec<Option<DeliveryState>> = rows(&file).await.into_iter().map(|row| row.state).collect();
    assert_eq!(states, [Some(DeliveryState::Cancelled), Some(DeliveryState::Failed)]);
    stage.core.ledger.close().await;
}

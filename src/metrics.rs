//! What the stages count, to be exported to Prometheus. [`Metrics`] is handed to each stage when the daemon is
//! assembled; a stage counts what it has done, after it is committed.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::time::{UtcMillis, non_negative};

/// Upper bounds of the buckets of lateness, seconds: from a tick of the clock to a day of downtime.
const LATENESS: [f64; 15] =
    [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 60.0, 600.0, 3_600.0, 86_400.0];
/// Upper bounds of the buckets of a sync's duration, seconds.
const SYNC: [f64; 10] = [0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0];

/// What became of an alarm that was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AlarmOutcome {
    /// It fired, late or not.
    Fired,
    /// It was found too late.
    Missed,
    /// It was above the limit of its hour.
    Suppressed,
}

impl AlarmOutcome {
    fn label(self) -> &'static str {
        match self {
            AlarmOutcome::Fired => "fired",
            AlarmOutcome::Missed => "missed",
            AlarmOutcome::Suppressed => "suppressed",
        }
    }
}

/// How an attempt to deliver has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttemptOutcome {
    /// The sink has it.
    Delivered,
    /// It is tried again.
    Retried,
    /// It may have been delivered, and is tried again.
    Unknown,
    /// It is given up.
    Failed,
}

impl AttemptOutcome {
    fn label(self) -> &'static str {
        match self {
            AttemptOutcome::Delivered => "delivered",
            AttemptOutcome::Retried => "retried",
            AttemptOutcome::Unknown => "unknown",
            AttemptOutcome::Failed => "failed",
        }
    }
}

/// How a sync has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SyncOutcome {
    /// Everything can be read.
    Complete,
    /// Calendars or objects could not be read.
    Partial,
    /// Nothing could be read.
    Failed,
}

impl SyncOutcome {
    fn label(self) -> &'static str {
        match self {
            SyncOutcome::Complete => "complete",
            SyncOutcome::Partial => "partial",
            SyncOutcome::Failed => "failed",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AlarmLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    sink: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SyncLabels {
    source: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabels {
    source: String,
}

/// The counters of one daemon. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    alarms: Family<AlarmLabels, Counter>,
    lateness: Histogram,
    attempts: Family<AttemptLabels, Counter>,
    syncs: Family<SyncLabels, Counter>,
    sync_duration: Family<SourceLabels, Histogram>,
    last_sync: Family<SourceLabels, Gauge>,
    changes: Family<SourceLabels, Counter>,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let mut registry = Registry::with_prefix("reveille");
        let lateness = Histogram::new(LATENESS);
        registry.register_with_unit(
            "alarm_lateness",
            "Time from an alarm's due instant to its firing",
            Unit::Seconds,
            lateness.clone(),
        );
        let sync_duration = Family::new_with_constructor((|| Histogram::new(SYNC)) as fn() -> Histogram);
        registry.register_with_unit("sync_duration", "Duration of a sync", Unit::Seconds, sync_duration.clone());
        Metrics {
            alarms: counted(&mut registry, "alarms", "Alarms that were due, by what became of them"),
            attempts: counted(
                &mut registry,
                "delivery_attempts",
                "Attempts to deliver, and deliveries given up without one, by sink and outcome",
            ),
            syncs: counted(&mut registry, "syncs", "Syncs, by source and outcome"),
            changes: counted(
                &mut registry,
                "changes",
                "Objects that were new, changed or gone, and calendars that were gone",
            ),
            last_sync: counted(&mut registry, "last_sync_timestamp_seconds", "When the last complete sync began"),
            registry: Arc::new(registry),
            lateness,
            sync_duration,
        }
    }
}

fn counted<M>(registry: &mut Registry, name: &str, help: &str) -> M
where
    M: Clone + Debug + Default + Send + Sync + prometheus_client::encoding::EncodeMetric + 'static,
{
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

impl Metrics {
    /// Counts `count` alarms that ended in `outcome`.
    pub fn alarms(&self, outcome: AlarmOutcome, count: u64) {
        self.alarms.get_or_create(&AlarmLabels { outcome: outcome.label() }).inc_by(count);
    }

    /// Counts an alarm that was due at `due` and fired at `now` by its lateness.
    pub fn fired(&self, due: UtcMillis, now: UtcMillis) {
        self.lateness.observe(non_negative(now.duration_since(due)).as_secs_f64());
    }

    /// Counts an attempt of `sink` that ended in `outcome`.
    pub fn attempt(&self, sink: &str, outcome: AttemptOutcome) {
        self.attempts.get_or_create(&AttemptLabels { sink: sink.to_owned(), outcome: outcome.label() }).inc();
    }

    /// Counts `count` deliveries of `sink` that were given up without an attempt.
    pub fn given_up(&self, sink: &str, count: usize) {
        let labels = AttemptLabels { sink: sink.to_owned(), outcome: AttemptOutcome::Failed.label() };
        self.attempts.get_or_create(&labels).inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// Notes that a complete sync of all of `source` has begun at `began`.
    pub fn complete_sync(&self, source: &str, began: UtcMillis) {
        let labels = SourceLabels { source: source.to_owned() };
        self.last_sync.get_or_create(&labels).set(began.0.div_euclid(1_000));
    }

    /// Counts a sync of `source`, or of a part of it, that took `duration`.
    pub fn synced(&self, source: &str, outcome: SyncOutcome, duration: Duration) {
        let labels = SourceLabels { source: source.to_owned() };
        self.sync_duration.get_or_create(&labels).observe(duration.as_secs_f64());
        self.syncs.get_or_create(&SyncLabels { source: labels.source, outcome: outcome.label() }).inc();
    }

    /// Counts objects of `source` that are new, changed or gone in the ledger, and calendars that are gone.
    pub fn changes(&self, source: &str, count: usize) {
        let labels = SourceLabels { source: source.to_owned() };
        self.changes.get_or_create(&labels).inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// All that was counted, in the text format of OpenMetrics 1.0. Nothing exports it yet: tests read it.
    ///
    /// # Errors
    /// None that can be expected: it is written into memory.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_exported_under_its_labels() {
        let metrics = Metrics::default();
        metrics.alarms(AlarmOutcome::Fired, 2);
        metrics.fired(UtcMillis(1_000), UtcMillis(1_030));
        metrics.fired(UtcMillis(1_000), UtcMillis(900));
        metrics.clone().attempt("mail", AttemptOutcome::Unknown);
        metrics.attempt("mail", AttemptOutcome::Unknown);
        metrics.synced("home", SyncOutcome::Complete, Duration::from_millis(20));
        metrics.complete_sync("home", UtcMillis(1_999));
        metrics.synced("home", SyncOutcome::Failed, Duration::from_millis(20));
        metrics.changes("home", 7);
        let text = metrics.encode().unwrap();
        for line in [
            "reveille_alarms_total{outcome=\"fired\"} 2",
            "reveille_alarm_lateness_seconds_bucket{le=\"0.001\"} 1",
            "reveille_alarm_lateness_seconds_bucket{le=\"0.05\"} 2",
            "reveille_delivery_attempts_total{sink=\"mail\",outcome=\"unknown\"} 2",
            "reveille_syncs_total{source=\"home\",outcome=\"failed\"} 1",
            "reveille_sync_duration_seconds_count{source=\"home\"} 2",
            "reveille_last_sync_timestamp_seconds{source=\"home\"} 1",
            "reveille_changes_total{source=\"home\"} 7",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}

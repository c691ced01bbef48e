//! Filling a ledger: the objects go the way of the intake, planned and in bulk, without a store that serves them. The
//! daemon that runs on it afterwards finds its calendar unchanged.

use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::BenchContext;
use super::child::DaemonProcess;
use super::synthetic::file;
use super::{counted, site::Site};
use reveille::calendar::zone::Zones;
use reveille::config::{self, Config, Overrides};
use reveille::delivery::routing::Routing;
use reveille::firing::FiringRenderer;
use reveille::ingest::{Job, Past, Planner};
use reveille::ledger::{CalendarRow, Ledger, Planned, PlannedObject};
use reveille::time::UtcMillis;

/// Objects in one transaction: few flushes of the disk, and no more in memory than that.
const CHUNK: u64 = 10_000;
/// Objects that are planned to learn how long planning takes.
const SAMPLE: u64 = 500;
/// How often progress is reported, in objects.
const REPORT_EVERY: u64 = 500_000;
/// What writing an object takes besides planning it, at the most.
const WRITING: Duration = Duration::from_micros(60);

/// A ledger that is being filled.
pub(super) struct Fill {
    ledger: Ledger,
    planner: Planner,
    calendar: CalendarRow,
}

/// Opens the ledger of `site`, whose daemon has seen its calendar once, and lets `work` fill it.
///
/// # Errors
/// Those of the configuration and the ledger, and of `work`.
pub(super) fn filling<T>(site: &Site, work: impl AsyncFnOnce(&Fill) -> anyhow::Result<T>) -> anyhow::Result<T> {
    // Later the ledger has objects that the server does not list, which a pass doubts.
    if !site.ledger().exists() {
        DaemonProcess::once(&site.config())?;
    }
    let config = read(&site.config())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let fill = Fill::open(&config).await?;
        let done = work(&fill).await;
        fill.ledger.close().await;
        done
    })
}

fn read(path: &Path) -> anyhow::Result<Config> {
    Ok(config::load(Some(path), &Overrides::default(), &|_| None)?)
}

/// How long filling a ledger will take.
pub(super) struct FillEstimate {
    pub(super) filling: Duration,
    /// The planning of it alone.
    pub(super) planning: Duration,
}

impl Fill {
    async fn open(config: &Config) -> anyhow::Result<Fill> {
        let ledger = Ledger::open(&config.ledger).await?;
        let names: Vec<&str> = config.sinks.iter().map(|sink| sink.name.as_str()).collect();
        let routing = Routing::new(&config.sinks, config.user_routing(), &ledger.sinks(&names).await?);
        let planner =
            Planner::new(FiringRenderer::new(config, Zones::load(&config.zoneinfo)?, routing, ledger.clone()));
        let calendar = ledger.calendars(None).await?.into_iter().next().context("the first pass saw no calendar")?;
        Ok(Fill { ledger, planner, calendar })
    }

    /// How long `count` objects like those that `text` makes will take here, generously.
    pub(super) async fn estimate(&self, count: u64, now: UtcMillis, text: impl Fn(u64) -> String) -> FillEstimate {
        let jobs = jobs(0..SAMPLE.min(count), &text);
        let sample = jobs.len().max(1);
        let began = Instant::now();
        self.planner.plan_all(self.calendar.clone(), jobs, Past::at(now), now).await;
        let planning = began.elapsed().mul_f64(1.5 * count as f64 / sample as f64);
        FillEstimate { filling: planning + WRITING.mul_f64(count as f64), planning }
    }

    /// Takes in the objects with `numbers`, each as `text` writes it; what is due before `now` is past.
    ///
    /// # Errors
    /// Those of the ledger.
    pub(super) async fn take_in(
        &self,
        numbers: Range<u64>,
        now: UtcMillis,
        text: impl Fn(u64) -> String,
        context: &mut BenchContext,
    ) -> anyhow::Result<()> {
        let (mut written, start, end) = (None, numbers.start, numbers.end);
        for first in numbers.step_by(CHUNK as usize) {
            let jobs = jobs(first..end.min(first + CHUNK), &text);
            // While one chunk is written the next one is planned.
            let planning = self.planner.plan_all(self.calendar.clone(), jobs, Past::at(now), now);
            let (put, before) = tokio::join!(planning, self.write(written.take(), now));
            before?;
            written = Some(put.into_iter().filter_map(|outcome| outcome.object).collect());
            if first > start && first.is_multiple_of(REPORT_EVERY) {
                context.printer.note(format!("{} of {} objects are in the ledger", counted(first), counted(end)));
            }
        }
        self.write(written, now).await
    }

    async fn write(&self, put: Option<Vec<PlannedObject>>, now: UtcMillis) -> anyhow::Result<()> {
        let Some(put) = put else { return Ok(()) };
        let planned = Planned {
            calendar: self.calendar.clone(),
            advance: false,
            put,
            retag: Vec::new(),
            doubted: Vec::new(),
            gone: Vec::new(),
            replanned: Vec::new(),
            events: Vec::new(),
            from: self.calendar.last_synced_at,
            now,
            forget_before: now,
        };
        self.ledger.take_in(planned).await?;
        Ok(())
    }
}

fn jobs(numbers: Range<u64>, text: impl Fn(u64) -> String) -> Vec<Job> {
    let job = |n| Job {
        href: format!("/bench/{}", file(n)),
        etag: "\"1\"".to_owned(),
        text: Ok(text(n).into_bytes()),
        last_modified: None,
        existing: None,
        unfired_since: None,
    };
    numbers.map(job).collect()
}

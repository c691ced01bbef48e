//! `reveille-bench edit`: from the change of a file to its timer.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::SignedDuration;

use super::BenchContext;
use super::block_on;
use super::child::DaemonProcess;
use super::site::{Outlet, Site};
use super::synthetic::{Generator, file, uid};
use super::table::Figure;
use super::{counted, quantile};
use reveille::ledger::{self, Inspector};

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Edits of files in a watched folder, one after the other: from the change until the new alarm is armed
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// How many edits
    #[arg(long, default_value_t = 200, value_name = "COUNT")]
    pub(super) edits: u32,
    /// How many objects are in the folder
    #[arg(long, default_value_t = 1_000, value_name = "COUNT")]
    pub(super) objects: u32,
}

pub(super) fn measure(args: &Args, parent: &Path, context: &mut BenchContext) -> anyhow::Result<Vec<Figure>> {
    let (edits, objects) = (u64::from(args.edits), u64::from(args.objects.max(1)));
    let run = format!("edit: {} edits among {} files", counted(edits), counted(objects));
    let site = Site::new(parent)?;
    let source = site.directory("calendar")?;
    let (generator, now) = (Generator::new(5), context.clock.now().start_of_second());
    let start = |n: u64| now.saturating_add(DAY.saturating_mul(1 + n as i32));
    for n in 0..objects {
        fs::write(site.at("calendar").join(file(n)), generator.due(n, start(n)))?;
    }
    site.configure(&source, Outlet::File)?;
    context.printer.note(format!("{run}: reading the folder"));
    let mut daemon = DaemonProcess::start(&site.config())?;
    daemon.wait(Duration::from_millis(100), || Ok(site.has_synced("calendar")))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut inspector = runtime.block_on(Inspector::open(&site.ledger()))?;
    let (mut times, mut texts) = (Vec::new(), Vec::new());
    for edit in 0..edits {
        let (n, due) = (edit % objects, start(objects + edit));
        let text = generator.due(n, due);
        fs::write(site.at("new"), &text)?;
        fs::rename(site.at("new"), site.at("calendar").join(file(n)))?;
        let began = Instant::now();
        daemon.wait(Duration::from_micros(100), || {
            runtime.block_on(async {
                inspector.refresh().await?;
                Ok(inspector.objects_of(&uid(n)).await?.iter().any(|object| object.due == Some(due)))
            })
        })?;
        times.push(began.elapsed().as_secs_f64() * 1_000.0);
        texts.push(text);
    }
    runtime.block_on(inspector.close())?;
    daemon.stop()?;
    times.sort_by(f64::total_cmp);
    // Each edit is a commit of its own.
    let began = Instant::now();
    block_on(async { Ok(ledger::raw::write(&site.at("raw.db"), &texts, 1).await?) })?;
    let raw = began.elapsed().as_secs_f64() * 1_000.0 / edits.max(1) as f64;
    Ok(vec![
        Figure::new(&run, "changed to armed, p50", quantile(&times, 0.5), "ms").beside(raw),
        Figure::new(&run, "changed to armed, p99", quantile(&times, 0.99), "ms"),
    ])
}

//! `reveille-bench idle`: what a daemon costs that has nothing to do.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use jiff::SignedDuration;

use super::BenchContext;
use super::child::DaemonProcess;
use super::counted;
use super::site::{Outlet, Site};
use super::synthetic::{Generator, file};
use super::table::Figure;

/// How long it is left alone before it is watched: threads that did the first sync end after ten seconds.
const SETTLING: Duration = Duration::from_secs(15);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// A daemon that watches a folder in which nothing changes: wake-ups, processor time, memory
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// How long it is watched
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub(super) seconds: u32,
    /// How many objects are armed, for tomorrow and later
    #[arg(long, default_value_t = 10_000, value_name = "COUNT")]
    pub(super) objects: u32,
}

pub(super) fn measure(args: &Args, parent: &Path, context: &mut BenchContext) -> anyhow::Result<Vec<Figure>> {
    let run = format!("idle: {} armed, {} s", counted(args.objects.into()), args.seconds);
    let site = Site::new(parent)?;
    let source = site.directory("calendar")?;
    let (generator, now) = (Generator::new(4), context.clock.now());
    for n in 0..u64::from(args.objects) {
        let due = now.saturating_add(DAY + SignedDuration::from_mins(n as i64));
        fs::write(site.at("calendar").join(file(n)), generator.due(n, due))?;
    }
    site.configure(&source, Outlet::File)?;
    let mut daemon = DaemonProcess::start(&site.config())?;
    daemon.wait(Duration::from_millis(100), || Ok(site.has_synced("calendar")))?;
    context.printer.note(format!("{run}: watching"));
    thread::sleep(SETTLING);
    let before = daemon.used();
    thread::sleep(Duration::from_secs(args.seconds.into()));
    let after = daemon.used();
    let memory = daemon.memory().now;
    daemon.stop()?;
    let a_minute = |value: f64| value * 60.0 / f64::from(args.seconds.max(1));
    let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1_000.0;
    let mut figures = vec![
        Figure::new(&run, "wake-ups a minute", a_minute((after.sleeps - before.sleeps) as f64), "").at_most(2.0),
        Figure::new(&run, "processor time a minute", a_minute(cpu), "ms"),
    ];
    figures.extend(memory.map(|mib| Figure::new(&run, "memory", mib, "MiB")));
    Ok(figures)
}

//! `reveille-bench intake`: a store that is seen for the first time.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::BenchContext;
use super::block_on;
use super::child::{DaemonProcess, own_use};
use super::counted;
use super::server::CalendarServer;
use super::site::{Outlet, Site};
use super::synthetic::{Generator, file};
use super::table::Figure;
use reveille::ledger;

/// Objects in one commit of the raw limit: as many as the daemon has.
const BATCH: usize = 1_000;

/// Where the objects are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Store {
    /// A folder of files
    #[default]
    Directory,
    /// A CalDAV server on loopback, in this process
    Caldav,
}

/// A store of realistic objects, from the daemon's start until all of them are in the ledger
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// How many objects
    #[arg(long, default_value_t = 50_000, value_name = "COUNT")]
    pub(super) objects: u32,
    /// Where they are
    #[arg(long, value_enum, default_value_t, value_name = "STORE")]
    pub(super) store: Store,
}

pub(super) fn measure(args: &Args, parent: &Path, context: &mut BenchContext) -> anyhow::Result<Vec<Figure>> {
    let count = u64::from(args.objects);
    let run = match args.store {
        Store::Directory => format!("intake: {} objects from a folder", counted(count)),
        Store::Caldav => format!("intake: {} objects over CalDAV", counted(count)),
    };
    context.printer.note(format!("{run}: making them"));
    let site = Site::new(parent)?;
    let (generator, now) = (Generator::new(2), context.clock.now());
    let texts: Vec<String> = (0..count).map(|n| generator.mixed(n, now)).collect();
    let server =
        Some(args.store).filter(|store| *store == Store::Caldav).map(|_| CalendarServer::start(&texts)).transpose()?;
    let (source, name) = match &server {
        Some(server) => (server.source(), "server"),
        None => (site.directory("calendar")?, "calendar"),
    };
    if server.is_none() {
        for (n, text) in (0..).zip(&texts) {
            fs::write(site.at("calendar").join(file(n)), text)?;
        }
    }
    site.configure(&source, Outlet::File)?;
    context.printer.note(format!("{run}: taking them in"));
    let began = Instant::now();
    let mut daemon = DaemonProcess::start(&site.config())?;
    daemon.wait(Duration::from_millis(50), || Ok(site.has_synced(name)))?;
    let took = began.elapsed();
    let used = daemon.used();
    let memory = daemon.memory().most;
    daemon.stop()?;
    let (began, before) = (Instant::now(), own_use());
    block_on(async { Ok(ledger::raw::write(&site.at("raw.db"), &texts, BATCH).await?) })?;
    let (raw, raw_cpu) = (began.elapsed(), own_use().cpu.saturating_sub(before.cpu));
    let rate = |took: Duration| count as f64 / took.as_secs_f64();
    let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / count as f64;
    let taken = Figure::new(&run, "taken in", rate(took), "/s").beside(rate(raw));
    let mut figures = vec![
        if args.store == Store::Directory { taken.at_least(10_000.0) } else { taken },
        Figure::new(&run, "processor time of each object", each(used.cpu), "µs").beside(each(raw_cpu)),
    ];
    figures.extend(memory.map(|mib| Figure::new(&run, "memory, most", mib, "MiB")));
    Ok(figures)
}

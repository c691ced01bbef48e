//! `reveille-bench restart`: from the start of the program to the first alarm, with a full ledger.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use jiff::SignedDuration;

use super::BenchContext;
use super::block_on;
use super::child::DaemonProcess;
use super::fill;
use super::server::CalendarServer;
use super::site::{Outlet, Site};
use super::synthetic::Generator;
use super::table::Figure;
use super::{counted, next_second, quantile};
use reveille::ledger::{self, ArmedFilter, Inspector, TimerCursor};
use reveille::time::UtcMillis;

/// Starts that are measured; the middle one counts.
const STARTS: u64 = 5;
/// Seconds between the alarms that are not due yet: ten million of them fill a year and a half.
const APART: i64 = 5;
/// Objects up to which the server is there and lists them; a list of more is longer than a response may be.
const LISTED: u64 = 100_000;
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// A restart on a ledger full of armed objects, from exec to the first alarm that fell due meanwhile
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// How many objects are armed
    #[arg(long, default_value_t = 1_000_000, value_name = "COUNT")]
    pub(super) objects: u64,
}

pub(super) fn measure(args: &Args, parent: &Path, context: &mut BenchContext) -> anyhow::Result<Vec<Figure>> {
    let place = if args.objects <= LISTED { "on its server" } else { "server down" };
    let run = format!("restart: {} armed, {place}", counted(args.objects));
    let site = Site::new(parent)?;
    let server = CalendarServer::start(&[])?;
    site.configure(&server.source(), Outlet::File)?;
    context.printer.note(format!("{run}: filling a ledger"));
    let (generator, began) = (Generator::new(3), Instant::now());
    fill::filling(&site, async |fill| {
        let now = context.clock.now();
        let tomorrow = now.start_of_second().saturating_add(DAY);
        let text = |n: u64| generator.due(n, tomorrow.saturating_add(SignedDuration::from_secs(n as i64 * APART)));
        fill.take_in(0..args.objects, now, text, context).await
    })?;
    let (octets, seconds) = (ledger::size(&site.ledger()), began.elapsed().as_secs());
    context.printer.note(format!("{run}: a ledger of {} MiB, filled in {seconds} s", octets / (1 << 20)));
    let server = Some(server).filter(|_| args.objects <= LISTED);
    let (mut starts, mut memory) = (Vec::new(), None);
    for number in 0..STARTS {
        let due = arm_one(&site, args.objects + number, context)?;
        if let Some(server) = &server {
            server.list((args.objects + number + 1) as usize);
        }
        while context.clock.now() <= due {
            thread::sleep(Duration::from_millis(5));
        }
        let start = start(&site, number)?;
        starts.push(start.took.as_secs_f64() * 1_000.0);
        memory = memory.max(start.memory);
    }
    starts.sort_by(f64::total_cmp);
    let raw = raw_limit(&site)?.as_secs_f64() * 1_000.0;
    let first = Figure::new(&run, "exec to the first alarm", quantile(&starts, 0.5), "ms").beside(raw);
    let is_small = args.objects <= 1_000_000;
    let mut figures = vec![if is_small { first.at_most(500.0) } else { first }];
    let most = memory.map(|mib| Figure::new(&run, "memory, most", mib as f64, "MiB"));
    figures.extend(most.map(|most| if is_small { most.at_most(100.0) } else { most }));
    Ok(figures)
}

/// Arms object number `n` so that it falls due before the daemon starts; returns when.
fn arm_one(site: &Site, n: u64, context: &mut BenchContext) -> anyhow::Result<UtcMillis> {
    fill::filling(site, async |fill| {
        let now = context.clock.now();
        let due = next_second(now);
        fill.take_in(n..n + 1, now, |n| Generator::new(3).due(n, due), context).await?;
        Ok(due)
    })
}

/// What a start took until the first alarm.
struct Start {
    took: Duration,
    /// MiB of memory.
    memory: Option<u64>,
}

/// Starts the daemon, and waits until there is alarm number `number`.
fn start(site: &Site, number: u64) -> anyhow::Result<Start> {
    let fired =
        || fs::read(site.alarms()).map_or(0, |text| text.iter().filter(|octet| **octet == b'\n').count() as u64);
    let began = Instant::now();
    let mut daemon = DaemonProcess::start(&site.config())?;
    daemon.wait(Duration::from_millis(1), || Ok(fired() > number))?;
    let took = began.elapsed();
    let most = daemon.memory().most;
    daemon.stop()?;
    Ok(Start { took, memory: most.map(|mib| mib.ceil() as u64) })
}

/// How long it takes to run this program at all, and to read the first timer out of the ledger.
fn raw_limit(site: &Site) -> anyhow::Result<Duration> {
    let began = Instant::now();
    Command::new(std::env::current_exe()?).arg("--version").stdout(Stdio::null()).status()?;
    block_on(async {
        let mut inspector = Inspector::open(&site.ledger()).await?;
        inspector.armed(TimerCursor::START, ArmedFilter::ALL, 1).await?;
        Ok(inspector.close().await?)
    })?;
    Ok(began.elapsed())
}

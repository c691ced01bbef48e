//! `reveille-bench fire`: many alarms due in the same second.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::SignedDuration;

use super::BenchContext;
use super::block_on;
use super::child::{DaemonProcess, Used, own_use};
use super::fill;
use super::receiver::{self, Receiver};
use super::server::CalendarServer;
use super::site::{Outlet, Site};
use super::synthetic::Generator;
use super::table::Figure;
use super::{counted, next_second, quantile};
use reveille::ledger;
use reveille::time::{UtcMillis, elapsed};

/// How long the daemon has from its start to the due second, besides what precomputing takes.
const LEAD: Duration = Duration::from_secs(4);
/// Lines in one commit of the raw limit.
const BATCH: usize = 2_500;

/// Alarms that are all due in the same second
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// How many alarms are due at once
    #[arg(long, default_value_t = 10_000, value_name = "COUNT")]
    pub(super) alarms: u32,
    /// Daily series that began ten years ago instead of single events
    #[arg(long)]
    pub(super) series: bool,
    /// Where they go
    #[arg(long, value_enum, default_value_t, value_name = "SINK")]
    pub(super) sink: Outlet,
}

pub(super) fn measure(args: &Args, parent: &Path, context: &mut BenchContext) -> anyhow::Result<Vec<Figure>> {
    let kind = if args.series { "daily series" } else { "events" };
    let run = format!("fire: {} {kind} to {}", counted(args.alarms.into()), args.sink.name());
    let site = Site::new(parent)?;
    let server = CalendarServer::start(&[])?;
    site.configure(&server.source(), args.sink)?;
    let receiver = Some(args.sink).filter(|sink| *sink == Outlet::CyrusNotify);
    let receiver = receiver.map(|_| Receiver::bind(&site.socket())).transpose()?;
    let due = arm(args, &site, context)?;
    let mut daemon = DaemonProcess::start(&site.config())?;
    let before = settled_use(&mut daemon, due, context)?;
    let total = args.alarms as usize;
    // Reading the ledger would slow it down: the size of what the sink has got is read instead.
    let sent = || match &receiver {
        Some(receiver) => receiver.count() as u64,
        None => fs::metadata(site.alarms()).map_or(0, |file| file.len()),
    };
    let mut last = (0, Instant::now());
    daemon.wait(Duration::from_millis(50), || {
        let now = sent();
        if now != last.0 {
            last = (now, Instant::now());
        }
        let is_quiet = now > 0 && last.1.elapsed() > Duration::from_millis(500);
        Ok(is_quiet && site.lateness()?.len() >= total)
    })?;
    let used = cpu(before, daemon.used());
    let memory = daemon.memory().most;
    let lateness = site.lateness()?;
    daemon.stop()?;
    context.printer.note(format!("{run}: measuring the raw limit"));
    let raw = raw_limit(&site, receiver.map(|receiver| receiver.take()))?;
    let mut figures = figures(&run, args.alarms, &lateness, raw, used);
    figures.extend(memory.map(|mib| Figure::new(&run, "memory, most", mib, "MiB")));
    Ok(figures)
}

/// Fills the ledger with alarms, all due at the instant that is returned.
pub(super) fn arm(args: &Args, site: &Site, context: &mut BenchContext) -> anyhow::Result<UtcMillis> {
    let generator = Generator::new(1);
    let count = u64::from(args.alarms);
    let text = |n, due| if args.series { generator.daily(n, due) } else { generator.due(n, due) };
    fill::filling(site, async |fill| {
        let now = context.clock.now();
        let estimate = fill.estimate(count, now, |n| text(n, now)).await;
        let ahead = estimate.filling + estimate.planning + LEAD;
        let due = next_second(now.saturating_add(elapsed(ahead)));
        context.printer.note(format!("filling a ledger with {} objects", counted(count)));
        fill.take_in(0..count, now, |n| text(n, due), context).await?;
        Ok(due)
    })
}

/// How long before its first alarms are due the daemon has precomputed them.
const BEFORE: SignedDuration = SignedDuration::from_millis(100);

/// What the daemon has used when everything is precomputed: shortly before it is due.
fn settled_use(daemon: &mut DaemonProcess, due: UtcMillis, context: &mut BenchContext) -> anyhow::Result<Used> {
    let left = due.duration_since(context.clock.now());
    let millis = left.unsigned_abs().as_millis();
    anyhow::ensure!(left.is_positive(), "the ledger was filled only {millis} ms after its alarms were due: take fewer");
    context.printer.note(format!("due in {millis} ms"));
    let clock = context.clock.clone();
    daemon.wait(Duration::from_millis(20), || Ok(clock.now() >= due.saturating_sub(BEFORE)))?;
    Ok(daemon.used())
}

fn cpu(before: Used, after: Used) -> Duration {
    after.cpu.saturating_sub(before.cpu)
}

/// What a piece of work took.
struct Spent {
    /// By the wall clock.
    elapsed: Duration,
    cpu: Duration,
}

/// What it takes to write down and send what was sent, and nothing else.
fn raw_limit(site: &Site, datagrams: Option<Vec<Vec<u8>>>) -> anyhow::Result<Spent> {
    let lines: Vec<String> = match &datagrams {
        Some(datagrams) => datagrams.iter().map(|datagram| String::from_utf8_lossy(datagram).into_owned()).collect(),
        None => fs::read_to_string(site.alarms())?.lines().map(str::to_owned).collect(),
    };
    let (began, before) = (Instant::now(), own_use());
    block_on(async { Ok(ledger::raw::write(&site.at("raw.db"), &lines, BATCH).await?) })?;
    let mut spent = began.elapsed();
    match datagrams {
        Some(datagrams) => spent += receiver::raw_limit(&site.at("raw"), &datagrams)?,
        None => {
            let text = lines.join("\n");
            let began = Instant::now();
            let file = fs::File::create(site.at("raw.jsonl"))?;
            std::io::Write::write_all(&mut &file, text.as_bytes())?;
            file.sync_data()?;
            spent += began.elapsed();
        }
    }
    Ok(Spent { elapsed: spent, cpu: cpu(before, own_use()) })
}

fn figures(run: &str, alarms: u32, lateness: &[f64], raw: Spent, cpu: Duration) -> Vec<Figure> {
    let count = lateness.len() as f64;
    let last = lateness.last().copied().unwrap_or_default().max(1.0);
    let p99 = quantile(lateness, 0.99);
    let p99 = Figure::new(run, "lateness, p99", p99, "ms");
    let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / count;
    vec![
        Figure::new(run, "delivered", count * 1_000.0 / last, "/s")
            .at_least(27_000.0)
            .beside(count / raw.elapsed.as_secs_f64()),
        Figure::new(run, "lateness, p50", quantile(lateness, 0.5), "ms"),
        match alarms {
            0..=10_000 => p99.at_most(500.0),
            10_001..=100_000 => p99.at_most(4_000.0),
            _ => p99,
        },
        Figure::new(run, "lateness, the last", last, "ms").beside(raw.elapsed.as_secs_f64() * 1_000.0),
        Figure::new(run, "processor time of each alarm", each(cpu), "µs").beside(each(raw.cpu)),
    ]
}

//! `reveille-bench poll`: what many accounts of one server cost in which nothing changes.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::BenchContext;
use super::child::DaemonProcess;
use super::counted;
use super::server::CalendarServer;
use super::site::{Outlet, Site};
use super::table::Figure;
use reveille::ledger::Inspector;

/// How often each account is polled, seconds.
const INTERVAL: u32 = 60;
/// How long the server takes to respond.
const RESPONSE: Duration = Duration::from_millis(5);

/// Many accounts on one CalDAV server in which nothing changes, each polled every minute
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// How many accounts
    #[arg(long, default_value_t = 1_000, value_name = "COUNT")]
    pub(super) accounts: u32,
    /// How long they are polled
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub(super) seconds: u32,
}

pub(super) fn measure(args: &Args, parent: &Path, context: &mut BenchContext) -> anyhow::Result<Vec<Figure>> {
    let run = format!("poll: {} accounts a minute", counted(args.accounts.into()));
    let site = Site::new(parent)?;
    let server = CalendarServer::start(&[])?;
    server.respond_after(RESPONSE);
    let users: Vec<String> = (0..args.accounts).map(|n| format!("'u{n}'")).collect();
    let source = format!(
        "[[source]]\nkind = 'caldav'\nname = 'all'\nurl = '{}{{user}}/'\npoll_interval = '{INTERVAL}s'\nusers = [{}]\n",
        server.url(),
        users.join(", ")
    );
    site.configure(&source, Outlet::File)?;
    context.printer.note(format!("{run}: syncing for the first time"));
    let began = Instant::now();
    let mut daemon = DaemonProcess::start(&site.config())?;
    daemon.wait(Duration::from_millis(100), || Ok(synced(&site) >= args.accounts as usize))?;
    let first = began.elapsed();
    context.printer.note(format!("{run}: polling for {} s", args.seconds));
    let (before, requests) = (daemon.used(), server.requests());
    thread::sleep(Duration::from_secs(args.seconds.into()));
    let cpu = daemon.used().cpu.saturating_sub(before.cpu);
    let polls = server.requests().saturating_sub(requests);
    let memory = daemon.memory();
    daemon.stop()?;
    let share = 100.0 * cpu.as_secs_f64() / f64::from(args.seconds.max(1));
    let each = cpu.as_secs_f64() * 1e6 / polls.max(1) as f64;
    let mut figures = vec![
        Figure::new(&run, "first sync of all", first.as_secs_f64() * 1_000.0, "ms"),
        Figure::new(&run, "requests a second", polls as f64 / f64::from(args.seconds.max(1)), "/s"),
        Figure::new(&run, "processor time, of one core", share, "%").at_most(5.0),
        Figure::new(&run, "processor time of each request", each, "µs"),
    ];
    figures.extend(memory.most.map(|mib| Figure::new(&run, "memory, most", mib, "MiB")));
    Ok(figures)
}

/// How many sources have been synced.
fn synced(site: &Site) -> usize {
    let sources = super::block_on(async {
        let mut inspector = Inspector::open(&site.ledger()).await?;
        let sources = inspector.sources().await?;
        inspector.close().await?;
        Ok(sources.iter().filter(|source| source.last_synced_at.is_some()).count())
    });
    // The daemon may still be making the ledger.
    sources.unwrap_or(0)
}

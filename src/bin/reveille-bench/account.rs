//! `reveille-bench account`: an account of many calendars, seen for the first time and then polled.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::BenchContext;
use super::child::DaemonProcess;
use super::counted;
use super::server::CalendarServer;
use super::site::{Outlet, Site};
use super::synthetic::Generator;
use super::table::Figure;

/// How often the account is polled, seconds.
const INTERVAL: u32 = 2;

/// One account with many calendars on a CalDAV server, from the daemon's start until all is in the ledger; then polls
/// in which nothing has changed
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// How many calendars
    #[arg(long, default_value_t = 50, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) calendars: u32,
    /// How many objects they have together
    #[arg(long, default_value_t = 20_000, value_name = "COUNT")]
    pub(super) objects: u32,
    /// How many polls are measured; the polls come every two seconds
    #[arg(long, default_value_t = 6, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) polls: u32,
}

pub(super) fn measure(args: &Args, parent: &Path, context: &mut BenchContext) -> anyhow::Result<Vec<Figure>> {
    let (calendars, objects) = (u64::from(args.calendars), u64::from(args.objects));
    let run = format!("account: {} calendars with {} objects", counted(calendars), counted(objects));
    context.printer.note(format!("{run}: making them"));
    let site = Site::new(parent)?;
    let (generator, now) = (Generator::new(3), context.clock.now());
    let texts: Vec<String> = (0..objects).map(|n| generator.mixed(n, now)).collect();
    let server = CalendarServer::start_with(&texts, args.calendars as usize)?;
    let source = format!(
        "[[source]]\nkind = 'caldav'\nname = 'account'\nuser = 'bench'\nurl = '{}'\npoll_interval = '{INTERVAL}s'\n",
        server.home()
    );
    site.configure(&source, Outlet::File)?;
    context.printer.note(format!("{run}: syncing for the first time"));
    let began = Instant::now();
    let mut daemon = DaemonProcess::start(&site.config())?;
    daemon.wait(Duration::from_millis(20), || Ok(site.has_synced("account")))?;
    let took = began.elapsed();
    let used = daemon.used();
    let (requests, octets) = (server.requests(), server.octets());
    context.printer.note(format!("{run}: polling"));
    // The poll after the first sync may come early, and compares what has changed meanwhile.
    next_poll(&server, requests);
    let (before, asked, got) = (daemon.used(), server.requests(), server.octets());
    for _ in 0..args.polls {
        next_poll(&server, server.requests());
    }
    thread::sleep(Duration::from_secs(INTERVAL.into()) / 2);
    let polls = f64::from(args.polls);
    let each = daemon.used().cpu.saturating_sub(before.cpu).as_secs_f64() * 1_000.0 / polls;
    let (asked, got) = (server.requests().saturating_sub(asked), server.octets().saturating_sub(got));
    let memory = daemon.memory();
    daemon.stop()?;
    let mebibytes = |octets: u64| octets as f64 / f64::from(1 << 20);
    let mut figures = vec![
        Figure::new(&run, "first sync", took.as_secs_f64() * 1_000.0, "ms"),
        Figure::new(&run, "first sync, processor time", used.cpu.as_secs_f64() * 1_000.0, "ms"),
        Figure::new(&run, "first sync, requests", requests as f64, ""),
        Figure::new(&run, "first sync, responses", mebibytes(octets), "MiB"),
        Figure::new(&run, "unchanged poll, processor time", each, "ms"),
        Figure::new(&run, "unchanged poll, requests", asked as f64 / polls, ""),
        Figure::new(&run, "unchanged poll, responses", mebibytes(got) / polls, "MiB"),
    ];
    figures.extend(memory.most.map(|mib| Figure::new(&run, "memory, most", mib, "MiB")));
    Ok(figures)
}

/// Waits until `server` has got more requests than `before`, and then until no more have come for a while.
fn next_poll(server: &CalendarServer, before: u64) {
    let quiet = Duration::from_secs(INTERVAL.into()) / 4;
    let began = Instant::now();
    while server.requests() <= before && began.elapsed() < Duration::from_secs(60) {
        thread::sleep(Duration::from_millis(5));
    }
    let mut last = server.requests();
    loop {
        thread::sleep(quiet);
        if server.requests() == last {
            return;
        }
        last = server.requests();
    }
}

//! `reveille-bench poll`: what many accounts of one server cost in which nothing changes.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::SignedDuration;

use super::BenchContext;
use super::child::DaemonProcess;
use super::server::CalendarServer;
use super::site::{Outlet, Site};
use super::synthetic::{Generator, uid};
use super::table::Figure;
use super::{counted, quantile};
use reveille::ledger::Inspector;
use reveille::time::UtcMillis;

/// How often each account is polled, seconds.
const INTERVAL: u32 = 60;
/// Likewise while hints announce what changes, which a poll comes to after a quarter of an hour.
const HINTED: u32 = 900;
/// With hints, an account changes this often: a thousand accounts with some twenty changes a day each.
const CHANGE_EVERY: Duration = Duration::from_secs(4);
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
    /// With hints: one account changes every four seconds, which a hint announces, and polls are as rare as they then
    /// become
    #[arg(long)]
    pub(super) hints: bool,
}

pub(super) fn measure(args: &Args, parent: &Path, context: &mut BenchContext) -> anyhow::Result<Vec<Figure>> {
    let how = if args.hints { "with hints" } else { "a minute" };
    let run = format!("poll: {} accounts {how}", counted(args.accounts.into()));
    let site = Site::new(parent)?;
    let server = CalendarServer::start(&[])?;
    server.respond_after(RESPONSE);
    let admin = free_port()?;
    let users: Vec<String> = (0..args.accounts).map(|n| format!("'u{n}'")).collect();
    let interval = if args.hints { HINTED } else { INTERVAL };
    let source = format!(
        "[admin]\nlisten = '{admin}'\n[[source]]\nkind = 'caldav'\nname = 'all'\nurl = '{}{{user}}/'\n\
         poll_interval = '{interval}s'\nusers = [{}]\n",
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
    let armed = if args.hints {
        let now = context.clock.now().start_of_second();
        Some(HintSender { server: &server, site: &site, admin, now }.send(args, &mut daemon)?)
    } else {
        thread::sleep(Duration::from_secs(args.seconds.into()));
        None
    };
    let cpu = daemon.used().cpu.saturating_sub(before.cpu);
    let polls = server.requests().saturating_sub(requests);
    let memory = daemon.memory();
    daemon.stop()?;
    let share = 100.0 * cpu.as_secs_f64() / f64::from(args.seconds.max(1));
    let each = cpu.as_secs_f64() * 1e6 / polls.max(1) as f64;
    let mut figures = vec![
        Figure::new(&run, "first sync of all", first.as_secs_f64() * 1_000.0, "ms"),
        Figure::new(&run, "requests a second", polls as f64 / f64::from(args.seconds.max(1)), "/s"),
        Figure::new(&run, "processor time, of one core", share, "%").at_most(if args.hints { 1.0 } else { 5.0 }),
        Figure::new(&run, "processor time of each request", each, "µs"),
    ];
    if let Some(armed) = armed {
        figures.push(Figure::new(&run, "hint to armed, p50", quantile(&armed, 0.5), "ms"));
        figures.push(Figure::new(&run, "hint to armed, p99", quantile(&armed, 0.99), "ms").at_most(1_000.0));
    }
    figures.extend(memory.most.map(|mib| Figure::new(&run, "memory, most", mib, "MiB")));
    Ok(figures)
}

/// Sends hints.
struct HintSender<'a> {
    server: &'a CalendarServer,
    site: &'a Site,
    /// The admin port of the daemon.
    admin: SocketAddr,
    now: UtcMillis,
}

impl HintSender<'_> {
    /// Changes one account after the other and sends a hint each time, for as long as `args` say. Returns how long it
    /// took from each hint until the change was armed, in milliseconds, ascending.
    fn send(&self, args: &Args, daemon: &mut DaemonProcess) -> anyhow::Result<Vec<f64>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut inspector = runtime.block_on(Inspector::open(&self.site.ledger()))?;
        let (generator, began) = (Generator::new(6), Instant::now());
        let mut times = Vec::new();
        let hints = Duration::from_secs(args.seconds.into()).as_millis().div_ceil(CHANGE_EVERY.as_millis());
        for n in 0..u32::try_from(hints).unwrap_or(u32::MAX) {
            thread::sleep((began + CHANGE_EVERY * n).saturating_duration_since(Instant::now()));
            let (account, object) = (n % args.accounts.max(1), u64::from(n));
            let due = self.now.saturating_add(SignedDuration::from_hours(24 + i64::from(n)));
            self.server.change(&format!("/u{account}/"), &generator.due(object, due));
            let began = Instant::now();
            hint(self.admin, &format!("all:u{account}"))?;
            daemon.wait(Duration::from_millis(1), || {
                runtime.block_on(async {
                    inspector.refresh().await?;
                    Ok(inspector.objects_of(&uid(object)).await?.iter().any(|object| object.due == Some(due)))
                })
            })?;
            times.push(began.elapsed().as_secs_f64() * 1_000.0);
        }
        let end = began + Duration::from_secs(args.seconds.into());
        thread::sleep(end.saturating_duration_since(Instant::now()));
        runtime.block_on(inspector.close())?;
        times.sort_by(f64::total_cmp);
        Ok(times)
    }
}

/// Sends a hint for `source` to the admin port.
fn hint(admin: SocketAddr, source: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(admin).context("the admin port does not answer")?;
    let request =
        format!("POST /sync/{source} HTTP/1.1\r\nHost: {admin}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    anyhow::ensure!(answer.starts_with("HTTP/1.1 202"), "a hint was refused: {answer}");
    Ok(())
}

/// An address on loopback that nothing listens at.
fn free_port() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
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
